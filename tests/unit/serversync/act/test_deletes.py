"""R6.45, row by row: what becomes of the other side when one is deleted or takes part no longer."""

from dataclasses import replace

import pytest

from mailboxes.protocols.items import TaskProgress, Tell
from serversync.act.deletes import TABLE, Case, conditions
from serversync.act.types import (
    Lifecycle,
    LinkFacts,
    LinkTo,
    Lost,
    Started,
    Table,
    Verb,
)
from tests.unit.serversync.act.builders import (
    BEN,
    CLEO,
    FIRST,
    PARITY,
    PAST,
    codes,
    contact,
    decide,
    meeting,
    pair,
    side,
    without_server,
    without_store,
)  # fmt: skip

TO_DOS = [Table.TASK, Table.PHONE_CALL, Table.LETTER, Table.FAX]


def is_unlinked(decision):
    return decision.link is LinkTo.UNLINK and not decision.writes and decision.base is None


def deletes_item(decision):
    return decision.to_server is not None and decision.to_server.verb is Verb.DELETE


def deletes_record(decision):
    return decision.to_store is not None and decision.to_store.verb is Verb.DELETE


# -- Appointment deleted here --------------------------------------------------------------------------


@pytest.mark.rule("R6.45")
@pytest.mark.parametrize("table", [Table.APPOINTMENT, Table.RECURRING_APPOINTMENT])
def test_own_meeting_to_come_that_is_deleted_here_is_deleted_there(table):
    decision = decide(without_store(pair(table)))
    assert deletes_item(decision)
    assert decision.link is LinkTo.FORGET


@pytest.mark.rule("R6.45")
@pytest.mark.parametrize(
    ("why", "facts"),
    [
        ("not_organizer", {"item": {"organizes": False}}),
        ("not_ahead", {"server": {"when": PAST}}),
    ],
)
def test_a_meeting_of_others_or_of_the_past_that_is_deleted_here_is_unlinked(why, facts):
    decision = decide(without_store(pair(**facts)))
    assert is_unlinked(decision)
    assert codes(decision) == ["deleted_here", why]


@pytest.mark.rule("R6.45")
def test_what_was_never_linked_is_not_deleted():
    decision = decide(without_store(pair(link=LinkFacts())))
    assert not decision.writes


# -- ... cancellation mail -----------------------------------------------------------------------------


@pytest.mark.rule("R6.45")
def test_deleting_a_meeting_mails_its_attendees():
    found = pair(server={"required": (BEN,), "optional": (CLEO,)})
    write = decide(without_store(found)).to_server
    assert (write.tell, write.told) == (Tell.ALL, ("ben@example.com", "cleo@example.com"))


@pytest.mark.rule("R6.45")
def test_deleting_what_nobody_attends_mails_nobody():
    write = decide(without_store(pair(server={"required": ()}))).to_server
    assert (write.verb, write.tell, write.told) == (Verb.DELETE, Tell.NOBODY, ())


@pytest.mark.rule("R6.46")
def test_a_deletion_that_mails_attendees_always_waits():
    assert decide(without_store(pair())).must_wait
    assert not decide(without_store(pair(server={"required": ()}))).must_wait
    assert not decide(without_store(pair(settings=PARITY))).must_wait


# -- Appointment canceled here -------------------------------------------------------------------------


@pytest.mark.rule("R6.45")
def test_canceling_here_calls_nothing_off():
    decision = decide(pair(record={"lifecycle": Lifecycle.CANCELED}))
    assert decision.to_server.verb is Verb.UPDATE
    assert set(decision.to_server.fields) == {"show_as"}
    assert not decision.to_server.mails


@pytest.mark.rule("R6.45")
def test_canceling_here_calls_the_meeting_off_where_switched_on():
    found = pair(record={"lifecycle": Lifecycle.CANCELED}, propagate_cancellations=True)
    decision = decide(found)
    assert (decision.to_server.verb, decision.to_server.tell) == (Verb.CANCEL, Tell.ALL)
    assert decision.to_server.told == ("ben@example.com",)
    assert decision.must_wait
    assert decision.link is LinkTo.KEEP


