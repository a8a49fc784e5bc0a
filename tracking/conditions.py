"""PURE  What a record-creation rule may ask of a message (R3.58): conditions as data.

A condition is `{"test": ..., "value": ...}`; those of one item must all hold. `fault_of` says what is
wrong with one before it is stored; `holds` asks a message. Patterns are a person's, so each gets a little
time, and one that takes longer doesn't hold.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import regex
from django.db.models import TextChoices
from django.utils.translation import gettext as __
from django.utils.translation import gettext_lazy as _

from activities.html import text_of
from activities.mime.message import Address, ParsedMessage
from tracking.resolution import ACCOUNT, CONTACT, Match

PATTERN_SECONDS = 0.05
SEARCHED = 100_000  # characters of a body
LONGEST_VALUE = 500
_DOMAIN = re.compile(r"[^\s@;,]+\.[^\s@;,]+")


class Question(TextChoices):
    """What is asked. Those after SENDER_KNOWN need no value."""

    SUBJECT_CONTAINS = "subject_contains", _("subject contains")
    SUBJECT_LACKS = "subject_lacks", _("subject does not contain")
    SUBJECT_MATCHES = "subject_matches", _("subject matches the pattern")
    BODY_CONTAINS = "body_contains", _("text contains")
    BODY_LACKS = "body_lacks", _("text does not contain")
    SENDER_IS = "sender_is", _("sender's address is")
    SENDER_DOMAIN = "sender_domain", _("sender's domain is")
    RECIPIENT_IS = "recipient_is", _("an address in To or Cc is")
    SENDER_KNOWN = "sender_known", _("sender is known")
    SENDER_UNKNOWN = "sender_unknown", _("sender is unknown")
    SENDER_CONTACT = "sender_contact", _("sender is a contact")
    SENDER_ACCOUNT = "sender_account", _("sender is an account")
    IMPORTANCE_HIGH = "importance_high", _("importance is high")
    HAS_ATTACHMENT = "has_attachment", _("has an attachment")
    NO_ATTACHMENT = "no_attachment", _("has no attachment")

    @property
    def needs_value(self) -> bool:
        return self not in _WITHOUT_VALUE


_WITHOUT_VALUE = frozenset(list(Question)[list(Question).index(Question.SENDER_KNOWN) :])
Condition = Mapping[str, str]


@dataclass(frozen=True)
class Asked:
    """A message as conditions meet it. `sender`: the record behind its address, if any."""

    message: ParsedMessage
    sender: Match | None = None

    @cached_property
    def subject(self) -> str:
        return self.message.subject.casefold()

    @cached_property
    def body(self) -> str:
        text = self.message.text or text_of(self.message.html)
        return text[:SEARCHED].casefold()

    @cached_property
    def address(self) -> str:
        return self.message.sender.key if self.message.sender else ""


def fault_of(test: str, value: str) -> str:
    """Why this is no condition, in words; "" if it is one."""
    if test not in Question.values:
        return __("Choose what is asked of the message. (R3.58)")
    if not Question(test).needs_value:
        return ""
    values = _values(value)
    if len(value) > LONGEST_VALUE:
        return __("This is longer than %(most)d characters. (R3.58)") % {"most": LONGEST_VALUE}
    if test == Question.SUBJECT_MATCHES:
        return _pattern_fault(value)
    if not values:
        return __("Say what to look for. (R3.58)")
    if test in (Question.SENDER_IS, Question.RECIPIENT_IS):
        return _first_fault(values, "@", __("“%(value)s” is no address. (R3.58)"))
    if test == Question.SENDER_DOMAIN and (
        wrong := [v for v in values if not _DOMAIN.fullmatch(v)]
    ):
        text = __("“%(value)s” is no domain; write example.com. (R3.58)")
        return text % {"value": wrong[0]}
    return ""


def _first_fault(values: Iterable[str], needed: str, text: str) -> str:
    wrong = next((value for value in values if needed not in value), None)
    return text % {"value": wrong} if wrong is not None else ""


def _pattern_fault(value: str) -> str:
    if not value.strip():
        return __("Say what to look for. (R3.58)")
    try:
        regex.compile(value)
    except (regex.error, RecursionError, OverflowError) as error:
        return __("This is no regular expression: %(why)s. (R3.58)") % {"why": error}
    return ""


def all_hold(conditions: Sequence[Condition], asked: Asked) -> bool:
    """Without conditions: every message."""
    return all(holds(condition, asked) for condition in conditions)


def holds(condition: Condition, asked: Asked) -> bool:
    """A condition that nobody knows any more, or that is broken, doesn't hold."""
    try:
        test = Question(condition.get("test", ""))
    except ValueError:
        return False
    value = str(condition.get("value", ""))
    if test in (Question.SUBJECT_CONTAINS, Question.SUBJECT_LACKS):
        return _contains(asked.subject, value) is (test == Question.SUBJECT_CONTAINS)
    if test in (Question.BODY_CONTAINS, Question.BODY_LACKS):
        return _contains(asked.body, value) is (test == Question.BODY_CONTAINS)
    if test == Question.SUBJECT_MATCHES:
        return _matches(value, asked.message.subject)
    if test in (Question.SENDER_IS, Question.SENDER_DOMAIN, Question.RECIPIENT_IS):
        return _address_holds(test, value, asked)
    return _state_holds(test, asked)


def _address_holds(test: Question, value: str, asked: Asked) -> bool:
    if test == Question.SENDER_DOMAIN:
        domain = asked.address.rpartition("@")[2]
        return domain in {one.casefold() for one in _values(value)}
    wanted = {Address(one).key for one in _values(value)}
    if test == Question.SENDER_IS:
        return asked.address in wanted
    return any(one.key in wanted for one in (*asked.message.to, *asked.message.cc))


def _state_holds(test: Question, asked: Asked) -> bool:
    files = [file for file in asked.message.attachments if not file.inline]
    answers: dict[str, bool] = {
        Question.SENDER_KNOWN: asked.sender is not None,
        Question.SENDER_UNKNOWN: asked.sender is None,
        Question.SENDER_CONTACT: asked.sender is not None and asked.sender.kind == CONTACT,
        Question.SENDER_ACCOUNT: asked.sender is not None and asked.sender.kind == ACCOUNT,
        Question.IMPORTANCE_HIGH: asked.message.importance > 1,
        Question.HAS_ATTACHMENT: bool(files),
        Question.NO_ATTACHMENT: not files,
    }
    return answers[test]


def _values(text: str) -> list[str]:
    """Several are separated by semicolons; any of them will do."""
    return [value.strip() for value in text.split(";") if value.strip()]


def _contains(text: str, value: str) -> bool:
    return any(one.casefold() in text for one in _values(value))


def _matches(pattern: str, subject: str) -> bool:
    try:
        return bool(regex.search(pattern, subject[:800], timeout=PATTERN_SECONDS))
    except (regex.error, TimeoutError, MemoryError, RecursionError, OverflowError):
        return False


def words(conditions: Sequence[Condition]) -> list[str]:
    """Each condition as a person reads it."""
    lines = []
    for condition in conditions:
        test: Any = condition.get("test", "")
        label = str(Question(test).label) if test in Question.values else str(test)
        value = condition.get("value", "")
        lines.append(f"{label} “{value}”" if value else label)
    return lines
