"""Small values for the deciding modules: what a test doesn't speak about is neutral."""

from typing import Any
from uuid import UUID

from activities.choices import Direction, ParticipationType
from activities.mime.message import Address, ParsedMessage
from mailboxes.choices import FilteringMethod
from tracking.acceptance import Candidate, MessageFacts, Owner, Party
from tracking.choices import PartyKind, ResolvedBecause
from tracking.correlate import Correlation, CorrelationStep, StoredEmail, key_of
from tracking.resolution import CONTACT, Match, Resolution

TO, CC, BCC = ParticipationType.TO, ParticipationType.CC, ParticipationType.BCC
FACTS = MessageFacts(sender="ada@example.com")
STORED_ID = UUID(int=77)


def message(**fields: Any) -> ParsedMessage:
    fields = {"senders": (Address("ada@example.com", "Ada"),), **fields}
    return ParsedMessage(size=fields.pop("size", 1200), body_size=800, **fields)


def addresses(*texts: str) -> tuple[Address, ...]:
    return tuple(Address(text) for text in texts)


def match(kind: str = CONTACT, id: str = "1", **fields: Any) -> Match:
    return Match(kind=kind, id=id, **{"name": f"{kind} {id}", "seniority": id, **fields})


def sender(kind: str = "") -> Resolution:
    """The sender as resolved: to a record of this kind, or to none."""
    if not kind:
        return Resolution(address="ada@example.com")
    found = match(kind, name="Ada")
    return Resolution(address="ada@example.com", match=found, because=ResolvedBecause.ONLY_MATCH)


def user(id: str = "u1", filtering: FilteringMethod = FilteringMethod.ALL, **fields: Any) -> Party:
    owner = Owner(user_id=UUID(int=abs(hash(id)) % 2**64), name=id)
    fields = {"name": id, "owner": owner, **fields}
    return Party(kind=PartyKind.USER, id=id, filtering=filtering, **fields)


def queue(id: str = "q1", filtering: FilteringMethod = FilteringMethod.ALL, **fields: Any) -> Party:
    owner = Owner(user_id=UUID(int=abs(hash(id)) % 2**64), name=f"owner of {id}")
    fields = {"name": id, "owner": owner, **fields}
    return Party(kind=PartyKind.QUEUE, id=id, filtering=filtering, **fields)


def candidate(party: Party, role: ParticipationType | None = TO, **fields: Any) -> Candidate:
    return Candidate(party=party, role=role, address=f"{party.id}@example.org", **fields)


def stored(message_id: str = "old@example.com", **fields: Any) -> StoredEmail:
    fields = {"id": STORED_ID, "keys": (key_of(message_id),), **fields}
    return StoredEmail(**{"direction": Direction.OUTGOING, **fields})


def correlated() -> Correlation:
    return Correlation(
        method=3,
        email=stored(),
        because=CorrelationStep.IN_REPLY_TO,  # type: ignore[arg-type]
    )
