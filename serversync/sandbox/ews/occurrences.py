"""Single occurrences of a series, as items of their own: built of the series and what is special about them.

    slot of the pattern ──┬──> like the series             Occurrence
                          ├──> + what differs (exception)  Exception
                          └──> deleted                     nothing

Nothing of them is a row in `item`. Whatever is written to one is written into `exception`, and counts as a
change of the series: that is how it reaches whoever synchronizes the folder.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from datetime import UTC, datetime, tzinfo
from itertools import islice

from lxml import etree

from serversync.sandbox.ews.ids import Kind, RemoteId
from serversync.sandbox.ews.series import Series, Slot, series_of, zone_of
from serversync.sandbox.ews.soap import Element, Refusal, T, make, moment, stamp
from serversync.sandbox.ews.store import Item, Store
from serversync.sandbox.ews.tables import Exceptional

#: Only a series has these.
OF_SERIES = ("Recurrence",)
#: Worked out for each occurrence, never one's own.
OF_SLOT = ("CalendarItemType", "IsRecurring", "OriginalStart", "RecurrenceId", "ReminderDueBy")


@dataclass
class Occurrence(Item):
    """`id`, `changed`: of the series."""

    slot: Slot
    is_exception: bool

    @property
    def remote_id(self) -> str:
        return str(RemoteId(Kind.OCCURRENCE, self.account, self.id, self.slot.original))


def require_series(master: Item) -> Series:
    """Raises Refusal."""
    found = series_of(master.element) if master.tag == "CalendarItem" else None
    if found is None:
        raise Refusal("ErrorCalendarCannotUseIdForOccurrenceId")
    return found


# -- finding ---------------------------------------------------------------------------------------


def by_index(store: Store, master: Item, index: int) -> Occurrence:
    """Raises Refusal."""
    slot = require_series(master).slot(index)
    if slot is None:
        raise Refusal("ErrorCalendarOccurrenceIndexIsOutOfRecurrenceRange")
    special = _special(store, master).get(slot.original)
    if special is not None and special.is_deleted:
        raise Refusal("ErrorCalendarOccurrenceIsDeletedFromRecurrence")
    return build(master, slot, special)


def by_original(store: Store, master: Item, original: int) -> Occurrence | None:
    """None if nothing of the series began then, or if it was deleted."""
    series = series_of(master.element)
    slot = series.slot_at(original) if series else None
    special = _special(store, master).get(original)
    if slot is None or (special is not None and special.is_deleted):
        return None
    return build(master, slot, special)


def between(store: Store, master: Item, start: datetime, end: datetime) -> list[Occurrence]:
    """Those that are there then, moved ones where they are now."""
    special = _special(store, master)
    slots = {slot.original: slot for slot in require_series(master).overlapping(start, end)}
    for original in special.keys() - slots.keys():
        if (slot := require_series(master).slot_at(original)) is not None:
            slots[original] = slot
    found = [
        build(master, slot, special.get(original))
        for original, slot in slots.items()
        if original not in special or not special[original].is_deleted
    ]
    return [one for one in found if overlaps(one, start, end)]


def in_view(store: Store, items: Iterable[Item], start: datetime, end: datetime) -> list[Item]:
    """What of a calendar's items is there then, series expanded, in the order of their starts."""
    found: list[Item] = []
    for item in items:
        if item.tag == "CalendarItem" and item.element.find(f"{T}Recurrence") is not None:
            found += between(store, item, start, end)
        elif overlaps(item, start, end):
            found.append(item)
    return sorted(found, key=lambda item: item.text("Start"))


def overlaps(item: Item, start: datetime, end: datetime) -> bool:
    begins, ends = moment(item.text("Start")), moment(item.text("End"))
    if begins is None or ends is None:
        return False
    return begins < end and (ends > start or begins == ends == start)


def _special(store: Store, master: Item) -> dict[int, Exceptional]:
    return {one.original: one for one in store.exceptions(master.id)}


def left(store: Store, master: Item) -> Iterator[tuple[Slot, Exceptional | None]]:
    """What isn't deleted, in the pattern's order; without an end if the series has none."""
    special = _special(store, master)
    for slot in require_series(master).slots():
        one = special.get(slot.original)
        if one is None or not one.is_deleted:
            yield slot, one


def first(store: Store, master: Item) -> Occurrence | None:
    return next((build(master, *one) for one in left(store, master)), None)


def last(store: Store, master: Item) -> Occurrence | None:
    """None for a series without an end."""
    if require_series(master).is_endless:
        return None
    found = deque(left(store, master), maxlen=1)
    return build(master, *found[0]) if found else None


# -- building --------------------------------------------------------------------------------------


def build(master: Item, slot: Slot, special: Exceptional | None) -> Occurrence:
    """As clients see it."""
    element = etree.fromstring(master.properties)
    for name in OF_SERIES:
        _drop(element, name)
    put(element, "Start", stamp(slot.start))
    put(element, "End", stamp(slot.end))
    if special is not None:
        for name in special.removed:
            _drop(element, name)
        for child in list(etree.fromstring(special.properties)):
            _drop(element, etree.QName(child).localname)
            element.append(child)
    put(element, "CalendarItemType", "Occurrence" if special is None else "Exception")
    put(element, "IsRecurring", "true")
    put(element, "RecurrenceId", stamp(slot.start))
    put(element, "OriginalStart", stamp(slot.start))
    if element.find(f"{T}ReminderDueBy") is not None:
        put(element, "ReminderDueBy", element.findtext(f"{T}Start") or "")
    values = {one.name: getattr(master, one.name) for one in fields(Item)}
    values |= {"properties": etree.tostring(element)}
    if special is not None:
        own = special.categories
        values["categories"] = list(master.categories if own is None else own)
        merged = {**master.extended, **special.extended}
        values["extended"] = {key: kept for key, kept in merged.items() if kept}
        values["touched"] = dict(master.touched)
        for path, change in special.touched.items():
            values["touched"][path] = max(change, master.touched.get(path, 0))
    return Occurrence(**values, slot=slot, is_exception=special is not None)


