"""From what is due to a finished run: eligibility, consequences, statistics, alerts, cost."""

from datetime import timedelta
from functools import partial

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django_q.models import OrmQ

from activities.choices import ActivityType, Direction, EmailStatus
from activities.models import ActivityPointer, Email
from mailboxes import choices
from mailboxes.choices import AccessApproval, Operation, StateCode, TraceLevel
from mailboxes.models import EmailServerProfile, Mailbox, TraceLog
from mailboxes.protocols.errors import (
    CertificateRejected,
    ConnectionLost,
    LoginRefused,
    ServerBusy,
    SocketTimedOut,
)
from serversync import engine, waking
from serversync.choices import SubmissionState, WorkloadState
from serversync.cycle import CycleResult
from serversync.leases import claim, claim_one
from serversync.models import MailboxStatistics, Submission, SyncItem, Workload
from serversync.receive import receive
from serversync.send import send
from tests.factories.mailboxes import EmailServerProfileFactory, organization, ready_mailbox
from tests.integration.serversync.cycles import NOW, Account, message, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

INCOMING, OUTGOING = Operation.INCOMING, Operation.OUTGOING


@pytest.fixture
def cycles(monkeypatch):
    """Cycles that do what a test says: an exception is raised, anything else is the result. The
    default is a cycle without mail. `cycles.ran` lists the mailboxes in the order of their runs."""

    class Cycles(dict):
        def __init__(self) -> None:
            super().__init__()
            self.ran: list[str] = []

        def run(self, operation, context, token, *, clock):
            self.ran.append(context.mailbox.name)
            outcome = self.get(context.mailbox.pk, CycleResult())
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

    made = Cycles()
    for operation in (INCOMING, OUTGOING):
        monkeypatch.setitem(engine.CYCLES, operation, partial(made.run, operation))
    return made


def due_mailbox(operation: Operation = INCOMING, **columns) -> Workload:
    mailbox = ready_mailbox(**columns)
    mailbox.workloads.exclude(operation=operation).update(enabled=False)
    mailbox.workloads.update(next_run_at=NOW - timedelta(minutes=1))
    return mailbox.workloads.get(operation=operation)


def run(at=NOW, **options):
    return engine.work(lambda: at, holder="here:1", stopping=lambda: False, **options)


def run_row(row: Workload, at=NOW) -> engine.Report:
    """One run of this workload, due or not."""
    Workload.objects.filter(pk=row.pk).update(next_run_at=at, postponed_until=None)
    claimed = claim_one(row.mailbox_id, Operation(row.operation), at, "here:1")
    report = engine.run_claim(claimed, clock=lambda: at, jitter=lambda: 0.5)
    row.refresh_from_db()
    return report


def open_alerts(subject) -> dict[str, int]:
    rows = TraceLog.objects.filter(subject_key=str(subject.pk), closed_on__isnull=True)
    return {row.code: row.level for row in rows}


def mail(processed: int = 1, **columns) -> CycleResult:
    result = CycleResult(**columns)
    for _ in range(processed):
        result.count("tracked")
    return result


@pytest.mark.rule("R1.36")
def test_of_a_mailbox_with_incoming_none_nothing_is_read_by_itself_or_by_hand(cycles):
    row = due_mailbox()
    Mailbox.objects.filter(pk=row.mailbox_id).update(
        incoming_email_delivery_method=choices.IncomingDeliveryMethod.NONE
    )

    run()
    report = engine.run_one(row.mailbox, INCOMING, force=True, clock=lambda: NOW)

    assert cycles.ran == []
    assert (report.ok, report.code) == (False, "DeliveryMethodNotServerSide")


# -- success


@pytest.mark.rule("R5.2")
def test_a_run_before_its_time_forgets_no_mail_that_can_be_undone(cycles):
    row = due_mailbox(OUTGOING)
    soon = NOW + timedelta(seconds=25)
    pending_email(row.mailbox, postpone_email_processing_until=soon)
    pending_email(row.mailbox, postpone_email_processing_until=soon + timedelta(hours=1))

    run_row(row)

    assert row.next_run_at == soon
    Email.objects.update(postpone_email_processing_until=None)
    run_row(row)
    assert row.next_run_at > NOW + timedelta(minutes=1)


