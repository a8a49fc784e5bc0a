"""winmail.dat and .msg files: what is read of them, and that no bytes raise or take long."""

import struct
import time
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.mime import body, wrappings
from activities.mime.addresses import MAX_ADDRESSES
from activities.mime.message import Attachment
from activities.mime.outlook import compound, mapi, rtf, tnef
from activities.mime.outlook.compound import BadCompoundFile, CompoundFile
from activities.mime.outlook.mapi import Item, message_of
from activities.mime.outlook.msg import read_msg
from activities.mime.outlook.rtf import Allowance
from activities.mime.parse import parse
from activities.mime.structure import MAX_PARTS
from activities.mime.wrappings import originals, unpack_winmail
from tests.outlook import (
    Made,
    attribute,
    author,
    compressed,
    file,
    msg,
    person,
    properties,
    stored,
    winmail,
)
from tests.outlook import compound as write_compound

SENT = datetime(2026, 3, 5, 8, 30, tzinfo=UTC)
HEADER = (
    "Microsoft Mail Internet Headers Version 2.0\r\n"
    "Received: from a.example by mx.example.com for <ben@example.org>;\r\n"
    "\tThu, 05 Mar 2026 09:30:00 +0100\r\n"
    "From: Ada <ada@example.com>\r\nTo: ben@example.org\r\n"
    "Message-ID: <header@mail.example.com>\r\n"
    'Content-Type: multipart/mixed;\r\n\tboundary="gone"\r\n'
    "Content-Transfer-Encoding: quoted-printable\r\nMIME-Version: 1.0\r\n"
    "X-Note: kept\r\n\r\n--gone\r\nFrom: nobody@example.net\r\n"
)
ORIGINAL = Made(
    {
        mapi.MESSAGE_CLASS: "IPM.Note",
        mapi.SUBJECT: "Lieferung am Donnerstag – größer",
        mapi.SUBMITTED: SENT,
        mapi.MESSAGE_ID: "<original@mail.example.com>",
        mapi.IN_REPLY_TO: "<before@mail.example.com>",
        mapi.REFERENCES: "<first@mail.example.com> <before@mail.example.com>",
        mapi.CONVERSATION_INDEX: bytes(range(22)),
        mapi.IMPORTANCE: 2,
        mapi.BODY: "Zeile eins\r\nZeile zwei\r\n",
        **author("Ada Example", "ada@example.com"),
    },
    [person("Ben", "ben@example.org"), person("Cy", "cy@example.net", 2), person("", "d@e.f", 3)],
    [file("Plan.pdf", b"%PDF-1.7 " + bytes(5_000), type="application/pdf"), file("ä.txt", b"x")],
)


def read_both(item: Made) -> list[Item]:
    """The same item through both formats."""
    from_winmail, from_msg = tnef.read_tnef(winmail(item)), read_msg(msg(item))
    assert from_winmail is not None and from_msg is not None
    assert not from_winmail.damaged
    return [from_winmail.item, from_msg]


@pytest.mark.rule("R3.75")
def test_a_message_is_made_again_from_its_properties():
    for item in read_both(ORIGINAL):
        message = parse(message_of(item))
        assert message.defects == ()
        assert (message.sender.address, message.sender.name) == ("ada@example.com", "Ada Example")
        assert [a.address for a in message.to] == ["ben@example.org"]
        assert [a.address for a in message.cc] == ["cy@example.net"]
        assert [a.address for a in message.bcc] == ["d@e.f"]
        assert message.subject == "Lieferung am Donnerstag – größer"
        assert message.date == SENT
        assert message.message_id == "original@mail.example.com"
        assert message.in_reply_to == "before@mail.example.com"
        assert message.references[0] == "first@mail.example.com"
        assert message.thread_index == "AAECAwQFBgcICQoLDA0ODxAREhMUFQ=="
        assert message.importance == 2
        assert message.text.splitlines() == ["Zeile eins", "Zeile zwei"]
        assert [(a.filename, a.content_type, len(a.content)) for a in message.attachments] == [
            ("Plan.pdf", "application/pdf", 5_009),
            ("ä.txt", "application/octet-stream", 1),
        ]


