"""PURE  Is an item on a server a candidate at all (R3.6-R3.14)? Called by the cycle, twice per item:
on what the listing says before anything is fetched, and on the parsed message.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol

from activities.mime.message import ParsedMessage
from tracking.choices import SkipReason

HEADER_BYTES = 64 * 1024  # Received stands on top
RIGHTS_PROTECTED = "irm"  # ParsedMessage.encrypted
#: iTIP methods between organizer and attendees (RFC 5546). PUBLISH is mail: it asks nobody anything.
CALENDAR_TRAFFIC = frozenset(
    {"REQUEST", "REPLY", "CANCEL", "ADD", "REFRESH", "COUNTER", "DECLINECOUNTER"}
)
_RECEIVED = re.compile(rb"^received[ \t]*:((?:[^\r\n]|\r?\n[ \t])*)", re.IGNORECASE | re.MULTILINE)

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
    return Bounds(
        start=max((date for date in (profile_date, mailbox_date) if date), default=None),
        watermark=watermark if organization.effective("use_date_watermark") else None,
        skip_rights_protected=organization.effective("restrict_irm_email_items"),
    )


def skip_listed(size: int, received_at: datetime | None, bounds: Bounds) -> Skip | None:
    """From the listing alone: None means candidate as far as can be told.

    The second that the watermark names is looked at again: several messages may share it, and the
    ledger knows those that were processed.
    """
    if size > bounds.max_size:
        return Skip(SkipReason.TOO_LARGE, str(size), str(bounds.max_size))
    if received_at is None:
        return None
    if bounds.start and received_at < bounds.start:
        return Skip(SkipReason.BEFORE_START, received_at.isoformat(), bounds.start.isoformat())
    if bounds.watermark and received_at < bounds.watermark:
        return Skip(
            SkipReason.BEFORE_WATERMARK, received_at.isoformat(), bounds.watermark.isoformat()
        )
    return None


def skip_message(
    message: ParsedMessage,
    received_at: datetime | None,
    bounds: Bounds,
    *,
    own_probe: bool = False,
    manually_tracked: bool = False,
) -> Skip | None:
    """From the message itself. `received_at`: the server's time or `arrival_of`, None if neither.
    `own_probe`: the caller verified our signature in the header (R2.14), for a bare header would let
    anybody make mail vanish.

    What a person tracks by hand is bound by no date, and may be calendar traffic (R3.9, R3.14).
    """
    if own_probe:
        return Skip(SkipReason.OWN_PROBE)
    if manually_tracked:
        return skip_listed(message.size, None, bounds)
    if skip := skip_listed(message.size, received_at, bounds):
        return skip
    if message.calendar_method in CALENDAR_TRAFFIC:
        return Skip(SkipReason.CALENDAR, message.calendar_method)
    if message.encrypted == RIGHTS_PROTECTED and bounds.skip_rights_protected:
        return Skip(SkipReason.RIGHTS_PROTECTED)
    return None


def arrival_of(mime: bytes) -> datetime | None:
    """When the last server took the message: the time of its topmost Received header.

    For protocols whose listing has no time (POP3). The sender writes the Date header, the server
    this one; a wrong clock there must not make mail count as older than the start date.
    """
    header = _RECEIVED.search(mime[:HEADER_BYTES].partition(b"\r\n\r\n")[0].partition(b"\n\n")[0])
    if header is None:
        return None
    stamp = header.group(1).decode("ascii", "replace").rpartition(";")[2]
    try:
        arrived = parsedate_to_datetime(" ".join(stamp.split()))
        return arrived.astimezone(UTC) if arrived.tzinfo else arrived.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError):
        return None
