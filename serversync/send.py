"""One outgoing cycle of one mailbox: claim, hand over, note the outcome; never twice.

    pending ──claim──> claimed ──just before the last byte──> handed over ──reply──> accepted │ refused
       ▲                  │                                        │
       └────released◀─────┘ (proof that it did not leave)          └─ no reply ─> unknown (R5.17)

Each attempt is a `Submission` row. Handing over is committed one message at a time, directly before
its last byte; the result of one and the handing over of the next share a transaction, so a kill
leaves at most one message per connection unknown. An unknown one is never sent again silently.

Beside it: `recovery` (what an earlier worker left behind), `claiming` (which mail, in which order),
`attempts` (what one attempt came to), `settling` (what that means for the e-mails).
"""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from activities import blobs
from activities.outgoing import UnsendableError, envelopes, keep_originals
from mailboxes.connect import outgoing_server
from mailboxes.protocols.base import Envelope, OutgoingServer
from mailboxes.protocols.errors import (
    REFUSALS,
    ExchangeBusy,
    MessageError,
    ServerError,
    SubmissionQuotaExceeded,
)
from serversync import alarms
from serversync.attempts import (
    Outcome,
    acceptance,
    doubt,
    not_taken,
    refusal,
    store,
    told,
    unsendable,
)
from serversync.choices import SubmissionState
from serversync.claiming import Claimed, claim
from serversync.context import Context
from serversync.cycle import Clock, CycleResult, Run
from serversync.leases import LeaseLost, renew
from serversync.limits import learn_from
from serversync.models import Submission, Workload
from serversync.recovery import FIRST_LOOK, Connect, recover
from serversync.settling import settle

BATCHES = 10  # keeps one cycle under the job's time-out
RENEW_EVERY_SECONDS = 60


def send(
    context: Context,
    token: UUID,
    *,
    clock: Clock = timezone.now,
    connect: Connect = outgoing_server,
) -> CycleResult:
    """Run one cycle. Raises ServerError when the server or the account fails: the mail that was not
    handed over is pending again (R5.13). LeaseLost: somebody else has the mailbox."""
    run = Run(context, token, clock)
    recover(run, connect)
    line = HandingOver(run, connect)
    try:
        for _batch in range(BATCHES):
            claimed = claim(run)
            if not claimed:
                break
            try:
                line.hand_over_all(claimed)
            finally:
                line.store_last_outcome()
                _release(run, claimed)
                settle(run)
        else:
            run.result.more = True
    except (SubmissionQuotaExceeded, ExchangeBusy) as error:
        if getattr(error, "window", "minute"):
            _learn(run, error)
        raise
    finally:
        line.close()
    return run.result


def _learn(run: Run, error: SubmissionQuotaExceeded | ExchangeBusy) -> None:
    """The server has a limit: keep to it from now on, and ask again when that allows it (R5.14)."""
    now = run.clock()
    if lesson := learn_from(run.mailbox, error, now):
        pause = (lesson.hold_until - now).total_seconds()
        error.hint_seconds = max(error.hint_seconds or 0, pause)


def _release(run: Run, claimed: Sequence[Claimed]) -> None:
    """Whatever of the batch was not handed over may be tried again."""
    Submission.objects.filter(
        pk__in=[submission.pk for _email, submission in claimed],
        state=SubmissionState.CLAIMED,
    ).update(state=SubmissionState.RELEASED, finished_at=run.clock(), counts_at=None)


