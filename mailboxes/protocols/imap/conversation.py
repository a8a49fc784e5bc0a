"""One connection to one account: opening it, logging in, asking, and what becomes of errors."""

import base64
import imaplib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from imapclient.exceptions import CapabilityError
from imapclient.imap_utf7 import encode as encode_utf7
from imapclient.response_parser import parse_fetch_response, parse_message_list

from mailboxes.protocols import sasl
from mailboxes.protocols.base import (
    AdapterOptions,
    Bearer,
    ConnectionSettings,
    Credentials,
    Security,
)
from mailboxes.protocols.errors import (
    ActionRefused,
    ConnectionLost,
    FolderMissing,
    LoginRefused,
    MessageError,
    SecureConnectionFailed,
    ServerBusy,
    ServerError,
    TransientError,
    UnexpectedReply,
    WrongProtocol,
)
from mailboxes.protocols.faultkinds import FaultKind
from mailboxes.protocols.imap.wire import Client, Connection
from mailboxes.protocols.imap.words import quoted, text_of
from mailboxes.protocols.line import Line, has_controls
from mailboxes.protocols.phases import Phase, watched

GROUP_OCTETS = 1024 * 1024  # small messages are fetched together, up to this sum
FOREIGN_GREETING = re.compile(rb"\+OK|-ERR|[1-5]\d\d[ -]|SSH-|HTTP/|<", re.IGNORECASE)
# Response codes (RFC 5530) and words for what passes, in the answer to LOGIN or SELECT.
PASSING = re.compile(
    r"\[(?:UNAVAILABLE|INUSE|LIMIT|SERVERBUG)\b|too many|try again|try later|temporar|maximum",
    re.IGNORECASE,
)


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


