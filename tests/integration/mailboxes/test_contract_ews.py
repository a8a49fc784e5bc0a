"""The contracts over the sandbox's Exchange server: over TLS and plain, for each way to log in and each
way in which servers differ. Round trips are counted, for every one costs each mailbox each time."""

import dataclasses
import gc
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from mailboxes.protocols.base import (
    INBOX,
    SENT,
    Action,
    ActionKind,
    AdapterOptions,
    Authentication,
    Bearer,
    Category,
    Credentials,
    Envelope,
)
from mailboxes.protocols.errors import (
    REFUSALS,
    AccessDenied,
    ActionRefused,
    ExchangeBusy,
    FolderMissing,
    LoginRefused,
    MailboxUnknown,
    MessageGone,
    MessageRefused,
    MessageTooLarge,
    MessageUnreadable,
    QuotaExceeded,
    RecipientsInvalid,
    SendAsDenied,
    ServerBusy,
    ServerError,
    SubmissionQuotaExceeded,
    TransientError,
)
from mailboxes.protocols.ews import categories
from mailboxes.protocols.ews.incoming import ExchangeServer
from mailboxes.protocols.ews.outgoing import ExchangeSender
from mailboxes.protocols.ews.settings import Access, Endpoint, ExchangeSettings
from serversync.sandbox.authority import TokenAuthority
from serversync.sandbox.certificates import load_authority, server_context
from serversync.sandbox.ews.authentication import Methods
from serversync.sandbox.ews.configuration import CATEGORY_LIST
from serversync.sandbox.ews.exchange import Exchange
from serversync.sandbox.ews.faults import busy, http_status, refuse, soap_fault
from serversync.sandbox.ews.versions import Edition
from serversync.sandbox.faults import Fault, Faults, Kind
from tests.contracts import (
    SENT_AT,
    Handing,
    InboxContract,
    IncomingContract,
    SubmissionContract,
    delete,
    message,
)
from tests.contracts.folders import TRACKED, keys_of, mark, move, unmark

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

USER = "ada@example.com"
PASSWORD = "a-long-secret"
MODERATE = 400_000


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    authority = load_authority(folder)
    return authority.pem, server_context(authority, folder)


class Site:
    """A server with one mailbox, what it sent out, and the adapters that reach it."""

    password = PASSWORD
    accepted = ("ben@example.org", "cleo@example.org")
    limit = MODERATE

    def __init__(self, tls, *, secure=True):
        self.ca_pem, context = tls
        self.sent = []
        self.exchange = Exchange(
            path=None,
            faults=Faults(),
            accept_mail=lambda sender, recipients, mime: self.sent.append((recipients, mime)),
            tls=context,
            allow_plain_login=not secure,
        )
        self.exchange.start({})
        self.exchange.add_account(USER, PASSWORD)
        self.servers = []
        self.settings = ExchangeSettings(
            address=USER,
            access=Access.OWN,
            authentication=Authentication.BASIC,
            credentials=Credentials(USER, PASSWORD),
            url=self.exchange.url if secure else self.exchange.plain_url,
            timeout_seconds=10,
            ca_pem=self.ca_pem if secure else "",
            allow_plain=not secure,
            allow_plain_login=not secure,
        )

    def stop(self):
        for server in self.servers:
            server.close()
        self.exchange.stop()

    def differ(self, **quirks):
        self.exchange.quirks = dataclasses.replace(self.exchange.quirks, **quirks)

    def reached(self, **settings):
        """From now on adapters have these settings."""
        self.settings = dataclasses.replace(self.settings, **settings)

    def known(self):
        """As in production: where the service is, and its version, was found out before."""
        self.reached(
            found=Endpoint(self.settings.url, datetime.now(UTC), "Exchange2016", USER, "basic")
        )

    def asked(self):
        """Names of the operations since the last time."""
        operations = [request.operation for request in self.exchange.requests]
        self.exchange.requests.clear()
        return operations

    # -- what the contracts need

    def server(self, *, max_fetch_bytes=10_000_000):
        options = AdapterOptions(max_fetch_bytes=max_fetch_bytes)
        return self.keep(ExchangeServer(self.settings, options))

    def sender(self, *, save_sent_copy=True):
        options = AdapterOptions(save_sent_copy=save_sent_copy)
        return self.keep(ExchangeSender(self.settings, options))

    def keep(self, server):
        self.servers.append(server)
        return server

    def deliver(self, mime, folder="inbox", **how):
        return self.exchange.deliver(USER, mime, folder=folder, **how)

    def stored(self, folder="inbox"):
        return self.exchange.messages(USER, folder)

    def arrived(self, count):
        assert len(self.sent) == count
        mine = (mime for recipients, mime in self.sent if self.accepted[0] in recipients)
        return [mime.partition(b"\r\n\r\n")[2] for mime in mine]

    def add_folder(self, *path):
        return self.exchange.add_folder(USER, "/".join(("Inbox", *path))).remote_id

    def _folder(self, remote_id):
        account = self.exchange.account(USER)
        folders = self.exchange.store.folders(account.guid)
        return next(each for each in folders if each.remote_id == remote_id)

    def rename_folder(self, folder, name):
        old = self._folder(folder)
        self.exchange.store.change_folder(
            old, name=name, folder_class=old.folder_class, properties=old.properties
        )

    def remove_folder(self, folder):
        self.exchange.store.remove_folder(self._folder(folder))

    def reset_keys(self):
        self.exchange.invalidate_sync_states(USER)

    def _list(self):
        calendar = self.exchange.folder(USER, "calendar")
        return calendar, self.exchange.store.configuration(calendar.id, CATEGORY_LIST)

    def _write_list(self, xml):
        calendar, _ = self._list()
        self.exchange.store.write_configuration(calendar, CATEGORY_LIST, xml=xml)

    def category_names(self):
        return [each.name for each in categories.entries(self._list()[1].xml)]

    def rename_category(self, category_id, name):
        old = TRACKED.name.encode()
        self._write_list(self._list()[1].xml.replace(old, name.encode()))

    def remove_category(self, category_id):
        self._write_list(categories.remove(self._list()[1].xml, category_id))


