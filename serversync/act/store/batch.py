"""Rows that are made, changed and taken away together: noted one record at a time, written at the end at once."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import models

from activities.models import (
    ActivityParty,
    ActivityPointer,
    Appointment,
    Contact,
    RecurringAppointmentMaster,
)
from mailboxes.models import SystemUser
from mailboxes.search import email_columns, reindex

AT_ONCE = 200
#: What others hang on comes first.
_FIRST = (ActivityPointer, RecurringAppointmentMaster, Appointment)


@dataclass(slots=True)
class Batch:
    """`user`: in whose name (R6.7). Until `flush` nothing is written."""

    user: SystemUser
    now: datetime
    made: dict[type[models.Model], list[Any]] = field(default_factory=lambda: defaultdict(list))
    changed: dict[type[models.Model], dict[UUID, Any]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    columns: dict[type[models.Model], set[str]] = field(default_factory=lambda: defaultdict(set))
    parties_gone: set[UUID] = field(default_factory=set)

    def make(self, row: models.Model) -> None:
        if hasattr(row, "created_by_id"):
            row.created_by_id = row.modified_by_id = self.user.pk  # type: ignore[attr-defined]
        self.made[type(row)].append(row)

    def change(self, row: Any, **columns: Any) -> None:
        """Only what differs. A row that is about to be made takes it along."""
        differing = {name: value for name, value in columns.items() if getattr(row, name) != value}
        for name, value in differing.items():
            setattr(row, name, value)
        if differing and not row._state.adding:
            self.changed[type(row)][row.pk] = row
            self.columns[type(row)] |= set(differing)

    def stamp(self, row: Any) -> None:
        """Who changed it, and when: of a contact, or of the activity behind a row."""
        self.change(row, modified_on=self.now, modified_by_id=self.user.pk)

    def flush(self) -> None:
        ActivityParty.objects.filter(pk__in=self.parties_gone).delete()
        for model in sorted(self.made, key=_order):
            model._default_manager.bulk_create(self.made[model], batch_size=AT_ONCE)
        for model, rows in self.changed.items():
            names = [_name_of(model, column) for column in sorted(self.columns[model])]
            model._default_manager.bulk_update(rows.values(), names, batch_size=AT_ONCE)
        self._index_contacts()

    def _index_contacts(self) -> None:
        """Bulk writing bypasses what keeps the index of addresses."""
        keys = {row.pk for row in self.made[Contact]}
        if self.columns[Contact] & set(email_columns(Contact)):
            keys |= set(self.changed[Contact])
        if keys:
            reindex(Contact, keys)


def _order(model: type[models.Model]) -> int:
    return _FIRST.index(model) if model in _FIRST else len(_FIRST)


def _name_of(model: type[models.Model], column: str) -> str:
    return next(each.name for each in model._meta.concrete_fields if each.attname == column)


def keys_of(rows: Iterable[Any]) -> list[UUID]:
    return [row.pk for row in rows]
