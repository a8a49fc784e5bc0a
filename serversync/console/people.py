"""Screens of access: groups that were shipped as roles, second factors of users, and the audit trail."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.core.exceptions import FieldDoesNotExist
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from mailboxes.admin import GroupScreen
from mailboxes.screens import EMPTY, ReadOnlyScreen, badge, link, moment
from serversync.console.addressed import UserConsole as Addressed
from serversync.console.deeds import Deed, Deeds
from serversync.models import AuditEntry
from serversync.people import roles, secondfactor
from serversync.people.choices import AuditKind

BAD = {AuditKind.SIGN_IN_FAILED, AuditKind.FACTOR_FAILED}
WARN = {
    AuditKind.THROTTLED, AuditKind.RECOVERY_USED, AuditKind.FACTOR_REMOVED, AuditKind.FACTOR_RESET,
    AuditKind.GRANTED, AuditKind.SECRET_SET, AuditKind.SECRET_REMOVED, AuditKind.PASSWORD_CHANGED,
}  # fmt: skip


class GroupConsole(Deeds, GroupScreen):  # type: ignore[misc]
    """What the site changed of a shipped role, and the way back."""

    list_display = ["title", "reach", "people"]
    readonly_fields = ["role_words"]
    deeds = (Deed("reset_role", _("As it was shipped"), grave=True),)

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("shipped_role", "reach_row")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fields = ["name", "permissions"]
        return [(None, {"fields": ["role_words", *fields] if _role(obj) else fields})]

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        return self.deeds if _role(obj) and request.user.is_superuser else ()

    @admin.display(description=_("name"), ordering="name")
    def title(self, group: Group) -> Any:
        role = _role(group)
        return role.name if role and group.name == role.group else group.name

    @admin.display(description=_("shipped role"))
    def role_words(self, group: Group) -> SafeString | str:
        role, changes = _role(group), roles.changes_of(group)
        if role is None or changes is None:
            return EMPTY
        if not changes:
            return format_html("{} {}", role.meaning, badge(__("as it was shipped"), "good"))
        lines = []
        if changes.extra:
            lines.append((__("added here:"), ", ".join(changes.extra)))
        if changes.missing:
            lines.append((__("taken away here:"), ", ".join(changes.missing)))
        if changes.reach is not None:
            lines.append((__("another reach than shipped:"), str(role.reach.label)))
        told = format_html_join("", '<span class="row-sub">{} {}</span>', lines)
        return format_html("{} {}{}", role.meaning, badge(__("changed here"), "info"), told)

    def reset_role(self, request: HttpRequest, queryset: "QuerySet[Group]") -> None:
        for group in queryset:
            role = _role(group)
            if role is not None:
                roles.reset(role.key)
                self.message_user(
                    request,
                    __("The group is as it was shipped. Its members stay."),
                    messages.SUCCESS,
                )


def _role(group: Group | None) -> roles.Role | None:
    row = getattr(group, "shipped_role", None) if group is not None else None
    return roles.ROLES.get(row.key) if row else None


class UserConsole(Deeds, Addressed):
    """Users, and how they come in."""

    deeds = (Deed("reset_factor", _("Reset the second factor"), grave=True),)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [*super().get_readonly_fields(request, obj), "factor_words"]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        found = []
        for name, options in super().get_fieldsets(request, obj):
            fields = list(options["fields"])
            if "password_words" in fields:
                fields.insert(fields.index("password_words") + 1, "factor_words")
            found.append((name, options | {"fields": fields}))
        return found

    def deeds_for(self, request: HttpRequest, obj: Any) -> Sequence[Deed]:
        resettable = obj.second_factor_since is not None and obj.pk != request.user.pk
        return self.deeds if resettable and request.user.is_superuser else ()

    @admin.display(description=_("second factor"))
    def factor_words(self, user: Any) -> SafeString | str:
        if user.second_factor_since is None:
            return __("none")
        words = badge(__("set up"), "good")
        return format_html("{} {}", words, moment(user.second_factor_since))

    def reset_factor(self, request: HttpRequest, queryset: "QuerySet[Any]") -> None:
        """Only superusers get here: deeds_for offers it to nobody else."""
        done = sum(secondfactor.reset(user, timezone.now()) for user in queryset)
        words = ngettext(
            "Reset the second factor of %(count)d user. Every session of theirs is over.",
            "Reset the second factor of %(count)d users. Every session of theirs is over.",
            done,
        )
        self.message_user(request, words % {"count": done}, messages.SUCCESS)


class AuditConsole(ReadOnlyScreen):
    """Newest first. Nobody changes it; it is forgotten after the days that the organization keeps it."""

    list_display = ["when", "kind_words", "who", "subject", "details", "address"]
    list_display_links = None
    list_filter = ["kind", "subject_type"]
    list_select_related = ["actor", "about_user"]
    search_fields = ["actor_name", "subject_name", "subject_id", "detail", "address"]
    date_hierarchy = "at"
    ordering = ["-at", "-pk"]
    fields = ["when", "kind_words", "who", "subject", "details", "address"]

    @admin.display(description=_("when"), ordering="at")
    def when(self, entry: AuditEntry) -> SafeString | str:
        return moment(entry.at)

    @admin.display(description=_("what"), ordering="kind")
    def kind_words(self, entry: AuditEntry) -> SafeString:
        kind = AuditKind(entry.kind)
        return badge(kind.label, "bad" if kind in BAD else "warn" if kind in WARN else "quiet")

    @admin.display(description=_("who"), ordering="actor_name")
    def who(self, entry: AuditEntry) -> str:
        return entry.actor_name or EMPTY

    @admin.display(description=_("detail"), ordering="detail")
    def details(self, entry: AuditEntry) -> str:
        """Names are stored as the code has them, and told in the reader's language."""
        screen = next(
            (
                screen
                for model, screen in self.admin_site._registry.items()
                if model._meta.label_lower == entry.subject_type
            ),
            None,
        )
        return told(entry, screen)

    @admin.display(description=_("record"), ordering="subject_name")
    def subject(self, entry: AuditEntry) -> SafeString | str:
        words = entry.subject_name or entry.subject_type or EMPTY
        room, _dot, model = entry.subject_type.partition(".")
        known = any(
            each._meta.label_lower == entry.subject_type for each in self.admin_site._registry
        )
        if not (known and entry.subject_id) or entry.kind == AuditKind.DELETED:
            return words
        return link(reverse(f"admin:{room}_{model}_change", args=[entry.subject_id]), words)


