"""Items as clients write them: what CreateItem is given, and the single changes of UpdateItem."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lxml import etree

from serversync.sandbox.ews import (
    appointments,
    contacts,
    extended,
    meetings,
    mimes,
    occurrences,
    paths,
    soap,
    tasks,
    timezones,
    versions,
)
from serversync.sandbox.ews.call import Call, operation
from serversync.sandbox.ews.ids import read_change_key
from serversync.sandbox.ews.meetings import organizing
from serversync.sandbox.ews.properties import WITH_MIME, mime_of, only_id, read_field, read_indexed
from serversync.sandbox.ews.rights import Right, require_room
from serversync.sandbox.ews.soap import (
    Element,
    M,
    Refusal,
    T,
    binary,
    children,
    make,
    schema,
    stamp,
    truth,
)
from serversync.sandbox.ews.store import Account, Attachment, Folder, Item, NewItem, Store

#: Only the server writes these.
READ_ONLY = frozenset(
    """
    ItemId ParentFolderId Size DateTimeReceived DateTimeSent DateTimeCreated LastModifiedTime LastModifiedName
    HasAttachments DisplayTo DisplayCc ConversationId EffectiveRights IsSubmitted IsDraft IsFromMe IsResend
    IsUnmodified InternetMessageHeaders ResponseObjects ReceivedBy ReceivedRepresenting UniqueBody TextBody
    CompleteName IsMeeting IsCancelled IsRecurring MeetingRequestWasSent CalendarItemType MyResponseType Organizer
    OriginalStart RecurrenceId DateTimeStamp AppointmentReplyTime AppointmentSequenceNumber AppointmentState
    Duration FirstOccurrence LastOccurrence ModifiedOccurrences DeletedOccurrences IsOnlineMeeting
    JoinOnlineMeetingUrl OnlineMeetingSettings IsOrganizer ConflictingMeetingCount AdjacentMeetingCount
    ConflictingMeetings AdjacentMeetings AssignedTime ChangeCount DelegationState Delegator
    IsAssignmentEditable IsComplete IsTeamTask Owner StatusDescription ContactSource HasPicture Notes Photo
    """.split()  # noqa: SIM905
)
#: Clients write these as 0 and 1, too; they are told as true and false.
BOOLEANS = frozenset(
    """
    IsReadReceiptRequested IsDeliveryReceiptRequested IsResponseRequested ReminderIsSet IsAllDayEvent
    AllowNewTimeProposal
    """.split()  # noqa: SIM905
)
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
WRONG_FOLDER = {
    "CalendarItem": "ErrorCannotCreateCalendarItemInNonCalendarFolder",
    "Contact": "ErrorCannotCreateContactInNonContactFolder",
    "DistributionList": "ErrorCannotCreateContactInNonContactFolder",
    "Task": "ErrorCannotCreateTaskInNonTaskFolder",
    "PostItem": "ErrorCannotCreatePostItemInNonMailFolder",
}


# -- a whole item ----------------------------------------------------------------------------------


def given(call: Call, element: Element) -> NewItem:
    """The item that an element describes: its MIME content first, the other properties over it.
    Raises Refusal."""
    tag = soap.local(element)
    if tag not in paths.ITEM_TAGS:
        raise Refusal("ErrorInvalidItemForOperationCreateItem", f"{tag} can't be created here.")
    content = element.find(f"{T}MimeContent")
    if content is None:
        item = NewItem(
            tag=tag, item_class=paths.CLASS_OF_TAG[tag][0], element=etree.Element(T + tag)
        )
    else:
        item = _from_mime(content, tag)
    others = [child for child in children(element) if child is not content]
    for child in others:
        set_property(call, item, child)
    _flags(item)
    if item.mime is not None:
        _rewrite(item, [soap.local(child) for child in others])
    if call.quirks.ignores_inline_attachments and content is None:
        item.attachments = []
    return item


def _rewrite(item: NewItem, names: Sequence[str]) -> None:
    """Bring MIME content up to the properties that were given beside it."""
    assert item.mime is not None
    if headers := [name for name in names if name in mimes.HEADER_OF]:
        item.mime = mimes.rewritten(item.mime, item.element, headers)
        item.size = len(item.mime)
    if "Body" in names:
        item.mime_is_current = False


def _from_mime(content: Element, tag: str) -> NewItem:
    mime = binary(content.text, "ErrorMimeContentInvalidBase64String")
    item = mimes.read(mime)
    if tag not in ("Message", "Item") and tag != item.tag:
        raise Refusal("ErrorMimeContentConversionFailed", f"This MIME content is no {tag}.")
    return item


def _flags(item: NewItem) -> None:
    """MAPI's message flags and delivery time can be given at creation alone."""
    flags = item.extended.pop(extended.MESSAGE_FLAGS, None)
    item.is_draft = item.tag == "Message"
    if flags and flags[0].isdigit():
        item.is_draft = bool(int(flags[0]) & 8)
        item.is_read = bool(int(flags[0]) & 1)
    delivered = item.extended.pop(extended.DELIVERY_TIME, None)
    item.received_at = soap.moment(delivered[0]) if delivered else None


