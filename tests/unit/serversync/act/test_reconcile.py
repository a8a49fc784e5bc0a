"""One pair of record and item, field by field: what is carried, what wins, what is remembered."""

from dataclasses import replace

import pytest

from mailboxes.protocols.items import Importance, ShowAs
from serversync.act.reconcile import reconcile
from serversync.act.types import (
    Answer,
    Direction,
    LinkFacts,
    LinkTo,
    Lost,
    Question,
    Side,
    Started,
    Table,
    Verb,
)
from tests.unit.serversync.act.builders import (
    ADA,
    BEN,
    CLEO,
    HOUR,
    NOW,
    accepted,
    codes,
    contact,
    decide,
    meeting,
    moved,
    pair,
    side,
    without_server,
    without_store,
)  # fmt: skip


@pytest.mark.rule("R6.52")
def test_two_equal_sides_write_nothing():
    decision = decide(pair())
    assert not decision.writes
    assert decision.link is LinkTo.KEEP
    assert decision.base is not None
    assert decision.base.fields["subject"] == "Plan"


@pytest.mark.rule("R6.52")
def test_our_own_write_coming_back_is_no_change():
    found = pair(base={"subject": "Old"}, store={"subject": "New"}, server={"subject": "Old"})
    wrote = reconcile(found, NOW)
    assert wrote.to_server.fields == {"subject": "New"}
    # The write arrived, its answer didn't: the base is still the old one.
    again = decide(
        pair(base={"subject": "Old"}, store={"subject": "New"}, server={"subject": "New"})
    )
    assert not again.writes
    assert again.base.fields["subject"] == "New"


@pytest.mark.rule("R6.4")
@pytest.mark.parametrize("table", [Table.APPOINTMENT, Table.CONTACT, Table.TASK])
def test_a_change_of_one_side_goes_to_the_other(table):
    here = decide(pair(table, store={"body": "from here"}))
    assert (here.to_server.verb, here.to_server.fields) == (Verb.UPDATE, {"body": "from here"})
    assert here.to_store is None
    there = decide(pair(table, server={"body": "from there"}))
    assert (there.to_store.verb, there.to_store.fields) == (Verb.UPDATE, {"body": "from there"})
    assert there.to_server is None


@pytest.mark.rule("R6.53")
def test_different_fields_of_both_sides_are_united():
    decision = decide(pair(store={"subject": "Other"}, server={"location": "Room 4"}))
    assert decision.to_server.fields == {"subject": "Other"}
    assert decision.to_store.fields == {"location": "Room 4"}
    assert not decision.lost


@pytest.mark.rule("R6.53")
@pytest.mark.parametrize("server_is_later", [False, True])
def test_the_later_change_of_a_field_wins_and_the_other_is_kept(server_is_later):
    there = NOW + (HOUR if server_is_later else -HOUR)
    decision = decide(
        pair(
            Table.CONTACT,
            store=Side(contact(job_title="Cook"), modified_at=NOW),
            server=Side(contact(job_title="Chef"), modified_at=there),
        )
    )
    if server_is_later:
        assert decision.to_store.fields == {"job_title": "Chef"}
        assert decision.lost == (Lost("job_title", "Cook", "Chef", "store"),)
    else:
        assert decision.to_server.fields == {"job_title": "Cook"}
        assert decision.lost == (Lost("job_title", "Chef", "Cook", "server"),)
    assert "conflict" in codes(decision)


def test_what_was_changed_at_the_same_time_stays_as_it_is_here():
    decision = decide(
        pair(
            Table.CONTACT,
            store=Side(contact(job_title="Cook"), modified_at=NOW),
            server=Side(contact(job_title="Chef"), modified_at=NOW),
        )
    )
    assert decision.to_server.fields == {"job_title": "Cook"}


def test_a_side_whose_time_is_unknown_loses():
    decision = decide(
        pair(
            Table.CONTACT,
            store=Side(contact(job_title="Cook")),
            server=Side(contact(job_title="Chef"), modified_at=NOW),
        )
    )
    assert decision.to_store.fields == {"job_title": "Chef"}


