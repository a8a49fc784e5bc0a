"""Text from bytes: which codec a charset label means, and what to do when the label is wrong.

Nothing here yields a silent U+FFFD: bytes that don't fit their label are read in another charset,
and the defect says which.
"""

import re
from encodings.aliases import aliases

from charset_normalizer import from_bytes

from activities.mime.message import Defect

# What the guess looks at. Detection tries dozens of codecs, so its input has to be bounded.
GUESS_BYTES = 32 * 1024
# Stray bytes read one by one before the whole text counts as mislabelled.
MAX_STRAY_BYTES = 20

_NOT_TEXT = {
    "base64_codec",
    "bz2_codec",
    "hex_codec",
    "mbcs",
    "quopri_codec",
    "rot_13",
    "uu_codec",
    "zlib_codec",
}

# A closed table instead of codecs.lookup: its cache keeps every label it was ever asked for, and it
# knows codecs that are no charsets (zlib, idna). Supersets are read as browsers read them.
_CODECS: dict[str, str] = {
    **{codec: codec for codec in aliases.values() if codec not in _NOT_TEXT},
    **{alias: codec for alias, codec in aliases.items() if codec not in _NOT_TEXT},
    **dict.fromkeys(("shift_jis", "sjis", "x_sjis", "shiftjis", "s_jis", "csshiftjis"), "cp932"),
    **dict.fromkeys(("windows_31j", "ms_kanji", "ms932", "cp932", "cp943", "x_ms_cp932"), "cp932"),
    **dict.fromkeys(
        ("iso_2022_jp", "iso2022_jp", "csiso2022jp", "iso_2022_jp_ms", "cp50220"), "iso2022_jp"
    ),
    **dict.fromkeys(
        ("gb2312", "gbk", "gb_2312_80", "x_gbk", "cp936", "csgb2312", "chinese"), "gb18030"
    ),
    **dict.fromkeys(("euc_kr", "ks_c_5601_1987", "ks_c_5601", "ksc5601", "cp949", "uhc"), "cp949"),
    "big5": "cp950",
    "csbig5": "cp950",
    "x_euc_jp": "euc_jp",
    "koi8_u": "koi8_u",
    "koi8_t": "koi8_t",
    "windows_874": "cp874",
    "cp874": "cp874",
    "iso_8859_8_i": "iso8859_8",
    "iso_8859_8_e": "iso8859_8",
    "iso_8859_6_i": "iso8859_6",
    "unicode_1_1_utf_7": "utf_7",
    "utf_8_sig": "utf_8",
    "utf8mb4": "utf_8",
    "unicode": "utf_16",
    "ansi": "cp1252",
    "macintosh": "mac_roman",
    "x_mac_cyrillic": "mac_cyrillic",
    "iso_8859_1_windows_3_1_latin_1": "cp1252",
}
# Scripts whose letters give their charset away, and how much of the text they are at least.
_BY_SCRIPT = (
    ("cp932", re.compile("[\u3040-\u30ff]"), 0.12),
    ("euc_jp", re.compile("[\u3040-\u30ff]"), 0.12),
    ("euc_kr", re.compile("[\uac00-\ud7a3]"), 0.85),
)
# What mail without a label is written in; detection among all codecs finds oddities.
_CANDIDATES = [
    "big5", "cp1250", "cp1251", "cp1252", "cp1253", "cp1254", "cp1255", "cp1256", "cp874", "cp932",
    "euc_jp", "gb18030", "koi8_r",
]  # fmt: skip
_LATIN = {"cp1250", "cp1252", "cp1254"}
# Of the letters of cp1252, those that aren't frequent ones of Central Europe in disguise.
_WESTERN = frozenset("äöüßÄÖÜÉÈÀÇÑéêëàâáãåçîïíñóôõúûèùÿÅÆæœ€„“”‚‘’–—…«»°§£©®·´\xa0¿¡½²³µ")
# Charsets that only fit what was written in them, more or less.
_HINTS = {
    "cp932",
    "euc_jp",
    "cp949",
    "gb18030",
    "cp950",
    "koi8_r",
    "cp1250",
    "cp1251",
    "cp1253",
    "cp1252",
}
_C1 = re.compile(rb"[\x80-\x9f]")
_ESCAPE = re.compile(rb"\x1b(\$[@B]|\$\([DO@BQ]|\([BJI]|\([A-Z])")
_SURROGATES = re.compile("[\ud800-\udfff]")
_LABEL = re.compile(r"[^a-z0-9]+")


