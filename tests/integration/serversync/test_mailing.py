"""`send_email`: mail of the site's own code, in its own transactions."""

from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from threading import Thread

import pytest
from django.core.files.base import ContentFile
from django.db import connection, transaction
from django.urls import reverse
from django_q.models import OrmQ

from activities import blobs
from activities.choices import EmailStatus, Priority
from activities.mime.message import Address, Attachment
from activities.models import ActivityMimeAttachment, Email, IdempotencyKey, StoredBytes
from mailboxes.choices import Operation
from mailboxes.models import SystemUser
from serversync import outbox
from serversync.mailing import Refused, prepare, send_email
from serversync.models import Workload
from tests.factories.activities import ContactFactory
from tests.integration.serversync.cycles import (
    NOW,
    Account,
    organization,
    queue_mailbox,
    user_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def support() -> Account:
    organization(allow_unresolved_parties_on_email_send=True)
    return Account(queue_mailbox("support"))


def sent(account: Account, **given) -> Email:
    """One e-mail of the site itself from the queue, with whatever a test says."""
    return send_email(
        **{
            "by": None,
            "sender": "support@example.com",
            "to": "cleo@customer.example",
            "subject": "Your order",
            "text": "It left.",
            "now": account.now,
        }
        | given
    )


def bytes_of(account: Account):
    account.send()
    return message_from_bytes(account.outgoing.sent[-1].mime, policy=default)


def test_it_leaves_through_the_mailbox_with_all_that_was_given(support: Account) -> None:
    case = ContactFactory()

    email = sent(
        support,
        to=["Cleo <cleo@customer.example>", '"Dan, the other" <dan@customer.example>'],
        cc="eve@customer.example",
        bcc=["fay@customer.example"],
        reply_to="orders@example.com",
        text="It left. (plain)",
        html="<p>It left.</p>",
        attachments=[("bill.txt", "12 €"), Attachment("a.png", "image/png", b"\x89PNG")],
        regarding=case,
        importance=Priority.HIGH,
        headers={"List-Unsubscribe": "<https://example.com/u>", "X-Order": "7"},
        from_name="Example orders",
    )
    got = bytes_of(support)

    assert email.activity.regarding_object == case
    assert support.outgoing.sent[0].recipients == (
        "cleo@customer.example",
        "dan@customer.example",
        "eve@customer.example",
        "fay@customer.example",
    )
    assert got["From"] == "Example orders <support@example.com>"
    assert got["To"] == 'Cleo <cleo@customer.example>, "Dan, the other" <dan@customer.example>'
    assert (got["Cc"], got["Reply-To"], got["Bcc"]) == (
        "eve@customer.example",
        "orders@example.com",
        None,
    )
    assert got["X-Order"] == "7"
    assert got["Importance"] == "high"
    assert got.get_body(("plain",)).get_content().strip() == "It left. (plain)"
    assert got.get_body(("html",)).get_content().strip() == "<p>It left.</p>"
    files = {part.get_filename(): part.get_content_type() for part in got.iter_attachments()}
    assert files == {"bill.txt": "text/plain", "a.png": "image/png"}


@pytest.mark.parametrize(
    ("given", "expected"), [({}, "auto-generated"), ({"automatic": False}, None)]
)
def test_mail_of_the_site_itself_says_so_unless_told_otherwise(
    support: Account, given: dict, expected: str | None
) -> None:
    email = sent(support, **given)

    assert bytes_of(support)["Auto-Submitted"] == expected
    assert email.submitted_by is None
    assert email.submitted_at == NOW


def test_the_page_says_that_the_site_itself_sent_it(support: Account, client) -> None:
    email = sent(support)
    user = user_mailbox("ada").regarding_user
    SystemUser.objects.filter(pk=user.pk).update(is_superuser=True)
    support.mailbox.regarding_queue.members.add(user)
    client.force_login(SystemUser.objects.get(pk=user.pk))

    page = client.get(reverse("admin:activities_email_change", args=[email.pk])).content.decode()

    assert "by the site itself" in page


def test_nothing_is_there_before_the_commit_and_nothing_after_a_rollback(support: Account) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        sent(support, attachments=[("large", b"x" * 300_000)], idempotency_key="order-7")
        raise RuntimeError

    assert not Email.objects.exists()
    assert not OrmQ.objects.exists()
    assert not IdempotencyKey.objects.exists()
    assert not StoredBytes.objects.exists()
    assert support.send().processed == 0


def test_the_commit_wakes_the_mailbox(support: Account) -> None:
    Workload.objects.update(next_run_at=NOW + timedelta(hours=1))

    with transaction.atomic():
        sent(support)

    due = Workload.objects.get(mailbox=support.mailbox, operation=Operation.OUTGOING)
    assert due.next_run_at == NOW
    assert OrmQ.objects.exists()


def test_the_same_key_again_sends_nothing_and_returns_what_is_there(support: Account) -> None:
    first = sent(support, idempotency_key="order-7")
    again = sent(
        support,
        idempotency_key="order-7",
        send_later=NOW + timedelta(days=1),
        delivery_priority=Priority.LOW,
    )

    assert again.pk == first.pk
    assert Email.objects.count() == 1
    support.send()
    assert sent(support, idempotency_key="order-7").status_code == EmailStatus.SENT
    assert support.send().processed == 0


@pytest.mark.parametrize(
    "other",
    [
        {"subject": "Another"},
        {"text": "Another"},
        {"to": "dan@customer.example"},
        {"attachments": [("a.txt", "x")]},
        {"headers": {"X-Order": "8"}},
    ],
)
def test_another_content_under_the_same_key_is_refused(support: Account, other: dict) -> None:
    sent(support, idempotency_key="order-7")

    with pytest.raises(Refused, match=r"order-7.*another content"):
        sent(support, idempotency_key="order-7", **other)

    assert Email.objects.count() == 1


def test_a_key_outlives_its_email(support: Account) -> None:
    sent(support, idempotency_key="order-7").activity.delete()

    with pytest.raises(Refused, match="deleted since"):
        sent(support, idempotency_key="order-7")

    assert not Email.objects.exists()


def test_a_refused_call_keeps_no_key(support: Account) -> None:
    with pytest.raises(Refused):
        sent(support, idempotency_key="order-7", to=())

    assert sent(support, idempotency_key="order-7").status_code == EmailStatus.PENDING_SEND


@pytest.mark.rule("R5.3")
def test_all_that_is_wrong_is_told_at_once(support: Account) -> None:
    organization(allow_unresolved_parties_on_email_send=False, max_upload_file_size_kb=1)
    ContactFactory(email_address1="dan@customer.example", do_not_email=True)

    with pytest.raises(Refused) as refusal:
        sent(
            support,
            to=["cleo@customer.example", "dan@customer.example", "no address", "a@x, b@y"],
            headers={
                "Subject": "x",
                "Resent-To": "eve@example.net",
                "X-A": "a\nBcc: e@example.net",
            },
            attachments=[("large.bin", b"x" * 2000)],
            send_later=NOW.replace(tzinfo=None),
        )

    told = " ".join(refusal.value.reasons)
    assert len(refusal.value.reasons) == 9
    for words in (
        "“no address” is no address",
        "“a@x, b@y” is no address",
        "“Subject”",
        "“Resent-To”",
        "“X-A”",
        "“large.bin” is larger",
        "no time zone",
        "No record has these addresses: cleo@customer.example",
        "do not want email: dan@customer.example",
    ):
        assert words in told
    assert not Email.objects.exists()


def test_the_name_given_goes_with_the_sender_that_it_was_given_for(support: Account) -> None:
    ada = user_mailbox("ada")
    email = sent(support, from_name="The Shop", to="cleo@customer.example")
    outbox.cancel(email, now=support.now)
    email.refresh_from_db()
    changed = outbox.Draft(sender=ada.regarding_user, to=(Address("cleo@customer.example"),))
    outbox.update_draft(email, changed, now=support.now)
    outbox.submit(email, actor=ada.regarding_user, now=support.now)

    assert bytes_of(Account(ada))["From"] == "Ada <ada@example.com>"


@pytest.mark.rule("R5.1")
def test_files_of_what_was_sent_meanwhile_stay_as_they_are(support: Account) -> None:
    """Whoever had read it as a draft is too late."""
    email = sent(support, attachments=[("a.txt", "one")])
    email.status_code = EmailStatus.DRAFT
    file = ActivityMimeAttachment.objects.get()
    file.activity.email.status_code = EmailStatus.DRAFT
    rules = organization()

    with pytest.raises(Refused):
        outbox.attach(email, file_name="b", content=b"two", mime_type="", organization=rules)
    with pytest.raises(Refused):
        outbox.detach(file)
    assert ActivityMimeAttachment.objects.get() == file


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"from_name": "Ada\r\nBcc: eve@example.net"}, "From"),
        ({"category": "news\nBcc: eve@example.net"}, "Keywords"),
        ({"category": "news, " * 50}, "Keywords"),
        ({"reply_to": [f"reply{number}@example.com" for number in range(30)]}, "Reply-To"),
        ({"attachments": [("a\nb.txt", "text")]}, "Content-Disposition"),
        ({"alternatives": [("text/x\nX-A: b", "text")]}, "Content-Type"),
    ],
)
def test_what_would_make_no_message_is_refused_at_once(
    support: Account, given: dict, field: str
) -> None:
    """Or would lose a part when it is stored: half an address may be somebody else's."""
    with pytest.raises(Refused, match=f"“{field}”"):
        sent(support, **given)
    assert not Email.objects.exists()


