"""The incoming contract over a real Dovecot, and what only its protocols can."""

import dataclasses
import itertools
import time
from datetime import UTC, datetime

import pytest
from imapclient.imap_utf7 import encode as encode_utf7

from mailboxes.protocols.base import (
    INBOX,
    SENT,
    Action,
    ActionKind,
    AdapterOptions,
    ConnectionSettings,
    Credentials,
    Security,
)
from mailboxes.protocols.errors import ActionRefused, FolderMissing, LoginRefused, MessageGone
from mailboxes.protocols.imap import ImapServer
from mailboxes.protocols.pop3 import Pop3Server
from tests.contracts import SENT_AT, IncomingContract, MaildropContract, message
from tests.servers.dovecot import PASSWORDS, SENT_ITEMS, Dovecot

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

USER = "ada@example.com"


class DovecotAccount:
    password = PASSWORDS[USER]

    def __init__(self, dovecot: Dovecot, adapter, port: int, security: Security) -> None:
        self.dovecot = dovecot
        self.adapter = adapter
        self.settings = settings(dovecot, port, security)
        self.servers = []

    def deliver(self, mime, folder=INBOX, received_at=None):
        self.dovecot.deliver(USER, mime, folder, received_at)

    def stored(self, folder=INBOX):
        return self.dovecot.stored(USER, folder)

    def server(self, *, max_fetch_bytes=10_000_000):
        server = self.adapter(self.settings, AdapterOptions(max_fetch_bytes=max_fetch_bytes))
        self.servers.append(server)
        return server

    def add_folder(self, *path):
        folder = "/".join((INBOX, *path))
        self.dovecot.add_folder(USER, encode_utf7(folder).decode())
        return folder

    def rename_folder(self, folder, name):
        above = folder.rpartition("/")[0]
        self.client().rename_folder(encode_utf7(folder), encode_utf7(f"{above}/{name}"))

    def remove_folder(self, folder):
        self.client().delete_folder(encode_utf7(folder))

    def client(self):
        """As another client would do what adapters never do."""
        return self.server().open()._talk.client

    def reset_keys(self):
        self.dovecot.reset_keys(USER)


def settings(
    dovecot: Dovecot, port: int, security: Security, user: str = USER
) -> ConnectionSettings:
    return ConnectionSettings(
        host=dovecot.host,
        port=port,
        security=security,
        credentials=Credentials(user, PASSWORDS[user]),
        timeout_seconds=10,
        ca_pem=dovecot.ca_pem,
    )


@pytest.fixture
def make_account(dovecot):
    accounts = []

    def make(adapter, port, security):
        dovecot.empty(USER)
        accounts.append(DovecotAccount(dovecot, adapter, port, security))
        return accounts[-1]

    yield make
    for server in itertools.chain.from_iterable(account.servers for account in accounts):
        server.close()


class TestPop3OverTls(MaildropContract):
    @pytest.fixture
    def account(self, make_account, dovecot):
        return make_account(Pop3Server, dovecot.ports.pop3s, Security.IMPLICIT_TLS)

    def test_pipelined_retrieval_of_many(self, account):
        for number in range(1, 36):
            account.deliver(message(number))
        server = account.server()
        keys = [item.remote_id for item in self.list_from(server).items]
        assert [each.mime for each in server.fetch(INBOX, keys)] == [
            message(number) for number in range(1, 36)
        ]

    def test_only_deleting_is_possible(self, account):
        account.deliver(message(1))
        server = account.server()
        key = self.list_from(server).items[0].remote_id
        (result,) = server.apply(INBOX, [Action(ActionKind.SEEN, key)])
        assert not result.done
        assert isinstance(result.error, ActionRefused)


class TestPop3OverStls(MaildropContract):
    @pytest.fixture
    def account(self, make_account, dovecot):
        return make_account(Pop3Server, dovecot.ports.pop3, Security.STARTTLS)


