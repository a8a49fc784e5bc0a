"""Times of appointments, and patterns of series as columns."""

from datetime import UTC, date, datetime, time

import pytest
from hypothesis import given

from activities.choices import (
    AppointmentStatus,
    FaxStatus,
    LetterStatus,
    PatternType,
    PhoneCallStatus,
    ServiceAppointmentStatus,
    TaskStatus,
)
from activities.models import Appointment, RecurringAppointmentMaster
from activities.models.appointments import days_of, mask_of
from mailboxes.recurrence import WEEKDAYS, Pattern, Recurrence, Weekday
from tests.recurrences import recurrences


@given(recurrences(), recurrences())
def test_a_series_says_every_pattern_in_its_columns_and_back(former, recurrence):
    series = RecurringAppointmentMaster()
    series.recurrence = former  # nothing of it is left
    series.recurrence = recurrence

    assert series.recurrence == recurrence


def test_every_second_week_on_monday_and_sunday_in_the_words_of_the_original():
    series = RecurringAppointmentMaster()
    series.recurrence = Recurrence(
        pattern=Pattern.WEEKLY,
        start=date(2026, 3, 2),
        interval=2,
        days=frozenset({Weekday.MONDAY, Weekday.SUNDAY}),
        first_day_of_week=Weekday.SUNDAY,
        count=5,
    )

    assert (
        series.recurrence_pattern_type,
        series.interval,
        series.days_of_week_mask,
        series.first_day_of_week,
        series.pattern_end_type,
        series.occurrences,
    ) == (1, 2, 1 + 2, 0, 2, 5)


def test_every_weekday_reads_the_same_daily_and_weekly():
    daily = RecurringAppointmentMaster(
        recurrence_pattern_type=PatternType.DAILY,
        is_weekday_pattern=True,
        pattern_start_date=date(2026, 3, 2),
    )
    weekly = RecurringAppointmentMaster()
    weekly.recurrence = daily.recurrence

    assert daily.recurrence.pattern == Pattern.WEEKLY
    assert daily.recurrence.days == WEEKDAYS
    assert weekly.is_weekday_pattern


@pytest.mark.parametrize("mask", range(128))
def test_each_mask_of_days_is_one_set_of_days(mask):
    assert mask_of(days_of(mask)) == mask


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (datetime(2026, 3, 3, tzinfo=UTC), date(2026, 3, 2)),
        (datetime(2026, 3, 5, tzinfo=UTC), date(2026, 3, 4)),
        (datetime(2026, 3, 2, tzinfo=UTC), date(2026, 3, 2)),
    ],
)
def test_an_item_that_lasts_all_day_ends_the_day_before_its_end(end, last):
    item = Appointment(
        is_all_day_event=True, scheduled_start=datetime(2026, 3, 2, tzinfo=UTC), scheduled_end=end
    )

    assert (item.first_day, item.last_day) == (date(2026, 3, 2), last)


@pytest.mark.rule("R6.35")
def test_a_series_begins_and_ends_by_the_clocks_of_its_zone():
    series = RecurringAppointmentMaster(start_time=time(9), duration=90, time_zone="Europe/Berlin")
    series.recurrence = Recurrence(pattern=Pattern.DAILY, start=date(2026, 3, 28), count=2)

    assert series.effective_start_date == datetime(2026, 3, 28, 8, tzinfo=UTC)
    assert series.scheduled_end == datetime(2026, 3, 28, 9, 30, tzinfo=UTC)
    assert series.effective_end_date == datetime(2026, 3, 29, 8, 30, tzinfo=UTC)


@pytest.mark.rule("R6.35")
def test_a_series_of_whole_days_has_no_zone():
    series = RecurringAppointmentMaster(
        is_all_day_event=True, start_time=time(), duration=1440, time_zone="Europe/Berlin"
    )
    series.recurrence = Recurrence(pattern=Pattern.DAILY, start=date(2026, 3, 28))

    assert series.scheduled_start == datetime(2026, 3, 28, tzinfo=UTC)
    assert series.effective_end_date is None


def test_a_series_that_passes_midnight_ends_on_the_clock():
    series = RecurringAppointmentMaster(
        pattern_start_date=date(2026, 3, 2), start_time=time(23, 30), duration=60
    )

    assert series.end_time == time(0, 30)


@pytest.mark.parametrize(
    ("choices", "states"),
    [
        (AppointmentStatus, {0: {1, 2}, 1: {3}, 2: {4}, 3: {5, 6}}),
        (ServiceAppointmentStatus, {0: {1, 2}, 1: {8}, 2: {9, 10}, 3: {3, 4, 6, 7}}),
        (TaskStatus, {0: {2, 3, 4, 7}, 1: {5}, 2: {6}}),
        (PhoneCallStatus, {0: {1}, 1: {2, 4}, 2: {3}}),
        (LetterStatus, {0: {1, 2}, 1: {3, 4}, 2: {5}}),
        (FaxStatus, {0: {1}, 1: {2, 3, 4}, 2: {5}}),
    ],
)
def test_a_state_follows_from_the_status(choices, states):
    found = {}
    for status in choices:
        found.setdefault(int(status.state), set()).add(status.value)

    assert found == states
