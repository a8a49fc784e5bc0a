"""One page of items: fetch and parse, decide, write in one transaction, leave deeds for the server.

The cursor moves only in the transaction that puts every item before it into a final or `retrying`
state. If a page fails, it is done again item by item, so that one poison message costs itself alone.
"""

import logging
from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from django.db import OperationalError, transaction
from django_q.tasks import async_task

from activities import blobs
from mailboxes.choices import Operation
from mailboxes.protocols.base import IncomingServer, RemoteItem
from mailboxes.protocols.errors import ServerError
from serversync import alarms, deeds, ledger, linking
from serversync.choices import ItemState
from serversync.context import FolderFacts
from serversync.cursors import save_cursor
from serversync.cycle import Run
from serversync.fetching import fetch_again, fetch_new, kept_size
from serversync.leases import LeaseLost, renew, request
from serversync.models import ServerAction, SyncItem
from serversync.paging import Place, pages_of
from serversync.planning import creations, late_hooks, plan, writable
from serversync.seen import INTERNAL, Seen, rows_of
from tracking import hooks
from tracking.folders import LinkDecision
from tracking.models import MailboxTrackingFolder
from tracking.promote import Outcome, PageStale, answering_mailboxes, write_page

log = logging.getLogger(__name__)

WRITE_TRIES = 3  # for deadlocks and serialization failures, which a repeat cures
STALE_TRIES = 10  # each time another worker has stored some of the page, so there is an end
STORED = frozenset({ItemState.TRACKED, ItemState.DUPLICATE})


