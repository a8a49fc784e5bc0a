"""Lists of tasks, phone calls, letters and faxes. Their pages stand in the console, which knows who is behind an
address.
"""

from django.contrib import admin
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from activities.admin.meetings import ActivityListScreen
from activities.admin.times import CLOCK, DAY
from activities.admin.whose import SETTLED, DueFilter, StateFilter, WhoseFilter
from activities.agenda import due_of
from activities.models import Fax, Letter, PhoneCall, Task
from activities.models.tasks import ToDo
from mailboxes.screens import EMPTY, badge


class ToDoListScreen(ActivityListScreen):
    list_display = ["subject", "due", "importance", "owner_words", "status"]
    list_filter = [DueFilter, StateFilter, WhoseFilter, "priority_code"]
    date_hierarchy = "scheduled_end"
    ordering = ["-activity__sort_date"]
    list_select_related = ["activity__owning_user__settings", "activity__owning_team"]

    @admin.display(description=_("due"), ordering="scheduled_end")
    def due(self, record: ToDo) -> SafeString | str:
        if record.scheduled_end is None:
            return EMPTY
        words = due_words(record)
        if record.activity.state_code in SETTLED or record.scheduled_end >= timezone.now():
            return words
        return format_html("{} {}", words, badge(_("Overdue"), "bad"))


class TaskScreen(ToDoListScreen):
    list_display = ["subject", "due", "progress", "importance", "owner_words", "status"]

    @admin.display(description=_("complete"), ordering="percent_complete")
    def progress(self, record: Task) -> str:
        return EMPTY if record.percent_complete is None else f"{record.percent_complete} %"


class _DirectedScreen(ToDoListScreen):
    list_filter = [DueFilter, StateFilter, WhoseFilter, "direction_code"]

    @admin.display(description=_("direction"), ordering="direction_code")
    def direction(self, record: PhoneCall | Letter | Fax) -> str:
        return record.get_direction_code_display()


class PhoneCallScreen(_DirectedScreen):
    search_fields = ["activity__subject", "category", "phone_number"]
    list_display = ["subject", "direction", "phone_number", "due", "owner_words", "status"]


class LetterScreen(_DirectedScreen):
    search_fields = ["activity__subject", "category", "address"]
    list_display = ["subject", "direction", "due", "owner_words", "status"]


class FaxScreen(_DirectedScreen):
    search_fields = ["activity__subject", "category", "fax_number"]
    list_display = ["subject", "direction", "fax_number", "due", "owner_words", "status"]


def due_words(record: ToDo) -> str:
    """Of a time of day what the reader's clock shows then; a day is that of its owner."""
    day, at = due_of(record)
    if at is None or record.scheduled_end is None:
        return date_format(day, DAY) if day else EMPTY
    return date_format(timezone.localtime(record.scheduled_end), f"{DAY} {CLOCK}")
