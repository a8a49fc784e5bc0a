"""Mail in folders with a rule is tracked, and filed under the rule's record (section 7.1)."""

from datetime import datetime, timedelta

import pytest
from django.db import OperationalError, connection

from activities import blobs
from activities.choices import Direction
from activities.models import Contact, Email
from mailboxes.choices import FilteringMethod, ServerType
from mailboxes.models import EmailServerProfile
from mailboxes.protocols.base import INBOX, SENT
from mailboxes.protocols.errors import AccessDenied, MessageUnreadable
from serversync import linking, pages
from serversync.models import FolderCursor, SyncItem
from tests.fakes import FakeIncomingServer
from tests.integration.serversync.cycles import (
    NOW,
    START,
    Account,
    message,
    organization,
    profile,
    queue_mailbox,
    user_mailbox,
)
from tests.statements import counting
from tracking import decide
from tracking.choices import FolderState
from tracking.models import FolderLink, MailboxTrackingFolder

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

CUSTOMERS = "INBOX/Customers"


def exchange(name: str = "ada", filtering: FilteringMethod = FilteringMethod.NONE) -> Account:
    """A user on an Exchange server whose filter takes nothing by itself."""
    if not EmailServerProfile.objects.exists():
        profile(server_type=ServerType.EXCHANGE_SERVER)
    return Account(user_mailbox(name, filtering), exchange=True)


@pytest.fixture
def ada() -> Account:
    return exchange()


def track(account: Account, path: str = CUSTOMERS, record: object = None, **columns: object):
    """A rule for a folder, which is made if need be."""
    rule = MailboxTrackingFolder(
        mailbox=account.mailbox,
        exchange_folder_id=account.box.add_folder(path) if account.exchange else path,
        exchange_folder_name=path.rpartition("/")[2],
        **columns,
    )
    if record is not None:
        rule.regarding = record
    rule.save()
    return rule


def contact(name: str) -> Contact:
    from mailboxes.models import SystemUser

    owner = SystemUser.objects.filter(domain_name="owner").first()
    return Contact.objects.create(last_name=name, owning_user=owner)


def regarding(message_id: str) -> object:
    return Email.objects.get(message_id=message_id).activity.regarding_object


def states(account: Account) -> dict[str, str]:
    """By Message-ID, for keys change."""
    return {
        item.message_id: item.state for item in SyncItem.objects.filter(mailbox=account.mailbox)
    }


def put(account: Account, number: int, folder: str = CUSTOMERS, **headers: str) -> str:
    return account.box.deliver(message(message_id=f"{number}@customer.example", **headers), folder)


@pytest.mark.rule("R7.6")
def test_what_is_or_arrives_in_the_folder_is_tracked_whatever_the_filter_says(ada: Account) -> None:
    track(ada)
    put(ada, 1)
    put(ada, 2, INBOX)
    ada.receive()
    put(ada, 3)
    ada.later(minutes=5)

    ada.receive()

    assert states(ada) == {
        "1@customer.example": "tracked",
        "2@customer.example": "rejected",
        "3@customer.example": "tracked",
    }
    decision = Email.objects.get(message_id="1@customer.example").decision
    assert (decision["reason"], decision["sub_reason"]) == ("AcceptAll", "folder_rule")


@pytest.mark.rule("R7.4")
def test_a_rule_covers_its_folder_and_no_folder_in_it(ada: Account) -> None:
    track(ada, "INBOX/Customers/North")
    ada.box.add_folder("INBOX/Customers/North/Old")
    put(ada, 1, "INBOX/Customers")
    put(ada, 2, "INBOX/Customers/North")
    put(ada, 3, "INBOX/Customers/North/Old")

    ada.receive()

    assert states(ada) == {"2@customer.example": "tracked"}


