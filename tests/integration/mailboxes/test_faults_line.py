"""Where and how to connect: each way in which it can fail has its own error, for every protocol."""

import socket
import time
from datetime import UTC, datetime

import pytest

from mailboxes.protocols import certificates
from mailboxes.protocols.base import AdapterOptions, ConnectionSettings, Credentials, Security
from mailboxes.protocols.errors import (
    CertificateRejected,
    ConnectionLost,
    ConnectionRefused,
    HostDenied,
    HostNotFound,
    InsecureConnection,
    SecureConnectionFailed,
    SmtpSyntax,
    SocketTimedOut,
    WrongProtocol,
)
from mailboxes.protocols.imap import ImapServer
from mailboxes.protocols.phases import Phase
from mailboxes.protocols.pop3 import Pop3Server
from mailboxes.protocols.smtp import SmtpServer
from tests.integration.mailboxes.conftest import PATIENCE, TIMEOUT
from tests.servers.certificates import Authority
from tests.servers.faulty import (
    ImapBox,
    Pop3Box,
    ScriptedServer,
    SmtpBox,
    imap,
    pop3,
    smtp,
)
from tests.servers.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

ADAPTERS = pytest.mark.parametrize("adapter", [Pop3Server, ImapServer, SmtpServer])
HONEST = {Pop3Server: pop3(Pop3Box()), ImapServer: imap(ImapBox()), SmtpServer: smtp(SmtpBox())}


def place(port, security=Security.IMPLICIT_TLS, authority=None, **changes) -> ConnectionSettings:
    values = {
        "host": "localhost",
        "credentials": Credentials("ada", "secret-of-ada"),
        "timeout_seconds": PATIENCE,
        "ca_pem": authority.pem if authority else "",
    }
    return ConnectionSettings(port=port, security=security, **(values | changes))


def tls_server(adapter, certificate):
    return ScriptedServer(HONEST[adapter], certificate, implicit_tls=True)


@ADAPTERS
@pytest.mark.parametrize("security", [Security.IMPLICIT_TLS, Security.STARTTLS])
def test_good_certificate_is_accepted(adapter, security, authority):
    implicit = security is Security.IMPLICIT_TLS
    certificate = authority.issue("localhost")
    with ScriptedServer(HONEST[adapter], certificate, implicit_tls=implicit) as server:
        adapter(place(server.port, security, authority)).open().close()
    seen = certificates.take()
    assert seen["localhost", server.port] > datetime.now(UTC), "noted on the way, for R1.21"


@ADAPTERS
def test_expired_certificate_is_rejected_with_its_date(adapter, authority):
    with (
        tls_server(adapter, authority.issue_expired("localhost")) as server,
        pytest.raises(CertificateRejected, match="expired") as caught,
    ):
        adapter(place(server.port, authority=authority)).open()
    assert "2026-02-03 04:05" in str(caught.value)
    assert caught.value.phase is Phase.TLS
    assert caught.value.__cause__ is not None


@ADAPTERS
def test_certificate_for_another_name_is_rejected_with_that_name(adapter, authority):
    with (
        tls_server(adapter, authority.issue("mail.example.org")) as server,
        pytest.raises(CertificateRejected, match=r"not for localhost but for mail\.example\.org"),
    ):
        adapter(place(server.port, authority=authority)).open()


@ADAPTERS
@pytest.mark.parametrize("own_authority", [True, False], ids=["other authority", "system roots"])
def test_certificate_of_a_foreign_authority_is_rejected(
    adapter, authority, own_authority, tmp_path
):
    foreign = Authority(tmp_path, "Foreign authority")
    with (
        tls_server(adapter, foreign.issue("localhost")) as server,
        pytest.raises(CertificateRejected, match="authority that is not known"),
    ):
        adapter(place(server.port, authority=authority if own_authority else None)).open()


@ADAPTERS
def test_certificate_is_verified_after_starttls_too(adapter, authority):
    with (
        ScriptedServer(HONEST[adapter], authority.issue("mail.example.org")) as server,
        pytest.raises(CertificateRejected),
    ):
        adapter(place(server.port, Security.STARTTLS, authority)).open()
    assert not any("secret" in line for line in server.lines)