@pytest.mark.rule("R9.1", "R9.2")
def test_the_next_run_is_computed_from_the_end_of_the_run(cycles):
    row = due_mailbox()
    Workload.objects.filter(pk=row.pk).update(gap_seconds=480)
    cycles[row.mailbox_id] = mail()
    ticks = iter([NOW, NOW])

    (claimed,) = claim(NOW, 1, "here:1")
    engine.run_claim(claimed, clock=lambda: next(ticks, NOW + timedelta(minutes=4)))

    row.refresh_from_db()
    assert row.gap_seconds == 240
    assert row.next_run_at == NOW + timedelta(minutes=4, seconds=240)


@pytest.mark.rule("R9.1")
def test_an_idle_mailbox_is_polled_ever_more_seldom(cycles):
    row = due_mailbox()
    gaps = []
    for _ in range(4):
        run_row(row)
        gaps.append(row.gap_seconds)
    assert gaps == [300, 450, 675, 720]
    assert row.idle_cycles == 4


@pytest.mark.rule("R1.29", "R9.1")
def test_the_polling_floor_of_the_profile_is_kept(cycles):
    profile = EmailServerProfileFactory(min_polling_interval_in_minutes=60)
    row = due_mailbox(email_server_profile=profile)
    cycles[row.mailbox_id] = mail()
    run_row(row)
    assert row.next_run_at == NOW + timedelta(minutes=60)


@pytest.mark.rule("R9.9")
def test_work_that_a_limit_cut_off_goes_on_at_once(cycles):
    row = due_mailbox()
    cycles[row.mailbox_id] = mail(500, more=True)
    run_row(row)
    assert row.next_run_at == NOW


@pytest.mark.rule("R8.3")
def test_success_ends_a_row_of_failures_and_clears_what_they_told(cycles):
    organization(generate_alerts_for_warnings=True)
    row = due_mailbox()
    cycles[row.mailbox_id] = ConnectionLost("gone")
    run_row(row)
    profile = row.mailbox.email_server_profile
    assert row.consecutive_failures == 1
    assert open_alerts(profile) == {"ServiceUnavailable": TraceLevel.WARNING}

    cycles.clear()
    run_row(row)

    assert (row.consecutive_failures, row.last_error_code, row.postponed_until) == (0, "", None)
    assert open_alerts(profile) == open_alerts(row.mailbox) == {}


# -- failures


@pytest.mark.rule("R8.2", "R8.11")
def test_a_permanent_error_disables_only_the_workload_it_concerns(cycles):
    row = due_mailbox()
    row.mailbox.workloads.filter(operation=OUTGOING).update(enabled=True)
    cycles[row.mailbox_id] = LoginRefused("535 no")

    report = run_row(row)

    assert not report.ok and report.code == "InvalidCredentials"
    assert (row.enabled, row.state, row.state_code) == (
        False,
        WorkloadState.DISABLED,
        "InvalidCredentials",
    )
    assert row.mailbox.workloads.get(operation=OUTGOING).enabled
    assert open_alerts(row.mailbox) == {"InvalidCredentials": TraceLevel.ERROR}
    later = claim(NOW + timedelta(days=9), 9, "here")
    assert [each.operation for each in later] == [OUTGOING]


@pytest.mark.rule("R8.3", "R8.11", "R8.13")
def test_a_transient_error_postpones_and_warns_if_warnings_are_wanted(cycles):
    organization(generate_alerts_for_warnings=True)
    row = due_mailbox()
    cycles[row.mailbox_id] = SocketTimedOut("no answer")

    run_row(row)

    assert row.enabled and row.state == WorkloadState.READY
    assert row.postponed_until == row.next_run_at == NOW + timedelta(minutes=5)
    assert open_alerts(row.mailbox.email_server_profile) == {"SocketTimedOut": TraceLevel.WARNING}


@pytest.mark.rule("R9.5")
def test_the_servers_own_back_off_is_honoured(cycles):
    row = due_mailbox()
    cycles[row.mailbox_id] = ServerBusy("later", hint_seconds=5_000)
    run_row(row)
    assert row.next_run_at == NOW + timedelta(seconds=5_000)


