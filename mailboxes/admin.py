"""Screens for what this room knows. The console subclasses some of them and registers all."""

from itertools import chain
from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailboxes import access, services
from mailboxes.causes import cause_of
from mailboxes.choices import AccessApproval, StateCode, TraceLevel
from mailboxes.legality import profile_warnings
from mailboxes.models import (
    EmailServerProfile,
    GroupReach,
    Mailbox,
    Organization,
    Queue,
    SystemUser,
    TraceLog,
    UserSettings,
)
from mailboxes.screens import (
    EMPTY,
    OWNER,
    ReadOnlyScreen,
    Screen,
    badge,
    joined,
    link,
    moment,
    state_badge,
)

APPROVAL_KIND = {
    AccessApproval.EMPTY: "quiet",
    AccessApproval.APPROVED: "good",
    AccessApproval.PENDING: "warn",
    AccessApproval.REJECTED: "bad",
}
LEVEL_KIND = {
    TraceLevel.INFORMATION: "info",
    TraceLevel.WARNING: "warn",
    TraceLevel.ERROR: "bad",
}


def approval_badge(mailbox: Mailbox) -> SafeString:
    status = AccessApproval(mailbox.email_router_access_approval)
    return badge(status.label, APPROVAL_KIND[status])


class AddressForm(forms.ModelForm):  # type: ignore[type-arg]
    """Shows beside its field that an address is another mailbox's (R1.5)."""

    def clean(self) -> Any:
        cleaned = super().clean()
        record = self.instance
        mailbox = record if isinstance(record, Mailbox) else None
        if mailbox is None and not record._state.adding:
            mailbox = getattr(record, "default_mailbox", None)
        for name in ("email_address", "internal_email_address"):
            address = self.cleaned_data.get(name)
            if not address or not (name in self.changed_data or record._state.adding):
                continue
            if holder := services.holder_of(address, besides=mailbox):
                self.add_error(name, services.AddressTaken(address, holder))
        return cleaned


class WithAddress(Screen):
    """Offers, beside the refusal of a taken address, to take it over (R1.5)."""

    def render_change_form(self, request: HttpRequest, context: Any, *args: Any, **kw: Any) -> Any:
        record = kw.get("obj")
        mailbox = (
            record if isinstance(record, Mailbox) else getattr(record, "default_mailbox", None)
        )
        refused = taken_in(context["adminform"].form)
        if (
            refused is not None
            and mailbox is not None
            and all(access.may(request.user, "change", one) for one in (mailbox, refused.holder))
        ):
            url = reverse("admin:mailboxes_mailbox_take_over", args=[mailbox.pk])
            context["take_over"] = {
                "url": f"{url}?{urlencode({'address': refused.address})}",
                "address": refused.address,
                "holder": refused.holder,
            }
        return super().render_change_form(request, context, *args, **kw)


