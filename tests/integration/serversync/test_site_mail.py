"""Django's own ways to send mail, through a mailbox."""

import logging
from email import message_from_bytes
from email.mime.image import MIMEImage
from email.mime.message import MIMEMessage
from email.mime.multipart import MIMEMultipart
from email.policy import default

import pytest
from django.core import checks, mail
from django.core.mail import (
    EmailMessage,
    EmailMultiAlternatives,
    get_connection,
    mail_admins,
    send_mail,
    send_mass_mail,
)
from django.db import transaction

from activities.models import Email
from mailboxes import checks as own_checks
from serversync.mailing import Refused
from tests.integration.serversync.cycles import (
    Account,
    organization,
    queue_mailbox,
    user_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

DESK = "desk@example.com"


@pytest.fixture
def desk(settings) -> Account:
    settings.EMAIL_BACKEND = "serversync.site_mail.MailboxBackend"
    settings.SITE_MAIL_SENDER = settings.DEFAULT_FROM_EMAIL = settings.SERVER_EMAIL = DESK
    organization(allow_unresolved_parties_on_email_send=False)
    return Account(queue_mailbox("desk"))


def message(**given) -> EmailMultiAlternatives:
    return EmailMultiAlternatives(
        **{"subject": "Your order", "body": "It left.", "to": ["cleo@customer.example"]} | given
    )


def left(account: Account):
    account.now = Email.objects.latest("activity__created_on").activity.created_on
    account.send()
    return message_from_bytes(account.outgoing.sent[-1].mime, policy=default)


def test_send_mail_leaves_through_the_default_mailbox(desk: Account) -> None:
    count = send_mail("Your order", "It left.", None, ["Cleo <cleo@customer.example>"])

    got = left(desk)
    assert count == 1
    assert got["From"] == "Desk <desk@example.com>"
    assert got["To"] == "Cleo <cleo@customer.example>"
    assert got["Reply-To"] is None
    assert got["Auto-Submitted"] == "auto-generated"
    assert got.get_body(("plain",)).get_content().strip() == "It left."
    assert Email.objects.get().submitted_by is None


def test_mail_to_the_admins_leaves(desk: Account, settings) -> None:
    settings.ADMINS = [("Ops", "ops@example.net")]

    mail_admins("Trouble", "It broke.", html_message="<p>It <b>broke</b>.</p>")

    got = left(desk)
    assert desk.outgoing.sent[0].recipients == ("ops@example.net",)
    assert "Trouble" in got["Subject"]
    assert "<b>broke</b>" in got.get_body(("html",)).get_content()


def test_all_that_an_email_message_can_hold_goes_along(desk: Account) -> None:
    sent = message(
        cc=["dan@customer.example"],
        bcc=["eve@customer.example"],
        reply_to=["orders@example.com"],
        headers={"X-Order": "7", "Precedence": "bulk", "Importance": "high"},
    )
    sent.attach_alternative("<p>It left. <img src='cid:logo'></p>", "text/html")
    sent.attach_alternative("BEGIN:VCALENDAR", "text/calendar")
    sent.attach("bill.csv", "Grüße;1", "text/csv")
    sent.attach("bill.pdf", b"%PDF", "application/pdf")
    sent.attach("unknown", b"\x00\x01")
    logo = MIMEImage(b"\x89PNG\r\n\x1a\n", "png")
    logo.add_header("Content-ID", "<logo>")
    sent.attach(logo)

    assert sent.send() == 1

    got = left(desk)
    assert desk.outgoing.sent[0].recipients == (
        "cleo@customer.example",
        "dan@customer.example",
        "eve@customer.example",
    )
    assert (got["Cc"], got["Bcc"]) == ("dan@customer.example", None)
    assert got["Reply-To"] == "orders@example.com"
    assert (got["X-Order"], got["Precedence"], got["Importance"]) == ("7", "bulk", "high")
    kinds = [part.get_content_type() for part in got.walk()]
    assert kinds == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "text/calendar",
        "text/csv",
        "application/pdf",
        "application/octet-stream",
    ]
    (csv,) = (part for part in got.walk() if part.get_filename() == "bill.csv")
    assert csv.get_payload(decode=True).decode() == "Grüße;1"


@pytest.mark.parametrize("form", ["django", "standard", "text", "bytes", "mime"])
def test_a_message_as_an_attachment_stays_one(desk: Account, form: str) -> None:
    inner = EmailMessage("Inner", "Words", "a@example.com", ["b@example.com"])
    content = {
        "django": inner,
        "standard": inner.message(),
        "text": inner.message().as_string(),
        "bytes": inner.message().as_bytes(),
    }.get(form)
    outer = message()
    if form == "mime":
        outer.attach(MIMEMessage(inner.message()))
    else:
        outer.attach("inner.eml", content, "message/rfc822")

    outer.send()

    (part,) = (one for one in left(desk).walk() if one.get_content_type() == "message/rfc822")
    assert part.get_payload(0)["Subject"] == "Inner"
    assert "Words" in part.get_payload(0).get_payload()