@pytest.fixture
def make_site(tls):
    sites = []

    def make(**how):
        sites.append(Site(tls, **how))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()


@pytest.fixture
def site(make_site):
    return make_site()


# -- incoming: the contract ------------------------------------------------------------------------


class ExchangeContract(IncomingContract):
    item_cursors = "last"
    tells_gone = True
    tells_message_ids = True
    folder_ids_stay = True
    has_category_list = True
    looks_everywhere = True
    keys_survive = True


class TestIncoming(ExchangeContract):
    @pytest.fixture
    def account(self, site):
        return site


class TestIncomingPlain(InboxContract):
    item_cursors = "last"

    @pytest.fixture
    def account(self, make_site):
        return make_site(secure=False)


class TestIncomingElsewhere(ExchangeContract):
    """A server that differs from Exchange in all that has been met and can be met at once."""

    tells_new_keys = False

    @pytest.fixture
    def account(self, site):
        site.differ(
            sync_ignores_missing_folder=True,
            read_flag_as_update=True,
            move_answers_nothing=True,
            missing_folder_property_error=True,
            malformed_id_fails_batch=True,
            fraction_digits=9,
            no_conflict_errors=True,
            second_answer_after_fault=True,
            closes_after_large_body=True,
            missing_operations=frozenset(["GetServerTimeZones", "Subscribe", "GetEvents"]),
            refused_restrictions=frozenset(
                ["IsGreaterThanOrEqualTo", "IsLessThanOrEqualTo", "Contains", "Categories"]
            ),
        )
        return site


# -- incoming: what it costs -----------------------------------------------------------------------


def fill(site, count, start=1):
    for number in range(start, start + count):
        site.deliver(message(number))


def opened(site):
    site.known()
    server = site.server()
    site.asked()
    return server


def test_page_of_fifty_costs_three_requests(site):
    fill(site, 50)
    server = opened(site)
    listing = server.list_new(INBOX, "", 500)
    fetched = list(server.fetch(INBOX, keys_of(listing.items)))
    assert [each.mime for each in fetched] == [message(number) for number in range(1, 51)]
    assert site.asked() == ["GetFolder", "SyncFolderItems", "GetItem"]


def test_idle_poll_costs_one_request(site):
    fill(site, 2)
    cursor = site.server().list_new(INBOX, "", 500).cursor
    server = opened(site)
    assert server.list_new(INBOX, cursor, 500).unchanged
    server.close()
    assert site.asked() == ["SyncFolderItems"]


@pytest.mark.parametrize("folder", [SENT, "its id"])
def test_idle_poll_of_any_folder_costs_one_request(site, folder):
    folder = site.add_folder("Customers") if folder == "its id" else folder
    cursor = site.server().list_new(folder, "", 500).cursor
    server = opened(site)
    assert server.list_new(folder, cursor, 500).unchanged
    assert site.asked() == ["SyncFolderItems"]


def test_new_mail_costs_two_requests(site):
    fill(site, 1)
    cursor = site.server().list_new(INBOX, "", 500).cursor
    fill(site, 1, start=2)
    server = opened(site)
    listing = server.list_new(INBOX, cursor, 500)
    assert [each.mime for each in server.fetch(INBOX, keys_of(listing.items))] == [message(2)]
    assert site.asked() == ["SyncFolderItems", "GetItem"]


def test_fifty_actions_of_a_kind_cost_a_request_or_two(site):
    fill(site, 50)
    server = opened(site)
    items = server.list_new(INBOX, "", 500).items
    site.asked()
    for actions, cost in (
        ([mark(item, "Tracked") for item in items], ["GetItem", "UpdateItem"]),
        ([mark(item, "Tracked") for item in items], ["GetItem"]),
        ([Action(ActionKind.SEEN, item.remote_id) for item in items], ["GetItem", "UpdateItem"]),
        ([move(item, SENT) for item in items[:25]], ["MoveItem"]),
        ([delete(item) for item in items[25:]], ["DeleteItem"]),
    ):
        assert all(result.done for result in server.apply(INBOX, actions))
        assert site.asked() == cost
    assert site.stored() == []


def test_marks_of_a_whole_mailbox_cost_three_requests(site):
    for number in range(30):
        site.deliver(message(number), folder="inbox")
        site.add_folder(f"Customers {number}")
    server = opened(site)
    found = server.marked("Tracked", [INBOX], None)
    assert site.asked() == ["GetFolder", "FindFolder", "FindItem"]
    server.marked("Tracked", [INBOX], found.until)
    assert site.asked() == ["GetFolder", "FindFolder", "FindItem"]


def test_large_messages_come_a_few_at_a_time(site, monkeypatch):
    monkeypatch.setattr("mailboxes.protocols.ews.incoming.GROUP_OCTETS", 80_000)
    for number in range(4):
        site.deliver(message(number, b"x" * 30_000 + b"\r\n"))
    server = opened(site)
    keys = keys_of(server.list_new(INBOX, "", 500).items)
    site.asked()
    fetching = server.fetch(INBOX, keys)
    assert len(next(fetching).mime) > 30_000
    assert site.asked() == ["GetItem"]
    assert [len(each.mime) > 30_000 for each in fetching] == [True] * 3
    assert site.asked() == ["GetItem"]


