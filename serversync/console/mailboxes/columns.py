"""What a mailbox shows in one line: its directions, its worst trouble, its items of today."""

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import Operation, TestStatus
from mailboxes.eligibility import is_server_side
from serversync.choices import WorkloadState
from serversync.console.health import Health
from serversync.models import SyncItem, Workload

#: States in which no workload runs, whatever its own row says.
STOPPED = (Health.INACTIVE, Health.NOT_SET_UP, Health.WAITING)


def midnight(now: datetime) -> datetime:
    return timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)


def items_of_today(now: datetime) -> Coalesce:
    """How many items of a mailbox reached their state today."""
    counted = (
        SyncItem.objects.filter(mailbox=OuterRef("pk"), decided_at__gte=midnight(now))
        .order_by()
        .values("mailbox")
        .annotate(n=Count("pk"))
        .values("n")
    )
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


class HealthFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "health"

    def lookups(self, request: HttpRequest, model_admin: Any) -> Any:
        return Health.choices

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        return queryset.filter(health=self.value()) if self.value() else queryset


def direction_badge(mailbox: Any, number: int) -> SafeString:
    """Whether one direction runs: a word for the eye, the rest on hovering."""
    operation = Operation(number)
    arrow = "↓" if operation == Operation.INCOMING else "↑"
    row = mailbox.workload(operation)
    if not is_server_side(mailbox, operation) or row is None:
        kind, words = "quiet", __("not used")
    elif mailbox.health in STOPPED:
        kind, words = "quiet", __("stands still")
    elif row.state == WorkloadState.PAUSED:
        kind, words = "bad", __("paused")
    elif row.test_status == TestStatus.FAILURE or row.state == WorkloadState.DISABLED:
        kind, words = "bad", __("failed")
    elif not row.enabled:
        kind, words = "warn", __("not tested")
    elif row.consecutive_failures:
        kind, words = "bad", __("failing")
    else:
        kind, words = "good", __("runs")
    title = f"{operation.label}: {words}"
    return format_html(
        '<span class="badge badge-{}" title="{}">{} {}</span>', kind, title, arrow, words
    )


def worst(mailbox: Any) -> Workload | None:
    """The workload whose trouble is worth naming first."""
    troubled = [
        row
        for row in mailbox.workloads.all()
        if (row.last_error_code and (row.consecutive_failures or not row.enabled))
        or row.state != WorkloadState.READY
    ]
    return max(
        troubled,
        key=lambda row: (row.state != WorkloadState.READY, row.consecutive_failures),
        default=None,
    )
