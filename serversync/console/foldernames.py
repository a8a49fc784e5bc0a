"""What the folders of a mailbox are called: Exchange knows them by ids that tell nobody anything."""

from collections.abc import Mapping
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mailboxes.protocols.base import INBOX, SENT
from serversync.choices import IMPORTED
from serversync.models import MailboxLayout
from tracking.models import MailboxTrackingFolder
from tracking.services import path_words

Names = Mapping[str, "str | Promise"]
EVERYWHERE: dict[str, str | Promise] = {
    INBOX: _("Inbox"),
    SENT: _("Sent items"),
    IMPORTED: _("Imported by hand"),
}


def folder_names(mailbox: Any) -> Names:
    """Folder -> its name, or the way to it: of the folders as they were last read, and of those that
    rules know. Two statements."""
    rules = MailboxTrackingFolder.objects.filter(mailbox=mailbox)
    rows = MailboxLayout.objects.filter(mailbox=mailbox).values_list("folder_hierarchy", flat=True)
    tree: list[dict[str, Any]] = rows.first() or []
    return {
        **dict(rules.values_list("exchange_folder_id", "exchange_folder_name")),
        **{row["folder"]: path_words(row["path"]) for row in tree if row.get("path")},
        **EVERYWHERE,
    }


def folder_name(folder: str, names: Names = EVERYWHERE) -> str:
    """The folder itself where nobody knows its name."""
    return str(names.get(folder) or folder)


def folder_of(item: Any) -> str:
    """Where an item lies, asking the database only about folders other than everybody's."""
    known = item.folder in EVERYWHERE
    return folder_name(item.folder, EVERYWHERE if known else folder_names(item.mailbox))