def codec_for(label: str) -> str:
    """The Python codec that reads `label`, "" when there is none."""
    if len(label) > 60:
        return ""
    return _CODECS.get(_LABEL.sub("_", label.lower()).strip("_"), "")


def decode_text(data: bytes, label: str = "", hint: str = "") -> tuple[str, list[Defect]]:
    """`data` as text with line feeds as they are, without NUL. `hint`: charset of the text around."""
    text, defects = _decode(data, label, hint)
    if "\0" in text:
        text = text.replace("\0", "")
        defects = [*defects, Defect("nul_removed")]
    if codec_for(label) == "utf_7" and _SURROGATES.search(text):  # other codecs refuse them
        text = _SURROGATES.sub("\ufffd", text)
        defects = [*defects, Defect("lone_surrogates", label)]
    return text, defects


def _decode(data: bytes, label: str, hint: str) -> tuple[str, list[Defect]]:
    if data.startswith(b"\xef\xbb\xbf"):
        return _decode(data[3:], "utf-8", hint)
    codec = codec_for(label)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff") and codec not in ("utf_16", "utf_32"):
        text = _strictly(data, "utf_16")
        if text is not None:
            return text, [Defect("charset_mislabelled", f"{label or 'no charset'}, is utf-16")]
    if not codec or codec == "ascii":
        return _decode_unlabelled(data, label, hint, known=codec == "ascii")
    if codec == "latin_1":
        if not _C1.search(data):
            return data.decode("latin-1"), []
        return _cp1252(data), [Defect("charset_mislabelled", f"{label}, is windows-1252")]
    if codec == "iso2022_jp":
        return _decode_iso2022_jp(data, label, hint)
    if codec in ("utf_16", "utf_32") and data[:2] not in (b"\xff\xfe", b"\xfe\xff", b"\0\0"):
        codec += "_be"  # RFC 2781: without a byte order mark, big-endian
    text = _strictly(data, codec)
    if text is not None:
        return text, []
    if codec == "cp1252":
        return _cp1252(data), [Defect("undecodable_bytes", label)]
    text = _around_strays(data, codec)
    if text is not None:
        return text, [Defect("undecodable_bytes", label)]
    text, used = guess(data, hint)
    return text, [Defect("charset_mislabelled", f"{label}, read as {used}")]


def _decode_unlabelled(
    data: bytes, label: str, hint: str, *, known: bool
) -> tuple[str, list[Defect]]:
    code = "charset_mislabelled" if known else "unknown_charset" if label else "charset_missing"
    if data.isascii() and not _ESCAPE.search(data):
        text, used = data.decode("ascii"), "us-ascii"
        return text, [] if code != "unknown_charset" else [Defect(code, f"{label}, read as {used}")]
    text, used = guess(data, hint)
    return text, [Defect(code, f"{label or 'no charset'}, read as {used}")]


def guess(data: bytes, hint: str = "") -> tuple[str, str]:
    """Text and codec by what the bytes look like. Reads anything: cp1252 comes last."""
    if data.isascii() and _ESCAPE.search(data):
        text = _iso2022_jp(data)
        if text is not None:
            return text, "iso2022_jp"
    text = _strictly(data, "utf_8")
    if text is not None:
        return text, "utf_8"
    hinted = codec_for(hint)
    text = _strictly(data, hinted) if hinted in _HINTS else None
    if text is not None:
        return text, hinted
    for codec, letters, share in _BY_SCRIPT:
        text = _strictly(data, codec)
        if text is not None and _share(letters, text) >= share:
            return text, codec
    codec = _detected(data)
    text = _strictly(data, codec) if codec else None
    if text is not None:
        return text, codec
    text = _around_strays(data, "utf_8")
    if text is not None and len(text) < len(data) - MAX_STRAY_BYTES:
        return text, "utf_8"
    return _cp1252(data), "cp1252"


def _detected(data: bytes) -> str:
    """charset-normalizer's word; "" for texts so short that it would be a lottery."""
    sample = data[:GUESS_BYTES]
    if len(sample) - len(sample.translate(None, _HIGH)) < 8:
        return ""
    best = from_bytes(sample, cp_isolation=_CANDIDATES, enable_fallback=False).best()
    if best is None:
        return ""
    if best.encoding in _LATIN:
        western = _strictly(sample, "cp1252")
        if western is not None and _WESTERN.issuperset(c for c in western if c > "\x7f"):
            return "cp1252"
    return codec_for(best.encoding)


_HIGH = bytes(range(128, 256))


