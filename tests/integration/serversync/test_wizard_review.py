"""What a hostile or a hurried person meets in the wizard: reach, secrets, and numbers beyond one page."""

from uuid import uuid4

import pytest
from django.test import Client
from django.utils import timezone
from django_q.models import OrmQ

from mailboxes import services
from mailboxes.choices import AccessApproval, Reach
from mailboxes.models import EmailServerProfile, Mailbox, SystemUser
from mailboxes.places import is_kept_back
from serversync.console.wizard import done
from serversync.models import AuditEntry
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    QueueFactory,
    SystemUserFactory,
    group_of,
    organization,
)
from tests.integration.serversync.wizards import said, url

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite"), pytest.mark.django_db]

PASSWORD = "Kanarienvogel-7"
STEPS = ("server", "test", "test_live", "default", "people", "done", "done_live")


@pytest.fixture
def administrator():
    return SystemUser.objects.create_superuser("admin", first_name="Ann", last_name="Admin")


@pytest.fixture
def profile(administrator):
    return EmailServerProfileFactory(name="Office mail", owning_user=administrator)


def line(mailbox, **columns) -> dict:
    prefix = f"m-{mailbox.pk}"
    entered = {"take": "on", "user_name": "x", "password": PASSWORD, **columns}
    return {
        "row": [str(mailbox.pk)],
        **{f"{prefix}-{name}": value for name, value in entered.items()},
    }


def blank() -> dict:
    return {f"new-{number}-kind": "user" for number in (1, 2, 3)}


def box(name: str, **columns) -> Mailbox:
    user = SystemUserFactory(domain_name=name, internal_email_address=f"{name}@example.com")
    Mailbox.objects.filter(pk=user.default_mailbox.pk).update(**columns)
    return Mailbox.objects.get(pk=user.default_mailbox.pk)


def again(user):
    return SystemUser.objects.get(pk=user.pk)


# -- reach


def test_looking_writes_nothing(administrator, profile):
    client = signed_in(administrator)
    before = EmailServerProfile.objects.count(), Mailbox.objects.count(), AuditEntry.objects.count()
    for step in STEPS:
        assert client.get(url(step, profile)).status_code == 200, step
    for method in ("get", "head"):
        assert getattr(client, method)(url("server", uuid4())).status_code == 200
    now = EmailServerProfile.objects.count(), Mailbox.objects.count(), AuditEntry.objects.count()
    assert now == before
    assert not OrmQ.objects.exists()


def test_forms_without_their_token_are_not_taken(administrator, profile):
    client = Client(SERVER_NAME="127.0.0.1", enforce_csrf_checks=True)
    client.force_login(administrator)
    for step in ("server", "test", "default", "people", "done"):
        assert client.post(url(step, profile), {}).status_code == 403, step


def test_a_row_that_is_out_of_reach_is_no_row_even_if_it_is_sent(administrator):
    person = SystemUserFactory()
    deeds = [f"{deed}_emailserverprofile" for deed in ("add", "change", "view")]
    group_of(person, *deeds, "change_mailbox", "view_mailbox", "test_mailbox", "approve_mailbox")
    own = EmailServerProfileFactory(owning_user=person)
    foreign = box("ada")
    client = signed_in(again(person))

    page = client.get(url("people", own)).content.decode()
    assert foreign.email_address not in page
    answer = client.post(
        url("people", own), {**blank(), **line(foreign), "approve": "on", "go": "1"}
    )
    assert answer.status_code == 302 and "Nothing was chosen" in said(answer)
    answer = client.post(
        url("test", own), {"mailbox": str(foreign.pk), "user_name": "", "password": ""}
    )
    assert answer.status_code == 200

    foreign.refresh_from_db()
    assert (foreign.email_server_profile_id, foreign.password.token) == (None, "")
    assert foreign.email_router_access_approval == AccessApproval.PENDING


