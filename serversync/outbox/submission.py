"""Sending: a draft goes into the send queue, and is taken back while it waits there."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import transaction

from activities.choices import ActivityState, EmailStatus
from activities.identity import message_key
from activities.mime.reply import message_id_for
from activities.models import ActivityPointer, Email
from mailboxes.choices import Operation
from mailboxes.models import Mailbox, Organization, SystemUser
from serversync.choices import SubmissionState
from serversync.outbox.drafts import Refused, Sender, check_editable
from serversync.outbox.missing import missing
from serversync.outbox.recipients import looked_up_again, recipients_of, store, unwilling
from serversync.outbox.rights import sender_of
from serversync.outbox.route import mailbox_for
from serversync.outbox.sizes import warnings_of_size
from serversync.outbox.waiting import held_up
from serversync.waking import wake, wake_later
from tracking.correlate import switches_of
from tracking.earlier import hash_sent
from tracking.numbers import token_for
from tracking.tokens import with_token


@dataclass(frozen=True, slots=True)
class Submitted:
    """`warnings`: why it will wait, if it will (R5.7), and what the server may not like. `undo_until`: till
    then it does not leave, for whoever sent it may think again."""

    email: Email
    warnings: list[str] = field(default_factory=list)
    undo_until: datetime | None = None


def submit(
    email: Email,
    *,
    actor: SystemUser | None,
    now: datetime,
    despite_do_not_email: bool = False,
    undoable: bool = False,
    to_anybody: bool = False,
) -> Submitted:
    """Put a draft or failed e-mail into the send queue and wake its mailbox (R5.2, R5.8).

    `despite_do_not_email`: whoever may was asked, and confirmed it (R5.5). `undoable`: a person sends
    it, and gets the time to undo that the organization gives. `actor` None: the site itself, which may
    use any sender, and write `to_anybody` whom no record has. Raises Refused with everything that is
    missing at once (R5.3-R5.5).
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
        recipients = looked_up_again(recipients_of(email))
        reasons = missing(
            email,
            sender,
            recipients,
            actor,
            organization,
            despite_do_not_email=despite_do_not_email,
            to_anybody=to_anybody,
        )
        if reasons:
            raise Refused(reasons)
        store(recipients)
        mailbox = mailbox_for(sender, actor, organization)
        undo_until = _undo_until(organization, now) if undoable else None
        own_address = sender.default_mailbox.email_address
        domain = own_address.rpartition("@")[2]
        message_id = email.message_id or message_id_for(email.pk.hex, domain)
        token = _token(email, sender, actor, organization)
        most = organization.maximum_subject_length_on_mail_server
        subject = with_token(email.activity.subject, token, most)
        Email.objects.filter(pk=email.pk).update(
            status_code=EmailStatus.PENDING_SEND,
            sender=own_address[:250],
            sender_mailbox=mailbox,
            submitted_by=actor,
            submitted_at=now,
            despite_do_not_email=bool(unwilling(recipients)),
            message_id=message_id,
            message_id_dup_check=message_key(message_id, "", "", "", 0),
            tracking_token=token or email.tracking_token,
            delivery_attempts=0,
            postpone_email_processing_until=undo_until,
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
        _wake(mailbox, undo_until, now)
    email.refresh_from_db()
    warnings = [
        *held_up(mailbox, organization, now),
        *warnings_of_size(email, mailbox, now),
    ]
    return Submitted(email, warnings, undo_until)


def _undo_until(organization: Organization, now: datetime) -> datetime | None:
    seconds = organization.undo_send_seconds
    return now + timedelta(seconds=seconds) if seconds else None


def _wake(mailbox: Mailbox, undo_until: datetime | None, now: datetime) -> None:
    if undo_until is None:
        wake([mailbox.pk], Operation.OUTGOING, now=now)
    else:
        wake_later([mailbox.pk], Operation.OUTGOING, undo_until)


def _token(
    email: Email, sender: Sender, actor: SystemUser | None, organization: Organization
) -> str:
    """A queue has no number of its own: its mail counts for whoever sends it, else for who owns it."""
    if not organization.use_tracking_tokens:
        return ""
    user = sender if isinstance(sender, SystemUser) else actor or sender.owning_user
    return token_for(email, user, organization) if user is not None else email.tracking_token


def cancel(email: Email, *, now: datetime) -> bool:
    """Take an e-mail back while it still waits; False if it is too late, or if some have it (R5.16).

    The lock on its row decides between this and a worker that claims it: one of the two finds the
    status changed.
    """
    with transaction.atomic():
        waiting = Email.objects.filter(pk=email.pk, status_code=EmailStatus.PENDING_SEND)
        done = waiting.exclude(submissions__state=SubmissionState.PARTLY).update(
            status_code=EmailStatus.DRAFT, postpone_email_processing_until=None
        )
        if done:
            ActivityPointer.objects.filter(pk=email.pk).update(
                state_code=ActivityState.OPEN, modified_on=now
            )
    return bool(done)
