"""What makes an activity sound: for each field what is wrong with it, and what to do about it.

Pure but for the models that it is told of: rows are looked at, never read or written.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, time
from itertools import islice, pairwise
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import NON_FIELD_ERRORS, ValidationError
from django.utils.translation import gettext as _

from activities.choices import ActivityType, ParticipationType, PatternEnd
from activities.kinds import TO_DOS
from activities.models import ActivityParty, RecurringAppointmentMaster
from activities.recurrence_words import problem_in_words
from activities.scheduling.locking import Whole
from activities.scheduling.participants import Identity, identity
from mailboxes import recurrence as patterns
from mailboxes.models import SystemUser
from mailboxes.recurrence import Recurrence, Side

A_DAY = 24 * 60  # minutes
#: How many occurrences are compared to see whether they overlap: more than any pattern has in a period.
COMPARED = 62
ORGANIZER = ParticipationType.ORGANIZER
MEETINGS = frozenset({ActivityType.APPOINTMENT, ActivityType.RECURRING_APPOINTMENT})
HELD = frozenset({ActivityType.APPOINTMENT, ActivityType.SERVICE_APPOINTMENT})
COLUMNS = {
    "start": "pattern_start_date",
    "interval": "interval",
    "days": "days_of_week_mask",
    "day_of_month": "day_of_month",
    "nth": "instance",
    "month": "month_of_year",
    "until": "pattern_end_date",
    "count": "occurrences",
}
Wrong = tuple[str, str]  # column, sentence


def check(whole: Whole, *, by_server: bool = False) -> ValidationError | None:
    """Everything that is wrong with it, by field, or None."""
    found: dict[str, list[Any]] = defaultdict(list)
    for name, errors in _of_columns(whole):
        found[name].extend(errors)
    for name, sentence in _of_kind(whole, by_server):
        if name not in found:  # what is no value at all is said already
            found[name].append(sentence)
    return ValidationError(dict(found)) if found else None


def _of_columns(whole: Whole) -> Iterator[tuple[str, list[Any]]]:
    """Lengths, choices and bounds of every column by itself."""
    for row in (whole.pointer, whole.detail):
        links = [each.name for each in row._meta.concrete_fields if each.is_relation]
        try:
            row.clean_fields(exclude=links)
        except ValidationError as error:
            yield from error.error_dict.items()


def _of_kind(whole: Whole, by_server: bool) -> Iterable[Wrong]:
    yield from _owners(whole)
    if whole.kind in HELD:
        yield from _held(whole.detail)
    if whole.kind in TO_DOS:
        yield from _due(whole.detail)
    if whole.kind == ActivityType.RECURRING_APPOINTMENT:
        yield from _repeated(whole.detail)
    if whole.kind in MEETINGS:
        yield from _organized(whole.parties, by_server)


def _owners(whole: Whole) -> Iterable[Wrong]:
    pointer = whole.pointer
    if bool(pointer.owning_user_id) is bool(pointer.owning_team_id):
        yield (
            "owning_user",
            _("A record has exactly one owner. Choose either a user or a team."),
        )


def _held(item: Any) -> Iterable[Wrong]:
    start, end = item.scheduled_start, item.scheduled_end
    if not isinstance(start, datetime) or not isinstance(end, datetime):
        return
    if end < start:
        yield "scheduled_end", _("It ends before it begins. Choose a later end.")
    elif item.is_all_day_event and end == start:
        yield "scheduled_end", _("What lasts all day lasts one day at least. Choose a later end.")
    if item.is_all_day_event:
        for name, moment in (("scheduled_start", start), ("scheduled_end", end)):
            if moment.astimezone(UTC).time() != time():
                yield name, _("What lasts all day begins and ends at 0:00 UTC. Choose days only.")


def _due(item: Any) -> Iterable[Wrong]:
    start, due = item.scheduled_start, item.scheduled_end
    if isinstance(start, datetime) and isinstance(due, datetime) and due < start:
        yield "scheduled_end", _("It is due before it begins. Choose a later day.")


def _organized(parties: Iterable[ActivityParty], by_server: bool) -> Iterable[Wrong]:
    found = organizers(parties)
    if len(found) > 1:
        yield "organizer", _("A meeting has one organizer. Leave only one of them.")
    elif not by_server and not found:
        yield "organizer", _("A meeting needs an organizer, who invites the others. Choose a user.")
    elif not by_server and found[0][2] != _type_of_users():
        yield "organizer", _("The organizer of a meeting is a user. Choose one.")


def organizers(parties: Iterable[ActivityParty]) -> list[Identity]:
    """Who they are, in order."""
    found = (party for party in parties if party.participation_type_mask == ORGANIZER)
    return sorted((identity(party) for party in found), key=str)


def _type_of_users() -> int:
    return ContentType.objects.get_for_model(SystemUser).pk


# -- series --------------------------------------------------------------------------------------


def _repeated(series: RecurringAppointmentMaster) -> Iterable[Wrong]:
    pattern = pattern_of(series)
    if pattern is None:
        return
    yield from _ends(series)
    problems = [each for each in patterns.validate(pattern) if each.side is Side.HERE]
    for problem in problems:
        yield COLUMNS.get(problem.field, NON_FIELD_ERRORS), problem_in_words(problem)
    if series.is_all_day_event and (series.start_time != time() or series.duration % A_DAY):
        yield (
            "start_time",
            _("What lasts all day begins at 0:00 and lasts whole days. Choose these."),
        )
    if series.is_all_day_event and not series.duration:
        yield "duration", _("What lasts all day lasts one day at least. Choose a later end.")
    if not problems and _overlaps(series):
        yield (
            "duration",
            _("An occurrence would last longer than until the next. Make it shorter, or rarer."),
        )


def pattern_of(series: RecurringAppointmentMaster) -> Recurrence | None:
    """None where its columns say none; what is missing or no value at all they say themselves."""
    needed = ("recurrence_pattern_type", "interval", "pattern_start_date", "start_time", "duration")
    if any(getattr(series, name) is None for name in needed):
        return None
    try:
        return series.recurrence
    except (TypeError, ValueError):
        return None


def starts_of(series: RecurringAppointmentMaster) -> datetime | None:
    """When it begins for the first time, if it is sound enough to tell."""
    pattern = pattern_of(series)
    if pattern is None or any(each.side is Side.HERE for each in patterns.validate(pattern)):
        return None
    return series.effective_start_date


def _ends(series: RecurringAppointmentMaster) -> Iterable[Wrong]:
    if series.pattern_end_type == PatternEnd.COUNT and series.occurrences is None:
        yield "occurrences", _("Say after how many occurrences it ends.")
    if series.pattern_end_type == PatternEnd.DATE and series.pattern_end_date is None:
        yield "pattern_end_date", _("Say until which day it goes on.")


def _overlaps(series: RecurringAppointmentMaster) -> bool:
    found = islice(patterns.days(series.recurrence), COMPARED)
    gaps = [(later - former).days * A_DAY for former, later in pairwise(found)]
    return bool(gaps) and series.duration > min(gaps)


def check_original(
    series: RecurringAppointmentMaster, original: datetime
) -> ValidationError | None:
    """Whether the series has an occurrence then, as far as the pattern goes."""
    clock = series.start_time
    if patterns.is_occurrence(series.recurrence, clock, series.zone, original):
        return None
    return ValidationError(
        {
            "original_start_date": _(
                "The series has no occurrence that begins then, so nothing can take its place. "
                "Choose one of its occurrences."
            )
        }
    )
