"""Does the ledger account for every message on the servers? Counted on both sides, mailbox by mailbox."""

from collections import Counter
from dataclasses import dataclass, field

from django.db.models import Count, Sum

from activities.choices import EmailStatus
from activities.models import Email
from mailboxes.choices import IncomingDeliveryMethod, ServerType
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import INBOX, SENT
from serversync.actions import FILE_SENT
from serversync.choices import IMPORTED, ActionState, ItemState, SubmissionState
from serversync.models import FolderCursor, ServerAction, Submission, SyncItem
from serversync.sandbox.ews.ids import read_id
from serversync.sandbox.ews.store import Folder
from serversync.sandbox.servers import Sandbox
from tracking.choices import SkipReason, SubReason, Way

STATES = tuple(ItemState)


@dataclass(frozen=True, slots=True)
class Balance:
    """`on_server`: messages that the server ever had in the folders that are read, by its own count;
    `inside`: originals found in forwards, which the ledger counts by themselves (R3.75);
    `imported`: files that people brought, which never were on the server;
    `copies`: of what was sent, filed in sent items; `ways`: how tracked items came."""

    mailbox: Mailbox
    on_server: int
    inside: int
    states: Counter[str]
    reasons: dict[str, Counter[str]] = field(default_factory=dict)
    ways: Counter[Way] = field(default_factory=Counter)
    sent: int = 0
    copies: int = 0
    waiting: int = 0
    failed: int = 0
    imported: int = 0

    @property
    def seen(self) -> int:
        return self.on_server + self.inside + self.imported

    @property
    def accounted(self) -> int:
        return sum(self.states[state] for state in STATES)

    def since(self, before: "Balance") -> Counter[str]:
        """How many items reached each state since an earlier look."""
        return Counter({state: self.states[state] - before.states[state] for state in STATES})

    @property
    def is_even(self) -> bool:
        return self.seen == self.accounted


def balances(mailboxes: list[Mailbox], sandbox: Sandbox) -> list[Balance]:
    """A handful of statements for all mailboxes together."""
    ids = [mailbox.pk for mailbox in mailboxes]
    states: dict[object, Counter[str]] = {pk: Counter() for pk in ids}
    reasons: dict[object, dict[str, Counter[str]]] = {pk: {} for pk in ids}
    ways: dict[object, Counter[Way]] = {pk: Counter() for pk in ids}
    items = SyncItem.objects.filter(mailbox__in=ids)
    columns = ("mailbox", "folder", "state", "reason", "sub_reason")
    for row in items.values(*columns).annotate(n=Count("pk")).order_by():
        if row["state"] == ItemState.TRACKED:
            ways[row["mailbox"]][way(row["folder"], row["sub_reason"])] += row["n"]
        states[row["mailbox"]][row["state"]] += row["n"]
        detail = f"{row['reason']} ({row['sub_reason']})" if row["sub_reason"] else row["reason"]
        reasons[row["mailbox"]].setdefault(row["state"], Counter())[detail] += row["n"]
    for cursor in (
        FolderCursor.objects.filter(mailbox__in=ids)
        .values("mailbox")
        .annotate(n=Sum("before_start"))
        .order_by()
    ):
        if cursor["n"]:
            states[cursor["mailbox"]][ItemState.SKIPPED] += cursor["n"]
            skipped = reasons[cursor["mailbox"]].setdefault(ItemState.SKIPPED, Counter())
            skipped[SkipReason.BEFORE_START] += cursor["n"]
    inside = _counts(items.filter(parent__isnull=False), "mailbox")
    imported = _counts(items.filter(folder=IMPORTED, parent__isnull=True), "mailbox")
    # Not what was found in sent items: that was sent by other means.
    outgoing = Email.objects.filter(sender_mailbox__in=ids, submitted_at__isnull=False)
    sent = _counts(outgoing.filter(status_code=EmailStatus.SENT), "sender_mailbox")
    copies = _counts(
        ServerAction.objects.filter(mailbox__in=ids, kind=FILE_SENT, state=ActionState.DONE),
        "mailbox",
    )
    copies += _counts(  # by the server itself
        Submission.objects.filter(mailbox__in=ids, state=SubmissionState.ACCEPTED, copy_filed=True),
        "mailbox",
    )
    failed = _counts(outgoing.filter(status_code=EmailStatus.FAILED), "sender_mailbox")
    waiting = _counts(
        outgoing.filter(status_code__in=[EmailStatus.PENDING_SEND, EmailStatus.SENDING]),
        "sender_mailbox",
    )
    return [
        Balance(
            mailbox=mailbox,
            on_server=on_server(mailbox, sandbox),
            inside=inside[mailbox.pk],
            states=states[mailbox.pk],
            reasons=reasons[mailbox.pk],
            ways=ways[mailbox.pk],
            sent=sent[mailbox.pk],
            copies=copies[mailbox.pk],
            waiting=waiting[mailbox.pk],
            failed=failed[mailbox.pk],
            imported=imported[mailbox.pk],
        )
        for mailbox in mailboxes
    ]


