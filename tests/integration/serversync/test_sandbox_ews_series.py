"""Calendar items and series in the sandbox's Exchange server, as exchangelib meets them."""

from datetime import date, datetime, timedelta

import pytest
from exchangelib import CalendarItem, EWSDate, EWSDateTime, EWSTimeZone, ExtendedProperty, errors
from exchangelib.properties import OccurrenceItemId
from exchangelib.recurrence import (
    AbsoluteMonthlyPattern,
    AbsoluteYearlyPattern,
    DailyPattern,
    Recurrence,
    RelativeMonthlyPattern,
    RelativeYearlyPattern,
    WeeklyPattern,
)

from serversync.sandbox.servers import running_sandbox
from tests.integration.serversync.ews_clients import ADA, client, fresh_accounts

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

BERLIN = EWSTimeZone("Europe/Berlin")
MONDAY = EWSDate(2026, 10, 19)  # the clocks of Europe/Berlin go back on the 25th


@pytest.fixture(scope="module")
def server():
    with running_sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(server, monkeypatch):
    with fresh_accounts(server, monkeypatch, ADA) as fresh:
        yield fresh


def at(day: date, hour: int, minute: int = 0, zone: EWSTimeZone = BERLIN) -> EWSDateTime:
    return EWSDateTime(day.year, day.month, day.day, hour, minute, tzinfo=zone)


def item(ada, **fields) -> CalendarItem:
    values = {"subject": "Review", "start": at(MONDAY, 9), "end": at(MONDAY, 10), **fields}
    return CalendarItem(account=ada, folder=ada.calendar, **values)


def series(ada, pattern=None, **fields) -> CalendarItem:
    """Daily, five times, unless said otherwise."""
    ends = {name: fields.pop(name) for name in ("number", "end_date") if name in fields}
    ends = {{"end_date": "end"}.get(name, name): value for name, value in ends.items()}
    recurrence = Recurrence(
        pattern=pattern or DailyPattern(interval=1), start=MONDAY, **(ends or {"number": 5})
    )
    saved = item(ada, recurrence=recurrence, **fields).save()
    return ada.calendar.get(id=saved.id)


def occurrences(ada, days: int = 400) -> list[CalendarItem]:
    return list(ada.calendar.view(start=at(MONDAY, 0), end=at(MONDAY + timedelta(days=days), 0)))


def starts(ada, days: int = 400) -> list[datetime]:
    return [one.start.astimezone(BERLIN) for one in occurrences(ada, days)]


def dates(ada, days: int = 400) -> list[date]:
    return [date(start.year, start.month, start.day) for start in starts(ada, days)]


