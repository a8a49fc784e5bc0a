"""Jobs for clusters under test: they leave a line in a file, take their time, or kill their worker."""

import os
import signal
from pathlib import Path
from time import monotonic, sleep

from serversync.supervisor import is_stopping


def note(path: str, text: str) -> str:
    with Path(path).open("a") as file:
        file.write(f"{text}\n")
    return text


def take(path: str, text: str, seconds: float) -> str:
    note(path, f"{text} began in {os.getpid()}")
    sleep(seconds)
    return note(path, f"{text} ended")


def work_until_told(path: str) -> str:
    """Like a job with plenty to do, which looks up between two pieces of work."""
    note(path, "working")
    end = monotonic() + 25
    while monotonic() < end and not is_stopping():
        sleep(0.05)
    return note(path, "told" if is_stopping() else "never told")


def kill_own_worker(path: str) -> None:
    note(path, "killed")
    os.kill(os.getpid(), signal.SIGKILL)


def kill_worker_once(path: str) -> str:
    """Kills the first worker that runs it, and is done by the second one."""
    if "killed" not in Path(path).read_text().split():
        kill_own_worker(path)
    return note(path, "done")
