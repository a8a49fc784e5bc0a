"""The journal of changes: what is noted, in which order it is read, and what keeps it whole."""

from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from django.core import serializers
from django.db import connection, transaction
from django.db.models import F

from activities import changes, recyclebin, triggers
from activities.changes import ACTIVITY, CONTACT
from activities.checks import of_database
from activities.models import (
    ActivityMimeAttachment,
    ActivityParty,
    ActivityPointer,
    Appointment,
    ChangeCounter,
    Contact,
    RecordChange,
    StoredBytes,
    Task,
)
from mailboxes.triggers import places
from tests.factories.activities import (
    ActivityPartyFactory,
    AppointmentFactory,
    ContactFactory,
    EmailFactory,
    FaxFactory,
    LetterFactory,
    PhoneCallFactory,
    RecurringAppointmentMasterFactory,
    ServiceAppointmentFactory,
    TaskFactory,
)

pytestmark = [pytest.mark.integration]

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
KINDS = [
    AppointmentFactory,
    RecurringAppointmentMasterFactory,
    ServiceAppointmentFactory,
    TaskFactory,
    PhoneCallFactory,
    LetterFactory,
    FaxFactory,
]


def noted():
    """What readers get that have read everything before; each call reads on."""
    cursor = changes.last()
    changes.number(NOW)
    return {(each.object_type, each.object_id) for each in changes.after(cursor, 1000)}


def the(record):
    kind = CONTACT if isinstance(record, Contact) else ACTIVITY
    return (kind, str(record.pk))


@pytest.fixture
def contact(db):
    made = ContactFactory()
    changes.number(NOW)
    return made


@pytest.fixture
def task(db):
    made = TaskFactory()
    changes.number(NOW)
    return made


# -- what is noted -------------------------------------------------------------------------------


def test_a_new_record_is_noted(db):
    assert noted() == set()

    made = [ContactFactory(), *(factory() for factory in KINDS)]

    assert noted() == {the(record) for record in made}


def _saved(record):
    record.save()


def _updated_in_bulk(record):
    type(record).objects.filter(pk=record.pk).update(description="Changed")


def _written_by_another_program(record):
    table, column = record._meta.db_table, record._meta.pk.column
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {table} SET description = 'Changed' WHERE {column} = %s",
            [record._meta.pk.get_db_prep_value(record.pk, connection)],
        )


def _loaded(record):
    (loaded,) = serializers.deserialize("json", serializers.serialize("json", [record]))
    loaded.save()


def _deleted(record):
    type(record).objects.filter(pk=record.pk).delete()


WAYS = [_saved, _updated_in_bulk, _written_by_another_program, _loaded, _deleted]


@pytest.mark.parametrize("write", WAYS, ids=lambda write: write.__name__.strip("_"))
def test_every_way_of_writing_is_noted(contact, task, write):
    write(contact)
    write(task)

    assert noted() == {the(contact), the(task)}


def test_each_kind_of_activity_is_noted_by_its_own_row(db):
    made = [factory() for factory in KINDS]
    noted()
    for record in made:
        _updated_in_bulk(record)

    assert noted() == {the(record) for record in made}


def test_an_activity_is_noted_when_its_subject_party_or_attachment_changes(task):
    ActivityPointer.objects.filter(pk=task.pk).update(subject="Changed")
    assert noted() == {the(task)}

    party = ActivityPartyFactory(activity=task.activity)
    assert noted() == {the(task)}
    ActivityParty.objects.filter(pk=party.pk).update(address_used="ada@example.org")
    assert noted() == {the(task)}
    party.delete()
    assert noted() == {the(task)}

    content = StoredBytes.objects.create(sha256="0" * 64, size=1, content=b"x")
    ActivityMimeAttachment.objects.create(activity=task.activity, attachment=content)
    assert noted() == {the(task)}


def test_a_party_that_moves_changes_both_activities(task):
    other = TaskFactory()
    party = ActivityPartyFactory(activity=task.activity)
    noted()

    ActivityParty.objects.filter(pk=party.pk).update(activity=other.pk)

    assert noted() == {the(task), the(other)}


