"""Which settings are legal together."""

from types import SimpleNamespace

import pytest

from mailboxes.choices import (
    ActDeliveryMethod,
    AuthenticationProtocol,
    CredentialRetrieval,
    IncomingDeliveryMethod,
    OutgoingDeliveryMethod,
    ServerAuthority,
    ServerType,
)
from mailboxes.legality import (
    exchange_url,
    mailbox_faults,
    profile_faults,
    profile_warnings,
    protocols_for,
)

EWS = "https://mail.example.com/EWS/Exchange.asmx"
EXCHANGE = [kind for kind in ServerType if kind.is_exchange]
PLAIN = [kind for kind in ServerType if not kind.is_exchange]


def profile(kind=ServerType.IMAP_SMTP, **columns):
    location = EWS if kind.is_exchange else "mail.example.com"
    return SimpleNamespace(
        **{
            "server_type": kind,
            "use_auto_discover": False,
            "incoming_server_location": location,
            "outgoing_server_location": location,
            "incoming_port_number": None,
            "outgoing_port_number": None,
            "incoming_uses_ssl": True,
            "outgoing_uses_ssl": True,
            "incoming_authentication_protocol": AuthenticationProtocol.AUTO_DETECT,
            "outgoing_authentication_protocol": AuthenticationProtocol.AUTO_DETECT,
            "incoming_credential_retrieval": CredentialRetrieval.USER_OR_QUEUE,
            "outgoing_credential_retrieval": CredentialRetrieval.USER_OR_QUEUE,
            "use_same_settings_for_outgoing_connections": True,
            "incoming_user_name": "",
            "outgoing_user_name": "",
            "incoming_use_impersonation": False,
            "outgoing_use_impersonation": False,
            "outgoing_auto_grant_delegate_access": False,
            "is_incoming_password_set": False,
            "is_outgoing_password_set": False,
            "oauth_client_id": "",
            "is_oauth_client_secret_set": False,
            "oauth_scopes": "",
            "exchange_online_tenant_id": "",
            "use_default_tenant_id": True,
            "aad_resource_id": "",
            "server_authority": ServerAuthority.AUTOMATIC,
            "oauth_grant": "",
            "oauth_authorization_endpoint": "",
            "oauth_token_endpoint": "",
            "ca_certificate": "",
            "dkim_sign": False,
            "dkim_domain": "",
            "dkim_selector": "",
            "is_dkim_private_key_set": False,
        }
        | columns
    )


def mailbox(serves="user", **columns):
    return SimpleNamespace(
        **{
            "incoming_email_delivery_method": IncomingDeliveryMethod.SERVER_SIDE_SYNC,
            "outgoing_email_delivery_method": OutgoingDeliveryMethod.NONE,
            "act_delivery_method": ActDeliveryMethod.NONE,
            "process_and_delete_emails": False,
            "is_forward_mailbox": serves == "forward",
            "serves_user": serves == "user",
            "serves_queue": serves == "queue",
        }
        | columns
    )


@pytest.mark.parametrize("kind", ServerType)
def test_a_plain_profile_of_each_kind_is_legal(kind):
    assert profile_faults(profile(kind), allow_plain=False, allow_plain_login=False) == {}


@pytest.mark.rule("R1.21")
def test_both_directions_take_the_tokens_of_one_provider():
    def faults(outgoing):
        return profile_faults(
            profile(
                incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
                outgoing_credential_retrieval=outgoing,
                use_same_settings_for_outgoing_connections=False,
            )
        )

    assert "outgoing_credential_retrieval" in faults(CredentialRetrieval.ENTRA_OAUTH)
    assert not faults(CredentialRetrieval.GMAIL_OAUTH)
    assert not faults(CredentialRetrieval.PROFILE)


@pytest.mark.parametrize("kind", PLAIN)
def test_microsofts_tokens_open_pop3_and_imap_too(kind):
    row = profile(kind, incoming_credential_retrieval=CredentialRetrieval.ENTRA_OAUTH)
    assert "incoming_credential_retrieval" not in profile_faults(row)


@pytest.mark.rule("R1.12")
@pytest.mark.parametrize("field", ["incoming_server_location", "outgoing_server_location"])
@pytest.mark.parametrize("kind", PLAIN)
def test_a_mail_server_profile_takes_no_exchange_address(kind, field):
    faults = profile_faults(profile(kind, **{field: EWS}))

    assert list(faults) == [field]
    assert "R1.12" in str(faults[field])
    assert "second profile" in str(faults[field])


