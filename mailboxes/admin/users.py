"""Users, teams and groups."""

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminUserCreationForm
from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailboxes import services
from mailboxes.admin.addressing import AddressForm, WithAddress
from mailboxes.admin.cells import mailbox_link
from mailboxes.models import (
    GroupReach,
    SystemUser,
    UserSettings,
)
from mailboxes.remembering import Remembered
from mailboxes.screens import (
    badge,
    by,
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


class UserScreen(Remembered, WithAddress, UserAdmin):  # type: ignore[type-arg]
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
        """Other people's, by superusers: whoever sets it could come in as them and read their mail. The own
        one is changed where the old one is asked for."""
        user = self.get_object(request, id)
        if user is not None and user.pk == request.user.pk:
            return HttpResponseRedirect(reverse("admin:password_change"))
        if not request.user.is_superuser:
            raise PermissionDenied
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


class TeamScreen(Remembered):
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


class GroupScreen(Remembered, GroupAdmin):  # type: ignore[misc]
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