def test_an_exception_is_a_part_of_its_series(db):
    series, other = RecurringAppointmentMasterFactory(), RecurringAppointmentMasterFactory()
    exception = AppointmentFactory(series=series)
    party = ActivityPartyFactory(activity=exception.activity)
    both = {the(exception), the(series)}
    assert noted() == both | {the(other)}

    for write in (
        lambda: Appointment.objects.update(location="Room 1"),
        lambda: ActivityPointer.objects.filter(pk=exception.pk).update(subject="Changed"),
        lambda: ActivityParty.objects.filter(pk=party.pk).update(address_used="eve@example.org"),
        lambda: party.delete(),
    ):
        write()
        assert noted() == both

    Appointment.objects.update(series=other)
    assert noted() == both | {the(other)}
    Appointment.objects.filter(pk=exception.pk).delete()
    assert noted() == {the(exception), the(other)}


def test_mail_leaves_nothing_in_the_journal(db):
    email = EmailFactory(received=True)
    party = ActivityPartyFactory(activity=email.activity)
    ActivityPointer.objects.filter(pk=email.pk).update(subject="Changed")
    party.delete()
    email.activity.delete()

    assert not RecordChange.objects.exists()


def test_what_comes_back_out_of_the_bin_is_noted(task):
    entry = recyclebin.delete(ActivityPointer, [task.pk], now=NOW)[task.pk]
    assert noted() == {the(task)}

    recyclebin.restore(entry)

    assert noted() == {the(task)}


def test_what_is_rolled_back_was_never_noted(contact):
    with transaction.atomic():
        _saved(contact)
        transaction.set_rollback(True)

    assert noted() == set()


@pytest.mark.database("sqlite")
def test_noting_a_row_does_not_look_through_all_notes(db):
    whole = triggers.Sqlite.whole(next(triggers.watched()))
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN QUERY PLAN {whole}")
        plan = [step[-1] for step in cursor.fetchall()]

    (searched,) = (step for step in plan if "activities_recordchange" in step)
    assert "recordchange_record (object_type=? AND object_id=?)" in searched


# -- order, cursors ------------------------------------------------------------------------------


def test_a_transaction_notes_a_record_once_and_the_journal_keeps_its_last_change_only(contact):
    former = changes.last()
    for _ in range(3):
        _saved(contact)
        ContactFactory()
        assert RecordChange.objects.filter(object_id=str(contact.pk), number=None).count() == 1
        changes.number(NOW)

    found = changes.after(former, 1000)

    numbers = [each.number for each in found]
    assert numbers == sorted(numbers)
    assert [each.object_id for each in found].count(str(contact.pk)) == 1
    assert len(found) == 4


def test_a_reader_goes_on_where_its_page_ended(db):
    made = {ContactFactory().pk for _ in range(5)}
    changes.number(NOW)

    first = changes.after(0, 3)
    second = changes.after(first[-1].number, 3)

    assert (len(first), len(second)) == (3, 2)
    assert {each.object_id for each in (*first, *second)} == {str(key) for key in made}
    assert changes.after(second[-1].number, 3) == []


def test_waiting_is_asked_inside_another_query(contact):
    reader = ChangeCounter.objects.create(pk=2, number=changes.last())
    readers = ChangeCounter.objects.filter(pk=2)

    assert not readers.filter(changes.waiting("number"))
    _saved(contact)
    assert readers.filter(changes.waiting(F("number")))  # noted, without a number yet
    changes.number(NOW)
    assert readers.filter(changes.waiting("number"))
    assert readers.filter(changes.waiting(reader.number))
    readers.update(number=changes.last())
    assert not readers.filter(changes.waiting("number"))


def test_numbers_go_on_when_everything_was_forgotten(contact):
    former = changes.last()
    assert changes.forget(former + 1) == 1
    _saved(contact)

    assert changes.number(NOW) == former + 1


@pytest.mark.django_db
def test_asking_costs_two_statements_when_nothing_was_noted(django_assert_num_queries):
    changes.number(NOW)
    with django_assert_num_queries(2 + 2):  # and a savepoint
        changes.number(NOW)


# -- transactions at the same time ---------------------------------------------------------------


@contextmanager
def another():
    """A second connection, in a transaction of its own."""
    other = connection.copy()
    other.connect()
    other.set_autocommit(False)
    try:
        yield other
    finally:
        other.rollback()
        other.close()


