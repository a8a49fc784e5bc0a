"""Fields of a server's task as columns of a task, phone call, letter or fax (R6.37 to R6.39)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from activities.choices import (
    ActivityState,
    FaxStatus,
    LetterStatus,
    PhoneCallStatus,
    TaskStatus,
)
from mailboxes.protocols.items import Fields, TaskProgress
from serversync.act.store.activities import change_common, pointer, settle
from serversync.act.store.batch import Batch
from serversync.act.store.reading import day_of, start_of, zone_of_owner
from serversync.act.store.rows import MODELS
from serversync.act.types import Lifecycle, Table


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


def make(batch: Batch, table: Table, fields: Fields, lifecycle: Lifecycle | None) -> Any:
    """What comes from a server has begun now (R6.39)."""
    row: Any = MODELS[table](activity=pointer(batch, table), actual_start=batch.now)
    row.activity.owning_user = batch.user
    row.status_code = STATUSES[table].open
    batch.make(row)
    _fill(batch, table, row, fields, lifecycle)
    return row


def change(
    batch: Batch, table: Table, row: Any, fields: Fields, lifecycle: Lifecycle | None
) -> None:
    _fill(batch, table, row, fields, lifecycle)
    batch.stamp(row.activity)


def _fill(
    batch: Batch, table: Table, row: Any, fields: Fields, lifecycle: Lifecycle | None
) -> None:
    change_common(batch, row, fields)
    _change_days(batch, row, fields)
    if "percent_complete" in fields and table == Table.TASK:
        batch.change(row, percent_complete=fields["percent_complete"] or 0)
    _change_state(batch, table, row, fields, lifecycle)
    batch.change(row.activity, sort_date=row.scheduled_end or row.activity.sort_date)


def _change_days(batch: Batch, row: Any, fields: Fields) -> None:
    for name, column in (("start", "scheduled_start"), ("due", "scheduled_end")):
        if name in fields:
            batch.change(row, **{column: _on_day(row, getattr(row, column), fields[name])})
    if row.scheduled_end is None and fields.get("start") is not None:
        batch.change(row, scheduled_end=row.scheduled_start)  # R6.38


def _on_day(row: Any, before: datetime | None, day: Any) -> datetime | None:
    """On another day it keeps its time of day."""
    zone = zone_of_owner(row.activity)
    if not isinstance(day, date):
        return None
    if before is None or day_of(before, zone) == day:
        return before or start_of(day, zone)
    clock = before.astimezone(zone).time()
    return datetime.combine(day, clock, zone).astimezone(before.tzinfo)


# -- open, completed, canceled ---------------------------------------------------------------------


def _change_state(
    batch: Batch, table: Table, row: Any, fields: Fields, lifecycle: Lifecycle | None
) -> None:
    progress = fields.get("status")
    statuses = STATUSES[table]
    if lifecycle == Lifecycle.CANCELED:
        settle(batch, row, statuses.canceled)
    elif lifecycle == Lifecycle.COMPLETED or progress == TaskProgress.COMPLETED:
        _complete(batch, table, row, fields)
    elif progress is not None or lifecycle == Lifecycle.OPEN:
        _reopen(batch, table, row, progress)
    elif "completed" in fields and fields["completed"] is not None:
        batch.change(row, actual_end=_on_day(row, row.actual_end, fields["completed"]))


def _complete(batch: Batch, table: Table, row: Any, fields: Fields) -> None:
    """What is canceled here stays so; a server knows no difference."""
    if row.status.state not in (ActivityState.COMPLETED, ActivityState.CANCELED):
        settle(batch, row, STATUSES[table].completed)
        if table == Table.TASK:
            batch.change(row, percent_complete=100)
    ended = _on_day(row, row.actual_end, fields.get("completed")) or row.actual_end
    batch.change(row, actual_end=ended or batch.now)


def _reopen(batch: Batch, table: Table, row: Any, progress: Any) -> None:
    """What was completed has no end any more, or it would be completed again (R6.39)."""
    batch.change(row, actual_end=None)
    if table == Table.TASK:
        settle(batch, row, OPEN_TASKS.get(progress, TaskStatus.NOT_STARTED))
        if progress == TaskProgress.IN_PROGRESS:
            batch.change(row, percent_complete=row.percent_complete or 0)
    elif row.status.state != ActivityState.OPEN:
        settle(batch, row, STATUSES[table].open)
