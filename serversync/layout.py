"""What a mailbox's folders look like on the server: read on demand and by the cycles, kept for the
pages, and what follows from it for the folder rules (R7.4, R7.5, R7.11).
"""

from collections.abc import Callable, Sequence
from datetime import datetime

from django.db import transaction

from mailboxes.connect import incoming_server
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import IncomingServer, RemoteFolder
from mailboxes.protocols.errors import AccessDenied, FolderMissing
from serversync.listing import forget_folder
from serversync.models import MailboxLayout
from tracking.choices import FolderState
from tracking.folders import find, rule_state
from tracking.models import MailboxTrackingFolder
from tracking.services import name_of

Connect = Callable[[Mailbox, Organization], IncomingServer]


def refresh_folders(
    mailbox: Mailbox,
    organization: Organization,
    now: datetime,
    connect: Connect = incoming_server,
) -> list[RemoteFolder]:
    """Go to the server for the folders below the inbox, and keep them. Raises ServerError."""
    server = connect(mailbox, organization)
    try:
        return read_folders(server.open(), mailbox, now)
    finally:
        server.close()


def read_folders(server: IncomingServer, mailbox: Mailbox, now: datetime) -> list[RemoteFolder]:
    """As above, over a connection that is open. One request, and one more for each rule whose folder
    is not in the tree, unless it is known to be deleted."""
    folders = server.folders()
    store_folders(mailbox, folders, now, exists=lambda folder: folder_exists(server, folder))
    return folders


def folder_exists(server: IncomingServer, folder: str) -> bool:
    """Whether the server knows a folder, wherever in the mailbox it lies."""
    try:
        server.list_new(folder, "", 1)
    except FolderMissing:
        return False
    except AccessDenied:
        return True
    return True


def store_folders(
    mailbox: Mailbox,
    folders: Sequence[RemoteFolder],
    now: datetime,
    exists: Callable[[str], bool] | None = None,
) -> None:
    """Keep the tree, and bring names and states of the mailbox's rules up to date.

    `exists` is asked about folders of working rules that are not in the tree; without it they count as
    moved elsewhere."""
    changed = _follow(mailbox, folders, exists)
    generation = mailbox.account_generation
    with transaction.atomic():
        # Of another account nothing holds, its categories neither.
        MailboxLayout.objects.filter(mailbox=mailbox).exclude(generation=generation).delete()
        MailboxLayout.objects.update_or_create(
            mailbox=mailbox,
            defaults={
                "generation": generation,
                "folder_hierarchy": [_row(folder) for folder in folders],
                "hierarchy_read_at": now,
            },
        )
        for rule in changed:
            MailboxTrackingFolder.objects.filter(pk=rule.pk).update(
                exchange_folder_name=rule.exchange_folder_name, state=rule.state
            )
            if rule.state == FolderState.MISSING:
                forget_folder(mailbox, rule.exchange_folder_id, now)


def _follow(
    mailbox: Mailbox,
    folders: Sequence[RemoteFolder],
    exists: Callable[[str], bool] | None,
) -> list[MailboxTrackingFolder]:
    """The rules whose name or state is another now. Asks the server, so outside any transaction."""
    changed = []
    for rule in MailboxTrackingFolder.objects.filter(mailbox=mailbox):
        before = (rule.exchange_folder_name, rule.state)
        remote = find(folders, rule.exchange_folder_id)
        is_lost = remote is None and rule.state != FolderState.MISSING
        there = exists(rule.exchange_folder_id) if is_lost and exists else None
        rule.state = rule_state(rule.exchange_folder_id, folders, there, rule.state)
        if remote is not None:
            rule.exchange_folder_name = name_of(remote)
        if before != (rule.exchange_folder_name, rule.state):
            changed.append(rule)
    return changed


def _row(folder: RemoteFolder) -> dict[str, object]:
    return {"folder": folder.folder, "path": list(folder.path), "messages": folder.messages}
