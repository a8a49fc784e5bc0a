"""django-q's ORM broker, with three things added: it counts deliveries, it hears its supervisor, and a job
may be for later.

django-q counts failures but not crashes: a job that kills its worker comes back for ever and leaves no
trace. Here each delivery is counted in the job's own row; after the last allowed one the job ends as a
failed task that the admin shows. A delivery that never began (its cluster was killed meanwhile) counts,
too: jobs hold no truth, so that giving one up too early costs a minute at most.
"""

import logging
import os
from datetime import datetime
from time import sleep
from typing import Any

from django.db.models import Case, IntegerField, Value, When
from django.utils import timezone
from django_q.brokers.orm import ORM
from django_q.conf import Conf
from django_q.models import OrmQ, Task
from django_q.signing import BadSignature, SignedPackage
from django_q.utils import get_func_repr

log = logging.getLogger(__name__)

DELIVERIES = 3  # unless the settings say otherwise by `max_attempts`
#: Which supervisor this cluster belongs to: it alone takes the heartbeats in that queue.
HEARTBEAT_QUEUE = "SERVERSYNC_HEARTBEAT_QUEUE"


class CountingOrm(ORM):  # type: ignore[misc]
    #: When the jobs that are put in by this instance may begin; None: at once.
    not_before: datetime | None = None

    def enqueue(self, task: str) -> int:
        number: int = super().enqueue(task)
        if self.not_before is not None:
            self.get_connection().filter(id=number).update(lock=self.not_before)
        return number

    def dequeue(self) -> list[tuple[int, str]] | None:
        """The next jobs of this cluster's queue, its heartbeats first, each locked for `retry`."""
        own = os.environ.get(HEARTBEAT_QUEUE, "")
        rows = self.get_connection().filter(
            key__in=[self.list_key, own] if own else [self.list_key], lock__lt=timezone.now()
        )
        first = Case(When(key=own, then=Value(0)), default=Value(1), output_field=IntegerField())
        taken = []
        for row in rows.order_by(first, "id")[: Conf.BULK]:
            counted = self._count(row)
            if counted is None:
                continue
            mine = (
                self.get_connection()
                .filter(id=row.pk, lock=row.lock)
                .update(lock=self.timeout(row), payload=counted)
            )
            if mine:  # else another cluster was faster
                taken.append((row.pk, counted))
        if taken:
            return taken
        sleep(Conf.POLL)
        return None

    def _count(self, row: OrmQ) -> str | None:
        """The payload with this delivery counted; None if the job has had its last."""
        try:
            job = SignedPackage.loads(row.payload)
        except (TypeError, BadSignature):
            return str(row.payload)  # the pusher reports and removes what it can't read
        deliveries = job.get("deliveries", 0)
        if deliveries >= (Conf.MAX_ATTEMPTS or DELIVERIES):
            self._bury(row, job, deliveries)
            return None
        noted = {"deliveries": deliveries + 1, "holder": os.environ.get(HEARTBEAT_QUEUE, "")}
        return str(SignedPackage.dumps(job | noted))

    def _bury(self, row: OrmQ, job: dict[str, Any], deliveries: int) -> None:
        if not self.get_connection().filter(id=row.pk, lock=row.lock).delete()[0]:
            return  # another cluster did it
        name = get_func_repr(job["func"])
        log.error("Job %s (%s) gave no answer to %d deliveries", job["name"], name, deliveries)
        Task.objects.using(Conf.ORM).update_or_create(
            id=job["id"],
            defaults={
                "name": job["name"],
                "func": name,
                "args": job.get("args"),
                "kwargs": job.get("kwargs"),
                "group": job.get("group"),
                "cluster": self.list_key,
                "started": job["started"],
                "stopped": timezone.now(),
                "success": False,
                "attempt_count": deliveries,
                "result": f"Given up: delivered {deliveries} times without an answer. Its worker was "
                "probably killed each time; look for out-of-memory messages in the system's log.",
            },
        )


def release(holder: str, now: datetime) -> int:
    """Make the jobs that a dead cluster had taken ready again, rather than when their locks end."""
    released = 0
    for row in OrmQ.objects.using(Conf.ORM).filter(lock__gt=now):
        try:
            job = SignedPackage.loads(row.payload)
        except (TypeError, BadSignature):
            continue
        if job.get("holder") == holder:
            same = OrmQ.objects.using(Conf.ORM).filter(pk=row.pk, lock=row.lock)
            released += same.update(lock=now)
    return released
