"""Counts what a piece of code asks of the database: SELECT, INSERT, UPDATE and DELETE; and its commits.

Transaction control is not counted, and neither are the pragmas of a new connection.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.test.utils import CaptureQueriesContext

COUNTED = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH")


class Counted:
    """`len(counted)` and `counted.sql` once the block has ended."""

    def __init__(self) -> None:
        self.sql: list[str] = []

    def __len__(self) -> int:
        return len(self.sql)

    def of(self, verb: str) -> list[str]:
        return [sql for sql in self.sql if sql.startswith(verb)]

    def __str__(self) -> str:
        return "\n".join(f"{number:3} {sql[:200]}" for number, sql in enumerate(self.sql, start=1))


@contextmanager
def counting() -> Iterator[Counted]:
    counted = Counted()
    with CaptureQueriesContext(connection) as captured:
        yield counted
    statements = (query["sql"].lstrip("( \n") for query in captured.captured_queries)
    counted.sql = [sql for sql in statements if sql.upper().startswith(COUNTED)]


@dataclass
class Commits:
    """`number`: transactions that would be committed, were there none around the test."""

    number: int = 0


@contextmanager
def commits() -> Iterator[Commits]:
    """Savepoints directly below the test's own transaction, and writes outside of any."""
    counted = Commits()
    around = len(connection.savepoint_ids)

    def count(execute: Any, sql: str, *args: Any) -> Any:
        inside = any(connection.savepoint_ids[around:])
        writes = sql.lstrip("( ").startswith(("INSERT", "UPDATE", "DELETE", "RELEASE SAVEPOINT"))
        counted.number += writes and not inside
        return execute(sql, *args)

    with connection.execute_wrapper(count):
        yield counted
