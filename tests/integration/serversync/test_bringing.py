"""Messages that a person brings as files: judged like any other, counted once, nothing done on a server."""

from collections import Counter

import pytest
from django.db.models import Count

from activities.models import Email
from mailboxes.choices import FilteringMethod, ServerType
from mailboxes.models import Mailbox, TraceLog
from mailboxes.protocols.errors import MessageUnreadable
from serversync import planning, quarantine
from serversync.choices import IMPORTED, ItemState
from serversync.models import ServerAction, SyncItem, Workload
from serversync.quarantine import Fate, bring
from serversync.sandbox.balance import Balance
from tests.integration.serversync.cycles import (
    Account,
    message,
    organization,
    profile,
    queue_mailbox,
    user_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

KINDS = {"imap": {}, "pop3": {"complete": True}, "exchange": {"exchange": True}}
RAW = message(message_id="brought@customer.example")


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def ada(request: pytest.FixtureRequest) -> Account:
    profile()
    return Account(user_mailbox(), **request.param)


@pytest.fixture
def imap() -> Account:
    profile()
    return Account(user_mailbox())


def take(account: Account, *files: bytes, **more):
    named = [(f"{number}.eml", raw) for number, raw in enumerate(files)]
    return bring(account.mailbox, named, now=account.now, **more)


def imports() -> dict[str, str]:
    rows = SyncItem.objects.filter(folder=IMPORTED)
    return dict(rows.values_list("message_id", "state"))


def poisoned(_reading, incoming, _staged):
    """Deciding fails, whatever comes."""
    return [1 / 0 for _one in incoming]


def fail(account: Account, monkeypatch: pytest.MonkeyPatch, attempts: int = 1) -> SyncItem:
    """Deliver RAW, and let it fail until it is in quarantine."""
    organization(promotion_attempts=attempts)
    account.box.deliver(RAW)
    with monkeypatch.context() as broken:
        broken.setattr(planning, "plan_page", poisoned)
        account.receive()
    return SyncItem.objects.get()


@pytest.mark.rule("R3.72")
def test_a_brought_file_is_judged_as_if_it_had_lain_in_the_inbox(ada: Account) -> None:
    ada.receive()
    [brought] = take(ada, RAW)

    assert brought.fate == Fate.NEW
    ada.receive()

    item = SyncItem.objects.get(folder=IMPORTED)
    assert (item.state, item.reason, item.raw) == (ItemState.TRACKED, "AcceptAll", None)
    assert item.email.receiving_mailbox == ada.mailbox
    assert item.source_key.startswith("upload:")
    assert not ServerAction.objects.exists()
    assert sum(server.calls["fetch"] for server in ada.servers) == 0


@pytest.mark.rule("R3.20")
def test_what_is_stored_already_is_a_duplicate_whichever_came_first(ada: Account) -> None:
    other = message(message_id="other@customer.example")
    ada.box.deliver(RAW)
    ada.receive()
    take(ada, RAW, other)
    ada.receive()
    ada.box.deliver(other)
    ada.receive()

    assert Email.objects.count() == 2
    assert imports() == {
        "brought@customer.example": ItemState.DUPLICATE,
        "other@customer.example": ItemState.TRACKED,
    }
    assert len(ada.items()) == 4


def test_the_filter_is_asked_and_another_answer_comes_of_bringing_it_again(imap: Account) -> None:
    settings = imap.mailbox.regarding_user.settings
    settings.incoming_email_filtering_method = FilteringMethod.RESPONSES
    settings.save()
    take(imap, RAW)
    imap.receive()
    assert imports() == {"brought@customer.example": ItemState.REJECTED}

    settings.incoming_email_filtering_method = FilteringMethod.ALL
    settings.save()
    [again] = take(imap, RAW)
    imap.receive()

    assert again.fate == Fate.AGAIN
    assert imports() == {"brought@customer.example": ItemState.TRACKED}
    assert take(imap, RAW)[0].fate == Fate.STORED
    assert imap.receive().summary() == "nothing new"


@pytest.mark.rule("R3.72")
def test_a_file_settles_the_item_that_failed(ada: Account, monkeypatch) -> None:
    item = fail(ada, monkeypatch)
    assert item.state == ItemState.QUARANTINED
    assert TraceLog.objects.filter(code="Quarantined", closed_on=None).exists()

    [brought] = take(ada, RAW)
    ada.receive()

    assert (brought.fate, brought.item) == (Fate.SETTLES, item)
    assert SyncItem.objects.get().state == ItemState.TRACKED
    assert Email.objects.count() == 1
    assert not TraceLog.objects.filter(code="Quarantined", closed_on=None).exists()


def test_a_file_settles_the_item_that_was_dismissed(ada: Account, monkeypatch) -> None:
    item = fail(ada, monkeypatch)
    assert quarantine.dismiss(SyncItem.objects.all(), now=ada.now) == 1

    [brought] = take(ada, RAW)
    assert (brought.fate, brought.item) == (Fate.SETTLES, item)
    waiting = SyncItem.objects.get()
    assert (waiting.state, waiting.reason) == (ItemState.RETRYING, item.reason)
    ada.receive()

    assert SyncItem.objects.get().state == ItemState.TRACKED


def test_a_message_that_the_server_will_not_hand_out_is_brought_and_left_there() -> None:
    """The queue deletes what it has stored, but nobody knows whether the file held that message."""
    profile()
    organization(promotion_attempts=1)
    desk = Account(queue_mailbox(process_and_delete_emails=True))
    bad = desk.box.deliver(RAW)
    desk.prepare = lambda server: server.fail_message(bad, MessageUnreadable("NO"))
    desk.receive()

    [brought] = take(desk, RAW, item=SyncItem.objects.get())
    desk.receive()

    assert brought.fate == Fate.SETTLES
    assert SyncItem.objects.get().state == ItemState.TRACKED
    assert not ServerAction.objects.exists()
    assert len(desk.box.messages()) == 1


def test_neither_resets_nor_moves_nor_another_account_touch_what_was_brought(ada: Account) -> None:
    ada.box.deliver(message(message_id="first@customer.example"))
    ada.receive()
    take(ada, RAW)
    ada.receive()
    ada.box.reset_keys()
    ada.receive()
    ada.box.deliver(RAW)
    ada.receive()
    ada.box.reset_keys()
    ada.receive()
    second = message(message_id="second@customer.example")
    take(ada, second)
    Mailbox.objects.filter(pk=ada.mailbox.pk).update(account_generation=2)
    ada.mailbox.refresh_from_db()
    ada.later(minutes=1)
    ada.receive()

    assert imports() == {
        "brought@customer.example": ItemState.TRACKED,
        "second@customer.example": ItemState.TRACKED,
    }
    assert not SyncItem.objects.filter(folder=IMPORTED, left_at__isnull=False).exists()
    assert Email.objects.count() == 3
    keys = SyncItem.objects.values("message_id").annotate(n=Count("pk"))
    assert {row["message_id"]: row["n"] for row in keys} == {
        "first@customer.example": 1,
        "brought@customer.example": 2,
        "second@customer.example": 1,
    }
    assert take(ada, RAW)[0].fate == Fate.STORED


def test_a_failing_file_is_kept_and_goes_to_quarantine(imap: Account, monkeypatch) -> None:
    organization(promotion_attempts=2)
    take(imap, RAW)
    with monkeypatch.context() as broken:
        broken.setattr(planning, "plan_page", poisoned)
        imap.receive()
        assert imports() == {"brought@customer.example": ItemState.RETRYING}
        imap.later(minutes=16)
        imap.receive()
    item = SyncItem.objects.get()
    assert (item.state, bytes(item.raw.content)) == (ItemState.QUARANTINED, RAW)
    assert not ServerAction.objects.exists()

    assert quarantine.retry(SyncItem.objects.all(), now=imap.now) == 1
    imap.receive()

    assert imports() == {"brought@customer.example": ItemState.TRACKED}


def test_many_files_are_judged_at_once_and_in_order(imap: Account) -> None:
    """More than a page: an answer finds what it answers, though it was brought first."""
    organization(messages_per_page=2)
    received = "by mx.example.com; Mon, 02 Feb 2026 1{}:00:00 +0000"
    files = [
        message(
            message_id=f"{number}@customer.example",
            Received=received.format(number),
            **({"In_Reply_To": f"<{number - 1}@customer.example>"} if number else {}),
        )
        for number in reversed(range(5))
    ]
    take(imap, *files)
    while imap.receive().more:
        pass

    assert set(imports().values()) == {ItemState.TRACKED}
    parents = Email.objects.order_by("message_id").values_list("parent_activity__message_id")
    assert [parent for (parent,) in parents] == [
        None, *(f"{number}@customer.example" for number in range(4)),
    ]  # fmt: skip


def test_bringing_wakes_the_mailbox(imap: Account) -> None:
    take(imap, RAW)

    workload = Workload.objects.get(mailbox=imap.mailbox, operation=0)
    assert workload.run_requested_at == imap.now


@pytest.mark.rule("R3.10")
def test_what_is_no_message_or_too_large_is_refused(imap: Account, monkeypatch) -> None:
    assert quarantine.MAX_SIZE == 150 * 1024 * 1024
    monkeypatch.setattr(quarantine, "MAX_SIZE", 1000)
    files = [b"", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1..", b"PK\x03\x04 a zip", RAW + b"x" * 1000]

    brought = take(imap, *files)

    assert [one.fate for one in brought] == [Fate.REFUSED] * 4
    assert [
        next(word for word in ("empty", "Outlook", "no message", "150 MB") if word in str(one.why))
        for one in brought
    ] == ["empty", "Outlook", "no message", "150 MB"]
    assert not SyncItem.objects.exists()


def test_no_mark_is_set_for_what_another_mailbox_turned_down_as_a_file() -> None:
    """R7.24 marks the copies in other mailboxes: an imported one is on no server."""
    profile(server_type=ServerType.EXCHANGE_SERVER)
    organization(track_categorized_items=True)
    raw = message(message_id="both@customer.example", to="ada@example.com, ben@example.com")
    ada = Account(user_mailbox(filtering=FilteringMethod.RESPONSES), exchange=True)
    ben = Account(user_mailbox("ben", FilteringMethod.RESPONSES), exchange=True)
    for account in (ada, ben):
        account.receive()
    take(ben, raw)
    ben.receive()
    assert imports() == {"both@customer.example": ItemState.REJECTED}

    settings = ada.mailbox.regarding_user.settings
    settings.incoming_email_filtering_method = FilteringMethod.ALL
    settings.save()
    ada.box.deliver(raw)
    ada.receive()

    assert SyncItem.objects.filter(state=ItemState.TRACKED).count() == 1
    assert not ServerAction.objects.filter(mailbox=ben.mailbox).exists()


def test_what_was_brought_is_seen_beside_what_the_server_had(imap: Account) -> None:
    """The balance of the quick start: seen is the sum of all states."""
    imap.box.deliver(message(message_id="first@customer.example"))
    take(imap, RAW)
    imap.receive()
    rows = SyncItem.objects.filter(mailbox=imap.mailbox)
    states = Counter(rows.values_list("state", flat=True))

    balance = Balance(imap.mailbox, on_server=1, inside=0, states=states, imported=1)

    assert balance.is_even
    assert balance.seen == 2


def test_a_file_whose_bytes_are_gone_is_asked_for_again_and_no_server(imap: Account) -> None:
    take(imap, RAW)
    SyncItem.objects.update(raw=None)

    imap.receive()

    item = SyncItem.objects.get()
    assert (item.state, item.reason) == (ItemState.RETRYING, "MessageUnreadable")
    assert "Import it again" in item.last_error
    assert sum(server.calls["fetch"] for server in imap.servers) == 0
    assert take(imap, RAW)[0].fate == Fate.AGAIN
    imap.receive()
    assert SyncItem.objects.get().state == ItemState.TRACKED
