"""How what was listed is divided into pages, and where a page leaves its folder."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from mailboxes.protocols.base import RemoteItem

PAGE_BYTES = 32 * 1024 * 1024  # a page's messages are in memory together


@dataclass(slots=True)
class Page:
    """Items to handle together, how many too old ones lie among them, the cursor behind them all."""

    items: list[RemoteItem] = field(default_factory=list)
    too_old: int = 0
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page leaves its folder: the cursor to store and what else its row learns."""

    cursor: str
    total: int | None = None
    too_old: int = 0
    onboarded: bool = False
    count: int = 0  # messages of this page that were there at the first contact
    complete: bool = False  # of a listing that tells everything each time

    @property
    def is_behind(self) -> bool:
        """The page is stored, and the cursor stays before it."""
        return not self.cursor and not self.complete


def is_too_old(item: RemoteItem, start: datetime | None) -> bool:
    return start is not None and item.received_at is not None and item.received_at < start


def within(items: Sequence[RemoteItem], limit: int, start: datetime | None) -> Sequence[RemoteItem]:
    """The first of them, at most `limit` to be taken up. What is too old costs nothing: where only the
    end of an answer has a cursor (Exchange), a cycle would else never come past a page of it."""
    for number, item in enumerate(items):
        if is_too_old(item, start):
            continue
        if limit <= 0:
            return items[:number]
        limit -= 1
    return items


def pages_of(items: Iterable[RemoteItem], per_page: int, start: datetime | None) -> Iterator[Page]:
    """Bounded by number and bytes. What is older than `start` is one count of the page that passes
    it, not a row; None: nothing is too old."""
    page, size = Page(), 0
    for item in items:
        if is_too_old(item, start):
            page.too_old += 1
            page.cursor = item.cursor
            continue
        if page.items and (len(page.items) >= per_page or size + item.size > PAGE_BYTES):
            yield page
            page, size = Page(), 0
        page.items.append(item)
        page.cursor = item.cursor
        size += item.size
    if page.items or page.too_old:
        yield page
