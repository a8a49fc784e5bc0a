"""What a site needs: scripts/test-postgres .venv/bin/python -m tests.benchmarks.bench_sizing [PART ...]

    looks      idle mailboxes that one worker looks at, by protocol and threads, at servers that answer in 30 ms
    cycles     messages that one worker stores, of a backlog and of many mailboxes with one message each
    rows       what they are in the database
    memory     of each process

The servers are the sandbox's, in processes of their own, over TLS; the database is the server that
TEST_DATABASE_URL names. Beside each speed is the processor time of the worker alone, which says what a core
carries where the servers aren't on the same machine, and hardly depends on what else the machine does.
"""

import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import psutil
import psycopg

from tests.soak.environment import environment, set_up
from tests.soak.plan import PROTOCOLS, mailboxes

PARTS = ("looks", "cycles", "rows", "memory")
EACH = 150  # mailboxes of each protocol
THREADS = (8, 16, 32)
DELAY = 0.03
BACKLOG = 500  # messages in one mailbox
#: Words that hardly compress better than a language does.
WORDS = ["".join(Random(n).choices("aeiounrstldhcmgpbk", k=2 + n % 9)) for n in range(2_000)]
OCTETS = 4_000  # of a body
WATCHED_SECONDS = 45


def write(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    parts = sys.argv[1:] or PARTS
    with ExitStack() as end:
        folder = Path(end.enter_context(tempfile.TemporaryDirectory()))
        url = end.enter_context(fresh_database(os.environ["TEST_DATABASE_URL"]))
        variables = environment(folder, url, workers=1, threads=32)
        set_up(variables)
        write(machine())
        bench = Bench(folder, variables, end)
        for part in PARTS:
            if part in parts:
                write()
                getattr(bench, part)()


@contextmanager
def fresh_database(server: str) -> Iterator[str]:
    """A database of its own there, which is dropped at the end."""
    name = f"sizing_{os.getpid()}"
    with psycopg.connect(server, autocommit=True) as line:
        line.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        try:
            yield urlunsplit(urlsplit(server)._replace(path=f"/{name}"))
        finally:
            line.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


def machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    memory = psutil.virtual_memory().total / 1024**3
    load = os.getloadavg()[0]
    return (
        f"{os.cpu_count()} cores ({model}), {memory:.0f} GB, Python {platform.python_version()}; "
        f"load before the start {load:.1f}"
    )


class Stopwatch:
    """Wall and processor time of this process."""

    def __enter__(self) -> "Stopwatch":
        self._wall, self._own = time.monotonic(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.wall = time.monotonic() - self._wall
        self.own = time.process_time() - self._own

    def told(self, number: int) -> str:
        return (
            f"{number / self.wall:10.1f}{self.own / number * 1000:14.2f}{number / self.own:16.0f}"
        )


class Bench:
    def __init__(self, folder: Path, variables: dict[str, str], end: ExitStack) -> None:
        from django.utils import timezone

        from mailboxes.models import Organization
        from tests.soak import world
        from tests.soak.servers import Server, make_accounts

        self.folder, self.variables = folder, variables
        self.now = timezone.now()
        self.sent = 0
        self.boxes = mailboxes(EACH * len(PROTOCOLS))
        self.servers = {}
        for protocol in PROTOCOLS:
            make_accounts(folder / protocol, protocol, self.boxes[protocol])
            server = Server(protocol, folder / protocol, folder / f"{protocol}.log")
            server.start()
            end.callback(server.stop)
            self.servers[protocol] = server
        world.fill(self.boxes, self.servers)
        Organization.objects.update(max_mailboxes_per_profile_at_once=100)
        self._work(50, *PROTOCOLS)  # first contact

    def _work(self, threads: int, *protocols: str) -> tuple[int, int, Stopwatch]:
        """Poll all mailboxes of these once: how many runs and items, in how long."""
        from mailboxes.choices import Operation
        from serversync import engine
        from serversync.models import Workload

        self.now += timedelta(hours=1)
        incoming = Workload.objects.filter(operation=Operation.INCOMING)
        incoming.update(next_run_at=self.now + timedelta(days=1))
        names = [f"Soak {protocol}" for protocol in protocols]
        incoming.filter(mailbox__email_server_profile__name__in=names).update(next_run_at=self.now)
        with Stopwatch() as watch:
            tally = engine.work(
                lambda: self.now,
                holder="here:1",
                seconds=600,
                stopping=lambda: False,
                threads=threads,
            )
        if tally.failed:
            sys.exit(
                f"{tally.failed} failed: {next(each for each in tally.reports if not each.ok)}"
            )
        return tally.runs, tally.items, watch

    # -- looks

    def looks(self) -> None:
        from serversync.sandbox.faults import Fault, Kind

        write(f"{EACH} idle mailboxes, one worker, answers take {DELAY * 1000:.0f} ms")
        write("protocol  threads   looks a s   ms of a core   looks a core s")
        for protocol in PROTOCOLS:
            self.servers[protocol].fail([Fault(kind=Kind.SLOW, argument=str(DELAY))])
            for threads in THREADS:
                self._work(threads, protocol)  # all are idle by now
                runs, _items, watch = self._work(threads, protocol)
                write(f"{protocol:10}{threads:7}{watch.told(runs)}")
            self.servers[protocol].fail([])

    # -- cycles

    def cycles(self) -> None:
        write(
            f"messages of {OCTETS} octets, all tracked, one worker, answers take as long as they take"
        )
        write("protocol   of             stored a s   ms of a core   a core s")
        for protocol in PROTOCOLS:
            boxes = self.boxes[protocol]
            for name, targets in (
                ("a backlog", boxes[:1] * BACKLOG),
                ("one each", boxes[1:]),
            ):
                self._deliver(protocol, targets)
                _runs, items, watch = self._work(32, protocol)
                if items != len(targets):
                    sys.exit(f"{items} of {len(targets)} were stored")
                write(f"{protocol:10} {name:15}{watch.told(items)}")

    def _deliver(self, protocol: str, addresses: Any) -> None:
        for address in addresses:
            self.sent += 1
            self.servers[protocol].deliver(address, message(self.sent, address))

    # -- rows

    def rows(self) -> None:
        """Of a thousand messages in one mailbox each of a tenth, and of mailboxes that were looked at for a day."""
        boxes = (self.boxes["imap"] * 1000)[:1000]
        before = self._sizes()
        self._deliver("imap", boxes)
        for _each in range(-(-1000 // 500)):
            self._work(32, "imap")
        after = self._sizes()
        write("1,000 messages over IMAP: what they left in the database, with its indexes")
        self._tell_growth(before, after)
        before = self._sizes()
        for _each in range(120):  # a day, with gaps of twelve minutes
            self._work(32, "imap")
        write(f"{EACH} mailboxes, a day of 120 looks without mail")
        self._tell_growth(before, self._sizes())

    def _tell_growth(
        self, before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]
    ) -> None:
        grown = {name: (rows - before[name][0], size - before[name][1])
                 for name, (rows, size) in after.items()}  # fmt: skip
        for name, (rows, size) in sorted(grown.items(), key=lambda each: -each[1][1]):
            if rows or size > 8192:
                write(f"  {name:44}{rows:8} rows{size / 1024:10.0f} KB")
        rows, size = (sum(each[place] for each in grown.values()) for place in (0, 1))
        write(f"  {'in all':44}{rows:8} rows{size / 1024:10.0f} KB")

    def _sizes(self) -> dict[str, tuple[int, int]]:
        """table -> rows, octets; as they are after the vacuum that each night brings."""
        from django.db import connection

        found = {}
        with connection.cursor() as cursor:
            cursor.execute("VACUUM FULL")
            cursor.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace ="
                           " 'public'::regnamespace")  # fmt: skip
            for (name,) in cursor.fetchall():
                cursor.execute(f'SELECT count(*), pg_total_relation_size(%s) FROM "{name}"', [name])
                found[name] = cursor.fetchone()
        return found

    # -- memory

    def memory(self) -> None:
        from django.core.management import call_command

        from mailboxes.models import Organization
        from serversync.models import Workload

        call_command("collectstatic", interactive=False, verbosity=0)
        Organization.objects.update(max_mailboxes_per_profile_at_once=20)
        Workload.objects.update(next_run_at=self.now - timedelta(days=300))
        python, manage = (
            sys.executable,
            str(Path(__file__).resolve().parent.parent.parent / "manage.py"),
        )
        write("process                       resident    its own share (PSS)")
        self._measured("cluster", [python, manage, "cluster"], CLUSTER)
        self._measured(f"watch, {self._watched()} mailboxes", [python, manage, "watch"], WATCH)
        with free_port() as port:
            bind = f"--bind=127.0.0.1:{port}"
        web = [python, "-m", "gunicorn", "serversync.wsgi:application", bind]
        self._measured("web", [*web, "--workers=1", "--threads=4"], WEB, lambda: surf(port))

    def _watched(self) -> int:
        return len(self.boxes["imap"]) + len(self.boxes["ews"])

    def _measured(
        self,
        name: str,
        command: list[str],
        roles: tuple[str, ...],
        meanwhile: Callable[[], None] = lambda: None,
    ) -> None:
        """Each process of the command, after so long at work."""
        from tests.soak.processes import below, start, stop

        process = start(command, self.folder / f"{name.split(',')[0]}.log", self.variables)
        try:
            time.sleep(WATCHED_SECONDS)
            meanwhile()
            family = [psutil.Process(process.pid), *below(process.pid)]
            for role, each in zip(roles, family, strict=False):
                info = each.memory_full_info()
                told = f"{name}: {role}"
                write(f"{told:40}{info.rss / 1024**2:6.0f} MB{info.pss / 1024**2:12.0f} MB")
        finally:
            stop([process])


CLUSTER = ("supervisor", "parent", "sentinel", "worker", "monitor", "pusher")
WATCH = ("supervisor", "process")
WEB = ("parent", "worker of 4 threads")


@contextmanager
def free_port() -> Iterator[int]:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield int(probe.getsockname()[1])


def surf(port: int) -> None:
    """An administrator who opens the pages that show most, some times."""
    import requests
    from django.contrib.auth import get_user_model

    password = "long enough for a benchmark"
    get_user_model().objects.create_superuser("surfer", password)
    with requests.Session() as session:
        home = f"http://127.0.0.1:{port}/"
        page = session.get(home, timeout=60)
        token = session.cookies["csrftoken"]
        fields = {"username": "surfer", "password": password, "csrfmiddlewaretoken": token}
        page = session.post(page.url, fields, timeout=60, headers={"Referer": page.url})
        for _each in range(10):
            for path in PAGES:
                page = session.get(home + path, timeout=60)
                page.raise_for_status()


PAGES = ("", "mailboxes/mailbox/", "activities/email/", "serversync/syncitem/")


def message(number: int, address: str) -> bytes:
    """Text alone, and different each time."""
    made = EmailMessage(policy=SMTP)
    made["From"] = "Cleo <cleo@customer.example>"
    made["To"] = address
    made["Subject"] = f"Delivery {number}"
    made["Message-ID"] = f"<sizing-{number}@customer.example>"
    words = Random(number).choices(WORDS, k=OCTETS // 7)
    lines = [" ".join(words[place : place + 11]) for place in range(0, len(words), 11)]
    made.set_content("\n".join(lines) + "\n")
    return bytes(made)


if __name__ == "__main__":
    main()
