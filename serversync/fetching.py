"""The bytes and the parsed message of each item of a page, or why they can't be had."""

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
from serversync.seen import Seen
from tracking.byhand import of as asked_of
from tracking.byhand import settled
from tracking.candidates import MAX_SIZE

log = logging.getLogger(__name__)


def fetch_new(
    run: Run, server: IncomingServer, facts: FolderFacts, items: Sequence[RemoteItem]
) -> list[Seen]:
    """Less those that the ledger knows under a former key."""
    seen = [Seen(item, new_row(run, facts, item)) for item in items]
    _fetch(run, server, facts, seen)
    if server.sizes_stay or not run.context.has_history:
        return seen
    return _without_friends(run, server, facts, seen)


def fetch_again(
    run: Run,
    server: IncomingServer,
    facts: FolderFacts,
    items: Sequence[RemoteItem],
    rows: Sequence[SyncItem],
) -> list[Seen]:
    """Items of which the ledger has these rows: by the bytes that were kept, else by their keys."""
    by_key = {row.source_key: row for row in rows}
    seen = [_seen_before(item, by_key[item.remote_id]) for item in items]
    try:
        _fetch(run, server, facts, seen)
    except (AccessDenied, FolderMissing) as error:
        if facts.folder == INBOX:
            raise
        _out_of_reach(seen, error)
        _parse(run, server, facts, seen)
    return seen


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


def _fetch(run: Run, server: IncomingServer, facts: FolderFacts, seen: Sequence[Seen]) -> None:
    by_key = {}
    for one in seen:
        if one.item.size > MAX_SIZE:
            one.too_large = True  # not worth the line; its size is all we need (R3.10)
        elif one.raw is None and facts.folder != IMPORTED:
            by_key[one.item.remote_id] = one
    with run.timed("fetch"):
        for fetched in server.fetch(facts.folder, list(by_key)) if by_key else ():
            _take(by_key[fetched.remote_id], fetched)
    _parse(run, server, facts, seen)


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
                one.error, one.gone = _missing(facts.folder), False
                one.error_code = "MessageUnreadable"


def _identity(one: Seen, *, sizes_stay: bool) -> UUID | None:
    if one.message is None:
        return None
    size = one.item.size if sizes_stay else 0
    return identity_of(one.message.message_id, one.message.date_text, size)


def _missing(folder: str) -> str:
    if folder == IMPORTED:
        return "The file is no longer kept here. Import it again."
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
