"""A replay tells who wrote to whom, so it is kept no longer than what it is about."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from activities import recyclebin
from mailboxes.models import Organization
from serversync.choices import ReplayStep
from serversync.models import Replay, ReplayChange
from tracking.byhand import blanked

CHUNK = 500
PERSONAL = ("message_id", "sender", "subject", "last_error")  # columns of an item
#: Of these the email is there, or in the bin, as long as the replay is.
WITH_EMAIL = (ReplayStep.CHANGE, ReplayStep.REMOVE)


@dataclass(frozen=True, slots=True)
class Forgotten:
    changes: int
    replays: int
    deleted: int

    def __str__(self) -> str:
        return (
            f"{self.changes} changes of replays blanked, {self.replays} replays and {self.deleted}"
            " deleted records removed"
        )


def forget(now: datetime) -> Forgotten:
    """What was rejected is blanked with its item (R3.73), which it can be put back to all the same; the
    rest goes when nothing can be undone any more."""
    limit = now - recyclebin.KEPT
    over = Replay.objects.filter(created_on__lt=limit).exclude(ended_on__gte=limit)
    return Forgotten(
        changes=_blank(now),
        replays=over.delete()[1].get("serversync.Replay", 0),
        deleted=recyclebin.empty(now),
    )


def _blank(now: datetime) -> int:
    days = Organization.objects.current().exchange_sync_id_mapping_persistence_time_in_days
    due = ReplayChange.objects.filter(
        blanked=False, replay__created_on__lt=now - timedelta(days=days)
    ).exclude(step__in=WITH_EMAIL)
    done = 0
    while rows := list(due.order_by("pk")[:CHUNK]):
        for row in rows:
            row.blanked = True
            row.before, row.after = blanked(row.before), blanked(row.after)
            row.item_was = _blanked(row.item_was)
        ReplayChange.objects.bulk_update(rows, ["blanked", "before", "after", "item_was"])
        done += len(rows)
    return done


def _blanked(was: dict[str, Any]) -> dict[str, Any]:
    """As the retention leaves an item."""
    if not was:
        return was
    return {**was, **dict.fromkeys(PERSONAL, ""), "trace": blanked(was["trace"]), "blanked": True}
