"""SMTP servers that fail, refuse, or offer little: what left, what did not, and what nobody knows."""

import re
import time

import pytest

from mailboxes.protocols.base import ConnectionSettings, Credentials, Envelope, Security
from mailboxes.protocols.errors import (
    REFUSALS,
    ConnectionForbidden,
    ConnectionLost,
    MessageDeferred,
    MessageRefused,
    MessageTooLarge,
    OutgoingLoginRefused,
    SecureConnectionFailed,
    SendAsDenied,
    SendingTooFast,
    ServerBusy,
    SmtpSyntax,
    SocketTimedOut,
    SubmissionQuotaExceeded,
    TransientError,
    UnexpectedReply,
)
from mailboxes.protocols.smtp import SmtpServer
from tests.contracts import Handing, OutgoingContract, message
from tests.integration.mailboxes.conftest import PASSWORD, PATIENCE, waiting_for
from tests.servers.faulty import Fault, ScriptedServer, SmtpBox, smtp

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

EXPECTED = {
    "hang": SocketTimedOut,
    "drop": ConnectionLost,
    "garbage": UnexpectedReply,
    "endless": UnexpectedReply,
    "trickle": SocketTimedOut,
}
PIPELINING = pytest.mark.parametrize(
    "extensions",
    [("PIPELINING", "8BITMIME", "AUTH PLAIN"), ("8BITMIME", "AUTH PLAIN")],
    ids=["pipelining", "step by step"],
)


def adapter_of(server, security=Security.PLAIN, **changes):
    values = {"credentials": Credentials("ada", PASSWORD), "timeout_seconds": PATIENCE}
    settings = ConnectionSettings(
        host="127.0.0.1",
        port=server.port,
        security=security,
        allow_plain=True,
        allow_plain_login=True,
        **(values | changes),
    )
    return SmtpServer(settings)


@pytest.fixture
def adapter():
    """Makes adapters, and closes them in the end."""
    made = []

    def make(server, **changes):
        made.append(adapter_of(server, **changes))
        return made[-1]

    yield make
    for each in made:
        each.close()


def envelope(*recipients, body=b"Hello.\r\n", sender="ada@example.com", mime=None):
    recipients = recipients or ("ben@example.com",)
    return Envelope("<1@example.com>", sender, recipients, mime or message(1, body))


class ScriptedAccount:
    accepted = ("ben@example.com", "cleo@example.com")
    refused = "nobody@example.com"
    deferred = "later@example.com"
    limit = 400_000
    password = PASSWORD

    def __init__(self, extensions):
        self.box = SmtpBox(extensions=extensions)
        self.box.answers |= {
            f"RCPT TO:<{self.refused}>": "550 5.1.1 no such user",
            f"RCPT TO:<{self.deferred}>": "450 4.2.0 later",
        }
        self.scripted = ScriptedServer(smtp(self.box))
        self.servers = []

    def server(self):
        self.servers.append(adapter_of(self.scripted))
        return self.servers[-1]

    def arrived(self, count):
        bodies = [content.partition(b"\r\n\r\n")[2] for _, _, content in self.box.received]
        return [re.sub(rb"(?m)^\.", b"", body) for body in bodies]


class ScriptedContract(OutgoingContract):
    extensions = ()

    @pytest.fixture
    def account(self):
        account = ScriptedAccount((*self.extensions, "SIZE 400000", "AUTH PLAIN"))
        with account.scripted:
            yield account
            for server in account.servers:
                server.close()


class TestWithPipelining(ScriptedContract):
    extensions = ("PIPELINING",)


class TestWithoutPipelining(ScriptedContract):
    """Real servers without it are rare by now."""


BEFORE = ["greeting", "EHLO", "AUTH", "MAIL", "RCPT", "DATA"]


