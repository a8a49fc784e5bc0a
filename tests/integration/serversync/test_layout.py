"""A mailbox's folders, as they are read from the server and kept."""

import pytest

from mailboxes.models import Organization
from mailboxes.protocols.base import INBOX, RemoteFolder
from mailboxes.protocols.errors import ConnectionLost
from serversync.layout import refresh_folders, store_folders
from serversync.models import MailboxLayout
from tests.fakes import FakeIncomingServer, FakeMailbox
from tests.integration.serversync.cycles import NOW, organization, user_mailbox
from tracking.choices import FolderState
from tracking.models import MailboxTrackingFolder
from tracking.services import create_rule, tree_of

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

NORTH = RemoteFolder("f-north", ("Customers", "North"), 3)


@pytest.fixture
def mailbox():
    organization(allow_folder_tracking_for_imap=True)
    return user_mailbox()


@pytest.fixture
def box() -> FakeMailbox:
    made = FakeMailbox()
    made.deliver(b"Subject: one\r\n\r\n", folder=f"{INBOX}/Customers")
    return made


def rule_of(mailbox, folder="f-north"):
    return create_rule(mailbox=mailbox, folder=folder, now=NOW)


def state(rule) -> str:
    return MailboxTrackingFolder.objects.get(pk=rule.pk).state


def test_folders_are_read_over_one_connection_and_kept(mailbox, box):
    server = FakeIncomingServer(box)
    folders = refresh_folders(
        mailbox, Organization.objects.current(), NOW, connect=lambda *_: server
    )

    assert [one.path for one in folders] == [("Customers",)]
    assert tree_of(mailbox) == folders
    assert mailbox.layout.hierarchy_read_at == NOW
    assert (server.calls["folders"], server.calls["close"]) == (1, 1)


def test_what_was_kept_stays_if_the_server_fails(mailbox, box):
    store_folders(mailbox, [NORTH], NOW)
    server = FakeIncomingServer(box)
    server.fail("folders", ConnectionLost("gone"))
    with pytest.raises(ConnectionLost):
        refresh_folders(mailbox, Organization.objects.current(), NOW, connect=lambda *_: server)

    assert tree_of(mailbox) == [NORTH]
    assert server.calls["close"] == 1


@pytest.mark.rule("R7.11")
def test_a_renamed_folder_keeps_its_rule_which_takes_the_name(mailbox):
    rule = rule_of(mailbox)
    store_folders(mailbox, [RemoteFolder("f-north", ("Customers", "Northern"), 3)], NOW)

    rule.refresh_from_db()
    assert (rule.exchange_folder_name, rule.state) == ("Northern", FolderState.ACTIVE)


@pytest.mark.rule("R7.5", "R7.11")
def test_a_folder_outside_is_told_from_one_that_is_gone(mailbox, box):
    """The server is asked about the folders that it doesn't list below the inbox."""
    box.add_folder("Archive")
    moved, deleted = rule_of(mailbox, "Archive"), rule_of(mailbox, "f-gone")
    server = FakeIncomingServer(box)
    refresh_folders(mailbox, Organization.objects.current(), NOW, connect=lambda *_: server)

    assert (state(moved), state(deleted)) == (FolderState.OUTSIDE, FolderState.MISSING)
    asked = server.calls["list_new"]
    refresh_folders(mailbox, Organization.objects.current(), NOW, connect=lambda *_: server)
    assert server.calls["list_new"] == asked + 1  # what is gone is not asked about for ever


@pytest.mark.rule("R7.11")
def test_a_folder_that_is_back_below_the_inbox_is_tracked_again(mailbox):
    rule = rule_of(mailbox)
    store_folders(mailbox, [], NOW, exists=lambda folder: True)
    assert state(rule) == FolderState.OUTSIDE
    store_folders(mailbox, [NORTH], NOW)
    assert state(rule) == FolderState.ACTIVE


def test_of_another_account_nothing_is_kept(mailbox):
    store_folders(mailbox, [NORTH], NOW)
    MailboxLayout.objects.filter(mailbox=mailbox).update(category_name="Tracked")
    mailbox.account_generation += 1
    store_folders(mailbox, [], NOW)

    kept = MailboxLayout.objects.get(mailbox=mailbox)
    assert (kept.generation, kept.category_name, kept.folder_hierarchy) == (2, "", [])
