"""The sandbox itself: listening ports on 127.0.0.1, one store, one set of faults, a token authority."""

import json
import selectors
import socket
import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from serversync.sandbox.authority import TokenAuthority
from serversync.sandbox.certificates import Flaw, load_authority, server_context, server_pair
from serversync.sandbox.conversation import Conversation, Site
from serversync.sandbox.ews.exchange import Exchange
from serversync.sandbox.faults import Faults
from serversync.sandbox.imap import Imap
from serversync.sandbox.outside import Manner, Outside, Person, forwarded
from serversync.sandbox.pop3 import Pop3
from serversync.sandbox.smtp import Smtp
from serversync.sandbox.store import Store
from serversync.sandbox.web import WebServer

HOST = "127.0.0.1"
LOCAL_DOMAIN = "sandbox.example"


@dataclass(frozen=True, slots=True)
class Service:
    conversation: type[Conversation]
    secure: bool


#: Names of the ports. With an "s" TLS begins at once, without by STARTTLS or STLS.
SERVICES = {
    "smtp": Service(Smtp, False),
    "smtps": Service(Smtp, True),
    "pop3": Service(Pop3, False),
    "pop3s": Service(Pop3, True),
    "imap": Service(Imap, False),
    "imaps": Service(Imap, True),
}
AUTHORITY = "authority"  # the port of the token authority, with TLS
#: The Exchange server's ports. Without TLS it only redirects, unless logins without TLS are allowed.
WEB_SERVICES = ("ews", "ews-plain")
PORTS_NOTE = "ports"


