"""What a person may do with items that failed for good: another try, or letting go."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet, Value

from mailboxes.choices import Operation
from serversync import engine
from serversync.choices import ItemState
from serversync.models import SyncItem
from tracking import trace

DISMISSED = trace.DISMISSED
FAILED = (ItemState.QUARANTINED, ItemState.RETRYING)


@transaction.atomic
def retry(items: "QuerySet[SyncItem]", *, now: datetime) -> int:
    """Fetch and judge them again as soon as a worker is free. One more failure quarantines again, for
    the attempts stay counted. Returns how many."""
    rows = list(
        SyncItem.objects.filter(pk__in=_keys(items), state__in=FAILED, parent__isnull=True)
        .select_for_update()
        .values_list("pk", "mailbox_id")
    )
    if not rows:
        return 0
    done = SyncItem.objects.filter(pk__in=[pk for pk, _mailbox in rows]).update(
        state=ItemState.RETRYING, next_attempt_at=now
    )
    engine.wake({mailbox for _pk, mailbox in rows}, Operation.INCOMING, now, by_hand=True)
    return done


def dismiss(items: "QuerySet[SyncItem]", *, now: datetime) -> int:
    """Let quarantined items go: skipped, with the former reason as the detail, bytes no longer kept."""
    return SyncItem.objects.filter(pk__in=_keys(items), state=ItemState.QUARANTINED).update(
        state=ItemState.SKIPPED,
        sub_reason=F("reason"),
        reason=Value(DISMISSED),
        raw=None,
        next_attempt_at=None,
        decided_at=now,
    )


def _keys(items: "QuerySet[SyncItem]") -> Collection[UUID]:
    return list(items.order_by().values_list("pk", flat=True))
