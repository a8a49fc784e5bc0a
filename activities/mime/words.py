"""Header values as people read them: RFC 2047 encoded words, RFC 2231 parameters, raw 8-bit text."""

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import unquote_to_bytes

from activities.mime.charsets import decode_text
from activities.mime.message import Defect
from activities.mime.transfer import decode_base64

Report = Callable[[Defect], None]

_WORD = re.compile(r"=\?([^?\s]{1,80})\?([bBqQ])\?([^?]*)\?=")
_CONTROLS = re.compile("[\x00-\x1f\x7f]+")
_SECTION = re.compile(r"^(.+?)\*(\d{1,4})(\*?)$")
_GAP = re.compile(r"[\s;]*+")
_NAME = re.compile(r"([^\s=;\"]{1,200}+)\s*+=\s*+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*+)("?)', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_Q_ESCAPE = re.compile(rb"=([0-9A-Fa-f]{2})")


def one_line(text: str) -> str:
    """Without line ends and other controls, trimmed."""
    return text.strip() if text.isprintable() else _CONTROLS.sub(" ", text).strip()


def to_text(value: bytes, hint: str, report: Report, field: str) -> str:
    """A raw header value as text; encoded words stay encoded."""
    if value.isascii():
        if b"\x1b" not in value:
            return value.decode("ascii")
        text, _ = decode_text(value)  # ISO-2022-JP without encoded words
        report(Defect("eight_bit_header", field))
        return text
    text, defects = decode_text(value, "utf-8", hint)  # RFC 6532, of those that still do 8 bits
    if defects:
        report(Defect("eight_bit_header", field))
    return text


def decode_words(text: str, report: Report) -> str:
    """RFC 2047. Neighbouring words of one charset are joined as bytes, for senders that split a
    character over two of them."""
    if "=?" not in text:
        return text
    pieces: list[str] = []
    run: list[tuple[str, str, str]] = []
    position = 0
    for word in _WORD.finditer(text):
        between = text[position : word.start()]
        if between and not (run and between.isspace()):
            pieces += _flush(run, report)
            pieces.append(between)
        charset, encoding, payload = word.groups()
        charset = charset.partition("*")[0].lower()  # RFC 2231, 5: charset*language
        if run and (run[-1][0], run[-1][1]) != (charset, encoding.lower()):
            pieces += _flush(run, report)
        run.append((charset, encoding.lower(), payload))
        position = word.end()
    pieces += _flush(run, report)
    pieces.append(text[position:])
    return "".join(pieces)


def _flush(run: list[tuple[str, str, str]], report: Report) -> list[str]:
    if not run:
        return []
    charset, encoding, _ = run[0]
    octets = _base64_words(run, report) if encoding == "b" else _quoted_words(run)
    run.clear()
    text, defects = decode_text(octets, charset)
    for defect in defects:
        report(Defect(defect.code, f"encoded word, {defect.detail}"))
    return [text]


def _base64_words(run: list[tuple[str, str, str]], report: Report) -> bytes:
    payloads = [payload for _, _, payload in run]
    if any(len(p) % 4 and not p.endswith("=") for p in payloads[:-1]):
        payloads = ["".join(payloads)]  # split inside a group of four
    pieces = []
    for payload in payloads:
        octets, defects = decode_base64(payload.encode("utf-8", "replace"))
        pieces.append(octets)
        for defect in defects:
            report(Defect(defect.code, f"encoded word, {defect.detail}"))
    return b"".join(pieces)


def _quoted_words(run: list[tuple[str, str, str]]) -> bytes:
    data = "".join(p for _, _, p in run).replace("_", " ").encode("utf-8", "replace")
    return _Q_ESCAPE.sub(lambda m: bytes((int(m.group(1), 16),)), data)


@lru_cache(maxsize=512)
def _remembered(value: str) -> tuple[str, Mapping[str, str], tuple[Defect, ...]]:
    return _parse_parameters(value)


def parse_parameters(value: str, report: Report) -> tuple[str, Mapping[str, str]]:
    """("text/plain", {"charset": "utf-8"}) of a Content-Type or Content-Disposition value, names in
    lower case. Not to be changed by the caller: common values are remembered."""
    main, parameters, defects = _remembered(value) if len(value) < 200 else _parse_parameters(value)
    for defect in defects:
        report(defect)
    return main, parameters


def _parse_parameters(value: str) -> tuple[str, Mapping[str, str], tuple[Defect, ...]]:
    defects: list[Defect] = []
    main, _, rest = value.partition(";")
    main = main.strip().lower()
    if "=" in main and "/" not in main.partition("=")[0]:  # the main value was left out
        main, rest = "", value
    elif " " in main or "\t" in main:  # "text/plain charset=utf-8", or a comment
        main, _, missed = main.partition(" ")
        main = main.strip()
        if "=" in missed:
            rest = value.strip()[len(main) :]
            defects.append(Defect("missing_semicolon", main[:80]))
    plain: dict[str, str] = {}
    sections: dict[str, dict[int, tuple[str, bool]]] = {}
    for name, text in _pairs(rest):
        section = _SECTION.match(name)
        if section:
            base, number, star = section.groups()
            sections.setdefault(base, {}).setdefault(int(number), (text, bool(star)))
        elif name.endswith("*"):
            sections.setdefault(name[:-1], {}).setdefault(0, (text, True))
        elif name in plain:
            if plain[name] != text:
                defects.append(Defect("repeated_parameter", name[:80]))
        else:
            plain[name] = text
    for name, numbered in sections.items():
        plain[name] = _join_sections(numbered, defects.append)
    for name, text in plain.items():
        if "=?" in text and _WORD.search(text):
            plain[name] = decode_words(text, defects.append)
            defects.append(Defect("encoded_word_in_parameter", name[:80]))
    return main, plain, tuple(defects)


def _pairs(rest: str) -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    position = 0
    while len(pairs) < 1000:
        gap = _GAP.match(rest, position)
        position = gap.end() if gap else position
        name = _NAME.match(rest, position)
        if not name:
            semicolon = rest.find(";", position + 1)
            if semicolon < 0:
                break
            position = semicolon
            continue
        position = name.end()
        quoted = _QUOTED.match(rest, position)
        if quoted:
            text, position = _QUOTED_PAIR.sub(r"\1", quoted.group(1)), quoted.end()
        else:
            semicolon = rest.find(";", position)
            end = len(rest) if semicolon < 0 else semicolon
            text, position = rest[position:end].strip(), end
        pairs.append((name.group(1).lower(), text))
    return pairs


def _join_sections(numbered: dict[int, tuple[str, bool]], report: Report) -> str:
    """RFC 2231, 3 and 4: sections in order, percent-encoded ones in the charset of the first."""
    charset, octets = "", bytearray()
    for order, number in enumerate(sorted(numbered)):
        text, encoded = numbered[number]
        if order == 0 and encoded and text.count("'") >= 2:
            charset, _, text = text.split("'", 2)
        written = text.encode("utf-8", "surrogateescape")
        octets += unquote_to_bytes(written) if encoded else written
    text, defects = decode_text(bytes(octets), charset)
    for defect in defects:
        report(Defect(defect.code, f"parameter, {defect.detail}"))
    return text
