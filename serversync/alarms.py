"""What the cycles tell people about messages: which outcome raises which alert.

Alerts about the mailbox or the server as a whole are the engine's (serversync.engine).
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime

from activities.models import Email
from mailboxes.alerts import clear_alerts, raise_alert
from mailboxes.choices import TraceLevel
from mailboxes.models import Mailbox, Organization
from serversync.choices import ItemState
from serversync.models import Submission, SyncItem

#: Codes of an e-mail that one more attempt or a person's decision settles.
SENDING = ("DeliveryUnknown", "MessageRefused", "DeliveryAttemptsExhausted", "RecipientsRefused")


def after_page(
    mailbox: Mailbox, organization: Organization, rows: Iterable[SyncItem], now: datetime
) -> None:
    """One alert per condition and mailbox, however many messages of a page it concerns (R10.4)."""
    counts = Counter(code for row in rows if (code := _code(row)))
    for code, count in counts.items():
        raise_alert(
            mailbox,
            code,
            now=now,
            organization=organization,
            # An unusable sender is no fault of ours (R3.12).
            level=TraceLevel.INFORMATION if code == "InvalidSender" else None,
            parameters={"count": count},
        )


def _code(row: SyncItem) -> str:
    if row.state == ItemState.QUARANTINED:
        return "Quarantined"
    if row.sub_reason == "message_id_reused":
        return "MessageIdReused"
    if row.reason == "too_large":
        return "MessageTooLarge"
    return row.reason if row.reason in ("InvalidSender", "InvalidForwardMailItem") else ""


def about(email: Email) -> str:
    """The object key of an alert about one e-mail."""
    return f"email:{email.pk}"


def delivery_unknown(
    email: Email, mailbox: Mailbox, organization: Organization, now: datetime
) -> None:
    raise_alert(
        mailbox, "DeliveryUnknown", now=now, organization=organization, object_key=about(email)
    )


def email_failed(
    email: Email,
    submission: Submission,
    mailbox: Mailbox,
    organization: Organization,
    now: datetime,
) -> None:
    """A permanent error of one e-mail, or its last attempt (R5.12)."""
    exhausted = not submission.permanent
    raise_alert(
        mailbox,
        "DeliveryAttemptsExhausted" if exhausted else submission.error_code or "MessageRefused",
        now=now,
        organization=organization,
        parameters={"attempts": email.delivery_attempts},
        detail=submission.server_reply,
        object_key=about(email),
    )


def recipients_refused(
    email: Email, mailbox: Mailbox, organization: Organization, now: datetime
) -> None:
    """Some recipients were refused; the others got it (R5.16)."""
    raise_alert(
        mailbox,
        "RecipientsRefused",
        now=now,
        organization=organization,
        level=TraceLevel.WARNING,
        detail=email.last_error_text,
        object_key=about(email),
    )


def settled(emails: Iterable[Email], mailbox: Mailbox, now: datetime) -> None:
    """They left: what was said about earlier attempts is over. One statement."""
    clear_alerts(mailbox, SENDING, [about(email) for email in emails], now=now)
