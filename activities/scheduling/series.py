"""Single occurrences of a series: one that differs, one that is deleted, one that takes place after all."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from activities.choices import ActivityType
from activities.models import ActivityPointer, Appointment, RecurringAppointmentMaster
from activities.recyclebin import delete as into_bin
from activities.scheduling.contracts import OF_POINTER, NewActivity
from activities.scheduling.deleting import note_deleted, note_restored
from activities.scheduling.locking import Whole
from activities.scheduling.participants import as_new
from activities.scheduling.rules import check_original
from activities.store import NewParty
from mailboxes.models import SystemUser

#: Columns in which an exception is like its series, unless it says otherwise.
SHARED = (
    "description",
    "is_all_day_event",
    "priority_code",
    "category",
    "subcategory",
    "time_zone",
    "reminder_minutes",
    "status_code",
    "location",
    "is_mapi_private",
    "is_online_meeting",
    "online_meeting_type",
    "online_meeting_id",
    "online_meeting_join_url",
    "online_meeting_chat_id",
)


def exception_of(
    series: Whole,
    original: datetime,
    *,
    fields: Mapping[str, Any] | None = None,
    pointer: Mapping[str, Any] | None = None,
    parties: Sequence[NewParty] | None = None,
    by_server: bool = False,
) -> NewActivity:
    """What stands in the place of the occurrence that begins at `original`: like the series, but for what is
    said here. To be given to `create`."""
    master = series.detail
    held = {"scheduled_start": original, "scheduled_end": original + master.length}
    theirs = {name: getattr(master, name) for name in SHARED}
    place = {"series": master, "original_start_date": original}
    whose = {name: getattr(series.pointer, name) for name in OF_POINTER}
    return NewActivity(
        kind=ActivityType.APPOINTMENT,
        fields={**theirs, **held, **(fields or {}), **place},
        parties=[as_new(party) for party in series.parties] if parties is None else parties,
        by_server=by_server,
        **{**whose, **(pointer or {})},
    )


@transaction.atomic
def delete_occurrences(
    lost: Mapping[UUID, Iterable[datetime]],
    *,
    now: datetime,
    actor: SystemUser | None = None,
    reason: str = "",
) -> None:
    """Series -> when occurrences of it begin, by the pattern, that take place no more. Those that differ go
    into the bin. Raises ValidationError if a series has none then, or is gone."""
    wanted = {key: set(moments) for key, moments in lost.items()}
    _require(wanted)
    rows = Appointment.objects.filter(series__in=list(wanted))
    keys = [
        key
        for key, series, original in rows.values_list("pk", "series", "original_start_date")
        if original in wanted[series]
    ]
    into_bin(ActivityPointer, keys, now=now, actor=actor, reason=reason)
    note_deleted(wanted, now=now, actor=actor)


@transaction.atomic
def restore_occurrences(
    back: Mapping[UUID, Iterable[datetime]], *, now: datetime, actor: SystemUser | None = None
) -> None:
    """They take place again, like the others of their series; what was special about one is in the bin."""
    note_restored(back, now=now, actor=actor)


def _require(wanted: Mapping[UUID, Iterable[datetime]]) -> None:
    there = RecurringAppointmentMaster.objects.in_bulk(list(wanted))
    if len(there) < len(wanted):
        raise ValidationError(_("The series is gone."))
    for key, moments in wanted.items():
        for moment in moments:
            if error := check_original(there[key], moment):
                raise error
