"""The contracts between the engine and a mail server. Adapters implement them; nothing else does.

Terms
    remote id   the server's own name of one message within one folder, as text, valid until the
                server resets its keys: UIDL for POP3, "UIDVALIDITY.UID" for IMAP, item id for EWS.
    cursor      opaque text made by the adapter and kept by the engine: "what lies before this I have
                seen". The engine stores it in the transaction that stores the items before it, and
                gives back the last stored one. "" means: never looked.
    folder      the adapter's name of a folder as text; INBOX is "INBOX" everywhere; SENT is what was sent.

Promises of every method
    - Raises only errors of `errors.py`, with the library's exception as `__cause__`.
    - Changes nothing on the server, except `apply`, `file_sent`, `ensure_folder`, `ensure_category`,
      `drop_category` and `send`. Reading marks nothing as seen.
    - No call takes longer than about `timeout_seconds` without progress.
    - Neither errors nor logs nor `repr` hold a password, a token or a message body.
    - TLS certificates are verified against the system's roots or `ca_pem`; there is no switch for it.
    - An instance is used by one thread at a time. `close` never raises and may be called twice.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Protocol, Self

from mailboxes.protocols.errors import MessageError
from mailboxes.protocols.phases import Watcher

INBOX = "INBOX"
SENT = "\\Sent"
"""The sent items of the account, whatever the server calls them (RFC 6154). Never a folder's name."""


class Security(StrEnum):
    """How the line is protected."""

    IMPLICIT_TLS = "tls"
    STARTTLS = "starttls"
    PLAIN = "plain"


class Authentication(StrEnum):
    """How an account proves who it is (R1.20). AUTO: the best that both sides know."""

    AUTO = "auto"
    NEGOTIATE = "negotiate"
    NTLM = "ntlm"
    BASIC = "basic"
    OAUTH = "oauth"


@dataclass(frozen=True, slots=True)
class Credentials:
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Bearer:
    """A token in place of a password (RFC 6750).

    `token(refused)`: one to use now; `refused` is the token that the server has just turned down, ""
    at first. It may ask the token authority, so the adapter calls it while opening, at most twice, and
    nobody calls it inside a transaction. Raises errors of the tree.
    `username`: the account that the token opens.
    """

    username: str
    token: Callable[[str], str] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionSettings:
    """All that an adapter needs to reach one account on one server.

    `allow_plain`: the organization allows lines without TLS; `allow_plain_login`: and passwords on
    them (R1.26). `denied_networks`: CIDR texts; a host that resolves into one is not contacted.
    `local_hostname`: what we call ourselves in EHLO.
    """

    host: str
    port: int
    security: Security
    credentials: Credentials | Bearer | None = None
    timeout_seconds: float = 100.0
    ca_pem: str = ""
    allow_plain: bool = False
    allow_plain_login: bool = False
    denied_networks: tuple[str, ...] = ()
    local_hostname: str = "localhost"


# -- incoming ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identity:
    """Enough of a message's header to recognise it under another key. `date`: the Date field as
    written there, unfolded. `size`: 0 where the server's sizes don't stay (Exchange counts its own
    properties, too)."""

    remote_id: str
    message_id: str
    date: str
    size: int


@dataclass(frozen=True, slots=True)
class RemoteItem:
    """One message as a listing shows it.

    `size`: octets as the server counts them; `received_at`: when the server received it (IMAP
    INTERNALDATE), None where the protocol has no such thing (POP3).
    `cursor`: what to store once this item and all before it are safe; "" where a cursor only makes
    sense at the end of the whole listing (POP3) or of one answer, with its last item (EWS).
    `message_id`: where the listing tells it, else "". `marks`: names of the categories or keywords
    that it carries; None where the listing doesn't tell. Servers keep a name's case as somebody first
    wrote it, so compare without it.
    """

    remote_id: str
    size: int
    received_at: datetime | None = None
    cursor: str = ""
    message_id: str = ""
    marks: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Listing:
    """What a folder holds beyond a cursor, oldest first.

    `complete`: the items are everything in the folder, not only what is new; the caller subtracts
        the keys it knows, and a key it knows that is missing here is gone (POP3).
    `unchanged`: nothing happened since the cursor; items are empty and the caller's keys still hold.
    `more`: the limit cut the listing; call again with `cursor`.
    `reset`: the server started new keys (UIDVALIDITY changed): older remote ids mean nothing now, and
        the listing starts from the beginning (`identify` tells which items are old friends).
    `cursor`: what to store when all items are safe.
    `total`: messages in the folder now, where the server said so.
    `epoch`: what all remote ids begin with until the next reset ("UIDVALIDITY." for IMAP); "" where
        keys don't tell.
    `gone`: keys that left the folder since the cursor: deleted, or moved away. Empty where the
        protocol doesn't tell; some keys may never have been listed.
    `present`: all keys in the folder now, where the server tells only that some left (IMAP); the
        caller subtracts. None: nothing left, or `gone` or a complete listing tells it.
    `changed`: messages that were listed before and have changed since, where the protocol tells.

    Departures and changes are told again until this answer's `cursor` is stored, or a later one, so
    they are to be safe before it, and before that of the last item. IMAP tells them with the last
    answer of a listing only.
    """

    items: tuple[RemoteItem, ...]
    cursor: str
    complete: bool = False
    unchanged: bool = False
    more: bool = False
    reset: bool = False
    total: int | None = None
    epoch: str = ""
    gone: tuple[str, ...] = ()
    present: frozenset[str] | None = None
    changed: tuple[RemoteItem, ...] = ()


