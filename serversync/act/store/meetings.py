"""Fields of a meeting as rows of an appointment or a series, with parties and what differs from the series."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from activities.choices import ActivityState, AppointmentStatus
from activities.models import Appointment, RecurringAppointmentMaster
from activities.models.appointments import pattern_columns
from mailboxes import recurrence as patterns
from mailboxes.protocols.items import Fields, Sensitivity, ShowAs, When
from mailboxes.recurrence import Problem, Recurrence
from mailboxes.timezones import zone as zone_of
from serversync.act.store.activities import change_common, pointer, settle
from serversync.act.store.batch import Batch
from serversync.act.store.people import ROLE_OF, People, change_parties
from serversync.act.store.reading import people_of
from serversync.act.store.rows import Loaded, Party
from serversync.act.types import Lifecycle, Occurrences, Table, Write

STATUSES = {
    ShowAs.FREE: AppointmentStatus.FREE,
    ShowAs.TENTATIVE: AppointmentStatus.TENTATIVE,
    ShowAs.BUSY: AppointmentStatus.BUSY,
    ShowAs.OUT_OF_OFFICE: AppointmentStatus.OUT_OF_OFFICE,
    ShowAs.WORKING_ELSEWHERE: AppointmentStatus.FREE,  # R6.27
}
LIFECYCLES = {
    Lifecycle.OPEN: AppointmentStatus.FREE,
    Lifecycle.SCHEDULED: AppointmentStatus.BUSY,
    Lifecycle.COMPLETED: AppointmentStatus.COMPLETED,
    Lifecycle.CANCELED: AppointmentStatus.CANCELED,
}
CLOSED = (ActivityState.COMPLETED, ActivityState.CANCELED)
LONGEST_UID = 300
Meeting = Appointment | RecurringAppointmentMaster


def make(batch: Batch, table: Table, write: Write, people: People, owner: UUID | None) -> Meeting:
    activity = pointer(batch, table, owner)
    row: Meeting
    if table == Table.APPOINTMENT:
        row = Appointment(activity=activity)
    else:
        row = RecurringAppointmentMaster(activity=activity)
    settle(batch, row, AppointmentStatus.BUSY)
    batch.make(row)
    _fill(batch, row, write.fields, write.lifecycle)
    change_parties(batch, row.pk, write.fields, people)
    if isinstance(row, RecurringAppointmentMaster):
        series = _series(row, write.fields, ())
        _change_occurrences(batch, series, write.occurrences, people, Loaded(table))
    return row


def change(
    batch: Batch, loaded: Loaded, row: Meeting, write: Write, people: People
) -> list[Appointment]:
    """Returns rows of occurrences that are gone."""
    parties = loaded.people.get(row.pk, ())
    _fill(batch, row, write.fields, write.lifecycle)
    change_parties(batch, row.pk, write.fields, people, parties)
    gone = []
    if isinstance(row, RecurringAppointmentMaster):
        series = _series(row, write.fields, parties)
        gone = _change_occurrences(batch, series, write.occurrences, people, loaded)
    batch.stamp(row.activity)
    return gone


def remember_uid(batch: Batch, row: Meeting, uid: str) -> None:
    """What the server calls this meeting in every mailbox (R6.51)."""
    if uid and len(uid) <= LONGEST_UID:
        batch.change(row, global_object_id=uid)


def unfit(fields: Fields) -> list[Problem]:
    """What is wrong with a pattern that can't be kept here."""
    pattern = fields.get("recurrence")
    if not isinstance(pattern, Recurrence):
        return []
    return [one for one in patterns.validate(pattern) if one.side is patterns.Side.HERE]


# -- columns ---------------------------------------------------------------------------------------


def _fill(batch: Batch, row: Meeting, fields: Fields, lifecycle: Lifecycle | None) -> None:
    change_common(batch, row, fields)
    if "location" in fields:
        batch.change(row, location=fields["location"])
    if "online_meeting_url" in fields:
        link = fields["online_meeting_url"]
        batch.change(row, online_meeting_join_url=link, is_online_meeting=bool(link))
    if "sensitivity" in fields:
        batch.change(row, is_mapi_private=fields["sensitivity"] == Sensitivity.PRIVATE)
    _change_state(batch, row, fields, lifecycle)
    pattern = fields.get("recurrence")
    if isinstance(pattern, Recurrence):
        batch.change(row, **pattern_columns(pattern))
    when = fields.get("when")
    if isinstance(when, When):
        _change_time(batch, row, when)