@pytest.mark.rule("R7.8")
def test_several_folders_may_point_to_one_record(ada: Account) -> None:
    north = contact("North")
    track(ada, "INBOX/A", north)
    track(ada, "INBOX/B", north)
    put(ada, 1, "INBOX/A")
    put(ada, 2, "INBOX/B")

    ada.receive()

    assert regarding("1@customer.example") == regarding("2@customer.example") == north


@pytest.mark.rule("R7.10")
def test_the_folders_record_goes_before_that_of_the_email_answered(ada: Account) -> None:
    north, south = contact("North"), contact("South")
    track(ada, "INBOX/A", north)
    track(ada, "INBOX/B", south)
    put(ada, 1, "INBOX/A")
    ada.receive()
    put(ada, 2, "INBOX/B", in_reply_to="<1@customer.example>")
    ada.later(minutes=5)

    ada.receive()

    assert regarding("2@customer.example") == south


def by_hand(message_id: str, record: Contact) -> None:
    """As somebody does who files an e-mail in the site."""
    from django.contrib.contenttypes.models import ContentType

    pointer = Email.objects.get(message_id=message_id).activity
    pointer.regarding_type = ContentType.objects.get_for_model(record)
    pointer.regarding_id = str(record.pk)
    pointer.save()


@pytest.mark.rule("R7.10")
@pytest.mark.parametrize("keep", [False, True])
def test_a_record_chosen_by_hand_is_overwritten_by_the_next_sync_unless_that_is_kept(
    ada: Account, keep: bool
) -> None:
    north, south = contact("North"), contact("South")
    organization(keep_manual_regarding=keep)
    track(ada, record=north)
    put(ada, 1)
    ada.receive()
    by_hand("1@customer.example", south)
    ada.later(minutes=16)

    ada.receive()

    assert regarding("1@customer.example") == (south if keep else north)


@pytest.mark.rule("R7.10")
def test_without_a_record_in_the_rule_what_was_chosen_by_hand_stays(ada: Account) -> None:
    track(ada)
    put(ada, 1)
    ada.receive()
    by_hand("1@customer.example", contact("South"))
    ada.later(minutes=16)

    ada.receive()

    assert str(regarding("1@customer.example")) == "South"


# -- R7.7


