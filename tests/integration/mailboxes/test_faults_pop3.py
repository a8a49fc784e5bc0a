"""POP3 servers that fail, lie, or are merely old."""

import time

import pytest

from mailboxes.protocols.base import (
    INBOX,
    Action,
    ActionKind,
    AdapterOptions,
    ConnectionSettings,
    Credentials,
    Security,
)
from mailboxes.protocols.errors import (
    ActionRefused,
    ConnectionLost,
    LoginRefused,
    MessageTooLarge,
    MessageUnreadable,
    ServerBusy,
    ServerError,
    SocketTimedOut,
    TransientError,
    UidlUnusable,
    UnexpectedReply,
)
from mailboxes.protocols.pop3 import Pop3Server
from tests.contracts import message
from tests.integration.mailboxes.conftest import PASSWORD, PATIENCE, waiting_for
from tests.servers.faulty import Fault, Pop3Box, ScriptedServer, pop3

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

COMMANDS = ["greeting", "CAPA", "USER", "PASS", "UIDL", "LIST", "DELE", "QUIT"]
EXPECTED = {
    "hang": SocketTimedOut,
    "drop": ConnectionLost,
    "garbage": UnexpectedReply,
    "endless": UnexpectedReply,
    "trickle": SocketTimedOut,
}


@pytest.fixture
def adapter():
    """Makes adapters, and closes them in the end."""
    made = []

    def make(server, options=None, security=Security.PLAIN, **changes):
        settings = ConnectionSettings(
            host="127.0.0.1",
            port=server.port,
            security=security,
            credentials=Credentials("ada", PASSWORD),
            allow_plain=True,
            allow_plain_login=True,
            **({"timeout_seconds": PATIENCE} | changes),
        )
        made.append(Pop3Server(settings, options))
        return made[-1]

    yield make
    for each in made:
        each.close()


def whole_conversation(server: Pop3Server) -> None:
    items = server.list_new(INBOX, "", 50).items
    for fetched in server.fetch(INBOX, [item.remote_id for item in items]):
        if fetched.error:
            raise fetched.error
    server.apply(INBOX, [Action(ActionKind.DELETE, items[0].remote_id)])


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("command", COMMANDS)
def test_fault_at_each_command_is_named_in_time(adapter, command, kind):
    box = Pop3Box([message(1), message(2)])
    with ScriptedServer(pop3(box, Fault(command, kind))) as server:
        started = time.monotonic()
        with pytest.raises(EXPECTED[kind]) as caught:
            whole_conversation(adapter(server, timeout_seconds=waiting_for(EXPECTED[kind])))
        assert time.monotonic() - started < PATIENCE
        assert caught.value.phase is not None
        assert PASSWORD not in f"{caught.value} {caught.value.__cause__!r}"
        assert box.deleted == []


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.rule("R3.67")
def test_message_that_breaks_the_line_costs_itself_only(adapter, kind):
    """The server fails whenever it is asked for message 2."""
    box = Pop3Box([message(1), message(2), message(3)])
    honest = pop3(box, Fault("RETR-2", kind))

    def dialogue(talk):
        line = talk.line
        talk.line = lambda: line().replace("RETR 2", "RETR-2")
        honest(talk)

    with ScriptedServer(dialogue) as server:
        connection = adapter(server, timeout_seconds=waiting_for(EXPECTED[kind]))
        fetched = list(connection.fetch(INBOX, ["u1", "u2", "u3"]))
    assert [each.mime for each in fetched] == [message(1), None, message(3)]
    assert isinstance(fetched[1].error, MessageUnreadable)
    assert isinstance(fetched[1].error.__cause__, EXPECTED[kind])


@pytest.mark.parametrize("kind", ["hang", "drop", "garbage"])
def test_server_that_fails_for_every_message_is_itself_to_blame(adapter, kind):
    box = Pop3Box([message(1), message(2), message(3)])
    with ScriptedServer(pop3(box, Fault("RETR", kind))) as server:
        connection = adapter(server, timeout_seconds=waiting_for(EXPECTED[kind]))
        fetching = connection.fetch(INBOX, ["u1", "u2", "u3"])
        assert isinstance(next(fetching).error, MessageUnreadable)
        with pytest.raises(EXPECTED[kind]):
            next(fetching)


def test_message_refused_costs_itself_only(adapter):
    box = Pop3Box([message(1), message(2)], uidls=["u1", "u2", "u3"])
    with ScriptedServer(pop3(box)) as server:
        fetched = list(adapter(server).fetch(INBOX, ["u3", "u1"]))
    assert isinstance(fetched[0].error, MessageUnreadable)
    assert "not here" in fetched[0].error.detail
    assert fetched[1].mime == message(1)


def test_server_without_uidl_is_unusable(adapter):
    with (
        ScriptedServer(pop3(Pop3Box([message(1)], uidls=None))) as server,
        pytest.raises(UidlUnusable, match="does not support UIDL"),
    ):
        adapter(server).list_new(INBOX, "", 50)


