"""PURE  How a series repeats: the pattern as both sides know it (R6.8, R6.35), and nothing of either side.

A pattern speaks of days in the series' own zone; the time of day and the zone are the series' own. Dates are
therefore plain dates, and daylight changes never move a meeting's local time.

    Recurrence ──validate──> what is wrong with it, here and there
               ──days──> the days of its occurrences ──occurrences, first, last, following──> moments
"""

from calendar import monthrange
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import IntEnum, StrEnum
from itertools import count as counting
from itertools import islice


class Pattern(StrEnum):
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


class Weekday(IntEnum):
    """As `date.weekday()` counts."""

    MONDAY = 0
    TUESDAY = 1
    WEDNESDAY = 2
    THURSDAY = 3
    FRIDAY = 4
    SATURDAY = 5
    SUNDAY = 6


class Nth(IntEnum):
    FIRST = 1
    SECOND = 2
    THIRD = 3
    FOURTH = 4
    LAST = 5


WEEKDAYS = frozenset(Weekday(number) for number in range(5))
WEEKEND = frozenset({Weekday.SATURDAY, Weekday.SUNDAY})
EVERY_DAY = WEEKDAYS | WEEKEND


@dataclass(frozen=True, slots=True, kw_only=True)
class Recurrence:
    """One pattern with its range.

    `interval`: every so many days, weeks, months or years. `days`: of the week; for a weekly pattern
    any, for one with `nth` one day or WEEKDAYS, WEEKEND or EVERY_DAY. `day_of_month`, `nth`: exactly one of
    the two for monthly and yearly patterns; a day that a month lacks means its last one. `month`:
    yearly only. `start`: the first day that may carry an occurrence. `until`, `count`: at most one; with
    neither the series never ends. `until` is its last possible day.
    """

    pattern: Pattern
    start: date
    interval: int = 1
    days: frozenset[Weekday] = frozenset()
    day_of_month: int | None = None
    nth: Nth | None = None
    month: int | None = None
    first_day_of_week: Weekday = Weekday.MONDAY
    until: date | None = None
    count: int | None = None


# -- when it occurs --------------------------------------------------------------------------------

#: No calendar goes beyond it.
LAST_DAY = date(4500, 8, 31)
_DAY = timedelta(days=1)


def days(recurrence: Recurrence, since: date | None = None) -> Iterator[date]:
    """The days of its occurrences in order, without end where it has none; `since`: from that day on.

    Periods are counted from that of the start: of every second week, the first is the week that has it,
    wherever that week begins; of every second month, the month that has it.
    """
    jump = since is not None and recurrence.count is None
    found = _days_from(recurrence, _index(recurrence, since) if jump and since else 0)
    for day in islice(found, recurrence.count):
        if recurrence.until is not None and day > recurrence.until:
            return
        if since is None or day >= since:
            yield day


def moment(day: date, start_time: time, zone: tzinfo) -> datetime:
    """When the clocks of the zone show this time on this day, in UTC, as RFC 5545 (3.3.5) and Exchange have it:
    a time that the clocks skip is as late as it would be had they not been put forward, of one that they show
    twice it is the first."""
    return datetime.combine(day, start_time, tzinfo=zone).replace(fold=0).astimezone(UTC)


def occurrences(
    recurrence: Recurrence, start_time: time, zone: tzinfo, since: datetime, until: datetime
) -> Iterator[datetime]:
    """When its occurrences begin, in UTC: from `since` on, before `until`. What lasts all day has UTC as
    its zone."""
    for day in days(recurrence, since.astimezone(UTC).date() - _DAY):
        begins = moment(day, start_time, zone)
        if begins - _DAY >= until:
            return
        if since <= begins < until:
            yield begins


def first(recurrence: Recurrence, start_time: time, zone: tzinfo) -> datetime | None:
    """When it begins for the first time, in UTC; None if it never does."""
    day = first_day(recurrence)
    return None if day is None else moment(day, start_time, zone)


def last(recurrence: Recurrence, start_time: time, zone: tzinfo) -> datetime | None:
    """When it begins for the last time, in UTC; None if it has no end, or never begins."""
    day = last_day(recurrence)
    return None if day is None else moment(day, start_time, zone)


