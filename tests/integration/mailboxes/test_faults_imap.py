"""IMAP servers that fail, lie, or lack what newer ones have."""

import time

import pytest

from mailboxes.protocols.base import (
    INBOX,
    Action,
    ActionKind,
    AdapterOptions,
    Credentials,
    Security,
)
from mailboxes.protocols.errors import (
    ActionRefused,
    ConnectionLost,
    FolderMissing,
    LoginRefused,
    MessageGone,
    MessageTooLarge,
    MessageUnreadable,
    SecureConnectionFailed,
    ServerBusy,
    SocketTimedOut,
    TransientError,
    UnexpectedReply,
)
from mailboxes.protocols.imap import ImapServer
from tests.contracts import SENT_AT, message
from tests.integration.mailboxes.conftest import PASSWORD, PATIENCE, waiting_for
from tests.servers.faulty import Fault, ImapBox, ScriptedServer, imap

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

COMMANDS = ["greeting", "CAPABILITY", "LOGIN", "EXAMINE", "SELECT", "UID STORE", "UID EXPUNGE"]
EXPECTED = {
    "hang": SocketTimedOut,
    "drop": ConnectionLost,
    "garbage": UnexpectedReply,
    "endless": UnexpectedReply,
    "trickle": SocketTimedOut,
}


@pytest.fixture
def adapter(imap_adapter):
    return imap_adapter


def whole_conversation(server: ImapServer) -> None:
    items = server.list_new(INBOX, "", 50).items
    server.apply(INBOX, [Action(ActionKind.DELETE, items[0].remote_id)])


def box_of(*uids: int, **changes) -> ImapBox:
    return ImapBox({uid: message(uid) for uid in uids}, **changes)


def delete(uid: int) -> Action:
    return Action(ActionKind.DELETE, f"7.{uid}")


@pytest.mark.parametrize("kind", EXPECTED)
@pytest.mark.parametrize("command", COMMANDS)
def test_fault_at_each_command_is_named_in_time(adapter, command, kind):
    with ScriptedServer(imap(box_of(1, 2), Fault(command, kind))) as server:
        connection = adapter(server, timeout_seconds=waiting_for(EXPECTED[kind]))
        started = time.monotonic()
        with pytest.raises(EXPECTED[kind]) as caught:
            whole_conversation(connection)
        assert time.monotonic() - started < PATIENCE
        assert caught.value.phase is not None
        assert PASSWORD not in f"{caught.value} {caught.value.__cause__!r}"


@pytest.mark.parametrize("kind", ["hang", "drop", "garbage"])
@pytest.mark.rule("R3.67")
def test_message_that_breaks_the_line_costs_itself_only(adapter, kind):
    """Even though the three are asked for together at first."""
    honest = imap(box_of(1, 2, 3), Fault("UID BREAK", kind))

    def dialogue(talk):
        line = talk.line

        def marked():
            words = line()
            is_fatal = "BODY.PEEK[]" in words and "2" in words.split(" ")[3].split(",")
            return words.replace("UID FETCH", "UID BREAK") if is_fatal else words

        talk.line = marked
        honest(talk)

    with ScriptedServer(dialogue) as server:
        connection = adapter(server, timeout_seconds=waiting_for(EXPECTED[kind]))
        fetched = list(connection.fetch(INBOX, ["7.1", "7.2", "7.3"]))
    assert [each.mime for each in fetched] == [message(1), None, message(3)]
    assert isinstance(fetched[1].error, MessageUnreadable)
    assert isinstance(fetched[1].error.__cause__, EXPECTED[kind])


