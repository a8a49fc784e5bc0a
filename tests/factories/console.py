"""A site in use: mailboxes in every state, mail that came through real cycles over a fake server."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from django.contrib.contenttypes.models import ContentType
from django.utils import timezone

from activities.choices import ParticipationType
from activities.models import Account as CustomerAccount
from activities.models import (
    Appointment,
    BouncedAddress,
    Contact,
    Email,
    EmailSignature,
    Incident,
    Lead,
    RecurringAppointmentMaster,
    Template,
)
from mailboxes import alerts
from mailboxes.choices import (
    AccessApproval,
    FilteringMethod,
    OutgoingDeliveryMethod,
    Reach,
    StateCode,
    TestStatus,
)
from mailboxes.models import EmailServerProfile, Mailbox, Organization, Queue, SystemUser
from mailboxes.protocols.base import RemoteFolder
from mailboxes.protocols.errors import MessageUnreadable
from serversync.act.filters import copy_templates
from serversync.act.types import Table
from serversync.choices import ItemState, ReplayState, ReplayStep, Window, WorkloadState
from serversync.facets import Facet
from serversync.layout import store_folders
from serversync.models import (
    LearnedLimit,
    MailboxStatistics,
    Replay,
    ReplayChange,
    SyncItem,
    Workload,
)
from tests.factories import act
from tests.factories.activities import (
    ActivityPartyFactory,
    AppointmentFactory,
    FaxFactory,
    LetterFactory,
    PhoneCallFactory,
    RecurringAppointmentMasterFactory,
    ServiceAppointmentFactory,
    TaskFactory,
)
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    ForwardMailboxFactory,
    QueueFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
    ready_mailbox,
)
from tests.integration.serversync.cycles import Account
from tracking.creation_rules import activate
from tracking.models import ConvertRule, ConvertRuleItem, HookRun, MailboxTrackingFolder
from tracking.services import create_rule

PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d494844520000000100000001080600000"
    "01f15c4890000000d49444154789c63606060f80f00010401005fe5c34b0000000049454e44ae426082"
)

HTML = """<html><body><h2>Order 4711</h2><p>Dear Ada,</p><p>please find the <b>offer</b> attached,
and our new logo: <img src="cid:logo" width="24" height="24" alt="logo"></p>
<p><img src="https://pixel.example.net/open.gif" alt=""><a href="https://shop.example.net/4711">The
order</a></p><script>document.body.innerHTML = "taken over"</script>
<p onclick="alert(1)">Kind regards<br>Cleo</p></body></html>"""


@dataclass
class Site:
    """Who and what there is. `ada` owns the healthy mailbox, `limited` may see own rows only."""

    now: datetime
    organization: Organization
    administrator: SystemUser
    ada: SystemUser
    ben: SystemUser
    limited: SystemUser
    profile: EmailServerProfile
    support: Queue
    cleo: Contact
    contoso: CustomerAccount
    mailboxes: dict[str, Mailbox]
    html: Email
    answered: Email
    draft: Email
    rule: MailboxTrackingFolder
    meeting: Appointment
    private: Appointment
    series: RecurringAppointmentMaster
    items: dict[str, SyncItem] = field(default_factory=dict)


def written(
    subject: str,
    now: datetime,
    sender: str = "Cleo Example <cleo@customer.example>",
    to: str = "Ada Example <ada@example.com>",
    body: str = "Good day,\n\nthank you for your call. See https://example.com/terms\n\nCleo\n",
    message_id: str = "",
    in_reply_to: str = "",
) -> EmailMessage:
    made = EmailMessage(policy=SMTP)
    made["From"] = sender
    made["To"] = to
    made["Subject"] = subject
    made["Date"] = format_datetime(now)
    made["Message-ID"] = f"<{message_id or subject.replace(' ', '-').lower()}@customer.example>"
    if in_reply_to:
        made["In-Reply-To"] = in_reply_to
    made.set_content(body)
    return made


def rich(now: datetime) -> EmailMessage:
    """HTML with an inline picture, a remote one, a script, and an attachment."""
    made = written("Offer for order 4711", now, message_id="offer")
    made.add_alternative(HTML, subtype="html")
    html = made.get_payload()[1]
    html.add_related(PIXEL, maintype="image", subtype="png", cid="<logo>", filename="logo.png")
    made.add_attachment(
        b"%PDF-1.4 an offer", maintype="application", subtype="pdf", filename="offer 4711.pdf"
    )
    return made


def build_site() -> Site:
    now = timezone.now()
    organization = Organization.objects.current()
    Organization.objects.filter(pk=organization.pk).update(
        name="Example Ltd",
        allow_unresolved_parties_on_email_send=True,
        promotion_attempts=1,
        allow_folder_tracking_for_imap=True,
    )
    administrator = SuperuserFactory(
        domain_name="administrator", first_name="Robin", last_name="Admin"
    )
    profile = EmailServerProfileFactory(
        name="Example IMAP",
        owning_user=administrator,
        process_emails_received_after=now - timedelta(days=30),
    )
    broken = EmailServerProfileFactory(name="Old POP3 server", pop3=True, owning_user=administrator)
    ada = _user("ada", "Ada")
    ben = _user("ben", "Ben")
    cara, dora, emil, finn = (
        _user(name, name.title()) for name in ("cara", "dora", "emil", "finn")
    )
    support = QueueFactory(
        name="Support", email_address="support@example.com", owning_user=administrator
    )
    support.members.add(ada)
    limited = ada
    group_of(
        limited,
        "view_mailbox", "view_email", "add_email", "change_email", "view_contact",
        "view_queueitem", "change_queueitem", "synchronize_mailbox",
        reach=Reach.OWN,
    )  # fmt: skip
    contoso = CustomerAccount.objects.create(
        name="Customer Ltd", email_address1="office@customer.example", owning_user=ada
    )
    cleo = Contact.objects.create(
        first_name="Cleo",
        last_name="Example",
        email_address1="cleo@customer.example",
        parent_account=contoso,
        owning_user=ada,
    )
    Lead.objects.create(
        subject="Interested in a demo",
        first_name="Gil",
        email_address1="gil@prospect.example",
        owning_user=administrator,
    )

    healthy = ready_mailbox(ada, email_server_profile=profile)
    queue = ready_mailbox(support, email_server_profile=profile)
    failing = ready_mailbox(ben, email_server_profile=broken)
    ready_mailbox(cara, email_server_profile=profile)
    Mailbox.objects.filter(regarding_user=cara).update(
        email_router_access_approval=AccessApproval.PENDING
    )
    untested = ready_mailbox(dora, email_server_profile=profile)
    untested.workloads.update(enabled=False, test_status=TestStatus.NOT_RUN)
    paused = ready_mailbox(emil, email_server_profile=broken)
    Mailbox.objects.filter(regarding_user=finn).update(state_code=StateCode.INACTIVE)
    forward = ForwardMailboxFactory(
        name="Forwarded mail",
        email_address="forward@example.com",
        owning_user=administrator,
        email_server_profile=profile,
        outgoing_email_delivery_method=OutgoingDeliveryMethod.NONE,
    )
    _trouble(failing, paused, broken, organization, now)

    _receive(healthy, queue, now)
    _cycles(healthy, queue, failing, now)
    _casework(support, cleo, contoso, administrator, now)
    _late_hook(now)
    BouncedAddress.objects.create(
        address="gil@prospect.example",
        status="5.1.1",
        diagnostic="5.1.1 550 5.1.1 user unknown",
        bounced_on=now - timedelta(days=1),
    )
    Workload.objects.filter(mailbox__in=[healthy, queue]).update(
        last_success_at=now - timedelta(minutes=3), next_run_at=now + timedelta(minutes=2)
    )
    meeting, private, series = _planned(administrator, ada, ben, now)
    site = Site(
        now=now,
        organization=organization,
        administrator=administrator,
        ada=ada,
        ben=ben,
        limited=limited,
        profile=profile,
        support=support,
        cleo=cleo,
        contoso=contoso,
        mailboxes={
            "healthy": healthy,
            "queue": queue,
            "failing": failing,
            "paused": paused,
            "waiting": cara.default_mailbox,
            "untested": untested,
            "inactive": finn.default_mailbox,
            "forward": forward,
        },
        html=Email.objects.get(activity__subject="Offer for order 4711"),
        answered=Email.objects.get(activity__subject="Invoice 12 of May"),
        draft=_draft(ada, now),
        rule=_track(healthy, contoso, now),
        meeting=meeting,
        private=private,
        series=series,
    )
    _decide_again(administrator, now)
    _synchronize(healthy, cleo, now)
    copy_templates(ada, now)
    LearnedLimit.objects.create(
        mailbox=healthy,
        window=Window.DAY,
        most=500,
        learned_at=now - timedelta(hours=1),
        hold_until=now + timedelta(hours=5),
        server_reply="450 4.2.1 too many messages today",
    )
    site.items = {item.state: item for item in SyncItem.objects.filter(mailbox=healthy)}
    return site


def _planned(
    administrator: SystemUser, ada: SystemUser, ben: SystemUser, now: datetime
) -> tuple[Appointment, Appointment, RecurringAppointmentMaster]:
    """The administrator's meeting with Ada and somebody outside, a private one of Ben's, a series of the
    administrator's; and one of everything else that is planned."""
    noon = now.replace(hour=12, minute=0, second=0, microsecond=0)
    owned = {"activity__owning_user": administrator}
    meeting = AppointmentFactory(
        activity__subject="Quarterly review",
        scheduled_start=noon,
        description="Numbers of the quarter",
        location="Room 12",
        **owned,
    )
    private = AppointmentFactory(
        activity__subject="Doctor",
        activity__owning_user=ben,
        scheduled_start=noon + timedelta(hours=2),
        description="Blood test",
        location="Clinic",
        is_mapi_private=True,
    )
    first = noon.date() - timedelta(days=7)
    series = RecurringAppointmentMasterFactory(pattern_start_date=first, **owned)
    people = (
        (meeting, ParticipationType.ORGANIZER, administrator, ""),
        (meeting, ParticipationType.REQUIRED_ATTENDEE, ada, ""),
        (meeting, ParticipationType.OPTIONAL_ATTENDEE, None, "zed@elsewhere.example"),
        (private, ParticipationType.ORGANIZER, ben, ""),
        (series, ParticipationType.ORGANIZER, administrator, ""),
    )
    for item, role, user, address in people:
        ActivityPartyFactory(
            activity=item.activity,
            participation_type_mask=role,
            party_type=ContentType.objects.get_for_model(SystemUser) if user else None,
            party_id=str(user.pk) if user else "",
            address_used=user.internal_email_address if user else address,
            unresolved_party_name=str(user) if user else "",
        )
    due = noon + timedelta(hours=4)
    ServiceAppointmentFactory(scheduled_start=noon, **owned)
    for factory in (TaskFactory, PhoneCallFactory, LetterFactory, FaxFactory):
        factory(scheduled_end=due, **owned)
    return meeting, private, series


