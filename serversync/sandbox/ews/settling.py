"""What the server makes of calendar items, tasks and contacts whenever they are written, by whatever way."""

from collections.abc import Sequence

from lxml import etree

from serversync.sandbox.ews import appointments, contacts, meetings, occurrences, tasks, timezones
from serversync.sandbox.ews.meetings import organizing
from serversync.sandbox.ews.properties import WITH_MIME
from serversync.sandbox.ews.soap import Element, Refusal, T
from serversync.sandbox.ews.store import Account, Item, NewItem, Store


def settle(
    item: Item | NewItem,
    owner: Account,
    changed: Sequence[str] = (),
    default_zone: str = timezones.UTC_ID,
) -> None:
    """What the server makes of an item after each write; `changed`: paths, in their order.
    Raises Refusal, SoapFault."""
    if item.tag == "CalendarItem":
        appointments.settle(item, owner, default_zone)
    elif item.tag == "Task":
        tasks.settle(item, owner, changed)
    elif item.tag == "Contact":
        contacts.settle(item)


def settle_change(
    store: Store,
    item: Item,
    owner: Account,
    before: Element,
    changed: list[str],
    told: str = meetings.NOBODY,
    default_zone: str = timezones.UTC_ID,
) -> Item:
    """Store what an item holds now. `before`: its element as it was; `changed`: paths, in their order.
    Raises Refusal, SoapFault."""
    settle(item, owner, changed, default_zone)
    if item.tag == "CalendarItem":
        organizing.prepare_changed(item, before, told)
    if isinstance(item, occurrences.Occurrence):
        return _stored_occurrence(store, item, before, changed)
    if item.tag == "CalendarItem" and appointments.is_moved(before, item.element):
        store.drop_exceptions(item.id)
    if item.tag == "Task" and (done := tasks.begin_again(item)) is not None:
        tasks.keep_done(store, item, done)
    if item.tag not in WITH_MIME:
        item.mime_is_current = False
        item.size = len(etree.tostring(item.element))
    return store.change_item(item, paths=changed, only_read_flag=set(changed) == {"message:IsRead"})


def _stored_occurrence(
    store: Store, item: occurrences.Occurrence, before: Element, changed: list[str]
) -> Item:
    same_uid = item.element.findtext(f"{T}UID") == before.findtext(f"{T}UID")
    if not same_uid or item.element.find(f"{T}Recurrence") is not None:
        raise Refusal("ErrorInvalidPropertySet", "An occurrence has this of its series.")
    return occurrences.keep(store, item, changed)
