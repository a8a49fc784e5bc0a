"""The contracts over the fakes, so that what is tested with a fake holds for a server."""

import pytest

from mailboxes.protocols.base import INBOX, AdapterOptions
from tests.contracts import IncomingContract, OutgoingContract
from tests.fakes import FakeIncomingServer, FakeMailbox, FakeOutgoingServer


class FakeIncomingAccount:
    password = "unused-password"

    def __init__(self, *, complete: bool) -> None:
        self.mailbox = FakeMailbox()
        self._complete = complete

    def deliver(self, mime):
        self.mailbox.deliver(mime)

    def stored(self):
        return [each.mime for each in self.mailbox.messages(INBOX)]

    def server(self, *, max_fetch_bytes=10_000_000):
        options = AdapterOptions(max_fetch_bytes=max_fetch_bytes)
        return FakeIncomingServer(self.mailbox, complete=self._complete, options=options)


class TestFakeLikeImap(IncomingContract):
    @pytest.fixture
    def account(self):
        return FakeIncomingAccount(complete=False)


class TestFakeLikePop3(IncomingContract):
    complete = True

    @pytest.fixture
    def account(self):
        return FakeIncomingAccount(complete=True)


class FakeOutgoingAccount:
    accepted = ("ben@example.com", "cleo@example.com")
    refused = "nobody@example.com"
    deferred = "later@example.com"
    limit = 400_000
    password = "unused-password"

    def __init__(self) -> None:
        self._server = FakeOutgoingServer(size_limit=self.limit)
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
