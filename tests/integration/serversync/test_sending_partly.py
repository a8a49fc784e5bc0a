"""Some recipients were served and others put off: those get it later, and nobody gets it twice."""

from collections import Counter

import pytest

from activities.choices import DeliveryResult, EmailStatus
from activities.mime.message import Address
from activities.models import ActivityParty, Email
from mailboxes.models import TraceLog
from mailboxes.protocols.errors import ConnectionLost, MessageDeferred, MessageRefused
from serversync import outbox
from serversync.choices import ActionState, SubmissionState
from serversync.models import ServerAction, Submission
from tests.integration.serversync.connected import write
from tests.integration.serversync.cycles import Account, organization, user_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

CLEO, DORA, EMIL = (f"{name}@customer.example" for name in ("cleo", "dora", "emil"))
ACCEPTED, REFUSED, NONE = DeliveryResult.ACCEPTED, DeliveryResult.REFUSED, DeliveryResult.NONE


@pytest.fixture
def ada() -> Account:
    organization(allow_unresolved_parties_on_email_send=True)
    return Account(user_mailbox("ada"))


def status() -> EmailStatus:
    return EmailStatus(Email.objects.get().status_code)


def results() -> dict[str, int]:
    parties = ActivityParty.objects.exclude(participation_type_mask=1)
    return dict(parties.values_list("address_used", "delivery_result"))


def got(account: Account) -> Counter[str]:
    """Who got it, how often."""
    refused = account.outgoing._refused
    return Counter(
        address
        for envelope in account.outgoing.sent
        for address in envelope.recipients[: account.outgoing.most_recipients or None]
        if address not in refused
    )


@pytest.mark.rule("R5.16")
def test_who_was_put_off_gets_it_later_and_alone(ada: Account) -> None:
    write(ada.mailbox, CLEO, DORA, EMIL, now=ada.now)
    ada.outgoing.defer(DORA)
    ada.outgoing.refuse(EMIL)

    ada.send()

    assert status() == EmailStatus.PENDING_SEND
    assert results() == {CLEO: ACCEPTED, DORA: NONE, EMIL: REFUSED}
    email = Email.objects.get()
    assert email.postpone_email_processing_until > ada.now
    assert DORA in email.last_error_text and EMIL not in email.last_error_text
    assert not ServerAction.objects.exists()

    ada.outgoing.accept(DORA)
    ada.later(hours=2)
    ada.send()

    assert status() == EmailStatus.SENT
    assert results() == {CLEO: ACCEPTED, DORA: ACCEPTED, EMIL: REFUSED}
    first, second = ada.outgoing.sent
    assert (first.recipients, second.recipients) == ((CLEO, DORA, EMIL), (DORA,))
    assert (first.message_id, first.mime) == (second.message_id, second.mime)
    states = Submission.objects.order_by("attempt").values_list("state", flat=True)
    assert list(states) == [SubmissionState.PARTLY, SubmissionState.ACCEPTED]
    assert ServerAction.objects.get().state == ActionState.PENDING


@pytest.mark.rule("R5.16")
def test_as_many_as_the_server_takes_at_once_get_it_in_one_cycle(ada: Account) -> None:
    everybody = [f"someone{number}@customer.example" for number in range(130)]
    write(ada.mailbox, *everybody, now=ada.now)
    ada.outgoing.most_recipients = 10

    ada.send()
    while status() == EmailStatus.PENDING_SEND:
        ada.send()

    assert status() == EmailStatus.SENT
    assert set(results().values()) == {ACCEPTED}
    assert set(got(ada).values()) == {1}
    assert len(ada.outgoing.sent) == 13
    assert Email.objects.get().last_error_code == ""


@pytest.mark.rule("R5.11", "R5.16")
@pytest.mark.parametrize("answer", ["later", "never"])
def test_who_never_gets_it_is_marked_and_the_others_have_it(ada: Account, answer: str) -> None:
    organization(maximum_email_delivery_attempts=3, generate_alerts_for_warnings=True)
    write(ada.mailbox, CLEO, DORA, now=ada.now)
    ada.outgoing.defer(DORA)
    ada.send()
    if answer == "never":
        ada.outgoing.refuse(DORA)
    for _attempt in range(4):
        ada.later(hours=5)
        ada.send()

    assert status() == EmailStatus.SENT
    assert results() == {CLEO: ACCEPTED, DORA: REFUSED}
    assert len(ada.outgoing.sent) == 1
    assert Submission.objects.count() == (2 if answer == "never" else 3)
    email = Email.objects.get()
    assert email.last_error_code == "RecipientsRefused"
    assert DORA in email.last_error_text
    assert TraceLog.objects.filter(code="RecipientsRefused", closed_on=None).exists()
    assert ServerAction.objects.count() == 1


