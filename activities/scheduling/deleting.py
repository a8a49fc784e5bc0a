"""Into the bin, with all that hangs on it; and what a series has to know of it."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils.translation import gettext as _

from activities import recyclebin
from activities.models import (
    ActivityPointer,
    Appointment,
    DeletedRecord,
    RecurringAppointmentMaster,
)
from activities.scheduling.locking import Whole
from mailboxes import recurrence as patterns
from mailboxes.models import SystemUser


@transaction.atomic
def delete(
    keys: Iterable[UUID], *, now: datetime, actor: SystemUser | None = None, reason: str = ""
) -> dict[UUID, DeletedRecord]:
    """Key -> its place in the bin. A series takes its exceptions with it; of an exception, the occurrence
    doesn't take place any more."""
    wanted = set(keys)
    exceptions = Appointment.objects.filter(pk__in=wanted, series__isnull=False)
    lost: dict[UUID, set[datetime]] = {}
    for series, original in exceptions.values_list("series", "original_start_date"):
        if series not in wanted and original is not None:
            lost.setdefault(series, set()).add(original)
    note_deleted(lost, now=now, actor=actor)
    return recyclebin.delete(ActivityPointer, wanted, now=now, actor=actor, reason=reason)


def note_deleted(
    lost: Mapping[UUID, Iterable[datetime]], *, now: datetime, actor: SystemUser | None
) -> None:
    """Occurrences of series that take place no more."""
    _note({key: lambda had, some=set(some): had | some for key, some in lost.items()}, now, actor)


def note_restored(
    back: Mapping[UUID, Iterable[datetime]], *, now: datetime, actor: SystemUser | None
) -> None:
    """Occurrences of series that take place after all, like the others."""
    _note({key: lambda had, some=set(some): had - some for key, some in back.items()}, now, actor)


def _note(changes: Mapping[UUID, Any], now: datetime, actor: SystemUser | None) -> None:
    """Two statements for the series, one for their pointers."""
    if not changes:
        return
    series = RecurringAppointmentMaster.objects.filter(pk__in=list(changes)).order_by("pk")
    rows = []
    for row in series.select_for_update(of=("self",)):
        told = in_utc(changes[row.pk](row.deleted_starts))
        if told != row.deleted_exceptions_list:
            row.deleted_exceptions_list = told
            rows.append(row)
    if rows:
        RecurringAppointmentMaster.objects.bulk_update(rows, ["deleted_exceptions_list"])
        pointers = ActivityPointer.objects.filter(pk__in=[row.pk for row in rows])
        pointers.update(modified_on=now, modified_by=actor)


def in_utc(moments: Iterable[datetime]) -> list[str]:
    """As they are stored: sorted, and each in one spelling."""
    return sorted(moment.astimezone(UTC).isoformat() for moment in moments)


def still_fitting(series: RecurringAppointmentMaster, moments: Iterable[datetime]) -> set[datetime]:
    """Those at which the series has an occurrence, as its pattern is now."""
    pattern, clock, zone = series.recurrence, series.start_time, series.zone
    return {each for each in moments if patterns.is_occurrence(pattern, clock, zone, each)}


def drop_exceptions(
    moved: Iterable[tuple[Whole, bool]], *, now: datetime, actor: SystemUser | None
) -> None:
    """Of series whose occurrences begin at other times now; with True, only those that have no place left."""
    series = {whole.key: (whole.detail, keep) for whole, keep in moved}
    if not series:
        return
    rows = Appointment.objects.filter(series__in=list(series))
    over = []
    for key, of, original in rows.values_list("pk", "series", "original_start_date"):
        detail, keep = series[of]
        if not (keep and original and still_fitting(detail, [original])):
            over.append(key)
    reason = _("The pattern of its series has changed.")
    recyclebin.delete(ActivityPointer, over, now=now, actor=actor, reason=reason)
