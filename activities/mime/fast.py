"""The fast parser for clean mail: a library in Rust decodes the parts.

It is let near a message only behind a gate: it ends the process over deep nesting, needs quadratic time
for some headers, skips lines it can't read and repairs some encodings without a word. Its tree is then
laid beside the one our own scan finds; what doesn't agree, and whatever the careful parser would report
a defect for, comes back as None, and the caller takes the careful path.
"""

from fast_mail_parser import ParseError, PyLazyMimePart, parse_email_tree

from activities.mime.body import read_body
from activities.mime.careful import Defects, charset_of
from activities.mime.fields import read_fields
from activities.mime.kinds import with_kind
from activities.mime.message import ParsedMessage
from activities.mime.structure import Fields, Part, decode_part, describe, read_header, scan
from activities.mime.words import Report

# The library wins by its base64. Below this size both parsers need the same time (bench_parse).
PAYS_FROM_BYTES = 128 * 1024
MAX_BYTES = 64 * 1024 * 1024
MAX_HEADER_BYTES = 64 * 1024
MAX_ENCODED_WORDS = 500
MAX_DASH_LINES = 200
MAX_PART_HEADER = 4_096

_SANE_MULTIPARTS = frozenset(
    {"multipart/mixed", "multipart/alternative", "multipart/related", "multipart/signed"}
)
_ENCODINGS = frozenset({"7bit", "8bit", "base64", "quoted-printable"})


def gate(raw: bytes) -> bool:
    """Whether the bytes are plain enough for the fast path."""
    return _header_of(raw) is not None


def _header_of(raw: bytes) -> tuple[Fields, int] | None:
    if not 0 < len(raw) <= MAX_BYTES or b"\0" in raw:
        return None
    if raw[:1] in (b" ", b"\t", b"\r", b"\n", b">") or raw.startswith(b"From "):
        return None
    defects = Defects()
    fields, body_start = read_header(raw, 0, defects)
    head = raw[:body_start]
    if defects.any() or not any(name == "from" for name, _ in fields):
        return None
    if not head.isascii() or not head.endswith((b"\n\n", b"\n\r\n")):
        return None
    if len(head) > MAX_HEADER_BYTES or head.count(b"=?") > MAX_ENCODED_WORDS:
        return None
    return (fields, body_start) if _parts_look_sane(raw, body_start) else None


def _parts_look_sane(raw: bytes, body_start: int) -> bool:
    """Few parts, with short headers in ASCII, without encoded words, and no message inside: deep
    nesting must be ruled out before the library sees it."""
    hit = max(0, body_start - 1)
    for _ in range(MAX_DASH_LINES):
        hit = raw.find(b"\n--", hit)
        if hit < 0:
            return True
        window = raw[hit : hit + MAX_PART_HEADER].lower()
        ends = [end for blank in (b"\n\n", b"\n\r\n") if (end := window.find(blank)) >= 0]
        if not ends and len(window) == MAX_PART_HEADER:
            return False
        head = window[: min(ends)] if ends else window
        if b"message/" in window or b"=?" in head or not head.isascii():
            return False
        hit += 1
    return False


def parse_fast(raw: bytes) -> ParsedMessage | None:
    """The same as the careful parser says, or None."""
    header = _header_of(raw)
    if header is None:
        return None
    fields, body_start = header
    defects = Defects()
    described = describe(fields, defects)
    if defects.any() or described.content_type.startswith("message/"):
        return None
    root, _ = scan(raw, described, body_start, defects)
    try:
        if defects.any() or not _decode(raw, root, parse_email_tree(raw, mode="lazy"), defects):
            return None
    except ParseError:
        return None
    values = read_fields(fields, charset_of(root), defects)
    body = read_body(root, defects)
    if defects.any():
        return None
    message = ParsedMessage(
        size=len(raw),
        body_size=len(raw) - body_start,
        html=body.html,
        text=body.text,
        attachments=body.attachments,
        calendar_method=body.calendar_method,
        calendar_uid=body.calendar_uid,
        report_type=body.report_type,
        encrypted=body.encrypted,
        path="fast",
        **values,
    )
    return with_kind(message, fields, root)


def _decode(raw: bytes, part: Part, node: PyLazyMimePart, report: Report) -> bool:
    """Fill in the contents below `part`; False as soon as the two trees differ."""
    if node.is_message or node.content_type != part.content_type:
        return False
    if part.content_type.startswith("multipart/"):
        return (
            part.content_type in _SANE_MULTIPARTS
            and 0 < len(part.children) == len(node.children)
            and all(
                _decode(raw, child, child_node, report)
                for child, child_node in zip(part.children, node.children, strict=True)
            )
        )
    if part.content_type.startswith("message/") or node.children:
        return False
    encoding = _encoding_of(node)
    if encoding != part.encoding or encoding not in {"", *_ENCODINGS}:
        return False
    if encoding == "base64":
        part.content = node.content or b""
    else:
        # The library loses octets of quoted-printable here and there; the standard library is as fast.
        decode_part(raw, part, report)
    return True


def _encoding_of(node: PyLazyMimePart) -> str | None:
    """As the library understood it: it looks for a bare word, and takes anything else as no encoding."""
    found = [
        value
        for name, values in node.headers.items()
        if name.lower() == "content-transfer-encoding"
        for value in values
    ]
    return None if len(found) > 1 else found[0].lower() if found else ""
