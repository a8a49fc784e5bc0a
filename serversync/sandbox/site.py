"""The rows of the quick start: people, queues, profiles and mailboxes that use the sandbox.

Everything is looked up by its address or name first, and written only where it differs, so that a
second run changes nothing.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from activities.choices import CasePriority, CaseType
from activities.models import Account, Contact, Lead, Template, TemplateFor
from mailboxes import services
from mailboxes.choices import (
    ActDeliveryMethod,
    AutoCreate,
    CredentialRetrieval,
    FilteringMethod,
    IncomingDeliveryMethod,
    OutgoingDeliveryMethod,
    ServerType,
    TlsMode,
)
from mailboxes.models import (
    EmailServerProfile,
    Mailbox,
    Organization,
    Queue,
    SystemUser,
    UserSettings,
)
from serversync.sandbox import logins, planner, seeds
from serversync.sandbox.beside import EXCHANGE_PROFILE, IMAP_PROFILE, POP3_PROFILE
from serversync.sandbox.logins import Login
from serversync.sandbox.servers import Sandbox
from tracking import creation_rules
from tracking.conditions import Question
from tracking.models import ConvertRule, ConvertRuleItem, MailboxTrackingFolder

ARCHIVE = "archive@sandbox.example"


@dataclass(frozen=True, slots=True)
class Place:
    """One mailbox to be. `profile`: the name of its profile; `filter`: of its user or queue;
    `outgoing`: whether it sends; `deletes`: after processing (R3.66)."""

    address: str
    name: str
    profile: str
    filter: FilteringMethod = FilteringMethod.ALL
    incoming: IncomingDeliveryMethod = IncomingDeliveryMethod.SERVER_SIDE_SYNC
    outgoing: bool = True
    deletes: bool = False


#: In the order in which they are read: what a queue tracks, the users' mailboxes can then answer.
QUEUES = (
    Place(seeds.SUPPORT, "Support", POP3_PROFILE, FilteringMethod.ALL, deletes=True),
    Place(seeds.SALES, "Sales", IMAP_PROFILE, FilteringMethod.RESPONSES),
    Place(seeds.ORDERS, "Orders", EXCHANGE_PROFILE, FilteringMethod.ALL),
)
USERS = (
    Place(seeds.ADA, "Ada Example", IMAP_PROFILE, FilteringMethod.RESPONSES),
    Place(seeds.BEN, "Ben Example", IMAP_PROFILE, FilteringMethod.LEADS_CONTACTS_ACCOUNTS),
    Place(seeds.CHLOE, "Chloe Example", POP3_PROFILE, FilteringMethod.EMAIL_ENABLED),
    Place(seeds.DAN, "Dan Example", POP3_PROFILE, FilteringMethod.NONE),
    Place(
        seeds.EMI,
        "Emi Example",
        IMAP_PROFILE,
        FilteringMethod.LEADS_CONTACTS_ACCOUNTS,
        incoming=IncomingDeliveryMethod.FORWARD_MAILBOX,
    ),
    Place(seeds.FAY, "Fay Example", EXCHANGE_PROFILE, FilteringMethod.RESPONSES),
    Place(seeds.GIL, "Gil Example", EXCHANGE_PROFILE, FilteringMethod.LEADS_CONTACTS_ACCOUNTS),
    Place(seeds.INA, "Ina Example", EXCHANGE_PROFILE, FilteringMethod.NONE),
)
FORWARD = Place(seeds.FORWARD, "Forwarded mail", IMAP_PROFILE, outgoing=False)
ARCHIVE_QUEUE = Place(ARCHIVE, "Archive", IMAP_PROFILE, outgoing=False)


@dataclass(frozen=True, slots=True)
class Prepared:
    """`logins`: the superuser's, then one of each shipped role."""

    mailboxes: list[Mailbox]
    admin: SystemUser
    logins: list[Login]


