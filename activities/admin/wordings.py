"""Screens of templates and signatures."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities import wording
from activities.forms import SignatureForm, TemplateForm
from mailboxes.screens import EMPTY, Screen


class WordingScreen(Screen):
    """Everybody uses what is for all; own ones are changed by whoever may."""

    open_to_all = True
    search_fields = ["title", "description"]
    list_filter = ["is_personal"]
    list_select_related = ["owning_user", "owning_team"]
    autocomplete_fields = ["owning_user", "owning_team"]
    readonly_fields = ["preview"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        return {"owning_user": request.user.pk, **super().get_changeform_initial_data(request)}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.modified_by = request.user
        if not change:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    @admin.display(description=_("owner"))
    def owner_words(self, wording: Any) -> str:
        return str(wording.owner)

    @admin.display(description=_("for"), ordering="is_personal")
    def users(self, row: Any) -> str:
        return __("its owner only") if row.is_personal else __("everybody")

    @admin.display(description=_("preview"))
    def preview(self, row: Any) -> SafeString | str:
        """As it was saved; the console shows the text in a frame of its own."""
        if row is None or row._state.adding:
            return EMPTY
        url = reverse(f"admin:activities_{row._meta.model_name}_preview", args=[row.pk])
        return format_html(
            '<p><b>{}</b></p><iframe class="mail-body is-preview" title="{}" sandbox="" src="{}">'
            "</iframe>",
            self.example(row).subject,
            __("preview"),
            url,
        )

    def example(self, row: Any) -> wording.Worded:
        """Every field shows what it stands for."""
        kind = getattr(row, "template_type_code", "")
        values = {name: f"[{words}]" for name, words in wording.fields_for(kind).items()}
        return wording.word(getattr(row, "subject", ""), row.body, values)


class TemplateScreen(WordingScreen):
    form = TemplateForm
    list_display = ["title", "template_type_code", "subject", "users", "owner_words"]
    fieldsets = [
        (
            _("Template"),
            {
                "description": _(
                    "A text for emails: chosen when one is written, or sent by a rule as its answer."
                ),
                "fields": [
                    ("title", "template_type_code"), "subject", "body", "preview", "description",
                ],
            },
        ),
        (_("Owner"), {"fields": ["is_personal", "owning_user", "owning_team"]}),
    ]  # fmt: skip


class SignatureScreen(WordingScreen):
    form = SignatureForm
    list_display = ["title", "is_default", "users", "owner_words"]
    fieldsets = [
        (
            _("Signature"),
            {
                "description": _("What stands below an email."),
                "fields": [("title", "is_default"), "queue", "body", "preview", "description"],
            },
        ),
        (_("Owner"), {"fields": ["is_personal", "owning_user", "owning_team"]}),
    ]
