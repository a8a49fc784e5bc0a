"""Alerts end by themselves: what left, what did not happen again, what was done after all."""

from datetime import UTC, datetime, timedelta

import pytest

from mailboxes.alerts import raise_alert
from mailboxes.choices import TraceLevel
from mailboxes.models import TraceLog
from serversync import alarms
from serversync.alarms import OVER_AFTER, about, close_over
from tests.factories.activities import EmailFactory
from tests.factories.mailboxes import organization, ready_mailbox

pytestmark = [
    pytest.mark.integration,
    pytest.mark.django_db,
    pytest.mark.database("sqlite"),
    pytest.mark.rule("R8.10"),
]

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LONG_AGO = NOW - OVER_AFTER - timedelta(minutes=1)


def told() -> set[str]:
    return set(TraceLog.objects.filter(closed_on__isnull=True).values_list("code", flat=True))


@pytest.mark.parametrize("code", ["ErrorSendAsDenied", "ErrorInvalidRecipients", "MessageRefused"])
def test_an_email_that_left_after_all_has_no_alert_of_earlier_attempts(code):
    mailbox = ready_mailbox()
    left, waits = EmailFactory(), EmailFactory()
    for email in (left, waits):
        raise_alert(mailbox, code, now=NOW, object_key=about(email))

    alarms.settled([left], mailbox, NOW)

    (alert,) = TraceLog.objects.filter(closed_on__isnull=True)
    assert alert.object_key == about(waits)


@pytest.mark.parametrize(
    ("code", "level"),
    [
        ("MessageTooLarge", None),
        ("Undelivered", TraceLevel.WARNING),
        ("AddressChanged", None),
        ("ExchangeSyncSchedulingConflictsError", TraceLevel.WARNING),
        ("HookFailed", None),
    ],
)
def test_what_nobody_can_settle_is_over_after_a_week_without_a_repeat(code, level):
    organization(generate_alerts_for_warnings=True)
    raise_alert(ready_mailbox(), code, now=LONG_AGO, level=level)
    close_over(NOW)
    assert told() == set()


def test_what_happened_since_and_what_waits_for_a_person_stays():
    mailbox = ready_mailbox()
    raise_alert(mailbox, "MessageTooLarge", now=LONG_AGO)
    raise_alert(mailbox, "MessageTooLarge", now=NOW - timedelta(days=1))
    for code in (
        "InvalidCredentials",
        "DeliveryUnknown",
        "Quarantined",
        "ExchangeSyncSchedulingConflictsError",
        "SignInEndsSoon",
    ):
        raise_alert(mailbox, code, now=LONG_AGO, level=TraceLevel.ERROR)
    close_over(NOW)
    assert told() == {
        "MessageTooLarge",
        "InvalidCredentials",
        "DeliveryUnknown",
        "Quarantined",
        "ExchangeSyncSchedulingConflictsError",
        "SignInEndsSoon",
    }
