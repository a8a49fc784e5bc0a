"""Answers: a draft that replies to an e-mail, or passes it on."""

import json
from datetime import datetime
from email.utils import getaddresses

from django.db import transaction
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from activities.choices import ParticipationType
from activities.html import html_of
from activities.mime.message import Address
from activities.mime.reply import forward_html, forward_subject, quote_html, reply_subject
from activities.models import ActivityMimeAttachment, ActivityParty, Email
from mailboxes.models import Queue, SystemUser
from serversync.outbox.drafts import Draft, Sender, address_of, create_draft
from serversync.outbox.rights import may_send_as, sender_of
from serversync.wordings import below, signature_of

NEARLY_CUT = 490  # characters of what is kept of a header, which ends at 500


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
    body = below(signature_of(actor, sender)) + quote_html(_as_html(email), _intro(email))
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
    sender = _answering(email, actor)
    draft = Draft(
        sender=sender,
        subject=forward_subject(email.activity.subject),
        body=below(signature_of(actor, sender)) + forward_html(_as_html(email), header),
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
    entity = email.accepting_entity() if email.is_incoming else sender_of(email)
    if isinstance(entity, SystemUser | Queue) and may_send_as(actor, entity) is None:
        return entity
    return actor


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
    return _wanted(email) or _addresses(email, ParticipationType.SENDER)


def _wanted(email: Email) -> tuple[Address, ...]:
    """Whom its Reply-To names. Of a list so long that it was cut when it was stored the last may be half
    an address, so it is left out."""
    stored = email.internet_message_headers
    try:
        wanted = json.loads(stored or "{}").get("Reply-To", "")
    except ValueError:
        return ()
    named = [address for _name, address in getaddresses([wanted])]
    whole = named if len(stored) < NEARLY_CUT else named[:-1]
    found = (Address(address.strip()) for address in whole if "@" in address.strip()[1:-1])
    return tuple({address.key: address for address in found}.values())


def _as_html(email: Email) -> str:
    return email.description if email.mime_type == "text/html" else html_of(email.description)


def _intro(email: Email) -> str:
    return _("On %(when)s, %(who)s wrote:") % {
        "when": date_format(email.activity.sort_date, "DATETIME_FORMAT"),
        "who": email.sender,
    }
