"""iCalendar that comes by mail from outside (RFC 5545, 5546): read as properties, and entered as Exchange does.

What can't be read makes no calendar item; the mail arrives all the same.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from exchangelib.winzone import IANA_TO_MS_TIMEZONE_MAP

from mailboxes.recurrence import EVERY_DAY, WEEKDAYS, WEEKEND, Nth, Pattern, Recurrence, Weekday
from serversync.sandbox.ews import mimes, timezones
from serversync.sandbox.ews.appointments import attendee
from serversync.sandbox.ews.meetings import attending
from serversync.sandbox.ews.meetings.icalendar import DAY_NAMES, ROLES
from serversync.sandbox.ews.meetings.messages import set_text
from serversync.sandbox.ews.series import written_recurrence
from serversync.sandbox.ews.soap import Element, Refusal, T, boolean, make, moment, stamp
from serversync.sandbox.ews.store import Account, NewItem, Store

ANSWERS = {"ACCEPTED": "Accept", "TENTATIVE": "Tentative", "DECLINED": "Decline"}
SCHEDULING = ("MeetingRequest", "MeetingCancellation", "MeetingResponse")


@dataclass(frozen=True)
class Line:
    name: str
    parameters: dict[str, str]
    value: str


def enter(store: Store, account: Account, message: NewItem) -> None:
    """Do in the calendar what the message says, and give it the meeting's properties."""
    if message.tag not in SCHEDULING or message.mime is None:
        return
    try:
        with store.writing():
            _enter(store, account, message)
    except (Refusal, ValueError, LookupError, OverflowError):
        return


def _enter(store: Store, account: Account, message: NewItem) -> None:
    event = list(_event(_calendar(message.mime or b"")))
    original = 0
    for child in properties(event):
        if message.element.find(child.tag) is None:
            message.element.append(child)
    if (about := moment(message.element.findtext(f"{T}RecurrenceId"))) is not None:
        original = int(about.timestamp())
    if message.tag == "MeetingResponse":
        statuses = [
            line.parameters.get("PARTSTAT", "") for line in event if line.name == "ATTENDEE"
        ]
        set_text(message.element, "ResponseType", ANSWERS.get("".join(statuses[:1]), "Unknown"))
    entered = attending.enter(store, account, message.element, original)
    if entered is not None:
        attending.associate(message.element, entered)


def _calendar(mime: bytes) -> str:
    for part in mimes.parse(mime).walk():
        if part.get_content_type() == "text/calendar":
            payload = part.get_payload(decode=True)
            return payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
    return ""


def _event(text: str) -> Iterator[Line]:
    """The lines of the first event."""
    inside = False
    for line in re.sub(r"\r?\n[ \t]", "", text).splitlines():
        found = re.match(r'([\w-]+)((?:;[\w-]+=(?:"[^"]*"|[^";:,]*)(?:,[^";:]*)?)*):(.*)', line)
        if found is None:
            continue
        if line.upper() in ("BEGIN:VEVENT", "END:VEVENT"):
            if inside:
                return
            inside = True
        elif inside:
            pairs = re.findall(r';([\w-]+)=("[^"]*"|[^;:]*)', found[2])
            parameters = {name.upper(): value.strip('"') for name, value in pairs}
            yield Line(found[1].upper(), parameters, found[3])


def properties(event: list[Line]) -> Iterator[Element]:
    """Raises ValueError, LookupError for what can't be read."""
    lines = {line.name: line for line in event}
    for name, tag in (("UID", "UID"), ("SUMMARY", "Subject"), ("LOCATION", "Location")):
        if name in lines:
            yield make(T + tag, _plain(lines[name].value))
    yield make(f"{T}AppointmentSequenceNumber", _whole(lines, "SEQUENCE"))
    yield from _times(lines)
    if "RRULE" in lines:
        start, _ = _time(lines["DTSTART"])
        yield written_recurrence(read_rule(lines["RRULE"].value, start))
    yield from _people(event)


def _whole(lines: dict[str, Line], name: str) -> str:
    return str(int(lines[name].value)) if name in lines else "0"


