"""Alerts: one open row per condition, cleared and opened again."""

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import translation

from mailboxes.alerts import (
    awake,
    clear_alerts,
    clear_outage,
    raise_alert,
    raise_outage,
    shown_text,
    snooze,
)
from mailboxes.choices import TraceLevel
from mailboxes.models import TraceLog
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    SystemUserFactory,
    organization,
    ready_mailbox,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LATER = NOW + timedelta(minutes=5)


@pytest.mark.rule("R8.10")
def test_an_alert_holds_code_number_level_text_detail_and_parameters():
    mailbox = SystemUserFactory().default_mailbox

    raise_alert(
        mailbox,
        "FolderMissing",
        now=NOW,
        parameters={"folder": "Sales"},
        detail="NO [NONEXISTENT]",
        object_key="folder:Sales",
        machine="worker-1",
    )

    alert = TraceLog.objects.get()
    assert alert.regarding_object == mailbox
    assert (alert.code, alert.trace_code) == ("FolderMissing", 409)
    assert alert.level == TraceLevel.ERROR
    assert "Sales" in alert.text
    assert alert.trace_parameters == {"folder": "Sales"}
    assert alert.error_details == "NO [NONEXISTENT]"
    assert alert.machine_name == "worker-1"
    assert alert.created_on == alert.last_seen_on == NOW
    assert alert.can_be_deleted


@pytest.mark.rule("R8.10")
def test_a_repeat_updates_the_open_alert():
    mailbox = SystemUserFactory().default_mailbox
    raise_alert(mailbox, "InvalidCredentials", now=NOW, detail="first")

    raise_alert(mailbox, "InvalidCredentials", now=LATER, detail="second")

    alert = TraceLog.objects.get()
    assert alert.occurrences == 2
    assert (alert.created_on, alert.last_seen_on) == (NOW, LATER)
    assert alert.error_details == "second"


@pytest.mark.rule("R8.10")
def test_other_subjects_codes_and_objects_have_alerts_of_their_own():
    mailbox, other = (SystemUserFactory().default_mailbox for _ in range(2))
    profile = EmailServerProfileFactory()

    raise_alert(mailbox, "InvalidCredentials", now=NOW)
    raise_alert(other, "InvalidCredentials", now=NOW)
    raise_alert(profile, "InvalidCredentials", now=NOW)
    raise_alert(mailbox, "MailboxDisabled", now=NOW)
    raise_alert(mailbox, "InvalidCredentials", now=NOW, object_key="email:1")

    assert TraceLog.objects.count() == 5
    assert set(TraceLog.objects.values_list("occurrences", flat=True)) == {1}


@pytest.mark.rule("R8.10")
def test_after_clearing_the_next_occurrence_opens_a_new_alert():
    mailbox = SystemUserFactory().default_mailbox
    raise_alert(mailbox, "InvalidCredentials", now=NOW)

    assert clear_alerts(mailbox, ["InvalidCredentials"], now=LATER) == 1
    raise_alert(mailbox, "InvalidCredentials", now=LATER)

    rows = TraceLog.objects.order_by("created_on")
    assert [row.closed_on for row in rows] == [LATER, None]
    assert [row.occurrences for row in rows] == [1, 1]


def test_clearing_closes_only_what_is_named():
    mailbox = SystemUserFactory().default_mailbox
    for code, key in (
        ("InvalidCredentials", ""),
        ("MailboxDisabled", ""),
        ("DeliveryUnknown", "a"),
    ):
        raise_alert(mailbox, code, now=NOW, object_key=key)

    assert clear_alerts(mailbox, ["DeliveryUnknown"], "b", now=LATER) == 0
    assert clear_alerts(mailbox, ["MailboxDisabled"], now=LATER) == 1
    assert clear_alerts([mailbox], object_key="a", now=LATER) == 1
    assert TraceLog.objects.get(closed_on=None).code == "InvalidCredentials"


