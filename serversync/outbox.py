"""Writing mail in the site: drafts, replies, forwards, and handing them to the send queue.

Joins the rooms: records resolve as tracking resolves them, rows are written as activities writes
them, and a submitted e-mail wakes the engine in the same transaction.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from activities import blobs
from activities.choices import (
    RECIPIENTS,
    ActivityState,
    Direction,
    EmailStatus,
    ParticipationType,
    Priority,
)
from activities.html import html_of
from activities.identity import message_key
from activities.mime.message import Address
from activities.mime.reply import (
    forward_html,
    forward_subject,
    message_id_for,
    quote_html,
    reply_references,
    reply_subject,
)
from activities.models import ActivityMimeAttachment, ActivityParty, ActivityPointer, Email
from activities.store import NewAttachment, NewEmail, NewParty, party_row, write_emails
from mailboxes.access import visible_to
from mailboxes.choices import Operation
from mailboxes.eligibility import eligible, facts_of
from mailboxes.models import Organization, Queue, SystemUser, uuid7
from serversync.choices import SubmissionState
from serversync.engine import wake
from serversync.models import Submission
from serversync.wordings import below, signature_of
from tracking.addresses import look_up
from tracking.correlate import switches_of
from tracking.earlier import hash_sent
from tracking.numbers import token_for
from tracking.resolution import AddressBook
from tracking.tokens import with_token

Sender = SystemUser | Queue


class Refused(Exception):
    """What was asked for is not allowed or not complete; `reasons` say why and what to do."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = list(reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a person writes. `body` is HTML if `is_html`, else plain text."""

    sender: Sender
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    subject: str = ""
    body: str = ""
    is_html: bool = True
    regarding: Any = None
    importance: Priority = Priority.NORMAL
    delivery_priority: Priority = Priority.NORMAL
    read_receipt: bool = False
    delivery_receipt: bool = False
    send_later: datetime | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """`warnings`: why it will wait, if it will (R5.7)."""

    email: Email
    warnings: list[str] = field(default_factory=list)


# -- drafts --------------------------------------------------------------------------------------


def create_draft(
    draft: Draft,
    *,
    actor: SystemUser,
    now: datetime,
    parent: Email | None = None,
    answers: bool = False,
    attachments: Sequence[NewAttachment] = (),
    staged: blobs.Staged | None = None,
) -> Email:
    """A new draft owned by `actor`. `parent`: the e-mail replied to or forwarded; `answers` tells
    which: only a reply goes on in its thread."""
    staged = staged or blobs.Staged()
    email_id = uuid7()
    fields: dict[str, Any] = {
        "direction_code": Direction.OUTGOING,
        "status_code": EmailStatus.DRAFT,
        "parent_activity_id": parent.pk if parent else None,
        "in_reply_to": parent.message_id if parent and answers else "",
        "references": (
            list(reply_references(parent.message_id, parent.references))
            if parent and answers and parent.message_id
            else []
        ),
        "conversation_tracking_id": (
            (parent.conversation_tracking_id or parent.pk) if parent and answers else email_id
        ),
        **_columns(draft),
    }
    regarding = draft.regarding
    row = NewEmail(
        id=email_id,
        subject=draft.subject,
        owning_user_id=actor.pk,
        owning_team_id=None,
        sort_date=now,
        fields=fields,
        regarding_type_id=(
            ContentType.objects.get_for_model(regarding).pk if regarding is not None else None
        ),
        regarding_id=str(regarding.pk) if regarding is not None else "",
        parties=tuple(_parties(draft)),
        attachments=tuple(attachments),
    )
    blobs.stage(staged)
    with transaction.atomic():
        written = write_emails([row], staged, now)
        assert row.id in written.won  # drafts have no key to collide on
    return Email.objects.select_related("activity").get(pk=email_id)


def update_draft(email: Email, draft: Draft, *, now: datetime) -> Email:
    """Replace what a person wrote. Raises Refused if the e-mail is locked (R5.1)."""
    _check_editable(email)
    regarding = draft.regarding
    with transaction.atomic():
        locked = Email.objects.select_for_update().get(pk=email.pk)
        _check_editable(locked)
        columns = _columns(draft)
        Email.objects.filter(pk=email.pk).update(**columns)
        ActivityPointer.objects.filter(pk=email.pk).update(
            subject=draft.subject[:800],
            sort_date=now,
            modified_on=now,
            regarding_type_id=(
                ContentType.objects.get_for_model(regarding).pk if regarding is not None else None
            ),
            regarding_id=str(regarding.pk) if regarding is not None else "",
        )
        ActivityParty.objects.filter(activity_id=email.pk).delete()
        ActivityParty.objects.bulk_create([party_row(email.pk, p) for p in _parties(draft)])
    return Email.objects.select_related("activity").get(pk=email.pk)


