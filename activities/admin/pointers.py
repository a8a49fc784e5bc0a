"""The screen of every activity, whatever its kind."""

from typing import Any

from django.contrib import admin
from django.db.models import BooleanField, Case, QuerySet, Value, When
from django.http import HttpRequest
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.models import ActivityPointer
from activities.private import HIDDEN, hidden_pointers
from mailboxes.screens import ReadOnlyScreen


class ActivityScreen(ReadOnlyScreen):
    list_display = ["title", "activity_type_code", "state_code", "sort_date", "owner_words"]
    list_filter = ["activity_type_code", "state_code"]
    list_select_related = ["owning_user", "owning_team"]
    search_fields = ["subject"]
    ordering = ["-sort_date"]
    date_hierarchy = None
    #: The subject as its reader may know it.
    fields = [
        "title", "activity_type_code", "state_code", "sort_date", "owning_user", "owning_team",
        "regarding_type", "regarding_id", "created_on", "modified_on",
    ]  # fmt: skip
    readonly_fields = ["title"]

    def get_queryset(self, request: HttpRequest) -> Any:
        hidden = When(hidden_pointers(request.user), then=Value(True))
        return (
            super()
            .get_queryset(request)
            .annotate(is_hidden=Case(hidden, default=False, output_field=BooleanField()))
        )

    def get_search_results(
        self, request: HttpRequest, queryset: "QuerySet[Any]", search_term: str
    ) -> "tuple[QuerySet[Any], bool]":
        """No search finds a private meeting by its words (R6.36)."""
        found, duplicates = super().get_search_results(request, queryset, search_term)
        return (found.filter(is_hidden=False) if search_term else found), duplicates

    @admin.display(description=_("subject"))
    def title(self, activity: ActivityPointer) -> str:
        if getattr(activity, "is_hidden", True):
            return str(HIDDEN)
        return activity.subject or __("(no subject)")

    @admin.display(description=_("owner"))
    def owner_words(self, activity: ActivityPointer) -> str:
        return str(activity.owner)
