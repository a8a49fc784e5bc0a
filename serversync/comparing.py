"""A message as it was decided and as it would be: what differs, and what can't be said."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from serversync.choices import ItemState
from serversync.facets import Facet, Unknown
from serversync.models import SyncItem
from tracking import trace
from tracking.again import Decided
from tracking.creation import Said
from tracking.promote import REUSED

FAILED = frozenset({ItemState.QUARANTINED.value, ItemState.RETRYING.value})


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One message before and after, as decision data (tracking.trace). `item` None: it came from a file,
    called `name`; `unknown`: why there is no `after`; `email_id`: of the email that it would be, or a
    copy of; `decided`: with the message itself, which is large."""

    item: SyncItem | None = None
    name: str = ""
    before: Mapping[str, Any]
    after: Mapping[str, Any] | None = None
    unknown: Unknown | None = None
    error: str = ""
    email_id: UUID | None = None
    facets: tuple[Facet, ...] = ()
    decided: Decided | None = field(default=None, repr=False)

    @property
    def is_changed(self) -> bool:
        return bool(self.facets)


@dataclass(slots=True)
class Comparison:
    """All of them, in the order in which they were decided."""

    differences: list[Difference] = field(default_factory=list)

    @property
    def changed(self) -> list[Difference]:
        return [one for one in self.differences if one.is_changed]

    @property
    def unchanged(self) -> int:
        return sum(one.after is not None and not one.is_changed for one in self.differences)

    def outcomes(self) -> dict[str, int]:
        """How many of those with another outcome come to which; "": another detail only."""
        counts: Counter[str] = Counter()
        for one in self.changed:
            assert one.after is not None
            moved = one.before.get("outcome") != one.after.get("outcome")
            counts[str(one.after["outcome"]) if moved else ""] += 1
        return dict(counts)

    def unknown(self) -> dict[Unknown, int]:
        return dict(Counter(one.unknown for one in self.differences if one.unknown is not None))


# -- comparing -----------------------------------------------------------------------------------

NO_NAMES: Mapping[str, str] = {}


def data_of(decision: trace.Decision) -> dict[str, Any]:
    """As the ledger tells it."""
    data = trace.to_data(decision)
    return data | {"sub_reason": REUSED} if decision.message_id_reused else data


def compared(rows: Sequence[SyncItem], decided: Sequence[Decided]) -> Iterator[Difference]:
    """`rows`: the item and what was inside it before."""
    if (denied := _denied(decided)) is not None:
        yield from _failing(rows, denied)
        return
    now = {one.part: one for one in decided}
    for part, row in enumerate(rows):
        one, before = now.pop(part, None), row.decision
        if one is None or one.decision is None:
            error = one.error if one else ""
            yield Difference(item=row, before=before, unknown=Unknown.FAILED, error=error)
            continue
        after = data_of(one.decision)
        yield Difference(
            item=row,
            before=before,
            after=after,
            email_id=one.email_id,
            facets=facets_of(_as_columns(row), after),
            decided=one,
        )
    for one in now.values():  # originals that a failed wrapper had not come to
        if one.decision is not None:
            after = data_of(one.decision)
            yield Difference(item=rows[0], before={}, after=after, facets=(Facet.OUTCOME,))


def _denied(decided: Sequence[Decided]) -> trace.Decision | None:
    """Of an original inside that nobody may own (R3.29): the whole forward is tried again then."""
    found = (one.decision for one in decided if one.part and one.decision is not None)
    return next((one for one in found if one.outcome == ItemState.RETRYING), None)


def _failing(rows: Sequence[SyncItem], decision: trace.Decision) -> Iterator[Difference]:
    wrapper, *inside = rows
    after = data_of(decision)
    facets = facets_of(_as_columns(wrapper), after)
    yield Difference(item=wrapper, before=wrapper.decision, after=after, facets=facets)
    for row in inside:
        yield Difference(item=row, before=row.decision, unknown=Unknown.NOT_REACHED)


def _as_columns(row: SyncItem) -> dict[str, Any]:
    """The ledger's columns count, for they are what a person filters by."""
    told = {"outcome": row.state, "reason": row.reason, "sub_reason": row.sub_reason}
    if row.state == ItemState.DUPLICATE and row.email_id:
        told["duplicate_of"] = str(row.email_id)
    return {**row.decision, **told}


def facets_of(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    names_before: Mapping[str, str] = NO_NAMES,
    names_after: Mapping[str, str] = NO_NAMES,
) -> tuple[Facet, ...]:
    return tuple(
        facet
        for facet, seen in _SEEN.items()
        if _named(seen(before), names_before) != _named(seen(after), names_after)
    )


def _named(seen: Any, names: Mapping[str, str]) -> Any:
    if isinstance(seen, tuple):
        return tuple(_named(one, names) for one in seen)
    return names.get(seen, seen) if isinstance(seen, str) else seen


def _outcome(data: Mapping[str, Any]) -> tuple[str, str, str]:
    """Whether a failure is tried again or not is no matter of settings."""
    state = str(data.get("outcome", ""))
    state = ItemState.QUARANTINED.value if state in FAILED else state
    return state, str(data.get("reason", "")), str(data.get("sub_reason", ""))


def _key(data: Mapping[str, Any], name: str) -> tuple[str, str]:
    named: Any = data.get(name) or {}
    return str(named.get("kind", "")), str(named.get("id", ""))


def _answers(data: Mapping[str, Any]) -> str:
    if data.get("outcome") == ItemState.DUPLICATE:
        return str(data.get("duplicate_of", ""))
    return str((data.get("correlation") or {}).get("email") or "")


def _queues(data: Mapping[str, Any]) -> Collection[str]:
    return {str(item.get("id")) for item in (data.get("queue_items") or {}).get("list", ())}


def people_of(data: Mapping[str, Any]) -> Collection[tuple[str, str, frozenset[tuple[str, str]]]]:
    """(role, address, records) of sender and recipients, as far as they are listed."""
    sender: Any = data.get("sender") or {}
    listed: Any = (data.get("recipients") or {}).get("list", ())
    found = {
        (str(one.get("role", "")), str(one.get("address", "")), _records(one)) for one in listed
    }
    matches = {"matches": {"list": [sender["match"]]}} if sender.get("match") else {}
    return found | {("sender", str(sender.get("address", "")), _records(matches))}


def _records(resolution: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    listed: Any = (resolution.get("matches") or {}).get("list", ())
    return frozenset((str(one.get("kind", "")), str(one.get("id", ""))) for one in listed)


def made(data: Mapping[str, Any], what: Said) -> bool:
    return any(note.get("said") == what for note in data.get("made") or ())


def _things(data: Mapping[str, Any]) -> tuple[bool, bool]:
    return made(data, Said.PERSON), made(data, Said.CASE)


_SEEN = {
    Facet.OUTCOME: _outcome,
    Facet.ANSWERS: _answers,
    Facet.REGARDING: lambda data: _key(data, "regarding"),
    Facet.ENTITY: lambda data: _key(data, "entity"),
    Facet.OWNER: lambda data: _key(data, "owner"),
    Facet.QUEUES: _queues,
    Facet.PEOPLE: people_of,
    Facet.MADE: _things,
}
