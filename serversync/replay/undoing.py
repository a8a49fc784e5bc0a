"""A replay is undone, the last change first. What people did after it was applied stops that of the one item,
which says why.
"""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from activities import recyclebin
from activities.models import ActivityPointer, DeletedRecord, Email, StoredBytes
from mailboxes.models import SystemUser
from mailboxes.protocols.base import ActionKind
from serversync.byhand import withdraw
from serversync.choices import ActionState, ItemState, ReplayState, ReplayStep, Stay
from serversync.models import Replay, ReplayChange, ServerAction, SyncItem
from serversync.replay import shapes
from serversync.replay.held import (
    AT_ONCE,
    COLUMNS,
    OFF,
    Refused,
    emails_at,
    emails_of,
    fields,
    keys_of,
    locked,
    moves,
    portions,
    rows_of,
)
from serversync.replay.steps import STORED
from serversync.replay.touched import touched, worked_upon
from tracking.byhand import REPLAYED, is_waiting
from tracking.byhand import of as asked_of


@transaction.atomic
def undo(replay: Replay, *, actor: SystemUser, now: datetime) -> Replay:
    """Put back what it changed, the last first. What was changed since stays as it is, and says why.
    Raises Refused."""
    replay = locked(replay, actor, ReplayState.APPLIED)
    if replay.ended_on is not None and now - replay.ended_on > recyclebin.KEPT:
        raise Refused(_("It was applied more than 30 days ago, and what it took away is gone."))
    for changes in portions(replay, reverse=True):
        rows, emails = rows_of(changes), emails_of(changes)
        for change in changes:
            row = rows[change.item_id]
            change.not_undone = _undo(change, row, emails, replay, actor, now)[:200]
            if not change.not_undone:
                _put_row_back(row, change.item_was)
        _withdraw_after(changes)
        SyncItem.objects.bulk_update(rows.values(), fields(), batch_size=AT_ONCE)
        ReplayChange.objects.bulk_update(changes, ["not_undone", "binned"])
    _let_go_of_what_stays_away(replay)
    replay.state, replay.undone_on, replay.undone_by = ReplayState.UNDONE, now, actor
    replay.save()
    return replay


def _undo(
    change: ReplayChange,
    row: SyncItem,
    emails: dict[UUID, Email],
    replay: Replay,
    actor: SystemUser,
    now: datetime,
) -> str:
    """Why it can't be undone, or ""."""
    if change.step == ReplayStep.FETCH:
        return _undo_fetch(change, row, replay, actor, now)
    if change.step == ReplayStep.CHANGE:
        return _undo_change(change, row, emails, replay)
    if not _is_ours(row.trace, replay) or is_waiting(row.trace):
        return str(Stay.BY_HAND.label)
    return _undo_remove(change) if change.step == ReplayStep.REMOVE else ""


def _is_ours(decision: Any, replay: Replay) -> bool:
    told = decision.get(REPLAYED) or {}
    return bool(told.get("id") == str(replay.pk))


def _undo_fetch(
    change: ReplayChange, row: SyncItem, replay: Replay, actor: SystemUser, now: datetime
) -> str:
    """Whatever came of it: an email that nobody has touched goes into the bin."""
    if not _is_fetched_by(replay, row):
        return str(Stay.BY_HAND.label)
    if why := _why_fetched_stays(change, row, replay):
        return why
    if row.state == ItemState.TRACKED and row.email is not None:
        recyclebin.delete(
            ActivityPointer, [row.email_id], now=now, actor=actor, reason=_("A replay was undone")
        )
    return ""


def _is_fetched_by(replay: Replay, row: SyncItem) -> bool:
    return bool(asked_of(row.decision).get("replay") == str(replay.pk))