@pytest.mark.rule("R6.53")
def test_emptying_a_field_is_a_change_and_can_lose_one():
    emptied = decide(
        pair(base={"location": "Room 4"}, store={"location": ""}, server={"location": "Room 4"})
    )
    assert emptied.to_server.fields == {"location": ""}
    lost = decide(
        pair(
            base={"location": "Room 4"},
            store=Side(meeting(location=""), modified_at=NOW),
            server=Side(meeting(location="Room 5"), modified_at=NOW + HOUR),
        )
    )
    assert lost.to_store.fields == {"location": "Room 5"}
    assert lost.lost == (Lost("location", "", "Room 5", "store"),)


@pytest.mark.rule("R6.53")
@pytest.mark.parametrize("field", ["when", "required"])
def test_the_organizers_side_wins_on_time_and_attendees_of_a_meeting(field):
    here, there = {"when": (moved(HOUR), moved(2 * HOUR)), "required": ((CLEO,), (BEN, CLEO))}[
        field
    ]
    decision = decide(
        pair(
            store=Side(meeting(**{field: here}), modified_at=NOW + HOUR),
            server=Side(meeting(**{field: there}), modified_at=NOW),
            record={"organizes": False},
        )
    )
    assert decision.to_store.fields == {field: there}
    assert decision.to_server is None
    assert [(lost.name, lost.value) for lost in decision.lost] == [(field, here)]


def test_where_both_sides_organize_the_later_time_wins():
    decision = decide(
        pair(
            store=Side(meeting(when=moved(HOUR)), modified_at=NOW + HOUR),
            server=Side(meeting(when=moved(2 * HOUR)), modified_at=NOW),
        )
    )
    assert decision.to_server.fields == {"when": moved(HOUR)}


def test_required_and_optional_attendees_are_one_matter():
    """Otherwise whoever both sides moved would be in both lists, or in none."""
    decision = decide(
        pair(
            base={"required": (BEN, CLEO)},
            store=Side(meeting(required=(BEN,), optional=(CLEO,)), modified_at=NOW),
            server=Side(meeting(required=(CLEO,), optional=(BEN,)), modified_at=NOW + HOUR),
        )
    )
    assert decision.to_store.fields == {"required": (CLEO,), "optional": (BEN,)}
    assert decision.to_server is None


def test_the_order_of_attendees_and_line_breaks_are_no_change():
    decision = decide(
        pair(
            base={"required": (BEN, CLEO), "body": "one\ntwo"},
            store={"required": (BEN, CLEO), "body": "one\ntwo"},
            server={"required": (CLEO, BEN), "body": "one  \r\ntwo\r\n"},
        )
    )
    assert not decision.writes


# -- directions ----------------------------------------------------------------------------------------


@pytest.mark.rule("R6.17")
def test_a_field_without_a_direction_is_neither_read_nor_written():
    notes = {"contact.body": Direction.NONE}
    found = pair(
        Table.CONTACT, overrides=notes, store={"body": "here"}, server={"body": "there"},
    )  # fmt: skip
    decision = decide(found)
    assert not decision.writes
    assert "body" not in decision.base.fields
    made_there = decide(replace(without_server(found), link=LinkFacts(), base=None))
    assert "body" not in made_there.to_server.fields
    assert "body" not in made_there.base.fields
    by_hand = replace(found.link, linked=False, started=Started.USER)
    made_here = decide(replace(without_store(found), link=by_hand, base=None))
    assert "body" not in made_here.to_store.fields


def test_a_field_that_only_goes_to_the_server_isnt_read_from_it():
    only_there = {"appointment.location": Direction.TO_SERVER}
    changed_there = decide(pair(overrides=only_there, server={"location": "Room 4"}))
    assert not changed_there.writes
    changed_here = decide(pair(overrides=only_there, store={"location": "Room 5"}))
    assert changed_here.to_server.fields == {"location": "Room 5"}


def test_a_field_that_only_comes_from_the_server_isnt_sent_to_it():
    only_here = {"appointment.location": Direction.TO_STORE}
    changed_here = decide(pair(overrides=only_here, store={"location": "Room 4"}))
    assert not changed_here.writes
    changed_there = decide(pair(overrides=only_here, server={"location": "Room 5"}))
    assert changed_there.to_store.fields == {"location": "Room 5"}


