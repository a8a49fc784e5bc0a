"""What a server has, held against the ledger, folder by folder: the decision, pure.

listed there ── known? ──> as it should be, or in a state that can't be right
           └── unknown ──> explained: before the start date, not read yet, folded
                      └──> known under another key, or missed
known as there, not listed ──> left unnoticed
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from mailboxes.protocols.base import RemoteItem
from serversync.choices import ItemState
from serversync.paging import is_too_old


class Difference(StrEnum):
    MISSED = "missed"  # there, unknown, and no cycle would find it
    RENAMED = "renamed"  # there under a key that the ledger doesn't know for it
    GIVEN_UP = "given_up"  # the ledger says gone, and it is there
    STUCK = "stuck"  # to be tried again, and never would be
    THERE = "there"  # noted as having left, and it is there
    LEFT = "left"  # noted as there, and it has left


@dataclass(frozen=True, slots=True)
class Known:
    """One row of the ledger, as far as it matters here."""

    pk: UUID
    source_key: str
    state: str
    has_left: bool = False
    waits_for_nothing: bool = False  # retrying, without a next attempt
    identity: UUID | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """One item that differs. `row`: of the ledger, where it knows it; `item`: where the server has it."""

    kind: Difference
    source_key: str
    row: Known | None = None
    item: RemoteItem | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """What a folder holds, and what the next cycle will find there by itself.

    `to_come`, `leaving`: keys that a listing from the stored cursor tells; `tells_departures`: a key
    that isn't listed has left (a POP3 server's drop may be empty by habit: the ledger takes no note).
    """

    items: Mapping[str, RemoteItem]
    to_come: Collection[str] = frozenset()
    leaving: Collection[str] = frozenset()
    tells_departures: bool = True


@dataclass(slots=True)
class Count:
    """A folder, counted: listed = known + before the start + to come + folded + missed + renamed."""

    listed: int = 0
    known: int = 0
    before_start: int = 0
    to_come: int = 0
    folded: int = 0
    found: list[Found] = field(default_factory=list)

    @property
    def missed(self) -> int:
        return sum(each.kind == Difference.MISSED for each in self.found)


def compare(server: Server, ledger: Sequence[Known], start: datetime | None) -> Count:
    """What of a folder differs. What was missed may still be folded, or known under another key:
    `recognise` tells, once their headers were asked for."""
    rows = {row.source_key: row for row in ledger}
    count = Count(listed=len(server.items))
    for key, item in server.items.items():
        row = rows.get(key)
        if row is not None:
            count.known += 1
            if (kind := _doubt(row, server)) is not None:
                count.found.append(Found(kind, key, row, item))
        elif key in server.to_come:
            count.to_come += 1
        elif is_too_old(item, start):
            count.before_start += 1
        else:
            count.found.append(Found(Difference.MISSED, key, None, item))
    if server.tells_departures:
        count.found += [
            Found(Difference.LEFT, key, row) for key, row in rows.items() if _left(row, server)
        ]
    return count


def _doubt(row: Known, server: Server) -> Difference | None:
    if row.source_key in server.to_come:
        return None  # the cycle that reads it notes how it is
    if row.state == ItemState.GONE:
        return Difference.GIVEN_UP
    if row.waits_for_nothing:
        return Difference.STUCK
    return Difference.THERE if row.has_left else None


def _left(row: Known, server: Server) -> bool:
    """What is tried again finds out by itself that it is gone."""
    key = row.source_key
    if row.has_left or key in server.items or key in server.leaving:
        return False
    return row.state not in (ItemState.GONE, ItemState.RETRYING)


def recognise(
    count: Count,
    identities: Mapping[str, UUID],
    folded: Collection[UUID],
    ledger: Sequence[Known],
    there: Collection[str],
) -> None:
    """Of what was missed: what the ledger knows under a key that the server no longer has, one to one,
    or has folded."""
    free: dict[UUID, list[Known]] = {}
    for row in ledger:
        if row.identity is not None and row.source_key not in there:
            free.setdefault(row.identity, []).append(row)
    known: set[UUID] = set()
    kept: list[Found] = []
    for each in count.found:
        identity = identities.get(each.source_key) if each.kind == Difference.MISSED else None
        if identity is not None and free.get(identity):
            row = free[identity].pop(0)
            known.add(row.pk)
            kept.append(Found(Difference.RENAMED, each.source_key, row, each.item))
        elif identity is not None and identity in folded:
            count.folded += 1
        else:
            kept.append(each)
    count.found = [
        each
        for each in kept
        if each.kind != Difference.LEFT or each.row is None or each.row.pk not in known
    ]
