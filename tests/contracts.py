"""What every adapter promises (mailboxes/protocols/base.py), as tests to be inherited.

A subclass gives an `account` fixture: a way to put mail into a server and adapters that reach it.
The fakes run in the unit pass, real servers in the integration pass.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol

import pytest

from mailboxes.protocols.base import (
    INBOX,
    SENT,
    Action,
    ActionKind,
    Envelope,
    IncomingServer,
    Listing,
    OutgoingServer,
    RemoteItem,
)
from mailboxes.protocols.errors import (
    ActionRefused,
    FolderMissing,
    MessageDeferred,
    MessageGone,
    MessageRefused,
    MessageTooLarge,
)

SENT_AT = datetime(2026, 1, 5, 8, 30, tzinfo=UTC)


class IncomingAccount(Protocol):
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


class IncomingContract:
    """`complete`: whole listings (POP3)."""

    complete = False

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
        if self.complete:
            assert {item.cursor for item in items} == {""}
        else:
            rest = self.list_from(server, items[0].cursor)
            assert [item.remote_id for item in rest.items] == [i.remote_id for i in items[1:]]

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
        assert fetched[0].mime == mime
        assert items[0].size == len(mime)

    def test_messages_come_in_the_order_asked_for(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server()
        keys = [item.remote_id for item in self.list_from(server).items]
        wanted = [keys[2], keys[0], keys[1]]
        fetched = list(server.fetch(INBOX, wanted))
        assert [each.remote_id for each in fetched] == wanted
        assert [each.mime for each in fetched] == [message(3), message(1), message(2)]

    def test_fetch_works_on_a_new_connection(self, account):
        account.deliver(message(1))
        key = self.list_from(account.server()).items[0].remote_id
        assert next(iter(account.server().fetch(INBOX, [key]))).mime == message(1)

    def test_vanished_message_costs_itself_only(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server()
        items = self.list_from(server).items
        other = account.server()
        other.apply(INBOX, [delete(items[1])])
        server.close()
        fetched = list(server.fetch(INBOX, [item.remote_id for item in items]))
        assert [each.mime for each in fetched] == [message(1), None, message(3)]
        assert isinstance(fetched[1].error, MessageGone)

    def test_message_over_the_limit_costs_itself_only(self, account):
        account.deliver(message(1))
        account.deliver(message(2, b"x" * 5000 + b"\r\n"))
        account.deliver(message(3))
        server = account.server(max_fetch_bytes=2000)
        items = self.list_from(server).items
        fetched = list(server.fetch(INBOX, [item.remote_id for item in items]))
        assert [each.mime for each in fetched] == [message(1), None, message(3)]
        assert isinstance(fetched[1].error, MessageTooLarge)

    def test_abandoned_fetch_leaves_the_server_usable(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server()
        keys = [item.remote_id for item in self.list_from(server).items]
        fetching = server.fetch(INBOX, keys)
        next(fetching)
        fetching.close()
        assert [each.mime for each in server.fetch(INBOX, keys[1:])] == [message(2), message(3)]

    def test_identify_leaves_out_what_vanished(self, account):
        account.deliver(message(1))
        server = account.server()
        key = self.list_from(server).items[0].remote_id
        unknown = "9.999" if "." in key else "unknown"
        identities = server.identify(INBOX, [unknown, key])
        assert [each.remote_id for each in identities] == [key]
        assert identities[0].message_id == "<1@example.com>"
        assert identities[0].date == "Mon, 05 Jan 2026 09:01:00 +0100"
        assert identities[0].size == len(message(1))

    def test_deleted_message_is_gone_and_the_others_stay(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server()
        items = self.list_from(server).items
        results = server.apply(INBOX, [delete(items[1])])
        assert [(result.action, result.done) for result in results] == [(delete(items[1]), True)]
        assert list(account.stored()) == [message(1), message(3)]

    def test_deleting_again_counts_as_done(self, account):
        account.deliver(message(1))
        account.deliver(message(2))
        server = account.server()
        items = self.list_from(server).items
        server.apply(INBOX, [delete(items[0])])
        results = server.apply(INBOX, [delete(items[0]), delete(items[1])])
        assert [result.done for result in results] == [True, True]
        assert list(account.stored()) == []

    def test_sent_copy_is_filed_once(self, account):
        server = account.server()
        if self.complete:
            with pytest.raises(ActionRefused):
                server.file_sent("1@example.com", message(1), SENT_AT)
            return
        assert "filed" in server.file_sent("1@example.com", message(1), SENT_AT)
        assert "already" in server.file_sent("1@example.com", message(1), SENT_AT)
        assert "already" in account.server().file_sent("1@example.com", message(1), SENT_AT)
        assert "filed" in server.file_sent("11@example.com", message(11), SENT_AT)
        items = server.list_new(SENT, "", 50).items
        assert [item.received_at for item in items] == [SENT_AT, SENT_AT]
        copies = [each.mime for each in server.fetch(SENT, [item.remote_id for item in items])]
        assert copies == [message(1), message(11)]
        assert list(account.stored()) == []

    def test_reading_changes_nothing(self, account):
        account.deliver(message(1))
        server = account.server()
        listing = self.list_from(server)
        list(server.fetch(INBOX, [listing.items[0].remote_id]))
        server.identify(INBOX, [listing.items[0].remote_id])
        server.close()
        assert list(account.stored()) == [message(1)]
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


class OutgoingAccount(Protocol):
    """`accepted`: addresses that work. `refused` answers 5xx, `deferred` 4xx. `limit`: octets."""

    accepted: tuple[str, str]
    refused: str
    deferred: str
    limit: int
    password: str

    def server(self) -> OutgoingServer: ...

    def arrived(self, count: int) -> Sequence[bytes]:
        """The bodies that reached the first accepted address, once there are `count`."""


class Handing:
    """Counts the hand-overs."""

    def __init__(self, action: Callable[[], None] = lambda: None) -> None:
        self.count = 0
        self._action = action

    def __call__(self) -> None:
        self.count += 1
        self._action()


class OutgoingContract:
    def envelope(self, *recipients: str, body: bytes = b"Hello.\r\n") -> Envelope:
        return Envelope("<1@example.com>", "ada@example.com", recipients, message(1, body))

    def test_accepted_message_arrives_and_is_handed_over_once(self, account):
        handing = Handing()
        sent = account.server().send(self.envelope(account.accepted[0]), handing)
        assert handing.count == 1
        assert sent.reply.startswith("250")
        assert [(each.address, each.accepted) for each in sent.recipients] == [
            (account.accepted[0], True)
        ]
        assert account.arrived(1) == [b"Hello.\r\n"]

    @pytest.mark.parametrize(
        "body",
        [b".\r\n..\r\n.dots\r\n", b"no end of line", b"x" * 300_000 + b"\r\n", b""],
        ids=["dots", "no end of line", "300 KB", "empty"],
    )
    def test_body_arrives_as_it_is(self, account, body):
        account.server().send(self.envelope(account.accepted[0], body=body), Handing())
        assert [each.rstrip() for each in account.arrived(1)] == [body.rstrip()]

    @pytest.mark.rule("R5.16")
    def test_refused_recipients_do_not_keep_the_others_from_it(self, account):
        recipients = (account.refused, account.accepted[0], account.deferred)
        sent = account.server().send(self.envelope(*recipients), Handing())
        refused, accepted, deferred = sent.recipients
        assert (refused.accepted, refused.permanent, refused.code // 100) == (False, True, 5)
        assert accepted.accepted
        assert (deferred.accepted, deferred.permanent, deferred.code // 100) == (False, False, 4)
        assert len(account.arrived(1)) == 1

    def test_message_refused_to_all_is_not_handed_over(self, account):
        handing = Handing()
        with pytest.raises(MessageRefused) as caught:
            account.server().send(self.envelope(account.refused), handing)
        assert handing.count == 0
        assert [each.address for each in caught.value.recipients] == [account.refused]

    def test_one_deferred_recipient_keeps_the_message_waiting(self, account):
        handing = Handing()
        with pytest.raises(MessageDeferred) as caught:
            account.server().send(self.envelope(account.refused, account.deferred), handing)
        assert handing.count == 0
        assert [each.permanent for each in caught.value.recipients] == [True, False]

    def test_message_over_the_size_limit_is_not_handed_over(self, account):
        handing = Handing()
        large = self.envelope(account.accepted[0], body=b"x" * account.limit + b"\r\n")
        with pytest.raises(MessageTooLarge):
            account.server().send(large, handing)
        assert handing.count == 0

    def test_one_server_serves_a_batch_with_refusals_in_it(self, account):
        server = account.server().open()
        for recipient in (account.refused, account.deferred):
            with pytest.raises((MessageRefused, MessageDeferred)):
                server.send(self.envelope(recipient), Handing())
            server.send(self.envelope(account.accepted[0]), Handing())
        server.close()
        assert len(account.arrived(2)) == 2

    def test_refused_hand_over_stops_the_message(self, account):
        def lease_lost() -> None:
            raise LookupError("lease lost")

        server = account.server()
        with pytest.raises(LookupError):
            server.send(self.envelope(account.accepted[0]), Handing(lease_lost))
        server.send(self.envelope(account.accepted[0], body=b"second\r\n"), Handing())
        assert account.arrived(1) == [b"second\r\n"]

    def test_recipient_named_twice_gets_one(self, account):
        sent = account.server().send(
            self.envelope(account.accepted[0], account.accepted[0]), Handing()
        )
        assert len(sent.recipients) == 1
        assert len(account.arrived(1)) == 1

    def test_open_is_idempotent_and_close_may_be_repeated(self, account):
        server = account.server()
        assert server.open() is server
        assert server.open() is server
        server.close()
        server.close()
        assert server.find_sent("<1@example.com>") in (None, False)

    def test_repr_holds_no_password(self, account):
        assert account.password not in repr(account.server())
