"""What the sandbox servers serve: accounts, folders, messages. In memory, or in a file that keeps keys.

One SQLite database of its own, which has nothing to do with the site's. Every method may be called
from any thread.
"""

import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

INBOX = "INBOX"
SENT = "Sent"  # every account has one

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    address TEXT PRIMARY KEY, password TEXT NOT NULL, outside INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE IF NOT EXISTS folder (
    id INTEGER PRIMARY KEY, address TEXT NOT NULL, name TEXT NOT NULL, uidvalidity INTEGER NOT NULL,
    uidnext INTEGER NOT NULL DEFAULT 1, modseq INTEGER NOT NULL DEFAULT 1, UNIQUE (address, name)
);
CREATE TABLE IF NOT EXISTS message (
    folder INTEGER NOT NULL REFERENCES folder ON DELETE CASCADE, uid INTEGER NOT NULL,
    received REAL NOT NULL, flags TEXT NOT NULL, modseq INTEGER NOT NULL, size INTEGER NOT NULL,
    mime BLOB NOT NULL, PRIMARY KEY (folder, uid)
);
CREATE TABLE IF NOT EXISTS note (name TEXT PRIMARY KEY, value TEXT NOT NULL);
"""


class UnknownAccount(LookupError):
    """No account has this address."""


class UnknownFolder(LookupError):
    """The account has no such folder."""


@dataclass(frozen=True, slots=True)
class FolderState:
    id: int
    name: str
    uidvalidity: int
    uidnext: int
    modseq: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One message as a folder lists it. `flags` as IMAP spells them."""

    uid: int
    size: int
    received_at: datetime
    flags: frozenset[str]
    modseq: int


