"""The screen of every activity, whatever its kind."""

from django.contrib import admin
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.models import ActivityPointer
from mailboxes.screens import ReadOnlyScreen


class ActivityScreen(ReadOnlyScreen):
    list_display = ["title", "activity_type_code", "state_code", "sort_date", "owner_words"]
    list_filter = ["activity_type_code", "state_code"]
    list_select_related = ["owning_user", "owning_team"]
    search_fields = ["subject"]
    ordering = ["-sort_date"]
    date_hierarchy = None

    @admin.display(description=_("subject"), ordering="subject")
    def title(self, activity: ActivityPointer) -> str:
        return activity.subject or __("(no subject)")

    @admin.display(description=_("owner"))
    def owner_words(self, activity: ActivityPointer) -> str:
        return str(activity.owner)
