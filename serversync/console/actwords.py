"""Fields, values, verbs and reasons of appointments, contacts and tasks as people read them.

Everything is told from the stored JSON (`serversync.act.stored`): what an older version wrote, or a newer one, is shown
as far as it is understood, and never fails a page.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from django.utils.formats import date_format
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.recurrence_words import in_words
from mailboxes.protocols.items import FIELDS, Address, Answer, ItemKind, Person, Shape, When
from mailboxes.screens import EMPTY
from serversync.act import reasons
from serversync.act.fields import MAPPINGS
from serversync.act.stored import value_of
from serversync.act.types import Table, Verb

LONGEST = 2_000  # of one value on a page; bodies are as long as any document

VERBS = {
    "create": _("create"),
    "update": _("change"),
    "delete": _("delete"),
    "cancel": _("call off"),
    "link": _("link"),
    "unlink": _("unlink"),
    "files": _("files"),
}
VERB_LOOKS = {
    "create": "good",
    "update": "info",
    "delete": "bad",
    "cancel": "bad",
    "unlink": "warn",
}

#: Words of `CHOICE` fields.
CHOICES: dict[str, Any] = {
    "low": _("low"),
    "normal": _("normal"),
    "high": _("high"),
    "free": _("free"),
    "tentative": _("tentative"),
    "busy": _("busy"),
    "oof": _("out of office"),
    "elsewhere": _("working elsewhere"),
    "personal": _("personal"),
    "private": _("private"),
    "confidential": _("confidential"),
    "not_started": _("not started"),
    "in_progress": _("in progress"),
    "waiting": _("waiting for somebody"),
    "deferred": _("deferred"),
    "completed": _("completed"),
    "none": _("no answer"),
    "organizer": _("organizer"),
    "accepted": _("accepted"),
    "declined": _("declined"),
    "business": _("business"),
    "home": _("home"),
    "other": _("other"),
}

#: Fields that no mapping names, or several do.
_LABELS: dict[str, Any] = {
    "subject": _("Subject"),
    "body": _("Description"),
    "when": _("When"),
    "required": _("Required attendees"),
    "optional": _("Optional attendees"),
    "organizer": _("Organizer"),
    "answers": _("Answers"),
    "recurrence": _("Pattern"),
    "categories": _("Categories"),
    "sensitivity": _("Sensitivity"),
    "is_cancelled": _("Called off"),
    "given_name": _("First name"),
    "middle_name": _("Middle name"),
    "surname": _("Last name"),
    "suffix": _("Suffix"),
    "title": _("Salutation"),
    "display_name": _("Full name"),
    "file_as": _("Filed as"),
    "business_address": _("Business address"),
    "home_address": _("Home address"),
    "other_address": _("Other address"),
    "mailing_address": _("Mailing address"),
    "reminder": _("Reminder"),
    "online_meeting_url": _("Online meeting"),
    "is_recurring": _("Recurring"),
    "is_assigned": _("Assigned to somebody"),
}


# -- fields ----------------------------------------------------------------------------------------


def label(kind: ItemKind, name: str) -> str:
    """What people call a field."""
    words = _mapped(kind).get(name) or _LABELS.get(name)
    return str(words) if words else name.replace("_", " ").capitalize()


def part_label(kind: ItemKind, name: str) -> str:
    """Of a field, or of a single occurrence of a series, named by when it begins."""
    try:
        return occurrence_label(datetime.fromisoformat(name).isoformat())
    except ValueError:
        return label(kind, name)


def occurrence_label(original: str) -> str:
    return __("Occurrence of %(when)s") % {"when": _moment(original)}


@cache
def _mapped(kind: ItemKind) -> dict[str, Any]:
    """Of mappings that mean a single field."""
    return {
        mapping.fields[0]: mapping.label
        for table, mappings in MAPPINGS.items()
        if Table(table).kind is kind
        for mapping in mappings
        if len(mapping.fields) == 1
    }


@dataclass(frozen=True, slots=True)
class FieldLine:
    """One field of a pair: as it is (or was) on one side, and on the other (or as it becomes)."""

    name: str
    label: str
    left: str
    right: str
    differs: bool


def lines(
    kind: ItemKind,
    left: Mapping[str, Any] | None,
    right: Mapping[str, Any] | None,
    *,
    only_different: bool = False,
) -> list[FieldLine]:
    """Two sides of fields next to each other, in the order of the contract. None: there is no such side."""
    left_fields, right_fields = _fields(left), _fields(right)
    both = left is not None and right is not None
    found = []
    for name in _ordered(kind, {*left_fields, *right_fields}):
        was, becomes = left_fields.get(name), right_fields.get(name)
        line = FieldLine(
            name,
            label(kind, name),
            words(kind, name, was),
            words(kind, name, becomes),
            both and _plain(was) != _plain(becomes),
        )
        if line.differs if only_different else line.left + line.right != EMPTY * 2:
            found.append(line)
    return found


def changes(kind: ItemKind, write: Mapping[str, Any]) -> list[FieldLine]:
    """What a stored write does to each field: as it is -> as it becomes. Of a deletion: what would go."""
    before = write.get("before") or {}
    if write.get("verb") == "files":
        return list(_files(before, write))
    if write.get("verb") in (Verb.DELETE.value, Verb.CANCEL.value):
        return _with_occurrences(kind, lines(kind, before, None), before, None)
    if write.get("verb") == Verb.CREATE.value:
        return _with_occurrences(kind, lines(kind, None, write), None, write)
    touched = {name: _fields(before).get(name) for name in _fields(write)}
    found = lines(kind, {"fields": touched}, write, only_different="before" in write)
    return _with_occurrences(kind, found, before, write)


def _files(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[FieldLine]:
    """Names of those that were taken off, added, or not taken (R6.34)."""
    gone, added = (", ".join(side.get("files") or ()) for side in (before, after))
    if gone or added:
        yield FieldLine("files", __("Attachments"), gone, added, True)
    if left_out := ", ".join(after.get("left_out") or ()):
        yield FieldLine("left_out", __("Left out"), "", left_out, True)


def _with_occurrences(
    kind: ItemKind, found: list[FieldLine], left: Any, right: Any
) -> list[FieldLine]:
    """Single occurrences of a series, one line each."""
    was, becomes = ((side or {}).get("occurrences") or {} for side in (left, right))
    own = ItemKind.APPOINTMENT if kind is ItemKind.SERIES else kind
    for original in sorted({*was, *becomes}):
        told = [_occurrence(own, side, original) for side in (was, becomes)]
        name = occurrence_label(original)
        found.append(FieldLine(original, name, told[0], told[1], told[0] != told[1]))
    return found


def _occurrence(kind: ItemKind, told: Mapping[str, Any], original: str) -> str:
    if original not in told:
        return EMPTY
    if (own := told[original]) is None:
        return __("deleted")
    parts = [f"{label(kind, name)}: {words(kind, name, value)}" for name, value in own.items()]
    return "; ".join(parts)


def _fields(side: Mapping[str, Any] | None) -> Mapping[str, Any]:
    return (side or {}).get("fields") or {}


def _ordered(kind: ItemKind, names: Collection[str]) -> list[str]:
    known = [name for name in FIELDS[kind] if name in names]
    return known + sorted(set(names) - set(known))


def _plain(value: Any) -> Any:
    """Names of people and times of answers are for display, and never compared."""
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping) and "address" in value:
        return {key: told for key, told in value.items() if key not in ("name", "at")}
    return value or None


# -- values ----------------------------------------------------------------------------------------


def words(kind: ItemKind, name: str, data: Any) -> str:
    """A stored value; EMPTY for none. What can't be understood is shown as it was stored."""
    if data in (None, "", [], {}):
        return EMPTY
    shape = FIELDS[kind].get(name)
    try:
        told = _told(shape, value_of(shape, data)) if shape else str(data)
    except (KeyError, TypeError, ValueError):
        told = str(data)
    return (told if len(told) <= LONGEST else told[:LONGEST] + " …") or EMPTY


