"""Real workers that are killed, on PostgreSQL and over Exchange Web Services: before and after every commit and every
request of their cycle. A successor finishes, and each time nothing is lost, nothing doubled, nobody mailed twice.

Round after round people make, change and delete something on both sides, and the worker that carries it is killed at
the next boundary. ACT_EVERY=1 takes every boundary; without it there are some.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import uuid4

import pytest

from activities import scheduling
from activities.models import Appointment, Contact, Task
from mailboxes.choices import Operation
from mailboxes.protocols.ews.transport import Channel
from serversync.act import batches
from serversync.act.choices import LinkState
from serversync.act.cycle import synchronize
from serversync.context import load
from serversync.models import ExchangeSyncIdMapping, ParkedBatch, Workload
from serversync.sandbox.servers import Sandbox, running_sandbox
from tests.integration.serversync.cycles import organization
from tests.integration.serversync.exchanges import profile_at
from tests.integration.serversync.killing import Boundaries, killed_at
from tests.integration.serversync.test_act_cycle import appointment, contact, task
from tests.integration.serversync.test_act_exchange import Account, account
from tests.integration.serversync.test_act_meanwhile import root

pytestmark = [
    pytest.mark.integration,
    pytest.mark.database("postgresql"),
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(1800),
]

EVERY = int(os.environ.get("ACT_EVERY", "20"))
CLEO = "cleo@customer.example"


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with running_sandbox(local_domains=("example.com",)) as running:
        profile_at(running)
        organization(track_categorized_items=True, max_act_deletes_percent=100)
        yield running


@contextmanager
def watching_requests(boundaries: Boundaries) -> Iterator[None]:
    exchange = Channel.exchange

    def asking(self: Channel, *args: object) -> object:
        boundaries.pass_()
        answer = exchange(self, *args)
        boundaries.pass_()
        return answer

    Channel.exchange = asking
    try:
        yield
    finally:
        Channel.exchange = exchange


class Course:
    """Ada's rounds. A meeting is made in one, changed in the next, deleted in the one after it, and called off once
    that was approved; a contact is changed on both sides; tasks come and go."""

    def __init__(self, ada: Account) -> None:
        self.ada, self.root = ada, root()
        self.round = 0
        self.cleo = contact(ada)
        self.meetings: list[Appointment] = []
        self.tasks: list[Task] = []
        self.uids: list[str] = []

    def begin(self) -> None:
        self.round += 1
        number, ada = self.round, self.ada
        plan = appointment(ada, self.cleo, location="Room 1")
        named(plan, f"Plan {number}")
        made = task(ada)
        named(made, f"Task {number}")
        tracked = {"categories": ada.category}
        ada.exchange.add(ada.address, "Task", subject=f"Offer {number}", **tracked)
        Contact.objects.filter(pk=self.cleo.pk).update(job_title=f"Title {number}")
        if number > 1:
            Appointment.objects.filter(pk=self.meetings[-1].pk).update(location="Room 2")
            scheduling.delete([self.tasks[-1].pk], now=ada.now)
            ada.exchange.delete(ada.exchange.named(ada.address, f"Offer {number - 1}"))
            (item,) = ada.items("contacts")
            ada.exchange.change(item, department=f"Department {number}")
        if number > 2:
            scheduling.delete([self.meetings[-2].pk], now=ada.now)
        for batch in ParkedBatch.objects.filter(state="waiting"):
            batches.approve(batch, actor=self.root, now=ada.now)
        self.meetings.append(plan)
        self.tasks.append(made)

    def work(self, boundaries: Boundaries) -> None:
        """In the child."""
        ada, token = self.ada, uuid4()
        with watching_requests(boundaries):
            Workload.objects.filter(mailbox=ada.mailbox, operation=Operation.ACT).update(
                lease_token=token
            )
            context = load(ada.mailbox.pk, Operation.ACT, ada.now)
            synchronize(context, token, clock=lambda: ada.now)

    def succeed(self) -> None:
        """Whoever comes after the lease is over, until there is nothing left to do."""
        self.ada.now += timedelta(minutes=10)
        self.ada.quiet()

    def check(self) -> None:
        ada, number = self.ada, self.round
        plans = {f"Plan {each}" for each in range(max(1, number - 2), number + 1)}
        assert subjects(ada, "calendar") == dict.fromkeys(plans, 1)
        assert subjects(ada, "tasks") == {f"Task {number}": 1, f"Offer {number}": 1}
        assert Counter(Task.objects.values_list("activity__subject", flat=True)) == {
            f"Task {number}": 1,
            f"Offer {number}": 1,
        }
        self.check_contact()
        self.check_mails()
        links = ExchangeSyncIdMapping.objects.filter(mailbox=ada.mailbox)
        assert not links.exclude(last_sync_error="").exists()
        assert not links.exclude(sending=None).exists()
        assert links.filter(state=LinkState.LINKED).count() == len(plans) + 3

    def check_contact(self) -> None:
        (item,) = self.ada.items("contacts")
        self.cleo.refresh_from_db()
        assert self.cleo.job_title == item.text("JobTitle") == f"Title {self.round}"
        if self.round > 1:
            assert self.cleo.department == item.text("Department") == f"Department {self.round}"

    def check_mails(self) -> None:
        """One invitation of each meeting, one update, one cancellation."""
        self.uids.append(Appointment.objects.get(pk=self.meetings[-1].pk).global_object_id)
        mails = self.ada.exchange.meeting_mail()
        assert {mail.recipient for mail in mails} == {CLEO}
        wanted: Counter[tuple[str, str]] = Counter()
        for age, uid in enumerate(reversed(self.uids)):
            kinds = ["request", "update", "cancellation"][: 1 + (age > 0) + (age > 2)]
            wanted.update((uid, kind) for kind in kinds)
        assert Counter((mail.uid, mail.kind) for mail in mails) == wanted


def named(record: Appointment | Task, subject: str) -> None:
    type(record.activity).objects.filter(pk=record.pk).update(subject=subject)


def subjects(ada: Account, folder: str) -> Counter[str]:
    return Counter(item.text("Subject") for item in ada.items(folder))


@pytest.mark.rule("R6.46", "R6.52", "R9.10")
def test_successor_of_a_killed_worker_finishes_what_it_began(sandbox: Sandbox) -> None:
    course = Course(account(sandbox, "ada"))
    at, kills = EVERY, 0
    while True:
        course.begin()
        killed = killed_at(at, course.work)
        course.succeed()
        try:
            course.check()
        except AssertionError as wrong:
            raise AssertionError(
                f"killed at boundary {at}, round {course.round}: {wrong}"
            ) from wrong
        if not killed:
            break
        kills += 1
        at += EVERY
    assert kills > 1 and at > 45  # some boundaries come only where much is to do
