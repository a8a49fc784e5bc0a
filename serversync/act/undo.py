"""Undo of one revision: the record is put back here at once, and the next cycle puts the server right (R6.47, R6.53).

    changed         the fields that still are as they were written get their former values, and win over the server;
                    a single occurrence those of its series, where it was like that
    deleted here    back from the bin, and linked; where the item is gone too, a new one is made
    deleted there   the record comes back from the bin likewise
    made here       into the bin; its item stays, unlinked
    made there      the item goes again
    linked          unlinked, and the other way round

What would mail anybody waits for approval (`undoing.adjusted`). Nothing is undone after 30 days: the bin is empty then.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from django.utils.translation import gettext as _

from activities import recyclebin
from activities.models import DeletedRecord
from activities.private import may_read
from activities.recyclebin import NotRestored
from mailboxes import access
from mailboxes.models import SystemUser
from mailboxes.protocols.items import Fields
from serversync.act import byhand, merging, store, times, undoing
from serversync.act.attached import KEY as FILES
from serversync.act.byhand import Refused, note_again
from serversync.act.choices import LinkStart, LinkState, RevisionSide
from serversync.act.records import model_of
from serversync.act.series import PATTERN
from serversync.act.store import StoredRecord, StoreOutcome, StoreWrite
from serversync.act.stored import reasons_data, side_data, side_of, write_data, write_of
from serversync.act.tables import MODELS
from serversync.act.types import Reason, Side, Table, Verb, Write
from serversync.models import ExchangeSyncIdMapping, SyncRevision

Link = ExchangeSyncIdMapping


@dataclass(frozen=True, slots=True)
class Undone:
    """`kept`: fields that somebody has changed since, which stay as they are."""

    link: Link | None
    kept: tuple[str, ...] = ()


def why_not(revision: SyncRevision, now: datetime) -> str:
    """Why it can't be undone; "" if it may be tried."""
    if revision.undone_on is not None:
        return _("It has been undone already.")
    if revision.is_old(now):
        return _("It is more than 30 days old.")
    if revision.verb == FILES:
        return _("Files are attached again or taken off by hand; the bin has what was taken off.")
    if revision.verb == Verb.CANCEL.value:
        return _("Attendees were told that it is off. Make a new meeting.")
    if revision.object_type_code is None or revision.object_id is None:
        return _("It isn't known which record it was about.")
    if _only_deleted_occurrences(revision):
        return _(
            "A single occurrence that was deleted can't be brought back: the server keeps no place for it in its "
            "series. Make an appointment at its time instead."
        )
    return ""


def _only_deleted_occurrences(revision: SyncRevision) -> bool:
    after = revision.after or {}
    occurrences = after.get("occurrences") or {}
    return bool(occurrences) and not after.get("fields") and not any(occurrences.values())


@transaction.atomic
def undo(revision: SyncRevision, *, actor: SystemUser, now: datetime) -> Undone:
    """Raises Refused, PermissionDenied; then nothing has changed."""
    if not access.may(actor, "change", revision):
        raise access.refusal(SyncRevision, "change")
    row = SyncRevision.objects.select_for_update(of=("self",)).get(pk=revision.pk)
    if words := why_not(row, now):
        raise Refused(words)
    done = _way(row)(_Undoing(row, actor, now))
    row.undone_on, row.undone_by = now, actor
    row.save(update_fields=["undone_on", "undone_by"])
    if done.link is not None and done.link.state != LinkState.UNLINKED:
        note_again([done.link], now)
    return done


def newest_of(object_id: UUID) -> SyncRevision | None:
    """The last thing that was done to a record and can be undone."""
    rows = SyncRevision.objects.filter(object_id=object_id, undone_on=None).exclude(
        Q(side=RevisionSide.LINK) | Q(verb=FILES)
    )
    return next((one for one in rows.order_by("-made_on", "-pk")[:20] if not _is_undo(one)), None)


def _is_undo(revision: SyncRevision) -> bool:
    return any(reason.get("code") == "undone_by_hand" for reason in revision.reasons)


def _way(revision: SyncRevision) -> "Callable[[_Undoing], Undone]":
    if revision.side == RevisionSide.LINK:
        return {"link": _part, "unlink": _join}[revision.verb]
    return _WAYS[RevisionSide(revision.side), Verb(revision.verb)]


