"""HTML of strangers made fit to show, and the ways between HTML and plain text. Pure."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from html import escape, unescape
from urllib.parse import unquote

import nh3
from inscriptis import get_text

# Laying out text needs time and memory; beyond this size the tags are only taken away.
MAX_LAYOUT_CHARACTERS = 2_000_000
# The parsers below need quadratic time or give up on deeper trees; mail that people write stays
# below a hundred.
MAX_DEPTH = 400

_TABLE = {"align", "valign", "width", "height", "bgcolor", "background"}
_ATTRIBUTES = {
    "*": {"align", "bgcolor", "dir", "height", "lang", "style", "title", "valign", "width"},
    "a": {"href", "name"},
    "basefont": {"color", "face", "size"},
    "blockquote": {"type"},
    "col": {"span"},
    "colgroup": {"span"},
    "font": {"color", "face", "size"},
    "img": {"alt", "border", "hspace", "src", "srcset", "vspace"},
    "ol": {"start", "type"},
    "table": _TABLE | {"border", "cellpadding", "cellspacing", "rules", "frame", "summary"},
    "td": _TABLE | {"colspan", "rowspan", "nowrap", "headers", "scope"},
    "th": _TABLE | {"colspan", "rowspan", "nowrap", "headers", "scope"},
    "tr": _TABLE,
    "ul": {"type"},
}
_TAGS = {
    "a", "abbr", "acronym", "address", "article", "aside", "b", "bdi", "bdo", "big", "blockquote",
    "br", "caption", "center", "cite", "code", "col", "colgroup", "dd", "del", "dfn", "dir", "div",
    "dl", "dt", "em", "figcaption", "figure", "font", "footer", "h1", "h2", "h3", "h4", "h5", "h6",
    "header", "hr", "i", "img", "ins", "kbd", "li", "main", "mark", "nav", "ol", "p", "pre", "q", "rp",
    "rt", "ruby", "s", "samp", "section", "small", "span", "strike", "strong", "sub", "sup", "table",
    "tbody", "td", "tfoot", "th", "thead", "tr", "tt", "u", "ul", "var", "wbr",
}  # fmt: skip
_DROPPED_WITH_CONTENT = {
    "applet", "audio", "canvas", "embed", "frame", "frameset", "iframe", "math", "noembed",
    "noframes", "noscript", "object", "script", "style", "svg", "template", "title", "video", "xml",
}  # fmt: skip
_SCHEMES = {"http", "https", "mailto", "tel", "cid", "data"}
_LINK = re.compile(r"(?:https?|mailto|tel):", re.IGNORECASE)
_REMOTE = re.compile(r"(?:https?:)?//", re.IGNORECASE)
_DATA_IMAGE = re.compile(r"data:image/(?:png|gif|jpe?g|webp|bmp);base64,", re.IGNORECASE)
_CSS_REMOTE = re.compile(r"//|https?:", re.IGNORECASE)
_CSS_URL = re.compile(r"url\(\s*(['\"]?)([^'\"()\\]*)\1\s*\)", re.IGNORECASE)
_CSS_CALL = re.compile(r"([\w-]*)\s*\(")
_CSS_CALLS = {"rgb", "rgba", "hsl", "hsla", "calc", "url"}
# What could cover the page around the message, or reach out of its frame's box.
_CSS_UNWANTED = {
    "position",
    "z-index",
    "behavior",
    "-moz-binding",
    "content",
    "cursor",
    "pointer-events",
}

_URL = re.compile(r"\b(?:https?://|mailto:)[^\s<>\"']{1,2000}")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.DOTALL)
_HIDDEN = re.compile(
    r"<(script|style|title|head)\b[^<>]*>.*?(?:</\1\s*>|\Z)", re.IGNORECASE | re.DOTALL
)
_TAG = re.compile(r"<[^<>]*>")
_LINE_END = re.compile(r"<(?:br|/p|/div|/tr|/li|/h[1-6])\b[^<>]*>", re.IGNORECASE)
_NESTING = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9]{0,20})\b")
# Tags that people may leave open, or that hold nothing.
_UNNESTED = {
    "area", "base", "br", "col", "dd", "dt", "hr", "img", "input", "li", "link", "meta", "option", "p",
    "td", "th", "tr", "wbr",
}  # fmt: skip
_STYLE = re.compile(r"\bstyle\s*=\s*(\"[^\"]*\"|'[^']*')", re.IGNORECASE)
_LONG_NUMBER = re.compile(r"\d{4,}")
_PARTIAL_TAG = re.compile(r"<[^<>]{0,5000}\Z")
_PARTIAL_ENTITY = re.compile(r"&#?\w{0,31}\Z")


@dataclass(frozen=True, slots=True)
class Sanitised:
    """HTML to show in a sandboxed frame, and how many remote things it would have fetched."""

    html: str
    blocked_remote_count: int


def sanitise(
    html: str,
    cid_url: Callable[[str], str | None] | Mapping[str, str],
    *,
    allow_remote: bool = False,
) -> Sanitised:
    """`html` without anything that runs, submits, loads or leaves the frame unasked.

    `cid_url` gives the address of an inline image for its Content-ID, None for an unknown one.
    """
    if _depth(html) > MAX_DEPTH:
        return Sanitised(html_of(_without_tags(html)), 0)
    guard = _Guard(cid_url if callable(cid_url) else cid_url.get, allow_remote=allow_remote)
    clean = nh3.clean(
        html,
        tags=_TAGS,
        clean_content_tags=_DROPPED_WITH_CONTENT,
        attributes=_ATTRIBUTES,
        attribute_filter=guard,
        url_schemes=_SCHEMES,
        link_rel="noopener noreferrer",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return Sanitised(clean, guard.blocked)


class _Guard:
    """Judges each attribute that nh3 lets through: (tag, name, value) -> value or None."""

    def __init__(self, cid_url: Callable[[str], str | None], *, allow_remote: bool) -> None:
        self.blocked = 0
        self._cid_url = cid_url
        self._allow_remote = allow_remote

    def __call__(self, tag: str, name: str, value: str) -> str | None:
        if name == "href":
            return value if _LINK.match(value.strip()) else None
        if name in ("src", "background"):
            return self._image(value.strip())
        if name == "srcset":  # the same picture in other sizes: `src` shows it
            return None
        if name == "style":
            return self._style(value)
        return value

    def _image(self, url: str) -> str | None:
        if url[:4].lower() == "cid:":
            return self._cid_url(unquote(url[4:]).strip("<>"))
        if _DATA_IMAGE.match(url):
            return url
        if _REMOTE.match(url):
            return self._remote(f"https:{url}" if url.startswith("//") else url)
        return None

    def _remote(self, url: str) -> str | None:
        if self._allow_remote:
            return url
        self.blocked += 1
        return None

    def _style(self, style: str) -> str | None:
        kept = []
        for declaration in style.split(";"):
            name, colon, value = declaration.partition(":")
            if colon and name.strip().lower() not in _CSS_UNWANTED:
                safe = self._css_value(value)
                if safe is not None:
                    kept.append(f"{name.strip()}:{safe}")
        return ";".join(kept) or None

    def _css_value(self, value: str) -> str | None:
        """None for what could load, run, or hide such a thing behind escapes."""
        if "\\" in value or "/*" in value or "<" in value:
            self.blocked += bool(_CSS_REMOTE.search(value) and not self._allow_remote)
            return None
        calls = {call.lower() for call in _CSS_CALL.findall(value)}
        urls = _CSS_URL.findall(value)
        if calls - _CSS_CALLS or len(urls) != value.lower().count("url"):
            self.blocked += bool(_CSS_REMOTE.search(value) and not self._allow_remote)
            return None
        for _, url in urls:
            shown = self._image(url.strip())
            if shown is None or re.search(r"[\s'\"();\\<>]", shown):
                return None
            value = value.replace(url, shown)
        return value.strip()


def html_of(text: str) -> str:
    """Plain text as an HTML fragment: escaped, lines kept, addresses of pages made links."""
    pieces, position = [], 0
    for match in _URL.finditer(text):
        url = match.group().rstrip(".,;:!?)]")
        pieces.append(escape(text[position : match.start()]))
        pieces.append(f'<a href="{escape(url)}">{escape(url)}</a>')
        position = match.start() + len(url)
    pieces.append(escape(text[position:]))
    return "".join(pieces).replace("\n", "<br>\n")


def text_of(html: str) -> str:
    """What a reader of `html` sees, as plain text laid out in lines."""
    if len(html) > MAX_LAYOUT_CHARACTERS or _depth(html) > MAX_DEPTH:
        return _without_tags(html)
    # Margins become blank lines, and a style may ask for a billion of them.
    modest = (
        _STYLE.sub(lambda m: _LONG_NUMBER.sub("999", m.group()), html) if "style" in html else html
    )
    return str(get_text(modest)).strip("\n")


def _without_tags(html: str) -> str:
    text = _HIDDEN.sub(" ", _COMMENT.sub("", html))
    text = unescape(_TAG.sub("", _LINE_END.sub("\n", text)))
    return re.sub(r"[ \t\r\f\v]+", " ", text).strip()


def _depth(html: str) -> int:
    """About how deep the elements nest."""
    if html.count("<") <= MAX_DEPTH:
        return 0
    depth = deepest = 0
    for closing, tag in _NESTING.findall(html):
        if tag.lower() in _UNNESTED:
            continue
        depth = max(0, depth - 1) if closing else depth + 1
        deepest = max(deepest, depth)
    return deepest


def truncate_html(html: str, limit_bytes: int) -> tuple[str, bool]:
    """`html` in at most `limit_bytes` of UTF-8, cut between characters, tags and entities (R3.47).

    Elements that the cut leaves open are closed by whoever parses the fragment.
    """
    octets = html.encode("utf-8", "replace")
    if len(octets) <= limit_bytes:
        return html, False
    text = octets[:limit_bytes].decode("utf-8", "ignore")
    # Only the end is looked at: no tag worth keeping is longer.
    end = _PARTIAL_ENTITY.sub("", _PARTIAL_TAG.sub("", text[-5000:]))
    return text[:-5000] + end, True
