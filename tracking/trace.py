"""The decision on one item as data and as sentences: why a message is, or isn't, a record here.

`to_data` makes what is stored beside the item or the email: JSON-safe, versioned, compact, without
subject and body (the subject has a column of its own under the rules of privacy). `sentences` tells
stored data to a person, in the reader's language: the first sentence is the whole story in one line,
the others are the steps. `without_personal` is what stays when the retention ends (R3.73).

Data once stored is read for ever: `sentences` takes what any version wrote, missing keys included,
and says nothing about what it doesn't know. Change the meaning of a key only with a new VERSION.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar
from uuid import UUID

from django.apps import apps
from django.db.models import IntegerChoices, TextChoices
from django.template.defaultfilters import filesizeformat
from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from activities.choices import ParticipationType
from activities.mime.message import ParsedMessage
from mailboxes.choices import FilteringMethod
from tracking import creation_words, report_words
from tracking.acceptance import NO_CANDIDATE, Acceptance, Party, PartyVerdict, is_automatic
from tracking.choices import (
    AcceptReason,
    AttemptOutcome,
    CorrelationStep,
    InternalCheck,
    Lacks,
    LinkBecause,
    Outcome,
    OwnerBecause,
    PartyKind,
    QueueItemBecause,
    ResolvedBecause,
    SkipReason,
    SubReason,
    Way,
    Why,
)
from tracking.correlate import Attempt, Correlation, Scored
from tracking.creation import CASE, Creation
from tracking.ownership import OwnerChoice
from tracking.report_words import Report
from tracking.resolution import Match, RecipientResolution, Resolution

T = TypeVar("T")

VERSION = 1
MOMENT = "Y-m-d H:i T"  # in every language; ends in the zone, so that a full stop may follow
UNTRACKED = "Untracked"  # an item whose tracking category somebody took off
PRIVILEGE_DENIED = "PrivilegeDenied"  # who accepts it may not own email (R3.29)
DISMISSED = "Dismissed"  # an item that somebody let go of: its reason from then on
MOST_ENTRIES = 25  # of one list; a message to 5,000 people explains itself with fewer


class Kind(StrEnum):
    """What a sentence is about; pages group by it."""

    SUMMARY = "summary"
    MESSAGE = "message"
    ADDRESS = "address"
    CORRELATION = "correlation"
    CANDIDATE = "candidate"
    RESULT = "result"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing to say. `rule`: its number in the behaviour rules, "" if none."""

    text: str
    rule: str = ""
    kind: Kind = Kind.SUMMARY

    def __str__(self) -> str:
        return f"{self.text} ({self.rule})" if self.rule else self.text


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


# -- sentences -----------------------------------------------------------------------------------


def sentences(data: Mapping[str, Any]) -> list[Sentence]:
    """The whole story first, then the steps. Translated when called."""
    return [
        summary(data),
        *_about_message(data),
        *_about_addresses(data),
        *_about_correlation(data),
        *_about_candidates(data),
        *_about_result(data),
        *_advice(data),
    ]


def summary(data: Mapping[str, Any]) -> Sentence:
    """The first sentence alone, for lists."""
    tell = {
        Outcome.TRACKED: _tracked,
        Outcome.REJECTED: _rejected,
        Outcome.DUPLICATE: _duplicate,
        Outcome.SKIPPED: _skipped,
        Outcome.QUARANTINED: _quarantined,
        Outcome.RETRYING: _retrying,
        Outcome.GONE: _gone,
    }.get(_text(data, "outcome"))  # type: ignore[call-overload]
    return tell(data) if tell else Sentence(_("Nothing is recorded about this decision."))


def _tracked(data: Mapping[str, Any]) -> Sentence:
    reason, who = _text(data, "reason"), _who(_map(data, "entity"))
    if _text(data, "sub_reason") == SubReason.MANUAL:
        return Sentence(_("Tracked by hand: no filter was asked."), "R3.18")
    if _text(data, "sub_reason") == SubReason.FOLDER_RULE:
        if folder := _text(_map(data, "folder"), "name"):
            text = _("Tracked: it lies in the tracked folder “%(folder)s”, so no filter was asked.")
            return Sentence(text % {"folder": folder}, "R7.6")
        return Sentence(_("Tracked: it lies in a tracked folder, so no filter was asked."), "R7.6")
    if _text(data, "sub_reason") == SubReason.CATEGORY:
        text = _("Tracked: it carries the tracking category, so no filter was asked.")
        return Sentence(text, "R7.21")
    if reason == AcceptReason.CORRELATION_MATCH.code:
        text = _("Tracked, CorrelationMatch: %(who)s takes replies, and this answers stored email.")
        return Sentence(text % {"who": who}, "R3.24")
    if reason == AcceptReason.SENDER_MATCH.code and _text(data, "way") == Way.SENT:
        text = _("Tracked, SenderMatch: %(who)s takes sent mail to known recipients.")
        return Sentence(text % {"who": who}, "R3.60")
    if reason == AcceptReason.ACCEPT_ALL.code and _text(data, "way") == Way.SENT:
        text = _("Tracked, AcceptAll: sent by %(who)s, whose filter takes all email.")
        return Sentence(text % {"who": who}, "R3.60")
    if reason == AcceptReason.SENDER_MATCH.code:
        if sender := _record(_map(_map(data, "sender"), "match")):
            text = _("Tracked, SenderMatch: %(who)s takes mail of known senders: %(sender)s.")
            return Sentence(text % {"who": who, "sender": sender}, "R3.24")
        text = _("Tracked, SenderMatch: %(who)s takes mail of known senders.")
        return Sentence(text % {"who": who}, "R3.24")
    if reason == AcceptReason.ACCEPT_ALL.code:
        accepting = next(
            (p for p in _entries(data, "parties") if p.get("accepted") and not p.get("lacks")), {}
        )
        if accepting and not ("role" in accepting or accepting.get("delivered")):
            text = _(
                "Tracked, AcceptAll: the mailbox of %(who)s was read and its filter takes all"
                " email, though it is no recipient (list mail or Bcc)."
            )
            return Sentence(text % {"who": who}, "R3.27")
        text = _("Tracked, AcceptAll: the filter of %(who)s takes all email.")
        return Sentence(text % {"who": who}, "R3.24")
    return Sentence(_("Tracked: %(reason)s.") % {"reason": reason or _("no reason recorded")})


