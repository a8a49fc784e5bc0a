"""What happens between a cycle's steps, or between two cycles: nothing of it is lost, and nothing done twice."""

import pytest

from activities import scheduling
from activities.choices import ActivityType, AppointmentStatus
from activities.models import Contact, Task
from mailboxes.choices import StateCode
from mailboxes.models import SystemUser
from mailboxes.protocols.errors import ConnectionLost
from mailboxes.protocols.items import CALENDAR, CONTACTS, TASKS, ItemKind, Tell
from serversync.act import batches, byhand
from serversync.act.choices import LinkState
from serversync.models import ExchangeSyncIdMapping as Link
from serversync.models import UserQuery
from tests.fakeitems import Fate
from tests.integration.serversync.acts import ActAccount, act_account, meeting, people
from tests.integration.serversync.cycles import organization
from tests.integration.serversync.test_act_cycle import (
    appointment,
    category,
    contact,
    held,
    noting_look_again,
    task,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> ActAccount:
    organization(track_categorized_items=True)
    return act_account()


def test_change_is_carried_in_the_cycle_that_looks_at_everything(ada):
    cleo = contact(ada)
    ada.quiet()
    Contact.objects.filter(pk=cleo.pk).update(job_title="Buyer")
    noting_look_again(ada)
    ada.cycle()

    assert held(ada, CONTACTS)[0].fields["job_title"] == "Buyer"


def test_deletion_is_followed_in_the_cycle_that_looks_at_everything(ada):
    made = task(ada)
    ada.quiet()
    scheduling.delete([made.pk], now=ada.now)
    noting_look_again(ada)
    ada.quiet()

    assert not held(ada, TASKS)


def test_what_was_changed_there_while_it_could_not_be_taken_counts_later(ada):
    """A record that is completed takes nothing; opened again, it takes what came meanwhile."""
    plan = appointment(ada)
    ada.quiet()
    scheduling.set_status(
        [plan.pk], ActivityType.APPOINTMENT, AppointmentStatus.COMPLETED, now=ada.now
    )
    ada.quiet()
    (item,) = held(ada, CALENDAR)
    ada.account.edit(item.id, location="Room 2")
    ada.quiet()
    scheduling.set_status([plan.pk], ActivityType.APPOINTMENT, AppointmentStatus.BUSY, now=ada.now)
    ada.quiet()

    plan.refresh_from_db()
    assert plan.location == item.fields["location"] == "Room 2"


def test_item_that_was_removed_without_an_answer_takes_no_record_with_it(ada):
    """The original's way: what leaves the filters goes from the server, and stays here."""
    organization(distinct_physical_and_logical_deletes_for_exchange_sync=False)
    task(ada)
    ada.quiet()
    UserQuery.objects.filter(owning_user=ada.user).update(state_code=StateCode.INACTIVE)
    noting_look_again(ada)
    ada.prepare = lambda server: server.fate("delete", Fate.LOST_AFTER)
    ada.cycle()
    ada.prepare = lambda server: None
    ada.later(minutes=15)
    ada.quiet()

    assert not held(ada, TASKS)
    assert Task.objects.count() == 1
    assert ada.links[0].state == LinkState.UNLINKED


def test_item_that_was_made_and_removed_between_two_listings_is_missed(ada):
    """A listing tells of nothing that it never told of before."""
    made = task(ada)
    ada.cycle()
    ada.account.remove(held(ada, TASKS)[0].id)
    ada.later(minutes=15)
    ada.quiet()

    assert not Task.objects.filter(pk=made.pk).exists()


def test_what_was_unlinked_before_it_was_linked_stays_so(ada):
    item = ada.account.add(ItemKind.TASK, subject="Offer", categories=category(ada))
    ada.prepare = lambda server: server.fail("fetch", ConnectionLost("gone"))
    with pytest.raises(ConnectionLost):
        ada.cycle()
    ada.prepare = lambda server: None
    byhand.unlink(Link.objects.all(), actor=root(), now=ada.now)
    ada.account.edit(item, subject="Another")
    ada.quiet()
    assert not Task.objects.exists()

    ada.account.categorize(item)
    ada.quiet()
    ada.account.categorize(item, *category(ada))
    ada.quiet()
    assert Task.objects.exists()


@pytest.mark.parametrize("fate", [Fate.LOST_BEFORE, Fate.STALE, Fate.REFUSED])
def test_deletion_that_failed_is_made_up_for(ada, fate):
    made = task(ada)
    ada.quiet()
    scheduling.delete([made.pk], now=ada.now)
    ada.prepare = lambda server: server.fate("delete", fate)
    ada.cycle()
    assert held(ada, TASKS)
    ada.prepare = lambda server: None
    ada.later(minutes=15)
    ada.quiet()

    assert not held(ada, TASKS)


def test_meeting_that_only_an_attendee_has_left_is_made_as_the_same_again(ada):
    """Otherwise the attendee would get a second one."""
    site = ada.account.site
    ben = act_account("ben", site=site)
    made = ada.account.add(
        ItemKind.APPOINTMENT, subject="Plan", when=meeting(), required=people("ben@example.com")
    )
    item = ada.account.items[made]
    ada.account.tell(item, Tell.ALL, (), item.attendees)
    ada.account.remove(made)
    ben.account.categorize(ben.account.named("Plan").id, *category(ben))
    ben.quiet()
    ada.now = ben.now
    ada.quiet()
    ada.later(minutes=1)
    batches.approve(ada.batch, actor=root(), now=ada.now)
    ada.quiet()

    assert {each.uid for each in held(ada, CALENDAR)} == {item.uid}
    assert len(held(ben, CALENDAR)) == 1


def root() -> SystemUser:
    return SystemUser.objects.create_superuser("root")
