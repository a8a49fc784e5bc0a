"""Mailbox row -> connection settings -> adapter: the only place that decides which class.

Reads rows and opens nothing. What is missing is raised as the same permanent errors that a server's
refusal would be, so that callers have one path for both.
"""

from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail.utils import DNS_NAME
from django.utils import timezone
from django.utils.translation import gettext as _

from mailboxes import signin
from mailboxes.authorities import grant_of
from mailboxes.choices import (
    AuthenticationProtocol,
    CredentialRetrieval,
    OAuthGrant,
    ServerType,
    StateCode,
    TlsMode,
)
from mailboxes.endpoints import found_for, keeper
from mailboxes.models import EmailServerProfile, Mailbox, Organization
from mailboxes.places import homes_of, is_kept_back
from mailboxes.protocols.base import (
    INBOX,
    AdapterOptions,
    Authentication,
    Bearer,
    ConnectionSettings,
    Credentials,
    IncomingServer,
    OutgoingServer,
    Security,
)
from mailboxes.protocols.errors import LoginRefused, PermanentError
from mailboxes.protocols.ews.incoming import ExchangeServer
from mailboxes.protocols.ews.items.adapter import ExchangeItems
from mailboxes.protocols.ews.outgoing import ExchangeSender
from mailboxes.protocols.ews.settings import Access, ExchangeSettings
from mailboxes.protocols.ews.streaming import ExchangeStream
from mailboxes.protocols.imap import ImapServer
from mailboxes.protocols.imap.idle import ImapIdle
from mailboxes.protocols.items import ItemsServer
from mailboxes.protocols.phases import Watcher
from mailboxes.protocols.pop3 import Pop3Server
from mailboxes.protocols.smtp import SmtpServer
from mailboxes.protocols.watching import PushServer
from mailboxes.redirect import guarded, guarded_items
from mailboxes.secrets import SecretUnreadable

INCOMING_ADAPTERS: dict[ServerType, type[Pop3Server] | type[ImapServer]] = {
    ServerType.POP3_SMTP: Pop3Server,
    ServerType.IMAP_SMTP: ImapServer,
}

#: Empty ports, with TLS and without (R1.25).
DEFAULT_PORTS = {
    ServerType.POP3_SMTP: (995, 110),
    ServerType.IMAP_SMTP: (993, 143),
}
SMTP_PORTS = (587, 587)
IMPLICIT_TLS_PORTS = frozenset({465, 993, 995})

WAYS = {
    AuthenticationProtocol.AUTO_DETECT: Authentication.AUTO,
    AuthenticationProtocol.NEGOTIATE: Authentication.NEGOTIATE,
    AuthenticationProtocol.NTLM: Authentication.NTLM,
    AuthenticationProtocol.BASIC: Authentication.BASIC,
    AuthenticationProtocol.OAUTH: Authentication.OAUTH,
}

PUSH_TIMEOUT_SECONDS = 30.0  # whoever doesn't answer sooner is polled: others wait for their turn
LONGEST_TIMEOUT_SECONDS = 200.0  # with "time out" switched off: still below the job's own limit


class Direction(StrEnum):
    INCOMING = "incoming"
    OUTGOING = "outgoing"


class ProfileUnusable(PermanentError):
    """The mailbox has no profile, or an inactive one (R1.32, R1.40)."""

    def __init__(self, direction: Direction, detail: str) -> None:
        super().__init__(detail)
        self.code = (
            "InvalidIncomingEmailServerProfile"
            if direction == Direction.INCOMING
            else "InvalidOutgoingEmailServerProfile"
        )


class CredentialsMissing(LoginRefused):
    """Nothing to log in with; `missing` names the columns that need a value (R1.16)."""

    def __init__(self, missing: tuple[str, ...], detail: str) -> None:
        super().__init__(detail)
        self.missing = missing


class CredentialsUnreadable(PermanentError):
    """No configured key decrypts the stored password."""

    code = "SecretUnreadable"


class SecretsKeptBack(PermanentError):
    """The mailbox's password or tokens were entered for another place than this profile's (R1.9)."""

    code = "SecretsKeptBack"

    def __init__(self) -> None:
        super().__init__(_("The servers of the profile changed since it was entered."))


class AddressMissing(PermanentError):
    """A mailbox without an address (R2.1)."""

    code = "EmailAddressMissing"


class NotSupported(PermanentError):
    """A server type or a way of authenticating that no adapter speaks yet."""

    code = "NotSupported"


