"""What a page of the console costs in statements, however many rows there are."""

from datetime import timedelta

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from activities.choices import ActivityType, Direction, EmailStatus
from activities.models import ActivityPointer, Contact, Email
from mailboxes.choices import Reach
from mailboxes.models import SystemUser
from serversync.models import MailboxStatistics, SyncItem
from tests.factories.clients import signed_in
from tests.factories.mailboxes import (
    EmailServerProfileFactory,
    SuperuserFactory,
    SystemUserFactory,
    group_of,
    ready_mailbox,
)

pytestmark = pytest.mark.integration

ROWS = 100
LIST = 12


@pytest.fixture
def site(db) -> SystemUser:
    """A hundred mailboxes, items, e-mails, contacts and cycles."""
    administrator = SuperuserFactory()
    profile = EmailServerProfileFactory()
    now = timezone.now()
    for _number in range(ROWS):
        mailbox = ready_mailbox(SystemUserFactory(), email_server_profile=profile)
        mailbox.workloads.filter(operation=0).update(
            consecutive_failures=1, last_error_code="SocketTimedOut", last_success_at=now
        )
        SyncItem.objects.create(
            mailbox=mailbox, folder="INBOX", source_key="1", state="tracked", subject="Hello"
        )
        pointer = ActivityPointer.objects.create(
            activity_type_code=ActivityType.EMAIL,
            subject="Hello",
            owning_user=administrator,
            sort_date=now - timedelta(minutes=_number),
        )
        Email.objects.create(
            activity=pointer,
            direction_code=Direction.INCOMING,
            status_code=EmailStatus.RECEIVED,
            receiving_mailbox=mailbox,
            description="x" * 1000,
        )
        Contact.objects.create(last_name=f"Number {_number}", owning_user=administrator)
        MailboxStatistics.objects.create(
            mailbox=mailbox,
            operation_type=0,
            mailbox_process_started_on=now,
            mailbox_process_completed_on=now,
        )
    return administrator


def statements(client, url: str) -> list[str]:
    """SELECTs and writes of one request; transaction control isn't counted."""
    ContentType.objects.clear_cache()
    client.get(url)  # what a process reads once
    with CaptureQueriesContext(
        connection,
    ) as captured:
        answer = client.get(url)
    assert answer.status_code == 200
    control = ("SAVEPOINT", "RELEASE", "BEGIN", "COMMIT", "ROLLBACK")
    return [q["sql"] for q in captured if not q["sql"].startswith(control)]


def too_dear(user, *models: str) -> str:
    """The statements of those of these lists that cost too many."""
    client = signed_in(user)
    found = {model: statements(client, reverse(f"admin:{model}_changelist")) for model in models}
    return "\n".join("\n".join([model, *made]) for model, made in found.items() if len(made) > LIST)


def test_a_list_of_a_hundred_rows_costs_at_most_twelve_statements(site):
    assert not too_dear(
        site,
        "mailboxes_mailbox",
        "mailboxes_systemuser",
        "mailboxes_emailserverprofile",
        "mailboxes_queue",
        "mailboxes_tracelog",
        "serversync_syncitem",
        "serversync_mailboxstatistics",
        "serversync_workload",
        "activities_email",
        "activities_contact",
        "activities_queueitem",
    )


def test_the_mailbox_list_of_a_limited_user_stays_within_the_same(site):
    user = SystemUserFactory()
    group_of(user, "view_mailbox", "view_syncitem", reach=Reach.ALL)
    assert not too_dear(user, "mailboxes_mailbox", "serversync_syncitem")


def test_the_front_page_costs_the_same_for_any_number_of_mailboxes(site):
    found = statements(signed_in(site), reverse("admin:index"))
    assert len(found) <= 32, "\n".join(found)
