"""HTML of strangers made fit to show, and the ways between HTML and plain text. Pure."""

import re
from html import escape

from inscriptis import get_text

# Laying out tables needs time and memory; beyond this size the tags are only taken away.
MAX_LAYOUT_CHARACTERS = 2_000_000

_URL = re.compile(r"\b(?:https?://|mailto:)[^\s<>\"']{1,2000}")
_TAG = re.compile(r"<[^<>]*>")


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
    if len(html) <= MAX_LAYOUT_CHARACTERS:
        return str(get_text(html)).strip("\n")
    return _TAG.sub(" ", html)
