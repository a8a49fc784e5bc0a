"""What is known of records beside their fields: whose they are, who may do what, who is busy then."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, QuerySet

from activities.choices import ActivityState, AppointmentStatus, ParticipationType
from activities.models import ActivityParty
from activities.private import PRIVATE_KINDS, readable_by
from mailboxes.access import visible_to
from mailboxes.models import SystemUser
from mailboxes.protocols.items import When
from serversync.act.store.rows import MODELS, ROLES, WITH_PEOPLE, Loaded, Party, in_parts, load
from serversync.act.types import Lifecycle, RecordFacts, Table

LIFECYCLES = {
    ActivityState.OPEN: Lifecycle.OPEN,
    ActivityState.SCHEDULED: Lifecycle.SCHEDULED,
    ActivityState.COMPLETED: Lifecycle.COMPLETED,
    ActivityState.CANCELED: Lifecycle.CANCELED,
}
#: Nobody is busy then.
NOT_BUSY = (AppointmentStatus.FREE, AppointmentStatus.COMPLETED, AppointmentStatus.CANCELED)
USER = "mailboxes.systemuser"


def record_facts(
    table: Table, keys: Iterable[UUID], user: SystemUser, now: datetime
) -> dict[UUID, RecordFacts]:
    """Of each record that is there. `matches` and `organizer_before` are for others to say."""
    return facts_of(load(table, keys), user)


def facts_of(loaded: Loaded, user: SystemUser) -> dict[UUID, RecordFacts]:
    keys = list(loaded.rows)
    readable, writable = _reached(loaded.table, keys, user)
    busy = busy_parties(keys) if loaded.table == Table.APPOINTMENT else {}
    return {
        key: RecordFacts(
            lifecycle=_lifecycle(row),
            readable=key in readable,
            writable=key in writable,
            owned=_owner(row) == user.pk,
            draft=getattr(row, "is_draft", False),
            busy=busy.get(key, ()),
            **_meeting(loaded, key, user),
        )
        for key, row in loaded.rows.items()
    }


def _lifecycle(row: Any) -> Lifecycle:
    activity = getattr(row, "activity", None)
    return LIFECYCLES[ActivityState(activity.state_code)] if activity else Lifecycle.OPEN


def _owner(row: Any) -> UUID | None:
    owned: Any = getattr(row, "activity", row)
    key: UUID | None = owned.owning_user_id
    return key


def _meeting(loaded: Loaded, key: UUID, user: SystemUser) -> dict[str, Any]:
    """A service activity is everybody's own: it is in the calendar of each who takes part."""
    if loaded.table not in WITH_PEOPLE:
        return {}
    people = loaded.people.get(key, ())
    organizers = [party for party in people if party.role == ParticipationType.ORGANIZER]
    addresses = {party.address for party in people if party.role != ParticipationType.ORGANIZER}
    return {
        "has_organizer": bool(organizers),
        "organizes": any(_is_of(party, user) for party in organizers),
        "attendees": len(addresses - {party.address for party in organizers} - {""}),
    }


def _is_of(party: Party, user: SystemUser) -> bool:
    if party.kind:
        return party.kind == USER and party.row.party_id == str(user.pk)
    return bool(party.address) and party.address == user.internal_email_address.strip().lower()


# -- who may what (R6.7) ---------------------------------------------------------------------------


def _reached(table: Table, keys: Collection[UUID], user: SystemUser) -> tuple[set[UUID], set[UUID]]:
    """Keys of what he may read, and of what he may change. What is private is its owner's and its
    organizer's."""
    model: Any = MODELS[table]
    rows: QuerySet[Any] = model._default_manager.all()
    readable: set[UUID] = set()
    writable: set[UUID] = set()
    for some in in_parts(list(keys)):
        here = rows.filter(pk__in=some)
        seen = visible_to(user, here)
        if model in PRIVATE_KINDS:
            seen = seen.filter(readable_by(user))
        readable |= set(seen.values_list("pk", flat=True))
        changed = visible_to(user, here, "change")
        writable |= set(changed.values_list("pk", flat=True))
    return readable, writable & readable


# -- who is busy (R6.26) -----------------------------------------------------------------------------


def busy_parties(keys: Collection[UUID]) -> dict[UUID, tuple[str, ...]]:
    """Appointment -> names of users in it who have something else at that time. One statement, and one
    more for names where anybody is busy."""
    here = "activity__appointment__"
    elsewhere = _other_bookings().filter(
        **{
            f"{here}scheduled_start__lt": OuterRef(f"{here}scheduled_end"),
            f"{here}scheduled_end__gt": OuterRef(f"{here}scheduled_start"),
        }
    )
    pairs: list[tuple[UUID, str]] = []
    for some in in_parts(list(keys)):
        rows = (
            _users_in(activity__in=some)
            .exclude(activity__appointment__status_code__in=NOT_BUSY)
            .filter(Exists(elsewhere))
        )
        pairs += rows.values_list("activity_id", "party_id")
    return _named(pairs)


def busy_at(times: Mapping[Any, tuple[When, Collection[UUID]]]) -> dict[Any, tuple[str, ...]]:
    """The same of meetings that aren't stored yet: any key -> when, and the users who would take part."""
    if not times:
        return {}
    wanted = {str(user) for _, users in times.values() for user in users}
    first = min(when.start for when, _ in times.values())
    last = max(when.end for when, _ in times.values())
    booked: dict[str, list[tuple[datetime, datetime]]] = defaultdict(list)
    for some in in_parts(sorted(wanted)):
        rows = _bookings(some, first, last)
        for user, start, end in rows:
            booked[user].append((start, end))
    return _named(
        (key, str(user))
        for key, (when, users) in times.items()
        for user in users
        if any(start < when.end and end > when.start for start, end in booked[str(user)])
    )


def _bookings(users: Collection[str], first: datetime, last: datetime) -> Iterable[Any]:
    here = "activity__appointment__"
    rows = _users_in(party_id__in=users).exclude(activity__appointment__status_code__in=NOT_BUSY)
    return rows.filter(
        **{f"{here}scheduled_start__lt": last, f"{here}scheduled_end__gt": first}
    ).values_list("party_id", f"{here}scheduled_start", f"{here}scheduled_end")


def _users_in(**of: Any) -> "QuerySet[ActivityParty]":
    return ActivityParty.objects.filter(
        participation_type_mask__in=ROLES,
        party_type__app_label="mailboxes",
        party_type__model="systemuser",
        activity__appointment__isnull=False,
        **of,
    ).order_by("activity", "position")


def _other_bookings() -> "QuerySet[ActivityParty]":
    """Of the same user, in another appointment."""
    return (
        ActivityParty.objects.filter(
            participation_type_mask__in=ROLES,
            party_type=OuterRef("party_type"),
            party_id=OuterRef("party_id"),
        )
        .exclude(activity=OuterRef("activity"))
        .exclude(activity__appointment__status_code__in=NOT_BUSY)
    )


def _named(pairs: Iterable[tuple[Any, str]]) -> dict[Any, tuple[str, ...]]:
    found = list(dict.fromkeys(pairs))
    users = {user for _, user in found}
    known = (
        {str(user.pk): user for user in SystemUser.objects.filter(pk__in=users)} if users else {}
    )
    names: dict[Any, tuple[str, ...]] = {}
    for key, user in found:
        if user in known:
            names[key] = (*names.get(key, ()), known[user].full_name)
    return names
