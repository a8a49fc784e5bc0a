"""The contract between the engine and a server that keeps appointments, contacts and tasks.

What `base` promises of every method holds here: errors of the tree only, TLS verified, no secret in any text,
one thread at a time, `close` never raises. Methods that read change nothing.

An item is a mapping of field names to plain values; FIELDS names them and says what shape each value has.
Both sides of a synchronization speak it: the server's adapter, and whoever maps records. A field that an item
lacks is not in the mapping only where nobody asked for it; known to be empty is None, "" or ().

    changes ──> which items changed (ids, versions, marks)          one request a page, nothing of their content
    fetch   ──> those that matter, whole                            100 a request
    create, update, delete ──> one outcome each, in the order given

Who is told: a write that makes the server mail somebody says so (`tell`), is sent alone, and never twice by
this adapter: when its answer is lost, the outcome is `unknown`, and only looking at the item tells more.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Protocol, Self

from mailboxes.protocols.errors import MessageError
from mailboxes.recurrence import Recurrence

CALENDAR = "\\Calendar"
CONTACTS = "\\Contacts"
TASKS = "\\Tasks"
"""The account's own folders of these, whatever they are called. Never a folder's name."""
MAIN_FOLDERS = (CALENDAR, CONTACTS, TASKS)


class ItemKind(StrEnum):
    APPOINTMENT = "appointment"
    SERIES = "series"
    CONTACT = "contact"
    TASK = "task"


class Shape(Enum):
    """What a field's value is; empty is None unless said otherwise.

    TEXT: one line, "" if empty. LINES: plain text with \\n, "" if empty. CHOICE: one of the words of its
    enumeration below. FLAG: bool. NUMBER: int. AMOUNT: Decimal. DAY: date. MOMENT: datetime in UTC. WHEN: When.
    PERSON: Person. PEOPLE: tuple of Person in no particular order, () if empty. ANSWERS: tuple of Answer.
    ADDRESS: Address. WORDS: frozenset of text. RECURRENCE: Recurrence.
    """

    TEXT = "text"
    LINES = "lines"
    CHOICE = "choice"
    FLAG = "flag"
    NUMBER = "number"
    AMOUNT = "amount"
    DAY = "day"
    MOMENT = "moment"
    WHEN = "when"
    PERSON = "person"
    PEOPLE = "people"
    ANSWERS = "answers"
    ADDRESS = "address"
    WORDS = "words"
    RECURRENCE = "recurrence"


class Importance(StrEnum):
    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class ShowAs(StrEnum):
    FREE = "free"
    TENTATIVE = "tentative"
    BUSY = "busy"
    OUT_OF_OFFICE = "oof"
    WORKING_ELSEWHERE = "elsewhere"


class Sensitivity(StrEnum):
    NORMAL = "normal"
    PERSONAL = "personal"
    PRIVATE = "private"
    CONFIDENTIAL = "confidential"


class TaskProgress(StrEnum):
    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    WAITING = "waiting"
    DEFERRED = "deferred"
    COMPLETED = "completed"


class Response(StrEnum):
    """What an attendee said."""

    NONE = "none"
    ORGANIZER = "organizer"
    TENTATIVE = "tentative"
    ACCEPTED = "accepted"
    DECLINED = "declined"


@dataclass(frozen=True, slots=True)
class When:
    """Start, end, all day and zone, which only make sense together (R6.14).

    `start`, `end`: in UTC. All day: midnights in UTC of the first day and of the day after the last,
    whatever the zone, and never shifted (R6.35). `zone`: IANA name; "" where unknown, then UTC.
    """

    start: datetime
    end: datetime
    all_day: bool = False
    zone: str = ""


@dataclass(frozen=True, slots=True)
class Person:
    """`address`: in lower case, as it is compared; `name`: for display, never compared."""

    address: str
    name: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attendee said, and when (None: the server doesn't tell)."""

    address: str
    response: Response
    at: datetime | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Address:
    street: str = ""
    city: str = ""
    state: str = ""
    postal_code: str = ""
    country: str = ""


Value = (
    str
    | bool
    | int
    | Decimal
    | date
    | datetime
    | When
    | Person
    | Address
    | Recurrence
    | tuple[Person, ...]
    | tuple[Answer, ...]
    | frozenset[str]
    | None
)
Fields = Mapping[str, Value]

