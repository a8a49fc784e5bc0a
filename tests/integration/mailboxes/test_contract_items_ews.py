"""The contract of appointments, contacts and tasks over the sandbox's Exchange server. Round trips are counted, for
every one costs each mailbox each time."""

import dataclasses
import itertools
from datetime import UTC, datetime

import pytest
from lxml import etree

from mailboxes.protocols.base import Authentication, Credentials
from mailboxes.protocols.ews.items.adapter import ExchangeItems
from mailboxes.protocols.ews.settings import Access, Endpoint, ExchangeSettings
from mailboxes.protocols.items import CALENDAR, CONTACTS, TASKS
from serversync.sandbox.certificates import load_authority, server_context
from serversync.sandbox.ews.exchange import Exchange
from serversync.sandbox.ews.paths import CLASS_OF_TAG
from serversync.sandbox.ews.quirks import Quirks
from serversync.sandbox.ews.soap import T
from serversync.sandbox.ews.store import NewItem
from serversync.sandbox.faults import Faults
from tests.contracts.items import ItemsContract

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

PASSWORD = "a-long-secret"
PLACES = {CALENDAR: "calendar", CONTACTS: "contacts", TASKS: "tasks"}


@pytest.fixture(scope="module")
def exchange(tmp_path_factory):
    folder = tmp_path_factory.mktemp("authority")
    server = Exchange(
        path=None,
        faults=Faults(),
        accept_mail=lambda _sender, _recipients, _mime: None,
        tls=server_context(load_authority(folder), folder),
        allow_plain_login=True,
    )
    server.start({})
    yield server
    server.stop()


class Site:
    """A mailbox of its own on the server, whom it mailed, and adapters that reach it."""

    password = PASSWORD
    numbers = itertools.count(1)

    def __init__(self, exchange):
        self.exchange = exchange
        self.address = f"ada{next(self.numbers)}@example.com"
        self.sent = []
        exchange.site.accept_mail = lambda _sender, recipients, mime: self.sent.append(
            (recipients, mime)
        )
        exchange.quirks = Quirks()
        exchange.add_account(self.address, PASSWORD)
        exchange.requests.clear()
        self.servers = []
        url = exchange.plain_url
        self.settings = ExchangeSettings(
            address=self.address,
            access=Access.OWN,
            authentication=Authentication.BASIC,
            credentials=Credentials(self.address, PASSWORD),
            url=url,
            found=Endpoint(url, datetime.now(UTC), "Exchange2016", self.address, "basic"),
            timeout_seconds=10,
            allow_plain=True,
            allow_plain_login=True,
        )

    def stop(self):
        for server in self.servers:
            server.close()
        self.exchange.faults.clear()

    def differ(self, **quirks):
        self.exchange.quirks = dataclasses.replace(self.exchange.quirks, **quirks)

    def asked(self):
        """Names of the operations since the last time."""
        operations = [request.operation for request in self.exchange.requests]
        self.exchange.requests.clear()
        return operations

    # -- what the contract needs

    def server(self):
        self.servers.append(ExchangeItems(self.settings))
        return self.servers[-1]

    def mails(self):
        return sum(len(recipients) for recipients, _mime in self.sent)

    def copy(self, id):
        item = self.exchange.item(id)
        folder = self.exchange.store.folder(item.folder)
        return self.exchange.store.copy_item(item, folder).remote_id

    def move(self, id, folder):
        item = self.exchange.item(id)
        target = next(
            each
            for each in self.exchange.store.folders(item.account)
            if each.remote_id == folder or each.distinguished == PLACES.get(folder)
        )
        return self.exchange.store.move_item(item, target, keep_id=False).remote_id

    def add_folder(self, name):
        calendar = self.exchange.folder(self.address, "calendar")
        store = self.exchange.store
        number = store.add_folder(calendar.account, calendar.id, name, "IPF.Appointment")
        return store.folder(number).remote_id

    def add_other(self):
        item = NewItem(
            tag="DistributionList",
            item_class=CLASS_OF_TAG["DistributionList"][0],
            element=etree.Element(f"{T}DistributionList"),
        )
        self.exchange.store.add_item(self.exchange.folder(self.address, "contacts"), item)

    def deleted(self):
        return len(self.exchange.items(self.address, "deleteditems"))

    def forget_cursors(self):
        self.exchange.invalidate_sync_states(self.address)


@pytest.fixture
def account(exchange):
    site = Site(exchange)
    yield site
    site.stop()


class TestExchangeItems(ItemsContract):
    @pytest.fixture
    def account(self, account):
        return account
