"""Test & Enable: each workload judged alone, step by step, and what the outcome changes."""

from datetime import timedelta
from email import message_from_bytes

import pytest

from activities.mime.automatic import OWN_HEADER
from mailboxes import choices, services
from mailboxes.choices import (
    AccessApproval,
    AccessMode,
    ActDeliveryMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    ServerType,
    StateCode,
    TraceLevel,
)
from mailboxes.models import EmailServerProfile, Mailbox, SystemUser, TraceLog
from mailboxes.protocols.base import AdapterOptions
from mailboxes.protocols.errors import (
    CertificateRejected,
    ConnectionLost,
    LoginRefused,
    MessageRefused,
    OutgoingLoginRefused,
)
from serversync import testing
from serversync.choices import WorkloadState
from serversync.leases import claim_one
from serversync.models import FolderCursor, SyncItem, Workload
from serversync.probe import is_own_probe
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    QueueFactory,
    SystemUserFactory,
    TeamFactory,
    ready_mailbox,
)
from tests.fakes import FakeIncomingServer, FakeMailbox, FakeOutgoingServer
from tests.integration.serversync.cycles import NOW, Account, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

INCOMING, OUTGOING, ACT = Operation
NOT_RUN, SUCCESS, FAILURE = (
    choices.TestStatus.NOT_RUN,
    choices.TestStatus.SUCCESS,
    choices.TestStatus.FAILURE,
)


class Bench:
    """An untested mailbox and fake servers that do what a test says."""

    def __init__(self, **columns) -> None:
        self.mailbox = ready_mailbox(**columns)
        self.mailbox.workloads.update(
            enabled=False, test_status=NOT_RUN, next_run_at=NOW + timedelta(hours=1)
        )
        self.errors: dict[str, BaseException] = {}
        self.sent: list[FakeOutgoingServer] = []
        self.connected = 0

    def incoming(self, mailbox, organization, watcher):
        return self._made(FakeIncomingServer(FakeMailbox(), options=AdapterOptions(watcher)))

    def outgoing(self, mailbox, organization, watcher):
        self.sent.append(self._made(FakeOutgoingServer(options=AdapterOptions(watcher))))
        return self.sent[-1]

    def _made(self, server):
        self.connected += 1
        kind = "incoming" if isinstance(server, FakeIncomingServer) else "outgoing"
        for where, error in self.errors.items():
            side, _, method = where.partition(".")
            if side == kind:
                server.fail(method, error)
        return server

    def run(self, at=NOW, **options) -> testing.TestReport:
        return testing.test_mailbox(
            self.mailbox,
            clock=lambda: at,
            connect_incoming=self.incoming,
            connect_outgoing=self.outgoing,
            **options,
        )

    def schedule(self, at=NOW) -> None:
        services.schedule_test(mailboxes=Mailbox.objects.filter(pk=self.mailbox.pk), now=at)

    def scheduled(self) -> bool:
        return Mailbox.objects.get(pk=self.mailbox.pk).test_email_configuration_scheduled

    def workload(self, operation: Operation) -> Workload:
        return self.mailbox.workloads.get(operation=operation)

    def states(self) -> list[tuple[int, bool]]:
        rows = self.mailbox.workloads.order_by("operation")
        return [(row.test_status, row.enabled) for row in rows]

    def alerts(self, subject=None) -> dict[str, int]:
        subject = subject or self.mailbox
        rows = TraceLog.objects.filter(subject_key=str(subject.pk), closed_on__isnull=True)
        return {row.code: row.level for row in rows}


def enabled(account: Account, **options) -> testing.TestReport:
    return testing.test_mailbox(
        account.mailbox,
        clock=lambda: NOW,
        connect_incoming=account.connect,
        connect_outgoing=lambda *_: account.outgoing,
        **options,
    )


# -- what is tested


@pytest.mark.rule("R2.11", "R2.12", "R2.16", "R1.42")
def test_success_enables_exactly_the_workloads_of_server_side_synchronization():
    bench = Bench(
        incoming_email_delivery_method=IncomingDeliveryMethod.SERVER_SIDE_SYNC,
        outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE,
        act_delivery_method=ActDeliveryMethod.NONE,
    )

    report = bench.run()

    assert report.ok
    assert bench.states() == [(SUCCESS, True), (NOT_RUN, False), (NOT_RUN, False)]
    assert bench.workload(INCOMING).tested_at == NOW


