"""Which table holds what of an activity of each kind."""

from django.db.models import Model

from activities.choices import ActivityType
from activities.models import (
    Appointment,
    Email,
    Fax,
    Letter,
    PhoneCall,
    RecurringAppointmentMaster,
    ServiceAppointment,
    Task,
)

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

#: Those that `activities.scheduling` writes.
PLANNED = frozenset(CONCRETE) - {ActivityType.EMAIL}
TO_DOS = frozenset(
    {ActivityType.TASK, ActivityType.PHONE_CALL, ActivityType.LETTER, ActivityType.FAX}
)


def kind_of(model: type[Model]) -> ActivityType:
    """Of a concrete activity's model."""
    return next(ActivityType(kind) for kind, each in CONCRETE.items() if each is model)
