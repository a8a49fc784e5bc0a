"""Whole cycles over a fake server: both ways, for each kind of record; repeated, interrupted, moved, copied."""

from datetime import timedelta

import pytest
from django.contrib.contenttypes.models import ContentType

from activities import scheduling
from activities.choices import ActivityState, ActivityType, ParticipationType, TaskStatus
from activities.models import ActivityPointer, Appointment, Contact, DeletedRecord, Task
from mailboxes.choices import StateCode
from mailboxes.models import Organization
from mailboxes.protocols.items import (
    CALENDAR,
    CONTACTS,
    TASKS,
    ItemKind,
    Person,
    TaskProgress,
)
from serversync import marks
from serversync.act import batches
from serversync.act.choices import ActOutcome, BatchKind, LinkState
from serversync.models import ActState, ParkedBatch, UserQuery
from tests.factories.activities import (
    ActivityPartyFactory,
    AppointmentFactory,
    ContactFactory,
    TaskFactory,
)
from tests.fakeitems import Fate
from tests.integration.serversync.acts import ActAccount, act_account, meeting
from tests.integration.serversync.cycles import organization
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> ActAccount:
    organization(track_categorized_items=True)
    return act_account()


def contact(account: ActAccount, name: str = "Cleo", **columns: object) -> Contact:
    values = {"last_name": name, "email_address1": f"{name.lower()}@customer.example"}
    return ContactFactory(owning_user=account.user, **values | columns)


def appointment(account: ActAccount, *attendees: Contact, **columns: object) -> Appointment:
    when = meeting()
    made = AppointmentFactory(
        activity__owning_user=account.user,
        activity__subject="Plan",
        scheduled_start=when.start,
        scheduled_end=when.end,
        time_zone=when.zone,
        **columns,
    )
    takes_part(made, ParticipationType.ORGANIZER, account.user, account.mailbox.email_address)
    for one in attendees:
        takes_part(made, ParticipationType.REQUIRED_ATTENDEE, one, one.email_address1)
    return made


def takes_part(made: Appointment, role: ParticipationType, party: object, address: str) -> None:
    ActivityPartyFactory(
        activity=made.activity,
        participation_type_mask=role,
        party_type=ContentType.objects.get_for_model(party),
        party_id=str(party.pk),
        address_used=address,
    )


def category(account: ActAccount) -> frozenset[str]:
    return frozenset({marks.category(account.mailbox, Organization.objects.current()).name})


def held(account: ActAccount, folder: str) -> list:
    return account.account.held(folder)


# -- store to server -------------------------------------------------------------------------------


@pytest.mark.rule("R6.2", "R6.13")
def test_what_a_filter_matches_goes_to_the_server(ada):
    wanted = contact(ada, job_title="Buyer")
    ContactFactory(owning_user=act_account("ben").user, last_name="Not mine")

    ada.cycle()

    (item,) = held(ada, CONTACTS)
    assert (item.fields["surname"], item.fields["job_title"]) == ("Cleo", "Buyer")
    assert item.fields["email1"] == "cleo@customer.example"
    link = ada.link_of(wanted)
    assert (link.state, link.exchange_entry_id) == (LinkState.LINKED, item.id)
    assert item.link == str(link.link_key)


def test_second_cycle_does_nothing(ada):
    contact(ada)
    ada.cycle()
    ada.later(minutes=15)

    assert not ada.cycle().by_state
    assert not ada.cycle().by_state


@pytest.mark.rule("R6.4", "R6.52")
def test_changes_go_both_ways_and_are_not_echoed(ada):
    cleo = contact(ada)
    ada.quiet()
    item = held(ada, CONTACTS)[0]

    Contact.objects.filter(pk=cleo.pk).update(job_title="Head of purchasing")
    assert ada.cycle().by_state == {ActOutcome.SERVER_UPDATED: 1}
    ada.account.edit(item.id, department="Purchasing")
    ada.later(minutes=15)
    assert ada.cycle().by_state == {ActOutcome.STORE_UPDATED: 1}

    cleo.refresh_from_db()
    assert (item.fields["job_title"], cleo.department) == ("Head of purchasing", "Purchasing")
    ada.later(minutes=15)
    assert not ada.cycle().by_state


def test_only_the_changed_field_is_written(ada):
    cleo = contact(ada, job_title="Buyer")
    ada.quiet()

    Contact.objects.filter(pk=cleo.pk).update(job_title="Head of purchasing")
    ada.cycle()

    (change,) = ada.servers[-1].written
    assert change.fields == {"job_title": "Head of purchasing"}


