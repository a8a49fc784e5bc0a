"""Triggers of the database that belong to this product: there after each migration, whole, in no former version.

They are no part of a migration, for SQLite drops the triggers of a table that it alters, and refuses to alter one
that others name. So they go before tables change and come back afterwards.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper

PRESENT = {
    "sqlite": "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": (
        "SELECT t.tgname, t.tgrelid::regclass::text FROM pg_trigger t "
        "JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND pg_table_is_visible(c.oid)"
    ),
}
#: A trigger of PostgreSQL has a function of its name.
DROP = {"sqlite": "DROP TRIGGER {name}", "postgresql": "DROP FUNCTION {name}() CASCADE"}


@dataclass(frozen=True, slots=True)
class Trigger:
    """`name` says what it does, so that one of a former version counts as none. `statements` make it."""

    name: str
    table: str
    statements: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Triggers:
    """Those with one purpose. `prefix`: how their names begin, and nobody else's on these tables.
    `wanted`: all of them, for a vendor of databases; none where it isn't known."""

    prefix: str
    wanted: Callable[[str], Iterable[Trigger]]

    def missing(self, using: str) -> set[str]:
        """Names of those that are not there, or are switched off. One statement."""
        connection = connections[using]
        names = {trigger.name for trigger in self.wanted(connection.vendor)}
        return names - set(places(connection))

    def install(self, using: str) -> bool:
        """Whether one was missing; then all of them are made anew. Call it in a transaction."""
        if not self.missing(using):
            return False
        self.remove(using)
        connection = connections[using]
        with connection.cursor() as cursor:
            for trigger in self.wanted(connection.vendor):
                for statement in trigger.statements:
                    cursor.execute(statement)
        return True

    def remove(self, using: str) -> None:
        """Those of former versions as well."""
        connection = connections[using]
        ours = {trigger.table for trigger in self.wanted(connection.vendor)}
        names = [
            name
            for name, table in sorted(places(connection).items())
            if name.startswith(self.prefix) and table in ours
        ]
        with transaction.atomic(using=using), connection.cursor() as cursor:
            for name in names:
                cursor.execute(DROP[connection.vendor].format(name=name))


def places(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Name of a trigger that is there -> its table."""
    if connection.vendor not in PRESENT:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(PRESENT[connection.vendor])
        return dict(cursor.fetchall())


def for_each_row(vendor: str, name: str, table: str, event: str, body: str) -> Iterator[str]:
    """Statements for a trigger after each row. `body`: statements with OLD and NEW, each with its semicolon."""
    if vendor == "sqlite":
        yield f"CREATE TRIGGER {name} AFTER {event} ON {table} BEGIN {body} END"
        return
    yield (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN {body} RETURN NULL; END $$"
    )
    yield (f"CREATE TRIGGER {name} AFTER {event} ON {table} FOR EACH ROW EXECUTE FUNCTION {name}()")


def must_go(using: str, plan: list[tuple[Any, bool]]) -> bool:
    """Before a migration: SQLite alters no table that a trigger names; a table that goes must not be written to."""
    is_sqlite = connections[using].vendor == "sqlite"
    return any(is_sqlite or backwards for _migration, backwards in plan)
