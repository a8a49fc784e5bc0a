"""HTTPS for everything that is asked of a web server: verified, kept out of denied networks, bounded
in time and size.

A `requests` adapter whose connections are made by `line`: names are resolved once and checked, and
nothing else than the checked addresses is connected to, redirects included. Neither proxies nor
.netrc of the environment are looked at.

Time. One request and its answer is a step as in `line`: `timeout_seconds`, and what its octets need.
"""

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPSConnection
from urllib3.connectionpool import HTTPSConnectionPool
from urllib3.exceptions import HTTPError, ProtocolError
from urllib3.poolmanager import PoolManager

from mailboxes.protocols.base import ConnectionSettings, Security
from mailboxes.protocols.errors import (
    ConnectionLost,
    HostNotFound,
    InsecureConnection,
    ServerError,
    SocketTimedOut,
    UnexpectedReply,
)
from mailboxes.protocols.line import (
    SLOWEST_RATE,
    connect_any,
    handshake,
    reason,
    refuse_denied,
    resolve,
    tls_context,
)

FORM = "application/x-www-form-urlencoded"
CHUNK = 16 * 1024
LARGEST_HEAD = 1024 * 1024  # octets of one answer besides its body, interim answers (1xx) included


@dataclass(frozen=True, slots=True)
class Reach:
    """How a web server may be reached. `ca_pem`: an authority of its own; with `public_roots` those
    count besides."""

    timeout_seconds: float = 30.0
    ca_pem: str = ""
    public_roots: bool = True
    denied_networks: tuple[str, ...] = ()
    largest_answer: int = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Answer:
    """`headers` in any case; `body` may hold secrets and is never shown."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


def trust(reach: Reach) -> ssl.SSLContext:
    """Raises SecureConnectionFailed if the authority can't be read."""
    return _context(reach.ca_pem.strip(), reach.public_roots)


@lru_cache(maxsize=32)  # reading all public roots takes longer than asking
def _context(ca_pem: str, public_roots: bool) -> ssl.SSLContext:
    context = tls_context(ca_pem)
    if ca_pem and public_roots:
        context.load_default_certs()
    context.sslsocket_class = BoundedSocket
    return context


class BoundedSocket(ssl.SSLSocket):
    """No answer takes longer than its step may, however often an octet trickles in, or more octets than it
    may, however fast they come."""

    bounds: tuple[float, float] | None = None  # when the step began, seconds
    octets = 0
    most_octets = 0

    def begin(self, seconds: float, most_octets: int) -> None:
        self.bounds, self.octets = (time.monotonic(), seconds), 0
        self.most_octets = most_octets

    def recv_into(self, *args: Any, **kwargs: Any) -> int:
        if self.bounds is not None:
            began, seconds = self.bounds
            left = began + seconds + self.octets / SLOWEST_RATE - time.monotonic()
            if left <= 0:
                raise TimeoutError("the answer was not finished in time")
            self.settimeout(min(left, seconds))
        count = super().recv_into(*args, **kwargs)
        self.octets += count
        if self.bounds is not None and self.octets > self.most_octets:
            raise UnexpectedReply("the server's answer has no end")
        return count


class GuardedAdapter(HTTPAdapter):
    """For `requests.Session.mount("https://", ...)`. Connections raise errors of our tree."""

    def __init__(self, reach: Reach, **options: Any) -> None:
        self.reach = reach
        self._context = trust(reach)
        super().__init__(**options)

    def init_poolmanager(
        self, connections: int, maxsize: int, block: bool = False, **options: Any
    ) -> None:
        class Connection(GuardedConnection):
            reach = self.reach
            trust = self._context

        class Pool(HTTPSConnectionPool):
            ConnectionCls = Connection

        self.poolmanager = PoolManager(
            num_pools=connections, maxsize=maxsize, block=block, **options
        )
        self.poolmanager.pool_classes_by_scheme = {"https": Pool}

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        """Our own context decides whom to trust, whatever the session says."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {}

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Nothing to add."""

    def proxy_manager_for(self, *args: Any, **kwargs: Any) -> Any:
        raise InsecureConnection("a proxy would connect in our place, unchecked")


