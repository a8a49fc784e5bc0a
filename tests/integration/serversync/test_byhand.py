"""What a person does by hand: track what was turned down, untrack what was tracked."""

import pytest
from django.core.exceptions import PermissionDenied

from activities.models import Account as Company
from activities.models import ActivityPointer, Email
from mailboxes.choices import FilteringMethod, Reach, ServerType
from mailboxes.models import SystemUser
from mailboxes.protocols.base import ActionKind
from mailboxes.protocols.errors import MessageUnreadable
from serversync import byhand, quarantine
from serversync.models import ServerAction, SyncItem
from serversync.retention import blank_items
from tests.factories.mailboxes import group_of
from tests.integration.serversync.cycles import (
    START,
    Account,
    message,
    organization,
    profile,
    queue_mailbox,
    user_mailbox,
)
from tracking.byhand import is_waiting, sentences_of

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

SPAM = message(message_id="1@customer.example")
MEETING = (
    b"From: cleo@customer.example\r\nTo: ada@example.com\r\nMessage-ID: <1@customer.example>\r\n"
    b"Date: Mon, 02 Feb 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\n"
    b'Content-Type: text/calendar; method=REQUEST; charset="utf-8"\r\n\r\n'
    b"BEGIN:VCALENDAR\r\nMETHOD:REQUEST\r\nEND:VCALENDAR\r\n"
)


def account_of(kind: str = "imap", filtering: FilteringMethod = FilteringMethod.NONE) -> Account:
    """Ada's mailbox, whose filter takes nothing; she may track by hand."""
    server = {
        "imap": ServerType.IMAP_SMTP,
        "pop3": ServerType.POP3_SMTP,
        "exchange": ServerType.EXCHANGE_SERVER,
    }[kind]
    used = profile(name=kind, server_type=server)
    account = Account(
        user_mailbox("ada", filtering, email_server_profile=used),
        complete=kind == "pop3",
        exchange=kind == "exchange",
    )
    group_of(ada_of(account), "track_syncitem", "view_mailbox")
    return account


def ada_of(account: Account) -> SystemUser:
    return SystemUser.objects.get(pk=account.mailbox.regarding_user_id)


def only(account: Account) -> SyncItem:
    return SyncItem.objects.get(mailbox=account.mailbox, parent=None)


def track(account: Account, **more: object) -> int:
    rows = SyncItem.objects.filter(mailbox=account.mailbox)
    return len(byhand.track(rows, actor=ada_of(account), now=account.now, **more))


def told(item: SyncItem) -> str:
    return " ".join(str(sentence.text) for sentence in sentences_of(item.decision))


@pytest.mark.rule("R3.18", "R3.50")
@pytest.mark.parametrize("kind", ["imap", "pop3", "exchange"])
def test_what_a_filter_turned_down_is_tracked_by_hand(kind: str) -> None:
    account = account_of(kind)
    account.box.deliver(SPAM)
    account.receive()
    assert (only(account).state, only(account).reason) == ("rejected", "NoCorrelationMatch")

    assert track(account) == 1
    item = only(account)
    assert (item.state, item.sub_reason, is_waiting(item.trace)) == ("retrying", "manual", True)
    assert "Ada" in told(item) and "NoCorrelationMatch" in told(item)

    account.later(minutes=1)
    account.receive()
    item = only(account)
    assert (item.state, item.sub_reason) == ("tracked", "manual")
    assert item.email is not None
    assert (item.email.accepting_entity_type, item.email.accepting_entity_id) == (None, "")
    assert "asked on" in told(item) and "Tracked by hand" in told(item)
    assert item.email.decision["way"] == "manual"
    for _ in range(2):
        account.later(minutes=16)
        account.receive()
    assert Email.objects.count() == SyncItem.objects.count() == 1
    assert track(account) == 0


@pytest.mark.rule("R3.18")
def test_neither_a_date_nor_calendar_traffic_stands_in_the_way() -> None:
    account = account_of()
    account.box.deliver(MEETING)
    account.box.deliver(message(message_id="old@customer.example", subject="Old"))
    account.receive()
    meeting = SyncItem.objects.get(reason="calendar")
    SyncItem.objects.exclude(pk=meeting.pk).update(
        state="skipped", reason="before_start", received_at=START.replace(year=2025)
    )
    assert track(account) == 2
    account.receive()
    assert set(SyncItem.objects.values_list("state", flat=True)) == {"tracked"}


