"""How much a maker has made, by the hours of the clock."""

from datetime import UTC, datetime, timedelta

import pytest

from tracking.brakes import hour_of, pace_of
from tracking.creation import Pace

NOW = datetime(2026, 3, 9, 12, 40, tzinfo=UTC)


@pytest.mark.rule("R3.58")
def test_an_hour_is_the_clock_s_and_a_day_is_24_of_them():
    hour = hour_of(NOW)
    counts = {
        ("ada", hour): 1,
        ("ada", hour - timedelta(hours=1)): 2,
        ("ada", hour - timedelta(hours=23)): 4,
        ("ada", hour - timedelta(hours=24)): 8,
        ("ben", hour): 16,
    }

    assert pace_of(counts, "ada", NOW) == Pace(hour=1, day=7)
    assert pace_of(counts, "ada", NOW + timedelta(minutes=20)) == Pace(hour=0, day=3)
    assert pace_of(counts, "cleo", NOW) == Pace()


@pytest.mark.parametrize(("hour", "day", "within"), [(2, 3, True), (3, 3, False), (2, 4, False)])
def test_both_numbers_hold(hour, day, within):
    assert Pace(hour, day).is_within(Pace(2, 3)) is within