def _rejected(data: Mapping[str, Any]) -> Sentence:
    reason = _text(data, "reason")
    if reason == AcceptReason.INVALID_SENDER.code:
        text = _("Rejected, InvalidSender: the message has no From address that could be used.")
        return Sentence(text, "R3.12")
    if reason == AcceptReason.NO_RECIPIENT_MATCH.code:
        return _no_recipient_match(data)
    if reason == AcceptReason.NO_CORRELATION_MATCH.code:
        return _no_correlation_match(data)
    if reason == AcceptReason.INTERNAL_EMAIL_REJECT.code:
        text = _(
            "Rejected, InternalEmailReject: sender and recipients are own users or queues, and mail"
            " between them is tracked once, as the sent copy."
        )
        return Sentence(text, "R3.41")
    if reason == UNTRACKED:
        text = _(
            "Untracked: somebody took the tracking category off. The email stays here; this copy of it"
            " is no longer linked to it."
        )
        return Sentence(text, "R7.21")
    if reason == "InvalidForwardMailItem":
        return Sentence(_invalid_forward(_text(data, "sub_reason")), "R3.75")
    return Sentence(_("Rejected, %(reason)s.") % {"reason": reason or _("no reason recorded")})


def _invalid_forward(sub: str) -> str:
    if sub == SubReason.FORWARDER_UNKNOWN:
        return _(
            "Rejected, InvalidForwardMailItem: the sender is no user or queue here, so nobody can"
            " have forwarded it to this forward mailbox."
        )
    if sub == SubReason.METHOD_NOT_FORWARD:
        return _(
            "Rejected, InvalidForwardMailItem: the incoming method of the user or queue who sent it"
            " to this forward mailbox is not “Forward Mailbox”."
        )
    return _(
        "Rejected, InvalidForwardMailItem: it came to a forward mailbox, but has no original"
        " attached to it."
    )


def _no_recipient_match(data: Mapping[str, Any]) -> Sentence:
    sub = _text(data, "sub_reason")
    reading = next((p for p in _entries(data, "parties") if p.get("reading")), None)
    if sub == SubReason.ONLY_READING_PARTY:
        text = _(
            "Rejected, NoRecipientMatch: only the mailbox being read decides here, and its user or"
            " queue is no recipient."
        )
        return Sentence(text, "R3.22")
    if sub == SubReason.PARTY_INACTIVE:
        text = _(
            "Rejected, NoRecipientMatch: those among the recipients who are here are inactive."
        )
        return Sentence(text, "R3.22")
    if left_open := _own_left_open(data):
        text = _(
            "Rejected, NoRecipientMatch: several records have %(address)s, among them %(record)s, and"
            " the organization leaves such addresses unresolved."
        )
        return Sentence(text % left_open, "R3.36")
    if reading and _text(reading, "why") == Why.NOT_RECIPIENT:
        text = _(
            "Rejected, NoRecipientMatch: no recipient is a user or queue here. It came to %(who)s as"
            " list mail or Bcc, which only the filter “%(filter)s” takes."
        )
        return Sentence(text % {"who": _who(reading), "filter": FilteringMethod.ALL.label}, "R3.27")
    text = _("Rejected, NoRecipientMatch: no recipient is an active user or queue here.")
    return Sentence(text, "R3.22")


def _own_left_open(data: Mapping[str, Any]) -> dict[str, str]:
    """The first recipient who would be a user or queue, were the address not left open."""
    for recipient in _entries(data, "recipients"):
        for match in _entries(recipient, "others"):
            if _text(match, "kind") in PartyKind:
                return {"address": _text(recipient, "address"), "record": _record(match)}
    return {}


