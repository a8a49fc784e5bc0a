"""Mail that does not leave yet: why, who is told, and how it is taken back."""

import threading
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.db import connections, transaction
from django.utils import timezone
from django_q.models import OrmQ

from activities.choices import ActivityState, EmailStatus
from activities.mime.message import Address
from activities.models import Email
from mailboxes.choices import AccessApproval, Operation, TraceLevel
from mailboxes.models import Mailbox, Organization, TraceLog
from mailboxes.protocols.errors import MessageDeferred, MessageTooLarge
from serversync import claiming, outbox
from serversync.models import Workload
from serversync.outbox import Draft
from serversync.outbox.waiting import tell_of_waiting, why_they_wait
from tests.integration.serversync.cycles import NOW, Account, organization, user_mailbox
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> Account:
    organization(allow_unresolved_parties_on_email_send=True)
    return Account(user_mailbox("ada"))


def submitted(account: Account, *, undoable: bool = False, **columns) -> outbox.Submitted:
    user = account.mailbox.regarding_user
    to = (Address("cleo@customer.example"),)
    draft = Draft(sender=user, to=to, **{"subject": "Hello", "body": "<p>Text</p>"} | columns)
    email = outbox.create_draft(draft, actor=user, now=account.now)
    return outbox.submit(email, actor=user, now=account.now, undoable=undoable)


def stops(account: Account) -> None:
    Mailbox.objects.update(email_router_access_approval=AccessApproval.PENDING)


def why(account: Account) -> str:
    emails = Email.objects.select_related("activity")
    (words,) = why_they_wait(emails, Organization.objects.current(), account.now).values()
    return words


def alerts() -> list[TraceLog]:
    return list(TraceLog.objects.filter(code="EmailWaiting", closed_on__isnull=True))


# -- why


@pytest.mark.rule("R5.7")
def test_send_the_page_and_the_list_say_why_it_waits(ada: Account) -> None:
    stops(ada)

    warnings = submitted(ada).warnings

    assert "isn't approved yet" in warnings[0]
    assert "isn't approved yet" in why(ada)


@pytest.mark.rule("R5.7")
def test_strict_parity_says_nothing(ada: Account) -> None:
    organization(strict_parity=True)
    stops(ada)

    assert submitted(ada).warnings == []
    ada.later(hours=2)
    tell_of_waiting(ada.now)

    assert why(ada) == ""
    assert alerts() == []


@pytest.mark.rule("R5.6")
def test_mail_for_later_says_until_when_in_the_reader_s_time(ada: Account) -> None:
    submitted(ada, send_later=NOW + timedelta(days=1))

    with timezone.override(ZoneInfo("Asia/Tokyo")):
        assert "03/03/2026 6 p.m. JST" in why(ada)
    with timezone.override(ZoneInfo("America/New_York")):
        assert "03/03/2026 4 a.m. EST" in why(ada)


@pytest.mark.rule("R5.6")
def test_mail_for_later_leaves_then_and_not_before(ada: Account) -> None:
    submitted(ada, send_later=NOW + timedelta(hours=5))
    ada.later(hours=5, seconds=-1)
    ada.send()
    assert ada.outgoing.sent == []

    ada.later(seconds=1)
    ada.send()

    assert len(ada.outgoing.sent) == 1


def test_mail_that_a_server_put_off_says_when_it_is_tried_again(ada: Account) -> None:
    ada.outgoing.fail("after", MessageDeferred("451 try later"))
    submitted(ada)
    ada.send()

    assert "It is tried again at" in why(ada)


@pytest.mark.rule("R5.7", "R5.14")
def test_a_limit_that_is_used_up_is_a_reason_to_wait(ada: Account) -> None:
    Mailbox.objects.update(messages_per_minute=4)
    ada.mailbox.refresh_from_db()
    submitted(ada)
    ada.send()

    (warning,) = submitted(ada).warnings

    assert "Its sending limit is used up (4 messages in a minute)" in warning
    assert "it goes on at 2026-03-02 09:00:15 UTC" in warning
    assert warning == why(ada)
    ada.later(seconds=15)
    assert why(ada) == "It leaves with the next run of its mailbox."


