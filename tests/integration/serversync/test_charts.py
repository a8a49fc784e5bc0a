"""The charts of the console: their numbers, the lists behind them, what they cost, and who sees them."""

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from activities.choices import Direction, EmailStatus
from activities.models import Email
from mailboxes.choices import Operation
from serversync import figures
from serversync.console.charts import cards
from serversync.histogram import counted
from serversync.models import Cluster, MailboxStatistics, MailboxStatisticsDay, Workload
from tests.factories.activities import EmailFactory
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    SuperuserFactory,
    SystemUserFactory,
    ready_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]
one_database = pytest.mark.database("sqlite")

NOW = timezone.now().replace(minute=30, second=0, microsecond=0)
HOUR = timedelta(hours=1)


def cycle(mailbox, ago=timedelta(minutes=5), took=1.0, late=2.0, code="", items=3, operation=0):
    start = NOW - ago
    return MailboxStatistics.objects.create(
        mailbox=mailbox,
        operation_type=operation,
        mailbox_process_scheduled_on=start - timedelta(seconds=late),
        mailbox_process_started_on=start,
        mailbox_process_completed_on=start + timedelta(seconds=took),
        process_result=not code,
        error_code=code,
        items_processed=0 if code else items,
    )


@pytest.fixture
def profile():
    return EmailServerProfileFactory()


@pytest.fixture
def mailbox(profile):
    return ready_mailbox(SystemUserFactory(), email_server_profile=profile)


@pytest.fixture
def busy(mailbox, profile):
    """Two mailboxes: cycles of two hours, failures, a disabled workload, mail that waits."""
    other = ready_mailbox(SystemUserFactory(), email_server_profile=profile)
    for took in (1, 1, 9):
        cycle(mailbox, took=took)
    cycle(mailbox, ago=2 * HOUR, items=5, operation=Operation.OUTGOING)
    for code in ("SocketTimedOut", "SocketTimedOut", "InvalidCredentials"):
        cycle(other, code=code)
    Workload.objects.update(enabled=True, test_status=1)
    Workload.objects.filter(mailbox=other, operation=Operation.INCOMING).update(
        state="disabled", state_code="InvalidCredentials", state_since=NOW, enabled=False
    )
    for minutes in (1, 30, 3_000):
        EmailFactory(
            direction_code=Direction.OUTGOING,
            status_code=EmailStatus.PENDING_SEND,
            sender_mailbox=mailbox,
            submitted_at=NOW - timedelta(minutes=minutes),
        )
    return mailbox, other


@pytest.mark.rule("R8.31")
def test_cycles_are_counted_by_the_hour_in_one_statement(busy, django_assert_num_queries):
    rows = MailboxStatistics.objects.all()
    with django_assert_num_queries(1):
        slots = figures.over_time(rows, NOW - 3 * HOUR, NOW, HOUR)
    assert len(slots) == 4
    last, earlier = slots[-1], slots[-3]
    assert (last.items, last.failed, last.cycles) == ({0: 9}, 3, 6)
    assert earlier.items == {1: 5}
    assert earlier.took.average == pytest.approx(1_000, abs=5)
    assert earlier.waited.average == pytest.approx(2_000, abs=5)
    assert 5_000 < last.took.percentile(0.95) <= 10_000
    assert slots[-2].took.average is None


@pytest.mark.parametrize("span", cards.SPANS[:3], ids=lambda span: span.name)
def test_each_span_reaches_to_now_and_counts_every_cycle_once(busy, span):
    slots = figures.over_time(MailboxStatistics.objects.all(), span.since(NOW), NOW, span.step)
    assert len(slots) == {"day": 24, "week": 7, "month": 30}[span.name]
    assert sum(slot.cycles for slot in slots) == 7
    assert slots[-1].start <= NOW < slots[-1].start + span.step


def test_a_cycle_without_its_time_or_begun_before_it_waited_for_nothing(mailbox):
    cycle(mailbox, late=-30)
    MailboxStatistics.objects.filter(pk=cycle(mailbox).pk).update(mailbox_process_scheduled_on=None)
    (slot,) = figures.over_time(MailboxStatistics.objects.all(), NOW, NOW, HOUR)
    assert (slot.waited.number, slot.waited.average) == (1, 0.0)
    assert slot.took.number == 2


@pytest.mark.parametrize("milliseconds", [0, 99, 100, 101, 5_000, 3_600_000, 9_999_999])
def test_the_database_counts_durations_into_the_buckets_of_the_histogram(mailbox, milliseconds):
    """At each of many times of day: a float that stands for one is not equally near to all of them."""
    for minutes in range(25):
        cycle(mailbox, ago=timedelta(minutes=minutes), took=milliseconds / 1_000)
    (slot,) = figures.over_time(MailboxStatistics.objects.all(), NOW, NOW, HOUR)
    assert slot.took.buckets == counted([milliseconds] * 25)


