"""Series, iCalendar and ids of the sandbox's Exchange server, as far as they are arithmetic."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboxes.recurrence import (
    EVERY_DAY,
    WEEKDAYS,
    WEEKEND,
    Nth,
    Pattern,
    Recurrence,
    Weekday,
    days,
)
from serversync.sandbox.ews.appointments import global_object_id, new_uid
from serversync.sandbox.ews.ids import Kind, RemoteId, read_id
from serversync.sandbox.ews.meetings.arriving import read_rule
from serversync.sandbox.ews.meetings.icalendar import rule
from serversync.sandbox.ews.series import Series, read_recurrence, written_recurrence
from serversync.sandbox.ews.tasks import Regeneration

START = date(2030, 3, 4)
BERLIN = ZoneInfo("Europe/Berlin")
ONE_DAY = st.sampled_from([frozenset({day}) for day in Weekday])
GROUPS = st.sampled_from([WEEKDAYS, WEEKEND, EVERY_DAY])
ENDS = st.one_of(
    st.just({}),
    st.integers(1, 999).map(lambda number: {"count": number}),
    st.integers(0, 2000).map(lambda number: {"until": START + timedelta(days=number)}),
)


@st.composite
def recurrences(draw: st.DrawFn) -> Recurrence:
    """Those that Exchange has a pattern for. A week begins on Monday where it doesn't matter."""
    pattern = draw(st.sampled_from(Pattern))
    values: dict[str, object] = {"interval": draw(st.integers(1, 99)), **draw(ENDS)}
    if pattern is Pattern.WEEKLY:
        values["days"] = draw(st.frozensets(st.sampled_from(Weekday), min_size=1))
        values["first_day_of_week"] = draw(st.sampled_from(Weekday))
    elif pattern is not Pattern.DAILY and draw(st.booleans()):
        values["nth"] = draw(st.sampled_from(Nth))
        values["days"] = draw(ONE_DAY | GROUPS)
    elif pattern is not Pattern.DAILY:
        values["day_of_month"] = draw(st.integers(1, 31))
    if pattern is Pattern.YEARLY:
        values |= {"interval": 1, "month": draw(st.integers(1, 12))}
    return Recurrence(pattern=pattern, start=START, **values)  # type: ignore[arg-type]


@given(recurrences())
def test_what_is_written_is_read_again(recurrence):
    assert read_recurrence(written_recurrence(recurrence)) == recurrence


@given(recurrences())
def test_icalendar_says_the_same_days(recurrence):
    start = datetime.combine(START, datetime.min.time(), UTC)
    again = read_rule(rule(recurrence, UTC, False), start)
    assert list(islice(days(again), 30)) == list(islice(days(recurrence), 30))


def test_a_series_keeps_its_local_time():
    weekly = Recurrence(
        pattern=Pattern.WEEKLY, start=date(2026, 10, 19), days=frozenset({Weekday.MONDAY}), count=2
    )
    series = Series(weekly, BERLIN, datetime(2026, 10, 19, 23), timedelta(hours=2))  # noqa: DTZ001
    slots = list(series.slots())
    assert [slot.start.hour for slot in slots] == [21, 22]
    assert [slot.end - slot.start for slot in slots] == [timedelta(hours=2)] * 2
    assert series.slot(2) == slots[1] == series.slot_at(slots[1].original)
    assert series.slot(3) is series.slot(0) is series.slot_at(slots[0].original + 1) is None
    assert list(series.overlapping(slots[0].start, slots[1].start)) == slots[:1]


@pytest.mark.parametrize(
    ("every", "interval", "done", "expected"),
    [
        (Pattern.DAILY, 3, date(2030, 2, 27), date(2030, 3, 2)),
        (Pattern.WEEKLY, 2, date(2030, 2, 27), date(2030, 3, 13)),
        (Pattern.MONTHLY, 1, date(2030, 1, 31), date(2030, 2, 28)),
        (Pattern.YEARLY, 1, date(2028, 2, 29), date(2029, 2, 28)),
    ],
)
def test_a_regenerated_task_follows_the_one_that_was_done(every, interval, done, expected):
    assert Regeneration(every, interval, None, None).after(done) == expected


def test_a_uid_and_a_global_object_id_are_the_same_thing():
    uid = new_uid()
    assert global_object_id(uid).hex().upper() == uid
    of_a_day = global_object_id(uid, datetime(2030, 3, 4, tzinfo=UTC))
    assert of_a_day[16:20] == bytes([0x07, 0xEE, 3, 4])
    assert global_object_id(of_a_day.hex()) == bytes.fromhex(uid)
    foreign = global_object_id("of-another@system")
    assert foreign.endswith(b"vCal-Uid\x01\x00\x00\x00of-another@system\x00")


@given(st.binary(min_size=16, max_size=16), st.integers(0, 2**63), st.integers(-(2**40), 2**40))
def test_an_occurrence_is_known_by_its_id(account, number, original):
    remote = RemoteId(Kind.OCCURRENCE, account, number, original)
    assert read_id(str(remote)) == remote
