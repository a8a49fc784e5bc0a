"""Who may run a workload: one worker at a time, fairly, within every cap."""

import os
import subprocess
import sys
from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from mailboxes.choices import CredentialRetrieval, Operation
from mailboxes.models import Mailbox
from serversync import leases
from serversync.choices import WorkloadState
from serversync.leases import (
    LEASE,
    Busy,
    LeaseLost,
    claim,
    claim_one,
    end_abandoned,
    finish,
    give_back,
    is_alive,
    renew,
)
from serversync.models import Workload
from tests.factories.mailboxes import EmailServerProfileFactory, organization, ready_mailbox
from tests.integration.serversync.cycles import NOW

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

INCOMING, OUTGOING, ACT = Operation.INCOMING, Operation.OUTGOING, Operation.ACT


def due(mailbox: Mailbox, operation: Operation = INCOMING, **columns) -> Workload:
    """Only this workload of the mailbox is enabled, and due a minute ago."""
    mailbox.workloads.update(enabled=False)
    values = {"enabled": True, "next_run_at": NOW - timedelta(minutes=1), **columns}
    mailbox.workloads.filter(operation=operation).update(**values)
    return mailbox.workloads.get(operation=operation)


def due_mailboxes(number: int, **columns) -> list[Workload]:
    columns.setdefault("email_server_profile", EmailServerProfileFactory())
    return [due(ready_mailbox(**columns)) for _ in range(number)]


def names(claims) -> set[int]:
    return {each.workload_id for each in claims}


# -- what is claimed


def test_a_claim_takes_what_is_due_and_marks_it_running():
    row = due_mailboxes(1)[0]

    (claimed,) = claim(NOW, 10, "worker:1")

    row.refresh_from_db()
    assert (claimed.workload_id, claimed.mailbox_id) == (row.pk, row.mailbox_id)
    assert (row.lease_token, row.lease_holder) == (claimed.token, "worker:1")
    assert row.lease_expires_at == NOW + timedelta(minutes=5)
    assert claim(NOW, 10, "worker:2") == []


@pytest.mark.rule("R1.39")
@pytest.mark.parametrize(
    "columns",
    [
        {"enabled": False},
        {"state": WorkloadState.DISABLED},
        {"next_run_at": NOW + timedelta(seconds=1)},
        {"postponed_until": NOW + timedelta(seconds=1)},
    ],
    ids=["not enabled", "disabled", "not due", "postponed"],
)
def test_what_may_not_run_is_not_claimed(columns):
    due(ready_mailbox(), **columns)
    assert claim(NOW, 10, "worker") == []


@pytest.mark.rule("R9.3")
def test_the_workloads_of_one_mailbox_run_at_the_same_time():
    mailbox = ready_mailbox()
    mailbox.workloads.update(next_run_at=NOW)

    claims = claim(NOW, 10, "worker")

    assert {each.operation for each in claims} == {INCOMING, OUTGOING, ACT}


@pytest.mark.rule("R9.7")
def test_an_expired_lease_is_taken_over_and_counted():
    row = due_mailboxes(1)[0]
    (lost,) = claim(NOW, 1, "gone")

    assert claim(NOW + LEASE - timedelta(seconds=1), 1, "next") == []
    (taken,) = claim(NOW + LEASE, 1, "next")

    row.refresh_from_db()
    assert taken.taken_over and taken.token != lost.token
    assert (row.leases_broken, row.consecutive_failures, taken.failures) == (1, 1, 1)


@pytest.mark.rule("R9.7")
def test_a_lost_lease_is_noticed_before_the_next_write():
    due_mailboxes(1)
    (lost,) = claim(NOW, 1, "slow")
    claim(NOW + LEASE, 1, "next")

    with pytest.raises(LeaseLost):
        renew(lost.token, NOW + LEASE)
    assert not finish(lost, NOW, NOW, last_error_code="late")
    assert Workload.objects.filter(last_error_code="late").count() == 0


@pytest.mark.rule("R9.7")
def test_renewing_keeps_the_lease():
    due_mailboxes(1)
    (held,) = claim(NOW, 1, "worker")
    renew(held.token, NOW + timedelta(minutes=4))
    assert claim(NOW + timedelta(minutes=8), 1, "other") == []


