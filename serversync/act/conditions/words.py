"""PURE  Conditions as a person reads them."""

from datetime import date

from django.utils.formats import date_format
from django.utils.translation import gettext as __
from django.utils.translation import ngettext

from serversync.act.conditions.catalogue import Kind, Operator, Takes
from serversync.act.conditions.language import Condition, Conditions, Group, NotUnderstood, read
from serversync.act.types import Table

_DAYS = {
    Operator.NEXT_DAYS: lambda n: ngettext(
        "%(field)s is today or tomorrow", "%(field)s is today or within the next %(days)d days", n
    ),
    Operator.LAST_DAYS: lambda n: ngettext(
        "%(field)s is today or was yesterday",
        "%(field)s is today or was within the last %(days)d days",
        n,
    ),
    Operator.OLDER_DAYS: lambda n: ngettext(
        "%(field)s is more than %(days)d day ago", "%(field)s is more than %(days)d days ago", n
    ),
}


def in_words(table: Table, conditions: Conditions) -> str:
    try:
        group = read(table, conditions)
    except NotUnderstood as fault:
        return __("unreadable: %(why)s") % {"why": fault}
    if not group.parts:
        return __("every one that I may read")
    return _group_words(group, outer=True)


def part_words(part: Condition | Group) -> str:
    """One line of the outermost group."""
    return _group_words(part) if isinstance(part, Group) else condition_words(part)


def _group_words(group: Group, outer: bool = False) -> str:
    parts = [part_words(part) for part in group.parts]
    joined = (__(" and ") if group.all else __(" or ")).join(parts)
    return joined if outer or len(parts) == 1 else f"({joined})"


def condition_words(condition: Condition) -> str:
    field, operator, value = condition.field, condition.operator, condition.value
    if operator in _DAYS:
        return _DAYS[operator](value) % {"field": field.label, "days": value}
    if field.kind == Kind.PARTIES:
        text = (
            __("I am %(roles)s") if operator == Operator.I_TAKE_PART else __("I am not %(roles)s")
        )
        return text % {"roles": _choices(condition)}
    return f"{field.label} {_how(condition)} {_beside(condition)}".rstrip()


def _how(condition: Condition) -> str:
    """ "is one of" reads oddly before a single value."""
    one = {Operator.ONE_OF: Operator.IS, Operator.NONE_OF: Operator.IS_NOT}
    single = condition.operator in one and len(condition.value) == 1
    return str(one[condition.operator].label if single else condition.operator.label)


def _beside(condition: Condition) -> str:
    takes, value = condition.operator.takes, condition.value
    if takes == Takes.TEXT:
        return f"“{value}”"
    if takes == Takes.CHOICES:
        return _choices(condition)
    if takes == Takes.DAY:
        assert isinstance(value, date)
        return date_format(value, "Y-m-d")
    return "" if value is None else str(value)


def _choices(condition: Condition) -> str:
    assert condition.field.choices is not None
    labels = [str(condition.field.choices(one).label) for one in condition.value]
    return __(" or ").join(labels)
