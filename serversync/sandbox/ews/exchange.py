"""The Exchange server of a sandbox, as tests and commands handle it."""

import ssl
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from serversync.sandbox.ews import mimes
from serversync.sandbox.ews.app import Application
from serversync.sandbox.ews.authentication import Gate
from serversync.sandbox.ews.autodiscover import Rule
from serversync.sandbox.ews.byhand import ByHand
from serversync.sandbox.ews.configuration import CATEGORY_LIST, category_list
from serversync.sandbox.ews.ids import Kind, read_id
from serversync.sandbox.ews.meetings import arriving
from serversync.sandbox.ews.quirks import Quirks
from serversync.sandbox.ews.rights import IMPERSONATE
from serversync.sandbox.ews.server import Listener
from serversync.sandbox.ews.site import Request, Site
from serversync.sandbox.ews.store import Account, Folder, Item, Store
from serversync.sandbox.ews.writing import complete_delivered
from serversync.sandbox.faults import Faults

INBOX = "inbox"
TLS_PORT, PLAIN_PORT = "ews", "ews-plain"


class Exchange(ByHand):
    """`folder` names everywhere: a distinguished name, or names from the top with slashes ("Inbox/Orders")."""

    def __init__(
        self,
        *,
        path: Path | None,
        faults: Faults,
        accept_mail: Callable[[str, list[str], bytes], None],
        tls: ssl.SSLContext,
        allow_plain_login: bool = False,
        host: str = "127.0.0.1",
    ) -> None:
        self.store = Store(path)
        self.faults = faults
        self.site = Site(self.store, faults, accept_mail, allow_plain_login, host)
        gate = Gate(self.store, host=host)
        self._application = Application(self.site, gate)
        self._listeners = {
            TLS_PORT: Listener(self._application, tls),
            PLAIN_PORT: Listener(self._application, None),
        }

    # -- running

    def start(self, wanted: dict[str, int]) -> dict[str, int]:
        """Returns the ports by name; those of `wanted` where they are free."""
        for name, listener in self._listeners.items():
            self.site.ports[name] = listener.start(self.site.host, wanted.get(name, 0))
        return dict(self.site.ports)

    def stop(self) -> None:
        self.site.stopping.set()
        with self.store.news:
            self.store.news.notify_all()
        for listener in self._listeners.values():
            listener.stop()
        self.store.close()

    def drop_connections(self) -> None:
        for listener in self._listeners.values():
            listener.drop_connections()

    @property
    def url(self) -> str:
        return self.site.url

    @property
    def plain_url(self) -> str:
        return f"http://{self.site.host}:{self.site.ports[PLAIN_PORT]}/EWS/Exchange.asmx"

    @property
    def gate(self) -> Gate:
        """How one signs in; its `methods` may be changed, and another may take its place."""
        return self._application.gate

    @gate.setter
    def gate(self, gate: Gate) -> None:
        self._application.gate = gate

    @property
    def quirks(self) -> Quirks:
        return self.site.quirks

    @quirks.setter
    def quirks(self, quirks: Quirks) -> None:
        self.site.quirks = quirks

    @property
    def requests(self) -> list[Request]:
        """Every request since the last `clear()`, with the account that signed in."""
        return self.site.requests

    @property
    def autodiscover(self) -> list[Rule]:
        """What it tells instead of the truth; the first rule that fits decides."""
        return self.site.autodiscover

    def end_streams(self) -> None:
        """Close all streamed notifications, in order."""
        with self.store.news:
            self.site.subscriptions.ended += 1
            self.store.news.notify_all()

    def forget_subscriptions(self) -> None:
        """As a server does that restarts."""
        self.site.subscriptions.forget_all()

    # -- accounts

    def add_account(
        self,
        address: str,
        password: str,
        *,
        name: str = "",
        aliases: Sequence[str] = (),
        has_mailbox: bool = True,
        has_category_list: bool = True,
        members: Sequence[str] | None = None,
    ) -> Account:
        """`has_mailbox` False: an account that can only sign in, such as a service account;
        `members`: a distribution list of these addresses."""
        account = self.store.add_account(
            address, password, name=name, aliases=aliases, has_mailbox=has_mailbox, members=members
        )
        calendar = self.store.distinguished(account.guid, "calendar")
        if (
            has_category_list
            and calendar
            and not self.store.configuration(calendar.id, CATEGORY_LIST)
        ):
            self.store.write_configuration(calendar, CATEGORY_LIST, xml=category_list())
        return account

    def set_account(self, address: str, **switches: object) -> None:
        """password, name, has_mailbox, is_enabled, is_licensed, is_full, may_submit, quota_bytes"""
        self.store.set_account(address, **switches)

    def allow_impersonation(self, holder: str, address: str = "*") -> None:
        self.store.grant(address, holder, IMPERSONATE)

    def grant(self, owner: str, holder: str, level: str, folder: str = "") -> None:
        """`level`: FullAccess, SendAs or SendOnBehalf of the mailbox; Reviewer, Editor, ... of a folder."""
        number = self.folder(owner, folder).id if folder else 0
        self.store.grant(owner, holder, level, number)

    def revoke(self, owner: str, holder: str, level: str = "") -> None:
        self.store.revoke(owner, holder, level)

    def has_account(self, address: str) -> bool:
        return self.store.account(address) is not None

    def receives(self, address: str) -> bool:
        """Does mail for this address go to an account or list here?"""
        account = self.store.account(address)
        return account is not None and (account.has_mailbox or account.is_group)

    def has_room(self, address: str, size: int) -> bool:
        account = self.account(address)
        quota = account.quota_bytes
        used = 0 if quota is None else self.store.used_bytes(account.guid)
        return not account.is_full and (quota is None or used + size <= quota)

    def account(self, address: str) -> Account:
        if (account := self.store.account(address)) is None:
            raise LookupError(f"no Exchange account has the address {address}")
        return account

    def invalidate_sync_states(self, address: str = "") -> None:
        self.store.invalidate_sync_states(address)

    # -- mail

    def accept(self, address: str, mime: bytes, received_at: datetime | None = None) -> list[str]:
        """Mail for an account or a distribution list. Returns the addresses outside that a list forwards to."""
        account = self.account(address)
        if not account.is_group:
            self.deliver(address, mime, received_at=received_at)
            return []
        outside = []
        for member in account.members:
            if self.has_account(member):
                outside += self.accept(member, mime, received_at)
            else:
                outside.append(member)
        return outside

    def deliver(
        self,
        address: str,
        mime: bytes,
        *,
        folder: str = INBOX,
        received_at: datetime | None = None,
        is_read: bool = False,
        categories: Sequence[str] = (),
    ) -> Item:
        """Put a message into a folder, as it is."""
        account = self.account(address)
        item = mimes.read(mime, received_at=received_at or datetime.now(UTC), strict=False)
        item.is_read = is_read
        item.categories = [*item.categories, *categories]
        complete_delivered(item)
        if folder == INBOX:
            arriving.enter(self.store, account, item)
        return self.store.add_item(self.folder(account.address, folder), item, event="NewMail")

    def folders(self, address: str) -> list[str]:
        """Every folder by its path, from above."""
        account = self.account(address)
        top = self.store.distinguished(account.guid, "msgfolderroot")
        known = {folder.id: folder for folder in self.store.folders(account.guid)}
        return [
            self._path(folder, known)
            for folder in known.values()
            if top is not None and self._path(folder, known) and folder.id != top.id
        ]

    def _path(self, folder: Folder, known: dict[int, Folder]) -> str:
        """From below the top of the mailbox; "" for what isn't there."""
        names: list[str] = []
        at: Folder | None = folder
        while at is not None and at.distinguished != "msgfolderroot":
            names.append(at.name)
            at = known.get(at.parent or 0)
        return "/".join(reversed(names)) if at is not None else ""

    def folder(self, address: str, folder: str = INBOX) -> Folder:
        """Raises LookupError."""
        account = self.account(address)
        if (found := self.store.distinguished(account.guid, folder)) is not None:
            return found
        known = {one.id: one for one in self.store.folders(account.guid)}
        for one in known.values():
            if self._path(one, known).lower() == folder.lower():
                return one
        raise LookupError(f"{address} has no folder {folder}")

    def add_folder(self, address: str, path: str) -> Folder:
        """ "Inbox/Orders"; what is missing above is made, too."""
        account = self.account(address)
        at = self.store.distinguished(account.guid, "msgfolderroot")
        assert at is not None
        for name in path.split("/"):
            below = {child.name.lower(): child for child in self.store.subfolders(at.id)}
            child = below.get(name.lower())
            if child is None:
                number = self.store.add_folder(account.guid, at.id, name, "IPF.Note")
                child = self.store.folder(number)
            assert child is not None
            at = child
        return at

    def items(self, address: str, folder: str = INBOX) -> list[Item]:
        """Oldest first."""
        return self.store.items(self.folder(address, folder).id)

    def messages(self, address: str, folder: str = INBOX) -> list[bytes]:
        """The MIME of every message in the folder that has one, oldest first."""
        found = (self.store.mime(item.id) for item in self.items(address, folder))
        return [mime for mime in found if mime is not None]

    def item(self, remote_id: str) -> Item | None:
        """By the id that clients see. Raises Refusal if it is malformed."""
        remote = read_id(remote_id)
        return self.store.item(remote.number) if remote.kind is Kind.ITEM else None

    # -- what somebody does there by other means

    def move(self, item: Item, folder: str) -> Item:
        account = self.store.account_of(item.account)
        assert account is not None
        return self.store.move_item(
            item, self.folder(account.address, folder), keep_id=self.quirks.immutable_ids
        )

    def remove(self, item: Item) -> None:
        self.store.remove_item(item)

    def mark_read(self, item: Item, is_read: bool = True) -> Item:
        item.is_read = is_read
        return self.store.change_item(item, paths=["message:IsRead"], only_read_flag=True)

    def categorize(self, item: Item, *categories: str) -> Item:
        item.categories = list(categories)
        return self.store.change_item(item, paths=["item:Categories"])
