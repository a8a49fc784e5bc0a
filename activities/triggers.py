"""Triggers that note what changes: every write is seen, also in bulk, by plain SQL or by another program.

    contact, activity, its concrete row        ──> its own key
    party, attachment                          ──> the key of their activity

Emails are left out, for nothing of them is synchronized back: on PostgreSQL a page of them costs one look for each
statement, on SQLite one for each row. A transaction notes a key once. Which transaction it was matters only where
there are several at a time: what another one has noted may have been read before this one commits.

They are no part of a migration, for SQLite drops the triggers of a table that it alters, and refuses to alter one
that others name. So they go before tables change and come back afterwards, and what changed meanwhile is made
good: everything counts as changed then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, router, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model

from activities.choices import ActivityType

ACTIVITY = "activities.activitypointer"
CONTACT = "activities.contact"
CONCRETE = (
    "activities.appointment",
    "activities.recurringappointmentmaster",
    "activities.serviceappointment",
    "activities.task",
    "activities.phonecall",
    "activities.letter",
    "activities.fax",
)
PARTS = ("activities.activityparty", "activities.activitymimeattachment")
EVENTS = ("insert", "update", "delete")


@dataclass(frozen=True, slots=True)
class Watched:
    """One table. `only`: which of its rows count, as SQL about the row that is called `{row}`."""

    table: str
    column: str
    object_type: str
    only: str = ""
    moves: bool = False  # its column may come to name another record

    def trigger(self, event: str) -> str:
        return f"changes_{self.table}_{event}"


def watched() -> Iterator[Watched]:
    mail = f"<> {ActivityType.EMAIL.value}"
    pointers = _table(ACTIVITY)
    yield Watched(_table(CONTACT), "id", CONTACT)
    yield Watched(pointers, "id", ACTIVITY, only=f"{{row}}.activity_type_code {mail}")
    for label in CONCRETE:
        yield Watched(_table(label), "activity_id", ACTIVITY)
    of_activity = (
        f"EXISTS (SELECT 1 FROM {pointers} WHERE {pointers}.id = {{row}}.activity_id "
        f"AND {pointers}.activity_type_code {mail})"
    )
    for label in PARTS:
        yield Watched(_table(label), "activity_id", ACTIVITY, only=of_activity, moves=True)


def wanted() -> set[str]:
    """Names of all that have to be there."""
    return {each.trigger(event) for each in watched() for event in EVENTS}


def missing(using: str = DEFAULT_DB_ALIAS) -> set[str]:
    """Names of those that are not there, or are switched off. One statement."""
    return wanted() - _present(connections[using])


def install(using: str = DEFAULT_DB_ALIAS) -> bool:
    """See to it that all are there. If one was missing, whatever is watched counts as changed, as soon as
    anybody has read the journal. Returns whether one was."""
    connection = connections[using]
    with transaction.atomic(using=using):
        if not missing(using):
            return False
        _remove(connection)
        with connection.cursor() as cursor:
            for statement in _DIALECTS[connection.vendor].statements():
                cursor.execute(statement)
            if _was_read(cursor):
                for statement in _DIALECTS[connection.vendor].everything():
                    cursor.execute(statement)
    return True


def remove(using: str = DEFAULT_DB_ALIAS) -> None:
    with transaction.atomic(using=using):
        _remove(connections[using])


# -- around migrations ---------------------------------------------------------------------------


def before_migration(using: str, plan: list[tuple[Any, bool]], **_: Any) -> None:
    """SQLite alters no table that a trigger names; a table that goes must not be written to."""
    if not _belongs(using):
        return
    is_sqlite = connections[using].vendor == "sqlite"
    if any(is_sqlite or backwards for _migration, backwards in plan):
        remove(using)


def after_migration(using: str, **said: Any) -> None:
    """Also sent when a database was emptied (`flush`), without a plan: SQLite has then noted every row that
    went, and nobody is left to read it."""
    if not is_migrated(using):
        return
    install(using)
    if "plan" not in said:
        with connections[using].cursor() as cursor:
            cursor.execute(f"DELETE FROM {_table('activities.recordchange')}")


def is_migrated(using: str) -> bool:
    """Whether all tables that this is about are there; not so while a site goes back or forth."""
    if not _belongs(using):
        return False
    with connections[using].cursor() as cursor:
        there = set(connections[using].introspection.table_names(cursor))
    journal = {_table("activities.recordchange"), _table("activities.changecounter")}
    return journal | {each.table for each in watched()} <= there


def _belongs(using: str) -> bool:
    model: type[Model] = apps.get_model("activities.recordchange")
    known = connections[using].vendor in _DIALECTS
    return known and bool(router.allow_migrate_model(using, model))


# -- what the databases say of it ----------------------------------------------------------------


class Sqlite:
    """Triggers for each row. A key is stored without its dashes there."""

    present = "SELECT name, tbl_name FROM sqlite_master WHERE type = 'trigger'"

    @classmethod
    def statements(cls) -> Iterator[str]:
        for each in watched():
            for event in EVENTS:
                rows = ["OLD"] if event == "delete" else ["NEW"]
                if event == "update" and each.moves:
                    rows.append("OLD")
                notes = " ".join(cls._note(each, row) for row in rows)
                yield (
                    f"CREATE TRIGGER {each.trigger(event)} AFTER {event} ON {each.table} "
                    f"BEGIN {notes} END"
                )

    @classmethod
    def everything(cls) -> Iterator[str]:
        for each in watched():
            if not each.moves:
                yield cls._note(each, "it", f"FROM {each.table} it")

    @staticmethod
    def _note(each: Watched, row: str, source: str = "") -> str:
        stored = f"{row}.{each.column}"
        starts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        key = " || '-' || ".join(f"substr({stored}, {at}, {length})" for at, length in starts)
        only = f"{each.only.format(row=row)} AND " if each.only else ""
        journal = _table("activities.recordchange")
        return (
            f"INSERT INTO {journal} (id, object_type, object_id, marked_in, changed_on) "
            f"SELECT lower(hex(randomblob(16))), '{each.object_type}', {key}, 0, "
            f"strftime('%Y-%m-%d %H:%M:%f', 'now') {source} "
            f"WHERE {only}NOT EXISTS (SELECT 1 FROM {journal} WHERE number IS NULL "
            f"AND object_type = '{each.object_type}' AND object_id = {key});"
        )

    @staticmethod
    def removal(trigger: str, table: str) -> str:
        return f"DROP TRIGGER {trigger}"


class Postgresql:
    """Triggers for each statement, which see all its rows at once."""

    present = (
        "SELECT t.tgname, t.tgrelid::regclass::text FROM pg_trigger t "
        "JOIN pg_class c ON c.oid = t.tgrelid "
        "WHERE NOT t.tgisinternal AND t.tgenabled <> 'D' AND pg_table_is_visible(c.oid)"
    )
    _SEEN = {
        "insert": "NEW TABLE AS later",
        "update": "OLD TABLE AS former NEW TABLE AS later",
        "delete": "OLD TABLE AS former",
    }

    @classmethod
    def statements(cls) -> Iterator[str]:
        for each in watched():
            for event in EVENTS:
                name = each.trigger(event)
                rows = "former" if event == "delete" else "later"
                if event == "update" and each.moves:
                    rows = "(TABLE former UNION ALL TABLE later)"
                yield (
                    f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
                    f"$$ BEGIN {cls._note(each, rows)} RETURN NULL; END $$"
                )
                yield (
                    f"CREATE TRIGGER {name} AFTER {event} ON {each.table} "
                    f"REFERENCING {cls._SEEN[event]} FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
                )

    @classmethod
    def everything(cls) -> Iterator[str]:
        for each in watched():
            if not each.moves:
                yield cls._note(each, each.table)

    @staticmethod
    def _note(each: Watched, rows: str) -> str:
        journal = _table("activities.recordchange")
        only = f"WHERE {each.only.format(row='it')} " if each.only else ""
        return (
            f"INSERT INTO {journal} (id, object_type, object_id, marked_in, changed_on) "
            f"SELECT gen_random_uuid(), '{each.object_type}', key, txid_current(), clock_timestamp() "
            f"FROM (SELECT DISTINCT it.{each.column}::text AS key FROM {rows} it {only}) marked "
            f"WHERE NOT EXISTS (SELECT 1 FROM {journal} WHERE number IS NULL "
            f"AND object_type = '{each.object_type}' AND object_id = marked.key "
            "AND marked_in = txid_current());"
        )

    @staticmethod
    def removal(trigger: str, table: str) -> str:
        return f"DROP FUNCTION {trigger}() CASCADE"


_DIALECTS: dict[str, Any] = {"sqlite": Sqlite, "postgresql": Postgresql}


def _present(connection: BaseDatabaseWrapper) -> set[str]:
    return set(_places(connection))


def _places(connection: BaseDatabaseWrapper) -> dict[str, str]:
    """Name of a trigger that is there -> its table."""
    with connection.cursor() as cursor:
        cursor.execute(_DIALECTS[connection.vendor].present)
        return dict(cursor.fetchall())


def _remove(connection: BaseDatabaseWrapper) -> None:
    there = _places(connection)
    with connection.cursor() as cursor:
        for name in sorted(wanted() & set(there)):
            cursor.execute(_DIALECTS[connection.vendor].removal(name, there[name]))


def _was_read(cursor: Any) -> bool:
    cursor.execute(f"SELECT 1 FROM {_table('activities.changecounter')} WHERE number > 0")
    return cursor.fetchone() is not None


def _table(label: str) -> str:
    return str(apps.get_model(label)._meta.db_table)
