"""POP3 (RFC 1939) with CAPA and PIPELINING (RFC 2449), STLS (RFC 2595) and response codes (RFC 3206).

Spoken by hand: poplib refuses lines of more than 2048 octets, which real mail has, knows no
pipelining, and would need its reading replaced anyway to be bounded in time.

A session shows one snapshot of the maildrop, and deletes only when it ends with an accepted QUIT.
So `list_new` on a session that has listed before, and whatever follows `apply`, begin a new one.
"""

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Self

from mailboxes.protocols import sasl
from mailboxes.protocols.base import (
    INBOX,
    Action,
    ActionKind,
    ActionResult,
    AdapterOptions,
    Bearer,
    Category,
    ConnectionSettings,
    Credentials,
    Fetched,
    Glance,
    Identity,
    Listing,
    Marks,
    RemoteFolder,
    RemoteItem,
    Security,
)
from mailboxes.protocols.errors import (
    ActionRefused,
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
    UidlUnusable,
    UnexpectedReply,
    WrongProtocol,
)
from mailboxes.protocols.faultkinds import FaultKind
from mailboxes.protocols.fetching import fetch_each, identity_of
from mailboxes.protocols.line import Line, has_controls
from mailboxes.protocols.phases import Phase, watched

PIPELINED_RETRIEVALS = 10  # their answers wait in the network, not in our memory
PIPELINED_COMMANDS = 100  # small enough that neither side fills its buffers while both only write
LISTING_LIMIT = 64 * 1024 * 1024  # octets of one UIDL or LIST: about a million messages
HEADER_LIMIT = 4 * 1024 * 1024
DIGEST = re.compile(r"[0-9a-f]{64}")
LONGEST_UIDL = 512  # RFC 1939 says 70; some servers need more, none needs this much

# A greeting of another protocol: IMAP, SMTP or FTP, SSH, HTTP.
FOREIGN_GREETING = re.compile(rb"\* |[1-5]\d\d[ -]|SSH-|HTTP/|<", re.IGNORECASE)
# Without response codes, only the words tell a busy maildrop from a wrong password.
BUSY_WORDS = re.compile(
    r"\block|in use|busy|too many|try again|try later|temporar|unavailable|not available|"
    r"maximum|wait|already (?:open|logged)",
    re.IGNORECASE,
)


class Overlong(UnexpectedReply):
    """A multi-line answer beyond its limit."""