def _told(shape: Shape, value: Any) -> str:
    return _SAID.get(shape, str)(value)


def _choice(value: str) -> str:
    return str(CHOICES.get(str(value), value))


def _flag(value: bool) -> str:
    return __("yes") if value else __("no")


def when_words(value: When) -> str:
    """In the zone of the meeting, where it is known."""
    if value.all_day:
        first = value.start.date()
        last = max(first, (value.end - timedelta(days=1)).date())
        day = date_format(first, "Y-m-d")
        return __("%(day)s, all day") % {
            "day": day if first == last else f"{day} – {date_format(last, 'Y-m-d')}"
        }
    zone = _zone(value.zone)
    start, end = value.start.astimezone(zone), value.end.astimezone(zone)
    until = f"{end:%H:%M}" if start.date() == end.date() else f"{end:%Y-%m-%d %H:%M}"
    return f"{start:%Y-%m-%d %H:%M} – {until} ({value.zone or 'UTC'})"


def _zone(name: str) -> Any:
    try:
        return ZoneInfo(name) if name else UTC
    except (KeyError, ValueError, OSError):
        return UTC


def _moment(value: datetime | str) -> str:
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    return f"{at:%Y-%m-%d %H:%M} UTC"


def _person(value: Person) -> str:
    return f"{value.name} <{value.address}>" if value.name else value.address


def _people(value: Iterable[Person]) -> str:
    return ", ".join(_person(one) for one in value)


def _answers(value: Iterable[Answer]) -> str:
    return ", ".join(f"{one.address}: {_choice(one.response)}" for one in value)


def _address(value: Address) -> str:
    place = " ".join(part for part in (value.postal_code, value.city) if part)
    return ", ".join(p for p in (value.street, place, value.state, value.country) if p)


_SAID: dict[Shape, Callable[[Any], str]] = {
    Shape.CHOICE: _choice,
    Shape.FLAG: _flag,
    Shape.MOMENT: _moment,
    Shape.WHEN: when_words,
    Shape.PERSON: _person,
    Shape.PEOPLE: _people,
    Shape.ANSWERS: _answers,
    Shape.ADDRESS: _address,
    Shape.WORDS: lambda value: ", ".join(sorted(value)),
    Shape.RECURRENCE: in_words,
}


# -- why -------------------------------------------------------------------------------------------


def reason_words(reason: Mapping[str, Any], kind: ItemKind | None = None) -> str:
    """A stored reason as a sentence with its rule, in the reader's language. `kind`: what its fields are of."""
    told = reasons.reason_of(reason)
    names = told.parameters.get("fields")
    if kind is not None and names:
        labels = ", ".join(label(kind, name) for name in str(names).split(", "))
        told = replace(told, parameters={**told.parameters, "fields": labels})
    return reasons.sentence(told)


def reasons_words(stored: Iterable[Mapping[str, Any]], kind: ItemKind | None = None) -> list[str]:
    return [reason_words(one, kind) for one in stored]


def verb_words(verb: str) -> str:
    return str(VERBS.get(verb, verb))
