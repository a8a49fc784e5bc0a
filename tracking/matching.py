"""PURE  Smart matching: subject and addresses as hashes, and how far two lists agree (R4.15-R4.18).

The noise of a subject is described by the organization, in a regular expression that may be slow
beyond measure on some subject. So it gets a little time, and after it failed once it is left alone.
"""

import unicodedata
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256

import regex

from activities.choices import HashType

SUBJECT = 800  # characters that are hashed: as many as are stored
LONGEST_LOOK_BACK = 36_500  # days
NOISE_SECONDS = 0.05


class Noise:
    """What is taken off the front of a subject. `trouble`: why nothing is any more, or ""."""

    def __init__(self, pattern: str, seconds: float = NOISE_SECONDS) -> None:
        self.trouble = ""
        self._seconds = seconds
        self._pattern: regex.Pattern[str] | None = None
        if not pattern:
            return
        try:
            self._pattern = regex.compile(pattern)
        except (regex.error, RecursionError, OverflowError) as error:
            self.trouble = str(error) or type(error).__name__

    def off(self, subject: str) -> str:
        if self._pattern is None or self.trouble:
            return subject
        try:
            found = self._pattern.match(subject, timeout=self._seconds)
        except (TimeoutError, MemoryError):
            self.trouble = "timeout"
            return subject
        return subject[found.end() :] if found else subject


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchRules:
    """The four settings: `most` hashes of a list are kept, `subjects_may_differ` by so many, and so
    many `addresses_needed`; what `noise` is."""

    noise: Noise = field(default_factory=lambda: Noise(""))
    most: int = 20
    subjects_may_differ: int = 0
    addresses_needed: int = 2


@dataclass(frozen=True, slots=True)
class Hashes:
    """Of one message, in its order. An address may look like a word, so they are kept apart."""

    subject: tuple[int, ...] = ()
    addresses: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Score:
    """How many hashes are common, and how many have to be (R4.16)."""

    subject: int
    subject_needed: int
    addresses: int
    addresses_needed: int

    @property
    def is_match(self) -> bool:
        return self.subject >= self.subject_needed and self.addresses >= self.addresses_needed


def hash_of(text: str) -> int:
    """Signed, of 32 bits, the same on every machine."""
    digest = sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:4], "big", signed=True)


def words_of(subject: str, rules: MatchRules) -> tuple[str, ...]:
    """The words that count, each once. A token counts as a word."""
    text = unicodedata.normalize("NFKC", subject[:SUBJECT])
    words = rules.noise.off(text).casefold().split()
    return tuple(dict.fromkeys(words))[: rules.most]


def hashes_of(subject: str, addresses: Iterable[str], rules: MatchRules) -> Hashes:
    """`addresses`: keys, those of From, To, Cc and Bcc in this order."""
    first = list(dict.fromkeys(addresses))[: rules.most]
    return Hashes(
        tuple(dict.fromkeys(hash_of(word) for word in words_of(subject, rules))),
        tuple(dict.fromkeys(hash_of(address) for address in first)),
    )


def look_back(days: int) -> timedelta:
    """How far emails are looked at (R4.17): no setting is beyond the calendar."""
    return timedelta(days=min(days, LONGEST_LOOK_BACK))


def hash_rows(
    subject: str, addresses: Iterable[str], rules: MatchRules
) -> tuple[tuple[HashType, int], ...]:
    """The hashes as they are stored."""
    hashes = hashes_of(subject, addresses, rules)
    return (
        *((HashType.SUBJECT, value) for value in hashes.subject),
        *((HashType.ADDRESS, value) for value in hashes.addresses),
    )


def score(mine: Hashes, theirs: Hashes, rules: MatchRules) -> Score:
    longer = max(len(mine.subject), len(theirs.subject))
    return Score(
        subject=len(set(mine.subject) & set(theirs.subject)),
        # One at least: otherwise an empty subject would match, and a generous setting everything.
        subject_needed=max(1, longer - rules.subjects_may_differ),
        addresses=len(set(mine.addresses) & set(theirs.addresses)),
        addresses_needed=rules.addresses_needed,
    )


def telling_words(subject: str, rules: MatchRules) -> tuple[int, ...]:
    """So few hashes of the subject that every match has one of them: of any n + 1, where n may differ.
    Those with digits and the longest are taken, for fewer messages have them."""
    words = sorted(words_of(subject, rules), key=_telling, reverse=True)
    return tuple(hash_of(word) for word in words[: rules.subjects_may_differ + 1])


def _telling(word: str) -> tuple[bool, int, str]:
    return (any(sign.isdigit() for sign in word), len(word), word)


def telling_addresses(
    addresses: Sequence[str], own: Collection[str], rules: MatchRules
) -> tuple[int, ...]:
    """So few hashes of the addresses that every match has one of them: as n are needed, n - 1 may be
    left out, and those of users and queues are, for half of all mail has them."""
    if not rules.addresses_needed:
        return ()
    known = list(dict.fromkeys(addresses))[: rules.most]
    left_out = [address for address in known if address in own][: rules.addresses_needed - 1]
    return tuple(hash_of(address) for address in known if address not in left_out)
