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
from django.db.models import Q

from activities import scheduling
from activities.choices import ActivityType, ParticipationType
from activities.models import (
    ActivityParty,
    Appointment,
)
from mailboxes.models import EmailSearch, SystemUser
from serversync.act.tables import MODELS
from serversync.act.types import Table

ROLES = (
    ParticipationType.ORGANIZER,
    ParticipationType.REQUIRED_ATTENDEE,
    ParticipationType.OPTIONAL_ATTENDEE,
)
WITH_PEOPLE = (Table.APPOINTMENT, Table.RECURRING_APPOINTMENT)


@dataclass(slots=True)
class Party:
    """One party of a meeting. `address`: the one used, else the first of the record behind it; "" if there is
    none, then it can't be invited. `kind`: label of the record's model, "" for a mere address."""

    row: ActivityParty
    address: str
    kind: str

    @property
    def role(self) -> ParticipationType:
        return ParticipationType(self.row.participation_type_mask)

    @property
    def name(self) -> str:
        return self.row.unresolved_party_name


@dataclass(slots=True)
class Loaded:
    """`rows`: by key; `exceptions`: of series, by theirs; `people`: of any of these meetings, by its key.
    `wholes`: of activities that were locked, exceptions included."""

    table: Table
    rows: dict[UUID, Any] = field(default_factory=dict)
    exceptions: dict[UUID, list[Appointment]] = field(default_factory=lambda: defaultdict(list))
    people: dict[UUID, list[Party]] = field(default_factory=lambda: defaultdict(list))
    wholes: dict[UUID, scheduling.Whole] = field(default_factory=dict)


def load(table: Table, keys: Iterable[UUID]) -> Loaded:
    """What isn't there is left out."""
    found = Loaded(table)
    for some in in_parts(sorted(set(keys))):
        found.rows |= {row.pk: row for row in _rows(table).filter(pk__in=some)}
        if table == Table.RECURRING_APPOINTMENT:
            exceptions = Appointment.objects.filter(series__in=some).select_related("activity")
            _add_exceptions(found, exceptions.order_by("pk"))
        if table in WITH_PEOPLE:
            _add_people(found, _parties_of(table, some))
    return found


def locked(table: Table, keys: Iterable[UUID]) -> Loaded:
    """The same for whoever writes: nobody else does until the transaction ends."""
    wanted = sorted(set(keys))
    if table == Table.CONTACT:
        rows = _rows(table).filter(pk__in=wanted).select_for_update(of=("self",))
        return Loaded(table, {row.pk: row for row in rows})
    wholes = scheduling.locked(wanted, ActivityType(table.value))
    found = Loaded(table, {key: whole.detail for key, whole in wholes.items()}, wholes=wholes)
    if table == Table.RECURRING_APPOINTMENT:
        exceptions = Appointment.objects.filter(series__in=wanted).values_list("pk", flat=True)
        theirs = scheduling.locked(exceptions, ActivityType.APPOINTMENT)
        _add_exceptions(found, (whole.detail for whole in theirs.values()))
        found.wholes |= theirs
    if table in WITH_PEOPLE:
        _add_people(found, (party for whole in found.wholes.values() for party in whole.parties))
    elif table != Table.SERVICE_APPOINTMENT:
        _add_owners(found)
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


def _add_owners(found: Loaded) -> None:
    """With their settings: days are those of the owner's zone."""
    activities = [row.activity for row in found.rows.values()]
    keys = {activity.owning_user_id for activity in activities} - {None}
    owners = SystemUser.objects.select_related("settings").in_bulk(list(keys))
    for activity in activities:
        activity.owning_user = owners.get(activity.owning_user_id)


def _add_exceptions(found: Loaded, rows: Iterable[Appointment]) -> None:
    for row in rows:
        assert row.series_id is not None
        found.exceptions[row.series_id].append(row)


# -- people ----------------------------------------------------------------------------------------


def _parties_of(table: Table, keys: Sequence[UUID]) -> "models.QuerySet[ActivityParty]":
    of = Q(activity__in=keys)
    if table == Table.RECURRING_APPOINTMENT:
        of |= Q(activity__appointment__series__in=keys)
    return ActivityParty.objects.filter(of).order_by(
        "activity", "participation_type_mask", "position", "pk"
    )


def _add_people(found: Loaded, parties: Iterable[ActivityParty]) -> None:
    for party in people_among(parties):
        found.people[party.row.activity_id].append(party)


def people_among(parties: Iterable[ActivityParty]) -> list[Party]:
    """Organizers and attendees, with the addresses that they can be told at."""
    rows = [party for party in parties if party.participation_type_mask in ROLES]
    people = [Party(row, row.address_used.strip().lower(), _kind_of(row)) for row in rows]
    _add_addresses([party for party in people if not party.address and party.kind])
    return people


def _kind_of(party: ActivityParty) -> str:
    if not party.party_type_id or not party.party_id:
        return ""
    kind = ContentType.objects.get_for_id(party.party_type_id)
    return f"{kind.app_label}.{kind.model}"


def _add_addresses(lacking: Sequence[Party]) -> None:
    """Of the records behind them: their first, as the index of addresses knows them."""
    first: dict[tuple[int | None, str], tuple[int, str]] = {}
    for some in in_parts(sorted({party.row.party_id for party in lacking})):
        rows = EmailSearch.objects.filter(parent_id__in=some).values_list(
            "parent_type_id", "parent_id", "email_column_number", "email_address"
        )
        for kind, record, column, address in rows:
            key = (kind, record)
            first[key] = min(first.get(key, (column, address)), (column, address))
    for party in lacking:
        party.address = first.get((party.row.party_type_id, party.row.party_id), (0, ""))[1]
