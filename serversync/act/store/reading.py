"""A record as the server would tell it: columns to fields, in the form that both sides are compared in.

Nothing here depends on the time of day, so that a record nobody touched never looks changed; what does, such as
reminders of what is over, is decided where both sides are compared.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from django.utils import timezone

from activities.choices import (
    ActivityState,
    AppointmentStatus,
    ParticipationType,
    Priority,
    ServiceAppointmentStatus,
    TaskStatus,
)
from activities.models import Appointment, Contact, RecurringAppointmentMaster
from mailboxes import recurrence as patterns
from mailboxes.protocols.items import (
    Address,
    Answer,
    Importance,
    Person,
    Response,
    Sensitivity,
    ShowAs,
    TaskProgress,
    Value,
    When,
)
from mailboxes.timezones import zone as zone_of
from serversync.act.fields import ADDRESSES, MAPPINGS
from serversync.act.fitting import fitted
from serversync.act.store.rows import Loaded, Party, load
from serversync.act.types import Side, Table

Values = dict[str, Value]


def sides(table: Table, keys: Iterable[UUID]) -> dict[UUID, Side]:
    """Each record that is there, whole. Statements don't grow with the number of keys."""
    return sides_of(load(table, keys))


def sides_of(loaded: Loaded) -> dict[UUID, Side]:
    return {key: _side(loaded, row) for key, row in loaded.rows.items()}


def _side(loaded: Loaded, row: Any) -> Side:
    table = loaded.table
    stamped = row if table == Table.CONTACT else row.activity
    occurrences = {}
    if table == Table.RECURRING_APPOINTMENT:
        occurrences = occurrences_of(loaded, row)
    return Side(
        fitted(table, _READ[table](row, loaded)).fields,
        occurrences,
        version=stamped.modified_on.isoformat(),
        modified_at=_modified_at(loaded, row, stamped),
    )


def _modified_at(loaded: Loaded, row: Any, stamped: Any) -> datetime:
    exceptions = loaded.exceptions.get(row.pk, ())
    last: datetime = max([stamped.modified_on, *(one.activity.modified_on for one in exceptions)])
    return last


def occurrences_of(
    loaded: Loaded, series: RecurringAppointmentMaster
) -> dict[datetime, Values | None]:
    found: dict[datetime, Values | None] = dict.fromkeys(series.deleted_starts)
    for row in loaded.exceptions.get(series.pk, ()):
        assert row.original_start_date is not None
        told = fitted(Table.APPOINTMENT, _appointment(row, loaded)).fields
        found[row.original_start_date.astimezone(UTC)] = dict(told)
    return found


# -- contacts --------------------------------------------------------------------------------------

#: Field -> column, of contacts, where one is the other as it is.
CONTACT_COLUMNS: dict[str, str] = {
    field: column
    for mapping in MAPPINGS[Table.CONTACT]
    if mapping.name == "name" or not mapping.is_computed
    for field, column in zip(mapping.fields, mapping.columns, strict=True)
    if mapping.name != "company_name"
}


def _contact(row: Contact, loaded: Loaded) -> Values:
    found: Values = {field: getattr(row, column) for field, column in CONTACT_COLUMNS.items()}
    found |= {field: _address(row, number) for field, number in ADDRESSES.items()}
    found["display_name"] = row.full_name
    found["company_name"] = row.parent_account.name if row.parent_account else ""
    return found


def _address(row: Contact, number: int) -> Address:
    def column(name: str) -> str:
        return str(getattr(row, f"address{number}_{name}"))

    street = "\n".join(line for each in (1, 2, 3) if (line := column(f"line{each}")))
    return Address(
        street=street,
        city=column("city"),
        state=column("state_or_province"),
        postal_code=column("postal_code"),
        country=column("country"),
    )


# -- tasks and their kin ---------------------------------------------------------------------------

IMPORTANCE = {
    Priority.LOW: Importance.LOW,
    Priority.NORMAL: Importance.NORMAL,
    Priority.HIGH: Importance.HIGH,
}
PROGRESS = {
    TaskStatus.NOT_STARTED: TaskProgress.NOT_STARTED,
    TaskStatus.IN_PROGRESS: TaskProgress.IN_PROGRESS,
    TaskStatus.WAITING: TaskProgress.WAITING,
    TaskStatus.DEFERRED: TaskProgress.DEFERRED,
    TaskStatus.COMPLETED: TaskProgress.COMPLETED,
    TaskStatus.CANCELED: TaskProgress.COMPLETED,  # R6.37
}


def _to_do(row: Any, loaded: Loaded) -> Values:
    zone = zone_of_owner(row.activity)
    return {
        "subject": row.activity.subject,
        "body": row.description,
        "importance": IMPORTANCE[Priority(row.priority_code)],
        "start": day_of(row.scheduled_start, zone),
        "due": day_of(row.scheduled_end, zone),
        "completed": day_of(row.actual_end, zone),
        "status": _progress(row),
        "reminder": moment_of_day(row.scheduled_end, zone),
    }


def _progress(row: Any) -> TaskProgress:
    done = row.status.state in (ActivityState.COMPLETED, ActivityState.CANCELED)
    return TaskProgress.COMPLETED if done else TaskProgress.NOT_STARTED


