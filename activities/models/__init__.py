"""The business records and activities."""

from activities.models.appointments import (
    Appointment,
    RecurringAppointmentMaster,
    ServiceAppointment,
)
from activities.models.attachments import ActivityMimeAttachment
from activities.models.bounced import BouncedAddress
from activities.models.changes import ChangeCounter, RecordChange
from activities.models.deleted import DeletedRecord
from activities.models.emails import Email
from activities.models.hashes import EmailHash
from activities.models.idempotency import IdempotencyKey
from activities.models.incidents import Incident
from activities.models.parties import ActivityParty
from activities.models.pointer import ActivityPointer
from activities.models.queue_items import QueueItem
from activities.models.records import Account, Contact, Lead
from activities.models.stored_bytes import StoredBytes
from activities.models.tasks import Fax, Letter, PhoneCall, Task
from activities.models.templates import EmailSignature, Template, TemplateFor

__all__ = [
    "Account",
    "ActivityMimeAttachment",
    "ActivityParty",
    "ActivityPointer",
    "Appointment",
    "BouncedAddress",
    "ChangeCounter",
    "Contact",
    "DeletedRecord",
    "Email",
    "EmailHash",
    "EmailSignature",
    "Fax",
    "IdempotencyKey",
    "Incident",
    "Lead",
    "Letter",
    "PhoneCall",
    "QueueItem",
    "RecordChange",
    "RecurringAppointmentMaster",
    "ServiceAppointment",
    "StoredBytes",
    "Task",
    "Template",
    "TemplateFor",
]
