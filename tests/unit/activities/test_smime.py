"""What CMS containers hold, in whichever of BER's ways it is written."""

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.mime import smime
from activities.mime.parse import parse
from activities.mime.smime import is_enveloped, is_signed, signed_entity
from tests.messages import read

SIGNED = bytes.fromhex("06092a864886f70d010702")
ENVELOPED = bytes.fromhex("06092a864886f70d010703")
DATA = bytes.fromhex("06092a864886f70d010701")
ENTITY = b"Content-Type: text/plain\r\n\r\nwords\r\n"


def value(tag: int, content: bytes, *, open_ended: bool = False) -> bytes:
    if open_ended:
        return bytes([tag, 0x80]) + content + b"\0\0"
    size = len(content)
    width = (size.bit_length() + 7) // 8
    long = bytes([0x80 | width]) + size.to_bytes(width, "big")
    return bytes([tag]) + (bytes([size]) if size < 128 else long) + content


def signed(octets: bytes, *, open_ended: bool = False, kind: bytes = SIGNED) -> bytes:
    """`octets`: the octet string, tag and all."""

    def made(tag: int, content: bytes) -> bytes:
        return value(tag, content, open_ended=open_ended)

    inner = made(0x30, DATA + made(0xA0, octets))
    data = value(2, b"\1") + value(0x31, value(0x30, b"\5\0")) + inner + value(0x31, b"")
    return made(0x30, kind + made(0xA0, made(0x30, data)))


PIECES = value(4, ENTITY[:10]) + value(4, ENTITY[10:])
WRITTEN = {
    "one string": value(4, ENTITY),
    "in pieces": value(0x24, PIECES),
    "in pieces without a size": value(0x24, PIECES, open_ended=True),
    "pieces inside pieces": value(
        0x24,
        value(0x24, value(4, ENTITY[:10]), open_ended=True)
        + value(0x24, value(4, ENTITY[10:20]) + value(4, b""))
        + value(4, ENTITY[20:]),
        open_ended=True,
    ),
}


@pytest.mark.rule("R3.11")
@pytest.mark.parametrize("open_ended", [False, True])
@pytest.mark.parametrize("form", WRITTEN)
def test_the_signed_part_is_found_however_it_is_written(form, open_ended):
    container = signed(WRITTEN[form], open_ended=open_ended)
    assert signed_entity(container) == ENTITY
    assert is_signed(container) and not is_enveloped(container)


def test_a_signature_around_something_else_gives_nothing():
    assert signed_entity(signed(value(4, b"%PDF-1.7"))) is None
    assert signed_entity(signed(b"")) is None  # detached, or certificates alone
    assert is_signed(signed(b""))


def test_encrypted_containers_are_told_apart():
    container = signed(value(4, ENTITY), kind=ENVELOPED)
    assert is_enveloped(container) and not is_signed(container)
    assert signed_entity(container) is None


@pytest.mark.parametrize("size", range(0, len(signed(WRITTEN["one string"])), 3))
def test_what_is_cut_off_is_no_signature_that_could_be_read(size):
    entity = signed_entity(signed(WRITTEN["one string"])[:size])
    assert entity is None or entity == ENTITY


@given(st.binary(max_size=200))
def test_no_bytes_raise(octets):
    head = value(0x30, SIGNED)[:2] + SIGNED
    for container in (octets, head + octets, signed(octets), signed(octets, open_ended=True)):
        signed_entity(container)
        is_enveloped(container)
        is_signed(container)


@pytest.mark.parametrize(
    "container",
    [
        b"\x30\x80" * 500_000,
        signed(b"\x24\x80" * 500_000, open_ended=True),
        signed(value(4, b"x") * 1, open_ended=True)[:-2] + b"\x30\x80" * 300_000,
        b"\x30\x80" + SIGNED + b"\xa0\x80\x30\x80" + b"\x02\x80" * 500_000,
        b"\x30\x88" + b"\xff" * 100,
    ],
)
def test_absurd_nesting_takes_no_time(container):
    began = time.perf_counter()
    signed_entity(container)
    assert time.perf_counter() - began < 2


def test_many_pieces_are_joined_once():
    content = ENTITY + b"x" * 4_000_000
    pieces = b"".join(value(4, content[at : at + 100]) for at in range(0, len(content), 100))
    began = time.perf_counter()
    assert signed_entity(signed(value(0x24, pieces, open_ended=True))) == content
    assert time.perf_counter() - began < 2


def test_pieces_that_hold_nothing_fill_no_memory():
    entity = value(4, b"Content-Type: text/plain\r\n\r\nHello")
    container = signed(value(0x24, b"\4\0" * 200_000 + entity, open_ended=True))

    tracemalloc.start()
    try:
        found = signed_entity(container)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert found.endswith(b"Hello")
    assert most < len(container)


def test_who_writes_millions_of_pieces_is_not_read_to_the_end(monkeypatch):
    monkeypatch.setattr(smime, "MAX_VALUES", 100)
    entity = value(4, b"Content-Type: text/plain\r\n\r\nHello")

    def found(pieces):
        return signed_entity(signed(value(0x24, entity + b"\4\0" * pieces, open_ended=True)))

    assert found(90) is not None
    assert found(110) is None


# -- as messages -----------------------------------------------------------------------------------


@pytest.mark.rule("R3.11")
def test_an_opaque_signature_is_opened_and_nothing_is_said_of_its_worth():
    message = parse(read("smime_opaque_signed_mixed"))
    assert message.text.strip() == "Signed words, grüßend."
    assert [a.filename for a in message.attachments] == ["Plan.pdf"]
    assert message.encrypted == ""
    assert [d.detail for d in message.defects] == ["signature not verified"]


@pytest.mark.rule("R3.11")
def test_signatures_around_signatures_are_opened_up_to_a_number():
    assert parse(read("smime_opaque_signed_twice")).text.strip() == "Twice signed words."
    entity = b"Content-Type: text/plain\r\n\r\ninnermost\r\n"
    for _ in range(8):
        container = signed(value(4, entity))
        entity = b"Content-Type: application/pkcs7-mime\r\n\r\n" + container
    message = parse(b"From: ada@example.com\r\n" + entity)
    assert message.text == ""
    assert [a.content_type for a in message.attachments] == ["application/pkcs7-mime"]


@pytest.mark.rule("R3.11")
def test_a_clear_signature_is_a_file_and_the_signed_part_the_message():
    message = parse(read("smime_clear_signed"))
    assert message.text.strip() == "signed words"
    assert [a.filename for a in message.attachments] == ["smime.p7s"]


@pytest.mark.rule("R3.11")
def test_a_signed_file_stays_a_file():
    message = parse(read("signed_file_attached"))
    assert message.text.strip() == "The signed contract."
    assert [a.filename for a in message.attachments] == ["contract.pdf.p7m"]
    assert (message.encrypted, message.defects) == ("", ())


@pytest.mark.rule("R3.11")
@pytest.mark.parametrize(
    ("name", "encrypted"),
    [
        ("smime_encrypted", "smime"),
        ("smime_encrypted_without_type", "smime"),
        ("pgp_mime", "pgp"),
        ("rights_protected", "irm"),
        ("rights_protected_by_class", "irm"),
    ],
)
def test_what_needs_a_key_is_named_and_its_wrapping_kept(name, encrypted):
    message = parse(read(name))
    assert message.encrypted == encrypted
    assert message.subject and message.sender
    assert message.attachments
