"""Exchange as an ItemsServer.

An item's id changes when it is moved to another folder. A version is its change key. A cursor is "1:" and the state
of SyncFolderItems, so an idle folder costs one request; the "1" is the version of what was asked for. A state that
the server no longer knows begins anew as `reset`, or without a word, and then everything comes again.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Self

from exchangelib import errors as codes

from mailboxes.protocols.base import AdapterOptions
from mailboxes.protocols.errors import UnexpectedReply
from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.folders import is_last
from mailboxes.protocols.ews.items import fetching, listing, marking, writing
from mailboxes.protocols.ews.items import files as attached
from mailboxes.protocols.ews.operations import (
    Element,
    FindFolder,
    GetFolder,
    M,
    message_space,
    shape,
    type_space,
)
from mailboxes.protocols.ews.settings import ExchangeSettings
from mailboxes.protocols.items import (
    CALENDAR,
    MAIN_FOLDERS,
    Change,
    Changes,
    Deletion,
    Draft,
    FetchedItem,
    Found,
    FoundContact,
    ItemFile,
    ItemFolder,
    Marker,
    WrittenItem,
)
from mailboxes.protocols.phases import Phase

FOLDERS_PER_PAGE = 500
MOST_PAGES = 100  # a server that tells of more folders repeats itself
CALENDARS = "ipf.appointment"


class ExchangeItems:
    """ItemsServer over Exchange Web Services. Constructed unconnected."""

    protocol = "ews"

    def __init__(self, settings: ExchangeSettings, options: AdapterOptions | None = None) -> None:
        self.settings = settings
        self.options = options or AdapterOptions()
        self._talk = Conversation(settings, options)
        self._names: dict[
            str, str
        ] = {}  # of the main folders, by their ids, as far as they are known

    def __repr__(self) -> str:
        return f"<ExchangeItems {self.settings.address}>"

    def open(self) -> Self:
        self._talk.open()
        return self

    def close(self) -> None:
        self._talk.close()

    # -- folders -----------------------------------------------------------------------------------

    def folders(self) -> list[ItemFolder]:
        return [*self._main_folders(), *self._below_calendar()]

    def _main_folders(self) -> Iterator[ItemFolder]:
        """One that can't be opened is left out."""
        wanted = M.FolderIds(*(self._talk.folder(each) for each in MAIN_FOLDERS))
        properties = shape("FolderShape", "folder:DisplayName")
        answers = self._talk.ask(Phase.LIST, GetFolder, properties, wanted)
        if len(answers) != len(MAIN_FOLDERS):
            raise self._talk.out_of_step(Phase.LIST, f"{len(answers)} folders came for three")
        for folder, answer in zip(MAIN_FOLDERS, answers, strict=True):
            found = None if isinstance(answer, codes.EWSError) else _folder(answer)
            if found is not None:
                self._names[found.id] = folder
                yield ItemFolder(folder, folder, found.name)

    def _below_calendar(self) -> Iterator[ItemFolder]:
        offset = 0
        for _page in range(MOST_PAGES):
            answer = self._talk.need(
                Phase.LIST,
                FindFolder,
                shape("FolderShape", "folder:DisplayName", "folder:FolderClass"),
                M.IndexedPageFolderView(
                    MaxEntriesReturned=str(FOLDERS_PER_PAGE),
                    Offset=str(offset),
                    BasePoint="Beginning",
                ),
                M.ParentFolderIds(self._talk.folder(CALENDAR)),
                Traversal="Deep",
            )
            page = answer.findall(f"{message_space}RootFolder/{type_space}Folders/*")
            for each in map(messages.folder, page):
                if each.folder_class.lower().startswith(CALENDARS):
                    yield ItemFolder(each.id, CALENDAR, each.name)
            offset += len(page)
            view = answer.find(f"{message_space}RootFolder")
            if not page or view is None or is_last(view):
                return
        raise UnexpectedReply("the server's list of folders has no end")

    # -- reading -----------------------------------------------------------------------------------

    def changes(self, folder: str, cursor: str, limit: int) -> Changes:
        return listing.changes(self._talk, folder, cursor, limit, self._names)

    def fetch(self, ids: Sequence[str]) -> Iterator[FetchedItem]:
        return fetching.fetch(self._talk, ids, self._names)

    def find(self, folder: str, links: Sequence[str]) -> list[Found]:
        return listing.by_link(self._talk, folder, links)

    def find_uids(self, folder: str, uids: Sequence[str]) -> list[Found]:
        return listing.by_uid(self._talk, folder, uids)

    def find_addresses(self, folder: str, addresses: Sequence[str]) -> list[FoundContact]:
        return listing.by_address(self._talk, folder, addresses)

    # -- writing -----------------------------------------------------------------------------------

    def create(self, drafts: Sequence[Draft]) -> list[WrittenItem]:
        return writing.create(self._talk, drafts)

    def update(self, changes: Sequence[Change]) -> list[WrittenItem]:
        return writing.update(self._talk, changes)

    def delete(self, deletions: Sequence[Deletion]) -> list[WrittenItem]:
        return writing.delete(self._talk, deletions)

    # -- files and the marker ----------------------------------------------------------------------

    def files(self, id: str, wanted: Callable[[ItemFile], bool] | None = None) -> list[ItemFile]:
        return attached.files(self._talk, id, wanted)

    def add_files(self, id: str, version: str, files: Sequence[ItemFile]) -> WrittenItem:
        return attached.add(self._talk, id, version, files)

    def remove_files(self, id: str, files: Sequence[str]) -> WrittenItem:
        return attached.remove(self._talk, id, files)

    def marker(self) -> Marker | None:
        return marking.read(self._talk)

    def set_marker(self, marker: Marker) -> None:
        marking.write(self._talk, marker)


def _folder(answer: Element) -> messages.Folder | None:
    found = answer.find(f"{message_space}Folders/*")
    return None if found is None else messages.folder(found)
