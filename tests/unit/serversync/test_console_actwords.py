"""Fields and values of appointments, contacts and tasks as people read them."""

from datetime import UTC, date, datetime

import pytest

from mailboxes.protocols.items import (
    FIELDS,
    Address,
    Answer,
    ItemKind,
    Person,
    Response,
    ShowAs,
    TaskProgress,
    When,
)  # fmt: skip
from mailboxes.recurrence import Pattern, Recurrence, Weekday
from serversync.act import stored
from serversync.act.types import Side, Tell, Verb, Write
from serversync.console.actwords import CHOICES, changes, label, lines, part_label, words

NINE = datetime(2026, 7, 6, 7, tzinfo=UTC)
TEN = datetime(2026, 7, 6, 8, tzinfo=UTC)
MEETING, SERIES = ItemKind.APPOINTMENT, ItemKind.SERIES


def said(kind: ItemKind, name: str, value) -> str:
    return words(kind, name, stored.value_data(value))


@pytest.mark.parametrize(
    ("kind", "name", "value", "expected"),
    [
        (MEETING, "when", When(NINE, TEN, False, "Europe/Berlin"),
         "2026-07-06 09:00 – 10:00 (Europe/Berlin)"),
        (MEETING, "when", When(NINE, TEN), "2026-07-06 07:00 – 08:00 (UTC)"),
        (MEETING, "when", When(NINE, TEN, False, "Nowhere/At_all"),
         "2026-07-06 07:00 – 08:00 (Nowhere/At_all)"),
        (MEETING, "when", When(datetime(2026, 7, 6, tzinfo=UTC), datetime(2026, 7, 7, tzinfo=UTC), True),
         "2026-07-06, all day"),
        (MEETING, "when", When(datetime(2026, 7, 6, tzinfo=UTC), datetime(2026, 7, 9, tzinfo=UTC), True),
         "2026-07-06 – 2026-07-08, all day"),
        (MEETING, "required", (Person("ben@example.com", "Ben"), Person("cleo@example.com")),
         "Ben <ben@example.com>, cleo@example.com"),
        (MEETING, "show_as", ShowAs.OUT_OF_OFFICE, "out of office"),
        (MEETING, "answers", (Answer("ben@example.com", Response.DECLINED),),
         "ben@example.com: declined"),
        (MEETING, "is_cancelled", True, "yes"),
        (MEETING, "subject", "", "–"),
        (ItemKind.TASK, "due", date(2026, 7, 6), "2026-07-06"),
        (ItemKind.TASK, "reminder", NINE, "2026-07-06 07:00 UTC"),
        (ItemKind.TASK, "categories", frozenset({"b", "a"}), "a, b"),
        (ItemKind.CONTACT, "business_address", Address("High Street 1", "London", "", "N1", "UK"),
         "High Street 1, N1 London, UK"),
    ],
)  # fmt: skip
def test_values_are_told_in_words(kind, name, value, expected):
    assert said(kind, name, value) == expected


def test_a_pattern_is_told_in_words():
    weekly = Recurrence(
        pattern=Pattern.WEEKLY, start=date(2026, 7, 6), days=frozenset({Weekday.MONDAY})
    )
    assert "Monday" in said(SERIES, "recurrence", weekly)


def test_every_choice_has_a_word():
    for choice in (*ShowAs, *TaskProgress, *Response):
        assert str(choice) in CHOICES


def test_every_field_has_a_label():
    for kind, fields in FIELDS.items():
        assert all(label(kind, name) for name in fields)


def test_parts_are_called_as_people_call_them():
    assert part_label(SERIES, NINE.isoformat()) == "Occurrence of 2026-07-06 07:00 UTC"
    assert part_label(MEETING, "location") == label(MEETING, "location")


@pytest.mark.parametrize("data", [{"start": "x"}, "text", 5, ["x"], {"fields": {}}])
def test_what_another_version_stored_fails_no_page(data):
    assert words(MEETING, "when", data)
    assert words(MEETING, "required", data)
    assert words(MEETING, "colour", data)


def test_a_body_of_any_length_is_cut():
    assert len(words(MEETING, "body", "x" * 100_000)) < 3_000


def test_names_of_people_and_times_of_answers_are_no_difference():
    left = {"fields": {"required": [{"address": "a@x.example", "name": "A"}]}}
    right = {"fields": {"required": [{"address": "a@x.example", "name": "Ada"}]}}
    (line,) = lines(MEETING, left, right)
    assert not line.differs


def test_empty_is_empty_however_it_is_stored():
    assert lines(MEETING, {"fields": {"subject": ""}}, {"fields": {}}) == []
    (line,) = lines(MEETING, {"fields": {"subject": "a"}}, {"fields": {"subject": ""}})
    assert line.differs


def test_an_update_tells_what_changes_from_what_to_what():
    write = Write(verb=Verb.UPDATE, fields={"subject": "New", "location": "Same"}, tell=Tell.ALL)
    told = stored.write_data(write, Side({"subject": "Old", "location": "Same", "body": "b"}))
    assert [(one.label, one.left, one.right) for one in changes(MEETING, told)] == [
        ("Subject", "Old", "New")
    ]


def test_single_occurrences_have_lines_of_their_own():
    write = Write(verb=Verb.UPDATE, occurrences={NINE: {"subject": "Moved"}, TEN: None})
    told = stored.write_data(write, Side({}, {NINE: {"subject": "Was"}}))
    found = [(one.left, one.right) for one in changes(SERIES, told)]
    assert found == [("Subject: Was", "Subject: Moved"), ("–", "deleted")]
