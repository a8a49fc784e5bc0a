"""A replay is applied or dropped, as a whole.

Applying sends nothing and writes nothing to a server. What differs from what was reviewed stops it before
anything is changed.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from activities import blobs, recyclebin
from activities.mime.parse import parse
from activities.models import ActivityPointer, Email
from mailboxes import access
from mailboxes.choices import Operation
from mailboxes.models import SystemUser
from mailboxes.protocols.base import ActionKind
from serversync import quarantine, waking
from serversync.byhand import withdraw
from serversync.choices import ItemState, ReplayState, ReplayStep
from serversync.ledger import HANDED_IN
from serversync.models import Replay, ReplayChange, SyncItem
from serversync.replay import shapes
from serversync.replay.held import (
    AT_ONCE,
    OFF,
    Refused,
    emails_of,
    fields,
    keys_of,
    locked,
    moves,
    portions,
    row_was,
    rows_of,
)
from serversync.replay.plan import copied, settings_digest
from serversync.replay.touched import touched, worked_upon
from tracking.byhand import BY_HAND, REPLAY, REPLAYED, asked
from tracking.kept import FACTS, facts_of


@transaction.atomic
def apply(replay: Replay, *, actor: SystemUser, now: datetime) -> Replay:
    """Do what was reviewed. Raises Refused."""
    replay = locked(replay, actor, ReplayState.READY)
    if replay.is_old(now):
        raise Refused(_("It was decided more than a day ago. Make a new replay."))
    if replay.settings_digest != settings_digest():
        raise Refused(_("The settings have changed since it was decided. Make a new replay."))
    _may_all(replay, actor)
    note = {"id": str(replay.pk), "by": asked("", actor, now)["by"], "at": now.isoformat()}
    _unchanged_since(replay)
    woken: set[UUID] = set()
    for changes in portions(replay, reverse=False):
        rows, emails = rows_of(changes), emails_of(changes)
        for change in changes:
            row = rows[change.item_id]
            change.item_was = row_was(row)
            _APPLY[ReplayStep(change.step)](change, row, emails, note, now)
            if change.step == ReplayStep.FETCH:
                woken.add(row.mailbox_id)
        _remove(changes, actor, now)
        SyncItem.objects.bulk_update(rows.values(), fields(), batch_size=AT_ONCE)
        ReplayChange.objects.bulk_update(changes, ["item_was", "email_was", "binned"])
        _withdraw(changes)
    _end(replay, ReplayState.APPLIED, actor, now)
    if woken:
        quarantine.clear_alert(woken, now)
        waking.wake(woken, Operation.INCOMING, now, by_hand=True)
    return replay


@transaction.atomic
def drop(replay: Replay, *, actor: SystemUser, now: datetime) -> Replay:
    """Let it go. Raises Refused."""
    replay = locked(replay, actor, ReplayState.READY, ReplayState.FAILED, ReplayState.DECIDING)
    return _end(replay, ReplayState.DROPPED, actor, now)


def _end(replay: Replay, state: ReplayState, actor: SystemUser, now: datetime) -> Replay:
    replay.state, replay.ended_on, replay.ended_by = state, now, actor
    replay.save()
    return replay


# -- may it be applied ---------------------------------------------------------------------------


def _may_all(replay: Replay, actor: SystemUser) -> None:
    """Everything or nothing, so the actor's rights must cover it all."""
    items = SyncItem.objects.filter(pk__in=keys_of(replay, "item", *ReplayStep))
    _covers(items, actor, "retry_syncitem")
    changed = Email.objects.filter(pk__in=keys_of(replay, "email", ReplayStep.CHANGE))
    _covers(changed, actor, "change")
    removed = Email.objects.filter(pk__in=keys_of(replay, "email", ReplayStep.REMOVE))
    _covers(removed, actor, "delete")


def _covers(rows: "QuerySet[Any]", actor: SystemUser, action: str) -> None:
    over = rows.count() - access.visible_to(actor, rows, action).count()
    if over:
        permission = access.codename_of(rows.model, action)
        text = ngettext(
            "For %(count)d of the rows you lack the permission “%(permission)s”, and a replay is applied "
            "as a whole. Ask an administrator for it, or replay only mailboxes of your own.",
            "For %(count)d of the rows you lack the permission “%(permission)s”, and a replay is applied "
            "as a whole. Ask an administrator for it, or replay only mailboxes of your own.",
            over,
        )
        raise Refused(text % {"count": over, "permission": permission})


def _unchanged_since(replay: Replay) -> None:
    """What was reviewed is what is there. Looked at before anything is changed, for one change may empty a
    column of another email."""
    over = sum(
        not is_same for part in portions(replay, reverse=False) for is_same in _same(part, replay)
    )
    if over:
        text = ngettext(
            "%(count)d item has changed since it was decided. Make a new replay.",
            "%(count)d items have changed since they were decided. Make a new replay.",
            over,
        )
        raise Refused(text % {"count": over})


