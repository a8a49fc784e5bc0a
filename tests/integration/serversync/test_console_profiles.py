"""The form of a server profile: what a choice fills in, what is refused, and what is warned of."""

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse

from mailboxes.choices import AuthenticationProtocol, CredentialRetrieval, Reach, ServerType
from mailboxes.models import EmailServerProfile, Mailbox
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
    organization,
    ready_mailbox,
)
from tests.factories.posting import form_data

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

EWS = "https://mail.example.com/EWS/Exchange.asmx"
ADD = "admin:mailboxes_emailserverprofile_add"


@pytest.fixture
def client():
    return signed_in(SuperuserFactory())


def change(profile):
    return reverse("admin:mailboxes_emailserverprofile_change", args=[profile.pk])


def send(client, url, drop=(), **columns):
    data = {name: value for name, value in form_data(client, url).items() if name not in drop}
    return client.post(url, {**data, **columns})


def told(answer):
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def errors(answer):
    return answer.context["adminform"].form.errors


def fresh(profile):
    return EmailServerProfile.objects.get(pk=profile.pk)


# -- Gmail


@pytest.mark.rule("R1.11")
@pytest.mark.parametrize(
    ("choice", "kind", "host", "port"),
    [
        ("gmail-imap", ServerType.IMAP_SMTP, "imap.gmail.com", 993),
        ("gmail-pop3", ServerType.POP3_SMTP, "pop.gmail.com", 995),
    ],
)
def test_gmail_is_a_choice_that_fills_in_its_servers(client, choice, kind, host, port):
    answer = send(client, reverse(ADD), name="Mail at Google", server_type=choice)

    made = EmailServerProfile.objects.get(name="Mail at Google")
    assert (made.server_type, made.incoming_server_location) == (kind, host)
    assert made.incoming_port_number == port
    assert (made.outgoing_server_location, made.outgoing_port_number) == ("smtp.gmail.com", 587)
    assert made.incoming_credential_retrieval == CredentialRetrieval.GMAIL_OAUTH
    assert "R1.11" in told(answer)
    page = client.get(change(made))
    assert page.context["adminform"].form.initial["server_type"] == choice
    listed = client.get(reverse("admin:mailboxes_emailserverprofile_changelist"))
    assert "Gmail (" in listed.content.decode()


@pytest.mark.rule("R1.11")
def test_what_was_entered_for_gmails_servers_does_not_count_and_is_not_judged(client):
    send(
        client,
        reverse(ADD),
        name="Mail at Google",
        server_type="gmail-imap",
        incoming_server_location="imap.elsewhere.example",
        incoming_port_number="70000",
        ca_certificate="nonsense",
        incoming_credential_retrieval=CredentialRetrieval.PROFILE,
    )
    made = EmailServerProfile.objects.get(name="Mail at Google")
    assert (made.incoming_server_location, made.incoming_port_number) == ("imap.gmail.com", 993)
    # Chosen on purpose, e.g. for a password made for this app.
    assert made.incoming_credential_retrieval == CredentialRetrieval.PROFILE


@pytest.mark.rule("R1.11")
def test_a_gmail_profile_that_is_saved_again_stays_as_it_is(client):
    send(client, reverse(ADD), name="Mail at Google", server_type="gmail-imap")
    made = EmailServerProfile.objects.get(name="Mail at Google")
    mailbox = ready_mailbox(email_server_profile=made)

    send(client, change(made), name="Renamed")
    send(client, change(made), server_type=str(ServerType.IMAP_SMTP.value))

    assert fresh(made).name == "Renamed"
    assert fresh(made).server_type == ServerType.IMAP_SMTP
    generation = Mailbox.objects.get(pk=mailbox.pk).account_generation
    assert generation == mailbox.account_generation
    assert mailbox.workloads.filter(enabled=True).count() == 3


# -- Exchange


