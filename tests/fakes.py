"""In-memory mail servers that fulfil the contracts: they keep messages, hand out cursors, fail on
demand, and record what was done to them. Prefer them to patches.

    box = FakeMailbox()
    box.deliver(b"Subject: hello\\r\\n\\r\\n")
    server = FakeIncomingServer(box)                  # like IMAP
    server = FakeIncomingServer(box, complete=True)   # like POP3: whole listings, no folders
    server.fail("fetch", ConnectionLost("gone"))      # the next call of fetch raises it

Several servers may share one mailbox, as several connections would.
"""

import hashlib
import itertools
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.parser import BytesHeaderParser
from typing import Self

from mailboxes.protocols.base import (
    INBOX,
    Action,
    ActionKind,
    ActionResult,
    AdapterOptions,
    Envelope,
    Fetched,
    Identity,
    Listing,
    RecipientResult,
    RemoteFolder,
    RemoteItem,
    Sent,
)
from mailboxes.protocols.errors import (
    REFUSALS,
    ActionRefused,
    FolderMissing,
    MessageDeferred,
    MessageError,
    MessageGone,
    MessageRefused,
    MessageTooLarge,
)
from mailboxes.protocols.phases import Phase, watched

SENT = "Sent"
FIRST_RECEIVED_AT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)


@dataclass
class Stored:
    """One message on the fake server."""

    uid: int
    mime: bytes
    received_at: datetime
    keywords: set[str] = field(default_factory=set)
    seen: bool = False


class FakeMailbox:
    """The account behind fake servers: folders of messages, oldest first.

    `files_copies`: the provider puts what is sent into sent items itself.
    """

    def __init__(self) -> None:
        self.validity = 1
        self.files_copies = False
        self.actions: list[tuple[str, Action]] = []  # (folder, action) as they were carried out
        self._folders: dict[str, list[Stored]] = {INBOX: []}
        self._uids = itertools.count(1)

    def deliver(self, mime: bytes, folder: str = INBOX, received_at: datetime | None = None) -> str:
        """Add a message and return its remote id. Without a time, each is a minute younger."""
        uid = next(self._uids)
        moment = received_at or FIRST_RECEIVED_AT + timedelta(minutes=uid)
        self._folders.setdefault(folder, []).append(Stored(uid, mime, moment))
        return self.remote_id(uid)

    def add_folder(self, folder: str) -> None:
        self._folders.setdefault(folder, [])

    def remove(self, remote_id: str, folder: str = INBOX) -> None:
        """As if another client had deleted it."""
        self._folders[folder] = [
            each for each in self._folders[folder] if self.remote_id(each.uid) != remote_id
        ]

    def reset_keys(self) -> None:
        """As after a restored backup: another UIDVALIDITY, and every message a new key."""
        self.validity += 1
        self._uids = itertools.count(1)
        for messages in self._folders.values():
            for each in messages:
                each.uid = next(self._uids)

    def messages(self, folder: str = INBOX) -> list[Stored]:
        if folder not in self._folders:
            raise FolderMissing(f"no folder {folder}")
        return self._folders[folder]

    def folder_names(self) -> list[str]:
        return list(self._folders)

    def find(self, folder: str, remote_id: str) -> Stored | None:
        found = (each for each in self.messages(folder) if self.remote_id(each.uid) == remote_id)
        return next(found, None)

    def remote_id(self, uid: int) -> str:
        return f"{self.validity}.{uid}"


class Failing:
    """Raises what it was told to, once for each time it was told, in that order.

    `fail("send", error)`: the next call of that method. `calls` counts calls by method name.
    """

    def __init__(self) -> None:
        self.calls: dict[str, int] = defaultdict(int)
        self._failures: dict[str, list[BaseException]] = defaultdict(list)

    def fail(self, method: str, *errors: BaseException) -> None:
        self._failures[method].extend(errors)

    def _called(self, method: str) -> None:
        self.calls[method] += 1
        self._raise_planned(method)

    def _raise_planned(self, point: str) -> None:
        if self._failures[point]:
            raise self._failures[point].pop(0)


