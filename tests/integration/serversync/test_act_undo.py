"""Undo: whatever the synchronization wrote is put back on both sides, and nobody is mailed unasked."""

from datetime import timedelta

import pytest
from django.core.exceptions import PermissionDenied

from activities import recyclebin
from activities.choices import ActivityState
from activities.models import (
    Appointment,
    Contact,
    DeletedRecord,
    RecurringAppointmentMaster,
    Task,
)
from mailboxes.choices import Reach
from mailboxes.protocols.items import CALENDAR, CONTACTS, ItemKind, TaskProgress, When
from mailboxes.recurrence import Pattern, Recurrence
from serversync.act import batches, byhand, undo
from serversync.act.byhand import Refused
from serversync.act.choices import BatchKind, LinkState, RevisionSide
from serversync.models import ExchangeSyncIdMapping, ParkedBatch, SyncRevision
from tests.factories.mailboxes import SystemUserFactory, group_of
from tests.fakeitems import StoredItem
from tests.integration.serversync.acts import ActAccount, act_account, meeting
from tests.integration.serversync.cycles import organization
from tests.integration.serversync.test_act_cycle import appointment, category, contact, held

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> ActAccount:
    organization(track_categorized_items=True)
    return act_account()


def newest(account: ActAccount, side: str, verb: str) -> SyncRevision:
    return SyncRevision.objects.filter(side=side, verb=verb).order_by("-made_on", "-pk")[0]


def undone(account: ActAccount, side: str, verb: str) -> undo.Undone:
    account.later(minutes=1)
    return undo.undo(newest(account, side, verb), actor=account.user, now=account.now)


def item_of(account: ActAccount):
    (item,) = held(account, CONTACTS)
    return item


# -- changed


def test_a_change_that_came_from_the_server_is_put_back_on_both_sides(ada):
    cleo = contact(ada, job_title="Buyer")
    ada.quiet()
    ada.account.edit(item_of(ada).id, job_title="Head of purchasing")
    ada.quiet()
    undone(ada, RevisionSide.STORE, "update")
    cleo.refresh_from_db()
    assert cleo.job_title == "Buyer"
    ada.quiet()
    assert item_of(ada).fields["job_title"] == "Buyer"
    assert not ada.cycle().by_state


def test_a_change_that_went_to_the_server_is_put_back_on_both_sides(ada):
    cleo = contact(ada, job_title="Buyer", department="A")
    ada.quiet()
    Contact.objects.filter(pk=cleo.pk).update(job_title="Wrong", department="B")
    ada.quiet()
    revision = newest(ada, RevisionSide.SERVER, "update")
    undo.undo(revision, actor=ada.user, now=ada.now)
    ada.quiet()
    cleo.refresh_from_db()
    assert (cleo.job_title, item_of(ada).fields["department"]) == ("Buyer", "A")
    revision.refresh_from_db()
    assert revision.undone_by == ada.user
    assert newest(ada, RevisionSide.STORE, "update").reasons[0]["code"] == "undone_by_hand"


def test_what_somebody_changed_since_stays(ada):
    cleo = contact(ada, job_title="Buyer", department="A")
    ada.quiet()
    ada.account.edit(item_of(ada).id, job_title="Wrong", department="Wrong")
    ada.quiet()
    Contact.objects.filter(pk=cleo.pk).update(department="Right")
    done = undone(ada, RevisionSide.STORE, "update")
    cleo.refresh_from_db()
    assert done.kept == ("department",)
    assert (cleo.job_title, cleo.department) == ("Buyer", "Right")


@pytest.fixture
def series(ada: ActAccount) -> StoredItem:
    """Made by Ada over there, on seven days."""
    when = meeting()
    pattern = Recurrence(pattern=Pattern.DAILY, start=when.start.date(), count=7)
    made = ada.account.add(
        ItemKind.SERIES, subject="Plan", when=when, recurrence=pattern, categories=category(ada)
    )
    ada.quiet()
    return ada.account.items[made]


@pytest.mark.rule("R6.47")
def test_a_new_exception_is_like_its_series_again_on_both_sides(ada, series):
    third = series.fields["when"].start + timedelta(days=2)
    moved = When(third + timedelta(hours=2), third + timedelta(hours=3), zone="Europe/Berlin")
    ada.account.edit_occurrence(series.id, third, subject="Longer", when=moved)
    ada.quiet()
    one = RecurringAppointmentMaster.objects.get().exceptions.get()
    assert (one.activity.subject, one.scheduled_start) == ("Longer", moved.start)
    assert undone(ada, RevisionSide.STORE, "update").kept == ()
    ada.quiet()

    there = ada.account.occurrence(series, third)
    assert (there["subject"], there["when"].start) == ("Plan", third)
    here = RecurringAppointmentMaster.objects.get().exceptions.get()
    assert (here.activity.subject, here.scheduled_start) == ("Plan", third)
    assert not ada.cycle().by_state


