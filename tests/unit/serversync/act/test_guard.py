"""What one cycle may do by itself, and what waits (R6.46, R6.51)."""

from dataclasses import replace

import pytest

from mailboxes.protocols.items import Tell
from serversync.act.guard import NO_CREATION, STOPPED, STOPS, Held, Limits, digest, judge, shown
from serversync.act.reconcile import reconcile
from serversync.act.types import Decision, LinkTo, Reason, Table, Verb, Write
from tests.unit.serversync.act.builders import (
    CLEO,
    FIRST,
    NOW,
    PARITY,
    SECOND,
    WEEKLY,
    codes,
    decide,
    pair,
    side,
    without_server,
    without_store,
)  # fmt: skip

FREE = Limits()
UNGUARDED = Limits(guarded=False)


def deletion(here=False, **more):
    write = Write(verb=Verb.DELETE)
    return Decision(link=LinkTo.FORGET, **{"to_store" if here else "to_server": write}, **more)


def creation(here=False, **fields):
    write = Write(verb=Verb.CREATE, fields=fields)
    return Decision(link=LinkTo.LINK, **{"to_store" if here else "to_server": write})


def update(**fields):
    return Decision(to_server=Write(verb=Verb.UPDATE, fields=fields))


def mail(*addresses, verb=Verb.UPDATE):
    return Decision(to_server=Write(verb=verb, tell=Tell.ALL, told=addresses))


def many(decision, count):
    return {f"{decision.to_server or decision.to_store}{n}": decision for n in range(count)}


def why(verdict):
    return {reason.code for reasons in verdict.parked.values() for reason in reasons}


# -- deletes -------------------------------------------------------------------------------------------


@pytest.mark.rule("R6.46")
@pytest.mark.parametrize(
    ("linked", "allowed"),
    [(0, 2), (5, 2), (20, 2), (30, 3), (50, 5), (99, 9), (100, 10), (4000, 10)],
)
def test_ten_deletes_or_ten_percent_are_allowed_but_two_always(linked, allowed):
    assert FREE.deletes_allowed(linked) == allowed
    assert not judge(many(deletion(), allowed), linked, FREE).parked
    stopped = judge(many(deletion(), allowed + 1), linked, FREE)
    assert len(stopped.parked) == allowed + 1
    assert stopped.alert == STOPPED


@pytest.mark.rule("R6.46")
def test_deletes_of_both_sides_count_together():
    decisions = {"a": deletion(), "b": deletion(), "c": deletion(here=True)}
    verdict = judge(decisions, 10, FREE)
    assert verdict.go == ()
    assert set(verdict.parked) == {"a", "b", "c"}
    (reason,) = verdict.parked["a"]
    assert reason.parameters == {"count": 3, "allowed": 2, "linked": 10}


@pytest.mark.rule("R6.46")
def test_harmless_changes_of_the_same_cycle_go_on():
    decisions = {"x": update(subject="a")} | many(deletion(), 3) | {"y": creation(subject="b")}
    verdict = judge(decisions, 10, FREE)
    assert verdict.go == ("x", "y")


@pytest.mark.rule("R6.46")
def test_calling_off_and_single_occurrences_count_as_deletes():
    off = Decision(to_server=Write(verb=Verb.CANCEL))
    two = Decision(to_store=Write(verb=Verb.UPDATE, occurrences={FIRST: None, SECOND: None}))
    assert judge({"a": off, "b": two}, 10, FREE).go == ()
    assert judge({"b": two}, 10, FREE).go == ("b",)


def test_exceptions_that_are_written_anew_are_no_deletes():
    again = Write(
        verb=Verb.UPDATE,
        fields={"recurrence": WEEKLY},
        occurrences={FIRST: None, SECOND: None, NOW: None},
    )
    assert judge({"a": Decision(to_server=again)}, 10, FREE).go == ("a",)


@pytest.mark.rule("R6.46")
def test_what_mails_a_cancellation_waits_whatever_the_numbers():
    cancels = reconcile(without_store(pair()), NOW)
    verdict = judge({"a": cancels, "b": update(subject="x")}, 4000, FREE)
    assert verdict.go == ("b",)
    assert why(verdict) == {"cancellation_waits"}
    assert verdict.alert == ""


