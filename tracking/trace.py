"""The decision on one item as data and as sentences: why a message is, or isn't, a record here.

`to_data` makes what is stored beside the item or the email: JSON-safe, versioned, compact, without
subject and body (the subject has a column of its own under the rules of privacy). `sentences` tells
stored data to a person, in the reader's language: the first sentence is the whole story in one line,
the others are the steps. `without_personal` is what stays when the retention ends (R3.73).

Data once stored is read for ever: `sentences` takes what any version wrote, missing keys included,
and says nothing about what it doesn't know. Change the meaning of a key only with a new VERSION.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from activities.mime.message import ParsedMessage
from tracking.acceptance import Acceptance
from tracking.choices import Outcome, QueueItemBecause
from tracking.correlate import Correlation
from tracking.ownership import OwnerChoice
from tracking.resolution import RecipientResolution, Resolution

VERSION = 1
MOST_ENTRIES = 25  # of one list; a message to 5,000 people explains itself with fewer


class Kind(StrEnum):
    """What a sentence is about; pages group by it."""

    SUMMARY = "summary"
    MESSAGE = "message"
    ADDRESS = "address"
    CORRELATION = "correlation"
    CANDIDATE = "candidate"
    RESULT = "result"
    ADVICE = "advice"


@dataclass(frozen=True, slots=True)
class Sentence:
    """One thing to say. `rule`: its number in the behaviour rules, "" if none."""

    text: str
    rule: str = ""
    kind: Kind = Kind.SUMMARY

    def __str__(self) -> str:
        return f"{self.text} ({self.rule})" if self.rule else self.text


@dataclass(frozen=True, slots=True)
class Named:
    """A record in the trace: label of its model in lower case, key, and the name it had then."""

    kind: str
    id: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class PlannedQueueItem:
    queue: Named
    because: QueueItemBecause


@dataclass(frozen=True, slots=True)
class DroppedAttachment:
    """`reason`: too_large, blocked or invalid (R3.51)."""

    name: str
    size: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """What went wrong, for quarantined, retrying and gone items. `code`: a condition of R8.20."""

    code: str
    text: str = ""
    attempt: int = 0
    attempts: int = 0
    next_attempt_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """Everything that explains one item. Whatever didn't come into play stays None or empty.

    `reason` and `sub_reason` are those of the ledger; left empty they are taken from `acceptance`
    or from `failure`. `skipped_because` is a `candidates.Skip`'s detail and limit.
    """

    outcome: Outcome
    decided_at: datetime
    reason: str = ""
    sub_reason: str = ""
    mailbox: Named | None = None
    size: int = 0
    received_at: datetime | None = None
    message: ParsedMessage | None = None
    sender: Resolution | None = None
    recipients: tuple[RecipientResolution, ...] = ()
    correlation: Correlation | None = None
    acceptance: Acceptance | None = None
    owner: OwnerChoice | None = None
    regarding: Named | None = None
    queue_items: tuple[PlannedQueueItem, ...] = ()
    dropped_attachments: tuple[DroppedAttachment, ...] = ()
    duplicate_of: UUID | None = None
    message_id_reused: bool = False
    skip_detail: str = ""
    skip_limit: str = ""
    forwarded_by: Named | None = None
    failure: Failure | None = None


def to_data(decision: Decision) -> dict[str, Any]:
    """What is stored. Lists longer than MOST_ENTRIES are cut and say how long they were."""
    raise NotImplementedError


def without_personal(data: Mapping[str, Any]) -> dict[str, Any]:
    """The same decision without names, addresses and ids of messages: outcome and reasons stay."""
    raise NotImplementedError


def sentences(data: Mapping[str, Any]) -> list[Sentence]:
    """The whole story first, then the steps. Translated when called."""
    raise NotImplementedError


def summary(data: Mapping[str, Any]) -> Sentence:
    """The first sentence alone, for lists."""
    raise NotImplementedError