def _same(changes: Sequence[ReplayChange], replay: Replay) -> Iterator[bool]:
    """For each, whether it can be done as it was reviewed."""
    rows, emails = rows_of(changes), emails_of(changes)
    now_are = shapes.shapes_of(list(emails.values()))
    stay = _stay(changes, replay, emails, now_are)
    wanted = [change.email_becomes for change in changes if change.step == ReplayStep.CHANGE]
    gone = shapes.away(wanted, (*shapes.EMAIL, *shapes.OWNER, "queues"))
    for change in changes:
        row = rows.get(change.item_id)
        shape = now_are.get(change.email_id) if change.email_id is not None else None
        is_same = row is not None and row.decision == change.before
        if change.step == ReplayStep.CHANGE:
            is_same &= shape == change.email_was
            is_same &= not shapes.names_any(change.email_becomes, gone)
        if change.step in (ReplayStep.CHANGE, ReplayStep.REMOVE):
            is_same &= shape is not None and change.email_id not in stay
        yield is_same


def _stay(
    changes: Sequence[ReplayChange],
    replay: Replay,
    emails: dict[UUID, Email],
    now_are: dict[UUID, shapes.Shape],
) -> set[UUID]:
    """Emails with which people, or other mailboxes, have had to do since."""
    removed = {_key(one) for one in changes if one.step == ReplayStep.REMOVE and one.email_id}
    told = {key: (now_are[key], emails[key].decision) for key in removed & now_are.keys()}
    moved = {_key(one) for one in changes if one.email_id and moves(one)}
    stay = set(touched(told)) | worked_upon(moved)
    return stay | set(copied(replay).filter(email__in=removed).values_list("email", flat=True))


# -- the steps -----------------------------------------------------------------------------------

Note = dict[str, Any]


def _fetch(
    change: ReplayChange, row: SyncItem, emails: dict[UUID, Email], note: Note, now: datetime
) -> None:
    """It waits like one that failed: the next ordinary cycle fetches it and decides it."""
    was = {"outcome": row.state, "reason": row.reason, "sub_reason": row.sub_reason}
    request = {"what": REPLAY, "by": note["by"], "at": note["at"], "replay": note["id"], "was": was}
    row.trace = {**row.trace, BY_HAND: request}
    if row.state != ItemState.QUARANTINED:  # that it had failed is told by its tries
        row.attempts = 0
    row.state, row.reason, row.sub_reason = ItemState.RETRYING, "", ""
    row.next_attempt_at, row.blanked = now, False


def _note(
    change: ReplayChange, row: SyncItem, emails: dict[UUID, Email], note: Note, now: datetime
) -> None:
    facts = {name: row.trace[name] for name in (FACTS, HANDED_IN) if name in row.trace}
    _decide_row(change, row, note, facts)


def _decide_row(change: ReplayChange, row: SyncItem, note: Note, facts: dict[str, Any]) -> None:
    row.trace = {**change.after, **facts, REPLAYED: note}
    row.state = str(change.after["outcome"])
    row.reason = str(change.after.get("reason", ""))
    row.sub_reason = str(change.after.get("sub_reason", ""))
    row.email = None


def _change(
    change: ReplayChange, row: SyncItem, emails: dict[UUID, Email], note: Note, now: datetime
) -> None:
    email = emails[_key(change)]
    left = shapes.write(email.pk, change.email_was, change.email_becomes, now)
    change.email_was = {**change.email_was, "left": left}
    asked_for = {BY_HAND: change.before[BY_HAND]} if BY_HAND in change.before else {}
    decision = {**change.after, **asked_for, REPLAYED: note}
    Email.objects.filter(pk=email.pk).update(decision=decision)
    row.reason = str(change.after.get("reason", ""))
    row.sub_reason = str(change.after.get("sub_reason", ""))


def _take_off(
    change: ReplayChange, row: SyncItem, emails: dict[UUID, Email], note: Note, now: datetime
) -> None:
    """The row keeps what it takes to decide it again; the email goes with the others of its portion."""
    email = emails[_key(change)]
    _decide_row(change, row, note, _facts_of(email))


def _facts_of(email: Email) -> dict[str, Any]:
    if email.mime is None:
        return {}
    with suppress(blobs.BytesMissing):
        return {FACTS: facts_of(parse(blobs.read(email.mime)))}
    return {}


def _key(change: ReplayChange) -> UUID:
    key: UUID | None = change.email_id
    assert key is not None
    return key


Step = Callable[[ReplayChange, SyncItem, dict[UUID, Email], Note, datetime], None]
_APPLY: dict[ReplayStep, Step] = {
    ReplayStep.FETCH: _fetch,
    ReplayStep.NOTE: _note,
    ReplayStep.CHANGE: _change,
    ReplayStep.REMOVE: _take_off,
}


def _remove(changes: Sequence[ReplayChange], actor: SystemUser, now: datetime) -> None:
    over = {_key(change): change for change in changes if change.step == ReplayStep.REMOVE}
    if not over:
        return
    entries = recyclebin.delete(
        ActivityPointer, list(over), now=now, actor=actor, reason=_("No longer tracked (replay)")
    )
    for key, change in over.items():
        change.binned, change.email = entries.get(key), None


def _withdraw(changes: Sequence[ReplayChange]) -> None:
    """What was still to be done on servers, and is no longer wanted."""
    fetched = [change.item_id for change in changes if change.step == ReplayStep.FETCH]
    off = (ReplayStep.REMOVE, ReplayStep.NOTE)
    withdraw(fetched, [ActionKind.DELETE])
    withdraw([change.item_id for change in changes if change.step in off], OFF)
