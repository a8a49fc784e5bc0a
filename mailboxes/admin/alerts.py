"""Alerts, and the index of addresses."""

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailboxes import access, alerts
from mailboxes.alerts import LEVEL_KIND
from mailboxes.causes import cause_of
from mailboxes.choices import Operation, Reach, TraceLevel
from mailboxes.models import EmailServerProfile, TraceLog
from mailboxes.screens import (
    EMPTY,
    ReadOnlyScreen,
    actor_of,
    badge,
    link,
    moment,
)

#: Alerts about one workload of a mailbox name it in their object.
WORKLOADS = {operation.name.lower(): operation.label for operation in Operation}


DETAILS = _("Details")


class OpenFilter(admin.SimpleListFilter):
    """Open ones unless asked otherwise: the wall shows what is to be done."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("snoozed", _("Snoozed")), ("cleared", _("Cleared")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        everything, *others = super().choices(changelist)
        yield {**everything, "display": _("Open")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        now = timezone.now()
        chosen = {
            "all": Q(),
            "cleared": Q(closed_on__isnull=False),
            "snoozed": Q(closed_on__isnull=True, snoozed_until__gt=now),
        }
        return queryset.filter(chosen.get(self.value() or "", alerts.awake(now)))


class ServerFilter(admin.SimpleListFilter):
    """Alerts of a server, and of the mailboxes there."""

    title = _("server profile")
    parameter_name = "server"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        rows = access.visible_to(request.user, EmailServerProfile.objects.all())
        found = [(str(pk), name) for pk, name in rows.order_by("name").values_list("pk", "name")]
        asked = self.used_parameters.get(self.parameter_name)
        return found or ([(str(asked), asked)] if asked else [])

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        if not self.value():
            return queryset
        try:
            profile = UUID(str(self.value()))
        except ValueError:
            return queryset.none()
        of_mailboxes = Q(regarding_mailbox__email_server_profile=profile)
        return queryset.filter(of_mailboxes | Q(regarding_profile=profile))


class AlertScreen(ReadOnlyScreen):
    open_to_all = True
    list_display = ["condition", "level_badge", "subject", "code", "occurrences", "seen"]
    list_filter = [OpenFilter, "level", "code", ServerFilter]
    list_select_related = ["regarding_mailbox", "regarding_profile"]
    search_fields = ["code", "text", "regarding_mailbox__name", "regarding_profile__name"]
    list_display_links = ["condition"]
    ordering = ["-last_seen_on"]
    actions = ["clear", "snooze_day", "snooze_week", "wake"]
    fieldsets = [
        (
            None,
            {
                "description": _("What happened, why, and what to do."),
                "fields": ["level_badge", "code", "meaning", "advice", "subject"],
            },
        ),
        (
            _("Times"),
            {
                "description": _("A repeat updates the open alert in place of adding another."),
                "fields": ["occurrences", "created_on", "last_seen_on", "snoozed", "closed_on"],
            },
        ),
        (
            DETAILS,
            {
                "description": _("As the engine noted it when it happened."),
                "classes": ["collapse"],
                "fields": ["text", "error_details", "object_key", "machine_name", "trace_code"],
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> "QuerySet[Any]":
        """`opens`: whether the profile that it is about may be looked at."""
        profiles = EmailServerProfile.objects.filter(pk=OuterRef("regarding_profile"))
        opens = Exists(access.visible_to(request.user, profiles))
        rows: QuerySet[Any] = super().get_queryset(request).annotate(opens=opens)
        return rows

    def get_search_fields(self, request: HttpRequest) -> Any:
        """What isn't shown isn't searched: it would tell, letter by letter, what stands there (R8.14)."""
        fields = super().get_search_fields(request)
        everywhere = access.reach_of(request.user, EmailServerProfile) == Reach.ALL
        return fields if everywhere else [each for each in fields if each != "text"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """What the engine noted names other mailboxes of a server, which its own people may not see (R8.14)."""
        shown = super().get_fieldsets(request, obj)
        if obj is None or obj.regarding_profile_id is None or getattr(obj, "opens", False):
            return shown
        return [each for each in shown if each[0] != DETAILS]

    @admin.display(description=_("what happened"), ordering="code")
    def condition(self, alert: TraceLog) -> SafeString:
        cause = cause_of(alert.code, alert.text, alert.trace_parameters)
        return format_html(
            '<span class="row-title">{}</span> {}<span class="row-sub">{}</span>',
            cause.meaning,
            WORKLOADS.get(alert.object_key, ""),
            cause.advice,
        )

    @admin.display(description=_("meaning"))
    def meaning(self, alert: TraceLog) -> str:
        return cause_of(alert.code, alert.text, alert.trace_parameters).meaning

    @admin.display(description=_("what to do"))
    def advice(self, alert: TraceLog) -> str:
        return cause_of(alert.code, alert.text, alert.trace_parameters).advice or EMPTY

    @admin.display(description=_("about"))
    def subject(self, alert: TraceLog) -> SafeString | str:
        record = alert.regarding_object
        if record is None:
            return EMPTY
        if alert.regarding_profile_id and not getattr(alert, "opens", False):
            return str(record)
        name = record._meta.model_name
        return link(reverse(f"admin:mailboxes_{name}_change", args=[record.pk]), record)

    @admin.display(description=_("level"), ordering="level")
    def level_badge(self, alert: TraceLog) -> SafeString:
        level = badge(alert.get_level_display(), LEVEL_KIND[TraceLevel(alert.level)])
        if not (alert.is_open and alert.is_snoozed(timezone.now())):
            return level
        return format_html("{} {}", level, badge(_("snoozed"), "quiet"))

    @admin.display(description=_("snoozed"))
    def snoozed(self, alert: TraceLog) -> SafeString | str:
        if not (alert.is_open and alert.is_snoozed(timezone.now())):
            return EMPTY
        return format_html(
            str(_("{until}, by {who}; it comes back earlier if it gets worse")),
            until=moment(alert.snoozed_until),
            who=alert.snoozed_by or EMPTY,
        )

    @admin.display(description=_("last seen"), ordering="last_seen_on")
    def seen(self, alert: TraceLog) -> SafeString | str:
        return moment(alert.last_seen_on)

    @admin.display(description=_("first seen"), ordering="created_on")
    def opened(self, alert: TraceLog) -> SafeString | str:
        return moment(alert.created_on)

    @admin.action(description=_("Clear"))
    def clear(self, request: HttpRequest, queryset: "QuerySet[TraceLog]") -> None:
        if self.missing(request, "delete"):
            return
        chosen = self.within_reach(request, queryset, "delete")
        now = timezone.now()
        done = chosen.filter(closed_on__isnull=True).update(
            closed_on=now, modified_on=now, modified_by=request.user
        )
        self.message_user(
            request,
            ngettext("Cleared %(count)d alert.", "Cleared %(count)d alerts.", done)
            % {"count": done},
            messages.SUCCESS if done else messages.WARNING,
        )

    @admin.action(description=_("Snooze for a day"))
    def snooze_day(self, request: HttpRequest, queryset: "QuerySet[TraceLog]") -> None:
        self.snooze(request, queryset, timedelta(days=1))

    @admin.action(description=_("Snooze for a week"))
    def snooze_week(self, request: HttpRequest, queryset: "QuerySet[TraceLog]") -> None:
        self.snooze(request, queryset, timedelta(weeks=1))

    @admin.action(description=_("End snoozing"))
    def wake(self, request: HttpRequest, queryset: "QuerySet[TraceLog]") -> None:
        self.snooze(request, queryset, None)

    def snooze(
        self, request: HttpRequest, queryset: "QuerySet[TraceLog]", lasting: timedelta | None
    ) -> None:
        """Needs what clearing needs: both take an alert off everybody's wall."""
        if self.missing(request, "delete"):
            return
        chosen = self.within_reach(request, queryset, "delete")
        now = timezone.now()
        until = None if lasting is None else now + lasting
        done = alerts.snooze(chosen, until, by=actor_of(request), now=now)
        words = (
            ngettext("%(count)d alert is back.", "%(count)d alerts are back.", done)
            if until is None
            else ngettext("Snoozed %(count)d alert.", "Snoozed %(count)d alerts.", done)
        )
        kind = messages.SUCCESS if done else messages.WARNING
        self.message_user(request, words % {"count": done}, kind)


class AddressScreen(ReadOnlyScreen):
    """The index of addresses: what an address stands for."""

    list_display = ["email_address", "parent_type", "email_column_number", "parent_id"]
    list_filter = ["parent_type"]
    list_select_related = ["parent_type"]
    search_fields = ["=email_address"]
    ordering = ["email_address"]