@PIPELINING
@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("point", BEFORE)
def test_fault_before_the_final_dot_proves_that_nothing_left(adapter, point, kind, extensions):
    box, handing = SmtpBox(extensions=extensions), Handing()
    with ScriptedServer(smtp(box, Fault(point, kind))) as server:
        started = time.monotonic()
        with pytest.raises(EXPECTED[kind]) as caught:
            adapter(server, timeout_seconds=waiting_for(EXPECTED[kind])).send(envelope(), handing)
        assert time.monotonic() - started < PATIENCE
    assert handing.count == 0
    assert box.received == []
    assert caught.value.phase is not None
    assert PASSWORD not in f"{caught.value} {caught.value.__cause__!r}"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("hang", SocketTimedOut),
        ("drop", ConnectionLost),
        ("garbage", UnexpectedReply),
        ("endless", SocketTimedOut),
    ],
)
def test_fault_in_the_middle_of_the_content_proves_that_nothing_left(adapter, kind, error):
    """More than the network between the two can hold, unless the server goes on reading it."""
    reads_on = kind == "garbage"
    lines, patience = (200_000, 60) if reads_on else (800_000, waiting_for(error))
    box, handing = SmtpBox(extensions=("AUTH PLAIN",)), Handing()
    with ScriptedServer(smtp(box, Fault("first line", kind, times=1))) as server:
        started = time.monotonic()
        with pytest.raises(error):
            adapter(server, timeout_seconds=patience).send(
                envelope(body=b"A line of text.\r\n" * lines), handing
            )
        assert reads_on or time.monotonic() - started < PATIENCE
    assert handing.count == 0
    assert box.received == []


@pytest.mark.parametrize("kind", EXPECTED)
def test_fault_after_the_final_dot_means_that_nobody_knows(adapter, kind):
    """It must not look like a refusal, or the message were sent again."""
    handing = Handing()
    with (
        ScriptedServer(smtp(SmtpBox(), Fault("content", kind))) as server,
        pytest.raises(EXPECTED[kind]) as caught,
    ):
        adapter(server, timeout_seconds=waiting_for(EXPECTED[kind])).send(envelope(), handing)
    assert handing.count == 1
    assert not isinstance(caught.value, REFUSALS)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("550 5.7.1 looks like spam", MessageRefused),
        ("554 5.6.0 malformed", MessageRefused),
        ("451 4.3.0 try again", MessageDeferred),
        ("552 5.3.4 message size exceeds limit", MessageTooLarge),
        ("421 4.3.2 shutting down", ServerBusy),
        ("550 5.4.5 Daily user sending quota exceeded", SubmissionQuotaExceeded),
        ("554 5.2.0 SubmissionQuotaExceededException", SubmissionQuotaExceeded),
    ],
)
@pytest.mark.rule("R5.15")
def test_refusal_after_the_final_dot_is_one(adapter, answer, error):
    box = SmtpBox(answers={"content": answer})
    with ScriptedServer(smtp(box)) as server, pytest.raises(error) as caught:
        adapter(server).send(envelope(), Handing())
    assert type(caught.value) is error
    assert isinstance(caught.value, REFUSALS)
    assert answer in str(caught.value)


