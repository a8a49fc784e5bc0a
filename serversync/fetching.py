"""The bytes and the parsed message of each item of a page, or why they can't be had.

The messages of a page are in memory together. Pages are made by the sizes that the server lists, and those
may be wrong; so what was really fetched counts, too, and who would be too much is fetched once the others are stored.
"""

import logging
from collections.abc import Sequence
from uuid import UUID

from activities import blobs
from activities.mime.parse import parse
from mailboxes.protocols.base import INBOX, Fetched, IncomingServer, RemoteItem
from mailboxes.protocols.errors import (
    AccessDenied,
    FolderMissing,
    MessageGone,
    MessageTooLarge,
    ServerError,
)
from serversync.choices import IMPORTED
from serversync.context import FolderFacts
from serversync.cycle import Run
from serversync.ledger import new_row, was_handed_in
from serversync.listing import Identities, identity_of, recognise_fetched
from serversync.models import SyncItem
from serversync.paging import PAGE_BYTES
from serversync.seen import Seen
from tracking.byhand import of as asked_of
from tracking.byhand import settled
from tracking.candidates import MAX_SIZE

log = logging.getLogger(__name__)


Items = Sequence[RemoteItem]


def fetch_new(
    run: Run, server: IncomingServer, facts: FolderFacts, items: Items
) -> tuple[list[Seen], Items]:
    """Less those that the ledger knows under a former key; and what is left for another time."""
    seen = [Seen(item, new_row(run, facts, item)) for item in items]
    fetched = _fetch(run, server, facts, seen)
    seen, left = seen[:fetched], items[fetched:]
    if server.sizes_stay or not run.context.has_history:
        return seen, left
    return _without_friends(run, server, facts, seen), left


def fetch_again(
    run: Run,
    server: IncomingServer,
    facts: FolderFacts,
    items: Items,
    rows: Sequence[SyncItem],
) -> tuple[list[Seen], Items]:
    """Items of which the ledger has these rows: by the bytes that were kept, else by their keys; and
    what is left for another time."""
    by_key = {row.source_key: row for row in rows}
    seen = [_seen_before(item, by_key[item.remote_id]) for item in items]
    try:
        fetched = _fetch(run, server, facts, seen)
        return seen[:fetched], items[fetched:]
    except (AccessDenied, FolderMissing) as error:
        if facts.folder == INBOX:
            raise
        _out_of_reach(seen, error)
        _parse(run, server, facts, seen)
    return seen, ()


def kept_size(row: SyncItem) -> int:
    """How much of it will be in memory, as far as that is known."""
    return row.size if row.raw is None else max(row.size, row.raw.size)


def _seen_before(item: RemoteItem, row: SyncItem) -> Seen:
    seen = Seen(
        item,
        row,
        is_new=False,
        failures=row.attempts,
        handed_in=was_handed_in(row),
        asked=settled(asked_of(row.trace)),
    )
    if row.raw is not None:
        try:
            seen.raw = blobs.read(row.raw)
        except blobs.BytesMissing as error:
            log.error("item %s: %s", row.pk, error)  # perhaps the server has it still
    return seen


def _fetch(run: Run, server: IncomingServer, facts: FolderFacts, seen: Sequence[Seen]) -> int:
    """How many of them were looked at, from the first."""
    numbers = {}
    for number, one in enumerate(seen):
        if one.item.size > MAX_SIZE:
            one.too_large = True  # not worth the line; its size is all we need (R3.10)
        elif one.raw is None and _is_there(run, one.row):
            numbers[one.item.remote_id] = number
    done = len(seen)
    held = sum(len(one.raw) for one in seen if one.raw is not None)
    with run.timed("fetch"):
        fetching = server.fetch(facts.folder, list(numbers)) if numbers else iter(())
        for fetched in fetching:
            number = numbers[fetched.remote_id]
            _take(seen[number], fetched)
            held += len(fetched.mime or b"")
            if held >= PAGE_BYTES and number + 1 < len(seen):
                done = number + 1
                break
        del fetching  # which closes it: no more of its answers are wanted
    _parse(run, server, facts, seen[:done])
    return done


def _is_there(run: Run, row: SyncItem) -> bool:
    """May the server be asked for it? A key of another account could be another message's."""
    return row.folder != IMPORTED and row.generation == run.mailbox.account_generation


def _take(one: Seen, fetched: Fetched) -> None:
    one.raw = fetched.mime
    if fetched.error is not None:
        one.error, one.error_code = str(fetched.error), fetched.error.code
        one.gone = isinstance(fetched.error, MessageGone)
        one.too_large = isinstance(fetched.error, MessageTooLarge)


def _out_of_reach(seen: Sequence[Seen], error: ServerError) -> None:
    """Their folder can't be opened any more. Those of which the bytes are kept don't need it."""
    for one in seen:
        if one.raw is None:
            one.error, one.error_code = str(error), error.code
            one.gone = isinstance(error, FolderMissing)


def _parse(run: Run, server: IncomingServer, facts: FolderFacts, seen: Sequence[Seen]) -> None:
    with run.timed("parse"):
        for one in seen:
            if one.raw is not None:
                one.message = parse(one.raw)
                one.identity = _identity(one, sizes_stay=server.sizes_stay)
            elif not one.error and not one.too_large:
                one.error, one.gone = _missing(run, one.row), False
                one.error_code = "MessageUnreadable"


def _identity(one: Seen, *, sizes_stay: bool) -> UUID | None:
    if one.message is None:
        return None
    size = one.item.size if sizes_stay else 0
    return identity_of(one.message.message_id, one.message.date_text, size)


def _missing(run: Run, row: SyncItem) -> str:
    if row.folder == IMPORTED:
        return "The file is no longer kept here. Import it again."
    if not _is_there(run, row):
        return "What was kept of it is missing, and the mailbox means another account now."
    return "The server did not hand it out."


def _without_friends(
    run: Run, server: IncomingServer, facts: FolderFacts, seen: list[Seen]
) -> list[Seen]:
    identities: Identities = {}
    for one in seen:
        if one.identity is not None:
            identities.setdefault(one.identity, []).append(one.item.remote_id)
    if not identities:
        return seen
    known = recognise_fetched(run, server, facts, identities)
    return [one for one in seen if one.item.remote_id not in known]
