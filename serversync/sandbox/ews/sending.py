"""CreateItem and SendItem: what is saved, what is sent, and what of it is kept.

Mail goes to `Site.accept_mail`, which knows all accounts of the sandbox and the world outside.
"""

from datetime import UTC, datetime
from email.utils import format_datetime

from serversync.sandbox.ews import meetings, mimes, soap
from serversync.sandbox.ews.call import Call, ids, operation
from serversync.sandbox.ews.meetings import organizing, responding
from serversync.sandbox.ews.properties import mime_of, named_headers, only_id
from serversync.sandbox.ews.rights import Right, require_room, require_sender
from serversync.sandbox.ews.soap import (
    Element,
    M,
    Refusal,
    T,
    attribute,
    children,
    make,
    stamp,
    truth,
)
from serversync.sandbox.ews.store import Account, Folder, Item, NewItem
from serversync.sandbox.ews.writing import complete, default_folder, given, replace, require_fitting

DISPOSITIONS = ("SaveOnly", "SendOnly", "SendAndSaveCopy")


@operation("CreateItem")
def create_item(call: Call) -> Element:
    disposition = call.request.get("MessageDisposition")
    if disposition is not None:
        attribute(call.request, "MessageDisposition", DISPOSITIONS)

    def create(element: Element) -> list[Element]:
        if responding.is_reply(element):
            return responding.reply(call, element, disposition or "SendAndSaveCopy")
        item = given(call, element)
        if item.tag == "CalendarItem":
            return [make(f"{M}Items", only_id(_save_appointment(call, item, _invited(call))))]
        if item.tag == "Message":
            if disposition is None:
                raise Refusal("ErrorMessageDispositionRequired")
            if disposition != "SaveOnly":
                _send_new(call, item, disposition)
                return [make(f"{M}Items")]
        return [make(f"{M}Items", only_id(_save(call, item)))]

    return call.each(children(soap.required(call.request, f"{M}Items")), create, f"{M}Items")


def _save_appointment(call: Call, item: NewItem, whom: str) -> Item:
    organizing.prepare_new(item, whom)
    saved = _save(call, item)
    organizing.created(call.site, saved, whom)
    return saved


def _invited(call: Call) -> str:
    if call.request.get("SendMeetingInvitations") is None:
        raise Refusal("ErrorSendMeetingInvitationsRequired")
    return attribute(call.request, "SendMeetingInvitations", meetings.INVITATIONS)


def saved_folder(call: Call) -> Folder | None:
    """Of m:SavedItemFolderId. Raises Refusal."""
    if call.request.find(f"{M}SavedItemFolderId") is None:
        return None
    try:
        return call.inner_folder(call.request, f"{M}SavedItemFolderId", Right.WRITE)
    except Refusal as refusal:
        if refusal.code == "ErrorFolderNotFound":
            raise Refusal(
                "ErrorSavedItemFolderNotFound", "The folder to save in does not exist."
            ) from refusal
        raise


def _save(call: Call, item: NewItem) -> Item:
    folder = saved_folder(call) or default_folder(call, item)
    owner = call.store.account_of(folder.account)
    assert owner is not None
    require_fitting(folder, item)
    complete(call, item, owner)
    require_size(call, item.size)
    require_room(call, owner, item.size)
    return call.store.add_item(folder, item)


def require_size(call: Call, size: int) -> None:
    if size > call.quirks.max_message_bytes:
        raise Refusal("ErrorMessageSizeExceeded", "The message exceeds the maximum supported size.")


def _send_new(call: Call, item: NewItem, disposition: str) -> None:
    """The copy is kept by another step of the server, so nothing tells its id."""
    folder = saved_folder(call) if disposition == "SendAndSaveCopy" else None
    owner = _owner(call, folder)
    if disposition == "SendAndSaveCopy" and folder is None:
        folder = call.store.distinguished(owner.guid, "sentitems")
    changed = prepare(call, item, owner)
    complete(call, item, owner)
    mime = mimes.rewritten(composed(item), item.element, changed)
    submit(call, item, mime, owner)
    if folder is None or call.quirks.no_sent_copy:
        return
    item.is_draft, item.is_read = False, True
    item.mime, item.mime_is_current, item.size = mime, True, len(mime)
    call.store.add_item(folder, item)


def _owner(call: Call, folder: Folder | None) -> Account:
    """Whose mailbox a message is sent from: that of the folder which keeps it. Raises Refusal."""
    owner = call.store.account_of(folder.account) if folder else None
    return owner or call.home()


