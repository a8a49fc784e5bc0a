"""PURE  which workloads run now, how long each waits afterwards, and what a failure does to it.

`leases` asks `choose` before it claims; `engine` asks the rest when a cycle has ended. Nothing here
reads the clock or rolls dice: `now` and `jitter` come in.
"""

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from serversync.choices import WorkloadState

RETRY_CAP = 3_600  # R9.5: no pause after a failure is longer than an hour ...
HINT_CAP = 86_400  # ... unless the server asked for more; beyond a day it is not believed
PROBE_FIRST, PROBE_LAST = 900, 21_600  # R8.5: 15 minutes growing to 6 hours
PROBE_AGAIN = 30

SLOW_MS = 10_000  # a cycle that takes longer counts against its profile's slow share


# -- after a cycle -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Gaps:
    """Organization's four bounds in seconds (R9.2)."""

    active_min: int = 120
    active_max: int = 300
    idle_min: int = 300
    idle_max: int = 720


def next_gap(previous_gap: int, had_mail: bool, settings: Gaps, profile_floor: int = 0) -> int:
    """Seconds until the next run (R9.1). `previous_gap` 0: never ran before.

    Mail halves the gap, silence makes it half as long again. A mailbox whose gap has outgrown the
    active maximum is idle, and from there on waits at least the idle minimum.
    """
    if had_mail:
        gap = min(settings.active_max, max(settings.active_min, previous_gap // 2))
    else:
        gap = previous_gap * 3 // 2 if previous_gap else settings.idle_min
        if gap > settings.active_max:
            gap = max(gap, settings.idle_min)
        gap = min(settings.idle_max, max(gap, settings.active_min))
    return max(gap, profile_floor)


def back_off(base: int, failures: int, hint: float | None, jitter: float) -> int:
    """Seconds to wait after the `failures`-th failure in a row (R9.5).

    Doubles from `base` up to an hour. `jitter` in [0, 1) moves it by a quarter to either side, so that
    mailboxes which failed together don't come back together. A server's own hint is a lower bound.
    """
    doubled = base << min(max(failures - 1, 0), 16)
    wait = min(RETRY_CAP, doubled * (0.75 + jitter / 2))
    if hint:
        wait = max(wait, min(hint, HINT_CAP))
    return max(1, round(wait))


def probe_gap(probes: int) -> int:
    """Seconds until a paused workload is tried again, after so many probes (R8.5)."""
    return min(PROBE_LAST, PROBE_FIRST << min(probes, 16))


def probe_again(number: int, share: int, jitter: float) -> int:
    """Seconds until the `number`-th of the paused workloads of a server is tried that was found well
    again: a share of them each half minute, at random in it (R8.5)."""
    return round((number // max(share, 1) + jitter) * PROBE_AGAIN)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong, reduced to what decides. `hint`: seconds the server asked us to wait."""

    code: str
    permanent: bool = False
    timed_out: bool = False
    hint: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Organization's settings about failures (R9.2). `pause`: False under strict parity (R8.5)."""

    max_transient: int = 10
    on_transient: int = 300
    on_timeout: int = 300
    pause: bool = True


@dataclass(frozen=True, slots=True)
class NewState:
    """`wait`: seconds until the next run by itself, None if only a person can bring it back.
    `changed`: the state differs from before, so that people should hear of it."""

    state: WorkloadState
    code: str
    failures: int
    wait: int | None
    permanent: bool
    changed: bool = field(default=False)

    @property
    def enabled(self) -> bool:
        return self.state != WorkloadState.DISABLED


def after_failure(
    failure: Failure, before: WorkloadState, failures_before: int, limits: Limits, jitter: float
) -> NewState:
    """R8.2, R8.3, R8.5: postponed, paused or disabled.

    ready --transient, fewer than the maximum in a row--> ready, postponed
    ready --transient, the maximum reached--------------> paused (strict parity: disabled)
    paused --transient----------------------------------> paused, probed ever more seldom
    any   --permanent-----------------------------------> disabled
    """
    failures = failures_before + 1
    if failure.permanent or (failures >= limits.max_transient and not limits.pause):
        state, wait = WorkloadState.DISABLED, None
    elif failures >= limits.max_transient or before == WorkloadState.PAUSED:
        wait = probe_gap(max(0, failures - limits.max_transient))
        if failure.hint:
            wait = max(wait, round(min(failure.hint, HINT_CAP)))
        state = WorkloadState.PAUSED
    else:
        base = limits.on_timeout if failure.timed_out else limits.on_transient
        state = WorkloadState.READY
        wait = back_off(base, failures, failure.hint, jitter)
    return NewState(
        state=state,
        code=failure.code,
        failures=failures,
        wait=wait,
        # R8.3: what was transient counts as permanent once it has used up its attempts.
        permanent=state != WorkloadState.READY,
        changed=state != before,
    )


# -- before a cycle ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `most` running workloads may carry this key."""

    key: str
    most: int


@dataclass(frozen=True, slots=True)
class DueRow:
    """A workload that may run. `caps`: every limit it counts against, e.g. the connections of its
    account (R9.6) and its profile's share (R9.8)."""

    workload_id: int
    profile_key: str
    due_at: datetime
    requested: bool = False
    caps: tuple[Cap, ...] = ()


@dataclass(frozen=True, slots=True)
class Choice:
    """`chosen` in the order to run; `left`: workload -> the key of the cap that it ran into, or ""
    where only the limit of this page kept it back."""

    chosen: tuple[int, ...]
    left: dict[int, str]


def choose(due: Sequence[DueRow], running: Mapping[str, int], limit: int) -> Choice:
    """Pick at most `limit` rows: requested ones first, then the profiles in turn, each its oldest.

    `running`: cap key -> how many run now; profile keys count there, too, so that the next turn goes
    to the profile that uses the fewest workers (R9.8).
    """
    used: dict[str, int] = defaultdict(int, running)
    chosen: list[int] = []
    left: dict[int, str] = {}

    for requested in (True, False):
        waiting: dict[str, list[DueRow]] = defaultdict(list)
        for row in sorted((r for r in due if r.requested is requested), key=_age, reverse=True):
            waiting[row.profile_key].append(row)  # the oldest is last, to be popped first
        turns = [(used[key], _age(rows[-1]), key) for key, rows in waiting.items()]
        heapq.heapify(turns)
        while turns:
            _, _, key = heapq.heappop(turns)
            row = waiting[key].pop()
            full = next((cap.key for cap in row.caps if used[cap.key] >= cap.most), None)
            if len(chosen) >= limit:
                left[row.workload_id] = ""
            elif full is not None:
                left[row.workload_id] = full
            else:
                chosen.append(row.workload_id)
                for counted in {cap.key for cap in row.caps} | {key}:
                    used[counted] += 1
            if waiting[key]:
                heapq.heappush(turns, (used[key], _age(waiting[key][-1]), key))
    return Choice(tuple(chosen), left)


def _age(row: DueRow) -> tuple[datetime, int]:
    return row.due_at, row.workload_id
