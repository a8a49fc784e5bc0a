"""The bytes of outgoing messages, and that the parser gets the message back out of them."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.mime.compose import compose, needs_smtputf8
from activities.mime.message import Address, Attachment, OutgoingMessage
from activities.mime.parse import forwarded_originals, parse
from tests.messages import plain, read

SMALLEST = OutgoingMessage(
    message_id="m-1@mail.example.com",
    sender=Address("ada@example.com", "Ada"),
    to=(Address("ben@example.org"),),
    subject="Delivery",
    text="words\n",
    date=datetime(2026, 3, 5, 9, 30, tzinfo=timezone(timedelta(hours=1))),
)
LOGO = Attachment("logo.png", "image/png", b"\x89PNG\r\n\x1a\n", "logo@example.com", inline=True)


def head(raw: bytes) -> bytes:
    return raw.partition(b"\r\n\r\n")[0]


def test_smallest_message_byte_for_byte():
    assert compose(SMALLEST) == (
        b"From: Ada <ada@example.com>\r\n"
        b"To: ben@example.org\r\n"
        b"Subject: Delivery\r\n"
        b"Date: Thu, 05 Mar 2026 09:30:00 +0100\r\n"
        b"Message-ID: <m-1@mail.example.com>\r\n"
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: text/plain; charset="utf-8"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"words\r\n"
    )


def test_second_attempt_has_the_same_bytes():
    message = replace(SMALLEST, html="<p>words</p>", attachments=(LOGO,))
    assert compose(message) == compose(message)


def test_structure_is_what_mail_programs_expect():
    offer = Attachment("offer.pdf", "application/pdf", b"%PDF")
    message = replace(SMALLEST, html='<img src="cid:logo@example.com">', attachments=(LOGO, offer))
    parsed = message_from_bytes(compose(message), policy=default)
    assert [part.get_content_type() for part in parsed.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    assert not any(part.defects for part in parsed.walk())


def test_text_is_made_of_html_where_it_is_missing():
    parsed = parse(compose(replace(SMALLEST, text="", html="<p>one</p><p>two</p>")))
    assert parsed.text == "one\n\ntwo\n"


@pytest.mark.rule("R5.22")
def test_importance_and_reply_to_are_passed_on():
    message = replace(SMALLEST, importance=2, reply_to=(Address("office@example.com", "Büro"),))
    parsed = parse(compose(message))
    assert parsed.importance == 2
    assert parsed.reply_to == message.reply_to
    assert b"Importance: high\r\nX-Priority: 1\r\n" in compose(message)


@pytest.mark.rule("R5.22")
@pytest.mark.parametrize("name", ["Bcc", "bcc", "Resent-Bcc"])
def test_bcc_can_not_be_written(name):
    with pytest.raises(ValueError, match="extra_headers"):
        compose(replace(SMALLEST, extra_headers=((name, "cy@example.org"),)))


def test_receipts_are_asked_for():
    message = replace(
        SMALLEST, read_receipt_to="ada@example.com", delivery_receipt_to="ada@example.com"
    )
    assert b"\r\nDisposition-Notification-To: ada@example.com\r\n" in compose(message)
    assert b"\r\nReturn-Receipt-To: ada@example.com\r\n" in compose(message)


def test_reply_names_its_parents():
    message = replace(
        SMALLEST, in_reply_to="b@example.org", references=("a@example.org", "b@example.org")
    )
    raw = compose(message)
    assert b"\r\nIn-Reply-To: <b@example.org>\r\n" in raw
    assert b"\r\nReferences: <a@example.org>\r\n <b@example.org>\r\n" in raw


def test_long_threads_keep_their_first_and_latest_ids():
    ids = tuple(f"{n}@example.org" for n in range(400))
    assert parse(compose(replace(SMALLEST, references=ids))).references == (ids[0], *ids[-49:])


def test_ids_that_can_not_be_written_are_left_out():
    message = replace(SMALLEST, in_reply_to="größe@x", references=("a b", "ok@example.org", "<>"))
    assert parse(compose(message)).references == ("ok@example.org",)
    assert b"In-Reply-To" not in compose(message)


BREAK_INS = {
    "subject": {"subject": "a\r\nBcc: x@example.org"},
    "from": {"sender": Address("ada@example.com", "a\nb")},
    "to": {"to": (Address("a\r@example.com"),)},
    "cc": {"cc": (Address("a@example.com", "\r\n"),)},
    "reply-to": {"reply_to": (Address("a@example.com\nX: y"),)},
    "message_id": {"message_id": "a@b\r\nX: y"},
    "in_reply_to": {"in_reply_to": "a@b\r\nX: y"},
    "references": {"references": ("a@b", "c\n@d")},
    "read_receipt_to": {"read_receipt_to": "a@example.com\r\nX: y"},
    "delivery_receipt_to": {"delivery_receipt_to": "a@example.com\nX: y"},
    "X-Test": {"extra_headers": (("X-Test", "a\nb"),)},
    "extra_headers": {"extra_headers": (("X:\r\nY", "a"),)},
    "attachment filename": {"attachments": (Attachment("a\r\nb", "a/b", b""),)},
    "attachment content_id": {"attachments": (Attachment("a", "a/b", b"", "c\r\nd"),)},
    "attachment content_type": {"attachments": (Attachment("a", "a/b\r\nX: y", b""),)},
}


@pytest.mark.parametrize("field", BREAK_INS)
def test_line_break_in_a_value_is_refused_by_the_name_of_its_field(field):
    with pytest.raises(ValueError, match=f"^{field}: "):
        compose(replace(SMALLEST, **BREAK_INS[field]))


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ada",
        "@example.com",
        "ada@",
        "a da@example.com",
        "a@b>, <c@d",
        "a,b@example.com",
        "ada@b@example.com",
        "ada@example.com,eve.example",
        '"a"b"@example.com',
        '"a\x0bb"@example.com',
        '"a",eve@example.net,"b"@example.com',
        '"a" <eve@example.net>, "b"@example.com',
    ],
)
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="is no address"):
        compose(replace(SMALLEST, to=(Address(address),)))


def test_naive_date_is_refused():
    with pytest.raises(ValueError, match="date"):
        compose(replace(SMALLEST, date=datetime(2026, 3, 5)))  # noqa: DTZ001 - the point


@pytest.mark.parametrize("name", ["From", "Subject", "Content-Type", "MIME-Version"])
def test_extra_headers_add_and_never_override(name):
    with pytest.raises(ValueError, match="extra_headers"):
        compose(replace(SMALLEST, extra_headers=((name, "x"),)))


def test_international_domain_becomes_ascii():
    raw = compose(replace(SMALLEST, to=(Address("ben@bücher.example"),)))
    assert b"To: ben@xn--bcher-kva.example\r\n" in raw
    assert not needs_smtputf8(raw)


def test_international_local_part_needs_smtputf8():
    message = replace(SMALLEST, to=(Address("jörg@bücher.example", "Jörg"),))
    raw = compose(message)
    assert needs_smtputf8(raw)
    assert parse(raw).to == message.to
    assert not needs_smtputf8(compose(SMALLEST))


@pytest.mark.parametrize(
    ("charset", "text", "label"),
    [
        ("iso-2022-jp", "部品は木曜日\n", b"iso-2022-jp"),
        ("Shift_JIS", "部品 ①\n", b"shift_jis"),
        ("iso-8859-1", "Grüße\n", b"iso-8859-1"),
        ("iso-8859-1", "5 €\n", b"utf-8"),
        ("gb2312", "镕\n", b"utf-8"),
        ("x-unheard-of", "Grüße\n", b"utf-8"),
        ("zlib", "Grüße\n", b"utf-8"),
    ],
)
def test_body_is_written_in_the_charset_that_can_hold_it(charset, text, label):
    raw = compose(replace(SMALLEST, charset=charset, text=text))
    assert b'charset="' + label + b'"' in raw
    assert parse(raw).text == text


@pytest.mark.parametrize(
    "text", ["Grüße " * 400, "部品" * 3000, "x" * 5000, "a\n.\nFrom b\n  c  \n"]
)
def test_lines_are_short_and_seven_bit(text):
    html = f"<p>{text}</p>"
    raw = compose(replace(SMALLEST, subject=text.replace("\n", " "), text=text, html=html))
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert max(map(len, head(raw).split(b"\r\n"))) <= 78
    assert raw.count(b"\r") == raw.count(b"\n") == raw.count(b"\r\n")


@pytest.mark.rule("R3.75")
def test_attached_original_comes_out_as_it_went_in():
    original = read("alternative_with_related")
    attached = Attachment("original.eml", "message/rfc822", original)
    raw = compose(replace(SMALLEST, attachments=(attached,)))
    assert original in raw
    assert forwarded_originals(raw) == [original]


def test_attached_original_with_eight_bits_is_declared():
    attached = Attachment("o.eml", "message/rfc822", plain("Grüße\r\n".encode()))
    raw = compose(replace(SMALLEST, attachments=(attached,)))
    assert raw.count(b"Content-Transfer-Encoding: 8bit") == 2  # the part and what it is in


def test_boundary_inside_an_original_is_avoided():
    inner = compose(replace(SMALLEST, html="<p>x</p>"))
    raw = compose(replace(SMALLEST, attachments=(Attachment("o.eml", "message/rfc822", inner),)))
    assert forwarded_originals(raw) == [inner]


def test_attachment_that_claims_to_be_a_multipart_is_only_a_file():
    file = Attachment("a.bin", "multipart/mixed", b"--x")
    (found,) = parse(compose(replace(SMALLEST, attachments=(file,)))).attachments
    assert (found.content_type, found.content) == ("application/octet-stream", b"--x")


# -- there and back ------------------------------------------------------------------------------

ANY = st.characters(codec="utf-8", exclude_categories=["Cs", "Cc", "Zl", "Zp"])
WORDS = st.text(ANY, max_size=120).map(lambda s: " ".join(s.split()))
PHRASES = st.text(ANY, max_size=40).map(lambda s: " ".join(s.split()))
BODIES = st.lists(st.text(ANY, max_size=100), min_size=1, max_size=6).map(
    lambda x: "\n".join(x) + "\n"
)
LOCALS = st.from_regex(r"[a-z0-9!#$%&'*+=?^_`{|}~-]{1,12}(\.[a-z0-9]{1,5})?", fullmatch=True)
DOMAINS = st.from_regex(r"[a-z0-9]{1,10}\.example", fullmatch=True)
ADDRESSES = st.builds(lambda a, d, n: Address(f"{a}@{d}", n), LOCALS, DOMAINS, PHRASES)
IDS = st.from_regex(r"[A-Za-z0-9$._-]{1,80}@[a-z0-9.]{1,40}", fullmatch=True)
FILES = st.builds(
    Attachment,
    filename=st.text(ANY, min_size=1, max_size=60)
    .map(lambda s: " ".join(s.replace("/", "").replace("\\", "").split()))
    .filter(lambda s: s not in ("", ".", "..")),
    content_type=st.sampled_from(["application/pdf", "image/png", "text/csv", "text/plain"]),
    content=st.binary(max_size=300),
)
MESSAGES = st.builds(
    OutgoingMessage,
    message_id=IDS,
    sender=ADDRESSES,
    to=st.lists(ADDRESSES, max_size=4).map(tuple),
    cc=st.lists(ADDRESSES, max_size=2).map(tuple),
    reply_to=st.lists(ADDRESSES, max_size=1).map(tuple),
    subject=WORDS,
    html=st.just("") | BODIES.map(lambda s: f"<p>{s}</p>\n"),
    text=BODIES,
    date=st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001
        lambda d: d.replace(microsecond=0)
    ),
    in_reply_to=st.just("") | IDS,
    references=st.lists(IDS, max_size=5, unique=True).map(tuple),
    importance=st.sampled_from([0, 1, 2]),
    charset=st.sampled_from(["utf-8", "iso-8859-1", "iso-2022-jp", "shift_jis", "us-ascii"]),
    attachments=st.lists(FILES, max_size=3).map(tuple),
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(MESSAGES)
def test_parser_reads_back_what_was_composed(message):
    raw = compose(message)
    parsed = parse(raw)
    assert raw.isascii()
    assert parsed.defects == ()
    assert parsed.message_id == message.message_id
    assert parsed.senders == (message.sender,)
    assert (parsed.to, parsed.cc, parsed.reply_to) == (message.to, message.cc, message.reply_to)
    assert parsed.bcc == ()
    assert parsed.subject == message.subject
    assert parsed.date == message.date
    assert parsed.in_reply_to == message.in_reply_to
    assert parsed.references == message.references
    assert parsed.importance == message.importance
    assert (parsed.text, parsed.html) == (message.text, message.html)
    assert parsed.attachments == message.attachments


def test_a_forwarded_file_whose_id_no_header_can_hold_is_sent_without_it():
    odd = Attachment("logo.png", "image/png", b"x", "bild\u00fc <1>@example.com")
    mime = compose(replace(SMALLEST, attachments=(odd,)))
    assert b"logo.png" in mime
    assert b"Content-ID" not in mime
