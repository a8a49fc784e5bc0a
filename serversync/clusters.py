"""Signs of life: each cluster keeps a row while its workers begin jobs.

A worker writes it as it begins a job, at most every `EVERY`; the supervisor sees to it that a job begins
even where there is nothing to do, and removes the row when the cluster ends.
"""

import contextlib
import logging
import socket
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

from django.conf import settings
from django.db import DatabaseError
from django.utils import timezone
from django_q.signals import pre_execute

from serversync.models import Cluster

log = logging.getLogger(__name__)

EVERY = 15.0  # seconds
#: All workers may be busy with jobs that take as long as jobs may.
LATE = timedelta(minutes=6)
FORGOTTEN = timedelta(days=1)


def name_of(supervisor: int) -> str:
    return f"{socket.gethostname()}:{supervisor}"[:256]


def write(name: str, started_at: datetime, now: datetime) -> None:
    """One statement, two for a cluster that is new."""
    if Cluster.objects.filter(name=name).update(seen_at=now):
        return
    Cluster.objects.filter(seen_at__lt=now - FORGOTTEN).delete()
    Cluster.objects.bulk_create(
        [Cluster(name=name, workers=_workers(), started_at=started_at, seen_at=now)],
        ignore_conflicts=True,
    )


def forget(name: str) -> None:
    Cluster.objects.filter(name=name).delete()


def alive(now: datetime) -> list[Cluster]:
    return list(Cluster.objects.filter(seen_at__gt=now - LATE))


def _workers() -> int:
    return int(settings.Q_CLUSTER["workers"])


def announce(name: str) -> None:
    """Have the workers that are forked from here write this cluster's row. A database that can't be reached
    is the job's trouble, not ours."""
    started_at, last = timezone.now(), -EVERY

    def begin(**_: Any) -> None:
        nonlocal last
        if monotonic() - last < EVERY:
            return
        last = monotonic()
        with contextlib.suppress(DatabaseError):
            write(name, started_at, timezone.now())

    pre_execute.connect(begin, weak=False, dispatch_uid="cluster-sign-of-life")
