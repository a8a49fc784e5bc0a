"""The steps of a conversation with a mail server, in order. Test & Enable shows them one by one."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Protocol, runtime_checkable


class Phase(StrEnum):
    DISCOVER = "discover"  # find where the web service of a mailbox is
    AUTHORIZE = "authorize"  # have a token, which may mean to ask the token authority
    RESOLVE = "resolve"
    CONNECT = "connect"
    TLS = "tls"
    GREET = "greet"  # the server's first words, which tell what it is
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


@runtime_checkable
class Listener(Protocol):
    """A watcher that wants to hear what is said, too. Secrets and messages never reach it."""

    def begin(self, phase: Phase) -> None: ...

    def end(self, phase: Phase, error: Exception | None) -> None: ...

    def asked(self, words: str) -> None:
        """A command of ours."""

    def answered(self, words: str) -> None:
        """A line of the server's."""

    def found(self, fact: str, words: str) -> None:
        """What was learned of the line: "address", "tls", "certificate", "issuer", "valid_until"."""


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
