"""Cycles by day: counted from their rows and from the counter, once, and kept when the rows go."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailboxes.choices import Operation
from mailboxes.models import Mailbox
from serversync import daily
from serversync.histogram import counted
from serversync.models import MailboxStatistics, MailboxStatisticsDay, Workload
from tests.integration.serversync.cycles import user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TODAY, YESTERDAY = date(2026, 3, 2), date(2026, 3, 1)


def cycle(mailbox: Mailbox, began: datetime, ms: int = 300, **columns: object) -> None:
    """One with a row, as the engine leaves it."""
    Workload.objects.filter(mailbox=mailbox, operation=Operation.INCOMING).update(
        cycles=mailbox.workloads.get(operation=Operation.INCOMING).cycles + 1
    )
    MailboxStatistics.objects.create(
        mailbox=mailbox,
        operation_type=Operation.INCOMING,
        mailbox_process_scheduled_on=began - timedelta(seconds=2),
        mailbox_process_started_on=began,
        mailbox_process_completed_on=began + timedelta(milliseconds=ms),
        **columns,
    )


def idle(mailbox: Mailbox, number: int) -> None:
    row = mailbox.workloads.get(operation=Operation.INCOMING)
    Workload.objects.filter(pk=row.pk).update(cycles=row.cycles + number)


def day(mailbox: Mailbox, when: date) -> MailboxStatisticsDay:
    return MailboxStatisticsDay.objects.get(
        mailbox=mailbox, operation_type=Operation.INCOMING, day=when
    )


@pytest.mark.rule("R8.32")
def test_a_day_tells_its_cycles_items_failures_and_times() -> None:
    ada = user_mailbox("ada")
    cycle(ada, NOW - timedelta(days=1), items_processed=2, items_by_state={"tracked": 2})
    cycle(ada, NOW - timedelta(hours=2), 700, items_by_state={"tracked": 1, "rejected": 3})
    cycle(ada, NOW - timedelta(hours=1), 900, process_result=False, error_code="ServerBusy")

    daily.count_cycles(NOW)

    assert day(ada, YESTERDAY).items_by_state == {"tracked": 2}
    row = day(ada, TODAY)
    assert (row.eventful_cycles, row.failed_cycles, row.idle_cycles) == (2, 1, 0)
    assert row.items_by_state == {"tracked": 1, "rejected": 3}
    assert row.failures_by_code == {"ServerBusy": 1}
    assert (row.duration_ms, row.durations) == (1600, counted([700, 900]))
    assert (row.delay_ms, row.delays) == (4000, counted([2000, 2000]))


@pytest.mark.rule("R8.32")
def test_counting_again_adds_only_what_is_new() -> None:
    ada = user_mailbox("ada")
    cycle(ada, NOW - timedelta(hours=2))
    daily.count_cycles(NOW)
    idle(ada, 30)
    cycle(ada, NOW + timedelta(minutes=10))

    later = NOW + timedelta(hours=1)
    daily.count_cycles(later)
    once = list(MailboxStatisticsDay.objects.order_by("pk").values())
    daily.count_cycles(later)

    assert list(MailboxStatisticsDay.objects.order_by("pk").values()) == once
    row = day(ada, TODAY)
    assert (row.eventful_cycles, row.idle_cycles, row.cycles) == (2, 30, 32)


def test_a_cycle_whose_row_comes_after_a_count_of_a_later_moment_is_counted_once() -> None:
    ada = user_mailbox("ada")
    cycle(ada, NOW - timedelta(hours=2))
    daily.count_cycles(NOW)

    cycle(ada, NOW - timedelta(seconds=1))  # it had ended by then, and was not committed
    daily.count_cycles(NOW + timedelta(hours=1))

    row = day(ada, TODAY)
    assert (row.eventful_cycles, row.idle_cycles) == (2, 0)


def test_a_cycle_that_has_its_row_before_its_count_is_counted_once() -> None:
    ada = user_mailbox("ada")
    cycle(ada, NOW - timedelta(hours=2))
    daily.count_cycles(NOW)

    cycle(ada, NOW + timedelta(minutes=5))
    idle(ada, -1)  # read before it ended
    daily.count_cycles(NOW + timedelta(hours=1))
    idle(ada, 1)
    idle(ada, 3)
    daily.count_cycles(NOW + timedelta(hours=2))

    row = day(ada, TODAY)
    assert (row.eventful_cycles, row.idle_cycles) == (2, 3)


def test_a_counter_that_began_anew_is_counted_from_there() -> None:
    ada = user_mailbox("ada")
    idle(ada, 500)
    daily.count_cycles(NOW)
    idle(ada, -490)
    daily.count_cycles(NOW + timedelta(hours=1))
    idle(ada, 7)
    daily.count_cycles(NOW + timedelta(hours=2))

    assert day(ada, TODAY).idle_cycles == 7


def test_idle_cycles_of_a_night_belong_to_both_days() -> None:
    ada = user_mailbox("ada")
    idle(ada, 1)
    daily.count_cycles(NOW)
    idle(ada, 96)

    daily.count_cycles(NOW + timedelta(days=1))

    assert day(ada, TODAY).idle_cycles == 48
    assert day(ada, TODAY + timedelta(days=1)).idle_cycles == 48


@pytest.mark.rule("R8.32")
def test_days_outlive_the_rows_for_13_months() -> None:
    ada = user_mailbox("ada")
    cycle(ada, NOW, items_processed=1)
    daily.count_cycles(NOW + timedelta(hours=1))
    MailboxStatistics.objects.all().delete()

    daily.count_cycles(NOW + timedelta(hours=2))
    assert day(ada, TODAY).eventful_cycles == 1
    assert daily.forget(NOW + timedelta(days=395)) == 0
    assert daily.forget(NOW + timedelta(days=398)) == 1


def test_the_statements_do_not_grow_with_the_mailboxes() -> None:
    cycle(user_mailbox("ada"), NOW)
    daily.count_cycles(NOW)
    with CaptureQueriesContext(connection) as one:
        daily.count_cycles(NOW)
    for name in ("ben", "cleo", "dan"):
        cycle(user_mailbox(name), NOW)
    daily.count_cycles(NOW)

    with CaptureQueriesContext(connection) as four:
        daily.count_cycles(NOW)

    assert len(four) == len(one)
