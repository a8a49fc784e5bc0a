"""What an item shows of itself: the shape that a request asks for, and where each property's value is from.

Most properties are in the item's own element as they were given. The others are worked out: those in
`WORKED_OUT`, from the columns of the row, its attachments and its MIME.
"""

import base64
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from lxml import etree

from serversync.sandbox.ews import appointments, mimes, occurrences, paths, rights, versions
from serversync.sandbox.ews.call import Call
from serversync.sandbox.ews.extended import (
    SETS,
    TRANSPORT_HEADERS,
    ExtendedPath,
    header_name,
    read_extended_path,
    shown_extended,
    values_of,
)
from serversync.sandbox.ews.ids import Kind, RemoteId
from serversync.sandbox.ews.soap import (
    Element,
    M,
    Refusal,
    T,
    attribute,
    boolean,
    children,
    make,
    schema,
    stamp,
)
from serversync.sandbox.ews.store import Attachment, Item, Store


@dataclass
class Shape:
    """`is_list`: for FindItem and SyncFolderItems, which have not all properties."""

    base: str = "IdOnly"
    fields: set[str] = field(default_factory=set)
    indexed: list[tuple[str, str]] = field(default_factory=list)
    extended: list[ExtendedPath] = field(default_factory=list)
    with_mime: bool = False
    body_type: str = "Best"
    is_list: bool = False
    _known: dict[str, list[str]] = field(default_factory=dict)

    def paths_for(self, tag: str) -> list[str]:
        """In the order of the schema. Those that this kind of item doesn't have are left out."""
        if tag not in self._known:
            self._known[tag] = self._paths_for(tag)
        return self._known[tag]

    def _paths_for(self, tag: str) -> list[str]:
        place = paths.PLACE[tag]
        if self.base == "AllProperties":
            wanted = (
                set(place) - {"item:MimeContent", "item:TextBody", "item:UniqueBody"} | self.fields
            )
        elif self.base == "Default":
            wanted = set(paths.default_paths(tag)) | self.fields
        else:
            wanted = set(self.fields)
        if self.with_mime:
            wanted.add("item:MimeContent")
        if self.is_list:
            wanted -= paths.ONLY_FROM_GET_ITEM
        return sorted((path for path in wanted if path in place), key=place.__getitem__)


def read_shape(call: Call, tag: str = f"{M}ItemShape", *, is_list: bool = False) -> Shape:
    """Raises SoapFault for what the schema doesn't know."""
    element = call.request.find(tag)
    if element is None:
        raise schema(f"'{etree.QName(tag).localname}' is missing.", call.request)
    shape = Shape(base=element.findtext(f"{T}BaseShape") or "", is_list=is_list)
    if shape.base not in ("IdOnly", "Default", "AllProperties"):
        raise schema(
            f"The 'BaseShape' element is invalid - the value '{shape.base}' is invalid.", element
        )
    shape.with_mime = (element.findtext(f"{T}IncludeMimeContent") or "") in ("true", "1")
    shape.body_type = element.findtext(f"{T}BodyType") or "Best"
    for path in children(element.find(f"{T}AdditionalProperties")):
        _add_path(call, shape, path)
    return shape


def _add_path(call: Call, shape: Shape, path: Element) -> None:
    if path.tag == f"{T}ExtendedFieldURI":
        shape.extended.append(read_extended_path(path))
    elif path.tag == f"{T}IndexedFieldURI":
        shape.indexed.append(read_indexed(path))
    else:
        shape.fields.add(read_field(path, call.schema))


def read_field(path: Element, version: str) -> str:
    """The path of a t:FieldURI. Raises SoapFault."""
    if path.tag != f"{T}FieldURI":
        raise schema(f"'{etree.QName(path).localname}' is no path to a property.", path)
    name = attribute(path, "FieldURI")
    since = versions.FIELD_SINCE.get(name)
    if name not in paths.KNOWN or (since and versions.is_older(version, since)):
        raise schema(f"The 'FieldURI' attribute is invalid - the value '{name}' is invalid.", path)
    return name


def read_indexed(path: Element) -> tuple[str, str]:
    name = attribute(path, "FieldURI", paths.INDEXED)
    return name, attribute(path, "FieldIndex")


# -- showing ---------------------------------------------------------------------------------------


def shown(call: Call, item: Item, shape: Shape) -> Element:
    """The item's element with its id and what the shape asks for."""
    element = make(T + item.tag, item_id(item))
    for path in shape.paths_for(item.tag):
        if path == "item:MimeContent":
            element[:0] = _mime_content(call, item, shape)
        elif path != "item:ItemId":
            element.extend(value(call, item, path, shape))
    for path, index in shape.indexed:
        for holder in _indexed(call, item, path, index):
            _merge(element, holder)
    for wanted in shape.extended:
        if values := extended_values(call, item, wanted):
            element.append(shown_extended(wanted, values))
    return element


