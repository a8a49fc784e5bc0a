"""The whole engine against Dovecot and Postfix: mail arrives, goes out, comes back and is answered."""

import smtplib
import ssl
from datetime import timedelta
from email.message import EmailMessage
from email.policy import SMTP

import pytest
from django.utils import timezone

from activities.choices import Direction, EmailStatus
from activities.models import Email
from mailboxes.choices import FilteringMethod, Operation, ServerType, TlsMode
from mailboxes.models import EmailServerProfile, Mailbox
from serversync import engine, outbox, testing
from serversync.choices import ActionState
from serversync.engine import Report
from serversync.models import FolderCursor, ServerAction, SyncItem
from tests.integration.serversync.connected import logs_in, write
from tests.integration.serversync.cycles import (
    message,
    organization,
    profile,
    queue_mailbox,
    user_mailbox,
)
from tests.servers.dovecot import PASSWORDS, Dovecot
from tests.servers.ports import wait_for
from tests.servers.postfix import INTERNATIONAL, Postfix

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

INCOMING, OUTGOING = Operation.INCOMING, Operation.OUTGOING
ADA, BEN, CLEO, DORA = PASSWORDS
CUSTOMER = "Paula <paula@customer.example>"

both_protocols = pytest.mark.parametrize("protocol", ["imap", "pop3"])


class Site:
    """Mailboxes of this site at the two servers."""

    def __init__(self, dovecot: Dovecot, postfix: Postfix) -> None:
        self.dovecot, self.postfix = dovecot, postfix
        organization(allow_unresolved_parties_on_email_send=True)
        for user in PASSWORDS:
            dovecot.empty(user)

    def profile(self, protocol: str) -> EmailServerProfile:
        ports = self.dovecot.ports
        kinds = {
            "imap": (ServerType.IMAP_SMTP, ports.imaps),
            "pop3": (ServerType.POP3_SMTP, ports.pop3s),
        }
        kind, port = kinds[protocol]
        existing = EmailServerProfile.objects.filter(server_type=kind).first()
        return existing or profile(
            name=protocol,
            server_type=kind,
            incoming_server_location=self.dovecot.host,
            incoming_port_number=port,
            incoming_tls_mode=TlsMode.IMPLICIT,
            outgoing_server_location=self.postfix.host,
            outgoing_port_number=self.postfix.starttls_port,
            outgoing_tls_mode=TlsMode.STARTTLS,
            ca_certificate=self.dovecot.ca_pem,
            process_emails_received_after=timezone.now() - timedelta(days=1),
        )

    def user(self, address: str, protocol: str, **columns) -> Mailbox:
        name = address.partition("@")[0]
        made = user_mailbox(name, email_server_profile=self.profile(protocol), **columns)
        return logs_in(made, PASSWORDS[address])

    def queue(self, address: str, protocol: str, login: str = "", **options) -> Mailbox:
        name, login = address.partition("@")[0], login or address
        made = queue_mailbox(name, email_server_profile=self.profile(protocol), **options)
        return logs_in(made, PASSWORDS[login], login)

    def submit(self, mime: EmailMessage | bytes, *recipients: str) -> None:
        """As a mail program does."""
        raw = mime if isinstance(mime, bytes) else bytes(mime)
        context = ssl.create_default_context(cadata=self.postfix.ca_pem)
        with smtplib.SMTP(self.postfix.host, self.postfix.starttls_port, timeout=10) as server:
            server.starttls(context=context)
            server.login(DORA, PASSWORDS[DORA])
            server.sendmail("paula@customer.example", recipients, raw)

    def arrived(self, user: str, count: int = 1) -> None:
        wait_for(lambda: len(self.dovecot.stored(user)) >= count, f"{count} messages for {user}")


@pytest.fixture
def site(dovecot, postfix) -> Site:
    return Site(dovecot, postfix)


def run(mailbox: Mailbox, operation: Operation) -> Report:
    report = engine.run_one(mailbox, operation, force=True)
    assert report.ok, report.text
    return report


def states(mailbox: Mailbox) -> list[str]:
    rows = SyncItem.objects.filter(mailbox=mailbox).order_by("first_seen_at", "pk")
    return list(rows.values_list("state", flat=True))


@both_protocols
@pytest.mark.rule("R2.13", "R2.14", "R2.16")
def test_test_and_enable_succeeds_and_its_message_is_ignored(site: Site, protocol):
    mailbox = site.user(ADA, protocol)
    mailbox.workloads.update(enabled=False)

    report = testing.test_mailbox(mailbox)

    assert report.ok, report.summary()
    assert mailbox.workloads.filter(enabled=True).count() == 2
    site.arrived(ADA)
    run(mailbox, INCOMING)
    assert SyncItem.objects.get().reason == "own_probe"


@both_protocols
@pytest.mark.rule("R3.46", "R3.24")
def test_mail_from_outside_is_judged_and_becomes_emails(site: Site, protocol):
    ada = site.user(ADA, protocol)
    support = site.queue(BEN, protocol, filtering=FilteringMethod.RESPONSES)
    mail = EmailMessage(policy=SMTP)
    mail["From"], mail["Subject"] = CUSTOMER, "Größe und 価格"
    mail["To"] = f"{ADA}, {BEN}"
    mail["Message-ID"] = "<question@customer.example>"
    mail.set_content("Was kostet das? いくらですか\n", cte="8bit")
    mail.add_attachment(b"%PDF-1.4" * 1000, maintype="application", subtype="pdf", filename="a.pdf")
    site.submit(mail, ADA)
    site.submit(message(message_id="alone@customer.example", to=BEN), BEN)
    site.arrived(ADA)
    site.arrived(BEN)

    run(ada, INCOMING)
    run(support, INCOMING)

    email = Email.objects.select_related("activity").get()
    assert (email.activity.subject, email.sender) == ("Größe und 価格", "paula@customer.example")
    assert "いくらですか" in email.description
    assert (email.message_id, email.attachment_count) == ("question@customer.example", 1)
    assert email.receiving_mailbox_id == ada.pk
    assert (states(ada), states(support)) == (["tracked"], ["rejected"])
    assert SyncItem.objects.get(mailbox=support).reason == "NoCorrelationMatch"


