"""Durations as counts by fixed buckets: small enough to store, and they can be added up."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence

#: Upper ends of the buckets, in milliseconds; one more bucket holds what is longer than all of them.
EDGES = (
    *(100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000),
    *(120_000, 300_000, 600_000, 1_800_000, 3_600_000),
)
BUCKETS = len(EDGES) + 1


def counted(milliseconds: Iterable[int]) -> list[int]:
    """How many fall into each bucket; an upper end belongs to its bucket."""
    counts = [0] * BUCKETS
    for each in milliseconds:
        counts[bisect_left(EDGES, each)] += 1
    return counts


def merged(histograms: Iterable[Sequence[int]]) -> list[int]:
    """Their sum. An empty one counts as nothing."""
    sums = [0] * BUCKETS
    for counts in histograms:
        for place, number in enumerate(counts[:BUCKETS]):
            sums[place] += number
    return sums


def percentile(counts: Sequence[int], share: float) -> float | None:
    """The milliseconds that `share` (0 to 1) of them don't exceed, interpolated within their bucket.
    None: there are none. What is longer than every edge counts as the last edge."""
    total = sum(counts)
    if not total:
        return None
    wanted, below = share * total, 0
    for place, number in enumerate(counts):
        if number and below + number >= wanted:
            return _within(place, (wanted - below) / number)
        below += number
    return float(EDGES[-1])


def _within(place: int, part: float) -> float:
    if place >= len(EDGES):
        return float(EDGES[-1])
    low = EDGES[place - 1] if place else 0
    return low + (EDGES[place] - low) * part
