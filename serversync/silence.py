"""PURE  is a mailbox quieter than it ever is at this time of the week (R8.19)?

A window ends now and is compared with the same hours of the last four weeks, so nights, weekends and the habits
of a mailbox need no model. The median is what is usual; how far the weeks differ is part of the doubt. A mailbox
with little mail is judged by longer windows, or not at all.

On a holiday everybody is quiet. So what is missing in one mailbox counts against it only if its neighbours, the
others of its profile, or of the site if those say too little, got theirs; else it is one alert of the profile.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from statistics import median
from typing import Generic, TypeVar

WEEKS = 4
LEAST_USUAL = 16  # messages; below, nothing at all may be chance
DOUBT = 4.0  # by how many times the usual spread something must be missing
STILL = 0.1  # of what is usual: a mailbox that gets so little is as good as silent
STEADY = 0.5  # of what is usual, in the worst of the weeks; else one can't say what is usual
QUIET_NEIGHBOURS = 0.4  # of what is usual for them together
LEAST_OF_NEIGHBOURS = 12  # messages that are usual for them; with fewer they say nothing

M = TypeVar("M", bound=Hashable)
P = TypeVar("P", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Window:
    """How many messages came within `hours`, and in the same hours of each of the weeks before."""

    hours: int
    seen: int
    before: tuple[int, ...]

    @property
    def usual(self) -> float:
        return median(self.before) if self.before else 0.0

    @property
    def is_silent(self) -> bool:
        usual = self.usual
        if len(self.before) < WEEKS or usual < LEAST_USUAL or min(self.before) < STEADY * usual:
            return False
        spread = max(1.4826 * median(abs(each - usual) for each in self.before), sqrt(usual))
        return self.seen <= STILL * usual and usual - self.seen >= DOUBT * spread


@dataclass(frozen=True, slots=True)
class Silence:
    """`usual`: as one says it to people."""

    hours: int
    seen: int
    usual: int
    mailboxes: int = 1


@dataclass(slots=True)
class Verdict(Generic[M, P]):
    mailboxes: dict[M, Silence] = field(default_factory=dict)
    profiles: dict[P, Silence] = field(default_factory=dict)


def silences(site: Mapping[P, Mapping[M, Sequence[Window]]]) -> "Verdict[M, P]":
    """Who is quiet, and for whom it says something. The windows of a mailbox stand from short to long."""
    verdict: Verdict[M, P] = Verdict()
    everybody = {mailbox: windows for each in site.values() for mailbox, windows in each.items()}
    for profile, mailboxes in site.items():
        shared: list[Window] = []
        for mailbox, windows in mailboxes.items():
            window = next((each for each in windows if each.is_silent), None)
            if window is None:
                continue
            if _are_quiet(mailbox, window.hours, mailboxes, everybody):
                shared.append(window)
            else:
                verdict.mailboxes[mailbox] = _silence([window])
        if shared:
            verdict.profiles[profile] = _silence(shared)
    return verdict


def _are_quiet(
    mailbox: M,
    hours: int,
    neighbours: Mapping[M, Sequence[Window]],
    everybody: Mapping[M, Sequence[Window]],
) -> bool:
    """Are the others as well? Nobody who could say so: no."""
    for around in (neighbours, everybody):
        others = [_of(hours, windows) for other, windows in around.items() if other != mailbox]
        usual = sum(window.usual for window in others if window)
        if usual >= LEAST_OF_NEIGHBOURS:
            return sum(window.seen for window in others if window) <= QUIET_NEIGHBOURS * usual
    return False


def _of(hours: int, windows: Iterable[Window]) -> Window | None:
    return next((window for window in windows if window.hours == hours), None)


def _silence(windows: Sequence[Window]) -> Silence:
    return Silence(
        max(window.hours for window in windows),
        sum(window.seen for window in windows),
        round(sum(window.usual for window in windows)),
        len(windows),
    )
