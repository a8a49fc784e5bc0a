"""Forwarded originals in every wrapping, and ordinary mail in Outlook's."""

from base64 import encodebytes

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.mime.outlook import mapi
from activities.mime.parse import forwarded_originals, parse
from activities.mime.wrappings import looks_like_message
from tests.messages import many_parts, plain, read
from tests.outlook import Made, file, msg, winmail

ORIGINAL = (
    b"From: Cy <cy@example.net>\r\nTo: Ben <ben@example.org>\r\nSubject: The original\r\n"
    b"Date: Thu, 05 Mar 2026 09:30:00 +0100\r\nMessage-ID: <original-1@mail.example.net>\r\n\r\n"
    b"Original words.\r\n"
)


def attached(content: bytes, content_type: str, filename: str = "") -> bytes:
    name = f"; filename={filename}" if filename else ""
    part = f"--b\r\nContent-Type: {content_type}\r\nContent-Disposition: attachment{name}\r\n\r\n"
    body = b"--b\r\n\r\nFYI\r\n" + part.encode() + content + b"\r\n--b--\r\n"
    return plain(body, content_type="multipart/mixed; boundary=b")


# -- forwarded originals -------------------------------------------------------------------------


@pytest.mark.rule("R3.75")
@pytest.mark.parametrize(
    "name",
    [
        "forward_as_attachment",
        "forward_eml_as_octet_stream",
        "forward_eml_as_text",
        "forward_exchange_rule",
        "forward_global",
        "forward_gmail",
        "forward_opaque_signed",
        "forward_signed",
        "forward_thunderbird",
        "forward_without_name_or_type",
    ],
)
def test_an_original_is_given_back_octet_for_octet_in_every_wrapping(name):
    (original,) = forwarded_originals(read(name))
    assert original.rstrip() == ORIGINAL.rstrip()


@pytest.mark.rule("R3.75")
@pytest.mark.parametrize("name", ["forward_outlook_msg", "forward_in_winmail"])
def test_an_original_kept_by_outlook_is_made_again(name):
    (raw,) = forwarded_originals(read(name))
    original, expected = parse(raw), parse(ORIGINAL)
    for column in ("message_id", "subject", "senders", "to", "date"):
        assert getattr(original, column) == getattr(expected, column)
    assert original.text.strip() == "Original words."
    assert original.defects == ()


@pytest.mark.rule("R3.75")
def test_a_mbox_line_in_front_is_part_of_the_file():
    (original,) = forwarded_originals(read("forward_mbox_in_eml"))
    assert parse(original).message_id == "original-1@mail.example.net"


@pytest.mark.rule("R3.75")
def test_of_a_forward_of_a_forward_the_first_level_is_the_original():
    """A rule forwards what arrived. What was attached to that is a file of it."""
    (original,) = forwarded_originals(read("forward_of_a_forward"))
    message = parse(original)
    assert message.message_id == "original-1@mail.example.net"
    assert [a.content_type for a in message.attachments] == ["message/rfc822"]


@pytest.mark.rule("R3.75")
def test_several_originals_of_different_wrappings_come_in_order():
    one, two = ORIGINAL, ORIGINAL.replace(b"original-1", b"original-2")
    inside = Made(
        {mapi.SUBJECT: "Three", mapi.MESSAGE_ID: "<original-3@x>", mapi.MESSAGE_CLASS: "IPM.Note"}
    )
    tnef = winmail(Made({mapi.SUBJECT: "FW"}, (), [({}, inside), file("notes.txt", b"words")]))
    body = b"".join(
        b"--b\r\nContent-Type: " + head + b"\r\n\r\n" + content + b"\r\n"
        for head, content in (
            (b"message/rfc822", one),
            (b"application/octet-stream; name=two.eml", two),
            (b"application/ms-tnef; name=winmail.dat\r\nContent-Transfer-Encoding: binary", tnef),
        )
    )
    raw = plain(body + b"--b--\r\n", content_type="multipart/mixed; boundary=b")
    ids = [parse(original).message_id for original in forwarded_originals(raw)]
    assert ids == [f"original-{n}@{'x' if n == 3 else 'mail.example.net'}" for n in (1, 2, 3)]


@pytest.mark.rule("R3.75")
@pytest.mark.parametrize("name", ["forward_partial", "mixed_pdf", "plain_ascii"])
def test_what_holds_no_whole_message_has_no_original(name):
    assert forwarded_originals(read(name)) == []


@pytest.mark.rule("R3.75")
def test_a_header_alone_is_no_original():
    assert forwarded_originals(attached(ORIGINAL, "text/rfc822-headers")) == []


@pytest.mark.parametrize(
    ("content", "is_message"),
    [
        (ORIGINAL, True),
        (b"From cy@example.net Thu Mar  5 09:30:00 2026\r\n" + ORIGINAL, True),
        (b">From cy@example.net Thu Mar  5 09:30:00 2026\n" + ORIGINAL, True),
        (b"Received: from a by b; Thu\r\nFrom: a@b.example\r\nSubject: x\r\nDate: x\r\n\r\n", True),
        (b"From: Monday\r\nTo: Friday\r\n\r\nopening hours", False),
        (b"Subject: x\r\nDate: y\r\nTo: z\r\nMessage-ID: <a>\r\n\r\nno sender", False),
        (b"Dear Ben,\r\nFrom: Cy\r\nTo: x\r\nSubject: y\r\nDate: z\r\n", False),
        (b"%PDF-1.4\nFrom: x", False),
        (b"", False),
    ],
)
def test_messages_are_known_by_their_header(content, is_message):
    assert looks_like_message(content) is is_message
    found = forwarded_originals(attached(content, "application/octet-stream", "ATT1"))
    assert bool(found) is is_message


