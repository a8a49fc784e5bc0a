"""Copies of sent mail: decided with the outcome, filed over the incoming connection, once each."""

from datetime import timedelta

import pytest

from activities.choices import EmailStatus
from activities.mime.message import Address
from activities.models import Email
from mailboxes.choices import IncomingDeliveryMethod, Operation, ServerType
from mailboxes.models import EmailServerProfile
from mailboxes.protocols.errors import ActionRefused, ConnectionLost, LoginRefused
from serversync import actions, engine, outbox
from serversync.choices import ActionState
from serversync.models import ServerAction, Submission, SyncItem, Workload
from serversync.outbox import Draft
from serversync.receive import receive
from serversync.send import send
from tests.fakes import SENT, Stored
from tests.integration.serversync.cycles import NOW, Account, organization, user_mailbox
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> Account:
    organization(allow_unresolved_parties_on_email_send=True)
    return Account(user_mailbox("ada"))


def submitted(account: Account, number: int = 1) -> list[Email]:
    user = account.mailbox.regarding_user
    emails = []
    for _number in range(number):
        draft = Draft(
            sender=user, to=(Address("cleo@customer.example"),), subject="Hello", body="<p>Hi</p>"
        )
        email = outbox.create_draft(draft, actor=user, now=account.now)
        emails.append(outbox.submit(email, actor=user, now=account.now).email)
    return emails


def sent(account: Account, number: int = 1) -> list[Email]:
    emails = submitted(account, number)
    account.send()
    return emails


def filed(account: Account) -> list[Stored]:
    return account.box.messages(SENT) if SENT in account.box.folder_names() else []


def states() -> list[str]:
    return list(ServerAction.objects.order_by("created_on", "pk").values_list("state", flat=True))


@pytest.mark.rule("R5.18")
def test_sent_mail_says_so_and_a_copy_lies_in_sent_items(ada: Account) -> None:
    ada.outgoing.server_message_id = "theirs@provider.example"
    sent(ada)
    ada.later(minutes=1)
    ada.receive()

    email = Email.objects.get()
    assert email.status_code == EmailStatus.SENT
    assert (email.sent_on, email.actual_end) == (NOW, NOW)
    assert email.server_message_id == "theirs@provider.example"
    (copy,) = filed(ada)
    assert copy.mime == ada.outgoing.sent[0].mime
    assert (copy.seen, copy.received_at) == (True, NOW)
    action = ServerAction.objects.get()
    assert (action.state, action.receipt) == (ActionState.DONE, "filed in Sent")


@pytest.mark.rule("R5.18")
@pytest.mark.parametrize("why", ["setting", "POP3", "not read"])
def test_no_copy_is_decided_where_none_can_be_or_shall_be(ada: Account, why: str) -> None:
    if why == "setting":
        organization(sss_save_outgoing_email_to_exchange_sent_folder=False)
    elif why == "POP3":
        EmailServerProfile.objects.update(server_type=ServerType.POP3_SMTP)
    else:
        ada.mailbox.incoming_email_delivery_method = IncomingDeliveryMethod.NONE
        ada.mailbox.save(update_fields=["incoming_email_delivery_method"])

    sent(ada)

    assert Email.objects.get().status_code == EmailStatus.SENT
    assert not ServerAction.objects.exists()


@pytest.mark.rule("R5.18")
def test_a_provider_that_files_copies_itself_gets_none(ada: Account) -> None:
    ada.box.files_copies = True
    sent(ada)

    ada.receive()

    assert filed(ada) == []
    assert ServerAction.objects.get().receipt == "the server files copies itself"


def test_a_copy_whose_receipt_was_lost_is_not_filed_twice(ada: Account) -> None:
    sent(ada)
    ada.receive()
    ServerAction.objects.update(state=ActionState.PENDING)

    ada.receive()

    assert len(filed(ada)) == 1
    assert states() == [ActionState.DONE]


def test_copies_are_never_read_as_mail(ada: Account) -> None:
    sent(ada, 3)
    ada.receive()
    ada.receive()

    assert len(filed(ada)) == 3
    assert not SyncItem.objects.exists()
    assert Email.objects.count() == 3


def test_mail_that_was_refused_has_no_copy(ada: Account) -> None:
    ada.outgoing.refuse("cleo@customer.example")

    sent(ada)

    assert Email.objects.get().status_code == EmailStatus.FAILED
    assert not ServerAction.objects.exists()


