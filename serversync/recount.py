"""Recounting: what each processed folder holds on its server, held against the ledger.

    claim the mailbox ──> list every key ──> compare ──> [put right: the next cycle fetches] ──> give it back

Nothing is changed on the server, and no cursor moves. The mailbox is claimed meanwhile, so that no cycle
changes the ledger under the comparison. What was missed gets a row that is to be tried again: the next
ordinary cycle fetches and decides it, as it does with what failed, so nothing is doubled.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from django_q.tasks import async_task

from mailboxes.choices import Operation, ServerType
from mailboxes.connect import incoming_server
from mailboxes.eligibility import eligible, facts_of
from mailboxes.models import Mailbox
from mailboxes.protocols.base import IncomingServer, RemoteItem
from mailboxes.protocols.errors import AccessDenied, FolderMissing, ServerError
from serversync import context as contexts
from serversync.choices import ActionState, ItemState
from serversync.context import Context, FolderFacts, start_of
from serversync.cycle import Clock
from serversync.differences import Count, Difference, Found, Known, Server, compare, recognise
from serversync.folding import folded_for
from serversync.leases import Busy, Claim, LeaseLost, claim_one, give_back, renew, this_worker
from serversync.listing import LISTING, identity_of, portions
from serversync.models import (
    FoldedItem,
    FolderCursor,
    Recount,
    ServerAction,
    SyncItem,
    Workload,
)
from serversync.waking import wake
from tracking.folders import kind_fault

SHOWN = 1000  # differences that are kept item by item
KEEP = timedelta(days=30)
GIVEN_UP_AFTER = timedelta(hours=1)  # its job was lost with the queue
#: A job that counts longer ends by itself, well before it would be killed.
JOB_TIME = timedelta(seconds=180)
#: And one that was killed all the same is given up by then.
KILLED_AFTER = timedelta(seconds=settings.Q_CLUSTER["timeout"] + 30)

Connect = Callable[..., IncomingServer]


class Refused(Exception):
    """It can't be counted now; the text says why."""


def recount(
    mailbox: Mailbox,
    *,
    fix: bool = False,
    row: Recount | None = None,
    clock: Clock = timezone.now,
    connect: Connect = incoming_server,
) -> Recount:
    """Count one mailbox and store what differed. `row`: of whoever asked a job for it; that has no more
    than `JOB_TIME`."""
    until = clock() + JOB_TIME if row is not None else None
    if row is not None and not _begin(row, clock()):
        return row
    row = row or Recount(mailbox=mailbox, asked_on=clock(), fix=fix)
    try:
        claim = _claim(mailbox, clock)
        try:
            _count(row, claim, clock, connect, until)
        finally:
            give_back([claim], clock())
        if row.fix and row.differing:
            wake([mailbox.pk], Operation.INCOMING, clock(), by_hand=True)
    except (Refused, ServerError, LeaseLost) as error:
        row.error = str(error).replace("\0", "")[:2048]
    except Exception as error:
        row.error = _("The site itself failed: %(error)s.") % {"error": type(error).__name__}
        raise
    finally:
        row.ended_on = clock()
        row.save()
    return row


def _begin(row: Recount, now: datetime) -> bool:
    """False: the queue delivered the job twice. If it was begun and not ended, whoever began it is gone."""
    mine = Recount.objects.filter(pk=row.pk, begun_on__isnull=True, ended_on__isnull=True)
    if mine.update(begun_on=now):
        row.begun_on = now
        return True
    _end(Recount.objects.filter(pk=row.pk, ended_on__isnull=True), now)
    row.refresh_from_db()
    return False


def _end(rows: "QuerySet[Recount]", now: datetime) -> None:
    """Those that nobody counts any more."""
    rows.filter(begun_on__isnull=True).update(
        ended_on=now, error=_("No worker took it up: its job was lost. Ask again.")
    )
    rows.filter(begun_on__isnull=False).update(
        ended_on=now,
        error=_(
            "Its worker was stopped before it had counted everything. Ask again; if that happens again, "
            "use “manage.py reconcile”, which may take as long as it needs."
        ),
    )


def ask(mailbox: Mailbox, *, fix: bool, by: Any, now: datetime) -> bool:
    """Have a job count it. False: one that was asked for a moment ago hasn't ended."""
    with transaction.atomic():
        Mailbox.objects.select_for_update().get(pk=mailbox.pk)
        asked = Recount.objects.filter(mailbox=mailbox, ended_on__isnull=True)
        if asked.filter(waiting(now)).exists():
            return False
        _end(asked, now)  # should a job turn up after all, it finds that it has ended
        row = Recount.objects.create(mailbox=mailbox, asked_by=by, asked_on=now, fix=fix)
        async_task("serversync.jobs.reconcile", str(row.pk), group="reconcile")
    return True


def waiting(now: datetime) -> Q:
    """Asked for and neither ended nor lost."""
    begun = Q(begun_on__gt=now - KILLED_AFTER)
    queued = Q(begun_on__isnull=True, asked_on__gt=now - GIVEN_UP_AFTER)
    return Q(ended_on__isnull=True) & (begun | queued)


