"""Which waiting e-mails a cycle takes next, and in which order; the claim that makes them its own."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import (
    BigIntegerField,
    Case,
    F,
    IntegerField,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce

from activities.choices import EmailStatus, Priority
from activities.models import ActivityMimeAttachment, Email
from mailboxes.models import Mailbox
from mailboxes.redirect import redirect_address
from serversync.cycle import Run
from serversync.leases import renew
from serversync.models import Submission

BATCH = 50  # messages claimed at once; a lost batch is released within one cycle
BATCH_BYTES = 32 * 1024 * 1024  # a batch's messages are in memory together
CLAIM = timedelta(minutes=10)

Claimed = tuple[Email, Submission]


def claim(run: Run) -> list[Claimed]:
    """Up to a batch, high priority first, then in the order of submission (R5.9)."""
    now = run.clock()
    emails = _within_memory(
        Email.objects.filter(_due(run.mailbox, now))
        .select_related("activity")
        .annotate(attached=_ATTACHED)
        .order_by(_PRIORITY, "submitted_at", "pk")[:BATCH]
    )
    if not emails:
        return []
    token = uuid4()
    with transaction.atomic():
        renew(run.token, now)
        # Since it was read, somebody may have taken it back, and have sent something else in its place.
        read = {email.pk: email.submitted_at for email in emails}
        rows = Email.objects.select_for_update().filter(
            pk__in=read, status_code=EmailStatus.PENDING_SEND
        )
        won = {pk for pk, sent in rows.values_list("pk", "submitted_at") if sent == read[pk]}
        Email.objects.filter(pk__in=won).update(
            status_code=EmailStatus.SENDING, delivery_attempts=F("delivery_attempts") + 1
        )
        claimed = []
        for email in emails:
            if email.pk in won:
                email.status_code = EmailStatus.SENDING
                email.delivery_attempts += 1
                submission = Submission(
                    email=email,
                    mailbox=run.mailbox,
                    attempt=email.delivery_attempts,
                    claim_token=token,
                    claimed_at=now,
                    claim_expires_at=now + CLAIM,
                    redirected_to=redirect_address(),
                )
                claimed.append((email, submission))
        Submission.objects.bulk_create([submission for _email, submission in claimed])
    return claimed


def _due(mailbox: Mailbox, now: datetime) -> Q:
    return (
        Q(sender_mailbox=mailbox, status_code=EmailStatus.PENDING_SEND)
        & (Q(delayed_email_send_time__isnull=True) | Q(delayed_email_send_time__lte=now))
        & (
            Q(postpone_email_processing_until__isnull=True)
            | Q(postpone_email_processing_until__lte=now)
        )
    )


_PRIORITY = Case(
    When(delivery_priority_code=Priority.HIGH, then=Value(0)),
    When(delivery_priority_code=Priority.NORMAL, then=Value(1)),
    default=Value(2),
    output_field=IntegerField(),
)

#: Octets of an e-mail's attachments.
_ATTACHED = Coalesce(
    Subquery(
        ActivityMimeAttachment.objects.filter(activity=OuterRef("pk"))
        .values("activity")
        .annotate(total=Sum("file_size"))
        .values("total")
    ),
    Value(0),
    output_field=BigIntegerField(),
)


def _within_memory(emails: Iterable[Any]) -> list[Any]:
    """As many as may be composed together; one at least."""
    taken: list[Any] = []
    size = 0
    for email in emails:
        size += email.attached
        if taken and size > BATCH_BYTES:
            break
        taken.append(email)
    return taken
