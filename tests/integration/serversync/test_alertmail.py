"""Mail to owners of server profiles: who sends it, to whom, in which words, once."""

from datetime import UTC, datetime, timedelta

import pytest
from django.core import mail
from django.db import connection
from django.test.utils import CaptureQueriesContext

from activities.models import ActivityParty, Email
from mailboxes.choices import Operation, StateCode
from mailboxes.models import EmailServerProfile, Mailbox, TraceLog
from serversync.alertmail import NOT_SENT, tell_of_major_events
from serversync.choices import WorkloadState
from serversync.models import ProfileAlarm, Workload
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    QueueFactory,
    SystemUserFactory,
    organization,
    ready_mailbox,
)

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.rule("R8.15"),
]

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
OURS = "serversync.site_mail.MailboxBackend"


@pytest.fixture(autouse=True)
def _by_mailboxes_only(settings):
    settings.EMAIL_BACKEND = OURS


@pytest.fixture
def profile() -> EmailServerProfile:
    """Three mailboxes; its owner wants mail."""
    owner = SystemUserFactory(internal_email_address="owner@example.org")
    profile = EmailServerProfileFactory(
        name="Contoso IMAP", owning_user=owner, send_email_alert=True
    )
    for _ in range(3):
        ready_mailbox(email_server_profile=profile)
    return profile


@pytest.fixture
def elsewhere() -> Mailbox:
    """A mailbox of another profile that sends."""
    return ready_mailbox(QueueFactory())


def incoming(profile: EmailServerProfile):
    return Workload.objects.filter(
        mailbox__email_server_profile=profile, operation=Operation.INCOMING
    )


def fail(profile: EmailServerProfile, how_many: int, code="SocketTimedOut", at=NOW) -> None:
    keys = list(incoming(profile).values_list("pk", flat=True)[:how_many])
    Workload.objects.filter(pk__in=keys).update(
        state=WorkloadState.PAUSED,
        state_code=code,
        consecutive_failures=10,
        last_error_code=code,
        last_error_at=at,
    )


def recover(profile: EmailServerProfile) -> None:
    incoming(profile).update(
        state=WorkloadState.READY, consecutive_failures=0, last_error_code="", state_code=""
    )


def mails() -> list[Email]:
    return list(Email.objects.select_related("activity", "sender_mailbox").order_by("submitted_at"))


def recipients(email: Email) -> set[str]:
    rows = ActivityParty.objects.filter(activity=email.pk, participation_type_mask=2)
    return set(rows.values_list("address_used", flat=True))


def test_the_owner_is_told_once_and_told_again_when_it_is_over(profile, elsewhere):
    fail(profile, 2)
    tell_of_major_events(NOW)
    tell_of_major_events(NOW + timedelta(minutes=2))

    (email,) = mails()
    assert recipients(email) == {"owner@example.org"}
    assert email.activity.subject.startswith("2 of 3 mailboxes of “Contoso IMAP” fail")
    assert "2 × SocketTimedOut" in email.description
    assert email.sender_mailbox == elsewhere

    recover(profile)
    tell_of_major_events(NOW + timedelta(minutes=30))
    tell_of_major_events(NOW + timedelta(minutes=32))

    _alarm, clear = mails()
    assert clear.activity.subject.startswith("“Contoso IMAP” works again")
    assert "It lasted 30 minutes." in clear.description


def test_another_event_within_the_hour_waits_for_its_end(profile, elsewhere):
    fail(profile, 3)
    tell_of_major_events(NOW)
    recover(profile)
    tell_of_major_events(NOW + timedelta(minutes=10))
    fail(profile, 3, at=NOW + timedelta(minutes=50))
    tell_of_major_events(NOW + timedelta(minutes=50))
    assert len(mails()) == 2
    tell_of_major_events(NOW + timedelta(minutes=60))
    assert len(mails()) == 3


def test_half_of_the_mailboxes_is_not_enough_and_inactive_ones_do_not_count(profile, elsewhere):
    ready_mailbox(email_server_profile=profile)
    fail(profile, 2)
    tell_of_major_events(NOW)
    assert mails() == []
    healthy = incoming(profile).filter(state=WorkloadState.READY).first()
    Mailbox.objects.filter(pk=healthy.mailbox_id).update(state_code=StateCode.INACTIVE)
    tell_of_major_events(NOW)
    assert len(mails()) == 1


def test_nobody_is_told_who_did_not_ask_and_looking_costs_two_statements(profile, elsewhere):
    EmailServerProfile.objects.update(send_email_alert=False)
    fail(profile, 3)
    with CaptureQueriesContext(connection) as asked:
        tell_of_major_events(NOW)
    assert mails() == []
    assert len(asked) == 2


def test_it_never_leaves_through_the_server_that_fails(profile):
    """Its outgoing side still works; nobody else sends."""
    fail(profile, 2)

    tell_of_major_events(NOW)

    assert mails() == []
    alert = TraceLog.objects.get(code=NOT_SENT, closed_on__isnull=True)
    assert alert.regarding_profile == profile
    assert alert.get_level_display() == "Error"
    assert not ProfileAlarm.objects.filter(is_open=True).exists()


