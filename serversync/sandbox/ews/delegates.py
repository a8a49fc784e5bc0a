"""Delegates as Outlook manages them, and the small services around a mailbox: free and busy, photo."""

from collections.abc import Callable
from datetime import datetime

from serversync.sandbox.ews import occurrences, soap
from serversync.sandbox.ews.call import Call, operation
from serversync.sandbox.ews.rights import FOLDER_LEVELS, SEND_ON_BEHALF
from serversync.sandbox.ews.soap import (
    Element,
    M,
    Refusal,
    T,
    children,
    make,
    moment,
    required,
    truth,
)
from serversync.sandbox.ews.store import Account, Item

#: Element of the permissions -> the folder that it is about.
FOLDERS = {
    "CalendarFolderPermissionLevel": "calendar",
    "TasksFolderPermissionLevel": "tasks",
    "InboxFolderPermissionLevel": "inbox",
    "ContactsFolderPermissionLevel": "contacts",
    "NotesFolderPermissionLevel": "notes",
    "JournalFolderPermissionLevel": "journal",
}


def _answer(call: Call, messages: list[Element], delivery: bool = True) -> Element:
    """These operations answer without the usual frame."""
    element = make(
        f"{M}{call.operation}Response", make(f"{M}ResponseCode", "NoError"), ResponseClass="Success"
    )
    if messages:
        element.append(make(f"{M}ResponseMessages", *messages))
    if delivery:
        element.append(make(f"{M}DeliverMeetingRequests", "DelegatesAndSendInformationToMe"))
    return element


def _message(refusal: Refusal | None, *content: Element) -> Element:
    if refusal is None:
        return make(
            f"{M}DelegateUserResponseMessageType",
            make(f"{M}ResponseCode", "NoError"),
            *content,
            ResponseClass="Success",
        )
    return make(
        f"{M}DelegateUserResponseMessageType",
        make(f"{M}MessageText", refusal.text),
        make(f"{M}ResponseCode", refusal.code),
        make(f"{M}DescriptiveLinkKey", "0"),
        ResponseClass="Error",
    )


def _failed(call: Call, refusal: Refusal) -> Element:
    return make(
        f"{M}{call.operation}Response",
        make(f"{M}MessageText", refusal.text),
        make(f"{M}ResponseCode", refusal.code),
        make(f"{M}DescriptiveLinkKey", "0"),
        ResponseClass="Error",
    )


def _owner(call: Call) -> Account:
    """The mailbox, which must be one's own. Raises Refusal."""
    owner = call.mailbox(required(call.request, f"{M}Mailbox"))
    if call.actor is None or owner.address != call.actor.address:
        raise Refusal("ErrorAccessDenied")
    return owner


@operation("GetDelegate")
def get_delegate(call: Call) -> Element:
    with_permissions = truth(call.request.get("IncludePermissions"))
    asked = [_holder(one) for one in children(call.request.find(f"{M}UserIds"))]
    try:
        owner = _owner(call)
    except Refusal as refusal:
        return _failed(call, refusal)
    known = _delegates(call, owner)
    messages = []
    for holder in asked or known:
        if holder in known:
            messages.append(_message(None, _shown(call, owner, holder, with_permissions)))
        else:
            messages.append(_message(Refusal("ErrorNotDelegate", "This user is no delegate.")))
    return _answer(call, messages)


def _delegates(call: Call, owner: Account) -> list[str]:
    return [
        holder for holder, level in call.store.grants_on(owner.address) if level == SEND_ON_BEHALF
    ]


def _shown(call: Call, owner: Account, holder: str, with_permissions: bool) -> Element:
    known = call.store.account(holder)
    user = make(
        f"{T}UserId",
        make(f"{T}PrimarySmtpAddress", holder),
        make(f"{T}DisplayName", known.name if known else holder),
    )
    permissions = None
    if with_permissions:
        levels = (make(T + tag, _level(call, owner, holder, name)) for tag, name in FOLDERS.items())
        permissions = make(f"{T}DelegatePermissions", *levels)
    return make(
        f"{M}DelegateUser",
        user,
        permissions,
        make(f"{T}ReceiveCopiesOfMeetingMessages", "false"),
        make(f"{T}ViewPrivateItems", "false"),
    )


def _level(call: Call, owner: Account, holder: str, name: str) -> str:
    folder = call.store.distinguished(owner.guid, name)
    levels = call.store.levels(owner.address, holder, folder.id) if folder else set()
    return max(levels & set(FOLDER_LEVELS), key=lambda level: FOLDER_LEVELS[level], default="None")


def _holder(user: Element) -> str:
    return (user.findtext(f"{T}PrimarySmtpAddress") or "").strip().lower()


@operation("AddDelegate")
def add_delegate(call: Call) -> Element:
    return _change(call, _add)


@operation("UpdateDelegate")
def update_delegate(call: Call) -> Element:
    return _change(call, _update)


def _change(call: Call, act: Callable[[Call, Account, str], None]) -> Element:
    try:
        owner = _owner(call)
    except Refusal as refusal:
        return _failed(call, refusal)
    messages = []
    for given in children(required(call.request, f"{M}DelegateUsers")):
        try:
            holder = _holder(required(given, f"{T}UserId"))
            with call.store.writing():
                act(call, owner, holder)
                _set_levels(call, owner, holder, given)
            messages.append(_message(None, _shown(call, owner, holder, True)))
        except Refusal as refusal:
            messages.append(_message(refusal))
    return _answer(call, messages)