def test_opening_and_closing_leaves_nothing_behind(site):
    fill(site, 1)
    site.known()

    def poll():
        server = ExchangeServer(site.settings)
        server.list_new(INBOX, "", 500)
        server.close()

    poll()
    gc.collect()
    before = Counter(type(each).__name__ for each in gc.get_objects())
    for _time in range(8):
        poll()
    gc.collect()
    after = Counter(type(each).__name__ for each in gc.get_objects())
    kept = {
        name: after[name] - before[name] for name in ("Account", "Configuration", "OwnProtocol")
    }
    assert kept == {"Account": 0, "Configuration": 0, "OwnProtocol": 0}
    assert sum(after.values()) - sum(before.values()) < 1000


# -- incoming: listings ----------------------------------------------------------------------------


def test_silent_restart_gives_everything_as_new(site):
    site.differ(silent_sync_restart=True)
    fill(site, 3)
    server = site.server()
    before = server.list_new(INBOX, "", 50)
    site.reset_keys()
    after = server.list_new(INBOX, before.cursor, 50)
    assert (after.reset, keys_of(after.items)) == (False, keys_of(before.items))
    assert server.list_new(INBOX, after.cursor, 50).unchanged


def test_cursor_that_a_fault_refuses_starts_over(site):
    fill(site, 2)
    cursor = site.server().list_new(INBOX, "", 50).cursor
    site.exchange.faults.add(soap_fault("ErrorInvalidSyncStateData", "SyncFolderItems"))
    listing = site.server().list_new(INBOX, cursor, 50)
    assert listing.reset
    assert len(listing.items) == 2


def test_cursor_of_another_kind_starts_over(site):
    fill(site, 1)
    listing = site.server().list_new(INBOX, "17.4.99", 50)
    assert listing.reset
    assert len(listing.items) == 1
    assert listing.total == 1


def test_read_flags_move_the_cursor_and_tell_nothing(site):
    fill(site, 3)
    server = site.server()
    before = server.list_new(INBOX, "", 50)
    for item in site.exchange.items(USER):
        site.exchange.mark_read(item)
    after = server.list_new(INBOX, before.cursor, 50)
    assert (after.items, after.changed, after.gone) == ((), (), ())
    assert not after.unchanged
    assert server.list_new(INBOX, after.cursor, 50).unchanged


def test_pages_of_read_flags_do_not_hide_what_comes_behind_them(site):
    fill(site, 5)
    server = site.server()
    before = server.list_new(INBOX, "", 50)
    for item in site.exchange.items(USER):
        site.exchange.mark_read(item)
    fill(site, 1, start=6)
    after = server.list_new(INBOX, before.cursor, 2)
    assert len(after.items) == 1
    assert after.items[0].message_id == "<6@example.com>"


def test_departures_and_changes_count_towards_the_limit(site):
    fill(site, 3)
    server = site.server()
    before = server.list_new(INBOX, "", 50)
    items = site.exchange.items(USER)
    site.exchange.remove(items[0])
    site.exchange.categorize(items[1], "Red")
    fill(site, 1, start=4)
    found, cursor = [], before.cursor
    for more in (True, True, False):
        listing = server.list_new(INBOX, cursor, 1)
        assert listing.more is more
        found.append((len(listing.gone), len(listing.changed), len(listing.items)))
        cursor = listing.cursor
    assert found == [(1, 0, 0), (0, 1, 0), (0, 0, 1)]


@pytest.mark.parametrize(
    "differing",
    [{"no_received_time": True}, {"fraction_digits": 6}, {"fraction_digits": 9}],
    ids=str,
)
def test_items_have_a_time_whatever_the_server_leaves_out(site, differing):
    site.differ(**differing)
    moment = datetime.now(UTC)
    site.deliver(message(1))
    site.server().file_sent("2@example.com", message(2), moment)
    for folder in (INBOX, SENT):
        (item,) = site.server().list_new(folder, "", 50).items
        assert abs(item.received_at - moment) < timedelta(minutes=1)


@pytest.mark.parametrize("newest_first", [True, False])
def test_listing_is_in_the_order_of_receipt(site, newest_first):
    site.differ(newest_change_first=newest_first)
    for number in (2, 3, 1):
        site.deliver(message(number), received_at=datetime(2026, 1, number, tzinfo=UTC))
    items = site.server().list_new(INBOX, "", 50).items
    assert [item.message_id for item in items] == [f"<{n}@example.com>" for n in (1, 2, 3)]


@pytest.mark.parametrize("silent", [True, False])
def test_deleted_folder_is_missing_to_the_first_and_to_later_listings(site, silent):
    site.differ(sync_ignores_missing_folder=silent, missing_folder_property_error=silent)
    folder = site.add_folder("Customers")
    cursor = site.server().list_new(folder, "", 50).cursor
    site.remove_folder(folder)
    for known in ("", cursor):
        with pytest.raises(FolderMissing):
            site.server().list_new(folder, known, 50)


def test_folder_deleted_with_its_messages_is_missing_not_emptied(site):
    site.differ(missing_folder_property_error=True)
    folder = site.add_folder("Customers")
    site.deliver(message(1), folder="Inbox/Customers")
    server = site.server()
    before = server.list_new(folder, "", 50)
    site.remove_folder(folder)
    with pytest.raises(FolderMissing):
        server.list_new(folder, before.cursor, 50)


def test_folders_of_other_kinds_are_not_below_the_inbox(site):
    site.add_folder("Customers")
    account = site.exchange.account(USER)
    inbox = site.exchange.folder(USER)
    site.exchange.store.add_folder(account.guid, inbox.id, "Dates", "IPF.Appointment")
    assert [each.path for each in site.server().folders()] == [("Customers",)]


# -- incoming: messages that can't be had ----------------------------------------------------------


