"""Adapters for threads without a database: over real sockets, and with tokens and endpoints at hand or not."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from functools import partial

import pytest
from django.conf import settings
from django.db import connections
from django.utils import timezone

from mailboxes import signin
from mailboxes.choices import CredentialRetrieval, ServerType
from mailboxes.endpoints import keeper
from mailboxes.glancing import Detached, NeedsMore
from mailboxes.models import DiscoveredEndpoint, EmailServerProfile, Mailbox
from mailboxes.protocols.errors import SignInNeeded
from mailboxes.protocols.ews.settings import Endpoint
from mailboxes.protocols.ews.transport import Channel
from mailboxes.protocols.line import Line
from mailboxes.protocols.oauth import Tokens
from serversync import engine
from serversync.models import Workload
from serversync.sandbox.servers import Sandbox, running_sandbox
from tests.factories.mailboxes import organization
from tests.integration.serversync import connected, exchanges
from tests.integration.serversync.cycles import NOW, message, profile, user_mailbox
from tests.statements import counting

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.database("sqlite"),
]

PASSWORD = "quite a secret"
URL = "https://mail.example.com/EWS/Exchange.asmx"
SENT_OVER_A_LINE = {
    ServerType.IMAP_SMTP: ["CAPABILITY", "LOGIN", "EXAMINE", "LOGOUT"],
    ServerType.POP3_SMTP: ["CAPA", "USER", "PASS", "UIDL", "QUIT"],
}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    accounts = {f"{kind}@example.com": PASSWORD for kind in ("imap", "pop3")}
    with running_sandbox(accounts=accounts, local_domains=("example.com",)) as running:
        yield running


def mailbox_at(sandbox: Sandbox, kind: str) -> Mailbox:
    if kind == "ews":
        exchanges.profile_at(sandbox, name="ews")
        address = "ews@example.com"
        sandbox.exchange.add_account(address, PASSWORD)
        deliver = partial(sandbox.exchange.deliver, address, received_at=NOW)
    else:
        connected.profile_at(
            sandbox,
            sandbox,
            kind,
            name=kind,
            incoming_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE,
        )
        deliver = partial(sandbox.store.deliver, f"{kind}@example.com")
    made = EmailServerProfile.objects.get(name=kind)
    mailbox = user_mailbox(kind, email_server_profile=made)
    mailbox.deliver = deliver
    deliver(message(message_id=f"1@{kind}.example", to=mailbox.email_address))
    connected.logs_in(connected.only(mailbox, engine.Operation.INCOMING), PASSWORD)
    return mailbox


def test_an_idle_mailbox_costs_few_words_and_no_statement_of_its_thread(sandbox, monkeypatch):
    """Two cycles, then glances; then mail comes, and its cycle goes on where the glance was."""
    organization(max_mailboxes_per_profile_at_once=20)
    mailboxes = {kind: mailbox_at(sandbox, kind) for kind in ("imap", "pop3", "ews")}
    said: dict[str, list[str]] = {kind: [] for kind in ("imap", "pop3")}
    asked: list[str] = []
    opened: list[object] = []

    def send(line: Line, data: bytes, send=Line.send) -> None:
        words = data.split()
        kind = "imap" if line.settings.port == sandbox.ports["imaps"] else "pop3"
        said[kind].append((words[1] if kind == "imap" else words[0]).decode())
        note()
        send(line, data)

    def exchange(channel: Channel, request, exchange=Channel.exchange):
        asked.append("POST")
        note()
        return exchange(channel, request)

    def note() -> None:
        if threading.current_thread().name == "glance":
            opened.append(connections["default"].connection)

    for hour in (0, 1):
        assert connected.run_due(NOW + timedelta(hours=hour)).failed == 0
    assert set(
        Workload.objects.filter(mailbox__in=mailboxes.values(), enabled=True).values_list(
            "idle_cycles", flat=True
        )
    ) == {1}

    with monkeypatch.context() as patch:
        patch.setattr(Line, "send", send)
        patch.setattr(Channel, "exchange", exchange)
        tally = connected.run_due(NOW + timedelta(hours=2))
    assert (tally.runs, tally.failed) == (3, 0)
    assert said["imap"] == SENT_OVER_A_LINE[ServerType.IMAP_SMTP]
    assert said["pop3"] == SENT_OVER_A_LINE[ServerType.POP3_SMTP]
    assert asked == ["POST"]
    assert opened
    assert set(opened) == {None}

    for kind, mailbox in mailboxes.items():
        mailbox.deliver(message(message_id=f"2@{kind}.example", to=mailbox.email_address))
    said["imap"].clear()
    with monkeypatch.context() as patch:
        patch.setattr(Line, "send", send)
        tally = connected.run_due(NOW + timedelta(hours=3))
    assert (tally.runs, tally.failed, tally.items) == (3, 0, 3)
    assert said["imap"].count("LOGIN") == 1


# -- what is at hand


@pytest.fixture
def exchange_mailbox() -> Mailbox:
    made = profile(
        name="Exchange",
        server_type=ServerType.EXCHANGE_SERVER,
        incoming_server_location=URL,
        incoming_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE,
    )
    return connected.logs_in(user_mailbox("ada", email_server_profile=made), PASSWORD)


def test_a_web_service_that_is_to_be_found_is_no_matter_for_a_thread(exchange_mailbox):
    with pytest.raises(NeedsMore):
        Detached(exchange_mailbox, organization())


def test_what_is_found_out_of_a_web_service_is_kept_once_somebody_has_the_database(
    exchange_mailbox,
):
    found = Endpoint(url=URL, found_at=timezone.now(), version="Exchange2016")
    keeper(exchange_mailbox, exchange_mailbox.email_server_profile, URL)(found)
    mailbox = Mailbox.objects.get(pk=exchange_mailbox.pk)

    detached = Detached(mailbox, organization())
    with pytest.raises(NeedsMore):
        detached.server.settings.remember(None)
    assert DiscoveredEndpoint.objects.count() == 1
    detached.attach().settings.remember(None)
    assert DiscoveredEndpoint.objects.count() == 0


@pytest.fixture
def signed_in() -> Mailbox:
    made = profile(
        name="Gmail",
        server_type=ServerType.IMAP_SMTP,
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
        oauth_client_id="client",
        oauth_client_secret="secret",
    )
    mailbox = user_mailbox("ada", email_server_profile=made)
    return with_token(mailbox, lasts=timedelta(hours=1))


def with_token(mailbox: Mailbox, lasts: timedelta) -> Mailbox:
    Mailbox.objects.filter(pk=mailbox.pk).update(
        oauth_access_token="held",
        oauth_refresh_token="refresh",
        oauth_token_expires_on=timezone.now() + lasts,
        oauth_signed_in_on=timezone.now(),
    )
    return Mailbox.objects.select_related("email_server_profile").get(pk=mailbox.pk)


def test_a_token_that_lasts_is_at_hand_and_a_refused_one_is_renewed_by_nobody_else(signed_in):
    """Renewing would read and write the mailbox."""
    detached = Detached(signed_in, organization())
    bearer = detached.server.settings.credentials
    with counting() as counted:
        assert bearer.token("") == "held"
        with pytest.raises(NeedsMore):
            bearer.token("held")
    assert len(counted) == 0
    assert "held" not in repr(detached.server)


def test_a_token_that_is_over_is_no_matter_for_a_thread(signed_in):
    with pytest.raises(NeedsMore):
        Detached(with_token(signed_in, lasts=timedelta(0)), organization())


def test_who_has_not_signed_in_is_told_so_as_ever(signed_in):
    Mailbox.objects.update(oauth_access_token="", oauth_refresh_token="")
    signed_in.refresh_from_db()
    with pytest.raises(SignInNeeded):
        Detached(signed_in, organization())


def test_an_application_has_its_token_at_hand_once_it_was_asked_for(monkeypatch):
    made = profile(
        name="Online",
        server_type=ServerType.IMAP_SMTP,
        incoming_credential_retrieval=CredentialRetrieval.SERVER_TO_SERVER,
    )
    mailbox = user_mailbox("ada", email_server_profile=made)
    monkeypatch.setattr(settings, "OAUTH_CLIENT_ID", "client")
    monkeypatch.setattr(settings, "OAUTH_CLIENT_SECRET", "secret")
    monkeypatch.setattr(settings, "OAUTH_TENANT_ID", "tenant")
    expires = timezone.now() + timedelta(hours=1)
    given = Tokens(access="of the application", refresh="", expires_at=expires)
    monkeypatch.setattr(signin.oauth, "client_credentials", lambda *_, **__: given)
    monkeypatch.setattr(signin, "_forbid_transaction", lambda: None)  # of the test around us
    signin.forget_application_tokens()
    retrieval = CredentialRetrieval.SERVER_TO_SERVER

    assert signin.held_token(mailbox, made, retrieval) == ""
    assert signin.bearer_for(mailbox, made, retrieval).token("") == "of the application"
    assert signin.held_token(mailbox, made, retrieval) == "of the application"
    signin.forget_application_tokens()
