"""FindItem: restrictions, order, pages. Restrictions serve FindFolder, too."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cmp_to_key

from serversync.sandbox.ews import occurrences, paths, soap
from serversync.sandbox.ews.call import Call, ids, operation
from serversync.sandbox.ews.extended import ExtendedPath, read_extended_path
from serversync.sandbox.ews.paging import paged, read_page, unpaged
from serversync.sandbox.ews.properties import (
    Shape,
    extended_values,
    read_field,
    read_indexed,
    read_shape,
    shown,
    value,
)
from serversync.sandbox.ews.rights import Right
from serversync.sandbox.ews.soap import Element, M, Refusal, T, attribute, children, moment, schema
from serversync.sandbox.ews.store import Folder, Item


@dataclass(frozen=True)
class Searched:
    """What a restriction asks of one row. Each gives the values of a property, none if it has none."""

    field: Callable[[str], list[str]]
    indexed: Callable[[str, str], list[str]]
    extended: Callable[[ExtendedPath], list[str]]


Test = Callable[[Searched], bool]
COMPARISONS: dict[str, Callable[[int], bool]] = {
    "IsEqualTo": lambda order: order == 0,
    "IsNotEqualTo": lambda order: order != 0,
    "IsGreaterThan": lambda order: order > 0,
    "IsGreaterThanOrEqualTo": lambda order: order >= 0,
    "IsLessThan": lambda order: order < 0,
    "IsLessThanOrEqualTo": lambda order: order <= 0,
}
CONTAINMENTS: dict[str, Callable[[str, str], bool]] = {
    "FullString": lambda text, part: text == part,
    "Prefixed": str.startswith,
    "Substring": lambda text, part: part in text,
    "PrefixOnWords": lambda text, part: any(word.startswith(part) for word in text.split()),
    "ExactPhrase": lambda text, part: part in text,
}
IGNORES_CASE = ("IgnoreCase", "IgnoreCaseAndNonSpacingCharacters", "Loose", "LooseAndIgnoreCase", "LooseAndIgnoreNonSpace")  # fmt: skip
LONGEST_VIEW = timedelta(days=2 * 366)
#: Not searchable on real servers.
UNSEARCHABLE = frozenset(
    """
    item:MimeContent item:InternetMessageHeaders item:Attachments item:UniqueBody calendar:UID
    calendar:RequiredAttendees calendar:OptionalAttendees calendar:Resources calendar:Recurrence
    calendar:StartTimeZone calendar:EndTimeZone calendar:IsResponseRequested
    calendar:AllowNewTimeProposal task:Recurrence
    """.split()  # noqa: SIM905
)


# -- restrictions ----------------------------------------------------------------------------------


def filter_of(call: Call, restriction: Element | None) -> Test:
    """Raises Refusal for what this server doesn't search by."""
    if restriction is None:
        return lambda row: True
    inside = children(restriction)
    if len(inside) != 1:
        raise schema("A restriction is one expression.", restriction)
    return _test(call, inside[0])


def _test(call: Call, expression: Element) -> Test:
    name = soap.local(expression)
    inside = children(expression)
    if name in call.quirks.refused_restrictions:
        raise Refusal("ErrorUnsupportedQueryFilter", f"{name} isn't supported.")
    if name in ("And", "Or", "Not"):
        tests = [_test(call, inner) for inner in inside]
        if name == "Not":
            return lambda row: not tests[0](row)
        together = all if name == "And" else any
        return lambda row: together(test(row) for test in tests)
    if not inside:
        raise schema(f"'{name}' is empty.", expression)
    values = _operand(call, inside[0])
    if name == "Exists":
        return lambda row: bool(values(row))
    if name == "Contains":
        return _contains(expression, inside[1:], values)
    if name == "Excludes":
        return _excludes(inside[1], values)
    if name not in COMPARISONS:
        raise schema(f"'{name}' is no search expression.", expression)
    return _comparison(call, name, inside, values)


def _operand(call: Call, path: Element) -> Callable[[Searched], list[str]]:
    if path.tag == f"{T}ExtendedFieldURI":
        wanted = read_extended_path(path)
        return lambda row: row.extended(wanted)
    if path.tag == f"{T}IndexedFieldURI":
        name, index = read_indexed(path)
        return lambda row: row.indexed(name, index)
    name = read_field(path, call.schema)
    if name in UNSEARCHABLE:
        raise Refusal("ErrorUnsupportedPathForQuery", f"{name} can't be searched by.")
    if name == "item:Categories" and "Categories" in call.quirks.refused_restrictions:
        raise Refusal("ErrorUnsupportedPathForQuery", f"{name} can't be searched by.")
    return lambda row: row.field(name)


def _contains(
    expression: Element, rest: list[Element], values: Callable[[Searched], list[str]]
) -> Test:
    if not rest or rest[0].tag != f"{T}Constant":
        raise schema("'Contains' needs a Constant.", expression)
    part = attribute(rest[0], "Value")
    fits = CONTAINMENTS[attribute(expression, "ContainmentMode", CONTAINMENTS, "FullString")]
    if expression.get("ContainmentComparison", "Exact") in IGNORES_CASE:
        return lambda row: any(fits(text.lower(), part.lower()) for text in values(row))
    return lambda row: any(fits(text, part) for text in values(row))


def _excludes(mask: Element, values: Callable[[Searched], list[str]]) -> Test:
    bits = int(attribute(mask, "Value"), 0)
    return lambda row: all(
        text.lstrip("-").isdigit() and not int(text) & bits for text in values(row)
    )