def _no_correlation_match(data: Mapping[str, Any]) -> Sentence:
    judged = [p for p in _entries(data, "parties") if _text(p, "why") not in NO_CANDIDATE]
    first = judged[0] if judged else {}
    sub = _text(data, "sub_reason")
    said, rule = _refusal(sub, first)
    values = {"who": _who(first), "more": len(judged) - 1}
    text = _("Rejected, NoCorrelationMatch: %(said)s") % {"said": said % values}
    if len(judged) > 1:
        more = ngettext(
            "%(more)d other filter doesn't take it, either.",
            "%(more)d other filters don't take it, either.",
            len(judged) - 1,
        )
        text = f"{text} {more % values}"
    return Sentence(text, rule)


def _refusal(sub: str, first: Mapping[str, Any]) -> tuple[str, str]:
    """The sentence about the filter that spoke first, with %(who)s, and its rule."""
    if sub == SubReason.FILTER_REPLIES_ONLY:
        return _(
            "the filter of %(who)s accepts replies only, and this message answers nothing stored"
            " here."
        ), "R3.24"
    if sub == SubReason.TOKEN_UNKNOWN:
        return _(
            "the filter of %(who)s accepts replies only, and nothing stored here has the tracking"
            " token of this message."
        ), "R3.15"
    if sub == SubReason.FILTER_NONE:
        return _("the filter of %(who)s accepts no email."), "R3.24"
    if sub == SubReason.FILTER_SENDER_UNKNOWN:
        if _number(first, "filter") == FilteringMethod.EMAIL_ENABLED:
            return _(
                "the filter of %(who)s accepts mail from known addresses only, and no record has"
                " the sender's."
            ), "R3.24"
        return _(
            "the filter of %(who)s accepts mail from leads, contacts and accounts only, and the"
            " sender is none of them."
        ), "R3.24"
    if sub == SubReason.FILTER_RECIPIENTS_UNKNOWN:
        return _(
            "it was sent by %(who)s, whose filter asks for known addresses, and no recipient is one."
        ), "R3.60"
    if sub == SubReason.AUTO_SUBMITTED:
        return _("this is automatic mail, and the organization does not track it."), "R3.13"
    return _("no filter accepts this message."), "R3.24"


def _duplicate(data: Mapping[str, Any]) -> Sentence:
    return Sentence(
        _("Duplicate: this message is stored here already, so no second email is made."), "R3.20"
    )


def _skipped(data: Mapping[str, Any]) -> Sentence:
    reason, skip = _text(data, "reason"), _map(data, "skip")
    detail, limit = _text(skip, "detail"), _text(skip, "limit")
    if reason == SkipReason.BEFORE_START:
        if not (detail and limit):
            return Sentence(_("Skipped: received before the start date."), "R3.6")
        text = _("Skipped: received %(at)s, before the start date %(limit)s.")
        return Sentence(text % {"at": _moment(detail), "limit": _moment(limit)}, "R3.6")
    if reason == SkipReason.BEFORE_WATERMARK:
        text = _("Skipped: received %(at)s, when mail up to %(limit)s had been processed.")
        return Sentence(text % {"at": _moment(detail), "limit": _moment(limit)}, "R3.9")
    if reason == SkipReason.OWN_PROBE:
        return Sentence(_("Skipped: this is a test message that this site sent itself."), "R2.14")
    if reason == SkipReason.CALENDAR:
        text = _(
            "Skipped: calendar traffic (%(method)s) is a matter of appointments, not of email."
        )
        return Sentence(text % {"method": detail or "?"}, "R3.14")
    if reason == SkipReason.TOO_LARGE:
        size = _octets(detail or str(_number(data, "size")))
        if not limit:
            return Sentence(_("Skipped: %(size)s is too large.") % {"size": size}, "R3.10")
        text = _("Skipped: the message has %(size)s, and %(limit)s is the most that is read.")
        return Sentence(text % {"size": size, "limit": _octets(limit)}, "R3.10")
    if reason == SkipReason.RIGHTS_PROTECTED:
        text = _("Skipped: rights-protected mail is left alone in this organization.")
        return Sentence(text, "R3.11")
    if reason == SkipReason.FORWARD_WRAPPER:
        text = _("Skipped: only a wrapper; the forwarded originals in it are items of their own.")
        return Sentence(text, "R3.75")
    if reason == DISMISSED:
        code, why = _failure_words(data)
        text = _(
            "Dismissed by hand, after %(code)s: it could not be stored, and its original is not"
            " kept here. %(why)s"
        )
        return Sentence((text % {"code": code, "why": why}).rstrip(), "R3.67")
    return Sentence(_("Skipped: %(reason)s.") % {"reason": reason or _("no reason recorded")})


def _quarantined(data: Mapping[str, Any]) -> Sentence:
    code, why = _failure_words(data)
    text = _("Quarantined, %(code)s: the message could not be stored. %(why)s")
    return Sentence((text % {"code": code, "why": why}).rstrip(), "R3.67")


