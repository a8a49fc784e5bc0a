"""What the rows say of an Exchange mailbox, and what is kept of its web service."""

import dataclasses
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from mailboxes import services
from mailboxes.choices import (
    AuthenticationProtocol,
    CredentialRetrieval,
    OAuthGrant,
    ServerType,
)
from mailboxes.connect import (
    AddressMissing,
    CredentialsMissing,
    Direction,
    NotSupported,
    account_key,
    exchange_settings_for,
    items_server,
    outgoing_server,
)
from mailboxes.models import DiscoveredEndpoint, Mailbox
from mailboxes.protocols.base import Authentication, Bearer, Credentials
from mailboxes.protocols.ews.items.adapter import ExchangeItems
from mailboxes.protocols.ews.settings import Access, Endpoint
from mailboxes.redirect import TellsNobody
from tests.factories.mailboxes import EmailServerProfileFactory, organization, ready_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

IN, OUT = Direction.INCOMING, Direction.OUTGOING
URL = "https://mail.example.com/EWS/Exchange.asmx"


def exchange_mailbox(**profile):
    return ready_mailbox(email_server_profile=EmailServerProfileFactory(exchange=True, **profile))


def settings_of(mailbox, direction=IN, **site):
    return exchange_settings_for(mailbox, organization(**site), direction)


def read_again(mailbox):
    return Mailbox.objects.select_related("email_server_profile").get(pk=mailbox.pk)


# -- credentials and access


@pytest.mark.rule("R1.17")
def test_a_mailbox_with_its_own_credentials_is_opened_as_their_owner():
    mailbox = exchange_mailbox(incoming_use_impersonation=True)

    settings = settings_of(mailbox)

    assert settings.address == mailbox.email_address
    assert settings.credentials == Credentials(mailbox.email_address, "mailbox-secret")
    assert settings.access == Access.OWN
    assert settings.url == URL


@pytest.mark.rule("R1.17")
@pytest.mark.parametrize(
    ("incoming", "outgoing", "expected"),
    [
        (True, False, (Access.IMPERSONATION, Access.DELEGATION)),
        (False, True, (Access.DELEGATION, Access.IMPERSONATION)),
    ],
)
def test_the_profiles_account_impersonates_or_is_a_delegate_per_direction(
    incoming, outgoing, expected
):
    mailbox = exchange_mailbox(
        own_credentials=True,
        incoming_use_impersonation=incoming,
        use_same_settings_for_outgoing_connections=False,
        outgoing_credential_retrieval=CredentialRetrieval.PROFILE,
        outgoing_user_name="sender",
        outgoing_password="other",
        outgoing_use_impersonation=outgoing,
    )

    reading, sending = settings_of(mailbox, IN), settings_of(mailbox, OUT)

    assert (reading.access, sending.access) == expected
    assert reading.credentials == Credentials("shared", "profile-secret")
    assert sending.credentials == Credentials("sender", "other")


@pytest.mark.rule("R1.18")
def test_auto_granting_delegate_access_does_nothing():
    mailbox = exchange_mailbox(own_credentials=True)
    without = settings_of(mailbox, OUT)
    mailbox.email_server_profile.outgoing_auto_grant_delegate_access = True

    granting = settings_of(mailbox, OUT)

    assert dataclasses.replace(granting, remember=without.remember) == without


@pytest.mark.rule("R1.15")
def test_the_same_settings_copy_way_account_and_impersonation_to_outgoing():
    mailbox = exchange_mailbox(
        own_credentials=True,
        incoming_use_impersonation=True,
        incoming_authentication_protocol=AuthenticationProtocol.NTLM,
        outgoing_authentication_protocol=AuthenticationProtocol.BASIC,
        outgoing_user_name="left over",
    )

    sending = settings_of(mailbox, OUT)

    assert sending.credentials == Credentials("shared", "profile-secret")
    assert sending.access == Access.IMPERSONATION
    assert sending.authentication == Authentication.NTLM


@pytest.mark.rule("R1.20")
@pytest.mark.parametrize("protocol", AuthenticationProtocol)
def test_every_way_to_authenticate_reaches_the_adapter(protocol):
    mailbox = exchange_mailbox(incoming_authentication_protocol=protocol)

    expected = {0: "auto", 1: "negotiate", 2: "ntlm", 3: "basic", 4: "oauth"}[protocol]
    assert settings_of(mailbox).authentication == expected


@pytest.mark.rule("R1.20")
def test_windows_integrated_needs_nothing_stored():
    mailbox = exchange_mailbox(
        incoming_credential_retrieval=CredentialRetrieval.WINDOWS_INTEGRATED,
        incoming_use_impersonation=True,
    )
    Mailbox.objects.filter(pk=mailbox.pk).update(password="", user_name="")

    settings = settings_of(read_again(mailbox))

    assert settings.credentials is None
    assert settings.access == Access.IMPERSONATION
    assert account_key(mailbox, mailbox.email_server_profile, IN).startswith("profile:")


