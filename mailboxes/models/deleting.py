"""What becomes of a mailbox when somebody is deleted (R1.45)."""

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.db import models

if TYPE_CHECKING:
    from mailboxes.models.mailboxes import Mailbox
    from mailboxes.models.users import SystemUser, Team


def pass_on(collector: Any, field: Any, mailboxes: Any, using: str) -> None:
    """on_delete of a mailbox's owner: the mailbox that serves the leaving user finds another owner,
    which `services.retire` writes before the user goes; any other mailbox protects its owner."""
    leaving = {user.pk for user in collector.data.get(get_user_model(), ())}
    bound = [
        mailbox
        for mailbox in mailboxes
        if mailbox.regarding_user_id != mailbox.owning_user_id or heir_of(mailbox, leaving) is None
    ]
    if bound:
        raise models.ProtectedError(
            "A user who owns mailboxes of others, or whose mailbox would have no owner, stays.",
            set(bound),
        )


def heir_of(mailbox: "Mailbox", leaving: set[Any]) -> "SystemUser | Team | None":
    """Who owns a mailbox once these users are gone: its profile's owner, else a superuser."""
    profile = mailbox.email_server_profile
    if profile is not None and profile.owning_user_id not in leaving:
        return profile.owner
    users = get_user_model()._default_manager
    return (
        users.filter(is_superuser=True, is_disabled=False)
        .exclude(pk__in=leaving)
        .order_by("created_on", "pk")
        .first()
    )