class PageWriter:
    """Handles pages of one folder: `handle` for new items, `again` for those that failed before."""

    def __init__(self, run: Run, server: IncomingServer, facts: FolderFacts) -> None:
        self.run = run
        self.server = server
        self.facts = facts
        self.mailbox = run.mailbox
        self.organization = run.organization

    def handle(self, items: Sequence[RemoteItem], place: Place | None) -> None:
        """Every item of the page reaches the ledger, in parts if its messages turn out to be larger than
        the server said. `place` None: no cursor moves."""
        while True:
            seen, left = fetch_new(self.run, self.server, self.facts, items)
            here = _behind(items[-len(left) - 1], place) if left else place
            self._decide_and_write(seen, here)
            if not left:
                return
            items = left

    def again(self, rows: Sequence[SyncItem]) -> None:
        """Another try for items that the ledger has: by the bytes that were kept, else by their keys."""
        items = (RemoteItem(row.source_key, kept_size(row), row.received_at) for row in rows)
        for page in pages_of(items, self.organization.messages_per_page, None):
            left: Sequence[RemoteItem] = page.items
            while left:
                seen, left = fetch_again(self.run, self.server, self.facts, left, rows)
                self._decide_and_write(seen, None)

    def move_cursor(self, place: Place) -> None:
        with transaction.atomic():
            renew(self.run.token, self.run.clock())
            save_cursor(self.run, self.facts, place, self.run.clock())
        self._passed(place, ())

    def _passed(self, place: Place | None, seen: Sequence[Seen]) -> None:
        """After the commit: what the cursor has passed, and what it has not."""
        if place is None:
            return
        if place.is_behind:
            self.facts.beyond += [one.row.pk for one in seen if one.row.state != ItemState.GONE]
        elif place.cursor:
            self.facts.beyond.clear()

    # -- as a whole, else item by item

    def _decide_and_write(self, seen: Sequence[Seen], place: Place | None) -> None:
        try:
            self._try_page(seen, place)
            return
        except (LeaseLost, ServerError):
            raise
        except Exception as error:  # noqa: BLE001 - a poison message must cost itself only (R3.67)
            log.warning("mailbox %s: page done again item by item: %r", self.mailbox.pk, error)
        for one in seen:
            self._try_item(one, place if one is seen[-1] else _behind(one.item, place))

    def _try_item(self, one: Seen, place: Place | None) -> None:
        try:
            self._try_page([one], place)
        except (LeaseLost, ServerError):
            raise
        except Exception as error:
            log.exception("mailbox %s: item %s failed", self.mailbox.pk, one.row.pk)
            one.error, one.error_code = f"{type(error).__name__}: {error}", INTERNAL
            self._try_page([one], place)

    def _try_page(self, seen: Sequence[Seen], place: Place | None) -> None:
        """Plan, then write in one transaction; a deadlock repeats the page."""
        for attempt in range(1, STALE_TRIES + 1):
            staged = self._decide(seen)
            try:
                with self.run.timed("write"):
                    self._write(seen, place, staged)
            except (OperationalError, PageStale) as error:
                if attempt >= (STALE_TRIES if isinstance(error, PageStale) else WRITE_TRIES):
                    raise
                continue
            break
        self._passed(place, seen)
        rows = rows_of(seen)
        for row in rows:
            self.run.result.count(row.state, row.reason)
        now = self.run.clock()
        alarms.after_page(self.mailbox, self.organization, rows, now)
        alarms.after_creations(self.mailbox, self.organization, list(creations(seen)), now)

    def _decide(self, seen: Sequence[Seen]) -> blobs.Staged:
        """Bytes are staged before the transaction that refers to them."""
        for one in seen:
            one.children = []
        staged = blobs.Staged()
        with self.run.timed("decide"):
            plan(self.run, self.facts, seen, staged)
            blobs.stage(staged)
        return staged

    # -- write

    def _write(self, seen: Sequence[Seen], place: Place | None, staged: blobs.Staged) -> None:
        now = self.run.clock()
        with transaction.atomic():
            renew(self.run.token, now, self.run.result.items + len(rows_of(seen)))
            outcomes = self._write_emails(seen, staged, now)
            self._write_ledger(seen, outcomes, place, staged, now)
            if late := late_hooks(seen, outcomes):
                hooks.later(late, now)
                async_task("serversync.jobs.run_hooks", group="hooks")
            actions = self._actions(seen, now)
            ServerAction.objects.bulk_create(actions)
            if place is not None:
                save_cursor(self.run, self.facts, place, now, _last_received(seen))
        self.run.actions_written = self.run.actions_written or bool(actions)
        if undelivered := {key for outcome in outcomes.values() for key in outcome.undelivered}:
            alarms.undelivered(undelivered, self.organization, now)

    def _write_emails(
        self, seen: Sequence[Seen], staged: blobs.Staged, now: datetime
    ) -> dict[tuple[str, int], Outcome]:
        plans = writable(seen)
        outcomes = write_page(plans, staged, now, self.organization)
        if answering := answering_mailboxes(plans):
            request(answering, Operation.OUTGOING, now)
        return outcomes

    def _write_ledger(
        self,
        seen: Sequence[Seen],
        outcomes: Mapping[tuple[str, int], Outcome],
        place: Place | None,
        staged: blobs.Staged,
        now: datetime,
    ) -> None:
        if failed := ledger.settle(self.run, self.facts, seen, outcomes, now):
            kept = blobs.save(staged, only=[blobs.digest(one.raw or b"") for one in failed])
            for one in failed:
                one.row.raw_id = kept[blobs.digest(one.raw or b"")]
        self._file(seen, now)
        if place is not None:
            for row in (one.row for one in seen if one.row.state != ItemState.GONE):
                row.left_at = now if place.is_behind else None  # see FolderFacts.beyond
        ledger.save(seen)

    def _file(self, seen: Sequence[Seen], now: datetime) -> None:
        """What lies in a tracked folder takes the folder's record (R7.10)."""
        rule = self.facts.rule
        if rule is None:
            return
        since: dict[UUID, datetime | None] = {}
        for one in seen:
            if one.row.email_id is not None and one.row.state in STORED:
                since[one.row.email_id] = None if one.is_new else one.row.first_seen_at
        decisions = linking.link(self.run, rule, since, now)
        for one in seen:
            decision = decisions.get(one.row.email_id) if one.row.email_id else None
            if decision is not None and one.row.state == ItemState.DUPLICATE:
                _note_filing(one.row, rule, decision)

    def _actions(self, seen: Sequence[Seen], now: datetime) -> list[ServerAction]:
        made: list[ServerAction] = []
        account = self.mailbox.account_generation
        theirs = [one for one in seen if not one.handed_in and one.row.generation == account]
        for one in theirs:
            wanted = deeds.after(self.run, one.row, one.children, one.plans, failures=one.failures)
            made += deeds.rows(self.mailbox, one.row, wanted, now)
        tracked = {
            one.row.message_id: one.plans for one in theirs if one.row.state == ItemState.TRACKED
        }
        return made + deeds.elsewhere(self.run, tracked, now)


def _behind(item: RemoteItem, place: Place | None) -> Place | None:
    """Where an item that is not the last of its page leaves the folder."""
    return place and Place(item.cursor, place.total, complete=place.complete)


def _note_filing(row: SyncItem, rule: MailboxTrackingFolder, decision: LinkDecision) -> None:
    """A duplicate in a tracked folder also says what became of its record."""
    row.trace = row.trace | {"filed": {"folder": str(rule)[:200], "why": decision.because.value}}


def _last_received(seen: Sequence[Seen]) -> datetime | None:
    times = [one.row.received_at for one in seen if one.row.received_at]
    return max(times, default=None)
