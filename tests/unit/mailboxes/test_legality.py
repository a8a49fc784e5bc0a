"""Which settings are legal together."""

from types import SimpleNamespace

import pytest

from mailboxes.choices import (
    ActDeliveryMethod,
    AuthenticationProtocol,
    CredentialRetrieval,
    IncomingDeliveryMethod,
    OutgoingDeliveryMethod,
    ServerType,
)
from mailboxes.legality import mailbox_faults, profile_faults, profile_warnings

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
            "ca_certificate": "",
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
    ):
        faults = profile_faults(profile(kind, **broken))
        assert "R1.27" in str(faults[next(iter(broken))])


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize("kind", PLAIN)
@pytest.mark.parametrize(
    ("protocol", "legal"),
    [
        (AuthenticationProtocol.AUTO_DETECT, True),
        (AuthenticationProtocol.BASIC, True),
        (AuthenticationProtocol.NEGOTIATE, False),
        (AuthenticationProtocol.NTLM, False),
        (AuthenticationProtocol.OAUTH, False),
    ],
)
def test_mail_servers_log_in_by_basic_or_auto_detect(kind, protocol, legal):
    faults = profile_faults(profile(kind, incoming_authentication_protocol=protocol))

    assert bool(faults) is not legal


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


def test_a_domain_user_name_for_exchange_is_warned_of():
    assert list(profile_warnings(profile(EXCHANGE[0], incoming_user_name="dom\\ada"))) == [
        "incoming_user_name"
    ]
    assert profile_warnings(profile(incoming_user_name="dom\\ada")) == {}


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
