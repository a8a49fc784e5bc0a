"""The line to a mail server: resolved, connected, secured and bounded in time, for every adapter.

POP3 and SMTP talk over it directly; IMAP lends it to its library. The standard library's clients
are not used for the line itself: they offer no bound on a whole reply, report a time-out as a lost
connection, and look a name up a second time after it was checked.

Time. A *step* is one command and its reply. It may take `timeout_seconds`, plus the time that its
octets need at `SLOWEST_RATE`, so that a large message on a slow line passes and a server that
trickles one octet a minute does not hold its reader.
"""

import base64
import ipaddress
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from cryptography import x509

from mailboxes.protocols import certificates
from mailboxes.protocols.base import ConnectionSettings, Credentials, Security
from mailboxes.protocols.errors import (
    CertificateRejected,
    ConnectionLost,
    ConnectionRefused,
    HostDenied,
    HostNotFound,
    InsecureConnection,
    SecureConnectionFailed,
    ServerError,
    SocketTimedOut,
    TransientError,
    UnexpectedReply,
)
from mailboxes.protocols.faultkinds import FaultKind
from mailboxes.protocols.phases import Listener, Phase, Watcher, watched
from mailboxes.protocols.transcript import LONGEST, shown_command, shown_reply

SLOWEST_RATE = 8 * 1024  # octets a second; slower than this, a step runs into its time-out
LONGEST_LINE = 64 * 1024  # no reply line of POP3 or SMTP is that long; IMAP asks for more
SEND_CHUNK = 64 * 1024
RECEIVE_CHUNK = 256 * 1024
PROBE_SECONDS = 5.0  # for finding out whether a silent server waits for a TLS handshake
GOODBYE_SECONDS = 5.0  # QUIT and LOGOUT are a courtesy, so they may not cost a time-out
TRUST_SECONDS = 3600  # how old the public roots may be that a line is checked by
# When a line on which nobody speaks is probed, how often, and after how many silences it is lost.
KEEP_ALIVE = {"TCP_KEEPIDLE": 60, "TCP_KEEPINTVL": 15, "TCP_KEEPCNT": 4}

# What OpenSSL calls it when the peer's first octets are text and not a TLS record.
PLAIN_TEXT_REASONS = {
    "WRONG_VERSION_NUMBER",
    "UNKNOWN_PROTOCOL",
    "HTTP_REQUEST",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
}