class GuardedConnection(HTTPSConnection):
    """Connects as a Line does."""

    reach: Reach
    trust: ssl.SSLContext

    def connect(self) -> None:
        wait = self.reach.timeout_seconds
        endpoints = resolve(self.host, self.port, wait)
        refuse_denied(self.host, endpoints, self.reach.denied_networks)
        settings = ConnectionSettings(
            host=self.host, port=self.port, security=Security.IMPLICIT_TLS, timeout_seconds=wait
        )
        plain = connect_any(settings, endpoints)
        try:
            self.sock = handshake(plain, self.trust, self.host, wait)
        except OSError as error:
            plain.close()
            raise ConnectionLost(f"the connection broke: {reason(error)}") from error
        self.is_verified = True

    def request(self, *args: Any, **kwargs: Any) -> None:
        if isinstance(self.sock, BoundedSocket):
            most = LARGEST_HEAD + self.reach.largest_answer
            self.sock.begin(self.reach.timeout_seconds, most)
        super().request(*args, **kwargs)


def session(reach: Reach) -> requests.Session:
    """A session that reaches https:// by guarded connections, and nothing else."""
    made = requests.Session()
    made.trust_env = False
    made.adapters.clear()
    made.mount("https://", GuardedAdapter(reach, pool_connections=4, pool_maxsize=4))
    return made


def ask(
    method: str,
    url: str,
    reach: Reach,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
    max_octets: int = 256 * 1024,
) -> Answer:
    """One request on a connection of its own; redirects are not followed but returned.

    Raises errors of the tree; they name the host and neither path, query nor content."""
    where = require_https(url)
    body = urlencode(form).encode() if form is not None else None
    # Unpacked, a small answer could become a large one.
    sent = {"Accept": "application/json", "Accept-Encoding": "identity"}
    if body is not None:
        sent["Content-Type"] = FORM
    with session(reach) as line, translated(where):
        response = line.request(
            method,
            url,
            data=body,
            headers={**sent, **(headers or {})},
            allow_redirects=False,
            stream=True,
            timeout=reach.timeout_seconds,
        )
        with response:
            content = _bounded(response, max_octets, where)
        return Answer(response.status_code, response.headers, content)


def require_https(url: str) -> str:
    """The host of a URL that is fit to be asked. Raises InsecureConnection, HostNotFound."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise HostNotFound(f"{url[:200]!r} is no address") from error
    if parts.scheme.lower() != "https":
        raise InsecureConnection("only https:// addresses are asked")
    if not host:
        raise HostNotFound(f"{url[:200]!r} names no host")
    return host


def _bounded(response: requests.Response, max_octets: int, where: str) -> bytes:
    content = bytearray()
    for chunk in response.raw.stream(CHUNK, decode_content=False):
        content += cast("bytes", chunk)
        if len(content) > max_octets:
            raise UnexpectedReply(f"{where} answers with more than {max_octets} octets")
    return bytes(content)


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn what requests raises into our errors, which name the host and nothing else of the URL."""
    try:
        yield
    except ServerError:
        raise
    except Exception as error:
        if any(isinstance(each, TimeoutError | requests.Timeout) for each in _chain(error)):
            raise SocketTimedOut(f"{where} did not answer in time") from error
        if isinstance(error, requests.ConnectionError | ProtocolError):
            raise ConnectionLost(f"the connection to {where} broke") from error
        if isinstance(error, requests.RequestException | HTTPError):
            raise UnexpectedReply(f"{where} can't be asked, or answers no HTTP") from error
        if isinstance(error, OSError):
            raise ConnectionLost(f"the connection to {where} broke: {reason(error)}") from error
        raise


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
