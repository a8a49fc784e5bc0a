"""Who of those that would take part in a meeting has something else at that time, and what (R6.26).

That somebody is busy, and when, everybody may know who may know the meeting; with what, only who sees that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Lower

from activities.models import ActivityParty, Appointment
from activities.private import hidden_among
from mailboxes import access
from mailboxes.models import SystemUser
from mailboxes.protocols.items import Person, When
from serversync.act.records import name_of, page_of
from serversync.act.store.facts import NOT_BUSY
from serversync.act.store.rows import ROLES
from serversync.console.actseen import HIDDEN
from serversync.console.actwords import when_words

MOST = 50


@dataclass(frozen=True, slots=True)
class Booking:
    """`url`: empty where the reader may not know what it is."""

    who: str
    when: str
    what: str
    url: str


def bookings(
    fields: Mapping[str, Any], owner: SystemUser, own: UUID | None, reader: Any
) -> list[Booking]:
    """`fields`: of the meeting; `own`: its record, which doesn't count."""
    when = fields.get("when")
    if not isinstance(when, When):
        return []
    users = {str(user.pk): user for user in (*_users(fields), owner)}
    pairs = list(_parties(when, set(users)).exclude(activity=own)[:MOST])
    meetings = Appointment.objects.filter(pk__in={key for key, _user in pairs})
    rows = {row.pk: row for row in meetings.select_related("activity")}
    seen = {row.pk for row in access.visible_to(reader, meetings)}
    seen -= hidden_among(list(rows.values()), reader)
    return [
        _booking(rows[key], users[user], key in seen)
        for key, user in dict.fromkeys(pairs)
        if key in rows
    ]


def _booking(meeting: Appointment, user: SystemUser, known: bool) -> Booking:
    return Booking(
        str(user),
        when_words(When(meeting.scheduled_start, meeting.scheduled_end)),
        name_of(meeting) if known else HIDDEN,
        page_of(meeting) if known else "",
    )


def _users(fields: Mapping[str, Any]) -> "QuerySet[SystemUser]":
    people = [*(fields.get("required") or ()), *(fields.get("optional") or ())]
    people += [fields["organizer"]] if isinstance(fields.get("organizer"), Person) else []
    addresses = {person.address for person in people}
    rows = SystemUser.objects.alias(lower=Lower("internal_email_address"))
    return rows.filter(lower__in=addresses)


def _parties(when: When, users: set[str]) -> Any:
    """(appointment, user), in the order of time."""
    here = "activity__appointment__"
    return (
        ActivityParty.objects.filter(
            participation_type_mask__in=ROLES,
            party_type__app_label="mailboxes",
            party_type__model="systemuser",
            party_id__in=users,
            **{f"{here}scheduled_start__lt": when.end, f"{here}scheduled_end__gt": when.start},
        )
        .exclude(**{f"{here}status_code__in": NOT_BUSY})
        .order_by(f"{here}scheduled_start", "activity")
        .values_list("activity", "party_id")
    )
