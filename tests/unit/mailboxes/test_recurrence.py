"""Patterns: which days they mean, which moments, and what is wrong with them."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from dateutil import rrule
from hypothesis import given
from hypothesis import strategies as st

from mailboxes.recurrence import (
    WEEKDAYS,
    WEEKEND,
    Nth,
    Pattern,
    Problem,
    Recurrence,
    Side,
    Weekday,
    Wrong,
    aligned,
    days,
    first,
    first_day,
    following,
    is_occurrence,
    last,
    last_day,
    moment,
    occurrences,
    validate,
)
from tests.recurrences import recurrences

BERLIN = ZoneInfo("Europe/Berlin")
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # puts its clocks forward by half an hour
MONDAY, TUESDAY, SUNDAY = Weekday.MONDAY, Weekday.TUESDAY, Weekday.SUNDAY
DAILY = Recurrence(pattern=Pattern.DAILY, start=date(2026, 3, 27))
SOON = st.integers(1, 12)


def rule_of(recurrence):
    """The same as RFC 5545 has it, read by somebody else."""
    frequency = {
        Pattern.DAILY: rrule.DAILY,
        Pattern.WEEKLY: rrule.WEEKLY,
        Pattern.MONTHLY: rrule.MONTHLY,
        Pattern.YEARLY: rrule.YEARLY,
    }[recurrence.pattern]
    said = {
        "dtstart": datetime.combine(recurrence.start, time()),
        "interval": recurrence.interval,
        "wkst": int(recurrence.first_day_of_week),
    }
    if recurrence.count is not None:
        said["count"] = recurrence.count
    if recurrence.until is not None:
        said["until"] = datetime.combine(recurrence.until, time())
    if recurrence.month is not None:
        said["bymonth"] = recurrence.month
    if recurrence.days:
        said["byweekday"] = [int(day) for day in recurrence.days]
    if recurrence.nth is not None:
        said["bysetpos"] = -1 if recurrence.nth is Nth.LAST else int(recurrence.nth)
    if recurrence.day_of_month is not None:
        # The last of those that the month has: RFC 5545 would leave a short month out.
        said["bymonthday"] = range(min(28, recurrence.day_of_month), recurrence.day_of_month + 1)
        said["bysetpos"] = -1
    return rrule.rrule(frequency, **said)


@given(recurrences(SOON))
def test_days_are_those_of_rfc_5545(recurrence):
    expected = [day.date() for day in islice(rule_of(recurrence), 30)]

    assert list(islice(days(recurrence), 30)) == expected


@given(recurrences(SOON), st.integers(-400, 4000))
def test_whoever_begins_in_the_middle_reads_the_same_days(recurrence, later):
    since = recurrence.start + timedelta(days=later)
    whole = (day for day in islice(days(recurrence), 5000) if day >= since)

    assert list(islice(days(recurrence, since), 3)) == list(islice(whole, 3))


@given(recurrences(SOON).filter(lambda each: each.count or each.until))
def test_first_and_last_are_the_ends_of_all_days(recurrence):
    recurrence = replace(
        recurrence, until=recurrence.until and min(recurrence.until, date(2040, 1, 1))
    )
    every = list(days(recurrence))

    assert first_day(recurrence) == (every[0] if every else None)
    assert last_day(recurrence) == (every[-1] if every else None)


@given(recurrences(SOON))
def test_aligned_to_its_first_day_a_pattern_means_the_same_days(recurrence):
    found = aligned(recurrence)

    assert first_day(found) in (found.start, None)
    assert list(islice(days(found), 5)) == list(islice(days(recurrence), 5))


@given(recurrences())
def test_every_sound_pattern_ends_with_the_calendar(recurrence):
    far = replace(recurrence, start=date(4499, 1, 1), until=None)

    assert all(day <= date(4500, 8, 31) for day in days(far))


def test_an_endless_series_has_no_last_day():
    assert last_day(DAILY) is None
    assert last(DAILY, time(9), BERLIN) is None


def test_a_day_that_a_month_lacks_is_its_last():
    monthly = Recurrence(pattern=Pattern.MONTHLY, start=date(2028, 1, 31), day_of_month=31, count=4)

    assert list(days(monthly)) == [
        date(2028, 1, 31),
        date(2028, 2, 29),
        date(2028, 3, 31),
        date(2028, 4, 30),
    ]


def test_where_a_week_begins_decides_which_is_the_second():
    """The example of RFC 5545: every second week on Tuesday and Sunday, from a Tuesday."""
    weekly = Recurrence(
        pattern=Pattern.WEEKLY,
        start=date(1997, 8, 5),
        interval=2,
        days=frozenset({TUESDAY, SUNDAY}),
        count=4,
    )
    from_sunday = replace(weekly, first_day_of_week=SUNDAY)

    assert [day.day for day in days(weekly)] == [5, 10, 19, 24]
    assert [day.day for day in days(from_sunday)] == [5, 17, 19, 31]


# -- moments -------------------------------------------------------------------------------------


@pytest.mark.rule("R6.35")
def test_a_series_keeps_the_time_on_the_clock_over_daylight_changes():
    """Berlin goes from +1 to +2 in the night to the 29th."""
    since, until = datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)

    found = list(occurrences(DAILY, time(9, 30), BERLIN, since, until))

    assert [each.astimezone(BERLIN).time() for each in found] == [time(9, 30)] * 3
    assert [each.hour for each in found] == [8, 7, 7]


@pytest.mark.rule("R6.35")
def test_what_lasts_all_day_begins_at_midnight_in_utc_summer_and_winter():
    since, until = datetime(2026, 3, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)

    found = list(occurrences(DAILY, time(), UTC, since, until))

    assert found == [datetime(2026, 3, day, tzinfo=UTC) for day in (28, 29, 30)]


@pytest.mark.parametrize(
    ("day", "clock", "zone", "expected"),
    [
        # 2:00 to 3:00 is skipped: as late as without the change
        (date(2026, 3, 29), time(2, 30), BERLIN, datetime(2026, 3, 29, 1, 30, tzinfo=UTC)),
        # 2:00 to 3:00 comes twice: the first
        (date(2026, 10, 25), time(2, 30), BERLIN, datetime(2026, 10, 25, 0, 30, tzinfo=UTC)),
        # 2:00 to 2:30 is skipped
        (date(2026, 10, 4), time(2, 15), LORD_HOWE, datetime(2026, 10, 3, 15, 45, tzinfo=UTC)),
        # a day that the zone left out altogether
        (
            date(2011, 12, 30),
            time(9),
            ZoneInfo("Pacific/Apia"),
            datetime(2011, 12, 30, 19, tzinfo=UTC),
        ),
    ],
)
def test_times_that_clocks_skip_or_show_twice(day, clock, zone, expected):
    assert moment(day, clock, zone) == expected


def test_a_time_that_comes_twice_is_the_first_even_of_the_second_fold():
    assert moment(date(2026, 10, 25), time(2, 30, fold=1), BERLIN).hour == 0


@given(
    recurrences(SOON),
    st.times().map(lambda clock: clock.replace(second=0, microsecond=0)),
    st.sampled_from(
        [BERLIN, LORD_HOWE, ZoneInfo("Pacific/Kiritimati"), ZoneInfo("Pacific/Pago_Pago")]
    ),
    st.integers(-40, 2000),
)
def test_between_two_moments_are_all_that_begin_there(recurrence, clock, zone, later):
    since = datetime.combine(recurrence.start, time(11), tzinfo=UTC) + timedelta(days=later)
    until = since + timedelta(days=40)
    nearby = days(recurrence, since.date() - timedelta(days=3))
    expected = []
    for day in nearby:
        if day > until.date() + timedelta(days=3):
            break
        if since <= moment(day, clock, zone) < until:
            expected.append(moment(day, clock, zone))

    found = list(occurrences(recurrence, clock, zone, since, until))

    assert found == expected
    assert all(is_occurrence(recurrence, clock, zone, begins) for begins in found)


def test_what_follows_begins_later():
    begins = moment(date(2026, 3, 29), time(9), BERLIN)

    assert first(DAILY, time(9), BERLIN) == moment(date(2026, 3, 27), time(9), BERLIN)
    assert following(DAILY, time(9), BERLIN, begins) == moment(date(2026, 3, 30), time(9), BERLIN)
    assert following(DAILY, time(9), BERLIN, begins - timedelta(seconds=1)) == begins


def test_nothing_follows_the_last():
    twice = replace(DAILY, count=2)
    ends = last(twice, time(9), BERLIN)

    assert ends == moment(date(2026, 3, 28), time(9), BERLIN)
    assert following(twice, time(9), BERLIN, ends) is None


def test_only_the_exact_moment_is_an_occurrence():
    begins = moment(date(2026, 3, 29), time(9), BERLIN)

    assert is_occurrence(DAILY, time(9), BERLIN, begins)
    assert not is_occurrence(DAILY, time(9), BERLIN, begins + timedelta(minutes=1))
    assert not is_occurrence(DAILY, time(9), BERLIN, begins - timedelta(days=7))


# -- what is wrong -------------------------------------------------------------------------------


@given(recurrences(st.integers(1, 8)))
def test_sound_patterns_have_no_problem_but_an_empty_range(recurrence):
    wrong = {(each.field, each.wrong) for each in validate(recurrence)}

    assert wrong <= {("until", Wrong.TOO_SMALL), ("until", Wrong.NEVER)}
    assert bool(wrong) is (first_day(recurrence) is None)


WEEKLY = Recurrence(pattern=Pattern.WEEKLY, start=date(2026, 3, 2), days=frozenset({MONDAY}))
MONTHLY = Recurrence(pattern=Pattern.MONTHLY, start=date(2026, 3, 2), day_of_month=2)
YEARLY = Recurrence(pattern=Pattern.YEARLY, start=date(2026, 3, 2), day_of_month=2, month=3)
SECOND = {"day_of_month": None, "nth": Nth.SECOND}


@pytest.mark.parametrize(
    ("recurrence", "problem"),
    [
        (replace(DAILY, interval=0), Problem("interval", Wrong.TOO_SMALL, 1)),
        (replace(DAILY, interval=1001), Problem("interval", Wrong.TOO_LARGE, 1000)),
        (replace(DAILY, interval=1000), Problem("interval", Wrong.TOO_LARGE, 999, Side.EXCHANGE)),
        (replace(WEEKLY, interval=100), Problem("interval", Wrong.TOO_LARGE, 99, Side.EXCHANGE)),
        (replace(MONTHLY, interval=100), Problem("interval", Wrong.TOO_LARGE, 99, Side.EXCHANGE)),
        (replace(YEARLY, interval=9), Problem("interval", Wrong.TOO_LARGE, 8, Side.EXCHANGE)),
        (replace(DAILY, days=WEEKDAYS), Problem("days", Wrong.NOT_HERE)),
        (replace(WEEKLY, days=frozenset()), Problem("days", Wrong.MISSING)),
        (replace(WEEKLY, day_of_month=2), Problem("day_of_month", Wrong.NOT_HERE)),
        (replace(WEEKLY, nth=Nth.FIRST), Problem("nth", Wrong.NOT_HERE)),
        (replace(WEEKLY, month=3), Problem("month", Wrong.NOT_HERE)),
        (replace(MONTHLY, day_of_month=None), Problem("day_of_month", Wrong.MISSING)),
        (replace(MONTHLY, day_of_month=32), Problem("day_of_month", Wrong.TOO_LARGE, 31)),
        (replace(MONTHLY, day_of_month=0), Problem("day_of_month", Wrong.TOO_SMALL, 1)),
        (replace(MONTHLY, nth=Nth.FIRST, days=WEEKEND), Problem("day_of_month", Wrong.NOT_HERE)),
        (replace(MONTHLY, **SECOND), Problem("days", Wrong.MISSING)),
        (
            replace(MONTHLY, **SECOND, days=frozenset({MONDAY, TUESDAY})),
            Problem("days", Wrong.NO_GROUP),
        ),
        (replace(YEARLY, month=None), Problem("month", Wrong.MISSING)),
        (replace(YEARLY, month=13), Problem("month", Wrong.TOO_LARGE, 12)),
        (replace(DAILY, count=0), Problem("count", Wrong.TOO_SMALL, 1)),
        (replace(DAILY, count=1000), Problem("count", Wrong.TOO_LARGE, 999)),
        (replace(DAILY, count=2, until=date(2026, 4, 1)), Problem("count", Wrong.BOTH)),
        (replace(DAILY, until=date(2026, 3, 26)), Problem("until", Wrong.TOO_SMALL)),
        (
            replace(WEEKLY, start=date(2026, 3, 3), until=date(2026, 3, 8)),
            Problem("until", Wrong.NEVER),
        ),
    ],
)
def test_what_is_wrong_is_named(recurrence, problem):
    assert validate(recurrence) == [problem]
