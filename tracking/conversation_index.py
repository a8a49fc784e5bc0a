"""PURE  The conversation index of the Thread-Index header (R4.14).

Base64 of 22 octets, which name the conversation, and 5 octets more for each answer. So the index of
an answer begins with that of the message it answers.
"""

import base64
import binascii
import zlib

BASE = 22
ANSWER = 5


def octets_of(thread_index: str) -> bytes:
    """The octets of the header; b"" for one that names no conversation."""
    text = "".join(thread_index.split()).rstrip("=")
    if len(text) % 4 == 1:  # cut in the middle of three octets, as a long one is when it is stored
        text = text[:-1]
    try:
        octets = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return b""
    return octets if len(octets) >= BASE else b""


def base_hash(thread_index: str) -> int | None:
    """A signed 32-bit hash of the 22 octets: for look-ups only, for two may have the same (R3.46)."""
    octets = octets_of(thread_index)
    if not octets:
        return None
    unsigned = zlib.crc32(octets[:BASE])
    return unsigned - (1 << 32) if unsigned >= 1 << 31 else unsigned


def nearness(index: bytes, earlier: bytes) -> int:
    """How far up the branch of `index` the message with `earlier` stands: the more, the nearer; -1 if
    it is on no branch above."""
    above = index.startswith(earlier) and len(earlier) < len(index)
    return len(earlier) if above else -1