@pytest.mark.rule("R8.5")
def test_exhausted_failures_pause_and_recover_by_themselves(cycles):
    organization(max_mailbox_transient_failures=3)
    row = due_mailbox()
    cycles[row.mailbox_id] = ConnectionLost("gone")
    for _ in range(3):
        run_row(row)

    assert (row.enabled, row.state, row.state_code) == (
        True,
        WorkloadState.PAUSED,
        "ServiceUnavailable",
    )
    assert row.next_run_at == NOW + timedelta(minutes=15)

    cycles.clear()
    at = NOW + timedelta(minutes=15)
    (probe,) = claim(at, 1, "here")
    engine.run_claim(probe, clock=lambda: at)

    row.refresh_from_db()
    assert (row.state, row.state_code, row.consecutive_failures) == (WorkloadState.READY, "", 0)


@pytest.mark.rule("R8.3", "R8.5")
def test_under_strict_parity_exhausted_failures_disable_with_an_error_of_the_same_code(cycles):
    organization(max_mailbox_transient_failures=3, strict_parity=True)
    row = due_mailbox()
    cycles[row.mailbox_id] = ConnectionLost("gone")
    for _ in range(3):
        run_row(row)

    assert (row.enabled, row.state) == (False, WorkloadState.DISABLED)
    assert open_alerts(row.mailbox) == {"ServiceUnavailable": TraceLevel.ERROR}


@pytest.mark.rule("R8.5")
@pytest.mark.parametrize("strict, where", [(False, "profile"), (True, "mailboxes")])
def test_one_outage_of_a_server_is_one_alert_but_under_strict_parity(cycles, strict, where):
    organization(strict_parity=strict)
    profile = EmailServerProfileFactory()
    rows = [due_mailbox(email_server_profile=profile) for _ in range(3)]
    for row in rows:
        cycles[row.mailbox_id] = CertificateRejected("expired")
        run_row(row)
    expected = {
        "profile": (1, 0),
        "mailboxes": (0, 3),
    }[where]
    on_profile = TraceLog.objects.filter(regarding_profile=profile).count()
    on_mailboxes = TraceLog.objects.filter(regarding_mailbox__isnull=False).count()
    assert (on_profile, on_mailboxes) == expected


def test_a_fault_of_our_own_postpones_the_mailbox_and_is_not_shown_as_the_servers(cycles):
    row = due_mailbox()
    cycles[row.mailbox_id] = ZeroDivisionError("ours\0")
    report = run_row(row)
    assert report.code == "IncomingMailboxInternalCrmError"
    assert row.state == WorkloadState.READY and row.next_run_at > NOW
    assert "ZeroDivisionError" in row.last_error_text


@pytest.mark.rule("R8.4")
def test_one_failing_mailbox_never_stops_the_others(cycles):
    bad, good = due_mailbox(), due_mailbox()
    cycles[bad.mailbox_id] = RuntimeError("bug")

    tally = run()

    assert (tally.runs, tally.failed) == (2, 1)
    good.refresh_from_db()
    assert good.last_success_at == NOW


def test_a_worker_that_is_stopped_in_a_cycle_frees_the_mailbox_and_gives_the_others_back(cycles):
    rows = [due_mailbox() for _ in range(3)]
    for row in rows:
        cycles[row.mailbox_id] = SystemExit("time is over")

    with pytest.raises(SystemExit):
        run()

    assert len(cycles.ran) == 1
    assert not Workload.objects.filter(lease_token__isnull=False).exists()
    assert len(claim(NOW, 9, "next")) == 2


def test_an_interrupted_command_leaves_the_mailbox_as_due_as_before(cycles):
    row = due_mailbox()
    cycles[row.mailbox_id] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run()
    row.refresh_from_db()
    assert (row.lease_token, row.consecutive_failures) == (None, 0)
    assert len(claim(NOW, 1, "next")) == 1