def incoming_server(
    mailbox: Mailbox, organization: Organization, watcher: Watcher | None = None
) -> IncomingServer:
    """The adapter that reads this mailbox, not yet connected. Raises PermanentError."""
    profile = _profile_of(mailbox, Direction.INCOMING)
    options = AdapterOptions(watcher=watcher)
    if profile.kind.is_exchange:
        return ExchangeServer(
            exchange_settings_for(mailbox, organization, Direction.INCOMING), options
        )
    adapter = INCOMING_ADAPTERS[profile.kind]
    return adapter(settings_for(mailbox, organization, Direction.INCOMING), options)


def outgoing_server(
    mailbox: Mailbox, organization: Organization, watcher: Watcher | None = None
) -> OutgoingServer:
    """The adapter that sends for this mailbox, not yet connected. Raises PermanentError."""
    profile = _profile_of(mailbox, Direction.OUTGOING)
    options = AdapterOptions(
        watcher=watcher,
        save_sent_copy=organization.sss_save_outgoing_email_to_exchange_sent_folder,
    )
    if profile.kind.is_exchange:
        exchange = exchange_settings_for(mailbox, organization, Direction.OUTGOING)
        return guarded(ExchangeSender(exchange, options))
    return guarded(SmtpServer(settings_for(mailbox, organization, Direction.OUTGOING), options))


def items_server(
    mailbox: Mailbox, organization: Organization, watcher: Watcher | None = None
) -> ItemsServer:
    """The adapter of this mailbox's calendar, contacts and tasks, not yet connected. They are where its mail
    comes in. Raises PermanentError."""
    profile = _profile_of(mailbox, Direction.INCOMING)
    if not profile.kind.is_exchange:
        raise NotSupported(str(profile.kind.label))
    settings = exchange_settings_for(mailbox, organization, Direction.INCOMING)
    return guarded_items(ExchangeItems(settings, AdapterOptions(watcher=watcher)))


def push_server(
    mailbox: Mailbox, organization: Organization, folders: Sequence[str] = (INBOX,)
) -> PushServer:
    """The adapter that is told when something happens in these folders, not yet connected. Raises
    PermanentError."""
    profile = _profile_of(mailbox, Direction.INCOMING)
    seconds = min(timeout_of(profile), PUSH_TIMEOUT_SECONDS)
    if profile.kind.is_exchange:
        exchange = exchange_settings_for(mailbox, organization, Direction.INCOMING)
        return ExchangeStream(replace(exchange, timeout_seconds=seconds), folders)
    if profile.kind != ServerType.IMAP_SMTP:
        raise NotSupported(str(profile.kind.label))
    terms = settings_for(mailbox, organization, Direction.INCOMING)
    return ImapIdle(replace(terms, timeout_seconds=seconds))


def settings_for(
    mailbox: Mailbox, organization: Organization, direction: Direction
) -> ConnectionSettings:
    """All that the adapter needs to know of the three rows and the site."""
    profile = _profile_of(mailbox, direction)
    incoming = direction == Direction.INCOMING
    location = (
        profile.incoming_server_location if incoming else profile.outgoing_server_location
    ).strip()
    port = port_of(profile, direction)
    return ConnectionSettings(
        host=location,
        port=port,
        security=security_of(profile, direction),
        credentials=_credentials(mailbox, profile, direction),
        timeout_seconds=timeout_of(profile),
        ca_pem=profile.ca_certificate,
        allow_plain=organization.allow_non_ssl_email,
        allow_plain_login=organization.allow_basic_authentication_on_non_secure_channel,
        denied_networks=tuple(settings.MAIL_DENIED_NETWORKS),
        local_hostname=str(DNS_NAME),
    )


def exchange_settings_for(
    mailbox: Mailbox, organization: Organization, direction: Direction
) -> ExchangeSettings:
    """The same for a mailbox on an Exchange server, and what is known of its web service."""
    profile = _profile_of(mailbox, direction)
    if not mailbox.email_address:
        raise AddressMissing(_("An Exchange mailbox is opened by its address."))
    url = web_service_of(profile, direction)
    retrieval = retrieval_of(profile, direction)
    keeps = direction == Direction.INCOMING or _found_alike(profile)
    return ExchangeSettings(
        address=mailbox.email_address,
        access=access_of(profile, direction),
        authentication=WAYS[authentication_of(profile, direction)],
        credentials=(
            None
            if retrieval == CredentialRetrieval.WINDOWS_INTEGRATED
            else _credentials(mailbox, profile, direction)
        ),
        url=url,
        homes=homes_of(profile, direction.value),
        found=found_for(mailbox, url, timezone.now()) if keeps else None,
        remember=keeper(mailbox, profile, url) if keeps else lambda _: None,
        max_connections=profile.max_concurrent_connections,
        timeout_seconds=timeout_of(profile),
        ca_pem=profile.ca_certificate,
        allow_plain=organization.allow_non_ssl_email,
        allow_plain_login=organization.allow_basic_authentication_on_non_secure_channel,
        denied_networks=tuple(settings.MAIL_DENIED_NETWORKS),
        anchored=organization.use_x_anchor_mailbox_in_exchange_request_header,
    )


