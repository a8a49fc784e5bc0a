"""PURE  Which stored email a message answers, and how that was found out (R4.1-R4.5, R4.8-R4.16).

Called once per message by promote, for which `earlier` looks up what `wanted` names, for a whole page
at once. The steps run in R4.1's order and the first hit wins.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from activities.choices import CorrelationMethod, Direction
from activities.identity import bare_message_id, message_key
from activities.mime.message import ParsedMessage
from tracking.choices import AttemptOutcome, CorrelationStep
from tracking.conversation_index import BASE, base_hash, nearness, octets_of
from tracking.matching import (
    Hashes,
    MatchRules,
    Noise,
    Score,
    hashes_of,
    score,
    telling_addresses,
    telling_words,
)
from tracking.tokens import tokens_in, without_tokens

MOST_SCORES = 3  # that are told of
MAX_REFERENCES = 20  # a thread's last ones and its first; a page of 50 stays a page of look-ups


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredEmail:
    """What correlation needs of an email. `keys`: digests of its ids, its own and the server's
    (email.message_id_dup_check, email.server_message_id_dup_check). `index`: the octets of its
    conversation index. `participants`: keys of the addresses of sender and recipients, where they
    were looked up; `sender`: that of the sender; `sent_on`: its Date."""

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
    index: bytes = b""
    participants: tuple[str, ...] = ()
    at: datetime | None = None
    sender: str = ""
    sent_on: datetime | None = None

    @property
    def recipients(self) -> tuple[str, ...]:
        """Keys of the addresses that it was sent to, where participants were looked up."""
        return tuple(key for key in self.participants if key != self.sender)

    @property
    def conversation(self) -> UUID:
        return self.conversation_tracking_id or self.id

    @property
    def recency(self) -> tuple[float, UUID]:
        """The newest is the greatest."""
        return (self.at.timestamp() if self.at else float("-inf"), self.id)


class CorrelationCandidates:
    """The stored emails that a page's messages may answer. Messages of the page itself are added
    as they are decided, so that a reply finds the mail right before it.

    `own`: keys of the addresses of users and queues. `matching`: how emails are hashed, None where
    nothing is matched smartly; `since`: no older email is."""

    def __init__(
        self,
        emails: Iterable[StoredEmail] = (),
        own: Collection[str] = (),
        matching: MatchRules | None = None,
        since: datetime | None = None,
    ) -> None:
        self.own = frozenset(own)
        self.since = since
        self._matching = matching
        self._by_word: dict[int, list[tuple[StoredEmail, Hashes]]] = defaultdict(list)
        self._by_key: dict[UUID, StoredEmail] = {}
        self._by_base: dict[bytes, list[StoredEmail]] = defaultdict(list)
        self._by_token: dict[str, list[StoredEmail]] = defaultdict(list)
        for email in emails:
            self.add(email)

    def add(self, email: StoredEmail) -> None:
        for key in email.keys:
            known = self._by_key.get(key)
            if known is None or _preference(email) < _preference(known):
                self._by_key[key] = email
        if email.index:
            self._by_base[email.index[:BASE]].append(email)

        if email.tracking_token:
            self._by_token[email.tracking_token].append(email)
        if self._matching and email.participants and self._is_recent(email):
            hashes = hashes_of(email.subject, email.participants, self._matching)
            for word in hashes.subject:
                self._by_word[word].append((email, hashes))

    def _is_recent(self, email: StoredEmail) -> bool:
        return self.since is None or email.at is None or email.at >= self.since

    def with_words(self, words: Iterable[int]) -> dict[UUID, tuple[StoredEmail, Hashes]]:
        """Those that have one of these words in their subject."""
        return {
            pair[0].id: pair
            for word in words
            for pair in self._by_word.get(word, ())
            if self._is_recent(pair[0])
        }

    def with_token(self, token: str) -> list[StoredEmail]:
        return self._by_token.get(token, [])

    def in_conversation(self, index: bytes) -> list[StoredEmail]:
        """Those whose index has the same 22 octets; a hash of them may lie (R4.14)."""
        return self._by_base.get(index[:BASE], [])

    def with_message_id(self, message_id: str) -> StoredEmail | None:
        return self._by_key.get(key_of(message_id))

    def sent_with(self, message_id: str) -> StoredEmail | None:
        """The one that left from here with this id."""
        email = self.with_message_id(message_id)
        return email if email and email.direction == Direction.OUTGOING else None


def _preference(email: StoredEmail) -> tuple[bool, UUID]:
    """Mail between own users is stored twice: an answer is to the one that was sent."""
    return (email.direction != Direction.OUTGOING, email.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorrelationSwitches:
    """R4.3. `headers`: use correlation; `ignore_headers`: its kill switch; `references`: R4.4;
    `reports`: R5.21.

    `prefixes`: of tokens, the present one and all former ones; `check_participants`: R4.13. `matching`
    and `days`: the settings of smart matching (R4.15, R4.17). Made once for a page, for `matching`
    remembers what it has found out about its expression."""

    headers: bool = True
    ignore_headers: bool = False
    references: bool = True
    reports: bool = True
    tokens: bool = True
    smart_matching: bool = False
    prefixes: tuple[str, ...] = ("CRM:",)
    check_participants: bool = True
    matching: MatchRules = field(default_factory=MatchRules)
    days: int = 90

    @property
    def by_headers(self) -> bool:
        return self.headers and not self.ignore_headers


@dataclass(frozen=True, slots=True)
class Scored:
    """How near one email came."""

    email_id: UUID
    score: Score


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One step: what was looked for, as the message writes it, and what it came to.

    `conversations`: how many have the token; `shared`: who takes part in the one that was found.
    `compared`: how many emails smart matching compared, of so many `days`; `scores`: the best."""

    step: CorrelationStep
    outcome: AttemptOutcome
    looked_for: tuple[str, ...] = ()
    found: str = ""
    conversations: int = 0
    shared: tuple[str, ...] = ()
    compared: int = 0
    days: int = 0
    scores: tuple[Scored, ...] = ()


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
        reports=organization.effective("link_reports"),
        tokens=organization.effective("use_tracking_tokens"),
        smart_matching=organization.effective("enable_smart_matching"),
        prefixes=prefixes_of(organization),
        check_participants=organization.effective("check_token_participants"),
        matching=MatchRules(
            noise=Noise(organization.effective("hash_filter_keywords")),
            most=organization.effective("hash_max_count"),
            subjects_may_differ=organization.effective("hash_delta_subject_count"),
            addresses_needed=organization.effective("hash_min_address_count"),
        ),
        days=organization.effective("smart_matching_days"),
    )