@pytest.mark.rule("R3.75")
def test_the_header_it_travelled_with_goes_before_the_properties():
    made = {**ORIGINAL.properties, mapi.TRANSPORT_HEADERS: HEADER}
    for item in read_both(Made(made, ORIGINAL.recipients)):
        raw = message_of(item)
        message = parse(raw)
        assert message.message_id == "header@mail.example.com"
        assert message.delivered_to == ("ben@example.org",)
        assert message.sender.name == "Ada"
        assert message.subject == "Lieferung am Donnerstag – größer"  # which the header lacks
        assert message.text.startswith("Zeile eins")
        assert b"X-Note: kept\r\n" in raw and b"Comments: made again" in raw
        assert b"gone" not in raw and b"nobody" not in raw and b"Microsoft Mail" not in raw


def test_the_same_item_gives_the_same_bytes():
    assert len({message_of(item) for item in read_both(ORIGINAL) + read_both(ORIGINAL)}) == 1


def test_names_of_a_directory_are_no_addresses():
    inside = {mapi.AUTHOR_TYPE: "EX", mapi.AUTHOR: "/o=Example/cn=ada", mapi.AUTHOR_NAME: "Ada"}
    for item in read_both(Made({mapi.SUBJECT: "x", **inside})):
        assert parse(message_of(item)).senders == ()
    for item in read_both(Made({mapi.SUBJECT: "x", **inside, mapi.AUTHOR_SMTP: "ada@x.example"})):
        assert parse(message_of(item)).sender.address == "ada@x.example"


def test_values_that_would_break_out_of_the_header_stay_in_their_field():
    evil = "x\r\nBcc: eve@evil.example\r\n\r\nbody"
    made = Made(
        {
            mapi.SUBJECT: evil,
            mapi.MESSAGE_ID: evil,
            mapi.REFERENCES: evil,
            **author(evil, f"ada@example.com{evil}"),
        },
        [person(evil, evil)],
        [file(evil, b"x", content_id=evil, type=evil)],
    )
    for item in read_both(made):
        message = parse(message_of(item))
        assert message.bcc == ()
        assert message.text.strip() == ""
        assert len(message.attachments) == 1


def test_code_pages_are_heeded():
    made = {mapi.SUBJECT: "Привет", mapi.BODY: "Слова"}
    item = tnef.read_tnef(winmail(Made(made, code_page=1251))).item
    assert (item.subject, item.body()[1]) == ("Привет", "Слова")
    item = read_msg(msg(Made({**made, mapi.CODE_PAGE: 1251}, code_page=1251)))
    assert (item.subject, item.body()[1]) == ("Привет", "Слова")
    html = {mapi.HTML: "<p>こんにちは</p>".encode("cp932"), mapi.INTERNET_CODE_PAGE: 932}
    for item in read_both(Made(html)):
        assert item.body() == ("<p>こんにちは</p>", "")


@pytest.mark.rule("R3.75")
def test_messages_inside_messages_keep_their_own_files():
    inner = Made({mapi.SUBJECT: "Inner", **author("", "cy@example.net")}, (), [file("i.txt", b"i")])
    outer = Made({mapi.SUBJECT: "Outer"}, (), [({mapi.DISPLAY_NAME: "A: B?"}, inner)])
    for item in read_both(outer):
        (attached,) = parse(message_of(item)).attachments
        assert (attached.filename, attached.content_type) == ("A B.eml", "message/rfc822")
        message = parse(attached.content)
        assert (message.subject, message.sender.address) == ("Inner", "cy@example.net")
        assert [a.filename for a in message.attachments] == ["i.txt"]


def test_what_lies_deeper_than_anyone_forwards_stays_closed():
    item = Made({mapi.SUBJECT: "innermost"})
    for number in range(30):
        item = Made({mapi.SUBJECT: f"{number}"}, (), [({}, item)])
    for found in read_both(item):
        depth = 0
        while found is not None and found.files:
            found, depth = found.files[0].item, depth + 1
        assert depth == mapi.MAX_DEPTH + 1


def test_a_signed_message_keeps_its_signed_part_octet_for_octet():
    signed = b'Content-Type: multipart/signed; boundary="s"\r\n\r\n--s\r\n\r\nwords\r\n--s--\r\n'
    made = {mapi.MESSAGE_CLASS: "IPM.Note.SMIME.MultipartSigned", **author("", "a@b.example")}
    for item in read_both(Made(made, (), [file("smime.p7m", signed)])):
        raw = message_of(item)
        assert raw.endswith(signed)
        assert parse(raw).text.strip() == "words"


# -- attributes from before MAPI -------------------------------------------------------------------


