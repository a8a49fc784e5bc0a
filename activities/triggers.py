"""Triggers that note what changes: every write is seen, also in bulk, by plain SQL or by another program.

    contact, activity, its concrete row        ──> its own key
    party, attachment                          ──> the key of their activity
    any of an exception of a series            ──> the key of the series as well, for it is a part of that

Emails are left out, for nothing of them is synchronized back: on PostgreSQL a page of them costs one look for each
statement, on SQLite one for each row. A transaction notes a key once. Which transaction it was matters only where
there are several at a time: what another one has noted may have been read before this one commits.

While tables are altered they are away, and what changed meanwhile is made good: everything counts as changed then.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections, router, transaction
from django.db.models import Model

from activities.choices import ActivityType
from mailboxes.triggers import Trigger, Triggers, for_each_row, must_go

ACTIVITY = "activities.activitypointer"
CONTACT = "activities.contact"
APPOINTMENT = "activities.appointment"
CONCRETE = (
    APPOINTMENT,
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
class Note:
    """Which key a row stands for. SQL, where the row is called `{row}`: `key`, the table to be joined for it
    and how, and `only`, which rows count."""

    key: str
    object_type: str = ACTIVITY
    join: str = ""
    on: str = ""
    only: str = "TRUE"


@dataclass(frozen=True, slots=True)
class Watched:
    """One table. `moves`: a row of it may come to stand for another record."""

    table: str
    notes: tuple[Note, ...]
    moves: bool = False

    def rows_of(self, event: str) -> tuple[str, ...]:
        """Whether the rows of before or of afterwards tell what changed."""
        if event == "update" and self.moves:
            return ("OLD", "NEW")
        return ("OLD",) if event == "delete" else ("NEW",)


def watched() -> Iterator[Watched]:
    pointers = _table(ACTIVITY)
    planned = f"{{row}}.activity_type_code <> {ActivityType.EMAIL.value}"
    single = f"{{row}}.activity_type_code = {ActivityType.APPOINTMENT.value}"
    yield Watched(_table(CONTACT), (Note("{row}.id", CONTACT),))
    yield Watched(pointers, (Note("{row}.id", only=planned), _series_of("{row}.id", single)))
    for label in CONCRETE:
        own = Note("{row}.activity_id")
        theirs = Note("{row}.series_id", only="{row}.series_id IS NOT NULL")
        is_single = label == APPOINTMENT
        yield Watched(_table(label), (own, theirs) if is_single else (own,), moves=is_single)
    of_activity = Note(
        "activity.id",
        join=f"{pointers} activity",
        on="activity.id = {row}.activity_id "
        f"AND activity.activity_type_code <> {ActivityType.EMAIL.value}",
    )
    for label in PARTS:
        yield Watched(_table(label), (of_activity, _series_of("{row}.activity_id")), moves=True)


def _series_of(key: str, only: str = "TRUE") -> Note:
    return Note(
        "exception.series_id",
        join=f"{_table(APPOINTMENT)} exception",
        on=f"exception.activity_id = {key} AND exception.series_id IS NOT NULL",
        only=only,
    )


def wanted(using: str = DEFAULT_DB_ALIAS) -> set[str]:
    """Names of all that have to be there."""
    return {trigger.name for trigger in _triggers(connections[using].vendor)}


def missing(using: str = DEFAULT_DB_ALIAS) -> set[str]:
    """Names of those that are not there, or are switched off. One statement."""
    return OURS.missing(using)


def install(using: str = DEFAULT_DB_ALIAS) -> bool:
    """See to it that all are there. If one was missing, whatever is watched counts as changed, as soon as
    anybody has read the journal. Returns whether one was."""
    connection = connections[using]
    with transaction.atomic(using=using):
        if not OURS.install(using):
            return False
        with connection.cursor() as cursor:
            if _was_read(cursor):
                for statement in _everything(connection.vendor):
                    cursor.execute(statement)
    return True


# -- around migrations ---------------------------------------------------------------------------


def before_migration(using: str, plan: list[tuple[Any, bool]], **_: Any) -> None:
    if _belongs(using) and must_go(using, plan):
        OURS.remove(using)


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
    """Triggers for each row. A key is stored without its dashes there.

    The plus keeps SQLite from looking through all notes without a number for one of a record: it takes
    a unique column for one that has each value once, also where that value is none.
    """

    @classmethod
    def body(cls, each: Watched, event: str) -> str:
        rows = each.rows_of(event)
        return " ".join(cls.insert(note, row, note.join) for row in rows for note in each.notes)

    @staticmethod
    def create(name: str, table: str, event: str, body: str) -> Iterator[str]:
        return for_each_row("sqlite", name, table, event, body)

    @classmethod
    def whole(cls, each: Watched) -> str:
        return cls.insert(each.notes[0], "it", f"{each.table} it")

    @staticmethod
    def insert(note: Note, row: str, source: str) -> str:
        stored = note.key.format(row=row)
        starts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
        key = " || '-' || ".join(f"substr({stored}, {at}, {length})" for at, length in starts)
        journal = _table("activities.recordchange")
        counts = f"{note.on or 'TRUE'} AND {note.only}".format(row=row)
        return (
            f"INSERT INTO {journal} (id, object_type, object_id, marked_in, changed_on) "
            f"SELECT lower(hex(randomblob(16))), '{note.object_type}', {key}, 0, "
            f"strftime('%Y-%m-%d %H:%M:%f', 'now') {'FROM ' + source if source else ''} "
            f"WHERE {counts} AND NOT EXISTS (SELECT 1 FROM {journal} WHERE +number IS NULL "
            f"AND object_type = '{note.object_type}' AND object_id = {key});"
        )


class Postgresql:
    """Triggers for each statement, which see all its rows at once. Each has a function of its name.

    A record that is written by several statements is noted by each: looking whether it is noted already would be
    planned once, for an empty journal, and cost the square of what one transaction writes. Numbering keeps the last.
    """

    _SEEN = {
        "insert": "NEW TABLE AS later",
        "update": "OLD TABLE AS former NEW TABLE AS later",
        "delete": "OLD TABLE AS former",
    }
    _ROWS = {
        ("OLD",): "former",
        ("NEW",): "later",
        ("OLD", "NEW"): "(TABLE former UNION ALL TABLE later)",
    }

    @classmethod
    def body(cls, each: Watched, event: str) -> str:
        rows = cls._ROWS[each.rows_of(event)]
        return " ".join(cls.insert(note, rows) for note in each.notes)

    @classmethod
    def create(cls, name: str, table: str, event: str, body: str) -> Iterator[str]:
        yield (
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {body} RETURN NULL; END $$"
        )
        yield (
            f"CREATE TRIGGER {name} AFTER {event} ON {table} REFERENCING {cls._SEEN[event]} "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
        )

    @classmethod
    def whole(cls, each: Watched) -> str:
        return cls.insert(each.notes[0], each.table)

    @staticmethod
    def insert(note: Note, rows: str) -> str:
        journal = _table("activities.recordchange")
        joined = f"JOIN {note.join} ON {note.on}" if note.join else ""
        told = f"FROM {rows} it {joined} WHERE {note.only}".format(row="it")
        return (
            f"INSERT INTO {journal} (id, object_type, object_id, marked_in, changed_on) "
            f"SELECT gen_random_uuid(), '{note.object_type}', key, txid_current(), clock_timestamp() "
            f"FROM (SELECT DISTINCT {note.key.format(row='it')}::text AS key {told}) noted;"
        )


_DIALECTS: dict[str, Any] = {"sqlite": Sqlite, "postgresql": Postgresql}
PREFIX = "changes_"


def _triggers(vendor: str) -> Iterator[Trigger]:
    if vendor not in _DIALECTS:
        return
    for each in watched():
        for event in EVENTS:
            body = _DIALECTS[vendor].body(each, event)
            mark = sha256(body.encode()).hexdigest()[:8]
            name = f"{PREFIX}{each.table}_{event}_{mark}"
            made = _DIALECTS[vendor].create(name, each.table, event, body)
            yield Trigger(name, each.table, tuple(made))


OURS = Triggers(PREFIX, _triggers)


def _everything(vendor: str) -> Iterator[str]:
    """Notes all rows that are records, or halves of them."""
    for each in watched():
        if not each.notes[0].join:
            yield _DIALECTS[vendor].whole(each)


def _was_read(cursor: Any) -> bool:
    cursor.execute(f"SELECT 1 FROM {_table('activities.changecounter')} WHERE number > 0")
    return cursor.fetchone() is not None


def _table(label: str) -> str:
    return str(apps.get_model(label)._meta.db_table)
