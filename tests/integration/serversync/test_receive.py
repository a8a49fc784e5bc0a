"""The incoming cycle: every item seen ends in exactly one state, with its reason."""

from datetime import UTC, datetime

import pytest
from django.db import IntegrityError

from activities import blobs
from activities.choices import (
    CorrelationMethod,
    Direction,
    EmailStatus,
    Notifications,
    ParticipationType,
)
from activities.models import (
    ActivityMimeAttachment,
    ActivityParty,
    ActivityPointer,
    Contact,
    Email,
    QueueItem,
    StoredBytes,
)
from activities.store import NewEmail
from mailboxes.choices import FilteringMethod, IncomingDeliveryMethod, Operation
from mailboxes.models import Mailbox, SystemUser, TraceLog
from mailboxes.protocols.base import Action, ActionKind
from mailboxes.protocols.errors import ConnectionLost, MessageUnreadable
from serversync.choices import ActionState, ItemState
from serversync.console import reasons
from serversync.context import load
from serversync.leases import LeaseLost
from serversync.models import FolderCursor, ServerAction, SyncItem, Workload
from serversync.probe import probe_header
from serversync.receive import cursors_to_glance_at
from tests.factories.mailboxes import group_of
from tests.integration.serversync.cycles import (
    START,
    Account,
    message,
    organization,
    profile,
    queue_mailbox,
    ready,
    user_mailbox,
)
from tracking import decide, promote

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> Account:
    return Account(user_mailbox("ada"))


def states(account: Account) -> dict[str, str]:
    return {key: item.state for key, item in account.items().items()}


# -- what is created


@pytest.mark.rule("R3.46", "R3.50")
def test_a_message_becomes_a_received_email(ada: Account) -> None:
    sent = "Mon, 02 Feb 2026 10:00:00 +0000"
    ada.box.deliver(
        message(
            message_id="one@customer.example",
            subject="Offer",
            date=sent,
            in_reply_to="<unknown@example.org>",
            importance="high",
        )
    )

    result = ada.receive()

    email = Email.objects.select_related("activity").get()
    assert result.summary() == "1 tracked"
    assert email.status_code == EmailStatus.RECEIVED
    assert email.direction_code == Direction.INCOMING
    assert email.activity.state_code == EmailStatus.RECEIVED.state
    assert email.activity.subject == "Offer"
    assert email.sender == "cleo@customer.example"
    assert email.to_recipients == "ada@example.com"
    assert email.message_id == "one@customer.example"
    assert email.in_reply_to == "unknown@example.org"
    assert email.priority_code == 2
    assert email.sent_on == datetime(2026, 2, 2, 10, tzinfo=UTC)
    assert email.received_on == ada.box.messages()[0].received_at
    assert email.receiving_mailbox == ada.mailbox
    assert email.accepting_entity() == ada.mailbox.regarding_user
    assert email.correlation_method == CorrelationMethod.NONE
    assert email.parent_activity is None


def test_the_original_message_is_kept_as_it_came(ada: Account) -> None:
    raw = message(message_id="one@customer.example")
    ada.box.deliver(raw)

    ada.receive()

    assert bytes(Email.objects.get().mime.content) == raw


@pytest.mark.rule("R3.37", "R3.38")
def test_unknown_addresses_become_unresolved_parties_and_bcc_stays_out(ada: Account) -> None:
    ada.box.deliver(
        message(to="ada@example.com, Dora <dora@elsewhere.example>", bcc="eve@elsewhere.example")
    )

    ada.receive()

    parties = {
        (party.participation_type_mask, party.address_used): party.is_resolved
        for party in ActivityParty.objects.all()
    }
    assert parties == {
        (ParticipationType.SENDER, "cleo@customer.example"): False,
        (ParticipationType.TO, "ada@example.com"): True,
        (ParticipationType.TO, "dora@elsewhere.example"): False,
    }


@pytest.mark.rule("R3.51")
def test_attachments_over_the_limit_are_left_out_and_listed(ada: Account) -> None:
    organization(max_upload_file_size_kb=1)
    ada.box.deliver(
        b"From: cleo@customer.example\r\nTo: ada@example.com\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nSee the files.\r\n"
        b"--b\r\nContent-Type: application/pdf\r\n"
        b"Content-Disposition: attachment; filename=big.pdf\r\n\r\n" + b"x" * 1500 + b"\r\n"
        b"--b\r\nContent-Type: text/plain\r\n"
        b"Content-Disposition: attachment; filename=small.txt\r\n\r\nsmall\r\n"
        b"--b--\r\n"
    )

    ada.receive()

    email = Email.objects.get()
    assert [file.file_name for file in ActivityMimeAttachment.objects.all()] == ["small.txt"]
    assert email.notifications == Notifications.ATTACHMENTS_DROPPED
    assert email.attachment_count == 1
    assert email.dropped_attachments == [{"name": "big.pdf", "size": 1500, "reason": "too_large"}]


@pytest.mark.rule("R3.47")
def test_a_body_over_the_limit_is_cut_and_the_original_kept(ada: Account) -> None:
    raw = message(body="line of text\n" * 100_000)
    ada.box.deliver(raw)

    ada.receive()

    email = Email.objects.get()
    assert email.notifications == Notifications.TRUNCATED_BODY
    assert len(email.description.encode()) <= 1024 * 1024
    assert email.mime.size == len(raw)


