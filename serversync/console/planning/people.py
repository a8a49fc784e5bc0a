"""Who takes part: what was typed becomes records and addresses, as those of emails do (R6.31)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.utils.translation import gettext as _

from activities.choices import ParticipationType
from activities.mime.message import Address
from activities.models import ActivityParty, Incident
from activities.store import NewParty
from mailboxes.search import rows_of
from serversync.console.planning.fields import Typed
from serversync.outbox.recipients import first_match
from tracking.addresses import look_up
from tracking.records import Found, find_records, record_of, shown

#: Of a name that several records have, so many are named.
NAMED = 5


@dataclass(slots=True)
class People:
    """Turns what was typed into rows. `known`: the rows that are there: whoever was resolved by hand stays the
    record that he is."""

    reader: Any
    known: Sequence[ActivityParty] = ()
    found: dict[str, Model] = field(default_factory=dict)

    def check(self, typed: Iterable[Typed]) -> None:
        """Find the records of mere names. Raises ValidationError, one for each name that is nobody's, or
        several people's."""
        problems = []
        for one in typed:
            if one.address or one.key in self.found or self._row_named(one.name):
                continue
            try:
                self.found[one.key] = self._record_named(one.name)
            except ValidationError as problem:
                problems.append(problem)
        if problems:
            raise ValidationError(problems)

    def parties(self, said: Mapping[ParticipationType, Sequence[Typed]]) -> list[NewParty]:
        """In their roles, in the order in which they were typed; nobody twice in one role."""
        book = look_up({Address(p.address).key for people in said.values() for p in people})
        made: list[NewParty] = []
        for role, people in said.items():
            for position, one in enumerate(people):
                made.append(self._party(role, position, one, book))
        return made

    def _party(self, role: ParticipationType, position: int, one: Typed, book: Any) -> NewParty:
        row = self._row_at(one.address) if one.address else self._row_named(one.name)
        if row is not None and (row.is_resolved or not one.address):
            return as_it_was(row, role, position, one.name)
        made = self._found(role, position, one, book)
        if row is None:
            return made
        return replace(made, response=row.response, responded_on=row.responded_on)

    def _found(self, role: ParticipationType, position: int, one: Typed, book: Any) -> NewParty:
        if not one.address:
            record = self.found[one.key]
            return party_of(record, role, position)
        match = first_match(one.address, book)
        if match is None:
            return NewParty(role=role, position=position, address=one.address, name=one.name)
        kind = ContentType.objects.get_for_model(apps.get_model(match.kind))
        return NewParty(
            role=role,
            position=position,
            address=one.address,
            name=one.name or match.name,
            type_id=kind.pk,
            record_id=match.id,
            column=match.column,
            do_not_email=match.do_not_email,
        )

    def _row_at(self, address: str) -> ActivityParty | None:
        key = Address(address).key
        return next((row for row in self.known if Address(row.address_used).key == key), None)

    def _row_named(self, name: str) -> ActivityParty | None:
        nameless = (row for row in self.known if not row.address_used)
        return next((row for row in nameless if row.unresolved_party_name == name), None)

    def _record_named(self, name: str) -> Model:
        found = [one for one in find_records(name, self.reader) if not _is_case(one)]
        exact = [one for one in found if one.name.casefold() == name.casefold()]
        chosen = exact or found
        record = record_of(chosen[0].value, self.reader) if len(chosen) == 1 else None
        if record is not None:
            return record
        raise ValidationError(_nobody(name) if not chosen else _several(name, chosen))


def _is_case(one: Found) -> bool:
    return one.value.startswith(Incident._meta.label_lower)


def _nobody(name: str) -> str:
    words = _("You see no record that is called “%(name)s”. Write an address, or another name.")
    return words % {"name": name}


def _several(name: str, found: Sequence[Found]) -> str:
    words = _("“%(name)s” may be several: %(who)s. Write the whole name, or the address.")
    who = ", ".join(
        f"{one.name} <{one.detail}>" if one.detail else one.name for one in found[:NAMED]
    )
    return words % {"name": name, "who": who + (", …" if len(found) > NAMED else "")}


def as_it_was(
    row: ActivityParty, role: int | None = None, position: int = 0, name: str = ""
) -> NewParty:
    """A row that is written again, perhaps in another role or under another name."""
    return NewParty(
        role=ParticipationType(role or row.participation_type_mask),
        position=position,
        address=row.address_used,
        name=name or row.unresolved_party_name,
        type_id=row.party_type_id,
        record_id=row.party_id,
        column=row.address_used_email_column_number,
        do_not_email=row.do_not_email,
        response=row.response,
        responded_on=row.responded_on,
    )


def party_of(record: Model, role: ParticipationType, position: int = 0) -> NewParty:
    """A record with its first address, or with none."""
    address, column = next(iter(rows_of(record).items()), ("", None))
    return NewParty(
        role=role,
        position=position,
        address=address,
        name=str(record),
        type_id=ContentType.objects.get_for_model(type(record)).pk,
        record_id=str(record.pk),
        column=column,
        do_not_email=bool(getattr(record, "do_not_email", False)),
    )


def rows_of_activity(key: Any, reader: Any) -> list[ActivityParty]:
    """Everybody who takes part, in order. A record without an address goes by its name."""
    rows = list(ActivityParty.objects.filter(activity_id=key).select_related("party_type"))
    bare = [row for row in rows if row.is_resolved and not said_of(row)]
    names = shown([(row.party_type_id, row.party_id) for row in bare if row.party_type_id], reader)
    for row in bare:
        known = names.get((row.party_type_id or 0, row.party_id))
        row.unresolved_party_name = str(known.record if known and known.record else row.party_id)
    return rows


def said_of(row: ActivityParty) -> str:
    return row.address_used or row.unresolved_party_name


def typed_of(rows: Iterable[ActivityParty], *roles: ParticipationType) -> Iterator[Typed]:
    """What stands in the box for those who are stored."""
    for row in rows:
        if row.participation_type_mask in roles:
            yield Typed(row.address_used, row.unresolved_party_name)