# -- requests


def test_a_request_during_a_run_makes_the_next_run_due_at_once():
    row = due_mailboxes(1)[0]
    (held,) = claim(NOW, 1, "worker")
    Workload.objects.update(run_requested_at=NOW)

    assert finish(held, NOW + timedelta(hours=1), NOW)

    row.refresh_from_db()
    assert row.next_run_at == NOW
    assert claim(NOW, 1, "worker")[0].requested


def test_a_finished_run_waits_for_its_time():
    row = due_mailboxes(1)[0]
    (held,) = claim(NOW, 1, "worker")
    finish(held, NOW + timedelta(minutes=3), NOW)

    row.refresh_from_db()
    assert (row.next_run_at, row.lease_token) == (NOW + timedelta(minutes=3), None)


def test_what_was_claimed_and_not_begun_is_given_back_as_due_as_before():
    row = due_mailboxes(1)[0]
    Workload.objects.filter(pk=row.pk).update(run_requested_at=NOW)
    give_back(claim(NOW, 1, "worker"), NOW)

    (again,) = claim(NOW, 1, "other")

    assert again.requested and not again.taken_over


# -- fairness and caps


@pytest.mark.rule("R9.8")
def test_a_crowded_profile_does_not_keep_others_waiting():
    crowded = EmailServerProfileFactory()
    due_mailboxes(6, email_server_profile=crowded)
    Workload.objects.filter(enabled=True).update(next_run_at=NOW - timedelta(hours=1))
    small = due_mailboxes(1)[0]

    claims = claim(NOW, 2, "worker")

    assert small.pk in names(claims)


@pytest.mark.rule("R9.8")
def test_at_most_so_many_mailboxes_of_one_profile_run_at_a_time():
    organization(max_mailboxes_per_profile_at_once=2)
    due_mailboxes(4)

    first = claim(NOW, 10, "worker:1")

    assert len(first) == 2
    assert claim(NOW, 10, "worker:2") == []
    finish(first[0], NOW + timedelta(hours=1), NOW)
    assert len(claim(NOW, 10, "worker:2")) == 1


@pytest.mark.rule("R1.29", "R9.6")
def test_connections_of_a_profiles_account_are_counted_over_all_workers():
    shared = EmailServerProfileFactory(own_credentials=True, max_concurrent_connections=2)
    due_mailboxes(3, email_server_profile=shared)

    assert len(claim(NOW, 10, "worker:1")) == 2
    assert claim(NOW, 10, "worker:2") == []


@pytest.mark.rule("R1.29", "R9.6")
def test_mailboxes_with_their_own_credentials_have_their_own_connections():
    profile = EmailServerProfileFactory(
        incoming_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE,
        max_concurrent_connections=1,
    )
    rows = due_mailboxes(3, email_server_profile=profile)
    assert names(claim(NOW, 10, "worker")) == {row.pk for row in rows}


@pytest.mark.rule("R9.6")
def test_an_imap_account_has_four_connections_unless_told_otherwise():
    shared = EmailServerProfileFactory(own_credentials=True, max_concurrent_connections=10)
    due_mailboxes(6, email_server_profile=shared)
    assert len(claim(NOW, 10, "worker")) == 4


@pytest.mark.rule("R9.8")
def test_workloads_known_to_be_slow_leave_one_worker_of_a_machine_free():
    slow = due_mailboxes(3)
    Workload.objects.filter(pk__in=[row.pk for row in slow]).update(last_duration_ms=60_000)
    quick = due_mailboxes(1)[0]

    claims = claim(NOW, 10, "here:1", workers=2)

    assert len(claims) == 2 and quick.pk in names(claims)
    assert len(claim(NOW, 10, "there:1", workers=2)) == 1


# -- one workload by name


def test_a_person_may_run_what_is_not_due():
    row = due(ready_mailbox(), next_run_at=NOW + timedelta(hours=1))
    with pytest.raises(Busy):
        claim_one(row.mailbox_id, INCOMING, NOW, "person")
    assert claim_one(row.mailbox_id, INCOMING, NOW, "person", force=True).workload_id == row.pk


