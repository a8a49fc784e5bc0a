"""winmail.dat: the Transport Neutral Encapsulation Format (MS-OXTNEF), into the items of `mapi`."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

from activities.mime.addresses import MAX_ADDRESSES
from activities.mime.outlook import mapi
from activities.mime.outlook.mapi import File, Item, Properties
from activities.mime.structure import MAX_PARTS

SIGNATURE = b"\x78\x9f\x3e\x22"

_HEADER_SIZE = 6  # signature and a key
_MESSAGE, _ATTACHMENT = 1, 2
# Attributes, by the lower half of their tags.
_FROM, _SUBJECT, _SENT, _RECEIVED, _CLASS, _BODY = 0x8000, 0x8004, 0x8005, 0x8006, 0x8008, 0x800C
_PROPERTIES, _RECIPIENTS, _CODE_PAGE = 0x9003, 0x9004, 0x9007
_NEW_FILE, _FILE_PROPERTIES, _FILE_DATA, _FILE_NAME = 0x9002, 0x9005, 0x800F, 0x8010
_TEXTS = {_SUBJECT: mapi.SUBJECT, _CLASS: mapi.MESSAGE_CLASS, _BODY: mapi.BODY}
_TIMES = {_SENT: mapi.SUBMITTED, _RECEIVED: mapi.DELIVERED}
_SIZES = {2: 4, 3: 4, 4: 4, 5: 8, 6: 8, 7: 8, 0xA: 4, 0xB: 4, 0x14: 8, 0x40: 8, 0x48: 16}
_VARIABLE = (mapi.STRING8, mapi.UNICODE, mapi.BINARY, mapi.OBJECT)
_NAMED = 0x8000  # ids from here on come with their name
_INTERFACE_SIZE = 16  # an embedded object begins with the id of its interface
_A_MESSAGE = bytes.fromhex("0703020000000000c000000000000046")
_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)

Values = dict[int, tuple[int, bytes]]


class Truncated(ValueError):
    """The bytes end before what they announce."""


@dataclass(frozen=True, slots=True)
class Tnef:
    """`damaged`: it broke off; `item` has what came before."""

    item: Item
    damaged: bool


@dataclass(slots=True)
class _Found:
    """Attributes as they come, until the code page is known."""

    values: Values = field(default_factory=dict)
    old: Values = field(default_factory=dict)  # from before MAPI; give way to `values`
    recipients: list[Values] = field(default_factory=list)
    files: list[tuple[Values, Values]] = field(default_factory=list)
    code_page: int = 0


def read_tnef(data: bytes) -> Tnef | None:
    """None if it is no winmail.dat, or holds nothing."""
    return _read(memoryview(data), 0)


def _read(data: memoryview, depth: int) -> Tnef | None:
    if data[:4] != SIGNATURE:
        return None
    found, damaged = _Found(), False
    try:
        for level, tag, value in _attributes(data):
            damaged = not _take_whole(found, level, tag, value) or damaged
    except Truncated:
        damaged = True
    if not (found.values or found.old or found.files):
        return None
    properties = Properties(found.old | found.values, found.code_page)
    page = properties.code_page
    return Tnef(
        Item(
            properties,
            [Properties(values, page) for values in found.recipients],
            [_file(old | values, page, depth) for old, values in found.files if old or values],
        ),
        damaged,
    )


def _attributes(data: memoryview) -> Iterator[tuple[int, int, memoryview]]:
    """(level, tag, value). Checksums aren't checked: programs exist that write wrong ones."""
    cursor = _Cursor(data, _HEADER_SIZE)
    while cursor.position < len(data):
        level = cursor.take(1)[0]
        if level not in (_MESSAGE, _ATTACHMENT):
            if bytes(data[cursor.position - 1 :]).strip(b"\0\r\n "):
                raise Truncated("no attribute")
            return  # blanks that were added on the way
        tag = cursor.number() & 0xFFFF
        value = cursor.take(cursor.number())
        yield level, tag, value
        if cursor.position < len(data):
            cursor.take(2)


class _Cursor:
    def __init__(self, data: memoryview, position: int = 0) -> None:
        self.data = data
        self.position = position

    def take(self, size: int) -> memoryview:
        end = self.position + size
        if end > len(self.data):
            raise Truncated(f"{end - len(self.data)} octets are missing")
        piece = self.data[self.position : end]
        self.position = end
        return piece

    def number(self, size: int = 4) -> int:
        return int.from_bytes(self.take(size), "little")


def _take_whole(found: _Found, level: int, tag: int, value: memoryview) -> bool:
    """Whether nothing was missing; one broken attribute doesn't spoil the next."""
    try:
        _take(found, level, tag, value)
    except Truncated:
        return False
    return True


