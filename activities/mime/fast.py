"""The fast parser for clean mail: a library in Rust finds and decodes the parts.

It is let near a message only behind a gate, and its tree is checked against the boundary lines of the
message. Whatever the careful parser would report a defect for comes back as None, because the
library repairs some things without a word; the caller then takes the careful path.
"""

import re
from collections.abc import Iterator

from fast_mail_parser import ParseError, PyMimePart, parse_email_tree

from activities.mime.body import read_body
from activities.mime.careful import Defects, charset_of
from activities.mime.fields import read_fields
from activities.mime.message import ParsedMessage
from activities.mime.structure import Fields, Part, describe, read_header

MAX_BYTES = 32 * 1024 * 1024
MAX_DELIMITERS = 2_000

_SANE_MULTIPARTS = frozenset(
    {"multipart/mixed", "multipart/alternative", "multipart/related", "multipart/signed"}
)
_TEXTS = ("text/plain", "text/html")
_ENCODINGS = frozenset({"", "7bit", "8bit", "base64", "quoted-printable"})
_BARE_RETURN = re.compile(rb"\r(?!\n)")


def gate(raw: bytes) -> bool:
    """Whether the bytes are plain enough for the fast path."""
    return _header_of(raw) is not None


def _header_of(raw: bytes) -> tuple[Fields, int] | None:
    if not 0 < len(raw) <= MAX_BYTES or b"\0" in raw:
        return None
    if (
        _BARE_RETURN.search(raw)
        or raw[:1] in (b" ", b"\t", b"\r", b"\n", b">")
        or raw.startswith(b"From ")
    ):
        return None
    defects = Defects()
    fields, body_start = read_header(raw, 0, defects)
    if defects.any() or not any(name == "from" for name, _ in fields):
        return None
    if not raw[:body_start].isascii() or not raw[:body_start].endswith((b"\n\n", b"\n\r\n")):
        return None
    if raw.find(b"=?", body_start) >= 0:  # perhaps encoded words in the header of a part
        return None
    return fields, body_start


def parse_fast(raw: bytes) -> ParsedMessage | None:
    """The same as the careful parser says, or None."""
    header = _header_of(raw)
    if header is None:
        return None
    fields, body_start = header
    try:
        tree = parse_email_tree(raw)
    except ParseError:
        return None
    defects = Defects()
    builder = _Builder(raw, body_start, defects)
    root = builder.build(tree, describe(fields, defects))
    if root is None or defects.any() or not builder.agrees_with_lines(root):
        return None
    values = read_fields(fields, charset_of(root), defects)
    body = read_body(root, defects)
    if defects.any():
        return None
    return ParsedMessage(
        size=len(raw),
        body_size=len(raw) - body_start,
        html=body.html,
        text=body.text,
        attachments=body.attachments,
        calendar_method=body.calendar_method,
        report_type=body.report_type,
        encrypted=body.encrypted,
        path="fast",
        **values,
    )


class _Builder:
    """The library's tree as our own parts, given up at the first thing out of the ordinary."""

    def __init__(self, raw: bytes, body_start: int, report: Defects) -> None:
        self._raw = raw
        self._body_start = body_start
        self._report = report
        self._quoted: list[Part] = []

    def build(self, node: PyMimePart, part: Part, depth: int = 0) -> Part | None:
        if node.is_message or node.content_type != part.content_type or depth > 10:
            return None
        if part.content_type.startswith("multipart/"):
            if part.content_type not in _SANE_MULTIPARTS or not node.children:
                return None
            for child_node in node.children:
                fields = _fields_of(child_node)
                if fields is None:
                    return None
                child = self.build(child_node, describe(fields, self._report), depth + 1)
                if child is None:
                    return None
                part.children.append(child)
            return part
        if node.content is None or part.encoding not in _ENCODINGS:
            return None
        if part.content_type.startswith("message/"):
            return None
        part.content = node.content
        if part.encoding == "quoted-printable":
            self._quoted.append(part)
        return part

    def agrees_with_lines(self, root: Part) -> bool:
        """Whether the tree is what the lines of the message say, and nothing was repaired in it."""
        return self._boundaries_agree(root) and (not self._quoted or self._quoted_is_sound())

    def _boundaries_agree(self, root: Part) -> bool:
        expected = list(_delimiters(root))
        if not expected:
            return True
        boundaries = {b"--" + _boundary(part) for part in _multiparts(root)}
        if len(boundaries) != sum(1 for _ in _multiparts(root)) or b"--" in boundaries:
            return False
        openings = tuple(boundaries)
        found: list[bytes] = []
        end = hit = self._body_start - 1
        while (hit := self._raw.find(b"\n--", hit)) >= 0:
            if len(found) > MAX_DELIMITERS:
                return False
            newline = self._raw.find(b"\n", hit + 1)
            line_end = len(self._raw) if newline < 0 else newline
            line = self._raw[hit + 1 : line_end].removesuffix(b"\r")
            if line in boundaries or (line[:-2] in boundaries and line.endswith(b"--")):
                found.append(line)
                end = line_end
            elif line.startswith(openings):
                return False
            hit += 1
        return found == expected and not self._raw[end:].strip()

    def _quoted_is_sound(self) -> bool:
        """The library leaves a broken escape as it is, drops 8-bit octets, makes CRLF of line feeds
        (no matter in text) and a line end of a soft break that nothing follows."""
        raw = self._raw
        if not raw.isascii() or raw.endswith((b"=\n", b"=\r\n")) or b"=3d" in raw:
            return False
        if b"\n\r\n--" in raw and b"=\r\n\r\n--" in raw:
            return False
        if b"\n\n--" in raw and b"=\n\n--" in raw:
            return False
        if any(p.content_type not in _TEXTS or p.disposition == "attachment" for p in self._quoted):
            return False
        # As many equals signs as were escaped: then no other one is left over.
        decoded = sum(part.content.count(b"=") for part in self._quoted)
        return decoded == raw.count(b"=3D", self._body_start)


def _fields_of(node: PyMimePart) -> Fields | None:
    fields: Fields = []
    for name, values in node.headers.items():
        lowered = name.lower()
        if not lowered.startswith(("content-", "x-", "mime-version")) or " " in lowered:
            return None
        for value in values:
            if not value.isascii():
                return None
            fields.append((lowered, value.encode("ascii")))
    return fields


def _multiparts(part: Part) -> Iterator[Part]:
    if part.children:
        yield part
        for child in part.children:
            yield from _multiparts(child)


def _boundary(part: Part) -> bytes:
    return part.parameters.get("boundary", "").encode("utf-8", "replace")


def _delimiters(part: Part) -> Iterator[bytes]:
    """The boundary lines of a well-formed message of this shape, in order."""
    if not part.children:
        return
    delimiter = b"--" + _boundary(part)
    for child in part.children:
        yield delimiter
        yield from _delimiters(child)
    yield delimiter + b"--"
