"""PURE  Series: their occurrences one by one, and each field by field (R6.33, R6.53).

An occurrence that nobody touched isn't told by either side: it is like the series says. One that is told has fields
of its own, or None: it was deleted. So every occurrence that any side tells is compared as each side shows it,

    told         as it is told, the rest as the series
    not told     as that side's series has it
    None         deleted

and only what differs from what a side shows, once its series is written, is written to it. A pattern or a time that
is written takes all exceptions of that side along, for servers and stores drop them with the old pattern: they are
written again. An original start that the pattern hasn't got any more is no occurrence; its exception is lost.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from mailboxes.protocols.items import Fields, Person, Tell
from serversync.act import deletes, meetings, merging, times
from serversync.act.merging import SERVER, STORE, Merged
from serversync.act.types import Direction, Lost, Pair, Side, Table

PATTERN = frozenset({"when", "recurrence"})
RESTORE, DELETE = "restore", "delete"
Shown = dict[str, Any] | None
"""Fields of an occurrence as a side shows it; None: deleted."""


@dataclass(slots=True)
class Series:
    """What to write about occurrences, and what both sides hold then. `deleted`: those that are newly deleted
    on the server, `uninvited`: of which somebody is taken off there; `people`: whom the server would mail."""

    to_store: dict[datetime, Fields | None] = field(default_factory=dict)
    to_server: dict[datetime, Fields | None] = field(default_factory=dict)
    base: dict[datetime, Fields | None] = field(default_factory=dict)
    tells: dict[datetime, Tell] = field(default_factory=dict)
    people: set[Person] = field(default_factory=set)
    deleted: set[datetime] = field(default_factory=set)
    uninvited: set[datetime] = field(default_factory=set)
    lost: list[Lost] = field(default_factory=list)
    held: dict[str, None] = field(default_factory=dict)

    def note(self, original: datetime, tell: Tell, people: Iterable[Person]) -> None:
        """Whom the server mails about this one."""
        if tell is not Tell.NOBODY:
            self.tells[original] = tell
            self.people.update(people)


def merge_occurrences(pair: Pair, head: Merged, now: datetime) -> Series:
    """`head`: what becomes of the series itself."""
    assert pair.store is not None and pair.server is not None
    result = Series()
    sides = {STORE: pair.store, SERVER: pair.server}
    for original in sorted(_told(pair)):
        one = _One(pair, head, sides, original, now)
        if one.is_lost:
            result.lost.extend(one.dropped())
        else:
            one.settle(result)
    return result


def _told(pair: Pair) -> set[datetime]:
    sides = [side for side in (pair.base, pair.store, pair.server) if side]
    return {original for side in sides for original in side.occurrences}


# -- one occurrence ----------------------------------------------------------------------------------


@dataclass(slots=True)
class _One:
    """An occurrence that some side tells of."""

    pair: Pair
    head: Merged
    sides: Mapping[str, Side]
    original: datetime
    now: datetime

    @property
    def is_lost(self) -> bool:
        """The pattern that both sides will have hasn't got it. What both tell is there all the same."""
        told_by_both = all(self.original in side.occurrences for side in self.sides.values())
        after = {**self.sides[STORE].fields, **self.head.to_store}
        return not (times.occurs(after, self.original) or (told_by_both and not self._is_rewritten))

    @property
    def _is_rewritten(self) -> bool:
        return any(self.wiped(name) for name in (STORE, SERVER))

    def wiped(self, name: str) -> bool:
        """Its exceptions go with the pattern that is written over."""
        return not PATTERN.isdisjoint(self.head.to(name))

    def dropped(self) -> Iterator[Lost]:
        for name, side in self.sides.items():
            own = side.occurrences.get(self.original)
            if own is None or not self.wiped(name):
                continue
            plain = times.regular(side.fields, self.original)
            for each, value in own.items():
                if each in self.ways and not merging.same(value, plain.get(each)):
                    yield Lost(each, value, None, name, self.original)

    # -- what each shows

    @property
    def ways(self) -> dict[str, Direction]:
        return {
            name: way
            for name, way in self.pair.directions.items()
            if way is not Direction.NONE and name not in times.OF_SERIES
        }

    def shown(self, side: Side) -> Shown:
        if self.original not in side.occurrences:
            return times.regular(side.fields, self.original)
        own = side.occurrences[self.original]
        return None if own is None else {**times.regular(side.fields, self.original), **own}

    def before(self) -> Shown:
        """As both showed it: told with all that both are known to have held. Linked just now, whoever
        doesn't tell it has changed nothing."""
        base = self.pair.base
        if base is not None:
            told = base.occurrences.get(self.original)
            return dict(told) if told else self.shown(base)
        silent = [side for side in self.sides.values() if self.original not in side.occurrences]
        return self.shown(silent[0]) if silent else None

    def as_pair(self, shown: Mapping[str, Shown]) -> Pair:
        """For rules about single meetings."""
        store, server = (
            None if (own := shown[name]) is None else Side(own) for name in (STORE, SERVER)
        )
        if server is not None and meetings.is_cancelled(self.pair.server):
            server = Side({**server.fields, "is_cancelled": True})
        return replace(self.pair, table=Table.APPOINTMENT, store=store, server=server)

    # -- what becomes of it

    def settle(self, result: Series) -> None:
        shown = {name: self.shown(side) for name, side in self.sides.items()}
        here, there = shown[STORE], shown[SERVER]
        if here is None and there is None:
            result.base[self.original] = None
            self._write(result, shown, shown)
        elif here is None or there is None:
            self._settle_deletion(result, shown)
        else:
            self._settle_fields(result, shown, here, there)

    def _settle_fields(
        self, result: Series, shown: Mapping[str, Shown], here: Fields, there: Fields
    ) -> None:
        past = times.is_over(there, self.now) and times.is_over(here, self.now)
        shut = meetings.closed(self.as_pair(shown), past=past)
        merged = merging.merge(
            self.before(), here, there, self.ways, shut, meetings.later(self.pair)
        )
        wanted = {STORE: {**here, **merged.to_store}, SERVER: {**there, **merged.to_server}}
        result.held |= merged.held
        result.lost += [replace(each, original=self.original) for each in merged.lost]
        if not self._is_regular(merged.base):
            result.base[self.original] = merged.base
        self._write(result, shown, wanted, merged)

    def _is_regular(self, base: Fields) -> bool:
        """It needn't be told: the series says it all."""
        plain = times.regular(self.head.base, self.original)
        known = merging.pick(self.ways.keys() & plain.keys(), plain)
        return known.keys() == base.keys() and merging.alike(base, known)

    def _settle_deletion(self, result: Series, shown: Mapping[str, Shown]) -> None:
        """One side has deleted it."""
        gone, there = (STORE, SERVER) if shown[STORE] is None else (SERVER, STORE)
        stays = shown[there]
        assert stays is not None
        verdict = self._verdict(gone, stays, shown)
        if verdict == RESTORE:
            stays = self._present(there, shown) or stays
            own = self._as_restored(gone, stays)
            if not self._is_regular(own):
                result.base[self.original] = own
            self._write(result, shown, {there: stays, gone: stays})
        elif verdict == DELETE:
            result.base[self.original] = None
            result.lost += self._unseen(there, stays)
            result.deleted |= {self.original} if there == SERVER else set()
            self._write(result, shown, {there: None, gone: None})
        else:
            result.held[verdict] = None
            self._keep_base(result)
            self._write(result, shown, shown)

    def _as_restored(self, gone: str, stays: Fields) -> Fields:
        """What doesn't go to that side is there as its series says."""
        after = {**self.sides[gone].fields, **self.head.to(gone)}
        plain = times.regular(after, self.original)
        known = self.ways.keys() & plain.keys()
        return {**merging.pick(known, plain), **merging.pick(self._names(gone, stays), stays)}

    def _verdict(self, gone: str, stays: Fields, shown: Mapping[str, Shown]) -> str:
        """RESTORE, DELETE, or why neither; the table of R6.45 holds for single occurrences, too."""
        pair, single = self.pair, self.as_pair(shown)
        shut = meetings.closed(single, past=False)
        may_restore = gone == STORE and not shut.why(STORE, ("when",))
        if self._was_deleted():
            return RESTORE if may_restore else "occurrence_gone"
        if gone == SERVER and self._is_to_come_back(stays):
            return RESTORE
        if may_restore and self._unseen(SERVER, stays) and meetings.later(pair) == SERVER:
            return RESTORE
        case = deletes.Case.DELETED_HERE if gone == STORE else deletes.Case.DELETED_THERE
        return (
            deletes.obstacle(case, single, self.now)
            or (shut.why(SERVER, ("when",)) if gone == STORE else "")
            or DELETE
        )

    def _is_to_come_back(self, stays: Fields) -> bool:
        """The original's way: what the organizer deleted of the past is made again (R6.33)."""
        pair = self.pair
        wanted = pair.settings.recreate_past_instances and meetings.is_tracking(pair)
        return wanted and meetings.sends(pair) and times.is_over(stays, self.now)

    def _was_deleted(self) -> bool:
        base = self.pair.base
        return base is not None and base.occurrences.get(self.original, {}) is None

    def _unseen(self, name: str, stays: Fields) -> list[Lost]:
        """What this side had changed of it, and the other one never saw."""
        known = self.before() or times.regular(self.sides[name].fields, self.original)
        return [
            Lost(each, value, None, name, self.original)
            for each, value in stays.items()
            if each in self.ways and each in known and not merging.same(value, known[each])
        ]

    def _keep_base(self, result: Series) -> None:
        base = self.pair.base
        if base is not None and self.original in base.occurrences:
            result.base[self.original] = base.occurrences[self.original]

    # -- what is written

    def _write(
        self,
        result: Series,
        shown: Mapping[str, Shown],
        wanted: Mapping[str, Shown],
        merged: Merged | None = None,
    ) -> None:
        for name, to in ((STORE, result.to_store), (SERVER, result.to_server)):
            present = self._present(name, shown)
            changed = self._changes(name, present, wanted[name], merged)
            if changed is None or changed:
                to[self.original] = changed
                if name == SERVER:
                    self._tell(result, present, changed)

    def _present(self, name: str, shown: Mapping[str, Shown]) -> Shown:
        """As the side shows it once its series is written."""
        side = self.sides[name]
        if self.original in side.occurrences and not self.wiped(name):
            return shown[name]
        return times.regular({**side.fields, **self.head.to(name)}, self.original)

    def _changes(
        self, name: str, present: Shown, wanted: Shown, merged: Merged | None
    ) -> Fields | None:
        """Fields to write, none if nothing; None to delete it."""
        if wanted is None:
            return {} if present is None else None
        names = self._names(name, wanted)
        if present is None:
            return merging.pick(names, wanted)
        if not self.wiped(name):
            names = [each for each in names if merged and each not in merged.waiting]
        return {
            each: wanted[each]
            for each in names
            if not merging.same(wanted[each], present.get(each))
        }

    def _names(self, name: str, fields: Fields) -> list[str]:
        """What may be written of an occurrence there. What a new pattern takes away is given back, whichever
        way it goes."""
        goes = "reaches_store" if name == STORE else "reaches_server"
        return [
            each
            for each, way in self.ways.items()
            if each in fields
            and (self.wiped(name) or getattr(way, goes))
            and not (name == SERVER and each in meetings.NEVER_SENT)
        ]

    def _tell(self, result: Series, present: Shown, changed: Fields | None) -> None:
        pair = self.pair
        if changed is None:
            told = meetings.tell_ending(present or {}, self.now)
        elif present is None:
            told = meetings.tell_creation(changed, self.now)
        else:
            told = meetings.tell_update(
                present,
                changed,
                self.now,
                state=pair.record.lifecycle,
                linking=meetings.is_tracking(pair),
            )
            # Those of an exception that goes with its pattern, and is written again, were never taken off.
            if not self.wiped(SERVER) and meetings.is_uninviting(present, changed):
                result.uninvited.add(self.original)
        result.note(self.original, *told)


# -- series that only one side has -------------------------------------------------------------------


def exceptions(side: Side, ways: Mapping[str, Direction]) -> dict[datetime, Fields | None]:
    """Of a series that is made on the other side: what isn't like the others, in fields that go there."""
    found: dict[datetime, Fields | None] = {}
    for original, own in sorted(side.occurrences.items()):
        if own is None:
            found[original] = None
            continue
        plain = times.regular(side.fields, original)
        changed = {
            name: value
            for name, value in own.items()
            if name in ways and name in plain and not merging.same(value, plain[name])
        }
        if changed:
            found[original] = changed
    return {original: own for original, own in found.items() if times.occurs(side.fields, original)}
