"""What came back of an email that was sent, on its page: bounces, delays, receipts (R5.21)."""

from typing import Any

from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as __

from activities.choices import DeliveryResult, EmailKind
from activities.models import ActivityParty, Email
from mailboxes import access
from mailboxes.screens import badge, link, moment

MOST_REPORTS = 25
RESULT_KIND = {
    DeliveryResult.ACCEPTED: "good",
    DeliveryResult.REFUSED: "bad",
    DeliveryResult.DELAYED: "warn",
    DeliveryResult.DELIVERED: "good",
    DeliveryResult.UNDELIVERED: "bad",
    DeliveryResult.BOUNCED: "bad",
    DeliveryResult.READ: "good",
    DeliveryResult.COMPLAINED: "warn",
    DeliveryResult.REDIRECTED: "warn",
}
KIND_KIND = {
    EmailKind.BOUNCE: "bad",
    EmailKind.DELAY: "warn",
    EmailKind.COMPLAINT: "warn",
    EmailKind.RECEIPT: "good",
}
SHOWN_KINDS = frozenset({*KIND_KIND, EmailKind.AUTO_REPLY, EmailKind.LIST, EmailKind.CALENDAR})


def delivery_words(row: ActivityParty) -> SafeString | str:
    """What is known of one recipient, and the words of the server that told it."""
    if row.delivery_result == DeliveryResult.NONE:
        return ""
    result = DeliveryResult(row.delivery_result)
    shown = badge(result.label, RESULT_KIND[result])
    if not row.delivery_detail:
        return shown
    return format_html('{} <span class="small quiet">{}</span>', shown, row.delivery_detail)


def came_back(email: Email, reader: Any) -> list[Email]:
    """The reports on this email that the reader may see, oldest first."""
    if email.is_incoming:
        return []
    rows = access.visible_to(reader, Email.objects.filter(about=email), "view")
    found = rows.select_related("activity").only("kind", "sender", "activity__sort_date")
    return list(found.order_by("activity__sort_date")[:MOST_REPORTS])


def report_line(report: Email) -> SafeString:
    """Told by whom, and when; leads to the report."""
    kind = EmailKind(report.kind)
    url = reverse("admin:activities_email_change", args=[report.pk])
    return format_html(
        "{} {} {}",
        badge(kind.label, KIND_KIND.get(kind, "info")),
        link(url, report.sender or kind.label),
        moment(report.activity.sort_date),
    )


def kind_badge(email: Email) -> SafeString | str:
    """Of mail that no person wrote to this reader; empty for ordinary mail and replies."""
    kind = EmailKind(email.kind)
    return badge(kind.label, KIND_KIND.get(kind, "info")) if kind in SHOWN_KINDS else ""


def about_link(email: Email, reader: Any) -> SafeString | str:
    """The email that a report is about, or an automatic reply answers, as far as the reader may see."""
    answered = email.correlated_activity_id if email.kind == EmailKind.AUTO_REPLY else None
    wanted = email.about_id or answered
    if wanted is None:
        return ""
    rows = access.visible_to(reader, Email.objects.filter(pk=wanted), "view")
    found = rows.select_related("activity").only("activity__subject").first()
    if found is None:
        return __("an email that you can't see")
    url = reverse("admin:activities_email_change", args=[found.pk])
    return link(url, found.activity.subject or __("(no subject)"))
