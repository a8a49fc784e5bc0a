"""Exchange as an incoming server.

A remote id is the id of an item; it changes when the item is moved. A cursor is "1:" and the state of
SyncFolderItems, so an idle folder costs one request; the "1" is the version of what was asked for.
Listings ask for what searches can return, and contents are fetched by id, which marks nothing as read.

`list_new`: what the server calls an update is told as `changed`, whether or not it was ever listed.
Read flags are ignored. A listing without items still moves the cursor if something happened.
"""

import base64
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Self

from exchangelib import errors as codes

from mailboxes.protocols.base import (
    INBOX,
    SENT,
    Action,
    ActionResult,
    AdapterOptions,
    Category,
    Fetched,
    Glance,
    Identity,
    Listing,
    Marks,
    RemoteFolder,
    RemoteItem,
)
from mailboxes.protocols.errors import (
    MessageError,
    MessageTooLarge,
    MessageUnreadable,
    UnexpectedReply,
)
from mailboxes.protocols.ews import actions as acting
from mailboxes.protocols.ews import categorylist, folders, messages, searching
from mailboxes.protocols.ews.conversation import TOO_LARGE, Conversation
from mailboxes.protocols.ews.messages import Changes
from mailboxes.protocols.ews.operations import (
    ITEM_GONE,
    Answer,
    CreateItem,
    Element,
    GetItem,
    M,
    SyncFolderItems,
    T,
    item_ids,
    message_space,
    shape,
    timestamp,
)
from mailboxes.protocols.ews.settings import ExchangeSettings
from mailboxes.protocols.fetching import LINE_FAULTS, fetch_each
from mailboxes.protocols.phases import Phase

VERSION = "1:"
LARGEST_PAGE = 512  # what SyncFolderItems allows
EMPTY_PAGES = 20  # pages of read flags alone that one listing passes over
GROUP_OCTETS = 8 * 1024 * 1024  # contents that are fetched together, by their listed sizes
GROUP_MESSAGES = 50
UNKNOWN_SIZE = 1024 * 1024

#: What is said of one message, whatever is said of the next.
ABOUT_ONE_MESSAGE = (
    *ITEM_GONE,
    *TOO_LARGE,
    codes.ErrorAccessDenied,  # to a protected one: the folder was just listed
    codes.ErrorCorruptData,
    codes.ErrorItemCorrupt,
    codes.ErrorMimeContentConversionFailed,
    codes.ErrorUnsupportedMimeConversion,
    codes.ErrorUnsupportedTypeForConversion,
    codes.ErrorContentConversionFailed,
)

LAST = datetime.max.replace(tzinfo=UTC)

READ_NOT_UNSENT = "1"  # PidTagMessageFlags: mfRead, and no mfUnsent, which would make it a draft


