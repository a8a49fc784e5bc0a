"""Start, end, all day and zone: five properties and one of ours, which are read and written together."""

from datetime import UTC, datetime, time, timedelta

from exchangelib.version import EXCHANGE_2010, Build

from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.items import zones
from mailboxes.protocols.ews.items.paths import Part, Path, extended, extended_part
from mailboxes.protocols.ews.items.values import flag, midnight, moment, written
from mailboxes.protocols.ews.operations import Element, T, timestamp, type_space
from mailboxes.protocols.items import When

START = Path("calendar:Start")
END = Path("calendar:End")
ALL_DAY = Path("calendar:IsAllDayEvent")
START_ZONE = Path("calendar:StartTimeZone", since=EXCHANGE_2010)
END_ZONE = Path("calendar:EndTimeZone", since=EXCHANGE_2010)
ASKED = (START, END, ALL_DAY, START_ZONE, END_ZONE, zones.ZONE_NAME)

HALF_DAY = timedelta(hours=12)


def read(item: Element) -> When | None:
    """None where the server doesn't tell both times."""
    start, end = moment(item, "Start"), moment(item, "End")
    if start is None or end is None:
        return None
    zone = zone_of(item)
    if not flag(item, "IsAllDayEvent"):
        return When(start, end, zone=zone)
    first = all_day_midnight(start, zone)
    return When(first, max(all_day_midnight(end, zone), first + timedelta(days=1)), True, zone)


def zone_of(item: Element) -> str:
    """Before Exchange 2010 there is none, so what we kept counts."""
    found = item.find(f"{type_space}StartTimeZone")
    kept = extended(item, zones.ZONE_NAME)
    if found is None:
        return kept.partition("=")[2]
    return zones.iana_name((found.get("Id") or "").strip(), kept)


def all_day_midnight(found: datetime, zone: str) -> datetime:
    """Midnight in UTC of the day whose midnight in the zone this is. The server's rules of the zone may
    differ from ours by an hour, so the nearest counts."""
    return midnight((found.astimezone(zones.clock(zone)) + HALF_DAY).date())


def parts(when: When, build: Build, refused: int = 0) -> list[Part]:
    """`refused`: how many names of the zone the server has refused."""
    name = zones.windows_name(when.zone, when.start, refused)
    start, end = (_moment(each, when, name) for each in (when.start, when.end))
    found = [
        Part(START, T.Start(start)),
        Part(END, T.End(end)),
        Part(ALL_DAY, T.IsAllDayEvent(written(when.all_day))),
        extended_part(zones.ZONE_NAME, zones.kept(name, when.zone)),
    ]
    if START_ZONE.known_to(build):
        found.append(Part(START_ZONE, T.StartTimeZone(Id=name)))
        found.append(Part(END_ZONE, T.EndTimeZone(Id=name)))
    return found


def _moment(moment: datetime, when: When, windows: str) -> str:
    """All day: midnight of that day in the zone that the server is told."""
    if not when.all_day:
        return timestamp(moment)
    zone = zones.clock(zones.table_name(windows))
    local = datetime.combine(moment.astimezone(UTC).date(), time(), zone)
    return local.isoformat(timespec="seconds")


def original(item: Element, name: str, master: Element) -> datetime | None:
    """When an occurrence of the series would have begun: `name` is the element that tells."""
    found = messages.moment(messages.text(item, name))
    if found is None or not flag(master, "IsAllDayEvent"):
        return found
    return all_day_midnight(found, zone_of(master))
