"""Which folders a mailbox has: the tree below the inbox, a folder beside it, and all that hold mail."""

from collections.abc import Iterator, Sequence

from exchangelib import errors as codes

from mailboxes.protocols.base import INBOX, SENT, RemoteFolder
from mailboxes.protocols.errors import (
    AccessDenied,
    ActionRefused,
    FolderMissing,
    UnexpectedReply,
)
from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.messages import Folder
from mailboxes.protocols.ews.operations import (
    CreateFolder,
    Element,
    FindFolder,
    GetFolder,
    M,
    T,
    clean,
    message_space,
    shape,
    type_space,
)
from mailboxes.protocols.phases import Phase

FOLDERS_PER_PAGE = 500
MOST_FOLDERS = 50_000  # of one mailbox; a server that tells more repeats itself
DEEPEST = 300  # as deep as Exchange lets folders lie in each other
PROPERTIES = (
    "folder:FolderClass",
    "folder:DisplayName",
    "folder:ParentFolderId",
    "folder:TotalCount",
)
#: Mail in these is not looked through for marks, nor in what lies below them.
LEFT_OUT = ("deleteditems", "junkemail", "drafts", "outbox")


def total(talk: Conversation, folder: str) -> int | None:
    """How many messages it holds. Raises FolderMissing: the request proves that it is there."""
    wanted = M.FolderIds(talk.folder(folder))
    properties = shape("FolderShape", "folder:TotalCount")
    answer = talk.ask_one(Phase.OPEN, GetFolder, properties, wanted)
    if isinstance(answer, codes.EWSError):
        raise talk.folder_error(answer, folder, Phase.OPEN) from answer
    found = answer.find(f"{message_space}Folders/*")
    return None if found is None else messages.folder(found).messages


def below(talk: Conversation, root: Element, *, deep: bool) -> list[Folder]:
    """Plain folders only: what a search folder shows lies elsewhere."""
    found: list[Folder] = []
    offset = 0
    while True:
        answer = talk.need(
            Phase.LIST,
            FindFolder,
            shape("FolderShape", *PROPERTIES),
            M.IndexedPageFolderView(
                MaxEntriesReturned=str(FOLDERS_PER_PAGE), Offset=str(offset), BasePoint="Beginning"
            ),
            M.ParentFolderIds(root),
            Traversal="Deep" if deep else "Shallow",
        )
        page = answer.findall(f"{message_space}RootFolder/{type_space}Folders/*")
        found += [messages.folder(each) for each in page if each.tag == f"{type_space}Folder"]
        offset += len(page)
        view = answer.find(f"{message_space}RootFolder")
        if not page or view is None or is_last(view):
            return found
        if offset > MOST_FOLDERS:
            raise UnexpectedReply(f"the server tells of more than {MOST_FOLDERS} folders")


def is_last(view: Element) -> bool:
    return (view.get("IncludesLastItemInRange") or "true").lower() in ("true", "1")


def tree(folders: Sequence[Folder]) -> list[RemoteFolder]:
    """With paths, from what lies below the inbox in any order. A parent that isn't among them is the
    inbox itself."""
    names = {folder.id: folder.name for folder in folders}
    parents = {folder.id: folder.parent for folder in folders}

    def path(folder: Folder) -> tuple[str, ...]:
        upwards = [names[each] for each in _lineage(folder.id, parents) if each in names]
        return tuple(reversed(upwards))

    return [
        RemoteFolder(folder.id, path(folder), folder.messages)
        for folder in folders
        if folder.holds_mail
    ]


def ensure(talk: Conversation, name: str) -> str:
    """The id of the folder beside the inbox. Raises ActionRefused."""
    try:
        found = _beside_inbox(talk, name)
    except (AccessDenied, FolderMissing) as error:  # a delegate may know the inbox only
        raise ActionRefused(error.detail, phase=Phase.APPLY) from error
    if found:
        return found
    answer = talk.ask_one(
        Phase.APPLY,
        CreateFolder,
        M.ParentFolderId(talk.distinguished("msgfolderroot")),
        M.Folders(T.Folder(T.FolderClass("IPF.Note"), T.DisplayName(clean(name)))),
    )
    if isinstance(answer, codes.ErrorFolderExists):  # somebody else was faster
        found = _beside_inbox(talk, name)
    elif isinstance(answer, codes.EWSError):
        raise talk.action_error(answer)
    else:
        made = answer.find(f"{message_space}Folders/*")
        found = "" if made is None else messages.folder(made).id
    if not found:
        raise ActionRefused(f"the folder {name} can't be made", phase=Phase.APPLY)
    return found


def _beside_inbox(talk: Conversation, name: str) -> str:
    folders = below(talk, talk.distinguished("msgfolderroot"), deep=False)
    wanted = clean(name).casefold()
    return next(
        (each.id for each in folders if each.name.casefold() == wanted and each.holds_mail), ""
    )


def with_mail(talk: Conversation) -> dict[str, str]:
    """Ids of all folders that hold people's mail, and our names of them."""
    names = ("inbox", "sentitems", *LEFT_OUT)
    ids = dict(zip(names, _ids(talk, names), strict=True))
    folders = below(talk, talk.distinguished("msgfolderroot"), deep=True)
    parents = {folder.id: folder.parent for folder in folders}
    left_out = {ids[name] for name in LEFT_OUT} - {""}
    ours = {ids["inbox"]: INBOX, ids["sentitems"]: SENT}
    return {
        folder.id: ours.get(folder.id, folder.id)
        for folder in folders
        if folder.holds_mail and not left_out & set(_lineage(folder.id, parents))
    }


def _ids(talk: Conversation, names: Sequence[str]) -> list[str]:
    """ "" for what the mailbox hasn't got."""
    wanted = M.FolderIds(*(talk.distinguished(name) for name in names))
    answers = talk.ask(Phase.LIST, GetFolder, shape("FolderShape"), wanted)
    if len(answers) != len(names):
        raise talk.out_of_step(Phase.LIST, f"{len(answers)} folders came for {len(names)}")
    found = (
        None if isinstance(each, codes.EWSError) else each.find(f"{message_space}Folders/*")
        for each in answers
    )
    return ["" if each is None else messages.folder(each).id for each in found]


def _lineage(folder: str, parents: dict[str, str]) -> Iterator[str]:
    """The folder and what it lies in, upwards."""
    seen: set[str] = set()
    while folder and folder not in seen and len(seen) < DEEPEST:
        yield folder
        seen.add(folder)
        folder = parents.get(folder, "")
