"""What is ordered -> what is written: one job for each draft, change and deletion."""

from datetime import UTC, datetime

from exchangelib.version import Build

from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.items import requests, shapes, uids
from mailboxes.protocols.ews.items.batches import Job, Kind, NotOurs
from mailboxes.protocols.ews.items.fetching import item_of
from mailboxes.protocols.ews.items.paths import Part
from mailboxes.protocols.ews.operations import Element, T, clean
from mailboxes.protocols.items import (
    Change,
    Deletion,
    Draft,
    ItemKind,
    Outcome,
    Tell,
    WrittenItem,
)

MEETINGS = (ItemKind.APPOINTMENT, ItemKind.SERIES)
WHOM = {
    Tell.NOBODY: "SendToNone",
    Tell.CHANGED: "SendToChangedAndSaveCopy",
    Tell.ALL: "SendToAllAndSaveCopy",
}

Attributes = dict[str, str]


def told(order: Draft | Change | Deletion) -> Tell:
    """Only meetings have somebody to tell."""
    return order.tell if order.kind in MEETINGS else Tell.NOBODY


def all_or_nobody(tell: Tell) -> str:
    """Of a meeting that is new or ends, all are concerned."""
    return WHOM[Tell.NOBODY if tell is Tell.NOBODY else Tell.ALL]


def item_id(identifier: str, version: str, name: str = "ItemId") -> Element:
    key = {"ChangeKey": clean(version)} if version else {}
    return T(name, Id=clean(identifier), **key)


# -- new ones --------------------------------------------------------------------------------------


def creating(number: int, draft: Draft, build: Build, refused: int = 0) -> Job:
    """A meeting gets its uid here if the draft has none, so that it is known whatever is answered."""
    tell = told(draft)
    uid = draft.uid or uids.new_uid(datetime.now(UTC)) if draft.kind in MEETINGS else ""
    attributes = {
        "MessageDisposition": "SaveOnly",
        "SendMeetingInvitations": all_or_nobody(tell),
    }
    kind = Kind(
        requests.CreateItem, tuple(attributes.items()), draft.folder, tell is not Tell.NOBODY
    )

    def payload() -> Element:
        parts = shapes.parts_of(draft.kind, draft.fields, build, refused)
        parts.append(shapes.link_part(draft.link))
        if uid:
            parts.append(Part(shapes.UID, T.UID(clean(uid))))
        return shapes.new_item(draft.kind, parts)

    def read(answer: Element) -> WrittenItem:
        item = item_of(answer)
        if item is None or not messages.id_of(item):
            raise NotOurs
        return WrittenItem(Outcome.DONE, messages.id_of(item), shapes.version_of(item), uid)

    return Job(number, kind, payload, read)


# -- changes ---------------------------------------------------------------------------------------


def changing(
    number: int, change: Change, build: Build, quietly: Attributes, refused: int = 0
) -> Job:
    tell = told(change)
    attributes = {
        "ConflictResolution": "NeverOverwrite",
        "MessageDisposition": "SaveOnly",
        "SendMeetingInvitationsOrCancellations": WHOM[tell],
        **quietly,
    }
    kind = Kind(requests.UpdateItem, tuple(attributes.items()), alone=tell is not Tell.NOBODY)

    def payload() -> Element:
        parts = shapes.parts_of(change.kind, change.fields, build, refused)
        if change.link is not None:
            parts.append(shapes.link_part(change.link))
        updates = shapes.updates(change.kind, parts)
        return T.ItemChange(item_id(change.id, change.version), updates)

    def read(answer: Element) -> WrittenItem:
        """An occurrence may get another id when it becomes an exception."""
        item = item_of(answer)
        if item is None or (change.original is None and messages.id_of(item) != change.id):
            raise NotOurs
        return WrittenItem(Outcome.DONE, change.id, shapes.version_of(item))

    return Job(number, kind, payload, read)


def changes_nothing(change: Change, build: Build) -> bool:
    """It names nothing, or what is the server's own."""
    return change.link is None and not shapes.parts_of(change.kind, change.fields, build)


# -- deletions -------------------------------------------------------------------------------------


def deleting(number: int, deletion: Deletion, quietly: Attributes) -> Job:
    tell = told(deletion)
    attributes = {
        "DeleteType": "MoveToDeletedItems",
        "SendMeetingCancellations": all_or_nobody(tell),
        "AffectedTaskOccurrences": "AllOccurrences",
        **quietly,
    }
    kind = Kind(requests.DeleteItem, tuple(attributes.items()), alone=tell is not Tell.NOBODY)
    return Job(
        number,
        kind,
        lambda: item_id(deletion.id, deletion.version),
        lambda _answer: WrittenItem(Outcome.DONE),
    )


def calling_off(number: int, deletion: Deletion) -> Job:
    """The server answers with what it sent; the meeting's own new version comes with the next changes."""
    kind = Kind(requests.CreateItem, (("MessageDisposition", "SendAndSaveCopy"),), alone=True)
    return Job(
        number,
        kind,
        lambda: T.CancelCalendarItem(item_id(deletion.id, deletion.version, "ReferenceItemId")),
        lambda _answer: WrittenItem(Outcome.DONE, deletion.id),
    )
