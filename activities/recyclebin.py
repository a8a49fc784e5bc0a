"""The bin: a record is deleted with all rows that hang on it, and can be put back as it was.

    delete ──> rows that go with it, columns elsewhere that name one of them ──> DeletedRecord ──> deleted
    restore ──> the rows again, and the columns that are still empty; or the reason why not

An activity is two rows with one key. Where its series takes the one along, the other goes as well.

What a row named may have gone meanwhile. A column that may be empty is then left so; a row that would have gone
with it stays away, with all below it; else nothing is put back.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.apps import apps
from django.db import IntegrityError, models, transaction
from django.db.models.deletion import CASCADE, SET_NULL
from django.utils.translation import gettext as _

from activities.models import DeletedRecord, StoredBytes
from mailboxes.models import SystemUser

KEPT = timedelta(days=30)
AT_ONCE = 200

Row = dict[str, Any]


class NotRestored(Exception):
    """Its text says why, for people."""


@dataclass(slots=True)
class _Gone:
    """What goes with one record."""

    rows: list[Row] = field(default_factory=list)
    references: list[Row] = field(default_factory=list)
    contents: set[Any] = field(default_factory=set)
    noted: set[tuple[type[models.Model], Any]] = field(default_factory=set)
    heads: dict[type[models.Model], set[Any]] = field(default_factory=lambda: defaultdict(set))


# -- into the bin --------------------------------------------------------------------------------


@transaction.atomic
def delete(
    model: type[models.Model],
    keys: Iterable[Any],
    *,
    now: datetime,
    actor: SystemUser | None = None,
    reason: str = "",
) -> dict[Any, DeletedRecord]:
    """Key -> its place in the bin. What isn't there any more is left out."""
    found: dict[Any, DeletedRecord] = {}
    wanted = sorted(set(keys))
    for start in range(0, len(wanted), AT_ONCE):
        part = wanted[start : start + AT_ONCE]
        locked = model._default_manager.filter(pk__in=part).select_for_update().order_by("pk")
        rows = list(locked)
        gone: dict[Any, _Gone] = defaultdict(_Gone)
        _walk(model, {row.pk: row.pk for row in rows}, rows, gone)
        for key in {key for one in gone.values() for key in one.heads.get(model, ())}:
            gone.pop(key, None)  # it goes with another one of them
        entries = {
            key: DeletedRecord(
                record_type=model._meta.label_lower,
                record_id=str(key),
                deleted_on=now,
                deleted_by=actor,
                reason=reason[:200],
                rows=one.rows,
                references=one.references,
            )
            for key, one in gone.items()
        }
        DeletedRecord.objects.bulk_create(entries.values())
        _keep_contents(entries, gone)
        model._default_manager.filter(pk__in=list(entries)).delete()
        _delete_heads(gone.values())
        found |= entries
    return found


def _walk(
    model: type[models.Model],
    roots: Mapping[Any, Any],
    rows: Iterable[models.Model],
    gone: Mapping[Any, _Gone],
) -> None:
    """Note these rows, then those that go with them. `roots`: key of a row -> whose it is."""
    keys = []
    for row in rows:
        root = gone[roots[row.pk]]
        if (model, row.pk) in root.noted:
            continue
        root.noted.add((model, row.pk))
        root.rows.append(row_of(row))
        root.contents |= set(_contents_of(row))
        keys.append(row.pk)
    if not keys:
        return
    _walk_heads(model, {key: roots[key] for key in keys}, gone)
    for relation in _relations(model):
        theirs, name = relation.related_model, relation.field.attname
        if relation.on_delete is SET_NULL:
            others = theirs._base_manager.filter(**{f"{name}__in": keys})
            for key, value in others.values_list("pk", name):
                reference = {"model": theirs._meta.label_lower, "column": name}
                reference |= {"row": str(key), "value": str(value)}
                gone[roots[value]].references.append(reference)
        elif relation.on_delete is CASCADE:
            # Locked, so that nothing more comes to hang on them unseen.
            found = theirs._base_manager.filter(**{f"{name}__in": keys}).select_for_update()
            below = list(found.order_by("pk"))
            owners = {row.pk: roots[getattr(row, name)] for row in below}
            _walk(theirs, owners, below, gone)


def _walk_heads(
    model: type[models.Model], roots: Mapping[Any, Any], gone: Mapping[Any, _Gone]
) -> None:
    """The rows that share their keys with these: an activity's pointer is what the others hang on."""
    head: Any = model._meta.pk.related_model
    if head is None:
        return
    away = {key: root for key, root in roots.items() if (head, key) not in gone[root].noted}
    rows = head._base_manager.filter(pk__in=list(away)).select_for_update().order_by("pk")
    for key, root in away.items():
        gone[root].heads[head].add(key)
    _walk(head, away, rows if away else [], gone)


def _delete_heads(gone: Iterable[_Gone]) -> None:
    for one in gone:
        for head, keys in one.heads.items():
            head._default_manager.filter(pk__in=keys).delete()


def _relations(model: type[models.Model]) -> Iterator[Any]:
    for relation in model._meta.get_fields(include_hidden=True):
        if isinstance(relation, models.ManyToOneRel):  # one to one is one of them
            yield relation


def row_of(row: models.Model) -> Row:
    """A row as plain data, from which `put_back` makes it again."""
    columns = {each.attname: _told(each, row) for each in row._meta.concrete_fields}
    return {"model": row._meta.label_lower, "columns": columns}