def test_answers_come_from_the_server_only():
    assert not decide(pair(store={"answers": accepted(BEN)})).writes
    decision = decide(pair(server={"answers": accepted(BEN)}))
    assert decision.to_store.fields == {"answers": accepted(BEN)}


def test_a_service_activity_goes_to_the_server_only():
    changed = decide(pair(Table.SERVICE_APPOINTMENT, store={"subject": "Visit"}))
    assert changed.to_server.fields == {"subject": "Visit"}
    assert not changed.to_server.mails
    assert not decide(pair(Table.SERVICE_APPOINTMENT, server={"subject": "Visit"})).writes


def test_what_one_side_does_not_tell_is_not_decided():
    """The item wasn't fetched: it is what it was when both were equal, and the base lacks a field."""
    partly = {name: value for name, value in meeting().items() if name != "location"}
    decision = decide(pair(base=Side(partly), server=Side(partly), store={"location": "Room 4"}))
    assert not decision.writes


def test_the_user_who_may_not_write_a_record_changes_nothing_here():
    decision = decide(pair(server={"subject": "Other"}, record={"writable": False}))
    assert not decision.writes
    assert codes(decision) == ["not_writable"]
    assert decision.base.fields["subject"] == "Plan"


# -- linking -------------------------------------------------------------------------------------------


def test_linking_two_contacts_unites_them():
    found = pair(
        Table.CONTACT,
        link=LinkFacts(),
        store=Side(contact(job_title="Cook", mobile_phone="1"), modified_at=NOW),
        server=Side(contact(job_title="Chef", home_phone="2"), modified_at=NOW + HOUR),
    )
    decision = decide(found)
    assert decision.link is LinkTo.LINK
    assert decision.to_server.fields == {"mobile_phone": "1"}
    assert decision.to_store.fields == {"home_phone": "2", "job_title": "Chef"}
    assert decision.lost == (Lost("job_title", "Cook", "Chef", "store"),)


def test_linking_overwrites_nothing_that_only_goes_to_the_server():
    decision = decide(
        pair(
            Table.CONTACT,
            link=LinkFacts(),
            store=contact(display_name="Ben Bright"),
            server=contact(display_name="Uncle Ben"),
        )
    )
    assert not decision.writes
    assert decision.base.fields["display_name"] == "Ben Bright"


def test_a_copy_that_was_made_but_never_answered_is_linked_without_a_word():
    decision = decide(pair(link=LinkFacts(to_server_unknown=True)))
    assert decision.link is LinkTo.LINK
    assert not decision.writes


def test_an_item_that_nobody_tracks_is_left_alone():
    found = without_store(pair(link=LinkFacts(), item={"tracked": False}))
    decision = decide(found)
    assert (decision.link, codes(decision)) == (LinkTo.FORGET, ["not_tracked"])


def test_a_tracked_item_is_taken_up():
    decision = decide(without_store(pair(link=LinkFacts(), item={"tracked": True})))
    assert decision.link is LinkTo.LINK
    assert decision.to_store.verb is Verb.CREATE
    assert decision.to_store.fields["subject"] == "Plan"
    assert decision.to_store.fields["organizer"] == ADA
    assert decision.to_server is None


def test_a_tracked_item_of_another_calendar_is_not_taken_up():
    found = pair(link=LinkFacts(), item={"tracked": True, "in_main_calendar": False})
    assert codes(decide(without_store(found))) == ["other_calendar"]


@pytest.mark.rule("R6.6")
def test_a_contact_is_not_tracked_by_its_category():
    found = without_store(pair(Table.CONTACT, link=LinkFacts(), item={"tracked": True}))
    assert decide(found).link is LinkTo.FORGET
    by_hand = replace(found, link=LinkFacts(started=Started.USER))
    assert decide(by_hand).to_store.verb is Verb.CREATE


