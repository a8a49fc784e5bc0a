"""What tests of the cycles share: a mailbox ready to run, a lease, one cycle over fake servers."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from uuid import uuid4

from mailboxes.choices import (
    AccessApproval,
    FilteringMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
)
from mailboxes.models import EmailServerProfile, Mailbox, Organization, Queue, SystemUser
from serversync.context import load
from serversync.cycle import CycleResult
from serversync.models import SyncItem, Workload
from serversync.receive import receive
from serversync.send import send
from tests.fakes import FakeIncomingServer, FakeMailbox, FakeOutgoingServer

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)


def message(
    *,
    message_id: str = "",
    sender: str = "Cleo <cleo@customer.example>",
    to: str = "ada@example.com",
    subject: str = "Hello",
    body: str = "Text\n",
    date: str = "Mon, 02 Feb 2026 10:00:00 +0000",
    **headers: str,
) -> bytes:
    """The bytes of a plain message; other headers by name, underscores for hyphens."""
    made = EmailMessage(policy=SMTP)
    if sender:
        made["From"] = sender
    if to:
        made["To"] = to
    made["Subject"] = subject
    if date:
        made["Date"] = date
    if message_id:
        made["Message-ID"] = f"<{message_id}>"
    for name, value in headers.items():
        made[name.replace("_", "-")] = value
    made.set_content(body)
    return bytes(made)


def profile(**columns: object) -> EmailServerProfile:
    owner = SystemUser.objects.filter(domain_name="owner").first()
    values = {
        "name": "Mail",
        "owning_user": owner or SystemUser.objects.create_user("owner"),
        "incoming_server_location": "imap.example.com",
        "outgoing_server_location": "smtp.example.com",
        "process_emails_received_after": START,
        **columns,
    }
    return EmailServerProfile.objects.create(**values)


def user_mailbox(
    name: str = "ada", filtering: FilteringMethod = FilteringMethod.ALL, **columns: object
) -> Mailbox:
    """A user at example.com with an approved, enabled mailbox."""
    user = SystemUser.objects.create_user(
        name, first_name=name.title(), internal_email_address=f"{name}@example.com"
    )
    user.settings.incoming_email_filtering_method = filtering
    user.settings.save()
    return ready(user.default_mailbox, **columns)


def queue_mailbox(
    name: str = "support", filtering: FilteringMethod = FilteringMethod.ALL, **columns: object
) -> Mailbox:
    owner = SystemUser.objects.filter(domain_name="owner").first()
    queue = Queue.objects.create(
        name=name.title(),
        email_address=f"{name}@example.com",
        owning_user=owner or SystemUser.objects.create_user("owner"),
        incoming_email_filtering_method=filtering,
    )
    return ready(queue.default_mailbox, **columns)


def ready(mailbox: Mailbox, **columns: object) -> Mailbox:
    """As after approval and a successful test."""
    values = {
        "email_server_profile": EmailServerProfile.objects.first() or profile(),
        "incoming_email_delivery_method": IncomingDeliveryMethod.SERVER_SIDE_SYNC,
        "outgoing_email_delivery_method": OutgoingDeliveryMethod.SERVER_SIDE_SYNC,
        "email_router_access_approval": AccessApproval.APPROVED,
        **columns,
    }
    Mailbox.objects.filter(pk=mailbox.pk).update(**values)
    mailbox.workloads.filter(operation__in=[Operation.INCOMING, Operation.OUTGOING]).update(
        enabled=True
    )
    return Mailbox.objects.get(pk=mailbox.pk)


@dataclass
class Account:
    """A mailbox with its fake server; `receive` and `send` run one cycle."""

    mailbox: Mailbox
    box: FakeMailbox = field(default_factory=FakeMailbox)
    complete: bool = False
    exchange: bool = False
    outgoing: FakeOutgoingServer = field(default_factory=FakeOutgoingServer)
    now: datetime = NOW
    servers: list[FakeIncomingServer] = field(default_factory=list)
    prepare: Callable[[FakeIncomingServer], None] = lambda server: None

    def lease(self, operation: Operation):
        token = uuid4()
        Workload.objects.filter(mailbox=self.mailbox, operation=operation).update(
            lease_token=token, lease_expires_at=self.now + timedelta(minutes=5)
        )
        return token

    def connect(self, *_: object, **__: object) -> FakeIncomingServer:
        server = FakeIncomingServer(self.box, complete=self.complete, exchange=self.exchange)
        self.prepare(server)
        self.servers.append(server)
        return server

    def receive(self) -> CycleResult:
        token = self.lease(Operation.INCOMING)
        context = load(self.mailbox.pk, Operation.INCOMING, self.now)
        return receive(context, token, clock=lambda: self.now, connect=self.connect)

    def send(self) -> CycleResult:
        token = self.lease(Operation.OUTGOING)
        context = load(self.mailbox.pk, Operation.OUTGOING, self.now)
        return send(context, token, clock=lambda: self.now, connect=lambda *_, **__: self.outgoing)

    def later(self, **delta: float) -> None:
        self.now += timedelta(**delta)

    def items(self) -> dict[str, SyncItem]:
        """Ledger rows by source key."""
        return {item.source_key: item for item in SyncItem.objects.filter(mailbox=self.mailbox)}


def organization(**columns: object) -> Organization:
    row = Organization.objects.current()
    Organization.objects.filter(pk=row.pk).update(**columns)
    row.refresh_from_db()
    return row