class Conversation:
    """Constructed unconnected. What the libraries raise becomes ours in `during` only, so every command
    is given inside of it."""

    def __init__(self, settings: ConnectionSettings, options: AdapterOptions) -> None:
        self.settings = settings
        self.options = options
        self.line = Line(settings)
        self.client: Any = None
        self.selected: Selected | None = None
        self.sent_items = ""  # once it was looked for
        self.refusal = ""  # the server's words, when the last FETCH was incomplete

    def open(self) -> None:
        if self.line.usable:
            return
        watcher = self.options.watcher
        self.line = Line(self.settings, watcher)
        self.selected = None
        self.sent_items = ""
        try:
            self._tokens = sasl.fetched(self.settings, watcher)
            self.line.connect()
            with watched(watcher, Phase.GREET), self.translated(greeting=True):
                self._greet()
            if self.settings.security is Security.STARTTLS:
                with watched(watcher, Phase.TLS), self.translated(greeting=True):
                    self._start_tls()
            with watched(watcher, Phase.LOGIN), self.translated(greeting=True):
                self._log_in()
        except BaseException:
            self.line.close()
            raise

    def close(self) -> None:
        if not self.line.usable:
            return
        self.line.hurry()
        try:
            with self.translated():
                self.client.logout()
        except ServerError:
            pass
        finally:
            self.line.close()

    # -- opening -----------------------------------------------------------------------------------

    def _greet(self) -> None:
        self.line.await_greeting()
        greeting = self.line.peek_line()
        if FOREIGN_GREETING.match(greeting):
            raise WrongProtocol(f"this is no IMAP server; it says: {self.line.said(greeting)}")
        if re.match(rb"\* BYE\b", greeting, re.IGNORECASE):
            raise ServerBusy(f"the server refuses the connection: {self.line.said(greeting[5:])}")
        # Twice what is asked for at most, since sizes are not exact everywhere.
        largest = 2 * max(self.options.max_fetch_bytes, GROUP_OCTETS)
        self.client = Client(partial(Connection, self.line, largest))
        if self.imap.state != "NONAUTH":
            raise UnexpectedReply("the server says that we are logged in already")

    def _start_tls(self) -> None:
        try:
            self.client.starttls(ssl_context=object())
        except CapabilityError as error:
            raise SecureConnectionFailed(
                "the server does not offer STARTTLS", fault=FaultKind.STARTTLS_MISSING
            ) from error
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            text = self.words(error)
            if PASSING.search(text):
                raise TransientError(f"the server can't start TLS now: {text}") from error
            raise SecureConnectionFailed(f"the server refuses STARTTLS: {text}") from error

    def _log_in(self) -> None:
        credentials = self.settings.credentials
        if credentials is None:
            raise LoginRefused(
                "no user name and password are stored", fault=FaultKind.CREDENTIALS_MISSING
            )
        if isinstance(credentials, Bearer):
            self._log_in_by_token(credentials)
        else:
            self._log_in_by_password(credentials)
        # Only if the server told its capabilities unasked: asking costs more than it saves.
        if "CAPABILITY" in self.imap.untagged_responses:
            self.imap.with_condstore = self.client.has_capability("CONDSTORE")

    def _log_in_by_token(self, bearer: Bearer) -> None:
        mechanism = sasl.choose(
            [each for each in sasl.MECHANISMS if self.client.has_capability(f"AUTH={each}")]
        )
        at_once = bool(self.client.has_capability("SASL-IR"))
        assert self._tokens is not None

        def attempt(token: str) -> str | None:
            shown = sasl.response(mechanism, bearer, token, self.settings)
            return self._authenticate(mechanism, base64.b64encode(shown), at_once)

        self._tokens.log_in(self.line, attempt)

    def _authenticate(self, mechanism: str, shown: bytes, at_once: bool) -> str | None:
        """None once logged in, else why not. Raises ServerBusy for what passes."""
        dialogue = TokenDialogue(mechanism, [] if at_once else [shown])
        # imaplib takes what goes on a line of its own, or a bound method that makes it.
        self.imap.literal = dialogue.answer  # type: ignore[assignment]
        try:
            arguments = (mechanism, shown) if at_once else (mechanism,)
            status, data = self.imap._simple_command("AUTHENTICATE", *arguments)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:  # BAD
            status, data = "BAD", [str(error).encode()]
        finally:
            self.imap.literal = None
        if status == "OK":
            self.imap.state = "AUTH"
            return None
        text = self.line.said(" ".join([text_of(data[-1]) if data else "", dialogue.words]).strip())
        if PASSING.search(text):
            raise ServerBusy(text)
        return text

    def _log_in_by_password(self, credentials: Credentials) -> None:
        """LOGIN, or AUTHENTICATE PLAIN where LOGIN is disabled or can't carry the characters."""
        user, password = credentials.username, credentials.password
        if has_controls(user + password):
            raise LoginRefused("the user name or password holds control characters")
        plain_login = (user + password).isascii() and not self.client.has_capability(
            "LOGINDISABLED"
        )
        try:
            if plain_login:
                self.imap.login(quoted(user), password)
            elif self.client.has_capability("AUTH=PLAIN"):
                answer = f"\0{user}\0{password}".encode()
                self.imap.authenticate("PLAIN", lambda challenge: answer)
            else:
                raise LoginRefused(
                    "the server offers neither LOGIN nor AUTH=PLAIN for this login",
                    fault=self._no_password_login(),
                )
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            text = self.words(error)
            refused = ServerBusy(text) if PASSING.search(text) else LoginRefused(text)
            # The library's error repeats the server's words, which may repeat the password.
            raise refused from (None if password in str(error) else error)

    def _no_password_login(self) -> FaultKind:
        by_token = any(self.client.has_capability(f"AUTH={each}") for each in sasl.MECHANISMS)
        return FaultKind.TOKENS_ONLY if by_token else FaultKind.PASSWORD_LOGIN_OFF

    # -- commands and replies ----------------------------------------------------------------------

    @property
    def imap(self) -> Connection:
        connection: Connection = self.client._imap
        return connection

    def select(self, folder: str, *, writable: bool, fresh: bool = False) -> Selected:
        """Unless it is selected well enough. `fresh`: its state is wanted as it is now."""
        now = self.selected
        if now and now.folder == folder and not fresh and (now.writable or not writable):
            return now
        self.selected = None
        try:
            answer = self.client.select_folder(encode_utf7(folder), readonly=not writable)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            text = self.words(error)
            if PASSING.search(text):
                raise TransientError(f"the folder {folder} can't be opened now: {text}") from error
            raise FolderMissing(f"the folder {folder} can't be opened: {text}") from error
        if not answer.get(b"UIDVALIDITY"):
            raise UnexpectedReply(f"the server gives the folder {folder} no UIDVALIDITY")
        flags = answer.get(b"PERMANENTFLAGS")
        self.selected = Selected(
            folder=folder,
            writable=writable,
            validity=answer[b"UIDVALIDITY"],
            next_uid=answer.get(b"UIDNEXT", 0),
            modseq=answer.get(b"HIGHESTMODSEQ", 0),
            exists=answer.get(b"EXISTS", 0),
            permanent_flags=None if flags is None else frozenset(each.lower() for each in flags),
        )
        return self.selected

    def fetch(self, uids: str, items: str) -> tuple[bool, dict[int, dict[bytes, Any]]]:
        """Whether the server could answer in full, and what it answered, by UID.

        imapclient's own fetch takes no ranges and throws away what came before a NO. An answer to
        something else may be among the rows, so look for the item that was asked for.
        """
        self.imap.response("FETCH")  # what is left over from other commands
        self.refusal = ""
        try:
            status, data = self.imap.uid("FETCH", uids, items)
        except imaplib.IMAP4.abort:
            raise
        except imaplib.IMAP4.error as error:
            self.refusal = self.words(error)
            return False, {}
        if status != "OK":
            self.refusal = self.line.said(text_of(data[-1]))
            data = self.imap.response("FETCH")[1]
        return status == "OK", dict(parse_fetch_response(data, normalise_times=False))

    def search(self, criteria: str) -> list[int]:
        status, data = self.imap.uid("SEARCH", criteria)
        if status != "OK":
            raise UnexpectedReply(f"SEARCH was refused: {self.line.said(text_of(data[-1]))}")
        return [uid for line in data if line for uid in parse_message_list([line])]

    def uids(self, remote_ids: Sequence[str]) -> dict[str, int]:
        """Remote id -> UID, without those of an earlier UIDVALIDITY."""
        assert self.selected is not None
        uids = {}
        for each in remote_ids:
            validity, _, uid = each.partition(".")
            if validity == str(self.selected.validity) and uid.isdecimal():
                uids[each] = int(uid)
        return uids

    def words(self, error: Exception) -> str:
        """The server's words in a library's error, whose argument may be text, bytes or neither."""
        word = error.args[0] if error.args else ""
        return self.line.said(word if isinstance(word, (bytes, str)) else str(word))

    @contextmanager
    def during(self, phase: Phase) -> Iterator[None]:
        with watched(self.options.watcher, phase), self.translated():
            yield

    @contextmanager
    def refusable(self) -> Iterator[None]:
        """While the line stands, the server only refused this, which must not stop the mailbox."""
        try:
            with self.during(Phase.APPLY):
                yield
        except ServerError as error:
            if isinstance(error, MessageError) or not self.line.usable:
                raise
            raise ActionRefused(error.detail, phase=Phase.APPLY) from error

    @contextmanager
    def translated(self, *, greeting: bool = False) -> Iterator[None]:
        """The one place where what the libraries raise becomes our errors. Their parsers meet any
        garbage with some ValueError, LookupError or the like."""
        try:
            yield
        except ServerError:
            raise
        except imaplib.IMAP4.abort as error:
            farewell = self.client and self.imap.untagged_responses.get("BYE")
            self.line.close()
            if not farewell:
                raise UnexpectedReply(self.words(error)) from error
            text = self.line.said(text_of(farewell[-1]))
            kind = ServerBusy if greeting or PASSING.search(text) else ConnectionLost
            raise kind(f"the server ends the connection: {text}") from error
        except imaplib.IMAP4.error as error:
            raise UnexpectedReply(self.words(error)) from error
        except (
            ValueError,
            LookupError,
            TypeError,
            AttributeError,
            AssertionError,
            RecursionError,
        ) as error:
            self.line.close()
            detail = self.line.said(f"not an IMAP reply ({type(error).__name__}: {error})"[:300])
            raise UnexpectedReply(detail) from error
