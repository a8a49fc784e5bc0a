"""Items and records that aren't linked: which belong together, and what is asked (R6.51)."""

from uuid import UUID

import pytest

from serversync.act.matching import By, UnlinkedItem, UnlinkedRecord, contact_keys, match
from serversync.act.types import Question, Table
from tests.unit.serversync.act.builders import contact

CONTACT, MEETING = Table.CONTACT, Table.APPOINTMENT


def item(number, table=CONTACT, *addresses, **more):
    return UnlinkedItem(id=f"i{number}", table=table, addresses=frozenset(addresses), **more)


def record(number, table=CONTACT, *addresses, **more):
    return UnlinkedRecord(key=UUID(int=number), table=table, addresses=frozenset(addresses), **more)


def matched(found):
    return [(each.item.id, each.record.key.int, each.by) for each in found.matches]


def asked(found):
    return [(ask.item.id, [one.key.int for one in ask.records], ask.question) for ask in found.asks]


@pytest.mark.rule("R6.51")
def test_the_link_comes_before_the_meeting_and_the_meeting_before_addresses():
    items = [
        item(1, CONTACT, "ben@example.com", link="L1"),
        item(2, MEETING, uid="U2"),
        item(3, CONTACT, "cleo@example.com"),
    ]
    records = [
        record(1, CONTACT, "someone@example.com", link="L1"),
        record(2, MEETING, uid="U2"),
        record(3, CONTACT, "cleo@example.com"),
        record(4, CONTACT, "ben@example.com"),
    ]
    found = match(items, records)
    assert matched(found) == [("i1", 1, By.LINK), ("i2", 2, By.MEETING), ("i3", 3, By.ADDRESSES)]
    assert [each.key.int for each in found.new_records] == [4]
    assert not found.asks


@pytest.mark.rule("R6.51")
def test_several_contacts_with_one_address_are_asked_about():
    shared = "office@example.com"
    two_records = match(
        [item(1, CONTACT, shared)], [record(1, CONTACT, shared), record(2, CONTACT, shared)]
    )
    assert asked(two_records) == [("i1", [1, 2], Question.DUPLICATE)]
    two_items = match(
        [item(1, CONTACT, shared), item(2, CONTACT, shared)], [record(1, CONTACT, shared)]
    )
    assert asked(two_items) == [("i1", [1], Question.DUPLICATE), ("i2", [1], Question.DUPLICATE)]
    for found in (two_records, two_items):
        assert not (found.matches or found.new_items or found.new_records)


@pytest.mark.rule("R6.51")
def test_two_addresses_that_lead_to_two_records_are_asked_about():
    found = match(
        [item(1, CONTACT, "a@example.com", "b@example.com")],
        [record(1, CONTACT, "a@example.com"), record(2, CONTACT, "b@example.com")],
    )
    assert asked(found) == [("i1", [1, 2], Question.DUPLICATE)]


def test_two_addresses_that_lead_to_one_record_are_one():
    both = ("a@example.com", "b@example.com")
    found = match([item(1, CONTACT, *both)], [record(1, CONTACT, *both)])
    assert matched(found) == [("i1", 1, By.ADDRESSES)]


@pytest.mark.rule("R6.51")
def test_the_same_name_alone_is_asked_about():
    found = match(
        [item(1, CONTACT, "ben@example.com", name="ben bright")], [record(1, name="ben bright")]
    )
    assert asked(found) == [("i1", [1], Question.DUPLICATE)]


@pytest.mark.rule("R6.51")
def test_what_was_linked_before_is_asked_about():
    found = match([item(1, link="L1")], [record(1, link="L1", parted=True)])
    assert asked(found) == [("i1", [1], Question.PREVIOUSLY_LINKED)]


def test_two_items_with_one_link_are_nobodys():
    found = match([item(1, link="L1"), item(2, link="L1")], [record(1, link="L1")])
    assert not found.matches
    assert len(found.new_items) == 2


def test_tables_do_not_mix():
    found = match([item(1, MEETING, uid="U1")], [record(1, Table.RECURRING_APPOINTMENT, uid="U1")])
    assert not found.matches
    assert (len(found.new_items), len(found.new_records)) == (1, 1)


def test_what_is_like_nothing_is_new():
    found = match([item(1, CONTACT, "a@example.com")], [record(1, CONTACT, "b@example.com")])
    assert (len(found.new_items), len(found.new_records)) == (1, 1)


def test_keys_of_a_contact_are_compared_without_case():
    fields = contact(given_name=" Ben ", surname="BRIGHT", email1="Ben@Example.com ", email3="")
    assert contact_keys(fields) == (frozenset({"ben@example.com"}), "ben bright")


def test_many_are_matched_in_no_time():
    """One look-up each: forty thousand, as a first synchronization may bring."""
    count = 40_000
    items = [item(n, CONTACT, f"p{n}@example.com") for n in range(count)]
    records = [record(n, CONTACT, f"p{n}@example.com") for n in range(count)]
    assert len(match(items, records).matches) == count