@pytest.mark.rule("R1.17")
@pytest.mark.parametrize(
    ("grant", "access"),
    [(OAuthGrant.APPLICATION, Access.IMPERSONATION), (OAuthGrant.MAILBOX, Access.OWN)],
)
def test_a_client_that_opens_every_mailbox_can_only_impersonate(grant, access):
    mailbox = exchange_mailbox(
        server_type=ServerType.EXCHANGE_ONLINE,
        incoming_credential_retrieval=CredentialRetrieval.ENTRA_OAUTH,
        oauth_grant=grant,
        oauth_client_id="client",
        oauth_client_secret="secret",
        exchange_online_tenant_id="tenant",
        use_default_tenant_id=False,
    )

    Mailbox.objects.filter(pk=mailbox.pk).update(oauth_refresh_token="somebody-signed-in")

    settings = settings_of(read_again(mailbox))

    assert isinstance(settings.credentials, Bearer)
    assert settings.access == access


@pytest.mark.rule("R1.16")
@pytest.mark.parametrize("direction", Direction)
def test_missing_credentials_are_named_and_blamed_on_the_mailbox(direction):
    mailbox = exchange_mailbox()
    Mailbox.objects.filter(pk=mailbox.pk).update(password="")

    with pytest.raises(CredentialsMissing) as refused:
        settings_of(read_again(mailbox), direction)

    assert refused.value.missing == ("password",)


def test_a_mailbox_without_an_address_can_not_be_opened():
    mailbox = exchange_mailbox()
    mailbox.email_address = ""

    with pytest.raises(AddressMissing) as refused:
        settings_of(mailbox)

    assert refused.value.code == "EmailAddressMissing"


@pytest.mark.rule("R1.9")
def test_no_part_of_the_settings_shows_a_password():
    assert "mailbox-secret" not in repr(settings_of(exchange_mailbox()))


@pytest.mark.parametrize("keeps", [True, False])
def test_the_organization_decides_whether_sent_mail_is_kept(keeps):
    site = organization(sss_save_outgoing_email_to_exchange_sent_folder=keeps)

    assert outgoing_server(exchange_mailbox(), site).options.save_sent_copy is keeps


# -- location


@pytest.mark.rule("R1.22")
def test_with_autodiscover_the_locations_are_ignored():
    assert settings_of(exchange_mailbox(use_auto_discover=True)).url == ""
    assert settings_of(exchange_mailbox(use_auto_discover=False)).url == URL


@pytest.mark.parametrize(
    ("location", "port", "expected"),
    [
        (URL, None, URL),
        (URL, 8443, "https://mail.example.com:8443/EWS/Exchange.asmx"),
        ("https://mail.example.com:444/ews", 8443, "https://mail.example.com:444/ews"),
        ("https://[::1]/ews", 8443, "https://[::1]:8443/ews"),
    ],
)
def test_a_port_that_stands_apart_counts_where_the_location_names_none(location, port, expected):
    mailbox = exchange_mailbox(incoming_server_location=location, incoming_port_number=port)

    assert settings_of(mailbox).url == expected


# -- what was found out


def endpoint(url=URL, age=timedelta(0), **more):
    return Endpoint(url=url, found_at=timezone.now() - age, version="Exchange2016", **more)


@pytest.mark.rule("R1.23")
@pytest.mark.parametrize("discovers", [True, False])
def test_what_was_found_is_trusted_for_a_day(discovers):
    mailbox = exchange_mailbox(use_auto_discover=discovers)
    found = endpoint(age=timedelta(hours=23, minutes=59), address="ada@corp.example", scheme="ntlm")

    settings_of(mailbox).remember(found)
    fresh = settings_of(read_again(mailbox)).found
    DiscoveredEndpoint.objects.update(found_on=timezone.now() - timedelta(hours=24))
    stale = settings_of(read_again(mailbox)).found

    assert fresh == found
    assert stale is None


@pytest.mark.rule("R1.46")
def test_the_page_of_a_mailbox_shows_what_autodiscover_found():
    mailbox = exchange_mailbox(use_auto_discover=True)
    at = datetime(2026, 5, 4, 12, tzinfo=UTC)

    settings_of(mailbox).remember(Endpoint(URL, at))

    assert read_again(mailbox).ews_url == URL
    assert read_again(mailbox).last_autodiscovered_on == at


def test_an_entered_location_was_not_discovered():
    mailbox = exchange_mailbox(use_auto_discover=False)

    settings_of(mailbox).remember(endpoint())

    assert read_again(mailbox).ews_url == ""
    assert read_again(mailbox).last_autodiscovered_on is None


def test_another_entered_location_is_found_out_anew():
    mailbox = exchange_mailbox()
    settings_of(mailbox).remember(endpoint(url="https://former.example.com/EWS/Exchange.asmx"))

    assert settings_of(read_again(mailbox)).found is None


def test_outgoing_on_a_server_of_its_own_does_not_overwrite_what_incoming_found():
    mailbox = exchange_mailbox(outgoing_server_location="https://out.example.com/ews")
    settings_of(mailbox, IN).remember(endpoint())

    settings_of(mailbox, OUT).remember(endpoint(url="https://out.example.com/ews"))

    assert settings_of(read_again(mailbox), OUT).found is None
    assert settings_of(read_again(mailbox), IN).found.url == URL


