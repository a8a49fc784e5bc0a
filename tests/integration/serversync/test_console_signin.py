"""Connecting a mailbox at its provider: who may, what the pages say, and what an attacker doesn't get."""

import re
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.messages import get_messages
from django.urls import reverse
from django_q.models import OrmQ

from mailboxes.alerts import raise_alert
from mailboxes.choices import CredentialRetrieval, Reach, ServerType, WorkloadState
from mailboxes.models import DiscoveredEndpoint, EmailServerProfile, Mailbox, TraceLog
from mailboxes.protocols.http import Reach as HttpReach
from mailboxes.protocols.http import ask
from serversync.sandbox.servers import running_sandbox
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    QueueFactory,
    SuperuserFactory,
    SystemUserFactory,
    TeamFactory,
    group_of,
    ready_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

ADA, BEN = "ada@sandbox.example", "ben@sandbox.example"
PASSWORDS = {ADA: "ada-password", BEN: "ben-password"}
BACK = "http://127.0.0.1/connect/back/"
NOW = datetime.now(UTC)


@pytest.fixture(scope="module")
def running():
    with running_sandbox(accounts=PASSWORDS) as sandbox:
        sandbox.authority.add_client("client", "secret", [BACK])
        yield sandbox


@pytest.fixture
def sandbox(running):
    yield running
    running.authority.switches.__init__()


@pytest.fixture
def profile(sandbox):
    return EmailServerProfileFactory(
        server_type=ServerType.IMAP_SMTP,
        incoming_server_location="localhost",
        incoming_port_number=sandbox.ports["imaps"],
        outgoing_server_location="localhost",
        outgoing_port_number=sandbox.ports["smtps"],
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
        oauth_client_id="client",
        oauth_client_secret="secret",
        oauth_authorization_endpoint=f"{sandbox.authority_url}/authorize",
        oauth_token_endpoint=f"{sandbox.authority_url}/token",
        oauth_scopes="mail openid email",
        ca_certificate=sandbox.ca_pem,
    )


@pytest.fixture
def mailbox(profile):
    """Ada's, not connected yet."""
    user = SystemUserFactory(internal_email_address=ADA)
    return ready_mailbox(user, email_server_profile=profile, user_name="", password="")


@pytest.fixture
def owner(mailbox):
    return signed_in(mailbox.regarding_user)


def page(mailbox):
    return reverse("admin:sign_in", args=[mailbox.pk])


def leave(client, mailbox):
    """Begins, and returns the provider's address that the page leads to."""
    answer = client.post(reverse("admin:sign_in_leave", args=[mailbox.pk]))
    assert answer.status_code == 200, answer
    return answer.context["url"]


