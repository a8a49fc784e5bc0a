"""PURE  which mailboxes are listened to, how long one waits after a failure, and when a burst of news becomes
one run. Nothing here reads the clock or rolls dice: `now` and `jitter` come in.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from serversync.due import back_off

RETRY_SECONDS = 30  # after the first failure, doubled by each further one up to an hour
SETTLED_SECONDS = 300  # who listened so long has not failed in a row
PERMANENT_SECONDS = 3_600  # only a person can cure it; what he changes is seen at once
UNAVAILABLE_SECONDS = 86_400  # the server can't, until it is another one

TOO_FEW_CONNECTIONS = "TooFewConnections"


# -- whom to listen to ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """`account`: what its connection counts against; `cap`: how many that may have, over all workers."""

    mailbox_id: UUID
    account: str
    cap: int


@dataclass(frozen=True, slots=True)
class Choice:
    """`taken` by account; `refused`: why not, by mailbox."""

    taken: dict[UUID, str]
    refused: dict[UUID, str]


def share(cap: int) -> int:
    """How many of an account's connections may listen: half, so that one at least is left to read with."""
    return cap // 2


def choose(candidates: Sequence[Candidate], used: Mapping[str, int], room: int) -> Choice:
    """At most `room`, in their order. `used`: connections of each account that listen already."""
    counts = Counter(used)
    taken: dict[UUID, str] = {}
    refused: dict[UUID, str] = {}
    for each in candidates:
        if counts[each.account] >= share(each.cap):
            refused[each.mailbox_id] = TOO_FEW_CONNECTIONS
        elif len(taken) < room:
            taken[each.mailbox_id] = each.account
            counts[each.account] += 1
    return Choice(taken, refused)


# -- after a failure -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setback:
    """`lasted`: seconds that it listened before, 0 if it never began; `unavailable`: the server has no push."""

    code: str
    text: str = ""
    permanent: bool = False
    unavailable: bool = False
    hint: float | None = None
    lasted: float = 0.0


def failures_after(setback: Setback, before: int) -> int:
    return 1 if setback.lasted >= SETTLED_SECONDS else before + 1


def pause_after(setback: Setback, failures: int, jitter: float) -> int:
    """Seconds until it is tried again. `jitter` in [0, 1), so that mailboxes of one server don't come back
    together."""
    if setback.unavailable:
        return UNAVAILABLE_SECONDS
    wait = back_off(RETRY_SECONDS, failures, setback.hint, jitter)
    return max(wait, PERMANENT_SECONDS) if setback.permanent else wait


# -- bursts --------------------------------------------------------------------------------------------

Key = TypeVar("Key", bound=Hashable)


class Bursts(Generic[Key]):
    """The first news of something counts at once; what follows within `spacing` seconds counts once, when
    they are over. So a hundred mails in a second are two runs, and the last of them is never forgotten."""

    def __init__(self, spacing: float) -> None:
        self.spacing = spacing
        self._waiting: dict[Key, float] = {}
        self._told: dict[Key, float] = {}

    def note(self, keys: Iterable[Key], now: float) -> None:
        for key in keys:
            last = self._told.get(key)
            soonest = now if last is None else max(now, last + self.spacing)
            self._waiting.setdefault(key, soonest)

    def due(self, now: float) -> list[Key]:
        return [key for key, at in self._waiting.items() if at <= now]

    def told(self, keys: Iterable[Key], now: float) -> None:
        """They have been passed on."""
        for key in keys:
            self._waiting.pop(key, None)
            self._told[key] = now
        old = [key for key, at in self._told.items() if at + self.spacing <= now]
        for key in old:
            del self._told[key]

    def next_at(self) -> float | None:
        """When the next is due."""
        return min(self._waiting.values(), default=None)
