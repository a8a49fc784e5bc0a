"""The steps of a conversation with a mail server, in order. Test & Enable shows them one by one."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol


class Phase(StrEnum):
    DISCOVER = "discover"  # find where the web service of a mailbox is
    AUTHORIZE = "authorize"  # have a token, which may mean to ask the token authority
    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    LOGIN = "login"
    OPEN = "open"
    LIST = "list"
    FETCH = "fetch"
    APPLY = "apply"
    SIGN = "sign"  # look up what signatures are checked by
    SEND = "send"
    FIND = "find"
    CLOSE = "close"
    # What belongs to appointments, contacts and tasks
    CALENDAR = "calendar"
    CONTACTS = "contacts"
    TASKS = "tasks"
    MARKER = "marker"  # which organization the account synchronizes with


class Watcher(Protocol):
    """Told about each phase as it begins and ends, e.g. to time it."""

    def begin(self, phase: Phase) -> None: ...

    def end(self, phase: Phase, error: Exception | None) -> None: ...


@contextmanager
def watched(watcher: Watcher | None, phase: Phase) -> Iterator[None]:
    """Report `phase` to `watcher` around a block, and write it into a ServerError that lacks one."""
    if watcher:
        watcher.begin(phase)
    try:
        yield
    except Exception as error:
        if getattr(error, "phase", phase) is None:
            error.phase = phase  # type: ignore[attr-defined]
        if watcher:
            watcher.end(phase, error)
        raise
    if watcher:
        watcher.end(phase, None)