def _task(row: Any, loaded: Loaded) -> Values:
    status = PROGRESS[row.status]
    if status == TaskProgress.IN_PROGRESS and row.percent_complete is None:
        status = TaskProgress.NOT_STARTED  # R6.37
    return _to_do(row, loaded) | {"status": status, "percent_complete": row.percent_complete}


def zone_of_owner(activity: Any) -> ZoneInfo:
    """Days of a task are those of its owner; a team's are the site's."""
    settings = getattr(activity.owning_user, "settings", None)
    named = zone_of(settings.time_zone) if settings else None
    return named or ZoneInfo(timezone.get_default_timezone_name())


def day_of(moment: datetime | None, zone: ZoneInfo) -> date | None:
    return moment.astimezone(zone).date() if moment else None


def start_of(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time(), zone).astimezone(UTC)


def moment_of_day(moment: datetime | None, zone: ZoneInfo) -> datetime | None:
    """None where only the day is meant."""
    if moment is None or moment == start_of(moment.astimezone(zone).date(), zone):
        return None
    return moment.astimezone(UTC)


# -- what stands in a calendar ---------------------------------------------------------------------

SHOWN = {
    AppointmentStatus.FREE: ShowAs.FREE,
    AppointmentStatus.TENTATIVE: ShowAs.TENTATIVE,
    AppointmentStatus.BUSY: ShowAs.BUSY,
    AppointmentStatus.OUT_OF_OFFICE: ShowAs.OUT_OF_OFFICE,
    AppointmentStatus.COMPLETED: ShowAs.FREE,  # R6.21
    AppointmentStatus.CANCELED: ShowAs.FREE,
}
SHOWN_OF_SERVICE = {
    ActivityState.OPEN: ShowAs.TENTATIVE,
    ActivityState.SCHEDULED: ShowAs.BUSY,
    ActivityState.COMPLETED: ShowAs.FREE,
    ActivityState.CANCELED: ShowAs.FREE,
}


def _calendar_item(row: Any) -> Values:
    return {
        "subject": row.activity.subject,
        "body": row.description,
        "importance": IMPORTANCE[Priority(row.priority_code)],
        "location": row.location,
        "reminder": row.reminder_minutes,
    }


def _meeting(row: Any, loaded: Loaded) -> Values:
    people = loaded.people.get(row.pk, ())
    organizer = people_of(people, ParticipationType.ORGANIZER)
    private = Sensitivity.PRIVATE if row.is_mapi_private else Sensitivity.NORMAL
    return _calendar_item(row) | {
        "show_as": SHOWN[row.status],
        "sensitivity": private,
        "online_meeting_url": row.online_meeting_join_url,
        "organizer": organizer[0] if organizer else None,
        "required": people_of(people, ParticipationType.REQUIRED_ATTENDEE),
        "optional": people_of(people, ParticipationType.OPTIONAL_ATTENDEE),
        "answers": tuple(_answers(people)),
        "is_cancelled": row.status == AppointmentStatus.CANCELED,
    }


def people_of(people: Iterable[Party], role: ParticipationType) -> tuple[Person, ...]:
    return tuple(
        Person(party.address, party.name)
        for party in people
        if party.role == role and party.address
    )


def _answers(people: Iterable[Party]) -> Iterator[Answer]:
    for party in people:
        if party.role != ParticipationType.ORGANIZER and party.address:
            yield Answer(party.address, Response(party.row.response), party.row.responded_on)


def _appointment(row: Appointment, loaded: Loaded) -> Values:
    return _meeting(row, loaded) | {"when": _when(row)}


def _service(row: Any, loaded: Loaded) -> Values:
    """Nobody is invited: whoever takes part has it from his own mailbox."""
    status = ServiceAppointmentStatus(row.status_code)
    return _calendar_item(row) | {
        "when": _when(row),
        "show_as": SHOWN_OF_SERVICE[status.state],
    }


def _when(row: Any) -> When:
    return When(
        row.scheduled_start.astimezone(UTC),
        row.scheduled_end.astimezone(UTC),
        row.is_all_day_event,
        row.time_zone,
    )


def _series(row: RecurringAppointmentMaster, loaded: Loaded) -> Values:
    return _meeting(row, loaded) | {"when": first_time(row), "recurrence": row.recurrence}


def first_time(row: RecurringAppointmentMaster) -> When:
    """Of its first occurrence. On the clock of its zone; of days, in UTC."""
    day = patterns.first_day(row.recurrence) or row.pattern_start_date
    begins = patterns.moment(day, row.start_time, row.zone)
    return When(begins, begins + row.length, row.is_all_day_event, row.time_zone)


_READ: Mapping[Table, Callable[[Any, Loaded], Values]] = {
    Table.CONTACT: _contact,
    Table.TASK: _task,
    Table.PHONE_CALL: _to_do,
    Table.LETTER: _to_do,
    Table.FAX: _to_do,
    Table.APPOINTMENT: _appointment,
    Table.RECURRING_APPOINTMENT: _series,
    Table.SERVICE_APPOINTMENT: _service,
}
