"""The list of emails, and of addresses that they came back from. An email's own page stands in the
console, which can send."""

from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.admin.links import SUBJECT_SHOWN
from activities.choices import UNDELIVERED, Direction, EmailStatus
from activities.models import ActivityParty, BouncedAddress, Email
from mailboxes.screens import EMPTY, ReadOnlyScreen, Screen, badge, link, moment

STATUS_KIND = {
    EmailStatus.DRAFT: "quiet",
    EmailStatus.COMPLETED: "good",
    EmailStatus.SENT: "good",
    EmailStatus.RECEIVED: "info",
    EmailStatus.CANCELED: "quiet",
    EmailStatus.PENDING_SEND: "warn",
    EmailStatus.SENDING: "warn",
    EmailStatus.FAILED: "bad",
}


class EmailListScreen(Screen):
    """The list of e-mails; writing, reading and sending is the console's."""

    search_fields = ["activity__subject", "sender", "to_recipients", "=message_id"]
    list_display = ["subject", "direction", "who", "status", "mailbox", "files", "date"]
    list_display_links = ["subject"]
    list_filter = [
        "direction_code",
        "status_code",
        "kind",
        ("activity__sort_date", admin.DateFieldListFilter),
    ]
    list_select_related = ["activity", "receiving_mailbox", "sender_mailbox"]
    ordering = ["-activity__sort_date"]

    def get_queryset(self, request: HttpRequest) -> Any:
        # Bodies may be a megabyte each, and the list shows none.
        lost = ActivityParty.objects.filter(
            activity=OuterRef("pk"), delivery_result__in=UNDELIVERED
        )
        rows = super().get_queryset(request).annotate(is_undelivered=Exists(lost))
        return rows.defer("description", "decision", "references")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only drafts and failed mail can be changed (R5.1)."""
        if obj is not None and not obj.status.is_editable:
            return False
        return super().has_change_permission(request, obj)

    @admin.display(description=_("subject"), ordering="activity__subject")
    def subject(self, email: Email) -> SafeString:
        words = Truncator(email.activity.subject).chars(SUBJECT_SHOWN) or __("(no subject)")
        return format_html('<span class="row-title">{}</span>', words)

    @admin.display(description=_("direction"), ordering="direction_code")
    def direction(self, email: Email) -> str:
        return __("In") if email.direction_code == Direction.INCOMING else __("Out")

    @admin.display(description=_("from / to"))
    def who(self, email: Email) -> SafeString:
        words = email.sender if email.is_incoming else email.to_recipients
        return format_html('<span class="one-line">{}</span>', words or EMPTY)

    @admin.display(description=_("status"), ordering="status_code")
    def status(self, email: Email) -> SafeString:
        shown = badge(email.status.label, STATUS_KIND[email.status])
        if not getattr(email, "is_undelivered", False):
            return shown
        return format_html("{} {}", shown, badge(_("Undelivered"), "bad"))

    @admin.display(description=_("mailbox"))
    def mailbox(self, email: Email) -> str:
        return str(email.receiving_mailbox or email.sender_mailbox or EMPTY)

    @admin.display(description=_("files"), ordering="attachment_count")
    def files(self, email: Email) -> str:
        return str(email.attachment_count or "")

    @admin.display(description=_("date"), ordering="activity__sort_date")
    def date(self, email: Email) -> SafeString | str:
        return moment(email.activity.sort_date)


class BouncedAddressScreen(ReadOnlyScreen):
    """Addresses that mail came back from for good. To delete one is to forget that."""

    list_display = ["address", "status", "diagnostic", "count", "when", "email_words"]
    list_select_related = ["email__activity"]
    search_fields = ["address"]
    ordering = ["-bounced_on"]

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return Screen.has_delete_permission(self, request, obj)

    @admin.display(description=_("bounced on"), ordering="bounced_on")
    def when(self, row: BouncedAddress) -> SafeString | str:
        return moment(row.bounced_on)

    @admin.display(description=_("last email"))
    def email_words(self, row: BouncedAddress) -> SafeString | str:
        if row.email is None:
            return EMPTY
        words = Truncator(row.email.activity.subject).chars(SUBJECT_SHOWN) or __("(no subject)")
        return link(reverse("admin:activities_email_change", args=[row.email_id]), words)
