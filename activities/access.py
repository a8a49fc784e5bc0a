"""Which rows of this room a user reaches. Registered with `mailboxes.access` when applications start."""

from django.db.models import Q

from activities.choices import ActivityType
from activities.models import (
    Account,
    ActivityMimeAttachment,
    ActivityParty,
    ActivityPointer,
    Appointment,
    BouncedAddress,
    ChangeCounter,
    Contact,
    Email,
    EmailHash,
    EmailSignature,
    Fax,
    Incident,
    Lead,
    Letter,
    PhoneCall,
    QueueItem,
    RecordChange,
    RecurringAppointmentMaster,
    ServiceAppointment,
    StoredBytes,
    Task,
    Template,
)
from mailboxes.access import EVERYTHING, NOTHING, Asker, by_owner, content_readers, rows
from mailboxes.choices import Reach
from mailboxes.models import Mailbox, Queue

#: Whoever takes part in these may look at them: they stand in his calendar, too (R6.11).
IN_CALENDARS = (
    ActivityType.APPOINTMENT,
    ActivityType.RECURRING_APPOINTMENT,
    ActivityType.SERVICE_APPOINTMENT,
)

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
    """By owner; members of a queue look at what waits or waited in it, users at meetings they take part in."""
    allowed = asker.owned()
    if asker.viewing and asker.reach not in (None, Reach.ALL):
        allowed |= _queued(asker)
        allowed |= Q(activity_type_code__in=IN_CALENDARS) & _taking_part(asker)
    return allowed


def _queued(asker: Asker) -> Q:
    return Q(pk__in=QueueItem.objects.filter(queue__in=asker.queues).values("object"))


def _taking_part(asker: Asker) -> Q:
    mine = ActivityParty.objects.filter(
        party_type__app_label="mailboxes",
        party_type__model="systemuser",
        party_id=str(asker.user.pk),
    )
    return Q(pk__in=mine.values("activity"))


@rows(Task, PhoneCall, Letter, Fax)
def _tasks(asker: Asker) -> Q:
    """As their activity."""
    allowed = asker.owned("activity__")
    if asker.viewing and asker.reach not in (None, Reach.ALL):
        allowed |= _queued(asker)
    return allowed


@rows(Appointment, RecurringAppointmentMaster, ServiceAppointment)
def _calendar(asker: Asker) -> Q:
    """As their activity."""
    allowed = _tasks(asker)
    if asker.viewing and asker.reach not in (None, Reach.ALL):
        allowed |= _taking_part(asker)
    return allowed


@rows(Email)
def _emails(asker: Asker) -> Q:
    """As its activity; whose mailbox it came or goes through may look, too."""
    allowed = asker.owned("activity__")
    if asker.viewing and asker.reach not in (None, Reach.ALL):
        mine = Mailbox.objects.filter(content_readers(asker.user)).values("pk")
        allowed |= _queued(asker) | Q(receiving_mailbox__in=mine) | Q(sender_mailbox__in=mine)
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


@rows(EmailHash, StoredBytes, RecordChange, ChangeCounter)
def _stored_bytes(asker: Asker) -> Q:
    """Sizes, digests and keys of everybody's files, words and records: only reach over all rows opens the table."""
    return EVERYTHING if asker.reach == Reach.ALL else NOTHING
