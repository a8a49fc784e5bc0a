"""Asking web servers: what is verified, what is bounded, what is told of a fault."""

import gzip
import time

import pytest
import requests

from mailboxes.protocols import http
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
    UnexpectedReply,
)
from mailboxes.protocols.http import Reach, ask
from tests.integration.mailboxes.conftest import PATIENCE, TIMEOUT, waiting_for
from tests.servers.certificates import Authority
from tests.servers.faulty import Fault, ScriptedServer
from tests.servers.ports import free_port

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

OK = "HTTP/1.1 200 OK"


def reach(authority, **changes):
    return Reach(**{"timeout_seconds": PATIENCE, "ca_pem": authority.pem} | changes)


def speaking(*lines, fault=None, body=b""):
    """Reads one request and answers these lines, or goes wrong behind them."""

    def dialogue(talk):
        while talk.raw_line().strip():
            pass
        talk.say(*lines)
        if body:
            talk.say(body)
        if fault:
            talk.commit(Fault("", fault))

    return dialogue


@pytest.fixture
def serve(authority):
    made = []

    def start(dialogue, certificate=None, implicit_tls=True):
        server = ScriptedServer(
            dialogue, certificate or authority.issue("localhost"), implicit_tls=implicit_tls
        )
        made.append(server.__enter__())
        return f"https://localhost:{server.port}/secret-path?secret=1"

    yield start
    for server in made:
        server.__exit__(None, None, None)


def test_an_answer_comes_as_it_is(serve, authority):
    url = serve(speaking(OK, "Content-Length: 2", "X-Word: yes", "", body=b"{}"))
    answer = ask("POST", url, reach(authority), form={"a": "b c"})
    assert (answer.status, answer.body, answer.headers["x-word"]) == (200, b"{}", "yes")
    assert "{}" not in repr(answer)


def test_a_redirect_is_told_and_not_followed(serve, authority):
    url = serve(
        speaking("HTTP/1.1 302 Found", "Location: https://10.0.0.1/", "Content-Length: 0", "")
    )
    answer = ask("POST", url, reach(authority), form={"token": "t"})
    assert (answer.status, answer.headers["Location"]) == (302, "https://10.0.0.1/")


@pytest.mark.parametrize(
    ("lines", "fault", "kind"),
    [
        ((), "hang", SocketTimedOut),
        ((), "trickle", SocketTimedOut),
        ((), "drop", ConnectionLost),
        ((), "garbage", ServerError),
        ((OK, "Content-Length: 9", ""), "hang", SocketTimedOut),
        ((OK, "Content-Length: 9999", ""), "trickle", SocketTimedOut),
        ((OK, "Content-Length: 9", "", b"half"), "drop", ConnectionLost),
        ((OK, ""), "endless", UnexpectedReply),
        ((OK, "X-Long: "), "endless", ServerError),
    ],
)
def test_a_broken_answer_ends_in_time_and_is_told_without_the_path(
    serve, authority, lines, fault, kind
):
    url = serve(speaking(*lines, fault=fault))
    began = time.monotonic()
    with pytest.raises(kind) as caught:
        ask("GET", url, reach(authority, timeout_seconds=waiting_for(kind)))
    assert time.monotonic() - began < PATIENCE
    assert "secret" not in str(caught.value)


def test_too_large_an_answer_is_not_read(serve, authority):
    url = serve(speaking(OK, "Content-Length: 5000", "", body=b"x" * 5000))
    with pytest.raises(UnexpectedReply, match="more than 1000 octets"):
        ask("GET", url, reach(authority), max_octets=1000)


@pytest.mark.parametrize(
    ("start", "more"),
    [
        ((), "HTTP/1.1 100 Continue\r\n\r\n"),
        ((OK, "Transfer-Encoding: chunked", "", "0"), "X-Trailer: more\r\n"),
    ],
)
def test_an_answer_without_an_end_is_left(serve, authority, start, more):
    """However fast it comes, so that no time-out would ever end it."""

    def endless(talk):
        while talk.raw_line().strip():
            pass
        talk.say(*start)
        while True:
            talk.say((more * 5000).encode())

    began = time.monotonic()
    with pytest.raises(UnexpectedReply):
        ask("GET", serve(endless), reach(authority))
    assert time.monotonic() - began < PATIENCE


def test_a_packed_answer_is_not_unpacked(serve, authority):
    """Nobody asked for one, and a small one could become a large one."""
    body = gzip.compress(b"x" * 100_000)
    url = serve(
        speaking(OK, "Content-Encoding: gzip", f"Content-Length: {len(body)}", "", body=body)
    )
    assert ask("GET", url, reach(authority), max_octets=1000).body == body


@pytest.mark.rule("R1.26")
def test_nothing_goes_out_in_plain_text(authority):
    with pytest.raises(InsecureConnection):
        ask("GET", "http://localhost/", reach(authority))
    with pytest.raises(requests.exceptions.InvalidSchema):
        http.session(reach(authority)).get("http://localhost/")


def test_where_no_web_server_is_nothing_is_sent(serve, authority):
    with pytest.raises(ConnectionRefused):
        ask("GET", f"https://localhost:{free_port()}/", reach(authority))
    with pytest.raises(HostNotFound):
        ask("GET", "https://does-not-exist.invalid/", reach(authority))
    plain = serve(speaking("220 mail ready"), implicit_tls=False)
    with pytest.raises((SecureConnectionFailed, ConnectionLost, SocketTimedOut)):
        ask("GET", plain, reach(authority, timeout_seconds=TIMEOUT))


def test_certificates_are_verified_whatever_a_session_says(serve, authority, tmp_path):
    stranger = Authority(tmp_path)
    for certificate in (stranger.issue("localhost"), authority.issue("elsewhere.example.com")):
        url = serve(speaking(OK, "Content-Length: 0", ""), certificate)
        with pytest.raises(CertificateRejected):
            ask("GET", url, reach(authority))
        session = http.session(reach(authority))
        session.verify = False
        with pytest.raises(CertificateRejected):
            session.get(url)


def test_public_roots_count_beside_an_authority_of_ones_own_unless_told_otherwise(authority):
    both = http.trust(reach(authority)).cert_store_stats()["x509_ca"]
    alone = http.trust(reach(authority, public_roots=False)).cert_store_stats()["x509_ca"]
    assert (alone, both > 1) == (1, True)


def test_denied_networks_hold_for_redirects_too(serve, authority):
    hops = []

    def dialogue(talk):
        while talk.raw_line().strip():
            pass
        hops.append(1)
        talk.say("HTTP/1.1 302 Found", "Location: https://127.0.0.2/", "Content-Length: 0", "")

    url = serve(dialogue)
    allowed = reach(authority, denied_networks=("127.0.0.2/32",))
    with pytest.raises(HostDenied):
        http.session(allowed).get(url)
    assert hops == [1]
    with pytest.raises(HostDenied):
        ask("GET", url, reach(authority, denied_networks=("127.0.0.0/8",)))


def test_neither_proxies_nor_netrc_of_the_environment_count(
    serve, authority, monkeypatch, tmp_path
):
    heard = []

    def dialogue(talk):
        while (line := talk.raw_line()).strip():
            heard.append(line)
        talk.say(OK, "Content-Length: 0", "")

    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login ada password leaked\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{free_port()}")
    assert ask("GET", serve(dialogue), reach(authority)).status == 200
    assert not [line for line in heard if line.lower().startswith(b"authorization")]
