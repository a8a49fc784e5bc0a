"""What a person does by hand with messages that were decided: track them all the same, untrack them.

An item that is to be tracked waits like one that failed: the next ordinary cycle fetches it again by its
key, or takes the bytes that were kept, and no filter is asked (R3.18). What the server no longer has ends
as gone, and what is stored already as a duplicate. Whoever untracks takes the link to the server's copy
off, or deletes the email, too (R7.13); the ledger keeps the message, so no cycle tracks it again.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Model, Q, QuerySet

from activities.models import Email
from mailboxes import access
from mailboxes.choices import Operation
from mailboxes.models import Mailbox, SystemUser
from mailboxes.protocols.base import ActionKind
from serversync import deeds, waking
from serversync.access import TRACK as TRACK_BY_HAND
from serversync.choices import IMPORTED, ActionState, ItemState
from serversync.listing import portions
from serversync.models import MailboxLayout, ServerAction, SyncItem
from tracking.byhand import BY_HAND, DELETE, TRACK, UNLINK, asked
from tracking.choices import SkipReason, SubReason, Way
from tracking.records import value_of
from tracking.trace import UNTRACKED

PERMISSION = TRACK_BY_HAND
TRACKABLE = (ItemState.REJECTED, ItemState.SKIPPED, ItemState.GONE)
LINKED = (ItemState.TRACKED, ItemState.DUPLICATE)
#: Nothing a person says makes these a message that could be stored.
NEVER = (SkipReason.TOO_LARGE, SkipReason.OWN_PROBE, SkipReason.FORWARD_WRAPPER)
TRACKED_COLUMNS = [
    *("state", "reason", "sub_reason", "trace", "attempts", "next_attempt_at", "blanked"),
]
UNTRACKED_COLUMNS = ["state", "reason", "sub_reason", "trace", "email", "decided_at"]


# -- who may, and what ---------------------------------------------------------------------------


def allowed(user: Any, items: "QuerySet[SyncItem]") -> "QuerySet[SyncItem]":
    """Those of mailboxes whose mail the user may read, superusers too: nobody tracks what is not for him
    to know (R8.30)."""
    mine = Mailbox.objects.filter(access.content_readers(user))
    return access.visible_to(user, items, PERMISSION).filter(mailbox__in=mine)


def trackable() -> Q:
    """Items of which an email can still be made. A forward's originals are no messages of their own on
    the server, and another account's keys mean nothing any more."""
    there = Q(generation=F("mailbox__account_generation")) & ~Q(folder=IMPORTED)
    return (
        (there | Q(raw__isnull=False))
        & Q(state__in=TRACKABLE, parent__isnull=True)
        & (Q(mailbox__regarding_user__isnull=False) | Q(mailbox__regarding_queue__isnull=False))
        & ~Q(state=ItemState.SKIPPED, reason__in=NEVER)
    )


# -- track all the same --------------------------------------------------------------------------


@transaction.atomic
def track(
    items: "QuerySet[SyncItem]", *, actor: SystemUser, now: datetime, record: Model | None = None
) -> list[UUID]:
    """Have them fetched and tracked without asking a filter; `record`: what they are filed under then.
    Returns whose turn it is: those that can be tracked and that the actor may track."""
    chosen = list(items.order_by().values_list("pk", flat=True))
    rows = [
        row
        for keys in portions(chosen)
        for row in allowed(actor, SyncItem.objects.filter(trackable(), pk__in=keys))
        .select_for_update(of=("self",))
        .order_by("pk")
    ]
    named = {"value": value_of(record)} if record is not None else None
    for row in rows:
        _ask(row, actor, now, named)
    SyncItem.objects.bulk_update(rows, TRACKED_COLUMNS, batch_size=100)
    keys = [row.pk for row in rows]
    withdraw(keys, [ActionKind.DELETE])
    if rows:
        waking.wake({row.mailbox_id for row in rows}, Operation.INCOMING, now, by_hand=True)
    return keys


