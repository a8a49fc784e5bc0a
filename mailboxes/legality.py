"""PURE  which settings of profiles and mailboxes are legal together. Each fault names rule and cure.

Called by the models' `clean`, so the admin forms show the faults beside their fields, and by the
services before they write.
"""

import ssl
from collections.abc import Collection
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailboxes.authorities import (
    GMAIL_TEST_USERS,
    GMAIL_WARNING_AT,
    OAUTH_RETRIEVALS,
    authority_of,
    grant_of,
)
from mailboxes.authorities import ProfileFacts as AuthorityFacts
from mailboxes.choices import (
    ActDeliveryMethod,
    AuthenticationProtocol,
    CredentialRetrieval,
    IncomingDeliveryMethod,
    OAuthGrant,
    OutgoingDeliveryMethod,
    ServerType,
)
from mailboxes.dkim import ascii_domain, is_domain, is_selector

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
        CredentialRetrieval.ENTRA_OAUTH,
    },
    ServerType.IMAP_SMTP: {
        CredentialRetrieval.USER_OR_QUEUE,
        CredentialRetrieval.PROFILE,
        CredentialRetrieval.GMAIL_OAUTH,
        CredentialRetrieval.ENTRA_OAUTH,
    },
}


_AUTO, _NEGOTIATE, _NTLM, _BASIC, _OAUTH = AuthenticationProtocol
#: Ways to authenticate with user name and password (R1.20).
PLAIN_PROTOCOLS = frozenset({_AUTO, _BASIC})
EXCHANGE_PROTOCOLS = frozenset({_AUTO, _NEGOTIATE, _NTLM, _BASIC})

EXCHANGE_PATH = "/EWS/Exchange.asmx"
#: First labels of host names that no Exchange web service has, so that a mixed profile is told (R1.12).
MAIL_HOSTS = ("imap", "pop", "pop3", "smtp")


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
    oauth_grant: str
    oauth_authorization_endpoint: str
    oauth_token_endpoint: str
    dkim_sign: bool
    dkim_domain: str
    dkim_selector: str

    @property
    def is_dkim_private_key_set(self) -> bool: ...


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


class WarnedFacts(AuthorityFacts, Protocol):
    """What is only warned of. Of secrets it matters whether they are set."""

    use_auto_discover: bool
    outgoing_port_number: int | None
    incoming_credential_retrieval: int
    outgoing_credential_retrieval: int
    use_same_settings_for_outgoing_connections: bool
    incoming_use_impersonation: bool
    outgoing_use_impersonation: bool
    outgoing_auto_grant_delegate_access: bool
    incoming_user_name: str
    outgoing_user_name: str
    oauth_client_id: str
    dkim_sign: bool
    dkim_domain: str

    @property
    def is_incoming_password_set(self) -> bool: ...

    @property
    def is_outgoing_password_set(self) -> bool: ...

    @property
    def is_oauth_client_secret_set(self) -> bool: ...


def profile_faults(
    profile: ProfileFacts, *, allow_plain: bool = True, allow_plain_login: bool = True
) -> Faults:
    """What is wrong with a profile: field name -> message.

    `allow_plain`, `allow_plain_login`: the organization's switches (R1.26); the model itself doesn't
    know them, the services do."""
    kind = ServerType(profile.server_type)
    faults = _location_faults(profile, kind)
    faults |= _retrieval_faults(profile, kind)
    faults |= _line_faults(profile, kind, allow_plain, allow_plain_login)
    faults |= _protocol_faults(profile, kind)
    faults |= _authority_faults(profile)
    faults |= _signature_faults(profile)
    if profile.ca_certificate and not _is_pem(profile.ca_certificate):
        faults["ca_certificate"] = _(
            "This is no certificate authority in PEM form. Paste the whole text from BEGIN "
            "CERTIFICATE to END CERTIFICATE, or leave it empty for the public ones."
        )
    return faults


