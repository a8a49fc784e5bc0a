"""Which token authority a profile means, and what it is asked for."""

from types import SimpleNamespace

import pytest

from mailboxes.authorities import Issuer, authority_of, cloud_of, grant_of
from mailboxes.choices import CredentialRetrieval, OAuthGrant, ServerAuthority, ServerType

GMAIL = CredentialRetrieval.GMAIL_OAUTH
ENTRA = CredentialRetrieval.ENTRA_OAUTH
HYBRID = CredentialRetrieval.EXCHANGE_HYBRID_MODERN
SITE = CredentialRetrieval.SERVER_TO_SERVER
TENANT = "11111111-2222-3333-4444-555555555555"


def profile(kind=ServerType.IMAP_SMTP, **columns):
    return SimpleNamespace(
        **{
            "server_type": kind,
            "incoming_server_location": "outlook.office365.com",
            "outgoing_server_location": "smtp.office365.com",
            "server_authority": ServerAuthority.AUTOMATIC,
            "aad_resource_id": "",
            "exchange_online_tenant_id": "",
            "use_default_tenant_id": True,
            "oauth_grant": "",
            "oauth_authorization_endpoint": "",
            "oauth_token_endpoint": "",
            "oauth_scopes": "",
        }
        | columns
    )


@pytest.mark.rule("R1.21")
def test_gmail_needs_no_addresses():
    found = authority_of(profile(), GMAIL)
    assert found.issuer is Issuer.GOOGLE
    assert found.grant is OAuthGrant.MAILBOX
    assert found.authorization_endpoint == "https://accounts.google.com/o/oauth2/v2/auth"
    assert found.token_endpoint == "https://oauth2.googleapis.com/token"
    assert found.scopes[0] == "https://mail.google.com/"
    assert dict(found.extra) == {"access_type": "offline", "prompt": "consent"}
    assert not found.missing


@pytest.mark.parametrize(
    ("retrieval", "chosen", "grant"),
    [
        (GMAIL, "", OAuthGrant.MAILBOX),
        (GMAIL, "application", OAuthGrant.MAILBOX),
        (ENTRA, "", OAuthGrant.APPLICATION),
        (ENTRA, "mailbox", OAuthGrant.MAILBOX),
        (HYBRID, "", OAuthGrant.APPLICATION),
        (SITE, "mailbox", OAuthGrant.APPLICATION),
    ],
)
def test_whose_consent_a_token_stands_for(retrieval, chosen, grant):
    assert grant_of(retrieval, chosen) is grant


@pytest.mark.parametrize(
    ("kind", "scopes"),
    [
        (
            ServerType.IMAP_SMTP,
            (
                "https://outlook.office.com/IMAP.AccessAsUser.All",
                "https://outlook.office.com/SMTP.Send",
            ),
        ),
        (
            ServerType.POP3_SMTP,
            (
                "https://outlook.office.com/POP.AccessAsUser.All",
                "https://outlook.office.com/SMTP.Send",
            ),
        ),
        (
            ServerType.EXCHANGE_ONLINE,
            ("https://outlook.office365.com/EWS.AccessAsUser.All",),
        ),
    ],
)
def test_owners_at_microsoft_grant_what_the_protocol_needs(kind, scopes):
    found = authority_of(profile(kind, oauth_grant="mailbox"), ENTRA)
    assert found.scopes[: len(scopes)] == scopes
    assert "offline_access" in found.scopes
    base = "https://login.microsoftonline.com/organizations/oauth2/v2.0"
    assert found.authorization_endpoint == f"{base}/authorize"
    assert found.token_endpoint == f"{base}/token"


@pytest.mark.parametrize("kind", [ServerType.IMAP_SMTP, ServerType.EXCHANGE_ONLINE])
def test_a_client_that_opens_every_mailbox_asks_for_all_that_it_was_granted(kind):
    found = authority_of(profile(kind, exchange_online_tenant_id=TENANT), ENTRA)
    assert found.scopes == ("https://outlook.office365.com/.default",)
    assert TENANT in found.token_endpoint
    assert not found.missing