def _ask(row: SyncItem, actor: SystemUser, now: datetime, record: Mapping[str, str] | None) -> None:
    was = {"outcome": row.state, "reason": row.reason, "sub_reason": row.sub_reason}
    request = asked(TRACK, actor, now, record=record, was=was)
    row.trace = {**row.trace, "way": Way.MANUAL.value, BY_HAND: request}
    if row.state == ItemState.GONE:
        row.attempts = 0
    row.state, row.reason, row.sub_reason = ItemState.RETRYING, "", SubReason.MANUAL.value
    row.next_attempt_at, row.blanked = now, False


def withdraw(items: Sequence[UUID], kinds: Iterable[ActionKind]) -> None:
    """What is not yet done on the server, and no longer wanted."""
    for keys in portions(items):
        ServerAction.objects.filter(
            item__in=keys, state=ActionState.PENDING, kind__in=list(kinds)
        ).delete()


# -- untrack -------------------------------------------------------------------------------------


@transaction.atomic
def unlink(items: "QuerySet[SyncItem]", *, actor: SystemUser, now: datetime) -> int:
    """Drop the link between server copies and their email, which stays (R7.13). Returns how many."""
    keys = list(items.order_by().values_list("pk", flat=True))
    linked = SyncItem.objects.filter(pk__in=keys, state__in=LINKED, email__isnull=False)
    rows = _locked(allowed(actor, linked))
    _untrack(rows, UNLINK, actor, now)
    return len(rows)


@transaction.atomic
def delete(email: Email, *, actor: SystemUser, now: datetime) -> int:
    """Delete an email here, and unlink every copy of it, whoever's. Returns how many copies there were.
    Raises PermissionDenied."""
    if not access.may(actor, "delete", email):
        raise access.refusal(Email, "delete")
    rows = _locked(SyncItem.objects.filter(email=email))
    _untrack(rows, DELETE, actor, now)
    email.activity.delete()  # the email shares its key and goes with it
    return len(rows)


def _locked(rows: "QuerySet[SyncItem]") -> list[SyncItem]:
    locked = rows.select_for_update(of=("self",)).order_by("pk")
    return list(locked.select_related("mailbox", "email"))


def _untrack(rows: Sequence[SyncItem], what: str, actor: SystemUser, now: datetime) -> None:
    request = asked(what, actor, now)
    for row in rows:
        row.trace = {
            **row.decision,
            "outcome": ItemState.REJECTED.value,
            "reason": UNTRACKED,
            BY_HAND: request,
        }
        row.state, row.reason = ItemState.REJECTED, UNTRACKED
        row.sub_reason, row.email, row.decided_at = SubReason.MANUAL.value, None, now
    SyncItem.objects.bulk_update(rows, UNTRACKED_COLUMNS, batch_size=100)
    # What was to be deleted there may be the last copy now.
    withdraw([row.pk for row in rows], [ActionKind.DELETE, ActionKind.MARK])
    if unmarked := _unmark(rows, now):
        ServerAction.objects.bulk_create(unmarked)
        waking.wake({action.mailbox_id for action in unmarked}, Operation.INCOMING, now)


def _unmark(rows: Sequence[SyncItem], now: datetime) -> list[ServerAction]:
    """The category off the copies that carry it. That they carry it stays noted until the server says
    otherwise: else the next check would take it for somebody's wish to track them (R7.21)."""
    layouts = {
        layout.mailbox_id: layout
        for layout in MailboxLayout.objects.filter(mailbox__in={row.mailbox_id for row in rows})
    }
    made: list[ServerAction] = []
    for row in rows:
        layout = layouts.get(row.mailbox_id)
        if layout is None or not layout.category_name or not row.marked or row.left_at is not None:
            continue
        if row.generation == row.mailbox.account_generation and row.folder != IMPORTED:
            wanted = deeds.Deed(ActionKind.UNMARK, layout.category_name)
            made += deeds.rows(row.mailbox, row, [wanted], now)
    return made