def prepare(sandbox: Sandbox, now: datetime, *, archive_only: bool = False) -> Prepared:
    """Make the site what the quick start needs. `archive_only`: one queue that accepts everything."""
    superuser = logins.superuser(sandbox, now)
    admin = superuser.user
    profiles = {profile.name: profile for profile in _profiles(sandbox, admin, now)}
    organization = Organization.objects.current()
    if organization.default_email_server_profile_id is None:
        Organization.objects.filter(pk=organization.pk).update(
            name="Sandbox",
            default_email_server_profile=profiles[IMAP_PROFILE],
            auto_track_sent_folder_items=True,
            track_categorized_items=True,
        )
    queues = (ARCHIVE_QUEUE,) if archive_only else QUEUES
    users = {} if archive_only else {place.address: _user(place, now) for place in USERS}
    mailboxes = []
    ada = users.get(seeds.ADA, admin)
    for place in queues:
        # Ada's options make contacts of strangers; she owns no queue that takes everybody's mail.
        owner = users.get(seeds.FAY, admin) if place.address == seeds.ORDERS else ada
        mailboxes.append(_queue(place, owner, users.values(), now).default_mailbox)
    mailboxes += [user.default_mailbox for user in users.values()]
    if not archive_only:
        mailboxes.append(_forward_mailbox(profiles[IMAP_PROFILE], admin, now))
        _records(users)
        planner.prepare(users)
        sandbox.forwarding[seeds.EMI] = seeds.FORWARD
    places = {place.address: place for place in (*queues, *USERS, FORWARD)}
    for mailbox in mailboxes:
        place = places[mailbox.email_address]
        _equip(mailbox, place, profiles[place.profile], sandbox, now)
    if not archive_only:
        _folder_rules(users, sandbox)
    ids = [mailbox.pk for mailbox in mailboxes]
    services.approve(mailboxes=Mailbox.objects.filter(pk__in=ids), now=now, actor=admin)
    rows = Mailbox.objects.select_related(
        "email_server_profile", "regarding_user__settings", "regarding_queue"
    ).in_bulk(ids)
    if not archive_only:
        _creation_rule(Queue.objects.get(email_address=seeds.SUPPORT), admin, now)
        UserSettings.objects.filter(system_user=users[seeds.ADA]).update(
            auto_create_contact_on_promote=AutoCreate.CONTACT
        )
    others = logins.of_each_role(sandbox, users.values(), now)
    return Prepared([rows[pk] for pk in ids], admin, [superuser, *others])


def _profiles(sandbox: Sandbox, owner: SystemUser, now: datetime) -> Iterable[EmailServerProfile]:
    """One of each kind, and among them both ways to begin TLS."""
    implicit, upgraded = TlsMode.IMPLICIT, TlsMode.STARTTLS
    for name, server_type, incoming, outgoing in (
        (IMAP_PROFILE, ServerType.IMAP_SMTP, ("imaps", implicit), ("smtp", upgraded)),
        (POP3_PROFILE, ServerType.POP3_SMTP, ("pop3", upgraded), ("smtps", implicit)),
    ):
        wanted: dict[str, Any] = {
            "server_type": server_type,
            "incoming_server_location": sandbox.host,
            "incoming_port_number": sandbox.ports[incoming[0]],
            "incoming_tls_mode": incoming[1],
            "incoming_credential_retrieval": CredentialRetrieval.USER_OR_QUEUE,
            "outgoing_server_location": sandbox.host,
            "outgoing_port_number": sandbox.ports[outgoing[0]],
            "outgoing_tls_mode": outgoing[1],
            "ca_certificate": sandbox.ca_pem,
        }
        profile = EmailServerProfile.objects.filter(name=name).first()
        if profile is None:
            profile = EmailServerProfile(
                name=name,
                owning_user=owner,
                process_emails_received_after=now - timedelta(days=seeds.START_DAYS),
                timeout_mailbox_connection_after_amount=30_000,
                **wanted,
            )
            changed: list[str] = []
        else:
            changed = _assign(profile, wanted)
        services.save_profile(
            profile=profile,
            changed_fields=changed,
            now=now,
            actor=owner if profile._state.adding else None,
            move_secrets=True,  # to itself: a sandbox that starts again has other ports
        )
        yield profile
    yield _exchange_profile(sandbox, owner, now)


