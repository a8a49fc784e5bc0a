"""Keeps one django-q cluster alive: starts it, watches its pulse, kills and restarts it as a whole.

    supervisor ── cluster (its own session and process group)
        ▲            ├─ sentinel ── workers, pusher, monitor
        └── pulse ───┴── one byte through a pipe for every worker that is ready, every job that begins

Why: a killed idle worker takes the queue's lock with it, after which the cluster neither works nor
stops; a killed sentinel or parent leaves the others behind as orphans that go on taking jobs. So the
group lives and dies together. Each process asks the kernel to be killed with its parent, and polls for
it where the kernel can't. A backlog is no stall: as long as jobs begin, the cluster is left alone, and
while none begins, a heartbeat in a queue of this cluster's own tells "idle" from "stuck".
"""

import contextlib
import ctypes
import logging
import os
import selectors
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import RawValue
from time import monotonic, sleep
from types import FrameType
from typing import Any

from django.conf import settings
from django.db import DatabaseError, close_old_connections
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.cluster import Cluster
from django_q.models import OrmQ
from django_q.signals import post_spawn, pre_execute
from django_q.tasks import async_task

from serversync import clusters, leases, logs
from serversync.broker import HEARTBEAT_QUEUE, release

log = logging.getLogger(__name__)

PULSE_FD = "SERVERSYNC_PULSE_FD"
SUPERVISOR_PID = "SERVERSYNC_SUPERVISOR_PID"
READY, BEGUN = b"r", b"b"

