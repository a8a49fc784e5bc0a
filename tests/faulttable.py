"""Faults of mail servers, and what Test & Enable has to make of each: where it shows, the code, and the exact
fault, whose cause and cure `mailboxes.faultwords` says. docs/faults.md is this table as a page; `page` writes it.

Each row brings its own server: a scripted one on the loopback, or none where nothing may answer.
"""

import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from mailboxes.causes import Cause, cause_of
from mailboxes.protocols.base import (
    Authentication,
    Bearer,
    ConnectionSettings,
    Credentials,
    Security,
)
from mailboxes.protocols.ews.settings import Access, ExchangeSettings
from mailboxes.protocols.faultkinds import FaultKind as K
from mailboxes.protocols.phases import Phase as P
from serversync.console.mailboxes.steps import STEPS
from serversync.sandbox import faults as sandboxed
from serversync.sandbox.ews.faults import busy, http_status, soap_fault
from serversync.sandbox.servers import Sandbox
from tests.servers.certificates import Authority
from tests.servers.faulty import (
    Dialogue,
    Fault,
    ImapBox,
    Pop3Box,
    ScriptedServer,
    SmtpBox,
    Talk,
    imap,
    pop3,
    smtp,
)
from tests.servers.ports import free_port

AT_LEAST = 40
SHORT = 0.2  # seconds, where waiting is what is tested
LONG = 20.0  # everywhere else
PASSWORD = "the-secret-of-ada"
TOKEN = "token-of-ada"
ADDRESS = "ada@example.com"

#: What the name servers say; a name that isn't here is looked up as ever.
NAMES: dict[str, int | None] = {
    "nowhere.example.com": socket.EAI_NONAME,
    "empty.example.com": socket.EAI_NODATA,
    "servfail.example.com": socket.EAI_AGAIN,
    "silent.example.com": None,
}


@dataclass
class World:
    """Where a row's servers run, until the row is over. `exchange`: a sandbox with the accounts of
    `EXCHANGE`, whose faults are forgotten before each row."""

    authority: Authority
    stack: ExitStack
    exchange: Callable[[], Sandbox]

    def settings(self, port: int, **changes: Any) -> ConnectionSettings:
        values: dict[str, Any] = {
            "host": "localhost",
            "security": Security.PLAIN,
            "credentials": Credentials("ada", PASSWORD),
            "timeout_seconds": LONG,
            "ca_pem": self.authority.pem,
            "allow_plain": True,
            "allow_plain_login": True,
        }
        return ConnectionSettings(port=port, **(values | changes))

    def serve(
        self, dialogue: Dialogue, certificate: Any = None, *, implicit: bool = False
    ) -> ScriptedServer:
        server = ScriptedServer(dialogue, certificate, implicit_tls=implicit)
        self.stack.enter_context(server)
        return server

    def service(self, **changes: Any) -> ExchangeSettings:
        sandbox = self.exchange()
        values: dict[str, Any] = {
            "address": ADDRESS,
            "access": Access.OWN,
            "authentication": Authentication.BASIC,
            "credentials": Credentials(ADDRESS, PASSWORD),
            "url": f"https://localhost:{sandbox.ports['ews']}/EWS/Exchange.asmx",
            "ca_pem": sandbox.ca_pem,
            "timeout_seconds": LONG,
        }
        return ExchangeSettings(**(values | changes))


Scene = Callable[[World], ConnectionSettings | ExchangeSettings]


@dataclass(frozen=True)
class Case:
    """`what`: as an administrator would tell it. `phase`: of the conversation, or "settings" before it.
    `fault`: None where the code says all there is to say."""

    what: str
    protocol: str
    scene: Scene
    phase: str
    code: str
    fault: K | None

    @property
    def cause(self) -> Cause:
        return cause_of(self.code, fault=self.fault)


# -- scenes --------------------------------------------------------------------------------------


def host(name: str, **changes: Any) -> Scene:
    return lambda world: world.settings(993, host=name, **changes)


def nobody(world: World) -> ConnectionSettings:
    return world.settings(free_port())


def firewall(world: World) -> ConnectionSettings:
    """A queue that is full takes no more, and says nothing: as behind a filter."""
    listener = world.stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    waiting = world.stack.enter_context(socket.socket())
    waiting.connect(listener.getsockname())
    return world.settings(listener.getsockname()[1], host="127.0.0.1", timeout_seconds=SHORT)


