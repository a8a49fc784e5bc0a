"""Outlook's .msg files (MS-OXMSG): a compound file whose streams are the properties of an item."""

import re
from struct import Struct

from activities.mime.outlook import mapi
from activities.mime.outlook.compound import BadCompoundFile, CompoundFile, Storage
from activities.mime.outlook.mapi import File, Item, Properties

_PROPERTIES = "__properties_version1.0"
_STREAM = re.compile(r"__substg1\.0_([0-9A-Fa-f]{4})([0-9A-Fa-f]{4})")
_EMBEDDED = f"__substg1.0_{mapi.FILE_DATA:04X}{mapi.OBJECT:04X}"
# What stands before the properties of fixed length, for each sort of storage.
_MESSAGE, _INNER_MESSAGE, _PART = 32, 24, 8
_IN_STREAMS = (mapi.STRING8, mapi.UNICODE, mapi.BINARY)
_ENTRY = Struct("<HH4x8s")

Values = dict[int, tuple[int, bytes]]


def read_msg(data: bytes) -> Item | None:
    """None if it is no .msg file, or a broken one."""
    try:
        file = CompoundFile(data)
        if _PROPERTIES not in file.root.streams:
            return None
        return _item(file, file.root, _MESSAGE, 0, 0)
    except BadCompoundFile:
        return None


def _item(file: CompoundFile, storage: Storage, head: int, code_page: int, depth: int) -> Item:
    properties = Properties(_values(file, storage, head), code_page)
    page = properties.code_page
    recipients = [
        Properties(_values(file, below, _PART), page)
        for name, below in sorted(storage.storages.items())
        if name.startswith("__recip_version1.0_")
    ]
    files = [
        _file(file, below, page, depth)
        for name, below in sorted(storage.storages.items())
        if name.startswith("__attach_version1.0_")
    ]
    return Item(properties, recipients, files)


def _file(file: CompoundFile, storage: Storage, code_page: int, depth: int) -> File:
    properties = Properties(_values(file, storage, _PART), code_page)
    embedded = storage.storages.get(_EMBEDDED)
    if embedded is None or depth >= mapi.MAX_DEPTH or _PROPERTIES not in embedded.streams:
        return File(properties)
    return File(properties, _item(file, embedded, _INNER_MESSAGE, code_page, depth + 1))


def _values(file: CompoundFile, storage: Storage, head: int) -> Values:
    values: Values = {}
    if _PROPERTIES in storage.streams:
        fixed = file.read(storage.streams[_PROPERTIES])[head:]
        for kind, property_id, octets in _ENTRY.iter_unpack(fixed[: len(fixed) // 16 * 16]):
            if kind not in _IN_STREAMS:
                values[property_id] = (kind, octets)
    for name, stream in storage.streams.items():
        written = _STREAM.fullmatch(name)
        if written and int(written[2], 16) in _IN_STREAMS:
            values[int(written[1], 16)] = (int(written[2], 16), file.read(stream))
    return values
