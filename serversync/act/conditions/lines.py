"""PURE  Conditions as the lines of a form, and back.

Each line is one condition. Lines with the same group number stand within one pair of parentheses, in which the
other way of joining holds than outside: where all lines must hold, any of a group is enough.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from serversync.act.conditions.catalogue import Field, Operator, Takes, fields_of
from serversync.act.conditions.language import Conditions
from serversync.act.types import Table

ALONE = ""  # a line in no group


@dataclass(frozen=True, slots=True)
class Line:
    """As typed: all of it text."""

    field: str = ""
    operator: str = ""
    values: Sequence[str] = ()
    group: str = ALONE

    @property
    def is_blank(self) -> bool:
        return not (self.field or self.operator)


@dataclass(frozen=True, slots=True)
class Typed:
    """`way`: "all" or "any", outside of groups."""

    way: str = "all"
    lines: Sequence[Line] = field(default_factory=tuple)


def lines_of(conditions: Conditions) -> Typed:
    """Of conditions that are understood. A group that is joined as it is outside needs no parentheses."""
    ((way, parts),) = conditions.items()
    found: list[Line] = []
    groups = 0
    for part in parts:
        if "field" in part:
            found.append(_line(part, ALONE))
            continue
        ((inner, within),) = part.items()
        groups += inner != way
        found.extend(_line(one, ALONE if inner == way else str(groups)) for one in within)
    return Typed(way, found)


def _line(told: Mapping[str, Any], group: str) -> Line:
    value = told.get("value", [])
    values = value if isinstance(value, list) else [value]
    return Line(told["field"], told["operator"], [str(one) for one in values], group)


def conditions_of(table: Table, typed: Typed) -> dict[str, Any]:
    """What `language.faults` then judges. Lines left blank don't count."""
    way = typed.way if typed.way in ("all", "any") else "all"
    lines = [line for line in typed.lines if not line.is_blank]
    parts: list[Any] = []
    groups: dict[str, list[Any]] = {}
    for line in lines:
        told = _told(table, line)
        if line.group == ALONE:
            parts.append(told)
        elif line.group in groups:
            groups[line.group].append(told)
        else:
            groups[line.group] = [told]
            parts.append({"any" if way == "all" else "all": groups[line.group]})
    return {way if parts else "all": parts}


def _told(table: Table, line: Line) -> dict[str, Any]:
    told: dict[str, Any] = {"field": line.field, "operator": line.operator}
    known: Field | None = fields_of(table).get(line.field)
    if known is None or line.operator not in known.operators:
        return told
    takes = Operator(line.operator).takes
    if takes == Takes.NOTHING:
        return told
    return told | {"value": _value(takes, [text.strip() for text in line.values])}


def _value(takes: Takes, values: Sequence[str]) -> Any:
    """What is no number stays text, so that it is found fault with and shown again."""
    if takes == Takes.CHOICES:
        return [_number(text) for text in _once(values)]
    text = values[0] if values else ""
    return _number(text) if takes in (Takes.NUMBER, Takes.DAYS) else text


def _once(values: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(text for text in values if text))


def _number(text: str) -> Any:
    return int(text) if text.lstrip("-").isdecimal() and len(text) < 12 else text
