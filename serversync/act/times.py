"""PURE  When a meeting or a series takes place: ahead, running or over; and where an occurrence lies."""

from dataclasses import replace
from datetime import UTC, datetime, time, tzinfo
from typing import Any

from mailboxes import recurrence, timezones
from mailboxes.protocols.items import Fields, When
from mailboxes.recurrence import Recurrence

#: Fields of a series that its occurrences haven't got.
OF_SERIES = frozenset({"recurrence", "organizer", "answers"})


def is_ahead(fields: Fields, now: datetime) -> bool:
    """It hasn't begun; of a series: another occurrence is to come."""
    when = fields.get("when")
    return isinstance(when, When) and (when.start > now or _goes_on(fields, when, now))


def is_over(fields: Fields, now: datetime) -> bool:
    """It has ended; of a series: the last occurrence has."""
    when = fields.get("when")
    if not isinstance(when, When) or when.end > now:
        return False
    return not _goes_on(fields, when, now - (when.end - when.start))


def _goes_on(fields: Fields, when: When, after: datetime) -> bool:
    """Another occurrence of the series begins."""
    pattern = fields.get("recurrence")
    if not isinstance(pattern, Recurrence):
        return False
    return recurrence.following(pattern, _clock(when), zone_of(when), after) is not None


# -- occurrences -----------------------------------------------------------------------------------


def regular(series: Fields, original: datetime) -> dict[str, Any]:
    """The occurrence that would begin then, as long as it is like the others."""
    own = {name: value for name, value in series.items() if name not in OF_SERIES}
    when = own.get("when")
    if isinstance(when, When):
        own["when"] = replace(when, start=original, end=_end(when, original))
    return own


def occurs(series: Fields, original: datetime) -> bool:
    """The pattern has an occurrence that begins then."""
    when, pattern = series.get("when"), series.get("recurrence")
    if not (isinstance(when, When) and isinstance(pattern, Recurrence)):
        return False
    return recurrence.is_occurrence(pattern, _clock(when), zone_of(when), original)


def zone_of(when: When) -> tzinfo:
    """A name that isn't known here is taken for UTC."""
    return (None if when.all_day else timezones.zone(when.zone)) or UTC


def _clock(when: When) -> time:
    return when.start.astimezone(zone_of(when)).time()


def _end(when: When, start: datetime) -> datetime:
    """As long by the clock as the others, also where clocks are changed meanwhile (R6.35)."""
    zone = zone_of(when)
    length = _wall(when.end, zone) - _wall(when.start, zone)
    return (_wall(start, zone) + length).replace(tzinfo=zone).astimezone(UTC)


def _wall(moment: datetime, zone: tzinfo) -> datetime:
    return moment.astimezone(zone).replace(tzinfo=None)
