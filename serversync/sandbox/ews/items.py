"""GetItem, DeleteItem, MoveItem, CopyItem."""

from collections.abc import Callable

from serversync.sandbox.ews import meetings, occurrences, soap, tasks
from serversync.sandbox.ews.call import Call, ids, operation
from serversync.sandbox.ews.meetings import organizing, responding
from serversync.sandbox.ews.properties import only_id, read_shape, shown
from serversync.sandbox.ews.rights import Right, require_room
from serversync.sandbox.ews.soap import Element, M, Refusal, T, make
from serversync.sandbox.ews.store import Folder, Item

AFFECTED = ("AllOccurrences", "SpecifiedOccurrenceOnly")
DELETE_TYPES = ("HardDelete", "SoftDelete", "MoveToDeletedItems")


@operation("GetItem")
def get_item(call: Call) -> Element:
    shape = read_shape(call)

    def get(wanted: Element) -> list[Element]:
        return [make(f"{M}Items", shown(call, call.item(wanted), shape))]

    return call.each(ids(call.request), get, f"{M}Items")


@operation("DeleteItem")
def delete_item(call: Call) -> Element:
    kind = soap.attribute(call.request, "DeleteType", DELETE_TYPES)

    def delete(wanted: Element) -> list[Element]:
        item = call.item(wanted, Right.WRITE)
        _require_affected(call, item)
        if not _is_advanced(call, item):
            remove(call, item, kind)
        return []

    return call.each(ids(call.request), delete)


def _require_affected(call: Call, item: Item) -> None:
    """Whoever is to hear of it hears of it. Raises Refusal."""
    if item.tag == "CalendarItem":
        if call.request.get("SendMeetingCancellations") is None:
            raise Refusal("ErrorSendMeetingCancellationsRequired")
        whom = soap.attribute(call.request, "SendMeetingCancellations", meetings.CANCELLATIONS)
        organizing.called_off(call.site, item, organizing.Said(whom))
        responding.declined_by_deleting(call.site, item, whom)
    if item.tag == "Task" and call.request.get("AffectedTaskOccurrences") is None:
        raise Refusal("ErrorAffectedTaskOccurrencesRequired")


def _is_advanced(call: Call, item: Item) -> bool:
    """Deleting one occurrence of a recurring task makes the next one of it. Raises Refusal for the last."""
    wanted = call.request.get("AffectedTaskOccurrences", AFFECTED[0])
    if item.tag != "Task" or item.element.find(f"{T}Recurrence") is None:
        return False
    if soap.attribute(call.request, "AffectedTaskOccurrences", AFFECTED, wanted) == AFFECTED[0]:
        return False
    if not tasks.advance(item):
        raise Refusal("ErrorCannotDeleteTaskOccurrence")
    call.store.change_item(item, paths=["task:DueDate", "task:StartDate"])
    return True


def remove(call: Call, item: Item, kind: str) -> None:
    """For good, or into the folder that this way of deleting leads to."""
    if isinstance(item, occurrences.Occurrence):
        occurrences.delete(call.store, item)
        return
    target: Folder | None = None
    if kind == "MoveToDeletedItems":
        target = call.store.distinguished(item.account, "deleteditems")
    elif kind == "SoftDelete":
        target = call.store.distinguished(item.account, "recoverableitemsdeletions")
    if target is None or target.id == item.folder:
        call.store.remove_item(item)
    else:
        call.store.move_item(item, target, keep_id=call.quirks.immutable_ids)


@operation("MoveItem")
def move_item(call: Call) -> Element:
    def move(item: Item, target: Folder) -> Item:
        return call.store.move_item(item, target, keep_id=call.quirks.immutable_ids)

    return _relocate(call, move, Right.WRITE)


@operation("CopyItem")
def copy_item(call: Call) -> Element:
    return _relocate(call, call.store.copy_item, Right.READ)


def _relocate(call: Call, act: Callable[[Item, Folder], Item], right: Right) -> Element:
    def relocate(wanted: Element) -> list[Element]:
        item = call.item(wanted, right)
        if isinstance(item, occurrences.Occurrence):
            raise Refusal("ErrorCalendarCannotMoveOrCopyOccurrence")
        target = target_folder(call)
        if target.account != item.account:
            owner = call.store.account_of(target.account)
            assert owner is not None
            require_room(call, owner, item.size)
        moved = act(item, target)
        return [make(f"{M}Items", None if call.quirks.move_answers_nothing else only_id(moved))]

    return call.each(ids(call.request), relocate, f"{M}Items")


def target_folder(call: Call) -> Folder:
    """Of m:ToFolderId. Raises Refusal."""
    try:
        return call.inner_folder(call.request, f"{M}ToFolderId", Right.WRITE)
    except Refusal as refusal:
        if refusal.code == "ErrorFolderNotFound":
            raise Refusal(
                "ErrorToFolderNotFound", "The destination folder does not exist."
            ) from refusal
        raise