@pytest.mark.rule("R5.16")
@pytest.mark.parametrize("error", [MessageDeferred("451 not now"), MessageRefused("554 no")])
def test_a_refused_message_changes_nothing_for_who_has_it(ada: Account, error: Exception) -> None:
    write(ada.mailbox, CLEO, DORA, now=ada.now)
    ada.outgoing.defer(DORA)
    ada.send()
    ada.outgoing.accept(DORA)
    ada.outgoing.fail("after", error)
    ada.later(hours=5)
    ada.send()
    ada.later(hours=5)
    ada.send()

    assert status() == EmailStatus.SENT
    assert results()[CLEO] == ACCEPTED
    assert got(ada)[CLEO] == 1


@pytest.mark.rule("R5.16", "R5.17")
@pytest.mark.parametrize("left", [True, False])
def test_only_the_rest_is_in_doubt(ada: Account, left: bool) -> None:
    write(ada.mailbox, CLEO, DORA, now=ada.now)
    ada.outgoing.defer(DORA)
    ada.send()
    ada.outgoing.accept(DORA)
    ada.outgoing.accept_when_lost = left
    ada.outgoing.fail("after", ConnectionLost("gone"))
    ada.later(hours=5)
    ada.send()
    assert status() == EmailStatus.SENDING

    unknown = Submission.objects.get(state=SubmissionState.UNKNOWN)
    user = ada.mailbox.regarding_user
    outbox.decide_unknown(unknown, left=left, actor=user, now=ada.now)
    ada.send()
    ada.send()

    assert status() == EmailStatus.SENT
    assert results() == {CLEO: ACCEPTED, DORA: ACCEPTED}
    served = [address for envelope in ada.outgoing.sent for address in envelope.recipients]
    assert Counter(served)[DORA] == 2  # put off, then taken
    assert ada.outgoing.sent[-1].recipients == (DORA,)


@pytest.mark.rule("R5.16")
def test_who_has_it_by_another_way_meanwhile_has_nobody_get_it_twice(ada: Account) -> None:
    """Dora is on the list that took it at once, and her receipt came before her own turn."""
    write(ada.mailbox, CLEO, DORA, now=ada.now)
    ada.outgoing.defer(DORA)
    ada.send()
    ActivityParty.objects.filter(address_used=DORA).update(delivery_result=DeliveryResult.READ)

    ada.outgoing.accept(DORA)
    ada.later(hours=5)
    ada.send()

    assert status() == EmailStatus.SENT
    assert len(ada.outgoing.sent) == got(ada)[CLEO] == 1


def test_an_address_in_two_lists_gets_it_once_however_it_is_written(ada: Account) -> None:
    write(ada.mailbox, "Cleo@customer.example", cc=(Address(CLEO),), now=ada.now)

    ada.send()

    assert got(ada) == {"Cleo@customer.example": 1}
    assert set(results().values()) == {ACCEPTED}


def test_what_some_have_can_not_be_taken_back(ada: Account) -> None:
    email = write(ada.mailbox, CLEO, DORA, now=ada.now)
    ada.outgoing.defer(DORA)
    ada.send()

    assert not outbox.cancel(email, now=ada.now)
    assert status() == EmailStatus.PENDING_SEND


@pytest.mark.rule("R5.16", "R5.17")
def test_whom_the_server_refused_is_known_though_the_answer_is_lost(ada: Account) -> None:
    """It was said before the message was handed over. Once a person says that it left, it left to the
    others."""
    write(ada.mailbox, CLEO, DORA, EMIL, now=ada.now)
    ada.outgoing.refuse(DORA)
    ada.outgoing.defer(EMIL)
    ada.outgoing.accept_when_lost = True
    ada.outgoing.fail("after", ConnectionLost("gone"))
    ada.send()
    user = ada.mailbox.regarding_user
    outbox.decide_unknown(Submission.objects.get(), left=True, actor=user, now=ada.now)
    ada.send()

    assert status() == EmailStatus.PENDING_SEND
    assert results() == {CLEO: ACCEPTED, DORA: REFUSED, EMIL: NONE}

    ada.outgoing.accept(EMIL)
    ada.later(hours=5)
    ada.send()
    assert status() == EmailStatus.SENT
    assert results() == {CLEO: ACCEPTED, DORA: REFUSED, EMIL: ACCEPTED}
    assert ada.outgoing.sent[-1].recipients == (EMIL,)
