"""IMAP4rev1 (RFC 3501) with STARTTLS, UIDPLUS (4315), MOVE (6851) and CONDSTORE (7162), through
imapclient, whose connection is replaced by our own line.

A remote id is "UIDVALIDITY.UID". A cursor tells what the folder looked like (see `Position`), so that
one EXAMINE tells an unchanged one; neither STATUS nor SEARCH is needed. The same answer shows that
something left, by EXISTS: only then all UIDs are asked for. It shows by HIGHESTMODSEQ that flags
changed: only then those are asked for.

A folder's id is its name: there is no other in most servers (RFC 8474 is rare). So a renamed folder is
a missing one, and one that was made again under the same name is told by its UIDVALIDITY, as a reset.

Reading uses EXAMINE and BODY.PEEK, which change nothing. Only what changes something selects a folder
for writing.
"""

import base64
import imaplib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import groupby
from typing import Any, Self

from imapclient import IMAPClient
from imapclient.datetime_util import format_criteria_date
from imapclient.exceptions import CapabilityError
from imapclient.imap_utf7 import decode as decode_utf7
from imapclient.imap_utf7 import encode as encode_utf7
from imapclient.response_parser import parse_fetch_response, parse_message_list

from mailboxes.protocols import sasl
from mailboxes.protocols.base import (
    INBOX,
    SENT,
    Action,
    ActionKind,
    ActionResult,
    AdapterOptions,
    Bearer,
    Category,
    ConnectionSettings,
    Credentials,
    Fetched,
    Identity,
    Listing,
    Marked,
    Marks,
    RemoteFolder,
    RemoteItem,
    Security,
)
from mailboxes.protocols.errors import (
    ActionRefused,
    ConnectionLost,
    FolderMissing,
    LoginRefused,
    MessageError,
    MessageGone,
    MessageTooLarge,
    MessageUnreadable,
    SecureConnectionFailed,
    ServerBusy,
    ServerError,
    TransientError,
    UnexpectedReply,
    WrongProtocol,
)
from mailboxes.protocols.fetching import LINE_FAULTS, fetch_each, identity_of
from mailboxes.protocols.line import Line, has_controls
from mailboxes.protocols.phases import Phase, watched

LONGEST_LINE = 16 * 1024 * 1024  # SEARCH answers with all its UIDs on one line
GROUP_OCTETS = 1024 * 1024  # small messages are fetched together, up to this sum
GROUP_MESSAGES = 50
UIDS_PER_COMMAND = 200  # some servers take no command line of more than 8,000 octets
LISTED_FIELDS = "(UID RFC822.SIZE INTERNALDATE FLAGS)"
IDENTITY_FIELDS = "BODY.PEEK[HEADER.FIELDS (MESSAGE-ID DATE)]"

FOREIGN_GREETING = re.compile(rb"\+OK|-ERR|[1-5]\d\d[ -]|SSH-|HTTP/|<", re.IGNORECASE)
# Response codes (RFC 5530) and words for what passes, in the answer to LOGIN or SELECT.
PASSING = re.compile(
    r"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG)\b|too many|try again|try later|temporar|maximum",
    re.IGNORECASE,
)
KEYWORD = re.compile(r"[A-Za-z0-9$_.!#&'+,/:;<=>?@^`|~-]+")
COPYUID = re.compile(r"(?P<validity>\d+) (?P<here>[\d:,]+) (?P<there>[\d:,]+)")
NO_KEYWORD = re.compile(r"[^A-Za-z0-9$_.!#&'+,/:;<=>?@^`|~-]+")
#: A message that has left can't be marked any more.
LAST = {ActionKind.MOVE: 1, ActionKind.DELETE: 2}
NOT_SELECTABLE = {b"\\noselect", b"\\nonexistent"}
#: What clients call sent items where no folder has the special use. The first one is made if need be.
SENT_ITEMS = (
    "Sent",
    "Sent Items",
    "Sent Messages",
    "Sent Mail",
    "[Gmail]/Sent Mail",
    "Gesendet",
    "Gesendete Elemente",
    "Envoyés",
    "Éléments envoyés",
    "Enviados",
    "Elementos enviados",
    "Posta inviata",
    "Verzonden items",
    "送信済み",
    "送信済みアイテム",
    "送信済みメール",
)


class Overlong(UnexpectedReply):
    """A literal larger than any that was asked for."""


@dataclass(frozen=True, slots=True)
class Position:
    """A cursor taken apart: what was listed, and what the folder looked like then.

    `uid`: the highest that was listed; `modseq`: HIGHESTMODSEQ since which flags are to be asked for,
    0 if it is not known; `next_uid`: UIDNEXT when nothing was left to list, else 0; `count`: how many
    of those up to `uid` are still thought to be there, None if nobody counted (older cursors).
    """

    validity: int
    uid: int
    modseq: int
    next_uid: int = 0
    count: int | None = None

    @classmethod
    def parse(cls, cursor: str) -> "Position | None":
        parts = cursor.split(".")
        if len(parts) not in {3, 5} or not all(part.isdecimal() for part in parts):
            return None
        return cls(*(int(part) for part in parts))

    def __str__(self) -> str:
        end = "" if self.count is None else f".{self.next_uid}.{self.count}"
        return f"{self.validity}.{self.uid}.{self.modseq}{end}"

    def after(self, uid: int, listed: int) -> "Position":
        """When `listed` more were, the last of which is `uid`."""
        count = None if self.count is None else self.count + listed
        return Position(self.validity, uid, self.modseq, 0, count)

    def shows(self, state: "Selected") -> bool:
        """Nothing came, nothing left, and no flag changed."""
        then = (self.next_uid, self.count, self.modseq)
        return bool(self.next_uid) and then == (state.next_uid, state.exists, state.modseq)


