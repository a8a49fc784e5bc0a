"""Which records have a history, and the triggers that write it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.apps import apps
from django.contrib.auth.models import Group
from django.db import connections, router
from django.db.models import Field, Model, UUIDField

from mailboxes.choices import ChangeEvent
from mailboxes.models import (
    ConfigurationChange,
    EmailServerProfile,
    GroupReach,
    Mailbox,
    Organization,
    Queue,
    SystemUser,
    Team,
    UserSettings,
)
from mailboxes.triggers import Trigger, Triggers, for_each_row, must_go

PREFIX = "history_"
STAMPS = ("created_on", "created_by", "modified_on", "modified_by")
JOURNAL = ConfigurationChange._meta.db_table
#: Values that say no more than that there is one.
IS_SET = "set"
#: The first part of a compound query names its columns.
NAMES = "SELECT NULL AS field, NULL AS was, NULL AS became, FALSE AS differ"


@dataclass(frozen=True, slots=True)
class Watched:
    """`also`: columns that no form offers and people decide all the same. `without`: what programs write.
    `part_of`: the model whose rows have one of these each, under the same key."""

    model: type[Model]
    also: Collection[str] = ()
    without: Collection[str] = ()
    part_of: type[Model] | None = None

    def columns(self) -> "Iterator[Field[Any, Any]]":
        for field in self.model._meta.concrete_fields:
            if field.primary_key or field.name in (*STAMPS, *self.without):
                continue
            if field.editable or field.name in self.also:
                yield field


_WATCHED: dict[str, Watched] = {}
_LISTS: dict[tuple[str, str], type[Model]] = {}


def watch(model: type[Model], *, lists: Collection[str] = (), **options: Any) -> None:
    """Keep a history of this model's rows. `lists`: many-to-many fields. Before the site is migrated."""
    _WATCHED[model._meta.label_lower] = Watched(model, **options)
    for name in lists:
        _LISTS[model._meta.label_lower, name] = model


def is_watched(model: type[Model]) -> bool:
    return model._meta.label_lower in _WATCHED


def with_parts(model: type[Model]) -> dict[str, type[Model]]:
    """Label -> model, of all whose rows tell of a record of this one."""
    parts = [each.model for each in _WATCHED.values() if each.part_of is model]
    return {one._meta.label_lower: one for one in (model, *parts)}


def hides(field: "Field[Any, Any]") -> bool:
    """Whether its values are nobody's to read."""
    return getattr(field, "is_secret", False) or (
        field.name == "password" and issubclass(field.model, SystemUser)
    )


watch(Organization)
watch(EmailServerProfile)
watch(Mailbox, without=("email_address_approved_on", "email_address_approved_by"))
watch(Queue, lists=("members",))
watch(SystemUser, without=("last_login",), lists=("groups", "user_permissions"))
watch(UserSettings, part_of=SystemUser)
watch(Team, lists=("members",))
watch(Group, lists=("permissions",))
watch(GroupReach, part_of=Group)


# -- triggers ------------------------------------------------------------------------------------


def _triggers(vendor: str) -> Iterator[Trigger]:
    if vendor not in ("sqlite", "postgresql"):
        return
    for table, event, body in _bodies(vendor):
        mark = sha256(body.encode()).hexdigest()[:8]
        name = f"{PREFIX}{table}_{event}_{mark}"
        made = for_each_row(vendor, name, table, event, body)
        yield Trigger(name, table, tuple(made))


OURS = Triggers(PREFIX, _triggers)


def _bodies(vendor: str) -> Iterator[tuple[str, str, str]]:
    """(table, event, body) of each."""
    sql = _Sql(vendor)
    for each in _WATCHED.values():
        table = each.model._meta.db_table
        yield table, "insert", sql.made(each)
        yield table, "update", sql.changed(each)
        yield table, "delete", sql.removed(each)
    for (_label, name), model in _LISTS.items():
        through: Any = model._meta.get_field(name).remote_field.through  # type: ignore[union-attr]
        yield through._meta.db_table, "insert", sql.listed(model, name, ChangeEvent.ADDED)
        yield through._meta.db_table, "delete", sql.listed(model, name, ChangeEvent.TAKEN_OUT)


