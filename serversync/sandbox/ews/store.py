"""What the Exchange server keeps: accounts, folders, items, attachments, configurations, rights.

Every write in an account takes the next number of that account. It is the change key of what was
written, and it is the position of a synchronization: what carries a higher number than the client's
state is news to it. `event` keeps the same numbers for notifications.
"""

import hashlib
import json
import secrets
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from lxml import etree

from serversync.sandbox.ews.ids import Kind, RemoteId, change_key
from serversync.sandbox.ews.soap import Element, T, make
from serversync.sandbox.ews.tables import SCHEMA as MORE_TABLES
from serversync.sandbox.ews.tables import Exceptional, Tables

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    address TEXT PRIMARY KEY, guid BLOB NOT NULL UNIQUE, password TEXT NOT NULL, name TEXT NOT NULL,
    aliases TEXT NOT NULL DEFAULT '', changed INTEGER NOT NULL DEFAULT 1, epoch INTEGER NOT NULL DEFAULT 1,
    has_mailbox INTEGER NOT NULL DEFAULT 1, is_enabled INTEGER NOT NULL DEFAULT 1,
    is_licensed INTEGER NOT NULL DEFAULT 1, is_full INTEGER NOT NULL DEFAULT 0,
    may_submit INTEGER NOT NULL DEFAULT 1, quota_bytes INTEGER, is_group INTEGER NOT NULL DEFAULT 0,
    members TEXT NOT NULL DEFAULT ''
);
CREATE TABLE IF NOT EXISTS folder (
    id INTEGER PRIMARY KEY AUTOINCREMENT, account BLOB NOT NULL REFERENCES account (guid) ON DELETE CASCADE,
    parent INTEGER REFERENCES folder ON DELETE CASCADE, name TEXT NOT NULL, class TEXT NOT NULL,
    distinguished TEXT NOT NULL DEFAULT '', properties BLOB, created INTEGER NOT NULL, changed INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS folder_parent ON folder (parent);
CREATE TABLE IF NOT EXISTS item (
    id INTEGER PRIMARY KEY AUTOINCREMENT, folder INTEGER NOT NULL REFERENCES folder ON DELETE CASCADE,
    tag TEXT NOT NULL, class TEXT NOT NULL, properties BLOB NOT NULL, categories TEXT NOT NULL DEFAULT '[]',
    extended TEXT NOT NULL DEFAULT '{}', is_read INTEGER NOT NULL DEFAULT 0, is_draft INTEGER NOT NULL DEFAULT 0,
    is_associated INTEGER NOT NULL DEFAULT 0, received_at REAL, created_at REAL NOT NULL,
    modified_at REAL NOT NULL, size INTEGER NOT NULL, mime BLOB, mime_is_current INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL, changed INTEGER NOT NULL, content_changed INTEGER NOT NULL,
    touched TEXT NOT NULL DEFAULT '{}'
);
CREATE INDEX IF NOT EXISTS item_folder ON item (folder, changed);
CREATE TABLE IF NOT EXISTS attachment (
    id INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL REFERENCES item ON DELETE CASCADE,
    tag TEXT NOT NULL, name TEXT NOT NULL, content_type TEXT NOT NULL, content_id TEXT NOT NULL,
    is_inline INTEGER NOT NULL, modified_at REAL NOT NULL, content BLOB NOT NULL, properties BLOB
);
CREATE INDEX IF NOT EXISTS attachment_item ON attachment (item);
CREATE TABLE IF NOT EXISTS gone (
    account BLOB NOT NULL, folder INTEGER NOT NULL, kind INTEGER NOT NULL, id INTEGER NOT NULL,
    created INTEGER NOT NULL, removed INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS gone_folder ON gone (folder, removed);
CREATE TABLE IF NOT EXISTS event (
    account BLOB NOT NULL, number INTEGER NOT NULL, kind TEXT NOT NULL, at REAL NOT NULL,
    is_folder INTEGER NOT NULL, folder INTEGER NOT NULL, id INTEGER NOT NULL, old_folder INTEGER, old_id INTEGER
);
CREATE INDEX IF NOT EXISTS event_account ON event (account, number);
CREATE TABLE IF NOT EXISTS configuration (
    folder INTEGER NOT NULL REFERENCES folder ON DELETE CASCADE, name TEXT NOT NULL, dictionary BLOB,
    xml BLOB, data BLOB, item INTEGER NOT NULL, changed INTEGER NOT NULL, PRIMARY KEY (folder, name)
);
CREATE TABLE IF NOT EXISTS grant_ (
    owner TEXT NOT NULL, holder TEXT NOT NULL, folder INTEGER NOT NULL DEFAULT 0, level TEXT NOT NULL,
    PRIMARY KEY (owner, holder, folder, level)
);
"""

#: Distinguished name, name shown, class, parent. The order is the tree's, from above.
STANDARD_FOLDERS = (
    ("root", "Top of Personal Folders", "", ""),
    ("msgfolderroot", "Top of Information Store", "", "root"),
    ("inbox", "Inbox", "IPF.Note", "msgfolderroot"),
    ("drafts", "Drafts", "IPF.Note", "msgfolderroot"),
    ("sentitems", "Sent Items", "IPF.Note", "msgfolderroot"),
    ("outbox", "Outbox", "IPF.Note", "msgfolderroot"),
    ("deleteditems", "Deleted Items", "IPF.Note", "msgfolderroot"),
    ("junkemail", "Junk Email", "IPF.Note", "msgfolderroot"),
    ("calendar", "Calendar", "IPF.Appointment", "msgfolderroot"),
    ("contacts", "Contacts", "IPF.Contact", "msgfolderroot"),
    ("tasks", "Tasks", "IPF.Task", "msgfolderroot"),
    ("notes", "Notes", "IPF.StickyNote", "msgfolderroot"),
    ("journal", "Journal", "IPF.Journal", "msgfolderroot"),
    ("searchfolders", "Finder", "", "root"),
    ("recoverableitemsroot", "Recoverable Items", "", "root"),
    ("recoverableitemsdeletions", "Deletions", "", "recoverableitemsroot"),
    ("recoverableitemsversions", "Versions", "", "recoverableitemsroot"),
    ("recoverableitemspurges", "Purges", "", "recoverableitemsroot"),
)


@dataclass(frozen=True, slots=True)
class Account:
    """`is_full`, `quota_bytes`: no more mail is stored; `may_submit`: mail may still be sent;
    `members`: of a distribution list, which has no mailbox."""

    address: str
    guid: bytes
    name: str
    aliases: tuple[str, ...]
    changed: int
    epoch: int
    has_mailbox: bool
    is_enabled: bool
    is_licensed: bool
    is_full: bool
    may_submit: bool
    quota_bytes: int | None
    is_group: bool
    members: tuple[str, ...]


ACCOUNT_COLUMNS = (
    "address, guid, name, aliases, changed, epoch, has_mailbox, is_enabled, is_licensed, is_full,"
    " may_submit, quota_bytes, is_group, members"
)
SWITCHES = (
    "password", "name", "has_mailbox", "is_enabled", "is_licensed", "is_full", "may_submit", "quota_bytes",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Folder:
    id: int
    account: bytes
    parent: int | None
    name: str
    folder_class: str
    distinguished: str
    properties: bytes | None
    created: int
    changed: int

    @property
    def remote_id(self) -> str:
        return str(RemoteId(Kind.FOLDER, self.account, self.id))

    @property
    def change_key(self) -> str:
        return change_key(self.id, self.changed)


FOLDER_COLUMNS = "id, account, parent, name, class, distinguished, properties, created, changed"


@dataclass
class Item:
    """`element`: everything it was given, as the element that clients see; what has a column of its
    own is not in it. `changed`: its last write; `content_changed`: its last write that was more than the
    read flag; `touched`: path -> the change that wrote it last. `mime_is_current`: the stored MIME
    still says what the properties say."""

    id: int
    account: bytes
    folder: int
    tag: str
    item_class: str
    properties: bytes
    categories: list[str]
    extended: dict[str, list[str]]
    is_read: bool
    is_draft: bool
    is_associated: bool
    received_at: datetime | None
    created_at: datetime
    modified_at: datetime
    size: int
    mime_is_current: bool
    created: int
    changed: int
    content_changed: int
    touched: dict[str, int]

    @cached_property
    def element(self) -> Element:
        return etree.fromstring(self.properties)

    @property
    def remote_id(self) -> str:
        return str(RemoteId(Kind.ITEM, self.account, self.id))

    @property
    def change_key(self) -> str:
        return change_key(self.id, self.changed)

    def text(self, name: str) -> str:
        """Of a simple property; "" if it has none."""
        return self.element.findtext(T + name) or ""


ITEM_COLUMNS = (
    "item.id, folder.account, item.folder, item.tag, item.class, item.properties, item.categories,"
    " item.extended, item.is_read, item.is_draft, item.is_associated, item.received_at, item.created_at,"
    " item.modified_at, item.size, item.mime_is_current, item.created, item.changed, item.content_changed,"
    " item.touched"
)
FROM_ITEM = "FROM item JOIN folder ON folder.id = item.folder"


@dataclass(frozen=True, slots=True)
class Attachment:
    """`tag`: FileAttachment or ItemAttachment. `content`: the bytes of the file, or the MIME of the item
    inside; `properties`: of an item that was given by properties instead."""

    tag: str
    name: str
    content: bytes
    content_type: str = "application/octet-stream"
    content_id: str = ""
    is_inline: bool = False
    properties: bytes | None = None
    id: int = 0
    item: int = 0
    modified_at: datetime = field(default_factory=lambda: datetime.now(UTC))


@dataclass(frozen=True, slots=True)
class Configuration:
    folder: int
    name: str
    dictionary: bytes | None
    xml: bytes | None
    data: bytes | None
    item: int
    changed: int


@dataclass(frozen=True, slots=True)
class Gone:
    kind: Kind
    id: int
    created: int
    removed: int


@dataclass(frozen=True, slots=True)
class Event:
    """`kind`: Created, Deleted, Modified, Moved, Copied or NewMail."""

    number: int
    kind: str
    at: datetime
    is_folder: bool
    folder: int
    id: int
    old_folder: int | None
    old_id: int | None


class Store(Tables):
    """`path`: a file in which everything outlives this process, or None for memory. Any thread may call."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.RLock()
        self.news = threading.Condition()
        self._depth = 0  # of transactions inside the one that runs
        self.written = 0  # changes whenever something was written
        self._database = sqlite3.connect(
            str(path) if path else ":memory:", check_same_thread=False, isolation_level=None
        )
        self._database.row_factory = sqlite3.Row
        self._database.execute("PRAGMA foreign_keys=ON")
        if path is not None:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(SCHEMA + MORE_TABLES)

    def close(self) -> None:
        with self._lock:
            self._database.close()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; one inside another is a part of it, and fails alone if its failure is caught."""
        with self._lock:
            if self._database.in_transaction:
                with self._part():
                    yield self._database
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
        self._tell_waiting()

    @contextmanager
    def _part(self) -> Iterator[None]:
        self._depth += 1
        name = f"part_{self._depth}"
        self._database.execute(f"SAVEPOINT {name}")
        try:
            yield
        except BaseException:
            self._database.execute(f"ROLLBACK TO {name}")
            raise
        finally:
            self._database.execute(f"RELEASE {name}")
            self._depth -= 1

    def _tell_waiting(self) -> None:
        """Whoever streams notifications looks for news only after something was written."""
        if self._database.total_changes != self.written:
            with self.news:
                self.written = self._database.total_changes
                self.news.notify_all()

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    # -- accounts

    def add_account(
        self,
        address: str,
        password: str,
        *,
        name: str = "",
        aliases: Sequence[str] = (),
        has_mailbox: bool = True,
        members: Sequence[str] | None = None,
    ) -> Account:
        """Make an account with the standard folders, or give an existing one this password.
        `members`: it is a distribution list of these."""
        address = address.lower()
        with self.writing() as database:
            database.execute(
                "INSERT INTO account (address, guid, password, name, aliases, has_mailbox, is_group, members)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
                " ON CONFLICT (address) DO UPDATE SET password = excluded.password",
                (
                    address,
                    hashlib.sha256(secrets.token_bytes(16)).digest()[:16],
                    password,
                    name or address.partition("@")[0].replace(".", " ").title(),
                    " ".join(alias.lower() for alias in aliases),
                    int(has_mailbox and members is None),
                    int(members is not None),
                    " ".join(members or ()),
                ),
            )
            account = self._account(address)
            if account.has_mailbox and not self.folders(account.guid):
                self._add_standard_folders(account)
            return account

    def _add_standard_folders(self, account: Account) -> None:
        ids: dict[str, int] = {"": 0}
        for distinguished, name, folder_class, parent in STANDARD_FOLDERS:
            ids[distinguished] = self.add_folder(
                account.guid, ids[parent] or None, name, folder_class, distinguished=distinguished
            )

    def remove_account(self, address: str) -> None:
        account = self._account(address)
        with self.writing() as database:
            for table, column in (("account", "guid"), ("gone", "account"), ("event", "account")):
                database.execute(f"DELETE FROM {table} WHERE {column} = ?", (account.guid,))
            database.execute("DELETE FROM grant_ WHERE ? IN (owner, holder)", (account.address,))

    def set_account(self, address: str, **switches: object) -> None:
        """Any of SWITCHES. Raises ValueError, LookupError."""
        if unknown := set(switches) - set(SWITCHES):
            raise ValueError(f"an account has no {', '.join(sorted(unknown))}")
        account = self._account(address)
        with self.writing() as database:
            for name, value in switches.items():
                database.execute(
                    f"UPDATE account SET {name} = ? WHERE guid = ?", (value, account.guid)
                )

    def accounts(self) -> list[Account]:
        return [
            _account(row)
            for row in self._rows(f"SELECT {ACCOUNT_COLUMNS} FROM account ORDER BY address")
        ]

    def account(self, address: str) -> Account | None:
        """By primary address or alias, in any case."""
        rows = self._rows(
            f"SELECT {ACCOUNT_COLUMNS} FROM account WHERE address = ?1 OR ' ' || aliases || ' ' LIKE ?2 ESCAPE '\\'",
            address.lower(),
            f"% {_like(address.lower())} %",
        )
        return _account(rows[0]) if rows else None

    def _account(self, address: str) -> Account:
        if (account := self.account(address)) is None:
            raise LookupError(f"no Exchange account has the address {address}")
        return account

    def account_of(self, guid: bytes) -> Account | None:
        rows = self._rows(f"SELECT {ACCOUNT_COLUMNS} FROM account WHERE guid = ?", guid)
        return _account(rows[0]) if rows else None

    def password_of(self, address: str) -> str | None:
        rows = self._rows("SELECT password FROM account WHERE address = ?", address.lower())
        return str(rows[0][0]) if rows else None

    def password_fits(self, address: str, password: str) -> bool:
        kept = self.password_of(address)
        return kept is not None and secrets.compare_digest(
            kept.encode(), password.encode(errors="surrogateescape")
        )

    def used_bytes(self, guid: bytes) -> int:
        query = f"SELECT coalesce(sum(item.size), 0) {FROM_ITEM} WHERE folder.account = ?"
        return int(self._rows(query, guid)[0][0])

    def invalidate_sync_states(self, address: str = "") -> None:
        """Of one account or all."""
        with self.writing() as database:
            database.execute(
                "UPDATE account SET epoch = epoch + 1 WHERE ?1 IN ('', address)", (address.lower(),)
            )

    def next_change(self, guid: bytes) -> int:
        with self.writing() as database:
            database.execute("UPDATE account SET changed = changed + 1 WHERE guid = ?", (guid,))
            return int(self._rows("SELECT changed FROM account WHERE guid = ?", guid)[0][0])

    # -- rights: `level` is FullAccess, SendAs, SendOnBehalf, Impersonate, or a folder's Reviewer, Author, ...

    def grant(self, owner: str, holder: str, level: str, folder: int = 0) -> None:
        """`owner` "*": of every mailbox. `folder` 0: of the mailbox."""
        with self.writing() as database:
            database.execute(
                "INSERT OR IGNORE INTO grant_ VALUES (?, ?, ?, ?)",
                (owner.lower(), holder.lower(), folder, level),
            )

    def revoke(self, owner: str, holder: str, level: str = "", folder: int | None = None) -> None:
        with self.writing() as database:
            database.execute(
                "DELETE FROM grant_ WHERE owner = ? AND holder = ? AND ? IN ('', level)"
                " AND coalesce(?, folder) = folder",
                (owner.lower(), holder.lower(), level, folder),
            )

    def levels(self, owner: str, holder: str, folder: int = 0) -> set[str]:
        rows = self._rows(
            "SELECT level FROM grant_ WHERE owner IN (?, '*') AND holder = ? AND folder = ?",
            owner.lower(),
            holder.lower(),
            folder,
        )
        return {str(row[0]) for row in rows}

    def grants_on(self, owner: str, folder: int = 0) -> list[tuple[str, str]]:
        """(holder, level)"""
        query = "SELECT holder, level FROM grant_ WHERE owner = ? AND folder = ? ORDER BY holder"
        return [(str(row[0]), str(row[1])) for row in self._rows(query, owner.lower(), folder)]

    # -- folders

    def folders(self, guid: bytes) -> list[Folder]:
        """The tree of an account, parents before children."""
        query = f"SELECT {FOLDER_COLUMNS} FROM folder WHERE account = ? ORDER BY id"
        found = [Folder(*row) for row in self._rows(query, guid)]
        return _from_above(found)

    def folder(self, number: int) -> Folder | None:
        rows = self._rows(f"SELECT {FOLDER_COLUMNS} FROM folder WHERE id = ?", number)
        return Folder(*rows[0]) if rows else None

    def distinguished(self, guid: bytes, name: str) -> Folder | None:
        query = f"SELECT {FOLDER_COLUMNS} FROM folder WHERE account = ? AND distinguished = ?"
        rows = self._rows(query, guid, name.lower())
        return Folder(*rows[0]) if rows else None

    def subfolders(self, number: int) -> list[Folder]:
        query = (
            f"SELECT {FOLDER_COLUMNS} FROM folder WHERE parent = ? ORDER BY name COLLATE NOCASE, id"
        )
        return [Folder(*row) for row in self._rows(query, number)]

    def child_counts(self, guid: bytes) -> dict[int, int]:
        query = "SELECT parent, count(*) FROM folder WHERE account = ? AND parent IS NOT NULL GROUP BY parent"
        return {int(row[0]): int(row[1]) for row in self._rows(query, guid)}

    def item_counts(self, guid: bytes) -> dict[int, tuple[int, int]]:
        """Folder -> how many items, how many unread."""
        query = (
            f"SELECT item.folder, count(*), sum(item.is_read = 0) {FROM_ITEM}"
            " WHERE folder.account = ? AND NOT item.is_associated GROUP BY item.folder"
        )
        return {int(row[0]): (int(row[1]), int(row[2])) for row in self._rows(query, guid)}

    def add_folder(
        self,
        guid: bytes,
        parent: int | None,
        name: str,
        folder_class: str,
        *,
        distinguished: str = "",
        properties: bytes | None = None,
    ) -> int:
        with self.writing() as database:
            change = self.next_change(guid)
            number = database.execute(
                "INSERT INTO folder (account, parent, name, class, distinguished, properties, created, changed)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (guid, parent, name, folder_class, distinguished, properties, change, change),
            ).lastrowid
            assert number is not None
            self._tell(guid, change, "Created", True, parent or 0, number)
            return number

    def change_folder(
        self, folder: Folder, *, name: str, folder_class: str, properties: bytes | None
    ) -> None:
        with self.writing() as database:
            change = self.next_change(folder.account)
            database.execute(
                "UPDATE folder SET name = ?, class = ?, properties = ?, changed = ? WHERE id = ?",
                (name, folder_class, properties, change, folder.id),
            )
            self._tell(folder.account, change, "Modified", True, folder.parent or 0, folder.id)

    def move_folder(self, folder: Folder, parent: Folder) -> None:
        """A moved folder keeps its id."""
        with self.writing() as database:
            change = self.next_change(folder.account)
            database.execute(
                "UPDATE folder SET parent = ?, changed = ? WHERE id = ?",
                (parent.id, change, folder.id),
            )
            self._tell(
                folder.account,
                change,
                "Moved",
                True,
                parent.id,
                folder.id,
                folder.parent,
                folder.id,
            )

    def remove_folder(self, folder: Folder) -> None:
        """With everything below it."""
        with self.writing() as database:
            for child in self.subfolders(folder.id):
                self.remove_folder(child)
            change = self.next_change(folder.account)
            database.execute("DELETE FROM folder WHERE id = ?", (folder.id,))
            database.execute(
                "INSERT INTO gone VALUES (?, 0, ?, ?, ?, ?)",
                (folder.account, Kind.FOLDER, folder.id, folder.created, change),
            )
            self._tell(folder.account, change, "Deleted", True, folder.parent or 0, folder.id)

    # -- items

    def items(self, folder: int, *, associated: bool = False) -> list[Item]:
        query = f"SELECT {ITEM_COLUMNS} {FROM_ITEM} WHERE folder = ? AND is_associated = ? ORDER BY item.id"
        return [_item(row) for row in self._rows(query, folder, int(associated))]

    def items_after(self, folder: int, change: int, *, associated: bool = False) -> list[Item]:
        """Written after that change, oldest write first."""
        query = (
            f"SELECT {ITEM_COLUMNS} {FROM_ITEM} WHERE item.folder = ? AND item.changed > ?"
            " AND item.is_associated <= ? ORDER BY item.changed"
        )
        return [_item(row) for row in self._rows(query, folder, change, int(associated))]

    def folders_after(self, guid: bytes, change: int) -> list[Folder]:
        query = f"SELECT {FOLDER_COLUMNS} FROM folder WHERE account = ? AND changed > ? ORDER BY changed"
        return [Folder(*row) for row in self._rows(query, guid, change)]

    def gone_after(self, guid: bytes, folder: int, change: int) -> list[Gone]:
        """`folder` 0: folders of the account that are gone."""
        query = (
            "SELECT kind, id, created, removed FROM gone WHERE account = ? AND folder = ? AND removed > ?"
            " ORDER BY removed"
        )
        return [Gone(Kind(row[0]), *row[1:]) for row in self._rows(query, guid, folder, change)]

    def item(self, number: int) -> Item | None:
        rows = self._rows(f"SELECT {ITEM_COLUMNS} {FROM_ITEM} WHERE item.id = ?", number)
        return _item(rows[0]) if rows else None

    def items_with(self, folder: int, text: str) -> list[Item]:
        """Whose properties hold this text somewhere."""
        query = (
            f"SELECT {ITEM_COLUMNS} {FROM_ITEM} WHERE item.folder = ? AND instr(item.properties, ?)"
            " ORDER BY item.id"
        )
        written = etree.tostring(make("x", text)).removeprefix(b"<x>").removesuffix(b"</x>")
        return [_item(row) for row in self._rows(query, folder, written)]

    def mime(self, number: int) -> bytes | None:
        rows = self._rows("SELECT mime FROM item WHERE id = ?", number)
        return bytes(rows[0][0]) if rows and rows[0][0] is not None else None

    def add_item(
        self, folder: Folder, draft: "NewItem", *, event: str = "Created", old: Item | None = None
    ) -> Item:
        """`old`: the item that it was moved or copied from."""
        with self.writing() as database:
            change = self.next_change(folder.account)
            number = database.execute(
                "INSERT INTO item (folder, tag, class, properties, categories, extended, is_read, is_draft,"
                " is_associated, received_at, created_at, modified_at, size, mime, mime_is_current, created,"
                " changed, content_changed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    folder.id,
                    draft.tag,
                    draft.item_class,
                    etree.tostring(draft.element),
                    json.dumps(draft.categories),
                    json.dumps(draft.extended),
                    int(draft.is_read),
                    int(draft.is_draft),
                    int(draft.is_associated),
                    _seconds(draft.received_at),
                    draft.created_at.timestamp(),
                    datetime.now(UTC).timestamp(),
                    draft.size,
                    draft.mime,
                    int(draft.mime is not None and draft.mime_is_current),
                    change,
                    change,
                    change,
                ),
            ).lastrowid
            assert number is not None
            for attachment in draft.attachments:
                self._insert_attachment(number, attachment)
            self.write_exceptions(number, draft.exceptions)
            self._tell(
                folder.account, change, event, False, folder.id, number,
                old.folder if old else None, old.id if old else None,
            )  # fmt: skip
            item = self.item(number)
            assert item is not None
            return item

    def change_item(
        self, item: Item, *, paths: Sequence[str] = (), only_read_flag: bool = False
    ) -> Item:
        """Write what the item holds now under the next change key. `paths`: what was changed. Returns it anew."""
        with self.writing() as database:
            change = self.next_change(item.account)
            touched = {**item.touched, **dict.fromkeys(paths, change)}
            database.execute(
                "UPDATE item SET tag = ?, class = ?, properties = ?, categories = ?, extended = ?, is_read = ?,"
                " is_draft = ?, received_at = ?, modified_at = ?, size = ?, mime_is_current = ?, changed = ?,"
                " content_changed = ?, touched = ? WHERE id = ?",
                (
                    item.tag,
                    item.item_class,
                    etree.tostring(item.element),
                    json.dumps(item.categories),
                    json.dumps(item.extended),
                    int(item.is_read),
                    int(item.is_draft),
                    _seconds(item.received_at),
                    item.modified_at.timestamp()
                    if only_read_flag
                    else datetime.now(UTC).timestamp(),
                    item.size,
                    int(item.mime_is_current),
                    change,
                    item.content_changed if only_read_flag else change,
                    json.dumps(touched),
                    item.id,
                ),
            )
            self._tell(item.account, change, "Modified", False, item.folder, item.id)
            changed = self.item(item.id)
            assert changed is not None
            return changed

    def set_mime(self, number: int, mime: bytes) -> None:
        with self.writing() as database:
            database.execute(
                "UPDATE item SET mime = ?, mime_is_current = 1 WHERE id = ?", (mime, number)
            )

    def copy_item(self, item: Item, folder: Folder) -> Item:
        return self.add_item(folder, self._twin(item), event="Copied", old=item)

    def move_item(self, item: Item, folder: Folder, *, keep_id: bool = False) -> Item:
        """A moved item is another one: new id; `keep_id` for servers that have immutable ones."""
        with self.writing() as database:
            if keep_id and item.folder != folder.id:
                self._leave(item)
                change = self.next_change(item.account)
                database.execute(
                    "UPDATE item SET folder = ?, created = ?, changed = ?, content_changed = ? WHERE id = ?",
                    (folder.id, change, change, change, item.id),
                )
                self._tell(
                    item.account, change, "Moved", False, folder.id, item.id, item.folder, item.id
                )
                moved = self.item(item.id)
                assert moved is not None
                return moved
            moved = self.add_item(folder, self._twin(item), event="Moved", old=item)
            self.remove_item(item, told=False)
            return moved

    def _twin(self, item: Item) -> "NewItem":
        return NewItem(
            tag=item.tag,
            item_class=item.item_class,
            element=item.element,
            categories=item.categories,
            extended=item.extended,
            is_read=item.is_read,
            is_draft=item.is_draft,
            is_associated=item.is_associated,
            received_at=item.received_at,
            created_at=item.created_at,
            size=item.size,
            mime=self.mime(item.id),
            mime_is_current=item.mime_is_current,
            attachments=self.attachments(item.id),
            exceptions=self.exceptions(item.id),
        )

    def remove_item(self, item: Item, *, told: bool = True) -> None:
        with self.writing() as database:
            change = self._leave(item)
            database.execute("DELETE FROM item WHERE id = ?", (item.id,))
            if told:
                self._tell(item.account, change, "Deleted", False, item.folder, item.id)

    def _leave(self, item: Item) -> int:
        with self.writing() as database:
            change = self.next_change(item.account)
            database.execute(
                "INSERT INTO gone VALUES (?, ?, ?, ?, ?, ?)",
                (item.account, item.folder, Kind.ITEM, item.id, item.created, change),
            )
            return change

    # -- attachments

    def attachments(self, item: int) -> list[Attachment]:
        query = (
            "SELECT tag, name, content, content_type, content_id, is_inline, properties, id, item, modified_at"
            " FROM attachment WHERE item = ? ORDER BY id"
        )
        return [_attachment(row) for row in self._rows(query, item)]

    def has_attachments(self, item: int) -> bool:
        """Without those that the body shows."""
        return bool(self._rows("SELECT 1 FROM attachment WHERE item = ? AND NOT is_inline", item))

    def attachment(self, number: int) -> Attachment | None:
        query = (
            "SELECT tag, name, content, content_type, content_id, is_inline, properties, id, item, modified_at"
            " FROM attachment WHERE id = ?"
        )
        rows = self._rows(query, number)
        return _attachment(rows[0]) if rows else None

    def add_attachment(self, item: Item, attachment: Attachment) -> int:
        with self.writing():
            return self._insert_attachment(item.id, attachment)

    def _insert_attachment(self, item: int, attachment: Attachment) -> int:
        with self.writing() as database:
            number = database.execute(
                "INSERT INTO attachment (item, tag, name, content_type, content_id, is_inline, modified_at,"
                " content, properties) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    item,
                    attachment.tag,
                    attachment.name,
                    attachment.content_type,
                    attachment.content_id,
                    int(attachment.is_inline),
                    attachment.modified_at.timestamp(),
                    attachment.content,
                    attachment.properties,
                ),
            ).lastrowid
            assert number is not None
            return number

    def remove_attachment(self, number: int) -> None:
        with self.writing() as database:
            database.execute("DELETE FROM attachment WHERE id = ?", (number,))

    # -- configurations

    def configuration(self, folder: int, name: str) -> Configuration | None:
        query = (
            "SELECT folder, name, dictionary, xml, data, item, changed FROM configuration"
            " WHERE folder = ? AND name = ?"
        )
        rows = self._rows(query, folder, name)
        return Configuration(*rows[0]) if rows else None

    def write_configuration(
        self,
        folder: Folder,
        name: str,
        *,
        dictionary: bytes | None = None,
        xml: bytes | None = None,
        data: bytes | None = None,
    ) -> None:
        """A configuration is a hidden item of its folder, and has an id like one."""
        with self.writing() as database:
            known = self.configuration(folder.id, name)
            number = known.item if known else self._add_hidden(folder, name)
            database.execute(
                "INSERT OR REPLACE INTO configuration VALUES (?, ?, ?, ?, ?, ?, ?)",
                (folder.id, name, dictionary, xml, data, number, self.next_change(folder.account)),
            )

    def _add_hidden(self, folder: Folder, name: str) -> int:
        hidden = NewItem(
            tag="Message",
            item_class=f"IPM.Configuration.{name}",
            element=make(f"{T}Message"),
            is_associated=True,
        )
        return self.add_item(folder, hidden).id

    def remove_configuration(self, configuration: Configuration) -> None:
        with self.writing() as database:
            if (item := self.item(configuration.item)) is not None:
                self.remove_item(item)
            database.execute(
                "DELETE FROM configuration WHERE folder = ? AND name = ?",
                (configuration.folder, configuration.name),
            )

    # -- events

    def _tell(
        self,
        guid: bytes,
        number: int,
        kind: str,
        is_folder: bool,
        folder: int,
        row: int,
        old_folder: int | None = None,
        old_id: int | None = None,
    ) -> None:
        with self.writing() as database:
            now = datetime.now(UTC).timestamp()
            database.execute(
                "INSERT INTO event VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (guid, number, kind, now, int(is_folder), folder, row, old_folder, old_id),
            )

    def events_after(self, guid: bytes, number: int) -> list[Event]:
        query = (
            "SELECT number, kind, at, is_folder, folder, id, old_folder, old_id FROM event"
            " WHERE account = ? AND number > ? ORDER BY number"
        )
        return [
            Event(row[0], row[1], datetime.fromtimestamp(row[2], UTC), bool(row[3]), *row[4:])
            for row in self._rows(query, guid, number)
        ]


@dataclass(kw_only=True)
class NewItem:
    """An item that isn't stored yet."""

    tag: str
    item_class: str
    element: Element
    categories: list[str] = field(default_factory=list)
    extended: dict[str, list[str]] = field(default_factory=dict)
    is_read: bool = False
    is_draft: bool = False
    is_associated: bool = False
    received_at: datetime | None = None
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    size: int = 0
    mime: bytes | None = None
    mime_is_current: bool = True
    attachments: list[Attachment] = field(default_factory=list)
    exceptions: list[Exceptional] = field(default_factory=list)


def _account(row: sqlite3.Row) -> Account:
    return Account(
        address=row["address"],
        guid=bytes(row["guid"]),
        name=row["name"],
        aliases=tuple(row["aliases"].split()),
        changed=row["changed"],
        epoch=row["epoch"],
        has_mailbox=bool(row["has_mailbox"]),
        is_enabled=bool(row["is_enabled"]),
        is_licensed=bool(row["is_licensed"]),
        is_full=bool(row["is_full"]),
        may_submit=bool(row["may_submit"]),
        quota_bytes=row["quota_bytes"],
        is_group=bool(row["is_group"]),
        members=tuple(row["members"].split()),
    )


def _item(row: sqlite3.Row) -> Item:
    received = row["received_at"]
    return Item(
        id=row["id"],
        account=bytes(row["account"]),
        folder=row["folder"],
        tag=row["tag"],
        item_class=row["class"],
        properties=bytes(row["properties"]),
        categories=json.loads(row["categories"]),
        extended=json.loads(row["extended"]),
        is_read=bool(row["is_read"]),
        is_draft=bool(row["is_draft"]),
        is_associated=bool(row["is_associated"]),
        received_at=None if received is None else datetime.fromtimestamp(received, UTC),
        created_at=datetime.fromtimestamp(row["created_at"], UTC),
        modified_at=datetime.fromtimestamp(row["modified_at"], UTC),
        size=row["size"],
        mime_is_current=bool(row["mime_is_current"]),
        created=row["created"],
        changed=row["changed"],
        content_changed=row["content_changed"],
        touched=json.loads(row["touched"]),
    )


def _attachment(row: sqlite3.Row) -> Attachment:
    return Attachment(
        tag=row["tag"],
        name=row["name"],
        content=bytes(row["content"]),
        content_type=row["content_type"],
        content_id=row["content_id"],
        is_inline=bool(row["is_inline"]),
        properties=row["properties"],
        id=row["id"],
        item=row["item"],
        modified_at=datetime.fromtimestamp(row["modified_at"], UTC),
    )


def _from_above(folders: list[Folder]) -> list[Folder]:
    below: dict[int | None, list[Folder]] = {}
    for folder in folders:
        below.setdefault(folder.parent, []).append(folder)
    ordered: list[Folder] = []
    waiting = list(reversed(below.get(None, [])))
    while waiting:
        folder = waiting.pop()
        ordered.append(folder)
        waiting += reversed(below.get(folder.id, []))
    return ordered


def _seconds(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _like(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