def set_property(call: Call, item: Item | NewItem, given: Element) -> None:
    """Raises Refusal for what only the server writes, SoapFault for what this kind of item hasn't."""
    name = soap.local(given)
    if name == "ExtendedProperty":
        path, values = extended.read_values(given)
        extended.set_values(item, path, values)
        return
    path_name = path_of(item.tag, name)
    if path_name is None or given.tag != T + name:
        raise schema(f"The element '{item.tag}' has invalid child element '{name}'.", given)
    if name in READ_ONLY and name not in ("DateTimeReceived", "DateTimeSent"):
        raise Refusal("ErrorInvalidPropertySet", f"Set action is invalid for property {path_name}.")
    special = SPECIAL.get(name)
    if special is not None:
        special(call, item, given)
    elif name in BOOLEANS:
        replace(item.element, make(given.tag, soap.boolean(truth(given.text))))
    else:
        replace(item.element, given)


def path_of(tag: str, name: str) -> str | None:
    return next((path for path in paths.BY_TAG[tag] if paths.element_name(path) == name), None)


def replace(element: Element, given: Element) -> None:
    """A copy of `given` instead of whatever there is of its name. Empty text takes it away."""
    for old in element.findall(given.tag):
        element.remove(old)
    element.append(etree.fromstring(etree.tostring(given, with_tail=False)))


def _set_class(call: Call, item: Item | NewItem, given: Element) -> None:
    item.item_class = given.text or item.item_class


def _set_categories(call: Call, item: Item | NewItem, given: Element) -> None:
    item.categories = [name.text or "" for name in children(given)]


def _set_read(call: Call, item: Item | NewItem, given: Element) -> None:
    item.is_read = truth(given.text)


def _set_mime(call: Call, item: Item | NewItem, given: Element) -> None:
    if isinstance(item, NewItem):
        return
    mime = binary(given.text, "ErrorMimeContentInvalidBase64String")
    read = mimes.read(mime)
    for child in children(read.element):
        replace(item.element, child)
    for old in call.store.attachments(item.id):
        call.store.remove_attachment(old.id)
    for attachment in read.attachments:
        call.store.add_attachment(item, attachment)
    item.size = len(mime)
    call.store.set_mime(item.id, mime)
    item.mime_is_current = True


def _set_attachments(call: Call, item: Item | NewItem, given: Element) -> None:
    if not isinstance(item, NewItem):
        raise Refusal("ErrorInvalidPropertySet", "Attachments have operations of their own.")
    item.attachments = [*item.attachments, *(read_attachment(call, one) for one in children(given))]
    item.mime_is_current = False


def _set_attendees(call: Call, item: Item | NewItem, given: Element) -> None:
    """What they answered is the server's to say."""
    appointments.set_attendees(item, given)


def _ignore(call: Call, item: Item | NewItem, given: Element) -> None:
    """The server knows better."""


SPECIAL: dict[str, Callable[[Call, Item | NewItem, Element], None]] = {
    "ItemClass": _set_class,
    "Categories": _set_categories,
    "IsRead": _set_read,
    "MimeContent": _set_mime,
    "Attachments": _set_attachments,
    "DateTimeReceived": _ignore,
    "DateTimeSent": _ignore,
    **dict.fromkeys(appointments.ATTENDEES, _set_attendees),
}


