"""What will stop soon is told while there is time, and no longer once somebody has acted (R1.21)."""

from datetime import UTC, datetime, timedelta

import pytest

from mailboxes.authorities import GMAIL_WARNING_AT, IDLE_DAYS, Issuer
from mailboxes.choices import CredentialRetrieval, StateCode, TraceLevel
from mailboxes.models import Mailbox, TraceLog
from mailboxes.signin import SOON
from serversync import forecasts, jobs
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    SystemUserFactory,
    ready_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db, pytest.mark.rule("R1.21")]

NOW = datetime(2026, 3, 1, 3, tzinfo=UTC)
IDLE = timedelta(days=IDLE_DAYS[Issuer.GOOGLE])


@pytest.fixture
def profile():
    return EmailServerProfileFactory(
        incoming_credential_retrieval=CredentialRetrieval.GMAIL_OAUTH,
        oauth_client_id="client",
        oauth_client_secret="secret",
    )


def mailbox_with(profile, **columns):
    """Connected, and renewed an hour ago, unless said otherwise."""
    values = {
        "oauth_access_token": "access",
        "oauth_refresh_token": "refresh",
        "oauth_signed_in_on": NOW - timedelta(days=30),
        "oauth_token_expires_on": NOW,
    }
    return ready_mailbox(email_server_profile=profile, password="", **values | columns)


def told():
    rows = TraceLog.objects.filter(closed_on__isnull=True).order_by("code")
    return [(row.code, TraceLevel(row.level)) for row in rows]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({}, []),
        (
            {"oauth_access_token": "", "oauth_refresh_token": "", "oauth_token_expires_on": None},
            [("SignInNeeded", TraceLevel.ERROR)],
        ),
        ({"oauth_refused_code": "SignInExpired"}, [("SignInExpired", TraceLevel.ERROR)]),
        (
            {"oauth_refresh_token": "", "oauth_token_expires_on": NOW + timedelta(minutes=30)},
            [("SignInEndsSoon", TraceLevel.ERROR)],
        ),
        (
            {"oauth_token_expires_on": NOW - IDLE + SOON - timedelta(hours=1)},
            [("SignInEndsSoon", TraceLevel.ERROR)],
        ),
        ({"oauth_token_expires_on": NOW - IDLE + SOON + timedelta(hours=1)}, []),
        ({"state_code": StateCode.INACTIVE, "oauth_refused_code": "SignInExpired"}, []),
    ],
)
def test_a_sign_in_that_needs_its_owner_is_told(profile, columns, expected):
    mailbox_with(profile, **columns)
    forecasts.look_ahead(NOW)
    assert told() == expected


def test_a_repeat_updates_the_alert_and_a_new_sign_in_clears_it(profile):
    mailbox = mailbox_with(profile, oauth_refused_code="SignInExpired")
    forecasts.look_ahead(NOW)
    forecasts.look_ahead(NOW + timedelta(days=1))
    assert TraceLog.objects.get().occurrences == 2

    Mailbox.objects.filter(pk=mailbox.pk).update(oauth_refused_code="")
    forecasts.look_ahead(NOW + timedelta(days=2))
    assert told() == []


def test_what_got_worse_is_told_instead(profile):
    mailbox = mailbox_with(profile, oauth_token_expires_on=NOW - IDLE + timedelta(days=3))
    forecasts.look_ahead(NOW)
    alert = TraceLog.objects.get()
    assert alert.trace_parameters["date"] == "2026-03-04"

    Mailbox.objects.filter(pk=mailbox.pk).update(oauth_refused_code="SignInExpired")
    forecasts.look_ahead(NOW + timedelta(days=4))
    assert told() == [("SignInExpired", TraceLevel.ERROR)]


def test_mailboxes_that_need_no_sign_in_are_left_alone():
    ready_mailbox()
    assert "0 sign-ins" in forecasts.look_ahead(NOW)
    assert told() == []


@pytest.mark.parametrize(("days", "warned"), [(13, True), (14, True), (15, False), (-1, True)])
def test_a_client_secret_that_ends_is_told_on_its_profile(profile, days, warned):
    profile.oauth_client_secret_expires_on = (NOW + timedelta(days=days)).date()
    profile.save()
    forecasts.look_ahead(NOW)
    assert told() == ([("ClientSecretEndsSoon", TraceLevel.ERROR)] if warned else [])
    if warned:
        assert TraceLog.objects.get().regarding_profile == profile
        profile.oauth_client_secret_expires_on = (NOW + timedelta(days=400)).date()
        profile.save()
        forecasts.look_ahead(NOW)
        assert told() == []


def test_a_client_with_ninety_accounts_is_told_and_goes_on(profile):
    users = [SystemUserFactory() for _number in range(GMAIL_WARNING_AT - 1)]
    connected = {
        "email_server_profile": profile,
        "oauth_access_token": "access",
        "oauth_refresh_token": "refresh",
        "oauth_signed_in_on": NOW,
        "oauth_token_expires_on": NOW,
    }
    Mailbox.objects.filter(regarding_user__in=users).update(**connected)
    forecasts.look_ahead(NOW)
    assert told() == []

    last = mailbox_with(profile)
    forecasts.look_ahead(NOW)
    assert told() == [("ProviderUsersNearLimit", TraceLevel.ERROR)]
    assert last.workloads.filter(enabled=True).count() == 3

    Mailbox.objects.filter(pk=last.pk).update(oauth_refresh_token="", oauth_signed_in_on=None)
    forecasts.look_ahead(NOW)
    assert ("ProviderUsersNearLimit", TraceLevel.ERROR) not in told()


def test_the_nightly_job_says_what_it_found(profile):
    mailbox_with(profile, oauth_refused_code="SignInExpired")
    assert "1 sign-ins looked at, 1 need somebody" in jobs.forecast_sign_ins()
