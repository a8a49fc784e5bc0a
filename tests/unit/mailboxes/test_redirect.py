"""While all mail goes to one address, nothing else passes the line."""

import pytest
from django.core.checks import Error, Warning

from mailboxes import checks
from mailboxes.protocols.base import Envelope
from mailboxes.protocols.errors import MessageRefused
from mailboxes.protocols.items import ItemKind, Outcome, Tell
from mailboxes.redirect import OnlyTo, guarded, guarded_items
from tests.contracts.items import INVITING, draft
from tests.fakeitems import FakeItemsServer
from tests.fakes import FakeOutgoingServer

STAGING = "staging@example.net"


def envelope(*recipients: str) -> Envelope:
    return Envelope("1@example.com", "ada@example.com", recipients, b"Subject: x\r\n\r\n")


@pytest.mark.parametrize(
    "recipients",
    [("ben@example.org",), (STAGING, "ben@example.org"), (), ("staging@example.net.example.org",)],
)
def test_whatever_forgot_to_redirect_is_refused_before_the_line_is_used(settings, recipients):
    settings.REDIRECT_ALL_MAIL_TO = STAGING
    server = FakeOutgoingServer()
    handed = []

    with pytest.raises(MessageRefused, match="REDIRECT_ALL_MAIL_TO"):
        guarded(server).open().send(envelope(*recipients), lambda: handed.append(1))

    assert (handed, server.sent) == ([], [])


def test_what_was_redirected_passes(settings):
    settings.REDIRECT_ALL_MAIL_TO = STAGING
    server = FakeOutgoingServer()
    guard = guarded(server)
    assert isinstance(guard, OnlyTo)

    guard.open().send(envelope("Staging@Example.net"), lambda: None)

    assert len(server.sent) == 1
    assert guard.protocol == server.protocol


def test_without_the_setting_there_is_no_guard():
    server = FakeOutgoingServer()

    assert guarded(server) is server


@pytest.mark.parametrize(
    "backend", ["django.core.mail.backends.smtp.EmailBackend", "other.provider.EmailBackend"]
)
def test_check_says_so_and_refuses_a_backend_that_mail_escapes_by(settings, backend):
    settings.REDIRECT_ALL_MAIL_TO = STAGING
    settings.EMAIL_BACKEND = backend

    warning, error = checks.redirected_mail(None)

    assert (type(warning), warning.id) == (Warning, "serversync.W002")
    assert STAGING in warning.msg
    assert (type(error), error.id) == (Error, "serversync.E011")


def test_check_has_nothing_against_a_backend_that_is_redirected_or_reaches_nobody(settings):
    settings.REDIRECT_ALL_MAIL_TO = STAGING
    for settings.EMAIL_BACKEND in checks.REACH_NOBODY:
        assert [one.id for one in checks.redirected_mail(None)] == ["serversync.W002"]


def test_check_is_silent_on_a_site_that_reaches_people(settings):
    assert checks.redirected_mail(None) == []


def test_a_meeting_that_would_be_told_is_refused_and_a_silent_one_is_written(settings):
    settings.REDIRECT_ALL_MAIL_TO = STAGING
    server = FakeItemsServer()
    loud = draft(ItemKind.APPOINTMENT, tell=Tell.ALL, **INVITING)
    silent = draft(ItemKind.APPOINTMENT, **INVITING)

    written = guarded_items(server).open().create([silent, loud, silent])

    assert [each.outcome for each in written] == [Outcome.DONE, Outcome.REFUSED, Outcome.DONE]
    assert "REDIRECT_ALL_MAIL_TO" in str(written[1].error)
    assert (len(server.account.items), server.account.mails) == (2, [])


def test_without_the_setting_meetings_are_told():
    server = FakeItemsServer()

    assert guarded_items(server) is server