def _take(found: _Found, level: int, tag: int, value: memoryview) -> None:
    if level == _ATTACHMENT:
        _take_file(found, tag, value)
    elif tag == _PROPERTIES:
        found.values |= _properties(_Cursor(value))
    elif tag == _RECIPIENTS:
        cursor = _Cursor(value)
        for _ in range(cursor.number()):
            if len(found.recipients) >= MAX_ADDRESSES:
                raise Truncated("too many recipients")
            found.recipients.append(_properties(cursor))
    elif tag == _CODE_PAGE:
        found.code_page = int.from_bytes(value[:4], "little")
    elif tag == _FROM:
        found.old |= _sender(value)
    elif tag in _TEXTS:
        found.old[_TEXTS[tag]] = (mapi.STRING8, bytes(value))
    elif tag in _TIMES:
        found.old |= _time(_TIMES[tag], value)


def _take_file(found: _Found, tag: int, value: memoryview) -> None:
    if tag == _NEW_FILE or not found.files:
        if len(found.files) >= MAX_PARTS:
            raise Truncated("too many files")
        found.files.append(({}, {}))
    old, values = found.files[-1]
    if tag == _FILE_DATA:
        old[mapi.FILE_DATA] = (mapi.BINARY, bytes(value))
    elif tag == _FILE_NAME:
        old[mapi.FILE_NAME] = (mapi.STRING8, bytes(value))
    elif tag == _FILE_PROPERTIES:
        values |= _properties(_Cursor(value))


def _properties(cursor: _Cursor) -> Values:
    values: Values = {}
    for _ in range(cursor.number()):
        kind, property_id = cursor.number(2), cursor.number(2)
        if property_id >= _NAMED:
            _skip_name(cursor)
        several = bool(kind & mapi.SEVERAL)
        kind &= ~mapi.SEVERAL
        count = cursor.number() if several or kind in _VARIABLE else 1
        for _ in range(count):
            octets = _value(cursor, kind)
            if not several and property_id < _NAMED:
                values[property_id] = (kind, octets)
    return values


def _skip_name(cursor: _Cursor) -> None:
    cursor.take(16)
    by_name = cursor.number() == 1
    if by_name:
        cursor.take(_padded(cursor.number()))
    else:
        cursor.take(4)


def _value(cursor: _Cursor, kind: int) -> bytes:
    if kind in _VARIABLE:
        size = cursor.number()
        return bytes(cursor.take(_padded(size))[:size])
    if kind not in _SIZES:
        raise Truncated(f"property type {kind:#06x}")
    return bytes(cursor.take(_SIZES[kind]))


def _padded(size: int) -> int:
    return (size + 3) // 4 * 4


def _file(values: Values, code_page: int, depth: int) -> File:
    kind, octets = values.get(mapi.FILE_DATA, (mapi.BINARY, b""))
    if kind != mapi.OBJECT:
        return File(Properties(values, code_page))
    interface, content = octets[:_INTERFACE_SIZE], memoryview(octets)[_INTERFACE_SIZE:]
    if interface == _A_MESSAGE and depth < mapi.MAX_DEPTH:
        inner = _read(content, depth + 1)
        if inner is not None:
            return File(Properties(values, code_page), inner.item)
    content_alone = {mapi.FILE_DATA: (mapi.BINARY, bytes(content))}
    return File(Properties(values | content_alone, code_page))


def _sender(value: memoryview) -> Values:
    """A "triple": sizes, then name and address ("SMTP:ada@example.com"), each with its NUL."""
    cursor = _Cursor(value)
    _, _, name_size, address_size = (cursor.number(2) for _ in range(4))
    name, written = bytes(cursor.take(name_size)), bytes(cursor.take(address_size))
    kind, colon, address = written.partition(b":")
    if not colon:
        return {}
    return {
        mapi.SENDER_NAME: (mapi.STRING8, name),
        mapi.SENDER_TYPE: (mapi.STRING8, kind),
        mapi.SENDER: (mapi.STRING8, address),
    }


def _time(property_id: int, value: memoryview) -> Values:
    try:
        year, month, day, hour, minute, second = (
            int.from_bytes(value[place : place + 2], "little") for place in range(0, 12, 2)
        )
        when = datetime(year, month, day, hour, minute, second, tzinfo=UTC)
    except ValueError:
        return {}
    ticks = int((when - _EPOCH).total_seconds()) * 10_000_000
    return {property_id: (mapi.TIME, max(0, ticks).to_bytes(8, "little"))}
