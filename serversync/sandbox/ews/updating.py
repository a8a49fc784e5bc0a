"""UpdateItem: the single changes of an item, and what happens when somebody else changed it before."""

from collections.abc import Callable
from dataclasses import dataclass

from lxml import etree

from serversync.sandbox.ews import appointments, extended, meetings, mimes, paths, soap, versions
from serversync.sandbox.ews.call import Call, operation
from serversync.sandbox.ews.ids import read_change_key
from serversync.sandbox.ews.meetings import organizing
from serversync.sandbox.ews.properties import WITH_MIME, mime_of, only_id, read_field, read_indexed
from serversync.sandbox.ews.rights import Right, require_room
from serversync.sandbox.ews.settling import settle_change
from serversync.sandbox.ews.soap import Element, M, Refusal, T, children, make, schema
from serversync.sandbox.ews.store import Item
from serversync.sandbox.ews.writing import READ_ONLY, replace, set_property

#: Changes that leave the MIME as true as it was.
BESIDE_MIME = frozenset(
    """
    message:IsRead item:Categories item:Flag item:ItemClass item:ReminderIsSet item:ReminderDueBy
    item:ReminderMinutesBeforeStart
    """.split()  # noqa: SIM905
)
#: Fixed once a message has been sent or received.
FIXED_AFTER_SENDING = frozenset(
    """
    message:ToRecipients message:CcRecipients message:BccRecipients message:From message:Sender
    message:ReplyTo message:InternetMessageId message:IsReadReceiptRequested
    message:IsDeliveryReceiptRequested message:ConversationIndex
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Change:
    """`path`: for conflicts; two changes of one path can't be merged."""

    path: str
    apply: Callable[[Item], None]


@operation("UpdateItem")
def update_item(call: Call) -> Element:
    resolution = soap.attribute(
        call.request, "ConflictResolution", ("NeverOverwrite", "AutoResolve", "AlwaysOverwrite")
    )
    wanted = children(soap.required(call.request, f"{M}ItemChanges"))

    def update(change: Element) -> list[Element]:
        item = call.item(children(change)[0], Right.WRITE)
        updated = _update(call, item, change, resolution)
        return [
            make(f"{M}Items", only_id(updated)),
            make(f"{M}ConflictResults", make(f"{T}Count", "0")),
        ]

    return call.each(wanted, update, f"{M}Items")


def _update(call: Call, item: Item, element: Element, resolution: str) -> Item:
    updates = children(element.find(f"{T}Updates"))
    if not updates:
        raise schema("'Updates' is empty.", element)
    told = _told(call, item) if item.tag == "CalendarItem" else meetings.NOBODY
    if item.tag == "Message" and call.request.get("MessageDisposition") is None:
        raise Refusal("ErrorMessageDispositionRequired")
    if call.request.get("MessageDisposition", "SaveOnly") != "SaveOnly":
        raise Refusal("ErrorInvalidOperation", "A message is sent by SendItem or CreateItem.")
    changes = [_read_change(call, item, update) for update in updates]
    _require_no_conflict(call, item, children(element)[0], changes, resolution)
    before = etree.fromstring(etree.tostring(item.element))
    for change in changes:
        if not item.is_draft and item.tag == "Message" and change.path in FIXED_AFTER_SENDING:
            raise Refusal("ErrorInvalidPropertyUpdateSentMessage")
        change.apply(item)
    stored = _stored(call, item, [change.path for change in changes], before, told)
    if item.tag == "CalendarItem":
        organizing.changed(call.site, stored, before, told)
    return stored


def _told(call: Call, item: Item) -> str:
    """Nobody hears of what lies in the bin. Raises Refusal."""
    if call.request.get("SendMeetingInvitationsOrCancellations") is None:
        raise Refusal("ErrorSendMeetingInvitationsOrCancellationsRequired")
    told = soap.attribute(call.request, "SendMeetingInvitationsOrCancellations", meetings.UPDATES)
    folder = call.store.folder(item.folder)
    if told != meetings.NOBODY and folder and folder.distinguished == "deleteditems":
        raise Refusal("ErrorCalendarCannotUpdateDeletedItem")
    return told


def _stored(call: Call, item: Item, changed: list[str], before: Element, told: str) -> Item:
    owner = call.store.account_of(item.account)
    assert owner is not None
    touching = [path for path in changed if not _is_beside_mime(path)]
    if touching and "item:MimeContent" not in changed and item.tag in WITH_MIME:
        _update_mime(call, item, [path.partition(":")[2] for path in touching])
    if touching:
        require_room(call, owner, 0)
    zone = appointments.context_zone(call.request)
    return settle_change(call.store, item, owner, before, changed, told, zone)


def _update_mime(call: Call, item: Item, names: list[str]) -> None:
    """Headers are changed where they stand; with anything else the message is written anew when read."""
    stored = call.store.mime(item.id)
    if stored is not None and item.mime_is_current and set(names) <= set(mimes.HEADER_OF):
        stored = mimes.rewritten(stored, item.element, names)
        call.store.set_mime(item.id, stored)
        item.size = len(stored)
        return
    item.mime_is_current = False
    item.size = len(mime_of(call, item))


def _is_beside_mime(path: str) -> bool:
    headers = extended.SETS["InternetHeaders"]
    return path in BESIDE_MIME or ("/" in path and ":" not in path and not path.startswith(headers))


def _require_no_conflict(
    call: Call, item: Item, wanted: Element, changes: list[Change], resolution: str
) -> None:
    key = wanted.get("ChangeKey")
    if resolution == "AlwaysOverwrite":
        return
    if not key:
        raise Refusal("ErrorChangeKeyRequiredForWriteOperations")
    known = read_change_key(key, item.id)
    if known >= item.changed or call.quirks.no_conflict_errors:
        return
    overlapping = any(item.touched.get(change.path, 0) > known for change in changes)
    if resolution == "NeverOverwrite" or overlapping:
        raise Refusal("ErrorIrresolvableConflict")


def _read_change(call: Call, item: Item, update: Element) -> Change:
    inside = children(update)
    if not inside:
        raise schema(f"'{soap.local(update)}' is empty.", update)
    match soap.local(update):
        case "SetItemField":
            return _read_set(call, item, inside)
        case "DeleteItemField":
            return _read_delete(call, item, inside[0])
        case "AppendToItemField":
            return _read_append(call, item, inside)
        case other:
            raise schema(f"'{other}' is no update.", update)


def _new_value(inside: list[Element]) -> Element:
    """The one property in the item element beside the path. Raises Refusal."""
    properties = children(inside[1]) if len(inside) == 2 else []
    if len(properties) != 1:
        raise Refusal("ErrorIncorrectUpdatePropertyCount", "An update sets exactly one property.")
    return properties[0]


def _read_set(call: Call, item: Item, inside: list[Element]) -> Change:
    path, given = inside[0], _new_value(inside)
    if path.tag == f"{T}ExtendedFieldURI":
        wanted, (got, values) = extended.read_extended_path(path), extended.read_values(given)
        if wanted.key != got.key:
            raise Refusal("ErrorUpdatePropertyMismatch")
        return Change(wanted.key, lambda item: extended.set_values(item, wanted, values))
    if path.tag == f"{T}IndexedFieldURI":
        name, index = read_indexed(path)
        return Change(f"{name}/{index}", lambda item: _set_entry(item, name, index, given))
    name = read_field(path, call.schema)
    if paths.element_name(name) != soap.local(given):
        raise Refusal("ErrorUpdatePropertyMismatch", "Path and property of the update differ.")
    if soap.local(given) in READ_ONLY:
        raise Refusal("ErrorInvalidPropertySet", f"Set action is invalid for property {name}.")
    return Change(name, lambda item: set_property(call, item, given))


def _read_delete(call: Call, item: Item, path: Element) -> Change:
    if path.tag == f"{T}ExtendedFieldURI":
        wanted = extended.read_extended_path(path)
        return Change(wanted.key, lambda item: extended.set_values(item, wanted, []))
    if path.tag == f"{T}IndexedFieldURI":
        name, index = read_indexed(path)
        return Change(f"{name}/{index}", lambda item: _delete_entry(item, name, index))
    name = read_field(path, call.schema)
    if paths.element_name(name) in READ_ONLY or name in ("item:ItemClass", "message:IsRead"):
        raise Refusal(
            "ErrorInvalidPropertyDelete", f"Delete action is invalid for property {name}."
        )
    return Change(name, lambda item: _delete_property(item, name))


def _delete_property(item: Item, path: str) -> None:
    if path == "item:Categories":
        item.categories = []
    for old in item.element.findall(T + paths.element_name(path)):
        item.element.remove(old)


def _read_append(call: Call, item: Item, inside: list[Element]) -> Change:
    name, given = read_field(inside[0], call.schema), _new_value(inside)
    if name not in (
        "item:Body",
        "message:ToRecipients",
        "message:CcRecipients",
        "message:BccRecipients",
        "message:ReplyTo",
    ):
        raise Refusal("ErrorInvalidPropertyAppend", f"Nothing can be appended to {name}.")

    def append(item: Item) -> None:
        kept = item.element.find(given.tag)
        if kept is None:
            replace(item.element, given)
        elif name == "item:Body":
            kept.text = (kept.text or "") + (given.text or "")
        else:
            kept.extend(
                etree.fromstring(etree.tostring(one, with_tail=False)) for one in children(given)
            )

    return Change(name, append)


def _set_entry(item: Item, path: str, index: str, given: Element) -> None:
    """`given`: the holder with one entry. Of a postal address only the named part is set."""
    holder_name, part = paths.INDEXED[path]
    entry = given.find(f"{T}Entry")
    if entry is None or entry.get("Key") != index:
        raise Refusal("ErrorUpdatePropertyMismatch")
    holder = item.element.find(T + holder_name)
    if holder is None:
        holder = etree.SubElement(item.element, T + holder_name)
    kept = _entry(holder, index)
    if not part:
        if kept is not None:
            holder.remove(kept)
        holder.append(etree.fromstring(etree.tostring(entry, with_tail=False)))
        return
    if kept is None:
        kept = etree.SubElement(holder, f"{T}Entry", Key=index)
    for old in kept.findall(T + part):
        kept.remove(old)
    kept.extend(
        etree.fromstring(etree.tostring(one, with_tail=False)) for one in entry.findall(T + part)
    )


def _delete_entry(item: Item, path: str, index: str) -> None:
    holder_name, part = paths.INDEXED[path]
    holder = item.element.find(T + holder_name)
    entry = None if holder is None else _entry(holder, index)
    if holder is None or entry is None:
        return
    for old in entry.findall(T + part) if part else []:
        entry.remove(old)
    if not part or not children(entry):
        holder.remove(entry)
    if not children(holder):
        item.element.remove(holder)


def _entry(holder: Element, index: str) -> Element | None:
    return next((entry for entry in children(holder) if entry.get("Key") == index), None)


def require_attribute_version(call: Call) -> None:
    """Raises SoapFault for an attribute that the schema of the request doesn't have."""
    for name, since in versions.ATTRIBUTE_SINCE.items():
        if call.request.get(name) is not None and versions.is_older(call.schema, since):
            raise schema(f"The '{name}' attribute is not declared.", call.request)