@pytest.mark.rule("R5.18")
@pytest.mark.parametrize("left", [True, False])
def test_what_may_have_left_has_a_copy_once_a_person_says_it_did(ada: Account, left: bool) -> None:
    ada.outgoing.fail("after", ConnectionLost("gone"))
    sent(ada)
    ada.send()
    ada.receive()
    assert filed(ada) == []
    assert not ServerAction.objects.exists()

    outbox.decide_unknown(
        Submission.objects.get(), left=left, actor=ada.mailbox.regarding_user, now=ada.now
    )
    ada.send()
    ada.receive()

    assert len(ada.outgoing.sent) == int(not left)
    assert len(filed(ada)) == 1


@pytest.mark.parametrize("error", [ActionRefused("over quota"), ConnectionLost("gone")])
def test_a_failing_copy_postpones_itself_only(ada: Account, error: Exception) -> None:
    sent(ada, 3)
    ada.prepare = lambda server: server.fail("file_sent", error)
    ada.receive()
    ada.prepare = lambda server: None
    ada.receive()

    assert len(filed(ada)) == 2
    waiting = ServerAction.objects.get(state=ActionState.PENDING)
    assert (waiting.attempts, waiting.next_attempt_at) == (1, NOW + actions.gap(1))
    assert str(error) in waiting.last_error

    ada.later(hours=1)
    ada.receive()
    assert len(filed(ada)) == 3


def test_a_copy_that_is_refused_again_and_again_is_given_up(ada: Account) -> None:
    sent(ada)
    ada.prepare = lambda server: server.fail("file_sent", ActionRefused("over quota"))

    for _attempt in range(actions.ATTEMPTS + 1):
        ada.receive()
        ada.later(days=1)

    action = ServerAction.objects.get()
    assert (action.state, action.attempts) == (ActionState.FAILED, actions.ATTEMPTS)


def test_a_login_that_is_refused_concerns_the_mailbox(ada: Account) -> None:
    sent(ada)
    ada.prepare = lambda server: server.fail("file_sent", LoginRefused("535"))

    with pytest.raises(LoginRefused):
        ada.receive()

    assert states() == [ActionState.PENDING]


def test_a_copy_of_what_is_not_kept_any_more_is_given_up(ada: Account) -> None:
    first, second = sent(ada, 2)
    Email.objects.filter(pk=first.pk).update(mime=None)
    second.activity.delete()

    ada.receive()

    assert states() == [ActionState.FAILED, ActionState.FAILED]
    assert filed(ada) == []


def test_copies_for_another_account_are_not_filed(ada: Account) -> None:
    sent(ada)
    ada.mailbox.account_generation += 1
    ada.mailbox.save(update_fields=["account_generation"])

    ada.receive()

    assert states() == [ActionState.FAILED]
    assert filed(ada) == []


@pytest.mark.parametrize("floor", [0, 30])
def test_the_incoming_side_is_woken_unless_polls_are_to_be_rare(ada: Account, floor: int) -> None:
    later = NOW + timedelta(minutes=20)
    Workload.objects.update(next_run_at=later)
    EmailServerProfile.objects.update(min_polling_interval_in_minutes=floor)

    sent(ada)

    incoming = Workload.objects.get(mailbox=ada.mailbox, operation=Operation.INCOMING)
    assert incoming.next_run_at == (later if floor else NOW)


def test_one_job_sends_and_files(ada: Account, monkeypatch: pytest.MonkeyPatch) -> None:
    def sending(context, token, *, clock):
        return send(context, token, clock=clock, connect=lambda *_: ada.outgoing)

    def receiving(context, token, *, clock):
        return receive(context, token, clock=clock, connect=ada.connect)

    monkeypatch.setitem(engine.CYCLES, Operation.OUTGOING, sending)
    monkeypatch.setitem(engine.CYCLES, Operation.INCOMING, receiving)
    Workload.objects.update(next_run_at=NOW + timedelta(minutes=20))
    submitted(ada)

    tally = engine.work(lambda: NOW, holder="this")

    assert tally.failed == 0, tally.reports
    assert len(filed(ada)) == 1


def test_many_copies_cost_few_statements_and_one_cycle_files_a_page(ada: Account) -> None:
    total = actions.COPIES_PER_CYCLE + 5
    sent(ada, total)

    with counting() as counted:
        result = ada.receive()

    assert len(filed(ada)) == actions.COPIES_PER_CYCLE
    assert result.more
    assert len(counted) <= 10, counted
    assert not ada.receive().more
    assert len(filed(ada)) == total


def test_one_cycle_files_no_more_octets_than_it_has_time_for(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actions, "COPIED_BYTES", 1000)
    sent(ada, 3)

    cycles = 1
    while ada.receive().more:
        cycles += 1

    assert len(filed(ada)) == 3
    assert cycles > 1
