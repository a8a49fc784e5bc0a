"""What every incoming adapter promises of an inbox, as tests to be inherited."""

from collections.abc import Sequence
from datetime import UTC, datetime
from email import message_from_bytes
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
from mailboxes.protocols.errors import (
    ActionRefused,
    FolderMissing,
    MessageGone,
    MessageTooLarge,
)

SENT_AT = datetime(2026, 1, 5, 8, 30, tzinfo=UTC)


class InboxAccount(Protocol):
    """What the incoming contract needs to know about a server under test.

    `password` must appear in no text. `max_fetch_bytes` of an adapter is settable.
    """

    password: str

    def deliver(self, mime: bytes) -> None: ...

    def stored(self) -> Sequence[bytes]: ...

    def server(self, *, max_fetch_bytes: int = ...) -> IncomingServer: ...


def message(number: int, body: bytes = b"Hello.\r\n") -> bytes:
    return (
        b"From: Ada <ada@example.com>\r\n"
        b"Message-ID: <%d@example.com>\r\n"
        b"Date: Mon, 05 Jan 2026 09:%02d:00 +0100\r\n"
        b"Subject: number %d\r\n"
        b"\r\n" % (number, number % 60, number)
    ) + body


def delete(item: RemoteItem) -> Action:
    return Action(ActionKind.DELETE, item.remote_id)


def content_of(mime: bytes | None) -> tuple[str, str, bytes] | None:
    """What of a message outlives being written anew."""
    if mime is None:
        return None
    parsed = message_from_bytes(mime)
    body = parsed.get_payload(decode=True) or b""
    assert isinstance(body, bytes)
    return parsed.get("Message-ID", ""), parsed.get("Subject", ""), body.rstrip()


def departed(listing: Listing, known: Sequence[str]) -> set[str]:
    """What of the keys that we know has left, in whichever way the protocol tells."""
    there = {item.remote_id for item in listing.items} if listing.complete else listing.present
    return set(listing.gone) | (set(known) - there if there is not None else set())


