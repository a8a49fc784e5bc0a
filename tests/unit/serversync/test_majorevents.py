"""When mail about a server profile leaves."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serversync.majorevents import BETWEEN, Alarm, Facts, Step, decide

pytestmark = pytest.mark.rule("R8.15")

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
QUIET = Alarm()


def facts(active=10, failing=0, lately=None, wanted=True) -> Facts:
    return Facts(wanted, active, failing, failing if lately is None else lately)


@pytest.mark.parametrize(
    ("active", "failing", "step"),
    [(10, 5, Step.NOTHING), (10, 6, Step.TELL), (1, 1, Step.TELL), (3, 1, Step.NOTHING),
     (3, 2, Step.TELL), (0, 0, Step.NOTHING)],
)  # fmt: skip
def test_told_if_more_than_half_failed(active, failing, step):
    assert decide(facts(active, failing), QUIET, NOW).step == step


def test_what_failed_longer_ago_is_no_event_of_now():
    assert decide(facts(10, 10, lately=5), QUIET, NOW).step == Step.NOTHING


def test_nobody_is_told_who_did_not_ask():
    assert decide(facts(10, 10, wanted=False), QUIET, NOW).step == Step.NOTHING
    assert decide(facts(10, 10, wanted=False), Alarm(True, NOW), NOW).step == Step.FORGET


def test_it_is_over_once_no_more_than_half_fail_and_not_before():
    alarm = Alarm(True, NOW - timedelta(hours=8))
    assert decide(facts(10, 6, lately=0), alarm, NOW).step == Step.NOTHING
    assert decide(facts(10, 5), alarm, NOW).step == Step.ALL_CLEAR
    assert decide(facts(0, 0), alarm, NOW).step == Step.ALL_CLEAR


@given(st.lists(st.tuples(st.integers(0, 10), st.integers(1, 90)), max_size=60))
def test_however_it_flaps_at_most_one_alarm_an_hour_and_an_all_clear_after_each(minutes):
    now, alarm, mails = NOW, QUIET, []
    for failing, pause in minutes:
        step = decide(facts(10, failing), alarm, now).step
        if step == Step.TELL:
            alarm = Alarm(True, now)
        elif step == Step.ALL_CLEAR:
            alarm = Alarm(False, alarm.told_at)
        if step != Step.NOTHING:
            mails.append((step, now))
        now += timedelta(minutes=pause)

    told = [when for step, when in mails if step == Step.TELL]
    assert all(later - earlier >= BETWEEN for earlier, later in pairwise(told))
    assert [step for step, _when in mails] == [Step.TELL, Step.ALL_CLEAR] * (len(mails) // 2) + [
        Step.TELL
    ] * (len(mails) % 2)