@dataclass(frozen=True, slots=True)
class _Sql:
    vendor: str

    def made(self, each: Watched) -> str:
        who = self._who(each.model, "created_by", "NEW")
        return self._insert(each.model, "NEW", ChangeEvent.MADE, who, "SELECT '', NULL, NULL, TRUE")

    def changed(self, each: Watched) -> str:
        who = "NULL"
        if _has(each.model, "modified_by"):
            modified = self._differ("OLD.modified_on", "NEW.modified_on")
            who = f"CASE WHEN {modified} THEN NEW.modified_by_id END"
        rows = " UNION ALL ".join(
            f"SELECT '{field.name}', {self._text(field, 'OLD')}, {self._text(field, 'NEW')}, "
            f"{self._differ(f'OLD.{self._name(field)}', f'NEW.{self._name(field)}')}"
            for field in each.columns()
        )
        return self._insert(each.model, "NEW", ChangeEvent.CHANGED, who, rows)

    def removed(self, each: Watched) -> str:
        rows = " UNION ALL ".join(
            f"SELECT '{field.name}', {self._text(field, 'OLD')}, NULL, "
            f"{self._text(field, 'OLD')} IS NOT NULL AND {self._text(field, 'OLD')} <> ''"
            for field in each.columns()
        )
        return self._insert(each.model, "OLD", ChangeEvent.REMOVED, "NULL", rows)

    def listed(self, model: type[Model], name: str, event: ChangeEvent) -> str:
        field: Any = model._meta.get_field(name)
        row = "NEW" if event == ChangeEvent.ADDED else "OLD"
        through = field.remote_field.through._meta
        mine = through.get_field(field.m2m_field_name())
        other = self._text(through.get_field(field.m2m_reverse_field_name()), row)
        before, after = ("NULL", other) if event == ChangeEvent.ADDED else (other, "NULL")
        return self._insert_of(
            model, self._text(mine, row), event, "NULL", f"SELECT '{name}', {before}, {after}, TRUE"
        )

    def _insert(self, model: type[Model], row: str, event: ChangeEvent, who: str, rows: str) -> str:
        assert model._meta.pk is not None
        return self._insert_of(model, self._text(model._meta.pk, row), event, who, rows)

    def _insert_of(
        self, model: type[Model], key: str, event: ChangeEvent, who: str, rows: str
    ) -> str:
        """`rows`: a query for name, before, after, and whether they differ."""
        return (
            f"INSERT INTO {JOURNAL} "
            "(object_type, object_id, event, field, before, after, changed_on, changed_by_id) "
            f"SELECT '{model._meta.label_lower}', {key}, '{event.value}', it.field, it.was, it.became, "
            f"{self._now}, {who} FROM ({NAMES} UNION ALL {rows}) it WHERE it.differ;"
        )

    @property
    def _now(self) -> str:
        """The same for all that one statement changes."""
        sqlite = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
        return sqlite if self.vendor == "sqlite" else "statement_timestamp()"

    def _differ(self, one: str, other: str) -> str:
        return f"{one} IS {'NOT' if self.vendor == 'sqlite' else 'DISTINCT FROM'} {other}"

    def _name(self, field: "Field[Any, Any]") -> str:
        return f'"{field.column}"'

    def _text(self, field: "Field[Any, Any]", row: str) -> str:
        column = f"{row}.{self._name(field)}"
        if hides(field):
            return f"CASE WHEN {column} <> '' THEN '{IS_SET}' END"
        if self.vendor != "sqlite":
            return f"{column}::text"
        if _is_uuid(field):
            starts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
            return " || '-' || ".join(f"substr({column}, {at}, {size})" for at, size in starts)
        return f"CAST({column} AS TEXT)"

    def _who(self, model: type[Model], name: str, row: str) -> str:
        return f"{row}.{name}_id" if _has(model, name) else "NULL"


def _has(model: type[Model], name: str) -> bool:
    return any(field.name == name for field in model._meta.concrete_fields)


def _is_uuid(field: "Field[Any, Any]") -> bool:
    """Of a reference: whether the key that it holds is one."""
    while field.is_relation:
        field = field.target_field  # type: ignore[attr-defined]
    return isinstance(field, UUIDField)


# -- around migrations


def before_migration(using: str, plan: list[tuple[Any, bool]], **_: Any) -> None:
    if _belongs(using) and must_go(using, plan):
        OURS.remove(using)


def after_migration(using: str, **said: Any) -> None:
    """Also sent when a database was emptied, without a plan: what was noted of it is nothing anybody changed."""
    if not is_migrated(using):
        return
    OURS.install(using)
    if "plan" not in said:
        with connections[using].cursor() as cursor:
            cursor.execute(f"DELETE FROM {JOURNAL}")


def is_migrated(using: str) -> bool:
    """Whether all tables that this is about are there; not so while a site goes back or forth."""
    if not _belongs(using):
        return False
    with connections[using].cursor() as cursor:
        there = set(connections[using].introspection.table_names(cursor))
    vendor = connections[using].vendor
    return {JOURNAL, *(table for table, _event, _body in _bodies(vendor))} <= there


def _belongs(using: str) -> bool:
    known = connections[using].vendor in ("sqlite", "postgresql")
    model = apps.get_model("mailboxes.configurationchange")
    return known and bool(router.allow_migrate_model(using, model))
