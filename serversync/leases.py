"""Who runs a workload: at most one worker, for five minutes at a time (R9.7).

A claim is taken by the process that runs it at once, never by one that puts it into a queue: so a lease
always means "running", the connection caps count what really runs, and an emptied queue loses nothing.

    free ──claim──> leased ──renew, before every page──> leased ──finish──> free, with its next run
                       └──five minutes without renewal──> taken over by the next claim, and counted

The lease of a worker that was killed ends as soon as its machine starts another one (`end_abandoned`).
Whoever lost the lease learns it at the next `renew`, which begins each page's transaction.
"""

import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from django.db import connection, transaction
from django.db.models import (
    Case,
    Exists,
    F,
    Field,
    PositiveIntegerField,
    Q,
    QuerySet,
    UUIDField,
    Value,
    When,
    Window,
)
from django.db.models.functions import RowNumber

from mailboxes.choices import Operation
from mailboxes.connect import Direction, account_key, connection_cap
from mailboxes.models import Organization
from serversync.choices import WorkloadState
from serversync.due import SLOW_MS, Cap, DueRow, choose
from serversync.models import MailboxWatch, WatchProcess, Workload

LEASE = timedelta(minutes=5)
#: The workloads that the engine runs.
OPERATIONS = (Operation.INCOMING, Operation.OUTGOING, Operation.ACT)
#: Claims take turns on PostgreSQL, so that two workers can't both take an account's last connection.
CLAIM_LOCK = 0x73657276657273

DIRECTIONS = {
    Operation.INCOMING: Direction.INCOMING,
    Operation.OUTGOING: Direction.OUTGOING,
    Operation.ACT: Direction.INCOMING,
}


class LeaseLost(Exception):
    """Somebody else has this workload now, or nobody: write nothing more."""


class Busy(Exception):
    """The workload can't be claimed now; the text says why."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run one workload. `requested`: somebody asked for this run; `taken_over`: the last
    holder never came back; `failures`: in a row, that one included; `idle`: it is polled as ever, and had
    no mail the last time; `processed`: how much it had then."""

    workload_id: int
    mailbox_id: UUID
    operation: Operation
    token: UUID
    claimed_at: datetime | None = None
    scheduled_at: datetime | None = None
    requested: bool = False
    taken_over: bool = False
    failures: int = 0
    idle: bool = False
    processed: int = 0


#: What the choice needs to know of a workload that is due or running.
_PROFILE = "mailbox__email_server_profile__"
_COLUMNS = (
    "mailbox_id",
    "operation",
    "next_run_at",
    "run_requested_at",
    "lease_token",
    "lease_expires_at",
    "lease_holder",
    "consecutive_failures",
    "last_duration_ms",
    "last_items_processed",
    "idle_cycles",
    "mailbox__email_server_profile_id",
    f"{_PROFILE}server_type",
    f"{_PROFILE}use_same_settings_for_outgoing_connections",
    f"{_PROFILE}incoming_credential_retrieval",
    f"{_PROFILE}outgoing_credential_retrieval",
    f"{_PROFILE}max_concurrent_connections",
)


def this_worker() -> str:
    """The name under which this process holds leases."""
    return f"{socket.gethostname()}:{os.getpid()}"[:256]


def is_free(now: datetime) -> Q:
    return Q(lease_token__isnull=True) | Q(lease_expires_at__lte=now)


def is_due(now: datetime) -> Q:
    """May start by itself: enabled, its time has come, and no pause is left."""
    return (
        Q(operation__in=OPERATIONS, enabled=True, next_run_at__lte=now)
        & ~Q(state=WorkloadState.DISABLED)
        & (Q(postponed_until__isnull=True) | Q(postponed_until__lte=now))
    )


def is_running(now: datetime) -> Q:
    return Q(lease_token__isnull=False, lease_expires_at__gt=now)


def request(
    mailbox_ids: Iterable[UUID | str], operation: Operation, now: datetime, **also: Any
) -> int:
    """Make enabled workloads due at once, or again at once where one is running; returns how many."""
    return Workload.objects.filter(
        mailbox_id__in=list(mailbox_ids), operation=operation, enabled=True
    ).update(run_requested_at=now, next_run_at=now, **also)


# -- claim


def claim(
    now: datetime,
    limit: int,
    holder: str,
    *,
    organization: Organization | None = None,
    workers: int = 2,
    idle: int = 0,
) -> list[Claim]:
    """Take at most `limit` due workloads, fairly over the profiles, within every cap; and at most `idle`
    more of which no mail is expected, so that they may be polled many at once.

    Two statements, three on PostgreSQL, one more where a process listens. `workers`: how many this machine has; one of them stays free of
    workloads that are known to be slow.
    """
    organization = organization or Organization.objects.current()
    share = organization.max_mailboxes_per_profile_at_once
    with transaction.atomic():
        _take_turns()
        rows = _candidates(is_due(now) & is_free(now) | is_running(now), now, share)
        running = [row for row in rows if row.is_leased(now)]
        waiting = {row.pk: row for row in rows if not row.is_leased(now)}
        caps = {row.pk: caps_of(row, organization, workers, holder) for row in rows}
        eventful, expected = Cap("page:eventful", limit), Cap("page:idle", idle)
        choice = choose(
            [
                DueRow(
                    row.pk,
                    profile_key(row),
                    row.run_requested_at or row.next_run_at,
                    row.run_requested_at is not None,
                    (*caps[row.pk], expected if idle and is_idle(row) else eventful),
                )
                for row in waiting.values()
            ],
            _running_counts(running, caps) + _listening_counts(rows, caps),
            limit + idle,
        )
        return _take([waiting[pk] for pk in choice.chosen], is_due(now) & is_free(now), now, holder)


