"""The business records and activities."""

from activities.models.attachments import ActivityMimeAttachment
from activities.models.emails import Email
from activities.models.hashes import EmailHash
from activities.models.parties import ActivityParty
from activities.models.pointer import ActivityPointer
from activities.models.queue_items import QueueItem
from activities.models.records import Account, Contact, Lead
from activities.models.stored_bytes import StoredBytes

__all__ = [
    "Account",
    "ActivityMimeAttachment",
    "ActivityParty",
    "ActivityPointer",
    "Contact",
    "Email",
    "EmailHash",
    "Lead",
    "QueueItem",
    "StoredBytes",
]
