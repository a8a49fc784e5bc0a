"""Which stored email a message answers, over whole cycles and both databases."""

import base64

import pytest

from activities.choices import CorrelationMethod
from activities.models import Email
from mailboxes.choices import FilteringMethod
from tests.integration.serversync.cycles import (
    Account,
    message,
    organization,
    user_mailbox,
)
from tracking.trace import sentences

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

ROOT = bytes(range(100, 122))


def index(octets: bytes) -> str:
    return base64.b64encode(octets).decode()


def arrive(account: Account, **headers: str) -> Email | None:
    """One message, received; the email it became."""
    account.box.deliver(message(**headers))
    account.later(minutes=5)
    before = set(Email.objects.values_list("pk", flat=True))
    account.receive()
    return Email.objects.select_related("activity").exclude(pk__in=before).first()


def told(email: Email) -> list[str]:
    return [str(sentence) for sentence in sentences(email.decision)]


@pytest.fixture
def ada() -> Account:
    return Account(user_mailbox("ada"))


# -- conversation index


@pytest.mark.rule("R4.1", "R4.14", "R4.19")
def test_an_answer_without_ids_is_found_by_its_conversation_index(ada: Account) -> None:
    contact = ada.mailbox.regarding_user  # any record will do
    first = arrive(ada, message_id="1@x", thread_index=index(ROOT))
    first.activity.regarding_type_id, first.activity.regarding_id = 1, str(contact.pk)
    first.activity.save()

    answer = arrive(ada, message_id="2@x", thread_index=index(ROOT + b"12345"))
    other = arrive(ada, message_id="3@x", thread_index=index(ROOT[:21] + b"?"))

    assert answer.correlated_activity_id == answer.parent_activity_id == first.pk
    assert answer.correlation_method == CorrelationMethod.CONVERSATION_INDEX == 5
    assert answer.conversation_tracking_id == first.conversation_tracking_id
    assert answer.activity.regarding_id == str(contact.pk)
    assert "Conversation index: an email of the same conversation is stored here. (R4.14)" in told(
        answer
    )
    assert other.correlation_method == CorrelationMethod.NONE


@pytest.mark.rule("R4.14")
def test_messages_of_one_page_find_each_other_by_their_index(ada: Account) -> None:
    for number in range(3):
        raw = message(message_id=f"{number}@x", thread_index=index(ROOT + b"12345" * number))
        ada.box.deliver(raw)
    ada.receive()
    first, second, third = Email.objects.order_by("message_id")

    assert (second.parent_activity_id, third.parent_activity_id) == (first.pk, second.pk)


@pytest.mark.rule("R4.3")
@pytest.mark.parametrize(
    "switch",
    [
        {"email_correlation_enabled": False},
        {"ignore_conversation_index_and_in_reply_to_for_correlation": True},
    ],
)
def test_index_is_not_compared_where_that_is_switched_off(ada: Account, switch) -> None:
    organization(**switch)
    arrive(ada, message_id="1@x", thread_index=index(ROOT))
    answer = arrive(ada, message_id="2@x", thread_index=index(ROOT))

    assert answer.correlation_method == CorrelationMethod.NONE
    assert "Conversation index: switched off in the organization. (R4.3)" in told(answer)


@pytest.mark.rule("R4.21")
def test_an_email_that_was_deleted_is_not_found(ada: Account) -> None:
    arrive(ada, message_id="1@x", thread_index=index(ROOT)).activity.delete()
    answer = arrive(ada, message_id="2@x", in_reply_to="<1@x>", thread_index=index(ROOT))

    assert answer.correlation_method == CorrelationMethod.NONE


@pytest.mark.rule("R4.14", "R3.16")
def test_filter_of_responses_takes_what_the_index_finds() -> None:
    ada = Account(user_mailbox("ada", FilteringMethod.RESPONSES))
    support = Account(user_mailbox("support"))
    arrive(support, message_id="1@x", to="support@example.com", thread_index=index(ROOT))

    answer = arrive(ada, message_id="2@x", thread_index=index(ROOT + b"12345"))
    stranger = arrive(ada, message_id="3@x", thread_index=index(bytes(22)))

    assert answer.correlation_method == CorrelationMethod.CONVERSATION_INDEX
    assert stranger is None