def profile_warnings(
    profile: WarnedFacts,
    *,
    mailboxes: int = 0,
    default_tenant: str = "",
    domains: Collection[str] = (),
) -> Faults:
    """What is legal and yet likely to fail: field name -> message. `mailboxes`: how many use it;
    `domains`: of their addresses."""
    warnings: Faults = {}
    if profile.outgoing_port_number == 25:
        warnings["outgoing_port_number"] = _(
            "Port 25 is for mail between servers; many networks block it. Use 587 or 465 where the "
            "server offers them. (R1.25)"
        )
    for side in _sides(profile):
        warnings |= _missing_credentials(profile, side, default_tenant)
        if ServerType(profile.server_type).is_exchange:
            warnings |= _exchange_account_warnings(profile, side)
    if profile.outgoing_auto_grant_delegate_access:
        warnings["outgoing_auto_grant_delegate_access"] = _(
            "Delegate access is never granted by itself here: grant it on the server. The switch is "
            "kept for imports. (R1.18)"
        )
    if others := _not_aligned(profile, domains):
        warnings["dkim_domain"] = _(
            "Mail from %(others)s bears a signature of %(domain)s, which DMARC doesn't count unless "
            "both are of one organization. Give these mailboxes a profile that signs for their own "
            "domain. (R5.32)"
        ) % {"others": ", ".join(others), "domain": profile.dkim_domain}
    if profile.dkim_sign and ServerType(profile.server_type).is_exchange:
        warnings["dkim_sign"] = _(
            "Exchange writes messages anew and signs them itself, so those of this profile get no "
            "signature here. Have DKIM switched on at Exchange. (R5.32)"
        )
    if mailboxes >= GMAIL_WARNING_AT and uses_gmail(profile):
        warnings["oauth_client_id"] = _(
            "%(count)s mailboxes use this client. Google lets an app that it has not verified serve "
            "%(limit)s people: have the app verified, or give others a profile with a client of its "
            "own. (R1.21)"
        ) % {"count": mailboxes, "limit": GMAIL_TEST_USERS}
    return warnings


def _not_aligned(profile: WarnedFacts, domains: Collection[str]) -> list[str]:
    """Domains that are neither the one that signs nor above or below it (RFC 7489, 3.1.1). Which siblings
    are of one organization, only the list of public suffixes knows."""
    own = ascii_domain(profile.dkim_domain)
    if not profile.dkim_sign or not own:
        return []
    found = {ascii_domain(domain) for domain in domains} - {""}
    return sorted(
        one
        for one in found
        if not f".{one}".endswith(f".{own}") and not f".{own}".endswith(f".{one}")
    )


def uses_gmail(profile: WarnedFacts) -> bool:
    """Does any direction open its account by Gmail OAuth?"""
    return any(
        getattr(profile, f"{side}_credential_retrieval") == CredentialRetrieval.GMAIL_OAUTH
        for side in _sides(profile)
    )


def exchange_url(location: str) -> str:
    """The web service that somebody means who enters a host or an address without a path. What looks
    like a mail server stays as it is, and is refused (R1.12)."""
    location = location.strip()
    if not location or location.partition(".")[0].lower() in MAIL_HOSTS:
        return location
    url = location if "://" in location else f"https://{location}"
    parts = _split(url)
    if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
        return location
    if parts.path in ("", "/"):
        parts = parts._replace(path=EXCHANGE_PATH)
    return parts.geturl()


# -- faults --------------------------------------------------------------------------------------


def _sides(profile: ProfileFacts | WarnedFacts) -> tuple[str, ...]:
    """The directions with settings of their own (R1.15)."""
    if profile.use_same_settings_for_outgoing_connections:
        return ("incoming",)
    return ("incoming", "outgoing")


def _signature_faults(profile: ProfileFacts) -> Faults:
    """R5.32."""
    faults: Faults = {}
    if profile.dkim_domain and not is_domain(profile.dkim_domain):
        faults["dkim_domain"] = _("This is no domain. Enter one such as example.com. (R5.32)")
    if profile.dkim_selector and not is_selector(profile.dkim_selector):
        faults["dkim_selector"] = _(
            "A selector has letters, digits, dots and hyphens. Enter one such as mail2026. (R5.32)"
        )
    needed = (profile.dkim_domain, profile.dkim_selector, profile.is_dkim_private_key_set)
    if profile.dkim_sign and not all(needed):
        faults["dkim_sign"] = _(
            "Signing needs a domain, a selector and a private key. Save domain and selector with this "
            "switched off, have a key made, publish its record, and then switch it on. (R5.32)"
        )
    return faults


def _location_faults(profile: ProfileFacts, kind: ServerType) -> Faults:
    faults: Faults = {}
    if profile.use_auto_discover:
        if not kind.is_exchange:
            faults["use_auto_discover"] = _(
                "Only Exchange can be discovered. Switch this off and enter both locations. (R1.22)"
            )
        return faults | (_mixed_faults(profile, kind) if not kind.is_exchange else {})
    for field in ("incoming_server_location", "outgoing_server_location"):
        if not getattr(profile, field):
            faults[field] = _("Enter the server's location, or let Exchange be discovered. (R1.22)")
    return _mixed_faults(profile, kind) | faults


