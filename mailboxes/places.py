"""PURE  where stored secrets are sent, so that none goes to another place than it was entered for.

A place is all that decides who gets to see a secret: the servers, ports, lines and protocols of a
profile, its own certificate authority, and the authority that gives out tokens. Whoever may change a
profile could otherwise point it at a server of his own and read everybody's passwords there (R1.9).
"""

import json
from hashlib import sha256
from typing import Any, Protocol
from urllib.parse import urlsplit

from mailboxes.authorities import OAUTH_RETRIEVALS, OUTLOOK_HOSTS, cloud_of, grant_of
from mailboxes.choices import CredentialRetrieval, OAuthGrant

#: What a profile keeps itself. Mailboxes keep password and tokens.
PROFILE_SECRETS = (
    "incoming_password",
    "outgoing_password",
    "oauth_client_secret",
    "dkim_private_key",
)

Place = tuple[Any, ...]


class ProfileFacts(Protocol):
    server_type: int
    use_auto_discover: bool
    ca_certificate: str
    use_same_settings_for_outgoing_connections: bool
    incoming_server_location: str
    outgoing_server_location: str
    incoming_port_number: int | None
    outgoing_port_number: int | None
    incoming_uses_ssl: bool
    outgoing_uses_ssl: bool
    incoming_tls_mode: int
    outgoing_tls_mode: int
    incoming_authentication_protocol: int
    outgoing_authentication_protocol: int
    incoming_credential_retrieval: int
    outgoing_credential_retrieval: int
    server_authority: int
    oauth_grant: str
    oauth_authorization_endpoint: str
    oauth_token_endpoint: str
    incoming_user_name: str
    outgoing_user_name: str
    aad_resource_id: str
    exchange_online_tenant_id: str
    use_default_tenant_id: bool
    oauth_scopes: str
    dkim_domain: str
    dkim_selector: str


class MailboxFacts(Protocol):
    email_address: str
    secrets_place: str


def place_of_secret(profile: ProfileFacts, column: str) -> Place:
    """Where one of the profile's own secrets goes. Compared before and after a change, whether or not the
    secret is in use: one that comes back into use must not find another server there."""
    incoming, outgoing = _side(profile, "incoming"), _side(profile, "outgoing")
    if column == "incoming_password":
        copied = profile.use_same_settings_for_outgoing_connections
        return (incoming, outgoing if copied else None, _found_by(profile, "incoming"))
    if column == "outgoing_password":
        return (outgoing, _found_by(profile, "outgoing"))
    if column == "dkim_private_key":
        # It goes nowhere. What it may be used for is what it was entered for.
        return (profile.dkim_domain.strip().lower(), profile.dkim_selector.strip().lower())
    if column == "oauth_client_secret":
        # Where the client opens every mailbox, its tokens are as good as the secret.
        opens_all = _opens_all(profile)
        servers = (incoming, outgoing, _resource_found(profile)) if opens_all else None
        return (_authority(profile), servers)
    raise LookupError(column)


def place_of_site_client(profile: ProfileFacts) -> Place | None:
    """Where the site's own client goes, or tokens that open every mailbox of its tenant; None if this
    profile doesn't use it."""
    if CredentialRetrieval.SERVER_TO_SERVER not in _retrievals(profile):
        return None
    return (_authority(profile), _side(profile, "incoming"), _side(profile, "outgoing"))


def place_of_mailbox(profile: ProfileFacts | None, address: str) -> str:
    """Where a mailbox's own password and tokens go, as a digest to be kept and compared. With discovery
    the domain of its address decides."""
    if profile is None:
        return _digest(None)
    domain = address.rpartition("@")[2].lower() if profile.use_auto_discover else ""
    return _digest(
        (
            _side(profile, "incoming"),
            _side(profile, "outgoing"),
            *(_retrieval(profile, side) for side in ("incoming", "outgoing")),
            _authority(profile) if _uses_tokens(profile) else None,
            domain,
        )
    )


def entered_for(mailbox: MailboxFacts, profile: ProfileFacts | None) -> str:
    """The place that a mailbox's secrets belong to: the one kept with them, else that of the profile."""
    return mailbox.secrets_place or place_of_mailbox(profile, mailbox.email_address)


