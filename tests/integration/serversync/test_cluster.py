"""The cluster under its supervisor, with real processes: whatever is killed, work goes on and nobody
is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from time import monotonic, sleep

import psutil
import pytest
from django.conf import settings
from django.utils import timezone
from django_q.models import OrmQ, Task
from django_q.tasks import async_task

from activities.choices import ActivityType, EmailStatus
from activities.models import ActivityPointer, Email
from mailboxes.choices import Operation
from serversync import waking
from tests.factories.mailboxes import EmailServerProfileFactory, ready_mailbox

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600),
]

# Processes that live and die together, whatever they work on. What the queue's rows do is for both.
ONCE = pytest.mark.database("sqlite")
PATIENCE = 120  # seconds; a loaded machine needs some of them, an idle one few


def wait_until(true: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    end = monotonic() + seconds
    while monotonic() < end:
        if true():
            return
        sleep(0.05)
    pytest.fail(f"Within {seconds} seconds: not {what}")


class Site:
    """A supervisor in a process of its own, and what its jobs wrote."""

    def __init__(self, environment: dict[str, str], folder: Path) -> None:
        self.environment = environment | {"DJANGO_SETTINGS_MODULE": "tests.cluster_settings"}
        self.notes_path = folder / "notes"
        self.log_path = folder / "log"
        self.seen: dict[int, psutil.Process] = {}

    def start(self, **options: float) -> None:
        limits = {"stall": 20, "respawn": 3, "beat": 1, "stop": 15} | options
        command = [sys.executable, str(settings.BASE_DIR / "manage.py"), "cluster"]
        command += [f"--{name}-seconds={value}" for name, value in limits.items()]
        with self.log_path.open("ab") as log:
            started = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=log, start_new_session=True
            )
        self.popen = started
        self.supervisor = psutil.Process(started.pid)
        self.is_up()

    def is_up(self) -> None:
        wait_until(lambda: len(self.cluster()) == 6, f"six processes\n{self.log()}")
        self.works()

    def cluster(self) -> list[psutil.Process]:
        """Parent, sentinel, two workers, monitor, pusher: in the order in which they were started."""
        try:
            found = self.supervisor.children(recursive=True)
        except psutil.NoSuchProcess:
            found = []
        self.seen |= {process.pid: process for process in found}
        return sorted(found, key=lambda process: (process.create_time(), process.pid))

    def works(self, text: str = "") -> None:
        """A job of now is done."""
        text = text or f"works {monotonic()}"
        async_task("tests.cluster_jobs.note", str(self.notes_path), text)
        wait_until(lambda: text in self.notes(), f"{text}\n{self.log()}")

    def job(self, name: str, *args: object) -> None:
        async_task(f"tests.cluster_jobs.{name}", str(self.notes_path), *args)

    def notes(self) -> list[str]:
        return self.notes_path.read_text().splitlines() if self.notes_path.exists() else []

    def log(self) -> str:
        return self.log_path.read_text()[-3_000:]

    def alive(self) -> list[psutil.Process]:
        """Whatever we have ever seen of the cluster that still runs."""
        return [
            process
            for process in self.seen.values()
            if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
        ]

    def end(self) -> None:
        self.cluster()
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        for process in self.alive():
            process.kill()


@pytest.fixture
def site(site_environment, tmp_path) -> Iterator[Site]:
    made = Site(site_environment, tmp_path)
    try:
        yield made
    finally:
        made.end()


def kill(*processes: psutil.Process) -> None:
    for process in processes:
        process.kill()


@ONCE
def test_killed_idle_workers_are_no_stall(site):
    """A dead reader keeps the lock of the queue: nothing would ever run again. (Unless none of them was
    reading just then; so whether the cluster was started again is not asked.)"""
    site.start()
    _parent, _sentinel, *workers = site.cluster()[:4]
    kill(*workers)
    site.works()
    assert len(site.cluster()) == 6


def test_the_job_of_a_killed_worker_runs_again_and_the_others_go_on(site):
    site.environment |= {"CLUSTER_TIMEOUT": "2", "CLUSTER_RETRY": "3"}
    site.start()
    site.job("kill_worker_once")
    wait_until(lambda: "killed" in site.notes(), "killed")
    site.works()
    wait_until(lambda: "done" in site.notes(), f"done\n{site.log()}")


@ONCE
def test_a_killed_sentinel_leaves_no_orphans_and_a_new_cluster(site):
    site.start()
    old = site.cluster()
    kill(old[1])
    wait_until(lambda: not any(p.is_running() and p.status() != "zombie" for p in old), "ended")
    site.is_up()


@ONCE
def test_a_killed_parent_leaves_no_orphans_and_a_new_cluster(site):
    site.start()
    old = site.cluster()
    kill(old[0])
    wait_until(lambda: not any(p.is_running() and p.status() != "zombie" for p in old), "ended")
    site.is_up()


@ONCE
def test_a_killed_supervisor_takes_its_cluster_with_it(site):
    site.start()
    site.cluster()
    kill(site.supervisor)
    site.popen.wait()
    wait_until(lambda: not site.alive(), "all gone")


def test_a_job_that_kills_its_worker_each_time_ends_as_a_failed_task(site):
    site.environment |= {"CLUSTER_TIMEOUT": "2", "CLUSTER_RETRY": "3"}
    site.start()
    site.job("kill_own_worker")

    def failed() -> bool:
        return Task.objects.filter(func="tests.cluster_jobs.kill_own_worker").exists()

    wait_until(failed, f"a failed task\n{site.log()}")
    task = Task.objects.get(func="tests.cluster_jobs.kill_own_worker")
    assert (task.success, task.attempt_count) == (False, 3)
    assert "delivered 3 times" in task.result
    assert site.notes().count("killed") == 3
    site.works()


def test_a_backlog_is_worked_off_and_not_taken_for_a_stall(site):
    """It takes longer than the limit, though each single job is short."""
    site.start(stall=5, respawn=5)
    before = site.cluster()[0]
    for number in range(28):
        site.job("take", f"job {number}", 0.5)
    wait_until(lambda: sum("ended" in line for line in site.notes()) == 28, "all ended")
    assert site.cluster()[0] == before


def test_stopping_waits_for_the_job_that_runs(site):
    site.start()
    site.job("take", "long", 2)
    wait_until(lambda: any("long began" in line for line in site.notes()), "begun")
    site.cluster()
    site.supervisor.send_signal(signal.SIGTERM)
    assert site.popen.wait(PATIENCE) == 0
    assert "long ended" in site.notes()
    assert not site.alive()
    wait_until(lambda: not OrmQ.objects.exists(), "an empty queue")


@ONCE
def test_a_job_with_plenty_to_do_hears_that_the_cluster_stops(site):
    site.start()
    site.job("work_until_told")
    wait_until(lambda: "working" in site.notes(), "working")
    site.cluster()
    site.supervisor.send_signal(signal.SIGTERM)
    assert site.popen.wait(PATIENCE) == 0
    assert "told" in site.notes()


@pytest.mark.rule("R5.8")
def test_what_was_woken_runs_within_seconds(site):
    """Nothing listens there, so the run ends at once, with an error of its own."""
    profile = EmailServerProfileFactory(
        outgoing_server_location="127.0.0.1", outgoing_port_number=1
    )
    mailbox = ready_mailbox(email_server_profile=profile)
    mailbox.workloads.update(next_run_at=timezone.now() + timedelta(hours=1))
    Email.objects.create(
        activity=ActivityPointer.objects.create(
            activity_type_code=ActivityType.EMAIL,
            subject="Hello",
            owning_user=mailbox.regarding_user,
            sort_date=timezone.now(),
        ),
        sender_mailbox=mailbox,
        status_code=EmailStatus.PENDING_SEND,
        message_id="one@example.com",
    )
    site.start()
    began = monotonic()
    waking.wake([mailbox.pk], Operation.OUTGOING)
    workload = mailbox.workloads.get(operation=Operation.OUTGOING)

    def ran() -> bool:
        workload.refresh_from_db()
        return workload.cycles == 1

    wait_until(ran, f"run\n{site.log()}")
    assert monotonic() - began < PATIENCE
    assert workload.lease_holder.partition(":")[2] in {str(p.pid) for p in site.cluster()}


@ONCE
def test_stopping_a_stuck_cluster_is_bounded(site):
    site.start(respawn=300, stall=300, stop=2)
    kill(*site.cluster()[2:4])
    sleep(1)  # the sentinel replaces them; the queue's lock stays with the dead
    site.cluster()
    began = monotonic()
    os.kill(site.supervisor.pid, signal.SIGTERM)
    assert site.popen.wait(PATIENCE) == 0
    assert monotonic() - began < PATIENCE
    wait_until(lambda: not site.alive(), "all gone")