def _exchange_profile(sandbox: Sandbox, owner: SystemUser, now: datetime) -> EmailServerProfile:
    """One service account opens every mailbox there (R1.17)."""
    exchange = sandbox.exchange
    password = exchange.store.password_of(seeds.SERVICE)
    if password is None:
        password = secrets.token_urlsafe(16)
        exchange.add_account(seeds.SERVICE, password, has_mailbox=False)
        exchange.allow_impersonation(seeds.SERVICE)
    wanted: dict[str, Any] = {
        "server_type": ServerType.EXCHANGE_SERVER,
        "incoming_server_location": exchange.url,
        "outgoing_server_location": exchange.url,
        "incoming_credential_retrieval": CredentialRetrieval.PROFILE,
        "incoming_user_name": seeds.SERVICE,
        "incoming_use_impersonation": True,
        "outgoing_use_impersonation": True,
        "ca_certificate": sandbox.ca_pem,
    }
    profile = EmailServerProfile.objects.filter(name=EXCHANGE_PROFILE).first()
    if profile is None:
        profile = EmailServerProfile(
            name=EXCHANGE_PROFILE,
            owning_user=owner,
            process_emails_received_after=now - timedelta(days=seeds.START_DAYS),
            timeout_mailbox_connection_after_amount=30_000,
            incoming_password=password,
            **wanted,
        )
        changed: list[str] = []
    else:
        if profile.incoming_password.reveal() != password:
            wanted["incoming_password"] = password
        changed = _assign(profile, wanted)
    services.save_profile(
        profile=profile,
        changed_fields=changed,
        now=now,
        actor=owner if profile._state.adding else None,
        move_secrets=True,
    )
    return profile


def _folder_rules(users: Mapping[str, SystemUser], sandbox: Sandbox) -> None:
    """One folder with a record, one without (R7.2)."""
    customer = Account.objects.get(email_address1=seeds.OFFICE)
    for address, path, record in (
        (seeds.FAY, seeds.CUSTOMER_FOLDER, customer),
        (seeds.INA, seeds.PROJECT_FOLDER, None),
    ):
        folder = sandbox.exchange.add_folder(address, path)
        rule = MailboxTrackingFolder(
            mailbox=users[address].default_mailbox,
            exchange_folder_id=folder.remote_id,
            exchange_folder_name=path.partition("/")[2],
        )
        if record is not None:
            rule.regarding = record
        known = MailboxTrackingFolder.objects.filter(
            mailbox=rule.mailbox, exchange_folder_id=rule.exchange_folder_id
        )
        if not known.exists():
            rule.save()


def _creation_rule(queue: Queue, owner: SystemUser, now: datetime) -> None:
    """What is damaged becomes a case, whoever writes it, and is answered at once (R3.59)."""
    if ConvertRule.objects.filter(queue=queue).exists():
        return
    template, _ = Template.objects.get_or_create(
        title="We look after it",
        defaults={
            "template_type_code": TemplateFor.CASE,
            "subject": "We look after it",
            "body": "<p>Hello {{ recipient.name }},</p><p>we look after “{{ case.title }}”. If you write"
            " about it again, please name {{ case.number }}.</p><p>{{ sender.name }}</p>",
            "is_personal": False,
            "owning_user": owner,
        },
    )
    rule = ConvertRule.objects.create(
        name="Damaged goods",
        queue=queue,
        owning_user=owner,
        allow_unknown_sender=True,
        check_if_resolved=True,
        resolved_since=24 * 60,
        send_automatic_response=True,
        response_template=template,
    )
    ConvertRuleItem.objects.create(
        convert_rule=rule,
        name="Damaged",
        conditions=[{"test": Question.SUBJECT_CONTAINS.value, "value": "damaged"}],
        priority_code=CasePriority.HIGH,
        case_type_code=CaseType.PROBLEM,
    )
    creation_rules.activate(rule=rule, now=now, actor=owner)


def _user(place: Place, now: datetime) -> SystemUser:
    user = SystemUser.objects.filter(internal_email_address=place.address).first()
    if user is None:
        first_name, _, last_name = place.name.partition(" ")
        user = SystemUser.objects.create_user(
            place.address.partition("@")[0],
            internal_email_address=place.address,
            first_name=first_name,
            last_name=last_name,
        )
    UserSettings.objects.filter(system_user=user).exclude(
        incoming_email_filtering_method=place.filter
    ).update(incoming_email_filtering_method=place.filter)
    return user


