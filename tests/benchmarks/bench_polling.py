"""How many idle mailboxes one worker polls a minute: python -m tests.benchmarks.bench_polling [MAILBOXES]

One after another, and many at once, in turn over the same mailboxes, so that a machine whose speed drifts is
fair to all. The servers are the sandbox's, in a process of their own, over TLS; each answer takes as long
as the table says, for on a real line it does. The database is SQLite in a temporary folder.

Sizes of organizations follow: a worker that polls N mailboxes a minute serves 12 N that rest 12 minutes.
"""

import multiprocessing
import os
import resource
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import Any

from cryptography.fernet import Fernet

PASSWORD = "quite a secret"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
THREADS = (0, 8, 16, 32, 50)
DELAYS = (0.0, 0.03)
SECONDS = 15.0  # for each figure
PROFILES = 5  # a profile's share is 20 at a time
PROTOCOLS = ("imap", "pop3")


def servers(accounts: dict[str, str], pipe: Connection) -> None:
    """Until the pipe is closed; what comes over it is how long an answer takes."""
    from serversync.sandbox.faults import Fault, Kind
    from serversync.sandbox.servers import running_sandbox

    with running_sandbox(accounts=accounts, local_domains=("example.com",)) as sandbox:
        pipe.send((sandbox.ports, sandbox.ca_pem))
        while True:
            try:
                delay = pipe.recv()
            except EOFError:
                return
            sandbox.faults.clear()
            if delay:
                sandbox.faults.add(Fault(kind=Kind.SLOW, argument=str(delay)))
            pipe.send(None)


@contextmanager
def serving(accounts: dict[str, str]) -> Iterator[Connection]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    child = context.Process(target=servers, args=(accounts, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        yield ours
    finally:
        ours.close()
        child.join(30)


def mailboxes(number: int, ports: dict[str, int], ca_pem: str) -> None:
    """Of users, idle: as after some cycles without mail."""
    from mailboxes.choices import CredentialRetrieval, Operation, TlsMode
    from mailboxes.models import EmailServerProfile, Organization, SystemUser
    from serversync.models import Workload
    from tests.integration.serversync.connected import SERVER_TYPES
    from tests.integration.serversync.cycles import ready

    Organization.objects.update(default_outgoing_email_delivery_method=0)
    owner = SystemUser.objects.create_user("owner")
    profiles = [
        EmailServerProfile.objects.create(
            name=f"{protocol} {each}",
            owning_user=owner,
            server_type=SERVER_TYPES[protocol],
            incoming_server_location="localhost",
            incoming_port_number=ports[f"{protocol}s"],
            incoming_tls_mode=TlsMode.IMPLICIT,
            incoming_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE,
            outgoing_server_location="localhost",
            process_emails_received_after=NOW - timedelta(days=1),
            ca_certificate=ca_pem,
        )
        for each in range(PROFILES)
        for protocol in PROTOCOLS
    ]
    for each in range(number):
        user = SystemUser.objects.create_user(
            f"user{each}", internal_email_address=f"user{each}@example.com"
        )
        ready(
            user.default_mailbox,
            email_server_profile=profiles[each % len(profiles)],
            allow_email_connector_to_use_credentials=True,
            user_name=f"user{each}@example.com",
            password=PASSWORD,
        )
    Workload.objects.exclude(operation=Operation.INCOMING).update(enabled=False)


def polled(threads: int, at: datetime, seconds: float = SECONDS) -> tuple[int, float]:
    """How many, and in how long."""
    from serversync import engine
    from serversync.models import Workload

    Workload.objects.update(next_run_at=at, idle_cycles=1)
    began = monotonic()
    tally = engine.work(
        lambda: at, holder="here:1", seconds=seconds, stopping=lambda: False, threads=threads
    )
    took = monotonic() - began
    if tally.failed:
        sys.exit(f"{tally.failed} failed: {next(each for each in tally.reports if not each.ok)}")
    return tally.runs, took


def set_up(folder: Path) -> None:
    os.environ |= {
        "DJANGO_SETTINGS_MODULE": "serversync.settings",
        "SECRET_KEY": "of a benchmark, and of nothing else whatsoever, long enough",
        "FIELD_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        "DATABASE_URL": f"sqlite:///{folder / 'bench.sqlite3'}",
        "MAIL_STORAGE_DIR": str(folder / "mail"),
        "LOG_LEVEL": "ERROR",
    }
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def measure(pipe: Any, number: int) -> None:
    at = NOW
    polled(50, at, 600)  # first contact
    sys.stdout.write(f"{number} mailboxes, half IMAP, half POP3\n")
    sys.stdout.write("answers take   threads   mailboxes a minute   ms each\n")
    for delay in DELAYS:
        pipe.send(delay)
        pipe.recv()
        for threads in THREADS:
            at += timedelta(hours=1)
            runs, took = polled(threads, at)
            sys.stdout.write(
                f"{delay * 1000:9.0f} ms{threads:10}{runs / took * 60:21.0f}{took / runs * 1000:10.1f}\n"
            )
            sys.stdout.flush()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    sys.stdout.write(f"most memory of the worker: {most} MB\n")


def main() -> None:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    accounts = {f"user{each}@example.com": PASSWORD for each in range(number)}
    with tempfile.TemporaryDirectory() as folder:
        set_up(Path(folder))
        with serving(accounts) as pipe:
            mailboxes(number, *pipe.recv())
            measure(pipe, number)


if __name__ == "__main__":
    main()
