"""Where stored secrets go, and what counts as another place."""

from types import SimpleNamespace

import pytest

from mailboxes.choices import (
    AuthenticationProtocol,
    CredentialRetrieval,
    OAuthGrant,
    ServerAuthority,
    ServerType,
    TlsMode,
)
from mailboxes.places import (
    PROFILE_SECRETS,
    entered_for,
    homes_of,
    is_kept_back,
    place_of_mailbox,
    place_of_secret,
    place_of_site_client,
)
from mailboxes.presets import BY_KEY, preset_of

ADA = "ada@example.com"


def profile(**columns):
    return SimpleNamespace(
        **{
            "server_type": ServerType.IMAP_SMTP,
            "use_auto_discover": False,
            "ca_certificate": "",
            "use_same_settings_for_outgoing_connections": True,
            "incoming_server_location": "imap.example.com",
            "outgoing_server_location": "smtp.example.com",
            "incoming_port_number": None,
            "outgoing_port_number": None,
            "incoming_uses_ssl": True,
            "outgoing_uses_ssl": True,
            "incoming_tls_mode": TlsMode.BY_PORT,
            "outgoing_tls_mode": TlsMode.BY_PORT,
            "incoming_authentication_protocol": AuthenticationProtocol.AUTO_DETECT,
            "outgoing_authentication_protocol": AuthenticationProtocol.AUTO_DETECT,
            "incoming_credential_retrieval": CredentialRetrieval.USER_OR_QUEUE,
            "outgoing_credential_retrieval": CredentialRetrieval.USER_OR_QUEUE,
            "server_authority": ServerAuthority.AUTOMATIC,
            "incoming_user_name": "service@example.com",
            "outgoing_user_name": "service@example.com",
            "aad_resource_id": "",
            "exchange_online_tenant_id": "",
            "use_default_tenant_id": False,
            "oauth_scopes": "",
            "oauth_grant": "",
            "oauth_authorization_endpoint": "",
            "oauth_token_endpoint": "",
            "name": "Example",
            "max_concurrent_connections": 10,
            "dkim_domain": "example.com",
            "dkim_selector": "s1",
        }
        | columns
    )


#: One change, and which of the profile's own secrets it moves.
COMMON = {"incoming_password", "outgoing_password"}
CHANGES = [
    ({"incoming_server_location": "evil.example"}, {"incoming_password"}),
    ({"incoming_port_number": 143}, {"incoming_password"}),
    ({"incoming_uses_ssl": False}, {"incoming_password"}),
    ({"incoming_tls_mode": TlsMode.STARTTLS}, {"incoming_password"}),
    ({"incoming_authentication_protocol": AuthenticationProtocol.BASIC}, COMMON),
    ({"outgoing_server_location": "evil.example"}, COMMON),
    ({"outgoing_port_number": 25}, COMMON),
    ({"outgoing_uses_ssl": False}, COMMON),
    ({"use_same_settings_for_outgoing_connections": False}, {"incoming_password"}),
    ({"server_type": ServerType.POP3_SMTP}, COMMON),
    ({"use_auto_discover": True}, COMMON),
    ({"ca_certificate": "PEM of somebody"}, COMMON),
    ({"oauth_token_endpoint": "https://evil.example/token"}, {"oauth_client_secret"}),
    ({"oauth_authorization_endpoint": "https://evil.example/"}, {"oauth_client_secret"}),
    ({"server_authority": ServerAuthority.CHINA}, {"oauth_client_secret"}),
    ({"name": "Renamed", "max_concurrent_connections": 5}, set()),
    ({"incoming_server_location": " IMAP.Example.com "}, set()),
]


@pytest.mark.rule("R1.9")
@pytest.mark.parametrize(("change", "moved"), CHANGES)
def test_what_a_change_moves_of_the_profiles_own_secrets(change, moved):
    before, after = profile(), profile(**change)

    found = {
        secret
        for secret in PROFILE_SECRETS
        if place_of_secret(before, secret) != place_of_secret(after, secret)
    }
    assert found == moved


@pytest.mark.rule("R1.9")
def test_a_client_that_opens_every_mailbox_belongs_to_the_mail_servers_too():
    """First another server, then tokens that open all: either step alone must be noticed."""
    opens_all = {
        "server_type": ServerType.EXCHANGE_ONLINE,
        "incoming_credential_retrieval": CredentialRetrieval.ENTRA_OAUTH,
    }
    each_owner = opens_all | {"oauth_grant": "mailbox"}
    elsewhere = {"incoming_server_location": "https://evil.example/EWS/Exchange.asmx"}

    def place(**columns):
        return place_of_secret(profile(**columns), "oauth_client_secret")

    assert place(**opens_all) != place(**opens_all | elsewhere)
    assert place(**each_owner) == place(**each_owner | elsewhere)
    assert place(**each_owner | elsewhere) != place(**opens_all | elsewhere)


@pytest.mark.rule("R1.9")
@pytest.mark.parametrize(
    "change", [change for change, _moved in CHANGES[:12] if "use_same" not in "".join(change)]
)
def test_every_change_of_the_way_moves_what_mailboxes_keep(change):
    assert place_of_mailbox(profile(), ADA) != place_of_mailbox(profile(**change), ADA)


