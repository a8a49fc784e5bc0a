"""Attendees and organizers of a server as parties here: resolved as senders are, one record for each address
(R6.31). Whom nobody knows stays an address.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from activities.choices import ParticipationType
from activities.mime.message import Address
from activities.models import ActivityParty
from mailboxes.models import Organization, SystemUser
from mailboxes.protocols.items import Fields, Person
from serversync.act.store.batch import Batch
from serversync.act.store.rows import Party
from tracking.addresses import look_up
from tracking.resolution import AddressBook, Match, ResolutionRules, resolve_sender, rules_of
from tracking.rows import content_type_id

ROLE_OF = {
    "organizer": ParticipationType.ORGANIZER,
    "required": ParticipationType.REQUIRED_ATTENDEE,
    "optional": ParticipationType.OPTIONAL_ATTENDEE,
}


@dataclass(frozen=True, slots=True)
class People:
    """Who is behind the addresses of some writes."""

    book: AddressBook = field(default_factory=AddressBook)
    rules: ResolutionRules = field(default_factory=ResolutionRules)

    def behind(self, person: Person) -> Match | None:
        return resolve_sender(Address(person.address, person.name), self.book, self.rules).match


def people_in(several: Iterable[Fields], user: SystemUser) -> People:
    """One statement on the index, and one for each kind of record found."""
    persons = [person for fields in several for name in ROLE_OF for person in told(fields, name)]
    if not persons:
        return People()
    addresses = {Address(person.address).key for person in persons}
    rules = rules_of(Organization.objects.current(), owner_user_id=user.pk)
    return People(look_up(addresses), rules)


def told(fields: Fields, name: str) -> tuple[Person, ...]:
    value: Any = fields.get(name)
    if isinstance(value, Person):
        return (value,)
    return tuple(value) if value else ()


def change_parties(
    batch: Batch,
    activity: UUID,
    fields: Fields,
    people: People,
    parties: Iterable[Party] = (),
    known: Mapping[str, Party] | None = None,
) -> None:
    """`parties`: those that it has; `known`: of its series, so that an occurrence has the same records.

    Whoever stays keeps the row. Who has no address is not the server's to take off the list, and neither is
    an organizer who is on it."""
    parties = list(parties)
    organizer = _organizer(fields, parties)
    for name, role in ROLE_OF.items():
        if name not in fields:
            continue
        here = [party for party in parties if party.role == role]
        wanted = {person.address: person for person in told(fields, name)}
        stays = {party.address for party in here}
        kept = {"", organizer} if role != ParticipationType.ORGANIZER else {""}
        gone = {party.id for party in here if party.address not in wanted.keys() | kept}
        batch.parties_gone |= gone
        position = max((party.position + 1 for party in here), default=0)
        for address, person in wanted.items():
            if address not in stays:
                row = _row(activity, role, position, person, people, (known or {}).get(address))
                batch.make(row)
                position += 1


def _organizer(fields: Fields, parties: Iterable[Party]) -> str:
    if organizer := told(fields, "organizer"):
        return organizer[0].address
    organizers = [p.address for p in parties if p.role == ParticipationType.ORGANIZER]
    return organizers[0] if organizers else ""


def _row(
    activity: UUID,
    role: ParticipationType,
    position: int,
    person: Person,
    people: People,
    known: Party | None,
) -> ActivityParty:
    party = ActivityParty(
        activity_id=activity,
        participation_type_mask=role,
        position=position,
        address_used=person.address[:320],
        unresolved_party_name=person.name[:200],
    )
    match = None if known else people.behind(person)
    if known is not None and known.kind:
        party.party_type_id, party.party_id = content_type_id(known.kind), known.record
    elif match is not None:
        party.party_type_id, party.party_id = content_type_id(match.kind), match.id
        party.address_used_email_column_number = match.column
        party.do_not_email = match.do_not_email
        party.unresolved_party_name = party.unresolved_party_name or match.name[:200]
    return party
