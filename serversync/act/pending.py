"""The pairs that something is noted of: both sides read, and one decision each. Nothing is written.

    due links ─> items that left: moved? a copy?  ─> both sides ─> look-alikes ─> reconcile
                 (find, by what is written on them)   (fetch, rows)   (R6.51)

What only the store has changed isn't fetched: the item is what it was when both were last equal, and its version
protects the write. So 500 changed records cost the writing, and no reading.
"""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from mailboxes.choices import ActDeliveryMethod
from mailboxes.models import Mailbox
from mailboxes.protocols.errors import MessageUnreadable
from mailboxes.protocols.items import ServerItem
from serversync.act import lookalikes, store
from serversync.act.choices import ChangeType, LinkStart, LinkState
from serversync.act.reconcile import reconcile
from serversync.act.run import ActRun, is_due
from serversync.act.stored import side_of
from serversync.act.tables import MEETINGS
from serversync.act.types import (
    Answer,
    ItemFacts,
    Lifecycle,
    LinkFacts,
    Pair,
    Question,
    RecordFacts,
    Side,
    Started,
    Table,
    Verb,
)
from serversync.act.undoing import adjusted
from serversync.act.work import FOLDER_OF, LOOK_FOR_IT, TABLE_OF, Work
from serversync.models import ExchangeSyncIdMapping

log = logging.getLogger(__name__)
HEARD_WITHIN = timedelta(hours=1)  # whoever made an item and got no answer
Link = ExchangeSyncIdMapping


def due(run: ActRun, limit: int) -> list[Link]:
    """Oldest notes first. `result.more` where there are others."""
    rows = list(run.links().filter(is_due(run.clock())).order_by("modified_on", "pk")[: limit + 1])
    run.result.more |= len(rows) > limit
    return rows[:limit]


def decided(run: ActRun, links: Sequence[Link]) -> list[Work]:
    """Read both sides of these, and decide each."""
    with run.timed("fetch"):
        lookalikes.part(links)
        links = _without_copies(run, links)
        _follow(run, [link for link in links if link.is_deleted_in_exchange])
        links = _without_lost(run, links)
        items = _fetched(run, links)
    with run.writing():
        works = [work for link in links if (work := _work(link, items)) is not None]
    with run.timed("read"):
        _read_records(run, works)
        works = lookalikes.put_together(run, works)
        _read_records(run, [work for work in works if work.store is None])
        _read_items(run, works)
        _wait_for_organizers(run, works)
    with run.timed("decide"):
        for work in works:
            _decide(run, work)
    return works


def _decide(run: ActRun, work: Work) -> None:
    """A pair that can't be decided costs itself, and no other."""
    try:
        work.pair = _pair(run, work)
        decision = reconcile(work.pair, run.clock())
        work.decision = adjusted(decision, work.link.undoing, work.pair)
        work.link.item_facts["differs"] = work.decision.differs
    except Exception as error:  # whatever is in an item is that item's
        log.exception("mailbox %s: pair %s can't be decided", run.mailbox.pk, work.link.pk)
        work.unreadable = MessageUnreadable(f"{type(error).__name__}: {error}")


# -- items that moved, were copied, or whose creation was never answered -----------------------------


def _without_copies(run: ActRun, links: Sequence[Link]) -> list[Link]:
    """An item that carries another pair's link is that pair's item, moved, or a copy of it (R6.48)."""
    suspects = [link for link in links if link.carries]
    if not suspects:
        return list(links)
    keys = {link.carries for link in suspects if link.carries}
    owners = {owner.link_key: owner for owner in run.links().filter(link_key__in=keys)}
    places = _places(run, owners.values())
    left = {link.pk: link for link in links}
    with run.writing():
        for link in suspects:
            owner = owners.get(link.carries)
            if owner is None:
                link.carries = None  # whose it was is forgotten; it counts as any other
                continue
            is_copy = owner.exchange_entry_id in places[owner.pk]
            if is_copy and not run.settings.ignore_copies:
                continue
            left.pop(link.pk)
            link.delete()
            if not is_copy:
                _adopt(owner, link.exchange_entry_id, link.folder)
                left[owner.pk] = owner
    return list(left.values())


def _follow(run: ActRun, links: Sequence[Link]) -> None:
    """Items that left their folder: those that are in another one have moved."""
    if not links:
        return
    places = _places(run, links)
    with run.writing():
        for link in links:
            for identifier, folder in places[link.pk].items():
                _adopt(link, identifier, folder)
                break