@pytest.mark.rule("R3.67")
def test_message_that_the_server_refuses_costs_itself_only(adapter):
    """Asked for three, the server hands out one and then says NO."""
    box = box_of(1, 2, 3)
    honest = imap(box)

    def dialogue(talk):
        say = talk.say

        def refusing(*lines):
            asked = server.lines[-1] if server.lines else ""
            uids = asked.split(" ")[3].split(",") if "BODY.PEEK[]" in asked else []
            if "2" in uids:
                tag = asked.split(" ")[0]
                first = lines[:3] if "1" in uids else ()
                say(*first, f"{tag} NO [SERVERBUG] can't open the file of message 2")
            else:
                say(*lines)

        talk.say = refusing
        honest(talk)

    with ScriptedServer(dialogue) as server:
        fetched = list(adapter(server).fetch(INBOX, ["7.1", "7.2", "7.3"]))
    assert [each.mime for each in fetched] == [message(1), None, message(3)]
    assert isinstance(fetched[1].error, MessageUnreadable)
    assert "can't open the file" in fetched[1].error.detail


def test_listing_in_which_one_message_fails_shows_all_of_them(adapter):
    box = box_of(1, 2, 3)
    first = '* 1 FETCH (UID 1 RFC822.SIZE 10 INTERNALDATE "05-Jan-2026 08:00:00 +0100")'
    box.replies["UID FETCH"] = [first, "TAG NO [SERVERBUG] message 2 is broken"]
    with ScriptedServer(imap(box)) as server:
        listing = adapter(server).list_new(INBOX, "", 50)
    assert [item.remote_id for item in listing.items] == ["7.1", "7.2", "7.3"]
    assert listing.items[1].received_at is None


def test_message_without_a_body_is_unreadable_and_unknown_ones_are_gone(adapter):
    box = box_of(1)
    box.replies["UID FETCH"] = ["* 1 FETCH (UID 1 RFC822.SIZE 10 BODY[] NIL)", "TAG OK done"]
    with ScriptedServer(imap(box)) as server:
        fetched = list(adapter(server).fetch(INBOX, ["7.1", "7.5", "6.1", "nonsense"]))
    assert isinstance(fetched[0].error, MessageUnreadable)
    assert all(isinstance(each.error, MessageGone) for each in fetched[1:])


def test_broken_internal_date_costs_the_date_only(adapter):
    box = box_of(1)
    row = '* 1 FETCH (UID 1 RFC822.SIZE 10 INTERNALDATE "99-Foo-2026 08:00:00")'
    box.replies["UID FETCH"] = [row, "TAG OK done"]
    with ScriptedServer(imap(box)) as server:
        (item,) = adapter(server).list_new(INBOX, "", 50).items
    assert (item.remote_id, item.received_at) == ("7.1", None)


def test_unsolicited_flags_are_not_taken_for_messages(adapter):
    """RFC 3501, 7: the server may send any data at any time, here without a UID."""
    box = box_of(1, 2)
    rows = [
        r"* 2 FETCH (FLAGS (\Seen))",
        '* 1 FETCH (UID 1 RFC822.SIZE 10 INTERNALDATE "05-Jan-2026 08:00:00 +0100")',
        r"* 9 FETCH (FLAGS (\Seen) UID 9)",
    ]
    box.replies["UID FETCH"] = [*rows, "TAG OK done"]
    with ScriptedServer(imap(box)) as server:
        listing = adapter(server).list_new(INBOX, "", 50)
    assert [item.remote_id for item in listing.items] == ["7.1"]


def test_last_message_below_the_range_is_not_new(adapter):
    """ "4:*" includes message 3 where that is the last one, if UIDNEXT has moved on."""
    box = box_of(1, 2, 3, next_uid=10)
    with ScriptedServer(imap(box)) as server:
        listing = adapter(server).list_new(INBOX, "7.3.0", 50)
    assert listing.items == ()
    assert listing.cursor == "7.3.0.10.3"


def test_server_without_uidnext_is_listed_by_search(adapter):
    box = box_of(1, 2, 3)
    box.replies["EXAMINE"] = ["* 3 EXISTS", "* OK [UIDVALIDITY 7] ok", "TAG OK [READ-ONLY] done"]
    with ScriptedServer(imap(box)) as server:
        connection = adapter(server)
        first = connection.list_new(INBOX, "", 2)
        second = connection.list_new(INBOX, first.cursor, 2)
    assert [item.remote_id for item in first.items + second.items] == ["7.1", "7.2", "7.3"]
    assert (first.more, second.more) == (True, False)


