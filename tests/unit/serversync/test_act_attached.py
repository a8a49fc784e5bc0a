"""Files on both sides: what is carried where (R6.34)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serversync.act.attached import FileId, Known, Moves, added_ids, kept, known, moves, named

A, B, C = (FileId(f"{name}.pdf", name) for name in "abc")
SOME = st.frozensets(st.sampled_from([A, B, C, FileId("a.pdf", "other")]))
ONE_WAY = st.booleans()


def both(base, here, there) -> Moves:
    return moves(frozenset(base), frozenset(here), frozenset(there), to_store=True, to_server=True)


@pytest.mark.rule("R6.34")
@pytest.mark.parametrize(
    ("base", "here", "there", "expected"),
    [
        ((), (A,), (), Moves(add_there=frozenset({A}), base=frozenset({A}))),
        ((), (), (A,), Moves(add_here=frozenset({A}), base=frozenset({A}))),
        ((A,), (), (A,), Moves(remove_there=frozenset({A}))),
        ((A,), (A,), (), Moves(remove_here=frozenset({A}))),
        ((), (A,), (A,), Moves(base=frozenset({A}))),
        ((A,), (), (), Moves()),
    ],
)
def test_what_one_side_has_or_lacks(base, here, there, expected) -> None:
    assert both(base, here, there) == expected


def applied(found: Moves, here, there):
    return (here | found.add_here) - found.remove_here, (
        there | found.add_there
    ) - found.remove_there


@settings(deadline=None)
@given(SOME, SOME, SOME)
def test_both_sides_agree_afterwards_and_nothing_is_left_to_do(base, here, there) -> None:
    found = both(base, here, there)
    here, there = applied(found, here, there)
    assert here == there == found.base
    again = both(found.base, here, there)
    assert not again.to_server
    assert not again.to_store


@settings(deadline=None)
@given(SOME, SOME, SOME, ONE_WAY, ONE_WAY)
def test_what_waits_is_carried_once_it_may_be(base, here, there, to_store, to_server) -> None:
    whole = both(base, here, there)
    part = moves(base, here, there, to_store=to_store, to_server=to_server)
    assert part.to_store <= to_store
    assert part.to_server <= to_server
    assert applied(both(part.base, *applied(part, here, there)), *applied(part, here, there)) == (
        applied(whole, here, there)
    )


@settings(deadline=None)
@given(SOME, SOME, SOME)
def test_what_nobody_noted_is_carried_no_second_time(base, here, there) -> None:
    """Killed before the base was written: decided again on the former one."""
    found = both(base, here, there)
    again = both(base, *applied(found, here, there))
    assert not again.to_server
    assert not again.to_store
    assert again.base == found.base


@settings(deadline=None)
@given(SOME, SOME, SOME)
def test_what_either_side_brought_is_kept(base, here, there) -> None:
    found = both(base, here, there)
    brought = (here | there) - base
    assert brought <= found.base
    assert found.remove_here | found.remove_there <= base


@settings(deadline=None)
@given(SOME, SOME, SOME, SOME)
def test_what_the_server_did_not_take_is_carried_later(base, here, there, refused) -> None:
    whole = both(base, here, there)
    done = whole.without(refused)
    left = applied(done, here, there)
    assert applied(both(done.base, *left), *left) == applied(whole, here, there)


@settings(deadline=None)
@given(SOME, SOME, SOME)
def test_a_side_that_removes_nothing_here_still_adds(base, here, there) -> None:
    found = moves(base, here, there, to_store=True, to_server=True, removes_here=False)
    assert not found.remove_here
    assert found.add_here == both(base, here, there).add_here


def test_what_is_known_is_told_in_the_base_and_stays_in_the_next_one() -> None:
    told = Known(frozenset({A}), {"1": A, "2": B}, frozenset({B}), "v1", "rules", 2)
    base = {"fields": {}, "files": told.data()}
    assert known(base) == told
    assert known(kept(base)) == told
    assert known({}) == known(None) == Known()
    assert kept(None) == {}


def test_what_other_rules_left_out_is_read_again() -> None:
    told = Known(frozenset({A}), {"1": A, "2": B}, frozenset({B}), "v1", "rules", 2)
    assert told.under("rules") is told
    assert told.under("others") == Known(frozenset({A}), {"1": A}, version="", rules="others")


def test_ids_of_new_files_are_told_apart_by_their_names() -> None:
    names = {"1": "a.pdf", "2": "b.pdf", "3": "c.pdf", "4": "c.pdf"}
    assert added_ids({"1": A}, names, {B, C}) == {"2": B}
    alike = {A, FileId("a.pdf", "other")}
    assert added_ids({}, {"5": "a.pdf"}, alike) == {}


def test_names_are_as_both_sides_hold_them() -> None:
    assert named("a\r\nb.txt") == "ab.txt"
    assert named("") == "attachment"
    assert len(named("x" * 300)) == 255