def composed(item: NewItem) -> bytes:
    """As uploaded where that still holds, else of the properties."""
    if item.mime is not None and item.mime_is_current:
        return item.mime
    others = mimes.other_headers(item.mime) if item.mime else []
    return mimes.compose(
        item.element,
        item.attachments,
        categories=item.categories,
        headers=others + named_headers(item.extended),
    )


def prepare(call: Call, item: NewItem | Item, owner: Account) -> list[str]:
    """Who sends it, and when; returns the properties that were changed for it. Raises Refusal if whoever
    acts may not send as the one that it names."""
    changed = []
    named = mimes.mailboxes(item.element, "From")
    if not named:
        named = [(owner.name, owner.address)]
        replace(item.element, make(f"{T}From", mimes.mailbox(*named[0])))
        changed.append("From")
    address = named[0][1]
    on_behalf = require_sender(call, call.store.account(address), address)
    sender = (call.actor.name, call.actor.address) if on_behalf and call.actor else named[0]
    if mimes.mailboxes(item.element, "Sender") != [sender]:
        replace(item.element, make(f"{T}Sender", mimes.mailbox(*sender)))
        changed += ["Sender"] if on_behalf else []
    if not item.mime_is_current:
        replace(item.element, make(f"{T}DateTimeSent", stamp(datetime.now(UTC))))
        changed.append("DateTimeSent")
    return changed


def recipients(item: NewItem | Item) -> list[str]:
    """Raises Refusal if there are none, or one that is no address."""
    found: list[str] = []
    for tag in ("ToRecipients", "CcRecipients", "BccRecipients"):
        found += [address for _, address in mimes.mailboxes(item.element, tag)]
    if not found:
        raise Refusal("ErrorMissingRecipients", "The message has no recipients.")
    if wrong := [address for address in found if not _is_address(address)]:
        raise Refusal("ErrorInvalidRecipients", f"At least one recipient is not valid: {wrong[0]}")
    return list(dict.fromkeys(found))


def _is_address(text: str) -> bool:
    local, at, domain = text.rpartition("@")
    return bool(local and at and domain) and not set(text) & set(" \t\r\n<>,;")


def submit(call: Call, item: NewItem | Item, mime: bytes, owner: Account) -> None:
    """Hand the message over to everybody. Raises Refusal before anybody has it."""
    to = recipients(item)
    require_size(call, len(mime))
    if not owner.may_submit:
        raise Refusal("ErrorSubmissionQuotaExceeded")
    ((_, sender), *_) = mimes.mailboxes(item.element, "From")
    call.site.accept_mail(sender, to, on_its_way(call, mime))


def on_its_way(call: Call, mime: bytes) -> bytes:
    """Without blind copies, and with the trace of this server."""
    trace = f"from {call.site.host} by {call.site.host} with HTTPS; {format_datetime(datetime.now(UTC))}"
    return mimes.with_header(mimes.without_bcc(mime), "Received", trace)


@operation("SendItem")
def send_item(call: Call) -> Element:
    keep = truth(attribute(call.request, "SaveItemToFolder"))
    if not keep and call.request.find(f"{M}SavedItemFolderId") is not None:
        raise Refusal("ErrorInvalidSendItemSaveSettings")

    def send(wanted: Element) -> list[Element]:
        item = call.item(wanted, Right.WRITE)
        if item.tag != "Message":
            raise Refusal("ErrorInvalidItemForOperationSendItem")
        if call.is_stale(wanted, item):
            raise Refusal("ErrorIrresolvableConflict")
        _send_saved(call, item, keep)
        return []

    return call.each(ids(call.request), send)


def _send_saved(call: Call, item: Item, keep: bool) -> None:
    folder = None
    if keep:
        folder = saved_folder(call) or call.store.distinguished(item.account, "sentitems")
    owner = call.store.account_of(item.account)
    assert owner is not None
    changed = prepare(call, item, owner)
    mime = mimes.rewritten(mime_of(call, item), item.element, changed)
    submit(call, item, mime, owner)
    if call.quirks.draft_stays:
        return
    item.is_draft, item.is_read, item.size = False, True, len(mime)
    call.store.set_mime(item.id, mime)
    item.mime_is_current = True
    sent = call.store.change_item(item)
    if folder is None:
        call.store.remove_item(sent)
    elif folder.id != sent.folder:
        call.store.move_item(sent, folder, keep_id=call.quirks.immutable_ids)
