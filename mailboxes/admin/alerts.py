"""Alerts, and the index of addresses."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailboxes.causes import cause_of
from mailboxes.choices import Operation, TraceLevel
from mailboxes.models import (
    TraceLog,
)
from mailboxes.screens import (
    EMPTY,
    ReadOnlyScreen,
    badge,
    link,
    moment,
)

LEVEL_KIND = {
    TraceLevel.INFORMATION: "info",
    TraceLevel.WARNING: "warn",
    TraceLevel.ERROR: "bad",
}

#: Alerts about one workload of a mailbox name it in their object.
WORKLOADS = {operation.name.lower(): operation.label for operation in Operation}


class OpenFilter(admin.SimpleListFilter):
    """Open ones unless asked otherwise: the wall shows what is to be done."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("cleared", _("Cleared")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        everything, *others = super().choices(changelist)
        yield {**everything, "display": _("Open")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        if self.value() == "all":
            return queryset
        return queryset.filter(closed_on__isnull=self.value() != "cleared")


class AlertScreen(ReadOnlyScreen):
    open_to_all = True
    list_display = ["condition", "level_badge", "subject", "code", "occurrences", "seen"]
    list_filter = [OpenFilter, "level", "code"]
    list_select_related = ["regarding_mailbox", "regarding_profile"]
    search_fields = ["code", "text", "regarding_mailbox__name", "regarding_profile__name"]
    list_display_links = ["condition"]
    ordering = ["-last_seen_on"]
    actions = ["clear"]
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
                "fields": ["occurrences", "created_on", "last_seen_on", "closed_on"],
            },
        ),
        (
            _("Details"),
            {
                "description": _("As the engine noted it when it happened."),
                "classes": ["collapse"],
                "fields": ["text", "error_details", "object_key", "machine_name", "trace_code"],
            },
        ),
    ]

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
        name = record._meta.model_name
        return link(reverse(f"admin:mailboxes_{name}_change", args=[record.pk]), record)

    @admin.display(description=_("level"), ordering="level")
    def level_badge(self, alert: TraceLog) -> SafeString:
        return badge(alert.get_level_display(), LEVEL_KIND[TraceLevel(alert.level)])

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


class AddressScreen(ReadOnlyScreen):
    """The index of addresses: what an address stands for."""

    list_display = ["email_address", "parent_type", "email_column_number", "parent_id"]
    list_filter = ["parent_type"]
    list_select_related = ["parent_type"]
    search_fields = ["=email_address"]
    ordering = ["email_address"]
