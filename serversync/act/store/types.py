"""What the cycle asks of this room: writes to records, and what became of each.

write(user, writes, now) -> outcomes, in the same order; inside the caller's transaction. Rows are locked in the
order of their keys, and compared with what the decision saw: a record that somebody changed in between is left
alone (STALE). One record that can't be stored is REFUSED and doesn't hinder the others.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from serversync.act.types import Side, Table, Write

NOT_STORABLE = "RecordNotStorable"  # its sentence may quote what should have been stored


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreWrite:
    """`key`: None to create. `expected`: the side that the decision saw. `uid`: of the meeting, to be kept on
    the record; `organizer_user`: owner of what an attendee tracked (R6.29). `alike`: meetings with that uid which the
    decision saw; None where it didn't look. `why`: for the bin (R6.47)."""

    table: Table
    write: Write
    key: UUID | None = None
    expected: Side | None = None
    uid: str = ""
    organizer_user: UUID | None = None
    alike: frozenset[UUID] | None = None
    why: str = ""


class StoreOutcome(StrEnum):
    DONE = "done"
    STALE = "stale"
    GONE = "gone"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """`key`: of the record, for DONE. `code`, `error`: a condition of R8.20 and a sentence, for REFUSED.
    `notes`: what was cut or left out, in sentences. `deleted`: its place in the bin."""

    outcome: StoreOutcome
    key: UUID | None = None
    code: str = ""
    error: str = ""
    notes: tuple[str, ...] = ()
    deleted: UUID | None = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