@pytest.mark.rule("R2.16")
def test_success_clears_errors_and_postponement_and_informs():
    bench = Bench()
    bench.mailbox.workloads.update(
        consecutive_failures=4,
        postponed_until=NOW + timedelta(hours=1),
        state=WorkloadState.DISABLED,
        state_code="InvalidCredentials",
        last_error_code="InvalidCredentials",
    )

    bench.run()

    row = bench.workload(INCOMING)
    assert (row.consecutive_failures, row.postponed_until) == (0, None)
    assert (row.state, row.state_code, row.last_error_code) == (WorkloadState.READY, "", "")
    assert row.next_run_at == NOW
    assert bench.alerts() == {"TestAndEnableSucceeded": TraceLevel.INFORMATION}


@pytest.mark.rule("R2.13")
def test_the_incoming_test_goes_as_far_as_listing_the_inbox_and_times_each_step():
    bench = Bench()
    bench.run()
    steps = bench.workload(INCOMING).test_steps
    assert [step["step"] for step in steps] == [
        "resolve",
        "connect",
        "tls",
        "login",
        "open",
        "list",
    ]
    assert all(step["ok"] and step["ms"] >= 0 for step in steps)


@pytest.mark.rule("R2.14")
def test_the_outgoing_test_sends_one_message_from_the_mailbox_to_itself():
    bench = Bench()
    bench.run()

    (server,) = bench.sent
    (envelope,) = server.sent
    address = bench.mailbox.email_address
    assert (envelope.sender, envelope.recipients) == (address, (address,))
    sent = message_from_bytes(envelope.mime)
    assert sent["Auto-Submitted"] == "auto-generated"
    assert is_own_probe(" ".join(sent[OWN_HEADER].split()), bench.mailbox)


@pytest.mark.rule("R2.14")
def test_the_probe_that_arrives_is_ignored():
    account = Account(user_mailbox("ada"))
    enabled(account)
    account.box.deliver(account.outgoing.sent[0].mime)
    account.receive()
    item = SyncItem.objects.get()
    assert (item.state, item.reason) == ("skipped", "own_probe")


# -- failures


@pytest.mark.rule("R2.17")
def test_each_workload_is_judged_alone():
    bench = Bench()
    bench.errors["outgoing.open"] = OutgoingLoginRefused("535 no")

    report = bench.run()

    assert not report.ok
    assert bench.states()[:2] == [(SUCCESS, True), (FAILURE, False)]
    assert not bench.scheduled()


@pytest.mark.rule("R2.17")
def test_a_failure_is_an_error_on_the_mailbox_and_for_the_owner_of_the_profile():
    bench = Bench(outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE)
    bench.errors["incoming.open"] = LoginRefused("no")

    bench.run()

    row = bench.workload(INCOMING)
    assert (row.state, row.state_code) == (WorkloadState.DISABLED, "InvalidCredentials")
    expected = {"InvalidCredentials": TraceLevel.ERROR}
    assert bench.alerts() == bench.alerts(bench.mailbox.email_server_profile) == expected

    bench.errors.clear()
    bench.run()
    assert bench.alerts() == {"TestAndEnableSucceeded": TraceLevel.INFORMATION}
    assert bench.alerts(bench.mailbox.email_server_profile) == {}


@pytest.mark.rule("R8.5")
def test_a_fault_of_the_server_is_told_once_on_its_profile():
    profile = EmailServerProfileFactory()
    benches = [
        Bench(email_server_profile=profile, outgoing_email_delivery_method=0) for _ in range(3)
    ]
    for bench in benches:
        bench.errors["incoming.open"] = CertificateRejected("expired yesterday")
        bench.run()
    assert TraceLog.objects.filter(regarding_profile=profile).get().occurrences == 3


@pytest.mark.rule("R2.12", "R2.13", "R2.17")
def test_the_failing_step_says_what_happened_why_and_what_to_do():
    bench = Bench()
    bench.errors["incoming.list_new"] = ConnectionLost("closed by the other side")
    bench.run()
    row = bench.workload(INCOMING)
    failed = row.test_steps[-1]
    assert failed["ok"] is False and failed["code"] == "ServiceUnavailable"
    assert failed["text"] == "closed by the other side"
    assert failed["cause"] and failed["cure"]


