"""PURE  what a server's refusal of outgoing mail means, by its code, its enhanced code and its words (R5.15).

One table for SMTP; the first row that fits decides. (Exchange has codes enough of its own: `ews.faults`.)
A code alone seldom tells: 450 and 550 are said of a recipient's mailbox, of the sender's account, of the
message and of the speed, and providers differ in everything but their words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Meaning(StrEnum):
    """What the sender has to do about it."""

    TLS = "tls"  # the mailbox: the line must be protected
    LOGIN = "login"  # the mailbox: log in, or with other credentials
    ACCOUNT = "account"  # the mailbox: the account may send nothing until somebody unlocks it
    BUSY = "busy"  # the server: later
    MINUTE = "minute"  # the speed: slower
    HOUR = "hour"  # the number within an hour
    DAY = "day"  # the number within a day
    FULL = "full"  # the sender's own mailbox
    TOO_LARGE = "too_large"  # the message, for good
    SEND_AS = "send_as"  # the message, for good: its sender is not the account's
    MESSAGE = "message"  # the message, for good
    LATER = "later"  # the message, for now


class Step(StrEnum):
    """What the server refused. CONTENT: DATA, and what follows."""

    SENDER = "sender"
    RECIPIENT = "recipient"
    CONTENT = "content"


#: About the speed or the number of messages, so that the account is meant and it passes.
LIMITS = frozenset({Meaning.MINUTE, Meaning.HOUR, Meaning.DAY})
#: About the account or the server, so that other messages fare no better.
BEYOND_MESSAGE = LIMITS | {
    Meaning.TLS,
    Meaning.LOGIN,
    Meaning.ACCOUNT,
    Meaning.BUSY,
    Meaning.FULL,
}

Enhanced = tuple[int, int, int]
ANY_STEP = frozenset(Step)
BEFORE_CONTENT = frozenset({Step.SENDER, Step.RECIPIENT})


@dataclass(frozen=True, slots=True)
class Row:
    """`codes` and `words` must fit; so must one of `enhanced`, where there are any: two numbers stand for every class."""

    meaning: Meaning
    codes: str = r"[45]\d\d"
    enhanced: tuple[Enhanced | tuple[int, int], ...] = ()
    words: str = ""
    steps: frozenset[Step] = ANY_STEP

    def fits(self, code: int, enhanced: Enhanced, text: str, step: Step) -> bool:
        return (
            step in self.steps
            and bool(re.fullmatch(self.codes, str(code)))
            and (not self.enhanced or any(_same(each, enhanced) for each in self.enhanced))
            and (not self.words or bool(re.search(self.words, text, re.IGNORECASE | re.DOTALL)))
        )


def _same(wanted: Sequence[int], enhanced: Enhanced) -> bool:
    """Two numbers: subject and detail, of whatever class."""
    return tuple(enhanced[-len(wanted) :]) == tuple(wanted)


# What is said of a recipient's mailbox, though it speaks of rates and quotas.
THEIRS = (
    r"(?:user|recipient|mailbox|person) (?:you are trying to contact|is receiving)|receiving (?:mail|messages) "
    r"(?:too quickly|at a rate)|recipient.{0,20}(?:full|quota|rate)|gr[ea]y-?list"
)
PERIOD_DAY = r"(?:daily|per day|a day|/day|24[ -]?h(?:ou)?rs?|for today|monthly|per month)"
PERIOD_HOUR = r"(?:hourly|per hour|an hour|/h(?:our)?\b)"
MUCH = r"(?:limit|quota|exceed|maximum|credits?|too many)"

TABLE: tuple[Row, ...] = (
    Row(Meaning.MESSAGE, r"5\d\d", words=THEIRS, steps=frozenset({Step.RECIPIENT})),
    Row(Meaning.LATER, r"4\d\d", words=THEIRS),
    # -- the line and the account
    Row(Meaning.TLS, r"5[035][0348]", words=r"starttls", steps=BEFORE_CONTENT),
    Row(Meaning.LOGIN, r"53[0458]"),
    Row(Meaning.LOGIN, "503", words=r"auth"),
    Row(
        Meaning.LOGIN,
        r"5\d\d",
        words=r"not logged in|authentication (?:is )?required|authenticate first",
    ),
    Row(Meaning.SEND_AS, r"5\d\d", enhanced=((7, 60), (2, 252))),
    Row(
        Meaning.SEND_AS,
        r"5\d\d",
        words=r"send ?as ?denied|not owned by|(?:allowed|permitted|permissions?|authori[sz]ed) to send "
        r"(?:mail |messages? )?(?:as|from|on behalf)",
    ),
    Row(Meaning.ACCOUNT, r"5\d\d", enhanced=((1, 8),), words=r"outbound|bad"),
    Row(Meaning.ACCOUNT, r"5\d\d", enhanced=((7, 705), (7, 708), (7, 750))),
    Row(
        Meaning.ACCOUNT,
        r"5\d\d",
        words=r"\baccount\b.{0,30}\b(?:suspended|blocked|disabled|locked)\b|banned sender|outbound sender",
        steps=frozenset({Step.SENDER, Step.CONTENT}),
    ),
    # -- how much and how fast
    Row(Meaning.DAY, enhanced=((5, 4, 5), (5, 1, 90))),
    Row(Meaning.DAY, words=rf"{PERIOD_DAY}.{{0,60}}{MUCH}|{MUCH}.{{0,60}}{PERIOD_DAY}"),
    Row(
        Meaning.DAY,
        words=r"submission\s*quota|(?:credits?|quota) (?:for sending )?exhausted|credits exceeded",
    ),
    Row(Meaning.HOUR, words=rf"{PERIOD_HOUR}.{{0,60}}{MUCH}|{MUCH}.{{0,60}}{PERIOD_HOUR}"),
    Row(Meaning.HOUR, words=r"unusual (?:sending )?activity"),
    Row(Meaning.MINUTE, enhanced=((7, 28),)),
    Row(
        Meaning.MINUTE,
        words=r"\brate[ -]?limit|ratelimit|\b(?:sending|submission|message|mail|transmission) rate\b|throttl"
        r"|too (?:fast|quickly)|slow(?:ing)? (?:\w+ )?down|too many (?:messages|e?-?mails)|too much mail"
        r"|too many recipients (?:from|in a)|(?:unusual|excessive|unexpected) (?:rate|volume)"
        r"|thread limit|(?:messages|recipients) (?:per|a|/ ?) ?(?:second|minute)",
    ),
    Row(
        Meaning.DAY,
        words=r"\b(?:sending|outgoing|outbound|messaging|relay)\b.{0,40}\b(?:limit|quota)s?\b"
        r"|\b(?:limit|quota)s?\b.{0,40}\b(?:sending messages|of messages)\b",
    ),
    # -- the message
    Row(Meaning.TOO_LARGE, r"5\d\d", enhanced=((3, 4), (2, 3))),
    Row(Meaning.TOO_LARGE, "552", words=r"\bsize\b|too (?:large|big)"),
    # -- the server; at MAIL a full mailbox is the sender's own
    Row(Meaning.FULL, enhanced=((2, 2),), steps=frozenset({Step.SENDER})),
    Row(
        Meaning.BUSY,
        r"4\d\d",
        enhanced=((3, 0), (3, 1), (3, 2), (3, 5)),
        steps=frozenset({Step.SENDER}),
    ),
    Row(Meaning.BUSY, r"4\d\d", enhanced=((3, 2),)),
    Row(Meaning.BUSY, r"421|454|432"),
    Row(Meaning.BUSY, "4(?:50|51)", enhanced=((7, 500), (7, 501))),
    Row(Meaning.MESSAGE, r"5\d\d"),
    Row(Meaning.LATER),
)

ENHANCED_CODE = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})\b")


def judge(code: int, text: str, step: Step) -> Meaning:
    """What a negative reply means. What no row knows counts as passing."""
    enhanced = enhanced_of(text)
    return next(row.meaning for row in TABLE if row.fits(code, enhanced, text, step))


def enhanced_of(text: str) -> Enhanced:
    """RFC 3463, or zeros."""
    found = ENHANCED_CODE.match(text)
    return (int(found[1]), int(found[2]), int(found[3])) if found else (0, 0, 0)


def counts_recipients(text: str) -> bool:
    """Does the limit count recipients rather than messages?"""
    return bool(re.search(r"\brecipients?\b", text, re.IGNORECASE))
