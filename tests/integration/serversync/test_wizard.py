"""The wizard: each step good and bad, taken up again, sent twice, and for whom it is."""

from dataclasses import asdict
from html import unescape
from uuid import uuid4

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from mailboxes.choices import (
    AccessApproval,
    ActDeliveryMethod,
    CredentialRetrieval,
    IncomingDeliveryMethod,
    Reach,
    ServerType,
)
from mailboxes.models import (
    ConfigurationChange,
    EmailServerProfile,
    Mailbox,
    Organization,
    Queue,
    SystemUser,
)
from serversync import connections
from serversync.choices import ConnectionState
from serversync.models import AuditEntry, ConnectionTest
from serversync.people import roles
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    QueueFactory,
    SystemUserFactory,
    group_of,
    organization,
)
from tests.integration.serversync.wizards import url

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite"), pytest.mark.django_db]

SERVER = {
    "name": "Office mail",
    "server_type": ServerType.IMAP_SMTP.value,
    "incoming_server_location": "imap.example.com",
    "incoming_uses_ssl": "on",
    "incoming_tls_mode": 0,
    "incoming_credential_retrieval": CredentialRetrieval.USER_OR_QUEUE.value,
    "incoming_authentication_protocol": 0,
    "outgoing_server_location": "smtp.example.com",
    "outgoing_uses_ssl": "on",
    "outgoing_tls_mode": 0,
    "outgoing_credential_retrieval": CredentialRetrieval.USER_OR_QUEUE.value,
    "outgoing_authentication_protocol": 0,
    "use_same_settings_for_outgoing_connections": "on",
    "use_default_tenant_id": "on",
    "server_authority": 3,
}
METHODS = {
    "default_incoming_email_delivery_method": 2,
    "default_outgoing_email_delivery_method": 2,
    "default_act_delivery_method": 2,
}


@pytest.fixture
def administrator():
    """Without an address, and so in nobody's way."""
    return SystemUser.objects.create_superuser("admin", first_name="Ann", last_name="Admin")


@pytest.fixture
def client(administrator):
    return signed_in(administrator)


@pytest.fixture
def profile(administrator):
    return EmailServerProfileFactory(name="Office mail", owning_user=administrator)


def row(mailbox, **columns) -> dict:
    """One line of the people's page as it is sent."""
    prefix = f"m-{mailbox.pk}"
    entered = {"user_name": mailbox.email_address, "password": "box-secret", **columns}
    return {"row": [str(mailbox.pk)], f"{prefix}-take": "on"} | {
        f"{prefix}-{name}": value for name, value in entered.items()
    }


def new(number: int, kind: str, name: str, address: str, password: str = "box-secret") -> dict:
    values = {"kind": kind, "name": name, "address": address, "password": password}
    return {f"new-{number}-{column}": value for column, value in values.items()}


def blank(*numbers: int) -> dict:
    return {f"new-{number}-kind": "user" for number in numbers or (1, 2, 3)}


def was_tested(profile, *, passed: bool = True) -> None:
    """The stored outcome of a test of both directions."""
    results = [
        connections.judged(direction, "mail.example.com", 5, [{"step": "login", "ok": passed}])
        for direction in connections.Direction
    ]
    ConnectionTest.objects.update_or_create(
        profile=profile,
        defaults={
            "state": ConnectionState.DONE,
            "asked_at": timezone.now(),
            "finished_at": timezone.now(),
            "results": [asdict(result) for result in results],
        },
    )


# -- server


def test_a_server_is_stored_once_however_often_it_is_sent(client, administrator):
    key = uuid4()
    for _again in range(2):
        answer = client.post(url("server", key), SERVER)
        assert answer.status_code == 302 and answer.url == url("test", key)

    stored = EmailServerProfile.objects.get()
    assert (stored.pk, stored.owning_user, stored.created_by) == (key, administrator, administrator)
    assert stored.incoming_server_location == "imap.example.com"
    assert LogEntry.objects.filter(object_id=str(key)).count() == 1
    assert ConfigurationChange.objects.filter(object_id=str(key)).exists()


