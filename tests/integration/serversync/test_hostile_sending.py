"""Sending through servers that fail at every step, by workers that are killed and paused anywhere.

Several mailboxes send in rounds, over the real cycle, engine and adapters. In each round some mail is
added, some connections go wrong, some workers are killed at a random boundary, and some are paused
until a successor has done the work. In the end the servers are honest, a person decides what nobody
can know, and the books are balanced: what each recipient got against what each email says.

SENDING_EXAMPLES=5000 sends that many, SENDING_SEED=7 draws the same course again (but for the time that
machines take); without them, some two hundred by the same seed each time.
"""

import os
import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection, transaction

from activities import blobs
from activities.choices import (
    ActivityState,
    DeliveryResult,
    Direction,
    EmailStatus,
    ParticipationType,
)
from activities.identity import message_key
from activities.mime.parse import parse
from activities.models import ActivityParty, ActivityPointer, Email
from activities.store import NewEmail, NewParty, write_emails
from mailboxes.choices import (
    AuthenticationProtocol,
    CredentialRetrieval,
    Operation,
    ServerType,
    TlsMode,
    WorkloadState,
)
from mailboxes.connect import outgoing_server
from mailboxes.models import EmailServerProfile, Mailbox, SystemUser, TraceLog, uuid7
from serversync import engine, outbox
from serversync.choices import SubmissionState
from serversync.models import Submission, Workload
from serversync.sandbox.ews.faults import PROTOCOL
from serversync.sandbox.faults import Fault, Kind
from serversync.sandbox.servers import Sandbox, running_sandbox
from serversync.send import send
from tests.integration.serversync.connected import logs_in
from tests.integration.serversync.cycles import NOW, organization, profile, user_mailbox
from tests.integration.serversync.killing import (
    Boundaries,
    Watched,
    ended,
    forked,
    go_on,
    watching_lines,
)
from tests.servers.hostile import EVILS, HostileServer, Plan

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(7200 if "SENDING_EXAMPLES" in os.environ else 120),
]

SEED = int(os.environ.get("SENDING_SEED", "5"))
EXAMPLES = int(os.environ.get("SENDING_EXAMPLES", "0"))
PASSWORD = "quite a secret"
IMPATIENT_MS, PATIENT_MS = 300, 20_000
OUTGOING = Operation.OUTGOING
BOUNDARIES = 12  # of one message, somewhat fewer than there are


@dataclass
class Party:
    """One mailbox, the server that it sends through, and how that goes wrong."""

    mailbox: Mailbox
    plan: Callable[[random.Random], None]
    honest: Callable[[], None]


@dataclass
class Counts:
    rounds: int = 0
    emails: int = 0
    kills: int = 0
    pauses: int = 0
    ends: Counter[str] = field(default_factory=Counter)