@PIPELINING
@pytest.mark.parametrize(
    ("command", "answer", "error"),
    [
        ("MAIL", "550 5.7.60 not allowed to send as this sender", SendAsDenied),
        ("MAIL", "451 4.7.1 greylisted", MessageDeferred),
        ("MAIL", "452 4.3.1 insufficient system storage", ServerBusy),
        ("MAIL", "552 5.2.2 over quota", SubmissionQuotaExceeded),
        ("MAIL", "452 4.2.2 mailbox full", SubmissionQuotaExceeded),
        ("MAIL", "552 5.3.4 message size exceeds fixed limit", MessageTooLarge),
        ("MAIL", "530 5.7.0 authentication required", OutgoingLoginRefused),
        ("MAIL", "530 5.7.0 must issue a STARTTLS command first", SecureConnectionFailed),
        ("MAIL", "503 5.5.1 need authentication", OutgoingLoginRefused),
        ("MAIL", "421 4.7.0 too many messages", SendingTooFast),
        ("RCPT", "552 5.2.2 recipient's mailbox is full", MessageRefused),
        ("RCPT", "452 4.2.2 recipient's mailbox is full", MessageDeferred),
        ("RCPT", "550 5.4.5 you have reached your daily sending limit", SubmissionQuotaExceeded),
        ("RCPT", "450 4.7.1 rate limit exceeded", SendingTooFast),
        ("RCPT", "530 5.7.0 authentication required", OutgoingLoginRefused),
        ("RCPT", "421 4.7.0 too many recipients", ServerBusy),
        ("DATA", "554 5.7.1 no", MessageRefused),
        ("DATA", "451 4.5.0 not now", MessageDeferred),
        ("DATA", "421 4.3.0 bye", ServerBusy),
    ],
)
@pytest.mark.rule("R5.15")
def test_refusal_before_the_content(adapter, command, answer, error, extensions):
    box, handing = SmtpBox(extensions=extensions, answers={command: answer}), Handing()
    with ScriptedServer(smtp(box)) as server:
        connection = adapter(server)
        with pytest.raises(error) as caught:
            connection.send(envelope(), handing)
        assert type(caught.value) is error
        assert handing.count == 0
        box.answers.clear()
        connection.send(envelope(), handing)
        assert handing.count == 1
    assert len(box.received) == 1


def test_data_agreed_to_without_recipients_gets_an_empty_message(adapter):
    """RFC 2920, 3.1: the price of pipelining. The next message finds the dialogue in step."""
    box, handing = SmtpBox(answers={"RCPT": "550 no", "DATA": "354 go on"}), Handing()
    with ScriptedServer(smtp(box)) as server:
        connection = adapter(server)
        with pytest.raises(MessageRefused):
            connection.send(envelope(), handing)
        assert (handing.count, box.empty_contents) == (0, 1)
        box.answers.clear()
        connection.send(envelope(), handing)
    assert [recipients for _, recipients, _ in box.received] == [["RCPT TO:<ben@example.com>"]]


def test_lax_server_does_not_deliver_an_empty_message(adapter):
    """It refuses the sender and takes recipients and content all the same."""
    box, handing = SmtpBox(answers={"MAIL": "550 no"}, lax=True), Handing()
    with ScriptedServer(smtp(box)) as server:
        connection = adapter(server)
        with pytest.raises(MessageRefused):
            connection.send(envelope(), handing)
        box.answers.clear()
        connection.send(envelope(), handing)
    assert [content for _, _, content in box.received] == [message(1)]


def test_one_connection_and_login_serve_a_batch(adapter):
    box = SmtpBox()
    with ScriptedServer(smtp(box)) as server:
        connection = adapter(server)
        for _ in range(3):
            connection.send(envelope(), Handing())
        assert server.connections == 1
        assert sum(line.startswith("AUTH") for line in server.lines) == 1
    assert len(box.received) == 3


@pytest.mark.parametrize("farewell", ["421 4.4.2 idle too long", ""])
def test_connection_that_ended_between_two_messages_is_made_anew(adapter, farewell):
    box = SmtpBox()
    honest = smtp(box)

    def dialogue(talk):
        say = talk.say

        def once(*lines):
            say(*lines)
            if lines[0].startswith("250 2.0.0 queued") and server.connections == 1:
                say(*([farewell] if farewell else []))
                talk.drop()

        talk.say = once
        honest(talk)

    with ScriptedServer(dialogue) as server:
        connection = adapter(server)
        connection.send(envelope(), Handing())
        connection.send(envelope(), Handing())
        assert server.connections == 2
    assert len(box.received) == 2


def test_server_that_speaks_during_the_content_has_refused_it(adapter):
    box, handing = SmtpBox(), Handing()
    with ScriptedServer(smtp(box)) as server:
        connection = adapter(server)
        connection.open()
        stuff = connection._line.send

        def interrupted(data):
            stuff(data)
            if data.startswith(b"From:"):
                server._open[-1].say("552 5.3.4 message size exceeds limit")
                time.sleep(0.05)

        connection._line.send = interrupted
        with pytest.raises(MessageTooLarge):
            connection.send(envelope(), handing)
    assert handing.count == 0
    assert box.received == []