@pytest.mark.rule("R9.7")
def test_not_even_a_person_takes_it_from_another_worker():
    row = due_mailboxes(1)[0]
    claim(NOW, 1, "worker:7")
    with pytest.raises(Busy, match="worker:7"):
        claim_one(row.mailbox_id, INCOMING, NOW, "person", force=True)


@pytest.mark.rule("R9.6")
def test_not_even_a_person_exceeds_the_connections_of_an_account():
    shared = EmailServerProfileFactory(own_credentials=True, max_concurrent_connections=1)
    first, second = due_mailboxes(2, email_server_profile=shared)
    claim_one(first.mailbox_id, INCOMING, NOW, "person", force=True)
    with pytest.raises(Busy, match="connections"):
        claim_one(second.mailbox_id, INCOMING, NOW, "person", force=True)


# -- cost and races


def test_a_page_of_claims_costs_two_statements():
    due_mailboxes(10)
    row = organization()
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert len(claim(NOW, 8, "worker", organization=row)) == 8
    kinds = [query["sql"].split()[0] for query in captured if query["sql"][:2] in ("SE", "UP")]
    expected = ["SELECT", "UPDATE"]
    if connection.vendor == "postgresql":
        expected.insert(0, "SELECT")  # taking turns
    assert kinds == expected


@pytest.mark.rule("R9.6", "R9.7")
@pytest.mark.django_db(transaction=True)
def test_workers_that_claim_at_the_same_moment_never_share_a_workload_or_exceed_a_cap():
    shared = EmailServerProfileFactory(own_credentials=True, max_concurrent_connections=3)
    due_mailboxes(8, email_server_profile=shared)
    start, taken = Barrier(4), []

    def worker(number: int) -> None:
        try:
            start.wait()
            taken.extend(each.workload_id for each in claim(NOW, 2, f"worker:{number}"))
        finally:
            connection.close()

    threads = [Thread(target=worker, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(taken) == len(set(taken)) == 3


@pytest.mark.database("postgresql")
@pytest.mark.django_db(transaction=True)
def test_a_row_that_is_being_written_is_passed_over_and_not_waited_for():
    busy, free = due_mailboxes(2)
    Workload.objects.filter(pk=busy.pk).update(
        lease_token="0190b3f0-0000-7000-8000-000000000000", lease_expires_at=NOW
    )
    claims = []

    def other() -> None:
        try:
            claims.extend(claim(NOW, 10, "other"))
        finally:
            connection.close()

    with transaction.atomic():
        Workload.objects.filter(pk=busy.pk).update(last_duration_ms=1)
        thread = Thread(target=other)
        thread.start()
        thread.join(timeout=20)
        assert not thread.is_alive()
    assert names(claims) == {free.pk}


# -- workers that are gone


def held_by(pid: int | str, machine: str) -> Workload:
    row = due_mailboxes(1)[0]
    claim(NOW, 10, f"{machine}:{pid}")
    return row


@pytest.mark.rule("R9.7")
def test_leases_of_killed_workers_end_when_their_machine_starts_another(monkeypatch):
    monkeypatch.setattr(leases.socket, "gethostname", lambda: "here")
    killed, living, elsewhere = held_by(11, "here"), held_by(12, "here"), held_by(11, "there")

    assert end_abandoned(NOW, lambda pid: pid == 12) == 1

    (taken,) = claim(NOW, 10, "here:13")
    assert (taken.workload_id, taken.taken_over) == (killed.pk, True)
    killed.refresh_from_db()
    assert killed.leases_broken == 1
    for other in (living, elsewhere):
        other.refresh_from_db()
        assert other.lease_expires_at == NOW + LEASE


def test_a_machine_whose_name_begins_with_ours_is_another(monkeypatch):
    monkeypatch.setattr(leases.socket, "gethostname", lambda: "here")
    held_by(11, "here2")
    held_by("web", "here")  # no process is meant
    assert end_abandoned(NOW, lambda pid: False) == 0


def test_a_process_that_ended_is_not_alive_even_before_its_parent_asked():
    child = subprocess.Popen([sys.executable, "-c", ""], stdout=subprocess.PIPE)
    child.stdout.read()  # until it has closed everything
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert not is_alive(child.pid)
    child.communicate()
    assert not is_alive(child.pid)
    assert is_alive(os.getpid())
