"""Servers that tell of new mail by themselves: those of the sandbox, well and badly behaved, and a real Dovecot."""

import select
import time

import pytest

from mailboxes.protocols.base import (
    INBOX,
    Authentication,
    ConnectionSettings,
    Credentials,
    Security,
)
from mailboxes.protocols.errors import (
    ConnectionLost,
    LoginRefused,
    ServerBusy,
    SocketTimedOut,
    TransientError,
    UnexpectedReply,
)
from mailboxes.protocols.ews.settings import Access, ExchangeSettings
from mailboxes.protocols.ews.streaming import ExchangeStream
from mailboxes.protocols.imap.idle import IDLE_SECONDS, ImapIdle
from mailboxes.protocols.items import CALENDAR
from mailboxes.protocols.watching import NOTHING, PushUnavailable
from serversync.sandbox.ews.faults import http_status, refuse, soap_fault
from serversync.sandbox.ews.server import THREADS
from serversync.sandbox.faults import Fault, Kind
from serversync.sandbox.servers import running_sandbox
from tests.contracts import message
from tests.servers.dovecot import PASSWORDS

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

PATIENCE = 20.0
ADA, BEN, PASSWORD = "ada@sandbox.example", "ben@sandbox.example", "secret"
DORA = "dora@example.com"


@pytest.fixture(scope="module")
def servers():
    with running_sandbox(accounts={ADA: PASSWORD}) as sandbox:
        sandbox.exchange.add_account(BEN, PASSWORD)
        yield sandbox


@pytest.fixture
def sandbox(servers):
    yield servers
    servers.faults.clear()
    servers.exchange.end_streams()  # left by those who hung up, which a server learns with the next news


@pytest.fixture
def opened():
    """Opens them, and closes them in the end."""
    made = []

    def make(server):
        made.append(server)
        return server.open()

    yield make
    for each in made:
        each.close()


def idle_of(sandbox, *, timeout=PATIENCE, password=PASSWORD) -> ImapIdle:
    return ImapIdle(
        ConnectionSettings(
            host="localhost",
            port=sandbox.ports["imaps"],
            security=Security.IMPLICIT_TLS,
            credentials=Credentials(ADA, password),
            timeout_seconds=timeout,
            ca_pem=sandbox.ca_pem,
        )
    )


def stream_of(sandbox, folders=(INBOX,), *, timeout=PATIENCE, password=PASSWORD) -> ExchangeStream:
    settings = ExchangeSettings(
        address=BEN,
        access=Access.OWN,
        authentication=Authentication.BASIC,
        credentials=Credentials(BEN, password),
        url=sandbox.exchange.url,
        ca_pem=sandbox.ca_pem,
        timeout_seconds=timeout,
    )
    return ExchangeStream(settings, folders)


def until(condition, server):
    """Listens until `condition` holds of all that was heard; returns that."""
    heard, deadline = server.hear(), time.monotonic() + PATIENCE
    while not condition(heard):
        assert time.monotonic() < deadline, f"heard {heard} only"
        if select.select([server], [], [], 0.1)[0]:
            heard |= server.hear()
    return heard


def until_it_fails(server) -> Exception:
    try:
        until(lambda heard: False, server)
    except (TransientError, PushUnavailable) as error:
        return error
    raise AssertionError


def until_renewal(server) -> None:
    """Until it wants to be renewed at once, or nearly."""
    until(lambda heard: server.renew_at < time.monotonic() + 10, server)


