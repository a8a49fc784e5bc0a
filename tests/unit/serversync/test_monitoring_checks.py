"""Answers about a site's health are good for a moment."""

from datetime import UTC, datetime

import pytest

from serversync.monitoring.checks import Check, Recently

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)


class Site:
    """Counts how often it is asked, and for what."""

    def __init__(self) -> None:
        self.seconds = 100.0
        self.asked: list[set[str]] = []

    def ask(self, _now, names):
        self.asked.append(set(names))
        return [Check("database", True, f"question {len(self.asked)}")]

    def recently(self) -> Recently:
        return Recently(2.0, self.ask, lambda: self.seconds)


def says(found: list[Check]) -> str:
    return found[0].says


def test_within_the_moment_nobody_is_asked_again():
    site = Site()
    recently = site.recently()
    assert says(recently.run(NOW)) == "question 1"
    site.seconds += 1.9
    assert says(recently.run(NOW)) == "question 1"
    site.seconds += 0.1
    assert says(recently.run(NOW)) == "question 2"


def test_each_choice_of_checks_is_a_question_of_its_own_whatever_its_order():
    site = Site()
    recently = site.recently()
    recently.run(NOW, ["queue", "cluster"])
    recently.run(NOW, ["cluster", "queue", "queue"])
    recently.run(NOW, ["database"])
    assert site.asked == [{"queue", "cluster"}, {"database"}]


def test_a_question_that_fails_is_no_answer():
    site = Site()
    ask = site.ask
    broken = iter([True])

    def sometimes(now, names):
        if next(broken, False):
            raise ZeroDivisionError
        return ask(now, names)

    recently = Recently(2.0, sometimes, lambda: site.seconds)
    with pytest.raises(ZeroDivisionError):
        recently.run(NOW)
    assert says(recently.run(NOW)) == "question 1"
