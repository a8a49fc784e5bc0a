"""Carries writes to records out: see `types` for what it promises.

    lock, read, compare ──> who is behind the addresses ──> activities.scheduling, contacts ──> the bin

What can't be stored is found before anything is written, but for occurrences of a series: those need the series. So
all of it happens within a savepoint, and is done again without a series that turned out to be unsound.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from activities import recyclebin, scheduling
from activities.choices import ActivityType
from activities.models import ActivityPointer, Appointment, Contact
from activities.scheduling import ActivityChange, NewActivity, Whole
from activities.scheduling.deleting import in_utc
from activities.scheduling.participants import as_new
from mailboxes import access
from mailboxes.models import SystemUser
from mailboxes.protocols.items import Fields
from serversync.act import times
from serversync.act.fields import MAPPINGS
from serversync.act.fitting import fitted
from serversync.act.store import meetings, todos
from serversync.act.store.columns import Columns
from serversync.act.store.contacts import Contacts
from serversync.act.store.known import known_meetings, take_turns
from serversync.act.store.people import People, parties_of, people_in
from serversync.act.store.reading import sides_of, zone_of_owner
from serversync.act.store.rows import WITH_PEOPLE, Loaded, locked, people_among
from serversync.act.store.types import NOT_STORABLE, StoredRecord, StoreOutcome, StoreWrite
from serversync.act.tables import MODELS
from serversync.act.types import Lifecycle, Side, Table, Verb, Write

STALE = StoredRecord(StoreOutcome.STALE)
GONE = StoredRecord(StoreOutcome.GONE)
#: With another time or pattern a series drops what differed from the former one.
PATTERN = frozenset({"when", "recurrence"})


def write(user: SystemUser, writes: Sequence[StoreWrite], now: datetime) -> list[StoredRecord]:
    """In their order; no record twice. Inside a transaction, which holds the locks."""
    orders = [_fitting(one) for one in writes]
    answers = _made_meanwhile(orders, user)
    while True:
        loaded = _locked(orders)
        for number, order in enumerate(orders):
            if number not in answers and (refusal := _refusal(order, loaded, user)):
                answers[number] = refusal
        left = {number: one for number, one in enumerate(orders) if number not in answers}
        try:
            with transaction.atomic():
                answers |= _Writing(user, now, loaded, left).carry_out()
            return [answers[number] for number in range(len(orders))]
        except _Unsound as late:
            answers |= late.answers


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
    def kind(self) -> ActivityType:
        return ActivityType(self.table.value)

    @property
    def key(self) -> UUID | None:
        return self.asked.key

    @property
    def lifecycle(self) -> Lifecycle | None:
        canceled = self.write.verb is Verb.CANCEL
        return Lifecycle.CANCELED if canceled else self.write.lifecycle

    @property
    def wipes(self) -> bool:
        return not PATTERN.isdisjoint(self.write.fields)


def _fitting(asked: StoreWrite) -> _Order:
    whole = fitted(asked.table, asked.write.fields)
    occurrences = {
        original: None if fields is None else fitted(Table.APPOINTMENT, fields).fields
        for original, fields in asked.write.occurrences.items()
    }
    return _Order(
        asked, replace(asked.write, fields=whole.fields, occurrences=occurrences), whole.cut
    )


# -- what may be written ---------------------------------------------------------------------------


def _made_meanwhile(orders: Sequence[_Order], user: SystemUser) -> dict[int, StoredRecord]:
    """Meetings to be made that are here by now, for another mailbox tracks them, too."""
    looked = {
        number: one.asked
        for number, one in enumerate(orders)
        if one.key is None and one.asked.uid and one.asked.alike is not None
    }
    uids = {asked.uid for asked in looked.values()}
    take_turns(uids)
    there = known_meetings(user, uids)
    return {
        number: STALE
        for number, asked in looked.items()
        if not there.get((asked.table, asked.uid), set()) <= (asked.alike or frozenset())
    }


def _locked(orders: Iterable[_Order]) -> dict[Table, Loaded]:
    """Tables in one order, keys in theirs, so that two writers never wait for each other."""
    keys: dict[Table, list[UUID]] = defaultdict(list)
    for order in orders:
        if order.key is not None:
            keys[order.table].append(order.key)
    return {table: locked(table, keys[table]) for table in sorted(keys)}


def _refusal(
    order: _Order, loaded: Mapping[Table, Loaded], user: SystemUser
) -> StoredRecord | None:
    now: Side | None = None
    if order.key is not None:
        rows = loaded[order.table]
        if order.key not in rows.rows:
            return GONE
        now = sides_of(replace(rows, rows={order.key: rows.rows[order.key]}))[order.key]
        if not _is_as_expected(now, order):
            return STALE
    elif access.reach_of(user, MODELS[order.table], "add") is None:
        return _denied()
    if not _has_places(now, order):
        return _unsound(_("The series has no occurrence that begins then."))
    return None


def _is_as_expected(now: Side, order: _Order) -> bool:
    """Still what the decision saw, as far as it is synchronized at all."""
    expected = order.asked.expected
    if expected is None:
        return True
    names = {name for mapping in MAPPINGS[order.table] for name in mapping.fields}
    same = all(now.fields.get(name) == expected.fields.get(name) for name in names)
    return same and dict(now.occurrences) == dict(expected.occurrences)


def _has_places(now: Side | None, order: _Order) -> bool:
    """Whether what differs from the series stands in the place of one of its occurrences."""
    before = now or Side({})
    series = {**before.fields, **order.write.fields}
    kept = {} if order.wipes else before.occurrences
    new = [
        original
        for original, fields in order.write.occurrences.items()
        if fields is not None and kept.get(original) is None
    ]
    return all(times.occurs(series, original) for original in new)


def _denied() -> StoredRecord:
    words = _("The user lacks the permission for it here (R6.7).")
    return StoredRecord(StoreOutcome.REFUSED, code="RecordNotWritable", error=words)


def _unsound(words: str) -> StoredRecord:
    return StoredRecord(StoreOutcome.REFUSED, code=NOT_STORABLE, error=words)


class _Unsound(Exception):
    """Found when some of it was written already."""

    def __init__(self, answers: dict[int, StoredRecord]) -> None:
        super().__init__()
        self.answers = answers


# -- rows --------------------------------------------------------------------------------------------


@dataclass
class _Writing:
    """`numbers`: key of an activity -> of the order that it belongs to."""

    user: SystemUser
    now: datetime
    loaded: Mapping[Table, Loaded]
    orders: Mapping[int, _Order]
    made: list[NewActivity] = field(default_factory=list)
    changes: list[ActivityChange] = field(default_factory=list)
    replaced: list[UUID] = field(default_factory=list)
    numbers: dict[UUID, int] = field(default_factory=dict)
    answers: dict[int, StoredRecord] = field(default_factory=dict)

    @cached_property
    def people(self) -> People:
        return people_in(_told(self.orders.values()), self.user)

    @cached_property
    def owners(self) -> frozenset[UUID]:
        """Active ones among those who would own what an attendee tracked (R6.29)."""
        named = {user for one in self.orders.values() if (user := one.asked.organizer_user)}
        rows = SystemUser.objects.filter(pk__in=named, is_disabled=False) if named else []
        return frozenset(user.pk for user in rows)

    @cached_property
    def wholes(self) -> dict[UUID, Whole]:
        return {key: whole for rows in self.loaded.values() for key, whole in rows.wholes.items()}

    def carry_out(self) -> dict[int, StoredRecord]:
        contacts = Contacts(self.user, self.now)
        for number, order in self.orders.items():
            if order.write.verb is not Verb.DELETE:
                key = self._note(contacts, order, number)
                self.answers[number] = StoredRecord(StoreOutcome.DONE, key, notes=_notes(order))
        contacts.flush()
        self._write()
        self._write_exceptions()
        _bin(ActivityPointer, self.replaced, self, str(_("It is like its series again, or gone.")))
        self._delete()
        return self.answers

    def _note(self, contacts: Contacts, order: _Order, number: int) -> UUID:
        if order.table == Table.CONTACT:
            return self._note_contact(contacts, order)
        if order.key is None:
            new = self._new(order)
            self.made.append(new)
            self.numbers[new.id] = number
            return new.id
        self.numbers[order.key] = number
        self._note_change(order, order.key)
        return order.key

    def _note_contact(self, contacts: Contacts, order: _Order) -> UUID:
        if order.key is None:
            key: UUID = contacts.make(order.write.fields).pk
            return key
        contacts.change(self.loaded[order.table].rows[order.key], order.write.fields)
        return order.key

    def _new(self, order: _Order) -> NewActivity:
        """What comes from a server as a task has begun now (R6.39)."""
        columns = self._columns(order, MODELS[order.table]())
        begun = {} if order.table in WITH_PEOPLE else {"actual_start": self.now}
        organizer = order.asked.organizer_user
        parties, _roles = parties_of(order.write.fields, self.people)
        return NewActivity(
            kind=order.kind,
            fields=begun | columns.detail | self._deleted(order, None),
            owning_user_id=organizer if organizer in self.owners else self.user.pk,
            parties=parties or (),
            by_server=True,
            **columns.pointer,
        )

    def _columns(self, order: _Order, row: Any) -> Columns:
        fields = order.write.fields
        if order.table in WITH_PEOPLE:
            return meetings.columns(row, fields, order.lifecycle, order.asked.uid)
        known = todos.Known(order.table, row, self._zone_of(order, row), self.now)
        return todos.columns(known, fields, order.lifecycle)

    def _zone_of(self, order: _Order, row: Any) -> ZoneInfo:
        activity = ActivityPointer(owning_user=self.user) if order.key is None else row.activity
        return zone_of_owner(activity)

    def _note_change(self, order: _Order, key: UUID) -> None:
        rows = self.loaded[order.table]
        columns = self._columns(order, rows.rows[key])
        fields = order.write.fields
        parties, roles = parties_of(fields, self.people, rows.people.get(key, ()))
        self.changes.append(
            ActivityChange(
                id=key,
                kind=order.kind,
                fields=columns.detail | self._deleted(order, rows.rows[key]),
                pointer=columns.pointer,
                parties=parties,
                roles=roles,
                by_server=True,
            )
        )
        self._note_exceptions(order, key)

    # -- what differs from a series

    def _deleted(self, order: _Order, series: Any) -> dict[str, Any]:
        """Which occurrences take place no more."""
        if order.table != Table.RECURRING_APPOINTMENT:
            return {}
        before = set() if series is None or order.wipes else set(series.deleted_starts)
        after = {at for at in before if order.write.occurrences.get(at) is None}
        after |= {at for at, fields in order.write.occurrences.items() if fields is None}
        same = series is not None and after == set(series.deleted_starts)
        return {} if same else {"deleted_exceptions_list": in_utc(after)}

    def _note_exceptions(self, order: _Order, key: UUID) -> None:
        """Of a series that is there: those that change, and those that go."""
        rows = self.loaded[order.table]
        for row in rows.exceptions.get(key, ()):
            if order.wipes:
                self.replaced.append(row.pk)
            elif (original := row.original_start_date) in order.write.occurrences:
                assert original is not None
                self._note_exception(order, row, order.write.occurrences[original])

    def _note_exception(self, order: _Order, row: Any, fields: Fields | None) -> None:
        if fields is None:
            self.replaced.append(row.pk)
            return
        assert order.key is not None
        self.numbers[row.pk] = self.numbers[order.key]
        columns = meetings.columns(row, fields)
        there = self.loaded[order.table].people.get(row.pk, ())
        parties, roles = parties_of(fields, self.people, there)
        self.changes.append(
            ActivityChange(
                id=row.pk,
                kind=ActivityType.APPOINTMENT,
                fields=columns.detail,
                pointer=columns.pointer,
                parties=parties,
                roles=roles,
                by_server=True,
            )
        )

    def _write(self) -> None:
        refused: dict[UUID, ValidationError] = {}
        if self.made:
            refused |= scheduling.create(self.made, now=self.now, actor=self.user).refused
        if self.changes:
            changed = scheduling.update(self.changes, now=self.now, actor=self.user, of=self.wholes)
            refused |= changed.refused
        self._refuse(refused)

    def _write_exceptions(self) -> None:
        """New ones: their series are as they will be."""
        wanted = {number: one for number, one in self.orders.items() if self._missing(number, one)}
        new_series = [self._key(n) for n, order in wanted.items() if order.key is None]
        wholes = dict(self.wholes)
        if new_series:
            wholes |= scheduling.locked(new_series, ActivityType.RECURRING_APPOINTMENT)
        made = []
        for number, order in wanted.items():
            series = wholes[self._key(number)]
            for original in self._missing(number, order):
                made.append(self._exception(order, series, original))
                self.numbers[made[-1].id] = number
        if made:
            self._refuse(scheduling.create(made, now=self.now, actor=self.user).refused)

    def _missing(self, number: int, order: _Order) -> list[datetime]:
        if self.answers.get(number, GONE).outcome is not StoreOutcome.DONE:
            return []
        rows: Sequence[Any] = ()
        if order.key is not None and not order.wipes:
            rows = self.loaded[order.table].exceptions.get(order.key, ())
        there = {row.original_start_date for row in rows}
        told = order.write.occurrences.items()
        return sorted(at for at, fields in told if fields is not None and at not in there)

    def _key(self, number: int) -> UUID:
        key = self.answers[number].key
        assert key is not None
        return key

    def _exception(self, order: _Order, series: Whole, original: datetime) -> NewActivity:
        fields = order.write.occurrences[original]
        assert fields is not None
        like_series = Appointment(status_code=series.detail.status_code)
        columns = meetings.columns(like_series, fields)
        parties, roles = parties_of(fields, self.people, people_among(series.parties))
        if parties is not None:
            others = (one for one in series.parties if one.participation_type_mask not in roles)
            parties = [*parties, *map(as_new, others)]
        return scheduling.exception_of(
            series,
            original,
            fields=columns.detail,
            pointer=columns.pointer,
            parties=parties,
            by_server=True,
        )

    def _refuse(self, refused: Mapping[UUID, ValidationError]) -> None:
        """A series and what differs from it are stored together or not at all."""
        found = {
            self.numbers[key]: _unsound(" ".join(error.messages)) for key, error in refused.items()
        }
        if any(self.orders[number].write.occurrences for number in found):
            raise _Unsound(found)
        self.answers |= found

    # -- the bin (R6.47)

    def _delete(self) -> None:
        groups: dict[tuple[Table, str], dict[int, UUID]] = defaultdict(dict)
        for number, order in self.orders.items():
            if order.write.verb is Verb.DELETE and order.key is not None:
                groups[order.table, order.asked.why][number] = order.key
        for (table, why), keys in groups.items():
            allowed = self._deletable(table, keys.values())
            binned = self._binned(table, allowed, why)
            for number, key in keys.items():
                entry = binned.get(key)
                done = StoredRecord(StoreOutcome.DONE, key, deleted=entry.pk if entry else None)
                self.answers[number] = done if key in allowed else _denied()

    def _deletable(self, table: Table, keys: Iterable[UUID]) -> set[UUID]:
        rows = MODELS[table]._default_manager.filter(pk__in=list(keys))
        return set(access.visible_to(self.user, rows, "delete").values_list("pk", flat=True))

    def _binned(self, table: Table, keys: Iterable[UUID], why: str) -> dict[Any, Any]:
        if table == Table.CONTACT:
            return _bin(Contact, keys, self, why)
        return dict(scheduling.delete(keys, now=self.now, actor=self.user, reason=why))


def _bin(model: type[Model], keys: Iterable[UUID], writing: _Writing, why: str) -> dict[Any, Any]:
    wanted = list(keys)
    if not wanted:
        return {}
    return recyclebin.delete(model, wanted, now=writing.now, actor=writing.user, reason=why)


def _told(orders: Iterable[_Order]) -> list[Fields]:
    several: list[Fields] = []
    for order in orders:
        if order.table in WITH_PEOPLE:
            several.append(order.write.fields)
            several += [fields for fields in order.write.occurrences.values() if fields]
    return several


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