def told(entry: AuditEntry, screen: "admin.ModelAdmin[Any] | None") -> str:
    """The detail of an entry in words, as far as its screen still has them; else as it was stored."""
    if entry.kind == AuditKind.ACTION:
        return _action_words(screen, entry.detail)
    if entry.kind in (AuditKind.SECRET_SET, AuditKind.SECRET_REMOVED):
        return _column_words(screen, entry.detail)
    if entry.kind in (AuditKind.ADDED, AuditKind.CHANGED):
        return ", ".join(_label(name) for name in entry.detail.split(", ") if name)
    name, colon, value = entry.detail.partition(": ")
    return f"{__(name)}{colon}{__(value)}" if colon and value else entry.detail


def _label(name: str) -> str:
    """Of a field; forms write names of columns with a capital, the catalogue has them without."""
    small = name[:1].lower() + name[1:]
    return next((words for each in (name, small) if (words := __(each)) != each), name)


def _action_words(screen: Any, name: str) -> str:
    if name == "delete_selected" and screen is not None:
        return __("Delete selected %(verbose_name_plural)s") % {
            "verbose_name_plural": screen.model._meta.verbose_name_plural
        }
    deeds = (deed.words for deed in getattr(screen, "deeds", ()) if deed.name == name)
    words = next(deeds, None) or getattr(getattr(screen, name, None), "short_description", None)
    return str(words or name)


def _column_words(screen: Any, column: str) -> str:
    if screen is None:
        return column
    try:
        return str(screen.model._meta.get_field(column).verbose_name)
    except FieldDoesNotExist:
        return column