@pytest.mark.rule("R1.12")
@pytest.mark.parametrize("field", ["incoming_server_location", "outgoing_server_location"])
@pytest.mark.parametrize("kind", EXCHANGE)
def test_an_exchange_profile_takes_no_mail_server(kind, field):
    faults = profile_faults(profile(kind, **{field: "smtp.example.com"}))

    assert list(faults) == [field]
    assert "R1.12" in str(faults[field])


@pytest.mark.rule("R1.22")
def test_without_discovery_both_locations_are_needed():
    empty = {"incoming_server_location": "", "outgoing_server_location": ""}
    for kind in ServerType:
        assert set(profile_faults(profile(kind, **empty))) == set(empty)


@pytest.mark.rule("R1.22")
def test_with_discovery_locations_are_ignored_and_only_exchange_has_it():
    free = {"incoming_server_location": "", "outgoing_server_location": ""}
    for kind in EXCHANGE:
        assert profile_faults(profile(kind, use_auto_discover=True, **free)) == {}
        wrong = {"incoming_server_location": "smtp.example.com"}
        assert profile_faults(profile(kind, use_auto_discover=True, **wrong)) == {}
    for kind in PLAIN:
        faults = profile_faults(profile(kind, use_auto_discover=True))
        assert list(faults) == ["use_auto_discover"]


@pytest.mark.rule("R1.26")
def test_a_line_without_tls_needs_the_organizations_word_and_a_password_on_it_a_second_one():
    open_line = profile(incoming_uses_ssl=False)

    refused = profile_faults(open_line, allow_plain=False, allow_plain_login=False)
    assert "R1.26" in str(refused["incoming_uses_ssl"])
    assert profile_faults(open_line, allow_plain=False, allow_plain_login=True)
    assert profile_faults(open_line, allow_plain=True, allow_plain_login=False)
    assert profile_faults(open_line, allow_plain=True, allow_plain_login=True) == {}


@pytest.mark.rule("R1.26")
def test_anonymous_sending_without_tls_needs_the_first_word_only():
    relay = profile(
        outgoing_uses_ssl=False,
        use_same_settings_for_outgoing_connections=False,
        outgoing_credential_retrieval=CredentialRetrieval.ANONYMOUS,
    )

    assert profile_faults(relay, allow_plain=True, allow_plain_login=False) == {}
    assert profile_faults(relay, allow_plain=False, allow_plain_login=False)


@pytest.mark.rule("R1.27")
@pytest.mark.parametrize("kind", EXCHANGE)
def test_exchange_is_reached_by_tls_only(kind):
    for broken in (
        {"incoming_uses_ssl": False},
        {"outgoing_uses_ssl": False},
        {"incoming_server_location": EWS.replace("https", "http")},
        {"use_auto_discover": True, "incoming_uses_ssl": False},
    ):
        faults = profile_faults(profile(kind, **broken), allow_plain=True, allow_plain_login=False)
        assert "R1.27" in str(faults[list(broken)[-1]])


@pytest.mark.rule("R1.26", "R1.27")
@pytest.mark.parametrize("kind", EXCHANGE)
def test_exchange_without_tls_needs_both_words_of_the_organization_and_a_plain_address(kind):
    plain = EWS.replace("https", "http")
    open_line = {"incoming_server_location": plain, "incoming_uses_ssl": False}

    assert profile_faults(profile(kind, **open_line)) == {}
    for one in ({"allow_plain": False}, {"allow_plain_login": False}):
        assert set(profile_faults(profile(kind, **open_line), **one)) == set(open_line)
    assert list(profile_faults(profile(kind, incoming_uses_ssl=False))) == ["incoming_uses_ssl"]
    assert list(profile_faults(profile(kind, incoming_server_location=plain))) == [
        "incoming_server_location"
    ]


@pytest.mark.parametrize(
    ("entered", "meant"),
    [
        ("mail.example.com", EWS),
        (" mail.example.com ", EWS),
        ("https://mail.example.com", EWS),
        ("https://mail.example.com/", EWS),
        ("mail.example.com:8443", "https://mail.example.com:8443/EWS/Exchange.asmx"),
        ("mail.example.com/own/path.asmx", "https://mail.example.com/own/path.asmx"),
        ("http://127.0.0.1:8081", "http://127.0.0.1:8081/EWS/Exchange.asmx"),
        (EWS, EWS),
        ("", ""),
        ("smtp.example.com", "smtp.example.com"),
        ("IMAP.example.com", "IMAP.example.com"),
        ("ftp://mail.example.com", "ftp://mail.example.com"),
        ("mail.example.com:port", "mail.example.com:port"),
        ("https://", "https://"),
    ],
)
def test_a_host_becomes_the_address_of_its_web_service(entered, meant):
    assert exchange_url(entered) == meant


