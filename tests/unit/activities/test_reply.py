"""What replies and forwards take over."""

import pytest

from activities.mime.reply import (
    forward_html,
    forward_subject,
    message_id_for,
    quote_html,
    quote_text,
    reply_references,
    reply_subject,
)


@pytest.mark.parametrize(
    ("subject", "reply"),
    [
        ("Delivery", "RE: Delivery"),
        ("RE: Delivery", "RE: Delivery"),
        ("Re[2]: Delivery", "Re[2]: Delivery"),
        ("AW: Lieferung", "AW: Lieferung"),
        ("Re：部品", "Re：部品"),
        ("FW: Delivery", "RE: FW: Delivery"),
        ("Regarding: x", "RE: Regarding: x"),
        ("", "RE:"),
    ],
)
def test_reply_prefix_is_put_once(subject, reply):
    assert reply_subject(subject) == reply


@pytest.mark.parametrize(
    ("subject", "forward"),
    [
        ("Delivery", "FW: Delivery"),
        ("Fwd: Delivery", "Fwd: Delivery"),
        ("RE: Delivery", "FW: RE: Delivery"),
    ],
)
def test_forward_prefix_is_put_once(subject, forward):
    assert forward_subject(subject) == forward


def test_references_end_with_the_parent():
    assert reply_references("c@x", ("a@x", "b@x")) == ("a@x", "b@x", "c@x")
    assert reply_references("b@x", ("a@x", "b@x")) == ("a@x", "b@x")
    assert reply_references("a@x", ()) == ("a@x",)
    assert reply_references("", ("a@x",)) == ("a@x",)


def test_references_of_long_threads_are_bounded():
    ids = tuple(f"{n}@x" for n in range(300))
    found = reply_references("last@x", ids)
    assert len(found) == 50
    assert (found[0], found[-1]) == ("0@x", "last@x")


def test_message_id_is_made_of_uuid_and_domain():
    assert message_id_for("0190-ab", "Example.COM.") == "0190-ab@example.com"
    assert message_id_for("0190-ab", "bücher.example") == "0190-ab@xn--bcher-kva.example"


@pytest.mark.parametrize(
    ("name", "domain"), [("", "example.com"), ("a", ""), ("a\n", "b"), ("a", "b c")]
)
def test_message_id_of_nonsense_is_refused(name, domain):
    with pytest.raises(ValueError, match="message_id"):
        message_id_for(name, domain)


def test_quoted_html_is_the_body_alone_and_the_intro_is_escaped():
    quoted = quote_html(
        "<html><head><title>t</title></head><body class=a><p>hi</p></body></html>", "A & B:"
    )
    assert "<p>A &amp; B:</p>" in quoted
    assert "<p>hi</p>" in quoted
    assert "title" not in quoted
    assert quoted.count("<blockquote") == quoted.count("</blockquote>") == 1


def test_quoted_text_is_marked_line_by_line():
    assert quote_text("one\n\n> two", "Ada:") == "\nAda:\n> one\n>\n>> two\n"


def test_forwarded_header_is_escaped():
    html = forward_html("<p>hi</p>", [("From", "Ada <ada@example.com>")])
    assert "<b>From:</b> Ada &lt;ada@example.com&gt;" in html
    assert html.endswith("<p>hi</p>\n")
