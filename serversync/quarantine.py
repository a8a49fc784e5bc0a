"""What a person may do with items that failed for good: another try, letting go, or bringing the message.

A message that is brought as a file becomes an item like any other: its bytes are kept, and the next cycle
of the mailbox judges it as if it had lain in the inbox, without asking the server for it. What stands in
the ledger already is settled by it instead of being counted twice. Nothing is done on the server to what
was brought: that somebody says what a message held is no reason to delete it there.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q, QuerySet, Value
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from activities import blobs
from activities.mime.message import ParsedMessage
from activities.mime.parse import parse
from activities.models import StoredBytes
from mailboxes.alerts import clear_alerts
from mailboxes.choices import Operation
from mailboxes.models import Mailbox
from serversync import waking
from serversync.choices import IMPORTED, ItemState
from serversync.ledger import HANDED_IN
from serversync.listing import identity_of, portions
from serversync.models import SyncItem
from tracking import trace
from tracking.candidates import MAX_SIZE, arrival_of

DISMISSED = trace.DISMISSED
FAILED = (ItemState.QUARANTINED, ItemState.RETRYING)
ALERT = "Quarantined"
OUTLOOK_FILE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # .msg, a compound file


# -- another try, or letting go ------------------------------------------------------------------


@transaction.atomic
def retry(items: "QuerySet[SyncItem]", *, now: datetime) -> int:
    """Fetch and judge them again as soon as a worker is free. One more failure quarantines again, for
    the attempts stay counted. Returns how many."""
    rows = [
        row
        for keys in portions(_keys(items))
        for row in SyncItem.objects.filter(pk__in=keys, state__in=FAILED, parent__isnull=True)
        .select_for_update()
        .values_list("pk", "mailbox_id")
    ]
    if not rows:
        return 0
    done = 0
    for keys in portions([pk for pk, _mailbox in rows]):
        done += SyncItem.objects.filter(pk__in=keys).update(
            state=ItemState.RETRYING, next_attempt_at=now
        )
    mailboxes = {mailbox for _pk, mailbox in rows}
    clear_alert(mailboxes, now)
    waking.wake(mailboxes, Operation.INCOMING, now, by_hand=True)
    return done


@transaction.atomic
def dismiss(items: "QuerySet[SyncItem]", *, now: datetime) -> int:
    """Let quarantined items go: skipped, with the former reason as the detail, bytes no longer kept."""
    done = 0
    mailboxes: set[UUID] = set()
    for keys in portions(_keys(items)):
        rows = SyncItem.objects.filter(pk__in=keys, state=ItemState.QUARANTINED)
        mailboxes.update(rows.order_by().values_list("mailbox_id", flat=True).distinct())
        done += rows.update(
            state=ItemState.SKIPPED,
            sub_reason=F("reason"),
            reason=Value(DISMISSED),
            raw=None,
            next_attempt_at=None,
            decided_at=now,
        )
    clear_alert(mailboxes, now)
    return done


def _keys(items: "QuerySet[SyncItem]") -> list[UUID]:
    return list(items.order_by().values_list("pk", flat=True))


def clear_alert(mailboxes: Collection[UUID], now: datetime) -> None:
    """Nothing left in a mailbox's quarantine: its alert is over."""
    left = SyncItem.objects.filter(mailbox__in=mailboxes, state=ItemState.QUARANTINED)
    still = set(left.order_by().values_list("mailbox_id", flat=True).distinct())
    over = Mailbox.objects.filter(pk__in=set(mailboxes) - still)
    if over:
        clear_alerts(list(over), [ALERT], now=now)


# -- bringing the message ------------------------------------------------------------------------


class Fate(StrEnum):
    """What a file came to. Only `REFUSED` has no item."""

    NEW = "new"  # an item of its own
    SETTLES = "settles"  # the bytes of an item that failed, or was dismissed
    AGAIN = "again"  # it was brought before, and is judged once more
    STORED = "stored"  # it was brought before, and its email is there
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Brought:
    """One file. `why`: in words, where it was refused."""

    name: str
    fate: Fate
    item: SyncItem | None = None
    why: str | Promise = ""


def bring(
    mailbox: Mailbox,
    files: Iterable[tuple[str, bytes]],
    *,
    now: datetime,
    item: SyncItem | None = None,
) -> list[Brought]:
    """Take files (name, bytes) in for a mailbox and have them judged. `item`: a failed item of this
    mailbox that the file is said to hold; else it is found by message id, date and size."""
    brought = [_bring(mailbox, name, raw, now, item) for name, raw in files]
    if any(one.fate not in (Fate.STORED, Fate.REFUSED) for one in brought):
        waking.wake([mailbox.pk], Operation.INCOMING, now, by_hand=True)
    return brought


