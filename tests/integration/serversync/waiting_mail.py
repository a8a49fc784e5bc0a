"""Mail in the send queue, as many as wanted, in a few statements."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import connection
from django.db.models import Model

from activities.choices import (
    ActivityState,
    ActivityType,
    Direction,
    EmailStatus,
    ParticipationType,
    Priority,
)
from activities.identity import message_key
from activities.models import ActivityParty, ActivityPointer, Email
from mailboxes.models import Mailbox, SystemUser, uuid7


def queued(
    mailbox: Mailbox,
    submitter: SystemUser,
    number: int,
    at: datetime,
    *,
    to: Sequence[str] | None = ("cleo@customer.example",),
    priority: Priority = Priority.NORMAL,
) -> list[Email]:
    """So many e-mails, submitted a second apart from `at` on; None: they have no parties at all."""
    times = [at + timedelta(seconds=second) for second in range(number)]
    pointers = [
        ActivityPointer(
            pk=uuid7(),
            activity_type_code=ActivityType.EMAIL,
            subject="Offer",
            owning_user=submitter,
            state_code=ActivityState.COMPLETED,
            sort_date=time,
        )
        for time in times
    ]
    emails = [
        Email(
            activity=pointer,
            direction_code=Direction.OUTGOING,
            status_code=EmailStatus.PENDING_SEND,
            description="<p>As discussed.</p>",
            message_id=f"{pointer.pk.hex}@example.com",
            message_id_dup_check=message_key(f"{pointer.pk.hex}@example.com", "", "", "", 0),
            sender=mailbox.email_address,
            sender_mailbox=mailbox,
            submitted_by=submitter,
            submitted_at=time,
            delivery_priority_code=priority,
        )
        for pointer, time in zip(pointers, times, strict=True)
    ]
    parties = [
        ActivityParty(
            activity=pointer,
            participation_type_mask=role,
            position=position,
            address_used=address,
        )
        for pointer in pointers
        if to is not None
        for role, addresses in (
            (ParticipationType.SENDER, [mailbox.email_address]),
            (ParticipationType.TO, to),
        )
        for position, address in enumerate(addresses)
    ]
    ActivityPointer.objects.bulk_create(pointers)
    Email.objects.bulk_create(emails)
    ActivityParty.objects.bulk_create(parties)
    return emails


def multiplied(email: Email, number: int) -> None:
    """So many more like this one, without its parties: two statements."""
    key = "gen_random_uuid()" if connection.vendor == "postgresql" else "lower(hex(randomblob(16)))"
    pointer = _columns(ActivityPointer, "id", "subject")
    columns = _columns(Email, "activity_id", "message_id_dup_check")
    same = ", ".join(f"e.{column}" for column in columns.split(", "))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO activities_activitypointer (id, subject, {pointer}) "
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < %s) "
            f"SELECT {key}, 'Copy', {pointer} FROM activities_activitypointer, n WHERE id = %s",
            [number, _stored(email)],
        )
        cursor.execute(
            f"INSERT INTO activities_email (activity_id, {columns}) "
            f"SELECT p.id, {same} FROM activities_email e, activities_activitypointer p "
            "WHERE e.activity_id = %s AND p.subject = 'Copy'",
            [_stored(email)],
        )


def _columns(model: type[Model], *without: str) -> str:
    names = (field.column for field in model._meta.concrete_fields)
    return ", ".join(f'"{name}"' for name in names if name not in without)


def _stored(email: Email) -> object:
    return Email._meta.pk.get_db_prep_value(email.pk, connection)
