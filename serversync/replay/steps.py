"""PURE  What applying a replay does about one item whose decision differs.

            before           now            what is done
            not stored       wanted         fetched again by the next cycle, and decided there
            tracked          tracked        its email is changed
            tracked          not wanted     its email goes into the bin
            not stored       not wanted     another reason is noted
            a copy           not wanted     another reason is noted, and the link is taken off

Whatever a person has done since stays; so do records that were made of mail, and what has no copy to fetch.
"""

from dataclasses import dataclass

from serversync.choices import ItemState, ReplayStep, Stay
from serversync.facets import Facet

Verdict = tuple[ReplayStep, Stay | None]

STORED = frozenset({ItemState.TRACKED, ItemState.DUPLICATE})
ENDS = frozenset({ItemState.TRACKED, ItemState.DUPLICATE, ItemState.REJECTED, ItemState.SKIPPED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """One item. `has_email`: the email that it is, or is a copy of, is there; `fetchable`: a server may
    have it, or its bytes are kept; `touched`: what speaks against removing its email; `chosen`: a person marked it, and it would be taken
    without that."""

    before: ItemState
    now: ItemState | None
    facets: frozenset[Facet] = frozenset()
    has_email: bool = False
    fetchable: bool = True
    inside: bool = False
    chosen: bool = False
    touched: Stay | None = None


def step_of(facts: Facts) -> Verdict:
    """What is done, and if it is nothing, why."""
    if facts.now is None:
        return _stays(Stay.UNKNOWN)
    if facts.now not in ENDS:
        return _stays(Stay.DENIED)
    if facts.before == ItemState.RETRYING:
        return _stays(Stay.RETRIES)
    if facts.before in STORED and facts.has_email:
        return _stored(facts)
    if facts.before == ItemState.QUARANTINED or facts.now in STORED:
        return _fetched(facts)
    return ReplayStep.NOTE, None


def _stored(facts: Facts) -> Verdict:
    if facts.before == ItemState.DUPLICATE:
        return _stays(Stay.STORED) if facts.now in STORED else (ReplayStep.NOTE, None)
    if facts.now == ItemState.TRACKED:
        return _changed(facts)
    if facts.now == ItemState.DUPLICATE:
        return _stays(Stay.STORED)
    return _removed(facts)


def _changed(facts: Facts) -> Verdict:
    if facts.chosen:
        return _stays(Stay.BY_HAND)
    return _stays(Stay.MADE) if Facet.MADE in facts.facets else (ReplayStep.CHANGE, None)


def _removed(facts: Facts) -> Verdict:
    return (ReplayStep.REMOVE, None) if facts.touched is None else _stays(facts.touched)


def _fetched(facts: Facts) -> Verdict:
    if facts.inside:
        return _stays(Stay.INSIDE)
    return (ReplayStep.FETCH, None) if facts.fetchable else _stays(Stay.NO_COPY)


def _stays(why: Stay) -> Verdict:
    return ReplayStep.NOTHING, why
