"""Logging in with tokens, over the sandbox: the contracts of all adapters, and what goes wrong."""

from datetime import UTC, datetime

import pytest

from mailboxes.protocols import oauth
from mailboxes.protocols.base import INBOX, AdapterOptions, Bearer, ConnectionSettings, Security
from mailboxes.protocols.errors import (
    AuthorityUnavailable,
    LoginRefused,
    ServerBusy,
    SignInExpired,
    TokenRefused,
)
from mailboxes.protocols.http import Reach
from mailboxes.protocols.imap import ImapServer
from mailboxes.protocols.phases import Phase
from mailboxes.protocols.pop3 import Pop3Server
from mailboxes.protocols.smtp import SmtpServer
from serversync.sandbox.faults import Fault, Kind
from serversync.sandbox.servers import running_sandbox
from tests.contracts import InboxContract, MaildropContract, SubmissionContract

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

USER = "ada@sandbox.example"
OTHER = "ben@sandbox.example"
PORTS = {ImapServer: "imap", Pop3Server: "pop3", SmtpServer: "smtp"}
ADAPTERS = list(PORTS)


@pytest.fixture(scope="module")
def running():
    with running_sandbox(accounts={USER: "ada-password", OTHER: "ben-password"}) as sandbox:
        sandbox.authority.add_client("client", "secret")
        yield sandbox


@pytest.fixture
def sandbox(running):
    for address in (USER, OTHER):
        running.store.remove(address, INBOX, running.store.uids(address))
    running.sent.clear()
    yield running
    running.faults.clear()
    running.faults.struck.clear()


class Given:
    """Hands out these tokens, or raises them, one after the other; the last one for ever."""

    def __init__(self, *tokens):
        self.tokens = list(tokens)
        self.refused = []

    def __call__(self, refused):
        self.refused.append(refused)
        token = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        if isinstance(token, Exception):
            raise token
        return token


class Steps:
    def __init__(self):
        self.begun, self.failed = [], []

    def begin(self, phase):
        self.begun.append(phase)

    def end(self, phase, error):
        if error is not None:
            self.failed.append(phase)


@pytest.fixture
def make(sandbox):
    made = []

    def server(adapter, given, user=USER, security=Security.IMPLICIT_TLS, **options):
        port = PORTS[adapter] + ("s" if security is Security.IMPLICIT_TLS else "")
        made.append(
            adapter(
                ConnectionSettings(
                    host="localhost",
                    port=sandbox.ports[port],
                    security=security,
                    credentials=Bearer(user, given),
                    timeout_seconds=10,
                    ca_pem=sandbox.ca_pem,
                ),
                AdapterOptions(**options),
            )
        )
        return made[-1]

    yield server
    for each in made:
        each.close()


def access(sandbox, user=USER, scope="mail"):
    return sandbox.authority.sign_in(user, "client", scope)[0]


# -- the contracts -------------------------------------------------------------------------------


class Account:
    def __init__(self, sandbox, make, adapter, security=Security.IMPLICIT_TLS):
        self.sandbox, self.make, self.adapter, self.security = sandbox, make, adapter, security
        self.password = access(sandbox)

    def deliver(self, mime):
        self.sandbox.store.deliver(USER, mime)

    def stored(self):
        return self.sandbox.store.messages(USER)

    def server(self, *, max_fetch_bytes=10_000_000):
        return self.make(
            self.adapter,
            Given(self.password),
            security=self.security,
            max_fetch_bytes=max_fetch_bytes,
        )


class TestImapWithTokens(InboxContract):
    @pytest.fixture
    def account(self, sandbox, make):
        return Account(sandbox, make, ImapServer)


class TestPop3WithTokens(MaildropContract):
    @pytest.fixture
    def account(self, sandbox, make):
        return Account(sandbox, make, Pop3Server, Security.STARTTLS)


class Submission:
    accepted = (OTHER, USER)
    limit = 36 * 1024 * 1024

    def __init__(self, sandbox, make):
        self.sandbox, self.make = sandbox, make
        self.password = access(sandbox)

    def server(self):
        return self.make(SmtpServer, Given(self.password), security=Security.STARTTLS)

    def arrived(self, count):
        found = self.sandbox.store.messages(OTHER)
        assert len(found) >= count
        return [each.partition(b"\r\n\r\n")[2] for each in found]


class TestSmtpWithTokens(SubmissionContract):
    @pytest.fixture
    def account(self, sandbox, make):
        return Submission(sandbox, make)


