"""What survives sanitising, and the ways between HTML and text."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.html import html_of, sanitise, text_of, truncate_html


def clean(html: str, **options: bool) -> str:
    return sanitise(html, {"logo@x": "/file/1"}, **options).html


@pytest.mark.parametrize(
    "html",
    [
        "<script>alert(1)</script>",
        "<style>@import 'http://x'</style>",
        "<iframe src=http://x></iframe>",
        "<object data=x></object>",
        "<svg><script>alert(1)</script></svg>",
        "<meta http-equiv=refresh content='0;url=http://x'>",
        "<base href=http://x>",
        "<link rel=stylesheet href=http://x>",
        "<form action=http://x></form>",
        "<input name=a>",
        "<!-- comment -->",
        "<title>t</title>",
        "<video src=http://x></video>",
    ],
)
def test_active_things_vanish(html):
    assert clean(f"{html}") == ""


@pytest.mark.parametrize(
    "html",
    [
        "<p onclick=alert(1)>a</p>",
        "<p id=x class=y>a</p>",
        "<p style='position:fixed;behavior:url(x)'>a</p>",
    ],
)
def test_unwanted_attributes_vanish(html):
    assert clean(html) == "<p>a</p>"


@pytest.mark.parametrize(
    "href",
    [
        "javascript:alert(1)",
        " JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "ftp://x",
        "/admin/",
        "//x",
        "java&#10;script:x",
    ],
)
def test_links_elsewhere_lose_their_target(href):
    assert "href" not in clean(f'<a href="{href}">a</a>')


@pytest.mark.parametrize("href", ["http://x/", "https://x/", "mailto:a@x", "tel:+1"])
def test_links_open_outside_and_tell_nothing(href):
    link = clean(f"<a href='{href}' target=_top rel=opener>a</a>")
    for attribute in (f'href="{href}"', 'target="_blank"', 'rel="noopener noreferrer"'):
        assert link.count(attribute) == 1
    assert "_top" not in link
    assert 'opener"' not in link.replace("noopener noreferrer", "")


REMOTE = [
    "<img src=http://x/a.gif>",
    "<img src=//x/a.gif>",
    "<table background=http://x/a.gif></table>",
    "<p style='background:url(http://x/a.gif)'>a</p>",
    "<p style=\"background-image: URL( 'https://x/a.gif' )\">a</p>",
    "<p style='background:u\\72l(http://x/a.gif)'>a</p>",
    "<p style='background:image-set(\"http://x/a.gif\" 1x)'>a</p>",
    "<p style='background:url(http://x/a.gif'>a</p>",
]


@pytest.mark.parametrize("html", REMOTE)
def test_remote_content_is_blocked_and_counted(html):
    result = sanitise(html, {})
    assert "//x" not in result.html
    assert result.blocked_remote_count == 1


def test_remote_content_comes_back_when_asked_for():
    result = sanitise("".join(REMOTE[:4]), {}, allow_remote=True)
    assert result.blocked_remote_count == 0
    assert result.html.count("x/a.gif") == 4
    assert 'src="https://x/a.gif"' in result.html


def test_inline_images_are_shown_from_their_attachments():
    assert clean("<img src='cid:logo@x'>") == '<img src="/file/1">'
    assert clean("<img src='CID:logo%40x'>") == '<img src="/file/1">'
    assert clean("<p style='background:url(cid:logo@x)'>a</p>") == (
        '<p style="background:url(/file/1)">a</p>'
    )
    assert clean("<img src='cid:unknown'>") == "<img>"
    assert sanitise("<img src='cid:a'>", str.upper).html == '<img src="A">'


def test_embedded_pictures_stay_unless_they_can_run():
    assert "data:image/png" in clean("<img src='data:image/png;base64,AA=='>")
    assert "data:" not in clean("<img src='data:image/svg+xml;base64,AA=='>")


def test_plain_layout_is_kept():
    html = '<table width="600"><tbody><tr><td style="color:red" align="left"><b>a</b></td></tr></tbody></table>'
    assert clean(html) == html


@pytest.mark.parametrize(
    "tag", ["<div>", "<b>", "<table><tr><td>", "<a href=x>", "<p>", "<!--", "</"]
)
def test_absurd_html_is_done_in_seconds(tag):
    began = time.process_time()
    sanitise(tag * 100_000 + "words", {})
    text_of(tag * 100_000 + "words")
    assert time.process_time() - began < 15


def test_text_of_too_deep_html_is_not_lost():
    assert text_of("<div>" * 1_000 + "words") == "words"
    assert clean("<div>" * 1_000 + "words &amp; <script>x</script>") == "words &amp;"


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("a<br>b", "a\nb"),
        ("<ul><li>a<li>b</ul>", "  * a\n  * b"),
        ('<?xml version="1.0" encoding="utf-8"?><p>ä</p>', "ä"),
        ("<style>p {}</style><script>x</script>a", "a"),
        ("<p style='margin-top:99999999em'>a</p>", "a"),
        ("", ""),
        ("<!-- -->", ""),
    ],
)
def test_text_of(html, text):
    assert text_of(html) == text


def test_html_of_escapes_and_links():
    assert html_of("a <b>\nhttps://x.example/?a=1&b=2.") == (
        'a &lt;b&gt;<br>\n<a href="https://x.example/?a=1&amp;b=2">https://x.example/?a=1&amp;b=2</a>.'
    )


@given(st.text())
def test_html_of_never_lets_markup_through(text):
    assert "<" not in html_of(text).replace("<br>", "").replace("<a href=", "").replace("</a>", "")


@pytest.mark.rule("R3.47")
@pytest.mark.parametrize(
    ("html", "limit", "cut"),
    [
        ("<p>abc</p>", 10, "<p>abc</p>"),
        ("<p>abc</p>", 9, "<p>abc"),
        ("<p>ääää", 6, "<p>ä"),
        ("ab &amp; cd", 6, "ab "),
        ("ab <img alt='x y'>", 12, "ab "),
        ("abc", 0, ""),
    ],
)
def test_html_is_cut_between_characters_tags_and_entities(html, limit, cut):
    assert truncate_html(html, limit) == (cut, len(html.encode()) > limit)


@pytest.mark.rule("R3.47")
@given(st.text(max_size=300), st.integers(0, 400))
def test_cut_html_is_a_beginning_within_the_limit(html, limit):
    cut, truncated = truncate_html(html, limit)
    assert html.startswith(cut)
    assert len(cut.encode()) <= max(limit, 0)
    assert truncated == (len(html.encode()) > limit)
