"""Which model holds the records of each table that takes part."""

from collections.abc import Mapping
from typing import Any

from django.db.models import Model

from activities.models import (
    Appointment,
    Contact,
    Fax,
    Letter,
    PhoneCall,
    RecurringAppointmentMaster,
    ServiceAppointment,
    Task,
)
from serversync.act.types import Table

MODELS: Mapping[Table, type[Model]] = {
    Table.CONTACT: Contact,
    Table.APPOINTMENT: Appointment,
    Table.RECURRING_APPOINTMENT: RecurringAppointmentMaster,
    Table.SERVICE_APPOINTMENT: ServiceAppointment,
    Table.TASK: Task,
    Table.PHONE_CALL: PhoneCall,
    Table.LETTER: Letter,
    Table.FAX: Fax,
}
#: Meetings, which have one id in all mailboxes (R6.51).
MEETINGS: Mapping[Table, Any] = {
    table: MODELS[table] for table in (Table.APPOINTMENT, Table.RECURRING_APPOINTMENT)
}