def _retrying(data: Mapping[str, Any]) -> Sentence:
    code, why = _failure_words(data)
    failure = _map(data, "failure")
    text = _("Not stored yet, %(code)s: attempt %(attempt)d of %(attempts)d failed. %(why)s")
    values = {
        "code": code,
        "why": why,
        "attempt": _number(failure, "attempt"),
        "attempts": _number(failure, "attempts"),
    }
    return Sentence((text % values).rstrip(), "R3.72")


def _gone(data: Mapping[str, Any]) -> Sentence:
    return Sentence(_("Gone: the message was no longer on the server when it was to be read."))


def _failure_words(data: Mapping[str, Any]) -> tuple[str, str]:
    failure = _map(data, "failure")
    code = _text(failure, "code") or _text(data, "reason") or AcceptReason.UNKNOWN.code
    if code == PRIVILEGE_DENIED and (denied := _map(data, "denied")):
        text = _("%(who)s takes it, but may not own email: %(lacks)s.") % _lacking(denied)
        return code, text[:1].upper() + text[1:]
    return code, _text(failure, "text")


def _lacking(party: Mapping[str, Any]) -> dict[str, str]:
    """Who lacks what (R3.29); of a queue it is the owner."""
    lacks = _label(Lacks, party.get("lacks"))
    if _text(party, "kind") == PartyKind.QUEUE:
        lacks = _("its owner is %(lacks)s") % {"lacks": lacks}
    return {"who": _who(party), "lacks": lacks}


def _about_message(data: Mapping[str, Any]) -> Iterator[Sentence]:
    message = _map(data, "message")
    if message:
        text = _("From %(sender)s, %(size)s, message id %(id)s.")
        values = {
            "sender": _text(message, "sender") or _("nobody"),
            "size": _octets(str(_number(data, "size"))),
            "id": _text(message, "id") or _("missing"),
        }
        yield Sentence(text % values, "", Kind.MESSAGE)
    if _text(data, "way") == Way.SENT:
        yield Sentence(_("Found in sent items."), "R3.60", Kind.MESSAGE)
    if forwarder := _map(data, "forwarded_by"):
        text = _("Forwarded as an attachment by %(who)s, and judged as if read there.")
        yield Sentence(text % {"who": _who(forwarder)}, "R3.75", Kind.MESSAGE)
    if (automatic := _text(message, "auto")) and is_automatic(automatic):
        text = _("It says of itself that it is automatic (%(value)s).")
        yield Sentence(text % {"value": automatic}, "R3.13", Kind.MESSAGE)
    if data.get("id_reused"):
        text = _(
            "Other mail with this Message-ID but another date or sender is stored here; this one"
            " counts as a message of its own."
        )
        yield Sentence(text, "R3.20", Kind.MESSAGE)
    for defect in _entries(message, "defects"):
        text = _("Not as it should be: %(code)s. %(detail)s")
        values = {
            "code": _text(defect, "code").replace("_", " "),
            "detail": _text(defect, "detail"),
        }
        yield Sentence((text % values).rstrip(), "", Kind.MESSAGE)


def _about_addresses(data: Mapping[str, Any]) -> Iterator[Sentence]:
    sender = _map(data, "sender")
    if sender:
        yield _about_sender(sender)
        yield from _about_ignored(sender)
    recipients = _entries(data, "recipients")
    for recipient in recipients:
        yield _about_recipient(recipient)
        yield from _about_ignored(recipient)
    if (more := _count(data, "recipients") - len(recipients)) > 0:
        text = ngettext("And %(more)d more recipient.", "And %(more)d more recipients.", more)
        yield Sentence(text % {"more": more}, "", Kind.ADDRESS)


def _about_sender(sender: Mapping[str, Any]) -> Sentence:
    values = {
        "address": _text(sender, "address"),
        "record": _record(_map(sender, "match")),
        "others": ", ".join(_record(other) for other in _entries(sender, "others")),
    }
    why = _text(sender, "why")
    if why == ResolvedBecause.NO_ADDRESS:
        return Sentence(_("The sender has no usable address."), "R3.12", Kind.ADDRESS)
    if why == ResolvedBecause.TOO_MANY:
        text = _("Sender %(address)s: more than 100 records have this address; left unresolved.")
        return Sentence(text % values, "R3.34", Kind.ADDRESS)
    if why == ResolvedBecause.LEFT_OPEN:
        text = _(
            "Sender %(address)s: several records have this address, and the organization leaves such"
            " a sender unresolved: %(others)s."
        )
        return Sentence(text % values, "R3.35", Kind.ADDRESS)
    if not values["record"]:
        text = _("Sender %(address)s: no record has this address; left unresolved.")
        return Sentence(text % values, "R3.37", Kind.ADDRESS)
    if why == ResolvedBecause.OWNED:
        text = _(
            "Sender %(address)s: %(record)s, which the owner of the mailbox being read owns. Also with"
            " this address: %(others)s."
        )
        return Sentence(text % values, "R3.33", Kind.ADDRESS)
    if values["others"]:
        text = _(
            "Sender %(address)s: %(record)s, being first in the order of kinds, active before"
            " inactive, then the oldest. Also with this address: %(others)s."
        )
        return Sentence(text % values, "R3.32", Kind.ADDRESS)
    text = _("Sender %(address)s: %(record)s, the only record with this address.")
    return Sentence(text % values, "R3.32", Kind.ADDRESS)


