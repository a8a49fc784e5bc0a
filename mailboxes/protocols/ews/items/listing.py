"""What changed in a folder, by SyncFolderItems; and items of a folder that are looked for, by FindItem.

Where a server refuses a search, everything in the folder is listed and picked from here.
"""

from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from copy import deepcopy
from dataclasses import replace

from exchangelib import errors as codes

from mailboxes.protocols.errors import UnexpectedReply
from mailboxes.protocols.ews import folders, messages
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.folders import is_last
from mailboxes.protocols.ews.items import shapes, uids, values
from mailboxes.protocols.ews.items.contacts import EMAILS, FIELDS
from mailboxes.protocols.ews.items.fields import CATEGORIES, SENSITIVITIES, SENSITIVITY
from mailboxes.protocols.ews.items.paths import CLEAN_GLOBAL_ID, LINK, Path, extended
from mailboxes.protocols.ews.operations import (
    Answer,
    Element,
    FindItem,
    GetItem,
    M,
    SyncFolderItems,
    T,
    clean,
    in_parts,
    item_ids,
    message_space,
    shape,
    type_space,
)
from mailboxes.protocols.ews.searching import UNSUPPORTED
from mailboxes.protocols.items import (
    CONTACTS,
    MAIN_FOLDERS,
    TASKS,
    Changed,
    Changes,
    Found,
    FoundContact,
    ItemKind,
    Sensitivity,
)
from mailboxes.protocols.phases import Phase

VERSION = "1:"
LARGEST_PAGE = 512  # what SyncFolderItems allows
ITEMS_PER_PAGE = 500
MOST_PAGES = 10_000  # of one folder; a server that has more repeats itself
VALUES_PER_SEARCH = 30  # keeps a restriction far below what servers take

LISTED = (shapes.ITEM_CLASS, shapes.PARENT, CATEGORIES, SENSITIVITY, LINK)
OF_MEETINGS = (shapes.UID, CLEAN_GLOBAL_ID)
ADDRESSES = tuple(Path("contacts:EmailAddress", key) for key in EMAILS.values())

Names = MutableMapping[str, str]


# -- what changed ----------------------------------------------------------------------------------


def changes(talk: Conversation, folder: str, cursor: str, limit: int, names: Names) -> Changes:
    """`names`: our names of main folders by their ids, which the listing teaches."""
    state = cursor.removeprefix(VERSION) if cursor.startswith(VERSION) else ""
    limit = max(1, min(limit, LARGEST_PAGE))
    if state:
        answer = _sync(talk, folder, state, limit)
        if not isinstance(answer, codes.ErrorInvalidSyncStateData):
            return _read(talk, folder, answer, names)
    answer = _sync(talk, folder, "", limit)
    return replace(_read(talk, folder, answer, names), reset=bool(cursor))


def _sync(talk: Conversation, folder: str, state: str, limit: int) -> Answer:
    return talk.ask_one(
        Phase.LIST,
        SyncFolderItems,
        shape("ItemShape", *(path.element() for path in _listed_of(folder))),
        M.SyncFolderId(talk.folder(folder)),
        *([M.SyncState(state)] if state else []),
        M.MaxChangesReturned(str(limit)),
    )


def _listed_of(folder: str) -> tuple[Path, ...]:
    if folder in (CONTACTS, TASKS):
        return LISTED
    return (*LISTED, *OF_MEETINGS, shapes.CALENDAR_TYPE)


