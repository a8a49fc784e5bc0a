"""The site in numbers, for Prometheus. All processes share one truth, so it is read from the database when
it is asked for: gauges as they are now, counters of the cycles that began since midnight UTC.

A counter that starts over once a day is what Prometheus takes for a restart: `rate` and `increase` hold.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Count, F, IntegerField, Min, Q, QuerySet, Sum
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from activities.models import Email
from mailboxes.choices import Operation, TraceLevel
from mailboxes.models import TraceLog
from serversync import clusters, figures
from serversync.act.choices import ActOutcome
from serversync.choices import ItemState, SendOutcome, SubmissionState
from serversync.histogram import BUCKETS, EDGES
from serversync.leases import is_due, is_free, is_running
from serversync.models import (
    MailboxStatistics,
    MailboxWatch,
    Submission,
    SyncItem,
    Workload,
)
from serversync.standing import is_overdue

UTC = timezone.get_fixed_timezone(0)
STATES = [str(state) for kind in (ItemState, SendOutcome, ActOutcome) for state in kind]
#: Their ledger rows are few, and found by an index.
WAITING = (ItemState.RETRYING, ItemState.QUARANTINED)


def exposition(now: datetime) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Site(now))
    return generate_latest(registry)


def name_of(operation: int) -> str:
    return Operation(operation).name.lower()


class Site(Collector):
    """A fixed number of statements, each over few rows or an index."""

    def __init__(self, now: datetime) -> None:
        self.now = now

    def collect(self) -> Iterator[Metric]:
        yield from self._workloads()
        yield from self._cycles()
        yield from self._queue()
        yield from self._mail()
        yield from self._alerts()
        yield from self._processes()

    # -- now

    def _workloads(self) -> Iterator[Metric]:
        standing = figures.by_standing(Workload.objects.all())
        yield gauges(
            "serversync_workloads",
            "Workloads in use, by how they stand.",
            ("workload", "state"),
            (
                ((name_of(operation), standing_.value), number)
                for operation, numbers in standing.items()
                for standing_, number in numbers.items()
            ),
        )
        rows: list[Any] = list(
            Workload.objects.order_by()
            .values("operation")
            .annotate(
                due=Count("pk", filter=is_due(self.now) & is_free(self.now)),
                running=Count("pk", filter=is_running(self.now)),
                overdue=Count("pk", filter=is_overdue(self.now)),
            )
        )
        for name, words in (
            ("due", "Workloads that wait for a worker."),
            ("running", "Workloads that run."),
            ("overdue", "Workloads that a running cluster would have taken 15 minutes ago."),
        ):
            values = (((name_of(row["operation"]),), row[name]) for row in rows)
            yield gauges(f"serversync_workloads_{name}", words, ("workload",), values)

    def _queue(self) -> Iterator[Metric]:
        ready = OrmQ.objects.filter(key=Conf.CLUSTER_NAME, lock__lte=self.now)
        found = ready.aggregate(number=Count("pk"), oldest=Min("lock"))
        yield gauge("serversync_queue_jobs", "Jobs that wait for a worker.", found["number"])
        yield gauge(
            "serversync_queue_oldest_job_seconds",
            "How long the oldest of them has waited.",
            self._age(found["oldest"]),
        )

    def _mail(self) -> Iterator[Metric]:
        waiting = figures.waiting(Email.objects.all(), self.now)
        found = waiting.aggregate(number=Count("pk"), oldest=Min("free"))
        yield gauge("serversync_emails_waiting", "Emails that could leave.", found["number"])
        yield gauge(
            "serversync_emails_oldest_waiting_seconds",
            "How long the oldest of them has waited.",
            self._age(found["oldest"]),
        )
        in_doubt = Submission.objects.filter(state=SubmissionState.UNKNOWN).count()
        yield gauge(
            "serversync_submissions_in_doubt",
            "Emails of which nobody knows whether they left.",
            in_doubt,
        )
        states = SyncItem.objects.filter(state__in=WAITING).order_by().values("state")
        numbers = {row["state"]: row["number"] for row in states.annotate(number=Count("pk"))}
        yield gauges(
            "serversync_items_waiting",
            "Items that failed and are tried again, or wait for a person.",
            ("state",),
            (((state.value,), numbers.get(state.value, 0)) for state in WAITING),
        )

    def _alerts(self) -> Iterator[Metric]:
        rows = (
            TraceLog.objects.filter(closed_on__isnull=True)
            .order_by()
            .values("level", "code")
            .annotate(number=Count("pk"))
        )
        yield gauges(
            "serversync_alerts_open",
            "Open alerts.",
            ("level", "code"),
            (((_level(row["level"]), row["code"]), row["number"]) for row in rows),
        )

    def _processes(self) -> Iterator[Metric]:
        alive = clusters.alive(self.now)
        yield gauge("serversync_clusters", "Clusters that live.", len(alive))
        yield gauge("serversync_workers", "Their workers.", sum(each.workers for each in alive))
        watched = MailboxWatch.objects.aggregate(
            open=Count("pk", filter=Q(since__isnull=False)),
            failing=Count("pk", filter=Q(since__isnull=True, failures__gt=0)),
        )
        yield gauges(
            "serversync_watches",
            "Mailboxes whose servers tell of new mail by themselves.",
            ("state",),
            (((state,), number) for state, number in watched.items()),
        )

    def _age(self, since: datetime | None) -> float:
        return 0.0 if since is None else max(0.0, (self.now - since).total_seconds())

    # -- since midnight

    def _cycles(self) -> Iterator[Metric]:
        rows = list(_counted(self._since_midnight()))
        yield counters(
            "serversync_cycles",
            "Cycles that saw, did or failed something; since midnight UTC.",
            ("workload", "result"),
            (
                ((name_of(row["operation_type"]), result), row[result])
                for row in rows
                for result in ("success", "failure")
            ),
        )
        yield counters(
            "serversync_items",
            "Items and emails by what became of them; since midnight UTC.",
            ("workload", "state"),
            (
                ((name_of(row["operation_type"]), state), row[f"in_{state}"])
                for row in rows
                for state in STATES
                if row[f"in_{state}"]
            ),
        )
        yield _seconds_of_cycles(rows)

    def _since_midnight(self) -> "QuerySet[Any]":
        midnight = self.now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        return MailboxStatistics.objects.filter(mailbox_process_started_on__gte=midnight)


def _counted(cycles: "QuerySet[Any]") -> Iterable[dict[str, Any]]:
    """One statement."""
    took = figures.Milliseconds("mailbox_process_started_on", "mailbox_process_completed_on")
    rows: QuerySet[Any, dict[str, Any]] = (
        cycles.order_by()
        .annotate(took=took, place=figures.Place("took"))
        .values("operation_type")
        .annotate(
            success=Count("pk", filter=Q(process_result=True)),
            failure=Count("pk", filter=Q(process_result=False)),
            took_ms=Sum("took"),
            **{f"place_{place}": Count("pk", filter=Q(place=place)) for place in range(BUCKETS)},
            **{f"in_{state}": Sum(_number_in(state)) for state in STATES},
        )
    )
    return rows


def _number_in(state: str) -> Cast:
    return Cast(KeyTextTransform(state, F("items_by_state")), IntegerField())


def _seconds_of_cycles(rows: Iterable[dict[str, Any]]) -> Metric:
    family = HistogramMetricFamily(
        "serversync_cycle_seconds",
        "How long these cycles took; since midnight UTC.",
        labels=("workload",),
    )
    for row in rows:
        buckets, reached = [], 0
        for place, edge in enumerate((*EDGES, None)):
            reached += row[f"place_{place}"]
            buckets.append(("+Inf" if edge is None else str(edge / 1000), reached))
        family.add_metric([name_of(row["operation_type"])], buckets, (row["took_ms"] or 0) / 1000)
    return family


# -- families

Labelled = Iterable[tuple[tuple[str, ...], Any]]


def gauge(name: str, words: str, value: Any) -> Metric:
    return GaugeMetricFamily(name, words, value=value or 0)


def gauges(name: str, words: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = GaugeMetricFamily(name, words, labels=labels)
    for named, value in values:
        family.add_metric(named, value or 0)
    return family


def counters(name: str, words: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for named, value in values:
        family.add_metric(named, value or 0)
    return family


def _level(level: int) -> str:
    return TraceLevel(level).name.lower()