def _about_recipient(recipient: Mapping[str, Any]) -> Sentence:
    values = {
        "role": _header(recipient.get("role")),
        "address": _text(recipient, "address"),
        "records": ", ".join(_record(match) for match in _entries(recipient, "matches")),
        "others": ", ".join(_record(match) for match in _entries(recipient, "others")),
    }
    why = _text(recipient, "why")
    if why == ResolvedBecause.TOO_MANY:
        text = _("%(role)s %(address)s: more than 100 records have it; left unresolved.")
        return Sentence(text % values, "R3.34", Kind.ADDRESS)
    if why == ResolvedBecause.LEFT_OPEN:
        text = _(
            "%(role)s %(address)s: several records have it, and the organization leaves such a"
            " recipient unresolved: %(others)s."
        )
        return Sentence(text % values, "R3.36", Kind.ADDRESS)
    if not values["records"]:
        text = _("%(role)s %(address)s: no record has this address; left unresolved.")
        return Sentence(text % values, "R3.37", Kind.ADDRESS)
    return Sentence(_("%(role)s %(address)s: %(records)s.") % values, "R3.36", Kind.ADDRESS)


def _about_ignored(resolution: Mapping[str, Any]) -> Iterator[Sentence]:
    for match in _entries(resolution, "ignored"):
        text = _("%(address)s also belongs to %(record)s: inactive records don't count here.")
        if _text(match, "kind") == PartyKind.USER:
            text = _("%(address)s also belongs to %(record)s, who is disabled and does not count.")
        values = {"address": _text(resolution, "address"), "record": _record(match)}
        yield Sentence(text % values, "R3.39", Kind.ADDRESS)


def _about_correlation(data: Mapping[str, Any]) -> Iterator[Sentence]:
    correlation = _map(data, "correlation")
    for attempt in _entries(correlation, "tried"):
        tell = {
            CorrelationStep.TRACKING_TOKEN: _about_token,
            CorrelationStep.CONVERSATION_INDEX: _about_conversation_index,
            CorrelationStep.SMART_MATCHING: _about_smart_matching,
        }.get(_text(attempt, "step"), _about_ids)  # type: ignore[call-overload]
        yield tell(attempt)
    for text, rule in report_words.lines_of(data.get("report")):
        yield Sentence(text, rule, Kind.CORRELATION)
    if correlation.get("subject_changed"):
        text = _("Its subject is another one than that of the email it answers.")
        yield Sentence(text, "R4.5", Kind.CORRELATION)


def _about_ids(attempt: Mapping[str, Any]) -> Sentence:
    values = {
        "step": _label(CorrelationStep, attempt.get("step")),
        "ids": ", ".join(_looked_for(attempt)),
        "found": _text(attempt, "found"),
    }
    outcome = _text(attempt, "outcome")
    rule = "R5.21" if attempt.get("step") == CorrelationStep.REPORT else "R4.4"
    if outcome == AttemptOutcome.FOUND:
        text = _("%(step)s: %(found)s is the id of an email stored here.")
    elif outcome == AttemptOutcome.NOT_FOUND:
        text = _("%(step)s: no email stored here has the id %(ids)s.")
    elif outcome == AttemptOutcome.SWITCHED_OFF:
        text, rule = _("%(step)s: switched off in the organization."), "R4.3"
    elif attempt.get("step") == CorrelationStep.REFERENCES:
        text = _("%(step)s: the message names no further ids.")
    else:
        text = _("%(step)s: the message has none.")
    return Sentence(text % values, rule, Kind.CORRELATION)


def _about_token(attempt: Mapping[str, Any]) -> Sentence:
    shared, conversations = attempt.get("shared"), _number(attempt, "conversations")
    values = {
        "token": _text(attempt, "found"),
        "tokens": ", ".join(_looked_for(attempt)),
        "count": conversations,
        "who": ", ".join(str(address) for address in shared) if isinstance(shared, list) else "",
    }
    text, rule = _of_token(_text(attempt, "outcome"), bool(shared), conversations > 1)
    return Sentence(text % values, rule, Kind.CORRELATION)


def _of_token(outcome: str, shared: bool, several: bool) -> tuple[str, str]:
    if outcome == AttemptOutcome.FOUND and shared and several:
        text = _(
            "Tracking token: of %(count)s conversations with %(token)s the most recent one with"
            " common participants: %(who)s."
        )
        return text, "R4.8"
    if outcome == AttemptOutcome.FOUND and shared:
        text = _(
            "Tracking token: %(token)s is that of a conversation stored here. Common participants:"
            " %(who)s."
        )
        return text, "R4.12"
    if outcome == AttemptOutcome.FOUND:
        return _("Tracking token: %(token)s is that of a conversation stored here."), "R4.12"
    if outcome == AttemptOutcome.NOT_BELIEVED:
        text = _(
            "Tracking token: %(tokens)s is stored here, but neither the sender nor a recipient takes"
            " part in that conversation. Not believed."
        )
        return text, "R4.13"
    if outcome == AttemptOutcome.NOT_FOUND:
        return _("Tracking token: no email stored here has %(tokens)s."), "R4.12"
    if outcome == AttemptOutcome.SWITCHED_OFF:
        return _("Tracking token: switched off in the organization."), "R4.3"
    return _("Tracking token: the subject has none."), "R4.12"


