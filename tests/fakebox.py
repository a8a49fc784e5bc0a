"""The account behind fake incoming servers: a tree of folders with messages, categories, and what
changed when. A test plays the person, or another client, who works in the mailbox.

Folders are named by their id, or by their path from the top: INBOX, SENT, "INBOX/Customers/A".
"""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from mailboxes.protocols.base import INBOX, SENT, Action
from mailboxes.protocols.errors import FolderMissing

FIRST_RECEIVED_AT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
REMADE = 1000  # added to the UIDVALIDITY of a folder whose path was used before


@dataclass
class Stored:
    """One message in one folder. `placed`, `changed`: ticks of the mailbox, `changed_at` its time.
    `claimed_size`: what the server calls its size; 0: the truth."""

    uid: int
    mime: bytes
    received_at: datetime
    keywords: set[str] = field(default_factory=set)
    seen: bool = False
    validity: int = 1
    placed: int = 0
    changed: int = 0
    changed_at: datetime = FIRST_RECEIVED_AT
    claimed_size: int = 0

    @property
    def remote_id(self) -> str:
        return f"{self.validity}.{self.uid}"


@dataclass
class Folder:
    """`left`: (tick, key, tick at which it had come) of what was deleted or moved away."""

    id: str
    name: str
    parent: str
    validity: int
    messages: list[Stored] = field(default_factory=list)
    left: list[tuple[int, str, int]] = field(default_factory=list)


