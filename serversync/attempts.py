"""What one attempt to send came to, from the server's answer to the row of its `Submission`."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, DateTimeField, F, When

from mailboxes.protocols.base import RecipientResult, Sent
from mailboxes.protocols.errors import MessageDeferred, MessageError, ServerError
from serversync.choices import SubmissionState
from serversync.models import Submission


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


def acceptance(submission_id: UUID, sent: Sent) -> Outcome:
    return Outcome(
        submission_id,
        SubmissionState.ACCEPTED,
        reply=sent.reply,
        server_message_id=sent.server_message_id,
        copy_filed=sent.filed_copy,
        recipients=told(sent.recipients),
    )


def refusal(submission_id: UUID, error: MessageError) -> Outcome:
    return Outcome(
        submission_id,
        SubmissionState.REFUSED,
        reply=str(error),
        error_code=error.code,
        permanent=error.permanent and not isinstance(error, MessageDeferred),
        recipients=told(getattr(error, "recipients", ())),
    )


def unsendable(submission_id: UUID, code: str, words: str) -> Outcome:
    """It could not even be made into a message."""
    return Outcome(
        submission_id, SubmissionState.REFUSED, reply=words, error_code=code, permanent=True
    )


def doubt(submission_id: UUID, error: ServerError, look_again_at: datetime) -> Outcome:
    """Handed over, and no answer: nobody knows whether it left (R5.17)."""
    return Outcome(
        submission_id,
        SubmissionState.UNKNOWN,
        reply=str(error),
        error_code="DeliveryUnknown",
        look_again_at=look_again_at,
    )


def not_taken(submission_id: UUID, error: ServerError) -> Outcome:
    """The server answered: it did not take this message, nor will it take the next ones."""
    return Outcome(submission_id, SubmissionState.RELEASED, reply=str(error), error_code=error.code)


def told(recipients: Iterable[RecipientResult]) -> list[dict[str, object]]:
    """`again`: refused for now; `left_over`: because the server takes no more at once."""
    return [
        {
            "address": r.address,
            "accepted": r.accepted,
            "code": r.code,
            "text": r.text,
            "again": not (r.accepted or r.permanent),
            "left_over": r.left_over,
        }
        for r in recipients
    ]


def answers(recipients: Iterable[dict[str, Any]]) -> list[str]:
    return [f"{one['address']}: {one['code']} {one['text']}." for one in recipients]


def store(outcome: Outcome, now: datetime) -> bool:
    """One statement. Also resolves an attempt that a successor took for unknown meanwhile; False if one
    has resolved it already. What did not leave counts towards no limit."""
    rows = Submission.objects.filter(
        pk=outcome.submission_id,
        state__in=[
            SubmissionState.CLAIMED,
            SubmissionState.HANDED_OVER,
            SubmissionState.UNKNOWN,
        ],
    )
    changed = rows.update(
        state=outcome.state,
        finished_at=now,
        server_reply=outcome.reply[:1000],
        server_message_id=outcome.server_message_id[:320],
        error_code=outcome.error_code,
        permanent=outcome.permanent,
        copy_filed=outcome.copy_filed,
        look_again_at=outcome.look_again_at,
        # What each was told before the hand-over stands unless there is news of it.
        **({"recipients": outcome.recipients} if outcome.recipients else {}),
        **_counting(outcome.state),
    )
    return bool(changed)


def _counting(state: SubmissionState) -> dict[str, Any]:
    if state == SubmissionState.RELEASED:
        return {"counts_at": None}
    if state == SubmissionState.REFUSED:
        handed_over = When(handed_over_at__isnull=False, then=F("counts_at"))
        return {"counts_at": Case(handed_over, default=None, output_field=DateTimeField())}
    return {}
