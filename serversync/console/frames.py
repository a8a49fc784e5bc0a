"""The body of a stranger's message as a document of its own, for a sandboxed frame.

It is never part of a page of the console: sanitised, with a policy that lets nothing run and, until a
person asks for them, loads no pictures from elsewhere.
"""

import base64
from collections.abc import Iterable
from dataclasses import dataclass

from django.http import HttpResponse
from django.utils.html import conditional_escape
from django.utils.translation import gettext as _

DOCUMENT = (
    '<!doctype html><html lang=""><head><meta charset="utf-8"><meta name="referrer" '
    'content="no-referrer"><title>{title}</title><style>html{{color-scheme:light;background:#fff}}'
    "body{{margin:16px;color:#222;font:14px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}}"
    "img{{max-width:100%;height:auto}}table{{max-width:100%}}pre{{white-space:pre-wrap}}</style>"
    "</head><body>{body}</body></html>"
)
#: Pictures inside a body that are shown; anything else is a download.
_PICTURES = {
    b"\x89PNG": "image/png",
    b"\xff\xd8\xff": "image/jpeg",
    b"GIF8": "image/gif",
    b"BM": "image/bmp",
    b"RIFF": "image/webp",
}
MOST_PICTURE_BYTES = 12 * 1024 * 1024  # of one body, for they travel inside it


@dataclass(frozen=True, slots=True)
class Picture:
    """A part of a message that its body may show, by its Content-ID without brackets."""

    content_id: str
    content: bytes


def frame(html: str, *, remote: bool) -> HttpResponse:
    """`html`: sanitised; `remote`: pictures from elsewhere may load."""
    response = HttpResponse(DOCUMENT.format(title=conditional_escape(_("Body")), body=html))
    images = "data: https: http:" if remote else "data:"
    response["Content-Security-Policy"] = (
        f"default-src 'none'; img-src {images}; style-src 'unsafe-inline'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'self'; "
        "sandbox allow-popups allow-popups-to-escape-sandbox"
    )
    response["Referrer-Policy"] = "no-referrer"
    response["Cache-Control"] = "private, no-store"
    return response


def in_line(pictures: Iterable[Picture]) -> dict[str, str]:
    """Content-ID -> data: address, for pictures that are what they claim to be."""
    found: dict[str, str] = {}
    for picture in pictures:
        if kind := picture_type(picture.content):
            octets = base64.b64encode(picture.content).decode("ascii")
            found[picture.content_id] = f"data:{kind};base64,{octets}"
    return found


def picture_type(content: bytes) -> str:
    """By the bytes, whatever the sender claims; "" for what is no picture."""
    return next((kind for start, kind in _PICTURES.items() if content.startswith(start)), "")
