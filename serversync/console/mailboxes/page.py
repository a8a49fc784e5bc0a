"""The page of a mailbox: what the engine knows of it, beside its settings."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse

from mailboxes import access
from mailboxes.alerts import OUTAGE
from mailboxes.causes import Cause, cause_of
from mailboxes.choices import CredentialRetrieval, Operation
from mailboxes.connect import Direction, retrieval_of
from mailboxes.eligibility import Verdict, eligible, facts_of, is_server_side
from mailboxes.models import Mailbox, Organization, TraceLog
from mailboxes.places import is_kept_back
from mailboxes.screens import version_words
from mailboxes.signin import may_sign_in
from serversync.choices import ItemState
from serversync.console.health import KIND, MEANING, Health, organization_of
from serversync.console.mailboxes.columns import midnight
from serversync.console.mailboxes.steps import Probe, Step, probe_of, read_step
from serversync.console.signin import SignIn, sign_in_of
from serversync.models import FolderCursor, MailboxStatistics, ServerAction, SyncItem, Workload

LATEST = 10


@dataclass(frozen=True, slots=True)
class Channel:
    """One workload of a mailbox, for its page."""

    operation: Operation
    used: bool
    row: Workload
    verdict: Verdict
    steps: list[Step]
    error: Cause | None
    probe: Probe | None = None

    @property
    def kind(self) -> str:
        if self.verdict.ok:
            return "good"
        if not self.used:
            return "quiet"
        return "warn" if self.verdict.code in ("NotTested", "Postponed", "InProgress") else "bad"


@dataclass(frozen=True, slots=True)
class StateCount:
    state: ItemState
    today: int
    total: int
    url: str


@dataclass(frozen=True, slots=True)
class Panel:
    """All that the mailbox page shows beside the form."""

    health: Health
    health_kind: str
    meaning: Any
    channels: list[Channel]
    counts: list[StateCount]
    before_start: int
    items: list[SyncItem]
    reads_subjects: bool
    cycles: list[MailboxStatistics]
    folders: list[FolderCursor]
    sign_in: SignIn | None
    may_connect: bool
    kept_back: bool
    endpoint: Any
    alerts: list[tuple[TraceLog, Cause]]
    pending_actions: int
    items_url: str
    cycles_url: str
    alerts_url: str

    @property
    def version(self) -> str:
        return version_words(self.endpoint.version) if self.endpoint else ""


def panel_of(request: HttpRequest, mailbox: Any, now: datetime) -> Panel:
    organization = organization_of(request)
    items = reverse("admin:serversync_syncitem_changelist") + f"?mailbox__id__exact={mailbox.pk}"
    folders = list(FolderCursor.objects.filter(mailbox=mailbox).order_by("-generation", "folder"))
    health = Health(mailbox.health)
    alerts = _alerts_of(request, mailbox)
    return Panel(
        health=health,
        health_kind=KIND[health],
        meaning=MEANING[health],
        channels=[_channel(mailbox, operation, organization, now) for operation in Operation],
        counts=_counts(mailbox, items, now),
        before_start=sum(folder.before_start for folder in folders),
        items=list(
            SyncItem.objects.filter(mailbox=mailbox).defer("trace").order_by("-decided_at")[:LATEST]
        ),
        reads_subjects=access.may_read_content(request.user, mailbox),
        cycles=list(MailboxStatistics.objects.filter(mailbox=mailbox)[:LATEST]),
        folders=folders,
        sign_in=sign_in_of(mailbox, now),
        may_connect=may_sign_in(request.user, mailbox),  # type: ignore[arg-type]
        kept_back=_is_kept_back(mailbox),
        endpoint=getattr(mailbox, "discovered_endpoint", None),
        alerts=[
            (alert, cause_of(alert.code, alert.text, alert.trace_parameters))
            for alert in alerts.order_by("-level", "-last_seen_on")[:LATEST]
        ],
        pending_actions=ServerAction.objects.filter(mailbox=mailbox, state="pending").count(),
        items_url=items,
        cycles_url=reverse("admin:serversync_mailboxstatistics_changelist")
        + f"?mailbox__id__exact={mailbox.pk}",
        alerts_url=reverse("admin:mailboxes_tracelog_changelist")
        + f"?regarding_mailbox__id__exact={mailbox.pk}",
    )


def _alerts_of(request: HttpRequest, mailbox: Mailbox) -> "QuerySet[TraceLog]":
    """Its own, and what is wrong with its server, as far as the reader may see that (R8.12, R8.14)."""
    of_server = Q(
        regarding_profile=mailbox.email_server_profile_id,
        regarding_profile__isnull=False,
        object_key__in=["", OUTAGE],
    )
    rows = TraceLog.objects.filter(Q(regarding_mailbox=mailbox) | of_server, closed_on__isnull=True)
    return access.visible_to(request.user, rows)


def _is_kept_back(mailbox: Mailbox) -> bool:
    """Whether its password would be used, were it not kept back."""
    profile = mailbox.email_server_profile
    if profile is None or not mailbox.password:
        return False
    used = (retrieval_of(profile, direction) for direction in Direction)
    return CredentialRetrieval.USER_OR_QUEUE in used and is_kept_back(mailbox, profile)


def _channel(
    mailbox: Any, operation: Operation, organization: Organization, now: datetime
) -> Channel:
    row = mailbox.workload(operation) or Workload(mailbox=mailbox, operation=operation)
    return Channel(
        operation=operation,
        used=is_server_side(mailbox, operation),
        row=row,
        verdict=eligible(facts_of(mailbox, row, organization), now),
        steps=[read_step(step) for step in row.test_steps],
        error=cause_of(row.last_error_code, row.last_error_text) if row.last_error_code else None,
        probe=probe_of(row),
    )


def _counts(mailbox: Any, url: str, now: datetime) -> list[StateCount]:
    rows = (
        SyncItem.objects.filter(mailbox=mailbox)
        .order_by()
        .values("state")
        .annotate(
            total=Count("pk"),
            today=Count("pk", filter=Q(decided_at__gte=midnight(now))),
        )
    )
    found: dict[str, Any] = {row["state"]: row for row in rows}
    return [
        StateCount(
            state,
            found.get(state, {}).get("today", 0),
            found.get(state, {}).get("total", 0),
            f"{url}&state={state.value}",
        )
        for state in ItemState
    ]
