"""PURE  The guard: what one cycle decided, and what of it waits for a person (R6.46, R6.51).

    every decision alone   would call a meeting off and mail it            waits, whatever the numbers
    all of a cycle         deletes and cancellations, both sides together  more than allowed: all of them wait
                           people whom the server would mail               more than allowed: all that mail wait
                           creations at the first synchronization          more than allowed: everything waits

Harmless changes of the same cycle go on. What waits already is counted with it, each for what it waits for, and goes
on waiting as long as that concerns it: deciding it anew by itself doesn't carry it out. What a person approved goes,
and is not counted again; an approval holds for exactly what was `shown`, by its digest. Strict parity has no guard.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mailboxes.protocols.items import Fields
from serversync.act import stored
from serversync.act.merging import same
from serversync.act.types import Decision, Reason, Side, Verb, Write

K = TypeVar("K")

STOPPED = "MassDeleteStopped"  # the condition of R8.20
TOO_MANY_DELETES = "too_many_deletes"
#: Codes of all that can stop a change here.
STOPS = frozenset({"cancellation_waits", TOO_MANY_DELETES, "too_many_people", "first_look"})
#: Among what was declined: the pair's other side isn't made, whatever it would hold.
NO_CREATION = "creation"
PATTERN = {"when", "recurrence"}
_ENDINGS = (Verb.DELETE, Verb.CANCEL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The organization's numbers. `max_deletes`: never more, however much is linked; `percent` of what is
    linked, but `free` are always allowed. `max_people`: mailed in one cycle. `first_free`: creations on one
    side that the first synchronization makes without being asked. `guarded`: False under strict parity."""

    max_deletes: int = 10
    percent: int = 10
    free: int = 2
    max_people: int = 10
    first_free: int = 10
    guarded: bool = True

    def deletes_allowed(self, linked: int) -> int:
        return min(self.max_deletes, max(self.free, linked * self.percent // 100))


@dataclass(frozen=True, slots=True)
class Held:
    """A decision that waits already, and for what."""

    decision: Decision
    reasons: tuple[Reason, ...]

    @property
    def codes(self) -> frozenset[str]:
        return frozenset(reason.code for reason in self.reasons)


@dataclass(frozen=True, slots=True)
class Verdict(Generic[K]):
    """`go`: to be carried out, in the order given; `parked`: why each of the others waits. `alert`: a
    condition of R8.20 to raise, "" for none."""

    go: tuple[K, ...]
    parked: Mapping[K, tuple[Reason, ...]]
    alert: str = ""


def digest(decision: Decision) -> str:
    """Of what it would do, and to whom: the same only while exactly that would be done."""
    return stored.digest_of(decision.to_store, decision.to_server)


def is_declined(decision: Decision, declined: Collection[str]) -> bool:
    """Did somebody say no to exactly this, or to making anything?"""
    makes = any(write.verb is Verb.CREATE for write in _writes(decision))
    return (makes and NO_CREATION in declined) or (decision.writes and digest(decision) in declined)


def shown(
    decision: Decision, store: Side | None, server: Side | None, base: Side | None = None
) -> str:
    """Digest of what is shown to whoever decides: what would be done and, of a deletion or cancellation, what would
    go. Leave given to delete something holds no longer when that has become something else. `base`: what both held,
    with the item's version of then."""
    going: dict[str, Any] = {}
    if store is not None and _ends(decision.to_store):
        going["store"] = stored.side_data(store)
    if server is not None and _ends(decision.to_server):
        # An item that hasn't changed isn't always fetched: what it is, is told by how it differs from the base.
        going["server"] = stored.side_data(server if base is None else _changed(server, base))
    return stored.digest_of(decision.to_store, decision.to_server, going)


def _ends(write: Write | None) -> bool:
    return write is not None and write.verb in _ENDINGS


def _changed(side: Side, base: Side) -> Side:
    """What of it isn't as both held it. What attendees answer isn't ours to lose."""
    if base.version and side.version == base.version:
        return Side({})
    fields = {
        name: side.fields.get(name)
        for name, known in base.fields.items()
        if name != "answers" and not same(side.fields.get(name), known)
    }
    occurrences = {
        original: own
        for original, own in side.occurrences.items()
        if original not in base.occurrences or not _alike(own, base.occurrences[original])
    }
    return Side(fields, occurrences)


def _alike(own: Fields | None, known: Fields | None) -> bool:
    if own is None or known is None:
        return own is known
    return all(same(own.get(name), value) for name, value in known.items())


def judge(
    decisions: Mapping[K, Decision],
    linked: int,
    limits: Limits,
    *,
    first: bool = False,
    approved: Collection[K] = frozenset(),
    held: Mapping[K, Held] | None = None,
) -> Verdict[K]:
    """All decisions of one cycle. `linked`: pairs of this mailbox; `first`: its first synchronization.
    `approved`: those that a person agreed to as they are. `held`: what waits already, of these pairs and of others."""
    known = held or {}
    asking = {
        key: decision
        for key, decision in decisions.items()
        if limits.guarded and decision.writes and key not in approved
    }
    others = [one for key, one in known.items() if key not in decisions]
    stops = {one.code: one for one in _stops(list(asking.values()), others, linked, limits, first)}
    parked: dict[K, list[Reason]] = {}
    for key, decision in asking.items():
        waits = {one.code: one for one in known[key].reasons} if key in known else {}
        for code, reason in (waits | stops).items():
            if code in _CONCERNS and _CONCERNS[code](decision):
                parked.setdefault(key, []).append(reason)
    codes = {reason.code for reasons in parked.values() for reason in reasons}
    return Verdict(
        go=tuple(key for key in decisions if key not in parked),
        parked={key: tuple(reasons) for key, reasons in parked.items()},
        alert=STOPPED if TOO_MANY_DELETES in codes else "",
    )


# -- what stops a cycle, and whom it concerns --------------------------------------------------------


def _stops(
    asking: list[Decision], others: list[Held], linked: int, limits: Limits, first: bool
) -> Iterator[Reason]:
    yield Reason("cancellation_waits")
    deletes = sum(map(deletions, [*asking, *_held_by(TOO_MANY_DELETES, others)]))
    allowed = limits.deletes_allowed(linked)
    if deletes > allowed:
        yield Reason(TOO_MANY_DELETES, {"count": deletes, "allowed": allowed, "linked": linked})
    people = len(mailed([*asking, *_held_by("too_many_people", others)]))
    if people > limits.max_people:
        yield Reason("too_many_people", {"count": people, "allowed": limits.max_people})
    here, there = _creations([*asking, *_held_by("first_look", others)])
    if first and max(here, there) > limits.first_free:
        yield Reason("first_look", {"store": here, "server": there})


def _held_by(code: str, held: Iterable[Held]) -> list[Decision]:
    """A cancellation that waits for its own sake must not hold every invitation back."""
    return [one.decision for one in held if code in one.codes]


def deletions(decision: Decision) -> int:
    """Records, items and single occurrences that it would delete or call off, both sides together."""
    return sum(map(_endings, _writes(decision)))


def mailed(decisions: Iterable[Decision]) -> frozenset[str]:
    """Everybody whom the server would mail."""
    return frozenset(
        address
        for decision in decisions
        for write in _writes(decision)
        if write.mails
        for address in write.told
    )


def _endings(write: Write) -> int:
    if write.verb in _ENDINGS:
        return 1
    if not write.fields.keys().isdisjoint(PATTERN):
        return 0  # exceptions are written anew with the pattern: none of them is lost by it
    return sum(own is None for own in write.occurrences.values())


def _creations(decisions: Iterable[Decision]) -> tuple[int, int]:
    made = [(d.to_store, d.to_server) for d in decisions]
    here = sum(1 for write, _ in made if write and write.verb is Verb.CREATE)
    return here, sum(1 for _, write in made if write and write.verb is Verb.CREATE)


def _writes(decision: Decision) -> tuple[Write, ...]:
    return tuple(write for write in (decision.to_store, decision.to_server) if write)


def _must_wait(decision: Decision) -> bool:
    return decision.must_wait


def _deletes(decision: Decision) -> bool:
    return deletions(decision) > 0


def _mails(decision: Decision) -> bool:
    return any(write.mails for write in _writes(decision))


def _always(_decision: Decision) -> bool:
    return True


#: Whom each reason to wait concerns.
_CONCERNS: Mapping[str, Callable[[Decision], bool]] = {
    "cancellation_waits": _must_wait,
    TOO_MANY_DELETES: _deletes,
    "too_many_people": _mails,
    "first_look": _always,
}