def test_final_dot_is_the_only_thing_sent_after_handing_over(adapter):
    box = SmtpBox()
    with ScriptedServer(smtp(box)) as server:
        connection = adapter(server).open()
        sent = []
        send = connection._line.send
        connection._line.send = lambda data: (sent.append(data), send(data))
        connection.send(envelope(), lambda: sent.append("handed over"))
    assert sent[-3:] == [message(1), "handed over", b".\r\n"]


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ({"AUTH": "535 5.7.8 authentication failed"}, OutgoingLoginRefused),
        ({"AUTH": "534 5.7.9 application-specific password required"}, OutgoingLoginRefused),
        ({"AUTH": "454 4.7.0 temporary authentication failure"}, ServerBusy),
        ({"AUTH": "421 4.7.0 too many login attempts"}, ServerBusy),
        ({"EHLO": "502 what", "HELO": "502 what"}, SmtpSyntax),
        ({"EHLO": "500 what", "HELO": "550 go away"}, ConnectionForbidden),
        ({"EHLO": "451 not now"}, ServerBusy),
    ],
)
def test_refused_opening(adapter, answers, error):
    with ScriptedServer(smtp(SmtpBox(answers=answers))) as server, pytest.raises(error) as caught:
        adapter(server).open()
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        ("421 too busy", ServerBusy),
        ("451 not now", ServerBusy),
        ("554 your address is on a block list", ConnectionForbidden),
        ("250 odd", SmtpSyntax),
    ],
)
def test_refusing_greeting(adapter, greeting, error):
    with (
        ScriptedServer(smtp(SmtpBox(greeting=greeting))) as server,
        pytest.raises(error) as caught,
    ):
        adapter(server).open()
    assert type(caught.value) is error


def test_greeting_of_several_lines_is_one(adapter):
    with ScriptedServer(smtp(SmtpBox(greeting="220-welcome\r\n220 to this server"))) as server:
        adapter(server).open()


def test_endless_reply_is_cut_off(adapter):
    def dialogue(talk):
        talk.say("220 ready")
        talk.line()
        while True:
            talk.say("250-and another one")

    with ScriptedServer(dialogue) as server, pytest.raises(UnexpectedReply, match="200 lines"):
        adapter(server).open()


@pytest.mark.parametrize(
    ("offered", "lines"),
    [
        ("PLAIN", ["AUTH PLAIN AGFkYQBzZWNyZXQtb2YtYWRh"]),
        ("LOGIN", ["AUTH LOGIN", "YWRh", "c2VjcmV0LW9mLWFkYQ=="]),
        ("PLAIN LOGIN", ["AUTH LOGIN", "YWRh", "c2VjcmV0LW9mLWFkYQ=="]),
        (
            "PLAIN LOGIN CRAM-MD5",
            ["AUTH CRAM-MD5", "YWRhIGUzZmY5ZDU2MTQ1ZmU0OGQ0MjRiOWZmYzg1Y2YxYmFk"],
        ),
    ],
)
def test_login_mechanisms_on_a_plain_line(adapter, offered, lines):
    """Without TLS a challenge comes first. The challenge is RFC 2195's."""
    challenge = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"
    answers = {"AUTH LOGIN": "334 VXNlcm5hbWU6", "AUTH CRAM-MD5": f"334 {challenge}"}
    box = SmtpBox(extensions=(f"AUTH {offered}",), answers=answers)
    with ScriptedServer(smtp(box)) as server:
        adapter(server).open()
        spoken = list(server.lines[1:])
    if "CRAM-MD5" in offered:
        assert spoken[0] == lines[0]
        assert len(spoken) == 2
    else:
        assert spoken == lines


