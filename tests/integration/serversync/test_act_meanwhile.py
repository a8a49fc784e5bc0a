"""What happens between a cycle's steps, or between two cycles: nothing of it is lost, and nothing done twice."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from activities import scheduling
from activities.choices import ActivityType, AppointmentStatus, ParticipationType
from activities.models import Appointment, Contact, Task
from mailboxes.choices import Reach, StateCode
from mailboxes.models import GroupReach, SystemUser
from mailboxes.protocols.errors import ConnectionLost
from mailboxes.protocols.items import CALENDAR, CONTACTS, TASKS, ItemKind, Tell
from serversync.act import batches, byhand
from serversync.act.choices import LinkState
from serversync.leases import LeaseLost
from serversync.models import ExchangeSyncIdMapping as Link
from serversync.models import UserQuery, Workload
from tests.fakeitems import Fate
from tests.integration.serversync.acts import ActAccount, act_account, meeting, people
from tests.integration.serversync.breaking import Breaker, BreakingServer
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


@pytest.fixture
def tracked_early(ada: ActAccount) -> ActAccount:
    """Ben's, who tracks a meeting of Ada's whose creation was never answered."""
    ben = act_account("ben", site=ada.account.site)
    GroupReach.objects.update(reach=Reach.ALL)
    plan = appointment(ada)
    takes_part(plan, ParticipationType.REQUIRED_ATTENDEE, ben.user, "ben@example.com")
    ada.prepare = lambda server: server.fate("create", Fate.LOST_AFTER)
    ada.cycle()
    ada.prepare = lambda server: None
    ben.account.categorize(held(ben, CALENDAR)[0].id, *category(ben))
    ben.cycle()
    return ben


@pytest.mark.rule("R6.51")
def test_meeting_that_is_tracked_before_its_organizer_heard_of_it_is_one_record(ada, tracked_early):
    ada.later(minutes=6)
    ada.quiet()
    tracked_early.later(minutes=6)
    tracked_early.quiet()

    plan = Appointment.objects.get()
    for each in (ada, tracked_early):
        (link,) = (one for one in each.links if one.exchange_entry_id)
        assert (link.object_id, link.state) == (plan.pk, LinkState.LINKED)


def test_whoever_never_hears_of_his_meeting_holds_nobody_up_for_ever(ada, tracked_early):
    assert Appointment.objects.count() == 1
    tracked_early.later(minutes=61)
    tracked_early.quiet()

    assert Appointment.objects.count() == 2


# -- between reading and writing -------------------------------------------------------------------


def meanwhile(account: ActAccount, method: str, deed: Callable[[], object]) -> None:
    """Once, just before that request of the next cycle."""
    left = [deed]

    def during(called: str) -> None:
        if called == method and left:
            left.pop()()

    def connect(*_: object, **__: object) -> BreakingServer:
        account.servers.append(BreakingServer(account.account, Breaker(), during))
        return account.servers[-1]

    account.connect = connect


@pytest.mark.parametrize("method", ["changes", "fetch", "update"])
def test_worker_whose_lease_was_taken_over_writes_nothing_more_here(ada, method):
    cleo = contact(ada)
    ada.quiet()
    Contact.objects.filter(pk=cleo.pk).update(job_title="Buyer")
    ada.account.edit(held(ada, CONTACTS)[0].id, department="Sales")
    meanwhile(ada, method, lambda: Workload.objects.update(lease_token=uuid4()))
    with pytest.raises(LeaseLost):
        ada.cycle()
    before = ada.link_of(cleo)
    assert before.from_crm_change_type or method == "changes"
    assert before.sending if method == "update" else before.sending is None
    ada.later(minutes=15)
    ada.quiet()

    cleo.refresh_from_db()
    fields = held(ada, CONTACTS)[0].fields
    assert (cleo.job_title, cleo.department) == ("Buyer", "Sales")
    assert (fields["job_title"], fields["department"]) == ("Buyer", "Sales")


def test_record_that_is_edited_while_its_item_is_read_is_decided_anew(ada):
    cleo = contact(ada)
    ada.quiet()
    ada.account.edit(held(ada, CONTACTS)[0].id, department="Sales")

    def edit() -> None:
        Contact.objects.filter(pk=cleo.pk).update(job_title="Buyer")

    meanwhile(ada, "marker", edit)
    ada.later(minutes=61)
    ada.quiet()

    cleo.refresh_from_db()
    assert (cleo.job_title, cleo.department) == ("Buyer", "Sales")
    assert held(ada, CONTACTS)[0].fields["job_title"] == "Buyer"


def test_item_that_is_edited_before_it_is_written_is_decided_anew(ada):
    cleo = contact(ada)
    ada.quiet()
    Contact.objects.filter(pk=cleo.pk).update(job_title="Buyer")
    (item,) = held(ada, CONTACTS)
    meanwhile(ada, "update", lambda: ada.account.edit(item.id, department="Sales"))
    assert ada.cycle().soon
    ada.quiet()

    cleo.refresh_from_db()
    assert (cleo.job_title, cleo.department) == ("Buyer", "Sales")
    assert (item.fields["job_title"], item.fields["department"]) == ("Buyer", "Sales")


def test_who_unlinks_while_an_item_is_written_is_heard(ada):
    cleo = contact(ada)
    ada.quiet()
    Contact.objects.filter(pk=cleo.pk).update(job_title="Buyer")
    person, rows = root(), Link.objects.all()

    def unlink() -> None:
        byhand.unlink(rows, actor=person, now=ada.now + timedelta(seconds=1))

    meanwhile(ada, "update", unlink)
    ada.quiet()
    Contact.objects.filter(pk=cleo.pk).update(job_title="Head of purchasing")
    ada.quiet()

    link = ada.link_of(cleo)
    assert link.state == LinkState.UNLINKED
    assert held(ada, CONTACTS)[0].fields["job_title"] == "Buyer"


def test_who_unlinks_while_an_item_is_made_gets_no_second_one(ada):
    cleo = contact(ada)
    person, rows = root(), Link.objects.all()

    def unlink() -> None:
        byhand.unlink(rows, actor=person, now=ada.now + timedelta(seconds=1))

    meanwhile(ada, "create", unlink)
    ada.quiet()
    noting_look_again(ada)
    ada.quiet()

    assert ada.link_of(cleo).state == LinkState.UNLINKED
    assert ada.link_of(cleo).exchange_entry_id == held(ada, CONTACTS)[0].id
    assert len(held(ada, CONTACTS)) == 1


def test_who_drops_a_batch_while_others_are_written_is_heard(ada):
    ids = [
        ada.account.add(ItemKind.TASK, subject=f"Task {number}", categories=category(ada))
        for number in range(8)
    ]
    cleo = contact(ada)
    ada.quiet()
    for identifier in ids:
        ada.account.remove(identifier)
    ada.cycle()
    Contact.objects.filter(pk=cleo.pk).update(job_title="Buyer")
    person = root()

    def drop() -> None:
        batches.drop(ada.batch, actor=person, now=ada.now + timedelta(seconds=1))

    meanwhile(ada, "update", drop)
    ada.quiet()

    assert Task.objects.count() == 8
    assert held(ada, CONTACTS)[0].fields["job_title"] == "Buyer"


def root() -> SystemUser:
    return SystemUser.objects.create_superuser("root")
