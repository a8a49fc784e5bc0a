"""A server that was found well again: whoever else is paused because of it is probed soon."""

from datetime import timedelta
from functools import partial
from itertools import pairwise

import pytest

from mailboxes.choices import Operation
from mailboxes.protocols.errors import ConnectionLost
from serversync import engine
from serversync.choices import WorkloadState
from serversync.cycle import CycleResult
from serversync.leases import claim_one
from serversync.models import Workload
from tests.factories.mailboxes import EmailServerProfileFactory, organization, ready_mailbox
from tests.integration.serversync.cycles import NOW
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

INCOMING, OUTGOING = Operation.INCOMING, Operation.OUTGOING
HOURS = NOW + timedelta(hours=5)


@pytest.fixture
def server(monkeypatch):
    """Answers, unless it was told to be away."""

    class Server:
        away = False

        def cycle(self, *_: object, clock: object) -> CycleResult:
            if self.away:
                raise ConnectionLost("gone")
            return CycleResult()

    made = Server()
    for operation in (INCOMING, OUTGOING):
        monkeypatch.setitem(engine.CYCLES, operation, partial(made.cycle))
    return made


def paused(profile, operation=INCOMING, **columns) -> Workload:
    mailbox = ready_mailbox(email_server_profile=profile)
    values = {
        "state": WorkloadState.PAUSED,
        "state_code": "ServiceUnavailable",
        "last_error_code": "ServiceUnavailable",
        "consecutive_failures": 14,
        "postponed_until": HOURS,
        "next_run_at": HOURS,
        **columns,
    }
    mailbox.workloads.filter(operation=operation).update(**values)
    return mailbox.workloads.get(operation=operation)


def run(row: Workload, at=NOW) -> engine.Report:
    Workload.objects.filter(pk=row.pk).update(next_run_at=at, postponed_until=None)
    claimed = claim_one(row.mailbox_id, Operation(row.operation), at, "here:1")
    return engine.run_claim(claimed, clock=lambda: at, jitter=lambda: 0.5)


def wait_of(row: Workload) -> timedelta:
    row.refresh_from_db()
    assert row.postponed_until == row.next_run_at
    return row.next_run_at - NOW


@pytest.mark.rule("R8.5")
def test_who_recovers_brings_the_others_of_its_server_within_its_share(server):
    organization(max_mailboxes_per_profile_at_once=2)
    profile = EmailServerProfileFactory()
    first, *others = (paused(profile) for _ in range(5))

    assert run(first).ok

    waits = sorted(wait_of(row) for row in others)
    assert waits == [timedelta(seconds=each) for each in (15, 15, 45, 45)]
    assert all(row.state == WorkloadState.PAUSED for row in others)

    with counting() as counted:
        assert run(others[0], NOW + timedelta(seconds=15)).ok
    probing = [sql for sql in counted.sql if "postponed_until" in sql and "SELECT" in sql[:6]]
    assert len(probing) <= 2, str(counted)  # finding that nobody is left for whom it is long


@pytest.mark.rule("R8.5")
@pytest.mark.parametrize(
    "columns",
    [
        {"state": WorkloadState.DISABLED},
        {"enabled": False},
        {"state_code": "CertificateRejected"},
        {"operation": OUTGOING},
        {"lease_token": "0" * 32, "lease_expires_at": HOURS},
    ],
    ids=["disabled", "off", "another reason", "another direction", "running"],
)
def test_what_waits_for_something_else_goes_on_waiting(server, columns):
    profile = EmailServerProfileFactory()
    first, other = paused(profile), paused(profile, **columns)
    elsewhere = paused(EmailServerProfileFactory())
    assert run(first).ok
    assert wait_of(other) == wait_of(elsewhere) == HOURS - NOW


@pytest.mark.rule("R8.5")
def test_what_was_the_mailboxs_own_fault_says_nothing_about_the_server(server):
    profile = EmailServerProfileFactory()
    own = {"state_code": "80040216", "last_error_code": "80040216"}
    first, other = paused(profile, **own), paused(profile, **own)
    assert run(first).ok
    assert wait_of(other) == HOURS - NOW


@pytest.mark.rule("R8.5")
@pytest.mark.database("sqlite")
def test_an_outage_pauses_probes_ever_more_seldom_and_ends_for_all_soon_after_its_end(server):
    """Hours without a server, told by the engine's own clock."""
    organization(max_mailbox_transient_failures=3)
    profile = EmailServerProfileFactory()
    rows = [ready_mailbox(email_server_profile=profile) for _ in range(3)]
    Workload.objects.exclude(operation=INCOMING).update(enabled=False)
    Workload.objects.update(next_run_at=NOW)
    server.away = True
    now = NOW
    waits = []
    end = NOW + timedelta(hours=30)
    while now < end:
        engine.work(lambda: now, holder="here:1", stopping=lambda: False, threads=0)  # noqa: B023
        row = Workload.objects.get(mailbox=rows[0], operation=INCOMING)
        if row.state == WorkloadState.PAUSED and (not waits or waits[-1][0] != row.next_run_at):
            waits.append((row.next_run_at, row.consecutive_failures))
        now = Workload.objects.filter(enabled=True).earliest("next_run_at").next_run_at
    gaps = [later[0] - sooner[0] for sooner, later in pairwise(waits)]
    assert gaps == sorted(gaps)
    assert gaps[-1] == timedelta(hours=6)

    server.away = False
    began = now
    while Workload.objects.filter(state=WorkloadState.PAUSED).exists():
        engine.work(lambda: now, holder="here:1", stopping=lambda: False, threads=0)  # noqa: B023
        now += timedelta(minutes=1)
    assert now - began <= timedelta(minutes=6)