def _synchronize(mailbox: Mailbox, contact: Contact, now: datetime) -> None:
    """A contact that is linked and asks something, a meeting whose deletion waits, and what was done to both."""
    linked = act.asking(
        mailbox, "previously_linked", table=Table.CONTACT, object_id=contact.pk,
        base={"given_name": "Cleo", "surname": "Example"},
    )  # fmt: skip
    act.revision(linked, made_on=now)
    waiting = act.batch(mailbox)
    act.parked(waiting, act.pair(mailbox))
    act.begun(mailbox)


def _decide_again(actor: SystemUser, now: datetime) -> None:
    """A replay to be reviewed, with one message that it would fetch. Nothing is decided for it."""
    found = Replay.objects.create(
        created_by=actor,
        since=now - timedelta(days=30),
        until=now,
        state=ReplayState.READY,
        decided_on=now,
        items=1,
    )
    item = SyncItem.objects.filter(state=ItemState.REJECTED).select_related("mailbox").first()
    assert item is not None
    ReplayChange.objects.create(
        replay=found,
        number=1,
        item=item,
        step=ReplayStep.FETCH,
        facets=[Facet.OUTCOME],
        before=item.trace,
        after=item.trace | {"outcome": ItemState.TRACKED},
    )


def _casework(
    support: Queue, cleo: Contact, contoso: CustomerAccount, owner: SystemUser, now: datetime
) -> None:
    """A case, and the rule, template and signature that go with such work."""
    Incident.objects.create(
        title="The part arrived damaged",
        ticket_number="CAS-260309-K7Q2M9",
        customer_account=contoso,
        primary_contact=cleo,
        email_address=cleo.email_address1,
        owning_user=owner,
    )
    template = Template.objects.create(
        title="We look after it",
        template_type_code="incident",
        subject="Your case {{ case.number }}",
        body="<p>Hello {{ recipient.name }},</p><p>we look after it.</p>",
        is_personal=False,
        owning_user=owner,
    )
    EmailSignature.objects.create(
        title="Support", body="<p><b>{{ sender.name }}</b></p>", owning_user=owner
    )
    rule = ConvertRule.objects.create(
        name="Damaged goods",
        queue=support,
        owning_user=owner,
        check_if_resolved=True,
        resolved_since=120,
        send_automatic_response=True,
        response_template=template,
    )
    ConvertRuleItem.objects.create(
        convert_rule=rule,
        name="Damaged",
        conditions=[
            {"test": "subject_contains", "value": "damaged; broken"},
            {"test": "has_attachment"},
        ],
    )
    activate(rule=rule, now=now)


