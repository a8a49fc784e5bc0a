"""PURE  whether a soak was good enough: each promise with what was found, and the limit."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from tests.soak.plan import Window, fair_start
from tests.soak.records import Delivery, Record, Sample, Worker, figures

VISIBLE_SECONDS = 60.0
VISIBLE_SHARE = 0.95
GROWTH = 1.10
TRAFFIC_SHARE = 0.9  # of the rate that was asked for; less is another soak
MINUTE = 60.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """`found` and `limit` as numbers; `detail`: what a person wants to know if it failed."""

    promise: str
    found: float
    limit: float
    ok: bool
    detail: str = ""


def none_of(promise: str, found: Sequence[str]) -> Verdict:
    return Verdict(promise, len(found), 0, not found, ", ".join(found[:5]))


def judge(record: Record) -> list[Verdict]:
    return [
        *_traffic(record),
        *_once(record),
        *_ledger(record),
        _visible(record),
        _memory(record),
        *([] if record.calm else _really_failed(record)),
    ]


def _traffic(record: Record) -> list[Verdict]:
    wanted = record.rate * record.seconds * TRAFFIC_SHARE
    found = len(record.deliveries)
    return [Verdict("messages delivered, at least", found, ceil(wanted), found >= wanted)]


def _once(record: Record) -> list[Verdict]:
    rows = record.books.emails
    ids = [each.message_id for each in record.deliveries]
    return [
        none_of("messages lost", [each for each in ids if not rows.get(each)]),
        none_of("messages stored twice", [each for each, number in rows.items() if number > 1]),
    ]


def _ledger(record: Record) -> list[Verdict]:
    books = record.books
    unfinished = [f"{number} {state}" for state, number in books.unfinished.items() if number]
    return [
        none_of("mailboxes whose ledger doesn't balance", _told(books.differing)),
        none_of("states with unfinished items", unfinished),
        none_of("mailboxes that can't be recounted", _told(books.uncounted)),
        Verdict("differences of all recounts", books.recount_differences, 0, not books.recount_differences),
        none_of("mailboxes out of service at the end", _told(books.out_of_service)),
    ]  # fmt: skip


def _told(by_address: dict[str, str]) -> list[str]:
    return [f"{address}: {what}" for address, what in sorted(by_address.items())]


# -- how soon


def delays(deliveries: Sequence[Delivery], windows: Sequence[Window]) -> list[float]:
    """Seconds until each was visible, shortest first; infinite for what never was."""
    found = []
    for each in deliveries:
        seen = float("inf") if each.seen_at is None else each.seen_at
        found.append(max(0.0, seen - fair_start(each.at, each.boxes, windows)))
    return sorted(found)


def percentile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that so many don't exceed; infinite if there is none."""
    return ordered[max(0, ceil(len(ordered) * share) - 1)] if ordered else float("inf")


def _visible(record: Record) -> Verdict:
    ordered = delays(record.deliveries, record.windows)
    found = percentile(ordered, VISIBLE_SHARE)
    late = sum(each > VISIBLE_SECONDS for each in ordered)
    return Verdict(
        "seconds until 95 % of new mail is visible",
        round(found, 1),
        VISIBLE_SECONDS,
        found <= VISIBLE_SECONDS,
        f"{late} of {len(ordered)} took longer",
    )


# -- memory


@dataclass(frozen=True, slots=True)
class Growth:
    """Most megabytes of one worker in its minute two and in the last one; `because`: why they can't be
    compared."""

    worker: Worker
    second: float = 0.0
    last: float = 0.0
    because: str = ""

    @property
    def ratio(self) -> float:
        return self.last / self.second if self.second else 0.0


def growths(workers: Sequence[Worker], samples: Sequence[Sample], seconds: float) -> list[Growth]:
    return [_growth(each, samples, seconds) for each in workers]


def _growth(worker: Worker, samples: Sequence[Sample], seconds: float) -> Growth:
    """Minute two of the traffic, or of its own life where that began later."""
    second = max(0.0, worker.since) + MINUTE
    last = seconds - MINUTE
    if worker.until is not None:
        return Growth(worker, because=f"ended after {worker.until - max(0.0, worker.since):.0f} s")
    if second + MINUTE > last:
        return Growth(worker, because="too young")
    before = figures(samples, worker.pid, second, second + MINUTE)
    after = figures(samples, worker.pid, last, seconds)
    if not before or not after:
        return Growth(worker, because="not measured")
    return Growth(worker, max(before), max(after))


def _memory(record: Record) -> Verdict:
    compared = [
        each for each in growths(record.workers, record.samples, record.seconds) if not each.because
    ]
    worst = max((each.ratio for each in compared), default=float("inf"))
    ratio = round(worst, 3) if compared else worst
    told = f"{len(compared)} of {len(record.workers)} workers lived long enough"
    return Verdict(
        "a worker's memory, last minute to minute two", ratio, GROWTH, worst <= GROWTH, told
    )


# -- was it a soak at all?


def _really_failed(record: Record) -> list[Verdict]:
    """Faults that never struck and kills that hit nobody prove nothing."""
    planned = {window.protocol for window in record.windows}
    unharmed = sorted(each for each in planned if not record.struck.get(each))
    killed = len(record.kills)
    return [
        none_of("servers whose faults met nobody", unharmed),
        Verdict("processes killed, at least", killed, 1, killed >= 1),
    ]
