"""Who reaches which folder rules. Registered with `mailboxes.access` when applications start."""

from typing import Any

from django.db.models import Q, QuerySet

from mailboxes.access import EVERYTHING, Asker, content_readers, reach_of, rows
from mailboxes.models import Mailbox
from tracking.models import FolderLink, MailboxTrackingFolder


@rows(MailboxTrackingFolder, FolderLink)
def _rules(asker: Asker) -> Q:
    """Whoever reads a mailbox's mail says where it is filed: its user, its owner, the members of its
    queue. A permission reaches further, by the owner of the mailbox."""
    allowed = asker.owned("mailbox__")
    if allowed == EVERYTHING:
        return EVERYTHING
    return allowed | Q(mailbox__in=Mailbox.objects.filter(content_readers(asker.user)).values("pk"))


def mailboxes_of(user: Any, action: str = "add") -> "QuerySet[Mailbox]":
    """The mailboxes on whose rules this user may do `action`."""
    if getattr(user, "is_active", False) and user.is_superuser:
        return Mailbox.objects.all()
    reach = reach_of(user, MailboxTrackingFolder, action)
    allowed = Asker(user, action, reach).owned()
    if allowed == EVERYTHING:
        return Mailbox.objects.all()
    return Mailbox.objects.filter(allowed | content_readers(user))