def _user(name: str, first: str) -> SystemUser:
    return SystemUserFactory(
        domain_name=name,
        first_name=first,
        last_name="Example",
        internal_email_address=f"{name}@example.com",
    )


def _receive(healthy: Mailbox, queue: Mailbox, now: datetime) -> None:
    user = healthy.regarding_user
    user.settings.incoming_email_filtering_method = FilteringMethod.LEADS_CONTACTS_ACCOUNTS
    user.settings.save()
    Queue.objects.filter(pk=queue.regarding_queue_id).update(
        incoming_email_filtering_method=FilteringMethod.ALL
    )
    invoice = written(
        "Invoice 12 of May",
        now - timedelta(hours=2),
        to="Ada Example <ada@example.com>, support@example.com",
        message_id="invoice",
    )
    ago = iter(now - timedelta(minutes=minutes) for minutes in range(90, 0, -7))
    account = Account(healthy, now=now - timedelta(minutes=3))
    for made in (
        rich(next(ago)),
        invoice,
        written("Newsletter", next(ago), sender="News <news@shop.example>", message_id="news"),
        written(
            "Meeting notes", next(ago), to="ada@example.com, office@customer.example, x@y.example"
        ),
    ):
        account.box.deliver(bytes(made), received_at=now - timedelta(minutes=20))
    bad = account.box.deliver(
        bytes(written("Unreadable", next(ago))), received_at=now - timedelta(minutes=10)
    )
    account.prepare = lambda server: server.fail_message(
        bad, MessageUnreadable("BAD [SERVERBUG] internal error")
    )
    account.receive()
    desk = Account(queue, now=now - timedelta(minutes=2))
    for made in (
        written(
            "Printer on fire",
            next(ago),
            sender="Hal <hal@unknown.example>",
            to="support@example.com",
        ),
        invoice,
    ):
        desk.box.deliver(bytes(made), received_at=now - timedelta(minutes=10))
    desk.receive()


