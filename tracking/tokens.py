"""PURE  Tracking tokens: put into the subject of mail that leaves, found in that of mail that comes.

A token is a prefix, one fixed digit, the number of a user and a counter: CRM:0001001 (R4.6). Whether
a token that was found is believed is decided in `correlate` (R4.8, R4.13).
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from activities.mime.message import Defect
from activities.mime.words import decode_words

FIXED_DIGIT = "0"
MOST_IN_SUBJECT = 10  # of a subject that was made to be expensive, the last ones
SUBJECT_COLUMN = 800  # what is stored of a subject


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenShape:
    """How new tokens look. `base`: what keeps the numbers of several sites apart (R4.7)."""

    prefix: str = "CRM:"
    base: int = 0
    user_digits: int = 3
    counter_digits: int = 3

    def token(self, user: int, counter: int) -> str:
        """`user`: the running number of the user, from 1. One that outgrew its digits is written
        in full; a counter that did, after its digits were made fewer, starts again."""
        number = f"{self.base + user:0{self.user_digits}}"
        return f"{self.prefix}{FIXED_DIGIT}{number}{self._wrapped(counter):0{self.counter_digits}}"

    def after(self, counter: int) -> int:
        """The next counter; after all nines zero (R4.8)."""
        return self._wrapped(counter + 1)

    def _wrapped(self, counter: int) -> int:
        return int(counter % 10**self.counter_digits)


def with_token(subject: str, token: str, most: int) -> str:
    """`subject` as it leaves: with the token behind it, once, in `most` characters (R4.10, R4.11).

    A token that is longer than that alone is left out; "" only cuts.
    """
    most = min(most, SUBJECT_COLUMN)
    if not token or len(token) > most:
        return _cut(subject, most)
    there = re.compile(rf"\s*{re.escape(token)}(?![0-9])", re.IGNORECASE)
    if there.search(subject):
        if len(subject) <= most:
            return subject
        subject = there.sub("", subject)
    room = most - len(token) - 1
    return f"{_cut(subject.rstrip(), room)} {token}".lstrip()


def _cut(subject: str, most: int) -> str:
    """No accent is torn from its letter."""
    if len(subject) <= most:
        return subject
    end = max(most, 0)
    while end and unicodedata.combining(subject[end]):
        end -= 1
    return subject[:end].rstrip()


def tokens_in(subject: str, prefixes: Iterable[str]) -> tuple[str, ...]:
    """Every text that may be a token, as it would be stored, the last in the subject first (R4.12).

    `prefixes`: the present one and all former ones. Case is ignored, and so is what mail programs do
    to a subject: encoded words that were encoded again, wide forms, a fold inside.
    """
    text = _readable(subject)
    found = [
        (match.start(), prefix + match[1])
        for prefix in dict.fromkeys(prefixes)
        for match in _pattern(prefix).finditer(text)
    ]
    found.sort(key=lambda one: -one[0])
    return tuple(dict.fromkeys(token for _, token in found))[:MOST_IN_SUBJECT]


def without_tokens(subject: str, prefixes: Iterable[str]) -> str:
    """What a person wrote, on one line."""
    text = _readable(subject)
    for prefix in prefixes:
        text = _pattern(prefix).sub(" ", text)
    return " ".join(text.split())


@lru_cache(maxsize=64)
def _pattern(prefix: str) -> re.Pattern[str]:
    # One digit, those of the user, those of the counter: 3 at least, 1 + 10 + 9 at most, and one
    # more for users that outgrew theirs. How many there were in former times is not known.
    return re.compile(
        rf"{re.escape(_plain(prefix))}\s{{0,2}}([0-9]{{3,21}})(?![0-9])", re.IGNORECASE
    )


def _readable(subject: str) -> str:
    for _ in range(2):  # encoded by a program, and as a whole once more by another one
        if "=?" in subject:
            subject = decode_words(subject, _unreported)
    return _plain(subject)


def _plain(text: str) -> str:
    """Wide digits and colons as plain ones, nothing invisible."""
    if text.isascii():
        return text
    return "".join(_visible(unicodedata.normalize("NFKC", text)))


def _visible(text: str) -> Iterator[str]:
    return (sign for sign in text if unicodedata.category(sign) != "Cf")


def _unreported(defect: Defect) -> None:
    """What is wrong with the header was told when the message was parsed."""
