"""What one SMTP transaction takes, asks and keeps apart: numbers of recipients, receipts, addresses beyond
ASCII, and servers whose answers come out of step."""

import re

import pytest

from mailboxes.protocols.base import ConnectionSettings, Credentials, Envelope, Security
from mailboxes.protocols.errors import (
    REFUSALS,
    MessageDeferred,
    MessageRefused,
    ServerError,
    UnexpectedReply,
)
from mailboxes.protocols.smtp import SmtpServer
from tests.contracts import Handing, message
from tests.servers.faulty import ScriptedServer, SmtpBox, smtp

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

EVERYBODY = tuple(f"someone{number}@example.com" for number in range(250))
PIPELINING = pytest.mark.parametrize("first", ["PIPELINING", "8BITMIME"])


@pytest.fixture
def adapter():
    made = []

    def make(server):
        settings = ConnectionSettings(
            host="127.0.0.1",
            port=server.port,
            security=Security.PLAIN,
            allow_plain=True,
            allow_plain_login=True,
            credentials=Credentials("ada", "secret-of-ada"),
            timeout_seconds=1,
        )
        made.append(SmtpServer(settings))
        return made[-1]

    yield make
    for each in made:
        each.close()


def envelope(*recipients, mime=None, **more):
    recipients = recipients or ("ben@example.com",)
    return Envelope("<1@example.com>", "ada@example.com", recipients, mime or message(1), **more)


def box_of(*extensions, **answers):
    return SmtpBox(extensions=(*extensions, "AUTH PLAIN"), answers=dict(answers))


def addresses(lines):
    return [re.search("<(.*?)>", line)[1] for line in lines]


# -- as many as it takes at once


@PIPELINING
@pytest.mark.rule("R5.16")
def test_recipients_beyond_the_number_that_is_announced_are_left_over(adapter, first):
    """RFC 9422: they aren't even asked about."""
    box = box_of(first, "LIMITS MAILMAX=50 RCPTMAX=120")
    with ScriptedServer(smtp(box)) as server:
        sent = adapter(server).send(envelope(*EVERYBODY), Handing())
        assert sum(line.startswith("RCPT") for line in server.lines) == 120
    assert addresses(box.received[0][1]) == list(EVERYBODY[:120])
    assert [each.accepted for each in sent.recipients] == [True] * 120 + [False] * 130
    assert {(each.left_over, each.permanent) for each in sent.recipients[120:]} == {(True, False)}


@PIPELINING
@pytest.mark.rule("R5.16")
@pytest.mark.parametrize(
    "answer",
    [
        "452 4.5.3 Error: too many recipients",
        "452 Too many recipients received this time",
        "552 5.5.3 too many recipients",
    ],
)
def test_recipients_beyond_the_number_that_shows_are_left_over(adapter, first, answer):
    """RFC 5321, 4.5.3.1.10, and its remark on the 552 of old servers."""
    box = box_of(first)
    box.answers |= {f"RCPT TO:<{address}>": answer for address in EVERYBODY[100:]}
    with ScriptedServer(smtp(box)) as server:
        connection, handing = adapter(server), Handing()
        sent = connection.send(envelope(*EVERYBODY), handing)
        box.answers.clear()
        rest = [each.address for each in sent.recipients if each.left_over]
        connection.send(envelope(*rest), handing)
    assert handing.count == 2
    assert [len(recipients) for _, recipients, _ in box.received] == [100, 150]
    assert not {each.permanent for each in sent.recipients} & {True}
    got = [address for _, lines, _ in box.received for address in addresses(lines)]
    assert got == list(EVERYBODY)


def test_too_many_of_one_alone_waits(adapter):
    with ScriptedServer(smtp(box_of(RCPT="452 4.5.3 too many recipients"))) as server:
        with pytest.raises(MessageDeferred) as caught:
            adapter(server).send(envelope(), Handing())
        assert caught.value.recipients[0].left_over


def test_other_refusals_leave_nobody_over(adapter):
    box = box_of()
    box.answers["RCPT TO:<cleo@example.com>"] = "452 4.2.2 mailbox full"
    box.answers["RCPT TO:<dora@example.com>"] = "550 5.1.1 no such user"
    with ScriptedServer(smtp(box)) as server:
        sent = adapter(server).send(
            envelope("ben@example.com", "cleo@example.com", "dora@example.com"), Handing()
        )
    assert [(each.accepted, each.left_over) for each in sent.recipients] == [
        (True, False),
        (False, False),
        (False, False),
    ]


# -- receipts