class HandingOver:
    """One connection, opened with the first message, and the outcome that is not stored yet."""

    def __init__(self, run: Run, connect: Connect) -> None:
        self.run = run
        self.connect = connect
        self.server: OutgoingServer | None = None
        self.pending_outcome: Outcome | None = None
        self.renewed_at = run.clock()
        self.answered = True  # the last message that was handed over

    def hand_over_all(self, claimed: Sequence[Claimed]) -> None:
        run = self.run
        emails: list[Any] = [email for email, _submission in claimed]
        begun = {email.pk for email in emails if email.begun}
        made = envelopes(emails, run.mailbox, run.organization, begun)
        self._keep_originals(claimed, made)
        for email, submission in claimed:
            envelope = made[email.pk]
            if isinstance(envelope, UnsendableError):
                self._note(unsendable(submission.pk, envelope.code, str(envelope)))
            else:
                self._hand_over(submission, envelope)

    def store_last_outcome(self) -> None:
        if self.pending_outcome is not None:
            store(self.pending_outcome, self.run.clock())
            self.pending_outcome = None

    def close(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None

    def _keep_originals(
        self, claimed: Sequence[Claimed], made: Mapping[UUID, Envelope | UnsendableError]
    ) -> None:
        """Before anything leaves: what was sent can be shown, and filed in sent items."""
        staged = blobs.Staged()
        batch = [
            (email, staged.add(envelope.mime))
            for email, _submission in claimed
            if isinstance(envelope := made[email.pk], Envelope)
        ]
        if not batch:
            return
        blobs.stage(staged)
        with transaction.atomic():
            renew(self.run.token, self.run.clock())
            keep_originals(batch, staged)

    def _hand_over(self, submission: Submission, envelope: Envelope) -> None:
        handed = False

        def hand_over() -> None:
            nonlocal handed
            self._commit_hand_over(submission)
            handed = True

        try:
            sent = self._open().send(envelope, hand_over)
        except MessageError as error:
            self.answered = True
            self._note(refusal(submission.pk, error))
        except ServerError as error:
            if not handed:
                raise
            if isinstance(error, REFUSALS):
                self._note(not_taken(submission.pk, error))
                raise
            self._lose(submission, error)
        else:
            self.answered = True
            self._note(acceptance(submission.pk, sent))

    def _open(self) -> OutgoingServer:
        if self.server is None:
            self.server = self.connect(self.run.mailbox, self.run.organization)
        server = self.server.open()
        self._remember(server.size_limit)
        return server

    def _remember(self, octets: int) -> None:
        """What the server takes is told to whoever writes (R5.20). A statement only where it changed."""
        workload = self.run.context.workload
        if (workload.largest_message or 0) != octets:
            workload.largest_message = octets
            Workload.objects.filter(pk=workload.pk).update(largest_message=octets)

    def _lose(self, submission: Submission, error: ServerError) -> None:
        """No answer. The rest of the batch goes over another line, unless that is the second in a row."""
        run, now = self.run, self.run.clock()
        with transaction.atomic():
            self.store_last_outcome()
            if store(doubt(submission.pk, error, now + FIRST_LOOK), now):  # nobody knows better
                alarms.delivery_unknown(submission.email, run.mailbox, run.organization, now)
        self.close()
        if not self.answered:
            raise error  # twice running: then each further one would be in doubt, too
        self.answered = False

    def _commit_hand_over(self, submission: Submission) -> None:
        """The one commit per message: the result of the one before, and this one's handing over."""
        now = self.run.clock()
        said = self.server.told if self.server else ()
        with transaction.atomic():
            if (now - self.renewed_at).total_seconds() >= RENEW_EVERY_SECONDS:
                renew(self.run.token, now, self.run.result.items)
                self.renewed_at = now
            if self.pending_outcome is not None:
                store(self.pending_outcome, now)
            won = Submission.objects.filter(
                pk=submission.pk,
                state=SubmissionState.CLAIMED,
                claim_token=submission.claim_token,
            ).update(
                state=SubmissionState.HANDED_OVER,
                handed_over_at=now,
                counts_at=now,
                recipients=told(said),
                **({"recipient_count": sum(one.accepted for one in said)} if said else {}),
            )
            if not won:
                # Only a successor takes claims back, and with this one it took all of the batch.
                raise LeaseLost("Another worker took the claim of this email back.")
        self.pending_outcome = None

    def _note(self, outcome: Outcome) -> None:
        """Keep a result until the next commit; store the one that waits if there is one."""
        self.store_last_outcome()
        self.pending_outcome = outcome