def listed(site, count):
    fill(site, count)
    server = site.server()
    keys = keys_of(server.list_new(INBOX, "", 500).items)
    site.asked()
    return server, keys


@pytest.mark.parametrize(
    "code", ["ErrorItemCorrupt", "ErrorAccessDenied", "ErrorInternalServerError"]
)
def test_one_that_the_server_refuses_costs_itself_only(site, code):
    server, keys = listed(site, 5)
    site.exchange.faults.add(refuse(code, "GetItem", position=2))
    fetched = list(server.fetch(INBOX, keys))
    assert [each.mime is None for each in fetched] == [False, False, True, False, False]
    assert isinstance(fetched[2].error, MessageUnreadable)
    assert code in fetched[2].error.detail
    assert site.asked() == ["GetItem"]


@pytest.mark.parametrize("known", [True, False], ids=["listed", "retried"])
@pytest.mark.parametrize("kind", [Kind.SOAP_FAULT, Kind.DROP, Kind.GARBAGE, Kind.TRUNCATE])
def test_one_that_spoils_every_request_is_found(site, kind, known):
    server, keys = listed(site, 6)
    server = server if known else site.server()
    argument = "ErrorInternalServerError" if kind is Kind.SOAP_FAULT else ""
    site.exchange.faults.add(
        Fault(kind=kind, protocol="ews", command="GetItem", text=keys[3], argument=argument)
    )
    fetched = list(server.fetch(INBOX, keys))
    assert [each.mime is None for each in fetched] == [number == 3 for number in range(6)]
    assert isinstance(fetched[3].error, MessageUnreadable)


def test_malformed_ids_are_gone_even_where_they_spoil_the_batch(site):
    site.differ(malformed_id_fails_batch=True, second_answer_after_fault=True)
    server, keys = listed(site, 4)
    wanted = [keys[0], "no id", keys[1], "none either", keys[2]]
    fetched = list(server.fetch(INBOX, wanted))
    assert [each.mime is None for each in fetched] == [False, True, False, True, False]
    assert isinstance(fetched[1].error, MessageGone)
    assert [each.remote_id for each in server.identify(INBOX, wanted)] == keys[:3]
    results = server.apply(INBOX, [Action(ActionKind.DELETE, each) for each in wanted])
    assert all(result.done for result in results)
    assert len(site.stored()) == 1


def test_what_the_server_refuses_for_all_is_not_about_messages(site):
    server, keys = listed(site, 3)
    site.exchange.faults.add(refuse("ErrorADUnavailable", "GetItem", times=None))
    with pytest.raises(TransientError):
        list(server.fetch(INBOX, keys))
    site.exchange.faults.clear()
    site.exchange.faults.add(refuse("ErrorInternalServerError", "GetItem", times=None))
    with pytest.raises(TransientError):
        list(server.fetch(INBOX, keys))


def test_protected_messages_are_unreadable_however_many(site):
    server, keys = listed(site, 3)
    site.exchange.faults.add(refuse("ErrorAccessDenied", "GetItem"))
    errors = [each.error for each in server.fetch(INBOX, keys)]
    assert [type(error) for error in errors] == [MessageUnreadable] * 3


def test_sizes_that_were_not_listed_are_asked_for_before_the_contents(site):
    _, keys = listed(site, 3)
    site.deliver(message(4, b"x" * 5000 + b"\r\n"))
    keys = keys_of(site.server().list_new(INBOX, "", 50).items)
    site.known()
    server = site.server(max_fetch_bytes=2000)
    site.asked()
    fetched = list(server.fetch(INBOX, [*keys, keys[0]]))
    assert [each.mime is None for each in fetched] == [False, False, False, True, False]
    assert isinstance(fetched[3].error, MessageTooLarge)
    assert site.asked() == ["GetItem"] * 3


def test_folder_that_we_may_not_read_is_missing_and_the_inbox_denied(site):
    folder = site.add_folder("Customers")
    site.exchange.faults.add(refuse("ErrorAccessDenied", "GetFolder", times=None))
    site.known()
    with pytest.raises(FolderMissing):
        site.server().list_new(folder, "", 50)
    with pytest.raises(AccessDenied):
        site.server().list_new(INBOX, "", 50)


def test_busy_server_names_its_patience_and_is_not_asked_again(site):
    server, keys = listed(site, 3)
    site.exchange.faults.add(busy("GetItem", back_off_milliseconds=1500))
    with pytest.raises(ExchangeBusy) as caught:
        list(server.fetch(INBOX, keys))
    assert caught.value.hint_seconds == 1.5
    assert site.asked() == ["GetItem"]
    assert [each.error for each in server.fetch(INBOX, keys)] == [None] * 3


def test_second_answer_after_a_fault_is_nobodys_message(site):
    site.differ(second_answer_after_fault=True)
    server, keys = listed(site, 3)
    site.exchange.faults.add(soap_fault("ErrorInternalServerError", "GetItem"))
    assert [each.mime for each in server.fetch(INBOX, keys)] == [message(n) for n in (1, 2, 3)]


def test_message_that_is_written_anew_at_each_reading_is_recognised(site):
    site.differ(regenerated_mime=True)
    server, keys = listed(site, 2)
    first, second = server.fetch(INBOX, keys)
    assert b"<1@example.com>" in first.mime
    assert b"Hello." in second.mime
    identities = server.identify(INBOX, keys)
    assert [each.message_id for each in identities] == ["<1@example.com>", "<2@example.com>"]
    assert identities[0].date == "Mon, 05 Jan 2026 09:01:00 +0100"


def test_fetching_and_listing_leaves_messages_unread(site):
    server, keys = listed(site, 2)
    list(server.fetch(INBOX, keys))
    server.identify(INBOX, keys)
    assert not any(item.is_read for item in site.exchange.items(USER))