def _times(lines: dict[str, Line]) -> Iterator[Element]:
    if "DTSTART" not in lines:
        return
    start, zone_id = _time(lines["DTSTART"])
    whole = lines["DTSTART"].parameters.get("VALUE") == "DATE"
    end = start + (timedelta(days=1) if whole else timedelta())
    if "DTEND" in lines:
        end, _ = _time(lines["DTEND"])
    yield make(f"{T}Start", stamp(start))
    yield make(f"{T}End", stamp(end))
    yield make(f"{T}IsAllDayEvent", boolean(whole))
    yield make(f"{T}StartTimeZone", Id=zone_id)
    if "RECURRENCE-ID" in lines:
        yield make(f"{T}RecurrenceId", stamp(_time(lines["RECURRENCE-ID"])[0]))


def _time(line: Line) -> tuple[datetime, str]:
    """With the Windows id of its zone."""
    text = line.value
    zone, zone_id = _zone(line.parameters.get("TZID", ""))
    if len(text) == 8:
        return datetime.strptime(text, "%Y%m%d").replace(tzinfo=zone), zone_id
    found = datetime.strptime(text.removesuffix("Z"), "%Y%m%dT%H%M%S")  # noqa: DTZ007
    if text.endswith("Z"):
        return found.replace(tzinfo=UTC), timezones.UTC_ID
    return found.replace(tzinfo=zone), zone_id


def _zone(name: str) -> tuple[tzinfo, str]:
    """UTC for one that isn't known."""
    if (rules := timezones.rules(name)) is not None:
        return rules, name
    with suppress(LookupError, ValueError):
        return ZoneInfo(name), str(IANA_TO_MS_TIMEZONE_MAP[name][0])
    return UTC, timezones.UTC_ID


def _people(event: list[Line]) -> Iterator[Element]:
    kinds: dict[str, list[Element]] = {tag: [] for tag in ROLES}
    roles = {role: tag for tag, role in ROLES.items()}
    for line in event:
        name, address = line.parameters.get("CN", ""), re.sub(r"(?i)^mailto:", "", line.value)
        if line.name == "ORGANIZER":
            yield make(f"{T}Organizer", mimes.mailbox(name, address))
        elif line.name == "ATTENDEE":
            tag = roles.get(line.parameters.get("ROLE", ""), "RequiredAttendees")
            kinds[tag].append(attendee(name, address))
    for tag, people in kinds.items():
        if people:
            yield make(T + tag, *people)


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: "\n" if found[1] in "nN" else found[1], text)


def read_rule(text: str, start: datetime) -> Recurrence:
    """Raises ValueError, LookupError for what Exchange has no pattern for."""
    parts = dict(part.split("=", 1) for part in text.upper().split(";"))
    pattern = Pattern(parts["FREQ"].lower())
    days, nth = _rule_days(parts)
    by_month = pattern in (Pattern.MONTHLY, Pattern.YEARLY)
    if pattern is Pattern.WEEKLY and not days:
        days = frozenset({Weekday(start.weekday())})
    month_days = parts.get("BYMONTHDAY", str(start.day)).split(",")
    return Recurrence(
        pattern=pattern,
        start=start.date(),
        interval=int(parts.get("INTERVAL", "1")),
        days=days,
        nth=nth if by_month else None,
        day_of_month=max(map(int, month_days)) if by_month and nth is None else None,
        month=int(parts.get("BYMONTH", start.month)) if pattern is Pattern.YEARLY else None,
        first_day_of_week=Weekday(DAY_NAMES.index(parts.get("WKST", "MO"))),
        until=_until(parts),
        count=int(parts["COUNT"]) if "COUNT" in parts else None,
    )


def _until(parts: dict[str, str]) -> date | None:
    text = parts.get("UNTIL", "")[:8]
    return datetime.strptime(text, "%Y%m%d").date() if text else None  # noqa: DTZ007


def _rule_days(parts: dict[str, str]) -> tuple[frozenset[Weekday], Nth | None]:
    """Days, and which of them in the month: "2TU", or BYSETPOS with some."""
    names = [name for name in parts.get("BYDAY", "").split(",") if name]
    places = {int(name[:-2]) for name in names if name[:-2]}
    places |= {int(parts["BYSETPOS"])} if "BYSETPOS" in parts and names else set()
    days = frozenset(Weekday(DAY_NAMES.index(name[-2:])) for name in names)
    if not places:
        return days, None
    if len(places) > 1 or (len(days) > 1 and days not in (WEEKDAYS, WEEKEND, EVERY_DAY)):
        raise ValueError(f"no pattern of Exchange says {parts['BYDAY']}")
    (place,) = places
    return days, Nth.LAST if place == -1 else Nth(place)
