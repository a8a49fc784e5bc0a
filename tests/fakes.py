"""In-memory mail servers that fulfil the contracts: they keep messages, hand out cursors, fail on
demand, and record what was done to them. Prefer them to patches.

    box = FakeMailbox()
    box.deliver(b"Subject: hello\\r\\n\\r\\n")
    server = FakeIncomingServer(box)                  # like IMAP
    server = FakeIncomingServer(box, complete=True)   # like POP3: whole listings, no folders
    server = FakeIncomingServer(box, exchange=True)   # like EWS: tells all that changed
    server.fail("fetch", ConnectionLost("gone"))      # the next call of fetch raises it

Several servers may share one mailbox, as several connections would. What a mailbox holds, and what
people may do in it, is in fakebox.py.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from email.parser import BytesHeaderParser
from typing import Self

from mailboxes.protocols.base import (
    INBOX,
    SENT,
    Action,
    ActionKind,
    ActionResult,
    AdapterOptions,
    Category,
    Envelope,
    Fetched,
    Glance,
    Identity,
    Listing,
    Marked,
    Marks,
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
from tests.fakebox import FIRST_RECEIVED_AT, FakeMailbox, Folder, Stored

__all__ = [
    "FIRST_RECEIVED_AT",
    "SENT",
    "FakeIncomingServer",
    "FakeMailbox",
    "FakeOutgoingServer",
    "Stored",
]


LISTED_AT_A_GLANCE = 1_000
LAST = {ActionKind.MOVE: 1, ActionKind.DELETE: 2}  # what has left can't be marked
NO_KEYWORD = re.compile(r"[^A-Za-z0-9$_.-]+")


class Failing:
    """Raises what it was told to, once for each time it was told, in that order.

    `fail("send", error)`: the next call of that method; None: it goes well. `calls` counts calls by
    method name.
    """

    def __init__(self) -> None:
        self.calls: dict[str, int] = defaultdict(int)
        self._failures: dict[str, list[BaseException | None]] = defaultdict(list)

    def fail(self, method: str, *errors: BaseException | None) -> None:
        self._failures[method].extend(errors)

    def _called(self, method: str) -> None:
        self.calls[method] += 1
        self._raise_planned(method)

    def _raise_planned(self, point: str) -> None:
        if self._failures[point] and (error := self._failures[point].pop(0)) is not None:
            raise error


class FakeIncomingServer(Failing):
    """IncomingServer over a FakeMailbox.

    `complete`: lists like POP3; `exchange`: like EWS, which tells what left and what changed, and
    knows folders by ids that stay; else like IMAP with CONDSTORE, whose folders are names. Besides
    its methods, `fail` knows the point "message": raised by `fetch` in the middle, before the next
    message. `fail_message` makes one message unreadable for good.
    """

    def __init__(
        self,
        mailbox: FakeMailbox | None = None,
        *,
        complete: bool = False,
        exchange: bool = False,
        options: AdapterOptions | None = None,
    ) -> None:
        super().__init__()
        self.mailbox = mailbox or FakeMailbox()
        self.protocol = "pop3" if complete else "ews" if exchange else "imap"
        self.options = options or AdapterOptions()
        self.complete = complete
        self.exchange = exchange
        self.sizes_stay = not exchange
        self.is_open = False
        self._bad_messages: dict[str, MessageError] = {}
        if exchange:
            self.mailbox.add_folder(SENT)

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
                self._folder(folder)
        with watched(self.options.watcher, Phase.LIST):
            self._called("list_new")
            found = self._folder(folder)
            if self.complete:
                return self._whole(found, cursor)
            listed = self._changes if self.exchange else self._beyond
            return listed(found, cursor, limit)

    def glance(self, cursors: Mapping[str, str]) -> Glance:
        if not all(":" in each or "." in each or len(each) == 64 for each in cursors.values()):
            return Glance(unchanged=False)
        self.open()
        with watched(self.options.watcher, Phase.LIST):
            self._called("glance")
            look = (
                self._whole if self.complete else self._changes if self.exchange else self._beyond
            )
            limits = () if self.complete else (LISTED_AT_A_GLANCE,)
            listed = [
                look(self._folder(folder), cursor, *limits) for folder, cursor in cursors.items()
            ]
        unchanged = all(each.unchanged for each in listed)
        is_telling = not self.complete and not self.exchange
        new = sum(len(each.items) for each in listed) if is_telling else None
        return Glance(unchanged, 0 if unchanged and not self.complete else new)

    def fetch(self, folder: str, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        self.open()
        with watched(self.options.watcher, Phase.FETCH):
            self._called("fetch")
            self._folder(folder)
        for remote_id in remote_ids:
            with watched(self.options.watcher, Phase.FETCH):
                self._raise_planned("message")
            yield self._fetched(folder, remote_id)

    def identify(self, folder: str, remote_ids: Sequence[str]) -> list[Identity]:
        self.open()
        self._called("identify")
        key = self._folder(folder).id
        found = [(each, self.mailbox.find(key, each)) for each in remote_ids]
        return [
            identity(remote_id, each.mime, sized=self.sizes_stay)
            for remote_id, each in found
            if each
        ]

    def apply(self, folder: str, actions: Sequence[Action]) -> list[ActionResult]:
        self.open()
        with watched(self.options.watcher, Phase.APPLY):
            self._called("apply")
            self._folder(folder)
            in_order = sorted(dict.fromkeys(actions), key=lambda each: LAST.get(each.kind, 0))
            results = {action: self._apply_one(folder, action) for action in in_order}
            return [results[action] for action in actions]

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
                    return "there is one in Sent already"
            self.mailbox.deliver(mime, SENT, sent_at)
            self.mailbox.messages(SENT)[-1].seen = True
            return "filed in Sent"

    def folders(self) -> list[RemoteFolder]:
        self.open()
        self._called("folders")
        if self.complete:
            return []
        paths = [(each, self.mailbox.path(each.id)) for each in self.mailbox.folders()]
        return [
            RemoteFolder(
                self._name_of(folder),
                tuple(path.split("/")[1:]),
                len(folder.messages) if self.exchange else None,
            )
            for folder, path in paths
            if path.startswith(f"{INBOX}/")
        ]

    def ensure_folder(self, name: str) -> str:
        self.open()
        with watched(self.options.watcher, Phase.APPLY):
            self._called("ensure_folder")
            if self.complete:
                raise ActionRefused("POP3 has no folders", phase=Phase.APPLY)
            return self._name_of(self.mailbox.folder(self.mailbox.add_folder(name)))

    def ensure_category(self, wanted: Category) -> Category:
        self.open()
        with watched(self.options.watcher, Phase.APPLY):
            self._called("ensure_category")
            if self.exchange:
                listed = self.mailbox.categories
                same = (key for key, name in listed.items() if name == wanted.name)
                key = wanted.id if wanted.id in listed else next(same, wanted.id)
                return Category(key, listed.setdefault(key, wanted.name))
            keyword = NO_KEYWORD.sub("_", wanted.name).strip("_")
            if self.complete or not keyword or not self.mailbox.takes_keywords:
                raise ActionRefused("messages can't carry it", phase=Phase.APPLY)
            return Category(wanted.id, keyword)

    def drop_category(self, category_id: str) -> None:
        self.open()
        with watched(self.options.watcher, Phase.APPLY):
            self._called("drop_category")
            self.mailbox.categories.pop(category_id, None)

    def marked(self, mark: str, folders: Sequence[str], since: datetime | None) -> Marks:
        self.open()
        with watched(self.options.watcher, Phase.LIST):
            self._called("marked")
            if self.complete:
                return Marks((), complete=True)
            if self.exchange:
                return self._marked_anywhere(mark, since)
            found = [
                Marked(folder, each.remote_id, has_mark=True)
                for folder in folders
                if folder in self.mailbox.folder_names()
                for each in self._folder(folder).messages
                if mark in each.keywords
            ]
            return Marks(tuple(found), complete=True)

    def close(self) -> None:
        self.calls["close"] += 1
        self.is_open = False

    # -- folders -------------------------------------------------------------------------------

    def _folder(self, folder: str) -> Folder:
        """By the names that this protocol uses: ids that stay, or paths that are all there is."""
        if self.complete and folder != INBOX:
            raise FolderMissing(f"no folder {folder}")
        found = self.mailbox.folder(folder)
        if folder != self._name_of(found):
            raise FolderMissing(f"no folder {folder}")
        return found

    def _name_of(self, folder: Folder) -> str:
        return folder.id if self.exchange else self.mailbox.path(folder.id)

    # -- listing -------------------------------------------------------------------------------

    def _whole(self, folder: Folder, cursor: str) -> Listing:
        items = tuple(RemoteItem(each.remote_id, self._size(each)) for each in folder.messages)
        digest = hashlib.sha256("\n".join(item.remote_id for item in items).encode()).hexdigest()
        if digest == cursor:
            return Listing((), cursor, unchanged=True, total=len(items))
        return Listing(items, digest, complete=True, total=len(items))

    def _beyond(self, folder: Folder, cursor: str, limit: int) -> Listing:
        """IMAP. A cursor is "validity.uid.tick.count": what the listed ones looked like when, and how
        many they were, so that a smaller number tells that something left."""
        messages, total = folder.messages, len(folder.messages)
        uid, tick, count = 0, self.mailbox.tick, 0
        reset = bool(cursor) and not cursor.startswith(epoch(folder))
        if cursor and not reset:
            uid, tick, count = (int(each) for each in cursor.split(".")[1:])
        beyond = [each for each in messages if each.uid > uid]
        items = tuple(
            self._item(each, f"{folder.validity}.{each.uid}.{tick}.{count + number}")
            for number, each in enumerate(beyond[:limit], start=1)
        )
        if len(beyond) > limit:
            end = items[-1].cursor
            return Listing(items, end, more=True, reset=reset, total=total, epoch=epoch(folder))
        changed = tuple(
            self._item(each) for each in messages if each.uid <= uid and each.changed > tick
        )
        left = count + len(beyond) != total
        if cursor and not (reset or items or changed or left):
            return Listing((), cursor, unchanged=True, total=total)
        last = max((each.uid for each in beyond), default=uid)
        return Listing(
            items,
            f"{folder.validity}.{last}.{self.mailbox.tick}.{total}",
            reset=reset,
            total=total,
            epoch=epoch(folder),
            present=frozenset(each.remote_id for each in messages) if left else None,
            changed=changed,
        )

    def _changes(self, folder: Folder, cursor: str, limit: int) -> Listing:
        """Exchange. A cursor is "epoch:tick"; each change comes at its tick, `limit` an answer."""
        told, _, tick = cursor.partition(":")
        holds = told == str(self.mailbox.epoch)
        since = int(tick) if holds else 0
        silent = told and int(told) in self.mailbox.forgotten
        came = [(each.placed, each) for each in folder.messages if each.placed > since]
        changed = [
            (each.changed, each) for each in folder.messages if each.placed <= since < each.changed
        ]
        gone = [(left, key) for left, key, placed in folder.left if placed <= since < left]
        ticks = sorted(when for when, _ in (*came, *changed, *gone))
        if holds and not ticks:
            return Listing((), cursor, unchanged=True)  # which tells no total
        last = ticks[limit - 1] if len(ticks) > limit else self.mailbox.tick
        end = f"{self.mailbox.epoch}:{last}"
        items = [self._item(each) for when, each in came if when <= last]
        if items:
            items[-1] = replace(items[-1], cursor=end)
        return Listing(
            tuple(items),
            end,
            more=len(ticks) > limit,
            reset=bool(cursor) and not holds and not silent,
            total=None if holds else len(folder.messages),
            gone=tuple(key for when, key in gone if when <= last),
            changed=tuple(self._item(each) for when, each in changed if when <= last),
        )

    def _item(self, each: Stored, cursor: str = "") -> RemoteItem:
        return RemoteItem(
            each.remote_id,
            self._size(each),
            each.received_at,
            cursor,
            identity("", each.mime).message_id if self.exchange else "",
            frozenset(each.keywords),
        )

    def _size(self, each: Stored) -> int:
        """Exchange counts its own properties, too, which come and go."""
        size = each.claimed_size or len(each.mime)
        return size + (0 if self.sizes_stay else 300 + 40 * len(each.keywords))

    def _marked_anywhere(self, mark: str, since: datetime | None) -> Marks:
        items = [
            Marked(
                folder.id,
                each.remote_id,
                mark in each.keywords,
                self._size(each),
                each.received_at,
                identity("", each.mime).message_id,
            )
            for folder in self.mailbox.folders()
            for each in folder.messages
            if (mark in each.keywords if since is None else each.changed_at >= since)
        ]
        return Marks(tuple(items), complete=since is None, until=self.mailbox.time())

    # -- messages ------------------------------------------------------------------------------

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
        if self.mailbox.find(folder, action.remote_id) is None:
            key = action.remote_id.partition(".")[0]
            if self.protocol == "imap" and key != str(self._folder(folder).validity):
                return ActionResult(action, False, "", MessageGone("new keys", phase=Phase.APPLY))
            return ActionResult(action, True, "not there")
        try:
            receipt = self._carry_out(folder, action)
        except MessageError as error:
            return ActionResult(action, False, "", error)
        self.mailbox.actions.append((folder, action))
        return ActionResult(action, True, receipt)

    def _carry_out(self, folder: str, action: Action) -> str:
        box = self.mailbox
        if action.kind is ActionKind.MARK:
            if not self.exchange and (not box.takes_keywords or NO_KEYWORD.search(action.argument)):
                raise ActionRefused(f"no keyword: {action.argument}", phase=Phase.APPLY)
            box.mark(action.remote_id, action.argument, folder)
        elif action.kind is ActionKind.UNMARK:
            box.unmark(action.remote_id, action.argument, folder)
        elif action.kind is ActionKind.SEEN:
            box.touch(action.remote_id, folder)
        elif action.kind is ActionKind.DELETE:
            box.remove(action.remote_id, folder)
        else:
            return self._move(folder, action)
        return "done"

    def _move(self, folder: str, action: Action) -> str:
        if not self.exchange:  # as after [TRYCREATE]
            self.mailbox.add_folder(action.argument)
        try:
            target = self._folder(action.argument)
        except FolderMissing as error:
            raise ActionRefused(f"no folder {action.argument}", phase=Phase.APPLY) from error
        return f"moved as {self.mailbox.move(action.remote_id, folder, target.id)}"


class FakeOutgoingServer(Failing):
    """OutgoingServer that keeps what it accepts in `sent`, as envelopes, and all that was handed over
    in `handed_over`.

    `refuse` and `defer` answer a recipient with 550 or 450. Besides its methods, `fail` knows the
    points "before" (raised before handing over) and "after" (raised after it; the message counts as
    accepted if it is not one of errors.REFUSALS and `accept_when_lost` is set).
    `files_copies`: keeps copies in sent items and so can find them. `server_message_id`: the id that
    it says it used. `most_recipients`: that it takes at once, 0 for any number.
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
        self.most_recipients = 0
        self.told: tuple[RecipientResult, ...] = ()
        self.is_open = False
        self._refused: dict[str, RecipientResult] = {}

    def accept(self, address: str) -> None:
        self._refused.pop(address, None)

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
            self.told = results = self._judge(envelope)
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
        wanted = list(dict.fromkeys(envelope.recipients))
        most = self.most_recipients or len(wanted)
        results = tuple(
            self._refused.get(address) or RecipientResult(address, True, 250, "2.1.5 ok")
            for address in wanted[:most]
        )
        results += tuple(
            RecipientResult(address, False, 452, "4.5.3 too many", left_over=True)
            for address in wanted[most:]
        )
        if not any(result.accepted for result in results):
            kind = MessageRefused if all(r.permanent for r in results) else MessageDeferred
            error = kind("no recipient was accepted")
            error.recipients = results
            raise error
        return results


def identity(remote_id: str, mime: bytes, *, sized: bool = True) -> Identity:
    header = BytesHeaderParser().parsebytes(mime)
    size = len(mime) if sized else 0
    return Identity(remote_id, header.get("Message-ID", ""), header.get("Date", ""), size)


def epoch(folder: Folder) -> str:
    return f"{folder.validity}."