@pytest.mark.rule("R5.2", "R5.10", "R4.4", "R5.18")
def test_a_conversation_between_two_mailboxes_holds_together(site: Site):
    ada, ben = site.user(ADA, "imap"), site.user(BEN, "pop3")
    question = write(ada, BEN, subject="Lunch?", now=timezone.now())

    run(ada, OUTGOING)
    site.arrived(BEN)
    run(ben, INCOMING)

    question.refresh_from_db()
    assert question.status_code == EmailStatus.SENT
    asked = Email.objects.get(direction_code=Direction.INCOMING)
    assert (asked.message_id, asked.receiving_mailbox_id) == (question.message_id, ben.pk)
    assert asked.accepting_entity() == ben.regarding_user

    answer = outbox.reply(asked, actor=ben.regarding_user, now=timezone.now())
    answer = outbox.submit(answer, actor=ben.regarding_user, now=timezone.now()).email
    run(ben, OUTGOING)
    site.arrived(ADA)
    run(ada, INCOMING)

    back = Email.objects.get(direction_code=Direction.INCOMING, receiving_mailbox=ada)
    assert (back.message_id, back.in_reply_to) == (answer.message_id, question.message_id)
    assert back.references == [question.message_id]
    assert back.correlated_activity_id in (question.pk, asked.pk)
    assert back.parent_activity_id == back.correlated_activity_id
    assert (states(ada), states(ben)) == (["tracked"], ["tracked"])


def test_an_address_beyond_ascii_is_written_to_and_received_at(site: Site):
    """Postfix takes it with SMTPUTF8 and puts it where Dora's account reads."""
    ada, juergen = site.user(ADA, "imap"), site.queue(INTERNATIONAL, "imap", login=DORA)
    assert juergen.email_address == INTERNATIONAL
    email = write(ada, INTERNATIONAL, subject="Grüße", now=timezone.now())

    run(ada, OUTGOING)
    site.arrived(DORA)
    run(juergen, INCOMING)

    received = Email.objects.get(direction_code=Direction.INCOMING)
    assert received.message_id == email.message_id
    assert received.to_recipients == INTERNATIONAL
    assert received.accepting_entity() == juergen.regarding_queue


@pytest.mark.rule("R9.9")
def test_a_large_pop3_mailbox_is_read_in_pages(site: Site):
    ada = site.user(ADA, "pop3")
    organization(messages_per_page=100, messages_per_cycle=300)
    for number in range(500):
        mime = message(message_id=f"{number}@customer.example", date="")
        site.dovecot.deliver(ADA, mime)

    first, second = run(ada, INCOMING), run(ada, INCOMING)

    assert [report.result.by_state["tracked"] for report in (first, second)] == [300, 200]
    assert Email.objects.count() == 500
    assert set(states(ada)) == {"tracked"}
    assert FolderCursor.objects.get().server_total == 500
    assert run(ada, INCOMING).result.by_state == {}


@both_protocols
@pytest.mark.rule("R3.66")
def test_a_queue_s_mail_is_deleted_from_the_server_once_it_is_stored(site: Site, protocol):
    support = site.queue(CLEO, protocol, process_and_delete_emails=True)
    for number in range(7):
        site.dovecot.deliver(CLEO, message(message_id=f"{number}@customer.example", to=CLEO))
    # Nobody is among the recipients: rejected mail stays on the server.
    site.dovecot.deliver(CLEO, message(message_id="other@customer.example", sender=""))

    run(support, INCOMING)

    assert sorted(states(support)) == ["rejected"] + ["tracked"] * 7
    (left,) = site.dovecot.stored(CLEO)
    assert b"other@customer.example" in left
    assert set(ServerAction.objects.values_list("state", flat=True)) == {ActionState.DONE}
    assert run(support, INCOMING).result.by_state == {}
    assert Email.objects.count() == 7


@both_protocols
@pytest.mark.rule("R3.20")
def test_new_keys_for_all_messages_decide_nothing_again(site: Site, protocol):
    ada = site.user(ADA, protocol)
    for number in range(12):
        site.dovecot.deliver(ADA, message(message_id=f"{number}@customer.example"))
    site.dovecot.deliver(ADA, message(message_id="rejected@customer.example", sender=""))
    run(ada, INCOMING)
    before = {row.pk: (row.state, row.email_id) for row in SyncItem.objects.all()}
    keys = set(SyncItem.objects.values_list("source_key", flat=True))

    site.dovecot.reset_keys(ADA)
    site.dovecot.deliver(ADA, message(message_id="new@customer.example"))
    report = run(ada, INCOMING)

    assert report.result.by_state == {"tracked": 1}
    rows = {row.pk: row for row in SyncItem.objects.all()}
    assert {pk: (rows[pk].state, rows[pk].email_id) for pk in before} == before
    assert len(rows) == 14 and not keys & {row.source_key for row in rows.values()}
    assert Email.objects.count() == 13