@pytest.mark.parametrize(
    ("uidls", "words"),
    [
        (["same", "other", "same"], "messages 1 and 3 the same UIDL same"),
        (["one", ""], "message 2 no UIDL"),
        (["one", "x" * 600], "message 2 has 600 characters"),
    ],
)
def test_unusable_uidls_are_named(adapter, uidls, words):
    box = Pop3Box([message(n) for n, _ in enumerate(uidls, 1)], uidls=uidls)
    with ScriptedServer(pop3(box)) as server, pytest.raises(UidlUnusable, match=words):
        adapter(server).list_new(INBOX, "", 50)


@pytest.mark.parametrize("command", ["UIDL", "LIST"])
def test_listing_of_nonsense_is_an_unexpected_reply(adapter, command):
    box = Pop3Box([message(1)], replies={command: "+OK\r\nlorem ipsum\r\n."})
    with ScriptedServer(pop3(box)) as server, pytest.raises(UnexpectedReply):
        adapter(server).list_new(INBOX, "", 50)


@pytest.mark.parametrize("capabilities", [None, ("USER", "UIDL"), ("USER", "PIPELINING")])
def test_old_server_without_capabilities_serves_as_well(adapter, capabilities):
    box = Pop3Box([message(n) for n in range(1, 25)], capabilities=capabilities)
    with ScriptedServer(pop3(box)) as server:
        connection = adapter(server)
        items = connection.list_new(INBOX, "", 50).items
        keys = [item.remote_id for item in items]
        assert [each.mime for each in connection.fetch(INBOX, keys)] == box.messages
        connection.apply(INBOX, [Action(ActionKind.DELETE, key) for key in keys])
    assert box.deleted == list(range(1, 25))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("-ERR [AUTH] Authentication failed.", LoginRefused),
        ("-ERR invalid login or password", LoginRefused),
        ("-ERR", LoginRefused),
        ("-ERR [SYS/PERM] no such account", LoginRefused),
        ("-ERR [IN-USE] Do you have another POP session running?", ServerBusy),
        ("-ERR [LOGIN-DELAY] minimum time between mail checks", ServerBusy),
        ("-ERR [SYS/TEMP] Temporary system problem", ServerBusy),
        ("-ERR maildrop already locked", ServerBusy),
        ("-ERR too many connections", ServerBusy),
    ],
)
def test_refused_login_passes_or_stays(adapter, reply, error):
    with (
        ScriptedServer(pop3(Pop3Box(replies={"PASS": reply}))) as server,
        pytest.raises(error) as caught,
    ):
        adapter(server).open()
    assert type(caught.value) is error


def test_busy_greeting_passes(adapter):
    with (
        ScriptedServer(pop3(Pop3Box(greeting="-ERR too busy"))) as server,
        pytest.raises(ServerBusy),
    ):
        adapter(server).open()


def test_echoed_password_is_not_shown(adapter):
    reply = f"-ERR no user ada with password {PASSWORD}"
    with (
        ScriptedServer(pop3(Pop3Box(replies={"PASS": reply}))) as server,
        pytest.raises(LoginRefused) as caught,
    ):
        adapter(server).open()
    assert PASSWORD not in str(caught.value)
    assert "no user ada" in str(caught.value)


def test_apop_is_used_on_a_plain_line_and_the_password_stays_home(adapter):
    """The digest is RFC 1939's example."""
    greeting = "+OK POP3 server ready <1896.697170952@dbc.mtview.ca.us>"
    with ScriptedServer(pop3(Pop3Box(greeting=greeting))) as server:
        settings = adapter(server).settings
        settings = ConnectionSettings(
            host=settings.host,
            port=settings.port,
            security=Security.PLAIN,
            credentials=Credentials("mrose", "tanstaaf"),
            timeout_seconds=5,
            allow_plain=True,
            allow_plain_login=True,
        )
        Pop3Server(settings).open().close()
    assert "APOP mrose c4c9334bac560ecc979e58001b3e22fb" in server.lines
    assert not any(line.startswith("PASS") for line in server.lines)


def test_refused_apop_does_not_fall_back_to_the_password(adapter):
    box = Pop3Box(greeting="+OK <1@example.com>", replies={"APOP": "-ERR no"})
    with ScriptedServer(pop3(box)) as server, pytest.raises(LoginRefused):
        adapter(server).open()
    assert not any(PASSWORD in line for line in server.lines)


def test_tls_makes_apop_needless(adapter, authority):
    box = Pop3Box(greeting="+OK <1@example.com>")
    with ScriptedServer(pop3(box), authority.issue("127.0.0.1"), implicit_tls=True) as server:
        adapter(server, security=Security.IMPLICIT_TLS, ca_pem=authority.pem).open().close()
    assert f"PASS {PASSWORD}" in server.lines