@pytest.mark.rule("R6.46")
def test_under_strict_parity_there_is_no_guard():
    cancels = reconcile(without_store(pair(settings=PARITY)), NOW)
    decisions = {"a": cancels, "b": mail(*(f"p{n}@example.com" for n in range(50)))}
    decisions |= many(deletion(), 100)
    verdict = judge(decisions, 10, UNGUARDED, first=True)
    assert verdict.go == tuple(decisions)
    assert not verdict.parked


# -- people --------------------------------------------------------------------------------------------


@pytest.mark.rule("R6.46")
def test_more_people_than_allowed_in_one_cycle_hold_all_mail_back():
    half = [f"a{n}@example.com" for n in range(6)]
    rest = [f"b{n}@example.com" for n in range(5)]
    decisions = {"a": mail(*half), "b": mail(*rest, verb=Verb.CREATE), "c": update(subject="x")}
    verdict = judge(decisions, 100, FREE)
    assert verdict.go == ("c",)
    assert why(verdict) == {"too_many_people"}


def test_somebody_who_is_mailed_twice_is_one_person():
    ten = [f"a{n}@example.com" for n in range(10)]
    assert judge({"a": mail(*ten), "b": mail(*ten)}, 100, FREE).go == ("a", "b")


def test_occurrences_that_mail_somebody_count():
    write = Write(
        verb=Verb.UPDATE,
        occurrences={FIRST: {"location": "Room 4"}},
        tells={FIRST: Tell.ALL},
        told=tuple(f"a{n}@example.com" for n in range(11)),
    )
    assert judge({"a": Decision(to_server=write)}, 100, FREE).go == ()


# -- the first synchronization -------------------------------------------------------------------------


@pytest.mark.rule("R6.51")
@pytest.mark.parametrize("here", [True, False])
def test_the_first_synchronization_makes_nothing_in_bulk(here):
    decisions = many(creation(here), 11) | {"x": update(subject="a")}
    verdict = judge(decisions, 0, FREE, first=True)
    assert verdict.go == ()
    assert why(verdict) == {"first_look"}
    assert judge(many(creation(here), 10), 0, FREE, first=True).parked == {}
    assert judge(decisions, 0, FREE).parked == {}


# -- what waits already --------------------------------------------------------------------------------


def waiting(code, decision, count):
    return {f"held{n}": Held(decision, (Reason(code),)) for n in range(count)}


@pytest.mark.rule("R6.46")
def test_what_is_decided_now_counts_with_what_waits_already():
    others = waiting("too_many_deletes", deletion(), 8)
    verdict = judge({"a": deletion(), "b": update(subject="x")}, 10, FREE, held=others)
    assert verdict.go == ("b",)
    assert verdict.parked["a"][0].parameters["count"] == 9
    people = waiting("too_many_people", mail(*(f"p{n}@example.com" for n in range(10))), 1)
    assert judge({"a": mail("q@example.com")}, 10, FREE, held=people).go == ()
    assert judge({"a": mail("p1@example.com")}, 10, FREE, held=people).go == ("a",)
    made = waiting("first_look", creation(subject="x"), 10)
    assert judge({"a": creation(subject="y")}, 10, FREE, held=made, first=True).go == ()


@pytest.mark.rule("R6.46")
def test_what_waits_for_another_reason_counts_for_that_alone():
    eleven = mail(*(f"p{n}@example.com" for n in range(11)), verb=Verb.DELETE)
    others = waiting("cancellation_waits", eleven, 5)
    decisions = {"a": mail("q@example.com"), "b": deletion()}
    assert judge(decisions, 10, FREE, held=others).go == ("a", "b")


@pytest.mark.rule("R6.46")
def test_what_waits_goes_on_waiting_when_it_is_decided_by_itself():
    alone = waiting("too_many_deletes", deletion(), 1)
    assert judge({"held0": deletion()}, 10, FREE, held=alone).go == ()
    assert judge({"held0": update(subject="x")}, 10, FREE, held=alone).go == ("held0",)
    assert judge({"held0": deletion()}, 10, FREE, held=alone, approved={"held0"}).go == ("held0",)
    assert judge({"held0": deletion()}, 10, UNGUARDED, held=alone).go == ("held0",)


# -- approvals -----------------------------------------------------------------------------------------


@pytest.mark.rule("R6.46")
def test_an_approval_holds_for_exactly_what_was_shown():
    found = without_store(pair())
    before = reconcile(found, NOW)
    assert judge({"a": before}, 10, FREE, approved={"a"}).go == ("a",)
    assert judge({"b": before}, 10, FREE, approved={"a"}).go == ()
    other = reconcile(without_store(pair(server={"required": (CLEO,)})), NOW)
    assert shown(other, None, found.server) != shown(before, None, found.server)