def _told(column: Any, row: models.Model) -> Any:
    value = column.value_from_object(row)
    if value is None or isinstance(column, models.JSONField):
        return value
    return column.value_to_string(row)


def _contents_of(row: models.Model) -> Iterator[Any]:
    for column in row._meta.concrete_fields:
        if column.related_model is StoredBytes and (key := getattr(row, column.attname)):
            yield key


def _keep_contents(entries: Mapping[Any, DeletedRecord], gone: Mapping[Any, _Gone]) -> None:
    through = DeletedRecord.contents.through
    through._default_manager.bulk_create(
        [
            through(deletedrecord_id=entry.pk, storedbytes_id=content)
            for key, entry in entries.items()
            for content in gone[key].contents
        ]
    )


# -- out of the bin ------------------------------------------------------------------------------


def restore(entry: DeletedRecord) -> None:
    """Put it back, with its old keys, and take it out of the bin. Raises NotRestored, and changes nothing."""
    try:
        with transaction.atomic():
            put_back(entry.rows, root=(entry.record_type, entry.record_id))
            for told in entry.references:
                _point_back(told)
            DeletedRecord.objects.filter(pk=entry.pk).delete()
    except IntegrityError as error:
        raise NotRestored(
            _("Another record has taken its place meanwhile, or its owner is gone.")
        ) from error


def put_back(told: Iterable[Row], root: tuple[str, str] = ("", "")) -> None:
    """Rows as they were, parents first; `root` is the one that must come back. Raises NotRestored,
    IntegrityError."""
    rows = _without_missing([_row(one) for one in told], root)
    stamps = _stamps(rows)
    for model, some in _by_model(rows).items():
        model._default_manager.bulk_create(some)
    for model, key, columns in stamps:
        model._base_manager.filter(pk=key).update(**columns)


def _row(told: Row) -> models.Model:
    model = apps.get_model(told["model"])
    columns = {each.attname: each for each in model._meta.concrete_fields}
    # A column that a later version dropped is nothing to put back.
    values = {name: value for name, value in told["columns"].items() if name in columns}
    made: models.Model = model(
        **{name: value_of(columns[name], value) for name, value in values.items()}
    )
    return made


def value_of(column: Any, told: Any) -> Any:
    """What `row_of` told of this column."""
    return None if told is None else getattr(column, "target_field", column).to_python(told)


def _by_model(rows: Iterable[models.Model]) -> dict[type[models.Model], list[Any]]:
    """In the order in which they were noted: parents first."""
    found: dict[type[models.Model], list[Any]] = defaultdict(list)
    for row in rows:
        found[type(row)].append(row)
    return found


def _without_missing(rows: Sequence[models.Model], root: tuple[str, str]) -> list[models.Model]:
    """Those that can be put back. Whatever hangs on a row that can't stays away with it."""
    left = list(rows)
    while True:
        away = _name_what_is_missing(left)
        if any(_name_of(row) == root for row in left if id(row) in away):
            raise _gone(next(iter(away.values())))
        if not away:
            return left
        left = [row for row in left if id(row) not in away]


def _name_of(row: models.Model) -> tuple[str, str]:
    return row._meta.label_lower, str(row.pk)


def _name_what_is_missing(rows: Sequence[models.Model]) -> dict[int, type[models.Model]]:
    """Rows that nothing is left to hang on, by `id`, with what is gone; columns that may be empty are
    emptied."""
    own = {(type(row)._meta.concrete_model, row.pk) for row in rows}
    away: dict[int, type[models.Model]] = {}
    for model, some in _by_model(rows).items():
        for column in model._meta.concrete_fields:
            if not column.is_relation or column.related_model is None:
                continue
            target: Any = column.related_model
            named = {getattr(row, column.attname) for row in some} - {None}
            named = {key for key in named if (target._meta.concrete_model, key) not in own}
            there = set(target._base_manager.filter(pk__in=named).values_list("pk", flat=True))
            if missing := named - there:
                away |= _emptied(column, some, missing)
    return away


def _emptied(
    column: Any, rows: Iterable[models.Model], missing: set[Any]
) -> dict[int, type[models.Model]]:
    away: dict[int, type[models.Model]] = {}
    for row in rows:
        if getattr(row, column.attname) not in missing:
            continue
        if column.null:
            setattr(row, column.attname, None)
        elif column.remote_field.on_delete is CASCADE:
            away[id(row)] = column.related_model
        else:
            raise _gone(column.related_model)
    return away


def _gone(model: type[models.Model]) -> NotRestored:
    return NotRestored(
        _("What it belongs to is gone: %(kind)s.") % {"kind": model._meta.verbose_name}
    )


def _stamps(rows: Iterable[models.Model]) -> list[tuple[Any, Any, dict[str, Any]]]:
    """(model, key, columns) that inserting stamps anew."""
    found = []
    for row in rows:
        columns = {
            column.attname: getattr(row, column.attname)
            for column in row._meta.concrete_fields
            if getattr(column, "auto_now", False) or getattr(column, "auto_now_add", False)
        }
        if columns:
            found.append((type(row), row.pk, columns))
    return found


def _point_back(told: Row) -> None:
    model: Any = apps.get_model(told["model"])
    empty = {f"{told['column']}__isnull": True}
    model._base_manager.filter(pk=told["row"], **empty).update(**{told["column"]: told["value"]})


def empty(now: datetime) -> int:
    """Forget what has lain there for 30 days; returns how many. Bytes go with the sweep."""
    over = DeletedRecord.objects.filter(deleted_on__lt=now - KEPT)
    return over.delete()[1].get(DeletedRecord._meta.label, 0)