def test_sparse_uids_are_found_in_few_steps(adapter):
    """Four billion UIDs may lie between two messages."""
    box = box_of(1, 5_000, 4_000_000_000)
    with ScriptedServer(imap(box)) as server:
        connection = adapter(server)
        seen, cursor, more = [], "", True
        while more:
            listing = connection.list_new(INBOX, cursor, 1)
            seen += [item.remote_id for item in listing.items]
            cursor, more = listing.cursor, listing.more
        assert seen == ["7.1", "7.5000", "7.4000000000"]
        assert len(server.lines) < 40


def test_server_without_uidvalidity_is_not_trusted(adapter):
    box = box_of(1)
    box.replies["EXAMINE"] = ["* 1 EXISTS", "TAG OK done"]
    with (
        ScriptedServer(imap(box)) as server,
        pytest.raises(UnexpectedReply, match="no UIDVALIDITY"),
    ):
        adapter(server).list_new(INBOX, "", 50)


@pytest.mark.parametrize("cursor", ["nonsense", "7.1", "7.x.0", "6.3.0"])
def test_cursor_of_other_keys_or_none_resets(adapter, cursor):
    with ScriptedServer(imap(box_of(1, 2))) as server:
        listing = adapter(server).list_new(INBOX, cursor, 50)
    assert listing.reset
    assert len(listing.items) == 2


def test_literal_beyond_the_limit_is_not_read(adapter):
    """The listing said less. The connection is given up, the next message comes over a new one."""
    box = box_of(1, 2)
    honest = imap(box)

    def dialogue(talk):
        line = talk.line

        def answered_too_large():
            words = line()
            if "BODY.PEEK[]" in words and "1" in words.split(" ")[3].split(","):
                talk.say("* 1 FETCH (UID 1 BODY[] {1000000000000}")
            return words

        talk.line = answered_too_large
        honest(talk)

    with ScriptedServer(dialogue) as server:
        fetched = list(adapter(server).fetch(INBOX, ["7.1", "7.2"]))
    assert isinstance(fetched[0].error, MessageTooLarge)
    assert fetched[1].mime == message(2)


def test_size_is_asked_for_before_a_large_message(adapter):
    box = ImapBox({1: message(1, b"x" * 50_000 + b"\r\n")})
    with ScriptedServer(imap(box)) as server:
        limited = adapter(server, AdapterOptions(max_fetch_bytes=10_000))
        (fetched,) = limited.fetch(INBOX, ["7.1"])
        assert isinstance(fetched.error, MessageTooLarge)
        assert not any("BODY" in line for line in server.lines)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("TAG NO [AUTHENTICATIONFAILED] Authentication failed.", LoginRefused),
        ("TAG NO [ALERT] Application-specific password required", LoginRefused),
        ("TAG NO LOGIN failed", LoginRefused),
        ("TAG NO [UNAVAILABLE] Temporary authentication failure.", ServerBusy),
        ("TAG NO [LIMIT] Too many simultaneous connections", ServerBusy),
        ("* BYE Too many connections", ServerBusy),
    ],
)
def test_refused_login_passes_or_stays(adapter, reply, error):
    with (
        ScriptedServer(imap(ImapBox(replies={"LOGIN": [reply]}))) as server,
        pytest.raises(error) as caught,
    ):
        adapter(server).open()
    assert type(caught.value) is error
    assert "b'" not in str(caught.value)


def test_echoed_password_is_not_shown(adapter):
    reply = f"TAG NO no such login ada/{PASSWORD}"
    with (
        ScriptedServer(imap(ImapBox(replies={"LOGIN": [reply]}))) as server,
        pytest.raises(LoginRefused) as caught,
    ):
        adapter(server).open()
    assert PASSWORD not in f"{caught.value!r} {caught.value.__cause__!r}"


