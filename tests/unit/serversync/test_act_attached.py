"""Files on both sides: what is carried where (R6.34)."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serversync.act.attached import FileId, Moves, moves

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