def scripted(dialogue: Callable[[], Dialogue], **changes: Any) -> Scene:
    return lambda world: world.settings(world.serve(dialogue()).port, **changes)


def pop(fault: Fault | None = None, *, wait: float = LONG, **box: Any) -> Scene:
    return scripted(lambda: pop3(Pop3Box([MAIL], **box), _fresh(fault)), timeout_seconds=wait)


def imp(fault: Fault | None = None, *, wait: float = LONG, **box: Any) -> Scene:
    return scripted(lambda: imap(ImapBox({1: MAIL}, **box), _fresh(fault)), timeout_seconds=wait)


def smt(fault: Fault | None = None, *, wait: float = LONG, **box: Any) -> Scene:
    return scripted(lambda: smtp(SmtpBox(**box), _fresh(fault)), timeout_seconds=wait)


def answering(**answers: str) -> Scene:
    return smt(answers=answers)


def login_no(words: str) -> Scene:
    return imp(replies={"LOGIN": [f"TAG NO {words}"]})


def token_no(challenge: str) -> Scene:
    """A server that takes tokens, and not this one."""
    box = ImapBox(capabilities="IMAP4rev1 SASL-IR AUTH=XOAUTH2")
    box.replies["AUTHENTICATE"] = [f"TAG NO {challenge}"]
    return lambda world: world.settings(
        world.serve(imap(box)).port, credentials=Bearer("ada", lambda refused: TOKEN)
    )


def no_tokens(world: World) -> ConnectionSettings:
    return world.settings(
        world.serve(imap(ImapBox())).port, credentials=Bearer("ada", lambda refused: TOKEN)
    )


def certificate(make: Callable[[Authority], Any], **changes: Any) -> Scene:
    """A server with TLS from the first octet, and this certificate."""

    def scene(world: World) -> ConnectionSettings:
        server = world.serve(imap(ImapBox()), make(world.authority), implicit=True)
        return world.settings(server.port, security=Security.IMPLICIT_TLS, **changes)

    return scene


def raw(dialogue: Dialogue, security: Security = Security.PLAIN, wait: float = LONG) -> Scene:
    return lambda world: world.settings(
        world.serve(dialogue).port, security=security, timeout_seconds=wait
    )


def hang_up(talk: Talk) -> None:
    talk.raw_line()
    talk.drop()


def alert(number: int) -> Dialogue:
    """A TLS record that refuses the handshake."""

    def dialogue(talk: Talk) -> None:
        talk.say(b"\x15\x03\x01\x00\x02\x02" + bytes([number]))
        talk.hang()

    return dialogue


def greeting(words: bytes) -> Dialogue:
    def dialogue(talk: Talk) -> None:
        talk.say(words)
        talk.hang()

    return dialogue


def tls_on_plain_port(world: World) -> ConnectionSettings:
    server = world.serve(imap(ImapBox()), world.authority.issue("localhost"), implicit=True)
    return world.settings(server.port, security=Security.STARTTLS, timeout_seconds=SHORT)


def unreadable_authority(world: World) -> ConnectionSettings:
    server = world.serve(imap(ImapBox()), world.authority.issue("localhost"), implicit=True)
    pem = "-----BEGIN CERTIFICATE-----\nnone\n-----END CERTIFICATE-----"
    return world.settings(server.port, security=Security.IMPLICIT_TLS, ca_pem=pem)


def foreign(authority: Authority) -> Any:
    return Authority(authority.folder, "Foreign authority").issue("localhost")


def ews(fault: sandboxed.Fault | None = None, **changes: Any) -> Scene:
    """The sandbox's Exchange server, with this wrong at it, or in how it is asked."""

    def scene(world: World) -> ExchangeSettings:
        if fault is not None:
            world.exchange().exchange.faults.add(fault)
        return world.service(**changes)

    return scene


def soap(code: str) -> Scene:
    return ews(soap_fault(code, times=None))


def status(number: int, **values: Any) -> Scene:
    return ews(http_status(number, times=None, **values))


