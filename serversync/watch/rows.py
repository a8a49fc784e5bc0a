"""The rows of a process that listens: itself, which mailboxes it has taken, what it knows of each.

A process says each few seconds that it lives. One that doesn't is removed by whoever notices first, which frees
its mailboxes for the others. So what is written while all is quiet is one row a process, however many mailboxes.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import random
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Case, DateTimeField, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.utils import timezone

from mailboxes.choices import Operation, ServerType, StateCode
from mailboxes.connect import Direction, account_key, connection_cap
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import INBOX
from serversync.choices import WorkloadState
from serversync.leases import this_worker
from serversync.models import MailboxWatch, WatchProcess, Workload
from serversync.waking import wake
from serversync.watch.choice import (
    PERMANENT_SECONDS,
    Candidate,
    Setback,
    choose,
    failures_after,
    pause_after,
)

#: Claims take turns on PostgreSQL, so that two processes can't both take an account's last connection.
CLAIM_LOCK = 0x7761746368
#: What can tell by itself, and of which workloads.
TELLING = {
    Operation.INCOMING: [
        kind for kind in ServerType if kind.is_exchange or kind == ServerType.IMAP_SMTP
    ],
    Operation.ACT: [kind for kind in ServerType if kind.is_exchange],
}

TAKING = ["process", "account", "since"]
REFUSAL = ["last_error_code", "last_error_text", "last_error_at", "retry_at"]


class Superseded(Exception):
    """This process was taken for dead, and others listen in its place."""


# -- the process ---------------------------------------------------------------------------------------


def register(now: datetime) -> UUID:
    return WatchProcess.objects.create(name=this_worker(), started_at=now, seen_at=now).pk


def show_up(process: UUID, now: datetime, lease: timedelta) -> int:
    """Say that this process lives, and remove those that don't; returns how many. Raises Superseded."""
    if not WatchProcess.objects.filter(pk=process).update(seen_at=now):
        raise Superseded
    gone = WatchProcess.objects.filter(seen_at__lt=now - lease)
    return gone.delete()[0] if gone.exists() else 0


def leave(process: UUID) -> None:
    """At the end: the mailboxes are free at once."""
    WatchProcess.objects.filter(pk=process).delete()


# -- which mailboxes -----------------------------------------------------------------------------------


def tellable(now: datetime | None = None) -> Q:
    """Of mailboxes: a workload runs there whose server can tell. `now`: and none of a pause is left."""
    found = Q()
    for operation, kinds in TELLING.items():
        rows = Workload.objects.filter(
            mailbox=OuterRef("pk"), operation=operation, enabled=True
        ).exclude(state=WorkloadState.DISABLED)
        if now is not None:
            rows = rows.filter(Q(postponed_until__isnull=True) | Q(postponed_until__lte=now))
        found |= Q(Exists(rows), email_server_profile__server_type__in=kinds)
    return found & Q(
        state_code=StateCode.ACTIVE,
        email_server_profile__state_code=StateCode.ACTIVE,
        email_server_profile__push=True,
    )


def free(now: datetime) -> "QuerySet[Mailbox]":
    """Nobody listens, and somebody might."""
    was_changed = Q(modified_on__gt=F("watch__last_error_at")) | Q(
        email_server_profile__modified_on__gt=F("watch__last_error_at")
    )
    may_try = Q(watch__retry_at__isnull=True) | Q(watch__retry_at__lte=now) | was_changed
    return Mailbox.objects.filter(tellable(now), may_try, watch__process__isnull=True)


