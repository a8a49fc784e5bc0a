"""What left and what changed, as IMAP servers of all sorts let it be seen, and at which cost."""

import pytest

from mailboxes.protocols.base import INBOX, SENT, Action, ActionKind, Category
from mailboxes.protocols.errors import ActionRefused, FolderMissing
from tests.contracts import message
from tests.servers.faulty import ImapBox, ScriptedServer, imap

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

CONDSTORE = "IMAP4rev1 UIDPLUS MOVE CONDSTORE"
TRACKED = Category("5b1cd77e-0000-4000-8000-000000000001", "$Tracked")


def box_of(*uids: int, **changes) -> ImapBox:
    return ImapBox({uid: message(uid) for uid in uids}, **changes)


def at_modseq(modseq: int, exists: int, next_uid: int) -> list[str]:
    return [
        f"* {exists} EXISTS",
        "* OK [UIDVALIDITY 7] ok",
        f"* OK [UIDNEXT {next_uid}] ok",
        f"* OK [HIGHESTMODSEQ {modseq}] ok",
        "TAG OK [READ-ONLY] done",
    ]


def commands(server: ScriptedServer) -> list[str]:
    """Of the open connection, without what a connection begins with."""
    words = [line.split(" ", 1)[1] for line in server.lines]
    return [each for each in words if not each.startswith(("CAPABILITY", "LOGIN"))]


# -- what left


def test_fewer_messages_than_were_listed_make_it_ask_for_all_keys(imap_adapter):
    box = box_of(1, 2, 3)
    with ScriptedServer(imap(box)) as server:
        connection = imap_adapter(server)
        before = connection.list_new(INBOX, "", 50)
        assert connection.list_new(INBOX, before.cursor, 50).unchanged
        del box.messages[2]
        after = connection.list_new(INBOX, before.cursor, 50)
        asked = commands(server)[2:]
        assert connection.list_new(INBOX, after.cursor, 50).unchanged
    assert after.present == {"7.1", "7.3"}
    assert asked == ['EXAMINE "INBOX"', 'EXAMINE "INBOX"', "UID SEARCH ALL"]


def test_new_mail_alone_asks_for_no_other_keys(imap_adapter):
    box = box_of(1, 2)
    with ScriptedServer(imap(box)) as server:
        connection = imap_adapter(server)
        before = connection.list_new(INBOX, "", 50)
        box.messages[3] = message(3)
        after = connection.list_new(INBOX, before.cursor, 50)
        asked = commands(server)[2:]
    assert [item.remote_id for item in after.items] == ["7.3"]
    assert after.present is None
    assert [each.split(" (")[0] for each in asked] == ['EXAMINE "INBOX"', "UID FETCH 3:*"]


def test_emptied_folder_needs_no_look_at_messages(imap_adapter):
    box = box_of(1, 2, next_uid=3)
    with ScriptedServer(imap(box)) as server:
        connection = imap_adapter(server)
        cursor = connection.list_new(INBOX, "", 50).cursor
        box.messages.clear()
        after = connection.list_new(INBOX, cursor, 50)
        assert not [each for each in commands(server)[2:] if "FETCH" in each]
    assert (after.items, after.present, after.total) == ((), frozenset(), 0)


def test_message_that_comes_during_the_listing_is_not_missed_by_the_next(imap_adapter):
    """It is in the rows, but neither in EXISTS nor below UIDNEXT of the EXAMINE before."""
    box = box_of(1, 2, 3)
    box.replies["EXAMINE"] = [
        "* 2 EXISTS",
        "* OK [UIDVALIDITY 7] ok",
        "* OK [UIDNEXT 3] ok",
        "TAG OK done",
    ]
    with ScriptedServer(imap(box)) as server:
        connection = imap_adapter(server)
        first = connection.list_new(INBOX, "", 50)
        assert [item.remote_id for item in first.items] == ["7.1", "7.2", "7.3"]
        del box.replies["EXAMINE"]
        settled = connection.list_new(INBOX, first.cursor, 50)
        assert (settled.items, settled.present) == ((), None)
        del box.messages[1]
        after = connection.list_new(INBOX, settled.cursor, 50)
    assert after.present == {"7.2", "7.3"}


def test_server_that_miscounts_is_asked_once_and_believed(imap_adapter):
    """EXISTS says four where three can be seen: that is no departure each time."""
    box = box_of(1, 2, 3)
    box.replies["EXAMINE"] = [
        "* 4 EXISTS",
        "* OK [UIDVALIDITY 7] ok",
        "* OK [UIDNEXT 4] ok",
        "TAG OK done",
    ]
    with ScriptedServer(imap(box)) as server:
        connection = imap_adapter(server)
        before = connection.list_new(INBOX, "7.3.0.4.3", 50)
        assert before.present == {"7.1", "7.2", "7.3"}
        assert connection.list_new(INBOX, before.cursor, 50).unchanged


def test_cursor_of_older_times_goes_on_and_learns_what_is_there(imap_adapter):
    box = box_of(1, 3)
    with ScriptedServer(imap(box)) as server:
        connection = imap_adapter(server)
        after = connection.list_new(INBOX, "7.2.0", 50)
        assert not after.reset
        assert [item.remote_id for item in after.items] == ["7.3"]
        assert after.present == {"7.1", "7.3"}
        assert connection.list_new(INBOX, after.cursor, 50).unchanged


