"""PURE  which settings of profiles and mailboxes are legal together. Each fault names rule and cure.

Called by the models' `clean`, so the admin forms show the faults beside their fields, and by the
services before they write.
"""

import ssl
from typing import Protocol

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailboxes.choices import (
    ActDeliveryMethod,
    AuthenticationProtocol,
    CredentialRetrieval,
    IncomingDeliveryMethod,
    OutgoingDeliveryMethod,
    ServerType,
)

Faults = dict[str, str | Promise]

#: Credential retrievals that each server type can use for incoming (section 1.3).
INCOMING_RETRIEVALS = {
    ServerType.EXCHANGE_SERVER: {
        CredentialRetrieval.USER_OR_QUEUE,
        CredentialRetrieval.PROFILE,
        CredentialRetrieval.WINDOWS_INTEGRATED,
        CredentialRetrieval.EXCHANGE_HYBRID_MODERN,
    },
    ServerType.EXCHANGE_HYBRID: {
        CredentialRetrieval.USER_OR_QUEUE,
        CredentialRetrieval.PROFILE,
        CredentialRetrieval.EXCHANGE_HYBRID_MODERN,
    },
    ServerType.EXCHANGE_ONLINE: {
        CredentialRetrieval.USER_OR_QUEUE,
        CredentialRetrieval.PROFILE,
        CredentialRetrieval.SERVER_TO_SERVER,
        CredentialRetrieval.ENTRA_OAUTH,
    },
    ServerType.POP3_SMTP: {
        CredentialRetrieval.USER_OR_QUEUE,
        CredentialRetrieval.PROFILE,
        CredentialRetrieval.GMAIL_OAUTH,
    },
    ServerType.IMAP_SMTP: {
        CredentialRetrieval.USER_OR_QUEUE,
        CredentialRetrieval.PROFILE,
        CredentialRetrieval.GMAIL_OAUTH,
    },
}


#: Ways to authenticate that POP3, IMAP and SMTP know here (R1.20); OAuth comes with its retrieval.
PLAIN_PROTOCOLS = {AuthenticationProtocol.AUTO_DETECT, AuthenticationProtocol.BASIC}


class ProfileFacts(Protocol):
    server_type: int
    incoming_uses_ssl: bool
    outgoing_uses_ssl: bool
    incoming_authentication_protocol: int
    outgoing_authentication_protocol: int
    ca_certificate: str
    use_auto_discover: bool
    incoming_server_location: str
    outgoing_server_location: str
    incoming_credential_retrieval: int
    outgoing_credential_retrieval: int
    use_same_settings_for_outgoing_connections: bool


class MailboxFacts(Protocol):
    incoming_email_delivery_method: int
    outgoing_email_delivery_method: int
    act_delivery_method: int
    process_and_delete_emails: bool
    is_forward_mailbox: bool

    @property
    def serves_user(self) -> bool: ...

    @property
    def serves_queue(self) -> bool: ...


class PortFacts(Protocol):
    server_type: int
    incoming_port_number: int | None
    outgoing_port_number: int | None
    incoming_user_name: str
    outgoing_user_name: str


