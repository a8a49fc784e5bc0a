"""What is known of records beside their fields: whose they are, who may do what, who is busy then."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet

from activities.choices import ActivityState, AppointmentStatus, ParticipationType
from activities.models import ActivityParty
from activities.private import PRIVATE_KINDS, readable_by
from mailboxes.access import visible_to
from mailboxes.addresses import address_key
from mailboxes.models import EmailSearch, SystemUser
from mailboxes.protocols.items import Fields, ShowAs, When
from serversync.act.store.rows import ROLES, WITH_PEOPLE, Loaded, Party, in_parts, load
from serversync.act.tables import MODELS
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
    """Of each record that is there, as far as its rows tell."""
    return facts_of(load(table, keys), user)


def facts_of(loaded: Loaded, user: SystemUser) -> dict[UUID, RecordFacts]:
    keys = list(loaded.rows)
    readable, writable = _reached(loaded.table, keys, user)
    return {
        key: RecordFacts(
            lifecycle=_lifecycle(row),
            readable=key in readable,
            writable=key in writable,
            owned=_owner(row) == user.pk,
            draft=getattr(row, "is_draft", False),
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
        "without_address": tuple(party.name for party in people if not party.address),
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


# -- who is busy (R6.26) ---------------------------------------------------------------------------


def busy_at(
    meetings: Mapping[Any, tuple[Fields, UUID | None]], user: SystemUser
) -> dict[Any, tuple[str, ...]]:
    """Of meetings as the user's server tells them: names of users who take part and have something else here
    then. Any key -> fields, and the record that they are stored in, which doesn't count.

    Three statements at most: who is behind the addresses, what is booked, names."""
    wanted = {
        key: when
        for key, (fields, _record) in meetings.items()
        if isinstance(when := fields.get("when"), When) and fields.get("show_as") != ShowAs.FREE
    }
    if not wanted:
        return {}
    users = _users_of({key: meetings[key][0] for key in wanted})
    taking_part = {key: {str(user.pk), *users[key]} for key in wanted}
    booked = _booked(set().union(*taking_part.values()), wanted.values())
    return _named(
        (key, one)
        for key, when in wanted.items()
        for one in sorted(taking_part[key])
        if _is_busy(booked[one], when, meetings[key][1])
    )


def _users_of(meetings: Mapping[Any, Fields]) -> dict[Any, set[str]]:
    addresses = {key: _addresses(fields) for key, fields in meetings.items()}
    behind: dict[str, set[str]] = defaultdict(set)
    users = ContentType.objects.get_for_model(SystemUser)
    for some in in_parts(sorted(set().union(*addresses.values()))):
        rows = EmailSearch.objects.filter(parent_type=users, email_address__in=some)
        for address, record in rows.values_list("email_address", "parent_id"):
            behind[address].add(record)
    return {key: {one for each in some for one in behind[each]} for key, some in addresses.items()}


def _addresses(fields: Fields) -> set[str]:
    people: list[Any] = [fields.get("organizer")]
    for name in ("required", "optional"):
        several: Any = fields.get(name)
        people += several or ()
    return {address_key(one.address) for one in people if one is not None}


Booking = tuple[UUID, datetime, datetime]


def _booked(users: Collection[str], times: Iterable[When]) -> dict[str, list[Booking]]:
    """All that these users take part in around these times."""
    here, several = "activity__appointment__", list(times)
    found: dict[str, list[Booking]] = defaultdict(list)
    for some in in_parts(sorted(users)):
        rows = ActivityParty.objects.filter(
            participation_type_mask__in=ROLES,
            party_type=ContentType.objects.get_for_model(SystemUser),
            party_id__in=some,
            **{
                f"{here}scheduled_start__lt": max(when.end for when in several),
                f"{here}scheduled_end__gt": min(when.start for when in several),
            },
        ).exclude(activity__appointment__status_code__in=NOT_BUSY)
        for user, *booking in rows.values_list(
            "party_id", "activity_id", f"{here}scheduled_start", f"{here}scheduled_end"
        ):
            found[user].append((booking[0], booking[1], booking[2]))
    return found


def _is_busy(bookings: Iterable[Booking], when: When, own: UUID | None) -> bool:
    return any(start < when.end and end > when.start for key, start, end in bookings if key != own)


def _named(pairs: Iterable[tuple[Any, str]]) -> dict[Any, tuple[str, ...]]:
    found = list(dict.fromkeys(pairs))
    users = {user for _, user in found}
    rows = SystemUser.objects.filter(pk__in=users, is_disabled=False) if users else []
    known = {str(user.pk): user.full_name for user in rows}
    names: dict[Any, tuple[str, ...]] = {}
    for key, user in found:
        if user in known:
            names[key] = (*names.get(key, ()), known[user])
    return names