@pytest.mark.rule("R3.49", "R4.4")
def test_a_reply_takes_the_regarding_of_what_it_answers(ada: Account) -> None:
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()
    contact = Contact.objects.create(last_name="Cleo", owning_user=ada.mailbox.regarding_user)
    pointer = ActivityPointer.objects.get()
    kind = pointer._meta.get_field("regarding_type").related_model
    pointer.regarding_type = kind.objects.get_for_model(Contact)
    pointer.regarding_id = str(contact.pk)
    pointer.save()

    ada.box.deliver(
        message(message_id="two@customer.example", in_reply_to="<one@customer.example>")
    )
    ada.receive()

    reply = Email.objects.get(message_id="two@customer.example")
    assert reply.activity.regarding_object == contact
    assert reply.correlation_method == CorrelationMethod.IN_REPLY_TO
    assert reply.parent_activity_id == reply.correlated_activity_id == pointer.pk


@pytest.mark.rule("R4.4")
def test_references_correlate_from_last_to_first_unless_strict_parity(ada: Account) -> None:
    for number in ("one", "two"):
        ada.box.deliver(message(message_id=f"{number}@customer.example"))
    reply = message(
        message_id="three@customer.example",
        references="<one@customer.example> <two@customer.example> <lost@customer.example>",
    )
    ada.box.deliver(reply)
    ada.receive()

    found = Email.objects.get(message_id="three@customer.example")
    assert found.correlated_activity == Email.objects.get(message_id="two@customer.example")
    assert found.correlation_method == CorrelationMethod.IN_REPLY_TO

    organization(strict_parity=True)
    group_of(ada.mailbox.regarding_user, "add_email")  # R3.29 asks for it then
    ada.box.deliver(reply.replace(b"three@", b"four@"))
    ada.receive()
    assert Email.objects.get(message_id="four@customer.example").correlated_activity is None


def test_a_reply_finds_the_message_in_front_of_it_in_the_same_page() -> None:
    ada = Account(user_mailbox("ada", FilteringMethod.ALL))
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.box.deliver(
        message(message_id="two@customer.example", in_reply_to="<one@customer.example>")
    )

    ada.receive()

    first, second = Email.objects.order_by("message_id")
    assert second.correlated_activity == first
    assert second.conversation_tracking_id == first.conversation_tracking_id


# -- the ledger


def test_what_nobody_accepts_leaves_its_reason_and_no_body() -> None:
    ada = Account(user_mailbox("ada", FilteringMethod.RESPONSES))
    ada.box.deliver(message(message_id="one@customer.example", subject="Buy", body="secret words"))

    ada.receive()

    item = SyncItem.objects.get()
    assert (item.state, item.reason, item.sub_reason) == (
        ItemState.REJECTED,
        "NoCorrelationMatch",
        "filter_replies_only",
    )
    assert item.subject == "Buy"
    assert "secret words" not in str(item.trace)
    assert item.raw is None
    assert not Email.objects.exists()
    assert not StoredBytes.objects.exists()


@pytest.mark.rule("R3.12", "R3.67")
def test_a_message_without_sender_is_rejected_and_the_next_one_stored(ada: Account) -> None:
    ada.box.deliver(message(sender=""))
    ada.box.deliver(message(message_id="two@customer.example"))

    ada.receive()

    assert list(states(ada).values()) == [ItemState.REJECTED, ItemState.TRACKED]
    assert SyncItem.objects.get(state=ItemState.REJECTED).reason == "InvalidSender"
    alert = TraceLog.objects.get(code="InvalidSender")
    assert alert.level == 1


@pytest.mark.parametrize("complete", [False, True], ids=["cursor", "whole listing"])
def test_a_second_cycle_does_nothing(complete: bool) -> None:
    ada = Account(user_mailbox("ada"), complete=complete)
    for number in range(3):
        ada.box.deliver(message(message_id=f"{number}@customer.example"))
    ada.receive()

    again = ada.receive()

    assert again.summary() == "nothing new"
    assert ada.servers[-1].calls["fetch"] == 0
    assert Email.objects.count() == SyncItem.objects.count() == 3


@pytest.mark.parametrize("complete", [False, True], ids=["cursor", "whole listing"])
def test_pages_end_at_their_limit_and_the_cycle_goes_on(complete: bool) -> None:
    organization(messages_per_page=2, messages_per_cycle=5)
    ada = Account(user_mailbox("ada"), complete=complete)
    for number in range(7):
        ada.box.deliver(message(message_id=f"{number}@customer.example"))

    first = ada.receive()
    second = ada.receive()

    assert (first.by_state["tracked"], first.more) == (5, True)
    assert (second.by_state["tracked"], second.more) == (2, False)
    assert Email.objects.count() == 7


@pytest.mark.rule("R3.20")
def test_the_same_message_in_two_mailboxes_is_stored_once() -> None:
    ada, ben = Account(user_mailbox("ada")), Account(user_mailbox("ben"))
    raw = message(message_id="one@customer.example", to="ada@example.com, ben@example.com")
    for account in (ada, ben):
        account.box.deliver(b"Received: by " + account.mailbox.name.encode() + b"\r\n" + raw)
        account.receive()

    email = Email.objects.get()
    duplicate = SyncItem.objects.get(mailbox=ben.mailbox)
    assert (duplicate.state, duplicate.reason) == (ItemState.DUPLICATE, "Duplicate")
    assert duplicate.email == email