def test_attributes_from_before_mapi_are_read_where_there_is_nothing_newer():
    triple = b"\4\0\0\0\4\0\x13\0Ada\0SMTP:ada@x.example\0"
    date = b"".join(n.to_bytes(2, "little") for n in (2026, 3, 5, 8, 30, 0, 4))
    old = [
        (0x8008, 7, b"IPM.Microsoft Mail.Note\0"),
        (0x8000, 0, triple),
        (0x8004, 1, b"Old subject\0"),
        (0x8005, 3, date),
        (0x800C, 2, b"Old words\0"),
    ]
    item = tnef.read_tnef(winmail(Made({}, attributes=old, code_page=1252))).item
    message = parse(message_of(item))
    assert (message.subject, message.text.strip(), message.date) == (
        "Old subject",
        "Old words",
        SENT,
    )
    assert (message.sender.address, message.sender.name) == ("ada@x.example", "Ada")
    both = Made({mapi.SUBJECT: "New subject"}, attributes=old)
    assert tnef.read_tnef(winmail(both)).item.subject == "New subject"


def test_a_broken_attribute_does_not_spoil_the_next():
    broken = [(0x8000, 0, b"\4\0\0\0\xff\xff\x13\0"), (0x8005, 3, b"\xff" * 14)]
    found = tnef.read_tnef(winmail(Made({mapi.SUBJECT: "Behind it"}, attributes=broken)))
    assert found.damaged
    assert found.item.subject == "Behind it"


def test_old_files_have_their_bytes_in_an_attribute():
    content = winmail(Made({}))
    content += attribute(2, 0x9002, 6, bytes(14)) + attribute(2, 0x800F, 6, b"octets")
    content += attribute(2, 0x8010, 1, b"old.txt\0")
    (old,) = tnef.read_tnef(content).item.files
    assert (old.attachment().filename, old.attachment().content) == ("old.txt", b"octets")


def test_several_values_and_named_properties_are_stepped_over():
    several = b"\x1e\x10\x00\x30" + b"\2\0\0\0" + b"\2\0\0\0a\0\0\0" + b"\2\0\0\0b\0\0\0"
    by_name = b"\x03\0\x00\x80" + bytes(16) + b"\1\0\0\0" + b"\5\0\0\0a\0b\0c\0\0\0" + b"\7\0\0\0"
    by_id = b"\x0b\0\x01\x80" + bytes(16) + b"\0\0\0\0" + b"\x39\x81\0\0" + b"\1\0\0\0"
    subject = properties({mapi.SUBJECT: "Behind them"})[4:]
    block = b"\4\0\0\0" + several + by_name + by_id + subject
    content = winmail(Made({})) + attribute(1, 0x9003, 6, block)
    assert tnef.read_tnef(content).item.subject == "Behind them"


# -- broken files ----------------------------------------------------------------------------------


def test_a_truncated_winmail_gives_what_came_before_and_says_so():
    whole = winmail(ORIGINAL)
    for size in range(0, len(whole), 97):
        found = tnef.read_tnef(whole[:size])
        assert found is None or found.damaged or size in _between_attributes(whole)
        if found is not None:
            parse(message_of(found.item))
    cut = tnef.read_tnef(whole[:-10])
    assert cut.damaged and cut.item.subject.startswith("Lieferung")


def _between_attributes(whole: bytes) -> set[int]:
    places, place = {6}, 6
    while place < len(whole):
        place += 9 + int.from_bytes(whole[place + 5 : place + 9], "little") + 2
        places |= {place, place - 2}
    return places


def test_wrong_checksums_and_blanks_at_the_end_are_no_damage():
    whole = winmail(ORIGINAL)
    assert not tnef.read_tnef(whole[:-2] + b"\xff\xff").damaged
    assert not tnef.read_tnef(whole + b"\r\n\r\n").damaged
    assert tnef.read_tnef(whole + b"garbage behind").damaged


def test_what_is_none_of_these_files_is_none():
    for content in (b"", b"words", tnef.SIGNATURE, compound.SIGNATURE, compound.SIGNATURE * 100):
        assert tnef.read_tnef(content) is None
        assert read_msg(content) is None


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_no_damage_raises(data):
    """Octets are overwritten, and the end is cut off."""
    for whole, read in ((winmail(ORIGINAL), _read_winmail), (msg(ORIGINAL), read_msg)):
        octets = bytearray(whole)
        for _ in range(data.draw(st.integers(0, 6))):
            place = data.draw(st.integers(0, min(len(octets), 9_000) - 1))
            octets[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFE, 0xFF]))
        item = read(bytes(octets[: data.draw(st.integers(0, len(octets)))]))
        if item is not None:
            item.body()
            parse(message_of(item))


