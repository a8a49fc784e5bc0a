"""Create and change activities: pointer, concrete row and parties together, many at once."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils.translation import gettext as _

from activities.choices import (
    ActivityState,
    ActivityType,
    AppointmentStatus,
    FaxStatus,
    LetterStatus,
    PhoneCallStatus,
    ServiceAppointmentStatus,
    TaskStatus,
)
from activities.kinds import CONCRETE, PLANNED, TO_DOS
from activities.models import (
    ActivityParty,
    ActivityPointer,
    Appointment,
    RecurringAppointmentMaster,
)
from activities.scheduling import rules
from activities.scheduling.contracts import OF_POINTER, ActivityChange, NewActivity, Written
from activities.scheduling.deleting import drop_exceptions, in_utc, still_fitting
from activities.scheduling.locking import Whole, locked
from activities.scheduling.participants import PartyChanges, changes_of, write_parties
from activities.store import party_row
from mailboxes.models import SystemUser

#: Columns of a series that say when its occurrences begin. Where one changes, exceptions lose their place.
OF_PATTERN = frozenset(
    {
        "recurrence_pattern_type",
        "interval",
        "days_of_week_mask",
        "day_of_month",
        "instance",
        "month_of_year",
        "is_nth_monthly",
        "is_nth_yearly",
        "is_weekday_pattern",
        "first_day_of_week",
        "pattern_start_date",
        "pattern_end_type",
        "pattern_end_date",
        "occurrences",
        "start_time",
        "time_zone",
        "is_all_day_event",
    }
)


# -- new ones ------------------------------------------------------------------------------------


@transaction.atomic
def create(
    rows: Sequence[NewActivity], *, now: datetime, actor: SystemUser | None = None
) -> Written:
    """One statement for each table; two more if there are exceptions of series among them."""
    wholes = {row.id: _made(row, now, actor) for row in rows}
    found = Written()
    for row in rows:
        if error := rules.check(wholes[row.id], by_server=row.by_server):
            found.refused[row.id] = error
    sound = [whole for key, whole in wholes.items() if key not in found.refused]
    found.refused |= _misplaced([whole for whole in sound if _series_of(whole)])
    _insert([whole for whole in sound if whole.key not in found.refused])
    found.written = found.changed = wholes.keys() - found.refused.keys()
    return found


def _made(row: NewActivity, now: datetime, actor: SystemUser | None) -> Whole:
    assert row.kind in PLANNED
    pointer = ActivityPointer(
        id=row.id,
        activity_type_code=row.kind,
        sort_date=now,
        created_on=now,
        created_by=actor,
        modified_by=actor,
        **{name: getattr(row, name) for name in OF_POINTER},
    )
    detail: Any = CONCRETE[row.kind](activity=pointer)
    _set(detail, row.fields)
    whole = Whole(row.kind, detail, [party_row(row.id, party) for party in row.parties])
    _derive(whole)
    return whole


def _insert(wholes: Sequence[Whole]) -> None:
    ActivityPointer.objects.bulk_create([whole.pointer for whole in wholes])
    by_kind: dict[ActivityType, list[Any]] = defaultdict(list)
    for whole in wholes:
        by_kind[whole.kind].append(whole.detail)
    # Series before their exceptions.
    for kind in sorted(by_kind, reverse=True):
        CONCRETE[kind]._default_manager.bulk_create(by_kind[kind])
    ActivityParty.objects.bulk_create([party for whole in wholes for party in whole.parties])


def _misplaced(exceptions: Sequence[Whole]) -> dict[UUID, ValidationError]:
    """Those whose occurrence the series doesn't have, or has replaced already."""
    if not exceptions:
        return {}
    named = {_series_of(whole) for whole in exceptions}
    series = RecurringAppointmentMaster.objects.select_for_update().in_bulk(list(named))
    taken = set(
        Appointment.objects.filter(series__in=named).values_list("series", "original_start_date")
    )
    found = {}
    for whole in exceptions:
        place = (_series_of(whole), whole.detail.original_start_date)
        if error := _misplacement(series.get(place[0]), place, taken):
            found[whole.key] = error
        taken.add(place)
    return found


