"""One claimed workload: run it, and store what came of it.

`run_claim` is the outermost frame of one mailbox's cycle; whatever goes wrong in it stays in it. `Run` draws
the consequences: when next, after what pause, who is told.
"""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import random
from time import monotonic
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from mailboxes.choices import Operation
from mailboxes.conditions import Nature, explain, nature_of
from mailboxes.eligibility import PROFILE_CODES, Verdict, eligible, facts_of
from mailboxes.models import Organization
from mailboxes.protocols.errors import ServerError, SocketTimedOut
from serversync.act.cycle import synchronize
from serversync.cadence import gaps_of, limits_of
from serversync.choices import WorkloadState
from serversync.context import Context, load
from serversync.cycle import Clock, CycleResult
from serversync.due import Failure, Gaps, Limits, NewState, after_failure, next_gap
from serversync.leases import Claim, LeaseLost, finish, give_back, this_worker
from serversync.limits import code_of
from serversync.logs import names_claim
from serversync.models import MailboxStatistics, Workload
from serversync.outages import clear_told, code_for, tell_failure, tell_owners
from serversync.probes import probe_others
from serversync.receive import Connect, receive
from serversync.send import send
from serversync.turns import soonest
from serversync.verbose import recorder_of
from serversync.waking import work_at

log = logging.getLogger(__name__)

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


CYCLES: dict[Operation, Callable[..., CycleResult]] = {
    Operation.INCOMING: receive,
    Operation.OUTGOING: send,
    Operation.ACT: synchronize,
}


@names_claim
def run_claim(
    claim: Claim,
    *,
    clock: Clock = timezone.now,
    jitter: Callable[[], float] = random,
    organization: Organization | None = None,
    connect: Connect | None = None,
) -> Report:
    """Run one claimed workload and store what came of it. Never raises for what a mailbox or its
    server did; a worker that is told to stop notes that and goes. `connect`: to a server that is at hand."""
    began = monotonic()
    try:
        context = load(claim.mailbox_id, claim.operation, clock(), organization)
    except Workload.DoesNotExist:
        return Report(
            str(claim.mailbox_id), claim.operation, False, "The mailbox is gone.", ran=False
        )
    run = Run(claim, context, began, clock, jitter)
    verdict = run.verdict()
    if not verdict.ok:
        return run.refuse(verdict)
    if claim.taken_over and run.is_exhausted():
        return run.fail(
            Failure("80040216"), "The worker that ran it was killed, again and again.", counted=True
        )
    recorder = recorder_of(context.mailbox, claim.operation, clock)
    connect = recorder.connect if recorder else connect
    over: dict[str, Any] = {} if connect is None else {"connect": connect}
    try:
        with recorder.kept() if recorder else nullcontext():
            result = CYCLES[claim.operation](context, claim.token, clock=clock, **over)
            if recorder:
                recorder.decided(result)
    except LeaseLost:
        return run.report(False, explain("LeaseLost").sentence(), "LeaseLost")
    except Exception as error:  # noqa: BLE001 - the outermost frame: one mailbox never stops the others
        return run.stumble(error)
    except KeyboardInterrupt:
        give_back([claim], clock())
        raise
    except BaseException as error:
        # The job's time-out, or the end of the process: the next run shouldn't wait for the lease.
        run.fail(Failure("ErrorTimeoutExpired", timed_out=True), type(error).__name__)
        raise
    return run.succeed(result)


class Run:
    """One run and what it leaves behind: the workload's row, statistics, alerts."""

    def __init__(
        self,
        claim: Claim,
        context: Context,
        began: float,
        clock: Clock,
        jitter: Callable[[], float] = random,
    ) -> None:
        self.claim = claim
        self.workload = context.workload
        self.mailbox = context.mailbox
        self.organization = context.organization
        self.began = began
        self.took_ms: int | None = None  # where others took the time
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

    def stumble(self, error: Exception) -> Report:
        """Whatever was raised: the server's faults, and ours."""
        if isinstance(error, ServerError):
            return self.fail(self.failure_of(error), str(error))
        log.error("%s: cycle failed", self.name, exc_info=error)
        return self.fail(Failure(INTERNAL), f"{type(error).__name__}: {error}")

    def limits(self) -> Limits:
        return limits_of(self.organization, self.claim.operation)

    def is_exhausted(self) -> bool:
        paused = self.workload.state == WorkloadState.PAUSED
        return not paused and self.workload.consecutive_failures >= self.limits().max_transient

    def failure_of(self, error: ServerError) -> Failure:
        nature = nature_of(error, strict_parity=self.organization.strict_parity)
        return Failure(
            code=code_for(error.code, self.mailbox, self.claim.operation),
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
        log.warning(
            "%s: %s: %s", self.name, failure.code, state.state, extra={"code": failure.code}
        )
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
        gap = self.gap_after(result)
        next_run_at: Any = now if result.more else now + timedelta(seconds=gap)
        if self.claim.operation == Operation.OUTGOING and result.waits_until is None:
            next_run_at = soonest(next_run_at, now)
        if result.waits_until is not None:
            next_run_at = min(result.waits_until, now + LONGEST_WAIT)
        learned: dict[str, Any] = {
            **went_well(now),
            "gap_seconds": gap,
            "idle_cycles": 0 if result.had_mail else F("idle_cycles") + 1,
            "last_items_processed": result.processed,
            "last_items_failed": result.failed,
            "last_duration_ms": self._elapsed_ms(),
        }
        if self.workload.state != WorkloadState.READY:
            learned["state_since"] = now
        eventful = bool(result.had_mail or result.by_state or self.claim.requested)
        errors = self._errors()
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
        if errors:
            operation, jitter = self.claim.operation, self.jitter
            probe_others(self.mailbox, operation, errors, now, self.organization, jitter)
        return self.report(True, result.summary(), result=result)

    def gap_after(self, result: CycleResult) -> int:
        """Seconds until the next run (R9.1)."""
        gap = next_gap(
            self.workload.gap_seconds, result.had_mail, self._gaps(), self._polling_floor()
        )
        return min(gap, SOON) if result.soon else gap

    @property
    def had_errors(self) -> bool:
        """Success changes more than when it runs next."""
        return self.workload.state != WorkloadState.READY or bool(self._errors())

    def _errors(self) -> set[str]:
        return {self.workload.last_error_code, self.workload.state_code} - {""}

    # -- what every run leaves

    def _measured(self) -> dict[str, Any]:
        return {"cycles": F("cycles") + 1, "last_duration_ms": self._elapsed_ms()}

    def _elapsed_ms(self) -> int:
        if self.took_ms is not None:
            return self.took_ms
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


def went_well(now: datetime) -> dict[str, Any]:
    """What a success leaves in every row."""
    return {
        "state": WorkloadState.READY,
        "state_code": "",
        "postponed_until": None,
        "consecutive_failures": 0,
        "last_success_at": now,
        "last_error_code": "",
        "last_error_text": "",
        "cycles": F("cycles") + 1,
    }


def _printable(text: str) -> str:
    return text.replace("\0", "�")  # PostgreSQL stores no NUL, and servers send anything
