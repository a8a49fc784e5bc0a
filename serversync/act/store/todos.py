"""Fields of a server's task as columns of a task, phone call, letter or fax (R6.37 to R6.39)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from activities.choices import (
    ActivityState,
    FaxStatus,
    LetterStatus,
    PhoneCallStatus,
    TaskStatus,
)
from mailboxes.protocols.items import Fields, TaskProgress
from serversync.act.store.columns import Columns, common
from serversync.act.store.reading import day_of, start_of
from serversync.act.types import Lifecycle, Table

DONE = (ActivityState.COMPLETED, ActivityState.CANCELED)


@dataclass(frozen=True, slots=True)
class Statuses:
    """Of one table: what open, completed and canceled are called."""

    open: Any
    completed: Any
    canceled: Any


STATUSES: Mapping[Table, Statuses] = {
    Table.TASK: Statuses(TaskStatus.NOT_STARTED, TaskStatus.COMPLETED, TaskStatus.CANCELED),
    Table.PHONE_CALL: Statuses(
        PhoneCallStatus.OPEN, PhoneCallStatus.MADE, PhoneCallStatus.CANCELED
    ),
    Table.LETTER: Statuses(LetterStatus.OPEN, LetterStatus.SENT, LetterStatus.CANCELED),
    Table.FAX: Statuses(FaxStatus.OPEN, FaxStatus.COMPLETED, FaxStatus.CANCELED),
}
OPEN_TASKS = {
    TaskProgress.NOT_STARTED: TaskStatus.NOT_STARTED,
    TaskProgress.IN_PROGRESS: TaskStatus.IN_PROGRESS,
    TaskProgress.WAITING: TaskStatus.WAITING,
    TaskProgress.DEFERRED: TaskStatus.DEFERRED,
}


@dataclass(frozen=True, slots=True)
class Known:
    """What the columns depend on. `row`: as it is, or one with the defaults for a new one; `zone`: its
    owner's."""

    table: Table
    row: Any
    zone: ZoneInfo
    now: datetime


def columns(known: Known, fields: Fields, lifecycle: Lifecycle | None) -> Columns:
    found = common(fields)
    found.detail |= _days(known, fields)
    if "percent_complete" in fields and known.table == Table.TASK:
        found.detail["percent_complete"] = fields["percent_complete"] or 0
    found.detail |= _state(known, fields, lifecycle, found.detail)
    return found


def _days(known: Known, fields: Fields) -> dict[str, Any]:
    found = {
        column: _on_day(known, getattr(known.row, column), fields[name])
        for name, column in (("start", "scheduled_start"), ("due", "scheduled_end"))
        if name in fields
    }
    due = found.get("scheduled_end", known.row.scheduled_end)
    if due is None and found.get("scheduled_start"):
        found["scheduled_end"] = found["scheduled_start"]  # R6.38
    return found


def _on_day(known: Known, before: datetime | None, day: Any) -> datetime | None:
    """On another day it keeps its time of day."""
    if not isinstance(day, date):
        return None
    if before is None or day_of(before, known.zone) == day:
        return before or start_of(day, known.zone)
    clock = before.astimezone(known.zone).time()
    return datetime.combine(day, clock, known.zone).astimezone(before.tzinfo)


# -- open, completed, canceled ---------------------------------------------------------------------


def _state(
    known: Known, fields: Fields, lifecycle: Lifecycle | None, told: Mapping[str, Any]
) -> dict[str, Any]:
    progress, statuses = fields.get("status"), STATUSES[known.table]
    if lifecycle == Lifecycle.CANCELED:
        return {"status_code": statuses.canceled}
    if lifecycle == Lifecycle.COMPLETED or progress == TaskProgress.COMPLETED:
        return _completed(known, fields)
    if progress is not None or lifecycle == Lifecycle.OPEN:
        return _opened(known, progress, told)
    if isinstance(fields.get("completed"), date):
        return {"actual_end": _on_day(known, known.row.actual_end, fields["completed"])}
    return {}


def _completed(known: Known, fields: Fields) -> dict[str, Any]:
    """What is canceled here stays so; a server knows no difference."""
    before = known.row.actual_end
    ended = _on_day(known, before, fields.get("completed")) or before or known.now
    if known.row.status.state in DONE:
        return {"actual_end": ended}
    found = {"actual_end": ended, "status_code": STATUSES[known.table].completed}
    return found | ({"percent_complete": 100} if known.table == Table.TASK else {})


def _opened(known: Known, progress: Any, told: Mapping[str, Any]) -> dict[str, Any]:
    """What was completed has no end any more, or it would be completed again (R6.39)."""
    found: dict[str, Any] = {"actual_end": None}
    if known.table == Table.TASK:
        found["status_code"] = OPEN_TASKS.get(progress, TaskStatus.NOT_STARTED)
        if progress == TaskProgress.IN_PROGRESS and "percent_complete" not in told:
            found["percent_complete"] = known.row.percent_complete or 0
    elif known.row.status.state in DONE:
        found["status_code"] = STATUSES[known.table].open
    return found