@pytest.mark.rule("R8.11")
def test_transient_conditions_warn_and_permanent_ones_are_errors():
    site = organization(generate_alerts_for_warnings=True)
    mailbox = SystemUserFactory().default_mailbox

    raise_alert(mailbox, "SocketTimedOut", now=NOW, organization=site)
    raise_alert(mailbox, "InvalidCredentials", now=NOW, organization=site)

    levels = dict(TraceLog.objects.values_list("code", "level"))
    assert levels == {
        "SocketTimedOut": TraceLevel.WARNING,
        "InvalidCredentials": TraceLevel.ERROR,
    }


def test_a_transient_condition_that_used_up_its_attempts_becomes_an_error_and_stays_one():
    site = organization(generate_alerts_for_warnings=True)
    mailbox = SystemUserFactory().default_mailbox

    raise_alert(mailbox, "SocketTimedOut", now=NOW, organization=site)
    raise_alert(mailbox, "SocketTimedOut", now=NOW, organization=site, level=TraceLevel.ERROR)
    raise_alert(mailbox, "SocketTimedOut", now=NOW, organization=site)

    assert TraceLog.objects.get().level == TraceLevel.ERROR


@pytest.mark.rule("R8.13")
@pytest.mark.parametrize(
    ("code", "switch"),
    [
        ("InvalidCredentials", "generate_alerts_for_errors"),
        ("SocketTimedOut", "generate_alerts_for_warnings"),
        ("AddressChanged", "generate_alerts_for_information"),
    ],
)
def test_a_level_that_is_switched_off_leaves_no_row(code, switch):
    mailbox = SystemUserFactory().default_mailbox

    assert not raise_alert(mailbox, code, now=NOW, organization=organization(**{switch: False}))
    assert not TraceLog.objects.exists()
    assert raise_alert(mailbox, code, now=NOW, organization=organization(**{switch: True}))
    assert TraceLog.objects.get().code == code


@pytest.mark.rule("R8.13")
def test_errors_and_information_are_on_and_warnings_off_by_default():
    mailbox = SystemUserFactory().default_mailbox

    for code in ("InvalidCredentials", "SocketTimedOut", "TestAndEnableSucceeded"):
        raise_alert(mailbox, code, now=NOW)

    stored = set(TraceLog.objects.values_list("code", flat=True))
    assert stored == {"InvalidCredentials", "TestAndEnableSucceeded"}


def test_an_alert_costs_two_statements_and_a_repeat_one(statements):
    mailbox, site = SystemUserFactory().default_mailbox, organization()

    with statements() as first:
        raise_alert(mailbox, "InvalidCredentials", now=NOW, organization=site)
    with statements() as second:
        raise_alert(mailbox, "InvalidCredentials", now=NOW, organization=site)

    assert (len(first), len(second)) == (2, 1)


@pytest.mark.rule("R8.10")
@pytest.mark.django_db(transaction=True)
def test_workers_that_raise_the_same_alert_at_once_leave_one_open_row():
    mailbox, site = SystemUserFactory().default_mailbox, organization()
    ready = threading.Barrier(4)
    failures = []

    def work():
        try:
            ready.wait(10)
            for _ in range(5):
                raise_alert(mailbox, "InvalidCredentials", now=NOW, organization=site)
        except Exception as error:  # noqa: BLE001 - told to the test's own thread
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    alert = TraceLog.objects.get()
    assert 17 <= alert.occurrences <= 20  # those that met at the first one count once


def test_an_outage_of_a_server_is_one_alert_on_its_profile():
    profile, site = EmailServerProfileFactory(), organization()
    mailboxes = [ready_mailbox(email_server_profile=profile) for _ in range(3)]

    for mailbox in mailboxes:
        raise_outage(mailbox, profile, "CertificateRejected", now=NOW, organization=site)

    alert = TraceLog.objects.get()
    assert alert.regarding_object == profile
    assert alert.occurrences == 3
    assert clear_outage(mailboxes[0], profile, now=LATER) == 1