def way(folder: str, sub_reason: str) -> Way:
    """How an item came before the decision."""
    if sub_reason == SubReason.FOLDER_RULE:
        return Way.FOLDER
    if sub_reason == SubReason.CATEGORY:
        return Way.CATEGORY
    return Way.SENT if folder == SENT else Way.INBOX


def on_server(mailbox: Mailbox, sandbox: Sandbox) -> int:
    """Inbox, sent items where they are tracked, folders with a rule, and what was marked elsewhere."""
    if mailbox.incoming_email_delivery_method != IncomingDeliveryMethod.SERVER_SIDE_SYNC:
        return 0
    profile = mailbox.email_server_profile
    folders = [INBOX]
    if Organization.objects.current().effective("auto_track_sent_folder_items"):
        folders.append(SENT)
    folders += mailbox.tracking_folders.values_list("exchange_folder_id", flat=True)
    if profile is not None and profile.kind.is_exchange:
        read = sum(_ever_on_exchange(mailbox, folder, sandbox) for folder in folders)
        return read + _marked_elsewhere(mailbox, folders, sandbox)
    if profile is not None and profile.kind == ServerType.POP3_SMTP:
        folders = [INBOX]
    return sum(_ever_on_imap(mailbox, folder, sandbox) for folder in folders)


def _ever_on_imap(mailbox: Mailbox, folder: str, sandbox: Sandbox) -> int:
    """UIDs are given once and never again, so the next one tells how many there were."""
    name = "Sent" if folder == SENT else folder
    return sandbox.store.folder(mailbox.email_address, name).uidnext - 1


def _ever_on_exchange(mailbox: Mailbox, folder: str, sandbox: Sandbox) -> int:
    """What lies there, and what left."""
    exchange = sandbox.exchange
    if not exchange.has_account(mailbox.email_address):
        return 0
    account = exchange.account(mailbox.email_address)
    name = {INBOX: "inbox", SENT: "sentitems"}.get(folder)
    known = exchange.store.distinguished(account.guid, name) if name else _by_id(folder, sandbox)
    if known is None:
        return 0
    gone = exchange.store.gone_after(account.guid, known.id, 0)
    return len(exchange.store.items(known.id)) + len(gone)


def _by_id(folder: str, sandbox: Sandbox) -> Folder | None:
    return sandbox.exchange.store.folder(read_id(folder).number)


def _marked_elsewhere(mailbox: Mailbox, folders: list[str], sandbox: Sandbox) -> int:
    """Items that the ledger has only because somebody marked them where nothing else is read."""
    rows = SyncItem.objects.filter(mailbox=mailbox, parent__isnull=True).exclude(
        folder__in=[*folders, IMPORTED]
    )
    keys = rows.values_list("source_key", flat=True)
    return sum(sandbox.exchange.item(key) is not None for key in keys)


def _counts(queryset: object, column: str) -> Counter[object]:
    rows = queryset.values(column).annotate(n=Count("pk")).order_by()  # type: ignore[attr-defined]
    return Counter({row[column]: row["n"] for row in rows})