@pytest.mark.rule("R6.53")
def test_later_change_of_the_same_field_wins_and_the_other_is_kept(ada):
    cleo = contact(ada, job_title="Buyer", department="A")
    ada.quiet()
    item = held(ada, CONTACTS)[0]

    ada.account.now = ada.now
    ada.account.edit(item.id, job_title="From the server", business_phone="1")
    cleo.refresh_from_db()
    cleo.job_title, cleo.department = "From the store", "B"
    cleo.save()
    Contact.objects.filter(pk=cleo.pk).update(modified_on=ada.now + timedelta(minutes=1))
    ada.later(minutes=15)
    ada.cycle()

    cleo.refresh_from_db()
    assert (cleo.job_title, cleo.department, cleo.telephone1) == ("From the store", "B", "1")
    assert item.fields["job_title"] == "From the store"
    assert item.fields["department"] == "B"
    lost = [lost for revision in ada.revisions for lost in revision.lost]
    assert {(one["name"], one["value"], one["kept"]) for one in lost} == {
        ("job_title", "From the server", "From the store")
    }


@pytest.mark.rule("R6.20", "R6.22")
def test_organizers_mailbox_invites_once(ada):
    cleo = contact(ada)
    plan = appointment(ada, cleo)

    ada.quiet()

    assert [(mail.what, mail.recipients) for mail in ada.account.mails] == [
        ("invitation", ("cleo@customer.example",))
    ]
    plan.refresh_from_db()
    assert plan.global_object_id == held(ada, CALENDAR)[0].uid


# -- server to store -------------------------------------------------------------------------------


@pytest.mark.rule("R6.3")
def test_untracked_items_are_not_read(ada):
    ada.account.add(ItemKind.APPOINTMENT, subject="Doctor", when=meeting())
    ada.account.add(ItemKind.TASK, subject="Bread")
    ada.account.add(ItemKind.CONTACT, surname="Aunt")

    ada.cycle()

    assert not ada.links
    assert not ActivityPointer.objects.exists()
    assert not Contact.objects.exists()


@pytest.mark.rule("R6.5")
def test_category_in_a_calendar_below_the_main_one_counts(ada):
    below = ada.account.add_folder("Projects")
    ada.account.add(
        ItemKind.APPOINTMENT, below, subject="Kick-off", when=meeting(), categories=category(ada)
    )

    ada.quiet()

    assert ActivityPointer.objects.get().subject == "Kick-off"


@pytest.mark.rule("R6.6")
def test_contact_is_not_tracked_by_category(ada):
    ada.account.add(ItemKind.CONTACT, surname="Aunt", categories=category(ada))

    ada.quiet()

    assert not Contact.objects.exists()


def test_tracked_task_becomes_a_record_and_follows(ada):
    item = ada.account.add(ItemKind.TASK, subject="Offer", categories=category(ada))
    ada.quiet()
    ada.account.edit(item, status=TaskProgress.COMPLETED, percent_complete=100)
    ada.quiet()

    task = Task.objects.get()
    assert task.activity.subject == "Offer"
    assert task.activity.state_code == ActivityState.COMPLETED
    assert task.status_code == TaskStatus.COMPLETED


@pytest.mark.rule("R6.49")
def test_category_taken_off_unlinks_and_the_record_stays(ada):
    item = ada.account.add(ItemKind.TASK, subject="Offer", categories=category(ada))
    ada.quiet()
    ada.account.categorize(item)
    ada.quiet()

    assert Task.objects.count() == 1
    assert ada.links[0].state == LinkState.UNLINKED
    ada.account.edit(item, subject="Something else")
    ada.quiet()
    assert Task.objects.get().activity.subject == "Offer"


# -- moved, copied, lost ---------------------------------------------------------------------------


def test_moved_appointment_stays_linked(ada):
    below = ada.account.add_folder("Projects")
    plan = appointment(ada)
    ada.quiet()

    moved = ada.account.move(held(ada, CALENDAR)[0].id, below)
    ada.quiet()

    assert Appointment.objects.filter(pk=plan.pk).exists()
    assert ada.link_of(plan).exchange_entry_id == moved
    ada.account.edit(moved, location="Room 2")
    ada.quiet()
    plan.refresh_from_db()
    assert plan.location == "Room 2"


