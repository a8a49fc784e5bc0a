"""The contracts over the fakes, so that what is tested with a fake holds for a server."""

import pytest

from mailboxes.protocols.base import INBOX, AdapterOptions
from tests.contracts import IncomingContract, MaildropContract, OutgoingContract, message
from tests.fakes import FakeIncomingServer, FakeMailbox, FakeOutgoingServer


class FakeIncomingAccount:
    password = "unused-password"

    def __init__(self, **manner: bool) -> None:
        self.mailbox = FakeMailbox()
        self._manner = manner
        self.server()  # an Exchange mailbox has sent items from the start

    def deliver(self, mime):
        self.mailbox.deliver(mime)

    def stored(self):
        return [each.mime for each in self.mailbox.messages(INBOX)]

    def server(self, *, max_fetch_bytes=10_000_000):
        options = AdapterOptions(max_fetch_bytes=max_fetch_bytes)
        return FakeIncomingServer(self.mailbox, options=options, **self._manner)

    def add_folder(self, *path):
        name = "/".join((INBOX, *path))
        identifier = self.mailbox.add_folder(name)
        return identifier if self._manner else name

    def rename_folder(self, folder, name):
        self.mailbox.rename_folder(folder, name)

    def remove_folder(self, folder):
        self.mailbox.remove_folder(folder)

    def reset_keys(self):
        self.mailbox.reset_keys(new_keys=not self._manner)

    def category_names(self):
        return list(self.mailbox.categories.values())

    def rename_category(self, category_id, name):
        self.mailbox.categories[category_id] = name

    def remove_category(self, category_id):
        del self.mailbox.categories[category_id]


class TestFakeLikeImap(IncomingContract):
    @pytest.fixture
    def account(self):
        return FakeIncomingAccount()


class TestFakeLikeExchange(IncomingContract):
    item_cursors = "last"
    tells_gone = True
    tells_message_ids = True
    folder_ids_stay = True
    has_category_list = True
    looks_everywhere = True
    keys_survive = True

    @pytest.fixture
    def account(self):
        return FakeIncomingAccount(exchange=True)

    @pytest.mark.parametrize("new_keys", [True, False])
    def test_silent_restart_gives_everything_as_new(self, account, new_keys):
        server, before = self.prepared(account)
        account.mailbox.restart_silently(new_keys=new_keys)
        after = self.list_from(server, before.cursor)
        assert (after.reset, len(after.items), after.gone) == (False, 3, ())
        same = {item.remote_id for item in before.items} & {item.remote_id for item in after.items}
        assert len(same) == (0 if new_keys else 3)
        assert self.list_from(server, after.cursor).unchanged

    def test_folder_moved_out_of_the_inbox_stays_and_is_below_it_no_more(self, account):
        folder = account.add_folder("Customers", "Köln")
        account.mailbox.move_folder(folder)
        assert [each.path for each in account.server().folders()] == [("Customers",)]
        assert account.server().list_new(folder, "", 50).total == 0

    def test_departures_and_changes_count_towards_the_limit(self, account):
        server, before = self.prepared(account)
        account.mailbox.remove(before.items[0].remote_id)
        account.mailbox.mark(before.items[1].remote_id, "Red")
        account.deliver(message(4))
        found, cursor = [], before.cursor
        for more in (True, True, False):
            listing = self.list_from(server, cursor, limit=1)
            assert listing.more is more
            found.append((len(listing.gone), len(listing.changed), len(listing.items)))
            cursor = listing.cursor
        assert found == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


class TestFakeLikePop3(MaildropContract):
    @pytest.fixture
    def account(self):
        return FakeIncomingAccount(complete=True)


class FakeOutgoingAccount:
    accepted = ("ben@example.com", "cleo@example.com")
    refused = "nobody@example.com"
    deferred = "later@example.com"
    limit = 400_000
    password = "unused-password"

    def __init__(self, *, files_copies: bool = False) -> None:
        self._server = FakeOutgoingServer(size_limit=self.limit, files_copies=files_copies)
        self._server.refuse(self.refused)
        self._server.defer(self.deferred)

    def server(self):
        return self._server

    def arrived(self, count):
        return [each.mime.partition(b"\r\n\r\n")[2] for each in self._server.sent]


class TestFakeLikeSmtp(OutgoingContract):
    @pytest.fixture
    def account(self):
        return FakeOutgoingAccount()


class TestFakeThatFilesCopies(OutgoingContract):
    finds_sent = True

    @pytest.fixture
    def account(self):
        return FakeOutgoingAccount(files_copies=True)
