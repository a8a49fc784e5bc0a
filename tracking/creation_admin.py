"""The screen of record-creation rules."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access
from mailboxes.models import Queue
from mailboxes.remembering import Remembered
from mailboxes.screens import EMPTY, badge, by
from tracking import creation_rules
from tracking.conditions import words
from tracking.creation_forms import ItemForm, RuleForm
from tracking.models import ConvertRule, ConvertRuleItem
from tracking.models.rules import RuleState


class ItemInline(admin.StackedInline[Any, Any]):
    """The items of a rule; those of an active one are told, not changed."""

    model = ConvertRuleItem
    form = ItemForm
    extra = 0
    fields = [("sequence_number", "name"), "conditions", ("priority_code", "case_type_code")]

    def get_extra(self, request: HttpRequest, obj: Any = None, **kwargs: Any) -> int:
        return 1 if obj is None else 0

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if self.has_change_permission(request, obj):
            return super().get_fields(request, obj)
        return [("sequence_number", "name"), "condition_words", ("priority_code", "case_type_code")]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [] if self.has_change_permission(request, obj) else ["condition_words"]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # the page of the rule was opened, and these are a part of it

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._may(request, obj)

    def _may(self, request: HttpRequest, rule: ConvertRule | None) -> bool:
        screen = self.admin_site._registry[ConvertRule]
        if rule is None:
            return screen.has_add_permission(request)
        return screen.has_change_permission(request, rule)

    @admin.display(description=_("conditions"))
    def condition_words(self, item: ConvertRuleItem) -> SafeString | str:
        lines = words(item.conditions)
        return format_html_join(SafeString("<br>"), "{}", ((line,) for line in lines)) or __(
            "none: every message will do"
        )


class ConvertRuleScreen(Remembered):
    """Rules in the order of their queues. An active one is read-only (R3.58)."""

    form = RuleForm
    inlines = [ItemInline]
    list_display = ["name", "queue", "state", "item_count", "answers", "owner_words"]
    list_filter = ["state_code"]
    list_select_related = ["queue", "owning_user", "response_template"]
    search_fields = ["name", "queue__name", "description"]
    ordering = ["queue__name", "name"]
    autocomplete_fields = ["queue", "owning_user", "response_template"]
    readonly_fields = ["state", "in_the_way"]
    actions = ["activate", "deactivate"]
    fieldsets = [
        (
            _("Rule"),
            {
                "description": _(
                    "Mail that comes to the queue makes cases, with the rights of the rule's owner. "
                    "Only active rules act; to change one, deactivate it. (R3.58)"
                ),
                "fields": ["name", "state", "in_the_way", "queue", "owning_user", "description"],
            },
        ),
        (
            _("Which mail makes a case"),
            {
                "description": _(
                    "Mail about an open case makes none, and neither does what no person wrote: "
                    "automatic answers, bounces, lists. (R3.59)"
                ),
                "fields": [
                    "allow_unknown_sender", "check_if_resolved", "resolved_since", "entitlement",
                ],
            },
        ),
        (
            _("Answer"),
            {
                "description": _(
                    "Marked as automatic, so that other machines don't answer it. How many an address "
                    "gets in a day is a setting of the organization. (R3.59)"
                ),
                "fields": ["send_automatic_response", "response_template"],
            },
        ),
    ]  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(items_in_all=Count("items"))

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"owning_user": request.user.pk, **super().get_changeform_initial_data(request)}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without a form there is no field for what is not built."""
        found = super().get_fieldsets(request, obj)
        if self.has_change_permission(request, obj) or obj is None:
            return found
        return [
            (
                name,
                {
                    **options,
                    "fields": [
                        "entitlement_words" if f == "entitlement" else f for f in options["fields"]
                    ],
                },
            )
            for name, options in found
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_readonly_fields(request, obj), "entitlement_words"]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.is_active_state:
            return False
        return super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.is_active_state:
            return False
        return super().has_delete_permission(request, obj)

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name == "queue":
            kwargs["queryset"] = access.visible_to(request.user, Queue.objects.all(), "change")
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.modified_by = request.user
        if not change:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    # -- columns

    @admin.display(description=_("state"), ordering="state_code")
    def state(self, rule: ConvertRule) -> SafeString:
        kind = "good" if rule.is_active_state else "quiet"
        return badge(RuleState(rule.state_code).label, kind)

    @admin.display(description=_("what is in its way"))
    def in_the_way(self, rule: ConvertRule) -> SafeString | str:
        """Also of one that acts: its owner may have lost a permission since."""
        faults = [] if rule._state.adding else creation_rules.faults_of(rule)
        return format_html_join(SafeString("<br>"), "{}", ((fault,) for fault in faults)) or EMPTY

    @admin.display(description=_("items"))
    def item_count(self, rule: Any) -> str:
        return str(rule.items_in_all)

    @admin.display(description=_("answers"))
    def answers(self, rule: ConvertRule) -> str:
        return str(rule.response_template) if rule.send_automatic_response else EMPTY

    @admin.display(description=_("owner"))
    def owner_words(self, rule: ConvertRule) -> str:
        return str(rule.owning_user)

    @admin.display(description=_("only with a valid entitlement"))
    def entitlement_words(self, rule: ConvertRule) -> str:
        return __("Not built: entitlements are not kept here, so nothing asks for one.")

    # -- actions

    @admin.action(description=_("Activate"))
    def activate(self, request: HttpRequest, queryset: "QuerySet[ConvertRule]") -> None:
        self._each(request, queryset, creation_rules.activate, __("%(rule)s acts from now on."))

    @admin.action(description=_("Deactivate"))
    def deactivate(self, request: HttpRequest, queryset: "QuerySet[ConvertRule]") -> None:
        self._each(request, queryset, creation_rules.deactivate, __("%(rule)s is a draft again."))

    def _each(
        self, request: HttpRequest, queryset: "QuerySet[ConvertRule]", deed: Any, said: str
    ) -> None:
        if self.missing(request, "change"):
            return
        for rule in self.within_reach(request, queryset, "change"):
            try:
                deed(rule=rule, **by(request))
            except ValidationError as error:
                for fault in error.messages:
                    self.message_user(request, fault, messages.ERROR)
            else:
                self.message_user(request, said % {"rule": rule}, messages.SUCCESS)
