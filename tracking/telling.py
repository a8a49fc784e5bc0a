"""PURE  A stored decision as sentences, in the reader's language: why a message is, or isn't, a record here.

The first sentence is the whole story in one line, the others are the steps. What any version of
`tracking.trace` wrote is told, missing keys included, and nothing is said about what isn't known.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from mailboxes.choices import FilteringMethod
from tracking import creation_words, report_words, stored
from tracking.acceptance import NO_CANDIDATE, is_automatic
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
from tracking.creation import CASE
from tracking.stored import Data
from tracking.trace import DISMISSED, PRIVILEGE_DENIED, UNTRACKED


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


def sentences(data: Data) -> list[Sentence]:
    """The whole story first, then the steps. Translated when called."""
    return [
        summary(data),
        *about_message(data),
        *about_addresses(data),
        *about_correlation(data),
        *about_candidates(data),
        *about_result(data),
        *about_advice(data),
    ]


def summary(data: Data) -> Sentence:
    """The first sentence alone, for lists."""
    tell = {
        Outcome.TRACKED: _tracked,
        Outcome.REJECTED: _rejected,
        Outcome.DUPLICATE: _duplicate,
        Outcome.SKIPPED: _skipped,
        Outcome.QUARANTINED: _quarantined,
        Outcome.RETRYING: _retrying,
        Outcome.GONE: _gone,
    }.get(stored.text(data, "outcome"))  # type: ignore[call-overload]
    return tell(data) if tell else Sentence(_("Nothing is recorded about this decision."))


def _tracked(data: Data) -> Sentence:
    reason, who = stored.text(data, "reason"), stored.who(stored.map_of(data, "entity"))
    if stored.text(data, "sub_reason") == SubReason.MANUAL:
        return Sentence(_("Tracked by hand: no filter was asked."), "R3.18")
    if stored.text(data, "sub_reason") == SubReason.FOLDER_RULE:
        if folder := stored.text(stored.map_of(data, "folder"), "name"):
            text = _("Tracked: it lies in the tracked folder “%(folder)s”, so no filter was asked.")
            return Sentence(text % {"folder": folder}, "R7.6")
        return Sentence(_("Tracked: it lies in a tracked folder, so no filter was asked."), "R7.6")
    if stored.text(data, "sub_reason") == SubReason.CATEGORY:
        text = _("Tracked: it carries the tracking category, so no filter was asked.")
        return Sentence(text, "R7.21")
    if reason == AcceptReason.CORRELATION_MATCH.code:
        text = _("Tracked, CorrelationMatch: %(who)s takes replies, and this answers stored email.")
        return Sentence(text % {"who": who}, "R3.24")
    if reason == AcceptReason.SENDER_MATCH.code and stored.text(data, "way") == Way.SENT:
        text = _("Tracked, SenderMatch: %(who)s takes sent mail to known recipients.")
        return Sentence(text % {"who": who}, "R3.60")
    if reason == AcceptReason.ACCEPT_ALL.code and stored.text(data, "way") == Way.SENT:
        text = _("Tracked, AcceptAll: sent by %(who)s, whose filter takes all email.")
        return Sentence(text % {"who": who}, "R3.60")
    if reason == AcceptReason.SENDER_MATCH.code:
        if sender := stored.record(stored.map_of(stored.map_of(data, "sender"), "match")):
            text = _("Tracked, SenderMatch: %(who)s takes mail of known senders: %(sender)s.")
            return Sentence(text % {"who": who, "sender": sender}, "R3.24")
        text = _("Tracked, SenderMatch: %(who)s takes mail of known senders.")
        return Sentence(text % {"who": who}, "R3.24")
    if reason == AcceptReason.ACCEPT_ALL.code:
        accepting = next(
            (
                p
                for p in stored.entries(data, "parties")
                if p.get("accepted") and not p.get("lacks")
            ),
            {},
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


def _rejected(data: Data) -> Sentence:
    reason = stored.text(data, "reason")
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
        return Sentence(_invalid_forward(stored.text(data, "sub_reason")), "R3.75")
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


def _no_recipient_match(data: Data) -> Sentence:
    sub = stored.text(data, "sub_reason")
    reading = next((p for p in stored.entries(data, "parties") if p.get("reading")), None)
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
    if reading and stored.text(reading, "why") == Why.NOT_RECIPIENT:
        text = _(
            "Rejected, NoRecipientMatch: no recipient is a user or queue here. It came to %(who)s as"
            " list mail or Bcc, which only the filter “%(filter)s” takes."
        )
        return Sentence(
            text % {"who": stored.who(reading), "filter": FilteringMethod.ALL.label}, "R3.27"
        )
    text = _("Rejected, NoRecipientMatch: no recipient is an active user or queue here.")
    return Sentence(text, "R3.22")


def _own_left_open(data: Data) -> dict[str, str]:
    """The first recipient who would be a user or queue, were the address not left open."""
    for recipient in stored.entries(data, "recipients"):
        for match in stored.entries(recipient, "others"):
            if stored.text(match, "kind") in PartyKind:
                return {
                    "address": stored.text(recipient, "address"),
                    "record": stored.record(match),
                }
    return {}


def _no_correlation_match(data: Data) -> Sentence:
    judged = [
        p for p in stored.entries(data, "parties") if stored.text(p, "why") not in NO_CANDIDATE
    ]
    first = judged[0] if judged else {}
    sub = stored.text(data, "sub_reason")
    said, rule = _refusal(sub, first)
    values = {"who": stored.who(first), "more": len(judged) - 1}
    text = _("Rejected, NoCorrelationMatch: %(said)s") % {"said": said % values}
    if len(judged) > 1:
        more = ngettext(
            "%(more)d other filter doesn't take it, either.",
            "%(more)d other filters don't take it, either.",
            len(judged) - 1,
        )
        text = f"{text} {more % values}"
    return Sentence(text, rule)


def _refusal(sub: str, first: Data) -> tuple[str, str]:
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
        if stored.number(first, "filter") == FilteringMethod.EMAIL_ENABLED:
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


def _duplicate(data: Data) -> Sentence:
    return Sentence(
        _("Duplicate: this message is stored here already, so no second email is made."), "R3.20"
    )


def _skipped(data: Data) -> Sentence:
    reason, skip = stored.text(data, "reason"), stored.map_of(data, "skip")
    detail, limit = stored.text(skip, "detail"), stored.text(skip, "limit")
    if reason == SkipReason.BEFORE_START:
        if not (detail and limit):
            return Sentence(_("Skipped: received before the start date."), "R3.6")
        text = _("Skipped: received %(at)s, before the start date %(limit)s.")
        return Sentence(text % {"at": stored.moment(detail), "limit": stored.moment(limit)}, "R3.6")
    if reason == SkipReason.BEFORE_WATERMARK:
        text = _("Skipped: received %(at)s, when mail up to %(limit)s had been processed.")
        return Sentence(text % {"at": stored.moment(detail), "limit": stored.moment(limit)}, "R3.9")
    if reason == SkipReason.OWN_PROBE:
        return Sentence(_("Skipped: this is a test message that this site sent itself."), "R2.14")
    if reason == SkipReason.CALENDAR:
        text = _(
            "Skipped: calendar traffic (%(method)s) is a matter of appointments, not of email."
        )
        return Sentence(text % {"method": detail or "?"}, "R3.14")
    if reason == SkipReason.TOO_LARGE:
        size = stored.octets(detail or str(stored.number(data, "size")))
        if not limit:
            return Sentence(_("Skipped: %(size)s is too large.") % {"size": size}, "R3.10")
        text = _("Skipped: the message has %(size)s, and %(limit)s is the most that is read.")
        return Sentence(text % {"size": size, "limit": stored.octets(limit)}, "R3.10")
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


def _quarantined(data: Data) -> Sentence:
    code, why = _failure_words(data)
    text = _("Quarantined, %(code)s: the message could not be stored. %(why)s")
    return Sentence((text % {"code": code, "why": why}).rstrip(), "R3.67")


def _retrying(data: Data) -> Sentence:
    code, why = _failure_words(data)
    failure = stored.map_of(data, "failure")
    text = _("Not stored yet, %(code)s: attempt %(attempt)d of %(attempts)d failed. %(why)s")
    values = {
        "code": code,
        "why": why,
        "attempt": stored.number(failure, "attempt"),
        "attempts": stored.number(failure, "attempts"),
    }
    return Sentence((text % values).rstrip(), "R3.72")


def _gone(data: Data) -> Sentence:
    return Sentence(_("Gone: the message was no longer on the server when it was to be read."))


def _failure_words(data: Data) -> tuple[str, str]:
    failure = stored.map_of(data, "failure")
    code = stored.text(failure, "code") or stored.text(data, "reason") or AcceptReason.UNKNOWN.code
    if code == PRIVILEGE_DENIED and (denied := stored.map_of(data, "denied")):
        text = _("%(who)s takes it, but may not own email: %(lacks)s.") % _lacking(denied)
        return code, text[:1].upper() + text[1:]
    return code, stored.text(failure, "text")


def _lacking(party: Data) -> dict[str, str]:
    """Who lacks what (R3.29); of a queue it is the owner."""
    lacks = stored.label(Lacks, party.get("lacks"))
    if stored.text(party, "kind") == PartyKind.QUEUE:
        lacks = _("its owner is %(lacks)s") % {"lacks": lacks}
    return {"who": stored.who(party), "lacks": lacks}


def about_message(data: Data) -> Iterator[Sentence]:
    yield from about_header(data)
    yield from about_way(data)
    yield from about_content(data)


def about_header(data: Data) -> Iterator[Sentence]:
    if message := stored.map_of(data, "message"):
        text = _("From %(sender)s, %(size)s, message id %(id)s.")
        values = {
            "sender": stored.text(message, "sender") or _("nobody"),
            "size": stored.octets(str(stored.number(data, "size"))),
            "id": stored.text(message, "id") or _("missing"),
        }
        yield Sentence(text % values, "", Kind.MESSAGE)


def about_way(data: Data) -> Iterator[Sentence]:
    if stored.text(data, "way") == Way.SENT:
        yield Sentence(_("Found in sent items."), "R3.60", Kind.MESSAGE)
    if forwarder := stored.map_of(data, "forwarded_by"):
        text = _("Forwarded as an attachment by %(who)s, and judged as if read there.")
        yield Sentence(text % {"who": stored.who(forwarder)}, "R3.75", Kind.MESSAGE)


def about_content(data: Data) -> Iterator[Sentence]:
    message = stored.map_of(data, "message")
    if (automatic := stored.text(message, "auto")) and is_automatic(automatic):
        text = _("It says of itself that it is automatic (%(value)s).")
        yield Sentence(text % {"value": automatic}, "R3.13", Kind.MESSAGE)
    yield from about_id(data)
    for defect in stored.entries(message, "defects"):
        text = _("Not as it should be: %(code)s. %(detail)s")
        values = {
            "code": stored.text(defect, "code").replace("_", " "),
            "detail": stored.text(defect, "detail"),
        }
        yield Sentence((text % values).rstrip(), "", Kind.MESSAGE)


def about_id(data: Data) -> Iterator[Sentence]:
    if data.get("id_reused"):
        text = _(
            "Other mail with this Message-ID but another date or sender is stored here; this one"
            " counts as a message of its own."
        )
        yield Sentence(text, "R3.20", Kind.MESSAGE)


def about_addresses(data: Data) -> Iterator[Sentence]:
    sender = stored.map_of(data, "sender")
    if sender:
        yield about_sender(sender)
        yield from about_ignored(sender)
    recipients = stored.entries(data, "recipients")
    for recipient in recipients:
        yield about_recipient(recipient)
        yield from about_ignored(recipient)
    if (more := stored.count(data, "recipients") - len(recipients)) > 0:
        text = ngettext("And %(more)d more recipient.", "And %(more)d more recipients.", more)
        yield Sentence(text % {"more": more}, "", Kind.ADDRESS)


def about_sender(sender: Data) -> Sentence:
    values = {
        "address": stored.text(sender, "address"),
        "record": stored.record(stored.map_of(sender, "match")),
        "others": ", ".join(stored.record(other) for other in stored.entries(sender, "others")),
    }
    why = stored.text(sender, "why")
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


def about_recipient(recipient: Data) -> Sentence:
    values = {
        "role": stored.header(recipient.get("role")),
        "address": stored.text(recipient, "address"),
        "records": ", ".join(
            stored.record(match) for match in stored.entries(recipient, "matches")
        ),
        "others": ", ".join(stored.record(match) for match in stored.entries(recipient, "others")),
    }
    why = stored.text(recipient, "why")
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


def about_ignored(resolution: Data) -> Iterator[Sentence]:
    for match in stored.entries(resolution, "ignored"):
        text = _("%(address)s also belongs to %(record)s: inactive records don't count here.")
        if stored.text(match, "kind") == PartyKind.USER:
            text = _("%(address)s also belongs to %(record)s, who is disabled and does not count.")
        values = {"address": stored.text(resolution, "address"), "record": stored.record(match)}
        yield Sentence(text % values, "R3.39", Kind.ADDRESS)


def about_correlation(data: Data) -> Iterator[Sentence]:
    correlation = stored.map_of(data, "correlation")
    for attempt in stored.entries(correlation, "tried"):
        tell = {
            CorrelationStep.TRACKING_TOKEN: _about_token,
            CorrelationStep.CONVERSATION_INDEX: _about_conversation_index,
            CorrelationStep.SMART_MATCHING: _about_smart_matching,
        }.get(stored.text(attempt, "step"), _about_ids)  # type: ignore[call-overload]
        yield tell(attempt)
    for text, rule in report_words.lines_of(data.get("report")):
        yield Sentence(text, rule, Kind.CORRELATION)
    if correlation.get("subject_changed"):
        text = _("Its subject is another one than that of the email it answers.")
        yield Sentence(text, "R4.5", Kind.CORRELATION)


def _about_ids(attempt: Data) -> Sentence:
    values = {
        "step": stored.label(CorrelationStep, attempt.get("step")),
        "ids": ", ".join(_looked_for(attempt)),
        "found": stored.text(attempt, "found"),
    }
    outcome = stored.text(attempt, "outcome")
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


def _about_token(attempt: Data) -> Sentence:
    shared, conversations = attempt.get("shared"), stored.number(attempt, "conversations")
    values = {
        "token": stored.text(attempt, "found"),
        "tokens": ", ".join(_looked_for(attempt)),
        "count": conversations,
        "who": ", ".join(str(address) for address in shared) if isinstance(shared, list) else "",
    }
    text, rule = _of_token(stored.text(attempt, "outcome"), bool(shared), conversations > 1)
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


def _about_conversation_index(attempt: Data) -> Sentence:
    outcome = stored.text(attempt, "outcome")
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


def _about_smart_matching(attempt: Data) -> Sentence:
    best = next(iter(stored.entries(attempt, "scores")), {})
    keys = ("words", "words_needed", "addresses", "addresses_needed")
    values = {key: stored.number(best, key) for key in keys}
    values |= {"days": stored.number(attempt, "days"), "count": stored.number(attempt, "compared")}
    outcome, rule = stored.text(attempt, "outcome"), "R4.16"
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


def _looked_for(attempt: Data) -> list[str]:
    ids = attempt.get("ids")
    return [str(i) for i in ids] if isinstance(ids, list) else []


def about_candidates(data: Data) -> Iterator[Sentence]:
    yield from about_internal(data)
    yield from about_parties(data)


def about_parties(data: Data) -> Iterator[Sentence]:
    for party in stored.entries(data, "parties"):
        yield from about_party(party)


def about_party(party: Data) -> Iterator[Sentence]:
    """What the filter of one who might have taken it said, or why it was not asked."""
    why = stored.text(party, "why")
    values = {
        "who": stored.who(party),
        "role": _role(party),
        "filter": stored.label(FilteringMethod, party.get("filter")),
        "why": stored.label(Why, why),
        "answer": _("accepts") if party.get("accepted") else _("does not accept"),
    }
    if why in NO_CANDIDATE:
        text = _("%(who)s, %(role)s: not asked (%(why)s).")
    else:
        text = _("%(who)s, %(role)s, filter “%(filter)s”: %(answer)s (%(why)s).")
    line = text % values
    yield Sentence(line[:1].upper() + line[1:], _rule_of(party), Kind.CANDIDATE)
    yield from _about_rights(party)


def about_internal(data: Data) -> Iterator[Sentence]:
    """Nothing where two activities are wanted: then who sent it plays no part."""
    check = stored.text(data, "internal")
    sender = stored.record(stored.map_of(stored.map_of(data, "sender"), "match")) or _(
        "a user or queue"
    )
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


def _about_rights(party: Data) -> Iterator[Sentence]:
    """What else decided about a party than its filter."""
    if delivered := stored.text(party, "delivered"):
        text = _("The envelope names %(address)s, so it is judged like a recipient.")
        yield Sentence(text % {"address": delivered}, "R10.9", Kind.CANDIDATE)
    if party.get("accepted") and party.get("lacks"):
        text = _("But %(who)s may not own email: %(lacks)s.")
        yield Sentence(text % _lacking(party), "R3.29", Kind.CANDIDATE)


def _rule_of(party: Data) -> str:
    why = stored.text(party, "why")
    if why == Why.INTERNAL and stored.text(party, "kind") == PartyKind.QUEUE:
        return "R3.42"
    return _RULE_OF.get(why, "R3.24")


_RULE_OF: dict[str, str] = {
    Why.INACTIVE.value: "R3.22",
    Why.NOT_READING.value: "R3.22",
    Why.NOT_RECIPIENT.value: "R3.27",
    Why.INTERNAL.value: "R3.41",
    Why.AUTO_SUBMITTED.value: "R3.13",
}


def _role(party: Data) -> str:
    if "role" not in party:
        return _("whose mailbox is being read")
    role = stored.header(party.get("role"))
    if party.get("reading"):
        return _("%(role)s, whose mailbox is being read") % {"role": role}
    return role


def about_result(data: Data) -> Iterator[Sentence]:
    yield from about_owner(data)
    yield from about_regarding(data)
    yield from about_made(data)
    yield from about_folder(data)
    yield from about_queues(data)
    yield from about_files(data)


def about_owner(data: Data) -> Iterator[Sentence]:
    owner = stored.map_of(data, "owner")
    if not owner:
        return
    via = stored.map_of(owner, "via")
    values = {
        "owner": stored.record(owner),
        "why": stored.label(OwnerBecause, owner.get("why")),
        "via": stored.who(via),
    }
    if not stored.text(owner, "name"):
        text = _("Owner: %(why)s.")
    elif via.get("kind") == PartyKind.QUEUE:
        text = _("Owner: %(owner)s, who owns %(via)s (%(why)s).")
    else:
        text = _("Owner: %(owner)s (%(why)s).")
    yield Sentence(text % values, "R3.48", Kind.RESULT)


def about_regarding(data: Data) -> Iterator[Sentence]:
    values = {
        "record": stored.record(stored.map_of(data, "regarding")),
        "hook": stored.text(data, "hook"),
        "folder": stored.text(stored.map_of(data, "folder"), "name"),
    }
    if not values["record"]:
        return
    if values["hook"]:
        text, rule = _("Regarding: %(record)s, as the site's own code says (%(hook)s)."), "R3.52a"
    elif values["folder"]:
        text, rule = _("Regarding: %(record)s, as the folder “%(folder)s” says."), "R7.10"
    elif stored.text(stored.map_of(data, "regarding"), "kind") == CASE and _made_case(data):
        text, rule = _("Regarding: %(record)s, which was made of it."), "R3.59"
    else:
        text, rule = _("Regarding: %(record)s, as the email that it answers."), "R3.49"
    yield Sentence(text % values, rule, Kind.RESULT)


def about_made(data: Data) -> Iterator[Sentence]:
    for text, rule in creation_words.lines_of(data.get("made")):
        yield Sentence(text, rule, Kind.RESULT)


def about_folder(data: Data) -> Iterator[Sentence]:
    """What a tracked folder made of an email that was stored before."""
    if filed := stored.map_of(data, "filed"):
        text = _("The folder “%(folder)s”: %(why)s.")
        values = {
            "folder": stored.text(filed, "folder"),
            "why": stored.label(LinkBecause, filed.get("why")),
        }
        yield Sentence(text % values, "R7.11", Kind.RESULT)


def about_queues(data: Data) -> Iterator[Sentence]:
    for item in stored.entries(data, "queue_items"):
        text = _("Waits in %(queue)s: %(why)s.")
        values = {
            "queue": stored.who(item),
            "why": stored.label(QueueItemBecause, item.get("why")),
        }
        rule = _QUEUE_RULE.get(stored.text(item, "why"), "R3.53")
        yield Sentence(text % values, rule, Kind.RESULT)


def about_files(data: Data) -> Iterator[Sentence]:
    for dropped in stored.entries(data, "dropped"):
        text = _("Attachment %(name)s (%(size)s) was left out: %(why)s.")
        why = stored.text(dropped, "why")
        name = "".join(letter for letter in stored.text(dropped, "name") if letter.isprintable())
        values = {
            "name": name or _("without a name"),
            "size": stored.octets(str(stored.number(dropped, "size"))),
            "why": dropped_because(why, stored.text(dropped, "type")),
        }
        rule = "R3.52" if why.startswith("blocked") else "R3.51"
        yield Sentence(text % values, rule, Kind.RESULT)


def _made_case(data: Data) -> bool:
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


def about_advice(data: Data) -> Iterator[Sentence]:
    if text := _what_to_do(data):
        yield Sentence(text, "", Kind.ADVICE)
    if data.get("blanked"):
        text = _("Names and addresses were erased when their retention ended.")
        yield Sentence(text, "R3.73", Kind.ADVICE)


def _what_to_do(data: Data) -> str:
    outcome, reason, sub = (stored.text(data, key) for key in ("outcome", "reason", "sub_reason"))
    if outcome == Outcome.REJECTED:
        return _after_rejection(reason, sub)
    if outcome == Outcome.SKIPPED and reason == SkipReason.BEFORE_START:
        return _("To read older mail, lower “process email received after” of the mailbox.")
    if outcome == Outcome.SKIPPED and reason == SkipReason.TOO_LARGE:
        return _("Ask for the files by another way; the message stays on the server.")
    if outcome == Outcome.QUARANTINED:
        return _of_quarantine(data)
    if outcome == Outcome.RETRYING:
        if at := stored.text(stored.map_of(data, "failure"), "next"):
            return _("It is tried again at %(at)s by itself.") % {"at": stored.moment(at)}
        return _("It is tried again by itself.")
    return ""


def _of_quarantine(data: Data) -> str:
    if data.get("blanked"):
        return ""  # whether an original was kept is no longer said
    if stored.map_of(data, "message"):
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
