"""What a person does to single pairs: look at them again, unlink, link again. And what all such deeds share.

Rows are locked in the order of their keys. What a deed needs of the server a cycle does: the mailbox is woken in the same
transaction.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from mailboxes import access, alerts
from mailboxes.choices import Operation
from mailboxes.models import SystemUser
from serversync.act import guard
from serversync.act.choices import (
    BatchState,
    ChangeType,
    DecisionAnswer,
    LinkStart,
    LinkState,
    RevisionSide,
    SyncQuestion,
)
from serversync.act.stored import reasons_data
from serversync.act.types import Reason
from serversync.models import ExchangeSyncIdMapping, ParkedChange, SyncRevision
from serversync.waking import wake

Links = QuerySet[ExchangeSyncIdMapping]

#: What tells the mailbox's owner of a question.
ALERTS = {
    SyncQuestion.SCHEDULING_CONFLICT: "ExchangeSyncSchedulingConflictsError",
    SyncQuestion.DUPLICATE: "DuplicateRecordsFound",
    SyncQuestion.PREVIOUSLY_LINKED: "PreviouslyLinkedItems",
    SyncQuestion.ORGANIZER_CHANGED: "ActOrganizerChanged",
}
DECIDE = "decide_parkedbatch"
AT_ONCE = 500


class Refused(Exception):
    """Nothing was done. Its text says why and what to do."""


# -- what all share --------------------------------------------------------------------------------


def reached(links: Links, actor: SystemUser, action: str = "change") -> list[ExchangeSyncIdMapping]:
    """Those of them that the actor may do this to, locked. Raises PermissionDenied if that is none."""
    plain = ExchangeSyncIdMapping.objects.filter(pk__in=list(links.values_list("pk", flat=True)))
    allowed = access.visible_to(actor, plain, action)
    found = list(allowed.select_for_update(of=("self",)).order_by("pk"))
    if not found and plain.exists():
        raise access.refusal(ExchangeSyncIdMapping, action)
    return found


def note_again(links: Iterable[ExchangeSyncIdMapping], now: datetime) -> int:
    """The next cycle reads both sides and decides anew; it is asked to run now. Returns how many."""
    keys, mailboxes = _keys(links)
    for part in in_parts(keys):
        ExchangeSyncIdMapping.objects.filter(pk__in=part).update(
            from_crm_change_type=ChangeType.AGAIN,
            to_crm_change_type=ChangeType.AGAIN,
            retries=0,
            next_attempt_at=None,
            modified_on=now,
        )
    wake(mailboxes, Operation.ACT, now, by_hand=True)
    return len(keys)


def in_parts(keys: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    """A first synchronization may wait with tens of thousands; no statement names as many."""
    return (keys[start : start + AT_ONCE] for start in range(0, len(keys), AT_ONCE))


def _keys(links: Iterable[ExchangeSyncIdMapping]) -> tuple[list[UUID], set[UUID]]:
    rows = list(links)
    return [row.pk for row in rows], {row.mailbox_id for row in rows}


def unlinked(link: ExchangeSyncIdMapping, now: datetime, reason: Reason) -> SyncRevision:
    """Both copies stay, and it isn't linked again by itself. The row must be locked; the revision is not
    stored yet."""
    was = link.state
    # It was unlinked although it carries the category: only putting that on anew counts.
    link.was_tracked |= was == LinkState.NOTED and link.started == LinkStart.CATEGORY
    link.state, link.is_unlinked_in_crm = LinkState.UNLINKED, True
    link.from_crm_change_type = link.to_crm_change_type = ChangeType.NONE
    link.retries, link.next_attempt_at, link.batch = 0, None, None
    forget_question(link)
    link.save()
    return revision(link, "unlink", now, reason, before={"state": was}, after={"state": link.state})


def revision(
    link: ExchangeSyncIdMapping, verb: str, now: datetime, *reasons: Reason, **told: Any
) -> SyncRevision:
    """Of the link itself, not stored yet."""
    return SyncRevision(
        link=link,
        mailbox_id=link.mailbox_id,
        object_type_code=link.object_type_code,
        object_id=link.object_id,
        made_on=now,
        side=RevisionSide.LINK,
        verb=verb,
        reasons=reasons_data(reasons),
        **told,
    )


def forget_question(link: ExchangeSyncIdMapping) -> None:
    """What was asked is a matter no more. The row is the caller's to save."""
    link.question, link.question_about, link.asked_on = "", {}, None
    link.user_decision = DecisionAnswer.NONE


def clear_alerts(links: Iterable[ExchangeSyncIdMapping], now: datetime) -> None:
    """Of questions about these."""
    rows = list(links)
    mailboxes = {row.mailbox_id: row.mailbox for row in rows}
    for key, mailbox in mailboxes.items():
        objects = [str(row.pk) for row in rows if row.mailbox_id == key]
        alerts.clear_alerts(mailbox, set(ALERTS.values()), objects, now=now)


# -- the deeds -------------------------------------------------------------------------------------


@transaction.atomic
def look_again(links: Links, *, actor: SystemUser, now: datetime) -> int:
    """Whatever it waited for, however often it failed, and although somebody once said that it isn't made."""
    rows = reached(links, actor)
    for link in rows:
        if guard.NO_CREATION in link.declined:
            link.declined = [said for said in link.declined if said != guard.NO_CREATION]
            link.save(update_fields=["declined"])
    return note_again(rows, now)


@transaction.atomic
def unlink(links: Links, *, actor: SystemUser, now: datetime) -> int:
    """R6.49 by hand: record and item both stay, and go their own ways."""
    rows = [link for link in reached(links, actor) if link.state != LinkState.UNLINKED]
    reason = Reason("unlinked_by_hand", {"by": str(actor)})
    SyncRevision.objects.bulk_create([unlinked(link, now, reason) for link in rows])
    clear_alerts(rows, now)
    _take_out(rows)
    return len(rows)


def _take_out(links: Iterable[ExchangeSyncIdMapping]) -> None:
    """Of batches that wait: there is nothing to do to them any more."""
    keys, _mailboxes = _keys(links)
    ParkedChange.objects.filter(link__in=keys, batch__state=BatchState.WAITING).delete()


@transaction.atomic
def link_again(links: Links, *, actor: SystemUser, now: datetime) -> int:
    """What both held when they were last equal is still known, so both sides' changes since then are told
    apart."""
    rows = [link for link in reached(links, actor) if link.state == LinkState.UNLINKED]
    for link in rows:
        _require_both(link)
        relinked(link)
    reason = Reason("linked_by_hand", {"by": str(actor)})
    SyncRevision.objects.bulk_create([revision(link, "link", now, reason) for link in rows])
    note_again(rows, now)
    return len(rows)


def relinked(link: ExchangeSyncIdMapping) -> None:
    """The row must be locked; it is saved here, and noted by the caller."""
    link.state, link.is_unlinked_in_crm = LinkState.LINKED, False
    link.started, link.declined = LinkStart.USER, []
    forget_question(link)
    link.save()


def _require_both(link: ExchangeSyncIdMapping) -> None:
    if not (link.object_id and link.exchange_entry_id) or link.is_deleted_in_exchange:
        raise Refused(_("One of the two is gone, so there is nothing to link. Undo its deletion."))
