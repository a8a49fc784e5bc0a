"""The time zones of the server, by their Windows ids."""

from dataclasses import dataclass
from datetime import tzinfo
from zoneinfo import ZoneInfo

from exchangelib.winzone import MS_TIMEZONE_TO_IANA_MAP

from serversync.sandbox.ews.soap import Element, T, make


@dataclass(frozen=True, slots=True)
class Change:
    """When the clocks change: the n-th `day` of `month` (-1: the last) at `hour`."""

    month: int
    occurrence: int
    day: str
    hour: int


@dataclass(frozen=True, slots=True)
class Zone:
    """`minutes`: to add to local standard time to come to UTC, as Windows counts."""

    windows_id: str
    name: str
    minutes: int
    summer: Change | None = None
    winter: Change | None = None


_EUROPE = {
    hour: (Change(3, -1, "Sunday", hour), Change(10, -1, "Sunday", hour + 1)) for hour in (1, 2, 3)
}
_AMERICA = (Change(3, 2, "Sunday", 2), Change(11, 1, "Sunday", 2))

ZONES = (
    Zone("UTC", "(UTC) Coordinated Universal Time", 0),
    Zone("GMT Standard Time", "(UTC+00:00) Dublin, Edinburgh, Lisbon, London", 0, *_EUROPE[1]),
    Zone(
        "W. Europe Standard Time",
        "(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Vienna",
        -60,
        *_EUROPE[2],
    ),
    Zone(
        "Romance Standard Time", "(UTC+01:00) Brussels, Copenhagen, Madrid, Paris", -60, *_EUROPE[2]
    ),
    Zone(
        "Central Europe Standard Time", "(UTC+01:00) Belgrade, Budapest, Prague", -60, *_EUROPE[2]
    ),
    Zone("FLE Standard Time", "(UTC+02:00) Helsinki, Kyiv, Riga, Sofia", -120, *_EUROPE[3]),
    Zone("India Standard Time", "(UTC+05:30) Chennai, Kolkata, Mumbai, New Delhi", -330),
    Zone("China Standard Time", "(UTC+08:00) Beijing, Hong Kong", -480),
    Zone("Tokyo Standard Time", "(UTC+09:00) Osaka, Sapporo, Tokyo", -540),
    Zone("Eastern Standard Time", "(UTC-05:00) Eastern Time", 300, *_AMERICA),
    Zone("Central Standard Time", "(UTC-06:00) Central Time", 360, *_AMERICA),
    Zone("Mountain Standard Time", "(UTC-07:00) Mountain Time", 420, *_AMERICA),
    Zone("Pacific Standard Time", "(UTC-08:00) Pacific Time", 480, *_AMERICA),
)


UTC_ID = "UTC"


def rules(windows_id: str) -> tzinfo | None:
    """The clock of a zone, by CLDR's table of names. None: no such zone."""
    name = MS_TIMEZONE_TO_IANA_MAP.get(windows_id)
    return ZoneInfo(name) if name and "://" not in windows_id else None


def shown_name(windows_id: str) -> str:
    return next((zone.name for zone in ZONES if zone.windows_id == windows_id), windows_id)


def definition(zone: Zone, full: bool) -> Element:
    element = make(f"{T}TimeZoneDefinition", Id=zone.windows_id, Name=zone.name)
    if full:
        element.append(make(f"{T}Periods", *_periods(zone)))
        groups = make(f"{T}TransitionsGroup", *_yearly(zone), Id="0")
        element.append(make(f"{T}TransitionsGroups", groups))
        start = make(f"{T}Transition", make(f"{T}To", "0", Kind="Group"))
        element.append(make(f"{T}Transitions", start))
    return element


def _periods(zone: Zone) -> list[Element]:
    found = [make(f"{T}Period", Bias=_duration(zone.minutes), Name="Standard", Id="std")]
    if zone.summer is not None:
        found.append(
            make(f"{T}Period", Bias=_duration(zone.minutes - 60), Name="Daylight", Id="dlt")
        )
    return found


def _yearly(zone: Zone) -> list[Element]:
    if zone.summer is None or zone.winter is None:
        return [make(f"{T}Transition", make(f"{T}To", "std", Kind="Period"))]
    return [_recurring(zone.summer, "dlt"), _recurring(zone.winter, "std")]


def _recurring(change: Change, period: str) -> Element:
    return make(
        f"{T}RecurringDayTransition",
        make(f"{T}To", period, Kind="Period"),
        make(f"{T}TimeOffset", f"PT{change.hour}H"),
        make(f"{T}Month", str(change.month)),
        make(f"{T}DayOfWeek", change.day),
        make(f"{T}Occurrence", str(change.occurrence)),
    )


def _duration(minutes: int) -> str:
    hours, rest = divmod(abs(minutes), 60)
    text = f"PT{hours}H{rest}M" if rest else f"PT{hours}H"
    return f"-{text}" if minutes < 0 else text