def _queue(place: Place, owner: SystemUser, members: Iterable[SystemUser], now: datetime) -> Queue:
    queue = Queue.objects.filter(email_address=place.address).first()
    if queue is None:
        queue = Queue(
            name=place.name,
            email_address=place.address,
            incoming_email_filtering_method=place.filter,
            owning_user=owner,
        )
        services.save_queue(queue=queue, changed_fields=[], now=now)
        queue.members.set(members)
    return queue


def _forward_mailbox(profile: EmailServerProfile, owner: SystemUser, now: datetime) -> Mailbox:
    mailbox = Mailbox.objects.filter(email_address=FORWARD.address).first()
    if mailbox is None:
        mailbox = Mailbox(
            name=FORWARD.name,
            email_address=FORWARD.address,
            owning_user=owner,
            email_server_profile=profile,
        )
        services.save_mailbox(mailbox=mailbox, changed_fields=[], now=now)
    return mailbox


def _equip(
    mailbox: Mailbox, place: Place, profile: EmailServerProfile, sandbox: Sandbox, now: datetime
) -> None:
    """Methods, profile and credentials, the same here and in the sandbox."""
    wanted: dict[str, Any] = {
        "email_server_profile": profile,
        "incoming_email_delivery_method": place.incoming,
        "outgoing_email_delivery_method": (
            OutgoingDeliveryMethod.SERVER_SIDE_SYNC
            if place.outgoing
            else OutgoingDeliveryMethod.NONE
        ),
        "act_delivery_method": (
            ActDeliveryMethod.SERVER_SIDE_SYNC
            if place.address in planner.PLANNERS
            else ActDeliveryMethod.NONE
        ),
        "process_and_delete_emails": place.deletes,
    }
    if place.profile == EXCHANGE_PROFILE:
        if not sandbox.exchange.has_account(place.address):
            sandbox.exchange.add_account(place.address, secrets.token_urlsafe(16), name=place.name)
    else:
        wanted |= _own_credentials(mailbox, place, sandbox)
    _change_mailbox(mailbox, now, **wanted)


def _own_credentials(mailbox: Mailbox, place: Place, sandbox: Sandbox) -> dict[str, Any]:
    password = sandbox.store.password_of(place.address)
    if password is None:
        password = secrets.token_urlsafe(16)
        sandbox.store.add_account(place.address, password)
    wanted = {"user_name": place.address, "allow_email_connector_to_use_credentials": True}
    if not mailbox.password or mailbox.password.reveal() != password:
        wanted["password"] = password
    return wanted


def _change_mailbox(mailbox: Mailbox, now: datetime, **wanted: Any) -> None:
    if changed := _assign(mailbox, wanted):
        services.save_mailbox(mailbox=mailbox, changed_fields=changed, now=now)


def _assign(row: Any, wanted: Mapping[str, Any]) -> list[str]:
    changed = [name for name, value in wanted.items() if getattr(row, name) != value]
    for name in changed:
        setattr(row, name, wanted[name])
    return changed


def _records(users: Mapping[str, SystemUser]) -> None:
    """Who the known senders are."""
    account, _ = Account.objects.get_or_create(
        email_address1=seeds.OFFICE,
        defaults={"name": "Customer Ltd", "owning_user": users[seeds.ADA]},
    )
    for address, owner, company in (
        (seeds.RITA, seeds.ADA, account),
        (seeds.NOOR, seeds.BEN, account),
        (seeds.ANN, seeds.CHLOE, account),
        (seeds.GUS, seeds.DAN, account),
        (seeds.HANA, seeds.BEN, None),
    ):
        person = seeds.PEOPLE.get(address)
        first_name, _, last_name = (person.name if person else "Hana Rei").partition(" ")
        Contact.objects.get_or_create(
            email_address1=address,
            defaults={
                "first_name": first_name,
                "last_name": last_name,
                "parent_account": company,
                "owning_user": users[owner],
            },
        )
    Lead.objects.get_or_create(
        email_address1=seeds.LENA,
        defaults={
            "subject": "Fifty pieces",
            "first_name": "Lena",
            "last_name": "Example",
            "owning_user": users[seeds.BEN],
        },
    )