def _without_lost(run: ActRun, links: Sequence[Link]) -> list[Link]:
    """Creations that were never answered are looked for. What isn't there after a while was not done; until
    then the pair waits, whatever else is noted of it."""
    lost = [link for link in links if link.sending and not link.exchange_entry_id]
    if not lost:
        return list(links)
    places, waits = _places(run, lost), set()
    with run.writing():
        for link in lost:
            if places[link.pk]:
                _adopt(link, *next(iter(places[link.pk].items())))
            elif (until := _may_come_until(link)) > run.clock():
                link.next_attempt_at = until
                link.save(update_fields=["next_attempt_at"])
                waits.add(link.pk)
            else:
                link.sending = None
                link.save(update_fields=["sending"])
    return [link for link in links if link.pk not in waits]


def _may_come_until(link: Link) -> datetime:
    told = (link.sending or {}).get("at")
    return (datetime.fromisoformat(told) if told else link.modified_on) + LOOK_FOR_IT


def _places(run: ActRun, links: Iterable[Link]) -> Mapping[UUID, dict[str, str]]:
    """Link -> items that carry it, with the folder that each lies in. One request for each folder that may
    hold such an item."""
    found: dict[UUID, dict[str, str]] = defaultdict(dict)
    by_key = {str(link.link_key): link for link in links if link.link_key}
    for folder in run.folders:
        keys = [key for key, link in by_key.items() if _may_lie_in(link, folder.holds)]
        if keys:
            for place in run.connected.find(folder.folder, keys):
                found[by_key[place.link].pk][place.id] = folder.folder
    return found


def _may_lie_in(link: Link, holds: str) -> bool:
    code = link.object_type_code
    return code is None or FOLDER_OF[Table(code).kind] == holds


def _adopt(link: Link, identifier: str, folder: str) -> None:
    # Noted as one that carries another's link, perhaps beyond what this cycle takes up.
    Link.objects.filter(
        mailbox=link.mailbox_id,
        generation=link.generation,
        exchange_entry_id=identifier,
        state=LinkState.NOTED,
        object_id=None,
    ).exclude(pk=link.pk).delete()
    link.exchange_entry_id, link.folder = identifier, folder
    link.is_deleted_in_exchange = False
    link.to_crm_change_type = ChangeType.UPDATED
    link.save(
        update_fields=[
            "exchange_entry_id",
            "folder",
            "is_deleted_in_exchange",
            "to_crm_change_type",
        ]
    )


# -- both sides ------------------------------------------------------------------------------------


def _fetched(run: ActRun, links: Sequence[Link]) -> dict[str, Any]:
    """Item id -> the answer to fetching it. What is gone is looked for elsewhere once more."""
    wanted = [link for link in links if _needs_fetching(run, link)]
    found = _fetch(run, wanted)
    gone = [link for link in wanted if _is_gone(found[link.exchange_entry_id])]
    for link in gone:
        link.is_deleted_in_exchange = True
    _follow(run, gone)
    again = [link for link in gone if not link.is_deleted_in_exchange]
    return found | _fetch(run, again)


def _needs_fetching(run: ActRun, link: Link) -> bool:
    if not link.exchange_entry_id or link.is_deleted_in_exchange:
        return False
    untouched = link.to_crm_change_type == ChangeType.NONE and link.sending is None
    sure = untouched and link.from_crm_change_type != ChangeType.AGAIN and not link.retries
    return not sure or _is_partial(run, link)


def _is_partial(run: ActRun, link: Link) -> bool:
    """The base isn't what the item holds: a direction changed, or something was held back."""
    if link.object_type_code is None or link.base is None:
        return True
    ways = run.directions(Table(link.object_type_code))
    known = link.base["fields"]
    differs = bool(link.item_facts.get("differs"))
    return differs or any(way and name not in known for name, way in ways.items())


def _fetch(run: ActRun, links: Sequence[Link]) -> dict[str, Any]:
    if not links:
        return {}
    asked = [link.exchange_entry_id for link in links]
    return {answer.id: answer for answer in run.connected.fetch(asked)}


def _is_gone(answer: Any) -> bool:
    return answer.item is None and answer.error is None


