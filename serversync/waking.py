"""Say that there is work: the request on the workloads, and a job in the queue that looks for it."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Value
from django.db.models.functions import Least
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.conf import Conf
from django_q.models import OrmQ
from django_q.tasks import async_task

from mailboxes.choices import Operation
from serversync.leases import request
from serversync.models import Workload

PAGE = 4  # workloads claimed at once: few, for each waits until those before it are done
MAX_JOBS = 20  # "there may be work" needn't be said more often


def wake(
    mailbox_ids: Iterable[UUID | str],
    operation: Operation,
    now: datetime | None = None,
    *,
    by_hand: bool = False,
) -> int:
    """Run these workloads as soon as a worker is free; returns how many can.

    Call it in the transaction that gives them work: the request and the job become visible together
    with it. `by_hand`: a person asked, so a pause after failures ends, too; it never switches on what
    is disabled (R8.5).
    """
    now = now or timezone.now()
    also = {"postponed_until": None} if by_hand else {}
    with transaction.atomic():
        woken = request(mailbox_ids, operation, now, **also)
        enqueue_work(min(MAX_JOBS, -(-woken // PAGE)))
    return woken


def wake_later(mailbox_ids: Iterable[UUID | str], operation: Operation, at: datetime) -> int:
    """Run these workloads at `at`, or when they are due before; returns how many can. Without a cluster
    at that moment the next dispatch finds the work."""
    with transaction.atomic():
        rows = Workload.objects.filter(
            mailbox_id__in=list(mailbox_ids), operation=operation, enabled=True
        )
        woken = rows.update(next_run_at=Least("next_run_at", Value(at)))
        if woken:
            work_at(at)
    return woken


def work_at(at: datetime) -> None:
    """One job at that moment, unless another one looks for work within seconds of it."""
    soon = OrmQ.objects.filter(
        key=Conf.CLUSTER_NAME, lock__gte=at, lock__lte=at + timedelta(seconds=5)
    )
    if not soon.exists():
        enqueue_work(1, at)


def enqueue_tests(
    mailbox_ids: Iterable[UUID | str],
    *,
    reset_watermark: bool | None = None,
    take_over: bool = False,
    at: datetime | None = None,
) -> None:
    """One job per mailbox. Whoever schedules tests may call this in the same transaction, so that they
    begin at once; otherwise dispatch does within a minute. `reset_watermark`: the box of R2.21;
    `take_over`: that of R2.20. `at`: not before."""
    broker = get_broker()
    broker.not_before = at
    for mailbox_id in mailbox_ids:
        async_task(
            "serversync.jobs.test_mailbox",
            str(mailbox_id),
            reset_watermark,
            take_over,
            group="test",
            broker=broker,
        )


def enqueue_work(jobs: int, at: datetime | None = None) -> None:
    """So many jobs that look for what is due. `at`: not before."""
    broker = get_broker()
    broker.not_before = at
    for _number in range(jobs):
        async_task("serversync.jobs.work", group="work", broker=broker)
