"""What was linked once and isn't now: another account, a lost answer, another organizer, back from the bin."""

import pytest

from activities import recyclebin, scheduling
from activities.choices import ParticipationType
from activities.models import ActivityParty, ActivityPointer, Contact, Task
from mailboxes.choices import StateCode
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.items import CALENDAR, CONTACTS, TASKS, ItemKind
from serversync.act import batches, byhand
from serversync.act.choices import LinkState
from serversync.models import ExchangeSyncIdMapping, UserQuery
from tests.fakeitems import Fate
from tests.integration.serversync.acts import ActAccount, act_account
from tests.integration.serversync.cycles import organization
from tests.integration.serversync.test_act_cycle import (
    appointment,
    category,
    contact,
    held,
    noting_look_again,
    takes_part,
    task,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> ActAccount:
    organization(track_categorized_items=True)
    return act_account()


def some_cycles(*accounts: ActAccount, cycles: int = 3) -> None:
    for _cycle in range(cycles):
        for account in accounts:
            account.cycle()
            account.later(minutes=30)


def mails(*accounts: ActAccount) -> list[str]:
    return [mail.what for account in accounts for mail in account.account.mails]


def switched(account: ActAccount) -> None:
    """Another account is behind the mailbox."""
    account.mailbox.account_generation += 1
    Mailbox.objects.filter(pk=account.mailbox.pk).update(
        account_generation=account.mailbox.account_generation
    )


# -- another account (R1.46)


@pytest.mark.rule("R6.51")
def test_items_that_moved_to_another_account_are_known_by_their_links(ada):
    made = task(ada)
    nameless = contact(ada, email_address1="")
    ada.quiet()
    switched(ada)
    some_cycles(ada)
    assert len(held(ada, TASKS)) == len(held(ada, CONTACTS)) == 1
    links = ExchangeSyncIdMapping.objects.filter(generation=2, state=LinkState.LINKED)
    assert set(links.values_list("object_id", flat=True)) == {made.pk, nameless.pk}
    assert not ada.account.mails


@pytest.mark.rule("R6.51")
def test_meetings_that_moved_to_another_account_are_linked(ada):
    plan = appointment(ada, contact(ada))
    ada.quiet()
    switched(ada)
    some_cycles(ada)
    assert mails(ada) == ["invitation"]
    assert len(held(ada, CALENDAR)) == 1
    assert ExchangeSyncIdMapping.objects.get(generation=2, object_id=plan.pk).state == "linked"


@pytest.mark.rule("R6.46")
def test_meetings_that_another_account_lacks_wait_before_they_invite_again(ada):
    appointment(ada, contact(ada))
    ada.quiet()
    switched(ada)
    (item,) = held(ada, CALENDAR)
    uid = ada.account.items.pop(item.id).uid
    some_cycles(ada)
    assert mails(ada) == ["invitation"]
    batches.approve(ada.batch, actor=ada.user, now=ada.now)
    some_cycles(ada)
    (made,) = held(ada, CALENDAR)
    assert made.uid == uid


@pytest.mark.rule("R6.49")
def test_what_somebody_unlinked_stays_so_under_another_account(ada):
    plan = appointment(ada, contact(ada))
    ada.account.add(ItemKind.TASK, subject="Offer", categories=category(ada))
    ada.quiet()
    byhand.unlink(ExchangeSyncIdMapping.objects.all(), actor=ada.user, now=ada.now)
    switched(ada)
    some_cycles(ada)
    assert mails(ada) == ["invitation"]
    assert len(held(ada, CALENDAR)) == len(held(ada, TASKS)) == Task.objects.count() == 1
    again = ExchangeSyncIdMapping.objects.get(generation=2, object_id=plan.pk)
    assert again.state == LinkState.UNLINKED


@pytest.mark.rule("R6.51")
@pytest.mark.parametrize("state", StateCode)
def test_tracked_task_that_moved_to_another_account_is_its_record(ada, state):
    """Whether or not a filter finds that as well, and whichever is looked at first."""
    ada.account.add(ItemKind.TASK, subject="Offer", categories=category(ada))
    ada.quiet()
    UserQuery.objects.update(state_code=state)
    Organization.objects.update(act_items_per_cycle=1)
    switched(ada)
    some_cycles(ada)
    assert Task.objects.count() == len(held(ada, TASKS)) == 1


# -- a creation without an answer


@pytest.mark.rule("R6.45")
def test_unanswered_creation_of_a_record_that_was_deleted_leaves_nothing_behind(ada):
    made = task(ada)
    ada.prepare = lambda server: server.fate("create", Fate.LOST_AFTER)
    ada.cycle()
    ada.prepare = lambda server: None
    scheduling.delete([made.pk], now=ada.now)
    ada.later(minutes=15)
    some_cycles(ada)
    assert not held(ada, TASKS)
    assert not ExchangeSyncIdMapping.objects.exists()


@pytest.mark.rule("R6.52")
def test_unanswered_invitation_of_a_record_that_left_and_came_back_is_not_sent_twice(ada):
    appointment(ada, contact(ada))
    ada.prepare = lambda server: server.fate("create", None, Fate.LOST_AFTER)
    ada.cycle()
    ada.prepare = lambda server: None
    mine = UserQuery.objects.filter(owning_user=ada.user)
    mine.update(state_code=1)
    noting_look_again(ada)
    ada.later(minutes=15)
    some_cycles(ada)
    mine.update(state_code=0)
    noting_look_again(ada)
    some_cycles(ada)
    assert mails(ada) == ["invitation"]
    assert len(held(ada, CALENDAR)) == 1


# -- who comes and goes


@pytest.mark.rule("R6.46")
def test_who_is_taken_off_is_not_told_before_somebody_approves(ada):
    plan = appointment(ada, contact(ada), contact(ada, "Dan"))
    ada.quiet()
    off = ActivityParty.objects.filter(activity=plan.activity, address_used="dan@customer.example")
    assert off.delete()[0]
    ada.cycle()
    assert mails(ada) == ["invitation"]
    (change,) = ada.batch.changes.all()
    assert change.told == ["dan@customer.example"]
    ada.later(minutes=5)
    batches.approve(ada.batch, actor=ada.user, now=ada.now)
    ada.cycle()
    assert mails(ada)[-1] == "cancellation"


@pytest.mark.rule("R6.32")
def test_new_organizer_invites_nobody_unasked_while_the_former_meeting_stands():
    organization(track_categorized_items=True)
    site: dict = {}
    ada, ben = act_account("ada", site=site), act_account("ben", site=site)
    plan = appointment(ada, contact(ada))
    some_cycles(ada, ben, cycles=2)
    parties = ActivityParty.objects.filter(activity=plan.activity)
    parties.filter(participation_type_mask=ParticipationType.ORGANIZER).delete()
    takes_part(plan, ParticipationType.ORGANIZER, ben.user, ben.mailbox.email_address)
    ActivityPointer.objects.filter(pk=plan.pk).update(owning_user=ben.user)
    some_cycles(ben, ada, cycles=3)
    mine = ExchangeSyncIdMapping.objects.filter(mailbox=ada.mailbox, object_id=plan.pk)
    byhand.unlink(mine, actor=ada.user, now=ada.now)
    ActivityPointer.objects.filter(pk=plan.pk).update(subject="Plan 2")
    some_cycles(ben, ada, cycles=3)
    assert mails(ada, ben) == ["invitation"]
    assert ben.batch.changes.count() == 1


# -- who has the same address


@pytest.mark.rule("R6.51")
def test_address_that_two_share_is_asked_about_whatever_is_looked_at_together():
    organization(act_items_per_cycle=1)
    account = act_account()
    bob = contact(account, "Bob", email_address1="info@x.example")
    desk = contact(account, "Desk", email_address1="Info@x.example")
    account.account.add(ItemKind.CONTACT, surname="Desk", email1="info@x.example")
    some_cycles(account, cycles=6)
    (asked,) = [link for link in account.links if link.question]
    assert set(asked.question_about["candidates"]) == {str(bob.pk), str(desk.pk)}
    assert [item.fields["surname"] for item in held(account, CONTACTS)] == ["Desk"]


# -- back from the bin


@pytest.mark.rule("R6.47")
def test_contact_that_is_back_from_the_bin_is_synchronized_again(ada):
    cleo = contact(ada)
    ada.quiet()
    entry = recyclebin.delete(Contact, [cleo.pk], now=ada.now, actor=ada.user, reason="x")[cleo.pk]
    some_cycles(ada, cycles=2)
    assert ada.link_of(cleo).state == LinkState.UNLINKED
    recyclebin.restore(entry)
    some_cycles(ada)
    Contact.objects.filter(pk=cleo.pk).update(job_title="Buyer")
    some_cycles(ada)
    (item,) = held(ada, CONTACTS)
    assert item.fields["job_title"] == "Buyer"
