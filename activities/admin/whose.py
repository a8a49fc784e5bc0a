"""Filters and columns that lists of activities have in common."""

from datetime import datetime, time, timedelta
from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.admin.links import SUBJECT_SHOWN
from activities.choices import ActivityState
from activities.models import ActivityParty
from activities.private import HIDDEN, readable_by
from mailboxes.access import Asker
from mailboxes.screens import badge

STATE_KIND = {
    ActivityState.OPEN: "info",
    ActivityState.SCHEDULED: "info",
    ActivityState.COMPLETED: "good",
    ActivityState.CANCELED: "quiet",
}
SETTLED = (ActivityState.COMPLETED, ActivityState.CANCELED)


def mine(user: Any) -> Q:
    """Condition on activities of any kind: owned by the user, or with them as a participant."""
    parties = ActivityParty.objects.filter(
        party_type__app_label="mailboxes", party_type__model="systemuser", party_id=str(user.pk)
    )
    return Q(activity__owning_user=user.pk) | Q(pk__in=parties.values("activity"))


def of_team(user: Any) -> Q:
    """Those that the user's teams own, or others in them."""
    asker = Asker(user, "view", None)
    return Q(activity__owning_team__in=asker.teams) | Q(activity__owning_user__in=asker.teammates)


class WhoseFilter(admin.SimpleListFilter):
    title = _("whose")
    parameter_name = "whose"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("mine", _("Mine")), ("team", _("My teams'"))]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        condition = {"mine": mine, "team": of_team}.get(self.value() or "")
        return queryset.filter(condition(request.user)) if condition else queryset


class StateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("open", _("Open")),
            ("completed", _("Completed")),
            ("canceled", _("Canceled")),
        ]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        if self.value() == "open":
            return queryset.exclude(activity__state_code__in=SETTLED)
        if self.value() == "completed":
            return queryset.filter(activity__state_code=ActivityState.COMPLETED)
        if self.value() == "canceled":
            return queryset.filter(activity__state_code=ActivityState.CANCELED)
        return queryset


class WhenFilter(admin.SimpleListFilter):
    """Of what takes place from one moment to another."""

    title = _("when")
    parameter_name = "when"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("upcoming", _("Upcoming")),
            ("today", _("Today")),
            ("week", _("Next 7 days")),
            ("past", _("Past")),
        ]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        now, (midnight, next_midnight) = timezone.now(), today()
        match self.value():
            case "upcoming":
                return queryset.filter(scheduled_end__gte=now)
            case "past":
                return queryset.filter(scheduled_end__lt=now)
            case "today":
                return queryset.filter(
                    scheduled_start__lt=next_midnight, scheduled_end__gt=midnight
                )
            case "week":
                week = now + timedelta(days=7)
                return queryset.filter(scheduled_start__lt=week, scheduled_end__gte=now)
        return queryset


class DueFilter(admin.SimpleListFilter):
    """Of what has to be done by a certain time."""

    title = _("due")
    parameter_name = "due"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [
            ("overdue", _("Overdue")),
            ("today", _("Today")),
            ("week", _("Next 7 days")),
            ("none", _("At no time")),
        ]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        now, (midnight, next_midnight) = timezone.now(), today()
        match self.value():
            case "overdue":
                waiting = queryset.exclude(activity__state_code__in=SETTLED)
                return waiting.filter(scheduled_end__lt=now)
            case "today":
                return queryset.filter(scheduled_end__gte=midnight, scheduled_end__lt=next_midnight)
            case "week":
                week = now + timedelta(days=7)
                return queryset.filter(scheduled_end__gte=now, scheduled_end__lt=week)
            case "none":
                return queryset.filter(scheduled_end=None)
        return queryset


def today() -> tuple[datetime, datetime]:
    """This midnight and the next one, where the reader is."""
    day, zone = timezone.localdate(), timezone.get_current_timezone()
    begins = datetime.combine(day, time.min, tzinfo=zone)
    return begins, datetime.combine(day + timedelta(days=1), time.min, tzinfo=zone)


def subject_of(record: Any, *, hidden: bool = False) -> str:
    if hidden:
        return str(HIDDEN)
    return Truncator(record.activity.subject).chars(SUBJECT_SHOWN) or __("(no subject)")


def title_cell(record: Any, *, hidden: bool = False) -> SafeString:
    return format_html(
        '<span class="row-title{}">{}</span>',
        " quiet" if hidden else "",
        subject_of(record, hidden=hidden),
    )


def status_badge(record: Any) -> SafeString:
    return badge(record.get_status_code_display(), STATE_KIND[record.status.state])


def without_hidden(queryset: "QuerySet[Any]", reader: Any) -> "QuerySet[Any]":
    """No search finds by their words what the reader may not read (R6.36)."""
    return queryset.filter(readable_by(reader))
