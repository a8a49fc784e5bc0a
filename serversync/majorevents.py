"""PURE  when the owner of a server profile gets mail about it (R8.15).

    quiet ──more than half failed within an hour──> told ──no more than half fail any more──> over
      ^                                                                                        │
      └────────────────────────── an hour after the last such mail ────────────────────────────┘

What counts is mailboxes, not failures: each is failing or not, whatever workloads it has and however often they
were tried.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

WITHIN = timedelta(hours=1)  # failures that count as one event
BETWEEN = timedelta(hours=1)  # two mails about one profile


class Step(StrEnum):
    NOTHING = "nothing"
    TELL = "tell"
    ALL_CLEAR = "all clear"
    FORGET = "forget"  # it is over, and nobody is told: the profile no longer asks for mail


@dataclass(frozen=True, slots=True)
class Facts:
    """Of the mailboxes of one profile that are to run: `failing` ones fail by now, of which `lately` those
    that failed within the hour; a paused one fails until a probe of it succeeds."""

    wanted: bool
    active: int
    failing: int
    lately: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """What was told. `is_open`: and no all-clear yet."""

    is_open: bool = False
    told_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """`because`: for logs and tests, in plain words."""

    step: Step
    because: str


def decide(facts: Facts, alarm: Alarm, now: datetime) -> Decision:
    if alarm.is_open:
        return _while_open(facts)
    if not facts.wanted:
        return Decision(Step.NOTHING, "not asked for")
    if not _more_than_half(facts.lately, facts.active):
        return Decision(Step.NOTHING, f"{facts.lately} of {facts.active} failed within the hour")
    if alarm.told_at is not None and now < alarm.told_at + BETWEEN:
        return Decision(Step.NOTHING, "told less than an hour ago")
    return Decision(Step.TELL, f"{facts.lately} of {facts.active} failed within the hour")


def _while_open(facts: Facts) -> Decision:
    if not facts.wanted:
        return Decision(Step.FORGET, "not asked for any more")
    if _more_than_half(facts.failing, facts.active):
        return Decision(Step.NOTHING, f"{facts.failing} of {facts.active} still fail")
    return Decision(Step.ALL_CLEAR, f"{facts.failing} of {facts.active} fail")


def _more_than_half(some: int, of: int) -> bool:
    return 2 * some > of
