"""Silent mailboxes: counted from cycles and their daily totals, told, and over when mail comes."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mailboxes.choices import Operation
from mailboxes.models import TraceLog
from serversync.models import MailboxStatistics, MailboxStatisticsDay, Workload
from serversync.quiet import look_for_silence
from tests.factories.mailboxes import EmailServerProfileFactory, ready_mailbox

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

NOW = datetime(2026, 3, 4, 16, 20, tzinfo=UTC)  # a Wednesday
SHARP = NOW.replace(minute=0)


def mailboxes(count: int, profile=None):
    profile = profile or EmailServerProfileFactory()
    made = [ready_mailbox(email_server_profile=profile) for _ in range(count)]
    Workload.objects.update(last_success_at=NOW - timedelta(minutes=5))
    return made


def cycles(mailbox, weeks, items=40) -> None:
    """One cycle two hours before, in each of these weeks."""
    for week in weeks:
        at = SHARP - timedelta(weeks=week, hours=2)
        MailboxStatistics.objects.create(
            mailbox=mailbox,
            operation_type=Operation.INCOMING,
            mailbox_process_started_on=at,
            mailbox_process_completed_on=at,
            items_processed=items,
        )


def told() -> set:
    return {
        (alert.code, alert.regarding_object)
        for alert in TraceLog.objects.filter(closed_on__isnull=True)
    }


def test_a_silent_mailbox_is_told_with_numbers_and_over_when_mail_comes():
    silent, *others = mailboxes(3)
    cycles(silent, range(1, 5))
    for other in others:
        cycles(other, range(5))

    look_for_silence(NOW)

    assert told() == {("MailboxSilent", silent)}
    alert = TraceLog.objects.get()
    assert alert.trace_parameters == {"seen": 0, "hours": 6, "usual": 40, "count": 1}
    assert "usually 40" in alert.text and alert.get_level_display() == "Error"
    cycles(silent, [0], items=30)
    look_for_silence(NOW + timedelta(minutes=20))
    assert told() == set()


def test_if_the_whole_server_is_silent_its_profile_is_told_once():
    made = mailboxes(3)
    for mailbox in made:
        cycles(mailbox, range(1, 5))
    look_for_silence(NOW)
    assert told() == {("ProfileSilent", made[0].email_server_profile)}


@pytest.mark.parametrize(
    "columns",
    [
        {"enabled": False},
        {"state": "paused"},
        {"consecutive_failures": 1},
        {"last_success_at": NOW - timedelta(hours=5)},
    ],
)
def test_a_mailbox_that_is_not_read_is_not_called_silent(columns):
    silent, other = mailboxes(2)
    cycles(silent, range(1, 5))
    cycles(other, range(5))
    look_for_silence(NOW)
    assert told() == {("MailboxSilent", silent)}
    Workload.objects.filter(mailbox=silent, operation=Operation.INCOMING).update(**columns)
    look_for_silence(NOW)
    assert told() == set(), "its own alert says why"


def test_little_mail_is_judged_by_the_week():
    silent, other = mailboxes(2)
    today = NOW.date()
    for days in range(1, 36):
        for mailbox in (silent, other):
            if mailbox is other or days > 7:
                MailboxStatisticsDay.objects.create(
                    mailbox=mailbox,
                    operation_type=Operation.INCOMING,
                    day=today - timedelta(days=days),
                    items_processed=5,
                    counted_at=NOW,
                )
    look_for_silence(NOW)
    assert told() == {("MailboxSilent", silent)}
    assert TraceLog.objects.get().trace_parameters["hours"] == 168


def test_looking_costs_the_same_however_many_mailboxes_there_are():
    def asked() -> int:
        with CaptureQueriesContext(connection) as queries:
            look_for_silence(NOW)
        return len(queries)

    for mailbox in mailboxes(2):
        cycles(mailbox, range(5))
    few = asked()
    for mailbox in mailboxes(4):
        cycles(mailbox, range(5))
    assert asked() == few