@dataclass(frozen=True, slots=True)
class Selected:
    """What the server said about the selected folder. `next_uid`, `modseq`: 0 if it did not."""

    folder: str
    writable: bool
    validity: int
    next_uid: int
    modseq: int
    exists: int
    permanent_flags: frozenset[bytes] | None

    def allows_keyword(self, keyword: str) -> bool:
        """Without PERMANENTFLAGS, every flag may be set (RFC 3501, 7.1)."""
        flags = self.permanent_flags
        return flags is None or rb"\*" in flags or keyword.lower().encode() in flags


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of some actions alike. `copies`: UID -> key in the folder that it was moved to."""

    done: bool
    text: str
    copies: dict[int, str] = field(default_factory=dict)

    def result_of(self, action: Action, uid: int) -> ActionResult:
        if not self.done:
            return ActionResult(action, False, "", ActionRefused(self.text, phase=Phase.APPLY))
        copy = self.copies.get(uid)
        return ActionResult(action, True, f"moved as {copy}" if copy else self.text)


class Connection(imaplib.IMAP4):
    """imaplib's dialogue over our line. It asks subclasses to replace just these methods."""

    def __init__(self, line: Line, largest_literal: int) -> None:
        self.line = line
        self.largest_literal = largest_literal
        self.with_condstore = False
        super().__init__()

    def open(self, host: str = "", port: int = 143, timeout: float | None = None) -> None:
        """The line is already connected."""

    def read(self, size: int) -> bytes:
        if size > self.largest_literal:
            self.line.close()
            raise Overlong(f"the server sends {size} octets where {self.largest_literal} may come")
        return self.line.read_exactly(size)

    def readline(self) -> bytes:
        return self.line.read_line(LONGEST_LINE)

    def send(self, data: Any) -> None:
        self.line.send(data)

    def shutdown(self) -> None:
        self.line.close()

    def select(self, mailbox: str = INBOX, readonly: bool = False) -> Any:
        """Dovecot tells HIGHESTMODSEQ only to those who ask (RFC 7162, 3.1.8)."""
        return super().select(
            f"{mailbox} (CONDSTORE)" if self.with_condstore else mailbox, readonly
        )

    def starttls(self, ssl_context: object = None) -> Any:
        """All that was learnt on the plain line is forgotten: somebody else could have said it."""
        status, data = self.xatom("STARTTLS")
        if status == "OK":
            self.line.start_tls()
            self.untagged_responses.clear()
        return status, data


class TokenDialogue:
    """Answers what the server asks while it looks at a token (sasl.py)."""

    def __init__(self, mechanism: str, unsent: list[bytes]) -> None:
        self._mechanism = mechanism
        self._unsent = unsent
        self.words = ""

    def answer(self, challenge: bytes) -> bytes:
        if self._unsent:
            return self._unsent.pop()
        self.words = sasl.told(challenge)
        return base64.b64encode(sasl.consent(self._mechanism))


class Client(IMAPClient):  # type: ignore[misc]  # imapclient ships no types
    """imapclient over our line, and silent: its debug log holds message bodies."""

    def __init__(self, connection: partial[Connection]) -> None:
        self._make_connection = connection
        super().__init__("", ssl=False)
        self._imap.debug = 0
        self.normalise_times = False
        self.folder_encode = False

    def _create_IMAP4(self) -> Connection:
        return self._make_connection()

    def _set_read_timeout(self) -> None:
        """The line has its own."""


