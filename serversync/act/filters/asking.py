"""One record as a filter meets it: whether it matches, and which of the conditions hold."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from activities.models import ActivityParty
from mailboxes.models import Team
from serversync.act.conditions.catalogue import Field, Kind, fields_of
from serversync.act.conditions.language import Conditions, Viewer, read
from serversync.act.conditions.matches import matches, part_holds
from serversync.act.conditions.words import part_words
from serversync.act.types import Table

_USER = ("mailboxes", "systemuser")


def with_teams(viewer: Viewer) -> Viewer:
    teams = Team.members.through.objects.filter(systemuser=viewer.user)
    return replace(viewer, teams=frozenset(teams.values_list("team", flat=True)))


def rows_of(table: Table, records: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Records as `conditions.matches` reads them, in their order. One statement for all their parties."""
    records = list(records)
    fields = fields_of(table).values()
    parties = _parties(records) if "parties" in fields_of(table) else {}
    return [{field.name: _value(record, field, parties) for field in fields} for record in records]


def _value(record: Any, field: Field, parties: Mapping[UUID, list[Any]]) -> Any:
    if field.kind == Kind.PARTIES:
        return parties.get(record.pk, [])
    if field.kind == Kind.OWNER:
        owned = record.activity if field.path else record
        return owned.owning_user_id, owned.owning_team_id
    *way, column = field.path.split("__")
    for step in way:
        record = getattr(record, step)
        if record is None:
            return None
    is_key = field.kind in (Kind.USER, Kind.REFERENCE)
    return getattr(record, f"{column}_id" if is_key else column)


def _parties(records: list[Any]) -> dict[UUID, list[tuple[int, UUID | None]]]:
    found: dict[UUID, list[tuple[int, UUID | None]]] = {}
    for party in ActivityParty.objects.filter(
        activity__in=[record.pk for record in records]
    ).select_related("party_type"):
        kind = party.party_type and party.party_type.natural_key()
        key = UUID(party.party_id) if kind == _USER and party.party_id else None
        found.setdefault(party.activity_id, []).append((party.participation_type_mask, key))
    return found


@dataclass(frozen=True)
class Answer:
    """Whether conditions match one record, and which of their outermost lines hold."""

    record: Any
    found: bool
    lines: list[tuple[str, bool]]


def answers(
    table: Table, conditions: Conditions, records: Iterable[Any], viewer: Viewer
) -> list[Answer]:
    """Of these records, in their order. Raises NotUnderstood."""
    records, viewer = list(records), with_teams(viewer)
    parts = read(table, conditions).parts
    return [
        Answer(
            record,
            matches(table, conditions, row, viewer),
            [(part_words(part), part_holds(part, row, viewer)) for part in parts],
        )
        for record, row in zip(records, rows_of(table, records), strict=True)
    ]