@pytest.mark.rule("R1.12")
def test_what_the_profiles_own_form_refuses_is_refused_here(client):
    key = uuid4()
    wrong = {**SERVER, "incoming_server_location": "https://mail.example.com/EWS/Exchange.asmx"}
    answer = client.post(url("server", key), wrong)

    own = client.post(reverse("admin:mailboxes_emailserverprofile_add"), wrong)
    refused = answer.context["form"].errors["incoming_server_location"]
    assert refused and refused == own.context["adminform"].form.errors["incoming_server_location"]
    assert not EmailServerProfile.objects.exists()


def test_one_goes_back_and_mends_it_and_a_secret_is_never_shown(client):
    key = uuid4()
    own = {
        **SERVER,
        "incoming_credential_retrieval": CredentialRetrieval.PROFILE.value,
        "incoming_user_name": "service@example.com",
        "incoming_password": "quite-secret",
    }
    client.post(url("server", key), own)
    page = client.get(url("server", key))
    assert "quite-secret" not in page.content.decode()
    assert "quite-secret" not in repr(dict(client.session))

    client.post(url("server", key), {**own, "name": "Mail", "incoming_password": ""})
    stored = EmailServerProfile.objects.get()
    assert stored.name == "Mail" and stored.incoming_password.reveal() == "quite-secret"


@pytest.mark.rule("R1.11")
def test_a_preset_fills_in_its_servers(client):
    key = uuid4()
    blank_servers = {"incoming_server_location": "", "outgoing_server_location": ""}
    client.post(url("server", key), {**SERVER, "server_type": "gmail-imap", **blank_servers})
    assert EmailServerProfile.objects.get().incoming_server_location == "imap.gmail.com"


# -- test


@pytest.mark.rule("R2.22")
def test_one_account_is_entered_and_becomes_the_first_mailbox(client, profile):
    entered = {
        "mailbox": "", "kind": "user", "name": "Ada Example", "address": "ada@example.com",
        "password": "box-secret",
    }  # fmt: skip
    for _again in range(2):
        assert client.post(url("test", profile), entered).url == url("test", profile)

    user = SystemUser.objects.get(internal_email_address="ada@example.com")
    mailbox = user.default_mailbox
    assert (user.first_name, user.last_name, user.has_usable_password()) == (
        "Ada", "Example", False,
    )  # fmt: skip
    assert mailbox.email_server_profile == profile
    assert mailbox.user_name == "ada@example.com" and mailbox.password.reveal() == "box-secret"
    assert ConnectionTest.objects.get().mailbox == mailbox
    assert not mailbox.workloads.filter(enabled=True).exists()
    page = client.get(url("test", profile))
    assert page.context["waits"] and "box-secret" not in page.content.decode()


def test_an_account_that_lacks_something_says_what(client, profile):
    answer = client.post(url("test", profile), {"mailbox": "", "kind": "user", "name": "Ada"})
    assert set(answer.context["form"].errors) == {"address"}
    taken = SystemUserFactory(internal_email_address="ben@example.com").default_mailbox
    Mailbox.objects.filter(pk=taken.pk).update(email_server_profile=EmailServerProfileFactory())
    answer = client.post(
        url("test", profile),
        {"mailbox": "", "kind": "user", "name": "Ben", "address": "ben@example.com"},
    )
    assert "R1.5" in str(answer.context["form"].non_field_errors())
    assert not ConnectionTest.objects.exists()


def test_a_profile_with_an_own_account_is_tested_without_a_mailbox(client):
    own = EmailServerProfileFactory(own_credentials=True)
    assert client.get(url("test", own)).context["form"] is None
    client.post(url("test", own))
    assert ConnectionTest.objects.get().mailbox is None and OrmQ.objects.count() == 1


def test_the_outcome_is_told_and_what_was_changed_since_is_not_passed(client, profile):
    was_tested(profile)
    assert "The test passed" in client.get(url("test", profile)).content.decode()
    live = client.get(url("test_live", profile)).content.decode()
    assert "The test passed" in live and "data-waits" not in live

    was_tested(profile, passed=False)
    page = client.get(url("test", profile)).content.decode()
    assert "The test failed" in page and "Go on anyway" in page

    was_tested(profile)
    EmailServerProfile.objects.filter(pk=profile.pk).update(modified_on=timezone.now())
    page = client.get(url("test", profile))
    assert page.context["outdated"] and not page.context["passed"]


