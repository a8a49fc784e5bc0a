"""Noted changes as values, and how a record was at a moment."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import BooleanField, DateTimeField, Field, ForeignKey, Model, QuerySet

from mailboxes.choices import ChangeEvent
from mailboxes.history.watched import hides, with_parts
from mailboxes.models import ConfigurationChange, SystemUser

#: What one person changed in one go may have been written by several statements.
TOGETHER = timedelta(seconds=2)
ALONE = {ChangeEvent.MADE, ChangeEvent.REMOVED}


@dataclass(frozen=True, slots=True)
class Change:
    """`field`: None where the column is no more. `hidden`: the texts say only whether there was a value.
    `in_part`: the column is one of a part of the record."""

    name: str
    event: ChangeEvent
    before: str | None
    after: str | None
    field: "Field[Any, Any] | None" = None
    hidden: bool = False
    in_part: bool = False

    @property
    def was(self) -> Any:
        return value_of(self.field, self.before)

    @property
    def became(self) -> Any:
        return value_of(self.field, self.after)

    @property
    def can_come_back(self) -> bool:
        """Lists of others are put right by hand: who may be in them may have changed since."""
        if self.event != ChangeEvent.CHANGED or self.hidden or self.in_part:
            return False
        return self.field is not None and self.field.editable


@dataclass(frozen=True, slots=True)
class Moment:
    """What was changed together. `key`: of its earliest row, by which it is found again."""

    key: int
    when: datetime
    who: SystemUser | None
    event: ChangeEvent
    changes: tuple[Change, ...]

    @property
    def can_come_back(self) -> bool:
        return any(change.can_come_back for change in self.changes)


def moments_of(record: Model, limit: int | None = None) -> list[Moment]:
    """Latest first. One statement. `limit`: of columns that changed."""
    models = with_parts(type(record))
    rows = _rows(models, record.pk).select_related("changed_by")
    found = list(rows.order_by("-changed_on", "-pk")[:limit])
    return [_moment(models, type(record), together) for together in _together(found)]


def moment_of(record: Model, key: int) -> Moment | None:
    return next((one for one in moments_of(record) if one.key == key), None)


def former_values(record: Model, key: int) -> dict[str, Any]:
    """The columns that were changed in that moment, with the values that they had before it."""
    moment = moment_of(record, key)
    changes = moment.changes if moment else ()
    return {change.name: change.was for change in changes if change.can_come_back}


def last_changes(record: Model) -> Mapping[str, ConfigurationChange]:
    """Column -> its latest change. One statement."""
    rows = _rows([type(record)._meta.label_lower], record.pk).filter(event=ChangeEvent.CHANGED)
    return {
        row.field: row for row in rows.select_related("changed_by").order_by("changed_on", "pk")
    }


def value_of(field: "Field[Any, Any] | None", text: str | None) -> Any:
    """What a column held, from what the database wrote. Of a reference the key; a text that is no value stays."""
    if text is None or field is None:
        return text
    target: Any = field.target_field if isinstance(field, ForeignKey) else field
    try:
        if hasattr(target, "decoder"):
            return target.from_db_value(text, None, None)
        if isinstance(target, BooleanField):
            return target.to_python(text.title())  # PostgreSQL writes "true"
        value = target.to_python(text)
    except (ValidationError, ValueError, TypeError):
        return text
    if isinstance(target, DateTimeField) and value is not None and value.tzinfo is None:
        return value.replace(tzinfo=UTC)
    return value


# -- rows


def _rows(labels: Iterable[str], pk: Any) -> "QuerySet[ConfigurationChange]":
    return ConfigurationChange.objects.filter(object_type__in=list(labels), object_id=str(pk))


def _together(rows: Iterable[ConfigurationChange]) -> Iterator[list[ConfigurationChange]]:
    """Rows that follow each other closely and are by the same person, latest first."""
    group: list[ConfigurationChange] = []
    for row in rows:
        if group and not _is_same(group[-1], row):
            yield group
            group = []
        group.append(row)
    if group:
        yield group


def _is_same(later: ConfigurationChange, earlier: ConfigurationChange) -> bool:
    if ALONE & {later.event, earlier.event}:
        return (later.event, later.changed_on) == (earlier.event, earlier.changed_on)
    close = later.changed_on - earlier.changed_on <= TOGETHER
    return close and later.changed_by_id == earlier.changed_by_id


Models = Mapping[str, type[Model]]


def _moment(models: Models, whole: type[Model], rows: list[ConfigurationChange]) -> Moment:
    by_column: dict[tuple[str, ...], list[ConfigurationChange]] = defaultdict(list)
    for row in reversed(rows):  # earliest first
        listed = row.event in (ChangeEvent.ADDED, ChangeEvent.TAKEN_OUT)
        key = (row.after or row.before or "") if listed else ""
        by_column[row.object_type, row.field, key].append(row)
    changes = [_change(models, whole, same) for same in by_column.values() if same[0].field]
    return Moment(
        key=rows[-1].pk,
        when=rows[0].changed_on,
        who=rows[0].changed_by,
        event=_event(rows),
        changes=tuple(each for each in changes if each.hidden or each.before != each.after),
    )


def _event(rows: Iterable[ConfigurationChange]) -> ChangeEvent:
    alone = ALONE & {row.event for row in rows}
    return ChangeEvent(alone.pop()) if alone else ChangeEvent.CHANGED


def _change(models: Models, whole: type[Model], rows: list[ConfigurationChange]) -> Change:
    """A column that changed twice in one go: from the first value to the last."""
    model = models[rows[0].object_type]
    field: Any = None
    with suppress(FieldDoesNotExist):
        field = model._meta.get_field(rows[0].field)
    return Change(
        name=rows[0].field,
        event=ChangeEvent(rows[-1].event),
        before=rows[0].before,
        after=rows[-1].after,
        field=field,
        hidden=field is None or (not field.many_to_many and hides(field)),
        in_part=model is not whole,
    )
