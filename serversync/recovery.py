"""What a worker that is gone left behind, and looking for what nobody knows of (R5.17)."""

from collections.abc import Callable, Sequence
from datetime import timedelta

from django.db import transaction

from mailboxes.protocols.base import OutgoingServer
from serversync import alarms
from serversync.attempts import Outcome, store
from serversync.choices import SubmissionState
from serversync.cycle import Run
from serversync.leases import renew
from serversync.models import Submission
from serversync.settling import settle

FIRST_LOOK = timedelta(minutes=1)  # a server may need a moment to file a copy
BETWEEN_LOOKS = timedelta(minutes=10)  # R5.17
LOOKS = 100  # in one cycle; each is a request

Connect = Callable[..., OutgoingServer]


def recover(run: Run, connect: Connect) -> None:
    """We hold the mailbox, so every unsettled attempt belongs to a worker that is gone."""
    unsettled = list(
        Submission.objects.filter(mailbox=run.mailbox, settled=False).select_related(
            "email__activity"
        )
    )
    if not unsettled:
        return
    _look_for(run, connect, unsettled)
    lost = [row for row in unsettled if row.state == SubmissionState.HANDED_OVER]
    stale = [row.pk for row in unsettled if row.state == SubmissionState.CLAIMED]
    now = run.clock()
    with transaction.atomic():
        renew(run.token, now)
        Submission.objects.filter(pk__in=stale, state=SubmissionState.CLAIMED).update(
            state=SubmissionState.RELEASED, finished_at=now, counts_at=None
        )
        Submission.objects.filter(
            pk__in=[row.pk for row in lost], state=SubmissionState.HANDED_OVER
        ).update(state=SubmissionState.UNKNOWN, look_again_at=now + FIRST_LOOK)
        for row in lost:  # later, a kill might leave it unknown and nobody told
            alarms.delivery_unknown(row.email, run.mailbox, run.organization, now)
    settle(run)


def _look_for(run: Run, connect: Connect, unsettled: Sequence[Submission]) -> None:
    """Finding our message id in sent items proves that it left (R5.17). Not finding it proves
    something only where the server files the copy as part of taking the message, and only twice."""
    now = run.clock()
    unknown = [
        row
        for row in unsettled
        if row.state == SubmissionState.UNKNOWN
        and row.look_again_at is not None
        and row.look_again_at <= now
    ]
    if not unknown:
        return
    proves = _server_files_copies(run)
    server = connect(run.mailbox, run.organization)
    try:
        for row in unknown[:LOOKS]:
            _looked(run, row, server.find_sent(row.email.message_id), proves)
    finally:
        server.close()


def _looked(run: Run, row: Submission, found: bool | None, proves: bool) -> None:
    now = run.clock()
    if found:
        store(
            Outcome(
                row.pk,
                SubmissionState.ACCEPTED,
                reply="Found in sent items by its message id.",
                copy_filed=True,
            ),
            now,
        )
    elif found is None or not proves:
        Submission.objects.filter(pk=row.pk).update(look_again_at=None)
    elif row.not_found_at is None:
        Submission.objects.filter(pk=row.pk).update(
            not_found_at=now, look_again_at=now + BETWEEN_LOOKS
        )
    else:
        store(
            Outcome(
                row.pk,
                SubmissionState.RELEASED,
                reply="Looked for in sent items twice, and not there: it did not leave.",
            ),
            now,
        )


def _server_files_copies(run: Run) -> bool:
    """It was seen to, of mail of this profile: then a copy that isn't there proves something."""
    return Submission.objects.filter(
        mailbox__email_server_profile=run.mailbox.email_server_profile_id, copy_filed=True
    ).exists()
