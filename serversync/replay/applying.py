"""A replay is applied, dropped or undone, as a whole.

Applying sends nothing and writes nothing to a server. What differs from what was reviewed stops it before
anything is changed; what people did after it was applied stops the undoing of that one item.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from activities import blobs, recyclebin
from activities.mime.parse import parse
from activities.models import ActivityPointer, DeletedRecord, Email, StoredBytes
from mailboxes import access
from mailboxes.choices import Operation
from mailboxes.models import SystemUser
from mailboxes.protocols.base import ActionKind
from serversync import engine, quarantine
from serversync.byhand import withdraw
from serversync.choices import ActionState, ItemState, ReplayState, ReplayStep, Stay
from serversync.ledger import HANDED_IN
from serversync.models import Replay, ReplayChange, ServerAction, SyncItem
from serversync.replay import shapes
from serversync.replay.plan import copied, settings_digest
from serversync.replay.steps import STORED
from serversync.replay.touched import touched, worked_upon
from tracking.byhand import BY_HAND, REPLAY, REPLAYED, asked, is_waiting
from tracking.byhand import of as asked_of
from tracking.kept import FACTS, facts_of

AT_ONCE = 100
COLUMNS = (
    *("state", "reason", "sub_reason", "trace", "email_id", "raw_id", "attempts"),
    *("next_attempt_at", "blanked", "last_error", "decided_at"),
    *("message_id", "sender", "subject"),  # the retention blanks them
)
OFF = (ActionKind.DELETE, ActionKind.MARK)


class Refused(Exception):
    """Nothing was done. Its text says why and what to do."""


def may(user: Any, replay: Replay) -> bool:
    """May the user apply, drop or undo it? Only whoever made it sees all that it is about."""
    mine = replay.created_by_id == user.pk or user.is_superuser
    return mine and access.reach_of(user, Replay, "apply_replay") is not None


# -- apply ---------------------------------------------------------------------------------------


@transaction.atomic
def apply(replay: Replay, *, actor: SystemUser, now: datetime) -> Replay:
    """Do what was reviewed. Raises Refused."""
    replay = _locked(replay, actor, ReplayState.READY)
    if replay.is_old(now):
        raise Refused(_("It was decided more than a day ago. Make a new replay."))
    if replay.settings_digest != settings_digest():
        raise Refused(_("The settings have changed since it was decided. Make a new replay."))
    _may_all(replay, actor)
    note = {"id": str(replay.pk), "by": asked("", actor, now)["by"], "at": now.isoformat()}
    _unchanged_since(replay)
    woken: set[UUID] = set()
    for changes in _portions(replay, reverse=False):
        rows, emails = _items(changes), _emails_of(changes)
        for change in changes:
            row = rows[change.item_id]
            change.item_was = _row_was(row)
            _APPLY[ReplayStep(change.step)](change, row, emails, note, now)
            if change.step == ReplayStep.FETCH:
                woken.add(row.mailbox_id)
        _remove(changes, actor, now)
        SyncItem.objects.bulk_update(rows.values(), _fields(), batch_size=AT_ONCE)
        ReplayChange.objects.bulk_update(changes, ["item_was", "email_was", "binned"])
        _withdraw(changes)
    _end(replay, ReplayState.APPLIED, actor, now)
    if woken:
        quarantine.clear_alert(woken, now)
        engine.wake(woken, Operation.INCOMING, now, by_hand=True)
    return replay


@transaction.atomic
def drop(replay: Replay, *, actor: SystemUser, now: datetime) -> Replay:
    """Let it go. Raises Refused."""
    replay = _locked(replay, actor, ReplayState.READY, ReplayState.FAILED, ReplayState.DECIDING)
    return _end(replay, ReplayState.DROPPED, actor, now)


def _end(replay: Replay, state: ReplayState, actor: SystemUser, now: datetime) -> Replay:
    replay.state, replay.ended_on, replay.ended_by = state, now, actor
    replay.save()
    return replay


def _locked(replay: Replay, actor: SystemUser, *states: ReplayState) -> Replay:
    if not may(actor, replay):
        raise access.refusal(Replay, "apply_replay")
    locked = Replay.objects.select_for_update().get(pk=replay.pk)
    if locked.state not in states:
        raise Refused(
            _("It is no longer what you saw: %(state)s.") % {"state": locked.get_state_display()}
        )
    return locked


def _portions(replay: Replay, *, reverse: bool) -> Iterable[list[ReplayChange]]:
    """Of what is done, in the order of the messages, or backwards."""
    every = replay.changes.exclude(step=ReplayStep.NOTHING)
    keys = list(every.order_by("-number" if reverse else "number").values_list("pk", flat=True))
    for start in range(0, len(keys), AT_ONCE):
        found = ReplayChange.objects.select_related("binned").in_bulk(keys[start : start + AT_ONCE])
        yield [found[key] for key in keys[start : start + AT_ONCE] if key in found]


def _items(changes: Sequence[ReplayChange]) -> dict[UUID, SyncItem]:
    keys = [change.item_id for change in changes]
    rows = SyncItem.objects.filter(pk__in=keys).select_for_update(of=("self",)).order_by("pk")
    return {row.pk: row for row in rows.select_related("email")}


def _emails_of(changes: Sequence[ReplayChange]) -> dict[UUID, Email]:
    return _emails([change.email_id for change in changes if change.email_id is not None])


def _emails(keys: Collection[UUID]) -> dict[UUID, Email]:
    # Both rows: a cycle that stores a copy, or a person who answers, waits for us, or we for them.
    for model in (ActivityPointer, Email):
        locked = model._base_manager.filter(pk__in=keys).select_for_update().order_by("pk")
        list(locked.values_list("pk", flat=True))
    return {
        email.pk: email
        for email in Email.objects.filter(pk__in=keys).select_related("activity", "mime")
    }


# -- may it be applied ---------------------------------------------------------------------------


def _may_all(replay: Replay, actor: SystemUser) -> None:
    """Everything or nothing, so the actor's rights must cover it all."""
    items = SyncItem.objects.filter(pk__in=_keys(replay, "item", *ReplayStep))
    _covers(items, actor, "retry_syncitem")
    changed = Email.objects.filter(pk__in=_keys(replay, "email", ReplayStep.CHANGE))
    _covers(changed, actor, "change")
    removed = Email.objects.filter(pk__in=_keys(replay, "email", ReplayStep.REMOVE))
    _covers(removed, actor, "delete")