class Store:
    """`path`: a file in which everything outlives this process, or None for memory."""

    def __init__(self, path: Path | None = None) -> None:
        self._lock = threading.RLock()
        self.written = 0  # grows with each change
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._database = sqlite3.connect(
            str(path) if path else ":memory:", check_same_thread=False, isolation_level=None
        )
        self._database.execute("PRAGMA foreign_keys=ON")
        if path is not None:
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
        self._database.executescript(SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._database.close()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction; one inside another joins it."""
        with self._lock:
            if self._database.in_transaction:
                yield self._database
                return
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield self._database
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")
            self.written += 1

    def _rows(self, query: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock:
            return self._database.execute(query, values).fetchall()

    @contextmanager
    def batch(self) -> Iterator[None]:
        """Many changes as one, for speed."""
        with self._writing():
            yield

    # -- notes: what the owner of the store wants to find again (ports, "seeded")

    def note(self, name: str, default: str = "") -> str:
        rows = self._rows("SELECT value FROM note WHERE name = ?", name)
        return str(rows[0][0]) if rows else default

    def set_note(self, name: str, value: str) -> None:
        with self._writing() as database:
            database.execute("INSERT OR REPLACE INTO note VALUES (?, ?)", (name, value))

    # -- accounts

    def add_account(self, address: str, password: str, *, outside: bool = False) -> None:
        """Make an account with two empty folders, or give an existing one this password."""
        with self._writing() as database:
            database.execute(
                "INSERT INTO account VALUES (?, ?, ?)"
                " ON CONFLICT (address) DO UPDATE SET password = excluded.password",
                (address.lower(), password, int(outside)),
            )
            self.add_folder(address, INBOX)
            self.add_folder(address, SENT)

    def accounts(self) -> list[str]:
        rows = self._rows("SELECT address FROM account WHERE NOT outside ORDER BY address")
        return [str(row[0]) for row in rows]

    def has_account(self, address: str) -> bool:
        return bool(self._rows("SELECT 1 FROM account WHERE address = ?", address.lower()))

    def password_fits(self, address: str, password: str) -> bool:
        rows = self._rows("SELECT password FROM account WHERE address = ?", address.lower())
        return bool(rows) and secrets.compare_digest(
            str(rows[0][0]).encode(), password.encode(errors="surrogateescape")
        )

    def password_of(self, address: str) -> str | None:
        rows = self._rows("SELECT password FROM account WHERE address = ?", address.lower())
        return str(rows[0][0]) if rows else None

    # -- folders

    def add_folder(self, address: str, name: str) -> None:
        with self._writing() as database:
            if not self.has_account(address):
                raise UnknownAccount(address)
            database.execute(
                "INSERT OR IGNORE INTO folder (address, name, uidvalidity) VALUES (?, ?, ?)",
                (address.lower(), name, _fresh_uidvalidity()),
            )

    def remove_folder(self, address: str, name: str) -> None:
        with self._writing() as database:
            database.execute("DELETE FROM folder WHERE id = ?", (self.folder(address, name).id,))

    def rename_folder(self, address: str, name: str, new: str) -> None:
        with self._writing() as database:
            state = self.folder(address, name)
            database.execute("UPDATE folder SET name = ? WHERE id = ?", (new, state.id))

    def folders(self, address: str) -> list[str]:
        rows = self._rows(
            "SELECT name FROM folder WHERE address = ? ORDER BY name <> 'INBOX', name",
            address.lower(),
        )
        return [str(row[0]) for row in rows]

    def folder(self, address: str, name: str = INBOX) -> FolderState:
        rows = self._rows(
            "SELECT id, name, uidvalidity, uidnext, modseq FROM folder"
            " WHERE address = ? AND name = ?",
            address.lower(),
            INBOX if name.upper() == INBOX else name,
        )
        if not rows:
            raise UnknownFolder(f"{address}: {name}")
        return FolderState(*rows[0])  # type: ignore[arg-type]

    def renumber(self, address: str, name: str = INBOX) -> None:
        """Give every message a new UID under a new UIDVALIDITY, as after a restored backup."""
        with self._writing() as database:
            state = self.folder(address, name)
            uids = [entry.uid for entry in self.entries(address, name)]
            start = max([state.uidnext, *uids])
            for uid in reversed(uids):  # upwards and out of each other's way
                database.execute(
                    "UPDATE message SET uid = ? WHERE folder = ? AND uid = ?",
                    (uid + start, state.id, uid),
                )
            for place, uid in enumerate(uids, start=1):
                database.execute(
                    "UPDATE message SET uid = ? WHERE folder = ? AND uid = ?",
                    (place, state.id, uid + start),
                )
            database.execute(
                "UPDATE folder SET uidvalidity = ?, uidnext = ? WHERE id = ?",
                (max(state.uidvalidity + 1, _fresh_uidvalidity()), len(uids) + 1, state.id),
            )

    # -- messages

    def deliver(
        self,
        address: str,
        mime: bytes,
        *,
        folder: str = INBOX,
        received_at: datetime | None = None,
        flags: Iterable[str] = (),
    ) -> int:
        """Append one message as it is; returns its UID."""
        with self._writing() as database:
            state = self.folder(address, folder)
            modseq = self._next_modseq(state)
            database.execute(
                "INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    state.id,
                    state.uidnext,
                    (received_at or datetime.now(UTC)).timestamp(),
                    " ".join(sorted(flags)),
                    modseq,
                    len(mime),
                    mime,
                ),
            )
            database.execute(
                "UPDATE folder SET uidnext = ? WHERE id = ?", (state.uidnext + 1, state.id)
            )
            return state.uidnext

    def entries(self, address: str, folder: str = INBOX) -> list[Entry]:
        """Everything in the folder, by UID."""
        rows = self._rows(
            "SELECT uid, size, received, flags, modseq FROM message WHERE folder = ? ORDER BY uid",
            self.folder(address, folder).id,
        )
        return [_entry(*row) for row in rows]

    def uids(self, address: str, folder: str = INBOX) -> list[int]:
        rows = self._rows(
            "SELECT uid FROM message WHERE folder = ? ORDER BY uid", self.folder(address, folder).id
        )
        return [int(str(row[0])) for row in rows]

    def entry(self, address: str, folder: str, uid: int) -> Entry | None:
        rows = self._rows(
            "SELECT uid, size, received, flags, modseq FROM message WHERE folder = ? AND uid = ?",
            self.folder(address, folder).id,
            uid,
        )
        return _entry(*rows[0]) if rows else None

    def mime(self, address: str, folder: str, uid: int) -> bytes | None:
        rows = self._rows(
            "SELECT mime FROM message WHERE folder = ? AND uid = ?",
            self.folder(address, folder).id,
            uid,
        )
        return bytes(rows[0][0]) if rows else None  # type: ignore[call-overload]

    def messages(self, address: str, folder: str = INBOX) -> list[bytes]:
        """The bytes of all messages, oldest first: for tests that look into an account."""
        rows = self._rows(
            "SELECT mime FROM message WHERE folder = ? ORDER BY uid",
            self.folder(address, folder).id,
        )
        return [bytes(row[0]) for row in rows]  # type: ignore[call-overload]

    def set_flags(self, address: str, folder: str, uid: int, flags: Iterable[str]) -> None:
        with self._writing() as database:
            state = self.folder(address, folder)
            database.execute(
                "UPDATE message SET flags = ?, modseq = ? WHERE folder = ? AND uid = ?",
                (" ".join(sorted(flags)), self._next_modseq(state), state.id, uid),
            )

    def remove(self, address: str, folder: str, uids: Sequence[int]) -> None:
        with self._writing() as database:
            state = self.folder(address, folder)
            self._next_modseq(state)
            database.executemany(
                "DELETE FROM message WHERE folder = ? AND uid = ?",
                [(state.id, uid) for uid in uids],
            )

    def copy(self, address: str, folder: str, uids: Sequence[int], target: str) -> list[int]:
        """Copies of these messages in another folder; returns their UIDs there."""
        with self._writing():
            copies = []
            for uid in uids:
                entry, mime = self.entry(address, folder, uid), self.mime(address, folder, uid)
                if entry is not None and mime is not None:
                    copies.append(
                        self.deliver(
                            address,
                            mime,
                            folder=target,
                            received_at=entry.received_at,
                            flags=entry.flags,
                        )
                    )
            return copies

    def _next_modseq(self, state: FolderState) -> int:
        with self._writing() as database:
            database.execute("UPDATE folder SET modseq = modseq + 1 WHERE id = ?", (state.id,))
            rows = database.execute("SELECT modseq FROM folder WHERE id = ?", (state.id,))
            return int(rows.fetchone()[0])


def _fresh_uidvalidity() -> int:
    """Ascending over time (RFC 3501, 2.3.1.1) and different for folders made in one second."""
    return int(datetime.now(UTC).timestamp()) + secrets.randbelow(1000)


def _entry(uid: object, size: object, received: object, flags: object, modseq: object) -> Entry:
    return Entry(
        uid=int(str(uid)),
        size=int(str(size)),
        received_at=datetime.fromtimestamp(float(str(received)), UTC),
        flags=frozenset(str(flags).split()),
        modseq=int(str(modseq)),
    )