def test_server_that_sends_us_away_passes(adapter):
    with (
        ScriptedServer(imap(ImapBox(greeting="* BYE overloaded"))) as server,
        pytest.raises(ServerBusy, match="overloaded"),
    ):
        adapter(server).open()


def test_server_that_logs_strangers_in_is_not_trusted(adapter):
    with (
        ScriptedServer(imap(ImapBox(greeting="* PREAUTH welcome back"))) as server,
        pytest.raises(UnexpectedReply, match="logged in already"),
    ):
        adapter(server).open()


def test_preauth_can_not_talk_us_out_of_starttls(adapter):
    """A man in the middle could try (CVE-2020-12398 in another client)."""
    with (
        ScriptedServer(imap(ImapBox(greeting="* PREAUTH welcome back"))) as server,
        pytest.raises(UnexpectedReply),
    ):
        adapter(server, security=Security.STARTTLS).open()
    assert not any(PASSWORD in line for line in server.lines)


def test_login_disabled_means_authenticate_plain(adapter):
    box = ImapBox(capabilities="IMAP4rev1 LOGINDISABLED AUTH=PLAIN")

    def dialogue(talk):
        talk.say("* OK ready")
        talk.say(f"* CAPABILITY {box.capabilities}", f"{talk.line().split(' ')[0]} OK done")
        tag = talk.line().split(" ")[0]
        talk.say("+ ")
        talk.line()
        talk.say(f"{tag} OK welcome")
        talk.line()

    with ScriptedServer(dialogue) as server:
        connection = adapter(server).open()
        connection._talk.line.close()
    assert server.lines[1].split(" ")[1:] == ["AUTHENTICATE", "PLAIN"]
    assert server.lines[2] == "AGFkYQBzZWNyZXQtb2YtYWRh"


def test_no_way_to_log_in_is_named(adapter):
    box = ImapBox(capabilities="IMAP4rev1 LOGINDISABLED AUTH=GSSAPI")
    with (
        ScriptedServer(imap(box)) as server,
        pytest.raises(LoginRefused, match=r"neither LOGIN nor AUTH=PLAIN"),
    ):
        adapter(server).open()
    assert not any(PASSWORD in line for line in server.lines)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("TAG NO [NONEXISTENT] Mailbox doesn't exist", FolderMissing),
        ("TAG NO no such mailbox", FolderMissing),
        ("TAG NO [UNAVAILABLE] try later", TransientError),
        ("TAG NO [INUSE] in use", TransientError),
    ],
)
def test_folder_that_does_not_open_is_missing_or_busy(adapter, reply, error):
    with (
        ScriptedServer(imap(ImapBox(replies={"EXAMINE": [reply]}))) as server,
        pytest.raises(error) as caught,
    ):
        adapter(server).list_new("INBOX/x", "", 50)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("TAG NO [UNAVAILABLE] no entropy", TransientError),
        ("TAG BAD what?", SecureConnectionFailed),
    ],
)
def test_refused_starttls_passes_or_stays(adapter, reply, error):
    with (
        ScriptedServer(imap(ImapBox(replies={"STARTTLS": [reply]}))) as server,
        pytest.raises(error) as caught,
    ):
        adapter(server, security=Security.STARTTLS).open()
    assert type(caught.value) is error


def test_without_uidplus_deleting_expunges_when_nobody_else_has_marked_anything(adapter):
    box = box_of(1, 2, 3, capabilities="IMAP4rev1")
    with ScriptedServer(imap(box)) as server:
        (result,) = adapter(server).apply(INBOX, [delete(2)])
    assert result.done
    assert sorted(box.messages) == [1, 3]


def test_without_uidplus_others_deletions_are_not_carried_out(adapter):
    box = box_of(1, 2, 3, capabilities="IMAP4rev1", flags={1: {r"\Deleted"}})
    with ScriptedServer(imap(box)) as server:
        (result,) = adapter(server).apply(INBOX, [delete(2)])
    assert result.done
    assert "not expunged" in result.receipt
    assert sorted(box.messages) == [1, 2, 3]
    assert box.flags[2] == {r"\Deleted"}