def test_an_address_of_somebody_out_of_reach_is_not_tied_by_entering_it(administrator):
    person = SystemUserFactory()
    deeds = [f"{deed}_emailserverprofile" for deed in ("add", "change", "view")]
    group_of(person, *deeds, "change_mailbox", "view_mailbox", "test_mailbox", "add_systemuser")
    own = EmailServerProfileFactory(owning_user=person)
    foreign = box("ada")
    sent = {
        **blank(),
        "new-1-name": "Ada Example",
        "new-1-address": foreign.email_address,
        "new-1-password": PASSWORD,
        "go": "1",
    }

    answer = signed_in(again(person)).post(url("people", own), sent)

    assert answer.status_code in (200, 403)
    assert PASSWORD not in answer.content.decode()
    foreign.refresh_from_db()
    assert (foreign.email_server_profile_id, foreign.password.token) == (None, "")


def test_a_foreign_profile_is_neither_shown_nor_changed_by_its_key(administrator, profile):
    person = SystemUserFactory()
    deeds = [f"{deed}_emailserverprofile" for deed in ("add", "change", "view")]
    group_of(person, *deeds, reach=Reach.TEAM)
    client = signed_in(again(person))
    for step in STEPS:
        assert client.get(url(step, profile)).status_code == 404, step
        assert client.post(url(step, profile), {"name": "Mine"}).status_code == 404, step
    profile.refresh_from_db()
    assert profile.name == "Office mail"


# -- secrets


@pytest.mark.rule("R1.26")
def test_no_password_is_taken_over_plain_http(administrator, profile, settings):
    settings.ALLOWED_HOSTS = ["console.example.com"]
    organization(allow_credentials_entry_via_non_secure_channels=False)
    mailbox = box("ada")
    client = Client(SERVER_NAME="console.example.com")
    client.force_login(administrator)

    answer = client.post(url("people", profile), {**blank(), **line(mailbox), "more": "1"})
    assert "tied" in said(answer)
    client.post(
        url("test", profile), {"mailbox": str(mailbox.pk), "user_name": "x", "password": PASSWORD}
    )
    client.post(
        url("people", profile),
        {
            **blank(),
            "new-1-name": "Ben B",
            "new-1-address": "b@example.com",
            "new-1-password": PASSWORD,
            "more": "1",
        },
    )

    assert not Mailbox.objects.exclude(password="").exists()
    secure = client.post(
        url("people", profile), {**blank(), **line(mailbox), "more": "1"}, secure=True
    )
    assert secure.status_code == 302
    mailbox.refresh_from_db()
    assert mailbox.password.says(PASSWORD)


@pytest.mark.rule("R1.9")
def test_a_password_of_another_place_does_not_go_to_the_new_server(administrator, profile):
    other = EmailServerProfileFactory(incoming_server_location="other.example.com")
    mailbox = box("ada")
    mailbox.email_server_profile, mailbox.password = other, PASSWORD
    mailbox.save()
    client = signed_in(administrator)
    mailbox.email_server_profile = None
    services.save_mailbox(
        mailbox=mailbox, changed_fields=["email_server_profile"], now=timezone.now()
    )

    client.post(url("people", profile), {**blank(), **line(mailbox, password=""), "more": "1"})

    mailbox.refresh_from_db()
    assert mailbox.email_server_profile_id == profile.pk
    assert is_kept_back(mailbox, profile)


def test_done_counts_all_mailboxes_not_those_of_the_page(administrator, profile, monkeypatch):
    monkeypatch.setattr(done, "SHOWN", 2)
    for number in range(5):
        QueueFactory(name=f"q{number}", email_address=f"q{number}@example.com")
    queues = Mailbox.objects.filter(regarding_queue__isnull=False)
    queues.update(email_server_profile=profile, incoming_email_delivery_method=2)

    page = signed_in(administrator).get(url("done", profile)).content.decode()

    assert "0 of 5 mailboxes run." in page
    assert "5 mailboxes wait for approval" in page
