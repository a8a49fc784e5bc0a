"""How many records mail of unknown senders may make (R3.58): what was counted, and counting on.

Spam has ever new senders. So each rule, and each user or queue whose options want records, makes so
many an hour and a day; what comes beyond is tracked, and makes none.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from django.db.models import F

from mailboxes.models import Organization
from tracking.creation import Creation, Pace
from tracking.models import CreationCount

DAY = timedelta(hours=24)
KEPT = timedelta(days=2)

Counts = Mapping[tuple[str, datetime], int]  # (maker, hour) -> records


def hour_of(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)


def most_of(organization: Organization) -> Pace:
    return Pace(organization.auto_creates_per_hour, organization.auto_creates_per_day)


def pace_of(counts: Counts, maker: str, now: datetime) -> Pace:
    """What this maker made in this hour of the clock, and in 24 of them."""
    hour = hour_of(now)
    day = (hour - timedelta(hours=back) for back in range(24))
    return Pace(counts.get((maker, hour), 0), sum(counts.get((maker, one), 0) for one in day))


def take(made: Iterable[Creation], organization: Organization, now: datetime) -> bool:
    """Count the unknown senders of whom something is made, inside the transaction that makes it. False:
    other workers made so many meanwhile that this is too much; roll back, and plan again."""
    wanted = Counter(one.maker for one in made if one.person is not None)
    if not wanted:
        return True
    hour, makers = hour_of(now), sorted(wanted)  # in one order, for each row stays locked
    CreationCount.objects.bulk_create(
        [CreationCount(maker=maker, hour=hour) for maker in makers], ignore_conflicts=True
    )
    for maker in makers:
        CreationCount.objects.filter(maker=maker, hour=hour).update(made=F("made") + wanted[maker])
    rows = CreationCount.objects.filter(maker__in=makers, hour__gt=hour - DAY)
    counts = {
        (maker, at): number for maker, at, number in rows.values_list("maker", "hour", "made")
    }
    return all(pace_of(counts, maker, now).is_within(most_of(organization)) for maker in makers)


def forget(now: datetime) -> int:
    return CreationCount.objects.filter(hour__lt=now - KEPT).delete()[0]
