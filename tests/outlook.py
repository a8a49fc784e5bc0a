"""Outlook's formats, written for tests: winmail.dat, .msg files and the compressed rich text in them."""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from activities.mime.outlook import mapi

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_A_MESSAGE = bytes.fromhex("0703020000000000c000000000000046")

Value = str | int | bytes | datetime


@dataclass(frozen=True)
class Made:
    """An item to write. `files`: (properties, None) or (properties, the message inside)."""

    properties: Mapping[int, Value]
    recipients: Sequence[Mapping[int, Value]] = ()
    files: Sequence[tuple[Mapping[int, Value], "Made | None"]] = ()
    code_page: int = 0
    attributes: Sequence[tuple[int, int, bytes]] = field(default=())  # TNEF's own, in front


def file(name: str, content: bytes, **more: Value) -> tuple[dict[int, Value], None]:
    names = {"type": mapi.FILE_TYPE, "content_id": mapi.CONTENT_ID}
    extra = {names[key]: value for key, value in more.items()}
    return {mapi.FILE_NAME: name, mapi.FILE_DATA: content, **extra}, None


def person(name: str, address: str, role: int = 1) -> dict[int, Value]:
    return {
        mapi.DISPLAY_NAME: name,
        mapi.ADDRESS_TYPE: "SMTP",
        mapi.ADDRESS: address,
        mapi.RECIPIENT_TYPE: role,
    }


def author(name: str, address: str) -> dict[int, Value]:
    return {mapi.AUTHOR_NAME: name, mapi.AUTHOR_TYPE: "SMTP", mapi.AUTHOR: address}


def encoded(value: Value, code_page: int) -> tuple[int, bytes]:
    """(property type, octets)."""
    if isinstance(value, bytes):
        return mapi.BINARY, value
    if isinstance(value, int):
        return mapi.INTEGER32, struct.pack("<I", value)
    if isinstance(value, datetime):
        return mapi.TIME, struct.pack("<Q", int((value - _EPOCH).total_seconds()) * 10**7)
    if code_page:
        return mapi.STRING8, value.encode(f"cp{code_page}") + b"\0"
    return mapi.UNICODE, value.encode("utf-16-le") + b"\0\0"


# -- winmail.dat ---------------------------------------------------------------------------------


def attribute(level: int, tag: int, kind: int, value: bytes) -> bytes:
    head = struct.pack("<BHHI", level, tag, kind, len(value))
    return head + value + struct.pack("<H", sum(value) % 65536)


def winmail(item: Made) -> bytes:
    pieces = [b"\x78\x9f\x3e\x22\x01\x00"]
    pieces += [attribute(1, tag, kind, value) for tag, kind, value in item.attributes]
    if item.code_page:
        pieces.append(attribute(1, 0x9007, 6, struct.pack("<II", item.code_page, 0)))
    if item.properties:
        pieces.append(attribute(1, 0x9003, 6, properties(item.properties, item.code_page)))
    if item.recipients:
        rows = b"".join(properties(row, item.code_page) for row in item.recipients)
        pieces.append(attribute(1, 0x9004, 6, struct.pack("<I", len(item.recipients)) + rows))
    for values, inside in item.files:
        pieces.append(attribute(2, 0x9002, 6, bytes(14)))
        extra = b"" if inside is None else embedded(winmail(inside))
        pieces.append(attribute(2, 0x9005, 6, properties(values, item.code_page, extra)))
    return b"".join(pieces)


def embedded(content: bytes) -> bytes:
    value = _A_MESSAGE + content
    head = struct.pack("<HHII", mapi.OBJECT, mapi.FILE_DATA, 1, len(value))
    return head + value + bytes(-len(value) % 4)


def properties(values: Mapping[int, Value], code_page: int = 0, extra: bytes = b"") -> bytes:
    pieces = [struct.pack("<I", len(values) + bool(extra))]
    for property_id, value in values.items():
        kind, octets = encoded(value, code_page)
        pieces.append(struct.pack("<HH", kind, property_id))
        if kind in (mapi.STRING8, mapi.UNICODE, mapi.BINARY):
            pieces.append(struct.pack("<II", 1, len(octets)))
        pieces.append(octets + bytes(-len(octets) % 4))
    return b"".join(pieces) + extra


# -- .msg ----------------------------------------------------------------------------------------

Tree = dict[str, "bytes | Tree"]


def msg(item: Made) -> bytes:
    return compound(_storage(item, 32))


