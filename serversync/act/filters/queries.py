"""Conditions in SQL. Nothing is joined that has many rows, so no record is found twice."""

from datetime import UTC
from typing import Any

from django.db.models import Q, QuerySet

from activities.models import ActivityParty
from mailboxes.models import Team
from serversync.act.conditions.catalogue import Field, Kind, Operator
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

EVERY = Q(pk__isnull=False)  # not Q(), which vanishes from a union


def as_q(table: Table, conditions: Conditions, viewer: Viewer) -> Q:
    """The condition on the table's rows. Raises NotUnderstood."""
    return _group(read(table, conditions), viewer)


def _group(group: Group, viewer: Viewer) -> Q:
    found = Q()
    for part in group.parts:
        one = _group(part, viewer) if isinstance(part, Group) else _condition(part, viewer)
        found = found & one if group.all else found | one
    return found or EVERY


def _condition(condition: Condition, viewer: Viewer) -> Q:
    field, operator, value = condition.field, condition.operator, condition.value
    if operator in (Operator.SET, Operator.UNSET):
        return _is_filled(field) if operator == Operator.SET else ~_is_filled(field)
    if field.kind == Kind.PARTIES:
        taking_part = Q(pk__in=_my_parties(viewer, value))
        return taking_part if operator == Operator.I_TAKE_PART else ~taking_part
    if field.kind in (Kind.OWNER, Kind.USER):
        return _person(field, operator, viewer)
    if field.kind in (Kind.DAY, Kind.MOMENT):
        return _within(condition, viewer)
    return _compared(field, operator, value)


def _is_filled(field: Field) -> Q:
    filled = Q(**{f"{field.path}__isnull": False})
    return filled & ~Q(**{field.path: ""}) if field.kind == Kind.TEXT else filled


def _my_parties(viewer: Viewer, roles: list[int]) -> "QuerySet[Any, Any]":
    return ActivityParty.objects.filter(
        party_type__app_label="mailboxes",
        party_type__model="systemuser",
        party_id=str(viewer.user),
        participation_type_mask__in=roles,
    ).values("activity")


def _person(field: Field, operator: Operator, viewer: Viewer) -> Q:
    if operator == Operator.MY_TEAMS:
        teams = Team.members.through.objects.filter(systemuser=viewer.user).values("team")
        return Q(**{f"{field.path}owning_team__in": teams})
    path = f"{field.path}owning_user" if field.kind == Kind.OWNER else field.path
    me = Q(**{path: viewer.user})
    return me if operator == Operator.ME else ~me


def _within(condition: Condition, viewer: Viewer) -> Q:
    field = condition.field
    bounds = days_meant(condition.operator, condition.value, viewer.today)
    if field.kind == Kind.DAY:
        return _between(field.path, *bounds)
    local = _between(field.path, *(day and start_of(day, viewer.zone) for day in bounds))
    if not field.all_day:
        return local
    whole = _between(field.path, *(day and start_of(day, UTC) for day in bounds))
    return Q(**{field.all_day: False}) & local | Q(**{field.all_day: True}) & whole


def _between(path: str, first: Any, end: Any) -> Q:
    found = Q()
    if first is not None:
        found &= Q(**{f"{path}__gte": first})
    return found & Q(**{f"{path}__lt": end}) if end is not None else found


def _compared(field: Field, operator: Operator, value: Any) -> Q:
    path = field.path
    if field.kind == Kind.TEXT:
        found = Q(**{f"{path}__regex": pattern_of(operator, value)})
        return ~found if operator in (Operator.IS_NOT, Operator.LACKS) else found
    if field.kind == Kind.FLAG:
        return Q(**{path: operator == Operator.YES})
    if field.kind == Kind.CHOICE:
        found = Q(**{f"{path}__in": value})
        return ~found if operator == Operator.NONE_OF else found
    if operator in (Operator.AT_LEAST, Operator.AT_MOST):
        way = "gte" if operator == Operator.AT_LEAST else "lte"
        # Django takes what no such column can hold for true, even of an empty one.
        return Q(**{f"{path}__isnull": False}) & Q(**{f"{path}__{way}": value})
    found = Q(**{path: value})
    return ~found if operator == Operator.DIFFERS else found