@pytest.mark.rule("R6.48")
def test_copy_of_a_linked_item_is_ignored(ada):
    item = ada.account.add(
        ItemKind.APPOINTMENT, subject="Plan", when=meeting(), categories=category(ada)
    )
    ada.quiet()
    copy = ada.account.copy(item)
    ada.quiet()
    ada.account.edit(copy, subject="Another")
    ada.quiet()

    assert ActivityPointer.objects.get().subject == "Plan"
    assert len(ada.links) == 1


def test_creation_whose_answer_was_lost_is_found_again(ada):
    cleo = contact(ada)
    ada.prepare = lambda server: server.fate("create", Fate.LOST_AFTER)
    ada.cycle()
    ada.prepare = lambda server: None
    ada.later(minutes=15)
    ada.quiet()

    assert len(held(ada, CONTACTS)) == 1
    assert ada.link_of(cleo).state == LinkState.LINKED


def test_invitation_whose_answer_was_lost_is_not_sent_twice(ada):
    appointment(ada, contact(ada))
    ada.prepare = lambda server: server.fate("create", None, Fate.LOST_AFTER)
    ada.cycle()
    ada.prepare = lambda server: None
    ada.later(minutes=15)
    ada.quiet()

    assert [mail.what for mail in ada.account.mails] == ["invitation"]
    assert len(held(ada, CALENDAR)) == 1


def test_server_that_begins_anew_changes_nothing(ada):
    contact(ada)
    ada.quiet()
    before = len(ada.account.mails), ada.account.tick
    ada.account.forget_cursors()
    ada.cycle()
    ada.account.forget_cursors(silently=True)
    ada.cycle()

    assert (len(ada.account.mails), ada.account.tick) == before
    assert Contact.objects.count() == 1


def test_item_that_left_while_the_server_began_anew_is_noticed(ada):
    item = ada.account.add(ItemKind.TASK, subject="Offer", categories=category(ada))
    ada.quiet()
    ada.account.forget_cursors()
    ada.account.remove(item)
    ada.quiet()

    assert not Task.objects.exists()


@pytest.mark.rule("R6.47")
def test_record_deleted_because_of_the_server_lies_in_the_bin(ada):
    item = ada.account.add(ItemKind.TASK, subject="Offer", categories=category(ada))
    ada.quiet()
    task = Task.objects.get()
    ada.account.remove(item)
    ada.quiet()

    assert DeletedRecord.objects.get().record_id == str(task.pk)


# -- the guard -------------------------------------------------------------------------------------


@pytest.mark.rule("R6.46")
def test_many_deletes_wait_and_survive(ada):
    ids = [
        ada.account.add(ItemKind.TASK, subject=f"Task {number}", categories=category(ada))
        for number in range(8)
    ]
    ada.quiet()
    for identifier in ids:
        ada.account.remove(identifier)
    ada.cycle()

    assert Task.objects.count() == 8
    assert ada.batch.changes.count() == 8
    ada.later(minutes=15)
    assert not ada.cycle().by_state
    batches.approve(ada.batch, actor=ada.user, now=ada.now)
    ada.quiet()
    assert Task.objects.count() == 0


@pytest.mark.rule("R6.46")
def test_dropped_deletes_unlink(ada):
    ids = [
        ada.account.add(ItemKind.TASK, subject=f"Task {number}", categories=category(ada))
        for number in range(8)
    ]
    ada.quiet()
    for identifier in ids:
        ada.account.remove(identifier)
    ada.cycle()
    batches.drop(ada.batch, actor=ada.user, now=ada.now)
    ada.quiet()

    assert Task.objects.count() == 8
    assert {link.state for link in ada.links} == {LinkState.UNLINKED}


@pytest.mark.rule("R6.51", "R10.6")
def test_first_synchronization_is_shown_before_it_writes():
    account = act_account(began=False)
    for number in range(14):
        contact(account, f"Person{number}")

    account.cycle()

    assert not held(account, CONTACTS)
    assert account.batch.kind == BatchKind.FIRST
    assert account.batch.counts["server_create"] == 14
    account.quiet()
    Contact.objects.update(job_title="Buyer")
    account.quiet()
    assert not held(account, CONTACTS)
    batches.approve(account.batch, actor=account.user, now=account.now)
    account.quiet()
    assert len(held(account, CONTACTS)) == 14


def test_small_first_synchronization_needs_nobody():
    account = act_account(began=False)
    contact(account)

    account.quiet()

    assert len(held(account, CONTACTS)) == 1
    assert not ParkedBatch.objects.exists()


