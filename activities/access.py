"""Which rows of this room a user reaches. Registered with `mailboxes.access` when applications start."""

from django.db.models import Q

from activities.models import (
    Account,
    ActivityMimeAttachment,
    ActivityParty,
    ActivityPointer,
    BouncedAddress,
    Contact,
    Email,
    EmailHash,
    EmailSignature,
    Incident,
    Lead,
    QueueItem,
    StoredBytes,
    Template,
)
from mailboxes.access import EVERYTHING, NOTHING, Asker, by_owner, content_readers, rows
from mailboxes.choices import Reach
from mailboxes.models import Mailbox, Queue

rows(Account, Contact, Lead)(by_owner)


@rows(Incident)
def _cases(asker: Asker) -> Q:
    """By owner; members of a queue look at the cases that came of its mail."""
    allowed = asker.owned()
    if asker.viewing and asker.reach not in (None, Reach.ALL):
        mail = QueueItem.objects.filter(queue__in=asker.queues).values("object")
        allowed |= Q(created_from__in=mail)
    return allowed


@rows(EmailSignature)
def _signatures(asker: Asker) -> Q:
    """As templates; those of a queue are there for whoever may write as it."""
    allowed = _wordings(asker)
    return allowed | Q(queue__in=asker.seen(Queue)) if asker.viewing and allowed else allowed


@rows(Template)
def _wordings(asker: Asker) -> Q:
    """Own ones are everybody's business; whoever writes may use what is there for all."""
    mine = Q(owning_user=asker.user.pk)
    if asker.viewing:
        return mine | asker.owned() | Q(is_personal=False)
    return asker.owned()


@rows(ActivityPointer)
def _activities(asker: Asker) -> Q:
    """By owner; members of a queue look at what waits or waited in it."""
    allowed = asker.owned()
    if asker.viewing and asker.reach not in (None, Reach.ALL):
        allowed |= Q(pk__in=QueueItem.objects.filter(queue__in=asker.queues).values("object"))
    return allowed


@rows(Email)
def _emails(asker: Asker) -> Q:
    """As its activity; whose mailbox it came or goes through may look, too."""
    allowed = asker.owned("activity__")
    if asker.viewing and asker.reach not in (None, Reach.ALL):
        mine = Mailbox.objects.filter(content_readers(asker.user)).values("pk")
        allowed |= (
            Q(pk__in=QueueItem.objects.filter(queue__in=asker.queues).values("object"))
            | Q(receiving_mailbox__in=mine)
            | Q(sender_mailbox__in=mine)
        )
    return allowed


@rows(ActivityParty, ActivityMimeAttachment)
def _parts_of_activities(asker: Asker) -> Q:
    """They go with their activity: who sees the one sees the other."""
    return Q(activity__in=asker.seen(ActivityPointer)) if asker.viewing else NOTHING


@rows(QueueItem)
def _queue_items(asker: Asker) -> Q:
    """Those of own queues, and of queues that one is a member of."""
    if asker.reach is None:
        return NOTHING
    if asker.reach == Reach.ALL:
        return EVERYTHING
    return asker.owned("queue__") | Q(queue__in=asker.queues) | Q(worker_user=asker.user.pk)


@rows(BouncedAddress)
def _bounced(asker: Asker) -> Q:
    """With the last email that came back; whoever may forget addresses need not be its owner."""
    if asker.reach is None:
        return NOTHING
    return EVERYTHING if asker.reach == Reach.ALL else Q(email__in=asker.seen(Email))


@rows(EmailHash, StoredBytes)
def _stored_bytes(asker: Asker) -> Q:
    """Sizes and digests of everybody's files and words: only reach over all rows opens the table."""
    return EVERYTHING if asker.reach == Reach.ALL else NOTHING
