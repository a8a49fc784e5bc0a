"""What happened with a record: one page of pointers, then each type of activity once."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model, Q
from django.urls import NoReverseMatch, reverse
from django.utils.dateparse import parse_datetime

from activities.choices import ActivityType
from activities.models import (
    ActivityParty,
    ActivityPointer,
    Appointment,
    Email,
    Fax,
    Letter,
    PhoneCall,
    RecurringAppointmentMaster,
    ServiceAppointment,
    Task,
)
from mailboxes import access

PAGE = 25

CONCRETE: dict[int, type[Model]] = {
    ActivityType.APPOINTMENT: Appointment,
    ActivityType.EMAIL: Email,
    ActivityType.FAX: Fax,
    ActivityType.LETTER: Letter,
    ActivityType.PHONE_CALL: PhoneCall,
    ActivityType.TASK: Task,
    ActivityType.SERVICE_APPOINTMENT: ServiceAppointment,
    ActivityType.RECURRING_APPOINTMENT: RecurringAppointmentMaster,
}


@dataclass(frozen=True, slots=True)
class Entry:
    """`detail`: the concrete activity, or None where it is missing."""

    activity: ActivityPointer
    detail: Any

    @property
    def url(self) -> str:
        """Of its page; empty where the site has none."""
        if self.detail is None:
            return ""
        try:
            meta = self.detail._meta
            return reverse(
                f"admin:{meta.app_label}_{meta.model_name}_change", args=[self.activity.pk]
            )
        except NoReverseMatch:
            return ""


@dataclass(frozen=True, slots=True)
class Timeline:
    entries: list[Entry]
    older: datetime | None  # where the next page begins


def timeline_of(record: Model, reader: Any, before: str | None = None) -> Timeline:
    """Activities about the record or with it as a party, newest first, as far as `reader` may see."""
    kind = ContentType.objects.get_for_model(type(record))
    key = str(record.pk)
    parties = ActivityParty.objects.filter(party_type=kind, party_id=key).values("activity")
    pointers = access.visible_to(
        reader,
        ActivityPointer.objects.filter(
            Q(regarding_type=kind, regarding_id=key) | Q(pk__in=parties)
        ),
    )
    if before and (limit := _parsed(before)):
        pointers = pointers.filter(sort_date__lt=limit)
    page = list(pointers.order_by("-sort_date")[: PAGE + 1])
    more, page = len(page) > PAGE, page[:PAGE]
    details = details_of(page)
    return Timeline(
        [Entry(pointer, details.get(pointer.pk)) for pointer in page],
        page[-1].sort_date if more else None,
    )


def details_of(pointers: Sequence[ActivityPointer]) -> dict[Any, Any]:
    """Key -> the concrete activity, without its body: one statement for each type that is there."""
    found: dict[Any, Any] = {}
    for kind in sorted({pointer.activity_type_code for pointer in pointers}):
        keys = [pointer.pk for pointer in pointers if pointer.activity_type_code == kind]
        found |= CONCRETE[kind]._default_manager.defer(*_long(CONCRETE[kind])).in_bulk(keys)
    return found


def _long(model: type[Model]) -> tuple[str, ...]:
    return ("description", "decision") if model is Email else ("description",)


def _parsed(text: str) -> datetime | None:
    try:
        return parse_datetime(text)
    except ValueError:
        return None
