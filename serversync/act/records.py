"""The record of a pair: its row, its name, its page, and whether a reader may see it."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import Model
from django.urls import NoReverseMatch, reverse

from activities.private import hidden_among
from mailboxes import access
from serversync.act.tables import MODELS
from serversync.act.types import Table


def model_of(code: int | None) -> type[Model] | None:
    return MODELS[Table(code)] if code is not None else None


def table_of(record: Model) -> Table | None:
    """None: records of this kind are not synchronized."""
    return next((table for table, model in MODELS.items() if type(record) is model), None)


@dataclass(frozen=True, slots=True)
class Seen:
    """A record within sight. `is_private`: to others, so it has no name."""

    record: Any
    name: str
    is_private: bool = False


def within_sight(table: Table, keys: Collection[UUID], reader: Any) -> dict[UUID, Seen]:
    """Those of them that `reader` may see: two statements, one more where some are private."""
    rows = MODELS[table]._default_manager.filter(pk__in=keys)
    if table is not Table.CONTACT:
        rows = rows.select_related("activity")
    found = {row.pk: row for row in access.visible_to(reader, rows)}
    hidden = hidden_among(list(found.values()), reader)
    return {
        key: Seen(row, "", True) if key in hidden else Seen(row, name_of(row))
        for key, row in found.items()
    }


def name_of(record: Any) -> str:
    return str(record.activity.subject if hasattr(record, "activity") else record)


def page_of(record: Any) -> str:
    """The address of its page in the console; "" if it has none."""
    meta = record._meta
    try:
        return reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[record.pk])
    except NoReverseMatch:
        return ""


def one_within_sight(code: int | None, key: UUID | None, reader: Any) -> Seen | None:
    if code is None or key is None:
        return None
    return within_sight(Table(code), [key], reader).get(key)


def keys_in(texts: Iterable[Any]) -> list[UUID]:
    """What is no key is left out: stored data may be of another version."""
    found = []
    for text in texts:
        try:
            found.append(UUID(str(text)))
        except ValueError:
            continue
    return found
