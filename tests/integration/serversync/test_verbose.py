"""Verbose logging: what stands in it after real conversations, and what does not."""

import logging
from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.contrib.messages import get_messages

from mailboxes.choices import Operation, Reach, ServerType, TlsMode
from mailboxes.models import EmailServerProfile, Mailbox
from serversync import engine, verbose
from serversync.models import VerboseLine, VerboseLogging
from tests.factories.clients import signed_in
from tests.factories.mailboxes import SystemUserFactory, group_of, ready_mailbox
from tests.integration.serversync.connected import logs_in, only, write
from tests.integration.serversync.cycles import NOW, message, organization, profile, user_mailbox
from tests.servers.faulty import ImapBox, Pop3Box, ScriptedServer, SmtpBox, imap, pop3, smtp

pytestmark = [
    pytest.mark.integration,
    pytest.mark.database("sqlite"),
    pytest.mark.django_db,
    pytest.mark.rule("R8.18"),
]

PASSWORD, SUBJECT, BODY = "canary-password", "canarysubject", "canarybody"
CANARIES = ("canary", "customer.example", "ada@", "cleo")
MAIL = message(subject=SUBJECT, body=f"* LIST {BODY}\r\n250 {BODY}\r\n+OK {BODY}\r\n")


@pytest.fixture
def serve(authority):
    with ExitStack() as stack:

        def start(dialogue) -> int:
            server = ScriptedServer(dialogue, authority.issue("localhost"), implicit_tls=True)
            return stack.enter_context(server).port

        def made(incoming, outgoing, kind=ServerType.IMAP_SMTP) -> EmailServerProfile:
            return profile(
                server_type=kind,
                ca_certificate=authority.pem,
                incoming_server_location="localhost",
                outgoing_server_location="localhost",
                incoming_port_number=start(incoming),
                outgoing_port_number=start(outgoing),
                incoming_tls_mode=TlsMode.IMPLICIT,
                outgoing_tls_mode=TlsMode.IMPLICIT,
            )

        yield made


def mailbox_at(of: EmailServerProfile, operation: Operation) -> Mailbox:
    organization(allow_unresolved_parties_on_email_send=True)
    mailbox = logs_in(user_mailbox("ada", email_server_profile=of), PASSWORD)
    return only(mailbox, operation)


def run(mailbox: Mailbox, operation: Operation):
    return engine.run_one(mailbox, operation, force=True, clock=lambda: NOW)


def lines(mailbox: Mailbox) -> list[str]:
    rows = VerboseLine.objects.filter(mailbox=mailbox).order_by("pk")
    return list(rows.values_list("words", flat=True))


def is_clean(texts) -> bool:
    said = "\n".join(texts).lower()
    return not any(canary in said for canary in CANARIES)


@pytest.mark.parametrize("kind", [ServerType.IMAP_SMTP, ServerType.POP3_SMTP])
def test_reading_is_logged_step_by_step_without_secrets_and_messages(serve, kind, caplog):
    caplog.set_level(logging.INFO, "serversync.verbose")
    dialogue = imap(ImapBox({1: MAIL})) if kind == ServerType.IMAP_SMTP else pop3(Pop3Box([MAIL]))
    mailbox = mailbox_at(serve(dialogue, smtp(SmtpBox()), kind), Operation.INCOMING)
    verbose.switch_on([mailbox.pk], by=None, now=NOW)

    report = run(mailbox, Operation.INCOMING)

    told = lines(mailbox)
    assert report.ok and report.result.items == 1
    assert told[0] == "cycle begins" and told[-1].startswith("cycle ends")
    assert any(line.startswith("login: ok") for line in told)
    assert any(line.startswith("> ") and ("LOGIN" in line or "PASS" in line) for line in told)
    assert any(line.startswith("decided: 1 ") for line in told)
    assert is_clean(told)
    logged = [one.getMessage() for one in caplog.records if one.name == "serversync.verbose"]
    assert len(logged) == len(told) and is_clean(logged)


