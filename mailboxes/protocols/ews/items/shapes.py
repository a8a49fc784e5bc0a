"""Items of each kind, whole: which properties to ask for, what they say, and how an item is written.

element of an answer ──read_fields──> fields ──new_item / updates──> element of a request
"""

from collections.abc import Iterable

from exchangelib.version import Build

from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.items import contacts, meetings, times, todos, uids, values
from mailboxes.protocols.ews.items.fields import Table
from mailboxes.protocols.ews.items.paths import (
    CLEAN_GLOBAL_ID,
    LINK,
    Part,
    Path,
    extended_part,
    update,
)
from mailboxes.protocols.ews.operations import Element, T, type_space
from mailboxes.protocols.items import FIELDS, Fields, ItemKind, Value, When

TABLES: dict[ItemKind, Table] = {
    ItemKind.APPOINTMENT: meetings.APPOINTMENT,
    ItemKind.SERIES: meetings.SERIES,
    ItemKind.CONTACT: contacts.FIELDS,
    ItemKind.TASK: todos.FIELDS,
}
TAGS = {
    ItemKind.APPOINTMENT: "CalendarItem",
    ItemKind.SERIES: "CalendarItem",
    ItemKind.CONTACT: "Contact",
    ItemKind.TASK: "Task",
}
CLASSES = {"CalendarItem": "ipm.appointment", "Contact": "ipm.contact", "Task": "ipm.task"}
KINDS = {tag: kind for kind, tag in TAGS.items() if kind is not ItemKind.SERIES}

UID = Path("calendar:UID")
CALENDAR_TYPE = Path("calendar:CalendarItemType")
PARENT = Path("item:ParentFolderId")
ITEM_CLASS = Path("item:ItemClass")

#: Asked for with every item that is fetched whole, beside its fields.
ABOUT = (
    PARENT,
    ITEM_CLASS,
    Path("item:HasAttachments"),
    Path("item:LastModifiedTime"),
    LINK,
    CALENDAR_TYPE,
    UID,
    CLEAN_GLOBAL_ID,
    Path("calendar:IsMeeting"),
    Path("calendar:MyResponseType"),
    Path("calendar:AppointmentState"),
    Path("calendar:OriginalStart"),
    Path("calendar:ModifiedOccurrences"),
    Path("calendar:DeletedOccurrences"),
)

#: Elements that every item may have, in the order of the schema; those of its kind follow.
ORDER = [
    "Subject",
    "Sensitivity",
    "Body",
    "Categories",
    "Importance",
    "ReminderDueBy",
    "ReminderIsSet",
    "ReminderMinutesBeforeStart",
    "ExtendedProperty",
]
PLACES = {
    name: place
    for order in (meetings.ORDER, contacts.ORDER, todos.ORDER)
    for place, name in enumerate([*ORDER, *order])
}
#: Lists whose entries are properties of their own.
HOLDERS = ("EmailAddresses", "PhoneNumbers", "PhysicalAddresses")


# -- reading ---------------------------------------------------------------------------------------


def whole_shape(kinds: Iterable[ItemKind], build: Build) -> list[Element]:
    """Paths of everything that items of these kinds have. Kinds leave out what others have."""
    asked = dict.fromkeys(ABOUT)
    for kind in kinds:
        for field in TABLES[kind].values():
            asked |= dict.fromkeys(field.asked)
    return [path.element() for path in asked if path.known_to(build)]


def kind_of(item: Element) -> ItemKind | None:
    """None for what isn't synchronized."""
    tag = item.tag.removeprefix(type_space)
    item_class = messages.text(item, "ItemClass").lower()
    if tag not in KINDS or (item_class and not item_class.startswith(CLASSES[tag])):
        return None
    is_series = messages.text(item, CALENDAR_TYPE.name) == "RecurringMaster"
    if tag == "CalendarItem" and (is_series or item.find(f"{type_space}Recurrence") is not None):
        return ItemKind.SERIES
    return KINDS[tag]


def read_fields(item: Element, kind: ItemKind) -> Fields:
    """Raises recurrences.Unreadable."""
    table = TABLES[kind]
    return {name: table[name].read(item) for name in FIELDS[kind]}


def uid_of(item: Element) -> str:
    return uids.uid_of(item)


def version_of(item: Element) -> str:
    identity = item.find(f"{type_space}ItemId")
    return "" if identity is None else identity.get("ChangeKey") or ""


def is_all_day(item: Element) -> bool:
    return values.flag(item, times.ALL_DAY.name)


# -- writing ---------------------------------------------------------------------------------------


def parts_of(kind: ItemKind, fields: Fields, build: Build, refused: int = 0) -> list[Part]:
    """In the order given. What is the server's own is left out. `refused`: as in `times`."""
    found: list[Part] = []
    for name, value in fields.items():
        write = TABLES[kind][name].write
        if isinstance(value, When):
            found += times.parts(value, build, refused)
        elif write is not None and not _means_nothing(name, value):
            found += write(value, build)
    return found


def _means_nothing(name: str, value: Value) -> bool:
    """There is no meeting without a time, and no series without a pattern."""
    return value is None and name in ("when", "recurrence")


def link_part(link: str) -> Part:
    return extended_part(LINK, link)


def new_item(kind: ItemKind, parts: Iterable[Part]) -> Element:
    """For CreateItem, in the order of the schema."""
    item = T(TAGS[kind])
    holders: dict[str, Element] = {}
    for part in parts:
        if part.content is None:
            continue
        name = part.content.tag.removeprefix(type_space)
        if name in HOLDERS and name in holders:
            _join(holders[name], part.content)
        else:
            holders[name] = part.content
            item.append(part.content)
    item[:] = sorted(item, key=lambda each: PLACES[each.tag.removeprefix(type_space)])
    return item


def _join(holder: Element, more: Element) -> None:
    """Entries of the same key are one."""
    for entry in list(more):
        same = [each for each in holder if each.get("Key") == entry.get("Key")]
        if same:
            same[0].extend(list(entry))
        else:
            holder.append(entry)


def updates(kind: ItemKind, parts: Iterable[Part]) -> Element:
    """For UpdateItem, in the order given."""
    return T.Updates(*(update(part, TAGS[kind]) for part in parts))