@dataclass(frozen=True, slots=True)
class Glance:
    """What a look at some folders shows. `unchanged`: `list_new` would say so of each of them.
    `new`: about how many messages have come, where the look tells; None: any number."""

    unchanged: bool
    new: int | None = None


@dataclass(frozen=True, slots=True)
class Fetched:
    """One message's bytes, or why it could not be had. Exactly one of the two is set."""

    remote_id: str
    mime: bytes | None
    error: MessageError | None = None


@dataclass(frozen=True, slots=True)
class RemoteFolder:
    """A folder below the inbox. `folder`: its name or id for the other methods; `path`: names from the
    inbox down, without the inbox; `messages`: None if unknown."""

    folder: str
    path: tuple[str, ...]
    messages: int | None = None


@dataclass(frozen=True, slots=True)
class Category:
    """A mark that people see on messages (R7.20, R7.25).

    `id`: a GUID in lower case that stays when somebody renames it; `name`: what messages carry.
    Where there are only keywords (IMAP) the name is the keyword, and the id means nothing.
    """

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Marked:
    """A message and whether it carries a mark. `folder`: where it lies, INBOX and SENT by these names."""

    folder: str
    remote_id: str
    has_mark: bool
    size: int = 0
    received_at: datetime | None = None
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Marks:
    """`complete`: all messages that carry the mark; else what changed since, with and without it.
    `until`: give it back as `since` next time; None: always ask for everything."""

    items: tuple[Marked, ...]
    complete: bool
    until: datetime | None = None


class ActionKind(StrEnum):
    DELETE = "delete"
    MOVE = "move"
    MARK = "mark"
    UNMARK = "unmark"
    SEEN = "seen"


@dataclass(frozen=True, slots=True)
class Action:
    """Something to do to a message on the server. `argument`: target folder, or the mark's name."""

    kind: ActionKind
    remote_id: str
    argument: str = ""


@dataclass(frozen=True, slots=True)
class ActionResult:
    """`done` also when there was nothing left to do; `receipt` is the server's word, for the log."""

    action: Action
    done: bool
    receipt: str = ""
    error: MessageError | None = None