# -- default


@pytest.mark.rule("R1.30")
def test_the_default_is_set_and_told_of_and_new_users_are_tied_to_it(client, profile):
    answer = client.post(url("default", profile), {"make_default": "on", **METHODS})
    assert answer.url == url("people", profile)
    assert Organization.objects.current().default_email_server_profile == profile
    assert LogEntry.objects.filter(content_type__model="organization").count() == 1
    client.post(url("default", profile), METHODS)
    assert LogEntry.objects.filter(content_type__model="organization").count() == 1

    box = SystemUserFactory().default_mailbox
    assert box.email_server_profile == profile
    assert box.act_delivery_method == ActDeliveryMethod.NONE


def test_a_second_server_leaves_the_default_alone_and_the_page_says_so(client, profile):
    first = EmailServerProfileFactory(name="First server")
    organization(default_email_server_profile=first)
    page = client.get(url("default", profile))
    assert not page.context["ticked"] and "First server" in page.content.decode()
    client.post(url("default", profile), {**METHODS, "default_incoming_email_delivery_method": 0})
    row_now = Organization.objects.current()
    assert row_now.default_email_server_profile == first
    assert row_now.default_incoming_email_delivery_method == IncomingDeliveryMethod.NONE


# -- users and queues


@pytest.mark.rule("R2.4", "R2.8")
def test_mailboxes_are_tied_approved_and_asked_to_be_tested_once(client, profile, administrator):
    ada, sales = SystemUserFactory().default_mailbox, QueueFactory().default_mailbox
    sent = {**blank(), **row(ada), **row(sales), "row": [str(ada.pk), str(sales.pk)]}
    for _again in range(2):
        answer = client.post(url("people", profile), {**sent, "approve": "on", "go": "1"})
        assert answer.url == url("done", profile)

    for box in Mailbox.objects.filter(pk__in=[ada.pk, sales.pk]):
        assert box.email_server_profile == profile and box.password.reveal() == "box-secret"
        assert box.email_router_access_approval == AccessApproval.APPROVED
        assert box.email_address_approved_by == administrator
        assert box.test_email_configuration_scheduled and box.modified_by == administrator
    assert OrmQ.objects.count() == 2
    assert AuditEntry.objects.filter(detail__contains="approve").count() == 2


def test_new_users_and_queues_are_made_once_with_their_mailboxes(client, profile):
    sent = {
        **new(1, "user", "Ada Example", "ada@example.com"),
        **new(2, "queue", "Sales", "sales@example.com"),
        **blank(3),
        "more": "1",
    }
    for _again in range(2):
        assert client.post(url("people", profile), sent).url == url("people", profile)
    assert SystemUser.objects.filter(domain_name="ada@example.com").count() == 1
    assert Queue.objects.get().email_address == "sales@example.com"
    assert profile.mailboxes.count() == 2 and OrmQ.objects.count() == 0
    assert LogEntry.objects.filter(content_type__model="queue").count() == 1


def test_one_bad_row_stores_nothing_and_says_why_and_no_password_comes_back(client, profile):
    box = SystemUserFactory().default_mailbox
    sent = {
        **row(box),
        **new(1, "user", "Ada Example", "ada@example.com"),
        **new(2, "queue", "Nowhere", ""),
        **new(3, "user", "", "no-address"),
        "go": "1",
    }
    page = client.post(url("people", profile), sent)
    text = page.content.decode()
    assert page.context["errors"] == 2 and "box-secret" not in text
    assert "the mailbox is made for it" in text
    assert not profile.mailboxes.exists() and not Queue.objects.exists()
    assert not SystemUser.objects.filter(domain_name="ada@example.com").exists()