# -- incoming: actions and marks -------------------------------------------------------------------


def test_marks_of_others_stay(site):
    site.deliver(message(1), categories=["Red", "Blue"])
    server = site.server()
    (item,) = server.list_new(INBOX, "", 50).items
    assert server.apply(INBOX, [mark(item, "Tracked")])[0].done
    assert site.exchange.items(USER)[0].categories == ["Red", "Blue", "Tracked"]
    assert server.apply(INBOX, [unmark(item, "tracked")])[0].done
    (stored,) = site.exchange.items(USER)
    assert stored.categories == ["Red", "Blue"]
    assert not stored.is_read
    assert site.stored() == [message(1)]


def test_last_mark_can_be_taken_off(site):
    site.deliver(message(1), categories=["Tracked"])
    server = site.server()
    (item,) = server.list_new(INBOX, "", 50).items
    assert server.apply(INBOX, [unmark(item, "Tracked")])[0].done
    assert site.exchange.items(USER)[0].categories == []


def test_conflict_with_somebody_else_is_solved_by_reading_again(site):
    fill(site, 3)
    server = site.server()
    items = server.list_new(INBOX, "", 50).items
    site.exchange.faults.add(refuse("ErrorIrresolvableConflict", "UpdateItem", position=1))
    site.asked()
    assert all(each.done for each in server.apply(INBOX, [mark(item, "T") for item in items]))
    assert site.asked() == ["GetItem", "UpdateItem"] * 2
    assert [item.categories for item in site.exchange.items(USER)] == [["T"]] * 3


def test_action_that_is_refused_costs_itself_only(site):
    fill(site, 3)
    server = site.server()
    items = server.list_new(INBOX, "", 50).items
    site.exchange.faults.add(refuse("ErrorAccessDenied", "DeleteItem", position=1))
    results = server.apply(INBOX, [delete(item) for item in items])
    assert [result.done for result in results] == [True, False, True]
    assert isinstance(results[1].error, ActionRefused)
    assert "ErrorAccessDenied" in results[1].error.detail
    assert site.stored() == [message(2)]


def test_actions_that_a_fault_refuses_all_are_refused_and_nothing_is_raised(site):
    fill(site, 40)
    server = site.server()
    items = server.list_new(INBOX, "", 50).items
    site.exchange.faults.add(soap_fault("ErrorAccessDenied", "DeleteItem", times=None))
    site.asked()
    results = server.apply(INBOX, [delete(item) for item in items])
    assert not any(result.done for result in results)
    assert len(site.asked()) < 12


@pytest.mark.parametrize("target", ["no id", "gone"])
def test_move_into_a_folder_that_is_not_there_is_not_done(site, target):
    fill(site, 2)
    folder = target
    if target == "gone":
        folder = site.add_folder("Customers")
        site.remove_folder(folder)
    server = site.server()
    items = server.list_new(INBOX, "", 50).items
    results = server.apply(INBOX, [move(item, folder) for item in items])
    assert [result.done for result in results] == [False, False]
    assert all(isinstance(result.error, ActionRefused) for result in results)
    assert len(site.stored()) == 2


def test_folder_beside_the_inbox_that_people_made_is_taken(site):
    folder = site.exchange.add_folder(USER, "undeliverable ITEMS")
    assert site.server().ensure_folder("Undeliverable Items") == folder.remote_id


def test_delegate_who_may_not_see_the_other_folders_makes_none(site):
    site.exchange.faults.add(refuse("ErrorAccessDenied", "FindFolder"))
    with pytest.raises(ActionRefused):
        site.server().ensure_folder("Undeliverable Items")
    site.exchange.faults.add(refuse("ErrorAccessDenied", "CreateFolder"))
    with pytest.raises(ActionRefused) as caught:
        site.server().ensure_folder("Undeliverable Items")
    assert caught.value.server_code == "ErrorAccessDenied"


def test_mailbox_without_a_list_of_categories_gets_one(site):
    site.exchange.add_account("new@example.com", PASSWORD, has_category_list=False)
    site.reached(address="new@example.com", credentials=Credentials("new@example.com", PASSWORD))
    server = site.server()
    server.drop_category(TRACKED.id)
    assert server.ensure_category(TRACKED) == TRACKED
    assert site.server().ensure_category(TRACKED) == TRACKED
    red = Category("5b1cd77e-0000-4000-8000-000000000002", "Red")
    assert server.ensure_category(red) == red
    assert site.server().ensure_category(TRACKED) == TRACKED


def test_other_categories_stay_octet_by_octet(site):
    before = site._list()[1].xml
    server = site.server()
    server.ensure_category(TRACKED)
    assert len(site._list()[1].xml) > len(before)
    server.drop_category(TRACKED.id)
    assert site._list()[1].xml == before


def test_list_of_categories_that_is_none_is_left_alone(site):
    site._write_list(b"not what it should be")
    for refused in (
        lambda: site.server().ensure_category(TRACKED),
        lambda: site.server().drop_category(TRACKED.id),
    ):
        with pytest.raises(ActionRefused):
            refused()
    assert site._list()[1].xml == b"not what it should be"