def _work(link: Link, items: Mapping[str, Any]) -> Work | None:
    """None: there is nothing on either side, and never was."""
    answer = items.get(link.exchange_entry_id) if not link.is_deleted_in_exchange else None
    item = answer.item if answer else None
    if item is not None:
        _follow_kind(link, item)
    if link.object_type_code is None:
        if answer is None or answer.error is None:
            link.delete()
            return None
        return Work(link, Table.APPOINTMENT, unreadable=answer.error)
    work = Work(link, Table(link.object_type_code), item=item)
    work.unreadable = answer.error if answer else None
    return work


def _follow_kind(link: Link, item: ServerItem) -> None:
    """Somebody made a series of a single meeting, or the other way round. The record here stays as it is,
    unlinked; the item is taken up as what it is now."""
    known = link.object_type_code
    if known is not None and Table(known).kind is item.kind:
        return
    former = link.object_id
    link.object_type_code = TABLE_OF[item.kind]
    if known is None:
        return
    link.object_id = link.base = link.sending = link.undoing = None
    link.state, link.started, link.was_tracked = LinkState.NOTED, LinkStart.USER, False
    link.item_facts, link.question = {}, ""
    link.save()
    if former is not None:
        # It isn't sent again as what it was.
        Link.objects.create(
            mailbox_id=link.mailbox_id,
            owner_id=link.owner_id,
            generation=link.generation,
            object_type_code=known,
            object_id=former,
            state=LinkState.UNLINKED,
            is_unlinked_in_crm=True,
            item_subject=link.item_subject,
        )


def _read_records(run: ActRun, works: Sequence[Work]) -> None:
    by_table: dict[Table, dict[UUID, Work]] = defaultdict(dict)
    for work in works:
        if work.link.object_id is not None:
            by_table[work.table][work.link.object_id] = work
    for table, some in by_table.items():
        keys = list(some)
        sides = store.sides(table, keys)
        facts = store.record_facts(table, keys, run.user, run.clock())
        matched = set(run.filters.matching(table, keys))
        elsewhere = _organized_elsewhere(run, table, keys)
        for key, work in some.items():
            work.store = sides.get(key)
            work.record = replace(
                facts.get(key) or _as_it_was(work.link),
                matches=key in matched,
                organizer_before=_organized(run, work.link),
                organizer_elsewhere=key in elsewhere,
            )
            if work.store is not None:
                work.link.item_facts["record"] = _kept(work.record)


def _organized_elsewhere(run: ActRun, table: Table, keys: Sequence[UUID]) -> set[UUID]:
    """Meetings that another mailbox's link holds as its organizer's (R6.32)."""
    if not table.is_meeting:
        return set()
    others = Link.objects.filter(
        object_id__in=keys, state=LinkState.LINKED, item_facts__organizes=True
    ).exclude(mailbox=run.mailbox)
    return {key for key in others.values_list("object_id", flat=True) if key}


def _organized(run: ActRun, link: Link) -> bool:
    """Was the user the organizer when both were last equal?"""
    told = ((link.base or {}).get("fields") or {}).get("organizer") or {}
    return bool(told) and told["address"] == (run.mailbox.email_address or "").lower()


def _kept(record: RecordFacts) -> dict[str, Any]:
    """For the day when it is deleted: what the rules then ask of it."""
    return {
        "lifecycle": record.lifecycle.value,
        "owned": record.owned,
        "organizes": record.organizes,
        "has_organizer": record.has_organizer,
        "attendees": record.attendees,
        "draft": record.draft,
    }


def _as_it_was(link: Link) -> RecordFacts:
    told = link.item_facts.get("record")
    if not told:
        return RecordFacts()
    return RecordFacts(**told | {"lifecycle": Lifecycle(told["lifecycle"])})


def _read_items(run: ActRun, works: Sequence[Work]) -> None:
    organizers = _organizers([work.item for work in works if work.item])
    for work in works:
        if work.item is not None:
            work.server = side_of_item(work.item)
            work.facts = _facts_of(run, work.item, organizers)
            work.link.item_facts |= remembered(work.facts)
            work.link.item_facts["mailing"] = str(work.item.fields.get("mailing_address") or "")
        elif work.link.exchange_entry_id and not work.link.is_deleted_in_exchange:
            work.server = _remembered_side(work)
            work.facts = _remembered_facts(work.link)
    _add_busy(run, works)


