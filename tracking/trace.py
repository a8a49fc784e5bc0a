"""PURE  The decision on one item as data: what `telling` tells as sentences, and `path` as a picture.

`to_data` makes what is stored beside the item or the email: JSON-safe, versioned, compact, without
subject and body (the subject has a column of its own under the rules of privacy). `without_personal` is
what stays when the retention ends (R3.73).

Data once stored is read for ever, by any later version. Change the meaning of a key only with a new
VERSION.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from activities.mime.message import ParsedMessage
from tracking import creation_words, report_words
from tracking.acceptance import Acceptance, Party, PartyVerdict
from tracking.choices import Outcome, QueueItemBecause, ReportWay, Way
from tracking.correlate import Attempt, Correlation, Scored
from tracking.creation import CASE, Creation, Said
from tracking.ownership import OwnerChoice
from tracking.report_words import Report
from tracking.resolution import Match, RecipientResolution, Resolution

T = TypeVar("T")

VERSION = 1
UNTRACKED = "Untracked"  # an item whose tracking category somebody took off
PRIVILEGE_DENIED = "PrivilegeDenied"  # who accepts it may not own email (R3.29)
DISMISSED = "Dismissed"  # an item that somebody let go of: its reason from then on
MOST_ENTRIES = 25  # of one list; a message to 5,000 people explains itself with fewer


@dataclass(frozen=True, slots=True)
class Named:
    """A record in the trace: label of its model in lower case, key, and the name it had then."""

    kind: str
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class PlannedQueueItem:
    queue: Named
    because: QueueItemBecause


@dataclass(frozen=True, slots=True)
class DroppedAttachment:
    """`reason`: too_large, blocked, blocked_type or invalid (R3.51). `true_type`: for blocked_type, the
    extension that belongs to the content (R3.52)."""

    name: str
    size: int
    reason: str
    true_type: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong, for quarantined, retrying and gone items. `code`: a condition of R8.20."""

    code: str
    text: str = ""
    attempt: int = 0
    attempts: int = 0
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Everything that explains one item. Whatever didn't come into play stays None or empty.

    `way`: how the message came before the decision; `folder`: the folder rule, where that is the way.
    `reason` and `sub_reason` are those of the ledger; an empty reason is taken from `failure`, else
    from `acceptance`. `skip_detail` and `skip_limit` are those of `candidates.Skip`.
    """

    outcome: Outcome
    decided_at: datetime
    reason: str = ""
    sub_reason: str = ""
    mailbox: Named | None = None
    size: int = 0
    received_at: datetime | None = None
    message: ParsedMessage | None = None
    sender: Resolution | None = None
    recipients: tuple[RecipientResolution, ...] = ()
    correlation: Correlation | None = None
    acceptance: Acceptance | None = None
    owner: OwnerChoice | None = None
    regarding: Named | None = None
    queue_items: tuple[PlannedQueueItem, ...] = ()
    dropped_attachments: tuple[DroppedAttachment, ...] = ()
    duplicate_of: UUID | None = None
    message_id_reused: bool = False
    creation: Creation | None = None
    skip_detail: str = ""
    skip_limit: str = ""
    forwarded_by: Named | None = None
    failure: Failure | None = None
    way: Way = Way.INBOX
    folder: Named | None = None
    hook: str = ""  # the site's own code that named `regarding` (R3.52a)
    report: Report | None = None


def to_data(decision: Decision) -> dict[str, Any]:
    """What is stored. Lists longer than MOST_ENTRIES are cut and say how long they were."""
    acceptance, failure = decision.acceptance, decision.failure
    reason, sub_reason = reasons_of(decision)
    data: dict[str, Any] = {
        "v": VERSION,
        "outcome": decision.outcome.value,
        "reason": reason,
        "sub_reason": sub_reason,
        "at": _time(decision.decided_at),
        "mailbox": _named(decision.mailbox),
        "forwarded_by": _named(decision.forwarded_by),
        "size": decision.size,
        "received": _time(decision.received_at),
        "message": _message(decision.message) if decision.message else None,
        "sender": _sender(decision.sender) if decision.sender else None,
        "recipients": _list(decision.recipients, _recipient),
        "correlation": _correlation(decision.correlation) if decision.correlation else None,
        "parties": _list(acceptance.verdicts, _verdict) if acceptance else None,
        "entity": _party(acceptance.entity) if acceptance and acceptance.entity else None,
        "denied": _denied(acceptance.denied) if acceptance and acceptance.denied else None,
        "internal": acceptance.internal.value if acceptance and acceptance.verdicts else None,
        "owner": _owner(decision.owner) if decision.owner else None,
        "regarding": _named(decision.regarding),
        "queue_items": _list(
            decision.queue_items, lambda i: _lean(**_known(i.queue), why=i.because.value)
        ),
        "dropped": _list(
            decision.dropped_attachments,
            lambda d: _lean(name=d.name[:255], size=d.size, why=d.reason, type=d.true_type),
        ),
        "duplicate_of": str(decision.duplicate_of) if decision.duplicate_of else None,
        "id_reused": decision.message_id_reused,
        "made": creation_words.data_of(decision.creation) if decision.creation else None,
        "skip": _lean(detail=decision.skip_detail, limit=decision.skip_limit),
        "failure": _failure(failure) if failure else None,
        "way": decision.way.value if decision.way != Way.INBOX else None,
        "folder": _named(decision.folder),
        "hook": decision.hook,
        "report": report_words.data_of(decision.report) if decision.report else None,
    }
    return _lean(**data)


def reasons_of(decision: Decision) -> tuple[str, str]:
    """Reason and sub-reason as the ledger's columns have them."""
    if decision.reason:
        return decision.reason, decision.sub_reason
    if decision.failure:
        return decision.failure.code, decision.sub_reason
    if decision.acceptance:
        return decision.acceptance.reason.code, decision.acceptance.sub_reason.value
    return "", decision.sub_reason


