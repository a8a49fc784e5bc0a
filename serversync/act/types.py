"""What is known of one pair of record and item, and what is decided about it.

Pure data. A *pair* is a record here and an item on the server that belong together, or one of the two alone.
Both are told in the server's field names (`mailboxes.protocols.items.FIELDS`), so that they can be compared.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, IntEnum, StrEnum
from typing import Any
from uuid import UUID

from mailboxes.protocols.items import Fields, ItemKind, Tell


class Table(IntEnum):
    """Object type codes of what takes part (R6.8)."""

    CONTACT = 2
    APPOINTMENT = 4201
    FAX = 4204
    LETTER = 4207
    PHONE_CALL = 4210
    TASK = 4212
    SERVICE_APPOINTMENT = 4214
    RECURRING_APPOINTMENT = 4251

    @property
    def kind(self) -> ItemKind:
        """What it is on the server."""
        return _KINDS.get(self, ItemKind.TASK)

    @property
    def is_meeting(self) -> bool:
        return self.kind in (ItemKind.APPOINTMENT, ItemKind.SERIES)


_KINDS = {
    Table.CONTACT: ItemKind.CONTACT,
    Table.APPOINTMENT: ItemKind.APPOINTMENT,
    Table.SERVICE_APPOINTMENT: ItemKind.APPOINTMENT,
    Table.RECURRING_APPOINTMENT: ItemKind.SERIES,
}


class Direction(IntEnum):
    """syncattributemapping.syncdirection: which way a field goes; values are ours, none are published."""

    NONE = 0
    TO_SERVER = 1
    TO_STORE = 2
    BOTH = 3

    @property
    def reaches_server(self) -> bool:
        return self in (Direction.TO_SERVER, Direction.BOTH)

    @property
    def reaches_store(self) -> bool:
        return self in (Direction.TO_STORE, Direction.BOTH)


class Lifecycle(StrEnum):
    """Of a record: what its state means for synchronization."""

    OPEN = "open"
    SCHEDULED = "scheduled"
    COMPLETED = "completed"
    CANCELED = "canceled"


DONE = frozenset({Lifecycle.COMPLETED, Lifecycle.CANCELED})


class Started(StrEnum):
    """What made the link (R6.4)."""

    FILTER = "filter"
    CATEGORY = "category"
    USER = "user"
    CLIENT = "client"


class Answer(IntEnum):
    """exchangesyncidmapping.userdecision: what a person answered (R8.17). Values are ours."""

    NONE = 0
    YES = 1
    NO = 2


class Question(StrEnum):
    """What a person is asked. YES does what the name says."""

    SCHEDULING_CONFLICT = "scheduling_conflict"  # save it although somebody is busy (R6.26)
    DUPLICATE = "duplicate"  # link it with the record that looks the same (R6.51)
    PREVIOUSLY_LINKED = "previously_linked"  # link it again with the record it belonged to (R6.51)
    ORGANIZER_CHANGED = "organizer_changed"  # hand the meeting over, cancelling the old one (R6.32)


#: Of a series: original start in UTC -> the occurrence's own fields, whole; None if it was deleted.
Occurrences = Mapping[datetime, Fields | None]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a pair as it stands, or as it stood when both were last equal (the base).

    `version`: the server's change key, the record's version; "" for a base. `modified_at`: when somebody last
    wrote it; the later one wins a conflict (R6.53).
    """

    fields: Fields
    occurrences: Occurrences = field(default_factory=dict)
    version: str = ""
    modified_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFacts:
    """What the record's own side knows beyond its fields.

    `matches`: one of the user's active filters matches it. `readable`, `writable`: by the mailbox's user
    (R6.7). `owned`: he owns it. `organizes`: he is its organizer; `has_organizer`: there is one.
    `organizer_before`: he was when both sides were last equal. `organizer_elsewhere`: another mailbox's link
    holds the meeting as its organizer's, so that a second one must not be made (R6.32). `from_a_server`: it
    has a meeting's id that some server gave it. `draft`: not sent to attendees yet (R6.24). `busy`: names of
    parties that have something else at that time (R6.26). `attendees`: number of them; `without_address`: who takes part and can't be told. Of a record that was
    deleted: as it was last.
    """

    lifecycle: Lifecycle = Lifecycle.OPEN
    matches: bool = True
    readable: bool = True
    writable: bool = True
    owned: bool = True
    organizes: bool = True
    has_organizer: bool = True
    organizer_before: bool = False
    organizer_elsewhere: bool = False
    from_a_server: bool = False
    draft: bool = False
    busy: tuple[str, ...] = ()
    attendees: int = 0
    without_address: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFacts:
    """What the server's side knows beyond its fields.

    `tracked`: it carries the tracking category, or a person asked; `owns`: the mailbox's user did, in his
    own mailbox (R6.36). `in_main_calendar`: or below it (R6.5). `organizes`: the user is the meeting's
    organizer. `copy_of_linked`: its link belongs to another item that is still there (R6.48).
    `organizer_user`: the organizer is a user of this organization; `organizer_syncs`: and synchronizes by
    this product (R6.29).
    """

    tracked: bool = False
    owns: bool = True
    in_main_calendar: bool = True
    organizes: bool = True
    is_meeting: bool = False
    copy_of_linked: bool = False
    organizer_user: UUID | None = None
    organizer_syncs: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkFacts:
    """What the link row knows.

    `linked`: both sides belonged together; False: only noted, or unlinked before. `unlinked`: by a
    decision, so that it isn't made again by itself. `declined`: digests of what a person has said no to.
    `question`, `answer`: what was asked, and what came of it. `was_tracked`: the item carried the category
    when the pair was last decided. `to_server_unknown`: a write left and no answer came; `removing`: it was
    one that takes the item away.
    """

    linked: bool = False
    unlinked: bool = False
    started: Started = Started.FILTER
    declined: frozenset[str] = frozenset()
    question: Question | None = None
    answer: Answer = Answer.NONE
    was_tracked: bool = False
    to_server_unknown: bool = False
    removing: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ActSettings:
    """The organization's switches as they act: strict parity has been applied."""

    update_past_meetings: bool = False  # SSSUpdatePastMeetingsInNonDraftMode (R6.23)
    drafts: bool = False  # AllowSaveAsDraftAppointment (R6.24)
    block_on_conflict: bool = False  # R6.26
    track_from_non_organizer: bool = True  # R6.29
    keep_organizer_if_empty: bool = False  # UseCrmOrganizerForEmptyExchangeOrganizer (R6.30)
    transfer_organizer: bool = False  # R6.32: the original's way
    recreate_past_instances: bool = False  # R6.33: the original's way
    attachments: bool = False  # R6.34
    propagate_cancellations: bool = False  # SSSPropagateAppointmentCancellationsToExchange
    distinct_logical_deletes: bool = True  # DistinctPhysicalAndLogicalDeletesForExchangeSync
    ask_before_cancelling: bool = True  # R6.46
    delete_tasks_from_server: bool = True  # SSSTaskDeletionSyncBehaviorFromExchange
    ignore_copies: bool = True  # IgnoreCopiedItemsInSSSForMailbox (R6.48)
    all_addresses: bool = False  # R6.16
    max_attempts: int = 5  # R6.54


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """All that one decision rests upon. `store` None: there is no such record (any more); `server`
    None: no such item. `base` None: they were never equal. `directions`: field -> way it goes."""

    table: Table
    link: LinkFacts
    base: Side | None
    store: Side | None
    server: Side | None
    record: RecordFacts = field(default_factory=RecordFacts)
    item: ItemFacts = field(default_factory=ItemFacts)
    directions: Mapping[str, Direction] = field(default_factory=dict)
    settings: ActSettings = field(default_factory=ActSettings)


