"""Many idle mailboxes in one job: what it costs, that nobody waits for a server that hangs, and that
what needs more than a glance gets its cycle."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.db import connections
from django_q.models import OrmQ

from mailboxes.choices import CredentialRetrieval, Operation
from mailboxes.glancing import NeedsMore
from mailboxes.models import Mailbox, TraceLog
from mailboxes.protocols.base import Glance
from mailboxes.protocols.errors import LoginRefused, ServerBusy
from serversync import engine, polling
from serversync.choices import ItemState, WorkloadState
from serversync.models import FolderCursor, SyncItem, Workload
from serversync.receive import receive
from tests.factories.mailboxes import organization
from tests.fakes import FakeIncomingServer, FakeMailbox
from tests.integration.serversync.cycles import NOW, message, profile, queue_mailbox
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]
# What is asked of the database in them, others ask on both.
ONCE = pytest.mark.database("sqlite")

INCOMING = Operation.INCOMING
LATER = NOW + timedelta(minutes=10)
A_WHILE = 20  # seconds that no test waits unless something is wrong


@dataclass
class AtHand:
    """Stands for a Detached over a fake server."""

    server: FakeIncomingServer
    attached: bool = False

    def attach(self) -> FakeIncomingServer:
        self.attached = True
        return self.server


@dataclass
class Site:
    """Idle mailboxes, each with a fake server, and a worker. `cycles`: whose cycles ran, in order."""

    boxes: dict[str, FakeMailbox] = field(default_factory=dict)
    servers: dict[str, list[FakeIncomingServer]] = field(default_factory=dict)
    prepare: dict[str, Callable[[FakeIncomingServer], None]] = field(default_factory=dict)
    cycles: list[str] = field(default_factory=list)
    complete: bool = False

    def add(self, name: str) -> Mailbox:
        """As after a cycle without mail."""
        mailbox = queue_mailbox(name)
        box = self.boxes[mailbox.name] = FakeMailbox()
        server = FakeIncomingServer(box, complete=self.complete)
        cursor = server.list_new("INBOX", "", 10).cursor
        FolderCursor.objects.create(mailbox=mailbox, folder="INBOX", cursor=cursor, onboarded=True)
        mailbox.workloads.exclude(operation=INCOMING).update(enabled=False)
        mailbox.workloads.filter(operation=INCOMING).update(
            next_run_at=NOW, idle_cycles=1, gap_seconds=400
        )
        return mailbox

    def connect(self, mailbox: Mailbox, *_: object) -> FakeIncomingServer:
        server = FakeIncomingServer(self.boxes[mailbox.name], complete=self.complete)
        self.prepare.get(mailbox.name, lambda server: None)(server)
        self.servers.setdefault(mailbox.name, []).append(server)
        return server

    def detach(self, mailbox: Mailbox, *_: object) -> AtHand:
        return AtHand(self.connect(mailbox))

    def cycle(self, context, token, *, clock, connect=None):
        self.cycles.append(context.mailbox.name)
        return receive(context, token, clock=clock, connect=connect or self.connect)

    def deliver(self, mailbox: Mailbox, number: int = 1) -> None:
        for each in range(number):
            raw = message(message_id=f"{each}.{mailbox.pk}@customer.example")
            self.boxes[mailbox.name].deliver(raw)

    def run(self, at: datetime = LATER, **options) -> polling.Tally:
        options = {"stopping": lambda: False, "threads": 60, "detach": self.detach} | options
        return engine.work(lambda: at, holder="here:1", **options)

    def calls(self, mailbox: Mailbox) -> list[dict[str, int]]:
        return [dict(server.calls) for server in self.servers.get(mailbox.name, [])]


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Site:
    made = Site()
    monkeypatch.setitem(engine.CYCLES, INCOMING, made.cycle)
    monkeypatch.setattr(polling, "PATIENCE", 0.05)
    organization(max_mailboxes_per_profile_at_once=100)
    profile()
    return made


def row_of(mailbox: Mailbox) -> Workload:
    return mailbox.workloads.get(operation=INCOMING)


GLANCED = [{"open": 1, "glance": 1, "close": 1}]


# -- what it costs


@pytest.mark.rule("R9.1")
@pytest.mark.parametrize(
    "complete", [False, pytest.param(True, marks=ONCE)], ids=["cursor", "whole listing"]
)
def test_fifty_idle_mailboxes_cost_ten_statements_and_one_glance_each(site, complete):
    site.complete = complete
    mailboxes = [site.add(f"q{number}") for number in range(50)]
    rows = Workload.objects.filter(operation=INCOMING, mailbox__in=mailboxes)
    rows.filter(mailbox=mailboxes[0]).update(gap_seconds=480)

    with counting() as counted:
        tally = site.run()

    assert (tally.runs, tally.failed, site.cycles) == (50, 0, [])
    assert len(counted) <= 10, str(counted)
    assert all(site.calls(mailbox) == GLANCED for mailbox in mailboxes)
    assert (
        rows.filter(lease_token=None, idle_cycles=2, cycles=1, last_success_at=LATER).count() == 50
    )
    gaps = dict(rows.values_list("mailbox", "gap_seconds"))
    assert gaps.pop(mailboxes[0].pk) == 720
    assert set(gaps.values()) == {600}
    assert all(row.next_run_at == LATER + timedelta(seconds=row.gap_seconds) for row in rows)


@ONCE
def test_what_threads_do_they_do_without_a_database(site):
    ada = site.add("ada")
    seen = []

    def note(server: FakeIncomingServer) -> None:
        look = server.glance

        def glance(cursors):
            seen.append((threading.current_thread().name, connections["default"].connection))
            return look(cursors)

        server.glance = glance

    site.prepare[ada.name] = note
    site.run()
    assert seen == [("glance", None)]


@ONCE
def test_a_request_while_it_is_glanced_at_makes_the_next_run_due_at_once(site):
    ada = site.add("ada")

    def asked(*_: object) -> AtHand:
        row = Workload.objects.filter(mailbox=ada)
        row.update(run_requested_at=LATER)  # the lease is taken already
        return site.detach(ada)

    tally = site.run(detach=asked)
    assert (tally.runs, site.cycles) == (2, [ada.name])


# -- what is new, or wrong


@pytest.mark.rule("R9.10")
def test_what_a_glance_sees_its_cycle_stores_over_the_same_line(site):
    ada, ben = site.add("ada"), site.add("ben")
    site.deliver(ada)

    tally = site.run()

    assert (tally.runs, tally.failed, tally.items, site.cycles) == (2, 0, 1, [ada.name])
    (calls,) = site.calls(ada)
    assert (calls["open"], calls["glance"], calls["list_new"], calls["fetch"]) == (1, 1, 1, 1)
    assert not site.servers[ada.name][0].is_open
    assert SyncItem.objects.get().state == ItemState.TRACKED
    assert (row_of(ada).idle_cycles, row_of(ben).idle_cycles) == (0, 2)


@ONCE
def test_who_means_another_account_by_now_is_read_over_a_line_of_its_own(site, monkeypatch):
    ada = site.add("ada")
    site.deliver(ada)
    site.prepare[ada.name] = partial(setattr, site, "glanced")
    made: list[Mailbox] = []

    def connect(mailbox: Mailbox, *_: object) -> FakeIncomingServer:
        made.append(mailbox)
        return FakeIncomingServer(FakeMailbox())  # whatever the other account holds

    monkeypatch.setattr(polling, "incoming_server", connect)
    begin = polling.run_claim

    def changed(claim, **options):
        Mailbox.objects.filter(pk=ada.pk).update(account_generation=2)
        return begin(claim, **options)

    monkeypatch.setattr(polling, "run_claim", changed)

    tally = site.run()

    assert (tally.runs, tally.failed, tally.items, made) == (1, 0, 0, [ada])
    assert "list_new" not in site.glanced.calls
    assert not site.glanced.is_open
    assert FolderCursor.objects.filter(mailbox=ada, generation=2).exists()


@ONCE
def test_who_had_mail_gets_a_cycle_the_next_time_and_then_glances_again(site):
    ada = site.add("ada")
    site.deliver(ada)
    for hour, cycles in enumerate((1, 2, 2)):
        site.run(LATER + timedelta(hours=hour))
        assert len(site.cycles) == cycles


@pytest.mark.rule("R8.2")
@pytest.mark.parametrize(
    ("error", "state", "enabled"),
    [
        (ServerBusy("later"), WorkloadState.READY, True),
        (LoginRefused("no"), WorkloadState.DISABLED, False),
    ],
    ids=["passing", "lasting"],
)
def test_a_glance_that_fails_has_the_consequences_of_a_cycle_that_fails(
    site, error, state, enabled
):
    organization(generate_alerts_for_warnings=True)
    ada, ben = site.add("ada"), site.add("ben")
    site.prepare[ada.name] = lambda server: server.fail("open", error)

    tally = site.run()

    row = row_of(ada)
    assert (row.state, row.enabled, row.last_error_code) == (state, enabled, error.code)
    assert (row.consecutive_failures, row.lease_token) == (1, None)
    assert TraceLog.objects.filter(code=error.code, closed_on=None).exists()
    assert (tally.runs, tally.failed, site.cycles) == (2, 1, [])
    assert row_of(ben).last_success_at == LATER


@ONCE
def test_a_fault_of_our_own_in_a_thread_stays_with_its_mailbox(site):
    ada, ben = site.add("ada"), site.add("ben")
    site.prepare[ada.name] = lambda server: server.fail("glance", ZeroDivisionError("oops"))
    site.run()
    assert row_of(ada).last_error_code == engine.INTERNAL
    assert row_of(ben).last_success_at == LATER


@pytest.mark.rule("R8.5")
def test_a_paused_mailbox_recovers_by_a_glance(site):
    ada = site.add("ada")
    Workload.objects.filter(mailbox=ada, operation=INCOMING).update(
        state=WorkloadState.PAUSED,
        state_code="ErrorServerBusy",
        consecutive_failures=12,
        postponed_until=NOW,
    )
    site.run()
    row = row_of(ada)
    assert (row.state, row.state_code, row.consecutive_failures) == (WorkloadState.READY, "", 0)
    assert row.state_since == LATER


@ONCE
def test_what_needs_the_database_gets_its_cycle(site):
    ada, ben = site.add("ada"), site.add("ben")
    site.prepare[ada.name] = lambda server: server.fail("glance", NeedsMore("a token"))

    def detach(mailbox: Mailbox, *_: object) -> AtHand:
        if mailbox == ben:
            raise NeedsMore("a token")
        return site.detach(mailbox)

    tally = site.run(detach=detach)
    assert sorted(site.cycles) == [ada.name, ben.name]
    assert tally.failed == 0


@ONCE
@pytest.mark.parametrize("because", ["retry", "onboarding", "asked for", "no cursor"])
def test_who_has_more_to_do_than_look_gets_a_cycle(site, because):
    ada = site.add("ada")
    match because:
        case "retry":
            SyncItem.objects.create(
                mailbox=ada, folder="INBOX", source_key="1.1", state=ItemState.RETRYING,
                first_seen_at=NOW, next_attempt_at=NOW,
            )  # fmt: skip
        case "onboarding":
            FolderCursor.objects.update(onboarded=False)
        case "asked for":
            ada.workloads.update(run_requested_at=NOW)
        case "no cursor":
            FolderCursor.objects.update(cursor="")
    site.run()
    assert site.cycles == [ada.name]
    assert all("glance" not in calls for calls in site.calls(ada))


# -- nobody waits for somebody else


@pytest.fixture
def hanging() -> Iterator[threading.Event]:
    """Set, it lets whatever hangs go on."""
    event = threading.Event()
    yield event
    event.set()


def hangs_until(event: threading.Event, let_go: list[bool]) -> Callable[[FakeIncomingServer], None]:
    def prepare(server: FakeIncomingServer) -> None:
        def glance(_cursors: object) -> Glance:
            let_go.append(event.wait(A_WHILE))
            return Glance(unchanged=True)

        server.glance = glance

    return prepare


@pytest.mark.rule("R9.8")
def test_a_server_that_hangs_keeps_nobody_of_its_page_waiting(site, hanging, monkeypatch):
    """It hangs until the others are stored, and one of them has had its cycle."""
    slow, ada, ben = (site.add(name) for name in ("slow", "ada", "ben"))
    site.deliver(ben)
    let_go: list[bool] = []
    site.prepare[slow.name] = hangs_until(hanging, let_go)
    stored: list[int] = []
    store = polling.finish_all

    def noticing(claims, *args, **learned):
        stored.append(len(claims))
        if len(stored) == 1:
            assert not let_go
        return store(claims, *args, **learned)

    def then_let_go(*args, **options):
        result = site.cycle(*args, **options)
        assert row_of(ada).last_success_at == LATER
        hanging.set()
        return result

    monkeypatch.setattr(polling, "finish_all", noticing)
    monkeypatch.setitem(engine.CYCLES, INCOMING, then_let_go)

    tally = site.run()

    assert let_go == [True]
    assert stored == [1, 1]
    assert (tally.runs, tally.failed) == (3, 0)
    assert row_of(slow).last_success_at == LATER


@ONCE
def test_a_glance_that_takes_too_long_counts_as_timed_out(site, hanging, monkeypatch):
    slow = site.add("slow")
    site.prepare[slow.name] = hangs_until(hanging, [])
    monkeypatch.setattr(polling, "GLANCE_SECONDS", 0)

    tally = site.run()

    assert (tally.runs, tally.failed) == (1, 1)
    row = row_of(slow)
    assert (row.last_error_code, row.lease_token) == ("SocketTimedOut", None)


@ONCE
def test_a_worker_that_stops_waits_for_no_glance(site, hanging):
    slow, ada = site.add("slow"), site.add("ada")
    site.deliver(ada)
    site.prepare[slow.name] = hangs_until(hanging, [])
    stop = iter([False, False, True, True, True, True])

    tally = site.run(stopping=lambda: next(stop, True))

    row = row_of(slow)
    assert (row.lease_token, row.consecutive_failures, row.next_run_at) == (None, 0, NOW)
    assert tally.failed == 0
    assert not Workload.objects.filter(lease_token__isnull=False).exists()


@ONCE
def test_threads_are_never_more_than_the_setting_says(site, hanging):
    organization(max_mailboxes_per_profile_at_once=100)
    mailboxes = [site.add(f"q{number}") for number in range(5)]
    together = threading.Barrier(2, timeout=A_WHILE)
    now, most = [0], [0]
    lock = threading.Lock()

    def prepare(server: FakeIncomingServer) -> None:
        def glance(_cursors: object) -> Glance:
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            if not hanging.is_set():
                together.wait()  # two at once, so that one at a time would be noticed
                hanging.set()
            with lock:
                now[0] -= 1
            return Glance(unchanged=True)

        server.glance = glance

    site.prepare = {mailbox.name: prepare for mailbox in mailboxes}
    tally = site.run(threads=2)
    assert (tally.runs, tally.failed, most) == (5, 0, [2])


@pytest.mark.rule("R9.6")
def test_glances_at_one_account_are_never_more_than_its_connections(site):
    shared = profile(
        name="Shared",
        incoming_credential_retrieval=CredentialRetrieval.PROFILE,
        max_concurrent_connections=3,
    )
    mailboxes = [site.add(f"q{number}") for number in range(7)]
    Mailbox.objects.update(email_server_profile=shared)
    first_three = threading.Barrier(3, timeout=A_WHILE)
    open_now, most, calls = [0], [0], [0]
    lock = threading.Lock()

    def prepare(server: FakeIncomingServer) -> None:
        def glance(_cursors: object) -> Glance:
            with lock:
                calls[0] += 1
                number = calls[0]
                open_now[0] += 1
                most[0] = max(most[0], open_now[0])
            if number <= 3:
                first_three.wait()
            with lock:
                open_now[0] -= 1
            return Glance(unchanged=True)

        server.glance = glance

    site.prepare = {mailbox.name: prepare for mailbox in mailboxes}
    tally = site.run()
    assert (tally.runs, tally.failed, most) == (7, 0, [3])


# -- fresh mail and backlogs


@ONCE
@pytest.mark.rule("R9.8")
def test_fresh_mail_goes_before_a_backlog(site):
    backlog, ada, ben = (site.add(name) for name in ("backlog", "ada", "ben"))
    site.deliver(backlog, 5)
    site.deliver(ada, 2)
    site.deliver(ben, 1)
    site.run()
    assert site.cycles == [ben.name, ada.name, backlog.name]


@ONCE
@pytest.mark.rule("R9.8")
@pytest.mark.rule("R9.9")
def test_a_backlog_is_taken_up_again_after_the_fresh_mail_of_others(site):
    """Mail comes for the others while the first part of a backlog is stored."""
    organization(messages_per_cycle=2, messages_per_page=2)
    backlog, ada, ben = (site.add(name) for name in ("backlog", "ada", "ben"))
    site.deliver(backlog, 5)
    now = [NOW]

    def cycle(context, token, **options):
        result = site.cycle(context, token, **options)
        if len(site.cycles) == 1:
            for mailbox in (ada, ben):
                site.deliver(mailbox)
            Workload.objects.filter(mailbox__in=[ada, ben]).update(next_run_at=now[0])
        now[0] += timedelta(minutes=1)
        return result

    engine.CYCLES[INCOMING] = cycle  # the fixture puts it back
    Workload.objects.exclude(mailbox=backlog).update(next_run_at=LATER)

    engine.work(
        lambda: now[0], holder="here:1", stopping=lambda: False, detach=site.detach, threads=9
    )

    assert site.cycles[0] == backlog.name
    assert set(site.cycles[1:3]) == {ada.name, ben.name}
    assert site.cycles[3:] == [backlog.name, backlog.name]
    assert SyncItem.objects.filter(state=ItemState.TRACKED).count() == 7


def test_of_much_that_is_new_other_workers_have_their_part(site):
    mailboxes = [site.add(f"q{number}") for number in range(polling.KEPT + 3)]
    for mailbox in mailboxes:
        site.deliver(mailbox)
    left: list[int] = []

    def cycle(context, token, **options):
        free = Workload.objects.filter(operation=INCOMING, lease_token=None, next_run_at=NOW)
        left.append(free.filter(idle_cycles=0).count())
        return site.cycle(context, token, **options)

    engine.CYCLES[INCOMING] = cycle
    tally = site.run()

    assert left[0] == 3  # given back before the first cycle begins
    assert OrmQ.objects.count() == 1
    assert (tally.items, tally.failed) == (len(mailboxes), 0)
    glances = [calls for mailbox in mailboxes for calls in site.calls(mailbox) if "glance" in calls]
    assert len(glances) == len(mailboxes)  # nobody twice


@ONCE
def test_what_only_a_person_asked_for_goes_first(site):
    first, asked = site.add("first"), site.add("asked")
    site.deliver(first)
    asked.workloads.update(run_requested_at=LATER)
    site.run()
    assert site.cycles == [asked.name, first.name]


def test_a_lease_that_was_lost_meanwhile_changes_nothing(site):
    ada, ben = site.add("ada"), site.add("ben")

    def detach(mailbox: Mailbox, *_: object) -> AtHand:
        if mailbox == ada:
            Workload.objects.filter(mailbox=ada).update(lease_token="0" * 32, lease_holder="there")
        return site.detach(mailbox)

    tally = site.run(detach=detach)
    assert (tally.runs, tally.failed) == (2, 1)
    assert (row_of(ada).lease_holder, row_of(ada).idle_cycles) == ("there", 1)
    assert row_of(ben).idle_cycles == 2


@ONCE
def test_without_threads_each_has_its_turn(site):
    for name in ("ada", "ben"):
        site.add(name)
    assert site.run(threads=0).runs == 2
    assert len(site.cycles) == 2
