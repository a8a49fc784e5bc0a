"""What every incoming adapter promises of a mailbox: folders, sent items, moves and marks."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Protocol

import pytest

from mailboxes.protocols.base import (
    INBOX,
    SENT,
    Action,
    ActionKind,
    Category,
    IncomingServer,
    Listing,
    RemoteItem,
)
from mailboxes.protocols.errors import FolderMissing, MessageGone
from tests.contracts.inbox import SENT_AT, InboxAccount, InboxContract, delete, departed, message

TRACKED = Category("5b1cd77e-0000-4000-8000-000000000001", "Tracked to Dynamics 365")


class IncomingAccount(InboxAccount, Protocol):
    """What the contract's larger part needs to know, too.

    `add_folder` makes one below the inbox and returns its name for the adapter; `rename_folder`
    gives one another name in the same place. `reset_keys`: the server refuses all older cursors.
    The methods for categories are needed with `has_category_list` only.
    """

    def add_folder(self, *path: str) -> str: ...

    def rename_folder(self, folder: str, name: str) -> None: ...

    def remove_folder(self, folder: str) -> None: ...

    def reset_keys(self) -> None: ...

    def category_names(self) -> list[str]: ...

    def rename_category(self, category_id: str, name: str) -> None: ...

    def remove_category(self, category_id: str) -> None: ...


def mark(item: RemoteItem, name: str) -> Action:
    return Action(ActionKind.MARK, item.remote_id, name)


def unmark(item: RemoteItem, name: str) -> Action:
    return Action(ActionKind.UNMARK, item.remote_id, name)


def move(item: RemoteItem, folder: str) -> Action:
    return Action(ActionKind.MOVE, item.remote_id, folder)


def keys_of(items: Sequence[RemoteItem]) -> list[str]:
    return [item.remote_id for item in items]


class IncomingContract(InboxContract):
    """What protocols differ in here, beyond the inbox:

    `tells_gone`: listings name the keys that left; else what is present. `tells_message_ids`: in
    listings. `tells_new_keys`: in the receipt of a move.
    `folder_ids_stay`: when a folder is renamed. `has_category_list`: categories of any name, with
    ids, on a list; else keywords. `looks_everywhere`: `marked` knows all folders, whichever are named.
    `keys_survive`: a reset leaves the messages their keys.
    """

    tells_gone = False
    tells_message_ids = False
    tells_new_keys = True
    folder_ids_stay = False
    has_category_list = False
    looks_everywhere = False
    keys_survive = False

    def prepared(self, account, count: int = 3) -> tuple[IncomingServer, Listing]:
        """A server with that many messages, and its listing."""
        for number in range(1, count + 1):
            account.deliver(message(number))
        server = account.server()
        return server, self.list_from(server)

    # -- sent items

    def test_sent_copy_is_filed_once(self, account):
        server = account.server()
        assert "filed" in server.file_sent("1@example.com", message(1), SENT_AT)
        assert "already" in server.file_sent("1@example.com", message(1), SENT_AT)
        assert "already" in account.server().file_sent("1@example.com", message(1), SENT_AT)
        assert "filed" in server.file_sent("11@example.com", message(11), SENT_AT)
        items = server.list_new(SENT, "", 50).items
        assert [item.received_at for item in items] == [SENT_AT, SENT_AT]
        copies = [each.mime for each in server.fetch(SENT, keys_of(items))]
        assert self.same(copies, [message(1), message(11)])
        assert list(account.stored()) == []

    def test_sent_items_are_a_folder_like_others(self, account):
        account.server().file_sent("1@example.com", message(1), SENT_AT)
        server = account.server()
        before = server.list_new(SENT, "", 50)
        identities = account.server().identify(SENT, keys_of(before.items))
        assert [each.message_id for each in identities] == ["<1@example.com>"]
        assert account.server().list_new(SENT, before.cursor, 50).unchanged
        (result,) = account.server().apply(SENT, [delete(before.items[0])])
        assert result.done
        server.close()
        after = server.list_new(SENT, before.cursor, 50)
        assert departed(after, keys_of(before.items)) == set(keys_of(before.items))

    # -- listing

    def test_departures_are_told_by_name_or_by_what_is_present(self, account):
        server, before = self.prepared(account)
        server.apply(INBOX, [delete(before.items[0])])
        after = self.list_from(server, before.cursor)
        if self.tells_gone:
            assert after.gone == (before.items[0].remote_id,)
            assert after.present is None
        else:
            assert after.gone == ()
            assert after.present == set(keys_of(before.items[1:]))

    def test_what_leaves_during_a_listing_in_pages_is_told_by_its_end(self, account):
        server, _ = self.prepared(account, 5)
        listings = [self.list_from(server, limit=2)]
        known = keys_of(listings[0].items)
        account.server().apply(INBOX, [delete(listings[0].items[0])])
        server.close()
        while listings[-1].more:
            listings.append(self.list_from(server, listings[-1].cursor, limit=2))
            known += keys_of(listings[-1].items)
        left = set.union(*(departed(each, known) for each in listings))
        assert left == {known[0]}
        assert len(known) == len(set(known)) == 5

    def test_listing_may_tell_message_ids(self, account):
        _, listing = self.prepared(account, 1)
        expected = "<1@example.com>" if self.tells_message_ids else ""
        assert listing.items[0].message_id == expected

    @pytest.mark.parametrize("number", [1, 2])
    def test_refused_cursor_starts_over(self, account, number):
        server, before = self.prepared(account, 2)
        account.reset_keys()
        server.close()
        after = self.list_from(server, before.cursor, limit=number)
        assert after.reset
        assert after.more is (number == 1)
        if after.more:
            rest = self.list_from(server, after.cursor)
            assert not rest.reset
            after_items = [*after.items, *rest.items]
        else:
            after_items = list(after.items)
        new = server.identify(INBOX, keys_of(after_items))
        assert [each.message_id for each in new] == ["<1@example.com>", "<2@example.com>"]
        if self.keys_survive:
            assert keys_of(after_items) == keys_of(before.items)
        else:
            old = list(server.fetch(INBOX, keys_of(before.items)))
            assert all(isinstance(each.error, MessageGone) for each in old)

    def test_a_glance_at_several_folders_sees_what_happened_in_one(self, account):
        server, before = self.prepared(account, 2)
        folder = account.add_folder("Customers")
        empty = server.list_new(folder, "", 50)
        cursors = {INBOX: before.cursor, folder: empty.cursor}
        assert account.server().glance(cursors).unchanged
        server.apply(INBOX, [move(before.items[0], folder)])
        server.close()
        cursors[INBOX] = self.list_from(account.server(), before.cursor).cursor
        assert not account.server().glance(cursors).unchanged
        cursors[folder] = account.server().list_new(folder, empty.cursor, 50).cursor
        assert account.server().glance(cursors).unchanged

    def test_a_glance_after_a_reset_sees_one(self, account):
        server, before = self.prepared(account, 2)
        account.reset_keys()
        server.close()
        assert not account.server().glance({INBOX: before.cursor}).unchanged

    def test_a_glance_at_a_missing_folder_names_it(self, account):
        server, _ = self.prepared(account, 1)
        folder = account.add_folder("Customers")
        cursor = server.list_new(folder, "", 50).cursor
        account.remove_folder(folder)
        with pytest.raises(FolderMissing):
            account.server().glance({folder: cursor})

    # -- folders

    def test_folders_below_the_inbox_are_a_tree(self, account):
        outer = account.add_folder("Customers")
        inner = account.add_folder("Customers", "Köln & Bonn")
        found = {each.path: each.folder for each in account.server().folders()}
        assert found == {("Customers",): outer, ("Customers", "Köln & Bonn"): inner}

    def test_moved_message_left_one_folder_and_came_into_the_other(self, account):
        server, before = self.prepared(account, 2)
        folder = account.add_folder("Customers", "Köln & Bonn")
        (result,) = server.apply(INBOX, [move(before.items[0], folder)])
        assert result.done
        after = self.list_from(server, before.cursor)
        assert departed(after, keys_of(before.items)) == {before.items[0].remote_id}
        there = server.list_new(folder, "", 50).items
        assert len(there) == 1
        fetched = list(account.server().fetch(folder, keys_of(there)))
        assert self.same([each.mime for each in fetched], [message(1)])
        assert not self.tells_new_keys or there[0].remote_id in result.receipt
        assert [each.done for each in server.apply(INBOX, [move(before.items[0], folder)])] == [
            True
        ]
        assert len(server.list_new(folder, "", 50).items) == 1

    def test_renamed_folder_keeps_its_id_or_is_missing(self, account):
        account.add_folder("Customers")
        folder = account.add_folder("Customers", "Köln")
        server, before = self.prepared(account, 1)
        server.apply(INBOX, [move(before.items[0], folder)])
        listing = server.list_new(folder, "", 50)
        account.rename_folder(folder, "Bonn")
        server.close()
        paths = {each.path: each.folder for each in server.folders()}
        assert set(paths) == {("Customers",), ("Customers", "Bonn")}
        if self.folder_ids_stay:
            assert paths["Customers", "Bonn"] == folder
            assert server.list_new(folder, listing.cursor, 50).unchanged
        else:
            with pytest.raises(FolderMissing):
                server.list_new(folder, listing.cursor, 50)

    def test_deleted_folder_is_missing_even_to_who_knows_it(self, account):
        folder = account.add_folder("Customers")
        server, before = self.prepared(account, 1)
        server.apply(INBOX, [move(before.items[0], folder)])
        listing = server.list_new(folder, "", 50)
        server.close()
        account.remove_folder(folder)
        with pytest.raises(FolderMissing):
            server.list_new(folder, listing.cursor, 50)

    def test_folder_made_again_is_another_one(self, account):
        folder = account.add_folder("Customers")
        server, before = self.prepared(account, 2)
        server.apply(INBOX, [move(before.items[0], folder)])
        listing = server.list_new(folder, "", 50)
        server.close()
        account.remove_folder(folder)
        again = account.add_folder("Customers")
        if self.folder_ids_stay:
            assert again != folder
        else:
            server.apply(INBOX, [move(before.items[1], again)])
            after = server.list_new(folder, listing.cursor, 50)
            assert after.reset
            assert not set(keys_of(after.items)) & set(keys_of(listing.items))

    def test_folder_beside_the_inbox_is_made_once(self, account):
        server, before = self.prepared(account, 1)
        folder = server.ensure_folder("Undeliverable mail")
        assert server.ensure_folder("Undeliverable mail") == folder
        assert account.server().ensure_folder("Undeliverable mail") == folder
        assert server.folders() == []
        (result,) = server.apply(INBOX, [move(before.items[0], folder)])
        assert result.done
        assert len(server.list_new(folder, "", 50).items) == 1

    # -- marks

    def category(self, account, wanted: Category = TRACKED) -> str:
        return account.server().ensure_category(wanted).name

    def test_category_can_be_put_on_messages_and_found_there(self, account):
        server, listing = self.prepared(account)
        name = self.category(account)
        assert self.category(account) == name
        (result,) = server.apply(INBOX, [mark(listing.items[1], name)])
        assert result.done
        found = account.server().marked(name, [INBOX], None)
        assert found.complete
        assert [(each.folder, each.remote_id, each.has_mark) for each in found.items] == [
            (INBOX, listing.items[1].remote_id, True)
        ]

    def test_marks_are_found_in_each_folder_and_when_they_are_gone(self, account):
        server, listing = self.prepared(account)
        folder = account.add_folder("Customers")
        name = self.category(account)
        server.apply(INBOX, [mark(item, name) for item in listing.items])
        server.apply(INBOX, [move(listing.items[2], folder), unmark(listing.items[0], name)])
        there = server.list_new(folder, "", 50).items[0]
        folders = [INBOX] if self.looks_everywhere else [INBOX, folder]
        found = server.marked(name, folders, None)
        assert {(each.folder, each.remote_id) for each in found.items} == {
            (INBOX, listing.items[1].remote_id),
            (folder, there.remote_id),
        }
        assert server.marked("of nobody", [INBOX], None).items == ()
        account.remove_folder(folder)
        server.close()
        found = server.marked(name, folders, None)
        assert [each.remote_id for each in found.items] == [listing.items[1].remote_id]

    def test_marks_that_changed_since_are_told_where_the_server_can_tell(self, account):
        server, listing = self.prepared(account)
        name = self.category(account)
        server.apply(INBOX, [mark(listing.items[0], name)])
        since = server.marked(name, [INBOX], None).until
        assert (since is not None) is self.looks_everywhere
        server.apply(INBOX, [unmark(listing.items[0], name), mark(listing.items[2], name)])
        found = server.marked(name, [INBOX], since)
        assert found.complete is (since is None)
        has_mark = {each.remote_id: each.has_mark for each in found.items}
        assert has_mark[listing.items[2].remote_id]
        assert has_mark.get(listing.items[0].remote_id, False) is False
        assert found.complete or listing.items[0].remote_id in has_mark
        if since:
            later = server.marked(name, [INBOX], since + timedelta(days=1))
            assert later.items == ()

    def test_marks_put_on_and_taken_off_are_told_as_changes(self, account):
        server, before = self.prepared(account)
        name = self.category(account)
        for action, marks in ((mark, {name}), (unmark, set())):
            account.server().apply(INBOX, [action(before.items[1], name)])
            server.close()
            after = self.list_from(server, before.cursor)
            assert after.items == ()
            told = [(each.remote_id, each.marks) for each in after.changed]
            assert told == [(before.items[1].remote_id, marks)]
            again = self.list_from(server, before.cursor)
            assert keys_of(again.changed) == keys_of(after.changed)
            before = Listing(before.items, after.cursor)
            assert self.list_from(server, after.cursor).unchanged

    def test_first_listing_tells_marks(self, account):
        server, before = self.prepared(account, 2)
        assert before.items[0].marks == frozenset()
        name = self.category(account)
        server.apply(INBOX, [mark(before.items[1], name)])
        told = [item.marks for item in self.list_from(server).items]
        assert told == [frozenset(), {name}]

    def test_marks_that_change_during_a_listing_in_pages_are_told_by_its_end(self, account):
        server, _ = self.prepared(account, 5)
        name = self.category(account)
        listings = [self.list_from(server, limit=2)]
        first = listings[0].items[0]
        account.server().apply(INBOX, [mark(first, name)])
        server.close()
        while listings[-1].more:
            listings.append(self.list_from(server, listings[-1].cursor, limit=2))
        told = [each for listing in listings for each in (*listing.items, *listing.changed)]
        last_word = {each.remote_id: each.marks for each in told}
        assert last_word[first.remote_id] == {name}

    def test_taking_off_what_is_not_there_counts_as_done(self, account):
        server, listing = self.prepared(account, 1)
        name = self.category(account)
        other = "never heard of"
        actions = [unmark(listing.items[0], name), unmark(listing.items[0], other)]
        assert [result.done for result in server.apply(INBOX, actions)] == [True, True]

    def test_marks_are_put_on_before_the_message_leaves(self, account):
        server, listing = self.prepared(account, 1)
        name = self.category(account)
        folder = account.add_folder("Customers")
        actions = [move(listing.items[0], folder), mark(listing.items[0], name)]
        assert [result.done for result in server.apply(INBOX, actions)] == [True, True]
        found = server.marked(name, [INBOX, folder], None).items
        assert [each.folder for each in found] == [folder]

    def test_category_keeps_its_id_where_there_is_a_list(self, account):
        server = account.server()
        server.drop_category(TRACKED.id)
        made = server.ensure_category(TRACKED)
        assert made.id == TRACKED.id
        if not self.has_category_list:
            return
        assert made == TRACKED
        account.rename_category(TRACKED.id, "With us")
        assert account.server().ensure_category(TRACKED) == Category(TRACKED.id, "With us")
        account.remove_category(TRACKED.id)
        assert account.server().ensure_category(TRACKED) == TRACKED
        assert TRACKED.name in account.category_names()
        account.server().drop_category(TRACKED.id)
        assert TRACKED.name not in account.category_names()
