"""What the pages of this package do to what is planned: the services of `activities.scheduling`, for one record."""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from activities import scheduling
from activities.choices import (
    ActivityType,
    AppointmentStatus,
    Direction,
    FaxStatus,
    LetterStatus,
    ParticipationType,
    PhoneCallStatus,
    ServiceAppointmentStatus,
    TaskStatus,
)
from activities.kinds import kind_of
from activities.models import Appointment, RecurringAppointmentMaster
from activities.scheduling import ActivityChange, NewActivity
from mailboxes.models import SystemUser, uuid7

#: Column -> box of the form in which it is told that it is wrong.
BOXES = {
    "scheduled_start": "begins",
    "scheduled_end": "ends",
    "start_time": "begins",
    "duration": "ends",
    "pattern_start_date": "pattern_start_date",
    "recurrence_pattern_type": "repeats",
    "days_of_week_mask": "days",
    "instance": "nth",
    "month_of_year": "month",
    "pattern_end_type": "ends_by",
    "owning_user": "owner",
    "owning_team": "owner",
    "regarding_id": "regarding",
}
#: A form that has no such box has one of these.
OTHERWISE = {"begins": "start_day", "ends": "due_day"}


@transaction.atomic
def save(record: Any, form: Any, *, actor: SystemUser, now: datetime) -> Any:
    """Raises ValidationError if somebody was faster."""
    _write(record, form, actor=actor, now=now)
    return record


def rehearse(record: Any, form: Any, *, actor: SystemUser, now: datetime) -> None:
    """What saving would refuse, told at the boxes of the form. Nothing stays written."""
    try:
        with transaction.atomic():
            _write(record, form, actor=actor, now=now)
            transaction.set_rollback(True)
    except ValidationError as refused:
        tell(form, refused)


def tell(form: Any, refused: ValidationError) -> None:
    if not hasattr(refused, "error_dict"):
        form.add_error(None, refused)
        return
    for column, errors in refused.error_dict.items():
        box = BOXES.get(column, column)
        if box not in form.fields:
            box = OTHERWISE.get(box, box)
        form.add_error(box if box in form.fields else None, list(errors))


def _write(record: Any, form: Any, *, actor: SystemUser, now: datetime) -> None:
    if form.is_new:
        made = _new(record, form)
        record.pk = made.id
        scheduling.create([made], now=now, actor=actor).or_raise()
        return
    scheduling.update([_changed(record, form)], now=now, actor=actor).or_raise()
    if isinstance(record, RecurringAppointmentMaster):
        scheduling.update(_following(record, form), now=now, actor=actor)


def _new(record: Any, form: Any) -> NewActivity:
    if getattr(record, "series_id", None):
        return _exception(record, form)
    return NewActivity(
        id=record.pk or uuid7(),
        kind=kind_of(type(record)),
        fields=form.columns(),
        parties=form.parties(),
        by_server=form.keeps_organizer,
        **form.pointer(),
    )


def _exception(record: Appointment, form: Any) -> NewActivity:
    """What stands in the place of one occurrence of a series; its owner and organizer are the series' own."""
    kind = ActivityType.RECURRING_APPOINTMENT
    assert record.series_id is not None and record.original_start_date is not None
    series = scheduling.locked([record.series_id], kind).get(record.series_id)
    if series is None:
        raise ValidationError(_("The series is gone."))
    return scheduling.exception_of(
        series,
        record.original_start_date,
        fields=form.columns(),
        pointer=form.pointer(),
        parties=form.parties(),
        by_server=True,
    )


def _changed(record: Any, form: Any) -> ActivityChange:
    """Exceptions and deleted occurrences of a series stay where its new pattern has a place for them."""
    return ActivityChange(
        id=record.pk,
        kind=kind_of(type(record)),
        fields=form.columns(),
        pointer=form.pointer(),
        parties=form.parties() if form.people else None,
        roles=form.roles,
        by_server=form.keeps_organizer,
        keep_fitting=True,
    )


def _following(series: RecurringAppointmentMaster, form: Any) -> list[ActivityChange]:
    """Exceptions go with their series in what can't differ: owner, organizer, where it is filed, who reads it."""
    columns = {name: form.cleaned_data[name] for name in ("is_mapi_private", "category")}
    pointer = {name: value for name, value in form.pointer().items() if name != "subject"}
    organizer = [one for one in form.parties() if one.role == ParticipationType.ORGANIZER]
    keys = Appointment.objects.filter(series=series).values_list("pk", flat=True)
    return [
        ActivityChange(
            id=key,
            kind=ActivityType.APPOINTMENT,
            fields=columns,
            pointer=pointer,
            parties=organizer,
            roles=frozenset({ParticipationType.ORGANIZER}),
            by_server=True,
        )
        for key in keys
    ]


