"""PURE  which token authority a profile means, and what to ask it for (R1.20, R1.21).

Presets stand for Google and Microsoft; a profile that names endpoints of its own is taken at its word.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol
from urllib.parse import urlsplit

from mailboxes.choices import CredentialRetrieval, OAuthGrant, ServerAuthority, ServerType


class Issuer(StrEnum):
    GOOGLE = "google"
    MICROSOFT = "microsoft"
    OTHER = "other"


#: Refresh tokens die when nobody uses them for so long, as their providers document.
IDLE_DAYS = {Issuer.GOOGLE: 180, Issuer.MICROSOFT: 90}
#: How many accounts Google lets a client open while its app is being tested (R1.21).
GMAIL_TEST_USERS = 100
GMAIL_WARNING_AT = 90

OAUTH_RETRIEVALS = frozenset(
    {
        CredentialRetrieval.SERVER_TO_SERVER,
        CredentialRetrieval.GMAIL_OAUTH,
        CredentialRetrieval.EXCHANGE_HYBRID_MODERN,
        CredentialRetrieval.ENTRA_OAUTH,
    }
)

#: Whom the token names, so that a sign-in to a wrong account is noticed.
IDENTITY_SCOPES = ("openid", "email")
GOOGLE_SCOPES = ("https://mail.google.com/", *IDENTITY_SCOPES)
GOOGLE_ENDPOINTS = (
    "https://accounts.google.com/o/oauth2/v2/auth",
    "https://oauth2.googleapis.com/token",
    "https://oauth2.googleapis.com/revoke",
)

LOGIN_HOSTS = {
    ServerAuthority.PUBLIC: "login.microsoftonline.com",
    ServerAuthority.US_GOVERNMENT: "login.microsoftonline.us",
    ServerAuthority.CHINA: "login.partner.microsoftonline.cn",
}
OUTLOOK_HOSTS = {
    ServerAuthority.PUBLIC: "outlook.office365.com",
    ServerAuthority.US_GOVERNMENT: "outlook.office365.us",
    ServerAuthority.CHINA: "partner.outlook.cn",
}
#: The clouds by the end of a server's name, for "automatic".
CLOUDS = (
    (".office365.us", ServerAuthority.US_GOVERNMENT),
    (".outlook.cn", ServerAuthority.CHINA),
)
DOD_HOST = "outlook-dod.office365.us"
#: On the public cloud, IMAP, POP and SMTP are asked for under this name and EWS under the other.
PUBLIC_MAIL_HOST = "outlook.office.com"


class ProfileFacts(Protocol):
    server_type: int
    incoming_server_location: str
    outgoing_server_location: str
    server_authority: int
    aad_resource_id: str
    exchange_online_tenant_id: str
    use_default_tenant_id: bool
    oauth_grant: str
    oauth_authorization_endpoint: str
    oauth_token_endpoint: str
    oauth_scopes: str


@dataclass(frozen=True, slots=True)
class Authority:
    """Where to ask, and for what. `extra`: what this one wants besides when an owner signs in.
    `preset`: a public one, whose certificate only the public roots vouch for."""

    issuer: Issuer
    grant: OAuthGrant
    authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    scopes: tuple[str, ...]
    extra: tuple[tuple[str, str], ...] = ()
    preset: bool = False
    missing: tuple[str, ...] = field(default=())
    """Columns of the profile that need a value first."""

    @property
    def scope(self) -> str:
        return " ".join(self.scopes)


def grant_of(retrieval: CredentialRetrieval, chosen: str) -> OAuthGrant:
    """Whose consent tokens stand for. Gmail knows owners only; the others open all mailboxes unless the
    profile says that each owner signs in."""
    if retrieval == CredentialRetrieval.GMAIL_OAUTH:
        return OAuthGrant.MAILBOX
    if retrieval == CredentialRetrieval.SERVER_TO_SERVER or not chosen:
        return OAuthGrant.APPLICATION
    return OAuthGrant(chosen)


def authority_of(
    profile: ProfileFacts, retrieval: CredentialRetrieval, default_tenant: str = ""
) -> Authority:
    """The authority of a profile that takes its credentials this way."""
    grant = grant_of(retrieval, profile.oauth_grant)
    if profile.oauth_token_endpoint or profile.oauth_authorization_endpoint:
        return _own_authority(profile, grant)
    if retrieval == CredentialRetrieval.GMAIL_OAUTH:
        sign_in, token, revoke = GOOGLE_ENDPOINTS
        return Authority(
            issuer=Issuer.GOOGLE,
            grant=grant,
            authorization_endpoint=sign_in,
            token_endpoint=token,
            revocation_endpoint=revoke,
            scopes=_scopes(profile, GOOGLE_SCOPES),
            # Only with these two does Google give out a refresh token each time (its web-server guide).
            extra=(("access_type", "offline"), ("prompt", "consent")),
            preset=True,
        )
    return _microsoft(profile, retrieval, grant, default_tenant)


def _own_authority(profile: ProfileFacts, grant: OAuthGrant) -> Authority:
    needed = {"oauth_token_endpoint": profile.oauth_token_endpoint}
    if grant == OAuthGrant.MAILBOX:
        needed["oauth_authorization_endpoint"] = profile.oauth_authorization_endpoint
    return Authority(
        issuer=Issuer.OTHER,
        grant=grant,
        authorization_endpoint=profile.oauth_authorization_endpoint,
        token_endpoint=profile.oauth_token_endpoint,
        revocation_endpoint="",
        scopes=_scopes(profile, ()),
        missing=tuple(name for name, value in needed.items() if not value),
    )


def _microsoft(
    profile: ProfileFacts,
    retrieval: CredentialRetrieval,
    grant: OAuthGrant,
    default_tenant: str,
) -> Authority:
    tenant = profile.exchange_online_tenant_id.strip()
    if not tenant and profile.use_default_tenant_id:
        tenant = default_tenant
    missing = []
    if not tenant and grant == OAuthGrant.APPLICATION:
        missing.append("exchange_online_tenant_id")
    if retrieval == CredentialRetrieval.EXCHANGE_HYBRID_MODERN and not _resource(profile):
        missing.append("aad_resource_id")
    base = f"https://{LOGIN_HOSTS[cloud_of(profile)]}/{tenant or 'organizations'}/oauth2/v2.0"
    return Authority(
        issuer=Issuer.MICROSOFT,
        grant=grant,
        authorization_endpoint=f"{base}/authorize",
        token_endpoint=f"{base}/token",
        revocation_endpoint="",  # Microsoft has none: consent is withdrawn on the person's own page
        scopes=_scopes(profile, _microsoft_scopes(profile, retrieval, grant)),
        extra=(("prompt", "select_account"),),
        preset=True,
        missing=tuple(missing),
    )


def _microsoft_scopes(
    profile: ProfileFacts, retrieval: CredentialRetrieval, grant: OAuthGrant
) -> tuple[str, ...]:
    host = _outlook_host(profile)
    if retrieval == CredentialRetrieval.EXCHANGE_HYBRID_MODERN:
        # The identifier as it was registered, with its last slash: so two of them may follow each other.
        right = ".default" if grant == OAuthGrant.APPLICATION else "EWS.AccessAsUser.All"
        rights: tuple[str, ...] = (f"{_resource(profile)}/{right}",)
    elif grant == OAuthGrant.APPLICATION:
        rights = (f"https://{host}/.default",)
    else:
        rights = _delegated_rights(ServerType(profile.server_type), host)
    if grant == OAuthGrant.APPLICATION:
        return rights
    return (*rights, "offline_access", *IDENTITY_SCOPES, "profile")


def _delegated_rights(kind: ServerType, host: str) -> tuple[str, ...]:
    if kind.is_exchange:
        return (f"https://{host}/EWS.AccessAsUser.All",)
    mail = PUBLIC_MAIL_HOST if host == OUTLOOK_HOSTS[ServerAuthority.PUBLIC] else host
    reading = "POP" if kind == ServerType.POP3_SMTP else "IMAP"
    # One token for both directions: its audience is the same.
    return (f"https://{mail}/{reading}.AccessAsUser.All", f"https://{mail}/SMTP.Send")


def cloud_of(profile: ProfileFacts) -> ServerAuthority:
    """Which of Microsoft's clouds; "automatic" goes by the names of the servers."""
    chosen = ServerAuthority(profile.server_authority)
    if chosen != ServerAuthority.AUTOMATIC:
        return chosen
    for location in (profile.incoming_server_location, profile.outgoing_server_location):
        for ending, cloud in CLOUDS:
            if f".{_host(location)}".endswith(ending):
                return cloud
    return ServerAuthority.PUBLIC


def _outlook_host(profile: ProfileFacts) -> str:
    if _host(profile.incoming_server_location) == DOD_HOST:
        return DOD_HOST
    return OUTLOOK_HOSTS[cloud_of(profile)]


def _host(location: str) -> str:
    """Of a URL, or of a host that stands alone."""
    location = location.strip().lower()
    return (urlsplit(location).hostname or "") if "://" in location else location


def _resource(profile: ProfileFacts) -> str:
    """The identifier of an Exchange Server at Microsoft's authority: as entered, else its address."""
    if profile.aad_resource_id.strip():
        return profile.aad_resource_id.strip()
    host = _host(profile.incoming_server_location)
    return f"https://{host}/" if host else ""


def _scopes(profile: ProfileFacts, preset: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(profile.oauth_scopes.split()) or preset
