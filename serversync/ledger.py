"""The ledger's rows: what stands in each about the item of a page, and the trace it keeps."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from mailboxes.protocols.base import RemoteItem
from serversync import wishes
from serversync.choices import IMPORTED, ItemState
from serversync.context import FolderFacts
from serversync.cycle import Run
from serversync.models import SyncItem
from serversync.seen import Seen
from tracking import trace
from tracking.byhand import BY_HAND
from tracking.candidates import MAX_SIZE, arrival_of
from tracking.choices import SkipReason
from tracking.kept import FACTS, facts_of
from tracking.promote import Outcome, Plan

HANDED_IN = "handed_in"  # in the trace of an item whose bytes a person brought

#: Columns of a row that another try may change.
LEARNED = [
    "state",
    "reason",
    "sub_reason",
    "trace",
    "message_id",
    "sender",
    "subject",
    "identity",
    "email",
    "raw",
    "attempts",
    "next_attempt_at",
    "last_error",
    "decided_at",
    "left_at",
]


def was_handed_in(row: SyncItem) -> bool:
    return row.folder == IMPORTED or bool(row.trace.get(HANDED_IN))


def new_row(run: Run, facts: FolderFacts, item: RemoteItem) -> SyncItem:
    now = run.clock()
    return SyncItem(
        mailbox=run.mailbox,
        folder=facts.folder,
        generation=run.mailbox.account_generation,
        source_key=item.remote_id,
        size=item.size,
        received_at=item.received_at,
        first_seen_at=now,
        decided_at=now,
    )


def settle(
    run: Run,
    facts: FolderFacts,
    seen: Sequence[Seen],
    outcomes: Mapping[tuple[str, int], Outcome],
    now: datetime,
) -> list[Seen]:
    """Fill the rows; returns those whose raw bytes must be kept."""
    failing = []
    for one in seen:
        one.row.decided_at = now
        _describe(one)
        if one.gone:
            _gone(run, facts, one, now)
        elif one.too_large:
            _too_large(run, facts, one)
        elif one.failure[0]:
            _fail(run, facts, one, now)
            failing += [one] if one.raw is not None else []
        else:
            _conclude(one, outcomes, now)
    return failing


def save(seen: Sequence[Seen]) -> None:
    children = [child for one in seen for child in one.children]
    SyncItem.objects.bulk_create([one.row for one in seen if one.is_new] + children)
    if old := [one.row for one in seen if not one.is_new]:
        SyncItem.objects.bulk_update(old, LEARNED)


def _describe(one: Seen) -> None:
    row, message = one.row, one.message
    if message is None:
        return
    row.message_id = message.message_id[:320]
    row.sender = (message.sender.address if message.sender else "")[:320]
    row.subject = message.subject[:800]
    row.identity = one.identity


def _gone(run: Run, facts: FolderFacts, one: Seen, now: datetime) -> None:
    row = one.row
    row.state, row.reason, row.next_attempt_at = ItemState.GONE, "MessageGone", None
    row.left_at = now  # if it is listed again all the same, it has come back
    row.trace = _why(run, facts, one)


def _too_large(run: Run, facts: FolderFacts, one: Seen) -> None:
    one.row.state, one.row.reason = ItemState.SKIPPED, SkipReason.TOO_LARGE.value
    one.row.trace = _why(run, facts, one)


def _fail(run: Run, facts: FolderFacts, one: Seen, now: datetime) -> None:
    """Try again later, up to the limit; then quarantine (R3.72)."""
    row, organization = one.row, run.organization
    error, code = one.failure
    # A transaction that was rolled back may have filled the row already.
    row.attempts, row.email_id = one.failures + 1, None
    row.last_error = _printable(error)[:2048]
    row.reason, row.sub_reason = code, ""
    if row.attempts < organization.promotion_attempts:
        row.state = ItemState.RETRYING
        row.next_attempt_at = now + timedelta(minutes=organization.promotion_retry_minutes)
    else:
        row.state, row.next_attempt_at = ItemState.QUARANTINED, None
    row.trace = _why(run, facts, one)


def _printable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")


# -- what was decided


def _conclude(one: Seen, outcomes: Mapping[tuple[str, int], Outcome], now: datetime) -> None:
    for plan in one.plans:
        target = one.row if plan.part == 0 else _child(one, plan)
        _apply(target, outcomes[(plan.key, plan.part)])
        if target.state != ItemState.TRACKED:
            target.trace = target.trace | {FACTS: _facts(one, plan)}
    if one.asked:
        _note_asked(one.row, one.asked, now)


def _child(one: Seen, plan: Plan) -> SyncItem:
    """The row of an original inside a forward (R3.75)."""
    row, message = one.row, plan.message
    child = SyncItem(
        mailbox=row.mailbox,
        folder=row.folder,
        generation=row.generation,
        source_key=f"{row.source_key[:500]}/{plan.part}",
        parent=row,
        size=message.size,
        received_at=row.received_at,
        first_seen_at=row.first_seen_at,
        decided_at=row.decided_at,
        message_id=message.message_id[:320],
        sender=(message.sender.address if message.sender else "")[:320],
        subject=message.subject[:800],
    )
    one.children.append(child)
    return child


def _apply(row: SyncItem, outcome: Outcome) -> None:
    row.state = outcome.state
    row.reason = outcome.reason
    row.sub_reason = outcome.sub_reason
    row.email_id = outcome.email_id
    row.raw_id = None  # of an earlier failure; a tracked one is kept with its e-mail
    row.trace = {} if outcome.state == ItemState.TRACKED else outcome.decision
    row.next_attempt_at = None
    row.last_error = ""


def _facts(one: Seen, plan: Plan) -> dict[str, Any]:
    """What is kept of a message whose bytes are not. `arrived`: what only its header tells."""
    facts = facts_of(plan.message)
    if one.item.received_at is None and (arrived := arrival_of(one.raw or b"")):
        facts["arrived"] = arrived.isoformat()
    return facts


def _note_asked(row: SyncItem, asked: Mapping[str, Any], now: datetime) -> None:
    """Who asked for it; an email that was there already takes the record that was given."""
    if row.state != ItemState.TRACKED:
        row.trace = row.trace | {BY_HAND: dict(asked)}
    if row.state == ItemState.DUPLICATE and row.email_id is not None:
        wishes.file_stored(row.email_id, asked, now)


# -- what tracking never saw, or could not finish


def _why(run: Run, facts: FolderFacts, one: Seen) -> dict[str, Any]:
    data = trace.to_data(_decision(run, facts, one))
    data |= {HANDED_IN: True} if one.handed_in else {}
    return data | {BY_HAND: one.asked} if one.asked else data


def _decision(run: Run, facts: FolderFacts, one: Seen) -> trace.Decision:
    row = one.row
    failure = None if one.too_large else _failure(run, row)
    for plan in one.plans:
        if plan.error and plan.decision is not None:  # decided, but nobody may own it (R3.29)
            return replace(plan.decision, outcome=ItemState(row.state), failure=failure)
    return trace.Decision(
        outcome=ItemState(row.state),
        reason=row.reason,
        decided_at=row.decided_at,
        mailbox=trace.Named("mailboxes.mailbox", str(run.mailbox.pk), run.mailbox.name),
        size=row.size,
        received_at=row.received_at,
        message=one.message,
        way=facts.way,
        skip_detail=str(row.size) if one.too_large else "",
        skip_limit=str(MAX_SIZE) if one.too_large else "",
        failure=failure,
    )


def _failure(run: Run, row: SyncItem) -> trace.Failure:
    return trace.Failure(
        code=row.reason,
        text=row.last_error[:500],
        attempt=row.attempts,
        attempts=run.organization.promotion_attempts,
        next_attempt_at=row.next_attempt_at,
    )