TOO_OLD_REASONS = {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"}

# X509_verify_cert_error(3) -> what it means.
REJECTED = {
    9: FaultKind.CERTIFICATE_NOT_YET_VALID,
    10: FaultKind.CERTIFICATE_EXPIRED,
    18: FaultKind.CERTIFICATE_SELF_SIGNED,
    **dict.fromkeys((2, 19, 20, 21), FaultKind.CERTIFICATE_ISSUER_UNKNOWN),
    **dict.fromkeys((62, 64), FaultKind.CERTIFICATE_FOR_OTHER_NAME),
}

# Only these mean "no such name"; the others are a resolver that can't answer now.
NO_SUCH_NAME = {
    getattr(socket, name)
    for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY")
    if hasattr(socket, name)
}

# The name is there, and neither an A nor an AAAA record is.
NO_ADDRESS = {
    getattr(socket, name) for name in ("EAI_NODATA", "EAI_ADDRFAMILY") if hasattr(socket, name)
}

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Endpoint = tuple[Any, ...]


class Line:
    """One connection. Constructed unconnected; after any error it is closed and can't be reused."""

    def __init__(self, settings: ConnectionSettings, watcher: Watcher | None = None) -> None:
        self.settings = settings
        self.secure = False
        self._watcher = watcher
        self._listener = watcher if isinstance(watcher, Listener) else None
        self._timeout = settings.timeout_seconds
        self._socket: socket.socket | None = None
        self.secrets: list[str] = []  # more that no text may show, the longest first
        self.last_words = b""  # what the server said before it stopped taking what we send
        self._buffer = bytearray()
        self._started_at = 0.0
        self._octets = 0

    def __repr__(self) -> str:
        return f"<Line {self.settings.host}:{self.settings.port}>"

    @property
    def usable(self) -> bool:
        return self._socket is not None

    # -- making the connection ---------------------------------------------------------------------

    def connect(self) -> None:
        """Resolve, check the addresses, connect to one of them, and secure it if TLS is implicit."""
        refuse_insecure(self.settings)
        with watched(self._watcher, Phase.RESOLVE):
            endpoints = resolve(self.settings.host, self.settings.port, self._timeout)
            tell_addresses(self._listener, endpoints)
            refuse_denied(self.settings.host, endpoints, self.settings.denied_networks)
        with watched(self._watcher, Phase.CONNECT):
            self._socket = connect_any(self.settings, endpoints)
            tell_peer(self._listener, self._socket)
        # The last octets of a message would wait for the acknowledgement of those before them.
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.settings.security is Security.IMPLICIT_TLS:
            with watched(self._watcher, Phase.TLS):
                self.start_tls()

    def start_tls(self) -> None:
        """Secure the line. What the server sent in plain text beyond its consent is thrown away:
        somebody between us could have put it there (RFC 3207, section 6; RFC 2595, section 4)."""
        self._buffer.clear()
        self.begin()
        with self._broken_by_failure():
            context = trust(self.settings.ca_pem)
            self._socket = handshake(
                self._connected(), context, self.settings.host, self._wait_seconds()
            )
        tell_tls(self._listener, self._socket)
        self.secure = True

    def await_greeting(self) -> None:
        """Wait for the first octet, which is the server's in all our protocols. A server that stays
        silent on a plain line may itself wait for a TLS handshake: find out, for it tells a wrong
        port from a server in trouble."""
        self.begin()
        if self.secure:
            return
        line = self._connected()
        with self._broken_by_failure():
            line.settimeout(self._wait_seconds())
            try:
                line.recv(1, socket.MSG_PEEK)
            except TimeoutError:
                if self._answers_handshake():
                    raise SecureConnectionFailed(
                        "the server expects TLS from the first octet on this port",
                        fault=FaultKind.TLS_ON_PLAIN_PORT,
                    ) from None
                raise

    def _answers_handshake(self) -> bool:
        wait = min(PROBE_SECONDS, self._timeout)
        try:
            context = trust(self.settings.ca_pem)
            self._socket = handshake(self._connected(), context, self.settings.host, wait)
        except CertificateRejected:
            return True
        except (ServerError, OSError):
            return False
        return True

    # -- talking -----------------------------------------------------------------------------------

    def begin(self) -> None:
        """A new step begins: its time counts from now."""
        self._started_at = time.monotonic()
        self._octets = 0

    def send(self, data: bytes) -> None:
        """Send one command, or all the octets of a message, as a step of its own."""
        self.begin()
        self._overheard_asking(data)
        view = memoryview(data)
        with self._broken_by_failure():
            for start in range(0, len(view), SEND_CHUNK):
                chunk = view[start : start + SEND_CHUNK]
                line = self._connected()
                line.settimeout(self._wait_seconds())
                try:
                    line.sendall(chunk)
                except ConnectionError:
                    self.last_words = unread(line)
                    raise
                self._octets += len(chunk)

    def read_line(self, limit: int = LONGEST_LINE) -> bytes:
        """The next line with its line end."""
        line = self.take(self._line_length(limit))
        if self._listener:
            # Cut last: the first half of a secret is none that `said` knows.
            self._listener.answered(self.said(shown_reply(line))[:LONGEST])
        return line

    def peek_line(self, limit: int = LONGEST_LINE) -> bytes:
        """The same, but it stays to be read."""
        return bytes(self._buffer[: self._line_length(limit)])

    def _line_length(self, limit: int) -> int:
        searched = 0
        while True:
            end = self._buffer.find(b"\n", searched)
            if 0 <= end < limit:
                return end + 1
            if len(self._buffer) >= limit:
                self.close()
                raise UnexpectedReply(
                    f"the server sent a line of more than {limit} octets",
                    fault=FaultKind.LINE_TOO_LONG,
                )
            searched = len(self._buffer)
            self.receive()

    def read_exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self.receive()
        return self.take(size)

    def take(self, size: int) -> bytes:
        """The first `size` octets of what has been received."""
        data = bytes(memoryview(self._buffer)[:size])
        del self._buffer[:size]
        return data

    @property
    def received(self) -> bytearray:
        """What has arrived and is not taken yet, for adapters that look for an end of their own."""
        return self._buffer

    def receive(self) -> None:
        """Wait for more octets and add them to `received`."""
        with self._broken_by_failure():
            line = self._connected()
            line.settimeout(self._wait_seconds())
            data = line.recv(RECEIVE_CHUNK)
            if not data:
                raise ConnectionLost("the server closed the connection")
        self._buffer += data
        self._octets += len(data)

    def has_spoken(self) -> bool:
        """Is there something to read already? Raises ConnectionLost if the server has hung up."""
        return bool(self._buffer) or self._take_in()

    def take_in(self, limit: int = LONGEST_LINE) -> None:
        """Add all that has arrived to `received`, without waiting. Raises ConnectionLost if the server
        has hung up, UnexpectedReply for more than `limit` octets at a time."""
        while self._take_in():
            if len(self._buffer) > limit:
                self.close()
                raise UnexpectedReply(f"the server sent more than {limit} octets unasked")

    def _take_in(self) -> bool:
        with self._broken_by_failure():
            line = self._connected()
            # A readable TLS socket may hold a session ticket only, so the data is really asked for.
            line.settimeout(0.0)
            try:
                data = line.recv(RECEIVE_CHUNK)
            except (BlockingIOError, ssl.SSLWantReadError):
                return False
            if not data:
                raise ConnectionLost("the server closed the connection")
        self._buffer += data
        return True

    def fileno(self) -> int:
        """For selectors."""
        return self._connected().fileno()

    def keep_alive(self) -> None:
        """Find out by itself when the other side is gone without a word."""
        keep_alive(self._connected())

    def hurry(self) -> None:
        """From now on nothing takes longer than a goodbye may."""
        self._timeout = min(self._timeout, GOODBYE_SECONDS)

    def close(self) -> None:
        """Drop the connection without a word. Never raises."""
        line, self._socket = self._socket, None
        self._buffer.clear()
        if line is not None:
            with suppress(OSError):
                line.close()

    # -- words -------------------------------------------------------------------------------------

    def said(self, raw: bytes | str) -> str:
        """The server's words, fit to show: one line, printable, and no secret even if it echoed."""
        text = raw if isinstance(raw, str) else raw.decode("utf-8", "replace")
        for secret in (*self.secrets, *secrets_of(self.settings)):  # while its blanks are its own
            text = text.replace(secret, "***")
        text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return text[:500]

    # -- inside ------------------------------------------------------------------------------------

    def _overheard_asking(self, data: bytes) -> None:
        if self._listener:
            for words in shown_command(data):
                self._listener.asked(self.said(words))

    def _connected(self) -> socket.socket:
        if self._socket is None:
            raise ConnectionLost("the connection is closed")
        return self._socket

    def _wait_seconds(self) -> float:
        """How long the next operation may wait. Nothing waits longer than one time-out, however
        many octets the step has earned."""
        earned = self._timeout + self._octets / SLOWEST_RATE
        left = earned - (time.monotonic() - self._started_at)
        if left <= 0:
            raise SocketTimedOut(
                f"the server did not finish its answer within {self._timeout:g} seconds"
            )
        return min(left, self._timeout)

    @contextmanager
    def _broken_by_failure(self) -> Iterator[None]:
        """Turn what a socket raises into our errors. A line that failed once is out of step."""
        try:
            yield
        except ServerError:
            self.close()
            raise
        except TimeoutError as error:
            self.close()
            raise SocketTimedOut(f"no answer within {self._timeout:g} seconds") from error
        except OSError as error:  # ssl.SSLError is one too
            self.close()
            raise ConnectionLost(f"the connection broke: {reason(error)}") from error


# -- deciding whether and where to connect ---------------------------------------------------------


def refuse_insecure(settings: ConnectionSettings) -> None:
    """R1.26: no line without TLS, and no password on one, unless each is allowed."""
    if settings.security is not Security.PLAIN:
        return
    if not settings.allow_plain:
        raise InsecureConnection(
            "connections without TLS are not allowed", fault=FaultKind.PLAIN_FORBIDDEN
        )
    if settings.credentials and not settings.allow_plain_login:
        raise InsecureConnection(
            "passwords on a connection without TLS are not allowed", fault=FaultKind.PLAIN_FORBIDDEN
        )


def resolve(host: str, port: int, timeout_seconds: float) -> list[Endpoint]:
    """The addresses behind `host`, as getaddrinfo gives them. An IP address needs no resolver."""
    try:
        name = host.strip().rstrip(".").encode("idna").decode("ascii")
    except UnicodeError as error:
        raise HostNotFound(f"{host!r} is not a host name", fault=FaultKind.NOT_A_HOST) from error
    if not name or not 1 <= port <= 65535:
        raise HostNotFound(
            f"{host!r} port {port} is no place to connect to", fault=FaultKind.NOT_A_HOST
        )
    found: list[list[Endpoint] | Exception] = []

    def look_up() -> None:
        try:
            found.append(socket.getaddrinfo(name, port, type=socket.SOCK_STREAM))
        except OSError as error:
            found.append(error)

    # getaddrinfo has no time-out of its own; a resolver that hangs keeps its thread, not ours.
    thread = threading.Thread(target=look_up, name="resolve", daemon=True)
    thread.start()
    thread.join(timeout_seconds)
    if not found:
        raise SocketTimedOut(
            f"the name {name} was not resolved within {timeout_seconds:g} seconds",
            fault=FaultKind.RESOLVER_SILENT,
        )
    answer = found[0]
    if isinstance(answer, Exception):
        raise unresolved(name, answer) from answer
    return answer


def unresolved(name: str, error: Exception) -> ServerError:
    number = error.errno if isinstance(error, socket.gaierror) else None
    if number in NO_ADDRESS:
        return HostNotFound(
            f"the host {name} exists, but has no address", fault=FaultKind.NO_ADDRESS
        )
    if number in NO_SUCH_NAME:
        return HostNotFound(f"the host {name} does not exist", fault=FaultKind.NO_SUCH_HOST)
    return TransientError(
        f"the host {name} can't be resolved now: {error}", fault=FaultKind.RESOLVER_FAILED
    )


def refuse_denied(host: str, endpoints: list[Endpoint], networks: tuple[str, ...]) -> None:
    """One denied address is enough: the name's owner decides which one we would get."""
    for text in networks:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            raise HostDenied(
                f"the list of denied networks holds {text!r}, not a network"
            ) from error
        for endpoint in endpoints:
            address = endpoint[4][0]
            if any(within == network or within in network for within in faces(address)):
                raise HostDenied(
                    f"{host} is {address}, which lies in the denied network {network}",
                    fault=FaultKind.NETWORK_DENIED,
                )


def faces(text: str) -> list[Address]:
    """The address and the IPv4 address that it wraps, if it does."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    wrapped = address.ipv4_mapped or address.sixtofour
    if address in NAT64:
        wrapped = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return [address, wrapped] if wrapped else [address]


def connect_any(settings: ConnectionSettings, endpoints: list[Endpoint]) -> socket.socket:
    """A connection to the first address that answers. Each gets its share of the time, so that a
    silent one (a broken IPv6 route) leaves some for the next."""
    deadline = time.monotonic() + settings.timeout_seconds
    failures: list[OSError] = []
    for index, (family, kind, protocol, _, where) in enumerate(endpoints):
        share = (deadline - time.monotonic()) / (len(endpoints) - index)
        attempt = None
        try:
            attempt = socket.socket(family, kind, protocol)
            attempt.settimeout(max(share, 0.01))
            attempt.connect(where)
        except OSError as error:
            failures.append(error)
            if attempt is not None:
                attempt.close()
        else:
            return attempt
    place = f"{settings.host} port {settings.port}"
    for failure in failures:
        if isinstance(failure, ConnectionRefusedError):
            raise ConnectionRefused(
                f"{place} refuses connections", fault=FaultKind.PORT_REFUSED
            ) from failure
    for failure in failures:
        if not isinstance(failure, TimeoutError):
            raise TransientError(
                f"{place} can't be reached: {reason(failure)}", fault=FaultKind.UNREACHABLE
            ) from failure
    raise SocketTimedOut(
        f"{place} did not answer within {settings.timeout_seconds:g} seconds",
        fault=FaultKind.PORT_FILTERED,
    ) from (failures[-1] if failures else None)


# -- TLS -------------------------------------------------------------------------------------------


def tls_context(ca_pem: str) -> ssl.SSLContext:
    """Verifies names and chains, always. With `ca_pem`, it alone is trusted."""
    try:
        context = ssl.create_default_context(cadata=ca_pem.strip() or None)
    except (ssl.SSLError, ValueError) as error:
        raise SecureConnectionFailed(
            "the certificate authority given can't be read", fault=FaultKind.AUTHORITY_UNREADABLE
        ) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_pem.strip():
        # What a person named as trusted is trusted, also if it is not a root.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def trust(ca_pem: str) -> ssl.SSLContext:
    """The same for every line of this process that trusts alike, made anew each hour: the public roots are
    some 850 KB and take longer to read than a handshake. Nobody may change it."""
    return _trust(ca_pem, int(time.monotonic() // TRUST_SECONDS))


@lru_cache(maxsize=32)
def _trust(ca_pem: str, _hour: int) -> ssl.SSLContext:
    return tls_context(ca_pem)


def handshake(
    plain: socket.socket, context: ssl.SSLContext, host: str, timeout_seconds: float
) -> ssl.SSLSocket:
    plain.settimeout(timeout_seconds)
    secured: ssl.SSLSocket | None = None
    try:
        secured = context.wrap_socket(
            plain,
            server_hostname=host.strip().rstrip("."),
            do_handshake_on_connect=False,
        )
        secured.do_handshake()
    except ssl.SSLCertVerificationError as error:
        rejected = CertificateRejected(
            why_rejected(error, host, unverified_leaf(secured)),
            fault=REJECTED.get(error.verify_code, FaultKind.CERTIFICATE_UNUSABLE),
        )
        drop(secured)
        raise rejected from error
    except (ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
        drop(secured)
        raise ConnectionLost(
            "the server hung up during the TLS handshake; it may not speak TLS on this port",
            fault=FaultKind.TLS_HUNG_UP,
        ) from error
    except ssl.SSLError as error:
        drop(secured)
        raise SecureConnectionFailed(why_no_tls(error), fault=no_tls_fault(error)) from error
    except ValueError as error:
        drop(secured)
        raise SecureConnectionFailed(
            f"TLS can't be started: {error}", fault=FaultKind.TLS_FAILED
        ) from error
    except ConnectionResetError as error:
        drop(secured)
        raise ConnectionLost(
            "the server hung up during the TLS handshake; it may not speak TLS on this port",
            fault=FaultKind.TLS_HUNG_UP,
        ) from error
    except OSError:
        drop(secured)
        raise
    certificates.note(host, secured)
    return secured


def drop(secured: ssl.SSLSocket | None) -> None:
    """wrap_socket takes the plain socket over, so this one must be closed."""
    if secured is not None:
        secured.close()


def why_no_tls(error: ssl.SSLError) -> str:
    name = error.reason or ""
    if name in PLAIN_TEXT_REASONS:
        return (
            "the server answers in plain text on this port; "
            "it may want STARTTLS, or TLS on another port"
        )
    if name in TOO_OLD_REASONS:
        return "the server offers no TLS version from 1.2 on"
    return f"the TLS handshake failed: {reason(error)}"


def no_tls_fault(error: ssl.SSLError) -> FaultKind:
    name = error.reason or ""
    if name in PLAIN_TEXT_REASONS:
        return FaultKind.PLAIN_ON_TLS_PORT
    return FaultKind.TLS_TOO_OLD if name in TOO_OLD_REASONS else FaultKind.TLS_FAILED


def why_rejected(
    error: ssl.SSLCertVerificationError, host: str, leaf: x509.Certificate | None
) -> str:
    """In plain words. Codes: X509_verify_cert_error(3)."""
    code = error.verify_code
    if code in (62, 64):  # host name or address mismatch
        names = ", ".join(names_of(leaf)) if leaf else ""
        return f"the certificate is not for {host}" + (f" but for {names}" if names else "")
    if code == 10:
        return f"a certificate of the server has expired{since(leaf)}"
    if code == 9:
        return "a certificate of the server is not valid yet"
    if code in (18, 19):
        return "the certificate is signed by itself or by an authority that is not trusted here"
    if code in (2, 20, 21):
        return "the certificate is signed by an authority that is not known here"
    return f"the certificate can't be verified: {error.verify_message}"


def unverified_leaf(secured: ssl.SSLSocket | None) -> x509.Certificate | None:
    """The certificate that was just rejected, to say what is wrong with it. Only newer versions of
    Python show it officially, so the lack of it costs a detail and nothing else."""
    inner = getattr(secured, "_sslobj", None)
    try:
        chain = inner.get_unverified_chain()  # type: ignore[union-attr]
        pem = chain[0].public_bytes()
        return x509.load_pem_x509_certificate(pem.encode() if isinstance(pem, str) else pem)
    except (AttributeError, IndexError, TypeError, ValueError, ssl.SSLError):
        return None


def since(leaf: x509.Certificate | None) -> str:
    """Empty if the expired one is not the server's own but an authority's above it."""
    if leaf is None or leaf.not_valid_after_utc > datetime.now(UTC):
        return ""
    return f" (valid until {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} UTC)"


def names_of(leaf: x509.Certificate) -> list[str]:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        return [str(name.value) for name in extension.value][:5]
    except (x509.ExtensionNotFound, ValueError):
        return []


# -- what a listener hears of the line -------------------------------------------------------------


def tell_addresses(listener: Listener | None, endpoints: list[Endpoint]) -> None:
    if listener:
        addresses = dict.fromkeys(str(endpoint[4][0]) for endpoint in endpoints)
        listener.found("addresses", ", ".join(addresses))


def tell_peer(listener: Listener | None, line: socket.socket) -> None:
    if listener:
        with suppress(OSError):
            host, port = line.getpeername()[:2]
            listener.found("connected", f"{host} {port}")


def tell_tls(listener: Listener | None, line: socket.socket | None) -> None:
    """The version, and of the certificate what an administrator checks by hand."""
    if listener is None or not isinstance(line, ssl.SSLSocket):
        return
    listener.found("tls", f"{line.version()} {(line.cipher() or ('',))[0]}")
    raw = line.getpeercert(binary_form=True)
    if raw is None:
        return
    leaf = x509.load_der_x509_certificate(raw)
    listener.found("certificate", ", ".join(names_of(leaf)))
    listener.found("issuer", leaf.issuer.rfc4514_string()[:300])
    listener.found("valid_until", leaf.not_valid_after_utc.isoformat())


# -- small matters ---------------------------------------------------------------------------------


def keep_alive(connected: socket.socket) -> None:
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in KEEP_ALIVE.items():
        if (option := getattr(socket, name, None)) is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)


def unread(line: socket.socket) -> bytes:
    """What arrived on a line that is about to be closed."""
    try:
        line.settimeout(0.0)
        return line.recv(RECEIVE_CHUNK)
    except OSError:
        return b""


def reason(error: OSError) -> str:
    return str(error.strerror or error) or type(error).__name__


def secrets_of(settings: ConnectionSettings) -> list[str]:
    """The password in each form in which it crosses the line. Tokens are named to the line by whoever
    sends them."""
    if not isinstance(settings.credentials, Credentials) or not settings.credentials.password:
        return []
    user, password = settings.credentials.username, settings.credentials.password
    forms = [password, f"\0{user}\0{password}", f"{user}:{password}"]
    encoded = [base64.b64encode(form.encode()).decode() for form in forms]
    return [*encoded, password]


CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def has_controls(text: str) -> bool:
    """Could `text` end a command line and begin another one?"""
    return CONTROL.search(text) is not None
