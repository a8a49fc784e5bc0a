"""One outgoing cycle of one mailbox: claim, hand over, note the outcome; never twice.

    pending ──claim──> claimed ──just before the last byte──> handed over ──reply──> accepted │ refused
       ▲                  │                                        │
       └────released◀─────┘ (proof that it did not leave)          └─ no reply ─> unknown (R5.17)

Each attempt is a `Submission` row. Handing over is committed one message at a time, directly before
its last byte; the result of one and the handing over of the next share a transaction, so a kill
leaves at most one message per connection unknown. An unknown one is never sent again silently.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import random
from typing import Any
from uuid import UUID, uuid4

from django.db import transaction
from django.db.models import (
    BigIntegerField,
    Case,
    F,
    IntegerField,
    OuterRef,
    Q,
    Subquery,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce
from django.utils import timezone

from activities import blobs
from activities.choices import (
    RECIPIENTS,
    ActivityState,
    DeliveryResult,
    EmailStatus,
    Priority,
)
from activities.models import ActivityMimeAttachment, ActivityParty, ActivityPointer, Email
from activities.outgoing import UnsendableError, envelopes, keep_originals
from mailboxes.choices import Operation
from mailboxes.connect import outgoing_server
from mailboxes.protocols.base import Envelope, OutgoingServer, Sent
from mailboxes.protocols.errors import REFUSALS, MessageDeferred, MessageError, ServerError
from serversync import alarms
from serversync.act import copies_of
from serversync.choices import SendOutcome, SubmissionState
from serversync.context import Context
from serversync.cycle import Clock, CycleResult
from serversync.due import back_off
from serversync.leases import LeaseLost, renew, request
from serversync.models import ServerAction, Submission

log = logging.getLogger(__name__)

BATCH = 50  # messages claimed at once; a lost batch is released within one cycle
BATCH_BYTES = 32 * 1024 * 1024  # a batch's messages are in memory together
FIRST_LOOK = timedelta(minutes=1)  # a server may need a moment to file a copy
BETWEEN_LOOKS = timedelta(minutes=10)  # R5.17
BATCHES = 10  # keeps one cycle under the job's time-out
CLAIM = timedelta(minutes=10)
RENEW_EVERY = timedelta(seconds=60)

Connect = Callable[..., OutgoingServer]


@dataclass(slots=True)
class Outcome:
    """What one attempt came to, not yet stored."""

    submission_id: UUID
    state: SubmissionState
    reply: str = ""
    error_code: str = ""
    permanent: bool = False
    server_message_id: str = ""
    copy_filed: bool = False
    look_again_at: datetime | None = None
    recipients: list[dict[str, object]] = field(default_factory=list)


def send(
    context: Context,
    token: UUID,
    *,
    clock: Clock = timezone.now,
    connect: Connect = outgoing_server,
) -> CycleResult:
    """Run one cycle. Raises ServerError when the server or the account fails: the mail that was not
    handed over is pending again (R5.13). LeaseLost: somebody else has the mailbox."""
    return OutgoingCycle(context, token, clock, connect).run()


class OutgoingCycle:
    """The state of one cycle; `run` is the story."""

    def __init__(self, context: Context, token: UUID, clock: Clock, connect: Connect) -> None:
        self.context = context
        self.mailbox = context.mailbox
        self.organization = context.organization
        self.token = token
        self.clock = clock
        self.connect = connect
        self.result = CycleResult()
        self.server: OutgoingServer | None = None
        self.pending_outcome: Outcome | None = None
        self.renewed_at = clock()

    def run(self) -> CycleResult:
        try:
            self._recover()
            for _batch in range(BATCHES):
                claimed = self._claim()
                if not claimed:
                    break
                try:
                    self._hand_over_all(claimed)
                finally:
                    self._store_last_outcome()
                    self._release(claimed)
                    self._settle()
            else:
                self.result.more = True
        finally:
            if self.server is not None:
                self.server.close()
        return self.result

    # -- what an earlier worker left behind

    def _recover(self) -> None:
        """We hold the mailbox, so every unsettled attempt belongs to a worker that is gone."""
        unsettled = list(
            Submission.objects.filter(mailbox=self.mailbox, settled=False).select_related(
                "email__activity"
            )
        )
        if not unsettled:
            return
        self._look_for(
            [
                row
                for row in unsettled
                if row.state == SubmissionState.UNKNOWN
                and row.look_again_at is not None
                and row.look_again_at <= self.clock()
            ]
        )
        lost = [row for row in unsettled if row.state == SubmissionState.HANDED_OVER]
        stale = [row.pk for row in unsettled if row.state == SubmissionState.CLAIMED]
        now = self.clock()
        with transaction.atomic():
            renew(self.token, now)
            Submission.objects.filter(pk__in=stale, state=SubmissionState.CLAIMED).update(
                state=SubmissionState.RELEASED, finished_at=now
            )
            Submission.objects.filter(
                pk__in=[row.pk for row in lost], state=SubmissionState.HANDED_OVER
            ).update(state=SubmissionState.UNKNOWN, look_again_at=now + FIRST_LOOK)
        self._settle()
        for row in lost:
            alarms.delivery_unknown(row.email, self.mailbox, self.organization, now)

    def _look_for(self, unknown: Sequence[Submission]) -> None:
        """Finding our message id in sent items proves that it left (R5.17). Not finding it proves
        something only where the server files the copy as part of taking the message, and only twice."""
        if not unknown:
            return
        server = self.connect(self.mailbox, self.organization)
        try:
            for row in unknown:
                self._looked(row, server.find_sent(row.email.message_id))
        finally:
            server.close()

    def _server_files_copies(self) -> bool:
        """It was seen to, of mail of this profile: then a copy that isn't there proves something."""
        return Submission.objects.filter(
            mailbox__email_server_profile=self.mailbox.email_server_profile_id, copy_filed=True
        ).exists()

    def _looked(self, row: Submission, found: bool | None) -> None:
        now = self.clock()
        if found:
            _store(
                Outcome(
                    row.pk,
                    SubmissionState.ACCEPTED,
                    reply="Found in sent items by its message id.",
                    copy_filed=True,
                ),
                now,
            )
        elif found is None or not self._server_files_copies():
            Submission.objects.filter(pk=row.pk).update(look_again_at=None)
        elif row.not_found_at is None:
            Submission.objects.filter(pk=row.pk).update(
                not_found_at=now, look_again_at=now + BETWEEN_LOOKS
            )
        else:
            _store(
                Outcome(
                    row.pk,
                    SubmissionState.RELEASED,
                    reply="Looked for in sent items twice, and not there: it did not leave.",
                ),
                now,
            )

    # -- claim

    def _due(self, now: datetime) -> Q:
        return (
            Q(sender_mailbox=self.mailbox, status_code=EmailStatus.PENDING_SEND)
            & (Q(delayed_email_send_time__isnull=True) | Q(delayed_email_send_time__lte=now))
            & (
                Q(postpone_email_processing_until__isnull=True)
                | Q(postpone_email_processing_until__lte=now)
            )
        )

    def _claim(self) -> list[tuple[Email, Submission]]:
        """Up to a batch, high priority first, then in the order of submission (R5.9)."""
        now = self.clock()
        emails = _within_memory(
            Email.objects.filter(self._due(now))
            .select_related("activity")
            .annotate(attached=_ATTACHED)
            .order_by(
                Case(
                    When(delivery_priority_code=Priority.HIGH, then=Value(0)),
                    When(delivery_priority_code=Priority.NORMAL, then=Value(1)),
                    default=Value(2),
                    output_field=IntegerField(),
                ),
                "submitted_at",
                "pk",
            )[:BATCH]
        )
        if not emails:
            return []
        claim = uuid4()
        with transaction.atomic():
            renew(self.token, now)
            won = set(
                Email.objects.select_for_update()
                .filter(pk__in=[email.pk for email in emails], status_code=EmailStatus.PENDING_SEND)
                .values_list("pk", flat=True)
            )
            Email.objects.filter(pk__in=won).update(
                status_code=EmailStatus.SENDING, delivery_attempts=F("delivery_attempts") + 1
            )
            claimed = []
            for email in emails:
                if email.pk in won:
                    email.status_code = EmailStatus.SENDING
                    email.delivery_attempts += 1
                    submission = Submission(
                        email=email,
                        mailbox=self.mailbox,
                        attempt=email.delivery_attempts,
                        claim_token=claim,
                        claimed_at=now,
                        claim_expires_at=now + CLAIM,
                    )
                    claimed.append((email, submission))
            Submission.objects.bulk_create([submission for _email, submission in claimed])
        return claimed

    # -- hand over

    def _hand_over_all(self, claimed: Sequence[tuple[Email, Submission]]) -> None:
        made = envelopes([email for email, _submission in claimed], self.mailbox, self.organization)
        self._keep_originals(claimed, made)
        for email, submission in claimed:
            envelope = made[email.pk]
            if isinstance(envelope, UnsendableError):
                self._note(
                    Outcome(
                        submission.pk,
                        SubmissionState.REFUSED,
                        reply=str(envelope),
                        error_code=envelope.code,
                        permanent=True,
                    )
                )
                continue
            self._hand_over(submission, envelope)

    def _keep_originals(
        self,
        claimed: Sequence[tuple[Email, Submission]],
        made: Mapping[UUID, Envelope | UnsendableError],
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
            renew(self.token, self.clock())
            keep_originals(batch, staged)

    def _hand_over(self, submission: Submission, envelope: Envelope) -> None:
        handed = False

        def hand_over() -> None:
            nonlocal handed
            self._commit_hand_over(submission)
            handed = True

        try:
            server = self._open()
            sent = server.send(envelope, hand_over)
        except MessageError as error:
            self._note(_refusal(submission.pk, error))
        except ServerError as error:
            if handed and not isinstance(error, REFUSALS):
                self._note(
                    Outcome(
                        submission.pk,
                        SubmissionState.UNKNOWN,
                        reply=str(error),
                        error_code="DeliveryUnknown",
                        look_again_at=self.clock() + FIRST_LOOK,
                    )
                )
                alarms.delivery_unknown(
                    submission.email, self.mailbox, self.organization, self.clock()
                )
                self._drop_connection()
                return
            if handed:
                # The server answered: it did not take this message, nor will it take the next ones.
                self._note(
                    Outcome(
                        submission.pk,
                        SubmissionState.RELEASED,
                        reply=str(error),
                        error_code=error.code,
                    )
                )
            raise
        else:
            self._note(_acceptance(submission.pk, sent))

    def _open(self) -> OutgoingServer:
        if self.server is None:
            self.server = self.connect(self.mailbox, self.organization)
        return self.server.open()

    def _drop_connection(self) -> None:
        if self.server is not None:
            self.server.close()
            self.server = None

    def _commit_hand_over(self, submission: Submission) -> None:
        """The one commit per message: the result of the one before, and this one's handing over."""
        now = self.clock()
        with transaction.atomic():
            if now - self.renewed_at >= RENEW_EVERY:
                renew(self.token, now)
                self.renewed_at = now
            if self.pending_outcome is not None:
                _store(self.pending_outcome, now)
            won = Submission.objects.filter(
                pk=submission.pk,
                state=SubmissionState.CLAIMED,
                claim_token=submission.claim_token,
            ).update(state=SubmissionState.HANDED_OVER, handed_over_at=now)
            if not won:
                # Only a successor takes claims back, and with this one it took all of the batch.
                raise LeaseLost("Another worker took the claim of this email back.")
        self.pending_outcome = None

    def _note(self, outcome: Outcome) -> None:
        """Keep a result until the next commit; store the one that waits if there is one."""
        self._store_last_outcome()
        self.pending_outcome = outcome

    def _store_last_outcome(self) -> None:
        if self.pending_outcome is not None:
            _store(self.pending_outcome, self.clock())
            self.pending_outcome = None

    # -- note what came of it

    def _release(self, claimed: Sequence[tuple[Email, Submission]]) -> None:
        """Whatever of the batch was not handed over may be tried again."""
        Submission.objects.filter(
            pk__in=[submission.pk for _email, submission in claimed],
            state=SubmissionState.CLAIMED,
        ).update(state=SubmissionState.RELEASED, finished_at=self.clock())

    def _settle(self) -> None:
        """Let the e-mails say what their attempts came to (R5.12, R5.16, R5.18)."""
        now = self.clock()
        final = [
            SubmissionState.ACCEPTED,
            SubmissionState.REFUSED,
            SubmissionState.RELEASED,
        ]
        rows = list(
            Submission.objects.filter(
                mailbox=self.mailbox, settled=False, state__in=final
            ).select_related("email__activity")
        )
        if not rows:
            return
        failed: list[Submission] = []
        for row in rows:
            if self._settle_one(row, now):
                failed.append(row)
        accepted = [
            row.email
            for row in rows
            if row.state == SubmissionState.ACCEPTED and not row.copy_filed
        ]
        copies = copies_of(accepted, self.mailbox, self.organization, now)
        with transaction.atomic():
            renew(self.token, now)
            Email.objects.bulk_update([row.email for row in rows], SETTLED)
            ServerAction.objects.bulk_create(copies)
            Submission.objects.filter(pk__in=[row.pk for row in rows]).update(settled=True)
            if failed:
                ActivityPointer.objects.filter(pk__in=[row.email_id for row in failed]).update(
                    state_code=ActivityState.OPEN
                )
            self._settle_recipients(rows)
        if copies:
            self._wake_incoming(now)
        self._tell(rows, failed, now)

    def _wake_incoming(self, now: datetime) -> None:
        """Whoever reads the mailbox files the copies: soon, unless polls are to be rare (R1.29). It
        runs in this job or in another one's turn, so none is added to the queue."""
        profile = self.mailbox.email_server_profile
        assert profile is not None  # eligibility checked it
        if not profile.min_polling_interval_in_minutes:
            request([self.mailbox.pk], Operation.INCOMING, now)

    def _tell(
        self, rows: Sequence[Submission], failed: Sequence[Submission], now: datetime
    ) -> None:
        for row in failed:
            alarms.email_failed(row.email, row, self.mailbox, self.organization, now)
        accepted = [row for row in rows if row.state == SubmissionState.ACCEPTED]
        if accepted:
            alarms.settled([row.email for row in accepted], self.mailbox, now)
        for row in accepted:
            if row.email.last_error_code == "RecipientsRefused":
                alarms.recipients_refused(row.email, self.mailbox, self.organization, now)

    def _settle_one(self, row: Submission, now: datetime) -> bool:
        """Change the e-mail in memory; True if it failed for good."""
        email = row.email
        if row.state == SubmissionState.ACCEPTED:
            email.status_code = EmailStatus.SENT
            email.sent_on = email.actual_end = row.finished_at or now
            email.server_message_id = row.server_message_id
            email.postpone_email_processing_until = None
            email.last_error_code = email.last_error_text = ""
            refused = [r for r in row.recipients if not r["accepted"]]
            if refused:
                email.last_error_code = "RecipientsRefused"
                email.last_error_text = " ".join(_answers(refused))[:2048]
            self.result.count(SendOutcome.SENT, "partly_refused" if refused else "")
            return False
        if row.state == SubmissionState.RELEASED:
            # It never left, so the attempt does not count against the e-mail.
            email.status_code = EmailStatus.PENDING_SEND
            email.delivery_attempts = max(0, email.delivery_attempts - 1)
            return False
        email.last_error_code = row.error_code
        email.last_error_text = " ".join([row.server_reply, *_answers(row.recipients)])[:2048]
        limit: int = self.organization.maximum_email_delivery_attempts
        if row.permanent or email.delivery_attempts >= limit:
            email.status_code = EmailStatus.FAILED
            self.result.count(SendOutcome.FAILED, row.error_code)
            self.result.failed += 1
            self.result.processed -= 1
            return True
        email.status_code = EmailStatus.PENDING_SEND
        wait = back_off(
            self.organization.mailbox_backoff_on_transient_error,
            email.delivery_attempts,
            None,
            random(),
        )
        email.postpone_email_processing_until = now + timedelta(seconds=wait)
        self.result.count(SendOutcome.DEFERRED, row.error_code)
        return False

    def _settle_recipients(self, rows: Sequence[Submission]) -> None:
        accepted = [row.email_id for row in rows if row.state == SubmissionState.ACCEPTED]
        parties = ActivityParty.objects.filter(participation_type_mask__in=RECIPIENTS)
        if accepted:
            # A bounce may have been quicker than the news that the message left.
            parties.filter(
                activity_id__in=accepted, delivery_result__lte=DeliveryResult.REFUSED
            ).update(delivery_result=DeliveryResult.ACCEPTED)
        for row in rows:
            for one in row.recipients:
                if not one["accepted"]:
                    parties.filter(
                        activity_id=row.email_id, address_used__iexact=str(one["address"])
                    ).update(
                        delivery_result=DeliveryResult.REFUSED,
                        delivery_detail=f"{one['code']} {one['text']}"[:500],
                    )


#: Columns of an e-mail that settling may change.
SETTLED = [
    "status_code",
    "sent_on",
    "actual_end",
    "server_message_id",
    "postpone_email_processing_until",
    "delivery_attempts",
    "last_error_code",
    "last_error_text",
]


#: Octets of an e-mail's attachments.
_ATTACHED = Coalesce(
    Subquery(
        ActivityMimeAttachment.objects.filter(activity=OuterRef("pk"))
        .values("activity")
        .annotate(total=Sum("file_size"))
        .values("total")
    ),
    Value(0),
    output_field=BigIntegerField(),
)


def _within_memory(emails: Iterable[Any]) -> list[Any]:
    """As many as may be composed together; one at least."""
    taken: list[Any] = []
    size = 0
    for email in emails:
        size += email.attached
        if taken and size > BATCH_BYTES:
            break
        taken.append(email)
    return taken


def _answers(recipients: Iterable[dict[str, Any]]) -> list[str]:
    return [f"{one['address']}: {one['code']} {one['text']}." for one in recipients]


def _store(outcome: Outcome, now: datetime) -> None:
    """One statement. Also resolves an attempt that a successor took for unknown meanwhile."""
    Submission.objects.filter(
        pk=outcome.submission_id,
        state__in=[
            SubmissionState.CLAIMED,
            SubmissionState.HANDED_OVER,
            SubmissionState.UNKNOWN,
        ],
    ).update(
        state=outcome.state,
        finished_at=now,
        server_reply=outcome.reply[:1000],
        server_message_id=outcome.server_message_id[:320],
        error_code=outcome.error_code,
        permanent=outcome.permanent,
        recipients=outcome.recipients,
        copy_filed=outcome.copy_filed,
        look_again_at=outcome.look_again_at,
    )


def _acceptance(submission_id: UUID, sent: Sent) -> Outcome:
    return Outcome(
        submission_id,
        SubmissionState.ACCEPTED,
        reply=sent.reply,
        server_message_id=sent.server_message_id,
        copy_filed=sent.filed_copy,
        recipients=[
            {"address": r.address, "accepted": r.accepted, "code": r.code, "text": r.text}
            for r in sent.recipients
        ],
    )


def _refusal(submission_id: UUID, error: MessageError) -> Outcome:
    return Outcome(
        submission_id,
        SubmissionState.REFUSED,
        reply=str(error),
        error_code=error.code,
        permanent=error.permanent and not isinstance(error, MessageDeferred),
        recipients=[
            {"address": r.address, "accepted": r.accepted, "code": r.code, "text": r.text}
            for r in getattr(error, "recipients", ())
        ],
    )
