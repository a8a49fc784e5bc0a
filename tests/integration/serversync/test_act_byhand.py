"""What people decide about appointments, contacts and tasks: batches, questions, links; and who may."""

from uuid import uuid4

import pytest
from django.core.exceptions import PermissionDenied

from activities import recyclebin
from activities.models import ActivityPointer
from mailboxes.choices import Operation, Reach
from mailboxes.models import Mailbox, Organization, TraceLog
from mailboxes.protocols.items import CALENDAR, Tell
from serversync.act import answers, batches, byhand
from serversync.act.byhand import Refused
from serversync.act.choices import BatchKind, BatchState, ChangeType, DecisionAnswer, LinkState
from serversync.act.stored import write_data
from serversync.act.types import Table, Verb, Write
from serversync.models import ActState, ExchangeSyncIdMapping, ParkedChange, SyncRevision, Workload
from tests.factories.act import NOW, act_mailbox, asking, batch, begun, pair, parked
from tests.factories.mailboxes import SystemUserFactory, group_of
from tests.integration.serversync.acts import ActAccount, act_account
from tests.integration.serversync.test_act_cycle import appointment, contact, held

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

Link = ExchangeSyncIdMapping
UPDATE = Write(verb=Verb.UPDATE, fields={"subject": "New"}, tell=Tell.CHANGED)


@pytest.fixture
def mailbox():
    return act_mailbox()


@pytest.fixture
def ada(mailbox):
    return mailbox.regarding_user


def waiting(mailbox, count=2, write=None):
    found = batch(mailbox)
    for _number in range(count):
        parked(found, pair(mailbox), *([write] if write else []))
    batches.announce(found, NOW)
    return found


def alerts(mailbox) -> dict[str, dict]:
    rows = TraceLog.objects.filter(regarding_mailbox=mailbox, closed_on__isnull=True)
    return {row.code: row.trace_parameters for row in rows}


def is_woken(mailbox) -> bool:
    row = Workload.objects.get(mailbox=mailbox, operation=Operation.ACT)
    return row.next_run_at <= NOW and row.run_requested_at == NOW


def links(*rows):
    return ExchangeSyncIdMapping.objects.filter(pk__in=[row.pk for row in rows])


# -- batches


@pytest.mark.rule("R6.46")
def test_an_approved_batch_is_taken_up_by_the_next_cycle(mailbox, ada):
    found = waiting(mailbox)
    assert alerts(mailbox)["MassDeleteStopped"] == {"count": 2, "people": 2}
    done = batches.approve(found, actor=ada, now=NOW)
    assert (done.state, done.ended_by, done.ended_on) == (BatchState.APPROVED, ada, NOW)
    assert all(change.approved for change in ParkedChange.objects.all())
    link = ExchangeSyncIdMapping.objects.first()
    assert link.batch is None and link.is_pending and link.state == LinkState.LINKED
    assert alerts(mailbox) == {} and is_woken(mailbox)


@pytest.mark.rule("R6.46")
def test_some_of_it_is_approved_and_the_rest_goes_on_waiting(mailbox, ada):
    found = waiting(mailbox, 3)
    first, *rest = found.changes.order_by("pk")
    left = batches.approve(found, actor=ada, now=NOW, only=[first.pk])
    assert left.state == BatchState.WAITING
    assert alerts(mailbox)["MassDeleteStopped"]["count"] == 2
    done = batches.drop(found, actor=ada, now=NOW, only=[change.pk for change in rest])
    assert done.state == BatchState.APPROVED
    assert list(done.changes.values_list("pk", flat=True)) == [first.pk]


@pytest.mark.rule("R6.46")
def test_a_dropped_deletion_unlinks_and_both_copies_stay(mailbox, ada):
    found = waiting(mailbox, 1)
    (change,) = found.changes.all()
    done = batches.drop(found, actor=ada, now=NOW)
    link = ExchangeSyncIdMapping.objects.get()
    assert done.state == BatchState.DROPPED and not done.changes.exists()
    assert (link.state, link.is_unlinked_in_crm, link.is_pending) == ("unlinked", True, False)
    assert link.declined == [change.digest] and link.exchange_entry_id
    assert SyncRevision.objects.get().verb == "unlink"


