"""What charts and metrics count: each figure is one statement, however many rows there are.

Callers pass the rows that may be counted, so that no figure tells of rows which its reader may not see.
Durations are counted by the buckets of `histogram`: these can be added up, and need no sorting.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import (
    Case,
    Count,
    F,
    FloatField,
    Func,
    IntegerField,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Greatest, TruncDay, TruncHour, TruncMonth
from django.utils import timezone

from activities.choices import EmailStatus
from mailboxes.choices import Operation
from serversync.choices import WorkloadState
from serversync.histogram import BUCKETS, EDGES, percentile
from serversync.standing import Standing, standing

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
TOP = 10

#: Upper ends of the ages of waiting mail; the last group is older than all of them.
AGES = (
    *(timedelta(minutes=5), timedelta(minutes=15), timedelta(hours=1)),
    *(timedelta(hours=4), timedelta(days=1)),
)

Rows = QuerySet[Any]


class Milliseconds(Func):
    """From one time to another, by the database itself: SQLite would call back into Python for each row."""

    arity = 2
    output_field = FloatField()

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        return self._spelled(compiler, "(DATE_PART('epoch', {1} - {0}) * 1000)")

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        """A Julian day knows whole milliseconds, but as a float it is some hundredths of one beside them."""
        return self._spelled(compiler, "ROUND((julianday({1}) - julianday({0})) * 86400000.0)")

    def _spelled(self, compiler: Any, template: str) -> tuple[str, list[Any]]:
        parts = [compiler.compile(each) for each in self.get_source_expressions()]
        sql = template.format(*(sql for sql, _values in parts))
        return sql, [value for _sql, values in reversed(parts) for value in values]


class Place(Func):
    """In which bucket of a histogram milliseconds are, as `histogram.counted` says; none for none."""

    arity = 1
    output_field = IntegerField(null=True)

    def as_postgresql(self, compiler: Any, connection: Any, **more: Any) -> Any:
        """An upper end belongs to its bucket, which `width_bucket` sees otherwise."""
        sql, values = compiler.compile(self.get_source_expressions()[0])
        edges = ",".join(map(str, EDGES))
        return f"width_bucket({sql} - 0.0005, ARRAY[{edges}]::float8[])", values

    def as_sqlite(self, compiler: Any, connection: Any, **more: Any) -> Any:
        """How many edges it exceeds."""
        sql, values = compiler.compile(self.get_source_expressions()[0])
        return f"({' + '.join(f'({sql} > {edge})' for edge in EDGES)})", [*values] * len(EDGES)


# -- cycles over time ----------------------------------------------------------------------------


@dataclass(slots=True)
class Times:
    """How long something took: a histogram and the sum."""

    buckets: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    sum_ms: float = 0.0

    def add(self, place: int | None, number: int, milliseconds: float | None) -> None:
        if place is not None:
            self.buckets[place] += number
            self.sum_ms += milliseconds or 0.0

    @property
    def number(self) -> int:
        return sum(self.buckets)

    @property
    def average(self) -> float | None:
        """In milliseconds; None: there was nothing."""
        return self.sum_ms / self.number if self.number else None

    def percentile(self, share: float) -> float | None:
        return percentile(self.buckets, share)


@dataclass(slots=True)
class Slot:
    """The cycles that began in one hour or day. `items`: by workload; `took`: how long cycles ran;
    `waited`: how long after their time they began."""

    start: datetime
    items: dict[int, int] = field(default_factory=dict)
    failed: int = 0
    took: Times = field(default_factory=Times)
    waited: Times = field(default_factory=Times)

    @property
    def cycles(self) -> int:
        return self.took.number


def slots_between(since: datetime, now: datetime, step: timedelta) -> list[datetime]:
    """The beginnings of hours or days, in the reader's time zone, that reach from `since` to `now`."""
    zone = timezone.get_current_timezone()
    first = since.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    starts = []
    if step >= DAY:
        day = first.date()
        while (start := datetime(day.year, day.month, day.day, tzinfo=zone)) <= now:
            starts.append(start)
            day += DAY
        return starts
    while first <= now:
        starts.append(first.astimezone(zone))
        first = first.astimezone(timezone.get_fixed_timezone(0)) + step
    return starts


