"""The console and the worker of the quick start as child processes that never outlive it."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

PR_SET_PDEATHSIG = 1
STOP_SECONDS = 20
READY_SECONDS = 30
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class ChildEnded(Exception):
    """A child that was to stay is gone."""


@dataclass(frozen=True, slots=True)
class Child:
    name: str
    process: "subprocess.Popen[bytes]"


def free_port(wanted: int | None, default: int = 8000) -> int:
    """`wanted`, or raise OSError if it is taken; without one the default, or any that is free."""
    for port in [wanted] if wanted else [default, 0]:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                if wanted or not port:
                    raise
                continue
            return int(probe.getsockname()[1])
    raise OSError("no free port")


@contextmanager
def running(commands: Mapping[str, Sequence[str]], log: Path) -> Iterator[list[Child]]:
    """Start each command in a process group of its own; end them all, however this ends.

    Ctrl-C reaches only us, and the kernel ends the children if we are killed.
    """
    children: list[Child] = []
    log.parent.mkdir(parents=True, exist_ok=True)
    try:
        with log.open("ab") as output:
            for name, command in commands.items():
                process = subprocess.Popen(
                    command,
                    cwd=settings.BASE_DIR,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                    preexec_fn=_die_with_parent,
                )
                children.append(Child(name, process))
        yield children
    finally:
        stop(children)


def console_command(port: int) -> list[str]:
    return [
        sys.executable,
        "-m",
        "gunicorn",
        "serversync.wsgi:application",
        f"--bind=127.0.0.1:{port}",
        "--workers=1",
        "--threads=4",
        "--graceful-timeout=5",
        "--log-level=warning",
    ]


def worker_command() -> list[str]:
    return [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "cluster"]


def watch_command() -> list[str]:
    return [sys.executable, str(Path(settings.BASE_DIR) / "manage.py"), "watch"]


def wait_until_ready(children: Sequence[Child], url: str) -> None:
    """Until the console answers. Raises ChildEnded, TimeoutError."""
    for _ in range(READY_SECONDS * 10):
        check(children)
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError:
            return  # it answers, if only to say no
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(url)


def check(children: Sequence[Child]) -> None:
    """Raises ChildEnded."""
    for child in children:
        if child.process.poll() is not None:
            raise ChildEnded(f"{child.name} ended with code {child.process.returncode}")


def stop(children: Sequence[Child]) -> None:
    """Ask all, wait, then kill what is left of their groups."""
    for child in children:
        with suppress(ProcessLookupError):
            child.process.send_signal(signal.SIGTERM)
    until = time.monotonic() + STOP_SECONDS
    for child in children:
        with suppress(subprocess.TimeoutExpired):
            child.process.wait(max(0.1, until - time.monotonic()))
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.process.pid, signal.SIGKILL)
        child.process.wait()


def _die_with_parent() -> None:
    """In the child, before it becomes the command."""
    if _libc is not None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
