"""The records that a user's filters match and that he may read; what a change of filters would bring and take."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, Case, Q, QuerySet, When
from django.utils import timezone

from mailboxes import access
from mailboxes.choices import StateCode
from mailboxes.models import SystemUser
from mailboxes.timezones import zone
from serversync.act.choices import LinkStart, LinkState
from serversync.act.conditions.language import Conditions, Viewer, is_relative
from serversync.act.filters.queries import as_q
from serversync.act.tables import MODELS
from serversync.act.types import Table
from serversync.models import ExchangeSyncIdMapping, SavedQuery, UserQuery
from serversync.models.filters import QueryType

AT_ONCE = 100  # filters in one statement; a database takes so many columns only


def records_of(table: Table) -> "QuerySet[Any]":
    """Those that take part by themselves: an occurrence that differs goes with its series (R6.8)."""
    rows: QuerySet[Any] = MODELS[table]._default_manager.all()
    return rows.filter(series__isnull=True) if table == Table.APPOINTMENT else rows


def viewer_of(user: SystemUser, now: datetime) -> Viewer:
    """Without his teams, which SQL looks up by itself."""
    settings = getattr(user, "settings", None)
    named = zone(settings.time_zone) if settings else None
    return Viewer(user.pk, frozenset(), now, named or timezone.get_default_timezone())


@dataclass(frozen=True)
class Filters:
    """What acts for one user, read once: his active filters, and those that act for everybody (R6.10)."""

    user: SystemUser
    viewer: Viewer
    by_table: Mapping[Table, Sequence[Conditions]]

    @property
    def tables(self) -> frozenset[Table]:
        """Of the others nothing goes to the server."""
        return frozenset(self.by_table)

    def matching(self, table: Table, keys: Iterable[UUID] | None = None) -> "QuerySet[Any, UUID]":
        """Keys of the records that one of the filters matches and the user may read, in one statement."""
        return matched(self.user, table, self.by_table.get(table, ()), self.viewer, keys)

    @cached_property
    def next_look_at(self) -> datetime | None:
        """When time alone may have changed what matches; None: it can't."""
        relative = any(
            is_relative(table, one) for table, found in self.by_table.items() for one in found
        )
        return self.viewer.next_midnight if relative else None


def filters_of(user: SystemUser, now: datetime) -> Filters:
    """One statement, and one for the user's time zone unless `settings` was selected with him."""
    own = UserQuery.objects.filter(owning_user=user, state_code=StateCode.ACTIVE)
    columns = ("returned_type_code", "conditions")
    for_all = SavedQuery.objects.filter(query_type=QueryType.FILTER, state_code=StateCode.ACTIVE)
    found: dict[Table, list[Conditions]] = {}
    both = own.order_by().values_list(*columns)
    for code, conditions in both.union(for_all.order_by().values_list(*columns), all=True):
        found.setdefault(Table(code), []).append(conditions)
    return Filters(user, viewer_of(user, now), found)


def matching(
    user: SystemUser, table: Table, keys: Iterable[UUID] | None = None, now: datetime | None = None
) -> "QuerySet[Any, UUID]":
    """As `Filters.matching`, for whoever asks about one table only."""
    return filters_of(user, now or timezone.now()).matching(table, keys)


def tables_with_filters(user: SystemUser) -> frozenset[Table]:
    return filters_of(user, timezone.now()).tables


def matched(
    user: SystemUser,
    table: Table,
    several: Iterable[Conditions],
    viewer: Viewer,
    keys: Iterable[UUID] | None = None,
) -> "QuerySet[Any, UUID]":
    """Of the union of these conditions. Raises NotUnderstood: better no answer than a wrong one."""
    found = Q(pk__in=[])
    for conditions in several:
        found |= as_q(table, conditions, viewer)
    rows = access.visible_to(user, records_of(table).filter(found))
    if keys is not None:
        rows = rows.filter(pk__in=list(keys))
    return rows.order_by().values_list("pk", flat=True)


def which_match(
    table: Table, several: Sequence[Conditions], viewer: Viewer, key: UUID
) -> frozenset[int]:
    """Which of these match one record, by their places: one statement for a hundred. Whether the viewer may
    read it isn't asked. Raises NotUnderstood."""
    starts = range(0, len(several), AT_ONCE)
    return frozenset(
        first + number
        for first in starts
        for number in _some_match(table, several[first : first + AT_ONCE], viewer, key)
    )


def _some_match(
    table: Table, several: Sequence[Conditions], viewer: Viewer, key: UUID
) -> list[int]:
    asked = {
        f"matches_{number}": Case(
            When(as_q(table, conditions, viewer), then=True),
            default=False,
            output_field=BooleanField(),
        )
        for number, conditions in enumerate(several)
    }
    found = (
        records_of(table).filter(pk=key).order_by().annotate(**asked).values_list(*asked).first()
    )
    return [number for number, matches in enumerate(found or ()) if matches]


# -- what a change would do ----------------------------------------------------------------------


def linked_by_filter(user: SystemUser, table: Table) -> "QuerySet[ExchangeSyncIdMapping]":
    return ExchangeSyncIdMapping.objects.filter(
        mailbox__regarding_user=user,
        object_type_code=table,
        state=LinkState.LINKED,
        started=LinkStart.FILTER,
    )


def leaving(
    user: SystemUser, table: Table, after: Iterable[Conditions], now: datetime
) -> "QuerySet[ExchangeSyncIdMapping]":
    """Links of what the filters of now match, and these would not any more (R6.13)."""
    before = filters_of(user, now)
    kept = matched(user, table, after, before.viewer)
    return (
        linked_by_filter(user, table)
        .filter(object_id__in=before.matching(table))
        .exclude(object_id__in=kept)
    )


def remaining(user: SystemUser, table: Table, without: Iterable[UUID] = ()) -> list[Conditions]:
    """The conditions of the filters of one table that act without these."""
    own = UserQuery.objects.filter(
        owning_user=user, returned_type_code=table, state_code=StateCode.ACTIVE
    ).exclude(pk__in=list(without))
    for_all = SavedQuery.objects.filter(
        returned_type_code=table, query_type=QueryType.FILTER, state_code=StateCode.ACTIVE
    ).exclude(pk__in=list(without))
    return [
        *own.values_list("conditions", flat=True),
        *for_all.values_list("conditions", flat=True),
    ]