def elsewhere(path: str) -> Scene:
    """Another place of the same server."""
    return lambda world: world.service(
        url=f"https://localhost:{world.exchange().ports['ews']}{path}"
    )


def service_certificate(world: World) -> ExchangeSettings:
    server = world.serve(imap(ImapBox()), world.authority.issue("mail.example.org"), implicit=True)
    url = f"https://localhost:{server.port}/EWS/Exchange.asmx"
    return world.service(url=url, ca_pem=world.authority.pem)


def _fresh(fault: Fault | None) -> Fault | None:
    """Faults count themselves down."""
    return Fault(fault.command, fault.kind) if fault else None


MAIL = b"From: ben@example.com\r\nSubject: one\r\n\r\nHello.\r\n"
PLAIN, STARTTLS, TLS = Security.PLAIN, Security.STARTTLS, Security.IMPLICIT_TLS
NO_PASSWORD = {"credentials": None}
SERVICE = "service@example.com"  # an account that opens no mailbox by itself
EXCHANGE = (ADDRESS, SERVICE)
BY_SERVICE = {"credentials": Credentials(SERVICE, PASSWORD)}
FORBIDDEN = {"allow_plain": False}

CASES: tuple[Case, ...] = (
    # -- finding the host
    Case("the host name has a typing error", "imap", host("nowhere.example.com"),
         P.RESOLVE, "HostNotFound", K.NO_SUCH_HOST),
    Case("the name has no A and no AAAA record", "imap", host("empty.example.com"),
         P.RESOLVE, "HostNotFound", K.NO_ADDRESS),
    Case("the name servers fail (SERVFAIL)", "smtp", host("servfail.example.com"),
         P.RESOLVE, "ServiceUnavailable", K.RESOLVER_FAILED),
    Case("the name servers don't answer", "pop3",
         host("silent.example.com", timeout_seconds=SHORT),
         P.RESOLVE, "SocketTimedOut", K.RESOLVER_SILENT),
    Case("the location is empty", "imap", host(""), P.RESOLVE, "HostNotFound", K.NOT_A_HOST),
    Case("the host lies in a denied network", "imap", host("127.0.0.1", denied_networks=("127.0.0.0/8",)),
         P.RESOLVE, "HostDenied", K.NETWORK_DENIED),
    # -- connecting
    Case("nothing listens at the port", "imap", nobody, P.CONNECT, "HostNotFound", K.PORT_REFUSED),
    Case("a firewall drops the connection", "smtp", firewall,
         P.CONNECT, "SocketTimedOut", K.PORT_FILTERED),
    Case("there is no route to the host", "pop3", host("255.255.255.255"),
         P.CONNECT, "ServiceUnavailable", K.UNREACHABLE),
    # -- securing the line
    Case("the profile has no TLS, the organization wants it", "imap", host("localhost", **FORBIDDEN),
         "settings", "InsecureConnection", K.PLAIN_FORBIDDEN),
    Case("the certificate has expired", "imap",
         certificate(lambda authority: authority.issue_expired("localhost")),
         P.TLS, "CertificateRejected", K.CERTIFICATE_EXPIRED),
    Case("the certificate is not valid yet", "imap",
         certificate(lambda authority: authority.issue_for_later("localhost")),
         P.TLS, "CertificateRejected", K.CERTIFICATE_NOT_YET_VALID),
    Case("the certificate is for another name", "imap",
         certificate(lambda authority: authority.issue("mail.example.org")),
         P.TLS, "CertificateRejected", K.CERTIFICATE_FOR_OTHER_NAME),
    Case("the certificate is self-signed", "imap",
         certificate(lambda authority: authority.issue_self_signed("localhost")),
         P.TLS, "CertificateRejected", K.CERTIFICATE_SELF_SIGNED),
    Case("the certificate's authority is not known, or the chain is incomplete", "imap",
         certificate(foreign), P.TLS, "CertificateRejected", K.CERTIFICATE_ISSUER_UNKNOWN),
    Case("the certificate is meant for clients", "imap",
         certificate(lambda authority: authority.issue_for_clients("localhost")),
         P.TLS, "CertificateRejected", K.CERTIFICATE_UNUSABLE),
    Case("the authority in the profile can't be read", "imap", unreadable_authority,
         P.TLS, "SecureConnectionFailed", K.AUTHORITY_UNREADABLE),
    Case("the server only knows TLS 1.0", "imap", raw(alert(70), TLS),
         P.TLS, "SecureConnectionFailed", K.TLS_TOO_OLD),
    Case("no cipher in common", "smtp", raw(alert(40), TLS),
         P.TLS, "SecureConnectionFailed", K.TLS_FAILED),
    Case("the server hangs up in the handshake", "pop3",
         raw(hang_up, TLS),
         P.TLS, "ServiceUnavailable", K.TLS_HUNG_UP),
    Case("the server is silent in the handshake", "imap", raw(Talk.hang, TLS, SHORT),
         P.TLS, "SocketTimedOut", K.TLS_SILENT),
    Case("STARTTLS is not offered (IMAP)", "imap",
         scripted(lambda: imap(ImapBox(capabilities="IMAP4rev1")), security=STARTTLS),
         P.TLS, "SecureConnectionFailed", K.STARTTLS_MISSING),
    Case("STLS is not offered (POP3)", "pop3",
         scripted(lambda: pop3(Pop3Box()), security=STARTTLS),
         P.TLS, "SecureConnectionFailed", K.STARTTLS_MISSING),
    Case("STARTTLS is not offered (SMTP)", "smtp",
         scripted(lambda: smtp(SmtpBox(answers={"STARTTLS": "502 unknown"})), security=STARTTLS),
         P.TLS, "SecureConnectionFailed", K.STARTTLS_MISSING),
    Case("a plain server on a TLS port", "smtp",
         scripted(lambda: smtp(SmtpBox()), security=TLS),
         P.TLS, "SecureConnectionFailed", K.PLAIN_ON_TLS_PORT),
    Case("a TLS server on a plain port", "imap", tls_on_plain_port,
         P.GREET, "SecureConnectionFailed", K.TLS_ON_PLAIN_PORT),
    # -- the first words
    Case("IMAP is expected, a POP3 server answers", "imap", scripted(lambda: pop3(Pop3Box())),
         P.GREET, "WrongProtocol", K.OTHER_PROTOCOL),
    Case("SMTP is expected, a web server answers", "smtp",
         raw(greeting(b"HTTP/1.1 400 Bad Request\r\n")),
         P.GREET, "SmtpSyntax", K.OTHER_PROTOCOL),
    Case("POP3 is expected, an SSH server answers", "pop3",
         raw(greeting(b"SSH-2.0-OpenSSH_9.2\r\n")),
         P.GREET, "WrongProtocol", K.OTHER_PROTOCOL),
    Case("the greeting is garbage", "pop3", pop(Fault("greeting", "garbage")),
         P.GREET, "UnexpectedReply", K.GARBAGE_GREETING),
    Case("the greeting never ends", "smtp", smt(Fault("greeting", "endless")),
         P.GREET, "UnexpectedReply", K.LINE_TOO_LONG),
    Case("the server closes the connection at once", "imap", raw(Talk.drop),
         P.GREET, "ServiceUnavailable", K.CLOSED_AT_ONCE),
    Case("the server never greets", "pop3", raw(Talk.hang, PLAIN, SHORT),
         P.GREET, "SocketTimedOut", K.GREETING_SILENT),
    Case("too many connections (421)", "smtp", smt(greeting="421 4.3.2 too many connections"),
         P.GREET, "ServiceUnavailable", K.TURNED_AWAY),
    Case("too many connections (BYE)", "imap", imp(greeting="* BYE too many connections"),
         P.GREET, "ServiceUnavailable", K.TURNED_AWAY),
    Case("this site is on a block list (554)", "smtp",
         smt(greeting="554 5.7.1 your address is on a block list"),
         P.GREET, "Forbidden", K.BLOCKED),
    # -- logging in
    Case("no password is stored", "imap", scripted(lambda: imap(ImapBox()), **NO_PASSWORD),
         P.LOGIN, "InvalidCredentials", K.CREDENTIALS_MISSING),
    Case("the password is wrong (IMAP)", "imap",
         login_no("[AUTHENTICATIONFAILED] Invalid credentials (Failure)"),
         P.LOGIN, "InvalidCredentials", K.PASSWORD_WRONG),
    Case("the password is wrong (POP3)", "pop3",
         pop(replies={"PASS": "-ERR [AUTH] Authentication failed"}),
         P.LOGIN, "InvalidCredentials", K.PASSWORD_WRONG),
    Case("the password is wrong (SMTP)", "smtp",
         answering(AUTH="535 5.7.8 Username and Password not accepted"),
         P.LOGIN, "OutgoingEmailAuthenticationError", K.PASSWORD_WRONG),
    Case("the password has expired", "imap", login_no("[EXPIRED] Your password has expired"),
         P.LOGIN, "InvalidCredentials", K.PASSWORD_EXPIRED),
    Case("an app password is needed (IMAP)", "imap",
         login_no("[ALERT] Application-specific password required: https://example.com (Failure)"),
         P.LOGIN, "InvalidCredentials", K.APP_PASSWORD_NEEDED),
    Case("an app password is needed (SMTP)", "smtp",
         answering(AUTH="534 5.7.9 Application-specific password required."),
         P.LOGIN, "OutgoingEmailAuthenticationError", K.APP_PASSWORD_NEEDED),
    Case("the provider wants a confirmation in the browser", "smtp",
         answering(AUTH="534 5.7.14 Please log in via your web browser and then try again."),
         P.LOGIN, "OutgoingEmailAuthenticationError", K.BROWSER_NEEDED),
    Case("the account is disabled", "pop3",
         pop(replies={"PASS": "-ERR This account has been disabled"}),
         P.LOGIN, "InvalidCredentials", K.ACCOUNT_DISABLED),
    Case("the account is locked", "imap",
         login_no("[CONTACTADMIN] The account is locked"),
         P.LOGIN, "InvalidCredentials", K.ACCOUNT_LOCKED),
    Case("the account is locked for a while", "imap",
         login_no("Too many failed logins, try again later"),
         P.LOGIN, "ServiceUnavailable", K.ACCOUNT_LOCKED),
    Case("IMAP is switched off for the account", "imap",
         login_no("IMAP access is disabled for your domain. (Failure)"),
         P.LOGIN, "InvalidCredentials", K.PROTOCOL_OFF),
    Case("SMTP login is switched off for the tenant", "smtp",
         answering(AUTH="535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is "
                        "disabled for the Tenant."),
         P.LOGIN, "OutgoingEmailAuthenticationError", K.PROTOCOL_OFF),
    Case("the server takes no passwords on this line (LOGINDISABLED)", "imap",
         imp(capabilities="IMAP4rev1 LOGINDISABLED"),
         P.LOGIN, "InvalidCredentials", K.PASSWORD_LOGIN_OFF),
    Case("the port offers no login", "smtp", smt(extensions=("PIPELINING",)),
         P.LOGIN, "OutgoingEmailAuthenticationError", K.PASSWORD_LOGIN_OFF),
    Case("only OAuth is offered (IMAP)", "imap",
         imp(capabilities="IMAP4rev1 LOGINDISABLED AUTH=XOAUTH2"),
         P.LOGIN, "InvalidCredentials", K.TOKENS_ONLY),
    Case("only OAuth is offered (SMTP)", "smtp", smt(extensions=("AUTH XOAUTH2",)),
         P.LOGIN, "OutgoingEmailAuthenticationError", K.TOKENS_ONLY),
    Case("passwords are switched off for the tenant", "smtp",
         answering(AUTH="535 5.7.139 Authentication unsuccessful, basic authentication is disabled."),
         P.LOGIN, "OutgoingEmailAuthenticationError", K.TOKENS_ONLY),
    Case("the server knows no tokens", "imap", no_tokens,
         P.LOGIN, "TokenRefused", K.TOKENS_UNKNOWN),
    Case("the token has expired, the new one too", "imap",
         token_no("[AUTHENTICATIONFAILED] The access token expired"),
         P.LOGIN, "TokenRefused", K.TOKEN_EXPIRED),
    Case("the token is for another account", "imap", token_no("[AUTHORIZATIONFAILED] not you"),
         P.LOGIN, "TokenRefused", K.TOKEN_REFUSED),
    Case("the login service is down", "smtp",
         answering(AUTH="454 4.7.0 Temporary authentication failure"),
         P.LOGIN, "ServiceUnavailable", K.LOGIN_NOT_NOW),
    Case("another program has the mailbox open", "pop3",
         pop(replies={"PASS": "-ERR [IN-USE] Do you have another POP session running?"}),
         P.LOGIN, "ServiceUnavailable", K.MAILBOX_IN_USE),
    Case("the server stops answering at the login", "pop3", pop(Fault("PASS", "hang"), wait=SHORT),
         P.LOGIN, "SocketTimedOut", K.SILENT),
    Case("the server hangs up at the login", "imap", imp(Fault("LOGIN", "drop")),
         P.LOGIN, "ServiceUnavailable", K.HUNG_UP),
    # -- the inbox
    Case("there is no inbox", "imap",
         imp(replies={"EXAMINE": ["TAG NO [NONEXISTENT] Mailbox doesn't exist: INBOX"]}),
         P.OPEN, "FolderMissing", K.INBOX_MISSING),
    Case("the account may not read the inbox", "imap",
         imp(replies={"EXAMINE": ["TAG NO [NOPERM] Permission denied"]}),
         P.OPEN, "FolderMissing", K.INBOX_NO_RIGHTS),
    Case("the server has no UIDL", "pop3", pop(uidls=None), P.LIST, "UidlUnusable", K.UIDL_MISSING),
    Case("two messages have the same UIDL", "pop3", pop(uidls=["u1", "u1"]),
         P.LIST, "UidlUnusable", K.UIDL_REPEATS),
    Case("the list is garbage", "imap", imp(Fault("EXAMINE", "garbage")),
         P.OPEN, "UnexpectedReply", K.GARBAGE),
    Case("the server stops answering at the list", "pop3", pop(Fault("UIDL", "hang"), wait=SHORT),
         P.LIST, "SocketTimedOut", K.SILENT),
    # -- sending
    Case("the server doesn't relay", "smtp",
         answering(RCPT="550 5.7.1 Unable to relay for ada@example.com"),
         P.SEND, "MessageRefused", K.RELAY_DENIED),
    Case("From is refused", "smtp",
         answering(MAIL="553 5.7.1 Sender address rejected: not owned by user ada"),
         P.SEND, "ErrorSendAsDenied", K.SENDER_REFUSED),
    Case("the address is unknown", "smtp", answering(RCPT="550 5.1.1 User unknown"),
         P.SEND, "MessageRefused", K.RECIPIENT_UNKNOWN),
    Case("the server takes no message of this size", "smtp", smt(extensions=("SIZE 10", "AUTH PLAIN")),
         P.SEND, "MessageTooLarge", K.TOO_LARGE),
    Case("too many messages in a minute", "smtp",
         answering(MAIL="450 4.7.1 Error: too many messages, slow down"),
         P.SEND, "SendingTooFast", K.TOO_FAST),
    Case("the daily limit is reached", "smtp",
         answering(MAIL="550 5.4.5 Daily user sending limit exceeded"),
         P.SEND, "ErrorSubmissionQuotaExceeded", K.QUOTA_REACHED),
    Case("the sender's own mailbox is full", "smtp", answering(MAIL="552 5.2.2 Mailbox full"),
         P.SEND, "ErrorSubmissionQuotaExceeded", K.SENDER_MAILBOX_FULL),
    Case("the server goes down while sending (421)", "smtp", answering(RCPT="421 4.3.2 shutting down"),
         P.SEND, "ServiceUnavailable", K.SERVER_LEAVES),
    Case("the server wants TLS before it takes mail", "smtp",
         answering(MAIL="530 5.7.0 Must issue a STARTTLS command first"),
         P.SEND, "SecureConnectionFailed", K.TLS_DEMANDED),
    Case("the server wants a login before it takes mail", "smtp",
         scripted(lambda: smtp(SmtpBox(answers={"MAIL": "530 5.7.0 Authentication required"})),
                  **NO_PASSWORD),
         P.SEND, "OutgoingEmailAuthenticationError", K.LOGIN_DEMANDED),
    Case("greylisting", "smtp", answering(RCPT="451 4.7.1 Greylisted, please try again"),
         P.SEND, "MessageDeferred", K.GREYLISTED),
    Case("the spam filter refuses the message", "smtp",
         answering(content="554 5.7.1 Message rejected as spam"),
         P.SEND, "MessageRefused", K.CONTENT_REFUSED),
    Case("the line breaks at the end of the message", "smtp", smt(Fault("content", "drop")),
         P.SEND, "ServiceUnavailable", K.NO_RECEIPT),
    # -- Exchange
    Case("the certificate is for another name (Exchange)", "ews", service_certificate,
         P.TLS, "CertificateRejected", K.CERTIFICATE_FOR_OTHER_NAME),
    Case("there is no web service at the location (404)", "ews", elsewhere("/nothing"),
         P.LOGIN, "WrongProtocol", K.NO_WEB_SERVICE),
    Case("the web service sends elsewhere (302)", "ews", status(302),
         P.LOGIN, "WrongProtocol", K.SENT_ELSEWHERE),
    Case("a login page answers in place of the web service", "ews", status(200),
         P.LOGIN, "WrongProtocol", K.WEB_PAGE),
    Case("the web service refuses this site (403)", "ews", status(403),
         P.LOGIN, "Forbidden", K.SERVICE_FORBIDDEN),
    Case("the password is wrong (Exchange, 401)", "ews",
         ews(credentials=Credentials(ADDRESS, "another")),
         P.LOGIN, "InvalidCredentials", K.PASSWORD_WRONG),
    Case("the password has expired (Exchange)", "ews", soap("ErrorPasswordExpired"),
         P.LOGIN, "InvalidCredentials", K.PASSWORD_EXPIRED),
    Case("the account is disabled (Exchange)", "ews", soap("ErrorAccountDisabled"),
         P.LOGIN, "8005E273", K.ACCOUNT_DISABLED),
    Case("the account has no licence", "ews", soap("ErrorInvalidLicense"),
         P.LOGIN, "ErrorInvalidLicense", None),
    Case("the account may not impersonate the mailbox", "ews",
         ews(access=Access.IMPERSONATION, **BY_SERVICE),
         P.LOGIN, "ErrorImpersonateUserDenied", None),
    Case("the account has no full access to the mailbox", "ews",
         ews(access=Access.DELEGATION, **BY_SERVICE),
         P.LOGIN, "ErrorAccessDenied", None),
    Case("no mailbox has this address", "ews", ews(address="nobody@example.com", access=Access.DELEGATION),
         P.LOGIN, "ErrorNonExistentMailbox", None),
    Case("the server refuses the version", "ews", soap("ErrorInvalidServerVersion"),
         P.LOGIN, "ErrorInvalidServerVersion", None),
    Case("the server is busy and says for how long (BackOffMilliseconds)", "ews",
         ews(busy(back_off_milliseconds=90_000, times=None)),
         P.LOGIN, "ErrorServerBusy", K.THROTTLED),
    Case("too many connections (Exchange)", "ews", soap("ErrorExceededConnectionCount"),
         P.LOGIN, "ErrorServerBusy", K.THROTTLED),
    Case("the web service is down (503)", "ews", status(503),
         P.LOGIN, "ServiceUnavailable", None),
    Case("the mailbox is being moved", "ews", soap("ErrorMailboxMoveInProgress"),
         P.LOGIN, "ErrorMailboxStoreUnavailable", None),
    Case("the mailbox is full (Exchange)", "ews", soap("ErrorQuotaExceeded"),
         P.LOGIN, "ErrorQuotaExceeded", None),
    Case("the server stops answering at the list (Exchange)", "ews",
         ews(sandboxed.Fault(kind=sandboxed.Kind.HANG, protocol="ews", command="SyncFolderItems"),
             timeout_seconds=SHORT * 2),
         P.LIST, "SocketTimedOut", K.SILENT),
)  # fmt: skip


# -- the page ------------------------------------------------------------------------------------

HEAD = """# Faults

What can be wrong between this site and a mail server, where [Test & Enable](behaviour/02-approval-and-test.md)
and the connection test of a profile show it, and what they say about it. Each row is met by a test with a server
that misbehaves just so.

| what is wrong | step | code | cause | cure |
| --- | --- | --- | --- | --- |
"""


def page() -> str:
    return HEAD + "".join(
        f"| {case.what} | {str(STEPS[case.phase]).lower()} | {case.code} | {case.cause.meaning}"
        f" | {case.cause.advice} |\n"
        for case in CASES
    )