def _mime_content(call: Call, item: Item, shape: Shape) -> list[Element]:
    """Kinds without MIME refuse it where it is asked for by itself, and leave it out of a list of paths."""
    if item.tag not in WITH_MIME and not shape.with_mime and call.store.mime(item.id) is None:
        return []
    return [make(f"{T}MimeContent", _base64(mime_of(call, item)), CharacterSet="UTF-8")]


def item_id(item: Item) -> Element:
    return make(f"{T}ItemId", Id=item.remote_id, ChangeKey=item.change_key)


def only_id(item: Item) -> Element:
    return make(T + item.tag, item_id(item))


def value(call: Call, item: Item, path: str, shape: Shape | None = None) -> list[Element]:
    """The elements of one property; none if the item doesn't have it."""
    shape = shape or Shape()
    if (work_out := WORKED_OUT.get(path)) is not None:
        return [found for found in work_out(call, item, shape) if found is not None]
    name = paths.element_name(path)
    stored = item.element.find(T + name)
    if stored is None:
        default = DEFAULT_VALUES.get(path)
        return [make(T + name, default)] if default is not None else []
    return [etree.fromstring(etree.tostring(stored, with_tail=False))]


def _indexed(call: Call, item: Item, path: str, index: str) -> list[Element]:
    """The holder with the one entry that was asked for."""
    if path == "item:InternetMessageHeader":
        entries = [
            entry
            for entry in _headers(call, item)
            if (entry.get("HeaderName") or "").lower() == index.lower()
        ]
        return [make(f"{T}InternetMessageHeaders", *entries)] if entries else []
    holder, _ = paths.INDEXED[path]
    entry = item.element.find(f"{T}{holder}/{T}Entry[@Key='{index}']") if "'" not in index else None
    if entry is None:
        return []
    return [make(T + holder, etree.fromstring(etree.tostring(entry, with_tail=False)))]


def _merge(element: Element, holder: Element) -> None:
    """One holder for all entries, each entry once, whatever parts of it were asked for."""
    kept = element.find(holder.tag)
    if kept is None:
        element.append(holder)
        return
    known = {(entry.get("Key"), entry.get("HeaderName")) for entry in kept}
    kept.extend(
        entry for entry in holder if (entry.get("Key"), entry.get("HeaderName")) not in known
    )


def extended_values(call: Call, item: Item, path: ExtendedPath) -> list[str]:
    """Given ones, those that mirror a property, and headers of the MIME."""
    if values := values_of(item, path):
        return values
    name = header_name(path)
    if name is None and path.key != TRANSPORT_HEADERS:
        return []
    mime = call.store.mime(item.id)
    if mime is None:
        return []
    if name is None:
        return [mime.partition(b"\r\n\r\n")[0].decode("utf-8", "replace")]
    value = mimes.header(mimes.parse(mime), name)
    return [value] if value else []


WorkOut = Callable[[Call, Item, Shape], Iterable[Element | None]]


def _parent(call: Call, item: Item, _: Shape) -> list[Element]:
    folder = call.store.folder(item.folder)
    assert folder is not None
    return [make(f"{T}ParentFolderId", Id=folder.remote_id, ChangeKey=folder.change_key)]


def _body(call: Call, item: Item, shape: Shape) -> list[Element]:
    body = item.element.find(f"{T}Body")
    if body is None:
        return []
    kind, text = body.get("BodyType", "Text"), body.text or ""
    if shape.body_type == "Text" and kind == "HTML":
        kind, text = "Text", plain(text)
    elif shape.body_type == "HTML" and kind == "Text":
        kind, text = "HTML", f"<html><body><pre>{_escaped(text)}</pre></body></html>"
    return [make(f"{T}Body", text, BodyType=kind)]


def _text_body(call: Call, item: Item, _: Shape) -> list[Element]:
    found = _body(call, item, Shape(body_type="Text"))
    return [make(f"{T}TextBody", found[0].text or "", BodyType="Text")] if found else []


def _unique_body(call: Call, item: Item, shape: Shape) -> list[Element]:
    found = _body(call, item, shape)
    return (
        [make(f"{T}UniqueBody", found[0].text, BodyType=found[0].get("BodyType", "Text"))]
        if found
        else []
    )


def _attachments(call: Call, item: Item, _: Shape) -> list[Element]:
    """Files first, then items, each without its content."""
    found = call.store.attachments(item.id)
    if not found:
        return []
    ordered = sorted(found, key=lambda attachment: attachment.tag != "FileAttachment")
    return [make(f"{T}Attachments", *(shown_attachment(call, item, one) for one in ordered))]