# -- what comes out --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reason:
    """Why, as data: `code` of `reasons.REASONS`, its rule, and what to put into its sentence."""

    code: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Verb(Enum):
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    CANCEL = "cancel"  # the meeting is called off and stays in the calendar


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """What to do on one side.

    `fields`: only those that change; of a creation all that reach this side. `occurrences`: of a series,
    likewise; None deletes one. Where `when` or `recurrence` change, every exception is told again, for
    servers drop them with the old pattern: write the series first, then these. `tell`: whom the server mails
    about `fields`, about a creation or a deletion; NOBODY on the store's side. `tells`: about single
    occurrences; NOBODY about those it lacks. `told`: everybody who would be mailed, as far as known.
    `lifecycle`: what becomes of the record's state, None if nothing.
    """

    verb: Verb
    fields: Fields = field(default_factory=dict)
    occurrences: Occurrences = field(default_factory=dict)
    tell: Tell = Tell.NOBODY
    tells: Mapping[datetime, Tell] = field(default_factory=dict)
    told: tuple[str, ...] = ()
    lifecycle: Lifecycle | None = None

    @property
    def mails(self) -> bool:
        """Somebody is mailed about it."""
        return any(tell is not Tell.NOBODY for tell in (self.tell, *self.tells.values()))


@dataclass(frozen=True, slots=True)
class Lost:
    """A value that lost a conflict and is kept in history (R6.53)."""

    name: str
    value: Any
    kept: Any
    side: str  # "store" or "server": whose it was
    original: datetime | None = None  # of a series: the occurrence


class LinkTo(StrEnum):
    """What becomes of the link."""

    KEEP = "keep"
    LINK = "link"
    UNLINK = "unlink"
    FORGET = "forget"  # nothing is left on either side, or it never was a matter


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """`base`: what both sides hold when the writes are done; None with UNLINK and FORGET. `question`: ask
    this and do nothing until it is answered. `alert`: a condition of R8.20 to raise; `error`: the item
    counts as failed (R6.54). `must_wait`: the guard parks it whatever the numbers say (R6.46). `differs`: the
    item isn't what `base` says: something stays different, or exceptions may follow their series. It must be
    read when it is looked at next. `declined`: to be remembered with what a person has said no to."""

    link: LinkTo = LinkTo.KEEP
    to_store: Write | None = None
    to_server: Write | None = None
    base: Side | None = None
    question: Question | None = None
    alert: str = ""
    error: str = ""
    must_wait: bool = False
    differs: bool = False
    declined: str = ""
    lost: tuple[Lost, ...] = ()
    reasons: tuple[Reason, ...] = ()

    @property
    def writes(self) -> bool:
        return self.to_store is not None or self.to_server is not None