def _lean(**values: Any) -> dict[str, Any]:
    """Without what is empty: most messages have no defects, no queue items, nothing dropped."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {}, False)}


def _list(entries: Sequence[T], make: Callable[[T], dict[str, Any]]) -> dict[str, Any] | None:
    if not entries:
        return None
    return {"n": len(entries), "list": [make(entry) for entry in entries[:MOST_ENTRIES]]}


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


def _known(named: Named) -> dict[str, Any]:
    return {"kind": named.kind, "id": named.id, "name": named.name[:200]}


def _named(named: Named | None) -> dict[str, Any] | None:
    return _lean(**_known(named)) if named else None


def _message(message: ParsedMessage) -> dict[str, Any]:
    return _lean(
        id=message.message_id[:320],
        sender=message.senders[0].address[:320] if message.senders else "",
        date=_time(message.date),
        auto=message.auto_submitted[:80],
        list=message.list_id[:200],
        calendar=message.calendar_method[:40],
        encrypted=message.encrypted,
        path=message.path,
        defects=_list(message.defects, lambda d: _lean(code=d.code, detail=d.detail[:200])),
    )


def _match(match: Match) -> dict[str, Any]:
    return _lean(kind=match.kind, id=match.id, name=match.name[:200], inactive=not match.active)


def _sender(sender: Resolution) -> dict[str, Any]:
    return _lean(
        address=sender.address[:320],
        why=sender.because.value,
        match=_match(sender.match) if sender.match else None,
        others=_list(sender.others, _match),
        ignored=_list(sender.ignored, _match),
    )


def _recipient(recipient: RecipientResolution) -> dict[str, Any]:
    return _lean(
        role=recipient.role.value,
        address=recipient.address[:320],
        why=recipient.because.value,
        matches=_list(recipient.matches, _match),
        others=_list(recipient.others, _match),
        ignored=_list(recipient.ignored, _match),
    )


def _correlation(correlation: Correlation) -> dict[str, Any]:
    return _lean(
        method=correlation.method.value,
        step=correlation.because.value if correlation.because else None,
        email=str(correlation.email_id) if correlation.email_id else None,
        subject_changed=correlation.subject_changed,
        tried=_list(correlation.tried, _attempt),
    )


def _attempt(attempt: Attempt) -> dict[str, Any]:
    return _lean(
        step=attempt.step.value,
        outcome=attempt.outcome.value,
        ids=[message_id[:320] for message_id in attempt.looked_for[:MOST_ENTRIES]],
        found=attempt.found[:320],
        conversations=attempt.conversations,
        shared=[address[:320] for address in attempt.shared[:MOST_ENTRIES]],
        compared=attempt.compared,
        days=attempt.days,
        scores=_list(attempt.scores, _scored),
    )


def _scored(scored: Scored) -> dict[str, Any]:
    result = scored.score
    return {
        "email": str(scored.email_id),
        "words": result.subject,
        "words_needed": result.subject_needed,
        "addresses": result.addresses,
        "addresses_needed": result.addresses_needed,
    }


def _party(party: Party) -> dict[str, Any]:
    return {"kind": party.kind.value, "id": party.id, "name": party.name[:200]}


def _verdict(verdict: PartyVerdict) -> dict[str, Any]:
    candidate = verdict.candidate
    return {
        **_party(candidate.party),
        **_lean(
            address=candidate.address[:320],
            role=candidate.role.value if candidate.role is not None else None,
            reading=candidate.is_reading,
            delivered=candidate.delivered[:320],
            accepted=verdict.accepted,
            why=verdict.why.value,
            lacks=candidate.party.lacks.value,
        ),
        "filter": candidate.party.filtering.value,  # 0 is a filter, too
    }


def _denied(party: Party) -> dict[str, Any]:
    return {**_party(party), "lacks": party.lacks.value}


def _owner(choice: OwnerChoice) -> dict[str, Any]:
    owner = choice.owner
    return _lean(
        kind="mailboxes.team" if owner.team_id else "mailboxes.systemuser",
        id=str(owner.team_id or owner.user_id or ""),
        name=owner.name[:200],
        why=choice.because.value,
        via=_party(choice.party) if choice.party else None,
    )


def _failure(failure: Failure) -> dict[str, Any]:
    return _lean(
        code=failure.code,
        text=failure.text[:1000],
        attempt=failure.attempt,
        attempts=failure.attempts,
        next=_time(failure.next_attempt_at),
    )


# What may stay when the retention ends, at any depth: no names, addresses, ids of messages, texts.
_IMPERSONAL = frozenset(
    {
        *(
            "v",
            "outcome",
            "reason",
            "sub_reason",
            "at",
            "size",
            "received",
            "skip",
            "detail",
            "limit",
        ),
        *("duplicate_of", "id_reused", "internal", "n", "list", "kind", "role", "reading"),
        *("accepted", "why", "filter", "parties", "entity", "correlation", "method", "step"),
        *("tried", "outcome", "subject_changed", "failure", "code", "attempt", "attempts"),
        *("owner", "queue_items", "way", "filed", "conversations", "denied", "lacks"),
        *("compared", "days", "scores", "words", "words_needed", "addresses", "addresses_needed"),
        *("report", "by", "of", "told", "result", "noted"),
    }
)


def without_personal(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same decision without names, addresses and ids of messages: outcome and reasons stay."""
    return {**_blank(data), "blanked": True}


def _blank(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _blank(inner) for key, inner in value.items() if key in _IMPERSONAL}
    if isinstance(value, list):
        return [_blank(inner) for inner in value]
    return value


def without_subjects(data: Mapping[str, Any]) -> dict[str, Any]:
    """For readers from whom the message is hidden (R8.30): a case that was made of it has its subject for
    a title, and a bounce is matched by the subject of what it returns."""
    shown = dict(data)
    regarding, report = shown.get("regarding"), shown.get("report")
    if isinstance(regarding, Mapping) and regarding.get("kind") == CASE:
        shown["regarding"] = {**regarding, "name": _number_of_case(shown.get("made"))}
    if isinstance(report, Mapping) and report.get("by") == ReportWay.HEADER:
        shown["report"] = {key: value for key, value in report.items() if key != "for"}
    return shown


def _number_of_case(made: Any) -> str:
    notes = [note for note in made if isinstance(note, Mapping)] if isinstance(made, list) else []
    numbers = (note.get("case") for note in notes if note.get("said") == Said.CASE)
    return str(next(numbers, ""))