@ADAPTERS
def test_address_in_place_of_a_name_is_checked_against_the_certificate(adapter, authority):
    with tls_server(adapter, authority.issue("localhost", "127.0.0.1")) as server:
        adapter(place(server.port, authority=authority, host="127.0.0.1")).open().close()
    with (
        tls_server(adapter, authority.issue("localhost")) as server,
        pytest.raises(CertificateRejected),
    ):
        adapter(place(server.port, authority=authority, host="127.0.0.1")).open()


@ADAPTERS
def test_unreadable_authority_is_named(adapter, authority):
    with (
        tls_server(adapter, authority.issue("localhost")) as server,
        pytest.raises(SecureConnectionFailed, match="authority given can't be read"),
    ):
        adapter(place(server.port, ca_pem="-----BEGIN CERTIFICATE-----\nno\n")).open()


@ADAPTERS
@pytest.mark.rule("R1.26")
def test_starttls_not_offered_ends_the_connection_without_a_login(adapter):
    boxes = {
        Pop3Server: pop3(Pop3Box(capabilities=("USER", "UIDL"))),
        ImapServer: imap(ImapBox(capabilities="IMAP4rev1")),
        SmtpServer: smtp(SmtpBox(answers={"STARTTLS": "502 unknown"})),
    }
    with (
        ScriptedServer(boxes[adapter]) as server,
        pytest.raises(SecureConnectionFailed, match="does not offer ST"),
    ):
        adapter(place(server.port, Security.STARTTLS)).open()
    assert not any("PASS" in line or "LOGIN" in line or "AUTH" in line for line in server.lines)


@ADAPTERS
@pytest.mark.rule("R1.26")
def test_plain_line_needs_permission_and_a_password_on_it_a_second_one(adapter):
    with ScriptedServer(HONEST[adapter]) as server:
        for allowed in ({}, {"allow_plain": True}, {"allow_plain_login": True}):
            with pytest.raises(InsecureConnection):
                adapter(place(server.port, Security.PLAIN, **allowed)).open()
        assert server.connections == 0
        both = {"allow_plain": True, "allow_plain_login": True}
        adapter(place(server.port, Security.PLAIN, **both)).open().close()


@pytest.mark.rule("R1.26")
def test_plain_line_without_a_password_needs_one_permission():
    with ScriptedServer(HONEST[SmtpServer]) as server:
        unauthenticated = {"credentials": None, "allow_plain": True}
        SmtpServer(place(server.port, Security.PLAIN, **unauthenticated)).open().close()


@ADAPTERS
def test_plain_server_on_a_tls_port_is_named(adapter):
    with (
        ScriptedServer(HONEST[adapter]) as server,
        pytest.raises(SecureConnectionFailed, match="plain text on this port"),
    ):
        adapter(place(server.port)).open()


@ADAPTERS
@pytest.mark.parametrize("trusted", [True, False])
def test_tls_server_on_a_plain_port_is_named(adapter, authority, trusted):
    """Both sides wait for the other one to begin."""
    with (
        tls_server(adapter, authority.issue("localhost")) as server,
        pytest.raises(SecureConnectionFailed, match="expects TLS from the first octet"),
    ):
        settings = place(
            server.port,
            Security.STARTTLS,
            authority if trusted else None,
            timeout_seconds=TIMEOUT,
        )
        adapter(settings).open()


@ADAPTERS
def test_what_came_before_the_handshake_is_thrown_away(adapter, authority):
    """A man in the middle adds replies to the consent, to be read as if they came through TLS."""
    forged = {
        Pop3Server: "+OK go\r\n+OK forged",
        ImapServer: "{tag} OK go\r\n* CAPABILITY IMAP4rev1 LOGINDISABLED",
        SmtpServer: "220 go\r\n250-forged\r\n250 AUTH CRAM-MD5",
    }

    def dialogue(talk):
        talk.say({Pop3Server: "+OK hi", ImapServer: "* OK hi", SmtpServer: "220 hi"}[adapter])
        while True:
            tag, *rest = talk.line().split(" ")
            if adapter is ImapServer and rest[0] == "CAPABILITY":
                talk.say("* CAPABILITY IMAP4rev1 STARTTLS", f"{tag} OK done")
            elif adapter is SmtpServer and tag == "EHLO":
                talk.say("250-mail.example.com", "250 STARTTLS")
            else:
                talk.say(forged[adapter].replace("{tag}", tag))
                break
        talk.start_tls()
        talk.server.first_line_inside = talk.line()

    with ScriptedServer(dialogue, authority.issue("localhost")) as server:
        # The server leaves after one more command; had a forged reply been read, it were answered.
        with pytest.raises(ConnectionLost):
            adapter(place(server.port, Security.STARTTLS, authority)).open()
        asked = {Pop3Server: "CAPA", ImapServer: "CAPABILITY", SmtpServer: "EHLO"}[adapter]
        assert asked in server.first_line_inside


