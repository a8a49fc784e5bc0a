"""Both sides in the form in which they are compared: what a record can hold, and nothing else."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.apps import apps
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.models.records import LONGEST_BODY as COLUMN_OF_BODIES
from mailboxes.protocols.items import (
    FIELDS,
    Address,
    Importance,
    Person,
    Sensitivity,
    Shape,
    ShowAs,
    TaskProgress,
    When,
)
from mailboxes.recurrence import Pattern, Recurrence, Weekday
from serversync.act.fields import MAPPINGS
from serversync.act.fitting import (
    ADDRESS_LIMITS,
    LIMITS,
    LONGEST_BODY,
    STREET_LIMIT,
    KnownAddresses,
    RemapCounts,
    fitted,
    known_addresses,
    placed,
    remap_counts,
)
from serversync.act.types import ActSettings, Table

ONE, THREE = ActSettings(), ActSettings(all_addresses=True)
MONDAY = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
MIDNIGHT = datetime(2026, 3, 2, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADA, BEN = Person("ada@example.com", "Ada"), Person("ben@example.com", "Ben")
HERE, THERE = Address("Way 1", "Berlin"), Address("Path 2", "Kiel")


def fit(table, settings=ONE, **fields):
    return dict(fitted(table, fields, settings).fields)


# -- whatever comes ----------------------------------------------------------------------------------

TEXTS = st.text(max_size=12) | st.sampled_from([" a\r\nb \n", "x" * 300, "a;b", "\x00"])
PEOPLE = st.builds(
    Person, st.sampled_from(["", "ada@example.com", "Ben@example.com", "c@d.example"])
)
MOMENTS = st.integers(0, 10**9).map(lambda seconds: MIDNIGHT + timedelta(seconds=seconds))
DATES = st.dates(date(2020, 1, 1), date(2030, 1, 1))
VALUES = {
    Shape.TEXT: TEXTS,
    Shape.LINES: TEXTS,
    Shape.FLAG: st.booleans(),
    Shape.NUMBER: st.none() | st.integers(0, 100),
    Shape.DAY: st.none() | DATES,
    Shape.MOMENT: st.none() | MOMENTS,
    Shape.WHEN: st.none()
    | st.builds(
        When, MOMENTS, MOMENTS, st.booleans(), st.sampled_from(["", "Etc/UTC", "Asia/Tokyo"])
    ),
    Shape.PERSON: st.none() | PEOPLE,
    Shape.PEOPLE: st.lists(PEOPLE, max_size=4).map(tuple),
    Shape.ANSWERS: st.just(()),
    Shape.ADDRESS: st.none() | st.builds(Address, TEXTS, TEXTS, TEXTS, TEXTS, TEXTS),
    Shape.WORDS: st.frozensets(TEXTS, max_size=2),
    Shape.RECURRENCE: st.none()
    | st.builds(
        Recurrence,
        pattern=st.sampled_from(Pattern),
        start=DATES,
        interval=st.integers(0, 3),
        days=st.frozensets(st.sampled_from(Weekday)),
        day_of_month=st.none() | st.integers(1, 31),
        first_day_of_week=st.sampled_from(Weekday),
        count=st.none() | st.integers(1, 5),
    ),
}
CHOICES = {
    "importance": Importance,
    "sensitivity": Sensitivity,
    "show_as": ShowAs,
    "status": TaskProgress,
    "mailing_address": ["", "business", "home", "other"],
}


@st.composite
def items(draw, table):
    names = draw(st.lists(st.sampled_from(sorted(FIELDS[table.kind])), unique=True))
    return {
        name: draw(
            st.sampled_from(list(CHOICES[name]))
            if name in CHOICES
            else VALUES[FIELDS[table.kind][name]]
        )
        for name in names
    }


SORTS = (Table.CONTACT, Table.RECURRING_APPOINTMENT, Table.TASK, Table.PHONE_CALL)


@pytest.mark.parametrize("table", SORTS, ids=lambda table: table.name)
@settings(max_examples=50, deadline=None)
@given(data=st.data(), all_addresses=st.booleans())
def test_what_fits_once_fits_as_it_is(table, data, all_addresses) -> None:
    settings = ActSettings(all_addresses=all_addresses)
    once = fitted(table, data.draw(items(table)), settings)
    again = fitted(table, once.fields, settings)
    assert (dict(again.fields), again.cut) == (dict(once.fields), frozenset())


@pytest.mark.parametrize("table", SORTS, ids=lambda table: table.name)
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_record_holds_all_of_what_fits(table, data) -> None:
    found = fitted(table, data.draw(items(table)), ONE).fields
    for name, limit in LIMITS[table].items():
        assert len(str(found.get(name, ""))) <= limit
    for name, shape in FIELDS[table.kind].items():
        if shape is Shape.TEXT and name in found:
            assert not set("\r\n\x00") & set(str(found[name]))


# -- limits are the columns' -------------------------------------------------------------------------

MODELS = {
    Table.APPOINTMENT: "Appointment",
    Table.RECURRING_APPOINTMENT: "RecurringAppointmentMaster",
    Table.SERVICE_APPOINTMENT: "ServiceAppointment",
    Table.TASK: "Task",
    Table.PHONE_CALL: "PhoneCall",
    Table.LETTER: "Letter",
    Table.FAX: "Fax",
    Table.CONTACT: "Contact",
}


@pytest.mark.parametrize("table", Table, ids=lambda table: table.name)
def test_limits_are_those_of_the_columns(table) -> None:
    model = apps.get_model("activities", MODELS[table])
    pointer = apps.get_model("activities", "ActivityPointer")
    columns = {}
    for mapping in MAPPINGS[table]:
        pairs = zip(mapping.fields, mapping.columns, strict=False)
        for field, column in pairs if mapping.name == "name" or not mapping.is_computed else ():
            if column in ("parties", "attachments"):
                continue
            owner = pointer if column == "subject" else model
            length = owner._meta.get_field(column).max_length
            if length and FIELDS[table.kind][field] is Shape.TEXT:
                columns[field] = length
    columns.pop("company_name", None)
    assert LIMITS[table] == columns


def test_limits_of_addresses_and_bodies_are_those_of_the_columns() -> None:
    contact = apps.get_model("activities", "Contact")
    named = {"state": "state_or_province"}
    for part, limit in ADDRESS_LIMITS.items():
        column = f"address2_{named.get(part, part)}"
        assert contact._meta.get_field(column).max_length == limit
    assert contact._meta.get_field("address3_line3").max_length == STREET_LIMIT
    assert LONGEST_BODY == COLUMN_OF_BODIES


# -- texts -------------------------------------------------------------------------------------------


@pytest.mark.rule("R6.15")
def test_descriptions_are_plain_lines() -> None:
    assert fit(Table.TASK, body="one\r\ntwo\rthree \n\n")["body"] == "one\ntwo\nthree"


def test_what_is_cut_is_said_and_equal_to_what_was_stored() -> None:
    there = fitted(Table.CONTACT, {"job_title": "x" * 200})
    assert there.cut == {"job_title"}
    here = fitted(Table.CONTACT, {"job_title": "x" * 100})
    assert (here.fields, here.cut) == (there.fields, frozenset())


@pytest.mark.parametrize("told", ["x" * 100 + "@example.com", "/o=Example/cn=Recipients/cn=ada"])
def test_what_is_no_address_is_not_kept(told) -> None:
    assert fit(Table.CONTACT, email1=told, email2="ada@example.com") == {
        "email1": "",
        "email2": "ada@example.com",
    }


def test_a_page_has_a_scheme() -> None:
    assert fit(Table.CONTACT, business_home_page="example.com") == {
        "business_home_page": "http://example.com"
    }
    assert fit(Table.CONTACT, business_home_page="")["business_home_page"] == ""


def test_who_has_only_a_display_name_is_called_so() -> None:
    names = dict.fromkeys(("given_name", "middle_name", "surname", "suffix"), "")
    assert fit(Table.CONTACT, display_name="Example Ltd", **names)["surname"] == "Example Ltd"
    named = fit(Table.CONTACT, display_name="Boss", **names | {"given_name": "Ada"})
    assert named["surname"] == ""


def test_a_street_has_three_lines() -> None:
    found = fit(Table.CONTACT, home_address=Address("a\r\n\r\nb\nc\nd"))["home_address"]
    assert found.street == "a\nb\nc, d"


# -- time (R6.35) ------------------------------------------------------------------------------------


@pytest.mark.rule("R6.35")
@pytest.mark.parametrize(
    ("start", "end", "days"),
    [
        (MIDNIGHT, MIDNIGHT + DAY, 1),
        (MIDNIGHT, MIDNIGHT + 3 * DAY, 3),
        (MIDNIGHT, MIDNIGHT, 1),
        (MIDNIGHT + 9 * HOUR, MIDNIGHT + 10 * HOUR, 1),
    ],
)
def test_all_day_is_whole_days_without_a_zone(start, end, days) -> None:
    when = fit(Table.APPOINTMENT, when=When(start, end, True, "Asia/Tokyo"))["when"]
    assert when == When(MIDNIGHT, MIDNIGHT + days * DAY, True, "")


@pytest.mark.rule("R6.35")
def test_no_zone_is_utc_by_any_name() -> None:
    zones = {
        fit(Table.APPOINTMENT, when=When(MONDAY, MONDAY + HOUR, zone=zone))["when"].zone
        for zone in ("", "UTC", "Etc/UTC")
    }
    assert zones == {"UTC"}
    named = fit(Table.APPOINTMENT, when=When(MONDAY, MONDAY, zone="Europe/Berlin"))["when"]
    assert named.zone == "Europe/Berlin"


def test_nothing_ends_before_it_begins() -> None:
    assert fit(Table.APPOINTMENT, when=When(MONDAY, MONDAY - HOUR))["when"].end == MONDAY


def test_a_pattern_begins_with_its_first_occurrence() -> None:
    sunday = date(2026, 3, 1)
    weekly = Recurrence(
        pattern=Pattern.WEEKLY,
        start=sunday,
        days=frozenset({Weekday.TUESDAY}),
        first_day_of_week=Weekday.SUNDAY,
    )
    found = fit(Table.RECURRING_APPOINTMENT, recurrence=weekly)["recurrence"]
    assert (found.start, found.first_day_of_week) == (date(2026, 3, 3), Weekday.MONDAY)


# -- meetings ----------------------------------------------------------------------------------------


@pytest.mark.rule("R6.27")
def test_working_elsewhere_is_free() -> None:
    assert fit(Table.APPOINTMENT, show_as=ShowAs.WORKING_ELSEWHERE)["show_as"] == ShowAs.FREE


@pytest.mark.rule("R6.21")
def test_what_is_free_does_not_remind() -> None:
    free = fit(Table.APPOINTMENT, show_as=ShowAs.FREE, reminder=15)
    busy = fit(Table.APPOINTMENT, show_as=ShowAs.BUSY, reminder=15)
    assert (free["reminder"], busy["reminder"]) == (None, 15)


def test_people_are_who_they_are_in_any_order() -> None:
    found = fit(Table.APPOINTMENT, required=(BEN, ADA, Person("ADA@example.com"), Person("")))
    assert found["required"] == (ADA, BEN)


def test_who_invites_is_not_invited() -> None:
    found = fit(Table.APPOINTMENT, organizer=ADA, required=(ADA, BEN), optional=(ADA,))
    assert (found["required"], found["optional"]) == ((BEN,), ())


def test_an_organizer_without_an_address_is_none() -> None:
    assert fit(Table.APPOINTMENT, organizer=Person("", "Ada"))["organizer"] is None


@pytest.mark.rule("R6.36a")
def test_links_to_meetings_stay_as_they_are() -> None:
    link = "https://meet.example.com/19%3ameeting_x?context=%7b%22Tid%22%7d&y=1#z"
    found = fit(Table.APPOINTMENT, online_meeting_url=link, body=f"Join: <{link}>")
    assert (found["online_meeting_url"], found["body"]) == (link, f"Join: <{link}>")


# -- tasks -------------------------------------------------------------------------------------------


@pytest.mark.rule("R6.37")
def test_a_hundred_percent_are_completed() -> None:
    found = fit(Table.TASK, status=TaskProgress.IN_PROGRESS, percent_complete=100, reminder=MONDAY)
    assert found == {
        "status": TaskProgress.COMPLETED,
        "percent_complete": 100,
        "reminder": None,
    }


@pytest.mark.rule("R6.37")
@pytest.mark.parametrize("table", [Table.PHONE_CALL, Table.LETTER, Table.FAX])
def test_calls_letters_and_faxes_are_open_or_done(table) -> None:
    for progress in TaskProgress:
        expected = (
            TaskProgress.COMPLETED
            if progress == TaskProgress.COMPLETED
            else TaskProgress.NOT_STARTED
        )
        assert fit(table, status=progress)["status"] == expected


@pytest.mark.rule("R6.38")
def test_a_start_alone_is_due_then() -> None:
    day = date(2026, 3, 2)
    assert fit(Table.TASK, start=day, due=None)["due"] == day
    assert fit(Table.TASK, start=day) == {"start": day}  # only what changed


# -- addresses of contacts (R6.16) -------------------------------------------------------------------


@pytest.mark.rule("R6.16")
@pytest.mark.parametrize(("mailing", "expected"), [("", HERE), ("business", HERE), ("home", THERE)])
def test_one_address_is_the_mailing_address_there(mailing, expected) -> None:
    item = {"business_address": HERE, "home_address": THERE, "mailing_address": mailing}
    assert fit(Table.CONTACT, **item)["business_address"] == expected
    assert fit(Table.CONTACT, THREE, **item)["business_address"] == HERE


@pytest.mark.rule("R6.16")
def test_a_change_goes_where_the_address_is() -> None:
    changed = {"business_address": HERE, "nickname": "x"}
    assert placed(changed, "home", ONE) == {"home_address": HERE, "nickname": "x"}
    assert placed(changed, "business", ONE) == changed
    assert placed(changed, "", ONE) == changed | {"mailing_address": "business"}
    assert placed({"business_address": Address()}, "", ONE) == {"business_address": Address()}
    assert placed(changed, "home", THREE) == changed
    assert placed({"nickname": "x"}, "home", ONE) == {"nickname": "x"}


@pytest.mark.rule("R6.16")
def test_switching_is_counted_first() -> None:
    contacts = [
        KnownAddresses(frozenset({"business_address"})),
        KnownAddresses(frozenset({"business_address"}), "home"),
        KnownAddresses(frozenset({"business_address", "home_address"}), "business"),
        KnownAddresses(frozenset({"other_address"}), "other"),
    ]
    assert remap_counts(contacts, to_all=True) == RemapCounts(linked=4, moved=2, sent=2, changed=3)
    assert remap_counts(contacts, to_all=False) == RemapCounts(linked=4, moved=2, changed=2)


def test_an_empty_address_is_none() -> None:
    fields = {"business_address": HERE, "home_address": Address(), "other_address": None}
    assert known_addresses(fields, "home") == KnownAddresses(
        frozenset({"business_address"}), "home"
    )