@pytest.mark.rule("R1.5")
def test_an_address_of_another_server_is_not_taken_away(client, profile):
    other = SystemUserFactory(internal_email_address="ben@example.com").default_mailbox
    elsewhere = EmailServerProfileFactory()
    Mailbox.objects.filter(pk=other.pk).update(email_server_profile=elsewhere)
    sent = {**new(1, "user", "Ben", "ben@example.com"), **blank(2, 3), "go": "1"}
    page = client.post(url("people", profile), sent)
    assert page.context["errors"] == 1 and "R1.5" in page.content.decode()
    client.post(url("people", profile), {**blank(), **row(other), "go": "1"})
    other.refresh_from_db()
    assert other.email_server_profile == elsewhere


def test_methods_of_a_mailbox_that_is_tied_already_stay(client, profile):
    box = SystemUserFactory().default_mailbox
    Mailbox.objects.filter(pk=box.pk).update(
        email_server_profile=profile, outgoing_email_delivery_method=0
    )
    client.post(url("people", profile), {**blank(), **row(box), "go": "1"})
    box.refresh_from_db()
    assert box.outgoing_email_delivery_method == 0 and box.password


@pytest.mark.rule("R1.34")
def test_calendars_of_users_only_and_with_exchange_only(client, administrator):
    exchange = EmailServerProfileFactory(exchange=True, owning_user=administrator)
    ada, sales = SystemUserFactory().default_mailbox, QueueFactory().default_mailbox
    sent = {**blank(), **row(ada), **row(sales), "row": [str(ada.pk), str(sales.pk)]}
    client.post(url("people", exchange), {**sent, "go": "1"})
    methods = {one.pk: one.act_delivery_method for one in exchange.mailboxes.all()}
    assert methods == {
        ada.pk: ActDeliveryMethod.SERVER_SIDE_SYNC,
        sales.pk: ActDeliveryMethod.NONE,
    }


def test_the_search_finds_and_the_page_costs_the_same_for_many(client, profile):
    def statements() -> int:
        with CaptureQueriesContext(
            connection,
        ) as found:
            client.get(url("people", profile))
            client.get(url("done", profile))
            client.get(reverse("admin:wizard"))
        return len(found)

    first = SystemUserFactory(last_name="Findable").default_mailbox
    tied = SystemUserFactory().default_mailbox
    Mailbox.objects.filter(pk=tied.pk).update(email_server_profile=profile)
    before = statements()
    for _number in range(5):
        SystemUserFactory()
        box = SystemUserFactory().default_mailbox
        Mailbox.objects.filter(pk=box.pk).update(email_server_profile=profile)
        EmailServerProfileFactory()
    assert statements() == before
    page = client.get(url("people", profile), {"q": "findable"})
    assert [each.mailbox.pk for each in page.context["sheet"].rows] == [first.pk]


# -- done


def test_done_shows_each_mailbox_and_starts_what_does_not_run(client, profile):
    waiting = SystemUserFactory().default_mailbox
    failed = SystemUserFactory().default_mailbox
    Mailbox.objects.filter(pk__in=[waiting.pk, failed.pk]).update(email_server_profile=profile)
    Mailbox.objects.filter(pk=failed.pk).update(email_router_access_approval=1)
    failed.workloads.update(
        test_status=2,
        tested_at=timezone.now(),
        test_steps=[{"step": "login", "ok": False, "code": "InvalidCredentials"}],
    )
    page = client.get(url("done", profile))
    text = unescape(page.content.decode())
    assert page.context["waiting"] == 1 and "0 of 2 mailboxes run" in text
    found = {line.mailbox.pk: line.directions for line in page.context["lines"]}
    assert found[failed.pk]
    for direction in found[failed.pk]:
        assert str(direction.cause.meaning).partition(" (R")[0] in text
        assert str(direction.cause.advice).partition(" (R")[0] in text
    assert all(each.cause is None for each in found[waiting.pk])

    client.post(url("done", profile), {"test": "1"})
    assert OrmQ.objects.count() == 1
    client.post(url("done", profile), {"approve": "1"})
    assert OrmQ.objects.count() == 1  # nobody has seen its address on the page that was sent
    assert f'name="seen" value="{waiting.pk}"' in text
    for _ in range(2):
        client.post(url("done", profile), {"approve": "1", "seen": [waiting.pk, failed.pk]})
    assert OrmQ.objects.count() == 2
    live = client.get(url("done_live", profile)).content.decode()
    assert "no worker runs" in live and "data-waits" in live


