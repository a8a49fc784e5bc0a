"""Bad servers, seen from the whole engine: the fault is named with its cure, it stays with its own
workload, and once it is gone everything arrives exactly once."""

import logging
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes import choices
from mailboxes.causes import cause_of
from mailboxes.choices import Operation, TraceLevel
from mailboxes.conditions import explain
from mailboxes.models import EmailServerProfile, Mailbox, TraceLog
from serversync import outbox, testing
from serversync.choices import ActionState, SubmissionState, WorkloadState
from serversync.engine import Report, Tally
from serversync.models import LearnedLimit, ServerAction, Submission, SyncItem, Workload
from serversync.sandbox.certificates import Flaw
from serversync.sandbox.faults import Fault, Kind
from serversync.sandbox.servers import Sandbox, running_sandbox
from tests.integration.serversync.connected import (
    INCOMING,
    LONG_MS,
    OUTGOING,
    at,
    logs_in,
    only,
    profile_at,
    run_due,
    write,
)
from tests.integration.serversync.cycles import (
    NOW,
    message,
    organization,
    queue_mailbox,
    user_mailbox,
)
from tests.servers.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

SUCCESS, FAILURE = choices.TestStatus.SUCCESS, choices.TestStatus.FAILURE
PASSWORD = "secret-of-all"
SHORT_MS = 300  # for servers that never answer
ACCOUNTS = {f"{name}@example.com": PASSWORD for name in ("ada", "ben", "cleo", "dora")}
PROTOCOLS = ("pop3", "imap", "smtp")
FOREIGN_PORT = {"pop3": "imaps", "imap": "pop3s", "smtp": "imaps"}
CUSTOMER = "cleo@customer.example"


def sandbox(flaw: Flaw = Flaw.NONE):
    return running_sandbox(accounts=ACCOUNTS, local_domains=("example.com",), flaw=flaw)


@pytest.fixture(scope="module")
def sick() -> Iterator[Sandbox]:
    with sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def well() -> Iterator[Sandbox]:
    with sandbox() as running:
        yield running


@pytest.fixture(scope="module")
def flawed() -> Iterator[dict[Flaw, Sandbox]]:
    with (
        sandbox(Flaw.EXPIRED) as expired,
        sandbox(Flaw.FOREIGN) as foreign,
        sandbox(Flaw.WRONG_NAME) as wrong_name,
    ):
        yield {Flaw.EXPIRED: expired, Flaw.FOREIGN: foreign, Flaw.WRONG_NAME: wrong_name}