def claim_one(
    mailbox_id: UUID | str,
    operation: Operation,
    now: datetime,
    holder: str,
    force: bool = False,
    *,
    organization: Organization | None = None,
) -> Claim:
    """Take one workload, for a person or a command.

    `force` takes it even if it is not due, postponed, paused or not enabled; it never takes it from
    another worker and never exceeds the connections of an account. Raises Busy, Workload.DoesNotExist.
    """
    organization = organization or Organization.objects.current()
    wanted = is_free(now) if force else is_free(now) & is_due(now)
    with transaction.atomic():
        _take_turns()
        this = Q(mailbox_id=mailbox_id, operation=operation)
        rows = _candidates(this | is_running(now), now)
        row = next(
            (r for r in rows if str(r.mailbox_id) == str(mailbox_id) and r.operation == operation),
            None,
        )
        if row is None:
            raise Workload.DoesNotExist(f"{mailbox_id} {operation!r}")
        if row.is_leased(now):
            raise Busy(f"It is running now, in worker {row.lease_holder}.")
        caps = {r.pk: caps_of(r, organization, 0, holder) for r in rows}
        counts = _running_counts([r for r in rows if r.is_leased(now)], caps)
        counts += _listening_counts(rows, caps)
        for cap in caps[row.pk]:
            if cap.key.startswith("account:") and counts[cap.key] >= cap.most:
                raise Busy(f"All {cap.most} connections of its account are in use.")
        claims = _take([row], wanted, now, holder)
        if not claims:
            raise Busy("It is not due, or another worker was faster.")
        return claims[0]


def _take_turns() -> None:
    """Until the transaction ends. SQLite's transactions take turns by themselves (IMMEDIATE)."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [CLAIM_LOCK])


def _candidates(which: Q, now: datetime, per_profile: int | None = None) -> list[Workload]:
    """`per_profile`: no more due rows of one profile than its share, the requested and oldest first,
    so that a crowded profile doesn't hide the others."""
    queryset: QuerySet[Workload] = Workload.objects.filter(which)
    if per_profile is not None:
        queryset = queryset.alias(
            rank=Window(
                RowNumber(),
                partition_by=[
                    F("mailbox__email_server_profile_id"),
                    Case(When(is_running(now), then=Value(1)), default=Value(0)),
                ],
                order_by=[F("run_requested_at").asc(nulls_last=True), "next_run_at", "pk"],
            )
        ).filter(rank__lte=per_profile)
    listens = Exists(WatchProcess.objects.all())
    rows = queryset.select_related("mailbox__email_server_profile").annotate(listens=listens)
    return list(rows.only(*_COLUMNS))


def _take(rows: Sequence[Workload], still: Q, now: datetime, holder: str) -> list[Claim]:
    """The conditional UPDATE. Rows that somebody else locks or took meanwhile are left to them."""
    if not rows:
        return []
    tokens = {row.pk: uuid4() for row in rows}
    lost = Q(lease_token__isnull=False)
    unlocked = (
        Workload.objects.select_for_update(skip_locked=True)
        .filter(still, pk__in=tokens)
        .values("pk")
    )
    taken = Workload.objects.filter(pk__in=unlocked).update(
        lease_token=Case(
            *(When(pk=pk, then=Value(token, UUIDField())) for pk, token in tokens.items()),
            output_field=UUIDField(),
        ),
        lease_expires_at=now + LEASE,
        lease_holder=holder[:256],
        last_started_at=now,
        items_so_far=0,
        # What was asked for is being done; asked for again meanwhile, it is seen at the end.
        run_requested_at=None,
        leases_broken=_one_more_if(lost, "leases_broken"),
        consecutive_failures=_one_more_if(lost, "consecutive_failures"),
    )
    if taken < len(rows):
        mine = set(
            Workload.objects.filter(lease_token__in=tokens.values()).values_list("pk", flat=True)
        )
        rows = [row for row in rows if row.pk in mine]
    return [
        Claim(
            workload_id=row.pk,
            mailbox_id=row.mailbox_id,
            operation=Operation(row.operation),
            token=tokens[row.pk],
            claimed_at=now,
            scheduled_at=row.next_run_at,
            requested=row.run_requested_at is not None,
            taken_over=row.lease_token is not None,
            failures=row.consecutive_failures + (row.lease_token is not None),
            idle=is_idle(row),
            processed=row.last_items_processed,
        )
        for row in rows
    ]


