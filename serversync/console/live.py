"""What runs now and what runs next: on pages as they are made, and for the script that keeps them fresh."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from django.core.exceptions import ValidationError
from django.db.models import F, Q
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as __
from django.utils.translation import ngettext

from mailboxes import access
from mailboxes.choices import Operation, StateCode
from mailboxes.eligibility import is_server_side
from mailboxes.models import Mailbox
from mailboxes.screens import distance
from serversync.choices import WorkloadState
from serversync.console.charts.drawing import duration
from serversync.leases import is_free, is_running
from serversync.models import Workload
from serversync.standing import is_used

if TYPE_CHECKING:
    from django.contrib.admin import AdminSite

SHOWN = 10
COLUMNS = (
    *("operation", "enabled", "state", "next_run_at", "postponed_until", "run_requested_at"),
    *("lease_expires_at", "last_started_at", "items_so_far", "last_success_at", "last_duration_ms"),
    *("last_items_processed", "last_items_failed", "last_error_code", "last_error_at"),
    *("mailbox__name", "mailbox__state_code", "mailbox__email_server_profile__state_code"),
    *("mailbox__incoming_email_delivery_method", "mailbox__outgoing_email_delivery_method"),
    "mailbox__act_delivery_method",
)
COUNTED = 200  # of those that aren't shown


@dataclass(frozen=True, slots=True)
class Line:
    """One workload: `busy` while it runs or waits for a worker."""

    key: int
    mailbox: str
    url: str
    workload: str
    words: str
    busy: bool


@dataclass(frozen=True, slots=True)
class Live:
    """`more`: lines that are not shown."""

    lines: Sequence[Line]
    more: int
    url: str

    @property
    def busy(self) -> bool:
        return any(line.busy for line in self.lines)


def urls(site: "AdminSite") -> list[Any]:
    return [path("live/", site.admin_view(answer), name="live")]


def answer(request: HttpRequest) -> HttpResponse:
    """What the script asks for every few seconds."""
    now = timezone.now()
    if key := request.GET.get("mailbox", ""):
        live = of_mailbox(request, key, now)
    else:
        live = running(request, now, request.GET.get("profile", ""))
    lines = [
        {
            "key": line.key,
            "mailbox": line.mailbox,
            "url": line.url,
            "workload": line.workload,
            "words": line.words,
            "busy": line.busy,
        }
        for line in live.lines
    ]
    return JsonResponse({"lines": lines, "more": more_words(live.more)})


def running(request: HttpRequest, now: datetime, profile: Any = "") -> Live:
    """What runs, longest first: everywhere, or in the mailboxes of one profile. One statement."""
    rows = _seen(request).filter(is_running(now))
    url = reverse("admin:live")
    if profile:
        rows, url = _of_profile(rows, profile), f"{url}?profile={quote(str(profile))}"
    found = list(rows.order_by("last_started_at", "pk")[:COUNTED])
    lines = [line_of(row, now) for row in found[:SHOWN]]
    return Live(lines, len(found) - len(lines), url)


def _of_profile(rows: Any, key: Any) -> Any:
    try:
        return rows.filter(mailbox__email_server_profile=key)
    except ValidationError:
        return rows.none()


def of_mailbox(request: HttpRequest, key: Any, now: datetime) -> Live:
    """Each workload of one mailbox that is used. One statement."""
    try:
        rows = (
            _seen(request)
            .filter(mailbox=key)
            .select_related("mailbox__email_server_profile")
            .order_by("operation")
        )
        lines = [
            line_of(row, now)
            for row in rows
            if is_server_side(row.mailbox, Operation(row.operation))
        ]
    except ValidationError:
        lines = []
    return Live(lines, 0, f"{reverse('admin:live')}?mailbox={quote(str(key))}")


def next_runs(request: HttpRequest, now: datetime, **which: Any) -> list[tuple[Workload, bool]]:
    """What runs next by itself, soonest first, and whether its time has come. One statement."""
    rows = _seen(request).filter(
        is_used(),
        is_free(now),
        Q(postponed_until__isnull=True) | Q(postponed_until__lte=F("next_run_at")),
        enabled=True,
        mailbox__state_code=StateCode.ACTIVE,
        mailbox__email_server_profile__state_code=StateCode.ACTIVE,
        **which,
    )
    rows = rows.exclude(state=WorkloadState.DISABLED).select_related(
        "mailbox__email_server_profile"
    )
    return [(row, row.next_run_at <= now) for row in rows.order_by("next_run_at", "pk")[:SHOWN]]


def _seen(request: HttpRequest) -> Any:
    """Without what a profile and a mailbox have beside: secrets, and forty columns."""
    rows = access.visible_to(request.user, Workload.objects.all(), "view")
    return rows.select_related("mailbox__email_server_profile").only(*COLUMNS)


def line_of(row: Workload, now: datetime) -> Line:
    words, busy = words_of(row, now)
    return Line(
        key=row.pk,
        mailbox=row.mailbox.name,
        url=reverse("admin:mailboxes_mailbox_change", args=[row.mailbox_id]),
        workload=str(Operation(row.operation).label),
        words=words,
        busy=busy,
    )


def more_words(more: int) -> str:
    return (
        ngettext("and %(count)d more", "and %(count)d more", more) % {"count": more} if more else ""
    )


def words_of(row: Workload, now: datetime) -> tuple[str, bool]:
    """What a workload does, and whether that will change in a moment."""
    if row.is_leased(now):
        return _running(row, now), True
    if not row.enabled:
        return __("is switched off"), False
    if not _stands_ready(row.mailbox):
        return __("stands still: its mailbox or its server profile is inactive"), False
    if row.run_requested_at is not None or max(row.next_run_at, _paused(row)) <= now:
        return __("waits for a worker"), True
    return f"{_last(row, now)} {_next(row, now)}".strip(), False


def _stands_ready(mailbox: Mailbox) -> bool:
    profile = mailbox.email_server_profile
    return mailbox.is_active_state and profile is not None and profile.is_active_state


def _running(row: Workload, now: datetime) -> str:
    began = row.last_started_at or now
    items = ngettext("%(count)d item so far", "%(count)d items so far", row.items_so_far)
    since = duration(max(1, (now - began).total_seconds() // 1) * 1000)
    return __("runs for %(time)s, %(items)s") % {
        "time": since,
        "items": items % {"count": row.items_so_far},
    }


def _paused(row: Workload) -> datetime:
    return row.postponed_until or row.next_run_at


def _last(row: Workload, now: datetime) -> str:
    failed, succeeded = row.last_error_at, row.last_success_at
    if row.last_error_code and failed is not None:
        words = __("Failed %(when)s: %(code)s.")
        return words % {"when": distance(failed, now), "code": row.last_error_code}
    if succeeded is None:
        return ""
    number = row.last_items_processed + row.last_items_failed
    items = ngettext("%(count)d item", "%(count)d items", number) % {"count": number}
    words = __("Done %(when)s: %(items)s in %(time)s.")
    return words % {
        "when": distance(succeeded, now),
        "items": items,
        "time": duration(row.last_duration_ms),
    }


def _next(row: Workload, now: datetime) -> str:
    return __("Next %(when)s.") % {"when": distance(max(row.next_run_at, _paused(row)), now)}