def delete(records: Iterable[Any], *, actor: SystemUser, now: datetime) -> None:
    """Into the bin; a series with its exceptions, and in the place of an exception stands nothing any more."""
    scheduling.delete([record.pk for record in records], actor=actor, now=now)


def delete_occurrence(
    series: RecurringAppointmentMaster, start: datetime, *, actor: SystemUser, now: datetime
) -> None:
    scheduling.delete_occurrences({series.pk: [start]}, actor=actor, now=now)


def restore_occurrence(
    series: RecurringAppointmentMaster, start: datetime, *, actor: SystemUser, now: datetime
) -> None:
    scheduling.restore_occurrences({series.pk: [start]}, actor=actor, now=now)


# -- what becomes of it ----------------------------------------------------------------------------

Status = Callable[[Any], int]


def _done(outgoing: int, incoming: int) -> Status:
    return lambda record: outgoing if record.direction_code == Direction.OUTGOING else incoming


def _as(status: int) -> Status:
    return lambda record: status


_COMPLETED: dict[ActivityType, Status] = {
    ActivityType.APPOINTMENT: _as(AppointmentStatus.COMPLETED),
    ActivityType.RECURRING_APPOINTMENT: _as(AppointmentStatus.COMPLETED),
    ActivityType.SERVICE_APPOINTMENT: _as(ServiceAppointmentStatus.COMPLETED),
    ActivityType.TASK: _as(TaskStatus.COMPLETED),
    ActivityType.PHONE_CALL: _done(PhoneCallStatus.MADE, PhoneCallStatus.RECEIVED),
    ActivityType.LETTER: _done(LetterStatus.SENT, LetterStatus.RECEIVED),
    ActivityType.FAX: _done(FaxStatus.SENT, FaxStatus.RECEIVED),
}
_CANCELED: dict[ActivityType, Status] = {
    ActivityType.APPOINTMENT: _as(AppointmentStatus.CANCELED),
    ActivityType.RECURRING_APPOINTMENT: _as(AppointmentStatus.CANCELED),
    ActivityType.SERVICE_APPOINTMENT: _as(ServiceAppointmentStatus.CANCELED),
    ActivityType.TASK: _as(TaskStatus.CANCELED),
    ActivityType.PHONE_CALL: _as(PhoneCallStatus.CANCELED),
    ActivityType.LETTER: _as(LetterStatus.CANCELED),
    ActivityType.FAX: _as(FaxStatus.CANCELED),
}
_OPEN: dict[ActivityType, Status] = {
    ActivityType.APPOINTMENT: _as(AppointmentStatus.BUSY),
    ActivityType.RECURRING_APPOINTMENT: _as(AppointmentStatus.BUSY),
    ActivityType.SERVICE_APPOINTMENT: _as(ServiceAppointmentStatus.PENDING),
    ActivityType.TASK: _as(TaskStatus.NOT_STARTED),
    ActivityType.PHONE_CALL: _as(PhoneCallStatus.OPEN),
    ActivityType.LETTER: _as(LetterStatus.OPEN),
    ActivityType.FAX: _as(FaxStatus.OPEN),
}


def complete(record: Any, *, actor: SystemUser, now: datetime) -> None:
    _settle(record, _COMPLETED, actor, now)


def cancel(record: Any, *, actor: SystemUser, now: datetime) -> None:
    _settle(record, _CANCELED, actor, now)


def reopen(record: Any, *, actor: SystemUser, now: datetime) -> None:
    _settle(record, _OPEN, actor, now)


@transaction.atomic
def _settle(
    record: Any, statuses: Mapping[ActivityType, Status], actor: SystemUser, now: datetime
) -> None:
    kind = kind_of(type(record))
    status = statuses[kind](record)
    scheduling.set_status([record.pk], kind, status, now=now, actor=actor).or_raise()


def send_draft(record: Appointment, *, actor: SystemUser, now: datetime) -> None:
    """It is a draft no more: synchronized from now on, and its attendees invited (R6.24)."""
    change = ActivityChange(
        id=record.pk, kind=ActivityType.APPOINTMENT, fields={"is_draft": False}, by_server=True
    )
    scheduling.update([change], now=now, actor=actor).or_raise()