def test_server_without_uidnext_becomes_quiet(imap_adapter):
    box = box_of(1, 2)
    box.replies["EXAMINE"] = ["* 2 EXISTS", "* OK [UIDVALIDITY 7] ok", "TAG OK done"]
    with ScriptedServer(imap(box)) as server:
        connection = imap_adapter(server)
        cursor = connection.list_new(INBOX, "", 50).cursor
        again = connection.list_new(INBOX, cursor, 50)
    assert again.unchanged
    assert again.cursor == cursor


# -- what changed


def test_changed_flags_are_asked_for_since_the_last_time(imap_adapter):
    box = box_of(1, 2, capabilities=CONDSTORE, greeting=f"* OK [CAPABILITY {CONDSTORE}] ready")
    box.replies["EXAMINE"] = at_modseq(20, 2, 3)
    box.replies["UID FETCH"] = [
        "* 2 FETCH (UID 2 RFC822.SIZE 9 INTERNALDATE "
        '"05-Jan-2026 08:00:00 +0000" FLAGS (\\Seen $Tracked) MODSEQ (18))',
        "* 1 FETCH (FLAGS (\\Seen))",  # unasked, and without UID
        "TAG OK done",
    ]
    with ScriptedServer(imap(box)) as server:
        connection = imap_adapter(server)
        after = connection.list_new(INBOX, "7.2.10.3.2", 50)
        asked = commands(server)
        assert connection.list_new(INBOX, after.cursor, 50).unchanged
    assert [(item.remote_id, item.marks) for item in after.changed] == [("7.2", {"$Tracked"})]
    assert after.items == ()
    assert asked[1:] == ["UID FETCH 1:2 (UID RFC822.SIZE INTERNALDATE FLAGS) (CHANGEDSINCE 10)"]


def test_refused_question_for_changes_is_asked_again_next_time(imap_adapter):
    box = box_of(1, 2, capabilities=CONDSTORE)
    box.replies["EXAMINE"] = at_modseq(20, 2, 3)
    box.replies["UID FETCH"] = ["TAG NO not now"]
    with ScriptedServer(imap(box)) as server:
        connection = imap_adapter(server)
        first = connection.list_new(INBOX, "7.2.10.3.2", 50)
        second = connection.list_new(INBOX, first.cursor, 50)
        asked = [each for each in commands(server) if "CHANGEDSINCE 10" in each]
    assert first.unchanged
    assert second.unchanged
    assert len(asked) == 2


# -- sent items


def test_idle_sent_items_cost_finding_them_once_and_an_examine(imap_adapter):
    box = box_of(1, capabilities="IMAP4rev1 NAMESPACE SPECIAL-USE LIST-EXTENDED")
    box.replies["NAMESPACE"] = ['* NAMESPACE (("" "/")) NIL NIL', "TAG OK done"]
    box.replies["LIST"] = [r'* LIST (\Sent) "/" "[Gmail]/Sent Mail"', "TAG OK done"]
    with ScriptedServer(imap(box)) as server:
        cursor = imap_adapter(server).list_new(SENT, "", 50).cursor
        connection = imap_adapter(server).open()
        assert (
            connection._talk.client.capabilities()
        )  # known already where the server tells unasked
        before = len(server.lines)
        assert connection.list_new(SENT, cursor, 50).unchanged
        assert connection.list_new(SENT, cursor, 50).unchanged
        asked = [line.split(" ", 1)[1] for line in server.lines[before:]]
    assert [each.split(" ")[0] for each in asked] == ["NAMESPACE", "LIST", "EXAMINE", "EXAMINE"]
    assert asked[2] == 'EXAMINE "[Gmail]/Sent Mail"'


def test_account_without_sent_items_has_no_such_folder(imap_adapter):
    box = box_of(1)
    box.replies["LIST"] = [r'* LIST () "/" "INBOX"', "TAG OK done"]
    with ScriptedServer(imap(box)) as server:
        with pytest.raises(FolderMissing, match="sent items"):
            imap_adapter(server).list_new(SENT, "", 50)
        assert not [each for each in commands(server) if each.startswith("CREATE")]


# -- folders beside the inbox


def test_folder_beside_the_inbox_lies_in_our_own_namespace(imap_adapter):
    box = box_of(1, capabilities="IMAP4rev1 NAMESPACE")
    box.replies["NAMESPACE"] = ['* NAMESPACE (("INBOX." ".")) NIL NIL', "TAG OK done"]
    box.replies["LIST"] = [r'* LIST () "." "INBOX"', "TAG OK done"]
    with ScriptedServer(imap(box)) as server:
        assert imap_adapter(server).ensure_folder("Undeliverable") == "INBOX.Undeliverable"
        assert commands(server)[2:] == [
            'CREATE "INBOX.Undeliverable"',
            'SUBSCRIBE "INBOX.Undeliverable"',
        ]