@pytest.mark.rule("R1.9")
def test_what_mailboxes_keep_stays_where_only_other_things_change():
    here = place_of_mailbox(profile(), ADA)

    assert here == place_of_mailbox(profile(name="Renamed"), ADA)
    assert here == place_of_mailbox(profile(), "ben@elsewhere.example")
    assert len(here) == 64
    # Without tokens their authority doesn't matter; with them it does.
    endpoint = {"oauth_token_endpoint": "https://id.example/token"}
    assert here == place_of_mailbox(profile(**endpoint), ADA)
    tokens = {"incoming_credential_retrieval": CredentialRetrieval.GMAIL_OAUTH}
    assert place_of_mailbox(profile(**tokens), ADA) not in (
        here,
        place_of_mailbox(profile(**tokens | endpoint), ADA),
    )


@pytest.mark.rule("R1.9")
def test_with_discovery_the_domain_decides_where_a_password_goes():
    found = profile(server_type=ServerType.EXCHANGE_SERVER, use_auto_discover=True)

    here = place_of_mailbox(found, ADA)
    assert here == place_of_mailbox(found, "ben@EXAMPLE.com")
    assert here != place_of_mailbox(found, "ada@evil.example")


@pytest.mark.rule("R1.9")
def test_with_discovery_a_service_accounts_password_stays_with_the_domain_of_its_name():
    """A new name of the account would have it shown to another domain."""
    for discovers in (True, False):
        before = profile(use_auto_discover=discovers)
        same = profile(use_auto_discover=discovers, incoming_user_name="other@example.com")
        after = profile(use_auto_discover=discovers, incoming_user_name="service@evil.example")
        place = place_of_secret(before, "incoming_password")
        assert place == place_of_secret(same, "incoming_password")
        assert (place != place_of_secret(after, "incoming_password")) is discovers


@pytest.mark.rule("R1.22")
@pytest.mark.parametrize(
    ("columns", "homes"),
    [
        ({"incoming_credential_retrieval": CredentialRetrieval.USER_OR_QUEUE}, None),
        ({"incoming_credential_retrieval": CredentialRetrieval.WINDOWS_INTEGRATED}, None),
        ({"incoming_credential_retrieval": CredentialRetrieval.PROFILE}, ("example.com",)),
        (
            {
                "incoming_credential_retrieval": CredentialRetrieval.PROFILE,
                "incoming_user_name": "EXAMPLE\\service",
            },
            (),
        ),
        (
            {"incoming_credential_retrieval": CredentialRetrieval.SERVER_TO_SERVER},
            ("outlook.office365.com",),
        ),
        (
            {
                "incoming_credential_retrieval": CredentialRetrieval.ENTRA_OAUTH,
                "oauth_grant": OAuthGrant.MAILBOX,
            },
            ("outlook.office365.com",),
        ),
        (
            {
                "incoming_credential_retrieval": CredentialRetrieval.EXCHANGE_HYBRID_MODERN,
                "aad_resource_id": "https://mail.example.com/",
            },
            ("mail.example.com",),
        ),
        (
            {
                "incoming_credential_retrieval": CredentialRetrieval.EXCHANGE_HYBRID_MODERN,
                "aad_resource_id": "https://[broken/",
            },
            (),
        ),
        (
            {
                "incoming_credential_retrieval": CredentialRetrieval.ENTRA_OAUTH,
                "oauth_token_endpoint": "https://login.example.com/token",
            },
            (),
        ),
    ],
)
def test_credentials_that_open_other_mailboxes_have_homes(columns, homes):
    found = profile(server_type=ServerType.EXCHANGE_ONLINE, use_auto_discover=True, **columns)
    assert homes_of(found, "incoming") == homes
    assert homes_of(found, "outgoing") == homes  # the same settings (R1.15)


@pytest.mark.rule("R1.9")
def test_a_mailbox_without_a_note_belongs_where_its_profile_sends_it():
    noted = place_of_mailbox(profile(), ADA)
    row = SimpleNamespace(email_address=ADA, secrets_place="")
    elsewhere = profile(incoming_server_location="other.example")

    assert entered_for(row, profile()) == noted
    assert not is_kept_back(row, elsewhere)
    row.secrets_place = noted
    assert is_kept_back(row, elsewhere)
    assert not is_kept_back(row, profile())
    assert place_of_mailbox(None, ADA) != noted


def test_the_sites_own_client_goes_where_a_profile_takes_it():
    own = {"incoming_credential_retrieval": CredentialRetrieval.SERVER_TO_SERVER}

    assert place_of_site_client(profile()) is None
    assert place_of_site_client(profile(**own)) == place_of_site_client(profile(**own, name="x"))
    for change in ({"outgoing_port_number": 26}, {"oauth_token_endpoint": "https://evil.example"}):
        assert place_of_site_client(profile(**own, **change)) != place_of_site_client(
            profile(**own)
        )


@pytest.mark.rule("R1.11")
@pytest.mark.parametrize(
    ("key", "kind", "host", "port"),
    [
        ("gmail-imap", ServerType.IMAP_SMTP, "imap.gmail.com", 993),
        ("gmail-pop3", ServerType.POP3_SMTP, "pop.gmail.com", 995),
    ],
)
def test_gmail_is_a_stored_type_with_hosts_and_ports(key, kind, host, port):
    preset = BY_KEY[key]
    servers = preset.servers

    assert servers["server_type"] == kind
    assert (servers["incoming_server_location"], servers["incoming_port_number"]) == (host, port)
    assert (servers["outgoing_server_location"], servers["outgoing_port_number"]) == (
        "smtp.gmail.com",
        587,
    )
    assert preset.sign_in["incoming_credential_retrieval"] == CredentialRetrieval.GMAIL_OAUTH
    assert preset_of(profile(**servers)) is preset
    assert preset_of(profile(server_type=kind)) is None