def profile_faults(
    profile: ProfileFacts, *, allow_plain: bool = True, allow_plain_login: bool = True
) -> Faults:
    """What is wrong with a profile: field name -> message.

    `allow_plain`, `allow_plain_login`: the organization's switches (R1.26); the model itself doesn't
    know them, the services do."""
    faults: Faults = {}
    kind = ServerType(profile.server_type)
    incoming = CredentialRetrieval(profile.incoming_credential_retrieval)
    outgoing = CredentialRetrieval(profile.outgoing_credential_retrieval)
    same = profile.use_same_settings_for_outgoing_connections

    if profile.use_auto_discover and not kind.is_exchange:
        faults["use_auto_discover"] = _(
            "Only Exchange can be discovered. Switch this off and enter both locations. (R1.22)"
        )
    if not profile.use_auto_discover:
        needed = _("Enter the server's location, or let Exchange be discovered. (R1.22)")
        if not profile.incoming_server_location:
            faults["incoming_server_location"] = needed
        if not profile.outgoing_server_location:
            faults["outgoing_server_location"] = needed
    if not kind.is_exchange:
        mixed = _(
            "%(kind)s needs a mail server on both sides, and this is the address of an Exchange "
            "web service. A profile can't mix server kinds: make a second profile. (R1.12)"
        ) % {"kind": kind.label}
        for field in ("incoming_server_location", "outgoing_server_location"):
            if _is_url(getattr(profile, field)):
                faults[field] = mixed
    elif not profile.use_auto_discover:
        mixed = _(
            "%(kind)s uses Exchange in both directions, so this must be the address of its web "
            "service (https://…). A profile can't mix server kinds: make a second profile. (R1.12)"
        ) % {"kind": kind.label}
        for field in ("incoming_server_location", "outgoing_server_location"):
            location = getattr(profile, field)
            if location and not _is_url(location):
                faults.setdefault(field, mixed)
    if incoming not in INCOMING_RETRIEVALS[kind]:
        faults["incoming_credential_retrieval"] = _(
            "%(kind)s can't authenticate incoming mail with “%(method)s”. Choose another way. "
            "(section 1.3)"
        ) % {"kind": kind.label, "method": incoming.label}
    if not same:
        allowed = set(INCOMING_RETRIEVALS[kind])
        if not kind.is_exchange:
            allowed.add(CredentialRetrieval.ANONYMOUS)
        if outgoing not in allowed:
            faults["outgoing_credential_retrieval"] = _(
                "%(kind)s can't authenticate outgoing mail with “%(method)s”. Choose another way. "
                "(section 1.3)"
            ) % {"kind": kind.label, "method": outgoing.label}
    faults |= _line_faults(profile, kind, allow_plain, allow_plain_login)
    faults |= _protocol_faults(profile, kind, incoming, outgoing)
    if profile.ca_certificate and not _is_pem(profile.ca_certificate):
        faults["ca_certificate"] = _(
            "This is no certificate authority in PEM form. Paste the whole text from BEGIN "
            "CERTIFICATE to END CERTIFICATE, or leave it empty for the public ones."
        )
    return faults


def profile_warnings(profile: PortFacts) -> Faults:
    """What is legal and yet likely to fail: field name -> message."""
    warnings: Faults = {}
    if profile.outgoing_port_number == 25:
        warnings["outgoing_port_number"] = _(
            "Port 25 is for mail between servers; many networks block it. Use 587 or 465 where the "
            "server offers them. (R1.25)"
        )
    if ServerType(profile.server_type).is_exchange:
        for field in ("incoming_user_name", "outgoing_user_name"):
            if "\\" in getattr(profile, field):
                warnings[field] = _(
                    "Exchange may answer that no mailbox has this SMTP address. Use the mail-style "
                    "name (ada@example.com) instead of domain\\user. (R1.19)"
                )
    return warnings


def _line_faults(
    profile: ProfileFacts, kind: ServerType, allow_plain: bool, allow_plain_login: bool
) -> Faults:
    faults: Faults = {}
    outgoing_logs_in = (
        profile.use_same_settings_for_outgoing_connections
        or profile.outgoing_credential_retrieval != CredentialRetrieval.ANONYMOUS
    )
    sides = (
        ("incoming_uses_ssl", profile.incoming_uses_ssl, True),
        ("outgoing_uses_ssl", profile.outgoing_uses_ssl, outgoing_logs_in),
    )
    for field, uses_tls, logs_in in sides:
        if uses_tls:
            continue
        if kind.is_exchange:
            faults[field] = _("Exchange is reached by TLS only. Switch it on. (R1.27)")
        elif not allow_plain:
            faults[field] = _(
                "Without TLS, mail travels in plain text, which the organization doesn't allow. Use "
                "TLS, or allow servers without TLS in the organization. (R1.26)"
            )
        elif logs_in and not allow_plain_login:
            faults[field] = _(
                "Without TLS, the password would travel in plain text, which the organization "
                "doesn't allow. Use TLS, or allow passwords on such lines in the organization. "
                "(R1.26)"
            )
    if kind.is_exchange and not profile.use_auto_discover:
        for field in ("incoming_server_location", "outgoing_server_location"):
            if getattr(profile, field).lower().startswith("http://"):
                faults[field] = _("Exchange is reached by TLS only: use https://. (R1.27)")
    return faults