def attach(
    email: Email, *, file_name: str, content: bytes, mime_type: str, organization: Organization
) -> ActivityMimeAttachment:
    """Add a file to a draft. Raises Refused over the organization's limit (R5.20)."""
    _check_editable(email)
    if len(content) > organization.max_upload_file_size_kb * 1024:
        raise Refused(
            [
                _(
                    "“%(name)s” is larger than the %(limit)s KB that the organization allows. "
                    "Send a smaller file, or raise the limit. (R5.20, R3.51)"
                )
                % {"name": file_name, "limit": organization.max_upload_file_size_kb}
            ]
        )
    staged = blobs.Staged()
    key = staged.add(content)
    blobs.stage(staged)
    with transaction.atomic():
        rows = ActivityMimeAttachment.objects.filter(activity_id=email.pk)
        row = ActivityMimeAttachment.objects.create(
            activity_id=email.pk,
            attachment_id=blobs.save(staged)[key],
            attachment_number=rows.count() + 1,
            file_name=file_name[:255],
            mime_type=mime_type[:256],
            file_size=len(content),
        )
        Email.objects.filter(pk=email.pk).update(attachment_count=rows.count())
    return row


def detach(attachment: ActivityMimeAttachment) -> None:
    """Take a file off a draft. The bytes go with the sweep."""
    email = attachment.activity.email
    _check_editable(email)
    with transaction.atomic():
        attachment.delete()
        count = ActivityMimeAttachment.objects.filter(activity_id=email.pk).count()
        Email.objects.filter(pk=email.pk).update(attachment_count=count)


def _check_editable(email: Email) -> None:
    if not email.status.is_editable:
        raise Refused(
            [
                _("This email is %(status)s and can't be changed any more. (R5.1)")
                % {"status": email.status.label}
            ]
        )


def _columns(draft: Draft) -> dict[str, Any]:
    sender = address_of(draft.sender)
    return {
        "description": draft.body,
        "mime_type": "text/html" if draft.is_html else "text/plain",
        "sender": sender[:250],
        "to_recipients": "; ".join(address.address for address in draft.to)[:500],
        "priority_code": draft.importance,
        "delivery_priority_code": draft.delivery_priority,
        "read_receipt_requested": draft.read_receipt,
        "delivery_receipt_requested": draft.delivery_receipt,
        "delayed_email_send_time": draft.send_later,
        "sender_mailbox_id": _mailbox_id(draft.sender),
    }


def address_of(sender: Sender) -> str:
    return sender.email_address if isinstance(sender, Queue) else sender.internal_email_address


def _mailbox_id(sender: Sender) -> UUID | None:
    """The mailbox of the From party, not of whoever presses send (R5.23)."""
    mailbox = getattr(sender, "default_mailbox", None)
    return mailbox.pk if mailbox else None


def _parties(draft: Draft) -> Iterable[NewParty]:
    lists = (
        (ParticipationType.TO, draft.to),
        (ParticipationType.CC, draft.cc),
        (ParticipationType.BCC, draft.bcc),
    )
    book = look_up({a.key for _role, addresses in lists for a in addresses if a.key})
    kind = ContentType.objects.get_for_model(type(draft.sender)).pk
    yield NewParty(
        role=ParticipationType.SENDER,
        position=0,
        address=address_of(draft.sender),
        name=str(draft.sender),
        type_id=kind,
        record_id=str(draft.sender.pk),
    )
    for role, addresses in lists:
        for position, address in enumerate(addresses):
            yield _party(role, position, address, book)


