"""Fields of the server as records: what is written is what is read back, in few statements."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction

from activities import recyclebin
from activities.choices import (
    ActivityState,
    AppointmentStatus,
    ParticipationType,
    PhoneCallStatus,
    TaskStatus,
)
from activities.models import (
    ActivityParty,
    ActivityPointer,
    Appointment,
    Contact,
    DeletedRecord,
    PhoneCall,
    RecurringAppointmentMaster,
    Task,
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
from mailboxes.recurrence import Pattern, Recurrence, Weekday
from serversync.act import store
from serversync.act.store import StoreOutcome, StoreWrite
from serversync.act.types import Lifecycle, Side, Table, Verb, Write
from tests.factories.activities import (
    ActivityPartyFactory,
    AppointmentFactory,
    ContactFactory,
    LeadFactory,
    PhoneCallFactory,
    RecurringAppointmentMasterFactory,
    TaskFactory,
)
from tests.factories.mailboxes import SystemUserFactory
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
MONDAY = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ADA, BEN, CLEO = (Person(f"{name}@example.com") for name in ("ada", "ben", "cleo"))
ROLES = ParticipationType

PERSON = {
    "given_name": "Ada",
    "middle_name": "",
    "surname": "Example",
    "suffix": "",
    "email1": "ada@example.com",
    "business_phone": "+49 30 1",
    "business_address": Address("Way 1\nHouse B", "Berlin", "", "10115", "Germany"),
    "birthday": date(1980, 12, 10),
    "body": "Met in Kiel.\nLikes tea.",
    "children": "Ben; Cleo",
    "business_home_page": "http://example.com",
}
TO_DO = {
    "subject": "Prepare",
    "body": "",
    "importance": Importance.HIGH,
    "start": date(2026, 3, 2),
    "due": date(2026, 3, 4),
    "completed": None,
    "status": TaskProgress.IN_PROGRESS,
    "percent_complete": 30,
}
MEETING = {
    "subject": "Plan",
    "body": "Bring the list.",
    "location": "Room 4",
    "importance": Importance.NORMAL,
    "sensitivity": Sensitivity.NORMAL,
    "when": When(MONDAY, MONDAY + HOUR, zone="Europe/Berlin"),
    "show_as": ShowAs.OUT_OF_OFFICE,
    "online_meeting_url": "https://meet.example.com/1",
    "organizer": ADA,
    "required": (BEN,),
    "optional": (CLEO,),
}
DAILY = Recurrence(pattern=Pattern.DAILY, start=date(2026, 3, 2), count=6)
WEEKLY = Recurrence(
    pattern=Pattern.WEEKLY,
    start=date(2026, 3, 2),
    interval=2,
    days=frozenset({Weekday.MONDAY, Weekday.FRIDAY}),
    until=date(2026, 6, 1),
)


@pytest.fixture
def user():
    user = SystemUser.objects.create_superuser(
        "ada", "x", first_name="Ada", internal_email_address="ada@example.com"
    )
    user.settings.time_zone = "Europe/Berlin"
    user.settings.save()
    return user


def write(user, *writes):
    with transaction.atomic():
        return store.write(user, writes, NOW)


def created(user, table, fields, occurrences=None, **more):
    asked = Write(verb=Verb.CREATE, fields=fields, occurrences=occurrences or {})
    (stored,) = write(user, StoreWrite(table=table, write=asked, **more))
    assert stored.outcome is StoreOutcome.DONE
    return stored.key


def updated(user, table, key, fields, occurrences=None, lifecycle=None, **more):
    asked = Write(
        verb=Verb.UPDATE, fields=fields, occurrences=occurrences or {}, lifecycle=lifecycle
    )
    (stored,) = write(user, StoreWrite(table=table, key=key, write=asked, **more))
    return stored


def side(table, key) -> Side:
    return store.sides(table, [key])[key]


def told(table, key, names):
    fields = side(table, key).fields
    return {name: fields[name] for name in names}


# -- what is written is read back ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "fields"),
    [
        (Table.CONTACT, PERSON),
        (Table.TASK, TO_DO),
        (Table.PHONE_CALL, TO_DO | {"status": TaskProgress.NOT_STARTED}),
        (Table.APPOINTMENT, MEETING),
        (Table.RECURRING_APPOINTMENT, MEETING | {"recurrence": DAILY}),
        (Table.RECURRING_APPOINTMENT, MEETING | {"recurrence": WEEKLY}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_a_new_record_tells_what_the_server_told(user, table, fields):
    fields = dict(fields)
    if table == Table.PHONE_CALL:
        del fields["percent_complete"]
    key = created(user, table, fields)
    assert told(table, key, fields) == fields


@pytest.mark.parametrize(
    ("table", "before", "changed"),
    [
        (Table.CONTACT, PERSON, {"surname": "Other", "business_address": Address(city="Kiel")}),
        (Table.TASK, TO_DO, {"subject": "Another", "due": None, "start": None}),
        (
            Table.APPOINTMENT,
            MEETING,
            {"required": (CLEO,), "optional": (), "when": When(MONDAY, MONDAY + DAY, zone="UTC")},
        ),
        (Table.RECURRING_APPOINTMENT, MEETING | {"recurrence": DAILY}, {"recurrence": WEEKLY}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_only_what_changed_is_written(user, table, before, changed):
    key = created(user, table, before)
    assert updated(user, table, key, changed).outcome is StoreOutcome.DONE
    assert told(table, key, before) == before | changed


def test_who_made_and_changed_it(user):
    key = created(user, Table.CONTACT, PERSON)
    contact = Contact.objects.get(pk=key)
    assert (contact.owner, contact.created_by) == (user, user)
    other = SystemUser.objects.create_superuser("ben", "x")
    updated(other, Table.CONTACT, key, {"nickname": "Addy"})
    contact.refresh_from_db()
    assert (contact.modified_by, contact.modified_on) == (other, NOW)


def test_addresses_of_contacts_can_be_looked_up_at_once(user):
    key = created(user, Table.CONTACT, PERSON)
    meeting = created(user, Table.APPOINTMENT, MEETING | {"required": (ADA,), "organizer": BEN})
    party = ActivityParty.objects.get(activity=meeting, participation_type_mask=ROLES.ORGANIZER)
    assert party.party_id == ""
    updated(user, Table.CONTACT, key, {"email1": "ben@example.com"})
    again = created(user, Table.APPOINTMENT, MEETING | {"organizer": BEN, "required": ()})
    assert ActivityParty.objects.get(
        activity=again, participation_type_mask=ROLES.ORGANIZER
    ).party_id == str(key)


# -- tasks -----------------------------------------------------------------------------------------


@pytest.mark.rule("R6.39")
def test_what_comes_from_the_server_has_begun(user):
    task = Task.objects.get(pk=created(user, Table.TASK, TO_DO))
    assert task.actual_start == NOW


@pytest.mark.rule("R6.37")
def test_done_there_is_completed_here(user):
    task = TaskFactory()
    done = {"status": TaskProgress.COMPLETED, "percent_complete": 100}
    updated(user, Table.TASK, task.pk, done | {"completed": date(2026, 3, 1)})
    task = Task.objects.select_related("activity").get(pk=task.pk)
    assert task.status == TaskStatus.COMPLETED
    assert task.activity.state_code == ActivityState.COMPLETED
    assert task.percent_complete == 100
    assert side(Table.TASK, task.pk).fields["completed"] == date(2026, 3, 1)


@pytest.mark.rule("R6.37")
def test_a_hundred_percent_are_done(user):
    task = TaskFactory()
    percent = {"status": TaskProgress.IN_PROGRESS, "percent_complete": 100, "completed": None}
    updated(user, Table.TASK, task.pk, percent)
    assert Task.objects.get(pk=task.pk).status == TaskStatus.COMPLETED


def test_what_is_canceled_here_stays_so_when_it_is_done_there(user):
    task = TaskFactory(status_code=TaskStatus.CANCELED, activity__state_code=ActivityState.CANCELED)
    updated(user, Table.TASK, task.pk, {"status": TaskProgress.COMPLETED, "completed": None})
    assert Task.objects.get(pk=task.pk).status == TaskStatus.CANCELED


@pytest.mark.rule("R6.39")
def test_what_is_reopened_has_no_end(user):
    call = PhoneCallFactory(
        status_code=PhoneCallStatus.MADE,
        activity__state_code=ActivityState.COMPLETED,
        actual_end=NOW,
    )
    reopened = {"status": TaskProgress.NOT_STARTED, "completed": None}
    updated(user, Table.PHONE_CALL, call.pk, reopened)
    call = PhoneCall.objects.select_related("activity").get(pk=call.pk)
    assert (call.status, call.actual_end) == (PhoneCallStatus.OPEN, None)
    assert call.activity.state_code == ActivityState.OPEN


def test_on_another_day_a_task_keeps_its_time(user):
    due = datetime(2026, 3, 27, 14, tzinfo=ZoneInfo("Europe/Berlin"))
    task = TaskFactory(activity__owning_user=user, scheduled_end=due)
    updated(user, Table.TASK, task.pk, {"due": date(2026, 3, 30)})  # the clocks changed between
    task.refresh_from_db()
    assert task.scheduled_end == datetime(2026, 3, 30, 14, tzinfo=ZoneInfo("Europe/Berlin"))
    updated(user, Table.TASK, task.pk, {"due": date(2026, 3, 30), "subject": "Same"})
    before = task.scheduled_end
    task.refresh_from_db()
    assert task.scheduled_end == before


@pytest.mark.rule("R6.38")
def test_a_start_alone_is_the_due_date_as_well(user):
    key = created(user, Table.TASK, {"subject": "x", "start": date(2026, 3, 5)})
    assert told(Table.TASK, key, ("start", "due")) == {
        "start": date(2026, 3, 5),
        "due": date(2026, 3, 5),
    }


def test_a_lifecycle_settles(user):
    task = TaskFactory()
    updated(user, Table.TASK, task.pk, {}, lifecycle=Lifecycle.COMPLETED)
    assert Task.objects.get(pk=task.pk).actual_end == NOW


# -- meetings --------------------------------------------------------------------------------------


def parties(key, role):
    found = ActivityParty.objects.filter(activity=key, participation_type_mask=role)
    return [(party.address_used, party.party_id) for party in found]


@pytest.mark.rule("R6.31")
def test_attendees_are_one_record_for_each_address(user):
    contact = ContactFactory(email_address1="ben@example.com")
    LeadFactory(email_address1="ben@example.com")
    key = created(user, Table.APPOINTMENT, MEETING)
    assert parties(key, ROLES.ORGANIZER) == [("ada@example.com", str(user.pk))]
    assert parties(key, ROLES.REQUIRED_ATTENDEE) == [("ben@example.com", str(contact.pk))]
    assert parties(key, ROLES.OPTIONAL_ATTENDEE) == [("cleo@example.com", "")]


def test_who_stays_keeps_the_row_and_who_has_no_address_stays(user):
    key = created(user, Table.APPOINTMENT, MEETING)
    kept = ActivityParty.objects.get(activity=key, address_used="ben@example.com")
    ActivityPartyFactory(
        activity=kept.activity,
        participation_type_mask=ROLES.REQUIRED_ATTENDEE,
        address_used="",
        unresolved_party_name="Somebody",
    )
    updated(user, Table.APPOINTMENT, key, {"required": (BEN, Person("dan@example.com"))})
    people = ActivityParty.objects.filter(
        activity=key, participation_type_mask=ROLES.REQUIRED_ATTENDEE
    )
    assert kept in people
    assert {party.unresolved_party_name for party in people} == {"", "Somebody"}
    assert {party.address_used for party in people} == {"", "ben@example.com", "dan@example.com"}


@pytest.mark.rule("R6.29")
def test_the_organizer_owns_what_an_attendee_tracked_if_he_is_an_active_user(user):
    ben = SystemUserFactory(internal_email_address="ben@example.com")
    fields = MEETING | {"organizer": BEN, "required": (ADA,)}
    key = created(user, Table.APPOINTMENT, fields, organizer_user=ben.pk)
    assert ActivityPointer.objects.get(pk=key).owner == ben
    SystemUser.objects.filter(pk=ben.pk).update(is_disabled=True)
    key = created(user, Table.APPOINTMENT, fields, organizer_user=ben.pk)
    assert ActivityPointer.objects.get(pk=key).owner == user


@pytest.mark.rule("R6.27")
@pytest.mark.parametrize(
    ("before", "shown", "after"),
    [
        (AppointmentStatus.COMPLETED, ShowAs.FREE, AppointmentStatus.COMPLETED),
        (AppointmentStatus.CANCELED, ShowAs.FREE, AppointmentStatus.CANCELED),
        (AppointmentStatus.BUSY, ShowAs.FREE, AppointmentStatus.FREE),
        (AppointmentStatus.BUSY, ShowAs.WORKING_ELSEWHERE, AppointmentStatus.FREE),
    ],
)
def test_free_there(user, before, shown, after):
    meeting = AppointmentFactory(status_code=before, activity__state_code=before.state)
    updated(user, Table.APPOINTMENT, meeting.pk, {"show_as": shown})
    meeting = Appointment.objects.select_related("activity").get(pk=meeting.pk)
    assert meeting.status == after
    assert meeting.activity.state_code == after.state


@pytest.mark.rule("R6.35")
def test_all_day_is_not_shifted(user):
    day = datetime(2026, 3, 29, tzinfo=UTC)  # the clocks change
    fields = MEETING | {"when": When(day, day + DAY, all_day=True)}
    meeting = Appointment.objects.get(pk=created(user, Table.APPOINTMENT, fields))
    assert (meeting.scheduled_start, meeting.scheduled_end) == (day, day + DAY)
    assert (meeting.first_day, meeting.last_day) == (date(2026, 3, 29), date(2026, 3, 29))


@pytest.mark.rule("R6.35")
def test_a_series_keeps_its_wall_time(user):
    fields = MEETING | {"recurrence": DAILY}
    series = RecurringAppointmentMaster.objects.get(
        pk=created(user, Table.RECURRING_APPOINTMENT, fields, uid="040000008200E")
    )
    assert (series.start_time, series.time_zone) == (time(9, 30), "Europe/Berlin")
    assert series.duration == 60
    assert series.global_object_id == "040000008200E"


@pytest.mark.rule("R6.36")
@pytest.mark.parametrize("told_as", [Sensitivity.PRIVATE, Sensitivity.CONFIDENTIAL])
def test_private_is_private(user, told_as):
    key = created(user, Table.APPOINTMENT, MEETING | {"sensitivity": told_as})
    assert Appointment.objects.get(pk=key).is_mapi_private


@pytest.mark.rule("R6.36a")
def test_a_link_to_an_online_meeting_passes_unchanged(user):
    link = "https://meet.example.com/19%3ameeting?context=%7b%22Tid%22%7d#x"
    key = created(
        user, Table.APPOINTMENT, MEETING | {"online_meeting_url": link, "body": f"Join: {link}"}
    )
    fields = side(Table.APPOINTMENT, key).fields
    assert (fields["online_meeting_url"], fields["body"]) == (link, f"Join: {link}")


# -- series ----------------------------------------------------------------------------------------


def occurrence(original, **changes):
    return MEETING | {"when": When(original, original + HOUR, zone="Europe/Berlin")} | changes


def test_what_differs_from_a_series_and_what_is_gone(user):
    second, third = MONDAY + DAY, MONDAY + 2 * DAY
    key = created(
        user,
        Table.RECURRING_APPOINTMENT,
        MEETING | {"recurrence": DAILY},
        {second: occurrence(second, subject="Another"), third: None},
    )
    found = side(Table.RECURRING_APPOINTMENT, key).occurrences
    assert found[third] is None
    assert found[second].items() >= occurrence(second, subject="Another").items()
    row = Appointment.objects.get(series=key)
    assert row.activity.owner == user

    fourth = MONDAY + 3 * DAY
    updated(
        user,
        Table.RECURRING_APPOINTMENT,
        key,
        {},
        {second: None, fourth: {"location": "Elsewhere"}},
    )
    found = side(Table.RECURRING_APPOINTMENT, key).occurrences
    assert found[second] is None
    assert found[fourth].items() >= occurrence(fourth, location="Elsewhere").items()
    assert not ActivityPointer.objects.filter(pk=row.pk).exists()
    assert DeletedRecord.objects.filter(record_id=str(row.pk)).exists()


def test_a_deleted_occurrence_may_come_back(user):
    series = RecurringAppointmentMasterFactory(deleted_exceptions_list=[MONDAY.isoformat()])
    updated(user, Table.RECURRING_APPOINTMENT, series.pk, {}, {MONDAY: {"subject": "Back again"}})
    found = side(Table.RECURRING_APPOINTMENT, series.pk).occurrences
    assert found[MONDAY]["subject"] == "Back again"
    series.refresh_from_db()
    assert series.deleted_exceptions_list == []


def test_an_occurrence_has_the_records_of_its_series(user):
    series = RecurringAppointmentMasterFactory()
    contact = ContactFactory(email_address1="ben@example.com")
    key = created(user, Table.RECURRING_APPOINTMENT, MEETING | {"recurrence": DAILY})
    Contact.objects.filter(pk=contact.pk).update(email_address1="")
    updated(user, Table.RECURRING_APPOINTMENT, key, {}, {MONDAY: {"subject": "x"}})
    row = Appointment.objects.get(series=key)
    assert ("ben@example.com", str(contact.pk)) in parties(row.pk, ROLES.REQUIRED_ATTENDEE)
    assert series.pk != key


def test_a_pattern_that_cannot_be_kept_is_refused(user):
    broken = Recurrence(pattern=Pattern.MONTHLY, start=date(2026, 3, 2))
    asked = Write(verb=Verb.CREATE, fields=MEETING | {"recurrence": broken})
    good = Write(verb=Verb.CREATE, fields=PERSON)
    refused, stored = write(
        user,
        StoreWrite(table=Table.RECURRING_APPOINTMENT, write=asked),
        StoreWrite(table=Table.CONTACT, write=good),
    )
    assert (refused.outcome, refused.code) == (StoreOutcome.REFUSED, "RecordNotStorable")
    assert stored.outcome is StoreOutcome.DONE


# -- what is not written -----------------------------------------------------------------------------


def test_what_somebody_changed_meanwhile_is_left_alone(user):
    contact = ContactFactory(job_title="Buyer")
    seen = side(Table.CONTACT, contact.pk)
    Contact.objects.filter(pk=contact.pk).update(job_title="Seller")
    stored = updated(user, Table.CONTACT, contact.pk, {"nickname": "Addy"}, expected=seen)
    assert stored.outcome is StoreOutcome.STALE
    assert Contact.objects.get(pk=contact.pk).nickname == ""


def test_what_is_not_synchronized_may_change_meanwhile(user):
    contact = ContactFactory()
    seen = side(Table.CONTACT, contact.pk)
    Contact.objects.filter(pk=contact.pk).update(employee_id="7")
    stored = updated(user, Table.CONTACT, contact.pk, {"nickname": "Addy"}, expected=seen)
    assert stored.outcome is StoreOutcome.DONE


def test_what_is_gone(user):
    contact = ContactFactory()
    key = contact.pk
    contact.delete()
    assert updated(user, Table.CONTACT, key, {"nickname": "x"}).outcome is StoreOutcome.GONE


@pytest.mark.rule("R6.7")
def test_whoever_may_not_write_does_not(user):
    nobody = SystemUserFactory()
    contact = ContactFactory(owning_user=nobody)
    made, deleted = write(
        nobody,
        StoreWrite(table=Table.CONTACT, write=Write(verb=Verb.CREATE, fields=PERSON)),
        StoreWrite(table=Table.CONTACT, key=contact.pk, write=Write(verb=Verb.DELETE)),
    )
    assert made.outcome is deleted.outcome is StoreOutcome.REFUSED
    assert {made.code, deleted.code} == {"RecordNotWritable"}
    assert Contact.objects.filter(pk=contact.pk).exists()


def test_what_is_too_long_is_cut_and_said(user):
    asked = Write(verb=Verb.CREATE, fields=PERSON | {"job_title": "x" * 200})
    (stored,) = write(user, StoreWrite(table=Table.CONTACT, write=asked))
    assert len(Contact.objects.get(pk=stored.key).job_title) == 100
    assert "Job title" in stored.notes[0] or "job title" in stored.notes[0].lower()


# -- the bin ---------------------------------------------------------------------------------------


@pytest.mark.rule("R6.47")
@pytest.mark.parametrize(
    ("table", "fields"),
    [
        (Table.CONTACT, PERSON),
        (Table.APPOINTMENT, MEETING),
        (Table.RECURRING_APPOINTMENT, MEETING | {"recurrence": DAILY}),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_what_is_deleted_can_be_put_back(user, table, fields):
    occurrences = {}
    if table == Table.RECURRING_APPOINTMENT:
        occurrences = {MONDAY: occurrence(MONDAY, subject="Another"), MONDAY + DAY: None}
    key = created(user, table, fields, occurrences)
    before = side(table, key)
    asked = StoreWrite(
        table=table, key=key, write=Write(verb=Verb.DELETE), why="deleted on the server"
    )
    (stored,) = write(user, asked)
    assert store.sides(table, [key]) == {}
    assert not ActivityPointer.objects.exists()
    entry = DeletedRecord.objects.get(pk=stored.deleted)
    assert (entry.reason, entry.deleted_by) == ("deleted on the server", user)
    recyclebin.restore(entry)
    assert replace(side(table, key), version="", modified_at=None) == replace(
        before, version="", modified_at=None
    )


# -- cost ------------------------------------------------------------------------------------------


def test_statements_do_not_grow_with_writes(user):
    def asked(number):
        return [
            StoreWrite(
                table=table,
                write=Write(verb=Verb.CREATE, fields=fields | {"subject": str(number)}),
            )
            for table, fields in ((Table.APPOINTMENT, MEETING), (Table.TASK, TO_DO))
        ] + [StoreWrite(table=Table.CONTACT, write=Write(verb=Verb.CREATE, fields=PERSON))]

    write(user, *asked(0))  # content types and permissions are known from here on
    with counting() as one:
        write(user, *asked(1))
    with counting() as five:
        stored = write(user, *[each for number in range(5) for each in asked(number)])
    assert len(five) == len(one) <= 15
    keys = [each.key for each in stored]

    def changed(some):
        tables = [Table.APPOINTMENT, Table.TASK, Table.CONTACT] * 5
        change = {"body": "Other", "required": ()}
        return [
            StoreWrite(table=table, key=key, write=Write(verb=Verb.UPDATE, fields=change))
            for table, key in list(zip(tables, keys, strict=True))[:some]
        ]

    with counting() as few:
        write(user, *changed(3))
    with counting() as all_of_them:
        write(user, *changed(15))
    assert len(all_of_them) == len(few) <= 15
