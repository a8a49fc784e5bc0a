"""The outgoing cycle: handed over once, and every outcome known or waiting for a person."""

from datetime import timedelta
from email import message_from_bytes

import pytest

from activities import blobs
from activities.choices import ActivityState, DeliveryResult, EmailStatus, Priority
from activities.mime.message import Address
from activities.mime.parse import parse
from activities.models import ActivityParty, Email, StoredBytes
from mailboxes.models import EmailServerProfile, Mailbox, SystemUser, TraceLog
from mailboxes.protocols.base import Envelope
from mailboxes.protocols.errors import (
    ConnectionLost,
    MessageDeferred,
    OutgoingLoginRefused,
    SocketTimedOut,
    SubmissionQuotaExceeded,
)
from serversync import claiming, outbox
from serversync import send as send_module
from serversync.choices import SubmissionState
from serversync.models import Submission, Workload
from serversync.outbox import Draft, Refused
from tests.fakes import FakeOutgoingServer
from tests.integration.serversync.cycles import (
    NOW,
    Account,
    message,
    organization,
    queue_mailbox,
    user_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> Account:
    organization(allow_unresolved_parties_on_email_send=True)
    return Account(user_mailbox("ada"))


def written(account: Account, *to: str, **columns) -> Email:
    user = account.mailbox.regarding_user
    addresses = tuple(Address(address) for address in to or ("cleo@customer.example",))
    draft = Draft(
        sender=user, to=addresses, **{"subject": "Hello", "body": "<p>Text</p>"} | columns
    )
    return outbox.create_draft(draft, actor=user, now=account.now)


def submitted(account: Account, *to: str, **columns) -> Email:
    email = written(account, *to, **columns)
    return outbox.submit(email, actor=account.mailbox.regarding_user, now=account.now).email


def status(email: Email) -> EmailStatus:
    return EmailStatus(Email.objects.get(pk=email.pk).status_code)


# -- submitting


@pytest.mark.rule("R1.28")
@pytest.mark.parametrize(
    ("code_page", "octets"), [("", "Grüße".encode()), ("iso-8859-1", "Grüße".encode("latin-1"))]
)
def test_mail_leaves_in_the_code_page_of_the_profile(
    ada: Account, code_page: str, octets: bytes
) -> None:
    EmailServerProfile.objects.update(encoding_code_page=code_page)
    submitted(ada, body="<p>Grüße</p>")

    ada.send()

    (envelope,) = ada.outgoing.sent
    (part,) = (
        part
        for part in message_from_bytes(envelope.mime).walk()
        if part.get_content_type() == "text/html"
    )
    assert part.get_content_charset() == (code_page or "utf-8")
    assert octets in part.get_payload(decode=True)


@pytest.mark.rule("R5.2", "R5.10")
def test_a_submitted_email_leaves_and_is_sent(ada: Account) -> None:
    email = submitted(ada)
    assert status(email) == EmailStatus.PENDING_SEND
    assert email.message_id

    result = ada.send()

    email = Email.objects.select_related("activity").get()
    (envelope,) = ada.outgoing.sent
    assert result.summary() == "1 sent"
    assert email.status_code == EmailStatus.SENT
    assert email.activity.state_code == ActivityState.COMPLETED
    assert email.sent_on == NOW
    assert envelope.message_id == email.message_id == parse(envelope.mime).message_id
    assert envelope.sender == "ada@example.com"
    assert Submission.objects.get().state == SubmissionState.ACCEPTED


def test_the_bytes_that_left_are_kept_and_every_attempt_makes_the_same(ada: Account) -> None:
    ada.outgoing.fail("after", MessageDeferred("451 try later"))
    email = submitted(ada)
    ada.send()
    assert status(email) == EmailStatus.PENDING_SEND

    ada.later(hours=1)
    ada.send()

    first, second = (envelope.mime for envelope in ada.outgoing.handed_over)
    assert first == second == blobs.read(Email.objects.select_related("mime").get().mime)
    assert parse(first).date == NOW
    assert StoredBytes.objects.count() == 1


def test_mail_that_was_to_leave_later_bears_that_date(ada: Account) -> None:
    submitted(ada, send_later=NOW + timedelta(days=2))
    ada.later(days=3)

    ada.send()

    assert parse(ada.outgoing.sent[0].mime).date == NOW + timedelta(days=2)


@pytest.mark.rule("R5.3")
def test_a_draft_is_not_sent_by_a_status_set_by_hand(ada: Account) -> None:
    written(ada)

    ada.send()

    assert ada.outgoing.sent == []


@pytest.mark.rule("R5.3")
@pytest.mark.parametrize("what", ["recipient", "address"])
def test_sending_needs_a_recipient_and_an_address_to_send_from(ada: Account, what: str) -> None:
    email = written(ada)
    if what == "recipient":
        ActivityParty.objects.exclude(participation_type_mask=1).delete()
    else:
        user = ada.mailbox.regarding_user
        user.internal_email_address = ""
        user.save()

    with pytest.raises(Refused, match=r"R5\.3"):
        outbox.submit(email, actor=SystemUser.objects.get(domain_name="ada"), now=ada.now)

    assert status(email) == EmailStatus.DRAFT


@pytest.mark.rule("R5.4")
def test_unresolved_recipients_are_refused_unless_allowed(ada: Account) -> None:
    organization(allow_unresolved_parties_on_email_send=False)

    with pytest.raises(Refused, match=r"cleo@customer\.example.*R5\.4"):
        submitted(ada)

    organization(allow_unresolved_parties_on_email_send=True)
    assert submitted(ada).status == EmailStatus.PENDING_SEND


@pytest.mark.rule("R5.1")
def test_what_waits_or_left_can_not_be_changed(ada: Account) -> None:
    email = submitted(ada)
    user = ada.mailbox.regarding_user
    with pytest.raises(Refused, match=r"R5\.1"):
        outbox.update_draft(email, Draft(sender=user, subject="Other"), now=ada.now)
    with pytest.raises(Refused, match=r"R5\.1"):
        outbox.submit(email, actor=user, now=ada.now)

    ada.send()

    with pytest.raises(Refused, match=r"R5\.1"):
        outbox.update_draft(Email.objects.get(), Draft(sender=user, subject="Other"), now=ada.now)


@pytest.mark.rule("R5.1", "R5.2")
def test_failed_mail_is_open_again_and_may_be_sent_again(ada: Account) -> None:
    ada.outgoing.refuse("cleo@customer.example")
    email = submitted(ada)
    ada.send()
    failed = Email.objects.select_related("activity").get()
    assert failed.status_code == EmailStatus.FAILED
    assert failed.activity.state_code == ActivityState.OPEN
    assert "no such user" in failed.last_error_text
    assert TraceLog.objects.filter(object_key=f"email:{email.pk}", closed_on=None).count() == 1

    ada.outgoing = FakeOutgoingServer()
    user = ada.mailbox.regarding_user
    again = outbox.update_draft(
        failed, Draft(sender=user, to=(Address("dora@x.example"),), subject="Hi"), now=ada.now
    )
    first_id = failed.message_id
    outbox.submit(again, actor=user, now=ada.now)
    ada.send()

    assert status(email) == EmailStatus.SENT
    assert [envelope.message_id for envelope in ada.outgoing.sent] == [first_id]
    assert not TraceLog.objects.filter(object_key=f"email:{email.pk}", closed_on=None).exists()


@pytest.mark.rule("R5.23")
def test_mail_leaves_through_the_mailbox_of_its_sender() -> None:
    organization(allow_unresolved_parties_on_email_send=True)
    ada, support = Account(user_mailbox("ada")), Account(queue_mailbox("support"))
    user = ada.mailbox.regarding_user
    user.is_superuser = True
    user.save()
    draft = Draft(
        sender=support.mailbox.regarding_queue, to=(Address("cleo@x.example"),), subject="Hi"
    )
    email = outbox.create_draft(draft, actor=user, now=NOW)
    outbox.submit(email, actor=user, now=NOW)

    assert ada.send().summary() == "nothing new"
    support.send()

    assert [envelope.sender for envelope in support.outgoing.sent] == ["support@example.com"]


@pytest.mark.rule("R5.22")
def test_bcc_is_in_the_envelope_only(ada: Account) -> None:
    submitted(ada, bcc=(Address("eve@x.example"),))

    ada.send()

    (envelope,) = ada.outgoing.sent
    assert "eve@x.example" in envelope.recipients
    assert b"eve@x.example" not in envelope.mime


@pytest.mark.rule("R5.10")
def test_a_reply_continues_the_thread(ada: Account) -> None:
    ada.box.deliver(
        message(
            message_id="two@x.example",
            in_reply_to="<one@x.example>",
            references="<one@x.example>",
            subject="Offer",
        )
    )
    ada.receive()
    user = ada.mailbox.regarding_user
    answer = outbox.reply(Email.objects.get(), actor=user, now=ada.now)
    outbox.submit(answer, actor=user, now=ada.now)

    ada.send()

    sent = parse(ada.outgoing.sent[0].mime)
    assert sent.in_reply_to == "two@x.example"
    assert sent.references == ("one@x.example", "two@x.example")
    assert sent.subject == "RE: Offer CRM:0001001"
    assert [address.address for address in sent.to] == ["cleo@customer.example"]


@pytest.mark.parametrize(
    ("wanted", "to"),
    [
        ("office@customer.example", ["office@customer.example"]),
        ('"Office, first floor" <office@customer.example>', ["office@customer.example"]),
        (
            "Office <office@customer.example>, Dora <dora@customer.example>",
            ["office@customer.example", "dora@customer.example"],
        ),
        ("nobody", ["cleo@customer.example"]),
    ],
)
def test_a_reply_goes_to_all_that_reply_to_names(ada: Account, wanted: str, to: list[str]) -> None:
    ada.box.deliver(message(Reply_To=wanted))
    ada.receive()

    answer = outbox.reply(Email.objects.get(), actor=ada.mailbox.regarding_user, now=ada.now)

    parties = ActivityParty.objects.filter(activity_id=answer.pk, participation_type_mask=2)
    assert list(parties.order_by("pk").values_list("address_used", flat=True)) == to


def test_of_a_reply_to_that_was_cut_only_whole_addresses_count(ada: Account) -> None:
    everybody = [f"someone{number}@customer.example" for number in range(40)]
    ada.box.deliver(message(Reply_To=", ".join(everybody)))
    ada.receive()

    answer = outbox.reply(Email.objects.get(), actor=ada.mailbox.regarding_user, now=ada.now)

    parties = ActivityParty.objects.filter(activity_id=answer.pk, participation_type_mask=2)
    found = set(parties.values_list("address_used", flat=True))
    assert len(found) > 10
    assert found <= set(everybody)


def test_reply_to_all_leaves_out_the_writer(ada: Account) -> None:
    ada.box.deliver(message(to="ada@example.com, dora@x.example", cc="eve@x.example"))
    ada.receive()

    answer = outbox.reply(
        Email.objects.get(), actor=ada.mailbox.regarding_user, now=ada.now, everyone=True
    )

    parties = ActivityParty.objects.filter(activity_id=answer.pk)
    assert set(
        parties.exclude(participation_type_mask=1).values_list("address_used", flat=True)
    ) == {
        "cleo@customer.example",
        "dora@x.example",
        "eve@x.example",
    }


def test_a_forward_takes_the_files_along(ada: Account) -> None:
    ada.box.deliver(
        b"From: cleo@customer.example\r\nTo: ada@example.com\r\nSubject: Plan\r\n"
        b"MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
        b"--b\r\nContent-Type: text/plain\r\n\r\nSee it.\r\n"
        b"--b\r\nContent-Type: application/pdf\r\n"
        b"Content-Disposition: attachment; filename=plan.pdf\r\n\r\npdf\r\n--b--\r\n"
    )
    ada.receive()
    user = ada.mailbox.regarding_user

    copy = outbox.forward(Email.objects.get(), actor=user, now=ada.now)
    outbox.update_draft(
        copy,
        Draft(sender=user, to=(Address("dora@x.example"),), subject="FW: Plan", body="<p>hi</p>"),
        now=ada.now,
    )
    outbox.submit(copy, actor=user, now=ada.now)
    ada.send()

    sent = parse(ada.outgoing.sent[0].mime)
    assert [(file.filename, file.content) for file in sent.attachments] == [("plan.pdf", b"pdf")]
    assert sent.in_reply_to == ""


# -- order and times


@pytest.mark.rule("R5.9")
def test_high_priority_leaves_first_then_who_came_first(ada: Account) -> None:
    organization(use_tracking_tokens=False)
    for subject, priority in (
        ("low", Priority.LOW),
        ("first", Priority.NORMAL),
        ("second", Priority.NORMAL),
        ("high", Priority.HIGH),
    ):
        submitted(ada, subject=subject, delivery_priority=priority)
        ada.later(seconds=1)

    ada.send()

    assert [parse(envelope.mime).subject for envelope in ada.outgoing.sent] == [
        "high",
        "first",
        "second",
        "low",
    ]


def test_send_later_waits(ada: Account) -> None:
    submitted(ada, send_later=NOW + timedelta(hours=1))

    ada.send()
    assert ada.outgoing.sent == []

    ada.later(hours=1)
    ada.send()
    assert len(ada.outgoing.sent) == 1


def test_one_connection_serves_a_batch(ada: Account) -> None:
    for _number in range(5):
        submitted(ada)

    ada.send()

    assert len(ada.outgoing.sent) == 5
    assert ada.outgoing.calls["open"] == 1


@pytest.mark.rule("R5.8")
def test_submitting_makes_the_mailbox_due_at_once(ada: Account) -> None:
    row = Workload.objects.get(mailbox=ada.mailbox, operation=1)
    row.next_run_at = NOW + timedelta(hours=1)
    row.save()

    submitted(ada)

    row.refresh_from_db()
    assert row.next_run_at <= NOW


# -- refusals


@pytest.mark.rule("R5.16")
def test_some_refused_recipients_do_not_stop_the_others(ada: Account) -> None:
    ada.outgoing.refuse("nobody@x.example")
    email = submitted(ada, "cleo@customer.example", "nobody@x.example")

    ada.send()

    assert status(email) == EmailStatus.SENT
    results = dict(
        ActivityParty.objects.exclude(participation_type_mask=1).values_list(
            "address_used", "delivery_result"
        )
    )
    assert results == {
        "cleo@customer.example": DeliveryResult.ACCEPTED,
        "nobody@x.example": DeliveryResult.REFUSED,
    }
    assert "nobody@x.example" in Email.objects.get().last_error_text


@pytest.mark.rule("R5.12", "R5.15")
def test_a_transient_refusal_waits_and_a_permanent_one_fails(ada: Account) -> None:
    ada.outgoing.defer("later@x.example")
    ada.outgoing.refuse("never@x.example")
    waiting, failing, fine = (
        submitted(ada, to) for to in ("later@x.example", "never@x.example", "cleo@x.example")
    )

    ada.send()

    assert [status(email) for email in (waiting, failing, fine)] == [
        EmailStatus.PENDING_SEND,
        EmailStatus.FAILED,
        EmailStatus.SENT,
    ]
    assert Email.objects.get(pk=waiting.pk).postpone_email_processing_until > NOW
    assert ada.send().summary() == "nothing new"


@pytest.mark.rule("R5.11", "R9.4")
def test_an_email_fails_after_its_last_attempt(ada: Account) -> None:
    organization(maximum_email_delivery_attempts=3)
    ada.outgoing.defer("later@x.example")
    email = submitted(ada, "later@x.example")
    for _attempt in range(2):
        ada.send()
        ada.later(hours=2)
    assert status(email) == EmailStatus.PENDING_SEND

    ada.send()

    assert status(email) == EmailStatus.FAILED
    assert Email.objects.get().delivery_attempts == 3
    assert TraceLog.objects.filter(code="DeliveryAttemptsExhausted").exists()


@pytest.mark.rule("R5.13", "R5.14")
@pytest.mark.parametrize(
    "error",
    [OutgoingLoginRefused("535"), SubmissionQuotaExceeded("daily limit"), SocketTimedOut("…")],
    ids=["login", "quota", "time-out"],
)
def test_a_failing_account_leaves_its_mail_pending(ada: Account, error: Exception) -> None:
    emails = [submitted(ada) for _number in range(3)]
    ada.outgoing.fail("open", error)

    with pytest.raises(type(error)):
        ada.send()

    assert {status(email) for email in emails} == {EmailStatus.PENDING_SEND}
    assert set(Email.objects.values_list("delivery_attempts", flat=True)) == {0}

    ada.later(days=2)
    ada.send()
    assert {status(email) for email in emails} == {EmailStatus.SENT}


def test_a_line_that_breaks_before_handing_over_loses_nothing(ada: Account) -> None:
    emails = [submitted(ada) for _number in range(3)]
    ada.outgoing.fail("before", ConnectionLost("gone"))

    with pytest.raises(ConnectionLost):
        ada.send()
    ada.send()

    assert {status(email) for email in emails} == {EmailStatus.SENT}
    assert len({e.message_id for e in ada.outgoing.sent}) == len(ada.outgoing.sent) == 3


def test_a_refusal_after_the_last_byte_is_a_refusal(ada: Account) -> None:
    email = submitted(ada)
    ada.outgoing.fail("after", MessageDeferred("451 try later"))

    ada.send()

    assert status(email) == EmailStatus.PENDING_SEND


# -- unknown


@pytest.mark.rule("R5.17")
@pytest.mark.parametrize("accepted", [True, False])
def test_a_lost_answer_is_unknown_and_never_sent_again(ada: Account, accepted: bool) -> None:
    emails = [submitted(ada) for _number in range(3)]
    ada.outgoing.accept_when_lost = accepted
    ada.outgoing.fail("after", SocketTimedOut("no answer"))

    ada.send()
    for _again in range(3):
        ada.later(minutes=15)
        ada.send()

    unknown = Submission.objects.get(state=SubmissionState.UNKNOWN)
    assert status(unknown.email) == EmailStatus.SENDING
    assert len(ada.outgoing.sent) == 2 + accepted
    assert len({envelope.message_id for envelope in ada.outgoing.sent}) == 2 + accepted
    assert sum(status(email) == EmailStatus.SENT for email in emails) == 2
    assert TraceLog.objects.get(code="DeliveryUnknown").object_key == f"email:{unknown.email_id}"


@pytest.mark.rule("R5.17")
def test_two_looks_that_find_nothing_prove_that_it_did_not_leave_where_the_server_files_copies(
    ada: Account,
) -> None:
    ada.outgoing.files_copies = True
    assert submitted(ada)
    ada.send()
    lost = submitted(ada)
    ada.outgoing.fail("after", ConnectionLost("gone"))
    ada.send()
    for minutes in (2, 5):
        ada.later(minutes=minutes)
        ada.send()
        assert status(lost) == EmailStatus.SENDING
    ada.later(minutes=6)
    ada.send()
    ada.later(minutes=10)
    ada.send()

    assert status(lost) == EmailStatus.SENT
    assert len(ada.outgoing.sent) == 2
    first, second = Submission.objects.filter(email=lost).order_by("attempt")
    assert (first.state, second.state) == (SubmissionState.RELEASED, SubmissionState.ACCEPTED)


@pytest.mark.rule("R5.17")
def test_not_finding_it_proves_nothing_where_the_server_was_never_seen_to_file_a_copy(
    ada: Account,
) -> None:
    lost = submitted(ada)
    ada.outgoing.files_copies = True
    ada.outgoing.fail("after", ConnectionLost("gone"))
    ada.send()
    for _look in range(3):
        ada.later(minutes=15)
        ada.send()

    assert status(lost) == EmailStatus.SENDING
    assert Submission.objects.get().look_again_at is None


@pytest.mark.rule("R5.17")
def test_finding_the_message_in_sent_items_proves_that_it_left(ada: Account) -> None:
    email = submitted(ada)
    ada.outgoing.files_copies = True
    ada.outgoing.accept_when_lost = True
    ada.outgoing.fail("after", ConnectionLost("gone"))
    ada.send()
    assert status(email) == EmailStatus.SENDING
    ada.later(minutes=2)

    ada.send()

    assert status(email) == EmailStatus.SENT
    assert len(ada.outgoing.sent) == 1
    assert not TraceLog.objects.filter(code="DeliveryUnknown", closed_on=None).exists()


@pytest.mark.rule("R5.17")
@pytest.mark.parametrize("left", [True, False])
def test_a_person_decides_what_can_not_be_known(ada: Account, left: bool) -> None:
    email = submitted(ada)
    ada.outgoing.fail("after", ConnectionLost("gone"))
    ada.send()

    outbox.decide_unknown(
        Submission.objects.get(), left=left, actor=ada.mailbox.regarding_user, now=ada.now
    )
    ada.send()
    ada.send()

    assert status(email) == EmailStatus.SENT
    assert len(ada.outgoing.sent) == (0 if left else 1)


def test_a_successor_takes_back_claims_and_leaves_handed_over_mail_alone(ada: Account) -> None:
    """What a killed worker leaves behind: one handed over, one claimed only."""
    emails = [submitted(ada) for _number in range(2)]

    class Killed(BaseException):
        pass

    class Dying(FakeOutgoingServer):
        def send(self, envelope: Envelope, hand_over):
            if self.calls["send"]:
                raise Killed
            self._called("send")
            hand_over()
            raise Killed

    token = ada.lease(1)
    from serversync.claiming import claim
    from serversync.context import load
    from serversync.cycle import Run
    from serversync.send import HandingOver

    dying = Dying()
    context = load(Mailbox.objects.get(pk=ada.mailbox.pk).pk, 1, ada.now)
    run = Run(context, token, lambda: ada.now)
    claimed = claim(run)
    with pytest.raises(Killed):
        HandingOver(run, lambda *_, **__: dying).hand_over_all(claimed)

    ada.send()

    assert [status(email) for email in emails] == [EmailStatus.SENDING, EmailStatus.SENT]
    assert [envelope.message_id for envelope in ada.outgoing.sent] == [emails[1].message_id]


# -- cost


def test_large_messages_are_composed_a_few_at_a_time(
    ada: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = organization()
    batches: list[int] = []
    real = send_module.envelopes

    def noted(emails, *args):
        batches.append(len(emails))
        return real(emails, *args)

    monkeypatch.setattr(send_module, "envelopes", noted)
    monkeypatch.setattr(claiming, "BATCH_BYTES", 2500)
    user = ada.mailbox.regarding_user
    for number in range(5):
        email = written(ada)
        content = str(number).encode() * 1000
        outbox.attach(email, file_name="a.bin", content=content, mime_type="", organization=rules)
        outbox.submit(email, actor=user, now=ada.now)

    ada.send()

    assert batches == [2, 2, 1]
    assert len(ada.outgoing.sent) == 5