def _about_conversation_index(attempt: Mapping[str, Any]) -> Sentence:
    outcome = _text(attempt, "outcome")
    if outcome == AttemptOutcome.FOUND:
        text = _("Conversation index: an email of the same conversation is stored here.")
    elif outcome == AttemptOutcome.NOT_FOUND:
        text = _("Conversation index: no email of this conversation is stored here.")
    elif outcome == AttemptOutcome.SWITCHED_OFF:
        text = _("Conversation index: switched off in the organization.")
        return Sentence(text, "R4.3", Kind.CORRELATION)
    else:
        text = _("Conversation index: the message has none.")
    return Sentence(text, "R4.14", Kind.CORRELATION)


def _about_smart_matching(attempt: Mapping[str, Any]) -> Sentence:
    best = next(iter(_entries(attempt, "scores")), {})
    keys = ("words", "words_needed", "addresses", "addresses_needed")
    values = {key: _number(best, key) for key in keys}
    values |= {"days": _number(attempt, "days"), "count": _number(attempt, "compared")}
    outcome, rule = _text(attempt, "outcome"), "R4.16"
    if outcome == AttemptOutcome.FOUND:
        text = _(
            "Smart matching: the newest email that shares enough: words of the subject %(words)s (needed"
            " %(words_needed)s), addresses %(addresses)s (needed %(addresses_needed)s)."
        )
    elif outcome == AttemptOutcome.NOT_FOUND and best:
        text = _(
            "Smart matching: of %(count)s emails with such a subject none matches. The nearest shares:"
            " words %(words)s (needed %(words_needed)s), addresses %(addresses)s (needed"
            " %(addresses_needed)s)."
        )
    elif outcome == AttemptOutcome.NOT_FOUND:
        text = _("Smart matching: no email of the last %(days)s days has such a subject.")
        rule = "R4.17"
    elif outcome == AttemptOutcome.SWITCHED_OFF:
        text, rule = _("Smart matching: switched off in the organization."), "R4.3"
    else:
        text = _("Smart matching: the message has no words in its subject, or too few addresses.")
    return Sentence(text % values, rule, Kind.CORRELATION)


def _looked_for(attempt: Mapping[str, Any]) -> list[str]:
    ids = attempt.get("ids")
    return [str(i) for i in ids] if isinstance(ids, list) else []


def _about_candidates(data: Mapping[str, Any]) -> Iterator[Sentence]:
    yield from _about_internal(data)
    for party in _entries(data, "parties"):
        why = _text(party, "why")
        values = {
            "who": _who(party),
            "role": _role(party),
            "filter": _label(FilteringMethod, party.get("filter")),
            "why": _label(Why, why),
            "answer": _("accepts") if party.get("accepted") else _("does not accept"),
        }
        if why in NO_CANDIDATE:
            text = _("%(who)s, %(role)s: not asked (%(why)s).")
        else:
            text = _("%(who)s, %(role)s, filter “%(filter)s”: %(answer)s (%(why)s).")
        line = text % values
        yield Sentence(line[:1].upper() + line[1:], _rule_of(party), Kind.CANDIDATE)
        yield from _about_rights(party)


def _about_internal(data: Mapping[str, Any]) -> Iterator[Sentence]:
    """Nothing where two activities are wanted: then who sent it plays no part."""
    check = _text(data, "internal")
    sender = _record(_map(_map(data, "sender"), "match")) or _("a user or queue")
    text, rule = {
        InternalCheck.NOT_CHECKED.value: (
            _("Whether this is mail between own users was not checked."),
            "R3.41",
        ),
        InternalCheck.NOT_INTERNAL.value: (
            _("The sender is no user or queue here, so this is no mail between own users."),
            "R3.41",
        ),
        InternalCheck.FROM_QUEUE.value: (
            _("Mail from %(sender)s: what a queue sends is tracked at both ends."),
            "R3.43",
        ),
        InternalCheck.SENT_COPY_STORED.value: (
            _(
                "Mail from %(sender)s, whose sent copy is stored: users who receive it aren't asked."
            ),
            "R3.44",
        ),
        InternalCheck.SENT_COPY_MISSING.value: (
            _(
                "Mail from %(sender)s, whose sent copy isn't stored: users who receive it are asked."
            ),
            "R3.44",
        ),
        InternalCheck.ALWAYS.value: (
            _("Mail from %(sender)s: users who receive it aren't asked."),
            "R3.41",
        ),
    }.get(check, ("", ""))
    if text:
        yield Sentence(text % {"sender": sender}, rule, Kind.CANDIDATE)