def rename(session, contact, name):
    with session.cursor() as cursor:
        cursor.execute(
            "UPDATE activities_contact SET first_name = %s WHERE id = %s", [name, contact.pk]
        )


@pytest.mark.database("postgresql")
@pytest.mark.django_db(transaction=True)
def test_what_commits_late_is_numbered_late():
    early, late = ContactFactory(), ContactFactory()
    noted()
    with another() as other:
        rename(other, late, "Late")
        rename(connection, early, "Early")
        assert noted() == {the(early)}
        cursor = changes.last()
        other.commit()

        changes.number(NOW)
        assert [each.object_id for each in changes.after(cursor, 10)] == [str(late.pk)]


@pytest.mark.database("postgresql")
@pytest.mark.django_db(transaction=True)
def test_a_change_is_not_hidden_by_the_note_of_one_that_was_read_before_it_committed():
    contact = ContactFactory()
    noted()
    rename(connection, contact, "First")  # noted, and committed
    with another() as other:
        rename(other, contact, "Second")  # finds that note, and must leave one of its own
        assert noted() == {the(contact)}  # read before the second commits
        other.commit()

    assert noted() == {the(contact)}


# -- whole again ---------------------------------------------------------------------------------


@pytest.fixture
def without_one(db):
    """A site that lost a trigger."""
    (name,) = (each for each in triggers.wanted() if "_contact_update_" in each)
    drop = f"DROP TRIGGER {name}"
    with connection.cursor() as cursor:
        cursor.execute(drop if connection.vendor == "sqlite" else f"{drop} ON activities_contact")
    return name


def test_a_migrated_site_has_all_triggers(db):
    assert triggers.missing() == set()
    assert of_database("default") == []


def test_a_missing_trigger_is_named_by_the_check(without_one):
    assert triggers.missing() == {without_one}

    (warning,) = of_database("default")

    assert without_one in warning.msg


def test_triggers_come_back_and_everything_counts_as_changed(contact, task, without_one):
    email = EmailFactory(received=True)
    Contact.objects.update(first_name="Unseen")
    assert noted() == set()

    triggers.after_migration("default", plan=[])

    assert triggers.missing() == set()
    assert noted() == {the(contact), the(task)}
    assert the(email) not in noted()
    _saved(contact)
    assert noted() == {the(contact)}


def test_a_trigger_of_a_former_version_gives_way(contact, without_one):
    former = without_one[:-8] + "00000000"
    statements = {
        "sqlite": [
            f"CREATE TRIGGER {former} AFTER UPDATE ON activities_contact BEGIN SELECT 1; END"
        ],
        "postgresql": [
            f"CREATE FUNCTION {former}() RETURNS trigger LANGUAGE plpgsql "
            "AS $$ BEGIN RETURN NULL; END $$",
            f"CREATE TRIGGER {former} AFTER UPDATE ON activities_contact "
            f"FOR EACH STATEMENT EXECUTE FUNCTION {former}()",
        ],
    }
    with connection.cursor() as cursor:
        for statement in statements[connection.vendor]:
            cursor.execute(statement)
    assert triggers.missing() == {without_one}

    assert triggers.install()

    assert triggers.missing() == set()
    assert former not in places(connection)


def test_the_journal_of_a_site_that_reads_none_begins_empty(without_one):
    ContactFactory()
    RecordChange.objects.all().delete()

    triggers.after_migration("default", plan=[])

    assert not RecordChange.objects.exists()


@pytest.mark.database("sqlite")
@pytest.mark.django_db(transaction=True)
def test_tables_that_triggers_name_can_be_altered():
    task = TaskFactory()
    noted()

    triggers.before_migration("default", plan=[(None, False)])
    with connection.schema_editor() as editor:
        editor._remake_table(ActivityPointer)
        editor._remake_table(Task)
    triggers.after_migration("default", plan=[(None, False)])

    assert triggers.missing() == set()
    assert noted() == {the(task)}


@pytest.mark.django_db
def test_an_emptied_site_has_an_empty_journal():
    ContactFactory()

    triggers.after_migration("default")

    assert not RecordChange.objects.exists()


@pytest.mark.django_db
def test_going_back_takes_the_triggers_away():
    triggers.before_migration("default", plan=[(None, True)])

    assert triggers.missing() == triggers.wanted()
