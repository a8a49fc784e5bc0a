"""Extended properties: MAPI properties by tag, and named ones by set and name or number.

A value is kept under a key that is the same for each spelling of its path; it is answered with the
spelling that was asked with, since clients compare it letter by letter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from uuid import UUID

from serversync.sandbox.ews.appointments import goid_value
from serversync.sandbox.ews.soap import (
    Element,
    Refusal,
    T,
    attribute,
    children,
    make,
    schema,
    stamp,
)
from serversync.sandbox.ews.store import Item, NewItem

SETS = {
    "Address": "00062004-0000-0000-c000-000000000046",
    "Appointment": "00062002-0000-0000-c000-000000000046",
    "CalendarAssistant": "11000e07-b51b-40d6-af21-caa85edab1d0",
    "Common": "00062008-0000-0000-c000-000000000046",
    "InternetHeaders": "00020386-0000-0000-c000-000000000046",
    "Meeting": "6ed8da90-450b-101b-98da-00aa003f1305",
    "PublicStrings": "00020329-0000-0000-c000-000000000046",
    "Sharing": "00062040-0000-0000-c000-000000000046",
    "Task": "00062003-0000-0000-c000-000000000046",
    "UnifiedMessaging": "4442858e-a9e3-4e80-b900-317a210cc15b",
}
TYPES = frozenset(
    """
    ApplicationTime ApplicationTimeArray Binary BinaryArray Boolean CLSID CLSIDArray Currency CurrencyArray
    Double DoubleArray Float FloatArray Integer IntegerArray Long LongArray Short ShortArray SystemTime
    SystemTimeArray String StringArray
    """.split()  # noqa: SIM905
)
TRANSPORT_HEADERS = "tag/0x007d"
MESSAGE_FLAGS = "tag/0x0e07"
DELIVERY_TIME = "tag/0x0e06"
KEYWORDS = f"{SETS['PublicStrings']}/keywords"


@dataclass(frozen=True)
class ExtendedPath:
    """`key`: what it means; `element`: how it was written."""

    key: str
    type: str
    element: Element

    @property
    def is_array(self) -> bool:
        return self.type.endswith("Array")


def read_extended_path(element: Element) -> ExtendedPath:
    """Raises SoapFault."""
    kind = attribute(element, "PropertyType", TYPES)
    if (tag := element.get("PropertyTag")) is not None:
        return ExtendedPath(f"tag/{_tag(tag, element):#06x}", kind, element)
    if (distinguished := element.get("DistinguishedPropertySetId")) is not None:
        if distinguished not in SETS:
            raise schema(
                f"The value '{distinguished}' of 'DistinguishedPropertySetId' is invalid.", element
            )
        owner = SETS[distinguished]
    else:
        owner = _guid(element)
    if (name := element.get("PropertyName")) is not None:
        return ExtendedPath(f"{owner}/{name.lower()}", kind, element)
    number = attribute(element, "PropertyId")
    if not number.lstrip("-").isdigit():
        raise schema(f"The value '{number}' of 'PropertyId' is invalid.", element)
    return ExtendedPath(f"{owner}/#{int(number)}", kind, element)


def _tag(text: str, element: Element) -> int:
    try:
        number = int(text, 16) if text.lower().startswith("0x") else int(text)
    except ValueError:
        raise schema(f"The value '{text}' of 'PropertyTag' is invalid.", element) from None
    if number >= 0x8000:
        raise Refusal("ErrorInvalidExtendedProperty", "Tags from 0x8000 on are named properties.")
    return number


def _guid(element: Element) -> str:
    text = attribute(element, "PropertySetId")
    try:
        return str(UUID(text))
    except ValueError:
        raise schema(f"The value '{text}' of 'PropertySetId' is invalid.", element) from None


def read_values(element: Element) -> tuple[ExtendedPath, list[str]]:
    """Of a t:ExtendedProperty."""
    uri = element.find(f"{T}ExtendedFieldURI")
    if uri is None:
        raise schema("An ExtendedProperty without ExtendedFieldURI.", element)
    path = read_extended_path(uri)
    if path.is_array:
        return path, [value.text or "" for value in children(element.find(f"{T}Values"))]
    single = element.find(f"{T}Value")
    if single is None:
        raise schema("An ExtendedProperty without Value.", element)
    return path, [single.text or ""]


def set_values(item: Item | NewItem, path: ExtendedPath, values: list[str]) -> None:
    """An empty list takes the property away."""
    if path.key == KEYWORDS:
        item.categories = list(values)
    elif values:
        item.extended[path.key] = values
    else:
        item.extended.pop(path.key, None)


def values_of(item: Item, path: ExtendedPath) -> list[str]:
    if path.key in item.extended:
        return item.extended[path.key]
    find = MEANINGS.get(path.key)
    return [] if find is None else [value for value in find(item) if value]


def shown_extended(path: ExtendedPath, values: list[str]) -> Element:
    uri = make(
        f"{T}ExtendedFieldURI",
        **{str(name): str(text) for name, text in path.element.attrib.items()},
    )
    if path.is_array:
        content = make(f"{T}Values", *(make(f"{T}Value", value) for value in values))
    else:
        content = make(f"{T}Value", values[0])
    return make(f"{T}ExtendedProperty", uri, content)


def _text(name: str) -> Callable[[Item], list[str]]:
    return lambda item: [item.text(name)]


#: Properties that mirror ordinary ones.
MEANINGS: dict[str, Callable[[Item], list[str]]] = {
    KEYWORDS: lambda item: item.categories,
    "tag/0x001a": lambda item: [item.item_class],
    "tag/0x0037": _text("Subject"),
    "tag/0x0070": _text("ConversationTopic"),
    "tag/0x0071": _text("ConversationIndex"),
    "tag/0x0e1d": lambda item: [item.text("ConversationTopic") or item.text("Subject")],
    "tag/0x1000": lambda item: [(item.element.findtext(f"{T}Body") or "")],
    "tag/0x1035": _text("InternetMessageId"),
    "tag/0x1039": _text("References"),
    "tag/0x1042": _text("InReplyTo"),
    "tag/0x3008": lambda item: [stamp(item.modified_at)],
    MESSAGE_FLAGS: lambda item: [str(int(item.is_read) | int(item.is_draft) << 3)],
    DELIVERY_TIME: lambda item: [stamp(item.received_at) if item.received_at else ""],
    "tag/0x0e08": lambda item: [str(item.size)],
    # What gateways to IMAP ask for: the article number, which is their UID, and the record key.
    "tag/0x0e23": lambda item: [str(item.id)],
    "tag/0x0ff9": lambda item: [item.remote_id],
    # PidLidGlobalObjectId, PidLidCleanGlobalObjectId, PidLidReminderSet, PidLidTaskComplete
    f"{SETS['Meeting']}/#3": goid_value,
    f"{SETS['Meeting']}/#35": lambda item: goid_value(item, clean=True),
    f"{SETS['Common']}/#34051": lambda item: [item.text("ReminderIsSet") or "false"],
    f"{SETS['Task']}/#33052": _text("IsComplete"),
}


def header_name(path: ExtendedPath) -> str | None:
    """The header that a property of the set InternetHeaders mirrors."""
    owner, _, name = path.key.partition("/")
    return name if owner == SETS["InternetHeaders"] and not name.startswith("#") else None
