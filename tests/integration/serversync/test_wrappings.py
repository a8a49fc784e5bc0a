"""Mail in wrappings, and files that aren't what they are called, through whole cycles."""

from base64 import encodebytes

import pytest
from django.urls import reverse

from activities.choices import Notifications
from activities.models import ActivityMimeAttachment, Email
from mailboxes.choices import IncomingDeliveryMethod
from mailboxes.models import Mailbox
from serversync.choices import ItemState
from serversync.models import SyncItem
from tests.factories.clients import signed_in
from tests.factories.console import build_site
from tests.files import windows_program, word_document
from tests.integration.serversync.cycles import (
    Account,
    organization,
    profile,
    ready,
    user_mailbox,
)
from tests.messages import read
from tracking.telling import sentences

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ben() -> Account:
    """Whose address most messages of the corpus are written to."""
    profile()
    account = Account(user_mailbox("ben"))
    user = account.mailbox.regarding_user
    user.internal_email_address = "ben@example.org"
    user.save()
    return account


def files() -> list[tuple[str, str]]:
    rows = ActivityMimeAttachment.objects.order_by("attachment_number")
    return [(file.file_name, file.mime_type) for file in rows]


def with_files(*files: tuple[str, bytes], html: str = "See the files.") -> bytes:
    parts = [f"Content-Type: text/html\r\n\r\n{html}\r\n".encode()]
    parts += [
        f"Content-Type: application/octet-stream\r\nContent-ID: <{number}@x.example>\r\n"
        f'Content-Disposition: attachment; filename="{name}"\r\n'
        "Content-Transfer-Encoding: base64\r\n\r\n".encode()
        + encodebytes(content)
        for number, (name, content) in enumerate(files, start=1)
    ]
    return (
        b"From: cleo@customer.example\r\nTo: ben@example.org\r\nMIME-Version: 1.0\r\n"
        b"Message-ID: <files@customer.example>\r\n"
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
        + b"--b\r\n".join(parts)
        + b"--b--\r\n"
    )


# -- rights and signatures


@pytest.mark.rule("R3.11")
@pytest.mark.parametrize("name", ["rights_protected", "rights_protected_by_class"])
def test_rights_protected_mail_is_stored_as_it_is_unless_it_is_to_be_left_alone(ben, name):
    raw = read(name)
    ben.box.deliver(raw)
    ben.receive()
    assert bytes(Email.objects.get().mime.content) == raw

    Email.objects.all().delete()
    organization(restrict_irm_email_items=True)
    ben.box.deliver(raw.replace(b"message-", b"another-"))
    ben.receive()
    item = SyncItem.objects.order_by("pk").last()
    assert (item.state, item.reason) == (ItemState.SKIPPED, "rights_protected")
    assert not Email.objects.exists()


@pytest.mark.rule("R3.11")
def test_of_encrypted_mail_is_stored_what_can_be_read_whatever_the_switch(ben):
    organization(restrict_irm_email_items=True)
    ben.box.deliver(read("smime_encrypted_without_type"))
    ben.receive()
    email = Email.objects.get()
    assert (email.activity.subject, email.sender) == ("Secret", "ada@example.com")
    assert files() == [("smime.p7m", "application/octet-stream")]


@pytest.mark.rule("R3.11")
def test_an_opaque_signature_is_opened_and_its_worth_left_open(ben):
    raw = read("smime_opaque_signed_mixed")
    ben.box.deliver(raw)
    ben.receive()
    email = Email.objects.get()
    assert email.description.strip() == "Signed words, grüßend."
    assert files() == [("Plan.pdf", "application/pdf")]
    assert email.defects == [{"code": "signed_part_opened", "detail": "signature not verified"}]
    assert bytes(email.mime.content) == raw


# -- winmail.dat and forwards


@pytest.mark.rule("R3.51")
def test_files_in_winmail_are_files_of_the_email_and_the_original_is_kept(ben):
    raw = read("winmail_is_all")
    ben.box.deliver(raw)
    ben.receive()
    email = Email.objects.get()
    assert email.description.startswith("<p>Grüße")
    assert files() == [("Plan.pdf", "application/pdf"), ("part.png", "image/png")]
    assert bytes(email.mime.content) == raw


@pytest.mark.rule("R3.75")
@pytest.mark.parametrize(
    "name",
    ["forward_in_winmail", "forward_outlook_msg", "forward_opaque_signed", "forward_eml_as_text"],
)
def test_originals_are_judged_for_whoever_forwarded_them_in_every_wrapping(name):
    owner = profile().owning_user
    mailbox = Mailbox.objects.create(
        name="Forwarded", email_address="forward@example.com", owning_user=owner
    )
    forward = Account(ready(mailbox, outgoing_email_delivery_method=0))
    user_mailbox("ada", incoming_email_delivery_method=IncomingDeliveryMethod.FORWARD_MAILBOX)
    forward.box.deliver(read(name))

    forward.receive()

    email = Email.objects.get()
    assert (email.activity.subject, email.sender) == ("The original", "cy@example.net")
    assert email.message_id == "original-1@mail.example.net"
    states = {item.source_key: item.state for item in SyncItem.objects.all()}
    assert states == {"1.1": ItemState.SKIPPED, "1.1/1": ItemState.TRACKED}


# -- files that aren't what they are called


@pytest.mark.rule("R3.51", "R3.52")
def test_a_program_called_a_document_is_left_out_and_listed_as_what_it_is(ben):
    program = windows_program()
    ben.box.deliver(
        with_files(
            ("invoice.pdf", program),
            ("offer.docx", word_document()),
            ("start.bat", b"@echo off"),
            ("shown.png", program),
            html='<img src="cid:4@x.example">',
        )
    )

    ben.receive()

    email = Email.objects.get()
    assert [name for name, _ in files()] == ["offer.docx"]
    assert email.notifications == Notifications.ATTACHMENTS_DROPPED
    assert email.dropped_attachments == [
        {"name": "invoice.pdf", "size": len(program), "reason": "blocked_type", "type": "exe"},
        {"name": "start.bat", "size": 9, "reason": "blocked"},
        {"name": "shown.png", "size": len(program), "reason": "blocked_type", "type": "exe"},
    ]
    told = [sentence.text for sentence in sentences(email.decision)]
    assert any("invoice.pdf" in text and "blocked type “exe”" in text for text in told)


@pytest.mark.rule("R3.51", "R3.52")
def test_the_page_of_an_email_says_in_words_why_a_file_was_left_out():
    site = build_site()
    Email.objects.filter(pk=site.html.pk).update(
        dropped_attachments=[
            {"name": "invoice\u202efdp.exe", "size": 2048, "reason": "blocked"},
            {"name": "scan.pdf", "size": 2048, "reason": "blocked_type", "type": "exe"},
            {"name": "film.mov", "size": 9_000_000, "reason": "too_large"},
        ]
    )
    page = signed_in(site.ada).get(reverse("admin:activities_email_change", args=[site.html.pk]))
    text = page.content.decode()
    assert "invoicefdp.exe" in text and "\u202e" not in text
    assert "its extension is blocked" in text
    assert "it is a file of the blocked type “exe”" in text
    assert "larger than the organization allows" in text
