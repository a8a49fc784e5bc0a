"""What the server makes of a calendar item that it was given: times, zones, identity, state.

`settle` runs after every write, so that whatever else looks at an item finds it complete.
"""

import base64
import re
import secrets
from datetime import UTC, datetime, timedelta, tzinfo

from lxml import etree

from serversync.sandbox.ews import mimes, timezones
from serversync.sandbox.ews.differences import text_of
from serversync.sandbox.ews.occurrences import Occurrence, put
from serversync.sandbox.ews.series import read_recurrence, require_sound, series_of, zone_of
from serversync.sandbox.ews.soap import (
    Element,
    Refusal,
    S,
    T,
    boolean,
    children,
    make,
    moment,
    stamp,
    truth,
)
from serversync.sandbox.ews.store import Account, Item, NewItem

ATTENDEES = ("RequiredAttendees", "OptionalAttendees", "Resources")
#: A change of these makes another meeting of it, and another series.
TIMES = ("Start", "End", "StartTimeZone", "EndTimeZone", "IsAllDayEvent", "Recurrence")
LONGEST = timedelta(days=5 * 366)
USUAL_LENGTH = timedelta(minutes=30)
USUAL_REMINDER = "15"
#: Bits of AppointmentState.
MEETING, RECEIVED, CANCELLED = 1, 2, 4
MARK = bytes.fromhex("040000008200E00074C5B7101A82E008")
FOREIGN = b"vCal-Uid\x01\x00\x00\x00"
EPOCH_SECONDS = 11_644_473_600  # from 1601, where FILETIME begins, to 1970


def settle(item: Item | NewItem, owner: Account, default_zone: str = timezones.UTC_ID) -> None:
    """Raises Refusal, SoapFault."""
    element = item.element
    _settle_times(element, default_zone)
    is_series = element.find(f"{T}Recurrence") is not None
    if is_series:
        _settle_series(element)
    if not element.findtext(f"{T}UID"):
        put(element, "UID", new_uid())
    if element.find(f"{T}Organizer") is None:
        replace(element, make(f"{T}Organizer", mimes.mailbox(owner.name, owner.address)))
    for name, value in FIRST_VALUES.items():
        if element.find(T + name) is None:
            put(element, name, value)
    if not isinstance(item, Occurrence):
        put(element, "CalendarItemType", "RecurringMaster" if is_series else "Single")
        # The organizer's own series says false, which is wrong and documented.
        put(element, "IsRecurring", boolean(is_series and not is_organizers(item)))
    _settle_state(item)
    put(element, "ReminderDueBy", element.findtext(f"{T}Start") or "")
    put(element, "DateTimeStamp", stamp(datetime.now(UTC)))


FIRST_VALUES = {
    "MyResponseType": "Organizer",
    "MeetingRequestWasSent": "false",
    "AppointmentSequenceNumber": "0",
    "IsResponseRequested": "true",
    "AllowNewTimeProposal": "true",
    "IsOnlineMeeting": "false",
    "ReminderMinutesBeforeStart": USUAL_REMINDER,
}


def is_organizers(item: Item | NewItem) -> bool:
    return item.element.findtext(f"{T}MyResponseType") == "Organizer"


def attendees(item: Item | NewItem) -> list[str]:
    """Their addresses."""
    people = (mimes.mailboxes(item.element, f"{tag}/{T}Attendee") for tag in ATTENDEES)
    return [address for found in people for _, address in found]


def set_attendees(item: Item | NewItem, given: Element) -> None:
    """With the answers that are known of those who were there before."""
    known = {
        address.lower(): person
        for tag in ATTENDEES
        for person in item.element.iterfind(f"{T}{tag}/{T}Attendee")
        for _, address in mimes.mailboxes(
            make("x", etree.fromstring(etree.tostring(person))), "Attendee"
        )
    }
    wrapped = make("x", etree.fromstring(etree.tostring(given, with_tail=False)))
    people = dict[str, Element]()
    for name, address in mimes.mailboxes(wrapped, f"{etree.QName(given).localname}/{T}Attendee"):
        people.setdefault(address.lower(), known.get(address.lower(), attendee(name, address)))
    replace(item.element, make(given.tag, *people.values()))


def attendee(name: str, address: str, response: str = "Unknown", at: str = "") -> Element:
    return make(
        f"{T}Attendee",
        mimes.mailbox(name, address),
        make(f"{T}ResponseType", response),
        make(f"{T}LastResponseTime", at) if at else None,
    )


def is_moved(before: Element, after: Element) -> bool:
    """Has it another time, or another pattern?"""
    return any(text_of(before.find(T + name)) != text_of(after.find(T + name)) for name in TIMES)


def _settle_state(item: Item | NewItem) -> None:
    """Whether it is a meeting, and how it stands."""
    element = item.element
    received = not is_organizers(item)
    cancelled = truth(element.findtext(f"{T}IsCancelled"))
    meeting = received or bool(attendees(item))
    put(element, "IsMeeting", boolean(meeting))
    put(element, "IsCancelled", boolean(cancelled))
    state = MEETING * meeting | RECEIVED * received | CANCELLED * cancelled
    put(element, "AppointmentState", str(state))
    sent = truth(element.findtext(f"{T}MeetingRequestWasSent"))
    item.is_draft = meeting and not received and not sent


# -- times -----------------------------------------------------------------------------------------


def context_zone(request: Element) -> str:
    """The id of the zone that the request's header names."""
    root = request.getroottree().getroot()
    named = root.find(f"{S}Header/{T}TimeZoneContext/{T}TimeZoneDefinition")
    return (named is not None and named.get("Id")) or timezones.UTC_ID