class FakeMailbox:
    """Folders of messages, oldest first.

    `files_copies`: the provider puts what is sent into sent items itself. `now`: the time of what
    happens next; None: each event is a minute later. `categories`: the list by id; a test renames
    and deletes there. `takes_keywords`: False as on IMAP servers without them.
    `epoch`: of the sync states; those of an epoch in `forgotten` mean nothing, and nobody says so.
    """

    def __init__(self) -> None:
        self.validity = 1
        self.epoch = 1
        self.forgotten: set[int] = set()
        self.files_copies = False
        self.takes_keywords = True
        self.now: datetime | None = None
        self.categories: dict[str, str] = {}
        self.actions: list[tuple[str, Action]] = []  # (folder, action) as they were carried out
        self._folders: dict[str, Folder] = {}
        self._made: Counter[str] = Counter()
        self._uids = itertools.count(1)
        self.tick = 0
        self._make_folder(INBOX, "")

    # -- messages

    def deliver(
        self,
        mime: bytes,
        folder: str = INBOX,
        received_at: datetime | None = None,
        marks: Iterable[str] = (),
    ) -> str:
        """Add a message and return its remote id. Without a time, each is a minute younger."""
        self.add_folder(folder)
        uid = next(self._uids)
        moment = received_at or self.now or FIRST_RECEIVED_AT + timedelta(minutes=uid)
        return self._place(Stored(uid, mime, moment, set(marks)), folder)

    def remove(self, remote_id: str, folder: str = INBOX) -> None:
        """As if another client had deleted it."""
        self._take(remote_id, folder)

    def move(self, remote_id: str, folder: str, to: str) -> str:
        """As if another client had moved it. Returns the new key: no key survives a move."""
        taken = self._take(remote_id, folder)
        assert taken is not None, f"no {remote_id} in {folder}"
        taken.uid = next(self._uids)
        return self._place(taken, to)

    def mark(self, remote_id: str, name: str, folder: str = INBOX) -> None:
        """As if somebody had given it the category or keyword."""
        self._change(remote_id, folder).keywords.add(name)

    def unmark(self, remote_id: str, name: str, folder: str = INBOX) -> None:
        self._change(remote_id, folder).keywords.discard(name)

    def touch(self, remote_id: str, folder: str = INBOX) -> None:
        """As if somebody had read it: a change that leaves the marks alone."""
        self._change(remote_id, folder).seen = True

    def messages(self, folder: str = INBOX) -> list[Stored]:
        return self.folder(folder).messages

    def find(self, folder: str, remote_id: str) -> Stored | None:
        return next((each for each in self.messages(folder) if each.remote_id == remote_id), None)

    # -- keys and sync states

    def reset_keys(self, *, new_keys: bool = True) -> None:
        """As after a restored backup: the old cursors are refused, another UIDVALIDITY, and every
        message has a new key. `new_keys=False`: only the cursors are refused (Exchange)."""
        self.epoch += 1
        if new_keys:
            self.validity += 1
            self._uids = itertools.count(1)
            for folder in self._folders.values():
                folder.validity += 1
            self._renumber()

    def restart_silently(self, *, new_keys: bool = False) -> None:
        """The next listing of a folder gives everything as new, and nothing says so (Exchange)."""
        self.forgotten.add(self.epoch)
        self.epoch += 1
        if new_keys:
            self._renumber()

    # -- folders

    def add_folder(self, path: str) -> str:
        """The folder's id; made if need be, with those above it."""
        known = self._find_folder(path)
        if known:
            return known.id
        above, _, name = path.rpartition("/")
        parent = self.add_folder(above) if above else ""
        return self._make_folder(name, parent).id

    def rename_folder(self, folder: str, name: str) -> None:
        self.folder(folder).name = name

    def move_folder(self, folder: str, parent: str = "") -> None:
        """Below another folder; "" means the top, outside the inbox."""
        self.folder(folder).parent = self.folder(parent).id if parent else ""

    def remove_folder(self, folder: str) -> None:
        """With what is in it and below it."""
        gone = self.folder(folder)
        for below in [each for each in self._folders.values() if each.parent == gone.id]:
            self.remove_folder(below.id)
        del self._folders[gone.id]

    def folder(self, folder: str) -> Folder:
        found = self._find_folder(folder)
        if found is None:
            raise FolderMissing(f"no folder {folder}")
        return found

    def folders(self) -> list[Folder]:
        return list(self._folders.values())

    def folder_names(self) -> list[str]:
        return [self.path(each.id) for each in self._folders.values()]

    def path(self, folder: str) -> str:
        """Names from the top down, INBOX and SENT by these names."""
        found = self._folders[folder]
        return f"{self.path(found.parent)}/{found.name}" if found.parent else found.name

    # -- time

    def time(self) -> datetime:
        """Of the last event, where no clock is set."""
        return self.now or FIRST_RECEIVED_AT + timedelta(minutes=self.tick)

    # -- inside

    def _find_folder(self, folder: str) -> Folder | None:
        by_path = (each for each in self._folders.values() if self.path(each.id) == folder)
        return self._folders.get(folder) or next(by_path, None)

    def _make_folder(self, name: str, parent: str) -> Folder:
        path = f"{self.path(parent)}/{name}" if parent else name
        validity = self.validity + REMADE * self._made[path]
        self._made[path] += 1
        identifier = path if path in {INBOX, SENT} else f"folder-{self._made.total()}"
        made = self._folders[identifier] = Folder(identifier, name, parent, validity)
        return made

    def _next_tick(self) -> int:
        self.tick += 1
        return self.tick

    def _place(self, stored: Stored, folder: str) -> str:
        target = self.folder(folder)
        stored.validity = target.validity
        stored.placed = stored.changed = self._next_tick()
        stored.changed_at = self.time()
        target.messages.append(stored)
        return stored.remote_id

    def _take(self, remote_id: str, folder: str) -> Stored | None:
        source = self.folder(folder)
        found = self.find(folder, remote_id)
        if found:
            source.messages.remove(found)
            source.left.append((self._next_tick(), remote_id, found.placed))
        return found

    def _change(self, remote_id: str, folder: str) -> Stored:
        found = self.find(folder, remote_id)
        assert found is not None, f"no {remote_id} in {folder}"
        found.changed, found.changed_at = self._next_tick(), self.time()
        return found

    def _renumber(self) -> None:
        for folder, each in self._everything():
            each.uid, each.validity = next(self._uids), folder.validity

    def _everything(self) -> Iterator[tuple[Folder, Stored]]:
        for folder in self._folders.values():
            for each in folder.messages:
                yield folder, each