def test_as_soon_as_somebody_can_send_it_leaves_and_the_alert_is_over(profile):
    fail(profile, 2)
    tell_of_major_events(NOW)
    ready_mailbox()
    tell_of_major_events(NOW + timedelta(minutes=2))
    assert len(mails()) == 1
    assert not TraceLog.objects.filter(code=NOT_SENT, closed_on__isnull=True).exists()


@pytest.mark.parametrize("asks", [True, False])
def test_what_nobody_could_send_while_it_lasted_is_over_with_it(profile, asks):
    fail(profile, 3)
    tell_of_major_events(NOW)
    still_told = TraceLog.objects.filter(code=NOT_SENT, closed_on__isnull=True)
    recover(profile)
    EmailServerProfile.objects.filter(pk=profile.pk).update(send_email_alert=asks)
    tell_of_major_events(NOW + timedelta(minutes=30))
    assert still_told.exists()  # there is time to notice it
    tell_of_major_events(NOW + timedelta(minutes=61))
    assert not still_told.exists()


def test_the_mailbox_that_the_organization_chose_comes_first(profile, elsewhere):
    chosen = ready_mailbox()
    organization(alert_mailbox=chosen)
    fail(profile, 2)
    tell_of_major_events(NOW)
    assert mails()[0].sender_mailbox == chosen


def test_a_chosen_mailbox_on_the_failing_server_or_that_fails_itself_is_passed_over(
    profile, elsewhere
):
    organization(alert_mailbox=Mailbox.objects.filter(email_server_profile=profile).first())
    fail(profile, 2)
    tell_of_major_events(NOW)
    assert mails()[0].sender_mailbox == elsewhere

    broken = ready_mailbox()
    broken.workloads.filter(operation=Operation.OUTGOING).update(consecutive_failures=1)
    organization(alert_mailbox=broken)
    recover(profile)
    tell_of_major_events(NOW + timedelta(minutes=5))
    assert mails()[1].sender_mailbox == elsewhere


def test_it_is_written_in_the_language_and_zone_of_whoever_reads_it(profile, elsewhere):
    settings_row = profile.owning_user.settings
    settings_row.ui_language, settings_row.time_zone = "ja", "Asia/Tokyo"
    settings_row.save()
    fail(profile, 2)
    tell_of_major_events(NOW)
    assert "JST" in mails()[0].description


def test_the_address_for_alerts_comes_before_the_owners(profile, elsewhere):
    EmailServerProfile.objects.filter(pk=profile.pk).update(owner_email_address="pager@example.net")
    fail(profile, 2)
    tell_of_major_events(NOW)
    assert recipients(mails()[0]) == {"pager@example.net"}


def test_of_two_workers_one_tells(profile, elsewhere, monkeypatch):
    """The other one has decided on the same facts, and finds the row changed."""
    from serversync import alertmail

    fail(profile, 2)
    real = alertmail._note

    def overtaken(*args):
        monkeypatch.setattr(alertmail, "_note", real)
        tell_of_major_events(NOW)
        return real(*args)

    monkeypatch.setattr(alertmail, "_note", overtaken)
    tell_of_major_events(NOW)
    assert len(mails()) == 1


def test_a_worker_that_dies_before_its_commit_has_told_nobody(profile, elsewhere, monkeypatch):
    from serversync import alertmail

    fail(profile, 2)

    def dies(*args, **kwargs):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(alertmail, "clear_alerts", dies)
        with pytest.raises(SystemExit):
            tell_of_major_events(NOW)
    assert mails() == [] and not ProfileAlarm.objects.exists()
    tell_of_major_events(NOW + timedelta(minutes=2))
    assert len(mails()) == 1


def test_without_another_mailbox_djangos_own_mail_is_used_after_the_commit(
    profile, settings, django_capture_on_commit_callbacks
):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    fail(profile, 2)
    with django_capture_on_commit_callbacks(execute=True):
        tell_of_major_events(NOW)
    (sent,) = mail.outbox
    assert sent.to == ["owner@example.org"]
    assert sent.extra_headers["Auto-Submitted"] == "auto-generated"
    assert mails() == []


def test_a_failure_of_djangos_mail_is_told_without_its_words(
    profile, settings, django_capture_on_commit_callbacks, monkeypatch
):
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    monkeypatch.setattr(
        "django.core.mail.backends.locmem.EmailBackend.send_messages",
        lambda *args: (_ for _ in ()).throw(OSError("password hunter2 refused")),
    )
    fail(profile, 2)
    with django_capture_on_commit_callbacks(execute=True):
        tell_of_major_events(NOW)
    alert = TraceLog.objects.get(code=NOT_SENT)
    assert alert.error_details == "EMAIL_BACKEND: OSError"
