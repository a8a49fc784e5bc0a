"""Screens for the records of this room. The console subclasses some of them and registers all."""

from activities.admin.cases import CaseScreen
from activities.admin.emails import STATUS_KIND, BouncedAddressScreen, EmailListScreen
from activities.admin.links import SUBJECT_SHOWN, record_link
from activities.admin.pointers import ActivityScreen
from activities.admin.queue_items import QueueItemScreen
from activities.admin.records import AccountScreen, ContactScreen, LeadScreen, RecordScreen
from activities.admin.stored_bytes import StoredBytesScreen
from activities.admin.wordings import SignatureScreen, TemplateScreen, WordingScreen

__all__ = [
    "STATUS_KIND",
    "SUBJECT_SHOWN",
    "AccountScreen",
    "ActivityScreen",
    "BouncedAddressScreen",
    "CaseScreen",
    "ContactScreen",
    "EmailListScreen",
    "LeadScreen",
    "QueueItemScreen",
    "RecordScreen",
    "SignatureScreen",
    "StoredBytesScreen",
    "TemplateScreen",
    "WordingScreen",
    "record_link",
]
