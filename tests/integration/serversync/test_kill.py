"""Kill the worker at every commit and network boundary of both cycles: nothing lost, nothing doubled.

The servers are the sandbox's, in this process; the worker is a forked child that runs the real cycle
over the real adapters. After each kill a successor finishes the work, and the books must balance.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone

from activities.choices import EmailStatus
from activities.mime.message import Address
from activities.mime.parse import parse
from activities.models import (
    ActivityMimeAttachment,
    ActivityParty,
    ActivityPointer,
    Email,
    QueueItem,
    StoredBytes,
)
from mailboxes.choices import (
    AuthenticationProtocol,
    CredentialRetrieval,
    FilteringMethod,
    Operation,
    ServerType,
)
from mailboxes.connect import incoming_server, outgoing_server
from mailboxes.models import EmailServerProfile, Mailbox, TraceLog
from serversync import outbox
from serversync.choices import ItemState, SubmissionState
from serversync.context import load
from serversync.engine import run_one
from serversync.leases import claim_one
from serversync.models import FolderCursor, ServerAction, Submission, SyncItem, Workload
from serversync.outbox import Draft
from serversync.receive import receive
from serversync.sandbox.servers import Sandbox, running_sandbox
from serversync.send import send
from tests.integration.serversync.cycles import (
    START,
    message,
    organization,
    profile,
    queue_mailbox,
    user_mailbox,
)
from tests.integration.serversync.killing import Boundaries, Watched, killed_at

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db(transaction=True),
    pytest.mark.timeout(600),
]

ADDRESS = "support@example.com"
PASSWORD = "quite a secret"
MESSAGES = 4


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    accounts = {ADDRESS: PASSWORD, "ada@example.com": PASSWORD}
    with running_sandbox(accounts=accounts) as running:
        yield running


@pytest.fixture
def exchange() -> Iterator[Sandbox]:
    """The same accounts, on the Exchange server."""
    with running_sandbox() as running:
        for address in (ADDRESS, "ada@example.com"):
            running.exchange.add_account(address, PASSWORD)
        yield running


def every_nth(server_type: ServerType) -> int:
    """Every boundary on PostgreSQL, a third of them on SQLite; fewer over Exchange, whose requests are
    dearer, and not the same ones on both."""
    on_postgresql, on_sqlite = (2, 5) if server_type.is_exchange else (1, 3)
    return on_postgresql if connection.vendor == "postgresql" else on_sqlite


def reachable(sandbox: Sandbox, server_type: ServerType) -> EmailServerProfile:
    if server_type.is_exchange:
        return profile(
            server_type=server_type,
            incoming_server_location=sandbox.exchange.url,
            outgoing_server_location=sandbox.exchange.url,
            incoming_authentication_protocol=AuthenticationProtocol.BASIC,
            incoming_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE,
            ca_certificate=sandbox.ca_pem,
            process_emails_received_after=START,
        )
    incoming = "pop3s" if server_type == ServerType.POP3_SMTP else "imaps"
    return profile(
        server_type=server_type,
        incoming_server_location=sandbox.host,
        incoming_port_number=sandbox.ports[incoming],
        incoming_tls_mode=1,
        incoming_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE,
        outgoing_server_location=sandbox.host,
        outgoing_port_number=sandbox.ports["smtps"],
        outgoing_tls_mode=1,
        ca_certificate=sandbox.ca_pem,
        process_emails_received_after=START,
    )


def with_password(mailbox: Mailbox) -> Mailbox:
    mailbox.user_name = mailbox.email_address
    mailbox.password = PASSWORD
    mailbox.allow_email_connector_to_use_credentials = True
    mailbox.save(
        update_fields=["user_name", "password", "allow_email_connector_to_use_credentials"]
    )
    Workload.objects.filter(mailbox=mailbox).update(enabled=True)
    return Mailbox.objects.get(pk=mailbox.pk)


def forget_everything() -> None:
    for model in (
        ServerAction,
        SyncItem,
        FolderCursor,
        Submission,
        QueueItem,
        ActivityMimeAttachment,
        ActivityParty,
        Email,
        ActivityPointer,
        StoredBytes,
        TraceLog,
    ):
        model.objects.all().delete()
    Workload.objects.update(
        lease_token=None, lease_expires_at=None, consecutive_failures=0, next_run_at=timezone.now()
    )


def successor(mailbox: Mailbox, operation: Operation) -> None:
    """Whoever comes after the lease ran out, until nothing is left to do."""
    for turn in range(1, 4):
        moment = timezone.now() + timedelta(minutes=10 * turn)
        report = run_one(mailbox, operation, force=True, clock=lambda at=moment: at)
        assert report.ok, report


def claimed(mailbox: Mailbox, operation: Operation, now: datetime):
    return claim_one(mailbox.pk, operation, now, "victim", force=True)


# -- incoming


@pytest.mark.rule("R3.66", "R9.10")
@pytest.mark.parametrize("server_type", [ServerType.POP3_SMTP, ServerType.IMAP_SMTP])
def test_receiving(sandbox: Sandbox, server_type: ServerType) -> None:
    receive_with_kills(sandbox, server_type)


@pytest.mark.rule("R3.66", "R9.10")
def test_receiving_over_exchange(exchange: Sandbox) -> None:
    receive_with_kills(exchange, ServerType.EXCHANGE_SERVER)


def receive_with_kills(sandbox: Sandbox, server_type: ServerType) -> None:
    """Two pages of a queue mailbox that deletes what it stored; one message is a reply to another,
    one a copy, and one is nobody's and stays."""
    reachable(sandbox, server_type)
    organization(messages_per_page=2)
    support = with_password(
        queue_mailbox("support", FilteringMethod.ALL, process_and_delete_emails=True)
    )

    def work(boundaries: Boundaries) -> None:
        now = timezone.now()
        claim = claimed(support, Operation.INCOMING, now)
        context = load(support.pk, Operation.INCOMING, now)
        receive(
            context,
            claim.token,
            connect=lambda *args, **kwargs: Watched(incoming_server(*args, **kwargs), boundaries),
        )

    boundary, kills = every_nth(server_type), 0
    while True:
        forget_everything()
        fill(sandbox)
        if not killed_at(boundary, work):
            break
        kills += 1
        assert_nothing_deleted_before_it_was_stored(sandbox, boundary)
        successor(support, Operation.INCOMING)
        assert_books_balance(sandbox, boundary)
        boundary += every_nth(server_type)
    assert kills * every_nth(server_type) > 20
    assert_books_balance(sandbox, boundary)