@pytest.mark.parametrize(
    "location", ["https://", "https:///EWS", "https://h:port/", "https://ada:secret@h/EWS"]
)
def test_an_exchange_address_is_complete_and_holds_no_password(location):
    faults = profile_faults(profile(EXCHANGE[0], outgoing_server_location=location))

    assert list(faults) == ["outgoing_server_location"]


AUTO, NEGOTIATE, NTLM, BASIC, OAUTH = AuthenticationProtocol
RETRIEVAL = CredentialRetrieval
PROTOCOLS = [
    (PLAIN, RETRIEVAL.USER_OR_QUEUE, {AUTO, BASIC}),
    (PLAIN, RETRIEVAL.PROFILE, {AUTO, BASIC}),
    (PLAIN, RETRIEVAL.GMAIL_OAUTH, {AUTO, OAUTH}),
    (EXCHANGE, RETRIEVAL.USER_OR_QUEUE, {AUTO, NEGOTIATE, NTLM, BASIC}),
    (EXCHANGE, RETRIEVAL.PROFILE, {AUTO, NEGOTIATE, NTLM, BASIC}),
    (EXCHANGE[:1], RETRIEVAL.WINDOWS_INTEGRATED, {AUTO, NEGOTIATE}),
    (EXCHANGE[:2], RETRIEVAL.EXCHANGE_HYBRID_MODERN, {AUTO, OAUTH}),
    (EXCHANGE[2:], RETRIEVAL.SERVER_TO_SERVER, {AUTO, OAUTH}),
    (EXCHANGE[2:], RETRIEVAL.ENTRA_OAUTH, {AUTO, OAUTH}),
]


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize("side", ["incoming", "outgoing"])
@pytest.mark.parametrize(("kinds", "retrieval", "legal"), PROTOCOLS)
def test_each_way_of_authenticating_has_its_protocols(side, kinds, retrieval, legal):
    for kind in kinds:
        assert protocols_for(kind, retrieval) == legal
        for protocol in AuthenticationProtocol:
            columns = {
                "use_same_settings_for_outgoing_connections": False,
                f"{side}_credential_retrieval": retrieval,
                f"{side}_authentication_protocol": protocol,
            }
            faults = profile_faults(profile(kind, **columns))
            wanted = [] if protocol in legal else [f"{side}_authentication_protocol"]
            assert list(faults) == wanted, (kind, protocol)
            assert all("R1.20" in str(words) for words in faults.values())


@pytest.mark.rule("R1.15")
def test_settings_of_outgoing_are_not_judged_while_it_copies_incoming():
    copied = {
        "outgoing_credential_retrieval": CredentialRetrieval.SERVER_TO_SERVER,
        "outgoing_authentication_protocol": AuthenticationProtocol.NTLM,
    }
    assert profile_faults(profile(**copied)) == {}
    own = profile(**copied, use_same_settings_for_outgoing_connections=False)
    assert set(profile_faults(own)) == set(copied)


@pytest.mark.rule("R1.21")
def test_tokens_come_over_tls_from_one_provider():
    both = {
        "incoming_credential_retrieval": CredentialRetrieval.GMAIL_OAUTH,
        "oauth_authorization_endpoint": "https://id.example.com/authorize",
        "oauth_token_endpoint": "https://id.example.com/token",
    }
    assert profile_faults(profile(**both)) == {}
    for name in ("oauth_authorization_endpoint", "oauth_token_endpoint"):
        plain = {name: both[name].replace("https", "http")}
        assert list(profile_faults(profile(**both | plain))) == [name]
        assert list(profile_faults(profile(**both | {name: ""}))) == [name]
        with_password = {name: both[name].replace("://", "://ada:secret@")}
        assert list(profile_faults(profile(**both | with_password))) == [name]


@pytest.mark.rule("R1.21")
def test_nobody_signs_in_where_the_client_opens_every_mailbox():
    only_tokens = {
        "incoming_credential_retrieval": CredentialRetrieval.ENTRA_OAUTH,
        "oauth_token_endpoint": "https://id.example.com/token",
    }
    online = ServerType.EXCHANGE_ONLINE
    assert profile_faults(profile(online, **only_tokens)) == {}
    each_owner = only_tokens | {"oauth_grant": "mailbox"}
    assert list(profile_faults(profile(online, **each_owner))) == ["oauth_authorization_endpoint"]