def _track(healthy: Mailbox, record: CustomerAccount, now: datetime) -> MailboxTrackingFolder:
    tree = (("Customers", 4), ("Customers/North", 128), ("Customers/South", 0), ("Newsletters", 31))
    folders = [
        RemoteFolder(f"INBOX/{name}", tuple(name.split("/")), messages) for name, messages in tree
    ]
    store_folders(healthy, folders, now - timedelta(minutes=12))
    return create_rule(mailbox=healthy, folder="INBOX/Customers/North", record=record, now=now)


def _draft(ada: SystemUser, now: datetime) -> Email:
    from serversync import outbox

    parent = Email.objects.select_related("activity").get(activity__subject="Invoice 12 of May")
    return outbox.reply(parent, actor=ada, now=now)


def _trouble(
    failing: Mailbox,
    paused: Mailbox,
    profile: EmailServerProfile,
    organization: Organization,
    now: datetime,
) -> None:
    failing.workloads.filter(operation=0).update(
        enabled=False,
        test_status=TestStatus.FAILURE,
        tested_at=now - timedelta(hours=1),
        state=WorkloadState.DISABLED,
        state_code="InvalidCredentials",
        consecutive_failures=1,
        last_error_code="InvalidCredentials",
        last_error_text="InvalidCredentials [login]: -ERR [AUTH] Authentication failed",
        last_error_at=now - timedelta(hours=1),
        test_steps=[
            {"step": "resolve", "ms": 2, "ok": True},
            {"step": "connect", "ms": 11, "ok": True},
            {"step": "tls", "ms": 38, "ok": True},
            {
                "step": "login",
                "ms": 120,
                "ok": False,
                "code": "InvalidCredentials",
                "text": "-ERR [AUTH] Authentication failed",
                "cause": "refused",
                "cure": "check",
            },
        ],
    )
    alerts.raise_alert(failing, "InvalidCredentials", now=now - timedelta(hours=1))
    paused.workloads.filter(operation=0).update(
        state=WorkloadState.PAUSED,
        state_code="SocketTimedOut",
        consecutive_failures=12,
        last_error_code="SocketTimedOut",
        last_error_text="SocketTimedOut [connect]: no answer within 100 s",
        postponed_until=now + timedelta(minutes=30),
    )
    alerts.raise_outage(
        paused,
        profile,
        "SocketTimedOut",
        now=now - timedelta(minutes=20),
        organization=organization,
        level=3,
        detail="no answer within 100 s",
    )


def _late_hook(now: datetime) -> None:
    HookRun.objects.create(
        email=Email.objects.get(activity__subject="Invoice 12 of May"),
        hook="site.hooks.notify",
        attempts=1,
        next_attempt_at=now + timedelta(minutes=5),
        last_error="It took longer than its 5 seconds.",
    )


def _cycles(healthy: Mailbox, queue: Mailbox, failing: Mailbox, now: datetime) -> None:
    for mailbox, minutes, states, code in (
        (healthy, 3, {"tracked": 3, "rejected": 1, "quarantined": 1}, ""),
        (queue, 2, {"tracked": 1, "duplicate": 1}, ""),
        (failing, 60, {}, "InvalidCredentials"),
    ):
        began = now - timedelta(minutes=minutes)
        MailboxStatistics.objects.create(
            mailbox=mailbox,
            operation_type=0,
            mailbox_process_started_on=began,
            mailbox_process_completed_on=began + timedelta(milliseconds=740),
            process_result=not code,
            items_processed=sum(states.values()),
            items_failed=states.get(ItemState.QUARANTINED, 0),
            items_by_state=states,
            machine_name="worker@example",
            error_code=code,
        )
