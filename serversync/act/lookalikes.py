"""New records and new items that belong together, before anything is made twice (R6.51).

    new records ─> contacts there with one of their addresses, meetings there with their id ─┐
    new items   ─> meetings here with their id                                              ─┴─> match (pure)

Only what looks like something new is read from the server; nothing else of the mailbox is.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db.models import Q

from activities.models import Contact
from mailboxes.models import EmailSearch
from mailboxes.protocols.items import CALENDAR, CONTACTS, FoundContact, ServerItem
from serversync.act import store
from serversync.act.choices import DecisionAnswer, LinkState
from serversync.act.matching import Ask, Match, UnlinkedItem, UnlinkedRecord, contact_keys, match
from serversync.act.run import ActRun
from serversync.act.tables import MEETINGS
from serversync.act.types import Question, Table
from serversync.act.work import FOLDER_OF, TABLE_OF, Work, key_of
from serversync.models import ExchangeSyncIdMapping

Link = ExchangeSyncIdMapping


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
    former = _former(run, works)
    _part_again(works, former)
    records = {work.link.object_id: work for work in works if _is_new_record(work, former)}
    items = {work.link.exchange_entry_id: work for work in works if _is_new_item(work, former)}
    if not records and not items:
        return list(works)
    return _Joining(run, list(works), records, items, former).join()


def _is_new_record(work: Work, former: "Former") -> bool:
    known = work.link.object_id in former.by_record
    alike = work.table is Table.CONTACT or work.table in MEETINGS
    return _is_alone(work) and (alike or known)


def _is_alone(work: Work) -> bool:
    link = work.link
    is_noted = link.state == LinkState.NOTED and not link.sending
    return work.store is not None and not link.exchange_entry_id and is_noted


def _is_new_item(work: Work, former: "Former") -> bool:
    if work.item is None or work.link.object_id is not None or work.link.is_unlinked_in_crm:
        return False
    return work.table in MEETINGS or work.item.link in former.by_key


# -- the account before (R1.46) ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Former:
    """Links of this mailbox under its accounts of before, by which items that came along are known."""

    by_record: Mapping[Any, Link]
    by_key: Mapping[str, Link]


def _former(run: ActRun, works: Sequence[Work]) -> Former:
    """One statement, where there was another account."""
    now = run.mailbox.account_generation
    records = [work.link.object_id for work in works if _is_alone(work)]
    new = [work.item.link for work in works if work.item and _is_unknown(work)]
    keys = [key for text in new if (key := key_of(text)) is not None]
    if now == 1 or not (records or keys):
        return Former({}, {})
    rows = Link.objects.filter(
        Q(object_id__in=records) | Q(link_key__in=keys),
        mailbox=run.mailbox,
        generation__lt=now,
        object_id__isnull=False,
        link_key__isnull=False,
    ).order_by("generation")
    latest = {row.object_id: row for row in rows}
    return Former(latest, {str(row.link_key): row for row in latest.values()})


def _part_again(works: Sequence[Work], former: Former) -> None:
    """What a decision has unlinked stays so under another account."""
    for work in works:
        if _is_alone(work):
            link = former.by_record.get(work.link.object_id)
        else:
            link = former.by_key.get(work.item.link) if _is_unknown(work) and work.item else None
        if link is not None and _is_parted(link):
            work.link.state, work.link.is_unlinked_in_crm = LinkState.UNLINKED, True
            work.link.was_tracked = link.was_tracked


def _is_unknown(work: Work) -> bool:
    """Nothing but an item, so far."""
    return work.item is not None and work.link.object_id is None


def _is_parted(link: Link) -> bool:
    by_decision = link.state == LinkState.UNLINKED and link.is_unlinked_in_crm
    return by_decision and not link.item_facts.get("without_record")


@dataclass
class _Joining:
    run: ActRun
    works: list[Work]
    records: Mapping[Any, Work]
    items: Mapping[str, Work]
    former: Former
    found: dict[str, ServerItem] = field(default_factory=dict)

    def join(self) -> list[Work]:
        mine = [self._record(work) for work in self.records.values()]
        self._search(mine)
        mine = [one for one in mine if not self.records[one.key].waits]
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
        if (
            work.table in MEETINGS
        ):  # by which it is made, if nothing like it is there: others may have it
            work.link.uid = work.link.uid or self._uids.get(work.link.object_id, "")
        return UnlinkedRecord(
            key=work.link.object_id,
            table=work.table,
            link=self._link_of(work.link.object_id),
            uid=self._uids.get(work.link.object_id, "") if not is_contact else "",
            addresses=addresses if is_contact else frozenset(),
            name=name if is_contact else "",
        )

    def _link_of(self, key: UUID) -> str:
        link = self.former.by_record.get(key)
        return str(link.link_key) if link else ""

    @cached_property
    def _uids(self) -> dict[UUID, str]:
        keys = [key for key, work in self.records.items() if work.table in MEETINGS]
        known: dict[UUID, str] = {}
        for model in MEETINGS.values() if keys else ():
            rows = model.objects.filter(pk__in=keys).exclude(global_object_id="")
            known |= dict(rows.values_list("pk", "global_object_id"))
        return known

    # -- what looks alike

    def _search(self, mine: Sequence[UnlinkedRecord]) -> None:
        """Items that aren't linked and that one of these may be."""
        server = self.run.connected
        addresses = sorted({address for one in mine for address in one.addresses})
        uids = sorted({one.uid for one in mine if one.uid})
        places = server.find_addresses(CONTACTS, addresses) if addresses else []
        ids = [one.id for one in places]
        for folder in self.run.folders if uids else ():
            if folder.holds == CALENDAR:
                ids += [one.id for one in server.find_uids(folder.folder, uids)]
        ids += self._find_linked(mine)
        wanted = [identifier for identifier in dict.fromkeys(ids) if self._is_free(identifier)]
        known = self.run.links().filter(exchange_entry_id__in=wanted)
        known = known.only("exchange_entry_id", "question", "state")
        taken = {link.exchange_entry_id: link for link in known}
        self._wait_for(mine, places, taken)
        wanted = [identifier for identifier in wanted if identifier not in taken]
        for answer in server.fetch(wanted) if wanted else ():
            if answer.item is not None:
                self.found[answer.id] = answer.item

    def _find_linked(self, mine: Sequence[UnlinkedRecord]) -> Iterator[str]:
        """Items with the keys of former links."""
        for folder in self.run.folders:
            keys = [
                one.link for one in mine if one.link and FOLDER_OF[one.table.kind] == folder.holds
            ]
            if keys:
                yield from (one.id for one in self.run.connected.find(folder.folder, keys))

    def _wait_for(
        self,
        mine: Sequence[UnlinkedRecord],
        places: Sequence[FoundContact],
        taken: Mapping[str, Link],
    ) -> None:
        """Whoever has the address of an item that is asked about may be that one."""
        asked = {
            place.address.lower()
            for place in places
            if (link := taken.get(place.id)) is not None
            and link.question == Question.DUPLICATE.value
            and link.state != LinkState.LINKED
        }
        for one in mine:
            self.records[one.key].waits |= bool(one.addresses & asked)

    def _is_free(self, identifier: str) -> bool:
        declined = (work.link.declined for work in self.records.values())
        return identifier not in self.items and not any(identifier in one for one in declined)

    def _like(self, theirs: Sequence[UnlinkedItem], known: set[UUID]) -> list[UnlinkedRecord]:
        """Records that aren't looked at now, and that these items may be."""
        return [
            *self._with_their_links(known),
            *self._with_their_ids(theirs, known),
            *self._with_their_addresses(theirs, known),
        ]

    def _with_their_links(self, known: set[UUID]) -> Iterator[UnlinkedRecord]:
        """Under another account they had one."""
        carried = {work.item.link for work in self.items.values() if work.item}
        former = [link for key, link in self.former.by_key.items() if key in carried]
        keys = {link.object_id for link in former} - known
        free = keys - self._linked(keys) if keys else keys
        for link in former:
            if link.object_id in free and link.object_id and link.object_type_code:
                table = Table(link.object_type_code)
                yield UnlinkedRecord(key=link.object_id, table=table, link=str(link.link_key))

    def _with_their_ids(
        self, theirs: Sequence[UnlinkedItem], known: set[UUID]
    ) -> Iterator[UnlinkedRecord]:
        """Meetings that this mailbox has no link to."""
        uids = {one.uid for one in theirs if one.uid and one.id in self.items}
        there = store.known_meetings(self.run.user, uids)
        for one in theirs:
            if one.uid in uids and one.id in self.items:
                self.items[one.id].alike = frozenset(there.get((one.table, one.uid), ()))
        keys = set().union(*there.values()) - known
        free = keys - self._linked(keys) if keys else keys
        for (table, uid), same in there.items():
            for key in sorted(same & free):
                yield UnlinkedRecord(key=key, table=table, uid=uid)

    def _linked(self, keys: Any) -> set[Any]:
        rows = self.run.links().filter(object_id__in=keys, state=LinkState.LINKED)
        return set(rows.values_list("object_id", flat=True))

    def _with_their_addresses(
        self, theirs: Sequence[UnlinkedItem], known: set[UUID]
    ) -> Iterator[UnlinkedRecord]:
        """Contacts that take part, too: whoever shares an address with another is asked about."""
        wanted = {address for one in theirs for address in one.addresses}
        if not wanted:
            return
        found: dict[UUID, set[str]] = defaultdict(set)
        rows = EmailSearch.objects.filter(
            parent_type=ContentType.objects.get_for_model(Contact), email_address__in=wanted
        )
        for parent, address in rows.values_list("parent_id", "email_address"):
            found[UUID(parent)].add(address)
        others = found.keys() - known
        for key in self.run.filters.matching(Table.CONTACT, others) if others else ():
            yield UnlinkedRecord(key=key, table=Table.CONTACT, addresses=frozenset(found[key]))

    # -- what comes of it

    def _join(self, one: Match) -> None:
        record, item = self.records.get(one.record.key), self.items.get(one.item.id)
        if record is None:
            assert item is not None
            self._take_up(item, one.record.key)
            return
        if item is not None:
            item.link.delete()
            self.works.remove(item)
        self._take(record, one.item.id, item)

    def _take_up(self, item: Work, key: UUID) -> None:
        """The record may be noted, and wait for a later cycle."""
        self.run.links().filter(
            object_id=key, exchange_entry_id="", state=LinkState.NOTED, sending__isnull=True
        ).delete()
        item.link.object_id = key

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
        link=item.link,
        uid=item.uid if not is_contact else "",
        addresses=addresses if is_contact else frozenset(),
        name=name if is_contact else "",
    )