class ImapServer:
    """IncomingServer over IMAP. Constructed unconnected."""

    protocol = "imap"
    sizes_stay = True

    def __init__(self, settings: ConnectionSettings, options: AdapterOptions | None = None) -> None:
        self.settings = settings
        self.options = options or AdapterOptions()
        self._line = Line(settings)
        self._client: Any = None
        self._tokens: sasl.Tokens | None = None
        self._selected: Selected | None = None
        self._sent_items = ""  # once it was looked for
        self._sizes: dict[str, int] = {}
        self._one_by_one = False  # after a line broke while several messages were on their way

    def __repr__(self) -> str:
        return f"<ImapServer {self.settings.host}:{self.settings.port}>"

    # -- the contract ------------------------------------------------------------------------------

    def open(self) -> Self:
        if self._line.usable:
            return self
        watcher = self.options.watcher
        self._line = Line(self.settings, watcher)
        self._selected = None
        self._sent_items = ""
        try:
            self._tokens = sasl.fetched(self.settings, watcher)
            self._line.connect()
            if self.settings.security is Security.STARTTLS:
                with watched(watcher, Phase.TLS), self._translated(greeting=True):
                    self._greet()
                    self._start_tls()
                with watched(watcher, Phase.LOGIN), self._translated(greeting=True):
                    self._log_in()
            else:
                with watched(watcher, Phase.LOGIN), self._translated(greeting=True):
                    self._greet()
                    self._log_in()
        except BaseException:
            self._line.close()
            raise
        return self

    def list_new(self, folder: str, cursor: str, limit: int) -> Listing:
        self.open()
        with watched(self.options.watcher, Phase.OPEN), self._translated():
            state = self._select(folder, writable=False, fresh=True)
        known = Position.parse(cursor)
        reset = bool(cursor) and (known is None or known.validity != state.validity)
        if known is None or reset:
            known = Position(state.validity, 0, state.modseq, 0, 0)
        elif known.shows(state):
            return Listing((), cursor, unchanged=True, total=state.exists)
        with watched(self.options.watcher, Phase.LIST), self._translated():
            listing = self._listing(state, known, max(limit, 1))
        self._sizes.update((item.remote_id, item.size) for item in listing.items)
        if listing == Listing((), cursor):  # servers without UIDNEXT let us know only now
            return Listing((), cursor, unchanged=True, total=state.exists)
        return replace(listing, reset=reset, total=state.exists, epoch=f"{state.validity}.")

    def fetch(self, folder: str, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        self._one_by_one = False
        return fetch_each(
            remote_ids, partial(self._prepare, folder), partial(self._retrieve, folder)
        )

    def identify(self, folder: str, remote_ids: Sequence[str]) -> list[Identity]:
        self._prepare(folder)
        identities: list[Identity] = []
        with watched(self.options.watcher, Phase.FETCH), self._translated():
            uids = self._uids(remote_ids)
            wanted = [each for each in remote_ids if each in uids]
            for start in range(0, len(wanted), UIDS_PER_COMMAND):
                part = wanted[start : start + UIDS_PER_COMMAND]
                _, rows = self._fetch(
                    uid_set([uids[each] for each in part]), f"(UID RFC822.SIZE {IDENTITY_FIELDS})"
                )
                for each in part:
                    row = rows.get(uids[each], {})
                    head = next((row[key] for key in row if key.startswith(b"BODY[HEADER")), None)
                    if isinstance(head, bytes):
                        identities.append(identity_of(each, head, size_of(row)))
        return identities

    def apply(self, folder: str, actions: Sequence[Action]) -> list[ActionResult]:
        if not actions:
            return []
        self.open()
        with watched(self.options.watcher, Phase.APPLY), self._translated():
            try:
                self._select(folder, writable=True)
            except imaplib.IMAP4.readonly:
                error = ActionRefused(f"the folder {folder} is read-only for us")
                return [ActionResult(action, False, "", error) for action in actions]
            results: dict[Action, ActionResult] = {}
            in_order = sorted(actions, key=lambda each: (LAST.get(each.kind, 0), each.argument))
            for (kind, argument), group in groupby(in_order, lambda a: (a.kind, a.argument)):
                for result in self._apply_alike(kind, argument, list(dict.fromkeys(group))):
                    results[result.action] = result
        return [results[action] for action in actions]

    def file_sent(self, message_id: str, mime: bytes, sent_at: datetime) -> str:
        self.open()
        with self._refusable():
            return self._file_sent(message_id, mime, sent_at)

    def folders(self) -> list[RemoteFolder]:
        """Below INBOX. Gmail keeps none there: its labels stand beside it (R7.30)."""
        self.open()
        with watched(self.options.watcher, Phase.LIST), self._translated():
            gmail = self._client.has_capability("X-GM-EXT-1")
            root = self._client.list_folders("", "")
            delimiter = text_of(root[0][1]) if root and root[0][1] else ""
            if not delimiter:
                return []
            prefix = "" if gmail else f"{INBOX}{delimiter}"
            listed = self._client.list_folders("", f"{prefix}*")
            folders = [self._remote_folder(row, prefix, delimiter) for row in listed]
        return [folder for folder in folders if folder]

    def ensure_folder(self, name: str) -> str:
        self.open()
        with self._refusable():
            prefix, _foreign = self._namespaces()
            folder = f"{prefix}{name}"
            if folder not in {known for _flags, known in self._all_folders()}:
                self._create(folder)
            return folder

    def ensure_category(self, wanted: Category) -> Category:
        """The name with what no keyword may hold replaced. There is no list: any client may use it."""
        keyword = NO_KEYWORD.sub("_", wanted.name).strip("_")
        if not keyword:
            raise ActionRefused(f"{wanted.name!r} can't be an IMAP keyword", phase=Phase.APPLY)
        self.open()
        with watched(self.options.watcher, Phase.APPLY), self._translated():
            try:
                allowed = self._select(INBOX, writable=True).allows_keyword(keyword)
            except imaplib.IMAP4.readonly:
                allowed = False
        if not allowed:
            raise ActionRefused(f"the server does not allow the keyword {keyword}")
        return Category(wanted.id, keyword)

    def drop_category(self, category_id: str) -> None:
        """Keywords are on no list."""

    def marked(self, mark: str, folders: Sequence[str], since: datetime | None) -> Marks:
        if not KEYWORD.fullmatch(mark):
            return Marks((), complete=True)
        self.open()
        found: list[Marked] = []
        for folder in folders:
            try:
                with watched(self.options.watcher, Phase.OPEN), self._translated():
                    validity = self._select(folder, writable=False).validity
            except FolderMissing:
                continue
            with watched(self.options.watcher, Phase.LIST), self._translated():
                uids = self._search(f"KEYWORD {mark}")
            found += [Marked(folder, f"{validity}.{uid}", has_mark=True) for uid in uids]
        return Marks(tuple(found), complete=True)

    def close(self) -> None:
        if not self._line.usable:
            return
        self._line.hurry()
        try:
            with self._translated():
                self._client.logout()
        except ServerError:
            pass
        finally:
            self._line.close()

    # -- opening -----------------------------------------------------------------------------------

    def _greet(self) -> None:
        self._line.await_greeting()
        greeting = self._line.peek_line()
        if FOREIGN_GREETING.match(greeting):
            raise WrongProtocol(f"this is no IMAP server; it says: {self._line.said(greeting)}")
        if re.match(rb"\* BYE\b", greeting, re.IGNORECASE):
            raise ServerBusy(f"the server refuses the connection: {self._line.said(greeting[5:])}")
        # Twice what is asked for at most, since sizes are not exact everywhere.
        largest = 2 * max(self.options.max_fetch_bytes, GROUP_OCTETS)
        self._client = Client(partial(Connection, self._line, largest))
        if self._imap.state != "NONAUTH":
            raise UnexpectedReply("the server says that we are logged in already")

    def _start_tls(self) -> None:
        try:
            self._client.starttls(ssl_context=object())
        except CapabilityError as error:
            raise SecureConnectionFailed("the server does not offer STARTTLS") from error
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            text = self._words(error)
            if PASSING.search(text):
                raise TransientError(f"the server can't start TLS now: {text}") from error
            raise SecureConnectionFailed(f"the server refuses STARTTLS: {text}") from error

    def _log_in(self) -> None:
        credentials = self.settings.credentials
        if credentials is None:
            raise LoginRefused("no user name and password are stored")
        if isinstance(credentials, Bearer):
            self._log_in_by_token(credentials)
        else:
            self._log_in_by_password(credentials)
        # Only if the server told its capabilities unasked: asking costs more than it saves.
        if "CAPABILITY" in self._imap.untagged_responses:
            self._imap.with_condstore = self._client.has_capability("CONDSTORE")

    def _log_in_by_token(self, bearer: Bearer) -> None:
        mechanism = sasl.choose(
            [each for each in sasl.MECHANISMS if self._client.has_capability(f"AUTH={each}")]
        )
        at_once = bool(self._client.has_capability("SASL-IR"))
        assert self._tokens is not None

        def attempt(token: str) -> str | None:
            shown = sasl.response(mechanism, bearer, token, self.settings)
            return self._authenticate(mechanism, base64.b64encode(shown), at_once)

        self._tokens.log_in(self._line, attempt)

    def _authenticate(self, mechanism: str, shown: bytes, at_once: bool) -> str | None:
        """None once logged in, else why not. Raises ServerBusy for what passes."""
        dialogue = TokenDialogue(mechanism, [] if at_once else [shown])
        # imaplib takes what goes on a line of its own, or a bound method that makes it.
        self._imap.literal = dialogue.answer  # type: ignore[assignment]
        try:
            arguments = (mechanism, shown) if at_once else (mechanism,)
            status, data = self._imap._simple_command("AUTHENTICATE", *arguments)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:  # BAD
            status, data = "BAD", [str(error).encode()]
        finally:
            self._imap.literal = None
        if status == "OK":
            self._imap.state = "AUTH"
            return None
        text = self._line.said(
            " ".join([text_of(data[-1]) if data else "", dialogue.words]).strip()
        )
        if PASSING.search(text):
            raise ServerBusy(text)
        return text

    def _log_in_by_password(self, credentials: Credentials) -> None:
        """LOGIN, or AUTHENTICATE PLAIN where LOGIN is disabled or can't carry the characters."""
        user, password = credentials.username, credentials.password
        if has_controls(user + password):
            raise LoginRefused("the user name or password holds control characters")
        plain_login = (user + password).isascii() and not self._client.has_capability(
            "LOGINDISABLED"
        )
        try:
            if plain_login:
                self._imap.login(quoted(user), password)
            elif self._client.has_capability("AUTH=PLAIN"):
                answer = f"\0{user}\0{password}".encode()
                self._imap.authenticate("PLAIN", lambda challenge: answer)
            else:
                raise LoginRefused("the server offers neither LOGIN nor AUTH=PLAIN for this login")
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            text = self._words(error)
            refused = ServerBusy(text) if PASSING.search(text) else LoginRefused(text)
            # The library's error repeats the server's words, which may repeat the password.
            raise refused from (None if password in str(error) else error)

    # -- folders -----------------------------------------------------------------------------------

    def _select(self, folder: str, *, writable: bool, fresh: bool = False) -> Selected:
        """Unless it is selected well enough. `fresh`: its state is wanted as it is now."""
        if folder == SENT:
            folder = self._find_sent_items()
            if not folder:
                raise FolderMissing("the account has no folder for sent items")
        now = self._selected
        if now and now.folder == folder and not fresh and (now.writable or not writable):
            return now
        self._selected = None
        try:
            answer = self._client.select_folder(encode_utf7(folder), readonly=not writable)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            text = self._words(error)
            if PASSING.search(text):
                raise TransientError(f"the folder {folder} can't be opened now: {text}") from error
            raise FolderMissing(f"the folder {folder} can't be opened: {text}") from error
        if not answer.get(b"UIDVALIDITY"):
            raise UnexpectedReply(f"the server gives the folder {folder} no UIDVALIDITY")
        flags = answer.get(b"PERMANENTFLAGS")
        self._selected = Selected(
            folder=folder,
            writable=writable,
            validity=answer[b"UIDVALIDITY"],
            next_uid=answer.get(b"UIDNEXT", 0),
            modseq=answer.get(b"HIGHESTMODSEQ", 0),
            exists=answer.get(b"EXISTS", 0),
            permanent_flags=None if flags is None else frozenset(each.lower() for each in flags),
        )
        return self._selected

    def _remote_folder(
        self, row: tuple[Sequence[bytes], bytes, bytes], prefix: str, delimiter: str
    ) -> RemoteFolder | None:
        """None for one that holds no messages or can't be named."""
        flags, _, raw = row
        name = name_of(raw)
        if not name or NOT_SELECTABLE & {flag.lower() for flag in flags}:
            return None
        if name.upper() == INBOX or not name.upper().startswith(prefix):
            return None
        return RemoteFolder(name, tuple(name[len(prefix) :].split(delimiter)))

    # -- listing -----------------------------------------------------------------------------------

    def _listing(self, state: Selected, known: Position, limit: int) -> Listing:
        """The end of it also tells what left and what changed, which answers before it leave open."""
        found, more = self._items_above(state, known.uid, limit)
        items = tuple(
            replace(each, cursor=str(known.after(uid_of(each), number)))
            for number, each in enumerate(found, start=1)
        )
        if more:
            return Listing(items, items[-1].cursor, more=True)
        # Messages that came after the EXAMINE, and so are in none of its numbers.
        late = sum(uid_of(each) >= state.next_uid > 0 for each in items)
        listed = known.after(uid_of(items[-1]) if items else known.uid, len(items))
        left = known.uid and listed.count != state.exists + late
        modseq, changed = self._changes(state, known)
        return Listing(
            items,
            str(Position(state.validity, listed.uid, modseq, state.next_uid, state.exists + late)),
            present=self._present(state) if left else None,
            changed=changed,
        )

    def _present(self, state: Selected) -> frozenset[str]:
        return frozenset(f"{state.validity}.{uid}" for uid in self._search("ALL"))

    def _changes(self, state: Selected, known: Position) -> tuple[int, tuple[RemoteItem, ...]]:
        """Up to which HIGHESTMODSEQ we know the flags of what was listed, and whose have changed."""
        if not (known.uid and known.modseq and state.modseq) or known.modseq == state.modseq:
            return state.modseq, ()
        complete, rows = self._fetch(
            f"1:{known.uid}", f"{LISTED_FIELDS} (CHANGEDSINCE {known.modseq})"
        )
        found = {uid: row for uid, row in rows.items() if b"RFC822.SIZE" in row}
        changed = tuple(item_of(state, uid, row) for uid, row in sorted(found.items()))
        return (state.modseq if complete else known.modseq), changed

    def _items_above(self, state: Selected, last: int, limit: int) -> tuple[list[RemoteItem], bool]:
        """The first `limit` messages above UID `last`, and whether there may be more.

        A first look at a large folder must not list all of it for every page, so UIDs are asked for
        in windows, as wide as `limit` messages are on average and eight times wider after an empty
        one. The last window is open, for what arrived meanwhile.
        """
        if not state.exists or state.next_uid == last + 1:
            return [], False
        if not state.next_uid:
            uids = sorted(uid for uid in self._search(f"UID {last + 1}:*") if uid > last)
            some = uids[:limit]
            return (self._items(uid_set(some), state) if some else []), len(uids) > len(some)
        start = last + 1
        width = limit * max(1, state.next_uid // state.exists)
        while True:
            end = start + width - 1
            is_last = end >= state.next_uid - 1
            items = self._items(f"{start}:{'*' if is_last else end}", state)
            # "N:*" means the last message even where that is below N (RFC 3501, 6.4.8).
            items = [each for each in items if uid_of(each) >= start]
            if items or is_last:
                return items[:limit], len(items) > limit or not is_last
            start, width = end + 1, width * 8

    def _items(self, uids: str, state: Selected) -> list[RemoteItem]:
        """By UID, which is the order in which they came into this folder."""
        complete, rows = self._fetch(uids, LISTED_FIELDS)
        found = {uid: row for uid, row in rows.items() if b"RFC822.SIZE" in row}
        if not complete:  # it fails over one of them, which must not hide the others nor itself
            found |= {uid: {} for uid in self._search(f"UID {uids}") if uid not in found}
        return [item_of(state, uid, row) for uid, row in sorted(found.items())]

    # -- messages ----------------------------------------------------------------------------------

    def _prepare(self, folder: str) -> None:
        self.open()
        with watched(self.options.watcher, Phase.OPEN), self._translated():
            self._select(folder, writable=False)

    def _retrieve(self, folder: str, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        uids = self._uids(remote_ids)
        with watched(self.options.watcher, Phase.FETCH), self._translated():
            sizes = self._known_sizes([each for each in remote_ids if each in uids], uids)
        for group in self._groups(remote_ids, sizes):
            wanted = [each for each in group if self._may_be_fetched(each, uids, sizes)]
            try:
                with watched(self.options.watcher, Phase.FETCH), self._translated():
                    bodies = self._bodies({each: uids[each] for each in wanted})
            except LINE_FAULTS:
                if len(wanted) < 2:
                    raise
                self._one_by_one = True
                self._line.close()
                return
            for each in group:
                body = bodies.pop(each, None)
                if body is None:  # b"" is a message, too
                    body = self._why_not(each, uids, sizes)
                if isinstance(body, bytes):
                    yield Fetched(each, body)
                else:
                    yield Fetched(each, None, body)
            if not self._line.usable:
                return

    def _groups(self, remote_ids: Sequence[str], sizes: dict[str, int]) -> Iterator[list[str]]:
        """A message each, except that small ones share a round trip."""
        group: list[str] = []
        octets = 0
        for each in remote_ids:
            size = sizes.get(each, 0) or GROUP_OCTETS  # unknown: as if it were large
            full = len(group) >= (1 if self._one_by_one else GROUP_MESSAGES)
            if group and (full or octets + size > GROUP_OCTETS):
                yield group
                group, octets = [], 0
            group.append(each)
            octets += size
        if group:
            yield group

    def _known_sizes(self, remote_ids: Sequence[str], uids: dict[str, int]) -> dict[str, int]:
        """From the last listing, else from the server; absent for a message that it has not got."""
        unknown = [each for each in remote_ids if each not in self._sizes]
        sizes = {each: self._sizes[each] for each in remote_ids if each in self._sizes}
        for start in range(0, len(unknown), UIDS_PER_COMMAND):
            part = unknown[start : start + UIDS_PER_COMMAND]
            complete, rows = self._fetch(
                uid_set([uids[each] for each in part]), "(UID RFC822.SIZE)"
            )
            for each in part:
                if uids[each] in rows or not complete:
                    sizes[each] = size_of(rows.get(uids[each], {}))
        return sizes

    def _may_be_fetched(self, each: str, uids: dict[str, int], sizes: dict[str, int]) -> bool:
        return each in uids and each in sizes and sizes[each] <= self.options.max_fetch_bytes

    def _why_not(self, each: str, uids: dict[str, int], sizes: dict[str, int]) -> MessageError:
        if each not in uids:
            return MessageGone("the server has given its messages new keys", phase=Phase.FETCH)
        size = sizes.get(each, 0)
        if size > self.options.max_fetch_bytes:
            limit = self.options.max_fetch_bytes
            return MessageTooLarge(
                f"{size} octets are more than the limit of {limit}", phase=Phase.FETCH
            )
        return MessageGone("the server does not have it any more", phase=Phase.FETCH)

    def _bodies(self, wanted: dict[str, int]) -> dict[str, bytes | MessageError]:
        """Those that the server hands out. What it leaves out of several is asked for alone."""
        if not wanted:
            return {}
        answers: dict[str, bytes | MessageError] = {}
        try:
            complete, rows = self._fetch(uid_set(list(wanted.values())), "(UID BODY.PEEK[])")
            text = self._refusal
        except Overlong as error:
            if len(wanted) > 1:
                raise
            too_large = MessageTooLarge(error.detail, phase=Phase.FETCH)
            too_large.__cause__ = error
            return dict.fromkeys(wanted, too_large)
        for each, uid in wanted.items():
            row = rows.get(uid, {})
            body = row.get(b"BODY[]")
            if isinstance(body, bytes):
                answers[each] = self._within_limit(body)
            elif not complete and len(wanted) > 1:
                answers |= self._bodies({each: uid})
            elif not complete or b"BODY[]" in row:
                answers[each] = MessageUnreadable(text or "the server sends NIL", phase=Phase.FETCH)
        return answers

    def _within_limit(self, body: bytes) -> bytes | MessageError:
        limit = self.options.max_fetch_bytes
        if len(body) <= limit:
            return body
        return MessageTooLarge(
            f"{len(body)} octets are more than the limit of {limit}", phase=Phase.FETCH
        )

    def _uids(self, remote_ids: Sequence[str]) -> dict[str, int]:
        """Remote id -> UID, without those of an earlier UIDVALIDITY."""
        assert self._selected is not None
        uids = {}
        for each in remote_ids:
            validity, _, uid = each.partition(".")
            if validity == str(self._selected.validity) and uid.isdecimal():
                uids[each] = int(uid)
        return uids

    # -- actions -----------------------------------------------------------------------------------

    def _apply_alike(
        self, kind: ActionKind, argument: str, actions: list[Action]
    ) -> Iterator[ActionResult]:
        uids = self._uids([action.remote_id for action in actions])
        present = [action for action in actions if action.remote_id in uids]
        for action in actions:
            if action.remote_id not in uids:
                gone = MessageGone("the server has given its messages new keys", phase=Phase.APPLY)
                yield ActionResult(action, False, "", gone)
        for start in range(0, len(present), UIDS_PER_COMMAND):
            part = present[start : start + UIDS_PER_COMMAND]
            outcome = self._do(kind, argument, [uids[each.remote_id] for each in part])
            for action in part:
                uid = uids[action.remote_id]
                if not outcome.done and len(part) > 1:  # one of them is to blame
                    yield self._do(kind, argument, [uid]).result_of(action, uid)
                else:
                    yield outcome.result_of(action, uid)

    def _do(self, kind: ActionKind, argument: str, uids: list[int]) -> Outcome:
        try:
            match kind:
                case ActionKind.DELETE:
                    return Outcome(True, self._delete(uids))
                case ActionKind.MOVE:
                    return self._move(uids, argument)
                case ActionKind.SEEN:
                    self._client.add_flags(uids, [rb"\Seen"], silent=True)
                    return Outcome(True, "marked as seen")
                case ActionKind.MARK:
                    return self._set_keyword(uids, argument)
                case ActionKind.UNMARK:
                    return self._take_keyword(uids, argument)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            return Outcome(False, self._words(error))

    def _set_keyword(self, uids: list[int], keyword: str) -> Outcome:
        assert self._selected is not None
        if not KEYWORD.fullmatch(keyword):
            return Outcome(False, f"{keyword!r} is not an IMAP keyword")
        if not self._selected.allows_keyword(keyword):
            return Outcome(False, f"the server does not allow the keyword {keyword} in this folder")
        self._client.add_flags(uids, [keyword.encode()], silent=True)
        return Outcome(True, f"keyword {keyword} set")

    def _take_keyword(self, uids: list[int], keyword: str) -> Outcome:
        if not KEYWORD.fullmatch(keyword):
            return Outcome(True, f"no message can carry {keyword!r}")
        self._client.remove_flags(uids, [keyword.encode()], silent=True)
        return Outcome(True, f"keyword {keyword} taken off")

    def _delete(self, uids: list[int]) -> str:
        self._client.add_flags(uids, [rb"\Deleted"], silent=True)
        return self._expunge(uids)

    def _expunge(self, uids: list[int]) -> str:
        """EXPUNGE without UIDs removes whatever anybody has marked as deleted. So without UIDPLUS it
        is used only when that is ours alone; else ours stay marked until somebody expunges."""
        if self._client.has_capability("UIDPLUS"):
            self._client.uid_expunge(uids)
            return "expunged"
        if set(self._search("DELETED")) <= set(uids):
            self._client.expunge()
            return "expunged"
        return "marked as deleted; others are too, so the folder was not expunged"

    def _move(self, uids: list[int], folder: str) -> Outcome:
        if folder == SENT:
            folder = self._find_sent_items() or self._create_sent_items()
        target = encode_utf7(folder)
        self._imap.response("COPYUID")  # what is left over from other commands
        if self._client.has_capability("MOVE"):
            receipt = self._into(target, lambda: self._client.move(uids, target))
            return Outcome(True, receipt or "moved", self._copies())
        receipt = self._into(target, lambda: self._client.copy(uids, target))
        copies = self._copies()
        return Outcome(True, f"{receipt or 'copied'}; {self._delete(uids)}", copies)

    def _copies(self) -> dict[int, str]:
        """UID here -> key there, where the server told (RFC 4315, 3)."""
        told = self._imap.response("COPYUID")[1]
        found = COPYUID.fullmatch(text_of(told[-1]).strip())
        if not found:
            return {}
        here, there = uids_in(found["here"]), uids_in(found["there"])
        if len(here) != len(there):
            return {}
        return {old: f"{found['validity']}.{new}" for old, new in zip(here, there, strict=True)}

    def _into(self, target: bytes, command: Any) -> str:
        """Run it, and again after creating the folder if the server says so (RFC 3501, 6.4.7)."""
        try:
            return self._line.said(command() or b"")
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            if "[TRYCREATE]" not in str(error).upper():
                raise
        self._client.create_folder(target)
        return self._line.said(command() or b"")

    # -- sent items --------------------------------------------------------------------------------

    def _file_sent(self, message_id: str, mime: bytes, sent_at: datetime) -> str:
        if self._client.has_capability("X-GM-EXT-1"):
            return "the server files copies itself"
        folder = self._find_sent_items()
        if not folder:
            folder = self._create_sent_items()
        elif self._holds(folder, message_id, sent_at):
            return f"there is one in {folder} already"
        target = encode_utf7(folder)
        receipt = self._into(
            target, lambda: self._client.append(target, mime, [rb"\Seen"], sent_at)
        )
        return f"filed in {folder}: {receipt}"

    def _find_sent_items(self) -> str:
        """ "" if the account has none."""
        if self._sent_items:
            return self._sent_items
        prefix, foreign = self._namespaces()
        folders = [
            (flags, name)
            for flags, name in self._all_folders()
            if not any(name.startswith(other) for other in foreign)
        ]
        special = [name for flags, name in folders if rb"\sent" in flags]
        wanted = {f"{prefix}{name}".casefold() for name in SENT_ITEMS}
        named = [name for _flags, name in folders if name.casefold() in wanted]
        self._sent_items = next(iter(special + named), "")
        return self._sent_items

    def _create_sent_items(self) -> str:
        prefix, _foreign = self._namespaces()
        self._sent_items = f"{prefix}{SENT_ITEMS[0]}"
        self._create(self._sent_items)
        return self._sent_items

    def _create(self, folder: str) -> None:
        self._client.create_folder(encode_utf7(folder))
        self._client.subscribe_folder(encode_utf7(folder))  # most clients show only those

    def _namespaces(self) -> tuple[str, tuple[str, ...]]:
        """What names of our own folders begin with, and what other people's do (RFC 2342)."""
        if not self._client.has_capability("NAMESPACE"):
            return "", ()
        spaces = self._client.namespace()
        own = [decode_utf7(to_bytes(prefix)) for prefix, _delimiter in spaces.personal or ()]
        foreign = [
            decode_utf7(to_bytes(prefix))
            for prefix, _delimiter in (*(spaces.other or ()), *(spaces.shared or ()))
        ]
        return next(iter(own), ""), tuple(prefix for prefix in foreign if prefix)

    def _all_folders(self) -> Iterator[tuple[set[bytes], str]]:
        """Flags in lower case, and names, of what can be opened. A server may tell special uses only
        to those who ask (RFC 6154, 2)."""
        asked = all(self._client.has_capability(each) for each in ("SPECIAL-USE", "LIST-EXTENDED"))
        status, data = self._imap.list('""', '"*" RETURN (SPECIAL-USE)' if asked else '"*"')
        if status != "OK":
            raise UnexpectedReply(f"LIST was refused: {self._line.said(text_of(data[-1]))}")
        for flags, _delimiter, raw in self._client._proc_folder_list(data):
            attributes = {flag.lower() for flag in flags}
            name = name_of(raw)
            if name and not NOT_SELECTABLE & attributes:
                yield attributes, name

    def _holds(self, folder: str, message_id: str, sent_at: datetime) -> bool:
        """A large folder is searched from the day before only, which takes clocks and time zones in."""
        if has_controls(message_id) or not message_id.isascii():
            raise ActionRefused(f"the server can't search for {message_id!r}", phase=Phase.APPLY)
        self._select(folder, writable=False)
        since = format_criteria_date(sent_at.astimezone(UTC) - timedelta(days=1)).decode()
        field = quoted(f"<{message_id.strip('<>')}>")
        return bool(self._search(f"SINCE {since} HEADER Message-ID {field}"))

    # -- commands and replies ----------------------------------------------------------------------

    @property
    def _imap(self) -> Connection:
        connection: Connection = self._client._imap
        return connection

    _refusal = ""  # the server's words, when the last FETCH was incomplete

    def _fetch(self, uids: str, items: str) -> tuple[bool, dict[int, dict[bytes, Any]]]:
        """Whether the server could answer in full, and what it answered, by UID.

        imapclient's own fetch takes no ranges and throws away what came before a NO. An answer to
        something else may be among the rows, so look for the item that was asked for.
        """
        self._imap.response("FETCH")  # what is left over from other commands
        self._refusal = ""
        try:
            status, data = self._imap.uid("FETCH", uids, items)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            self._refusal = self._words(error)
            return False, {}
        if status != "OK":
            self._refusal = self._line.said(text_of(data[-1]))
            data = self._imap.response("FETCH")[1]
        return status == "OK", dict(parse_fetch_response(data, normalise_times=False))

    def _search(self, criteria: str) -> list[int]:
        status, data = self._imap.uid("SEARCH", criteria)
        if status != "OK":
            raise UnexpectedReply(f"SEARCH was refused: {self._line.said(text_of(data[-1]))}")
        return [uid for line in data if line for uid in parse_message_list([line])]

    def _words(self, error: Exception) -> str:
        """The server's words in a library's error, whose argument may be text, bytes or neither."""
        word = error.args[0] if error.args else ""
        return self._line.said(word if isinstance(word, (bytes, str)) else str(word))

    @contextmanager
    def _refusable(self) -> Iterator[None]:
        """While the line stands, the server only refused this, which must not stop the mailbox."""
        try:
            with watched(self.options.watcher, Phase.APPLY), self._translated():
                yield
        except ServerError as error:
            if isinstance(error, MessageError) or not self._line.usable:
                raise
            raise ActionRefused(error.detail, phase=Phase.APPLY) from error

    @contextmanager
    def _translated(self, *, greeting: bool = False) -> Iterator[None]:
        """The one place where what the libraries raise becomes our errors. Their parsers meet any
        garbage with some ValueError, LookupError or the like."""
        try:
            yield
        except ServerError:
            raise
        except imaplib.IMAP4.abort as error:
            farewell = self._client and self._imap.untagged_responses.get("BYE")
            self._line.close()
            if not farewell:
                raise UnexpectedReply(self._words(error)) from error
            text = self._line.said(text_of(farewell[-1]))
            kind = ServerBusy if greeting or PASSING.search(text) else ConnectionLost
            raise kind(f"the server ends the connection: {text}") from error
        except imaplib.IMAP4.error as error:
            raise UnexpectedReply(self._words(error)) from error
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            AssertionError,
            RecursionError,
        ) as error:
            self._line.close()
            detail = self._line.said(f"not an IMAP reply ({type(error).__name__}: {error})"[:300])
            raise UnexpectedReply(detail) from error


# -- reading what servers say ----------------------------------------------------------------------


def uid_set(uids: Sequence[int]) -> str:
    return ",".join(str(uid) for uid in uids)


def uids_in(uid_set: str) -> list[int]:
    """In the order given: "3:5,2". Never more than we could have asked for."""
    found: list[int] = []
    for part in uid_set.split(","):
        first, _, last = part.partition(":")
        if first.isdecimal() and (last or first).isdecimal():
            found += range(int(first), int(last or first) + 1)[: UIDS_PER_COMMAND + 1]
    return found


def uid_of(item: RemoteItem) -> int:
    return int(item.remote_id.partition(".")[2])


def item_of(state: Selected, uid: int, row: dict[bytes, Any]) -> RemoteItem:
    return RemoteItem(
        remote_id=f"{state.validity}.{uid}",
        size=size_of(row),
        received_at=received_at(row),
        marks=keywords_of(row),
    )


def keywords_of(row: dict[bytes, Any]) -> frozenset[str] | None:
    flags = row.get(b"FLAGS")
    if flags is None:
        return None
    return frozenset(text_of(flag) for flag in flags if not flag.startswith(b"\\"))


def size_of(row: dict[bytes, Any]) -> int:
    size = row.get(b"RFC822.SIZE")
    return size if isinstance(size, int) else 0


def received_at(row: dict[bytes, Any]) -> datetime | None:
    moment = row.get(b"INTERNALDATE")
    if not isinstance(moment, datetime):
        return None
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        return None


def name_of(raw: bytes | str) -> str:
    """A folder's name; "" if it is not in modified UTF-7: it could be listed but not opened."""
    spelled = to_bytes(raw)
    try:
        name: str = decode_utf7(spelled)
        return name if encode_utf7(name) == spelled else ""
    except ValueError:
        return ""


def to_bytes(raw: bytes | str) -> bytes:
    return raw if isinstance(raw, bytes) else raw.encode()


def text_of(raw: Any) -> str:
    """Of what the libraries return for text: bytes, a str, or None."""
    return raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw or "")


def quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