def test_a_mailbox_that_kills_its_worker_again_and_again_is_paused(cycles):
    organization(max_mailbox_transient_failures=3)
    row = due_mailbox()
    at = NOW
    for _ in range(3):  # each worker dies without a word
        (claimed,) = claim(at, 1, "killed")
        at += timedelta(minutes=5)
    (claimed,) = claim(at, 1, "careful")
    engine.run_claim(claimed, clock=lambda: at)

    row.refresh_from_db()
    assert cycles.ran == []
    assert (row.state, row.leases_broken) == (WorkloadState.PAUSED, 3)
    assert row.next_run_at == at + timedelta(minutes=15)


# -- refused


@pytest.mark.rule("R2.7")
def test_an_unapproved_mailbox_is_disabled_with_an_alert_for_both_owners(cycles):
    row = due_mailbox(email_router_access_approval=AccessApproval.PENDING)

    report = run_row(row)

    assert cycles.ran == []
    assert (report.ran, report.code) == (False, "EmailAddressNotApproved")
    assert (row.enabled, row.state_code) == (False, "EmailAddressNotApproved")
    for subject in (row.mailbox, row.mailbox.email_server_profile):
        assert open_alerts(subject) == {"EmailAddressNotApproved": TraceLevel.ERROR}
    text = TraceLog.objects.get(regarding_mailbox=row.mailbox).text
    assert "Approve" in text and "Test & Enable" in text


@pytest.mark.rule("R2.3")
def test_without_the_switch_approval_is_ignored(cycles):
    organization(require_approval_for_user_email=False)
    row = due_mailbox(email_router_access_approval=AccessApproval.PENDING)
    assert run_row(row).ok


@pytest.mark.rule("R1.40", "R1.41")
def test_an_inactive_mailbox_is_not_processed(cycles):
    row = due_mailbox(state_code=StateCode.INACTIVE)
    assert run_row(row).code == "MailboxDisabled"
    assert cycles.ran == [] and not row.enabled


@pytest.mark.rule("R1.40")
def test_a_mailbox_without_a_profile_is_not_processed(cycles):
    row = due_mailbox()
    Mailbox.objects.filter(pk=row.mailbox_id).update(email_server_profile=None)
    assert run_row(row).code == "InvalidIncomingEmailServerProfile"
    assert cycles.ran == []


@pytest.mark.rule("R1.32")
def test_each_attempt_under_an_inactive_profile_reports_it_and_the_flags_stay(cycles):
    row = due_mailbox()
    profiles = EmailServerProfile.objects.filter(pk=row.mailbox.email_server_profile_id)
    profiles.update(state_code=StateCode.INACTIVE)

    for _ in range(2):
        assert run_row(row).code == "InvalidIncomingEmailServerProfile"
    assert row.enabled and cycles.ran == []
    assert TraceLog.objects.get(regarding_mailbox=row.mailbox).occurrences == 2

    profiles.update(state_code=StateCode.ACTIVE)
    assert run_row(row).ok
    assert open_alerts(row.mailbox) == {}


@pytest.mark.rule("R1.39", "R1.42")
def test_what_was_never_tested_is_not_run_even_if_somebody_asks(cycles):
    row = due_mailbox()
    Workload.objects.filter(pk=row.pk).update(enabled=False, test_status=choices.TestStatus.NOT_RUN)
    report = engine.run_one(row.mailbox, INCOMING, force=True, clock=lambda: NOW)
    assert (report.ok, report.code) == (False, "NotTested")
    assert cycles.ran == [] and TraceLog.objects.count() == 0


# -- statistics


@pytest.mark.rule("R8.32")
def test_idle_runs_leave_no_statistics_and_others_one_row_each(cycles):
    row = due_mailbox()
    run_row(row)
    assert not MailboxStatistics.objects.exists()

    cycles[row.mailbox_id] = mail(2)
    run_row(row)
    cycles[row.mailbox_id] = ConnectionLost("gone")
    run_row(row)

    good, bad = MailboxStatistics.objects.order_by("pk")
    assert (good.process_result, good.items_processed, good.items_by_state) == (
        True,
        2,
        {"tracked": 2},
    )
    assert (bad.process_result, bad.error_code) == (False, "ServiceUnavailable")


