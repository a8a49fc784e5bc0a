"""The contract, and where its parts are."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Self

from mailboxes.protocols.base import (
    Action,
    ActionResult,
    AdapterOptions,
    Category,
    ConnectionSettings,
    Fetched,
    Glance,
    Identity,
    Listing,
    Marks,
    RemoteFolder,
)
from mailboxes.protocols.imap import actions as acting
from mailboxes.protocols.imap import folders as tree
from mailboxes.protocols.imap import keywords, listing
from mailboxes.protocols.imap.conversation import Conversation
from mailboxes.protocols.imap.messages import Messages


class ImapServer:
    """IncomingServer over IMAP. Constructed unconnected."""

    protocol = "imap"
    sizes_stay = True

    def __init__(self, settings: ConnectionSettings, options: AdapterOptions | None = None) -> None:
        self.settings = settings
        self.options = options or AdapterOptions()
        self._talk = Conversation(settings, self.options)
        self._messages = Messages(self._talk)

    def __repr__(self) -> str:
        return f"<ImapServer {self.settings.host}:{self.settings.port}>"

    def open(self) -> Self:
        self._talk.open()
        return self

    def list_new(self, folder: str, cursor: str, limit: int) -> Listing:
        listed = listing.list_new(self._talk, folder, cursor, limit)
        self._messages.remember(listed.items)
        return listed

    def glance(self, cursors: Mapping[str, str]) -> Glance:
        return listing.glance(self._talk, cursors)

    def fetch(self, folder: str, remote_ids: Sequence[str]) -> Iterator[Fetched]:
        return self._messages.fetch(folder, remote_ids)

    def identify(self, folder: str, remote_ids: Sequence[str]) -> list[Identity]:
        return self._messages.identify(folder, remote_ids)

    def apply(self, folder: str, actions: Sequence[Action]) -> list[ActionResult]:
        return acting.apply(self._talk, folder, actions)

    def file_sent(self, message_id: str, mime: bytes, sent_at: datetime) -> str:
        return tree.file_sent(self._talk, message_id, mime, sent_at)

    def folders(self) -> list[RemoteFolder]:
        return tree.below_inbox(self._talk)

    def ensure_folder(self, name: str) -> str:
        return tree.ensure(self._talk, name)

    def ensure_category(self, wanted: Category) -> Category:
        return keywords.ensure(self._talk, wanted)

    def drop_category(self, category_id: str) -> None:
        """Keywords are on no list."""

    def marked(self, mark: str, folders: Sequence[str], since: datetime | None) -> Marks:
        """Complete each time, so `since` doesn't matter."""
        return keywords.marked(self._talk, mark, folders)

    def close(self) -> None:
        self._talk.close()