def test_a_dropped_change_is_declined_and_the_pair_stays_linked(mailbox, ada):
    found = waiting(mailbox, 1, UPDATE)
    (change,) = found.changes.all()
    batches.drop(found, actor=ada, now=NOW)
    link = ExchangeSyncIdMapping.objects.get()
    assert (link.state, link.declined) == (LinkState.LINKED, [change.digest])
    assert link.batch is None and is_woken(mailbox) and not SyncRevision.objects.exists()


def test_decided_anew_under_the_settings_of_now(mailbox, ada):
    found = waiting(mailbox)
    done = batches.decide_again(found, actor=ada, now=NOW)
    assert done.state == BatchState.OVERTAKEN and is_woken(mailbox)
    assert not ParkedChange.objects.filter(approved=True).exists()
    assert set(links(*ExchangeSyncIdMapping.objects.all()).values_list("batch", flat=True)) == {
        None
    }


def test_a_decision_comes_once(mailbox, ada):
    found = waiting(mailbox)
    batches.drop(found, actor=ada, now=NOW)
    with pytest.raises(Refused, match="Dropped"):
        batches.approve(found, actor=ada, now=NOW)
    other = waiting(mailbox)
    with pytest.raises(Refused, match="Nothing of that"):
        batches.approve(other, actor=ada, now=NOW, only=[])


@pytest.mark.rule("R6.46")
def test_a_cancellation_waits_through_restarts_until_it_is_approved():
    ada = act_account()
    plan = appointment(ada, contact(ada))
    ada.quiet()
    ada.account.mails.clear()
    recyclebin.delete(ActivityPointer, [plan.pk], now=ada.now)
    ada.cycle()
    waiting = ada.batch
    for _restart in range(3):
        # Another process: nothing but the account on the server and the database is left.
        ada.later(days=1)
        ActAccount(Mailbox.objects.get(pk=ada.mailbox.pk), ada.account, ada.now).cycle()
    assert ada.account.mails == [] and len(held(ada, CALENDAR)) == 1
    assert ada.batch == waiting and waiting.changes.count() == 1
    batches.approve(ada.batch, actor=ada.user, now=ada.now)
    ada.quiet()
    assert [mail.what for mail in ada.account.mails] == ["cancellation"]
    assert held(ada, CALENDAR) == []


@pytest.mark.rule("R6.51", "R10.6")
def test_what_no_cycle_has_looked_at_yet_is_not_approved_with_the_first_part(mailbox, ada):
    begun(mailbox, began_at=None)
    found = batch(mailbox, BatchKind.FIRST)
    parked(found, pair(mailbox, base=None), Write(verb=Verb.CREATE))
    pair(mailbox, base=None, state=LinkState.NOTED, from_crm_change_type=ChangeType.CREATED)
    assert batches.more_to_come(found) == 1
    done = batches.approve(found, actor=ada, now=NOW)
    assert (done.state, ActState.objects.get().began_at) == (BatchState.APPROVED, None)


@pytest.mark.rule("R6.51")
def test_a_first_synchronization_of_any_size_is_approved_in_few_statements(
    mailbox, ada, django_assert_max_num_queries
):
    begun(mailbox, began_at=None)
    found = batch(mailbox, BatchKind.FIRST)
    rows = Link.objects.bulk_create(
        Link(
            mailbox=mailbox, owner=ada, object_type_code=Table.TASK, object_id=uuid4(), batch=found
        )
        for _number in range(600)
    )
    write = write_data(Write(verb=Verb.CREATE, fields={"subject": "Call"}))
    ParkedChange.objects.bulk_create(
        ParkedChange(batch=found, link=row, digest=str(row.pk), to_server=write) for row in rows
    )
    with django_assert_max_num_queries(30):
        done = batches.approve(found, actor=ada, now=NOW)
    assert done.state == BatchState.APPROVED
    assert ParkedChange.objects.filter(approved=True).count() == 600
    assert not Link.objects.exclude(from_crm_change_type=ChangeType.AGAIN).exists()


# -- who may


