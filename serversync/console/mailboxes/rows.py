"""The engine's own rows of a mailbox: cycles, workloads, folders, actions on the server."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from mailboxes.models import Mailbox
from mailboxes.screens import EMPTY, ReadOnlyScreen, badge, link, moment
from serversync.choices import counted_as
from serversync.console.narrowing import DisabledSince, ErrorCode, OfProfile, StandingFilter
from serversync.models import FolderCursor, MailboxStatistics, ServerAction, Workload


class MailboxFilter(admin.RelatedFieldListFilter):
    """Mailboxes in sight, without looking through a million rows for those that occur."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> Any:
        rows = access.visible_to(request.user, Mailbox.objects.order_by("name"), "view")
        return list(rows.values_list("pk", "name"))


class OfMailbox(ReadOnlyScreen):
    """Rows that explain a mailbox: seen by whoever sees the mailbox."""

    open_to_all = True
    list_select_related = ["mailbox"]
    search_fields = ["mailbox__name", "mailbox__email_address"]

    @admin.display(description=_("mailbox"), ordering="mailbox__name")
    def mailbox_link(self, row: Any) -> SafeString:
        return link(reverse("admin:mailboxes_mailbox_change", args=[row.mailbox_id]), row.mailbox)


class CycleConsole(OfMailbox):
    list_display = [
        "started", "mailbox_link", "operation_type", "result", "items_processed", "items_failed",
        "duration", "machine_name",
    ]  # fmt: skip
    list_filter = [
        "operation_type",
        "process_result",
        ("mailbox", MailboxFilter),
        ("mailbox_process_started_on", admin.DateFieldListFilter),
        ErrorCode,
        OfProfile,
    ]
    ordering = ["-mailbox_process_started_on"]

    @admin.display(description=_("started"), ordering="mailbox_process_started_on")
    def started(self, cycle: MailboxStatistics) -> SafeString | str:
        return moment(cycle.mailbox_process_started_on)

    @admin.display(description=_("result"))
    def result(self, cycle: MailboxStatistics) -> SafeString:
        if not cycle.process_result:
            return badge(cycle.error_code or _("Failed"), "bad")
        words = ", ".join(
            f"{count} {counted_as(state)}" for state, count in cycle.items_by_state.items() if count
        )
        return format_html("{} {}", badge(_("Success"), "good"), words)

    @admin.display(description=_("took"))
    def duration(self, cycle: MailboxStatistics) -> str:
        span = cycle.mailbox_process_completed_on - cycle.mailbox_process_started_on
        return f"{span.total_seconds():.1f} s"


class WorkloadConsole(OfMailbox):
    list_display = [
        "mailbox_link", "operation", "enabled", "state", "state_code", "consecutive_failures",
        "next", "last_success", "last_duration_ms", "lease_holder",
    ]  # fmt: skip
    list_display_links = ["operation"]
    list_filter = [
        StandingFilter, "operation", "enabled", "state", "test_status", "state_code",
        ("mailbox", MailboxFilter), DisabledSince, OfProfile,
    ]  # fmt: skip
    ordering = ["mailbox__name", "operation"]
    exclude = ["lease_token"]

    @admin.display(description=_("next run"), ordering="next_run_at")
    def next(self, row: Workload) -> SafeString | str:
        return moment(row.next_run_at) if row.enabled else EMPTY

    @admin.display(description=_("last success"), ordering="last_success_at")
    def last_success(self, row: Workload) -> SafeString | str:
        return moment(row.last_success_at)


class FolderConsole(OfMailbox):
    list_display = [
        "mailbox_link", "folder", "generation", "server_total", "before_start", "watermark",
        "resets", "checked",
    ]  # fmt: skip
    list_display_links = ["folder"]
    ordering = ["mailbox__name", "folder"]

    @admin.display(description=_("checked"), ordering="checked_at")
    def checked(self, row: FolderCursor) -> SafeString | str:
        return moment(row.checked_at)


class ServerActionConsole(OfMailbox):
    list_display = [
        "decided", "mailbox_link", "kind", "argument", "state", "attempts", "receipt", "last_error",
    ]  # fmt: skip
    list_filter = ["state", "kind", ("mailbox", MailboxFilter)]
    list_select_related = ["mailbox", "item"]
    ordering = ["-created_on"]

    @admin.display(description=_("decided"), ordering="created_on")
    def decided(self, row: ServerAction) -> SafeString | str:
        return moment(row.created_on)