# -- taken up again


def test_one_comes_back_to_where_one_left(client, profile):
    def goes_on() -> str:
        [(_profile, _because, _name, address)] = client.get(reverse("admin:wizard")).context[
            "begun"
        ]
        return address

    assert goes_on() == url("test", profile)
    was_tested(profile)
    assert goes_on() == url("default", profile)
    organization(default_email_server_profile=profile)
    assert goes_on() == url("people", profile)
    box = SystemUserFactory().default_mailbox
    assert goes_on() == url("people", profile)
    box.workloads.update(tested_at=timezone.now())
    assert goes_on() == url("done", profile)


def test_an_empty_site_names_the_first_steps_until_something_runs(client, profile):
    page = client.get("/")
    assert [step.done for step in page.context["first_steps"]] == [True, False, False, False]
    assert reverse("admin:wizard") in page.content.decode()
    box = SystemUserFactory().default_mailbox
    box.workloads.update(enabled=True)
    assert client.get("/").context["first_steps"] == []


# -- for whom


def test_it_is_for_those_who_set_up_servers(profile):
    steps = ["server", "test", "test_live", "default", "people", "done", "done_live"]
    looks, nobody = SystemUserFactory(), SystemUserFactory()
    group_of(looks, "view_emailserverprofile", "test_mailbox", reach=Reach.ALL)
    for user in (looks, nobody):
        for address in [reverse("admin:wizard"), *(url(step, profile) for step in steps)]:
            assert signed_in(user).get(address).status_code == 403
        assert not signed_in(user).get("/").context["first_steps"]

    roles.setup_groups()
    mail = SystemUserFactory()
    mail.groups.add(roles.group_of("mail_administrator"))
    for address in [reverse("admin:wizard"), *(url(step, profile) for step in steps)]:
        assert signed_in(mail).get(address).status_code == 200
    assert signed_in(mail).get("/").context["first_steps"]


def test_profiles_out_of_sight_are_not_there_and_unknown_ones_neither(profile):
    owner = SystemUserFactory()
    group_of(owner, "view_emailserverprofile", "change_emailserverprofile")
    for key in (profile.pk, uuid4()):
        assert signed_in(owner).get(url("test", key)).status_code == 404
    assert signed_in(owner).get(url("server", profile)).status_code == 404
    assert signed_in(owner).get(url("server", uuid4())).status_code == 403


def test_who_may_not_do_a_step_reads_why_and_can_not_force_it(profile):
    one = SystemUserFactory()
    group_of(
        one, "view_emailserverprofile", "change_emailserverprofile", "view_mailbox",
        "change_mailbox", reach=Reach.ALL,
    )  # fmt: skip
    client = signed_in(one)
    box = SystemUserFactory().default_mailbox
    assert "mailboxes.test_mailbox" in client.get(url("test", profile)).content.decode()
    client.post(url("test", profile), {"mailbox": str(box.pk), "password": "box-secret"})
    assert not ConnectionTest.objects.exists()
    assert "change_organization" in client.get(url("default", profile)).content.decode()
    client.post(url("default", profile), {"make_default": "on", **METHODS})
    assert Organization.objects.current().default_email_server_profile is None

    page = client.get(url("people", profile))
    assert page.context["sheet"].new == [] and not page.context["may_approve"]
    sent = {**row(box), **new(1, "user", "Ada", "ada@example.com"), "go": "1"}
    client.post(url("people", profile), sent)
    assert not SystemUser.objects.filter(domain_name="ada@example.com").exists()
    box.refresh_from_db()
    assert box.email_server_profile == profile and OrmQ.objects.count() == 0
    refused = client.post(url("people", profile), {**sent, "approve": "on"})
    assert refused.status_code == 403
    box.refresh_from_db()
    assert box.email_router_access_approval == AccessApproval.PENDING
