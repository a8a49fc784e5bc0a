"""PURE  Items and records that aren't linked: which belong together, and what a person must be asked (R6.51).

In this order, each step with what the former ones left:

    link        the item carries the key of the record's link          linked; unlinked before: asked
    meeting     both have the same id in every mailbox                 linked
    addresses   of contacts, one is the same on both sides             linked, if nobody else has it on either side
    looks       addresses that several have, or the same name          asked

What nobody matches is new. An item that several records could be is never taken for one of them.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from mailboxes.protocols.items import Fields
from serversync.act.types import Question, Table


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlinkedItem:
    """`link`: what is written on it; `uid`: of a meeting; `addresses`, `name`: of a contact, in lower case."""

    id: str
    table: Table
    link: str = ""
    uid: str = ""
    addresses: frozenset[str] = frozenset()
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnlinkedRecord:
    """`link`: key of the link that it has, or had; `parted`: that was unlinked by a decision."""

    key: UUID
    table: Table
    link: str = ""
    parted: bool = False
    uid: str = ""
    addresses: frozenset[str] = frozenset()
    name: str = ""


class By(StrEnum):
    LINK = "link"
    MEETING = "meeting"
    ADDRESSES = "addresses"


@dataclass(frozen=True, slots=True)
class Match:
    item: UnlinkedItem
    record: UnlinkedRecord
    by: By


@dataclass(frozen=True, slots=True)
class Ask:
    """`records`: what the item may be, in the order given."""

    item: UnlinkedItem
    records: tuple[UnlinkedRecord, ...]
    question: Question


@dataclass(slots=True)
class Matches:
    """Every item is in exactly one place, every record as well, but that it may be asked about with several
    items. `new_items`, `new_records`: nothing like them on the other side."""

    matches: list[Match] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    new_items: list[UnlinkedItem] = field(default_factory=list)
    new_records: list[UnlinkedRecord] = field(default_factory=list)


def contact_keys(fields: Fields) -> tuple[frozenset[str], str]:
    """Addresses and name of a contact, as they are compared."""
    addresses = (str(fields.get(f"email{number}") or "") for number in (1, 2, 3))
    names = (str(fields.get(part) or "") for part in ("given_name", "surname"))
    name = " ".join(part for each in names if (part := each.strip()))
    return frozenset(found for each in addresses if (found := each.strip().lower())), name.lower()


def match(items: Iterable[UnlinkedItem], records: Iterable[UnlinkedRecord]) -> Matches:
    """All of one mailbox. Tables don't mix."""
    left = _Matching({item.id: item for item in items}, {each.key: each for each in records})
    left.by_link()
    left.by_one(By.MEETING, _uids)
    left.by_one(By.ADDRESSES, _addresses)
    left.by_looks()
    left.result.new_items += left.items.values()
    left.result.new_records += left.records.values()
    return left.result


# -- what is compared --------------------------------------------------------------------------------

One = UnlinkedItem | UnlinkedRecord
T = TypeVar("T", UnlinkedItem, UnlinkedRecord)
Key = tuple[Table, str]
Keys = Callable[[One], Iterable[Key]]


def _links(one: One) -> Iterable[Key]:
    return [(one.table, one.link)] if one.link else []


def _uids(one: One) -> Iterable[Key]:
    return [(one.table, one.uid)] if one.uid else []


def _addresses(one: One) -> Iterable[Key]:
    return [(one.table, address) for address in sorted(one.addresses)]


def _names(one: One) -> Iterable[Key]:
    return [(one.table, one.name)] if one.name else []


# -- the steps ---------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Matching:
    """What is left after each step, in the order given."""

    items: dict[str, UnlinkedItem]
    records: dict[UUID, UnlinkedRecord]
    result: Matches = field(default_factory=Matches)

    def by_link(self) -> None:
        """Copies carry the key, too: two items with one key are nobody's."""
        for item, record in self._pairs(_links):
            if record.parted:
                self._ask(item, (record,), Question.PREVIOUSLY_LINKED)
            else:
                self._match(item, record, By.LINK)

    def by_one(self, by: By, keys: Keys) -> None:
        for item, record in self._pairs(keys):
            self._match(item, record, by)

    def by_looks(self) -> None:
        by_address = _by_key(self.records.values(), _addresses)
        by_name = _by_key(self.records.values(), _names)
        for item in list(self.items.values()):
            alike = {
                record.key: record
                for index, keys in ((by_address, _addresses), (by_name, _names))
                for record in _candidates(item, keys, index)
            }
            if alike:
                self._ask(item, tuple(alike.values()), Question.DUPLICATE)

    def _pairs(self, keys: Keys) -> list[tuple[UnlinkedItem, UnlinkedRecord]]:
        """Exactly one candidate on both sides."""
        items = _by_key(self.items.values(), keys)
        records = _by_key(self.records.values(), keys)
        found = []
        for item in self.items.values():
            candidates = _candidates(item, keys, records)
            if len(candidates) == 1 and len(_candidates(candidates[0], keys, items)) == 1:
                found.append((item, candidates[0]))
        return found

    def _match(self, item: UnlinkedItem, record: UnlinkedRecord, by: By) -> None:
        self.result.matches.append(Match(item, record, by))
        del self.items[item.id], self.records[record.key]

    def _ask(
        self, item: UnlinkedItem, records: tuple[UnlinkedRecord, ...], question: Question
    ) -> None:
        """A record may be asked about more than once."""
        self.result.asks.append(Ask(item, records, question))
        del self.items[item.id]
        for record in records:
            self.records.pop(record.key, None)


def _by_key(ones: Iterable[T], keys: Keys) -> dict[Key, list[T]]:
    found: dict[Key, list[T]] = defaultdict(list)
    for one in ones:
        for key in keys(one):
            found[key].append(one)
    return found


def _candidates(one: One, keys: Keys, index: Mapping[Key, list[T]]) -> list[T]:
    """Each once, whatever the number of keys that agree."""
    found: list[T] = []
    for key in keys(one):
        found += [other for other in index.get(key, ()) if other not in found]
    return found