def at_provider(sandbox, url, address=ADA, decision="allow"):
    """What the person does there: the address that the browser is sent back to."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    form = {**asked, "address": address, "password": PASSWORDS[address], "decision": decision}
    answer = ask(
        "POST",
        f"{sandbox.authority_url}/authorize",
        HttpReach(ca_pem=sandbox.ca_pem),
        form=form,
    )
    assert answer.status == 302, answer
    return answer.headers["Location"]


def back_with(client, address):
    """The browser comes back: what the page behind it says."""
    parts = urlsplit(address)
    return client.get(f"{parts.path}?{parts.query}")


def told(answer):
    return " ".join(str(message) for message in get_messages(answer.wsgi_request))


def fresh(mailbox):
    return Mailbox.objects.get(pk=mailbox.pk)


def is_connected(mailbox):
    return fresh(mailbox).is_oauth_refresh_token_set


# -- the whole way


@pytest.mark.rule("R1.21")
def test_an_owner_connects_the_mailbox_and_disconnects_it(sandbox, mailbox, owner):
    first = owner.get(page(mailbox)).content.decode()
    assert ADA in first
    assert "Not connected" in first
    assert "Connect this mailbox" in first

    url = leave(owner, mailbox)
    assert urlsplit(url).hostname == urlsplit(sandbox.authority_url).hostname
    answer = back_with(owner, at_provider(sandbox, url))

    assert answer.status_code == 302
    assert answer.url == page(mailbox)  # without the code
    assert is_connected(mailbox)
    row = fresh(mailbox)
    assert row.secrets_place
    connected = owner.get(page(mailbox)).content.decode()
    assert "Connected as" in connected
    assert "is connected" in connected
    for token in (row.oauth_access_token, row.oauth_refresh_token):
        assert token.reveal() not in connected + first
    assert LogEntry.objects.filter(object_id=str(mailbox.pk)).exists()

    owner.post(reverse("admin:sign_in_end", args=[mailbox.pk]))
    assert not is_connected(mailbox)
    assert not mailbox.workloads.filter(enabled=True).exists()
    assert sandbox.authority.introspect(row.oauth_access_token.reveal()) is None


@pytest.mark.rule("R1.21")
def test_connecting_again_cures_what_the_missing_sign_in_stopped(sandbox, mailbox, owner):
    mailbox.workloads.filter(operation=0).update(
        enabled=False, state=WorkloadState.DISABLED, state_code="SignInExpired"
    )
    raise_alert(mailbox, "SignInExpired", now=NOW)

    answer = back_with(owner, at_provider(sandbox, leave(owner, mailbox)))

    assert "is being tested" in told(answer)
    assert fresh(mailbox).test_email_configuration_scheduled
    assert OrmQ.objects.exists()
    assert not TraceLog.objects.filter(closed_on__isnull=True).exists()
    assert mailbox.workloads.get(operation=0).state == WorkloadState.READY


def test_who_says_no_or_chooses_another_account_is_told(sandbox, mailbox, owner):
    refused = back_with(owner, at_provider(sandbox, leave(owner, mailbox), decision="deny"))
    assert "The owner said no." in told(refused)

    other = back_with(owner, at_provider(sandbox, leave(owner, mailbox), BEN))
    assert BEN in told(other)
    assert not is_connected(mailbox)


def test_a_profile_that_lacks_something_says_what(mailbox, owner):
    mailbox.email_server_profile.oauth_client_id = ""
    mailbox.email_server_profile.save()

    shown = owner.get(page(mailbox)).content.decode()
    assert "Client id" in shown or "client id" in shown
    assert "Connect this mailbox" not in shown
    answer = owner.post(reverse("admin:sign_in_leave", args=[mailbox.pk]))
    assert answer.url == page(mailbox)
    assert "client id" in told(answer)


def test_a_mailbox_that_opens_otherwise_offers_nothing():
    mailbox = ready_mailbox()
    shown = signed_in(mailbox.regarding_user).get(page(mailbox)).content.decode()
    assert "Nobody needs to sign in" in shown
    assert '<form method="post" action="/connect/' not in shown


# -- who may


@pytest.mark.rule("R1.21")
def test_an_administrator_gets_an_address_to_send_and_no_button(mailbox):
    client = signed_in(SuperuserFactory())
    shown = client.get(page(mailbox)).content.decode()

    assert f"http://127.0.0.1{page(mailbox)}" in shown
    assert str(mailbox.regarding_user) in shown
    assert "Connect this mailbox" not in shown
    assert client.post(reverse("admin:sign_in_leave", args=[mailbox.pk])).status_code == 403


def test_strangers_find_nothing(mailbox):
    client = signed_in(SystemUserFactory())
    assert client.get(page(mailbox)).status_code == 404
    for name in ("sign_in_leave", "sign_in_end"):
        assert client.post(reverse(f"admin:{name}", args=[mailbox.pk])).status_code == 404


def test_who_sees_all_mailboxes_connects_and_disconnects_none(mailbox):
    user = SystemUserFactory()
    group_of(user, "view_mailbox", reach=Reach.ALL)
    client = signed_in(user)
    assert client.get(page(mailbox)).status_code == 200
    for name in ("sign_in_leave", "sign_in_end"):
        assert client.post(reverse(f"admin:{name}", args=[mailbox.pk])).status_code == 403


def test_nothing_changes_by_looking(mailbox, owner):
    for name in ("sign_in_leave", "sign_in_end"):
        assert owner.get(reverse(f"admin:{name}", args=[mailbox.pk])).status_code == 405
    assert owner.post(page(mailbox)).status_code == 405


@pytest.mark.rule("R1.21")
def test_a_queues_mailbox_is_connected_by_its_owner_or_a_member_with_the_right(profile):
    owner, member, reader = SystemUserFactory(), SystemUserFactory(), SystemUserFactory()
    queue = QueueFactory(owning_user=owner, members=[member, reader])
    mailbox = ready_mailbox(queue, email_server_profile=profile)
    group_of(member, "view_mailbox", "change_mailbox", reach=Reach.ALL)
    group_of(reader, "view_mailbox", reach=Reach.ALL)
    outsider = SystemUserFactory()
    group_of(outsider, "view_mailbox", "change_mailbox", reach=Reach.ALL)

    statuses = {
        name: signed_in(user)
        .post(reverse("admin:sign_in_leave", args=[mailbox.pk]))
        .status_code
        for name, user in (
            ("owner", owner), ("member", member), ("reader", reader), ("outsider", outsider),
        )
    }  # fmt: skip
    assert statuses == {"owner": 200, "member": 200, "reader": 403, "outsider": 403}


def test_a_team_connects_the_mailbox_of_its_queue(profile):
    member = SystemUserFactory()
    queue = QueueFactory(owning_user=None, owning_team=TeamFactory(members=[member]))
    mailbox = ready_mailbox(queue, email_server_profile=profile)
    client = signed_in(member)
    assert client.get(page(mailbox)).status_code == 404
    group_of(member, "view_mailbox", "change_mailbox", reach=Reach.TEAM)
    client = signed_in(member)
    assert client.post(reverse("admin:sign_in_leave", args=[mailbox.pk])).status_code == 200


# -- the way back


def test_a_state_that_was_never_given_out_is_worth_nothing(sandbox, mailbox, owner):
    address = at_provider(sandbox, leave(owner, mailbox))
    forged = re.sub(r"state=[^&]+", "state=somebody-elses", address)

    answer = back_with(owner, forged)
    assert answer.url == reverse("admin:index")
    assert "begun elsewhere" in told(answer)
    assert not is_connected(mailbox)
    assert "token authorization_code" not in sandbox.authority.requests[-1:]


def test_another_session_of_the_same_person_cannot_finish(sandbox, mailbox, owner):
    address = at_provider(sandbox, leave(owner, mailbox))

    answer = back_with(signed_in(mailbox.regarding_user), address)
    assert "begun elsewhere" in told(answer)
    assert not is_connected(mailbox)


def test_a_victim_that_is_sent_an_attackers_way_back_connects_nothing(sandbox, profile, mailbox):
    """The attacker's code in the victim's browser would make the attacker's account the victim's."""
    ben = SystemUserFactory(internal_email_address=BEN)
    bens = ready_mailbox(ben, email_server_profile=profile)
    address = at_provider(sandbox, leave(signed_in(ben), bens), BEN)

    back_with(signed_in(mailbox.regarding_user), address)
    assert not is_connected(mailbox)
    assert not is_connected(bens)


def test_the_way_back_is_good_once(sandbox, mailbox, owner):
    address = at_provider(sandbox, leave(owner, mailbox))
    back_with(owner, address)
    before = fresh(mailbox).oauth_access_token

    again = back_with(owner, address)
    assert "done already" in told(again)
    assert fresh(mailbox).oauth_access_token == before


def test_a_code_brought_back_for_another_mailbox_ends_at_the_mailbox_that_began(
    sandbox, profile, mailbox, owner
):
    """Two windows: each state belongs to its mailbox, whatever comes back first."""
    queue = QueueFactory(owning_user=mailbox.regarding_user, email_address=BEN)
    second = ready_mailbox(queue, email_server_profile=profile)
    first_way, second_way = leave(owner, mailbox), leave(owner, second)

    back_with(owner, at_provider(sandbox, second_way, BEN))
    assert is_connected(second) and not is_connected(mailbox)
    back_with(owner, at_provider(sandbox, first_way))
    assert is_connected(mailbox)


def test_a_right_that_was_taken_away_meanwhile_ends_the_way(sandbox, profile):
    member = SystemUserFactory()
    queue = QueueFactory(members=[member], email_address=ADA)
    mailbox = ready_mailbox(queue, email_server_profile=profile)
    group_of(member, "view_mailbox", "change_mailbox", reach=Reach.ALL)
    client = signed_in(member)
    address = at_provider(sandbox, leave(client, mailbox))
    queue.members.clear()

    answer = back_with(client, address)
    assert answer.url == reverse("admin:index")
    assert not is_connected(mailbox)


def test_without_a_session_the_code_is_dropped(mailbox, client):
    answer = client.get("/connect/back/?code=a-secret-code&state=x", SERVER_NAME="127.0.0.1")
    assert answer.status_code == 302
    assert "a-secret-code" not in answer.url


def test_what_a_provider_says_is_text(sandbox, mailbox, owner):
    url = leave(owner, mailbox)
    state = parse_qs(urlsplit(url).query)["state"][0]
    back = "/connect/back/?error=access_denied&error_description=<script>alert(1)</script>"
    owner.get(f"{back}&state={state}")
    assert "<script>alert" not in owner.get(page(mailbox)).content.decode()


def test_pages_with_a_way_to_the_provider_are_kept_nowhere(mailbox, owner):
    answer = owner.post(reverse("admin:sign_in_leave", args=[mailbox.pk]))
    assert "no-store" in answer["Cache-Control"]
    assert answer["Referrer-Policy"] == "same-origin"


# -- beside it


@pytest.mark.rule("R1.21")
def test_the_front_page_asks_an_owner_to_connect_until_it_is_done(sandbox, mailbox, owner):
    front = reverse("admin:index")
    assert page(mailbox) in owner.get(front).content.decode()
    assert 'id="to-connect"' not in signed_in(SuperuserFactory()).get(front).content.decode()

    back_with(owner, at_provider(sandbox, leave(owner, mailbox)))
    assert 'id="to-connect"' not in owner.get(front).content.decode()


@pytest.mark.rule("R1.9")
def test_the_mailboxs_page_says_that_its_password_is_kept_back():
    mailbox = ready_mailbox()
    url = reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk])
    administrator = signed_in(SuperuserFactory())
    assert 'id="kept-back"' not in administrator.get(url).content.decode()
    Mailbox.objects.filter(pk=mailbox.pk).update(secrets_place="of another profile")
    assert 'id="kept-back"' in administrator.get(url).content.decode()
    EmailServerProfile.objects.update(
        incoming_credential_retrieval=CredentialRetrieval.PROFILE,
        use_same_settings_for_outgoing_connections=True,
    )
    assert 'id="kept-back"' not in administrator.get(url).content.decode()


@pytest.mark.rule("R1.21")
def test_the_mailboxs_page_and_its_alert_lead_there(mailbox):
    administrator = signed_in(SuperuserFactory())
    raise_alert(mailbox, "SignInNeeded", now=NOW)
    alert = TraceLog.objects.get()

    shown = administrator.get(reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk]))
    assert page(mailbox) in shown.content.decode()
    told_there = administrator.get(reverse("admin:mailboxes_tracelog_change", args=[alert.pk]))
    assert told_there.context["cure"][0] == page(mailbox)


@pytest.mark.rule("R1.22", "R1.23")
def test_the_mailboxs_page_shows_where_exchange_was_found_and_when(mailbox):
    DiscoveredEndpoint.objects.create(
        mailbox=mailbox,
        url="https://mail.example.com/EWS/Exchange.asmx",
        version="Exchange2016",
        found_on=NOW - timedelta(hours=2),
    )
    client = signed_in(SuperuserFactory())
    shown = client.get(
        reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk])
    ).content.decode()
    assert "https://mail.example.com/EWS/Exchange.asmx" in shown
    assert "2 h ago" in shown
    assert "Exchange 2016" in shown
