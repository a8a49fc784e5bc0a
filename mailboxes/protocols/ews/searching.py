"""FindItem: messages of many folders by mark, by change, or by message id."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from datetime import datetime, timedelta

from exchangelib import errors as codes

from mailboxes.protocols.base import SENT, Marked, Marks
from mailboxes.protocols.errors import ServerError, UnexpectedReply
from mailboxes.protocols.ews import folders, messages
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.operations import (
    FOLDER_GONE,
    Answer,
    Element,
    FindItem,
    M,
    T,
    compare,
    message_space,
    refusal_in,
    shape,
    timestamp,
    type_space,
)
from mailboxes.protocols.phases import Phase

ITEMS_PER_PAGE = 500
MOST_PAGES = 10_000  # of one folder; a server that has more repeats itself
FOLDERS_PER_REQUEST = 100
RECENT = 200  # sent items looked through where the server can't search for a message id
OVERLAP = timedelta(minutes=5)  # clocks of one server's parts differ

#: What servers say that can't search like this.
UNSUPPORTED = (
    codes.ErrorUnsupportedPathForQuery,
    codes.ErrorUnsupportedQueryFilter,
    codes.ErrorUnsupportedSubFilter,
    codes.ErrorInvalidRestriction,
    codes.ErrorUnsupportedPropertyDefinition,
    codes.ErrorUnsupportedPathForSortGroup,
    codes.ErrorInvalidOperation,
    codes.ErrorInvalidRequest,
    codes.ErrorInvalidSchemaVersionForMailboxVersion,
    codes.ErrorInternalServerError,
    codes.ErrorSchemaValidation,
)


class Unsupported(Exception):
    """The server refuses this search."""


class Search:
    """One search over several folders, page by page."""

    def __init__(
        self,
        talk: Conversation,
        restriction: Element | None = None,
        newest_first: str = "",
        per_page: int = ITEMS_PER_PAGE,
        phase: Phase = Phase.LIST,
    ) -> None:
        self.talk = talk
        self.restriction = restriction
        self.newest_first = newest_first
        self.per_page = per_page
        self.phase = phase

    def run(
        self, wanted: Sequence[str], *, pages: int | None = None
    ) -> Iterator[tuple[str, Element]]:
        """Folder and item, at most so many pages of each folder. A folder that is gone meanwhile, or
        that we may not read, has no items. Raises Unsupported."""
        offsets = dict.fromkeys(wanted, 0)
        left = MOST_PAGES
        while offsets and pages != 0:
            for offset, group in self._alike(offsets):
                answers = self._page(group, offset)
                for folder, answer in zip(group, answers, strict=True):
                    items, more = self._read(answer)
                    yield from ((folder, item) for item in items)
                    if more and items:
                        offsets[folder] = offset + len(items)
                    else:
                        del offsets[folder]
            pages = None if pages is None else pages - 1
            left -= 1
            if offsets and not left:
                raise UnexpectedReply("the server's list of messages has no end")

    def _alike(self, offsets: dict[str, int]) -> list[tuple[int, list[str]]]:
        """A request has one offset for all of its folders."""
        groups: dict[int, list[str]] = defaultdict(list)
        for folder, offset in offsets.items():
            groups[offset].append(folder)
        return [
            (offset, group[start : start + FOLDERS_PER_REQUEST])
            for offset, group in groups.items()
            for start in range(0, len(group), FOLDERS_PER_REQUEST)
        ]

    def _page(self, group: Sequence[str], offset: int) -> list[Answer]:
        def ask(wanted: Sequence[str]) -> list[Answer]:
            children = [
                shape("ItemShape", *messages.LISTED),
                M.IndexedPageItemView(
                    MaxEntriesReturned=str(self.per_page),
                    Offset=str(offset),
                    BasePoint="Beginning",
                ),
            ]
            if self.restriction is not None:
                children.append(deepcopy(self.restriction))  # an element has one parent
            if self.newest_first:
                path = T.FieldURI(FieldURI=self.newest_first)
                children.append(M.SortOrder(T.FieldOrder(path, Order="Descending")))
            children.append(M.ParentFolderIds(*(self.talk.folder(each) for each in wanted)))
            try:
                return self.talk.ask(self.phase, FindItem, *children, Traversal="Shallow")
            except ServerError as error:
                self._refuse(refusal_in(error))
                raise

        answers = self.talk.ask_each(self.phase, group, ask, at_once=len(group))
        return [answers[folder] for folder in group]

    def _read(self, answer: Answer) -> tuple[list[Element], bool]:
        if isinstance(answer, (*FOLDER_GONE, codes.ErrorAccessDenied)):
            return [], False
        self._refuse(answer)
        if isinstance(answer, codes.EWSError):
            raise self.talk.error(answer, self.phase) from answer
        view = answer.find(f"{message_space}RootFolder")
        if view is None:
            return [], False
        return view.findall(f"{type_space}Items/*"), not folders.is_last(view)

    def _refuse(self, answer: Answer | None) -> None:
        """If the restriction is what the server can't do, there is another way."""
        if self.restriction is not None and isinstance(answer, UNSUPPORTED):
            raise Unsupported from answer


def marked(talk: Conversation, mark: str, since: datetime | None) -> Marks:
    """In all folders that hold mail. Searches of all servers know `>`; where one doesn't search for
    what was asked, more is looked through instead."""
    names = folders.with_mail(talk)
    until = None if talk.answered_at is None else talk.answered_at - OVERLAP
    if since is not None:
        changed = compare("IsGreaterThan", "item:LastModifiedTime", timestamp(since))
        search = Search(talk, changed, newest_first="item:LastModifiedTime")
        try:
            return Marks(tuple(_marked(search, names, mark)), complete=False, until=until or since)
        except Unsupported:
            pass
    try:
        search = Search(talk, compare("IsEqualTo", "item:Categories", mark))
        found = list(_marked(search, names, mark))
    except Unsupported:
        found = list(_marked(Search(talk), names, mark))
    return Marks(tuple(each for each in found if each.has_mark), complete=True, until=until)


def _marked(search: Search, names: dict[str, str], mark: str) -> Iterator[Marked]:
    seen: set[str] = set()
    for folder, element in search.run(list(names)):
        item = messages.remote_item(element)
        if item.remote_id in seen:  # pages overlap when something comes in between
            continue
        seen.add(item.remote_id)
        yield Marked(
            names[folder],
            item.remote_id,
            carries(item.marks or (), mark),
            item.size,
            item.received_at,
            item.message_id,
        )


def carries(marks: Iterable[str], mark: str) -> bool:
    """Exchange takes names of categories that differ in case for the same."""
    return mark.casefold() in {each.casefold() for each in marks}


def in_sent_items(talk: Conversation, message_id: str, phase: Phase) -> bool:
    wanted = f"<{message_id.strip().strip('<>')}>"
    exact = Search(
        talk, compare("IsEqualTo", "message:InternetMessageId", wanted), per_page=5, phase=phase
    )
    try:
        found = list(exact.run([SENT], pages=1))
    except Unsupported:
        recent = Search(talk, newest_first="item:DateTimeReceived", per_page=RECENT, phase=phase)
        found = list(recent.run([SENT], pages=1))
    return any(messages.remote_item(item).message_id == wanted for _folder, item in found)
