"""PURE  Asks one record, told as a dictionary, whether conditions match it. The same answer as in SQL.

A row: field name -> value. Texts, numbers, days and times as they are, None where empty; a choice as its
number; `owner`: (user's key, team's key), one of them None; a user as his key; a reference as anything, or
None; `parties`: pairs of role and user's key, None for who is no user.
"""

import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from serversync.act.conditions.catalogue import Kind, Operator
from serversync.act.conditions.language import (
    Condition,
    Conditions,
    Group,
    Viewer,
    days_meant,
    pattern_of,
    read,
    start_of,
)
from serversync.act.types import Table

Row = Mapping[str, Any]
_NEGATED = {
    Operator.IS_NOT: Operator.IS,
    Operator.LACKS: Operator.CONTAINS,
    Operator.DIFFERS: Operator.EQUALS,
    Operator.NONE_OF: Operator.ONE_OF,
    Operator.NOT_ME: Operator.ME,
    Operator.I_DO_NOT: Operator.I_TAKE_PART,
    Operator.UNSET: Operator.SET,
}


def matches(table: Table, conditions: Conditions, row: Row, viewer: Viewer) -> bool:
    """Raises NotUnderstood."""
    return _group_holds(read(table, conditions), row, viewer)


def part_holds(part: Condition | Group, row: Row, viewer: Viewer) -> bool:
    return _group_holds(part, row, viewer) if isinstance(part, Group) else holds(part, row, viewer)


def _group_holds(group: Group, row: Row, viewer: Viewer) -> bool:
    answers = (part_holds(part, row, viewer) for part in group.parts)
    return all(answers) if group.all else any(answers)


def holds(condition: Condition, row: Row, viewer: Viewer) -> bool:
    """What is negated holds for what is empty, too."""
    if positive := _NEGATED.get(condition.operator):
        return not _holds(Condition(condition.field, positive, condition.value), row, viewer)
    return _holds(condition, row, viewer)


def _holds(condition: Condition, row: Row, viewer: Viewer) -> bool:
    field, operator, value = condition.field, condition.operator, condition.value
    held = row[field.name]
    if operator == Operator.SET:
        return held not in (None, "")
    if field.kind == Kind.PARTIES:
        return any(role in value and user == viewer.user for role, user in held)
    if field.kind == Kind.OWNER:
        user, team = held
        return team in viewer.teams if operator == Operator.MY_TEAMS else user == viewer.user
    if field.kind == Kind.USER:
        return bool(held == viewer.user)
    if held is None:
        return False
    if field.kind == Kind.TEXT:
        return re.search(pattern_of(operator, value), held) is not None
    if field.kind == Kind.FLAG:
        return bool(held) is (operator == Operator.YES)
    if field.kind in (Kind.DAY, Kind.MOMENT):
        return _is_within(condition, held, bool(field.all_day and row[field.all_day]), viewer)
    return _number_holds(operator, held, value)


def _number_holds(operator: Operator, held: int, value: Any) -> bool:
    if operator == Operator.ONE_OF:
        return held in value
    if operator == Operator.AT_LEAST:
        return bool(held >= value)
    return bool(held <= value) if operator == Operator.AT_MOST else bool(held == value)


def _is_within(condition: Condition, held: Any, all_day: bool, viewer: Viewer) -> bool:
    bounds: Any = days_meant(condition.operator, condition.value, viewer.today)
    if isinstance(held, datetime):
        zone = UTC if all_day else viewer.zone
        bounds = tuple(start_of(day, zone) if isinstance(day, date) else None for day in bounds)
    first, end = bounds
    return (first is None or first <= held) and (end is None or held < end)
