"""Which adapter a mailbox gets, and with which settings."""

from datetime import timedelta

import pytest

from mailboxes.choices import CredentialRetrieval, ServerType, StateCode, TlsMode
from mailboxes.conditions import TABLE, Nature, nature_of
from mailboxes.connect import (
    LONGEST_TIMEOUT_SECONDS,
    CredentialsMissing,
    Direction,
    ProfileUnusable,
    account_key,
    connection_cap,
    incoming_server,
    outgoing_server,
    settings_for,
)
from mailboxes.models import Mailbox
from mailboxes.protocols.base import Credentials, Security
from mailboxes.protocols.errors import InsecureConnection, PermanentError
from mailboxes.protocols.ews.incoming import ExchangeServer
from mailboxes.protocols.ews.outgoing import ExchangeSender
from mailboxes.protocols.imap import ImapServer
from mailboxes.protocols.pop3 import Pop3Server
from mailboxes.protocols.smtp import SmtpServer
from mailboxes.secrets import Secret
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    QueueFactory,
    SystemUserFactory,
    organization,
    ready_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

IN, OUT = Direction.INCOMING, Direction.OUTGOING


def mailbox_on(**profile):
    return ready_mailbox(email_server_profile=EmailServerProfileFactory(**profile))


@pytest.mark.rule("R1.10")
@pytest.mark.parametrize(
    ("number", "name", "incoming", "outgoing"),
    [
        (0, "EXCHANGE_SERVER", ExchangeServer, ExchangeSender),
        (1, "POP3_SMTP", Pop3Server, SmtpServer),
        (2, "EXCHANGE_HYBRID", ExchangeServer, ExchangeSender),
        (3, "EXCHANGE_ONLINE", ExchangeServer, ExchangeSender),
        (4, "IMAP_SMTP", ImapServer, SmtpServer),
    ],
)
def test_the_server_type_decides_the_protocol_of_both_directions(number, name, incoming, outgoing):
    assert ServerType(number).name == name
    mailbox = mailbox_on(server_type=number)
    site = organization()

    assert isinstance(incoming_server(mailbox, site), incoming)
    assert isinstance(outgoing_server(mailbox, site), outgoing)


@pytest.mark.rule("R1.32")
def test_an_inactive_or_missing_profile_is_reported_per_direction():
    inactive = mailbox_on(state_code=StateCode.INACTIVE)
    missing = SystemUserFactory().default_mailbox
    site = organization()

    for mailbox in (inactive, missing):
        with pytest.raises(ProfileUnusable) as incoming:
            incoming_server(mailbox, site)
        with pytest.raises(ProfileUnusable) as outgoing:
            outgoing_server(mailbox, site)
        assert incoming.value.code == "InvalidIncomingEmailServerProfile"
        assert outgoing.value.code == "InvalidOutgoingEmailServerProfile"
        assert incoming.value.permanent


# -- credentials


@pytest.mark.rule("R1.15")
def test_each_direction_has_settings_of_its_own():
    mailbox = mailbox_on(
        own_credentials=True,
        use_same_settings_for_outgoing_connections=False,
        incoming_server_location="imap.example.com",
        incoming_port_number=1993,
        incoming_tls_mode=TlsMode.IMPLICIT,
        outgoing_server_location="smtp.example.com",
        outgoing_port_number=2587,
        outgoing_uses_ssl=True,
        outgoing_credential_retrieval=CredentialRetrieval.PROFILE,
        outgoing_user_name="sender",
        outgoing_password="outgoing-secret",
    )
    site = organization()

    incoming, outgoing = settings_for(mailbox, site, IN), settings_for(mailbox, site, OUT)

    assert (incoming.host, incoming.port) == ("imap.example.com", 1993)
    assert incoming.security == Security.IMPLICIT_TLS
    assert incoming.credentials == Credentials("shared", "profile-secret")
    assert (outgoing.host, outgoing.port) == ("smtp.example.com", 2587)
    assert outgoing.security == Security.STARTTLS
    assert outgoing.credentials == Credentials("sender", "outgoing-secret")


@pytest.mark.rule("R1.15")
def test_the_same_settings_copy_the_way_to_log_in_to_outgoing():
    mailbox = mailbox_on(
        own_credentials=True,
        outgoing_credential_retrieval=CredentialRetrieval.ANONYMOUS,
        outgoing_user_name="left over",
        outgoing_password="left-over",
    )

    outgoing = settings_for(mailbox, organization(), OUT)

    assert mailbox.email_server_profile.use_same_settings_for_outgoing_connections
    assert outgoing.credentials == Credentials("shared", "profile-secret")


