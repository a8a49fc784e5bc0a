"""What the adapters make of single words: headers, listings, replies, addresses."""

import pytest

from mailboxes.protocols.base import Fetched
from mailboxes.protocols.errors import (
    ConnectionLost,
    ConnectionRefused,
    LoginRefused,
    MessageError,
    MessageUnreadable,
    ServerError,
    SocketTimedOut,
    SubmissionQuotaExceeded,
)
from mailboxes.protocols.fetching import fetch_each, identity_of
from mailboxes.protocols.imap.listing import Position
from mailboxes.protocols.imap.words import UIDS_PER_COMMAND, uids_in
from mailboxes.protocols.smtp import Reply, canonical, parse_extensions, refusal, stuffed


@pytest.mark.parametrize(
    ("head", "message_id"),
    [
        (b"Message-ID: <a@b>\r\nDate: x\r\n", "<a@b>"),
        (b"Subject: x\r\nMESSAGE-ID:<a@b>\r\n", "<a@b>"),
        (b"Message-ID:\r\n <long@b>\r\n", "<long@b>"),
        (b"Message-ID: <a@b>\nDate: x\n", "<a@b>"),
        (b"X-Message-ID: <no@b>\r\n", ""),
        (b"Message-ID: <1@b>\r\nMessage-ID: <2@b>\r\n", "<1@b>"),
        (b"Message-ID: <\xff@b>\r\n", "<�@b>"),
        (b"", ""),
    ],
)
def test_message_id_of_a_header(head, message_id):
    assert identity_of("1", head, 3).message_id == message_id


@pytest.mark.parametrize("cursor", ["", "7", "7.1", "7.1.x", "a.b.c", "7.1.2.3", "-7.1.2"])
def test_what_is_no_cursor(cursor):
    assert Position.parse(cursor) is None


@pytest.mark.parametrize("position", [Position(7, 12, 99, 14, 3), Position(7, 12, 99)])
def test_cursor_survives_its_text(position):
    assert Position.parse(str(position)) == position


@pytest.mark.parametrize(
    ("uid_set", "uids"), [("3:5,2", [3, 4, 5, 2]), ("7", [7]), ("", []), ("5:3", []), (",1:", [1])]
)
def test_uids_come_in_the_order_of_their_set(uid_set, uids):
    assert uids_in(uid_set) == uids


def test_endless_uid_set_stays_small():
    assert len(uids_in("1:4294967295")) <= UIDS_PER_COMMAND + 1


@pytest.mark.parametrize(
    ("mime", "content"),
    [
        (b"a\r\nb\r\n", b"a\r\nb\r\n"),
        (b"a\nb", b"a\r\nb\r\n"),
        (b"a\rb\r\n", b"a\r\nb\r\n"),
        (b"a\r\r\nb\n\r", b"a\r\n\r\nb\r\n\r\n"),
        (b"", b"\r\n"),
    ],
)
def test_line_ends_on_the_way_out(mime, content):
    assert canonical(mime) == content


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (b".\r\n", b"..\r\n"),
        (b"a\r\n.\r\n..\r\n", b"a\r\n..\r\n...\r\n"),
        (b"a.b\r\n", b"a.b\r\n"),
    ],
)
def test_leading_dots_are_doubled(content, sent):
    assert stuffed(content) == sent


def test_extensions_of_a_server():
    text = "mail.example.com\nsize 1000\nAUTH PLAIN\nAUTH=LOGIN\nPIPELINING"
    assert parse_extensions(text) == {
        "SIZE": ["1000"],
        "AUTH": ["PLAIN", "LOGIN"],
        "PIPELINING": [],
    }


@pytest.mark.parametrize(
    "text",
    [
        "5.4.5 Daily user sending quota exceeded.",
        "4.7.0 You have exceeded your hourly limit",
        "5.2.0 SubmissionQuotaExceededException",
        "5.7.1 sending limit reached",
        "4.7.28 rate limit exceeded",
        "5.5.3 outgoing message limit for today",
        "5.7.233 quota of messages per day",
    ],
)
def test_sending_limits_are_recognised(text):
    assert isinstance(refusal(Reply(550, text)), SubmissionQuotaExceeded)


@pytest.mark.parametrize(
    "text",
    [
        "5.2.2 mailbox full",
        "5.7.1 access denied",
        "5.1.1 unknown user, please check before sending again",
        "5.3.4 message size exceeds the limit for sending",
        "5.6.0 too many hops, limit is 25",
    ],
)
def test_other_refusals_are_not_taken_for_sending_limits(text):
    assert isinstance(refusal(Reply(550, text)), MessageError)


class Script:
    """What happens at each call of retrieve: an error to raise, or for how many to deliver."""

    def __init__(self, *events):
        self.events = list(events)
        self.prepared = 0

    def prepare(self):
        self.prepared += 1

    def retrieve(self, remote_ids):
        for remote_id in remote_ids:
            event = self.events.pop(0)
            if event is None:
                return
            if isinstance(event, ServerError):
                raise event
            yield Fetched(remote_id, b"mime")


def outcome(script, ids="abc"):
    fetched = fetch_each(list(ids), script.prepare, script.retrieve)
    return "".join("x" if each.error else "." for each in fetched)


def test_lost_line_is_tried_again_before_the_message_is_blamed():
    assert outcome(Script(1, ConnectionLost(), 1, 1)) == "..."


def test_message_that_loses_the_line_twice_is_blamed():
    assert outcome(Script(1, ConnectionLost(), ConnectionLost(), 1)) == ".x."


def test_message_that_hangs_is_blamed_at_once():
    assert outcome(Script(1, SocketTimedOut(), 1)) == ".x."


def test_connection_given_up_after_a_message_is_made_anew():
    script = Script(1, None, 1, 1)
    assert outcome(script) == "..."
    assert script.prepared == 2


def test_two_blamed_in_a_row_mean_the_server():
    fetched = fetch_each(list("abc"), Script().prepare, Script(SocketTimedOut("a")).retrieve)
    assert isinstance(next(fetched).error, MessageUnreadable)
    script = Script(SocketTimedOut("first"), SocketTimedOut("second"))
    with pytest.raises(SocketTimedOut, match="second"):
        outcome(script)


@pytest.mark.parametrize("error", [ConnectionRefused("down"), LoginRefused("changed")])
def test_what_keeps_us_from_connecting_again_is_no_fault_of_a_message(error):
    script = Script(1, ConnectionLost())

    def prepare():
        if script.prepared:
            raise error
        script.prepared += 1

    fetched = fetch_each(["a", "b"], prepare, script.retrieve)
    assert next(fetched).mime == b"mime"
    with pytest.raises(type(error)):
        next(fetched)