def test_with_uidplus_only_ours_are_expunged(adapter):
    box = box_of(1, 2, 3, flags={1: {r"\Deleted"}})
    with ScriptedServer(imap(box)) as server:
        results = adapter(server).apply(INBOX, [delete(2), delete(3), delete(44)])
    assert [result.done for result in results] == [True, True, True]
    assert sorted(box.messages) == [1]


def test_without_move_a_message_is_copied_and_then_deleted(adapter):
    box = box_of(1, 2, capabilities="IMAP4rev1 UIDPLUS")
    with ScriptedServer(imap(box)) as server:
        move = Action(ActionKind.MOVE, "7.1", "INBOX.Done")
        (result,) = adapter(server).apply(INBOX, [move])
        assert result.done
        words = [" ".join(line.split(" ")[1:3]) for line in server.lines]
        assert words[-3:] == ["UID COPY", "UID STORE", "UID EXPUNGE"]
    assert sorted(box.messages) == [2]


def test_failed_copy_deletes_nothing(adapter):
    box = box_of(1, capabilities="IMAP4rev1 UIDPLUS")
    box.replies["UID COPY"] = ["TAG NO [OVERQUOTA] full"]
    with ScriptedServer(imap(box)) as server:
        move = Action(ActionKind.MOVE, "7.1", "INBOX.Done")
        (result,) = adapter(server).apply(INBOX, [move])
    assert not result.done
    assert "OVERQUOTA" in result.error.detail
    assert sorted(box.messages) == [1]
    assert box.flags == {}


@pytest.mark.parametrize("flags", [r"\Seen \Deleted", r"\Seen $Other"])
def test_keyword_that_the_folder_does_not_keep_is_refused(adapter, flags):
    with ScriptedServer(imap(box_of(1, permanent_flags=flags))) as server:
        keyword = Action(ActionKind.MARK, "7.1", "$Tracked")
        (result,) = adapter(server).apply(INBOX, [keyword])
    assert not result.done
    assert isinstance(result.error, ActionRefused)


def test_keyword_that_the_folder_names_is_set(adapter):
    box = box_of(1, permanent_flags=r"\Seen $TRACKED")
    with ScriptedServer(imap(box)) as server:
        (result,) = adapter(server).apply(INBOX, [Action(ActionKind.MARK, "7.1", "$Tracked")])
    assert result.done
    assert box.flags[1] == {"$Tracked"}


def test_folder_that_is_read_only_for_us_refuses_actions(adapter):
    box = box_of(1)
    box.replies["SELECT"] = [
        "* 1 EXISTS",
        "* OK [UIDVALIDITY 7] ok",
        "TAG OK [READ-ONLY] done",
    ]
    with ScriptedServer(imap(box)) as server:
        (result,) = adapter(server).apply(INBOX, [delete(1)])
    assert not result.done
    assert "read-only" in result.error.detail


@pytest.mark.parametrize(
    ("rows", "paths"),
    [
        ([r'* LIST (\HasNoChildren) "." "INBOX.Kunden.K&APY-ln"'], [("Kunden", "Köln")]),
        ([r'* LIST (\Noselect) "." "INBOX.Group"'], []),
        ([r'* LIST () "." "INBOX"', r'* LIST () "." "Inbox.lower"'], [("lower",)]),
        ([r'* LIST () "." "INBOX.bad&name"'], []),
        ([r'* LIST () "." INBOX.2024'], [("2024",)]),
    ],
)
def test_folder_names(adapter, rows, paths):
    box = ImapBox()
    honest = imap(box)

    def dialogue(talk):
        line = talk.line
        talk.line = lambda: line().replace('LIST "" ""', "LISTROOT")
        honest(talk)

    box.replies["LISTROOT"] = [r'* LIST (\Noselect) "." ""', "TAG OK done"]
    box.replies["LIST"] = [*rows, "TAG OK done"]
    with ScriptedServer(dialogue) as server:
        assert [folder.path for folder in adapter(server).folders()] == paths