class World:
    """The course of events. Subclasses know the server."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = NOW
        self.counts = Counts()
        self.parties: list[Party] = []

    # -- what servers know

    def took(self) -> dict[str, Counter[str]]:
        raise NotImplementedError

    def quiet(self) -> None:
        raise NotImplementedError

    # -- a round

    def round(self, mails: int) -> None:
        self.counts.rounds += 1
        self.now += timedelta(minutes=11)
        self._repair()
        for party in self.parties:
            self._write(party.mailbox, self.random.randint(1, 2 * mails // len(self.parties) - 1))
            party.plan(self.random)
        children = {self._start(party): party for party in self.parties}
        try:
            for child in list(children):
                self._wait(child, children[child])
                del children[child]
        finally:
            for child in children:  # a test that failed leaves nobody behind
                os.kill(child, signal.SIGKILL)
        self.quiet()
        self.check()
        self._check_hand_overs()

    def _start(self, party: Party) -> int:
        """One worker, which may be killed or paused."""
        hit = self.random.random()
        waiting = self._waiting().filter(sender_mailbox=party.mailbox).count()
        at = self.random.randint(1, 40 + BOUNDARIES * waiting) if hit < 0.6 else 0
        return forked(Boundaries(at, pauses=hit < 0.1), self._work(party.mailbox, self.now))

    def _wait(self, child: int, party: Party) -> None:
        fate = ended(child)
        if fate == "paused":
            self.counts.pauses += 1
            self._overtake(party)
            fate = go_on(child)
        self.counts.kills += fate == "killed"

    def _overtake(self, party: Party) -> None:
        """The lease of the paused worker runs out, and another one does its work."""
        self.now += timedelta(minutes=6)
        assert ended(forked(Boundaries(0), self._work(party.mailbox, self.now))) == "finished"

    def _work(self, mailbox: Mailbox, now: datetime) -> Callable[[Boundaries], None]:
        def work(boundaries: Boundaries) -> None:
            def connect(*args: Any, **kwargs: Any) -> Watched:
                return Watched(outgoing_server(*args, **kwargs), boundaries)

            def cycle(context: Any, token: Any, *, clock: Any) -> Any:
                return send(context, token, clock=clock, connect=connect)

            engine.CYCLES[OUTGOING] = cycle  # this process ends with it
            with watching_lines(boundaries):
                report = engine.run_one(mailbox, OUTGOING, force=True, clock=lambda: now)
            assert report.code != engine.INTERNAL, report.text

        return work

    def _repair(self) -> None:
        """An administrator enables what a refused login has disabled, or kills have worn out."""
        Workload.objects.update(
            enabled=True,
            state=WorkloadState.READY,
            state_code="",
            consecutive_failures=0,
            postponed_until=None,
        )

    def _write(self, mailbox: Mailbox, number: int) -> None:
        self.counts.emails += number
        user = mailbox.regarding_user
        rows = [self._email(mailbox, user) for _number in range(number)]
        with transaction.atomic():
            write_emails(rows, blobs.Staged(), self.now)
            ActivityPointer.objects.filter(pk__in=[row.id for row in rows]).update(
                state_code=ActivityState.COMPLETED
            )

    def _email(self, mailbox: Mailbox, user: SystemUser) -> NewEmail:
        """In the send queue, to one, two or three people."""
        key = uuid7()
        message_id = f"{key.hex}@example.com"
        to = [f"{name}@customer.example" for name in ("cleo", "dora", "emil")]
        kind = ContentType.objects.get_for_model(SystemUser).pk
        sender = NewParty(
            role=ParticipationType.SENDER,
            position=0,
            address=mailbox.email_address,
            type_id=kind,
            record_id=str(user.pk),
        )
        recipients = [
            NewParty(role=ParticipationType.TO, position=place, address=address)
            for place, address in enumerate(to[: self.random.randint(1, 3)])
        ]
        return NewEmail(
            id=key,
            subject="Offer",
            owning_user_id=user.pk,
            owning_team_id=None,
            sort_date=self.now,
            fields={
                "direction_code": Direction.OUTGOING,
                "status_code": EmailStatus.PENDING_SEND,
                "description": "<p>As discussed.</p>\n" * 20,
                "message_id": message_id,
                "message_id_dup_check": message_key(message_id, "", "", "", 0),
                "sender_mailbox_id": mailbox.pk,
                "submitted_at": self.now,
            },
            parties=(sender, *recipients),
        )

    # -- the end

    def settle(self) -> None:
        """Honest servers until nothing waits; then a person decides, and so on."""
        EmailServerProfile.objects.update(timeout_mailbox_connection_after_amount=PATIENT_MS)
        for party in self.parties:
            party.honest()
        self._drain()
        for row in self.unknown().filter(look_again_at=None).select_related("email", "mailbox"):
            self.decide(row)
        self._drain()
        self.check()

    def _drain(self) -> None:
        for _cycle in range(40):
            self.now += timedelta(hours=3)
            self._repair()
            for party in self.parties:
                report = engine.run_one(party.mailbox, OUTGOING, force=True, clock=lambda: self.now)
                assert report.ok, report.text
            looked_for = self.unknown().filter(look_again_at__isnull=False)
            if not self._waiting().exists() and not looked_for.exists():
                break
        self.quiet()

    def _waiting(self) -> Any:
        return Email.objects.filter(status_code=EmailStatus.PENDING_SEND)

    def decide(self, row: Submission) -> None:
        """The person asks a recipient."""
        self.counts.ends["decided by a person"] += 1
        left = bool(self.took().get(row.email.message_id))
        user = row.mailbox.regarding_user
        outbox.decide_unknown(row, left=left, actor=user, now=self.now)

    # -- the books

    def unknown(self) -> Any:
        return Submission.objects.filter(state=SubmissionState.UNKNOWN)

    def check(self) -> None:
        """At any time. A recipient never has anything twice, and an email never says more or less than
        what is so."""
        took = self.took()
        for got in took.values():
            assert set(got.values()) == {1}, got
        results = self._results()
        live = Submission.objects.filter(settled=False).values_list("email_id", flat=True)
        open_rows = set(live)
        for key, message_id, status in Email.objects.values_list("pk", "message_id", "status_code"):
            got = set(took.get(message_id, ()))
            accepted = {to for to, result in results[key] if result == DeliveryResult.ACCEPTED}
            if status == EmailStatus.SENDING:
                assert key in open_rows, "nobody looks after it"
            else:
                assert got == accepted, (EmailStatus(status).label, got, accepted)
            if status == EmailStatus.SENT:
                assert got
            if status == EmailStatus.FAILED:
                assert not got

    def _check_hand_overs(self) -> None:
        """A worker that is gone left one message at most between handing over and an answer."""
        left = Submission.objects.filter(state=SubmissionState.HANDED_OVER)
        assert set(Counter(left.values_list("mailbox_id", flat=True)).values()) <= {1}

    def _results(self) -> dict[Any, list[tuple[str, int]]]:
        results: dict[Any, list[tuple[str, int]]] = {}
        parties = ActivityParty.objects.exclude(
            participation_type_mask=ParticipationType.SENDER
        ).values_list("activity_id", "address_used", "delivery_result")
        for key, address, result in parties:
            results.setdefault(key, []).append((address, result))
        return results

    def balance(self) -> None:
        """After `settle`: all is sent, or has failed and says why."""
        statuses = Counter(Email.objects.values_list("status_code", flat=True))
        assert set(statuses) <= {EmailStatus.SENT, EmailStatus.FAILED}, statuses
        assert sum(statuses.values()) == self.counts.emails
        failed = Email.objects.filter(status_code=EmailStatus.FAILED)
        assert not failed.filter(last_error_code="").exists()
        open_alerts = TraceLog.objects.filter(code="DeliveryUnknown", closed_on=None)
        assert not open_alerts.exists()
        self.counts.ends |= Counter(
            {
                "sent": statuses[EmailStatus.SENT],
                "failed": statuses[EmailStatus.FAILED],
                "attempts": Submission.objects.count(),
                "delivered to recipients": sum(sum(got.values()) for got in self.took().values()),
            }
        )

    def told(self) -> dict[str, object]:
        """What else is counted."""
        raise NotImplementedError

    def report(self) -> str:
        counts = self.counts
        lines = [
            f"{type(self).__name__} on {connection.vendor}, seed {SEED}",
            f"rounds {counts.rounds}, emails {counts.emails}, workers killed {counts.kills}, "
            f"paused {counts.pauses}",
            ", ".join(f"{name} {count}" for name, count in sorted(counts.ends.items())),
            *(f"{name}: {value}" for name, value in self.told().items()),
            "doubled 0, lost 0",
        ]
        return "\n    ".join(["", *lines])


# -- SMTP

#: How late, at most, each step of a message goes wrong.
LAST = {"MAIL": 5, "RCPT": 9, "DATA": 5, "CONTENT": 90, "VERDICT": 5, "AFTERWARDS": 4, "RSET": 1}


class Smtp(World):
    """Each mailbox has a server of its own, so that its faults come in the order in which they are
    drawn."""

    def __init__(self, seed: int, servers: list[HostileServer], pem: str) -> None:
        super().__init__(seed)
        self.servers = servers
        self.most_unknown = 0
        for number, server in enumerate(servers):
            made = profile(
                name=f"hostile {number}",
                server_type=ServerType.IMAP_SMTP,
                outgoing_server_location="127.0.0.1",
                outgoing_port_number=server.port,
                outgoing_tls_mode=TlsMode.STARTTLS,
                timeout_mailbox_connection_after_amount=IMPATIENT_MS,
                ca_certificate=pem,
            )
            mailbox = logs_in(user_mailbox(f"user{number}", email_server_profile=made), PASSWORD)
            self.parties.append(Party(mailbox, self._planner(server), server.plans.clear))

    def _planner(self, server: HostileServer) -> Callable[[random.Random], None]:
        def plan(chance: random.Random) -> None:
            server.plans.clear()
            for _connection in range(4):
                count = chance.choice((0, 1, 2, 2))
                server.plans.append([self._one(chance) for _number in range(count)])

        return plan

    def _one(self, chance: random.Random) -> Plan:
        """Of a message's steps more often than of those of opening, which come but once."""
        step = chance.choice([*EVILS, *2 * [*LAST], "VERDICT"])
        return Plan(step, chance.randint(1, LAST.get(step, 1)), chance.choice(EVILS[step]))

    def took(self) -> dict[str, Counter[str]]:
        return {key: got for server in self.servers for key, got in server.took.items()}

    def quiet(self) -> None:
        for server in self.servers:
            server.quiet()

    def check(self) -> None:
        """Nobody can look here, so each unknown one stays so, and no two are of the same connection."""
        super().check()
        of = {row.email.message_id: row for row in self.unknown().select_related("email")}
        self.most_unknown = max(self.most_unknown, len(of))
        for server in self.servers:
            last = [max(server.seen[key]) for key in of if key in server.seen]
            assert len(last) == len(set(last))
        told = set(
            TraceLog.objects.filter(code="DeliveryUnknown", closed_on=None).values_list(
                "object_key", flat=True
            )
        )
        assert {f"email:{row.email_id}" for row in of.values()} <= told

    def told(self) -> dict[str, object]:
        struck: Counter[str] = Counter()
        for server in self.servers:
            for (step, _evil), times in server.struck.items():
                struck[step] += times
        return {
            "connections": sum(server.connections for server in self.servers),
            "transactions": sum(server.transactions for server in self.servers),
            "unknown at a time": self.most_unknown,
            "struck": ", ".join(f"{step} {times}" for step, times in sorted(struck.items())),
        }


