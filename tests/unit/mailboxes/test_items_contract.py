"""The contract of appointments, contacts and tasks over the fake, so that what is tested with it holds for a
server; and what the fake does on demand."""

from datetime import timedelta

import pytest

from mailboxes.protocols.errors import ActionRefused, ConnectionLost
from mailboxes.protocols.items import (
    CALENDAR,
    CONTACTS,
    TASKS,
    Change,
    ItemKind,
    Outcome,
    Person,
    Response,
    Tell,
)
from tests.contracts.items import (
    BEN,
    INVITING,
    MEETING,
    ItemsContract,
    change,
    cursor_of,
    draft,
    everything,
    made,
    whole,
)
from tests.fakeitems import FakeItemsAccount, FakeItemsServer, Fate


class FakeAccount:
    password = "unused-password"
    address = "ada@example.com"

    def __init__(self):
        self.person = FakeItemsAccount(self.address)
        self.copy = self.person.copy
        self.move = self.person.move
        self.add_folder = self.person.add_folder
        self.forget_cursors = self.person.forget_cursors

    def server(self):
        return FakeItemsServer(self.person)

    def mails(self):
        return sum(len(mail.recipients) for mail in self.person.mails)

    def add_other(self):
        self.person.add(None, CONTACTS)

    def deleted(self):
        return len(self.person.deleted)


class TestFakeItems(ItemsContract):
    @pytest.fixture
    def account(self):
        return FakeAccount()


def test_a_lost_answer_leaves_it_done():
    server = FakeItemsServer()
    server.fate("create", None, Fate.LOST_AFTER, Fate.LOST_BEFORE, Fate.REFUSED)
    drafts = [draft(ItemKind.TASK, link=f"link-{number}") for number in range(4)]
    written = server.create(drafts)
    assert [each.outcome for each in written] == [
        Outcome.DONE,
        Outcome.UNKNOWN,
        Outcome.UNKNOWN,
        Outcome.REFUSED,
    ]
    links = {item.link for item in server.account.items.values()}
    assert links == {"link-0", "link-1"}
    assert isinstance(written[3].error, ActionRefused)


def test_a_planned_failure_is_raised_once():
    server = FakeItemsServer()
    server.fail("changes", ConnectionLost("gone"))
    with pytest.raises(ConnectionLost):
        server.changes(CALENDAR, "", 10)
    assert server.changes(CALENDAR, "", 10).items == ()


def test_a_silent_restart_tells_everything_again_without_a_word():
    account = FakeItemsAccount()
    account.add(ItemKind.APPOINTMENT, **MEETING)
    server = FakeItemsServer(account)
    cursor = cursor_of(server, CALENDAR)
    account.forget_cursors(silently=True)
    page = server.changes(CALENDAR, cursor, 10)
    assert (len(page.items), page.reset) == (1, False)


def test_colleagues_get_what_is_sent():
    ada = FakeItemsAccount("ada@example.com")
    ben = FakeItemsAccount("ben@example.org", ada.site)
    server = FakeItemsServer(ada)
    (written,) = server.create([draft(ItemKind.APPOINTMENT, tell=Tell.ALL, **INVITING)])
    (received,) = ben.items.values()
    assert received.uid == written.uid
    item = whole(FakeItemsServer(ben), received.id)
    assert (item.is_organizer, item.fields["organizer"]) == (False, Person("ada@example.com"))
    ada.answer(written.id, BEN.address, Response.ACCEPTED)
    answers = {each.address: each.response for each in ada.items[written.id].fields["answers"]}
    assert answers[BEN.address] is Response.ACCEPTED


def test_an_attendee_mails_nobody():
    ben = FakeItemsAccount("ben@example.org")
    identifier = ben.receive("ada@example.com", uid="u-1", **MEETING)
    server = FakeItemsServer(ben)
    version = ben.items[identifier].version
    fields = {"location": "Room 9"}
    server.update([Change(identifier, version, ItemKind.APPOINTMENT, fields, Tell.ALL)])
    assert ben.items[identifier].fields["location"] == "Room 9"
    assert ben.mails == []


def test_a_slow_clock_shows_in_what_was_modified():
    account = FakeItemsAccount()
    server = FakeItemsServer(account)
    fast = whole(server, made(server, ItemKind.TASK).id).modified_at
    account.clock_behind = timedelta(hours=1)
    slow = whole(server, made(server, ItemKind.TASK).id).modified_at
    assert slow < fast


def test_own_writes_come_back_with_the_version_that_was_told():
    server = FakeItemsServer()
    written = made(server, ItemKind.TASK)
    (after,) = server.update([change(written, ItemKind.TASK, subject="New")])
    (item,) = everything(server, TASKS)
    assert item.version == after.version
