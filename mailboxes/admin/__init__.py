"""Screens for what this room knows. The console subclasses some of them and registers all."""

from mailboxes.admin.addressing import AddressForm, TakeOverForm, WithAddress, taken_in
from mailboxes.admin.alerts import AddressScreen, AlertScreen, OpenFilter
from mailboxes.admin.cells import APPROVAL_KIND, approval_badge, mailbox_link
from mailboxes.admin.changes import ChangeScreen
from mailboxes.admin.mailboxes import KindFilter, MailboxScreen
from mailboxes.admin.organization import OrganizationScreen
from mailboxes.admin.profiles import ProfileForm, ProfileScreen
from mailboxes.admin.queues import QueueScreen
from mailboxes.admin.users import (
    GroupScreen,
    NewUserForm,
    ReachInline,
    SettingsInline,
    TeamScreen,
    UserScreen,
)
from mailboxes.screens import by

__all__ = [
    "APPROVAL_KIND",
    "AddressForm",
    "AddressScreen",
    "AlertScreen",
    "ChangeScreen",
    "GroupScreen",
    "KindFilter",
    "MailboxScreen",
    "NewUserForm",
    "OpenFilter",
    "OrganizationScreen",
    "ProfileForm",
    "ProfileScreen",
    "QueueScreen",
    "ReachInline",
    "SettingsInline",
    "TakeOverForm",
    "TeamScreen",
    "UserScreen",
    "WithAddress",
    "approval_badge",
    "by",
    "mailbox_link",
    "taken_in",
]
