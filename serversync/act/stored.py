"""Fields, sides, writes and reasons as JSON, and back: how rows of `serversync.models.act` keep them.

    fields       {"subject": "Plan", "when": {"start": …, "end": …, "all_day": false, "zone": "Europe/Berlin"}}
    side         {"fields": {…}, "occurrences": {"2026-03-09T08:00:00+00:00": {…} or null}}
    write        a side of what changes, with "verb", "tell", "tells", "told", "lifecycle" and, under "before", a side
                 of what is there now, so that a person can see both next to each other
    reason       {"code": …, "parameters": {…}}
    lost         {"name": …, "value": …, "kept": …, "side": …, "original": …}

Fields have their own shapes (`mailboxes.protocols.items.FIELDS`), so reading them back needs to know the kind of item.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, fields
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from mailboxes.protocols.items import (
    FIELDS,
    Address,
    Answer,
    Fields,
    ItemKind,
    Person,
    Response,
    Shape,
    Tell,
    When,
)
from mailboxes.recurrence import Nth, Pattern, Recurrence, Weekday
from serversync.act.types import (
    Decision,
    Lifecycle,
    Lost,
    Occurrences,
    Reason,
    Side,
    Verb,
    Write,
)

Data = dict[str, Any]


# -- fields ----------------------------------------------------------------------------------------


def fields_data(told: Fields) -> Data:
    return {name: value_data(value) for name, value in told.items()}


def fields_of(kind: ItemKind, data: Mapping[str, Any]) -> dict[str, Any]:
    """Names that this kind hasn't got, or not any more, are left out."""
    shapes = FIELDS[kind]
    return {name: value_of(shapes[name], value) for name, value in data.items() if name in shapes}