@pytest.mark.parametrize(
    "refused", [[], ["Categories"], ["IsGreaterThan"], ["Categories", "IsGreaterThan", "IsEqualTo"]]
)
def test_marks_are_found_whatever_the_server_can_search(site, refused):
    site.differ(refused_restrictions=frozenset(refused))
    fill(site, 3)
    site.add_folder("Customers")
    site.deliver(message(4), folder="Inbox/Customers", categories=["TRACKED", "Red"])
    for place in ("deleteditems", "junkemail", "drafts"):
        site.deliver(message(5), folder=place, categories=["Tracked"])
    site.deliver(message(6), folder="sentitems", categories=["Tracked"])
    server = site.server()
    found = server.marked("Tracked", [INBOX], None)
    assert found.complete
    assert {each.message_id for each in found.items} == {"<4@example.com>", "<6@example.com>"}
    assert SENT in {each.folder for each in found.items}
    since = server.marked("Tracked", [INBOX], datetime.now(UTC) - timedelta(hours=1))
    has_mark = {each.message_id for each in since.items if each.has_mark}
    assert has_mark == {"<4@example.com>", "<6@example.com>"}
    assert since.complete is ("IsGreaterThan" in refused)


def test_marks_are_looked_for_in_pages(site, monkeypatch):
    monkeypatch.setattr("mailboxes.protocols.ews.searching.ITEMS_PER_PAGE", 3)
    monkeypatch.setattr("mailboxes.protocols.ews.folders.FOLDERS_PER_PAGE", 4)
    for number in range(1, 8):
        site.deliver(message(number), categories=["Tracked"])
    site.deliver(message(9), folder="sentitems", categories=["Tracked"])
    for number in range(6):
        site.add_folder(f"Customers {number}")
    found = site.server().marked("Tracked", [INBOX], None)
    assert len({each.remote_id for each in found.items}) == len(found.items) == 8


@pytest.mark.rule("R5.18")
def test_filed_copy_is_read_and_no_draft(site):
    site.server().file_sent("<1@example.com>", message(1), SENT_AT)
    (item,) = site.exchange.items(USER, "sentitems")
    assert item.is_read
    assert not item.is_draft
    assert item.received_at == SENT_AT


def test_copy_is_found_where_message_ids_cannot_be_searched(site):
    site.differ(refused_restrictions=frozenset(["IsEqualTo"]))
    server = site.server()
    assert "filed" in server.file_sent("<1@example.com>", message(1), SENT_AT)
    assert "already" in server.file_sent("<1@example.com>", message(1), SENT_AT)


@pytest.mark.parametrize("code", ["ErrorInternalServerError", "ErrorSchemaValidation"])
def test_search_that_a_fault_refuses_is_done_in_another_way(site, code):
    for number in range(3):
        site.add_folder(f"Customers {number}")
    site.deliver(message(1), categories=["Tracked"])
    site.exchange.faults.add(
        dataclasses.replace(soap_fault(code, "FindItem", times=None), text="Restriction")
    )
    server = site.server()
    assert len(server.marked("Tracked", [INBOX], None).items) == 1
    assert len(server.marked("Tracked", [INBOX], SENT_AT).items) == 1
    assert "filed" in server.file_sent("<1@example.com>", message(1), SENT_AT)


def test_copy_that_the_server_refuses_is_no_fault_of_the_account(site):
    site.exchange.faults.add(refuse("ErrorQuotaExceeded", "CreateItem"))
    with pytest.raises(ActionRefused):
        site.server().file_sent("<1@example.com>", message(1), SENT_AT)


# -- outgoing: the contract ------------------------------------------------------------------------


class SendingAccount:
    """The site as the outgoing contract sees it."""

    def __init__(self, site):
        self.site = site
        self.accepted, self.limit, self.password = site.accepted, site.limit, site.password
        self.arrived = site.arrived
        site.differ(max_message_bytes=site.limit)

    def server(self):
        return self.site.sender()


class ExchangeSubmissionContract(SubmissionContract):
    reply = "accepted"
    refuses_early = False
    finds_sent = True


class TestOutgoing(ExchangeSubmissionContract):
    @pytest.fixture
    def account(self, site):
        return SendingAccount(site)


class TestOutgoingPlain(ExchangeSubmissionContract):
    @pytest.fixture
    def account(self, make_site):
        return SendingAccount(make_site(secure=False))


class TestOutgoingElsewhere(ExchangeSubmissionContract):
    finds_sent = True

    @pytest.fixture
    def account(self, site):
        site.differ(
            second_answer_after_fault=True,
            closes_after_large_body=True,
            draft_stays=True,
            ignores_inline_attachments=True,
            fraction_digits=9,
        )
        return SendingAccount(site)


# -- outgoing: what only Exchange does -------------------------------------------------------------

ENVELOPE = Envelope(
    "<1@example.com>",
    USER,
    ("ben@example.org", "cleo@example.org"),
    b"From: Ada <ada@example.com>\r\nTo: Ben <ben@example.org>\r\nMessage-ID: <1@example.com>\r\n"
    b"Subject: one\r\n\r\nHello.\r\n",
)


@pytest.mark.rule("R5.22")
def test_blind_copies_are_sent_and_named_nowhere(site):
    site.sender().send(ENVELOPE, Handing())
    ((recipients, mime),) = site.sent
    assert set(recipients) == set(ENVELOPE.recipients)
    assert b"cleo" not in mime


def test_message_id_and_sender_are_kept(site):
    site.sender().send(ENVELOPE, Handing())
    assert b"Message-ID: <1@example.com>" in site.sent[0][1]
    assert b"From: Ada <ada@example.com>" in site.sent[0][1]
    (copy,) = site.exchange.items(USER, "sentitems")
    assert copy.is_read
    assert not copy.is_draft


def test_first_message_costs_a_look_and_the_others_none(site):
    site.known()
    sender = site.sender()
    for cost in (["GetFolder", "CreateItem", "FindItem"], ["CreateItem"], ["CreateItem"]):
        assert sender.send(ENVELOPE, Handing()).filed_copy
        assert site.asked() == cost