# -- what it costs ---------------------------------------------------------------------------------


def calls(account: ActAccount) -> int:
    return sum(account.servers[-1].calls.values())


def test_idle_cycle_costs_one_request_a_folder_and_few_statements(ada):
    contact(ada)
    ada.quiet()
    ada.later(minutes=15)
    with counting() as statements:
        result = ada.cycle()

    assert not result.by_state
    assert dict(ada.servers[-1].calls) == {"open": 1, "changes": 3}
    assert len(statements) <= 6


# -- in and out of the filters -----------------------------------------------------------------------


def task(account: ActAccount, **columns: object) -> Task:
    return TaskFactory(activity__owning_user=account.user, activity__subject="Offer", **columns)


@pytest.mark.rule("R6.13")
def test_what_left_the_filters_and_is_back_is_linked_again(ada):
    cleo = contact(ada)
    ada.quiet()
    UserQuery.objects.filter(owning_user=ada.user).update(state_code=StateCode.INACTIVE)
    noting_look_again(ada)
    ada.quiet()
    assert ada.link_of(cleo).state == LinkState.UNLINKED
    Contact.objects.filter(pk=cleo.pk).update(job_title="Buyer")
    ada.account.edit(held(ada, CONTACTS)[0].id, department="Sales")
    ada.quiet()
    UserQuery.objects.filter(owning_user=ada.user).update(state_code=StateCode.ACTIVE)
    noting_look_again(ada)
    ada.quiet()

    cleo.refresh_from_db()
    (item,) = held(ada, CONTACTS)
    assert ada.link_of(cleo).state == LinkState.LINKED
    assert (item.fields["job_title"], cleo.department) == ("Buyer", "Sales")


def noting_look_again(account: ActAccount) -> None:
    ActState.objects.filter(mailbox=account.mailbox).update(look_again_at=account.now)


@pytest.mark.rule("R6.13")
def test_contact_passes_from_one_user_to_another_and_back(ada):
    ben = act_account("ben")
    cleo = contact(ada)
    ada.quiet()
    for owner in (ben, ada):
        Contact.objects.filter(pk=cleo.pk).update(owning_user=owner.user)
        ada.quiet()
        ben.now = ada.now
        ben.quiet()

    assert len(held(ada, CONTACTS)) == len(held(ben, CONTACTS)) == 1
    assert ada.link_of(cleo).state == LinkState.LINKED
    assert ben.link_of(cleo).state == LinkState.UNLINKED


def test_completion_here_reaches_the_server_although_it_leaves_the_filter(ada):
    made = task(ada)
    ada.quiet()
    scheduling.set_status([made.pk], ActivityType.TASK, TaskStatus.COMPLETED, now=ada.now)
    ada.quiet()

    (item,) = held(ada, TASKS)
    assert item.fields["status"] == TaskProgress.COMPLETED


@pytest.mark.rule("R6.20", "R10.7")
def test_meeting_that_others_tracked_is_not_made_for_its_alleged_organizer_unasked(ada):
    """Whoever writes an invitation names whom he likes as its organizer."""
    ben = act_account("ben")
    ben.account.receive(
        "ada@example.com",
        uid="forged-1",
        subject="Pay at once",
        when=meeting(),
        required=(Person("ben@example.com"), Person("victim@outside.example")),
        categories=category(ben),
    )
    ben.quiet()
    assert Appointment.objects.get().activity.subject == "Pay at once"
    ada.quiet()

    assert not ada.account.mails
    assert not held(ada, CALENDAR)
    (change,) = ada.batch.changes.all()
    assert "victim@outside.example" in change.told


@pytest.mark.rule("R6.51")
def test_record_of_a_meeting_is_linked_when_its_invitation_comes(ada):
    """Ben is invited; his mailbox knew of the record before the server told him."""
    ben = act_account("ben", site=ada.account.site)
    plan = appointment(ada, contact(ada, "Ben", email_address1="ben@example.com"))
    takes_part(plan, ParticipationType.REQUIRED_ATTENDEE, ben.user, "ben@example.com")
    Appointment.objects.filter(pk=plan.pk).update(global_object_id="meeting-1")
    ben.quiet()
    assert not held(ben, CALENDAR)
    ben.account.receive("ada@example.com", uid="meeting-1", subject="Plan", when=meeting())
    ben.quiet()

    assert ben.link_of(plan).state == LinkState.LINKED
    assert not ben.account.mails
