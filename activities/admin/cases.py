"""The screen of cases."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities import cases
from activities.admin.links import SUBJECT_SHOWN
from activities.admin.records import RecordScreen
from activities.choices import CaseState, CaseStatus
from activities.models import Incident
from mailboxes.screens import EMPTY, OWNER, badge, by, link

CASE_KIND = {CaseState.ACTIVE: "info", CaseState.RESOLVED: "good", CaseState.CANCELED: "quiet"}


class CaseStateFilter(admin.SimpleListFilter):
    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(str(state.value), state.label) for state in CaseState]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        if self.value() not in {str(state.value) for state in CaseState}:
            return queryset
        wanted = int(self.value() or 0)
        return queryset.filter(
            status_code__in=[s for s in CaseStatus if cases.state_of(s) == wanted]
        )


class CaseScreen(RecordScreen):
    """Cases: what customers want. Only active ones are changed; the others are taken up again first."""

    search_fields = [
        "title", "ticket_number", "email_address", "customer_account__name",
        "customer_contact__first_name", "customer_contact__last_name",
    ]  # fmt: skip
    list_display = ["name", "ticket_number", "customer_words", "priority", "state", "owner_words"]
    list_filter = [CaseStateFilter, "priority_code", "case_origin_code"]
    list_select_related = ["owning_user", "owning_team", "customer_account", "customer_contact"]
    ordering = ["-created_on"]
    autocomplete_fields = [
        "customer_account", "customer_contact", "primary_contact", "parent_case",
        "owning_user", "owning_team",
    ]  # fmt: skip
    readonly_fields = ["ticket_number", "resolved_on", "origin"]
    actions = ["resolve", "cancel", "take_up"]
    fieldsets = [
        (
            _("Case"),
            {
                "description": _("What a customer wants, until it is settled."),
                "fields": [
                    ("title", "ticket_number"),
                    ("customer_account", "customer_contact"),
                    ("primary_contact", "email_address"),
                    ("status_code", "priority_code"),
                    ("case_type_code", "case_origin_code"),
                    "description",
                ],
            },
        ),
        (_("History"), {"fields": ["origin", "parent_case", "resolved_on"]}),
        OWNER,
    ]

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        context["timeline_is_filed"] = True  # a case has no addresses that mail is found by
        return super().render_change_form(request, context, *args, **kw)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and not obj.is_active_state:
            return False
        return super().has_change_permission(request, obj)

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        """A case is settled by its buttons, which note when."""
        if db_field.name == "status_code":
            kwargs["choices"] = [(s.value, s.label) for s in cases.ACTIVE_STATUSES]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        if not obj.ticket_number:
            obj.ticket_number = cases.ticket_number(obj.pk, timezone.now())
        super().save_model(request, obj, form, change)

    @admin.display(description=_("title"), ordering="title")
    def name(self, case: Incident) -> SafeString:
        words = Truncator(case.title).chars(SUBJECT_SHOWN)
        return format_html('<span class="row-title">{}</span>', words)

    @admin.display(description=_("customer"))
    def customer_words(self, case: Incident) -> str:
        return str(case.customer)

    @admin.display(description=_("priority"), ordering="priority_code")
    def priority(self, case: Incident) -> str:
        return case.get_priority_code_display()

    @admin.display(description=_("status"), ordering="status_code")
    def state(self, case: Incident) -> SafeString:
        return badge(case.get_status_code_display(), CASE_KIND[case.state_code])

    @admin.display(description=_("created from"))
    def origin(self, case: Incident) -> SafeString | str:
        if case.created_from_id is None:
            return EMPTY
        url = reverse("admin:activities_email_change", args=[case.created_from_id])
        return link(url, __("the email"))

    @admin.action(description=_("Resolve"))
    def resolve(self, request: HttpRequest, queryset: "QuerySet[Incident]") -> None:
        self._settle(request, queryset, CaseStatus.PROBLEM_SOLVED, __("Resolved: %(case)s."))

    @admin.action(description=_("Cancel the case"))
    def cancel(self, request: HttpRequest, queryset: "QuerySet[Incident]") -> None:
        self._settle(request, queryset, CaseStatus.CANCELED, __("Canceled: %(case)s."))

    @admin.action(description=_("Take up again"))
    def take_up(self, request: HttpRequest, queryset: "QuerySet[Incident]") -> None:
        self._each(request, queryset, cases.reactivate, __("Taken up again: %(case)s."))

    def _settle(
        self, request: HttpRequest, queryset: "QuerySet[Incident]", status: CaseStatus, words: str
    ) -> None:
        self._each(request, queryset, partial(cases.settle, status=status), words)

    def _each(
        self, request: HttpRequest, queryset: "QuerySet[Incident]", deed: Any, words: str
    ) -> None:
        if self.missing(request, "change"):
            return
        for case in self.within_reach(request, queryset, "change"):
            try:
                deed(case=case, **by(request))
            except ValidationError as error:
                self.message_user(request, " ".join(error.messages), messages.WARNING)
            else:
                self.message_user(request, words % {"case": case}, messages.SUCCESS)