@pytest.mark.rule("R5.18")
def test_no_copy_where_none_is_wanted(site):
    sender = site.sender(save_sent_copy=False)
    assert not sender.send(ENVELOPE, Handing()).filed_copy
    assert site.exchange.items(USER, "sentitems") == []
    assert sender.find_sent(ENVELOPE.message_id) is None
    assert len(site.sent) == 1


def test_server_that_files_no_copies_is_found_out(site):
    site.differ(no_sent_copy=True)
    site.known()
    sender = site.sender()
    for _time in range(5):
        assert not sender.send(ENVELOPE, Handing()).filed_copy
    assert site.asked().count("FindItem") == 3
    assert len(site.sent) == 5


def test_look_at_sent_items_that_fails_undoes_no_message(site):
    site.exchange.faults.add(busy("FindItem"))
    sent = site.sender().send(ENVELOPE, Handing())
    assert not sent.filed_copy
    assert len(site.sent) == 1


@pytest.mark.rule("R5.17")
@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (refuse("ErrorInvalidRecipients", "CreateItem"), RecipientsInvalid),
        (refuse("ErrorSendAsDenied", "CreateItem"), SendAsDenied),
        (refuse("ErrorMimeContentInvalid", "CreateItem"), MessageRefused),
        (refuse("ErrorQuotaExceeded", "CreateItem"), QuotaExceeded),
        (refuse("ErrorSubmissionQuotaExceeded", "CreateItem"), SubmissionQuotaExceeded),
        (refuse("ErrorMailboxStoreUnavailable", "CreateItem"), ServerBusy),
        (refuse("ErrorNoSuchThingEver", "CreateItem"), ServerError),
        (busy("CreateItem", back_off_milliseconds=2000), ExchangeBusy),
        (soap_fault("ErrorSchemaValidation", "CreateItem"), MessageRefused),
        (soap_fault("ErrorInvalidRequest", "CreateItem"), MessageRefused),
        (soap_fault("ErrorNonExistentMailbox", "CreateItem"), MailboxUnknown),
        (http_status(401, "CreateItem"), LoginRefused),
    ],
    ids=lambda value: getattr(value, "argument", None),
)
def test_refusal_proves_that_nothing_left(site, fault, kind):
    site.exchange.faults.add(fault)
    sender, handing = site.sender(), Handing()
    with pytest.raises(kind) as caught:
        sender.send(ENVELOPE, handing)
    assert isinstance(caught.value, REFUSALS)
    assert handing.count == 1
    assert site.sent == []
    assert site.asked().count("CreateItem") == 1
    assert [each.address for each in getattr(caught.value, "recipients", ())] in (
        [],
        list(ENVELOPE.recipients),
    )
    sender.send(ENVELOPE, Handing())
    assert len(site.sent) == 1


@pytest.mark.rule("R5.17")
@pytest.mark.parametrize(
    "fault",
    [
        http_status(502, "CreateItem"),
        http_status(503, "CreateItem"),
        http_status(504, "CreateItem"),
        http_status(500, "CreateItem"),
        soap_fault("ErrorInternalServerError", "CreateItem"),
        refuse("ErrorTimeoutExpired", "CreateItem"),
        Fault(kind=Kind.DROP, protocol="ews", command="CreateItem", times=1),
        Fault(kind=Kind.DROP_AFTER, protocol="ews", command="CreateItem", times=1),
        Fault(kind=Kind.TRUNCATE, protocol="ews", command="CreateItem", times=1),
        Fault(kind=Kind.GARBAGE, protocol="ews", command="CreateItem", times=1),
        Fault(kind=Kind.HANG, protocol="ews", command="CreateItem", times=1),
    ],
    ids=lambda fault: f"{fault.kind} {fault.argument}".strip(),
)
def test_line_and_gateway_prove_nothing(site, fault):
    site.reached(timeout_seconds=0.5)
    site.exchange.faults.add(fault)
    sender, handing = site.sender(), Handing()
    with pytest.raises(TransientError) as caught:
        sender.send(ENVELOPE, handing)
    assert not isinstance(caught.value, REFUSALS)
    assert handing.count == 1
    assert len(site.sent) <= 1
    assert site.asked().count("CreateItem") <= 1
    assert sender.find_sent(ENVELOPE.message_id) is bool(site.sent)


@pytest.mark.rule("R5.17")
@pytest.mark.parametrize("way", [Authentication.BASIC, Authentication.NTLM], ids=str)
def test_large_message_over_a_line_that_was_closed_is_sent_once(site, way):
    site.differ(closes_after_large_body=True)
    site.reached(authentication=way)
    large = dataclasses.replace(ENVELOPE, mime=ENVELOPE.mime + b"x" * 200_000 + b"\r\n")
    sender = site.sender()
    for _time in range(3):
        sender.send(large, Handing())
    assert len(site.sent) == 3


def test_connection_that_is_refused_comes_before_the_hand_over(site):
    sender, handing = site.sender(), Handing()
    site.exchange.stop()
    with pytest.raises(TransientError):
        sender.send(ENVELOPE, handing)
    assert handing.count == 0


@pytest.mark.rule("R5.17")
def test_line_that_broke_is_mended_before_the_next_hand_over(site):
    site.exchange.faults.add(busy("CreateItem"))
    sender, handing = site.sender(), Handing()
    with pytest.raises(ExchangeBusy):
        sender.send(ENVELOPE, Handing())
    site.exchange.stop()
    with pytest.raises(TransientError):
        sender.send(ENVELOPE, handing)
    assert handing.count == 0


