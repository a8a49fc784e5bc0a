"""Mailboxes whose servers tell of new mail by themselves: it is due at once, and nothing that goes wrong with the
telling goes any further."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from unittest import mock

import pytest
from django.db import OperationalError
from django.utils import timezone

from mailboxes.choices import Operation, ServerType
from mailboxes.connect import NotSupported, push_server
from mailboxes.models import EmailServerProfile, Mailbox, Organization, TraceLog
from serversync.leases import Busy, claim, claim_one
from serversync.models import MailboxWatch, WatchProcess, Workload
from serversync.sandbox.servers import running_sandbox
from serversync.watch import loop, opening, rows
from serversync.watch.choice import TOO_FEW_CONNECTIONS, Setback
from serversync.watch.loop import Loop, Terms
from tests.integration.serversync.connected import logs_in, profile_at
from tests.integration.serversync.cycles import message, profile, user_mailbox
from tests.integration.serversync.exchanges import PASSWORD
from tests.integration.serversync.exchanges import profile_at as exchange_at

pytestmark = [pytest.mark.integration, pytest.mark.django_db(transaction=True)]

PATIENCE = 60.0
TERMS = Terms(openers=2, look=0.1, lease=30.0)
ADA, BEN = "ada@example.com", "ben@example.com"
INCOMING, ACT = Operation.INCOMING, Operation.ACT


@pytest.fixture(scope="module")
def sandbox():
    with running_sandbox(accounts={ADA: PASSWORD}) as sandbox:
        sandbox.exchange.add_account(BEN, PASSWORD)
        yield sandbox


def wait_for(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f"no {what}"
        time.sleep(0.02)


@contextmanager
def listening(terms: Terms = TERMS) -> Iterator[Loop]:
    """A process that listens, as a thread of this one."""
    loop = Loop(terms)
    thread = threading.Thread(target=loop.run)
    thread.start()
    try:
        yield loop
    finally:
        loop.stop()
        thread.join(PATIENCE)
        assert not thread.is_alive()


def mailbox_of(name: str, server_profile: EmailServerProfile, *operations: Operation) -> Mailbox:
    mailbox = logs_in(user_mailbox(name), PASSWORD)
    Mailbox.objects.filter(pk=mailbox.pk).update(email_server_profile=server_profile)
    mailbox.workloads.exclude(operation__in=operations).update(enabled=False)
    mailbox.workloads.filter(operation__in=operations).update(enabled=True)
    asleep(mailbox)
    return Mailbox.objects.get(pk=mailbox.pk)


def asleep(mailbox: Mailbox) -> None:
    """Nothing is due for an hour."""
    later = timezone.now() + timedelta(hours=1)
    mailbox.workloads.update(next_run_at=later, run_requested_at=None)


def is_due(mailbox: Mailbox, operation: Operation = INCOMING) -> bool:
    rows = Workload.objects.filter(mailbox=mailbox, operation=operation)
    return rows.filter(run_requested_at__isnull=False, next_run_at__lte=timezone.now()).exists()


def watch_of(mailbox: Mailbox) -> MailboxWatch:
    return MailboxWatch.objects.get(mailbox=mailbox)


def is_told(mailbox: Mailbox) -> bool:
    return MailboxWatch.objects.filter(mailbox=mailbox, since__isnull=False).exists()


@pytest.mark.rule("R10.1")
def test_new_mail_is_looked_at_at_once(sandbox):
    ada = mailbox_of("ada", profile_at(sandbox, sandbox), INCOMING)
    ben = mailbox_of("ben", exchange_at(sandbox), INCOMING)
    with listening():
        for mailbox in (ada, ben):
            wait_for(lambda: is_told(mailbox) and is_due(mailbox), "first look")  # noqa: B023
        for mailbox in (ada, ben):
            asleep(mailbox)
            assert not is_due(mailbox)
            sandbox.deliver(mailbox.email_address, message(to=mailbox.email_address))
            wait_for(lambda: is_due(mailbox), "news")  # noqa: B023
        assert watch_of(ada).last_event_at is not None
    assert not WatchProcess.objects.exists()
    assert not is_told(ada) or watch_of(ada).process_id is None


@pytest.mark.database("sqlite")
@pytest.mark.rule("R10.1")
def test_a_calendar_wakes_its_own_workload(sandbox):
    ben = mailbox_of("ben", exchange_at(sandbox), INCOMING, ACT)
    Mailbox.objects.filter(pk=ben.pk).update(act_delivery_method=1)
    with listening():
        wait_for(lambda: is_told(ben) and is_due(ben, ACT), "first look")
        asleep(ben)
        sandbox.exchange.add(
            BEN, "CalendarItem", subject="Visit",
            start="2026-03-02T10:00:00Z", end="2026-03-02T11:00:00Z",
        )  # fmt: skip
        wait_for(lambda: is_due(ben, ACT), "news")
        assert not is_due(ben, INCOMING)


@pytest.mark.database("sqlite")
def test_a_login_that_is_refused_is_left_alone_and_alarms_nobody(sandbox):
    ada = mailbox_of("ada", profile_at(sandbox, sandbox), INCOMING)
    with listening():
        wait_for(lambda: is_told(ada), "connection")
        try:
            sandbox.store.add_account(ADA, "another password")
            sandbox.drop_connections()
            wait_for(lambda: watch_of(ada).last_error_code == "ServiceUnavailable", "setback")
            MailboxWatch.objects.update(retry_at=timezone.now())
            wait_for(lambda: watch_of(ada).last_error_code == "InvalidCredentials", "refusal")
        finally:
            sandbox.store.add_account(ADA, PASSWORD)
        row = watch_of(ada)
        assert (row.process, row.since) == (None, None)
        assert row.retry_at - row.last_error_at >= timedelta(hours=1)
        assert not TraceLog.objects.exists()
        # A person enters another password, which counts at once.
        Mailbox.objects.filter(pk=ada.pk).update(modified_on=timezone.now())
        wait_for(lambda: is_told(ada), "connection")


@pytest.mark.database("sqlite")
def test_settings_that_change_while_it_is_opened_count_too(sandbox, monkeypatch):
    ada = mailbox_of("ada", profile_at(sandbox, sandbox), INCOMING)
    times: list[str] = []

    def opened(mailbox_id):
        server = opening.opened(mailbox_id)
        if not times:
            Mailbox.objects.filter(pk=mailbox_id).update(modified_on=timezone.now())
        times.append("opened")
        return server

    monkeypatch.setattr(loop, "opened", opened)
    with listening():
        wait_for(lambda: len(times) == 2 and is_told(ada), "second opening")


@pytest.mark.database("sqlite")
def test_what_is_switched_off_is_left(sandbox):
    ada = mailbox_of("ada", profile_at(sandbox, sandbox), INCOMING)
    with listening() as loop:
        wait_for(lambda: is_told(ada), "connection")
        EmailServerProfile.objects.update(push=False)
        wait_for(lambda: not is_told(ada), "end")
        wait_for(lambda: not loop.held, "end of the connection")


@pytest.mark.database("sqlite")
def test_a_database_that_is_away_for_a_moment_loses_no_news(sandbox):
    ada = mailbox_of("ada", profile_at(sandbox, sandbox), INCOMING)
    with listening():
        wait_for(lambda: is_told(ada) and is_due(ada), "first look")
        asleep(ada)
        passing_on = mock.Mock(
            side_effect=[OperationalError("away"), mock.DEFAULT], wraps=rows.pass_on
        )
        with mock.patch.object(rows, "pass_on", passing_on):
            sandbox.deliver(ADA, message(to=ADA))
            wait_for(lambda: is_due(ada), "news")
        assert passing_on.call_count >= 2


@pytest.mark.rule("R10.1")
def test_mailboxes_of_a_process_that_was_killed_are_taken_over(sandbox):
    """It shows no more sign of life, and is taken for dead though it isn't: then it begins anew."""
    ada = mailbox_of("ada", profile_at(sandbox, sandbox), INCOMING)
    dead = rows.register(timezone.now() - timedelta(minutes=1))
    MailboxWatch.objects.create(mailbox=ada, process_id=dead, since=timezone.now())
    with listening():
        wait_for(lambda: watch_of(ada).process_id not in (None, dead), "take-over")
        wait_for(lambda: is_told(ada) and is_due(ada), "first look")
        assert not WatchProcess.objects.filter(pk=dead).exists()
    with pytest.raises(rows.Superseded):
        rows.show_up(dead, timezone.now(), timedelta(seconds=30))


