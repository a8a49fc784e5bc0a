"""Columns of an activity: those of the pointer and those of its own row, as `activities.scheduling` takes them."""

from dataclasses import dataclass, field
from typing import Any

from activities.choices import Priority
from mailboxes.protocols.items import Fields, Importance

PRIORITIES = {
    Importance.LOW: Priority.LOW,
    Importance.NORMAL: Priority.NORMAL,
    Importance.HIGH: Priority.HIGH,
}


@dataclass(slots=True)
class Columns:
    pointer: dict[str, Any] = field(default_factory=dict)
    detail: dict[str, Any] = field(default_factory=dict)


def common(fields: Fields) -> Columns:
    """What every activity has."""
    found = Columns()
    if "subject" in fields:
        found.pointer["subject"] = fields["subject"]
    if "body" in fields:
        found.detail["description"] = fields["body"]
    if "importance" in fields:
        found.detail["priority_code"] = PRIORITIES[Importance(str(fields["importance"]))]
    return found