def _protocol_faults(
    profile: ProfileFacts,
    kind: ServerType,
    incoming: CredentialRetrieval,
    outgoing: CredentialRetrieval,
) -> Faults:
    if kind.is_exchange:
        return {}
    faults: Faults = {}
    sides = [("incoming_authentication_protocol", incoming)]
    if not profile.use_same_settings_for_outgoing_connections:
        sides.append(("outgoing_authentication_protocol", outgoing))
    for field, retrieval in sides:
        protocol = AuthenticationProtocol(getattr(profile, field))
        oauth = retrieval == CredentialRetrieval.GMAIL_OAUTH
        if protocol in PLAIN_PROTOCOLS or (oauth and protocol == AuthenticationProtocol.OAUTH):
            continue
        faults[field] = _(
            "%(kind)s can't log in by %(protocol)s here. Choose Auto Detect or Basic. (R1.20)"
        ) % {"kind": kind.label, "protocol": protocol.label}
    return faults


def _is_pem(text: str) -> bool:
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        return False
    return True


def mailbox_faults(mailbox: MailboxFacts, server_type: int | None) -> Faults:
    """What is wrong with a mailbox on a profile of `server_type` (None: it has no profile)."""
    faults: Faults = {}
    incoming = IncomingDeliveryMethod(mailbox.incoming_email_delivery_method)
    outgoing = OutgoingDeliveryMethod(mailbox.outgoing_email_delivery_method)
    act = ActDeliveryMethod(mailbox.act_delivery_method)

    if mailbox.is_forward_mailbox:
        if mailbox.serves_user or mailbox.serves_queue:
            faults["is_forward_mailbox"] = _(
                "A forward mailbox belongs to no user or queue. Create it by itself. (R1.2)"
            )
        if outgoing != OutgoingDeliveryMethod.NONE:
            faults["outgoing_email_delivery_method"] = _(
                "A forward mailbox only receives. Set outgoing email to None. (R1.34)"
            )
        if incoming not in (IncomingDeliveryMethod.NONE, IncomingDeliveryMethod.SERVER_SIDE_SYNC):
            faults["incoming_email_delivery_method"] = _(
                "A forward mailbox is read by server-side synchronization, or not at all. (R1.34)"
            )
    if mailbox.serves_queue and incoming == IncomingDeliveryMethod.OUTLOOK:
        faults["incoming_email_delivery_method"] = _(
            "A queue has no Outlook client. Choose server-side synchronization, forward mailbox or "
            "None. (R1.34)"
        )
    if mailbox.serves_queue and outgoing == OutgoingDeliveryMethod.OUTLOOK:
        faults["outgoing_email_delivery_method"] = _(
            "A queue has no Outlook client. Choose server-side synchronization or None. (R1.34)"
        )
    if act == ActDeliveryMethod.SERVER_SIDE_SYNC:
        if server_type is not None and not ServerType(server_type).is_exchange:
            faults["act_delivery_method"] = _(
                "Appointments, contacts and tasks need an Exchange profile; POP3 and IMAP have "
                "none. Set them to None. (R1.34)"
            )
        elif not mailbox.serves_user:
            faults["act_delivery_method"] = _(
                "Only a user's mailbox synchronizes appointments, contacts and tasks. Set them to "
                "None. (R1.34)"
            )
    elif act == ActDeliveryMethod.OUTLOOK and not mailbox.serves_user:
        faults["act_delivery_method"] = _(
            "Only a user's mailbox has an Outlook client. Set appointments, contacts and tasks to "
            "None. (R1.34)"
        )
    if mailbox.process_and_delete_emails and mailbox.serves_user:
        faults["process_and_delete_emails"] = _(
            "Mail of a user is never deleted from the server. Only queue and forward mailboxes may "
            "delete after processing; switch this off. (R1.37)"
        )
    return faults


def _is_url(location: str) -> bool:
    return location.lower().startswith(("http://", "https://"))