class TestIdle:
    def test_new_mail_is_told(self, sandbox, opened):
        idle = opened(idle_of(sandbox))
        assert idle.hear() == NOTHING
        sandbox.deliver(ADA, message(1))
        assert until(bool, idle) == {INBOX}
        assert idle.hear() == NOTHING  # once

    def test_what_leaves_and_what_is_marked_is_no_news(self, sandbox, opened):
        uid = sandbox.deliver(ADA, message(2))
        idle = opened(idle_of(sandbox))
        sandbox.store.set_flags(ADA, INBOX, uid, ["\\Seen"])
        sandbox.store.remove(ADA, INBOX, [uid])
        left = sandbox.store.uids(ADA)
        until(lambda heard: idle._messages == len(left) or heard, idle)
        assert idle.hear() == NOTHING
        sandbox.deliver(ADA, message(3))  # as many as before
        assert until(bool, idle) == {INBOX}

    def test_it_goes_on_before_the_server_hangs_up(self, sandbox, opened):
        idle = opened(idle_of(sandbox))
        assert IDLE_SECONDS < 29 * 60
        assert idle.renew_at <= time.monotonic() + IDLE_SECONDS
        idle.hear()
        assert idle.renew() == NOTHING
        sandbox.deliver(ADA, message(4))
        assert until(bool, idle) == {INBOX}

    def test_what_comes_while_it_is_renewed_is_told(self, sandbox, opened):
        idle = opened(idle_of(sandbox))
        sandbox.deliver(ADA, message(5))
        told = idle.renew()  # in the answer to DONE, or after it
        assert told | until(lambda heard: heard | told, idle) == {INBOX}

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (Fault(kind=Kind.HIDE, protocol="imap", argument="IDLE"), PushUnavailable),
            (
                Fault(kind=Kind.REPLY, command="IDLE", argument="NO Not on this server"),
                PushUnavailable,
            ),
            (Fault(kind=Kind.REPLY, command="IDLE", argument="NO [LIMIT] Too many"), ServerBusy),
            (Fault(kind=Kind.DROP, command="IDLE"), ConnectionLost),
            (Fault(kind=Kind.GARBAGE, command="IDLE"), UnexpectedReply),
        ],
    )
    def test_servers_that_do_not_idle(self, sandbox, fault, error):
        sandbox.faults.add(fault)
        idle = idle_of(sandbox)
        with pytest.raises(error):
            idle.open()
        with pytest.raises(ConnectionLost):
            idle.fileno()

    @pytest.mark.parametrize("command", ["IDLE", "DONE"])
    def test_a_server_that_never_answers_is_left(self, sandbox, opened, command):
        sandbox.faults.add(Fault(kind=Kind.HANG, protocol="imap", command=command))
        idle = idle_of(sandbox, timeout=0.3)
        with pytest.raises(SocketTimedOut):
            opened(idle).renew()

    @pytest.mark.parametrize(
        "fault",
        [
            Fault(kind=Kind.DROP, command="NEWS", times=1),
            Fault(kind=Kind.REPLY, command="NEWS", argument="* BYE Going down", times=1),
        ],
    )
    def test_a_line_that_ends_is_noticed(self, sandbox, opened, fault):
        idle = opened(idle_of(sandbox))
        sandbox.faults.add(fault)
        sandbox.deliver(ADA, message(6))
        assert isinstance(until_it_fails(idle), ConnectionLost)

    def test_garbage_ends_it(self, sandbox, opened):
        idle = opened(idle_of(sandbox))
        sandbox.faults.add(Fault(kind=Kind.GARBAGE, command="NEWS", times=1))
        sandbox.deliver(ADA, message(7))
        assert isinstance(until_it_fails(idle), UnexpectedReply)

    def test_signs_of_life_are_no_news(self, sandbox, opened):
        idle = opened(idle_of(sandbox))
        alive = Fault(kind=Kind.REPLY, command="NEWS", argument="* OK Still here", times=1)
        sandbox.faults.add(alive)
        sandbox.deliver(ADA, message(8))
        until(lambda heard: alive in sandbox.faults.struck, idle)
        assert until(bool, idle) == {INBOX}  # told with the next look

    def test_a_wrong_password_opens_nothing(self, sandbox):
        with pytest.raises(LoginRefused):
            idle_of(sandbox, password="wrong").open()


def test_a_real_server_tells(dovecot, opened):
    dovecot.empty(DORA)
    dovecot.deliver(DORA, message(1))
    settings = ConnectionSettings(
        host=dovecot.host,
        port=dovecot.ports.imap,
        security=Security.STARTTLS,
        credentials=Credentials(DORA, PASSWORDS[DORA]),
        timeout_seconds=PATIENCE,
        ca_pem=dovecot.ca_pem,
    )
    idle = opened(ImapIdle(settings))
    assert idle.hear() == NOTHING
    dovecot.deliver(DORA, message(2))
    assert until(bool, idle) == {INBOX}
    assert idle.renew() == NOTHING
    dovecot.deliver(DORA, message(3))
    assert until(bool, idle) == {INBOX}