def shown_attachment(call: Call, item: Item, attachment: Attachment, *content: Element) -> Element:
    is_file = attachment.tag == "FileAttachment"
    return make(
        T + attachment.tag,
        make(f"{T}AttachmentId", Id=str(RemoteId(Kind.ATTACHMENT, item.account, attachment.id))),
        make(f"{T}Name", attachment.name),
        make(f"{T}ContentType", attachment.content_type),
        make(f"{T}ContentId", attachment.content_id) if attachment.content_id else None,
        make(f"{T}Size", str(len(attachment.content) or len(attachment.properties or b""))),
        make(f"{T}LastModifiedTime", stamp(attachment.modified_at, call.quirks.fraction_digits)),
        make(f"{T}IsInline", boolean(attachment.is_inline)),
        make(f"{T}IsContactPhoto", "false") if is_file else None,
        *content,
    )


def _time(name: str, of: Callable[[Item], object]) -> WorkOut:
    def work_out(call: Call, item: Item, _: Shape) -> list[Element]:
        moment = of(item)
        return [make(T + name, stamp(moment, call.quirks.fraction_digits))] if moment else []  # type: ignore[arg-type]

    return work_out


def _flag(name: str, of: Callable[[Call, Item], bool]) -> WorkOut:
    return lambda call, item, _: [make(T + name, boolean(of(call, item)))]


def _received(call: Call, item: Item, _: Shape) -> list[Element]:
    if item.received_at is None:
        return []
    return [make(f"{T}DateTimeReceived", stamp(item.received_at, call.quirks.fraction_digits))]


def _categories(call: Call, item: Item, _: Shape) -> list[Element]:
    return (
        [make(f"{T}Categories", *(make(f"{T}String", name) for name in item.categories))]
        if item.categories
        else []
    )


def _headers(call: Call, item: Item) -> list[Element]:
    mime = call.store.mime(item.id)
    pairs = mimes.parse(mime).items() if mime else []
    return [
        make(f"{T}InternetMessageHeader", re.sub(r"\r?\n[ \t]*", " ", str(value)), HeaderName=name)
        for name, value in pairs
        if name.isascii()
    ]


def _internet_headers(call: Call, item: Item, _: Shape) -> list[Element]:
    found = _headers(call, item)
    return [make(f"{T}InternetMessageHeaders", *found)] if found else []


def _display(name: str, tag: str) -> WorkOut:
    def work_out(call: Call, item: Item, _: Shape) -> list[Element]:
        people = mimes.mailboxes(item.element, tag)
        return [make(T + name, "; ".join(shown or address for shown, address in people))]

    return work_out


def _person(tag: str) -> WorkOut:
    """Lists give no more of it than the name."""

    def work_out(call: Call, item: Item, shape: Shape) -> list[Element]:
        people = mimes.mailboxes(item.element, tag)
        if not people:
            return []
        name, address = people[0]
        if shape.is_list:
            return [make(T + tag, make(f"{T}Mailbox", make(f"{T}Name", name or address)))]
        return [make(T + tag, mimes.mailbox(name, address))]

    return work_out


def _effective_rights(call: Call, item: Item, _: Shape) -> list[Element]:
    folder, owner = call.store.folder(item.folder), call.store.account_of(item.account)
    assert folder is not None and owner is not None
    return [rights.effective_rights(rights.held(call.store, owner, call.actor_address, folder))]


def _is_from_me(call: Call, item: Item) -> bool:
    owner = call.store.account_of(item.account)
    sender = mimes.mailboxes(item.element, "From")
    return bool(owner and sender and sender[0][1].lower() == owner.address)


def _conversation_id(call: Call, item: Item, _: Shape) -> list[Element]:
    return [make(f"{T}ConversationId", Id=mimes.conversation_id(item.element))]


def _flag_status(call: Call, item: Item, _: Shape) -> list[Element]:
    stored = item.element.find(f"{T}Flag")
    if stored is not None:
        return [etree.fromstring(etree.tostring(stored, with_tail=False))]
    return [make(f"{T}Flag", make(f"{T}FlagStatus", "NotFlagged"))]


def _preview(call: Call, item: Item, _: Shape) -> list[Element]:
    text = "".join(body.text or "" for body in _body(call, item, Shape(body_type="Text")))
    return [make(f"{T}Preview", " ".join(text.split())[:255])]


def _of_series(tell: Callable[[Store, Item], list[Element]]) -> WorkOut:
    """What only a series has."""

    def work_out(call: Call, item: Item, _: Shape) -> list[Element]:
        is_series = item.tag == "CalendarItem" and item.element.find(f"{T}Recurrence") is not None
        return tell(call.store, item) if is_series else []

    return work_out


def _duration(call: Call, item: Item, _: Shape) -> list[Element]:
    found = appointments.duration(item)
    return [make(f"{T}Duration", found)] if found else []


def _is_organizer(call: Call, item: Item, _: Shape) -> list[Element]:
    return [make(f"{T}IsOrganizer", boolean(appointments.is_organizers(item)))]