def test_gmail_labels_stand_beside_the_inbox(adapter):
    box = ImapBox(capabilities="IMAP4rev1 X-GM-EXT-1")
    box.replies["LIST"] = [
        r'* LIST (\HasNoChildren) "/" "INBOX"',
        r'* LIST (\HasNoChildren) "/" "Customers/East"',
        r'* LIST (\Noselect \HasChildren) "/" "[Gmail]"',
        "TAG OK done",
    ]
    with ScriptedServer(imap(box)) as server:
        assert [each.path for each in adapter(server).folders()] == [("Customers", "East")]


@pytest.mark.parametrize("user", ['ada "the" first', "ada\\ben", "ada (x) {3}"])
def test_strange_user_names_are_quoted(adapter, user):
    with ScriptedServer(imap(ImapBox())) as server:
        adapter(server, credentials=Credentials(user, PASSWORD)).open().close()
    quoted = user.replace("\\", "\\\\").replace('"', '\\"')
    assert f'LOGIN "{quoted}" "{PASSWORD}"' in server.lines[1]


@pytest.mark.parametrize("user", ["ada\r\nX1 DELETE INBOX", "ada\0"])
def test_credentials_can_not_carry_commands(adapter, user):
    with ScriptedServer(imap(ImapBox())) as server:
        with pytest.raises(LoginRefused, match="control characters"):
            adapter(server, credentials=Credentials(user, PASSWORD)).open()
        assert len(server.lines) == 1


def test_nothing_of_a_conversation_is_logged(adapter, caplog):
    caplog.set_level("DEBUG")
    box = ImapBox({1: message(1, b"body-of-the-message\r\n")})
    with ScriptedServer(imap(box)) as server:
        list(adapter(server).fetch(INBOX, ["7.1"]))
    assert "body-of-the-message" not in caplog.text
    assert PASSWORD not in caplog.text


# -- sent items


def sent_items(*rows: str, capabilities: str = "IMAP4rev1", **replies: list[str]) -> ImapBox:
    """A server with these folders whose sent items hold nothing."""
    box = ImapBox(capabilities=capabilities)
    box.replies = {
        "LIST": [*rows, "TAG OK done"],
        "UID SEARCH": ["* SEARCH", "TAG OK done"],
        "APPEND": ["TAG OK [APPENDUID 7 1] done"],
        **{word.replace("_", " "): answer for word, answer in replies.items()},
    }
    return box


def words(server: ScriptedServer) -> list[str]:
    return [line.split(" ", 1)[1] for line in server.lines]


def test_gmail_files_copies_itself(adapter):
    with ScriptedServer(imap(sent_items(capabilities="IMAP4rev1 X-GM-EXT-1"))) as server:
        receipt = adapter(server).file_sent("1@example.com", message(1), SENT_AT)
        assert receipt == "the server files copies itself"
        assert not [each for each in words(server) if each.startswith(("APPEND", "CREATE"))]


