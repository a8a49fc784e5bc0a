"""One story of mail, decided in whole cycles over Dovecot and over Exchange: the same ledger of both."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import SMTP
from uuid import uuid4

import pytest

from activities.choices import (
    DeliveryResult,
    Direction,
    EmailStatus,
    Notifications,
    ParticipationType,
)
from activities.mime.message import ParsedMessage
from activities.mime.parse import parse
from activities.models import Account as Company
from activities.models import (
    ActivityMimeAttachment,
    ActivityParty,
    Contact,
    Email,
    Incident,
    QueueItem,
    Template,
)
from mailboxes.choices import (
    AutoCreate,
    FilteringMethod,
    IncomingDeliveryMethod,
    Operation,
    OutgoingDeliveryMethod,
    ServerType,
    StateCode,
    TlsMode,
)
from mailboxes.models import Mailbox, SystemUser
from mailboxes.protocols.base import INBOX
from serversync.context import load
from serversync.models import SyncItem, Workload
from serversync.receive import receive
from serversync.sandbox.servers import Sandbox, running_sandbox
from serversync.send import send
from tests.factories.mailboxes import group_of
from tests.files import windows_program, word_document
from tests.integration.serversync import exchanges
from tests.integration.serversync.connected import logs_in, write
from tests.integration.serversync.cycles import (
    NOW,
    message,
    organization,
    profile,
    queue_mailbox,
    ready,
    user_mailbox,
)
from tests.messages import read
from tests.servers.dovecot import PASSWORDS, SENT_ITEMS, Dovecot
from tests.servers.ports import wait_for
from tests.servers.postfix import OUTSIDE, Postfix
from tracking import creation_rules, telling
from tracking.models import ConvertRule, ConvertRuleItem

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

ADA, BEN, SUPPORT, FORWARD = PARTIES = ("ada", "ben", "support", "forward")
CLEO, NINA, TWINS = "cleo@customer.example", "nina@newcomer.example", "twins@customer.example"
RITA, GONE = f"rita@{OUTSIDE}", f"gone@{OUTSIDE}"


# -- the two servers -----------------------------------------------------------------------------


class DovecotAndPostfix:
    """Each party reads with the login of one of Dovecot's users."""

    def __init__(self, dovecot: Dovecot, postfix: Postfix) -> None:
        self.dovecot = dovecot
        self.logins = dict(zip(PARTIES, PASSWORDS, strict=True))
        self.empty()
        for user in PASSWORDS:
            dovecot.add_folder(user, SENT_ITEMS)
        profile(
            server_type=ServerType.IMAP_SMTP,
            incoming_server_location=dovecot.host,
            incoming_port_number=dovecot.ports.imaps,
            incoming_tls_mode=TlsMode.IMPLICIT,
            outgoing_server_location=postfix.host,
            outgoing_port_number=postfix.starttls_port,
            outgoing_tls_mode=TlsMode.STARTTLS,
            ca_certificate=dovecot.ca_pem,
        )

    def empty(self) -> None:
        for user in (*PASSWORDS, OUTSIDE):
            self.dovecot.empty(user)

    def log_in(self, party: str, mailbox: Mailbox) -> Mailbox:
        login = self.logins[party]
        return logs_in(mailbox, PASSWORDS[login], login)

    def put(self, party: str, raw: bytes, at: datetime, *, sent: bool = False) -> None:
        folder = SENT_ITEMS if sent else "INBOX"
        self.dovecot.deliver(self.logins[party], raw, folder, received_at=at.timestamp())

    def arrived_at(self, address: str) -> ParsedMessage:
        """What the person outside got."""

        def found() -> list[ParsedMessage]:
            mail = [parse(raw) for raw in self.dovecot.stored(OUTSIDE)]
            return [one for one in mail if one.to[0].address == address]

        wait_for(lambda: bool(found()), f"mail for {address}")
        (only,) = found()
        return only

    def count(self, party: str) -> int:
        """Messages in the folders that are read."""
        login = self.logins[party]
        return sum(len(self.dovecot.stored(login, name)) for name in ("INBOX", SENT_ITEMS))


