"""Tasks, phone calls, letters and faxes (R6.37 to R6.40)."""

from datetime import date, datetime, timedelta

import pytest

from mailboxes.protocols.items import TaskProgress
from serversync.act.types import Lifecycle, LinkFacts, Table, Verb
from tests.unit.serversync.act.builders import (
    DAY,
    NOW,
    codes,
    decide,
    pair,
    without_server,
    without_store,
)

TODAY = NOW.date()
TO_DOS = [Table.TASK, Table.PHONE_CALL, Table.LETTER, Table.FAX]
DUE_AT = datetime.combine(TODAY + DAY, NOW.time(), NOW.tzinfo)
COMPLETED = TaskProgress.COMPLETED
BASE = {"status": TaskProgress.NOT_STARTED, "percent_complete": 0}


@pytest.mark.rule("R6.37")
@pytest.mark.parametrize("table", TO_DOS)
@pytest.mark.parametrize("state", [Lifecycle.COMPLETED, Lifecycle.CANCELED])
def test_what_is_closed_here_is_completed_there(table, state):
    ended = {"completed": TODAY - DAY}
    decision = decide(pair(table, store=ended, record={"lifecycle": state}))
    assert decision.to_server.fields["status"] is COMPLETED
    assert decision.to_server.fields["completed"] == TODAY - DAY
    assert decision.to_store is None


@pytest.mark.rule("R6.37")
@pytest.mark.parametrize(
    "there",
    [{"percent_complete": 100}, {"status": COMPLETED}, {"completed": TODAY, "status": COMPLETED}],
)
def test_a_hundred_percent_there_is_completed_here(there):
    decision = decide(pair(Table.TASK, server=there))
    assert decision.to_store.lifecycle is Lifecycle.COMPLETED
    assert decision.to_store.fields["status"] is COMPLETED
    assert decision.to_store.fields["percent_complete"] == 100
    assert decision.to_store.fields["completed"] == TODAY


@pytest.mark.rule("R6.37")
def test_what_is_open_without_a_percentage_is_not_started():
    found = without_server(
        pair(Table.TASK, link=LinkFacts(), store={"percent_complete": None, "status": None})
    )
    fields = decide(found).to_server.fields
    assert (fields["status"], fields["percent_complete"]) == (TaskProgress.NOT_STARTED, 0)


@pytest.mark.rule("R6.37")
def test_status_percentage_and_day_of_completion_go_together():
    """The later side's whole progress wins, and not its half."""
    decision = decide(
        pair(
            Table.TASK,
            base=BASE,
            store={"status": TaskProgress.IN_PROGRESS, "percent_complete": 30},
            server={"status": TaskProgress.WAITING, "percent_complete": 60},
        )
    )
    assert decision.to_server.fields == {
        "status": TaskProgress.IN_PROGRESS,
        "percent_complete": 30,
    }
    assert decision.to_store is None


def test_opening_it_there_again_opens_it_here():
    done = {"status": COMPLETED, "percent_complete": 100, "completed": TODAY}
    decision = decide(
        pair(Table.TASK, base=done, store=done, record={"lifecycle": Lifecycle.COMPLETED})
    )
    assert decision.to_store.lifecycle is Lifecycle.OPEN
    assert decision.to_store.fields == {
        "status": TaskProgress.NOT_STARTED,
        "percent_complete": 0,
        "completed": None,
    }


def test_a_call_knows_open_and_done_only():
    under_way = {"status": TaskProgress.IN_PROGRESS, "percent_complete": 40}
    assert not decide(pair(Table.PHONE_CALL, server=under_way)).writes


@pytest.mark.rule("R6.37")
@pytest.mark.parametrize(
    ("due", "state", "is_set"),
    [
        (TODAY + DAY, Lifecycle.OPEN, True),
        (TODAY - DAY, Lifecycle.OPEN, True),
        (TODAY - 2 * DAY, Lifecycle.OPEN, False),
        (TODAY + DAY, Lifecycle.COMPLETED, False),
    ],
)
def test_a_due_time_reminds_if_the_task_is_open_and_due_no_earlier_than_yesterday(
    due, state, is_set
):
    found = pair(Table.TASK, store={"due": due, "reminder": DUE_AT}, record={"lifecycle": state})
    fields = decide(found).to_server.fields
    assert fields.get("reminder") == (DUE_AT if is_set else None)


@pytest.mark.rule("R6.37")
def test_reminders_do_not_come_back():
    assert not decide(pair(Table.TASK, server={"reminder": DUE_AT})).writes


@pytest.mark.rule("R6.38")
def test_a_start_without_a_due_date_is_copied_by_each_side_itself():
    start = {"start": TODAY}
    decision = decide(pair(Table.TASK, store=start))
    assert decision.to_server.fields == {"start": TODAY, "due": TODAY}
    assert not decide(pair(Table.TASK, base=decision.base, store=start, server=start)).writes


@pytest.mark.rule("R6.39")
@pytest.mark.parametrize("ended", [TODAY, TODAY - DAY])
def test_an_actual_end_in_the_past_completes_the_task(ended):
    decision = decide(pair(Table.TASK, store={"completed": ended}))
    assert decision.to_store.lifecycle is Lifecycle.COMPLETED
    assert decision.to_server.fields["status"] is COMPLETED
    assert decision.to_server.fields["completed"] == ended


@pytest.mark.rule("R6.39")
def test_an_actual_end_to_come_completes_nothing():
    assert not decide(pair(Table.TASK, store={"completed": TODAY + DAY})).writes


@pytest.mark.rule("R6.40")
@pytest.mark.parametrize("foreign", ["is_recurring", "is_assigned"])
def test_recurring_and_assigned_tasks_are_not_synchronized(foreign):
    there = {foreign: True, "subject": "Other"}
    new = without_store(pair(Table.TASK, link=LinkFacts(), item={"tracked": True}, server=there))
    assert codes(decide(new)) == ["foreign_task"]
    linked = decide(pair(Table.TASK, server=there, store={"body": "more"}))
    assert not linked.writes
    assert linked.base.fields["subject"] == "Plan"


def test_a_record_that_ended_before_it_was_sent_is_made_there_completed():
    found = without_server(pair(Table.FAX, link=LinkFacts(), store={"completed": TODAY}))
    decision = decide(found)
    assert decision.to_server.verb is Verb.CREATE
    assert decision.to_server.fields["status"] is COMPLETED
    assert decision.to_store.lifecycle is Lifecycle.COMPLETED


def test_days_are_days_whatever_the_hour():
    late = datetime(2026, 3, 2, 23, 59, tzinfo=NOW.tzinfo)
    decision = decide(pair(Table.TASK, store={"completed": date(2026, 3, 2)}), late)
    assert decision.to_store.lifecycle is Lifecycle.COMPLETED
    assert late - NOW < timedelta(days=1)
