"""Mailboxes whose engine speaks Exchange Web Services with the sandbox, over TLS."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import uuid4

from mailboxes.choices import (
    AuthenticationProtocol,
    CredentialRetrieval,
    FilteringMethod,
    Operation,
    ServerType,
)
from mailboxes.models import EmailServerProfile, Mailbox
from serversync.context import load
from serversync.cycle import CycleResult
from serversync.models import SyncItem, Workload
from serversync.receive import receive
from serversync.sandbox.ews.exchange import Exchange
from serversync.sandbox.servers import Sandbox
from serversync.send import send
from tests.integration.serversync.connected import logs_in
from tests.integration.serversync.cycles import NOW, message, profile, user_mailbox
from tracking.models import MailboxTrackingFolder

PASSWORD = "quite a secret"


def profile_at(sandbox: Sandbox, **columns: object) -> EmailServerProfile:
    """Each mailbox logs in by itself; Basic, so that requests are easily counted."""
    return profile(
        **{
            "server_type": ServerType.EXCHANGE_SERVER,
            "incoming_server_location": sandbox.exchange.url,
            "outgoing_server_location": sandbox.exchange.url,
            "incoming_authentication_protocol": AuthenticationProtocol.BASIC,
            "incoming_credential_retrieval": CredentialRetrieval.USER_OR_QUEUE,
            "timeout_mailbox_connection_after_amount": 10_000,
            "ca_certificate": sandbox.ca_pem,
            **columns,
        }
    )


@dataclass
class ExchangeAccount:
    """A mailbox and its account; `receive` and `send` run one cycle over the real adapter."""

    mailbox: Mailbox
    exchange: Exchange
    now: datetime = NOW

    @classmethod
    def of_user(
        cls, sandbox: Sandbox, name: str, filtering: FilteringMethod = FilteringMethod.ALL
    ) -> "ExchangeAccount":
        sandbox.exchange.add_account(f"{name}@example.com", PASSWORD)
        return cls(logs_in(user_mailbox(name, filtering), PASSWORD), sandbox.exchange)

    @property
    def address(self) -> str:
        return self.mailbox.email_address

    def put(self, number: int, folder: str = "inbox", **headers: str) -> None:
        raw = message(message_id=f"{number}@customer.example", to=self.address, **headers)
        self.exchange.deliver(self.address, raw, folder=folder, received_at=self.now)

    def receive(self) -> CycleResult:
        return self._run(Operation.INCOMING)

    def send(self) -> CycleResult:
        return self._run(Operation.OUTGOING)

    def _run(self, operation: Operation) -> CycleResult:
        token = uuid4()
        Workload.objects.filter(mailbox=self.mailbox, operation=operation).update(lease_token=token)
        cycle = receive if operation == Operation.INCOMING else send
        return cycle(load(self.mailbox.pk, operation, self.now), token, clock=lambda: self.now)

    def requested(self) -> list[str]:
        """The operations since this was asked last."""
        asked = [request.operation for request in self.exchange.requests]
        self.exchange.requests.clear()
        return asked

    def states(self) -> dict[str, str]:
        rows = SyncItem.objects.filter(mailbox=self.mailbox)
        return {row.message_id: row.state for row in rows}

    def track(self, path: str, record: object = None) -> MailboxTrackingFolder:
        """A rule for a folder by its path from the top ("Inbox/Customers")."""
        from mailboxes.models import Organization
        from serversync.layout import refresh_folders

        self.exchange.add_folder(self.address, path)
        found = refresh_folders(self.mailbox, Organization.objects.current(), self.now)
        names = tuple(path.split("/")[1:])
        (remote,) = (folder for folder in found if folder.path == names)
        rule = MailboxTrackingFolder(
            mailbox=self.mailbox,
            exchange_folder_id=remote.folder,
            exchange_folder_name=names[-1],
        )
        if record is not None:
            rule.regarding = record
        rule.save()
        return rule


def keys(items: Sequence[SyncItem]) -> list[str]:
    return [item.source_key for item in items]