def test_cram_md5_as_in_its_specification(adapter):
    """RFC 2195, 2: tim, tanstaaftanstaaf."""
    challenge = "PDE4OTYuNjk3MTcwOTUyQHBvc3RvZmZpY2UucmVzdG9uLm1jaS5uZXQ+"
    box = SmtpBox(extensions=("AUTH CRAM-MD5",), answers={"AUTH": f"334 {challenge}"})
    with ScriptedServer(smtp(box)) as server:
        adapter(server, credentials=Credentials("tim", "tanstaaftanstaaf")).open()
        assert server.lines[-1] == "dGltIGI5MTNhNjAyYzdlZGE3YTQ5NWI0ZTZlNzMzNGQzODkw"


def test_tls_means_the_simplest_login(adapter, authority):
    box = SmtpBox(extensions=("AUTH CRAM-MD5 LOGIN PLAIN",))
    with ScriptedServer(smtp(box), authority.issue("127.0.0.1"), implicit_tls=True) as server:
        adapter(server, security=Security.IMPLICIT_TLS, ca_pem=authority.pem).open()
        assert server.lines[1].startswith("AUTH PLAIN ")


def test_old_way_to_announce_logins_and_late_question(adapter):
    box = SmtpBox(extensions=("AUTH=PLAIN",), answers={"AUTH": "334 "})
    with ScriptedServer(smtp(box)) as server:
        adapter(server).open()
        assert server.lines[-1] == "AGFkYQBzZWNyZXQtb2YtYWRh"


@pytest.mark.parametrize(
    ("extensions", "words"),
    [(("SIZE",), "offers no login"), (("AUTH GSSAPI NTLM",), "only offers logins by GSSAPI, NTLM")],
)
def test_no_way_to_log_in_is_named(adapter, extensions, words):
    with (
        ScriptedServer(smtp(SmtpBox(extensions=extensions))) as server,
        pytest.raises(OutgoingLoginRefused, match=words),
    ):
        adapter(server).open()


def test_no_credentials_no_login(adapter):
    box = SmtpBox()
    with ScriptedServer(smtp(box)) as server:
        adapter(server, credentials=None).send(envelope(), Handing())
        assert not any(line.startswith("AUTH") for line in server.lines)
    assert len(box.received) == 1


def test_starttls_refused_for_now_is_tried_again(adapter):
    box = SmtpBox(answers={"STARTTLS": "454 4.7.0 not available"})
    with ScriptedServer(smtp(box)) as server, pytest.raises(TransientError) as caught:
        adapter(server, security=Security.STARTTLS).open()
    assert type(caught.value) is TransientError


def test_old_server_gets_helo(adapter):
    box = SmtpBox(extensions=(), answers={"EHLO": "502 what"})
    with ScriptedServer(smtp(box)) as server:
        adapter(server, credentials=None, local_hostname="us.example.com").send(
            envelope(), Handing()
        )
        assert server.lines[:2] == ["EHLO us.example.com", "HELO us.example.com"]
        assert "MAIL FROM:<ada@example.com>" in server.lines
    assert len(box.received) == 1


@pytest.mark.parametrize(
    ("extensions", "mime", "command"),
    [
        (("SIZE 1000", "8BITMIME", "SMTPUTF8"), b"A: b\r\n\r\nx\r\n", "SIZE=11"),
        (("8BITMIME",), b"A: b\r\n\r\n\xfc\r\n", "BODY=8BITMIME"),
        (("8BITMIME", "SMTPUTF8"), "A: ü\r\n\r\n\r\n".encode(), "BODY=8BITMIME SMTPUTF8"),
        ((), b"A: b\r\n\r\nx\r\n", ""),
    ],
)
def test_parameters_of_mail_are_those_that_are_needed(adapter, extensions, mime, command):
    box = SmtpBox(extensions=(*extensions, "AUTH PLAIN"))
    with ScriptedServer(smtp(box)) as server:
        adapter(server).send(envelope(mime=mime), Handing())
    assert box.received[0][0] == f"MAIL FROM:<ada@example.com> {command}".rstrip()


