"""Writing appointments, series and tasks: whole, many at once, refused field by field."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError

from activities import recyclebin, scheduling
from activities.choices import (
    ActivityState,
    ActivityType,
    AppointmentStatus,
    AttendeeResponse,
    ParticipationType,
    TaskStatus,
)
from activities.kinds import CONCRETE, PLANNED
from activities.models import (
    ActivityMimeAttachment,
    ActivityParty,
    ActivityPointer,
    Appointment,
    Contact,
    RecurringAppointmentMaster,
    StoredBytes,
    Task,
)
from activities.scheduling import ActivityChange, NewActivity
from activities.store import NewParty
from activities.timeline import timeline_of
from mailboxes import access
from mailboxes.choices import Reach
from mailboxes.recurrence import Pattern, Recurrence
from tests.factories.activities import (
    ContactFactory,
    EmailFactory,
    QueueItemFactory,
    TaskFactory,
)
from tests.factories.mailboxes import (
    QueueFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
)
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

NOW = datetime(2026, 3, 2, 7, 0, tzinfo=UTC)
START = datetime(2026, 3, 3, 8, 30, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
HELD = {"scheduled_start": START, "scheduled_end": START + HOUR, "time_zone": "Europe/Berlin"}
DAILY = {
    "recurrence": Recurrence(pattern=Pattern.DAILY, start=date(2026, 3, 3), count=10),
    "start_time": time(9, 30),
    "duration": 30,
    "time_zone": "Europe/Berlin",
}
REQUIRED, ORGANIZER = ParticipationType.REQUIRED_ATTENDEE, ParticipationType.ORGANIZER


@pytest.fixture
def ada():
    return SystemUserFactory()


def party_of(record, role=ORGANIZER, position=0, **said):
    kind = ContentType.objects.get_for_model(type(record))
    address = getattr(record, "email_address1", "") or getattr(record, "internal_email_address", "")
    return NewParty(
        role=role,
        position=position,
        address=address,
        type_id=kind.pk,
        record_id=str(record.pk),
        **said,
    )


def guest(name, position=0, **said):
    return NewParty(role=REQUIRED, position=position, address=f"{name}@example.org", **said)


def new(owner, kind=ActivityType.APPOINTMENT, fields=HELD, parties=None, **said):
    if parties is None:
        parties = [party_of(owner)]
    said = {"subject": "Review", "owning_user_id": owner.pk} | said
    return NewActivity(kind=kind, fields=fields, parties=parties, **said)


def made(row, **said):
    scheduling.create([row], now=NOW, actor=None, **said).or_raise()
    return CONCRETE[row.kind]._default_manager.select_related("activity").get(pk=row.id)


def changed(record, fields=None, pointer=None, **said):
    kind = ActivityType(record.activity.activity_type_code)
    change = ActivityChange(
        id=record.pk, kind=kind, fields=fields or {}, pointer=pointer or {}, **said
    )
    return scheduling.update([change], now=NOW + HOUR)


def exception_of(series, day=1, **said):
    whole = scheduling.locked([series.pk])[series.pk]
    return scheduling.exception_of(whole, START + day * DAY, **said)


@pytest.fixture
def series(ada):
    parties = [party_of(ada), guest("ben", response=AttendeeResponse.ACCEPTED)]
    return made(new(ada, ActivityType.RECURRING_APPOINTMENT, DAILY, parties))


# -- new ones ------------------------------------------------------------------------------------

MINIMAL = {
    ActivityType.APPOINTMENT: HELD,
    ActivityType.SERVICE_APPOINTMENT: HELD,
    ActivityType.RECURRING_APPOINTMENT: DAILY,
}


@pytest.mark.parametrize("kind", sorted(PLANNED), ids=lambda kind: ActivityType(kind).name)
def test_every_kind_is_written_whole_and_changed_and_deleted(ada, kind):
    record = made(new(ada, ActivityType(kind), MINIMAL.get(kind, {})))

    assert record.activity.subject == "Review"
    assert record.activity.state_code == record.status.state
    assert [party.party_id for party in record.activity.parties.all()] == [str(ada.pk)]

    changed(record, {"category": "Important"}, {"subject": "Later"}).or_raise()
    record.refresh_from_db()
    assert (record.category, record.subject) == ("Important", "Later")
    assert record.activity.modified_on == NOW + HOUR

    scheduling.delete([record.pk], now=NOW)
    assert not ActivityPointer.objects.filter(pk=record.pk).exists()
    assert not CONCRETE[kind]._default_manager.filter(pk=record.pk).exists()


def test_the_state_and_the_date_follow_from_the_rest(ada):
    appointment = made(new(ada, fields={**HELD, "status_code": AppointmentStatus.TENTATIVE}))
    busy = made(new(ada))
    task = made(new(ada, ActivityType.TASK, {"scheduled_end": START}))
    undated = made(new(ada, ActivityType.TASK, {}))
    repeated = made(new(ada, ActivityType.RECURRING_APPOINTMENT, DAILY))

    assert appointment.activity.state_code == ActivityState.OPEN
    assert busy.activity.state_code == ActivityState.SCHEDULED
    assert [each.activity.sort_date for each in (busy, task, undated, repeated)] == [
        START,
        START,
        NOW,
        START,
    ]


def test_many_are_written_in_as_many_statements_as_one(ada):
    def rows(number):
        return [
            *(new(ada) for _ in range(number)),
            *(new(ada, ActivityType.TASK, {}) for _ in range(number)),
        ]

    made(new(ada))  # content types are known from here on
    with counting() as one:
        scheduling.create(rows(1), now=NOW)
    with counting() as many:
        scheduling.create(rows(20), now=NOW)

    assert len(one) == len(many) == 4  # pointers, appointments, tasks, parties


def test_one_that_is_refused_does_not_hinder_the_others(ada):
    good, bad = new(ada), new(ada, fields={**HELD, "scheduled_end": START - HOUR})

    found = scheduling.create([bad, good], now=NOW)

    assert found.written == {good.id}
    assert list(found.refused) == [bad.id]
    assert set(Appointment.objects.values_list("pk", flat=True)) == {good.id}
    with pytest.raises(ValidationError):
        found.or_raise()


MIDNIGHT = datetime(2026, 3, 3, tzinfo=UTC)
WRONG = [
    ({"scheduled_end": START - HOUR}, "scheduled_end"),
    (
        {"is_all_day_event": True, "scheduled_end": datetime(2026, 3, 4, tzinfo=UTC)},
        "scheduled_start",
    ),
    (
        {"is_all_day_event": True, "scheduled_start": MIDNIGHT, "scheduled_end": MIDNIGHT},
        "scheduled_end",
    ),
    ({"time_zone": "Middle/Earth"}, "time_zone"),
    ({"location": "x" * 201}, "location"),
    ({"status_code": 99}, "status_code"),
    ({"scheduled_start": None}, "scheduled_start"),
]
WRONG_SERIES = [
    ({"interval": 0}, "interval"),
    ({"instance": 9}, "instance"),
    ({"duration": 25 * 60}, "duration"),
    ({"is_all_day_event": True}, "start_time"),
    ({"start_time": None}, "start_time"),
    ({"pattern_end_type": 2, "occurrences": None}, "occurrences"),
    ({"pattern_end_type": 3, "pattern_end_date": None}, "pattern_end_date"),
    ({"pattern_end_type": 3, "pattern_end_date": date(2026, 3, 1)}, "pattern_end_date"),
]
WRONG_TASK = [
    ({"percent_complete": 101}, "percent_complete"),
    ({"scheduled_start": START, "scheduled_end": START - DAY}, "scheduled_end"),
]


@pytest.mark.parametrize(
    ("kind", "fields", "column"),
    [
        *((ActivityType.APPOINTMENT, HELD | said, column) for said, column in WRONG),
        *((ActivityType.RECURRING_APPOINTMENT, DAILY | said, col) for said, col in WRONG_SERIES),
        *((ActivityType.TASK, said, column) for said, column in WRONG_TASK),
    ],
)
def test_what_is_wrong_is_told_of_its_field(ada, kind, fields, column):
    row = new(ada, kind, fields)

    found = scheduling.create([row], now=NOW)

    assert set(found.refused[row.id].message_dict) == {column}
    assert not ActivityPointer.objects.exists()


def test_a_meeting_of_people_has_exactly_one_user_as_organizer(ada):
    contact = ContactFactory()
    refused = [
        new(ada, parties=[]),
        new(ada, parties=[party_of(ada), party_of(SystemUserFactory(), position=1)]),
        new(ada, parties=[party_of(contact)]),
        new(ada, ActivityType.RECURRING_APPOINTMENT, DAILY, parties=[]),
    ]

    found = scheduling.create(refused, now=NOW)

    assert [list(found.refused[row.id].message_dict) for row in refused] == [["organizer"]] * 4


def test_a_server_may_tell_of_an_organizer_outside(ada):
    outside = NewParty(role=ORGANIZER, position=0, address="eve@example.net")
    meeting = made(new(ada, parties=[outside], by_server=True))

    changed(meeting, {"location": "Room 2"}).or_raise()  # a person, who leaves the organizer alone

    assert Appointment.objects.get(pk=meeting.pk).location == "Room 2"


def test_a_record_has_one_owner(ada):
    row = new(ada, ActivityType.TASK, {}, owning_user_id=None)

    assert "owning_user" in scheduling.create([row], now=NOW).refused[row.id].message_dict


# -- changes -------------------------------------------------------------------------------------


def test_only_what_changes_is_written(ada):
    meeting = made(new(ada))
    with counting() as counted:
        found = changed(meeting, {"location": "Room 1"})
    assert found.changed == {meeting.pk}
    (concrete, pointer) = counted.of("UPDATE")
    assert '"location"' in concrete and "scheduled_start" not in concrete.split("WHERE")[0]
    assert '"modified_on"' in pointer and '"subject"' not in pointer

    with counting() as counted:
        found = changed(
            meeting, {"location": "Room 1"}, {"subject": "Review"}, parties=[party_of(ada)]
        )
    assert (found.written, found.changed) == ({meeting.pk}, set())
    assert counted.of("UPDATE") == counted.of("INSERT") == counted.of("DELETE") == []


def test_many_are_changed_in_as_many_statements_as_one(ada):
    tasks = [made(new(ada, ActivityType.TASK, {})) for _ in range(12)]

    def changes(some, word):
        return [
            ActivityChange(
                id=task.pk,
                kind=ActivityType.TASK,
                fields={"category": word} if number % 2 else {"percent_complete": 50},
                pointer={"subject": word},
                parties=[party_of(ada), guest(word)],
            )
            for number, task in enumerate(some)
        ]

    with counting() as one:
        scheduling.update(changes(tasks[:2], "one"), now=NOW)
    with counting() as many:
        scheduling.update(changes(tasks[2:], "many"), now=NOW)

    assert len(one) == len(many) == 5  # rows, parties; tasks, pointers, new parties
    assert set(Task.objects.values_list("category", "percent_complete")) == {
        ("one", None),
        ("many", None),
        ("", 50),
    }


def test_parties_that_stay_keep_their_rows(ada):
    meeting = made(new(ada, parties=[party_of(ada), guest("ben"), guest("eve", 1)]))
    rows = {party.address_used: party.pk for party in meeting.activity.parties.all()}

    changed(
        meeting,
        parties=[
            guest("eve", 0, response=AttendeeResponse.ACCEPTED, responded_on=NOW),
            guest("zoe", 1),
        ],
        roles=frozenset({REQUIRED}),
    ).or_raise()

    now = {party.address_used: party for party in meeting.activity.parties.all()}
    assert set(now) == {ada.internal_email_address, "eve@example.org", "zoe@example.org"}
    eve = now["eve@example.org"]
    assert (eve.pk, eve.position) == (rows["eve@example.org"], 0)
    assert (eve.response, eve.responded_on) == (AttendeeResponse.ACCEPTED, NOW)


def test_what_is_refused_stays_as_it_was(ada):
    meeting, task = made(new(ada)), made(new(ada, ActivityType.TASK, {}))
    wrong = ActivityChange(
        id=meeting.pk,
        kind=ActivityType.APPOINTMENT,
        fields={"scheduled_end": START - HOUR, "location": "Room 1"},
        pointer={"subject": "Changed"},
        parties=[],
    )
    right = ActivityChange(id=task.pk, kind=ActivityType.TASK, fields={"category": "x"})

    found = scheduling.update([wrong, right], now=NOW)

    assert (set(found.refused), found.changed) == ({meeting.pk}, {task.pk})
    meeting.refresh_from_db()
    assert (meeting.location, meeting.subject) == ("", "Review")
    assert meeting.activity.parties.count() == 1


def test_what_was_deleted_meanwhile_is_gone(ada):
    task = made(new(ada, ActivityType.TASK, {}))
    scheduling.delete([task.pk], now=NOW)

    found = changed(task, {"category": "x"})

    assert found.gone == {task.pk}
    with pytest.raises(ValidationError):
        found.or_raise()


def test_a_column_that_is_none_is_a_mistake_of_the_code(ada):
    with pytest.raises(TypeError, match="colour"):
        scheduling.create([new(ada, ActivityType.TASK, {"colour": "red"})], now=NOW)


def test_what_is_completed_ended_and_what_is_reopened_did_not(ada):
    task = made(new(ada, ActivityType.TASK, {}))
    kind = ActivityType.TASK

    scheduling.set_status([task.pk], kind, TaskStatus.COMPLETED, now=NOW).or_raise()
    task.refresh_from_db()
    assert (task.actual_end, task.activity.state_code) == (NOW, ActivityState.COMPLETED)

    scheduling.set_status([task.pk], kind, TaskStatus.IN_PROGRESS, now=NOW).or_raise()
    task.refresh_from_db()
    assert (task.actual_end, task.activity.state_code) == (None, ActivityState.OPEN)


def test_a_version_changes_with_every_write_and_with_nothing_else(ada):
    meeting = made(new(ada, parties=[party_of(ada), guest("ben")]))

    def version():
        return scheduling.version_of(scheduling.locked([meeting.pk])[meeting.pk])

    versions = [version()]
    ActivityPointer.objects.filter(pk=meeting.pk).update(modified_on=NOW + DAY)
    assert version() == versions[0]
    ActivityPointer.objects.filter(pk=meeting.pk).update(subject="Other")
    versions.append(version())
    Appointment.objects.filter(pk=meeting.pk).update(location="Room 1")
    versions.append(version())
    ActivityParty.objects.filter(activity=meeting.pk, participation_type_mask=REQUIRED).delete()
    versions.append(version())

    assert len(set(versions)) == 4


def test_emails_are_nothing_to_lock_here(ada):
    email, task = EmailFactory(), TaskFactory()

    assert set(scheduling.locked([email.pk, task.pk])) == {task.pk}


# -- series --------------------------------------------------------------------------------------


def test_an_exception_is_like_its_series_but_for_what_is_said(series):
    changed(series, {"location": "Room 1", "is_mapi_private": True}).or_raise()

    moved = made(
        exception_of(
            series,
            fields={"scheduled_start": START + DAY + HOUR, "scheduled_end": START + DAY + 2 * HOUR},
        )
    )

    assert (moved.location, moved.is_mapi_private, moved.subject) == ("Room 1", True, "Review")
    assert (moved.series_id, moved.original_start_date) == (series.pk, START + DAY)
    invited = moved.activity.parties.get(participation_type_mask=REQUIRED)
    assert (invited.address_used, invited.response) == ("ben@example.org", AttendeeResponse.NONE)
    assert list(series.ordinary(START, START + 3 * DAY)) == [START, START + 2 * DAY]


def test_only_an_occurrence_can_be_replaced_and_only_once(series):
    nowhere = exception_of(series, day=10)  # after its end
    first, second = exception_of(series), exception_of(series)

    found = scheduling.create([nowhere, first, second], now=NOW)

    assert found.written == {first.id}
    assert {tuple(error.message_dict) for error in found.refused.values()} == {
        ("original_start_date",)
    }


def test_a_deleted_occurrence_takes_its_exception_along_and_can_come_back(series):
    moved = made(exception_of(series))

    scheduling.delete_occurrences({series.pk: [START, START + DAY]}, now=NOW)
    series.refresh_from_db()
    assert series.deleted_starts == {START, START + DAY}
    assert series.deleted_exceptions_list == [
        "2026-03-03T08:30:00+00:00",
        "2026-03-04T08:30:00+00:00",
    ]
    assert not ActivityPointer.objects.filter(pk=moved.pk).exists()
    assert list(series.ordinary(START, START + 3 * DAY)) == [START + 2 * DAY]

    scheduling.restore_occurrences({series.pk: [START + DAY]}, now=NOW)
    series = RecurringAppointmentMaster.objects.get(pk=series.pk)
    assert list(series.ordinary(START, START + 2 * DAY)) == [START + DAY]


def test_a_moment_without_occurrence_cannot_be_deleted(series):
    with pytest.raises(ValidationError):
        scheduling.delete_occurrences({series.pk: [START + HOUR]}, now=NOW)


def test_deleting_an_exception_deletes_its_occurrence(series):
    moved = made(exception_of(series))

    scheduling.delete([moved.pk], now=NOW)

    series.refresh_from_db()
    assert series.deleted_starts == {START + DAY}


@pytest.mark.parametrize("keep", [False, True])
def test_exceptions_of_a_pattern_that_changes_go_unless_those_that_fit_are_kept(series, keep):
    fits, fits_not = made(exception_of(series, 2)), made(exception_of(series, 1))
    scheduling.delete_occurrences({series.pk: [START, START + 3 * DAY, START + 4 * DAY]}, now=NOW)
    every_second = Recurrence(pattern=Pattern.DAILY, start=date(2026, 3, 3), interval=2)

    changed(series, {"recurrence": every_second}, keep_fitting=keep).or_raise()

    series.refresh_from_db()
    assert set(Appointment.objects.values_list("pk", flat=True)) == ({fits.pk} if keep else set())
    assert series.deleted_starts == ({START, START + 4 * DAY} if keep else set())
    assert not ActivityPointer.objects.filter(pk=fits_not.pk).exists()


def test_other_changes_of_a_series_leave_its_exceptions_alone(series):
    made(exception_of(series))
    scheduling.delete_occurrences({series.pk: [START]}, now=NOW)

    changed(series, {"duration": 45, "location": "Room 1"}).or_raise()

    series.refresh_from_db()
    assert (series.exceptions.count(), len(series.deleted_starts)) == (1, 1)


# -- the bin -------------------------------------------------------------------------------------


def everything():
    """Every column of every row that activities are made of."""
    models = (ActivityPointer, *(CONCRETE[kind] for kind in sorted(PLANNED)))
    models += (ActivityParty, ActivityMimeAttachment)
    return [row for model in models for row in model.objects.order_by("pk").values()]


@pytest.mark.parametrize("together", [False, True])
def test_a_series_comes_back_out_of_the_bin_with_all_that_went_with_it(series, ada, together):
    moved = made(exception_of(series))
    content = StoredBytes.objects.create(sha256="0" * 64, size=1, content=b"x")
    for record in (series, moved):
        ActivityMimeAttachment.objects.create(activity=record.activity, attachment=content)
    scheduling.delete_occurrences({series.pk: [START]}, now=NOW)
    before = everything()

    keys = [series.pk, moved.pk] if together else [series.pk]
    (entry,) = scheduling.delete(keys, now=NOW, actor=ada, reason="gone there").values()
    assert everything() == []

    recyclebin.restore(entry)
    assert everything() == before


# -- who sees it ---------------------------------------------------------------------------------


def test_a_timeline_shows_every_kind(ada):
    contact = ContactFactory()
    kind = ContentType.objects.get_for_model(Contact)
    about = {"regarding_type_id": kind.pk, "regarding_id": str(contact.pk)}
    rows = [
        new(ada, ActivityType(each), MINIMAL.get(each, {}), **about) for each in sorted(PLANNED)
    ]
    scheduling.create(rows, now=NOW)

    with counting() as counted:
        found = timeline_of(contact, SuperuserFactory())

    assert {entry.activity.pk for entry in found.entries} == {row.id for row in rows}
    assert all(entry.detail.pk == entry.activity.pk for entry in found.entries)
    assert len(counted) < 20


def may_view(user, *models):
    """His own rows of these."""
    kinds = ContentType.objects.get_for_models(*models).values()
    group = group_of(user, reach=Reach.OWN)
    group.permissions.set(
        Permission.objects.filter(content_type__in=kinds, codename__startswith="view_")
    )


def seen(user, *models):
    return {row.pk for model in models for row in access.visible_to(user, model.objects.all())}


def test_owners_see_theirs_and_whoever_takes_part_sees_the_meeting(ada):
    guest_of, stranger = SystemUserFactory(), SystemUserFactory()
    for user in (ada, guest_of, stranger):
        may_view(user, ActivityPointer, *(CONCRETE[kind] for kind in PLANNED))
    both = [party_of(ada), party_of(guest_of, REQUIRED)]
    rows = {
        kind: new(ada, kind, MINIMAL.get(kind, {}), both) for kind in map(ActivityType, PLANNED)
    }
    scheduling.create(list(rows.values()), now=NOW)
    tables = [CONCRETE[kind] for kind in rows]
    everything = {row.id for row in rows.values()}
    meetings = {rows[kind].id for kind in MINIMAL}

    assert seen(ada, *tables) == seen(ada, ActivityPointer) == everything
    assert seen(guest_of, *tables) == seen(guest_of, ActivityPointer) == meetings
    assert seen(stranger, *tables) == seen(stranger, ActivityPointer) == set()


def test_members_of_a_queue_see_what_waits_in_it(ada):
    member, task = SystemUserFactory(), made(new(ada, ActivityType.TASK, {}))
    may_view(member, Task)
    queue = QueueFactory()
    queue.members.add(member)
    assert seen(member, Task) == set()

    QueueItemFactory(queue=queue, object=task.activity)

    assert seen(member, Task) == {task.pk}
