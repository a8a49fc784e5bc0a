"""Tokens over a real Dovecot, which asks a token authority about each of them."""

import pytest

from mailboxes.protocols.base import INBOX, Bearer, ConnectionSettings, Credentials, Security
from mailboxes.protocols.errors import LoginRefused, TokenRefused
from mailboxes.protocols.imap import ImapServer
from mailboxes.protocols.pop3 import Pop3Server
from serversync.sandbox.servers import running_sandbox
from tests.contracts import message
from tests.servers import dovecot as dovecot_module
from tests.servers.dovecot import PASSWORDS, Dovecot, Introspection

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

USER = "ada@example.com"


@pytest.fixture(scope="module")
def tokens():
    with running_sandbox(accounts=PASSWORDS) as sandbox:
        sandbox.authority.add_client("client", "secret")
        yield sandbox


@pytest.fixture(scope="module")
def dovecot(authority, tokens):
    if reason := dovecot_module.why_missing():
        pytest.skip(reason)
    asked = f"https://127.0.0.1:{tokens.ports['authority']}/introspect"
    server = Dovecot(authority, authority.issue("localhost"), Introspection(asked, tokens.ca_pem))
    server.start()
    yield server
    server.stop()


class Given:
    """Hands out these tokens, one after the other."""

    def __init__(self, *tokens):
        self.tokens = list(tokens)
        self.refused = []

    def __call__(self, refused):
        self.refused.append(refused)
        return self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]


@pytest.fixture
def reach(dovecot):
    made = []

    def open_by(adapter, given, user=USER):
        port = dovecot.ports.imaps if adapter is ImapServer else dovecot.ports.pop3s
        server = adapter(
            ConnectionSettings(
                host=dovecot.host,
                port=port,
                security=Security.IMPLICIT_TLS,
                credentials=Bearer(user, given),
                timeout_seconds=10,
                ca_pem=dovecot.ca_pem,
            )
        )
        made.append(server)
        return server.open()

    yield open_by
    for server in made:
        server.close()


@pytest.fixture(params=["OAUTHBEARER", "XOAUTH2"])
def mechanism(request, monkeypatch):
    """Only this one is known to our side."""
    monkeypatch.setattr("mailboxes.protocols.sasl.MECHANISMS", (request.param,))
    return request.param


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize("adapter", [ImapServer, Pop3Server])
def test_a_token_opens_the_account(dovecot, tokens, reach, adapter, mechanism):
    dovecot.empty(USER)
    dovecot.deliver(USER, message(1))
    access, _ = tokens.authority.sign_in(USER, "client")
    server = reach(adapter, Given(access))
    listing = server.list_new(INBOX, "", 10)
    assert [each.mime for each in server.fetch(INBOX, [listing.items[0].remote_id])] == [message(1)]


@pytest.mark.parametrize("adapter", [ImapServer, Pop3Server])
def test_a_refused_token_is_renewed_once(dovecot, tokens, reach, adapter, mechanism):
    access, _ = tokens.authority.sign_in(USER, "client")
    given = Given("of-yesterday", access)
    reach(adapter, given).list_new(INBOX, "", 10)
    assert given.refused == ["", "of-yesterday"]


@pytest.mark.parametrize("adapter", [ImapServer, Pop3Server])
def test_a_refused_login_names_the_token_and_never_shows_it(reach, adapter, mechanism):
    with pytest.raises(TokenRefused) as caught:
        reach(adapter, Given("wrong-token-1", "wrong-token-2"))
    assert caught.value.code == "TokenRefused"
    assert "wrong-token" not in str(caught.value) + repr(caught.value)


def test_a_token_of_somebody_else_opens_nothing(tokens, reach, mechanism):
    access, _ = tokens.authority.sign_in("ben@example.com", "client")
    with pytest.raises(TokenRefused):
        reach(ImapServer, Given(access))


def test_passwords_go_on_beside_tokens(dovecot):
    settings = ConnectionSettings(
        host=dovecot.host,
        port=dovecot.ports.imaps,
        security=Security.IMPLICIT_TLS,
        credentials=Credentials(USER, "wrong"),
        timeout_seconds=10,
        ca_pem=dovecot.ca_pem,
    )
    with pytest.raises(LoginRefused) as caught:
        ImapServer(settings).open()
    assert caught.value.code == "InvalidCredentials"
