"""Fields of a meeting as columns of an appointment or a series (R6.21, R6.27, R6.28, R6.35)."""

from typing import Any

from activities.choices import ActivityState, AppointmentStatus
from activities.models import RecurringAppointmentMaster
from mailboxes.protocols.items import Fields, Sensitivity, ShowAs, When
from mailboxes.timezones import zone as zone_of
from serversync.act.store.columns import Columns, common
from serversync.act.types import Lifecycle

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
ENDS = (Lifecycle.COMPLETED, Lifecycle.CANCELED)
LONGEST_UID = 300


def columns(row: Any, fields: Fields, lifecycle: Lifecycle | None = None, uid: str = "") -> Columns:
    """`row`: as it is, or one with the defaults for a new one. `uid`: what the server calls this meeting in
    every mailbox (R6.51)."""
    found = common(fields)
    detail = found.detail
    if "location" in fields:
        detail["location"] = fields["location"]
    if "online_meeting_url" in fields:
        link = fields["online_meeting_url"]
        detail |= {"online_meeting_join_url": link, "is_online_meeting": bool(link)}
    if "sensitivity" in fields:
        detail["is_mapi_private"] = fields["sensitivity"] == Sensitivity.PRIVATE
    if fields.get("recurrence") is not None:
        detail["recurrence"] = fields["recurrence"]
    if 0 < len(uid) <= LONGEST_UID:
        detail["global_object_id"] = uid
    when = fields.get("when")
    if isinstance(when, When):
        detail |= _time(row, when)
    detail |= _status(row, fields, lifecycle)
    return found


def _time(row: Any, when: When) -> dict[str, Any]:
    common_columns = {"is_all_day_event": when.all_day, "time_zone": when.zone}
    if not isinstance(row, RecurringAppointmentMaster):
        return common_columns | {"scheduled_start": when.start, "scheduled_end": when.end}
    zone = None if when.all_day else zone_of(when.zone)
    begins = when.start.astimezone(zone).time() if zone else when.start.time()
    minutes = int((when.end - when.start).total_seconds() // 60)
    return common_columns | {"start_time": begins, "duration": minutes}


def _status(row: Any, fields: Fields, lifecycle: Lifecycle | None) -> dict[str, Any]:
    """What is completed or canceled stays so, whatever a server shows (R6.27, R6.28)."""
    closed = row.status.state in CLOSED
    shown = STATUSES[ShowAs(str(fields["show_as"]))] if "show_as" in fields else None
    if lifecycle in ENDS:
        return {"status_code": LIFECYCLES[lifecycle]}
    if lifecycle is not None and closed:
        return {"status_code": shown or LIFECYCLES[lifecycle]}
    return {"status_code": shown} if shown and not closed else {}