@pytest.mark.parametrize(
    ("rows", "target"),
    [
        ([r'* LIST () "." "INBOX"', r'* LIST () "." "INBOX.Sent Items"'], "INBOX.Sent Items"),
        ([r'* LIST () "." "INBOX.Sent"', r'* LIST (\Sent) "." "INBOX.Mine"'], "INBOX.Mine"),
        ([r'* LIST (\Sent) "." "user.ben.Sent"', r'* LIST () "." "INBOX.Sent"'], "INBOX.Sent"),
        ([r'* LIST (\Noselect \Sent) "." "INBOX.X"', r'* LIST () "." INBOX.Sent'], "INBOX.Sent"),
        ([r'* LIST () "." "INBOX"', r'* LIST () "." "Sent"'], "INBOX.Sent"),
    ],
    ids=["name", "special use", "not another user's", "not selectable", "not outside our own"],
)
def test_sent_items_are_looked_for_in_our_own_namespace(adapter, rows, target):
    box = sent_items(*rows, capabilities="IMAP4rev1 NAMESPACE")
    box.replies["NAMESPACE"] = [
        '* NAMESPACE (("INBOX." ".")) (("user." ".")) NIL',
        "TAG OK done",
    ]
    with ScriptedServer(imap(box)) as server:
        adapter(server).file_sent("1@example.com", message(1), SENT_AT)
        (append,) = [each for each in words(server) if each.startswith("APPEND")]
        created = [each for each in words(server) if each.startswith("CREATE")]
    assert append.startswith(rf'APPEND "{target}" (\Seen) "05-Jan-2026 08:30:00 +0000" {{')
    assert created == ([] if any(target in row for row in rows) else [f'CREATE "{target}"'])


def test_special_uses_are_asked_for_where_the_server_wants_to_be_asked(adapter):
    box = sent_items(
        r'* LIST (\Sent) "/" "Mine"', capabilities="IMAP4rev1 SPECIAL-USE LIST-EXTENDED"
    )
    with ScriptedServer(imap(box)) as server:
        assert "Mine" in adapter(server).file_sent("1@example.com", message(1), SENT_AT)
        assert 'LIST "" "*" RETURN (SPECIAL-USE)' in words(server)


def test_a_copy_is_searched_for_by_its_id_since_the_day_before(adapter):
    with ScriptedServer(imap(sent_items(r'* LIST () "/" "Sent"'))) as server:
        adapter(server).file_sent("1@example.com", message(1), SENT_AT)
        (search,) = [each for each in words(server) if each.startswith("UID SEARCH")]
    assert search == 'UID SEARCH SINCE 04-Jan-2026 HEADER Message-ID "<1@example.com>"'


@pytest.mark.parametrize(
    "replies",
    [
        {"APPEND": ["TAG NO [OVERQUOTA] full"]},
        {"UID_SEARCH": ["TAG NO no search here"]},
        {"EXAMINE": ["TAG NO [INUSE] try later"]},
        {"LIST": ["TAG NO not for you"]},
        {"LIST": ["TAG OK done"], "CREATE": ["TAG NO [NOPERM] not for you"]},
    ],
    ids=["append", "search", "examine", "list", "create"],
)
def test_a_copy_that_the_server_refuses_leaves_the_connection_usable(adapter, replies):
    box = sent_items(r'* LIST () "/" "Sent"', **replies)
    with ScriptedServer(imap(box)) as server:
        connection = adapter(server)
        with pytest.raises(ActionRefused):
            connection.file_sent("1@example.com", message(1), SENT_AT)
        assert server.connections == 1
        box.replies.pop("EXAMINE", None)
        assert connection.list_new(INBOX, "", 50).items == ()
        assert server.connections == 1


@pytest.mark.parametrize("kind", ["hang", "drop"])
def test_a_line_that_breaks_while_a_copy_is_filed_is_told_as_such(adapter, kind):
    box = sent_items(r'* LIST () "/" "Sent"')
    del box.replies["APPEND"]
    with (
        ScriptedServer(imap(box, Fault("APPEND", kind))) as server,
        pytest.raises(EXPECTED[kind]),
    ):
        adapter(server, timeout_seconds=waiting_for(EXPECTED[kind])).file_sent(
            "1@example.com", message(1), SENT_AT
        )


def test_an_id_that_can_not_be_searched_for_is_refused(adapter):
    with ScriptedServer(imap(sent_items(r'* LIST () "/" "Sent"'))) as server:
        for strange in ("1@bücher.example", '1"\r\nA1 DELETE INBOX@example.com'):
            with pytest.raises(ActionRefused):
                adapter(server).file_sent(strange, message(1), SENT_AT)
        assert not [each for each in words(server) if each.startswith(("APPEND", "DELETE"))]