def _about_rights(party: Mapping[str, Any]) -> Iterator[Sentence]:
    """What else decided about a party than its filter."""
    if delivered := _text(party, "delivered"):
        text = _("The envelope names %(address)s, so it is judged like a recipient.")
        yield Sentence(text % {"address": delivered}, "R10.9", Kind.CANDIDATE)
    if party.get("accepted") and party.get("lacks"):
        text = _("But %(who)s may not own email: %(lacks)s.")
        yield Sentence(text % _lacking(party), "R3.29", Kind.CANDIDATE)


def _rule_of(party: Mapping[str, Any]) -> str:
    why = _text(party, "why")
    if why == Why.INTERNAL and _text(party, "kind") == PartyKind.QUEUE:
        return "R3.42"
    return _RULE_OF.get(why, "R3.24")


_RULE_OF: dict[str, str] = {
    Why.INACTIVE.value: "R3.22",
    Why.NOT_READING.value: "R3.22",
    Why.NOT_RECIPIENT.value: "R3.27",
    Why.INTERNAL.value: "R3.41",
    Why.AUTO_SUBMITTED.value: "R3.13",
}


def _role(party: Mapping[str, Any]) -> str:
    if "role" not in party:
        return _("whose mailbox is being read")
    role = _header(party.get("role"))
    if party.get("reading"):
        return _("%(role)s, whose mailbox is being read") % {"role": role}
    return role


def _about_result(data: Mapping[str, Any]) -> Iterator[Sentence]:
    if owner := _map(data, "owner"):
        values = {
            "owner": _record(owner),
            "why": _label(OwnerBecause, owner.get("why")),
            "via": _who(_map(owner, "via")),
        }
        text = _("Owner: %(owner)s (%(why)s).") if _text(owner, "name") else _("Owner: %(why)s.")
        if _text(owner, "name") and _map(owner, "via").get("kind") == PartyKind.QUEUE:
            text = _("Owner: %(owner)s, who owns %(via)s (%(why)s).")
        yield Sentence(text % values, "R3.48", Kind.RESULT)
    if regarding := _record(_map(data, "regarding")):
        if hook := _text(data, "hook"):
            text = _("Regarding: %(record)s, as the site's own code says (%(hook)s).")
            yield Sentence(text % {"record": regarding, "hook": hook}, "R3.52a", Kind.RESULT)
        elif folder := _text(_map(data, "folder"), "name"):
            text = _("Regarding: %(record)s, as the folder “%(folder)s” says.")
            yield Sentence(text % {"record": regarding, "folder": folder}, "R7.10", Kind.RESULT)
        elif _text(_map(data, "regarding"), "kind") == CASE and _made_case(data):
            text = _("Regarding: %(record)s, which was made of it.")
            yield Sentence(text % {"record": regarding}, "R3.59", Kind.RESULT)
        else:
            text = _("Regarding: %(record)s, as the email that it answers.")
            yield Sentence(text % {"record": regarding}, "R3.49", Kind.RESULT)
    for text, rule in creation_words.lines_of(data.get("made")):
        yield Sentence(text, rule, Kind.RESULT)
    if filed := _map(data, "filed"):
        text = _("The folder “%(folder)s”: %(why)s.")
        values = {
            "folder": _text(filed, "folder"),
            "why": _label(LinkBecause, filed.get("why")),
        }
        yield Sentence(text % values, "R7.11", Kind.RESULT)
    for item in _entries(data, "queue_items"):
        text = _("Waits in %(queue)s: %(why)s.")
        values = {"queue": _who(item), "why": _label(QueueItemBecause, item.get("why"))}
        rule = _QUEUE_RULE.get(_text(item, "why"), "R3.53")
        yield Sentence(text % values, rule, Kind.RESULT)
    for dropped in _entries(data, "dropped"):
        text = _("Attachment %(name)s (%(size)s) was left out: %(why)s.")
        why = _text(dropped, "why")
        name = "".join(letter for letter in _text(dropped, "name") if letter.isprintable())
        values = {
            "name": name or _("without a name"),
            "size": _octets(str(_number(dropped, "size"))),
            "why": dropped_because(why, _text(dropped, "type")),
        }
        rule = "R3.52" if why.startswith("blocked") else "R3.51"
        yield Sentence(text % values, rule, Kind.RESULT)


def _made_case(data: Mapping[str, Any]) -> bool:
    made = data.get("made")
    notes = made if isinstance(made, list) else []
    return any(isinstance(note, Mapping) and note.get("said") == "case" for note in notes)


_QUEUE_RULE: dict[str, str] = {
    QueueItemBecause.READING.value: "R3.54",
    QueueItemBecause.DUPLICATE.value: "R3.55",
}


def dropped_because(why: str, true_type: str = "") -> str:
    """Why a file was left out (R3.51, R3.52)."""
    if why == "too_large":
        return _("larger than the organization allows")
    if why == "blocked":
        return _("its extension is blocked")
    if why == "blocked_type":
        shown = true_type or _("unknown")
        return _("it is a file of the blocked type “%(type)s”, whatever its name says") % {
            "type": shown
        }
    return why or _("no reason recorded")


