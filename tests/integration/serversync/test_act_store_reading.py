"""Records as fields of the server."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.contrib.contenttypes.models import ContentType

from activities.choices import (
    ActivityState,
    AppointmentStatus,
    ParticipationType,
    PhoneCallStatus,
    Priority,
    TaskStatus,
)
from mailboxes.models import SystemUser
from mailboxes.protocols.items import (
    Address,
    Importance,
    Person,
    Sensitivity,
    ShowAs,
    TaskProgress,
    When,
)
from mailboxes.recurrence import Pattern
from serversync.act import store
from serversync.act.types import Lifecycle, Table
from tests.factories.activities import (
    AccountFactory,
    ActivityPartyFactory,
    AppointmentFactory,
    ContactFactory,
    PhoneCallFactory,
    RecurringAppointmentMasterFactory,
    ServiceAppointmentFactory,
    TaskFactory,
)
from tests.factories.mailboxes import SystemUserFactory
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

MONDAY = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
ORGANIZER, REQUIRED, OPTIONAL = (
    ParticipationType.ORGANIZER,
    ParticipationType.REQUIRED_ATTENDEE,
    ParticipationType.OPTIONAL_ATTENDEE,
)


def fields_of(table, record):
    return store.sides(table, [record.pk])[record.pk].fields


def in_berlin():
    ada = SystemUserFactory()
    ada.settings.time_zone = "Europe/Berlin"
    ada.settings.save()
    return ada


def taking_part(meeting, role, record=None, address="", **columns):
    kind = {}
    if record is not None:
        kind = {
            "party_type": ContentType.objects.get_for_model(record),
            "party_id": str(record.pk),
        }
    return ActivityPartyFactory(
        activity=meeting.activity,
        participation_type_mask=role,
        address_used=address,
        **kind,
        **columns,
    )


# -- contacts --------------------------------------------------------------------------------------


def test_a_contact_is_told_whole():
    contact = ContactFactory(
        first_name="Ada",
        last_name="Example",
        suffix="Jr.",
        parent_account=AccountFactory(name="Example Ltd"),
        email_address1="ada@example.com",
        telephone1="+49 30 1",
        company="+49 30 2",
        address1_line1="Way 1",
        address1_line2="House B",
        address1_city="Berlin",
        address2_city="Kiel",
        birth_date=date(1980, 12, 10),
        childrens_names="Ben;Cleo",
        description="Met in Kiel.\r\nLikes tea.",
    )

    fields = fields_of(Table.CONTACT, contact)

    assert (fields["given_name"], fields["surname"]) == ("Ada", "Example")
    assert fields["suffix"] == "Jr."
    assert fields["display_name"] == "Ada Example"
    assert fields["company_name"] == "Example Ltd"
    assert fields["email1"] == "ada@example.com"
    assert (fields["business_phone"], fields["company_main_phone"]) == ("+49 30 1", "+49 30 2")
    assert fields["business_address"] == Address("Way 1\nHouse B", "Berlin")
    assert fields["home_address"] == Address(city="Kiel")
    assert fields["birthday"] == date(1980, 12, 10)
    assert fields["anniversary"] is None
    assert fields["children"] == "Ben; Cleo"
    assert fields["body"] == "Met in Kiel.\nLikes tea."


# -- tasks -----------------------------------------------------------------------------------------


@pytest.mark.rule("R6.37")
def test_days_of_a_task_are_those_of_its_owner_and_a_time_reminds():
    task = TaskFactory(
        activity__owning_user=in_berlin(),
        scheduled_start=datetime(2026, 3, 1, 23, tzinfo=UTC),  # midnight in Berlin
        scheduled_end=datetime(2026, 3, 3, 9, tzinfo=UTC),
        priority_code=Priority.HIGH,
        status_code=TaskStatus.WAITING,
        percent_complete=30,
    )

    fields = fields_of(Table.TASK, task)

    assert (fields["start"], fields["due"]) == (date(2026, 3, 2), date(2026, 3, 3))
    assert fields["reminder"] == datetime(2026, 3, 3, 9, tzinfo=UTC)
    assert fields["importance"] == Importance.HIGH
    assert fields["status"] == TaskProgress.WAITING
    assert fields["percent_complete"] == 30


@pytest.mark.rule("R6.37")
def test_a_due_day_reminds_of_nothing():
    task = TaskFactory(
        activity__owning_user=in_berlin(), scheduled_end=datetime(2026, 3, 2, 23, tzinfo=UTC)
    )
    fields = fields_of(Table.TASK, task)
    assert (fields["due"], fields["reminder"]) == (date(2026, 3, 3), None)


@pytest.mark.rule("R6.37")
@pytest.mark.parametrize(
    ("status", "percent", "told"),
    [
        (TaskStatus.IN_PROGRESS, None, (TaskProgress.NOT_STARTED, 0)),
        (TaskStatus.IN_PROGRESS, 0, (TaskProgress.IN_PROGRESS, 0)),
        (TaskStatus.COMPLETED, 80, (TaskProgress.COMPLETED, 100)),
        (TaskStatus.CANCELED, None, (TaskProgress.COMPLETED, 100)),
    ],
)
def test_how_far_a_task_is(status, percent, told):
    fields = fields_of(Table.TASK, TaskFactory(status_code=status, percent_complete=percent))
    assert (fields["status"], fields["percent_complete"]) == told


@pytest.mark.rule("R6.38")
def test_a_start_without_a_due_date_is_both():
    task = TaskFactory(
        activity__owning_user=in_berlin(), scheduled_start=datetime(2026, 3, 1, 23, tzinfo=UTC)
    )
    assert fields_of(Table.TASK, task)["due"] == date(2026, 3, 2)


@pytest.mark.rule("R6.37")
def test_a_call_is_open_or_done():
    assert fields_of(Table.PHONE_CALL, PhoneCallFactory())["status"] == TaskProgress.NOT_STARTED
    made = PhoneCallFactory(
        activity__state_code=ActivityState.COMPLETED, status_code=PhoneCallStatus.MADE
    )
    assert fields_of(Table.PHONE_CALL, made)["status"] == TaskProgress.COMPLETED


# -- meetings ----------------------------------------------------------------------------------------


def test_a_meeting_with_its_people():
    ada = SystemUserFactory(internal_email_address="Ada@example.com")
    ben = ContactFactory(email_address1="ben@example.org")
    meeting = AppointmentFactory(
        location="Room 4",
        is_mapi_private=True,
        online_meeting_join_url="https://meet.example.com/1",
        reminder_minutes=15,
    )
    taking_part(meeting, ORGANIZER, ada)
    taking_part(meeting, REQUIRED, ben)
    taking_part(meeting, OPTIONAL, address="Cleo@example.org")
    taking_part(meeting, REQUIRED, unresolved_party_name="Somebody")

    fields = fields_of(Table.APPOINTMENT, meeting)

    assert fields["when"] == When(MONDAY, MONDAY + HOUR, zone="Europe/Berlin")
    assert fields["show_as"] == ShowAs.BUSY
    assert fields["organizer"] == Person("ada@example.com")
    assert fields["required"] == (Person("ben@example.org"),)
    assert fields["optional"] == (Person("cleo@example.org"),)
    assert fields["sensitivity"] == Sensitivity.PRIVATE
    assert fields["online_meeting_url"] == "https://meet.example.com/1"
    assert (fields["location"], fields["reminder"]) == ("Room 4", 15)


@pytest.mark.rule("R6.21")
@pytest.mark.parametrize(
    "status", [AppointmentStatus.FREE, AppointmentStatus.COMPLETED, AppointmentStatus.CANCELED]
)
def test_what_is_free_or_over_shows_as_free_and_reminds_of_nothing(status):
    fields = fields_of(
        Table.APPOINTMENT, AppointmentFactory(status_code=status, reminder_minutes=15)
    )
    assert (fields["show_as"], fields["reminder"]) == (ShowAs.FREE, None)


@pytest.mark.rule("R6.35")
def test_all_day_has_no_zone_and_no_time():
    day = datetime(2026, 3, 2, tzinfo=UTC)
    meeting = AppointmentFactory(
        is_all_day_event=True,
        scheduled_start=day,
        scheduled_end=day + timedelta(days=2),
        time_zone="America/New_York",
    )
    assert fields_of(Table.APPOINTMENT, meeting)["when"] == When(
        day, day + timedelta(days=2), all_day=True
    )


def test_a_service_activity_invites_nobody():
    service = ServiceAppointmentFactory()
    fields = fields_of(Table.SERVICE_APPOINTMENT, service)
    assert fields["show_as"] == ShowAs.TENTATIVE
    assert not {"required", "optional", "organizer"} & set(fields)


@pytest.mark.rule("R6.35")
def test_a_series_with_what_differs():
    series = RecurringAppointmentMasterFactory(
        start_time=time(9, 30),
        deleted_exceptions_list=["2026-03-04T08:30:00+00:00"],
    )
    moved = AppointmentFactory(
        series=series,
        original_start_date=MONDAY + timedelta(days=1),
        scheduled_start=MONDAY + timedelta(days=1) + HOUR,
        activity__subject="Later",
    )
    taking_part(moved, REQUIRED, address="ben@example.org")

    side = store.sides(Table.RECURRING_APPOINTMENT, [series.pk])[series.pk]

    assert side.fields["when"] == When(MONDAY, MONDAY + HOUR / 2, zone="Europe/Berlin")
    assert side.fields["recurrence"].pattern == Pattern.DAILY
    assert side.occurrences[MONDAY + timedelta(days=2)] is None
    occurrence = side.occurrences[MONDAY + timedelta(days=1)]
    assert occurrence["subject"] == "Later"
    assert occurrence["when"].start == MONDAY + timedelta(days=1) + HOUR
    assert occurrence["required"] == (Person("ben@example.org"),)


def test_what_is_gone_has_no_side():
    task = TaskFactory()
    key = task.pk
    task.activity.delete()
    assert store.sides(Table.TASK, [key]) == {}


# -- facts -----------------------------------------------------------------------------------------


def facts_of(table, record, user):
    return store.record_facts(table, [record.pk], user, MONDAY)[record.pk]


def admin():
    return SystemUser.objects.create_superuser("admin", "x", internal_email_address="a@example.com")


def test_whose_it_is_and_who_may_do_what():
    ada = SystemUserFactory()
    task = TaskFactory(activity__owning_user=ada)
    mine = facts_of(Table.TASK, task, ada)
    assert mine.owned
    assert not mine.readable  # no permission for tasks at all
    theirs = facts_of(Table.TASK, task, admin())
    assert (theirs.owned, theirs.readable, theirs.writable) == (False, True, True)


def test_who_organizes():
    ada, boss = SystemUserFactory(), admin()
    meeting = AppointmentFactory(is_draft=True)
    assert not facts_of(Table.APPOINTMENT, meeting, ada).has_organizer
    taking_part(meeting, ORGANIZER, ada)
    taking_part(meeting, REQUIRED, address="ben@example.org")
    taking_part(meeting, OPTIONAL, address="ben@example.org")
    taking_part(meeting, REQUIRED, unresolved_party_name="Somebody")
    facts = facts_of(Table.APPOINTMENT, meeting, ada)
    assert (facts.has_organizer, facts.organizes, facts.draft) == (True, True, True)
    assert facts.attendees == 1
    assert facts.without_address == ("Somebody",)
    assert facts.lifecycle == Lifecycle.SCHEDULED
    assert not facts_of(Table.APPOINTMENT, meeting, boss).organizes


@pytest.mark.rule("R6.36")
def test_what_is_private_is_nobody_else_s_to_read():
    private = AppointmentFactory(is_mapi_private=True)
    assert not facts_of(Table.APPOINTMENT, private, admin()).readable


@pytest.mark.rule("R6.26")
def test_who_is_busy_then():
    ada = SystemUserFactory(
        first_name="Ada", last_name="Example", internal_email_address="ada@example.com"
    )
    ben = SystemUserFactory(internal_email_address="ben@example.com")
    other = AppointmentFactory(scheduled_start=MONDAY + HOUR / 2)
    taking_part(other, ORGANIZER, ada)
    before = AppointmentFactory(scheduled_start=MONDAY - HOUR)  # ends as this one begins
    taking_part(before, ORGANIZER, ben)
    free = AppointmentFactory(status_code=AppointmentStatus.FREE)
    taking_part(free, ORGANIZER, ben)
    there = {
        "when": When(MONDAY, MONDAY + HOUR),
        "required": (Person("ada@example.com"), Person("cleo@example.org")),
        "organizer": Person("ben@example.com"),
    }

    assert store.busy_at({1: (there, None)}, ben) == {1: ("Ada Example",)}
    assert store.busy_at({1: (there, other.pk)}, ben) == {}  # it is the very one
    assert store.busy_at({1: (there | {"show_as": ShowAs.FREE}, None)}, ben) == {}
    assert store.busy_at({1: ({"when": there["when"]}, None)}, ada) == {1: ("Ada Example",)}


# -- cost ------------------------------------------------------------------------------------------


def many(table, number):
    if table == Table.CONTACT:
        return [ContactFactory().pk for _ in range(number)]
    if table == Table.TASK:
        return [TaskFactory().pk for _ in range(number)]
    if table == Table.APPOINTMENT:
        meetings = [AppointmentFactory() for _ in range(number)]
    else:
        meetings = [RecurringAppointmentMasterFactory() for _ in range(number)]
        meetings += [AppointmentFactory(series=each) for each in meetings]
    ada = SystemUserFactory()
    for each in meetings:
        taking_part(each, REQUIRED, ada)
    return [each.pk for each in meetings[:number]]


@pytest.mark.parametrize(
    ("table", "most"),
    [
        (Table.CONTACT, 1),
        (Table.TASK, 1),
        (Table.APPOINTMENT, 3),
        (Table.RECURRING_APPOINTMENT, 4),
    ],
)
def test_statements_do_not_grow_with_records(table, most):
    few, more = many(table, 1), many(table, 4)
    store.sides(table, few)  # content types are known from here on
    with counting() as some:
        store.sides(table, few)
    with counting() as others:
        store.sides(table, more)
    assert len(some) == len(others) == most
