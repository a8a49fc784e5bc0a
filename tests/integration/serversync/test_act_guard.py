"""What waits for a person goes on waiting, whatever else is touched, until he has seen it and said yes (R6.46, R6.51)."""

from datetime import timedelta

import pytest

from activities.models import ActivityPointer, Appointment, Contact, Task
from mailboxes.models import Organization
from mailboxes.protocols.items import CALENDAR, CONTACTS, TASKS, ItemKind
from serversync.act import batches, byhand
from serversync.act.choices import BatchKind
from serversync.models import ActState, ExchangeSyncIdMapping, ParkedChange
from tests.fakeitems import Fate
from tests.integration.serversync.acts import ActAccount, act_account
from tests.integration.serversync.cycles import organization
from tests.integration.serversync.test_act_cycle import appointment, category, contact, held

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> ActAccount:
    organization(track_categorized_items=True)
    return act_account()


def run(account: ActAccount, cycles: int = 3) -> None:
    for _cycle in range(cycles):
        account.cycle()
        account.later(minutes=30)


def look_again(account: ActAccount, *links: ExchangeSyncIdMapping) -> None:
    rows = ExchangeSyncIdMapping.objects.filter(pk__in=[link.pk for link in links])
    byhand.look_again(rows, actor=account.user, now=account.now)


@pytest.fixture
def parked(ada: ActAccount) -> ActAccount:
    """Eight tasks were deleted on the server, and wait."""
    ids = [
        ada.account.add(ItemKind.TASK, subject=f"Task {number}", categories=category(ada))
        for number in range(8)
    ]
    ada.quiet()
    for identifier in ids:
        ada.account.remove(identifier)
    ada.cycle()
    assert ada.batch.changes.count() == 8
    ada.later(minutes=15)
    return ada


# -- some of it is touched -------------------------------------------------------------------------


@pytest.mark.rule("R6.46")
def test_deletes_that_wait_go_on_waiting_when_some_are_edited(parked):
    some = [task.pk for task in ActivityPointer.objects.all()[:2]]
    ActivityPointer.objects.filter(pk__in=some).update(subject="Still needed")
    parked.cycle()

    assert Task.objects.count() == 8
    assert parked.batch.changes.count() == 8


@pytest.mark.rule("R6.46")
def test_the_last_ones_that_were_not_approved_with_the_others_go_on_waiting(parked):
    *most, _last, _other = parked.batch.changes.all()
    only = [change.pk for change in most]
    batches.approve(parked.batch, actor=parked.user, now=parked.now, only=only)
    run(parked)
    assert Task.objects.count() == 2
    parked.later(days=2)
    look_again(parked, *[change.link for change in parked.batch.changes.filter(approved=False)])
    run(parked)

    assert Task.objects.count() == 2
    assert parked.batch.changes.filter(approved=False).count() == 2


@pytest.mark.rule("R6.46")
def test_what_is_deleted_while_others_wait_counts_with_them(parked):
    parked.account.add(ItemKind.TASK, subject="Another", categories=category(parked))
    run(parked, 1)
    (another,) = held(parked, TASKS)
    parked.account.remove(another.id)
    parked.cycle()

    assert Task.objects.count() == 9
    assert parked.batch.changes.count() == 9


@pytest.mark.rule("R6.46")
def test_what_waits_is_decided_by_other_settings_only_if_somebody_says_so(parked):
    Organization.objects.update(max_act_deletes=100, max_act_deletes_percent=100)
    look_again(parked, *parked.links)
    parked.cycle()
    assert Task.objects.count() == 8

    batches.decide_again(parked.batch, actor=parked.user, now=parked.now)
    parked.cycle()
    assert not Task.objects.exists()


@pytest.mark.rule("R6.46")
def test_mails_to_many_go_on_waiting_when_some_are_edited(ada):
    Organization.objects.update(max_act_invitations=10)
    plans = [appointment(ada, contact(ada, f"Person{number}")) for number in range(12)]
    run(ada, 2)
    assert not ada.account.mails
    some = [plan.pk for plan in plans[:4]]
    Appointment.objects.filter(pk__in=some).update(location="Room 2")
    ada.cycle()

    assert not ada.account.mails
    assert ada.batch.changes.count() == 12


@pytest.mark.rule("R6.46")
def test_a_cancellation_that_waits_holds_nobody_elses_mail_back(ada):
    Organization.objects.update(max_act_invitations=10)
    many = [contact(ada, f"Person{number}") for number in range(10)]
    plan = appointment(ada, *many)
    ada.quiet()
    plan.activity.delete()
    ada.cycle()
    assert ada.batch.changes.count() == 1
    appointment(ada, contact(ada))
    ada.cycle()

    assert [mail.what for mail in ada.account.mails] == ["invitation", "invitation"]


@pytest.mark.rule("R6.51", "R10.6")
def test_a_first_synchronization_goes_on_waiting_when_some_is_touched():
    account = act_account(began=False)
    made = [contact(account, f"Person{number}") for number in range(14)]
    run(account, 1)
    some = [one.pk for one in made[:5]]
    Contact.objects.filter(pk__in=some).update(job_title="Buyer")
    account.cycle()

    assert not held(account, CONTACTS)
    assert account.batch.changes.count() == 14


@pytest.mark.rule("R6.51", "R10.6")
def test_the_last_page_of_a_first_synchronization_waits_with_the_others():
    organization(act_items_per_cycle=12)
    account = act_account(began=False)
    for number in range(15):
        contact(account, f"Person{number}")
    run(account)

    assert not held(account, CONTACTS)
    assert (account.batch.kind, account.batch.changes.count()) == (BatchKind.FIRST, 15)


