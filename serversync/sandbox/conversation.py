"""One connection of a client: reading lines, answering, changing to TLS, and going wrong on request."""

import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

from serversync.sandbox import sasl
from serversync.sandbox.authority import Grant
from serversync.sandbox.faults import NOISE, Faults, Kind
from serversync.sandbox.store import Store

MAX_LINE = 1024 * 1024  # no client of ours sends more on one line
FLUSH_AT = 256 * 1024


class Hangup(Exception):
    """The line is gone, or is to be cut."""


@dataclass
class Site:
    """What all conversations of one sandbox share. `has_account`: by any protocol."""

    store: Store
    faults: Faults
    tls: ssl.SSLContext
    accept_mail: Callable[[str, list[str], bytes], None]
    has_account: Callable[[str], bool]
    local_domains: tuple[str, ...]
    allow_plain_login: bool = False
    max_message_bytes: int = 36 * 1024 * 1024
    introspect: Callable[[str], Grant | None] = lambda token: None
    stopping: threading.Event = field(default_factory=threading.Event)


class Conversation:
    """Subclasses answer: `greet` once, then `take` for each line."""

    protocol: ClassVar[str]

    def __init__(self, site: Site, connection: socket.socket, *, secure: bool) -> None:
        self.site = site
        self.store = site.store
        self.connection = connection
        self.secure = secure
        self.account = ""
        self.ended = False
        self._in = bytearray()
        self._out = bytearray()
        self._holding = False
        self._number = 0

    def greet(self) -> None:
        raise NotImplementedError

    def take(self, line: bytes) -> None:
        raise NotImplementedError

    def shape_reply(self, text: str) -> str:
        """Make the answer that a fault asks for fit the protocol."""
        return text

    def serve(self) -> None:
        """Until either side ends it. Whatever the client does, only this connection suffers."""
        try:
            if self.secure:
                self._shake_hands()
            self.obey("CONNECT", "", self.greet)
            while not self.ended:
                self.take(self.read_line())
            self.flush()
        except (Hangup, OSError, ValueError):
            pass
        finally:
            self.connection.close()

    # -- faults

    def obey(self, command: str, text: str, action: Callable[[], None]) -> None:
        """Do `action`, or what a fault has in mind for this command."""
        fault = self.site.faults.strike(self.protocol, self.account, command, text, self._number)
        self._number += command != "TLS"
        match fault and fault.kind:
            case None:
                action()
            case Kind.HANG:
                self.flush()
                self.site.stopping.wait(600)
                raise Hangup
            case Kind.DROP:
                self.flush()
                raise Hangup
            case Kind.DROP_AFTER:
                self.flush()
                self._holding = True
                action()
                raise Hangup
            case Kind.TRUNCATE:
                self.flush()
                self._holding = True
                action()
                self.connection.sendall(self._out[: max(1, len(self._out) // 2)])
                raise Hangup
            case Kind.GARBAGE:
                self.send(NOISE)
            case Kind.SLOW:
                self.flush()
                self.site.stopping.wait(float((fault and fault.argument) or 1))
                action()
            case Kind.REPLY:
                self.say(self.shape_reply((fault and fault.argument) or ""))

    def hides(self, capability: str) -> bool:
        return self.site.faults.hides(self.protocol, capability)

    # -- the line

    def say(self, text: str) -> None:
        self.send(text.encode("utf-8", "surrogateescape") + b"\r\n")

    def send(self, data: bytes) -> None:
        self._out += data
        if len(self._out) > FLUSH_AT and not self._holding:
            self.flush()

    def flush(self) -> None:
        if self._out and not self._holding:
            self.connection.sendall(self._out)
            self._out.clear()

    def _fill(self) -> None:
        self.flush()
        data = self.connection.recv(262_144)
        if not data:
            raise Hangup
        self._in += data

    def read_line(self) -> bytes:
        """The next line without its end."""
        seen = 0
        while (end := self._in.find(b"\n", seen)) < 0:
            seen = len(self._in)
            if seen > MAX_LINE:
                raise Hangup
            self._fill()
        line = bytes(self._in[:end])
        del self._in[: end + 1]
        return line.removesuffix(b"\r")

    def read_exactly(self, count: int) -> bytes:
        while len(self._in) < count:
            self._fill()
        data = bytes(self._in[:count])
        del self._in[:count]
        return data

    def read_dotted(self) -> bytes:
        """Octets up to the line with a dot alone, without the doubled dots (RFC 5321, 4.5.2)."""
        while len(self._in) < 3:
            self._fill()
        if self._in.startswith(b".\r\n"):
            self.read_exactly(3)
            return b""
        seen = 0
        while (end := self._in.find(b"\r\n.\r\n", seen)) < 0:
            seen = max(0, len(self._in) - 4)
            self._fill()
        content = self.read_exactly(end + 2)
        self.read_exactly(3)
        content = content.replace(b"\r\n.", b"\r\n")
        return content.removeprefix(b".")

    def start_tls(self) -> None:
        """After the go-ahead. What was sent in plain text behind the command is forgotten."""
        self.flush()
        self._in.clear()
        self._shake_hands()
        self.secure = True

    def _shake_hands(self) -> None:
        wrapped: list[socket.socket] = []

        def shake() -> None:
            wrapped.append(self.site.tls.wrap_socket(self.connection, server_side=True))

        self.obey("TLS", "", shake)
        if not wrapped:  # a fault answered in plain text
            self.flush()
            raise Hangup
        self.connection = wrapped[0]

    # -- logging in

    @property
    def may_log_in(self) -> bool:
        return self.secure or self.site.allow_plain_login

    def log_in(self, address: str, password: str) -> bool:
        if self.store.has_account(address) and self.store.password_fits(address, password):
            self.account = address.lower()
            return True
        return False

    # -- logging in with a token

    def token_mechanisms(self) -> list[str]:
        """Those that are offered; hide one by its name."""
        return [name for name in sasl.MECHANISMS if not self.hides(name)] if self.may_log_in else []

    def log_in_with_token(self, mechanism: str, shown: bytes) -> str:
        """ "" once logged in, else the error's JSON. Raises ValueError for what is malformed."""
        address, token = sasl.parse(mechanism, shown)
        grant = self.site.introspect(token)
        if grant is None or not (grant.is_application or grant.address == address.lower()):
            return sasl.error(mechanism, "invalid_token")
        if not grant.allows(self.protocol):
            return sasl.error(mechanism, "insufficient_scope")
        if not self.store.has_account(address):
            return sasl.error(mechanism, "invalid_token")
        self.account = address.lower()
        return ""


def dotted(mime: bytes) -> bytes:
    """A message as POP3 and SMTP carry it: CRLF line ends, leading dots doubled, the final dot."""
    lines = mime.split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    body = b"".join(
        (b"." if line.startswith(b".") else b"") + line.removesuffix(b"\r") + b"\r\n"
        for line in lines
    )
    return body + b".\r\n"
