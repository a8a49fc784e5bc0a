"""Attendees and organizers of a server as parties here: resolved as senders are, one record for each address
(R6.31). Whom nobody knows stays an address.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from activities.choices import ParticipationType
from activities.mime.message import Address
from activities.scheduling.participants import as_new
from activities.store import NewParty
from mailboxes.models import Organization, SystemUser
from mailboxes.protocols.items import Answer, Fields, Person
from serversync.act.store.rows import Party
from tracking.addresses import look_up
from tracking.resolution import AddressBook, Match, ResolutionRules, resolve_sender, rules_of
from tracking.rows import content_type_id

ROLE_OF = {
    "organizer": ParticipationType.ORGANIZER,
    "required": ParticipationType.REQUIRED_ATTENDEE,
    "optional": ParticipationType.OPTIONAL_ATTENDEE,
}
ATTENDEES = ("required", "optional")


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


def parties_of(
    fields: Fields, people: People, there: Sequence[Party] = (), known: Sequence[Party] = ()
) -> tuple[list[NewParty] | None, frozenset[ParticipationType]]:
    """All parties of the roles that change, and these roles; None where none does. `there`: those that it has;
    `known`: of its series, so that an occurrence has the same records."""
    names = [name for name in ROLE_OF if name in fields]
    names += [name for name in ATTENDEES if "answers" in fields and name not in names]
    if not names:
        return None, frozenset()
    book = {party.address: party for party in (*known, *there) if party.address}
    found = [party for name in names for party in _role(name, fields, people, there, book)]
    return _answered(found, fields), frozenset(ROLE_OF[name] for name in names)


def _role(
    name: str, fields: Fields, people: People, there: Sequence[Party], book: Mapping[str, Party]
) -> list[NewParty]:
    """Whoever stays keeps the row. Who has no address is not the server's to take off the list, and neither is
    an organizer who is on it."""
    role = ROLE_OF[name]
    here = [party for party in there if party.role == role]
    if name not in fields:
        return [_as_it_is(party) for party in here]
    wanted = {person.address: person for person in told(fields, name)}
    kept = {"", *wanted} | (_organizers(fields, there) if name in ATTENDEES else set())
    stays = [_as_it_is(party) for party in here if party.address in kept]
    position = max((party.position + 1 for party in stays), default=0)
    missing = wanted.keys() - {party.address for party in here}
    new = [person for address, person in wanted.items() if address in missing]
    return stays + [
        _new(role, number, person, people, book.get(person.address))
        for number, person in enumerate(new, start=position)
    ]


def _as_it_is(party: Party) -> NewParty:
    row = party.row
    return replace(as_new(row), response=row.response, responded_on=row.responded_on)


def _organizers(fields: Fields, there: Iterable[Party]) -> set[str]:
    if "organizer" in fields:
        return {person.address for person in told(fields, "organizer")}
    return {party.address for party in there if party.role == ParticipationType.ORGANIZER}


def _new(
    role: ParticipationType, position: int, person: Person, people: People, known: Party | None
) -> NewParty:
    party = NewParty(role=role, position=position, address=person.address, name=person.name)
    if known is not None:
        row = known.row
        return replace(
            party,
            name=person.name or row.unresolved_party_name,
            type_id=row.party_type_id,
            record_id=row.party_id,
            column=row.address_used_email_column_number,
            do_not_email=row.do_not_email,
        )
    match = people.behind(person)
    if match is None:
        return party
    return replace(
        party,
        name=person.name or match.name,
        type_id=content_type_id(match.kind),
        record_id=match.id,
        column=match.column,
        do_not_email=match.do_not_email,
    )


def _answered(parties: Iterable[NewParty], fields: Fields) -> list[NewParty]:
    """What the server knows of their answers. Where it tells none, what is known stays."""
    answers: dict[str, Answer] = {}
    told_of: Any = fields.get("answers")
    for answer in told_of or ():
        answers[answer.address] = answer
    return [_with_answer(party, answers.get(party.address.strip().lower())) for party in parties]


def _with_answer(party: NewParty, answer: Answer | None) -> NewParty:
    if answer is None or party.role == ParticipationType.ORGANIZER:
        return party
    return replace(party, response=answer.response.value, responded_on=answer.at)