def test_missing_credentials_are_a_step_of_their_own_before_any_network():
    bench = Bench(password="")
    report = testing.test_mailbox(bench.mailbox, clock=lambda: NOW)
    (step,) = bench.workload(INCOMING).test_steps
    assert (step["step"], step["code"]) == ("settings", "InvalidCredentials")
    assert "password" in step["text"]
    assert not report.ok


def test_a_refused_probe_is_final_and_a_bug_of_ours_is_not_the_servers():
    bench = Bench(incoming_email_delivery_method=0)
    bench.errors["outgoing.send"] = MessageRefused("550 no")
    bench.run()
    assert bench.workload(OUTGOING).state_code == "MessageRefused"


@pytest.mark.rule("R2.19")
@pytest.mark.parametrize(
    "columns, code",
    [
        ({"state_code": StateCode.INACTIVE}, "MailboxDisabled"),
        ({"email_router_access_approval": AccessApproval.PENDING}, "EmailAddressNotApproved"),
        ({"email_address": ""}, "EmailAddressMissing"),
    ],
    ids=["inactive", "not approved", "no address"],
)
def test_preconditions_are_checked_first_each_with_its_own_code(columns, code):
    bench = Bench(**columns)
    bench.run()
    assert bench.connected == 0
    for operation in (INCOMING, OUTGOING):
        row = bench.workload(operation)
        assert (row.test_status, row.test_steps[0]["code"]) == (FAILURE, code)


@pytest.mark.rule("R2.19")
@pytest.mark.parametrize(
    "columns, code",
    [
        ({"is_disabled": True}, "UserDisabled"),
        ({"is_licensed": False}, "UserNotLicensed"),
        ({"access_mode": AccessMode.ADMINISTRATIVE}, "UserNotLicensed"),
    ],
    ids=["disabled", "without licence", "not read-write"],
)
def test_the_user_must_be_enabled_licensed_and_read_write(columns, code):
    bench = Bench()
    SystemUser.objects.filter(pk=bench.mailbox.regarding_user_id).update(**columns)
    bench.run()
    assert bench.connected == 0
    assert [bench.workload(each).state_code for each in (INCOMING, OUTGOING)] == [code, code]


@pytest.mark.rule("R2.19")
def test_a_profile_must_be_there_and_the_combination_possible():
    bench = Bench()
    Mailbox.objects.filter(pk=bench.mailbox.pk).update(email_server_profile=None)
    bench.run()
    assert bench.workload(INCOMING).state_code == "InvalidIncomingEmailServerProfile"

    pop3 = EmailServerProfileFactory(server_type=ServerType.POP3_SMTP)
    bench = Bench(email_server_profile=pop3, act_delivery_method=ActDeliveryMethod.SERVER_SIDE_SYNC)
    bench.run()
    row = bench.workload(ACT)
    assert (row.test_status, row.state_code) == (FAILURE, "ActNotSupported")
    assert bench.states()[:2] == [(SUCCESS, True), (SUCCESS, True)]


@pytest.mark.rule("R2.19")
def test_an_inactive_profile_is_reported_for_each_direction_by_its_own_code():
    bench = Bench()
    profile = EmailServerProfile.objects.filter(pk=bench.mailbox.email_server_profile_id)
    profile.update(state_code=StateCode.INACTIVE)
    bench.run()
    assert bench.workload(INCOMING).state_code == "InvalidIncomingEmailServerProfile"
    assert bench.workload(OUTGOING).state_code == "InvalidOutgoingEmailServerProfile"


# -- retries


@pytest.mark.rule("R2.18")
def test_passing_faults_are_tried_again_after_one_two_and_five_minutes_then_it_failed():
    bench = Bench(outgoing_email_delivery_method=0)
    bench.schedule()
    bench.errors["incoming.open"] = ConnectionLost("gone")
    at, waits = NOW, []

    for _ in range(3):
        (result,) = bench.run(at).results
        assert (result.status, bench.scheduled()) == (None, True)
        waits.append(result.again_at - at)
        at = result.again_at
    (last,) = bench.run(at).results

    assert [wait / timedelta(minutes=1) for wait in waits] == [1, 2, 5]
    assert last.status == FAILURE and not bench.scheduled()
    assert bench.workload(INCOMING).test_attempts == 3