class ExchangeOfTheSandbox:
    def __init__(self, sandbox: Sandbox) -> None:
        self.exchange = sandbox.exchange
        for address in (*map(address_of, PARTIES), RITA, GONE):
            self.exchange.add_account(address, exchanges.PASSWORD)
        exchanges.profile_at(sandbox)

    def log_in(self, party: str, mailbox: Mailbox) -> Mailbox:
        return logs_in(mailbox, exchanges.PASSWORD)

    def put(self, party: str, raw: bytes, at: datetime, *, sent: bool = False) -> None:
        folder = "sentitems" if sent else "inbox"
        self.exchange.deliver(address_of(party), raw, folder=folder, received_at=at)

    def arrived_at(self, address: str) -> ParsedMessage:
        (only,) = self.exchange.messages(address)
        return parse(only)

    def count(self, party: str) -> int:
        folders = ("inbox", "sentitems")
        return sum(len(self.exchange.items(address_of(party), name)) for name in folders)


def address_of(party: str) -> str:
    return f"{party}@example.com"


@pytest.fixture(params=["dovecot", "exchange"])
def server(request: pytest.FixtureRequest) -> Iterator[DovecotAndPostfix | ExchangeOfTheSandbox]:
    if request.param == "dovecot":
        servers = (request.getfixturevalue(name) for name in ("dovecot", "postfix"))
        real = DovecotAndPostfix(*servers)
        yield real
        real.empty()
        return
    with running_sandbox(local_domains=("example.com",)) as sandbox:
        yield ExchangeOfTheSandbox(sandbox)


# -- the site ------------------------------------------------------------------------------------


@dataclass
class Site:
    """Its mailboxes at one of the servers; each step of the story is a minute."""

    server: DovecotAndPostfix | ExchangeOfTheSandbox
    mailboxes: dict[str, Mailbox]
    now: datetime = NOW
    offer: Email = None  # Ben's, which bounces
    answer: ParsedMessage = None  # the automatic one, as it arrived

    def put(self, party: str, raw: bytes, *, sent: bool = False) -> None:
        self.now += timedelta(minutes=1)
        self.server.put(party, raw, self.now, sent=sent)

    def receive(self, *parties: str) -> None:
        for party in parties or PARTIES:
            self._run(self.mailboxes[party], Operation.INCOMING)

    def send(self, party: str) -> None:
        self._run(self.mailboxes[party], Operation.OUTGOING)

    def _run(self, mailbox: Mailbox, operation: Operation) -> None:
        self.now += timedelta(minutes=1)
        token = uuid4()
        Workload.objects.filter(mailbox=mailbox, operation=operation).update(
            lease_token=token, lease_expires_at=self.now + timedelta(minutes=5)
        )
        cycle = receive if operation == Operation.INCOMING else send
        cycle(load(mailbox.pk, operation, self.now), token, clock=lambda: self.now)

    def ledger(self) -> dict[tuple[str, str], str]:
        """(party, message id) -> state and reason, "sent: ..." in sent items."""
        parties = {mailbox.pk: party for party, mailbox in self.mailboxes.items()}
        ours = {self.offer.message_id: "offer", self.answer.message_id: "automatic"}
        told = {}
        for row in SyncItem.objects.all():
            where = "" if row.folder == INBOX else "sent: "
            reason = f"{row.reason} ({row.sub_reason})" if row.sub_reason else row.reason
            name = ours.get(row.message_id) or row.message_id.removesuffix("@mail.example")
            told[parties[row.mailbox_id], name] = f"{where}{row.state}, {reason}"
        assert len(told) == SyncItem.objects.count()
        return told


@pytest.fixture
def told(site: Site) -> Site:
    """The site once the whole story has happened."""
    site.offer = write(site.mailboxes[BEN], GONE, subject="Offer", now=site.now)
    site.send(BEN)
    assert site.server.arrived_at(GONE).message_id == site.offer.message_id
    first_day(site)
    site.receive()
    site.send(SUPPORT)
    site.answer = site.server.arrived_at(RITA)
    second_day(site)
    site.receive()
    site.receive()  # the copies of what was sent meanwhile
    return site


