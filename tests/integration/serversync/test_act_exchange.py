"""Whole cycles of appointments, contacts and tasks over Exchange Web Services, against the sandbox."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from uuid import uuid4

import pytest

from activities.models import (
    ActivityMimeAttachment,
    ActivityPointer,
    Appointment,
    Contact,
    RecurringAppointmentMaster,
    Task,
)
from mailboxes.choices import ActDeliveryMethod, Operation
from mailboxes.models import Mailbox, Organization
from mailboxes.recurrence import Pattern, Recurrence, Weekday
from serversync import marks
from serversync.act import filters
from serversync.act.cycle import synchronize
from serversync.context import load
from serversync.cycle import CycleResult
from serversync.models import ActState, Workload
from serversync.sandbox.ews.quirks import Quirks
from serversync.sandbox.ews.store import Attachment
from serversync.sandbox.servers import Sandbox, running_sandbox
from tests.factories.activities import ContactFactory
from tests.integration.serversync.acts import meeting, works_with_records
from tests.integration.serversync.cycles import NOW, organization
from tests.integration.serversync.exchanges import ExchangeAccount, profile_at
from tests.integration.serversync.test_act_cycle import appointment, contact
from tests.integration.serversync.test_act_files import attached
from tests.statements import counting

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with running_sandbox(local_domains=("example.com",)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Iterator[Sandbox]:
    profile_at(running)
    organization(track_categorized_items=True)
    yield running
    running.faults.clear()
    running.exchange.quirks = Quirks()
    for account in running.exchange.store.accounts():
        running.exchange.store.remove_account(account.address)
    running.exchange.requests.clear()
    running.exchange.store.forget_meeting_mail()


@dataclass
class Account(ExchangeAccount):
    """The same mailbox, seen by the third workload."""

    @property
    def user(self):
        return self.mailbox.regarding_user

    def cycle(self) -> CycleResult:
        token = uuid4()
        rows = Workload.objects.filter(mailbox=self.mailbox, operation=Operation.ACT)
        rows.update(lease_token=token)
        return synchronize(
            load(self.mailbox.pk, Operation.ACT, self.now), token, clock=lambda: self.now
        )

    def quiet(self, cycles: int = 6) -> None:
        for _cycle in range(cycles):
            if not self.cycle().by_state:
                return
            self.now += timedelta(minutes=15)
        raise AssertionError("it never comes to rest")

    def items(self, folder: str):
        return self.exchange.items(self.address, folder)

    @property
    def category(self) -> list[str]:
        return [marks.category(self.mailbox, Organization.objects.current()).name]


def account(sandbox: Sandbox, name: str) -> Account:
    made = Account.of_user(sandbox, name)
    Mailbox.objects.filter(pk=made.mailbox.pk).update(
        act_delivery_method=ActDeliveryMethod.SERVER_SIDE_SYNC
    )
    made.mailbox.refresh_from_db()
    works_with_records(made.user)
    filters.copy_templates(made.user, NOW)
    ActState.objects.create(mailbox=made.mailbox, began_at=NOW, look_again_at=NOW)
    return made


@pytest.fixture
def ada(sandbox: Sandbox) -> Account:
    return account(sandbox, "ada")


def test_contact_travels_both_ways(ada: Account) -> None:
    cleo = contact(ada, job_title="Buyer", birth_date=date(1980, 2, 29), mobile_phone="1")
    ada.quiet()
    (item,) = ada.items("contacts")
    assert (item.text("Surname"), item.text("JobTitle")) == ("Cleo", "Buyer")

    ada.exchange.change(item, job_title="Head of purchasing", phone_numbers={"MobilePhone": "2"})
    ada.quiet()

    cleo.refresh_from_db()
    assert (cleo.job_title, cleo.mobile_phone) == ("Head of purchasing", "2")
    assert cleo.birth_date == date(1980, 2, 29)


def test_meeting_invites_once_and_is_called_off_only_with_approval(
    ada: Account, sandbox: Sandbox
) -> None:
    ben = account(sandbox, "ben")
    plan = appointment(ada, contact(ada, "Ben", email_address1="ben@example.com"))
    ada.quiet()
    ben.quiet()

    assert [mail.recipient for mail in ada.exchange.meeting_mail(kind="request")] == [
        "ben@example.com"
    ]
    Appointment.objects.filter(pk=plan.pk).update(location="Room 1")
    ada.quiet()
    assert len(ada.exchange.meeting_mail()) == 2
    ActivityPointer.objects.filter(pk=plan.pk).delete()
    ada.quiet()
    assert len(ada.exchange.meeting_mail()) == 2


def test_series_with_exceptions_comes_in(ada: Account) -> None:
    when = meeting()
    series = ada.exchange.add(
        ada.address,
        "CalendarItem",
        subject="Weekly",
        start=when.start,
        end=when.end,
        start_time_zone="Europe/Berlin",
        end_time_zone="Europe/Berlin",
        recurrence=Recurrence(
            pattern=Pattern.WEEKLY,
            start=when.start.date(),
            days=frozenset({Weekday(when.start.weekday())}),
            count=6,
        ),
        categories=ada.category,
    )
    ada.exchange.change(ada.exchange.occurrence(series, 2), subject="Moved")
    ada.exchange.delete(ada.exchange.occurrence(series, 4))
    ada.quiet()

    stored = RecurringAppointmentMaster.objects.get()
    assert stored.activity.subject == "Weekly"
    assert [one.activity.subject for one in stored.exceptions.all()] == ["Moved"]
    assert len(stored.deleted_exceptions_list) == 1


def test_tracked_task_follows(ada: Account) -> None:
    item = ada.exchange.add(ada.address, "Task", subject="Offer", categories=ada.category)
    ada.quiet()
    ada.exchange.change(item, percent_complete=100)
    ada.quiet()

    assert Task.objects.get().percent_complete == 100


def requests_of(account: Account) -> list[str]:
    return [request.operation for request in account.exchange.requests]


def test_idle_cycle_costs_one_request_a_folder_and_six_statements(ada: Account) -> None:
    contact(ada)
    ada.quiet()
    ada.exchange.requests.clear()
    with counting() as statements:
        ada.cycle()

    assert requests_of(ada) == ["SyncFolderItems"] * 3
    assert len(statements) <= 6


def test_changed_contacts_cost_a_request_a_hundred(ada: Account) -> None:
    """500 of them 5, that is 9 with the folders and the look whose mailbox it is."""
    rows = ContactFactory.build_batch(101, owning_user=ada.user)
    Contact.objects.bulk_create(rows)
    ada.quiet()
    ada.exchange.requests.clear()
    Contact.objects.update(department="Sales")

    assert ada.cycle().by_state == {"server_updated": 101}
    assert requests_of(ada) == [
        *["SyncFolderItems"] * 3,
        "GetUserConfiguration",
        *["UpdateItem"] * 2,
    ]
    for item in ada.items("contacts"):
        ada.exchange.change(item, department="Support")
    ada.exchange.requests.clear()
    assert ada.cycle().by_state == {"store_updated": 101}
    assert requests_of(ada) == ["SyncFolderItems"] * 3 + ["GetItem"] * 2


@pytest.mark.rule("R6.34", "R6.52")
def test_files_of_an_appointment_travel_both_ways(ada: Account) -> None:
    Organization.objects.update(is_appointment_attachment_sync_enabled=True)
    made = appointment(ada)
    attached(made, "list.txt", b"List")
    ada.quiet()
    (item,) = ada.items("calendar")
    store = ada.exchange.store
    assert [(file.name, file.content) for file in store.attachments(item.id)] == [
        ("list.txt", b"List")
    ]
    store.add_attachment(item, Attachment("FileAttachment", "plan.txt", b"Plan!"))
    ada.exchange.change(ada.exchange.again(item), location="Room 1")
    ada.quiet()

    rows = ActivityMimeAttachment.objects.order_by("file_name")
    assert [row.file_name for row in rows] == ["list.txt", "plan.txt"]
    assert requests_of(ada).count("GetAttachment") == 1
    rows.filter(file_name="list.txt").delete()
    ada.quiet()
    assert [file.name for file in store.attachments(item.id)] == ["plan.txt"]
    assert requests_of(ada).count("CreateAttachment") == 1
    assert ada.exchange.meeting_mail() == []