# -- mechanisms and refusals ---------------------------------------------------------------------


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("hidden", ["", "OAUTHBEARER", "XOAUTH2", "SASL-IR"])
def test_the_mechanism_that_the_server_offers_is_used(sandbox, make, adapter, hidden):
    if hidden:
        sandbox.faults.add(Fault(kind=Kind.HIDE, argument=hidden))
    given = Given(access(sandbox))
    make(adapter, given).open()
    assert given.refused == [""]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_server_without_token_logins_is_told_apart_from_a_wrong_password(sandbox, make, adapter):
    sandbox.faults.add(
        Fault(kind=Kind.HIDE, argument="OAUTHBEARER"), Fault(kind=Kind.HIDE, argument="XOAUTH2")
    )
    with pytest.raises(TokenRefused) as caught:
        make(adapter, Given(access(sandbox))).open()
    assert caught.value.code == "TokenRefused"
    assert isinstance(caught.value, LoginRefused)


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("hidden", ["OAUTHBEARER", "XOAUTH2"])
def test_a_refusal_is_worth_one_renewed_token(sandbox, make, adapter, hidden):
    sandbox.faults.add(Fault(kind=Kind.HIDE, argument=hidden))
    given = Given("of-yesterday", access(sandbox))
    make(adapter, given).open()
    assert given.refused == ["", "of-yesterday"]


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_second_refusal_is_final_and_shows_no_token(sandbox, make, adapter):
    given = Given("secret-token-1", "secret-token-2")
    with pytest.raises(TokenRefused) as caught:
        make(adapter, given).open()
    assert given.refused == ["", "secret-token-1"]
    assert caught.value.phase is Phase.LOGIN
    shown = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert "secret-token" not in shown


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_the_same_token_is_not_shown_twice(sandbox, make, adapter):
    command = "AUTHENTICATE" if adapter is ImapServer else "AUTH"
    sandbox.faults.add(Fault(kind=Kind.SLOW, command=command, argument="0.001"))
    with pytest.raises(TokenRefused):
        make(adapter, Given("always-the-same")).open()
    assert len(sandbox.faults.struck) == 1


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_token_for_something_else_says_what_is_wrong_with_it(sandbox, make, adapter):
    sandbox.faults.add(Fault(kind=Kind.HIDE, argument="XOAUTH2"))
    token = access(sandbox, scope="https://outlook.office365.com/EWS.AccessAsUser.All")
    with pytest.raises(TokenRefused, match="insufficient_scope"):
        make(adapter, Given(token)).open()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_token_opens_no_other_account(sandbox, make, adapter):
    with pytest.raises(TokenRefused):
        make(adapter, Given(access(sandbox)), user=OTHER).open()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_what_a_server_echoes_of_a_token_is_not_shown(sandbox, make, adapter):
    token = access(sandbox)
    replies = {"imap": f"NO no {token}", "pop3": f"-ERR no {token}", "smtp": f"535 no {token}"}
    command = "AUTHENTICATE" if adapter is ImapServer else "AUTH"
    sandbox.faults.add(Fault(kind=Kind.REPLY, command=command, argument=replies[PORTS[adapter]]))
    with pytest.raises(TokenRefused) as caught:
        make(adapter, Given(token)).open()
    assert token[:30] not in str(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_a_busy_server_costs_no_token(sandbox, make, adapter):
    replies = {"imap": "NO [UNAVAILABLE] later", "pop3": "-ERR [SYS/TEMP] later", "smtp": "454 no"}
    command = "AUTHENTICATE" if adapter is ImapServer else "AUTH"
    sandbox.faults.add(Fault(kind=Kind.REPLY, command=command, argument=replies[PORTS[adapter]]))
    given = Given(access(sandbox))
    with pytest.raises(ServerBusy):
        make(adapter, given).open()
    assert given.refused == [""]


@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("error", [AuthorityUnavailable("later"), SignInExpired("gone")])
def test_without_a_token_no_line_is_opened(sandbox, make, adapter, error):
    steps = Steps()
    server = make(adapter, Given(error), watcher=steps)
    with pytest.raises(type(error)) as caught:
        server.open()
    assert caught.value.phase is Phase.AUTHORIZE
    assert steps.begun == [Phase.AUTHORIZE]
    assert steps.failed == [Phase.AUTHORIZE]


def test_what_could_end_the_field_is_not_sent(sandbox, make):
    with pytest.raises(TokenRefused, match="control characters"):
        make(ImapServer, Given(access(sandbox)), user=f"{USER}\x01auth=Bearer x").open()


@pytest.mark.parametrize("adapter", ADAPTERS)
def test_an_application_opens_each_account(sandbox, make, adapter):
    """Client credentials: the token names nobody, the login does."""
    tokens = oauth.client_credentials(
        f"{sandbox.authority_url}/token",
        oauth.Client("client", "secret"),
        Reach(ca_pem=sandbox.ca_pem),
        datetime.now(UTC),
        scope="https://outlook.office365.com/.default",
    )
    make(adapter, Given(tokens.access), user=OTHER).open()
