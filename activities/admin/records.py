"""Screens of accounts, contacts and leads."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from activities.bounced import bounced
from activities.timeline import timeline_of
from mailboxes.screens import EMPTY, OWNER, Screen

ADDRESSES = ("email_address1", "email_address2", "email_address3", "email_address")


class RecordScreen(Screen):
    """Accounts, contacts and leads: their data, and a timeline of what happened with them."""

    change_form_template = "admin/activities/record/change_form.html"
    list_select_related = ["owning_user", "owning_team"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        return {"owning_user": request.user.pk, **initial}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        obj.modified_by = request.user
        if not change:
            obj.created_by = request.user
        super().save_model(request, obj, form, change)

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        record = kw.get("obj")
        if record is not None:
            context["bounced"] = bounced(getattr(record, name, "") for name in ADDRESSES)
            context["timeline"] = timeline_of(record, request.user, request.GET.get("before"))
        return super().render_change_form(request, context, *args, **kw)

    @admin.display(description=_("owner"))
    def owner_words(self, record: Any) -> str:
        return str(record.owner)


_REACHABLE: Any = (
    _("How to reach them"),
    {
        "description": _("Mail from and to these addresses is filed under this record."),
        "fields": [
            ("email_address1", "email_address2", "email_address3"),
            ("do_not_email", "do_not_bulk_email", "follow_email"),
            "preferred_contact_method_code",
        ],
    },
)
_STREET: Any = [
    "address1_line1",
    "address1_line2",
    ("address1_postal_code", "address1_city"),
    ("address1_state_or_province", "address1_country"),
]


class AccountScreen(RecordScreen):
    search_fields = ["name", "account_number", "email_address1", "email_address2", "email_address3"]
    list_display = ["name", "email_address1", "telephone1", "primary_contact", "owner_words"]
    list_select_related = ["owning_user", "owning_team", "primary_contact"]
    autocomplete_fields = ["primary_contact", "parent_account", "owning_user", "owning_team"]
    fieldsets = [
        (
            _("Account"),
            {
                "description": _("A company or organisation."),
                "fields": [
                    "name",
                    ("account_number", "telephone1"),
                    "website_url",
                    ("primary_contact", "parent_account"),
                    "description",
                ],
            },
        ),
        _REACHABLE,
        (_("Address"), {"classes": ["collapse"], "fields": _STREET}),
        OWNER,
    ]


class ContactScreen(RecordScreen):
    search_fields = [
        "first_name", "last_name", "email_address1", "email_address2", "email_address3",
    ]  # fmt: skip
    list_display = ["name", "email_address1", "parent_account", "telephone1", "owner_words"]
    list_filter = ["is_auto_create"]
    list_select_related = ["owning_user", "owning_team", "parent_account"]
    autocomplete_fields = ["parent_account", "owning_user", "owning_team"]
    fieldsets = [
        (
            _("Contact"),
            {
                "description": _("A person."),
                "fields": [
                    ("first_name", "last_name"),
                    ("salutation", "job_title"),
                    "parent_account",
                    ("telephone1", "mobile_phone"),
                    "description",
                ],
            },
        ),
        _REACHABLE,
        (_("Address"), {"classes": ["collapse"], "fields": _STREET}),
        OWNER,
    ]

    @admin.display(description=_("name"), ordering="last_name")
    def name(self, contact: Any) -> str:
        return str(contact)


class LeadScreen(RecordScreen):
    search_fields = ["subject", "first_name", "last_name", "company_name", "email_address1"]
    list_display = ["subject", "name", "company_name", "email_address1", "status_code"]
    list_filter = ["status_code", "is_auto_create"]
    autocomplete_fields = ["parent_account", "parent_contact", "owning_user", "owning_team"]
    fieldsets = [
        (
            _("Lead"),
            {
                "description": _("Somebody who may become a customer."),
                "fields": [
                    "subject",
                    "status_code",
                    ("first_name", "last_name"),
                    ("company_name", "job_title"),
                    ("parent_account", "parent_contact"),
                    ("telephone1", "mobile_phone"),
                    "description",
                ],
            },
        ),
        _REACHABLE,
        (_("Address"), {"classes": ["collapse"], "fields": _STREET}),
        OWNER,
    ]

    @admin.display(description=_("name"), ordering="last_name")
    def name(self, lead: Any) -> str:
        return lead.full_name or EMPTY
