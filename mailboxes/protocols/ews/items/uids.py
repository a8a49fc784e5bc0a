"""The id of a meeting that is the same in every mailbox: UID in iCalendar, and the global object id in which
Exchange keeps it and by which alone it can be searched for ([MS-OXOCAL] 2.2.1.27).

    bytes of an id     class (16) date (4) created (8) reserved (8) size (4) data
    UID                those as hexadecimal digits; or, if the data begins with "vCal-Uid", what follows there
"""

import base64
import binascii
import os
from datetime import UTC, datetime

from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.items.paths import CLEAN_GLOBAL_ID, extended
from mailboxes.protocols.ews.operations import Element

CLASS = bytes.fromhex("040000008200E00074C5B7101A82E008")
FOREIGN = b"vCal-Uid\x01\x00\x00\x00"
DATE = slice(16, 20)  # of one occurrence; clean ids have none
HEAD = 40
WINDOWS_BEGAN = datetime(1601, 1, 1, tzinfo=UTC)


def uid_of(item: Element) -> str:
    """ "" where the server tells none."""
    said = messages.text(item, "UID")
    return said or uid_of_global_id(extended(item, CLEAN_GLOBAL_ID))


def uid_of_global_id(encoded: str) -> str:
    try:
        data = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return ""
    if not data.startswith(CLASS) or len(data) <= HEAD:
        return ""
    if data[HEAD:].startswith(FOREIGN):
        return data[HEAD + len(FOREIGN) :].rstrip(b"\0").decode("utf-8", "replace")
    return data.hex().upper()


def global_id(uid: str) -> str:
    """The clean one, in base64."""
    return base64.b64encode(_bytes(uid)).decode()


def _bytes(uid: str) -> bytes:
    try:
        data = bytes.fromhex(uid)
    except ValueError:
        data = b""
    if data.startswith(CLASS) and len(data) > HEAD:
        return data[: DATE.start] + bytes(4) + data[DATE.stop :]
    content = FOREIGN + uid.encode() + b"\0"
    return CLASS + bytes(4) + bytes(8) + bytes(8) + len(content).to_bytes(4, "little") + content


def new_uid(now: datetime) -> str:
    """As Exchange makes them."""
    created = (now - WINDOWS_BEGAN).total_seconds()
    ticks = int(created * 10_000_000).to_bytes(8, "little")
    content = os.urandom(16)
    data = CLASS + bytes(4) + ticks + bytes(8) + len(content).to_bytes(4, "little") + content
    return data.hex().upper()