def test_sending_is_logged_and_a_servers_words_are_not(serve):
    refusing = smtp(SmtpBox(answers={"content": f"554 5.6.0 {SUBJECT} refused for {PASSWORD}"}))
    mailbox = mailbox_at(serve(imap(ImapBox()), refusing), Operation.OUTGOING)
    verbose.switch_on([mailbox.pk], by=None, now=NOW)
    write(mailbox, "cleo@customer.example", subject=SUBJECT, body=f"<p>{BODY}</p>")

    run(mailbox, Operation.OUTGOING)

    told = lines(mailbox)
    assert any(line.startswith("> RCPT …") for line in told)
    assert any("octets)" in line for line in told)
    assert is_clean(told)


def test_a_failing_login_leaves_its_code_and_not_its_words(serve):
    no = f"TAG NO [AUTHENTICATIONFAILED] {PASSWORD} of ada@"
    refusing = imap(ImapBox(replies={"LOGIN": [no], "AUTHENTICATE": [no]}))
    mailbox = mailbox_at(serve(refusing, smtp(SmtpBox())), Operation.INCOMING)
    verbose.switch_on([mailbox.pk], by=None, now=NOW)

    report = run(mailbox, Operation.INCOMING)

    told = lines(mailbox)
    assert not report.ok and told[-1].startswith("cycle ends: InvalidCredentials")
    assert is_clean(told)


def test_it_ends_by_itself_after_24_hours_and_by_hand_before(serve):
    mailbox = mailbox_at(serve(imap(ImapBox()), smtp(SmtpBox())), Operation.INCOMING)
    run(mailbox, Operation.INCOMING)
    assert lines(mailbox) == [], "off until somebody switches it on"
    verbose.switch_on([mailbox.pk], by=None, now=NOW - timedelta(hours=24))
    run(mailbox, Operation.INCOMING)
    assert lines(mailbox) == []
    verbose.switch_on([mailbox.pk], by=None, now=NOW)
    verbose.switch_off([mailbox.pk], now=NOW)
    run(mailbox, Operation.INCOMING)
    assert lines(mailbox) == []


def test_the_last_lines_stay_for_a_week(monkeypatch):
    monkeypatch.setattr(verbose, "MOST_LINES", 5)
    mailbox = ready_mailbox()
    for number in range(4):
        recorder = verbose.Recorder(mailbox, Operation.INCOMING, lambda: NOW)
        with recorder.kept():
            recorder.asked("NOOP")
            recorder.found("size", "not a fact of the line")
        assert VerboseLine.objects.count() <= 5, number
    assert verbose.forget(NOW + timedelta(days=6)) == 0
    assert verbose.forget(NOW + timedelta(days=8)) == 5


# -- its page


def test_the_page_switches_it_on_says_who_did_and_until_when():
    mailbox = ready_mailbox()
    admin = SystemUserFactory(first_name="Robin", last_name="Admin")
    group_of(admin, "view_mailbox", "change_mailbox", reach=Reach.ALL)
    client = signed_in(admin)
    url = f"/mailboxes/{mailbox.pk}/conversation/"
    assert "Nothing is logged." in client.get(url).content.decode()

    answer = client.post(url, {"deed": "on"})

    assert "24 hours" in " ".join(map(str, get_messages(answer.wsgi_request)))
    row = VerboseLogging.objects.get()
    assert row.switched_on_by == admin
    assert row.until - row.switched_on_at == timedelta(hours=24)
    assert "Robin Admin" in client.get(url).content.decode()
    client.post(url, {"deed": "off"})
    row.refresh_from_db()
    assert row.until < row.switched_on_at + timedelta(hours=1)


def test_who_may_not_change_the_mailbox_finds_no_page():
    mailbox = ready_mailbox()
    url = f"/mailboxes/{mailbox.pk}/conversation/"
    reader = SystemUserFactory()
    group_of(reader, "view_mailbox", reach=Reach.ALL)
    owner = SystemUserFactory()
    group_of(owner, "view_mailbox", "change_mailbox", reach=Reach.OWN)
    for user in (reader, owner):
        assert signed_in(user).get(url).status_code == 404
        assert signed_in(user).post(url, {"deed": "on"}).status_code == 404
    assert not VerboseLogging.objects.exists()