def test_a_host_is_completed_to_the_web_service_and_it_is_said(client):
    hosts = {
        "incoming_server_location": "mail.example.com",
        "outgoing_server_location": "mail.example.com",
    }
    answer = send(client, reverse(ADD), name="Exchange", server_type="0", **hosts)

    made = EmailServerProfile.objects.get(name="Exchange")
    assert (made.incoming_server_location, made.outgoing_server_location) == (EWS, EWS)
    assert EWS in told(answer)
    mailbox = ready_mailbox(email_server_profile=made)
    send(client, change(made), **hosts)  # the same, written shorter
    assert mailbox.workloads.filter(enabled=True).count() == 3


@pytest.mark.rule("R1.12")
def test_a_mail_server_beside_exchange_is_refused(client):
    answer = send(
        client,
        reverse(ADD),
        name="Mixed",
        server_type="0",
        incoming_server_location="mail.example.com",
        outgoing_server_location="smtp.example.com",
    )
    assert "R1.12" in str(errors(answer)["outgoing_server_location"])


@pytest.mark.rule("R1.22")
def test_with_discovery_locations_are_neither_needed_nor_judged(client):
    discovered = {"name": "Found", "server_type": "0", "use_auto_discover": "on"}
    send(client, reverse(ADD), **discovered)
    assert EmailServerProfile.objects.get(name="Found").use_auto_discover
    send(client, reverse(ADD), **discovered | {"name": "Typed", "incoming_server_location": "x y"})
    assert EmailServerProfile.objects.filter(name="Typed").exists()

    refused = send(client, reverse(ADD), name="Mail", server_type="4", use_auto_discover="on")
    assert "R1.22" in str(errors(refused)["use_auto_discover"])


@pytest.mark.rule("R1.27")
def test_exchange_without_tls_is_refused_unless_the_organization_allows_both(client):
    plain = {
        "name": "Plain",
        "server_type": "0",
        "incoming_server_location": "http://127.0.0.1:8081",
        "outgoing_server_location": "http://127.0.0.1:8081",
    }
    switches = ("incoming_uses_ssl", "outgoing_uses_ssl")
    refused = send(client, reverse(ADD), drop=switches, **plain)
    assert "R1.27" in str(errors(refused)["incoming_server_location"])

    organization(allow_non_ssl_email=True, allow_basic_authentication_on_non_secure_channel=True)
    send(client, reverse(ADD), drop=switches, **plain)
    made = EmailServerProfile.objects.get(name="Plain")
    assert made.incoming_server_location == "http://127.0.0.1:8081/EWS/Exchange.asmx"


@pytest.mark.rule("R1.17", "R1.19")
def test_what_may_not_work_is_said_when_saving_and_on_the_page(client):
    profile = EmailServerProfileFactory(exchange=True, own_credentials=True)

    answer = send(client, change(profile), incoming_user_name="example\\service")
    assert "R1.19" in told(answer)
    assert "delegate" in told(answer)
    page = client.get(change(profile)).content.decode()
    assert 'id="warnings"' in page
    assert "Incoming user name" in page

    cured = send(
        client,
        change(profile),
        incoming_user_name="service@example.com",
        incoming_use_impersonation="on",
    )
    assert "R1.19" not in told(cured)
    assert fresh(profile).incoming_use_impersonation
    assert 'id="warnings"' not in client.get(change(profile)).content.decode()


@pytest.mark.rule("R1.18")
def test_granting_access_by_itself_is_shown_as_unsupported(client):
    profile = EmailServerProfileFactory(exchange=True)
    page = client.get(change(profile)).content.decode()
    assert "Not supported: grant the right on the server" in page
    answer = send(client, change(profile), outgoing_auto_grant_delegate_access="on")
    assert "R1.18" in told(answer)


