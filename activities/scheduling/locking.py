"""Rows of activities as they are, locked against everybody else."""

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.db import connections, router

from activities.choices import ActivityType
from activities.kinds import CONCRETE, PLANNED
from activities.models import ActivityParty, ActivityPointer
from activities.recyclebin import row_of

STAMPS = ("created_on", "modified_on", "created_by_id", "modified_by_id")


@dataclass(slots=True)
class Whole:
    """One activity. `detail`: its concrete row, whose `activity` is the pointer."""

    kind: ActivityType
    detail: Any
    parties: list[ActivityParty] = field(default_factory=list)

    @property
    def key(self) -> UUID:
        key: UUID = self.detail.pk
        return key

    @property
    def pointer(self) -> ActivityPointer:
        pointer: ActivityPointer = self.detail.activity
        return pointer


def locked(keys: Iterable[UUID], kind: ActivityType | None = None) -> dict[UUID, Whole]:
    """Those that are there, in the order of their keys. A statement for each kind and one for the parties; one
    more where no kind is said. E-mails are left out."""
    found: dict[UUID, Whole] = {}
    for some in in_parts(sorted(set(keys))):
        for each, theirs in _by_kind(some, kind).items():
            rows = CONCRETE[each]._default_manager.filter(pk__in=theirs).order_by("pk")
            for row in rows.select_related("activity").select_for_update(of=("self", "activity")):
                found[row.pk] = Whole(each, row)
        for party in ActivityParty.objects.filter(activity__in=some).order_by(*_PARTIES):
            if party.activity_id in found:
                found[party.activity_id].parties.append(party)
    return dict(sorted(found.items()))


_PARTIES = ("activity", "participation_type_mask", "position", "pk")


def _by_kind(keys: Sequence[UUID], kind: ActivityType | None) -> dict[ActivityType, list[UUID]]:
    if kind is not None:
        return {kind: list(keys)}
    pointers = ActivityPointer.objects.filter(pk__in=keys, activity_type_code__in=PLANNED)
    found: dict[ActivityType, list[UUID]] = defaultdict(list)
    for key, code in pointers.order_by("activity_type_code", "pk").values_list(
        "pk", "activity_type_code"
    ):
        found[ActivityType(code)].append(key)
    return found


def version_of(whole: Whole) -> str:
    """The same as long as nothing of it changes: columns, parties, their order. Stamps don't count."""
    rows = [whole.pointer, whole.detail, *sorted(whole.parties, key=lambda party: party.pk)]
    told = [row_of(row)["columns"] for row in rows]
    for columns in told:
        for name in STAMPS:
            columns.pop(name, None)
    return sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:32]


def in_parts(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    """As many as one statement takes."""
    most = connections[router.db_for_write(ActivityPointer)].features.max_query_params or 10_000
    size = most // 2
    for start in range(0, len(keys), size):
        yield keys[start : start + size]
