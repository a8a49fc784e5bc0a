"""Who reaches which rules. Registered with `mailboxes.access` when applications start."""

from typing import Any

from django.db.models import Q, QuerySet

from activities.models import Email
from mailboxes.access import (
    EVERYTHING,
    NOTHING,
    Asker,
    by_owner,
    content_readers,
    reach_of,
    rows,
)
from mailboxes.models import Mailbox
from tracking.models import (
    ConvertRule,
    ConvertRuleItem,
    FolderLink,
    HookRun,
    MailboxTrackingFolder,
)

rows(ConvertRule)(by_owner)


@rows(ConvertRuleItem)
def _items(asker: Asker) -> Q:
    """They go with their rule."""
    return Q(convert_rule__in=asker.seen(ConvertRule)) if asker.viewing else NOTHING


@rows(MailboxTrackingFolder, FolderLink)
def _rules(asker: Asker) -> Q:
    """Whoever reads a mailbox's mail says where it is filed: its user, its owner, the members of its
    queue. A permission reaches further, by the owner of the mailbox."""
    allowed = asker.owned("mailbox__")
    if allowed == EVERYTHING:
        return EVERYTHING
    return allowed | Q(mailbox__in=Mailbox.objects.filter(content_readers(asker.user)).values("pk"))


@rows(HookRun)
def _hook_runs(asker: Asker) -> Q:
    """With the email. Running one again needs the permission."""
    if not asker.viewing and asker.reach is None:
        return NOTHING
    return Q(email__in=asker.seen(Email))


def mailboxes_of(user: Any, action: str = "add") -> "QuerySet[Mailbox]":
    """The mailboxes on whose rules this user may do `action`."""
    if getattr(user, "is_active", False) and user.is_superuser:
        return Mailbox.objects.all()
    reach = reach_of(user, MailboxTrackingFolder, action)
    allowed = Asker(user, action, reach).owned()
    if allowed == EVERYTHING:
        return Mailbox.objects.all()
    return Mailbox.objects.filter(allowed | content_readers(user))