class _Undoing:
    """One revision on its way back."""

    def __init__(self, revision: SyncRevision, actor: SystemUser, now: datetime) -> None:
        self.revision, self.actor, self.now = revision, actor, now
        assert revision.object_type_code is not None and revision.object_id is not None
        self.table = Table(revision.object_type_code)
        self.key: UUID = revision.object_id

    def link(self) -> Link:
        """Locked; a new one where the old one was forgotten with what it was about."""
        mailbox = self.revision.mailbox
        rows = Link.objects.select_for_update(of=("self",)).filter(
            mailbox=mailbox, generation=mailbox.account_generation, object_type_code=self.table
        )
        known = rows.filter(object_id=self.key).first()
        if known is None and self.revision.link_id:
            known = rows.filter(pk=self.revision.link_id).first()
        return known or Link(
            mailbox=mailbox,
            owner=mailbox.regarding_user or mailbox.owning_user,
            generation=mailbox.account_generation,
            object_type_code=self.table,
            object_id=self.key,
            started=LinkStart.USER,
        )

    def record(self) -> Any:
        """Raises Refused, PermissionDenied."""
        model = MODELS[self.table]
        found = model._default_manager.filter(pk=self.key).first()
        if found is None:
            raise Refused(_("The record is gone. Undo its deletion first."))
        return found

    def require(self, action: str, record: Any) -> None:
        """What its form would ask, too: nobody writes what he may not read (R6.36)."""
        if not (access.may(self.actor, action, record) and may_read(self.actor, record)):
            raise access.refusal(type(record), action)

    def write(self, write: Write, expected: Side | None) -> StoredRecord:
        user = self.revision.mailbox.regarding_user or self.actor
        words = _("Undone by %(name)s") % {"name": self.actor}
        wanted = StoreWrite(
            table=self.table, write=write, key=self.key, expected=expected, why=words
        )
        stored: StoredRecord
        (stored,) = store.write(user, [wanted], self.now)
        if stored.outcome is not StoreOutcome.DONE:
            raise Refused(stored.error or _("The record changed in this very moment. Try again."))
        return stored

    def remember(self, link: Link, write: Write, before: Side | None, **more: Any) -> None:
        told = write_data(write, before)
        SyncRevision.objects.create(
            link=link if link.pk and not link._state.adding else None,
            mailbox=self.revision.mailbox,
            object_type_code=self.table,
            object_id=self.key,
            made_on=self.now,
            side=RevisionSide.STORE,
            verb=write.verb.value,
            before=told.pop("before", None),
            after=told,
            reasons=reasons_data([Reason("undone_by_hand", {"by": str(self.actor)})]),
            **more,
        )


# -- changed ---------------------------------------------------------------------------------------


def _put_back(doing: _Undoing) -> Undone:
    record = doing.record()
    doing.require("change", record)
    now_there = store.sides(doing.table, [doing.key])[doing.key]
    former, kept = _former(doing.revision, now_there, doing.table)
    if not (former.fields or former.occurrences):
        raise Refused(_("Somebody has changed all of it since. Nothing is left to undo."))
    doing.write(former, now_there)
    link = doing.link()
    link.undoing = undoing.KEEP
    link.save()
    doing.remember(link, former, now_there)
    return Undone(link, kept)


def _former(revision: SyncRevision, there: Side, table: Table) -> tuple[Write, tuple[str, ...]]:
    """What to write, of what still is as it was written; and what isn't."""
    before, after = revision.before or {}, revision.after or {}
    now = side_data(there)
    fields, kept = _unchanged(before, after, now, "fields")
    told = {
        "verb": Verb.UPDATE.value,
        "fields": fields,
        "tell": "nobody",
        "told": [],
        "lifecycle": "",
    }
    if not PATTERN.isdisjoint(fields):
        # The pattern takes all that differs from it along, so that is written whole.
        occurrences, kept_too = _unchanged(before, after, now, "occurrences")
        return write_of(table.kind, told | {"occurrences": occurrences}), (*kept, *kept_too)
    write = write_of(table.kind, told)
    was, wrote = side_of(table.kind, before), side_of(table.kind, after)
    back = {at: _back(at, own, was, there) for at, own in wrote.occurrences.items()}
    whole = {at: own for at, own in back.items() if own != {}}
    kept_too = [at.isoformat() for at, own in wrote.occurrences.items() if _is_kept(own, back[at])]
    return replace(write, occurrences=whole), (*kept, *kept_too)


def _back(at: datetime, wrote: Fields | None, was: Side, there: Side) -> Fields | None:
    """Of one occurrence, what still is as it was written gets its former values; those of its series, where it was
    like that. None: it was deleted before. What was deleted by what is undone stays so."""
    before, own = was.occurrences.get(at, {}), there.occurrences.get(at, {})
    if wrote is None or own is None:
        return {}
    plain = times.regular(there.fields, at)
    shown = {**plain, **own}
    same = [name for name, value in wrote.items() if merging.same(shown.get(name), value)]
    if before is None:
        return None if len(same) == len(wrote) else {}
    return {name: before.get(name, plain.get(name)) for name in same}


