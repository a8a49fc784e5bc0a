"""What a person says of a message of which nobody knows whether it left (R5.17)."""

from datetime import datetime

from django.db import transaction
from django.db.models import F

from mailboxes.choices import Operation
from mailboxes.models import SystemUser
from serversync.choices import SubmissionState
from serversync.engine import wake
from serversync.models import Submission


def decide_unknown(submission: Submission, *, left: bool, actor: SystemUser, now: datetime) -> None:
    """A person says what became of a message of which nobody knows whether it left (R5.17)."""
    with transaction.atomic():
        changed = Submission.objects.filter(
            pk=submission.pk, state=SubmissionState.UNKNOWN, settled=False
        ).update(
            state=SubmissionState.ACCEPTED if left else SubmissionState.RELEASED,
            finished_at=now,
            decided_by=actor,
            counts_at=F("counts_at") if left else None,
        )
        if changed:
            wake([submission.mailbox_id], Operation.OUTGOING, now=now)
