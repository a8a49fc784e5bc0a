"""Series: what a t:Recurrence says, refused where Exchange refuses it, and when its occurrences are.

A series keeps the local time of its zone. An occurrence is known by its original start and by its place
in the pattern, counted from 1; both stay when others are changed or deleted.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta, tzinfo
from itertools import islice, pairwise

from mailboxes.recurrence import (
    EVERY_DAY,
    LAST_DAY,
    WEEKDAYS,
    WEEKEND,
    Nth,
    Pattern,
    Recurrence,
    Weekday,
    aligned,
    days,
)
from mailboxes.recurrence import moment as clock_moment
from serversync.sandbox.ews import soap, timezones
from serversync.sandbox.ews.soap import Element, Refusal, T, children, make, moment, schema

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
DAYS: dict[str, frozenset[Weekday]] = {
    **{day.name.title(): frozenset({day}) for day in Weekday},
    "Day": EVERY_DAY,
    "Weekday": WEEKDAYS,
    "WeekendDay": WEEKEND,
}
NTH = {nth.name.title(): nth for nth in Nth}
PATTERNS = {
    "DailyRecurrence": Pattern.DAILY,
    "WeeklyRecurrence": Pattern.WEEKLY,
    "AbsoluteMonthlyRecurrence": Pattern.MONTHLY,
    "RelativeMonthlyRecurrence": Pattern.MONTHLY,
    "AbsoluteYearlyRecurrence": Pattern.YEARLY,
    "RelativeYearlyRecurrence": Pattern.YEARLY,
}
RANGES = ("NoEndRecurrence", "EndDateRecurrence", "NumberedRecurrence")
MOST_INTERVAL = {Pattern.DAILY: 999, Pattern.WEEKLY: 99, Pattern.MONTHLY: 99, Pattern.YEARLY: 1}
MOST_OCCURRENCES = 999
LOOKED_AT = 60  # occurrences, for one that lasts until the next


@dataclass(frozen=True, slots=True)
class Slot:
    """A place in a pattern, whether or not something else lies there now."""

    index: int
    start: datetime
    end: datetime

    @property
    def original(self) -> int:
        return int(self.start.timestamp())


@dataclass(frozen=True, slots=True)
class Series:
    """`first`: any start with the series' time of day, local; `length`: by the clock."""

    recurrence: Recurrence
    zone: tzinfo
    first: datetime
    length: timedelta

    def slots(self) -> Iterator[Slot]:
        """In order; without an end if the series has none."""
        for index, day in enumerate(days(self.recurrence), start=1):
            start = datetime.combine(day, self.first.time())
            end = start + self.length
            yield Slot(
                index,
                clock_moment(start.date(), start.time(), self.zone),
                clock_moment(end.date(), end.time(), self.zone),
            )

    def slot(self, index: int) -> Slot | None:
        return next(islice(self.slots(), index - 1, index), None) if index > 0 else None

    def slot_at(self, original: int) -> Slot | None:
        for slot in self.slots():
            if slot.original >= original:
                return slot if slot.original == original else None
        return None

    def overlapping(self, start: datetime, end: datetime) -> Iterator[Slot]:
        for slot in self.slots():
            if slot.start >= end:
                return
            if slot.end > start or slot.start >= start:
                yield slot

    @property
    def is_endless(self) -> bool:
        return self.recurrence.until is None and self.recurrence.count is None


def series_of(element: Element) -> Series | None:
    """Of a settled item's element; None if it is no series."""
    given = element.find(f"{T}Recurrence")
    start, end = (moment(element.findtext(T + name)) for name in ("Start", "End"))
    if given is None or start is None or end is None:
        return None
    zone = zone_of(element)
    local, until = (value.astimezone(zone).replace(tzinfo=None) for value in (start, end))
    return Series(read_recurrence(given), zone, local, until - local)


def zone_of(element: Element) -> tzinfo:
    """Of a settled item."""
    named = element.find(f"{T}StartTimeZone")
    return timezones.rules((named is not None and named.get("Id")) or timezones.UTC_ID) or UTC


def require_sound(series: Series) -> Slot:
    """The first occurrence. Raises Refusal if there is none, or if one lasts into the next."""
    seen = list(islice(series.slots(), LOOKED_AT))
    if not seen:
        raise Refusal("ErrorRecurrenceHasNoOccurrence")
    if any(one.end > two.start for one, two in pairwise(seen)):
        raise Refusal(
            "ErrorOccurrenceTimeSpanTooBig", "An occurrence lasts longer than until the next."
        )
    return seen[0]


# -- reading ---------------------------------------------------------------------------------------


def read_recurrence(given: Element) -> Recurrence:
    """Of a t:Recurrence: a pattern, then a range. Raises Refusal, SoapFault."""
    inside = children(given)
    if len(inside) != 2:
        raise schema("A 'Recurrence' is a pattern and a range.", given)
    pattern, extent = inside
    name = soap.local(pattern)
    if name not in PATTERNS:
        raise schema(f"'{name}' is no recurrence pattern.", pattern)
    kind = PATTERNS[name]
    interval = _number(pattern, "Interval", MOST_INTERVAL[kind], 1)
    start, until, count = read_range(extent)
    relative = name.startswith("Relative")
    absolute = name.startswith("Absolute")
    return Recurrence(
        pattern=kind,
        start=start,
        interval=interval,
        days=_days(pattern, kind) if relative or kind is Pattern.WEEKLY else frozenset(),
        day_of_month=_number(pattern, "DayOfMonth", 31) if absolute else None,
        nth=NTH[_one_of(pattern, "DayOfWeekIndex", NTH)] if relative else None,
        month=1 + MONTHS.index(_one_of(pattern, "Month", MONTHS))
        if kind is Pattern.YEARLY
        else None,
        first_day_of_week=_first_day(pattern) if kind is Pattern.WEEKLY else Weekday.MONDAY,
        until=until,
        count=count,
    )