@pytest.fixture
def site(server: DovecotAndPostfix | ExchangeOfTheSandbox) -> Site:
    organization(
        allow_unresolved_parties_on_email_send=True,
        auto_track_sent_folder_items=True,
        ignore_internal_email=True,
        use_envelope_evidence=True,
    )
    mailboxes = {
        ADA: user_mailbox(ADA, FilteringMethod.EMAIL_ENABLED),
        BEN: user_mailbox(BEN, FilteringMethod.ALL),
        SUPPORT: queue_mailbox(SUPPORT, FilteringMethod.ALL),
        FORWARD: forward_mailbox(),
    }
    made = {party: server.log_in(party, mailbox) for party, mailbox in mailboxes.items()}
    settings = made[BEN].regarding_user.settings
    settings.auto_create_contact_on_promote = AutoCreate.CONTACT
    settings.save()
    people(made)
    creation_rule(made[SUPPORT])
    return Site(server, made)


def forward_mailbox() -> Mailbox:
    """And Dora, whose server forwards to it."""
    user_mailbox("dora", incoming_email_delivery_method=IncomingDeliveryMethod.FORWARD_MAILBOX)
    owner = SystemUser.objects.get(domain_name="owner")
    mailbox = Mailbox.objects.create(
        name="Forwarded", email_address=address_of(FORWARD), owning_user=owner
    )
    return ready(mailbox, outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE)


def people(mailboxes: dict[str, Mailbox]) -> None:
    """Ben knows Cleo; an address that two records share, the younger one Ada's."""
    ada, ben = mailboxes[ADA].regarding_user, mailboxes[BEN].regarding_user
    Contact.objects.create(first_name="Cleo", email_address1=CLEO, owning_user=ben)
    Contact.objects.create(last_name="Twin", email_address1=TWINS, owning_user=ben)
    Company.objects.create(name="Twins Ltd", email_address1=TWINS, owning_user=ada)


def creation_rule(support: Mailbox) -> None:
    """Mail about something broken becomes a case, whoever writes it, and is answered."""
    owner = SystemUser.objects.create_user("rules", first_name="Rule", last_name="Owner")
    group_of(owner, "add_incident", "add_contact")
    template = Template.objects.create(
        title="Received",
        template_type_code="incident",
        subject="Your case {{ case.number }}",
        body="<p>Hello {{ recipient.name }}, {{ case.title }} is ours.</p>",
        owning_user=owner,
    )
    rule = ConvertRule.objects.create(
        name="Repairs",
        queue=support.regarding_queue,
        owning_user=owner,
        allow_unknown_sender=True,
        send_automatic_response=True,
        response_template=template,
    )
    ConvertRuleItem.objects.create(
        convert_rule=rule,
        name="broken",
        conditions=[{"test": "subject_contains", "value": "broken"}],
    )
    creation_rules.activate(rule=rule, now=NOW)


# -- the mail ------------------------------------------------------------------------------------


def mail(name: str, sender: str = CLEO, to: str = ADA, **fields: str) -> bytes:
    """`name` is the first half of its message id; `to`: parties or addresses."""
    addresses = [one if "@" in one else address_of(one) for one in to.split(", ")]
    return message(
        message_id=f"{name}@mail.example", sender=sender, to=", ".join(addresses), **fields
    )


def of_corpus(name: str, key: str, sender: str = CLEO, to: str = ADA) -> bytes:
    """A message of the corpus in the story's envelope."""
    raw = read(name)
    for field, value in (
        ("From", sender),
        ("To", address_of(to)),
        ("Message-ID", f"<{key}@mail.example>"),
    ):
        raw, changed = re.subn(
            rf"(?im)^{field}: [^\r\n]*".encode(), f"{field}: {value}".encode(), raw, count=1
        )
        assert changed
    return raw


def with_files(name: str, *files: tuple[str, bytes], sender: str = CLEO, to: str = ADA) -> bytes:
    made = message_from_bytes(mail(name, sender, to, body="See the files.\n"), policy=SMTP)
    for filename, content in files:
        made.add_attachment(
            content, maintype="application", subtype="octet-stream", filename=filename
        )
    return bytes(made)


def bounce_of(offer: Email) -> bytes:
    """What a mail server says of a message that the product sent."""
    raw = of_corpus("reports/postfix", "bounce", "MAILER-DAEMON@mx.outside.example", BEN)
    raw = raw.replace(b"<offer-7@mail.example.com>", f"<{offer.message_id}>".encode())
    return raw.replace(b"ben@example.org", GONE.encode()).replace(
        b"ben.b@example.org", GONE.encode()
    )