class TestAppointments:
    def test_one_of_oneself_is_complete(self, sandbox):
        ada = client(sandbox)
        saved = item(ada, location="Room 1", categories=["Red"], sensitivity="Private").save()
        found = ada.calendar.get(id=saved.id)
        assert (found.type, found.is_meeting, found.my_response_type) == (
            "Single", False, "Organizer",
        )  # fmt: skip
        assert found.organizer.email_address == ADA
        assert found.uid.startswith("040000008200E00074C5B7101A82E008")
        assert (found.appointment_sequence_number, found.duration) == (0, "PT1H")
        assert found._start_timezone == found._end_timezone == BERLIN
        assert (found.categories, found.sensitivity) == (["Red"], "Private")
        assert found.reminder_due_by == found.start

    def test_its_global_object_id_is_its_uid(self, sandbox):
        class GlobalObjectId(ExtendedProperty):
            distinguished_property_set_id = "Meeting"
            property_id = 0x3
            property_type = "Binary"

        CalendarItem.register("global_object_id", GlobalObjectId)
        try:
            ada = client(sandbox)
            item(ada).save()
            item(ada, uid="of-another-system").save()
            own, foreign = ada.calendar.all().order_by("datetime_created")
            assert own.global_object_id.hex().upper() == own.uid
            assert b"vCal-Uid\x01\x00\x00\x00of-another-system\x00" in foreign.global_object_id
        finally:
            CalendarItem.deregister("global_object_id")

    def test_all_day_is_from_midnight_to_midnight_of_its_zone(self, sandbox):
        ada = client(sandbox)
        ada.default_timezone = BERLIN
        saved = item(ada, is_all_day=True, start=MONDAY, end=MONDAY + timedelta(days=6)).save()
        stored = sandbox.exchange.item(saved.id)
        assert (stored.text("Start"), stored.text("End")) == (
            "2026-10-18T22:00:00Z", "2026-10-25T23:00:00Z",
        )  # fmt: skip
        found = ada.calendar.get(id=saved.id)
        assert (found.start, found.end) == (MONDAY, MONDAY + timedelta(days=6))
        found.end = MONDAY
        found.save(update_fields=["end"])
        assert sandbox.exchange.item(saved.id).text("End") == "2026-10-19T22:00:00Z"

    def test_hours_given_for_whole_days_are_rounded_outwards(self, sandbox):
        saved = item(client(sandbox), is_all_day=True).save()
        stored = sandbox.exchange.item(saved.id)
        assert (stored.text("Start"), stored.text("End")) == (
            "2026-10-18T22:00:00Z", "2026-10-19T22:00:00Z",
        )  # fmt: skip

    def test_what_cannot_be_is_refused(self, sandbox, monkeypatch):
        ada = client(sandbox)
        with pytest.raises(errors.ErrorCalendarDurationIsTooLong):
            item(ada, end=at(EWSDate(2032, 1, 1), 9)).save()
        saved = item(ada).save()
        saved.end = at(MONDAY, 8)
        monkeypatch.setattr(CalendarItem, "clean", unchecked)
        with pytest.raises(errors.ErrorCalendarEndDateIsEarlierThanStartDate):
            saved.save(update_fields=["end"])

    def test_an_unknown_zone_is_refused(self, sandbox, monkeypatch):
        zone = EWSTimeZone("Antarctica/Troll")
        monkeypatch.setattr(zone, "ms_id", "Nowhere Time")
        start = at(MONDAY, 9, zone=zone)
        with pytest.raises(errors.ErrorTimeZone):
            item(client(sandbox), start=start, end=start + timedelta(hours=1)).save()


def unchecked(self, version=None) -> None:
    """This client refuses what other clients send."""


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            (DailyPattern(interval=10), [(10, 19), (10, 29), (11, 8)]),
            (WeeklyPattern(interval=2, weekdays=[2, 4]), [(10, 20), (10, 22), (11, 3)]),
            (AbsoluteMonthlyPattern(interval=1, day_of_month=31), [(10, 31), (11, 30), (12, 31)]),
            (
                RelativeMonthlyPattern(interval=1, weekday="Weekday", week_number="Last"),
                [(10, 30), (11, 30), (12, 31)],
            ),
            (
                RelativeMonthlyPattern(interval=1, weekday="Tuesday", week_number="Second"),
                [(11, 10), (12, 8), (1, 12)],
            ),
            (AbsoluteYearlyPattern(day_of_month=1, month=2), [(2, 1), (2, 1), (2, 1)]),
            (
                RelativeYearlyPattern(weekday="WeekendDay", week_number="First", month=11),
                [(11, 1), (11, 6), (11, 4)],
            ),
        ],
        ids=lambda value: value.ELEMENT_NAME if hasattr(value, "ELEMENT_NAME") else "",
    )
    def test_every_pattern_comes_back_and_is_expanded(self, sandbox, pattern, expected):
        ada = client(sandbox)
        master = series(ada, pattern, number=3)
        assert (master.type, master.recurrence.pattern) == ("RecurringMaster", pattern)
        found = [master.occurrence(index) for index in (1, 2, 3)]
        days = [one.refresh().start.astimezone(BERLIN) for one in found]
        assert [(day.month, day.day) for day in days] == expected
        assert {day.hour for day in days} == {9}

    def test_local_time_stays_when_the_clocks_change(self, sandbox):
        ada = client(sandbox)
        series(ada, WeeklyPattern(interval=1, weekdays=[1]), number=3)
        assert [one.start.hour for one in occurrences(ada)] == [7, 8, 8]
        assert [one.end - one.start for one in occurrences(ada)] == [timedelta(hours=1)] * 3

    def test_whole_days_stay_whole_when_the_clocks_change(self, sandbox):
        ada = client(sandbox)
        ada.default_timezone = BERLIN
        series(ada, number=8, is_all_day=True, start=MONDAY, end=MONDAY)
        found = occurrences(ada)
        assert [one.start for one in found] == [MONDAY + timedelta(days=day) for day in range(8)]
        assert all(one.start == one.end for one in found)

    def test_ranges(self, sandbox):
        ada = client(sandbox)
        until = MONDAY + timedelta(days=2)
        master = series(ada, end_date=until)
        assert len(occurrences(ada)) == 3
        assert master.recurrence.boundary.end == until
        assert master.last_occurrence.start == at(until, 9)
        master.delete()
        endless = item(ada, recurrence=Recurrence(pattern=DailyPattern(interval=1), start=MONDAY))
        endless = ada.calendar.get(id=endless.save().id)
        assert endless.last_occurrence is None
        assert len(occurrences(ada, 30)) == 30
        assert endless.occurrence(500).refresh().start == at(MONDAY + timedelta(days=499), 9)

    def test_it_begins_with_its_first_occurrence(self, sandbox):
        master = series(client(sandbox), WeeklyPattern(interval=1, weekdays=[3]))
        assert master.start == master.first_occurrence.start == at(MONDAY + timedelta(days=2), 9)

    def test_what_is_no_series_is_refused(self, sandbox):
        ada = client(sandbox)
        for pattern, fields, error in (
            (DailyPattern(interval=1), {"end": at(MONDAY, 10) + timedelta(days=1)},
             errors.ErrorOccurrenceTimeSpanTooBig),
            (RelativeYearlyPattern(weekday=1, week_number=1, month=1), {"end_date": MONDAY},
             errors.ErrorRecurrenceHasNoOccurrence),
            (DailyPattern(interval=1), {"end_date": EWSDate(4600, 1, 1)},
             errors.ErrorRecurrenceEndDateTooBig),
            (DailyPattern(interval=1), {"end_date": MONDAY - timedelta(days=1)},
             errors.ErrorCalendarEndDateIsEarlierThanStartDate),
        ):  # fmt: skip
            with pytest.raises(error):
                series(ada, pattern, **fields)
        assert ada.calendar.all().count() == 0

    def test_intervals_have_limits(self, sandbox, monkeypatch):
        monkeypatch.setattr(WeeklyPattern, "clean", unchecked)
        pattern = WeeklyPattern(interval=100, weekdays=[1], first_day_of_week=1)
        with pytest.raises(errors.ErrorCalendarInvalidRecurrence):
            series(client(sandbox), pattern)


