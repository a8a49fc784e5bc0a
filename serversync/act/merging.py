"""PURE  Two sides of one set of fields, and what both held when they were last equal -> what to carry where (R6.53).

Fields that only make sense together are one *unit* and are carried together. For each unit:

    both the same                 nothing to do, however it came (R6.52)
    one side differs from base    carried to the other, where its direction goes that way
    both differ                   one wins, the other is kept as lost
    no base                       empty is no change: the two sides are united

What can't be written now stays as it is, its base too, so that it is carried as soon as it can be.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from mailboxes.protocols.items import Address, Fields
from serversync.act.types import Direction, Lost

STORE, SERVER = "store", "server"
_OTHER = {STORE: SERVER, SERVER: STORE}

#: Fields that are carried together. Whoever isn't here is a unit of his own.
TOGETHER = (
    ("required", "optional"),  # who moves from one to the other is in exactly one of them
    ("status", "percent_complete", "completed"),  # R6.37
    ("start", "due"),  # a start without a due date is one (R6.38)
)

Unit = tuple[str, ...]
Ways = Mapping[str, Direction]


@dataclass(frozen=True, slots=True)
class Closed:
    """Fields that must not be written on a side now -> why, a code of `reasons.REASONS`."""

    store: Mapping[str, str] = field(default_factory=dict)
    server: Mapping[str, str] = field(default_factory=dict)

    def why(self, side: str, unit: Unit) -> str:
        """ "": this side may be written."""
        closed = self.store if side == STORE else self.server
        return next((closed[name] for name in unit if name in closed), "")


@dataclass(slots=True)
class Merged:
    """What to write on each side, and what both hold then. `held`: codes of what kept something back, and
    `waiting`: which fields that was."""

    to_store: dict[str, Any] = field(default_factory=dict)
    to_server: dict[str, Any] = field(default_factory=dict)
    base: dict[str, Any] = field(default_factory=dict)
    lost: list[Lost] = field(default_factory=list)
    held: dict[str, None] = field(default_factory=dict)
    waiting: set[str] = field(default_factory=set)

    def to(self, side: str) -> dict[str, Any]:
        return self.to_store if side == STORE else self.to_server


def merge(
    base: Fields | None, store: Fields, server: Fields, ways: Ways, closed: Closed, later: str
) -> Merged:
    """Fields without a direction are neither read nor written (R6.17), and what one side doesn't tell isn't
    decided. `later`: the side that was changed last."""
    merged = Merged()
    for unit, way in units(ways, store, server):
        values = {STORE: pick(unit, store), SERVER: pick(unit, server)}
        before = pick(unit, base) if base and all(name in base for name in unit) else None
        _settle(merged, unit, decide(unit, way, before, values, closed, later), before, values)
    return merged


# -- one unit --------------------------------------------------------------------------------------


class Fate(Enum):
    AGREED = "agreed"  # both hold the same
    REST = "rest"  # nothing to carry
    CARRIED = "carried"
    WON = "won"  # carried over what the other side had changed
    HELD = "held"  # may not be carried now


@dataclass(frozen=True, slots=True)
class Outcome:
    """`source`: whose value it is that counts; `why`: what held it."""

    fate: Fate
    source: str = STORE
    why: str = ""


Values = Mapping[str, dict[str, Any]]


def decide(
    unit: Unit,
    way: Direction,
    before: Fields | None,
    values: Values,
    closed: Closed,
    later: str,
) -> Outcome:
    """`before`: the unit's part of the base; None: there is none."""
    if alike(values[STORE], values[SERVER]):
        return Outcome(Fate.AGREED)
    read = [
        side for side, goes in ((STORE, way.reaches_server), (SERVER, way.reaches_store)) if goes
    ]
    changed = [side for side in read if _has_changed(side, before, values, alone=len(read) == 1)]
    if not changed:
        return Outcome(Fate.REST, read[0])
    shut = {side: closed.why(_OTHER[side], unit) for side in changed}
    free = [side for side in changed if not shut[side]]
    if not free:
        return Outcome(Fate.HELD, changed[0], shut[changed[0]])
    if len(changed) == 1:
        return Outcome(Fate.CARRIED, changed[0])
    # Who can't be carried over loses: otherwise the two would differ for good.
    return Outcome(Fate.WON, free[0] if len(free) == 1 else later)


def _has_changed(side: str, before: Fields | None, values: Values, *, alone: bool) -> bool:
    """`alone`: only this side is read; then the first meeting overwrites nothing."""
    if before is not None:
        return not alike(values[side], before)
    return not _is_blank(values[side]) and (not alone or _is_blank(values[_OTHER[side]]))


def _settle(
    merged: Merged, unit: Unit, outcome: Outcome, before: Fields | None, values: Values
) -> None:
    value, loser = values[outcome.source], _OTHER[outcome.source]
    other = values[loser]
    if outcome.fate is Fate.HELD:
        merged.held[outcome.why] = None
        merged.waiting.update(unit)
    if outcome.fate in (Fate.CARRIED, Fate.WON):
        new = {name: value[name] for name in unit if not same(value[name], other[name])}
        merged.to(loser).update(new)
    if outcome.fate is Fate.WON:
        merged.lost.extend(_lost(unit, loser, before, other, value))
    merged.base.update(_both_hold(outcome.fate, before, value))


def _both_hold(fate: Fate, before: Fields | None, value: Fields) -> Fields:
    """Of a unit that goes one way only: what its source holds."""
    if fate in (Fate.REST, Fate.HELD) and before is not None:
        return before
    return {} if fate is Fate.HELD else value


def _lost(
    unit: Unit, side: str, before: Fields | None, value: Fields, kept: Fields
) -> Iterator[Lost]:
    """What the loser had changed, and nothing besides."""
    for name in unit:
        known = before[name] if before is not None else None
        if not (same(value[name], known) or same(value[name], kept[name])):
            yield Lost(name, value[name], kept[name], side)


# -- units and values ------------------------------------------------------------------------------


def units(ways: Ways, *sides: Fields) -> Iterator[tuple[Unit, Direction]]:
    """What takes part and is told by all sides, in groups that go the same way."""
    told = {
        name: way
        for name, way in ways.items()
        if way is not Direction.NONE and all(name in side for side in sides)
    }
    grouped: dict[tuple[Any, Direction], list[str]] = {}
    for name, way in told.items():
        grouped.setdefault((_GROUP.get(name, name), way), []).append(name)
    yield from ((tuple(names), way) for (_, way), names in grouped.items())


_GROUP = {name: number for number, names in enumerate(TOGETHER) for name in names}


def pick(names: Collection[str], fields: Fields) -> dict[str, Any]:
    return {name: fields[name] for name in names}


def alike(mine: Fields, other: Fields) -> bool:
    return all(same(value, other[name]) for name, value in mine.items())


def same(mine: Any, other: Any) -> bool:
    """As people see it: the order of attendees, the kind of line break and empty values of another sort make
    no difference."""
    return bool(plain(mine) == plain(other))


def is_blank(value: Any) -> bool:
    return plain(value) is None


def plain(value: Any) -> Any:
    """What is compared of a value; None for all that is empty."""
    if isinstance(value, str):
        value = "\n".join(line.rstrip() for line in value.strip().splitlines())
    elif isinstance(value, tuple):
        value = frozenset(value)
    return None if value in _BLANK else value


_BLANK: tuple[Any, ...] = (None, "", frozenset(), Address())


def _is_blank(values: Fields) -> bool:
    return all(is_blank(value) for value in values.values())