@pytest.mark.rule("R8.32")
def test_a_run_that_somebody_asked_for_is_noted_even_if_idle(cycles):
    row = due_mailbox()
    waking.wake([row.mailbox_id], INCOMING, NOW)
    run()
    assert MailboxStatistics.objects.get().mailbox_id == row.mailbox_id


# -- due, woken, swept


def queued() -> list[str]:
    return [row.task["func"] for row in OrmQ.objects.order_by("id")]


def test_dispatch_says_in_the_queue_that_there_is_work(cycles):
    for _ in range(5):
        due_mailbox()
    engine.dispatch(NOW)
    assert queued() == ["serversync.jobs.work"] * 2


def test_dispatch_does_not_pile_up_what_nobody_has_taken(cycles):
    due_mailbox()
    engine.dispatch(NOW)
    OrmQ.objects.update(lock=NOW)
    engine.dispatch(NOW + timedelta(minutes=1))
    assert len(queued()) == 1


def test_an_emptied_queue_costs_no_work(cycles):
    row = due_mailbox()
    engine.dispatch(NOW)
    OrmQ.objects.all().delete()
    engine.dispatch(NOW + timedelta(minutes=1))
    assert queued() == ["serversync.jobs.work"]
    run(at=NOW + timedelta(minutes=1))
    assert cycles.ran == [row.mailbox.name]


@pytest.mark.rule("R9.3")
def test_a_job_that_comes_twice_finds_nothing_to_do(cycles):
    due_mailbox()
    run()
    assert run().runs == 0 and len(cycles.ran) == 1


@pytest.mark.rule("R5.8")
def test_waking_makes_a_workload_due_and_queues_a_job_in_one_transaction(cycles):
    row = due_mailbox(OUTGOING)
    Workload.objects.filter(pk=row.pk).update(next_run_at=NOW + timedelta(hours=1))

    assert waking.wake([row.mailbox_id], OUTGOING, NOW) == 1

    assert queued() == ["serversync.jobs.work"]
    run()
    assert cycles.ran == [row.mailbox.name]


@pytest.mark.rule("R5.13")
def test_new_mail_does_not_end_a_pause_after_failures_but_a_person_does(cycles):
    row = due_mailbox(OUTGOING)
    Workload.objects.filter(pk=row.pk).update(postponed_until=NOW + timedelta(hours=1))

    waking.wake([row.mailbox_id], OUTGOING, NOW)
    assert run().runs == 0
    waking.wake([row.mailbox_id], OUTGOING, NOW, by_hand=True)
    assert run().runs == 1


@pytest.mark.rule("R8.5")
def test_nobody_wakes_what_is_disabled(cycles):
    row = due_mailbox()
    Workload.objects.filter(pk=row.pk).update(enabled=False)
    assert waking.wake([row.mailbox_id], INCOMING, NOW, by_hand=True) == 0
    assert queued() == []


def pending_email(mailbox: Mailbox, **columns) -> Email:
    pointer = ActivityPointer.objects.create(
        activity_type_code=ActivityType.EMAIL,
        subject="Hi",
        owning_user=mailbox.regarding_user,
        sort_date=NOW,
    )
    return Email.objects.create(
        activity=pointer,
        direction_code=Direction.OUTGOING,
        sender_mailbox=mailbox,
        **{"status_code": EmailStatus.PENDING_SEND} | columns,
    )


@pytest.mark.rule("R5.8")
@pytest.mark.parametrize(
    "columns, swept",
    [
        ({}, 1),
        ({"delayed_email_send_time": NOW}, 1),
        ({"delayed_email_send_time": NOW + timedelta(seconds=1)}, 0),
        ({"postpone_email_processing_until": NOW + timedelta(seconds=1)}, 0),
        ({"status_code": EmailStatus.DRAFT}, 0),
    ],
    ids=["pending", "its time has come", "later", "postponed", "draft"],
)
def test_the_sweep_finds_mail_that_may_leave(columns, swept):
    row = due_mailbox(OUTGOING)
    Workload.objects.update(next_run_at=NOW + timedelta(minutes=10))
    pending_email(row.mailbox, **columns)
    assert engine.sweep_outgoing(NOW) == swept