def _wait_for_organizers(run: ActRun, works: Sequence[Work]) -> None:
    """A meeting that a colleague's mailbox has just sent, and never heard so, has a record already; which one
    is known when that is found out. Not for ever: his mailbox may not run any more."""
    new = [work for work in works if work.link.object_id is None and work.facts.organizer_syncs]
    asked = {work.facts.organizer_user for work in new} - {None, run.user.pk}
    if not asked:
        return
    unanswered = Link.objects.filter(
        owner__in=asked,
        object_type_code__in=list(MEETINGS),
        exchange_entry_id="",
        sending__isnull=False,
        modified_on__gt=run.clock() - HEARD_WITHIN,
    )
    busy = set(unanswered.values_list("owner", flat=True))
    for work in new:
        work.waits |= work.facts.organizer_user in busy


def _add_busy(run: ActRun, works: Sequence[Work]) -> None:
    """Who has something else at the time that would be stored (R6.26)."""
    meetings = {
        number: (work.item.fields, work.link.object_id)
        for number, work in enumerate(works)
        if work.item is not None and work.table is Table.APPOINTMENT
    }
    for number, names in store.busy_at(meetings, run.user).items():
        works[number].record = replace(works[number].record, busy=names)


def side_of_item(item: ServerItem) -> Side:
    return Side(
        fields=item.fields,
        occurrences={each.original: each.fields for each in item.occurrences},
        version=item.version,
        modified_at=item.modified_at,
    )


def _remembered_side(work: Work) -> Side | None:
    """It hasn't changed since both were equal, so it is what it was then."""
    if work.link.base is None:
        return None
    return replace(side_of(work.table.kind, work.link.base), version=work.link.change_key)


def _facts_of(
    run: ActRun, item: ServerItem, organizers: Mapping[str, tuple[UUID, bool]]
) -> ItemFacts:
    address = _organizer(item)
    user, syncs = organizers.get(address, (None, True))
    categories = item.fields.get("categories") or frozenset()
    assert isinstance(categories, frozenset)
    return ItemFacts(
        tracked=bool(run.category) and run.category in map(str.casefold, categories),
        organizes=item.is_organizer,
        is_meeting=item.is_meeting,
        organizer_user=user,
        organizer_syncs=syncs,
    )


def _organizer(item: ServerItem) -> str:
    organizer = item.fields.get("organizer")
    return str(getattr(organizer, "address", ""))


def _organizers(items: Iterable[ServerItem]) -> dict[str, tuple[UUID, bool]]:
    """Address -> the user, and whether his mailbox synchronizes by this product (R6.29)."""
    asked = {_organizer(item) for item in items} - {""}
    if not asked:
        return {}
    rows = Mailbox.objects.filter(email_address__in=asked, regarding_user__isnull=False)
    told = rows.values_list("email_address", "regarding_user_id", "act_delivery_method")
    return {
        address.lower(): (user, method == ActDeliveryMethod.SERVER_SIDE_SYNC)
        for address, user, method in told
    }


def remembered(facts: ItemFacts) -> dict[str, Any]:
    """For the link row, so that a pair whose item didn't change needs no fetching."""
    return {
        "tracked": facts.tracked,
        "organizes": facts.organizes,
        "is_meeting": facts.is_meeting,
        "organizer_syncs": facts.organizer_syncs,
        "organizer_user": str(facts.organizer_user) if facts.organizer_user else "",
    }


def _remembered_facts(link: Link) -> ItemFacts:
    told = link.item_facts
    user = told.get("organizer_user")
    return ItemFacts(
        tracked=bool(told.get("tracked")),
        organizes=bool(told.get("organizes", True)),
        is_meeting=bool(told.get("is_meeting")),
        organizer_syncs=bool(told.get("organizer_syncs", True)),
        organizer_user=UUID(user) if user else None,
    )


# -- the pair --------------------------------------------------------------------------------------


def _pair(run: ActRun, work: Work) -> Pair:
    link = work.link
    base = side_of(work.table.kind, link.base) if link.base is not None else None
    return Pair(
        table=work.table,
        link=LinkFacts(
            linked=link.state == LinkState.LINKED,
            unlinked=link.is_unlinked_in_crm,
            started=Started(link.started),
            declined=frozenset(link.declined),
            question=work.question or (Question(link.question) if link.question else None),
            answer=Answer(link.user_decision),
            was_tracked=link.was_tracked,
            to_server_unknown=link.sending is not None,
            removing=(link.sending or {}).get("verb") == Verb.DELETE.value,
        ),
        base=base,
        store=work.store,
        server=work.server,
        record=replace(work.record, from_a_server=bool(link.uid) and not link.exchange_entry_id),
        item=work.facts,
        directions=run.directions(work.table),
        settings=run.settings,
    )