def _comparison(
    call: Call, name: str, inside: list[Element], values: Callable[[Searched], list[str]]
) -> Test:
    """Against a constant or another property. With several values one that fits is enough."""
    other = children(inside[1])[0] if len(inside) > 1 and children(inside[1]) else None
    if other is None:
        raise schema(f"'{name}' needs something to compare with.", inside[0])
    if other.tag == f"{T}Constant":
        constant = attribute(other, "Value")
        compared: Callable[[Searched], list[str]] = lambda row: [constant]  # noqa: E731
    else:
        compared = _operand(call, other)
    fits = COMPARISONS[name]

    def test(row: Searched) -> bool:
        found = values(row)
        if name == "IsNotEqualTo":
            return all(order(one, two) != 0 for one in found for two in compared(row))
        return any(fits(order(one, two)) for one in found for two in compared(row))

    return test


def order(one: str, two: str) -> int:
    """As numbers, times or truths where both are; else as text without regard to case."""
    left, right = _comparable(one), _comparable(two)
    if type(left) is not type(right):
        left, right = one.lower(), two.lower()
    return (left > right) - (left < right)  # type: ignore[operator]


def _comparable(text: str) -> float | datetime | str:
    text = text.strip()
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    try:
        return float(text) if text.isascii() else text.lower()
    except ValueError:
        pass
    found = moment(text) if len(text) >= 10 and text[4:5] == "-" else None
    return found or text.lower()


# -- items -----------------------------------------------------------------------------------------


@operation("FindItem")
def find_item(call: Call) -> Element:
    shape = read_shape(call, is_list=True)
    traversal = attribute(call.request, "Traversal", ("Shallow", "Associated", "SoftDeleted"))
    text = call.request.findtext(f"{M}QueryString")

    def find(wanted: Element) -> list[Element]:
        fits = filter_of(call, call.request.find(f"{M}Restriction"))
        wanted_order = _read_order(call)
        folder = call.folder(wanted, Right.READ)
        rows = [] if traversal == "SoftDeleted" else _rows(call, folder, traversal, fits, text)
        return [_view(call, folder, _ordered(call, folder, rows, wanted_order), shape)]

    return call.each(ids(call.request, f"{M}ParentFolderIds"), find)


def _rows(call: Call, folder: Folder, traversal: str, fits: Test, text: str | None) -> list[Item]:
    items = call.store.items(folder.id, associated=traversal == "Associated")
    found = [item for item in items if fits(searched(call, item))]
    if text:
        found = [item for item in found if text.lower() in item.properties.decode().lower()]
    limit = call.quirks.find_count_limit
    if limit is not None and len(found) > limit:
        raise Refusal("ErrorExceededFindCountLimit", "The view holds more items than a search may.")
    return found


def searched(call: Call, item: Item) -> Searched:
    def values(path: str) -> list[str]:
        return [text for found in value(call, item, path) for text in _texts(found)]

    return Searched(
        field=values,
        indexed=lambda path, index: _indexed(item, path, index),
        extended=lambda path: extended_values(call, item, path),
    )


def _texts(element: Element) -> list[str]:
    """A mailbox by name and address, a list by each of its texts, anything else by its text or id."""
    inner = [
        text
        for part in element.iter()
        if isinstance(part.tag, str)
        if (text := (part.text or "").strip())
    ]
    return inner or ([element.get("Id", "")] if element.get("Id") else [])


def _indexed(item: Item, path: str, index: str) -> list[str]:
    holder, part = paths.INDEXED[path]
    for entry in item.element.iterfind(f"{T}{holder}/{T}Entry"):
        if entry.get("Key") == index:
            text = entry.findtext(T + part) if part else entry.text
            return [text] if text else []
    return []


def _read_order(call: Call) -> list[tuple[Callable[[Searched], list[str]], bool]]:
    """(values, is it descending)"""
    found = []
    for wanted in children(call.request.find(f"{M}SortOrder")):
        inside = children(wanted)
        if not inside:
            raise schema("'FieldOrder' is empty.", wanted)
        descending = attribute(wanted, "Order", ("Ascending", "Descending")) == "Descending"
        found.append((_operand(call, inside[0]), descending))
    return found


def _ordered(
    call: Call,
    folder: Folder,
    items: list[Item],
    wanted: Sequence[tuple[Callable[[Searched], list[str]], bool]],
) -> list[Item]:
    """By default the newest first."""
    if not wanted:
        oldest = datetime.min.replace(tzinfo=UTC)
        return sorted(items, key=lambda item: (item.received_at or oldest, item.id), reverse=True)
    for values, descending in reversed(wanted):
        keys = {item.id: (values(searched(call, item)) or [""])[0] for item in items}
        by_key = cmp_to_key(order)
        items = sorted(items, key=lambda item: by_key(keys[item.id]), reverse=descending)
    return items


def _view(call: Call, folder: Folder, items: list[Item], shape: Shape) -> Element:
    def show(item: Item) -> Element:
        return shown(call, item, shape)

    view = call.request.find(f"{M}CalendarView")
    if view is None:
        return paged(items, read_page(call.request, f"{M}IndexedPageItemView"), f"{T}Items", show)
    if not folder.folder_class.startswith("IPF.Appointment"):
        raise Refusal("ErrorCalendarFolderIsInvalidForCalendarView")
    start, end = moment(attribute(view, "StartDate")), moment(attribute(view, "EndDate"))
    if start is None or end is None:
        raise schema("The dates of the calendar view are invalid.", view)
    if end < start:
        raise Refusal("ErrorCalendarEndDateIsEarlierThanStartDate")
    if end - start > LONGEST_VIEW:
        raise Refusal("ErrorCalendarViewRangeTooBig")
    most = view.get("MaxEntriesReturned")
    if call.quirks.unexpanded_views:
        inside = [item for item in items if occurrences.overlaps(item, start, end)]
    else:
        inside = occurrences.in_view(call.store, items, start, end)
    return unpaged(inside, f"{T}Items", show, None if most is None else int(most))