def test_of_an_exception_that_somebody_changed_since_his_words_stay(ada, series):
    third = series.fields["when"].start + timedelta(days=2)
    ada.account.edit_occurrence(series.id, third, subject="Longer", location="Room 2")
    ada.quiet()
    one = RecurringAppointmentMaster.objects.get().exceptions.get()
    Appointment.objects.filter(pk=one.pk).update(location="Room 3")
    done = undone(ada, RevisionSide.STORE, "update")
    ada.quiet()

    assert done.kept == (third.isoformat(),)
    there = ada.account.occurrence(series, third)
    assert (there["subject"], there["location"]) == ("Plan", "Room 3")


def test_a_deleted_occurrence_says_why_it_stays_so(ada, series):
    ada.account.delete_occurrence(series.id, series.fields["when"].start + timedelta(days=2))
    ada.quiet()
    revision = newest(ada, RevisionSide.STORE, "update")

    assert "Make an appointment at its time" in undo.why_not(revision, ada.now)
    with pytest.raises(Refused, match="can't be brought back"):
        undone(ada, RevisionSide.STORE, "update")


def test_nothing_is_left_to_undo_where_all_of_it_was_changed_since(ada):
    cleo = contact(ada, job_title="Buyer")
    ada.quiet()
    ada.account.edit(item_of(ada).id, job_title="Wrong")
    ada.quiet()
    Contact.objects.filter(pk=cleo.pk).update(job_title="Right")
    with pytest.raises(Refused, match="since"):
        undone(ada, RevisionSide.STORE, "update")


@pytest.mark.rule("R6.46")
def test_an_undo_that_would_mail_attendees_waits_for_approval(ada):
    plan = appointment(ada, contact(ada), location="Room 4")
    ada.quiet()
    Appointment.objects.filter(pk=plan.pk).update(location="Room 5")
    ada.quiet()
    mails = len(ada.account.mails)
    undo.undo(newest(ada, RevisionSide.SERVER, "update"), actor=ada.user, now=ada.now)
    ada.quiet()
    (item,) = held(ada, CALENDAR)
    assert (item.fields["location"], len(ada.account.mails)) == ("Room 5", mails)
    waiting = ParkedBatch.objects.get(state="waiting")
    assert waiting.kind == BatchKind.UNDO
    assert waiting.changes.get().told == ["cleo@customer.example"]
    batches.approve(waiting, actor=ada.user, now=ada.now)
    ada.quiet()
    assert (item.fields["location"], len(ada.account.mails)) == ("Room 4", mails + 1)
    assert ExchangeSyncIdMapping.objects.get(object_id=plan.pk).undoing is None


def test_a_task_that_was_completed_there_is_open_again_on_both_sides(ada):
    item = ada.account.add(ItemKind.TASK, subject="Offer", categories=category(ada))
    ada.quiet()
    ada.account.edit(item, status=TaskProgress.COMPLETED, percent_complete=100)
    ada.quiet()
    assert Task.objects.get().activity.state_code == ActivityState.COMPLETED
    undone(ada, RevisionSide.STORE, "update")
    assert Task.objects.get().activity.state_code == ActivityState.OPEN
    ada.quiet()
    assert ada.account.items[item].fields["status"] != TaskProgress.COMPLETED
    assert Task.objects.get().activity.state_code == ActivityState.OPEN


# -- deleted


@pytest.mark.rule("R6.47")
def test_what_the_server_deleted_comes_back_from_the_bin_with_a_new_item(ada):
    cleo = contact(ada, job_title="Buyer")
    ada.quiet()
    ada.account.remove(item_of(ada).id)
    ada.quiet()
    assert not Contact.objects.exists() and DeletedRecord.objects.count() == 1
    undone(ada, RevisionSide.STORE, "delete")
    assert Contact.objects.get().pk == cleo.pk and not DeletedRecord.objects.exists()
    ada.quiet()
    assert item_of(ada).fields["job_title"] == "Buyer"
    assert ada.link_of(cleo).state == LinkState.LINKED
    assert not ada.cycle().by_state


