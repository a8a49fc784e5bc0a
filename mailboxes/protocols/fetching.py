"""What POP3 and IMAP do alike with messages: fetch them so that a bad one costs itself only, and
recognise one by its header."""

import re
from collections.abc import Callable, Iterator, Sequence

from mailboxes.protocols.base import Fetched, Identity
from mailboxes.protocols.errors import (
    ConnectionLost,
    MessageUnreadable,
    SocketTimedOut,
    UnexpectedReply,
)

Retrieve = Callable[[Sequence[str]], Iterator[Fetched]]

LINE_FAULTS = (ConnectionLost, SocketTimedOut, UnexpectedReply)


def fetch_each(
    remote_ids: Sequence[str], prepare: Callable[[], object], retrieve: Retrieve
) -> Iterator[Fetched]:
    """All of `remote_ids` through `retrieve`, which yields them in order and may end early when it
    had to give up the connection. `prepare` makes a new one where needed; its errors are raised.

    Some servers hang up, hang, or talk nonsense when they are asked for one particular message. So
    1. a message on which the line breaks is asked for once more over a new connection, for the line
       may have been an old one;
    2. if that happens again, or the server did answer badly or not at all, the message is
       unreadable, and the next one is tried;
    3. if the next one fares no better, it is not the message, and the fault is raised.
    """
    done = 0
    asked_again = False
    blamed_message = False
    while done < len(remote_ids):
        prepare()
        try:
            for fetched in retrieve(remote_ids[done:]):
                done += 1
                asked_again = blamed_message = False
                yield fetched
        except LINE_FAULTS as fault:
            if isinstance(fault, ConnectionLost) and not asked_again:
                asked_again = True
                continue
            if blamed_message:
                raise
            error = MessageUnreadable(
                f"the server failed while handing it out: {fault.detail}", phase=fault.phase
            )
            error.__cause__ = fault
            fetched = Fetched(remote_ids[done], None, error)
            done += 1
            asked_again, blamed_message = False, True
            yield fetched


def identity_of(remote_id: str, head: bytes, size: int) -> Identity:
    """From a message's header. Values are as written there, unfolded and without outer blanks."""
    return Identity(remote_id, field(head, b"message-id"), field(head, b"date"), size)


def field(head: bytes, name: bytes) -> str:
    """The first field of that name, or ""."""
    pattern = rb"^" + re.escape(name) + rb"[ \t]*:((?:[^\r\n]|\r?\n[ \t])*)"
    found = re.search(pattern, head, re.IGNORECASE | re.MULTILINE)
    return " ".join(found[1].decode("utf-8", "replace").split()) if found else ""
