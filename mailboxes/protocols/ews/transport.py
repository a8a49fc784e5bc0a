"""HTTP to one server over one kept connection, made by the same rules as any other line: the host is
resolved once, its addresses are checked against the denied networks, TLS is verified against the
system's roots or the authority that the profile names, and every wait is bounded.

Trust, time-outs and addresses belong to a channel, so that two profiles in one process never share any.
Redirects are answers like others: nobody follows them here. Proxies and netrc files of the surroundings
are not looked at.
"""

import http.client
import io
import re
import socket
import ssl
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from email.message import Message
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import quote, urlsplit

from mailboxes.protocols import line
from mailboxes.protocols.base import ConnectionSettings, Security
from mailboxes.protocols.errors import (
    ConnectionLost,
    HostNotFound,
    SecureConnectionFailed,
    ServerError,
    SocketTimedOut,
    UnexpectedReply,
    WrongProtocol,
)
from mailboxes.protocols.phases import Listener, Phase, Watcher, watched
from mailboxes.protocols.transcript import shown_answer, shown_request

USER_AGENT = "serversync"
SEND_CHUNK = 64 * 1024
READ_CHUNK = 256 * 1024
LARGE_REQUEST = 48 * 1024  # octets of a body; IIS reads so much ahead of its programs, others 64 KB
LARGEST_ANSWER = 512 * 1024 * 1024  # octets, unpacked: twice the largest message in base64
LARGEST_HEAD = 1024 * 1024  # octets until the body begins, interim answers (1xx) included
LARGEST_PIECE = 4 * 1024 * 1024  # octets that a stream may bring while nobody looks
STREAM_CHUNK = 64 * 1024
LONGEST_CHUNK_HEAD = 1024
CHUNKED = 3  # most octets on the line for one of a body, for a server that sends small chunks

HUNG_UP = (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError)

UNPRINTABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")

URL_CHARACTERS = "/%?:@!$&'()*+,;=~-._"

Resolve = Callable[[str, int, float], list[line.Endpoint]]


@dataclass(frozen=True, slots=True)
class Place:
    """A URL taken apart. `host` in lower case."""

    secure: bool
    host: str
    port: int
    path: str

    @classmethod
    def of(cls, url: str) -> "Place":
        """Raises HostNotFound if it is no http or https URL, or holds a user name."""
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError as error:
            raise HostNotFound(f"{url!r} is not a URL") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise HostNotFound("the location must be a URL such as https://host/EWS/Exchange.asmx")
        secure = parts.scheme == "https"
        path = quote(parts.path or "/", safe=URL_CHARACTERS)
        if parts.query:
            path += "?" + quote(parts.query, safe=URL_CHARACTERS)
        return cls(secure, parts.hostname.lower(), port or (443 if secure else 80), path)

    @property
    def name(self) -> str:
        """For people: without the query, which could hold anything."""
        scheme, default = ("https", 443) if self.secure else ("http", 80)
        port = "" if self.port == default else f":{self.port}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}{port}{self.path.partition('?')[0]}"


