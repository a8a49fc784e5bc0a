"""Counts by bucket: what falls where, adding up, percentiles."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from serversync.daily import spread
from serversync.histogram import BUCKETS, EDGES, counted, merged, percentile

times = st.lists(st.integers(0, 5_000_000), max_size=40)


def test_an_edge_belongs_to_its_bucket_and_what_is_longer_to_the_last() -> None:
    counts = counted([0, 100, 101, EDGES[-1], EDGES[-1] + 1])
    assert (counts[0], counts[1], counts[-2], counts[-1]) == (2, 1, 1, 1)
    assert len(counts) == BUCKETS


@given(times, times)
def test_merging_is_counting_together(some: list[int], others: list[int]) -> None:
    assert merged([counted(some), counted(others), []]) == counted(some + others)


@given(times.filter(bool), st.floats(0.01, 1))
def test_a_percentile_lies_in_the_bucket_of_the_exact_one(some: list[int], share: float) -> None:
    exact = sorted(some)[max(0, -(-len(some) * share // 1).__int__() - 1)]
    found = percentile(counted(some), share)
    place = counted([exact]).index(1)
    low = EDGES[min(place, len(EDGES) - 1) - 1] if place else 0
    high = EDGES[min(place, len(EDGES) - 1)]
    assert found is not None and low <= found <= high


def test_nothing_has_no_percentile() -> None:
    assert percentile(counted([]), 0.95) is None


@given(st.integers(0, 5000), st.integers(1, 100))
def test_what_is_spread_over_days_is_all_there(number: int, hours: int) -> None:
    since = datetime(2026, 3, 28, 5, tzinfo=UTC)
    until = datetime.fromtimestamp(since.timestamp() + hours * 3600, UTC)
    shares = spread(number, since, until, ZoneInfo("Europe/Berlin"))
    assert sum(shares.values()) == number
    assert all(share >= 0 for share in shares.values())


def test_a_day_gets_what_its_hours_are_worth() -> None:
    since, until = datetime(2026, 3, 1, 18, tzinfo=UTC), datetime(2026, 3, 2, 2, tzinfo=UTC)
    assert spread(80, since, until, UTC) == {date(2026, 3, 1): 60, date(2026, 3, 2): 20}