def _claim(mailbox: Mailbox, clock: Clock) -> Claim:
    try:
        return claim_one(mailbox.pk, Operation.INCOMING, clock(), this_worker(), force=True)
    except Busy as busy:
        raise Refused(str(busy)) from busy
    except Workload.DoesNotExist as error:
        raise Refused("Its mail is not received here.") from error


def _count(
    row: Recount, claim: Claim, clock: Clock, connect: Connect, until: datetime | None
) -> None:
    context = contexts.load(claim.mailbox_id, Operation.INCOMING, clock())
    facts = facts_of(context.mailbox, context.workload, context.organization)
    verdict = eligible(replace(facts, leased_until=None, postponed_until=None), clock())
    if not verdict.ok:
        raise Refused(str(verdict.because))
    server = connect(context.mailbox, context.organization)

    def alive() -> None:
        if until is not None and clock() >= until:
            raise Refused(
                _(
                    "It takes longer than a job may (%(minutes)s minutes), so it was ended. What was counted "
                    "is below; for all of it use “manage.py reconcile”."
                )
                % {"minutes": int(JOB_TIME.total_seconds() // 60)}
            )
        renew(claim.token, clock())

    try:
        server.open()
        for folder in folders_of(context):
            _count_folder(row, context, server, folder, claim, clock, alive)
    finally:
        server.close()


def folders_of(context: Context) -> Iterator[FolderFacts]:
    """Those that a cycle reads."""
    profile = context.mailbox.email_server_profile
    assert profile is not None  # eligibility checked it
    yield context.inbox
    sent = context.organization.effective("auto_track_sent_folder_items")
    if sent and profile.kind != ServerType.POP3_SMTP:
        yield context.sent
    if kind_fault(context.mailbox, profile.server_type, context.organization) is None:
        yield from context.tracked


def _count_folder(
    row: Recount,
    context: Context,
    server: IncomingServer,
    facts: FolderFacts,
    claim: Claim,
    clock: Clock,
    alive: Callable[[], None],
) -> None:
    try:
        listed = listing_of(server, facts, alive)
    except (AccessDenied, FolderMissing) as error:
        row.folders = [*row.folders, {"folder": facts.folder, "error": str(error)[:500]}]
        return
    ledger = rows_of(context.mailbox, facts.folder)
    count = compare(listed, ledger, start_of(context.mailbox, facts))
    if count.missed:
        _recognise(context.mailbox, server, facts.folder, count, ledger, listed)
    fixed = _put_right(context, facts, count, claim, clock()) if row.fix else 0
    noted = FolderCursor.objects.filter(
        mailbox=context.mailbox,
        folder=facts.folder,
        generation=context.mailbox.account_generation,
    )
    row.folders = [*row.folders, _summary(facts, count, fixed, noted.first())]
    row.differing += len(count.found)
    room = max(0, SHOWN - len(row.differences))
    row.differences = [*row.differences, *(_told(facts, each) for each in count.found[:room])]


# -- reading -------------------------------------------------------------------------------------


def listing_of(server: IncomingServer, facts: FolderFacts, alive: Callable[[], None]) -> Server:
    """Every key of a folder, and what a listing from the stored cursor would tell. `alive` is called
    before each request."""
    items: dict[str, RemoteItem] = {}
    cursor, more, tells_departures = "", True, True
    while more:
        alive()
        page = server.list_new(facts.folder, cursor, LISTING)
        items.update((item.remote_id, item) for item in page.items)
        for key in page.gone:
            items.pop(key, None)
        tells_departures = tells_departures and not page.complete
        more, cursor = page.more, page.cursor
    to_come, leaving = _to_come(server, facts, items, alive)
    if leaving is None:
        return Server(items, to_come, tells_departures=False)
    return Server(items, to_come, leaving, tells_departures)


def _to_come(
    server: IncomingServer,
    facts: FolderFacts,
    items: Mapping[str, RemoteItem],
    alive: Callable[[], None],
) -> tuple[set[str], set[str] | None]:
    """What the next cycle hears of: keys that are new to it, and that left; None: it hears of all that
    left. A folder that was never read, or whose keys start anew, is read as a whole."""
    if not facts.cursor:
        return set(items), None
    to_come: set[str] = set()
    leaving: set[str] | None = set()
    cursor, more = facts.cursor, True
    while more:
        alive()
        page = server.list_new(facts.folder, cursor, LISTING)
        if page.unchanged:
            break
        if page.reset:
            return set(items), None
        to_come.update(item.remote_id for item in page.items)
        if page.present is not None:
            leaving = None
        elif leaving is not None:
            leaving.update(page.gone)
        more, cursor = page.more, page.cursor
    return to_come, leaving


def rows_of(mailbox: Mailbox, folder: str) -> list[Known]:
    rows = SyncItem.objects.filter(
        mailbox=mailbox,
        generation=mailbox.account_generation,
        folder=folder,
        parent__isnull=True,
    ).order_by("first_seen_at", "pk")
    columns = ("pk", "source_key", "state", "left_at", "next_attempt_at", "identity")
    return [
        Known(
            pk,
            key,
            state,
            has_left=left_at is not None,
            waits_for_nothing=state == ItemState.RETRYING and next_attempt_at is None,
            identity=identity,
        )
        for pk, key, state, left_at, next_attempt_at, identity in rows.values_list(
            *columns
        ).iterator()
    ]


def _recognise(
    mailbox: Mailbox,
    server: IncomingServer,
    folder: str,
    count: Count,
    ledger: Sequence[Known],
    listed: Server,
) -> None:
    """Ask for the headers of what is missing: perhaps the ledger knows it all the same."""
    missing = [each.source_key for each in count.found if each.kind == Difference.MISSED]
    identities: dict[str, UUID] = {}
    for keys in portions(missing):
        for friend in server.identify(folder, keys):
            identity = identity_of(friend.message_id, friend.date, friend.size)
            if identity is not None:
                identities[friend.remote_id] = identity
    folded: set[UUID] = set()
    for part in portions(list(identities.values())):
        rows = FoldedItem.objects.filter(folded_for(mailbox, folder), identity__in=part)
        folded.update(rows.values_list("identity", flat=True))
    recognise(count, identities, folded, ledger, listed.items.keys())


# -- putting right -------------------------------------------------------------------------------


def _put_right(
    context: Context, facts: FolderFacts, count: Count, claim: Claim, now: datetime
) -> int:
    """In one transaction, begun with the lease. Returns how many were put right."""
    with transaction.atomic():
        renew(claim.token, now)
        SyncItem.objects.bulk_create(
            [
                _wanted(context.mailbox, facts, each.item, now)
                for each in count.found
                if each.kind == Difference.MISSED and each.item is not None
            ],
            ignore_conflicts=True,
            batch_size=100,
        )
        again = {"state": ItemState.RETRYING, "attempts": 0, "next_attempt_at": now}
        for each in count.found:
            if each.kind == Difference.RENAMED and each.row is not None:
                _rename(each.row, each.source_key, again)
        _update(count.found, Difference.GIVEN_UP, left_at=None, **again)
        _update(count.found, Difference.STUCK, next_attempt_at=now)
        _update(count.found, Difference.THERE, left_at=None)
        _update(count.found, Difference.LEFT, left_at=now)
    return len(count.found)


def _wanted(mailbox: Mailbox, facts: FolderFacts, item: RemoteItem, now: datetime) -> SyncItem:
    """A row as that of an item that failed, so that the next cycle takes it up, whatever its cursor."""
    return SyncItem(
        mailbox=mailbox,
        folder=facts.folder,
        generation=mailbox.account_generation,
        source_key=item.remote_id,
        size=item.size,
        received_at=item.received_at,
        first_seen_at=now,
        decided_at=now,
        state=ItemState.RETRYING,
        next_attempt_at=now,
        trace={"way": facts.way.value},
    )


def _rename(row: Known, key: str, again: Mapping[str, Any]) -> None:
    """The ledger and what is still to be done on the server speak of the new key. What was asked for
    under the former one, and was gone, is asked for again."""
    also = again if row.state == ItemState.GONE else {}
    SyncItem.objects.filter(pk=row.pk).update(source_key=key, left_at=None, **also)
    ServerAction.objects.filter(item=row.pk, state=ActionState.PENDING).update(source_key=key)


def _update(found: Iterable[Found], kind: Difference, **columns: Any) -> None:
    keys = [each.row.pk for each in found if each.kind == kind and each.row is not None]
    for portion in portions(keys):
        SyncItem.objects.filter(pk__in=portion).update(**columns)


# -- telling -------------------------------------------------------------------------------------


def _summary(
    facts: FolderFacts, count: Count, fixed: int, cursor: FolderCursor | None
) -> dict[str, Any]:
    return {
        "folder": facts.folder,
        "listed": count.listed,
        "known": count.known,
        "before_start": count.before_start,
        "before_start_noted": cursor.before_start if cursor is not None else 0,
        "to_come": count.to_come,
        "folded": count.folded,
        "differing": len(count.found),
        "fixed": fixed,
    }


def _told(facts: FolderFacts, found: Found) -> dict[str, Any]:
    """What may be shown to whoever sees the mailbox: nothing of the message itself."""
    received = found.item.received_at if found.item is not None else None
    return {
        "folder": facts.folder,
        "kind": found.kind.value,
        "key": found.source_key,
        "item": str(found.row.pk) if found.row is not None else "",
        "size": found.item.size if found.item is not None else None,
        "received": received.isoformat() if received is not None else "",
    }


def forget(now: datetime) -> int:
    _end(Recount.objects.filter(ended_on__isnull=True).exclude(waiting(now)), now)
    return Recount.objects.filter(asked_on__lt=now - KEEP).delete()[0]