def test_the_other_figures_count_by_cause_by_mailbox_by_age_and_by_standing(busy):
    since, cycles = NOW - 3 * HOUR, MailboxStatistics.objects.all()
    by_code = figures.failures_by_code(cycles, since)
    assert [(part.key, part.number) for part in by_code] == [
        ("SocketTimedOut", 2),
        ("InvalidCredentials", 1),
    ]
    (worst,) = figures.failing_mailboxes(cycles, since)
    assert (worst.key, worst.number) == (str(busy[1].pk), 3)
    (disabled,) = figures.disabled_by_code(Workload.objects.all(), since)
    assert (disabled.key, disabled.number) == ("InvalidCredentials", 1)

    assert figures.pending_by_age(Email.objects.all(), NOW) == [1, 0, 1, 0, 0, 1]
    standing = figures.by_standing(Workload.objects.filter(mailbox__in=busy))
    assert standing[Operation.INCOMING] == {"runs": 1, "off": 1}
    assert standing[Operation.OUTGOING] == {"runs": 2}
    assert standing[Operation.ACT] == {}


def day_of(mailbox, day, **values):
    return MailboxStatisticsDay.objects.create(
        mailbox=mailbox,
        operation_type=Operation.INCOMING,
        day=day,
        counted_at=NOW,
        **{"eventful_cycles": 10, "idle_cycles": 90, "duration_ms": 20_000, **values},
    )


@pytest.mark.rule("R8.32")
def test_thirteen_months_are_drawn_of_what_outlives_the_cycles(mailbox, django_assert_num_queries):
    other, late = ready_mailbox(SystemUserFactory()), datetime(2026, 3, 10, 12, tzinfo=UTC)
    day_of(mailbox, date(2025, 3, 1), items_processed=7, delay_ms=5_000)
    day_of(mailbox, date(2025, 2, 28), items_processed=1_000)  # before the first of the months
    day_of(mailbox, date(2026, 3, 9), failed_cycles=4, failures_by_code={"SocketTimedOut": 4})
    failures = {"SocketTimedOut": 1, "InvalidCredentials": 2}
    day_of(other, date(2026, 3, 10), failed_cycles=3, items_failed=2, failures_by_code=failures)
    cycles = cards.Cycles.seen_by(SuperuserFactory())
    span = cards.span_of("year")
    with django_assert_num_queries(1):
        items, counted_cycles, took, waited = cards.over_time(cycles, span, late, cards.Place())
    assert [column.words for column in items.columns][::12] == ["2025-03", "2026-03"]
    assert [column.values for column in items.columns][::12] == [(7,), (2,)]
    assert counted_cycles.columns[-1].values == (7, 13, 180)
    assert (took.columns[0].values, waited.columns[0].values) == ((2_000.0,), (500.0,))
    assert took.columns[1].values == (None,)
    with django_assert_num_queries(2):
        by_code = cards.failures(cycles, span, late, cards.Place())
        by_mailbox = cards.failing_mailboxes(cycles, span, late)
    assert [(bar.words, bar.number) for bar in by_code.bars] == [
        ("SocketTimedOut", 5),
        ("InvalidCredentials", 2),
    ]
    assert [bar.number for bar in by_mailbox.bars] == [4, 3]


@one_database
def test_the_pages_draw_thirteen_months_and_link_to_no_list_that_is_gone(busy, profile):
    day_of(busy[0], timezone.localdate(NOW), items_processed=3)
    client = signed_in(SuperuserFactory())
    for url in (
        reverse("admin:index"),
        reverse("admin:mailboxes_emailserverprofile_change", args=[profile.pk]),
        reverse("admin:mailboxes_mailbox_change", args=[busy[0].pk]),
    ):
        response = client.get(url, {"span": "year"})
        keys = [chart.key for chart in response.context["charts"].drawn]
        assert keys[:3] == ["items", "cycles", "took"]
        charts = response.content.decode().partition('id="charts"')[2]
        assert 'href=""' not in charts


@one_database
def test_a_user_sees_months_of_own_mailboxes_alone(busy):
    for mailbox, items in zip(busy, (3, 400), strict=True):
        day_of(mailbox, timezone.localdate(NOW), items_processed=items)
    page = signed_in(busy[0].owning_user).get(reverse("admin:index"), {"span": "year"})
    (items, *_others) = page.context["charts"].drawn
    assert items.columns[-1].values == (3,)


def lists_of(charts):
    """Every link of the charts with the number beside it."""
    for chart in charts.drawn:
        for column in chart.columns:
            if any(column.values):
                yield column.url, None
    for chart in charts.bars:
        for bar in chart.bars:
            for piece in bar.shown:
                yield piece.url, piece.number