@dataclass(frozen=True, slots=True)
class Request:
    """`repeat`: it may be sent again on a new connection if the server hung up without an answer.
    `continues`: a login that was begun on this connection and counts on no other.
    `largest`: octets that its answer may have, LARGEST_ANSWER if not said.
    `streams`: if it is answered well, the answer comes bit by bit and is left on the line (see `stream`).
    """

    body: bytes = field(default=b"", repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    method: str = "POST"
    repeat: bool = False
    continues: bool = False
    largest: int | None = None
    streams: bool = False

    def having(self, **headers: str) -> "Request":
        """The same with these headers, whose names are written with underscores."""
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        return replace(self, headers={**self.headers, **more})


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whole."""

    status: int
    reason: str
    headers: Message
    content: bytes = field(repr=False)
    place: Place

    def header(self, name: str) -> str:
        """All values of that name, joined by commas (RFC 9110, section 5.3)."""
        return ", ".join(self.headers.get_all(name, []))


class Unanswered(ConnectionLost):
    """The server hung up instead of answering. `whole`: it had been sent all of the request."""

    def __init__(self, detail: str, whole: bool) -> None:
        super().__init__(detail)
        self.whole = whole


class Channel:
    """One kept connection to the place of a URL; made when it is needed, again when it was lost.

    `terms`: everything but host, port and security, which the URL decides. `made`: connections so far.
    """

    def __init__(
        self,
        url: str,
        terms: ConnectionSettings,
        *,
        watcher: Watcher | None = None,
        resolve: Resolve | None = None,
    ) -> None:
        self.place = Place.of(url)
        self.settings = replace(
            terms,
            host=self.place.host,
            port=self.place.port,
            security=Security.IMPLICIT_TLS if self.place.secure else Security.PLAIN,
        )
        self.made = 0
        self.cookies: dict[str, str] = {}
        self._watcher = watcher
        self._listener = watcher if isinstance(watcher, Listener) else None
        self._resolve = resolve
        self._pace = Pace(terms.timeout_seconds)
        self._connection: _Connection | None = None
        self._stream: Stream | None = None
        self._answered = False

    def __repr__(self) -> str:
        return f"<Channel {self.place.name}>"

    # -- the connection ----------------------------------------------------------------------------

    def connect(self) -> "_Connection":
        """Resolve, connect, secure. Idempotent while connected."""
        if self._connection is not None:
            return self._connection
        line.refuse_insecure(self.settings)
        host, port, timeout = self.place.host, self.place.port, self.settings.timeout_seconds
        with watched(self._watcher, Phase.RESOLVE):
            endpoints = (self._resolve or line.resolve)(host, port, timeout)
            line.tell_addresses(self._listener, endpoints)
            line.refuse_denied(host, endpoints, self.settings.denied_networks)
        with watched(self._watcher, Phase.CONNECT):
            connected = line.connect_any(self.settings, endpoints)
            line.tell_peer(self._listener, connected)
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.place.secure:
            with watched(self._watcher, Phase.TLS):
                connected = self._secured(connected)
                line.tell_tls(self._listener, connected)
        self._connection = _Connection(self.place, _Socket(connected, self._pace))
        self.made += 1
        return self._connection

    def _secured(self, plain: socket.socket) -> socket.socket:
        try:
            context = line.trust(self.settings.ca_pem)
            return line.handshake(plain, context, self.place.host, self.settings.timeout_seconds)
        except ServerError:
            plain.close()
            raise
        except TimeoutError as error:
            plain.close()
            raise SocketTimedOut("the server did not finish the TLS handshake in time") from error
        except OSError as error:
            plain.close()
            raise ConnectionLost(f"the connection broke: {line.reason(error)}") from error

    def certificate(self) -> bytes | None:
        """The server's, in DER; None on a line without TLS."""
        raw = self._connection.octets.raw if self._connection else None
        return raw.getpeercert(binary_form=True) if isinstance(raw, ssl.SSLSocket) else None

    def drop(self) -> None:
        """Close the connection. Never raises."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError):
                connection.close()
                connection.octets.raw.close()

    def connection_number(self, request: Request) -> int:
        """Which connection this one would go over; 0: a new one. What is proven on a connection is
        proven for that one only (NTLM)."""
        return self.made if self._is_kept_for(request) else 0

    def _is_kept_for(self, request: Request) -> bool:
        """Is there a kept connection that can be used? One on which something waits to be read is
        closed, or out of step: some servers write a second answer after a fault."""
        kept = self._connection
        if kept is not None and not (kept.is_safe_for(request) and kept.octets.is_silent()):
            self.drop()
        return self._connection is not None

    # -- one request -------------------------------------------------------------------------------

    def exchange(self, request: Request) -> Answer:
        """Ask and read the whole answer.

        A kept connection may be closed by the server in the moment in which we use it. Then the request
        is sent once more over a new one if the first can't have been carried out: it was not taken
        whole, or carrying it out twice does no harm (`repeat`).
        """
        kept = self._is_kept_for(request)
        try:
            return self._exchange(request)
        except Unanswered as lost:
            if not kept or (lost.whole and not request.repeat):
                raise
        return self._exchange(request)

    def _exchange(self, request: Request) -> Answer:
        headers = self._headers(request)
        connection = self.connect()
        if self._listener:
            self._listener.asked(shown_request(request.method, self.place.name, request.body))
        largest = LARGEST_ANSWER if request.largest is None else request.largest
        self._pace.begin(LARGEST_HEAD)
        with self._broken_by_failure():
            whole = connection.ask(request, headers)
            response = self._response(connection, whole)
            if request.streams and response.status == 200:
                return self._left_open(connection, response)
            self._pace.allow(CHUNKED * largest)
            content = b"".join(_content(response, largest))
        if self._listener:
            self._listener.answered(shown_answer(response.status, content))
        self._answered = True
        connection.may_end = len(request.body) > LARGE_REQUEST
        if response.will_close or not whole:
            self.drop()
        self._keep_cookies(response)
        return Answer(response.status, response.reason, response.headers, content, self.place)

    def _left_open(self, connection: "_Connection", response: http.client.HTTPResponse) -> Answer:
        self._connection = None  # it carries nothing else any more
        self._answered = True
        self._keep_cookies(response)
        self._stream = Stream(connection.octets, response)
        return Answer(response.status, response.reason, response.headers, b"", self.place)

    def stream(self) -> "Stream | None":
        """The answer to the last request that streams, once; from now on the caller's to close."""
        found, self._stream = self._stream, None
        return found

    def _response(self, connection: "_Connection", whole: bool) -> http.client.HTTPResponse:
        try:
            return connection.getresponse()
        except (http.client.RemoteDisconnected, *HUNG_UP) as error:
            raise Unanswered("the server closed the connection without an answer", whole) from error
        except http.client.BadStatusLine as error:
            kind = UnexpectedReply if self._answered else WrongProtocol
            raise kind("the server doesn't speak HTTP on this port") from error
        except ssl.SSLError as error:
            if (error.reason or "").endswith("CERTIFICATE_REQUIRED"):
                raise SecureConnectionFailed("the server asks for our own certificate") from error
            raise

    def _headers(self, request: Request) -> dict[str, bytes]:
        """Values in UTF-8: addresses may hold any letter (RFC 6532)."""
        headers = {
            "User-Agent": USER_AGENT,
            "Accept-Encoding": "gzip, deflate",
            "Content-Type": "text/xml; charset=utf-8",
            **request.headers,
        }
        if self.cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if any(UNPRINTABLE.search(value) for value in headers.values()):
            # Servers tell addresses and cookies; what they say must not become a header of its own.
            raise UnexpectedReply("an address or a cookie holds control characters")
        return {name: value.encode() for name, value in headers.items()}

    def _keep_cookies(self, response: http.client.HTTPResponse) -> None:
        """A load balancer recognises by them which server behind it was talking to us."""
        for text in response.headers.get_all("Set-Cookie", []):
            with suppress(CookieError):
                self.cookies |= {name: one.coded_value for name, one in SimpleCookie(text).items()}

    @contextmanager
    def _broken_by_failure(self) -> Iterator[None]:
        """A connection that failed once is out of step."""
        try:
            yield
        except ServerError:
            self.drop()
            raise
        except TimeoutError as error:
            self.drop()
            seconds = self.settings.timeout_seconds
            raise SocketTimedOut(f"no answer within {seconds:g} seconds") from error
        except http.client.IncompleteRead as error:
            self.drop()
            raise ConnectionLost("the connection broke in the middle of an answer") from error
        except (http.client.HTTPException, zlib.error) as error:
            self.drop()
            raise UnexpectedReply(f"no HTTP answer: {type(error).__name__}") from error
        except OSError as error:  # ssl.SSLError is one too
            self.drop()
            raise ConnectionLost(f"the connection broke: {line.reason(error)}") from error


# -- below HTTP ------------------------------------------------------------------------------------


class Pace:
    """How long a request and its answer may take: the time-out, plus what their octets earn at the
    slowest rate, so that a large message passes and a server that trickles doesn't hold its reader. And how
    much may come: a server that never ends its answer earns time for ever."""

    def __init__(self, timeout_seconds: float) -> None:
        self._timeout = timeout_seconds
        self.begin(0)

    def begin(self, allowed: int) -> None:
        self._started_at = time.monotonic()
        self._octets = 0
        self._allowed = allowed

    def allow(self, octets: int) -> None:
        """So many more may come."""
        self._allowed += octets

    def moved(self, octets: int) -> None:
        self._octets += octets

    def received(self, octets: int) -> None:
        """Raises UnexpectedReply beyond what may come."""
        self.moved(octets)
        self._allowed -= octets
        if self._allowed < 0:
            raise UnexpectedReply("the server's answer has no end")

    def wait_seconds(self) -> float:
        """How long the next operation may wait. Raises SocketTimedOut if nothing is left."""
        earned = self._timeout + self._octets / line.SLOWEST_RATE
        left = earned - (time.monotonic() - self._started_at)
        if left <= 0:
            raise SocketTimedOut(
                f"the server did not finish its answer within {self._timeout:g} seconds"
            )
        return min(left, self._timeout)


class _Socket(io.RawIOBase):
    """What http.client asks of a socket, with each wait bounded by the pace. All answers are read through
    one buffer, so that what a server writes behind an answer is noticed and not lost in it."""

    def __init__(self, raw: socket.socket, pace: Pace) -> None:
        super().__init__()
        self.raw = raw
        self._pace = pace
        self._buffer = io.BufferedReader(self, READ_CHUNK)
        self._looking = False
        self._ended = False
        self._readers = 0
        self._closing = False

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        for start in range(0, len(view), SEND_CHUNK):
            chunk = view[start : start + SEND_CHUNK]
            self.raw.settimeout(self._pace.wait_seconds())
            self.raw.sendall(chunk)
            self._pace.moved(len(chunk))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        """None: nothing is there yet, and nobody wants to wait for it."""
        self.raw.settimeout(0.0 if self._looking else self._pace.wait_seconds())
        try:
            received = self.raw.recv_into(buffer)
        except (BlockingIOError, ssl.SSLWantReadError):
            return None
        self._pace.received(received)
        self._ended = received == 0
        return received

    def taken_over(self) -> bytes:
        """What has come and is not read yet; the socket itself is somebody else's from now on."""
        self._looking = True
        found = bytearray()
        while piece := self._buffer.read1(READ_CHUNK):
            found += piece
        self._readers += 1  # none closes it by ending
        return bytes(found)

    def is_silent(self) -> bool:
        """Open, and nothing to read. The data is really asked for: a readable TLS socket may hold
        nothing but a session ticket."""
        self._looking = True
        try:
            return not self._buffer.peek(1) and not self._ended
        except OSError:
            return False
        finally:
            self._looking = False

    def makefile(self, _mode: str) -> "_Reader":
        self._readers += 1
        return _Reader(self._buffer, self._reader_closed)

    def _reader_closed(self) -> None:
        self._readers -= 1
        self._close_if_unused()

    def close(self) -> None:
        """http.client closes the socket before it has read an answer that ends the connection."""
        self._closing = True
        self._close_if_unused()

    def _close_if_unused(self) -> None:
        if self._closing and not self._readers:
            self.raw.close()


class _Reader:
    """One answer's view of the buffer. Closing it leaves the buffer to the next one."""

    def __init__(self, buffer: Any, closed: Callable[[], None]) -> None:
        self.read, self.read1, self.readinto = buffer.read, buffer.read1, buffer.readinto
        self.readline, self.peek = buffer.readline, buffer.peek
        self._closed: Callable[[], None] | None = closed

    def flush(self) -> None:
        """Nothing is written here."""

    def close(self) -> None:
        closed, self._closed = self._closed, None
        if closed is not None:
            closed()


class _Connection(http.client.HTTPConnection):
    """http.client's, over a socket that is connected already and never made again by itself."""

    auto_open = 0

    def __init__(self, place: Place, octets: _Socket) -> None:
        super().__init__(place.host, place.port)
        self.default_port = 443 if place.secure else 80
        self.octets = octets
        self.sock: Any = octets
        self.may_end = False
        self._place = place

    def is_safe_for(self, request: Request) -> bool:
        """Some servers hang up after a large request, a moment later and without a word. So a connection
        that carried one gets nothing that can't be repeated until it has answered something else."""
        return request.repeat or request.continues or not self.may_end

    def ask(self, request: Request, headers: Mapping[str, bytes]) -> bool:
        """Send it. False if the server stopped taking it; it may have answered all the same (413)."""
        try:
            self.request(request.method, self._place.path, request.body or None, headers)
        except HUNG_UP:
            return False
        return True


class Chunks:
    """Takes the chunked coding (RFC 9112, 7.1) off what comes in any pieces. `ended`: the last one came."""

    def __init__(self) -> None:
        self.ended = False
        self._raw = bytearray()
        self._left = 0  # of the present chunk, with the line end behind it

    def __call__(self, piece: bytes) -> bytes:
        """Raises UnexpectedReply."""
        self._raw += piece
        found = bytearray()
        while not self.ended and self._raw:
            if not self._left and not self._begin():
                break
            taken = self._raw[: self._left]
            del self._raw[: self._left]
            found += taken[: max(0, self._left - 2)]
            self._left -= len(taken)
        return bytes(found)

    def _begin(self) -> bool:
        head, end, _ = self._raw.partition(b"\r\n")
        if not end and len(head) <= LONGEST_CHUNK_HEAD:
            return False
        try:
            size = int(bytes(head).partition(b";")[0], 16)
        except ValueError:
            raise UnexpectedReply("an HTTP answer whose chunks can't be read") from None
        if not 0 <= size <= LARGEST_ANSWER:
            raise UnexpectedReply("an HTTP answer whose chunks can't be read")
        del self._raw[: len(head) + 2]
        self._left = size + 2
        self.ended = size == 0
        return True


class Stream:
    """An answer that comes bit by bit, on a connection of its own, read without waiting."""

    def __init__(self, octets: _Socket, response: http.client.HTTPResponse) -> None:
        self._unpack = _unpacker(response.headers.get("Content-Encoding", ""), LARGEST_PIECE)
        self._chunks = Chunks() if response.chunked else None
        self._left = None if response.chunked else response.length
        self._early = octets.taken_over()
        self._raw: socket.socket | None = octets.raw
        line.keep_alive(octets.raw)
        self.ended = False

    def fileno(self) -> int:
        return self._connected().fileno()

    def read(self) -> bytes:
        """What has come since. Raises ConnectionLost where it breaks off before its end, UnexpectedReply
        for no HTTP."""
        found = bytearray()
        while not self.ended and (piece := self._piece()):
            found += self._body(piece)
            if len(found) > LARGEST_PIECE:
                raise UnexpectedReply(f"the server sent more than {LARGEST_PIECE} octets at a time")
        return bytes(found)

    def close(self) -> None:
        """Never raises."""
        raw, self._raw = self._raw, None
        if raw is not None:
            with suppress(OSError):
                raw.close()

    def _body(self, piece: bytes) -> bytes:
        if self._chunks is not None:
            piece = self._chunks(piece)
            self.ended = self._chunks.ended
        elif self._left is not None:
            piece = piece[: self._left]
            self._left -= len(piece)
            self.ended = self._left == 0
        try:
            return self._unpack(piece) if piece else b""
        except zlib.error as error:
            raise UnexpectedReply("an HTTP answer that can't be unpacked") from error

    def _piece(self) -> bytes:
        """Empty: nothing has come, or everything."""
        if self._early:
            early, self._early = self._early, b""
            return early
        raw = self._connected()
        raw.settimeout(0.0)
        try:
            piece = raw.recv(STREAM_CHUNK)
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        except OSError as error:
            raise ConnectionLost(f"the connection broke: {line.reason(error)}") from error
        if not piece:
            self._hung_up()
        return piece

    def _hung_up(self) -> None:
        """The end of an answer that tells no length, and of no other."""
        if self._chunks is not None or self._left:
            raise ConnectionLost("the server closed the connection")
        self.ended = True

    def _connected(self) -> socket.socket:
        if self._raw is None:
            raise ConnectionLost("the connection is closed")
        return self._raw


def _content(response: http.client.HTTPResponse, largest: int) -> Iterator[bytes]:
    """The body in unpacked pieces, at most so many octets."""
    unpack = _unpacker(response.headers.get("Content-Encoding", ""), largest)
    total = 0
    while piece := response.read(READ_CHUNK):
        unpacked = unpack(piece)
        total += len(unpacked)
        if total > largest:
            raise UnexpectedReply(f"the server sent an answer of over {largest} octets")
        yield unpacked
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _unpacker(encoding: str, largest: int) -> Callable[[bytes], bytes]:
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return bytes
    if name not in ("gzip", "x-gzip", "deflate"):
        raise UnexpectedReply(f"the server packed its answer as {name!r}")
    unpacker: Any = None

    def unpack(piece: bytes) -> bytes:
        nonlocal unpacker
        if unpacker is None:
            # "deflate" is sent with and without the zlib header; gzip tells itself.
            bare = name == "deflate" and piece[0] & 0x0F != 8
            unpacker = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS | 32)
        return bytes(unpacker.decompress(piece, largest + 1))

    return unpack


# -- hosts given by hand ---------------------------------------------------------------------------

NUMERIC_HOST = re.compile(r"^(?P<host>.+):(?P<port>\d+)$")


def resolver(hosts: Mapping[str, str]) -> Resolve:
    """Looks the names in `hosts` up there, "name" or "name:port" -> "address" or "address:port", and
    every other name as ever. For hosts that no name server knows yet."""

    def look_up(host: str, port: int, timeout_seconds: float) -> list[line.Endpoint]:
        target = hosts.get(f"{host}:{port}") or hosts.get(host)
        if target is None:
            return line.resolve(host, port, timeout_seconds)
        found = NUMERIC_HOST.match(target)
        address, at = (found["host"], int(found["port"])) if found else (target, port)
        return line.resolve(address, at, timeout_seconds)

    return look_up