def is_kept_back(mailbox: MailboxFacts, profile: ProfileFacts) -> bool:
    """Were the mailbox's own secrets entered for another place than this profile sends them to?"""
    return entered_for(mailbox, profile) != place_of_mailbox(profile, mailbox.email_address)


def homes_of(profile: ProfileFacts, side: str) -> tuple[str, ...] | None:
    """The domains to which credentials of this direction may be shown while the web service is discovered;
    None where the domain of the mailbox's address decides: the mailbox's own, and Kerberos, which gives out
    tickets for servers of its realm only (R1.22)."""
    retrieval = _retrieval(profile, side)
    if retrieval == CredentialRetrieval.PROFILE:
        copied = profile.use_same_settings_for_outgoing_connections
        account = getattr(profile, f"{'incoming' if copied else side}_user_name")
        domain = _domain(account)
        return (domain,) if domain else ()
    if retrieval not in OAUTH_RETRIEVALS:
        return None
    if profile.oauth_token_endpoint or profile.oauth_authorization_endpoint:
        by_owner = grant_of(retrieval, profile.oauth_grant) == OAuthGrant.MAILBOX
        return None if by_owner else ()
    if retrieval == CredentialRetrieval.EXCHANGE_HYBRID_MODERN:
        return _host(profile.aad_resource_id)
    return (OUTLOOK_HOSTS[cloud_of(profile)],)


def _found_by(profile: ProfileFacts, side: str) -> str:
    """The domain that a service account's password is shown to where servers are discovered."""
    return _domain(getattr(profile, f"{side}_user_name")) if profile.use_auto_discover else ""


def _resource_found(profile: ProfileFacts) -> str:
    return profile.aad_resource_id.strip() if profile.use_auto_discover else ""


def _host(url: str) -> tuple[str, ...]:
    try:
        host = urlsplit(url.strip()).hostname
    except ValueError:
        return ()
    return (host,) if host else ()


def _domain(account: str) -> str:
    """Of a mail-style name, "" of others."""
    return account.strip().rpartition("@")[2].lower() if "@" in account else ""


def _side(profile: ProfileFacts, side: str) -> Place:
    copied = profile.use_same_settings_for_outgoing_connections and side == "outgoing"
    discovers = profile.use_auto_discover
    return (
        profile.server_type,
        profile.ca_certificate.strip(),
        discovers,
        "" if discovers else getattr(profile, f"{side}_server_location").strip().lower(),
        getattr(profile, f"{side}_port_number"),
        getattr(profile, f"{side}_uses_ssl"),
        getattr(profile, f"{side}_tls_mode"),
        getattr(profile, f"{'incoming' if copied else side}_authentication_protocol"),
    )


def _authority(profile: ProfileFacts) -> Place:
    """The tenant is left out: whichever it is, the provider is the same."""
    endpoints = (profile.oauth_authorization_endpoint, profile.oauth_token_endpoint)
    # Only authorities of one's own are trusted by the profile's certificate.
    trust = profile.ca_certificate.strip() if any(endpoints) else ""
    return (*(endpoint.strip() for endpoint in endpoints), profile.server_authority, trust)


def _retrieval(profile: ProfileFacts, side: str) -> CredentialRetrieval:
    copied = profile.use_same_settings_for_outgoing_connections and side == "outgoing"
    return CredentialRetrieval(
        getattr(profile, f"{'incoming' if copied else side}_credential_retrieval")
    )


def _retrievals(profile: ProfileFacts) -> set[CredentialRetrieval]:
    return {_retrieval(profile, side) for side in ("incoming", "outgoing")}


def _uses_tokens(profile: ProfileFacts) -> bool:
    return bool(_retrievals(profile) & OAUTH_RETRIEVALS)


def _opens_all(profile: ProfileFacts) -> bool:
    return any(
        grant_of(retrieval, profile.oauth_grant) == OAuthGrant.APPLICATION
        for retrieval in _retrievals(profile) & OAUTH_RETRIEVALS
    )


def _digest(place: Place | None) -> str:
    return sha256(json.dumps(place, ensure_ascii=True).encode()).hexdigest()
