"""Signatures, checked by another implementation and, for the body, by hand."""

from base64 import b64encode
from dataclasses import replace
from email import message_from_bytes
from hashlib import sha256

import dkim
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.mime.compose import compose
from activities.mime.dkim import OVER_SIGNED, Signer, body_hash
from activities.mime.message import Address, Attachment
from mailboxes.dkim import KeyKind, new_key, read_key, record_of
from tests.unit.activities.test_compose import SMALLEST

SIGNERS = {kind: Signer("example.com", "s1", new_key(kind)) for kind in KeyKind}
RSA = SIGNERS[KeyKind.RSA]


def is_true(mime: bytes, signer: Signer = RSA) -> bool:
    asked = []

    def dns(name, timeout=5):
        asked.append(name)
        return record_of(signer.key).encode()

    found = dkim.verify(mime, dnsfunc=dns)
    assert asked in ([b"s1._domainkey.example.com."], [b"s1._domainkey.example.com"])
    return found


def tags(mime: bytes) -> dict[str, str]:
    value = message_from_bytes(mime)["DKIM-Signature"]
    return {
        name.strip(): "".join(text.split())
        for name, _, text in (part.partition("=") for part in value.split(";"))
    }


@pytest.mark.parametrize("kind", KeyKind)
def test_another_implementation_finds_it_true(kind):
    signer = SIGNERS[kind]
    message = replace(
        SMALLEST,
        html="<p>Grüße   mit\tTabs</p>",
        subject="Grüße aus München, " * 6,
        cc=(Address("cleo@example.org", 'Cleo, the "other" one'),),
        references=tuple(f"{number}@example.org" for number in range(9)),
        attachments=(Attachment("a.bin", "application/octet-stream", bytes(range(256)) * 9),),
    )

    assert is_true(signer.sign(compose(message)), signer)
    assert tags(signer.sign(compose(message)))["a"] == f"{kind.value}-sha256"


def test_the_hash_of_the_body_by_hand():
    """RFC 6376, 3.4.4: blanks become one, those at a line's end go, so do empty lines at the end."""
    mime = RSA.sign(b"From: ada@example.com\r\n\r\n C \t\r\n D  \tE\r\n\r\n \r\n")

    expected = b64encode(sha256(b" C\r\n D E\r\n").digest()).decode()
    assert tags(mime)["bh"] == expected
    assert tags(mime)["c"] == "relaxed/relaxed"
    assert is_true(mime)


@pytest.mark.parametrize(
    ("body", "canonical"),
    [
        (b"", b""),
        (b"\r\n\r\n", b""),
        (b" \t \r\n\r\n", b""),
        (b"x", b"x\r\n"),
        (b"x\r\n\r\n\r\n", b"x\r\n"),
        (b"\r\nx\r\n", b"\r\nx\r\n"),
        (b" x\r\n", b" x\r\n"),
    ],
)
def test_bodies_at_their_edges(body, canonical):
    assert body_hash(body) == b64encode(sha256(canonical).digest()).decode()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.text(alphabet=" \tab.=", max_size=12), max_size=6), st.sampled_from(list(KeyKind))
)
def test_no_body_is_signed_falsely(lines, kind):
    signer = SIGNERS[kind]
    body = "".join(f"{line}\r\n" for line in lines).encode()

    assert is_true(signer.sign(b"From:  a@example.com\r\nSubject:\r\n x\r\n\r\n" + body), signer)


@pytest.mark.parametrize("name", OVER_SIGNED)
def test_a_field_that_is_added_makes_it_false(name):
    mime = RSA.sign(compose(replace(SMALLEST, cc=(Address("cleo@example.org"),))))
    assert is_true(mime)

    assert not is_true(f"{name}: eve@example.net\r\n".encode() + mime)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"Subject: Delivery", b"Subject: Payment"),
        (b"words", b"other words"),
        (b"text/plain", b"text/html"),
        (b"From: Ada", b"From: Eve"),
    ],
)
def test_what_is_changed_makes_it_false(before, after):
    mime = RSA.sign(compose(SMALLEST))

    assert before in mime
    assert not is_true(mime.replace(before, after))


def test_blanks_that_servers_change_don_t():
    mime = RSA.sign(compose(replace(SMALLEST, subject="one two three " * 12)))

    assert is_true(mime.replace(b"\r\n ", b" \r\n\t").replace(b"From: ", b"from:  ") + b"\r\n")


@pytest.mark.parametrize("kind", KeyKind)
def test_every_attempt_makes_the_same_bytes(kind):
    mime = compose(SMALLEST)

    assert SIGNERS[kind].sign(mime) == SIGNERS[kind].sign(mime)
    assert not {"t", "x", "l"} & set(tags(SIGNERS[kind].sign(mime)))


def test_an_international_domain_is_signed_in_its_ascii_form():
    signer = Signer("Bücher.example", "s1", RSA.key)

    assert tags(signer.sign(compose(SMALLEST)))["d"] == "xn--bcher-kva.example"


def test_a_header_in_utf8_is_signed_as_it_stands():
    mime = compose(replace(SMALLEST, to=(Address("grüße@example.org"),)))
    assert not mime.isascii()

    assert is_true(RSA.sign(mime))


def test_the_key_is_not_printed():
    key = read_key(b64encode(bytes(32)).decode())
    signer = Signer("example.com", "s1", key)

    assert "key" not in repr(signer)