@pytest.mark.rule("R1.22", "R1.23")
@pytest.mark.parametrize(
    ("columns", "shares"),
    [
        ({"use_same_settings_for_outgoing_connections": True}, True),
        ({"outgoing_credential_retrieval": CredentialRetrieval.USER_OR_QUEUE}, True),
        ({"outgoing_user_name": "service@example.com"}, False),
        ({"outgoing_credential_retrieval": CredentialRetrieval.WINDOWS_INTEGRATED}, False),
    ],
)
def test_a_service_account_goes_to_no_server_that_was_found_with_other_credentials(columns, shares):
    """The mailbox's own password may be shown to whatever its domain names."""
    mailbox = exchange_mailbox(
        **{
            "use_auto_discover": True,
            "use_same_settings_for_outgoing_connections": False,
            "outgoing_credential_retrieval": CredentialRetrieval.PROFILE,
            "outgoing_user_name": "sender",
            "outgoing_password": "other",
        }
        | columns
    )
    settings_of(mailbox, IN).remember(endpoint(url="https://evil.example/EWS"))
    settings_of(mailbox, OUT).remember(endpoint(url=URL))

    assert (settings_of(read_again(mailbox), OUT).found is not None) is shares
    kept = URL if shares else "https://evil.example/EWS"
    assert settings_of(read_again(mailbox), IN).found.url == kept


@pytest.mark.rule("R1.23")
def test_what_turned_out_stale_is_forgotten():
    mailbox = exchange_mailbox(use_auto_discover=True)
    settings_of(mailbox).remember(endpoint())

    settings_of(mailbox).remember(None)

    assert settings_of(read_again(mailbox)).found is None


def test_a_changed_address_forgets_where_the_former_mailbox_was():
    mailbox = exchange_mailbox(use_auto_discover=True)
    settings_of(mailbox).remember(endpoint())

    services.change_address(mailbox=mailbox, address="new@example.com", now=timezone.now())

    assert not DiscoveredEndpoint.objects.exists()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("use_auto_discover", False),
        ("incoming_authentication_protocol", AuthenticationProtocol.NTLM),
        ("ca_certificate", ""),
    ],
)
def test_another_way_to_connect_forgets_what_the_former_way_found(column, value):
    mailbox = exchange_mailbox(use_auto_discover=True)
    settings_of(mailbox).remember(endpoint())
    profile = mailbox.email_server_profile
    setattr(profile, column, value)

    services.save_profile(
        profile=profile, changed_fields={column}, now=timezone.now(), move_secrets=False
    )

    assert not DiscoveredEndpoint.objects.exists()


def test_another_profile_forgets_what_the_former_one_found():
    mailbox = exchange_mailbox(use_auto_discover=True)
    settings_of(mailbox).remember(endpoint())
    mailbox.email_server_profile = EmailServerProfileFactory(exchange=True)

    services.save_mailbox(
        mailbox=mailbox, changed_fields={"email_server_profile"}, now=timezone.now()
    )

    assert not DiscoveredEndpoint.objects.exists()


def test_a_worker_that_comes_late_does_not_bring_the_former_server_back():
    mailbox = exchange_mailbox(use_auto_discover=True)
    before_address = settings_of(mailbox)
    services.change_address(mailbox=mailbox, address="new@example.com", now=timezone.now())
    before_profile = settings_of(read_again(mailbox))
    profile = mailbox.email_server_profile
    profile.use_auto_discover = False
    services.save_profile(profile=profile, changed_fields={"use_auto_discover"}, now=timezone.now())

    before_address.remember(endpoint())
    before_profile.remember(endpoint())

    assert not DiscoveredEndpoint.objects.exists()


def test_a_mailbox_takes_its_endpoint_along_when_it_goes():
    mailbox = exchange_mailbox()
    settings_of(mailbox).remember(endpoint())

    mailbox.delete()

    assert not DiscoveredEndpoint.objects.exists()


# -- appointments, contacts and tasks


def test_the_calendar_is_where_the_mail_comes_in():
    mailbox = exchange_mailbox()

    server = items_server(mailbox, organization())

    assert isinstance(server, ExchangeItems)
    assert (server.settings.address, server.settings.url) == (mailbox.email_address, URL)


def test_a_mailbox_that_is_not_on_exchange_has_no_calendar():
    mailbox = ready_mailbox(email_server_profile=EmailServerProfileFactory(pop3=True))

    with pytest.raises(NotSupported):
        items_server(mailbox, organization())


def test_a_site_that_must_reach_nobody_tells_nobody_of_meetings(settings):
    settings.REDIRECT_ALL_MAIL_TO = "staging@example.net"

    assert isinstance(items_server(exchange_mailbox(), organization()), TellsNobody)


@pytest.mark.rule("R6.62")
@pytest.mark.parametrize("named", [True, False])
def test_requests_name_the_mailbox_as_the_organization_says(named):
    found = settings_of(exchange_mailbox(), use_x_anchor_mailbox_in_exchange_request_header=named)

    assert found.anchored is named
