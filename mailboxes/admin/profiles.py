"""Server profiles."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailboxes import services
from mailboxes.legality import profile_warnings
from mailboxes.models import (
    EmailServerProfile,
    Mailbox,
)
from mailboxes.screens import (
    OWNER,
    Screen,
    by,
    joined,
    state_badge,
)


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """Shows beside its field what the organization's switches forbid (R1.26)."""

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if not self.errors:
            try:
                services.check_profile(self.instance)
            except ValidationError as error:
                self._update_errors(error)  # type: ignore[attr-defined]


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
