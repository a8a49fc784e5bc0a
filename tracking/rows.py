"""An accepted message as the rows of its e-mail activity (R3.46-R3.50)."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.models import ContentType

from activities import blobs
from activities.choices import Direction, EmailStatus, Notifications, ParticipationType
from activities.html import truncate_html
from activities.mime.message import Address, ParsedMessage
from activities.store import NewEmail, NewParty, new_attachment
from tracking import trace
from tracking.choices import ResolvedBecause
from tracking.conversation_index import base_hash
from tracking.correlate import participants_of
from tracking.decide import Accepted
from tracking.matching import MatchRules, hash_rows
from tracking.reading import Reading, Unit
from tracking.resolution import ACCOUNT, Match, RecipientResolution, Resolution, stored_recipients

BODY_LIMIT = 1024 * 1024  # R3.47


def new_email(
    reading: Reading,
    unit: Unit,
    accepted: Accepted,
    decision: trace.Decision,
    rules: MatchRules,
    staged: blobs.Staged,
) -> NewEmail:
    """Its rows; the bytes that they refer to are added to `staged`."""
    message = unit.message
    incoming = accepted.direction == Direction.INCOMING
    body, mime_type = (message.html, "text/html") if message.html else (message.text, "text/plain")
    body, truncated = truncate_html(body, BODY_LIMIT)
    fields = {
        "direction_code": accepted.direction,
        "status_code": EmailStatus.RECEIVED if incoming else EmailStatus.SENT,
        "description": body,
        "mime_type": mime_type,
        "receiving_mailbox_id": reading.mailbox.pk if incoming else None,
        "sender_mailbox_id": None if incoming else reading.mailbox.pk,
        "received_on": accepted.arrived if incoming else None,
        "actual_end": accepted.arrived,
        "notifications": _notifications(truncated, accepted),
        "dropped_attachments": [_left_out(file) for file in accepted.dropped],
        "decision": trace.to_data(decision),
        **_said(message, accepted),
        **found(accepted),
        **known(accepted),
    }
    return NewEmail(
        id=accepted.id,
        subject=message.subject,
        owning_user_id=accepted.owner.owner.user_id,
        owning_team_id=accepted.owner.owner.team_id,
        sort_date=accepted.arrived,
        fields=fields,
        regarding_type_id=accepted.regarding_type_id,
        regarding_id=accepted.regarding_id,
        parties=tuple(parties_of(message, accepted.sender, accepted.recipients, incoming)),
        attachments=tuple(new_attachment(file, staged) for file in accepted.files),
        mime_sha256=staged.add(unit.raw),
        queue_ids=accepted.queue_ids,
        closed_queue_ids=accepted.closed_queue_ids,
        hashes=hash_rows(message.subject, participants_of(message), rules),
    )


def _notifications(truncated: bool, accepted: Accepted) -> Notifications:
    if truncated:
        return Notifications.TRUNCATED_BODY
    return Notifications.ATTACHMENTS_DROPPED if accepted.dropped else Notifications.NONE


def _said(message: ParsedMessage, accepted: Accepted) -> dict[str, Any]:
    """Columns with what the message says of itself."""
    return {
        "sender": accepted.sender.address[:250],
        "to_recipients": "; ".join(address.address for address in message.to)[:500],
        "message_id": message.message_id[:320],
        "message_id_dup_check": accepted.key,
        "is_message_id_reused": accepted.reused,
        "kind": message.kind.value,
        "in_reply_to": message.in_reply_to[:320],
        "references": [reference[:320] for reference in message.references[-50:]],
        "internet_message_headers": message.headers_json[:500],
        "conversation_index": message.thread_index[:2048],
        "base_conversation_index_hash": base_hash(message.thread_index),
        "priority_code": message.importance,
        "sent_on": message.date,
        "defects": [{"code": d.code, "detail": d.detail[:300]} for d in message.defects[:50]],
    }


def found(accepted: Accepted) -> dict[str, Any]:
    """Columns with what it answers."""
    correlation = accepted.correlation
    return {
        "tracking_token": accepted.tracking_token,
        "correlation_method": correlation.method,
        "correlated_activity_id": correlation.email_id,
        "correlated_subject_changed": correlation.subject_changed,
        "parent_activity_id": correlation.parent_id,
        "conversation_tracking_id": accepted.conversation,
        "about_id": accepted.about.email.id if accepted.about and accepted.about.email else None,
    }


def known(accepted: Accepted) -> dict[str, Any]:
    """Columns with who accepted it, and who wrote it."""
    entity, match = accepted.acceptance.entity, accepted.sender.match
    is_account = match is not None and match.kind == ACCOUNT
    return {
        "accepting_entity_type_id": content_type_id(entity.kind.value) if entity else None,
        "accepting_entity_id": entity.id if entity else "",
        "email_sender_type_id": content_type_id(match.kind) if match else None,
        "email_sender_id": match.id if match else "",
        "senders_account_id": match.id if match and is_account else None,
        "is_duplicate_sender_unresolved": accepted.sender.because == ResolvedBecause.LEFT_OPEN,
    }


def _left_out(file: trace.DroppedAttachment) -> dict[str, str | int]:
    """R3.51. `type`: what the file really is, where that was the reason (R3.52)."""
    told: dict[str, str | int] = {"name": file.name, "size": file.size, "reason": file.reason}
    return told | ({"type": file.true_type} if file.true_type else {})


def content_type_id(kind: str) -> int:
    return ContentType.objects.get_for_model(apps.get_model(kind)).pk


def parties_of(
    message: ParsedMessage,
    sender: Resolution,
    recipients: Sequence[RecipientResolution],
    incoming: bool,
) -> Iterable[NewParty]:
    """One row per record behind an address, or one unresolved row (R3.36-R3.38)."""
    author = message.sender or Address("")
    yield _party(ParticipationType.SENDER, 0, author.address, author.name, sender.match)
    for recipient in stored_recipients(recipients, incoming=incoming):
        for match in recipient.matches or (None,):
            yield _party(
                recipient.role, recipient.position, recipient.address, recipient.name, match
            )


def _party(
    role: ParticipationType, position: int, address: str, name: str, match: Match | None
) -> NewParty:
    if match is None:
        return NewParty(role=role, position=position, address=address, name=name)
    return NewParty(
        role=role,
        position=position,
        address=address,
        name=name or match.name,
        type_id=content_type_id(match.kind),
        record_id=match.id,
        column=match.column,
        do_not_email=match.do_not_email,
    )