def _why_fetched_stays(change: ReplayChange, row: SyncItem, replay: Replay) -> str:
    """Nothing that is here now may be neither here nor there then."""
    if row.children.exists():
        return _("messages came out of the forward")
    if _are_deleted_there([row]):
        return _("the server's copy has been deleted")
    if not _has_its_bytes(change):
        return _("its original is no longer kept")
    if row.state != ItemState.TRACKED or row.email is None:
        return ""
    emails_at([row.email.pk])
    if why := _touched(row.email):
        return str(why.label)
    copies = SyncItem.objects.filter(email=row.email, state__in=STORED).exclude(pk=row.pk)
    if not all(_is_fetched_by(replay, copy) for copy in copies):
        return str(Stay.COPIES.label)
    return _("the server's copy has been deleted") if _are_deleted_there(copies) else ""


def _are_deleted_there(rows: Collection[SyncItem]) -> bool:
    done = ServerAction.objects.filter(kind=ActionKind.DELETE, state=ActionState.DONE)
    return done.filter(item__in=[row.pk for row in rows if row.state in STORED]).exists()


def _has_its_bytes(change: ReplayChange) -> bool:
    """Are those still here that the row had, if it had some?"""
    key = change.item_was["raw_id"]
    return key is None or StoredBytes.objects.select_for_update().filter(pk=key).exists()


def _touched(email: Email) -> Stay | None:
    told = {email.pk: (shapes.shapes_of([email])[email.pk], email.decision)}
    return touched(told).get(email.pk)


def _undo_change(
    change: ReplayChange, row: SyncItem, emails: dict[UUID, Email], replay: Replay
) -> str:
    email = emails.get(change.email_id) if change.email_id is not None else None
    if email is None or row.email_id != email.pk or not _is_ours(email.decision, replay):
        return str(Stay.BY_HAND.label)
    was = {name: value for name, value in change.email_was.items() if name != "left"}
    if shapes.shapes_of([email])[email.pk] != change.email_becomes:
        return str(Stay.BY_HAND.label)
    if moves(change) and worked_upon([email.pk]):
        return str(Stay.WORKED_ON.label)
    if shapes.names_any(was, shapes.away([was], (*shapes.SENDER, *shapes.OWNER))):
        return str(_("what it named is gone"))
    shapes.write_back(email.pk, was, change.email_becomes, change.email_was["left"])
    Email.objects.filter(pk=email.pk).update(decision=change.before)
    return ""


def _undo_remove(change: ReplayChange) -> str:
    entry = DeletedRecord.objects.filter(pk=change.binned_id).first() if change.binned_id else None
    if entry is None:
        return str(_("it is no longer in the bin"))
    try:
        recyclebin.restore(entry)
    except recyclebin.NotRestored as error:
        return str(error)
    change.binned = None
    return ""


def _withdraw_after(changes: Sequence[ReplayChange]) -> None:
    """What cycles had still to do on servers with what was fetched: it may be the only copy again."""
    undone = [one for one in changes if one.step == ReplayStep.FETCH and not one.not_undone]
    withdraw([change.item_id for change in undone], OFF)


def _put_row_back(row: SyncItem, was: dict[str, Any]) -> None:
    columns = {column.attname: column for column in SyncItem._meta.concrete_fields}
    for name in COLUMNS:
        setattr(row, name, recyclebin.value_of(columns[name], was[name]))


def _let_go_of_what_stays_away(replay: Replay) -> None:
    """What could not be taken out of the bin, nothing may name."""
    there = Email.objects.filter(pk=OuterRef("email_id"))
    rows = SyncItem.objects.filter(pk__in=keys_of(replay, "item", ReplayStep.NOTE))
    rows.filter(~Exists(there), email_id__isnull=False).update(email=None)
    for name in ("correlated_activity", "parent_activity", "about"):
        there = Email.objects.filter(pk=OuterRef(f"{name}_id"))
        changed = Email.objects.filter(pk__in=keys_of(replay, "email", ReplayStep.CHANGE))
        changed.filter(~Exists(there), **{f"{name}_id__isnull": False}).update(**{name: None})
