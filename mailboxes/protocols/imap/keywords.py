"""Keywords, which are what IMAP has for categories."""

import imaplib
from collections.abc import Sequence

from mailboxes.protocols.base import INBOX, Category, Marked, Marks
from mailboxes.protocols.errors import ActionRefused, FolderMissing
from mailboxes.protocols.imap import folders
from mailboxes.protocols.imap.conversation import Conversation
from mailboxes.protocols.imap.words import KEYWORD, NO_KEYWORD
from mailboxes.protocols.phases import Phase


def ensure(talk: Conversation, wanted: Category) -> Category:
    """The name with what no keyword may hold replaced. There is no list: any client may use it."""
    keyword = NO_KEYWORD.sub("_", wanted.name).strip("_")
    if not keyword:
        raise ActionRefused(f"{wanted.name!r} can't be an IMAP keyword", phase=Phase.APPLY)
    talk.open()
    with talk.during(Phase.APPLY):
        try:
            allowed = folders.select(talk, INBOX, writable=True).allows_keyword(keyword)
        except imaplib.IMAP4.readonly:
            allowed = False
    if not allowed:
        raise ActionRefused(f"the server does not allow the keyword {keyword}")
    return Category(wanted.id, keyword)


def marked(talk: Conversation, mark: str, places: Sequence[str]) -> Marks:
    if not KEYWORD.fullmatch(mark):
        return Marks((), complete=True)
    talk.open()
    found: list[Marked] = []
    for folder in places:
        try:
            with talk.during(Phase.OPEN):
                validity = folders.select(talk, folder, writable=False).validity
        except FolderMissing:
            continue
        with talk.during(Phase.LIST):
            uids = talk.search(f"KEYWORD {mark}")
        found += [Marked(folder, f"{validity}.{uid}", has_mark=True) for uid in uids]
    return Marks(tuple(found), complete=True)
