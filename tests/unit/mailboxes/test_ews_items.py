"""What is written of an item and what is read of it: the same, for everything that a field may hold."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from exchangelib.version import EXCHANGE_2010_SP2, EXCHANGE_2016
from hypothesis import example, given, settings
from hypothesis import strategies as st
from lxml import etree

from mailboxes.protocols.ews.items import recurrences, shapes, times, uids, values, zones
from mailboxes.protocols.ews.items.paths import LINK, extended, numbered, tagged
from mailboxes.protocols.ews.operations import T
from mailboxes.protocols.items import FIELDS, ItemKind, Shape, When
from mailboxes.recurrence import Nth, Pattern, Recurrence, Weekday, days, first_day
from tests.contracts.items import MEETING, MONDAY, SAMPLES, WEEKLY
from tests.items import fields_of, recurrences_of_any_kind

KINDS = pytest.mark.parametrize("kind", list(ItemKind))


def written_and_read(kind, fields, build=EXCHANGE_2016):
    """Through XML, as over the line."""
    item = shapes.new_item(kind, shapes.parts_of(kind, fields, build))
    return shapes.read_fields(etree.fromstring(etree.tostring(item)), kind)


# -- round trips -----------------------------------------------------------------------------------


@KINDS
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_what_is_written_is_read(kind, data):
    fields = data.draw(fields_of(kind))
    read = written_and_read(kind, fields)
    assert {name: read[name] for name in fields} == fields


@KINDS
def test_every_field_has_a_property_and_every_shape_a_value(kind):
    assert set(shapes.TABLES[kind]) == set(FIELDS[kind])
    assert Decimal not in map(type, SAMPLES[kind][1].values())
    assert Shape.AMOUNT not in FIELDS[kind].values()


@settings(max_examples=100, deadline=None)
@given(recurrences_of_any_kind())
def test_a_pattern_is_read_as_it_was_written(recurrence):
    item = T.CalendarItem(recurrences.written(recurrence))
    assert recurrences.read(item) == recurrence


def test_every_other_year_is_told_in_months():
    every_other = Recurrence(
        pattern=Pattern.YEARLY, interval=2, month=3, day_of_month=5, start=date(2031, 11, 1)
    )
    element = recurrences.written(every_other)
    monthly = element.find("{*}AbsoluteMonthlyRecurrence")
    assert monthly.findtext("{*}Interval") == "24"
    read = recurrences.read(T.CalendarItem(element))
    assert (read.pattern, read.interval, read.month) == (Pattern.YEARLY, 2, 3)
    assert read.start == date(2033, 3, 5)


@pytest.mark.parametrize("start", [date(2031, 3, 2), date(2031, 3, 20), date(2031, 11, 1)])
@pytest.mark.parametrize(
    "which", [{"day_of_month": 5}, {"days": frozenset({Weekday.TUESDAY}), "nth": Nth.SECOND}]
)
@pytest.mark.parametrize("interval", [2, 3])
@pytest.mark.parametrize("pattern", [Pattern.MONTHLY, Pattern.YEARLY])
def test_a_pattern_takes_place_on_the_same_days_there(pattern, interval, which, start):
    month = {"month": 3} if pattern is Pattern.YEARLY else {}
    here = Recurrence(pattern=pattern, interval=interval, start=start, count=5, **which, **month)
    there = recurrences.read(T.CalendarItem(recurrences.written(here)))
    assert list(days(there)) == list(days(here))
    if pattern is Pattern.YEARLY:
        assert there.start == first_day(here)


@pytest.mark.parametrize(
    ("days", "name"),
    [
        (frozenset(Weekday), "Day"),
        (frozenset({Weekday.SATURDAY, Weekday.SUNDAY}), "WeekendDay"),
        (frozenset({Weekday.FRIDAY}), "Friday"),
    ],
)
def test_days_with_an_index_go_by_the_name_of_their_group(days, name):
    last = Recurrence(pattern=Pattern.MONTHLY, days=days, nth=Nth.LAST, start=date(2031, 1, 1))
    assert recurrences.written(last).findtext("*/{*}DaysOfWeek") == name


@pytest.mark.parametrize(
    "markup",
    ["", "<NoEndRecurrence/>", "<DailyRegeneration><Interval>1</Interval></DailyRegeneration>"],
)
def test_a_pattern_that_is_none_can_not_be_read(markup):
    space = "http://schemas.microsoft.com/exchange/services/2006/types"
    item = etree.fromstring(
        f'<CalendarItem xmlns="{space}"><Recurrence>{markup}</Recurrence></CalendarItem>'
    )
    with pytest.raises(recurrences.Unreadable):
        recurrences.read(item)


def test_dates_with_an_offset_are_those_dates():
    element = recurrences.written(WEEKLY)
    start = element.find("*/{*}StartDate")
    start.text += "+01:00"
    assert recurrences.read(T.CalendarItem(element)).start == WEEKLY.start


# -- how it is written -----------------------------------------------------------------------------


@KINDS
def test_properties_stand_in_the_order_of_the_schema(kind):
    item = shapes.new_item(
        kind, [shapes.link_part("x"), *shapes.parts_of(kind, SAMPLES[kind][1], EXCHANGE_2016)]
    )
    places = [shapes.PLACES[each.tag.partition("}")[2]] for each in item]
    assert places == sorted(places)


def test_entries_of_a_list_stand_together_and_parts_of_an_address_in_one_entry():
    item = shapes.new_item(
        ItemKind.CONTACT,
        shapes.parts_of(ItemKind.CONTACT, SAMPLES[ItemKind.CONTACT][1], EXCHANGE_2016),
    )
    (phones,) = item.findall("{*}PhoneNumbers")
    assert [each.get("Key") for each in phones] == ["BusinessPhone", "MobilePhone"]
    (places,) = item.findall("{*}PhysicalAddresses")
    (entry,) = places
    assert [each.text for each in entry] == ["Way 1", "Berlin", "Germany", "10115"]


def test_changes_go_in_the_order_given_and_an_empty_value_deletes():
    fields = {"status": "completed", "percent_complete": 100, "subject": ""}
    parts = shapes.parts_of(ItemKind.TASK, fields, EXCHANGE_2016)
    updates = shapes.updates(ItemKind.TASK, parts)
    assert [(each.tag.partition("}")[2], each[0].get("FieldURI")) for each in updates] == [
        ("SetItemField", "task:Status"),
        ("SetItemField", "task:PercentComplete"),
        ("DeleteItemField", "item:Subject"),
    ]


@KINDS
def test_what_is_the_servers_own_is_not_written(kind):
    own = {name for name, field in shapes.TABLES[kind].items() if field.write is None}
    assert own == set(FIELDS[kind]) & {
        "organizer", "answers", "is_cancelled", "is_recurring", "is_assigned"
    }  # fmt: skip
    assert shapes.parts_of(kind, dict.fromkeys(own), EXCHANGE_2016) == []


def test_control_characters_stay_here():
    read = written_and_read(ItemKind.TASK, {"subject": "a\x00b\x0bc", "body": "x\x01\ny"})
    assert (read["subject"], read["body"]) == ("abc", "x\ny")


def test_older_servers_are_not_asked_for_what_they_do_not_know():
    asked = shapes.whole_shape([ItemKind.SERIES], EXCHANGE_2010_SP2)
    uris = {each.get("FieldURI") for each in asked}
    assert "calendar:StartTimeZone" in uris
    assert "calendar:JoinOnlineMeetingUrl" not in uris


# -- how it is read --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("1980-12-10T11:59:00Z", date(1980, 12, 10)),
        ("1980-12-10T00:00:00Z", date(1980, 12, 10)),
        ("1980-12-09T23:00:00Z", date(1980, 12, 10)),  # midnight in Berlin
        ("1980-12-10T08:00:00Z", date(1980, 12, 10)),  # midnight in Los Angeles
        ("1980-12-09T18:30:00Z", date(1980, 12, 10)),  # midnight in Kolkata
        ("2031-03-05T20:17:44Z", date(2031, 3, 5)),  # a task completed in the evening
        ("2031-03-05T20:17:44.1234567Z", date(2031, 3, 5)),
        ("0001-01-01T00:00:00Z", None),
        ("someday", None),
        ("", None),
    ],
)
def test_days_are_days_wherever_they_were_written(written, expected):
    assert values.day(T.Task(T.DueDate(written)), "DueDate") == expected


def test_an_all_day_event_is_read_by_the_midnights_of_its_zone():
    item = T.CalendarItem(
        T.Start("2031-03-28T23:00:00Z"),
        T.End("2031-03-30T22:00:00Z"),  # the clocks changed in between
        T.IsAllDayEvent("true"),
        T.StartTimeZone(Id="W. Europe Standard Time"),
    )
    day = datetime(2031, 3, 29, tzinfo=UTC)
    assert times.read(item) == When(day, day + timedelta(days=2), True, "Europe/Berlin")


def test_an_all_day_event_survives_rules_that_differ_by_an_hour():
    item = T.CalendarItem(
        T.Start("2031-03-29T00:00:00Z"),
        T.End("2031-03-30T00:00:00Z"),
        T.IsAllDayEvent("true"),
        T.StartTimeZone(Id="W. Europe Standard Time"),
    )
    assert times.read(item).start == datetime(2031, 3, 29, tzinfo=UTC)


@pytest.mark.parametrize(
    "named",
    [
        tagged("0x3a45"),
        numbered("Task", 0x810F, "SystemTime"),
        LINK,
    ],
)
def test_properties_are_found_however_their_names_are_spelled(named):
    uri = {
        name: value.upper().replace("0X", "0x0") if name == "PropertyTag" else value.upper()
        for name, value in named.named
    }
    item = T.Task(T.ExtendedProperty(T.ExtendedFieldURI(**uri), T.Value("found")))
    assert extended(item, named) == "found"


def test_a_property_of_another_name_is_not_ours():
    item = T.Task(T.ExtendedProperty(tagged("0x3a4c").element(), T.Value("x")))
    assert extended(item, tagged("0x3a45")) == ""


@pytest.mark.parametrize("html", ["<p>a</p>", "<" * 5000, "<b" + "<i>" * 3000 + "x"])
def test_any_markup_becomes_text(html):
    assert isinstance(values.body(T.Task(T.Body(html, BodyType="HTML"))), str)


# -- zones -----------------------------------------------------------------------------------------


@pytest.mark.rule("R6.35")
@pytest.mark.parametrize(
    ("name", "windows"),
    [
        ("Europe/Berlin", "W. Europe Standard Time"),
        ("Europe/Vienna", "W. Europe Standard Time"),
        ("UTC", "UTC"),
        ("Mars/Phobos", "UTC"),
        ("", "UTC"),
        ("../etc/passwd", "UTC"),
    ],
)
def test_zones_go_by_their_names_in_windows(name, windows):
    assert zones.windows_name(name, MONDAY) == windows


@pytest.mark.rule("R6.35")
def test_a_zone_that_the_table_lacks_goes_by_one_with_the_same_clock(monkeypatch):
    monkeypatch.delitem(zones.IANA_TO_MS_TIMEZONE_MAP, "Europe/Vienna")
    found = zones.table_name(zones.windows_name("Europe/Vienna", MONDAY))
    for month in range(1, 13):
        noon = datetime(2031, month, 15, 12, tzinfo=UTC)
        offsets = {noon.astimezone(ZoneInfo(zone)).utcoffset() for zone in (found, "Europe/Vienna")}
        assert len(offsets) == 1


@pytest.mark.rule("R6.35")
@pytest.mark.parametrize("name", ["Asia/Qyzylorda", "America/Whitehorse", "Africa/Juba"])
def test_a_zone_that_is_new_to_windows_has_a_stand_in_and_ends_as_utc(name):
    own, stand_in, last = (zones.windows_name(name, MONDAY, refused) for refused in range(3))
    summer = datetime(2031, 7, 1, 12, tzinfo=UTC)
    for noon in (MONDAY, summer):
        offsets = {
            noon.astimezone(zones.clock(zones.table_name(each))).utcoffset()
            for each in (own, stand_in)
        }
        assert offsets == {noon.astimezone(ZoneInfo(name)).utcoffset()}
    assert (own != stand_in, last) == (True, "UTC")


@pytest.mark.parametrize(
    ("windows", "kept", "name"),
    [
        ("W. Europe Standard Time", "", "Europe/Berlin"),
        ("W. Europe Standard Time", "W. Europe Standard Time=Europe/Vienna", "Europe/Vienna"),
        ("Tokyo Standard Time", "W. Europe Standard Time=Europe/Vienna", "Asia/Tokyo"),
        ("UTC", "UTC=Mars/Phobos", "Mars/Phobos"),
        ("UTC", "UTC=", ""),
        ("tzone://Microsoft/Custom", "", ""),
        ("tzone://Microsoft/Utc", "", "UTC"),
        ("Phobos Standard Time", "", ""),
    ],
)
def test_the_name_that_was_kept_counts_while_the_zone_is_that_one(windows, kept, name):
    assert zones.iana_name(windows, kept) == name


@pytest.mark.rule("R6.35")
def test_a_zone_nobody_knows_leaves_the_moment_as_it_is():
    item = T.CalendarItem(
        T.Start("2031-03-03T08:00:00Z"),
        T.End("2031-03-03T09:00:00Z"),
        T.StartTimeZone(Id="Phobos Standard Time"),
    )
    assert times.read(item) == When(MONDAY, MONDAY + timedelta(hours=1))


# -- ids of meetings -------------------------------------------------------------------------------


@given(st.text(min_size=1).filter(lambda text: "\0" not in text and text.isprintable()))
@example("one-uid@example.com")
def test_a_foreign_uid_lives_in_the_global_id(uid):
    assert uids.uid_of_global_id(uids.global_id(uid)) == uid


def test_an_id_of_exchange_is_its_uid_without_the_day_of_an_occurrence():
    uid = uids.new_uid(MONDAY)
    assert uids.uid_of_global_id(uids.global_id(uid)) == uid
    of_a_day = uid[:32] + "07EF0303" + uid[40:]
    assert uids.uid_of_global_id(uids.global_id(of_a_day)) == uid


@pytest.mark.parametrize("encoded", ["", "no base64!", "AAAA", "BAAAAA=="])
def test_what_is_no_global_id_gives_no_uid(encoded):
    assert uids.uid_of_global_id(encoded) == ""


def test_without_a_uid_the_global_id_tells():
    item = T.CalendarItem(
        T.ExtendedProperty(shapes.CLEAN_GLOBAL_ID.element(), T.Value(uids.global_id("u-1")))
    )
    assert shapes.uid_of(item) == "u-1"


def test_a_meeting_of_a_kind_of_its_own_is_a_meeting():
    item = T.CalendarItem(T.ItemClass("IPM.Appointment.Live Meeting Request"))
    assert shapes.kind_of(item) is ItemKind.APPOINTMENT
    assert shapes.kind_of(T.CalendarItem(T.ItemClass("IPM.OLE.CLASS"))) is None
    assert shapes.kind_of(T.DistributionList()) is None
    assert MEETING["when"].zone == "Europe/Berlin"
