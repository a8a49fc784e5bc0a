"""What people did with an email since it was tracked: whoever removes it would take that away."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q

from activities.choices import Direction
from activities.models import Email, QueueItem
from mailboxes.protocols.base import ActionKind
from serversync.choices import ActionState, Stay
from serversync.comparing import made
from serversync.models import ServerAction, SyncItem
from serversync.replay import shapes
from tracking.byhand import is_quiet
from tracking.byhand import of as asked_of
from tracking.creation import Said

Data = Mapping[str, Any]


def touched(emails: Mapping[UUID, tuple[shapes.Shape, Data]]) -> dict[UUID, Stay]:
    """Email -> (as it is, as it was decided) to the first thing that speaks against removing it. Three
    statements."""
    answered, worked_on, last = _answered(emails), worked_upon(emails), _last_copies(emails)
    found = {}
    for key, (shape, decision) in emails.items():
        if made(decision, Said.PERSON) or made(decision, Said.CASE):
            found[key] = Stay.MADE
        elif _is_by_hand(shape, decision):
            found[key] = Stay.BY_HAND
        elif key in answered:
            found[key] = Stay.ANSWERED
        elif key in worked_on:
            found[key] = Stay.WORKED_ON
        elif key in last:
            found[key] = Stay.LAST
    return found


def worked_upon(keys: Collection[UUID]) -> set[UUID]:
    """Those that somebody has taken up in a queue."""
    taken = Q(worker_user__isnull=False) | Q(worker_team__isnull=False)
    return set(QueueItem.objects.filter(taken, object__in=keys).values_list("object", flat=True))


def _last_copies(keys: Collection[UUID]) -> set[UUID]:
    """Those whose copy on a server was deleted after they were stored (R1.37)."""
    done = ServerAction.objects.filter(kind=ActionKind.DELETE, state=ActionState.DONE)
    deleted = SyncItem.objects.filter(
        Q(server_actions__in=done) | Q(parent__server_actions__in=done), email__in=keys
    )
    return {key for key in deleted.values_list("email", flat=True) if key is not None}


def _is_by_hand(shape: shapes.Shape, decision: Data) -> bool:
    asked = asked_of(decision)
    return (bool(asked) and not is_quiet(asked)) or shapes.is_changed_by_hand(shape, decision)


def _answered(keys: Collection[UUID]) -> set[UUID]:
    answers = Email.objects.filter(
        Q(parent_activity__in=keys) | Q(correlated_activity__in=keys),
        direction_code=Direction.OUTGOING,
    )
    pairs = answers.values_list("parent_activity", "correlated_activity")
    return {key for pair in pairs for key in pair if key is not None and key in keys}