def test_a_client_that_opens_every_mailbox_belongs_to_a_tenant():
    assert authority_of(profile(), ENTRA).missing == ("exchange_online_tenant_id",)
    assert not authority_of(profile(), SITE, TENANT).missing
    own = profile(use_default_tenant_id=False)
    assert authority_of(own, SITE, TENANT).missing == ("exchange_online_tenant_id",)


@pytest.mark.parametrize(
    ("location", "chosen", "cloud", "login"),
    [
        ("outlook.office365.com", 3, ServerAuthority.PUBLIC, "login.microsoftonline.com"),
        ("outlook.office365.us", 3, ServerAuthority.US_GOVERNMENT, "login.microsoftonline.us"),
        (
            "https://outlook-dod.office365.us/EWS/Exchange.asmx",
            3,
            ServerAuthority.US_GOVERNMENT,
            "login.microsoftonline.us",
        ),
        ("partner.outlook.cn", 3, ServerAuthority.CHINA, "login.partner.microsoftonline.cn"),
        ("evil-outlook.cn", 3, ServerAuthority.PUBLIC, "login.microsoftonline.com"),
        ("mail.example.com", 1, ServerAuthority.US_GOVERNMENT, "login.microsoftonline.us"),
        ("outlook.office365.us", 0, ServerAuthority.PUBLIC, "login.microsoftonline.com"),
    ],
)
def test_the_cloud_follows_the_choice_or_the_name_of_the_server(location, chosen, cloud, login):
    row = profile(
        ServerType.EXCHANGE_ONLINE,
        incoming_server_location=location,
        server_authority=chosen,
        exchange_online_tenant_id=TENANT,
    )
    assert cloud_of(row) is cloud
    assert authority_of(row, ENTRA).token_endpoint.startswith(f"https://{login}/")


def test_each_cloud_has_resources_of_its_own():
    def scope(location):
        row = profile(incoming_server_location=location, exchange_online_tenant_id=TENANT)
        return authority_of(row, ENTRA).scope

    assert scope("outlook.office365.us") == "https://outlook.office365.us/.default"
    assert scope("outlook-dod.office365.us") == "https://outlook-dod.office365.us/.default"
    assert scope("partner.outlook.cn") == "https://partner.outlook.cn/.default"


@pytest.mark.parametrize(
    ("columns", "scope"),
    [
        ({"aad_resource_id": "https://mail.example.com/"}, "https://mail.example.com//.default"),
        ({"aad_resource_id": "https://mail.example.com"}, "https://mail.example.com/.default"),
        ({}, "https://exchange.example.com//.default"),
        (
            {"oauth_grant": "mailbox", "aad_resource_id": "https://mail.example.com"},
            "https://mail.example.com/EWS.AccessAsUser.All offline_access openid email profile",
        ),
    ],
)
def test_a_server_of_ones_own_is_named_as_it_was_registered(columns, scope):
    row = profile(
        ServerType.EXCHANGE_SERVER,
        incoming_server_location="https://exchange.example.com/EWS/Exchange.asmx",
        exchange_online_tenant_id=TENANT,
        **columns,
    )
    assert authority_of(row, HYBRID).scope == scope


def test_without_a_name_a_server_of_ones_own_has_no_tokens():
    row = profile(
        ServerType.EXCHANGE_SERVER,
        incoming_server_location="",
        exchange_online_tenant_id=TENANT,
    )
    assert authority_of(row, HYBRID).missing == ("aad_resource_id",)


def test_endpoints_of_the_profile_come_before_presets():
    row = profile(
        oauth_authorization_endpoint="https://id.example.com/authorize",
        oauth_token_endpoint="https://id.example.com/token",
        oauth_scopes="mail  offline_access",
    )
    found = authority_of(row, GMAIL)
    assert found.issuer is Issuer.OTHER
    assert not found.preset
    assert found.scopes == ("mail", "offline_access")
    assert found.extra == ()


def test_half_an_authority_is_none():
    signing_in = profile(oauth_authorization_endpoint="https://id.example.com/authorize")
    assert authority_of(signing_in, GMAIL).missing == ("oauth_token_endpoint",)
    tokens = profile(oauth_token_endpoint="https://id.example.com/token")
    assert authority_of(tokens, GMAIL).missing == ("oauth_authorization_endpoint",)
    assert not authority_of(tokens, ENTRA).missing
