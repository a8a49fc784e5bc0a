"""Names, addresses and words, before and beside any connection."""

import socket
import threading
import time

import pytest

from mailboxes.protocols.base import ConnectionSettings, Credentials, Security
from mailboxes.protocols.errors import (
    HostDenied,
    HostNotFound,
    SocketTimedOut,
    TransientError,
    UnexpectedReply,
)
from mailboxes.protocols.line import Line, faces, refuse_denied, resolve
from mailboxes.protocols.transcript import LONGEST


def settings(password: str = "secret-of-ada") -> ConnectionSettings:
    return ConnectionSettings(
        host="mail.example.com",
        port=993,
        security=Security.IMPLICIT_TLS,
        credentials=Credentials("ada", password),
        timeout_seconds=0.2,
    )


def failing_resolver(monkeypatch, code: int) -> None:
    def fail(*arguments, **options):
        raise socket.gaierror(code, "no")

    monkeypatch.setattr(socket, "getaddrinfo", fail)


@pytest.mark.parametrize("code", [socket.EAI_NONAME, socket.EAI_NODATA])
def test_name_that_does_not_exist_is_permanent(monkeypatch, code):
    failing_resolver(monkeypatch, code)
    with pytest.raises(HostNotFound):
        resolve("nowhere.example.com", 993, 1)


@pytest.mark.parametrize("code", [socket.EAI_AGAIN, socket.EAI_FAIL])
def test_resolver_in_trouble_passes(monkeypatch, code):
    failing_resolver(monkeypatch, code)
    with pytest.raises(TransientError) as caught:
        resolve("mail.example.com", 993, 1)
    assert not isinstance(caught.value, HostNotFound)
    assert isinstance(caught.value.__cause__, socket.gaierror)


def test_resolver_that_hangs_costs_one_timeout(monkeypatch):
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **o: over.wait(5) and [])
    started = time.monotonic()
    with pytest.raises(SocketTimedOut):
        resolve("mail.example.com", 993, 0.05)
    over.set()
    assert time.monotonic() - started < 1


@pytest.mark.parametrize("host", ["", " ", ".", "a..b", "x" * 64 + ".example.com"])
def test_what_is_no_name_is_not_resolved(host):
    with pytest.raises(HostNotFound):
        resolve(host, 993, 1)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_what_is_no_port_is_not_connected_to(port):
    with pytest.raises(HostNotFound):
        resolve("127.0.0.1", port, 1)


def test_international_name_is_asked_for_in_its_ascii_form(monkeypatch):
    asked = []
    monkeypatch.setattr(socket, "getaddrinfo", lambda name, *a, **o: asked.append(name) or [])
    resolve(" bücher.example. ", 993, 1)
    assert asked == ["xn--bcher-kva.example"]


def endpoint(address: str):
    return (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 993))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.0.0.0/8"),
        ("64:ff9b::a01:203", "10.0.0.0/8"),
        ("2002:a01:203::1", "10.0.0.0/8"),
        ("fe80::1%eth0", "fe80::/10"),
        ("::1", "::1/128"),
        ("192.168.1.77", "192.168.1.5/24"),
    ],
)
def test_denied_address_is_denied_in_every_dress(address, network):
    with pytest.raises(HostDenied):
        refuse_denied("mail.example.com", [endpoint(address)], (network,))


def test_one_denied_address_among_good_ones_is_enough():
    with pytest.raises(HostDenied):
        refuse_denied("x", [endpoint("192.0.2.1"), endpoint("127.0.0.1")], ("127.0.0.0/8",))


def test_other_addresses_are_allowed():
    refuse_denied(
        "x", [endpoint("192.0.2.1"), endpoint("2001:db8::1")], ("10.0.0.0/8", "fe80::/10")
    )


def test_unreadable_deny_list_denies():
    with pytest.raises(HostDenied, match="ten-net"):
        refuse_denied("x", [endpoint("192.0.2.1")], ("ten-net",))


def test_plain_address_has_one_face():
    assert [str(each) for each in faces("192.0.2.1")] == ["192.0.2.1"]
    assert [str(each) for each in faces("2001:db8::1")] == ["2001:db8::1"]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"535 wrong: secret-of-ada\r\n", "535 wrong: ***"),
        (b"c2VjcmV0LW9mLWFkYQ== AGFkYQBzZWNyZXQtb2YtYWRh", "*** ***"),
        (b"tabs\tand\x00\x1b[31mcolours", "tabs and [31mcolours"),
        ("grüße\n".encode(), "grüße"),
        (b"\xff\xfe", "��"),
        (b"x" * 900, "x" * 500),
    ],
)
def test_words_of_a_server_are_fit_to_show(raw, shown):
    assert Line(settings()).said(raw) == shown


def test_a_password_with_blanks_is_hidden_too():
    line = Line(settings("two  blanks of ada"))
    assert line.said(b"535 wrong: two  blanks of ada\r\n") == "535 wrong: ***"


def test_a_line_knows_how_to_wait():
    """A step may take one time-out, and longer only for octets that really came."""
    here, there = socket.socketpair()
    line = Line(settings())
    line._socket = here
    line.begin()
    there.sendall(b"first\r\nsecond\r\n")
    assert line.read_line() == b"first\r\n"
    assert line.peek_line() == b"second\r\n"
    assert line.read_exactly(8) == b"second\r\n"
    with pytest.raises(SocketTimedOut):
        line.read_line()
    assert not line.usable
    there.close()


class Heard:
    """A watcher that listens."""

    def __init__(self) -> None:
        self.answers: list[str] = []

    def begin(self, phase) -> None: ...

    def end(self, phase, error) -> None: ...

    def asked(self, words: str) -> None: ...

    def answered(self, words: str) -> None:
        self.answers.append(words)

    def found(self, fact: str, words: str) -> None: ...


def test_a_token_that_a_server_repeats_is_hidden_also_where_its_line_is_cut():
    here, there = socket.socketpair()
    heard, token = Heard(), "ya29." + "t" * 1200
    line = Line(settings(), heard)
    line.secrets.append(token)
    line._socket = here
    line.begin()
    there.sendall(f"501 syntax error near {token}\r\n250-{'x' * 4000}\r\n".encode())
    line.read_line()
    line.read_line()
    assert heard.answers == ["501 syntax error near ***", "250-" + "x" * (LONGEST - 4)]
    here.close()
    there.close()


def test_a_line_without_end_is_no_reply():
    here, there = socket.socketpair()
    line = Line(settings())
    line._socket = here
    line.begin()
    there.sendall(b"x" * 5000)
    with pytest.raises(UnexpectedReply, match="4000 octets"):
        line.read_line(limit=4000)
    there.close()