@pytest.mark.rule("R1.20")
def test_anonymous_is_for_outgoing_mail_only():
    anonymous = CredentialRetrieval.ANONYMOUS
    for kind in ServerType:
        assert profile_faults(profile(kind, incoming_credential_retrieval=anonymous))
    own = {
        "use_same_settings_for_outgoing_connections": False,
        "outgoing_credential_retrieval": anonymous,
    }
    assert profile_faults(profile(**own)) == {}
    assert profile_faults(profile(ServerType.EXCHANGE_SERVER, **own))


def test_what_is_no_certificate_authority_is_refused():
    faults = profile_faults(profile(ca_certificate="not a certificate"))

    assert list(faults) == ["ca_certificate"]


@pytest.mark.rule("R1.25")
def test_port_25_is_legal_with_a_warning():
    relay = profile(outgoing_port_number=25)

    assert profile_faults(relay) == {}
    assert list(profile_warnings(relay)) == ["outgoing_port_number"]
    assert profile_warnings(profile(outgoing_port_number=587)) == {}


@pytest.mark.rule("R1.19")
def test_a_domain_user_name_for_exchange_is_warned_of():
    windows_name = {"incoming_user_name": "dom\\ada"}

    warnings = profile_warnings(profile(EXCHANGE[0], **windows_name))
    assert list(warnings) == ["incoming_user_name"]
    assert "R1.19" in str(warnings["incoming_user_name"])
    assert profile_warnings(profile(**windows_name)) == {}


@pytest.mark.rule("R1.22")
@pytest.mark.parametrize("name", ["EXAMPLE\\ada", "ada"])
def test_discovery_needs_to_know_the_domain_of_the_accounts_name(name):
    found = {
        "use_auto_discover": True,
        "incoming_credential_retrieval": CredentialRetrieval.PROFILE,
        "is_incoming_password_set": True,
    }

    def warnings(**columns):
        return profile_warnings(profile(ServerType.EXCHANGE_SERVER, **found | columns))

    assert "R1.22" in str(warnings(incoming_user_name=name)["incoming_user_name"])
    assert "incoming_user_name" not in warnings(incoming_user_name="ada@example.com")
    own = CredentialRetrieval.USER_OR_QUEUE
    said = warnings(incoming_user_name=name, incoming_credential_retrieval=own)
    assert "R1.22" not in str(said.get("incoming_user_name"))


def account_of_the_profile(kind, **columns):
    return profile(
        kind,
        **{
            "incoming_credential_retrieval": CredentialRetrieval.PROFILE,
            "incoming_user_name": "service@example.com",
            "is_incoming_password_set": True,
        }
        | columns,
    )


@pytest.mark.rule("R1.17")
@pytest.mark.parametrize("kind", EXCHANGE)
def test_without_impersonation_a_service_account_is_a_delegate_without_appointments(kind):
    warnings = profile_warnings(account_of_the_profile(kind))
    assert list(warnings) == ["incoming_use_impersonation"]
    assert "appointments" in str(warnings["incoming_use_impersonation"])
    assert profile_warnings(account_of_the_profile(kind, incoming_use_impersonation=True)) == {}

    own_outgoing = {
        "incoming_use_impersonation": True,
        "use_same_settings_for_outgoing_connections": False,
        "outgoing_credential_retrieval": CredentialRetrieval.PROFILE,
        "outgoing_user_name": "service@example.com",
        "is_outgoing_password_set": True,
    }
    warnings = profile_warnings(account_of_the_profile(kind, **own_outgoing))
    assert list(warnings) == ["outgoing_use_impersonation"]


@pytest.mark.rule("R1.17")
def test_nobody_is_impersonated_with_credentials_of_the_mailbox():
    warnings = profile_warnings(profile(EXCHANGE[0], incoming_use_impersonation=True))

    assert list(warnings) == ["incoming_use_impersonation"]


@pytest.mark.rule("R1.18")
def test_granting_delegate_access_by_itself_is_said_to_do_nothing():
    warnings = profile_warnings(profile(EXCHANGE[0], outgoing_auto_grant_delegate_access=True))

    assert list(warnings) == ["outgoing_auto_grant_delegate_access"]


@pytest.mark.parametrize(
    ("kind", "retrieval", "missing"),
    [
        (PLAIN[0], RETRIEVAL.PROFILE, ["incoming_user_name", "incoming_password"]),
        (PLAIN[0], RETRIEVAL.GMAIL_OAUTH, ["oauth_client_id", "oauth_client_secret"]),
        (
            ServerType.EXCHANGE_ONLINE,
            RETRIEVAL.ENTRA_OAUTH,
            ["oauth_client_id", "oauth_client_secret", "exchange_online_tenant_id"],
        ),
        # The site's own client.
        (
            ServerType.EXCHANGE_ONLINE,
            RETRIEVAL.SERVER_TO_SERVER,
            ["exchange_online_tenant_id"],
        ),
    ],
)
def test_what_the_chosen_credentials_need_and_lack_is_named(kind, retrieval, missing):
    lacking = profile(kind, incoming_credential_retrieval=retrieval)

    assert list(profile_warnings(lacking)) == missing
    # A tenant may also be the site's own.
    with_tenant = profile_warnings(lacking, default_tenant="contoso.example")
    assert list(with_tenant) == [name for name in missing if "tenant" not in name]