@pytest.mark.rule("R3.18")
@pytest.mark.parametrize("kind", ["imap", "pop3", "exchange"])
def test_what_the_server_has_no_more_ends_as_gone(kind: str) -> None:
    account = account_of(kind)
    key = account.box.deliver(SPAM)
    account.receive()
    account.box.remove(key)
    track(account)
    account.receive()
    item = only(account)
    assert (item.state, item.reason, item.email) == ("gone", "MessageGone", None)
    assert "asked on" in told(item)
    account.later(minutes=16)
    account.receive()
    assert only(account).state == "gone"
    assert not Email.objects.exists()


@pytest.mark.rule("R3.18")
@pytest.mark.parametrize("kind", ["imap", "exchange"])
def test_under_its_new_key_it_is_found_again(kind: str) -> None:
    account = account_of(kind)
    account.box.deliver(SPAM)
    account.receive()
    account.box.reset_keys()
    track(account)
    for _ in range(3):
        account.receive()
        account.later(minutes=1)
    item = only(account)
    assert (item.state, item.sub_reason) == ("tracked", "manual")
    assert Email.objects.count() == 1


@pytest.mark.rule("R3.18", "R3.72")
def test_what_fails_is_tried_again_and_stays_by_hand() -> None:
    account = account_of()
    key = account.box.deliver(SPAM)
    account.receive()
    track(account)
    account.prepare = lambda server: server.fail_message(key, MessageUnreadable("no"))
    account.receive()
    item = only(account)
    assert (item.state, item.attempts, item.reason) == ("retrying", 1, "MessageUnreadable")
    assert not is_waiting(item.trace)
    account.prepare = lambda server: None
    account.later(minutes=16)
    account.receive()
    assert (only(account).state, only(account).sub_reason) == ("tracked", "manual")
    assert "asked on" in told(only(account))


@pytest.mark.rule("R3.18")
def test_what_is_stored_already_becomes_a_duplicate() -> None:
    account = account_of()
    both = message(message_id="1@customer.example", to="ada@example.com, ben@example.com")
    account.box.deliver(both)
    account.receive()
    other = Account(user_mailbox("ben"))
    other.box.deliver(both)
    other.receive()
    email = Email.objects.get()
    company = Company.objects.create(name="North", owning_user=ada_of(account))
    track(account, record=company)
    account.receive()
    item = only(account)
    assert (item.state, item.email) == ("duplicate", email)
    assert Email.objects.count() == 1
    # It is Ben's email: Ada, who may not change it, files it nowhere.
    assert ActivityPointer.objects.get(pk=email.pk).regarding_id == ""

    group_of(ada_of(account), "change_email", reach=Reach.ALL)
    SyncItem.objects.filter(pk=item.pk).update(state="gone", email=None)
    track(account, record=company)
    account.receive()
    assert ActivityPointer.objects.get(pk=email.pk).regarding_object == company


@pytest.mark.rule("R3.18", "R7.10")
def test_the_record_that_is_given_is_its_regarding() -> None:
    account = account_of()
    company = Company.objects.create(name="North", owning_user=ada_of(account))
    account.box.deliver(SPAM)
    account.receive()
    track(account, record=company)
    account.receive()
    item = only(account)
    assert ActivityPointer.objects.get(pk=item.email_id).regarding_object == company
    assert "was chosen, too" in told(item)
    # What the product itself would have said differs, so it counts as set by hand.
    assert item.email.decision.get("regarding") in (None, {})


@pytest.mark.rule("R3.18")
def test_a_record_that_is_gone_meanwhile_is_none() -> None:
    account = account_of()
    company = Company.objects.create(name="North", owning_user=ada_of(account))
    account.box.deliver(SPAM)
    account.receive()
    track(account, record=company)
    company.delete()
    account.receive()
    pointer = ActivityPointer.objects.get(pk=only(account).email_id)
    assert (pointer.regarding_type, pointer.regarding_id) == (None, "")


@pytest.mark.rule("R3.18", "R8.30")
def test_only_readers_of_the_mailbox_with_the_permission_track() -> None:
    account = account_of()
    account.box.deliver(SPAM)
    account.receive()
    rows = SyncItem.objects.all()
    root = SystemUser.objects.create_superuser("root")
    ben = SystemUser.objects.create_user("ben")
    group_of(ben, "track_syncitem", reach=Reach.ALL)
    for actor in (root, ben):
        assert byhand.track(rows, actor=actor, now=account.now) == []
    ada = ada_of(account)
    ada.groups.clear()
    assert byhand.track(rows, actor=SystemUser.objects.get(pk=ada.pk), now=account.now) == []
    assert only(account).state == "rejected"


@pytest.mark.rule("R3.18", "R3.73")
def test_what_was_blanked_is_fetched_again_and_blanked_again() -> None:
    account = account_of()
    account.box.deliver(SPAM)
    account.receive()
    account.later(days=10)
    blank_items(account.now, organization())
    assert only(account).subject == ""
    track(account)
    account.receive()
    assert (only(account).state, only(account).subject) == ("tracked", "Hello")
    assert not only(account).blanked