class FakeIncomingServer(Failing):
    """IncomingServer over a FakeMailbox.

    `complete`: lists like POP3, else like IMAP. Besides its methods, `fail` knows the point
    "message": raised by `fetch` in the middle, before the next message.
    `fail_message` makes one message unreadable for good.
    """

    def __init__(
        self,
        mailbox: FakeMailbox | None = None,
        *,
        complete: bool = False,
        options: AdapterOptions | None = None,
    ) -> None:
        super().__init__()
        self.mailbox = mailbox or FakeMailbox()
        self.protocol = "pop3" if complete else "imap"
        self.options = options or AdapterOptions()
        self.complete = complete
        self.is_open = False
        self._bad_messages: dict[str, MessageError] = {}

    def fail_message(self, remote_id: str, error: MessageError) -> None:
        self._bad_messages[remote_id] = error

    # -- the contract --------------------------------------------------------------------------

    def open(self) -> Self:
        if not self.is_open:
            watcher = self.options.watcher
            for phase in (Phase.RESOLVE, Phase.CONNECT, Phase.TLS):
                with watched(watcher, phase):
                    pass
            with watched(watcher, Phase.LOGIN):
                self._called("open")
            self.is_open = True
        return self

    def list_new(self, folder: str, cursor: str, limit: int) -> Listing:
        self.open()
        if not self.complete:
            with watched(self.options.watcher, Phase.OPEN):
                self._messages(folder)
        with watched(self.options.watcher, Phase.LIST):
            self._called("list_new")
            messages = self._messages(folder)
            return (
                self._whole(messages, cursor)
                if self.complete
                else self._since(messages, cursor, limit)
            )

    def fetch(self, folder: str, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        self.open()
        with watched(self.options.watcher, Phase.FETCH):
            self._called("fetch")
            self._messages(folder)
        for remote_id in remote_ids:
            with watched(self.options.watcher, Phase.FETCH):
                self._raise_planned("message")
            yield self._fetched(folder, remote_id)

    def identify(self, folder: str, remote_ids: Sequence[str]) -> list[Identity]:
        self.open()
        self._called("identify")
        found = [(each, self.mailbox.find(folder, each)) for each in remote_ids]
        return [identity(remote_id, each.mime) for remote_id, each in found if each]

    def apply(self, folder: str, actions: Sequence[Action]) -> list[ActionResult]:
        self.open()
        with watched(self.options.watcher, Phase.APPLY):
            self._called("apply")
            self._messages(folder)
            return [self._apply_one(folder, action) for action in actions]

    def file_sent(self, message_id: str, mime: bytes, sent_at: datetime) -> str:
        self.open()
        with watched(self.options.watcher, Phase.APPLY):
            self._called("file_sent")
            if self.complete:
                raise ActionRefused("POP3 has no sent items")
            if self.mailbox.files_copies:
                return "the server files copies itself"
            self.mailbox.add_folder(SENT)
            for each in self.mailbox.messages(SENT):
                if identity("", each.mime).message_id.strip("<>") == message_id.strip("<>"):
                    return f"there is one in {SENT} already"
            self.mailbox.deliver(mime, SENT, sent_at)
            self.mailbox.messages(SENT)[-1].seen = True
            return f"filed in {SENT}"

    def folders(self) -> list[RemoteFolder]:
        self.open()
        self._called("folders")
        if self.complete:
            return []
        below = [name for name in self.mailbox.folder_names() if name.startswith(f"{INBOX}/")]
        return [RemoteFolder(name, tuple(name.split("/")[1:])) for name in below]

    def close(self) -> None:
        self.calls["close"] += 1
        self.is_open = False

    # -- inside --------------------------------------------------------------------------------

    def _messages(self, folder: str) -> list[Stored]:
        if self.complete and folder != INBOX:
            raise FolderMissing(f"no folder {folder}")
        return self.mailbox.messages(folder)

    def _whole(self, messages: list[Stored], cursor: str) -> Listing:
        items = tuple(self._item(each, with_cursor=False) for each in messages)
        digest = hashlib.sha256("\n".join(item.remote_id for item in items).encode()).hexdigest()
        if digest == cursor:
            return Listing((), cursor, unchanged=True, total=len(messages))
        return Listing(items, digest, complete=True, total=len(messages))

    def _since(self, messages: list[Stored], cursor: str, limit: int) -> Listing:
        validity, _, last = cursor.partition(".")
        reset = bool(cursor) and validity != str(self.mailbox.validity)
        seen = int(last) if last and not reset else 0
        beyond = [each for each in messages if each.uid > seen]
        if not beyond and cursor and not reset:
            return Listing((), cursor, unchanged=True, total=len(messages))
        items = tuple(self._item(each, with_cursor=True) for each in beyond[:limit])
        end = items[-1].cursor if items else f"{self.mailbox.validity}.{seen}"
        more = len(beyond) > limit
        return Listing(items, end, more=more, reset=reset, total=len(messages))

    def _item(self, each: Stored, *, with_cursor: bool) -> RemoteItem:
        remote_id = self.mailbox.remote_id(each.uid)
        if not with_cursor:
            return RemoteItem(remote_id, len(each.mime))
        return RemoteItem(remote_id, len(each.mime), each.received_at, remote_id)

    def _fetched(self, folder: str, remote_id: str) -> Fetched:
        found = self.mailbox.find(folder, remote_id)
        if error := self._bad_messages.get(remote_id):
            return Fetched(remote_id, None, error)
        if found is None:
            return Fetched(remote_id, None, MessageGone("not there", phase=Phase.FETCH))
        if len(found.mime) > self.options.max_fetch_bytes:
            return Fetched(remote_id, None, MessageTooLarge("over the limit", phase=Phase.FETCH))
        return Fetched(remote_id, found.mime)

    def _apply_one(self, folder: str, action: Action) -> ActionResult:
        if self.complete and action.kind is not ActionKind.DELETE:
            error = ActionRefused("POP3 has no such command", phase=Phase.APPLY)
            return ActionResult(action, False, "", error)
        found = self.mailbox.find(folder, action.remote_id)
        if found is None:
            key = action.remote_id.partition(".")[0]
            if not self.complete and key != str(self.mailbox.validity):
                return ActionResult(action, False, "", MessageGone("new keys", phase=Phase.APPLY))
            return ActionResult(action, True, "not there")
        if action.kind is ActionKind.MARK:
            found.keywords.add(action.argument)
        elif action.kind is ActionKind.SEEN:
            found.seen = True
        else:
            self.mailbox.remove(action.remote_id, folder)
            if action.kind is ActionKind.MOVE:
                self.mailbox.deliver(found.mime, action.argument, found.received_at)
        self.mailbox.actions.append((folder, action))
        return ActionResult(action, True, "done")


class FakeOutgoingServer(Failing):
    """OutgoingServer that keeps what it accepts in `sent`, as envelopes, and all that was handed over
    in `handed_over`.

    `refuse` and `defer` answer a recipient with 550 or 450. Besides its methods, `fail` knows the
    points "before" (raised before handing over) and "after" (raised after it; the message counts as
    accepted if it is not one of errors.REFUSALS and `accept_when_lost` is set).
    `files_copies`: keeps copies in sent items and so can find them. `server_message_id`: the id that
    it says it used.
    """

    protocol = "smtp"
    server_message_id = ""

    def __init__(
        self,
        *,
        options: AdapterOptions | None = None,
        files_copies: bool = False,
        size_limit: int = 0,
    ) -> None:
        super().__init__()
        self.options = options or AdapterOptions()
        self.files_copies = files_copies
        self.size_limit = size_limit
        self.sent: list[Envelope] = []
        self.handed_over: list[Envelope] = []
        self.accept_when_lost = False
        self.is_open = False
        self._refused: dict[str, RecipientResult] = {}

    def refuse(self, address: str, text: str = "5.1.1 no such user") -> None:
        self._refused[address] = RecipientResult(address, False, 550, text, True)

    def defer(self, address: str, text: str = "4.2.0 try later") -> None:
        self._refused[address] = RecipientResult(address, False, 450, text, False)

    # -- the contract --------------------------------------------------------------------------

    def open(self) -> Self:
        if not self.is_open:
            watcher = self.options.watcher
            for phase in (Phase.RESOLVE, Phase.CONNECT, Phase.TLS):
                with watched(watcher, phase):
                    pass
            with watched(watcher, Phase.LOGIN):
                self._called("open")
            self.is_open = True
        return self

    def send(self, envelope: Envelope, hand_over: Callable[[], None]) -> Sent:
        self.open()
        with watched(self.options.watcher, Phase.SEND):
            self._called("send")
            self._raise_planned("before")
            results = self._judge(envelope)
        hand_over()
        self.handed_over.append(envelope)
        with watched(self.options.watcher, Phase.SEND):
            try:
                self._raise_planned("after")
            except Exception as error:
                if self.accept_when_lost and not isinstance(error, REFUSALS):
                    self.sent.append(envelope)
                raise
        self.sent.append(envelope)
        return Sent(
            "250 2.0.0 ok",
            results,
            server_message_id=self.server_message_id,
            filed_copy=self.files_copies,
        )

    def find_sent(self, message_id: str) -> bool | None:
        self._called("find_sent")
        if not self.files_copies:
            return None
        return any(each.message_id == message_id for each in self.sent)

    def close(self) -> None:
        self.calls["close"] += 1
        self.is_open = False

    # -- inside --------------------------------------------------------------------------------

    def _judge(self, envelope: Envelope) -> tuple[RecipientResult, ...]:
        if 0 < self.size_limit < len(envelope.mime):
            raise MessageTooLarge(
                f"{len(envelope.mime)} octets, the server takes {self.size_limit}"
            )
        results = tuple(
            self._refused.get(address) or RecipientResult(address, True, 250, "2.1.5 ok")
            for address in dict.fromkeys(envelope.recipients)
        )
        if not any(result.accepted for result in results):
            kind = MessageRefused if all(r.permanent for r in results) else MessageDeferred
            error = kind("no recipient was accepted")
            error.recipients = results
            raise error
        return results


def identity(remote_id: str, mime: bytes) -> Identity:
    header = BytesHeaderParser().parsebytes(mime)
    return Identity(remote_id, header.get("Message-ID", ""), header.get("Date", ""), len(mime))