def read_range(extent: Element) -> tuple[date, date | None, int | None]:
    """Start, end and number."""
    name = soap.local(extent)
    if name not in RANGES:
        raise schema(f"'{name}' is no recurrence range.", extent)
    start = day(extent, "StartDate")
    if name == "NoEndRecurrence":
        return start, None, None
    if name == "NumberedRecurrence":
        return start, None, _number(extent, "NumberOfOccurrences", MOST_OCCURRENCES)
    until = day(extent, "EndDate")
    if until > LAST_DAY:
        raise Refusal("ErrorRecurrenceEndDateTooBig")
    if until < start:
        raise Refusal("ErrorCalendarEndDateIsEarlierThanStartDate")
    return start, until, None


def day(element: Element, name: str) -> date:
    """A date, whatever offset it carries."""
    text = (soap.required(element, T + name).text or "").strip()
    try:
        return date.fromisoformat(text[:10])
    except ValueError:
        raise schema(f"The value '{text}' of '{name}' is no date.", element) from None


def _number(element: Element, name: str, most: int, default: int | None = None) -> int:
    found = element.find(T + name)
    if found is None and default is not None:
        return default
    text = (soap.required(element, T + name).text or "").strip()
    number = soap.whole_text(text, element, -(2**31))
    if not 1 <= number <= most:
        raise Refusal("ErrorCalendarInvalidRecurrence", f"{name} is not between 1 and {most}.")
    return number


def _one_of(element: Element, name: str, known: Iterable[str]) -> str:
    text = (soap.required(element, T + name).text or "").strip()
    if text not in known:
        raise schema(f"The value '{text}' of '{name}' is invalid.", element)
    return text


def _days(pattern: Element, kind: Pattern) -> frozenset[Weekday]:
    """Of a week any; of a month one, or one of the groups."""
    names = (soap.required(pattern, f"{T}DaysOfWeek").text or "").split()
    if not names or any(name not in DAYS for name in names):
        raise schema("'DaysOfWeek' is invalid.", pattern)
    if kind is Pattern.WEEKLY:
        if any(len(DAYS[name]) > 1 for name in names):
            raise Refusal("ErrorCalendarInvalidDayForWeeklyRecurrence")
    elif len(names) != 1:
        raise Refusal("ErrorCalendarInvalidRecurrence", "One day, or Day, Weekday or WeekendDay.")
    return frozenset(day for name in names for day in DAYS[name])


def _first_day(pattern: Element) -> Weekday:
    if pattern.find(f"{T}FirstDayOfWeek") is None:
        return Weekday.SUNDAY
    (found,) = DAYS[_one_of(pattern, "FirstDayOfWeek", [day.name.title() for day in Weekday])]
    return found


# -- writing ---------------------------------------------------------------------------------------


def written_recurrence(recurrence: Recurrence) -> Element:
    """As a t:Recurrence. Every so many years are so many months."""
    if recurrence.pattern is Pattern.YEARLY and recurrence.interval > 1:
        recurrence = replace(
            aligned(recurrence), pattern=Pattern.MONTHLY, interval=12 * recurrence.interval
        )
    return make(f"{T}Recurrence", _written_pattern(recurrence), _written_range(recurrence))


def _written_pattern(recurrence: Recurrence) -> Element:
    kind = recurrence.pattern
    relative = "Relative" if recurrence.nth is not None else "Absolute"
    is_of_days = kind in (Pattern.DAILY, Pattern.WEEKLY)
    parts = {} if kind is Pattern.YEARLY else {"Interval": str(recurrence.interval)}
    if recurrence.days:
        parts["DaysOfWeek"] = _written_days(recurrence.days, in_groups=kind is not Pattern.WEEKLY)
    if recurrence.nth is not None:
        parts["DayOfWeekIndex"] = recurrence.nth.name.title()
    elif not is_of_days:
        parts["DayOfMonth"] = str(recurrence.day_of_month or recurrence.start.day)
    if kind is Pattern.YEARLY:
        parts["Month"] = MONTHS[(recurrence.month or recurrence.start.month) - 1]
    if kind is Pattern.WEEKLY:
        parts["FirstDayOfWeek"] = recurrence.first_day_of_week.name.title()
    name = ("" if is_of_days else relative) + f"{kind.value.title()}Recurrence"
    return make(T + name, *(make(T + part, text) for part, text in parts.items()))


def _written_days(wanted: frozenset[Weekday], *, in_groups: bool) -> str:
    groups = {days: name for name, days in DAYS.items() if len(days) > 1}
    if in_groups and wanted in groups:
        return groups[wanted]
    return " ".join(day.name.title() for day in sorted(wanted))


def _written_range(recurrence: Recurrence) -> Element:
    start = make(f"{T}StartDate", recurrence.start.isoformat())
    if recurrence.count is not None:
        number = make(f"{T}NumberOfOccurrences", str(recurrence.count))
        return make(f"{T}NumberedRecurrence", start, number)
    if recurrence.until is not None:
        end = make(f"{T}EndDate", recurrence.until.isoformat())
        return make(f"{T}EndDateRecurrence", start, end)
    return make(f"{T}NoEndRecurrence", start)
