"""The queue's broker: deliveries are counted, the last one is final, heartbeats find their cluster."""

from datetime import timedelta

import pytest
from django.utils import timezone
from django_q.conf import Conf
from django_q.models import OrmQ, Task
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from serversync import broker
from serversync.broker import HEARTBEAT_QUEUE, CountingOrm, release

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

JOB = "serversync.jobs.heartbeat"


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch):
    monkeypatch.setattr(broker, "sleep", lambda seconds: None)


def deliver(queue: str | None = None) -> list[str]:
    """The names of the jobs of one delivery."""
    taken = CountingOrm(list_key=queue).dequeue() or []
    return [SignedPackage.loads(payload)["name"] for _, payload in taken]


def lose_worker() -> None:
    """The lock ends, and nobody has answered."""
    OrmQ.objects.update(lock=timezone.now() - timedelta(seconds=1))


def test_the_settings_name_this_broker():
    async_task(JOB)
    assert OrmQ.objects.count() == 1
    assert Conf.BROKER_CLASS == "serversync.broker.CountingOrm"


def test_jobs_come_in_the_order_of_the_queue_and_are_locked():
    async_task(JOB, task_name="first")
    async_task(JOB, task_name="second")
    assert [deliver(), deliver(), deliver()] == [["first"], ["second"], []]


def test_after_three_deliveries_without_an_answer_a_job_ends_as_a_failed_task():
    async_task(JOB, "argument", task_name="poison", group="tests")
    for _ in range(3):
        assert deliver() == ["poison"]
        lose_worker()

    assert deliver() == []

    task = Task.objects.get(name="poison")
    assert (task.success, task.attempt_count, task.func) == (False, 3, JOB)
    assert (task.args, task.group) == (("argument",), "tests")
    assert not OrmQ.objects.exists()


def test_burying_one_job_does_not_hold_up_the_next():
    async_task(JOB, task_name="poison")
    for _ in range(3):
        deliver()
        lose_worker()
    async_task(JOB, task_name="next")
    assert [deliver(), deliver()] == [[], ["next"]]


def test_a_job_that_failed_before_keeps_one_row_in_the_admin():
    async_task(JOB, task_name="poison")
    job = SignedPackage.loads(OrmQ.objects.get().payload)
    Task.objects.create(
        id=job["id"],
        name="poison",
        func=JOB,
        started=timezone.now(),
        stopped=timezone.now(),
        success=False,
        result="raised",
        attempt_count=2,
    )
    for _ in range(3):
        deliver()
        lose_worker()
    deliver()
    task = Task.objects.get()
    assert "3 times" in task.result


def test_a_job_taken_by_a_faster_cluster_is_not_delivered_here(monkeypatch):
    async_task(JOB, task_name="contested")
    slow = CountingOrm()
    count = slow._count

    def overtaken(row):
        assert deliver() == ["contested"]
        return count(row)

    monkeypatch.setattr(slow, "_count", overtaken)
    assert slow.dequeue() is None


def test_a_payload_that_can_not_be_read_is_left_to_the_pusher():
    OrmQ.objects.create(key=Conf.CLUSTER_NAME, payload="forged", lock=timezone.now())
    ((_, payload),) = CountingOrm().dequeue()
    assert payload == "forged"


def test_a_heartbeat_goes_to_its_own_cluster_and_before_the_backlog(monkeypatch):
    async_task(JOB, task_name="backlog")
    async_task(JOB, task_name="beat", broker=CountingOrm("heartbeat:here"))

    monkeypatch.setenv(HEARTBEAT_QUEUE, "heartbeat:there")
    assert deliver() == ["backlog"]
    lose_worker()
    monkeypatch.setenv(HEARTBEAT_QUEUE, "heartbeat:here")
    assert deliver() == ["beat"]


def test_what_a_dead_cluster_had_taken_is_ready_at_once(monkeypatch):
    async_task(JOB, task_name="taken here")
    async_task(JOB, task_name="taken there")
    monkeypatch.setenv(HEARTBEAT_QUEUE, "heartbeat:here")
    deliver()
    monkeypatch.setenv(HEARTBEAT_QUEUE, "heartbeat:there")
    deliver()

    assert release("heartbeat:here", timezone.now()) == 1
    assert deliver() == ["taken here"]
