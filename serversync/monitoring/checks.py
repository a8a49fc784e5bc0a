"""Is the site well? A few cheap questions, asked without signing in (see docs/operations.md)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from time import monotonic

from django.db import DatabaseError, connection
from django.db.models import Count, Min
from django_q.conf import Conf
from django_q.models import OrmQ

from serversync import clusters
from serversync.models import Workload
from serversync.standing import is_active, is_overdue, is_used

#: A job that waits longer finds no worker: each minute brings one, and none takes more than four.
OLDEST_JOB = timedelta(minutes=10)
#: A few may be kept back by the connections of their account; more than a tenth is no accident.
OVERDUE_PART = 10


@dataclass(frozen=True, slots=True)
class Check:
    """`says`: for those who may know more than whether it is well."""

    name: str
    ok: bool
    says: str


def run(now: datetime, names: Iterable[str] = ()) -> list[Check]:
    """All of them, or those that are named. Without a database nothing else can be asked."""
    wanted = set(names) or {"database", *CHECKS}
    reached = _database()
    found = [reached] if "database" in wanted or not reached.ok else []
    if reached.ok:
        found += [_asked(name, now) for name in CHECKS if name in wanted]
    return found


class Recently:
    """What was found a moment ago is found still: whoever asks a thousand times a second costs this process
    no more than one who asks at every such moment."""

    def __init__(
        self,
        seconds: float,
        ask: Callable[[datetime, Iterable[str]], list[Check]] = run,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.seconds = seconds
        self._ask = ask
        self._clock = clock
        self._lock = Lock()  # who comes meanwhile waits for the answer that is under way
        self._found: dict[frozenset[str], tuple[float, list[Check]]] = {}

    def run(self, now: datetime, names: Iterable[str] = ()) -> list[Check]:
        wanted = frozenset(names)
        with self._lock:
            at, found = self._found.get(wanted, (0.0, []))
            if not found or self._clock() - at >= self.seconds:
                found = self._ask(now, wanted)
                self._found[wanted] = (self._clock(), found)
        return found


def _asked(name: str, now: datetime) -> Check:
    try:
        ok, says = CHECKS[name](now)
    except DatabaseError as error:
        ok, says = False, type(error).__name__
    return Check(name, ok, says)


def _database() -> Check:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError as error:
        return Check("database", False, type(error).__name__)
    return Check("database", True, connection.vendor)


def _cluster(now: datetime) -> tuple[bool, str]:
    alive = clusters.alive(now)
    if not alive:
        return False, "no cluster has given a sign of life"
    latest = max(cluster.seen_at for cluster in alive)
    return True, f"{len(alive)} alive, last sign {_seconds(now - latest)} ago"


def _queue(now: datetime) -> tuple[bool, str]:
    ready = OrmQ.objects.filter(key=Conf.CLUSTER_NAME, lock__lte=now)
    found = ready.aggregate(number=Count("pk"), oldest=Min("lock"))
    if found["oldest"] is None:
        return True, "empty"
    age = now - found["oldest"]
    return age <= OLDEST_JOB, f"{found['number']} ready, the oldest for {_seconds(age)}"


def _overdue(now: datetime) -> tuple[bool, str]:
    found = Workload.objects.filter(is_used(), is_active(), enabled=True).aggregate(
        on=Count("pk"), overdue=Count("pk", filter=is_overdue(now))
    )
    ok = found["overdue"] * OVERDUE_PART <= found["on"]
    return ok, f"{found['overdue']} of {found['on']} workloads are overdue"


def _seconds(span: timedelta) -> str:
    return f"{max(0, round(span.total_seconds()))} s"


CHECKS: dict[str, Callable[[datetime], tuple[bool, str]]] = {
    "cluster": _cluster,
    "queue": _queue,
    "overdue": _overdue,
}
NAMES = ("database", *CHECKS)
