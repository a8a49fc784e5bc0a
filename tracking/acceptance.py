"""PURE  Which party accepts a message, and why not (R3.15-R3.29, R3.40-R3.44).

The order of the checks is R3.19's:

    1  sender valid                 else InvalidSender
    2  already stored               the caller knows it: Duplicate
    -  chosen (R3.18, R7.6, R7.21)  by hand, folder or category: accepted, no filter asked, no
                                    accepting entity
    3  candidates (R3.22, R3.27)    none: NoRecipientMatch
    4  mail between own users       nobody left: InternalEmailReject
    5  the filter of each (R3.24)   any accepts: the first of R3.26's order who may own email is the
                                    accepting entity; if none of them may, nobody is (R3.29)
    6  nobody                       NoCorrelationMatch, with what the first candidate said

Of sent items only the party whose mailbox it is decides, and a filter that asks for a known sender
asks for a known recipient instead (R3.60).

Nothing here reads settings or the database: the caller passes facts, and gets back a decision that
carries what every candidate said.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from activities.choices import ParticipationType
from activities.mime.message import ParsedMessage
from mailboxes.choices import AutoCreate, FilteringMethod, IncomingDeliveryMethod
from tracking.choices import AcceptReason, InternalCheck, Lacks, PartyKind, SubReason, Why
from tracking.correlate import Correlation
from tracking.resolution import (
    ACCOUNT,
    CONTACT,
    LEAD,
    MOST_DELIVERIES,
    AddressBook,
    RecipientResolution,
    Resolution,
)

PartyKey = tuple[str, str]

BUSINESS_RECORDS = frozenset({LEAD, CONTACT, ACCOUNT})


@dataclass(frozen=True, slots=True)
class Owner:
    """A user or a team, exactly one. `name` is for the trace."""

    user_id: UUID | None = None
    team_id: UUID | None = None
    name: str = ""

    def is_same(self, user_id: UUID | None, team_id: UUID | None) -> bool:
        if self.user_id is not None:
            return self.user_id == user_id
        return self.team_id is not None and self.team_id == team_id


@dataclass(frozen=True, slots=True)
class DefaultQueue:
    """Where the work of an owner waits (R3.53)."""

    id: UUID
    name: str
    active: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A user or a queue with its filter. `owner`: who owns its mailbox (R1.3).

    `lacks`: what keeps that owner from owning email (R3.29); `default_queue`: that owner's.
    `creates`: what that owner wants made of unknown senders (R3.57); `has_rule`: whether the queue has
    an active record-creation rule (R3.58).
    """

    kind: PartyKind
    id: str
    name: str
    filtering: FilteringMethod = FilteringMethod.RESPONSES
    active: bool = True
    owner: Owner = Owner()
    lacks: Lacks = Lacks.NOTHING
    default_queue: DefaultQueue | None = None
    mailbox_id: UUID | None = None
    incoming: IncomingDeliveryMethod | None = None
    creates: AutoCreate = AutoCreate.NONE
    has_rule: bool = False

    @property
    def can_own(self) -> bool:
        return not self.lacks

    @property
    def key(self) -> PartyKey:
        return (str(self.kind), self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A party as one message meets it. `role` None: no recipient, but its mailbox is being read;
    `delivered`: its address that the envelope names (R10.9)."""

    party: Party
    address: str = ""
    role: ParticipationType | None = None
    position: int = 0
    is_reading: bool = False
    delivered: str = ""

    @property
    def is_recipient(self) -> bool:
        return self.role is not None or bool(self.delivered)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """What acceptance needs of a message. `sender`: bare address, "" if there is no usable one;
    `chosen`: what took it without asking a filter: MANUAL, FOLDER_RULE or CATEGORY;
    `sent_copy_stored`: the same message in the other direction is an email here (R3.44)."""

    sender: str
    auto_submitted: str = ""
    already_stored: bool = False
    chosen: SubReason = SubReason.NONE
    sent_copy_stored: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceRules:
    """The organization's switches, as they act. With `ignore_internal_email`: `queues_stay` (R3.42),
    `from_queues` (R3.43), `only_if_sent_copy_stored` (R3.44)."""

    only_reading_party: bool = False
    sender_filters_accept_replies: bool = False
    reject_auto_submitted: bool = False
    ignore_internal_email: bool = False
    queues_stay: bool = True
    from_queues: bool = False
    only_if_sent_copy_stored: bool = True


@dataclass(frozen=True, slots=True)
class PartyVerdict:
    candidate: Candidate
    accepted: bool
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """`entity`: the accepting entity (R3.23), None if rejected or tracked by hand (R3.50).

    `denied`: would be the accepting entity, but may not own email. That is no rejection: the message
    is tried again, and ends in quarantine (R3.29, R3.72).
    """

    reason: AcceptReason
    sub_reason: SubReason = SubReason.NONE
    entity: Party | None = None
    denied: Party | None = None
    verdicts: tuple[PartyVerdict, ...] = ()
    internal: InternalCheck = InternalCheck.TWO_ACTIVITIES

    @property
    def accepted(self) -> bool:
        return self.reason.accepts


class Settings(Protocol):
    def effective(self, name: str) -> Any: ...


def rules_of(organization: Settings) -> AcceptanceRules:
    return AcceptanceRules(
        only_reading_party=bool(
            organization.effective("use_filtering_method_of_syncing_mailbox_only_for_correlation")
            or organization.effective("sss_force_filtering_method_for_user_mailboxes")
        ),
        sender_filters_accept_replies=organization.effective("sender_filters_accept_replies"),
        reject_auto_submitted=organization.effective("do_not_auto_track_auto_submitted"),
        ignore_internal_email=organization.effective("ignore_internal_email"),
        queues_stay=organization.effective("do_not_ignore_internal_email_to_queues"),
        from_queues=organization.effective("ignore_internal_email_from_queues"),
        only_if_sent_copy_stored=organization.effective(
            "ignore_internal_email_detection_enhancement"
        ),
    )


def facts_of(
    message: ParsedMessage,
    *,
    already_stored: bool = False,
    chosen: SubReason = SubReason.NONE,
    sent_copy_stored: bool = False,
) -> MessageFacts:
    address = message.sender.address if message.sender else ""
    return MessageFacts(
        sender=address if is_usable(address) else "",
        auto_submitted=message.auto_submitted,
        already_stored=already_stored,
        chosen=chosen,
        sent_copy_stored=sent_copy_stored,
    )


def is_usable(address: str) -> bool:
    """Has it a local part and a domain, and nothing that no address has (R3.12)?"""
    local, at, domain = address.rpartition("@")
    return bool(at and local and domain.strip(".")) and address.isprintable() and " " not in domain


def is_automatic(auto_submitted: str) -> bool:
    """RFC 3834, section 5: every keyword but "no" means that no person wrote it."""
    return auto_submitted.partition(";")[0].strip().lower() not in ("", "no")


def candidates_of(
    recipients: Iterable[RecipientResolution],
    parties: Mapping[PartyKey, Party],
    reading: Party | None,
    delivered: str = "",
) -> tuple[Candidate, ...]:
    """Users and queues behind the recipients, each once, in the order of R3.26. The party being read
    is always among them, without a role if it is no recipient (list mail, Bcc: R3.27). `delivered`:
    what `delivered_to` says."""
    found: dict[PartyKey, Candidate] = {}
    for recipient in sorted(recipients, key=lambda r: (r.role, r.position)):
        for match in recipient.matches:
            party = parties.get((match.kind, match.id))
            if party is None or party.key in found:
                continue
            found[party.key] = Candidate(
                party=party,
                address=recipient.address,
                role=recipient.role,
                position=recipient.position,
                is_reading=reading is not None and party.key == reading.key,
            )
    if reading is not None and reading.key not in found:
        found[reading.key] = Candidate(party=reading, is_reading=True, delivered=delivered)
    return tuple(sorted(found.values(), key=_precedence))


def delivered_to(message: ParsedMessage, reading: Party | None, book: AddressBook) -> str:
    """The address of the party being read, if the envelope names it (R10.9). What it says of others is
    no evidence: whoever writes the message can write such a header, too, but can't make it lie here."""
    if reading is None:
        return ""
    named = message.delivered_to[:MOST_DELIVERIES]
    return next((address for address in named if book.stands_for(address, *reading.key)), "")


def _precedence(candidate: Candidate) -> tuple[bool, int, int, bool, str]:
    """R3.26: the mailbox being read, then To, Cc, Bcc; inside one address user before queue."""
    return (
        not candidate.is_reading,
        candidate.role or 0,
        candidate.position,
        candidate.party.kind is PartyKind.QUEUE,
        candidate.party.id,
    )


def accept(
    facts: MessageFacts,
    candidates: Iterable[Candidate],
    correlation: Correlation | None,
    sender: Resolution,
    rules: AcceptanceRules,
) -> Acceptance:
    """Decide one message. `correlation` None: not tried, counts as no match."""
    if not facts.sender:
        return Acceptance(reason=AcceptReason.INVALID_SENDER)
    if facts.already_stored:
        return Acceptance(reason=AcceptReason.DUPLICATE)
    ordered = sorted(candidates, key=_precedence)
    if facts.chosen:
        return _chosen(facts.chosen, ordered)

    internal, dropped = _internal(facts, sender, rules)
    verdicts = tuple(
        _judge(candidate, dropped, facts, correlation, sender, rules) for candidate in ordered
    )
    return _result(verdicts, correlation, internal)


def _chosen(chosen: SubReason, candidates: Iterable[Candidate]) -> Acceptance:
    """No filter is asked, but whoever's mailbox it is must be allowed to own email all the same."""
    reading = next((candidate.party for candidate in candidates if candidate.is_reading), None)
    if reading is not None and reading.lacks:
        return Acceptance(reason=AcceptReason.UNKNOWN, sub_reason=chosen, denied=reading)
    return Acceptance(reason=AcceptReason.ACCEPT_ALL, sub_reason=chosen)


def accept_sent(
    facts: MessageFacts,
    reading: Party | None,
    correlation: Correlation | None,
    recipients: Iterable[RecipientResolution],
    rules: AcceptanceRules,
) -> Acceptance:
    """Decide one of the sent items of `reading`, with its filter (R3.60)."""
    if not facts.sender:
        return Acceptance(reason=AcceptReason.INVALID_SENDER)
    if facts.already_stored:
        return Acceptance(reason=AcceptReason.DUPLICATE)
    if reading is None or not reading.active:
        return Acceptance(
            reason=AcceptReason.NO_RECIPIENT_MATCH, sub_reason=SubReason.PARTY_INACTIVE
        )
    known = [match.kind for recipient in recipients for match in recipient.matches]
    why = _filter(reading.filtering, correlation, known, rules, OF_RECIPIENTS)
    verdict = PartyVerdict(Candidate(party=reading, is_reading=True), why in ACCEPTS, why)
    return _result((verdict,), correlation, InternalCheck.TWO_ACTIVITIES)


def _result(
    verdicts: tuple[PartyVerdict, ...], correlation: Correlation | None, internal: InternalCheck
) -> Acceptance:
    judged = [verdict for verdict in verdicts if verdict.why not in NO_CANDIDATE]
    accepting = [verdict for verdict in judged if verdict.accepted]
    entitled = [verdict for verdict in accepting if verdict.candidate.party.can_own]
    common: dict[str, Any] = {"verdicts": verdicts, "internal": internal}
    if entitled:
        reason, winner = ACCEPTS[entitled[0].why], entitled[0].candidate.party
        return Acceptance(reason=reason, entity=winner, **common)
    if accepting:
        denied = accepting[0].candidate.party
        return Acceptance(reason=AcceptReason.UNKNOWN, denied=denied, **common)
    if judged:
        reason, sub_reason = AcceptReason.NO_CORRELATION_MATCH, _why_nobody(judged[0], correlation)
    elif any(verdict.why == Why.INTERNAL for verdict in verdicts):
        reason, sub_reason = AcceptReason.INTERNAL_EMAIL_REJECT, _why_internal(internal)
    else:
        reason, sub_reason = AcceptReason.NO_RECIPIENT_MATCH, _why_no_candidate(verdicts)
    return Acceptance(reason=reason, sub_reason=sub_reason, **common)


#: Verdicts that mean: this party was no candidate for this message (R3.22, R3.27, R3.41).
NO_CANDIDATE = frozenset({Why.INACTIVE, Why.NOT_READING, Why.NOT_RECIPIENT, Why.INTERNAL})
ACCEPTS = {
    Why.ALL: AcceptReason.ACCEPT_ALL,
    Why.CORRELATED: AcceptReason.CORRELATION_MATCH,
    Why.SENDER_KNOWN: AcceptReason.SENDER_MATCH,
    Why.RECIPIENT_KNOWN: AcceptReason.SENDER_MATCH,
}
#: What the filters that ask for a known address say if it is, and if it is not.
OF_SENDER = (Why.SENDER_KNOWN, Why.FILTER_SENDER_UNKNOWN)
OF_RECIPIENTS = (Why.RECIPIENT_KNOWN, Why.FILTER_RECIPIENTS_UNKNOWN)


def _internal(
    facts: MessageFacts, sender: Resolution, rules: AcceptanceRules
) -> tuple[InternalCheck, frozenset[PartyKind]]:
    """R3.40-R3.44: what the sender makes of the message, and which kinds of candidates drop out."""
    kind = sender.match.kind if sender.match else ""
    if not rules.ignore_internal_email:
        return InternalCheck.TWO_ACTIVITIES, NO_KIND
    if kind not in PartyKind:
        return InternalCheck.NOT_INTERNAL, NO_KIND
    if kind == PartyKind.QUEUE and not rules.from_queues:
        return InternalCheck.FROM_QUEUE, NO_KIND
    queues = {PartyKind.QUEUE} if kind == PartyKind.USER and not rules.queues_stay else set()
    if not rules.only_if_sent_copy_stored:
        return InternalCheck.ALWAYS, frozenset({PartyKind.USER, *queues})
    if facts.sent_copy_stored:
        return InternalCheck.SENT_COPY_STORED, frozenset({PartyKind.USER, *queues})
    return InternalCheck.SENT_COPY_MISSING, frozenset(queues)


NO_KIND: frozenset[PartyKind] = frozenset()


def _judge(
    candidate: Candidate,
    dropped: frozenset[PartyKind],
    facts: MessageFacts,
    correlation: Correlation | None,
    sender: Resolution,
    rules: AcceptanceRules,
) -> PartyVerdict:
    why = _no_candidate(candidate, rules)
    if why is None and candidate.party.kind in dropped:
        why = Why.INTERNAL
    if why is None and rules.reject_auto_submitted and is_automatic(facts.auto_submitted):
        why = Why.AUTO_SUBMITTED
    if why is None:
        known = [sender.match.kind] if sender.match else []
        why = _filter(candidate.party.filtering, correlation, known, rules, OF_SENDER)
    return PartyVerdict(candidate, why in ACCEPTS, why)


def _no_candidate(candidate: Candidate, rules: AcceptanceRules) -> Why | None:
    if not candidate.party.active:
        return Why.INACTIVE
    if rules.only_reading_party and not candidate.is_reading:
        return Why.NOT_READING
    if not candidate.is_recipient and candidate.party.filtering != FilteringMethod.ALL:
        return Why.NOT_RECIPIENT
    return None


def _filter(
    filtering: FilteringMethod,
    correlation: Correlation | None,
    known: Iterable[str],
    rules: AcceptanceRules,
    words: tuple[Why, Why],
) -> Why:
    """R3.24 and R3.25. `known`: kinds of the records on the other side of the mail."""
    answers = correlation is not None and correlation.matched
    if filtering == FilteringMethod.ALL:
        return Why.ALL
    if filtering == FilteringMethod.NONE:
        return Why.FILTER_NONE
    if filtering == FilteringMethod.RESPONSES:
        return Why.CORRELATED if answers else Why.FILTER_REPLIES_ONLY
    any_record = filtering == FilteringMethod.EMAIL_ENABLED
    if any(any_record or kind in BUSINESS_RECORDS for kind in known):
        return words[0]
    if answers and rules.sender_filters_accept_replies:
        return Why.CORRELATED
    return words[1]


def _why_no_candidate(verdicts: Sequence[PartyVerdict]) -> SubReason:
    whys = {verdict.why for verdict in verdicts}
    if Why.NOT_READING in whys:
        return SubReason.ONLY_READING_PARTY
    return SubReason.PARTY_INACTIVE if Why.INACTIVE in whys else SubReason.NONE


def _why_internal(internal: InternalCheck) -> SubReason:
    stored = internal == InternalCheck.SENT_COPY_STORED
    return SubReason.SENT_COPY_STORED if stored else SubReason.NONE


def _why_nobody(first: PartyVerdict, correlation: Correlation | None) -> SubReason:
    """What the first candidate said; its own kind of "no" where a token was found but not known."""
    if first.why == Why.FILTER_REPLIES_ONLY and correlation and correlation.has_unknown_token:
        return SubReason.TOKEN_UNKNOWN
    return SubReason(first.why.value)
