"""Carry decisions out: what the store gets, then what the server gets, and what became of each.

    one page ─> transaction: lease, links locked, records, revisions, and what is about to leave (`sending`)
             ─> server: creations, changes, deletions; silent ones together, each that mails somebody alone
             ─> transaction: lease, ids and versions, revisions, what both hold now (`base`)

Killed before the last one, the pair is still noted: both sides are read again, and what was written is no change
any more. A creation without an answer is looked for by the key that is written on it, before it is made again.
A link that a person touched meanwhile keeps his word: what was written is noted, and the pair is decided anew.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from mailboxes import alerts
from mailboxes.alerts import Alert
from mailboxes.choices import TraceLevel
from mailboxes.conditions import explain
from mailboxes.models.base import uuid7
from mailboxes.protocols.items import (
    Change,
    Deletion,
    Outcome,
    Tell,
    WrittenItem,
)
from serversync.act import answers, attached, orders, store
from serversync.act.choices import (
    ActOutcome,
    ChangeType,
    DecisionAnswer,
    LinkState,
    RevisionSide,
)
from serversync.act.run import ActRun, count
from serversync.act.store.types import StoredRecord, StoreOutcome
from serversync.act.stored import lost_data, reasons_data, side_data, write_data
from serversync.act.tables import MEETINGS
from serversync.act.types import Decision, LinkTo, Side, Table, Verb, Write
from serversync.act.work import FOLDER_OF, LOOK_FOR_IT, Work
from serversync.leases import LeaseLost
from serversync.models import ExchangeSyncIdMapping, ItemFolderCursor, SyncRevision

log = logging.getLogger(__name__)
Link = ExchangeSyncIdMapping

INTERNAL = "ActItemInternalError"
LONGEST_ID = 300  # of a meeting, on a record
PAGE = 100  # what one request of the server takes
RETRY = timedelta(minutes=5)
WAIT = timedelta(hours=1)
SAVED = [
    column.name
    for column in Link._meta.concrete_fields
    if column.name not in ("id", "mailbox", "owner", "created_on", "batch")
]
#: Of a link that a person touched while its item was written: only what the server said.
ANSWERED = [
    "exchange_entry_id", "folder", "change_key", "uid", "sending", "object_id", "modified_on",
]  # fmt: skip

STORED = {
    Verb.CREATE: ActOutcome.STORE_CREATED,
    Verb.UPDATE: ActOutcome.STORE_UPDATED,
    Verb.DELETE: ActOutcome.STORE_DELETED,
    Verb.CANCEL: ActOutcome.STORE_UPDATED,
}
WRITTEN = {
    Verb.CREATE: ActOutcome.SERVER_CREATED,
    Verb.UPDATE: ActOutcome.SERVER_UPDATED,
    Verb.DELETE: ActOutcome.SERVER_DELETED,
    Verb.CANCEL: ActOutcome.SERVER_CANCELED,
}


def carry_out(run: ActRun, works: Sequence[Work]) -> None:
    for start in range(0, len(works), PAGE):
        page = works[start : start + PAGE]
        leaving = _stored(run, page)
        if leaving.works:
            leaving.deliver()


def _stored(run: ActRun, works: Sequence[Work]) -> "_Page":
    """What the store takes of a page. If that fails, it is done pair by pair, so that one that can't be
    stored costs itself and nothing else."""
    page = _Page(run)
    as_read = [copy(work.link) for work in works]
    try:
        page.store(works)
        return page
    except LeaseLost:
        raise
    except Exception as error:  # whatever a record does to the database is that record's
        log.exception("mailbox %s: a page of %d pairs failed", run.mailbox.pk, len(works))
        for work, link in zip(works, as_read, strict=True):
            work.link = link
        if len(works) == 1:
            _put_off(run, works[0], error)
            return _Page(run)
    page = _Page(run)
    for work in works:
        page.works += _stored(run, [work]).works
    return page


def _put_off(run: ActRun, work: Work, error: Exception) -> None:
    page = _Page(run)
    with run.writing():
        page.fail(work, INTERNAL, f"{type(error).__name__}: {error}")
        page.save([work])


@dataclass(slots=True)
class _Page:
    """`works`: what is on its way to the server. `forgotten`: links of pairs of which nothing is left, once
    that was carried out."""

    run: ActRun
    works: list[Work] = field(default_factory=list)
    revisions: list[SyncRevision] = field(default_factory=list)
    asked: list[Link] = field(default_factory=list)
    forgotten: set[UUID] = field(default_factory=set)
    told: list[Alert] = field(default_factory=list)

    def store(self, works: Sequence[Work]) -> None:
        """`works` are those that the server has to hear of, then."""
        with self.run.timed("store"), self.run.writing():
            mine = self._untouched(works)
            self.works = self._store(mine)
            self._expect_made()
            self.save(mine)
            self._tell()

    def deliver(self) -> None:
        with self.run.timed("write"):
            answered = list(self._server(self.works))
        with self.run.timed("note"), self.run.writing():
            self._settle(answered)

    # -- links and the people who touch them

    def _untouched(self, works: Sequence[Work]) -> list[Work]:
        """Locked, and as they were read. What somebody touched is noted again by whoever did."""
        keys = [work.link.pk for work in works if not work.link._state.adding]
        rows = Link.objects.filter(pk__in=keys).select_for_update().order_by("pk")
        now_on = dict(rows.values_list("pk", "modified_on"))
        return [work for work in works if now_on.get(work.link.pk) == work.link.modified_on]

    def _keep_meeting_ids(self, works: Iterable[Work]) -> None:
        """By which other mailboxes know their copies of the meeting (R6.51)."""
        for work in works:
            if (model := MEETINGS.get(work.table)) and work.link.uid and work.link.object_id:
                rows = model.objects.filter(pk=work.link.object_id, global_object_id="")
                if len(work.link.uid) <= LONGEST_ID:  # a part of it would be another meeting's
                    rows.update(global_object_id=work.link.uid)

    def save(self, works: Iterable[Work], columns: Sequence[str] = SAVED) -> None:
        now = self.run.clock()
        mine = [work.link for work in works]
        links = [link for link in mine if link.pk not in self.forgotten]
        forgotten = [link.pk for link in mine if link.pk in self.forgotten]
        for link in links:
            link.modified_on = now
        Link.objects.bulk_update(links, columns, batch_size=PAGE)
        SyncRevision.objects.bulk_create(self.revisions)
        self.revisions.clear()
        if forgotten:
            Link.objects.filter(pk__in=forgotten).delete()

    def _tell(self) -> None:
        """Of questions; of what was done although somebody may not like it (R6.26)."""
        run = self.run
        if self.asked:
            answers.announce(run.mailbox, self.asked, run.clock(), run.organization)
        if self.told:
            alerts.raise_all(run.mailbox, self.told, now=run.clock(), organization=run.organization)

    # -- the store

    def _store(self, works: Sequence[Work]) -> list[Work]:
        """Returns those that the server has to hear of, with what is about to leave noted on their links."""
        ready = [work for work in works if not self._is_hindered(work)]
        for work, stored in zip(*self._written(ready), strict=True):
            self._note_stored(work, stored)
            if stored.outcome is not StoreOutcome.DONE:
                ready.remove(work)
        self._keep_meeting_ids(_adopted(ready))
        leaving = []
        for work in ready:
            if self._prepare(work):
                leaving.append(work)
            else:
                _know(work)
                self._finish(work)
        return leaving

    def _is_hindered(self, work: Work) -> bool:
        """Nothing can be done with it now; its link says why."""
        decision = work.decision
        if work.waits:
            wait = WAIT if work.link.object_id else LOOK_FOR_IT
            work.link.next_attempt_at = self.run.clock() + wait
        elif work.unreadable is not None:
            self.fail(work, work.unreadable.code, str(work.unreadable))
        elif decision.error:
            self.fail(work, decision.error, explain(decision.error).sentence())
        elif decision.question is not None:
            self._ask(work)
        else:
            return False
        return True

    def _written(self, works: Sequence[Work]) -> tuple[list[Work], list[StoredRecord]]:
        wanted = [work for work in works if work.decision.to_store is not None]
        if not wanted:
            return [], []
        now = self.run.clock()
        return wanted, store.write(
            self.run.user, [orders.store_write(work) for work in wanted], now
        )

    def _note_stored(self, work: Work, stored: StoredRecord) -> None:
        write = work.decision.to_store
        assert write is not None
        if stored.outcome is StoreOutcome.REFUSED:
            self.fail(work, stored.code, stored.error)
        elif stored.outcome is not StoreOutcome.DONE:
            self._again(work)
        else:
            if write.verb is Verb.CREATE:
                work.link.object_id = stored.key
            self._count(STORED[write.verb])
            if work.decision.alert:
                key = str(work.link.pk)
                self.told.append(Alert(work.decision.alert, key, level=TraceLevel.WARNING))
            self._revise(work, write, RevisionSide.STORE, work.store, stored.deleted)

    # -- the server

    def _prepare(self, work: Work) -> bool:
        """Is there something to say to the server? What is noted before it leaves can't be forgotten."""
        link, write = work.link, work.decision.to_server
        if write is None and not orders.needs_mark(work):
            return False
        link.link_key = link.link_key or uuid7()
        link.sending = {"at": self.run.clock().isoformat()} | (write_data(write) if write else {})
        return True

    def _server(self, works: Sequence[Work]) -> Iterator[tuple[Work, WrittenItem]]:
        """One answer each. What belongs to single occurrences of a series follows its head."""
        server = self.run.connected
        groups: list[tuple[Verb, Callable[[Any], list[WrittenItem]], Callable[[Work], Any]]]
        groups = [
            (Verb.CREATE, server.create, orders.draft),
            (Verb.UPDATE, server.update, orders.change),
            (Verb.DELETE, server.delete, orders.deletion),
        ]
        for verb, write, order in groups:
            for part in orders.apart([one for one in works if orders.request_of(one) is verb]):
                self._renew()
                for work, answer in zip(part, write([order(one) for one in part]), strict=True):
                    if answer.outcome is Outcome.DONE:
                        answer = self._occurrences(work, answer)
                    yield work, answer

    def _renew(self) -> None:
        """Directly before a request that makes or mails something: a worker that slept until its lease was
        over does nothing that another one has done meanwhile."""
        with self.run.writing():
            pass

    def _occurrences(self, work: Work, head: WrittenItem) -> WrittenItem:
        """Each alone: it changes the version of the series. What fails is decided again."""
        write = work.decision.to_server
        answer = head
        for original, fields in sorted(write.occurrences.items()) if write else ():
            assert write is not None
            identity: dict[str, Any] = {
                "id": head.id,
                "version": answer.version,
                "kind": work.table.kind,
            }
            identity |= {"original": original, "tell": write.tells.get(original, Tell.NOBODY)}
            self._renew()
            if fields is None:
                done = self.run.connected.delete([Deletion(**identity)])[0]
            else:
                done = self.run.connected.update([Change(fields=fields, **identity)])[0]
            if done.outcome is not Outcome.DONE:
                return replace(done, id=head.id, uid=head.uid)
            answer = replace(head, version=done.version)
        return answer

    def _settle(self, answers: Sequence[tuple[Work, WrittenItem]]) -> None:
        touched = self._touched([work for work, _ in answers])
        for work, answer in answers:
            _remember(work.link, answer)
            self._note_answer(work, answer)
        created = [work for work, _ in answers if orders.makes(work)]
        self._keep_meeting_ids(created)
        theirs = [work for work, _ in answers if work.link.pk in touched]
        self.save([work for work, _ in answers if work.link.pk not in touched])
        self.save(theirs, ANSWERED)

    def _touched(self, works: Sequence[Work]) -> set[UUID]:
        """By a person, meanwhile. Whoever did has noted them again, or unlinked them."""
        known = {work.link.pk: work.link.modified_on for work in works}
        rows = Link.objects.filter(pk__in=list(known)).select_for_update().order_by("pk")
        return {key for key, on in rows.values_list("pk", "modified_on") if known[key] != on}

    def _note_answer(self, work: Work, answer: WrittenItem) -> None:
        link, write = work.link, work.decision.to_server
        if answer.outcome is Outcome.DONE:
            link.sending = None
            link.is_deleted_in_exchange = False
            if write is not None:
                self._count(WRITTEN[write.verb])
                self._revise(work, write, RevisionSide.SERVER, work.server)
            self._finish(work)
        elif answer.outcome is Outcome.STALE:
            link.sending = None
            self._again(work)
        elif answer.outcome is Outcome.GONE:
            link.sending = None
            link.is_deleted_in_exchange = True
            self._again(work)
        elif answer.outcome is Outcome.REFUSED:
            link.sending = None
            self.fail(work, _code_of(answer), str(answer.error or ""))
        else:
            self.fail(work, _code_of(answer), str(answer.error or ""))
            link.to_crm_change_type = ChangeType.AGAIN
            link.next_attempt_at = self.run.clock() + LOOK_FOR_IT

    def _expect_made(self) -> None:
        """What is made now must come up in the next listing of its folder, or is gone by then."""
        made = {FOLDER_OF[work.table.kind] for work in self.works if orders.makes(work)}
        if made:
            mailbox = self.run.mailbox
            ItemFolderCursor.objects.filter(
                mailbox=mailbox, generation=mailbox.account_generation, folder__in=made
            ).update(complete=False)

    # -- what becomes of the link

    def _finish(self, work: Work) -> None:
        """Both sides hold what was decided."""
        link, decision, now = work.link, work.decision, self.run.clock()
        _forget_trouble(link)
        _forget_question(link)
        if work.server is not None:
            link.was_tracked = work.facts.tracked
        if decision.declined:
            link.declined = sorted({*link.declined, decision.declined})
        link.undoing = link.sending = None
        if decision.link is LinkTo.UNLINK:
            self._count(ActOutcome.UNLINKED)
            # The base stays: should the two be linked again, it tells who changed what meanwhile.
            link.state, link.is_unlinked_in_crm = LinkState.UNLINKED, not _may_come_back(decision)
            link.item_facts["without_record"] = work.store is None
            self._revise_link(work, "unlink")
            return
        if decision.link is LinkTo.FORGET:
            self.forgotten.add(link.pk)
            return
        if decision.base is not None:
            if link.state != LinkState.LINKED:
                self._count(ActOutcome.LINKED)
                self._revise_link(work, "link")
            link.state, link.is_unlinked_in_crm = LinkState.LINKED, False
            link.item_facts.pop("without_record", None)
            link.base = side_data(decision.base) | attached.kept(link.base)
            link.synced_on = now
            link.item_subject = str(decision.base.fields.get("subject") or "")[:2048]
            if self.run.settings.attachments and work.table is Table.APPOINTMENT:
                # Noted until its files are carried over as well.
                work.has_files, link.from_crm_change_type = True, ChangeType.AGAIN

    def _again(self, work: Work) -> None:
        """Something changed between reading and writing: decide anew."""
        link = work.link
        link.from_crm_change_type = link.to_crm_change_type = ChangeType.AGAIN
        link.next_attempt_at = None
        self.run.result.soon = True

    def fail(self, work: Work, code: str, text: str) -> None:
        """R6.54: after some attempts it stays in the item monitor until a side changes."""
        link, now = work.link, self.run.clock()
        self._count(ActOutcome.FAILED)
        link.retries += 1
        link.last_sync_error, link.last_sync_error_code = text[:2048], code
        link.last_sync_error_occurred_on = now
        if link.retries >= self.run.settings.max_attempts:
            link.from_crm_change_type = link.to_crm_change_type = ChangeType.NONE
            link.next_attempt_at = None
        else:
            link.next_attempt_at = now + RETRY * 2 ** (link.retries - 1)

    def _ask(self, work: Work) -> None:
        link, question = work.link, work.decision.question
        assert question is not None
        _forget_trouble(link)
        if link.question != question.value:
            self._count(ActOutcome.ASKED)
            link.question, link.asked_on = question.value, self.run.clock()
            link.question_about = work.about | answers.shown(work.server)
            self.asked.append(link)

    # -- history

    def _revise(
        self,
        work: Work,
        write: Write,
        side: RevisionSide,
        before: Side | None,
        deleted: UUID | None = None,
    ) -> None:
        told = write_data(write, before)
        self.revisions.append(
            SyncRevision(
                link=work.link if work.decision.link is not LinkTo.FORGET else None,
                mailbox=self.run.mailbox,
                object_type_code=work.table,
                object_id=work.link.object_id,
                made_on=self.run.clock(),
                side=side,
                verb=write.verb.value,
                before=told.pop("before", None),
                after=told,
                lost=lost_data(work.decision.lost),
                told=sorted(write.told),
                reasons=reasons_data(work.decision.reasons),
                deleted_id=deleted,
            )
        )

    def _revise_link(self, work: Work, verb: str) -> None:
        self.revisions.append(
            SyncRevision(
                link=work.link,
                mailbox=self.run.mailbox,
                object_type_code=work.table,
                object_id=work.link.object_id,
                made_on=self.run.clock(),
                side=RevisionSide.LINK,
                verb=verb,
                reasons=reasons_data(work.decision.reasons),
            )
        )

    def _count(self, outcome: ActOutcome) -> None:
        count(self.run.result, outcome)