@pytest.mark.rule("R1.16")
@pytest.mark.parametrize(
    "column", ["allow_email_connector_to_use_credentials", "user_name", "password"]
)
@pytest.mark.parametrize("build", [incoming_server, outgoing_server])
def test_missing_credentials_of_a_user_are_a_permanent_error_of_the_mailbox(column, build):
    mailbox = mailbox_on()
    empty = False if column.startswith("allow") else ""
    Mailbox.objects.filter(pk=mailbox.pk).update(**{column: empty})
    mailbox.refresh_from_db()

    with pytest.raises(CredentialsMissing) as refused:
        build(mailbox, organization())

    assert refused.value.missing == (column,)
    assert refused.value.code == "InvalidCredentials"
    assert TABLE[refused.value.code].level == "mailbox"
    assert nature_of(refused.value) == Nature.PERMANENT
    assert str(Mailbox._meta.get_field(column).verbose_name) in str(refused.value)


@pytest.mark.rule("R1.16")
def test_credentials_of_queues_come_from_their_mailbox():
    mailbox = ready_mailbox(QueueFactory(), user_name="support", password="queue-secret")

    settings = settings_for(mailbox, organization(), IN)

    assert settings.credentials == Credentials("support", "queue-secret")


def test_missing_credentials_of_a_profile_are_named():
    mailbox = mailbox_on(own_credentials=True, incoming_password="")

    with pytest.raises(CredentialsMissing) as refused:
        incoming_server(mailbox, organization())

    assert refused.value.missing == ("incoming_password",)


def test_a_password_that_no_key_opens_is_named_without_its_value():
    mailbox = mailbox_on()
    Mailbox.objects.filter(pk=mailbox.pk).update(password=Secret("gAAAAA-of-another-site"))
    mailbox.refresh_from_db()

    with pytest.raises(PermanentError) as refused:
        incoming_server(mailbox, organization())

    assert refused.value.code == "SecretUnreadable"
    assert "gAAAAA" not in str(refused.value)


@pytest.mark.rule("R1.20")
def test_smtp_may_be_anonymous():
    mailbox = mailbox_on(
        use_same_settings_for_outgoing_connections=False,
        outgoing_credential_retrieval=CredentialRetrieval.ANONYMOUS,
    )

    assert settings_for(mailbox, organization(), OUT).credentials is None
    assert settings_for(mailbox, organization(), IN).credentials is not None


@pytest.mark.rule("R1.9")
def test_no_part_of_the_settings_shows_a_password():
    settings = settings_for(mailbox_on(), organization(), IN)

    assert settings.credentials.password == "mailbox-secret"
    assert "mailbox-secret" not in repr(settings)


# -- ports and TLS


@pytest.mark.rule("R1.25")
@pytest.mark.parametrize(
    ("kind", "incoming"), [(ServerType.IMAP_SMTP, 993), (ServerType.POP3_SMTP, 995)]
)
def test_default_ports_begin_with_tls_or_upgrade(kind, incoming):
    mailbox, site = mailbox_on(server_type=kind), organization()

    reading, sending = settings_for(mailbox, site, IN), settings_for(mailbox, site, OUT)

    assert (reading.port, reading.security) == (incoming, Security.IMPLICIT_TLS)
    assert (sending.port, sending.security) == (587, Security.STARTTLS)


@pytest.mark.rule("R1.25")
@pytest.mark.parametrize(
    ("port", "mode", "expected"),
    [
        (465, TlsMode.BY_PORT, Security.IMPLICIT_TLS),
        (587, TlsMode.BY_PORT, Security.STARTTLS),
        (25, TlsMode.BY_PORT, Security.STARTTLS),
        (2525, TlsMode.IMPLICIT, Security.IMPLICIT_TLS),
        (465, TlsMode.STARTTLS, Security.STARTTLS),
    ],
)
def test_how_tls_starts_goes_by_port_unless_it_is_said(port, mode, expected):
    mailbox = mailbox_on(outgoing_port_number=port, outgoing_tls_mode=mode)

    assert settings_for(mailbox, organization(), OUT).security == expected


@pytest.mark.rule("R1.25")
@pytest.mark.parametrize(
    ("port", "legal"), [(0, False), (1, True), (65_535, True), (65_536, False), (-1, False)]
)
def test_ports_lie_between_1_and_65535(port, legal):
    for direction in ("incoming", "outgoing"):
        profile = EmailServerProfileFactory(**{f"{direction}_port_number": port})
        if legal:
            profile.full_clean()
        else:
            with pytest.raises(Exception, match=f"{direction}_port_number"):
                profile.full_clean()


