"""A profile's own connection, tested against servers on sockets, and the page that shows what was said."""

from contextlib import ExitStack

import pytest
from django.contrib.messages import get_messages
from django.urls import reverse
from django.utils import timezone
from django_q.models import OrmQ

from mailboxes.choices import CredentialRetrieval, Operation, Reach, ServerType, TlsMode
from mailboxes.models import EmailServerProfile, Mailbox, SystemUser
from serversync import connections, jobs
from serversync.leases import claim_one
from serversync.models import AuditEntry, ConnectionTest
from serversync.people.choices import AuditKind
from serversync.sandbox.servers import running_sandbox
from tests.factories.clients import signed_in
from tests.factories.mailboxes import group_of
from tests.integration.serversync.cycles import NOW, profile, user_mailbox
from tests.integration.serversync.exchanges import PASSWORD as EXCHANGE_PASSWORD
from tests.integration.serversync.exchanges import profile_at
from tests.servers.faulty import ImapBox, Pop3Box, ScriptedServer, SmtpBox, imap, pop3, smtp

pytestmark = [pytest.mark.integration, pytest.mark.database("sqlite"), pytest.mark.django_db]

PASSWORD = "the-secret-of-the-profile"
MAIL = b"From: ben@example.com\r\nSubject: quite private\r\n\r\nNobody's business.\r\n"
INCOMING, OUTGOING = connections.Direction


@pytest.fixture
def serve(authority):
    """`serve(incoming, outgoing)`: a profile with an account of its own at these dialogues, over TLS."""
    with ExitStack() as stack:

        def start(dialogue) -> int:
            server = ScriptedServer(dialogue, authority.issue("localhost"), implicit_tls=True)
            return stack.enter_context(server).port

        def made(incoming, outgoing=None, **columns) -> EmailServerProfile:
            values = {
                "server_type": ServerType.IMAP_SMTP,
                "ca_certificate": authority.pem,
                "incoming_server_location": "localhost",
                "outgoing_server_location": "localhost",
                "incoming_port_number": start(incoming),
                "outgoing_port_number": start(outgoing or smtp(SmtpBox())),
                "incoming_tls_mode": TlsMode.IMPLICIT,
                "outgoing_tls_mode": TlsMode.IMPLICIT,
                "incoming_credential_retrieval": CredentialRetrieval.PROFILE,
                "outgoing_credential_retrieval": CredentialRetrieval.PROFILE,
                "incoming_user_name": "service@example.com",
                "outgoing_user_name": "service@example.com",
                "incoming_password": PASSWORD,
                "outgoing_password": PASSWORD,
                **columns,
            }
            return profile(**values)

        yield made


def outcome(of: EmailServerProfile, mailbox: Mailbox | None = None) -> list[dict]:
    connections.ask(of, mailbox, None, timezone.now())
    jobs.test_connection(str(of.pk))
    return ConnectionTest.objects.get(profile=of).results


def said(step: dict) -> list[str]:
    return [words for _who, words in step.get("talk", [])]


def step_of(result: dict, name: str) -> dict:
    return next(step for step in result["steps"] if step["step"] == name)


# -- what is tested


@pytest.mark.rule("R2.22")
@pytest.mark.parametrize("kind", [ServerType.IMAP_SMTP, ServerType.POP3_SMTP])
def test_a_profile_with_an_account_of_its_own_is_tested_both_ways_without_a_mailbox(serve, kind):
    dialogue = imap(ImapBox({1: MAIL})) if kind == ServerType.IMAP_SMTP else pop3(Pop3Box([MAIL]))
    incoming, outgoing = outcome(serve(dialogue, server_type=kind))

    for result in (incoming, outgoing):
        assert [result[each] for each in ("validation", "authorization", "execution")] == [
            "passed"
        ] * 3
        tls = step_of(result, "tls")["found"]
        assert tls["certificate"] == "localhost" and tls["tls"].startswith("TLSv1")
        assert tls["valid_until"] and "Test authority" in tls["issuer"]
    assert [step["step"] for step in incoming["steps"]][-1] == "list"
    assert [step["step"] for step in outgoing["steps"]][-1] == "login"
    assert not Mailbox.objects.filter(email_server_profile__isnull=False).exists()


