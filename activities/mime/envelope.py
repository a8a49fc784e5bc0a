"""Whom a message was delivered to, as servers note it in the header: the envelope itself is gone when a
mailbox is read.

What can be known of it: a server adds its fields on top, so those above the first Received were written
by the last server, the mailbox's own, and no sender can place one there. From the first Received on
downwards any field may be forged. They come in this order, the most trustworthy first:

1. fields above the first Received;
2. the address that the topmost Received fields name ("for <ada@example.com>");
3. fields further down: of servers that passed the message on, or of whoever wrote it.

All of them are given, for forged ones gain nobody anything as long as they only ever speak for the party
whose mailbox the message lies in: it did arrive there.
"""

import re
from collections.abc import Sequence

MAX_ADDRESSES = 50

NOTED = frozenset(
    {
        "delivered-to", "x-delivered-to", "x-original-to", "envelope-to", "x-envelope-to",
        "x-rcpt-to", "x-real-to", "x-apparently-to", "x-forwarded-to", "original-recipient",
        "x-original-recipient",
    }
)  # fmt: skip
_RECEIVED = 3  # servers of one's own that a message passes: relay, filter, store
_VALUE = 4_096
_BETWEEN = re.compile(r"[\s<>,;:\"()]+")  # also "rfc822;ada@example.com"
_FOR = re.compile(r"[\s)]for\s{1,20}<?([^\s<>,;:\"()]{1,320})")


def delivered_to(fields: Sequence[tuple[str, bytes]]) -> tuple[str, ...]:
    """Bare addresses, each once, the most trustworthy first."""
    above: list[str] = []
    named: list[str] = []
    below: list[str] = []
    received = 0
    for name, value in fields:
        if name == "received":
            received += 1
            if received <= _RECEIVED:
                named += _FOR.findall(_text(value))[:1]
        elif name in NOTED and len(above) + len(below) < MAX_ADDRESSES:
            (below if received else above).extend(_BETWEEN.split(_text(value)))
    found: dict[str, str] = {}
    for word in (*above, *named, *below):
        if _is_address(word):
            found.setdefault(word.lower(), word)
    return tuple(found.values())[:MAX_ADDRESSES]


def _is_address(word: str) -> bool:
    local, _, domain = word.rpartition("@")
    return bool(local and domain) and len(word) <= 320


def _text(value: bytes) -> str:
    return value[:_VALUE].decode("utf-8", "replace").replace("\0", "")
