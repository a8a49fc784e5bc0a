"""Whose turn it is: which waiting e-mails of a mailbox leave next (R5.9), and which mailboxes of a
profile share its limits (R5.14)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import (
    BigIntegerField,
    Case,
    Count,
    Exists,
    F,
    IntegerField,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Sum,
    Value,
    When,
    Window,
)
from django.db.models.functions import Coalesce, Least, RowNumber

from activities.choices import RECIPIENTS, DeliveryResult, EmailStatus, Priority
from activities.models import ActivityMimeAttachment, ActivityParty, Email
from mailboxes.choices import Operation
from mailboxes.models import Mailbox
from serversync.choices import SubmissionState, WorkloadState
from serversync.models import Submission, Workload
from serversync.pacing import Turn

REMEMBERED = timedelta(hours=1)  # who was served longer ago comes first again
MOST_REMEMBERED = 100  # submitters; of more than these the turn is by time alone
SOON = timedelta(minutes=1)  # whoever waits for a limit no longer than that has a share in it

NEVER = datetime.min.replace(tzinfo=UTC)
PLACES = {Priority.HIGH: 0, Priority.NORMAL: 1, Priority.LOW: 2}


def due(now: datetime) -> Q:
    """E-mails that may leave: sent by somebody, not for later, and not put off."""
    return (
        Q(status_code=EmailStatus.PENDING_SEND)
        & (Q(delayed_email_send_time__isnull=True) | Q(delayed_email_send_time__lte=now))
        & (
            Q(postpone_email_processing_until__isnull=True)
            | Q(postpone_email_processing_until__lte=now)
        )
    )


def soonest(at: datetime, now: datetime) -> Any:
    """For an update of workloads that send: `at`, or when the first e-mail that was put off may leave.
    Of what can be undone for a moment it is the very second (R5.2)."""
    put_off = Email.objects.filter(
        sender_mailbox=OuterRef("mailbox"),
        status_code=EmailStatus.PENDING_SEND,
        postpone_email_processing_until__gt=now,
    ).order_by("postpone_email_processing_until")
    first = Subquery(put_off.values("postpone_email_processing_until")[:1])
    return Least(Value(at), Coalesce(first, Value(at)))


# -- within a mailbox ----------------------------------------------------------------------------


def next_of(mailbox: Mailbox, now: datetime, most: int) -> list[Any]:
    """At most so many e-mails, locked until the transaction ends: high priority first, then normal,
    then low; within each the submitters in turn, each in the order of sending. Whoever had no turn
    for longest is first.

    Three statements, and no more rows than asked for, however many wait. Each e-mail comes with
    `attached`, the octets of its files, `addressed`, the number of its recipients, and `begun`, whether
    some have it already.
    """
    served = _served(mailbox, now)
    chosen = (
        Email.objects.filter(due(now), sender_mailbox=mailbox)
        .annotate(
            place=_PLACE,
            row=Window(
                RowNumber(),
                partition_by=[_PLACE, F("submitted_by")],
                order_by=[F("submitted_at"), F("pk")],
            ),
            served=_served_column(served),
        )
        .filter(row__lte=most)
        .order_by("place", "row", *(["served"] if served else []), "submitted_at", "pk")
        .values("pk")[:most]
    )
    # Only then they are read: whoever takes mail back, changes it and sends it again was before, or waits.
    locked = list(
        Email.objects.select_for_update(of=("self",))
        .filter(due(now), sender_mailbox=mailbox, pk__in=chosen)
        .values_list("pk", flat=True)
    )
    rows = Email.objects.filter(pk__in=locked).select_related("activity")
    counted = rows.annotate(attached=_ATTACHED, addressed=_ADDRESSED, begun=_BEGUN)
    return in_turn(list(counted), served)


def in_turn(emails: Sequence[Any], served: Mapping[UUID | None, int]) -> list[Any]:
    """The order of the database's choice, which the locking statement doesn't keep."""
    rows: Counter[tuple[int, UUID | None]] = Counter()
    keyed = []
    for email in sorted(emails, key=lambda email: (email.submitted_at or NEVER, email.pk)):
        place, submitter = PLACES[email.delivery_priority_code], email.submitted_by_id
        rows[place, submitter] += 1
        keyed.append((place, rows[place, submitter], served.get(submitter, 0), email))
    return [email for *_keys, email in sorted(keyed, key=lambda key: key[:3])]


def _served(mailbox: Mailbox, now: datetime) -> dict[UUID | None, int]:
    """Submitter -> a number that is the higher, the later mail of theirs left; missing: not lately."""
    lately = (
        Submission.objects.filter(mailbox=mailbox, counts_at__gt=now - REMEMBERED)
        .order_by()
        .values("email__submitted_by")
        .annotate(last=Max("counts_at"))
        .order_by("-last")
        .values_list("email__submitted_by", flat=True)[:MOST_REMEMBERED]
    )
    return {submitter: number for number, submitter in enumerate(reversed(lately), start=1)}


def _served_column(served: Mapping[UUID | None, int]) -> Any:
    cases = [
        When(
            Q(submitted_by__isnull=True) if submitter is None else Q(submitted_by=submitter),
            then=Value(number),
        )
        for submitter, number in served.items()
    ]
    return Case(*cases, default=Value(0), output_field=IntegerField())


_PLACE = Case(
    *(
        When(delivery_priority_code=priority, then=Value(place))
        for priority, place in PLACES.items()
    ),
    default=Value(len(PLACES)),
    output_field=IntegerField(),
)


def _of_email(rows: "QuerySet[Any]", total: Any) -> Any:
    return Coalesce(
        Subquery(
            rows.filter(activity=OuterRef("pk"))
            .order_by()
            .values("activity")
            .annotate(total=total)
            .values("total")
        ),
        Value(0),
        output_field=BigIntegerField(),
    )


_ATTACHED = _of_email(ActivityMimeAttachment.objects.all(), Sum("file_size"))
_RECIPIENTS = ActivityParty.objects.filter(participation_type_mask__in=RECIPIENTS).exclude(
    address_used=""
)
_ADDRESSES = Count("address_used", distinct=True)
#: An attempt that follows one which reached some is for the others alone (R5.16).
_BEGUN = Exists(Submission.objects.filter(email=OuterRef("pk"), state=SubmissionState.PARTLY))
_ADDRESSED = Case(
    When(
        _BEGUN,
        then=_of_email(_RECIPIENTS.filter(delivery_result=DeliveryResult.NONE), _ADDRESSES),
    ),
    default=_of_email(_RECIPIENTS, _ADDRESSES),
    output_field=BigIntegerField(),
)


# -- within a profile ----------------------------------------------------------------------------


def turn_of(mailbox: Mailbox, now: datetime) -> Turn:
    """How many mailboxes of its profile have mail to send now, and how many of them sent longer ago.
    One statement."""
    last = Submission.objects.filter(mailbox=OuterRef("mailbox"), counts_at__isnull=False)
    waiting = (
        Workload.objects.filter(
            Q(postponed_until__isnull=True)
            | Q(postponed_until__lte=now + SOON)
            | Q(mailbox=mailbox),
            Exists(Email.objects.filter(due(now), sender_mailbox=OuterRef("mailbox"))),
            mailbox__email_server_profile=mailbox.email_server_profile_id,
            operation=Operation.OUTGOING,
            enabled=True,
        )
        .exclude(state=WorkloadState.DISABLED)
        .annotate(last=Subquery(last.order_by("-counts_at").values("counts_at")[:1]))
        .values_list("mailbox_id", "last")
    )
    keys = {key: (at or NEVER, str(key)) for key, at in waiting}
    mine = keys.pop(mailbox.pk, (NEVER, str(mailbox.pk)))
    return Turn(len(keys) + 1, sum(key < mine for key in keys.values()))
