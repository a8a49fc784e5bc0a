"""Lists of appointments, series and service activities. Their pages stand in the console, which knows who is
behind an address.
"""

from typing import Any

from django.contrib import admin
from django.db.models import Case, Count, Q, QuerySet, When
from django.http import HttpRequest
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from activities.admin.times import when_cell
from activities.admin.whose import (
    SETTLED,
    StateFilter,
    WhenFilter,
    WhoseFilter,
    status_badge,
    title_cell,
    without_hidden,
)
from activities.choices import ParticipationType
from activities.models import Appointment, RecurringAppointmentMaster
from activities.private import readable
from activities.recurrence_words import in_words
from mailboxes.screens import EMPTY, Screen

ATTENDEES = (ParticipationType.REQUIRED_ATTENDEE, ParticipationType.OPTIONAL_ATTENDEE)


class ActivityListScreen(Screen):
    """What is settled is looked at; to change it, it is reopened first."""

    list_select_related = ["activity__owning_user", "activity__owning_team"]
    search_fields = ["activity__subject", "category"]
    list_display_links = ["subject"]

    def get_queryset(self, request: HttpRequest) -> Any:
        # A description may be a megabyte, and no list shows it.
        return super().get_queryset(request).defer("description")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.activity.state_code in SETTLED:
            return False
        return super().has_change_permission(request, obj)

    @admin.display(description=_("subject"))
    def subject(self, record: Any) -> SafeString:
        return title_cell(record)

    @admin.display(description=_("status"), ordering="status_code")
    def status(self, record: Any) -> SafeString:
        return status_badge(record)

    @admin.display(description=_("owner"))
    def owner_words(self, record: Any) -> str:
        return str(record.activity.owner)

    @admin.display(description=_("importance"), ordering="priority_code")
    def importance(self, record: Any) -> str:
        return str(record.get_priority_code_display())


class MeetingListScreen(ActivityListScreen):
    """Appointments and series: some are private (R6.36)."""

    search_fields = ["activity__subject", "location", "category"]
    list_filter = [StateFilter, WhoseFilter]

    def get_queryset(self, request: HttpRequest) -> Any:
        attending = Count(
            "activity__parties", filter=Q(activity__parties__participation_type_mask__in=ATTENDEES)
        )
        seen = readable(request.user)
        rows = super().get_queryset(request).annotate(is_readable=seen)
        # Sorted by, the number of a private one would be told by its neighbours.
        known = Case(When(is_readable=True, then=attending), default=0)
        return rows.annotate(attendee_count=known)

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        found, duplicates = super().get_search_results(request, queryset, search_term)
        return (without_hidden(found, request.user) if search_term else found), duplicates

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nobody changes what they may not read."""
        if obj is not None and not self.is_readable(request, obj):
            return False
        return super().has_change_permission(request, obj)

    def is_readable(self, request: HttpRequest, obj: Any) -> bool:
        known: bool | None = getattr(obj, "is_readable", None)
        if known is None:
            rows = self.model._default_manager.annotate(seen=readable(request.user))
            known = bool(rows.values_list("seen", flat=True).get(pk=obj.pk))
        return known

    @admin.display(description=_("subject"))
    def subject(self, record: Any) -> SafeString:
        return title_cell(record, hidden=not record.is_readable)

    @admin.display(description=_("attendees"), ordering="attendee_count")
    def attendees(self, record: Any) -> str:
        return str(record.attendee_count or "") if record.is_readable else ""

    @admin.display(description=_("place"))
    def place(self, record: Any) -> SafeString | str:
        if not record.is_readable:
            return EMPTY
        return format_html('<span class="one-line">{}</span>', record.location or EMPTY)


class AppointmentScreen(MeetingListScreen):
    list_display = ["subject", "begins", "place", "attendees", "owner_words", "status"]
    list_filter = [WhenFilter, StateFilter, WhoseFilter]
    date_hierarchy = "scheduled_start"
    ordering = ["-scheduled_start"]

    @admin.display(description=_("subject"))
    def subject(self, record: Appointment) -> SafeString:
        shown = super().subject(record)
        if record.series_id is None:
            return shown
        return format_html(
            '{}<span class="row-sub">{}</span>', shown, __("differs from the rest of its series")
        )

    @admin.display(description=_("when"), ordering="scheduled_start")
    def begins(self, record: Appointment) -> SafeString:
        return when_cell(record)


class SeriesScreen(MeetingListScreen):
    list_display = ["subject", "pattern", "first_day", "attendees", "owner_words", "status"]
    list_filter = [StateFilter, WhoseFilter, "recurrence_pattern_type"]
    date_hierarchy = "pattern_start_date"
    ordering = ["-pattern_start_date"]

    @admin.display(description=_("repeats"), ordering="recurrence_pattern_type")
    def pattern(self, record: RecurringAppointmentMaster) -> str:
        return in_words(record.recurrence)

    @admin.display(description=pgettext_lazy("series", "from"), ordering="pattern_start_date")
    def first_day(self, record: RecurringAppointmentMaster) -> str:
        return date_format(record.pattern_start_date, "DATE_FORMAT")


class ServiceActivityScreen(ActivityListScreen):
    list_display = ["subject", "begins", "place", "owner_words", "status"]
    search_fields = ["activity__subject", "location", "category"]
    list_filter = [WhenFilter, StateFilter, WhoseFilter]
    date_hierarchy = "scheduled_start"
    ordering = ["-scheduled_start"]

    @admin.display(description=_("when"), ordering="scheduled_start")
    def begins(self, record: Any) -> SafeString:
        return when_cell(record)

    @admin.display(description=_("place"))
    def place(self, record: Any) -> SafeString:
        return format_html('<span class="one-line">{}</span>', record.location or EMPTY)