def test_what_does_not_wait_is_not_asked_about(ada: Account) -> None:
    with counting() as statements:
        assert why_they_wait([], Organization(), NOW) == {}
    assert len(statements) == 0


# -- after an hour


@pytest.mark.rule("R5.7")
def test_one_alert_for_a_mailbox_after_an_hour_until_its_mail_has_left(ada: Account) -> None:
    for _number in range(3):
        submitted(ada)
    stops(ada)

    ada.later(minutes=59)
    tell_of_waiting(ada.now)
    assert alerts() == []

    for _minutes in range(3):
        ada.later(minutes=5)
        tell_of_waiting(ada.now)
    (alert,) = alerts()
    assert alert.regarding_mailbox == ada.mailbox
    assert alert.level == TraceLevel.ERROR
    assert "isn't approved yet" in alert.error_details
    assert alert.trace_parameters == {"count": 3}
    assert alert.occurrences == 1

    Mailbox.objects.update(email_router_access_approval=AccessApproval.APPROVED)
    ada.send()
    tell_of_waiting(ada.now)
    assert alerts() == []


@pytest.mark.rule("R5.7")
def test_the_hour_begins_when_it_could_leave(ada: Account) -> None:
    submitted(ada, send_later=NOW + timedelta(hours=3))
    stops(ada)

    ada.later(hours=3, minutes=59)
    tell_of_waiting(ada.now)
    assert alerts() == []

    ada.later(minutes=1)
    tell_of_waiting(ada.now)
    assert len(alerts()) == 1


@pytest.mark.rule("R5.7")
def test_mail_that_is_taken_back_ends_the_alert(ada: Account) -> None:
    email = submitted(ada).email
    stops(ada)
    ada.later(hours=1)
    tell_of_waiting(ada.now)

    outbox.cancel(email, now=ada.now)
    tell_of_waiting(ada.now)

    assert alerts() == []


@pytest.mark.rule("R5.7")
def test_another_reason_is_told_again(ada: Account) -> None:
    submitted(ada)
    stops(ada)
    ada.later(hours=1)
    tell_of_waiting(ada.now)
    Mailbox.objects.update(email_server_profile=None)
    tell_of_waiting(ada.now)

    (alert,) = alerts()
    assert alert.occurrences == 2
    assert "no server profile" in alert.error_details


def test_looking_for_it_costs_the_same_for_many_mailboxes(ada: Account) -> None:
    for name in ("ben", "cara", "dora"):
        user_mailbox(name)
    submitted(ada)

    with counting() as statements:
        tell_of_waiting(NOW)

    assert len(statements) == 3  # the settings, what was told, what waits


# -- undo


@pytest.fixture
def undo() -> None:
    organization(undo_send_seconds=30)


@pytest.mark.rule("R5.2")
def test_what_a_person_sends_can_be_undone_until_it_leaves(ada: Account, undo) -> None:
    sent = submitted(ada, undoable=True)
    assert sent.undo_until == NOW + timedelta(seconds=30)
    assert sent.warnings == []
    assert "It can be undone until 2026-03-02 09:00:30" in why(ada)

    ada.later(seconds=29)
    ada.send()
    assert ada.outgoing.sent == []
    assert outbox.cancel(sent.email, now=ada.now)

    email = Email.objects.select_related("activity").get()
    assert email.status == EmailStatus.DRAFT
    assert email.activity.state_code == ActivityState.OPEN
    ada.later(seconds=2)
    ada.send()
    assert ada.outgoing.sent == []


@pytest.mark.rule("R5.2")
def test_what_was_undone_is_sent_again_as_it_is_then(ada: Account, undo) -> None:
    first = submitted(ada, undoable=True).email
    outbox.cancel(first, now=ada.now)
    user = ada.mailbox.regarding_user
    to = (Address("dan@customer.example"),)
    draft = Draft(sender=user, to=to, subject="Second")
    again = outbox.update_draft(Email.objects.get(), draft, now=ada.now)
    outbox.submit(again, actor=user, now=ada.now, undoable=True)

    ada.later(seconds=30)
    ada.send()

    (envelope,) = ada.outgoing.sent
    assert envelope.recipients == ("dan@customer.example",)
    assert b"Subject: Second" in envelope.mime
    assert not outbox.cancel(first, now=ada.now)


