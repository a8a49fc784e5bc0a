"""Drafts: what a person writes, as rows, until it is sent. Records resolve as tracking resolves them,
rows are written as activities writes them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from email.utils import formataddr
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, transaction
from django.utils.translation import gettext as _

from activities import blobs
from activities.choices import Direction, EmailStatus, ParticipationType, Priority
from activities.mime.message import Address
from activities.mime.reply import reply_references
from activities.models import ActivityParty, ActivityPointer, Email
from activities.store import NewAttachment, NewEmail, NewParty, party_row, write_emails
from mailboxes.models import Queue, SystemUser, uuid7
from serversync.outbox.recipients import first_match
from tracking.addresses import look_up
from tracking.resolution import AddressBook

Sender = SystemUser | Queue


class Refused(Exception):
    """What was asked for is not allowed or not complete; `reasons` say why and what to do."""

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__(" ".join(reasons))
        self.reasons = list(reasons)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What a person writes. `body` is HTML if `is_html`, else plain text. `reply_to`: who gets the
    replies, if not the sender. `category`: names separated by commas, for mail programs to sort by."""

    sender: Sender
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str = ""
    body: str = ""
    is_html: bool = True
    regarding: Any = None
    importance: Priority = Priority.NORMAL
    delivery_priority: Priority = Priority.NORMAL
    read_receipt: bool = False
    delivery_receipt: bool = False
    send_later: datetime | None = None
    category: str = ""


def create_draft(
    draft: Draft,
    *,
    actor: SystemUser | None,
    now: datetime,
    parent: Email | None = None,
    answers: bool = False,
    attachments: Sequence[NewAttachment] = (),
    staged: blobs.Staged | None = None,
    email_id: UUID | None = None,
) -> Email:
    """A new draft owned by `actor`; without one, the site itself, by the sender. `parent`: the e-mail
    replied to or forwarded; `answers` tells which: only a reply goes on in its thread. `email_id`: its
    key; IntegrityError if it has been used."""
    staged = staged or blobs.Staged()
    email_id = email_id or uuid7()
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
        owning_user_id=actor.pk if actor else _user_of(draft.sender),
        owning_team_id=None if actor else getattr(draft.sender, "owning_team_id", None),
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
        if row.id not in written.won:  # drafts have no other key to collide on
            raise IntegrityError(f"There is an email {row.id} already.")
    return Email.objects.select_related("activity").get(pk=email_id)


def _user_of(sender: Sender) -> UUID | None:
    return sender.owning_user_id if isinstance(sender, Queue) else sender.pk


def update_draft(email: Email, draft: Draft, *, now: datetime) -> Email:
    """Replace what a person wrote. Raises Refused if the e-mail is locked (R5.1)."""
    check_editable(email)
    regarding = draft.regarding
    with transaction.atomic():
        locked = Email.objects.select_for_update().get(pk=email.pk)
        check_editable(locked)
        columns = _columns(draft)
        if columns["sender"].lower() != locked.sender.lower():
            # The name that the site's code gave was for whom it let send.
            columns["extras"] = {k: v for k, v in locked.extras.items() if k != "from_name"}
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


def check_editable(email: Email) -> None:
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
        "reply_to": written(draft.reply_to)[:500],
        "category": draft.category[:250],
        "sender_mailbox_id": _mailbox_id(draft.sender),
    }


def address_of(sender: Sender) -> str:
    return sender.email_address if isinstance(sender, Queue) else sender.internal_email_address


def written(addresses: Iterable[Address]) -> str:
    """As people write them, and as `getaddresses` reads them."""
    return ", ".join(
        formataddr((each.name, each.address), charset="utf-8")
        if each.name.isascii()
        else f'"{each.name}" <{each.address}>'
        for each in addresses
    )


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
    match = first_match(address.address, book)
    if match is None:
        return NewParty(role=role, position=position, address=address.address, name=address.name)
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