def test_a_condition_of_the_mailbox_itself_stays_there_also_in_an_outage():
    profile, site = EmailServerProfileFactory(), organization()
    mailbox = ready_mailbox(email_server_profile=profile)

    raise_outage(mailbox, profile, "InvalidCredentials", now=NOW, organization=site)

    assert TraceLog.objects.get().regarding_object == mailbox


def test_strict_parity_alerts_every_mailbox_of_an_outage():
    profile, site = EmailServerProfileFactory(), organization(strict_parity=True)
    mailboxes = [ready_mailbox(email_server_profile=profile) for _ in range(3)]

    for mailbox in mailboxes:
        raise_outage(mailbox, profile, "CertificateRejected", now=NOW, organization=site)

    assert {row.regarding_object for row in TraceLog.objects.all()} == set(mailboxes)


def test_what_servers_send_is_stored_whatever_it_holds():
    mailbox = SystemUserFactory().default_mailbox

    raise_alert(
        mailbox,
        "ErrorFromTheFuture%s",
        now=NOW,
        level=TraceLevel.ERROR,
        parameters={"a": "\0", "when": NOW},
        detail="x\0" * 5000,
        object_key="k",
    )

    alert = TraceLog.objects.get()
    assert "ErrorFromTheFuture%s" in alert.text
    assert len(alert.error_details) == 2048
    assert "\0" not in alert.error_details


def test_the_reader_sees_an_alert_in_his_own_language_and_the_store_in_the_sites():
    mailbox = SystemUserFactory().default_mailbox
    with translation.override("ja"):
        raise_alert(mailbox, "InvalidCredentials", now=NOW)
        alert = TraceLog.objects.get()
        assert shown_text(alert)
    assert alert.text == shown_text(alert)


# -- snoozing


def on_the_wall(now) -> set[str]:
    return set(TraceLog.objects.filter(awake(now)).values_list("code", flat=True))


@pytest.mark.rule("R10.4")
def test_a_snoozed_alert_is_off_the_wall_until_its_time_is_over():
    user = SystemUserFactory()
    raise_alert(user.default_mailbox, "InvalidCredentials", now=NOW)

    assert snooze(TraceLog.objects.all(), LATER, by=user, now=NOW) == 1

    assert on_the_wall(NOW) == set()
    raise_alert(user.default_mailbox, "InvalidCredentials", now=NOW)
    assert on_the_wall(NOW) == set(), "once more of the same is no news"
    assert on_the_wall(LATER) == {"InvalidCredentials"}
    alert = TraceLog.objects.get()
    assert (alert.snoozed_by, alert.occurrences, alert.is_open) == (user, 2, True)


@pytest.mark.rule("R10.4")
def test_a_snoozed_alert_comes_back_as_soon_as_it_gets_worse():
    organization(generate_alerts_for_warnings=True)
    mailbox = SystemUserFactory().default_mailbox
    raise_alert(mailbox, "SocketTimedOut", now=NOW)
    snooze(TraceLog.objects.all(), LATER, by=None, now=NOW)

    raise_alert(mailbox, "SocketTimedOut", now=NOW, level=TraceLevel.ERROR)

    assert on_the_wall(NOW) == {"SocketTimedOut"}
    snooze(TraceLog.objects.all(), LATER, by=None, now=NOW)
    raise_alert(mailbox, "SocketTimedOut", now=NOW, level=TraceLevel.WARNING)
    assert on_the_wall(NOW) == set(), "a milder repeat of a snoozed error"


@pytest.mark.rule("R10.4")
def test_snoozing_ends_by_hand_and_touches_no_cleared_alert():
    mailbox = SystemUserFactory().default_mailbox
    raise_alert(mailbox, "InvalidCredentials", now=NOW)
    clear_alerts(mailbox, now=NOW)
    assert snooze(TraceLog.objects.all(), LATER, by=None, now=NOW) == 0
    raise_alert(mailbox, "InvalidCredentials", now=NOW)
    snooze(TraceLog.objects.all(), LATER, by=None, now=NOW)
    snooze(TraceLog.objects.all(), None, by=None, now=NOW)
    assert on_the_wall(NOW) == {"InvalidCredentials"}
