"""Write whole pages of e-mail activities: a fixed number of statements, and nobody's twice.

Ten colleagues get one mail at once, so a collision is not a failure. E-mails are inserted in the
order of their key with conflicts ignored, then read back; whose primary key stands has won, and the
dependent rows are written for winners only. Call inside a transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import router
from django.db.models import Q

from activities.blobs import Staged
from activities.blobs import save as save_bytes
from activities.choices import (
    ActivityType,
    AttendeeResponse,
    EmailStatus,
    HashType,
    ParticipationType,
)
from activities.mime.message import Attachment
from activities.models import (
    ActivityMimeAttachment,
    ActivityParty,
    ActivityPointer,
    Email,
    EmailHash,
    QueueItem,
)
from mailboxes.choices import StateCode


@dataclass(frozen=True, slots=True, kw_only=True)
class NewParty:
    """One participant. `type_id` and `record_id` are None and "" for an unresolved address."""

    role: ParticipationType
    position: int
    address: str
    name: str = ""
    type_id: int | None = None
    record_id: str = ""
    column: int | None = None
    do_not_email: bool = False
    response: str = AttendeeResponse.NONE
    responded_on: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAttachment:
    """One file; `sha256` names contents that were staged."""

    sha256: str
    file_name: str
    mime_type: str
    content_id: str = ""
    inline: bool = False
    size: int = 0


def new_attachment(file: Attachment, staged: Staged) -> NewAttachment:
    """A file of a message, whose bytes are added to `staged`."""
    return NewAttachment(
        sha256=staged.add(file.content),
        file_name=file.filename,
        mime_type=file.content_type,
        content_id=file.content_id,
        inline=file.inline,
        size=len(file.content),
    )


@dataclass(slots=True, kw_only=True)
class NewEmail:
    """One e-mail to write. `fields` are columns of Email, `pointer` columns of its pointer.

    `fields["message_id_dup_check"]` with the direction decides who wins a collision. `closed_queue_ids`:
    queues that it was in, and has left. `follows`: it is written only if that one wins: its answer.
    """

    id: UUID
    subject: str
    owning_user_id: UUID | None
    owning_team_id: UUID | None
    sort_date: datetime
    fields: dict[str, Any]
    regarding_type_id: int | None = None
    regarding_id: str = ""
    parties: tuple[NewParty, ...] = ()
    attachments: tuple[NewAttachment, ...] = ()
    mime_sha256: str = ""
    queue_ids: tuple[UUID, ...] = ()
    closed_queue_ids: tuple[UUID, ...] = ()
    follows: UUID | None = None
    hashes: tuple[tuple[HashType, int], ...] = ()

    @property
    def identity(self) -> tuple[UUID | None, int]:
        return (self.fields.get("message_id_dup_check"), self.fields["direction_code"])


@dataclass(frozen=True, slots=True)
class Standing:
    """An e-mail that was there first: enough to tell whether it is the same message."""

    id: UUID
    sender: str
    sent_on: datetime | None


@dataclass(slots=True)
class Written:
    """Who won, and for each loser who stands in its place."""

    won: set[UUID] = field(default_factory=set)
    standing: dict[UUID, Standing] = field(default_factory=dict)


def write_emails(rows: Sequence[NewEmail], staged: Staged, now: datetime) -> Written:
    """Insert e-mails with all that hangs on them. Nine statements at most, plus batching."""
    written = Written()
    if not rows:
        return written
    ordered = sorted(rows, key=lambda row: (str(row.identity[0] or ""), row.id))
    wanted = {row.mime_sha256 for row in rows if row.mime_sha256}
    wanted |= {file.sha256 for row in rows for file in row.attachments}
    bytes_ids = save_bytes(staged, only=wanted)

    Email.objects.bulk_create(
        [
            Email(
                activity_id=row.id,
                mime_id=bytes_ids.get(row.mime_sha256),
                attachment_count=len(row.attachments),
                **row.fields,
            )
            for row in ordered
        ],
        ignore_conflicts=True,
    )
    keys = {row.identity[0] for row in rows if row.identity[0]}
    ids = {row.id for row in rows if not row.identity[0]}
    back = Email.objects.filter(Q(message_id_dup_check__in=keys) | Q(pk__in=ids)).values_list(
        "pk", "message_id_dup_check", "direction_code", "sender", "sent_on"
    )
    stands = {}
    for pk, key, direction, sender, sent_on in back:
        stands[(key, direction) if key else (pk, direction)] = Standing(pk, sender, sent_on)
    for row in rows:
        key, direction = row.identity
        stand = stands.get((key, direction) if key else (row.id, direction))
        if stand is not None and stand.id == row.id:
            written.won.add(row.id)
        elif stand is not None:
            written.standing[row.id] = stand
    _drop_followers(rows, written)
    _write_dependents([row for row in ordered if row.id in written.won], bytes_ids, now)
    return written


def _drop_followers(rows: Sequence[NewEmail], written: Written) -> None:
    """What follows an e-mail that lost goes with it; nothing refers to it yet."""
    left = {row.id for row in rows if row.follows is not None and row.follows not in written.won}
    if left & written.won:
        Email.objects.filter(pk__in=left)._raw_delete(using=router.db_for_write(Email))
        written.won -= left


def _write_dependents(
    winners: Sequence[NewEmail], bytes_ids: dict[str, UUID], now: datetime
) -> None:
    ActivityPointer.objects.bulk_create(
        [
            ActivityPointer(
                id=row.id,
                activity_type_code=ActivityType.EMAIL,
                subject=row.subject[:800],
                regarding_type_id=row.regarding_type_id,
                regarding_id=row.regarding_id,
                owning_user_id=row.owning_user_id,
                owning_team_id=row.owning_team_id,
                state_code=EmailStatus(row.fields["status_code"]).state,
                sort_date=row.sort_date,
                created_on=now,
            )
            for row in winners
        ]
    )
    ActivityParty.objects.bulk_create(
        [party_row(row.id, party) for row in winners for party in row.parties]
    )
    ActivityMimeAttachment.objects.bulk_create(
        [
            ActivityMimeAttachment(
                activity_id=row.id,
                attachment_id=bytes_ids[file.sha256],
                attachment_number=number,
                file_name=file.file_name[:255],
                mime_type=file.mime_type[:256],
                attachment_content_id=file.content_id[:250],
                file_size=file.size,
                is_inline=file.inline,
            )
            for row in winners
            for number, file in enumerate(row.attachments, start=1)
        ]
    )
    write_hashes((row.id, row.sort_date, row.hashes) for row in winners)
    add_queue_items(
        (
            (queue_id, row.id, row.fields.get("sender", ""), row.fields.get("to_recipients", ""))
            for row in winners
            for queue_id in row.queue_ids
        ),
        now,
        closed=(
            (queue_id, row.id, row.fields.get("sender", ""), row.fields.get("to_recipients", ""))
            for row in winners
            for queue_id in row.closed_queue_ids
        ),
    )


def write_hashes(
    emails: Iterable[tuple[UUID, datetime, Iterable[tuple[HashType, int]]]],
) -> None:
    """(email, its date, its hashes) -> rows (R4.18)."""
    EmailHash.objects.bulk_create(
        [
            EmailHash(activity_id=email_id, hash_type=kind, hash=value, sort_date=date)
            for email_id, date, hashes in emails
            for kind, value in hashes
        ]
    )


def party_row(activity_id: UUID, party: NewParty) -> ActivityParty:
    return ActivityParty(
        activity_id=activity_id,
        participation_type_mask=party.role,
        position=party.position,
        address_used=party.address[:320],
        unresolved_party_name=party.name[:200],
        party_type_id=party.type_id,
        party_id=party.record_id,
        address_used_email_column_number=party.column,
        do_not_email=party.do_not_email,
        response=party.response,
        responded_on=party.responded_on,
    )


QueueRow = tuple[UUID, UUID, str, str]


def add_queue_items(
    rows: Iterable[QueueRow], now: datetime, closed: Iterable[QueueRow] = ()
) -> None:
    """(queue, activity, from, to) -> open queue items; where one is open already, nothing (R3.56).
    `closed`: what was in the queue and is done there: its members go on seeing it."""
    states = ((rows, StateCode.ACTIVE), (closed, StateCode.INACTIVE))
    QueueItem.objects.bulk_create(
        [
            QueueItem(
                queue_id=queue_id,
                object_id=activity_id,
                sender=sender[:250],
                to_recipients=to[:500],
                entered_on=now,
                state_code=state,
            )
            for some, state in states
            for queue_id, activity_id, sender, to in some
        ],
        ignore_conflicts=True,
    )
