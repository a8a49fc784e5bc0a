"""Processes that never outlive the soak, and what the kernel knows of them."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

STOP_SECONDS = 30
PR_SET_PDEATHSIG = 1
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_libc = ctypes.CDLL(None)


def start(
    command: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, **more: Any
) -> "subprocess.Popen[bytes]":
    """In a group of its own. The kernel ends it with the thread that starts it: only the main one may."""
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            env=None if environment is None else dict(environment),
            stdin=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
            preexec_fn=_die_with_parent,
            **({"stdout": output} | more),
        )


def _die_with_parent() -> None:
    """In the child, before it becomes the command."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def stop(processes: Iterable["subprocess.Popen[bytes]"]) -> None:
    """Ask all, wait, then kill what is left of them."""
    processes = list(processes)
    for process in processes:
        process.terminate()
    until = time.monotonic() + STOP_SECONDS
    for process in processes:
        with suppress(subprocess.TimeoutExpired):
            process.wait(max(0.1, until - time.monotonic()))
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def below(pid: int) -> list[psutil.Process]:
    """Children and theirs, oldest first."""
    try:
        found = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return sorted(found, key=lambda process: (process.create_time(), process.pid))


def megabytes(pid: int) -> float | None:
    """What is resident; None: it is gone."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError, ValueError):
        return None
    return pages * PAGE_BYTES / 1024 / 1024 or None  # a zombie has none
