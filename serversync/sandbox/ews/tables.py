"""Two tables of the store: what differs in a series, and the mail that meetings have caused."""

import json
import sqlite3
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime

SCHEMA = """
CREATE TABLE IF NOT EXISTS exception (
    master INTEGER NOT NULL REFERENCES item ON DELETE CASCADE, original INTEGER NOT NULL,
    is_deleted INTEGER NOT NULL, properties BLOB NOT NULL, removed TEXT NOT NULL, categories TEXT,
    extended TEXT NOT NULL, touched TEXT NOT NULL, PRIMARY KEY (master, original)
);
CREATE TABLE IF NOT EXISTS meeting_mail (
    id INTEGER PRIMARY KEY AUTOINCREMENT, organizer TEXT NOT NULL, sender TEXT NOT NULL,
    recipient TEXT NOT NULL, kind TEXT NOT NULL, uid TEXT NOT NULL, sequence INTEGER NOT NULL,
    original INTEGER NOT NULL, at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS meeting_mail_uid ON meeting_mail (uid);
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Exceptional:
    """What is special about one occurrence. `original`: when it would have begun, seconds since 1970;
    `properties`: an element with those that differ; `removed`: names of those that it lacks;
    `categories`: None where they are the series'; `touched`: path -> the change that wrote it last."""

    original: int
    is_deleted: bool = False
    properties: bytes = b"<item/>"
    removed: tuple[str, ...] = ()
    categories: tuple[str, ...] | None = None
    extended: dict[str, list[str]] = field(default_factory=dict)
    touched: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingMail:
    """One mail to one recipient. `kind`: request, update, cancellation or response; `original`: of the
    occurrence that it is about, 0 for the whole meeting."""

    organizer: str
    sender: str
    recipient: str
    kind: str
    uid: str
    sequence: int
    original: int = 0
    at: datetime = field(default_factory=lambda: datetime.now(UTC), compare=False)


class Tables:
    """Part of `Store`."""

    def writing(self) -> AbstractContextManager[sqlite3.Connection]:
        raise NotImplementedError

    def _rows(self, query: str, *values: object) -> list[sqlite3.Row]:
        raise NotImplementedError

    # -- what differs in a series

    def exceptions(self, master: int) -> list[Exceptional]:
        """In the order of their original starts."""
        query = (
            "SELECT original, is_deleted, properties, removed, categories, extended, touched"
            " FROM exception WHERE master = ? ORDER BY original"
        )
        return [_exceptional(row) for row in self._rows(query, master)]

    def write_exception(self, master: int, exceptional: Exceptional) -> None:
        self.write_exceptions(master, [exceptional])

    def write_exceptions(self, master: int, wanted: Iterable[Exceptional]) -> None:
        with self.writing() as database:
            database.executemany(
                "INSERT OR REPLACE INTO exception VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [
                    (
                        master,
                        one.original,
                        int(one.is_deleted),
                        one.properties,
                        json.dumps(one.removed),
                        None if one.categories is None else json.dumps(one.categories),
                        json.dumps(one.extended),
                        json.dumps(one.touched),
                    )
                    for one in wanted
                ],
            )

    def drop_exceptions(self, master: int) -> None:
        with self.writing() as database:
            database.execute("DELETE FROM exception WHERE master = ?", (master,))

    # -- mail of meetings

    def note_meeting_mail(self, mail: MeetingMail) -> None:
        with self.writing() as database:
            database.execute(
                "INSERT INTO meeting_mail (organizer, sender, recipient, kind, uid, sequence, original, at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    mail.organizer,
                    mail.sender,
                    mail.recipient,
                    mail.kind,
                    mail.uid,
                    mail.sequence,
                    mail.original,
                    mail.at.timestamp(),
                ),
            )

    def meeting_mail(self) -> list[MeetingMail]:
        """All of it, oldest first."""
        return [_mail(row) for row in self._rows(f"{MEETING_MAIL} ORDER BY id")]

    def meeting_mail_of(self, uid: str) -> list[MeetingMail]:
        return [_mail(row) for row in self._rows(f"{MEETING_MAIL} WHERE uid = ? ORDER BY id", uid)]

    def forget_meeting_mail(self) -> None:
        with self.writing() as database:
            database.execute("DELETE FROM meeting_mail")


MEETING_MAIL = (
    "SELECT organizer, sender, recipient, kind, uid, sequence, original, at FROM meeting_mail"
)


def _mail(row: sqlite3.Row) -> MeetingMail:
    return MeetingMail(
        organizer=row["organizer"],
        sender=row["sender"],
        recipient=row["recipient"],
        kind=row["kind"],
        uid=row["uid"],
        sequence=row["sequence"],
        original=row["original"],
        at=datetime.fromtimestamp(row["at"], UTC),
    )


def _exceptional(row: sqlite3.Row) -> Exceptional:
    categories = row["categories"]
    return Exceptional(
        original=row["original"],
        is_deleted=bool(row["is_deleted"]),
        properties=bytes(row["properties"]),
        removed=tuple(json.loads(row["removed"])),
        categories=None if categories is None else tuple(json.loads(categories)),
        extended=json.loads(row["extended"]),
        touched=json.loads(row["touched"]),
    )
