"""Which records changed, for readers that each keep a cursor: the number up to which they have read.

    write ──trigger──> noted ──number()──> numbered ──after(cursor)──> read
                       (without a number,               (in order, each record once)
                        with its transaction)

Notes get their numbers when a reader asks, under a lock: of transactions that have committed, and after all
numbers given before. So what commits late comes late, and no cursor ever passes it. A record that changed again
has only its last number, so the journal holds each record at most once, and what was just noted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connections, router, transaction
from django.db.models import Exists, F, OuterRef, Q

from activities.models import ChangeCounter, RecordChange
from activities.triggers import ACTIVITY, CONTACT

__all__ = ["ACTIVITY", "CONTACT", "Change", "after", "forget", "last", "number", "waiting"]

_JOURNAL = RecordChange._meta.db_table
_NUMBER = f"""
    UPDATE {_JOURNAL} SET number = fresh.number
    FROM (
        SELECT id, %s + row_number() OVER (ORDER BY changed_on, id) AS number
        FROM {_JOURNAL} WHERE number IS NULL
    ) AS fresh
    WHERE {_JOURNAL}.id = fresh.id
"""
_DROP_FORMER = f"""
    DELETE FROM {_JOURNAL} WHERE id IN (
        SELECT former.id FROM {_JOURNAL} later JOIN {_JOURNAL} former
        ON former.object_type = later.object_type AND former.object_id = later.object_id
        AND former.number < later.number
        WHERE later.number > %s
    )
"""


@dataclass(frozen=True, slots=True)
class Change:
    """`object_type` is ACTIVITY or CONTACT; the record may be gone. `object_id`: its key as text."""

    number: int
    object_type: str
    object_id: str


def number(now: datetime) -> int:
    """Give numbers to what was noted and committed; returns the last number. Two statements if nothing was.
    Others wait until the transaction around it ends."""
    using = router.db_for_write(RecordChange)
    with transaction.atomic(using=using):
        counters = ChangeCounter.objects.using(using).select_for_update()
        counter, _made = counters.get_or_create(pk=1)
        with connections[using].cursor() as cursor:
            cursor.execute(_NUMBER, [counter.number])
            if not (numbered := cursor.rowcount):
                return counter.number
            cursor.execute(_DROP_FORMER, [counter.number])
        counter.number += numbered
        counter.numbered_on = now
        counter.save(update_fields=["number", "numbered_on"])
        return counter.number


def after(cursor: int, limit: int) -> Sequence[Change]:
    """What changed since, in order. The reader's next cursor is the last one's number."""
    rows = RecordChange.objects.filter(number__gt=cursor).order_by("number")
    return [
        Change(number, object_type, object_id)
        for number, object_type, object_id in rows.values_list(
            "number", "object_type", "object_id"
        )[:limit]
        if number is not None
    ]


def last() -> int:
    """The number given last: where a reader begins that has read everything otherwise."""
    return ChangeCounter.objects.filter(pk=1).values_list("number", flat=True).first() or 0


def waiting(cursor: int | str | F) -> Q:
    """Whether there is anything behind this cursor. A name or an F is a column of the query around it."""
    noted = RecordChange.objects.filter(number__isnull=True)
    behind = RecordChange.objects.filter(number__gt=_outer(cursor))
    return Q(Exists(noted)) | Q(Exists(behind))


def _outer(cursor: Any) -> Any:
    if isinstance(cursor, int):
        return cursor
    return OuterRef(cursor if isinstance(cursor, str) else cursor.name)


def forget(before_number: int) -> int:
    """Drop what every reader has read; returns how much it was."""
    return RecordChange.objects.filter(number__lt=before_number).delete()[0]