@pytest.mark.parametrize(
    "facts",
    [
        {"server": {"when": PAST}, "store": {"when": PAST}, "base": {"when": PAST}},
        {"item": {"organizes": False}},
        {"base": {"is_cancelled": True}},
    ],
)
def test_nothing_is_called_off_that_is_past_or_of_others_or_was_canceled_before(facts):
    found = pair(
        **{"record": {"lifecycle": Lifecycle.CANCELED}, "propagate_cancellations": True} | facts
    )
    decision = decide(found)
    assert decision.to_server is None or decision.to_server.verb is not Verb.CANCEL


# -- Appointment deleted there -------------------------------------------------------------------------


@pytest.mark.rule("R6.45")
@pytest.mark.parametrize("table", [Table.APPOINTMENT, Table.RECURRING_APPOINTMENT])
def test_own_meeting_to_come_that_is_deleted_there_is_deleted_here(table):
    decision = decide(without_server(pair(table)))
    assert deletes_record(decision)
    assert decision.link is LinkTo.FORGET


@pytest.mark.rule("R6.45")
@pytest.mark.parametrize(
    ("why", "facts"),
    [
        ("closed_here", {"record": {"lifecycle": Lifecycle.COMPLETED}}),
        ("closed_here", {"record": {"lifecycle": Lifecycle.CANCELED}}),
        ("over", {"store": {"when": PAST}}),
        ("not_organizer", {"record": {"organizes": False}}),
        ("not_writable", {"record": {"writable": False}}),
    ],
)
def test_a_record_that_is_closed_past_or_of_others_survives_its_item(why, facts):
    decision = decide(without_server(pair(**facts)))
    assert is_unlinked(decision)
    assert codes(decision) == ["deleted_there", why]


@pytest.mark.rule("R6.45")
def test_a_past_series_that_is_deleted_there_is_deleted_here_all_the_same():
    over = replace(pair(Table.RECURRING_APPOINTMENT).store.fields["recurrence"], count=1)
    found = pair(Table.RECURRING_APPOINTMENT, store={"when": PAST, "recurrence": over})
    assert deletes_record(decide(without_server(found)))


@pytest.mark.rule("R6.45")
def test_the_table_holds_for_single_occurrences_deleted_there():
    gone = side(pair(Table.RECURRING_APPOINTMENT).server.fields, occurrences={FIRST: None})
    deleted = decide(pair(Table.RECURRING_APPOINTMENT, server=gone))
    assert deleted.to_store.occurrences == {FIRST: None}
    assert deleted.base.occurrences == {FIRST: None}
    kept = decide(pair(Table.RECURRING_APPOINTMENT, server=gone, record={"organizes": False}))
    assert not kept.writes
    assert codes(kept) == ["not_organizer"]


@pytest.mark.rule("R6.45")
def test_the_table_holds_for_single_occurrences_deleted_here():
    gone = side(pair(Table.RECURRING_APPOINTMENT).store.fields, occurrences={FIRST: None})
    decision = decide(pair(Table.RECURRING_APPOINTMENT, store=gone))
    assert decision.to_server.occurrences == {FIRST: None}
    assert decision.to_server.tells == {FIRST: Tell.ALL}
    assert decision.to_server.told == ("ben@example.com",)
    assert decision.must_wait
    of_others = decide(pair(Table.RECURRING_APPOINTMENT, store=gone, item={"organizes": False}))
    assert not of_others.writes


# -- Contacts ------------------------------------------------------------------------------------------


@pytest.mark.rule("R6.45")
def test_a_contact_deleted_here_is_deleted_there_only_if_others_own_it():
    assert deletes_item(decide(without_store(pair(Table.CONTACT), owned=False)))
    own = decide(without_store(pair(Table.CONTACT), owned=True))
    assert is_unlinked(own)
    assert codes(own) == ["deleted_here", "own_contact"]


@pytest.mark.rule("R6.45")
def test_a_contact_deleted_there_is_deleted_here_only_if_the_user_owns_it():
    assert deletes_record(decide(without_server(pair(Table.CONTACT), owned=True)))
    of_others = decide(without_server(pair(Table.CONTACT), owned=False))
    assert is_unlinked(of_others)
    assert codes(of_others) == ["deleted_there", "owned_by_others"]