@ADAPTERS
@pytest.mark.parametrize(
    "greeting", ["HTTP/1.1 400 Bad Request", "SSH-2.0-OpenSSH_9.2"], ids=["web", "ssh"]
)
def test_another_protocol_is_named(adapter, greeting, authority):
    with (
        ScriptedServer(
            lambda talk: (talk.say(greeting), talk.hang()),
            authority.issue("localhost"),
            implicit_tls=True,
        ) as server,
        pytest.raises(WrongProtocol, match=greeting[:8]) as caught,
    ):
        adapter(place(server.port, authority=authority)).open()
    assert isinstance(caught.value, SmtpSyntax) is (adapter is SmtpServer)


@ADAPTERS
@pytest.mark.parametrize("other", [Pop3Server, ImapServer, SmtpServer])
def test_the_ports_of_the_three_taken_for_each_other(adapter, other, authority):
    with tls_server(other, authority.issue("localhost")) as server:
        settings = place(server.port, authority=authority)
        if adapter is other:
            adapter(settings).open().close()
        else:
            with pytest.raises(WrongProtocol):
                adapter(settings).open()


@ADAPTERS
def test_nobody_listens(adapter):
    with pytest.raises(ConnectionRefused) as caught:
        adapter(place(free_port())).open()
    assert caught.value.code == "HostNotFound"
    assert caught.value.phase is Phase.CONNECT


@ADAPTERS
def test_host_in_a_denied_network_is_not_contacted(adapter):
    with ScriptedServer(HONEST[adapter]) as server:
        denied = ("10.0.0.0/8", "127.0.0.0/8")
        with pytest.raises(HostDenied, match=r"127\.0\.0\.0/8"):
            adapter(place(server.port, denied_networks=denied)).open()
        assert server.connections == 0


@ADAPTERS
def test_unknown_host_is_named(adapter, monkeypatch):
    def no_such_name(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", no_such_name)
    with pytest.raises(HostNotFound) as caught:
        adapter(place(993, host="nowhere.example.com")).open()
    assert caught.value.phase is Phase.RESOLVE


@ADAPTERS
@pytest.mark.parametrize("security", [Security.IMPLICIT_TLS, Security.STARTTLS])
def test_silent_server_costs_one_timeout_for_each_try(adapter, security):
    """During the handshake, or before the greeting (and then another one for the TLS probe)."""
    with ScriptedServer(lambda talk: talk.hang()) as server:
        started = time.monotonic()
        with pytest.raises(SocketTimedOut):
            adapter(place(server.port, security, timeout_seconds=TIMEOUT)).open()
        assert time.monotonic() - started < PATIENCE


@ADAPTERS
def test_server_that_hangs_up_during_the_handshake(adapter):
    with (
        ScriptedServer(lambda talk: talk.line() and talk.drop()) as server,
        pytest.raises(ConnectionLost),
    ):
        adapter(place(server.port)).open()


class Journal:
    def __init__(self):
        self.entries = []

    def begin(self, phase):
        self.entries.append(f"{phase} begins")

    def end(self, phase, error):
        self.entries.append(f"{phase} {'fails' if error else 'ends'}")


@ADAPTERS
@pytest.mark.parametrize("security", [Security.IMPLICIT_TLS, Security.STARTTLS])
def test_phases_are_told_in_order(adapter, security, authority):
    journal = Journal()
    implicit = security is Security.IMPLICIT_TLS
    with ScriptedServer(
        HONEST[adapter], authority.issue("localhost"), implicit_tls=implicit
    ) as server:
        options = AdapterOptions(watcher=journal)
        adapter(place(server.port, security, authority), options).open().close()
    secured = ("tls", "greet") if implicit else ("greet", "tls")
    assert journal.entries == [
        f"{phase} {word}"
        for phase in ("resolve", "connect", *secured, "login")
        for word in ("begins", "ends")
    ]


@ADAPTERS
def test_failing_phase_is_told(adapter):
    journal = Journal()
    with pytest.raises(ConnectionRefused):
        adapter(place(free_port()), AdapterOptions(watcher=journal)).open()
    assert journal.entries[-2:] == ["connect begins", "connect fails"]
