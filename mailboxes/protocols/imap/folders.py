"""The folders of an account, and which of them are its sent items."""

import imaplib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from imapclient.datetime_util import format_criteria_date
from imapclient.imap_utf7 import decode as decode_utf7
from imapclient.imap_utf7 import encode as encode_utf7

from mailboxes.protocols.base import INBOX, SENT, RemoteFolder
from mailboxes.protocols.errors import ActionRefused, FolderMissing, UnexpectedReply
from mailboxes.protocols.imap.conversation import Conversation, Selected
from mailboxes.protocols.imap.words import name_of, quoted, text_of, to_bytes
from mailboxes.protocols.line import has_controls
from mailboxes.protocols.phases import Phase

NOT_SELECTABLE = {b"\\noselect", b"\\nonexistent"}
#: What clients call sent items where no folder has the special use. The first one is made if need be.
SENT_ITEMS = (
    "Sent",
    "Sent Items",
    "Sent Messages",
    "Sent Mail",
    "[Gmail]/Sent Mail",
    "Gesendet",
    "Gesendete Elemente",
    "Envoyés",
    "Éléments envoyés",
    "Enviados",
    "Elementos enviados",
    "Posta inviata",
    "Verzonden items",
    "送信済み",
    "送信済みアイテム",
    "送信済みメール",
)


def select(talk: Conversation, folder: str, *, writable: bool, fresh: bool = False) -> Selected:
    """SENT is the folder that it stands for here."""
    if folder == SENT:
        folder = find_sent_items(talk)
        if not folder:
            raise FolderMissing("the account has no folder for sent items")
    return talk.select(folder, writable=writable, fresh=fresh)


def below_inbox(talk: Conversation) -> list[RemoteFolder]:
    """Below INBOX. Gmail keeps none there: its labels stand beside it (R7.30)."""
    talk.open()
    with talk.during(Phase.LIST):
        gmail = talk.client.has_capability("X-GM-EXT-1")
        root = talk.client.list_folders("", "")
        delimiter = text_of(root[0][1]) if root and root[0][1] else ""
        if not delimiter:
            return []
        prefix = "" if gmail else f"{INBOX}{delimiter}"
        listed = talk.client.list_folders("", f"{prefix}*")
        found = [remote_folder(row, prefix, delimiter) for row in listed]
    return [folder for folder in found if folder]


def remote_folder(
    row: tuple[Sequence[bytes], bytes, bytes], prefix: str, delimiter: str
) -> RemoteFolder | None:
    """None for one that holds no messages or can't be named."""
    flags, _, raw = row
    name = name_of(raw)
    if not name or NOT_SELECTABLE & {flag.lower() for flag in flags}:
        return None
    if name.upper() == INBOX or not name.upper().startswith(prefix):
        return None
    return RemoteFolder(name, tuple(name[len(prefix) :].split(delimiter)))


def ensure(talk: Conversation, name: str) -> str:
    talk.open()
    with talk.refusable():
        prefix, _foreign = namespaces(talk)
        folder = f"{prefix}{name}"
        if folder not in {known for _flags, known in all_folders(talk)}:
            create(talk, folder)
        return folder


def create(talk: Conversation, folder: str) -> None:
    talk.client.create_folder(encode_utf7(folder))
    talk.client.subscribe_folder(encode_utf7(folder))  # most clients show only those


def into(talk: Conversation, target: bytes, command: Any) -> str:
    """Run it, and again after creating the folder if the server says so (RFC 3501, 6.4.7)."""
    try:
        return talk.line.said(command() or b"")
    except imaplib.IMAP4.abort:
        raise
    except imaplib.IMAP4.error as error:
        if "[TRYCREATE]" not in str(error).upper():
            raise
    talk.client.create_folder(target)
    return talk.line.said(command() or b"")


def namespaces(talk: Conversation) -> tuple[str, tuple[str, ...]]:
    """What names of our own folders begin with, and what other people's do (RFC 2342)."""
    if not talk.client.has_capability("NAMESPACE"):
        return "", ()
    spaces = talk.client.namespace()
    own = [decode_utf7(to_bytes(prefix)) for prefix, _delimiter in spaces.personal or ()]
    foreign = [
        decode_utf7(to_bytes(prefix))
        for prefix, _delimiter in (*(spaces.other or ()), *(spaces.shared or ()))
    ]
    return next(iter(own), ""), tuple(prefix for prefix in foreign if prefix)


def all_folders(talk: Conversation) -> Iterator[tuple[set[bytes], str]]:
    """Flags in lower case, and names, of what can be opened. A server may tell special uses only
    to those who ask (RFC 6154, 2)."""
    asked = all(talk.client.has_capability(each) for each in ("SPECIAL-USE", "LIST-EXTENDED"))
    status, data = talk.imap.list('""', '"*" RETURN (SPECIAL-USE)' if asked else '"*"')
    if status != "OK":
        raise UnexpectedReply(f"LIST was refused: {talk.line.said(text_of(data[-1]))}")
    for flags, _delimiter, raw in talk.client._proc_folder_list(data):
        attributes = {flag.lower() for flag in flags}
        name = name_of(raw)
        if name and not NOT_SELECTABLE & attributes:
            yield attributes, name


# -- sent items ------------------------------------------------------------------------------------


def file_sent(talk: Conversation, message_id: str, mime: bytes, sent_at: datetime) -> str:
    talk.open()
    with talk.refusable():
        if talk.client.has_capability("X-GM-EXT-1"):
            return "the server files copies itself"
        folder = find_sent_items(talk)
        if not folder:
            folder = create_sent_items(talk)
        elif holds(talk, folder, message_id, sent_at):
            return f"there is one in {folder} already"
        target = encode_utf7(folder)
        receipt = into(talk, target, lambda: talk.client.append(target, mime, [rb"\Seen"], sent_at))
        return f"filed in {folder}: {receipt}"


def find_sent_items(talk: Conversation) -> str:
    """ "" if the account has none."""
    if talk.sent_items:
        return talk.sent_items
    prefix, foreign = namespaces(talk)
    folders = [
        (flags, name)
        for flags, name in all_folders(talk)
        if not any(name.startswith(other) for other in foreign)
    ]
    special = [name for flags, name in folders if rb"\sent" in flags]
    wanted = {f"{prefix}{name}".casefold() for name in SENT_ITEMS}
    named = [name for _flags, name in folders if name.casefold() in wanted]
    talk.sent_items = next(iter(special + named), "")
    return talk.sent_items


def create_sent_items(talk: Conversation) -> str:
    prefix, _foreign = namespaces(talk)
    talk.sent_items = f"{prefix}{SENT_ITEMS[0]}"
    create(talk, talk.sent_items)
    return talk.sent_items


def holds(talk: Conversation, folder: str, message_id: str, sent_at: datetime) -> bool:
    """A large folder is searched from the day before only, which takes clocks and time zones in."""
    if has_controls(message_id) or not message_id.isascii():
        raise ActionRefused(f"the server can't search for {message_id!r}", phase=Phase.APPLY)
    talk.select(folder, writable=False)
    since = format_criteria_date(sent_at.astimezone(UTC) - timedelta(days=1)).decode()
    field = quoted(f"<{message_id.strip('<>')}>")
    return bool(talk.search(f"SINCE {since} HEADER Message-ID {field}"))
