"""Bytes of strangers, handed out so that no browser runs or shows them inside the console."""

from django.http import HttpResponse
from django.utils.http import content_disposition_header

NOTHING_RUNS = "default-src 'none'; base-uri 'none'; form-action 'none'; sandbox"


def as_attachment(content: bytes, file_name: str) -> HttpResponse:
    """Always a download, never a page, whatever type the sender claimed."""
    response = HttpResponse(content, content_type="application/octet-stream")
    response["Content-Disposition"] = content_disposition_header(True, _safe(file_name)) or ""
    response["X-Content-Type-Options"] = "nosniff"
    response["Content-Security-Policy"] = NOTHING_RUNS
    response["Cache-Control"] = "private, no-store"
    return response


def _safe(name: str) -> str:
    """A bare file name: no path, no control characters."""
    bare = name.replace("\\", "/").rpartition("/")[2]
    kept = "".join(letter for letter in bare if letter.isprintable()).strip(". ")
    return kept[:200] or "attachment"
