"""Runs what is due: says in the queue that there is work, and runs single workloads for people.

    dispatch (each minute) ─┐
    wake (on send, by hand) ┴─> jobs in the queue ─> work: claim a page ─> glances, cycles (polling, runs)
                                                       └──────── until nothing is due ────────┘

Gaps that are shorter than a minute can't wait for dispatch: then a job that finds nothing more to do sees to it
that another one comes in time (`come_back`).

A job in the queue says only "there may be work": the truth is in the workloads, so that a queue which
was emptied costs a minute, and a job delivered twice finds nothing to do.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Exists, Min, OuterRef, Q
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ

from activities.models import Email
from mailboxes.choices import Operation
from mailboxes.conditions import explain
from mailboxes.models import Mailbox, Organization
from serversync.cadence import shortest_gap
from serversync.choices import SubmissionState
from serversync.cycle import Clock, CycleResult
from serversync.leases import (
    OPERATIONS,
    Busy,
    claim_one,
    is_due,
    is_free,
    is_running,
    this_worker,
)
from serversync.models import Submission, Workload
from serversync.polling import FRESH_SECONDS, Tally, work
from serversync.runs import CYCLES, INTERNAL, LONGEST_WAIT, MINUTE, Report, run_claim
from serversync.turns import due as mail_due
from serversync.waking import MAX_JOBS, PAGE, enqueue_tests, enqueue_work

__all__ = [
    "CYCLES", "FRESH_SECONDS", "INTERNAL", "LONGEST_WAIT", "CycleResult", "Report", "Tally",
    "come_back", "continue_later", "dispatch", "run_claim", "run_one", "sweep_outgoing", "tests_due", "work",
]  # fmt: skip

MOMENT = timedelta(seconds=2)  # what is due within it is looked at together
MANY = 50  # about as many mailboxes as one worker looks at within it


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


def come_back(now: datetime) -> int:
    """Where gaps are shorter than those of dispatch: as many jobs as what is due by then takes, as soon as
    anything is; returns how many. Jobs that come before are counted."""
    if shortest_gap(Organization.objects.current()) >= MINUTE.total_seconds():
        return 0
    rows = Workload.objects.filter(
        is_free(now) & (Q(postponed_until__isnull=True) | Q(postponed_until__lte=now + MINUTE)),
        enabled=True,
        operation__in=OPERATIONS,
    )
    soonest = rows.aggregate(at=Min("next_run_at"))["at"]
    if soonest is None or soonest - now >= MINUTE:
        return 0
    at = max(soonest, now) + MOMENT
    due = rows.filter(next_run_at__lte=at).count()
    coming = OrmQ.objects.filter(key=Conf.CLUSTER_NAME, lock__lte=at).count()
    jobs: int = max(0, min(MAX_JOBS, -(-due // MANY)) - coming)
    enqueue_work(jobs, at)
    return jobs


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
