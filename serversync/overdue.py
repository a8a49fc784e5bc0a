"""Automatic answers that waited too long to leave are cancelled, not sent late (R3.59). Asked by the claim."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

from activities.choices import EmailStatus
from activities.models import ActivityPointer, Email
from mailboxes.models import Organization

CODE = "AnswerOverdue"  # R8.20


def is_overdue(email: Email, now: datetime, most: timedelta) -> bool:
    """Of what a person sent nothing is: only the person knows how late is too late."""
    if not email.is_workflow_created or email.submitted_at is None:
        return False
    return now - email.submitted_at > most


def in_time(
    read: Callable[[], Sequence[Any]], organization: Organization, now: datetime
) -> Sequence[Any]:
    """What `read` gives next, with row locks, once no answer of it is overdue."""
    most = timedelta(days=organization.auto_responses_within_days)
    while True:
        waiting = read()
        overdue = [email for email in waiting if is_overdue(email, now, most)]
        if not overdue:
            return waiting
        cancel(overdue, now)


def cancel(emails: Sequence[Email], now: datetime) -> None:
    """Inside the caller's transaction, which has locked their rows."""
    keys = [email.pk for email in emails]
    Email.objects.filter(pk__in=keys).update(
        status_code=EmailStatus.CANCELED, last_error_code=CODE, last_error_text=""
    )
    ActivityPointer.objects.filter(pk__in=keys).update(
        state_code=EmailStatus.CANCELED.state, modified_on=now
    )