@pytest.mark.rule("R6.13")
def test_a_record_that_a_filter_finds_is_made_there_and_no_other():
    found = without_server(pair(Table.TASK, link=LinkFacts()))
    decision = decide(found)
    assert decision.link is LinkTo.LINK
    assert decision.to_server.verb is Verb.CREATE
    assert decision.base.fields["subject"] == "Plan"
    assert decide(without_server(found, matches=False)).link is LinkTo.FORGET


@pytest.mark.rule("R6.48")
def test_a_copy_of_a_linked_item_is_ignored_unless_switched_off():
    copy = {"tracked": True, "copy_of_linked": True}
    found = without_store(pair(link=LinkFacts(), item=copy))
    assert decide(found).link is LinkTo.FORGET
    taken = without_store(pair(link=LinkFacts(), item=copy, ignore_copies=False))
    assert decide(taken).to_store.verb is Verb.CREATE


@pytest.mark.rule("R6.49")
def test_taking_the_category_off_unlinks_and_nothing_else():
    tracked = LinkFacts(linked=True, was_tracked=True)
    decision = decide(pair(link=tracked, item={"tracked": False}))
    assert decision.link is LinkTo.UNLINK
    assert not decision.writes
    assert decision.base is None
    assert codes(decision) == ["category_removed"]


def test_putting_the_category_on_again_links_again():
    apart = LinkFacts(unlinked=True, was_tracked=False)
    decision = decide(pair(link=apart, item={"tracked": True}, store={"body": "more"}))
    assert decision.link is LinkTo.LINK
    assert decision.to_server.fields == {"body": "more"}


def test_what_was_unlinked_stays_so_by_itself():
    apart = LinkFacts(unlinked=True, was_tracked=True, started=Started.CATEGORY)
    decision = decide(pair(link=apart, item={"tracked": True}, store={"body": "more"}))
    assert (decision.link, codes(decision)) == (LinkTo.KEEP, ["unlinked"])
    assert not decision.writes
    assert decision.base is None
    for found in (without_store(pair(link=apart)), without_server(pair(link=apart))):
        assert not decide(found).writes


@pytest.mark.rule("R6.51")
def test_an_unlinked_pair_that_the_filter_finds_again_is_asked_about_once():
    apart = LinkFacts(unlinked=True)
    asked = decide(pair(link=apart, server={"body": "more"}))
    assert asked.question is Question.PREVIOUSLY_LINKED
    assert not asked.writes
    yes = replace(apart, question=Question.PREVIOUSLY_LINKED, answer=Answer.YES)
    linked = decide(pair(link=yes, server={"body": "more"}))
    assert linked.link is LinkTo.LINK
    assert linked.to_store.fields == {"body": "more"}
    no = decide(pair(link=replace(yes, answer=Answer.NO)))
    assert not no.writes
    again = decide(pair(link=replace(apart, declined=frozenset({no.declined}))))
    assert again.question is None
    assert not again.writes


@pytest.mark.rule("R6.51")
def test_what_looks_like_a_duplicate_waits_for_its_answer():
    asked = LinkFacts(question=Question.DUPLICATE)
    assert not decide(pair(Table.CONTACT, link=asked)).writes
    same = replace(asked, answer=Answer.YES)
    assert decide(pair(Table.CONTACT, link=same)).link is LinkTo.LINK
    others = replace(asked, answer=Answer.NO)
    assert decide(pair(Table.CONTACT, link=others)).base is None


def test_nothing_on_either_side_is_forgotten():
    found = replace(pair(), store=None, server=None)
    assert decide(found).link is LinkTo.FORGET


def test_a_conflict_over_importance_is_one_like_any_other():
    decision = decide(
        pair(
            Table.TASK,
            store=side({**pair(Table.TASK).store.fields, "importance": Importance.LOW}),
            server=side({**pair(Table.TASK).server.fields, "importance": Importance.HIGH}),
        )
    )
    assert decision.to_server.fields == {"importance": Importance.LOW}


def test_working_elsewhere_is_free_here_and_stays_as_it_is_there():
    elsewhere = pair(base={"show_as": ShowAs.FREE}, store={"show_as": ShowAs.FREE},
                     server={"show_as": ShowAs.WORKING_ELSEWHERE})  # fmt: skip
    assert not decide(elsewhere).writes
