"""The site of a soak: settings, and users and queues with their mailboxes, as after successful tests."""

from collections.abc import Mapping, Sequence
from datetime import timedelta

from django.db.models import F
from django.utils import timezone

from mailboxes.choices import (
    AccessApproval,
    ActDeliveryMethod,
    CredentialRetrieval,
    FilteringMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    ServerType,
    TestStatus,
    TlsMode,
)
from mailboxes.models import (
    EmailServerProfile,
    Mailbox,
    Organization,
    Queue,
    SystemUser,
    UserSettings,
)
from serversync.models import Workload
from tests.soak.servers import PASSWORD, Server

ACTIVE_SECONDS, IDLE_SECONDS = 5, 30
PAUSE_SECONDS = 5  # the first one after a passing failure
TIMEOUT_MS = 10_000
QUEUES = 10  # every tenth mailbox is a queue's
TYPES = {
    "imap": ServerType.IMAP_SMTP,
    "pop3": ServerType.POP3_SMTP,
    "ews": ServerType.EXCHANGE_SERVER,
}


def fill(boxes: Mapping[str, Sequence[str]], servers: Mapping[str, Server]) -> None:
    """A profile for each server, and its mailboxes."""
    Organization.objects.current()
    # The gaps of the soak (R9.2): 5 seconds for busy mailboxes, 30 for idle ones.
    Organization.objects.update(
        active_mailbox_minimum_backoff=ACTIVE_SECONDS,
        active_mailbox_maximum_backoff=ACTIVE_SECONDS,
        idle_mailbox_minimum_backoff=IDLE_SECONDS,
        idle_mailbox_maximum_backoff=IDLE_SECONDS,
        mailbox_backoff_on_transient_error=PAUSE_SECONDS,
        mailbox_backoff_on_timeout=PAUSE_SECONDS,
    )
    owner = SystemUser.objects.create_user("owner")
    for protocol, addresses in boxes.items():
        for place, address in enumerate(addresses):
            if place % QUEUES == 0:
                _queue(address, owner)
            else:
                _user(address)
        _enable(_profile(servers[protocol], owner), addresses)


def _profile(server: Server, owner: SystemUser) -> EmailServerProfile:
    return EmailServerProfile.objects.create(
        name=f"Soak {server.protocol}",
        owning_user=owner,
        server_type=TYPES[server.protocol],
        incoming_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE,
        process_emails_received_after=timezone.now() - timedelta(days=1),
        timeout_mailbox_connection_after_amount=TIMEOUT_MS,
        ca_certificate=server.ca_pem,
        **_location(server),
    )


def _location(server: Server) -> dict[str, object]:
    if server.protocol == "ews":
        url = f"https://127.0.0.1:{server.ports['ews']}/EWS/Exchange.asmx"
        return {"incoming_server_location": url, "outgoing_server_location": url}
    return {
        "incoming_server_location": "127.0.0.1",
        "incoming_port_number": server.ports[f"{server.protocol}s"],
        "incoming_tls_mode": TlsMode.IMPLICIT,
        "outgoing_server_location": "127.0.0.1",
        "outgoing_port_number": server.ports["smtps"],
        "outgoing_tls_mode": TlsMode.IMPLICIT,
    }


def _user(address: str) -> None:
    SystemUser.objects.create_user(address.partition("@")[0], internal_email_address=address)


def _queue(address: str, owner: SystemUser) -> None:
    Queue.objects.create(
        name=address.partition("@")[0],
        email_address=address,
        owning_user=owner,
        incoming_email_filtering_method=FilteringMethod.ALL,
    )


def _enable(profile: EmailServerProfile, addresses: Sequence[str]) -> None:
    """Many at once, as tests would leave them one by one. All mail is tracked."""
    mailboxes = Mailbox.objects.filter(email_address__in=addresses)
    mailboxes.update(
        email_server_profile=profile,
        incoming_email_delivery_method=IncomingDeliveryMethod.SERVER_SIDE_SYNC,
        outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE,
        act_delivery_method=ActDeliveryMethod.NONE,
        email_router_access_approval=AccessApproval.APPROVED,
        allow_email_connector_to_use_credentials=True,
        user_name=F("email_address"),
        password=PASSWORD,
    )
    UserSettings.objects.filter(system_user__internal_email_address__in=addresses).update(
        incoming_email_filtering_method=FilteringMethod.ALL
    )
    Workload.objects.filter(mailbox__in=mailboxes, operation=Operation.INCOMING).update(
        enabled=True, test_status=TestStatus.SUCCESS
    )
