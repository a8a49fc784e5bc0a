"""What a file is by its content, whatever its name says; and which extensions a name has in truth.

Signatures of our own, for a file that is taken for a program is left out: the collections of signatures
that libraries bring call each zip a jar, and each XML that stands alone a picture. Only the head is
looked at, and a few places that it points to; archives aren't opened. What can be told by nothing but
reading it as a person would (VBScript, batch files) is told by its name alone.
"""

import re
import unicodedata

HEAD = 4_096

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"\x7fELF", "elf"),
    (0, b"\xfe\xed\xfa\xce", "macho"),
    (0, b"\xfe\xed\xfa\xcf", "macho"),
    (0, b"\xce\xfa\xed\xfe", "macho"),
    (0, b"\xcf\xfa\xed\xfe", "macho"),
    (0, b"L\0\0\0\x01\x14\x02\0\0\0\0\0\xc0\0\0\0\0\0\0F", "lnk"),
    (0, b"ITSF", "chm"),
    (0, b"?_\x03\0", "hlp"),
    (0, b"\0\1\0\0Standard Jet DB", "mdb"),
    (0, b"\0\1\0\0Standard ACE DB", "accdb"),
    (0, b"!BDN", "pst"),
    (0, b"REGEDIT4", "reg"),
    (0, b"Windows Registry Editor Version", "reg"),
    (0, "\ufeffWindows Registry Editor Version".encode("utf-16-le"), "reg"),
    (0, b"[InternetShortcut]", "url"),
    (0, b"#@~^", "vbe"),
    (0, b"MSCF\0\0\0\0", "cab"),
    (0, b"Rar!\x1a\x07", "rar"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"\x1f\x8b\x08", "gz"),
    (0, b"BZh91AY&SY", "bz2"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zst"),
    (7, b"**ACE**", "ace"),
    (257, b"ustar", "tar"),
    (32769, b"CD001", "iso"),
    (0, b"conectix", "vhd"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"%PDF-", "pdf"),
    (0, b"{\\rtf", "rtf"),
    (0, b"\x89PNG\r\n\x1a\n", "png"),
    (0, b"\xff\xd8\xff", "jpg"),
    (0, b"GIF87a", "gif"),
    (0, b"GIF89a", "gif"),
)
_JAVA_VERSIONS = range(45, 100)  # a fat Mach-O has its few architectures in the same place
_MARKUP_PROLOGUE = re.compile(
    rb"(?:\xef\xbb\xbf)?(?:\s{0,100}(?:<\?[^>]{0,500}>|<!--.{0,1000}?-->|<!DOCTYPE[^>]{0,500}>)){0,5}\s{0,100}",
    re.IGNORECASE | re.DOTALL,
)
_MARKUP = (
    (re.compile(rb"<(?:svg:)?svg[\s>]", re.IGNORECASE), "svg"),
    (re.compile(rb"<MMC_ConsoleFile[\s>]"), "msc"),
    (re.compile(rb"<scriptlet[\s>]", re.IGNORECASE), "sct"),
)
_HTML_APPLICATION = re.compile(rb"<hta:application[\s/>]", re.IGNORECASE)
_INTERPRETER = re.compile(
    rb"#![ \t]{0,20}/[^\s]{0,100}?([a-z]{1,20})[0-9.]{0,10}"
    rb"(?:[ \t]{1,5}(?:-[^\s]{1,10}[ \t]{1,5})?([a-z]{1,20})[0-9.]{0,10})?(?:\s|$)"
)
_SCRIPTS = {
    "bash": "sh", "csh": "csh", "dash": "sh", "ksh": "ksh", "node": "js", "osascript": "scpt",
    "perl": "pl", "php": "php", "pwsh": "ps1", "python": "py", "ruby": "rb", "sh": "sh",
    "tcsh": "csh", "zsh": "sh",
}  # fmt: skip

_ZIP = b"PK\x03\x04"
_OOXML_ENTRIES = (
    b"[Content_Types].xml",
    b"_rels/",
    b"docProps/",
    b"word/",
    b"xl/",
    b"ppt/",
    b"visio/",
)
_OOXML = frozenset(
    {
        "docm", "docx", "dotm", "dotx", "potm", "potx", "ppam", "ppsm", "ppsx", "pptm",
        "pptx", "sldx", "thmx", "vsdm", "vsdx", "vstx", "xlam", "xlsb", "xlsm", "xlsx",
        "xltm", "xltx", "xps", "oxps", "nupkg",
    }
)  # fmt: skip
# Other files that are zips by their nature, and nobody means who blocks archives.
_OTHER_ZIPS = frozenset(
    {
        "3mf", "apk", "epub", "idml", "ipa", "jar", "key", "kmz", "numbers", "odb", "odf",
        "odg", "odp", "ods", "odt", "ora", "otp", "ots", "ott", "pages", "sketch", "usdz",
        "war", "whl", "xpi",
    }
)  # fmt: skip
_COMPOUND = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_INSTALLERS = {
    bytes.fromhex(f"{part}00000000c000000000000046"): extension
    for part, extension in (("84100c00", "msi"), ("86100c00", "msp"), ("82100c00", "mst"))
}

