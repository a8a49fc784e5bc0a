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
MAX_HEADER_BYTES = 64 * 1024
MAX_ENCODED_WORDS = 500
MAX_DELIMITERS = 200
MAX_PART_HEADER = 4_096

_SANE_MULTIPARTS = frozenset(
    {"multipart/mixed", "multipart/alternative", "multipart/related", "multipart/signed"}
)
_TEXTS = ("text/plain", "text/html")
_ENCODINGS = frozenset({b"7bit", b"8bit", b"base64", b"quoted-printable"})
_CONTROLS = bytes(set(range(32)) - set(b"\t\r\n")) + b"\x7f"
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
    if raw.count(b"=?", 0, body_start) > MAX_ENCODED_WORDS or body_start > MAX_HEADER_BYTES:
        return None
    if raw.find(b"=?", body_start) >= 0:  # perhaps encoded words in the header of a part
        return None
    return (fields, body_start) if _parts_look_sane(raw, body_start) else None


def _parts_look_sane(raw: bytes, body_start: int) -> bool:
    """Few parts with short headers and no message inside: on deep nesting the library overflows its
    stack, and that ends the process."""
    hit = max(0, body_start - 1)
    for _ in range(MAX_DELIMITERS):
        hit = raw.find(b"\n--", hit)
        if hit < 0:
            return True
        head = raw[hit : hit + MAX_PART_HEADER].lower()
        if b"message/" in head:
            return False
        if len(head) == MAX_PART_HEADER and b"\n\n" not in head and b"\n\r\n" not in head:
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
    try:
        tree = parse_email_tree(raw)
    except ParseError:
        return None
    content_fields = _content_fields(tree)
    if content_fields is None or not _agree(fields, content_fields):
        return None
    builder = _Builder(raw, body_start, defects)
    root = builder.build(tree, described)
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
        self._plain: list[Part] = []
        self._fields: list[Fields] = []  # of the parts, in the order of their boundary lines
        self._dangling = False

    def build(self, node: PyMimePart, part: Part, depth: int = 0) -> Part | None:
        if node.is_message or node.content_type != part.content_type or depth > 10:
            return None
        if part.content_type.startswith("multipart/"):
            if part.content_type not in _SANE_MULTIPARTS or not node.children:
                return None
            for child_node in node.children:
                fields = _content_fields(child_node)
                if fields is None:
                    return None
                self._fields.append(fields)
                child = self.build(child_node, describe(fields, self._report), depth + 1)
                if child is None:
                    return None
                part.children.append(child)
            return part
        if node.content is None:
            return None
        if part.content_type.startswith("message/"):
            return None
        part.content = node.content
        if part.encoding == "quoted-printable":
            self._quoted.append(part)
        elif part.encoding != "base64":
            self._plain.append(part)
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
        bare = {boundary[2:] for boundary in boundaries}
        found: list[bytes] = []
        end = hit = self._body_start - 1
        while (hit := self._raw.find(b"\n--", hit)) >= 0:
            newline = self._raw.find(b"\n", hit + 1)
            line_end = len(self._raw) if newline < 0 else newline
            line = self._raw[hit + 1 : line_end].removesuffix(b"\r")
            if line in boundaries or (line[:-2] in boundaries and line.endswith(b"--")):
                found.append(line)
                end = line_end
                if line in boundaries:  # the library skips lines it can't read in a part's header
                    ours, _ = read_header(self._raw, line_end + 1, self._report, bare)
                    if (
                        self._report.any()
                        or not self._fields
                        or not _agree(ours, self._fields.pop(0))
                    ):
                        return False
                before = self._raw[hit - 4 : hit].replace(b"\r", b"")
                self._dangling = self._dangling or before.endswith(b"=\n")
            elif line.startswith(openings):
                return False
            hit += 1
        return found == expected and not self._raw[end:].strip()

    def _quoted_is_sound(self) -> bool:
        """The library leaves a broken escape as it is, drops 8-bit octets and controls, makes CRLF of
        line feeds (no matter in text) and a line end of a soft break that nothing follows."""
        raw = self._raw
        if self._dangling or not raw.isascii() or raw.endswith((b"=\n", b"=\r\n")):
            return False
        if any(p.content_type not in _TEXTS or p.disposition == "attachment" for p in self._quoted):
            return False
        if len(raw.translate(None, _CONTROLS)) != len(raw):
            return False
        if any(b"=3D" in part.content for part in self._plain):
            return False
        # As many equals signs as were escaped: then no other one is left over.
        decoded = sum(part.content.count(b"=") for part in self._quoted)
        return decoded == raw.count(b"=3D", self._body_start)


def _content_fields(node: PyMimePart) -> Fields | None:
    """The Content-* fields as the library read them; None if one isn't plain."""
    fields: Fields = []
    for name, values in node.headers.items():
        lowered = name.lower()
        if not lowered.startswith("content-"):
            continue
        for value in values:
            if not value.isascii():
                return None
            octets = value.encode("ascii")
            # With comments, quotes or blanks around it the library takes it for another encoding.
            if lowered == "content-transfer-encoding" and octets.lower() not in _ENCODINGS:
                return None
            fields.append((lowered, octets))
    return fields


def _agree(ours: Fields, theirs: Fields) -> bool:
    """Whether both read the same Content-* fields, however they unfolded them."""
    read = [(name, value.split()) for name, value in ours if name.startswith("content-")]
    return sorted(read) == sorted((name, value.split()) for name, value in theirs)


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