def _bring(
    mailbox: Mailbox, name: str, raw: bytes, now: datetime, item: SyncItem | None
) -> Brought:
    if fault := fault_of(raw):
        return Brought(name, Fate.REFUSED, None, fault)
    message = parse(raw)
    if _says_nothing(message):
        return Brought(name, Fate.REFUSED, None, NO_MESSAGE)
    staged = blobs.Staged()
    sha256 = staged.add(raw)
    blobs.stage(staged)
    with transaction.atomic():
        stored = StoredBytes.objects.get(pk=blobs.save(staged)[sha256])
        known = _waiting(mailbox, message, stored, item)
        if known is not None:
            _settle(known, stored, now)
            return Brought(name, Fate.SETTLES, known)
        return _as_import(mailbox, name, message, raw, stored, now)


NO_MESSAGE = _("This is no message: it has none of the fields From, Subject, Date and Message-ID.")


def fault_of(raw: bytes) -> "str | Promise":
    """Why such a file is not even looked into."""
    if not raw.strip():
        return _("The file is empty.")
    if len(raw) > MAX_SIZE:
        return _("The file is larger than 150 MB, the largest message that is taken (R3.10).")
    if raw.startswith(OUTLOOK_FILE):
        return _("This is an Outlook file (.msg). Save the message as .eml.")
    return ""


def _says_nothing(message: ParsedMessage) -> bool:
    return not (message.sender or message.subject or message.date_text or message.message_id)


def _waiting(
    mailbox: Mailbox, message: ParsedMessage, stored: StoredBytes, item: SyncItem | None
) -> SyncItem | None:
    """The item whose bytes these are, and that still waits for them: it failed, or was dismissed."""
    waits = Q(state__in=FAILED) | Q(state=ItemState.SKIPPED, reason=DISMISSED)
    rows = SyncItem.objects.filter(waits, mailbox=mailbox, parent__isnull=True)
    if item is not None:
        rows = rows.filter(pk=item.pk)
    else:
        sizes = (stored.size, 0)  # servers whose sizes change count as none
        keys = [identity_of(message.message_id, message.date_text, size) for size in sizes]
        rows = rows.filter(Q(raw=stored) | Q(identity__in=[key for key in keys if key]))
    return rows.select_for_update(of=("self",)).order_by("first_seen_at", "pk").first()


def _settle(row: SyncItem, stored: StoredBytes, now: datetime) -> None:
    """Judged again with these bytes, where it was found."""
    if row.reason == DISMISSED:
        row.reason, row.sub_reason = row.sub_reason, ""
    if row.raw_id != stored.pk:
        row.trace = {**row.trace, HANDED_IN: True}
    row.raw, row.blanked = stored, False
    row.state, row.next_attempt_at = ItemState.RETRYING, now
    row.save(
        update_fields=[
            *("reason", "sub_reason", "trace", "raw", "blanked", "state", "next_attempt_at")
        ]
    )
    clear_alert([row.mailbox_id], now)


def _as_import(
    mailbox: Mailbox,
    name: str,
    message: ParsedMessage,
    raw: bytes,
    stored: StoredBytes,
    now: datetime,
) -> Brought:
    """The same file is the same item, whenever it is brought."""
    source_key = f"upload:{stored.sha256}"
    row = (
        SyncItem.objects.filter(mailbox=mailbox, folder=IMPORTED, source_key=source_key)
        .select_for_update(of=("self",))
        .order_by("generation")
        .last()
    )
    if row is None:
        values = _facts(message, raw) | {"raw": stored, "first_seen_at": now, "decided_at": now}
        row, made = SyncItem.objects.get_or_create(
            mailbox=mailbox,
            generation=mailbox.account_generation,
            folder=IMPORTED,
            source_key=source_key,
            defaults={**values, "state": ItemState.RETRYING, "next_attempt_at": now},
        )
        if made:
            return Brought(name, Fate.NEW, row)
    if row.email_id is not None:
        return Brought(name, Fate.STORED, row)
    _settle(row, stored, now)
    return Brought(name, Fate.AGAIN, row)


def _facts(message: ParsedMessage, raw: bytes) -> dict[str, Any]:
    """What the lists show until it is judged."""
    return {
        "size": len(raw),
        "received_at": arrival_of(raw),
        "message_id": message.message_id[:320],
        "sender": (message.sender.address if message.sender else "")[:320],
        "subject": message.subject[:800],
    }