def over_time(cycles: Rows, since: datetime, now: datetime, step: timedelta) -> list[Slot]:
    """Cycles since the slot in which `since` lies, by hours or days."""
    slots = {start: Slot(start) for start in slots_between(since, now, step)}
    trunc = TruncDay if step >= DAY else TruncHour
    counted = (
        cycles.filter(mailbox_process_started_on__gte=min(slots))
        .order_by()
        .annotate(
            slot=trunc("mailbox_process_started_on"),
            took=Milliseconds("mailbox_process_started_on", "mailbox_process_completed_on"),
            waited=_delay(),
        )
        .annotate(took_in=Place("took"), waited_in=Place("waited"))
        .values("slot", "operation_type", "took_in", "waited_in")
        .annotate(
            number=Count("pk"),
            items=Sum(F("items_processed") + F("items_failed")),
            failures=Count("pk", filter=Q(process_result=False)),
            took_ms=Sum("took"),
            waited_ms=Sum("waited"),
        )
    )
    for row in counted:
        if slot := slots.get(row["slot"]):
            _count(slot, row)
    return list(slots.values())


def _delay() -> Case:
    """Begun by hand, a cycle may run before its time: then it waited for nothing."""
    span = Milliseconds("mailbox_process_scheduled_on", "mailbox_process_started_on")
    return Case(
        When(mailbox_process_scheduled_on__isnull=False, then=Greatest(span, Value(0.0))),
        output_field=FloatField(null=True),
    )


def _count(slot: Slot, row: Mapping[str, Any]) -> None:
    kind = row["operation_type"]
    slot.items[kind] = slot.items.get(kind, 0) + row["items"]
    slot.failed += row["failures"]
    slot.took.add(row["took_in"], row["number"], row["took_ms"])
    slot.waited.add(row["waited_in"], row["number"], row["waited_ms"])


# -- months, of the totals that outlive the cycles ------------------------------------------------


@dataclass(frozen=True, slots=True)
class Month:
    """The days of cycles of one month. `items`: by workload; times in milliseconds, None: no cycle had events."""

    start: date
    items: dict[int, int]
    eventful: int = 0
    idle: int = 0
    failed: int = 0
    took: float | None = None
    waited: float | None = None


def months_between(since: date, until: date) -> list[date]:
    """The first days of the months from that of `since` to that of `until`."""
    starts, month = [], since.replace(day=1)
    while month <= until:
        starts.append(month)
        month = (month + timedelta(days=31)).replace(day=1)
    return starts


def by_month(days: Rows, since: date, until: date) -> list[Month]:
    """Daily totals (`MailboxStatisticsDay`) added up; one statement."""
    sums = (
        days.filter(day__gte=since.replace(day=1))
        .order_by()
        .annotate(month=TruncMonth("day"))
        .values("month", "operation_type")
        .annotate(
            items=Sum(F("items_processed") + F("items_failed")),
            eventful=Sum("eventful_cycles"),
            idle=Sum("idle_cycles"),
            failed=Sum("failed_cycles"),
            took_ms=Sum("duration_ms"),
            waited_ms=Sum("delay_ms"),
        )
    )
    found = defaultdict(list)
    for row in sums:
        found[row["month"]].append(row)
    return [_month(start, found[start]) for start in months_between(since, until)]


def _month(start: date, rows: Sequence[Mapping[str, Any]]) -> Month:
    sums = {name: sum(row[name] for row in rows) for name in ("eventful", "idle", "failed")}
    number = sums["eventful"]
    return Month(
        start=start,
        items={row["operation_type"]: row["items"] for row in rows},
        took=sum(row["took_ms"] for row in rows) / number if number else None,
        waited=sum(row["waited_ms"] for row in rows) / number if number else None,
        **sums,
    )


# -- by cause, by mailbox ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Part:
    """A number, what it counts, and under which key."""

    key: str
    words: str
    number: int


def failures_by_code(cycles: Rows, since: datetime) -> list[Part]:
    """Cycles that failed, the commonest condition first."""
    rows = (
        cycles.filter(process_result=False, mailbox_process_started_on__gte=since)
        .order_by()
        .values("error_code")
        .annotate(number=Count("pk"))
        .order_by("-number", "error_code")[:TOP]
    )
    return [Part(row["error_code"], row["error_code"], row["number"]) for row in rows]


