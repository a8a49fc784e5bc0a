"""Reading what Exchange tells about items and folders: elements of its answers become our values."""

import base64
import binascii
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone

from mailboxes.protocols.base import RemoteItem
from mailboxes.protocols.ews.operations import Element, message_space, type_space

#: Properties of an item that listings and searches return.
LISTED = (
    "item:Size",
    "item:DateTimeReceived",
    "item:DateTimeCreated",
    "item:LastModifiedTime",
    "item:Categories",
    "message:InternetMessageId",
)

MOMENT = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d))?"
)


@dataclass(slots=True)
class Changes:
    """One answer of a synchronization."""

    state: str
    last: bool
    created: list[RemoteItem] = field(default_factory=list)
    updated: list[RemoteItem] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    any: bool = False


@dataclass(frozen=True, slots=True)
class Folder:
    """`folder_class`: e.g. IPF.Note; "" as on folders of other programs."""

    id: str
    parent: str
    name: str
    folder_class: str
    messages: int | None

    @property
    def holds_mail(self) -> bool:
        kind = self.folder_class.lower()
        return not kind or kind == "ipf" or kind.startswith("ipf.note")


def text(element: Element, name: str) -> str:
    return (element.findtext(type_space + name) or "").strip()


def id_of(element: Element, name: str = "ItemId") -> str:
    found = element.find(type_space + name)
    return (found.get("Id") or "") if found is not None else ""


def moment(written: str) -> datetime | None:
    """None for what isn't a time. Servers write none to nine digits after the second, and some leave
    out the zone, which is then UTC."""
    found = MOMENT.fullmatch(written)
    if not found:
        return None
    year, month, day, hour, minute, second = (int(part) for part in found.groups()[:6])
    micros = int((found[7] or "0")[:6].ljust(6, "0"))
    offset = timedelta(0)
    if found[8]:
        offset = timedelta(hours=int(found[9]), minutes=int(found[10])) * (
            -1 if found[8] == "-" else 1
        )
    try:
        local = datetime(year, month, day, hour, minute, second, micros, tzinfo=timezone(offset))
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def number(written: str) -> int | None:
    return int(written) if written.isdecimal() else None


def received_at(item: Element) -> datetime | None:
    """Created and uploaded items may lack the time of receipt."""
    names = ("DateTimeReceived", "DateTimeCreated", "LastModifiedTime")
    return next(filter(None, (moment(text(item, name)) for name in names)), None)


def categories(item: Element) -> frozenset[str]:
    strings = item.findall(f"{type_space}Categories/{type_space}String")
    return frozenset(each.text for each in strings if each.text)


def remote_item(item: Element) -> RemoteItem:
    return RemoteItem(
        id_of(item),
        number(text(item, "Size")) or 0,
        received_at(item),
        message_id=text(item, "InternetMessageId"),
        marks=categories(item),
    )


def changes(message: Element) -> Changes:
    """Of a SyncFolderItems answer. A changed read flag is no change of ours."""
    last = (message.findtext(message_space + "IncludesLastItemInRange") or "true").strip().lower()
    answer = Changes(
        (message.findtext(message_space + "SyncState") or "").strip(), last in ("true", "1")
    )
    for change in message.iterfind(f"{message_space}Changes/*"):
        answer.any = True
        kind = change.tag.removeprefix(type_space)
        if kind == "Delete":
            answer.deleted += filter(None, [id_of(change)])
        elif kind in ("Create", "Update") and len(change) and id_of(change[0]):
            listed = answer.created if kind == "Create" else answer.updated
            listed.append(remote_item(change[0]))
    return answer


def mime_of(item: Element) -> bytes | None:
    """None where the server left the content out, or it is no base64."""
    encoded = item.findtext(type_space + "MimeContent")
    try:
        return None if encoded is None else base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        return None


def header(item: Element, name: str) -> str:
    """The first internet header of that name, unfolded."""
    for each in item.iterfind(
        f"{type_space}InternetMessageHeaders/{type_space}InternetMessageHeader"
    ):
        if (each.get("HeaderName") or "").lower() == name:
            return " ".join((each.text or "").split())
    return ""


def folder(element: Element) -> Folder:
    return Folder(
        id_of(element, "FolderId"),
        id_of(element, "ParentFolderId"),
        element.findtext(type_space + "DisplayName") or "",
        text(element, "FolderClass"),
        number(text(element, "TotalCount")),
    )