_EVERY = {
    "subject": Shape.TEXT,
    "body": Shape.LINES,
    "importance": Shape.CHOICE,
    "sensitivity": Shape.CHOICE,
    "categories": Shape.WORDS,
}
_MEETING = _EVERY | {
    "location": Shape.TEXT,
    "when": Shape.WHEN,
    "show_as": Shape.CHOICE,
    "required": Shape.PEOPLE,
    "optional": Shape.PEOPLE,
    "organizer": Shape.PERSON,
    "answers": Shape.ANSWERS,
    "reminder": Shape.NUMBER,  # minutes before the start; None: no reminder
    "online_meeting_url": Shape.TEXT,
    "is_cancelled": Shape.FLAG,
}
_TASK = _EVERY | {
    "start": Shape.DAY,
    "due": Shape.DAY,
    "percent_complete": Shape.NUMBER,  # 0 to 100
    "completed": Shape.DAY,
    "status": Shape.CHOICE,  # TaskProgress
    "reminder": Shape.MOMENT,
    "is_recurring": Shape.FLAG,
    "is_assigned": Shape.FLAG,  # to somebody else, by the server's own means (R6.40)
}
_NAMES = (
    "title given_name middle_name surname suffix nickname initials display_name file_as"
    " yomi_given_name yomi_surname"
)
_PHONES = (
    "business_phone business_phone2 home_phone home_phone2 other_phone mobile_phone callback car_phone"
    " business_fax home_fax other_fax pager assistant_phone company_main_phone primary_phone radio_phone"
    " telex tty_phone"
)
_OTHER_TEXTS = (
    "job_title department company_name office_location profession manager assistant_name spouse"
    " business_home_page ftp_site government_id customer_id"
)
_CONTACT = (
    dict.fromkeys(f"{_NAMES} {_PHONES} {_OTHER_TEXTS}".split(), Shape.TEXT)
    | {f"email{number}": Shape.TEXT for number in (1, 2, 3)}
    | {f"{place}_address": Shape.ADDRESS for place in ("business", "home", "other")}
    | {
        "body": Shape.LINES,
        "children": Shape.TEXT,  # names, separated by "; "
        "birthday": Shape.DAY,
        "anniversary": Shape.DAY,
        "mailing_address": Shape.CHOICE,  # business, home, other or ""
        "sensitivity": Shape.CHOICE,
        "categories": Shape.WORDS,
    }
)

#: Kind -> field -> shape.
FIELDS: dict[ItemKind, dict[str, Shape]] = {
    ItemKind.APPOINTMENT: _MEETING,
    ItemKind.SERIES: _MEETING | {"recurrence": Shape.RECURRENCE},
    ItemKind.CONTACT: _CONTACT,
    ItemKind.TASK: _TASK,
}


# -- what a server has -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ItemFolder:
    """`folder`: one of MAIN_FOLDERS, or the server's id of a folder below the main calendar (R6.5);
    `holds`: which of the three it is like."""

    folder: str
    holds: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Changed:
    """An item that is new or has changed.

    `version`: changes with every write, also with our own (R6.52). `kind`: None for what isn't
    synchronized (distribution lists, notes). `link`: what we wrote on it when it was linked, "" if nothing;
    copies carry it as well (R6.48). `uid`: of a meeting, the same in every mailbox; "" where the listing
    doesn't tell.
    """

    id: str
    version: str
    kind: ItemKind | None
    categories: frozenset[str] = frozenset()
    link: str = ""
    uid: str = ""
    sensitivity: Sensitivity = Sensitivity.NORMAL


@dataclass(frozen=True, slots=True)
class Changes:
    """What happened in one folder since a cursor.

    `gone`: deleted, or moved elsewhere. `more`: the limit cut the answer; call again with `cursor`.
    `reset`: the server began anew, so everything that is there comes again, and what left meanwhile is told
    by its absence only. The same changes are told again until this answer's `cursor` is given.
    """

    items: tuple[Changed, ...]
    cursor: str
    gone: tuple[str, ...] = ()
    more: bool = False
    reset: bool = False


@dataclass(frozen=True, slots=True)
class ServerOccurrence:
    """One occurrence of a series that isn't like the others. `original`: when it would have begun, in
    UTC (for an all-day series midnight in UTC). `fields`: whole, None if it was deleted."""

    original: datetime
    fields: Fields | None
    id: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True)
class ServerItem:
    """One item whole.

    `is_organizer`: the mailbox's user may change the meeting for all; also true where there are no attendees.
    `is_meeting`: others take part, or the user was invited. `has_attachments`: fetched separately.
    """

    id: str
    version: str
    kind: ItemKind
    fields: Fields
    folder_id: str = ""
    uid: str = ""
    link: str = ""
    is_organizer: bool = True
    is_meeting: bool = False
    has_attachments: bool = False
    modified_at: datetime | None = None
    occurrences: tuple[ServerOccurrence, ...] = ()


@dataclass(frozen=True, slots=True)
class FetchedItem:
    """One item, or why it could not be had. Both are None: it is gone."""

    id: str
    item: ServerItem | None
    error: MessageError | None = None


@dataclass(frozen=True, slots=True)
class ItemFile:
    """An attachment of an appointment (R6.34). `id`: the server's; `content`: None until fetched."""

    name: str
    content_type: str
    size: int
    id: str = ""
    content: bytes | None = field(default=None, repr=False)


# -- what is to be written ---------------------------------------------------------------------------