@pytest.mark.rule("R1.20")
def test_a_protocol_that_the_credentials_do_not_know_is_refused_beside_its_field(client):
    profile = EmailServerProfileFactory(exchange=True)
    answer = send(
        client, change(profile), incoming_authentication_protocol=AuthenticationProtocol.OAUTH.value
    )
    assert "R1.20" in str(errors(answer)["incoming_authentication_protocol"])
    assert "NTLM" in str(errors(answer)["incoming_authentication_protocol"])


@pytest.mark.rule("R1.25")
def test_port_25_is_warned_of_when_saving(client):
    answer = send(client, change(EmailServerProfileFactory()), outgoing_port_number=25)
    assert "R1.25" in told(answer)


@pytest.mark.rule("R1.21")
def test_what_a_provider_wants_to_know_is_on_the_page(client):
    profile = EmailServerProfileFactory(
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH
    )
    page = client.get(change(profile)).content.decode()
    assert "http://127.0.0.1/connect/back/" in page
    assert "Client id" in page
    for name in ("oauth_token_endpoint", "oauth_scopes", "oauth_client_secret_expires_on"):
        assert f'name="{name}"' in page


# -- stored secrets


@pytest.mark.rule("R1.9")
def test_another_server_asks_for_the_password_again(client):
    profile = EmailServerProfileFactory(own_credentials=True)
    elsewhere = {"incoming_server_location": "other.example.com"}

    refused = send(client, change(profile), **elsewhere)
    assert "R1.9" in str(errors(refused)["incoming_password"])
    assert fresh(profile).incoming_server_location == "mail.example.com"

    send(client, change(profile), **elsewhere, incoming_password="another")
    assert fresh(profile).incoming_password.reveal() == "another"


@pytest.mark.rule("R1.9")
def test_passwords_of_mailboxes_are_kept_back_until_somebody_confirms(client):
    profile = EmailServerProfileFactory()
    ready_mailbox(email_server_profile=profile)

    answer = send(client, change(profile), incoming_server_location="other.example.com")
    assert "R1.9" in told(answer)
    page = client.get(change(profile))
    assert "confirm_places" in {deed.name for deed, _url in page.context["deeds"]}
    url = reverse("admin:mailboxes_emailserverprofile_do", args=[profile.pk, "confirm_places"])
    client.post(url)
    page = client.get(change(profile))
    assert "confirm_places" not in {deed.name for deed, _url in page.context["deeds"]}


@pytest.mark.rule("R1.9")
def test_who_may_only_change_profiles_is_not_asked_and_cannot_take_secrets_along():
    profile = EmailServerProfileFactory(own_credentials=True)
    mailbox = ready_mailbox(email_server_profile=profile)
    manager = SystemUserFactory()
    permissions = ("view_emailserverprofile", "change_emailserverprofile", "view_systemuser")
    group_of(manager, *permissions, reach=Reach.ALL)
    client = signed_in(manager)
    assert 'name="move_secrets"' not in client.get(change(profile)).content.decode()

    elsewhere = {"incoming_server_location": "evil.example"}
    forged = send(client, change(profile), **elsewhere, move_secrets="on")
    assert forged.status_code == 403
    assert fresh(profile).incoming_server_location == "mail.example.com"

    send(client, change(profile), **elsewhere, **{"incoming_password-clear": "1"})
    assert fresh(profile).incoming_server_location == "evil.example"
    assert not fresh(profile).incoming_password
    url = reverse("admin:mailboxes_emailserverprofile_do", args=[profile.pk, "confirm_places"])
    assert client.post(url).status_code == 404
    assert Mailbox.objects.get(pk=mailbox.pk).secrets_place


@pytest.mark.rule("R1.9")
def test_who_may_takes_them_along(client):
    profile = EmailServerProfileFactory(own_credentials=True)
    send(client, change(profile), incoming_server_location="new.example.com", move_secrets="on")

    assert fresh(profile).incoming_server_location == "new.example.com"
    assert fresh(profile).incoming_password.reveal() == "profile-secret"