def _keys(replay: Replay, column: str, *steps: ReplayStep) -> "QuerySet[Any, Any]":
    wanted = [step for step in steps if step != ReplayStep.NOTHING]
    named = Q(step__in=wanted, **{f"{column}__isnull": False})
    found: QuerySet[Any, Any] = ReplayChange.objects.filter(named, replay=replay).values(column)
    return found


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
        not is_same for part in _portions(replay, reverse=False) for is_same in _same(part, replay)
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
    rows, emails = _items(changes), _emails_of(changes)
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
    moved = {_key(one) for one in changes if one.email_id and _moves(one)}
    stay = set(touched(told)) | worked_upon(moved)
    return stay | set(copied(replay).filter(email__in=removed).values_list("email", flat=True))


def _moves(change: ReplayChange) -> bool:
    """Is it taken out of a queue, or put into one?"""
    was, becomes = change.email_was, change.email_becomes
    return change.step == ReplayStep.CHANGE and bool(was["queues"] != becomes["queues"])


# -- the steps -----------------------------------------------------------------------------------

Note = dict[str, Any]


def _row_was(row: SyncItem) -> dict[str, Any]:
    columns = recyclebin.row_of(row)["columns"]
    return {name: columns[name] for name in COLUMNS}


def _fields() -> list[str]:
    return [column.name for column in SyncItem._meta.concrete_fields if column.attname in COLUMNS]


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


# -- undo ----------------------------------------------------------------------------------------


@transaction.atomic
def undo(replay: Replay, *, actor: SystemUser, now: datetime) -> Replay:
    """Put back what it changed, the last first. What was changed since stays as it is, and says why.
    Raises Refused."""
    replay = _locked(replay, actor, ReplayState.APPLIED)
    if replay.ended_on is not None and now - replay.ended_on > recyclebin.KEPT:
        raise Refused(_("It was applied more than 30 days ago, and what it took away is gone."))
    for changes in _portions(replay, reverse=True):
        rows, emails = _items(changes), _emails_of(changes)
        for change in changes:
            row = rows[change.item_id]
            change.not_undone = _undo(change, row, emails, replay, actor, now)[:200]
            if not change.not_undone:
                _put_row_back(row, change.item_was)
        _withdraw_after(changes)
        SyncItem.objects.bulk_update(rows.values(), _fields(), batch_size=AT_ONCE)
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
    _emails([row.email.pk])
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
    if _moves(change) and worked_upon([email.pk]):
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
    rows = SyncItem.objects.filter(pk__in=_keys(replay, "item", ReplayStep.NOTE))
    rows.filter(~Exists(there), email_id__isnull=False).update(email=None)
    for name in ("correlated_activity", "parent_activity", "about"):
        there = Email.objects.filter(pk=OuterRef(f"{name}_id"))
        changed = Email.objects.filter(pk__in=_keys(replay, "email", ReplayStep.CHANGE))
        changed.filter(~Exists(there), **{f"{name}_id__isnull": False}).update(**{name: None})
