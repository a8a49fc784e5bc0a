"""The stored emails that a page's messages may answer or be copies of: two statements a page.

Each way to find them goes by an index of the database and is bounded, so that a conversation of ten
thousand messages costs as much as one of twenty.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Window
from django.db.models.functions import RowNumber

from activities.choices import (
    RECIPIENTS,
    Direction,
    EmailStatus,
    HashType,
    ParticipationType,
)
from activities.models import ActivityParty, Email, EmailHash
from activities.store import write_hashes
from mailboxes.addresses import address_key
from tracking.conversation_index import octets_of
from tracking.correlate import StoredEmail, Wanted, key_of
from tracking.matching import MatchRules, hash_rows

#: The newest of one conversation index; which of them was answered is seen from the index itself.
MOST_OF_CONVERSATION = 50
#: The newest that bear one token: those of several conversations, for tokens repeat (R4.8).
MOST_OF_TOKEN = 50
#: The newest with one word of the subject and one of the addresses that tell most.
MOST_OF_WORD = 20
#: The newest that were sent to one address.
MOST_OF_RECIPIENT = 10
#: What left from here, or is just leaving.
SENT = (EmailStatus.SENT, EmailStatus.COMPLETED, EmailStatus.SENDING)
PEOPLE = (ParticipationType.SENDER, *RECIPIENTS)

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
    "submitted_at",
    "activity__created_on",
)
EVERY = Q()


def load(keys: Collection[UUID], wanted: Wanted, since: datetime, there: Q = EVERY) -> list[Email]:
    """`keys`: of the messages themselves, for copies of them may be stored (R3.20). `since`: how far
    smart matching looks back (R4.17). `there`: of emails that may be found at all."""
    return list(find(keys, wanted, since, there).select_related("activity").only(*COLUMNS))


def known_since(email: Email) -> datetime:
    """When mail could answer it: once it was stored, or if it was written here, sent."""
    stored: datetime = email.activity.created_on
    return max(stored, email.submitted_at or stored)


def find(
    keys: Collection[UUID], wanted: Wanted, since: datetime, there: Q = EVERY
) -> "QuerySet[Email]":
    every_key = {*keys, *(key_of(message_id) for message_id in wanted.message_ids)}
    found = [_by_keys(every_key).filter(there)]
    if wanted.tokens:
        found.append(_newest("tracking_token", list(wanted.tokens), MOST_OF_TOKEN, there))
    if wanted.index_hashes:
        hashes = list(wanted.index_hashes)
        found.append(_newest("base_conversation_index_hash", hashes, MOST_OF_CONVERSATION, there))
    finds: list[QuerySet[Any, Any]] = [emails.values("pk") for emails in found]
    if wanted.words:
        finds.append(similar(wanted, since, there).values("activity_id"))
    first, *more = finds
    ids = first.union(*more) if more else first
    return Email.objects.filter(pk__in=ids)


def sent_to(addresses: Collection[str], since: datetime) -> list[Email]:
    """For reports that don't name the message they are about (R5.21): what was sent to these
    addresses, the newest of each. No statement where there are none."""
    if not addresses:
        return []
    number = Window(
        RowNumber(), partition_by=F("address_used"), order_by=F("activity__sort_date").desc()
    )
    parties = ActivityParty.objects.filter(
        address_used__in=list(addresses),
        participation_type_mask__in=RECIPIENTS,
        activity__sort_date__gte=since,
        activity__email__direction_code=Direction.OUTGOING,
        activity__email__status_code__in=SENT,
    )
    found = parties.annotate(number=number).filter(number__lte=MOST_OF_RECIPIENT)
    emails = Email.objects.filter(pk__in=found.values("activity_id"))
    return list(emails.select_related("activity").only(*COLUMNS))


def keys_of(email: Email) -> tuple[UUID, ...]:
    keys = (email.message_id_dup_check, email.server_message_id_dup_check)
    return tuple(key for key in keys if key is not None)


def participants(
    emails: Sequence[Email], wanted: Wanted, also: Collection[UUID] = ()
) -> Mapping[UUID, tuple[str, ...]]:
    """Email -> keys of its addresses, sender first; of those only whose participants are asked for.
    No statement where there are none."""
    reported = {key_of(message_id) for message_id in wanted.reported}
    return people_of(
        [
            email.pk
            for email in emails
            if wanted.people
            or email.tracking_token in wanted.tokens
            or not reported.isdisjoint(keys_of(email))
            or email.pk in also
        ]
    )


def people_of(ids: Collection[UUID]) -> Mapping[UUID, tuple[str, ...]]:
    if not ids:
        return {}
    rows = ActivityParty.objects.filter(activity_id__in=ids, participation_type_mask__in=PEOPLE)
    found: dict[UUID, dict[str, None]] = defaultdict(dict)
    for email_id, address in rows.values_list("activity_id", "address_used"):
        if key := address_key(address):
            found[email_id][key] = None
    return {email_id: tuple(keys) for email_id, keys in found.items()}


def hash_sent(email: Email, subject: str, at: datetime, rules: MatchRules) -> None:
    """Store the hashes of an email that leaves, in place of those it had (R4.18)."""
    people = people_of([email.pk]).get(email.pk, ())
    EmailHash.objects.filter(activity=email).delete()
    write_hashes([(email.pk, at, hash_rows(subject, people, rules))])


def stored(email: Email, participants: Mapping[UUID, tuple[str, ...]]) -> StoredEmail:
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
        participants=participants.get(email.pk, ()),
        at=pointer.sort_date,
        sender=address_key(email.sender),
        sent_on=email.sent_on,
    )


def _by_keys(keys: Iterable[UUID]) -> "QuerySet[Email, Any]":
    keys = list(keys)
    return Email.objects.filter(
        Q(message_id_dup_check__in=keys) | Q(server_message_id_dup_check__in=keys)
    )


def similar(wanted: Wanted, since: datetime, there: Q = EVERY) -> "QuerySet[EmailHash, Any]":
    """Hashes of the emails that smart matching has to look at: of each word the newest, and of those
    only such with an address that is looked for."""
    hashes = EmailHash.objects.filter(
        hash_type=HashType.SUBJECT, hash__in=list(wanted.words), sort_date__gte=since
    )
    if there:
        hashes = hashes.filter(activity__in=Email.objects.filter(there).values("pk"))
    if wanted.addresses:
        addresses = EmailHash.objects.filter(
            activity=OuterRef("activity"),
            hash_type=HashType.ADDRESS,
            hash__in=list(wanted.addresses),
            sort_date__gte=since,
        )
        hashes = hashes.filter(Exists(addresses))
    number = Window(RowNumber(), partition_by=F("hash"), order_by=F("sort_date").desc())
    return hashes.annotate(number=number).filter(number__lte=MOST_OF_WORD)


def _newest(column: str, values: list[Any], most: int, there: Q = EVERY) -> "QuerySet[Email, Any]":
    """The newest of each value."""
    number = Window(RowNumber(), partition_by=F(column), order_by=F("activity__sort_date").desc())
    emails = Email.objects.filter(there, **{f"{column}__in": values})
    return emails.annotate(number=number).filter(number__lte=most)