def _add(call: Call, owner: Account, holder: str) -> None:
    if call.store.account(holder) is None:
        raise Refusal(
            "ErrorDelegateNoUser", "The delegate does not map to a user in the directory."
        )
    if holder == owner.address:
        raise Refusal("ErrorDelegateCannotAddOwner", "The owner can't be a delegate.")
    if holder in _delegates(call, owner):
        raise Refusal("ErrorDelegateAlreadyExists", "This user is a delegate already.")
    call.store.grant(owner.address, holder, SEND_ON_BEHALF)


def _update(call: Call, owner: Account, holder: str) -> None:
    if holder not in _delegates(call, owner):
        raise Refusal("ErrorNotDelegate", "This user is no delegate.")


def _set_levels(call: Call, owner: Account, holder: str, given: Element) -> None:
    permissions = given.find(f"{T}DelegatePermissions")
    for tag, name in FOLDERS.items():
        level = None if permissions is None else permissions.findtext(T + tag)
        folder = call.store.distinguished(owner.guid, name)
        if level is None or folder is None:
            continue
        if level not in ("None", "Reviewer", "Author", "Editor", "Custom"):
            raise Refusal("ErrorInvalidDelegatePermission", f"{level} is no level of a delegate.")
        call.store.revoke(owner.address, holder, folder=folder.id)
        if level != "None":
            call.store.grant(owner.address, holder, level, folder.id)


@operation("RemoveDelegate")
def remove_delegate(call: Call) -> Element:
    try:
        owner = _owner(call)
    except Refusal as refusal:
        return _failed(call, refusal)
    messages = []
    for user in children(required(call.request, f"{M}UserIds")):
        holder = _holder(user)
        if holder in _delegates(call, owner):
            for name in FOLDERS.values():
                folder = call.store.distinguished(owner.guid, name)
                call.store.revoke(owner.address, holder, folder=folder.id if folder else 0)
            call.store.revoke(owner.address, holder, SEND_ON_BEHALF, folder=0)
            messages.append(_message(None))
        else:
            messages.append(_message(Refusal("ErrorNotDelegate", "This user is no delegate.")))
    return _answer(call, messages, delivery=False)


# -- free and busy ---------------------------------------------------------------------------------


@operation("GetUserAvailabilityRequest")
def get_user_availability(call: Call) -> Element:
    """What the calendars hold."""
    window = call.request.find(f"{T}FreeBusyViewOptions/{T}TimeWindow")
    start = None if window is None else moment(window.findtext(f"{T}StartTime"))
    end = None if window is None else moment(window.findtext(f"{T}EndTime"))
    if start is None or end is None or start >= end:
        raise soap.SoapFault("ErrorInvalidTimeInterval", "The time window is invalid.")
    answers = [
        _free_busy(call, one.findtext(f"{T}Email/{T}Address") or "", start, end)
        for one in children(required(call.request, f"{M}MailboxDataArray"))
    ]
    return make(f"{M}GetUserAvailabilityResponse", make(f"{M}FreeBusyResponseArray", *answers))


def _free_busy(call: Call, address: str, start: datetime, end: datetime) -> Element:
    account = call.store.account(address)
    calendar = call.store.distinguished(account.guid, "calendar") if account else None
    if calendar is None:
        return make(
            f"{M}FreeBusyResponse",
            make(
                f"{M}ResponseMessage",
                make(f"{M}MessageText", f"Unable to resolve {address}."),
                make(f"{M}ResponseCode", "ErrorMailRecipientNotFound"),
                make(f"{M}DescriptiveLinkKey", "0"),
                ResponseClass="Error",
            ),
        )
    inside = occurrences.in_view(call.store, call.store.items(calendar.id), start, end)
    events = [_busy(item) for item in inside if item.text("Start")]
    view = make(
        f"{M}FreeBusyView",
        make(f"{T}FreeBusyViewType", "FreeBusy"),
        make(f"{T}CalendarEventArray", *events),
    )
    success = make(
        f"{M}ResponseMessage", make(f"{M}ResponseCode", "NoError"), ResponseClass="Success"
    )
    return make(f"{M}FreeBusyResponse", success, view)


def _busy(item: Item) -> Element:
    """Times here are without zone, in that of the request; the sandbox answers in UTC."""
    return make(
        f"{T}CalendarEvent",
        make(f"{T}StartTime", item.text("Start").removesuffix("Z")),
        make(f"{T}EndTime", item.text("End").removesuffix("Z")),
        make(f"{T}BusyType", item.text("LegacyFreeBusyStatus") or "Busy"),
    )


@operation("GetUserPhoto")
def get_user_photo(call: Call) -> Element:
    """Nobody has one."""
    address = call.request.findtext(f"{M}Email") or ""
    if call.store.account(address) is None:
        raise soap.SoapFault("ErrorNonExistentMailbox")
    refusal = Refusal("ErrorItemNotFound", "There is no photo.")
    return make(
        f"{M}GetUserPhotoResponse",
        make(f"{M}MessageText", refusal.text),
        make(f"{M}ResponseCode", refusal.code),
        make(f"{M}DescriptiveLinkKey", "0"),
        make(f"{M}HasChanged", "false"),
        ResponseClass="Error",
    )
