"""PURE  The language of filters: conditions as data, in groups of which all or any must hold.

    {"all": [{"field": "owner", "operator": "me"},
             {"any": [{"field": "job_title", "operator": "contains", "value": "buyer"},
                      {"field": "birth_date", "operator": "next_days", "value": 14}]}]}

A group stands within one other at most: each question of all and any can be put so, and the form shows it
as lines. A group of all without conditions means every record of the table. `faults` says what is wrong
before anything is stored; whoever asks with conditions that are faulty gets `NotUnderstood` and no answer,
because a wrong answer would take records out of people's mailboxes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils.translation import gettext as __

from serversync.act.conditions.catalogue import Field, Operator, Takes, fields_of
from serversync.act.types import Table

Conditions = Mapping[str, Any]

MOST = 20  # conditions of one filter: as many lines as its form has
LONGEST_TEXT = 200
MOST_DAYS = 3650
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2999, 12, 31)
_NUMBERS = range(-(2**31), 2**31)
_SPECIAL = frozenset(".^$*+?()[]{}|\\")
EVERYTHING: Conditions = {"all": []}


class NotUnderstood(ValueError):
    """Stored conditions that nobody could have stored here: nothing is concluded from them."""


@dataclass(frozen=True, slots=True)
class Condition:
    field: Field
    operator: Operator
    value: Any = None


@dataclass(frozen=True, slots=True)
class Group:
    """`all`: every part must hold; otherwise any."""

    all: bool
    parts: "tuple[Condition | Group, ...]"


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, and when: "me", "my teams" and "today" are his."""

    user: UUID
    teams: frozenset[UUID]
    now: datetime
    zone: ZoneInfo

    @property
    def today(self) -> date:
        return self.now.astimezone(self.zone).date()

    @property
    def next_midnight(self) -> datetime:
        """When "today" is over, in UTC."""
        return start_of(self.today + timedelta(days=1), self.zone)


# -- reading -------------------------------------------------------------------------------------


def read(table: Table, conditions: Any) -> Group:
    """Raises NotUnderstood."""
    if found := faults(table, conditions):
        raise NotUnderstood("; ".join(found))
    return _group(fields_of(table), conditions)


def _group(fields: Mapping[str, Field], told: Mapping[str, Any]) -> Group:
    ((way, parts),) = told.items()
    return Group(
        way == "all",
        tuple(
            _condition(fields, part) if "field" in part else _group(fields, part) for part in parts
        ),
    )


def _condition(fields: Mapping[str, Field], told: Mapping[str, Any]) -> Condition:
    operator = Operator(told["operator"])
    value = told.get("value")
    if operator.takes == Takes.DAY:
        value = date.fromisoformat(str(value))
    return Condition(fields[told["field"]], operator, value)


def each(group: Group) -> Iterator[Condition]:
    for part in group.parts:
        if isinstance(part, Group):
            yield from each(part)
        else:
            yield part


def is_relative(table: Table, conditions: Conditions) -> bool:
    """Whether time alone changes which records match."""
    return any(one.operator.is_relative for one in each(read(table, conditions)))


def is_everything(conditions: Conditions) -> bool:
    return conditions.get("all") == []


# -- what is wrong -------------------------------------------------------------------------------


def faults(table: Table, conditions: Any) -> list[str]:
    """Why these are no conditions on the table, in words; empty if they are."""
    if not _is_group(conditions):
        return [__("The conditions are unreadable. Write them again. (R6.12)")]
    found = [*_group_faults(fields_of(table), conditions, depth=0)]
    if _count(conditions) > MOST:
        found.append(
            __(
                "A filter has at most %(most)d conditions. Make a second one: filters add up. (R6.10)"
            )
            % {"most": MOST}
        )
    return found


def _is_group(told: Any) -> bool:
    return (
        isinstance(told, Mapping)
        and len(told) == 1
        and next(iter(told)) in ("all", "any")
        and isinstance(next(iter(told.values())), Sequence)
        and not isinstance(next(iter(told.values())), str)
    )


def _count(told: Any) -> int:
    if not _is_group(told):
        return 1
    return sum(_count(part) for part in next(iter(told.values())))


