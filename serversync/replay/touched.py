"""What people did with an email since it was tracked: whoever removes it would take that away."""

from collections.abc import Collection, Mapping
from typing import Any
from uuid import UUID

from django.db.models import Q

from activities.choices import Direction
from activities.models import Email, QueueItem
from serversync.choices import Stay
from serversync.comparing import made
from serversync.replay import shapes
from tracking.byhand import is_quiet
from tracking.byhand import of as asked_of
from tracking.creation import Said

Data = Mapping[str, Any]


def touched(emails: Mapping[UUID, tuple[shapes.Shape, Data]]) -> dict[UUID, Stay]:
    """Email -> (as it is, as it was decided) to the first thing that speaks against removing it. Two
    statements."""
    answered, worked_on = _answered(emails), worked_upon(emails)
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
    return found


def worked_upon(keys: Collection[UUID]) -> set[UUID]:
    """Those that somebody has taken up in a queue."""
    taken = Q(worker_user__isnull=False) | Q(worker_team__isnull=False)
    return set(QueueItem.objects.filter(taken, object__in=keys).values_list("object", flat=True))


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
