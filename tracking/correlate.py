"""PURE  Which stored email a message answers, and how that was found out (R4.1-R4.5).

Called once per message by promote, which looks up `ids_to_look_up` of a whole page in one query. The
steps run in R4.1's order and the first hit wins. In-reply-to and References are built; tracking
token, conversation index and smart matching have their places in `correlate`, marked there.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from activities.choices import CorrelationMethod, Direction
from activities.mime.message import ParsedMessage
from tracking.choices import AttemptOutcome, CorrelationStep

MAX_REFERENCES = 20  # a thread's last ones and its first; a page of 50 stays a page of look-ups


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEmail:
    """What correlation needs of an email. `keys`: digests of its ids, its own and the server's
    (email.message_id_dup_check, email.server_message_id_dup_check)."""

    id: UUID
    keys: tuple[UUID, ...]
    direction: Direction = Direction.INCOMING
    subject: str = ""
    tracking_token: str = ""
    regarding_type_id: int | None = None
    regarding_id: str = ""
    owner_user_id: UUID | None = None
    owner_team_id: UUID | None = None
    conversation_tracking_id: UUID | None = None
    at: datetime | None = None


class CorrelationCandidates:
    """The stored emails that a page's messages may answer. Messages of the page itself are added
    as they are decided, so that a reply finds the mail right before it."""

    def __init__(self, emails: Iterable[StoredEmail] = ()) -> None:
        self._by_key: dict[UUID, StoredEmail] = {}
        for email in emails:
            self.add(email)

    def add(self, email: StoredEmail) -> None:
        raise NotImplementedError

    def with_message_id(self, message_id: str) -> StoredEmail | None:
        raise NotImplementedError


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationSwitches:
    """R4.3. `headers`: use correlation; `ignore_headers`: its kill switch; `references`: R4.4."""

    headers: bool = True
    ignore_headers: bool = False
    references: bool = True
    tokens: bool = True
    smart_matching: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One step: what was looked for, as the message writes it, and what it came to."""

    step: CorrelationStep
    outcome: AttemptOutcome
    looked_for: tuple[str, ...] = ()
    found: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Correlation:
    """`email` None: no match. `tried` holds every step up to the hit, switched-off ones included."""

    method: CorrelationMethod = CorrelationMethod.NONE
    email: StoredEmail | None = None
    because: CorrelationStep | None = None
    subject_changed: bool = False
    tried: tuple[Attempt, ...] = field(default=())

    @property
    def matched(self) -> bool:
        return self.email is not None

    @property
    def email_id(self) -> UUID | None:
        return self.email.id if self.email else None

    @property
    def parent_id(self) -> UUID | None:
        """Only these two methods say which email is answered (R3.50)."""
        by_header = (CorrelationMethod.IN_REPLY_TO, CorrelationMethod.CONVERSATION_INDEX)
        return self.email_id if self.method in by_header else None


class Settings(Protocol):
    def effective(self, name: str) -> Any: ...


def switches_of(organization: Settings) -> CorrelationSwitches:
    raise NotImplementedError


def ids_to_look_up(message: ParsedMessage) -> tuple[str, ...]:
    """Bare message ids that this message may answer, each once. Their digests are
    `key_of(id)`."""
    raise NotImplementedError


def key_of(message_id: str) -> UUID:
    """The digest that a stored email with this id has."""
    raise NotImplementedError


def correlate(
    message: ParsedMessage, candidates: CorrelationCandidates, switches: CorrelationSwitches
) -> Correlation:
    """The stored email that `message` answers, with every step that was taken to find it."""
    raise NotImplementedError
