"""Sent items are judged like the inbox, by the recipients (section 3.9)."""

import pytest

from activities.choices import Direction, EmailStatus, ParticipationType
from activities.models import Contact, Email
from mailboxes.choices import FilteringMethod, ServerType
from mailboxes.protocols.base import SENT
from serversync.models import SyncItem
from tests.integration.serversync.cycles import (
    Account,
    message,
    organization,
    profile,
    user_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


def account_of(
    kind: ServerType, filtering: FilteringMethod = FilteringMethod.LEADS_CONTACTS_ACCOUNTS
) -> Account:
    profile(server_type=kind)
    made = Account(user_mailbox("ada", filtering), exchange=kind.is_exchange)
    made.box.add_folder(SENT)
    return made


@pytest.fixture(params=[ServerType.EXCHANGE_SERVER, ServerType.IMAP_SMTP], ids=["Exchange", "IMAP"])
def ada(request: pytest.FixtureRequest) -> Account:
    organization(auto_track_sent_folder_items=True)
    return account_of(request.param)


def put(account: Account, number: int, to: str, **headers: str) -> str:
    sent = message(
        message_id=f"{number}@example.com", sender="Ada <ada@example.com>", to=to, **headers
    )
    return account.box.deliver(sent, SENT)


def outcomes(account: Account) -> dict[str, tuple[str, str]]:
    rows = SyncItem.objects.filter(mailbox=account.mailbox)
    return {row.message_id: (row.state, row.reason) for row in rows}


@pytest.mark.rule("R3.60")
def test_the_recipients_are_tested_instead_of_the_sender(ada: Account) -> None:
    owner = ada.mailbox.owning_user
    Contact.objects.create(
        last_name="Cleo", email_address1="cleo@customer.example", owning_user=owner
    )
    put(ada, 1, "stranger@elsewhere.example, cleo@customer.example")
    put(ada, 2, "stranger@elsewhere.example")

    ada.receive()

    assert outcomes(ada) == {
        "1@example.com": ("tracked", "SenderMatch"),
        "2@example.com": ("rejected", "NoCorrelationMatch"),
    }
    rejected = SyncItem.objects.get(message_id="2@example.com")
    assert rejected.sub_reason == "filter_recipients_unknown"


@pytest.mark.rule("R3.60", "R10.10")
def test_it_is_stored_as_outgoing_and_sent(ada: Account) -> None:
    Contact.objects.create(
        last_name="Cleo",
        email_address1="cleo@customer.example",
        owning_user=ada.mailbox.owning_user,
    )
    put(ada, 1, "cleo@customer.example")

    ada.receive()

    email = Email.objects.get()
    assert email.direction_code == Direction.OUTGOING
    assert email.status_code == EmailStatus.SENT
    assert email.sender_mailbox == ada.mailbox
    assert email.receiving_mailbox is None
    assert email.activity.owning_user == ada.mailbox.owning_user
    parties = {
        (party.participation_type_mask, party.party_type.model, party.address_used)
        for party in email.activity.parties.all()
    }
    assert parties == {
        (ParticipationType.SENDER, "systemuser", "ada@example.com"),
        (ParticipationType.TO, "contact", "cleo@customer.example"),
    }
    assert not email.activity.queue_items.exists()


@pytest.mark.rule("R3.60")
@pytest.mark.parametrize(
    ("filtering", "tracked"),
    [
        (FilteringMethod.ALL, {"1@example.com", "2@example.com"}),
        (FilteringMethod.RESPONSES, {"2@example.com"}),
        (FilteringMethod.EMAIL_ENABLED, set()),
        (FilteringMethod.NONE, set()),
    ],
    ids=["all", "responses", "email-enabled", "none"],
)
def test_the_filter_of_the_mailboxs_party_decides(
    filtering: FilteringMethod, tracked: set[str]
) -> None:
    organization(auto_track_sent_folder_items=True)
    ada = account_of(ServerType.EXCHANGE_SERVER, filtering)
    ben = user_mailbox("ben", FilteringMethod.ALL)
    assert ben
    stored = message(message_id="asked@customer.example", to="ben@example.com")
    other = Account(ben)
    other.box.deliver(stored)
    other.receive()
    put(ada, 1, "stranger@elsewhere.example")
    put(ada, 2, "stranger@elsewhere.example", in_reply_to="<asked@customer.example>")

    ada.receive()

    rows = SyncItem.objects.filter(mailbox=ada.mailbox, state="tracked")
    assert {row.message_id for row in rows} == tracked


@pytest.mark.rule("R3.60")
@pytest.mark.parametrize("kind", [ServerType.EXCHANGE_SERVER, ServerType.IMAP_SMTP])
def test_they_are_left_alone_unless_that_was_switched_on(kind: ServerType) -> None:
    ada = account_of(kind, FilteringMethod.ALL)
    put(ada, 1, "cleo@customer.example")

    ada.receive()

    assert not SyncItem.objects.exists()


@pytest.mark.rule("R3.61")
def test_the_copy_of_what_was_sent_from_here_is_a_duplicate(ada: Account) -> None:
    from tests.integration.serversync.connected import write

    Contact.objects.create(
        last_name="Cleo",
        email_address1="cleo@customer.example",
        owning_user=ada.mailbox.owning_user,
    )
    email = write(ada.mailbox, "cleo@customer.example", now=ada.now)
    ada.later(minutes=30)
    ada.send()
    (sent,) = ada.outgoing.sent
    Email.objects.update(sent_on=ada.now)  # as it was sent, which is not when it was written
    ada.box.deliver(sent.mime, SENT)

    ada.receive()

    row = SyncItem.objects.exclude(state="skipped").get()
    assert (row.state, row.email_id) == ("duplicate", email.pk)
    assert Email.objects.count() == 1


def test_an_answer_to_it_correlates(ada: Account) -> None:
    Contact.objects.create(
        last_name="Cleo",
        email_address1="cleo@customer.example",
        owning_user=ada.mailbox.owning_user,
    )
    put(ada, 1, "cleo@customer.example")
    ada.receive()
    ada.box.deliver(message(message_id="answer@customer.example", in_reply_to="<1@example.com>"))
    ada.later(minutes=5)

    ada.receive()

    answer = Email.objects.get(message_id="answer@customer.example")
    assert answer.correlated_activity_id == Email.objects.get(message_id="1@example.com").pk


def test_an_answer_that_came_with_it_in_one_poll_correlates_too() -> None:
    organization(auto_track_sent_folder_items=True)
    ada = account_of(ServerType.EXCHANGE_SERVER, FilteringMethod.RESPONSES)
    ada.box.deliver(message(message_id="asked@customer.example"))
    ada.receive()
    put(ada, 1, "cleo@customer.example", in_reply_to="<asked@customer.example>")
    assert not Email.objects.exists()
    organization(sender_filters_accept_replies=True)
    user = ada.mailbox.regarding_user
    user.settings.incoming_email_filtering_method = FilteringMethod.ALL
    user.settings.save()
    ada.box.deliver(message(message_id="answer@customer.example", in_reply_to="<1@example.com>"))
    ada.later(minutes=5)

    ada.receive()

    answer = Email.objects.get(message_id="answer@customer.example")
    assert answer.correlated_activity == Email.objects.get(message_id="1@example.com")


def test_a_backlog_of_sent_mail_leaves_room_for_what_comes_in(ada: Account) -> None:
    organization(messages_per_cycle=4, messages_per_page=2)
    for number in range(9):
        put(ada, number, "cleo@customer.example")
    ada.box.deliver(message(message_id="fresh@customer.example"))

    result = ada.receive()

    assert result.more
    assert "fresh@customer.example" in outcomes(ada)
    for _cycle in range(4):
        ada.receive()
    assert len(outcomes(ada)) == 10
