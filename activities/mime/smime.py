"""What a CMS container (RFC 5652) holds: S/MIME's smime.p7m.

Only as much of BER is read as leads to the content, in one pass: constructed strings of thousands of
pieces, which programs that sign while sending write, take no longer than one piece. No signature is
verified here and none is claimed to be: which certificates count is nothing a mailbox can know.
"""

import re
from collections.abc import Iterator

_SIGNED = bytes.fromhex("2a864886f70d010702")
_ENVELOPED = (
    bytes.fromhex("2a864886f70d010703"),
    bytes.fromhex("2a864886f70d0109100117"),  # authenticated as well (RFC 5083)
)
_OBJECT_ID, _OCTETS, _SEQUENCE, _EXPLICIT = 0x06, 0x04, 0x30, 0xA0
_CONSTRUCTED_OCTETS = 0x24
_END = b"\0\0"
MAX_VALUES = (
    1_000_000  # one after the other; the largest message in pieces of 1,000 octets has fewer
)
# A signed part is a MIME entity: whatever else is signed is a file (a signed PDF, say).
_ENTITY = re.compile(rb"\s{0,10}(?:content-[a-z-]{1,40}|mime-version)[ \t]*:", re.IGNORECASE)


class _Broken(ValueError):
    pass


def is_enveloped(container: bytes) -> bool:
    """Encrypted, for whoever has the key."""
    try:
        return _kind(container)[0] in _ENVELOPED
    except _Broken:
        return False


def is_signed(container: bytes) -> bool:
    try:
        return _kind(container)[0] == _SIGNED
    except _Broken:
        return False


def signed_entity(container: bytes) -> bytes | None:
    """The MIME entity inside an opaque signature; None for anything else."""
    try:
        kind, place = _kind(container)
        if kind != _SIGNED:
            return None
        _, place, _ = _expect(container, place, _EXPLICIT)
        _, place, _ = _expect(container, place, _SEQUENCE)
        place = _behind(container, place)  # version
        place = _behind(container, place)  # digest algorithms
        _, place, _ = _expect(container, place, _SEQUENCE)
        place = _behind(container, place)  # type of the content
        _, place, _ = _expect(container, place, _EXPLICIT)
        content = bytearray()
        for piece in _octets(container, place):  # a list of millions of them would fill the memory
            content += piece
    except _Broken:
        return None
    return bytes(content) if _ENTITY.match(content) else None


def _kind(data: bytes) -> tuple[bytes, int]:
    """The object id that says what the container is, and where its content begins."""
    _, place, _ = _expect(data, 0, _SEQUENCE)
    _, start, size = _expect(data, place, _OBJECT_ID)
    if size is None or size > 20:
        raise _Broken
    return data[start : start + size], start + size


def _expect(data: bytes, place: int, tag: int) -> tuple[int, int, int | None]:
    found = _head(data, place)
    if found[0] != tag:
        raise _Broken
    return found


def _head(data: bytes, place: int) -> tuple[int, int, int | None]:
    """(tag, where the content starts, its size or None if an end mark tells it)."""
    if place + 2 > len(data) or data[place] & 0x1F == 0x1F:
        raise _Broken
    tag, first = data[place], data[place + 1]
    place += 2
    if first < 0x80:
        return tag, place, first
    if first == 0x80:
        return tag, place, None
    width = first & 0x7F
    if width > 8 or place + width > len(data):
        raise _Broken
    return tag, place + width, int.from_bytes(data[place : place + width], "big")


def _behind(data: bytes, place: int) -> int:
    """Where the next value begins."""
    depth = 0
    for _ in range(MAX_VALUES):
        if depth and data[place : place + 2] == _END:
            place, depth = place + 2, depth - 1
        else:
            _, place, size = _head(data, place)
            if size is None:
                depth += 1
            else:
                place += size
        if not depth:
            return place
    raise _Broken


def _octets(data: bytes, place: int) -> Iterator[bytes]:
    """The pieces of an octet string, whatever their nesting: they follow each other in order."""
    tag, start, size = _head(data, place)
    if tag == _OCTETS and size is not None:
        yield _piece(data, start, size)
        return
    if tag != _CONSTRUCTED_OCTETS:
        raise _Broken
    place, end = start, len(data) if size is None else min(len(data), start + size)
    open_ended = size is None
    depth = int(open_ended)
    values = 0
    while place < end and (depth or not open_ended):
        values += 1
        if values > MAX_VALUES:
            raise _Broken
        if depth and data[place : place + 2] == _END:
            place, depth = place + 2, depth - 1
            continue
        tag, start, size = _head(data, place)
        if tag == _CONSTRUCTED_OCTETS:
            place, depth = start, depth + (size is None)
        elif tag == _OCTETS and size is not None:
            yield _piece(data, start, size)
            place = start + size
        else:
            raise _Broken


def _piece(data: bytes, start: int, size: int) -> bytes:
    if start + size > len(data):
        raise _Broken
    return data[start : start + size]
