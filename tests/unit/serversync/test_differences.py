"""Server against ledger: each key in exactly one count, and which of them differ."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailboxes.protocols.base import RemoteItem
from serversync.choices import ItemState
from serversync.differences import Difference, Known, Server, compare, recognise

START = datetime(2026, 1, 1, tzinfo=UTC)
NEW, OLD = START + timedelta(days=1), START - timedelta(days=1)


def item(key: str, received: datetime = NEW) -> RemoteItem:
    return RemoteItem(key, 100, received)


def known(key: str, state: str = "tracked", **columns) -> Known:
    return Known(uuid4(), key, state, **columns)


def server(*items: RemoteItem, **columns) -> Server:
    return Server({each.remote_id: each for each in items}, **columns)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        (known("1"), None),
        (known("1", "quarantined"), None),
        (known("1", "retrying"), None),
        (known("1", "retrying", waits_for_nothing=True), Difference.STUCK),
        (known("1", "gone"), Difference.GIVEN_UP),
        (known("1", has_left=True), Difference.THERE),
    ],
)
def test_a_known_item_is_in_a_state_that_can_be_or_not(row, kind) -> None:
    found = compare(server(item("1")), [row], START).found
    assert [each.kind for each in found] == ([kind] if kind else [])


def test_what_is_unknown_is_missed_unless_it_is_old_or_still_to_come() -> None:
    count = compare(server(item("1"), item("2", OLD), item("3"), to_come={"3"}), [], START)
    assert (count.listed, count.known, count.before_start, count.to_come) == (3, 0, 1, 1)
    assert [(each.kind, each.source_key) for each in count.found] == [(Difference.MISSED, "1")]


def test_what_left_differs_unless_somebody_is_about_to_notice() -> None:
    rows = [known("1"), known("2"), known("3", has_left=True), known("4", "retrying")]
    assert [each.source_key for each in compare(server(), rows, None).found] == ["1", "2"]
    assert [each.source_key for each in compare(server(leaving={"1"}), rows, None).found] == ["2"]
    assert not compare(server(tells_departures=False), rows, None).found


def test_an_old_friend_under_a_new_key_is_no_loss_and_each_row_stands_for_one() -> None:
    same = UUID(int=7)
    rows = [known("1", identity=same)]
    there = server(item("8"), item("9"))
    count = compare(there, rows, START)
    recognise(count, {"8": same, "9": same}, set(), rows, there.items.keys())
    assert [each.kind for each in count.found] == [Difference.RENAMED, Difference.MISSED]


def test_what_was_folded_is_no_loss() -> None:
    same = UUID(int=7)
    there = server(item("8"))
    count = compare(there, [], START)
    recognise(count, {"8": same}, {same}, [], there.items.keys())
    assert (count.folded, count.found) == (1, [])


keys = st.sets(st.sampled_from("abcdefgh"))


@given(keys, keys, keys, st.sampled_from(list(ItemState)))
def test_every_listed_key_is_counted_once(listed, rows, to_come, state) -> None:
    there = server(*(item(key) for key in listed), to_come=to_come)
    count = compare(there, [known(key, state) for key in rows], START)
    assert count.listed == count.known + count.before_start + count.to_come + count.missed
