"""The MIME tree of a message: header fields and the octets of each part, cut without a copy of
the rest and without recursion. One pass over the lines that start with two dashes finds every
boundary at every depth, so that the time is linear in the size, whatever the nesting."""

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from activities.mime.message import Defect
from activities.mime.transfer import decode_transfer
from activities.mime.words import Report, one_line, parse_parameters

MAX_DEPTH = 50  # deeper multiparts stay one attachment
MAX_PARTS = 5_000
MAX_FIELDS = 10_000
MAX_HEADER_BYTES = 4 * 1024 * 1024
MAX_DASH_LINES = 2_000_000  # that are no boundary; ends the search in absurd input
MAX_BOUNDARY = 1_000

Fields = list[tuple[str, bytes]]

_WHOLE_FIELD = re.compile(
    rb"([!-9;-~]{1,200}+)[ \t]*+:([^\n]*+(?:\n|\Z)(?:[ \t][^\n]*+(?:\n|\Z))*+)"
)
_KNOWN_FIELD = re.compile(
    rb"(?:from|to|cc|subject|date|message-id|received|return-path|mime-version|reply-to|sender|"
    rb"in-reply-to|references|content-[a-z-]{2,30}|x-[!-9;-~]{1,60}|dkim-signature|delivered-to)[ \t]*:",
    re.IGNORECASE,
)
_TYPE = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+/[!#$%&'*+\-.^_`|~0-9a-z]+")
_OPENING = re.compile(rb"\s*--([^\s]{1,200})[ \t]*\r?\n")
_MESSAGE_TYPES = ("message/rfc822", "message/global")


@dataclass(slots=True)
class Part:
    """One node: a leaf with its decoded `content`, or a multipart with `children`."""

    content_type: str = "text/plain"
    parameters: Mapping[str, str] = field(default_factory=dict)
    disposition: str = ""
    filename: str = ""
    content_id: str = ""
    content_class: str = ""
    content: bytes = b""
    children: list["Part"] = field(default_factory=list)
    encoding: str = ""
    start: int = 0
    end: int = 0

    @property
    def is_multipart(self) -> bool:
        return bool(self.children)


def read_header(
    raw: bytes, position: int, report: Report, delimiters: Container[bytes] = ()
) -> tuple[Fields, int]:
    """The fields from `position` on, names in lower case, values unfolded, and where the body starts.

    `delimiters`: boundaries that end the header of a part that has no blank line.
    """
    fields: Fields = []
    seen: set[str] = set()
    begin, size, dropped = position, len(raw), 0
    while position < size:
        match = _WHOLE_FIELD.match(raw, position)
        if match is None or (delimiters and raw[position : position + 2] == b"--"):
            newline = raw.find(b"\n", position)
            following = size if newline < 0 else newline + 1
            line = raw[position:following].rstrip(b"\r\n")
            if not line:
                position = following
                break
            if line[:2] == b"--" and _boundary_in(line, delimiters):
                break
            if line[0] in b" \t":
                if line.strip():
                    report(Defect("stray_continuation", _shown(line)))
            elif match is None:
                if not _field_follows(raw, following):
                    report(Defect("missing_separator", _shown(line)))
                    break
                report(Defect("malformed_header_line", _shown(line)))
        if match is None:
            position = following
            continue
        name, value = match.groups()
        lowered = name.decode("ascii").lower()
        if len(fields) < MAX_FIELDS or (lowered not in seen and len(seen) < MAX_FIELDS):
            fields.append((lowered, _unfolded(value.strip())))
            seen.add(lowered)
        else:
            dropped += 1
        position = match.end()
        if position - begin > MAX_HEADER_BYTES:
            report(Defect("header_too_long", f"over {MAX_HEADER_BYTES} octets"))
            position = _after_blank_line(raw, position)
            break
    if dropped:
        report(Defect("too_many_fields", f"{len(fields)} kept, {dropped} left out"))
    return fields, position


def _unfolded(value: bytes) -> bytes:
    return value.replace(b"\r\n", b"").replace(b"\n", b"") if b"\n" in value else value


def _shown(line: bytes) -> str:
    return one_line(line[:80].decode("latin-1"))


def _field_follows(raw: bytes, position: int) -> bool:
    """Whether a well-known field comes before the next blank line: then a bad line is only that."""
    for _ in range(20):
        if raw[position : position + 1] in (b"", b"\n"):
            return False
        if raw[position : position + 2] in (b"\r\n", b"--"):
            return False
        if _KNOWN_FIELD.match(raw, position):
            return True
        newline = raw.find(b"\n", position, position + 2000)
        if newline < 0:
            return False
        position = newline + 1
    return False


def _after_blank_line(raw: bytes, position: int) -> int:
    ends = [
        found + len(blank)
        for blank in (b"\n\r\n", b"\n\n")
        if (found := raw.find(blank, max(0, position - 1))) >= 0
    ]
    return min(ends, default=len(raw))


def _boundary_in(line: bytes, boundaries: Container[bytes]) -> bool:
    key = line[2:].rstrip()
    return key in boundaries or (key.endswith(b"--") and key[:-2] in boundaries)


def first(fields: Fields, name: str) -> bytes:
    return next((value for key, value in fields if key == name), b"")


def describe(fields: Fields, report: Report, default_type: str = "text/plain") -> Part:
    """A part as its Content-* fields call it; its place in the message comes later."""
    part = Part(content_type=default_type)
    seen = {}
    for name, value in fields:
        if name.startswith("content-"):
            if name not in seen:
                seen[name] = value.decode("utf-8", "surrogateescape")
            elif name in ("content-type", "content-transfer-encoding", "content-disposition"):
                report(Defect("repeated_header", name))
    if "content-type" in seen:
        content_type, part.parameters = parse_parameters(seen["content-type"], report)
        if _TYPE.fullmatch(content_type):
            part.content_type = content_type
        elif content_type == "text":
            report(Defect("bad_content_type", content_type))
        else:
            report(Defect("bad_content_type", one_line(content_type)[:80]))
            if part.parameters.get("name"):
                part.content_type = "application/octet-stream"
    if "content-disposition" in seen:
        part.disposition, parameters = parse_parameters(seen["content-disposition"], report)
        part.filename = parameters.get("filename", "")
    part.filename = part.filename or part.parameters.get("name", "")
    encoding = seen.get("content-transfer-encoding", "").partition(";")[0]
    part.encoding = encoding.partition("(")[0].strip(' \t"').lower()
    part.content_class = seen.get("content-class", "").strip().lower()
    part.content_id = "".join(seen.get("content-id", "").split()).strip("<>")
    return part


def read_tree(raw: bytes, fields: Fields, body_start: int, report: Report) -> Part:
    """The tree below a message whose header is read; the contents of its leaves are decoded."""
    root, leaves = scan(raw, describe(fields, report), body_start, report)
    for part in leaves:
        decode_part(raw, part, report)
    return root


def scan(raw: bytes, root: Part, body_start: int, report: Report) -> tuple[Part, list[Part]]:
    """The tree and its leaves, each with its place in `raw`, not yet decoded."""
    scanner = _Scan(raw, report)
    scanner.run(root, body_start)
    return scanner.root, scanner.leaves


def decode_part(raw: bytes, part: Part, report: Report) -> None:
    content = raw[part.start : part.end]
    if part.content_type.startswith("multipart/"):
        part.content = content
        return
    part.content, defects = decode_transfer(content, part.encoding)
    for defect in defects:
        report(defect)
    if part.content_type in _MESSAGE_TYPES and part.content != content:
        report(Defect("encoded_message", part.encoding))


class _Scan:
    """Walks the dash lines of a message and keeps the stack of open multiparts."""

    def __init__(self, raw: bytes, report: Report) -> None:
        self.raw = raw
        self.root = Part()
        self.leaves: list[Part] = []
        self._report = report
        self._open: list[tuple[Part, bytes]] = []
        self._levels: dict[bytes, list[int]] = {}
        self._leaf: Part | None = None
        self._parts = 0

    def run(self, root: Part, body_start: int) -> None:
        self.root = root
        self._enter(root, body_start)
        position = max(0, body_start - 1)
        foreign, closed_at = 0, -1
        while self._open:
            hit = self.raw.find(b"\n--", position)
            if hit < 0:
                break
            position = hit + 1
            newline = self.raw.find(b"\n", position)
            line_end = len(self.raw) if newline < 0 else newline + 1
            key, closes = None, False
            if line_end - position < MAX_BOUNDARY + 10:
                key, closes = self._which(self.raw[position + 2 : line_end].rstrip())
            if key is None:
                foreign += 1
                if foreign > MAX_DASH_LINES:
                    self._report(Defect("too_many_dash_lines"))
                    break
                continue
            self._reach(self._levels[key][-1], hit)
            if closes:
                self._close(hit)
                closed_at = line_end
            elif not self._next_part(line_end):
                break
            position = line_end - 1
        else:
            self._note_epilogue(closed_at)
        self._finish()

    def _which(self, key: bytes) -> tuple[bytes | None, bool]:
        if key in self._levels:
            return key, False
        if key.endswith(b"--") and key[:-2] in self._levels:
            return key[:-2], True
        return None, False

    def _enter(self, part: Part, start: int) -> None:
        part.start, part.end = start, len(self.raw)
        self._leaf = None
        if not part.content_type.startswith("multipart/"):
            self._leaf = part
            self.leaves.append(part)
            return
        boundary = self._boundary_of(part)
        if not boundary or len(self._open) >= MAX_DEPTH:
            if boundary:
                self._report(Defect("nested_too_deep", f"over {MAX_DEPTH} levels"))
            self._leaf = part
            self.leaves.append(part)
            return
        self._levels.setdefault(boundary, []).append(len(self._open))
        self._open.append((part, boundary))

    def _boundary_of(self, part: Part) -> bytes:
        boundary = part.parameters.get("boundary", "").encode("utf-8", "surrogateescape").rstrip()
        if boundary and len(boundary) <= MAX_BOUNDARY:
            return boundary
        opening = _OPENING.match(self.raw, part.start)
        if opening and self.raw.find(b"\n--" + opening.group(1), opening.end() - 1) >= 0:
            self._report(Defect("boundary_guessed", part.content_type))
            return opening.group(1)
        self._report(Defect("boundary_missing", part.content_type))
        part.content_type = "text/plain"
        return b""

    def _reach(self, level: int, hit: int) -> None:
        """End what is open below `level`; the line end before the dashes belongs to them."""
        end = hit - 1 if self.raw[hit - 1 : hit] == b"\r" else hit
        if self._leaf is not None:
            self._leaf.end = max(self._leaf.start, end)
            self._leaf = None
        while len(self._open) - 1 > level:
            self._report(Defect("boundary_not_closed", self._open[-1][0].content_type))
            self._pop(end)

    def _close(self, hit: int) -> None:
        self._pop(hit)

    def _pop(self, end: int) -> None:
        part, boundary = self._open.pop()
        levels = self._levels[boundary]
        levels.pop()
        if not levels:
            del self._levels[boundary]
        if not part.children:
            self._report(Defect("boundary_not_found", part.content_type))
            part.content_type = "text/plain"
            part.end = max(part.start, end)
            self.leaves.append(part)

    def _next_part(self, start: int) -> bool:
        if self._parts >= MAX_PARTS:
            self._report(Defect("too_many_parts", f"{MAX_PARTS} kept"))
            return False
        self._parts += 1
        parent = self._open[-1][0]
        fields, body_start = read_header(self.raw, start, self._report, self._levels)
        digest = parent.content_type == "multipart/digest"
        part = describe(fields, self._report, "message/rfc822" if digest else "text/plain")
        parent.children.append(part)
        self._enter(part, min(body_start, len(self.raw)))
        return True

    def _note_epilogue(self, position: int) -> None:
        rest = self.raw[position:].strip() if position >= 0 else b""
        if rest:
            self._report(Defect("text_after_last_boundary", f"{len(rest)} octets"))

    def _finish(self) -> None:
        while self._open:
            part = self._open[-1][0]
            if part.children:
                self._report(Defect("boundary_not_closed", part.content_type))
            self._pop(len(self.raw))
