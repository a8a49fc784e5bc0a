"""PURE  Is an item on a server a candidate at all (R3.6-R3.14)? Called by the cycle, twice per item:
on what the listing says before anything is fetched, and on the parsed message.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from activities.mime.message import ParsedMessage
from tracking.choices import SkipReason

MAX_SIZE = 150 * 1024 * 1024  # R3.10


class Settings(Protocol):
    def effective(self, name: str) -> Any: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """From when on mail counts. `start`: R3.6; `watermark`: only where the organization uses it."""

    start: datetime | None = None
    watermark: datetime | None = None
    max_size: int = MAX_SIZE
    skip_rights_protected: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """Why not. `detail`: the value that decided (a time in ISO form, octets, a method)."""

    reason: SkipReason
    detail: str = ""
    limit: str = ""


def bounds_of(
    organization: Settings,
    profile_date: datetime | None,
    mailbox_date: datetime | None,
    watermark: datetime | None = None,
) -> Bounds:
    """The later of the two dates (R3.6); the watermark only under R3.9's compatibility switch."""
    raise NotImplementedError


def skip_listed(size: int, received_at: datetime | None, bounds: Bounds) -> Skip | None:
    """From the listing alone: None means candidate as far as can be told."""
    raise NotImplementedError


def skip_message(
    message: ParsedMessage,
    received_at: datetime | None,
    bounds: Bounds,
    *,
    manually_tracked: bool = False,
) -> Skip | None:
    """From the message itself. `received_at`: the server's time or `arrival_of`, None if neither."""
    raise NotImplementedError


def arrival_of(mime: bytes) -> datetime | None:
    """When the last server took the message: the time of its topmost Received header.

    For protocols whose listing has no time (POP3). The sender writes the Date header, the server
    this one; a wrong clock there must not make mail count as older than the start date.
    """
    raise NotImplementedError
