"""What rows keep of fields and writes can be read back as it was."""

import json
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest

from mailboxes.protocols.items import (
    FIELDS,
    Address,
    Answer,
    ItemKind,
    Person,
    Response,
    Shape,
    ShowAs,
    Tell,
    When,
)
from mailboxes.recurrence import Nth, Pattern, Recurrence, Weekday
from serversync.act import stored
from serversync.act.types import Decision, Lifecycle, Lost, Reason, Side, Verb, Write

MOMENT = datetime(2026, 3, 9, 8, tzinfo=UTC)
LATER = datetime(2026, 3, 9, 9, 30, tzinfo=UTC)
ADA, BEN = Person("ada@example.com", "Ada"), Person("ben@example.com")
YEARLY = Recurrence(
    pattern=Pattern.YEARLY, start=date(2026, 3, 9), month=3, nth=Nth.LAST,
    days=frozenset({Weekday.FRIDAY}), until=date(2030, 1, 1), first_day_of_week=Weekday.SUNDAY,
)  # fmt: skip
VALUES = {
    Shape.TEXT: ["", "Plan"],
    Shape.LINES: ["", "one\ntwo"],
    Shape.CHOICE: ["busy"],
    Shape.FLAG: [True, False, None],
    Shape.NUMBER: [0, 15, None],
    Shape.AMOUNT: [Decimal("12.50"), None],
    Shape.DAY: [date(2026, 3, 9), None],
    Shape.MOMENT: [MOMENT, None],
    Shape.WHEN: [When(MOMENT, LATER, False, "Europe/Berlin"), When(MOMENT, LATER, True), None],
    Shape.PERSON: [ADA, None],
    Shape.PEOPLE: [(), (ADA, BEN)],
    Shape.ANSWERS: [(), (Answer("ada@example.com", Response.ACCEPTED, MOMENT),)],
    Shape.ADDRESS: [Address("High Street 1", "London"), None],
    Shape.WORDS: [frozenset(), frozenset({"a", "b"})],
    Shape.RECURRENCE: [YEARLY, None],
}


@pytest.mark.parametrize("shape", Shape)
def test_every_shape_comes_back_from_json_as_it_was(shape):
    for value in VALUES[shape]:
        told = json.loads(json.dumps(stored.value_data(value)))
        assert stored.value_of(shape, told) == value


@pytest.mark.parametrize("kind", ItemKind)
def test_a_whole_side_comes_back_as_it_was(kind):
    whole = {name: VALUES[shape][0] for name, shape in FIELDS[kind].items()}
    side = Side(whole)
    assert stored.side_of(kind, json.loads(json.dumps(stored.side_data(side)))) == side


def test_occurrences_come_back_with_those_that_were_deleted():
    side = Side({"recurrence": YEARLY}, {MOMENT: {"subject": "Moved"}, LATER: None})
    told = json.loads(json.dumps(stored.side_data(side)))
    assert stored.side_of(ItemKind.SERIES, told) == side


def test_a_write_comes_back_and_keeps_what_it_replaces():
    write = Write(
        verb=Verb.UPDATE, fields={"subject": "New"}, tell=Tell.ALL, told=("ben@example.com",),
        lifecycle=Lifecycle.COMPLETED, tells={MOMENT: Tell.CHANGED},
    )  # fmt: skip
    told = stored.write_data(write, Side({"subject": "Old", "location": "Here"}))
    assert stored.write_of(ItemKind.APPOINTMENT, json.loads(json.dumps(told))) == write
    assert told["before"] == {"fields": {"subject": "Old"}}


def test_a_deletion_keeps_all_that_would_go():
    told = stored.write_data(Write(verb=Verb.DELETE), Side({"subject": "Old", "location": "Here"}))
    assert told["before"]["fields"] == {"subject": "Old", "location": "Here"}


def test_a_field_that_is_no_more_is_left_out():
    assert stored.fields_of(ItemKind.TASK, {"subject": "Plan", "colour": "red"}) == {
        "subject": "Plan"
    }


def digest(**fields) -> str:
    return stored.digest_of(None, Write(verb=Verb.UPDATE, fields=fields))


def test_a_digest_tells_what_is_done_and_not_in_which_order_it_was_said():
    assert digest(required=(ADA, BEN)) == digest(required=(BEN, ADA))
    assert digest(subject="a", location="b") == digest(location="b", subject="a")
    assert digest(show_as=ShowAs.BUSY) == digest(show_as="busy")
    assert digest(subject="a") != digest(subject="b")
    write = Write(verb=Verb.DELETE)
    assert stored.digest_of(write, None) != stored.digest_of(None, write)


def test_a_digest_minds_who_is_mailed():
    silent, loud = (Write(verb=Verb.DELETE, tell=tell) for tell in (Tell.NOBODY, Tell.ALL))
    digests = {stored.digest_of_decision(Decision(to_server=one)) for one in (silent, loud)}
    assert len(digests) == 2


def test_reasons_and_lost_values_are_plain_data():
    told = stored.reasons_data([Reason("too_many", {"limit": 10})])
    assert stored.reasons_of(json.loads(json.dumps(told))) == (Reason("too_many", {"limit": 10}),)
    (lost,) = stored.lost_data([Lost("when", When(MOMENT, LATER), None, "store", MOMENT)])
    assert json.loads(json.dumps(lost)) == lost
    assert lost["original"] == MOMENT.isoformat()