def first_day(site: Site) -> None:
    """What lies on the server when the mailboxes are read for the first time."""
    put, from_ada = site.put, address_of(ADA)
    put(ADA, mail("known"))
    put(ADA, mail("stranger", sender="x@elsewhere.example"))
    put(ADA, mail("nobody", sender=""))
    put(ADA, mail("twins", sender=TWINS))
    users = {"to": "users@lists.example", "List_Id": "<users.lists.example>"}
    put(ADA, mail("list", **users))
    put(ADA, mail("delivered", Delivered_To=from_ada, **users))
    put(ADA, with_files("files", ("invoice.pdf", windows_program()), ("a.docx", word_document())))
    put(ADA, of_corpus("winmail_with_files", "winmail"))
    put(ADA, of_corpus("smime_opaque_signed_mixed", "signed"))
    put(ADA, of_corpus("meeting_request", "meeting"))
    put(ADA, mail("copied", cc=address_of(SUPPORT)))
    put(SUPPORT, mail("copied", cc=address_of(SUPPORT)))
    # Of what Ada wrote to colleagues in a mail program, one has its copy in sent items.
    for name in ("noted", "unnoted"):
        put(BEN, mail(name, from_ada, BEN))
    put(ADA, mail("noted", from_ada, BEN), sent=True)
    put(ADA, mail("toqueue", from_ada, SUPPORT), sent=True)
    put(SUPPORT, mail("toqueue", from_ada, SUPPORT))
    put(BEN, mail("new", f"Nina Newcomer <{NINA}>", BEN))
    put(BEN, bounce_of(site.offer))
    away = {"Auto_Submitted": "auto-replied", "In_Reply_To": f"<{site.offer.message_id}>"}
    put(BEN, mail("away", "away@elsewhere.example", BEN, **away))
    put(SUPPORT, mail("broken", f"Rita Example <{RITA}>", SUPPORT, subject="It is broken"))
    put(
        SUPPORT,
        mail(
            "machine",
            "pump@elsewhere.example",
            SUPPORT,
            Auto_Submitted="auto-generated",
            subject="Pump is broken",
        ),
    )
    original = ("original.eml", mail("original", to="dora@example.com"))
    put(FORWARD, with_files("wrapper", original, sender="dora@example.com", to=FORWARD))


def second_day(site: Site) -> None:
    """Answers to what the first day brought."""
    refers = {"In_Reply_To": f"<{site.answer.message_id}>"}
    site.put(SUPPORT, mail("rita", RITA, SUPPORT, subject="Re: It is still broken", **refers))
    for party in (ADA, BEN):
        both = {"to": f"{ADA}, {BEN}", "In_Reply_To": "<new@mail.example>"}
        site.put(party, mail("answer", NINA, **both))


def email(name: str, direction: Direction = Direction.INCOMING) -> Email:
    found = Email.objects.select_related("activity__owning_user")
    return found.get(message_id=f"{name}@mail.example", direction_code=direction)


def owner(name: str) -> str:
    return str(email(name).activity.owning_user)


def parties(name: str, role: ParticipationType) -> list[str]:
    """Kind and name of each record, "" for an address without one."""
    rows = ActivityParty.objects.filter(activity_id=email(name).pk, participation_type_mask=role)
    return [
        f"{row.party_type.model} {row.party_type.get_object_for_this_type(pk=row.party_id)}"
        if row.is_resolved
        else ""
        for row in rows.order_by("position", "pk")
    ]


def files(name: str) -> list[str]:
    rows = ActivityMimeAttachment.objects.filter(activity=email(name).activity)
    return list(rows.order_by("attachment_number").values_list("file_name", flat=True))


def said(name: str) -> str:
    return "\n".join(str(one) for one in telling.sentences(email(name).decision))


def open_items() -> set[str]:
    rows = QueueItem.objects.filter(state_code=StateCode.ACTIVE).select_related("object__email")
    return {row.object.email.message_id.removesuffix("@mail.example") for row in rows}


# -- what became of it ---------------------------------------------------------------------------