@pytest.mark.rule("R6.47", "R6.46")
def test_a_meeting_comes_back_without_inviting_anybody_unasked(ada):
    plan = appointment(ada, contact(ada))
    ada.quiet()
    (item,) = held(ada, CALENDAR)
    ada.account.remove(item.id)
    ada.quiet()
    ada.account.mails.clear()
    assert not Appointment.objects.exists()
    undone(ada, RevisionSide.STORE, "delete")
    assert Appointment.objects.get().pk == plan.pk
    ada.quiet()
    assert ada.account.mails == [] and held(ada, CALENDAR) == []
    batches.approve(ada.batch, actor=ada.user, now=ada.now)
    ada.quiet()
    assert [mail.what for mail in ada.account.mails] == ["invitation"]


@pytest.mark.rule("R6.47")
def test_the_bin_is_empty_after_30_days(ada):
    contact(ada)
    ada.quiet()
    ada.account.remove(item_of(ada).id)
    ada.quiet()
    revision = newest(ada, RevisionSide.STORE, "delete")
    ada.later(days=31)
    recyclebin.empty(ada.now)
    with pytest.raises(Refused, match="30 days"):
        undo.undo(revision, actor=ada.user, now=ada.now)
    assert not DeletedRecord.objects.exists()


# -- made, linked


def test_what_was_made_on_the_server_goes_again_and_the_record_stays(ada):
    cleo = contact(ada)
    ada.quiet()
    undone(ada, RevisionSide.SERVER, "create")
    ada.quiet()
    assert held(ada, CONTACTS) == [] and Contact.objects.get() == cleo
    assert ada.link_of(cleo).state == LinkState.UNLINKED
    assert not ada.cycle().by_state


def test_an_invitation_is_taken_back_after_somebody_approved(ada):
    appointment(ada, contact(ada))
    ada.quiet()
    revision = SyncRevision.objects.get(side="server", verb="create", object_type_code=4201)
    undo.undo(revision, actor=ada.user, now=ada.now)
    ada.quiet()
    assert len(held(ada, CALENDAR)) == 1 and len(ada.account.mails) == 1
    batches.approve(ada.batch, actor=ada.user, now=ada.now)
    ada.quiet()
    assert [mail.what for mail in ada.account.mails] == ["invitation", "cancellation"]
    assert held(ada, CALENDAR) == []


def test_unlinking_is_undone_by_linking_again(ada):
    cleo = contact(ada)
    ada.quiet()
    rows = ExchangeSyncIdMapping.objects.filter(object_id=cleo.pk)
    byhand.unlink(rows, actor=ada.user, now=ada.now)
    Contact.objects.filter(pk=cleo.pk).update(job_title="Buyer")
    ada.quiet()
    assert item_of(ada).fields["job_title"] == ""
    undone(ada, RevisionSide.LINK, "unlink")
    ada.quiet()
    assert item_of(ada).fields["job_title"] == "Buyer"


# -- who may, and how often


def test_it_is_undone_once_and_by_whose_mailbox_it_is(ada):
    cleo = contact(ada, job_title="Buyer")
    ada.quiet()
    ada.account.edit(item_of(ada).id, job_title="Wrong")
    ada.quiet()
    revision = newest(ada, RevisionSide.STORE, "update")
    stranger = SystemUserFactory()
    group_of(stranger, "view_mailbox", "view_syncrevision", "view_contact", reach=Reach.ALL)
    with pytest.raises(PermissionDenied):
        undo.undo(revision, actor=stranger, now=ada.now)
    group_of(stranger, "change_syncrevision", reach=Reach.ALL)
    with pytest.raises(PermissionDenied, match="change_contact"):
        undo.undo(revision, actor=stranger, now=ada.now)
    cleo.refresh_from_db()
    assert cleo.job_title == "Wrong"
    undo.undo(revision, actor=ada.user, now=ada.now)
    with pytest.raises(Refused, match="already"):
        undo.undo(revision, actor=ada.user, now=ada.now + timedelta(minutes=1))


def test_the_newest_of_a_record_is_found(ada):
    cleo = contact(ada, job_title="Buyer")
    ada.quiet()
    ada.account.edit(item_of(ada).id, job_title="Wrong")
    ada.quiet()
    found = undo.newest_of(cleo.pk)
    assert found == newest(ada, RevisionSide.STORE, "update")
    undo.undo(found, actor=ada.user, now=ada.now)
    assert undo.newest_of(cleo.pk) != found