class InboxContract:
    """The part that any protocol can do. What they differ in:

    `complete`: whole listings. `item_cursors`: "each" item has one,
    the "last" of an answer, or "none". `exact_bytes`: what is fetched is what was delivered, octet
    for octet; else the server may write it anew.
    """

    complete = False
    item_cursors = "each"
    exact_bytes = True

    def same(self, fetched: Sequence[bytes | None], mimes: Sequence[bytes | None]) -> bool:
        if self.exact_bytes:
            return list(fetched) == list(mimes)
        return [content_of(each) for each in fetched] == [content_of(each) for each in mimes]

    def list_from(self, server: IncomingServer, cursor: str = "", limit: int = 50) -> Listing:
        return server.list_new(INBOX, cursor, limit)

    def test_first_listing_shows_all_messages_oldest_first(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server().open()
        listing = self.list_from(server)
        identities = server.identify(INBOX, [item.remote_id for item in listing.items])
        assert [each.message_id for each in identities] == [f"<{n}@example.com>" for n in (1, 2, 3)]
        assert listing.complete is self.complete
        assert not listing.unchanged
        assert not listing.more
        assert not listing.reset
        assert listing.total == 3

    def test_remote_ids_are_unique_and_stay(self, account):
        account.deliver(message(1))
        account.deliver(message(2))
        first = self.list_from(account.server())
        second = self.list_from(account.server())
        keys = [item.remote_id for item in first.items]
        assert len(set(keys)) == 2
        assert [item.remote_id for item in second.items] == keys

    def test_empty_folder_lists_nothing(self, account):
        listing = self.list_from(account.server())
        assert listing.items == ()
        assert listing.total == 0

    def test_listing_from_the_last_cursor_is_unchanged(self, account):
        account.deliver(message(1))
        cursor = self.list_from(account.server()).cursor
        again = self.list_from(account.server(), cursor)
        assert again.unchanged
        assert again.items == ()
        assert again.cursor == cursor

    def test_new_message_appears_after_the_cursor(self, account):
        account.deliver(message(1))
        server = account.server()
        before = self.list_from(server)
        account.deliver(message(2))
        after = self.list_from(server, before.cursor)
        known = {item.remote_id for item in before.items}
        new = [item for item in after.items if item.remote_id not in known]
        assert len(new) == 1
        assert not after.unchanged
        fetched = next(iter(server.fetch(INBOX, [new[0].remote_id])))
        assert b"<2@example.com>" in fetched.mime

    def test_at_a_glance_nothing_is_new_since_the_last_cursor(self, account):
        account.deliver(message(1))
        cursor = self.list_from(account.server()).cursor
        server = account.server()
        for _time in (1, 2):
            assert server.glance({INBOX: cursor}).unchanged
        assert self.list_from(server, cursor).unchanged

    def test_a_glance_sees_that_mail_came_and_leaves_it_to_the_listing(self, account):
        account.deliver(message(1))
        server = account.server()
        before = self.list_from(server)
        account.deliver(message(2))
        for server in (account.server(), account.server()):
            seen = server.glance({INBOX: before.cursor})
            assert not seen.unchanged
            assert seen.new in (1, None)
            after = self.list_from(server, before.cursor)
            known = {item.remote_id for item in before.items}
            new = [item.remote_id for item in after.items if item.remote_id not in known]
            fetched = [each.mime for each in server.fetch(INBOX, new)]
            assert self.same(fetched, [message(2)])
            server.close()

    def test_a_glance_sees_that_mail_left(self, account):
        account.deliver(message(1))
        account.deliver(message(2))
        server = account.server()
        before = self.list_from(server)
        server.apply(INBOX, [delete(before.items[0])])
        server.close()
        assert not account.server().glance({INBOX: before.cursor}).unchanged

    @pytest.mark.parametrize("cursor", ["", "?", "1"])
    def test_a_glance_tells_nothing_without_a_cursor_of_its_own(self, account, cursor):
        account.deliver(message(1))
        assert not account.server().glance({INBOX: cursor}).unchanged

    def test_limited_listings_show_each_message_once(self, account):
        for number in range(1, 6):
            account.deliver(message(number))
        server = account.server()
        seen: list[str] = []
        cursor, more = "", True
        while more:
            listing = self.list_from(server, cursor, limit=2)
            assert self.complete or len(listing.items) <= 2
            seen += [item.remote_id for item in listing.items]
            cursor, more = listing.cursor, listing.more
        assert len(seen) == len(set(seen)) == 5
        assert self.list_from(server, cursor).unchanged

    def test_cursor_of_an_item_resumes_after_it(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server()
        items = self.list_from(server).items
        has_cursor = [bool(item.cursor) for item in items]
        if self.item_cursors == "each":
            assert all(has_cursor)
            rest = self.list_from(server, items[0].cursor)
            assert [item.remote_id for item in rest.items] == [i.remote_id for i in items[1:]]
        else:
            assert has_cursor == [False, False, self.item_cursors == "last"]
        if self.item_cursors != "none":
            assert self.list_from(server, items[-1].cursor).items == ()

    @pytest.mark.parametrize(
        "mime",
        [
            message(1, b"..\r\n.\r\n.dots\r\n...\r\n"),
            message(2, b"long " * 5000 + b"\r\n"),
            message(3, "Grüße\r\n".encode() + bytes(range(128, 256)) + b"\r\n"),
            b".leading dot: is a strange header\r\n\r\n.\r\n",
            message(4, b"x" * 3_000_000 + b"\r\n"),
            b"Subject: no body\r\n\r\n",
        ],
        ids=["dots", "long line", "8-bit", "leading dot", "3 MB", "no body"],
    )
    def test_fetched_bytes_are_the_message(self, account, mime):
        account.deliver(mime)
        server = account.server()
        items = self.list_from(server).items
        fetched = list(server.fetch(INBOX, [items[0].remote_id]))
        assert fetched[0].error is None
        assert self.same([fetched[0].mime], [mime])
        assert not server.sizes_stay or items[0].size == len(mime)

    def test_messages_come_in_the_order_asked_for(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server()
        keys = [item.remote_id for item in self.list_from(server).items]
        wanted = [keys[2], keys[0], keys[1]]
        fetched = list(server.fetch(INBOX, wanted))
        assert [each.remote_id for each in fetched] == wanted
        assert self.same([each.mime for each in fetched], [message(3), message(1), message(2)])

    def test_fetch_works_on_a_new_connection(self, account):
        account.deliver(message(1))
        key = self.list_from(account.server()).items[0].remote_id
        fetched = next(iter(account.server().fetch(INBOX, [key])))
        assert self.same([fetched.mime], [message(1)])

    def test_vanished_message_costs_itself_only(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server()
        items = self.list_from(server).items
        other = account.server()
        other.apply(INBOX, [delete(items[1])])
        server.close()
        fetched = list(server.fetch(INBOX, [item.remote_id for item in items]))
        assert self.same([each.mime for each in fetched], [message(1), None, message(3)])
        assert isinstance(fetched[1].error, MessageGone)

    def test_message_over_the_limit_costs_itself_only(self, account):
        account.deliver(message(1))
        account.deliver(message(2, b"x" * 5000 + b"\r\n"))
        account.deliver(message(3))
        server = account.server(max_fetch_bytes=2000)
        items = self.list_from(server).items
        fetched = list(server.fetch(INBOX, [item.remote_id for item in items]))
        assert self.same([each.mime for each in fetched], [message(1), None, message(3)])
        assert isinstance(fetched[1].error, MessageTooLarge)

    def test_abandoned_fetch_leaves_the_server_usable(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server()
        keys = [item.remote_id for item in self.list_from(server).items]
        fetching = server.fetch(INBOX, keys)
        next(fetching)
        fetching.close()
        fetched = [each.mime for each in server.fetch(INBOX, keys[1:])]
        assert self.same(fetched, [message(2), message(3)])

    def test_identify_leaves_out_what_vanished(self, account):
        account.deliver(message(1))
        server = account.server()
        key = self.list_from(server).items[0].remote_id
        unknown = "9.999" if "." in key else "unknown"
        identities = server.identify(INBOX, [unknown, key])
        assert [each.remote_id for each in identities] == [key]
        assert identities[0].message_id == "<1@example.com>"
        assert identities[0].date == "Mon, 05 Jan 2026 09:01:00 +0100"
        assert identities[0].size == (len(message(1)) if server.sizes_stay else 0)

    def test_deleted_message_is_gone_and_the_others_stay(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server()
        items = self.list_from(server).items
        results = server.apply(INBOX, [delete(items[1])])
        assert [(result.action, result.done) for result in results] == [(delete(items[1]), True)]
        assert self.same(account.stored(), [message(1), message(3)])

    def test_deleting_again_counts_as_done(self, account):
        account.deliver(message(1))
        account.deliver(message(2))
        server = account.server()
        items = self.list_from(server).items
        server.apply(INBOX, [delete(items[0])])
        results = server.apply(INBOX, [delete(items[0]), delete(items[1])])
        assert [result.done for result in results] == [True, True]
        assert list(account.stored()) == []

    def test_departure_is_told_until_the_cursor_is_stored(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server()
        before = self.list_from(server)
        keys = [item.remote_id for item in before.items]
        account.server().apply(INBOX, [delete(before.items[1])])
        server.close()
        for _time in (1, 2):
            after = self.list_from(server, before.cursor)
            assert departed(after, keys) == {keys[1]}
            assert not after.unchanged
            assert not after.reset
        assert self.list_from(server, after.cursor).unchanged

    def test_departure_and_arrival_at_once_are_both_told(self, account):
        """As many as before, but not the same."""
        account.deliver(message(1))
        account.deliver(message(2))
        server = account.server()
        before = self.list_from(server)
        keys = [item.remote_id for item in before.items]
        account.server().apply(INBOX, [delete(before.items[1])])
        account.deliver(message(3))
        server.close()
        after = self.list_from(server, before.cursor)
        assert departed(after, keys) == {keys[1]}
        new = [item.remote_id for item in after.items if item.remote_id not in keys]
        fetched = [each.mime for each in server.fetch(INBOX, new)]
        assert self.same(fetched, [message(3)])

    def test_emptied_inbox_has_lost_all_it_held(self, account):
        account.deliver(message(1))
        account.deliver(message(2))
        server = account.server()
        before = self.list_from(server)
        server.apply(INBOX, [delete(item) for item in before.items])
        after = self.list_from(server, before.cursor)
        assert after.items == ()
        keys = [item.remote_id for item in before.items]
        assert departed(after, keys) == set(keys)
        assert self.list_from(server, after.cursor).unchanged

    def test_reading_changes_nothing(self, account):
        account.deliver(message(1))
        server = account.server()
        listing = self.list_from(server)
        list(server.fetch(INBOX, [listing.items[0].remote_id]))
        server.identify(INBOX, [listing.items[0].remote_id])
        server.close()
        assert self.same(account.stored(), [message(1)])
        assert self.list_from(account.server(), listing.cursor).unchanged

    def test_missing_folder_is_named(self, account):
        with pytest.raises(FolderMissing):
            account.server().list_new("INBOX/nowhere", "", 50)

    def test_open_is_idempotent_and_close_may_be_repeated(self, account):
        server = account.server()
        assert server.open() is server
        assert server.open() is server
        server.close()
        server.close()
        assert server.open().list_new(INBOX, "", 50).items == ()

    def test_repr_holds_no_password(self, account):
        assert account.password not in repr(account.server())


class MaildropContract(InboxContract):
    """Where there is nothing but an inbox (POP3)."""

    complete = True
    item_cursors = "none"

    def test_what_only_mailboxes_have_is_refused_or_empty(self, account):
        account.deliver(message(1))
        server = account.server()
        assert self.list_from(server).items[0].marks is None
        for refused in (
            lambda: server.file_sent("1@example.com", message(1), SENT_AT),
            lambda: server.ensure_folder("Undeliverable"),
            lambda: server.ensure_category(Category("1-2-3", "Tracked")),
        ):
            with pytest.raises(ActionRefused):
                refused()
        with pytest.raises(FolderMissing):
            server.list_new(SENT, "", 50)
        server.drop_category("1-2-3")
        assert server.folders() == []
        assert server.marked("Tracked", [INBOX], None).items == ()
