"""The cycles of each day as one row for each workload, which outlives the rows they are counted from (R8.32).

    MailboxStatistics ──by mailbox, workload, day of its start──> MailboxStatisticsDay
    Workload.cycles ──what it grew by, less those rows──> idle cycles, spread over the days since

Run hourly, and before old rows are pruned. Counting again finds the same: what has rows is counted anew,
and of the counter only what it has grown by since is added.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Max, Min
from django.utils import timezone

from serversync.histogram import counted as in_buckets
from serversync.models import MailboxStatistics, MailboxStatisticsDay, Workload

KEEP = timedelta(days=396)  # 13 months
MAILBOXES = 100  # counted in one transaction
DAY = timedelta(days=1)
#: Two counts at once would both add what the counter has grown by.
COUNT_LOCK = 0x6461696C79

Work = tuple[UUID, int]  # mailbox, workload
Key = tuple[UUID, int, date]  # the same on a day

RECOUNTED = [
    *("eventful_cycles", "failed_cycles", "items_processed", "items_failed", "items_by_state"),
    *("failures_by_code", "duration_ms", "durations", "delay_ms", "delays"),
]
COLUMNS = (
    *("mailbox_id", "operation_type", "mailbox_process_scheduled_on"),
    *("mailbox_process_started_on", "mailbox_process_completed_on", "process_result"),
    *("items_processed", "items_failed", "items_by_state", "error_code"),
)


@dataclass(slots=True)
class Tally:
    """The cycles of one workload on one day, as far as they have rows."""

    failed: int = 0
    items_processed: int = 0
    items_failed: int = 0
    by_state: Counter[str] = field(default_factory=Counter)
    by_code: Counter[str] = field(default_factory=Counter)
    durations: list[int] = field(default_factory=list)
    delays: list[int] = field(default_factory=list)

    def add(self, cycle: dict[str, Any]) -> None:
        began, ended = cycle["mailbox_process_started_on"], cycle["mailbox_process_completed_on"]
        self.durations.append(_milliseconds(ended - began))
        if (scheduled := cycle["mailbox_process_scheduled_on"]) is not None:
            self.delays.append(_milliseconds(began - scheduled))
        self.failed += not cycle["process_result"]
        self.items_processed += cycle["items_processed"]
        self.items_failed += cycle["items_failed"]
        self.by_state.update(cycle["items_by_state"])
        if cycle["error_code"]:
            self.by_code[cycle["error_code"]] += 1

    def values(self) -> dict[str, Any]:
        return {
            "eventful_cycles": len(self.durations),
            "failed_cycles": self.failed,
            "items_processed": self.items_processed,
            "items_failed": self.items_failed,
            "items_by_state": dict(self.by_state),
            "failures_by_code": dict(self.by_code),
            "duration_ms": sum(self.durations),
            "durations": in_buckets(self.durations),
            "delay_ms": sum(self.delays),
            "delays": in_buckets(self.delays),
        }


def _milliseconds(span: timedelta) -> int:
    return max(0, round(span / timedelta(milliseconds=1)))


def spread(number: int, since: datetime, until: datetime, zone: Any) -> dict[date, int]:
    """`number` divided over the days between two moments, in proportion to the time that each has."""
    parts: dict[date, float] = {}
    start = since
    while start < until:
        day = start.astimezone(zone).date()
        end = min(until, _midnight(day + DAY, zone))
        parts[day] = (end - start) / (until - since)
        start = end
    shares: dict[date, int] = {}
    given, reached = 0, 0.0
    for day, part in parts.items():
        reached += part
        shares[day] = round(number * reached) - given
        given += shares[day]
    return shares


def _midnight(day: date, zone: Any) -> datetime:
    """In UTC: differences of times in one zone would ignore that its clocks are changed."""
    return datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)


# -- counting ------------------------------------------------------------------------------------


def count_cycles(now: datetime) -> int:
    """Bring the days up to date; returns how many rows were written."""
    since = _since(now)
    mailboxes = Workload.objects.order_by("mailbox").values_list("mailbox", flat=True).distinct()
    return sum(_count_some(part, since, now) for part in _portions(list(mailboxes)))


def forget(now: datetime) -> int:
    """Days that are older than 13 months."""
    oldest = _today(now) - KEEP
    return MailboxStatisticsDay.objects.filter(day__lt=oldest).delete()[0]


def _since(now: datetime) -> date:
    """From the day before the last that was counted: a cycle may have begun before midnight and ended
    after it. At first, from the oldest row."""
    last: date | None = MailboxStatisticsDay.objects.aggregate(last=Max("day"))["last"]
    if last is not None:
        return min(last, _today(now)) - DAY
    oldest = MailboxStatistics.objects.aggregate(oldest=Min("mailbox_process_started_on"))["oldest"]
    return _day(oldest) if oldest else _today(now)


def _count_some(mailboxes: Sequence[UUID], since: date, now: datetime) -> int:
    with transaction.atomic():
        _take_turns()
        # Counters first: a cycle that ends meanwhile then has its row before its count, and never the
        # other way round, in which it would pass for an idle one.
        cycles, tallies = _counters(mailboxes), _tallies(mailboxes, since)
        stored = _stored(mailboxes, since)
        idle, counters = _idle(cycles, _marks(stored), _grown(tallies, stored), now)
        rows = [
            _row(key, tallies.get(key), stored.get(key), idle[key], counters.get(key[:2], 0), now)
            for key in sorted({*tallies, *idle}, key=str)
        ]
        MailboxStatisticsDay.objects.bulk_create(
            rows,
            update_conflicts=True,
            unique_fields=["mailbox", "operation_type", "day"],
            update_fields=[*RECOUNTED, "idle_cycles", "counter", "counted_at"],
        )
    return len(rows)


def _row(
    key: Key,
    tally: Tally | None,
    stored: MailboxStatisticsDay | None,
    idle: int,
    counter: int,
    now: datetime,
) -> MailboxStatisticsDay:
    """A day whose cycles were pruned before keeps what was counted then."""
    mailbox, operation, day = key
    row = stored or MailboxStatisticsDay(
        mailbox_id=mailbox, operation_type=operation, day=day, **Tally().values()
    )
    for name, value in tally.values().items() if tally else ():
        setattr(row, name, value)
    row.idle_cycles += idle
    row.counter, row.counted_at = counter, now
    return row


def _tallies(mailboxes: Sequence[UUID], since: date) -> dict[Key, Tally]:
    cycles = MailboxStatistics.objects.filter(
        mailbox__in=mailboxes,
        mailbox_process_started_on__gte=_midnight(since, timezone.get_default_timezone()),
    ).order_by()
    found: dict[Key, Tally] = defaultdict(Tally)
    for cycle in cycles.values(*COLUMNS).iterator():
        day = _day(cycle["mailbox_process_started_on"])
        found[cycle["mailbox_id"], cycle["operation_type"], day].add(cycle)
    return found


@dataclass(frozen=True, slots=True)
class Mark:
    """How many cycles of a workload are counted, and when that was."""

    counter: int
    at: datetime


def _counters(mailboxes: Sequence[UUID]) -> dict[Work, int]:
    workloads = Workload.objects.filter(mailbox__in=mailboxes, cycles__gt=0).order_by()
    rows = workloads.values_list("mailbox", "operation", "cycles")
    return {(mailbox, kind): cycles for mailbox, kind, cycles in rows}


def _marks(stored: Mapping[Key, MailboxStatisticsDay]) -> dict[Work, Mark]:
    """By the row that was written last."""
    rows = sorted(stored.values(), key=lambda row: (row.counted_at, row.day))
    return {(row.mailbox_id, row.operation_type): Mark(row.counter, row.counted_at) for row in rows}


def _grown(
    tallies: Mapping[Key, Tally], stored: Mapping[Key, MailboxStatisticsDay]
) -> Counter[Work]:
    """How many more cycles have rows than were counted. By number and not by when they ended, for a row
    may be committed after a count of a later moment."""
    grown: Counter[Work] = Counter()
    for key, tally in tallies.items():
        before = stored[key].eventful_cycles if key in stored else 0
        grown[key[:2]] += max(0, len(tally.durations) - before)
    return grown


def _idle(
    cycles: Mapping[Work, int], marks: Mapping[Work, Mark], eventful: Counter[Work], now: datetime
) -> tuple[Counter[Key], dict[Work, int]]:
    """Cycles without a row since the last count, by day, and how many are counted by now: what has its row
    before its count isn't counted again when that comes. A workload that was never counted begins now:
    when its earlier cycles were nobody knows. Each gets a row of today, to count from next time."""
    zone, today = timezone.get_default_timezone(), _today(now)
    idle: Counter[Key] = Counter()
    counters: dict[Work, int] = {}
    for work, number in cycles.items():
        idle[(*work, today)] += 0
        mark = marks.get(work)
        counted = mark.counter + eventful[work] if mark else 0
        # It runs one cycle at a time: more that were counted before their time, and the counter is another.
        if mark is None or counted > number + 1:
            counters[work] = number
            continue
        grown = max(0, number - counted)
        counters[work] = counted + grown
        for day, share in spread(grown, mark.at, now, zone).items():
            idle[(*work, day)] += share
    return idle, counters


def _stored(mailboxes: Sequence[UUID], since: date) -> dict[Key, MailboxStatisticsDay]:
    rows = MailboxStatisticsDay.objects.filter(mailbox__in=mailboxes, day__gte=since)
    return {(row.mailbox_id, row.operation_type, row.day): row for row in rows}


def _take_turns() -> None:
    """Until the transaction ends. SQLite's transactions take turns by themselves (IMMEDIATE)."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [COUNT_LOCK])


def _day(moment: datetime) -> date:
    return moment.astimezone(timezone.get_default_timezone()).date()


def _today(now: datetime) -> date:
    return _day(now)


def _portions(keys: Sequence[UUID]) -> Iterator[Sequence[UUID]]:
    for start in range(0, len(keys), MAILBOXES):
        yield keys[start : start + MAILBOXES]
