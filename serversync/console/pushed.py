"""Whether a mailbox's server tells of new mail by itself, for its page: since when, or why it is only polled."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailboxes.choices import Operation
from mailboxes.conditions import explain
from mailboxes.models import Mailbox
from serversync.models import MailboxWatch, WatchProcess
from serversync.watch.choice import TOO_FEW_CONNECTIONS
from serversync.watch.rows import TELLING

#: Longer than any process that lives is silent.
SILENCE = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Push:
    """`kind`: of the badge."""

    badge: str
    kind: str
    words: str
    since: datetime | None = None
    last_event_at: datetime | None = None
    retry_at: datetime | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Listener:
    """One process that listens. `late`: it says nothing any more, and nobody has noticed but us."""

    process: WatchProcess
    listening: int
    connecting: int
    late: bool


def listeners(processes: "QuerySet[WatchProcess]", now: datetime) -> list[Listener]:
    connected = Q(watches__since__isnull=False)
    rows: Any = processes.annotate(
        listening=Count("watches", filter=connected),
        connecting=Count("watches", filter=~connected),
    ).order_by("name")
    return [
        Listener(row, row.listening, row.connecting, row.seen_at < now - SILENCE) for row in rows
    ]


def push_of(mailbox: Mailbox, now: datetime) -> Push | None:
    """None where no process listens at all: then polling is nothing to explain."""
    if not WatchProcess.objects.filter(seen_at__gte=now - SILENCE).exists():
        return None
    profile: Any = mailbox.email_server_profile
    if profile is None:
        return None
    row = MailboxWatch.objects.filter(mailbox=mailbox).first()
    if row is not None and row.process_id is not None:
        return _listening(row)
    if not profile.push:
        return _polled(_("Push is switched off on the server profile."))
    if profile.kind not in TELLING[Operation.INCOMING]:
        return _polled(_("Servers of this type don't tell of new mail by themselves."))
    if row is None or not row.last_error_code:
        return _polled(_("Nobody listens to its server so far."))
    return _polled(_why_not(row.last_error_code), row)


def _listening(row: MailboxWatch) -> Push:
    if row.since is None:
        return Push(_("Connecting"), "info", _("A connection for the server's news is being made."))
    words = ngettext(
        "Its server tells of new mail by itself (R10.1); it did so %(count)d time.",
        "Its server tells of new mail by itself (R10.1); it did so %(count)d times.",
        row.events,
    )
    told = words % {"count": row.events}
    return Push(_("Pushed"), "good", told, row.since, row.last_event_at)


def _polled(words: str, row: MailboxWatch | None = None) -> Push:
    if row is None:
        return Push(_("Polled"), "quiet", words)
    return Push(_("Polled"), "quiet", words, retry_at=row.retry_at, detail=row.last_error_text)


def _why_not(code: str) -> str:
    if code == TOO_FEW_CONNECTIONS:
        return _(
            "No connection of its account is free to listen: at most half of them may (R9.6). Raise the "
            "maximum on the server profile if the server allows more."
        )
    condition = explain(code)
    return f"{condition.meaning} {condition.advice}"
