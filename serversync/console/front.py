"""The front page: how the mailboxes are, what failed, what needs a person, today's mail.

Everything is counted over the rows that the user may see, in a fixed number of statements.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from activities.choices import EmailStatus
from activities.models import Email, QueueItem
from mailboxes import access
from mailboxes.alerts import awake
from mailboxes.causes import Cause, cause_of
from mailboxes.choices import StateCode, TraceLevel
from mailboxes.models import Mailbox, Organization, TraceLog
from serversync.act.choices import BatchState, DecisionAnswer
from serversync.choices import ItemState, SubmissionState
from serversync.clusters import LATE
from serversync.console import live
from serversync.console.charts import cards
from serversync.console.health import KIND, Health, with_health
from serversync.console.navigation import in_doubt
from serversync.console.pushed import listeners
from serversync.console.signin import own_to_connect
from serversync.console.wizard.begin import First, first_steps
from serversync.models import (
    Cluster,
    ExchangeSyncIdMapping,
    MailboxStatistics,
    ParkedBatch,
    Submission,
    SyncItem,
    WatchProcess,
    Workload,
)
from serversync.standing import is_overdue
from tracking.choices import FolderState
from tracking.models import MailboxTrackingFolder

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

SHOWN = 8  # rows of each table; the rest is one click away


@dataclass(frozen=True, slots=True)
class Figure:
    """A number that leads to the list behind it. `kind`: how it looks when it isn't zero."""

    number: int
    words: Any
    url: str
    kind: str = ""
    advice: Any = ""

    @property
    def css(self) -> str:
        return f"is-{self.kind}" if self.number and self.kind else "" if self.number else "is-zero"


@dataclass(frozen=True, slots=True)
class Failed:
    """An open error: what it is about, why, and what to do."""

    alert: TraceLog
    url: str
    subject: Any
    subject_url: str
    cause: Cause


def overview(site: "AdminSite", request: HttpRequest, now: datetime) -> dict[str, Any]:
    organization = Organization.objects.current()
    midnight = timezone.localtime(now).replace(hour=0, minute=0, second=0, microsecond=0)
    health = _health(site, request, organization)
    return {
        "health": health,
        "failures": _failures(site, request),
        "needed": _needed(site, request, health),
        "today": _today(site, request, midnight),
        "cycles": _cycles(site, request),
        "overdue": _overdue(site, request, now),
        "charts": _charts(site, request, now),
        **_live(site, request, now),
        "to_connect": own_to_connect(request.user, now),
        "first_steps": _first_steps(request, organization, health),
    }


def _charts(site: "AdminSite", request: HttpRequest, now: datetime) -> cards.Charts:
    countable = _rows(site, request, MailboxStatistics) is not None
    return cards.of_site(
        workloads=_rows(site, request, Workload),
        cycles=cards.Cycles.seen_by(request.user) if countable else None,
        emails=_rows(site, request, Email),
        span=cards.span_of(request.GET.get("span")),
        now=now,
    )


def _live(site: "AdminSite", request: HttpRequest, now: datetime) -> dict[str, Any]:
    if _rows(site, request, Workload) is None:
        return {}
    clusters = access.visible_to(request.user, Cluster.objects.all(), "view")
    return {
        "live": live.running(request, now),
        "next_runs": live.next_runs(request, now),
        "clusters": [(cluster, cluster.seen_at <= now - LATE) for cluster in clusters],
        "listeners": listeners(
            access.visible_to(request.user, WatchProcess.objects.all(), "view"), now
        ),
    }


def _rows(site: "AdminSite", request: HttpRequest, model: Any) -> "QuerySet[Any] | None":
    """What this user may see of a table; None if they may not open its screen at all."""
    screen = site._registry.get(model)
    if screen is None or not screen.has_view_or_change_permission(request):
        return None
    rows: QuerySet[Any] = access.visible_to(request.user, model._default_manager.all(), "view")
    return rows