def value_data(value: Any) -> Any:
    """One field's value as JSON."""
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, When):
        return {
            "start": value.start.isoformat(),
            "end": value.end.isoformat(),
            "all_day": value.all_day,
            "zone": value.zone,
        }
    if isinstance(value, Recurrence):
        return _recurrence_data(value)
    if isinstance(value, Person):
        return {"address": value.address, "name": value.name}
    if isinstance(value, Answer):
        at = value.at.isoformat() if value.at else None
        return {"address": value.address, "response": str(value.response), "at": at}
    if isinstance(value, Address):
        return asdict(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        # Their order means nothing, and a digest must not depend on it.
        return sorted((value_data(one) for one in value), key=lambda one: str(one["address"]))
    return str(value) if isinstance(value, str) else value


def value_of(shape: Shape, data: Any) -> Any:
    """The value that `value_data` told."""
    if shape is Shape.WORDS:
        return frozenset(data or ())
    if shape in _SEVERAL:
        return tuple(_SEVERAL[shape](one) for one in data or ())
    return None if data is None else _READ.get(shape, _as_it_is)(data)


def _recurrence_data(value: Recurrence) -> Data:
    def plain(told: Any) -> Any:
        if isinstance(told, frozenset):
            return sorted(int(day) for day in told)
        return told.isoformat() if isinstance(told, date) else told

    told = {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    return told | {"pattern": str(value.pattern)}


def _recurrence(data: Data) -> Recurrence:
    dates = {name: data[name] and date.fromisoformat(data[name]) for name in ("start", "until")}
    return Recurrence(
        **data
        | dates
        | {
            "pattern": Pattern(data["pattern"]),
            "days": frozenset(Weekday(day) for day in data["days"]),
            "nth": data["nth"] and Nth(data["nth"]),
            "first_day_of_week": Weekday(data["first_day_of_week"]),
        }
    )


def _when(data: Data) -> When:
    start, end = (datetime.fromisoformat(data[name]) for name in ("start", "end"))
    return When(start, end, data["all_day"], data["zone"])


def _person(data: Data) -> Person:
    return Person(data["address"], data["name"])


def _answer(data: Data) -> Answer:
    at = datetime.fromisoformat(data["at"]) if data["at"] else None
    return Answer(data["address"], Response(data["response"]), at)


def _as_it_is(data: Any) -> Any:
    return data


_SEVERAL: dict[Shape, Callable[[Any], Any]] = {Shape.PEOPLE: _person, Shape.ANSWERS: _answer}
_READ: dict[Shape, Callable[[Any], Any]] = {
    Shape.AMOUNT: Decimal,
    Shape.DAY: date.fromisoformat,
    Shape.MOMENT: datetime.fromisoformat,
    Shape.WHEN: _when,
    Shape.PERSON: _person,
    Shape.ADDRESS: lambda data: Address(**data),
    Shape.RECURRENCE: _recurrence,
}


# -- sides and writes ------------------------------------------------------------------------------


def side_data(side: Side) -> Data:
    return _whole(side.fields, side.occurrences)


def side_of(kind: ItemKind, data: Mapping[str, Any]) -> Side:
    return Side(
        fields_of(kind, data.get("fields") or {}), _occurrences(kind, data.get("occurrences") or {})
    )


def write_data(write: Write, before: Side | None = None) -> Data:
    """`before`: what is there now. Of an update only the fields that change are kept of it."""
    told = _whole(write.fields, write.occurrences) | {
        "verb": write.verb.value,
        "tell": str(write.tell),
        "told": sorted(write.told),
        "lifecycle": str(write.lifecycle) if write.lifecycle else "",
    }
    if write.tells:
        told["tells"] = {at.isoformat(): str(tell) for at, tell in sorted(write.tells.items())}
    if before is not None:
        told["before"] = side_data(before if _takes_all(write) else _only(before, write))
    return told


def write_of(kind: ItemKind, data: Mapping[str, Any]) -> Write:
    side = side_of(kind, data)
    return Write(
        verb=Verb(data["verb"]),
        fields=side.fields,
        occurrences=side.occurrences,
        tell=Tell(data["tell"]),
        tells={
            datetime.fromisoformat(at): Tell(tell) for at, tell in data.get("tells", {}).items()
        },
        told=tuple(data["told"]),
        lifecycle=Lifecycle(data["lifecycle"]) if data["lifecycle"] else None,
    )


def digest_of(to_store: Write | None, to_server: Write | None, going: Data | None = None) -> str:
    """Of what would be done. An approval, and a refusal, hold for exactly this. `going`: what would be lost."""
    told = [write_data(write) if write else None for write in (to_store, to_server)]
    if going:
        told.append(going)
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def digest_of_decision(decision: Decision) -> str:
    return digest_of(decision.to_store, decision.to_server)


def _takes_all(write: Write) -> bool:
    return write.verb in (Verb.DELETE, Verb.CANCEL)


def _only(before: Side, write: Write) -> Side:
    """What stood where the write writes."""
    return Side(
        {name: before.fields[name] for name in write.fields if name in before.fields},
        {at: before.occurrences[at] for at in write.occurrences if at in before.occurrences},
    )


def _whole(told: Fields, occurrences: Occurrences) -> Data:
    data: Data = {"fields": fields_data(told)}
    if occurrences:
        data["occurrences"] = {
            original.isoformat(): None if own is None else fields_data(own)
            for original, own in sorted(occurrences.items())
        }
    return data


def _occurrences(kind: ItemKind, data: Mapping[str, Any]) -> Occurrences:
    own = ItemKind.APPOINTMENT if kind is ItemKind.SERIES else kind
    return {
        datetime.fromisoformat(original): None if told is None else fields_of(own, told)
        for original, told in data.items()
    }


# -- why -------------------------------------------------------------------------------------------


def reasons_data(reasons: Iterable[Reason]) -> list[Data]:
    return [
        {
            "code": one.code,
            "parameters": {name: value_data(value) for name, value in one.parameters.items()},
        }
        for one in reasons
    ]


def reasons_of(data: Iterable[Mapping[str, Any]]) -> tuple[Reason, ...]:
    return tuple(Reason(str(one["code"]), one.get("parameters") or {}) for one in data)


def lost_data(lost: Iterable[Lost]) -> list[Data]:
    return [
        {
            "name": one.name,
            "value": value_data(one.value),
            "kept": value_data(one.kept),
            "side": one.side,
            "original": one.original.isoformat() if one.original else None,
        }
        for one in lost
    ]
