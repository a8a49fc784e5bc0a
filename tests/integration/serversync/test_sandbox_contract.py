"""The incoming contract over the sandbox's IMAP and POP3 servers: what a demonstration or a test shows
with them, a real server would show, too."""

import itertools

import pytest
from imapclient.imap_utf7 import encode as encoded

from mailboxes.protocols.base import (
    INBOX,
    AdapterOptions,
    ConnectionSettings,
    Credentials,
    Security,
)
from mailboxes.protocols.imap import ImapServer
from mailboxes.protocols.pop3 import Pop3Server
from serversync.sandbox.servers import Sandbox, running_sandbox
from tests.contracts import IncomingContract, MaildropContract

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite")]

numbers = itertools.count(1)


class SandboxAccount:
    password = "quite a secret"

    def __init__(self, sandbox: Sandbox, adapter, port: str) -> None:
        self.address = f"ada{next(numbers)}@sandbox.example"
        self.store = sandbox.store
        self.store.add_account(self.address, self.password)
        self.adapter = adapter
        self.settings = ConnectionSettings(
            host=sandbox.host,
            port=sandbox.ports[port],
            security=Security.IMPLICIT_TLS,
            credentials=Credentials(self.address, self.password),
            timeout_seconds=10,
            ca_pem=sandbox.ca_pem,
        )
        self.servers = []

    def deliver(self, mime):
        self.store.deliver(self.address, mime)

    def stored(self):
        return self.store.messages(self.address)

    def server(self, *, max_fetch_bytes=10_000_000):
        self.servers.append(
            self.adapter(self.settings, AdapterOptions(max_fetch_bytes=max_fetch_bytes))
        )
        return self.servers[-1]

    def add_folder(self, *path):
        folder = "/".join((INBOX, *path))
        self.client().create_folder(encoded(folder))
        return folder

    def rename_folder(self, folder, name):
        above = folder.rpartition("/")[0]
        self.client().rename_folder(encoded(folder), encoded(f"{above}/{name}"))

    def remove_folder(self, folder):
        self.client().delete_folder(encoded(folder))

    def client(self):
        """As another client would do what adapters never do."""
        return self.server().open()._talk.client

    def reset_keys(self):
        self.store.renumber(self.address)


@pytest.fixture(scope="module")
def sandbox():
    with running_sandbox() as running:
        yield running


@pytest.fixture
def make_account(sandbox):
    made = []

    def make(adapter, port):
        made.append(SandboxAccount(sandbox, adapter, port))
        return made[-1]

    yield make
    for server in itertools.chain.from_iterable(account.servers for account in made):
        server.close()


class TestSandboxImap(IncomingContract):
    @pytest.fixture
    def account(self, make_account):
        return make_account(ImapServer, "imaps")


class TestSandboxPop3(MaildropContract):
    @pytest.fixture
    def account(self, make_account):
        return make_account(Pop3Server, "pop3s")
