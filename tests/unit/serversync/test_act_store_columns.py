"""Fields of the server as columns, and columns as fields again: nothing is lost on the way, and nothing invented."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.choices import AppointmentStatus
from activities.models import (
    ActivityPointer,
    Appointment,
    Contact,
    PhoneCall,
    RecurringAppointmentMaster,
    Task,
)
from mailboxes.models import SystemUser, UserSettings
from mailboxes.protocols.items import Importance, ShowAs, TaskProgress, When
from mailboxes.recurrence import WEEKDAYS, Nth, Pattern, Recurrence, Weekday, aligned, moment
from serversync.act.fitting import fitted
from serversync.act.store import contacts, meetings, reading, todos
from serversync.act.store.rows import Loaded
from serversync.act.types import Table
from tests.unit.serversync.test_act_fitting import DATES, TEXTS, items

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Apia", "Africa/Cairo")
#: Only the server has them, or they are rows of their own.
ELSEWHERE = {"display_name", "company_name", "reminder", "organizer", "required", "optional"}
RELAXED = settings(max_examples=60, deadline=None)


def read(table, row):
    return fitted(table, reading._READ[table](row, Loaded(table))).fields


def wanted(told):
    return {name: value for name, value in told.items() if name not in ELSEWHERE}


def kept(row_fields, told):
    return {name: row_fields[name] for name in told}


def filled(row, columns):
    for name, value in columns.pointer.items():
        setattr(row.activity, name, value)
    for name, value in columns.detail.items():
        setattr(row, name, value)
    return row


def pointer(zone="UTC"):
    owner = SystemUser()
    owner.settings = UserSettings(system_user=owner, time_zone=zone)
    return ActivityPointer(owning_user=owner)


@RELAXED
@given(items(Table.CONTACT))
def test_a_contact_keeps_what_fits(item) -> None:
    told = wanted(fitted(Table.CONTACT, item).fields)
    mapped = {*reading.CONTACT_COLUMNS, "business_address", "home_address", "other_address"}
    told = {name: value for name, value in told.items() if name in mapped}
    row = Contact(**contacts.columns_of(told))
    assert kept(read(Table.CONTACT, row), told) == told


@st.composite
def to_dos(draw):
    """As a server has them: status, percentage and completion belong together."""
    done = draw(st.booleans())
    status = draw(st.sampled_from([one for one in TaskProgress if one != TaskProgress.COMPLETED]))
    return {
        "subject": draw(TEXTS),
        "body": draw(TEXTS),
        "importance": draw(st.sampled_from(Importance)),
        "start": draw(st.none() | DATES),
        "due": draw(st.none() | DATES),
        "status": TaskProgress.COMPLETED if done else status,
        "percent_complete": 100 if done else draw(st.integers(0, 99)),
        "completed": draw(DATES) if done else None,
    }


@RELAXED
@given(st.sampled_from([Table.TASK, Table.PHONE_CALL]), st.sampled_from(ZONES), to_dos(), to_dos())
def test_a_task_keeps_what_fits_whatever_it_was(table, zone, before, after) -> None:
    model = Task if table == Table.TASK else PhoneCall
    row = model(activity=pointer(zone))
    for item in (before, after):
        told = dict(fitted(table, item).fields)
        if table == Table.PHONE_CALL:
            del told["percent_complete"]
        known = todos.Known(table, row, ZoneInfo(zone), NOW)
        row = filled(row, todos.columns(known, told, None))
        assert kept(read(table, row), told) == told


@RELAXED
@given(items(Table.APPOINTMENT))
def test_an_appointment_keeps_what_fits(item) -> None:
    row = Appointment(activity=pointer(), scheduled_start=NOW, scheduled_end=NOW)
    assert_kept(Table.APPOINTMENT, row, item)


DAYS = st.frozensets(st.sampled_from(Weekday), min_size=1)
ONE_DAY = st.frozensets(st.sampled_from(Weekday), min_size=1, max_size=1)
DAY_OF_MONTH, NTH, MONTH = st.integers(1, 31), st.sampled_from(Nth), st.integers(1, 12)


def patterns(pattern, **parts):
    return st.builds(
        Recurrence,
        pattern=st.just(pattern),
        start=DATES,
        interval=st.integers(1, 4),
        first_day_of_week=st.sampled_from(Weekday),
        count=st.none() | st.integers(1, 9),
        **parts,
    )


SOUND = st.one_of(
    patterns(Pattern.DAILY),
    patterns(Pattern.WEEKLY, days=DAYS),
    patterns(Pattern.MONTHLY, day_of_month=DAY_OF_MONTH),
    patterns(Pattern.MONTHLY, nth=NTH, days=ONE_DAY | st.just(WEEKDAYS)),
    patterns(Pattern.YEARLY, day_of_month=DAY_OF_MONTH, month=MONTH),
    patterns(Pattern.YEARLY, nth=NTH, days=ONE_DAY, month=MONTH),
)


@pytest.mark.rule("R6.35")
@RELAXED
@given(items(Table.RECURRING_APPOINTMENT), SOUND, st.sampled_from(ZONES), st.integers(0, 1439))
def test_a_series_keeps_what_fits(item, pattern, zone, minute) -> None:
    pattern = aligned(pattern)
    clock = time(minute // 60, minute % 60)
    begins = moment(pattern.start, clock, ZoneInfo(zone))
    when = When(begins, begins + timedelta(minutes=45), zone=zone)
    row = RecurringAppointmentMaster(activity=pointer(), pattern_start_date=pattern.start)
    assert_kept(Table.RECURRING_APPOINTMENT, row, item | {"recurrence": pattern, "when": when})


def assert_kept(table, row, item) -> None:
    fits = fitted(table, {name: value for name, value in item.items() if value is not None}).fields
    mapped = {"subject", "body", "importance", "location", "when", "show_as", "sensitivity"}
    mapped |= {"online_meeting_url", "recurrence"}
    told = {name: value for name, value in wanted(fits).items() if name in mapped}
    row = filled(row, meetings.columns(row, told))
    assert kept(read(table, row), told) == told


@pytest.mark.rule("R6.37")
def test_a_day_without_midnight_is_a_day() -> None:
    cairo = ZoneInfo("Africa/Cairo")  # the clocks skip midnight of that Friday
    day = date(2026, 4, 24)
    begins = reading.start_of(day, cairo)
    assert reading.day_of(begins, cairo) == day
    assert reading.moment_of_day(begins, cairo) is None


@pytest.mark.rule("R6.28")
def test_what_is_over_here_does_not_follow_the_server() -> None:
    row = Appointment(activity=pointer(), scheduled_start=NOW, scheduled_end=NOW)
    row.status_code = AppointmentStatus.COMPLETED
    assert "status_code" not in meetings.columns(row, {"show_as": ShowAs.BUSY}).detail
