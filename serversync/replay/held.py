"""What applying and undoing share: who may, and the rows of a replay, locked and in their order."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q, QuerySet
from django.utils.translation import gettext as _

from activities import recyclebin
from activities.models import ActivityPointer, Email
from mailboxes import access
from mailboxes.models import SystemUser
from mailboxes.protocols.base import ActionKind
from serversync.choices import ReplayState, ReplayStep
from serversync.models import Replay, ReplayChange, SyncItem

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


def locked(replay: Replay, actor: SystemUser, *states: ReplayState) -> Replay:
    if not may(actor, replay):
        raise access.refusal(Replay, "apply_replay")
    row = Replay.objects.select_for_update().get(pk=replay.pk)
    if row.state not in states:
        raise Refused(
            _("It is no longer what you saw: %(state)s.") % {"state": row.get_state_display()}
        )
    return row


def portions(replay: Replay, *, reverse: bool) -> Iterable[list[ReplayChange]]:
    """Of what is done, in the order of the messages, or backwards."""
    every = replay.changes.exclude(step=ReplayStep.NOTHING)
    keys = list(every.order_by("-number" if reverse else "number").values_list("pk", flat=True))
    for start in range(0, len(keys), AT_ONCE):
        found = ReplayChange.objects.select_related("binned").in_bulk(keys[start : start + AT_ONCE])
        yield [found[key] for key in keys[start : start + AT_ONCE] if key in found]


def rows_of(changes: Sequence[ReplayChange]) -> dict[UUID, SyncItem]:
    keys = [change.item_id for change in changes]
    rows = SyncItem.objects.filter(pk__in=keys).select_for_update(of=("self",)).order_by("pk")
    return {row.pk: row for row in rows.select_related("email")}


def emails_of(changes: Sequence[ReplayChange]) -> dict[UUID, Email]:
    return emails_at([change.email_id for change in changes if change.email_id is not None])


def emails_at(keys: Collection[UUID]) -> dict[UUID, Email]:
    # Both rows: a cycle that stores a copy, or a person who answers, waits for us, or we for them.
    for model in (ActivityPointer, Email):
        locked = model._base_manager.filter(pk__in=keys).select_for_update().order_by("pk")
        list(locked.values_list("pk", flat=True))
    return {
        email.pk: email
        for email in Email.objects.filter(pk__in=keys).select_related("activity", "mime")
    }


def keys_of(replay: Replay, column: str, *steps: ReplayStep) -> "QuerySet[Any, Any]":
    wanted = [step for step in steps if step != ReplayStep.NOTHING]
    named = Q(step__in=wanted, **{f"{column}__isnull": False})
    found: QuerySet[Any, Any] = ReplayChange.objects.filter(named, replay=replay).values(column)
    return found


def row_was(row: SyncItem) -> dict[str, Any]:
    columns = recyclebin.row_of(row)["columns"]
    return {name: columns[name] for name in COLUMNS}


def fields() -> list[str]:
    return [column.name for column in SyncItem._meta.concrete_fields if column.attname in COLUMNS]


def moves(change: ReplayChange) -> bool:
    """Is it taken out of a queue, or put into one?"""
    was, becomes = change.email_was, change.email_becomes
    return change.step == ReplayStep.CHANGE and bool(was["queues"] != becomes["queues"])