@pytest.mark.rule("R6.46")
@pytest.mark.parametrize("deed", [batches.approve, batches.drop, batches.decide_again])
def test_only_the_owner_and_the_permission_decide(mailbox, deed):
    stranger = SystemUserFactory()
    group_of(stranger, "view_mailbox", "view_parkedbatch", reach=Reach.ALL)
    found = waiting(mailbox)
    with pytest.raises(PermissionDenied, match="decide_parkedbatch"):
        deed(found, actor=stranger, now=NOW)
    group_of(stranger, "decide_parkedbatch", reach=Reach.OWN)
    with pytest.raises(PermissionDenied):
        deed(found, actor=stranger, now=NOW)
    group_of(stranger, "decide_parkedbatch", reach=Reach.ALL)
    assert deed(found, actor=stranger, now=NOW).ended_by == stranger


def test_single_pairs_are_the_owners_and_whom_a_permission_reaches(mailbox, ada):
    one, two = pair(mailbox), pair(act_mailbox())
    assert byhand.unlink(links(one, two), actor=ada, now=NOW) == 1
    two.refresh_from_db()
    assert two.state == LinkState.LINKED
    with pytest.raises(PermissionDenied):
        byhand.look_again(links(two), actor=ada, now=NOW)
    group_of(ada, "change_exchangesyncidmapping", reach=Reach.ALL)
    assert byhand.look_again(links(two), actor=ada, now=NOW) == 1


# -- questions


@pytest.mark.rule("R8.17")
@pytest.mark.parametrize("decision", [DecisionAnswer.YES, DecisionAnswer.NO])
def test_an_answer_is_stored_and_the_mailbox_woken(mailbox, ada, decision):
    link = asking(mailbox, "duplicate", table=Table.CONTACT)
    answers.announce(mailbox, [link], NOW, Organization.objects.current())
    assert list(alerts(mailbox)) == ["DuplicateRecordsFound"]
    assert answers.answer(links(link), decision, actor=ada, now=NOW) == 1
    link.refresh_from_db()
    assert (link.user_decision, link.from_crm_change_type) == (decision, ChangeType.AGAIN)
    assert alerts(mailbox) == {} and is_woken(mailbox)
    assert not answers.open_questions(ada).exists()


@pytest.mark.rule("R8.17")
def test_many_questions_are_answered_at_once_and_nobody_elses(mailbox, ada):
    mine = [asking(mailbox, "previously_linked") for _number in range(2)]
    other = asking(act_mailbox(), "previously_linked")
    assert set(answers.open_questions(ada)) == set(mine)
    done = answers.answer(links(*mine, other), DecisionAnswer.YES, actor=ada, now=NOW)
    other.refresh_from_db()
    assert (done, other.user_decision) == (2, DecisionAnswer.NONE)
    with pytest.raises(PermissionDenied):
        answers.answer(links(other), DecisionAnswer.YES, actor=ada, now=NOW)
    with pytest.raises(Refused):
        answers.answer(links(pair(mailbox)), DecisionAnswer.YES, actor=ada, now=NOW)


# -- single pairs


def test_unlinked_by_hand_stays_so_until_it_is_linked_again(mailbox, ada):
    link = asking(mailbox, "duplicate")
    parked(batch(mailbox), link)
    assert byhand.unlink(links(link), actor=ada, now=NOW) == 1
    link.refresh_from_db()
    assert (link.state, link.is_unlinked_in_crm, link.question, link.is_pending) == (
        LinkState.UNLINKED, True, "", False,
    )  # fmt: skip
    assert not ParkedChange.objects.exists()
    assert byhand.link_again(links(link), actor=ada, now=NOW) == 1
    link.refresh_from_db()
    assert (link.state, link.is_unlinked_in_crm, link.is_pending) == (LinkState.LINKED, False, True)
    assert link.base is not None and is_woken(mailbox)
    assert [row.verb for row in SyncRevision.objects.order_by("pk")] == ["unlink", "link"]


def test_what_is_gone_on_one_side_cannot_be_linked_again(mailbox, ada):
    link = pair(mailbox, state=LinkState.UNLINKED, object_id=None)
    with pytest.raises(Refused, match="gone"):
        byhand.link_again(links(link), actor=ada, now=NOW)


def test_looking_again_begins_the_attempts_anew(mailbox, ada):
    link = pair(mailbox, retries=5, next_attempt_at=NOW)
    byhand.look_again(links(link), actor=ada, now=NOW)
    link.refresh_from_db()
    assert (link.retries, link.next_attempt_at, link.is_pending) == (0, None, True)
    assert is_woken(mailbox)