def _settle_times(element: Element, default_zone: str) -> None:
    start_zone = _settle_zone(element, "StartTimeZone", default_zone)
    end_zone = _settle_zone(element, "EndTimeZone", _zone_id(element, "StartTimeZone"))
    start = _moment(element, "Start", start_zone) or _next_half_hour()
    end = _moment(element, "End", end_zone) or start + USUAL_LENGTH
    if end < start:
        raise Refusal(
            "ErrorCalendarEndDateIsEarlierThanStartDate", "End is earlier than the start."
        )
    if end - start > LONGEST:
        raise Refusal("ErrorCalendarDurationIsTooLong", "It lasts longer than five years.")
    if truth(element.findtext(f"{T}IsAllDayEvent")):
        start, end = _whole_days(start.astimezone(start_zone), end.astimezone(end_zone))
    put(element, "Start", stamp(start))
    put(element, "End", stamp(end))


def _settle_zone(element: Element, name: str, default: str) -> tzinfo:
    """Raises Refusal for a zone that the server doesn't know."""
    windows_id = _zone_id(element, name) or default
    rules = timezones.rules(windows_id)
    if rules is None:
        raise Refusal("ErrorTimeZone", f"The time zone '{windows_id}' is not known.")
    shown = timezones.shown_name(windows_id)
    replace(element, make(T + name, Id=windows_id, Name=shown))
    return rules


def _zone_id(element: Element, name: str) -> str:
    named = element.find(T + name)
    return (named is not None and named.get("Id")) or ""


def _moment(element: Element, name: str, zone: tzinfo) -> datetime | None:
    """A time without an offset is one of the item's zone."""
    text = (element.findtext(T + name) or "").strip()
    if not text:
        return None
    found = moment(text)
    if found is None:
        raise Refusal("ErrorCalendarInvalidPropertyValue", f"{name} is no time.")
    local = datetime.fromisoformat(text)
    return found if local.tzinfo else local.replace(tzinfo=zone).astimezone(UTC)


def _next_half_hour() -> datetime:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    return now + timedelta(minutes=30 - now.minute % 30)


def _whole_days(start: datetime, end: datetime) -> tuple[datetime, datetime]:
    """From the midnight before the start to the one after the end, each by its own clock."""
    first = start.replace(hour=0, minute=0, second=0, microsecond=0)
    last = end.replace(hour=0, minute=0, second=0, microsecond=0)
    if last < end or last.date() <= first.date():
        last = last.replace(tzinfo=None) + timedelta(days=1)  # by the calendar, not by 24 hours
        last = last.replace(tzinfo=end.tzinfo)
    return first, last


def _settle_series(element: Element) -> None:
    """It begins with its first occurrence; the range's dates lose whatever offset they had."""
    given = element.find(f"{T}Recurrence")
    assert given is not None
    recurrence = read_recurrence(given)
    extent = children(given)[1]
    for name, day in (("StartDate", recurrence.start), ("EndDate", recurrence.until)):
        if (kept := extent.find(T + name)) is not None and day is not None:
            kept.text = f"{day.isoformat()}Z"
    series = series_of(element)
    assert series is not None
    slot = require_sound(series)
    put(element, "Start", stamp(slot.start))
    put(element, "End", stamp(slot.end))


def duration(item: Item) -> str:
    """As XML Schema writes it."""
    start, end = moment(item.text("Start")), moment(item.text("End"))
    if start is None or end is None:
        return ""
    minutes = int((end - start).total_seconds()) // 60
    days, rest = divmod(minutes, 24 * 60)
    hours, minutes = divmod(rest, 60)
    time = (f"{hours}H" if hours else "") + (f"{minutes}M" if minutes else "")
    if days:
        return f"P{days}D" + (f"T{time}" if time else "")
    return f"PT{time or '0S'}"


# -- identity --------------------------------------------------------------------------------------


def new_uid() -> str:
    """A global object id: mark, no instance, time of creation, reserved, 16 octets."""
    ticks = int((datetime.now(UTC).timestamp() + EPOCH_SECONDS) * 10_000_000)
    data = secrets.token_bytes(16)
    return (MARK + bytes(4) + _filetime(ticks) + bytes(8) + _sized(data)).hex().upper()


def _filetime(ticks: int) -> bytes:
    return ticks.to_bytes(8, "little")


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def global_object_id(uid: str, day: datetime | None = None) -> bytes:
    """PidLidGlobalObjectId of a UID, with the day of the occurrence that it is about, if any; without
    it is PidLidCleanGlobalObjectId. A UID from elsewhere travels inside."""
    if re.fullmatch(r"(?i)040000008200E00074C5B7101A82E008([0-9a-f]{2})+", uid):
        clean = bytes.fromhex(uid)
        clean = clean[:16] + bytes(4) + clean[20:]
    else:
        clean = MARK + bytes(20) + _sized(FOREIGN + uid.encode() + b"\x00")
    if day is None:
        return clean
    return clean[:16] + day.year.to_bytes(2) + bytes([day.month, day.day]) + clean[20:]


def goid_value(item: Item, *, clean: bool = False) -> list[str]:
    """As an extended property's value; none for what is in no calendar."""
    if not item.text("UID"):
        return []
    original = None if clean else moment(item.text("RecurrenceId"))
    day = original and original.astimezone(zone_of(item.element))
    return [base64.b64encode(global_object_id(item.text("UID"), day)).decode()]


def replace(element: Element, child: Element) -> None:
    for old in element.findall(child.tag):
        element.remove(old)
    element.append(child)