def following(
    recurrence: Recurrence, start_time: time, zone: tzinfo, after: datetime
) -> datetime | None:
    """When it begins for the first time after this moment, in UTC."""
    since = after.astimezone(UTC).date() - _DAY
    begins = (moment(day, start_time, zone) for day in days(recurrence, since))
    return next((each for each in begins if each > after), None)


def is_occurrence(recurrence: Recurrence, start_time: time, zone: tzinfo, begins: datetime) -> bool:
    """Whether one of its occurrences begins exactly then, as far as the pattern goes."""
    return begins in occurrences(recurrence, start_time, zone, begins, begins + _DAY)


def first_day(recurrence: Recurrence) -> date | None:
    return next(days(recurrence), None)


def last_day(recurrence: Recurrence) -> date | None:
    """None if it has no end, or no occurrence."""
    if recurrence.count is not None:
        return max(days(recurrence), default=None)
    if recurrence.until is None:
        return None
    for index in range(_index(recurrence, recurrence.until), -1, -1):
        fitting = [
            day for day in _period(recurrence, index) if recurrence.start <= day <= recurrence.until
        ]
        if fitting:
            return max(fitting)
    return None


def aligned(recurrence: Recurrence) -> Recurrence:
    """The same occurrences, beginning on the day of the first: then nobody reads the pattern otherwise."""
    return replace(recurrence, start=first_day(recurrence) or recurrence.start)


def _days_from(recurrence: Recurrence, index: int) -> Iterator[date]:
    """From the period with this number on. Nothing if the pattern fits no day at all."""
    for number in counting(index):
        found = _period(recurrence, number)
        if not found or found[0] > LAST_DAY:
            return
        yield from (day for day in found if recurrence.start <= day <= LAST_DAY)


def _period(recurrence: Recurrence, index: int) -> list[date]:
    """What fits the pattern in its day, week or month with this number, in order."""
    try:
        if recurrence.pattern is Pattern.DAILY:
            return [recurrence.start + timedelta(days=index * recurrence.interval)]
        if recurrence.pattern is Pattern.WEEKLY:
            begins = _week_of_start(recurrence) + timedelta(weeks=index * recurrence.interval)
            week = [begins + timedelta(days=number) for number in range(7)]
            return [day for day in week if day.weekday() in recurrence.days]
        year, month = divmod(_month_of_start(recurrence) + index * _months(recurrence), 12)
        return _in_month(recurrence, year, month + 1)
    except (OverflowError, ValueError):  # beyond the last year that there is
        return []