def _misplacement(
    series: RecurringAppointmentMaster | None, place: tuple[Any, Any], taken: set[tuple[Any, Any]]
) -> ValidationError | None:
    if series is None:
        return ValidationError({"series": _("The series is gone.")})
    if place in taken:
        return ValidationError(
            {"original_start_date": _("This occurrence differs already. Change that one.")}
        )
    return rules.check_original(series, place[1])


def _series_of(whole: Whole) -> Any:
    return whole.detail.series_id if whole.kind == ActivityType.APPOINTMENT else None


# -- changes -------------------------------------------------------------------------------------


@transaction.atomic
def update(
    changes: Sequence[ActivityChange],
    *,
    now: datetime,
    actor: SystemUser | None = None,
    of: Mapping[UUID, Whole] | None = None,
) -> Written:
    """Only columns that change are written, and only rows that do: one statement for each table, however many
    rows there are. `of`: rows that the caller has locked."""
    wholes = dict(of) if of is not None else _locked(changes)
    found, touched = Written(), _Touched()
    for change in changes:
        if (whole := wholes.get(change.id)) is None:
            found.gone.add(change.id)
            continue
        error = touched.take(whole, change, now, actor)
        if error is not None:
            found.refused[change.id] = error
        else:
            found.written.add(change.id)
    found.changed = set(touched.keys)
    touched.write(now=now, actor=actor)
    return found


def _locked(changes: Iterable[ActivityChange]) -> dict[UUID, Whole]:
    by_kind: dict[ActivityType, list[UUID]] = defaultdict(list)
    for change in changes:
        by_kind[change.kind].append(change.id)
    found: dict[UUID, Whole] = {}
    for kind in sorted(by_kind):
        found |= locked(by_kind[kind], kind)
    return found


class _Touched:
    """What a batch of changes comes to, table by table."""

    def __init__(self) -> None:
        self.keys: list[UUID] = []
        self.pointers: dict[str, list[Any]] = {}
        self.details: dict[ActivityType, dict[str, list[Any]]] = defaultdict(dict)
        self.parties = PartyChanges()
        self.moved: list[tuple[Whole, bool]] = []

    def take(
        self, whole: Whole, change: ActivityChange, now: datetime, actor: SystemUser | None
    ) -> ValidationError | None:
        """Note what changes; or leave the rows as they were and say why."""
        before = _columns(whole.pointer), _columns(whole.detail), list(whole.parties)
        _set(whole.pointer, change.pointer)
        _set(whole.detail, change.fields)
        _derive(whole)
        parties = changes_of(whole, change.parties, change.roles)
        whole.parties = parties.all
        same_organizer = rules.organizers(before[2]) == rules.organizers(whole.parties)
        if error := rules.check(whole, by_server=change.by_server or same_organizer):
            _set(whole.pointer, before[0])
            _set(whole.detail, before[1])
            whole.parties = before[2]
            return error
        if _has_moved(whole, before[1]):
            self._move(whole, change)
        self._note(whole, before, parties, now, actor)
        return None

    def _move(self, whole: Whole, change: ActivityChange) -> None:
        self.moved.append((whole, change.keep_fitting))
        if "deleted_exceptions_list" not in change.fields:
            had = whole.detail.deleted_starts if change.keep_fitting else ()
            whole.detail.deleted_exceptions_list = in_utc(still_fitting(whole.detail, had))

    def _note(
        self,
        whole: Whole,
        before: tuple[Any, Any, Any],
        parties: PartyChanges,
        now: datetime,
        actor: SystemUser | None,
    ) -> None:
        pointer = _differing(whole.pointer, before[0])
        detail = _differing(whole.detail, before[1])
        if not (pointer or detail or parties.differ):
            return
        _set(whole.pointer, {"modified_on": now, "modified_by": actor})
        self.keys.append(whole.key)
        self.parties.add(parties)
        _add(self.pointers, {*pointer, "modified_on", "modified_by"}, whole.pointer)
        _add(self.details[whole.kind], detail, whole.detail)

    def write(self, *, now: datetime, actor: SystemUser | None) -> None:
        for kind, columns in self.details.items():
            _update(CONCRETE[kind], columns)
        _update(ActivityPointer, self.pointers)
        write_parties(self.parties)
        drop_exceptions(self.moved, now=now, actor=actor)


