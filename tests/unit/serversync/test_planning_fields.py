"""Boxes of the forms that something is planned with."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ValidationError

from activities.admin.times import days_words, duration_words, span_words
from serversync.console.calendar import month_of, week_of
from serversync.console.planning.fields import (
    LONGEST_LIST,
    PeopleField,
    Typed,
    ZoneField,
    moment_of,
    offset_words,
    reminder_words,
    split_people,
    written,
    zone_choices,
)
from serversync.console.planning.occurrences import moment_named, named
from serversync.console.planning.seriesform import minutes_between

BERLIN = ZoneInfo("Europe/Berlin")


def test_people_are_separated_by_commas_semicolons_and_lines_but_not_within_quotes():
    typed = 'Ada <ada@example.com>; Ben Example,\n"Example, Cleo" <cleo@example.org>,,\r\n zed@example.net '
    assert list(split_people(typed)) == [
        "Ada <ada@example.com>",
        "Ben Example",
        '"Example, Cleo" <cleo@example.org>',
        "zed@example.net",
    ]


def test_people_are_addresses_or_names_and_nobody_twice():
    found = PeopleField().clean("Ada <ada@example.com>, ADA@example.com, Ben Example, ben example")
    assert found == (Typed("ada@example.com", "Ada"), Typed("", "Ben Example"))


@pytest.mark.parametrize(
    "people",
    [
        (Typed("ada@example.com", "Ada"), Typed("ben@example.com"), Typed("", "Cleo Example")),
        (Typed("c@example.org", "Example, Cleo"), Typed("", "Example; Ltd")),
    ],
)
def test_people_are_read_as_they_were_written(people):
    assert PeopleField().clean(written(people)) == people


@pytest.mark.parametrize("typed", ["ada@", "Ada <ada@@example.com>", "a b@example.com"])
def test_what_is_no_address_is_told_with_one_that_is(typed):
    with pytest.raises(ValidationError, match=r"is not an email address. Write ada@example.com"):
        PeopleField().clean(typed)


def test_a_list_of_people_has_an_end():
    with pytest.raises(ValidationError, match="more than"):
        PeopleField().clean("a" * (LONGEST_LIST + 1))


@pytest.mark.rule("R6.35")
def test_a_time_is_meant_on_the_clock_of_its_zone():
    summer = moment_of(date(2026, 7, 1), time(9), BERLIN)
    winter = moment_of(date(2026, 1, 15), time(9), BERLIN)
    assert (summer, winter) == (
        datetime(2026, 7, 1, 7, tzinfo=UTC),
        datetime(2026, 1, 15, 8, tzinfo=UTC),
    )


def test_of_a_time_that_the_clocks_show_twice_the_first_is_meant():
    assert moment_of(date(2026, 10, 25), time(2, 30), BERLIN) == datetime(
        2026, 10, 25, 0, 30, tzinfo=UTC
    )


def test_a_time_that_the_clocks_skip_is_refused_with_a_cure():
    with pytest.raises(ValidationError, match="Choose an earlier or a later time"):
        moment_of(date(2026, 3, 29), time(2, 30), BERLIN)


def test_zones_are_offered_with_their_offset():
    offered = dict(dict(zone_choices(date(2026, 7, 1))[1:])["Europe"])
    assert offered["Europe/Berlin"] == "Europe/Berlin (UTC+02:00)"
    assert offset_words("America/St_Johns", datetime(2026, 1, 1, tzinfo=UTC)) == "UTC-03:30"


def test_a_zone_that_is_known_but_not_offered_stays():
    assert ZoneField().clean("Etc/GMT+5") == "Etc/GMT+5"
    with pytest.raises(ValidationError):
        ZoneField().clean("Europe/Nowhere")


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (0, "When it begins"),
        (15, "15 minutes before"),
        (60, "1 hour before"),
        (2880, "2 days before"),
    ],
)
def test_a_reminder_is_said_in_the_largest_unit(minutes, words):
    assert str(reminder_words(minutes)) == words


@pytest.mark.parametrize(("minutes", "words"), [(0, "no time"), (90, "1 h 30 min"), (1440, "1 d")])
def test_a_duration_is_said_as_people_say_it(minutes, words):
    assert duration_words(minutes) == words


def test_a_time_from_to_names_the_day_once():
    start = datetime(2026, 3, 2, 9, tzinfo=UTC)
    assert span_words(start, start.replace(hour=10)) == "Mon 2026-03-02 09:00–10:00"
    assert span_words(start, start.replace(day=3, hour=0)) == "Mon 2026-03-02 09:00–00:00"
    assert span_words(start, start.replace(day=3)) == "Mon 2026-03-02 09:00–Tue 2026-03-03 09:00"


def test_all_day_is_said_in_days():
    assert days_words(date(2026, 3, 2), date(2026, 3, 2)) == "Mon 2026-03-02, all day"
    assert days_words(date(2026, 3, 2), date(2026, 3, 4)).startswith("Mon 2026-03-02 – Wed")


def test_an_end_before_the_beginning_is_on_the_next_day():
    assert minutes_between(time(9), time(10, 30)) == 90
    assert minutes_between(time(22), time(1)) == 180


def test_an_occurrence_is_named_by_when_it_would_have_begun():
    moment = datetime(2026, 3, 2, 8, 30, tzinfo=UTC)
    assert named(moment) == "20260302T083000Z"
    assert moment_named(named(moment)) == moment
    assert moment_named("yesterday") is None


def test_a_month_is_whole_weeks_as_the_language_has_them():
    days = month_of(date(2026, 11, 23))
    assert (days[0], days[-1], len(days)) == (date(2026, 11, 1), date(2026, 12, 5), 35)
    assert week_of(date(2026, 11, 23))[0] == date(2026, 11, 22)