def web_service_of(profile: EmailServerProfile, direction: Direction) -> str:
    """The location that was entered, with the port if that stands apart; "": it is discovered (R1.22)."""
    if profile.use_auto_discover:
        return ""
    incoming = direction == Direction.INCOMING
    location = profile.incoming_server_location if incoming else profile.outgoing_server_location
    port = profile.incoming_port_number if incoming else profile.outgoing_port_number
    parts = urlsplit(location.strip())
    if port and parts.hostname and ":" not in parts.netloc.rpartition("]")[2]:
        parts = parts._replace(netloc=f"{parts.netloc}:{port}")
    return parts.geturl()


def _found_alike(profile: EmailServerProfile) -> bool:
    """May outgoing use what incoming found? Not on another server, nor where credentials that open other
    mailboxes would go where a mailbox's own were good enough for."""

    def facts(direction: Direction) -> tuple[Any, ...]:
        if url := web_service_of(profile, direction):
            return (url,)
        own = access_of(profile, direction) is Access.OWN
        return (own, homes_of(profile, direction.value))

    return facts(Direction.INCOMING) == facts(Direction.OUTGOING)


def access_of(profile: EmailServerProfile, direction: Direction) -> Access:
    """As whom a mailbox is opened (R1.17). Its own credentials open it as their owner; a client that
    opens every mailbox has no mailbox, so it can only impersonate."""
    retrieval = retrieval_of(profile, direction)
    if retrieval == CredentialRetrieval.USER_OR_QUEUE:
        return Access.OWN
    if signin.uses_oauth(retrieval):
        by_owner = grant_of(retrieval, profile.oauth_grant) == OAuthGrant.MAILBOX
        return Access.OWN if by_owner else Access.IMPERSONATION
    return (
        Access.IMPERSONATION
        if _shared(profile, direction, "use_impersonation")
        else (Access.DELEGATION)
    )


def authentication_of(profile: EmailServerProfile, direction: Direction) -> AuthenticationProtocol:
    """How to log in; outgoing may copy incoming (R1.15)."""
    return AuthenticationProtocol(_shared(profile, direction, "authentication_protocol"))


def _shared(profile: EmailServerProfile, direction: Direction, name: str) -> Any:
    """A column of the direction, or incoming's where outgoing uses the same settings (R1.15)."""
    copied = profile.use_same_settings_for_outgoing_connections
    side = Direction.INCOMING if copied else direction
    return getattr(profile, f"{side.value}_{name}")


def port_of(profile: EmailServerProfile, direction: Direction) -> int:
    incoming = direction == Direction.INCOMING
    chosen = profile.incoming_port_number if incoming else profile.outgoing_port_number
    if chosen:
        return chosen
    with_tls, without = DEFAULT_PORTS.get(profile.kind, (443, 80)) if incoming else SMTP_PORTS
    uses_tls = profile.incoming_uses_ssl if incoming else profile.outgoing_uses_ssl
    return with_tls if uses_tls else without


def security_of(profile: EmailServerProfile, direction: Direction) -> Security:
    """How TLS starts; never a fall-back from TLS to plain text (R1.26)."""
    incoming = direction == Direction.INCOMING
    if not (profile.incoming_uses_ssl if incoming else profile.outgoing_uses_ssl):
        return Security.PLAIN
    mode = TlsMode(profile.incoming_tls_mode if incoming else profile.outgoing_tls_mode)
    if mode == TlsMode.BY_PORT:
        implicit = port_of(profile, direction) in IMPLICIT_TLS_PORTS
        return Security.IMPLICIT_TLS if implicit else Security.STARTTLS
    return Security.IMPLICIT_TLS if mode == TlsMode.IMPLICIT else Security.STARTTLS


def timeout_of(profile: EmailServerProfile) -> float:
    """One request's limit in seconds (R1.29). Switched off or 0: our own limit, so that a worker never
    waits for good."""
    amount = profile.timeout_mailbox_connection_after_amount
    if profile.timeout_mailbox_connection and amount > 0:
        return amount / 1000
    return LONGEST_TIMEOUT_SECONDS


def retrieval_of(profile: EmailServerProfile, direction: Direction) -> CredentialRetrieval:
    """Where user name and password come from; outgoing may copy incoming (R1.15)."""
    if direction == Direction.INCOMING or profile.use_same_settings_for_outgoing_connections:
        return CredentialRetrieval(profile.incoming_credential_retrieval)
    return CredentialRetrieval(profile.outgoing_credential_retrieval)