@pytest.fixture
def hostile(authority) -> Iterator[list[HostileServer]]:
    servers = [HostileServer(authority.issue("127.0.0.1")) for _number in range(4)]
    for server in servers:
        server.__enter__()
    yield servers
    for server in servers:
        server.__exit__(None, None, None)


def play(world: World, emails: int, mails: int, capsys: Any) -> None:
    while world.counts.emails < emails:
        world.round(mails)
    world.settle()
    world.balance()
    with capsys.disabled():
        print(world.report())  # noqa: T201


@pytest.mark.rule("R5.13", "R5.17")
def test_hostile_smtp_servers(hostile, authority, capsys) -> None:
    organization(allow_unresolved_parties_on_email_send=True, maximum_email_delivery_attempts=100)
    world = Smtp(SEED, hostile, authority.pem)
    play(world, EXAMPLES or 160, 32, capsys)
    assert world.counts.kills and world.most_unknown, "no moment was hit that proves anything"


# -- Exchange

SAID = (
    (Kind.SOAP_FAULT, "ErrorServerBusy BackOffMilliseconds=1500"),
    (Kind.SOAP_FAULT, "ErrorInternalServerTransientError"),
    (Kind.SOAP_FAULT, "ErrorTimeoutExpired"),
    (Kind.STATUS, "503 Retry-After=30"),
    (Kind.STATUS, "500"),
    (Kind.REFUSE, "ErrorMailboxStoreUnavailable"),
    (Kind.REFUSE, "ErrorQuotaExceeded"),
    (Kind.REFUSE, "ErrorInvalidRecipients"),
)
FOUND = "Found in sent items"
MOST_HANGING = 6  # each keeps one of the server's threads until it ends
UNSAID = (Kind.HANG, Kind.DROP, Kind.DROP_AFTER, Kind.TRUNCATE, Kind.GARBAGE)


