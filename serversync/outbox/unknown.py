"""What a person says of messages of which nobody knows whether they left (R5.17)."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db import transaction
from django.db.models import F

from mailboxes.choices import Operation
from mailboxes.models import SystemUser
from serversync.choices import SubmissionState
from serversync.models import Submission
from serversync.waking import wake


def decide_unknown(submission: Submission, *, left: bool, actor: SystemUser, now: datetime) -> bool:
    """A person says what became of it. False: it is known by now, for a look into sent items, a late
    answer or somebody else was first."""
    return bool(decide_all([submission.pk], left=left, actor=actor, now=now))


def decide_all(
    submissions: Collection[UUID], *, left: bool, actor: SystemUser, now: datetime
) -> set[UUID]:
    """The same of many; those of which it was not yet known."""
    with transaction.atomic():
        # Locked in one order, for two people may decide some of the same at once.
        rows = Submission.objects.select_for_update(of=("self",)).filter(
            pk__in=submissions, state=SubmissionState.UNKNOWN, settled=False
        )
        mailboxes = dict(rows.order_by("pk").values_list("pk", "mailbox_id"))
        Submission.objects.filter(pk__in=mailboxes).update(
            state=SubmissionState.ACCEPTED if left else SubmissionState.RELEASED,
            finished_at=now,
            decided_by=actor,
            counts_at=F("counts_at") if left else None,
        )
        if mailboxes:
            wake(set(mailboxes.values()), Operation.OUTGOING, now=now)
    return set(mailboxes)
