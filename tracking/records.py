"""Records that mail can be filed under: of every email-enabled model and cases, found by words, within
sight."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import CharField, Model, Q, QuerySet, TextField
from django.utils.text import capfirst

from activities.models import Incident
from mailboxes import access
from mailboxes.search import email_columns, enabled_models
from tracking.folders import Record

NAMES = (
    *("first_name", "middle_name", "last_name", "domain_name", "name", "title", "subject"),
    "ticket_number",
)
FOUND = 20  # records shown for one search
MOST_WORDS = 5  # each one costs a comparison of every column


@dataclass(frozen=True, slots=True)
class Found:
    """A record to choose. `value` stands for it in forms: "activities.contact:<key>"."""

    value: str
    name: str
    kind: str
    detail: str


@dataclass(frozen=True, slots=True)
class Shown:
    """How a rule's record is shown. `record`: None if it is out of the reader's sight, or gone."""

    record: Model | None
    exists: bool


def filing_models() -> list[type[Model]]:
    """Whatever has addresses, and cases, which have none that mail would be resolved by."""
    return [*enabled_models(), Incident]


def ref_of(record: Model) -> Record:
    return (ContentType.objects.get_for_model(type(record)).pk, str(record.pk))


def value_of(record: Model) -> str:
    return f"{record._meta.label_lower}:{record.pk}"


def found(record: Model) -> Found:
    addresses = (getattr(record, name) for name in email_columns(type(record)))
    return Found(
        value=value_of(record),
        name=str(record),
        kind=capfirst(str(record._meta.verbose_name)),
        detail=next((address for address in addresses if address), ""),
    )


def record_of(value: str, user: Any) -> Model | None:
    """The record that a form's value stands for, if mail can be filed under it and the user sees it."""
    label, _colon, key = value.partition(":")
    model = next((one for one in filing_models() if one._meta.label_lower == label), None)
    if model is None:
        return None
    keys = list(_keys(model, [key]))
    return _in_sight(model, user).filter(pk__in=keys).first()


def find_records(words: str, user: Any, limit: int = FOUND) -> list[Found]:
    """At most `limit` records whose names or addresses hold every word; those that begin with what was
    typed first."""
    wanted = words.replace("\0", "").lower().split()[:MOST_WORDS]
    if not wanted:
        return []
    rows: list[Model] = []
    for model in filing_models():
        columns = _searched(model)
        every = reduce(and_, (_any_holds(columns, word) for word in wanted))
        rows += _in_sight(model, user).filter(every).order_by(*columns[:1], "pk")[:limit]
    start = " ".join(wanted)
    rows.sort(key=lambda row: not str(row).lower().startswith(start))
    return [found(row) for row in rows[:limit]]


def shown(refs: Iterable[Record], user: Any) -> dict[Record, Shown]:
    """Two queries for each kind of record: which are in sight, and which exist."""
    answer: dict[Record, Shown] = {}
    for kind, model, keys in _by_kind(refs):
        seen = {str(row.pk): row for row in _in_sight(model, user).filter(pk__in=keys)}
        there = _there(model, keys)
        for key in map(str, keys):
            answer[kind, key] = Shown(seen.get(key), key in there)
    return answer


def _by_kind(refs: Iterable[Record]) -> Iterator[tuple[int, type[Model], list[Any]]]:
    grouped: dict[int, list[str]] = defaultdict(list)
    for kind, key in set(refs):
        grouped[kind].append(key)
    for kind, texts in grouped.items():
        model = ContentType.objects.get_for_id(kind).model_class()
        if model is not None:
            yield kind, model, list(_keys(model, texts))


def _keys(model: type[Model], texts: Iterable[str]) -> Iterator[Any]:
    for text in texts:
        try:
            yield model._meta.pk.to_python(text)
        except ValidationError:
            continue


def _there(model: type[Model], keys: list[Any]) -> set[str]:
    rows = model._default_manager.filter(pk__in=keys)
    return {str(key) for key in rows.values_list("pk", flat=True)}


def _in_sight(model: type[Model], user: Any) -> "QuerySet[Any]":
    """Nothing of a model whose rows nobody has said who may see (docs/email-enabled-models.md)."""
    try:
        return access.visible_to(user, model._default_manager.all(), "view")
    except LookupError:
        return model._default_manager.none()


def _searched(model: type[Model]) -> list[str]:
    return [name for name in NAMES if _is_text(model, name)] + email_columns(model)


def _is_text(model: type[Model], name: str) -> bool:
    try:
        return isinstance(model._meta.get_field(name), CharField | TextField)
    except FieldDoesNotExist:
        return False


def _any_holds(columns: Iterable[str], word: str) -> Q:
    return reduce(or_, (Q(**{f"{name}__icontains": word}) for name in columns))
