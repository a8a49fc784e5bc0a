"""What a listing of a folder tells that the ledger doesn't know yet.

    listing ──> known keys are left out ──> old friends under new keys get them ──> unknown items
                what left is noted

Keys can be reset (UIDVALIDITY), a sync state can start over, with or without a word, and Exchange gives
a message another key on each move. So before anything is decided again, a message is recognised by its
id, date and size, and the row of the ledger learns the new key. A row whose key is still in use is left
alone: a message that is there twice is two items.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import TypeVar
from uuid import UUID

from django.db import transaction
from django.db.models import Q, QuerySet

from activities.identity import bare_message_id
from mailboxes.models import Mailbox
from mailboxes.protocols.base import IncomingServer, Listing, RemoteItem
from serversync.choices import IMPORTED, ActionState, ItemState
from serversync.context import FolderFacts
from serversync.cycle import Run
from serversync.folding import unfold
from serversync.leases import renew
from serversync.models import FolderCursor, ServerAction, SyncItem

LISTING = 500  # keys per listing round trip
PARAMETERS = 900  # SQLite takes 999 of them
FORMER_ACCOUNT = "MessageOfFormerAccount"

Identities = dict[UUID, list[str]]
Key = TypeVar("Key")


def identity_of(message_id: str, date: str, size: int) -> UUID | None:
    """Recognises a message under another key: same id, same Date text, same size.

    None without an id: then another message could pass for an old one and never be looked at.
    """
    bare = bare_message_id(message_id)
    if not bare:
        return None
    text = "\0".join((bare, " ".join(date.split()), str(size)))
    return UUID(bytes=hashlib.sha256(text.encode("utf-8", "replace")).digest()[:16])


def unknown(
    run: Run, server: IncomingServer, facts: FolderFacts, listing: Listing
) -> list[RemoteItem]:
    """What of a listing the ledger has no row for, after old friends got their new keys."""
    items = list(listing.items)
    if not items or not run.context.has_history:
        return items
    known = _known_keys(run, facts, [item.remote_id for item in items])
    fresh = [item for item in items if item.remote_id not in known]
    suspicious = listing.reset or not facts.onboarded or (listing.complete and not known)
    if not fresh or not suspicious or not (listing.reset or _may_know(run, facts.folder)):
        return fresh
    forgotten = _forgotten(listing, known)
    recognised = _recognise(run, server, facts, fresh, forgotten)
    return [item for item in fresh if item.remote_id not in recognised]


def _may_know(run: Run, folder: str) -> bool:
    """Has the ledger items of this folder, or of the account that the mailbox meant before? One
    statement, where asking the server would be a round trip for each page."""
    return run.context.has_folded or (
        SyncItem.objects.filter(mailbox=run.mailbox)
        .filter(Q(folder=folder) | ~Q(generation=run.mailbox.account_generation))
        .exists()
    )


def recognise_fetched(
    run: Run, server: IncomingServer, facts: FolderFacts, identities: Identities
) -> set[str]:
    """Of messages that were fetched, those that the ledger knows under a key that is no longer in use;
    they have got the new one. For servers whose listing can't say that it started over.

    Old keys that nobody said were gone are asked for at the server.
    """
    folder, listed = facts.folder, set(facts.beyond)
    _unfold(run, folder, identities)
    rows = [
        row for row in _rows_with(run, identities).filter(folder=folder) if row.pk not in listed
    ]
    if not rows:
        return set()
    doubtful = [row.source_key for row in rows if row.left_at is None and _is_here(run, row)]
    there = {each.remote_id for each in server.identify(folder, doubtful)} if doubtful else set()
    with transaction.atomic():
        renew(run.token, run.clock())
        return _rename(
            run, [row for row in rows if row.source_key not in there], identities, folder
        )


def forget_presence(run: Run, folder: str) -> None:
    """Before a listing from the beginning, which tells what is there and not what left before: nothing
    counts as there until it is listed again, or recognised under a new key."""
    if run.context.has_history:
        _rows_of(run, folder).filter(left_at__isnull=True).update(left_at=run.clock())


def forget_folder(mailbox: Mailbox, folder: str, now: datetime) -> None:
    """It is no longer there, and nothing that lay in it. If a person has it tracked again, it is gone
    through from the beginning."""
    of_folder = {"mailbox": mailbox, "folder": folder, "generation": mailbox.account_generation}
    SyncItem.objects.filter(**of_folder, left_at__isnull=True).update(left_at=now)
    FolderCursor.objects.filter(**of_folder).update(cursor="", onboarded=False, before_start=0)


def note_departures(run: Run, folder: str, listing: Listing) -> None:
    """What the server says is no longer in the folder. Messages of which the bytes are kept can still be
    stored; those that were to be fetched again are gone."""
    if not run.context.has_history:
        return
    for rows in _departed(run, folder, listing):
        _leave(run, rows)


def _departed(run: Run, folder: str, listing: Listing) -> Iterator[list[SyncItem]]:
    here = _rows_of(run, folder).filter(left_at__isnull=True).only("state", "source_key", "raw_id")
    if listing.complete:
        # A complete listing tells it by leaving out; only retrying items matter (POP3).
        listed = {item.remote_id for item in listing.items}
        yield [row for row in here.filter(state=ItemState.RETRYING) if row.source_key not in listed]
    if listing.present is not None:
        # Of a large folder, so keys first.
        known = here.order_by().values_list("source_key", flat=True).iterator()
        left = [key for key in known if key not in listing.present]
        for portion in portions(left):
            yield list(here.filter(source_key__in=portion))
    for keys in portions(listing.gone):
        yield list(here.filter(source_key__in=keys))


def _leave(run: Run, rows: Sequence[SyncItem]) -> None:
    if not rows:
        return
    now = run.clock()
    lost = [row.pk for row in rows if row.state == ItemState.RETRYING and row.raw_id is None]
    for portion in portions([row.pk for row in rows]):
        SyncItem.objects.filter(pk__in=portion).update(left_at=now)
    for portion in portions(lost):
        SyncItem.objects.filter(pk__in=portion).update(
            state=ItemState.GONE, reason="MessageGone", next_attempt_at=None, decided_at=now
        )
    for _pk in lost:
        run.result.count(ItemState.GONE, "MessageGone")


def leave_former_account(run: Run) -> None:
    """What was to be fetched once more out of the account that the mailbox meant before: nobody can. What
    the account of now holds as well is recognised there, and asked for again. Where the bytes are kept no
    server is needed (R3.72), so those items stay."""
    rows = SyncItem.objects.filter(
        mailbox=run.mailbox, state=ItemState.RETRYING, raw__isnull=True, parent__isnull=True
    ).exclude(Q(generation=run.mailbox.account_generation) | Q(folder=IMPORTED))
    now = run.clock()
    with transaction.atomic():
        renew(run.token, now)
        ended = rows.update(
            state=ItemState.GONE,
            reason=FORMER_ACCOUNT,
            sub_reason="",
            next_attempt_at=None,
            left_at=now,
            decided_at=now,
        )
    for _row in range(ended):
        run.result.count(ItemState.GONE, FORMER_ACCOUNT)


def _known_keys(run: Run, facts: FolderFacts, keys: Sequence[str]) -> set[str]:
    """What is listed again under the key it had has come back. What was given up as gone gets another
    try."""
    known: set[str] = set()
    for portion in portions(keys):
        rows = list(
            _rows_of(run, facts.folder)
            .filter(source_key__in=portion)
            .only("source_key", "left_at", "state")
        )
        known.update(row.source_key for row in rows)
        facts.beyond += [row.pk for row in rows if row.left_at is not None]
        if lost := [row.pk for row in rows if row.state == ItemState.GONE and row.left_at]:
            SyncItem.objects.filter(pk__in=lost).update(
                state=ItemState.RETRYING, attempts=0, next_attempt_at=run.clock()
            )
    return known


def come_back(facts: FolderFacts) -> None:
    """Inside the transaction that moves the cursor past them."""
    for portion in portions(facts.beyond):
        SyncItem.objects.filter(pk__in=portion).update(left_at=None)


def _rows_of(run: Run, folder: str) -> QuerySet[SyncItem]:
    """Items of a folder under the keys of the account that the mailbox means now."""
    return SyncItem.objects.filter(
        mailbox=run.mailbox,
        generation=run.mailbox.account_generation,
        folder=folder,
        parent__isnull=True,
    )


def portions(keys: Sequence[Key]) -> Iterator[Sequence[Key]]:
    """As many as one statement takes."""
    for start in range(0, len(keys), PARAMETERS):
        yield keys[start : start + PARAMETERS]


def _forgotten(listing: Listing, known: set[str]) -> Callable[[str], bool]:
    """Tells keys of this very folder that the server no longer uses. A message that is there twice is
    two items: the first one's row must not be taken for the second's."""
    listed = {item.remote_id for item in listing.items}
    if listing.epoch:
        return lambda key: not key.startswith(listing.epoch)
    if listing.reset or (listing.complete and not known):
        return lambda key: key not in listed
    return lambda key: False


def _recognise(
    run: Run,
    server: IncomingServer,
    facts: FolderFacts,
    fresh: list[RemoteItem],
    is_forgotten: Callable[[str], bool],
) -> set[str]:
    """Give rows of old friends their new keys, one to one, before anything is decided again."""
    found: set[str] = set()
    folder, listed = facts.folder, set(facts.beyond)
    for start in range(0, len(fresh), LISTING):
        identities: Identities = {}
        part = [item.remote_id for item in fresh[start : start + LISTING]]
        for friend in server.identify(folder, part):
            key = identity_of(friend.message_id, friend.date, friend.size)
            if key is not None:
                identities.setdefault(key, []).append(friend.remote_id)
        with transaction.atomic():
            renew(run.token, run.clock())
            _unfold(run, folder, identities)
            friends = [
                row
                for row in _rows_with(run, identities)
                if not _is_here(run, row)
                or (
                    row.folder == folder
                    and row.pk not in listed
                    and (row.left_at or is_forgotten(row.source_key))
                )
            ]
            found |= _rename(run, friends, identities, folder)
    return found


def _unfold(run: Run, folder: str, identities: Identities) -> None:
    """What was folded is a row again before it is looked for."""
    if run.context.has_folded and identities:
        unfold(run.mailbox, folder, identities, run.clock())


def _rows_with(run: Run, identities: Identities) -> QuerySet[SyncItem]:
    """An imported file never was on the server: a message that is, is another item."""
    return (
        SyncItem.objects.filter(mailbox=run.mailbox, identity__in=identities, parent__isnull=True)
        .exclude(folder=IMPORTED)
        .order_by("first_seen_at", "pk")
    )


def _is_here(run: Run, row: SyncItem) -> bool:
    """Is it an item of the account that the mailbox means now?"""
    return row.generation == run.mailbox.account_generation


def _rename(run: Run, rows: Iterable[SyncItem], identities: Identities, folder: str) -> set[str]:
    """The ledger and what is still to be done on the server speak of the new keys."""
    renamed: dict[UUID, SyncItem] = {}
    for row in rows:
        waiting = identities.get(row.identity) if row.identity else None
        if waiting:
            row.generation, row.folder = run.mailbox.account_generation, folder
            row.source_key, row.left_at = waiting.pop(0), None
            if row.state == ItemState.GONE:  # it was asked for under the key it had
                row.state, row.attempts, row.next_attempt_at = ItemState.RETRYING, 0, run.clock()
            renamed[row.pk] = row
    key = ["generation", "folder", "source_key"]
    SyncItem.objects.bulk_update(
        renamed.values(), [*key, "left_at", "state", "attempts", "next_attempt_at"]
    )
    actions = list(ServerAction.objects.filter(item__in=list(renamed), state=ActionState.PENDING))
    for action in actions:
        row = renamed[action.item_id]  # type: ignore[index]  # the filter says it has one
        action.generation, action.folder = row.generation, row.folder
        action.source_key = row.source_key
    ServerAction.objects.bulk_update(actions, key)
    return {row.source_key for row in renamed.values()}