# -- Tasks ---------------------------------------------------------------------------------------------


@pytest.mark.rule("R6.45")
@pytest.mark.parametrize("table", TO_DOS)
def test_a_task_deleted_here_is_deleted_there_unless_it_is_completed_there(table):
    assert deletes_item(decide(without_store(pair(table))))
    done = decide(without_store(pair(table, server={"status": TaskProgress.COMPLETED})))
    assert is_unlinked(done)
    assert codes(done) == ["deleted_here", "completed_there"]


@pytest.mark.rule("R6.45")
@pytest.mark.parametrize("table", TO_DOS)
def test_a_task_deleted_there_is_deleted_here_unless_a_setting_keeps_it(table):
    assert deletes_record(decide(without_server(pair(table))))
    kept = decide(without_server(pair(table, delete_tasks_from_server=False)))
    assert is_unlinked(kept)
    assert codes(kept) == ["deleted_there", "tasks_stay"]


# -- Service activities --------------------------------------------------------------------------------


def test_a_service_activity_goes_one_way_also_when_it_is_deleted():
    assert deletes_item(decide(without_store(pair(Table.SERVICE_APPOINTMENT))))
    assert not decide(without_store(pair(Table.SERVICE_APPOINTMENT))).to_server.mails
    assert is_unlinked(decide(without_server(pair(Table.SERVICE_APPOINTMENT))))


# -- Logical deletes -----------------------------------------------------------------------------------


@pytest.mark.rule("R6.45", "R6.46")
@pytest.mark.parametrize("table", [Table.APPOINTMENT, Table.CONTACT, Table.TASK])
@pytest.mark.parametrize("facts", [{"matches": False}, {"readable": False}])
def test_what_leaves_the_filter_or_sight_is_only_unlinked(table, facts):
    decision = decide(pair(table, record=facts))
    assert is_unlinked(decision)


@pytest.mark.rule("R6.45", "R6.46")
@pytest.mark.parametrize("facts", [{"matches": False}, {"readable": False}])
def test_under_strict_parity_what_leaves_is_deleted_there(facts):
    meeting_ = decide(pair(record=facts, settings=PARITY))
    assert deletes_item(meeting_)
    assert meeting_.to_server.told == ("ben@example.com",)
    assert not meeting_.must_wait
    assert meeting_.link is LinkTo.UNLINK
    of_others = decide(pair(Table.CONTACT, record=facts | {"owned": False}, settings=PARITY))
    assert deletes_item(of_others)
    own = decide(pair(Table.CONTACT, record=facts, settings=PARITY))
    assert is_unlinked(own)


@pytest.mark.rule("R6.4")
@pytest.mark.parametrize("started", [Started.CATEGORY, Started.USER, Started.CLIENT])
def test_what_a_person_linked_stays_linked_whatever_the_filters_find(started):
    link = LinkFacts(linked=True, started=started)
    decision = decide(pair(link=link, record={"matches": False}, server={"subject": "Other"}))
    assert decision.link is LinkTo.KEEP
    assert decision.to_store.fields == {"subject": "Other"}


def test_a_task_that_left_the_filter_by_being_completed_completes_its_item_first():
    decision = decide(pair(Table.TASK, record={"matches": False, "lifecycle": Lifecycle.COMPLETED}))
    assert decision.link is LinkTo.UNLINK
    assert decision.to_server.verb is Verb.UPDATE
    assert decision.to_server.fields["status"] is TaskProgress.COMPLETED


# -- what a deletion takes along -----------------------------------------------------------------------


@pytest.mark.rule("R6.53")
def test_what_the_deleted_side_never_told_is_kept_in_history():
    record = decide(without_server(pair(Table.CONTACT, store=contact(job_title="Cook"))))
    assert record.lost == (Lost("job_title", "Cook", None, "store"),)
    item = decide(without_store(pair(server=meeting(location="Room 4"))))
    assert item.lost == (Lost("location", "Room 4", None, "server"),)


def test_every_table_has_one_row_for_each_case():
    for table in Table:
        for case in (Case.DELETED_HERE, Case.DELETED_THERE):
            assert [tables for of, tables, _ in TABLE if of is case and table in tables]
            assert conditions(case, table)