def failing_mailboxes(cycles: Rows, since: datetime) -> list[Part]:
    """Those with the most failed cycles."""
    rows = (
        cycles.filter(process_result=False, mailbox_process_started_on__gte=since)
        .order_by()
        .values("mailbox", "mailbox__name")
        .annotate(number=Count("pk"))
        .order_by("-number", "mailbox__name")[:TOP]
    )
    return [Part(str(row["mailbox"]), row["mailbox__name"], row["number"]) for row in rows]


def failures_by_code_of_days(days: Rows, since: date) -> list[Part]:
    """The same as `failures_by_code`, of daily totals. Equal ones are joined before they are read."""
    alike = (
        days.filter(day__gte=since, failed_cycles__gt=0)
        .order_by()
        .values_list("failures_by_code")
        .annotate(number=Count("pk"))
    )
    numbers: Counter[str] = Counter()
    for codes, days_alike in alike:
        numbers.update({code: number * days_alike for code, number in codes.items()})
    worst = sorted(numbers.items(), key=lambda part: (-part[1], part[0]))[:TOP]
    return [Part(code, code, number) for code, number in worst]


def failing_mailboxes_of_days(days: Rows, since: date) -> list[Part]:
    """The same as `failing_mailboxes`, of daily totals."""
    rows = (
        days.filter(day__gte=since, failed_cycles__gt=0)
        .order_by()
        .values("mailbox", "mailbox__name")
        .annotate(number=Sum("failed_cycles"))
        .order_by("-number", "mailbox__name")[:TOP]
    )
    return [Part(str(row["mailbox"]), row["mailbox__name"], row["number"]) for row in rows]


def disabled_by_code(workloads: Rows, since: datetime) -> list[Part]:
    """Workloads that a failure has disabled since, and that still are."""
    rows = (
        workloads.filter(state=WorkloadState.DISABLED, state_since__gte=since)
        .order_by()
        .values("state_code")
        .annotate(number=Count("pk"))
        .order_by("-number", "state_code")[:TOP]
    )
    return [Part(row["state_code"], row["state_code"], row["number"]) for row in rows]


def by_standing(workloads: Rows) -> dict[Operation, dict[Standing, int]]:
    """Workloads that are used, by how they stand."""
    rows = (
        workloads.annotate(standing=standing())
        .exclude(standing=Standing.UNUSED)
        .order_by()
        .values("operation", "standing")
        .annotate(number=Count("pk"))
    )
    found: dict[Operation, dict[Standing, int]] = {operation: {} for operation in Operation}
    for row in rows:
        found[Operation(row["operation"])][Standing(row["standing"])] = row["number"]
    return found


# -- waiting mail --------------------------------------------------------------------------------


def waiting_since() -> Greatest:
    """Since when an email that was sent is free to leave."""
    sent = Coalesce("submitted_at", "activity__created_on")
    return Greatest(
        sent,
        Coalesce("delayed_email_send_time", sent),
        Coalesce("postpone_email_processing_until", sent),
    )


def waiting(emails: Rows, now: datetime) -> Rows:
    """Mail that could have left. What is to leave later isn't waiting."""
    pending = emails.filter(status_code=EmailStatus.PENDING_SEND)
    rows: Rows = pending.annotate(free=waiting_since()).filter(free__lte=now)
    return rows


def age_condition(emails: Rows, group: int, now: datetime) -> Rows:
    """The rows of one group of ages, in the order of `AGES`."""
    rows = waiting(emails, now)
    if group < len(AGES):
        rows = rows.filter(free__gt=now - AGES[group])
    return rows.filter(free__lte=now - AGES[group - 1]) if group else rows


def pending_by_age(emails: Rows, now: datetime) -> list[int]:
    """How many wait, by the ages of `AGES` and older."""
    rows = (
        waiting(emails, now)
        .order_by()
        .annotate(
            group=Case(
                *(When(free__gt=now - age, then=Value(place)) for place, age in enumerate(AGES)),
                default=Value(len(AGES)),
                output_field=IntegerField(),
            )
        )
        .values("group")
        .annotate(number=Count("pk"))
    )
    numbers = {row["group"]: row["number"] for row in rows}
    return [numbers.get(place, 0) for place in range(len(AGES) + 1)]