# Letters of other alphabets that are drawn like Latin ones.
_LOOK_ALIKES = str.maketrans(
    "аеіјорсухѕԁһɡӏԝοαν\u2024\u3002\uff61",
    "aeijopcyxsdhglwoav...",
)
_ENDS = " .\"'"  # what Windows and mail programs drop from the end of a name


def true_type(content: bytes, filename: str, content_type: str = "") -> str:
    """The extension that belongs to the content, "" if it isn't known.

    `filename` only decides between kinds that share a container: a zip that looks like a document and
    is called one is that document. `content_type` is the sender's word, and counts for nothing.
    """
    head = content[:HEAD]
    if head.startswith(b"MZ"):
        return _program(content)
    if head.startswith(_ZIP):
        return _zip_type(head, _last_extension(filename))
    if head.startswith(_COMPOUND):
        return _installer(content)
    if head.startswith(b"\xca\xfe\xba\xbe"):
        return "class" if int.from_bytes(head[4:8], "big") in _JAVA_VERSIONS else "macho"
    if head.startswith(b"#!"):
        return _script(head)
    return _by_signature(content) or _markup(head)


def _by_signature(content: bytes) -> str:
    for place, signature, extension in _SIGNATURES:
        if content.startswith(signature, place):
            return extension
    return ""


def _program(content: bytes) -> str:
    """MZ alone is how many a text begins."""
    place = int.from_bytes(content[60:64], "little")
    mark = content[place : place + 4]
    if mark == b"PE\0\0":
        flags = int.from_bytes(content[place + 22 : place + 24], "little")
        return "dll" if flags & 0x2000 else "exe"
    if mark[:2] in (b"NE", b"LE", b"LX") or (len(content) >= 28 and b"\0" in content[:64]):
        return "exe"
    return ""


def _zip_type(head: bytes, named: str) -> str:
    entries = [
        head[place + 30 : place + 30 + int.from_bytes(head[place + 26 : place + 28], "little")]
        for place in _places(head, _ZIP)
    ]
    if b"META-INF/MANIFEST.MF" in entries:
        return named if named in ("war", "apk") else "jar"
    if b"AndroidManifest.xml" in entries:
        return "apk"
    if named in _OOXML and any(entry.startswith(_OOXML_ENTRIES) for entry in entries):
        return named
    return named if named in _OTHER_ZIPS else "zip"


def _places(head: bytes, mark: bytes) -> list[int]:
    return [match.start() for match in re.finditer(re.escape(mark), head)]


def _installer(content: bytes) -> str:
    """By the class of the root, which the first entry of the directory names (MS-CFB, 2.6.1)."""
    shift = int.from_bytes(content[30:32], "little")
    directory = int.from_bytes(content[48:52], "little")
    if shift not in (9, 12):
        return ""
    place = (directory + 1 << shift) + 80
    return _INSTALLERS.get(content[place : place + 16], "")


def _script(head: bytes) -> str:
    first = head.partition(b"\n")[0]
    found = _INTERPRETER.match(first)
    if found is None:
        return ""
    name = (found[2] if found[1] == b"env" and found[2] else found[1]).decode()
    return _SCRIPTS.get(name, "sh")


def _markup(head: bytes) -> str:
    prologue = _MARKUP_PROLOGUE.match(head)
    place = prologue.end() if prologue else 0
    for root, extension in _MARKUP:
        if root.match(head, place):
            return extension
    return "hta" if _HTML_APPLICATION.search(head) else ""


def extensions_of(filename: str) -> tuple[str, ...]:
    """What a name may end in for whoever opens the file, in lower case: more than one where it names
    a stream ("invoice.exe::$DATA", "Re: invoice.exe"). Signs that aren't shown, like those that turn
    the direction of writing, are no part of it, and look-alikes count for what they look like.
    """
    name = "".join(c for c in filename if unicodedata.category(c) not in ("Cc", "Cf"))
    name = unicodedata.normalize("NFKC", name).lower().translate(_LOOK_ALIKES)
    found = (_extension(part) for part in [name, *name.split(":")])
    return tuple(dict.fromkeys(extension for extension in found if extension))


def _extension(name: str) -> str:
    _, dot, extension = name.rstrip(_ENDS).rpartition(".")
    return extension if dot else ""


def _last_extension(filename: str) -> str:
    return next(iter(extensions_of(filename)), "")