@pytest.mark.parametrize("sender", ["nobody@example.com", "support@example.com.evil.example", ""])
def test_an_address_of_nobody_can_t_send(support: Account, sender: str) -> None:
    with pytest.raises(Refused, match="of no user and no queue"):
        sent(support, sender=sender)


@pytest.mark.rule("R5.4")
def test_only_the_site_itself_may_write_to_anybody(support: Account) -> None:
    organization(allow_unresolved_parties_on_email_send=False)
    user = user_mailbox("ada").regarding_user

    sent(support, to_anybody=True)
    with pytest.raises(Refused, match="to_anybody"):
        sent(support, to_anybody=True, by=user, sender=user)


@pytest.mark.rule("R5.24", "R5.25")
def test_on_behalf_of_a_user_that_user_s_rights_hold(support: Account) -> None:
    user, other = user_mailbox("ada").regarding_user, user_mailbox("ben").regarding_user
    stranger = SystemUser.objects.get(pk=user.pk)

    for sender in (support.mailbox.regarding_queue, other, "ben@example.com"):
        with pytest.raises(Refused, match=r"R5\.2[45]"):
            sent(support, by=stranger, sender=sender)

    email = sent(support, by=user, sender=user)
    assert email.submitted_by == user
    assert email.activity.owning_user == user
    assert sent(support, sender=other).activity.owning_user == other