@pytest.mark.parametrize(
    ("mime", "words"),
    [
        (b"A: b\r\n\r\n\xfc\r\n", "7-bit mail only"),
        ("A: ü\r\n\r\n\r\n".encode(), "7-bit mail only"),
    ],
)
def test_eight_bit_content_needs_8bitmime(adapter, mime, words):
    box = SmtpBox(extensions=("AUTH PLAIN",))
    with ScriptedServer(smtp(box)) as server, pytest.raises(MessageRefused, match=words):
        adapter(server).send(envelope(mime=mime), Handing())


def test_header_beyond_ascii_needs_smtputf8(adapter):
    with (
        ScriptedServer(smtp(SmtpBox())) as server,
        pytest.raises(MessageRefused, match="SMTPUTF8"),
    ):
        adapter(server).send(envelope(mime="A: ü\r\n\r\n".encode()), Handing())


def test_domain_beyond_ascii_has_an_ascii_form(adapter):
    box = SmtpBox()
    with ScriptedServer(smtp(box)) as server:
        adapter(server).send(envelope("ben@bücher.example"), Handing())
    assert box.received[0][1] == ["RCPT TO:<ben@xn--bcher-kva.example>"]


def test_local_part_beyond_ascii_goes_with_smtputf8(adapter):
    box = SmtpBox(extensions=("SMTPUTF8", "AUTH PLAIN"))
    with ScriptedServer(smtp(box)) as server:
        adapter(server).send(envelope("bén@example.com"), Handing())
    assert box.received[0][0].endswith(" SMTPUTF8")
    assert box.received[0][1] == ["RCPT TO:<bén@example.com>"]


@pytest.mark.rule("R5.16")
def test_local_part_beyond_ascii_is_refused_alone_without_smtputf8(adapter):
    box = SmtpBox()
    with ScriptedServer(smtp(box)) as server:
        sent = adapter(server).send(envelope("bén@example.com", "cleo@example.com"), Handing())
    assert [each.accepted for each in sent.recipients] == [False, True]
    assert "SMTPUTF8" in sent.recipients[0].text


@pytest.mark.parametrize(
    "address", ["ben@example.com>\r\nRCPT TO:<x@example.com", "a<b@c", "a\0@b"]
)
def test_addresses_can_not_carry_commands(adapter, address):
    box = SmtpBox()
    with ScriptedServer(smtp(box)) as server:
        connection = adapter(server)
        with pytest.raises(MessageRefused):
            connection.send(envelope(address), Handing())
        with pytest.raises(MessageRefused):
            connection.send(envelope(sender=address), Handing())
        assert not any(line.startswith(("MAIL", "RCPT")) for line in server.lines)


@pytest.mark.parametrize("break_", [b"\n.\n", b"\r.\r", b"\n.\r\n", b"\r\n.\n"])
def test_bare_line_ends_can_not_end_the_message(adapter, break_):
    """SMTP smuggling: what follows would be commands of ours to a lenient server."""
    box = SmtpBox()
    mime = message(1, b"text" + break_ + b"MAIL FROM:<boss@example.com>\r\n")
    with ScriptedServer(smtp(box)) as server:
        adapter(server).send(envelope(mime=mime), Handing())
    content = box.received[0][2]
    assert content.count(b"\n") == content.count(b"\r\n") == content.count(b"\r")
    assert b"text\r\n..\r\nMAIL FROM:" in content


def test_echoed_password_is_not_shown(adapter):
    echo = "535 5.7.8 bad: AGFkYQBzZWNyZXQtb2YtYWRh secret-of-ada"
    with (
        ScriptedServer(smtp(SmtpBox(answers={"AUTH": echo}))) as server,
        pytest.raises(OutgoingLoginRefused) as caught,
    ):
        adapter(server).open()
    assert PASSWORD not in str(caught.value)
    assert "AGFkYQBzZWNyZXQtb2YtYWRh" not in str(caught.value)


def test_plain_smtp_can_not_look_into_sent_items(adapter):
    with ScriptedServer(smtp(SmtpBox())) as server:
        assert adapter(server).find_sent("<1@example.com>") is None