def prefixes_of(organization: Settings) -> tuple[str, ...]:
    """The present prefix of tokens and all former ones (R4.12)."""
    former = organization.effective("former_tracking_prefixes")
    prefixes = (organization.effective("tracking_prefix"), *former)
    return tuple(dict.fromkeys(str(prefix) for prefix in prefixes if prefix))


def key_of(message_id: str) -> UUID:
    """The digest that a stored email with this id has: of the full id, case kept (R4.4)."""
    return message_key(message_id, "", "", "", 0)


def ids_to_look_up(message: ParsedMessage) -> tuple[str, ...]:
    """Bare ids that the message may answer, each once: in-reply-to, then References as tried."""
    ids = [bare_message_id(message.in_reply_to), *_references(message)]
    return tuple(dict.fromkeys(i for i in ids if _may_be_answered(i, message)))


def reported_id(message: ParsedMessage) -> str:
    """Bare id of the message that this one reports on, "" if it reports on none or doesn't say."""
    return bare_message_id(message.report.message_id) if message.report else ""


def _references(message: ParsedMessage) -> list[str]:
    """From last to first, without in-reply-to, which has been tried before (R4.4)."""
    answered = bare_message_id(message.in_reply_to)
    ids = [bare_message_id(reference) for reference in reversed(message.references)]
    ids = [i for i in dict.fromkeys(ids) if i != answered and _may_be_answered(i, message)]
    return ids if len(ids) <= MAX_REFERENCES else [*ids[: MAX_REFERENCES - 1], ids[-1]]