def _mixed_faults(profile: ProfileFacts, kind: ServerType) -> Faults:
    """R1.12."""
    if kind.is_exchange:
        words = _(
            "%(kind)s uses Exchange in both directions, so this must be the address of its web "
            "service (https://…). A profile can't mix server kinds: make a second profile. (R1.12)"
        )
    else:
        words = _(
            "%(kind)s needs a mail server on both sides, and this is the address of an Exchange "
            "web service. A profile can't mix server kinds: make a second profile. (R1.12)"
        )
    faults: Faults = {}
    for field in ("incoming_server_location", "outgoing_server_location"):
        location = getattr(profile, field)
        if location and _is_url(location) is not kind.is_exchange:
            faults[field] = words % {"kind": kind.label}
        elif location and kind.is_exchange and (fault := _address_fault(location)):
            faults[field] = fault
    return faults


def _retrieval_faults(profile: ProfileFacts, kind: ServerType) -> Faults:
    faults: Faults = {}
    incoming = CredentialRetrieval(profile.incoming_credential_retrieval)
    if incoming not in INCOMING_RETRIEVALS[kind]:
        faults["incoming_credential_retrieval"] = _(
            "%(kind)s can't authenticate incoming mail with “%(method)s”. Choose another way. "
            "(section 1.3)"
        ) % {"kind": kind.label, "method": incoming.label}
    if profile.use_same_settings_for_outgoing_connections:
        return faults
    outgoing = CredentialRetrieval(profile.outgoing_credential_retrieval)
    allowed = set(INCOMING_RETRIEVALS[kind])
    if not kind.is_exchange:
        allowed.add(CredentialRetrieval.ANONYMOUS)
    if outgoing not in allowed:
        faults["outgoing_credential_retrieval"] = _(
            "%(kind)s can't authenticate outgoing mail with “%(method)s”. Choose another way. "
            "(section 1.3)"
        ) % {"kind": kind.label, "method": outgoing.label}
    elif {incoming, outgoing} <= OAUTH_RETRIEVALS and incoming != outgoing:
        faults["outgoing_credential_retrieval"] = _(
            "A mailbox holds the tokens of one provider. Choose “%(method)s” here, too, or other "
            "credentials. (R1.21)"
        ) % {"method": incoming.label}
    return faults


def _line_faults(
    profile: ProfileFacts, kind: ServerType, allow_plain: bool, allow_plain_login: bool
) -> Faults:
    if kind.is_exchange:
        return _exchange_line_faults(profile, allow_plain and allow_plain_login)
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
        if not allow_plain:
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
    return faults


def _exchange_line_faults(profile: ProfileFacts, allow_plain: bool) -> Faults:
    """R1.27. The address says whether there is TLS; the switch beside it must say the same."""
    faults: Faults = {}
    for side in ("incoming", "outgoing"):
        location = "" if profile.use_auto_discover else getattr(profile, f"{side}_server_location")
        plain = location.lower().startswith("http://")
        uses_tls = getattr(profile, f"{side}_uses_ssl")
        if plain and not (allow_plain and not uses_tls):
            faults[f"{side}_server_location"] = _(
                "Exchange is reached by TLS only: use https://. (R1.27)"
            )
        if not uses_tls and not (allow_plain and plain):
            faults[f"{side}_uses_ssl"] = _("Exchange is reached by TLS only. Switch it on. (R1.27)")
    return faults


def _protocol_faults(profile: ProfileFacts, kind: ServerType) -> Faults:
    """R1.20."""
    faults: Faults = {}
    for side in _sides(profile):
        field = f"{side}_authentication_protocol"
        protocol = AuthenticationProtocol(getattr(profile, field))
        retrieval = CredentialRetrieval(getattr(profile, f"{side}_credential_retrieval"))
        allowed = protocols_for(kind, retrieval)
        if protocol not in allowed:
            faults[field] = _(
                "%(kind)s can't log in by %(protocol)s with “%(method)s”. Choose one of: "
                "%(allowed)s. (R1.20)"
            ) % {
                "kind": kind.label,
                "protocol": protocol.label,
                "method": retrieval.label,
                "allowed": ", ".join(str(one.label) for one in sorted(allowed)),
            }
    return faults


def protocols_for(
    kind: ServerType, retrieval: CredentialRetrieval
) -> frozenset[AuthenticationProtocol]:
    """How an account with these credentials can prove who it is (R1.20)."""
    if retrieval in OAUTH_RETRIEVALS:
        return frozenset({_AUTO, _OAUTH})
    if retrieval == CredentialRetrieval.WINDOWS_INTEGRATED:
        return frozenset({_AUTO, _NEGOTIATE})
    return EXCHANGE_PROTOCOLS if kind.is_exchange else PLAIN_PROTOCOLS


