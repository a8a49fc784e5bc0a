"""Server profiles."""

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import capfirst
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailboxes import access, services
from mailboxes.choices import ServerType
from mailboxes.dkim import (
    KeyKind,
    KeyUnusable,
    Unusable,
    read_key,
    record_name,
    record_of,
    write_key,
    zone_line,
)
from mailboxes.legality import Faults, exchange_url, profile_warnings
from mailboxes.models import (
    DiscoveredEndpoint,
    EmailServerProfile,
    Mailbox,
)
from mailboxes.presets import BY_KEY, GMAIL, Preset, preset_of
from mailboxes.remembering import Remembered
from mailboxes.screens import (
    OWNER,
    by,
    joined,
    state_badge,
    version_words,
)
from mailboxes.secrets import SecretUnreadable

SERVER_TYPES = [
    *((str(value), label) for value, label in ServerType.choices),
    *((preset.key, preset.label) for preset in GMAIL),
]
LOCATIONS = ("incoming_server_location", "outgoing_server_location")
#: Why a DKIM key isn't taken (R5.32).
UNUSABLE = {
    Unusable.NO_KEY: _("This is no private key. Paste it from BEGIN to END. (R5.32)"),
    Unusable.PROTECTED: _(
        "This key is protected by a passphrase. Take the passphrase off first; here it is stored "
        "encrypted. (R5.32)"
    ),
    Unusable.OTHER_KIND: _("Signatures are made with RSA or Ed25519, not with this kind. (R5.32)"),
    Unusable.TOO_SHORT: _("Receivers ignore RSA keys of fewer than 2048 bits. (R5.32)"),
    Unusable.TOO_LONG: _("Receivers need not take RSA keys of more than 4096 bits. (R5.32)"),
}