LEDGER = {
    (ADA, "known"): "tracked, SenderMatch",
    (ADA, "stranger"): "rejected, NoCorrelationMatch (filter_sender_unknown)",
    (ADA, "nobody"): "rejected, InvalidSender",
    (ADA, "twins"): "tracked, SenderMatch",
    (ADA, "list"): "rejected, NoRecipientMatch",
    (ADA, "delivered"): "tracked, SenderMatch",
    (ADA, "files"): "tracked, SenderMatch",
    (ADA, "winmail"): "tracked, SenderMatch",
    (ADA, "signed"): "tracked, SenderMatch",
    (ADA, "meeting"): "skipped, calendar",
    (ADA, "copied"): "tracked, SenderMatch",
    (ADA, "noted"): "sent: tracked, SenderMatch",
    (ADA, "toqueue"): "sent: tracked, SenderMatch",
    (ADA, "answer"): "tracked, SenderMatch",
    (BEN, "offer"): "sent: duplicate, Duplicate",
    (BEN, "noted"): "rejected, InternalEmailReject (sent_copy_stored)",
    (BEN, "unnoted"): "tracked, AcceptAll",
    (BEN, "new"): "tracked, AcceptAll",
    (BEN, "bounce"): "tracked, AcceptAll",
    (BEN, "away"): "tracked, AcceptAll",
    (BEN, "answer"): "duplicate, Duplicate",
    (SUPPORT, "copied"): "duplicate, Duplicate",
    (SUPPORT, "toqueue"): "tracked, AcceptAll",
    (SUPPORT, "broken"): "tracked, AcceptAll",
    (SUPPORT, "machine"): "tracked, AcceptAll",
    (SUPPORT, "automatic"): "sent: duplicate, Duplicate",
    (SUPPORT, "rita"): "tracked, AcceptAll",
    (FORWARD, "wrapper"): "skipped, forward_wrapper",
    (FORWARD, "original"): "tracked, AcceptAll",
}


@pytest.mark.rule("R3.15", "R3.24", "R10.9")
def test_both_servers_give_one_ledger_that_is_even_and_stays(told: Site) -> None:
    assert told.ledger() == LEDGER
    for party, mailbox in told.mailboxes.items():
        items = SyncItem.objects.filter(mailbox=mailbox, parent=None)
        assert items.count() == told.server.count(party), party
    tracked = [key for key, state in LEDGER.items() if "tracked" in state]
    # Besides, what the product wrote itself: the offer and the answer.
    assert Email.objects.count() == len(tracked) + 2

    told.receive()

    assert told.ledger() == LEDGER


@pytest.mark.rule("R3.33", "R3.48", "R4.4")
def test_senders_and_owners(told: Site) -> None:
    assert parties("known", ParticipationType.SENDER) == ["contact Cleo"]
    assert parties("twins", ParticipationType.SENDER) == ["account Twins Ltd"]
    assert email("twins").senders_account == Company.objects.get()
    # Ada received all of these; Ben owns the contact, and what Nina's answer is about.
    assert [owner(name) for name in ("known", "delivered", "unnoted")] == ["Ada", "Ada", "Ben"]
    answer = email("answer")
    assert (str(answer.receiving_mailbox), str(answer.accepting_entity())) == ("Ada", "Ada")
    assert (owner("answer"), answer.parent_activity) == ("Ben", email("new"))
    assert parties("answer", ParticipationType.TO) == ["systemuser Ada", "systemuser Ben"]
    assert "Owner: user Ben (owns the email that this one answers). (R3.48)" in said("answer")


@pytest.mark.rule("R3.40", "R3.41", "R3.42", "R3.44", "R3.45", "R3.60")
def test_mail_between_own_users(told: Site) -> None:
    sent = email("noted", Direction.OUTGOING)
    assert (sent.status_code, sent.sender_mailbox) == (EmailStatus.SENT, told.mailboxes[ADA])
    assert not Email.objects.filter(message_id=sent.message_id).exclude(pk=sent.pk).exists()
    assert email("unnoted").status_code == EmailStatus.RECEIVED
    # To a queue it is two activities all the same.
    queued, sent = email("toqueue"), email("toqueue", Direction.OUTGOING)
    assert queued.sender_mailbox is None and sent.receiving_mailbox is None
    # What lay in sent items went out, and everything else came in.
    for item in SyncItem.objects.filter(state="tracked").select_related("email"):
        came = Direction.INCOMING if item.folder == INBOX else Direction.OUTGOING
        assert item.email.direction_code == came


