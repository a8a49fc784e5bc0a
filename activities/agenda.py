"""What stands in the calendar of a reader between two days: appointments, occurrences of series, service
activities, and what is due. Everything within sight, private things without what they are about (R6.36).

One statement for each kind, however many days; occurrences are computed.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.db.models import F, Model, Q, QuerySet
from django.utils import timezone

from activities.choices import ActivityState
from activities.models import (
    Appointment,
    Fax,
    Letter,
    PhoneCall,
    RecurringAppointmentMaster,
    ServiceAppointment,
    Task,
)
from activities.private import hidden_among
from mailboxes import access
from mailboxes.recurrence import occurrences
from mailboxes.timezones import zone as zone_named

MOST = 500  # of one kind: a calendar with more is no calendar any more
DAY = timedelta(days=1)
TO_DOS: tuple[type[Model], ...] = (Task, PhoneCall, Letter, Fax)


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a calendar. `start`, `end`: local, None for what lasts all day or is due on a day.
    `original`: of an occurrence that is like its series, when it begins, in UTC. `hidden`: private."""

    record: Any
    first: date
    last: date
    start: datetime | None = None
    end: datetime | None = None
    original: datetime | None = None
    hidden: bool = False

    @property
    def subject(self) -> str:
        subject: str = self.record.activity.subject
        return subject

    @property
    def is_to_do(self) -> bool:
        return isinstance(self.record, TO_DOS)

    @property
    def is_canceled(self) -> bool:
        return bool(self.record.activity.state_code == ActivityState.CANCELED)

    @property
    def is_completed(self) -> bool:
        return bool(self.record.activity.state_code == ActivityState.COMPLETED)

    @property
    def order(self) -> tuple[Any, ...]:
        """All day first, then by the clock."""
        return (self.start is not None, self.start or self.first, self.subject, str(self.record.pk))


@dataclass(slots=True)
class Agenda:
    """`cut`: there is more than is shown."""

    entries: list[Entry] = field(default_factory=list)
    cut: bool = False

    def on(self, day: date) -> list[Entry]:
        return [entry for entry in self.entries if entry.first <= day <= entry.last]


@dataclass(frozen=True, slots=True)
class _Span:
    """Days of a reader, and the moments between which they lie."""

    first: date
    last: date
    zone: ZoneInfo

    @property
    def begins(self) -> datetime:
        return datetime.combine(self.first, time.min, tzinfo=self.zone).astimezone(UTC)

    @property
    def ends(self) -> datetime:
        return datetime.combine(self.last + DAY, time.min, tzinfo=self.zone).astimezone(UTC)

    def holds(self, entry: Entry) -> bool:
        return entry.first <= self.last and entry.last >= self.first


def agenda(
    reader: Any,
    first: date,
    last: date,
    zone: ZoneInfo,
    *,
    whose: Q | None = None,
    meetings: bool = True,
    to_dos: bool = True,
) -> Agenda:
    """`whose`: a condition on activities of any kind, as lists have it."""
    span, found = _Span(first, last, zone), Agenda()
    if meetings:
        _add(found, span, reader, Appointment, _held(span), whose, _once)
        _add(found, span, reader, ServiceAppointment, _held(span), whose, _once)
        _add_series(found, span, reader, whose)
    if to_dos:
        for model in TO_DOS:
            _add(found, span, reader, model, _due(span), whose, _due_once)
    found.entries.sort(key=lambda entry: entry.order)
    return found


Make = Callable[[Any, _Span, bool], Iterable[Entry]]


def _add(
    found: Agenda,
    span: _Span,
    reader: Any,
    model: type[Model],
    when: Q,
    whose: Q | None,
    make: Make,
) -> None:
    rows = _rows(model, reader, when, whose)
    found.cut |= len(rows) > MOST
    hidden = hidden_among(rows, reader)
    for row in rows[:MOST]:
        found.entries += [e for e in make(row, span, row.pk in hidden) if span.holds(e)]


def _rows(model: type[Model], reader: Any, when: Q, whose: Q | None) -> list[Any]:
    rows: QuerySet[Any] = access.visible_to(reader, model._default_manager.filter(when), "view")
    if whose is not None:
        rows = rows.filter(whose)
    rows = rows.select_related("activity__owning_user__settings").defer("description")
    return list(rows.order_by("activity__sort_date", "pk")[: MOST + 1])


