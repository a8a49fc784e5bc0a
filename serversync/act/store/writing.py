"""Carries writes to records out: see `types` for what it promises.

lock, read, compare ──> who is behind the addresses ──> rows noted ──> written at once ──> the bin
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Model
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from activities import recyclebin
from activities.models import ActivityPointer, Contact
from activities.recurrence_words import problem_in_words
from mailboxes import access
from mailboxes.models import SystemUser
from mailboxes.protocols.items import Fields
from serversync.act.fields import MAPPINGS
from serversync.act.fitting import fitted
from serversync.act.store import contacts, meetings, todos
from serversync.act.store.batch import Batch
from serversync.act.store.people import People, people_in
from serversync.act.store.reading import sides_of
from serversync.act.store.rows import MODELS, WITH_PEOPLE, Loaded, load
from serversync.act.store.types import StoredRecord, StoreOutcome, StoreWrite
from serversync.act.types import Lifecycle, Side, Table, Verb, Write

STALE = StoredRecord(StoreOutcome.STALE)
GONE = StoredRecord(StoreOutcome.GONE)


def write(user: SystemUser, writes: Sequence[StoreWrite], now: datetime) -> list[StoredRecord]:
    """In their order; one record is written once. Inside a transaction, which holds the locks."""
    return _Writing(Batch(user, now), [_fitting(one) for one in writes]).carry_out()


@dataclass(frozen=True, slots=True)
class _Order:
    """One write with only what a record can hold. `cut`: fields of which a part had to go."""

    asked: StoreWrite
    write: Write
    cut: frozenset[str] = frozenset()

    @property
    def table(self) -> Table:
        return self.asked.table

    @property
    def key(self) -> UUID | None:
        return self.asked.key


def _fitting(asked: StoreWrite) -> _Order:
    whole = fitted(asked.table, asked.write.fields)
    occurrences = {
        original: None if fields is None else fitted(Table.APPOINTMENT, fields).fields
        for original, fields in asked.write.occurrences.items()
    }
    write = replace(asked.write, fields=whole.fields, occurrences=occurrences)
    return _Order(asked, write, whole.cut)


@dataclass(slots=True)
class _Writing:
    batch: Batch
    orders: Sequence[_Order]
    loaded: dict[Table, Loaded] = field(default_factory=dict)
    people: People = field(default_factory=People)
    owners: frozenset[UUID] = frozenset()
    answers: dict[int, StoredRecord] = field(default_factory=dict)

    def carry_out(self) -> list[StoredRecord]:
        self._lock()
        for number, order in enumerate(self.orders):
            if refusal := self._refusal(order):
                self.answers[number] = refusal
        left = {n: order for n, order in enumerate(self.orders) if n not in self.answers}
        self.people = people_in(_told(left.values()), self.batch.user)
        self.owners = _active_users(left.values())
        exceptions = []
        for number, order in left.items():
            if order.write.verb is not Verb.DELETE:
                key, gone = self._put(order)
                exceptions += gone
                self.answers[number] = StoredRecord(StoreOutcome.DONE, key, notes=_notes(order))
        self.batch.flush()
        self._into_the_bin({n: one for n, one in left.items() if one.write.verb is Verb.DELETE})
        if exceptions:
            _bin(ActivityPointer, [row.pk for row in exceptions], self.batch, _REPLACED)
        return [self.answers[number] for number in range(len(self.orders))]

    # -- what may be written

    def _lock(self) -> None:
        """Tables in one order, keys in theirs, so that two writers never wait for each other."""
        keys: dict[Table, list[UUID]] = defaultdict(list)
        for order in self.orders:
            if order.key is not None:
                keys[order.table].append(order.key)
        for table in sorted(keys):
            self.loaded[table] = load(table, keys[table], lock=True)

    def _refusal(self, order: _Order) -> StoredRecord | None:
        if order.key is not None:
            loaded = self.loaded[order.table]
            if order.key not in loaded.rows:
                return GONE
            if not _is_as_expected(loaded, order):
                return STALE
        if order.write.verb is Verb.CREATE and not self._may_add(order.table):
            return _denied()
        if problems := meetings.unfit(order.write.fields):
            words = " ".join(problem_in_words(problem) for problem in problems)
            return StoredRecord(StoreOutcome.REFUSED, code="SeriesNotStorable", error=words)
        return None

    def _may_add(self, table: Table) -> bool:
        return access.reach_of(self.batch.user, MODELS[table], "add") is not None

    # -- rows

    def _put(self, order: _Order) -> tuple[UUID, list[Any]]:
        """The key, and rows of occurrences that are gone."""
        table, write = order.table, order.write
        if order.key is None:
            row = self._made(order)
            key: UUID = row.pk
            return key, []
        row = self.loaded[table].rows[order.key]
        gone: list[Any] = []
        lifecycle = Lifecycle.CANCELED if write.verb is Verb.CANCEL else write.lifecycle
        write = replace(write, lifecycle=lifecycle)
        if table == Table.CONTACT:
            contacts.change(self.batch, row, write.fields)
        elif table in WITH_PEOPLE:
            gone = meetings.change(self.batch, self.loaded[table], row, write, self.people)
            meetings.remember_uid(self.batch, row, order.asked.uid)
        elif table in todos.STATUSES:
            todos.change(self.batch, table, row, write.fields, write.lifecycle)
        return order.key, gone

    def _made(self, order: _Order) -> Any:
        table, write = order.table, order.write
        if table == Table.CONTACT:
            return contacts.make(self.batch, write.fields)
        if table not in WITH_PEOPLE:
            return todos.make(self.batch, table, write.fields, write.lifecycle)
        organizer = order.asked.organizer_user
        owner = organizer if organizer in self.owners else None
        row = meetings.make(self.batch, table, write, self.people, owner)
        meetings.remember_uid(self.batch, row, order.asked.uid)
        return row

    # -- the bin (R6.47)

    def _into_the_bin(self, orders: dict[int, _Order]) -> None:
        groups: dict[tuple[Table, str], list[int]] = defaultdict(list)
        for number, order in orders.items():
            groups[order.table, order.asked.why].append(number)
        for (table, why), numbers in groups.items():
            keys = {number: orders[number].key for number in numbers}
            allowed = self._deletable(table, [key for key in keys.values() if key])
            model = Contact if table == Table.CONTACT else ActivityPointer
            binned = _bin(model, allowed, self.batch, why)
            for number, key in keys.items():
                entry = binned.get(key)
                done = StoredRecord(StoreOutcome.DONE, key, deleted=entry.pk if entry else None)
                self.answers[number] = done if key in allowed else _denied()

    def _deletable(self, table: Table, keys: Sequence[UUID]) -> set[UUID]:
        rows = MODELS[table]._default_manager.filter(pk__in=keys)
        reached = access.visible_to(self.batch.user, rows, "delete")
        return set(reached.values_list("pk", flat=True))


_REPLACED = "the occurrence is gone"


def _bin(model: type[Model], keys: Iterable[UUID], batch: Batch, why: str) -> dict[Any, Any]:
    return recyclebin.delete(model, keys, now=batch.now, actor=batch.user, reason=why)


def _told(orders: Iterable[_Order]) -> list[Fields]:
    several: list[Fields] = []
    for order in orders:
        if order.table in WITH_PEOPLE:
            several.append(order.write.fields)
            several += [fields for fields in order.write.occurrences.values() if fields]
    return several


def _active_users(orders: Iterable[_Order]) -> frozenset[UUID]:
    """Of those who would own what an attendee tracked (R6.29)."""
    named = {user for order in orders if (user := order.asked.organizer_user)}
    if not named:
        return frozenset()
    rows = SystemUser.objects.filter(pk__in=named, is_disabled=False)
    return frozenset(rows.values_list("pk", flat=True))


def _is_as_expected(loaded: Loaded, order: _Order) -> bool:
    """Still what the decision saw, as far as it is synchronized at all."""
    expected, key = order.asked.expected, order.key
    if expected is None or key is None:
        return True
    one = replace_rows(loaded, key)
    now: Side = sides_of(one)[key]
    compared = {name for mapping in MAPPINGS[order.table] for name in mapping.fields}
    same = all(now.fields.get(name) == expected.fields.get(name) for name in compared)
    return same and dict(now.occurrences) == dict(expected.occurrences)


def replace_rows(loaded: Loaded, key: UUID) -> Loaded:
    """Only this record of all that are loaded."""
    return replace(loaded, rows={key: loaded.rows[key]})


def _denied() -> StoredRecord:
    words = _("The user lacks the permission for it here (R6.7).")
    return StoredRecord(StoreOutcome.REFUSED, code="RecordNotWritable", error=words)


def _notes(order: _Order) -> tuple[str, ...]:
    if not order.cut:
        return ()
    labels = [
        str(mapping.label) for mapping in MAPPINGS[order.table] if order.cut & set(mapping.fields)
    ]
    words = ngettext(
        "Too long for its field here, so only a part was kept: %(fields)s.",
        "Too long for their fields here, so only parts were kept: %(fields)s.",
        len(labels),
    )
    return (words % {"fields": ", ".join(labels)},)
