"""Appointments and series. Who organizes, who answered what, and whether it was called off is the server's."""

from typing import cast

from exchangelib.version import EXCHANGE_2013, EXCHANGE_2013_SP1, Build

from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.items import recurrences, times, values
from mailboxes.protocols.ews.items.fields import EVERY, Field, Table, one_line, text
from mailboxes.protocols.ews.items.paths import Part, Path, extended, extended_part
from mailboxes.protocols.ews.operations import Element, T, clean, type_space
from mailboxes.protocols.items import Answer, Person, Response, ShowAs, Value, When
from mailboxes.recurrence import Recurrence

BUSY = {
    "Free": ShowAs.FREE,
    "Tentative": ShowAs.TENTATIVE,
    "Busy": ShowAs.BUSY,
    "OOF": ShowAs.OUT_OF_OFFICE,
    "WorkingElsewhere": ShowAs.WORKING_ELSEWHERE,
}
BUSY_NAMES = {word: name for name, word in BUSY.items()}
RESPONSES = {
    "Organizer": Response.ORGANIZER,
    "Tentative": Response.TENTATIVE,
    "Accept": Response.ACCEPTED,
    "Decline": Response.DECLINED,
}

SHOW_AS = Path("calendar:LegacyFreeBusyStatus")
REMINDER_SET = Path("item:ReminderIsSet")
REMINDER_MINUTES = Path("item:ReminderMinutesBeforeStart")
REQUIRED = Path("calendar:RequiredAttendees")
OPTIONAL = Path("calendar:OptionalAttendees")
RESOURCES = Path("calendar:Resources")
ORGANIZER = Path("calendar:Organizer")
CANCELLED = Path("calendar:IsCancelled")
RECURRENCE = Path("calendar:Recurrence")
JOIN_URL = Path("calendar:JoinOnlineMeetingUrl", since=EXCHANGE_2013_SP1)
#: Where clients write it that plan a meeting elsewhere.
MEETING_URL = Path(
    named=(
        ("DistinguishedPropertySetId", "PublicStrings"),
        ("PropertyName", "OnlineMeetingExternalLink"),
        ("PropertyType", "String"),
    )
)


# -- time ------------------------------------------------------------------------------------------


def _write_when(value: Value, build: Build) -> list[Part]:
    return times.parts(cast(When, value), build)


def _read_show_as(item: Element) -> Value:
    return values.word(item, SHOW_AS.name, BUSY, ShowAs.BUSY)


def _write_show_as(value: Value, build: Build) -> list[Part]:
    """Servers that don't know *working elsewhere* show it as free, as the store does (R6.27)."""
    wanted = ShowAs(str(value or ShowAs.BUSY))
    if wanted is ShowAs.WORKING_ELSEWHERE and build < EXCHANGE_2013:
        wanted = ShowAs.FREE
    return [Part(SHOW_AS, T.LegacyFreeBusyStatus(BUSY_NAMES[wanted]))]


def _read_reminder(item: Element) -> Value:
    if not values.flag(item, "ReminderIsSet"):
        return None
    return values.number(item, REMINDER_MINUTES.name) or 0


def _write_reminder(value: Value, _build: Build) -> list[Part]:
    if value is None:
        return [Part(REMINDER_SET, T.ReminderIsSet("false"))]
    return [
        Part(REMINDER_SET, T.ReminderIsSet("true")),
        Part(REMINDER_MINUTES, T.ReminderMinutesBeforeStart(str(value))),
    ]


# -- people ----------------------------------------------------------------------------------------


def person(mailbox: Element | None) -> Person | None:
    """None without an address. An address of another kind than SMTP's may stand in the name."""
    if mailbox is None:
        return None
    address, name = messages.text(mailbox, "EmailAddress"), messages.text(mailbox, "Name")
    if "@" not in address and "@" in name:
        address = name
    return Person(address.lower(), name) if address else None


def _attendees(item: Element, *paths: Path) -> list[Element]:
    return [
        each
        for path in paths
        for each in item.iterfind(f"{type_space}{path.name}/{type_space}Attendee")
    ]


def _people_field(path: Path) -> Field:
    def read(item: Element) -> Value:
        found = (person(each.find(f"{type_space}Mailbox")) for each in _attendees(item, path))
        return tuple(dict.fromkeys(each for each in found if each is not None))

    def write(value: Value, _build: Build) -> list[Part]:
        people = cast(tuple[Person, ...], value or ())
        attendees = [T.Attendee(_mailbox(each)) for each in people]
        return [Part(path, T(path.name, *attendees) if attendees else None)]

    return Field((path,), read, write)


def _mailbox(each: Person) -> Element:
    name = [T.Name(one_line(each.name))] if each.name else []
    return T.Mailbox(*name, T.EmailAddress(clean(each.address)), T.RoutingType("SMTP"))


def _read_answers(item: Element) -> Value:
    found: dict[str, Answer] = {}
    for each in _attendees(item, REQUIRED, OPTIONAL, RESOURCES):
        who = person(each.find(f"{type_space}Mailbox"))
        if who is not None:
            said = values.word(each, "ResponseType", RESPONSES, Response.NONE)
            at = values.moment(each, "LastResponseTime")
            found.setdefault(who.address, Answer(who.address, said, at))
    return tuple(found.values())


def _read_organizer(item: Element) -> Value:
    return person(item.find(f"{type_space}Organizer/{type_space}Mailbox"))


# -- the rest --------------------------------------------------------------------------------------


def _read_url(item: Element) -> Value:
    return values.text(item, JOIN_URL.name) or extended(item, MEETING_URL).strip()


def _write_url(value: Value, _build: Build) -> list[Part]:
    return [extended_part(MEETING_URL, one_line(value))]


def _write_recurrence(value: Value, _build: Build) -> list[Part]:
    return [Part(RECURRENCE, recurrences.written(cast(Recurrence, value)))]


APPOINTMENT: Table = {
    **EVERY,
    "location": text("calendar:Location"),
    "when": Field(times.ASKED, times.read, _write_when),
    "show_as": Field((SHOW_AS,), _read_show_as, _write_show_as),
    "required": _people_field(REQUIRED),
    "optional": _people_field(OPTIONAL),
    "organizer": Field((ORGANIZER,), _read_organizer),
    "answers": Field((REQUIRED, OPTIONAL, RESOURCES), _read_answers),
    "reminder": Field((REMINDER_SET, REMINDER_MINUTES), _read_reminder, _write_reminder),
    "online_meeting_url": Field((JOIN_URL, MEETING_URL), _read_url, _write_url),
    "is_cancelled": Field((CANCELLED,), lambda item: values.flag(item, CANCELLED.name)),
}
SERIES: Table = {
    **APPOINTMENT,
    "recurrence": Field((RECURRENCE,), recurrences.read, _write_recurrence),
}

ORDER = [
    "UID",
    "Start",
    "End",
    "IsAllDayEvent",
    "LegacyFreeBusyStatus",
    "Location",
    "RequiredAttendees",
    "OptionalAttendees",
    "Recurrence",
    "StartTimeZone",
    "EndTimeZone",
]