class ExchangeServer:
    """IncomingServer over Exchange Web Services. Constructed unconnected."""

    protocol = "ews"
    sizes_stay = False

    def __init__(self, settings: ExchangeSettings, options: AdapterOptions | None = None) -> None:
        self.settings = settings
        self.options = options or AdapterOptions()
        self._talk = Conversation(settings, options)
        self._sizes: dict[str, int] = {}
        self._one_by_one = False  # after a line broke while several messages were on their way
        self._together = 0  # how many the last request asked for

    def __repr__(self) -> str:
        return f"<ExchangeServer {self.settings.address}>"

    # -- the contract ------------------------------------------------------------------------------

    def open(self) -> Self:
        self._talk.open()
        return self

    def list_new(self, folder: str, cursor: str, limit: int) -> Listing:
        self.open()
        limit = max(1, min(limit, LARGEST_PAGE))
        if state := state_in(cursor):
            changes = self._changes(folder, state, limit)
            if changes is not None:
                return self._what_changed(folder, cursor, changes)
        return self._from_the_beginning(folder, limit, reset=bool(cursor))

    def glance(self, cursors: Mapping[str, str]) -> Glance:
        """One change is asked for of each folder; whatever it is, a listing tells what it means."""
        states = {folder: state_in(cursor) for folder, cursor in cursors.items()}
        if not all(states.values()):
            return Glance(unchanged=False)
        self.open()
        for folder, state in states.items():
            changes = self._sync(folder, state, 1)
            if changes is None or changes.any or not changes.last:
                return Glance(unchanged=False)
        return Glance(unchanged=True, new=0)

    def fetch(self, folder: str, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        self._one_by_one = False
        return fetch_each(remote_ids, self.open, self._retrieve)

    def identify(self, folder: str, remote_ids: Sequence[str]) -> list[Identity]:
        properties = ("message:InternetMessageId", "item:InternetMessageHeaders")
        identities = []
        for remote_id, answer in self._items(remote_ids, *properties).items():
            item = item_of(answer)
            if item is not None:
                message_id = messages.text(item, "InternetMessageId")
                message_id = message_id or messages.header(item, "message-id")
                identities.append(Identity(remote_id, message_id, messages.header(item, "date"), 0))
        return identities

    def apply(self, folder: str, actions: Sequence[Action]) -> list[ActionResult]:
        return acting.apply(self._talk, actions)

    def file_sent(self, message_id: str, mime: bytes, sent_at: datetime) -> str:
        if searching.in_sent_items(self._talk, message_id, Phase.FIND):
            return "there is one in sent items already"
        answer = self._talk.ask_one(
            Phase.APPLY,
            CreateItem,
            M.SavedItemFolderId(self._talk.folder(SENT)),
            M.Items(filed_copy(mime, sent_at)),
            MessageDisposition="SaveOnly",
        )
        if isinstance(answer, codes.EWSError):
            raise self._talk.action_error(answer)
        return "filed in sent items"

    def folders(self) -> list[RemoteFolder]:
        inbox = self._talk.folder(INBOX)
        return folders.tree(folders.below(self._talk, inbox, deep=True))

    def ensure_folder(self, name: str) -> str:
        return folders.ensure(self._talk, name)

    def ensure_category(self, wanted: Category) -> Category:
        return categorylist.ensure(self._talk, wanted)

    def drop_category(self, category_id: str) -> None:
        categorylist.drop(self._talk, category_id)

    def marked(self, mark: str, folders: Sequence[str], since: datetime | None) -> Marks:
        """In the whole mailbox, so `folders` doesn't matter."""
        return searching.marked(self._talk, mark, since)

    def close(self) -> None:
        self._talk.close()

    # -- listing -----------------------------------------------------------------------------------

    def _changes(self, folder: str, state: str, limit: int) -> Changes | None:
        """The next page that says something of ours; None if the server knows the state no more."""
        something = False
        for _page in range(EMPTY_PAGES):
            changes = self._sync(folder, state, limit)
            if changes is None:
                return None
            changes.any = something = something or changes.any
            if changes.last or changes.created or changes.updated or changes.deleted:
                break
            state = changes.state
        return changes

    def _sync(self, folder: str, state: str, limit: int) -> Changes | None:
        answer = self._talk.ask_one(
            Phase.LIST,
            SyncFolderItems,
            shape("ItemShape", *messages.LISTED),
            M.SyncFolderId(self._talk.folder(folder)),
            *([M.SyncState(state)] if state else []),
            M.MaxChangesReturned(str(limit)),
        )
        if isinstance(answer, codes.ErrorInvalidSyncStateData) and state:
            return None
        if isinstance(answer, codes.EWSError):
            raise self._talk.folder_error(answer, folder, Phase.LIST) from answer
        changes = messages.changes(answer)
        if not changes.state:
            folders.total(self._talk, folder)  # some have nothing to say of a folder that is gone
            raise UnexpectedReply("the server doesn't tell how far we read", phase=Phase.LIST)
        return changes

    def _from_the_beginning(self, folder: str, limit: int, *, reset: bool) -> Listing:
        """The first request proves that the folder is there."""
        total = folders.total(self._talk, folder)
        changes = self._changes(folder, "", limit)
        if changes is None:
            raise UnexpectedReply("the server forgets at once how far we read", phase=Phase.LIST)
        items = self._in_order(changes.created + changes.updated, VERSION + changes.state)
        return Listing(
            items,
            VERSION + changes.state,
            more=not changes.last,
            reset=reset,
            total=total,
        )

    def _what_changed(self, folder: str, cursor: str, changes: Changes) -> Listing:
        if not changes.any and changes.last:
            return Listing((), cursor, unchanged=True)
        end = VERSION + changes.state
        if changes.deleted and not changes.created and not changes.updated:
            folders.total(self._talk, folder)  # did only these leave, or the folder with them?
        items = self._in_order(changes.created, end)
        # What came and went in one answer, in whatever order, is looked for; that loses nothing.
        created = {item.remote_id for item in items}
        gone = dict.fromkeys(each for each in changes.deleted if each not in created)
        told = created | set(gone)
        return Listing(
            items,
            end,
            more=not changes.last,
            gone=tuple(gone),
            changed=tuple(item for item in changes.updated if item.remote_id not in told),
        )

    def _in_order(self, items: Sequence[RemoteItem], end: str) -> tuple[RemoteItem, ...]:
        """Oldest first, each once. The cursor stands behind them all."""
        self._sizes.update((item.remote_id, item.size) for item in items)
        unique = {item.remote_id: item for item in items}
        in_order = sorted(unique.values(), key=age)
        if in_order:
            in_order[-1] = replace(in_order[-1], cursor=end)
        return tuple(in_order)

    # -- fetching ----------------------------------------------------------------------------------

    def _items(self, remote_ids: Sequence[str], *properties: str) -> dict[str, Answer]:
        def ask(part: Sequence[str]) -> list[Answer]:
            return self._talk.ask(
                Phase.FETCH, GetItem, shape("ItemShape", *properties), item_ids(part)
            )

        self._together = len(remote_ids)
        answers = self._talk.ask_each(Phase.FETCH, remote_ids, ask)
        for remote_id, answer in answers.items():
            self._talk.check_item(Phase.FETCH, remote_id, answer)
        return answers

    def _retrieve(self, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        """Ends early, to begin again one by one, if the line breaks over several at once."""
        for part in [[each] for each in remote_ids] if self._one_by_one else [remote_ids]:
            try:
                yield from self._retrieve_together(part)
            except LINE_FAULTS:
                if self._together < 2:
                    raise
                self._one_by_one = True
                self._talk.access.drop()
                return

    def _retrieve_together(self, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        why_not = self._look_up_sizes(remote_ids)
        for group in self._groups(remote_ids):
            wanted = [each for each in group if each not in why_not]
            answers = self._items(wanted, "item:MimeContent") if wanted else {}
            self._raise_if_all_alike(answers)
            for each in group:
                if each in why_not:
                    yield Fetched(each, None, why_not[each])
                else:
                    yield self._fetched(each, answers.pop(each))

    def _look_up_sizes(self, remote_ids: Sequence[str]) -> dict[str, MessageError]:
        """So that the limits hold for what was not listed just now. Returns why some can't be had."""
        unknown = [each for each in remote_ids if each not in self._sizes]
        why_not: dict[str, MessageError] = {}
        for remote_id, answer in self._items(unknown, "item:Size").items():
            item = item_of(answer)
            if isinstance(answer, codes.EWSError):
                why_not[remote_id] = self._talk.message_error(answer, Phase.FETCH)
            elif item is not None:
                self._sizes[remote_id] = messages.number(messages.text(item, "Size")) or 0
        limit = self.options.max_fetch_bytes
        for each in remote_ids:
            if self._sizes.get(each, 0) > limit:
                why_not[each] = too_large(self._sizes[each], limit)
        return why_not

    def _groups(self, remote_ids: Sequence[str]) -> Iterator[list[str]]:
        group: list[str] = []
        octets = 0
        for each in remote_ids:
            size = self._sizes.get(each, 0) or UNKNOWN_SIZE
            full = len(group) >= GROUP_MESSAGES
            if group and (full or octets + size > GROUP_OCTETS or each in group):
                yield group
                group, octets = [], 0
            group.append(each)
            octets += size
        if group:
            yield group

    def _raise_if_all_alike(self, answers: dict[str, Answer]) -> None:
        """If the server refuses all of several in the same words that are not about a message, then
        it is not the messages."""
        kinds = {type(answer) for answer in answers.values()}
        first = next(iter(answers.values()), None)
        if len(answers) > 1 and len(kinds) == 1 and isinstance(first, codes.EWSError):
            if isinstance(first, ABOUT_ONE_MESSAGE):
                return
            error = self._talk.error(first, Phase.FETCH)
            if not isinstance(error, MessageError):
                raise error from first

    def _fetched(self, remote_id: str, answer: Answer) -> Fetched:
        if isinstance(answer, codes.EWSError):
            return Fetched(remote_id, None, self._talk.message_error(answer, Phase.FETCH))
        item = item_of(answer)
        mime = None if item is None else messages.mime_of(item)
        if mime is None:
            detail = "the server answers without the content"
            return Fetched(remote_id, None, MessageUnreadable(detail, phase=Phase.FETCH))
        limit = self.options.max_fetch_bytes
        if len(mime) > limit:
            return Fetched(remote_id, None, too_large(len(mime), limit))
        return Fetched(remote_id, mime)


def state_in(cursor: str) -> str:
    """What the server told when the cursor was made; "" if that is of no use now."""
    return cursor.removeprefix(VERSION) if cursor.startswith(VERSION) else ""


def item_of(answer: Answer) -> Element | None:
    return None if isinstance(answer, codes.EWSError) else answer.find(f"{message_space}Items/*")


def age(item: RemoteItem) -> datetime:
    return item.received_at or LAST


def too_large(size: int, limit: int) -> MessageTooLarge:
    return MessageTooLarge(f"{size} octets are more than the limit of {limit}", phase=Phase.FETCH)


def filed_copy(mime: bytes, sent_at: datetime) -> Element:
    """A message that was sent, as if the server had sent it: no draft, read, and of that time."""
    return T.Message(
        T.MimeContent(base64.b64encode(mime).decode(), CharacterSet="UTF-8"),
        _property("0x0E07", "Integer", READ_NOT_UNSENT),
        _property("0x0039", "SystemTime", timestamp(sent_at)),  # PidTagClientSubmitTime
        _property("0x0E06", "SystemTime", timestamp(sent_at)),  # PidTagMessageDeliveryTime
        T.IsRead("true"),
    )


def _property(tag: str, kind: str, value: str) -> Element:
    path = T.ExtendedFieldURI(PropertyTag=tag, PropertyType=kind)
    return T.ExtendedProperty(path, T.Value(value))