def account_key(mailbox: Mailbox, profile: EmailServerProfile, direction: Direction) -> str:
    """The authenticated account that a connection counts against (R1.29): the mailbox's own, or the
    profile's, which has a second one if outgoing logs in by settings of its own."""
    retrieval = retrieval_of(profile, direction)
    if retrieval == CredentialRetrieval.USER_OR_QUEUE or signin.uses_oauth(retrieval):
        return f"mailbox:{mailbox.pk}"  # a token opens one account, also if the client holds it
    own_outgoing = (
        direction == Direction.OUTGOING and not profile.use_same_settings_for_outgoing_connections
    )
    return f"profile:{profile.pk}:outgoing" if own_outgoing else f"profile:{profile.pk}"


def connection_cap(
    profile: EmailServerProfile, organization: Organization, direction: Direction
) -> int:
    """Most connections at a time to one account, over all workers (R1.29, R9.6)."""
    if direction == Direction.INCOMING and profile.kind == ServerType.IMAP_SMTP:
        return min(profile.max_concurrent_connections, organization.imap_connections_per_account)
    return profile.max_concurrent_connections


def _profile_of(mailbox: Mailbox, direction: Direction) -> EmailServerProfile:
    profile = mailbox.email_server_profile
    if profile is None:
        raise ProfileUnusable(direction, _("The mailbox has no server profile."))
    if profile.state_code != StateCode.ACTIVE:
        raise ProfileUnusable(
            direction, _("The server profile “%(name)s” is inactive.") % {"name": profile.name}
        )
    return profile


def _credentials(
    mailbox: Mailbox, profile: EmailServerProfile, direction: Direction
) -> Credentials | Bearer | None:
    retrieval = retrieval_of(profile, direction)
    if retrieval == CredentialRetrieval.ANONYMOUS:
        if direction == Direction.INCOMING:
            raise NotSupported(str(retrieval.label))
        return None
    if retrieval == CredentialRetrieval.USER_OR_QUEUE:
        _require_place(mailbox, profile)
        return _own_credentials(mailbox)
    if retrieval == CredentialRetrieval.PROFILE:
        return _profile_credentials(profile, direction)
    if signin.uses_oauth(retrieval):
        return _bearer(mailbox, profile, retrieval)
    raise NotSupported(str(retrieval.label))


def _require_place(mailbox: Mailbox, profile: EmailServerProfile) -> None:
    if is_kept_back(mailbox, profile):
        raise SecretsKeptBack


def _own_credentials(mailbox: Mailbox) -> Credentials:
    needed = {
        "allow_email_connector_to_use_credentials": (
            mailbox.allow_email_connector_to_use_credentials
        ),
        "user_name": mailbox.user_name,
        "password": mailbox.password,
    }
    missing = tuple(name for name, value in needed.items() if not value)
    if missing:
        raise CredentialsMissing(
            missing,
            _("Missing on the mailbox: %(columns)s.") % {"columns": _names(mailbox, missing)},
        )
    try:
        return Credentials(mailbox.user_name, mailbox.password.reveal())
    except SecretUnreadable as error:
        raise CredentialsUnreadable(_names(mailbox, ("password",))) from error


def _profile_credentials(profile: EmailServerProfile, direction: Direction) -> Credentials:
    copied = profile.use_same_settings_for_outgoing_connections
    side = "incoming" if direction == Direction.INCOMING or copied else "outgoing"
    columns = (f"{side}_user_name", f"{side}_password")
    missing = tuple(name for name in columns if not getattr(profile, name))
    if missing:
        raise CredentialsMissing(
            missing,
            _("Missing on the server profile: %(columns)s.")
            % {"columns": _names(profile, missing)},
        )
    try:
        return Credentials(getattr(profile, columns[0]), getattr(profile, columns[1]).reveal())
    except SecretUnreadable as error:
        raise CredentialsUnreadable(_names(profile, columns[1:])) from error


def _bearer(
    mailbox: Mailbox, profile: EmailServerProfile, retrieval: CredentialRetrieval
) -> Bearer:
    if grant_of(retrieval, profile.oauth_grant) == OAuthGrant.MAILBOX:
        _require_place(mailbox, profile)
    try:
        return signin.bearer_for(mailbox, profile, retrieval)
    except SecretUnreadable as error:
        raise CredentialsUnreadable(_names(profile, ("oauth_client_secret",))) from error


def _names(row: Mailbox | EmailServerProfile, columns: tuple[str, ...]) -> str:
    return ", ".join(f"“{row._meta.get_field(name).verbose_name}”" for name in columns)  # type: ignore[union-attr]