class IncomingServer(Protocol):
    """An account whose folders can be read. Constructed unconnected; `open` connects and logs in."""

    protocol: str
    sizes_stay: bool  # False: a message's size may change under the same key

    def open(self) -> Self:
        """Resolve, connect, TLS, log in. Idempotent while connected."""

    def list_new(self, folder: str, cursor: str, limit: int) -> Listing:
        """What is in `folder` beyond `cursor`, at most `limit` items (a complete listing ignores
        the limit). Raises FolderMissing, UidlUnusable."""

    def glance(self, cursors: Mapping[str, str]) -> Glance:
        """Has anything happened in these folders since their cursors? For polling many idle mailboxes:
        one round trip for each folder, once it is open; none where a cursor is "" or strange, for then
        only a listing can tell. In doubt something has.

        It lists nothing and moves nothing: the cursors stay good whatever it answers. A listing that
        follows may build on what was seen. Raises FolderMissing, UidlUnusable."""

    def fetch(self, folder: str, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        """Each message whole, in the order asked for, one at a time so that memory holds one.
        A message that can't be had is yielded with its error, and the rest goes on. Use the iterator
        up, or close it, before calling another method: answers may be on their way already."""

    def identify(self, folder: str, remote_ids: Sequence[str]) -> list[Identity]:
        """Headers only, for matching after a reset. Items that vanished are left out."""

    def apply(self, folder: str, actions: Sequence[Action]) -> list[ActionResult]:
        """Do them and return once the server has made them durable (POP3: after QUIT). Repeatable:
        what is already done, or gone, counts as done."""

    def file_sent(self, message_id: str, mime: bytes, sent_at: datetime) -> str:
        """Put a copy of what was sent into sent items, seen and dated `sent_at`; returns the receipt.

        Sent items is the folder of special use \\Sent (RFC 6154), else one with a well-known name in
        the account's own namespace; only where there is neither, it is created. Repeatable: a copy with
        this Message-ID that is there already counts, and where the server files copies itself none is
        added. Raises ActionRefused where the protocol has no sent items or the server refuses; any
        other error concerns the connection or the account."""

    def folders(self) -> list[RemoteFolder]:
        """The tree below the inbox; empty where the protocol has none."""

    def ensure_folder(self, name: str) -> str:
        """The folder of this name beside the inbox, made if it isn't there (R3.70). Raises
        ActionRefused where the protocol has no folders or the server refuses."""

    def ensure_category(self, wanted: Category) -> Category:
        """The category with this id as it is called now, made if it isn't there (R7.22). Changes the
        mailbox's list of categories only. Raises ActionRefused where messages can't carry one."""

    def drop_category(self, category_id: str) -> None:
        """Take it off the mailbox's list; messages keep it (R7.23). Gone already counts as done."""

    def marked(self, mark: str, folders: Sequence[str], since: datetime | None) -> Marks:
        """Which messages carry the mark of this name: wherever in the mailbox the protocol can look,
        else in those of `folders` that are there. With `since`, also which of those that changed since carry it no more."""

    def close(self) -> None:
        """Leave politely if possible."""


# -- outgoing ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Envelope:
    """One message to hand over. `mime` has no Bcc header (R5.22) and CRLF line ends. `delivery_receipt`:
    servers are asked to tell what becomes of it, where the protocol can (R5.21)."""

    message_id: str
    sender: str
    recipients: tuple[str, ...]
    mime: bytes = field(repr=False)
    delivery_receipt: bool = False


@dataclass(frozen=True, slots=True)
class RecipientResult:
    """What the server said to one recipient. `permanent`: 5xx. `left_over`: only because the message had
    as many recipients as the server takes at once; the next attempt is for those that were left."""

    address: str
    accepted: bool
    code: int
    text: str
    permanent: bool = False
    left_over: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """Accepted by the server for at least one recipient (R5.16).

    `server_message_id`: the id that the server finally used, where it told us, else "".
    `filed_copy`: the server filed a copy in sent items as part of the submission (R5.17).
    """

    reply: str
    recipients: tuple[RecipientResult, ...]
    server_message_id: str = ""
    filed_copy: bool = False


class OutgoingServer(Protocol):
    """An account that mail can be handed to. One connection serves a batch of messages."""

    protocol: str

    @property
    def told(self) -> tuple[RecipientResult, ...]:
        """While `send` calls `hand_over`: what the server has said to each recipient of the message;
        empty where it says nothing of single ones."""

    @property
    def size_limit(self) -> int:
        """Once it is open: how many octets of one message the server takes, as it says itself; 0 where it
        doesn't say."""

    def open(self) -> Self:
        """Resolve, connect, TLS, log in. Idempotent while connected."""

    def send(self, envelope: Envelope, hand_over: Callable[[], None]) -> Sent:
        """Hand over one message.

        Calls `hand_over` exactly once, directly before the octets after which the server may
        consider the message its own (SMTP: the final dot). What is raised before that call proves
        that the message did not leave. After it, `errors.REFUSALS` mean that the server answered
        and refused; any other error means nobody knows (R5.17).

        Raises MessageRefused, MessageDeferred, MessageTooLarge about this message, with the
        per-recipient results as `recipients` attribute where there are any; the connection stays
        usable. Any other error concerns the connection or the account.
        """

    def find_sent(self, message_id: str) -> bool | None:
        """Is there a copy in sent items? None: this server can't tell (plain SMTP)."""

    def close(self) -> None:
        """Leave politely if possible."""


@dataclass(frozen=True, slots=True)
class AdapterOptions:
    """What surrounds an adapter: `watcher` hears about phases; `max_fetch_bytes` refuses larger
    messages before their bytes are read (R3.10); `save_sent_copy`: where submission and sent items are
    one (Exchange), file a copy with it (R5.18)."""

    watcher: Watcher | None = None
    max_fetch_bytes: int = 150 * 1024 * 1024
    save_sent_copy: bool = True
