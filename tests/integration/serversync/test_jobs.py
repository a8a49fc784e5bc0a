"""The doors of the queue: the right function for the right mailbox, a sentence as the result."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from django_q.models import OrmQ, Schedule, Task

from activities import triggers
from mailboxes.choices import Operation
from mailboxes.models import EmailSearch
from serversync import engine, jobs, testing, waking
from serversync.models import MailboxStatistics, Workload
from serversync.schedules import PREFIX, TABLE, Periodic, next_night, write_schedules
from tests.factories.mailboxes import organization, ready_mailbox
from tests.integration.serversync.cycles import NOW

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


def test_each_scheduled_function_exists():
    for periodic in TABLE:
        module, _, name = periodic.function.rpartition(".")
        assert module == "serversync.jobs" and callable(getattr(jobs, name))


def test_dispatch_works_on_what_is_due_now():
    mailbox = ready_mailbox()
    mailbox.workloads.filter(operation=Operation.INCOMING).update(
        next_run_at=timezone.now() - timedelta(minutes=1)
    )
    assert "jobs" in jobs.dispatch()
    assert OrmQ.objects.get().task["func"] == "serversync.jobs.work"


def test_work_that_ran_out_of_time_is_handed_on(monkeypatch):
    monkeypatch.setattr(engine, "work", lambda: engine.Tally(runs=3, more=True))
    assert jobs.work() == "3 runs, 0 failed, 0 items"
    assert OrmQ.objects.get().task["func"] == "serversync.jobs.work"


def test_work_that_is_done_is_not_handed_on(monkeypatch):
    monkeypatch.setattr(engine, "work", lambda: engine.Tally(runs=3))
    jobs.work()
    assert not OrmQ.objects.exists()


def test_the_test_job_tests_the_mailbox_that_it_names(monkeypatch):
    mailbox = ready_mailbox()
    seen = []

    def tested(given, reset_watermark, take_over):
        seen.append((given, reset_watermark, take_over))
        return testing.TestReport(given.name, ())

    monkeypatch.setattr(testing, "test_mailbox", tested)
    waking.enqueue_tests([mailbox.pk], reset_watermark=True, take_over=True)
    job = OrmQ.objects.get().task
    assert mailbox.name in jobs.test_mailbox(*job["args"])
    assert seen == [(mailbox, True, True)]


def due_in(**delta: float) -> None:
    """One mailbox, whose mail is to be fetched then."""
    at = timezone.now() + timedelta(**delta)
    ready_mailbox().workloads.filter(operation=Operation.INCOMING).update(next_run_at=at)
    Workload.objects.exclude(operation=Operation.INCOMING).update(enabled=False)


@pytest.mark.rule("R9.1")
def test_gaps_shorter_than_those_of_dispatch_bring_a_job_in_time(monkeypatch):
    monkeypatch.setattr(engine, "work", lambda: engine.Tally(runs=3))
    organization(active_mailbox_minimum_backoff=5)
    due_in(seconds=20)
    jobs.work()
    jobs.work()  # one is coming
    wait = OrmQ.objects.get().lock - timezone.now()
    assert timedelta(seconds=15) < wait < timedelta(seconds=25)


@pytest.mark.parametrize(
    ("shortest", "delta"),
    [(60, {"seconds": 20}), (5, {"minutes": 2})],
    ids=["usual gaps", "dispatch comes before"],
)
def test_what_dispatch_finds_in_time_brings_no_job(monkeypatch, shortest, delta):
    monkeypatch.setattr(engine, "work", lambda: engine.Tally(runs=3))
    organization(active_mailbox_minimum_backoff=shortest)
    due_in(**delta)
    jobs.work()
    assert not OrmQ.objects.exists()


def test_as_many_jobs_come_as_what_is_due_then_takes():
    organization(active_mailbox_minimum_backoff=5)
    now = timezone.now()
    for _each in range(3):
        due_in(seconds=10)
    assert engine.come_back(now) == 1
    OrmQ.objects.all().delete()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "MANY", 2)
        assert engine.come_back(now) == 2


@pytest.mark.rule("R3.30")
def test_the_nightly_check_repairs_the_address_index():
    ready_mailbox()
    removed, _ = EmailSearch.objects.all().delete()
    assert removed
    assert jobs.check_addresses().startswith(f"{removed} rows repaired")
    assert EmailSearch.objects.count() == removed


def test_the_nightly_sweep_reports_what_it_removed():
    assert jobs.sweep_bytes() == "0 contents removed"


@pytest.mark.rule("R8.32")
def test_old_results_and_cycles_are_forgotten():
    now = timezone.now()
    mailbox = ready_mailbox()
    for days in (29, 31):
        MailboxStatistics.objects.create(
            mailbox=mailbox,
            operation_type=Operation.INCOMING,
            mailbox_process_started_on=now - timedelta(days=days),
            mailbox_process_completed_on=now - timedelta(days=days),
        )
    for number, (success, hours) in enumerate([(True, 2), (True, 48), (False, 48)]):
        stopped = now - timedelta(hours=hours)
        Task.objects.create(
            id=str(number),
            name=str(number),
            func="f",
            started=stopped,
            stopped=stopped,
            success=success,
        )

    assert jobs.prune().startswith("1 job results and 1 cycles removed; 0 items blanked")

    assert set(Task.objects.values_list("id", flat=True)) == {"0", "2"}
    assert MailboxStatistics.objects.count() == 1


# -- schedules


def test_each_deploy_leaves_the_same_schedules(capsys):
    call_command("setup_schedules")
    first = set(Schedule.objects.values_list("name", "func", "next_run"))
    call_command("setup_schedules")
    assert set(Schedule.objects.values_list("name", "func", "next_run")) == first
    assert len(first) == len(TABLE)


def test_obsolete_schedules_of_ours_go_and_those_of_others_stay():
    Schedule.objects.create(name=PREFIX + "former", func="x")
    Schedule.objects.create(name="somebody else's", func="y")
    assert write_schedules(NOW) == (len(TABLE), 1)
    assert Schedule.objects.filter(name="somebody else's").exists()


def test_a_changed_function_or_interval_is_written_and_the_next_run_kept():
    write_schedules(NOW, (Periodic("one", "serversync.jobs.prune", minutes=5),))
    Schedule.objects.update(next_run=NOW + timedelta(minutes=3))
    write_schedules(NOW, (Periodic("one", "serversync.jobs.dispatch", minutes=1),))
    row = Schedule.objects.get()
    assert (row.func, row.minutes) == ("serversync.jobs.dispatch", 1)
    assert row.next_run == NOW + timedelta(minutes=3)


def test_a_night_that_has_begun_is_over_for_today():
    assert next_night(NOW.replace(hour=1)) == NOW.replace(hour=3)
    assert next_night(NOW.replace(hour=3)) == NOW.replace(hour=3) + timedelta(days=1)


def test_triggers_that_somebody_dropped_are_put_back():
    somebody = min(triggers.wanted())
    table = next(each.table for each in triggers.watched() if each.table in somebody)
    with connection.cursor() as cursor:
        on = f" ON {table}" if connection.vendor == "postgresql" else ""
        cursor.execute(f"DROP TRIGGER {somebody}{on}")
    assert triggers.missing()

    assert jobs.check_changes() == "put back"

    assert not triggers.missing()
    assert jobs.check_changes() == "complete"
