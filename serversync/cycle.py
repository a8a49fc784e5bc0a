"""What one cycle of one workload reports back to the engine."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from serversync.choices import ItemState

Clock = Callable[[], datetime]


@dataclass(slots=True)
class CycleResult:
    """`processed`: items that reached a final state; `failed`: those that must be tried again or
    were quarantined; `more`: work was left because a limit was reached, so run again at once."""

    had_mail: bool = False
    processed: int = 0
    failed: int = 0
    more: bool = False
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

    def summary(self) -> str:
        """One line for logs, job results and commands."""
        if not self.by_state:
            return "nothing new"
        parts = [f"{number} {state}" for state, number in sorted(self.by_state.items())]
        return ", ".join(parts) + (", more to come" if self.more else "")