class TestStream:
    def test_new_mail_is_told(self, sandbox, opened):
        stream = opened(stream_of(sandbox))
        sandbox.deliver(BEN, message(1))
        assert until(bool, stream) == {INBOX}

    def test_each_folder_is_told_by_its_name(self, sandbox, opened):
        stream = opened(stream_of(sandbox, (INBOX, CALENDAR)))
        item = sandbox.exchange.add(
            BEN, "CalendarItem", subject="Visit",
            start="2026-03-02T10:00:00Z", end="2026-03-02T11:00:00Z",
        )  # fmt: skip
        assert until(bool, stream) == {CALENDAR}
        sandbox.exchange.delete(item)
        assert until(bool, stream) == {CALENDAR}

    def test_what_leaves_the_inbox_is_no_news(self, sandbox, opened):
        item = sandbox.exchange.deliver(BEN, message(2))
        stream = opened(stream_of(sandbox))
        sandbox.exchange.move(sandbox.exchange.mark_read(item), "drafts")
        sandbox.exchange.deliver(BEN, message(3))
        until(bool, stream)
        assert stream.hear() == NOTHING

    def test_a_stream_that_ends_in_order_is_asked_for_again(self, sandbox, opened):
        stream = opened(stream_of(sandbox))
        until(lambda _: stream._proven, stream)
        sandbox.exchange.end_streams()
        until_renewal(stream)
        sandbox.deliver(BEN, message(4))  # between two connections: the subscription keeps it
        assert stream.renew() == NOTHING
        assert until(bool, stream) == {INBOX}

    def test_a_forgotten_subscription_is_made_anew(self, sandbox, opened):
        stream = opened(stream_of(sandbox))
        until(lambda _: stream._proven, stream)
        sandbox.exchange.forget_subscriptions()
        sandbox.exchange.end_streams()
        until_renewal(stream)
        stream.renew()
        until_renewal(stream)  # told that nobody knows it
        assert stream.renew() == {INBOX}  # what came meanwhile, nobody has told
        sandbox.deliver(BEN, message(5))
        assert until(bool, stream) == {INBOX}

    def test_missed_news_make_it_look(self, sandbox, opened):
        stream = opened(stream_of(sandbox))
        until(lambda _: stream._proven, stream)
        sandbox.faults.add(refuse("ErrorMissedNotificationEvents", "NEWS"))
        sandbox.deliver(BEN, message(6))
        until_renewal(stream)
        assert stream.renew() == {INBOX}

    def test_a_subscription_that_is_refused_again_and_again_is_an_error(self, sandbox, opened):
        sandbox.faults.add(refuse("ErrorSubscriptionNotFound", "GetStreamingEvents", times=None))
        error = until_it_fails(opened(stream_of(sandbox)))
        assert error.server_code == "ErrorSubscriptionNotFound"

    def test_an_error_in_the_stream_ends_it(self, sandbox, opened):
        stream = opened(stream_of(sandbox))
        sandbox.faults.add(refuse("ErrorMailboxStoreUnavailable", "NEWS"))
        sandbox.deliver(BEN, message(7))
        assert until_it_fails(stream).server_code == "ErrorMailboxStoreUnavailable"
        with pytest.raises(ConnectionLost):
            stream.fileno()

    def test_a_stream_that_breaks_off_is_noticed(self, sandbox, opened):
        stream = opened(stream_of(sandbox))
        sandbox.faults.add(Fault(kind=Kind.DROP, protocol="ews", command="NEWS", times=1))
        sandbox.deliver(BEN, message(8))
        assert isinstance(until_it_fails(stream), ConnectionLost)

    def test_garbage_instead_of_a_stream(self, sandbox, opened):
        sandbox.faults.add(Fault(kind=Kind.GARBAGE, command="GetStreamingEvents", times=1))
        assert isinstance(until_it_fails(opened(stream_of(sandbox))), UnexpectedReply)

    @pytest.mark.parametrize(
        ("fault", "error"),
        [
            (soap_fault("ErrorInvalidRequest", "Subscribe"), PushUnavailable),
            (soap_fault("ErrorServerBusy", "GetStreamingEvents"), ServerBusy),
            (http_status(503, "GetStreamingEvents", retry_after=30), ServerBusy),
            (refuse("ErrorExceededSubscriptionCount", "Subscribe"), TransientError),
        ],
    )
    def test_what_is_refused_at_once(self, sandbox, fault, error):
        sandbox.faults.add(fault)
        with pytest.raises(error):
            stream_of(sandbox).open()

    def test_a_wrong_password_opens_nothing(self, sandbox):
        with pytest.raises(LoginRefused):
            stream_of(sandbox, password="wrong").open()

    def test_ever_so_many_streams_leave_the_others_a_thread(self, sandbox, opened):
        for _ in range(THREADS):
            opened(stream_of(sandbox))
        stream = opened(stream_of(sandbox))
        sandbox.deliver(BEN, message(9))
        assert until(bool, stream) == {INBOX}