# -- what a link says ------------------------------------------------------------------------------


def _remember(link: Link, answer: WrittenItem) -> None:
    """What the server says of the item, whatever else became of the request."""
    if answer.id and answer.id != link.exchange_entry_id:
        link.exchange_entry_id, link.listing = answer.id, 0
        if not link.folder and link.object_type_code is not None:
            link.folder = FOLDER_OF[Table(link.object_type_code).kind]
    if answer.outcome is Outcome.DONE and answer.version:
        link.change_key = answer.version
    link.uid = answer.uid[:512] or link.uid


def _may_come_back(decision: Decision) -> bool:
    """Nobody decided that: it left the filters, or was out of sight."""
    return bool({reason.code for reason in decision.reasons} & {"no_filter", "not_readable"})


def _forget_trouble(link: Link) -> None:
    link.from_crm_change_type = link.to_crm_change_type = ChangeType.NONE
    link.retries, link.next_attempt_at = 0, None
    link.last_sync_error = link.last_sync_error_code = ""
    link.last_sync_error_occurred_on = None


def _forget_question(link: Link) -> None:
    link.question, link.question_about, link.asked_on = "", {}, None
    link.user_decision = DecisionAnswer.NONE


def _adopted(works: Iterable[Work]) -> Iterator[Work]:
    """Made there without an answer, and found."""
    for work in works:
        if work.link.sending and work.item is not None:
            work.link.uid = work.item.uid
            yield work


def _know(work: Work) -> None:
    """The item as it was fetched is the one that both agree on."""
    if work.item is not None:
        work.link.change_key = work.item.version
        work.link.uid = work.item.uid[:512] or work.link.uid


def _code_of(answer: WrittenItem) -> str:
    return answer.error.code if answer.error else "Unknown"
