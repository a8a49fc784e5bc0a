"""What columns of several screens show of a mailbox."""

from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __

from mailboxes.choices import AccessApproval
from mailboxes.models import (
    Mailbox,
)
from mailboxes.screens import (
    badge,
    state_badge,
)

APPROVAL_KIND = {
    AccessApproval.EMPTY: "quiet",
    AccessApproval.APPROVED: "good",
    AccessApproval.PENDING: "warn",
    AccessApproval.REJECTED: "bad",
}


def approval_badge(mailbox: Mailbox) -> SafeString:
    status = AccessApproval(mailbox.email_router_access_approval)
    return badge(status.label, APPROVAL_KIND[status])


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