@pytest.mark.rule("R5.17")
def test_the_sweep_finds_what_a_dead_worker_left_behind_but_not_what_waits_for_a_person():
    row = due_mailbox(OUTGOING)
    Workload.objects.update(next_run_at=NOW + timedelta(minutes=10))
    email = pending_email(row.mailbox, status_code=EmailStatus.SENDING)
    submission = Submission.objects.create(
        email=email,
        mailbox=row.mailbox,
        state=SubmissionState.HANDED_OVER,
        claim_token=email.pk,
        claim_expires_at=NOW,
    )
    assert engine.sweep_outgoing(NOW) == 1
    Workload.objects.update(next_run_at=NOW + timedelta(minutes=10))
    Submission.objects.filter(pk=submission.pk).update(state=SubmissionState.UNKNOWN)
    assert engine.sweep_outgoing(NOW) == 0
    Submission.objects.filter(pk=submission.pk).update(look_again_at=NOW)
    assert engine.sweep_outgoing(NOW) == 1


@pytest.mark.rule("R2.9")
def test_dispatch_picks_scheduled_tests_up():
    mailbox = ready_mailbox(test_email_configuration_scheduled=True)
    mailbox.workloads.update(next_run_at=NOW + timedelta(hours=1))
    engine.dispatch(NOW)
    (job,) = OrmQ.objects.all()
    assert (job.task["func"], job.task["args"]) == (
        "serversync.jobs.test_mailbox",
        (str(mailbox.pk), None, False),
    )


@pytest.mark.rule("R2.18")
def test_a_test_to_be_tried_again_waits_for_its_time_and_for_the_worker_that_has_the_mailbox():
    mailbox = ready_mailbox(test_email_configuration_scheduled=True)
    workloads = mailbox.workloads
    soon, late = NOW + timedelta(minutes=1), NOW + timedelta(minutes=5)
    workloads.filter(operation=INCOMING).update(test_postponed_until=soon)
    workloads.filter(operation=OUTGOING).update(test_postponed_until=late)
    assert list(engine.tests_due(NOW)) == []
    assert list(engine.tests_due(soon)) == [mailbox.pk]
    claim_one(mailbox.pk, INCOMING, soon, "worker", force=True)
    assert list(engine.tests_due(soon)) == []


# -- whole runs over fake servers


@pytest.fixture
def ada(monkeypatch) -> Account:
    account = Account(user_mailbox("ada"))
    account.mailbox.workloads.filter(operation=OUTGOING).update(enabled=False)
    account.mailbox.workloads.update(next_run_at=NOW)
    monkeypatch.setitem(engine.CYCLES, INCOMING, partial(receive, connect=account.connect))
    monkeypatch.setitem(
        engine.CYCLES, OUTGOING, partial(send, connect=lambda *_, **__: account.outgoing)
    )
    return account


@pytest.mark.rule("R9.10")
def test_mail_that_waits_on_a_server_is_received(ada):
    ada.box.deliver(message(message_id="one@customer.example"))
    tally = run()
    assert (tally.items, tally.failed) == (1, 0)
    assert SyncItem.objects.get().state == "tracked"


def test_an_idle_poll_costs_at_most_four_statements(monkeypatch):
    accounts = {}
    for number in range(8):
        account = Account(user_mailbox(f"user{number}"))
        account.mailbox.workloads.filter(operation=OUTGOING).update(enabled=False)
        account.mailbox.workloads.update(next_run_at=NOW)
        account.box.deliver(message(message_id=f"{number}@customer.example"))
        accounts[account.mailbox.pk] = account
    monkeypatch.setitem(
        engine.CYCLES,
        INCOMING,
        partial(receive, connect=lambda mailbox, *_: accounts[mailbox.pk].connect()),
    )
    assert run().items == 8
    later = NOW + timedelta(hours=1)
    Workload.objects.update(next_run_at=later)

    with CaptureQueriesContext(connection) as captured:
        assert run(at=later).runs == 8

    kinds = ("SELECT", "INSERT", "UPDATE", "DELETE")
    statements = [q["sql"] for q in captured if q["sql"].startswith(kinds)]
    assert len(statements) <= 4 * 8, "\n".join(sql[:80] for sql in statements)
