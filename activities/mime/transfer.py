"""Content-Transfer-Encoding undone, broken ones as far as they can be read."""

import binascii
import re

from activities.mime.message import Defect

_WHITE = b" \t\r\n"
_NOT_BASE64 = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)
# Lists and gateways add lines of prose below; no line of base64 holds a blank between words.
_FOOTER = re.compile(
    rb"^(?:--[ \t]*\r?|_{5,100}[ \t]{0,8}\r?|[^\s]{1,80}[ \t]{1,8}[^\s][^\n]*)$", re.MULTILINE
)
_PADDED_RUN = re.compile(rb"[^=]+=*")
_BAD_ESCAPE = re.compile(rb"=(?![0-9A-Fa-f]{2}|[ \t]*\r?\n|[ \t]*\Z)")
_TRAILING_BLANKS = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n|\Z)")
_BLANK_ENDS = (b" \r\n", b" \n", b"\t\r\n", b"\t\n")
_IDENTITY = {"", "7bit", "8bit", "binary"}
_UUENCODE = {"x-uuencode", "uuencode", "x-uue", "uue"}
_UU_BEGIN = re.compile(rb"^begin(?:-base64)? [0-7]{3,4} ([^\r\n]{1,255})\r?$", re.MULTILINE)


def decode_transfer(data: bytes, encoding: str) -> tuple[bytes, list[Defect]]:
    """The octets behind `encoding` (lower case, bare), and what was wrong with them."""
    if encoding in _IDENTITY:
        return data, []
    if encoding == "base64":
        return decode_base64(data)
    if encoding == "quoted-printable":
        return decode_quoted_printable(data)
    if encoding in _UUENCODE:
        found = find_uuencoded(data)
        if found:
            return found[0].content, [Defect("uuencoded")]
    return data, [Defect("unknown_transfer_encoding", encoding[:80])]


def decode_base64(data: bytes) -> tuple[bytes, list[Defect]]:
    compact = data.translate(None, _WHITE)
    try:
        return binascii.a2b_base64(compact, strict_mode=True), []
    except binascii.Error:
        content, defects = _broken_base64(compact)
    footer = _FOOTER.search(data) if defects else None
    if footer is None:
        return content, defects
    if not data[: footer.start()].strip():
        return data, [Defect("not_base64")]
    content, _ = decode_base64(data[: footer.start()])
    return content, [Defect("text_after_base64", f"{len(data) - footer.start()} octets left out")]


def _broken_base64(compact: bytes) -> tuple[bytes, list[Defect]]:
    """Each run up to its padding by itself: the library drops whatever follows the first padding."""
    letters = compact.translate(None, _NOT_BASE64)
    foreign = len(compact) - len(letters)
    runs = _PADDED_RUN.findall(letters)
    pieces, torn = [], letters[:1] == b"="
    for run in runs:
        bare = run.rstrip(b"=")
        torn = torn or len(run) % 4 != 0
        whole = bare[:-1] if len(bare) % 4 == 1 else bare
        pieces.append(binascii.a2b_base64(whole + b"=" * (-len(whole) % 4)))
    if not foreign and not torn:  # well-formed pieces one after the other: nothing was repaired
        return b"".join(pieces), []
    detail = f"{foreign} foreign characters" if foreign else "wrong padding"
    return b"".join(pieces), [Defect("bad_base64", detail)]


def decode_quoted_printable(data: bytes) -> tuple[bytes, list[Defect]]:
    # RFC 2045, 6.7 (3): blanks at the end of a line were added on the way.
    if data.endswith((b" ", b"\t")) or any(blanks in data for blanks in _BLANK_ENDS):
        data = _TRAILING_BLANKS.sub(b"", data)
    bad = _BAD_ESCAPE.search(data)
    defects = (
        [Defect("bad_quoted_printable", ascii(data[bad.start() : bad.start() + 3])[2:-1])]
        if bad
        else []
    )
    return binascii.a2b_qp(data), defects


class Uuencoded:
    """A file found in text, and where: `start` to `end` of the text it was found in."""

    __slots__ = ("content", "end", "filename", "start")

    def __init__(self, filename: bytes, content: bytes, start: int, end: int) -> None:
        self.filename = filename
        self.content = content
        self.start = start
        self.end = end


def find_uuencoded(data: bytes) -> list[Uuencoded]:
    """Complete uuencoded files in `data`; a begin line without its end is left as text."""
    found: list[Uuencoded] = []
    position = 0
    for begin in _UU_BEGIN.finditer(data):
        if begin.start() < position:
            continue
        file = _read_uuencoded(data, begin)
        if file is not None:
            found.append(file)
            position = file.end
    return found


def _read_uuencoded(data: bytes, begin: re.Match[bytes]) -> Uuencoded | None:
    pieces: list[bytes] = []
    position = begin.end() + 1
    while position < len(data):
        newline = data.find(b"\n", position)
        next_line = len(data) if newline < 0 else newline + 1
        if next_line - position > 100:  # no line of a uuencoded file is longer than 63
            return None
        line = data[position:next_line].rstrip(b"\r\n")
        position = next_line
        if line.strip() == b"end":
            return Uuencoded(begin.group(1).strip(), b"".join(pieces), begin.start(), position)
        piece = _uu_line(line)
        if piece is None:
            return None
        pieces.append(piece)
    return None


def _uu_line(line: bytes) -> bytes | None:
    if not line.strip(b" `"):
        return b""
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        pass
    # Some encoders pad lines; cut to what the length octet says.
    try:
        return binascii.a2b_uu(line[: (((line[0] - 32) & 63) * 4 + 5) // 3 + 2])
    except binascii.Error:
        return None
