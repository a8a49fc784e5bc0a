"""Workers that get in each other's way: the same mail in several mailboxes at once, and one mailbox
in the hands of two. Real threads with connections of their own, which only PostgreSQL lets overlap."""

import logging
import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from functools import partial
from threading import Barrier, Event

import pytest
from django.db import connection

from activities.choices import EmailStatus
from activities.models import (
    ActivityMimeAttachment,
    ActivityParty,
    ActivityPointer,
    Email,
    QueueItem,
    StoredBytes,
)
from mailboxes.choices import Operation
from mailboxes.models import Mailbox, TraceLog
from serversync import engine
from serversync.choices import SubmissionState, WorkloadState
from serversync.engine import Report
from serversync.leases import LEASE
from serversync.models import FolderCursor, Submission, SyncItem
from serversync.receive import receive
from serversync.send import send
from tests.fakes import FakeIncomingServer, FakeMailbox, FakeOutgoingServer
from tests.integration.serversync.connected import write
from tests.integration.serversync.cycles import (
    NOW,
    message,
    organization,
    queue_mailbox,
    user_mailbox,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.database("postgresql"),
    pytest.mark.django_db(transaction=True),
]

INCOMING, OUTGOING = Operation.INCOMING, Operation.OUTGOING
WAIT = 30  # seconds until a test gives up on a thread


class Together(FakeIncomingServer):
    """Fetches its page when the others do, so that all of them decide and write at once."""

    barrier: Barrier

    def fetch(self, folder, remote_ids):
        self.barrier.wait(WAIT)
        return super().fetch(folder, remote_ids)


class Readers:
    """Mailboxes that were all sent the same mail, each with a worker of its own."""

    def __init__(self, monkeypatch, mailboxes: Sequence[Mailbox], complete: bool) -> None:
        self.mailboxes = mailboxes
        self.boxes = {mailbox.pk: FakeMailbox() for mailbox in mailboxes}
        self.complete = complete
        self.barrier = Barrier(len(mailboxes))
        monkeypatch.setitem(engine.CYCLES, INCOMING, partial(receive, connect=self.connect))

    def connect(self, mailbox: Mailbox, *_: object) -> FakeIncomingServer:
        server = Together(self.boxes[mailbox.pk], complete=self.complete)
        server.barrier = self.barrier
        return server

    def deliver(self, messages: Sequence[bytes], *, in_order: bool = False) -> None:
        """In one order to the first, in the opposite one to the second, in any to the others."""
        orders = [list(messages), list(messages if in_order else reversed(messages))]
        if in_order:
            orders *= len(self.mailboxes) // 2
        chance = random.Random(len(messages))
        while len(orders) < len(self.mailboxes):
            orders.append(chance.sample(messages, len(messages)))
        for mailbox, order in zip(self.mailboxes, orders, strict=True):
            for mime in order:
                self.boxes[mailbox.pk].deliver(mime)

    def run(self, now: datetime) -> list[Report]:
        return at_once(
            *(
                partial(engine.run_one, mailbox, INCOMING, force=True, clock=lambda: now)
                for mailbox in self.mailboxes
            )
        )


def at_once(*calls: Callable[[], Report]) -> list[Report]:
    """Each in a thread with a database connection of its own."""

    def closing(call: Callable[[], Report]) -> Report:
        try:
            return call()
        finally:
            connection.close()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result(WAIT) for future in [pool.submit(closing, call) for call in calls]]


FILES = [b"%%PDF-1.4 common to many %d" % number * 50 for number in range(3)]


