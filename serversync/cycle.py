"""What one cycle of one workload carries along, and what it reports back to the engine."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from uuid import UUID

from mailboxes.models import Mailbox, Organization
from serversync.choices import ItemState
from serversync.context import Context
from serversync.pacing import Hold, Limit
from tracking.hooks import Hooks

Clock = Callable[[], datetime]


@dataclass(slots=True)
class CycleResult:
    """`processed`: items that reached a final state; `failed`: those that must be tried again or
    were quarantined; `more`: work was left because a limit was reached, so run again at once;
    `soon`: what is left has time, so others go first (R7.7); `waits_until`: mail is left that limits
    keep back until then, and which (R5.14)."""

    had_mail: bool = False
    processed: int = 0
    failed: int = 0
    more: bool = False
    soon: bool = False
    waits_until: datetime | None = None
    waits_because: Limit | Hold | None = None
    by_state: Counter[str] = field(default_factory=Counter)
    by_reason: Counter[str] = field(default_factory=Counter)
    steps_ms: dict[str, int] = field(default_factory=dict)

    def count(self, state: str, reason: str = "") -> None:
        """Note one item's outcome."""
        self.had_mail = True
        self.by_state[state] += 1
        if reason:
            self.by_reason[reason] += 1
        if state in (ItemState.RETRYING, ItemState.QUARANTINED):
            self.failed += 1
        else:
            self.processed += 1

    @property
    def items(self) -> int:
        """How many it has met so far, whatever became of them."""
        return sum(self.by_state.values())

    def summary(self) -> str:
        """One line for logs, job results and commands."""
        if not self.by_state:
            return "nothing new"
        parts = [f"{number} {state}" for state, number in sorted(self.by_state.items())]
        return ", ".join(parts) + (", more to come" if self.more else "")


class Stopwatch:
    """Adds the milliseconds of a block to a step."""

    def __init__(self, steps: dict[str, int], step: str) -> None:
        self.steps, self.step = steps, step

    def __enter__(self) -> None:
        self.began = monotonic()

    def __exit__(self, *_: object) -> None:
        spent = round((monotonic() - self.began) * 1000)
        self.steps[self.step] = self.steps.get(self.step, 0) + spent


@dataclass(slots=True)
class Run:
    """One cycle of one mailbox: whose lease it holds, and what it has done so far.

    `left`: messages that it may still take up; `actions_written`: there is something to do on the
    server once everything is stored; `marks_changed`: a listing told of a category set or taken off;
    `hooks`: a site's own code on receipt, and the time that is left for it.
    """

    context: Context
    token: UUID
    clock: Clock
    result: CycleResult = field(default_factory=CycleResult)
    left: int = 0
    actions_written: bool = False
    marks_changed: bool = False
    hooks: Hooks = field(default_factory=Hooks)

    @property
    def mailbox(self) -> Mailbox:
        return self.context.mailbox

    @property
    def organization(self) -> Organization:
        return self.context.organization

    def timed(self, step: str) -> Stopwatch:
        return Stopwatch(self.result.steps_ms, step)
