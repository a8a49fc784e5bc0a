"""Names of time zones: IANA's here, Windows' on the wire; and the times of day that they make.

    written    name -> Windows' by CLDR's table ── none, or refused ──> another one with the same clock ── ... ──> UTC
    read       Windows' -> the name that was written with it ── none ──> the table's ── none ──> ""

Many names of IANA share one of Windows, and some have none. So a property of ours keeps both, "Windows'=IANA's".
"""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from exchangelib.winzone import IANA_TO_MS_TIMEZONE_MAP, MS_TIMEZONE_TO_IANA_MAP

from mailboxes.protocols.ews.items.paths import ours

ZONE_NAME = ours("TimeZone")
WINDOWS_UTC = "UTC"
LOOKED_AHEAD = timedelta(days=730)
LOOKED_EVERY = timedelta(days=10)


@lru_cache(maxsize=1024)
def clock(name: str) -> tzinfo:
    """UTC for a name that this system doesn't know."""
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def windows_name(name: str, around: datetime, refused: int = 0) -> str:
    """The zone of Windows for `name`; `refused`: how many the server has refused so far. The best is its own, then
    comes another one whose clock goes alike at `around` and some time after, then UTC. Windows learns of new
    zones and rules late, and servers are older than that."""
    known = IANA_TO_MS_TIMEZONE_MAP.get(name)
    if known and not refused:
        return str(known[0])
    own = [str(known[0])] if known else []
    alike = _alike(name, around.replace(day=1, hour=0, minute=0, second=0, microsecond=0))
    others = [each for each in alike if each not in own][:1]
    return [*own, *others, WINDOWS_UTC, WINDOWS_UTC, WINDOWS_UTC][refused]


@lru_cache(maxsize=256)
def _alike(name: str, around: datetime) -> tuple[str, ...]:
    if clock(name) is UTC:
        return ()
    wanted = _offsets(name, around)
    return tuple(
        windows
        for windows, iana in MS_TIMEZONE_TO_IANA_MAP.items()
        if "://" not in windows and _offsets(iana, around) == wanted
    )


def _offsets(name: str, around: datetime) -> list[timedelta | None]:
    zone = clock(name)
    steps = LOOKED_AHEAD // LOOKED_EVERY
    return [(around + LOOKED_EVERY * step).astimezone(zone).utcoffset() for step in range(steps)]


def kept(windows: str, name: str) -> str:
    """What the property of ours says."""
    return f"{windows}={name}"


def iana_name(windows: str, kept: str) -> str:
    """Whoever changed the zone since doesn't know of `kept`, so it counts only for the zone it was kept with."""
    written_with, is_kept, name = kept.partition("=")
    return name if is_kept and written_with == windows else table_name(windows)


def table_name(windows: str) -> str:
    if windows == WINDOWS_UTC:
        return "UTC"
    return str(MS_TIMEZONE_TO_IANA_MAP.get(windows) or "")