@pytest.mark.rule("R3.18")
def test_kept_bytes_go_before_the_servers() -> None:
    account = account_of()
    quarantine.bring(account.mailbox, [("a.eml", SPAM)], now=account.now)
    item = only(account)
    SyncItem.objects.update(state="skipped", reason="Dismissed")
    assert track(account) == 1
    account.receive()
    assert only(account).pk == item.pk and only(account).state == "tracked"
    assert not account.servers[-1].calls["fetch"]


@pytest.mark.rule("R3.18", "R3.66")
def test_nothing_is_deleted_on_the_server_before_it_is_tracked() -> None:
    used = profile(name="imap")
    mailbox = queue_mailbox(
        "support",
        FilteringMethod.NONE,
        email_server_profile=used,
        process_and_delete_emails=True,
        delete_rejected_emails=True,
    )
    account = Account(mailbox)
    ben = SystemUser.objects.create_user("ben")
    mailbox.regarding_queue.members.add(ben)
    group_of(ben, "track_syncitem", reach=Reach.ALL)
    account.box.deliver(message(message_id="1@customer.example", to="support@example.com"))
    account.receive()
    item = only(account)
    ServerAction.objects.update(state="pending")
    byhand.track(SyncItem.objects.all(), actor=ben, now=account.now)
    assert not ServerAction.objects.filter(item=item, state="pending").exists()


# -- untrack


@pytest.mark.rule("R7.13")
@pytest.mark.parametrize("kind", ["imap", "pop3", "exchange"])
def test_what_was_untracked_is_not_tracked_again(kind: str) -> None:
    account = account_of(kind, FilteringMethod.ALL)
    account.box.deliver(SPAM)
    account.receive()
    email = only(account).email
    byhand.unlink(SyncItem.objects.all(), actor=ada_of(account), now=account.now)
    for _ in range(3):
        account.later(minutes=16)
        account.receive()
    item = only(account)
    assert (item.state, item.reason, item.sub_reason) == ("rejected", "Untracked", "manual")
    assert list(Email.objects.all()) == [email]
    assert len(account.box.messages()) == 1


@pytest.mark.rule("R7.13", "R7.21")
def test_the_category_comes_off_and_is_nobodys_wish_to_track() -> None:
    organization(name="Works", track_categorized_items=True)
    account = account_of("exchange", FilteringMethod.ALL)
    account.receive()
    account.box.deliver(SPAM)
    account.later(minutes=16)
    account.receive()
    account.later(minutes=16)
    account.receive()
    (stored,) = account.box.messages()
    assert "Tracked to Works" in stored.keywords and only(account).marked

    group_of(ada_of(account), "delete_email", reach=Reach.ALL)
    (email,) = Email.objects.all()
    assert byhand.delete(email, actor=ada_of(account), now=account.now) == 1
    for _ in range(3):
        account.later(minutes=16)
        account.receive()
    assert "Tracked to Works" not in account.box.messages()[0].keywords
    item = only(account)
    assert (item.state, item.reason, item.marked) == ("rejected", "Untracked", False)
    assert not Email.objects.exists()

    # By the category, or by hand, it is tracked again.
    account.box.mark(item.source_key, "Tracked to Works")
    account.later(minutes=16)
    account.receive()
    assert only(account).state == "tracked" and Email.objects.count() == 1


@pytest.mark.rule("R7.13")
def test_what_waits_to_be_deleted_on_the_server_stays_there() -> None:
    account = account_of("imap", FilteringMethod.ALL)
    account.box.deliver(SPAM)
    account.receive()
    item = only(account)
    for kind in (ActionKind.DELETE, ActionKind.MARK):
        ServerAction.objects.create(
            mailbox=account.mailbox,
            item=item,
            folder=item.folder,
            source_key=item.source_key,
            kind=kind,
        )
    byhand.unlink(SyncItem.objects.all(), actor=ada_of(account), now=account.now)
    account.later(minutes=1)
    account.receive()
    assert len(account.box.messages()) == 1 and not account.box.actions


@pytest.mark.rule("R7.13")
def test_untracking_needs_the_right_to_it() -> None:
    account = account_of("imap", FilteringMethod.ALL)
    account.box.deliver(SPAM)
    account.receive()
    root = SystemUser.objects.create_superuser("root")
    assert byhand.unlink(SyncItem.objects.all(), actor=root, now=account.now) == 0
    with pytest.raises(PermissionDenied):
        byhand.delete(Email.objects.get(), actor=ada_of(account), now=account.now)
    assert only(account).state == "tracked"
