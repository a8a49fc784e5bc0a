"""Outgoing mail over Postfix and Dovecot: what is large, long, many or not ASCII arrives as it was written,
and what comes back finds what it answers."""

import re
import tracemalloc
from collections import Counter
from datetime import timedelta
from hashlib import sha256

import pytest
from django.utils import timezone

from activities.choices import DeliveryResult, Direction, EmailStatus
from activities.mime.message import Address
from activities.mime.parse import parse
from activities.models import ActivityParty, Email
from mailboxes.choices import Operation
from mailboxes.connect import incoming_server
from mailboxes.models import EmailServerProfile, Mailbox
from serversync import engine, outbox
from serversync.choices import ActionState, SubmissionState
from serversync.context import load
from serversync.leases import claim_one
from serversync.models import ServerAction, Submission
from serversync.receive import receive
from tests.integration.serversync.connected import write
from tests.integration.serversync.cycles import organization
from tests.integration.serversync.killing import Boundaries, ended, forked
from tests.integration.serversync.test_real_servers import ADA, BEN, DORA, Site, run
from tests.servers.dovecot import SENT_ITEMS
from tests.servers.postfix import DEFERRED, INTERNATIONAL, OUTSIDE

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

INCOMING, OUTGOING = Operation.INCOMING, Operation.OUTGOING
MEGABYTE = 1024 * 1024
REFUSED = "nobody@example.com"


@pytest.fixture
def site(dovecot, postfix) -> Site:
    made = Site(dovecot, postfix)
    dovecot.empty(OUTSIDE)
    return made


@pytest.fixture
def ada(site: Site) -> Mailbox:
    return site.user(ADA, "imap")


def plain_spoken(site: Site) -> None:
    """The port that offers little."""
    port = site.postfix.plain_spoken_port
    EmailServerProfile.objects.update(outgoing_port_number=port)


def send(mailbox: Mailbox, **delay: float) -> None:
    at = timezone.now() + timedelta(**delay)
    report = engine.run_one(mailbox, OUTGOING, force=True, clock=lambda: at)
    assert report.ok, report.text


def results(email: Email) -> dict[str, int]:
    parties = ActivityParty.objects.filter(activity=email.pk).exclude(participation_type_mask=1)
    return dict(parties.values_list("address_used", "delivery_result"))


@pytest.mark.rule("R5.2", "R5.10", "R4.4")
def test_what_was_written_is_what_the_reader_gets_and_answers(site: Site, ada: Mailbox) -> None:
    """Letters of all kinds, dots where SMTP has its own, and lines beyond any it takes."""
    ben = site.user(BEN, "imap")
    body = f"<p>Größe, 価格 und 🚚</p>\n.\n..\n.dots\n<p>{'long ' * 1000}</p>\n<p>{'x' * 5000}</p>"
    original = "From: paula@customer.example\r\nSubject: 8 bit\r\n\r\nÜber 8 Bit.\r\n".encode()
    email = outbox.create_draft(
        outbox.Draft(
            sender=ada.regarding_user,
            to=(Address(BEN, "Ben Müller"),),
            subject="Größe und 価格 " + "sehr lang " * 20,
            body=body,
        ),
        actor=ada.regarding_user,
        now=timezone.now(),
    )
    outbox.attach(
        email,
        file_name="Änderung.eml",
        content=original,
        mime_type="message/rfc822",
        organization=organization(),
    )
    outbox.submit(email, actor=ada.regarding_user, now=timezone.now())

    send(ada)
    site.arrived(BEN)
    (raw,) = site.dovecot.stored(BEN)
    assert max(len(line) for line in raw.splitlines()) <= 998
    assert "Über 8 Bit." in raw.decode()
    run(ben, INCOMING)

    email.refresh_from_db()
    asked = Email.objects.select_related("activity").get(direction_code=Direction.INCOMING)
    assert asked.activity.subject == email.activity.subject
    for line in body.splitlines():
        assert line in asked.description
    answer = outbox.reply(asked, actor=ben.regarding_user, now=timezone.now())
    outbox.submit(answer, actor=ben.regarding_user, now=timezone.now())
    send(ben)
    site.arrived(ADA)
    run(ada, INCOMING)
    back = Email.objects.get(direction_code=Direction.INCOMING, receiving_mailbox=ada)
    assert back.in_reply_to == email.message_id
    assert back.parent_activity_id in (email.pk, asked.pk)