@one_database
@pytest.mark.rule("R8.31")
@pytest.mark.parametrize("page", ["index", "profile", "mailbox"])
def test_each_number_of_a_chart_leads_to_a_list_of_that_length(busy, profile, page):
    addresses = {
        "index": reverse("admin:index"),
        "profile": reverse("admin:mailboxes_emailserverprofile_change", args=[profile.pk]),
        "mailbox": reverse("admin:mailboxes_mailbox_change", args=[busy[1].pk]),
    }
    client = signed_in(SuperuserFactory())
    response = client.get(addresses[page], {"span": "week"})
    charts = response.context["charts"]
    found = list(lists_of(charts))
    assert len(found) >= 3
    for url, number in found:
        listed = client.get(url)
        assert listed.status_code == 200, url
        if number is not None:
            assert listed.context["cl"].result_count == number, url


@one_database
def test_a_slot_of_the_drawing_opens_the_cycles_that_began_in_it(busy):
    client = signed_in(SuperuserFactory())
    charts = client.get(reverse("admin:index")).context["charts"]
    took = next(chart for chart in charts.drawn if chart.key == "took")
    numbers = {
        client.get(column.url).context["cl"].result_count
        for column in took.columns
        if any(column.values)
    }
    assert numbers == {6, 1}


@one_database
def test_charts_cost_the_same_for_any_number_of_rows(busy):
    client, url = signed_in(SuperuserFactory()), reverse("admin:index")

    def cost() -> int:
        client.get(url)
        with CaptureQueriesContext(connection) as captured:
            client.get(url)
        return len(captured)

    before = cost()
    for _number in range(5):
        more = ready_mailbox(SystemUserFactory(), email_server_profile=busy[0].email_server_profile)
        cycle(more, code="SocketTimedOut")
        more.workloads.update(enabled=True, lease_token=uuid4(), lease_expires_at=NOW + 9 * HOUR)
    assert cost() == before


@one_database
@pytest.mark.rule("R8.31")
def test_a_user_sees_figures_of_own_mailboxes_alone(busy):
    owner = busy[0].owning_user
    Cluster.objects.create(name="machine:1", started_at=NOW, seen_at=NOW)
    page = signed_in(owner).get(reverse("admin:index"))
    bars = {chart.key: chart for chart in page.context["charts"].bars}
    assert bars["failures"].empty
    assert bars["failing"].empty
    assert str(busy[1]) not in page.content.decode()
    assert not page.context["clusters"]


# -- what runs -----------------------------------------------------------------------------------


def run(mailbox, operation=Operation.INCOMING, items=40):
    mailbox.workloads.filter(operation=operation).update(
        enabled=True,
        lease_token=uuid4(),
        lease_expires_at=timezone.now() + HOUR,
        last_started_at=timezone.now() - timedelta(seconds=12),
        items_so_far=items,
    )


@one_database
@pytest.mark.rule("R8.31")
def test_running_cycles_say_since_when_and_how_far(busy):
    run(busy[0])
    client, url = signed_in(SuperuserFactory()), reverse("admin:live")
    answer = client.get(url)
    assert "no-store" in answer["Cache-Control"]
    (line,) = answer.json()["lines"]
    assert (line["mailbox"], line["workload"], line["busy"]) == (
        busy[0].name,
        "Incoming email",
        True,
    )
    assert "40 items so far" in line["words"]
    page = client.get(reverse("admin:index"))
    assert "40 items so far" in page.content.decode()


@one_database
def test_a_mailbox_tells_what_each_workload_does_until_it_is_done(busy):
    mailbox = busy[0]
    Workload.objects.filter(mailbox=mailbox).update(next_run_at=timezone.now() + HOUR)
    client, url = signed_in(SuperuserFactory()), reverse("admin:live")
    query = {"mailbox": str(mailbox.pk)}
    assert [line["busy"] for line in client.get(url, query).json()["lines"]] == [False, False]
    mailbox.workloads.update(run_requested_at=timezone.now(), next_run_at=timezone.now())
    waiting = client.get(url, query).json()["lines"]
    assert {line["words"] for line in waiting} == {"waits for a worker"}
    run(mailbox)
    incoming, _outgoing = client.get(url, query).json()["lines"]
    assert "runs for" in incoming["words"]
    mailbox.workloads.update(
        lease_token=None,
        lease_expires_at=None,
        run_requested_at=None,
        next_run_at=timezone.now() + HOUR,
        last_success_at=timezone.now(),
        last_items_processed=7,
        last_duration_ms=1_500,
    )
    done, _outgoing = client.get(url, query).json()["lines"]
    assert not done["busy"]
    assert "7 items in 1.5 s" in done["words"]


@one_database
def test_progress_is_told_only_of_mailboxes_in_sight(busy):
    mine, other = busy
    run(mine)
    run(other)
    owner = mine.owning_user
    client = signed_in(owner)
    url = reverse("admin:live")
    assert [line["mailbox"] for line in client.get(url).json()["lines"]] == [mine.name]
    assert client.get(url, {"mailbox": str(other.pk)}).json()["lines"] == []
    assert client.get(url, {"mailbox": "nonsense"}).json()["lines"] == []
    assert client.get(url, {"profile": "nonsense"}).json()["lines"] == []