WORKED_OUT: Mapping[str, WorkOut] = {
    "item:ParentFolderId": _parent,
    "item:ItemClass": lambda call, item, _: [make(f"{T}ItemClass", item.item_class)],
    "item:Body": _body,
    "item:TextBody": _text_body,
    "item:UniqueBody": _unique_body,
    "item:Attachments": _attachments,
    "item:DateTimeReceived": _received,
    "item:Size": lambda call, item, _: [make(f"{T}Size", str(item.size))],
    "item:Categories": _categories,
    "item:IsSubmitted": _flag("IsSubmitted", lambda call, item: False),
    "item:IsDraft": _flag("IsDraft", lambda call, item: item.is_draft),
    "item:IsFromMe": _flag("IsFromMe", _is_from_me),
    "item:IsResend": _flag("IsResend", lambda call, item: False),
    "item:IsUnmodified": _flag(
        "IsUnmodified", lambda call, item: item.content_changed == item.created
    ),
    "item:InternetMessageHeaders": _internet_headers,
    "item:DateTimeCreated": _time("DateTimeCreated", lambda item: item.created_at),
    "item:DisplayCc": _display("DisplayCc", "CcRecipients"),
    "item:DisplayTo": _display("DisplayTo", "ToRecipients"),
    "item:HasAttachments": _flag(
        "HasAttachments", lambda call, item: call.store.has_attachments(item.id)
    ),
    "item:EffectiveRights": _effective_rights,
    "item:LastModifiedTime": _time("LastModifiedTime", lambda item: item.modified_at),
    "item:IsAssociated": _flag("IsAssociated", lambda call, item: item.is_associated),
    "item:ConversationId": _conversation_id,
    "item:Flag": _flag_status,
    "item:Preview": _preview,
    "calendar:Duration": _duration,
    "calendar:IsOrganizer": _is_organizer,
    "calendar:FirstOccurrence": _of_series(occurrences.shown_first),
    "calendar:LastOccurrence": _of_series(occurrences.shown_last),
    "calendar:ModifiedOccurrences": _of_series(occurrences.shown_modified),
    "calendar:DeletedOccurrences": _of_series(occurrences.shown_deleted),
    "message:From": _person("From"),
    "message:Sender": _person("Sender"),
    "message:IsRead": _flag("IsRead", lambda call, item: item.is_read),
}
#: What an item has that was given none.
DEFAULT_VALUES = {
    "item:Sensitivity": "Normal",
    "item:Importance": "Normal",
    "item:ReminderIsSet": "false",
    "item:Culture": "en-US",
    "message:IsReadReceiptRequested": "false",
    "message:IsDeliveryReceiptRequested": "false",
    "calendar:CalendarItemType": "Single",
    "calendar:LegacyFreeBusyStatus": "Busy",
    "calendar:IsAllDayEvent": "false",
    "calendar:IsCancelled": "false",
    "calendar:IsMeeting": "false",
    "task:Status": "NotStarted",
    "task:PercentComplete": "0",
    "task:IsComplete": "false",
}


#: Kinds of items whose properties can be written as MIME.
WITH_MIME = ("Message", "PostItem", "MeetingRequest", "MeetingResponse", "MeetingCancellation")


def mime_of(call: Call, item: Item) -> bytes:
    """The stored bytes while they are true, else written anew."""
    stored = call.store.mime(item.id)
    if stored is not None and item.mime_is_current and not call.quirks.regenerated_mime:
        return stored
    if stored is None and item.tag not in WITH_MIME:
        raise Refusal(
            "ErrorUnsupportedMimeConversion", "This kind of item has no MIME content here."
        )
    keep_unknown = stored is not None and not call.quirks.regenerated_mime
    headers = mimes.other_headers(stored) if keep_unknown and stored else []
    headers = [pair for pair in headers if pair[0].lower() != "keywords"]
    return mimes.compose(
        item.element,
        call.store.attachments(item.id),
        categories=item.categories,
        headers=headers + named_headers(item.extended),
    )


def named_headers(extended: Mapping[str, list[str]]) -> list[tuple[str, str]]:
    """Properties of the set InternetHeaders travel with the message."""
    prefix = f"{SETS['InternetHeaders']}/"
    return [
        (key.removeprefix(prefix).title(), values[0])
        for key, values in extended.items()
        if key.startswith(prefix) and values
    ]


def plain(html: str) -> str:
    text = re.sub(r"(?is)<(script|style|head)\b.*?</\1>", "", html)
    text = re.sub(r"(?i)<br\s*/?>|</p>|</div>", "\n", text)
    text = re.sub(r"<[^>]*>", "", text)
    for name, character in (
        ("&nbsp;", " "),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", '"'),
        ("&amp;", "&"),
    ):
        text = text.replace(name, character)
    return text.strip()


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
