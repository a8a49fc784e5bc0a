"""GetAttachment, CreateAttachment, DeleteAttachment."""

import base64

from lxml import etree

from serversync.sandbox.ews import mimes, occurrences, paths, soap
from serversync.sandbox.ews.call import Call, ids, operation
from serversync.sandbox.ews.ids import Kind, RemoteId
from serversync.sandbox.ews.properties import shown_attachment
from serversync.sandbox.ews.rights import Right, require_room
from serversync.sandbox.ews.soap import Element, M, Refusal, T, children, make
from serversync.sandbox.ews.store import Attachment, Item
from serversync.sandbox.ews.writing import read_attachment


@operation("GetAttachment")
def get_attachment(call: Call) -> Element:
    shape = call.request.find(f"{M}AttachmentShape")
    with_mime = shape is not None and soap.truth(shape.findtext(f"{T}IncludeMimeContent"))
    for path in shape.iter(f"{T}FieldURI") if shape is not None else []:
        with_mime = with_mime or path.get("FieldURI") == "item:MimeContent"

    def get(wanted: Element) -> list[Element]:
        item, attachment = call.attachment(wanted)
        content = _content(attachment, with_mime)
        return [make(f"{M}Attachments", shown_attachment(call, item, attachment, content))]

    return call.each(ids(call.request, f"{M}AttachmentIds"), get, f"{M}Attachments")


def _content(attachment: Attachment, with_mime: bool) -> Element:
    if attachment.tag == "FileAttachment":
        return make(f"{T}Content", base64.b64encode(attachment.content).decode())
    element = _inner_item(attachment)
    if with_mime:
        mime = attachment.content or mimes.inner_mime(attachment)
        content = make(f"{T}MimeContent", base64.b64encode(mime).decode(), CharacterSet="UTF-8")
        element.insert(0, content)
    return element


def _inner_item(attachment: Attachment) -> Element:
    if attachment.properties:
        return etree.fromstring(attachment.properties)
    try:
        inner = mimes.read(attachment.content)
    except Refusal:
        return make(f"{T}Message")
    inner.element.append(make(f"{T}ItemClass", inner.item_class))
    children_in_order = {path: place for place, path in enumerate(paths.BY_TAG[inner.tag])}
    ordered = sorted(
        children(inner.element), key=lambda child: _place(children_in_order, inner.tag, child)
    )
    inner.element[:] = ordered
    return inner.element


def _place(order: dict[str, int], tag: str, child: Element) -> int:
    name = soap.local(child)
    return next(
        (place for path, place in order.items() if paths.element_name(path) == name), len(order)
    )


@operation("CreateAttachment")
def create_attachment(call: Call) -> Element:
    parent = soap.required(call.request, f"{M}ParentItemId")

    def create(given: Element) -> list[Element]:
        item = call.item(parent, Right.WRITE)
        if isinstance(item, occurrences.Occurrence):
            raise Refusal(
                "ErrorInvalidOperation", "Occurrences have the attachments of the series."
            )
        attachment = read_attachment(call, given)
        owner = call.store.account_of(item.account)
        assert owner is not None
        require_room(call, owner, len(attachment.content))
        number = call.store.add_attachment(item, attachment)
        changed = _touched(call, item, len(attachment.content))
        identity = make(
            f"{T}AttachmentId",
            Id=str(RemoteId(Kind.ATTACHMENT, item.account, number)),
            RootItemId=changed.remote_id,
            RootItemChangeKey=changed.change_key,
        )
        return [make(f"{M}Attachments", make(T + attachment.tag, identity))]

    return call.each(
        children(soap.required(call.request, f"{M}Attachments")), create, f"{M}Attachments"
    )


def _touched(call: Call, item: Item, size: int) -> Item:
    item.mime_is_current = False
    item.size = max(0, item.size + size)
    return call.store.change_item(item, paths=["item:Attachments"])


@operation("DeleteAttachment")
def delete_attachment(call: Call) -> Element:
    def delete(wanted: Element) -> list[Element]:
        item, attachment = call.attachment(wanted, Right.WRITE)
        call.store.remove_attachment(attachment.id)
        changed = _touched(call, item, -len(attachment.content))
        return [
            make(
                f"{M}RootItemId", RootItemId=changed.remote_id, RootItemChangeKey=changed.change_key
            )
        ]

    return call.each(ids(call.request, f"{M}AttachmentIds"), delete)
