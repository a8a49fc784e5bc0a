"""What the schema says of items beyond their names: the order of elements, and the words that some may hold.

Real servers refuse a whole request for one item that breaks it, and so does this one.
"""

from collections.abc import Sequence
from functools import cache

from serversync.sandbox.ews import paths, versions
from serversync.sandbox.ews.soap import Element, children, local, schema

#: Extended properties stand behind this one.
BEFORE_EXTENDED = "item:HasAttachments"
EXTENDED = "ExtendedProperty"
WORDS = {
    "Sensitivity": ("Normal", "Personal", "Private", "Confidential"),
    "Importance": ("Low", "Normal", "High"),
    "LegacyFreeBusyStatus": ("Free", "Tentative", "Busy", "OOF", "WorkingElsewhere", "NoData"),
}
WORDS_SINCE = {"WorkingElsewhere": "Exchange2013"}
#: Of elements inside properties.
ORDERS = {
    "Attendee": ("Mailbox", "ResponseType", "LastResponseTime", "ProposedStart", "ProposedEnd"),
    "Mailbox": (
        "Name",
        "EmailAddress",
        "RoutingType",
        "MailboxType",
        "ItemId",
        "OriginalDisplayName",
    ),
    "Entry": ("Street", "City", "State", "CountryOrRegion", "PostalCode"),
    "DailyRecurrence": ("Interval",),
    "WeeklyRecurrence": ("Interval", "DaysOfWeek", "FirstDayOfWeek"),
    "AbsoluteMonthlyRecurrence": ("Interval", "DayOfMonth"),
    "RelativeMonthlyRecurrence": ("Interval", "DaysOfWeek", "DayOfWeekIndex"),
    "AbsoluteYearlyRecurrence": ("DayOfMonth", "Month"),
    "RelativeYearlyRecurrence": ("DaysOfWeek", "DayOfWeekIndex", "Month"),
    "NoEndRecurrence": ("StartDate",),
    "EndDateRecurrence": ("StartDate", "EndDate"),
    "NumberedRecurrence": ("StartDate", "NumberOfOccurrences"),
}


@cache
def names(tag: str) -> tuple[str, ...]:
    """Of the elements of an item, in their order."""
    found: list[str] = []
    for path in paths.BY_TAG[tag]:
        found.append(paths.element_name(path))
        if path == BEFORE_EXTENDED:
            found.append(EXTENDED)
    return tuple(found)


def require_item(element: Element) -> None:
    """An item that is to be created. Raises SoapFault."""
    require_order(element, names(local(element)))


def require_property(given: Element, version: str) -> None:
    """Raises SoapFault."""
    name, text = local(given), (given.text or "").strip()
    if name in WORDS:
        known_since = WORDS_SINCE.get(text)
        if text not in WORDS[name] or (known_since and versions.is_older(version, known_since)):
            raise schema(f"The '{name}' element is invalid - the value '{text}' is invalid.", given)
    for inner in given.iter():
        if isinstance(inner.tag, str) and local(inner) in ORDERS:
            require_order(inner, ORDERS[local(inner)])


def require_order(element: Element, order: Sequence[str]) -> None:
    """Raises SoapFault for the first child that is behind where it belongs."""
    place = 0
    for child in children(element):
        name = local(child)
        if name not in order:
            continue  # told with better words by whoever reads it
        if order.index(name) < place:
            raise schema(
                f"The element '{local(element)}' has invalid child element '{name}'.", child
            )
        place = order.index(name)