class ImapContract(IncomingContract):
    """What IMAP has beyond the contract's common part."""

    def keys(self, server, folder=INBOX):
        return [item.remote_id for item in server.list_new(folder, "", 1000).items]

    def test_listing_knows_when_a_message_was_received(self, account):
        moment = datetime(2026, 3, 29, 1, 30, tzinfo=UTC)
        account.deliver(message(1), received_at=moment.timestamp())
        assert self.list_from(account.server()).items[0].received_at == moment

    def test_many_messages_are_listed_in_pages_and_fetched_in_groups(self, account):
        for number in range(1, 131):
            account.deliver(message(number))
        server = account.server()
        pages, cursor, more = [], "", True
        while more:
            listing = self.list_from(server, cursor, limit=50)
            pages.append([item.remote_id for item in listing.items])
            cursor, more = listing.cursor, listing.more
        keys = [key for page in pages for key in page]
        assert len(pages[0]) == 50
        assert len(set(keys)) == 130
        mimes = [each.mime for each in server.fetch(INBOX, keys)]
        assert mimes == [message(number) for number in range(1, 131)]

    def test_new_mail_above_a_gap_is_found(self, account):
        for number in range(1, 21):
            account.deliver(message(number))
        server = account.server()
        items = self.list_from(server).items
        server.apply(INBOX, [Action(ActionKind.DELETE, each.remote_id) for each in items[1:]])
        account.deliver(message(99))
        after = self.list_from(account.server(), items[0].cursor, limit=1)
        assert [each.remote_id.split(".")[1] for each in after.items] == ["21"]

    def test_deleting_the_last_message_changes_nothing_to_see(self, account):
        account.deliver(message(1))
        account.deliver(message(2))
        server = account.server()
        listing = self.list_from(server)
        server.apply(INBOX, [Action(ActionKind.DELETE, listing.items[1].remote_id)])
        after = self.list_from(server, listing.cursor)
        assert after.items == ()
        assert not after.reset

    def test_new_uidvalidity_resets_the_listing(self, account):
        account.deliver(message(1))
        account.deliver(message(2))
        before = self.list_from(account.server())
        account.dovecot.reset_keys(USER)
        server = account.server()
        after = self.list_from(server, before.cursor)
        assert after.reset
        assert len(after.items) == 2
        new = server.identify(INBOX, [item.remote_id for item in after.items])
        assert [each.message_id for each in new] == ["<1@example.com>", "<2@example.com>"]
        old = [item.remote_id for item in before.items]
        assert all(isinstance(each.error, MessageGone) for each in server.fetch(INBOX, old))
        (result,) = server.apply(INBOX, [Action(ActionKind.DELETE, old[0])])
        assert not result.done
        assert len(account.stored()) == 2

    def test_folders_below_the_inbox(self, account):
        account.deliver(message(1))
        account.deliver(message(2), "INBOX/Customers")
        account.deliver(message(3), "INBOX/Customers/K&APY-ln")
        account.deliver(message(4), "Elsewhere")
        server = account.server()
        folders = sorted(server.folders(), key=lambda each: each.path)
        assert [each.path for each in folders] == [("Customers",), ("Customers", "Köln")]
        listing = server.list_new(folders[1].folder, "", 50)
        fetched = list(server.fetch(folders[1].folder, [listing.items[0].remote_id]))
        assert fetched[0].mime == message(3)

    def test_moved_message_is_in_the_other_folder_only(self, account):
        account.deliver(message(1))
        account.deliver(message(2))
        server = account.server()
        move = Action(ActionKind.MOVE, self.keys(server)[0], "INBOX/Done & Över")
        assert [result.done for result in server.apply(INBOX, [move])] == [True]
        assert account.stored() == [message(2)]
        assert len(self.keys(server, "INBOX/Done & Över")) == 1
        assert [result.done for result in server.apply(INBOX, [move])] == [True]
        assert len(self.keys(server, "INBOX/Done & Över")) == 1

    def test_keyword_and_seen_are_set_and_reading_sets_neither(self, account):
        for number in (1, 2, 3):
            account.deliver(message(number))
        server = account.server()
        keys = self.keys(server)
        list(server.fetch(INBOX, keys))
        actions = [
            Action(ActionKind.MARK, keys[0], "$Tracked"),
            Action(ActionKind.SEEN, keys[1]),
            Action(ActionKind.MARK, keys[2], "not a keyword"),
        ]
        results = server.apply(INBOX, actions)
        assert [result.action for result in results] == actions
        assert [result.done for result in results] == [True, True, False]
        assert isinstance(results[2].error, ActionRefused)
        rows = server._talk.client.fetch([int(key.split(".")[1]) for key in keys], ["FLAGS"])
        flags = [set(rows[uid][b"FLAGS"]) - {b"\\Recent"} for uid in sorted(rows)]
        assert flags == [{b"$Tracked"}, {b"\\Seen"}, set()]

    @pytest.mark.rule("R5.18")
    @pytest.mark.parametrize(
        ("there", "chosen"),
        [
            ((SENT_ITEMS, "Sent"), SENT_ITEMS),
            (("Archive", "sent items"), "sent items"),
            (("Archive", "Gel&APY-scht", "&kAFP4W4IMH8-"), "&kAFP4W4IMH8-"),
            (("Archive", "Archive/Sent"), "Sent"),
        ],
        ids=["special use", "well-known name", "localized name", "none"],
    )
    def test_sent_copy_goes_to_sent_items(self, account, there, chosen):
        for number, folder in enumerate(there, start=50):
            account.deliver(message(number), folder)
        account.server().file_sent("1@example.com", message(1), SENT_AT)
        copies = {
            folder: [each for each in account.stored(folder) if b"<1@example.com>" in each]
            for folder in {*there, "Sent"}
        }
        assert {folder: len(found) for folder, found in copies.items() if found} == {chosen: 1}

    @pytest.mark.rule("R5.18")
    def test_sent_copy_is_seen_and_another_one_with_its_id_will_do(self, account):
        account.deliver(message(1, b"as the provider keeps it\r\n"), "Sent")
        server = account.server()
        server.file_sent("<1@example.com>", message(1), SENT_AT)
        server.file_sent("2@example.com", message(2), SENT_AT)
        assert len(account.stored("Sent")) == 2
        server._talk.client.select_folder("Sent", readonly=True)
        assert rb"\Seen" in server._talk.client.fetch([2], ["FLAGS"])[2][b"FLAGS"]

    def cost_of_looking(self, account, cursor, folder=INBOX):
        """The commands of one listing, and what it says."""
        server = account.server().open()
        commands = []
        send = server._talk.line.send
        server._talk.line.send = lambda data: (commands.append(data), send(data))
        listing = server.list_new(folder, cursor, 50)
        words = [each.decode().split()[1:3] for each in commands]
        return [" ".join(each) if each[0] == "UID" else each[0] for each in words], listing

    def test_each_look_costs_what_happened(self, account):
        account.deliver(message(1))
        account.deliver(message(2))
        listing = self.list_from(account.server())
        one, two = [item.remote_id for item in listing.items]
        commands, listing = self.cost_of_looking(account, listing.cursor)
        assert (commands, listing.unchanged) == (["EXAMINE"], True)

        account.server().apply(INBOX, [Action(ActionKind.SEEN, one)])
        commands, listing = self.cost_of_looking(account, listing.cursor)
        assert commands == ["EXAMINE", "UID FETCH"]
        assert [each.remote_id for each in listing.changed] == [one]

        account.deliver(message(3))
        commands, listing = self.cost_of_looking(account, listing.cursor)
        assert commands == ["EXAMINE", "UID FETCH", "UID FETCH"]  # what is new, what has changed
        assert (len(listing.items), listing.present) == (1, None)

        account.server().apply(INBOX, [Action(ActionKind.DELETE, two)])
        commands, listing = self.cost_of_looking(account, listing.cursor)
        assert commands == ["EXAMINE", "UID FETCH", "UID SEARCH"]
        assert len(listing.present) == 2

        commands, listing = self.cost_of_looking(account, listing.cursor)
        assert (commands, listing.unchanged) == (["EXAMINE"], True)

    def test_idle_sent_items_cost_finding_them_and_one_command(self, account):
        account.server().file_sent("9@example.com", message(9), SENT_AT)
        cursor = account.server().list_new(SENT, "", 50).cursor
        commands, listing = self.cost_of_looking(account, cursor, SENT)
        assert (commands, listing.unchanged) == (["NAMESPACE", "LIST", "EXAMINE"], True)

    def test_expunged_newest_message_is_no_reason_to_ask_again(self, account):
        """UIDNEXT alone would say that there may be something new, HIGHESTMODSEQ knows better."""
        account.deliver(message(1))
        server = account.server()
        first = self.list_from(server)
        account.deliver(message(2))
        account.server().apply(INBOX, [Action(ActionKind.DELETE, self.keys(account.server())[1])])
        settled = self.list_from(account.server(), first.cursor)
        assert settled.items == ()
        again = self.list_from(account.server(), settled.cursor)
        assert again.unchanged