def _party(role: ParticipationType, position: int, address: Address, book: AddressBook) -> NewParty:
    """One row per recipient: mail is sent to an address once, whoever stands behind it."""
    matches = sorted(book.at(address.address), key=lambda match: match.rank)
    matches = [match for match in matches if not match.is_ignored]
    if not matches:
        return NewParty(role=role, position=position, address=address.address, name=address.name)
    match = matches[0]
    return NewParty(
        role=role,
        position=position,
        address=address.address,
        name=address.name or match.name,
        type_id=ContentType.objects.get_for_model(apps.get_model(match.kind)).pk,
        record_id=match.id,
        column=match.column,
        do_not_email=match.do_not_email,
    )


# -- answers -------------------------------------------------------------------------------------


def reply(email: Email, *, actor: SystemUser, now: datetime, everyone: bool = False) -> Email:
    """A draft that answers the sender, or everyone."""
    sender = _answering(email, actor)
    own = {address_of(sender).lower()}
    to = _reply_to(email)
    cc: tuple[Address, ...] = ()
    if everyone:
        others = [
            *_addresses(email, ParticipationType.TO),
            *_addresses(email, ParticipationType.CC),
        ]
        taken = own | {address.key for address in to}
        cc = tuple({a.key: a for a in others if a.key not in taken}.values())
    body = below(signature_of(actor)) + quote_html(_as_html(email), _intro(email))
    draft = Draft(
        sender=sender,
        to=to,
        cc=cc,
        subject=reply_subject(email.activity.subject),
        body=body,
        regarding=email.activity.regarding_object,
    )
    return create_draft(draft, actor=actor, now=now, parent=email, answers=True)


def forward(email: Email, *, actor: SystemUser, now: datetime) -> Email:
    """A draft with the body and the files of `email`, to nobody yet."""
    header = [
        (_("From"), email.sender),
        (_("Sent"), date_format(email.activity.sort_date, "DATETIME_FORMAT")),
        (_("To"), email.to_recipients),
        (_("Subject"), email.activity.subject),
    ]
    draft = Draft(
        sender=_answering(email, actor),
        subject=forward_subject(email.activity.subject),
        body=below(signature_of(actor)) + forward_html(_as_html(email), header),
        regarding=email.activity.regarding_object,
    )
    created = create_draft(draft, actor=actor, now=now, parent=email)
    files = list(ActivityMimeAttachment.objects.filter(activity_id=email.pk))
    with transaction.atomic():
        ActivityMimeAttachment.objects.bulk_create(
            [
                ActivityMimeAttachment(
                    activity_id=created.pk,
                    attachment_id=file.attachment_id,
                    attachment_number=file.attachment_number,
                    file_name=file.file_name,
                    mime_type=file.mime_type,
                    attachment_content_id=file.attachment_content_id,
                    file_size=file.file_size,
                    is_inline=file.is_inline,
                )
                for file in files
            ]
        )
        Email.objects.filter(pk=created.pk).update(attachment_count=len(files))
    created.attachment_count = len(files)
    return created


def _answering(email: Email, actor: SystemUser) -> Sender:
    """Who answers: the queue or user that accepted the message if the actor may, else the actor."""
    entity = email.accepting_entity() if email.is_incoming else _sender_party(email)
    if isinstance(entity, SystemUser | Queue) and may_send_as(actor, entity) is None:
        return entity
    return actor


def _sender_party(email: Email) -> Any:
    party = ActivityParty.objects.filter(
        activity_id=email.pk, participation_type_mask=ParticipationType.SENDER
    ).first()
    if party is None or party.party_type is None:
        return None
    model = party.party_type.model_class()
    return model._default_manager.filter(pk=party.party_id).first() if model else None


def _addresses(email: Email, role: ParticipationType) -> tuple[Address, ...]:
    rows = ActivityParty.objects.filter(activity_id=email.pk, participation_type_mask=role)
    found: dict[str, Address] = {}
    for row in rows:
        address = Address(row.address_used, row.unresolved_party_name)
        if address.key:
            found.setdefault(address.key, address)
    return tuple(found.values())


def _reply_to(email: Email) -> tuple[Address, ...]:
    if not email.is_incoming:
        return _addresses(email, ParticipationType.TO)
    try:
        wanted = json.loads(email.internet_message_headers or "{}").get("Reply-To", "")
    except ValueError:
        wanted = ""
    address = wanted.strip()
    if "<" in address:
        address = address.rpartition("<")[2].partition(">")[0]
    if "@" in address and "," not in address:
        return (Address(address),)
    return _addresses(email, ParticipationType.SENDER)


def _as_html(email: Email) -> str:
    return email.description if email.mime_type == "text/html" else html_of(email.description)