def test_a_client_of_owners_may_have_no_secret_at_a_provider_of_ones_own():
    own = profile(
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
        oauth_client_id="client",
        oauth_authorization_endpoint="https://id.example.com/authorize",
        oauth_token_endpoint="https://id.example.com/token",
    )
    assert profile_warnings(own) == {}


@pytest.mark.rule("R1.21")
@pytest.mark.parametrize(("mailboxes", "warned"), [(89, False), (90, True), (101, True)])
def test_ninety_mailboxes_of_one_gmail_client_are_warned_of_and_nothing_is_refused(
    mailboxes, warned
):
    gmail = profile(
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
        oauth_client_id="client",
        is_oauth_client_secret_set=True,
    )

    assert bool(profile_warnings(gmail, mailboxes=mailboxes)) is warned
    assert profile_faults(gmail) == {}
    assert profile_warnings(profile(), mailboxes=mailboxes) == {}


# Section 1.6: kind, server, legal values per workload.
TABLE = [
    ("user", EXCHANGE, {0, 1, 2, 3}, {0, 1, 2}, {0, 1, 2}),
    ("user", PLAIN, {0, 1, 2, 3}, {0, 1, 2}, {0, 2}),
    ("queue", EXCHANGE, {0, 2, 3}, {0, 2}, {2}),
    ("queue", PLAIN, {0, 2, 3}, {0, 2}, {2}),
    ("forward", EXCHANGE, {0, 2}, {0}, {2}),
    ("forward", PLAIN, {0, 2}, {0}, {2}),
]


@pytest.mark.rule("R1.34")
@pytest.mark.parametrize(("serves", "kinds", "incoming", "outgoing", "act"), TABLE)
def test_the_table_of_delivery_methods(serves, kinds, incoming, outgoing, act):
    """The Outlook client (1, for ACT 0) is kept for imports on users' mailboxes."""
    columns = {
        "incoming_email_delivery_method": (IncomingDeliveryMethod, incoming),
        "outgoing_email_delivery_method": (OutgoingDeliveryMethod, outgoing),
        "act_delivery_method": (ActDeliveryMethod, act),
    }
    for kind in kinds:
        for column, (options, legal) in columns.items():
            for value in options:
                faults = mailbox_faults(mailbox(serves, **{column: value}), kind)
                assert (list(faults) == [column]) is (value not in legal), (column, value)
                assert all("R1.34" in str(text) for text in faults.values())


@pytest.mark.rule("R1.34")
def test_appointments_need_a_user_also_while_there_is_no_profile():
    wants = {"act_delivery_method": ActDeliveryMethod.SERVER_SIDE_SYNC}

    assert mailbox_faults(mailbox("queue", **wants), None)
    assert mailbox_faults(mailbox("user", **wants), None) == {}


@pytest.mark.rule("R1.37")
@pytest.mark.parametrize(("serves", "legal"), [("user", False), ("queue", True), ("forward", True)])
def test_only_queues_and_forward_mailboxes_delete_after_processing(serves, legal):
    faults = mailbox_faults(mailbox(serves, process_and_delete_emails=True), None)

    assert (faults == {}) is legal
    assert legal or "R1.37" in str(faults["process_and_delete_emails"])


@pytest.mark.rule("R1.2")
def test_a_forward_mailbox_serves_nobody():
    faults = mailbox_faults(mailbox("user", is_forward_mailbox=True), None)

    assert "R1.2" in str(faults["is_forward_mailbox"])


@pytest.mark.parametrize(
    ("domains", "others"),
    [
        ({"mail.example.com", "a.mail.example.com", "example.com", ""}, []),
        (
            {"example.net", "notmail.example.com", "example.com"},
            ["example.net", "notmail.example.com"],
        ),
        ({"bücher.example"}, ["xn--bcher-kva.example"]),
    ],
)
def test_domains_that_a_signature_does_not_count_for_are_warned_of(domains, others):
    signing = profile(dkim_sign=True, dkim_domain="Mail.Example.com")

    found = str(profile_warnings(signing, domains=domains).get("dkim_domain", ""))

    assert [one for one in others if one in found] == others
    assert bool(found) is bool(others)