def _read(talk: Conversation, folder: str, answer: Answer, names: Names) -> Changes:
    if isinstance(answer, codes.EWSError):
        raise talk.folder_error(answer, folder, Phase.LIST) from answer
    state = (answer.findtext(f"{message_space}SyncState") or "").strip()
    if not state:
        folders.total(talk, folder)  # some have nothing to say of a folder that is gone
        raise UnexpectedReply("the server doesn't tell how far we read", phase=Phase.LIST)
    told = list(answer.iterfind(f"{message_space}Changes/*"))
    items = {messages.id_of(each): each for each in _present(told)}
    gone = dict.fromkeys(messages.id_of(each) for each in told if _tag(each) == "Delete")
    if gone and not items and folder not in MAIN_FOLDERS:
        folders.total(talk, folder)  # did only these leave, or the folder with them?
    _learn(folder, items.values(), names)
    return Changes(
        tuple(_listed(talk, items)),
        VERSION + state,
        # What came and went in one answer, in whatever order, is looked for; that loses nothing.
        gone=tuple(each for each in gone if each and each not in items),
        more=not _is_last(answer),
    )


def _present(told: Iterable[Element]) -> Iterator[Element]:
    for each in told:
        if _tag(each) in ("Create", "Update") and len(each) and messages.id_of(each[0]):
            yield each[0]


def _tag(element: Element) -> str:
    return element.tag.removeprefix(type_space)


def _is_last(answer: Element) -> bool:
    said = answer.findtext(f"{message_space}IncludesLastItemInRange") or "true"
    return said.strip().lower() in ("true", "1")


def _learn(folder: str, items: Iterable[Element], names: Names) -> None:
    if folder in MAIN_FOLDERS:
        parents = {messages.id_of(item, "ParentFolderId") for item in items} - {""}
        names.update(dict.fromkeys(parents, folder))


def _listed(talk: Conversation, items: dict[str, Element]) -> list[Changed]:
    series = _series_among(talk, items)
    return [
        changed(item, ItemKind.SERIES if identifier in series else shapes.kind_of(item))
        for identifier, item in items.items()
    ]


def _series_among(talk: Conversation, items: dict[str, Element]) -> set[str]:
    """Of a server whose listing doesn't tell."""
    doubtful = [
        identifier
        for identifier, item in items.items()
        if _tag(item) == "CalendarItem" and not messages.text(item, "CalendarItemType")
    ]

    def ask(part: Sequence[str]) -> list[Answer]:
        properties = shape("ItemShape", "calendar:CalendarItemType", "calendar:Recurrence")
        return talk.ask(Phase.LIST, GetItem, properties, item_ids(part))

    answers = talk.ask_each(Phase.LIST, doubtful, ask) if doubtful else {}
    found = {
        identifier: answer.find(f"{message_space}Items/*")
        for identifier, answer in answers.items()
        if not isinstance(answer, codes.EWSError)
    }
    return {
        identifier
        for identifier, item in found.items()
        if item is not None and shapes.kind_of(item) is ItemKind.SERIES
    }


def changed(item: Element, kind: ItemKind | None) -> Changed:
    return Changed(
        messages.id_of(item),
        shapes.version_of(item),
        kind,
        messages.categories(item),
        extended(item, LINK),
        shapes.uid_of(item),
        values.word(item, SENSITIVITY.name, SENSITIVITIES, Sensitivity.NORMAL),
    )


# -- looking for some ------------------------------------------------------------------------------


class Unsupported(Exception):
    """The server refuses this search."""


REFUSED = (*UNSUPPORTED, codes.ErrorRestrictionTooComplex, codes.ErrorRestrictionTooLong)


def by_link(talk: Conversation, folder: str, links: Sequence[str]) -> list[Found]:
    wanted = set(links) - {""}

    def tests(some: Sequence[str]) -> list[Element]:
        return [equals(LINK, each) for each in some]

    of_meetings = () if folder in (CONTACTS, TASKS) else OF_MEETINGS
    items = _search(talk, folder, sorted(wanted), [tests], (LINK, *of_meetings))
    found = [_found(item, folder) for item in items]
    return [each for each in found if each.link in wanted]


