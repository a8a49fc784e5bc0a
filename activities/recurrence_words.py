"""How a series repeats, and what is wrong with it, in words."""

from django.utils.dates import MONTHS, WEEKDAYS
from django.utils.formats import date_format
from django.utils.text import get_text_list
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, pgettext

from mailboxes import recurrence as patterns
from mailboxes.recurrence import Nth, Pattern, Problem, Recurrence, Side, Weekday, Wrong


def in_words(recurrence: Recurrence) -> str:
    """Such as “Every 2 weeks on Monday and Thursday until 31 March 2027”."""
    words = _PATTERNS[recurrence.pattern](recurrence)
    if recurrence.until is not None:
        until = date_format(recurrence.until)
        return _("%(pattern)s until %(date)s") % {"pattern": words, "date": until}
    if recurrence.count is not None:
        return ngettext(
            "%(pattern)s, %(number)d time", "%(pattern)s, %(number)d times", recurrence.count
        ) % {"pattern": words, "number": recurrence.count}
    return words


def problem_in_words(problem: Problem) -> str:
    """What is wrong, and what to do about it."""
    if problem.side is Side.EXCHANGE:
        return _(
            "Exchange takes no more than %(limit)d here, so this series would not be synchronized. "
            "Choose a smaller number."
        ) % {"limit": problem.limit}
    if problem.limit is not None:
        return _out_of_bounds(problem)
    return _SAID[problem.wrong]()


def _out_of_bounds(problem: Problem) -> str:
    if problem.wrong is Wrong.TOO_SMALL:
        return _("This is too small. Choose %(limit)d or more.") % {"limit": problem.limit}
    return _("This is too large. Choose %(limit)d or less.") % {"limit": problem.limit}


_SAID = {
    Wrong.TOO_SMALL: lambda: _("The series ends before it begins. Choose a later end."),
    Wrong.MISSING: lambda: _("This pattern needs it. Choose one."),
    Wrong.NOT_HERE: lambda: _("This pattern has no place for it. Leave it empty."),
    Wrong.NO_GROUP: lambda: _(
        "Within a month, only one day of the week can be counted, or all weekdays, all days of the "
        "weekend, or all days. Choose one of these."
    ),
    Wrong.BOTH: lambda: _(
        "A series ends on a day or after a number of occurrences. Leave one of the two empty."
    ),
    Wrong.NEVER: lambda: _(
        "No occurrence lies between the start and the end of the series. Choose a later end."
    ),
}


# -- patterns ------------------------------------------------------------------------------------


def _daily(each: Recurrence) -> str:
    return _every_day(each.interval)


def _every_day(interval: int) -> str:
    return _counted(ngettext("Every day", "Every %(number)d days", interval), interval)


def _weekly(each: Recurrence) -> str:
    if each.interval == 1 and each.days == patterns.EVERY_DAY:
        return _every_day(1)
    if each.interval == 1 and each.days == patterns.WEEKDAYS:
        return _("Every weekday")
    words = ngettext("Every week on %(days)s", "Every %(number)d weeks on %(days)s", each.interval)
    return _counted(words, each.interval, days=_days_in_words(each))


def _monthly(each: Recurrence) -> str:
    if each.nth is not None:
        words = ngettext(
            "On the %(which)s of every month",
            "On the %(which)s of every %(number)d months",
            each.interval,
        )
        return _counted(words, each.interval, which=_which(each))
    words = ngettext(
        "On day %(day)d of every month", "On day %(day)d of every %(number)d months", each.interval
    )
    return _counted(words, each.interval, day=each.day_of_month)


def _yearly(each: Recurrence) -> str:
    month = MONTHS[each.month or each.start.month]
    if each.nth is not None:
        words = ngettext(
            "Every year on the %(which)s of %(month)s",
            "Every %(number)d years on the %(which)s of %(month)s",
            each.interval,
        )
        return _counted(words, each.interval, which=_which(each), month=month)
    words = ngettext(
        "Every year on %(day)d %(month)s",
        "Every %(number)d years on %(day)d %(month)s",
        each.interval,
    )
    return _counted(words, each.interval, day=each.day_of_month, month=month)


_PATTERNS = {
    Pattern.DAILY: _daily,
    Pattern.WEEKLY: _weekly,
    Pattern.MONTHLY: _monthly,
    Pattern.YEARLY: _yearly,
}


def _counted(words: str, number: int, **values: object) -> str:
    return words % {"number": number, **values}


def _days_in_words(each: Recurrence) -> str:
    """In the order of its week."""
    order = sorted(each.days, key=lambda day: (day - each.first_day_of_week) % 7)
    return get_text_list([str(WEEKDAYS[day]) for day in order], _("and"))


def _which(each: Recurrence) -> str:
    """Such as “second Tuesday”, “last weekday”."""
    named = {"nth": _nth(each.nth or Nth.FIRST), "day": _group(each.days)}
    return pgettext("day of a month", "%(nth)s %(day)s") % named


def _nth(nth: Nth) -> str:
    return {
        Nth.FIRST: pgettext("day of a month", "first"),
        Nth.SECOND: pgettext("day of a month", "second"),
        Nth.THIRD: pgettext("day of a month", "third"),
        Nth.FOURTH: pgettext("day of a month", "fourth"),
        Nth.LAST: pgettext("day of a month", "last"),
    }[nth]


def _group(days: frozenset[Weekday]) -> str:
    if days == patterns.WEEKDAYS:
        return pgettext("day of a month", "weekday")
    if days == patterns.WEEKEND:
        return pgettext("day of a month", "weekend day")
    if days == patterns.EVERY_DAY:
        return pgettext("day of a month", "day")
    return get_text_list([str(WEEKDAYS[day]) for day in sorted(days)], _("and"))
