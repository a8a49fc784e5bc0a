"""Several machines over one database, some of which die: every workload is run by one of them at a time, and
to its end."""

import itertools
import multiprocessing
import os
import signal
from collections import Counter
from datetime import datetime
from pathlib import Path

import pytest

from mailboxes.choices import CredentialRetrieval, Operation
from mailboxes.models import Mailbox
from mailboxes.protocols.base import Glance
from serversync import engine
from serversync.cycle import CycleResult
from serversync.leases import LEASE
from serversync.models import FolderCursor, Workload
from tests.factories.mailboxes import EmailServerProfileFactory, organization, ready_mailbox
from tests.integration.serversync.cycles import NOW
from tests.integration.serversync.killing import Boundaries, ended, forked

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db(transaction=True),
    pytest.mark.database("postgresql"),
]

BUSY, IDLE = 4, 2  # what one machine claims at once
A_WHILE = 60


class Machine:
    """One worker of its own cluster. It notes what it begins and ends, and dies in its n-th cycle; the first
    cycle waits until all others have claimed, too."""

    def __init__(self, notes: Path, name: str, together: object, dies_in: int = 0) -> None:
        self.notes = notes
        self.name = name
        self.together = together
        self.dies_in = dies_in
        self.cycles = itertools.count(1)

    def start(self, now: datetime) -> int:
        return forked(Boundaries(0), lambda _boundaries: self.work(now))

    def work(self, now: datetime) -> None:
        engine.CYCLES[Operation.INCOMING] = self.cycle  # this process ends with it
        while engine.work(
            lambda: now,
            holder=f"{self.name}:{os.getpid()}",
            stopping=lambda: False,
            threads=IDLE,
            detach=lambda mailbox, _organization: Detached(self, mailbox),
        ).runs:
            pass

    def cycle(self, context, _token, **_options) -> CycleResult:
        number = next(self.cycles)
        self.note("begins", context.mailbox)
        if number == 1:
            self.together.wait(A_WHILE)
        if number == self.dies_in:
            os.kill(os.getpid(), signal.SIGKILL)
        self.note("ends", context.mailbox)
        return CycleResult()

    def note(self, what: str, mailbox: Mailbox) -> None:
        with self.notes.open("a") as notes:  # short appended lines don't mix
            notes.write(f"{what} {mailbox.pk}\n")


class Detached:
    """A server of which a glance is a cycle, for the notes."""

    def __init__(self, machine: Machine, mailbox: Mailbox) -> None:
        self.machine, self.mailbox, self.server = machine, mailbox, self

    def glance(self, _cursors: object) -> Glance:
        self.machine.note("begins", self.mailbox)
        self.machine.note("ends", self.mailbox)
        return Glance(unchanged=True)

    def close(self) -> None:
        pass


def run_together(machines: list[Machine], now: datetime) -> list[str]:
    return [ended(child) for child in [machine.start(now) for machine in machines]]


@pytest.mark.rule("R9.7")
def test_no_workload_is_run_by_two_machines_though_some_of_them_die(tmp_path):
    notes = tmp_path / "notes"
    organization(max_mailboxes_per_profile_at_once=100)
    profile = EmailServerProfileFactory(
        incoming_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE
    )
    mailboxes = [ready_mailbox(email_server_profile=profile) for _each in range(4 * (BUSY + IDLE))]
    rows = Workload.objects.filter(operation=Operation.INCOMING, mailbox__in=mailboxes)
    Workload.objects.exclude(pk__in=rows).update(enabled=False)
    rows.update(next_run_at=NOW, gap_seconds=400)  # so that it rests longer than a lease
    idle = mailboxes[: 4 * IDLE]
    rows.filter(mailbox__in=idle).update(idle_cycles=1)
    FolderCursor.objects.bulk_create(
        FolderCursor(mailbox=mailbox, folder="INBOX", cursor="1.0.0.0", onboarded=True)
        for mailbox in idle
    )

    fork = multiprocessing.get_context("fork")
    four = fork.Barrier(4)
    fates = run_together(
        [
            Machine(notes, "one", four, dies_in=2),
            Machine(notes, "two", four, dies_in=3),
            Machine(notes, "three", four),
            Machine(notes, "four", four),
        ],
        NOW,
    )

    assert fates == ["killed", "killed", "finished", "finished"]
    left = rows.filter(lease_token__isnull=False)
    assert sorted(each.lease_holder.partition(":")[0] for each in left) == ["one"] * 3 + ["two"] * 2
    begun = Counter(line for line in notes.read_text().splitlines())
    assert set(begun.values()) == {1}  # nobody took what another had, nor what a dead one held

    two = fork.Barrier(2)
    later = NOW + LEASE
    fates = run_together([Machine(notes, name, two) for name in ("three", "four")], later)

    assert fates == ["finished", "finished"]
    told = Counter(notes.read_text().splitlines())
    assert all(told[f"ends {mailbox.pk}"] == 1 for mailbox in mailboxes)
    assert sorted(told[f"begins {mailbox.pk}"] for mailbox in mailboxes)[-3:] == [1, 2, 2]
    assert sum(row.leases_broken for row in rows) == 5
    assert not rows.filter(lease_token__isnull=False).exists()
