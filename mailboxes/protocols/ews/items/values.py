"""Plain values <-> the text that Exchange writes them in."""

import re
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TypeVar

from inscriptis import get_text

from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.operations import Element, type_space

Word = TypeVar("Word", bound=StrEnum)

LONGEST_LAYOUT = 1_000_000  # characters of HTML that are laid out; beyond, the tags are taken away
TAG = re.compile(r"<[^<>]*>")


def text(item: Element, name: str) -> str:
    """On one line."""
    return " ".join(messages.text(item, name).split("\n")).replace("\r", "").strip()


def lines(written: str) -> str:
    """With \\n between lines, and nothing after the last one."""
    return written.replace("\r\n", "\n").replace("\r", "\n").rstrip()


def flag(item: Element, name: str) -> bool:
    return messages.text(item, name).lower() in ("true", "1")


def written(truth: bool) -> str:
    return "true" if truth else "false"


def number(item: Element, name: str) -> int | None:
    """Percentages come with fractions from some."""
    try:
        return round(float(messages.text(item, name)))
    except (ValueError, OverflowError):
        return None


def moment(item: Element, name: str) -> datetime | None:
    return known_moment(messages.moment(messages.text(item, name)))


def known_moment(found: datetime | None) -> datetime | None:
    """Year 1 is how the service says that there is none."""
    return None if found is None or found.year < 1601 else found


def word(item: Element, name: str, words: dict[str, Word], unknown: Word) -> Word:
    return words.get(messages.text(item, name), unknown)


# -- days ------------------------------------------------------------------------------------------


def day(item: Element, name: str) -> date | None:
    found = moment(item, name)
    return None if found is None else day_of(found)


def day_of(found: datetime) -> date:
    """Some programs write a day as its midnight where they run, others as that in UTC, others at 11:59. What
    looks like midnight somewhere belongs to the nearest day in UTC."""
    if found.second == 0 and found.minute % 15 == 0 and found.microsecond == 0:
        found += timedelta(hours=12)
    return found.date()


def midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


# -- bodies ----------------------------------------------------------------------------------------


def body(item: Element) -> str:
    found = item.find(f"{type_space}Body")
    if found is None or not found.text:
        return ""
    if (found.get("BodyType") or "Text").lower() == "html":
        return lines(plain(found.text))
    return lines(found.text)


def plain(html: str) -> str:
    """Of servers that give nothing but HTML."""
    if len(html) > LONGEST_LAYOUT:
        return TAG.sub("", html)
    try:
        return str(get_text(html))
    except (ValueError, RecursionError, TypeError):  # markup that the library gives up on
        return TAG.sub("", html)