def test_refused_folder_leaves_the_connection_usable(imap_adapter):
    box = box_of(1)
    box.replies["LIST"] = ["TAG OK done"]
    box.replies["CREATE"] = ["TAG NO [NOPERM] not for you"]
    with ScriptedServer(imap(box)) as server:
        connection = imap_adapter(server)
        with pytest.raises(ActionRefused, match="NOPERM"):
            connection.ensure_folder("Undeliverable")
        assert len(connection.list_new(INBOX, "", 50).items) == 1
        assert server.connections == 1


# -- keywords


@pytest.mark.parametrize(
    ("name", "keyword"),
    [
        ("$Tracked", "$Tracked"),
        ("Tracked to Dynamics 365", "Tracked_to_Dynamics_365"),
        ("(Undeliverable)", "Undeliverable"),
        ("Übergabe", "bergabe"),
    ],
)
def test_category_is_a_keyword_as_near_to_its_name_as_can_be(imap_adapter, name, keyword):
    with ScriptedServer(imap(box_of(1))) as server:
        made = imap_adapter(server).ensure_category(Category(TRACKED.id, name))
    assert made == Category(TRACKED.id, keyword)


@pytest.mark.parametrize("name", ["", "()", "追跡"])
def test_category_that_no_keyword_can_spell_is_refused(imap_adapter, name):
    with ScriptedServer(imap(box_of(1))) as server, pytest.raises(ActionRefused):
        imap_adapter(server).ensure_category(Category(TRACKED.id, name))


def test_category_is_refused_where_the_inbox_takes_no_new_keywords(imap_adapter):
    with ScriptedServer(imap(box_of(1, permanent_flags=r"\Seen $Other"))) as server:
        connection = imap_adapter(server)
        with pytest.raises(ActionRefused):
            connection.ensure_category(TRACKED)
        assert connection.ensure_category(Category(TRACKED.id, "$other")).name == "$other"


def test_category_is_refused_where_the_inbox_is_read_only_for_us(imap_adapter):
    box = box_of(1)
    box.replies["SELECT"] = ["* 1 EXISTS", "* OK [UIDVALIDITY 7] ok", "TAG OK [READ-ONLY] done"]
    with ScriptedServer(imap(box)) as server, pytest.raises(ActionRefused):
        imap_adapter(server).ensure_category(TRACKED)


def test_marked_messages_of_a_selected_folder_cost_a_search(imap_adapter):
    box = box_of(1, 2, flags={2: {"$Tracked"}})
    with ScriptedServer(imap(box)) as server:
        connection = imap_adapter(server)
        connection.list_new(INBOX, "", 50)
        found = connection.marked("$Tracked", [INBOX], None)
        nothing = connection.marked('no keyword" ALL', [INBOX], None)
        assert commands(server)[2:] == ["UID SEARCH KEYWORD $Tracked"]
    assert [each.remote_id for each in found.items] == ["7.2"]
    assert (nothing.items, nothing.complete) == ((), True)


def test_marks_go_on_and_off_in_the_order_asked_for(imap_adapter):
    box = box_of(1, 2, flags={2: {"$Tracked"}})
    on, off = (Action(kind, "7.1", "$Tracked") for kind in (ActionKind.MARK, ActionKind.UNMARK))
    with ScriptedServer(imap(box)) as server:
        results = imap_adapter(server).apply(INBOX, [on, off])
    assert [result.done for result in results] == [True, True]
    assert box.flags == {1: set(), 2: {"$Tracked"}}


# -- moves


@pytest.mark.parametrize(
    ("code", "receipts"),
    [
        ("COPYUID 9 1:2 5:6", ["moved as 9.5", "moved as 9.6"]),
        ("COPYUID 9 2,1 5,6", ["moved as 9.6", "moved as 9.5"]),
        ("COPYUID 9 2 5", ["moved", "moved as 9.5"]),
        ("COPYUID 9 1:2 5", ["moved", "moved"]),
        ("COPYUID 9 1:4000000000 1:4000000000", ["moved as 9.1", "moved as 9.2"]),
        ("COPYUID * * *", ["moved", "moved"]),
        ("READ-WRITE", ["moved", "moved"]),
    ],
)
def test_receipt_of_a_move_is_the_new_key_where_the_server_tells(imap_adapter, code, receipts):
    box = box_of(1, 2)
    box.replies["UID MOVE"] = [f"* OK [{code}] Moved", "TAG OK done"]
    moves = [Action(ActionKind.MOVE, f"7.{uid}", "Done") for uid in (1, 2)]
    with ScriptedServer(imap(box)) as server:
        results = imap_adapter(server).apply(INBOX, moves)
    assert [result.receipt for result in results] == receipts


def test_new_keys_of_a_copy_are_told_too(imap_adapter):
    box = box_of(1, capabilities="IMAP4rev1 UIDPLUS")
    box.replies["UID COPY"] = ["TAG OK [COPYUID 9 1 5] copied"]
    with ScriptedServer(imap(box)) as server:
        (result,) = imap_adapter(server).apply(INBOX, [Action(ActionKind.MOVE, "7.1", "Done")])
    assert result.receipt == "moved as 9.5"
    assert box.messages == {}