@pytest.mark.rule("R3.20")
def test_a_message_without_id_is_recognised_by_what_it_says() -> None:
    ada, ben = Account(user_mailbox("ada")), Account(user_mailbox("ben"))
    raw = message(to="ada@example.com, ben@example.com")
    ada.box.deliver(raw)
    ben.box.deliver(b"Received: by ben\r\n" + raw)
    ada.receive()
    ben.receive()

    assert Email.objects.count() == 1


@pytest.mark.rule("R3.20")
@pytest.mark.parametrize(
    "other",
    [
        {"sender": "Mallory <mallory@elsewhere.example>"},
        {"date": "Tue, 03 Feb 2026 10:00:00 +0000"},
    ],
    ids=["sender", "date"],
)
def test_a_reused_message_id_does_not_make_mail_vanish(ada: Account, other: dict) -> None:
    ada.box.deliver(message(message_id="one@customer.example", subject="Real"))
    ada.receive()

    ada.box.deliver(message(message_id="one@customer.example", subject="Other", **other))
    ada.receive()
    ada.box.deliver(message(message_id="one@customer.example", subject="Other", **other))
    ada.receive()

    assert set(Email.objects.values_list("activity__subject", flat=True)) == {"Real", "Other"}
    assert Email.objects.get(activity__subject="Other").is_message_id_reused
    assert list(states(ada).values()) == ["tracked", "tracked", "duplicate"]
    assert TraceLog.objects.filter(code="MessageIdReused").exists()


@pytest.mark.rule("R3.20")
def test_incoming_and_outgoing_may_share_a_message_id(ada: Account) -> None:
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()
    Email.objects.update(direction_code=Direction.OUTGOING, status_code=EmailStatus.SENT)

    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()

    assert Email.objects.count() == 2
    with pytest.raises(IntegrityError):
        Email.objects.update(direction_code=Direction.INCOMING)


