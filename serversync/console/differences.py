"""A message as it was decided and as it would be, side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serversync.choices import ItemState
from serversync.errortexts import shown_decision
from serversync.facets import Facet
from serversync.models import SyncItem
from serversync.templatetags.console import STATE_KIND
from tracking.byhand import headline_of, sentences_of
from tracking.telling import Sentence

HIDDEN = "***"  # subjects of other people (R8.30)


@dataclass(frozen=True, slots=True)
class Line:
    """One message whose decision differs. `states`: before and after, `kinds`: how they look; `was` and `now`: each in one line."""

    name: str
    item: SyncItem | None
    facets: str
    before: Sequence[Sentence]
    after: Sequence[Sentence]
    was: str
    now: str
    kinds: tuple[str, str]
    states: tuple[str, str]


def line_of(
    name: str,
    item: SyncItem | None,
    facets: Iterable[Facet],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    may_read: bool,
) -> Line:
    """`before` and `after`: decisions as data (tracking.trace). None of it: nothing can be said.
    `may_read`: whether they may quote the mail (R8.30)."""
    if not may_read:
        before, after = shown_decision(before), shown_decision(after)
    states = [_state(before), _state(after)]
    return Line(
        name=name,
        item=item,
        facets=", ".join(str(facet.label) for facet in facets),
        before=sentences_of(before),
        after=sentences_of(after) if "outcome" in after else [],
        was=_short(before),
        now=_short(after),
        kinds=(STATE_KIND[states[0]], STATE_KIND[states[1]]),
        states=(str(states[0].label), str(states[1].label)),
    )


def _short(decision: Mapping[str, Any]) -> str:
    if "outcome" not in decision:
        return ""
    return " ".join(str(sentence) for sentence in headline_of(decision))


def _state(decision: Mapping[str, Any]) -> ItemState:
    return ItemState(str(decision.get("outcome") or ItemState.GONE))
