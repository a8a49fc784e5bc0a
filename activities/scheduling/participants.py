"""Who takes part: what changes between the parties that are there and those that are wanted.

A party is the same one if role, address and record are. It keeps its row then, so that what only the row knows
stays; place, name and answer are brought up to date.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from activities.choices import ParticipationType
from activities.models import ActivityParty
from activities.scheduling.locking import Whole
from activities.store import NewParty, party_row

#: What a party may change without being another one.
FOLLOWING = (
    "position",
    "address_used",
    "unresolved_party_name",
    "address_used_email_column_number",
    "do_not_email",
    "response",
    "responded_on",
)
Identity = tuple[int, str, int | None, str]


@dataclass(slots=True)
class PartyChanges:
    """`all`: as they are afterwards."""

    all: list[ActivityParty] = field(default_factory=list)
    new: list[ActivityParty] = field(default_factory=list)
    altered: list[ActivityParty] = field(default_factory=list)
    gone: list[UUID] = field(default_factory=list)

    @property
    def differ(self) -> bool:
        return bool(self.new or self.altered or self.gone)

    def add(self, other: "PartyChanges") -> None:
        self.new += other.new
        self.altered += other.altered
        self.gone += other.gone


def changes_of(
    whole: Whole, wanted: Sequence[NewParty] | None, roles: Collection[ParticipationType] | None
) -> PartyChanges:
    """`wanted`: all of these roles; None: nothing changes. Rows are told anew, none is touched."""
    if wanted is None:
        return PartyChanges(all=list(whole.parties))
    found = PartyChanges()
    there: dict[Identity, list[ActivityParty]] = {}
    for party in whole.parties:
        if roles is None or party.participation_type_mask in roles:
            there.setdefault(identity(party), []).append(party)
        else:
            found.all.append(party)
    for new in wanted:
        row = party_row(whole.key, new)
        same = there.get(identity(row))
        found.all.append(_take(found, row, same.pop(0) if same else None))
    found.gone = [party.pk for left in there.values() for party in left]
    return found


def _take(found: PartyChanges, row: ActivityParty, same: ActivityParty | None) -> ActivityParty:
    if same is None:
        found.new.append(row)
        return row
    if all(getattr(same, name) == getattr(row, name) for name in FOLLOWING):
        return same
    row.pk = same.pk
    for name in _kept():
        setattr(row, name, getattr(same, name))
    found.altered.append(row)
    return row


def _kept() -> Iterable[str]:
    names = (each.attname for each in ActivityParty._meta.concrete_fields)
    return (name for name in names if name not in FOLLOWING)


def identity(party: Any) -> Identity:
    return (
        int(party.participation_type_mask),
        party.address_used.strip().lower(),
        party.party_type_id,
        party.party_id,
    )


def write_parties(changes: PartyChanges) -> None:
    """Three statements at most."""
    if changes.gone:
        ActivityParty.objects.filter(pk__in=changes.gone).delete()
    if changes.altered:
        ActivityParty.objects.bulk_update(changes.altered, FOLLOWING)
    ActivityParty.objects.bulk_create(changes.new)


def as_new(party: ActivityParty) -> NewParty:
    """The same for another activity; whoever takes part there has not answered yet."""
    return NewParty(
        role=ParticipationType(party.participation_type_mask),
        position=party.position,
        address=party.address_used,
        name=party.unresolved_party_name,
        type_id=party.party_type_id,
        record_id=party.party_id,
        column=party.address_used_email_column_number,
        do_not_email=party.do_not_email,
    )