class TestImapOverTls(ImapContract):
    @pytest.fixture
    def account(self, make_account, dovecot):
        return make_account(ImapServer, dovecot.ports.imaps, Security.IMPLICIT_TLS)


class TestImapOverStarttls(ImapContract):
    @pytest.fixture
    def account(self, make_account, dovecot):
        return make_account(ImapServer, dovecot.ports.imap, Security.STARTTLS)


ADAPTERS = pytest.mark.parametrize("adapter", [Pop3Server, ImapServer])


def tls_port(dovecot: Dovecot, adapter) -> int:
    return dovecot.ports.pop3s if adapter is Pop3Server else dovecot.ports.imaps


@ADAPTERS
@pytest.mark.parametrize("user", PASSWORDS)
def test_every_kind_of_password_logs_in(dovecot, adapter, user):
    server = adapter(settings(dovecot, tls_port(dovecot, adapter), Security.IMPLICIT_TLS, user))
    server.open().close()


@ADAPTERS
def test_wrong_password_is_refused_and_not_repeated(dovecot, adapter):
    wrong = Credentials(USER, "wrong-and-secret")
    place = settings(dovecot, tls_port(dovecot, adapter), Security.IMPLICIT_TLS)
    with pytest.raises(LoginRefused) as caught:
        adapter(dataclasses.replace(place, credentials=wrong)).open()
    assert caught.value.code == "InvalidCredentials"
    assert "wrong-and-secret" not in f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"


def test_folder_missing_from_apply_is_named(dovecot):
    server = ImapServer(settings(dovecot, dovecot.ports.imaps, Security.IMPLICIT_TLS))
    with pytest.raises(FolderMissing):
        server.apply("INBOX/nowhere", [Action(ActionKind.SEEN, "1.1")])
    server.close()


def test_connection_that_idled_out_is_made_anew_for_a_fetch(dovecot):
    """The server may have hung up since the listing; that is no fault of the message."""
    dovecot.empty(USER)
    dovecot.deliver(USER, message(1))
    lines = {Pop3Server: lambda server: server._line, ImapServer: lambda server: server._talk.line}
    for adapter, line_of in lines.items():
        server = adapter(settings(dovecot, tls_port(dovecot, adapter), Security.IMPLICIT_TLS))
        key = server.list_new(INBOX, "", 50).items[0].remote_id
        line_of(server)._socket.shutdown(2)
        started = time.monotonic()
        assert next(iter(server.fetch(INBOX, [key]))).mime == message(1)
        assert time.monotonic() - started < 10  # it waited for no time-out
        server.close()
