"""PURE  Who owns the email that a message becomes (R3.48). Called once per accepted message.

Of the rule's three steps the last is built: the first eligible recipient. The owner of the
correlated email and the owner of the sender's record go before it in `choose_owner`.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from tracking.acceptance import Candidate, Owner, Party
from tracking.choices import OwnerBecause, PartyKind


@dataclass(frozen=True, slots=True)
class OwnerChoice:
    """`party`: the recipient through whom, None where the receiving mailbox decided."""

    owner: Owner
    because: OwnerBecause
    party: Party | None = None


def choose_owner(candidates: Iterable[Candidate], mailbox_owner: Owner) -> OwnerChoice:
    """`candidates` as `candidates_of` gives them, in any order."""
    for candidate in sorted(candidates, key=_recipient_order):
        if candidate.role is not None and candidate.party.active and candidate.party.can_own:
            return OwnerChoice(candidate.party.owner, OwnerBecause.FIRST_ELIGIBLE, candidate.party)
    return OwnerChoice(mailbox_owner, OwnerBecause.MAILBOX_OWNER)


def _recipient_order(candidate: Candidate) -> tuple[int, int, bool, str]:
    """To, then Cc, then Bcc, whoever's mailbox is being read; inside one address user first."""
    return (
        candidate.role or 0,
        candidate.position,
        candidate.party.kind is PartyKind.QUEUE,
        candidate.party.id,
    )