def test_stls_refused_for_now_is_tried_again(adapter):
    box = Pop3Box(replies={"STLS": "-ERR [SYS/TEMP] no entropy"})
    with ScriptedServer(pop3(box)) as server, pytest.raises(TransientError) as caught:
        adapter(server, security=Security.STARTTLS).open()
    assert type(caught.value) is TransientError


def test_deletion_is_done_only_when_the_server_has_said_so(adapter):
    box = Pop3Box([message(1)], quit_answer="-ERR some deleted messages not removed")
    with ScriptedServer(pop3(box)) as server:
        (result,) = adapter(server).apply(INBOX, [Action(ActionKind.DELETE, "u1")])
    assert not result.done
    assert isinstance(result.error, ActionRefused)
    assert "not removed" in result.error.detail


def test_one_refused_deletion_does_not_keep_the_others(adapter):
    box = Pop3Box([message(1), message(2)], uidls=["u1", "u2"])
    answers = iter(["-ERR locked", "+OK"])
    honest = pop3(box)

    def dialogue(talk):
        say = talk.say

        def first_refused(*lines):
            say(*([next(answers)] if server.lines and server.lines[-1][:4] == "DELE" else lines))

        talk.say = first_refused
        honest(talk)

    with ScriptedServer(dialogue) as server:
        actions = [Action(ActionKind.DELETE, "u1"), Action(ActionKind.DELETE, "u2")]
        results = adapter(server).apply(INBOX, actions)
    assert [result.done for result in results] == [False, True]


def test_message_larger_than_its_listing_is_cut_off_at_the_limit(adapter):
    box = Pop3Box([message(1, b"x" * 500_000 + b"\r\n"), message(2)], sizes={1: 100})
    with ScriptedServer(pop3(box)) as server:
        limited = adapter(server, AdapterOptions(max_fetch_bytes=10_000))
        fetched = list(limited.fetch(INBOX, ["u1", "u2"]))
    assert isinstance(fetched[0].error, MessageTooLarge)
    assert fetched[1].mime == message(2)


@pytest.mark.parametrize(
    ("raw", "mime"),
    [
        (b"A: b\r\n\r\nbare\n.\r\n+OK forged\r\n.\r\n", b"A: b\r\n\r\nbare\n.\r\n+OK forged\r\n"),
        (b"A: b\n\nline feeds\n..dot\n.\r\n", b"A: b\n\nline feeds\n.dot\n"),
        (b"A: b\n\nline feeds\n.\n", b"A: b\n\nline feeds\n"),
        (b".\r\n", b""),
        (b"...\r\n\r\n.\r\n", b"..\r\n\r\n"),
        (
            b"A: b\r\n\r\n" + b"y" * 300_000 + b"\r\n.\r\n",
            b"A: b\r\n\r\n" + b"y" * 300_000 + b"\r\n",
        ),
    ],
    ids=["forged end", "LF, CRLF end", "LF end", "empty", "dots", "one long line"],
)
def test_end_of_message_is_found_whatever_its_lines(adapter, raw, mime):
    box = Pop3Box([message(1)], capabilities=("USER",))
    honest = pop3(box)

    def dialogue(talk):
        say = talk.say

        def raw_message(*lines):
            is_message = server.lines and server.lines[-1].startswith("RETR")
            say(*(["+OK", raw] if is_message else lines))

        talk.say = raw_message
        honest(talk)

    with ScriptedServer(dialogue) as server:
        connection = adapter(server)
        fetched = next(iter(connection.fetch(INBOX, ["u1"])))
        assert fetched.mime == mime
        connection.close()
    assert server.lines[-1] == "QUIT"


@pytest.mark.parametrize("user", ["ada\r\nDELE 1", "ada\n", "a\0b"])
def test_credentials_can_not_carry_commands(user):
    with ScriptedServer(pop3(Pop3Box())) as server:
        settings = ConnectionSettings(
            host="127.0.0.1",
            port=server.port,
            security=Security.PLAIN,
            credentials=Credentials(user, PASSWORD),
            timeout_seconds=PATIENCE,
            allow_plain=True,
            allow_plain_login=True,
        )
        with pytest.raises(LoginRefused, match="control characters"):
            Pop3Server(settings).open()
    assert server.lines == []


def test_second_listing_sees_what_came_after_the_first(adapter):
    """A session shows the maildrop as it was when it began."""
    box = Pop3Box([message(1)])
    with ScriptedServer(pop3(box)) as server:
        connection = adapter(server)
        connection.list_new(INBOX, "", 50)
        connection.list_new(INBOX, "", 50)
        connection.close()
        assert server.connections == 2


def test_errors_are_all_of_the_tree(adapter):
    """Over every command and fault at once: nothing but ServerError comes out of it."""
    for command in [*COMMANDS, "RETR", "TOP"]:
        box = Pop3Box([message(1)])
        with ScriptedServer(pop3(box, Fault(command, "garbage"))) as server:
            connection = adapter(server)
            with pytest.raises(ServerError):
                whole_conversation(connection)
                connection.identify(INBOX, ["u1"])
            connection.close()