class Tell(StrEnum):
    """Whom the server mails about a write to a meeting."""

    NOBODY = "nobody"
    CHANGED = "changed"  # attendees that were added or removed
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Draft:
    """A new item. `link`: written on it; `find` knows it again by that after a lost answer.
    `uid`: to make the same meeting as in other mailboxes; "": the server makes one."""

    folder: str
    kind: ItemKind
    fields: Fields
    link: str
    tell: Tell = Tell.NOBODY
    uid: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """Fields to set, in the order given; an empty value empties the field on the server.

    `version`: what the change was decided upon; the server refuses it if it has another one by now.
    `original`: of the series `id`, the occurrence that would have begun then; `version` is the series', or ""
    for whichever it has, as after another occurrence of it was written.
    `link`: None leaves it, "" takes it off.
    """

    id: str
    version: str
    kind: ItemKind
    fields: Fields
    tell: Tell = Tell.NOBODY
    original: datetime | None = None
    link: str | None = None


@dataclass(frozen=True, slots=True)
class Deletion:
    """Into the server's deleted items, never for good. `tell` other than NOBODY: attendees get a
    cancellation. `original`: one occurrence of the series `id`. `cancel_only`: the meeting is called off in
    the server's own way, which keeps it in the calendar, marked as such, or deletes it (R6.45)."""

    id: str
    version: str = ""
    kind: ItemKind = ItemKind.APPOINTMENT
    tell: Tell = Tell.NOBODY
    original: datetime | None = None
    cancel_only: bool = False


class Outcome(StrEnum):
    """`STALE`: somebody else wrote in between, nothing was done. `GONE`: it isn't there any more; for a
    deletion that is `DONE`. An occurrence that its series doesn't have is `REFUSED`: the series is still there.
    `UNKNOWN`: the request left, no answer came."""

    DONE = "done"
    STALE = "stale"
    GONE = "gone"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class WrittenItem:
    """`id`, `version`, `uid`: as they are now, for DONE; "" what the server didn't tell, such as the version of a
    series whose occurrence was written: the next changes do. `error`: for REFUSED and UNKNOWN."""

    outcome: Outcome
    id: str = ""
    version: str = ""
    uid: str = ""
    error: MessageError | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """An item that carries a link or a uid."""

    link: str
    uid: str
    id: str
    version: str
    folder_id: str


@dataclass(frozen=True, slots=True)
class FoundContact:
    """A contact with an address that was asked for. `link`: "" if it carries none."""

    address: str
    id: str
    version: str
    link: str = ""


@dataclass(frozen=True, slots=True)
class Marker:
    """Which organization this account synchronizes with (R6.60). `organization`: its id; `name`: for
    people; `synced_at`: UTC."""

    organization: str
    name: str = ""
    synced_at: datetime | None = None


class ItemsServer(Protocol):
    """An account whose calendar, contacts and tasks can be read and written. Constructed unconnected."""

    protocol: str

    def open(self) -> Self:
        """Connect and log in. Idempotent while connected."""

    def folders(self) -> list[ItemFolder]:
        """The three main ones, and what lies below the main calendar (R6.5)."""

    def changes(self, folder: str, cursor: str, limit: int) -> Changes:
        """Since `cursor`, "" for everything; one request. Raises FolderMissing."""

    def fetch(self, ids: Sequence[str]) -> Iterator[FetchedItem]:
        """Each whole, in the order asked for; a series with its exceptions. 100 a request, one more for
        each page of exceptions. One that can't be had doesn't stop the others."""

    def find(self, folder: str, links: Sequence[str]) -> list[Found]:
        """Items of the folder that carry one of these links, copies included."""

    def find_uids(self, folder: str, uids: Sequence[str]) -> list[Found]:
        """Meetings of the folder with one of these uids."""

    def find_addresses(self, folder: str, addresses: Sequence[str]) -> list[FoundContact]:
        """Contacts of the folder with one of these addresses, in lower case, as any of their three
        (R6.51). One that has several of them comes several times."""

    def create(self, drafts: Sequence[Draft]) -> list[WrittenItem]:
        """Silent ones together, each that tells somebody alone."""

    def update(self, changes: Sequence[Change]) -> list[WrittenItem]:
        """Only what `fields` names is touched. Refuses what has another version by now (STALE)."""

    def delete(self, deletions: Sequence[Deletion]) -> list[WrittenItem]:
        """What is gone already counts as DONE."""

    def files(self, id: str, wanted: Callable[[ItemFile], bool] | None = None) -> list[ItemFile]:
        """Attachments of one item, without inline pictures; those that are `wanted`, by default all, with
        their content, if it can be had."""

    def add_files(self, id: str, version: str, files: Sequence[ItemFile]) -> WrittenItem:
        """Attach these as well."""

    def remove_files(self, id: str, files: Sequence[str]) -> WrittenItem:
        """Take these off, by their ids."""

    def marker(self) -> Marker | None:
        """None: the account synchronizes with nobody yet."""

    def set_marker(self, marker: Marker) -> None:
        """Raises ActionRefused where the account may not be written."""

    def close(self) -> None:
        """Leave politely if possible."""
