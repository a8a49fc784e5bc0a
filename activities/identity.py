"""Which messages are the same message (R3.20). Pure: digests over what a message says of itself."""

from datetime import datetime
from hashlib import sha256
from uuid import UUID


def message_key(message_id: str, sender: str, date: str, subject: str, body_size: int) -> UUID:
    """The key that a second copy of a message has as well.

    Of the whole Message-ID where there is one; else of what the copies share: sender address, raw Date,
    subject and the octets of the body. `date` and `subject` may be folded differently.
    """
    bare = bare_message_id(message_id)
    if bare:
        return _digest("message-id", bare)
    return _digest(
        "no-message-id", _key(sender), _unfolded(date), _unfolded(subject), str(body_size)
    )


def distinct_key(message_id: str, sender: str, date: str) -> UUID:
    """The key of a message that bears the id of another one, with another Date or sender."""
    return _digest("reused-message-id", bare_message_id(message_id), _key(sender), _unfolded(date))


def same_message(
    sender: str, date: datetime | None, other_sender: str, other_date: datetime | None
) -> bool:
    """Whether two messages of one Message-ID are copies: the same sender and the same Date.

    A Date that only one of them has is another Date: the doubt must not make a message vanish.
    """
    return _key(sender) == _key(other_sender) and _seconds(date) == _seconds(other_date)


def _seconds(date: datetime | None) -> datetime | None:
    """Stores differ in how finely they keep a time; the header has whole seconds."""
    return None if date is None else date.replace(microsecond=0)


def bare_message_id(message_id: str) -> str:
    """Without white space and outer brackets, case kept; "" if nothing is left (R4.4)."""
    bare = "".join(message_id.split())
    if bare.startswith("<"):
        bare = bare[1:]
    return bare.removesuffix(">")


def _key(address: str) -> str:
    return address.strip().strip("<>").rstrip(".").lower()


def _unfolded(text: str) -> str:
    return " ".join(text.split())


def _digest(*parts: str) -> UUID:
    """SHA-256 cut to a UUID. Each part is preceded by its length, so that no two lists look alike."""
    digest = sha256()
    for part in parts:
        octets = part.encode("utf-8", "surrogatepass")
        digest.update(b"%d:" % len(octets) + octets)
    # RFC 9562, 5.8: version 8 is for contents of one's own making.
    number = int.from_bytes(digest.digest()[:16])
    number = number & ~(0xF << 76) | 8 << 76
    return UUID(int=number & ~(0b11 << 62) | 0b10 << 62)