class Pop3Server:
    """IncomingServer over POP3. Constructed unconnected."""

    protocol = "pop3"
    sizes_stay = True

    def __init__(self, settings: ConnectionSettings, options: AdapterOptions | None = None) -> None:
        self.settings = settings
        self.options = options or AdapterOptions()
        self._line = Line(settings)
        self._capabilities: dict[str, list[str]] = {}
        self._timestamp = ""  # of the greeting, for APOP
        self._tokens: sasl.Tokens | None = None
        self._numbers: dict[str, int] = {}  # UIDL -> message number, of this session
        self._sizes: dict[int, int] = {}
        self._listed = False
        self._only_seen = False  # the listing was read by a glance, and nobody has had it

    def __repr__(self) -> str:
        return f"<Pop3Server {self.settings.host}:{self.settings.port}>"

    # -- the contract ------------------------------------------------------------------------------

    def open(self) -> Self:
        if self._line.usable:
            return self
        watcher = self.options.watcher
        self._line = Line(self.settings, watcher)
        self._capabilities = {}
        self._forget_session()
        try:
            self._tokens = sasl.fetched(self.settings, watcher)
            self._line.connect()
            with watched(watcher, Phase.GREET):
                self._greet()
            if self.settings.security is Security.STARTTLS:
                with watched(watcher, Phase.TLS):
                    self._start_tls()
            with watched(watcher, Phase.LOGIN):
                self._log_in()
        except BaseException:
            self._line.close()
            raise
        return self

    def list_new(self, folder: str, cursor: str, limit: int) -> Listing:
        """Complete, whatever `limit` says. The cursor is a digest of the UIDL listing."""
        require_inbox(folder)
        if self._listed and not self._only_seen:
            self.close()
        self.open()
        with watched(self.options.watcher, Phase.LIST):
            if not self._listed:
                self._read_uidls()
            self._only_seen = False
            digest, total = self._digest(), len(self._numbers)
            if digest == cursor:
                return Listing((), cursor, unchanged=True, total=total)
            self._read_sizes()
        items = tuple(
            RemoteItem(uidl, self._sizes.get(number, 0))
            for uidl, number in sorted(self._numbers.items(), key=lambda pair: pair[1])
        )
        return Listing(items, digest, complete=True, total=total)

    def glance(self, cursors: Mapping[str, str]) -> Glance:
        for folder, cursor in cursors.items():
            require_inbox(folder)
            if not DIGEST.fullmatch(cursor):
                return Glance(unchanged=False)
        if self._listed:
            self.close()
        self.open()
        with watched(self.options.watcher, Phase.LIST):
            self._read_uidls()
        self._only_seen = True
        return Glance(unchanged=cursors.get(INBOX) == self._digest())

    def fetch(self, folder: str, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        require_inbox(folder)
        return fetch_each(remote_ids, self._open_listed, self._retrieve)

    def identify(self, folder: str, remote_ids: Sequence[str]) -> list[Identity]:
        require_inbox(folder)
        self._open_listed()
        with watched(self.options.watcher, Phase.FETCH):
            present = [uidl for uidl in remote_ids if uidl in self._numbers]
            commands = [f"TOP {self._numbers[uidl]} 0" for uidl in present]
            identities = []
            for uidl, (taken, _) in zip(
                present, self._converse(commands, PIPELINED_RETRIEVALS), strict=True
            ):
                if taken:
                    head = self._read_body(HEADER_LIMIT)
                    size = self._sizes.get(self._numbers[uidl], 0)
                    identities.append(identity_of(uidl, head, size))
            return identities

    def apply(self, folder: str, actions: Sequence[Action]) -> list[ActionResult]:
        require_inbox(folder)
        if not actions:
            return []
        self._open_listed()
        with watched(self.options.watcher, Phase.APPLY):
            doomed = list(dict.fromkeys(a for a in actions if self._can_delete(a)))
            commands = [f"DELE {self._numbers[action.remote_id]}" for action in doomed]
            replies = list(self._converse(commands, PIPELINED_COMMANDS))
            durable, farewell = self._quit() if commands else (True, "")
        results: dict[Action, ActionResult] = {}
        for action, (taken, text) in zip(doomed, replies, strict=True):
            error = None if taken and durable else ActionRefused(farewell if taken else text)
            results[action] = ActionResult(action, error is None, text, error)
        return [results.get(action) or self._without_command(action) for action in actions]

    def file_sent(self, message_id: str, mime: bytes, sent_at: datetime) -> str:
        raise ActionRefused("POP3 has no sent items", phase=Phase.APPLY)

    def folders(self) -> list[RemoteFolder]:
        return []

    def ensure_folder(self, name: str) -> str:
        raise ActionRefused("POP3 has no folders", phase=Phase.APPLY)

    def ensure_category(self, wanted: Category) -> Category:
        raise ActionRefused("POP3 has no marks", phase=Phase.APPLY)

    def drop_category(self, category_id: str) -> None:
        """There is none."""

    def marked(self, mark: str, folders: Sequence[str], since: datetime | None) -> Marks:
        return Marks((), complete=True)

    def close(self) -> None:
        if not self._line.usable:
            return
        self._line.hurry()
        try:
            self._quit()
        except ServerError:
            self._line.close()

    # -- opening -----------------------------------------------------------------------------------

    def _greet(self) -> None:
        self._line.await_greeting()
        greeting = self._line.read_line()
        if FOREIGN_GREETING.match(greeting):
            raise WrongProtocol(f"this is no POP3 server; it says: {self._line.said(greeting)}")
        taken, text = self._judge(greeting)
        if not taken:
            raise ServerBusy(f"the server refuses the connection: {text}")
        stamp = re.search(rb"<[^<>\s]+@[^<>\s]+>", greeting)
        self._timestamp = stamp[0].decode("ascii", "replace") if stamp else ""

    def _start_tls(self) -> None:
        """STLS is simply tried: an answer tells as much as the list of capabilities would."""
        taken, text = self._command("STLS")
        if not taken and "[SYS/TEMP]" in text.upper():
            raise TransientError(f"the server can't start TLS now: {text}")
        if not taken:
            raise SecureConnectionFailed(
                f"the server does not offer STLS: {text}", fault=FaultKind.STARTTLS_MISSING
            )
        self._line.start_tls()

    def _log_in(self) -> None:
        credentials = self.settings.credentials
        if credentials is None:
            raise LoginRefused(
                "no user name and password are stored", fault=FaultKind.CREDENTIALS_MISSING
            )
        if isinstance(credentials, Credentials) and has_controls(
            credentials.username + credentials.password
        ):
            raise LoginRefused("the user name or password holds control characters")
        taken, _ = self._command("CAPA")
        self._capabilities = parse_capabilities(self._read_body(HEADER_LIMIT)) if taken else {}
        if isinstance(credentials, Bearer):
            self._log_in_by_token(credentials)
        else:
            self._log_in_by_password(credentials)

    def _log_in_by_token(self, bearer: Bearer) -> None:
        mechanism = sasl.choose(self._capabilities.get("SASL", []))
        assert self._tokens is not None

        def attempt(token: str) -> str | None:
            shown = sasl.response(mechanism, bearer, token, self.settings)
            return self._show_token(mechanism, shown)

        self._tokens.log_in(self._line, attempt)

    def _show_token(self, mechanism: str, shown: bytes) -> str | None:
        """None once logged in, else why not. A token is too long for the line of the command, which
        holds 255 octets (RFC 5034, section 4)."""
        words = ""
        self._send([f"AUTH {mechanism}"])
        for answer in (shown, sasl.consent(mechanism)):
            self._line.begin()
            reply = self._line.read_line()
            if not reply.startswith(b"+ ") and reply.strip() != b"+":
                break
            if answer is not shown:
                words = sasl.told(reply[2:])
            self._send([base64.b64encode(answer).decode("ascii")])
        else:
            self._line.begin()
            reply = self._line.read_line()
        taken, text = self._judge(reply)
        if taken:
            return None
        error = login_error(text)
        if isinstance(error, ServerBusy):
            raise error
        return f"{text} {words}".strip()

    def _log_in_by_password(self, credentials: Credentials) -> None:
        """The password goes over TLS as it is (USER, PASS), because APOP makes the server keep it
        in clear and rests on MD5. On a line without TLS, APOP is better where it is offered, and
        there is no way back from it to PASS: that would be what an attacker wants."""
        user_missing = bool(self._capabilities) and "USER" not in self._capabilities
        if self._timestamp and (user_missing or not self._line.secure):
            self._authenticate(apop(credentials, self._timestamp))
        else:
            self._authenticate(f"USER {credentials.username}")
            self._authenticate(f"PASS {credentials.password}")

    def _authenticate(self, command: str) -> None:
        taken, text = self._command(command)
        if not taken:
            raise login_error(text)

    # -- sessions ----------------------------------------------------------------------------------

    def _forget_session(self) -> None:
        self._numbers, self._sizes, self._listed, self._only_seen = {}, {}, False, False

    def _open_listed(self) -> None:
        """A session whose message numbers are known."""
        self.open()
        if not self._listed:
            with watched(self.options.watcher, Phase.LIST):
                self._read_uidls()
        if not self._sizes and self._numbers:
            with watched(self.options.watcher, Phase.LIST):
                self._read_sizes()

    def _read_uidls(self) -> None:
        taken, text = self._command("UIDL")
        if not taken:
            raise UidlUnusable(
                f"the server does not support UIDL: {text}", fault=FaultKind.UIDL_MISSING
            )
        self._numbers = parse_uidls(self._read_body(LISTING_LIMIT))
        self._listed = True

    def _digest(self) -> str:
        """The cursor: what was listed, in its order."""
        return hashlib.sha256("\n".join(self._numbers).encode()).hexdigest()

    def _read_sizes(self) -> None:
        taken, text = self._command("LIST")
        if not taken:
            raise UnexpectedReply(f"LIST was refused: {text}")
        self._sizes = parse_sizes(self._read_body(LISTING_LIMIT))

    def _quit(self) -> tuple[bool, str]:
        """End the session, which makes its deletions happen. The server's answer is their proof."""
        try:
            return self._command("QUIT")
        finally:
            self._line.close()

    # -- messages ----------------------------------------------------------------------------------

    def _retrieve(self, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        window = PIPELINED_RETRIEVALS if "PIPELINING" in self._capabilities else 1
        for start in range(0, len(remote_ids), window):
            yield from self._retrieve_window(remote_ids[start : start + window])
            if not self._line.usable:
                return

    def _retrieve_window(self, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        faults = {uidl: self._not_to_be_had(uidl) for uidl in remote_ids}
        wanted = [uidl for uidl in remote_ids if not faults[uidl]]
        outstanding = len(wanted)
        try:
            with watched(self.options.watcher, Phase.FETCH):
                commands = [f"RETR {self._numbers[uidl]}" for uidl in wanted]
                if commands:
                    self._send(commands)
            for uidl in remote_ids:
                if fault := faults[uidl]:
                    yield Fetched(uidl, None, fault)
                    continue
                with watched(self.options.watcher, Phase.FETCH):
                    fetched = self._read_message(uidl)
                outstanding -= 1
                yield fetched
                if not self._line.usable:
                    return
        finally:
            if outstanding:  # abandoned: the answers still to come would be taken for others
                self._line.close()

    def _not_to_be_had(self, uidl: str) -> MessageError | None:
        number = self._numbers.get(uidl)
        if number is None:
            return MessageGone("the server does not list it any more", phase=Phase.FETCH)
        if self._sizes.get(number, 0) > self.options.max_fetch_bytes:
            return too_large(self._sizes[number], self.options.max_fetch_bytes)
        return None

    def _read_message(self, uidl: str) -> Fetched:
        taken, text = self._reply()
        if not taken:
            return Fetched(uidl, None, MessageUnreadable(text, phase=Phase.FETCH))
        try:
            return Fetched(uidl, self._read_body(self.options.max_fetch_bytes))
        except Overlong as error:  # LIST said less
            fault = too_large(0, self.options.max_fetch_bytes)
            fault.__cause__ = error
            return Fetched(uidl, None, fault)

    def _can_delete(self, action: Action) -> bool:
        return action.kind is ActionKind.DELETE and action.remote_id in self._numbers

    def _without_command(self, action: Action) -> ActionResult:
        if action.kind is ActionKind.DELETE:
            return ActionResult(action, True, "not on the server any more")
        error = ActionRefused(f"POP3 has no command for {action.kind.value!r}", phase=Phase.APPLY)
        return ActionResult(action, False, "", error)

    # -- commands and replies ----------------------------------------------------------------------

    def _command(self, command: str) -> tuple[bool, str]:
        self._send([command])
        return self._reply()

    def _send(self, commands: Sequence[str]) -> None:
        self._line.send("".join(f"{command}\r\n" for command in commands).encode())

    def _converse(self, commands: Sequence[str], window: int) -> Iterator[tuple[bool, str]]:
        """The reply to each command in turn; pipelined if the server allows."""
        window = window if "PIPELINING" in self._capabilities else 1
        for start in range(0, len(commands), window):
            part = commands[start : start + window]
            self._send(part)
            for _ in part:
                yield self._reply()

    def _reply(self) -> tuple[bool, str]:
        self._line.begin()
        return self._judge(self._line.read_line())

    def _judge(self, reply: bytes) -> tuple[bool, str]:
        status, _, text = reply.partition(b" ")
        word = status.strip().upper()
        if word not in (b"+OK", b"-ERR"):
            self._line.close()
            raise UnexpectedReply(f"not a POP3 reply: {self._line.said(reply)}")
        return word == b"+OK", self._line.said(text)

    def _read_body(self, limit: int) -> bytes:
        """A multi-line answer with its line ends, up to the lone dot, and without dot-stuffing.

        The end is looked for in bulk, so that neither huge nor very long lines cost anything. It
        must be CRLF.CRLF if the first line ends in CRLF: a bare LF further down is content, and
        taking "LF . CRLF" for the end would let a message forge the replies after it. A server that
        ends its first line with LF does so everywhere.
        """
        received = self._line.received
        while b"\n" not in received:
            self._more(limit)
        if received.startswith((b".\r\n", b".\n")):
            self._line.take(received.index(b"\n") + 1)
            return b""
        first_end = received.index(b"\n")
        if received[first_end - 1 : first_end] == b"\r":
            newline, mark = b"\r\n", re.compile(rb"\r\n\.\r\n")
        else:
            newline, mark = b"\n", re.compile(rb"\n\.\r?\n")
        searched = 0
        while not (end := mark.search(received, searched)):
            searched = max(0, len(received) - 4)
            self._more(limit)
        length, mark_length = end.start() + len(newline), end.end() - end.start()
        del end  # a match holds the buffer, which could not be shortened then
        if length > limit:
            self._give_up_body(limit)
        body = self._line.take(length)
        self._line.take(mark_length - len(newline))
        if body.startswith(b".."):
            body = body[1:]
        return body.replace(newline + b"..", newline + b".")

    def _more(self, limit: int) -> None:
        if len(self._line.received) > limit + 64 * 1024:
            self._give_up_body(limit)
        self._line.receive()

    def _give_up_body(self, limit: int) -> None:
        """Nothing but a new connection brings the dialogue back into step."""
        self._line.close()
        raise Overlong(f"the answer is longer than {limit} octets")


# -- reading what servers say ----------------------------------------------------------------------


def parse_capabilities(body: bytes) -> dict[str, list[str]]:
    words = (line.split() for line in body.decode("ascii", "replace").upper().splitlines())
    return {line[0]: line[1:] for line in words if line}


def parse_uidls(body: bytes) -> dict[str, int]:
    """UIDL -> number, in the server's order. Anything less than one unique UIDL for each message is
    refused: mail would be taken for what it is not, and lost or doubled."""
    numbers: dict[str, int] = {}
    for line in body.decode("utf-8", "replace").splitlines():
        number, _, uidl = line.strip().partition(" ")
        uidl = uidl.strip()
        if not number.isdecimal():
            raise UnexpectedReply(f"not a line of a UIDL listing: {line[:100]!r}")
        if not uidl:
            raise UidlUnusable(f"the server gives message {number} no UIDL")
        if len(uidl) > LONGEST_UIDL:
            raise UidlUnusable(f"the UIDL of message {number} has {len(uidl)} characters")
        if uidl in numbers:
            raise UidlUnusable(
                f"the server gives messages {numbers[uidl]} and {number} the same UIDL {uidl[:70]}"
            )
        numbers[uidl] = int(number)
    return numbers


def parse_sizes(body: bytes) -> dict[int, int]:
    sizes = {}
    for line in body.decode("ascii", "replace").splitlines():
        words = line.split()
        if len(words) < 2 or not (words[0].isdecimal() and words[1].isdecimal()):
            raise UnexpectedReply(f"not a line of a LIST listing: {line[:100]!r}")
        sizes[int(words[0])] = int(words[1])
    return sizes


def login_error(text: str) -> ServerError:
    """RFC 2449 and 3206: IN-USE, LOGIN-DELAY and SYS/TEMP pass, AUTH and SYS/PERM don't."""
    code = re.match(r"\[([A-Z/-]+)", text.upper())
    if code and code[1] in ("IN-USE", "LOGIN-DELAY", "SYS/TEMP"):
        return ServerBusy(text)
    if code is None and BUSY_WORDS.search(text):
        return ServerBusy(text)
    return LoginRefused(text or "the server gave no reason")


def apop(credentials: Credentials, timestamp: str) -> str:
    secret = (timestamp + credentials.password).encode()
    digest = hashlib.md5(secret, usedforsecurity=False).hexdigest()
    return f"APOP {credentials.username} {digest}"


def too_large(size: int, limit: int) -> MessageTooLarge:
    what = f"{size} octets" if size else "its octets"
    return MessageTooLarge(f"{what} are more than the limit of {limit}", phase=Phase.FETCH)


def require_inbox(folder: str) -> None:
    if folder != INBOX:
        raise FolderMissing(f"POP3 has no folder but the inbox; asked for {folder!r}")