def _advice(data: Mapping[str, Any]) -> Iterator[Sentence]:
    if text := _what_to_do(data):
        yield Sentence(text, "", Kind.ADVICE)
    if data.get("blanked"):
        text = _("Names and addresses were erased when their retention ended.")
        yield Sentence(text, "R3.73", Kind.ADVICE)


def _what_to_do(data: Mapping[str, Any]) -> str:
    outcome, reason, sub = (_text(data, key) for key in ("outcome", "reason", "sub_reason"))
    if outcome == Outcome.REJECTED:
        return _after_rejection(reason, sub)
    if outcome == Outcome.SKIPPED and reason == SkipReason.BEFORE_START:
        return _("To read older mail, lower “process email received after” of the mailbox.")
    if outcome == Outcome.SKIPPED and reason == SkipReason.TOO_LARGE:
        return _("Ask for the files by another way; the message stays on the server.")
    if outcome == Outcome.QUARANTINED:
        return _of_quarantine(data)
    if outcome == Outcome.RETRYING:
        if at := _text(_map(data, "failure"), "next"):
            return _("It is tried again at %(at)s by itself.") % {"at": _moment(at)}
        return _("It is tried again by itself.")
    return ""


def _of_quarantine(data: Mapping[str, Any]) -> str:
    if data.get("blanked"):
        return ""  # whether an original was kept is no longer said
    if _map(data, "message"):
        return _(
            "The original message is kept: an administrator can download it, retry it once the"
            " cause is gone, or dismiss it. Other mail is not held up."
        )
    return _(
        "No original is kept here, for the server never handed it out: an administrator can retry it"
        " once the cause is gone, or dismiss it. Other mail is not held up."
    )


def _after_rejection(reason: str, sub: str) -> str:
    if reason == AcceptReason.INVALID_SENDER.code:
        return _("If it matters, ask its author to send it again with a proper From address.")
    if reason == "InvalidForwardMailItem":
        return _(
            "Set the incoming method to “Forward Mailbox”, and let the server's rule forward each"
            " message as an attachment."
        )
    if reason == AcceptReason.NO_RECIPIENT_MATCH.code:
        return _(
            "To track such mail, add the address to a user or queue, activate them, or set the"
            " filter of the mailbox that it comes to, to “%(filter)s”."
        ) % {"filter": FilteringMethod.ALL.label}
    if reason != AcceptReason.NO_CORRELATION_MATCH.code:
        return ""
    if sub == SubReason.FILTER_SENDER_UNKNOWN:
        return _("To track mail of this sender, create a contact with the address.")
    if sub == SubReason.FILTER_RECIPIENTS_UNKNOWN:
        return _("To track mail to these people, create contacts with their addresses.")
    if sub == SubReason.AUTO_SUBMITTED:
        return _("To track automatic mail, change the organization's setting.")
    return _("To track such mail, choose a wider filter for the user or queue.")


# -- reading stored data: whatever is there is taken, whatever isn't is left unsaid


def _map(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, Mapping) else {}


def _entries(data: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    entries = _map(data, key).get("list")
    if not isinstance(entries, list):
        return []
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _count(data: Mapping[str, Any], key: str) -> int:
    return _number(_map(data, key), "n")


def _text(data: Mapping[str, Any], key: str) -> str:
    value = data.get(key)
    return value if isinstance(value, str) else ""


def _number(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    return value if isinstance(value, int) else 0


def _label(choices: type[IntegerChoices] | type[TextChoices], value: Any) -> str:
    try:
        return str(choices(value).label)
    except ValueError:
        return "" if value is None else str(value)


def _header(role: Any) -> str:
    """The header that names a recipient, as mail programs write it."""
    if role in (ParticipationType.TO, ParticipationType.CC, ParticipationType.BCC):
        return ParticipationType(role).name.title()
    return _label(ParticipationType, role)


def _who(party: Mapping[str, Any]) -> str:
    name, is_queue = _text(party, "name"), _text(party, "kind") == PartyKind.QUEUE
    if not name:
        return _("a queue") if is_queue else _("a user")
    return (_("queue %(name)s") if is_queue else _("user %(name)s")) % {"name": name}


def _record(match: Mapping[str, Any]) -> str:
    """ "contact Ada", in the words of its model; "" where nothing is recorded."""
    kind, name = _text(match, "kind"), _text(match, "name")
    if not kind:
        return ""
    try:
        word = str(apps.get_model(kind)._meta.verbose_name)
    except (LookupError, ValueError):
        word = kind.rpartition(".")[2]  # a model that this site had once
    text = f"{word} {name}".strip()
    return _("%(record)s (inactive)") % {"record": text} if match.get("inactive") else text


def _moment(iso: str) -> str:
    try:
        return date_format(localtime(datetime.fromisoformat(iso)), MOMENT)
    except (ValueError, OverflowError):
        return iso or "?"


def _octets(number: str) -> str:
    """filesizeformat, with the unbreakable blank that it puts there made plain."""
    return str(filesizeformat(number or 0)).replace("\xa0", " ")
