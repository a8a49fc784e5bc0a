"""Breaks a piece of work at its n-th boundary, in this process: whoever runs it is gone in the middle, and the
transaction it was in with him.

A boundary lies before each statement of the database, before each call to the server, and after each item that the
server has written, whose answer is lost with the worker.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

from mailboxes.protocols.items import WrittenItem
from tests.fakeitems import FakeItemsAccount, FakeItemsServer


class Killed(BaseException):
    """The worker is gone."""


class Breaker:
    """Counts boundaries and raises Killed at the one it was told, 0 for never. `said`: which that was."""

    def __init__(self, at: int = 0) -> None:
        self.at = at
        self.count = 0
        self.said = ""

    def pass_(self, what: str) -> None:
        self.count += 1
        if self.count == self.at:
            self.said = what
            raise Killed(what)

    @contextmanager
    def watching(self) -> Iterator[None]:
        def executing(execute: Any, sql: str, *rest: Any) -> Any:
            if not sql.startswith(("SAVEPOINT", "RELEASE", "ROLLBACK")):
                self.pass_(sql[:80])
            return execute(sql, *rest)

        with connection.execute_wrapper(executing):
            yield


class BreakingServer(FakeItemsServer):
    """Its calls are boundaries. `during`: called before each of them, with the name of the method."""

    def __init__(
        self,
        account: FakeItemsAccount,
        breaker: Breaker,
        during: Callable[[str], None] = lambda method: None,
    ) -> None:
        super().__init__(account)
        self.breaker = breaker
        self.during = during

    def _called(self, method: str) -> None:
        self.during(method)
        self.breaker.pass_(method)
        super()._called(method)

    def _fated(self, method: str, order: Any, write: Callable[[Any], WrittenItem]) -> WrittenItem:
        written = super()._fated(method, order, write)
        self.breaker.pass_(f"{method} written")
        return written