def _may_be_answered(message_id: str, message: ParsedMessage) -> bool:
    """A message that names itself would find its own other copy."""
    return bool(message_id) and message_id != bare_message_id(message.message_id)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a page's messages may find stored emails by: ids, tokens, hashes of conversation indexes,
    of words and of addresses. No `addresses`: any will do. `people`: all participants are asked for.
    `reported`: ids of messages that others report on.
    """

    message_ids: frozenset[str] = frozenset()
    tokens: frozenset[str] = frozenset()
    index_hashes: frozenset[int] = frozenset()
    words: frozenset[int] = frozenset()
    addresses: frozenset[int] = frozenset()
    people: bool = False
    reported: frozenset[str] = frozenset()


def wanted(
    messages: Iterable[ParsedMessage], switches: CorrelationSwitches, own: Collection[str] = ()
) -> Wanted:
    """Nothing for a step that is switched off. `own`: see CorrelationCandidates."""
    messages, rules = list(messages), switches.matching
    matchable = [m for m in messages if switches.smart_matching and _hashes(m, rules)]
    hashes = [base_hash(m.thread_index) for m in messages if switches.by_headers]
    reported = frozenset(i for m in messages if switches.reports and (i := reported_id(m)))
    return Wanted(
        message_ids=reported.union(i for m in messages for i in ids_to_look_up(m)),
        tokens=frozenset(t for m in messages for t in _tokens(m, switches)),
        index_hashes=frozenset(h for h in hashes if h is not None),
        words=frozenset(w for m in matchable for w in telling_words(m.subject, rules)),
        addresses=frozenset(
            a for m in matchable for a in telling_addresses(participants_of(m), own, rules)
        ),
        people=bool(matchable),
        reported=reported,
    )


def correlate(
    message: ParsedMessage, candidates: CorrelationCandidates, switches: CorrelationSwitches
) -> Correlation:
    """The stored email that `message` answers, with every step that was taken to find it.

    An email that was deleted here is no candidate, so it matches nothing (R4.21).
    """
    tried: list[Attempt] = []
    for step in STEPS if message.report is None or not switches.reports else STEPS_OF_REPORTS:
        attempt, email = step(message, candidates, switches)
        tried.append(attempt)
        if email is not None:
            return Correlation(
                method=METHOD_OF[attempt.step],
                email=email,
                because=attempt.step,
                subject_changed=attempt.step != CorrelationStep.REPORT
                and subject_changed(message.subject, email.subject, switches.prefixes),
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
    answered = bare_message_id(message.in_reply_to)
    ids = [answered] if _may_be_answered(answered, message) else []
    return _by_ids(CorrelationStep.IN_REPLY_TO, ids, candidates, switches.by_headers)


def _by_references(
    message: ParsedMessage, candidates: CorrelationCandidates, switches: CorrelationSwitches
) -> tuple[Attempt, StoredEmail | None]:
    on = switches.by_headers and switches.references
    return _by_ids(CorrelationStep.REFERENCES, _references(message), candidates, on)


def _by_report(
    message: ParsedMessage, candidates: CorrelationCandidates, switches: CorrelationSwitches
) -> tuple[Attempt, StoredEmail | None]:
    """R5.21. Anybody can return a header; only the id of something that was sent is believed."""
    step, reported = CorrelationStep.REPORT, reported_id(message)
    if not reported:
        return Attempt(step=step, outcome=AttemptOutcome.NOTHING_TO_LOOK_FOR), None
    email = candidates.sent_with(reported)
    if email is None:
        attempt = Attempt(step=step, outcome=AttemptOutcome.NOT_FOUND, looked_for=(reported,))
        return attempt, None
    hit = Attempt(step=step, outcome=AttemptOutcome.FOUND, looked_for=(reported,), found=reported)
    return hit, email


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


def _tokens(message: ParsedMessage, switches: CorrelationSwitches) -> tuple[str, ...]:
    return tokens_in(message.subject, switches.prefixes) if switches.tokens else ()


def _by_token(
    message: ParsedMessage, candidates: CorrelationCandidates, switches: CorrelationSwitches
) -> tuple[Attempt, StoredEmail | None]:
    """R4.8, R4.13. Of several tokens the last is tried first: those of forwarded mail stand before."""
    step = CorrelationStep.TRACKING_TOKEN
    tokens = _tokens(message, switches)
    if not switches.tokens:
        return Attempt(step=step, outcome=AttemptOutcome.SWITCHED_OFF), None
    if not tokens:
        return Attempt(step=step, outcome=AttemptOutcome.NOTHING_TO_LOOK_FOR), None
    outside = outsiders(message, candidates.own)
    outcome = AttemptOutcome.NOT_FOUND
    for token in tokens:
        emails = _others(candidates.with_token(token), message)
        conversations = _conversations(emails)
        for conversation in conversations:
            shared = _shared(outside, conversation)
            if shared or not switches.check_participants:
                hit = Attempt(
                    step=step,
                    outcome=AttemptOutcome.FOUND,
                    looked_for=tokens,
                    found=token,
                    conversations=len(conversations),
                    shared=shared,
                )
                return hit, conversation[0]
            outcome = AttemptOutcome.NOT_BELIEVED
    return Attempt(step=step, outcome=outcome, looked_for=tokens), None


def participants_of(message: ParsedMessage) -> tuple[str, ...]:
    """Keys of the addresses of sender, To, Cc and Bcc, each once."""
    sender = [message.sender] if message.sender else []
    people = [*sender, *message.to, *message.cc, *message.bcc]
    return tuple(dict.fromkeys(address.key for address in people if address.key))


def outsiders(message: ParsedMessage, own: Collection[str]) -> tuple[str, ...]:
    """Who tells one conversation from another: our users and queues are in all of theirs, so they
    count only where nobody else takes part (R4.13)."""
    people = participants_of(message)
    return tuple(address for address in people if address not in own) or people


def _shared(people: Iterable[str], conversation: Iterable[StoredEmail]) -> tuple[str, ...]:
    there = {address for email in conversation for address in email.participants}
    return tuple(address for address in people if address in there)


def _conversations(emails: Iterable[StoredEmail]) -> list[list[StoredEmail]]:
    """By their last activity, the most recent first, each with its newest email first."""
    found: dict[UUID, list[StoredEmail]] = defaultdict(list)
    for email in sorted(emails, key=lambda email: email.recency, reverse=True):
        found[email.conversation].append(email)
    return list(found.values())


def _by_conversation_index(
    message: ParsedMessage, candidates: CorrelationCandidates, switches: CorrelationSwitches
) -> tuple[Attempt, StoredEmail | None]:
    step, index = CorrelationStep.CONVERSATION_INDEX, octets_of(message.thread_index)
    if not switches.by_headers:
        return Attempt(step=step, outcome=AttemptOutcome.SWITCHED_OFF), None
    if not index:
        return Attempt(step=step, outcome=AttemptOutcome.NOTHING_TO_LOOK_FOR), None
    base = (index[:BASE].hex(),)
    found = _others(candidates.in_conversation(index), message)
    if not found:
        return Attempt(step=step, outcome=AttemptOutcome.NOT_FOUND, looked_for=base), None
    hit = Attempt(step=step, outcome=AttemptOutcome.FOUND, looked_for=base, found=base[0])
    return hit, max(found, key=lambda email: (nearness(index, email.index), email.recency))


def _hashes(message: ParsedMessage, rules: MatchRules) -> Hashes | None:
    """None for a message that can match nothing."""
    hashes = hashes_of(message.subject, participants_of(message), rules)
    enough = hashes.subject and len(hashes.addresses) >= rules.addresses_needed
    return hashes if enough else None


def _by_smart_matching(
    message: ParsedMessage, candidates: CorrelationCandidates, switches: CorrelationSwitches
) -> tuple[Attempt, StoredEmail | None]:
    """R4.16. The newest of all that match; if none does, the best are told of."""
    step, rules = CorrelationStep.SMART_MATCHING, switches.matching
    if not switches.smart_matching:
        return Attempt(step=step, outcome=AttemptOutcome.SWITCHED_OFF), None
    mine = _hashes(message, rules)
    if mine is None:
        return Attempt(step=step, outcome=AttemptOutcome.NOTHING_TO_LOOK_FOR), None
    near = candidates.with_words(telling_words(message.subject, rules))
    others = _others((email for email, _ in near.values()), message)
    scored = [(email, score(mine, near[email.id][1], rules)) for email in others]
    scored.sort(key=lambda one: (one[1].is_match, _rank(one[1]), one[0].recency), reverse=True)
    matches = [email for email, result in scored if result.is_match]
    email = max(matches, key=lambda email: email.recency, default=None)
    scored.sort(key=lambda one: one[0] is not email)  # what was found is told of first
    attempt = Attempt(
        step=step,
        outcome=AttemptOutcome.FOUND if email else AttemptOutcome.NOT_FOUND,
        compared=len(scored),
        days=switches.days,
        scores=tuple(Scored(email.id, result) for email, result in scored[:MOST_SCORES]),
    )
    return attempt, email


def _rank(result: Score) -> int:
    return result.subject - result.subject_needed + result.addresses - result.addresses_needed


def _others(emails: Iterable[StoredEmail], message: ParsedMessage) -> list[StoredEmail]:
    """Without what is the message itself: mail between own users is stored twice."""
    own = key_of(message.message_id) if message.message_id else None
    return [email for email in emails if own not in email.keys]


#: R4.1's order.
STEPS: tuple[Step, ...] = (
    _by_in_reply_to,
    _by_references,
    _by_token,
    _by_conversation_index,
    _by_smart_matching,
)

#: What it reports on says more than a token in its subject, which is that of a whole conversation.
STEPS_OF_REPORTS: tuple[Step, ...] = (*STEPS[:2], _by_report, *STEPS[2:])

METHOD_OF = {
    CorrelationStep.IN_REPLY_TO: CorrelationMethod.IN_REPLY_TO,
    CorrelationStep.REFERENCES: CorrelationMethod.IN_REPLY_TO,
    CorrelationStep.TRACKING_TOKEN: CorrelationMethod.TRACKING_TOKEN,
    CorrelationStep.CONVERSATION_INDEX: CorrelationMethod.CONVERSATION_INDEX,
    CorrelationStep.SMART_MATCHING: CorrelationMethod.SMART_MATCHING,
    CorrelationStep.REPORT: CorrelationMethod.CUSTOM,
}

# "Re:", "AW:", "Fwd[2]:", "Antw:", also with the wide colon that Chinese and Japanese clients write.
_REPLY_PREFIX = re.compile(r"\s*(?:\w{1,4}(?:\[\d+\]|\(\d+\))?\s?[:：]\s*)+")


def subject_changed(subject: str, earlier: str, prefixes: Iterable[str]) -> bool:
    """Is it another subject than the earlier one, prefixes of replies and tokens aside (R4.5)?"""
    prefixes = tuple(prefixes)
    return _core(subject, prefixes) != _core(earlier, prefixes)


def _core(subject: str, prefixes: Iterable[str]) -> str:
    text = without_tokens(subject, prefixes)
    prefix = _REPLY_PREFIX.match(text)
    return (text[prefix.end() :] if prefix else text).casefold()
