"""Series: each occurrence by itself, and what a new pattern takes along (R6.33, R6.53)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from mailboxes.protocols.items import Tell
from serversync.act import series as occurrences
from serversync.act import times
from serversync.act.types import ActSettings, LinkFacts, Lost, Side, Table, Verb
from tests.unit.serversync.act.builders import (
    AT_TEN,
    BEN,
    CLEO,
    DAY,
    FIRST,
    HOUR,
    NOW,
    PARITY,
    SECOND,
    THIRD,
    WEEKLY,
    WHEN,
    codes,
    decide,
    moved,
    pair,
    series,
    without_server,
    without_store,
)  # fmt: skip

WEEK = timedelta(days=7)
LAST_WEEK = FIRST - WEEK
SERIES = Table.RECURRING_APPOINTMENT
#: It began three weeks ago and goes on.
RUNNING = {
    "when": moved(-3 * WEEK),
    "recurrence": replace(WEEKLY, start=(AT_TEN - 3 * WEEK).date()),
}


def own(original, **changed):
    """An occurrence whole, as a side tells it."""
    when = moved(original - AT_TEN)
    fields = {name: value for name, value in series().items() if name not in times.OF_SERIES}
    return fields | {"when": when} | changed


def told(exceptions=None, at=None, **fields):
    return Side(series(**fields), exceptions or {}, modified_at=at)


def changed(base=None, store=None, server=None, **more):
    return pair(SERIES, base=told(base), store=told(store), server=told(server), **more)


def running(base=None, store=None, server=None, **more):
    sides = {"base": base, "store": store, "server": server}
    return pair(SERIES, **{name: told(each, **RUNNING) for name, each in sides.items()}, **more)


# -- exceptions ----------------------------------------------------------------------------------------


def test_an_occurrence_that_is_moved_here_is_moved_there_alone():
    later = moved(HOUR)
    decision = decide(changed(store={FIRST: own(FIRST, when=later)}))
    assert decision.to_server.fields == {}
    assert decision.to_server.occurrences == {FIRST: {"when": later}}
    assert (decision.to_server.tell, decision.to_server.tells) == (Tell.NOBODY, {FIRST: Tell.ALL})
    assert decision.base.occurrences[FIRST]["when"] == later


@pytest.mark.rule("R6.53")
def test_an_occurrence_is_united_field_by_field():
    decision = decide(
        changed(
            store={FIRST: own(FIRST, location="Room 4")}, server={FIRST: own(FIRST, subject="Talk")}
        )
    )
    assert decision.to_server.occurrences == {FIRST: {"location": "Room 4"}}
    assert decision.to_store.occurrences == {FIRST: {"subject": "Talk"}}


@pytest.mark.rule("R6.53")
def test_a_conflict_about_one_occurrence_is_kept_as_its_own():
    decision = decide(
        pair(
            SERIES,
            base=told(),
            store=told({FIRST: own(FIRST, subject="Ours")}, at=NOW),
            server=told({FIRST: own(FIRST, subject="Theirs")}, at=NOW + HOUR),
        )
    )
    assert decision.to_store.occurrences == {FIRST: {"subject": "Theirs"}}
    assert decision.lost == (Lost("subject", "Ours", "Theirs", "store", FIRST),)


def test_an_exception_taken_back_is_like_the_others_again():
    exception = {FIRST: own(FIRST, location="Room 4")}
    decision = decide(changed(base=exception, store=exception))
    assert decision.to_store.occurrences == {FIRST: {"location": ""}}
    assert decision.base.occurrences == {}


def test_a_change_of_the_series_is_none_of_its_exceptions():
    exception = {FIRST: own(FIRST, subject="Special")}
    found = pair(
        SERIES,
        base=told(exception),
        store=told(exception, subject="Weekly"),
        server=told(exception),
    )
    decision = decide(found)
    assert decision.to_server.fields == {"subject": "Weekly"}
    assert decision.to_server.occurrences == {}
    assert decision.base.occurrences[FIRST]["subject"] == "Special"


# -- deleted occurrences -------------------------------------------------------------------------------


def test_an_occurrence_that_both_deleted_is_remembered_as_such():
    decision = decide(changed(store={FIRST: None}, server={FIRST: None}))
    assert not decision.writes
    assert decision.base.occurrences == {FIRST: None}


@pytest.mark.rule("R6.53")
def test_a_change_that_was_made_after_the_deletion_brings_the_occurrence_back():
    there = told({FIRST: own(FIRST, location="Room 4")}, at=NOW + HOUR)
    decision = decide(pair(SERIES, base=told(), store=told({FIRST: None}, at=NOW), server=there))
    assert decision.to_store.occurrences[FIRST]["location"] == "Room 4"
    assert decision.to_server is None


@pytest.mark.rule("R6.53")
def test_a_deletion_that_was_made_after_the_change_keeps_what_was_changed_in_history():
    there = told({FIRST: own(FIRST, location="Room 4")}, at=NOW)
    decision = decide(
        pair(SERIES, base=told(), store=told({FIRST: None}, at=NOW + HOUR), server=there)
    )
    assert decision.to_server.occurrences == {FIRST: None}
    assert decision.lost == (Lost("location", "Room 4", None, "server", FIRST),)


def test_an_occurrence_brought_back_there_is_brought_back_here_and_not_the_other_way_round():
    here = decide(changed(base={FIRST: None}, store={FIRST: None}))
    assert here.to_store.occurrences[FIRST]["when"] == WHEN
    there = decide(changed(base={FIRST: None}, server={FIRST: None}))
    assert not there.writes
    assert codes(there) == ["occurrence_gone"]


# -- R6.33: the past -----------------------------------------------------------------------------------


@pytest.mark.rule("R6.33")
def test_tracking_a_series_as_it_is_invites_nobody():
    known = {FIRST: own(FIRST, location="Room 4"), SECOND: None}
    decision = decide(running(store=known, server=known, link=LinkFacts()))
    assert decision.base is not None
    assert not decision.writes
    taken = decide(without_store(running(server=known, link=LinkFacts(), item={"tracked": True})))
    assert taken.to_store.verb is Verb.CREATE
    assert taken.to_store.occurrences == {FIRST: {"location": "Room 4"}, SECOND: None}
    assert taken.to_server is None


@pytest.mark.rule("R6.33")
def test_linking_tells_only_attendees_who_come_or_go():
    found = running(link=LinkFacts(), store={})
    more = replace(found, store=told(**RUNNING, required=(BEN, CLEO), location="Room 4"))
    decision = decide(more)
    assert decision.to_server.fields["location"] == "Room 4"
    assert decision.to_server.tell is Tell.CHANGED
    assert decision.to_server.told == ("cleo@example.com",)
    elsewhere = decide(replace(found, store=told(**RUNNING, location="Room 4")))
    assert elsewhere.to_server.fields == {"location": "Room 4"}
    assert not elsewhere.to_server.mails


@pytest.mark.rule("R6.33")
@pytest.mark.parametrize("link", [LinkFacts(), LinkFacts(linked=True)])
def test_past_instances_are_never_made_again(link):
    decision = decide(running(server={LAST_WEEK: None}, link=link))
    assert not decision.writes
    assert "over" in codes(decision)


@pytest.mark.rule("R6.33")
def test_under_strict_parity_past_instances_are_made_again():
    found = running(server={LAST_WEEK: None}, link=LinkFacts(), settings=PARITY)
    decision = decide(found)
    assert decision.to_server.occurrences[LAST_WEEK]["subject"] == "Plan"
    linked = decide(running(server={LAST_WEEK: None}, settings=PARITY))
    assert not linked.writes


@pytest.mark.rule("R6.23")
def test_past_occurrences_are_not_changed_on_the_server():
    past = {LAST_WEEK: own(LAST_WEEK, body="Minutes")}
    decision = decide(running(store=past))
    assert not decision.writes
    assert codes(decision) == ["past_meeting"]
    here = decide(running(server=past))
    assert here.to_store.occurrences == {LAST_WEEK: {"body": "Minutes"}}
    switched = decide(running(store=past, update_past_meetings=True))
    assert switched.to_server.occurrences == {LAST_WEEK: {"body": "Minutes"}}
    assert not switched.to_server.mails


@pytest.mark.rule("R6.45")
def test_a_past_occurrence_that_is_deleted_here_stays_there():
    decision = decide(running(store={LAST_WEEK: None}))
    assert not decision.writes
    assert codes(decision) == ["not_ahead"]


# -- a new pattern -------------------------------------------------------------------------------------


def test_a_new_pattern_takes_exceptions_along_that_it_still_has():
    """A server drops them with the old pattern."""
    known = {FIRST: own(FIRST, location="Room 4"), SECOND: None, THIRD: own(THIRD, subject="Talk")}
    biweekly = replace(WEEKLY, interval=2)
    found = pair(
        SERIES, base=told(known), server=told(known), store=told(known, recurrence=biweekly)
    )
    decision = decide(found)
    assert decision.to_server.fields == {"recurrence": biweekly}
    assert decision.to_server.occurrences == {
        FIRST: {"location": "Room 4"},
        THIRD: {"subject": "Talk"},
    }
    assert set(decision.base.occurrences) == {FIRST, THIRD}
    assert decision.lost == ()


def test_exceptions_that_a_new_pattern_has_not_got_are_kept_in_history():
    known = {SECOND: own(SECOND, location="Room 4")}
    biweekly = replace(WEEKLY, interval=2)
    decision = decide(
        pair(SERIES, base=told(known), store=told(known), server=told(recurrence=biweekly))
    )
    assert decision.to_store.fields == {"recurrence": biweekly}
    assert decision.to_store.occurrences == {}
    assert decision.lost == (Lost("location", "Room 4", None, "store", SECOND),)


@pytest.mark.rule("R6.46")
def test_occurrences_deleted_long_ago_are_deleted_again_without_a_question():
    known = {SECOND: None}
    longer = replace(WEEKLY, count=12)
    found = pair(SERIES, base=told(known), server=told(known), store=told(known, recurrence=longer))
    decision = decide(found)
    assert decision.to_server.occurrences == {SECOND: None}
    assert not decision.must_wait


@pytest.mark.rule("R6.46")
def test_who_is_taken_off_one_occurrence_waits_for_approval():
    alone = {FIRST: own(FIRST, required=())}
    decision = decide(changed(store=alone))
    assert decision.to_server.occurrences == {FIRST: {"required": ()}}
    assert decision.must_wait
    assert not decide(changed(store=alone, settings=PARITY)).must_wait
    assert not decide(changed(store={FIRST: own(FIRST, required=(BEN, CLEO))})).must_wait


# -- new series ----------------------------------------------------------------------------------------


def test_a_new_series_is_made_with_its_exceptions():
    known = {FIRST: own(FIRST, location="Room 4"), SECOND: None, NOW: None}
    decision = decide(without_server(changed(store=known, link=LinkFacts())))
    write = decision.to_server
    assert write.fields["recurrence"] == WEEKLY
    assert write.occurrences == {FIRST: {"location": "Room 4"}, SECOND: None}
    assert write.tells == {FIRST: Tell.ALL, SECOND: Tell.ALL}
    assert write.tell is Tell.ALL


def test_exceptions_that_differ_in_nothing_are_none():
    side = told({FIRST: own(FIRST)})
    assert occurrences.exceptions(side, pair(SERIES).directions) == {}


# -- times ---------------------------------------------------------------------------------------------


@pytest.mark.rule("R6.35")
def test_an_occurrence_keeps_its_wall_time_and_length_over_a_change_of_clocks():
    fields = series()
    summer = FIRST + 5 * WEEK - HOUR  # 11:00 in Berlin on 7 April is an hour earlier in UTC
    assert times.occurs(fields, summer)
    assert not times.occurs(fields, summer + HOUR)
    regular = times.regular(fields, summer)["when"]
    assert (regular.start, regular.end) == (summer, summer + HOUR)


@pytest.mark.rule("R6.35")
def test_a_series_of_days_has_no_zone():
    midnight = AT_TEN.replace(hour=0)
    day = replace(WHEN, start=midnight, end=midnight + DAY, all_day=True, zone="Asia/Tokyo")
    assert times.occurs(series(when=day), midnight + 5 * WEEK)
    assert (
        times.regular(series(when=day), midnight + 5 * WEEK)["when"].end
        == midnight + 5 * WEEK + DAY
    )


def test_a_series_is_over_with_its_last_occurrence():
    fields = series()
    assert times.is_ahead(fields, NOW)
    last = FIRST + 7 * WEEK - HOUR
    assert times.is_ahead(fields, last - HOUR)
    assert not times.is_ahead(fields, last)
    assert not times.is_over(fields, last + HOUR / 2)
    assert times.is_over(fields, last + HOUR)


def test_a_zone_that_nobody_knows_counts_as_utc():
    lost = replace(WHEN, zone="Atlantis/Capital")
    assert times.occurs(series(when=lost), FIRST + 5 * WEEK)


def test_defaults_recreate_nothing():
    assert not ActSettings().recreate_past_instances
