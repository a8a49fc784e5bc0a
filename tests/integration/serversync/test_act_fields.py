"""Fields through whole cycles: which way they go, where they lie, and that nothing echoes."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from activities.choices import AttendeeResponse, ParticipationType, TaskStatus
from activities.models import ActivityParty, Contact, Task
from mailboxes.protocols.items import (
    TASKS,
    Address,
    Response,
    Sensitivity,
    TaskProgress,
)
from serversync.act import directions
from serversync.act.fields import mapping_of
from serversync.act.types import Direction
from tests.factories.activities import (
    AccountFactory,
    ActivityPartyFactory,
    ContactFactory,
    TaskFactory,
)
from tests.factories.mailboxes import SuperuserFactory
from tests.integration.serversync.acts import ActAccount, act_account, people
from tests.integration.serversync.cycles import organization
from tests.integration.serversync.test_act_cycle import appointment, contact

pytestmark = [pytest.mark.integration, pytest.mark.django_db]

HOME, WORK = Address("Path 2", "Kiel"), Address("Way 1", "Berlin")


@pytest.fixture
def ada() -> ActAccount:
    organization(track_categorized_items=True)
    return act_account()


def item_of(account: ActAccount, record: object):
    return account.account.items[account.link_of(record).exchange_entry_id]


def choose(account: ActAccount, **ways: Direction) -> None:
    """`contact__body`: of the field contact.body."""
    chosen = {mapping_of(key.replace("__", ".")): way for key, way in ways.items()}
    directions.choose(chosen, actor=SuperuserFactory(), now=account.now)


def edit(account: ActAccount, record: object, **fields: object) -> None:
    account.account.edit(item_of(account, record).id, **fields)


# -- directions ------------------------------------------------------------------------------------


@pytest.mark.rule("R6.17")
def test_a_field_without_a_direction_is_neither_read_nor_written(ada):
    choose(ada, contact__body=Direction.NONE)
    cleo = contact(ada, description="Private to us")
    ada.quiet()
    assert item_of(ada, cleo).fields["body"] == ""

    edit(ada, cleo, body="Private to them", nickname="C")
    ada.quiet()

    cleo.refresh_from_db()
    assert (cleo.description, cleo.nickname) == ("Private to us", "C")
    assert item_of(ada, cleo).fields["body"] == "Private to them"


@pytest.mark.rule("R6.14")
def test_a_field_that_goes_one_way_does_not_come_back(ada):
    choose(ada, contact__job_title=Direction.TO_SERVER, contact__department=Direction.TO_STORE)
    cleo = contact(ada, job_title="Buyer", parent_account=AccountFactory(name="Example Ltd"))
    ada.quiet()
    assert item_of(ada, cleo).fields["company_name"] == "Example Ltd"
    edit(ada, cleo, job_title="Seller", department="Sales", company_name="Another")
    ada.quiet()
    cleo.refresh_from_db()
    assert (cleo.job_title, cleo.department) == ("Buyer", "Sales")
    assert cleo.parent_account.name == "Example Ltd"

    Contact.objects.filter(pk=cleo.pk).update(job_title="Head", department="Support")
    ada.quiet()

    fields = item_of(ada, cleo).fields
    assert (fields["job_title"], fields["department"]) == ("Head", "Sales")


@pytest.mark.rule("R6.14")
def test_what_is_opened_later_is_united(ada):
    choose(ada, contact__body=Direction.NONE)
    cleo = contact(ada, description="Ours")
    ada.quiet()
    choose(ada, contact__body=Direction.BOTH)
    ada.quiet()
    assert item_of(ada, cleo).fields["body"] == "Ours"


# -- addresses (R6.16) -----------------------------------------------------------------------------


@pytest.mark.rule("R6.16")
def test_the_one_address_lies_where_the_item_has_it(ada):
    cleo = contact(ada, address1_city="Berlin")
    ada.quiet()
    fields = item_of(ada, cleo).fields
    assert (fields["business_address"].city, fields["mailing_address"]) == ("Berlin", "business")
    edit(ada, cleo, home_address=HOME, business_address=WORK, mailing_address="home")
    ada.quiet()
    cleo.refresh_from_db()
    assert (cleo.address1_line1, cleo.address1_city) == ("Path 2", "Kiel")

    Contact.objects.filter(pk=cleo.pk).update(address1_city="Lübeck")
    ada.quiet()

    fields = item_of(ada, cleo).fields
    assert fields["home_address"] == Address("Path 2", "Lübeck")
    assert fields["business_address"] == WORK


@pytest.mark.rule("R6.16")
def test_switching_to_all_three_remaps_what_is_linked(ada):
    cleo = contact(ada)
    ada.quiet()
    edit(ada, cleo, home_address=HOME, business_address=WORK, mailing_address="home")
    ada.quiet()
    assert directions.counts_of_switching(True).changed == 1

    directions.switch_addresses(True, actor=SuperuserFactory(), now=ada.now)
    ada.quiet()

    cleo.refresh_from_db()
    assert (cleo.address1_city, cleo.address2_city) == ("Berlin", "Kiel")
    fields = item_of(ada, cleo).fields
    assert (fields["business_address"], fields["home_address"]) == (WORK, HOME)


# -- what a record can't hold ------------------------------------------------------------------------


def test_what_was_cut_is_not_carried_back(ada):
    cleo = contact(ada)
    ada.quiet()
    edit(ada, cleo, job_title="x" * 200)
    ada.quiet()
    cleo.refresh_from_db()
    assert cleo.job_title == "x" * 100

    Contact.objects.filter(pk=cleo.pk).update(nickname="C")
    ada.quiet()

    assert item_of(ada, cleo).fields["job_title"] == "x" * 200


# -- tasks -----------------------------------------------------------------------------------------


def task(account: ActAccount, **columns: object) -> Task:
    return TaskFactory(activity__owning_user=account.user, **columns)


@pytest.mark.rule("R6.37")
def test_a_due_time_reminds_there_and_the_reminder_does_not_come_back(ada):
    due = (ada.now + timedelta(days=3)).replace(hour=14)
    made = task(ada, scheduled_end=due)
    ada.quiet()
    assert item_of(ada, made).fields["reminder"] == due

    edit(ada, made, reminder=due + timedelta(hours=1))
    ada.quiet()

    made.refresh_from_db()
    assert made.scheduled_end == due


@pytest.mark.rule("R6.37")
def test_how_far_a_task_is_goes_both_ways(ada):
    made = task(ada, status_code=TaskStatus.IN_PROGRESS, percent_complete=30)
    ada.quiet()
    fields = item_of(ada, made).fields
    assert (fields["status"], fields["percent_complete"]) == (TaskProgress.IN_PROGRESS, 30)

    edit(ada, made, percent_complete=100, status=TaskProgress.COMPLETED, completed=date(2026, 3, 1))
    ada.quiet()

    made.refresh_from_db()
    assert (made.status, made.percent_complete) == (TaskStatus.COMPLETED, 100)
    assert made.actual_end == datetime(2026, 3, 1, tzinfo=UTC)
    assert [item.fields["status"] for item in ada.account.held(TASKS)] == [TaskProgress.COMPLETED]


# -- meetings --------------------------------------------------------------------------------------


def test_answers_are_kept_with_the_attendees(ada):
    ben = ContactFactory(email_address1="ben@customer.example")
    made = appointment(ada, ben)
    ada.quiet()
    ada.account.answer(item_of(ada, made).id, "ben@customer.example", Response.ACCEPTED)
    ada.quiet()

    party = ActivityParty.objects.get(activity=made.pk, party_id=str(ben.pk))
    assert party.response == AttendeeResponse.ACCEPTED


@pytest.mark.rule("R6.36")
def test_private_goes_both_ways(ada):
    made = appointment(ada, is_mapi_private=True)
    ada.quiet()
    assert item_of(ada, made).fields["sensitivity"] == Sensitivity.PRIVATE
    edit(ada, made, sensitivity=Sensitivity.NORMAL)
    ada.quiet()
    made.refresh_from_db()
    assert not made.is_mapi_private


@pytest.mark.rule("R6.26")
def test_who_is_busy_is_told_of_what_is_stored_all_the_same(ada):
    made = appointment(ada)
    ada.quiet()
    other = appointment(ada)
    hour = timedelta(hours=1)
    moved = {"scheduled_start": made.scheduled_end, "scheduled_end": made.scheduled_end + hour}
    type(other).objects.filter(pk=other.pk).update(**moved)
    when = item_of(ada, made).fields["when"]
    later = replace(when, start=when.start + hour, end=when.end + hour)
    edit(ada, made, when=later)
    ada.quiet()
    made.refresh_from_db()
    assert made.scheduled_start == later.start
    told = [reason["code"] for revision in ada.revisions for reason in revision.reasons]
    assert told.count("stored_while_busy") == 1


def test_who_has_no_address_is_named_when_others_are_invited(ada):
    made = appointment(ada, ContactFactory(email_address1="ben@customer.example"))
    ActivityPartyFactory(
        activity=made.activity,
        participation_type_mask=ParticipationType.REQUIRED_ATTENDEE,
        address_used="",
        unresolved_party_name="Somebody",
    )
    ada.quiet()
    (written,) = [revision for revision in ada.revisions if revision.side == "server"]
    assert {"code": "without_address", "parameters": {"parties": "Somebody"}} in written.reasons
    assert item_of(ada, made).fields["required"] == people("ben@customer.example")
