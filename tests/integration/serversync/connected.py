"""Mailboxes whose engine speaks to real sockets: a profile for a server, a user who logs in there."""

from datetime import datetime
from typing import Any

from activities.mime.message import Address
from activities.models import Email
from mailboxes.choices import Operation, ServerType, TlsMode
from mailboxes.models import EmailServerProfile, Mailbox
from serversync import engine, outbox
from serversync.engine import Tally
from serversync.outbox import Draft
from serversync.sandbox.servers import Sandbox
from tests.integration.serversync.cycles import NOW, profile

INCOMING, OUTGOING = Operation.INCOMING, Operation.OUTGOING
SERVER_TYPES = {"pop3": ServerType.POP3_SMTP, "imap": ServerType.IMAP_SMTP}
LONG_MS = 10_000  # longer than a busy machine takes


def at(side: str, sandbox: Sandbox, service: str) -> dict[str, Any]:
    """Columns of a profile for one of a sandbox's ports; `side` is "incoming" or "outgoing"."""
    mode = TlsMode.IMPLICIT if service in ("pop3s", "imaps", "smtps") else TlsMode.STARTTLS
    return {
        f"{side}_server_location": "localhost",
        f"{side}_port_number": sandbox.ports[service],
        f"{side}_tls_mode": mode,
    }


def profile_at(
    incoming: Sandbox, outgoing: Sandbox, protocol: str = "imap", **columns: object
) -> EmailServerProfile:
    """TLS begins at once; the authorities of both sandboxes are trusted."""
    values = {
        "server_type": SERVER_TYPES[protocol],
        "ca_certificate": incoming.ca_pem + outgoing.ca_pem,
        "timeout_mailbox_connection_after_amount": LONG_MS,
        **at("incoming", incoming, f"{protocol}s"),
        **at("outgoing", outgoing, "smtps"),
        **columns,
    }
    return profile(**values)


def logs_in(mailbox: Mailbox, password: str, user_name: str = "") -> Mailbox:
    """With its address unless another name is given; both directions are due."""
    Mailbox.objects.filter(pk=mailbox.pk).update(
        allow_email_connector_to_use_credentials=True,
        user_name=user_name or mailbox.email_address,
        password=password,
    )
    mailbox.workloads.update(next_run_at=NOW)
    return Mailbox.objects.get(pk=mailbox.pk)


def only(mailbox: Mailbox, operation: Operation) -> Mailbox:
    """Nothing but this workload runs."""
    mailbox.workloads.exclude(operation=operation).update(enabled=False)
    return mailbox


def run_due(now: datetime = NOW) -> Tally:
    """What one job of a worker does."""
    return engine.work(clock=lambda: now, holder="worker:1", stopping=lambda: False)


def write(mailbox: Mailbox, *to: str, now: datetime = NOW, **fields: Any) -> Email:
    """Compose an e-mail of the mailbox's user and submit it."""
    user = mailbox.regarding_user
    draft = Draft(
        sender=user,
        to=tuple(Address(address) for address in to),
        **{"subject": "Hello", "body": "<p>Text</p>"} | fields,
    )
    email = outbox.create_draft(draft, actor=user, now=now)
    return outbox.submit(email, actor=user, now=now).email
