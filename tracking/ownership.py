"""PURE  Who owns the email that a message becomes (R3.48). Called once per accepted message.

Of the rule's three steps the last is built: the first eligible recipient. The owner of the
correlated email and the owner of the sender's record go before it in `choose_owner`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tracking.acceptance import Candidate, Owner, Party
from tracking.choices import OwnerBecause


@dataclass(frozen=True, slots=True)
class OwnerChoice:
    """`party`: the recipient through whom, None where the receiving mailbox decided."""

    owner: Owner
    because: OwnerBecause
    party: Party | None = None


def choose_owner(candidates: Sequence[Candidate], mailbox_owner: Owner) -> OwnerChoice:
    """`candidates` as `candidates_of` gives them, in any order."""
    raise NotImplementedError
