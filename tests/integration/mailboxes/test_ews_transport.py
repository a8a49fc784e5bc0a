"""HTTP below the Exchange adapter: what servers and the boxes before them do to a connection."""

import gzip
import socket
import ssl
import threading
import time
import zlib
from contextlib import contextmanager

import pytest

from mailboxes.protocols.base import ConnectionSettings, Security
from mailboxes.protocols.errors import (
    ConnectionLost,
    SecureConnectionFailed,
    SocketTimedOut,
    UnexpectedReply,
    WrongProtocol,
)
from mailboxes.protocols.ews import transport
from mailboxes.protocols.ews.transport import Channel, Request, Unanswered
from tests.servers.certificates import Authority

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

LARGE = b"x" * 3_000_000


class Client:
    """One connection, seen from the server."""

    def __init__(self, connection):
        self.connection = connection
        self._file = connection.makefile("rb")

    def request(self, *, body=True):
        """Head and body of the next request; None if the client went away."""
        head = {}
        first = self._file.readline()
        if not first:
            return None
        while (text := self._file.readline().strip()) != b"":
            name, _, value = text.decode().partition(":")
            head[name.lower()] = value.strip()
        length = int(head.get("content-length", 0))
        return first.decode().split()[0], head, self._file.read(length) if body else b""

    def answer(self, body=b"", *headers, status="200 OK", length=None):
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body) if length is None else length}"]
        self.raw("\r\n".join([*lines, *headers, "", ""]).encode() + body)

    def raw(self, data):
        self.connection.sendall(data)


