"""What will stop soon is told while there is time, and no longer once somebody has acted (R1.21)."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailboxes import certificates
from mailboxes.authorities import GMAIL_WARNING_AT, IDLE_DAYS, Issuer
from mailboxes.choices import CredentialRetrieval, StateCode, TraceLevel
from mailboxes.models import (
    DiscoveredEndpoint,
    EmailServerProfile,
    Mailbox,
    ServerCertificate,
    TraceLog,
)
from mailboxes.protocols import certificates as seen
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


# -- certificates of servers


def certificate(host="mail.example.com", port=993, days=20):
    return ServerCertificate.objects.create(
        host=host, port=port, valid_until=NOW + timedelta(days=days), seen_on=NOW
    )


def certificates_told():
    rows = TraceLog.objects.filter(code="CertificateEndsSoon", closed_on__isnull=True)
    return sorted(rows.values_list("regarding_profile__name", "object_key"))


@pytest.mark.parametrize(("days", "told"), [(31, False), (29, True), (2, True), (-1, True)])
def test_a_certificate_that_ends_is_told_on_each_profile_that_meets_it(days, told):
    one, other = EmailServerProfileFactory(), EmailServerProfileFactory()
    EmailServerProfileFactory(incoming_server_location="elsewhere.example.com")
    certificate(days=days)

    forecasts.look_ahead(NOW)

    key = "mail.example.com:993"
    assert certificates_told() == (sorted([(one.name, key), (other.name, key)]) if told else [])


def test_the_alert_is_over_once_a_connection_has_seen_the_new_one():
    EmailServerProfileFactory()
    row = certificate()
    forecasts.look_ahead(NOW)
    assert certificates_told()
    ServerCertificate.objects.filter(pk=row.pk).update(valid_until=NOW + timedelta(days=90))
    forecasts.look_ahead(NOW + timedelta(days=1))
    assert certificates_told() == []


def test_a_profile_that_no_longer_meets_the_server_is_done_with_it():
    profile = EmailServerProfileFactory()
    certificate(port=587)
    forecasts.look_ahead(NOW)
    assert certificates_told()
    EmailServerProfile.objects.filter(pk=profile.pk).update(outgoing_uses_ssl=False)
    forecasts.look_ahead(NOW)
    assert certificates_told() == []


def test_an_exchange_server_is_known_by_its_address_or_by_where_it_was_found():
    entered = EmailServerProfileFactory(exchange=True)
    found = EmailServerProfileFactory(exchange=True, use_auto_discover=True)
    DiscoveredEndpoint.objects.create(
        mailbox=ready_mailbox(email_server_profile=found),
        url="https://cas.example.org:8443/EWS/Exchange.asmx",
        found_on=NOW,
    )
    certificate(port=443)
    certificate("cas.example.org", 8443)
    forecasts.look_ahead(NOW)
    assert certificates_told() == sorted(
        [(entered.name, "mail.example.com:443"), (found.name, "cas.example.org:8443")]
    )


def test_snoozing_lasts_until_the_next_stage():
    EmailServerProfileFactory()
    certificate(days=30)
    until = NOW + timedelta(days=60)
    forecasts.look_ahead(NOW)
    for day, awake in ((10, False), (17, True), (18, False), (28, True)):
        TraceLog.objects.update(snoozed_until=until)
        forecasts.look_ahead(NOW + timedelta(days=day))
        if awake:
            assert TraceLog.objects.get().snoozed_until is None, day
        else:
            assert TraceLog.objects.get().snoozed_until == until, day


def test_what_a_process_saw_is_written_once_a_day(monkeypatch):
    monkeypatch.setattr(certificates, "_written", {})
    seen.take()
    ends = NOW + timedelta(days=80)
    for _ in range(2):
        seen._seen["mail.example.com", 993] = ends
        certificates.keep(NOW)
    with CaptureQueriesContext(connection) as asked:
        seen._seen["mail.example.com", 993] = ends
        assert certificates.keep(NOW + timedelta(hours=1)) == 0
    assert len(asked) == 0
    seen._seen["mail.example.com", 993] = ends + timedelta(days=90)
    assert certificates.keep(NOW + timedelta(hours=2)) == 1
    row = ServerCertificate.objects.get()
    assert (row.valid_until, row.seen_on) == (ends + timedelta(days=90), NOW + timedelta(hours=2))