def is_idle(row: Workload) -> bool:
    """Is it an ordinary poll, of a mailbox that had no mail the last time?"""
    return (
        row.operation == Operation.INCOMING
        and row.idle_cycles > 0
        and row.run_requested_at is None
        and row.lease_token is None
    )


def _one_more_if(condition: Q, column: str) -> Case:
    return Case(
        When(condition, then=F(column) + 1),
        default=F(column),
        output_field=PositiveIntegerField(),
    )


# -- what a workload counts against


def profile_key(row: Workload) -> str:
    return f"profile:{row.mailbox.email_server_profile_id}"


def caps_of(
    row: Workload, organization: Organization, workers: int, holder: str
) -> tuple[Cap, ...]:
    """Every limit that a workload counts against, where it runs or where `holder` would run it."""
    caps = [Cap(profile_key(row), organization.max_mailboxes_per_profile_at_once)]
    if profile := row.mailbox.email_server_profile:
        direction = DIRECTIONS[Operation(row.operation)]
        account = account_key(row.mailbox, profile, direction)
        caps.append(Cap(f"account:{account}", connection_cap(profile, organization, direction)))
    if row.last_duration_ms > SLOW_MS and workers > 1:
        machine = (row.lease_holder if row.lease_token else holder).partition(":")[0]
        caps.append(Cap(f"slow:{machine}", workers - 1))
    return tuple(caps)


def _listening_counts(rows: Iterable[Workload], caps: dict[int, tuple[Cap, ...]]) -> Counter[str]:
    """Connections on which somebody waits for a server to tell of new mail. Costs no statement where nobody
    does."""
    if not any(getattr(row, "listens", False) for row in rows):
        return Counter()
    keys = {cap.key for each in caps.values() for cap in each}
    accounts = [key.partition(":")[2] for key in keys if key.startswith("account:")]
    listening = MailboxWatch.objects.filter(process__isnull=False, account__in=accounts)
    return Counter(f"account:{account}" for account in listening.values_list("account", flat=True))


def _running_counts(running: Iterable[Workload], caps: dict[int, tuple[Cap, ...]]) -> Counter[str]:
    return Counter(cap.key for row in running for cap in caps[row.pk])


# -- keep, give back, finish


def renew(token: UUID, now: datetime, items: int | None = None) -> None:
    """Five more minutes, and the row's lock until the transaction ends. `items`: how many the cycle has
    done with this transaction, for whoever watches. Raises LeaseLost."""
    noted = {} if items is None else {"items_so_far": items}
    if not Workload.objects.filter(lease_token=token).update(lease_expires_at=now + LEASE, **noted):
        raise LeaseLost("The lease of this workload is gone; another worker may have it.")


def finish(claim: Claim, next_run_at: Any, now: datetime, **learned: Any) -> bool:
    """Free the workload and store what the run taught. False: the lease was lost, nothing is written.
    `next_run_at`: a time, or an expression over the workload.

    If somebody asked for another run meanwhile, that one is due at once.
    """
    return bool(finish_all([claim], next_run_at, now, **learned))


def finish_all(claims: Sequence[Claim], next_run_at: Any, now: datetime, **learned: Any) -> int:
    """The same for many, in one statement; returns how many were still ours."""
    learned["next_run_at"] = Case(
        When(run_requested_at__isnull=False, then=Value(now)),
        default=next_run_at if hasattr(next_run_at, "resolve_expression") else Value(next_run_at),
    )
    return Workload.objects.filter(lease_token__in=[claim.token for claim in claims]).update(
        lease_token=None, lease_expires_at=None, **learned
    )


def by_workload(values: Mapping[int, Any], field: Field[Any, Any]) -> Case:
    """An expression: each workload's own value."""
    return Case(
        *(When(pk=pk, then=Value(value, field)) for pk, value in values.items()), output_field=field
    )


def end_abandoned(now: datetime, lives: Callable[[int], bool] | None = None) -> int:
    """End the leases of this machine's workers that are gone, as if they had run out; returns how many. Machines
    are told apart by their names; whose lease is ended all the same stops before its next write."""
    lives = lives or is_alive
    ours = f"{socket.gethostname()}:"[:256]
    running = Workload.objects.filter(is_running(now), lease_holder__startswith=ours)
    holders = running.order_by().values_list("lease_holder", flat=True).distinct()
    pids = {holder: holder.removeprefix(ours) for holder in holders}
    gone = [each for each, pid in pids.items() if pid.isdigit() and not lives(int(pid))]
    return running.filter(lease_holder__in=gone).update(lease_expires_at=now) if gone else 0


def is_alive(pid: int) -> bool:
    """Is there such a process, and is it more than an entry that nobody has fetched yet?"""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return status.rpartition(")")[2].split()[:1] != ["Z"]


def give_back(claims: Sequence[Claim], now: datetime, **learned: Any) -> None:
    """Free workloads that were claimed but not begun; they are as due as before."""
    for requested in (True, False):
        tokens = [claim.token for claim in claims if claim.requested is requested]
        if tokens:
            again: dict[str, Any] = {"run_requested_at": now} if requested else {}
            Workload.objects.filter(lease_token__in=tokens).update(
                lease_token=None, lease_expires_at=None, **again, **learned
            )
