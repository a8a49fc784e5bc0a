"""What a cycle parked for a person: approve it, drop it, or have it decided anew (R6.46, R6.51).

    waiting ──approve──> approved   the next cycle does what is still decided the same, by its digest
       ├─────drop──────> dropped    never proposed again; what would have been deleted is unlinked,
       │                          what would have been made isn't, until a person has it looked at again
       └──decide again─> overtaken  settings may have changed: the next cycle looks at all of it anew

Some of its changes may be approved or dropped; the rest goes on waiting. A row in the database waits as long as it must, whoever
is restarted.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils.translation import gettext as _

from mailboxes import access, alerts
from mailboxes.models import Mailbox, Organization, SystemUser
from serversync.act import guard
from serversync.act.byhand import DECIDE, Refused, forget_question, in_parts, note_again, unlinked
from serversync.act.choices import BatchKind, BatchState, ChangeType, LinkState
from serversync.act.types import Reason, Verb
from serversync.models import (
    ExchangeSyncIdMapping,
    ParkedBatch,
    ParkedChange,
    SyncRevision,
)

ALERT = "ActWaitsForApproval"
Some = Collection[UUID] | None


# -- telling ---------------------------------------------------------------------------------------


def announce(batch: ParkedBatch, now: datetime, organization: Organization | None = None) -> None:
    """An alert on its mailbox, one as long as it waits. Call it whenever its changes have changed."""
    told = batch.changes.filter(approved=False).values_list("told", flat=True)
    people = {address for addresses in told for address in addresses}
    alerts.raise_alert(
        batch.mailbox,
        _code_of(batch),
        now=now,
        organization=organization,
        parameters={"count": len(told), "people": len(people)},
        object_key=str(batch.pk),
    )


def settle(mailbox: Mailbox, now: datetime) -> None:
    """Nothing of this mailbox waits any more."""
    alerts.clear_alerts(mailbox, {ALERT, guard.STOPPED}, now=now)


def _code_of(batch: ParkedBatch) -> str:
    codes = {reason["code"] for reason in batch.reasons}
    return guard.STOPPED if guard.TOO_MANY_DELETES in codes else ALERT


# -- deciding --------------------------------------------------------------------------------------


@transaction.atomic
def approve(
    batch: ParkedBatch,
    *,
    actor: SystemUser,
    now: datetime,
    only: Some = None,
    seen: datetime | None = None,
) -> ParkedBatch:
    """`only`: keys of its changes. `seen`: `changed_on` as it was shown, so that nobody approves what was parked
    since. Raises Refused, PermissionDenied."""
    row = _locked(batch, actor, seen)
    changes = _changes(row, only)
    for part in in_parts([change.pk for change in changes]):
        ParkedChange.objects.filter(pk__in=part).update(approved=True)
    _release(changes, now)
    return _ended(row, actor, now)


@transaction.atomic
def drop(
    batch: ParkedBatch,
    *,
    actor: SystemUser,
    now: datetime,
    only: Some = None,
    seen: datetime | None = None,
) -> ParkedBatch:
    """Neither side loses anything by it. Raises Refused, PermissionDenied."""
    row = _locked(batch, actor, seen)
    changes = _changes(row, only)
    reason = Reason("dropped_by_hand", {"by": str(actor)})
    told = [made for change in changes if (made := _decline(change, now, reason)) is not None]
    SyncRevision.objects.bulk_create(told, batch_size=500)
    _release([change for change in changes if change.link.state != LinkState.UNLINKED], now)
    for part in in_parts([change.pk for change in changes]):
        ParkedChange.objects.filter(pk__in=part).delete()
    return _ended(row, actor, now)


@transaction.atomic
def decide_again(batch: ParkedBatch, *, actor: SystemUser, now: datetime) -> ParkedBatch:
    """Under the settings of now. What is still beyond them is parked in a new batch."""
    row = _locked(batch, actor)
    changes = _changes(row, None)
    _release(changes, now)
    return _end(row, BatchState.OVERTAKEN, actor, now)


def may_decide(user: Any, batch: ParkedBatch) -> bool:
    """The mailbox's owner may, and whose permission reaches it."""
    return access.may(user, DECIDE, batch)


