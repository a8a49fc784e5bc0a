"""Items as clients write them: what CreateItem is given."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from lxml import etree

from serversync.sandbox.ews import (
    appointments,
    extended,
    mimes,
    paths,
    shapes,
    soap,
)
from serversync.sandbox.ews.call import Call
from serversync.sandbox.ews.properties import WITH_MIME
from serversync.sandbox.ews.settling import settle
from serversync.sandbox.ews.soap import (
    Element,
    Refusal,
    T,
    binary,
    children,
    make,
    schema,
    stamp,
    truth,
)
from serversync.sandbox.ews.store import Account, Attachment, Folder, Item, NewItem

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
WRONG_FOLDER = {
    "CalendarItem": "ErrorCannotCreateCalendarItemInNonCalendarFolder",
    "Contact": "ErrorCannotCreateContactInNonContactFolder",
    "DistributionList": "ErrorCannotCreateContactInNonContactFolder",
    "Task": "ErrorCannotCreateTaskInNonTaskFolder",
    "PostItem": "ErrorCannotCreatePostItemInNonMailFolder",
}


def given(call: Call, element: Element) -> NewItem:
    """The item that an element describes: its MIME content first, the other properties over it.
    Raises Refusal."""
    tag = soap.local(element)
    if tag not in paths.ITEM_TAGS:
        raise Refusal("ErrorInvalidItemForOperationCreateItem", f"{tag} can't be created here.")
    shapes.require_item(element)
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
    shapes.require_property(given, call.schema)
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


def complete_delivered(item: NewItem) -> None:
    """What mail from elsewhere lacks that every stored message has."""
    _give(item, "InternetMessageId", lambda: mimes.new_message_id("localhost@localhost"))
    _give(
        item, "ConversationTopic", lambda: mimes.topic(item.element.findtext(f"{T}Subject") or "")
    )
