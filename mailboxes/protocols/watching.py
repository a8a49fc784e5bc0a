"""Servers that tell by themselves when something happens: IMAP's IDLE, Exchange's streamed notifications.

    open ──> the caller waits until `fileno` is readable ──> hear: where something happened
                   └── `renew_at` has come ──> renew ──┘

What is told is a hint and nothing more: whoever hears it looks into the folder as ever. So a notification
that gets lost costs no more than the time until the next look.

`open` and `renew` talk to the server and may wait for it. `hear` never waits, so that one thread can listen
to thousands of connections.
"""

from typing import Protocol, Self

from mailboxes.protocols.errors import PermanentError

#: Nobody has said anything so far.
NOTHING: frozenset[str] = frozenset()


class PushUnavailable(PermanentError):
    """The server doesn't tell of new mail by itself; it can only be asked."""

    code = "NotSupported"


class PushServer(Protocol):
    """One connection that is told of what happens in one mailbox. Constructed unconnected; for one thread
    at a time."""

    protocol: str
    folders: tuple[str, ...]
    """Where it listens: INBOX, CALENDAR, ..., by our names."""
    renew_at: float
    """By time.monotonic(): when to call `renew`, once open. `hear` may bring it forward."""

    def open(self) -> Self:
        """Resolve, connect, log in and ask to be told. Raises PushUnavailable where the server can't."""

    def fileno(self) -> int:
        """What to wait for, until the next `renew`."""

    def hear(self) -> frozenset[str]:
        """Folders in which something happened since the last call: all that has been told, without waiting.
        Call it also right after `open` and `renew`. Raises errors of the tree, after which it is closed."""

    def renew(self) -> frozenset[str]:
        """Go on listening, before the server or something in between takes the silence for absence. Folders
        that may have changed unheard meanwhile. Raises errors of the tree, after which it is closed."""

    def close(self) -> None:
        """Leave without waiting. Never raises."""