def conversation(count: int, tag: str) -> list[bytes]:
    """To everybody: each answers the one before it, and every third brings one of three files."""
    made = []
    for number in range(count):
        mail = EmailMessage(policy=SMTP)
        mail["From"] = "Cleo <cleo@customer.example>"
        mail["To"] = "ada@example.com, ben@example.com"
        mail["Cc"] = "dora@example.com, support@example.com"
        mail["Subject"] = f"{tag} {number}"
        mail["Date"] = "Mon, 02 Feb 2026 10:00:00 +0000"
        mail["Message-ID"] = f"<{tag}.{number}@customer.example>"
        if number:
            mail["In-Reply-To"] = f"<{tag}.{number - 1}@customer.example>"
        mail.set_content(f"Number {number}\n")
        if number % 3 == 0:
            file = FILES[number // 3 % len(FILES)]
            mail.add_attachment(file, maintype="application", subtype="pdf", filename="file.pdf")
        made.append(bytes(mail))
    return made


def imitations(count: int, tag: str) -> list[bytes]:
    """Other messages under the ids of the conversation."""
    return [
        message(
            message_id=f"{tag}.{number}@customer.example",
            sender=f"Mallory <mallory{number}@elsewhere.example>",
            to="ada@example.com, ben@example.com, dora@example.com, support@example.com",
            subject="I am another",
        )
        for number in range(count)
    ]


@pytest.fixture
def colleagues() -> list[Mailbox]:
    users = [user_mailbox(name) for name in ("ada", "ben", "dora")]
    return [*users, queue_mailbox("support")]


def assert_each_stored_once(mailboxes: Sequence[Mailbox], messages: Sequence[bytes]) -> None:
    emails = {email.pk: email for email in Email.objects.all()}
    assert len(emails) == len(messages)
    assert set(ActivityPointer.objects.values_list("pk", flat=True)) == set(emails)
    assert_dependents_of_winners_only(emails, messages)

    rows = list(SyncItem.objects.all())
    assert Counter(row.mailbox_id for row in rows) == {
        mailbox.pk: len(messages) for mailbox in mailboxes
    }
    by_email: dict[object, list[SyncItem]] = {}
    for row in rows:
        assert row.state in ("tracked", "duplicate"), (row.state, row.reason, row.last_error)
        by_email.setdefault(row.email_id, []).append(row)
    assert set(by_email) == set(emails)
    for pk, same in by_email.items():
        (winner,) = [row for row in same if row.state == "tracked"]
        assert len(same) == len(mailboxes)
        assert emails[pk].receiving_mailbox_id == winner.mailbox_id
    for cursor in FolderCursor.objects.all():
        assert cursor.server_total == len(messages)


def assert_dependents_of_winners_only(emails: dict, messages: Sequence[bytes]) -> None:
    parties = Counter(ActivityParty.objects.values_list("activity_id", flat=True))
    assert parties == dict.fromkeys(emails, 5)  # the sender and four recipients
    with_file = sum(b"file.pdf" in mime for mime in messages)
    files = ActivityMimeAttachment.objects.values_list("activity_id", flat=True)
    assert len(files) == len(set(files)) == with_file
    contents = len(messages) + min(with_file, len(FILES))
    assert StoredBytes.objects.count() == contents
    items = QueueItem.objects.values_list("object_id", flat=True)
    assert sorted(map(str, items)) == sorted(map(str, emails))


@pytest.mark.parametrize("complete", [True, False], ids=["like POP3", "like IMAP"])
@pytest.mark.rule("R3.20", "R9.10")
def test_the_same_mail_in_opposite_order_is_stored_once(monkeypatch, colleagues, complete, caplog):
    readers = Readers(monkeypatch, colleagues, complete)
    sent: list[bytes] = []
    for number, count in enumerate((50, 100, 150)):
        new = conversation(count, f"round{number}")
        readers.deliver(new)
        sent += new

        reports = readers.run(NOW + timedelta(hours=number))

        assert [report.text for report in reports if not report.ok] == []
        assert_each_stored_once(colleagues, sent)
    winners = Email.objects.values_list("receiving_mailbox", flat=True).distinct()
    assert len(winners) > 1  # they did get in each other's way
    # Nor did that cost a page its one transaction.
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.rule("R3.20")
def test_messages_under_each_others_ids_are_all_stored_once(monkeypatch, colleagues, caplog):
    readers = Readers(monkeypatch, colleagues, complete=False)
    sent = conversation(60, "one") + imitations(60, "one")
    readers.deliver(sent)

    reports = readers.run(NOW)

    assert [report.text for report in reports if not report.ok] == []
    assert_each_stored_once(colleagues, sent)
    assert Email.objects.filter(is_message_id_reused=True).count() == 60
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.rule("R3.20")
def test_copies_in_one_mailbox_point_to_what_stands(monkeypatch, colleagues, caplog):
    readers = Readers(monkeypatch, colleagues, complete=True)
    readers.deliver([mime for mime in conversation(75, "twice") for _copy in range(2)])

    reports = readers.run(NOW)

    assert [report.text for report in reports if not report.ok] == []
    assert Email.objects.count() == 75
    states = Counter(SyncItem.objects.values_list("state", flat=True))
    assert states == {"tracked": 75, "duplicate": 150 * len(colleagues) - 75}
    assert set(SyncItem.objects.values_list("email", flat=True)) == set(
        Email.objects.values_list("pk", flat=True)
    )
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.rule("R4.4", "R3.20")
def test_who_lost_the_question_keeps_its_answer_with_the_question_that_stands(
    monkeypatch, colleagues
):
    """An answer never points at an e-mail that was decided but not stored."""
    readers = Readers(monkeypatch, colleagues, complete=False)
    readers.deliver(conversation(100, "talk"), in_order=True)

    readers.run(NOW)

    stored = {email.message_id: email for email in Email.objects.all()}
    answers = [email for email in stored.values() if email.in_reply_to]
    assert len(answers) == 99
    for email in answers:
        assert email.parent_activity_id == stored[email.in_reply_to].pk


# -- one mailbox, two workers ----------------------------------------------------------------------


class Stuck(FakeIncomingServer):
    """Hangs before its second page until it is let go."""

    def __init__(self, *args, arrived: Event, go_on: Event, **options) -> None:
        super().__init__(*args, **options)
        self.arrived, self.go_on = arrived, go_on

    def fetch(self, folder, remote_ids):
        if self.calls["fetch"] == 1:
            self.arrived.set()
            assert self.go_on.wait(WAIT)
        return super().fetch(folder, remote_ids)


@pytest.mark.parametrize("complete", [True, False], ids=["like POP3", "like IMAP"])
@pytest.mark.rule("R9.7", "R9.10")
def test_a_worker_that_was_taken_for_dead_stops_before_its_next_write(monkeypatch, complete):
    organization(messages_per_page=10)
    mailbox, box = user_mailbox("ada"), FakeMailbox()
    for number in range(40):
        box.deliver(message(message_id=f"{number}@customer.example"))
    arrived, go_on = Event(), Event()
    servers = [
        Stuck(box, complete=complete, arrived=arrived, go_on=go_on),
        FakeIncomingServer(box, complete=complete),
    ]
    monkeypatch.setitem(
        engine.CYCLES, INCOMING, partial(receive, connect=lambda *_: servers.pop(0))
    )
    late = NOW + LEASE + timedelta(seconds=1)

    def successor() -> Report:
        assert arrived.wait(WAIT)
        try:
            report = engine.run_one(mailbox, INCOMING, force=True, clock=lambda: late)
        finally:
            go_on.set()
        return report

    slow, fresh = at_once(
        partial(engine.run_one, mailbox, INCOMING, force=True, clock=lambda: NOW), successor
    )

    assert (slow.ok, slow.code) == (False, "LeaseLost")
    assert fresh.ok and fresh.result and fresh.result.by_state["tracked"] == 30
    assert SyncItem.objects.filter(state="tracked").count() == 40
    assert Email.objects.count() == SyncItem.objects.count() == 40
    row = mailbox.workloads.get(operation=INCOMING)
    assert (row.leases_broken, row.lease_token, row.last_success_at) == (1, None, late)
    assert (row.state, row.consecutive_failures) == (WorkloadState.READY, 0)


@pytest.mark.rule("R9.7")
def test_a_slow_worker_whom_nobody_replaced_goes_on(monkeypatch):
    organization(messages_per_page=10)
    mailbox, box = user_mailbox("ada"), FakeMailbox()
    for number in range(40):
        box.deliver(message(message_id=f"{number}@customer.example"))
    monkeypatch.setitem(
        engine.CYCLES, INCOMING, partial(receive, connect=lambda *_: FakeIncomingServer(box))
    )
    times = iter(NOW + number * 2 * LEASE for number in range(10_000))

    assert engine.run_one(mailbox, INCOMING, force=True, clock=lambda: next(times)).ok

    assert Email.objects.count() == SyncItem.objects.filter(state="tracked").count() == 40


@pytest.mark.rule("R9.7")
def test_many_who_want_one_mailbox_read_it_one_after_another(monkeypatch):
    mailbox, box = user_mailbox("ada"), FakeMailbox()
    for number in range(60):
        box.deliver(message(message_id=f"{number}@customer.example"))
    monkeypatch.setitem(
        engine.CYCLES, INCOMING, partial(receive, connect=lambda *_: FakeIncomingServer(box))
    )

    reports = at_once(
        *[partial(engine.run_one, mailbox, INCOMING, force=True, clock=lambda: NOW)] * 6
    )

    assert any(report.ok for report in reports)
    assert {report.code for report in reports if not report.ok} <= {"InProgress"}
    assert Email.objects.count() == SyncItem.objects.filter(state="tracked").count() == 60


# -- sending ---------------------------------------------------------------------------------------


class StuckOutgoing(FakeOutgoingServer):
    """Hangs before it hands over its third message until it is let go."""

    def __init__(self, arrived: Event, go_on: Event) -> None:
        super().__init__()
        self.arrived, self.go_on = arrived, go_on

    def send(self, envelope, hand_over):
        def slowly() -> None:
            if self.calls["send"] == 3:
                self.arrived.set()
                assert self.go_on.wait(WAIT)
            hand_over()

        return super().send(envelope, slowly)


@pytest.mark.rule("R5.17", "R9.7")
def test_mail_that_a_slow_worker_has_in_hand_leaves_once(monkeypatch, caplog):
    """Its successor sends what was not handed over, and the slow one learns that before the dot. What
    it had handed over, it can still tell."""
    organization(allow_unresolved_parties_on_email_send=True)
    mailbox = user_mailbox("ada")
    emails = [write(mailbox, "cleo@customer.example") for _ in range(6)]
    arrived, go_on = Event(), Event()
    slow_server, fresh_server = StuckOutgoing(arrived, go_on), FakeOutgoingServer()
    servers = [slow_server, fresh_server]
    monkeypatch.setitem(engine.CYCLES, OUTGOING, partial(send, connect=lambda *_: servers.pop(0)))
    late = NOW + LEASE + timedelta(seconds=1)

    def successor() -> Report:
        assert arrived.wait(WAIT)
        try:
            return engine.run_one(mailbox, OUTGOING, force=True, clock=lambda: late)
        finally:
            go_on.set()

    slow, _fresh = at_once(
        partial(engine.run_one, mailbox, OUTGOING, force=True, clock=lambda: NOW), successor
    )

    assert (slow.ok, slow.code) == (False, "LeaseLost")
    assert slow_server.calls["send"] == 3
    left = Counter(
        envelope.message_id for server in (slow_server, fresh_server) for envelope in server.sent
    )
    assert left == {email.message_id: 1 for email in emails}
    engine.run_one(mailbox, OUTGOING, force=True, clock=lambda: late + LEASE)
    assert {email.status_code for email in Email.objects.all()} == {EmailStatus.SENT}
    assert not Submission.objects.filter(state=SubmissionState.UNKNOWN).exists()
    assert not Submission.objects.filter(settled=False).exists()
    assert not TraceLog.objects.filter(code="DeliveryUnknown", closed_on__isnull=True).exists()
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
