"""PURE  The stations of a message's path, in phases: what a picture of it shows (R8.33).

`path` makes them of a decision, and the room above of what sending recorded; pages draw both alike.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from tracking.choices import StationState
from tracking.telling import Sentence


@dataclass(frozen=True, slots=True)
class Step:
    """One of several things tried at a station. `said` None: it was not asked."""

    name: str
    words: str
    said: bool | None = None

    @property
    def css(self) -> str:
        if self.said is None:
            return "is-off"
        return "is-yes" if self.said else "is-no"


@dataclass(frozen=True, slots=True)
class Ref:
    """A record that a station speaks of: the label of its model in lower case, and its key. Whether the
    reader may see it is for the page to find out."""

    kind: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Station:
    """`key` is the same in every language; `phrase` is one short phrase, `details` is all of it."""

    key: str
    name: str
    state: StationState = StationState.PASSED
    phrase: str = ""
    rule: str = ""
    details: tuple[Sentence, ...] = ()
    steps: tuple[Step, ...] = ()
    refs: tuple[Ref, ...] = ()

    @property
    def is_loud(self) -> bool:
        """Whether its state is worth a word beside the mark that every state has."""
        return self.state in (StationState.DECIDED, StationState.STOPPED, StationState.WAITING)


@dataclass(frozen=True, slots=True)
class Phase:
    """Stations that belong together, in their order."""

    key: str
    name: str
    stations: tuple[Station, ...]


def station(
    key: str,
    name: str,
    phrase: str,
    told: Iterable[Sentence] = (),
    *,
    state: StationState = StationState.PASSED,
    rule: str = "",
    steps: Iterable[Step] = (),
    refs: Iterable[Ref] = (),
) -> Station:
    """`rule`: where it is empty, that of the first sentence which has one."""
    details = tuple(told)
    return Station(
        key=key,
        name=name,
        state=state,
        phrase=phrase[:1].upper() + phrase[1:],
        rule=rule or next((sentence.rule for sentence in details if sentence.rule), ""),
        details=details,
        steps=tuple(steps),
        refs=tuple(refs),
    )


def stopped_at(phases: Sequence[Phase], key: str) -> tuple[Phase, ...]:
    """The same phases, where the message came to this station and no further; "" stops nowhere."""
    found, is_past = [], False
    for phase in phases:
        stations = []
        for one in phase.stations:
            stations.append(_come_to(one, key, is_past=is_past))
            is_past = is_past or one.key == key
        found.append(replace(phase, stations=tuple(stations)))
    return tuple(found)


def _come_to(one: Station, key: str, *, is_past: bool) -> Station:
    if is_past:
        return Station(key=one.key, name=one.name, state=StationState.UNASKED)
    return replace(one, state=StationState.STOPPED) if one.key == key else one