@pytest.mark.rule("R5.21")
def test_a_delivery_receipt_is_asked_of_servers_that_know_how(adapter):
    """RFC 3461: the id comes back with each report, and the address as we wrote it."""
    box = box_of("DSN")
    with ScriptedServer(smtp(box)) as server:
        connection = adapter(server)
        connection.send(envelope("a+b=c@example.com", delivery_receipt=True), Handing())
        connection.send(envelope(), Handing())
    (mail, (rcpt,), _), (plain_mail, (plain_rcpt,), _) = box.received
    assert mail == "MAIL FROM:<ada@example.com> RET=HDRS ENVID=1@example.com"
    assert rcpt == (
        "RCPT TO:<a+b=c@example.com> NOTIFY=SUCCESS,DELAY,FAILURE "
        "ORCPT=rfc822;a+2Bb+3Dc@example.com"
    )
    assert (plain_mail, plain_rcpt) == (
        "MAIL FROM:<ada@example.com>",
        "RCPT TO:<ben@example.com>",
    )


def test_other_servers_are_not_asked_for_receipts(adapter):
    box = box_of()
    with ScriptedServer(smtp(box)) as server:
        adapter(server).send(envelope(delivery_receipt=True), Handing())
    assert box.received[0][:2] == ("MAIL FROM:<ada@example.com>", ["RCPT TO:<ben@example.com>"])


# -- addresses beyond ASCII


def test_an_address_that_the_server_can_not_take_is_named(adapter):
    """It stands in the header, so that nobody can have this message without SMTPUTF8."""
    mime = "To: ben@example.com, jürgen@example.com\r\n\r\nx\r\n".encode()
    with ScriptedServer(smtp(box_of("8BITMIME"))) as server:
        connection, handing = adapter(server), Handing()
        with pytest.raises(MessageRefused, match=r"jürgen@example\.com.*SMTPUTF8"):
            connection.send(envelope("ben@example.com", "jürgen@example.com", mime=mime), handing)
        assert handing.count == 0
        connection.send(envelope(), handing)
        assert handing.count == 1


# -- out of step


def talks(honest, changed):
    """The honest dialogue, with what it says changed on the way."""

    def dialogue(talk):
        say = talk.say
        talk.say = lambda *lines: say(*changed(list(lines), talk))
        honest(talk)

    return dialogue


@pytest.mark.parametrize("extra", ["250 2.0.0 queued", "451 4.3.0 hm", "354 go on", "* OK"])
def test_a_server_that_answers_a_message_twice_gets_the_next_one_over_a_new_line(adapter, extra):
    """What it said unasked is not taken for the answer to the next command."""
    box = box_of("PIPELINING")

    def changed(lines, talk):
        twice = lines == ["250 2.0.0 queued"] and server.connections == 1
        return ["\r\n".join([*lines, extra])] if twice else lines

    with ScriptedServer(talks(smtp(box), changed)) as server:
        connection, handing = adapter(server), Handing()
        for _number in range(2):
            connection.send(envelope(), handing)
        assert server.connections == 2
    assert (len(box.received), handing.count) == (2, 2)


@pytest.mark.parametrize("word", ["MAIL", "RCPT", "DATA"])
def test_a_server_that_answers_a_command_twice_is_left_before_the_message_is_its_own(adapter, word):
    box, handing = box_of("PIPELINING"), Handing()
    answer = {"MAIL": "250 2.1.0 from", "RCPT": "250 2.1.5 to", "DATA": "354 go on"}[word]
    box.answers[word] = answer

    def changed(lines, talk):
        return [f"{answer}\r\n{answer}"] if lines == [answer] else lines

    with (
        ScriptedServer(talks(smtp(box), changed)) as server,
        pytest.raises(ServerError) as caught,
    ):
        adapter(server).send(envelope(), handing)
    assert isinstance(caught.value, UnexpectedReply)
    assert (handing.count, box.received) == (0, [])


@pytest.mark.rule("R5.17")
@pytest.mark.parametrize("answer", ["354 go on", "334 what?", "399 hm"])
def test_an_answer_that_is_neither_yes_nor_no_leaves_the_doubt(adapter, answer):
    box, handing = box_of(content=answer), Handing()
    with ScriptedServer(smtp(box)) as server, pytest.raises(UnexpectedReply) as caught:
        adapter(server).send(envelope(), handing)
    assert handing.count == 1
    assert not isinstance(caught.value, REFUSALS)


@pytest.mark.parametrize("word", ["MAIL", "RCPT", "DATA"])
def test_a_question_in_place_of_an_answer_is_no_consent(adapter, word):
    box, handing = box_of(**{word: "334 what?"}), Handing()
    with ScriptedServer(smtp(box)) as server, pytest.raises(ServerError):
        adapter(server).send(envelope(), handing)
    assert (handing.count, box.received) == (0, [])
