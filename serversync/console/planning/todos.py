"""The pages of tasks, phone calls, letters and faxes."""

from django.utils.translation import gettext_lazy as _

from activities.admin import (
    FaxScreen,
    LetterScreen,
    PhoneCallScreen,
    TaskScreen,
)
from serversync.console.planning.planned import WHO_OWNS, Planned
from serversync.console.planning.todoforms import (
    FaxForm,
    LetterForm,
    PhoneCallForm,
    TaskForm,
)


class TaskConsole(Planned, TaskScreen):
    form = TaskForm
    fieldsets = [
        (
            _("Task"),
            {
                "fields": [
                    "subject",
                    "start_day",
                    ("due_day", "due_at"),
                    ("status_code", "percent_complete"),
                    "priority_code",
                    "description",
                ]
            },
        ),
        WHO_OWNS,
    ]


class PhoneCallConsole(Planned, PhoneCallScreen):
    form = PhoneCallForm
    fieldsets = [
        (
            _("Phone call"),
            {
                "fields": [
                    "subject",
                    ("direction_code", "phone_number"),
                    "left_voice_mail",
                    "sender",
                    "to",
                    "start_day",
                    ("due_day", "due_at"),
                    "priority_code",
                    "description",
                ]
            },
        ),
        WHO_OWNS,
    ]


class LetterConsole(Planned, LetterScreen):
    form = LetterForm
    fieldsets = [
        (
            _("Letter"),
            {
                "fields": [
                    "subject",
                    ("direction_code", "status_code"),
                    "address",
                    "sender",
                    "to",
                    "cc",
                    "bcc",
                    "start_day",
                    ("due_day", "due_at"),
                    "priority_code",
                    "description",
                ]
            },
        ),
        WHO_OWNS,
    ]


class FaxConsole(Planned, FaxScreen):
    form = FaxForm
    fieldsets = [
        (
            _("Fax"),
            {
                "fields": [
                    "subject",
                    ("direction_code", "fax_number", "number_of_pages"),
                    "sender",
                    "to",
                    "start_day",
                    ("due_day", "due_at"),
                    "priority_code",
                    "description",
                ]
            },
        ),
        WHO_OWNS,
    ]
