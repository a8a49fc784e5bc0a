"""What every activity keeps in its pointer, and what tasks, calendars and series share in their rows."""

from typing import Any
from uuid import UUID

from activities.choices import ActivityState, ActivityType, Priority
from activities.models import ActivityPointer
from mailboxes.protocols.items import Fields, Importance
from serversync.act.store.batch import Batch
from serversync.act.types import Table

PRIORITIES = {
    Importance.LOW: Priority.LOW,
    Importance.NORMAL: Priority.NORMAL,
    Importance.HIGH: Priority.HIGH,
}


def pointer(batch: Batch, table: Table, owner: UUID | None = None) -> ActivityPointer:
    """A new one, owned by whose mailbox it is, or by whom R6.29 names."""
    made = ActivityPointer(
        activity_type_code=ActivityType(table.value),
        owning_user_id=owner or batch.user.pk,
        sort_date=batch.now,
    )
    batch.make(made)
    return made


def change_common(batch: Batch, row: Any, fields: Fields) -> None:
    if "subject" in fields:
        batch.change(row.activity, subject=fields["subject"])
    if "body" in fields:
        batch.change(row, description=fields["body"])
    if "importance" in fields:
        batch.change(row, priority_code=PRIORITIES[Importance(str(fields["importance"]))])


def settle(batch: Batch, row: Any, status: Any) -> None:
    """A status, and the state that it has."""
    batch.change(row, status_code=status)
    batch.change(row.activity, state_code=ActivityState(status.state))
