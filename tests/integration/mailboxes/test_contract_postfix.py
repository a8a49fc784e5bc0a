"""The outgoing contract over a real Postfix; what it accepts is read back from Dovecot's folders."""

import dataclasses

import pytest

from mailboxes.protocols.base import ConnectionSettings, Credentials, Envelope, Security
from mailboxes.protocols.errors import MessageRefused, OutgoingLoginRefused
from mailboxes.protocols.smtp import SmtpServer
from tests.contracts import Handing, OutgoingContract, message
from tests.servers.dovecot import PASSWORDS
from tests.servers.ports import wait_for
from tests.servers.postfix import DEFERRED, SIZE_LIMIT, Postfix

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

USER = "ada@example.com"


class PostfixAccount:
    accepted = ("ben@example.com", "dora@example.com")
    refused = "nobody@example.com"
    deferred = DEFERRED
    limit = SIZE_LIMIT
    password = PASSWORDS[USER]

    def __init__(self, postfix: Postfix, dovecot, port: int, security: Security) -> None:
        self.dovecot = dovecot
        self.settings = settings(postfix, port, security)
        self.servers = []

    def server(self):
        self.servers.append(SmtpServer(self.settings))
        return self.servers[-1]

    def arrived(self, count):
        """Postfix writes LF into a maildir, where Dovecot's readers would get CRLF."""
        wait_for(lambda: len(self._stored()) >= count, f"{count} deliveries")
        return [each.partition(b"\n\n")[2].replace(b"\n", b"\r\n") for each in self._stored()]

    def _stored(self):
        return self.dovecot.stored(self.accepted[0])


def settings(
    postfix: Postfix, port: int, security: Security, user: str = USER
) -> ConnectionSettings:
    return ConnectionSettings(
        host=postfix.host,
        port=port,
        security=security,
        credentials=Credentials(user, PASSWORDS[user]),
        timeout_seconds=10,
        ca_pem=postfix.ca_pem,
    )


@pytest.fixture
def make_account(postfix, dovecot):
    accounts = []

    def make(port, security):
        for user in PostfixAccount.accepted:
            dovecot.empty(user)
        accounts.append(PostfixAccount(postfix, dovecot, port, security))
        return accounts[-1]

    yield make
    for account in accounts:
        for server in account.servers:
            server.close()


class TestSubmissionOverStarttls(OutgoingContract):
    @pytest.fixture
    def account(self, make_account, postfix):
        return make_account(postfix.starttls_port, Security.STARTTLS)


class TestSubmissionOverTls(OutgoingContract):
    @pytest.fixture
    def account(self, make_account, postfix):
        return make_account(postfix.implicit_port, Security.IMPLICIT_TLS)

    def test_eight_bit_body_arrives_untouched(self, account):
        body = "Grüße aus Köln, 日本語\r\n".encode()
        account.server().send(
            Envelope("<1@example.com>", USER, account.accepted[:1], message(1, body)), Handing()
        )
        assert account.arrived(1) == [body]

    def test_hundreds_of_recipients_in_one_go(self, account):
        """More than one group of pipelined commands, with refusals spread over them."""
        unknown = [f"unknown{number}@example.com" for number in range(250)]
        recipients = (*unknown[:120], account.accepted[0], *unknown[120:], account.accepted[1])
        sent = account.server().send(
            Envelope("<1@example.com>", USER, recipients, message(1)), Handing()
        )
        assert [each.address for each in sent.recipients] == list(recipients)
        accepted = [each.address for each in sent.recipients if each.accepted]
        assert accepted == list(account.accepted)
        assert len(account.arrived(1)) == 1

    def test_hundreds_of_unknown_recipients_leave_the_line_in_step(self, account):
        unknown = tuple(f"unknown{number}@example.com" for number in range(150))
        server = account.server()
        with pytest.raises(MessageRefused) as caught:
            server.send(Envelope("<1@example.com>", USER, unknown, message(1)), Handing())
        assert len(caught.value.recipients) == 150
        server.send(Envelope("<2@example.com>", USER, account.accepted[:1], message(2)), Handing())
        assert len(account.arrived(1)) == 1

    def test_blind_copy_leaves_no_trace_in_the_message(self, account):
        """The envelope alone knows them; each gets the same octets."""
        account.server().send(
            Envelope("<1@example.com>", USER, account.accepted, message(1)), Handing()
        )
        wait_for(lambda: account.dovecot.stored(account.accepted[1]), "the delivery")
        account.arrived(1)
        first = account.dovecot.stored(account.accepted[0])[0]
        assert account.accepted[1].encode() not in first


@pytest.mark.parametrize("user", PASSWORDS)
def test_every_kind_of_password_logs_in(postfix, user):
    SmtpServer(settings(postfix, postfix.starttls_port, Security.STARTTLS, user)).open().close()


def test_wrong_password_is_refused_and_not_repeated(postfix):
    wrong = Credentials(USER, "wrong-and-secret")
    place = settings(postfix, postfix.implicit_port, Security.IMPLICIT_TLS)
    with pytest.raises(OutgoingLoginRefused) as caught:
        SmtpServer(dataclasses.replace(place, credentials=wrong)).open()
    assert caught.value.code == "OutgoingEmailAuthenticationError"
    assert "wrong-and-secret" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


def test_server_that_demands_a_login_names_it_when_there_is_none(postfix):
    """Postfix here answers 5.7.1 to strangers, which concerns the recipients."""
    place = settings(postfix, postfix.implicit_port, Security.IMPLICIT_TLS)
    server = SmtpServer(dataclasses.replace(place, credentials=None))
    with pytest.raises(MessageRefused):
        server.send(Envelope("<1@example.com>", USER, ("ben@example.com",), message(1)), Handing())
    server.close()