def more_to_come(batch: ParkedBatch) -> int:
    """Pairs of a first synchronization that no cycle has looked at yet: they aren't shown, so they aren't
    approved with the rest."""
    if batch.kind != BatchKind.FIRST:
        return 0
    noted = ExchangeSyncIdMapping.objects.exclude(
        from_crm_change_type=ChangeType.NONE, to_crm_change_type=ChangeType.NONE
    )
    generation = batch.mailbox.account_generation
    fresh = noted.filter(mailbox=batch.mailbox_id, generation=generation, batch=None)
    released = ParkedChange.objects.filter(batch=batch, link=OuterRef("pk"))
    return fresh.filter(~Exists(released), retries=0, next_attempt_at=None).count()


def _locked(batch: ParkedBatch, actor: SystemUser, seen: datetime | None = None) -> ParkedBatch:
    if not may_decide(actor, batch):
        raise access.refusal(ParkedBatch, DECIDE)
    row = ParkedBatch.objects.select_for_update(of=("self",)).get(pk=batch.pk)
    if row.state != BatchState.WAITING:
        raise Refused(
            _("It is no longer what you saw: %(state)s.") % {"state": row.get_state_display()}
        )
    if seen is not None and row.changed_on != seen:
        raise Refused(_("More was parked since you looked, or less. Look at it again."))
    return row


def _changes(batch: ParkedBatch, only: Some) -> list[ParkedChange]:
    """Undecided ones, with their link rows locked."""
    wanted = batch.changes.filter(approved=False)
    if only is not None:
        wanted = wanted.filter(pk__in=only)
    found = list(wanted.defer("told", "reasons").order_by("link"))
    if not found:
        raise Refused(_("Nothing of that waits any more. Look at the batch again."))
    locked: dict[UUID, ExchangeSyncIdMapping] = {}
    for part in in_parts([change.link_id for change in found]):
        links = ExchangeSyncIdMapping.objects.filter(pk__in=part).select_related("mailbox")
        locked |= {link.pk: link for link in links.select_for_update(of=("self",)).order_by("pk")}
    for change in found:
        change.link = locked[change.link_id]
    return found


def _decline(change: ParkedChange, now: datetime, reason: Reason) -> SyncRevision | None:
    """No to exactly this; to a creation, whatever it would hold. The pair whose deletion was declined is parted,
    or it would be asked for ever."""
    link = change.link
    is_new = _creates(change) and link.state == LinkState.NOTED and link.undoing is None
    said = guard.NO_CREATION if is_new else change.digest
    link.declined = sorted({*link.declined, said})
    if deletes(change):
        return unlinked(link, now, reason)
    forget_question(link)
    link.save(update_fields=["declined", "question", "question_about", "asked_on", "user_decision"])
    return None


def deletes(change: ParkedChange) -> bool:
    """Would one of the two go, or be called off?"""
    return bool(_verbs(change) & {Verb.DELETE.value, Verb.CANCEL.value})


def _creates(change: ParkedChange) -> bool:
    return Verb.CREATE.value in _verbs(change)


def _verbs(change: ParkedChange) -> set[str | None]:
    return {(write or {}).get("verb") for write in (change.to_store, change.to_server)}


def _release(changes: Iterable[ParkedChange], now: datetime) -> None:
    """They wait in no batch any more, and the next cycle takes them up."""
    links = [change.link for change in changes]
    for part in in_parts([link.pk for link in links]):
        ExchangeSyncIdMapping.objects.filter(pk__in=part).update(batch=None)
    note_again(links, now)


def _ended(batch: ParkedBatch, actor: SystemUser, now: datetime) -> ParkedBatch:
    """If nothing of it is undecided."""
    if batch.changes.filter(approved=False).exists():
        ParkedBatch.objects.filter(pk=batch.pk).update(changed_on=now)
        announce(batch, now)
        return batch
    any_approved = batch.changes.exists()
    state = BatchState.APPROVED if any_approved else BatchState.DROPPED
    return _end(batch, state, actor, now)


def _end(batch: ParkedBatch, state: BatchState, actor: SystemUser, now: datetime) -> ParkedBatch:
    batch.state, batch.ended_on, batch.ended_by = state, now, actor
    batch.save(update_fields=["state", "ended_on", "ended_by"])
    settle(batch.mailbox, now)
    return batch
