"""Sending: a draft goes into the send queue, and is taken back while it waits there."""

from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from activities.choices import ActivityState, EmailStatus
from activities.identity import message_key
from activities.mime.reply import message_id_for
from activities.models import ActivityPointer, Email
from mailboxes.choices import Operation
from mailboxes.models import Organization, SystemUser
from serversync.engine import wake
from serversync.outbox.drafts import Refused, Sender, check_editable
from serversync.outbox.missing import missing
from serversync.outbox.rights import sender_of
from serversync.outbox.waiting import waits
from tracking.correlate import switches_of
from tracking.earlier import hash_sent
from tracking.numbers import token_for
from tracking.tokens import with_token


@dataclass(frozen=True, slots=True)
class Submitted:
    """`warnings`: why it will wait, if it will (R5.7)."""

    email: Email
    warnings: list[str] = field(default_factory=list)


def submit(email: Email, *, actor: SystemUser, now: datetime) -> Submitted:
    """Put a draft or failed e-mail into the send queue and wake its mailbox (R5.2, R5.8).

    Raises Refused with everything that is missing at once (R5.3-R5.5).
    """
    organization = Organization.objects.current()
    with transaction.atomic():
        # Of two who press Send at once the second finds it locked.
        email = (
            Email.objects.select_for_update(of=("self",))
            .select_related("activity")
            .get(pk=email.pk)
        )
        check_editable(email)
        sender = sender_of(email)
        reasons = missing(email, sender, actor, organization)
        if reasons:
            raise Refused(reasons)
        mailbox = sender.default_mailbox
        domain = mailbox.email_address.rpartition("@")[2]
        message_id = email.message_id or message_id_for(email.pk.hex, domain)
        token = _token(email, sender, actor, organization)
        most = organization.maximum_subject_length_on_mail_server
        subject = with_token(email.activity.subject, token, most)
        Email.objects.filter(pk=email.pk).update(
            status_code=EmailStatus.PENDING_SEND,
            sender=mailbox.email_address[:250],
            sender_mailbox=mailbox,
            submitted_by=actor,
            submitted_at=now,
            message_id=message_id,
            message_id_dup_check=message_key(message_id, "", "", "", 0),
            tracking_token=token or email.tracking_token,
            delivery_attempts=0,
            postpone_email_processing_until=None,
            last_error_code="",
            last_error_text="",
        )
        ActivityPointer.objects.filter(pk=email.pk).update(
            subject=subject,
            state_code=ActivityState.COMPLETED,
            sort_date=now,
            modified_on=now,
        )
        hash_sent(email, subject, now, switches_of(organization).matching)
        wake([mailbox.pk], Operation.OUTGOING, now=now)
    email.refresh_from_db()
    return Submitted(email, waits(mailbox, organization, now))


def _token(email: Email, sender: Sender, actor: SystemUser, organization: Organization) -> str:
    """A queue has no number of its own: its mail counts for whoever sends it."""
    if not organization.use_tracking_tokens:
        return ""
    user = sender if isinstance(sender, SystemUser) else actor
    return token_for(email, user, organization)


def cancel(email: Email, *, now: datetime) -> bool:
    """Take an e-mail back while it still waits; False if it is too late."""
    with transaction.atomic():
        done = Email.objects.filter(pk=email.pk, status_code=EmailStatus.PENDING_SEND).update(
            status_code=EmailStatus.DRAFT
        )
        if done:
            ActivityPointer.objects.filter(pk=email.pk).update(
                state_code=ActivityState.OPEN, modified_on=now
            )
    return bool(done)