def test_a_contact_of_outlook_is_no_mail():
    for kind, count in (("IPM.Contact", 0), ("IPM.Note", 1), ("REPORT.IPM.Note.NDR", 1)):
        content = msg(Made({mapi.MESSAGE_CLASS: kind, mapi.SUBJECT: "x"}))
        head = b"Content-Transfer-Encoding: base64\r\n"
        raw = attached(encodebytes(content), "application/vnd.ms-outlook", "x.msg")
        raw = raw.replace(b"Content-Disposition", head + b"Content-Disposition")
        assert len(forwarded_originals(raw)) == count


# -- winmail.dat in ordinary mail ------------------------------------------------------------------


def test_files_in_winmail_become_files_of_the_message():
    message = parse(read("winmail_with_files"))
    assert message.text.strip() == "Plain words."
    assert message.html == ""  # the message has a body of its own
    assert [(a.filename, a.content_type) for a in message.attachments] == [
        ("Plan.pdf", "application/pdf"),
        ("part.png", "image/png"),
    ]
    assert [(d.code, d.detail) for d in message.defects] == [("winmail_opened", "files: 2")]


def test_the_body_in_winmail_is_that_of_a_message_without_one():
    message = parse(read("winmail_is_all"))
    assert message.html == '<p>Grüße <img src="cid:part@01D"></p>'
    assert [(a.filename, a.inline) for a in message.attachments] == [
        ("Plan.pdf", False),
        ("part.png", True),
    ]
    assert message.defects[0].detail == "files: 2, body"


@pytest.mark.parametrize(
    ("properties", "html", "text"),
    [
        ({mapi.BODY: "words"}, "", "words"),
        ({mapi.HTML: b"<b>words</b>", mapi.BODY: "words"}, "<b>words</b>", "words"),
        ({mapi.SUBJECT: "x"}, "", ""),
    ],
)
def test_a_body_in_winmail_is_used_as_far_as_there_is_one(properties, html, text):
    raw = plain(winmail(Made(properties)), content_type="application/ms-tnef")
    message = parse(raw)
    assert (message.html, message.text) == (html, text)
    assert message.attachments == ()


def test_what_breaks_off_stays_a_file_beside_what_was_found():
    message = parse(read("winmail_cut_off"))
    assert [a.filename for a in message.attachments] == ["winmail.dat", "Plan.pdf"]
    assert "breaks off" in message.defects[0].detail


def test_what_is_only_called_winmail_stays_what_it_is():
    message = parse(read("tnef"))
    assert [a.filename for a in message.attachments] == ["winmail.dat"]
    assert message.defects == ()


@pytest.mark.rule("R3.14")
@pytest.mark.parametrize(
    ("message_class", "method"),
    [
        ("IPM.Schedule.Meeting.Request", "REQUEST"),
        ("IPM.Schedule.Meeting.Canceled", "CANCEL"),
        ("IPM.Schedule.Meeting.Resp.Tent", "REPLY"),
        ("IPM.Note", ""),
    ],
)
def test_calendar_traffic_in_winmail_is_calendar_traffic(message_class, method):
    content = winmail(Made({mapi.MESSAGE_CLASS: message_class}))
    assert parse(plain(content, content_type="application/ms-tnef")).calendar_method == method


def test_names_inside_winmail_are_made_safe_like_others():
    content = winmail(Made({}, (), [file("../../etc/x.txt", b"a"), file("", b"b")]))
    message = parse(plain(content, content_type="application/ms-tnef"))
    assert [a.filename for a in message.attachments] == ["x.txt", "part-2.bin"]


# -- anything at all ---------------------------------------------------------------------------------

WRAPPED = [
    read(name)
    for name in ("forward_in_winmail", "forward_outlook_msg", "smime_opaque_signed_streamed",
                 "winmail_is_all", "forward_opaque_signed", "rights_protected_by_class")
]  # fmt: skip


@settings(max_examples=100, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.data())
def test_no_damage_to_a_wrapping_makes_a_message_unreadable(data):
    octets = bytearray(data.draw(st.sampled_from(WRAPPED)))
    for _ in range(data.draw(st.integers(0, 8))):
        place = data.draw(st.integers(300, len(octets) - 1))
        octets[place] = data.draw(st.integers(0, 255))
    message = parse(bytes(octets[: data.draw(st.integers(300, len(octets)))]))
    assert "unreadable" not in {defect.code for defect in message.defects}
    for original in forwarded_originals(message):
        assert "unreadable" not in {defect.code for defect in parse(original).defects}


def test_thousands_of_parts_are_looked_at_once():
    assert forwarded_originals(many_parts(5_000)) == []