def _change_state(batch: Batch, row: Meeting, fields: Fields, lifecycle: Lifecycle | None) -> None:
    """What is completed or canceled stays so, whatever a server shows (R6.27, R6.28)."""
    ends = lifecycle in (Lifecycle.COMPLETED, Lifecycle.CANCELED)
    if lifecycle is not None and (ends or row.status.state in CLOSED):
        settle(batch, row, LIFECYCLES[lifecycle])
    if "show_as" in fields and row.status.state not in CLOSED:
        settle(batch, row, STATUSES[ShowAs(str(fields["show_as"]))])


def _change_time(batch: Batch, row: Meeting, when: When) -> None:
    common = {"is_all_day_event": when.all_day, "time_zone": when.zone}
    if isinstance(row, Appointment):
        batch.change(row, scheduled_start=when.start, scheduled_end=when.end, **common)
    else:
        zone = None if when.all_day else zone_of(when.zone)
        begins = when.start.astimezone(zone or UTC).time()
        minutes = int((when.end - when.start).total_seconds() // 60)
        batch.change(row, start_time=begins, duration=minutes, **common)
    batch.change(row.activity, sort_date=when.start)


# -- what differs from a series --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Series:
    """What an occurrence takes from its series. `invited`: who takes part in it after this change."""

    row: RecurringAppointmentMaster
    parties: Sequence[Party]
    invited: Fields

    @property
    def known(self) -> dict[str, Party]:
        return {party.address: party for party in self.parties if party.address}

    def time_of(self, original: datetime) -> When:
        length = timedelta(minutes=self.row.duration)
        return When(original, original + length, self.row.is_all_day_event, self.row.time_zone)


def _series(row: RecurringAppointmentMaster, fields: Fields, parties: Sequence[Party]) -> _Series:
    invited = {
        name: fields[name] if name in fields else people_of(parties, role)
        for name, role in ROLE_OF.items()
    }
    return _Series(row, parties, invited)


def _change_occurrences(
    batch: Batch, series: _Series, occurrences: Occurrences, people: People, loaded: Loaded
) -> list[Appointment]:
    exceptions = loaded.exceptions.get(series.row.pk, ())
    rows = {row.original_start_date: row for row in exceptions}
    deleted = set(series.row.deleted_starts)
    gone = []
    for original, fields in sorted(occurrences.items()):
        row = rows.get(original)
        if fields is None:
            deleted.add(original)
            gone += [row] if row else []
            continue
        deleted.discard(original)
        if row is None:
            _make_exception(batch, series, original, fields, people)
        else:
            _fill(batch, row, fields, None)
            change_parties(batch, row.pk, fields, people, loaded.people.get(row.pk, ()))
            batch.stamp(row.activity)
    told = sorted(moment.astimezone(UTC).isoformat() for moment in deleted)
    if deleted != set(series.row.deleted_starts):
        batch.change(series.row, deleted_exceptions_list=told)
    return gone


def _make_exception(
    batch: Batch, series: _Series, original: datetime, fields: Fields, people: People
) -> None:
    """As its series, but for what is told of it."""
    activity = pointer(batch, Table.APPOINTMENT)
    batch.change(activity, **_copied(series.row.activity, OF_POINTER))
    row = Appointment(activity=activity, series=series.row, original_start_date=original)
    batch.change(row, **_copied(series.row, OF_SERIES))
    batch.make(row)
    _fill(batch, row, {"when": series.time_of(original), **fields}, None)
    whole = {**series.invited, **fields}
    change_parties(batch, row.pk, whole, people, known=series.known)


OF_POINTER = (
    *("subject", "regarding_type_id", "regarding_id", "owning_user_id", "owning_team_id"),
    "state_code",
)
OF_SERIES = (
    *("description", "location", "priority_code", "category", "subcategory", "status_code"),
    *("reminder_minutes", "is_mapi_private", "is_online_meeting", "online_meeting_join_url"),
    *("online_meeting_type", "online_meeting_id", "online_meeting_chat_id"),
)


def _copied(row: Any, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(row, name) for name in names}