@pytest.mark.rule("R2.18")
def test_a_retry_that_is_not_due_does_nothing_and_one_that_is_tests_only_what_is_open():
    bench = Bench()
    bench.schedule()
    bench.errors["outgoing.open"] = ConnectionLost("gone")
    bench.run()
    bench.errors.clear()

    assert bench.run(NOW + timedelta(seconds=30)).results == ()
    (result,) = bench.run(NOW + timedelta(minutes=1)).results

    assert (result.operation, result.status) == (OUTGOING, SUCCESS)
    assert not bench.scheduled()


@pytest.mark.rule("R2.18", "R2.17")
def test_until_it_is_decided_a_passing_fault_changes_nothing():
    bench = Bench(outgoing_email_delivery_method=0)
    bench.run()
    bench.schedule()
    bench.errors["incoming.open"] = ConnectionLost("gone")
    bench.run()
    assert bench.states()[0] == (SUCCESS, True)


@pytest.mark.rule("R2.9", "R9.7")
def test_a_workload_that_runs_is_tested_when_it_is_free():
    bench = Bench(outgoing_email_delivery_method=0)
    bench.schedule()
    claim_one(bench.mailbox.pk, INCOMING, NOW, "worker:7", force=True)

    (result,) = bench.run().results

    assert result.status is None and "worker:7" in result.text
    assert bench.connected == 0 and bench.scheduled()


@pytest.mark.rule("R2.10")
def test_a_test_asked_for_while_one_runs_stays_scheduled():
    bench = Bench(outgoing_email_delivery_method=0)
    bench.schedule()
    connect = bench.incoming

    def asked_again(*args):
        bench.schedule(at=NOW + timedelta(seconds=1))
        return connect(*args)

    bench.incoming = asked_again
    bench.run()
    assert bench.scheduled()


# -- looking again


@pytest.mark.rule("R2.21")
@pytest.mark.parametrize(
    "before, box, reset",
    [(None, None, True), (NOW, None, False), (NOW, True, True), (None, False, False)],
    ids=["first test", "later test", "box ticked", "box not ticked"],
)
def test_older_mail_is_looked_at_again_at_the_first_test_or_if_wanted(before, box, reset):
    bench = Bench()
    bench.mailbox.workloads.update(tested_at=before)
    cursor = FolderCursor.objects.create(
        mailbox=bench.mailbox, folder="INBOX", cursor="1.99", watermark=NOW, onboarded=True
    )
    bench.run(reset_watermark=box)
    cursor.refresh_from_db()
    assert (cursor.cursor == "", cursor.watermark is None) == (reset, reset)


@pytest.mark.rule("R2.21")
def test_looking_again_doubles_nothing():
    account = Account(user_mailbox("ada"))
    account.box.deliver(b"From: c@customer.example\r\nTo: ada@example.com\r\n\r\nHello\r\n")
    account.receive()
    before = SyncItem.objects.get()
    enabled(account, reset_watermark=True)
    account.receive()
    assert SyncItem.objects.get().pk == before.pk


def test_a_summary_names_mailbox_and_outcomes():
    bench = Bench()
    text = bench.run().summary()
    assert bench.mailbox.name in text and text.count("success") == 2


@pytest.mark.rule("R2.19", "R3.29")
def test_mail_that_nobody_may_own_fails_the_incoming_test_alone():
    owner = SystemUserFactory(first_name="Olga", last_name="")
    bench = Bench(party=QueueFactory(owning_user=owner))
    SystemUser.objects.filter(pk=owner.pk).update(is_licensed=False)
    bench.run()
    assert bench.states()[:2] == [(FAILURE, False), (SUCCESS, True)]
    (step,) = bench.workload(INCOMING).test_steps
    assert step["code"] == "8005E259"
    assert step["text"].startswith("Olga may not own email: without a licence (R3.29).")


@pytest.mark.rule("R2.19", "R3.29")
def test_a_queue_of_a_team_that_may_own_nothing_fails_the_incoming_test():
    team = TeamFactory()
    bench = Bench(party=QueueFactory(owning_user=None, owning_team=team))
    bench.run()
    assert bench.workload(INCOMING).test_steps[0]["code"] == "OwnerTeamHasNoRole"
    team.members.add(SystemUserFactory())
    bench.run()
    assert bench.states()[0] == (SUCCESS, True)