def taken_in(form: Any) -> services.AddressTaken | None:
    """The refusal of a taken address among a form's errors."""
    errors = chain.from_iterable(form.errors.as_data().values())
    return next((error for error in errors if isinstance(error, services.AddressTaken)), None)


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """Shows beside its field what the organization's switches forbid (R1.26)."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            try:
                services.check_profile(self.instance)
            except ValidationError as error:
                self._update_errors(error)  # type: ignore[attr-defined]


class TakeOverForm(forms.Form):
    address = forms.EmailField(max_length=100)


# -- mailboxes -----------------------------------------------------------------------------------


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


class MailboxScreen(WithAddress):
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
    readonly_fields = ["owner_words", "serves", "approval", "approved_by_words"]
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
                "fields": ["approval", "approved_by_words"],
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
                    "verbose_logging_enabled",
                ],
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


def by(request: HttpRequest) -> dict[str, Any]:
    """Who does it, and when."""
    return {"actor": request.user, "now": timezone.now()}


def mailbox_link(record: Any) -> SafeString | str:
    """The mailbox of a user or queue, with its address and approval."""
    mailbox = getattr(record, "default_mailbox", None) if record.pk else None
    if mailbox is None:
        return __("It is made when this is saved.")
    url = reverse("admin:mailboxes_mailbox_change", args=[mailbox.pk])
    return format_html(
        '<a href="{}">{}</a> {} {}',
        url,
        mailbox.name,
        approval_badge(mailbox),
        state_badge(mailbox),
    )


# -- server profiles -----------------------------------------------------------------------------


class ProfileScreen(Screen):
    form = ProfileForm
    search_fields = [
        "name", "incoming_server_location", "outgoing_server_location", "description",
    ]  # fmt: skip
    list_display = ["name", "server_type", "servers", "state", "owning_user"]
    list_filter = ["server_type", "state_code"]
    list_select_related = ["owning_user", "owning_team"]
    autocomplete_fields = ["owning_user", "owning_team"]
    readonly_fields = ["state", "last_test"]
    fieldsets = [
        (
            _("Server"),
            {
                "description": _(
                    "Which kind of server. It decides the protocols of both directions."
                ),
                "fields": [
                    "name",
                    "description",
                    "state",
                    "server_type",
                    "use_auto_discover",
                    "default_server_location",
                    "exchange_version",
                    "ca_certificate",
                ],
            },
        ),
        (
            _("Incoming"),
            {
                "description": _("Where mail is read, and with whose credentials."),
                "fields": [
                    "incoming_server_location",
                    "incoming_port_number",
                    "incoming_uses_ssl",
                    "incoming_tls_mode",
                    "incoming_credential_retrieval",
                    "incoming_authentication_protocol",
                    "incoming_user_name",
                    "incoming_password",
                    "incoming_use_impersonation",
                ],
            },
        ),
        (
            _("Outgoing"),
            {
                "description": _("Where mail is handed over, and with whose credentials."),
                "fields": [
                    "outgoing_server_location",
                    "outgoing_port_number",
                    "outgoing_uses_ssl",
                    "outgoing_tls_mode",
                    "use_same_settings_for_outgoing_connections",
                    "outgoing_credential_retrieval",
                    "outgoing_authentication_protocol",
                    "outgoing_user_name",
                    "outgoing_password",
                    "outgoing_use_impersonation",
                    "outgoing_auto_grant_delegate_access",
                ],
            },
        ),
        (
            _("OAuth"),
            {
                "description": _("For servers that take tokens in place of passwords."),
                "classes": ["collapse"],
                "fields": [
                    "oauth_client_id",
                    "oauth_client_secret",
                    "aad_resource_id",
                    "exchange_online_tenant_id",
                    "use_default_tenant_id",
                    "server_authority",
                ],
            },
        ),
        (
            _("Limits"),
            {
                "description": _("How much is asked of the server at a time, and how patiently."),
                "fields": [
                    "process_emails_received_after",
                    "min_polling_interval_in_minutes",
                    "max_concurrent_connections",
                    "timeout_mailbox_connection",
                    "timeout_mailbox_connection_after_amount",
                ],
            },
        ),
        (
            _("Behaviour"),
            {
                "description": _("What happens besides reading and sending."),
                "fields": [
                    "move_undelivered_emails",
                    "encoding_code_page",
                    "send_email_alert",
                    "owner_email_address",
                ],
            },
        ),
        (
            _("Last test"),
            {
                "description": _("The last test of the profile's own connection."),
                "fields": ["last_test"],
            },
        ),
        OWNER,
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return (
            super()
            .get_queryset(request)
            .annotate(
                mailbox_count=Count("mailboxes"),
                is_used=Exists(Mailbox.objects.filter(email_server_profile=OuterRef("pk"))),
            )
        )

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """A profile in use can't be deleted, only deactivated (R1.33)."""
        if obj is not None and getattr(obj, "is_used", True):
            return False
        return super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)  # one of them may be in use
        return actions

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        return {"owning_user": request.user.pk, **initial}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changed = self.stored_columns(form.changed_data)
        services.save_profile(profile=obj, changed_fields=changed, **by(request))
        for words in profile_warnings(obj).values():
            self.message_user(request, str(words), messages.WARNING)

    @admin.display(description=_("servers"))
    def servers(self, profile: EmailServerProfile) -> str:
        if profile.use_auto_discover:
            return __("discovered by itself")
        return joined(
            dict.fromkeys([profile.incoming_server_location, profile.outgoing_server_location])
        )

    @admin.display(description=_("state"), ordering="state_code")
    def state(self, profile: EmailServerProfile) -> SafeString:
        return state_badge(profile)

    @admin.display(description=_("result"))
    def last_test(self, profile: EmailServerProfile) -> str:
        if profile.last_test_execution_status is None:
            return __("Not tested by itself; its mailboxes are tested one by one.")
        return joined(
            [
                profile.get_last_test_execution_status_display(),
                profile.last_test_start_time
                and timezone.localtime(profile.last_test_start_time).strftime("%Y-%m-%d %H:%M"),
                profile.last_crm_message,
            ]
        )

    actions = ["activate", "deactivate"]

    @admin.action(description=_("Activate"))
    def activate(self, request: HttpRequest, queryset: "QuerySet[EmailServerProfile]") -> None:
        self._switch(request, queryset, active=True)

    @admin.action(description=_("Deactivate: stops all of its mailboxes"))
    def deactivate(self, request: HttpRequest, queryset: "QuerySet[EmailServerProfile]") -> None:
        self._switch(request, queryset, active=False)

    def _switch(self, request: HttpRequest, queryset: "QuerySet[Any]", *, active: bool) -> None:
        if self.missing(request, "change"):
            return
        chosen = self.within_reach(request, queryset, "change")
        done = sum(
            services.set_profile_state(profile=profile, active=active, **by(request))
            for profile in chosen
        )
        words = (
            ngettext("Activated %(count)d profile.", "Activated %(count)d profiles.", done)
            if active
            else ngettext(
                "Deactivated %(count)d profile; its mailboxes stop (R1.32).",
                "Deactivated %(count)d profiles; their mailboxes stop (R1.32).",
                done,
            )
        )
        self.message_user(
            request, words % {"count": done}, messages.SUCCESS if done else messages.WARNING
        )


