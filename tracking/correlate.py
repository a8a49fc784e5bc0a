"""PURE  Which stored email a message answers, and how that was found out (R4.1-R4.5).

Called once per message by promote, which looks up `ids_to_look_up` of a whole page in one query. The
steps run in R4.1's order and the first hit wins. In-reply-to and References are built; tracking
token, conversation index and smart matching have their places in `correlate`, marked there.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from activities.choices import CorrelationMethod, Direction
from activities.identity import bare_message_id, message_key
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
        for key in email.keys:
            known = self._by_key.get(key)
            if known is None or _preference(email) < _preference(known):
                self._by_key[key] = email

    def with_message_id(self, message_id: str) -> StoredEmail | None:
        return self._by_key.get(key_of(message_id))


def _preference(email: StoredEmail) -> tuple[bool, UUID]:
    """Mail between own users is stored twice: an answer is to the one that was sent."""
    return (email.direction != Direction.OUTGOING, email.id)


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
    def has_unknown_token(self) -> bool:
        """The message bears a tracking token, and nothing here has it (R3.15)."""
        return any(
            attempt.step == CorrelationStep.TRACKING_TOKEN
            and attempt.outcome == AttemptOutcome.NOT_FOUND
            for attempt in self.tried
        )

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
    return CorrelationSwitches(
        headers=organization.effective("email_correlation_enabled"),
        ignore_headers=organization.effective(
            "ignore_conversation_index_and_in_reply_to_for_correlation"
        ),
        references=organization.effective("references_correlate"),
        tokens=organization.effective("use_tracking_tokens"),
        smart_matching=organization.effective("enable_smart_matching"),
    )


def key_of(message_id: str) -> UUID:
    """The digest that a stored email with this id has: of the full id, case kept (R4.4)."""
    return message_key(message_id, "", "", "", 0)


def ids_to_look_up(message: ParsedMessage) -> tuple[str, ...]:
    """Bare ids that the message may answer, each once: in-reply-to, then References as tried."""
    ids = [bare_message_id(message.in_reply_to), *_references(message)]
    return tuple(dict.fromkeys(i for i in ids if _may_be_answered(i, message)))


def _references(message: ParsedMessage) -> list[str]:
    """From last to first, without in-reply-to, which has been tried before (R4.4)."""
    answered = bare_message_id(message.in_reply_to)
    ids = [bare_message_id(reference) for reference in reversed(message.references)]
    ids = [i for i in dict.fromkeys(ids) if i != answered and _may_be_answered(i, message)]
    return ids if len(ids) <= MAX_REFERENCES else [*ids[: MAX_REFERENCES - 1], ids[-1]]


def _may_be_answered(message_id: str, message: ParsedMessage) -> bool:
    """A message that names itself would find its own other copy."""
    return bool(message_id) and message_id != bare_message_id(message.message_id)


def correlate(
    message: ParsedMessage, candidates: CorrelationCandidates, switches: CorrelationSwitches
) -> Correlation:
    """The stored email that `message` answers, with every step that was taken to find it.

    An email that was deleted here is no candidate, so it matches nothing (R4.21).
    """
    tried: list[Attempt] = []
    for step in STEPS:
        attempt, email = step(message, candidates, switches)
        tried.append(attempt)
        if email is not None:
            return Correlation(
                method=METHOD_OF[attempt.step],
                email=email,
                because=attempt.step,
                subject_changed=subject_changed(message.subject, email),
                tried=tuple(tried),
            )
    return Correlation(tried=tuple(tried))


Step = Callable[
    [ParsedMessage, CorrelationCandidates, CorrelationSwitches],
    tuple[Attempt, StoredEmail | None],
]


def _by_in_reply_to(
    message: ParsedMessage, candidates: CorrelationCandidates, switches: CorrelationSwitches
) -> tuple[Attempt, StoredEmail | None]:
    on = switches.headers and not switches.ignore_headers
    answered = bare_message_id(message.in_reply_to)
    ids = [answered] if _may_be_answered(answered, message) else []
    return _by_ids(CorrelationStep.IN_REPLY_TO, ids, candidates, on)


def _by_references(
    message: ParsedMessage, candidates: CorrelationCandidates, switches: CorrelationSwitches
) -> tuple[Attempt, StoredEmail | None]:
    on = switches.headers and not switches.ignore_headers and switches.references
    return _by_ids(CorrelationStep.REFERENCES, _references(message), candidates, on)


def _by_ids(
    step: CorrelationStep, ids: list[str], candidates: CorrelationCandidates, on: bool
) -> tuple[Attempt, StoredEmail | None]:
    if not on:
        return Attempt(step=step, outcome=AttemptOutcome.SWITCHED_OFF), None
    if not ids:
        return Attempt(step=step, outcome=AttemptOutcome.NOTHING_TO_LOOK_FOR), None
    for message_id in ids:
        if email := candidates.with_message_id(message_id):
            hit = Attempt(
                step=step,
                outcome=AttemptOutcome.FOUND,
                looked_for=tuple(ids),
                found=message_id,
            )
            return hit, email
    return Attempt(step=step, outcome=AttemptOutcome.NOT_FOUND, looked_for=tuple(ids)), None


#: R4.1's order. Tracking token, conversation index and smart matching come here, in this order.
STEPS: tuple[Step, ...] = (_by_in_reply_to, _by_references)

METHOD_OF = {
    CorrelationStep.IN_REPLY_TO: CorrelationMethod.IN_REPLY_TO,
    CorrelationStep.REFERENCES: CorrelationMethod.IN_REPLY_TO,
    CorrelationStep.TRACKING_TOKEN: CorrelationMethod.TRACKING_TOKEN,
    CorrelationStep.CONVERSATION_INDEX: CorrelationMethod.CONVERSATION_INDEX,
    CorrelationStep.SMART_MATCHING: CorrelationMethod.SMART_MATCHING,
}

# "Re:", "AW:", "Fwd[2]:", "Antw:", also with the wide colon that Chinese and Japanese clients write.
_REPLY_PREFIX = re.compile(r"\s*(?:\w{1,4}(?:\[\d+\]|\(\d+\))?\s?[:：]\s*)+")


def subject_changed(subject: str, earlier: StoredEmail) -> bool:
    """Is it another subject than the earlier one's, prefixes of replies and tokens aside (R4.5)?"""
    return _core(subject, earlier.tracking_token) != _core(earlier.subject, earlier.tracking_token)


def _core(subject: str, token: str) -> str:
    prefix = _REPLY_PREFIX.match(subject)
    text = " ".join((subject[prefix.end() :] if prefix else subject).split()).casefold()
    return text.removesuffix(token.casefold()).rstrip() if token else text
