"""An in-memory server of appointments, contacts and tasks that fulfils the contract: it keeps items, hands out
cursors and versions, mails attendees, fails on demand, and records what was done.

    account = FakeItemsAccount("ada@example.com")
    server = FakeItemsServer(account)
    server.fail("changes", ConnectionLost("gone"))       # the next call of changes raises it
    server.fate("update", None, Fate.LOST_AFTER)         # the second item updated from now on
    account.edit(identifier, subject="Another")          # as if a person did it; see fakeitembox.py
    account.mails                                        # whom the server mailed by itself

Several servers may share one account, as several connections would.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import Enum
from typing import Self, TypeVar

from mailboxes.protocols.errors import (
    ActionRefused,
    ConnectionLost,
    MessageError,
    MessageGone,
    MessageUnreadable,
)
from mailboxes.protocols.items import (
    Change,
    Changed,
    Changes,
    Deletion,
    Draft,
    FetchedItem,
    Fields,
    Found,
    FoundContact,
    ItemFile,
    ItemFolder,
    ItemKind,
    Marker,
    Outcome,
    Sensitivity,
    ServerItem,
    ServerOccurrence,
    WrittenItem,
)
from tests.fakeitembox import (
    FIRST_WRITTEN_AT,
    MEETINGS,
    SERVERS_OWN,
    FakeItemsAccount,
    Mail,
    StoredItem,
    addresses,
)
from tests.fakes import Failing

__all__ = [
    "FIRST_WRITTEN_AT",
    "SERVERS_OWN",
    "FakeItemsAccount",
    "FakeItemsServer",
    "Fate",
    "Mail",
    "StoredItem",
]


@dataclass(frozen=True)
class Attaching:
    """Files that were to be added to an item."""

    id: str
    files: tuple[ItemFile, ...]


Order = TypeVar("Order", Draft, Change, Deletion, Attaching)


class Fate(Enum):
    """What becomes of one item that is written. `LOST_AFTER`: done, and the answer never came;
    `LOST_BEFORE`: not done, and nobody can tell."""

    REFUSED = "refused"
    STALE = "stale"
    LOST_AFTER = "lost after"
    LOST_BEFORE = "lost before"


class FakeItemsServer(Failing):
    """ItemsServer over a FakeItemsAccount. `fail` knows the names of the methods; `fate` those of the three
    that write, and `add_files`. `unreadable`: items that `fetch` can't have. `downloaded`: names of files."""

    protocol = "ews"

    def __init__(self, account: FakeItemsAccount | None = None) -> None:
        super().__init__()
        self.account = account or FakeItemsAccount()
        self.is_open = False
        self.unreadable: set[str] = set()
        self.written: list[Draft | Change | Deletion | Attaching] = []
        self.downloaded: list[str] = []
        self._fates: dict[str, deque[Fate | None]] = defaultdict(deque)

    def fate(self, method: str, *fates: Fate | None) -> None:
        """Of the next items that `method` writes, one each; None: it goes well."""
        self._fates[method].extend(fates)

    # -- the contract

    def open(self) -> Self:
        if not self.is_open:
            self._called("open")
            self.is_open = True
        return self

    def folders(self) -> list[ItemFolder]:
        self._begin("folders")
        names = self.account.names
        return [
            ItemFolder(folder, holds, names.get(folder, ""))
            for folder, holds in self.account.folders.items()
        ]

    def changes(self, folder: str, cursor: str, limit: int) -> Changes:
        self._begin("changes")
        items = self.account.held(folder)
        since, reset = self._since(cursor)
        events: list[tuple[int, Changed | str]] = [
            (item.changed, changed_of(item)) for item in items if item.changed > since
        ]
        events += [
            (tick, identifier)
            for tick, identifier, placed in self.account.left.get(folder, [])
            if tick > since >= placed
        ]
        events.sort(key=lambda event: event[0])
        page = events[:limit]
        until = page[-1][0] if len(events) > limit else max(self.account.tick, since)
        return Changes(
            items=tuple(each for _, each in page if isinstance(each, Changed)),
            gone=tuple(each for _, each in page if isinstance(each, str)),
            cursor=f"{self.account.epoch}.{until}",
            more=len(events) > limit,
            reset=reset,
        )

    def fetch(self, ids: Sequence[str]) -> Iterator[FetchedItem]:
        self._begin("fetch")
        for identifier in ids:
            item = self.account.items.get(identifier)
            if identifier in self.unreadable:
                yield FetchedItem(identifier, None, MessageUnreadable("it can't be read"))
            elif item is None or item.kind is None:
                yield FetchedItem(identifier, None)
            else:
                yield FetchedItem(identifier, self._shown(item, item.kind))

    def find(self, folder: str, links: Sequence[str]) -> list[Found]:
        self._begin("find")
        return [found(item) for item in self.account.held(folder) if item.link in set(links) - {""}]

    def find_uids(self, folder: str, uids: Sequence[str]) -> list[Found]:
        self._begin("find_uids")
        return [found(item) for item in self.account.held(folder) if item.uid in set(uids) - {""}]

    def find_addresses(self, folder: str, addresses: Sequence[str]) -> list[FoundContact]:
        self._begin("find_addresses")
        return [
            FoundContact(address, item.id, item.version, item.link)
            for item in self.account.held(folder)
            for address in sorted(emails(item) & set(addresses))
        ]

    def create(self, drafts: Sequence[Draft]) -> list[WrittenItem]:
        return self._each("create", drafts, self._create)

    def update(self, changes: Sequence[Change]) -> list[WrittenItem]:
        return self._each("update", changes, self._update)

    def delete(self, deletions: Sequence[Deletion]) -> list[WrittenItem]:
        return self._each("delete", deletions, self._delete)

    def files(self, id: str, wanted: Callable[[ItemFile], bool] | None = None) -> list[ItemFile]:
        self._begin("files")
        there = list(self._need(id).files.values())
        asked = [each for each in there if wanted is None or wanted(replace(each, content=None))]
        self.downloaded += [each.name for each in asked]
        return [each if each in asked else replace(each, content=None) for each in there]

    def add_files(self, id: str, version: str, files: Sequence[ItemFile]) -> WrittenItem:
        self._begin("add_files")

        def attach(order: Attaching) -> WrittenItem:
            item = self.account.items.get(id)
            if item is None:
                return WrittenItem(Outcome.GONE)
            if version != item.version:
                return WrittenItem(Outcome.STALE)
            for file in order.files:
                self.account.attach(id, file)
            return done(self.account.items[id])

        return self._fated("add_files", Attaching(id, tuple(files)), attach)

    def remove_files(self, id: str, files: Sequence[str]) -> WrittenItem:
        self._begin("remove_files")
        item = self.account.items.get(id)
        if item is None:
            return WrittenItem(Outcome.GONE)
        for each in files:
            item.files.pop(each, None)
        self.account.note(item)
        return done(item)

    def marker(self) -> Marker | None:
        self._begin("marker")
        return self.account.marker

    def set_marker(self, marker: Marker) -> None:
        self._begin("set_marker")
        if not self.account.may_mark:
            raise ActionRefused("the account is read-only")
        self.account.marker = marker

    def close(self) -> None:
        self.is_open = False

    # -- reading

    def _begin(self, method: str) -> None:
        self.open()
        self._called(method)

    def _since(self, cursor: str) -> tuple[int, bool]:
        epoch, _, tick = cursor.partition(".")
        if not cursor:
            return 0, False
        if int(epoch) == self.account.epoch:
            return int(tick), False
        return 0, int(epoch) not in self.account.forgotten

    def _need(self, identifier: str) -> StoredItem:
        if identifier not in self.account.items:
            raise MessageGone(f"no item {identifier}")
        return self.account.items[identifier]

    def _shown(self, item: StoredItem, kind: ItemKind) -> ServerItem:
        organizes = self.account.is_organizer(item)
        return ServerItem(
            id=item.id,
            version=item.version,
            kind=kind,
            fields=dict(item.fields),
            folder_id=item.folder,
            uid=item.uid,
            link=item.link,
            is_organizer=organizes,
            is_meeting=bool(item.attendees) or not organizes,
            has_attachments=bool(item.files),
            modified_at=item.modified_at,
            occurrences=tuple(
                ServerOccurrence(original, fields, f"{item.id}#{number}", item.version)
                for number, (original, fields) in enumerate(sorted(item.exceptions.items()))
            ),
        )

    # -- writing

    def _each(
        self, method: str, orders: Sequence[Order], write: Callable[[Order], WrittenItem]
    ) -> list[WrittenItem]:
        self._begin(method)
        return [self._fated(method, order, write) for order in orders]

    def _fated(
        self, method: str, order: Order, write: Callable[[Order], WrittenItem]
    ) -> WrittenItem:
        fates = self._fates[method]
        fate = fates.popleft() if fates else None
        if fate is Fate.REFUSED:
            return WrittenItem(Outcome.REFUSED, error=ActionRefused("as it was told to"))
        if fate is Fate.STALE:
            return WrittenItem(Outcome.STALE)
        lost = WrittenItem(Outcome.UNKNOWN, error=unknown())
        if fate is Fate.LOST_BEFORE:
            return lost
        self.written.append(order)
        written = write(order)
        return lost if fate is Fate.LOST_AFTER else written

    def _create(self, draft: Draft) -> WrittenItem:
        if draft.folder not in self.account.folders:
            return WrittenItem(Outcome.REFUSED, error=ActionRefused(f"no folder {draft.folder}"))
        fields = writable(draft.fields)
        identifier = self.account.add(
            draft.kind, draft.folder, link=draft.link, uid=draft.uid, **fields
        )
        item = self.account.items[identifier]
        self.account.tell(item, draft.tell, (), item.attendees)
        return done(item)

    def _update(self, change: Change) -> WrittenItem:
        item = self.account.items.get(change.id)
        if item is None:
            return WrittenItem(Outcome.GONE)
        unchecked = change.original is not None and not change.version
        if change.version != item.version and not unchecked:
            return WrittenItem(Outcome.STALE)
        fields = writable(change.fields)
        before = self._attendees(item, change.original)
        if change.original is None:
            self.account.write(item, fields)
        elif not self.account.write_occurrence(item, change.original, fields):
            refused = ActionRefused("the series has no such occurrence")
            return WrittenItem(Outcome.REFUSED, item.id, error=refused)
        item.link = item.link if change.link is None else change.link
        self.account.note(item)
        after = self._attendees(item, change.original)
        self.account.tell(item, change.tell, before, after, change.original)
        return done(item) if change.original is None else of_occurrence(item)

    def _attendees(self, item: StoredItem, original: datetime | None) -> tuple[str, ...]:
        if original is None or item.kind not in MEETINGS:
            return item.attendees
        return addresses(self.account.occurrence(item, original) or {})

    def _delete(self, deletion: Deletion) -> WrittenItem:
        item = self.account.items.get(deletion.id)
        if item is None:
            return WrittenItem(Outcome.DONE)
        if deletion.version and deletion.version != item.version:
            return WrittenItem(Outcome.STALE)
        attendees = self._attendees(item, deletion.original)
        if deletion.original is not None:
            self.account.delete_occurrence(item.id, deletion.original)
        elif deletion.cancel_only:
            item.fields["is_cancelled"] = True
            self.account.note(item)
        else:
            self.account.remove(item.id)
        self.account.tell(item, deletion.tell, attendees, (), deletion.original)
        stays = deletion.original is not None or deletion.cancel_only
        return of_occurrence(item) if stays else WrittenItem(Outcome.DONE)


def changed_of(item: StoredItem) -> Changed:
    """As a listing shows it."""
    categories = item.fields.get("categories", frozenset())
    assert isinstance(categories, frozenset)
    return Changed(
        item.id,
        item.version,
        item.kind,
        categories,
        item.link,
        item.uid,
        Sensitivity(str(item.fields.get("sensitivity", Sensitivity.NORMAL))),
    )


def found(item: StoredItem) -> Found:
    return Found(item.link, item.uid, item.id, item.version, item.folder)


def done(item: StoredItem) -> WrittenItem:
    return WrittenItem(Outcome.DONE, item.id, item.version, item.uid)


def emails(item: StoredItem) -> set[str]:
    return {str(item.fields.get(name) or "").lower() for name in ("email1", "email2", "email3")}


def of_occurrence(item: StoredItem) -> WrittenItem:
    """The series' new version is told with the next changes only, as Exchange does."""
    return WrittenItem(Outcome.DONE, item.id, "", item.uid)


def writable(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if name not in SERVERS_OWN}


def unknown() -> MessageError:
    error = MessageError("no answer came")
    error.__cause__ = ConnectionLost("the line broke")
    return error
