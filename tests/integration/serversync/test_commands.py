"""The commands: the same functions as the jobs, for one or all mailboxes, in the foreground."""

from functools import partial

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from mailboxes.choices import AccessApproval, Operation, StateCode
from mailboxes.models import Mailbox
from mailboxes.protocols.errors import LoginRefused
from serversync import engine, testing
from serversync.cycle import CycleResult
from serversync.leases import claim_one
from serversync.management.commands import test_mailboxes as testing_command
from serversync.models import MailboxStatistics
from tests.factories.mailboxes import ready_mailbox
from tests.integration.serversync.cycles import Account

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

INCOMING, OUTGOING = Operation.INCOMING, Operation.OUTGOING


@pytest.fixture
def ran(monkeypatch) -> list[tuple[str, Operation]]:
    """Which mailboxes ran what; `fails@` fails, `large@` needs three cycles."""
    seen: list[tuple[str, Operation]] = []

    def cycle(operation, context, token, *, clock):
        address = context.mailbox.email_address
        seen.append((address, operation))
        if address.startswith("fails"):
            raise LoginRefused("535 no")
        result = CycleResult(more=address.startswith("large") and len(seen) < 3)
        result.count("tracked")
        return result

    for operation in (INCOMING, OUTGOING):
        monkeypatch.setitem(engine.CYCLES, operation, partial(cycle, operation))
    return seen


def mailbox(name: str, **columns) -> Mailbox:
    return ready_mailbox(email_address=f"{name}@example.com", **columns)


@pytest.mark.parametrize(
    "command, operation", [("receive_mail", INCOMING), ("send_mail", OUTGOING)]
)
def test_one_mailbox_runs_though_it_is_not_due_and_the_outcome_is_printed(
    ran, capsys, command, operation
):
    mailbox("ada")
    mailbox("ben")
    call_command(command, mailbox=["ADA@example.com"])
    assert ran == [("ada@example.com", operation)]
    assert "1 tracked" in capsys.readouterr().out
    assert MailboxStatistics.objects.count() == 1


def test_all_means_every_active_mailbox_whose_workload_is_enabled(ran, capsys):
    mailbox("ada")
    mailbox("inactive", state_code=StateCode.INACTIVE)
    mailbox("untested").workloads.update(enabled=False)
    call_command("receive_mail", all=True)
    assert ran == [("ada@example.com", INCOMING)]


def test_one_failure_is_printed_stops_nobody_and_is_the_exit_code(ran, capsys):
    mailbox("fails")
    mailbox("ada")
    with pytest.raises(SystemExit) as exit_:
        call_command("receive_mail", all=True)
    assert exit_.value.code == 1
    assert sorted(ran) == [("ada@example.com", INCOMING), ("fails@example.com", INCOMING)]
    out = capsys.readouterr().out
    assert "2 mailboxes, 1 failed" in out and "535 no" in out


def test_a_mailbox_is_received_to_the_end(ran, capsys):
    mailbox("large")
    call_command("receive_mail", mailbox=["large@example.com"])
    assert len(ran) == 3


@pytest.mark.rule("R1.40")
def test_a_refused_mailbox_says_why(ran, capsys):
    mailbox("ada", email_router_access_approval=AccessApproval.PENDING)
    with pytest.raises(SystemExit):
        call_command("receive_mail", mailbox=["ada@example.com"])
    assert ran == []
    assert "R2.3" in capsys.readouterr().out


@pytest.mark.rule("R9.7")
def test_a_mailbox_that_a_worker_has_is_left_to_it(ran, capsys):
    row = mailbox("ada")
    claim_one(row.pk, INCOMING, timezone.now(), "worker:9", force=True)
    with pytest.raises(SystemExit):
        call_command("receive_mail", mailbox=["ada@example.com"])
    assert ran == [] and "worker:9" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", ["receive_mail", "send_mail", "test_mailboxes", "approve_mailboxes"]
)
def test_an_unknown_address_is_an_error_and_no_choice_is_none(command):
    with pytest.raises(CommandError, match="the address nobody"):
        call_command(command, mailbox=["nobody@example.com"])
    with pytest.raises(CommandError, match="required"):
        call_command(command)


# -- test and approve


def test_testing_prints_each_step_and_enables(monkeypatch, capsys):
    row = mailbox("ada")
    row.workloads.update(enabled=False)
    account = Account(row)
    monkeypatch.setattr(
        testing_command,
        "test_mailbox",
        partial(
            testing.test_mailbox,
            connect_incoming=account.connect,
            connect_outgoing=lambda *_: account.outgoing,
        ),
    )
    call_command("test_mailboxes", mailbox=["ada@example.com"])
    assert "1 mailboxes, 0 failed" in capsys.readouterr().out
    assert row.workloads.filter(enabled=True).count() == 2
    assert Mailbox.objects.get(pk=row.pk).test_and_enable_last_attempted_on is not None


def test_a_failed_test_shows_the_cure_and_is_the_exit_code(capsys):
    mailbox("ada", password="")
    with pytest.raises(SystemExit) as exit_:
        call_command("test_mailboxes", mailbox=["ada@example.com"])
    assert exit_.value.code == 1
    out = capsys.readouterr().out
    assert "settings" in out and "InvalidCredentials" in out and "Test & Enable" in out


@pytest.mark.rule("R2.5")
def test_addresses_are_approved_and_rejected(capsys):
    rows = [mailbox(name, email_router_access_approval=AccessApproval.PENDING) for name in "ab"]
    call_command("approve_mailboxes", "--mailbox=a@example.com", "--mailbox=b@example.com")
    call_command("approve_mailboxes", "--mailbox=b@example.com", "--reject")
    approvals = [Mailbox.objects.get(pk=row.pk).email_router_access_approval for row in rows]
    assert approvals == [AccessApproval.APPROVED, AccessApproval.REJECTED]
    assert "2 approved, 0 skipped" in capsys.readouterr().out