def take(process: UUID, room: int, now: datetime) -> list[UUID]:
    """At most `room` mailboxes, which this process is to listen to from now on."""
    organization = Organization.objects.current()
    with transaction.atomic():
        _take_turns()
        found = list(free(now).select_related("email_server_profile").order_by("pk")[: 2 * room])
        candidates = [_candidate(mailbox, organization) for mailbox in found]
        choice = choose(candidates, _used({each.account for each in candidates}), room)
        later = now + timedelta(seconds=PERMANENT_SECONDS)
        refused = (
            MailboxWatch(mailbox_id=key, last_error_code=code, last_error_at=now, retry_at=later)
            for key, code in choice.refused.items()
        )
        _write(refused, REFUSAL)
        taken = (
            MailboxWatch(mailbox_id=key, process_id=process, account=account)
            for key, account in choice.taken.items()
        )
        _write(taken, TAKING)
    return list(choice.taken)


def to_leave(process: UUID) -> list[UUID]:
    """What it listens to and shall no more, or by other settings than before."""
    held = Mailbox.objects.filter(watch__process=process)
    was_changed = Q(modified_on__gt=F("watch__since")) | Q(
        email_server_profile__modified_on__gt=F("watch__since")
    )
    return list(held.filter(~tellable() | was_changed).values_list("pk", flat=True))


def give_back(process: UUID, mailbox_ids: Iterable[UUID]) -> None:
    MailboxWatch.objects.filter(process=process, mailbox_id__in=list(mailbox_ids)).update(
        process=None, since=None, retry_at=None
    )


def _take_turns() -> None:
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIM_LOCK])


def _candidate(mailbox: Mailbox, organization: Organization) -> Candidate:
    profile = mailbox.email_server_profile
    assert profile is not None  # `tellable` asks for it
    return Candidate(
        mailbox.pk,
        account_key(mailbox, profile, Direction.INCOMING),
        connection_cap(profile, organization, Direction.INCOMING),
    )


def _used(accounts: set[str]) -> Counter[str]:
    rows = MailboxWatch.objects.filter(process__isnull=False, account__in=accounts)
    return Counter(rows.values_list("account", flat=True))


def _write(rows: Iterable[MailboxWatch], columns: list[str]) -> None:
    """What is known from earlier stays in the other columns."""
    MailboxWatch.objects.bulk_create(
        rows, update_conflicts=True, unique_fields=["mailbox"], update_fields=columns
    )


# -- what becomes of each ------------------------------------------------------------------------------


def connected(process: UUID, since: Mapping[UUID, datetime]) -> None:
    """`since`: from when on a change of the settings means to open it anew."""
    if not since:
        return
    whens = (When(mailbox_id=key, then=Value(at)) for key, at in since.items())
    MailboxWatch.objects.filter(process=process, mailbox_id__in=since).update(
        since=Case(*whens, output_field=DateTimeField()), retry_at=None
    )


def failed(process: UUID, setbacks: Mapping[UUID, Setback], now: datetime) -> None:
    """Free each, and say when it is tried again."""
    with transaction.atomic():
        rows = MailboxWatch.objects.select_for_update().filter(
            process=process, mailbox_id__in=setbacks
        )
        for row in rows:
            setback = setbacks[row.mailbox_id]
            row.failures = failures_after(setback, row.failures)
            wait = pause_after(setback, row.failures, random())
            row.process, row.since = None, None
            row.retry_at = now + timedelta(seconds=wait)
            row.last_error_code, row.last_error_at = setback.code, now
            row.last_error_text = setback.text[:2048]
            row.save()


@dataclass(frozen=True, slots=True)
class News:
    """Something happened in a folder of that workload."""

    mailbox_id: UUID
    operation: Operation


def operation_of(folder: str) -> Operation:
    return Operation.INCOMING if folder == INBOX else Operation.ACT


def pass_on(news: Sequence[News], now: datetime | None = None) -> int:
    """Make the workloads due at once; returns how many can run."""
    now = now or timezone.now()
    woken = 0
    with transaction.atomic():
        MailboxWatch.objects.filter(mailbox_id__in={each.mailbox_id for each in news}).update(
            last_event_at=now, events=F("events") + 1
        )
        for operation in TELLING:
            ids = {each.mailbox_id for each in news if each.operation == operation}
            woken += wake(ids, operation, now) if ids else 0
    return woken
