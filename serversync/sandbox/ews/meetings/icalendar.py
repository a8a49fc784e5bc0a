"""A meeting as iCalendar (RFC 5545, 5546), for whoever has no account here."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from mailboxes.recurrence import Nth, Recurrence
from serversync.sandbox.ews import mimes
from serversync.sandbox.ews.occurrences import Occurrence, by_original
from serversync.sandbox.ews.properties import plain
from serversync.sandbox.ews.series import read_recurrence, zone_of
from serversync.sandbox.ews.soap import Element, T, moment, stamp, truth
from serversync.sandbox.ews.store import Account, Item, Store

PRODUCT = "-//Sandbox//Exchange//EN"
DAY_NAMES = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")
ROLES = {
    "RequiredAttendees": "REQ-PARTICIPANT",
    "OptionalAttendees": "OPT-PARTICIPANT",
    "Resources": "NON-PARTICIPANT",
}
ESCAPES = (("\\", "\\\\"), (";", "\\;"), (",", "\\,"), ("\r\n", "\\n"), ("\n", "\\n"))
YEARS_OF_CHANGES = 6  # of the clocks, told with a zone


# -- writing ---------------------------------------------------------------------------------------


def written(method: str, element: Element, exceptions: Iterable["Exceptions"] = ()) -> str:
    """The calendar of a meeting; `element` has its properties as they travel."""
    deleted: list[datetime] = []
    events = []
    for found in exceptions:
        deleted += found.deleted
        events += [_event(method, one.element, one) for one in found.changed]
    zone = zone_of(element)
    lines = ["BEGIN:VCALENDAR", f"METHOD:{method}", f"PRODID:{PRODUCT}", "VERSION:2.0"]
    if element.find(f"{T}Recurrence") is not None and isinstance(zone, ZoneInfo):
        lines += _zone_lines(zone, _moment(element, "Start"))
    lines += _event(method, element, None, deleted)
    lines += [line for event in events for line in event]
    return _folded([*lines, "END:VCALENDAR"])


@dataclass(frozen=True)
class Exceptions:
    deleted: list[datetime]
    changed: list[Occurrence]


def exceptions_of(store: Store, master: Item) -> list[Exceptions]:
    if master.element.find(f"{T}Recurrence") is None:
        return []
    special = store.exceptions(master.id)
    deleted = [datetime.fromtimestamp(one.original, UTC) for one in special if one.is_deleted]
    kept = [by_original(store, master, one.original) for one in special if not one.is_deleted]
    return [Exceptions(deleted, [one for one in kept if one is not None])]


def reply(element: Element, sender: Account, status: str) -> str:
    lines = ["BEGIN:VCALENDAR", "METHOD:REPLY", f"PRODID:{PRODUCT}", "VERSION:2.0"]
    event = _event("REPLY", element, None)
    me = f"ATTENDEE;PARTSTAT={status};CN={_parameter(sender.name)}:mailto:{sender.address}"
    return _folded([*lines, *event[:-1], me, event[-1], "END:VCALENDAR"])


def _event(
    method: str, element: Element, one: Occurrence | None, deleted: Sequence[datetime] = ()
) -> list[str]:
    whole = truth(element.findtext(f"{T}IsAllDayEvent"))
    given = element.find(f"{T}Recurrence")
    zone = zone_of(element) if given is not None else UTC
    lines = ["BEGIN:VEVENT", f"UID:{element.findtext(f'{T}UID') or ''}"]
    lines.append(f"DTSTAMP:{_utc(datetime.now(UTC))}")
    for name, tag in (("DTSTART", "Start"), ("DTEND", "End")):
        local_zone = zone_of(element) if whole else zone
        lines.append(name + _time(_moment(element, tag).astimezone(local_zone), whole))
    about = element.findtext(f"{T}RecurrenceId") or (stamp(one.slot.start) if one else "")
    if about and given is None:
        at = moment(about)
        assert at is not None
        lines.append(
            "RECURRENCE-ID" + _time(at.astimezone(zone_of(element) if whole else UTC), whole)
        )
    if given is not None:
        lines.append(f"RRULE:{rule(read_recurrence(given), zone, whole)}")
        lines += [f"EXDATE{_time(at.astimezone(zone), whole)}" for at in deleted]
    lines.append(f"SUMMARY:{_escaped(element.findtext(f'{T}Subject') or '')}")
    for name, text in (
        ("LOCATION", element.findtext(f"{T}Location") or ""),
        ("DESCRIPTION", _description(element)),
    ):
        if text:
            lines.append(f"{name}:{_escaped(text)}")
    lines.append(f"SEQUENCE:{element.findtext(f'{T}AppointmentSequenceNumber') or 0}")
    lines.append(f"STATUS:{'CANCELLED' if method == 'CANCEL' else 'CONFIRMED'}")
    return [*lines, *_people(element), "END:VEVENT"]


def _description(element: Element) -> str:
    body = element.find(f"{T}Body")
    text = (body is not None and body.text) or ""
    return plain(text) if body is not None and body.get("BodyType") == "HTML" else text


def _people(element: Element) -> list[str]:
    lines = [
        f"ORGANIZER;CN={_parameter(name or address)}:mailto:{address}"
        for name, address in mimes.mailboxes(element, "Organizer")
    ]
    for tag, role in ROLES.items():
        lines += [
            f"ATTENDEE;ROLE={role};PARTSTAT=NEEDS-ACTION;RSVP=TRUE;CN={_parameter(name or address)}"
            f":mailto:{address}"
            for name, address in mimes.mailboxes(element, f"{tag}/{T}Attendee")
        ]
    return lines


def rule(recurrence: Recurrence, zone: tzinfo, whole: bool) -> str:
    parts = [f"FREQ={recurrence.pattern.upper()}", f"INTERVAL={recurrence.interval}"]
    days = ",".join(DAY_NAMES[day] for day in sorted(recurrence.days))
    if recurrence.month is not None:
        parts.append(f"BYMONTH={recurrence.month}")
    if recurrence.nth is not None:
        place = -1 if recurrence.nth is Nth.LAST else int(recurrence.nth)
        parts += [f"BYDAY={days}", f"BYSETPOS={place}"]
    elif recurrence.day_of_month is not None:
        parts += _month_day(recurrence.day_of_month)
    elif days:
        parts += [f"BYDAY={days}", f"WKST={DAY_NAMES[recurrence.first_day_of_week]}"]
    if recurrence.count is not None:
        parts.append(f"COUNT={recurrence.count}")
    elif recurrence.until is not None:
        end = datetime.combine(recurrence.until, datetime.max.time(), zone)
        parts.append(f"UNTIL={recurrence.until:%Y%m%d}" if whole else f"UNTIL={_utc(end)}")
    return ";".join(parts)


def _month_day(day: int) -> list[str]:
    """A day that a month lacks is its last one, which iCalendar says in another way."""
    if day <= 28:
        return [f"BYMONTHDAY={day}"]
    choices = ",".join(str(number) for number in range(28, day + 1))
    return [f"BYMONTHDAY={choices}", "BYSETPOS=-1"]


def _zone_lines(zone: ZoneInfo, start: datetime) -> list[str]:
    """Each change of the clocks for some years, one by one."""
    lines = ["BEGIN:VTIMEZONE", f"TZID:{zone.key}"]
    at = datetime(start.year - 1, 1, 1, tzinfo=UTC)
    before = at.astimezone(zone).utcoffset() or timedelta()
    lines += _observance("STANDARD", datetime(1970, 1, 1), before, before)  # noqa: DTZ001
    for begins in _changes(zone, at):
        after = begins.astimezone(zone).utcoffset() or timedelta()
        name = "DAYLIGHT" if begins.astimezone(zone).dst() else "STANDARD"
        lines += _observance(name, begins.replace(tzinfo=None) + before, before, after)
        before = after
    return [*lines, "END:VTIMEZONE"]


def _changes(zone: ZoneInfo, at: datetime) -> Iterator[datetime]:
    """The hours in which the clocks change."""
    for _ in range(366 * YEARS_OF_CHANGES):
        following = at + timedelta(days=1)
        if at.astimezone(zone).utcoffset() != following.astimezone(zone).utcoffset():
            hours = [at + timedelta(hours=number) for number in range(25)]
            offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
            yield next(
                hour
                for hour, one, two in zip(hours[1:], offsets, offsets[1:], strict=False)
                if one != two
            )
        at = following


def _observance(name: str, begins: datetime, before: timedelta, after: timedelta) -> list[str]:
    return [
        f"BEGIN:{name}",
        f"DTSTART:{begins:%Y%m%dT%H%M%S}",
        f"TZOFFSETFROM:{_offset(before)}",
        f"TZOFFSETTO:{_offset(after)}",
        f"END:{name}",
    ]


def _offset(value: timedelta) -> str:
    minutes = int(value.total_seconds()) // 60
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}{abs(minutes) % 60:02d}"


def _moment(element: Element, name: str) -> datetime:
    found = moment(element.findtext(T + name))
    assert found is not None
    return found


def _time(at: datetime, whole: bool) -> str:
    if whole:
        return f";VALUE=DATE:{at:%Y%m%d}"
    if isinstance(at.tzinfo, ZoneInfo) and at.tzinfo.key != "Etc/UTC":
        return f";TZID={at.tzinfo.key}:{at:%Y%m%dT%H%M%S}"
    return f":{_utc(at)}"


def _utc(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _escaped(text: str) -> str:
    for found, written_as in ESCAPES:
        text = text.replace(found, written_as)
    return text


def _parameter(text: str) -> str:
    return '"' + re.sub(r'[\x00-\x1f"]', "", text) + '"'


def _folded(lines: Iterable[str]) -> str:
    return "".join(_fold(line) for line in lines)


def _fold(line: str) -> str:
    """At most 75 octets a line."""
    data, parts = line.encode(), []
    while len(data) > 74:
        cut = 74
        while data[cut] & 0xC0 == 0x80:
            cut -= 1
        parts.append(data[:cut].decode())
        data = data[cut:]
    return "\r\n ".join([*parts, data.decode()]) + "\r\n"