def test_files_of_any_form_are_taken_and_large_ones_can_be_stored_before(support: Account) -> None:
    large = bytes(range(256)) * 2000
    files = prepare(("large.bin", large), ContentFile(b"words", name="folder/notes.txt"))

    email = sent(support, attachments=files)

    rows = ActivityMimeAttachment.objects.filter(activity=email.pk).select_related("attachment")
    assert [(row.file_name, row.mime_type, blobs.read(row.attachment)) for row in rows] == [
        ("large.bin", "application/octet-stream", large),
        ("notes.txt", "text/plain", b"words"),
    ]


def test_many_recipients_are_one_email(support: Account) -> None:
    everybody = [f"p{number}@customer.example" for number in range(500)]

    sent(support, bcc=everybody)

    support.send()
    (envelope,) = support.outgoing.sent
    assert len(envelope.recipients) == 501
    assert b"p7@customer.example" not in envelope.mime


def test_an_answer_goes_on_in_its_thread(support: Account) -> None:
    first = sent(support)
    support.send()

    answer = sent(support, answers=Email.objects.get(pk=first.pk), idempotency_key="answer")

    assert bytes_of(support)["In-Reply-To"] == f"<{first.message_id}>"
    assert (
        answer.conversation_tracking_id == Email.objects.get(pk=first.pk).conversation_tracking_id
    )


def test_a_plain_text_that_was_given_ends_with_an_edit(support: Account) -> None:
    email = sent(support, html="<p>One</p>", text="One, plain", headers={"X-Order": "7"})
    outbox.cancel(email, now=NOW)
    Email.objects.filter(pk=email.pk).update(description="<p>Two</p>")
    outbox.submit(Email.objects.get(pk=email.pk), actor=None, now=NOW)

    got = bytes_of(support)

    assert got.get_body(("plain",)).get_content().strip() == "Two"
    assert got["X-Order"] == "7"


def test_other_forms_of_the_body_go_along(support: Account) -> None:
    sent(support, html="<p>Hi</p>", alternatives=[("text/calendar", "BEGIN:VCALENDAR")])

    kinds = [part.get_content_type() for part in bytes_of(support).walk()]

    assert kinds == ["multipart/alternative", "text/plain", "text/html", "text/calendar"]


@pytest.mark.database("postgresql")
@pytest.mark.django_db(transaction=True)
def test_of_two_calls_at_a_time_one_writes_and_both_return_its_email(support: Account) -> None:
    found: list[object] = []

    def other() -> None:
        try:
            found.append(sent(support, idempotency_key="order-7").pk)
        finally:
            connection.close()

    with transaction.atomic():
        first = sent(support, idempotency_key="order-7")
        thread = Thread(target=other)
        thread.start()
        thread.join(0.3)
        assert found == []  # it waits for this transaction
    thread.join()

    assert found == [first.pk]
    assert Email.objects.count() == 1
