"""The stored emails that a page's messages may answer or be copies of: one statement a page.

Each way to find them goes by an index of the database and is bounded, so that a conversation of ten
thousand messages costs as much as one of twenty.
"""

from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from django.db.models import F, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from activities.choices import Direction
from activities.models import Email
from tracking.conversation_index import octets_of
from tracking.correlate import StoredEmail, Wanted, key_of

#: The newest of one conversation index; which of them was answered is seen from the index itself.
MOST_OF_CONVERSATION = 50

COLUMNS = (
    "activity__subject",
    "activity__regarding_type_id",
    "activity__regarding_id",
    "activity__owning_user_id",
    "activity__owning_team_id",
    "activity__sort_date",
    "message_id_dup_check",
    "server_message_id_dup_check",
    "direction_code",
    "sender",
    "sent_on",
    "tracking_token",
    "conversation_tracking_id",
    "conversation_index",
)


def load(keys: Collection[UUID], wanted: Wanted) -> list[Email]:
    """`keys`: of the messages themselves, for copies of them may be stored (R3.20)."""
    every_key = {*keys, *(key_of(message_id) for message_id in wanted.message_ids)}
    found = [_by_keys(every_key)]
    if wanted.index_hashes:
        found.append(_by_index(wanted.index_hashes))
    first, *more = [emails.values("pk") for emails in found]
    ids = first.union(*more) if more else first
    return list(Email.objects.filter(pk__in=ids).select_related("activity").only(*COLUMNS))


def keys_of(email: Email) -> tuple[UUID, ...]:
    keys = (email.message_id_dup_check, email.server_message_id_dup_check)
    return tuple(key for key in keys if key is not None)


def stored(email: Email) -> StoredEmail:
    pointer = email.activity
    return StoredEmail(
        id=email.pk,
        keys=keys_of(email),
        direction=Direction(email.direction_code),
        subject=pointer.subject,
        tracking_token=email.tracking_token,
        regarding_type_id=pointer.regarding_type_id,
        regarding_id=pointer.regarding_id,
        owner_user_id=pointer.owning_user_id,
        owner_team_id=pointer.owning_team_id,
        conversation_tracking_id=email.conversation_tracking_id,
        index=octets_of(email.conversation_index),
        at=pointer.sort_date,
    )


def _by_keys(keys: Iterable[UUID]) -> "QuerySet[Email, Any]":
    keys = list(keys)
    return Email.objects.filter(
        Q(message_id_dup_check__in=keys) | Q(server_message_id_dup_check__in=keys)
    )


def _by_index(hashes: Iterable[int]) -> "QuerySet[Email, Any]":
    return _newest("base_conversation_index_hash", list(hashes), MOST_OF_CONVERSATION)


def _newest(column: str, values: list[Any], most: int) -> "QuerySet[Email, Any]":
    """The newest of each value."""
    number = Window(RowNumber(), partition_by=F(column), order_by=F("activity__sort_date").desc())
    emails = Email.objects.filter(**{f"{column}__in": values})
    return emails.annotate(number=number).filter(number__lte=most)