class TestOccurrences:
    def test_a_view_expands_and_a_search_does_not(self, sandbox):
        ada = client(sandbox)
        master = series(ada)
        assert [one.id for one in ada.calendar.all()] == [master.id]
        found = occurrences(ada)
        assert {one.type for one in found} == {"Occurrence"}
        assert len({one.id for one in found} | {master.id}) == 6
        assert {one.uid for one in found} == {master.uid}
        assert found[3].recurring_master().refresh().id == master.id

    def test_a_changed_one_is_an_exception(self, sandbox):
        ada = client(sandbox)
        master = series(ada)
        second = master.occurrence(2)
        second.refresh()
        second.subject, second.start, second.end = (
            "Moved",
            at(MONDAY, 14) + timedelta(days=1),
            (at(MONDAY, 16) + timedelta(days=1)),
        )
        second.save(update_fields=["subject", "start", "end"])
        master.refresh()
        (modified,) = master.modified_occurrences
        assert (modified.original_start, modified.start) == (
            at(MONDAY + timedelta(days=1), 9), second.start,
        )  # fmt: skip
        found = occurrences(ada)
        assert [one.type for one in found] == ["Occurrence", "Exception"] + ["Occurrence"] * 3
        assert (found[1].id, found[1].subject) == (modified.id, "Moved")
        assert found[1].original_start == modified.original_start
        assert ada.calendar.get(id=modified.id).subject == "Moved"

    def test_it_follows_its_series_in_whatever_it_has_not_of_its_own(self, sandbox):
        ada = client(sandbox)
        master = series(ada, location="Room 1", categories=["Red"])
        second = master.occurrence(2).refresh()
        second.location = None
        second.categories = ["Blue"]
        second.save(update_fields=["location", "categories"])
        master.refresh()
        master.subject, master.location = "Renamed", "Room 2"
        master.save(update_fields=["subject", "location"])
        found = occurrences(ada)
        assert [one.subject for one in found] == ["Renamed"] * 5
        assert [one.location for one in found] == ["Room 2", None, "Room 2", "Room 2", "Room 2"]
        assert found[1].categories == ["Blue"]

    def test_a_deleted_one_leaves_a_hole(self, sandbox, monkeypatch):
        monkeypatch.setattr(OccurrenceItemId, "clean", unchecked)
        ada = client(sandbox)
        master = series(ada)
        master.occurrence(1).delete()
        master.refresh()
        assert [one.start for one in master.deleted_occurrences] == [at(MONDAY, 9)]
        assert master.first_occurrence.start == at(MONDAY + timedelta(days=1), 9)
        assert len(occurrences(ada)) == 4
        with pytest.raises(errors.ErrorCalendarOccurrenceIsDeletedFromRecurrence):
            master.occurrence(1).refresh()
        for index in (0, 6):
            with pytest.raises(errors.ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange):
                master.occurrence(index).refresh()
        for index in (2, 3, 4):
            master.occurrence(index).delete()
        with pytest.raises(errors.ErrorRecurrenceHasNoOccurrence):
            master.occurrence(5).delete()

    def test_a_single_item_has_no_occurrences(self, sandbox):
        ada = client(sandbox)
        single = item(ada).save()
        with pytest.raises(errors.ErrorCalendarCannotUseIdForOccurrenceId):
            single.occurrence(1).refresh()
        with pytest.raises(errors.ErrorCalendarCannotUseIdForRecurringMasterId):
            single.recurring_master().refresh()

    def test_one_stays_between_its_neighbours(self, sandbox):
        ada = client(sandbox)
        second = series(ada).occurrence(2).refresh()
        for days in (0, 2, 3):
            second.start = at(MONDAY + timedelta(days=days), 12)
            second.end = second.start + timedelta(hours=1)
            with pytest.raises(errors.ErrorOccurrenceCrossingBoundary):
                second.save(update_fields=["start", "end"])
        assert dates(ada) == [MONDAY + timedelta(days=day) for day in range(5)]

    def test_one_cannot_be_moved_out_of_the_folder(self, sandbox):
        ada = client(sandbox)
        second = series(ada).occurrence(2).refresh()
        with pytest.raises(errors.ErrorCalendarCannotMoveOrCopyOccurrence):
            second.copy(ada.trash)

    @pytest.mark.parametrize("field", ["start", "recurrence"])
    def test_another_time_or_pattern_drops_what_was_special(self, sandbox, field):
        ada = client(sandbox)
        master = series(ada)
        master.occurrence(1).delete()
        second = master.occurrence(2).refresh()
        second.subject = "Special"
        second.save(update_fields=["subject"])
        master.refresh()
        master.start += timedelta(minutes=30)
        master.recurrence.pattern = DailyPattern(interval=2)
        master.save(update_fields=[field])
        master.refresh()
        assert (master.modified_occurrences, master.deleted_occurrences) == (None, None)
        assert {one.subject for one in occurrences(ada)} == {"Review"}
        assert len(occurrences(ada)) == 5

    def test_saving_the_same_again_drops_nothing(self, sandbox):
        ada = client(sandbox)
        master = series(ada)
        master.occurrence(1).delete()
        master.refresh()
        master.save()
        assert len(occurrences(ada)) == 4

    def test_a_changed_or_deleted_one_is_a_change_of_the_series(self, sandbox):
        ada = client(sandbox)
        master = series(ada)
        list(ada.calendar.sync_items(only_fields=["subject"]))
        master.occurrence(1).delete()
        (change,) = ada.calendar.sync_items(sync_state=ada.calendar.item_sync_state)
        assert (change[0], change[1].id) == ("update", master.id)
        second = master.occurrence(2).refresh()
        second.subject = "Special"
        second.save(update_fields=["subject"])
        (change,) = ada.calendar.sync_items(sync_state=ada.calendar.item_sync_state)
        assert (change[0], change[1].id) == ("update", master.id)

    def test_exceptions_go_where_the_series_goes(self, sandbox):
        ada = client(sandbox)
        master = series(ada)
        master.occurrence(1).delete()
        elsewhere = sandbox.exchange.add_folder(ADA, "Calendar/Other")
        moved = sandbox.exchange.move(sandbox.exchange.item(master.id), "Calendar/Other")
        assert moved.remote_id != master.id
        assert sandbox.exchange.items(ADA, "calendar") == []
        assert [one.is_deleted for one in sandbox.exchange.store.exceptions(moved.id)] == [True]
        assert moved.folder == elsewhere.id
