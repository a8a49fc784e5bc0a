"""Whatever passes the gate is read the same by both parsers."""

from dataclasses import replace
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.mime.careful import parse_carefully
from activities.mime.compose import compose
from activities.mime.fast import gate, parse_fast
from activities.mime.message import Address, Attachment, OutgoingMessage
from activities.mime.parse import parse
from tests.messages import names, nested, plain, read


def assert_equal_if_fast(raw: bytes) -> bool:
    fast = parse_fast(raw)
    if fast is None:
        return False
    assert fast.path == "fast"
    assert replace(fast, path="careful") == parse_carefully(raw)
    return True


@pytest.mark.parametrize("name", names())
def test_corpus_is_read_the_same(name):
    assert_equal_if_fast(read(name))


def test_most_of_the_clean_corpus_takes_the_fast_path():
    clean = [name for name in names() if not parse_carefully(read(name)).defects]
    fast = [name for name in clean if parse_fast(read(name)) is not None]
    assert len(fast) / len(clean) > 0.8


@pytest.mark.parametrize("name", names())
def test_nothing_with_a_defect_takes_the_fast_path(name):
    if parse_carefully(read(name)).defects:
        assert parse_fast(read(name)) is None


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        nested(100_000),
        plain(subject="=?utf-8?q?a?= " * 1_000),
        plain(x_long="x" * 100_000),
        b"From ada\r\n" + plain(),
        plain(
            b"--b\r\nContent-Type: message/rfc822\r\n\r\n",
            content_type="multipart/mixed; boundary=b",
        ),
        plain(b"a\0b"),
        plain(subject="Grüße"),
        plain().replace(b"From: Ada <ada@example.com>\r\n", b""),
    ],
    ids=[
        "empty",
        "deep",
        "many words",
        "long header",
        "mbox",
        "bare cr",
        "nul",
        "8 bit",
        "no from",
    ],
)
def test_gate_keeps_out(raw):
    assert not gate(raw)


def test_large_clean_mail_takes_the_fast_path():
    file = Attachment("data.bin", "application/octet-stream", bytes(range(256)) * 2_000)
    raw = compose(
        OutgoingMessage(
            message_id="m-1@mail.example.com",
            sender=Address("ada@example.com"),
            text="words\n",
            html="<p>Grüße</p>\n",
            date=datetime(2026, 3, 5, tzinfo=UTC),
            attachments=(file,),
        )
    )
    parsed = parse(raw)
    assert parsed.path == "fast"
    assert replace(parsed, path="careful") == parse_carefully(raw)


LINES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=90)
TEXTS = st.lists(LINES, max_size=8).map("\n".join)
ASCII_TEXTS = st.lists(
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=90), max_size=8
).map("\n".join)
NAMES = st.text("abcdefgäöü部品 .-", min_size=1, max_size=30)


@st.composite
def clean_mails(draw) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ada <ada@example.com>"
    message["To"] = "ben@example.org, Cy <cy@example.org>"
    message["Date"] = "Thu, 05 Mar 2026 09:30:00 +0100"
    message["Message-ID"] = "<m-1@mail.example.com>"
    message["Subject"] = draw(LINES)
    charset = draw(st.sampled_from(["utf-8", "us-ascii"]))
    texts = TEXTS if charset == "utf-8" else ASCII_TEXTS
    encoding = draw(st.sampled_from(["quoted-printable", "base64", None]))
    message.set_content(draw(texts), charset=charset, cte=encoding)
    if draw(st.booleans()):
        message.add_alternative(draw(TEXTS), subtype="html", cte=encoding)
    for _ in range(draw(st.integers(0, 2))):
        message.add_attachment(
            draw(st.binary(max_size=200)),
            maintype="application",
            subtype="octet-stream",
            filename=draw(NAMES),
        )
    return message


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(clean_mails(), st.booleans())
def test_generated_mail_is_read_the_same(message, crlf):
    raw = message.as_bytes(policy=SMTP)  # here, for it makes up boundaries
    assert_equal_if_fast(raw if crlf else raw.replace(b"\r\n", b"\n"))


PIECES = [
    b"\r\n", b"\n", b"=", b"=3D", b"=\r\n", b"--", b"--=_m", b"--=_a--\r\n", b"\x1b$B", b"\xff", b"\t: ",
    b" \t", b"=?utf-8?q?a?=", b"Content-Type: text/html\r\n", b"begin 644 x\n", b";", b'"',
    b"Content-Transfer-Encoding: base64\r\n", b"Content-Transfer-Encoding: quoted-printable\r\n",
]  # fmt: skip


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(names()),
    st.lists(
        st.tuples(
            st.floats(0, 1), st.integers(0, 20), st.sampled_from(PIECES) | st.binary(max_size=3)
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_damaged_mail_is_read_the_same_or_kept_out(name, cuts):
    raw = read(name)
    for place, length, insert in cuts:
        at = int(place * len(raw))
        raw = raw[:at] + insert + raw[at + length :]
    assert_equal_if_fast(raw)