def _index(recurrence: Recurrence, day: date) -> int:
    """The last period that begins no later than the one that has this day."""
    if recurrence.pattern is Pattern.DAILY:
        passed = (day - recurrence.start).days
        return max(0, passed // recurrence.interval)
    if recurrence.pattern is Pattern.WEEKLY:
        passed = (day - _week_of_start(recurrence)).days
        return max(0, passed // (7 * recurrence.interval))
    passed = day.year * 12 + day.month - 1 - _month_of_start(recurrence)
    return max(0, passed // _months(recurrence))


def _week_of_start(recurrence: Recurrence) -> date:
    into = (recurrence.start.weekday() - recurrence.first_day_of_week) % 7
    return recurrence.start - timedelta(days=into)


def _month_of_start(recurrence: Recurrence) -> int:
    month = recurrence.start.month if recurrence.month is None else recurrence.month
    return recurrence.start.year * 12 + month - 1


def _months(recurrence: Recurrence) -> int:
    return recurrence.interval * (12 if recurrence.pattern is Pattern.YEARLY else 1)


def _in_month(recurrence: Recurrence, year: int, month: int) -> list[date]:
    length = monthrange(year, month)[1]
    if recurrence.nth is None:
        day = recurrence.day_of_month or recurrence.start.day
        return [date(year, month, min(day, length))]
    every = (date(year, month, number) for number in range(1, length + 1))
    fitting = [day for day in every if day.weekday() in recurrence.days]
    place = -1 if recurrence.nth is Nth.LAST else recurrence.nth - 1
    return fitting[place:][:1]


# -- what is wrong with it -------------------------------------------------------------------------


class Side(StrEnum):
    """Whose limit it is. What is wrong at Exchange alone may stand here, but can't be synchronized."""

    HERE = "here"
    EXCHANGE = "exchange"


class Wrong(StrEnum):
    """`TOO_SMALL`, `TOO_LARGE`: see `limit`. `MISSING`: the pattern needs it. `NOT_HERE`: the pattern has no
    place for it. `NO_GROUP`: neither one day nor a group that can be counted in a month. `BOTH`: one of two
    ends too many. `NEVER`: its range has no occurrence."""

    TOO_SMALL = "too small"
    TOO_LARGE = "too large"
    MISSING = "missing"
    NOT_HERE = "not here"
    NO_GROUP = "no group"
    BOTH = "both"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Problem:
    """`field`: of Recurrence."""

    field: str
    wrong: Wrong
    limit: int | None = None
    side: Side = Side.HERE


MOST_INTERVAL = 1000
MOST_OCCURRENCES = 999
#: Exchange has no interval of years, it counts their months.
MOST_INTERVAL_OF_EXCHANGE = {
    Pattern.DAILY: 999,
    Pattern.WEEKLY: 99,
    Pattern.MONTHLY: 99,
    Pattern.YEARLY: 99 // 12,
}
GROUPS = (WEEKDAYS, WEEKEND, EVERY_DAY)
_IN_MONTHS = (Pattern.MONTHLY, Pattern.YEARLY)


def validate(recurrence: Recurrence) -> list[Problem]:
    """Everything that is wrong with it; empty if both sides can keep it."""
    found = [*_wrong_intervals(recurrence), *_wrong_places(recurrence), *_wrong_ends(recurrence)]
    if not any(problem.side is Side.HERE for problem in found) and first_day(recurrence) is None:
        found.append(Problem("until", Wrong.NEVER))
    return found


def _wrong_intervals(recurrence: Recurrence) -> Iterable[Problem]:
    yield from _outside("interval", recurrence.interval, 1, MOST_INTERVAL)
    most = MOST_INTERVAL_OF_EXCHANGE[recurrence.pattern]
    if most < recurrence.interval <= MOST_INTERVAL:
        yield Problem("interval", Wrong.TOO_LARGE, most, Side.EXCHANGE)


def _wrong_places(recurrence: Recurrence) -> Iterable[Problem]:
    """Days, day of the month, n-th and month: each where it belongs and nowhere else."""
    in_months, nth = recurrence.pattern in _IN_MONTHS, recurrence.nth is not None
    by_date = recurrence.day_of_month is not None
    needs_days = recurrence.pattern is Pattern.WEEKLY or (in_months and nth)
    yield from _belongs("days", bool(recurrence.days), needs_days)
    yield from _belongs("day_of_month", by_date, in_months and not nth)
    if nth and not in_months:
        yield Problem("nth", Wrong.NOT_HERE)
    yearly = recurrence.pattern is Pattern.YEARLY
    yield from _belongs("month", recurrence.month is not None, yearly)
    if in_months and nth and len(recurrence.days) > 1 and recurrence.days not in GROUPS:
        yield Problem("days", Wrong.NO_GROUP)
    yield from _outside("day_of_month", recurrence.day_of_month, 1, 31)
    yield from _outside("month", recurrence.month, 1, 12)


def _wrong_ends(recurrence: Recurrence) -> Iterable[Problem]:
    yield from _outside("count", recurrence.count, 1, MOST_OCCURRENCES)
    if recurrence.count is not None and recurrence.until is not None:
        yield Problem("count", Wrong.BOTH)
    if recurrence.until is not None and recurrence.until < recurrence.start:
        yield Problem("until", Wrong.TOO_SMALL)


def _belongs(field: str, is_there: bool, is_needed: bool) -> Iterable[Problem]:
    if is_there != is_needed:
        yield Problem(field, Wrong.MISSING if is_needed else Wrong.NOT_HERE)


def _outside(field: str, value: int | None, least: int, most: int) -> Iterable[Problem]:
    if value is not None and value < least:
        yield Problem(field, Wrong.TOO_SMALL, least)
    if value is not None and value > most:
        yield Problem(field, Wrong.TOO_LARGE, most)