class ProfileForm(forms.ModelForm):  # type: ignore[type-arg]
    """Fills in what the choice of a server decides (R1.11, R1.12), and shows beside its field what the
    organization's switches forbid (R1.26) and which secrets must be entered again (R1.9)."""

    move_secrets = forms.BooleanField(
        label=_("Take stored secrets along"),
        required=False,
        help_text=_(
            "If the servers change: send stored passwords, client secret and sign-ins to the new ones, "
            "also those of its mailboxes. Otherwise they stay behind (R1.9)."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored = {name: getattr(self.instance, name) for name in ("server_type", *LOCATIONS)}
        self.preset_before = None if self.instance._state.adding else preset_of(self.instance)
        #: Columns that got another value than was entered, for which the reason is told.
        self.filled_in: dict[str, Any] = {}
        self.notes: list[str] = []
        if "server_type" in self.fields:
            self._offer_presets()

    def _offer_presets(self) -> None:
        model_field = self.fields["server_type"]
        self.fields["server_type"] = forms.ChoiceField(
            label=model_field.label,
            choices=SERVER_TYPES,
            initial=model_field.initial,
            help_text=model_field.help_text,
        )
        if self.preset_before:
            self.initial["server_type"] = self.preset_before.key

    def clean_dkim_private_key(self) -> str | None:
        """As it is stored, whatever form it was pasted in."""
        entered: str | None = self.cleaned_data["dkim_private_key"]
        if not entered:
            return entered
        try:
            return write_key(read_key(entered))
        except KeyUnusable as error:
            raise ValidationError(UNUSABLE[error.reason]) from None

    def clean(self) -> Any:
        data = super().clean() or self.cleaned_data
        chosen = data.get("server_type")
        if chosen is None:
            return data
        if preset := BY_KEY.get(chosen):
            self._fill_in_preset(data, preset)
        else:
            data["server_type"] = int(chosen)
            if ServerType(data["server_type"]).is_exchange:
                self._complete_addresses(data)
        return data

    def _fill_in_preset(self, data: dict[str, Any], preset: Preset) -> None:
        wanted = preset.servers
        if (
            preset != self.preset_before
            and "incoming_credential_retrieval" not in self.changed_data
        ):
            wanted |= preset.sign_in
        # What was entered there doesn't count, so neither does what is wrong with it.
        for name in wanted:
            self.errors.pop(name, None)
        self.filled_in |= {
            name: value for name, value in wanted.items() if getattr(self.instance, name) != value
        }
        data |= wanted
        if preset != self.preset_before:
            words = __("%(preset)s: locations, ports and TLS are Google's own (R1.11).")
            self.notes.append(words % {"preset": preset.label})

    def _complete_addresses(self, data: dict[str, Any]) -> None:
        for name in LOCATIONS:
            entered = data.get(name) or ""
            if data.get("use_auto_discover") or (url := exchange_url(entered)) == entered:
                continue
            data[name] = self.filled_in[name] = url
            words = __("“%(entered)s” was completed to the address of the web service: %(url)s.")
            self.notes.append(words % {"entered": entered, "url": url})

    @property
    def changed_columns(self) -> set[str]:
        """Columns whose value is new, entered or filled in."""
        columns = {field.name for field in EmailServerProfile._meta.concrete_fields}
        # Another choice or another spelling may be stored as the same.
        same = {name for name, value in self.stored.items() if self.cleaned_data.get(name) == value}
        return columns & {*self.changed_data, *self.filled_in} - same

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        if self.errors:
            return
        try:
            services.check_profile(self.instance)
            self._check_secrets()
        except ValidationError as error:
            self._update_errors(error)  # type: ignore[attr-defined]

    def _check_secrets(self) -> None:
        if self.instance._state.adding or self.cleaned_data.get("move_secrets"):
            return
        if behind := services.secrets_left_behind(self.instance, self.changed_columns):
            raise services.SecretsStayBehind(behind)


MOVE = "move_secrets"


def _domains_of(profile: EmailServerProfile) -> set[str]:
    addresses = profile.mailboxes.values_list("email_address", flat=True)
    return {address.rpartition("@")[2].lower() for address in addresses}


def kept_back_words(count: int) -> str:
    return ngettext(
        "%(count)d mailbox keeps a password or sign-in that was entered for other servers. It isn't "
        "sent to these. (R1.9)",
        "%(count)d mailboxes keep passwords or sign-ins that were entered for other servers. They "
        "aren't sent to these. (R1.9)",
        count,
    ) % {"count": count}


class ProfileScreen(Remembered):
    form = ProfileForm
    search_fields = [
        "name", "incoming_server_location", "outgoing_server_location", "description",
    ]  # fmt: skip
    list_display = ["name", "kind", "servers", "state", "owning_user"]
    list_filter = ["server_type", "state_code"]
    list_select_related = ["owning_user", "owning_team"]
    autocomplete_fields = ["owning_user", "owning_team"]
    readonly_fields = ["state", "last_test", "server_versions", "dkim_record"]
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
                    "server_versions",
                    "ca_certificate",
                    "move_secrets",
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
                "description": _(
                    "For servers that take tokens in place of passwords: who this site is at the "
                    "provider. The owner of each mailbox connects it on a page of its own (R1.21)."
                ),
                "classes": ["for-tokens"],
                "fields": [
                    "oauth_client_id",
                    "oauth_client_secret",
                    "oauth_client_secret_expires_on",
                    "exchange_online_tenant_id",
                    "use_default_tenant_id",
                    "aad_resource_id",
                    "server_authority",
                    "oauth_grant",
                    "oauth_authorization_endpoint",
                    "oauth_token_endpoint",
                    "oauth_scopes",
                ],
            },
        ),
        (
            _("Signature (DKIM)"),
            {
                "description": _(
                    "Lets receivers see that mail comes from its domain unchanged. Save domain and "
                    "selector, have a key made, publish the record, then switch it on (R5.32)."
                ),
                "fields": [
                    "dkim_domain",
                    "dkim_selector",
                    "dkim_private_key",
                    "dkim_record",
                    "dkim_sign",
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
                    "push",
                    "timeout_mailbox_connection",
                    "timeout_mailbox_connection_after_amount",
                ],
            },
        ),
        (
            _("Sending limits"),
            {
                "description": _(
                    "How much leaves, where the provider allows no more (R5.14). What a server refuses "
                    "because of a limit of its own is learned besides."
                ),
                "fields": [
                    ("messages_per_minute", "messages_per_day", "recipients_per_day"),
                    (
                        "mailbox_messages_per_minute",
                        "mailbox_messages_per_day",
                        "mailbox_recipients_per_day",
                    ),
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

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Only who may take secrets along is asked (R1.9)."""
        if obj is not None and access.may(request.user, "move_secrets", obj):
            return self.fieldsets
        return [
            (name, {**options, "fields": [one for one in options["fields"] if one != MOVE]})
            for name, options in self.fieldsets
        ]

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        move = bool(form.cleaned_data.get(MOVE))
        services.save_profile(
            profile=obj, changed_fields=form.changed_columns, move_secrets=move, **by(request)
        )
        for words in form.notes:
            self.message_user(request, words, messages.INFO)
        if "_continue" not in request.POST:  # the page itself shows them
            for name, words in self.warnings_of(obj).items():
                self.message_user(request, self.named(name, words), messages.WARNING)
        if count := services.kept_back(obj).count():
            self.message_user(request, kept_back_words(count), messages.WARNING)

    def warnings_of(self, profile: EmailServerProfile) -> Faults:
        return profile_warnings(
            profile,
            mailboxes=profile.mailboxes.count(),
            default_tenant=settings.OAUTH_TENANT_ID,
            domains=_domains_of(profile) if profile.dkim_sign else (),
        )

    def named(self, field: str, words: Any) -> str:
        label = capfirst(str(self.opts.get_field(field).verbose_name))  # type: ignore[union-attr]
        return f"{label}: {words}"

    @admin.display(description=_("server type"), ordering="server_type")
    def kind(self, profile: EmailServerProfile) -> str:
        preset = preset_of(profile)
        return preset.label if preset else str(profile.kind.label)

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

    @admin.display(description=_("what its servers say"))
    def server_versions(self, profile: EmailServerProfile) -> str:
        """As the mailboxes of the profile found them out."""
        found = DiscoveredEndpoint.objects.filter(mailbox__email_server_profile=profile)
        versions = found.exclude(version="").order_by("version").values_list("version", flat=True)
        return joined(version_words(version) for version in versions.distinct())

    @admin.display(description=_("record to publish in DNS"))
    def dkim_record(self, profile: EmailServerProfile) -> SafeString | str:
        """The public half of the key; the private one is never shown."""
        if not (profile.dkim_private_key and profile.dkim_domain and profile.dkim_selector):
            return __("None yet: it needs a domain, a selector and a key.")
        try:
            key = read_key(profile.dkim_private_key.reveal())
        except (KeyUnusable, SecretUnreadable) as error:
            return str(error)
        name = record_name(profile.dkim_selector, profile.dkim_domain)
        return format_html(
            '{} <code>{}</code><br>TXT <code class="mono">{}</code><br>{} <code class="mono">{}</code>',
            __("Name:"),
            name,
            record_of(key),
            __("In a zone file:"),
            zone_line(name, record_of(key)),
        )

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

    @admin.action(description=_("Make a DKIM key (RSA)"))
    def make_rsa_key(self, request: HttpRequest, queryset: "QuerySet[EmailServerProfile]") -> None:
        """Every receiver can check it."""
        self._make_key(request, queryset, KeyKind.RSA)

    @admin.action(description=_("Make a DKIM key (Ed25519)"))
    def make_ed25519_key(
        self, request: HttpRequest, queryset: "QuerySet[EmailServerProfile]"
    ) -> None:
        """Shorter; some receivers can't check it yet (RFC 8463)."""
        self._make_key(request, queryset, KeyKind.ED25519)

    def _make_key(self, request: HttpRequest, queryset: "QuerySet[Any]", kind: KeyKind) -> None:
        done = __(
            "The key was made. Publish the record that is shown below, then switch signing on."
        )
        self.perform(
            request,
            lambda: services.make_dkim_key(profile=queryset.get(), kind=kind, **by(request)),
            done,
            done,
        )

    @admin.action(description=_("Send stored passwords and sign-ins to these servers"))
    def confirm_places(
        self, request: HttpRequest, queryset: "QuerySet[EmailServerProfile]"
    ) -> None:
        """Of one profile, on its page (R1.9)."""
        self.perform(
            request,
            lambda: services.confirm_places(profile=queryset.get(), **by(request)),
            __("What %(count)d mailbox keeps may go to these servers. Test & Enable it."),
            __("What %(count)d mailboxes keep may go to these servers. Test & Enable them."),
        )

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
