"""PURE  what goes wrong in a soak, and when: the same seed gives the same plan."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random

PROTOCOLS = ("imap", "pop3", "ews")
SETTLE_SECONDS = 15  # nothing goes wrong before, nor in the last half minute
QUIET_END = 30
OF_FEW = 10  # mailboxes, where a failure is not the whole server's
HANGING = 3  # of an Exchange server, which has few threads
SAFE_AFTER = (
    120.0  # the clusters but the first one live on from then, so that their memory can be compared
)


class Trouble(StrEnum):
    DOWN = "server down"
    REFUSED = "passwords changed"
    UNAVAILABLE = "logins refused for now"
    DROPPED = "lines dropped"
    TIMED_OUT = "no answer"
    SLOW = "slow answers"
    THROTTLED = "throttled"


#: What a whole server does; the others concern a few of its mailboxes.
OF_ALL = (Trouble.DOWN, Trouble.UNAVAILABLE, Trouble.SLOW, Trouble.THROTTLED)
ONLY_EXCHANGE = (Trouble.THROTTLED,)


@dataclass(frozen=True, slots=True)
class Window:
    """Seconds from the beginning of the traffic. `addresses`: of whom; none: of everybody there."""

    protocol: str
    trouble: Trouble
    start: float
    end: float
    addresses: frozenset[str] = frozenset()

    def covers(self, protocol: str, address: str, at: float) -> bool:
        mine = protocol == self.protocol and (not self.addresses or address in self.addresses)
        return mine and self.start <= at < self.end


class Victim(StrEnum):
    WORKER = "worker"
    SENTINEL = "sentinel"
    SUPERVISOR = "supervisor"


@dataclass(frozen=True, slots=True)
class Kill:
    at: float
    victim: Victim
    cluster: int


def mailboxes(number: int) -> dict[str, tuple[str, ...]]:
    """protocol -> addresses, in turn, so that all have the same share."""
    names = [f"box{each:04}@soak.example" for each in range(number)]
    return {
        protocol: tuple(names[place :: len(PROTOCOLS)]) for place, protocol in enumerate(PROTOCOLS)
    }


def windows(seed: int, seconds: float, boxes: Mapping[str, Sequence[str]]) -> list[Window]:
    """For each server one trouble after another, every kind before one comes again."""
    found: list[Window] = []
    for protocol in PROTOCOLS:
        dice = Random(f"{seed} {protocol}")
        found += _windows_of(protocol, dice, seconds, boxes[protocol])
    return sorted(found, key=lambda window: window.start)


def _windows_of(
    protocol: str, dice: Random, seconds: float, addresses: Sequence[str]
) -> Iterator[Window]:
    kinds = [kind for kind in Trouble if protocol == "ews" or kind not in ONLY_EXCHANGE]
    waiting: list[Trouble] = []
    at = SETTLE_SECONDS + dice.uniform(0, 10)
    while True:
        waiting = waiting or dice.sample(kinds, len(kinds))
        trouble = waiting.pop()
        long = 20.0 if trouble is Trouble.DOWN else dice.uniform(15, 25)
        if at + long > seconds - QUIET_END:
            return
        yield Window(protocol, trouble, at, at + long, _few(protocol, trouble, dice, addresses))
        at += long + dice.uniform(8, 16)


def _few(protocol: str, trouble: Trouble, dice: Random, addresses: Sequence[str]) -> frozenset[str]:
    if trouble in OF_ALL:
        return frozenset()
    most = HANGING if protocol == "ews" and trouble is Trouble.TIMED_OUT else OF_FEW
    return frozenset(dice.sample(list(addresses), min(most, len(addresses))))


def kills(seed: int, seconds: float, clusters: int) -> list[Kill]:
    """A worker every forty seconds or so, once a sentinel and once a supervisor, of two clusters. Late
    ones meet the first cluster alone."""
    dice = Random(f"{seed} kills")
    found = []
    at = SETTLE_SECONDS + dice.uniform(0, 15)
    while at < seconds - QUIET_END:
        cluster = dice.randrange(clusters) if at < min(SAFE_AFTER, seconds / 2) else 0
        found.append(Kill(at, Victim.WORKER, cluster))
        at += dice.uniform(30, 50)
    if seconds >= 2 * SAFE_AFTER:
        for place, victim in enumerate(dice.sample([Victim.SENTINEL, Victim.SUPERVISOR], 2)):
            early = dice.uniform(SETTLE_SECONDS, SAFE_AFTER / 2)
            found.append(Kill(early, victim, place % clusters))
    return sorted(found, key=lambda kill: kill.at)


def fair_start(at: float, boxes: Sequence[tuple[str, str]], troubles: Sequence[Window]) -> float:
    """From when on a message counts that arrived at `at` in these (protocol, address): at once, or from the
    end of what its server was made to do wrong at that moment. If one of its mailboxes is well, at once."""
    return min(_well_from(at, protocol, address, troubles) for protocol, address in boxes)


def _well_from(at: float, protocol: str, address: str, troubles: Sequence[Window]) -> float:
    for window in sorted(troubles, key=lambda each: each.start):
        if window.covers(protocol, address, at):
            at = window.end
    return at