@pytest.mark.rule("R2.22")
def test_requests_and_responses_are_shown_without_secrets_and_contents(serve):
    echoing = smtp(SmtpBox(answers={"AUTH": f"535 5.7.8 {PASSWORD} is wrong"}))
    incoming, outgoing = outcome(serve(imap(ImapBox({1: MAIL})), echoing))

    assert any("LOGIN ***" in words for words in said(step_of(incoming, "login")))
    login = step_of(outgoing, "login")
    assert "AUTH PLAIN ***" in said(login) and "535 5.7.8 *** is wrong" in said(login)
    assert (login["code"], login["fault"]) == (
        "OutgoingEmailAuthenticationError", "password_wrong",
    )  # fmt: skip
    assert outgoing["authorization"] == "failed" and outgoing["execution"] == "not_reached"
    stored = repr(ConnectionTest.objects.get().results)
    for secret in (PASSWORD, "private", "business"):
        assert secret not in stored


@pytest.mark.rule("R2.22")
def test_an_exchange_profile_shows_operations_and_what_came_of_them():
    with running_sandbox() as sandbox:
        sandbox.exchange.add_account("service@example.com", EXCHANGE_PASSWORD)
        of = profile_at(
            sandbox,
            incoming_credential_retrieval=CredentialRetrieval.PROFILE,
            incoming_user_name="service@example.com",
            incoming_password=EXCHANGE_PASSWORD,
            incoming_use_impersonation=False,
        )
        incoming, outgoing = outcome(of)

    assert incoming["execution"] == outgoing["execution"] == "passed", incoming
    assert any("GetFolder" in words for words in said(step_of(incoming, "login")))
    assert any("HTTP 200 NoError" in words for words in said(step_of(incoming, "login")))
    assert step_of(incoming, "tls")["found"]["certificate"]
    assert EXCHANGE_PASSWORD not in repr([incoming, outgoing])


@pytest.mark.rule("R2.22")
def test_as_a_mailbox_its_credentials_are_used_and_nothing_is_switched(serve):
    of = serve(
        imap(ImapBox({1: MAIL})),
        incoming_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE,
        outgoing_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE,
    )
    mailbox = user_mailbox("ada", email_server_profile=of)
    before = list(mailbox.workloads.order_by("pk").values("enabled", "test_status", "next_run_at"))

    without, _ = outcome(of, mailbox)
    assert without["steps"][0]["code"] == "InvalidCredentials"
    Mailbox.objects.filter(pk=mailbox.pk).update(
        allow_email_connector_to_use_credentials=True, user_name="ada", password="hers"
    )
    incoming, outgoing = outcome(of, mailbox)

    assert incoming["execution"] == outgoing["execution"] == "passed"
    after = mailbox.workloads.order_by("pk").values("enabled", "test_status", "next_run_at")
    assert list(after) == before
    assert not mailbox.workloads.filter(lease_token__isnull=False).exists()


@pytest.mark.rule("R2.22", "R9.7")
def test_a_mailbox_that_is_busy_is_waited_for_in_the_queue_and_not_for_ever(serve):
    of = serve(imap(ImapBox({1: MAIL})))
    mailbox = user_mailbox("ada", email_server_profile=of)
    claim_one(mailbox.pk, Operation.INCOMING, NOW, "worker:7", force=True)
    connections.ask(of, mailbox, None, NOW)
    OrmQ.objects.all().delete()

    assert "worker:7" in connections.run(of.pk, clock=lambda: NOW)
    assert OrmQ.objects.count() == 1
    assert ConnectionTest.objects.get().state == "asked"

    mailbox.workloads.update(lease_expires_at=NOW + connections.BUSY_FOR * 2)
    connections.run(of.pk, clock=lambda: NOW + connections.BUSY_FOR)
    assert (ConnectionTest.objects.get().state, ConnectionTest.objects.get().results) == (
        "done",
        [],
    )


