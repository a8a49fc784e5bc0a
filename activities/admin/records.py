"""Screens of accounts, contacts and leads."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from activities.bounced import bounced
from activities.timeline import timeline_of
from mailboxes.screens import EMPTY, OWNER, Screen

ADDRESSES = ("email_address1", "email_address2", "email_address3", "email_address")
PLACES = ("address1", "address2", "address3")
#: Which of the addresses a field is of, the heading says.
_LABELS = {
    "line1": _("street"),
    "line2": _("street, second line"),
    "line3": _("street, third line"),
    "city": _("city"),
    "state_or_province": _("state or province"),
    "postal_code": _("postal code"),
    "country": _("country"),
    "post_office_box": _("PO box"),
    "county": _("county"),
    "name": _("name of the address"),
    "telephone1": _("phone of the address"),
}
_LINES = ("line1", "line2", "line3", "postal_code", "city", "state_or_province", "country")


class RecordScreen(Screen):
    """Accounts, contacts and leads: their data, and a timeline of what happened with them."""

    change_form_template = "admin/activities/record/change_form.html"
    list_select_related = ["owning_user", "owning_team"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        return {"owning_user": request.user.pk, **initial}

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        place, _line, name = db_field.name.partition("_")
        if place in PLACES and name in _LABELS:
            kwargs["label"] = capfirst(_LABELS[name])
        return super().formfield_for_dbfield(db_field, request, **kwargs)

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


def _address(number: int) -> list[Any]:
    """Fields of one of the addresses of a record."""
    line1, line2, line3, code, city, state, country = (f"address{number}_{name}" for name in _LINES)
    return [line1, line2, line3, (code, city), (state, country)]


_STREET: Any = _address(1)


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
    """All that a contact on a server can have (R6.14), grouped as people look for it."""

    search_fields = [
        "first_name", "last_name", "email_address1", "email_address2", "email_address3",
    ]  # fmt: skip
    list_display = ["name", "email_address1", "parent_account", "telephone1", "owner_words"]
    list_filter = ["is_auto_create"]
    list_select_related = ["owning_user", "owning_team", "parent_account"]
    autocomplete_fields = [
        "parent_account", "parent_contact", "preferred_system_user", "owning_user", "owning_team",
    ]  # fmt: skip
    fieldsets = [
        (
            _("Name"),
            {
                "description": _("A person."),
                "fields": [
                    ("first_name", "last_name"),
                    ("middle_name", "suffix"),
                    ("salutation", "nickname"),
                    ("job_title", "department"),
                    ("parent_account", "parent_contact"),
                    ("yomi_first_name", "yomi_middle_name", "yomi_last_name"),
                ],
            },
        ),
        _REACHABLE,
        (
            _("Phones"),
            {
                "fields": [
                    ("telephone1", "business2"),
                    ("mobile_phone", "fax"),
                    ("telephone2", "home2"),
                    ("telephone3", "callback"),
                    ("company", "pager"),
                    ("assistant_name", "assistant_phone"),
                    ("manager_name", "manager_phone"),
                    ("do_not_phone", "do_not_fax", "do_not_postal_mail"),
                ],
            },
        ),
        (
            _("Address"),
            {
                "description": _("The one that is synchronized, unless all three are (R6.16)."),
                "fields": [
                    *_address(1),
                    ("address1_post_office_box", "address1_county"),
                    ("address1_name", "address1_telephone1"),
                ],
            },
        ),
        (_("Second address"), {"classes": ["collapse"], "fields": _address(2)}),
        (_("Third address"), {"classes": ["collapse"], "fields": _address(3)}),
        (
            _("Personal"),
            {
                "classes": ["collapse"],
                "fields": [
                    ("birth_date", "anniversary"),
                    ("family_status_code", "spouses_name"),
                    ("childrens_names", "number_of_children"),
                    "gender_code",
                    ("website_url", "ftp_site_url"),
                ],
            },
        ),
        (
            _("Private"),
            {
                "description": _(
                    "Notes can be kept from the server; see the directions of fields."
                ),
                "fields": [
                    ("government_id", "employee_id"),
                    "preferred_system_user",
                    "description",
                ],
            },
        ),
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
