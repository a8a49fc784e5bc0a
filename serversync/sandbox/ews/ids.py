"""Ids and change keys as clients see them: opaque, of one shape, and of no use in another place.

An id tells which account and which row it means; a check sum tells a malformed one from one that
means nothing any more.
"""

import base64
import binascii
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from serversync.sandbox.ews.soap import Refusal

_ID = struct.Struct(">3sB16sQ12sI")  # 44 octets: ids begin with "AAMk", as on real servers
_KEY = struct.Struct(">8sQQI")
_STATE = struct.Struct(">4s16sQQIQBI")
ID_MARK, KEY_MARK, STATE_MARK = (
    b"\x00\x03\x24",
    b"\x09\x00\x00\x00\x16\x00\x00\x00",
    b"\x1f\x8b\x08\x00",
)


class Kind(IntEnum):
    FOLDER = 1
    ITEM = 2
    ATTACHMENT = 3
    OCCURRENCE = 4


@dataclass(frozen=True, slots=True)
class RemoteId:
    """`number`: of the row; of an occurrence that of its series, and `original` when it would have begun
    (seconds since 1970)."""

    kind: Kind
    account: bytes
    number: int
    original: int = 0

    def __str__(self) -> str:
        filler = zlib.crc32(self.account + bytes([self.kind])).to_bytes(4) * 3
        if self.kind is Kind.OCCURRENCE:
            filler = filler[:4] + self.original.to_bytes(8, signed=True)
        return _sealed(_ID, ID_MARK, int(self.kind), self.account, self.number, filler)


def read_id(text: str | None) -> RemoteId:
    """Raises Refusal."""
    if not text:
        raise Refusal("ErrorInvalidIdEmpty", "Id must be non-empty.")
    values = _opened(_ID, text)
    if values is None or values[0] != ID_MARK or values[1] not in tuple(Kind):
        raise Refusal("ErrorInvalidIdMalformed")
    kind = Kind(values[1])
    original = int.from_bytes(values[4][4:], signed=True) if kind is Kind.OCCURRENCE else 0
    return RemoteId(kind, values[2], values[3], original)


def change_key(number: int, changed: int) -> str:
    return _sealed(_KEY, KEY_MARK, number, changed)


def read_change_key(text: str, number: int) -> int:
    """The number of the change that it stands for. Raises Refusal if it is of no item or another one."""
    values = _opened(_KEY, text)
    if values is None or values[0] != KEY_MARK or values[1] != number:
        raise Refusal("ErrorInvalidChangeKey")
    return int(values[2])


@dataclass(frozen=True, slots=True)
class SyncState:
    """How far a folder was told. `folder` 0: the hierarchy; `epoch`: which invalidation it survived;
    `associated`: it follows the hidden items, too."""

    account: bytes
    folder: int
    changed: int
    epoch: int
    associated: bool = False

    def __str__(self) -> str:
        return _sealed(
            _STATE,
            STATE_MARK,
            self.account,
            self.folder,
            self.changed,
            self.epoch,
            0,
            int(self.associated),
        )


def read_sync_state(text: str) -> SyncState | None:
    values = _opened(_STATE, text)
    if values is None or values[0] != STATE_MARK:
        return None
    return SyncState(values[1], values[2], values[3], values[4], bool(values[6]))


def _sealed(shape: struct.Struct, *values: object) -> str:
    plain = shape.pack(*values, 0)[:-4]
    return base64.b64encode(plain + zlib.crc32(plain).to_bytes(4)).decode()


def _opened(shape: struct.Struct, text: str) -> tuple[Any, ...] | None:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    if len(data) != shape.size or zlib.crc32(data[:-4]) != int.from_bytes(data[-4:]):
        return None
    return shape.unpack(data)