def _authority_faults(profile: ProfileFacts) -> Faults:
    """Where tokens come from: over TLS, and both addresses of the same provider (R1.21)."""
    faults: Faults = {}
    addresses = {
        name: getattr(profile, name)
        for name in ("oauth_authorization_endpoint", "oauth_token_endpoint")
    }
    for name, address in addresses.items():
        if address and not address.lower().startswith("https://"):
            faults[name] = _("Tokens are fetched over TLS only: enter an https:// address. (R1.21)")
        elif address and (fault := _address_fault(address)):
            faults[name] = fault
        elif not address and any(addresses.values()) and _needs(profile, name):
            faults[name] = _(
                "The other address of the provider is entered, so this one is needed, too. Leave "
                "both empty for Google's or Microsoft's. (R1.21)"
            )
    return faults


def _needs(profile: ProfileFacts, name: str) -> bool:
    """Nobody signs in where the client opens every mailbox."""
    if name == "oauth_token_endpoint":
        return True
    retrievals = {
        CredentialRetrieval(getattr(profile, f"{side}_credential_retrieval"))
        for side in _sides(profile)
    }
    return any(
        grant_of(retrieval, profile.oauth_grant) == OAuthGrant.MAILBOX
        for retrieval in retrievals & OAUTH_RETRIEVALS
    )


def _address_fault(url: str) -> str | Promise | None:
    parts = _split(url)
    if parts is None or not parts.hostname:
        return _("This is no complete address: https://host/path.")
    if parts.username is not None or parts.password is not None:
        return _("Leave user name and password out of the address; they have fields of their own.")
    return None


# -- warnings ------------------------------------------------------------------------------------


def _missing_credentials(profile: WarnedFacts, side: str, default_tenant: str) -> Faults:
    """What the chosen way of authenticating needs on the profile and doesn't find (section 1.3)."""
    retrieval = CredentialRetrieval(getattr(profile, f"{side}_credential_retrieval"))
    missing: list[str] = []
    if retrieval == CredentialRetrieval.PROFILE:
        if not getattr(profile, f"{side}_user_name"):
            missing.append(f"{side}_user_name")
        if not getattr(profile, f"is_{side}_password_set"):
            missing.append(f"{side}_password")
    elif retrieval in OAUTH_RETRIEVALS:
        authority = authority_of(profile, retrieval, default_tenant)
        # Server to server uses the site's own client; a client of owners may be one without a secret.
        own = retrieval != CredentialRetrieval.SERVER_TO_SERVER
        secret = authority.preset or authority.grant == OAuthGrant.APPLICATION
        if own and not profile.oauth_client_id:
            missing.append("oauth_client_id")
        if own and secret and not profile.is_oauth_client_secret_set:
            missing.append("oauth_client_secret")
        missing += authority.missing
    return {
        field: _("“%(method)s” needs this, and it is empty. (section 1.3)")
        % {"method": retrieval.label}
        for field in missing
    }


def _exchange_account_warnings(profile: WarnedFacts, side: str) -> Faults:
    warnings: Faults = {}
    if "\\" in getattr(profile, f"{side}_user_name"):
        warnings[f"{side}_user_name"] = _(
            "Exchange may answer that no mailbox has this SMTP address. Use the mail-style "
            "name (ada@example.com) instead of domain\\user. (R1.19)"
        )
    retrieval = getattr(profile, f"{side}_credential_retrieval")
    account = getattr(profile, f"{side}_user_name")
    if (
        profile.use_auto_discover
        and retrieval == CredentialRetrieval.PROFILE
        and account
        and "@" not in account
    ):
        warnings[f"{side}_user_name"] = _(
            "With auto discover the account is shown to the domain of its own name only, and this name "
            "has none. Use the mail-style name (service@example.com), or enter the location. (R1.22)"
        )
    field = f"{side}_use_impersonation"
    impersonates = getattr(profile, field)
    if retrieval == CredentialRetrieval.USER_OR_QUEUE and impersonates:
        warnings[field] = _(
            "Each mailbox is opened with its own credentials, so nobody is impersonated. (R1.17)"
        )
    elif retrieval in _SERVICE_ACCOUNTS and not impersonates:
        warnings[field] = _(
            "Without impersonation the profile's account must be a delegate with full access to each "
            "mailbox, and appointments, contacts and tasks are not served. (R1.17)"
        )
    return warnings


#: Retrievals by which one account opens many mailboxes (R1.17).
_SERVICE_ACCOUNTS = frozenset({CredentialRetrieval.PROFILE, CredentialRetrieval.WINDOWS_INTEGRATED})


# -- what texts are ------------------------------------------------------------------------------


def _is_pem(text: str) -> bool:
    try:
        ssl.create_default_context(cadata=text)
    except (ssl.SSLError, ValueError):
        return False
    return True


def _is_url(location: str) -> bool:
    return location.lower().startswith(("http://", "https://"))


def _split(url: str) -> SplitResult | None:
    """None for what no address can be, e.g. a port that is no number."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises if it is no port
    except ValueError:
        return None
    return parts


# -- mailboxes -----------------------------------------------------------------------------------


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
