"""Runs a piece of work in a forked child that kills itself, without a word, at the n-th boundary.

A boundary lies before and after every commit, before and after every statement that commits by
itself, and before and after each call to a mail server, each message of a fetch and each handing
over; `watching_lines` adds one before, in and after whatever goes over a line. What survives is what
the database and the server have: nothing of the child cleans up.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection, connections
from django.db.backends.base.base import BaseDatabaseWrapper

from mailboxes.protocols.line import Line

OK = 0
WRONG = 3  # the work itself raised


class Boundaries:
    """Counts boundaries and kills the process at the one it was told, 0 for never. With `pauses` it is
    stopped instead, at the next one that is not the database's, until somebody lets it go on."""

    def __init__(self, at: int, *, pauses: bool = False) -> None:
        self.at = at
        self.pauses = pauses
        self.count = 0

    def pass_(self, *, in_database: bool = False) -> None:
        self.count += 1
        if self.pauses:
            if 0 < self.at <= self.count and not in_database:
                self.at = 0
                os.kill(os.getpid(), signal.SIGSTOP)
        elif self.count == self.at:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def called(*args: Any, **kwargs: Any) -> Any:
            self.pass_()
            result = function(*args, **kwargs)
            self.pass_()
            return result

        return called

    def each(self, function: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
        def called(*args: Any, **kwargs: Any) -> Iterator[Any]:
            for one in function(*args, **kwargs):
                self.pass_()
                yield one
            self.pass_()

        return called


class Watched:
    """A mail server whose every call is a boundary."""

    def __init__(self, server: Any, boundaries: Boundaries) -> None:
        self._server = server
        self._boundaries = boundaries

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._server, name)
        if not callable(value):
            return value
        if name == "fetch":
            return self._boundaries.each(value)
        if name == "send":
            return self._send
        if name == "open":
            return self._open
        return self._boundaries.around(value)

    def _open(self) -> "Watched":
        self._boundaries.around(self._server.open)()
        return self

    def _send(self, envelope: Any, hand_over: Callable[[], None]) -> Any:
        return self._boundaries.around(self._server.send)(
            envelope, self._boundaries.around(hand_over)
        )


@contextmanager
def watching_the_database(boundaries: Boundaries) -> Iterator[None]:
    commit = BaseDatabaseWrapper._commit

    def committing(self: BaseDatabaseWrapper) -> None:
        boundaries.pass_(in_database=True)
        commit(self)
        boundaries.pass_(in_database=True)

    def executing(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        alone = not connection.in_atomic_block and not sql.lstrip("( ").startswith("SELECT")
        if alone:
            boundaries.pass_(in_database=True)
        result = execute(sql, params, many, context)
        if alone:
            boundaries.pass_(in_database=True)
        return result

    BaseDatabaseWrapper._commit = committing
    try:
        with connection.execute_wrapper(executing):
            yield
    finally:
        BaseDatabaseWrapper._commit = commit


@contextmanager
def watching_lines(boundaries: Boundaries) -> Iterator[None]:
    """Whatever is sent goes in two halves, so that a kill may lie between them."""
    send, receive = Line.send, Line.receive

    def sending(self: Line, data: bytes) -> None:
        boundaries.pass_()
        half = len(data) // 2
        for part in (data[:half], data[half:]):
            send(self, part)
            boundaries.pass_()

    Line.send = sending
    Line.receive = boundaries.around(receive)
    try:
        yield
    finally:
        Line.send, Line.receive = send, receive


def killed_at(number: int, work: Callable[[Boundaries], None]) -> bool:
    """Fork, run `work` in the child, kill it at that boundary. False: it finished before."""
    return ended(forked(Boundaries(number), work)) == "killed"


def forked(boundaries: Boundaries, work: Callable[[Boundaries], None]) -> int:
    """The child that does the work; `ended` waits for it."""
    connections.close_all()  # a connection shared over a fork would be closed under our feet
    child = os.fork()
    if child == 0:
        code = WRONG
        try:
            with watching_the_database(boundaries):
                work(boundaries)
            code = OK
        except BaseException:  # noqa: BLE001 - the child must never return into pytest
            import traceback

            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    return child


def ended(child: int) -> str:
    """ "finished", "killed", or "paused" where it stopped itself."""
    _pid, status = os.waitpid(child, os.WUNTRACED)
    if os.WIFSTOPPED(status):
        return "paused"
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return "killed"
    assert os.WEXITSTATUS(status) == OK, "the work failed before it was killed"
    return "finished"


def go_on(child: int) -> str:
    """Let a paused child do the rest."""
    os.kill(child, signal.SIGCONT)
    return ended(child)
