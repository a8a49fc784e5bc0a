"""Runs what is due: claims workloads, runs their cycles, and draws the consequences.

    dispatch (each minute) ─┐
    wake (on send, by hand) ┴─> jobs in the queue ─> work: claim a few ─> run_claim ─> cycle
                                                       └────── until nothing is due ──────┘

A job in the queue says only "there may be work": the truth is in the workloads, so that a queue which
was emptied costs a minute, and a job delivered twice finds nothing to do. `run_claim` is the outermost
frame of one mailbox's cycle; whatever goes wrong in it stays in it.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from random import random
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q
from django.utils import timezone
from django.utils.translation import gettext as _
from django_q.conf import Conf
from django_q.models import OrmQ

from activities.models import Email
from mailboxes.choices import Operation
from mailboxes.conditions import Nature, explain, nature_of
from mailboxes.eligibility import PROFILE_CODES, Verdict, eligible, facts_of
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.errors import ServerError, SocketTimedOut
from serversync.act.cycle import synchronize
from serversync.cadence import gaps_of, limits_of
from serversync.choices import SubmissionState, WorkloadState
from serversync.context import Context, load
from serversync.cycle import Clock, CycleResult
from serversync.due import Failure, Gaps, Limits, NewState, after_failure, next_gap
from serversync.leases import (
    Busy,
    Claim,
    LeaseLost,
    claim,
    claim_one,
    finish,
    give_back,
    is_due,
    is_free,
    is_running,
    this_worker,
)
from serversync.limits import code_of
from serversync.models import MailboxStatistics, Submission, Workload
from serversync.outages import clear_told, tell_failure, tell_owners
from serversync.receive import receive
from serversync.send import send
from serversync.supervisor import is_stopping
from serversync.turns import due as mail_due
from serversync.turns import soonest
from serversync.waking import MAX_JOBS, PAGE, enqueue_tests, enqueue_work, wake, wake_later, work_at

__all__ = [
    "FRESH_SECONDS", "INTERNAL", "Report", "Tally", "continue_later", "dispatch", "enqueue_tests",
    "run_claim", "run_one", "sweep_outgoing", "tests_due", "wake", "wake_later", "work", "work_at",
]  # fmt: skip

log = logging.getLogger(__name__)

FRESH_SECONDS = 30  # what was claimed longer ago and not begun is given back to other workers
WORK_SECONDS = 45  # then the job ends and another one goes on, so that others have their turn
LONGEST_WAIT = timedelta(minutes=15)  # for a limit, which somebody may have raised meanwhile
MINUTE = timedelta(minutes=1)  # what is due before is found too late by dispatch
SOON = 30  # seconds; work that has time is taken up again after fresh mail of others

#: A fault of our own in a cycle, told apart from the server's.
INTERNAL = "IncomingMailboxInternalCrmError"


@dataclass(frozen=True, slots=True)
class Report:
    """What one run came to. `ran`: the cycle began; `ok`: and nothing stopped it."""

    mailbox: str
    operation: Operation
    ok: bool
    text: str
    code: str = ""
    ran: bool = True
    result: CycleResult | None = None

    def __str__(self) -> str:
        return f"{self.mailbox} ({self.operation.label}): {self.text}"


@dataclass(slots=True)
class Tally:
    """What one job did."""

    runs: int = 0
    failed: int = 0
    items: int = 0
    more: bool = False
    reports: list[Report] = field(default_factory=list)

    def count(self, report: Report) -> None:
        self.runs += 1
        self.failed += not report.ok
        self.items += sum(report.result.by_state.values()) if report.result else 0
        self.reports.append(report)

    def summary(self) -> str:
        return f"{self.runs} runs, {self.failed} failed, {self.items} items"


# -- from the queue to the cycles ----------------------------------------------------------------


def dispatch(now: datetime) -> str:
    """Once a minute: find what is due, tested or sent, and say so in the queue."""
    with transaction.atomic():
        swept = sweep_outgoing(now)
        due = Workload.objects.filter(is_due(now) & is_free(now)).count()
        tests = list(tests_due(now)[:MAX_JOBS])
        waiting = OrmQ.objects.filter(key=Conf.CLUSTER_NAME, lock__lte=now).count()
        jobs = max(0, min(MAX_JOBS, -(-due // PAGE)) - waiting)
        enqueue_work(jobs)
        if not waiting:
            enqueue_tests(tests)
    return f"{due} due, {swept} with mail to send, {len(tests)} tests, {jobs} jobs"


def sweep_outgoing(now: datetime) -> int:
    """Make outgoing workloads due whose mailbox has mail to send, or mail left behind by a worker
    that is gone (R5.8). One statement; workloads without mail stay asleep."""
    pending = Email.objects.filter(mail_due(now), sender_mailbox=OuterRef("mailbox_id"))
    left_behind = Submission.objects.filter(
        Q(
            claim_expires_at__lte=now,
            state__in=[SubmissionState.CLAIMED, SubmissionState.HANDED_OVER],
        )
        | Q(state=SubmissionState.UNKNOWN, look_again_at__lte=now),
        mailbox=OuterRef("mailbox_id"),
        settled=False,
    )
    return Workload.objects.filter(
        Q(Exists(pending)) | Q(Exists(left_behind)),
        is_free(now),
        Q(postponed_until__isnull=True) | Q(postponed_until__lte=now),
        operation=Operation.OUTGOING,
        enabled=True,
        next_run_at__gt=now,
    ).update(next_run_at=now)


def tests_due(now: datetime) -> "Any":
    """Keys of mailboxes whose scheduled test may run (R2.9, R2.18): none of their workloads is being
    tested or run, and one is to be tested for the first time or again."""
    rows = Workload.objects.filter(mailbox=OuterRef("pk"))
    to_retry = Exists(rows.filter(test_postponed_until__lte=now))
    all_wait = Exists(rows.filter(test_postponed_until__gt=now))
    return (
        Mailbox.objects.filter(to_retry | ~all_wait, test_email_configuration_scheduled=True)
        .filter(~Exists(rows.filter(is_running(now))))
        .order_by("test_and_enable_last_attempted_on", "pk")
        .values_list("pk", flat=True)
    )


def work(
    clock: Clock = timezone.now,
    *,
    holder: str | None = None,
    seconds: float = WORK_SECONDS,
    stopping: Callable[[], bool] = is_stopping,
) -> Tally:
    """Claim and run until nothing is due, the time is over or the cluster stops."""
    tally = Tally()
    holder = holder or this_worker()
    workers = int(settings.Q_CLUSTER["workers"])
    end = monotonic() + seconds
    while not stopping():
        if monotonic() >= end:
            tally.more = True
            break
        organization = Organization.objects.current()  # it may be changed while we work
        claims = claim(clock(), PAGE, holder, organization=organization, workers=workers)
        if not claims:
            break
        begun = monotonic()
        done = 0
        try:
            for each in claims:
                if done and (stopping() or monotonic() - begun > FRESH_SECONDS):
                    break
                done += 1
                tally.count(run_claim(each, clock=clock, organization=organization))
        finally:
            if claims[done:]:
                give_back(claims[done:], clock())
    return tally


def continue_later() -> None:
    """Whoever ran out of time hands on to the next job."""
    enqueue_work(1)


def run_one(
    mailbox: Mailbox, operation: Operation, *, force: bool = False, clock: Clock = timezone.now
) -> Report:
    """One run of one workload in the foreground, for commands and pages."""
    try:
        claimed = claim_one(mailbox.pk, operation, clock(), this_worker(), force=force)
    except Busy as busy:
        return Report(mailbox.name, operation, False, str(busy), "InProgress", ran=False)
    except Workload.DoesNotExist:
        return Report(
            mailbox.name, operation, False, explain("NotTested").sentence(), "NotTested", False
        )
    return run_claim(replace(claimed, requested=True), clock=clock)


# -- one claim -----------------------------------------------------------------------------------

CYCLES: dict[Operation, Callable[..., CycleResult]] = {
    Operation.INCOMING: receive,
    Operation.OUTGOING: send,
    Operation.ACT: synchronize,
}


def run_claim(
    claim: Claim,
    *,
    clock: Clock = timezone.now,
    jitter: Callable[[], float] = random,
    organization: Organization | None = None,
) -> Report:
    """Run one claimed workload and store what came of it. Never raises for what a mailbox or its
    server did; a worker that is told to stop notes that and goes."""
    began = monotonic()
    try:
        context = load(claim.mailbox_id, claim.operation, clock(), organization)
    except Workload.DoesNotExist:
        return Report(
            str(claim.mailbox_id), claim.operation, False, "The mailbox is gone.", ran=False
        )
    run = _Run(claim, context, began, clock, jitter)
    verdict = run.verdict()
    if not verdict.ok:
        return run.refuse(verdict)
    if claim.taken_over and run.is_exhausted():
        return run.fail(
            Failure("80040216"), "The worker that ran it was killed, again and again.", counted=True
        )
    try:
        result = CYCLES[claim.operation](context, claim.token, clock=clock)
    except LeaseLost:
        return run.report(False, explain("LeaseLost").sentence(), "LeaseLost")
    except ServerError as error:
        return run.fail(run.failure_of(error), str(error))
    except Exception as error:  # the outermost frame of a cycle: one mailbox never stops the others
        log.exception("%s: cycle failed", run.name)
        return run.fail(Failure(INTERNAL), f"{type(error).__name__}: {error}")
    except KeyboardInterrupt:
        give_back([claim], clock())
        raise
    except BaseException as error:
        # The job's time-out, or the end of the process: the next run shouldn't wait for the lease.
        run.fail(Failure("ErrorTimeoutExpired", timed_out=True), type(error).__name__)
        raise
    return run.succeed(result)


class _Run:
    """One run and what it leaves behind: the workload's row, statistics, alerts."""

    def __init__(
        self,
        claim: Claim,
        context: Context,
        began: float,
        clock: Clock,
        jitter: Callable[[], float],
    ) -> None:
        self.claim = claim
        self.workload = context.workload
        self.mailbox = context.mailbox
        self.organization = context.organization
        self.began = began
        self.clock = clock
        self.jitter = jitter
        self.name = f"{self.mailbox} ({claim.operation.label})"

    def report(self, ok: bool, text: str, code: str = "", ran: bool = True, **more: Any) -> Report:
        return Report(self.mailbox.name, self.claim.operation, ok, text, code, ran, **more)

    # -- refused

    def verdict(self) -> Verdict:
        facts = facts_of(self.mailbox, self.workload, self.organization)
        # Whoever claimed it has looked at pauses, and the lease is our own.
        return eligible(replace(facts, leased_until=None, postponed_until=None), self.clock())

    def refuse(self, verdict: Verdict) -> Report:
        """No network. What needs a person is disabled and told once (R2.7)."""
        now = self.clock()
        was_on = self.workload.enabled and self.workload.state != WorkloadState.DISABLED
        learned: dict[str, Any] = {}
        if was_on and verdict.code not in PROFILE_CODES.values():
            # A profile's own state leaves the flags alone: each attempt says so again (R1.32).
            learned["enabled"] = False
            if verdict.permanent:
                learned |= {"state": WorkloadState.DISABLED, "state_code": verdict.code}
                learned["state_since"] = now
        if was_on and verdict.permanent:
            learned |= {
                "last_error_code": verdict.code,
                "last_error_text": str(verdict.because)[:2048],
                "last_error_at": now,
            }
        with transaction.atomic():
            if not finish(self.claim, now + self._longest_gap(), now, **learned):
                return self.report(False, explain("LeaseLost").sentence(), "LeaseLost", ran=False)
            if was_on and verdict.permanent:
                because = str(verdict.because)
                tell_owners(self.mailbox, self.organization, verdict.code, because, now)
        return self.report(False, str(verdict.because), verdict.code, ran=False)

    # -- failed

    def limits(self) -> Limits:
        return limits_of(self.organization, self.claim.operation)

    def is_exhausted(self) -> bool:
        paused = self.workload.state == WorkloadState.PAUSED
        return not paused and self.workload.consecutive_failures >= self.limits().max_transient

    def failure_of(self, error: ServerError) -> Failure:
        nature = nature_of(error, strict_parity=self.organization.strict_parity)
        return Failure(
            code=error.code,
            permanent=nature == Nature.PERMANENT,
            timed_out=isinstance(error, SocketTimedOut),
            hint=error.hint_seconds,
        )

    def fail(self, failure: Failure, detail: str, *, counted: bool = False) -> Report:
        """Postpone, pause or disable, and tell (R8.2, R8.3, R8.5, R8.11). `counted`: the failure is in
        the row already, as that of a worker which was taken over."""
        now = self.clock()
        before = WorkloadState(self.workload.state)
        failures = self.workload.consecutive_failures - counted
        state = after_failure(failure, before, failures, self.limits(), self.jitter())
        pause = timedelta(seconds=state.wait) if state.wait is not None else self._longest_gap()
        learned: dict[str, Any] = {
            "enabled": self.workload.enabled and state.enabled,
            "state": state.state,
            "state_code": "" if state.state == WorkloadState.READY else failure.code,
            "state_since": now if state.changed else self.workload.state_since,
            "postponed_until": None if state.wait is None else now + pause,
            "consecutive_failures": state.failures,
            "last_error_code": failure.code,
            "last_error_text": _printable(detail)[:2048],
            "last_error_at": now,
            "last_error_host": this_worker(),
            "last_items_processed": 0,
            "last_items_failed": 0,
            **self._measured(),
        }
        with transaction.atomic():
            if not finish(self.claim, now + pause, now, **learned):
                return self.report(False, explain("LeaseLost").sentence(), "LeaseLost")
            self._store_statistics(now, None, failure.code, detail)
            tell_failure(
                self.mailbox,
                self.organization,
                failure.code,
                detail,
                now,
                permanent=state.permanent,
            )
        log.warning("%s: %s: %s", self.name, failure.code, state.state)
        return self.report(False, self._told(state, detail), failure.code)

    def _told(self, state: NewState, detail: str) -> str:
        condition = explain(state.code)
        if state.wait is None:
            consequence = _("It is disabled until it is tested again.")
        elif state.state == WorkloadState.PAUSED:
            consequence = _("It is paused and probed again in %(minutes)d minutes.")
        else:
            consequence = _("It is tried again in %(minutes)d minutes.")
        minutes = {"minutes": -(-(state.wait or 0) // 60)}
        return f"{condition.sentence()} {consequence % minutes} [{detail}]"

    # -- succeeded

    def succeed(self, result: CycleResult) -> Report:
        now = self.clock()
        gap = next_gap(
            self.workload.gap_seconds, result.had_mail, self._gaps(), self._polling_floor()
        )
        if result.soon:
            gap = min(gap, SOON)
        next_run_at: Any = now if result.more else now + timedelta(seconds=gap)
        if self.claim.operation == Operation.OUTGOING and result.waits_until is None:
            next_run_at = soonest(next_run_at, now)
        if result.waits_until is not None:
            next_run_at = min(result.waits_until, now + LONGEST_WAIT)
        learned: dict[str, Any] = {
            "gap_seconds": gap,
            "idle_cycles": 0 if result.had_mail else F("idle_cycles") + 1,
            "state": WorkloadState.READY,
            "state_code": "",
            "postponed_until": None,
            "consecutive_failures": 0,
            "last_success_at": now,
            "last_error_code": "",
            "last_error_text": "",
            "last_items_processed": result.processed,
            "last_items_failed": result.failed,
            **self._measured(),
        }
        if self.workload.state != WorkloadState.READY:
            learned["state_since"] = now
        eventful = bool(result.had_mail or result.by_state or self.claim.requested)
        errors = {self.workload.last_error_code, self.workload.state_code} - {""}
        if result.waits_until is not None:
            learned |= {"state_code": code_of(result.waits_because), "postponed_until": next_run_at}
            if not result.by_state:
                # It kept quiet, as the server had asked: whether that helped nobody knows yet.
                learned["last_error_code"] = self.workload.last_error_code
                learned["last_error_text"] = self.workload.last_error_text
                errors = set()
        if not eventful and not errors and result.waits_until is None:
            finished = finish(self.claim, next_run_at, now, **learned)
        else:
            with transaction.atomic():
                finished = finish(self.claim, next_run_at, now, **learned)
                if finished and eventful:
                    self._store_statistics(now, result)
                if finished and errors:
                    clear_told(self.mailbox, errors, now)
                if finished and result.waits_until is not None and next_run_at - now < MINUTE:
                    work_at(next_run_at)
        if not finished:
            return self.report(False, explain("LeaseLost").sentence(), "LeaseLost", result=result)
        return self.report(True, result.summary(), result=result)

    # -- what every run leaves

    def _measured(self) -> dict[str, Any]:
        return {"cycles": F("cycles") + 1, "last_duration_ms": self._elapsed_ms()}

    def _elapsed_ms(self) -> int:
        return int((monotonic() - self.began) * 1000)

    def _store_statistics(
        self, now: datetime, result: CycleResult | None, code: str = "", detail: str = ""
    ) -> None:
        """One row per cycle that saw, did or failed something, or was asked for (R8.32)."""
        MailboxStatistics.objects.create(
            mailbox=self.mailbox,
            operation_type=self.claim.operation,
            mailbox_process_scheduled_on=self.claim.scheduled_at,
            mailbox_process_started_on=self.claim.claimed_at or now,
            mailbox_process_completed_on=now,
            process_result=result is not None,
            items_processed=result.processed if result else 0,
            items_failed=result.failed if result else 0,
            individual_step_durations=result.steps_ms if result else {},
            items_by_state=dict(result.by_state) if result else {},
            machine_name=this_worker()[:160],
            error_code=code,
            error_text=_printable(detail)[:2048],
        )

    def _gaps(self) -> Gaps:
        return gaps_of(self.organization, self.claim.operation)

    def _longest_gap(self) -> timedelta:
        return timedelta(seconds=self._gaps().idle_max)

    def _polling_floor(self) -> int:
        profile = self.mailbox.email_server_profile
        if profile is None or self.claim.operation != Operation.INCOMING:
            return 0
        return profile.min_polling_interval_in_minutes * 60


def _printable(text: str) -> str:
    return text.replace("\0", "�")  # PostgreSQL stores no NUL, and servers send anything
