"""Made-up items of each kind, for tests with many of them: every field holds anything that survives a server.

What doesn't: texts lose blanks and line ends around them, and control characters; categories and children can't
hold what separates them; nobody is invited twice; a pattern of weeks alone says on which day weeks begin; every so many years begin on
their first day.
"""

from datetime import UTC, date, datetime, timedelta

from hypothesis import strategies as st

from mailboxes.protocols.items import (
    FIELDS,
    Address,
    Importance,
    ItemKind,
    Person,
    Sensitivity,
    Shape,
    ShowAs,
    TaskProgress,
    When,
)
from mailboxes.recurrence import (
    EVERY_DAY,
    WEEKDAYS,
    WEEKEND,
    Nth,
    Pattern,
    Recurrence,
    Weekday,
    aligned,
)

SERVERS_OWN = ("organizer", "answers", "is_cancelled", "is_recurring", "is_assigned")
KEPT_IN_STEP = ("status", "percent_complete", "completed")
ZONES = ("Europe/Berlin", "Europe/Vienna", "America/New_York", "Asia/Kolkata", "UTC", "Mars/Phobos")

_visible = st.characters(exclude_categories=("C", "Z"), exclude_characters=";")
_words = st.text(_visible, min_size=1, max_size=8)
lines_of_text = st.lists(st.lists(_words, max_size=3).map(" ".join), max_size=4).map(
    lambda lines: "\n".join(lines).rstrip()
)
texts = st.lists(_words, max_size=4).map(" ".join)
days = st.dates(date(1900, 1, 1), date(2100, 12, 31))
moments = st.integers(946_684_800, 2_840_140_800).map(
    lambda seconds: datetime.fromtimestamp(seconds, UTC)
)


def people(first: int, last: int):
    numbers = st.lists(st.integers(first, last), max_size=3, unique=True)
    return numbers.map(lambda some: tuple(map(_person, some)))


def _person(number: int) -> Person:
    return Person(f"person{number}@example.org", f"Person {number}")


@st.composite
def whens(draw):
    zone = draw(st.sampled_from(ZONES))
    start = draw(moments)
    if draw(st.booleans()):
        first = start.replace(hour=0, minute=0, second=0)
        return When(first, first + timedelta(days=draw(st.integers(1, 9))), True, zone)
    return When(start, start + timedelta(minutes=draw(st.integers(1, 5000))), zone=zone)


addresses = st.builds(
    Address,
    street=lines_of_text.map(str.strip),
    city=texts,
    state=texts,
    postal_code=texts,
    country=texts,
).map(lambda address: None if address == Address() else address)


@st.composite
def recurrences_of_any_kind(draw):
    pattern = draw(st.sampled_from(Pattern))
    start = draw(st.dates(date(2000, 1, 1), date(2060, 1, 1)))
    most = {Pattern.DAILY: 999, Pattern.WEEKLY: 99, Pattern.MONTHLY: 11, Pattern.YEARLY: 8}
    interval = draw(st.integers(1, most[pattern]))
    made = {"pattern": pattern, "start": start, "interval": interval}
    if pattern is Pattern.WEEKLY:
        made["days"] = draw(st.frozensets(st.sampled_from(Weekday), min_size=1))
        made["first_day_of_week"] = draw(st.sampled_from(Weekday))
    if pattern in (Pattern.MONTHLY, Pattern.YEARLY):
        made |= draw(st.one_of(_absolute, _relative))
    if pattern is Pattern.YEARLY:
        made["month"] = start.month if interval > 1 else draw(st.integers(1, 12))
    made |= draw(_ends(start))
    drawn = Recurrence(**made)
    return aligned(drawn) if pattern is Pattern.YEARLY and interval > 1 else drawn


_absolute = st.integers(1, 31).map(lambda day: {"day_of_month": day})
_relative = st.builds(
    lambda days, nth: {"days": days, "nth": nth},
    st.sampled_from([*(frozenset({day}) for day in Weekday), WEEKDAYS, WEEKEND, EVERY_DAY]),
    st.sampled_from(Nth),
)


def _ends(start: date):
    return st.one_of(
        st.just({}),
        st.integers(1, 999).map(lambda count: {"count": count}),
        st.integers(0, 2000).map(lambda days: {"until": start + timedelta(days=days)}),
    )


def _of_shape(name: str, shape: Shape):
    choices = {
        "importance": Importance,
        "sensitivity": Sensitivity,
        "show_as": ShowAs,
        "status": TaskProgress,
        "mailing_address": ("", "business", "home", "other"),
    }
    return {
        Shape.TEXT: texts,
        Shape.LINES: lines_of_text,
        Shape.CHOICE: st.sampled_from(choices.get(name, ("",))),
        Shape.NUMBER: st.integers(0, 100),
        Shape.DAY: st.none() | days,
        Shape.MOMENT: st.none() | moments,
        Shape.WHEN: whens(),
        Shape.PEOPLE: people(1, 499) if name == "required" else people(500, 999),
        Shape.ADDRESS: addresses,
        Shape.WORDS: st.frozensets(texts.filter(bool), max_size=3),
        Shape.RECURRENCE: recurrences_of_any_kind(),
    }[shape]


def fields_of(kind: ItemKind):
    """Some fields of an item, always with its time and pattern."""
    known = {
        name: _of_shape(name, shape)
        for name, shape in FIELDS[kind].items()
        if name not in SERVERS_OWN
    }
    if kind in (ItemKind.APPOINTMENT, ItemKind.SERIES):
        known["reminder"] = st.none() | st.integers(0, 20_000)
    if kind is ItemKind.CONTACT:
        known["children"] = st.lists(texts.filter(bool), max_size=3).map("; ".join)
    if kind is ItemKind.TASK:  # nothing is completed in days to come
        known["completed"] = st.none() | st.dates(date(1900, 1, 1), date(2026, 1, 1))
    needed = {name: known.pop(name) for name in ("when", "recurrence") if name in known}
    return st.fixed_dictionaries(needed, optional=known)