PR_SET_PDEATHSIG = 1
QUEUE_PREFIX = "heartbeat:"


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. `stall`: how long no job may begin while a heartbeat waits; longer than any job may
    take, so that busy workers are not mistaken for stuck ones. `respawn`: the same after a worker was
    replaced, for the new one has nothing to do but take the heartbeat. `stop`: how long running jobs
    may take to end before they are killed."""

    stall: float = 270
    respawn: float = 30
    beat: float = 20
    stop: float = 60
    start: float = 60


class Pulse:
    """What the supervisor has heard from one cluster. Pure: `now` is passed in."""

    def __init__(self, limits: Limits, now: float) -> None:
        self.limits = limits
        self.started_at = now
        self.ready_at: float | None = None
        self.begun_at: float | None = None
        self.beat_at: float | None = None

    def hear(self, signals: bytes, now: float) -> None:
        if BEGUN in signals:
            self.begun_at = now
        if READY in signals:
            # A worker that was replaced proves nothing about the queue; only a job that begins does.
            self.ready_at = now

    def sent_beat(self, now: float) -> None:
        self.beat_at = now

    def wants_beat(self, now: float) -> bool:
        """Nothing began for a while, and no heartbeat is on its way."""
        if self.ready_at is None or self.is_waiting():
            return False
        if self.begun_at is None or self.begun_at < self.ready_at:
            return True
        return now - self.begun_at >= self.limits.beat

    def is_waiting(self) -> bool:
        """A heartbeat was sent, and nothing has begun since."""
        return self.beat_at is not None and (self.begun_at is None or self.begun_at < self.beat_at)

    def complaint(self, now: float) -> str:
        """Why the cluster must be restarted, or nothing."""
        if self.ready_at is None:
            late = now - self.started_at > self.limits.start
            return "no worker became ready" if late else ""
        if not self.is_waiting() or self.beat_at is None:
            return ""
        if now - self.beat_at > self.limits.stall:
            return f"no job began for {now - self.beat_at:.0f} seconds"
        replaced = self.begun_at is None or self.ready_at > self.begun_at
        since = max(self.beat_at, self.ready_at)
        if replaced and now - since > self.limits.respawn:
            return "a replaced worker takes no jobs"
        return ""


# -- the supervisor's side


class Supervisor:
    """Runs until it is told to stop. `run` returns the exit code."""

    what = "Cluster"

    def __init__(self, limits: Limits | None = None, command: list[str] | None = None) -> None:
        self.limits = limits or Limits()
        self.command = command or [sys.executable, "-m", "django", "cluster", "--inner"]
        self.queue = f"{QUEUE_PREFIX}{uuid.uuid4().hex}"
        self.restarts = 0
        self.stopping = False
        self.wake_read, self.wake_write = os.pipe()
        os.set_blocking(self.wake_write, False)

    def run(self) -> int:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._told_to_stop)
        forget_old_heartbeats()
        while not self.stopping:
            began = monotonic()
            self._run_cluster()
            if self.stopping:
                break
            self.restarts += 1
            lived = monotonic() - began
            # A cluster that dies at once (a broken setting, no database) is not started in a loop.
            self._pause(0.2 if lived > 30 else min(30, 2 ** min(self.restarts, 5)) / 4)
        self._forget_beat()
        with contextlib.suppress(DatabaseError):
            clusters.forget(clusters.name_of(os.getpid()))
        return 0

    def _told_to_stop(self, number: int, _frame: FrameType | None) -> None:
        self.stopping = True
        with contextlib.suppress(BlockingIOError):
            os.write(self.wake_write, b"!")

    def _pause(self, seconds: float) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.wake_read, selectors.EVENT_READ)
            selector.select(seconds)

    def _run_cluster(self) -> None:
        read, write = os.pipe()
        os.set_blocking(write, False)
        path = os.pathsep.join(filter(None, [str(settings.BASE_DIR), os.environ.get("PYTHONPATH")]))
        process = subprocess.Popen(
            self.command,
            env=os.environ
            | {
                "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
                "PYTHONPATH": path,
                PULSE_FD: str(write),
                SUPERVISOR_PID: str(os.getpid()),
                HEARTBEAT_QUEUE: self.queue,
            },
            pass_fds=[write],
            start_new_session=True,
        )
        os.close(write)
        log.info("%s started as process group %d", self.what, process.pid)
        try:
            self._watch(process, read)
        finally:
            self._end(process)
            os.close(read)

    def _watch(self, process: "subprocess.Popen[bytes]", read: int) -> None:
        """Returns when the cluster ended, must be restarted or shall stop."""
        pulse = Pulse(self.limits, monotonic())
        tick = min(1.0, self.limits.respawn / 4, self.limits.beat / 4)
        with selectors.DefaultSelector() as selector:
            selector.register(read, selectors.EVENT_READ)
            selector.register(self.wake_read, selectors.EVENT_READ)
            while not self.stopping:
                for key, _events in selector.select(tick):
                    if key.fd == read:
                        heard = os.read(read, 4096)
                        if not heard:  # every process of the cluster is gone
                            selector.unregister(read)
                        pulse.hear(heard, monotonic())
                if process.poll() is not None:
                    code = process.returncode
                    log.warning("%s ended with code %d; starting it again", self.what, code)
                    return
                if complaint := pulse.complaint(monotonic()):
                    log.error(
                        "%s is stuck: %s; killing and starting it again", self.what, complaint
                    )
                    return
                if pulse.wants_beat(monotonic()) and self._send_beat():
                    pulse.sent_beat(monotonic())

    def _end(self, process: "subprocess.Popen[bytes]") -> None:
        """Politely if we were told to stop, and whatever is left of the group by force."""
        if self.stopping and process.poll() is None:
            # To the parent alone: the signal would kill workers in the middle of their jobs.
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.limits.stop)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        close_old_connections()
        with contextlib.suppress(DatabaseError):
            release(self.queue, timezone.now())

    # A database that can't be reached is no reason to restart the cluster: no beat, no complaint.

    def _send_beat(self) -> bool:
        self._forget_beat()
        try:
            async_task("serversync.jobs.heartbeat", broker=get_broker(self.queue), save=False)
        except DatabaseError:
            log.warning("No heartbeat could be sent", exc_info=True)
            return False
        return True

    def _forget_beat(self) -> None:
        close_old_connections()
        with contextlib.suppress(DatabaseError):
            OrmQ.objects.filter(key=self.queue).delete()


def forget_old_heartbeats() -> None:
    """Those of supervisors that were killed."""
    with contextlib.suppress(DatabaseError):
        OrmQ.objects.filter(
            key__startswith=QUEUE_PREFIX, lock__lt=timezone.now() - timedelta(hours=1)
        ).delete()


# -- the cluster's side

#: Shared by all processes of a cluster and read without a lock, which a killed worker could keep.
_stopping = RawValue("b", 0)


def is_stopping() -> bool:
    """Jobs that take long ask this between two pieces of work."""
    return bool(_stopping.value)


class StoppingCluster(Cluster):  # type: ignore[misc]
    """Lets running jobs know that they should come to an end."""

    def sig_handler(self, signum: int, frame: FrameType | None) -> None:
        _stopping.value = 1
        super().sig_handler(signum, frame)


def run_cluster() -> None:
    """The process that the supervisor starts: a django-q cluster that dies with its parent."""
    supervisor = int(os.environ.get(SUPERVISOR_PID, os.getppid()))
    die_with(supervisor)
    bind_children()
    send_pulse()
    clusters.announce(clusters.name_of(supervisor))
    post_spawn.connect(_end_abandoned, weak=False, dispatch_uid="leases-of-the-dead")
    pre_execute.connect(_name_job, weak=False, dispatch_uid="job-in-the-log")

    StoppingCluster().start()


def _end_abandoned(**_: Any) -> None:
    """A worker that begins may follow one that was killed: its mailboxes needn't wait. A database that can't be
    reached is no reason not to begin."""
    with contextlib.suppress(DatabaseError):
        leases.end_abandoned(timezone.now())


def _name_job(task: dict[str, Any], **_: Any) -> None:
    logs.begin_job(str(task.get("id", "")))


def send_pulse() -> None:
    """Tell the supervisor of every worker that is ready and of every job that begins."""
    if PULSE_FD not in os.environ:
        return
    fd = int(os.environ[PULSE_FD])

    def teller(what: bytes) -> Callable[..., None]:
        def tell(**_: Any) -> None:
            with contextlib.suppress(OSError):  # full, or nobody listens any more
                os.write(fd, what)

        return tell

    post_spawn.connect(teller(READY), weak=False, dispatch_uid="pulse-ready")
    pre_execute.connect(teller(BEGUN), weak=False, dispatch_uid="pulse-begun")


def bind_children() -> None:
    """Let every process that is forked from here, at any depth, die with the one that forked it."""
    parent = os.getpid()

    def remember() -> None:
        nonlocal parent
        parent = os.getpid()

    os.register_at_fork(before=remember, after_in_child=lambda: die_with(parent))


def die_with(parent: int) -> None:
    """Have this process killed as soon as `parent`, which started it, is gone."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before we asked
            os._exit(1)
    else:
        threading.Thread(target=_poll_parent, args=[parent], daemon=True).start()


def _poll_parent(parent: int) -> None:
    while os.getppid() == parent:
        sleep(1)
    os.kill(os.getpid(), signal.SIGKILL)
