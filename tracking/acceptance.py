"""PURE  Which party accepts a message, and why not (R3.15-R3.28). Called once per message by promote.

The order of the checks is R3.19's:

    1  sender valid                 else InvalidSender
    2  already stored               the caller knows it: Duplicate
    3  candidates (R3.22, R3.27)    none: NoRecipientMatch
    4  mail between own users       `_internal`: its place; R3.40-R3.45 are not judged here yet
    5  the filter of each (R3.24)   any accepts: the first of R3.26's order is the accepting entity
    6  nobody                       NoCorrelationMatch, with what the first candidate said

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
from tracking.resolution import RecipientResolution, Resolution

PartyKey = tuple[str, str]


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
    """What acceptance needs of a message. `sender`: bare address, "" if there is no usable one."""

    sender: str
    auto_submitted: str = ""
    already_stored: bool = False
    manually_tracked: bool = False


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
    raise NotImplementedError


def facts_of(
    message: ParsedMessage, *, already_stored: bool = False, manually_tracked: bool = False
) -> MessageFacts:
    raise NotImplementedError


def candidates_of(
    recipients: Iterable[RecipientResolution],
    parties: Mapping[PartyKey, Party],
    reading: Party | None,
) -> tuple[Candidate, ...]:
    """Users and queues behind the recipients, each once, in the order of R3.26; and the party being
    read if it accepts all mail (R3.27)."""
    raise NotImplementedError


def accept(
    facts: MessageFacts,
    candidates: Sequence[Candidate],
    correlation: Correlation | None,
    sender: Resolution,
    rules: AcceptanceRules,
) -> Acceptance:
    """Decide one message. `correlation` None: not tried, counts as no match."""
    raise NotImplementedError
