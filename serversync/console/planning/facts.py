"""What a page tells of something planned, as labels and words."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from activities.admin import due_words, when_words
from activities.admin.times import duration_words, span_words
from activities.choices import ParticipationType, Priority
from activities.models import (
    Appointment,
    Fax,
    Letter,
    PhoneCall,
    RecurringAppointmentMaster,
    Task,
)
from activities.recurrence_words import in_words
from mailboxes.screens import badge, link, moment
from mailboxes.timezones import zone as zone_named
from serversync.console.emails import PartyLine, party_lines
from serversync.console.planning.fields import offset_words, reminder_words

Fact = tuple[Any, Any]
ROLES = (
    (ParticipationType.ORGANIZER, _("Organizer")),
    (ParticipationType.REQUIRED_ATTENDEE, _("Required attendees")),
    (ParticipationType.OPTIONAL_ATTENDEE, _("Optional attendees")),
    (ParticipationType.CUSTOMER, _("Customers")),
    (ParticipationType.RESOURCE, _("Resources")),
    (ParticipationType.SENDER, _("From")),
    (ParticipationType.TO, _("To")),
    (ParticipationType.CC, _("Cc")),
    (ParticipationType.BCC, _("Bcc")),
)


def facts_of(record: Any) -> list[Fact]:
    """In the order in which one asks; what is empty is left out."""
    return [(label, said) for label, said in _facts(record) if said not in ("", None)]


def in_short(record: Any) -> str:
    """When it is, and for how long, where the reader is."""
    if isinstance(record, RecurringAppointmentMaster):
        lasts = "" if record.is_all_day_event else f", {duration_words(record.duration)}"
        return f"{in_words(record.recurrence)}{lasts}"
    if not hasattr(record, "is_all_day_event"):
        due = due_words(record) if record.scheduled_end else ""
        return __("due %(when)s") % {"when": due} if due else ""
    if record.is_all_day_event:
        return when_words(record)
    return f"{when_words(record)}, {duration_words(record.scheduled_duration_minutes)}"


def _facts(record: Any) -> Iterator[Fact]:
    if isinstance(record, RecurringAppointmentMaster):
        yield from _of_series(record)
    elif hasattr(record, "is_all_day_event"):
        yield from _of_time(record)
    else:
        yield from _of_to_do(record)
    yield _("Place"), getattr(record, "location", "")
    yield _("Join"), _join_link(getattr(record, "online_meeting_join_url", ""))
    if getattr(record, "reminder_minutes", None) is not None:
        yield _("Reminder"), reminder_words(record.reminder_minutes)
    if record.priority_code != Priority.NORMAL:
        yield _("Importance"), record.get_priority_code_display()
    if getattr(record, "is_mapi_private", False):
        yield _("Private"), __("yes: its owner and its organizer read it alone")
    yield _("Category"), record.category


def _of_time(record: Any) -> Iterator[Fact]:
    yield _("When"), when_words(record)
    if not record.is_all_day_event:
        yield _("Duration"), duration_words(record.scheduled_duration_minutes)
        yield _("Time zone"), _elsewhere(record)
    if isinstance(record, Appointment) and record.series_id:
        yield _("Series"), _series_link(record)
        yield _("Instead of"), moment(record.original_start_date)
    if record.actual_end is not None:
        yield _("Actual end"), moment(record.actual_end)


def _elsewhere(record: Any) -> str:
    """Where it was planned, and what the clocks show there, if not the same as here."""
    zone = zone_named(record.time_zone)
    if zone is None:
        return ""
    start, end = record.scheduled_start.astimezone(zone), record.scheduled_end.astimezone(zone)
    words = f"{record.time_zone} ({offset_words(record.time_zone, start)})"
    if start.utcoffset() == timezone.localtime(start).utcoffset():
        return words
    return f"{words}: {span_words(start, end)}"


def _of_series(series: RecurringAppointmentMaster) -> Iterator[Fact]:
    yield _("Repeats"), in_words(series.recurrence)
    if series.is_all_day_event:
        yield _("Time"), __("all day")
    else:
        yield _("Time"), f"{series.start_time:%H:%M}–{series.end_time:%H:%M}"
        yield _("Duration"), duration_words(series.duration)
        yield _("Time zone"), series.time_zone
    yield pgettext_lazy("series", "From"), series.pattern_start_date


def _of_to_do(record: Any) -> Iterator[Fact]:
    yield _("Due"), due_words(record)
    if isinstance(record, Task) and record.percent_complete is not None:
        yield _("Complete"), f"{record.percent_complete} %"
    if isinstance(record, PhoneCall | Letter | Fax):
        yield _("Direction"), record.get_direction_code_display()
    yield _("Phone number"), getattr(record, "phone_number", "")
    yield _("Address"), getattr(record, "address", "")
    yield _("Fax number"), getattr(record, "fax_number", "")
    if getattr(record, "left_voice_mail", False):
        yield _("Voice mail"), __("left")
    if record.actual_end is not None:
        yield _("Completed"), moment(record.actual_end)


def _join_link(url: str) -> SafeString | str:
    """A stranger's address is a link only where it leads to the web."""
    if urlsplit(url).scheme not in ("http", "https"):
        return url
    return format_html('<a href="{}" rel="noopener noreferrer" target="_blank">{}</a>', url, url)


def _series_link(record: Appointment) -> SafeString:
    page = reverse("admin:activities_recurringappointmentmaster_change", args=[record.series_id])
    return link(page, __("the whole series"))


# -- who takes part --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Role:
    words: Any
    lines: list[PartyLine]


def people_of(record: Any, reader: Any) -> list[Role]:
    """Only the roles that somebody has."""
    lines = party_lines(record, reader)
    return list(_in_roles(lines))


def _in_roles(lines: Iterable[PartyLine]) -> Iterator[Role]:
    every = list(lines)
    for role, words in ROLES:
        if found := [line for line in every if line.role == role]:
            yield Role(words, found)


def draft_badge(record: Any) -> SafeString | str:
    return (
        badge(_("Draft: nobody has been invited"), "warn")
        if getattr(record, "is_draft", False)
        else ""
    )
