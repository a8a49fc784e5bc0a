"""The calendar of whoever looks: a month or a week of appointments, series, service activities and what is due.

Two plain pages, each a table of days that reads as a list where there is no room for a table. The rows are those
that the reader sees in the lists; times are those of the reader's own zone.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.dates import WEEKDAYS, WEEKDAYS_ABBR
from django.utils.formats import date_format, get_format
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.views.decorators.http import require_safe

from activities.admin import mine, of_team
from activities.agenda import Agenda, Entry, agenda
from activities.models import (
    Appointment,
    Fax,
    Letter,
    PhoneCall,
    RecurringAppointmentMaster,
    ServiceAppointment,
    Task,
)
from activities.private import HIDDEN
from mailboxes import access
from serversync.console.planning.occurrences import named

NAME = "calendar"
DAY = timedelta(days=1)
SHOWN = 5  # entries of one day of a month; the others are folded
WHOSE = {"mine": (_("Mine"), mine), "team": (_("My teams'"), of_team), "all": (_("All"), None)}
WHAT = {
    "all": (_("Everything"), True, True),
    "meetings": (_("Appointments"), True, False),
    "tasks": (_("Tasks"), False, True),
}
VIEWS = {"month": _("Month"), "week": _("Week")}
#: Years in which a calendar makes sense; beyond them no date can be computed with.
YEARS = range(1900, 2200)


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as one day shows it."""

    entry: Entry
    day: date
    url: str

    @property
    def words(self) -> str:
        if self.entry.hidden:
            return str(HIDDEN)
        return self.entry.subject or __("(no subject)")

    @property
    def kind(self) -> str:
        return str(self.entry.record._meta.verbose_name)

    @property
    def css(self) -> str:
        kind = "is-to-do" if self.entry.is_to_do else "is-meeting"
        if isinstance(self.entry.record, ServiceAppointment):
            kind = "is-service"
        if self.entry.is_canceled:
            return f"{kind} is-settled is-canceled"
        return f"{kind} is-settled" if self.entry.is_completed else kind

    @property
    def state(self) -> str:
        """Said where a look alone would say it."""
        if self.entry.is_canceled:
            return __("canceled")
        return __("completed") if self.entry.is_completed else ""

    @property
    def clock(self) -> str:
        """Of this day's part."""
        start, end = self.entry.start, self.entry.end
        if start is None or end is None:
            return ""
        if start.date() < self.day:
            return __("until %(time)s") % {"time": f"{end:%H:%M}"} if end.date() == self.day else ""
        return f"{start:%H:%M}"

    @property
    def until(self) -> str:
        start, end = self.entry.start, self.entry.end
        if start is None or end is None or start.date() < self.day or start == end:
            return ""
        return f"{end:%H:%M}"

    @property
    def place(self) -> str:
        return "" if self.entry.hidden else getattr(self.entry.record, "location", "")


@dataclass(frozen=True, slots=True)
class Day:
    date: date
    lines: Sequence[Line]
    today: bool
    outside: bool
    add_url: str
    week_url: str

    @property
    def first_lines(self) -> Sequence[Line]:
        return self.lines if len(self.lines) <= SHOWN + 1 else self.lines[:SHOWN]

    @property
    def more_lines(self) -> Sequence[Line]:
        return self.lines[len(self.first_lines) :]


@dataclass(frozen=True, slots=True)
class Choice:
    """What the page was asked for; whatever is no such thing becomes the usual one."""

    view: str
    day: date
    whose: str
    what: str

    @classmethod
    def of(cls, request: HttpRequest, today: date) -> "Choice":
        asked = request.GET
        return cls(
            view=_known(asked.get("view"), VIEWS, "month"),
            day=_day(asked.get("day"), today),
            whose=_known(asked.get("whose"), WHOSE, "mine"),
            what=_known(asked.get("what"), WHAT, "all"),
        )

    def url(self, **changed: Any) -> str:
        said = {"view": self.view, "day": self.day, "whose": self.whose, "what": self.what}
        return f"{reverse(f'admin:{NAME}')}?{urlencode(said | changed)}"


def urls(site: AdminSite) -> list[Any]:
    def view(request: HttpRequest) -> HttpResponse:
        return page(site, request)

    return [path("calendar/", site.admin_view(require_safe(view)), name=NAME)]