def _first_steps(
    request: HttpRequest, organization: Organization, health: list[Figure]
) -> list[First]:
    """Until something runs; where the counts say that it does, nothing more is asked."""
    runs = {Health.HEALTHY.label, Health.PAUSED.label}
    if any(figure.number and figure.words in runs for figure in health):
        return []
    return first_steps(request, organization)


def _list(label: str, query: str = "") -> str:
    url = reverse(f"admin:{label.replace('.', '_').lower()}_changelist")
    return f"{url}?{query}" if query else url


def _health(site: "AdminSite", request: HttpRequest, organization: Organization) -> list[Figure]:
    rows = _rows(site, request, Mailbox)
    if rows is None:
        return []
    counted = with_health(rows, organization).values("health").annotate(n=Count("pk")).order_by()
    numbers = {row["health"]: row["n"] for row in counted}
    return [
        Figure(
            numbers.get(state, 0),
            state.label,
            _list("mailboxes.Mailbox", f"health={state.value}"),
            KIND[state],
        )
        for state in Health
    ]


def _failures(site: "AdminSite", request: HttpRequest) -> list[Failed] | None:
    rows = _rows(site, request, TraceLog)
    if rows is None:
        return None
    alerts = (
        rows.filter(awake(timezone.now()), level=TraceLevel.ERROR)
        .select_related("regarding_mailbox", "regarding_profile")
        .order_by("-last_seen_on")[:SHOWN]
    )
    found = []
    for alert in alerts:
        subject = alert.regarding_object
        found.append(
            Failed(
                alert,
                reverse("admin:mailboxes_tracelog_change", args=[alert.pk]),
                subject,
                reverse(f"admin:mailboxes_{subject._meta.model_name}_change", args=[subject.pk])
                if subject is not None
                else "",
                cause_of(alert.code, alert.text, alert.trace_parameters),
            )
        )
    return found


def _needed(site: "AdminSite", request: HttpRequest, health: list[Figure]) -> list[Figure]:
    """Only what is not zero: an empty list is good news."""
    needed = []
    by_state = {figure.words: figure for figure in health}
    for state, advice in (
        (Health.WAITING, _("Check that each address belongs to its user or queue, then approve.")),
        (Health.UNTESTED, _("Test & Enable them; mail moves only after a successful test.")),
    ):
        figure = by_state.get(state.label)
        if figure is not None:
            needed.append(Figure(figure.number, _WAITING[state], figure.url, figure.kind, advice))
    if (alerts := _rows(site, request, TraceLog)) is not None:
        needed.append(
            Figure(
                alerts.filter(awake(timezone.now()), level=TraceLevel.ERROR).count(),
                _("Open error alerts"),
                _list("mailboxes.TraceLog", f"level__exact={TraceLevel.ERROR}"),
                "bad",
                _("Each says what happened and what to do; clear it when it is dealt with."),
            )
        )
    if (items := _rows(site, request, SyncItem)) is not None:
        needed.append(
            Figure(
                items.filter(state=ItemState.QUARANTINED).count(),
                _("Quarantined items"),
                reverse("admin:quarantine"),
                "bad",
                _("They failed for good. Look at the reason, then retry, download or dismiss."),
            )
        )
    if (parked := _rows(site, request, ParkedBatch)) is not None:
        needed.append(
            Figure(
                parked.filter(state=BatchState.WAITING).count(),
                _("Batches that wait for approval"),
                _list("serversync.ParkedBatch", f"state__exact={BatchState.WAITING}"),
                "warn",
                _("Look at what would happen to appointments, contacts and tasks (R6.46)."),
            )
        )
    if (links := _rows(site, request, ExchangeSyncIdMapping)) is not None:
        asked = links.exclude(question="").filter(user_decision=DecisionAnswer.NONE)
        needed.append(
            Figure(
                asked.count(),
                _("Questions of the synchronization"),
                reverse("admin:act_questions"),
                "warn",
                _("Both sides stand next to each other; one click answers (R8.17)."),
            )
        )
    if (rules := _rows(site, request, MailboxTrackingFolder)) is not None:
        off = [state for state in FolderState if state != FolderState.ACTIVE]
        needed.append(
            Figure(
                rules.filter(state__in=off).count(),
                _("Folder rules that are off"),
                _list("tracking.MailboxTrackingFolder", f"state__in={','.join(off)}"),
                "warn",
                _(
                    "Their folders were moved or deleted, or can't be opened. Each rule says what to do."
                ),
            )
        )
    if (submissions := _rows(site, request, Submission)) is not None:
        needed.append(
            Figure(
                submissions.filter(state=SubmissionState.UNKNOWN).count(),
                _("Emails of which nobody knows whether they left"),
                in_doubt(),
                "bad",
                _("The line broke after handing over. They are never sent again silently (R5.17)."),
            )
        )
    if (emails := _rows(site, request, Email)) is not None:
        needed.append(
            Figure(
                emails.filter(status_code=EmailStatus.FAILED).count(),
                _("Emails that could not be sent"),
                _list("activities.Email", f"status_code__exact={EmailStatus.FAILED}"),
                "bad",
                _("Correct them and send again."),
            )
        )
    if (waiting := _rows(site, request, QueueItem)) is not None:
        needed.append(
            Figure(
                waiting.filter(
                    state_code=StateCode.ACTIVE, worker_user=None, worker_team=None
                ).count(),
                _("Queue items that nobody works on"),
                _list("activities.QueueItem", "work=free"),
                "info",
                _("Pick one to work on it."),
            )
        )
    return [figure for figure in needed if figure.number]