def _held(span: _Span) -> Q:
    """A day more on either side: what lasts all day has its midnights in UTC."""
    overlaps = Q(scheduled_start__lt=span.ends + DAY, scheduled_end__gt=span.begins - DAY)
    at_once = Q(scheduled_start=F("scheduled_end"), scheduled_start__gte=span.begins - DAY)
    return overlaps | at_once & Q(scheduled_start__lt=span.ends + DAY)


def _due(span: _Span) -> Q:
    return Q(scheduled_end__gte=span.begins - DAY, scheduled_end__lt=span.ends + DAY)


def _once(row: Any, span: _Span, hidden: bool) -> Iterator[Entry]:
    if row.is_all_day_event:
        yield Entry(row, row.first_day, row.last_day, hidden=hidden)
    else:
        yield _between(row, row.scheduled_start, row.scheduled_end, span, hidden=hidden)


def _between(
    row: Any,
    start: datetime,
    end: datetime,
    span: _Span,
    *,
    hidden: bool,
    original: datetime | None = None,
) -> Entry:
    start, end = start.astimezone(span.zone), end.astimezone(span.zone)
    last = max(start, end - timedelta(microseconds=1)).date()  # until midnight is that day's
    return Entry(row, start.date(), last, start, end, original, hidden)


def _due_once(row: Any, span: _Span, hidden: bool) -> Iterator[Entry]:
    day, at = due_of(row)
    if at is not None:
        yield _between(row, row.scheduled_end, row.scheduled_end, span, hidden=hidden)
    elif day is not None:
        yield Entry(row, day, day)


def due_of(row: Any) -> tuple[date | None, time | None]:
    """On which day, at what time if at any: where its owner is, whose midnight says that no time was given."""
    return day_of(row, row.scheduled_end)


def day_of(row: Any, moment: datetime | None) -> tuple[date | None, time | None]:
    """The same of any moment of what is to be done."""
    if moment is None:
        return None, None
    local = moment.astimezone(owners_zone(row.activity))
    return local.date(), local.time() if local.time() != time(0) else None


def owners_zone(activity: Any) -> ZoneInfo:
    """Of the owner's settings, else the site's."""
    settings = getattr(activity.owning_user, "settings", None)
    named = zone_named(settings.time_zone) if settings else None
    return named or ZoneInfo(timezone.get_default_timezone_name())


# -- series ----------------------------------------------------------------------------------------


def _add_series(found: Agenda, span: _Span, reader: Any, whose: Q | None) -> None:
    not_over = Q(pattern_end_date=None) | Q(pattern_end_date__gte=span.first - 2 * DAY)
    running = Q(pattern_start_date__lte=span.last + DAY) & not_over
    rows = _rows(RecurringAppointmentMaster, reader, running, whose)
    found.cut |= len(rows) > MOST
    hidden, differing = hidden_among(rows, reader), _differing(rows)
    for row in rows[:MOST]:
        for entry in _occurrences(row, span, row.pk in hidden, differing.get(row.pk, set())):
            found.entries.append(entry)


def _differing(rows: Iterable[RecurringAppointmentMaster]) -> dict[UUID, set[datetime]]:
    """Series -> originals of the occurrences that are rows of their own."""
    found: dict[UUID, set[datetime]] = {}
    pairs = Appointment.objects.filter(series__in=[row.pk for row in rows])
    for series, original in pairs.values_list("series_id", "original_start_date"):
        if series is not None and original is not None:
            found.setdefault(series, set()).add(original)
    return found


def _occurrences(
    series: RecurringAppointmentMaster, span: _Span, hidden: bool, differing: set[datetime]
) -> Iterator[Entry]:
    left_out = differing | series.deleted_starts
    lasts = series.length
    since, until = span.begins - lasts - DAY, span.ends + DAY
    for start in occurrences_of(series, since, until):
        if start not in left_out:
            entry = _occurrence(series, start, lasts, span, hidden)
            if span.holds(entry):
                yield entry


def _occurrence(
    series: RecurringAppointmentMaster,
    start: datetime,
    lasts: timedelta,
    span: _Span,
    hidden: bool,
) -> Entry:
    if not series.is_all_day_event:
        return _between(series, start, start + lasts, span, hidden=hidden, original=start)
    last = max(start.date(), (start + lasts - DAY).date())
    return Entry(series, start.date(), last, original=start, hidden=hidden)


def occurrences_of(
    series: RecurringAppointmentMaster, since: datetime, until: datetime
) -> Iterator[datetime]:
    """When those begin that the pattern has from `since` on and before `until`, in UTC; also such as were
    deleted or differ."""
    return occurrences(series.recurrence, series.start_time, series.zone, since, until)