def test_code_of_the_site_sends_at_once(ada: Account, undo) -> None:
    assert submitted(ada).undo_until is None
    ada.send()
    assert len(ada.outgoing.sent) == 1


def test_its_mailbox_is_due_when_the_time_is_over_and_not_before(ada: Account, undo) -> None:
    Workload.objects.update(next_run_at=NOW + timedelta(days=1))

    until = submitted(ada, undoable=True).undo_until

    row = Workload.objects.get(mailbox=ada.mailbox, operation=Operation.OUTGOING)
    assert row.next_run_at == until
    (job,) = OrmQ.objects.all()
    assert (job.func(), job.lock) == ("serversync.jobs.work", until)


@pytest.mark.rule("R5.2")
@pytest.mark.django_db(transaction=True)
def test_of_undo_and_a_claim_at_once_one_wins_and_the_other_is_told(ada: Account) -> None:
    """The worker has locked the row and not committed yet: undo waits for it, and is too late."""
    email = submitted(ada).email
    claimed, undone = threading.Event(), []

    def undo() -> None:
        claimed.wait(10)
        undone.append(outbox.cancel(email, now=NOW))
        connections.close_all()

    thread = threading.Thread(target=undo)
    thread.start()
    with transaction.atomic():
        rows = Email.objects.select_for_update().filter(
            pk=email.pk, status_code=EmailStatus.PENDING_SEND
        )
        assert len(rows) == 1
        Email.objects.filter(pk=email.pk).update(status_code=EmailStatus.SENDING)
        claimed.set()
        thread.join(0.3)
        assert thread.is_alive() is True  # it waits for the lock
    thread.join(10)

    assert undone == [False]
    assert Email.objects.get(pk=email.pk).status == EmailStatus.SENDING


@pytest.mark.rule("R5.2")
def test_a_worker_leaves_alone_what_was_taken_back_and_sent_again_as_it_claims(
    ada: Account, monkeypatch
) -> None:
    """As the worker begins to claim, a person undoes, writes something else and sends it."""
    first = submitted(ada).email
    user = ada.mailbox.regarding_user
    to = (Address("dan@customer.example"),)

    def meanwhile() -> None:
        outbox.cancel(first, now=ada.now)
        draft = Draft(sender=user, to=to, subject="Second")
        again = outbox.update_draft(Email.objects.get(), draft, now=ada.now)
        outbox.submit(again, actor=user, now=ada.now + timedelta(milliseconds=1))

    renew = claiming.renew
    once = iter([meanwhile])
    monkeypatch.setattr(
        claiming, "renew", lambda *token: (next(once, lambda: None)(), renew(*token))
    )
    ada.send()
    ada.later(minutes=1)
    ada.send()

    assert [envelope.recipients for envelope in ada.outgoing.sent] == [("dan@customer.example",)]
    assert b"Subject: Second" in ada.outgoing.sent[0].mime


# -- sizes


@pytest.mark.rule("R5.20")
def test_send_warns_of_what_is_larger_than_the_server_said_it_takes(ada: Account) -> None:
    ada.outgoing.size_limit = 2_000_000
    submitted(ada)
    ada.send()

    large = "x" * 1_100_000  # twice in the message: as HTML, and as plain text
    assert "takes messages of 1.9\xa0MB at most" in submitted(ada, body=large).warnings[0]
    assert submitted(ada, body="x" * 900_000).warnings == []


@pytest.mark.rule("R5.20")
def test_send_warns_of_what_is_as_large_as_what_was_refused(ada: Account) -> None:
    ada.outgoing.fail("before", MessageTooLarge("the server takes less"))
    big = "x" * 1_500_000
    submitted(ada, body=big)
    ada.send()
    assert Email.objects.get().status == EmailStatus.FAILED

    assert "refused a message of" in submitted(ada, body=big + big).warnings[0]
    assert submitted(ada, body="x" * 600_000).warnings == []
    assert submitted(ada).warnings == []