def _has_moved(whole: Whole, before: Mapping[str, Any]) -> bool:
    """It is a series, and its occurrences begin at other times now."""
    is_series = whole.kind == ActivityType.RECURRING_APPOINTMENT
    return is_series and bool(_differing(whole.detail, before) & OF_PATTERN)


def _columns(row: models.Model) -> dict[str, Any]:
    return {each.attname: getattr(row, each.attname) for each in row._meta.concrete_fields}


def _differing(row: models.Model, before: Mapping[str, Any]) -> set[str]:
    """Names of columns that are not what they were."""
    return {
        each.name
        for each in row._meta.concrete_fields
        if getattr(row, each.attname) != before[each.attname]
    }


def _add(columns: dict[str, list[Any]], names: Iterable[str], row: Any) -> None:
    for name in names:
        columns.setdefault(name, []).append(row)


def _update(model: type[models.Model], columns: Mapping[str, Sequence[Any]]) -> None:
    """Every column that changes in any of the rows, in one statement."""
    rows = {row.pk: row for some in columns.values() for row in some}
    if rows:
        model._default_manager.bulk_update(rows.values(), sorted(columns))


# -- status --------------------------------------------------------------------------------------


def set_status(
    keys: Iterable[UUID],
    kind: ActivityType,
    status: int,
    *,
    now: datetime,
    actor: SystemUser | None = None,
) -> Written:
    """By a person: what is completed ended now, unless it says when; what is opened again has not ended
    (R6.39)."""
    state = _status_class(kind)(status).state
    wholes = locked(keys, kind)
    changes = [
        ActivityChange(
            id=key,
            kind=kind,
            fields={"status_code": status, **_ended(whole, state, now)},
            by_server=True,  # whoever organizes it stays
        )
        for key, whole in wholes.items()
    ]
    found = update(changes, now=now, actor=actor, of=wholes)
    found.gone |= set(keys) - wholes.keys()
    return found


def _ended(whole: Whole, state: ActivityState, now: datetime) -> dict[str, Any]:
    if whole.kind == ActivityType.RECURRING_APPOINTMENT:
        return {}
    if state == ActivityState.COMPLETED:
        return {"actual_end": whole.detail.actual_end or now}
    is_open = state in (ActivityState.OPEN, ActivityState.SCHEDULED)
    return {"actual_end": None} if is_open else {}


# -- what follows from the rest ------------------------------------------------------------------


def _set(row: Any, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        if not hasattr(type(row), name):
            raise TypeError(f"{type(row).__name__} has no {name}")
        setattr(row, name, value)


def _derive(whole: Whole) -> None:
    """State and date of the pointer."""
    pointer = whole.pointer
    choices = _status_class(whole.kind)
    if whole.detail.status_code in choices.values:
        pointer.state_code = choices(whole.detail.status_code).state
    pointer.sort_date = _date_of(whole) or pointer.created_on


def _status_class(kind: ActivityType) -> Any:
    return _STATUSES[kind]


_STATUSES: dict[ActivityType, Any] = {
    ActivityType.APPOINTMENT: AppointmentStatus,
    ActivityType.RECURRING_APPOINTMENT: AppointmentStatus,
    ActivityType.SERVICE_APPOINTMENT: ServiceAppointmentStatus,
    ActivityType.TASK: TaskStatus,
    ActivityType.PHONE_CALL: PhoneCallStatus,
    ActivityType.LETTER: LetterStatus,
    ActivityType.FAX: FaxStatus,
}


def _date_of(whole: Whole) -> datetime | None:
    """Where it stands in a timeline."""
    detail = whole.detail
    if whole.kind == ActivityType.RECURRING_APPOINTMENT:
        return rules.starts_of(detail)
    is_to_do = whole.kind in TO_DOS
    names = ("actual_end", "scheduled_end", "scheduled_start") if is_to_do else ("scheduled_start",)
    found = (getattr(detail, name) for name in names)
    return next((each for each in found if isinstance(each, datetime)), None)
