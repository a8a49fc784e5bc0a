"""Keeps one process that listens alive, as the supervisor of a cluster does its own: it dies whole, and is
started again when it ends or says nothing for a while.

    watch ── watch --inner ── its threads
      ▲            │
      └── pulse ───┘  a byte each second that the main thread goes round
"""

import contextlib
import os
import sys
import time
from collections.abc import Callable

from serversync.supervisor import (
    BEGUN,
    PULSE_FD,
    READY,
    SUPERVISOR_PID,
    Limits,
    Supervisor,
    die_with,
)
from serversync.watch.loop import Loop, Terms, stop_on_signals

#: Seconds. It goes round each second, whatever its servers do.
LIMITS = Limits(stall=60, respawn=60, beat=20, stop=5, start=60)


class WatchSupervisor(Supervisor):
    """There is no queue that tells "idle" from "stuck": whoever listens gives a sign of life by itself."""

    what = "Watch process"

    def __init__(self, arguments: list[str], limits: Limits = LIMITS) -> None:
        command = [sys.executable, "-m", "django", "watch", "--inner", *arguments]
        super().__init__(limits, command)

    def _send_beat(self) -> bool:
        """The next sign of life answers it."""
        return True

    def _forget_beat(self) -> None:
        """None was written anywhere."""


def run_inner(terms: Terms) -> None:
    """The process that the supervisor starts."""
    die_with(int(os.environ.get(SUPERVISOR_PID, os.getppid())))
    loop = Loop(terms, signs_of_life())
    stop_on_signals(loop)
    loop.run()


def signs_of_life(clock: Callable[[], float] = time.monotonic) -> Callable[[], None]:
    """At most one each second, into the pipe of the supervisor."""
    fd = int(os.environ.get(PULSE_FD, -1))
    told_at = -1.0
    first = True

    def tell() -> None:
        nonlocal told_at, first
        if fd < 0 or clock() - told_at < 1.0:
            return
        told_at = clock()
        with contextlib.suppress(OSError):  # full, or nobody listens any more
            os.write(fd, READY + BEGUN if first else BEGUN)
        first = False

    return tell
