"""Patterns and their problems in words."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given

from activities.recurrence_words import in_words, problem_in_words
from mailboxes.recurrence import (
    EVERY_DAY,
    WEEKDAYS,
    WEEKEND,
    Nth,
    Pattern,
    Problem,
    Recurrence,
    Side,
    Weekday,
    Wrong,
    validate,
)
from tests.recurrences import recurrences

START = date(2026, 3, 2)
DAILY = Recurrence(pattern=Pattern.DAILY, start=START)
WEEKLY = Recurrence(
    pattern=Pattern.WEEKLY, start=START, days=frozenset({Weekday.MONDAY, Weekday.THURSDAY})
)
MONTHLY = Recurrence(pattern=Pattern.MONTHLY, start=START, day_of_month=2)
SECOND_TUESDAY = Recurrence(
    pattern=Pattern.MONTHLY, start=START, nth=Nth.SECOND, days=frozenset({Weekday.TUESDAY})
)
YEARLY = Recurrence(pattern=Pattern.YEARLY, start=START, day_of_month=29, month=2)


@pytest.mark.parametrize(
    ("recurrence", "words"),
    [
        (DAILY, "Every day"),
        (replace(DAILY, interval=3), "Every 3 days"),
        (replace(DAILY, count=1), "Every day, 1 time"),
        (replace(DAILY, count=10), "Every day, 10 times"),
        (WEEKLY, "Every week on Monday and Thursday"),
        (
            replace(WEEKLY, interval=2, until=date(2027, 3, 31)),
            "Every 2 weeks on Monday and Thursday until March 31, 2027",
        ),
        (
            replace(WEEKLY, days=WEEKEND | {Weekday.MONDAY}, first_day_of_week=Weekday.SUNDAY),
            "Every week on Sunday, Monday and Saturday",
        ),
        (replace(WEEKLY, days=WEEKDAYS), "Every weekday"),
        (replace(WEEKLY, days=EVERY_DAY), "Every day"),
        (
            replace(WEEKLY, days=WEEKDAYS, interval=2),
            "Every 2 weeks on Monday, Tuesday, Wednesday, Thursday and Friday",
        ),
        (MONTHLY, "On day 2 of every month"),
        (replace(MONTHLY, interval=6), "On day 2 of every 6 months"),
        (SECOND_TUESDAY, "On the second Tuesday of every month"),
        (
            replace(SECOND_TUESDAY, nth=Nth.LAST, days=WEEKDAYS, interval=3),
            "On the last weekday of every 3 months",
        ),
        (YEARLY, "Every year on 29 February"),
        (replace(YEARLY, interval=2), "Every 2 years on 29 February"),
        (
            replace(SECOND_TUESDAY, pattern=Pattern.YEARLY, month=5),
            "Every year on the second Tuesday of May",
        ),
        (
            replace(SECOND_TUESDAY, pattern=Pattern.YEARLY, month=5, days=EVERY_DAY, interval=2),
            "Every 2 years on the second day of May",
        ),
    ],
)
def test_patterns_in_words(recurrence, words):
    assert in_words(recurrence) == words


@given(recurrences())
def test_every_pattern_has_words(recurrence):
    assert "%" not in in_words(recurrence)


@pytest.mark.parametrize(
    ("problem", "words"),
    [
        (Problem("count", Wrong.TOO_LARGE, 999), "This is too large. Choose 999 or less."),
        (Problem("interval", Wrong.TOO_SMALL, 1), "This is too small. Choose 1 or more."),
        (
            Problem("interval", Wrong.TOO_LARGE, 99, Side.EXCHANGE),
            "Exchange takes no more than 99 here, so this series would not be synchronized. "
            "Choose a smaller number.",
        ),
        (
            Problem("until", Wrong.TOO_SMALL),
            "The series ends before it begins. Choose a later end.",
        ),
    ],
)
def test_problems_say_what_to_do(problem, words):
    assert problem_in_words(problem) == words


@pytest.mark.parametrize("wrong", Wrong)
def test_every_problem_has_words(wrong):
    limit = 5 if wrong is Wrong.TOO_LARGE else None

    assert problem_in_words(Problem("days", wrong, limit)).endswith(".")


def test_a_pattern_of_weekdays_says_so_only_when_it_means_every_one():
    assert validate(WEEKLY) == []
    assert in_words(replace(WEEKLY, days=WEEKDAYS - {Weekday.FRIDAY})) != "Every weekday"
