"""Rules of section 6 that a whole cycle, or the engine around it, proves."""

from datetime import timedelta

import pytest

from activities.choices import ActivityType, ParticipationType
from activities.models import Appointment, Contact, Task
from mailboxes.choices import AccessApproval, ActDeliveryMethod, Operation
from mailboxes.models import Mailbox
from mailboxes.protocols.items import CALENDAR, CONTACTS, TASKS, ItemKind, ShowAs
from mailboxes.recurrence import Pattern, Recurrence
from serversync import engine
from serversync.models import Workload
from tests.factories.activities import (
    FaxFactory,
    LetterFactory,
    PhoneCallFactory,
    RecurringAppointmentMasterFactory,
    ServiceAppointmentFactory,
    TaskFactory,
)
from tests.fakeitems import Fate
from tests.integration.serversync.acts import ActAccount, act_account, meeting
from tests.integration.serversync.cycles import NOW, organization, queue_mailbox
from tests.integration.serversync.test_act_cycle import (
    appointment,
    category,
    contact,
    held,
    takes_part,
)

pytestmark = [pytest.mark.integration, pytest.mark.django_db]


@pytest.fixture
def ada() -> ActAccount:
    organization(track_categorized_items=True)
    return act_account()


# -- whose mailboxes take part -------------------------------------------------------------------------


@pytest.fixture
def runs(ada: ActAccount, monkeypatch: pytest.MonkeyPatch) -> ActAccount:
    """The engine runs the cycle, and says which ones it ran."""
    ran: list[str] = []

    def run(context, token, **_):
        ran.append(context.mailbox.email_address)
        return engine.CycleResult()

    monkeypatch.setitem(engine.CYCLES, Operation.ACT, run)
    ada.ran = ran
    return ada


def run_of(mailbox: Mailbox) -> engine.Report:
    return engine.run_one(mailbox, Operation.ACT, force=True)


@pytest.mark.rule("R6.1")
def test_approved_tested_mailbox_of_a_user_takes_part(runs: ActAccount) -> None:
    assert run_of(runs.mailbox).ok
    assert runs.ran == ["ada@example.com"]


@pytest.mark.rule("R6.1")
@pytest.mark.parametrize(
    "columns",
    [
        {"act_delivery_method": ActDeliveryMethod.NONE},
        {"act_delivery_method": ActDeliveryMethod.OUTLOOK},
        {"email_router_access_approval": AccessApproval.PENDING},
    ],
    ids=str,
)
def test_other_methods_and_unapproved_mailboxes_do_not(runs: ActAccount, columns: dict) -> None:
    Mailbox.objects.filter(pk=runs.mailbox.pk).update(**columns)
    runs.mailbox.refresh_from_db()

    assert not run_of(runs.mailbox).ok
    assert runs.ran == []


@pytest.mark.rule("R6.1")
def test_untested_workload_is_never_due(runs: ActAccount) -> None:
    Workload.objects.filter(mailbox=runs.mailbox, operation=Operation.ACT).update(
        enabled=False, next_run_at=NOW - timedelta(days=1)
    )
    engine.work(seconds=5)

    assert runs.ran == []


@pytest.mark.rule("R6.1")
def test_queue_does_not_take_part(runs: ActAccount) -> None:
    queue = queue_mailbox(
        "support",
        email_server_profile=runs.mailbox.email_server_profile,
        act_delivery_method=ActDeliveryMethod.SERVER_SIDE_SYNC,
    )
    queue.workloads.filter(operation=Operation.ACT).update(enabled=True)

    assert not run_of(queue).ok
    assert runs.ran == []


# -- what becomes what ---------------------------------------------------------------------------------


def owned(account: ActAccount, factory, subject: str, **columns):
    return factory(activity__owning_user=account.user, activity__subject=subject, **columns)


@pytest.mark.rule("R6.8")
@pytest.mark.parametrize("factory", [TaskFactory, PhoneCallFactory, LetterFactory, FaxFactory])
def test_tasks_calls_letters_and_faxes_become_tasks(ada: ActAccount, factory) -> None:
    owned(ada, factory, "Ask them")
    ada.quiet()

    (item,) = held(ada, TASKS)
    assert (item.kind, item.fields["subject"]) == (ItemKind.TASK, "Ask them")


@pytest.mark.rule("R6.8")
def test_contact_appointment_and_series_become_their_like(ada: ActAccount) -> None:
    contact(ada)
    appointment(ada)
    series = owned(
        ada,
        RecurringAppointmentMasterFactory,
        "Weekly",
        recurrence=Recurrence(
            pattern=Pattern.DAILY, start=(NOW + timedelta(days=2)).date(), count=5
        ),
    )
    takes_part(series, ParticipationType.ORGANIZER, ada.user, ada.mailbox.email_address)
    ada.quiet()

    assert [item.kind for item in held(ada, CONTACTS)] == [ItemKind.CONTACT]
    assert {item.kind for item in held(ada, CALENDAR)} == {ItemKind.APPOINTMENT, ItemKind.SERIES}


@pytest.mark.rule("R6.8")
def test_service_appointment_becomes_a_meeting_one_way(ada: ActAccount) -> None:
    when = meeting()
    service = owned(
        ada,
        ServiceAppointmentFactory,
        "Installation",
        scheduled_start=when.start,
        scheduled_end=when.end,
    )
    takes_part(service, ParticipationType.RESOURCE, ada.user, ada.mailbox.email_address)
    ada.quiet()
    (item,) = held(ada, CALENDAR)
    ada.account.edit(item.id, subject="Something else")
    ada.quiet()

    assert item.kind is ItemKind.APPOINTMENT
    service.activity.refresh_from_db()
    assert service.activity.subject == "Installation"


@pytest.mark.rule("R6.8")
def test_tracked_task_becomes_a_task(ada: ActAccount) -> None:
    ada.account.add(ItemKind.TASK, subject="Offer", categories=category(ada))
    ada.quiet()

    assert Task.objects.get().activity.activity_type_code == ActivityType.TASK


# -- the rest ------------------------------------------------------------------------------------------


@pytest.mark.rule("R6.25")
def test_busy_time_on_the_server_keeps_nothing_from_being_written(ada: ActAccount) -> None:
    """It is never asked for: the contract has nothing to ask it with."""
    when = meeting()
    ada.account.add(ItemKind.APPOINTMENT, subject="Dentist", when=when, show_as=ShowAs.BUSY)
    plan = appointment(ada)
    assert Appointment.objects.get(pk=plan.pk).scheduled_start == when.start
    ada.quiet()

    assert {item.fields["subject"] for item in held(ada, CALENDAR)} == {"Dentist", "Plan"}


@pytest.mark.rule("R6.54")
def test_item_is_tried_five_times_and_a_change_begins_anew(ada: ActAccount) -> None:
    cleo = contact(ada)
    ada.prepare = lambda server: server.fate("create", Fate.REFUSED)
    for _attempt in range(8):
        ada.cycle()
        ada.later(hours=2)
    link = ada.link_of(cleo)
    assert (link.retries, link.is_pending) == (5, False)
    assert link.last_sync_error

    ada.prepare = lambda server: None
    ada.cycle()
    assert not held(ada, CONTACTS)
    Contact.objects.filter(pk=cleo.pk).update(job_title="Buyer")
    ada.quiet()

    assert len(held(ada, CONTACTS)) == 1
    link.refresh_from_db()
    assert (link.retries, link.last_sync_error) == (0, "")