def by_uid(talk: Conversation, folder: str, uids_wanted: Sequence[str]) -> list[Found]:
    """Exchange searches by the global id alone; others, that don't know it, by the uid. So both are asked
    for together first."""
    wanted = {each.upper() for each in uids_wanted if each}

    def global_ids(some: Sequence[str]) -> list[Element]:
        return [equals(CLEAN_GLOBAL_ID, uids.global_id(each)) for each in some]

    def both(some: Sequence[str]) -> list[Element]:
        return [*global_ids(some), *(equals(shapes.UID, each) for each in some)]

    values = [each for each in dict.fromkeys(uids_wanted) if each]
    items = _search(talk, folder, values, [both, global_ids], (LINK, *OF_MEETINGS))
    found = [_found(item, folder) for item in items]
    return [each for each in found if each.uid.upper() in wanted]


def by_address(talk: Conversation, folder: str, addresses: Sequence[str]) -> list[FoundContact]:
    wanted = {each.lower() for each in addresses if each}

    def tests(some: Sequence[str]) -> list[Element]:
        return [equals(path, each) for each in some for path in ADDRESSES]

    items = _search(talk, folder, sorted(wanted), [tests], (LINK, *ADDRESSES))
    return [
        FoundContact(address, messages.id_of(item), shapes.version_of(item), extended(item, LINK))
        for item in items
        for address in sorted(_addresses(item) & wanted)
    ]


def _addresses(item: Element) -> set[str]:
    return {str(FIELDS[name].read(item)).lower() for name in EMAILS} - {""}


def _found(item: Element, folder: str) -> Found:
    link, uid = extended(item, LINK), shapes.uid_of(item)
    return Found(link, uid, messages.id_of(item), shapes.version_of(item), folder)


def equals(path: Path, value: str) -> Element:
    constant = T.FieldURIOrConstant(T.Constant(Value=clean(value)))
    return T.IsEqualTo(path.element(), constant)


Tests = Callable[[Sequence[str]], list[Element]]


def _search(
    talk: Conversation,
    folder: str,
    wanted: Sequence[str],
    ways: Sequence[Tests],
    properties: Sequence[Path],
) -> list[Element]:
    """By the first of the ways that the server takes; if it takes none, all items of the folder."""
    if not wanted:
        return []
    for tests in ways:
        try:
            found: dict[str, Element] = {}
            for some in in_parts(wanted, VALUES_PER_SEARCH):
                restriction = any_of(tests(some))
                for item in _pages(talk, folder, restriction, properties):
                    found[messages.id_of(item)] = item
        except Unsupported:
            continue
        return list(found.values())
    return list(_pages(talk, folder, None, properties))


def any_of(tests: Sequence[Element]) -> list[Element]:
    return [T.Or(*tests)] if len(tests) > 1 else list(tests)


def _pages(
    talk: Conversation, folder: str, tests: list[Element] | None, properties: Sequence[Path]
) -> Iterator[Element]:
    """Raises Unsupported, FolderMissing."""
    offset = 0
    for _page in range(MOST_PAGES):
        view = _page_at(talk, folder, tests, properties, offset)
        items = [] if view is None else view.findall(f"{type_space}Items/*")
        yield from items
        offset += len(items)
        if view is None or not items or is_last(view):
            return
    raise UnexpectedReply("the server's list of items has no end")


def _page_at(
    talk: Conversation,
    folder: str,
    tests: list[Element] | None,
    properties: Sequence[Path],
    offset: int,
) -> Element | None:
    restriction = [M.Restriction(*(deepcopy(each) for each in tests))] if tests else []
    answer = talk.ask_one(
        Phase.FIND,
        FindItem,
        shape("ItemShape", *(path.element() for path in properties)),
        M.IndexedPageItemView(
            MaxEntriesReturned=str(ITEMS_PER_PAGE), Offset=str(offset), BasePoint="Beginning"
        ),
        *restriction,
        M.ParentFolderIds(talk.folder(folder)),
        Traversal="Shallow",
    )
    if tests and isinstance(answer, REFUSED):
        raise Unsupported from answer
    if isinstance(answer, codes.EWSError):
        raise talk.folder_error(answer, folder, Phase.FIND) from answer
    view: Element | None = answer.find(f"{message_space}RootFolder")
    return view
