"""What is forgotten, and when: personal details of the ledger, original messages, old alerts,
old hashes.

Run nightly by `jobs.prune`. Each step works in chunks, so that a long backlog holds no lock for long.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import Q, QuerySet

from activities.models import Email, EmailHash
from mailboxes.models import Organization, TraceLog
from serversync import alarms, folding, recount, verbose
from serversync.act.choices import BatchState
from serversync.choices import ItemState
from serversync.importing import held
from serversync.models import ParkedBatch, SyncItem, SyncRevision
from serversync.people import audit, throttling
from tracking import brakes
from tracking.byhand import blanked
from tracking.matching import look_back

CHUNK = 500
HISTORY = timedelta(days=30)  # as long as the bin keeps what a revision could bring back (R6.47)

#: These still need a person or another attempt, who need to see what it is about.
KEPT = (ItemState.QUARANTINED, ItemState.RETRYING)


@dataclass(frozen=True, slots=True)
class Forgotten:
    items: int
    folded: int
    originals: int
    alerts: int
    hashes: int
    revisions: int

    def __str__(self) -> str:
        return (
            f"{self.items} items blanked, {self.folded} folded, {self.originals} originals, {self.alerts} alerts,"
            f" {self.hashes} hashes and {self.revisions} revisions removed"
        )


def forget(now: datetime) -> Forgotten:
    organization = Organization.objects.current()
    brakes.forget(now)
    recount.forget(now)
    verbose.forget(now)
    alarms.close_over(now)
    throttling.forget(now)
    audit.forget(now, organization)
    held.forget(now)
    Session.objects.filter(expire_date__lt=now).delete()
    return Forgotten(
        items=blank_items(now, organization),
        folded=folding.fold(now, organization),
        originals=drop_originals(now, organization),
        alerts=drop_alerts(now, organization),
        hashes=drop_hashes(now, organization),
        revisions=drop_revisions(now),
    )


def blank_items(now: datetime, organization: Organization) -> int:
    """R3.73: what is personal goes; key, identity, state and reason stay, so that old mail is never
    decided anew."""
    days = organization.exchange_sync_id_mapping_persistence_time_in_days
    due = SyncItem.objects.filter(blanked=False, decided_at__lt=now - timedelta(days=days)).exclude(
        state__in=KEPT
    )
    done = 0
    while blanked_now := _blank_some(due):
        done += blanked_now
    return done


@transaction.atomic
def _blank_some(due: "QuerySet[SyncItem]") -> int:
    """Locked while they are written, so that nobody has one tracked meanwhile whose request would be lost.
    What somebody has locked already is left for another night."""
    rows = list(
        due.select_for_update(of=("self",), skip_locked=True).order_by("decided_at")[:CHUNK]
    )
    for row in rows:
        row.blanked = True
        row.subject = row.sender = row.message_id = row.last_error = ""
        row.trace = blanked(row.trace) if row.trace else {}
    SyncItem.objects.bulk_update(
        rows, ["blanked", "subject", "sender", "message_id", "last_error", "trace"]
    )
    return len(rows)


def drop_originals(now: datetime, organization: Organization) -> int:
    """The raw message of an e-mail, after the days that the organization keeps it. The bytes
    themselves go with the sweep, once nothing else refers to them."""
    days = organization.keep_mime_days
    if not days:
        return 0
    return Email.objects.filter(
        mime__isnull=False, activity__sort_date__lt=now - timedelta(days=days)
    ).update(mime=None)


def drop_hashes(now: datetime, organization: Organization) -> int:
    """Hashes that smart matching looks back to no more (R4.17)."""
    over = now - look_back(organization.smart_matching_days)
    return EmailHash.objects.filter(sort_date__lt=over).delete()[0]


def drop_alerts(now: datetime, organization: Organization) -> int:
    """Alerts that were cleared, or that only informed, before the days that they are kept."""
    cutoff = now - timedelta(days=organization.trace_log_maximum_age_in_days)
    over = Q(closed_on__lt=cutoff) | Q(trace_status=True, last_seen_on__lt=cutoff)
    return TraceLog.objects.filter(over, can_be_deleted=True).delete()[0]


def drop_revisions(now: datetime) -> int:
    """What the synchronization did to records and items, and what was decided about batches: both tell values."""
    ended = ParkedBatch.objects.exclude(state=BatchState.WAITING)
    ended.filter(ended_on__lt=now - HISTORY).delete()
    old = SyncRevision.objects.filter(made_on__lt=now - HISTORY)
    done = 0
    while keys := list(old.values_list("pk", flat=True)[:CHUNK]):
        done += SyncRevision.objects.filter(pk__in=keys).delete()[0]
    return done
