"""PURE  Which party accepts a message, and why not (R3.15-R3.28). Called once per message by promote.

The order of the checks is R3.19's:

    1  sender valid                 else InvalidSender
    2  already stored               the caller knows it: Duplicate
    -  chosen (R3.18, R7.6, R7.21)  by hand, folder or category: accepted, no filter asked, no
                                    accepting entity
    3  candidates (R3.22, R3.27)    none: NoRecipientMatch
    4  mail between own users       `_internal`: its place; R3.40-R3.45 are not judged here yet
    5  the filter of each (R3.24)   any accepts: the first of R3.26's order is the accepting entity
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
from mailboxes.choices import FilteringMethod, IncomingDeliveryMethod
from tracking.choices import AcceptReason, InternalCheck, PartyKind, SubReason, Why
from tracking.correlate import Correlation
from tracking.resolution import ACCOUNT, CONTACT, LEAD, RecipientResolution, Resolution

PartyKey = tuple[str, str]

BUSINESS_RECORDS = frozenset({LEAD, CONTACT, ACCOUNT})


@dataclass(frozen=True, slots=True)
class Owner:
    """A user or a team, exactly one. `name` is for the trace."""

    user_id: UUID | None = None
    team_id: UUID | None = None
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """A user or a queue with its filter. `owner`: who owns its mailbox (R1.3).

    `can_own`: that owner may own emails (R3.48): active and licensed.
    """

    kind: PartyKind
    id: str
    name: str
    filtering: FilteringMethod = FilteringMethod.RESPONSES
    active: bool = True
    owner: Owner = Owner()
    can_own: bool = True
    mailbox_id: UUID | None = None
    incoming: IncomingDeliveryMethod | None = None

    @property
    def key(self) -> PartyKey:
        return (str(self.kind), self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A party as one message meets it. `role` None: no recipient, but its mailbox is being read."""

    party: Party
    address: str = ""
    role: ParticipationType | None = None
    position: int = 0
    is_reading: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFacts:
    """What acceptance needs of a message. `sender`: bare address, "" if there is no usable one;
    `chosen`: what took it without asking a filter: MANUAL, FOLDER_RULE or CATEGORY."""

    sender: str
    auto_submitted: str = ""
    already_stored: bool = False
    chosen: SubReason = SubReason.NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptanceRules:
    """The organization's switches, as they act."""

    only_reading_party: bool = False
    sender_filters_accept_replies: bool = False
    reject_auto_submitted: bool = False
    ignore_internal_email: bool = False


@dataclass(frozen=True, slots=True)
class PartyVerdict:
    candidate: Candidate
    accepted: bool
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """`entity`: the accepting entity (R3.23), None if rejected or tracked by hand (R3.50)."""

    reason: AcceptReason
    sub_reason: SubReason = SubReason.NONE
    entity: Party | None = None
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
    )


def facts_of(
    message: ParsedMessage, *, already_stored: bool = False, chosen: SubReason = SubReason.NONE
) -> MessageFacts:
    address = message.sender.address if message.sender else ""
    return MessageFacts(
        sender=address if is_usable(address) else "",
        auto_submitted=message.auto_submitted,
        already_stored=already_stored,
        chosen=chosen,
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
) -> tuple[Candidate, ...]:
    """Users and queues behind the recipients, each once, in the order of R3.26. The party being read
    is always among them, without a role if it is no recipient (list mail, Bcc: R3.27)."""
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
        found[reading.key] = Candidate(party=reading, is_reading=True)
    return tuple(sorted(found.values(), key=_precedence))


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
    if facts.chosen:
        return Acceptance(reason=AcceptReason.ACCEPT_ALL, sub_reason=facts.chosen)

    internal = _internal(rules)
    verdicts = tuple(
        _judge(candidate, facts, correlation, sender, rules)
        for candidate in sorted(candidates, key=_precedence)
    )
    return _result(verdicts, correlation, internal)


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
    winner = next((verdict for verdict in judged if verdict.accepted), None)
    if winner is not None:
        return Acceptance(
            reason=ACCEPTS[winner.why],
            entity=winner.candidate.party,
            verdicts=verdicts,
            internal=internal,
        )
    if not judged:
        return Acceptance(
            reason=AcceptReason.NO_RECIPIENT_MATCH,
            sub_reason=_why_no_candidate(verdicts),
            verdicts=verdicts,
            internal=internal,
        )
    return Acceptance(
        reason=AcceptReason.NO_CORRELATION_MATCH,
        sub_reason=_why_nobody(judged[0], correlation),
        verdicts=verdicts,
        internal=internal,
    )


#: Verdicts that mean: this party was no candidate for this message (R3.22, R3.27).
NO_CANDIDATE = frozenset({Why.INACTIVE, Why.NOT_READING, Why.NOT_RECIPIENT})
ACCEPTS = {
    Why.ALL: AcceptReason.ACCEPT_ALL,
    Why.CORRELATED: AcceptReason.CORRELATION_MATCH,
    Why.SENDER_KNOWN: AcceptReason.SENDER_MATCH,
    Why.RECIPIENT_KNOWN: AcceptReason.SENDER_MATCH,
}
#: What the filters that ask for a known address say if it is, and if it is not.
OF_SENDER = (Why.SENDER_KNOWN, Why.FILTER_SENDER_UNKNOWN)
OF_RECIPIENTS = (Why.RECIPIENT_KNOWN, Why.FILTER_RECIPIENTS_UNKNOWN)


def _internal(rules: AcceptanceRules) -> InternalCheck:
    """The place of R3.40-R3.44: with the switch on, user candidates drop out here."""
    return (
        InternalCheck.NOT_CHECKED if rules.ignore_internal_email else InternalCheck.TWO_ACTIVITIES
    )


def _judge(
    candidate: Candidate,
    facts: MessageFacts,
    correlation: Correlation | None,
    sender: Resolution,
    rules: AcceptanceRules,
) -> PartyVerdict:
    why = _no_candidate(candidate, rules)
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
    if candidate.role is None and candidate.party.filtering != FilteringMethod.ALL:
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


def _why_nobody(first: PartyVerdict, correlation: Correlation | None) -> SubReason:
    """What the first candidate said; its own kind of "no" where a token was found but not known."""
    if first.why == Why.FILTER_REPLIES_ONLY and correlation and correlation.has_unknown_token:
        return SubReason.TOKEN_UNKNOWN
    return SubReason(first.why.value)
