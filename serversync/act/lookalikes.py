"""New records and new items that belong together, before anything is made twice (R6.51).

    new records ─> contacts there with one of their addresses, meetings there with their id ─┐
    new items   ─> meetings here with their id                                              ─┴─> match (pure)

Only what looks like something new is read from the server; nothing else of the mailbox is.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from activities.models import Appointment, RecurringAppointmentMaster
from mailboxes import access
from mailboxes.protocols.items import CALENDAR, CONTACTS, ServerItem
from serversync.act.choices import DecisionAnswer, LinkState
from serversync.act.matching import Ask, Match, UnlinkedItem, UnlinkedRecord, contact_keys, match
from serversync.act.run import ActRun
from serversync.act.types import Question, Table
from serversync.act.work import TABLE_OF, Work
from serversync.models import ExchangeSyncIdMapping

Link = ExchangeSyncIdMapping

MEETINGS: dict[Table, Any] = {
    Table.APPOINTMENT: Appointment,
    Table.RECURRING_APPOINTMENT: RecurringAppointmentMaster,
}


def part(links: Iterable[Link]) -> None:
    """Somebody said that these two are not the same: each goes its own way, and isn't asked about again."""
    for link in links:
        is_no = link.user_decision == DecisionAnswer.NO
        if is_no and link.question == Question.DUPLICATE.value and link.state != LinkState.LINKED:
            link.declined = sorted({*link.declined, link.exchange_entry_id})
            link.exchange_entry_id = link.change_key = link.question = ""
            link.user_decision = DecisionAnswer.NONE
            link.item_facts = {}


def put_together(run: ActRun, works: Sequence[Work]) -> list[Work]:
    """Both sides of what matches are one piece of work afterwards; what must be asked says so."""
    records = {work.link.object_id: work for work in works if _is_new_record(work)}
    items = {work.link.exchange_entry_id: work for work in works if _is_new_item(work)}
    if not records and not items:
        return list(works)
    return _Joining(run, list(works), records, items).join()


def _is_new_record(work: Work) -> bool:
    link = work.link
    return (
        work.store is not None
        and not link.exchange_entry_id
        and link.state == LinkState.NOTED
        and not link.sending
        and (work.table is Table.CONTACT or work.table in MEETINGS)
    )


def _is_new_item(work: Work) -> bool:
    return work.item is not None and work.link.object_id is None and work.table in MEETINGS


@dataclass
class _Joining:
    run: ActRun
    works: list[Work]
    records: Mapping[Any, Work]
    items: Mapping[str, Work]
    found: dict[str, ServerItem] = field(default_factory=dict)

    def join(self) -> list[Work]:
        mine = [self._record(work) for work in self.records.values()]
        self._search(mine)
        theirs = [_item(work.item) for work in self.items.values() if work.item]
        theirs += map(_item, self.found.values())
        result = match(theirs, [*mine, *self._like(theirs, {one.key for one in mine})])
        with self.run.writing():
            for one in result.matches:
                self._join(one)
            for ask in result.asks:
                self._ask(ask)
        return self.works

    def _record(self, work: Work) -> UnlinkedRecord:
        assert work.store is not None and work.link.object_id is not None
        addresses, name = contact_keys(work.store.fields)
        is_contact = work.table is Table.CONTACT
        if not is_contact:  # by which it is made, if nothing like it is there: others may have it
            work.link.uid = work.link.uid or self._uids.get(work.link.object_id, "")
        return UnlinkedRecord(
            key=work.link.object_id,
            table=work.table,
            uid=self._uids.get(work.link.object_id, "") if not is_contact else "",
            addresses=addresses if is_contact else frozenset(),
            name=name if is_contact else "",
        )

    @property
    def _uids(self) -> dict[UUID, str]:
        if not hasattr(self, "_known_uids"):
            keys = [key for key, work in self.records.items() if work.table in MEETINGS]
            self._known_uids: dict[UUID, str] = {}
            for model in MEETINGS.values() if keys else ():
                rows = model.objects.filter(pk__in=keys).exclude(global_object_id="")
                self._known_uids |= dict(rows.values_list("pk", "global_object_id"))
        return self._known_uids

    # -- what looks alike

    def _search(self, mine: Sequence[UnlinkedRecord]) -> None:
        """Items that aren't linked and that one of these may be."""
        server = self.run.connected
        addresses = sorted({address for one in mine for address in one.addresses})
        uids = sorted({one.uid for one in mine if one.uid})
        ids = [one.id for one in server.find_addresses(CONTACTS, addresses)] if addresses else []
        for folder in self.run.folders if uids else ():
            if folder.holds == CALENDAR:
                ids += [one.id for one in server.find_uids(folder.folder, uids)]
        wanted = [identifier for identifier in dict.fromkeys(ids) if self._is_free(identifier)]
        linked = set(
            self.run.links()
            .filter(exchange_entry_id__in=wanted)
            .values_list("exchange_entry_id", flat=True)
        )
        wanted = [identifier for identifier in wanted if identifier not in linked]
        for answer in server.fetch(wanted) if wanted else ():
            if answer.item is not None:
                self.found[answer.id] = answer.item

    def _is_free(self, identifier: str) -> bool:
        declined = (work.link.declined for work in self.records.values())
        return identifier not in self.items and not any(identifier in one for one in declined)

    def _like(self, theirs: Sequence[UnlinkedItem], known: set[UUID]) -> list[UnlinkedRecord]:
        """Records with the id of one of these meetings that this mailbox has no link to."""
        uids = {one.uid for one in theirs if one.uid and one.id in self.items}
        alike = []
        for table, model in MEETINGS.items() if uids else ():
            rows = access.visible_to(
                self.run.user, model.objects.filter(global_object_id__in=uids)
            ).exclude(pk__in=known)
            linked = set(
                self.run.links()
                .filter(object_id__in=rows.values("pk"), state=LinkState.LINKED)
                .values_list("object_id", flat=True)
            )
            alike += [
                UnlinkedRecord(key=key, table=table, uid=uid)
                for key, uid in rows.values_list("pk", "global_object_id")
                if key not in linked
            ]
        return alike

    # -- what comes of it

    def _join(self, one: Match) -> None:
        record, item = self.records.get(one.record.key), self.items.get(one.item.id)
        if record is None:
            assert item is not None
            item.link.object_id = one.record.key
            return
        if item is not None:
            item.link.delete()
            self.works.remove(item)
        self._take(record, one.item.id, item)

    def _take(self, record: Work, identifier: str, item: Work | None) -> None:
        link = record.link
        record.item = item.item if item else self.found[identifier]
        link.exchange_entry_id = identifier
        link.folder = item.link.folder if item else link.folder
        link.uid = record.item.uid if record.item else ""

    def _ask(self, ask: Ask) -> None:
        """The first of the records is asked about; the others wait until that is answered."""
        works = [work for one in ask.records if (work := self.records.get(one.key)) is not None]
        if not works:
            return
        first, *others = works
        self._take(first, ask.item.id, self.items.get(ask.item.id))
        first.question = ask.question
        first.about = {"candidates": [str(one.key) for one in ask.records]}
        for work in others:
            work.waits = True


def _item(item: ServerItem | None) -> UnlinkedItem:
    assert item is not None
    table = TABLE_OF[item.kind]
    addresses, name = contact_keys(item.fields)
    is_contact = table is Table.CONTACT
    return UnlinkedItem(
        id=item.id,
        table=table,
        uid=item.uid if not is_contact else "",
        addresses=addresses if is_contact else frozenset(),
        name=name if is_contact else "",
    )