# -- what an approval holds for --------------------------------------------------------------------


@pytest.mark.rule("R6.46")
def test_what_was_changed_since_it_was_shown_is_not_deleted_by_its_approval(parked):
    one = ActivityPointer.objects.first()
    ActivityPointer.objects.filter(pk=one.pk).update(subject="Rewritten")
    batches.approve(parked.batch, actor=parked.user, now=parked.now)
    run(parked)
    assert [task.activity.subject for task in Task.objects.all()] == ["Rewritten"]

    batches.approve(parked.batch, actor=parked.user, now=parked.now)
    run(parked)
    assert not Task.objects.exists()


@pytest.mark.rule("R6.46")
def test_an_item_that_was_changed_is_not_called_off_by_an_earlier_approval(ada):
    plan = appointment(ada, contact(ada))
    ada.quiet()
    plan.activity.delete()
    ada.cycle()
    (item,) = held(ada, CALENDAR)
    batches.approve(ada.batch, actor=ada.user, now=ada.now)
    ada.account.edit(item.id, location="Another room")
    run(ada)
    assert [mail.what for mail in ada.account.mails] == ["invitation"]

    batches.approve(ada.batch, actor=ada.user, now=ada.now)
    run(ada)
    assert [mail.what for mail in ada.account.mails] == ["invitation", "cancellation"]


@pytest.mark.rule("R6.46")
def test_an_approval_is_used_up_whatever_the_clocks_say(parked):
    """The console's clock is ahead of the worker's."""
    batches.approve(parked.batch, actor=parked.user, now=parked.now + timedelta(hours=3))
    run(parked, 1)
    approved = ParkedChange.objects.filter(approved=True)
    assert not Task.objects.exists()
    assert not approved.filter(used_on=None).exists()


@pytest.mark.rule("R6.46")
def test_what_failed_goes_on_under_its_approval(ada):
    Organization.objects.update(max_act_invitations=0)
    cleo = contact(ada)
    ada.quiet()
    appointment(ada, cleo)
    ada.cycle()
    batches.approve(ada.batch, actor=ada.user, now=ada.now)
    ada.prepare = lambda server: server.fate("create", Fate.REFUSED)
    ada.cycle()
    assert not ada.account.mails
    ada.prepare = lambda server: None
    ada.later(minutes=30)
    run(ada)

    assert [mail.what for mail in ada.account.mails] == ["invitation"]


# -- the first synchronization, page by page -------------------------------------------------------


@pytest.mark.rule("R6.51", "R10.6")
def test_approving_the_first_part_approves_nothing_that_was_not_shown():
    organization(act_items_per_cycle=12)
    account = act_account(began=False)
    for number in range(16):
        contact(account, f"Person{number}")
    account.cycle()
    batches.approve(account.batch, actor=account.user, now=account.now)
    run(account, 4)

    assert len(held(account, CONTACTS)) == 12
    assert (account.batch.kind, account.batch.changes.count()) == (BatchKind.FIRST, 4)
    assert ActState.objects.get().began_at is None
    batches.approve(account.batch, actor=account.user, now=account.now)
    run(account, 2)
    assert len(held(account, CONTACTS)) == 16
    assert ActState.objects.get().began_at is not None


@pytest.mark.rule("R6.51", "R10.6")
def test_small_pages_do_not_add_up_to_a_large_first_synchronization():
    organization(act_items_per_cycle=8)
    account = act_account(began=False)
    for number in range(14):
        contact(account, f"Person{number}")
    run(account)

    assert len(held(account, CONTACTS)) == 8
    assert account.batch.changes.count() == 6


@pytest.mark.rule("R6.51", "R10.6")
def test_what_could_not_be_read_at_first_is_shown_when_it_can():
    account = act_account(began=False)
    made = [contact(account, f"Person{number}") for number in range(14)]
    account.cycle()
    links = [account.link_of(one).pk for one in made]
    later = account.now + timedelta(minutes=20)
    some = ExchangeSyncIdMapping.objects.filter(pk__in=links[:3])
    some.update(retries=1, next_attempt_at=later, batch=None)
    account.batch.changes.filter(link__in=links[:3]).delete()
    batches.approve(account.batch, actor=account.user, now=account.now)
    account.cycle()
    assert len(held(account, CONTACTS)) == 11
    assert ActState.objects.get().began_at is None

    account.later(minutes=30)
    account.cycle()
    assert len(held(account, CONTACTS)) == 11
    assert account.batch.changes.count() == 3


@pytest.mark.rule("R6.51")
def test_what_was_dropped_is_not_made_however_it_changes_until_somebody_asks():
    account = act_account(began=False)
    made = [contact(account, f"Person{number}") for number in range(14)]
    account.cycle()
    batches.drop(account.batch, actor=account.user, now=account.now)
    run(account, 2)
    some = [one.pk for one in made[:3]]
    Contact.objects.filter(pk__in=some).update(job_title="Buyer")
    run(account, 2)
    assert not held(account, CONTACTS)

    look_again(account, account.link_of(made[0]))
    run(account, 2)
    (item,) = held(account, CONTACTS)
    assert item.fields["surname"] == "Person0"


@pytest.mark.rule("R6.51")
def test_a_first_synchronization_that_was_dropped_is_over():
    account = act_account(began=False)
    for number in range(14):
        contact(account, f"Person{number}")
    account.cycle()
    batches.drop(account.batch, actor=account.user, now=account.now)
    run(account, 2)
    assert ActState.objects.get().began_at is not None
    contact(account, "New")
    run(account, 1)

    assert [item.fields["surname"] for item in held(account, CONTACTS)] == ["New"]
