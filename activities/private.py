"""What a private meeting is about is for its owner and its organizer alone (R6.36). That it takes place, and
when, everybody sees who sees its row: administrators, too.
"""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Case, Q, When
from django.utils.translation import gettext_lazy as _

from activities.choices import ParticipationType
from activities.models import (
    ActivityParty,
    ActivityPointer,
    Appointment,
    RecurringAppointmentMaster,
)
from mailboxes.access import NOTHING, Asker

HIDDEN = _("Private appointment")
#: Those that can be private.
PRIVATE_KINDS = (Appointment, RecurringAppointmentMaster)


def readable_by(reader: Any) -> Q:
    """Condition on appointments or series: `reader` may know what they are about."""
    if not getattr(reader, "is_active", False):
        return NOTHING
    return (
        ~_is_private()
        | Q(activity__owning_user=reader.pk)
        | Q(activity__owning_team__in=Asker(reader, "view", None).teams)
        | Q(pk__in=_organized_by(reader))
    )


def _is_private() -> Q:
    """Of an appointment or a series. What differs from its series goes with it, whatever wrote either."""
    series = RecurringAppointmentMaster.objects.filter(is_mapi_private=True)
    exceptions = Appointment.objects.filter(series__in=series.values("pk"))
    return Q(is_mapi_private=True) | Q(pk__in=exceptions.values("pk"))


def readable(reader: Any) -> Case:
    """The same as an expression, to annotate a list with."""
    return Case(When(readable_by(reader), then=True), default=False, output_field=BooleanField())


def may_read(reader: Any, record: Any) -> bool:
    """Of an activity of any kind."""
    return record.pk not in hidden_among([record], reader)


def hidden_among(records: Collection[Any], reader: Any) -> set[UUID]:
    """Keys of those activities that `reader` may not know more of than when they are. No statement where
    none of them is private."""
    found: set[UUID] = set()
    for model in PRIVATE_KINDS:
        keys = [one.pk for one in records if isinstance(one, model) and _may_be_private(one)]
        if keys:
            seen = model._default_manager.filter(readable_by(reader), pk__in=keys)
            found |= set(keys) - set(seen.values_list("pk", flat=True))
    return found


def _may_be_private(record: Any) -> bool:
    return record.is_mapi_private or getattr(record, "series_id", None) is not None


def hidden_pointers(reader: Any) -> Q:
    """Condition on pointers: those whose subject `reader` may not know."""
    hidden = Q()
    for model in PRIVATE_KINDS:
        closed = model._default_manager.filter(_is_private()).exclude(readable_by(reader))
        hidden |= Q(pk__in=closed.values("pk"))
    return hidden


def hidden_keys(pointers: Iterable[ActivityPointer], reader: Any) -> set[UUID]:
    """As `hidden_among`, of pointers alone: one statement."""
    keys = [pointer.pk for pointer in pointers]
    rows = ActivityPointer.objects.filter(hidden_pointers(reader), pk__in=keys)
    return set(rows.values_list("pk", flat=True)) if keys else set()


def _organized_by(reader: Any) -> Any:
    return ActivityParty.objects.filter(
        participation_type_mask=ParticipationType.ORGANIZER,
        party_type__app_label="mailboxes",
        party_type__model="systemuser",
        party_id=str(reader.pk),
    ).values("activity")