def put(element: Element, name: str, text: str) -> None:
    _drop(element, name)
    element.append(make(T + name, text))


def _drop(element: Element, name: str) -> None:
    for old in element.findall(T + name):
        element.remove(old)


# -- writing ---------------------------------------------------------------------------------------


def keep(store: Store, changed: Occurrence, paths: Iterable[str]) -> Occurrence:
    """What the occurrence holds now, as an exception of its series. Returns it anew. Raises Refusal."""
    master = store.item(changed.id)
    assert master is not None
    _require_place(store, master, changed)
    plain = build(master, changed.slot, None)
    own, like = _texts(changed.element), _texts(plain.element)
    differing = [name for name, text in own.items() if like.get(name) != text]
    known = _special(store, master).get(changed.slot.original)
    with store.writing():
        bumped = store.change_item(master)
        touched = dict(known.touched if known else {}) | dict.fromkeys(paths, bumped.changed)
        special = Exceptional(
            original=changed.slot.original,
            properties=b"<item>" + b"".join(own[name] for name in differing) + b"</item>",
            removed=tuple(name for name in like if name not in own),
            categories=None
            if changed.categories == master.categories
            else tuple(changed.categories),
            extended=_differing(changed.extended, master.extended),
            touched=touched,
        )
        store.write_exception(master.id, special)
    return build(bumped, changed.slot, special)


def delete(store: Store, gone: Occurrence) -> None:
    """Raises Refusal for the last one that is left."""
    master = store.item(gone.id)
    assert master is not None
    if len(list(islice(left(store, master), 2))) < 2:
        raise Refusal("ErrorRecurrenceHasNoOccurrence", "The last occurrence can't be deleted.")
    with store.writing():
        store.write_exception(master.id, Exceptional(original=gone.slot.original, is_deleted=True))
        store.change_item(master)


def _texts(element: Element) -> dict[str, bytes]:
    return {
        etree.QName(child).localname: etree.tostring(child, with_tail=False, method="c14n")
        for child in element
        if etree.QName(child).localname not in OF_SLOT
    }


def _differing(own: dict[str, list[str]], like: dict[str, list[str]]) -> dict[str, list[str]]:
    """An empty list stands for one that was taken away."""
    found = {key: values for key, values in own.items() if like.get(key) != values}
    return found | {key: [] for key in like if key not in own}


def _require_place(store: Store, master: Item, changed: Occurrence) -> None:
    """An occurrence stays between its neighbours, on a day of its own. Raises Refusal."""
    before, after = _neighbours(store, master, changed.slot.index)
    for one, two in ((before, changed), (changed, after)):
        if one is not None and two is not None and _meet(one, two, zone_of(master.element)):
            raise Refusal(
                "ErrorOccurrenceCrossingBoundary",
                "The occurrence would meet or pass its neighbour.",
            )


def _neighbours(
    store: Store, master: Item, index: int
) -> tuple[Occurrence | None, Occurrence | None]:
    before = None
    for slot, special in left(store, master):
        if slot.index < index:
            before = (slot, special)
        elif slot.index > index:
            return before and build(master, *before), build(master, slot, special)
    return before and build(master, *before), None


def _meet(one: Item, two: Item, zone: tzinfo) -> bool:
    starts, ends = moment(one.text("Start")), moment(one.text("End"))
    begins = moment(two.text("Start"))
    assert starts is not None and ends is not None and begins is not None
    return ends > begins or starts.astimezone(zone).date() >= begins.astimezone(zone).date()


# -- what a series tells of them -------------------------------------------------------------------


def shown_first(store: Store, master: Item) -> list[Element]:
    found = first(store, master)
    return [_info("FirstOccurrence", found)] if found else []


def shown_last(store: Store, master: Item) -> list[Element]:
    found = last(store, master)
    return [_info("LastOccurrence", found)] if found else []


def shown_modified(store: Store, master: Item) -> list[Element]:
    found = [
        by_original(store, master, one.original)
        for one in store.exceptions(master.id)
        if not one.is_deleted
    ]
    shown = [_info("Occurrence", one) for one in found if one is not None]
    return [make(f"{T}ModifiedOccurrences", *shown)] if shown else []


def shown_deleted(store: Store, master: Item) -> list[Element]:
    gone = [one for one in store.exceptions(master.id) if one.is_deleted]
    if not gone:
        return []
    starts = (stamp(datetime.fromtimestamp(one.original, UTC)) for one in gone)
    return [
        make(
            f"{T}DeletedOccurrences",
            *(make(f"{T}DeletedOccurrence", make(f"{T}Start", start)) for start in starts),
        )
    ]


def _info(tag: str, one: Occurrence) -> Element:
    return make(
        T + tag,
        make(f"{T}ItemId", Id=one.remote_id, ChangeKey=one.change_key),
        make(f"{T}Start", one.text("Start")),
        make(f"{T}End", one.text("End")),
        make(f"{T}OriginalStart", stamp(one.slot.start)),
    )