def read_attachment(call: Call, element: Element) -> Attachment:
    """Of a t:FileAttachment or t:ItemAttachment with its content. Raises Refusal."""
    name = element.findtext(f"{T}Name") or ""
    if element.tag == f"{T}FileAttachment":
        attachment = Attachment(
            "FileAttachment",
            name,
            binary(element.findtext(f"{T}Content"), "ErrorCorruptData"),
            content_type=element.findtext(f"{T}ContentType") or "application/octet-stream",
            content_id=element.findtext(f"{T}ContentId") or "",
            is_inline=truth(element.findtext(f"{T}IsInline")),
        )
    elif element.tag == f"{T}ItemAttachment":
        attachment = _item_attachment(call, name, element)
    else:
        raise schema(f"'{soap.local(element)}' is no attachment.", element)
    if len(attachment.content) > call.quirks.max_attachment_bytes:
        raise Refusal("ErrorAttachmentSizeLimitExceeded", "The attachment is too large.")
    return attachment


def _item_attachment(call: Call, name: str, element: Element) -> Attachment:
    inner = [child for child in children(element) if soap.local(child) in paths.ITEM_TAGS]
    if not inner:
        raise Refusal("ErrorMissingItemForCreateItemAttachment", "The attached item is missing.")
    item = given(call, inner[0])
    return Attachment(
        "ItemAttachment",
        name,
        item.mime or b"",
        content_type="message/rfc822",
        properties=etree.tostring(item.element),
    )


def complete(call: Call, item: NewItem, owner: Account) -> None:
    """Give an item what every stored one of its kind has: ids, sender, times, a size. Raises Refusal."""
    if item.tag in WITH_MIME:
        _complete_message(call, item, owner)
    else:
        settle(item, owner, _order(item), appointments.context_zone(call.request))
    if not item.size:
        item.size = len(etree.tostring(item.element)) + sum(
            len(one.content) for one in item.attachments
        )


def _order(item: NewItem) -> list[str]:
    """The paths of what it was given, as they came."""
    return [path for child in item.element if (path := path_of(item.tag, soap.local(child)))]


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


def _complete_message(call: Call, item: NewItem, owner: Account) -> None:
    now = datetime.now(UTC)
    _give(item, "InternetMessageId", lambda: mimes.new_message_id(owner.address))
    _give(
        item,
        "ConversationTopic",
        lambda: mimes.topic(item.element.findtext(f"{T}Subject") or ""),
    )
    _give(item, "ConversationIndex", lambda: mimes.new_conversation_index(now))
    _give(item, "DateTimeSent", lambda: stamp(now))
    if item.received_at is None and not call.quirks.no_received_time:
        item.received_at = now
    if item.mime is not None:
        item.mime = mimes.completed(item.mime, item.element)


def _give(item: NewItem, name: str, make_value: Callable[[], str]) -> None:
    if not item.element.findtext(T + name):
        replace(item.element, make(T + name, make_value()))


def require_fitting(folder: Folder, item: NewItem) -> None:
    """Raises Refusal if this kind of item has no place in this kind of folder."""
    _, wanted = paths.CLASS_OF_TAG[item.tag]
    fits = folder.folder_class.startswith(wanted) or (
        item.tag == "PostItem" and not folder.folder_class
    )
    if item.tag in WRONG_FOLDER and not fits:
        raise Refusal(WRONG_FOLDER[item.tag])


def default_folder(call: Call, item: NewItem) -> Folder:
    """Where an item goes that was given no folder."""
    home = call.home()
    names = {"IPF.Appointment": "calendar", "IPF.Contact": "contacts", "IPF.Task": "tasks"}
    name = names.get(paths.CLASS_OF_TAG[item.tag][1], "drafts")
    folder = call.store.distinguished(home.guid, name)
    assert folder is not None
    return folder


# -- single changes --------------------------------------------------------------------------------


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
    told = _told(call) if item.tag == "CalendarItem" else meetings.NOBODY
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


def _told(call: Call) -> str:
    if call.request.get("SendMeetingInvitationsOrCancellations") is None:
        raise Refusal("ErrorSendMeetingInvitationsOrCancellationsRequired")
    return soap.attribute(call.request, "SendMeetingInvitationsOrCancellations", meetings.UPDATES)


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


def complete_delivered(item: NewItem) -> None:
    """What mail from elsewhere lacks that every stored message has."""
    _give(item, "InternetMessageId", lambda: mimes.new_message_id("localhost@localhost"))
    _give(
        item, "ConversationTopic", lambda: mimes.topic(item.element.findtext(f"{T}Subject") or "")
    )