def _is_kept(wrote: Fields | None, back: Fields | None) -> bool:
    return wrote is None or (back is not None and len(back) < len(wrote))


def _unchanged(
    before: Mapping[str, Any], after: Mapping[str, Any], now: Mapping[str, Any], part: str
) -> tuple[dict[str, Any], list[str]]:
    was, wrote, there = (side.get(part) or {} for side in (before, after, now))
    same = [name for name in wrote if there.get(name) == wrote[name] and name in was]
    return {name: was[name] for name in same}, [name for name in wrote if name not in same]


# -- deleted ---------------------------------------------------------------------------------------


def _bring_back(doing: _Undoing) -> Undone:
    """R6.47: here from the bin; there, where the item is gone, as a new one that invites nobody unasked."""
    entry = doing.revision.deleted or _in_bin(doing)
    if entry is None and not _is_there(doing):
        raise Refused(_("The record is no longer in the bin, or was never deleted here."))
    if entry is not None:
        _restore(entry)
    doing.require("change", doing.record())
    link = doing.link()
    _begin_anew(link, doing.key)
    doing.remember(link, Write(verb=Verb.CREATE), None)
    return Undone(link)


def _in_bin(doing: _Undoing) -> DeletedRecord | None:
    model = model_of(doing.table)
    assert model is not None
    kinds = {model._meta.label_lower, "activities.activitypointer"}
    rows = DeletedRecord.objects.filter(record_type__in=kinds, record_id=str(doing.key))
    return rows.order_by("-deleted_on").first()


def _is_there(doing: _Undoing) -> bool:
    return MODELS[doing.table]._default_manager.filter(pk=doing.key).exists()


def _restore(entry: DeletedRecord) -> None:
    try:
        recyclebin.restore(entry)
    except NotRestored as error:
        raise Refused(str(error)) from error


def _begin_anew(link: Link, key: UUID) -> None:
    """Nothing is known of an item any more; that of a deletion that failed is found by what is written on
    it."""
    link.object_id, link.base, link.sending = key, None, None
    link.state, link.is_unlinked_in_crm = LinkState.NOTED, False
    link.exchange_entry_id = link.change_key = ""
    link.is_deleted_in_exchange, link.batch = False, None
    link.undoing = undoing.KEEP
    byhand.forget_question(link)
    link.save()


# -- made ------------------------------------------------------------------------------------------


def _take_away(doing: _Undoing) -> Undone:
    """Into the bin. The item was there before, so it stays, and isn't taken up again by itself."""
    record = doing.record()
    doing.require("delete", record)
    there = store.sides(doing.table, [doing.key]).get(doing.key)
    write = Write(verb=Verb.DELETE)
    stored = doing.write(write, there)
    link = doing.link()
    reason = Reason("undone_by_hand", {"by": str(doing.actor)})
    byhand.unlinked(link, doing.now, reason).save()
    doing.remember(link, write, there, deleted_id=stored.deleted)
    return Undone(link)


def _remove_item(doing: _Undoing) -> Undone:
    """The next cycle does it, and asks first where attendees would be told."""
    record = MODELS[doing.table]._default_manager.filter(pk=doing.key).first()
    if record is not None:
        doing.require("view", record)
    link = doing.link()
    if not link.exchange_entry_id:
        raise Refused(_("The item is gone already."))
    link.undoing = undoing.REMOVE
    link.save()
    return Undone(link)


# -- linked ----------------------------------------------------------------------------------------


def _part(doing: _Undoing) -> Undone:
    rows = Link.objects.filter(revisions=doing.revision)
    if not byhand.unlink(rows, actor=doing.actor, now=doing.now):
        raise Refused(_("They are not linked any more."))
    return Undone(rows.get())


def _join(doing: _Undoing) -> Undone:
    rows = Link.objects.filter(revisions=doing.revision)
    if not byhand.link_again(rows, actor=doing.actor, now=doing.now):
        raise Refused(_("They are linked already, or one of them is gone."))
    return Undone(rows.get())


_WAYS = {
    (RevisionSide.STORE, Verb.UPDATE): _put_back,
    (RevisionSide.SERVER, Verb.UPDATE): _put_back,
    (RevisionSide.STORE, Verb.DELETE): _bring_back,
    (RevisionSide.SERVER, Verb.DELETE): _bring_back,
    (RevisionSide.STORE, Verb.CREATE): _take_away,
    (RevisionSide.SERVER, Verb.CREATE): _remove_item,
}