def _intro(email: Email) -> str:
    return _("On %(when)s, %(who)s wrote:") % {
        "when": date_format(email.activity.sort_date, "DATETIME_FORMAT"),
        "who": email.sender,
    }


# -- sending -------------------------------------------------------------------------------------


def may_send_as(actor: SystemUser, sender: Sender) -> str | None:
    """Why `actor` may not send as `sender`, or None (R5.24, R5.25)."""
    if isinstance(sender, Queue):
        if visible_to(actor, Queue.objects.filter(pk=sender.pk)).exists():
            return None
        return _("You may not read the queue %(queue)s, so you can't send as it. (R5.25)") % {
            "queue": sender
        }
    if sender.pk == actor.pk:
        return None
    if not actor.has_perm("mailboxes.send_as_another_user"):
        return _(
            "You lack the permission “send email as another user”, which sending as %(user)s needs. "
            "Ask an administrator for it, or change From. (R5.24)"
        ) % {"user": sender}
    if not sender.settings.is_send_as_allowed:
        return _(
            "%(user)s has not ticked “allow others to send on my behalf”. Ask for it, or change "
            "From. (R5.24)"
        ) % {"user": sender}
    return None


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
        _check_editable(email)
        sender = _sender_party(email)
        reasons = _missing(email, sender, actor, organization)
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
    return Submitted(email, _waits(mailbox, organization, now))


def _token(email: Email, sender: Sender, actor: SystemUser, organization: Organization) -> str:
    """A queue has no number of its own: its mail counts for whoever sends it."""
    if not organization.use_tracking_tokens:
        return ""
    user = sender if isinstance(sender, SystemUser) else actor
    return token_for(email, user, organization)


def _missing(email: Email, sender: Any, actor: SystemUser, organization: Organization) -> list[str]:
    reasons: list[str] = []
    if not isinstance(sender, SystemUser | Queue):
        reasons.append(_("The sender must be a user or a queue. Choose one as From. (R5.3)"))
    elif refusal := may_send_as(actor, sender):
        reasons.append(refusal)
    elif getattr(sender, "default_mailbox", None) is None or not address_of(sender):
        reasons.append(
            _("%(sender)s has no address to send from. Enter one first. (R5.3)")
            % {"sender": sender}
        )
    recipients = list(
        ActivityParty.objects.filter(
            activity_id=email.pk, participation_type_mask__in=RECIPIENTS
        ).exclude(address_used="")
    )
    if not recipients:
        reasons.append(_("No recipient has an address. Add at least one. (R5.3)"))
    if not organization.allow_unresolved_parties_on_email_send:
        unresolved = [row.address_used for row in recipients if not row.is_resolved]
        if unresolved:
            reasons.append(
                _(
                    "No record has these addresses: %(addresses)s. Create contacts for them, or let "
                    "an administrator allow unresolved recipients. (R5.4)"
                )
                % {"addresses": ", ".join(unresolved)}
            )
    unwanted = [row.address_used for row in recipients if row.do_not_email]
    if unwanted:
        reasons.append(
            _("These recipients do not want email: %(addresses)s. Remove them. (R5.5)")
            % {"addresses": ", ".join(unwanted)}
        )
    return reasons


def _waits(mailbox: Any, organization: Organization, now: datetime) -> list[str]:
    """Why the mail will wait (R5.7); strict parity says nothing."""
    if not organization.effective("warn_of_waiting_email"):
        return []
    verdict = eligible(facts_of(mailbox, mailbox.workload(Operation.OUTGOING), organization), now)
    if verdict.ok:
        return []
    return [_("It waits in the queue: %(because)s (R5.7)") % {"because": verdict.because}]


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


def decide_unknown(submission: Submission, *, left: bool, actor: SystemUser, now: datetime) -> None:
    """A person says what became of a message of which nobody knows whether it left (R5.17)."""
    with transaction.atomic():
        changed = Submission.objects.filter(
            pk=submission.pk, state=SubmissionState.UNKNOWN, settled=False
        ).update(
            state=SubmissionState.ACCEPTED if left else SubmissionState.RELEASED,
            finished_at=now,
            server_reply=_("Decided by %(who)s.") % {"who": actor},
        )
        if changed:
            wake([submission.mailbox_id], Operation.OUTGOING, now=now)
