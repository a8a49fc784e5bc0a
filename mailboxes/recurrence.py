"""How a series repeats: the pattern as both sides know it (R6.8, R6.35), and nothing of either side.

A pattern speaks of days in the series' own zone; the time of day and the zone are the series' own. Dates are
therefore plain dates, and daylight changes never move a meeting's local time.
"""

from dataclasses import dataclass
from datetime import date
from enum import IntEnum, StrEnum


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