def _read_winmail(content: bytes) -> Item | None:
    found = tnef.read_tnef(content)
    return found.item if found else None


@given(st.binary(max_size=400))
def test_random_octets_behind_a_signature_never_raise(octets):
    tnef.read_tnef(tnef.SIGNATURE + octets)
    tnef.read_tnef(winmail(Made({mapi.SUBJECT: "x"})) + octets)
    read_msg(compound.SIGNATURE + octets)
    rtf.read_compressed(octets)
    rtf.read_compressed(bytes(8) + b"LZFu" + bytes(4) + octets)
    rtf.read_rtf(b"{\\rtf1" + octets)


HOSTILE = {
    "counts without values": attribute(1, 0x9003, 6, b"\xff\xff\xff\x7f" + bytes(100_000)),
    "rows without values": attribute(1, 0x9004, 6, b"\xff\xff\xff\x7f" + bytes(200_000)),
    "empty attributes": attribute(2, 0x9002, 6, b"") * 20_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_absurd_winmail_takes_no_time(name):
    began = time.perf_counter()
    tnef.read_tnef(tnef.SIGNATURE + b"\0\0" + HOSTILE[name])
    assert time.perf_counter() - began < 2


def test_more_files_than_a_message_may_have_parts_are_left_where_they_are():
    found = tnef.read_tnef(winmail(Made({}, (), [file("x", b"x")] * (MAX_PARTS + 10))))
    assert len(found.item.files) == MAX_PARTS
    assert found.damaged


def test_more_recipients_than_a_header_may_have_are_left_where_they_are():
    rows = struct.pack("<I", 12_000) + struct.pack("<I", 0) * 12_000
    found = tnef.read_tnef(winmail(Made({mapi.SUBJECT: "x"})) + attribute(1, 0x9004, 6, rows))
    assert len(found.item.recipients) == MAX_ADDRESSES
    assert found.damaged


def test_streams_that_share_their_sectors_are_read_for_twice_the_file_at_most():
    tree = {f"s{number}": b"" for number in range(40)}
    octets = bytearray(write_compound({"big": b"x" * 50_000, **tree}))
    big = CompoundFile(bytes(octets)).root.streams["big"]
    _point_all_at(octets, big.start, big.size)
    shared = CompoundFile(bytes(octets))
    with pytest.raises(BadCompoundFile, match="share"):
        for stream in shared.root.streams.values():
            shared.read(stream)


def test_chains_that_go_in_circles_end():
    octets = bytearray(write_compound({"big": b"x" * 50_000, "small": b"y" * 100}))
    fat = int.from_bytes(octets[76:80], "little")
    place = (fat + 1) * 512
    octets[place : place + 512] = b"\0\0\0\0" * 128  # each sector is followed by the first
    file = CompoundFile(bytes(octets))
    assert len(file.read(file.root.streams["big"])) == 50_000


def test_a_tree_that_goes_in_circles_ends():
    octets = bytearray(write_compound({"a": b"x", "b": b"y"}))
    for number in range(3):
        place = directory_of(octets) + number * 128 + 68
        octets[place : place + 12] = b"\1\0\0\0" * 3
    assert set(CompoundFile(bytes(octets)).root.streams) == {"a"}


def directory_of(octets: bytearray) -> int:
    return (int.from_bytes(octets[48:52], "little") + 1) * 512


def _point_all_at(octets: bytearray, start: int, size: int) -> None:
    for number in range(1, 42):
        place = directory_of(octets) + number * 128
        octets[place + 116 : place + 120] = start.to_bytes(4, "little")
        octets[place + 120 : place + 128] = size.to_bytes(8, "little")


# -- rich text -------------------------------------------------------------------------------------

FROM_HTML = (
    rb"{\rtf1\ansi\ansicpg1252\fromhtml1 \deff0{\fonttbl{\f0\fswiss\fcharset0 Arial;}"
    rb"{\f1\fnil\fcharset128 MS Gothic;}}{\colortbl\red0\green0\blue0;}"
    rb"{\*\generator Microsoft Exchange;}\uc1 "
    rb"{\*\htmltag64 <html>}{\*\htmltag50 <body>}{\*\htmltag64 <p>}\htmlrtf {\htmlrtf0 "
    rb"Gr\'fc\'dfe {\*\htmltag84 &nbsp;}\u8364?{\*\mhtmltag84 <img>}\htmlrtf \par }\htmlrtf0 "
    rb"{\f1\'82\'a0}{\*\htmltag72 </p>}{\*\htmltag104 <a href=\{x\}>}\par "
    rb"\u-10179?\u-8704?{\*\htmltag58 </body>}}"
)


def test_html_inside_rich_text_comes_out_as_it_was():
    html, text = rtf.read_compressed(compressed(FROM_HTML))
    assert html == "<html><body><p>Grüße &nbsp;€あ</p><a href={x}>\n😀</body>"
    assert text == ""


@pytest.mark.parametrize("pack", [compressed, stored])
def test_rich_text_of_its_own_gives_its_words(pack):
    source = (
        rb"{\rtf1\ansi\ansicpg1251{\fonttbl\f0 Arial;}{\stylesheet{\s1 Normal;}}{\*\unknown hidden}"
        rb"\pard\b \'cf\'f0\'e8\'e2\'e5\'f2\b0 , Ada\line{\pict 0102ff}two\tab three\par}"
    )
    assert rtf.read_compressed(pack(source)) == ("", "Привет, Ada\ntwo\tthree")


def test_repetitions_are_written_out():
    """The example of MS-OXRTFCP, 4.1: with a reference into the dictionary everybody has."""
    data = bytes.fromhex(
        "2d0000002b0000004c5a4675f1c5c7a703000a007263706731323542320af32068656c090020627705b06c64"
        "7d0a800fa0"
    )
    assert rtf.decompress(data) == b"{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
    overlapping = bytes.fromhex("1a0000001c0000004c5a4675e2d44b51410004205758595a0d6e7d010eb0")
    assert rtf.decompress(overlapping) == b"{\\rtf1 WXYZWXYZWXYZWXYZWXYZ}"


def test_rich_text_is_bounded():
    bomb = b"\xff" + b"\x00\xff" * 8  # eight repetitions of seventeen octets
    data = bytes(8) + b"LZFu" + bytes(4) + bomb * 200_000
    assert len(rtf.decompress(data)) <= rtf.MAX_OCTETS + 8 * 17
    began = time.process_time()
    rtf.read_rtf(b"{\\rtf1" + b"{" * 300_000 + b"\\'41" * 100_000 + b"}" * 600_000)
    assert time.process_time() - began < 5


LONG = b"{\\rtf1 " + b"a" * 50_000 + b"}"


def test_messages_inside_share_what_is_read_of_rich_text():
    """A short file can announce hours of it. What is too much is not lost: the file itself stays."""
    inside = Made({mapi.SUBJECT: "Inside", mapi.RTF: stored(LONG)})

    def opened(count):
        whole = winmail(Made({}, files=[({mapi.DISPLAY_NAME: "Inside"}, inside)] * count))
        found = unpack_winmail(whole, Allowance(left=120_000), with_body=True)
        return [len(part.content) > 50_000 for part in found.parts], found.damaged

    assert opened(2) == ([True, True], False)
    assert opened(4) == ([True, True, False, False], True)


def test_an_outlook_file_with_too_much_rich_text_stays_a_file(monkeypatch):
    monkeypatch.setattr(wrappings, "Allowance", lambda: Allowance(left=120_000))
    original = Made({mapi.MESSAGE_CLASS: "IPM.Note", mapi.SUBJECT: "One", mapi.RTF: stored(LONG)})
    files = [Attachment("one.msg", "application/vnd.ms-outlook", msg(original))] * 4

    assert len(originals(files[:2])) == 2
    assert len(originals(files)) == 2


def test_winmails_of_one_message_share_it_too(monkeypatch):
    monkeypatch.setattr(body, "Allowance", lambda: Allowance(left=120_000))
    inside = Made({mapi.SUBJECT: "Inside", mapi.RTF: stored(LONG)})
    wrapped = winmail(Made({}, files=[({mapi.DISPLAY_NAME: "Inside"}, inside)] * 2))
    message = EmailMessage()
    message["From"] = "ada@example.com"
    message.set_content("See there.")
    for number in range(2):
        message.add_attachment(
            wrapped, maintype="application", subtype="ms-tnef", filename=f"w{number}.dat"
        )

    names = [file.filename for file in parse(message.as_bytes()).attachments]

    assert [name for name in names if name.endswith(".dat")] == ["w1.dat"]