@pytest.mark.rule("R1.26")
@pytest.mark.parametrize(
    ("plain", "login", "refused"),
    [(False, False, True), (False, True, True), (True, False, True), (True, True, False)],
)
def test_no_line_without_tls_and_no_password_on_it_unless_both_are_allowed(plain, login, refused):
    """The adapter refuses before it resolves a name; allowed, it fails at the name that isn't there."""
    mailbox = mailbox_on(
        incoming_uses_ssl=False, incoming_server_location="mail.invalid", server_type=1
    )
    site = organization(
        allow_non_ssl_email=plain, allow_basic_authentication_on_non_secure_channel=login
    )

    settings = settings_for(mailbox, site, IN)
    assert settings.security == Security.PLAIN
    with pytest.raises(Exception) as failed:
        incoming_server(mailbox, site).open()
    assert isinstance(failed.value, InsecureConnection) is refused


def test_denied_networks_and_the_own_authority_reach_the_adapter(settings):
    settings.MAIL_DENIED_NETWORKS = ["10.0.0.0/8"]
    mailbox = mailbox_on(ca_certificate="-----BEGIN CERTIFICATE-----")

    built = settings_for(mailbox, organization(), IN)

    assert built.denied_networks == ("10.0.0.0/8",)
    assert built.ca_pem == "-----BEGIN CERTIFICATE-----"


# -- limits


@pytest.mark.rule("R1.29")
@pytest.mark.parametrize(
    ("switch", "amount", "seconds"),
    [
        (True, 100_000, 100.0),
        (True, 1_500, 1.5),
        (True, 0, LONGEST_TIMEOUT_SECONDS),
        (False, 1_500, LONGEST_TIMEOUT_SECONDS),
    ],
)
def test_the_time_out_of_the_profile_is_each_requests_limit(switch, amount, seconds):
    mailbox = mailbox_on(
        timeout_mailbox_connection=switch, timeout_mailbox_connection_after_amount=amount
    )

    assert settings_for(mailbox, organization(), IN).timeout_seconds == seconds


@pytest.mark.rule("R1.29")
def test_ranges_and_defaults_of_the_limits():
    profile = EmailServerProfileFactory()

    assert profile.max_concurrent_connections == 10
    assert profile.min_polling_interval_in_minutes == 0
    assert profile.timeout_mailbox_connection
    assert profile.timeout_mailbox_connection_after_amount == 100_000
    assert not profile.move_undelivered_emails
    assert not profile.send_email_alert
    assert abs(profile.process_emails_received_after - profile.created_on) < timedelta(minutes=1)
    ranges = {
        "max_concurrent_connections": (1, 300),
        "min_polling_interval_in_minutes": (0, 1_440),
        "timeout_mailbox_connection_after_amount": (0, 100_000),
    }
    for column, (low, high) in ranges.items():
        for value, legal in ((low - 1, False), (low, True), (high, True), (high + 1, False)):
            setattr(profile, column, value)
            if legal:
                profile.full_clean()
            else:
                with pytest.raises(Exception, match=column):
                    profile.full_clean()
        setattr(profile, column, low)


@pytest.mark.rule("R1.29")
def test_connections_count_against_whoever_holds_the_credentials():
    own = EmailServerProfileFactory()
    shared = EmailServerProfileFactory(own_credentials=True)
    split = EmailServerProfileFactory(
        own_credentials=True,
        use_same_settings_for_outgoing_connections=False,
        outgoing_credential_retrieval=CredentialRetrieval.ANONYMOUS,
    )
    first, second = (SystemUserFactory().default_mailbox for _ in range(2))

    assert account_key(first, own, IN) == account_key(first, own, OUT)
    assert account_key(first, own, IN) != account_key(second, own, IN)
    assert account_key(first, shared, IN) == account_key(second, shared, OUT)
    assert account_key(first, split, IN) != account_key(first, split, OUT)
    assert account_key(first, split, OUT) == account_key(second, split, OUT)


@pytest.mark.rule("R1.29")
def test_imap_accounts_have_a_lower_cap_of_the_organization():
    site = organization(imap_connections_per_account=4)
    imap, pop3 = EmailServerProfileFactory(), EmailServerProfileFactory(pop3=True)
    low = EmailServerProfileFactory(max_concurrent_connections=2)

    assert connection_cap(imap, site, IN) == 4
    assert connection_cap(imap, site, OUT) == 10
    assert connection_cap(pop3, site, IN) == 10
    assert connection_cap(low, site, IN) == 2
