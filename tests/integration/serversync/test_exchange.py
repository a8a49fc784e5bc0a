"""The whole incoming and outgoing cycle over Exchange Web Services, against the sandbox."""

import base64
from collections.abc import Iterator
from datetime import timedelta
from email import message_from_bytes
from email.policy import default

import pytest

from activities.choices import EmailStatus
from activities.mime.message import Address
from activities.models import Email
from mailboxes.causes import cause_of
from mailboxes.choices import (
    ActDeliveryMethod,
    FilteringMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    Reach,
)
from mailboxes.connect import items_server
from mailboxes.models import Mailbox, Organization, TraceLog
from serversync import outbox, testing
from serversync.models import FolderCursor, SyncItem
from serversync.outbox import Draft
from serversync.sandbox.ews.quirks import Quirks
from serversync.sandbox.servers import Sandbox, running_sandbox
from tests.factories.mailboxes import group_of
from tests.integration.serversync.connected import write
from tests.integration.serversync.cycles import organization, queue_mailbox
from tests.integration.serversync.exchanges import PASSWORD, ExchangeAccount, profile_at
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with running_sandbox(local_domains=("example.com",)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    profile_at(running)
    yield running
    running.faults.clear()
    running.exchange.quirks = Quirks()
    for account in running.exchange.store.accounts():
        running.exchange.store.remove_account(account.address)
    running.exchange.requests.clear()


@pytest.fixture
def ada(sandbox: Sandbox) -> ExchangeAccount:
    return ExchangeAccount.of_user(sandbox, "ada")


def test_mail_comes_in_and_is_left_as_it_is(ada: ExchangeAccount) -> None:
    for number in range(3):
        ada.put(number)

    ada.receive()

    assert set(ada.states().values()) == {"tracked"}
    assert Email.objects.count() == 3
    items = ada.exchange.items(ada.address)
    assert not any(item.is_read for item in items)


def test_an_idle_poll_is_one_request_a_folder_and_at_most_four_statements(
    ada: ExchangeAccount,
) -> None:
    ada.put(1)
    ada.track("Inbox/Customers")
    ada.put(2, "Inbox/Customers")
    ada.receive()
    ada.requested()
    ada.now += timedelta(minutes=5)

    with counting() as counted:
        result = ada.receive()

    assert not result.by_state
    assert ada.requested() == ["SyncFolderItems"] * 2
    # Taking and ending the lease are the test's and the engine's.
    assert len(counted) - 1 <= 4 - 1, str(counted)


def test_a_page_of_50_new_messages_is_at_most_three_requests(ada: ExchangeAccount) -> None:
    ada.put(999)
    ada.receive()
    ada.requested()
    for number in range(50):
        ada.put(number)
    ada.now += timedelta(minutes=5)

    result = ada.receive()

    assert result.by_state == {"tracked": 50}
    assert len(ada.requested()) <= 3


@pytest.mark.parametrize("silent", [False, True], ids=["told", "silent"])
def test_a_reset_in_a_backlog_of_1000_messages_loses_and_doubles_nothing(
    ada: ExchangeAccount, silent: bool
) -> None:
    organization(messages_per_cycle=600)
    with ada.exchange.store.writing():
        for number in range(1000):
            ada.put(number)
    first = ada.receive()
    assert first.more
    assert SyncItem.objects.count() == 600

    ada.exchange.quirks = Quirks(silent_sync_restart=silent)
    ada.exchange.invalidate_sync_states(ada.address)
    ada.put(1000)
    for _cycle in range(4):
        ada.now += timedelta(minutes=5)
        ada.receive()

    assert SyncItem.objects.count() == 1001
    assert set(ada.states().values()) == {"tracked"}
    assert Email.objects.count() == 1001
    assert len(set(Email.objects.values_list("message_id", flat=True))) == 1001
    assert FolderCursor.objects.get().onboarded


def test_mail_goes_out_keeps_its_id_and_lies_in_sent_items_once(
    sandbox: Sandbox, ada: ExchangeAccount
) -> None:
    ben = ExchangeAccount.of_user(sandbox, "ben")
    email = write(ada.mailbox, ben.address, now=ada.now)

    ada.send()
    ada.receive()
    ben.receive()

    email.refresh_from_db()
    assert email.status_code == EmailStatus.SENT
    assert len(ada.exchange.messages(ada.address, "sentitems")) == 1
    received = Email.objects.exclude(pk=email.pk).get()
    assert received.message_id == email.message_id
    assert received.receiving_mailbox == ben.mailbox


@pytest.mark.rule("R4.10", "R4.12", "R4.14")
def test_answers_find_their_email_by_token_and_by_conversation_index(
    sandbox: Sandbox, ada: ExchangeAccount
) -> None:
    ben = ExchangeAccount.of_user(sandbox, "ben")
    email = write(ada.mailbox, ben.address, subject="Plans", now=ada.now)
    ada.send()
    base = bytes(range(22))
    ada.put(1, sender=ben.address, subject="AW: Plans CRM:0001001")
    ada.put(2, sender=ben.address, thread_index=base64.b64encode(base).decode())
    ada.put(3, sender=ben.address, thread_index=base64.b64encode(base + b"12345").decode())

    ada.receive()

    by_id = {e.message_id.partition("@")[0]: e for e in Email.objects.exclude(pk=email.pk)}
    assert (by_id["1"].correlation_method, by_id["1"].correlated_activity_id) == (4, email.pk)
    assert (by_id["3"].correlation_method, by_id["3"].parent_activity_id) == (5, by_id["2"].pk)


def test_categories_work_over_the_wire(sandbox: Sandbox) -> None:
    organization(track_categorized_items=True, name="Works")
    ada = ExchangeAccount.of_user(sandbox, "ada", FilteringMethod.NONE)
    ada.put(1)
    ada.put(2, "Inbox")
    ada.receive()
    (first, _second) = ada.exchange.items(ada.address)
    ada.exchange.categorize(first, "Tracked to Works", "Red")
    ada.now += timedelta(minutes=16)

    ada.receive()

    assert sorted(ada.states().values()) == ["rejected", "tracked"]


def test_what_was_tracked_carries_the_category_beside_its_own(sandbox: Sandbox) -> None:
    organization(track_categorized_items=True, name="Works")
    ada = ExchangeAccount.of_user(sandbox, "ada")
    ada.receive()
    ada.exchange.deliver(
        ada.address,
        b"From: cleo@customer.example\r\nSubject: x\r\n\r\nx\r\n",
        categories=["Red"],
        received_at=ada.now,
    )
    ada.now += timedelta(minutes=5)

    ada.receive()

    (item,) = ada.exchange.items(ada.address)
    assert sorted(item.categories) == ["Red", "Tracked to Works"]


@pytest.mark.rule("R3.70", "R3.71")
def test_what_failed_for_good_lies_in_the_undeliverable_folder(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mailboxes.models import EmailServerProfile
    from tracking import decide

    organization(track_categorized_items=True, name="Works", promotion_attempts=1)
    EmailServerProfile.objects.update(move_undelivered_emails=True)
    ada = ExchangeAccount.of_user(sandbox, "ada")
    ada.receive()
    ada.put(1)
    ada.now += timedelta(minutes=5)
    monkeypatch.setattr(decide, "correlate", lambda *_: 1 / 0)

    ada.receive()

    (item,) = ada.exchange.items(ada.address, "Undeliverable")
    assert item.categories == ["(Undeliverable)"]
    assert not ada.exchange.items(ada.address)


# -- through the submitter's mailbox


@pytest.mark.rule("R5.26")
@pytest.mark.parametrize("right", ["SendAs", "SendOnBehalf"])
def test_mail_leaves_through_the_submitter_s_mailbox_on_behalf_of_its_sender(
    sandbox: Sandbox, ada: ExchangeAccount, right: str
) -> None:
    email = sent_as_a_queue(sandbox, ada, right)

    ada.send()

    assert Email.objects.get(pk=email.pk).status == EmailStatus.SENT
    ((sender, recipients, mime),) = sandbox.sent
    assert (sender, recipients) == ("support@example.com", ("cleo@customer.example",))
    header = message_from_bytes(mime, policy=default)
    assert header["From"] == "Support <support@example.com>"
    assert header["Sender"] == "Ada <ada@example.com>"
    assert email.sender_mailbox == ada.mailbox
    assert email.message_id.endswith("@example.com")
    assert len(ada.exchange.items(ada.address, "sentitems")) == 1
    assert ada.exchange.items("support@example.com", "sentitems") == []


@pytest.mark.rule("R5.26")
def test_without_a_right_on_the_server_it_is_refused_and_says_what_to_do(
    sandbox: Sandbox, ada: ExchangeAccount
) -> None:
    email = sent_as_a_queue(sandbox, ada, "")

    ada.send()

    email.refresh_from_db()
    assert (email.status, email.last_error_code) == (EmailStatus.FAILED, "ErrorSendAsDenied")
    assert sandbox.sent == []
    assert "send on behalf" in cause_of(email.last_error_code, "").advice
    alert = TraceLog.objects.get(code="ErrorSendAsDenied")
    assert alert.regarding_mailbox == ada.mailbox


def sent_as_a_queue(sandbox: Sandbox, ada: ExchangeAccount, right: str) -> Email:
    """By Ada; on the server the queue's account gives her this right."""
    organization(
        enable_mailbox_delegation_for_outgoing_email=True,
        allow_unresolved_parties_on_email_send=True,
    )
    sandbox.sent.clear()
    queue = queue_mailbox().regarding_queue
    sandbox.exchange.add_account("support@example.com", PASSWORD)
    if right:
        sandbox.exchange.grant("support@example.com", ada.address, right)
    user = ada.mailbox.regarding_user
    group_of(user, "view_queue", reach=Reach.ALL)
    draft = Draft(sender=queue, to=(Address("cleo@customer.example"),), subject="Hello", body="x")
    email = outbox.create_draft(draft, actor=user, now=ada.now)
    return outbox.submit(email, actor=user, now=ada.now).email


@pytest.mark.rule("R2.15", "R6.60", "R6.61")
def test_calendar_contacts_and_tasks_are_opened_marked_and_taken_over(
    ada: ExchangeAccount,
) -> None:
    Mailbox.objects.filter(pk=ada.mailbox.pk).update(
        act_delivery_method=ActDeliveryMethod.SERVER_SIDE_SYNC,
        incoming_email_delivery_method=IncomingDeliveryMethod.NONE,
        outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE,
    )
    assert testing.test_mailbox(ada.mailbox).ok
    workload = ada.mailbox.workloads.get(operation=Operation.ACT)
    steps = [step["step"] for step in workload.test_steps]
    assert steps[-4:] == ["calendar", "contacts", "tasks", "marker"]
    assert "login" in steps and len(set(steps)) == len(steps)

    Organization.objects.all().delete()  # another site has its turn with the account
    refused = testing.test_mailbox(ada.mailbox)
    assert [one.code for one in refused.results] == ["ConfiguredWithOtherOrganization"]
    assert testing.test_mailbox(ada.mailbox, take_over=True).ok

    organization = Organization.objects.current()
    server = items_server(ada.mailbox, organization).open()
    marker = server.marker()
    server.close()
    assert marker is not None and marker.organization == str(organization.pk)
