"""Mailbox row -> connection settings -> adapter: the only place that decides which class.

Reads rows and opens nothing. What is missing is raised as the same permanent errors that a server's
refusal would be, so that callers have one path for both.
"""

from enum import StrEnum

from django.conf import settings
from django.core.mail.utils import DNS_NAME
from django.utils.translation import gettext as _

from mailboxes import signin
from mailboxes.authorities import grant_of
from mailboxes.choices import CredentialRetrieval, OAuthGrant, ServerType, StateCode, TlsMode
from mailboxes.models import EmailServerProfile, Mailbox, Organization
from mailboxes.places import is_kept_back
from mailboxes.protocols.base import (
    AdapterOptions,
    Bearer,
    ConnectionSettings,
    Credentials,
    IncomingServer,
    OutgoingServer,
    Security,
)
from mailboxes.protocols.errors import LoginRefused, PermanentError
from mailboxes.protocols.imap import ImapServer
from mailboxes.protocols.phases import Watcher
from mailboxes.protocols.pop3 import Pop3Server
from mailboxes.protocols.smtp import SmtpServer
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
    """The mailbox's password or tokens were entered for another place than this profile's (R1.9a)."""

    code = "SecretsKeptBack"

    def __init__(self) -> None:
        super().__init__(_("The servers of the profile changed since it was entered."))


class NotSupported(PermanentError):
    """A server type or a way of authenticating that no adapter speaks yet."""

    code = "NotSupported"


def incoming_server(
    mailbox: Mailbox, organization: Organization, watcher: Watcher | None = None
) -> IncomingServer:
    """The adapter that reads this mailbox, not yet connected. Raises PermanentError."""
    profile = _profile_of(mailbox, Direction.INCOMING)
    adapter = INCOMING_ADAPTERS.get(profile.kind)
    if adapter is None:
        raise NotSupported(str(profile.kind.label))
    connection = settings_for(mailbox, organization, Direction.INCOMING)
    return adapter(connection, AdapterOptions(watcher=watcher))


def outgoing_server(
    mailbox: Mailbox, organization: Organization, watcher: Watcher | None = None
) -> OutgoingServer:
    """The adapter that sends for this mailbox, not yet connected. Raises PermanentError."""
    profile = _profile_of(mailbox, Direction.OUTGOING)
    if profile.kind.is_exchange:
        raise NotSupported(str(profile.kind.label))
    connection = settings_for(mailbox, organization, Direction.OUTGOING)
    return SmtpServer(connection, AdapterOptions(watcher=watcher))


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
