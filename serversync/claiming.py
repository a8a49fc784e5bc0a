"""The claim that makes waiting e-mails a cycle's own: as many as limits allow, in whose turn it is."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from django.db import transaction
from django.db.models import F

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes.redirect import redirect_address
from serversync.cycle import Run
from serversync.leases import renew
from serversync.limits import allowed
from serversync.models import Submission
from serversync.overdue import in_time
from serversync.pacing import Allowance
from serversync.turns import due, next_of

BATCH = 50  # messages claimed at once; a lost batch is released within one cycle
BATCH_BYTES = 32 * 1024 * 1024  # a batch's messages are in memory together
CLAIM = timedelta(minutes=10)
PATIENCE = timedelta(days=1)  # of an email that has more recipients than there is room for

Claimed = tuple[Email, Submission]


def claim(run: Run) -> list[Claimed]:
    """Up to a batch, as `turns` orders them (R5.9) and `limits` allow (R5.14). What was sent is
    counted in the transaction that claims, so that no two workers take the same room."""
    now = run.clock()
    with transaction.atomic():
        renew(run.token, now)
        room = allowed(run.mailbox, now)
        if room.nothing:
            _wait(run, room.until, room, now)
            return []
        most = BATCH if room.messages is None else min(BATCH, room.messages)
        waiting = in_time(lambda: next_of(run.mailbox, now, most), run.organization, now)
        emails = within(room, _within_memory(waiting), now)
        if waiting and not emails:
            _wait(run, room.wider_at, room, now)
        return _claim(run, emails, now)


def _claim(run: Run, emails: Sequence[Any], now: datetime) -> list[Claimed]:
    if not emails:
        return []
    Email.objects.filter(pk__in=[email.pk for email in emails]).update(
        status_code=EmailStatus.SENDING, delivery_attempts=F("delivery_attempts") + 1
    )
    token = uuid4()
    for email in emails:
        email.status_code = EmailStatus.SENDING
        email.delivery_attempts += 1
    claimed = [
        (
            email,
            Submission(
                email=email,
                mailbox=run.mailbox,
                email_server_profile=run.mailbox.email_server_profile,
                attempt=email.delivery_attempts,
                claim_token=token,
                claimed_at=now,
                claim_expires_at=now + CLAIM,
                counts_at=now,
                recipient_count=email.addressed,
                redirected_to=redirect_address(),
            ),
        )
        for email in emails
    ]
    Submission.objects.bulk_create([submission for _email, submission in claimed])
    return claimed


def _wait(run: Run, until: datetime | None, room: Allowance, now: datetime) -> None:
    """Mail is left, and the next run is when more may leave."""
    if Email.objects.filter(due(now), sender_mailbox=run.mailbox).exists():
        run.result.waits_until = until
        run.result.waits_because = room.because


def within(room: Allowance, emails: Sequence[Any], now: datetime) -> list[Any]:
    """As many as have room for their recipients. What has not lets the mail of others pass, so that nobody's
    single email waits for another one's mailing; after a day nothing passes it, or it would never come."""
    if room.recipients is None:
        return list(emails)
    taken: list[Any] = []
    held = set()
    number = 0
    for email in emails:
        if email.submitted_by_id in held:
            continue
        whole = number + email.addressed
        if whole <= room.recipients or (not taken and _fits(room, whole)):
            taken.append(email)
            number = whole
        elif _is_overdue(email, now):
            break
        else:
            held.add(email.submitted_by_id)
    return taken


def _is_overdue(email: Any, now: datetime) -> bool:
    return email.submitted_at is None or now - email.submitted_at >= PATIENCE


def _fits(room: Allowance, recipients: int) -> bool:
    return room.largest is None or recipients <= room.largest


def _within_memory(emails: Sequence[Any]) -> list[Any]:
    """As many as may be composed together; one at least."""
    taken: list[Any] = []
    size = 0
    for email in emails:
        size += email.attached
        if taken and size > BATCH_BYTES:
            break
        taken.append(email)
    return taken
