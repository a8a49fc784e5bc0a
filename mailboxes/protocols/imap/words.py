"""How IMAP spells things, and what servers make of it."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from imapclient.imap_utf7 import decode as decode_utf7
from imapclient.imap_utf7 import encode as encode_utf7

UIDS_PER_COMMAND = 200  # some servers take no command line of more than 8,000 octets
KEYWORD = re.compile(r"[A-Za-z0-9$_.!#&'+,/:;<=>?@^`|~-]+")
NO_KEYWORD = re.compile(r"[^A-Za-z0-9$_.!#&'+,/:;<=>?@^`|~-]+")


def uid_set(uids: Sequence[int]) -> str:
    return ",".join(str(uid) for uid in uids)


def uids_in(uid_set: str) -> list[int]:
    """In the order given: "3:5,2". Never more than we could have asked for."""
    found: list[int] = []
    for part in uid_set.split(","):
        first, _, last = part.partition(":")
        if first.isdecimal() and (last or first).isdecimal():
            found += range(int(first), int(last or first) + 1)[: UIDS_PER_COMMAND + 1]
    return found


def keywords_of(row: dict[bytes, Any]) -> frozenset[str] | None:
    flags = row.get(b"FLAGS")
    if flags is None:
        return None
    return frozenset(text_of(flag) for flag in flags if not flag.startswith(b"\\"))


def size_of(row: dict[bytes, Any]) -> int:
    size = row.get(b"RFC822.SIZE")
    return size if isinstance(size, int) else 0


def received_at(row: dict[bytes, Any]) -> datetime | None:
    moment = row.get(b"INTERNALDATE")
    if not isinstance(moment, datetime):
        return None
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        return None


def name_of(raw: bytes | str) -> str:
    """A folder's name; "" if it is not in modified UTF-7: it could be listed but not opened; nor if it
    holds a NUL, which no database keeps."""
    spelled = to_bytes(raw)
    try:
        name: str = decode_utf7(spelled)
        return name if encode_utf7(name) == spelled and "\0" not in name else ""
    except ValueError:
        return ""


def to_bytes(raw: bytes | str) -> bytes:
    return raw if isinstance(raw, bytes) else raw.encode()


def text_of(raw: Any) -> str:
    """Of what the libraries return for text: bytes, a str, or None."""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw or "")


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
