"""Compound files (MS-CFB): storages and streams, as Outlook's .msg files keep them.

Written for files of strangers: no sector chain is followed further than the file is long, each entry is
visited once, and all that is read from one file is bounded. Libraries that read this format look
through lists for each stream, which takes minutes for a file that was made for it.
"""

from array import array
from dataclasses import dataclass, field
from struct import Struct

SIGNATURE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
MAX_ENTRIES = 50_000
MAX_READ = 2  # times the size of the file: streams may share sectors only if somebody made them so

_HEADER = Struct("<24xHHHHH6xIIIIIIIII")
_ENTRY = Struct("<64sHBx III 16x4x8x8x IQ")
_ENTRY_SIZE = 128
_MINI_SECTOR, _CUTOFF = 64, 4096  # streams below the latter lie in sectors of the former
_LAST_SECTOR = 0xFFFFFFFA  # what is higher ends a chain
_STORAGE, _STREAM = (1, 5), 2


class BadCompoundFile(ValueError):
    """No compound file, or one whose structure is broken."""


@dataclass(slots=True)
class Storage:
    """What a storage holds, by name."""

    storages: dict[str, "Storage"] = field(default_factory=dict)
    streams: dict[str, "Stream"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream that is not read yet; see `CompoundFile.read`."""

    start: int
    size: int


class CompoundFile:
    """`root` is the tree; raises BadCompoundFile here and in `read`."""

    def __init__(self, data: bytes) -> None:
        if not data.startswith(SIGNATURE) or len(data) < 512:
            raise BadCompoundFile("no compound file")
        self._data = data
        self._left = MAX_READ * len(data)
        (
            _, _, _, shift, mini_shift, _, _, directory, _, cutoff, mini_fat, _, difat, _,
        ) = _HEADER.unpack_from(data)  # fmt: skip
        if shift not in (9, 12) or mini_shift != 6 or cutoff != _CUTOFF:
            raise BadCompoundFile("odd sizes")
        self._sector = 1 << shift
        self._fat = self._read_fat(difat)
        entries = self._read_chain(directory)
        self._mini_fat = _numbers(self._read_chain(mini_fat))
        self.root, root = _tree(entries, long_sizes=shift == 12)
        self._mini = self._read_chain(root.start)[: root.size]

    def read(self, stream: Stream) -> bytes:
        self._spend(min(stream.size, len(self._data)))
        if stream.size >= _CUTOFF:
            content = self._read_chain(stream.start, stream.size)
        else:
            content = self._read_mini(stream)
        if len(content) < stream.size:
            raise BadCompoundFile("a stream is cut off")
        return content[: stream.size]

    def _spend(self, octets: int) -> None:
        self._left -= octets
        if self._left < 0:
            raise BadCompoundFile("streams share their sectors")

    def _read_fat(self, difat: int) -> "array[int]":
        """The allocation table, whose own sectors the header lists, and a chain of further lists."""
        lists = [self._data[76:512]]
        while difat < _LAST_SECTOR and len(lists) * self._sector < len(self._data):
            sector = self._sector_at(difat)
            lists.append(sector[:-4])
            difat = int.from_bytes(sector[-4:], "little")
        places = [place for part in lists for place in _numbers(part) if place < _LAST_SECTOR]
        if len(places) * self._sector > len(self._data):
            raise BadCompoundFile("allocation table larger than the file")
        return _numbers(b"".join(self._sector_at(place) for place in places))

    def _sector_at(self, number: int) -> bytes:
        start = (number + 1) * self._sector
        if start >= len(self._data):
            raise BadCompoundFile("a sector lies outside of the file")
        return self._data[start : start + self._sector].ljust(self._sector, b"\0")

    def _read_chain(self, number: int, size: int | None = None) -> bytes:
        most = len(self._data) // self._sector + 1
        if size is not None:
            most = min(most, size // self._sector + 1)
        pieces: list[bytes] = []
        while number < _LAST_SECTOR and len(pieces) < most:
            pieces.append(self._sector_at(number))
            number = self._fat[number] if number < len(self._fat) else _LAST_SECTOR
        return b"".join(pieces)

    def _read_mini(self, stream: Stream) -> bytes:
        pieces, number = [], stream.start
        for _ in range(0, stream.size, _MINI_SECTOR):
            start = number * _MINI_SECTOR
            pieces.append(self._mini[start : start + _MINI_SECTOR])
            if number >= len(self._mini_fat):
                break
            number = self._mini_fat[number]
        return b"".join(pieces)


def _numbers(octets: bytes) -> "array[int]":
    numbers = array("I", octets[: len(octets) // 4 * 4])
    if array("H", b"\1\0")[0] != 1:
        numbers.byteswap()
    return numbers


def _tree(entries: bytes, *, long_sizes: bool) -> tuple[Storage, Stream]:
    """The tree below the root, and the stream that holds all small ones."""
    count = min(len(entries) // _ENTRY_SIZE, MAX_ENTRIES)
    if not count:
        raise BadCompoundFile("no directory")
    nodes = [_ENTRY.unpack_from(entries, number * _ENTRY_SIZE) for number in range(count)]
    root, unseen = Storage(), set(range(1, count))
    waiting = [(root, nodes[0][5])]
    while waiting:
        storage, number = waiting.pop()
        if number not in unseen:
            continue
        unseen.discard(number)
        raw_name, length, kind, left, right, child, start, size = nodes[number]
        waiting += [(storage, left), (storage, right)]
        name = raw_name[: max(0, min(length, 64) - 2)].decode("utf-16-le", "replace")
        if kind == _STREAM:
            storage.streams[name] = Stream(start, size if long_sizes else size & 0xFFFFFFFF)
        elif kind in _STORAGE:
            below = storage.storages.setdefault(name, Storage())
            waiting.append((below, child))
    return root, Stream(nodes[0][6], nodes[0][7] if long_sizes else nodes[0][7] & 0xFFFFFFFF)