def test_a_test_asked_for_meanwhile_is_not_answered_by_the_one_before(serve):
    of = serve(imap(ImapBox()))
    connections.ask(of, None, None, NOW)
    test = ConnectionTest.objects.get()
    connections.ask(of, None, None, NOW + connections.BUSY_AGAIN)
    connections._store(test, [], NOW)
    assert ConnectionTest.objects.get().state == "asked"


# -- the page


def page(of: EmailServerProfile) -> str:
    return reverse("admin:test_connection", args=[of.pk])


@pytest.mark.rule("R2.22")
def test_the_page_asks_waits_and_shows_who_and_what(serve, admin_user_signed_in):
    client, admin = admin_user_signed_in
    of = serve(imap(ImapBox({1: MAIL})), smtp(SmtpBox(greeting="554 5.7.1 blocked")))

    waiting = client.post(page(of), follow=True)
    assert waiting.context["waits"] and OrmQ.objects.count() == 1
    state = reverse("admin:test_connection_state", args=[of.pk])
    assert client.get(state).json() == {"waits": True}
    (noted,) = AuditEntry.objects.filter(kind=AuditKind.ACTION)
    assert (noted.actor_id, noted.detail) == (admin.pk, "test_connection")
    assert (noted.subject_type, noted.subject_id) == ("mailboxes.emailserverprofile", str(of.pk))

    jobs.test_connection(str(of.pk))
    assert client.get(state).json() == {"waits": False}
    shown = client.get(page(of))
    words = shown.content.decode()
    assert str(admin) in words and "As the profile" in words
    assert [result.failed is None for result in shown.context["results"]] == [True, False]
    assert "policy refuses to talk" in words and "EHLO" not in words.partition("direction-2")[2]
    on_profile = client.get(reverse("admin:mailboxes_emailserverprofile_change", args=[of.pk]))
    assert "policy refuses to talk" in on_profile.content.decode()


@pytest.fixture
def admin_user_signed_in():
    admin = SystemUser.objects.create_superuser("admin", first_name="Ann", last_name="Admin")
    return signed_in(admin), admin


@pytest.mark.rule("R2.22")
def test_without_an_own_account_a_mailbox_must_be_chosen_and_only_one_in_reach(
    serve, admin_user_signed_in
):
    client, _ = admin_user_signed_in
    of = serve(imap(ImapBox()), incoming_credential_retrieval=CredentialRetrieval.USER_OR_QUEUE)
    mine = user_mailbox("ada", email_server_profile=of)
    elsewhere = user_mailbox("ben", email_server_profile=profile(name="Other"))

    for choice in ("", str(elsewhere.pk), "no-key"):
        answer = client.post(page(of), {"mailbox": choice})
        assert answer.status_code == 200 and answer.context["form"].errors
    assert not ConnectionTest.objects.exists()
    client.post(page(of), {"mailbox": str(mine.pk)})
    assert ConnectionTest.objects.get().mailbox == mine


@pytest.mark.rule("R2.22")
def test_it_needs_the_permission_to_test_with_a_reach_that_covers_the_profile(serve):
    of = serve(imap(ImapBox()))
    stranger, reader, tester = (
        SystemUser.objects.create_user(name) for name in ("stranger", "reader", "tester")
    )
    group_of(reader, "view_emailserverprofile", reach=Reach.ALL)
    group_of(tester, "view_emailserverprofile", "test_mailbox", reach=Reach.ALL)
    state = reverse("admin:test_connection_state", args=[of.pk])

    assert signed_in(stranger).get(page(of)).status_code == 404
    assert signed_in(stranger).get(state).status_code == 404
    refused = signed_in(reader).post(page(of), follow=True)
    assert any("test_mailbox" in str(words) for words in get_messages(refused.wsgi_request))
    assert not ConnectionTest.objects.exists()
    signed_in(tester).post(page(of))
    assert ConnectionTest.objects.get().asked_by == tester