@pytest.fixture(autouse=True)
def no_such_name(monkeypatch) -> None:
    """Names are not asked for on the network of whoever runs the tests."""
    resolve = socket.getaddrinfo

    def local(host, *arguments, **options):
        if host == "nowhere.example.com":
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return resolve(host, *arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", local)


@dataclass
class Scene:
    """Ada's mailbox has one side at a server that a test makes sick; Dora's next to it is well."""

    protocol: str
    sick: Sandbox
    well: Sandbox
    flawed: dict[Flaw, Sandbox]
    mailbox: Mailbox = field(init=False)
    neighbour: Mailbox = field(init=False)

    def __post_init__(self) -> None:
        organization(allow_unresolved_parties_on_email_send=True, generate_alerts_for_warnings=True)
        for server in (self.sick, self.well):
            server.faults.clear()
            server.sent.clear()
            for address in ACCOUNTS:
                server.store.remove(address, "INBOX", server.store.uids(address))
        if self.operation == INCOMING:
            ada_at = profile_at(self.sick, self.well, self.protocol, name="Sick")
        else:
            ada_at = profile_at(self.well, self.sick, name="Sick")
        healthy = profile_at(self.well, self.well, name="Well")
        self.mailbox = self.open("ada", ada_at)
        self.neighbour = logs_in(user_mailbox("dora", email_server_profile=healthy), PASSWORD)
        self.well.deliver("dora@example.com", message(message_id="dora@customer.example"))
        only(self.neighbour, INCOMING)

    def open(self, name: str, profile: EmailServerProfile) -> Mailbox:
        mailbox = logs_in(user_mailbox(name, email_server_profile=profile), PASSWORD)
        if self.operation == OUTGOING:
            for _number in range(3):
                write(mailbox, CUSTOMER)
        else:
            for number in range(3):
                mime = message(message_id=f"{name}-{number}@customer.example")
                self.sick.deliver(mailbox.email_address, mime)
        return only(mailbox, self.operation)

    @property
    def operation(self) -> Operation:
        return OUTGOING if self.protocol == "smtp" else INCOMING

    @property
    def side(self) -> str:
        return self.operation.name.lower()

    @property
    def profile(self) -> EmailServerProfile:
        return EmailServerProfile.objects.get(name="Sick")

    @property
    def row(self) -> Workload:
        return Workload.objects.get(mailbox=self.mailbox, operation=self.operation)

    def configure(self, **columns: object) -> None:
        EmailServerProfile.objects.filter(name="Sick").update(**columns)

    def cure(self) -> None:
        """The profile is right and the server well."""
        self.sick.faults.clear()
        self.configure(
            **at(self.side, self.sick, f"{self.protocol}s"),
            **{f"{self.side}_uses_ssl": True},
            timeout_mailbox_connection_after_amount=LONG_MS,
        )
        self.set_password(PASSWORD)

    def add(self, fault: Fault) -> None:
        # After DATA and no 354, both sides wait for each other.
        if fault.kind == Kind.HANG or fault.command == "DATA":
            self.configure(timeout_mailbox_connection_after_amount=SHORT_MS)
        self.sick.faults.add(fault)

    def set_password(self, password: str) -> None:
        """What the sick server asks of its accounts."""
        for address in ACCOUNTS:
            self.sick.store.add_account(address, password)

    def run(self, now: datetime = NOW) -> Tally:
        return run_due(now)

    def test(self, now: datetime = NOW) -> testing.TestReport:
        return testing.test_mailbox(self.mailbox, clock=lambda: now)

    def report(self, tally: Tally) -> Report:
        return next(one for one in tally.reports if one.mailbox == self.mailbox.name)

    def open_alerts(self) -> list[TraceLog]:
        keys = [str(self.mailbox.pk), str(self.profile.pk)]
        rows = TraceLog.objects.filter(subject_key__in=keys, closed_on__isnull=True)
        return list(rows.exclude(level=TraceLevel.INFORMATION))

    def assert_nothing_happened(self) -> None:
        """Neither stored nor sent, and nothing given up."""
        assert not SyncItem.objects.filter(mailbox=self.mailbox).exists()
        assert self.sick.sent == []
        pending = Email.objects.filter(sender_mailbox=self.mailbox)
        assert {(email.status_code, email.delivery_attempts) for email in pending} <= {
            (EmailStatus.PENDING_SEND, 0)
        }

    def assert_everything_happened_once(self) -> None:
        if self.operation == INCOMING:
            items = SyncItem.objects.filter(mailbox=self.mailbox)
            assert [item.state for item in items] == ["tracked"] * 3
            stored = Email.objects.filter(receiving_mailbox=self.mailbox)
            expected = sorted(f"ada-{number}@customer.example" for number in range(3))
            assert sorted(stored.values_list("message_id", flat=True)) == expected
            return
        ours = Email.objects.filter(sender_mailbox=self.mailbox)
        assert [email.status_code for email in ours] == [EmailStatus.SENT] * 3
        assert [self.times_sent(email) for email in ours] == [1] * 3

    def times_sent(self, email: Email) -> int:
        """How often the server took it."""
        identity = f"<{email.message_id}>".encode()
        return sum(identity in mime for _from, to, mime in self.sick.sent if to == (CUSTOMER,))

    def assert_the_neighbour_is_well(self) -> None:
        row = self.neighbour.workloads.get(operation=INCOMING)
        assert (row.state, row.last_error_code) == (WorkloadState.READY, "")
        assert row.last_success_at == NOW
        assert SyncItem.objects.get(mailbox=self.neighbour).state == "tracked"


@pytest.fixture(params=PROTOCOLS)
def scene(request, sick, well, flawed) -> Scene:
    return Scene(request.param, sick, well, flawed)


# -- the table of faults ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """A fault, by a profile that is wrong or a server that is; `code` by protocol where they differ.

    `step`: where Test & Enable finds it. `protocols`: who can have it.
    """

    code: str | dict[str, str]
    permanent: bool
    step: str
    protocols: tuple[str, ...] = PROTOCOLS
    columns: dict[str, object] = field(default_factory=dict)
    port: str = ""
    flaw: Flaw = Flaw.NONE
    password: str = PASSWORD  # the one that the server wants
    faults: dict[str, Fault] = field(default_factory=dict)

    def spoil(self, scene: Scene) -> None:
        side, service = scene.side, scene.protocol
        columns = {f"{side}_{name}": value for name, value in self.columns.items()}
        if self.port == "closed":
            columns[f"{side}_port_number"] = free_port()
        elif self.port == "foreign":
            columns |= at(side, scene.sick, FOREIGN_PORT[service])
        elif self.port == "plain":  # spoken to as if TLS began at once
            columns[f"{side}_port_number"] = scene.sick.ports[service]
        elif self.port == "tls":  # spoken to as if STARTTLS came first
            columns |= at(side, scene.sick, service)
            columns[f"{side}_port_number"] = scene.sick.ports[f"{service}s"]
            columns["timeout_mailbox_connection_after_amount"] = 2 * SHORT_MS
        elif self.port == "starttls":
            columns |= at(side, scene.sick, service)
        if self.flaw:
            columns |= at(side, scene.flawed[self.flaw], f"{service}s")
        scene.configure(**columns)
        scene.set_password(self.password)
        if fault := self.faults.get(service) or self.faults.get("any"):
            scene.add(fault)

    def code_for(self, protocol: str) -> str:
        return self.code if isinstance(self.code, str) else self.code[protocol]


def login_code(other: str) -> dict[str, str]:
    return {"pop3": other, "imap": other, "smtp": "OutgoingEmailAuthenticationError"}


def at_greeting(kind: Kind) -> dict[str, Fault]:
    return {"any": Fault(kind=kind, command="CONNECT")}


def replies(**answers: str) -> dict[str, Fault]:
    """protocol="COMMAND answer" -> the server says so instead."""
    faults = {}
    for protocol, text in answers.items():
        command, _, answer = text.partition(" ")
        faults[protocol] = Fault(
            kind=Kind.REPLY, protocol=protocol, command=command, argument=answer
        )
    return faults


CASES = {
    "unknown host": Case(
        "HostNotFound", True, "resolve", columns={"server_location": "nowhere.example.com"}
    ),
    "closed port": Case("HostNotFound", False, "connect", port="closed"),
    "port of another protocol": Case(
        {"pop3": "WrongProtocol", "imap": "WrongProtocol", "smtp": "SmtpSyntax"},
        True,
        "greet",
        port="foreign",
    ),
    "plain port spoken to in TLS": Case("SecureConnectionFailed", True, "tls", port="plain"),
    "TLS port spoken to plainly": Case("SecureConnectionFailed", True, "greet", port="tls"),
    "no STARTTLS offered": Case(
        "SecureConnectionFailed",
        True,
        "tls",
        port="starttls",
        faults={
            "pop3": Fault(kind=Kind.HIDE, protocol="pop3", argument="STLS"),
            "imap": Fault(kind=Kind.HIDE, protocol="imap", argument="STARTTLS"),
            "smtp": Fault(kind=Kind.HIDE, protocol="smtp", argument="STARTTLS"),
        },
    ),
    "no TLS wanted": Case("InsecureConnection", True, "settings", columns={"uses_ssl": False}),
    "expired certificate": Case("CertificateRejected", True, "tls", flaw=Flaw.EXPIRED),
    "certificate of a stranger": Case("CertificateRejected", True, "tls", flaw=Flaw.FOREIGN),
    "certificate for another name": Case("CertificateRejected", True, "tls", flaw=Flaw.WRONG_NAME),
    "wrong password": Case(login_code("InvalidCredentials"), True, "login", password="not-this"),
    "server that hangs": Case("SocketTimedOut", False, "greet", faults=at_greeting(Kind.HANG)),
    "server that hangs in the handshake": Case(
        "SocketTimedOut", False, "tls", faults={"any": Fault(kind=Kind.HANG, command="TLS")}
    ),
    "server that hangs up": Case(
        "ServiceUnavailable", False, "greet", faults=at_greeting(Kind.DROP)
    ),
    "server that talks nonsense": Case(
        "UnexpectedReply", False, "greet", faults=at_greeting(Kind.GARBAGE)
    ),
    "busy server": Case(
        "ServiceUnavailable",
        False,
        "login",
        faults=replies(
            pop3="PASS -ERR [IN-USE] Another session has it",
            imap="LOGIN NO [UNAVAILABLE] Try later",
            smtp="CONNECT 421 4.7.0 Too many connections",
        ),
    ),
    "repeating UIDLs": Case(
        "UidlUnusable", True, "list", ("pop3",), faults={"pop3": Fault(kind=Kind.REPEAT_UIDL)}
    ),
    "no UIDLs": Case(
        "UidlUnusable",
        True,
        "list",
        ("pop3",),
        faults={"pop3": Fault(kind=Kind.HIDE, argument="UIDL")},
    ),
    "no inbox": Case(
        "FolderMissing",
        True,
        "open",
        ("imap",),
        faults=replies(imap="EXAMINE NO [NONEXISTENT] No such folder"),
    ),
    "block list": Case(
        "Forbidden",
        True,
        "greet",
        ("smtp",),
        faults=replies(smtp="CONNECT 554 5.7.1 You are on a block list"),
    ),
    "daily limit": Case(
        "ErrorSubmissionQuotaExceeded",
        False,
        "send",
        ("smtp",),
        faults=replies(smtp="MAIL 550 5.4.5 Daily user sending quota exceeded"),
    ),
    "sender's mailbox full": Case(
        "ErrorSubmissionQuotaExceeded",
        False,
        "send",
        ("smtp",),
        faults=replies(smtp="MAIL 552 5.2.2 Mailbox full"),
    ),
    "daily limit after the content": Case(
        "ErrorSubmissionQuotaExceeded",
        False,
        "send",
        ("smtp",),
        faults=replies(smtp="CONTENT 550 5.4.5 Daily user sending quota exceeded"),
    ),
    "421 after the content": Case(
        "ServiceUnavailable",
        False,
        "send",
        ("smtp",),
        faults=replies(smtp="CONTENT 421 4.3.2 Shutting down"),
    ),
    "421 in the middle": Case(
        "ServiceUnavailable",
        False,
        "send",
        ("smtp",),
        faults=replies(smtp="RCPT 421 4.3.2 Shutting down"),
    ),
}
# Every fault over every protocol; on the second database each fault over one of them, in turn.
ONCE = pytest.mark.database("sqlite")
ALL = [
    pytest.param(
        protocol,
        case,
        id=f"{protocol}: {name}",
        marks=() if protocol == case.protocols[place % len(case.protocols)] else ONCE,
    )
    for place, (name, case) in enumerate(CASES.items())
    for protocol in case.protocols
]


def assert_told_without_a_traceback(caplog) -> None:
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not [record for record in caplog.records if record.exc_info]


# -- the engine ------------------------------------------------------------------------------------

TRANSIENT = [each for each in ALL if not each.values[1].permanent]
PERMANENT = [each for each in ALL if each.values[1].permanent]


def fall_sick(scene: Scene, case: Case) -> TraceLog:
    """One run with the fault: named with its cure, told once, and with no effect on others. Returns
    the alert."""
    case.spoil(scene)

    tally = scene.run()

    report, code = scene.report(tally), case.code_for(scene.protocol)
    row = scene.row
    assert (report.ok, report.code, row.last_error_code) == (False, code, code)
    assert str(explain(code).meaning) % {"folder": "…"} in report.text
    assert str(explain(code).advice) in report.text
    assert PASSWORD not in report.text + row.last_error_text
    assert (row.consecutive_failures, row.lease_token) == (1, None)
    scene.assert_nothing_happened()
    assert (tally.runs, tally.failed) == (2, 1)
    scene.assert_the_neighbour_is_well()
    (alert,) = scene.open_alerts()
    assert (alert.code, alert.occurrences) == (code, 1)
    return alert


@pytest.mark.parametrize("scene, case", TRANSIENT, indirect=["scene"])
@pytest.mark.rule("R8.3", "R8.4", "R8.10", "R8.11", "R8.20", "R9.5", "R5.13", "R5.14")
def test_a_passing_fault_is_tried_again_told_once_and_heals_by_itself(scene: Scene, case, caplog):
    alert = fall_sick(scene, case)
    row = scene.row
    assert (row.enabled, row.state, row.state_code) == (True, WorkloadState.READY, "")
    # A limit that the server named teaches longer pauses (R5.14).
    of_limit = LearnedLimit.objects.exists()
    least, most = (3600, 3600) if of_limit else (225, 375)
    assert timedelta(seconds=least) <= row.postponed_until - NOW <= timedelta(seconds=most)
    assert alert.level == TraceLevel.WARNING

    again = row.next_run_at
    scene.run(again)

    assert scene.row.consecutive_failures == 2
    assert timedelta(seconds=2 * least) <= scene.row.next_run_at - again
    assert scene.row.next_run_at - again <= timedelta(seconds=2 * most)
    (repeated,) = scene.open_alerts()
    assert (repeated.pk, repeated.occurrences, repeated.last_seen_on) == (alert.pk, 2, again)

    scene.cure()
    scene.run(scene.row.next_run_at)

    scene.assert_everything_happened_once()
    assert scene.open_alerts() == []
    assert (scene.row.consecutive_failures, scene.row.last_error_code) == (0, "")
    assert_told_without_a_traceback(caplog)


@pytest.mark.parametrize("scene, case", PERMANENT, indirect=["scene"])
@pytest.mark.rule("R8.2", "R8.4", "R8.5", "R8.11", "R8.20", "R2.16", "R5.13")
def test_a_lasting_fault_disables_until_test_and_enable_and_then_nothing_is_lost(
    scene: Scene, case, caplog
):
    alert = fall_sick(scene, case)
    row = scene.row
    assert (row.enabled, row.state) == (False, WorkloadState.DISABLED)
    assert (row.state_code, alert.level) == (alert.code, TraceLevel.ERROR)

    scene.cure()
    much_later = NOW + timedelta(days=3)
    scene.run(much_later)
    scene.assert_nothing_happened()

    assert scene.test(much_later).ok
    scene.run(much_later)

    scene.assert_everything_happened_once()
    assert scene.open_alerts() == []
    assert_told_without_a_traceback(caplog)


# -- at each command -------------------------------------------------------------------------------

COMMANDS = {
    "pop3": ("CONNECT", "CAPA", "USER", "PASS", "UIDL", "LIST", "RETR"),
    "imap": ("CONNECT", "CAPABILITY", "LOGIN", "EXAMINE", "UID FETCH"),
    "smtp": ("CONNECT", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"),
}
EACH_COMMAND = [
    pytest.param(protocol, kind, id=f"{protocol}: {kind}")
    for protocol in PROTOCOLS
    for kind in (Kind.DROP, Kind.DROP_AFTER, Kind.TRUNCATE, Kind.GARBAGE, Kind.HANG)
]


@pytest.mark.parametrize("scene, kind", EACH_COMMAND, indirect=["scene"])
@pytest.mark.rule("R8.3", "R9.10")
def test_at_each_command_a_failing_line_loses_and_doubles_nothing(scene: Scene, kind, caplog):
    now = NOW
    for command in COMMANDS[scene.protocol]:
        scene.add(Fault(kind=kind, protocol=scene.protocol, command=command))

        report = scene.report(scene.run(now))

        assert not report.ok, command
        assert not explain(report.code).permanent, (command, report.code)
        scene.assert_nothing_happened()
        scene.cure()
        now = scene.row.next_run_at
    assert_told_without_a_traceback(caplog)

    scene.run(now)

    scene.assert_everything_happened_once()
    assert scene.open_alerts() == []


@pytest.mark.parametrize("scene", ["smtp"], indirect=True)
@pytest.mark.parametrize("kind", [Kind.DROP, Kind.DROP_AFTER, Kind.GARBAGE, Kind.HANG])
@pytest.mark.rule("R5.17")
def test_after_handing_over_an_answer_that_never_came_waits_for_a_person(
    scene: Scene, kind, caplog
):
    scene.add(Fault(kind=kind, protocol="smtp", command="CONTENT", times=1))

    assert scene.report(scene.run()).ok  # it is one message's trouble, and the others have left

    unknown = Submission.objects.get(state=SubmissionState.UNKNOWN)
    (alert,) = scene.open_alerts()
    assert (alert.code, alert.object_key) == ("DeliveryUnknown", f"email:{unknown.email_id}")
    for days in (1, 2, 3):
        scene.run(NOW + timedelta(days=days))
    taken = kind == Kind.DROP_AFTER
    assert scene.times_sent(unknown.email) == taken
    assert len(scene.sick.sent) == 2 + taken

    person = scene.mailbox.regarding_user
    outbox.decide_unknown(unknown, left=taken, actor=person, now=NOW)
    scene.run(NOW + timedelta(days=4))
    scene.assert_everything_happened_once()
    assert scene.open_alerts() == []
    assert_told_without_a_traceback(caplog)


def delivered_to_queue(scene: Scene) -> Mailbox:
    """A queue whose mail is deleted after processing, at the sick server."""
    queue = queue_mailbox("ben", email_server_profile=scene.profile, process_and_delete_emails=True)
    for number in range(3):
        mime = message(message_id=f"ben-{number}@customer.example", to="ben@example.com")
        scene.sick.deliver("ben@example.com", mime)
    return only(logs_in(queue, PASSWORD), INCOMING)


@pytest.mark.parametrize("kind", [Kind.DROP, Kind.DROP_AFTER, Kind.GARBAGE, Kind.HANG])
@pytest.mark.parametrize(
    "scene, command",
    [("pop3", "DELE"), ("pop3", "QUIT"), ("imap", "UID STORE"), ("imap", "UID EXPUNGE")],
    indirect=["scene"],
)
@pytest.mark.rule("R3.66", "R9.10")
def test_a_line_that_fails_while_deleting_loses_no_mail_and_deletes_it_later(
    scene: Scene, command, kind, caplog
):
    queue = delivered_to_queue(scene)
    scene.add(Fault(kind=kind, command=command, account="ben@example.com"))

    scene.run()

    assert [item.state for item in SyncItem.objects.filter(mailbox=queue)] == ["tracked"] * 3
    assert ServerAction.objects.filter(state=ActionState.PENDING).count() == 3
    scene.cure()
    scene.run(NOW + timedelta(days=1))
    assert scene.sick.store.messages("ben@example.com") == []
    assert set(ServerAction.objects.values_list("state", flat=True)) == {ActionState.DONE}
    assert Email.objects.filter(receiving_mailbox=queue).count() == 3
    assert_told_without_a_traceback(caplog)


@pytest.mark.parametrize("scene", ["pop3", "imap"], indirect=True)
@pytest.mark.rule("R3.67")
def test_a_message_that_breaks_the_line_each_time_costs_only_itself(scene: Scene, caplog):
    uids = [str(uid) for uid in scene.sick.store.uids(scene.mailbox.email_address)]
    asked = {
        "pop3": [("RETR", "2")],
        "imap": [
            ("UID FETCH", f"{','.join(uids)} (UID BODY"),
            ("UID FETCH", f"{uids[1]} (UID BODY"),
        ],
    }
    for command, text in asked[scene.protocol]:
        scene.add(Fault(kind=Kind.DROP, command=command, text=text))

    assert scene.report(scene.run()).ok

    states = SyncItem.objects.filter(mailbox=scene.mailbox).values_list("state", flat=True)
    assert sorted(states) == ["retrying", "tracked", "tracked"]
    scene.cure()
    scene.run(NOW + timedelta(days=1))
    scene.assert_everything_happened_once()
    assert_told_without_a_traceback(caplog)


# -- one outage, many mailboxes --------------------------------------------------------------------


@pytest.mark.parametrize("scene", ["pop3", "imap"], indirect=True)
@pytest.mark.parametrize("strict", [False, True], ids=["ours", "strict parity"])
@pytest.mark.parametrize("name", ["server that hangs up", "expired certificate"])
@pytest.mark.rule("R8.5", "R8.12")
def test_an_outage_is_one_alert_on_the_profile_or_one_each_under_strict_parity(
    scene: Scene, name, strict
):
    organization(strict_parity=strict)
    mailboxes = [scene.mailbox, scene.open("ben", scene.profile), scene.open("cleo", scene.profile)]
    CASES[name].spoil(scene)

    scene.run()

    open_now = TraceLog.objects.filter(closed_on__isnull=True)
    subjects = sorted(row.subject_key for row in open_now)
    if strict:
        assert subjects == sorted(str(mailbox.pk) for mailbox in mailboxes)
    else:
        assert subjects == [str(scene.profile.pk)]
        assert open_now.get().occurrences == 3


@pytest.mark.parametrize("scene", ["imap"], indirect=True)
@pytest.mark.rule("R8.5")
def test_a_long_outage_pauses_and_ends_by_itself_for_every_mailbox(scene: Scene):
    organization(max_mailbox_transient_failures=3)
    scene.open("ben", scene.profile)
    CASES["closed port"].spoil(scene)
    now = NOW
    for _ in range(3):
        scene.run(now)
        now += timedelta(hours=1)
    assert (scene.row.state, scene.row.enabled) == (WorkloadState.PAUSED, True)
    (alert,) = scene.open_alerts()
    assert (alert.code, alert.level) == ("HostNotFound", TraceLevel.ERROR)

    scene.cure()
    tally = scene.run(now)

    assert tally.failed == 0
    scene.assert_everything_happened_once()
    assert scene.open_alerts() == []
    assert set(Workload.objects.values_list("state", flat=True)) == {WorkloadState.READY}


@pytest.mark.parametrize("scene", ["pop3"], indirect=True)
@pytest.mark.rule("R8.5")
def test_a_lasting_outage_stays_told_until_its_last_mailbox_is_enabled_again(scene: Scene):
    mailboxes = [scene.mailbox, scene.open("ben", scene.profile), scene.open("cleo", scene.profile)]
    CASES["expired certificate"].spoil(scene)
    scene.run()
    scene.cure()

    told = []
    for mailbox in mailboxes:
        testing.test_mailbox(mailbox, clock=lambda: NOW)
        told.append([alert.code for alert in scene.open_alerts()])

    assert told == [["CertificateRejected"], ["CertificateRejected"], []]


# -- Test & Enable ---------------------------------------------------------------------------------


#: Each fault by one protocol in turn: the cycles above meet it by all of them.
IN_TURN = [
    pytest.param(case.protocols[place % len(case.protocols)], case, id=name)
    for place, (name, case) in enumerate(CASES.items())
]


@pytest.mark.parametrize("scene, case", IN_TURN, indirect=["scene"])
@pytest.mark.rule("R2.13", "R2.17")
def test_the_test_names_the_failing_step_its_cause_and_its_cure(scene: Scene, case, caplog):
    scene.mailbox.workloads.exclude(operation=Operation.ACT).update(enabled=True, tested_at=None)
    case.spoil(scene)

    report = scene.test()
    while any(result.status is None for result in report.results):
        report = scene.test(scene.row.test_postponed_until)

    row, code = scene.row, case.code_for(scene.protocol)
    assert not report.ok
    assert (row.enabled, row.test_status, row.state_code) == (False, FAILURE, code)
    *before, failed = row.test_steps
    assert (failed["step"], failed["ok"], failed["code"]) == (case.step, False, code)
    words = cause_of(code, fault=failed.get("fault"))
    assert failed["text"]
    assert (failed["cause"], failed["cure"]) == (words.meaning, words.advice) and words.advice
    assert all(step["ok"] for step in before)
    assert all(isinstance(step["ms"], int) and step["ms"] >= 0 for step in row.test_steps)
    assert PASSWORD not in str(row.test_steps)
    other = scene.mailbox.workloads.get(
        operation=OUTGOING if row.operation == INCOMING else INCOMING
    )
    assert (other.enabled, other.test_status) == (True, SUCCESS)
    subjects = {str(scene.mailbox.pk), str(scene.profile.pk)}
    rows = TraceLog.objects.filter(code=code, level=TraceLevel.ERROR, closed_on__isnull=True)
    assert {row.subject_key for row in rows} == subjects
    assert_told_without_a_traceback(caplog)
