"""How a series repeats, as Exchange writes it: a pattern and a range.

Exchange has no interval of years; every so many years is every so many times twelve months there. So months by
the dozen are read as years.
"""

from datetime import date

from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.operations import Element, T, type_space
from mailboxes.recurrence import (
    EVERY_DAY,
    WEEKDAYS,
    WEEKEND,
    Nth,
    Pattern,
    Recurrence,
    Weekday,
    first_day,
)

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September", "October",
    "November", "December",
)  # fmt: skip
GROUPS = {"Day": EVERY_DAY, "Weekday": WEEKDAYS, "WeekendDay": WEEKEND}
PATTERNS = {
    "DailyRecurrence": Pattern.DAILY,
    "WeeklyRecurrence": Pattern.WEEKLY,
    "AbsoluteMonthlyRecurrence": Pattern.MONTHLY,
    "RelativeMonthlyRecurrence": Pattern.MONTHLY,
    "AbsoluteYearlyRecurrence": Pattern.YEARLY,
    "RelativeYearlyRecurrence": Pattern.YEARLY,
}
A_YEAR = 12


class Unreadable(ValueError):
    """No pattern that we know, or none at all."""


# -- reading ---------------------------------------------------------------------------------------


def read(item: Element) -> Recurrence:
    """Raises Unreadable."""
    found = item.find(f"{type_space}Recurrence")
    parts = {} if found is None else {each.tag.removeprefix(type_space): each for each in found}
    name = next((name for name in parts if name in PATTERNS), "")
    ends = next((each for each in parts if each not in PATTERNS), "")
    if not name or not ends:
        raise Unreadable("the series has no pattern that is known here")
    try:
        return _read(PATTERNS[name], parts[name], parts[ends])
    except (ValueError, KeyError) as error:
        raise Unreadable(f"the pattern of the series can't be read: {error}") from error


def _read(pattern: Pattern, element: Element, ends: Element) -> Recurrence:
    start = _day(messages.text(ends, "StartDate"))
    interval = int(messages.text(element, "Interval") or 1)
    month = messages.text(element, "Month")
    number = MONTHS.index(month) + 1 if month else None
    if pattern is Pattern.MONTHLY and interval % A_YEAR == 0:
        pattern, interval, number = Pattern.YEARLY, interval // A_YEAR, start.month
    until, count = messages.text(ends, "EndDate"), messages.text(ends, "NumberOfOccurrences")
    index = messages.text(element, "DayOfWeekIndex")
    day = messages.text(element, "DayOfMonth")
    return Recurrence(
        pattern=pattern,
        start=start,
        interval=interval,
        days=_days(messages.text(element, "DaysOfWeek")),
        day_of_month=int(day) if day else None,
        nth=Nth[index.upper()] if index else None,
        month=number,
        first_day_of_week=_first_day(pattern, messages.text(element, "FirstDayOfWeek")),
        until=_day(until) if until else None,
        count=int(count) if count else None,
    )


def _day(written: str) -> date:
    """Without the offset that some append."""
    return date.fromisoformat(written[:10])


def _days(written: str) -> frozenset[Weekday]:
    found: frozenset[Weekday] = frozenset()
    for name in written.split():
        found |= GROUPS.get(name) or {Weekday[name.upper()]}
    return found


def _first_day(pattern: Pattern, written: str) -> Weekday:
    """It matters to weeks alone; there, Exchange's own is Sunday."""
    if pattern is not Pattern.WEEKLY:
        return Weekday.MONDAY
    return Weekday[written.upper()] if written else Weekday.SUNDAY


# -- writing ---------------------------------------------------------------------------------------


def written(recurrence: Recurrence) -> Element:
    return T.Recurrence(_pattern(recurrence), _range(recurrence))


def _pattern(each: Recurrence) -> Element:
    interval = T.Interval(str(each.interval))
    if each.pattern is Pattern.DAILY:
        return T.DailyRecurrence(interval)
    if each.pattern is Pattern.WEEKLY:
        first = T.FirstDayOfWeek(each.first_day_of_week.name.title())
        return T.WeeklyRecurrence(interval, T.DaysOfWeek(_day_names(each.days)), first)
    in_months = each.pattern is Pattern.MONTHLY or each.interval > 1
    if in_months and each.pattern is Pattern.YEARLY:
        interval = T.Interval(str(each.interval * A_YEAR))
    kind = "Monthly" if in_months else "Yearly"
    around = [interval] if in_months else []
    month = [] if in_months else [T.Month(MONTHS[_month(each) - 1])]
    if each.nth is None:
        day = T.DayOfMonth(str(each.day_of_month or each.start.day))
        return T(f"Absolute{kind}Recurrence", *around, day, *month)
    days = T.DaysOfWeek(_group_name(each.days))
    index = T.DayOfWeekIndex(each.nth.name.title())
    return T(f"Relative{kind}Recurrence", *around, days, index, *month)


def _month(each: Recurrence) -> int:
    return each.month or each.start.month


def _day_names(days: frozenset[Weekday]) -> str:
    return " ".join(day.name.title() for day in sorted(days))


def _group_name(days: frozenset[Weekday]) -> str:
    """Of a pattern with an index, which takes one day or one group."""
    return next((name for name, group in GROUPS.items() if group == days), _day_names(days))


def _range(each: Recurrence) -> Element:
    start = T.StartDate(_start(each).isoformat())
    if each.until is not None:
        return T.EndDateRecurrence(start, T.EndDate(each.until.isoformat()))
    if each.count is not None:
        return T.NumberedRecurrence(start, T.NumberOfOccurrences(str(each.count)))
    return T.NoEndRecurrence(start)


def _start(each: Recurrence) -> date:
    """Every so many years are told as months, which are counted from that of the start: so it is the first
    day on which it takes place."""
    in_months = each.pattern is Pattern.YEARLY and each.interval > 1
    return (first_day(each) if in_months else None) or each.start
