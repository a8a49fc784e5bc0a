"""The pages of appointments and service activities."""

from collections.abc import Container, Iterator, Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.admin import (
    AppointmentScreen,
    ServiceActivityScreen,
)
from mailboxes.models import Organization
from serversync.console.deeds import Deed
from serversync.console.planning import saving
from serversync.console.planning.files import WithFiles, files_of
from serversync.console.planning.meetingforms import (
    OF_SERIES,
    AppointmentForm,
    ServiceForm,
)
from serversync.console.planning.planned import MORE, WHO_OWNS, Planned


class AppointmentConsole(WithFiles, Planned, AppointmentScreen):
    form = AppointmentForm
    send_deed = Deed("send", _("Send to the attendees"), main=True)
    fieldsets = [
        (
            _("Appointment"),
            {
                "fields": [
                    "subject",
                    "location",
                    "is_all_day_event",
                    ("first_day", "begins"),
                    ("last_day", "ends"),
                    "time_zone",
                ]
            },
        ),
        (_("Who takes part"), {"fields": ["required", "optional", "organizer"]}),
        (
            _("How it stands in calendars"),
            {
                "fields": [
                    ("status_code", "reminder_minutes"),
                    ("priority_code", "is_mapi_private"),
                    "is_draft",
                ]
            },
        ),
        MORE,
        (_("Files"), {"fields": ["take_off", "attach"]}),
        WHO_OWNS,
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Drafts only where the organization lets appointments be drafts (R6.24); of an exception what may
        differ from its series."""
        hidden: set[str] = set()
        if not _drafts_are_allowed() or (obj is not None and not obj.is_draft):
            hidden.add("is_draft")
        if obj is not None and obj.series_id is not None:
            hidden |= set(OF_SERIES)
        if obj is None or not files_of(obj):
            hidden.add("take_off")
        return list(without(hidden, super().get_fieldsets(request, obj)))

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        found = super().deeds_for(request, obj)
        return (self.send_deed, *found) if found and obj.is_draft else found

    def send(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        self._settle(
            request,
            queryset,
            saving.send_draft,
            __("It is no draft any more, and is synchronized."),
        )


def _drafts_are_allowed() -> bool:
    return bool(Organization.objects.current().effective("allow_save_as_draft_appointment"))


def without(hidden: Container[str], fieldsets: Any) -> Iterator[Any]:
    """Fieldsets without these fields, and none that is empty."""
    for name, options in fieldsets:
        lines = [_line_without(hidden, line) for line in options["fields"]]
        if any(lines):
            yield (name, {**options, "fields": [line for line in lines if line]})


def _line_without(hidden: Container[str], line: Any) -> Any:
    if isinstance(line, tuple):
        return tuple(name for name in line if name not in hidden)
    return "" if line in hidden else line


class ServiceConsole(Planned, ServiceActivityScreen):
    form = ServiceForm
    fieldsets = [
        (
            _("Service activity"),
            {
                "description": _(
                    "It goes to the calendars of its resources, and never back (R6.8)."
                ),
                "fields": [
                    "subject",
                    "location",
                    "is_all_day_event",
                    ("first_day", "begins"),
                    ("last_day", "ends"),
                    "time_zone",
                ],
            },
        ),
        (_("Who takes part"), {"fields": ["customers", "resources"]}),
        (
            _("How it stands in calendars"),
            {"fields": [("status_code", "reminder_minutes"), "priority_code"]},
        ),
        (_("Description"), {"fields": ["description"]}),
        WHO_OWNS,
    ]