# -- queues, users, teams, groups ----------------------------------------------------------------


class QueueScreen(WithAddress):
    form = AddressForm
    open_to_all = True
    search_fields = ["name", "email_address"]
    list_display = [
        "name", "email_address", "incoming_email_filtering_method", "mailbox", "waiting", "state",
    ]  # fmt: skip
    list_filter = ["queue_view_type", "incoming_email_filtering_method", "state_code"]
    list_select_related = ["default_mailbox", "owning_user", "owning_team"]
    autocomplete_fields = ["owning_user", "owning_team"]
    filter_horizontal = ["members"]
    readonly_fields = ["mailbox", "state"]
    fieldsets = [
        (
            _("Queue"),
            {
                "description": _("A place where mail waits for whoever takes it."),
                "fields": ["name", "description", "state", "queue_view_type", "members"],
            },
        ),
        (
            _("Mail"),
            {
                "description": _(
                    "Its address, which of its mail is kept, and the mailbox that was made for it."
                ),
                "fields": ["email_address", "incoming_email_filtering_method", "mailbox"],
            },
        ),
        OWNER,
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        waiting = Count("items", filter=Q(items__state_code=StateCode.ACTIVE))
        return super().get_queryset(request).annotate(waiting_items=waiting)

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        return {"owning_user": request.user.pk, **initial}

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changed = self.stored_columns(form.changed_data)
        services.save_queue(queue=obj, changed_fields=changed, **by(request))

    @admin.display(description=_("mailbox"))
    def mailbox(self, queue: Queue) -> SafeString | str:
        return mailbox_link(queue)

    @admin.display(description=_("waiting"), ordering="waiting_items")
    def waiting(self, queue: Any) -> SafeString:
        url = reverse("admin:activities_queueitem_changelist")
        return link(f"{url}?queue__id__exact={queue.pk}", queue.waiting_items)

    @admin.display(description=_("state"), ordering="state_code")
    def state(self, queue: Queue) -> SafeString:
        return state_badge(queue)

    actions = ["activate", "deactivate"]

    @admin.action(description=_("Activate: their mailboxes with them"))
    def activate(self, request: HttpRequest, queryset: "QuerySet[Queue]") -> None:
        self.perform(
            request,
            lambda: services.set_queue_state(queues=queryset, active=True, **by(request)),
            __("Activated %(count)d queue. Test & Enable its mailbox to start (R1.41)."),
            __("Activated %(count)d queues. Test & Enable their mailboxes to start (R1.41)."),
        )

    @admin.action(description=_("Deactivate: their mailboxes become inactive"))
    def deactivate(self, request: HttpRequest, queryset: "QuerySet[Queue]") -> None:
        self.perform(
            request,
            lambda: services.set_queue_state(queues=queryset, active=False, **by(request)),
            __("Deactivated %(count)d queue; its mailbox stops (R1.41)."),
            __("Deactivated %(count)d queues; their mailboxes stop (R1.41)."),
        )


class NewUserForm(AddressForm, AdminUserCreationForm):  # type: ignore[type-arg]
    class Meta:
        model = SystemUser
        fields = ("domain_name", "first_name", "last_name", "internal_email_address")


class SettingsInline(admin.StackedInline[Any, Any]):
    model = UserSettings
    can_delete = False
    verbose_name_plural = _("Personal options")
    fields = [
        "incoming_email_filtering_method",
        "auto_create_contact_on_promote",
        "is_send_as_allowed",
        "is_email_conversation_view_enabled",
        "time_zone",
        "ui_language",
    ]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True  # the page of the user was opened, and these are shown as a part of it

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Everybody chooses the own filter (R3.16)."""
        if obj is not None and obj.pk == request.user.pk:
            return True
        return request.user.has_perm("mailboxes.change_systemuser")


class UserScreen(WithAddress, UserAdmin):  # type: ignore[type-arg]
    """Users: sign-in, mail, permissions. Only a superuser hands out permissions."""

    open_to_all = True
    form = AddressForm
    add_form = NewUserForm
    list_display = [
        "domain_name", "full_name", "internal_email_address", "mailbox", "access_mode", "enabled",
    ]  # fmt: skip
    list_filter = ["is_disabled", "access_mode", "is_licensed", "is_superuser", "groups"]
    list_select_related = ["default_mailbox"]
    search_fields = ["domain_name", "first_name", "last_name", "internal_email_address"]
    ordering = ["domain_name"]
    autocomplete_fields = ["parent_system_user", "queue"]
    filter_horizontal = ["groups", "user_permissions"]
    readonly_fields = ["mailbox", "password_words", "last_login"]
    inlines = [SettingsInline]
    fieldsets = [
        (
            _("Person"),
            {
                "description": _("Who this is, and how they sign in."),
                "fields": [
                    "domain_name",
                    "password_words",
                    ("first_name", "last_name"),
                    "job_title",
                    "parent_system_user",
                    "last_login",
                ],
            },
        ),
        (
            _("Mail"),
            {
                "description": _("Addresses that mean this person, and the mailbox made for them."),
                "fields": [
                    "internal_email_address",
                    "mailbox",
                    "personal_email_address",
                    "mobile_alert_email",
                    "queue",
                ],
            },
        ),
        (
            _("Access"),
            {
                "description": _(
                    "Whether this person may sign in. A disabled user's mailbox becomes inactive."
                ),
                "fields": ["is_disabled", "disabled_reason", "access_mode", "is_licensed"],
            },
        ),
        (
            _("Permissions"),
            {
                "description": _(
                    "Groups say what may be done, and how far it reaches. Permissions given here "
                    "reach own records only."
                ),
                "classes": ["collapse"],
                "fields": ["is_superuser", "groups", "user_permissions"],
            },
        ),
    ]
    add_fieldsets = [
        (
            None,
            {
                "description": _("A mailbox is made for the address by itself (R1.2)."),
                "classes": ["wide"],
                "fields": [
                    "domain_name",
                    "first_name",
                    "last_name",
                    "internal_email_address",
                    "usable_password",
                    "password1",
                    "password2",
                ],
            },
        ),
    ]
    actions = ["enable", "disable"]

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        return self.inlines if obj else []  # the options are made with the user

    _granting = ("is_superuser", "groups", "user_permissions")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None and not self.may_change(request, obj):
            return flatten_fieldsets(self.fieldsets)
        if request.user.is_superuser:
            return self.readonly_fields
        return [*self.readonly_fields, *self._granting]

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Everybody opens the own page, on which the personal options can be changed (R3.16)."""
        if obj is not None and obj.pk == request.user.pk:
            return True
        return self.may_change(request, obj)

    def may_change(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who isn't a superuser may not change one: not the password, not the address."""
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_change_permission(request, obj)

    def user_change_password(
        self, request: HttpRequest, id: str, form_url: str = ""
    ) -> HttpResponse:
        """Other people's. The own one is changed where the old one is asked for."""
        user = self.get_object(request, id)
        if user is not None and user.pk == request.user.pk:
            return HttpResponseRedirect(reverse("admin:password_change"))
        return super().user_change_password(request, id, form_url)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if obj is not None and obj.is_superuser and not request.user.is_superuser:
            return False
        return super().has_delete_permission(request, obj)

    def get_actions(self, request: HttpRequest) -> Any:
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        changed = self.stored_columns(form.changed_data)
        services.save_user(user=obj, changed_fields=changed, **by(request))

    @admin.display(description=_("name"), ordering="last_name")
    def full_name(self, user: SystemUser) -> str:
        return user.full_name

    @admin.display(description=_("mailbox"))
    def mailbox(self, user: SystemUser) -> SafeString | str:
        return mailbox_link(user)

    @admin.display(description=_("sign-in"), ordering="is_disabled")
    def enabled(self, user: SystemUser) -> SafeString:
        return badge(_("Disabled"), "quiet") if user.is_disabled else badge(_("Enabled"), "good")

    @admin.display(description=_("password"))
    def password_words(self, user: SystemUser) -> SafeString:
        words = __("set") if user.has_usable_password() else __("not set")
        url = reverse("admin:auth_user_password_change", args=[user.pk])
        return format_html('{} · <a href="{}">{}</a>', words, url, __("Set a new password"))

    @admin.action(description=_("Enable"))
    def enable(self, request: HttpRequest, queryset: "QuerySet[SystemUser]") -> None:
        self._switch(request, queryset, disabled=False)

    @admin.action(description=_("Disable: their mailboxes become inactive"))
    def disable(self, request: HttpRequest, queryset: "QuerySet[SystemUser]") -> None:
        self._switch(request, queryset, disabled=True)

    def _switch(self, request: HttpRequest, queryset: "QuerySet[Any]", *, disabled: bool) -> None:
        if self.missing(request, "change"):
            return
        chosen = self.within_reach(request, queryset, "change").exclude(pk=request.user.pk)
        if not request.user.is_superuser:
            chosen = chosen.exclude(is_superuser=True)
        done = 0
        for user in chosen.exclude(is_disabled=disabled):
            user.is_disabled = disabled
            services.save_user(user=user, changed_fields=["is_disabled"], **by(request))
            done += 1
        words = (
            ngettext("Disabled %(count)d user.", "Disabled %(count)d users.", done)
            if disabled
            else ngettext("Enabled %(count)d user.", "Enabled %(count)d users.", done)
        )
        self.message_user(
            request, words % {"count": done}, messages.SUCCESS if done else messages.WARNING
        )


class TeamScreen(Screen):
    search_fields = ["name", "email_address"]
    list_display = ["name", "team_type", "administrator", "member_count"]
    list_select_related = ["administrator"]
    autocomplete_fields = ["administrator", "queue"]
    filter_horizontal = ["members"]
    fieldsets = [
        (
            None,
            {
                "description": _("Users who own records together."),
                "fields": ["name", "email_address", "team_type", "administrator", "queue"],
            },
        ),
        (
            _("Members"),
            {
                "description": _("They see what the team owns, if their groups reach that far."),
                "fields": ["members"],
            },
        ),
    ]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(members_number=Count("members"))

    @admin.display(description=_("members"), ordering="members_number")
    def member_count(self, team: Any) -> int:
        return int(team.members_number)


class ReachInline(admin.StackedInline[Any, Any]):
    model = GroupReach
    can_delete = False
    verbose_name_plural = _("How far its permissions reach")
    fields = ["reach"]


class GroupScreen(Screen, GroupAdmin):  # type: ignore[misc]
    list_display = ["name", "reach", "people"]
    list_select_related = ["reach_row"]
    filter_horizontal = ["permissions"]
    inlines = [ReachInline]

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).annotate(people_number=Count("user"))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._superuser(request) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Whoever could change a group could grant everything."""
        return self._superuser(request) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._superuser(request) and super().has_delete_permission(request, obj)

    def _superuser(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    @admin.display(description=_("reach"))
    def reach(self, group: Group) -> str:
        row = getattr(group, "reach_row", None)
        return str(row.get_reach_display()) if row else __("Own records")

    @admin.display(description=_("users"), ordering="people_number")
    def people(self, group: Any) -> int:
        return int(group.people_number)


# -- the organization ----------------------------------------------------------------------------


class OrganizationScreen(Screen):
    """One row: the list opens it directly."""

    fieldsets = [
        (
            _("Organization"),
            {
                "description": _("Whose site this is, and how closely it follows the original."),
                "fields": ["name", "strict_parity"],
            },
        ),
        (
            _("New mailboxes"),
            {
                "description": _(
                    "What a mailbox that is made with its user or queue starts with (R1.30)."
                ),
                "fields": [
                    "default_email_server_profile",
                    "default_incoming_email_delivery_method",
                    "default_outgoing_email_delivery_method",
                    "default_act_delivery_method",
                ],
            },
        ),
        (
            _("Approval"),
            {
                "description": _("Whose mail waits until somebody has approved the address."),
                "fields": ["require_approval_for_user_email", "require_approval_for_queue_email"],
            },
        ),
        (
            _("Which incoming mail is tracked"),
            {
                "description": _("Beside the filters of users and queues."),
                "fields": [
                    "do_not_auto_track_email",
                    "use_filtering_method_of_syncing_mailbox_only_for_correlation",
                    "sss_force_filtering_method_for_user_mailboxes",
                    "sender_filters_accept_replies",
                    "do_not_auto_track_auto_submitted",
                    "use_date_watermark",
                    "ignore_internal_email",
                    "do_not_ignore_internal_email_to_queues",
                    "ignore_internal_email_from_queues",
                    "ignore_internal_email_detection_enhancement",
                    "restrict_irm_email_items",
                    "auto_track_sent_folder_items",
                    "track_categorized_items",
                    "is_folder_based_tracking_enabled",
                    "max_folder_based_tracking_mappings",
                ],
            },
        ),
        (
            _("Addresses"),
            {
                "description": _("Which record an address stands for."),
                "fields": [
                    "ignore_inactive_records_in_resolution",
                    "unresolve_email_address_if_multiple_match",
                    "resolve_similar_unresolved_email_address",
                    "unresolve_sender_in_case_of_multiple_match",
                    "auto_create_contact_on_promote",
                ],
            },
        ),
        (
            _("Correlation"),
            {
                "description": _("How an answer finds the email that it answers."),
                "fields": [
                    "email_correlation_enabled",
                    "ignore_conversation_index_and_in_reply_to_for_correlation",
                    "use_tracking_tokens",
                    "tracking_prefix",
                    "former_tracking_prefixes",
                    "tracking_token_id_base",
                    "tracking_token_id_digits",
                    "tracking_counter_digits",
                    "enable_smart_matching",
                    "hash_filter_keywords",
                    "hash_max_count",
                    "hash_delta_subject_count",
                    "hash_min_address_count",
                    "smart_matching_days",
                ],
            },
        ),
        (
            _("What is stored"),
            {
                "description": _("Attachments, queue items and original messages."),
                "fields": [
                    "max_upload_file_size_kb",
                    "blocked_attachments",
                    "create_queue_items_for_accepting_queue_recipients",
                    "create_queue_item_for_synchronizing_mailbox",
                    "sss_create_additional_queue_items_for_already_tracked_email",
                    "keep_mime_days",
                ],
            },
        ),
        (
            _("Sending"),
            {
                "description": _("What may leave, and how often it is tried."),
                "fields": [
                    "allow_unresolved_parties_on_email_send",
                    "maximum_subject_length_on_mail_server",
                    "sss_save_outgoing_email_to_exchange_sent_folder",
                    "enable_mailbox_delegation_for_outgoing_email",
                    "maximum_email_delivery_attempts",
                ],
            },
        ),
        (
            _("Alerts"),
            {
                "description": _("What is written on the wall, and for how long it stays."),
                "fields": [
                    "generate_alerts_for_errors",
                    "generate_alerts_for_warnings",
                    "generate_alerts_for_information",
                    "notify_mailbox_owner_of_email_server_level_alerts",
                    "trace_log_maximum_age_in_days",
                    "enable_sss_item_level_monitoring",
                    "exchange_sync_id_mapping_persistence_time_in_days",
                ],
            },
        ),
        (
            _("Lines without TLS"),
            {
                "description": _(
                    "All off by default: with these on, passwords and mail can be read on the way "
                    "(R1.26)."
                ),
                "fields": [
                    "allow_non_ssl_email",
                    "allow_basic_authentication_on_non_secure_channel",
                    "allow_credentials_entry_via_non_secure_channels",
                ],
            },
        ),
        (
            _("Engine"),
            {
                "description": _("How often mailboxes are looked at, and how failures are met."),
                "classes": ["collapse"],
                "fields": [
                    ("active_mailbox_minimum_backoff", "active_mailbox_maximum_backoff"),
                    ("idle_mailbox_minimum_backoff", "idle_mailbox_maximum_backoff"),
                    "mailbox_backoff_on_transient_error",
                    "mailbox_backoff_on_timeout",
                    "max_mailbox_transient_failures",
                    "max_mailboxes_per_profile_at_once",
                    "imap_connections_per_account",
                    "messages_per_page",
                    "messages_per_cycle",
                    "promotion_attempts",
                    "promotion_retry_minutes",
                ],
            },
        ),
    ]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        field = super().formfield_for_dbfield(db_field, request, **kwargs)
        if field is not None and db_field.name in Organization.NOT_BUILT:
            field.help_text = format_html(
                '{} <strong class="not-built">{}</strong>',
                field.help_text,
                __("Changes nothing yet: what reads it is still to be built."),
            )
        return field

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        row = Organization.objects.current()
        return HttpResponseRedirect(reverse("admin:mailboxes_organization_change", args=[row.pk]))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


# -- alerts and the address index ----------------------------------------------------------------


class OpenFilter(admin.SimpleListFilter):
    """Open ones unless asked otherwise: the wall shows what is to be done."""

    title = _("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("cleared", _("Cleared")), ("all", _("All"))]

    def choices(self, changelist: Any) -> Any:
        everything, *others = super().choices(changelist)
        yield {**everything, "display": _("Open")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: "QuerySet[Any]") -> "QuerySet[Any] | None":
        if self.value() == "all":
            return queryset
        return queryset.filter(closed_on__isnull=self.value() != "cleared")


class AlertScreen(ReadOnlyScreen):
    open_to_all = True
    list_display = ["condition", "level_badge", "subject", "code", "occurrences", "seen"]
    list_filter = [OpenFilter, "level", "code"]
    list_select_related = ["regarding_mailbox", "regarding_profile"]
    search_fields = ["code", "text", "regarding_mailbox__name", "regarding_profile__name"]
    list_display_links = ["condition"]
    ordering = ["-last_seen_on"]
    actions = ["clear"]
    fieldsets = [
        (
            None,
            {
                "description": _("What happened, why, and what to do."),
                "fields": ["level_badge", "code", "meaning", "advice", "subject"],
            },
        ),
        (
            _("Times"),
            {
                "description": _("A repeat updates the open alert in place of adding another."),
                "fields": ["occurrences", "created_on", "last_seen_on", "closed_on"],
            },
        ),
        (
            _("Details"),
            {
                "description": _("As the engine noted it when it happened."),
                "classes": ["collapse"],
                "fields": ["text", "error_details", "object_key", "machine_name", "trace_code"],
            },
        ),
    ]

    @admin.display(description=_("what happened"), ordering="code")
    def condition(self, alert: TraceLog) -> SafeString:
        cause = cause_of(alert.code, alert.text, alert.trace_parameters)
        return format_html(
            '<span class="row-title">{}</span><span class="row-sub">{}</span>',
            cause.meaning,
            cause.advice,
        )

    @admin.display(description=_("meaning"))
    def meaning(self, alert: TraceLog) -> str:
        return cause_of(alert.code, alert.text, alert.trace_parameters).meaning

    @admin.display(description=_("what to do"))
    def advice(self, alert: TraceLog) -> str:
        return cause_of(alert.code, alert.text, alert.trace_parameters).advice or EMPTY

    @admin.display(description=_("about"))
    def subject(self, alert: TraceLog) -> SafeString | str:
        record = alert.regarding_object
        if record is None:
            return EMPTY
        name = record._meta.model_name
        return link(reverse(f"admin:mailboxes_{name}_change", args=[record.pk]), record)

    @admin.display(description=_("level"), ordering="level")
    def level_badge(self, alert: TraceLog) -> SafeString:
        return badge(alert.get_level_display(), LEVEL_KIND[TraceLevel(alert.level)])

    @admin.display(description=_("last seen"), ordering="last_seen_on")
    def seen(self, alert: TraceLog) -> SafeString | str:
        return moment(alert.last_seen_on)

    @admin.display(description=_("first seen"), ordering="created_on")
    def opened(self, alert: TraceLog) -> SafeString | str:
        return moment(alert.created_on)

    @admin.action(description=_("Clear"))
    def clear(self, request: HttpRequest, queryset: "QuerySet[TraceLog]") -> None:
        if self.missing(request, "delete"):
            return
        chosen = self.within_reach(request, queryset, "delete")
        now = timezone.now()
        done = chosen.filter(closed_on__isnull=True).update(
            closed_on=now, modified_on=now, modified_by=request.user
        )
        self.message_user(
            request,
            ngettext("Cleared %(count)d alert.", "Cleared %(count)d alerts.", done)
            % {"count": done},
            messages.SUCCESS if done else messages.WARNING,
        )


class AddressScreen(ReadOnlyScreen):
    """The index of addresses: what an address stands for."""

    list_display = ["email_address", "parent_type", "email_column_number", "parent_id"]
    list_filter = ["parent_type"]
    list_select_related = ["parent_type"]
    search_fields = ["=email_address"]
    ordering = ["email_address"]