def test_a_body_of_html_alone(desk: Account) -> None:
    sent = EmailMessage("Hi", "<p>Only this</p>", to=["cleo@customer.example"])
    sent.content_subtype = "html"

    sent.send()

    got = left(desk)
    assert got.get_body(("html",)).get_content().strip() == "<p>Only this</p>"
    assert got.get_body(("plain",)).get_content().strip() == "Only this"


def test_the_from_address_chooses_the_mailbox(desk: Account, settings) -> None:
    settings.SITE_MAIL_SENDERS = {"shop@example.com": "support@example.com"}
    support, ada = queue_mailbox("support"), user_mailbox("ada")
    tried = {
        "Shop <Shop@example.com>": (support, "Shop", None),
        "ada@example.com": (ada, None, None),
        "Ben <ben@customer.example>": (desk.mailbox, None, "ben@customer.example"),
        f"Front desk <{DESK}>": (desk.mailbox, "Front desk", None),
    }

    for author, (mailbox, name, reply_to) in tried.items():
        message(from_email=author).send()
        email = Email.objects.latest("activity__created_on")
        assert email.sender_mailbox_id == mailbox.pk, author
        assert email.extras.get("from_name") == name
        assert (email.reply_to or None) == reply_to


def test_without_a_mailbox_for_it_the_error_says_so(desk: Account, settings, caplog) -> None:
    settings.SITE_MAIL_SENDER = "nobody@example.com"

    with pytest.raises(Refused, match=r"nobody@example\.com.*no user and no queue"):
        message(from_email="x@example.org").send()
    with caplog.at_level(logging.WARNING):
        assert message(from_email="x@example.org").send(fail_silently=True) == 0

    assert "nobody@example.com" in caplog.text
    assert not Email.objects.exists()


def test_of_several_messages_all_are_written_or_none(desk: Account) -> None:
    good, bad = message(), message(headers={"To": "everybody"})

    with pytest.raises(Refused, match="“To”"):
        get_connection().send_messages([good, bad])
    assert not Email.objects.exists()

    assert get_connection(fail_silently=True).send_messages([good, bad]) == 1
    assert send_mass_mail([("A", "a", None, ["a@example.org"]), ("B", "b", None, [])]) == 1


def test_nothing_is_left_of_what_a_caller_rolled_back(desk: Account) -> None:
    with pytest.raises(RuntimeError), transaction.atomic():
        message().send()
        raise RuntimeError

    assert not Email.objects.exists()


@pytest.mark.parametrize(
    "headers", [{"Message-ID": "<order-7@shop.example>"}, {"Idempotency-Key": "order-7"}]
)
def test_a_message_that_bears_a_key_is_sent_once(desk: Account, headers: dict) -> None:
    for _attempt in range(3):
        assert message(headers=headers).send() == 1

    got = left(desk)
    assert Email.objects.count() == 1
    assert got["Idempotency-Key"] is None
    assert got["Message-ID"] == headers.get("Message-ID", got["Message-ID"])
    with pytest.raises(Refused, match="another content"):
        message(headers=headers, body="It didn't.").send()


@pytest.mark.parametrize(("said", "expected"), [("no", None), ("auto-replied", "auto-generated")])
def test_who_says_that_a_person_wrote_it_is_believed(
    desk: Account, said: str, expected: str | None
) -> None:
    message(headers={"Auto-Submitted": said}).send()

    assert left(desk)["Auto-Submitted"] == expected


def test_what_has_no_place_in_a_message_is_refused(desk: Account) -> None:
    parts = message()
    parts.attach(MIMEMultipart())
    form = message()
    form.attach_alternative(b"x", "application/json")

    for one, words in ((parts, "several parts"), (form, "application/json")):
        with pytest.raises(Refused, match=words):
            one.send()
    with pytest.raises(Refused, match="line break"):
        message(subject="a\nBcc: eve@example.net").send()


def test_a_connection_opens_and_closes_and_is_used_again(desk: Account) -> None:
    with get_connection() as connection:
        message(connection=connection).send()
        message(connection=connection).send()
    connection.close()

    assert connection.send_messages([message(to=[])]) == 0
    assert Email.objects.count() == 2
    assert not hasattr(mail, "outbox") or mail.outbox == []


def test_settings_that_name_no_address_are_told(settings) -> None:
    settings.SITE_MAIL_SENDER = "desk"
    settings.SITE_MAIL_SENDERS = {"shop@example.com": "", "x": "desk@example.com"}

    found = own_checks.site_mail(None)

    assert [one.id for one in found] == ["serversync.E012"] * 3
    assert all(isinstance(one, checks.Error) for one in found)