@pytest.mark.database("sqlite")
@pytest.mark.rule("R10.1")
def test_when_a_process_is_killed_another_takes_over(sandbox, site_environment, tmp_path):
    ada = mailbox_of("ada", profile_at(sandbox, sandbox), INCOMING)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "django", "watch", "--inner", "--look=0.1", "--openers=1"],
            env=site_environment,
            stdout=log,
            stderr=log,
        )
    try:
        wait_for(lambda: is_told(ada), "connection")
    finally:
        process.kill()
        process.wait()
    killed = watch_of(ada).process
    with listening(replace(TERMS, lease=0.5)):
        wait_for(lambda: watch_of(ada).process_id not in (None, killed.pk), "take-over")
        wait_for(lambda: is_told(ada), "connection")


@pytest.mark.django_db
class TestRows:
    """Without a server."""

    def take(self, room: int = 10) -> list[object]:
        now = timezone.now()
        return rows.take(rows.register(now), room, now)

    def test_an_account_with_one_connection_is_polled_and_told_so(self):
        ada = mailbox_of("ada", profile(max_concurrent_connections=1), INCOMING)
        assert self.take() == []
        row = watch_of(ada)
        assert (row.last_error_code, row.process) == (TOO_FEW_CONNECTIONS, None)
        assert self.take() == []
        EmailServerProfile.objects.update(max_concurrent_connections=4, modified_on=timezone.now())
        assert self.take() == [ada.pk]

    def test_two_processes_never_take_the_same(self):
        shared = profile()
        taken = {mailbox_of(name, shared, INCOMING).pk for name in ("ada", "ben", "cleo")}
        first, second = self.take(2), self.take(2)
        assert (len(first), len(second)) == (2, 1)
        assert {*first, *second} == taken

    def test_who_leaves_frees_at_once(self):
        ada = mailbox_of("ada", profile(), INCOMING)
        self.take()
        rows.leave(WatchProcess.objects.get().pk)
        assert self.take() == [ada.pk]

    @pytest.mark.parametrize(
        "columns", [{"server_type": ServerType.POP3_SMTP}, {"push": False}, {"state_code": 1}]
    )
    def test_profiles_that_do_not_push(self, columns):
        mailbox_of("ada", profile(**columns), INCOMING)
        assert self.take() == []

    def test_a_mailbox_whose_workload_pauses_or_is_disabled_is_not_listened_to(self):
        ada = mailbox_of("ada", profile(), INCOMING)
        ada.workloads.update(postponed_until=timezone.now() + timedelta(hours=1))
        assert self.take() == []
        ada.workloads.update(postponed_until=None, enabled=False)
        assert self.take() == []

    def test_what_is_written_does_not_grow_with_the_mailboxes(
        self, django_assert_num_queries, django_assert_max_num_queries
    ):
        shared = profile()
        for number in range(20):
            mailbox_of(f"user{number}", shared, INCOMING)
        process = rows.register(timezone.now())
        taken = rows.take(process, 20, timezone.now())
        assert len(taken) == 20
        with django_assert_num_queries(2):  # to show up
            rows.show_up(process, timezone.now(), timedelta(seconds=30))
        with django_assert_num_queries(1):
            rows.connected(process, dict.fromkeys(taken, timezone.now()))
        news = [rows.News(each, INCOMING) for each in taken]
        with django_assert_max_num_queries(14):  # five of them jobs, the rest one transaction
            rows.pass_on(news)

    @pytest.mark.rule("R1.29")
    def test_who_listens_waits_for_no_server_longer_than_others_can(self):
        ada = logs_in(user_mailbox(), PASSWORD)
        for milliseconds, seconds in ((100_000, 30.0), (5_000, 5.0)):
            ada.email_server_profile = profile(timeout_mailbox_connection_after_amount=milliseconds)
            server = push_server(ada, Organization.objects.current())
            assert server.settings.timeout_seconds == seconds
        ada.email_server_profile = profile(server_type=ServerType.POP3_SMTP)
        with pytest.raises(NotSupported):
            push_server(ada, Organization.objects.current())

    def test_a_setback_is_kept_and_counted(self):
        ada = mailbox_of("ada", profile(), INCOMING)
        for failures in (1, 2):
            process = rows.register(timezone.now())
            MailboxWatch.objects.update(retry_at=None)
            assert rows.take(process, 1, timezone.now()) == [ada.pk]
            setback = Setback("ServiceUnavailable", "the server is gone")
            rows.failed(process, {ada.pk: setback}, timezone.now())
            row = watch_of(ada)
            assert (row.process, row.failures) == (None, failures)
            assert row.last_error_text == "the server is gone"
            assert row.retry_at > timezone.now()

    @pytest.mark.rule("R9.6")
    @pytest.mark.rule("R1.29")
    def test_who_listens_counts_against_the_connections_of_the_account(self):
        ada = mailbox_of("ada", profile(max_concurrent_connections=2), INCOMING, ACT)
        assert self.take() == [ada.pk]
        now = timezone.now()
        ada.workloads.update(next_run_at=now)
        assert len(claim(now, 10, "worker:1")) == 1
        assert claim(now, 10, "worker:1") == []
        with pytest.raises(Busy):
            claim_one(ada.pk, ACT, now, "worker:1", force=True)
        rows.leave(WatchProcess.objects.get().pk)
        assert len(claim(now, 10, "worker:1")) == 1