@pytest.mark.rule("R3.11", "R3.14", "R3.51", "R3.52", "R3.75")
def test_files_and_wrappings(told: Site) -> None:
    program = {"name": "invoice.pdf", "size": len(windows_program())}
    assert files("files") == ["a.docx"]
    assert email("files").dropped_attachments == [
        {**program, "reason": "blocked_type", "type": "exe"}
    ]
    assert email("files").notifications == Notifications.ATTACHMENTS_DROPPED
    assert files("winmail") == ["Plan.pdf", "part.png"]
    assert files("signed") == ["Plan.pdf"]
    assert email("signed").description.strip() == "Signed words, grüßend."
    assert email("signed").defects[0]["code"] == "signed_part_opened"
    assert not Email.objects.filter(message_id="meeting@mail.example").exists()
    original = email("original")
    assert (original.sender, str(original.accepting_entity())) == (CLEO, "Dora")
    assert owner("original") == "Dora"
    wrapper = SyncItem.objects.get(message_id="wrapper@mail.example")
    assert SyncItem.objects.get(parent=wrapper).email == original


@pytest.mark.rule("R3.13", "R3.57", "R10.20")
def test_people_become_contacts_and_machines_nothing(told: Site) -> None:
    made = Contact.objects.filter(is_auto_create=True)
    assert set(made.values_list("email_address1", flat=True)) == {NINA, RITA}
    nina = made.get(email_address1=NINA)
    assert (str(nina), str(nina.owning_user)) == ("Nina Newcomer", "Ben")
    for name in ("new", "answer"):
        assert parties(name, ParticipationType.SENDER) == ["contact Nina Newcomer"]
    kinds = {name: email(name).kind for name in ("bounce", "away", "machine", "delivered", "known")}
    assert kinds == {
        "bounce": "bounce",
        "away": "auto-reply",
        "machine": "auto-reply",
        "delivered": "list",
        "known": "ordinary",
    }
    for name in ("bounce", "away", "machine"):
        assert parties(name, ParticipationType.SENDER) == [""]
    assert email("away").parent_activity == told.offer


@pytest.mark.rule("R5.21")
def test_the_bounce_is_noted_at_whom_the_offer_did_not_reach(told: Site) -> None:
    bounce = email("bounce")
    assert (bounce.correlated_activity, owner("bounce")) == (told.offer, "Ben")
    recipient = ActivityParty.objects.get(activity_id=told.offer.pk, address_used=GONE)
    assert recipient.delivery_result == DeliveryResult.BOUNCED
    assert "5.1.1" in recipient.delivery_detail
    assert GONE in said("bounce")


@pytest.mark.rule("R3.49", "R3.53", "R3.59", "R4.4", "R4.5")
def test_a_case_is_made_answered_and_found_again(told: Site) -> None:
    case, broken = Incident.objects.get(), email("broken")
    assert (case.title, str(case.customer), case.created_from) == (
        "It is broken",
        "Rita Example",
        broken,
    )
    assert broken.activity.regarding_object == case
    answer = Email.objects.get(is_workflow_created=True)
    assert (answer.status_code, answer.parent_activity) == (EmailStatus.SENT, broken)
    arrived = told.answer
    assert (arrived.message_id, arrived.in_reply_to) == (answer.message_id, broken.message_id)
    assert arrived.auto_submitted == "auto-replied"
    assert arrived.subject.startswith(f"Your case {case.ticket_number} CRM:")
    assert "Hello Rita Example, It is broken is ours." in arrived.html
    assert arrived.sender.address == address_of(SUPPORT)

    rita = email("rita")
    assert (rita.parent_activity, rita.activity.regarding_object) == (answer, case)
    assert parties("rita", ParticipationType.SENDER) == ["contact Rita Example"]
    assert rita.correlated_subject_changed and not email("answer").correlated_subject_changed
    assert f"it is about the open case {case.ticket_number}" in said("rita")
    # The case's email has left the queue; what a machine or a colleague wrote waits.
    assert open_items() == {"copied", "machine", "toqueue", "rita"}
    closed = QueueItem.objects.get(state_code=StateCode.INACTIVE)
    assert closed.object.email == broken


def test_every_decision_is_told_with_its_rules(told: Site) -> None:
    for item in SyncItem.objects.select_related("email"):
        decision = item.email.decision if item.state == "tracked" else item.trace
        sentences = [str(one) for one in telling.sentences(decision)]
        assert any("(R" in sentence for sentence in sentences), item
