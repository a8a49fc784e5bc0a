"""Screens for the records of this room. The console subclasses some of them and registers all."""

from activities.admin.cases import CaseScreen
from activities.admin.emails import STATUS_KIND, BouncedAddressScreen, EmailListScreen
from activities.admin.links import SUBJECT_SHOWN, record_link
from activities.admin.meetings import (
    ActivityListScreen,
    AppointmentScreen,
    MeetingListScreen,
    SeriesScreen,
    ServiceActivityScreen,
)
from activities.admin.pointers import ActivityScreen
from activities.admin.queue_items import QueueItemScreen
from activities.admin.records import AccountScreen, ContactScreen, LeadScreen, RecordScreen
from activities.admin.stored_bytes import StoredBytesScreen
from activities.admin.times import when_words
from activities.admin.todos import (
    FaxScreen,
    LetterScreen,
    PhoneCallScreen,
    TaskScreen,
    ToDoListScreen,
    due_words,
)
from activities.admin.whose import mine, of_team, status_badge, subject_of
from activities.admin.wordings import SignatureScreen, TemplateScreen, WordingScreen

__all__ = [
    "STATUS_KIND",
    "SUBJECT_SHOWN",
    "AccountScreen",
    "ActivityListScreen",
    "ActivityScreen",
    "AppointmentScreen",
    "BouncedAddressScreen",
    "CaseScreen",
    "ContactScreen",
    "EmailListScreen",
    "FaxScreen",
    "LeadScreen",
    "LetterScreen",
    "MeetingListScreen",
    "PhoneCallScreen",
    "QueueItemScreen",
    "RecordScreen",
    "SeriesScreen",
    "ServiceActivityScreen",
    "SignatureScreen",
    "StoredBytesScreen",
    "TaskScreen",
    "TemplateScreen",
    "ToDoListScreen",
    "WordingScreen",
    "due_words",
    "mine",
    "of_team",
    "record_link",
    "status_badge",
    "subject_of",
    "when_words",
]
