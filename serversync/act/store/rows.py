"""Rows of what takes part, with all that is told of them: read for any number of keys at once.

Statements: one for the rows, one for their parties, one for addresses that parties lack; a series needs one more
for its exceptions. Keys beyond what a statement takes are read in further rounds.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db import connection, models
from django.db.models import F, Q

from activities.choices import ParticipationType
from activities.models import (
    ActivityParty,
    Appointment,
    Contact,
    Fax,
    Letter,
    PhoneCall,
    RecurringAppointmentMaster,
    ServiceAppointment,
    Task,
)
from mailboxes.models import EmailSearch
from serversync.act.types import Table

MODELS: dict[Table, type[models.Model]] = {
    Table.APPOINTMENT: Appointment,
    Table.RECURRING_APPOINTMENT: RecurringAppointmentMaster,
    Table.SERVICE_APPOINTMENT: ServiceAppointment,
    Table.TASK: Task,
    Table.PHONE_CALL: PhoneCall,
    Table.LETTER: Letter,
    Table.FAX: Fax,
    Table.CONTACT: Contact,
}
ROLES = (
    ParticipationType.ORGANIZER,
    ParticipationType.REQUIRED_ATTENDEE,
    ParticipationType.OPTIONAL_ATTENDEE,
)
WITH_PEOPLE = (Table.APPOINTMENT, Table.RECURRING_APPOINTMENT)


@dataclass(slots=True)
class Party:
    """One party of a meeting. `address`: the one used, else the first of the record behind it; "" if there is
    none, then it can't be invited."""

    id: UUID
    activity: UUID
    role: ParticipationType
    address: str
    name: str
    kind: str
    record: str
    position: int


@dataclass(slots=True)
class Loaded:
    """`rows`: by key; `exceptions`: of series, by theirs; `people`: of any of these meetings, by its key."""

    table: Table
    rows: dict[UUID, Any] = field(default_factory=dict)
    exceptions: dict[UUID, list[Appointment]] = field(default_factory=dict)
    people: dict[UUID, list[Party]] = field(default_factory=lambda: defaultdict(list))


def load(table: Table, keys: Iterable[UUID], *, lock: bool = False) -> Loaded:
    """What isn't there is left out. `lock`: nobody else writes them until the transaction ends."""
    found = Loaded(table)
    for some in in_parts(sorted(set(keys))):
        rows = _locked(_rows(table).filter(pk__in=some), table, lock)
        found.rows |= {row.pk: row for row in rows}
        if table == Table.RECURRING_APPOINTMENT:
            _add_exceptions(found, some, lock)
        if table in WITH_PEOPLE:
            _add_people(found, some)
    return found


def in_parts(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many as one statement takes twice."""
    size = (connection.features.max_query_params or 10_000) // 2 - 25
    for start in range(0, len(keys), size):
        yield keys[start : start + size]


def _rows(table: Table) -> "models.QuerySet[Any]":
    rows = MODELS[table]._default_manager.order_by("pk")
    if table == Table.CONTACT:
        return rows.select_related("parent_account")
    if table in (*WITH_PEOPLE, Table.SERVICE_APPOINTMENT):
        return rows.select_related("activity")
    return rows.select_related("activity__owning_user__settings")


def _locked(rows: "models.QuerySet[Any]", table: Table, lock: bool) -> "models.QuerySet[Any]":
    if not lock:
        return rows
    return rows.select_for_update(of=("self",) if table == Table.CONTACT else ("self", "activity"))


def _add_exceptions(found: Loaded, keys: Sequence[UUID], lock: bool) -> None:
    rows = Appointment.objects.filter(series__in=keys).select_related("activity").order_by("pk")
    for row in _locked(rows, Table.APPOINTMENT, lock):
        found.exceptions.setdefault(row.series_id, []).append(row)


def _add_people(found: Loaded, keys: Sequence[UUID]) -> None:
    of = Q(activity__in=keys)
    if found.table == Table.RECURRING_APPOINTMENT:
        of |= Q(activity__appointment__series__in=keys)
    rows = (
        ActivityParty.objects.filter(of, participation_type_mask__in=ROLES)
        .annotate(app=F("party_type__app_label"), model=F("party_type__model"))
        .order_by("activity", "participation_type_mask", "position", "pk")
    )
    people = [_party(row) for row in rows]
    _add_addresses(people)
    for party in people:
        found.people[party.activity].append(party)


def _party(row: Any) -> Party:
    return Party(
        id=row.pk,
        activity=row.activity_id,
        role=ParticipationType(row.participation_type_mask),
        address=row.address_used.strip().lower(),
        name=row.unresolved_party_name,
        kind=f"{row.app}.{row.model}" if row.app and row.party_id else "",
        record=row.party_id,
        position=row.position,
    )


def _add_addresses(people: Iterable[Party]) -> None:
    """Of records behind parties without one: their first, as the index of addresses knows them."""
    lacking = [party for party in people if not party.address and party.kind]
    wanted = sorted({party.record for party in lacking})
    first: dict[tuple[str, str], tuple[int, str]] = {}
    for some in in_parts(wanted):
        rows = EmailSearch.objects.filter(parent_id__in=some).values_list(
            "parent_type_id", "parent_id", "email_column_number", "email_address"
        )
        for kind, record, column, address in rows:
            key = (_label(kind), record)
            first[key] = min(first.get(key, (column, address)), (column, address))
    for party in lacking:
        party.address = first.get((party.kind, party.record), (0, ""))[1]


def _label(content_type: int) -> str:
    kind = ContentType.objects.get_for_id(content_type)
    return f"{kind.app_label}.{kind.model}"