@pytest.mark.rule("R6.46")
def test_leave_to_delete_holds_for_what_would_go():
    there, base = without_store(pair()), pair().base
    decision = reconcile(there, NOW)
    seen = shown(decision, None, there.server, base)
    changed = {**there.server.fields, "location": "Another room"}
    assert shown(decision, None, replace(there.server, fields=changed), base) != seen
    # Fetched or remembered, with what no base has and with blanks of another sort: the same item.
    assert shown(decision, None, replace(base, version="2"), base) == seen
    made = replace(there.server, fields=changed, version="2")
    assert shown(decision, None, made, replace(base, version="2")) == seen  # the server's own doing
    more = {**there.server.fields, "size": 5}
    assert shown(decision, None, replace(there.server, fields=more), base) == seen
    here = deletion(here=True)
    one, two = side({"subject": "Plan"}), side({"subject": "Another plan"})
    assert shown(here, one, None) != shown(here, two, None)
    assert shown(update(subject="x"), one, None) == shown(update(subject="x"), two, None)


@pytest.mark.rule("R6.46")
def test_leave_to_delete_a_series_holds_for_its_occurrences():
    base = side({"subject": "Plan"}, occurrences={FIRST: {"location": "Room 1"}})
    moved = side({"subject": "Plan"}, occurrences={FIRST: {"location": "Room 2"}})
    gone = side({"subject": "Plan"}, occurrences={FIRST: None})
    told = {shown(deletion(), None, each, base) for each in (base, moved, gone)}
    assert len(told) == 3


def test_what_was_approved_is_not_counted_again():
    decisions = many(deletion(), 12)
    agreed = set(decisions)
    decisions["new"] = deletion()
    assert judge(decisions, 10, FREE, approved=agreed).go == tuple(decisions)


def test_a_digest_tells_every_difference_of_what_is_done():
    seen = [
        deletion(), deletion(here=True), creation(subject="a"), creation(subject="b"),
        creation(here=True, subject="a"), update(subject="a"), mail("a@example.com"),
        mail("b@example.com"), mail("a@example.com", verb=Verb.DELETE),
    ]  # fmt: skip
    assert len({digest(decision) for decision in seen}) == len(seen)
    assert digest(seen[0]) == digest(replace(seen[0], must_wait=True, reasons=()))


@pytest.mark.rule("R6.46")
def test_what_was_dropped_is_not_proposed_again():
    found = without_store(pair())
    dropped = digest(reconcile(found, NOW))
    again = decide(replace(found, link=replace(found.link, declined=frozenset({dropped}))))
    assert (again.link, codes(again)) == (LinkTo.UNLINK, ["declined"])
    assert not again.writes
    new = without_server(pair(Table.TASK, link=replace(found.link, linked=False)))
    made = frozenset({digest(reconcile(new, NOW))})
    kept = decide(replace(new, link=replace(new.link, declined=made)))
    assert not kept.writes
    assert kept.link is LinkTo.KEEP


@pytest.mark.rule("R6.51")
def test_a_creation_that_was_dropped_is_proposed_with_no_other_content_either():
    found = without_server(pair(Table.TASK))
    link = replace(found.link, linked=False, declined=frozenset({NO_CREATION}))
    for subject in ("Plan", "Another plan"):
        store = replace(found.store, fields={**found.store.fields, "subject": subject})
        kept = decide(replace(found, link=link, store=store))
        assert (kept.link, codes(kept)) == (LinkTo.KEEP, ["creation_declined"])
        assert not kept.writes


def test_a_dropped_occurrence_leaves_the_pair_linked():
    gone = side(pair(Table.RECURRING_APPOINTMENT).store.fields, occurrences={FIRST: None})
    found = pair(Table.RECURRING_APPOINTMENT, store=gone)
    dropped = frozenset({digest(reconcile(found, NOW))})
    again = decide(replace(found, link=replace(found.link, declined=dropped)))
    assert not again.writes
    assert again.link is LinkTo.KEEP
    assert again.base == found.base


def test_every_stop_has_its_code():
    cancels = reconcile(without_store(pair()), NOW)
    people = mail(*(f"a{n}@example.com" for n in range(11)))
    decisions = {"a": cancels, "b": people} | many(deletion(), 3) | many(creation(), 11)
    assert why(judge(decisions, 10, FREE, first=True)) == STOPS