class Sandbox:
    """`folder`: where mail, keys and ports outlive this process; None for a sandbox of the moment.

    `allow_plain_login`: passwords without TLS are taken, for tests of lines without TLS.
    `forwarding`: address -> address, a rule "forward as an attachment" of that account.
    """

    host = HOST

    def __init__(
        self,
        folder: Path | None = None,
        *,
        people: Mapping[str, Person] | None = None,
        flaw: Flaw = Flaw.NONE,
        local_domains: tuple[str, ...] = (LOCAL_DOMAIN,),
        allow_plain_login: bool = False,
        max_message_bytes: int = 36 * 1024 * 1024,
    ) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="sandbox-") if folder is None else None
        self.folder = Path(self._scratch.name) if self._scratch else Path(folder or "")
        self.folder.mkdir(parents=True, exist_ok=True)
        authority = load_authority(self.folder)
        self.ca_pem = authority.pem
        self.store = Store(None if self._scratch else self.folder / "mail.sqlite3")
        self.faults = Faults()
        self.authority = TokenAuthority(
            self._password_fits,
            None if self._scratch else self.folder / "authority.sqlite3",
        )
        self.outside = Outside(people)
        self.forwarding: dict[str, str] = {}
        self.sent: list[tuple[str, tuple[str, ...], bytes]] = []
        self.ports: dict[str, int] = {}
        tls = server_context(authority, self.folder, flaw, local_domains)
        self.exchange = Exchange(
            path=None if self._scratch else self.folder / "exchange.sqlite3",
            faults=self.faults,
            accept_mail=self.accept_mail,
            tls=tls,
            allow_plain_login=allow_plain_login,
        )
        self.exchange.gate.authority = self.authority
        self._site = Site(
            store=self.store,
            faults=self.faults,
            tls=tls,
            accept_mail=self.accept_mail,
            has_account=self.has_account,
            local_domains=tuple(domain.lower() for domain in local_domains),
            allow_plain_login=allow_plain_login,
            max_message_bytes=max_message_bytes,
            introspect=self.authority.introspect,
        )
        self._pair = server_pair(self.folder, flaw)
        self._web: WebServer | None = None
        self._listening: dict[socket.socket, Service] = {}
        self._connections: dict[threading.Thread, Conversation] = {}
        self._acceptor: threading.Thread | None = None
        self._wake, self._woken = socket.socketpair()

    # -- running

    def start(self) -> "Sandbox":
        """Listen on the ports of last time where they are free, else on any."""
        wanted = json.loads(self.store.note(PORTS_NOTE, "{}"))
        for name, service in SERVICES.items():
            listening = _listen(int(wanted.get(name, 0)))
            self._listening[listening] = service
            self.ports[name] = listening.getsockname()[1]
        self._web = WebServer(
            self.authority,
            tls=self._site.tls,
            pair=self._pair,
            port=int(wanted.get(AUTHORITY, 0)),
            name="sandbox-authority",
        )
        self.ports[AUTHORITY] = self._web.port
        self.exchange.gate.authorization_url = f"{self.authority_url}/authorize"
        self.ports |= self.exchange.start(wanted)
        self.store.set_note(PORTS_NOTE, json.dumps(self.ports))
        self._acceptor = threading.Thread(target=self._accept, name="sandbox", daemon=True)
        self._acceptor.start()
        return self

    def stop(self) -> None:
        """Close every port and line; may be called twice."""
        if self._site.stopping.is_set():
            return
        self._site.stopping.set()
        self._wake.send(b"x")
        if self._acceptor is not None:
            self._acceptor.join(10)
        for listening in self._listening:
            listening.close()
        self.drop_connections()
        for thread in list(self._connections):
            thread.join(5)
        self.exchange.stop()
        self._wake.close()
        self._woken.close()
        self.authority.close()
        if self._web is not None:
            self._web.stop()
        self.store.close()
        if self._scratch is not None:
            self._scratch.cleanup()

    def drop_connections(self) -> None:
        """Cut every line, as a server does that restarts."""
        for conversation in list(self._connections.values()):
            with suppress(OSError):
                conversation.connection.shutdown(socket.SHUT_RDWR)
        self.exchange.drop_connections()

    def _password_fits(self, address: str, password: str) -> bool:
        stores = (self.store, self.exchange.store)
        return any(store.password_fits(address, password) for store in stores)

    @property
    def authority_url(self) -> str:
        """Of the token authority: /authorize, /token and /revoke are below."""
        return f"https://localhost:{self.ports[AUTHORITY]}"

    @property
    def connection_count(self) -> int:
        return sum(thread.is_alive() for thread in list(self._connections))

    def _accept(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._woken, selectors.EVENT_READ)
            for listening in self._listening:
                selector.register(listening, selectors.EVENT_READ)
            while not self._site.stopping.is_set():
                for key, _ in selector.select():
                    if isinstance(key.fileobj, socket.socket) and key.fileobj in self._listening:
                        self._serve(key.fileobj)

    def _serve(self, listening: socket.socket) -> None:
        try:
            connection, _ = listening.accept()
        except OSError:  # gone again before we looked
            return
        connection.setblocking(True)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        service = self._listening[listening]
        conversation = service.conversation(self._site, connection, secure=service.secure)
        for ended in [thread for thread in self._connections if not thread.is_alive()]:
            del self._connections[ended]
        thread = threading.Thread(target=conversation.serve, name="sandbox-line", daemon=True)
        thread.start()
        self._connections[thread] = conversation

    # -- mail

    def has_account(self, address: str) -> bool:
        return self.store.has_account(address) or self.exchange.receives(address)

    def accept_mail(self, sender: str, recipients: list[str], mime: bytes) -> None:
        """What SMTP or Exchange has taken: into the inboxes here, or to the people outside, who may
        answer."""
        now = datetime.now(UTC)
        self.sent.append((sender, tuple(recipients), mime))
        for recipient in recipients:
            if self._has_room(recipient, len(mime)):
                self.deliver(recipient, mime, now)
                continue
            outside = self.outside
            if self.has_account(recipient):
                outside = Outside({recipient: Person(recipient, recipient, Manner.BOUNCE)})
            answer = outside.take(sender, recipient, mime, now)
            if answer is not None and self.has_account(answer.to):
                self.deliver(answer.to, answer.mime, now)

    def _has_room(self, address: str, size: int) -> bool:
        """Is there an account that takes it? Full Exchange mailboxes send mail back."""
        if self.exchange.receives(address):
            return self.exchange.has_room(address, size)
        return self.store.has_account(address)

    def deliver(self, address: str, mime: bytes, received_at: datetime | None = None) -> int:
        """Into an inbox, and where its owner has a rule for it, forwarded as an attachment. Returns
        the UID; 0 for an Exchange account, which has none."""
        uid = self._put(address, mime, received_at)
        if target := self.forwarding.get(address.lower()):
            wrapper = forwarded(mime, address, target, received_at or datetime.now(UTC))
            self._put(target, wrapper, received_at)
        return uid

    def _put(self, address: str, mime: bytes, received_at: datetime | None) -> int:
        if not self.exchange.receives(address):
            return self.store.deliver(address, mime, received_at=received_at)
        for outside in self.exchange.accept(address, mime, received_at):
            if self.store.has_account(outside):
                self.store.deliver(outside, mime, received_at=received_at)
        return 0


def _listen(port: int) -> socket.socket:
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
    except OSError:
        listening.bind((HOST, 0))
    listening.listen(128)
    listening.setblocking(False)
    return listening


@contextmanager
def running_sandbox(
    folder: Path | None = None,
    *,
    accounts: Mapping[str, str] | None = None,
    people: Mapping[str, Person] | None = None,
    flaw: Flaw = Flaw.NONE,
    local_domains: tuple[str, ...] = (LOCAL_DOMAIN,),
    allow_plain_login: bool = False,
    max_message_bytes: int = 36 * 1024 * 1024,
) -> Iterator[Sandbox]:
    """A started sandbox with these accounts (address -> password), stopped at the end."""
    sandbox = Sandbox(
        folder,
        people=people,
        flaw=flaw,
        local_domains=local_domains,
        allow_plain_login=allow_plain_login,
        max_message_bytes=max_message_bytes,
    )
    try:
        for address, password in (accounts or {}).items():
            sandbox.store.add_account(address, password)
        yield sandbox.start()
    finally:
        sandbox.stop()
