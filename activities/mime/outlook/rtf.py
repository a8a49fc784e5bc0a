"""Rich text as Outlook stores it: decompressed (MS-OXRTFCP), and the HTML or plain text inside taken out
again (MS-OXRTFEX). Rich text that was written as such gives its words without their looks.
"""

import re
from dataclasses import dataclass, replace
from typing import Any

from activities.mime.charsets import codec_for

MAX_OCTETS = 4 * 1024 * 1024  # of rich text; what is shown of a body is far less (R3.47)
MAX_DEPTH = 1_000
MAX_TOGETHER = 2 * MAX_OCTETS  # of one message, whatever it holds: a few octets announce many

_DICTIONARY = (
    rb"{\rtf1\ansi\mac\deff0\deftab720{\fonttbl;}{\f0\fnil \froman \fswiss \fmodern \fscript "
    rb"\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\colortbl\red0\green0\blue0"
    b"\r\n"
    rb"\par \pard\plain\f0\fs20\b\i\u\tab\tx"
)
_COMPRESSED, _PLAIN = b"LZFu", b"MELA"
_WINDOW = 4096

_TOKEN = re.compile(
    rb"""(?P<open>\{) | (?P<close>\})
    | \\'(?P<hex>[0-9A-Fa-f]{2})
    | \\(?P<word>[A-Za-z]{1,40})(?P<number>-?\d{1,10})?\ ?
    | \\(?P<symbol>[^A-Za-z])
    | (?P<text>[^{}\\\r\n]+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
# Groups whose text is no text of the message.
_SILENT = frozenset(
    {
        b"fonttbl", b"colortbl", b"stylesheet", b"info", b"pict", b"object", b"header", b"footer",
        b"headerl", b"headerr", b"headerf", b"footerl", b"footerr", b"footerf", b"fldinst", b"themedata",
    }
)  # fmt: skip
_WRITTEN = {
    b"par": "\n", b"line": "\n", b"row": "\n", b"tab": "\t", b"cell": "\t", b"lquote": "‘",
    b"rquote": "’", b"ldblquote": "“", b"rdblquote": "”", b"bullet": "•", b"endash": "–",
    b"emdash": "—", b"emspace": " ", b"enspace": " ",
}  # fmt: skip
_SYMBOLS = {b"~": "\xa0", b"_": "\u2011", b"-": "\xad", b"{": "{", b"}": "}", b"\\": "\\"}
# \fcharset of a font -> code page.
_CHARSETS = {
    0: 1252, 77: 10000, 128: 932, 129: 949, 130: 1361, 134: 936, 136: 950, 161: 1253, 162: 1254,
    163: 1258, 177: 1255, 178: 1256, 186: 1257, 204: 1251, 222: 874, 238: 1250, 255: 437,
}  # fmt: skip


@dataclass(slots=True)
class Allowance:
    """How much rich text is still read for one message. `exceeded`: some of it was not."""

    left: int = MAX_TOGETHER
    exceeded: bool = False

    def grants(self, octets: int) -> bool:
        self.left -= octets
        self.exceeded = self.exceeded or self.left < 0
        return self.left >= 0


def read_compressed(data: bytes, allowance: Allowance | None = None) -> tuple[str, str]:
    """(HTML, text) of compressed rich text: one of the two, or neither."""
    allowance = allowance or Allowance()
    if allowance.exceeded:
        return "", ""
    rich = decompress(data)
    return read_rtf(rich) if allowance.grants(len(rich)) else ("", "")


def decompress(data: bytes) -> bytes:
    """b"" for what is no compressed rich text; what is cut off is read as far as it goes."""
    kind, content = data[8:12], data[16:]
    if kind == _PLAIN:
        return content[:MAX_OCTETS]
    return _decompressed(content) if kind == _COMPRESSED else b""


def _decompressed(content: bytes) -> bytes:
    """Each octet of flags announces eight items: a literal, or place and length of a repetition."""
    out = bytearray(_DICTIONARY)
    position, size, most = 0, len(content), len(_DICTIONARY) + MAX_OCTETS
    while position < size and len(out) < most:
        flags = content[position]
        position += 1
        for bit in range(8):
            if not flags >> bit & 1:
                out += content[position : position + 1]
                position += 1
                continue
            reference = int.from_bytes(content[position : position + 2], "big")
            position += 2
            distance = (len(out) - (reference >> 4)) % _WINDOW
            if position > size or not distance:  # pointing at the next octet to write: the end
                return bytes(out[len(_DICTIONARY) :])
            _repeat(out, distance, (reference & 15) + 2)
    return bytes(out[len(_DICTIONARY) :])


def _repeat(out: bytearray, distance: int, length: int) -> None:
    start = len(out) - distance
    if start < 0:  # what was never written is blank
        out += bytes(min(-start, length))
        return
    piece = out[start : start + length]
    out += (piece * (length // len(piece) + 1))[:length]


@dataclass(frozen=True, slots=True)
class _Group:
    """What holds inside one pair of braces."""

    silent: bool = False
    in_tag: bool = False  # \*\htmltag: HTML as it was
    hidden: bool = False  # \htmlrtf: rich text that only stands in for HTML
    in_fonts: bool = False
    font: int = 0
    skip: int = 1  # characters that stand behind \u for old readers


def read_rtf(rtf: bytes) -> tuple[str, str]:
    """(HTML, text) of rich text."""
    if not rtf.lstrip().startswith(b"{\\rtf"):
        return "", ""
    is_html = b"\\fromhtml" in rtf[:2048]
    reader = _Reader(is_html)
    reader.read(rtf[:MAX_OCTETS])
    return (reader.text(), "") if is_html else ("", reader.text().strip("\n"))


class _Reader:
    def __init__(self, is_html: bool) -> None:
        self._is_html = is_html
        self._group = _Group()
        self._stack: list[_Group] = []
        self._pieces: list[str] = []
        self._octets = bytearray()  # of one character set, not yet decoded
        self._code_page = 1252
        self._fonts: dict[int, int] = {}
        self._skip = 0
        self._starred = False

    def text(self) -> str:
        text = "".join(self._pieces).replace("\0", "")
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")

    def read(self, rtf: bytes) -> None:
        for token in _TOKEN.finditer(rtf):
            kind = token.lastgroup
            if kind == "word" or kind == "number":
                self._word(token["word"], token["number"])
            elif kind == "text":
                self._text(token["text"])
            elif kind == "hex":
                self._text(bytes((int(token["hex"], 16),)))
            elif kind == "symbol":
                self._symbol(token["symbol"])
            elif kind == "open":
                self._open()
            elif kind == "close":
                self._close()
        self._flush()

    def _open(self) -> None:
        self._flush()
        if len(self._stack) < MAX_DEPTH:
            self._stack.append(self._group)
        self._starred = False

    def _close(self) -> None:
        self._flush()
        self._group = self._stack.pop() if self._stack else _Group()
        self._skip = 0

    @property
    def _is_shown(self) -> bool:
        return not self._group.silent and (self._group.in_tag or not self._group.hidden)

    def _text(self, octets: bytes) -> None:
        if self._skip:
            left = max(0, self._skip - len(octets))
            octets, self._skip = octets[self._skip :], left
        if self._is_shown:
            self._octets += octets

    def _write(self, text: str) -> None:
        self._flush()
        if self._is_shown:
            self._pieces.append(text)

    def _flush(self) -> None:
        if self._octets:
            code_page = self._fonts.get(self._group.font, self._code_page)
            codec = codec_for(f"cp{code_page}") or "cp1252"
            self._pieces.append(self._octets.decode(codec, "replace"))
            self._octets.clear()

    def _symbol(self, symbol: bytes) -> None:
        if symbol == b"*":
            self._starred = True
        elif symbol in (b"\r", b"\n"):
            self._write("\n")
        elif symbol in _SYMBOLS:
            self._write(_SYMBOLS[symbol])

    def _word(self, word: bytes, written: bytes | None) -> None:
        number = int(written) if written else None
        starred, self._starred = self._starred, False
        if starred:
            self._destination(word)
        elif word in _SILENT:
            self._change(silent=True, in_fonts=word == b"fonttbl")
        elif word == b"htmlrtf":
            self._change(hidden=number != 0)
        elif word in _WRITTEN:
            self._write(_WRITTEN[word])
        elif number is not None:
            self._numbered(word, number)

    def _destination(self, word: bytes) -> None:
        """Of those that old readers pass over only the tags of HTML are shown."""
        if word == b"htmltag" and self._is_html:
            self._change(in_tag=True)
        else:
            self._change(silent=True)

    def _numbered(self, word: bytes, number: int) -> None:
        if word == b"u":
            self._write(chr(number & 0xFFFF))
            self._skip = self._group.skip
        elif word == b"uc":
            self._change(skip=max(0, min(number, 100)))
        elif word == b"ansicpg":
            self._code_page = number
        elif word == b"f":
            self._change(font=number)
        elif word == b"fcharset" and self._group.in_fonts and len(self._fonts) < 10_000:
            self._fonts[self._group.font] = _CHARSETS.get(number, self._code_page)

    def _change(self, **changes: Any) -> None:
        self._flush()
        self._group = replace(self._group, **changes)