def _storage(item: Made, head: int) -> Tree:
    tree = _streams(item.properties, head, item.code_page)
    for number, row in enumerate(item.recipients):
        tree[f"__recip_version1.0_#{number:08X}"] = _streams(row, 8, item.code_page)
    for number, (values, inside) in enumerate(item.files):
        below = _streams(values, 8, item.code_page)
        if inside is not None:
            below["__substg1.0_3701000D"] = _storage(inside, 24)
        tree[f"__attach_version1.0_#{number:08X}"] = below
    return tree


def _streams(values: Mapping[int, Value], head: int, code_page: int) -> Tree:
    tree: Tree = {}
    table = bytes(head)
    for property_id, value in values.items():
        kind, octets = encoded(value, code_page)
        fixed = octets
        if kind in (mapi.STRING8, mapi.UNICODE, mapi.BINARY):
            tree[f"__substg1.0_{property_id:04X}{kind:04X}"] = octets
            fixed = struct.pack("<I", len(octets))
        table += struct.pack("<HHI8s", kind, property_id, 6, fixed)
    return {"__properties_version1.0": table, **tree}


def compound(tree: Tree) -> bytes:
    """A compound file: its directory a chain of right siblings, its tables as small as they can be."""
    entries: list[list] = []
    streams: list[tuple[int, bytes]] = []
    _place("Root Entry", tree, entries, streams, kind=5)
    small = b""
    mini_fat: list[int] = []
    sectors: list[bytes] = []
    fat: list[int] = []

    def chain(content: bytes) -> int:
        first = len(sectors)
        count = -(-len(content) // 512)
        sectors.extend(content[i * 512 : i * 512 + 512].ljust(512, b"\0") for i in range(count))
        fat.extend([*range(first + 1, first + count), 0xFFFFFFFE])
        return first

    for number, content in streams:
        entries[number][5] = len(content)
        if len(content) >= 4096:
            entries[number][4] = chain(content)
        elif content:
            first, count = len(mini_fat), -(-len(content) // 64)
            entries[number][4] = first
            small += content.ljust(count * 64, b"\0")
            mini_fat += [*range(first + 1, first + count), 0xFFFFFFFE]
    entries[0][4], entries[0][5] = (chain(small), len(small)) if small else (0xFFFFFFFE, 0)
    mini = chain(struct.pack(f"<{len(mini_fat)}I", *mini_fat)) if mini_fat else 0xFFFFFFFE
    directory = chain(b"".join(_entry(*entry) for entry in entries))
    tables = -(-(len(fat) + 1) // 127)
    own = range(len(sectors), len(sectors) + tables)
    table = struct.pack(f"<{len(fat) + tables}I", *fat, *[0xFFFFFFFD] * tables)
    table = table.ljust(tables * 512, b"\xff")
    head = (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<5H6x", 62, 3, 0xFFFE, 9, 6)
    )
    head += struct.pack("<9I", 0, tables, directory, 0, 4096, mini, 1, 0xFFFFFFFE, 0)
    places = list(own)[:109]
    head += struct.pack("<109I", *places, *[0xFFFFFFFF] * (109 - len(places)))
    return head + b"".join(sectors) + table


def _place(name: str, content, entries: list, streams: list, kind: int) -> int:
    number = len(entries)
    # name, kind, right sibling, child, start, size
    entries.append([name, kind, 0xFFFFFFFF, 0xFFFFFFFF, 0, 0])
    if isinstance(content, bytes):
        entries[number][1] = 2
        streams.append((number, content))
        return number
    previous = None
    for below, inside in content.items():
        child = _place(below, inside, entries, streams, kind=1)
        if previous is None:
            entries[number][3] = child
        else:
            entries[previous][2] = child
        previous = child
    return number


def _entry(name: str, kind: int, right: int, child: int, start: int, size: int) -> bytes:
    written = name.encode("utf-16-le") + b"\0\0"
    head = written.ljust(64, b"\0") + struct.pack("<HBB", len(written), kind, 1)
    head += struct.pack("<III", 0xFFFFFFFF, right, child) + bytes(36)
    return head + struct.pack("<IQ", start, size)


# -- rich text -----------------------------------------------------------------------------------


def compressed(rtf: bytes) -> bytes:
    """Literals alone are well-formed, too: eight of them to each octet of flags."""
    groups = [b"\0" + rtf[start : start + 8] for start in range(0, len(rtf), 8)]
    body = b"".join(groups)
    return struct.pack("<II4sI", len(body) + 12, len(rtf), b"LZFu", 0) + body


def stored(rtf: bytes) -> bytes:
    return struct.pack("<II4sI", len(rtf) + 12, len(rtf), b"MELA", 0) + rtf
