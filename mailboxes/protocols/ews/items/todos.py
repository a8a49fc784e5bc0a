"""Tasks. The server keeps status, percentage and completion in step; whichever comes last counts, so they are
written in the order in which they are given."""

from datetime import UTC, date, datetime
from typing import cast

from exchangelib.version import Build

from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.items import values
from mailboxes.protocols.ews.items.fields import EVERY, Field, Table, choice
from mailboxes.protocols.ews.items.paths import Part, Path, numbered
from mailboxes.protocols.ews.operations import Element, T, timestamp
from mailboxes.protocols.items import TaskProgress, Value

STATUSES = {
    "NotStarted": TaskProgress.NOT_STARTED,
    "InProgress": TaskProgress.IN_PROGRESS,
    "WaitingOnOthers": TaskProgress.WAITING,
    "Deferred": TaskProgress.DEFERRED,
    "Completed": TaskProgress.COMPLETED,
}
#: Tasks that somebody was asked to do, or that somebody asked us to do.
ASSIGNED = ("Owned", "Accepted", "Declined")

PERCENT = Path("task:PercentComplete")
COMPLETED = Path("task:CompleteDate")
# Exchange takes the day of completion for today, whatever CompleteDate says; this is where it keeps it.
DATE_COMPLETED = numbered("Task", 0x810F, "SystemTime")
REMINDER_SET = Path("item:ReminderIsSet")
REMINDER_AT = Path("item:ReminderDueBy")


def day_field(uri: str) -> Field:
    path = Path(uri)

    def read(item: Element) -> Value:
        return values.day(item, path.name)

    def write(value: Value, _build: Build) -> list[Part]:
        return [Part(path, None if value is None else T(path.name, _at_midnight(value)))]

    return Field((path,), read, write)


def _at_midnight(value: Value) -> str:
    return timestamp(values.midnight(cast(date, value)))


def _read_percent(item: Element) -> Value:
    return max(0, min(100, values.number(item, PERCENT.name) or 0))


def _write_percent(value: Value, _build: Build) -> list[Part]:
    return [Part(PERCENT, T.PercentComplete(str(value or 0)))]


def _read_completed(item: Element) -> Value:
    return values.day(item, COMPLETED.name)


def _write_completed(value: Value, _build: Build) -> list[Part]:
    """It empties itself when the task is open again. Days to come are refused, also where it is tomorrow already."""
    if value is None:
        return []
    midnight = values.midnight(cast(date, value))
    at = timestamp(min(midnight, datetime.now(UTC)))
    kept = T.ExtendedProperty(DATE_COMPLETED.element(), T.Value(timestamp(midnight)))
    return [Part(COMPLETED, T.CompleteDate(at)), Part(DATE_COMPLETED, kept)]


def _read_reminder(item: Element) -> Value:
    return values.moment(item, "ReminderDueBy") if values.flag(item, "ReminderIsSet") else None


def _write_reminder(value: Value, _build: Build) -> list[Part]:
    if value is None:
        return [Part(REMINDER_SET, T.ReminderIsSet("false"))]
    return [
        Part(REMINDER_AT, T.ReminderDueBy(timestamp(cast(datetime, value)))),
        Part(REMINDER_SET, T.ReminderIsSet("true")),
    ]


FIELDS: Table = {
    **EVERY,
    "start": day_field("task:StartDate"),
    "due": day_field("task:DueDate"),
    "percent_complete": Field((PERCENT,), _read_percent, _write_percent),
    "completed": Field((COMPLETED,), _read_completed, _write_completed),
    "status": choice(Path("task:Status"), STATUSES, TaskProgress.NOT_STARTED),
    "reminder": Field((REMINDER_AT, REMINDER_SET), _read_reminder, _write_reminder),
    "is_recurring": Field(
        (Path("task:IsRecurring"),), lambda item: values.flag(item, "IsRecurring")
    ),
    "is_assigned": Field(
        (Path("task:DelegationState"),),
        lambda item: messages.text(item, "DelegationState") in ASSIGNED,
    ),
}

ORDER = ["CompleteDate", "DueDate", "PercentComplete", "StartDate", "Status"]
