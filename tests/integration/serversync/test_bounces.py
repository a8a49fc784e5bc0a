"""What comes back of mail that was sent: bounces, delays, receipts, linked to it and noted on it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from django.urls import reverse

from activities.choices import CorrelationMethod, DeliveryResult, EmailKind, EmailStatus
from activities.mime.message import Address
from activities.models import (
    ActivityParty,
    ActivityPointer,
    BouncedAddress,
    Contact,
    Email,
    Lead,
)
from mailboxes.choices import AutoCreate, FilteringMethod, Reach
from mailboxes.models import TraceLog
from serversync import outbox
from serversync.choices import ItemState
from serversync.models import SyncItem
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SuperuserFactory, SystemUserFactory, group_of
from tests.integration.serversync.cycles import (
    NOW,
    Account,
    message,
    organization,
    queue_mailbox,
    user_mailbox,
)
from tracking import telling


def url_of(email: Email) -> str:
    return reverse("admin:activities_email_change", args=[email.pk])


pytestmark = [pytest.mark.integration, pytest.mark.django_db]

CLEO, DAN = "cleo@customer.example", "Dan@Customer.example"
GONE = ("failed", "5.1.1", "550 5.1.1 user unknown")
FULL = ("failed", "5.2.2", "552 5.2.2 mailbox full")
LATE = ("delayed", "4.4.1", "connection timed out")
DELIVERED = ("delivered", "2.0.0", "250 ok")


@pytest.fixture
def ada() -> Account:
    organization(allow_unresolved_parties_on_email_send=True, generate_alerts_for_warnings=True)
    return Account(user_mailbox("ada", FilteringMethod.RESPONSES))


def sent(account: Account, *to: str, subject: str = "Offer", regarding=None) -> Email:
    """An email that has left."""
    user = account.mailbox.regarding_user
    draft = outbox.Draft(
        sender=user,
        to=tuple(Address(address) for address in to or (CLEO,)),
        subject=subject,
        body="<p>Text</p>",
        regarding=regarding,
    )
    email = outbox.create_draft(draft, actor=user, now=account.now)
    outbox.submit(email, actor=user, now=account.now)
    account.send()
    account.later(minutes=5)
    return Email.objects.select_related("activity").get(pk=email.pk)


def dsn(
    *told: Sequence[str],
    of: Email | None = None,
    message_id: str = "",
    subject: str = "",
    to: str = CLEO,
    date: str = "Mon, 02 Mar 2026 09:00:00 +0000",
    key: str = "1",
    receiver: str = "ada@example.com",
) -> bytes:
    """A report as RFC 3464 has it. `told`: (address, action, status, diagnostic); the header that it
    returns has the id of the email `of`, or `message_id`, `subject`, `to` and `date` where given."""
    groups = "\r\n".join(
        f"Final-Recipient: rfc822;{address}\r\nAction: {action}\r\nStatus: {status}\r\n"
        f"Diagnostic-Code: smtp; {diagnostic}\r\n"
        for address, action, status, diagnostic in told
    )
    returned = f"Message-ID: <{of.message_id if of else message_id}>\r\n" * bool(of or message_id)
    if subject:
        returned += f"Subject: {subject}\r\nTo: {to}\r\nDate: {date}\r\n"
    part = f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\n{returned}\r\n" if returned else ""
    return (
        f"Return-Path: <>\r\nFrom: MAILER-DAEMON@mx.customer.example\r\nTo: {receiver}\r\n"
        f"Subject: Delivery Status Notification\r\nMessage-ID: <dsn{key}@mx.customer.example>\r\n"
        "Date: Mon, 02 Mar 2026 09:05:00 +0000\r\nMIME-Version: 1.0\r\n"
        "Auto-Submitted: auto-replied\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nThis is what became of your message.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\n"
        f"Reporting-MTA: dns; mx.customer.example\r\n\r\n{groups}\r\n{part}--b--\r\n"
    ).encode()


def results(email: Email) -> dict[str, tuple[DeliveryResult, str]]:
    rows = ActivityParty.objects.filter(activity_id=email.pk, participation_type_mask__in=[2, 3, 4])
    return {
        row.address_used: (DeliveryResult(row.delivery_result), row.delivery_detail) for row in rows
    }


def comes_back(account: Account, *raw: bytes) -> None:
    for one in raw:
        account.box.deliver(one)
    account.receive()


def words(data) -> str:
    return " ".join(sentence.text for sentence in telling.sentences(data))


@pytest.mark.rule("R5.21", "R10.26")
def test_a_bounce_is_linked_by_the_id_that_it_returns(ada: Account) -> None:
    owner = ada.mailbox.regarding_user
    contact = Contact.objects.create(last_name="Cleo", owning_user=owner)
    email = sent(ada, regarding=contact)

    comes_back(ada, dsn((CLEO, *GONE), of=email))

    report = Email.objects.select_related("activity").get(kind=EmailKind.BOUNCE)
    assert report.about == email == report.correlated_activity
    assert report.correlation_method == CorrelationMethod.CUSTOM
    assert report.activity.regarding_object == contact
    assert report.decision["reason"] == "CorrelationMatch"  # the filter takes answers only
    assert results(email) == {CLEO: (DeliveryResult.BOUNCED, "5.1.1 550 5.1.1 user unknown")}
    assert "about the email sent with the Message-ID" in words(report.decision)
    assert "It tells of cleo@customer.example: Undelivered for good." in words(report.decision)


@pytest.mark.rule("R5.21")
def test_of_two_recipients_one_bounced(ada: Account) -> None:
    email = sent(ada, CLEO, DAN)

    comes_back(ada, dsn((DAN.lower(), *FULL), of=email))

    assert {address: result for address, (result, _) in results(email).items()} == {
        CLEO: DeliveryResult.ACCEPTED,
        DAN: DeliveryResult.UNDELIVERED,
    }
    alert = TraceLog.objects.get(code="Undelivered")
    assert (alert.regarding_mailbox, alert.object_key) == (ada.mailbox, f"email:{email.pk}")
    assert alert.error_details == "Dan@Customer.example: 5.2.2 552 5.2.2 mailbox full"


@pytest.mark.rule("R5.21")
def test_the_same_report_twice_changes_nothing_twice(ada: Account) -> None:
    email = sent(ada)
    report = dsn((CLEO, *GONE), of=email)

    comes_back(ada, report)
    comes_back(ada, report)
    comes_back(ada, dsn((CLEO, *DELIVERED), of=email, key="2"))

    assert results(email)[CLEO][0] == DeliveryResult.BOUNCED
    assert TraceLog.objects.get(code="Undelivered").occurrences == 1


@pytest.mark.rule("R5.21")
def test_what_is_noted_gets_more_certain(ada: Account) -> None:
    email = sent(ada)

    noted = []
    for number, told in enumerate((LATE, DELIVERED, LATE)):
        comes_back(ada, dsn((CLEO, *told), of=email, key=str(number)))
        noted.append(results(email)[CLEO][0])

    assert noted == [DeliveryResult.DELAYED, DeliveryResult.DELIVERED, DeliveryResult.DELIVERED]
    assert {one.kind for one in email.reports.all()} == {EmailKind.DELAY, EmailKind.RECEIPT}
    assert not TraceLog.objects.filter(code="Undelivered").exists()


@pytest.mark.rule("R5.21")
def test_a_rejected_report_of_our_own_mail_is_noted_all_the_same(ada: Account) -> None:
    email = sent(ada)
    queue = Account(queue_mailbox("support", FilteringMethod.LEADS_CONTACTS_ACCOUNTS))

    comes_back(queue, dsn((CLEO, *GONE), of=email, receiver="support@example.com"))

    item = SyncItem.objects.get(mailbox=queue.mailbox)
    assert item.state == ItemState.REJECTED
    assert results(email)[CLEO][0] == DeliveryResult.BOUNCED
    assert "noted on the email that was sent, whether this report is tracked or not" in words(
        item.trace
    )


@pytest.mark.rule("R5.21")
@pytest.mark.parametrize("filtering", [FilteringMethod.ALL, FilteringMethod.RESPONSES])
def test_a_returned_header_links_what_the_filter_takes(
    ada: Account, filtering: FilteringMethod
) -> None:
    settings = ada.mailbox.regarding_user.settings
    settings.incoming_email_filtering_method = filtering
    settings.save()
    sent(ada, subject="Something else")
    email = sent(ada)

    comes_back(ada, dsn((CLEO, *GONE), subject=email.activity.subject))

    taken = filtering == FilteringMethod.ALL
    assert list(email.reports.values_list("kind", flat=True)) == ["bounce"] * taken
    result = DeliveryResult.BOUNCED if taken else DeliveryResult.ACCEPTED
    assert results(email)[CLEO][0] == result


@pytest.mark.rule("R5.21")
@pytest.mark.parametrize("count", [1, 2])
def test_a_report_that_names_no_message_is_about_the_newest_to_its_recipient(
    ada: Account, count: int
) -> None:
    settings = ada.mailbox.regarding_user.settings
    settings.incoming_email_filtering_method = FilteringMethod.ALL
    settings.save()
    emails = [sent(ada, DAN, subject=f"Offer {number}") for number in range(count)]
    sent(ada)

    comes_back(ada, dsn((DAN, *GONE)))

    report = Email.objects.get(kind=EmailKind.BOUNCE)
    assert report.about == emails[-1]
    assert report.correlation_method == CorrelationMethod.NONE
    noted = DeliveryResult.BOUNCED if count == 1 else DeliveryResult.ACCEPTED
    assert results(emails[-1])[DAN][0] == noted
    assert (f"Nothing is noted: {count} emails" in words(report.decision)) is (count == 2)


@pytest.mark.rule("R5.21")
def test_old_mail_is_not_guessed_at(ada: Account) -> None:
    settings = ada.mailbox.regarding_user.settings
    settings.incoming_email_filtering_method = FilteringMethod.ALL
    settings.save()
    email = sent(ada)
    ActivityPointer.objects.update(sort_date=NOW - timedelta(days=8))

    comes_back(ada, dsn((CLEO, *GONE)))

    report = Email.objects.get(kind=EmailKind.BOUNCE)
    assert report.about is None
    assert results(email)[CLEO][0] == DeliveryResult.ACCEPTED
    assert "no email that was sent from here is known to be meant" in words(report.decision)


@pytest.mark.rule("R5.21")
def test_a_forged_bounce_says_nothing_of_mail_that_we_did_not_send(ada: Account) -> None:
    settings = ada.mailbox.regarding_user.settings
    settings.incoming_email_filtering_method = FilteringMethod.ALL
    settings.save()
    email = sent(ada)

    comes_back(
        ada,
        dsn((CLEO, *GONE), message_id="made-up@example.com", key="1"),
        dsn((DAN, *GONE), of=email, key="2"),
    )

    assert Email.objects.get(message_id__startswith="dsn1").about is None
    ((result, detail),) = results(email).values()
    # Its id is right, so the address is where the only recipient's mail was passed on to.
    assert (result, detail.partition(":")[0]) == (DeliveryResult.BOUNCED, DAN)


@pytest.mark.rule("R5.21")
def test_strict_parity_takes_reports_for_ordinary_mail(ada: Account) -> None:
    organization(strict_parity=True)
    email = sent(ada)

    comes_back(ada, dsn((CLEO, *GONE), of=email))

    assert SyncItem.objects.get(mailbox=ada.mailbox).reason == "NoCorrelationMatch"
    assert results(email)[CLEO][0] == DeliveryResult.ACCEPTED


# -- pages


@pytest.mark.rule("R5.21", "R10.26")
def test_pages_tell_what_came_back_and_what_a_report_is_about(ada: Account) -> None:
    email = sent(ada, CLEO, DAN)
    comes_back(ada, dsn((DAN.lower(), *GONE), of=email))
    report = email.reports.get()
    client = signed_in(SuperuserFactory())

    page = client.get(url_of(email)).content.decode()
    assert f'href="{url_of(report)}"' in page.partition('id="reports"')[2]
    assert "Undelivered for good" in page and "5.1.1 550 5.1.1 user unknown" in page
    about = client.get(url_of(report)).content.decode()
    assert f'<dd id="about"><a href="{url_of(email)}">Offer' in about
    assert ">Bounce</span>" in about
    listed = client.get("/activities/email/?kind__exact=bounce").context["cl"].result_list
    assert [(row.pk, row.is_undelivered) for row in listed] == [(report.pk, False)]
    sent_mail = client.get("/activities/email/?direction_code__exact=1").content.decode()
    assert ">Undelivered</span>" in sent_mail


def test_an_automatic_reply_tells_what_it_answers(ada: Account) -> None:
    email = sent(ada)
    comes_back(
        ada,
        message(
            message_id="away@customer.example",
            in_reply_to=f"<{email.message_id}>",
            auto_submitted="auto-replied",
            subject="Away",
        ),
    )

    answer = Email.objects.get(kind=EmailKind.AUTO_REPLY)
    page = signed_in(SuperuserFactory()).get(url_of(answer)).content.decode()
    assert f'<dd id="about"><a href="{url_of(email)}">Offer' in page
    assert answer.about is None


def test_who_may_not_see_the_email_learns_nothing_of_it(ada: Account) -> None:
    email = sent(ada)
    comes_back(ada, dsn((CLEO, *GONE), of=email))
    report = email.reports.select_related("activity").get()
    ben = SystemUserFactory(domain_name="ben")
    group_of(ben, "view_email", reach=Reach.OWN)
    ActivityPointer.objects.filter(pk=report.pk).update(owning_user=ben)

    page = signed_in(ben).get(url_of(report)).content.decode()

    assert "an email that you can" in page
    assert str(email.pk) not in page.partition('id="about"')[2].partition("</dd>")[0]


# -- addresses


def flagged() -> dict[str, int]:
    return dict(BouncedAddress.objects.values_list("address", "count"))


@pytest.mark.rule("R5.21")
def test_a_hard_bounce_flags_the_address_once_for_each_email(ada: Account) -> None:
    first, second = sent(ada, DAN), sent(ada, CLEO, DAN)
    report = dsn((DAN, *GONE), of=first)

    comes_back(ada, report, report, dsn((DAN, *GONE), of=first, key="again"))
    assert flagged() == {DAN.lower(): 1}
    comes_back(ada, dsn((CLEO, *FULL), (DAN, *GONE), of=second, key="2"))

    row = BouncedAddress.objects.get()
    assert (row.address, row.count, row.email) == (DAN.lower(), 2, second)
    assert (row.status, row.diagnostic) == ("5.1.1", "5.1.1 550 5.1.1 user unknown")


@pytest.mark.rule("R5.21")
def test_who_forges_a_bounce_flags_nobody(ada: Account) -> None:
    settings = ada.mailbox.regarding_user.settings
    settings.incoming_email_filtering_method = FilteringMethod.ALL
    settings.save()
    email = sent(ada, subject="Offer")

    comes_back(
        ada,
        dsn((CLEO, *GONE), message_id="made-up@example.com", key="1"),
        dsn(("eve@customer.example", *GONE), of=email, key="2"),
    )
    comes_back(ada, dsn((CLEO, *GONE), subject="Offer", key="3"))

    assert results(email)[CLEO][0] == DeliveryResult.BOUNCED
    assert flagged() == {}


@pytest.mark.rule("R5.21")
@pytest.mark.parametrize("proof", ["mail", "receipt", "automatic reply"])
def test_later_proof_takes_the_flag_off(ada: Account, proof: str) -> None:
    settings = ada.mailbox.regarding_user.settings
    settings.incoming_email_filtering_method = FilteringMethod.ALL
    settings.save()
    comes_back(ada, dsn((CLEO, *GONE), of=sent(ada)))
    assert flagged() == {CLEO: 1}
    ada.later(hours=1)

    again = sent(ada)
    if proof == "receipt":
        comes_back(ada, dsn((CLEO, *DELIVERED), of=again, key="2"))
    else:
        automatic = {"auto_submitted": "auto-replied"} if proof == "automatic reply" else {}
        comes_back(ada, message(message_id="m@customer.example", sender=CLEO, **automatic))

    assert flagged() == ({} if proof in ("mail", "receipt") else {CLEO: 1})


@pytest.mark.rule("R5.21")
def test_records_and_the_compose_page_warn_of_a_flagged_address(ada: Account) -> None:
    owner = ada.mailbox.regarding_user
    contact = Contact.objects.create(last_name="Cleo", email_address2=CLEO, owning_user=owner)
    comes_back(ada, dsn((CLEO, *GONE), of=sent(ada)))
    client = signed_in(SuperuserFactory())
    page = client.get(reverse("admin:activities_contact_change", args=[contact.pk]))
    assert "Mail to cleo@customer.example came back." in page.content.decode()

    queue = queue_mailbox("support").regarding_queue
    written = {
        "sender": f"mailboxes.queue:{queue.pk}",
        "to": CLEO,
        "subject": "Again",
        "body": "Text",
        "importance": "1",
        "delivery_priority": "1",
    }
    before = Email.objects.count()
    add = reverse("admin:activities_email_add")
    asked = client.post(add, {**written, "_send": "1"})
    assert "tick that it is to be sent all the same" in asked.content.decode()
    assert Email.objects.count() == before
    client.post(add, {**written, "_save": "1"})
    assert Email.objects.get(activity__subject="Again").status_code == EmailStatus.DRAFT
    client.post(add, {**written, "subject": "Still", "_send": "1", "despite_bounces": "on"})
    assert (
        Email.objects.get(activity__subject__startswith="Still").status_code
        == EmailStatus.PENDING_SEND
    )


@pytest.mark.rule("R5.21")
def test_forgetting_an_address_needs_the_permission(ada: Account) -> None:
    comes_back(ada, dsn((CLEO, *GONE), of=sent(ada)))
    row = BouncedAddress.objects.get()
    url = reverse("admin:activities_bouncedaddress_delete", args=[row.pk])
    looker, clearer = SystemUserFactory(), SystemUserFactory()
    group_of(looker, "view_bouncedaddress", "view_email", reach=Reach.ALL)
    group_of(clearer, "view_bouncedaddress", "delete_bouncedaddress", reach=Reach.ALL)

    assert signed_in(looker).post(url, {"post": "yes"}).status_code == 403
    assert flagged() == {CLEO: 1}
    assert signed_in(clearer).post(url, {"post": "yes"}).status_code == 302
    assert flagged() == {}


# -- no records, no answers


@pytest.mark.rule("R3.57")
@pytest.mark.parametrize("kind", ["bounce", "auto-reply"])
def test_no_record_comes_of_what_no_person_wrote(ada: Account, kind: str) -> None:
    user = ada.mailbox.regarding_user
    user.settings.incoming_email_filtering_method = FilteringMethod.ALL
    user.settings.auto_create_contact_on_promote = AutoCreate.CONTACT
    user.settings.save()
    organization(auto_create_contact_on_promote=True)
    email = sent(ada)

    away = message(message_id="a@x.example", sender="new@x.example", auto_submitted="auto-replied")
    comes_back(ada, dsn((CLEO, *GONE), of=email) if kind == "bounce" else away)
    assert Email.objects.get(kind=kind)
    assert not Contact.objects.exists() and not Lead.objects.exists()

    comes_back(ada, message(message_id="p@x.example", sender="person@x.example"))
    assert Contact.objects.count() == 1  # so it was on
