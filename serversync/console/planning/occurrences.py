"""The next occurrences of a series: computed from its pattern, with those that differ and those that were deleted
(R6.8)."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any
from urllib.parse import urlencode

from django.urls import reverse
from django.utils import timezone

from activities.admin import when_words
from activities.admin.times import days_words, span_words
from activities.models import Appointment, RecurringAppointmentMaster
from mailboxes import access, recurrence

SHOWN = 10
FORMAT = "%Y%m%dT%H%M%SZ"
DAY = timedelta(days=1)
CHANGE = "activities_occurrence_change"
DELETE = "activities_occurrence_delete"
RESTORE = "activities_occurrence_restore"


def named(moment: datetime) -> str:
    """An occurrence in an address: when it would have begun."""
    return moment.astimezone(UTC).strftime(FORMAT)


def moment_named(text: str) -> datetime | None:
    try:
        return datetime.strptime(text, FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Line:
    """`url`: of the page of one that differs; the other addresses: empty where that can't be done."""

    words: str
    is_asked_for: bool
    is_deleted: bool = False
    differs: bool = False
    moved: str = ""
    url: str = ""
    change_url: str = ""
    delete_url: str = ""
    restore_url: str = ""


@dataclass(frozen=True, slots=True)
class Occurrences:
    lines: list[Line]
    begin_url: str
    later_url: str


def occurrences_from(series: RecurringAppointmentMaster, request: Any) -> Occurrences:
    """Those from the one that was asked for on, else from today on."""
    asked = moment_named(request.GET.get("occurrence", ""))
    since = asked or moment_named(request.GET.get("since", ""))
    since = since or timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    page = list(islice(_starts(series, since), SHOWN + 1))
    starts, more = page[:SHOWN], page[SHOWN:]
    differing = _differing(series, starts, request.user)
    lines = [_line(series, start, differing.get(start), asked) for start in starts]
    first = recurrence.first(series.recurrence, series.start_time, series.zone)
    is_first = not starts or first is None or starts[0] <= first
    return Occurrences(
        lines, "" if is_first or first is None else _since(first), _since(more[0]) if more else ""
    )


def _since(moment: datetime) -> str:
    return f"?{urlencode({'since': named(moment)})}#occurrences"


def _starts(series: RecurringAppointmentMaster, since: datetime) -> Iterator[datetime]:
    for day in recurrence.days(series.recurrence, since.date() - DAY):
        begins = recurrence.moment(day, series.start_time, series.zone)
        if begins >= since:
            yield begins


def _differing(
    series: RecurringAppointmentMaster, starts: list[datetime], reader: Any
) -> dict[datetime, Appointment]:
    """Those within sight, by when they would have begun."""
    rows = Appointment.objects.filter(series=series, original_start_date__in=starts)
    seen = access.visible_to(reader, rows.select_related("activity").defer("description"), "view")
    return {row.original_start_date: row for row in seen if row.original_start_date}


def _line(
    series: RecurringAppointmentMaster,
    start: datetime,
    differing: Appointment | None,
    asked: datetime | None,
) -> Line:
    words, is_asked_for = words_of(series, start), start == asked
    if start in series.deleted_starts:
        back = _page(RESTORE, series, start)
        return Line(words, is_asked_for, is_deleted=True, restore_url=back)
    if differing is not None:
        page = reverse("admin:activities_appointment_change", args=[differing.pk])
        now = when_words(differing)
        moved = now if now != words else ""
        delete = _page(DELETE, series, start)
        return Line(
            words,
            is_asked_for,
            differs=True,
            moved=moved,
            url=page,
            change_url=page,
            delete_url=delete,
        )
    return Line(
        words,
        is_asked_for,
        change_url=_page(CHANGE, series, start),
        delete_url=_page(DELETE, series, start),
    )


def _page(name: str, series: RecurringAppointmentMaster, start: datetime) -> str:
    return reverse(f"admin:{name}", args=[series.pk, named(start)])


def words_of(series: RecurringAppointmentMaster, start: datetime) -> str:
    """When this occurrence takes place, if it is like the others."""
    end = start + series.length
    if series.is_all_day_event:
        return days_words(start.date(), max(start, end - DAY).date())
    return span_words(timezone.localtime(start), timezone.localtime(end))
