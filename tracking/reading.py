"""What a page of messages is decided with, and what comes of each: data only."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from activities.mime.message import ParsedMessage
from activities.store import NewEmail
from mailboxes.models import Mailbox, Organization
from tracking import trace
from tracking.acceptance import PartyKey
from tracking.choices import Outcome as State
from tracking.choices import PartyKind, Way
from tracking.creation import NOTHING, Creation
from tracking.reports import Effect


def _no_probe(value: str, party: PartyKey) -> bool:
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRule:
    """A tracked folder as a page needs it. `record`: what its mail is filed under, None for nothing."""

    id: UUID
    name: str
    record: trace.Named | None = None
    record_type_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Whose mailbox is read, under which settings. `party` None: a forward mailbox.

    `way`: how its messages come before the decision; `rule`: the folder rule, where that is the way.
    `is_probe_of`: did we make the probe with this header for the mailbox of this party? Asked of
    originals inside a forward (R2.14, R3.75); the caller knows how probes are signed.
    """

    mailbox: Mailbox
    organization: Organization
    party: PartyKey | None
    start: datetime | None
    watermark: datetime | None
    now: datetime
    way: Way = Way.INBOX
    rule: FolderRule | None = None
    is_probe_of: Callable[[str, PartyKey], bool] = _no_probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One fetched message. `key`: the caller's name for it, unique within the page. `quiet`: nobody is
    answered because of it."""

    key: str
    message: ParsedMessage
    raw: bytes = field(repr=False)
    received_at: datetime | None = None
    is_own_probe: bool = False
    quiet: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where a message ended. `decision`: see tracking.trace. `undelivered`: sent emails that, as the
    message is the first to tell, did not reach somebody (R5.21)."""

    state: State
    reason: str
    sub_reason: str = ""
    email_id: UUID | None = None
    undelivered: tuple[UUID, ...] = ()
    decision: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Plan:
    """What is to become of one message. `part` 0: the message itself; from 1: originals inside a
    forward (R3.75). `error`: deciding failed, or who accepts it may not own email; nothing is
    written for it. `error_code`: of what is known of that (R8.20). `creation`: what it makes beside its
    email, `answer`: the one that is sent; `rests_on`: emails of the page that make records it refers to;
    `effect`: what it tells of an email that was sent (R5.21).
    """

    key: str
    part: int = 0
    message: ParsedMessage
    decision: trace.Decision | None = None
    new_email: NewEmail | None = None
    duplicate_of: UUID | None = None
    extra_queue_id: UUID | None = None
    error: str = ""
    error_code: str = ""
    creation: Creation = NOTHING
    answer: NewEmail | None = None
    rests_on: frozenset[UUID] = frozenset()
    effect: Effect | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Former:
    """What had come of a message that is decided again: the email and the case that it became, which keep
    their keys, and the email that it answered. `filed`: under which record it was stored; `inherited`: as
    the answered one was at that time; `hook`: the site's own code that named it (R3.52a)."""

    email_id: UUID | None = None
    case_id: UUID | None = None
    answered: UUID | None = None
    filed: tuple[int, str] | None = None
    inherited: bool = False
    hook: str = ""


FRESH = Former()


@dataclass(slots=True, kw_only=True)
class Unit:
    """One message to decide: a fetched one, or an original found inside it."""

    incoming: Incoming
    part: int
    message: ParsedMessage
    raw: bytes
    reading: PartyKey | None
    forwarded_by: trace.Named | None = None
    former: Former = FRESH


def reading_of(mailbox: Mailbox) -> PartyKey | None:
    """The party whose mailbox it is; None for a forward mailbox."""
    if mailbox.regarding_user_id:
        return (PartyKind.USER.value, str(mailbox.regarding_user_id))
    if mailbox.regarding_queue_id:
        return (PartyKind.QUEUE.value, str(mailbox.regarding_queue_id))
    return None