@contextmanager
def served(*dialogues, tls=None):
    """A server that holds one dialogue with each connection, in order; the last one with all others.
    Yields its port and the number of connections so far."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections, failures, count = [], [], []

    def talk(connection, dialogue):
        try:
            if tls:
                connection = tls.wrap_socket(connection, server_side=True)
            connections.append(connection)
            dialogue(Client(connection))
        except OSError:
            pass  # the client hung up, or the test is over
        except Exception as error:  # noqa: BLE001 - shown by the test
            failures.append(error)
        finally:
            connection.close()

    def accept():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connections.append(connection)
            dialogue = dialogues[min(len(count), len(dialogues) - 1)]
            count.append(1)
            threads.append(threading.Thread(target=talk, args=(connection, dialogue)))
            threads[-1].start()

    threads = [threading.Thread(target=accept)]
    threads[0].start()
    try:
        yield listener.getsockname()[1], count
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for connection in connections:
            connection.close()
        for thread in threads:
            thread.join(5)
    assert failures == []


def channel(port, *, secure=False, seconds=20.0, ca_pem=""):
    terms = ConnectionSettings(
        host="",
        port=0,
        security=Security.PLAIN,
        timeout_seconds=seconds,
        ca_pem=ca_pem,
        allow_plain=True,
    )
    return Channel(f"{'https' if secure else 'http'}://localhost:{port}/ews", terms)


@contextmanager
def leaving(one):
    try:
        yield one
    finally:
        one.drop()


def echo(client):
    while (request := client.request()) is not None:
        client.answer(request[2])


# -- answers


@pytest.mark.parametrize(
    ("encoding", "pack"),
    [
        ("gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", lambda data: zlib.compress(data)[2:-4]),
        ("identity", bytes),
    ],
)
def test_packed_answers(encoding, pack):
    def packed(client):
        client.request()
        client.answer(pack(LARGE), f"Content-Encoding: {encoding}")

    with served(packed) as (port, _), leaving(channel(port)) as line:
        assert line.exchange(Request()).content == LARGE


def test_an_answer_in_chunks():
    def chunks(client):
        client.request()
        client.raw(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        )
        echo(client)

    with served(chunks) as (port, count), leaving(channel(port)) as line:
        assert line.exchange(Request()).content == b"abcde"
        assert line.exchange(Request(body=b"next")).content == b"next"
        assert len(count) == 1


def test_an_answer_that_ends_with_the_connection():
    def until_closed(client):
        client.request()
        client.raw(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nall of it")

    with served(until_closed, echo) as (port, count), leaving(channel(port)) as line:
        assert line.exchange(Request()).content == b"all of it"
        assert line.exchange(Request(body=b"next")).content == b"next"
        assert len(count) == 2


def test_a_large_body_and_a_large_answer():
    with served(echo) as (port, _), leaving(channel(port)) as line:
        assert line.exchange(Request(body=LARGE)).content == LARGE


def test_an_answer_beyond_any_size_is_not_read(monkeypatch):
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 1000)

    def bomb(client):
        client.request()
        client.answer(gzip.compress(LARGE), "Content-Encoding: gzip")

    with (
        served(bomb) as (port, _),
        leaving(channel(port)) as line,
        pytest.raises(UnexpectedReply),
    ):
        line.exchange(Request())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", ConnectionLost),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\nabc", ConnectionLost),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
            UnexpectedReply,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
            UnexpectedReply,
        ),
        (b"+OK POP3 ready\r\n", WrongProtocol),
        (b"", ConnectionLost),
    ],
)
def test_damaged_answers(answer, kind):
    def damaged(client):
        client.request()
        client.raw(answer)

    with served(damaged) as (port, _), leaving(channel(port)) as line, pytest.raises(kind):
        line.exchange(Request(repeat=True))


def test_nonsense_after_good_answers_is_a_passing_trouble():
    def turns(client):
        client.request()
        client.answer(b"fine")
        client.request()
        client.raw(b"nonsense\r\n\r\n")

    with served(turns) as (port, _), leaving(channel(port)) as line:
        line.exchange(Request())
        with pytest.raises(UnexpectedReply):
            line.exchange(Request())


@pytest.mark.parametrize(
    ("start", "more"),
    [
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X-Trailer: more\r\n"),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"x" * 50),
    ],
)
def test_an_answer_without_an_end_is_left(monkeypatch, start, more):
    """However fast it comes, so that no time-out would ever end it."""
    monkeypatch.setattr(transport, "LARGEST_ANSWER", 1_000_000)

    def endless(client):
        client.request()
        client.raw(start)
        while True:
            client.raw(more * 10_000)

    with served(endless) as (port, _), leaving(channel(port, seconds=20.0)) as line:
        began = time.monotonic()
        with pytest.raises(UnexpectedReply):
            line.exchange(Request())
        assert time.monotonic() - began < 20


def test_a_stranger_gets_less_room_for_an_answer():
    def page(client):
        client.request()
        client.answer(gzip.compress(LARGE), "Content-Encoding: gzip")

    with served(page) as (port, _), leaving(channel(port)) as line:
        with pytest.raises(UnexpectedReply):
            line.exchange(Request(largest=len(LARGE) - 1))
        assert line.exchange(Request(largest=len(LARGE))).content == LARGE


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a\r\n X-Evil: 1", "a\0b"])
def test_a_header_holds_one_line(value):
    with served(echo) as (port, count), leaving(channel(port)) as line:
        with pytest.raises(UnexpectedReply):
            line.exchange(Request(headers={"X-AnchorMailbox": value}))
        assert not count


# -- time


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"])
def test_a_server_that_trickles_does_not_hold_its_reader(start):
    def trickle(client):
        client.request()
        client.raw(start)
        while True:
            client.raw(b"H")
            time.sleep(0.05)

    with served(trickle) as (port, _), leaving(channel(port, seconds=0.4)) as line:
        began = time.monotonic()
        with pytest.raises((SocketTimedOut, UnexpectedReply)):
            line.exchange(Request())
        assert time.monotonic() - began < 20


def test_a_server_that_stops_reading_does_not_hold_its_sender():
    stop = threading.Event()

    def deaf(client):
        stop.wait(10)

    with served(deaf) as (port, _), leaving(channel(port, seconds=0.3)) as line:
        with pytest.raises(SocketTimedOut):
            line.exchange(Request(body=b"x" * 50_000_000))
        stop.set()


# -- kept connections


def test_a_connection_is_kept():
    with served(echo) as (port, count), leaving(channel(port)) as line:
        for _ in range(3):
            assert line.exchange(Request(body=b"again")).content == b"again"
        assert (len(count), line.connection_number(Request())) == (1, 1)


def answers_once(client):
    client.request()
    client.answer(b"first")


def answers_once_and_reads_on(client):
    answers_once(client)
    client.request()  # taken whole, and not answered


def hangs_up_in_the_middle(client):
    answers_once(client)
    client.request(body=False)  # the head only
    client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


@pytest.mark.parametrize("repeat", [True, False])
def test_a_kept_connection_that_was_closed_meanwhile_costs_nothing(repeat):
    with served(answers_once, echo) as (port, count), leaving(channel(port)) as line:
        line.exchange(Request())
        wait_until(lambda: line.connection_number(Request()) == 0)
        assert line.exchange(Request(body=b"second", repeat=repeat)).content == b"second"
        assert len(count) == 2


def test_a_request_that_was_taken_whole_is_not_sent_twice():
    with served(answers_once_and_reads_on, echo) as (port, count), leaving(channel(port)) as line:
        line.exchange(Request())
        with pytest.raises(Unanswered) as lost:
            line.exchange(Request(body=b"a message"))

    assert lost.value.whole
    assert len(count) == 1


def test_one_that_only_reads_is():
    with served(answers_once_and_reads_on, echo) as (port, count), leaving(channel(port)) as line:
        line.exchange(Request())
        assert line.exchange(Request(body=b"a question", repeat=True)).content == b"a question"

    assert len(count) == 2


def test_a_request_that_was_not_taken_whole_is_sent_again():
    """As servers do that close a connection after a large body."""
    with served(hangs_up_in_the_middle, echo) as (port, count), leaving(channel(port)) as line:
        line.exchange(Request())
        assert line.exchange(Request(body=LARGE)).content == LARGE

    assert len(count) == 2


@pytest.mark.rule("R5.17")
@pytest.mark.parametrize("size", [transport.LARGE_REQUEST + 1, len(LARGE)])
def test_what_goes_out_once_avoids_a_connection_that_carried_a_large_request(size):
    """The server closes it only when the next request is there, which no look at the line foretells."""
    with served(answers_once_and_reads_on, echo) as (port, count), leaving(channel(port)) as line:
        line.exchange(Request(body=b"x" * size))
        assert line.exchange(Request(body=b"a message")).content == b"a message"

    assert len(count) == 2


def test_a_small_request_costs_no_connection():
    with served(echo) as (port, count), leaving(channel(port)) as line:
        line.exchange(Request(body=b"x" * transport.LARGE_REQUEST))
        assert line.exchange(Request(body=b"a message")).content == b"a message"

    assert len(count) == 1


@pytest.mark.parametrize(
    "between", [Request(body=b"a question", repeat=True), Request(continues=True)]
)
def test_a_connection_that_answers_after_a_large_request_is_kept(between):
    with served(echo) as (port, count), leaving(channel(port)) as line:
        line.exchange(Request(body=LARGE))
        line.exchange(between)
        assert line.exchange(Request(body=b"a message")).content == b"a message"

    assert len(count) == 1


def test_a_proof_of_one_connection_is_not_used_after_a_large_request():
    with served(echo) as (port, _), leaving(channel(port)) as line:
        line.exchange(Request(body=LARGE))
        assert line.connection_number(Request(repeat=True)) == 1
        assert line.connection_number(Request()) == 0


def resets(client):
    client.request(body=False)
    client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def test_a_new_connection_that_breaks_is_not_made_again():
    with (
        served(resets) as (port, count),
        leaving(channel(port)) as line,
        pytest.raises(Unanswered),
    ):
        line.exchange(Request(body=LARGE, repeat=True))

    assert len(count) == 1


def test_an_answer_before_the_request_was_taken_is_read():
    def too_large(client):
        client.request(body=False)
        client.answer(b"no", status="413 Payload Too Large")
        time.sleep(0.3)

    with served(too_large, echo) as (port, count), leaving(channel(port)) as line:
        assert line.exchange(Request(body=b"x" * 20_000_000)).status == 413
        # What was not taken would be read as the next request.
        assert line.exchange(Request(body=b"next")).content == b"next"
        assert len(count) == 2


def test_what_comes_unasked_is_not_taken_for_an_answer():
    def second_answer(client):
        client.request()
        client.answer(b"first")
        client.answer(b"nobody asked")
        echo(client)

    with served(second_answer, echo) as (port, count), leaving(channel(port)) as line:
        assert line.exchange(Request()).content == b"first"
        wait_until(lambda: line.connection_number(Request()) == 0)
        assert line.exchange(Request(body=b"mine")).content == b"mine"
        assert len(count) == 2


def test_cookies_of_a_load_balancer_come_back():
    seen = []

    def balancer(client):
        while (request := client.request()) is not None:
            seen.append(request[1].get("cookie", ""))
            client.answer(
                b"", "Set-Cookie: X-BackEndCookie=b2; path=/; HttpOnly", "Set-Cookie: k=v; Secure"
            )

    with served(balancer) as (port, _), leaving(channel(port)) as line:
        line.exchange(Request())
        line.exchange(Request())

    assert seen == ["", "X-BackEndCookie=b2; k=v"]


def test_headers_may_hold_any_letter():
    heads = []

    def note(client):
        heads.append(client.request()[1])
        client.answer()

    with served(note) as (port, _), leaving(channel(port)) as line:
        line.exchange(Request(headers={"X-AnchorMailbox": "名@example.com"}))

    assert heads[0]["x-anchormailbox"] == "名@example.com"


def test_no_proxy_and_no_password_file_of_the_surroundings_is_used(monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login eve password secret\n")
    netrc.chmod(0o600)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    monkeypatch.setenv("NETRC", str(netrc))
    heads = []

    def note(client):
        heads.append(client.request()[1])
        client.answer()

    with served(note) as (port, _), leaving(channel(port)) as line:
        line.exchange(Request())

    assert heads[0]["user-agent"] == "serversync"
    assert heads[0]["host"] == f"localhost:{port}"
    assert "authorization" not in heads[0]


# -- TLS


@pytest.fixture
def tls(tmp_path):
    authority = Authority(tmp_path)
    pair = authority.issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return authority.pem, context


def test_large_bodies_over_tls(tls):
    pem, context = tls
    with served(echo, tls=context) as (port, count):
        with leaving(channel(port, secure=True, ca_pem=pem)) as line:
            assert line.exchange(Request(body=LARGE)).content == LARGE
            assert line.exchange(Request(body=b"again", repeat=True)).content == b"again"
            assert line.certificate()
        assert len(count) == 1


def test_a_large_body_that_is_not_taken_over_tls_is_sent_again(tls):
    pem, context = tls
    with (
        served(hangs_up_in_the_middle, echo, tls=context) as (port, count),
        leaving(channel(port, secure=True, ca_pem=pem)) as line,
    ):
        line.exchange(Request())
        assert line.exchange(Request(body=LARGE)).content == LARGE

    assert len(count) == 2


def test_tls_where_there_is_none():
    with (
        served(lambda client: client.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as (port, _),
        leaving(channel(port, secure=True)) as line,
        pytest.raises(SecureConnectionFailed),
    ):
        line.exchange(Request())


def test_a_server_that_wants_a_certificate_of_ours(tls):
    pem, context = tls
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cadata=pem)

    with (
        served(echo, tls=context) as (port, _),
        leaving(channel(port, secure=True, ca_pem=pem)) as line,
        pytest.raises((SecureConnectionFailed, ConnectionLost)),
    ):
        line.exchange(Request())


def wait_until(happened):
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)