def fill(sandbox: Sandbox) -> None:
    raws = [
        message(
            message_id=f"{number}@x.example",
            to=ADDRESS,
            **({"in_reply_to": "<0@x.example>"} if number == 3 else {}),
        )
        for number in range(MESSAGES)
    ]
    raws.append(message(message_id="0@x.example", to=ADDRESS))
    raws.append(message(sender="", to=ADDRESS, message_id="none@x.example"))
    if sandbox.exchange.has_account(ADDRESS):
        for item in sandbox.exchange.items(ADDRESS):
            sandbox.exchange.remove(item)
        for raw in raws:
            sandbox.exchange.deliver(ADDRESS, raw)
        return
    for uid in sandbox.store.uids(ADDRESS):
        sandbox.store.remove(ADDRESS, "INBOX", [uid])
    for raw in raws:
        sandbox.store.deliver(ADDRESS, raw)


def on_server(sandbox: Sandbox) -> Counter[str]:
    if sandbox.exchange.has_account(ADDRESS):
        return Counter(parse(raw).message_id for raw in sandbox.exchange.messages(ADDRESS))
    return Counter(parse(raw).message_id for raw in sandbox.store.messages(ADDRESS))


def assert_nothing_deleted_before_it_was_stored(sandbox: Sandbox, boundary: int) -> None:
    stored = set(Email.objects.values_list("message_id", flat=True))
    there = set(on_server(sandbox))
    for number in range(MESSAGES):
        message_id = f"{number}@x.example"
        assert message_id in stored or message_id in there, (boundary, message_id)


