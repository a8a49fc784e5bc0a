"""Whether a soak was good enough: each promise can be broken, and is told with its number."""

from collections.abc import Callable

import pytest

from tests.soak import report
from tests.soak.judging import delays, growths, judge, percentile
from tests.soak.plan import Kill, Trouble, Victim, Window
from tests.soak.records import Books, Delivery, Record, Sample, Worker

ADA = ("imap", "ada@soak.example")
SECONDS = 300.0
DOWN = Window("imap", Trouble.DOWN, 10, 30)


def sampled(pid: int, second: float, last: float, start: float = 60) -> list[Sample]:
    return [Sample(start + 1, pid, second), Sample(SECONDS - 1, pid, last)]


def good() -> Record:
    """A hundred messages, each seen after ten seconds."""
    deliveries = [Delivery(f"{n}@customer.example", n, (ADA,), n + 10) for n in range(100)]
    return Record(
        seed=7,
        seconds=SECONDS,
        mailboxes={"imap": 1},
        rate=0.3,
        deliveries=deliveries,
        windows=[DOWN],
        kills=[(Kill(20, Victim.WORKER, 0), 1)],
        samples=sampled(11, 100, 105),
        workers=[Worker(11, 0, -30, None)],
        struck={"imap": 3},
        books=Books(emails={each.message_id: 1 for each in deliveries}),
    )


def failed(record: Record) -> list[str]:
    return [each.promise for each in judge(record) if not each.ok]


def test_a_good_soak_keeps_every_promise():
    assert failed(good()) == []
    assert "All promises were kept (seed 7)." in "\n".join(report.lines(good(), judge(good())))


def lose(record: Record) -> None:
    del record.books.emails["3@customer.example"]


def double(record: Record) -> None:
    record.books.emails["3@customer.example"] = 2


def unbalance(record: Record) -> None:
    record.books.differing["ada@soak.example"] = "2 delivered, 2 on the server, 1 seen"


def leave(record: Record) -> None:
    record.books.unfinished["retrying"] = 1


def differ(record: Record) -> None:
    record.books.recount_differences = 1


def not_count(record: Record) -> None:
    record.books.uncounted["ada@soak.example"] = "All 1 connections of its account are in use."


def disable(record: Record) -> None:
    record.books.out_of_service["ada@soak.example"] = "disabled"


def grow(record: Record) -> None:
    record.samples = sampled(11, 100, 110.1)


def kill_all(record: Record) -> None:
    record.workers = [Worker(11, 0, -30, 200)]


def deliver_little(record: Record) -> None:
    record.rate = 0.4


def delay(record: Record) -> None:
    for each in record.deliveries[:6]:
        each.at, each.seen_at = 40, 101


def fail_nobody(record: Record) -> None:
    record.struck = {"imap": 0}


def spare_all(record: Record) -> None:
    record.kills = []


BROKEN = {
    "messages lost": lose,
    "messages stored twice": double,
    "mailboxes whose ledger doesn't balance": unbalance,
    "states with unfinished items": leave,
    "differences of all recounts": differ,
    "mailboxes that can't be recounted": not_count,
    "mailboxes out of service at the end": disable,
    "messages delivered, at least": deliver_little,
    "seconds until 95 % of new mail is visible": delay,
    "servers whose faults met nobody": fail_nobody,
    "processes killed, at least": spare_all,
}


@pytest.mark.parametrize("promise", BROKEN)
def test_each_promise_can_be_broken_alone(promise: str):
    record = good()
    BROKEN[promise](record)
    assert failed(record) == [promise]
    told = "\n".join(report.lines(record, judge(record)))
    assert f"Failed with seed 7: {promise}: " in told


@pytest.mark.parametrize("spoil", [grow, kill_all])
def test_workers_that_grow_and_workers_that_nobody_could_measure_both_fail(
    spoil: Callable[[Record], None],
):
    record = good()
    spoil(record)
    assert failed(record) == ["a worker's memory, last minute to minute two"]


def test_every_promise_is_covered_here():
    memory = "a worker's memory, last minute to minute two"
    assert {each.promise for each in judge(good())} == {*BROKEN, memory}


def test_a_calm_soak_needs_no_faults():
    record = good()
    record.calm, record.kills, record.struck = True, [], {}
    assert failed(record) == []


# -- how soon


def test_five_of_a_hundred_may_be_late_and_six_may_not():
    record = good()
    for each in record.deliveries[:5]:
        each.at, each.seen_at = 40, 101
    assert failed(record) == []
    record.deliveries[50].seen_at = None
    assert failed(record) == ["seconds until 95 % of new mail is visible"]


def test_what_came_while_its_server_failed_counts_from_the_end_of_that():
    during = Delivery("a", 12, (ADA,), 50)
    assert delays([during], [DOWN]) == [20]
    assert delays([during], []) == [38]
    assert delays([Delivery("b", 12, (ADA,), 25)], [DOWN]) == [0]  # seen before its end


def test_a_percentile_is_a_value_that_was_met():
    ordered = [float(n) for n in range(1, 101)]
    assert [percentile(ordered, share) for share in (0.5, 0.95, 1.0)] == [50, 95, 100]
    assert percentile([], 0.95) == float("inf")


# -- memory


def test_a_worker_is_compared_by_its_most_in_both_minutes():
    samples = [
        *sampled(11, 100, 103),
        Sample(70, 11, 120),
        Sample(260, 11, 126),
        Sample(5, 11, 500),
    ]
    (growth,) = growths([Worker(11, 0, -5, None)], samples, SECONDS)
    assert (growth.second, growth.last, growth.ratio) == (120, 126, 1.05)


def test_a_successor_is_compared_with_its_own_second_minute():
    (growth,) = growths([Worker(11, 0, 110, None)], sampled(11, 100, 120, start=170), SECONDS)
    assert growth.ratio == 1.2


@pytest.mark.parametrize(
    ("worker", "because"),
    [
        (Worker(11, 0, 121, None), "too young"),
        (Worker(11, 0, 20, 99), "ended after 79 s"),
        (Worker(12, 0, 0, None), "not measured"),
    ],
)
def test_who_is_left_out_is_told_why(worker: Worker, because: str):
    (growth,) = growths([worker], sampled(11, 100, 105), SECONDS)
    assert growth.because == because