def test_who_lost_a_collision_points_to_the_winner(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another worker stores the same message between our decision and our insert."""
    ben = Account(user_mailbox("ben"))
    raw = message(message_id="one@customer.example", to="ada@example.com, ben@example.com")
    ada.box.deliver(raw)
    ben.box.deliver(raw)
    real = promote.write_page

    def raced(*arguments):
        monkeypatch.setattr("serversync.pages.write_page", real)
        ben.receive()
        return real(*arguments)

    monkeypatch.setattr("serversync.pages.write_page", raced)
    ada.receive()

    email = Email.objects.get()
    assert ActivityPointer.objects.count() == 1
    assert email.receiving_mailbox == ben.mailbox
    assert ada.items()["1.1"].state == ItemState.DUPLICATE
    assert ada.items()["1.1"].email == email
    assert ActivityParty.objects.filter(participation_type_mask=1).count() == 1


@pytest.mark.rule("R3.20")
@pytest.mark.parametrize("ben_first", [0, 1], ids=["the first", "the second"])
@pytest.mark.parametrize("same", [True, False], ids=["copies", "one id, two messages"])
def test_what_another_worker_stored_meanwhile_is_not_doubled_by_the_rest_of_the_page(
    ada: Account, monkeypatch: pytest.MonkeyPatch, same: bool, ben_first: int
) -> None:
    """Two of a page have one id. Whose it is changes between our decision and our insert."""
    ben = Account(user_mailbox("ben"))
    to = "ada@example.com, ben@example.com"
    sender = "Cleo <cleo@customer.example>" if same else "Mallory <mallory@elsewhere.example>"
    pair = [
        message(message_id="one@customer.example", to=to),
        message(message_id="one@customer.example", to=to, sender=sender),
    ]
    for raw in pair:
        ada.box.deliver(raw)
    ben.box.deliver(pair[ben_first])
    real = promote.plan_page

    def raced(*arguments):
        planned = real(*arguments)
        monkeypatch.setattr("serversync.planning.plan_page", real)
        ben.receive()
        return planned

    monkeypatch.setattr("serversync.planning.plan_page", raced)
    ada.receive()

    assert Email.objects.count() == (1 if same else 2)
    (theirs,) = ben.items().values()
    states = sorted(item.state for item in ada.items().values())
    assert theirs.state == ItemState.TRACKED
    assert states == [ItemState.DUPLICATE, ItemState.DUPLICATE if same else ItemState.TRACKED]
    assert theirs.email in {item.email for item in ada.items().values()}


# -- poison


@pytest.mark.rule("R3.67", "R3.72")
def test_a_poison_message_costs_itself_only_and_ends_in_quarantine(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        ada.box.deliver(message(message_id=f"{number}@customer.example"))
    real = NewEmail.identity.fget

    def poisoned(self: NewEmail):
        if self.fields["message_id"].startswith("1@"):
            raise ValueError("poison")
        return real(self)

    monkeypatch.setattr(NewEmail, "identity", property(poisoned))

    first = ada.receive()
    assert first.by_state == {"tracked": 2, "retrying": 1}
    assert ada.items()["1.2"].next_attempt_at > ada.now
    for _attempt in range(4):
        ada.later(minutes=16)
        ada.receive()

    item = ada.items()["1.2"]
    assert (item.state, item.attempts) == (ItemState.QUARANTINED, 5)
    assert bytes(item.raw.content) == ada.box.messages()[1].mime
    assert "poison" in item.last_error
    assert TraceLog.objects.filter(code="Quarantined").count() == 1
    assert ada.receive().summary() == "nothing new"


@pytest.mark.rule("R3.72")
def test_a_retried_message_is_stored_once_the_fault_is_gone(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.box.deliver(message(message_id="one@customer.example"))
    with monkeypatch.context() as broken:
        broken.setattr(decide, "correlate", lambda *_: 1 / 0)
        ada.receive()
    assert states(ada) == {"1.1": "retrying"}

    assert ada.receive().summary() == "nothing new"  # not before its time
    ada.later(minutes=16)
    ada.receive()

    item = ada.items()["1.1"]
    assert (item.state, item.last_error) == (ItemState.TRACKED, "")
    assert item.email == Email.objects.get()


def test_what_the_server_will_not_hand_out_is_retried_and_the_rest_stored(ada: Account) -> None:
    bad = ada.box.deliver(message(message_id="one@customer.example"))
    ada.box.deliver(message(message_id="two@customer.example"))
    ada.prepare = lambda server: server.fail_message(bad, MessageUnreadable("NO"))

    ada.receive()

    assert states(ada) == {bad: "retrying", "1.2": "tracked"}


def test_what_vanished_before_it_could_be_had_is_gone(ada: Account) -> None:
    bad = ada.box.deliver(message(message_id="one@customer.example"))
    ada.prepare = lambda server: server.fail_message(bad, MessageUnreadable("NO"))
    ada.receive()
    ada.prepare = lambda server: None
    ada.box.remove("1.1")
    ada.later(minutes=16)

    ada.receive()

    assert states(ada) == {"1.1": "gone"}


@pytest.mark.rule("R3.72")
def test_what_failed_here_is_stored_though_it_vanished_there(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bytes of a message that could not be stored are kept, so nobody needs the server's copy."""
    ada.box.deliver(message(message_id="one@customer.example"))
    with monkeypatch.context() as broken:
        broken.setattr(decide, "correlate", lambda *_: 1 / 0)
        ada.receive()
    ada.box.remove("1.1")
    ada.later(minutes=16)

    ada.receive()

    assert states(ada) == {"1.1": "tracked"}
    assert Email.objects.get().message_id == "one@customer.example"


def test_a_line_that_breaks_in_the_middle_loses_and_doubles_nothing(ada: Account) -> None:
    for number in range(4):
        ada.box.deliver(message(message_id=f"{number}@customer.example"))
    organization(messages_per_page=2)
    broken = iter([True])

    def break_once(server) -> None:
        if next(broken, False):
            server.fail("fetch", None) if False else server.fail("message", ConnectionLost("gone"))

    ada.prepare = break_once
    with pytest.raises(ConnectionLost):
        ada.receive()
    ada.receive()

    assert Email.objects.count() == 4
    assert set(states(ada).values()) == {"tracked"}


def test_a_lost_lease_writes_nothing(ada: Account) -> None:
    ada.box.deliver(message())
    token = ada.lease(0)

    def steal(server) -> None:
        Workload.objects.filter(mailbox=ada.mailbox, operation=0).update(lease_token=None)

    ada.prepare = steal
    from serversync.context import load
    from serversync.receive import receive

    with pytest.raises(LeaseLost):
        receive(load(ada.mailbox.pk, 0, ada.now), token, clock=lambda: ada.now, connect=ada.connect)

    assert not SyncItem.objects.exists()
    assert not Email.objects.exists()
    assert not FolderCursor.objects.exists()


# -- keys


@pytest.mark.parametrize("filtering", [FilteringMethod.ALL, FilteringMethod.RESPONSES])
def test_a_key_reset_decides_nothing_again(filtering: FilteringMethod) -> None:
    ada = Account(user_mailbox("ada", filtering))
    for number in range(3):
        ada.box.deliver(message(message_id=f"{number}@customer.example"))
    ada.receive()
    before = {item.pk: (item.state, item.decided_at) for item in SyncItem.objects.all()}

    ada.box.reset_keys()
    ada.box.deliver(message(message_id="new@customer.example"))
    ada.later(hours=1)
    result = ada.receive()

    assert sum(result.by_state.values()) == 1
    after = {item.pk: (item.state, item.decided_at) for item in SyncItem.objects.all()}
    assert before.items() <= after.items()
    assert len(after) == 4
    assert {key.partition(".")[0] for key in ada.items()} == {"2"}
    assert FolderCursor.objects.get().resets == 1
    assert ada.receive().summary() == "nothing new"


def test_two_equal_messages_keep_a_row_each_over_a_reset(ada: Account) -> None:
    raw = message(message_id="one@customer.example")
    ada.box.deliver(raw)
    ada.box.deliver(raw)
    ada.receive()
    assert sorted(states(ada).values()) == ["duplicate", "tracked"]

    ada.box.reset_keys()
    ada.receive()

    assert len(ada.items()) == 2
    assert sorted(states(ada).values()) == ["duplicate", "tracked"]


def test_new_uidls_of_all_messages_are_recognised() -> None:
    """POP3 announces no reset: every key is simply another one."""
    ada = Account(user_mailbox("ada", FilteringMethod.RESPONSES), complete=True)
    for number in range(3):
        ada.box.deliver(message(message_id=f"{number}@customer.example"))
    ada.receive()

    ada.box.reset_keys()
    result = ada.receive()

    assert result.summary() == "nothing new"
    assert len(ada.items()) == 3


def test_another_account_with_equal_keys_hides_nothing(ada: Account) -> None:
    ada.box.deliver(message(message_id="one@customer.example"))
    ada.receive()

    Mailbox.objects.filter(pk=ada.mailbox.pk).update(account_generation=2)
    FolderCursor.objects.all().delete()
    ada.mailbox.refresh_from_db()
    ada.box = type(ada.box)()
    ada.box.deliver(message(message_id="two@customer.example"))
    ada.receive()

    assert Email.objects.count() == 2
    assert SyncItem.objects.filter(source_key="1.1").count() == 2


def another_account(ada: Account) -> None:
    """As after a changed address: other keys, no cursors."""
    generation = ada.mailbox.account_generation + 1
    Mailbox.objects.filter(pk=ada.mailbox.pk).update(account_generation=generation)
    FolderCursor.objects.all().delete()
    ada.mailbox.refresh_from_db()
    ada.box = type(ada.box)()


def one_unreadable(ada: Account, message_id: str) -> None:
    key = ada.box.deliver(message(message_id=message_id))
    ada.prepare = lambda server: server.fail_message(key, MessageUnreadable("NO"))
    ada.receive()
    ada.prepare = lambda server: None


@pytest.mark.rule("R1.43", "R3.72")
def test_what_a_former_account_was_to_give_once_more_ends_with_its_reason(ada: Account) -> None:
    one_unreadable(ada, "one@customer.example")
    assert states(ada) == {"1.1": "retrying"}
    another_account(ada)
    ada.box.deliver(message(message_id="two@customer.example"))  # under the same key
    ada.later(minutes=16)

    result = ada.receive()

    former, now = SyncItem.objects.order_by("generation")
    assert (former.state, former.reason) == (ItemState.GONE, "MessageOfFormerAccount")
    assert former.next_attempt_at is None and former.left_at == ada.now
    assert now.state == ItemState.TRACKED
    assert result.by_state == {"gone": 1, "tracked": 1}
    assert "mailbox means no longer" in reasons.words_of(former.reason)
    # Nothing waits any more, so a glance is enough.
    ada.later(hours=1)
    context = load(ada.mailbox.pk, Operation.INCOMING, ada.now)
    assert not context.retries_due
    assert cursors_to_glance_at(context, ada.now)


@pytest.mark.rule("R3.72")
def test_what_failed_is_stored_from_its_kept_bytes_though_the_mailbox_means_another_account(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ada = Account(queue_mailbox("support", process_and_delete_emails=True))
    ada.box.deliver(message(message_id="one@customer.example"))
    with monkeypatch.context() as broken:
        broken.setattr(decide, "correlate", lambda *_: 1 / 0)
        ada.receive()
    another_account(ada)
    ada.box.deliver(message(message_id="two@customer.example"))
    ada.later(minutes=16)

    ada.receive()

    assert Email.objects.count() == 2
    assert {row.state for row in SyncItem.objects.all()} == {ItemState.TRACKED}
    # In an account that isn't reached any more nothing is to be done.
    assert [row.generation for row in ServerAction.objects.all()] == [2]


def test_kept_bytes_of_a_former_account_that_are_missing_are_asked_of_nobody(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada.box.deliver(message(message_id="one@customer.example"))
    with monkeypatch.context() as broken:
        broken.setattr(decide, "correlate", lambda *_: 1 / 0)
        ada.receive()
    another_account(ada)
    ada.box.deliver(message(message_id="two@customer.example"))
    ada.later(minutes=16)

    def missing(stored: object) -> bytes:
        raise blobs.BytesMissing("The mail storage lacks them.")

    monkeypatch.setattr(blobs, "read", missing)
    ada.receive()

    former = SyncItem.objects.get(generation=1)
    assert former.state == ItemState.RETRYING
    assert former.last_error.startswith("What was kept of it is missing")
    assert [each.message_id for each in Email.objects.all()] == ["two@customer.example"]


def test_what_the_account_of_now_holds_as_well_is_fetched_from_there(ada: Account) -> None:
    """A mailbox that moved to another server has the same mail there."""
    raw = message(message_id="one@customer.example")
    ada.box.deliver(raw)
    ada.receive()
    SyncItem.objects.update(
        state=ItemState.RETRYING, email=None, attempts=1, next_attempt_at=ada.now
    )
    Email.objects.all().delete()
    another_account(ada)
    ada.box.deliver(raw)
    ada.later(minutes=16)

    ada.receive()
    ada.receive()

    (row,) = SyncItem.objects.all()
    assert (row.generation, row.state) == (2, ItemState.TRACKED)
    assert Email.objects.count() == 1


# -- candidates


@pytest.mark.rule("R3.6", "R3.7")
def test_mail_from_before_the_start_date_is_counted_not_listed(ada: Account) -> None:
    old = datetime(2025, 12, 1, tzinfo=UTC)
    for number in range(3):
        ada.box.deliver(message(message_id=f"{number}@customer.example"), received_at=old)
    ada.box.deliver(message(message_id="new@customer.example"))

    ada.receive()

    assert SyncItem.objects.count() == 1
    assert FolderCursor.objects.get().before_start == 3
    assert all(server.calls["fetch"] <= 1 for server in ada.servers)


@pytest.mark.rule("R3.6", "R3.8")
def test_the_later_of_the_two_dates_counts(ada: Account) -> None:
    ada.mailbox.process_email_received_after = datetime(2026, 2, 1, tzinfo=UTC)
    ada.mailbox.save(update_fields=["process_email_received_after"])
    ada.box.deliver(message(message_id="early@x.example"), received_at=START.replace(day=15))
    ada.box.deliver(message(message_id="late@x.example"), received_at=START.replace(month=2, day=3))

    ada.receive()

    assert list(Email.objects.values_list("message_id", flat=True)) == ["late@x.example"]


@pytest.mark.rule("R3.9")
def test_mail_moved_into_the_inbox_later_is_seen_unless_strict_parity(ada: Account) -> None:
    late = datetime(2026, 2, 20, tzinfo=UTC)
    early = datetime(2026, 2, 10, tzinfo=UTC)
    ada.box.deliver(message(message_id="one@x.example"), received_at=late)
    ada.receive()
    ada.box.deliver(message(message_id="two@x.example"), received_at=early)
    ada.receive()
    assert Email.objects.count() == 2

    organization(strict_parity=True)
    ada.box.deliver(message(message_id="three@x.example"), received_at=early)
    ada.receive()

    assert Email.objects.count() == 2
    item = ada.items()["1.3"]
    assert (item.state, item.reason) == (ItemState.SKIPPED, "before_watermark")


@pytest.mark.rule("R3.14")
def test_calendar_traffic_is_skipped(ada: Account) -> None:
    raw = message(message_id="one@x.example").replace(
        b'Content-Type: text/plain; charset="utf-8"',
        b'Content-Type: text/calendar; charset="utf-8"; method=REQUEST',
    )
    assert b"text/calendar" in raw
    ada.box.deliver(raw)

    ada.receive()

    item = ada.items()["1.1"]
    assert (item.state, item.reason) == (ItemState.SKIPPED, "calendar")


@pytest.mark.rule("R2.14")
def test_our_own_probe_is_skipped_and_a_forged_one_is_not(ada: Account) -> None:
    ada.box.deliver(message(x_serversync=probe_header(ada.mailbox)))
    ada.box.deliver(message(message_id="forged@x.example", x_serversync="probe"))

    ada.receive()

    assert states(ada) == {"1.1": "skipped", "1.2": "tracked"}
    assert ada.items()["1.1"].reason == "own_probe"


@pytest.mark.rule("R3.10")
def test_a_message_over_150_megabytes_is_not_fetched(ada: Account) -> None:
    ada.box.deliver(message(message_id="big@x.example"))
    ada.box.deliver(message(message_id="small@x.example"))
    ada.box.messages()[0].claimed_size = 151 * 1024 * 1024
    ada.receive()

    item = ada.items()["1.1"]
    assert (item.state, item.reason) == (ItemState.SKIPPED, "too_large")
    assert list(Email.objects.values_list("message_id", flat=True)) == ["small@x.example"]
    assert TraceLog.objects.filter(code="MessageTooLarge").exists()


# -- queues


@pytest.mark.rule("R3.53", "R3.54", "R3.56")
def test_a_queue_gets_one_item_for_mail_to_it() -> None:
    support = Account(queue_mailbox("support"))
    support.box.deliver(message(message_id="one@x.example", to="support@example.com"))

    support.receive()

    item = QueueItem.objects.get()
    assert item.queue == support.mailbox.regarding_queue
    assert item.sender == "cleo@customer.example"


@pytest.mark.rule("R3.53")
def test_no_items_for_recipient_queues_if_switched_off() -> None:
    organization(create_queue_items_for_accepting_queue_recipients=False)
    ada, _queue = Account(user_mailbox("ada")), queue_mailbox("support")
    ada.box.deliver(message(to="ada@example.com, support@example.com"))

    ada.receive()

    assert Email.objects.count() == 1
    assert not QueueItem.objects.exists()


@pytest.mark.rule("R3.54")
@pytest.mark.parametrize("switch", [True, False])
def test_list_mail_is_queued_where_it_was_read(switch: bool) -> None:
    organization(create_queue_item_for_synchronizing_mailbox=switch)
    support = Account(queue_mailbox("support"))
    support.box.deliver(message(to="list@elsewhere.example"))

    support.receive()

    assert Email.objects.count() == 1
    assert QueueItem.objects.count() == int(switch)


@pytest.mark.rule("R3.21", "R3.55")
@pytest.mark.parametrize("switch", [True, False])
def test_a_duplicate_in_a_queue_mailbox_may_get_an_item_there(switch: bool) -> None:
    organization(sss_create_additional_queue_items_for_already_tracked_email=switch)
    ada, support = Account(user_mailbox("ada")), Account(queue_mailbox("support"))
    raw = message(message_id="one@x.example", to="ada@example.com")
    ada.box.deliver(raw)
    ada.receive()
    support.box.deliver(raw)
    support.receive()
    support.box.deliver(raw)
    support.receive()

    assert Email.objects.count() == 1
    assert QueueItem.objects.count() == int(switch)


# -- after processing


@pytest.mark.rule("R3.66")
def test_only_what_was_stored_is_deleted_from_a_queue_mailbox() -> None:
    support = Account(
        queue_mailbox("support", FilteringMethod.RESPONSES, process_and_delete_emails=True)
    )
    ada = Account(user_mailbox("ada"))
    first = message(message_id="one@x.example", to="ada@example.com")
    ada.box.deliver(first)
    ada.receive()
    support.box.deliver(
        message(message_id="two@x.example", to="support@example.com", in_reply_to="<one@x.example>")
    )
    support.box.deliver(message(message_id="three@x.example", to="support@example.com"))
    support.box.deliver(first)

    support.receive()

    assert states(support) == {"1.1": "tracked", "1.2": "rejected", "1.3": "duplicate"}
    assert [stored.uid for stored in support.box.messages()] == [2]
    assert set(ServerAction.objects.values_list("state", flat=True)) == {ActionState.DONE}
    assert support.receive().summary() == "nothing new"


@pytest.mark.rule("R3.66")
def test_rejected_mail_is_deleted_only_on_request() -> None:
    support = Account(
        queue_mailbox(
            "support",
            FilteringMethod.RESPONSES,
            process_and_delete_emails=True,
            delete_rejected_emails=True,
        )
    )
    support.box.deliver(message(message_id="one@x.example", to="support@example.com"))

    support.receive()

    assert states(support) == {"1.1": "rejected"}
    assert not support.box.messages()


@pytest.mark.rule("R3.66", "R9.10")
def test_a_delete_that_fails_is_done_later_and_nothing_is_doubled() -> None:
    support = Account(queue_mailbox("support", process_and_delete_emails=True))
    support.box.deliver(message(message_id="one@x.example", to="support@example.com"))
    support.prepare = lambda server: server.fail("apply", ConnectionLost("gone"))
    with pytest.raises(ConnectionLost):
        support.receive()
    assert len(support.box.messages()) == 1
    assert Email.objects.count() == 1

    support.prepare = lambda server: None
    support.receive()

    assert not support.box.messages()
    assert Email.objects.count() == 1
    assert ServerAction.objects.get().state == ActionState.DONE


def test_the_server_is_told_nothing_else(ada: Account) -> None:
    ada.box.deliver(message())

    ada.receive()

    assert ada.box.actions == []
    assert not ada.box.messages()[0].seen


def test_a_user_mailbox_never_deletes(ada: Account) -> None:
    ada.box.deliver(message())
    ada.mailbox.process_and_delete_emails = True  # as if a row had slipped through
    account = ada
    token = account.lease(0)
    from serversync.context import load
    from serversync.receive import IncomingCycle

    context = load(account.mailbox.pk, 0, account.now)
    context.mailbox.process_and_delete_emails = True
    IncomingCycle(context, token, lambda: account.now, account.connect).run()

    assert len(account.box.messages()) == 1
    assert not any(
        isinstance(action, Action) and action.kind == ActionKind.DELETE
        for _folder, action in account.box.actions
    )


# -- forward mailboxes


def forward_account() -> Account:
    owner = profile().owning_user
    mailbox = Mailbox.objects.create(
        name="Forwarded", email_address="forward@example.com", owning_user=owner
    )
    return Account(ready(mailbox, outgoing_email_delivery_method=0))


def wrapped(*originals: bytes, sender: str = "ben@example.com") -> bytes:
    head = (
        f"From: {sender}\r\nTo: forward@example.com\r\nMessage-ID: <fw@example.com>\r\n"
        "Subject: FW\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=w\r\n\r\n"
    ).encode()
    part = b"--w\r\nContent-Type: message/rfc822\r\nContent-Disposition: attachment\r\n\r\n"
    return head + b"".join(part + original + b"\r\n" for original in originals) + b"--w--\r\n"


@pytest.mark.rule("R1.35", "R3.75")
def test_a_forwarded_original_is_processed_for_who_forwarded_it() -> None:
    forward = forward_account()
    user_mailbox("ben", incoming_email_delivery_method=IncomingDeliveryMethod.FORWARD_MAILBOX)
    original = message(message_id="one@x.example", to="ben@example.com", subject="Original")
    forward.box.deliver(wrapped(original))

    result = forward.receive()

    email = Email.objects.get()
    assert email.activity.subject == "Original"
    assert email.receiving_mailbox == forward.mailbox
    assert email.accepting_entity() == SystemUser.objects.get(domain_name="ben")
    rows = {item.source_key: item for item in SyncItem.objects.all()}
    assert rows["1.1"].state == ItemState.SKIPPED
    assert rows["1.1"].reason == "forward_wrapper"
    assert rows["1.1/1"].state == ItemState.TRACKED
    assert rows["1.1/1"].parent == rows["1.1"]
    assert sum(result.by_state.values()) == SyncItem.objects.count()


@pytest.mark.rule("R3.67", "R3.75")
def test_a_forward_waits_as_a_whole_for_an_original_that_fails(monkeypatch) -> None:
    forward = forward_account()
    user_mailbox("ben", incoming_email_delivery_method=IncomingDeliveryMethod.FORWARD_MAILBOX)
    parts = [
        message(message_id=f"{name}@x.example", to="ben@example.com", subject=name)
        for name in ("good", "poison")
    ]
    forward.box.deliver(wrapped(*parts))
    # A copy of the good one, beside it: it must not rest on what isn't written.
    forward.box.deliver(wrapped(parts[0]))
    real = promote.judge

    def poisoned(reading, unit, page):
        if unit.message.subject == "poison":
            raise ValueError("poison")
        return real(reading, unit, page)

    monkeypatch.setattr(promote, "judge", poisoned)
    forward.receive()
    rows = forward.items()
    assert rows["1.1"].state == ItemState.RETRYING
    assert "1.1/1" not in rows
    assert rows["1.2/1"].state == ItemState.TRACKED
    assert Email.objects.get() == rows["1.2/1"].email

    monkeypatch.setattr(promote, "judge", real)
    forward.later(minutes=16)
    forward.receive()

    rows = forward.items()
    assert {key: row.state for key, row in rows.items()} == {
        "1.1": ItemState.SKIPPED,
        "1.1/1": ItemState.DUPLICATE,
        "1.1/2": ItemState.TRACKED,
        "1.2": ItemState.SKIPPED,
        "1.2/1": ItemState.TRACKED,
    }
    assert rows["1.1/1"].email == rows["1.2/1"].email


@pytest.mark.rule("R2.14", "R3.75")
def test_our_own_probe_inside_a_forward_is_skipped_for_who_forwarded_it_alone() -> None:
    forward = forward_account()
    method = {"incoming_email_delivery_method": IncomingDeliveryMethod.FORWARD_MAILBOX}
    ben, cleo = user_mailbox("ben", **method), user_mailbox("cleo", **method)
    probe = message(
        message_id="probe@x.example",
        sender="ben@example.com",
        to="ben@example.com",
        x_serversync=probe_header(ben),
    )
    forward.box.deliver(wrapped(probe))
    # another's probe, and a forged one, are mail like any other
    forward.box.deliver(
        wrapped(
            message(
                message_id="other@x.example", to="ben@example.com", x_serversync=probe_header(cleo)
            )
        )
    )
    forward.box.deliver(
        wrapped(
            message(message_id="forged@x.example", to="ben@example.com", x_serversync="probe x")
        )
    )

    forward.receive()

    rows = {item.source_key: item for item in SyncItem.objects.all()}
    assert (rows["1.1/1"].state, rows["1.1/1"].reason) == (ItemState.SKIPPED, "own_probe")
    assert rows["1.1/1"].trace["forwarded_by"]["name"] == str(ben.regarding_user)
    assert rows["1.2/1"].state == rows["1.3/1"].state == ItemState.TRACKED
    assert Email.objects.count() == 2


@pytest.mark.rule("R3.75")
@pytest.mark.parametrize(
    ("method", "raw", "sub_reason"),
    [
        (IncomingDeliveryMethod.FORWARD_MAILBOX, message(sender="ben@example.com"), "not_attached"),
        (
            IncomingDeliveryMethod.SERVER_SIDE_SYNC,
            wrapped(message(message_id="one@x.example")),
            "method_not_forward",
        ),
        (
            IncomingDeliveryMethod.FORWARD_MAILBOX,
            wrapped(message(message_id="one@x.example"), sender="stranger@elsewhere.example"),
            "forwarder_unknown",
        ),
    ],
    ids=["inline", "method", "stranger"],
)
def test_what_is_no_proper_forward_is_rejected(
    method: IncomingDeliveryMethod, raw: bytes, sub_reason: str
) -> None:
    forward = forward_account()
    user_mailbox("ben", incoming_email_delivery_method=method)
    forward.box.deliver(raw)

    forward.receive()

    item = SyncItem.objects.get()
    assert (item.state, item.reason, item.sub_reason) == (
        ItemState.REJECTED,
        "InvalidForwardMailItem",
        sub_reason,
    )
    assert TraceLog.objects.filter(code="InvalidForwardMailItem").exists()


@pytest.mark.rule("R3.4")
def test_mail_below_the_inbox_is_left_alone(ada: Account) -> None:
    ada.box.deliver(message(message_id="one@x.example"))
    ada.box.deliver(message(message_id="two@x.example"), folder="INBOX/Projects")
    ada.box.deliver(message(message_id="three@x.example"), folder="Archive")

    ada.receive()

    assert list(Email.objects.values_list("message_id", flat=True)) == ["one@x.example"]
    assert SyncItem.objects.count() == 1


@pytest.mark.rule("R3.19")
def test_the_checks_come_in_their_order() -> None:
    """Each message fails two checks; the earlier one names the reason."""
    ada = Account(user_mailbox("ada", FilteringMethod.RESPONSES))
    stored = message(message_id="one@x.example", in_reply_to="<none@x.example>")
    ben = Account(user_mailbox("ben"))
    ben.box.deliver(stored.replace(b"ada@example.com", b"ben@example.com"))
    ben.receive()
    # no sender, and known already; known already, and nobody among the recipients accepts it;
    # nobody among the recipients, and the filter would not accept either
    ada.box.deliver(message(message_id="one@x.example", sender=""))
    ada.box.deliver(stored)
    ada.box.deliver(message(message_id="two@x.example", to="list@elsewhere.example"))

    ada.receive()

    reasons = [item.reason for item in ada.items().values()]
    assert reasons == ["InvalidSender", "Duplicate", "NoRecipientMatch"]


@pytest.mark.rule("R9.10")
def test_what_is_still_to_be_deleted_keeps_its_message_over_a_reset() -> None:
    support = Account(queue_mailbox("support", process_and_delete_emails=True))
    support.box.deliver(message(message_id="one@x.example", to="support@example.com"))
    support.prepare = lambda server: server.fail("apply", ConnectionLost("gone"))
    with pytest.raises(ConnectionLost):
        support.receive()

    support.prepare = lambda server: None
    support.box.reset_keys()
    support.receive()

    assert not support.box.messages()
    assert ServerAction.objects.get().state == ActionState.DONE
    assert Email.objects.count() == SyncItem.objects.count() == 1
