"""The test message on its way back: awaited, found in the ledger, missed, found late."""

from datetime import timedelta

import pytest

from mailboxes.choices import Operation
from mailboxes.models import TraceLog
from mailboxes.protocols.errors import LoginRefused
from serversync import jobs, testing, testing_return
from serversync.choices import ProbeState
from serversync.models import Workload
from tests.integration.serversync.cycles import NOW, Account, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

MINUTE = timedelta(minutes=1)


@pytest.fixture
def account():
    made = Account(user_mailbox("ada"))
    tested(made)
    return made


def tested(account, at=NOW) -> None:
    testing.test_mailbox(
        account.mailbox,
        clock=lambda: at,
        connect_incoming=account.connect,
        connect_outgoing=lambda *_: account.outgoing,
    )


def outgoing(account) -> Workload:
    return account.mailbox.workloads.get(operation=Operation.OUTGOING)


def reads_inbox(account, at) -> None:
    """One cycle, as the engine runs it."""
    account.now = at
    account.receive()
    account.mailbox.workloads.filter(operation=Operation.INCOMING).update(last_success_at=at)


def missing(account) -> list[TraceLog]:
    return list(TraceLog.objects.filter(code=testing_return.CODE, closed_on__isnull=True))


@pytest.mark.rule("R2.14")
def test_a_test_message_that_comes_back_tells_how_long_it_took(account):
    assert outgoing(account).probe_state == ProbeState.WAITING

    account.box.deliver(account.outgoing.sent[0].mime)
    account.later(seconds=12)
    account.receive()
    assert testing_return.seen_already(outgoing(account))  # by whoever looks before
    assert "back" in testing_return.settle(NOW + MINUTE)

    row = outgoing(account)
    assert row.probe_state == ProbeState.BACK
    assert testing_return.delay_of(row) is not None
    assert missing(account) == []


@pytest.mark.rule("R2.14")
def test_one_that_does_not_come_back_is_told_after_a_quarter_of_an_hour_and_cleared_when_it_does(
    account,
):
    reads_inbox(account, NOW + 14 * MINUTE)
    testing_return.settle(NOW + 14 * MINUTE)
    assert outgoing(account).probe_state == ProbeState.WAITING

    testing_return.settle(NOW + 15 * MINUTE)
    assert outgoing(account).probe_state == ProbeState.LOST
    (alert,) = missing(account)
    assert alert.regarding_mailbox == account.mailbox and "15 minutes" in alert.text
    assert outgoing(account).enabled  # it was sent, and nothing else is known

    account.box.deliver(account.outgoing.sent[0].mime)
    reads_inbox(account, NOW + 40 * MINUTE)
    testing_return.settle(NOW + 41 * MINUTE)
    assert outgoing(account).probe_state == ProbeState.BACK
    assert missing(account) == []


@pytest.mark.rule("R2.14")
def test_where_nobody_reads_the_inbox_nothing_is_said_to_be_missing(account):
    account.mailbox.workloads.filter(operation=Operation.INCOMING).update(last_success_at=None)
    testing_return.settle(NOW + 16 * MINUTE)
    assert outgoing(account).probe_state == ProbeState.UNSEEN
    assert missing(account) == []


def test_none_is_awaited_any_more_once_a_later_test_failed(account):
    account.outgoing.fail("open", LoginRefused("no"))
    tested(account)
    row = outgoing(account)
    assert (row.test_status, row.probe_state, row.probe_message_id) == (2, ProbeState.NONE, "")


def test_while_it_is_awaited_the_inbox_is_read_each_minute(account):
    incoming = account.mailbox.workloads.filter(operation=Operation.INCOMING)
    incoming.update(next_run_at=NOW + 60 * MINUTE)
    testing_return.settle(NOW + MINUTE)
    assert incoming.get().next_run_at == NOW + MINUTE


def test_anothers_message_with_a_probes_looks_is_not_it(account):
    forged = account.outgoing.sent[0].mime.replace(b"Message-ID: <probe.", b"Message-ID: <other.")
    account.box.deliver(forged)
    account.receive()
    testing_return.settle(NOW + MINUTE)
    assert outgoing(account).probe_state == ProbeState.WAITING


def test_none_is_awaited_where_incoming_mail_does_not_run_here(settings):
    account = Account(user_mailbox("ben", incoming_email_delivery_method=0))
    tested(account)
    assert outgoing(account).probe_state == ProbeState.NONE
    settings.REDIRECT_ALL_MAIL_TO = "all@example.com"
    assert (
        testing_return.sent(account.mailbox, "x@example.com", NOW)["probe_state"] == ProbeState.NONE
    )


def test_each_minutes_job_looks(account):
    assert "test message" in jobs.dispatch()