def _share(letters: re.Pattern[str], text: str) -> float:
    beyond_ascii = sum(1 for c in text[:2000] if c > "\x7f")
    return len(letters.findall(text[:2000])) / beyond_ascii if beyond_ascii else 0.0


def _strictly(data: bytes, codec: str) -> str | None:
    try:
        return data.decode(codec)
    except (UnicodeError, ValueError):
        return None


def _around_strays(data: bytes, codec: str) -> str | None:
    """The text with its few stray bytes read as cp1252; None when they are more than a few."""
    view, pieces, position = memoryview(data), [], 0
    beyond_ascii = len(data) - len(data.translate(None, _HIGH))
    allowed = min(MAX_STRAY_BYTES, max(1, beyond_ascii // 10))
    for _ in range(allowed + 1):
        try:
            pieces.append(str(view[position:], codec))
            return "".join(pieces)
        except UnicodeDecodeError as error:
            start, end = position + error.start, position + max(error.end, error.start + 1)
            try:
                pieces.append(str(view[position:start], codec))
            except UnicodeError:  # a stateful codec that can't be cut here
                return None
            pieces.append(_cp1252(bytes(view[start:end])))
            position = end
    return None


def _cp1252(data: bytes) -> str:
    text = _strictly(data, "cp1252")
    if text is not None:
        return text
    # Five bytes have no character in cp1252; they stay what they are in Latin-1.
    return "".join(map(_CP1252.__getitem__, data))


_CP1252 = [
    bytes((n,)).decode("cp1252") if n not in (0x81, 0x8D, 0x8F, 0x90, 0x9D) else chr(n)
    for n in range(256)
]


def _decode_iso2022_jp(data: bytes, label: str, hint: str) -> tuple[str, list[Defect]]:
    if data.isascii():
        text = _strictly(data, "iso2022_jp")
        if text is not None:
            return text, []
        text = _iso2022_jp(data)
        if text is not None:
            # Vendor characters (circled digits, half-width kana): outside the standard, read well.
            return text, [Defect("charset_extension", label)]
    text, used = guess(data, hint)
    return text, [Defect("charset_mislabelled", f"{label}, read as {used}")]


def _iso2022_jp(data: bytes) -> str | None:
    """ISO-2022-JP with the vendor rows and half-width kana that mailers put into it."""
    pieces, mode, position = [], b"(B", 0
    for escape in [*_ESCAPE.finditer(data), None]:
        run = data[position : escape.start() if escape else len(data)]
        text = _jis_run(run, mode)
        if text is None:
            return None
        pieces.append(text)
        if escape:
            mode, position = escape.group(1), escape.end()
    return "".join(pieces)


def _jis_run(run: bytes, mode: bytes) -> str | None:
    if mode in (b"(B", b"(J"):
        return run.decode("latin-1")
    if mode == b"(I":
        return _strictly(bytes(b | 0x80 if 0x21 <= b <= 0x5F else b for b in run), "cp932")
    if mode not in (b"$@", b"$B", b"$(@", b"$(B"):
        return _strictly(b"\x1b" + mode + run, "iso2022_jp_ext")
    out, i = bytearray(), 0
    while i < len(run):
        high, low = run[i], run[i + 1] if i + 1 < len(run) else 0
        if 0x21 <= high <= 0x7E and 0x21 <= low <= 0x7E:
            # JIS X 0208 row and cell to Shift_JIS, so that cp932 reads the vendor rows as well.
            lead = (high - 0x21) // 2 + (0x81 if high < 0x5F else 0xC1)
            trail = low + 0x7E if high % 2 == 0 else low + (0x1F if low < 0x60 else 0x20)
            out += bytes((lead, trail))
            i += 2
        else:
            out.append(high)
            i += 1
    return _strictly(bytes(out), "cp932")


# Narrower than what their labels are read as: nothing outside the label's own set may be written.
_WRITTEN = {"gb2312": "gb2312", "gbk": "gbk", "us_ascii": "ascii"}


def encode_text(text: str, label: str) -> tuple[bytes, str]:
    """Octets and the label that is true for them: `label` if it can hold the text, else utf-8."""
    codec = _WRITTEN.get(_LABEL.sub("_", label.lower()), codec_for(label))
    if codec and not codec.startswith(("utf_16", "utf_32", "utf_7", "utf_8", "hz", "cp037")):
        try:
            octets = text.encode(codec)
        except UnicodeError:
            pass
        else:
            if decode_text(octets, label) == (text, []):
                return octets, label.lower()
    return text.encode("utf-8", "replace"), "utf-8"
