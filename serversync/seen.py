"""One item on its way through a page, and what each beat learns of it: data only."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from activities.mime.message import ParsedMessage
from mailboxes.protocols.base import RemoteItem
from serversync.models import SyncItem
from tracking.hooks import Heard
from tracking.promote import Plan

INTERNAL = "IncomingMailboxInternalCrmError"  # R8.20: a passing fault on our side


@dataclass(slots=True)
class Seen:
    """Fetching fills `raw`, `message` and `identity` (by which it is recognised under another key), or
    `error`, `gone`, `too_large`; planning fills `heard` and `plans`; the ledger `row` and `children`."""

    item: RemoteItem
    row: SyncItem
    raw: bytes | None = None
    message: ParsedMessage | None = None
    identity: UUID | None = None
    is_new: bool = True
    error: str = ""
    error_code: str = ""
    gone: bool = False
    too_large: bool = False
    failures: int = 0  # of earlier cycles
    handed_in: bool = False  # its bytes came by hand, so nothing is done on the server
    asked: dict[str, Any] = field(default_factory=dict)  # who wants it tracked all the same (R3.18)
    heard: dict[int, Heard] = field(default_factory=dict)  # by part: what the site's own code said
    plans: list[Plan] = field(default_factory=list)
    children: list[SyncItem] = field(default_factory=list)

    @property
    def failure(self) -> tuple[str, str]:
        """What failed and its condition; "" if nothing did."""
        plan = next((plan for plan in self.plans if plan.error), None)
        if plan is not None:
            return plan.error, plan.error_code or self.error_code or INTERNAL
        return self.error, self.error_code or INTERNAL


def rows_of(seen: Sequence[Seen]) -> list[SyncItem]:
    return [row for one in seen for row in (one.row, *one.children)]