@pytest.mark.rule("R7.7")
def test_a_new_rule_takes_in_what_is_there_in_pages_behind_fresh_mail(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serversync.receive.ONBOARDED_PER_CYCLE", 4)
    organization(messages_per_page=2)
    for number in range(10):
        put(ada, number)
    rule = track(ada)
    put(ada, 99, INBOX)

    first = ada.receive()

    assert SyncItem.objects.filter(folder=rule.exchange_folder_id).count() == 4
    assert states(ada)["99@customer.example"] == "rejected"
    assert (first.more, first.soon) == (False, True)
    rule.refresh_from_db()
    assert (rule.folder_onboarding_status, rule.onboarded_on) == (4, None)
    ada.receive()
    last = ada.receive()
    rule.refresh_from_db()
    assert rule.folder_onboarding_status == 10
    assert rule.onboarded_on == NOW
    assert (last.more, last.soon) == (False, False)
    assert Email.objects.count() == 10


@pytest.mark.rule("R3.67")
def test_a_folder_for_which_nothing_was_left_of_the_cycle_is_read_by_the_next(ada: Account) -> None:
    organization(messages_per_page=2, messages_per_cycle=3)
    track(ada)
    ada.receive()
    for number in range(3):
        put(ada, number, INBOX)
    put(ada, 3)
    ada.later(minutes=5)

    assert ada.receive().more
    ada.receive()

    assert states(ada)["3@customer.example"] == "tracked"


@pytest.mark.rule("R7.7")
def test_onboarding_begins_at_the_date_that_the_rule_names(ada: Account) -> None:
    old, new = put(ada, 1), put(ada, 2)
    start = ada.box.find(CUSTOMERS, new).received_at
    rule = track(ada, track_from=start)

    ada.receive()

    assert states(ada) == {"2@customer.example": "tracked"}
    assert old
    row = FolderCursor.objects.get(folder=rule.exchange_folder_id)
    assert (row.before_start, row.onboarded) == (1, True)


@pytest.mark.rule("R3.7", "R7.7")
@pytest.mark.parametrize("folder", [CUSTOMERS, SENT, INBOX])
def test_more_old_mail_than_a_cycle_takes_holds_up_nothing(ada: Account, folder: str) -> None:
    organization(messages_per_page=2, messages_per_cycle=4, auto_track_sent_folder_items=True)
    if folder == CUSTOMERS:
        track(ada, track_from=START)
    ada.box.add_folder(folder)
    for number in range(9):
        old = message(message_id=f"{number}@customer.example")
        ada.box.deliver(old, folder, START - timedelta(days=9 - number))
    put(ada, 9, folder)

    while ada.receive().more:
        pass

    assert set(states(ada)) == {"9@customer.example"}
    cursor = FolderCursor.objects.get(folder=ada.box.add_folder(folder))
    assert (cursor.before_start, cursor.onboarded) == (9, True)


def test_a_rule_made_again_takes_in_what_the_former_one_passed_over(ada: Account) -> None:
    put(ada, 1)
    put(ada, 2)
    start = ada.box.messages(CUSTOMERS)[1].received_at
    rule = track(ada, track_from=start)
    ada.receive()
    rule.delete()
    track(ada)
    ada.later(minutes=5)

    ada.receive()

    assert set(states(ada).values()) == {"tracked"}
    assert len(states(ada)) == 2
    row = FolderCursor.objects.get(folder=rule.exchange_folder_id)
    assert row.before_start == 0


# -- the table of R7.11, row by row


@pytest.mark.rule("R7.11")
def test_rule_removed_keeps_links_and_tracks_no_more(ada: Account) -> None:
    north = contact("North")
    rule = track(ada, record=north)
    put(ada, 1)
    ada.receive()

    rule.delete()
    put(ada, 2)
    ada.later(minutes=20)
    ada.receive()

    assert states(ada) == {"1@customer.example": "tracked"}
    assert regarding("1@customer.example") == north
    assert SyncItem.objects.get().email is not None


@pytest.mark.rule("R7.11")
def test_record_removed_from_the_rule_keeps_links_and_gives_none(ada: Account) -> None:
    north = contact("North")
    rule = track(ada, record=north)
    put(ada, 1)
    ada.receive()

    MailboxTrackingFolder.objects.filter(pk=rule.pk).update(regarding_type=None, regarding_id="")
    put(ada, 2)
    ada.later(minutes=20)
    ada.receive()

    assert regarding("1@customer.example") == north
    assert regarding("2@customer.example") is None
    assert states(ada)["2@customer.example"] == "tracked"


def change_record(rule: MailboxTrackingFolder, record: Contact, **columns: object) -> None:
    MailboxTrackingFolder.objects.filter(pk=rule.pk).update(regarding_id=str(record.pk), **columns)


@pytest.mark.rule("R7.11")
def test_record_of_the_rule_changed_relinks_all_in_the_folder(ada: Account) -> None:
    north, south = contact("North"), contact("South")
    rule = track(ada, record=north)
    for number in range(3):
        put(ada, number)
    gone = put(ada, 9)
    ada.receive()
    ada.box.move(gone, CUSTOMERS, INBOX)
    ada.receive()

    change_record(rule, south)
    ada.receive()

    assert {regarding(f"{number}@customer.example") for number in range(3)} == {south}
    assert regarding("9@customer.example") == north


@pytest.mark.rule("R7.11")
def test_only_new_mail_takes_the_new_record_if_that_was_asked_for(ada: Account) -> None:
    """R10.28: old mail of a former customer stays with them."""
    north, south = contact("North"), contact("South")
    rule = track(ada, record=north)
    put(ada, 1)
    ada.receive()

    ada.later(minutes=1)
    change_record(rule, south, relink_from=ada.now)
    put(ada, 2)
    ada.receive()

    assert (regarding("1@customer.example"), regarding("2@customer.example")) == (north, south)


@pytest.mark.rule("R7.11")
def test_folder_renamed_is_still_tracked(ada: Account) -> None:
    rule = track(ada)
    ada.receive()

    ada.box.rename_folder(rule.exchange_folder_id, "Clients")
    put(ada, 1, rule.exchange_folder_id)
    ada.later(minutes=61)
    ada.receive()

    assert states(ada) == {"1@customer.example": "tracked"}
    rule.refresh_from_db()
    assert "Clients" in rule.exchange_folder_name


@pytest.mark.rule("R7.11")
def test_folder_moved_inside_the_inbox_tree_is_still_tracked_with_its_contents(
    ada: Account,
) -> None:
    rule = track(ada)
    put(ada, 1)
    ada.receive()

    ada.box.move_folder(rule.exchange_folder_id, ada.box.add_folder("INBOX/Deep"))
    put(ada, 2, rule.exchange_folder_id)
    ada.later(minutes=61)
    ada.receive()
    ada.later(minutes=5)
    ada.receive()

    assert set(states(ada).values()) == {"tracked"}
    assert len(states(ada)) == 2
    rule.refresh_from_db()
    assert rule.state == FolderState.ACTIVE


@pytest.mark.rule("R7.11")
def test_folder_moved_outside_the_inbox_disables_the_rule(ada: Account) -> None:
    rule = track(ada)
    put(ada, 1)
    ada.receive()

    ada.box.move_folder(rule.exchange_folder_id)
    ada.later(minutes=61)
    ada.receive()
    put(ada, 2, rule.exchange_folder_id)
    ada.later(minutes=5)
    ada.receive()

    rule.refresh_from_db()
    assert rule.state == FolderState.OUTSIDE
    assert states(ada) == {"1@customer.example": "tracked"}


@pytest.mark.rule("R7.11", "R7.5")
def test_folder_deleted_on_the_server_leaves_stored_email_and_the_mailbox_goes_on(
    ada: Account,
) -> None:
    rule = track(ada)
    put(ada, 1)
    ada.receive()

    ada.box.remove_folder(rule.exchange_folder_id)
    put(ada, 2, INBOX)
    ada.later(minutes=5)
    ada.receive()

    rule.refresh_from_db()
    assert rule.state == FolderState.MISSING
    assert Email.objects.count() == 1
    assert states(ada)["2@customer.example"] == "rejected"


@pytest.mark.rule("R7.11")
def test_folder_made_again_with_the_same_name_is_another_folder(ada: Account) -> None:
    rule = track(ada)
    ada.receive()
    ada.box.remove_folder(rule.exchange_folder_id)
    again = ada.box.add_folder(CUSTOMERS)
    put(ada, 1, again)
    for _ in range(2):
        ada.later(minutes=61)
        ada.receive()

    assert again != rule.exchange_folder_id
    assert states(ada) == {}
    rule.refresh_from_db()
    assert rule.state == FolderState.MISSING


@pytest.mark.rule("R7.11")
def test_message_moved_to_a_folder_with_a_record_is_relinked(ada: Account) -> None:
    north, south = contact("North"), contact("South")
    track(ada, "INBOX/A", north)
    rule = track(ada, "INBOX/B", south)
    key = put(ada, 1, "INBOX/A")
    ada.receive()

    ada.box.move(key, "INBOX/A", "INBOX/B")
    ada.later(minutes=5)
    ada.receive()

    assert regarding("1@customer.example") == south
    assert Email.objects.count() == 1
    left, came = SyncItem.objects.order_by("first_seen_at")
    assert (left.left_at, came.state) == (ada.now, "duplicate")
    assert came.trace["filed"] == {"folder": str(rule), "why": "rule"}


@pytest.mark.rule("R7.11")
@pytest.mark.parametrize("target", ["INBOX/B", "INBOX/Unmapped", INBOX])
def test_message_moved_to_a_folder_without_record_keeps_its_link(ada: Account, target: str) -> None:
    north = contact("North")
    track(ada, "INBOX/A", north)
    track(ada, "INBOX/B")
    ada.box.add_folder("INBOX/Unmapped")
    key = put(ada, 1, "INBOX/A")
    ada.receive()

    ada.box.move(key, "INBOX/A", target)
    ada.later(minutes=20)
    ada.receive()

    assert regarding("1@customer.example") == north
    assert Email.objects.count() == 1


@pytest.mark.rule("R7.11")
def test_the_folder_that_is_processed_first_keeps_the_link() -> None:
    ada, ben = exchange("ada"), exchange("ben")
    north, south = contact("North"), contact("South")
    track(ada, record=north)
    track(ben, record=south)
    put(ada, 1)
    put(ben, 1)

    ben.receive()
    ada.receive()
    for account in (ada, ben):
        account.later(minutes=20)
        account.receive()

    assert regarding("1@customer.example") == south
    assert FolderLink.objects.get().mailbox == ben.mailbox
    (item,) = SyncItem.objects.filter(mailbox=ada.mailbox)
    assert item.trace["filed"]["why"] == "first_folder"


@pytest.mark.rule("R7.12")
def test_a_reply_that_a_rule_of_the_server_put_elsewhere_is_not_tracked() -> None:
    ada = exchange(filtering=FilteringMethod.RESPONSES)
    track(ada)
    ada.box.add_folder("INBOX/Sorted")
    put(ada, 1)
    ada.receive()

    put(ada, 2, "INBOX/Sorted", in_reply_to="<1@customer.example>")
    ada.later(minutes=61)
    ada.receive()

    assert states(ada) == {"1@customer.example": "tracked"}


# -- whose folders


@pytest.mark.rule("R7.1")
@pytest.mark.parametrize("allowed", [False, True])
def test_folders_of_queues_are_read_only_if_that_is_allowed(allowed: bool) -> None:
    organization(allow_folder_tracking_for_queues=allowed)
    profile(server_type=ServerType.EXCHANGE_SERVER)
    support = Account(queue_mailbox("support", FilteringMethod.NONE), exchange=True)
    track(support)
    put(support, 1)

    support.receive()

    assert Email.objects.count() == allowed


@pytest.mark.rule("R7.1")
def test_no_folder_is_read_with_the_switch_off(ada: Account) -> None:
    organization(is_folder_based_tracking_enabled=False)
    track(ada)
    put(ada, 1)

    ada.receive()

    assert not SyncItem.objects.exists()
    assert ada.servers[-1].calls["list_new"] == 1


@pytest.mark.rule("R7.30")
@pytest.mark.parametrize("allowed", [False, True])
def test_folders_of_imap_go_the_same_way_if_that_is_allowed(allowed: bool) -> None:
    organization(allow_folder_tracking_for_imap=allowed)
    ada = Account(user_mailbox("ada", FilteringMethod.NONE))
    north = contact("North")
    track(ada, record=north)
    key = put(ada, 1)
    put(ada, 2)
    ada.receive()

    assert Email.objects.count() == 2 * allowed
    if allowed:
        assert regarding("1@customer.example") == north
        ada.box.remove(key, CUSTOMERS)
        ada.later(minutes=5)
        ada.receive()
        assert SyncItem.objects.get(message_id="1@customer.example").left_at == ada.now


@pytest.mark.rule("R3.45")
def test_what_the_user_wrote_is_outgoing_and_the_copy_of_what_was_sent_here_a_duplicate(
    ada: Account,
) -> None:
    track(ada)
    put(ada, 1, sender="ada@example.com", to="cleo@customer.example")

    ada.receive()

    email = Email.objects.get()
    assert (email.direction_code, email.sender_mailbox) == (Direction.OUTGOING, ada.mailbox)


def test_a_failing_folder_costs_itself_only_once_it_is_back(ada: Account) -> None:
    """Nothing of a folder is lost while its rule is off for a time."""
    rule = track(ada)
    put(ada, 1)
    ada.receive()
    ada.box.move_folder(rule.exchange_folder_id)
    ada.later(minutes=61)
    ada.receive()
    put(ada, 2, rule.exchange_folder_id)
    ada.box.move_folder(rule.exchange_folder_id, INBOX)
    for minutes in (61, 5):
        ada.later(minutes=minutes)
        ada.receive()

    assert set(states(ada).values()) == {"tracked"}
    assert len(states(ada)) == 2


# -- keys


@pytest.mark.parametrize("silent", [False, True], ids=["told", "silent"])
@pytest.mark.parametrize("new_keys", [False, True], ids=["old keys", "new keys"])
def test_a_sync_state_that_starts_over_decides_nothing_again(
    ada: Account, silent: bool, new_keys: bool
) -> None:
    organization(messages_per_page=2)
    track(ada)
    for number in range(5):
        put(ada, number)
        put(ada, 10 + number, INBOX)
    ada.receive()
    before = states(ada)

    if silent:
        ada.box.restart_silently(new_keys=new_keys)
    else:
        ada.box.reset_keys(new_keys=new_keys)
    put(ada, 99)
    for _ in range(2):
        ada.later(minutes=5)
        ada.receive()

    assert states(ada) == before | {"99@customer.example": "tracked"}
    assert SyncItem.objects.count() == 11
    assert Email.objects.count() == 6


def test_a_message_that_comes_back_is_no_new_one() -> None:
    ada = exchange(filtering=FilteringMethod.ALL)
    ada.box.add_folder("INBOX/Later")
    key = put(ada, 1, INBOX)
    ada.receive()
    away = ada.box.move(key, INBOX, "INBOX/Later")
    ada.later(minutes=5)
    ada.receive()
    assert SyncItem.objects.get().left_at is not None
    ada.box.move(away, "INBOX/Later", INBOX)
    ada.later(minutes=5)

    ada.receive()

    item = SyncItem.objects.get()
    assert (item.state, item.left_at) == ("tracked", None)
    assert item.source_key == ada.box.messages()[0].remote_id


def test_a_copy_is_an_item_of_its_own() -> None:
    ada = exchange(filtering=FilteringMethod.ALL)
    put(ada, 1, INBOX)
    ada.receive()
    put(ada, 1, INBOX)
    ada.later(minutes=5)

    ada.receive()

    assert sorted(SyncItem.objects.values_list("state", flat=True)) == ["duplicate", "tracked"]


# -- what it costs


def test_an_idle_poll_costs_one_request_a_folder_and_four_statements(ada: Account) -> None:
    for number in range(3):
        track(ada, f"INBOX/{number}", contact(str(number)))
        put(ada, number, f"INBOX/{number}")
    ada.receive()
    ada.receive()
    ada.later(minutes=5)
    token, read = ada.lease(0), None
    from mailboxes.choices import Operation
    from serversync.context import load
    from serversync.receive import receive

    with counting() as counted:
        context = load(ada.mailbox.pk, Operation.INCOMING, ada.now)
        read = receive(context, token, clock=lambda: ada.now, connect=ada.connect)

    server = ada.servers[-1]
    assert not read.by_state
    calls = {name: count for name, count in server.calls.items() if name not in ("open", "close")}
    assert calls == {"list_new": 4}
    assert len(counted) <= 4 - 1, str(counted)  # the fourth ends the lease


def test_a_page_of_a_tracked_folder_costs_few_statements(ada: Account) -> None:
    organization(generate_alerts_for_warnings=True)
    track(ada, record=contact("North"))
    put(ada, 999)
    ada.receive()
    for number in range(50):
        put(ada, number, in_reply_to="<999@customer.example>")
    ada.later(minutes=5)

    with counting() as counted:
        result = ada.receive()

    assert result.by_state == {"tracked": 50}
    assert len(counted) <= 40, str(counted)


@pytest.mark.rule("R3.67", "R3.72")
def test_an_email_that_cannot_be_filed_costs_itself_only(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was planned for it before the transaction failed is not taken for stored."""
    track(ada, record=contact("North"))
    put(ada, 1)
    put(ada, 2, INBOX)
    with monkeypatch.context() as broken:
        broken.setattr(linking, "link", lambda run, rule, since, now: 1 / 0 if since else {})
        ada.receive()
    connection.check_constraints()
    item = SyncItem.objects.get(folder=ada.box.add_folder(CUSTOMERS))
    assert (item.state, item.attempts, item.email) == ("retrying", 1, None)

    ada.later(minutes=16)
    ada.receive()

    assert str(regarding("1@customer.example")) == "North"


@pytest.mark.rule("R3.72")
def test_a_page_that_is_done_again_counts_one_failure(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = put(ada, 1, INBOX)
    put(ada, 2, INBOX)
    ada.prepare = lambda server: server.fail_message(key, MessageUnreadable("not now"))
    deadlocks = [OperationalError("deadlock detected")] * 2

    def failing(*_: object) -> None:
        if deadlocks:
            raise deadlocks.pop()

    monkeypatch.setattr(pages.PageWriter, "_file", failing)

    ada.receive()

    assert ada.items()[key].attempts == 1


@pytest.mark.rule("R3.72")
def test_what_is_to_be_fetched_again_from_a_folder_that_is_gone_is_gone_with_it(
    ada: Account,
) -> None:
    track(ada)
    ada.receive()
    key = put(ada, 1)
    ada.prepare = lambda server: server.fail_message(key, MessageUnreadable("not now"))
    ada.receive()
    assert states(ada) == {"": "retrying"}
    ada.prepare = lambda server: None
    ada.box.remove_folder(CUSTOMERS)
    put(ada, 2, INBOX)
    ada.later(minutes=16)

    ada.receive()

    assert {(item.state, item.left_at is None) for item in ada.items().values()} == {
        ("gone", False),
        ("rejected", True),
    }


@pytest.mark.rule("R3.72")
def test_bytes_that_got_lost_are_fetched_again(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(ada, 1, INBOX)
    with monkeypatch.context() as broken:
        broken.setattr(decide, "correlate", lambda *_: 1 / 0)
        ada.receive()
    assert SyncItem.objects.get().raw is not None

    def missing(_stored: object) -> bytes:
        raise blobs.BytesMissing("restored from another day")

    monkeypatch.setattr(blobs, "read", missing)
    ada.later(minutes=16)
    ada.receive()

    assert states(ada) == {"1@customer.example": "rejected"}


@pytest.mark.rule("R7.11")
@pytest.mark.parametrize("kind", ["rule made again", "keys reset"])
def test_a_message_that_left_while_nobody_looked_keeps_its_link(ada: Account, kind: str) -> None:
    """A listing from the beginning doesn't tell what left before."""
    rule = track(ada, record=contact("North"))
    key = put(ada, 1)
    stays = put(ada, 2)
    ada.receive()
    if kind == "rule made again":
        rule.delete()
    ada.box.move(key, CUSTOMERS, ada.box.add_folder("INBOX/Plain"))
    ada.later(minutes=5)
    if kind == "rule made again":
        ada.receive()
        track(ada, record=contact("South"))
    else:
        ada.box.reset_keys(new_keys=False)
        rule.regarding = contact("South")
        rule.save()
    for _cycle in range(2):
        ada.later(minutes=16)
        ada.receive()

    assert str(regarding("1@customer.example")) == "North"
    assert str(regarding("2@customer.example")) == "South"
    left = {source_key: item.left_at is not None for source_key, item in ada.items().items()}
    assert left == {key: True, stays: False}


def test_a_folder_that_was_deleted_holds_nothing_any_more(ada: Account) -> None:
    track(ada)
    put(ada, 1)
    ada.receive()
    ada.box.remove_folder(CUSTOMERS)

    ada.receive()

    assert SyncItem.objects.get().left_at == ada.now


class Closed(FakeIncomingServer):
    """Opens the inbox only."""

    def list_new(self, folder: str, cursor: str, limit: int):
        if folder != INBOX:
            raise AccessDenied("no right to read it")
        return super().list_new(folder, cursor, limit)


@pytest.mark.rule("R7.5")
def test_a_folder_that_may_not_be_opened_stops_its_rule_until_it_may(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    organization(auto_track_sent_folder_items=True)
    rule = track(ada)
    put(ada, 1)
    put(ada, 2, INBOX)
    with monkeypatch.context() as closed:
        closed.setattr(ada, "connect", lambda *_: Closed(ada.box, exchange=True))
        ada.receive()
        ada.later(minutes=5)
        ada.receive()
        rule.refresh_from_db()
        assert (rule.state, states(ada)) == ("denied", {"2@customer.example": "rejected"})

    for _cycle in range(2):
        ada.later(minutes=61)
        ada.receive()

    assert states(ada)["1@customer.example"] == "tracked"


def test_relinking_a_large_folder_renews_the_lease_and_a_lost_record_costs_no_look(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linking, "PORTION", 2)
    rule = track(ada, record=contact("North"))
    for number in range(6):
        put(ada, number)
    ada.receive()
    ada.later(minutes=16)
    rule.regarding = contact("South")
    rule.save()
    renewed = []

    def renew(token: object, now: datetime) -> None:
        renewed.append(now)
        ada.later(minutes=2)

    with monkeypatch.context() as slow:
        slow.setattr(linking, "renew", renew)
        ada.receive()
    assert [now - renewed[0] for now in renewed] == [timedelta(minutes=2 * n) for n in range(3)]

    Contact.objects.filter(last_name="South").delete()
    ada.later(minutes=16)
    with counting() as counted:
        ada.receive()
    assert not [sql for sql in counted.sql if sql.startswith('SELECT "serversync_syncitem"')]


@pytest.mark.rule("R7.5")
def test_a_server_that_refuses_the_list_of_folders_gives_the_mail_all_the_same(
    ada: Account,
) -> None:
    rule = track(ada)
    put(ada, 1)
    ada.prepare = lambda server: server.fail("folders", AccessDenied("not the delegate's"))

    ada.receive()

    rule.refresh_from_db()
    assert (rule.state, states(ada)) == ("active", {"1@customer.example": "tracked"})


@pytest.mark.rule("R7.11")
@pytest.mark.parametrize("cycles", [1, 2])
def test_what_comes_and_goes_between_two_cursors_is_known_to_have_left(
    ada: Account, cycles: int
) -> None:
    """Exchange gives a cursor at the end of an answer only, and of what came and went after a cursor it
    says nothing."""
    organization(messages_per_page=1, messages_per_cycle=2)
    ada.receive()
    keys = [put(ada, number, INBOX) for number in range(7)]
    for _cycle in range(cycles):
        assert ada.receive().more
    ada.box.remove(keys[0])

    while ada.receive().more:
        pass

    items = ada.items()
    assert {key: items[key].left_at is None for key in keys} == {
        key: key != keys[0] for key in keys
    }


@pytest.mark.parametrize("reset", [False, True])
def test_a_copy_takes_no_row_from_a_message_that_is_there(ada: Account, reset: bool) -> None:
    """Though the row waits until the cursor has passed it."""
    organization(messages_per_page=1, messages_per_cycle=2)
    if reset:
        put(ada, 1, INBOX)
    ada.receive()
    ada.box.reset_keys(new_keys=False)
    for number in range(2, 6):
        put(ada, number, INBOX)
    for number in range(1, 6):
        put(ada, number, INBOX)

    while ada.receive().more:
        pass

    there = {each.remote_id for each in ada.box.messages()}
    assert {key for key, item in ada.items().items() if item.left_at is None} == there
