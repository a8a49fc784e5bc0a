"""Hypothesis draws sound patterns of every kind."""

from datetime import date

from hypothesis import strategies as st

from mailboxes.recurrence import EVERY_DAY, WEEKDAYS, WEEKEND, Nth, Pattern, Recurrence, Weekday

DATES = st.dates(date(2000, 1, 1), date(2100, 12, 31))
SETS = st.frozensets(st.sampled_from(Weekday), min_size=1)
INTERVALS = st.integers(1, 1000)
FIRST_DAYS = st.sampled_from(Weekday)


def ranges():
    return st.one_of(
        st.just({}),
        st.builds(lambda until: {"until": until}, DATES),
        st.builds(lambda count: {"count": count}, st.integers(1, 999)),
    )


def places():
    """Where in a month: a day, or the n-th of certain days."""
    some = st.one_of(
        st.sampled_from(Weekday).map(lambda day: frozenset({day})),
        st.sampled_from([WEEKDAYS, WEEKEND, EVERY_DAY]),
    )
    return st.one_of(
        st.builds(lambda day: {"day_of_month": day}, st.integers(1, 31)),
        st.builds(lambda nth, days: {"nth": nth, "days": days}, st.sampled_from(Nth), some),
    )


@st.composite
def recurrences(draw, intervals=INTERVALS):
    pattern = draw(st.sampled_from(Pattern))
    said = {
        "pattern": pattern,
        "start": draw(DATES),
        "interval": draw(intervals),
        "first_day_of_week": draw(FIRST_DAYS),
        **draw(ranges()),
    }
    if pattern == Pattern.WEEKLY:
        said["days"] = draw(SETS)
    if pattern in (Pattern.MONTHLY, Pattern.YEARLY):
        said |= draw(places())
    if pattern == Pattern.YEARLY:
        said["month"] = draw(st.integers(1, 12))
    return Recurrence(**said)