@pytest.mark.database("sqlite")
def test_a_large_attachment_leaves_within_bounded_memory(site: Site, ada: Mailbox) -> None:
    """25 MB, which are 34 on the line."""
    rules = organization(max_upload_file_size_kb=30 * 1024)
    content = sha256(b"").digest() * (25 * MEGABYTE // 32)
    user = ada.regarding_user
    draft = outbox.Draft(sender=user, to=(Address(BEN),), subject="Plans", body="<p>See</p>")
    email = outbox.create_draft(draft, actor=user, now=timezone.now())
    outbox.attach(email, file_name="plan.bin", content=content, mime_type="", organization=rules)
    outbox.submit(email, actor=user, now=timezone.now())

    tracemalloc.start()
    send(ada)
    _size, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    email.refresh_from_db()
    assert email.status_code == EmailStatus.SENT, email.last_error_text
    assert peak < 5 * len(content), f"{peak / MEGABYTE:.0f} MB"
    site.arrived(BEN)
    (file,) = parse(site.dovecot.stored(BEN)[0]).attachments
    assert sha256(file.content).digest() == sha256(content).digest()


@pytest.mark.database("postgresql")
@pytest.mark.rule("R5.16")
def test_five_hundred_recipients_get_one_each(site: Site, ada: Mailbox) -> None:
    """The server takes a hundred at once, so they go in groups, one submission each."""
    plain_spoken(site)
    everybody = [f"someone{number}@{OUTSIDE}" for number in range(500)]
    email = write(ada, *everybody, now=timezone.now())

    send(ada)

    email.refresh_from_db()
    assert email.status_code == EmailStatus.SENT, email.last_error_text
    assert set(results(email).values()) == {DeliveryResult.ACCEPTED}
    states = Counter(Submission.objects.values_list("state", flat=True))
    assert states == {SubmissionState.PARTLY: 4, SubmissionState.ACCEPTED: 1}
    site.arrived(OUTSIDE, 500)
    delivered = Counter(
        re.search(rb"(?m)^Delivered-To: (.*)$", raw)[1].decode()
        for raw in site.dovecot.stored(OUTSIDE)
    )
    assert delivered == Counter(everybody)


@pytest.mark.rule("R5.11", "R5.16")
def test_refused_and_deferred_recipients_beside_one_who_gets_it(site: Site, ada: Mailbox) -> None:
    organization(maximum_email_delivery_attempts=2)
    email = write(ada, BEN, REFUSED, DEFERRED, now=timezone.now())

    send(ada)

    email.refresh_from_db()
    assert email.status_code == EmailStatus.PENDING_SEND
    assert results(email) == {
        BEN: DeliveryResult.ACCEPTED,
        REFUSED: DeliveryResult.REFUSED,
        DEFERRED: DeliveryResult.NONE,
    }
    send(ada, hours=5)

    email.refresh_from_db()
    assert email.status_code == EmailStatus.SENT
    assert results(email)[DEFERRED] == DeliveryResult.REFUSED
    assert DEFERRED in email.last_error_text
    site.arrived(BEN)
    assert len(site.dovecot.stored(BEN)) == 1


def test_an_address_beyond_ascii_is_named_where_the_server_can_not_write_to_it(
    site: Site, ada: Mailbox
) -> None:
    plain_spoken(site)
    email = write(ada, INTERNATIONAL, now=timezone.now())
    other = write(ada, BEN, now=timezone.now())

    send(ada)

    email.refresh_from_db()
    other.refresh_from_db()
    assert (email.status_code, other.status_code) == (EmailStatus.FAILED, EmailStatus.SENT)
    assert INTERNATIONAL in email.last_error_text
    assert "SMTPUTF8" in email.last_error_text
    assert Submission.objects.get(email=email).handed_over_at is None
    site.arrived(BEN)
    assert site.dovecot.stored(DORA) == []


@pytest.mark.rule("R5.21")
def test_the_server_s_receipt_is_noted_at_the_recipient(site: Site, ada: Mailbox) -> None:
    email = write(ada, BEN, now=timezone.now(), delivery_receipt=True)

    send(ada)
    site.arrived(ADA)
    run(ada, INCOMING)

    assert results(email) == {BEN: DeliveryResult.DELIVERED}
    report = Email.objects.get(direction_code=Direction.INCOMING)
    assert report.correlated_activity_id == email.pk


@pytest.mark.django_db(transaction=True)
@pytest.mark.rule("R5.18")
@pytest.mark.parametrize("moment", [2, 3], ids=["after one", "before the other"])
def test_a_copy_is_filed_once_though_the_worker_is_killed(
    site: Site, ada: Mailbox, moment: int
) -> None:
    """The first of two is there, and nobody has noted it yet."""
    site.dovecot.add_folder(ADA, SENT_ITEMS)
    emails = [write(ada, f"cleo@{OUTSIDE}", now=timezone.now()) for _number in range(2)]
    send(ada)

    def work(_boundaries: Boundaries) -> None:
        filing = Boundaries(moment)

        def connect(*args: object, **kwargs: object) -> object:
            server = incoming_server(*args, **kwargs)
            server.file_sent = filing.around(server.file_sent)
            return server

        now = timezone.now()
        claim = claim_one(ada.pk, INCOMING, now, "victim", force=True)
        receive(load(ada.pk, INCOMING, now), claim.token, connect=connect)

    assert ended(forked(Boundaries(0), work)) == "killed"
    assert len(site.dovecot.stored(ADA, SENT_ITEMS)) == 1
    assert ServerAction.objects.filter(state=ActionState.PENDING).count() == 2
    later = timezone.now() + timedelta(minutes=10)
    assert engine.run_one(ada, INCOMING, force=True, clock=lambda: later).ok

    copies = Counter(parse(raw).message_id for raw in site.dovecot.stored(ADA, SENT_ITEMS))
    assert copies == Counter(email.message_id for email in emails)
    assert set(ServerAction.objects.values_list("state", flat=True)) == {ActionState.DONE}
    assert site.dovecot.stored(ADA) == []
