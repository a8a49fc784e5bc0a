"""Mailboxes, and the forward mailboxes that are made by hand."""

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from mailboxes import access, services
from mailboxes.admin.addressing import AddressForm, TakeOverForm, WithAddress
from mailboxes.admin.cells import approval_badge
from mailboxes.models import (
    Mailbox,
)
from mailboxes.remembering import Remembered
from mailboxes.screens import (
    EMPTY,
    by,
    link,
)


class KindFilter(admin.SimpleListFilter):
    title = _("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("user", _("User")), ("queue", _("Queue")), ("forward", _("Forward mailbox"))]

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        if self.value() == "user":
            return queryset.filter(regarding_user__isnull=False)
        if self.value() == "queue":
            return queryset.filter(regarding_queue__isnull=False)
        return queryset.filter(is_forward_mailbox=True) if self.value() == "forward" else queryset


class MailboxScreen(Remembered, WithAddress):
    """Identity, delivery, credentials and approval. Saved field by field, never as a whole row."""

    form = AddressForm
    open_to_all = True
    search_fields = ["name", "email_address", "user_name"]
    list_filter = [
        KindFilter,
        ("email_server_profile", admin.RelatedOnlyFieldListFilter),
        "email_router_access_approval",
    ]
    list_select_related = ["email_server_profile", "regarding_user", "regarding_queue"]
    autocomplete_fields = ["owning_user", "owning_team"]
    ordering = ["name"]
    readonly_fields = [
        "owner_words",
        "serves",
        "approval",
        "approved_by_words",
        "is_email_address_approved_by_o365_admin",
    ]
    fieldsets = [
        (
            _("Identity"),
            {
                "description": _(
                    "Whose mail this is. Name, address and owner of a user's or queue's mailbox follow "
                    "the user or queue."
                ),
                "fields": ["name", "email_address", "serves", "owner_words"],
            },
        ),
        (
            _("Delivery"),
            {
                "description": _(
                    "Which server, and what is done there. A change here asks for a new test."
                ),
                "fields": [
                    "email_server_profile",
                    "incoming_email_delivery_method",
                    "outgoing_email_delivery_method",
                    "act_delivery_method",
                ],
            },
        ),
        (
            _("Credentials"),
            {
                "description": _(
                    "Used where the profile takes credentials from the user or queue. A stored "
                    "password is never shown."
                ),
                "fields": ["allow_email_connector_to_use_credentials", "user_name", "password"],
            },
        ),
        (
            _("Approval"),
            {
                "description": _(
                    "Whether the organization lets mail of this address be processed."
                ),
                "fields": [
                    "approval",
                    "approved_by_words",
                    "is_email_address_approved_by_o365_admin",
                ],
            },
        ),
        (
            _("Start date and deletion"),
            {
                "description": _(
                    "From when on mail is read, and what happens on the server afterwards."
                ),
                "fields": [
                    "process_email_received_after",
                    "process_and_delete_emails",
                    "delete_rejected_emails",
                ],
            },
        ),
        (
            _("Sending limits"),
            {
                "description": _(
                    "How much leaves, where it is to differ from what the server profile says of each "
                    "mailbox (R5.14)."
                ),
                "fields": [("messages_per_minute", "messages_per_day", "recipients_per_day")],
            },
        ),
    ]
    add_fieldsets = [
        (
            _("Forward mailbox"),
            {
                "description": _(
                    "Mailboxes of users and queues are made with them. What is made by hand is a "
                    "forward mailbox: users and queues forward their mail to it as attachments (R1.2)."
                ),
                "fields": ["name", "email_address", "owning_user", "owning_team"],
            },
        ),
        (
            _("Delivery"),
            {
                "description": _("A forward mailbox only receives."),
                "fields": ["email_server_profile", "incoming_email_delivery_method"],
            },
        ),
        (
            _("Credentials"),
            {
                "description": _(
                    "Used where the profile takes credentials from the user or queue."
                ),
                "fields": ["allow_email_connector_to_use_credentials", "user_name", "password"],
            },
        ),
        (
            _("Start date and deletion"),
            {
                "description": _(
                    "From when on mail is read, and what happens on the server afterwards."
                ),
                "fields": [
                    "process_email_received_after",
                    "process_and_delete_emails",
                    "delete_rejected_emails",
                ],
            },
        ),
    ]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.fieldsets if obj else self.add_fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is None:
            return []
        if obj.serves_user or obj.serves_queue:
            return self.readonly_fields
        return [*self.readonly_fields, "act_delivery_method", "outgoing_email_delivery_method"]

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        return {"owning_user": request.user.pk, **initial}

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Its ledger would go with it; a mailbox that is done with is deactivated (R1.45)."""
        return False

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changed = self.stored_columns(form.changed_data)
        services.save_mailbox(mailbox=obj, changed_fields=changed, **by(request))

    # -- taking over an address

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.take_over)
        name = "mailboxes_mailbox_take_over"
        return [path("<path:object_id>/take-over/", view, name=name), *super().get_urls()]

    def take_over(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Asks, says what follows, and does it (R1.5)."""
        mailbox = self.get_object(request, object_id)
        if mailbox is None or not self.has_view_permission(request, mailbox):
            raise Http404
        page = HttpResponseRedirect(reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk]))
        form = TakeOverForm(request.POST if request.method == "POST" else request.GET)
        holder = (
            services.holder_of(form.cleaned_data["address"], besides=mailbox)
            if form.is_valid()
            else None
        )
        if holder is None:
            words = __("No other mailbox has that address. It can simply be entered.")
            self.message_user(request, words, messages.WARNING)
            return page
        address = form.cleaned_data["address"]
        if not all(access.may(request.user, "change", one) for one in (mailbox, holder)):
            self.message_user(request, str(access.refusal(Mailbox, "change")), messages.ERROR)
            return page
        if request.method == "POST":
            services.take_over_address(mailbox=mailbox, address=address, **by(request))
            words = __("Address %(address)s was taken over from “%(holder)s”. Approve it, test it.")
            self.message_user(
                request, words % {"address": address, "holder": holder}, messages.SUCCESS
            )
            return page
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": __("Take over %(address)s?") % {"address": address},
            "mailbox": mailbox,
            "holder": holder,
            "address": address,
        }
        return TemplateResponse(request, "admin/mailboxes/mailbox/take_over.html", context)

    # -- columns

    @admin.display(description=_("mailbox"), ordering="name")
    def title(self, mailbox: Mailbox) -> SafeString:
        return format_html(
            '<span class="row-title">{}</span><span class="row-sub nowrap">{}</span>',
            mailbox.name,
            mailbox.email_address or __("no address"),
        )

    @admin.display(description=_("kind"))
    def kind(self, mailbox: Mailbox) -> str:
        if mailbox.serves_user:
            return __("User")
        if mailbox.serves_queue:
            return __("Queue")
        return __("Forward mailbox") if mailbox.is_forward_mailbox else __("Retired")

    @admin.display(description=_("approval"), ordering="email_router_access_approval")
    def approval(self, mailbox: Mailbox) -> SafeString:
        return approval_badge(mailbox)

    @admin.display(description=_("approved"))
    def approved_by_words(self, mailbox: Mailbox) -> str:
        if mailbox.email_address_approved_on is None:
            return EMPTY
        return __("by %(who)s, %(when)s") % {
            "who": mailbox.email_address_approved_by or __("somebody who is gone"),
            "when": timezone.localtime(mailbox.email_address_approved_on).strftime(
                "%Y-%m-%d %H:%M"
            ),
        }

    @admin.display(description=_("belongs to"))
    def serves(self, mailbox: Mailbox) -> SafeString | str:
        record = mailbox.regarding_object
        if record is None:
            return self.kind(mailbox)
        name = record._meta.model_name
        return link(reverse(f"admin:mailboxes_{name}_change", args=[record.pk]), record)

    @admin.display(description=_("owner"))
    def owner_words(self, mailbox: Mailbox) -> str:
        return str(mailbox.owner)

    # -- deeds: each one service call and one message

    actions = ["approve", "reject", "apply_defaults", "activate", "deactivate"]

    @admin.action(description=_("Approve email address"))
    def approve(self, request: HttpRequest, queryset: "QuerySet[Mailbox]") -> None:
        self.perform(
            request,
            lambda: services.approve(mailboxes=queryset, **by(request)),
            __("Approved %(count)d address."),
            __("Approved %(count)d addresses."),
        )

    @admin.action(description=_("Reject email address"))
    def reject(self, request: HttpRequest, queryset: "QuerySet[Mailbox]") -> None:
        self.perform(
            request,
            lambda: services.reject(mailboxes=queryset, **by(request)),
            __("Rejected %(count)d address."),
            __("Rejected %(count)d addresses."),
        )

    @admin.action(description=_("Apply default email settings, then test"))
    def apply_defaults(self, request: HttpRequest, queryset: "QuerySet[Mailbox]") -> None:
        self.perform(
            request,
            lambda: services.apply_default_settings(mailboxes=queryset, **by(request)),
            __("Applied the default email settings to %(count)d mailbox; its test is scheduled."),
            __("Applied the default email settings to %(count)d mailboxes; tests are scheduled."),
        )

    @admin.action(description=_("Activate"))
    def activate(self, request: HttpRequest, queryset: "QuerySet[Mailbox]") -> None:
        self.perform(
            request,
            lambda: services.activate(mailboxes=queryset, **by(request)),
            __("Activated %(count)d mailbox. Test & Enable it to start (R1.41)."),
            __("Activated %(count)d mailboxes. Test & Enable them to start (R1.41)."),
        )

    @admin.action(description=_("Deactivate"))
    def deactivate(self, request: HttpRequest, queryset: "QuerySet[Mailbox]") -> None:
        self.perform(
            request,
            lambda: services.deactivate(mailboxes=queryset, **by(request)),
            __("Deactivated %(count)d mailbox."),
            __("Deactivated %(count)d mailboxes."),
        )