def page(site: AdminSite, request: HttpRequest) -> HttpResponse:
    if not may_look(request.user):
        raise PermissionDenied
    today = timezone.localdate()
    chosen = Choice.of(request, today)
    days = month_of(chosen.day) if chosen.view == "month" else week_of(chosen.day)
    found = _agenda(request.user, days, chosen)
    context = {
        **site.each_context(request),
        "title": _title(chosen, days),
        "chosen": chosen,
        "weekdays": _weekdays(days),
        "weeks": list(_weeks(days, found, chosen, today, may_add=_may_add(request.user))),
        "cut": found.cut,
        "number": len(found.entries),
        "zone": timezone.get_current_timezone_name(),
        "views": _links(chosen, "view", VIEWS.items()),
        "whose": _links(chosen, "whose", ((key, words) for key, (words, _q) in WHOSE.items())),
        "what": _links(chosen, "what", ((key, words) for key, (words, *_) in WHAT.items())),
        **_neighbours(chosen, today),
    }
    return TemplateResponse(request, "console/calendar.html", context)


def may_look(user: Any) -> bool:
    """Whoever may see anything that stands in a calendar."""
    series = RecurringAppointmentMaster
    kinds = (Appointment, series, ServiceAppointment, Task, PhoneCall, Letter, Fax)
    return any(access.reach_of(user, model, "view") is not None for model in kinds)


def _may_add(user: Any) -> bool:
    return access.reach_of(user, Appointment, "add") is not None


def _agenda(user: Any, days: Sequence[date], chosen: Choice) -> Agenda:
    _words, condition = WHOSE[chosen.whose]
    _name, meetings, to_dos = WHAT[chosen.what]
    zone = ZoneInfo(timezone.get_current_timezone_name())
    whose = condition(user) if condition else None
    return agenda(user, days[0], days[-1], zone, whose=whose, meetings=meetings, to_dos=to_dos)


# -- days ------------------------------------------------------------------------------------------


def week_of(day: date) -> list[date]:
    """From the day that weeks begin with in the reader's language."""
    begins = (get_format("FIRST_DAY_OF_WEEK") - 1) % 7  # Sunday is 0 there
    first = day - timedelta(days=(day.weekday() - begins) % 7)
    return [first + timedelta(days=number) for number in range(7)]


def month_of(day: date) -> list[date]:
    """Whole weeks, from that of the month's first day to that of its last."""
    first = day.replace(day=1)
    last = _next_month(first) - DAY
    start, end = week_of(first)[0], week_of(last)[-1]
    return [start + timedelta(days=number) for number in range((end - start).days + 1)]


def _next_month(first: date) -> date:
    return (first + timedelta(days=31)).replace(day=1)


def _weekdays(days: Sequence[date]) -> list[tuple[Any, Any]]:
    return [(WEEKDAYS[day.weekday()], WEEKDAYS_ABBR[day.weekday()]) for day in days[:7]]


def _weeks(
    days: Sequence[date], found: Agenda, chosen: Choice, today: date, *, may_add: bool
) -> Iterator[list[Day]]:
    add = reverse("admin:activities_appointment_add") if may_add else ""
    for start in range(0, len(days), 7):
        yield [
            Day(
                date=day,
                lines=[Line(entry, day, _url(entry)) for entry in found.on(day)],
                today=day == today,
                outside=chosen.view == "month" and day.month != chosen.day.month,
                add_url=f"{add}?first_day={day}" if add else "",
                week_url=chosen.url(view="week", day=day),
            )
            for day in days[start : start + 7]
        ]


def _url(entry: Entry) -> str:
    meta = entry.record._meta
    url = reverse(f"admin:{meta.app_label}_{meta.model_name}_change", args=[entry.record.pk])
    if entry.original is None:
        return url
    return f"{url}?{urlencode({'occurrence': named(entry.original)})}#occurrences"


def _title(chosen: Choice, days: Sequence[date]) -> str:
    if chosen.view == "month":
        return date_format(chosen.day, "YEAR_MONTH_FORMAT")
    return f"{date_format(days[0], 'DATE_FORMAT')} – {date_format(days[-1], 'DATE_FORMAT')}"


def _neighbours(chosen: Choice, today: date) -> dict[str, str]:
    if chosen.view == "week":
        before, after = chosen.day - 7 * DAY, chosen.day + 7 * DAY
    else:
        first = chosen.day.replace(day=1)
        before, after = (first - DAY).replace(day=1), _next_month(first)
    return {
        "before_url": chosen.url(day=before) if before.year in YEARS else "",
        "after_url": chosen.url(day=after) if after.year in YEARS else "",
        "today_url": chosen.url(day=today),
    }


def _links(chosen: Choice, name: str, choices: Any) -> list[tuple[Any, str, bool]]:
    return [
        (words, chosen.url(**{name: key}), getattr(chosen, name) == key) for key, words in choices
    ]


def _known(asked: str | None, known: Any, usual: str) -> str:
    return asked if asked and asked in known else usual


def _day(asked: str | None, today: date) -> date:
    try:
        day = date.fromisoformat(asked or "")
    except ValueError:
        return today
    return day if day.year in YEARS else today