class Exchange(World):
    """Sent items tell what left, so that nobody has to decide."""

    def __init__(self, seed: int, sandbox: Sandbox) -> None:
        super().__init__(seed)
        self.sandbox = sandbox
        url = sandbox.exchange.url
        made = profile(
            server_type=ServerType.EXCHANGE_SERVER,
            incoming_server_location=url,
            outgoing_server_location=url,
            incoming_authentication_protocol=AuthenticationProtocol.BASIC,
            incoming_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE,
            timeout_mailbox_connection_after_amount=2 * IMPATIENT_MS,
            ca_certificate=sandbox.ca_pem,
        )
        for name in ("ada", "ben"):
            sandbox.exchange.add_account(f"{name}@example.com", PASSWORD)
            mailbox = logs_in(user_mailbox(name, email_server_profile=made), PASSWORD)
            self.parties.append(Party(mailbox, self._planner(mailbox), sandbox.faults.clear))

    def _planner(self, mailbox: Mailbox) -> Callable[[random.Random], None]:
        def plan(chance: random.Random) -> None:
            self._forget(mailbox)
            for _fault in range(chance.choice((0, 1, 2))):
                command = chance.choice(("CreateItem", "CreateItem", "GetFolder", "FindItem"))
                kind, argument = chance.choice((*SAID, *((kind, "") for kind in 2 * UNSAID)))
                hanging = [each for each in self.sandbox.faults.struck if each.kind is Kind.HANG]
                if kind is Kind.HANG and len(hanging) >= MOST_HANGING:
                    kind = Kind.DROP_AFTER
                self.sandbox.faults.add(
                    Fault(
                        kind=kind,
                        protocol=PROTOCOL,
                        account=mailbox.email_address,
                        command=command,
                        argument=argument,
                        times=1,
                    )
                )

        return plan

    def _forget(self, mailbox: Mailbox) -> None:
        """What did not strike in its round."""
        faults = self.sandbox.faults
        others = [each for each in faults.waiting() if each.account != mailbox.email_address]
        faults.clear()
        faults.add(*others)

    def took(self) -> dict[str, Counter[str]]:
        got: dict[str, Counter[str]] = {}
        for _sender, recipients, mime in list(self.sandbox.sent):
            got.setdefault(parse(mime).message_id, Counter()).update(recipients)
        return got

    def quiet(self) -> None:
        """A request of a killed worker may still be under way; looks are minutes apart, so that what
        they prove is proven all the same."""

    def begin(self) -> None:
        """A copy is seen in sent items: from then on one that is not there proves something."""
        for party in self.parties:
            self._write(party.mailbox, 1)
            report = engine.run_one(party.mailbox, OUTGOING, force=True, clock=lambda: self.now)
            assert report.ok, report.text

    def decide(self, row: Submission) -> None:
        raise AssertionError("sent items tell all here")

    def told(self) -> dict[str, object]:
        replies = Submission.objects.values_list("server_reply", flat=True)
        return {
            "requests": len(self.sandbox.exchange.requests),
            "found in sent items": sum(reply.startswith(FOUND) for reply in replies),
            "not found there twice": sum(reply.startswith("Looked for") for reply in replies),
            "struck": len(self.sandbox.faults.struck),
        }


@pytest.mark.rule("R5.17")
def test_hostile_exchange_server(capsys) -> None:
    organization(allow_unresolved_parties_on_email_send=True, maximum_email_delivery_attempts=100)
    with running_sandbox() as sandbox:
        world = Exchange(SEED, sandbox)
        world.begin()
        play(world, (EXAMPLES or 160) // 5, 8, capsys)
    assert world.counts.kills and Submission.objects.filter(server_reply__startswith=FOUND)