_WAITING = {
    Health.WAITING: _("Mailboxes waiting for approval"),
    Health.UNTESTED: _("Mailboxes that are not tested"),
}


def _today(site: "AdminSite", request: HttpRequest, midnight: datetime) -> list[Figure]:
    figures = []
    day = "day=today"
    if (items := _rows(site, request, SyncItem)) is not None:
        numbers = items.filter(decided_at__gte=midnight, parent__isnull=True).aggregate(
            received=Count("pk"),
            **{state.value: Count("pk", filter=Q(state=state)) for state in ItemState},
        )
        figures.append(Figure(numbers["received"], _("Seen"), _list("serversync.SyncItem", day)))
        figures += [
            Figure(
                numbers[state.value],
                state.label,
                _list("serversync.SyncItem", f"{day}&state={state.value}"),
                kind,
            )
            for state, kind in (
                (ItemState.TRACKED, "good"),
                (ItemState.REJECTED, ""),
                (ItemState.DUPLICATE, ""),
                (ItemState.RETRYING, "warn"),
                (ItemState.QUARANTINED, "bad"),
            )
        ]
    if (emails := _rows(site, request, Email)) is not None:
        numbers = emails.aggregate(
            sent=Count("pk", filter=Q(status_code=EmailStatus.SENT, sent_on__gte=midnight)),
            waiting=Count(
                "pk", filter=Q(status_code__in=[EmailStatus.PENDING_SEND, EmailStatus.SENDING])
            ),
        )
        figures.append(
            Figure(
                numbers["sent"],
                _("Sent"),
                _list("activities.Email", f"status_code__exact={EmailStatus.SENT}"),
                "good",
            )
        )
        figures.append(
            Figure(
                numbers["waiting"],
                _("Waiting to be sent"),
                _list("activities.Email", "status_code__in=6,7"),
                "warn",
            )
        )
    return figures


def _cycles(site: "AdminSite", request: HttpRequest) -> "list[MailboxStatistics] | None":
    rows = _rows(site, request, MailboxStatistics)
    if rows is None:
        return None
    return list(
        rows.select_related("mailbox").order_by("-mailbox_process_started_on", "-pk")[:SHOWN]
    )


def _overdue(site: "AdminSite", request: HttpRequest, now: datetime) -> int:
    """Workloads that a running cluster would have taken long ago."""
    rows = _rows(site, request, Workload)
    if rows is None:
        return 0
    return rows.filter(is_overdue(now)).count()