def assert_books_balance(sandbox: Sandbox, boundary: int) -> None:
    where = f"killed at boundary {boundary}"
    ids = [f"{number}@x.example" for number in range(MESSAGES)]
    assert sorted(Email.objects.values_list("message_id", flat=True)) == ids, where
    assert ActivityPointer.objects.count() == MESSAGES, where
    assert ActivityParty.objects.filter(participation_type_mask=1).count() == MESSAGES, where
    assert QueueItem.objects.count() == MESSAGES, where
    states = Counter(SyncItem.objects.values_list("state", flat=True))
    assert states == {
        ItemState.TRACKED: MESSAGES,
        ItemState.DUPLICATE: 1,
        ItemState.REJECTED: 1,
    }, where
    assert Email.objects.get(message_id="3@x.example").correlated_activity is not None, where
    # What was stored is gone from the server, what was rejected is still there.
    assert on_server(sandbox) == {"none@x.example": 1}, where


# -- outgoing


@pytest.mark.rule("R5.17")
def test_sending(sandbox: Sandbox) -> None:
    send_with_kills(sandbox, ServerType.IMAP_SMTP)


@pytest.mark.rule("R5.17")
def test_sending_over_exchange(exchange: Sandbox) -> None:
    """What left is found in sent items; so nobody has to decide about mail that did."""
    send_with_kills(exchange, ServerType.EXCHANGE_SERVER)


def send_with_kills(sandbox: Sandbox, server_type: ServerType) -> None:
    """A batch of three; each kill leaves at most one message unknown, and none is sent twice."""
    reachable(sandbox, server_type)
    organization(allow_unresolved_parties_on_email_send=True)
    ada = with_password(user_mailbox("ada"))

    def work(boundaries: Boundaries) -> None:
        now = timezone.now()
        claim = claimed(ada, Operation.OUTGOING, now)
        context = load(ada.pk, Operation.OUTGOING, now)
        send(
            context,
            claim.token,
            connect=lambda *args, **kwargs: Watched(outgoing_server(*args, **kwargs), boundaries),
        )

    boundary, kills, unknown, found = every_nth(server_type), 0, 0, 0
    while True:
        forget_everything()
        sandbox.sent.clear()
        emails = [written(ada, number) for number in range(3)]
        if not killed_at(boundary, work):
            break
        kills += 1
        successor(ada, Operation.OUTGOING)
        unknown += assert_nothing_sent_twice(sandbox, emails, boundary)
        found += Submission.objects.filter(server_reply__startswith="Found in sent").count()
        boundary += every_nth(server_type)
    assert kills * every_nth(server_type) > 20
    assert unknown + found, "no kill hit the moment after handing over: the test proves nothing"
    assert assert_nothing_sent_twice(sandbox, emails, boundary) == 0


def exchange_keeps_copies(sandbox: Sandbox) -> bool:
    """There a message that left is found, so what stays unknown did not leave."""
    return sandbox.exchange.has_account(ADDRESS)


def written(ada: Mailbox, number: int) -> Email:
    user = ada.regarding_user
    draft = Draft(sender=user, to=(Address("cleo@customer.example"),), subject=f"Mail {number}")
    email = outbox.create_draft(draft, actor=user, now=timezone.now())
    return outbox.submit(email, actor=user, now=timezone.now()).email


def assert_nothing_sent_twice(sandbox: Sandbox, emails: list[Email], boundary: int) -> int:
    """Returns how many are unknown, which is never more than one per kill and connection."""
    where = f"killed at boundary {boundary}"
    delivered = Counter(parse(mime).message_id for _sender, _to, mime in list(sandbox.sent))
    unknown = 0
    for email in emails:
        email.refresh_from_db()
        times = delivered[email.message_id]
        if email.status_code == EmailStatus.SENT:
            assert times == 1, where
        else:
            assert email.status_code == EmailStatus.SENDING, (where, email.status)
            assert times <= (0 if exchange_keeps_copies(sandbox) else 1), where
            attempt = Submission.objects.get(email=email, settled=False)
            assert attempt.state == SubmissionState.UNKNOWN, where
            assert TraceLog.objects.filter(object_key=f"email:{email.pk}").exists(), where
            unknown += 1
    assert unknown <= 1, where
    return unknown