def _group_faults(fields: Mapping[str, Field], told: Any, depth: int) -> Iterator[str]:
    ((way, parts),) = told.items()
    if not parts and (depth or way == "any"):
        yield __("A group is empty. Add a condition to it, or remove it. (R6.12)")
    for part in parts:
        if not _is_group(part):
            if fault := fault_of(fields, part):
                yield fault
        elif depth:
            yield __("A group stands within one other at most. Take it out of there. (R6.12)")
        else:
            yield from _group_faults(fields, part, depth + 1)


def fault_of(fields: Mapping[str, Field], told: Any) -> str:
    """Why this is no condition: which field, which rule, what to do. "" if it is one."""
    if not isinstance(told, Mapping) or not set(told) <= {"field", "operator", "value"}:
        return __("A condition is unreadable. Write it again. (R6.12)")
    name, code = told.get("field"), told.get("operator")
    field = fields.get(name) if isinstance(name, str) else None
    if field is None:
        return __(
            "Choose what the condition asks about: this kind of record has no “%(name)s”. (R6.12)"
        ) % {"name": str(name or "")[:100]}
    if code not in Operator.values or Operator(code) not in field.operators:
        return __("%(field)s: choose how it is compared. (R6.12)") % {"field": field.label}
    fault = _value_fault(field, Operator(code), told.get("value"))
    return f"{field.label}: {fault} (R6.12)" if fault else ""


def _value_fault(field: Field, operator: Operator, value: Any) -> str:
    takes = operator.takes
    if takes == Takes.NOTHING:
        return (
            "" if value is None else __("nothing stands beside this comparison; remove the value.")
        )
    if takes == Takes.TEXT:
        return _text_fault(value)
    if takes == Takes.CHOICES:
        known = set(field.choices.values) if field.choices else set()
        fine = (
            isinstance(value, list)
            and value
            and all(_is_int(one) and one in known for one in value)
        )
        return "" if fine else __("choose one or more of its values.")
    if takes == Takes.DAY:
        return (
            "" if _is_day(value) else __("write a day between 1900 and 2999, such as 2026-03-31.")
        )
    if takes == Takes.DAYS:
        fine = _is_int(value) and 1 <= value <= MOST_DAYS
        return (
            "" if fine else __("write a number of days from 1 to %(most)d.") % {"most": MOST_DAYS}
        )
    return "" if _is_int(value) and value in _NUMBERS else __("write a whole number.")


def _text_fault(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        return __("say what to look for, or ask whether it is empty.")
    if len(value) > LONGEST_TEXT:
        return __("this is longer than %(most)d characters; shorten it.") % {"most": LONGEST_TEXT}
    if any(ord(sign) < 32 for sign in value):
        return __("a text has no line breaks or control characters; remove them.")
    return ""


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_day(value: Any) -> bool:
    try:
        return isinstance(value, str) and FIRST_DAY <= date.fromisoformat(value) <= LAST_DAY
    except ValueError:
        return False


# -- what they mean: one definition for SQL and for dictionaries ----------------------------------


def days_meant(operator: Operator, value: Any, today: date) -> tuple[date | None, date | None]:
    """The first day, and the day after the last; None: no end on that side. Today is among the next and
    among the last days."""
    day = timedelta(days=1)
    if operator == Operator.BEFORE:
        return None, value
    if operator == Operator.AFTER:
        return value + day, None
    if operator == Operator.NEXT_DAYS:
        return today, today + (value + 1) * day
    if operator == Operator.LAST_DAYS:
        return today - value * day, today + day
    if operator == Operator.OLDER_DAYS:
        return None, today - value * day
    first = value if operator == Operator.ON else today
    return first, first + day


def start_of(day: date, zone: Any) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def pattern_of(operator: Operator, text: str) -> str:
    """A regular expression that Python and PostgreSQL read alike, whatever the server's locale: upper and
    lower case make no difference, and every other sign stands for itself."""
    body = "".join(_sign(sign) for sign in text)
    if operator in (Operator.IS, Operator.IS_NOT):
        return rf"\A{body}\Z"
    return rf"\A{body}" if operator == Operator.BEGINS else body


def _sign(sign: str) -> str:
    forms = {form for form in (sign, sign.lower(), sign.upper()) if len(form) == 1}
    if len(forms) > 1:
        return f"[{''.join(sorted(forms))}]"
    return f"\\{sign}" if sign in _SPECIAL else sign