@pytest.mark.parametrize(
    "trouble",
    [
        http_status(401, "GetFolder", times=None),
        http_status(503, "GetFolder"),
        soap_fault("ErrorServerBusy", "GetFolder"),
        Fault(kind=Kind.DROP, protocol="ews", command="GetFolder"),
    ],
    ids=lambda fault: f"{fault.kind} {fault.argument}".strip(),
)
def test_account_that_cannot_be_used_is_known_before_the_hand_over(site, trouble):
    site.known()
    site.exchange.faults.add(trouble)
    handing = Handing()
    with pytest.raises(ServerError):
        site.sender().send(ENVELOPE, handing)
    assert handing.count == 0


def test_refused_hand_overs_do_not_use_up_the_connections(site):
    def lease_lost():
        raise LookupError("lease lost")

    site.known()
    sender = site.sender()
    for _time in range(12):
        with pytest.raises(LookupError):
            sender.send(ENVELOPE, Handing(lease_lost))
    sender.send(ENVELOPE, Handing())
    assert len(site.sent) == 1


# -- ways in ---------------------------------------------------------------------------------------


def exercise(site):
    """A little of everything."""
    fill(site, 3)
    server = site.server()
    listing = server.list_new(INBOX, "", 50)
    mimes = [each.mime for each in server.fetch(INBOX, keys_of(listing.items))]
    assert mimes == [message(1), message(2), message(3)]
    assert all(each.done for each in server.apply(INBOX, [mark(listing.items[0], "Tracked")]))
    assert len(server.marked("Tracked", [INBOX], None).items) == 1
    assert server.ensure_category(TRACKED) == TRACKED
    assert "filed" in server.file_sent("<9@example.com>", message(9), SENT_AT)
    large = dataclasses.replace(ENVELOPE, mime=ENVELOPE.mime + b"x" * 200_000 + b"\r\n")
    for envelope in (ENVELOPE, large):
        site.sender().send(envelope, Handing())
    assert len(site.sent) == 2
    assert len(site.stored("sentitems")) == 3


@pytest.mark.parametrize("secure", [True, False], ids=["TLS", "plain"])
@pytest.mark.parametrize(
    "way", [Authentication.NTLM, Authentication.AUTO, Authentication.BASIC], ids=str
)
def test_every_way_to_log_in_with_a_password(make_site, way, secure):
    site = make_site(secure=secure)
    site.exchange.gate.methods = Methods(
        basic=way is Authentication.BASIC, ntlm=way is not Authentication.BASIC
    )
    site.reached(authentication=way)
    exercise(site)


@pytest.mark.parametrize("edition", list(Edition), ids=str)
def test_every_edition_of_the_server(site, edition):
    site.differ(edition=edition)
    learned = []
    site.reached(remember=learned.append)
    exercise(site)
    site.reached(found=learned[-1])
    listing = site.server().list_new(INBOX, "", 50)
    assert site.server().apply(INBOX, [delete(item) for item in listing.items])[0].done


@pytest.fixture
def authority():
    authority = TokenAuthority(lambda address, password: True)
    yield authority
    authority.close()


def test_token_opens_the_mailbox_and_is_renewed_when_refused(site, authority):
    refused = []

    def token(old):
        refused.append(old)
        return authority.sign_in(USER, "the client", "EWS.AccessAsUser.All")[0]

    site.exchange.gate.authority = authority
    site.exchange.gate.methods = Methods(basic=False, ntlm=False, bearer=True)
    site.reached(authentication=Authentication.OAUTH, credentials=Bearer(USER, token))
    exercise(site)
    server = site.server().open()
    authority.expire_tokens()
    assert len(server.list_new(INBOX, "", 50).items) == 3
    assert refused[:-1] == [""] * (len(refused) - 1)
    assert refused[-1]


def test_ticket_opens_the_mailbox(site, kdc, monkeypatch):
    pytest.importorskip("gssapi", reason="the extra “kerberos” is not installed")
    from serversync.sandbox.ews import kerberos
    from tests.servers.kdc import REALM

    for name, value in kdc.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KRB5CCNAME", kdc.ticket("ada"))
    site.exchange.gate.methods = Methods(basic=False, ntlm=False, negotiate=True)
    site.exchange.gate.accept_ticket = kerberos.acceptor(kdc.keytab)
    # The realm's people have addresses of its own, so one of them opens the mailbox as a delegate.
    person = f"ada@{REALM.lower()}"
    site.exchange.add_account(person, "unused", has_mailbox=False)
    for right in ("FullAccess", "SendAs"):
        site.exchange.grant(USER, person, right)
    site.reached(
        access=Access.DELEGATION,
        authentication=Authentication.NEGOTIATE,
        credentials=None,
        url=site.settings.url.replace("127.0.0.1", "localhost"),  # the service's name has it
    )
    exercise(site)


@pytest.mark.parametrize("access", [Access.IMPERSONATION, Access.DELEGATION], ids=str)
def test_other_accounts_open_the_mailbox_and_not_their_own(site, access):
    site.exchange.add_account("service@example.com", "another-secret")
    site.exchange.deliver("service@example.com", message(99))
    if access is Access.IMPERSONATION:
        site.exchange.allow_impersonation("service@example.com")
    else:
        site.exchange.grant(USER, "service@example.com", "FullAccess")
        site.exchange.grant(USER, "service@example.com", "SendAs")
    site.reached(access=access, credentials=Credentials("service@example.com", "another-secret"))
    exercise(site)
    assert site.exchange.messages("service@example.com", "sentitems") == []
    assert site.exchange.messages("service@example.com") == [message(99)]


@pytest.mark.parametrize("make", ["server", "sender"])
def test_wrong_password_is_refused_and_in_no_text(site, make):
    site.reached(credentials=Credentials(USER, "wrong-and-secret"))
    with pytest.raises(LoginRefused) as caught:
        getattr(site, make)().open()
    told = f"{caught.value} {caught.value!r} {caught.value.__cause__!r}"
    assert "wrong-and-secret" not in told
