"""PURE  Who owns the email that a message becomes (R3.48). Called once per accepted message.

Only recipients whose owner may own email are asked, in the order of To, Cc and Bcc:

    1  one of them owns the email that this one answers
    2  one of them owns the contact, account or lead who sent it
    3  the first of them
    4  there is none: the owner of the mailbox that was read
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tracking.acceptance import BUSINESS_RECORDS, Candidate, Owner, Party
from tracking.choices import OwnerBecause, PartyKind
from tracking.correlate import StoredEmail
from tracking.resolution import Match


@dataclass(frozen=True, slots=True)
class OwnerChoice:
    """`party`: the recipient through whom, None where the receiving mailbox decided."""

    owner: Owner
    because: OwnerBecause
    party: Party | None = None


def choose_owner(
    candidates: Iterable[Candidate],
    mailbox_owner: Owner,
    answered: StoredEmail | None = None,
    sender: Match | None = None,
) -> OwnerChoice:
    """`candidates` as `candidates_of` gives them, in any order. `answered`: the email that correlation
    found; `sender`: the record that the sender stands for."""
    eligible = _eligible(candidates)
    if answered and (found := _owned_by(eligible, answered)):
        return OwnerChoice(found.owner, OwnerBecause.CORRELATED_OWNER, found)
    if sender and sender.kind in BUSINESS_RECORDS and (found := _owned_by(eligible, sender)):
        return OwnerChoice(found.owner, OwnerBecause.SENDER_OWNER, found)
    if eligible:
        return OwnerChoice(eligible[0].owner, OwnerBecause.FIRST_ELIGIBLE, eligible[0])
    return OwnerChoice(mailbox_owner, OwnerBecause.MAILBOX_OWNER)


def _eligible(candidates: Iterable[Candidate]) -> list[Party]:
    return [
        candidate.party
        for candidate in sorted(candidates, key=_recipient_order)
        if candidate.is_recipient and candidate.party.active and candidate.party.can_own
    ]


def _owned_by(eligible: Sequence[Party], record: StoredEmail | Match) -> Party | None:
    """The first recipient whose owner owns this record."""
    user_id, team_id = record.owner_user_id, record.owner_team_id
    return next((party for party in eligible if party.owner.is_same(user_id, team_id)), None)


def _recipient_order(candidate: Candidate) -> tuple[bool, int, int, bool, str]:
    """To, then Cc, then Bcc, whoever's mailbox is being read; last whom only the envelope names.
    Inside one address user first."""
    return (
        candidate.role is None,
        candidate.role or 0,
        candidate.position,
        candidate.party.kind is PartyKind.QUEUE,
        candidate.party.id,
    )
