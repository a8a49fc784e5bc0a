"""One incoming cycle of one mailbox: read, decide, write, tell.

    list ──> unknown items ──> page ──> fetch + parse ──> plan ──> one transaction ──> server actions
      │            │                                        │            │
      cursor     ledger keys,                            tracking:    lease, e-mails, ledger rows,
                 old friends after a reset               promote      actions, cursor: all or nothing

The cursor moves only in the transaction that puts every item before it into a final or `retrying`
state. If a page fails, it is done again item by item, so that one poison message costs itself alone.
Called by the engine with a claimed lease; it alone catches what escapes here.
"""

import hashlib
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from time import monotonic
from typing import Any
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.models import F
from django.utils import timezone

from activities import blobs
from activities.identity import bare_message_id
from activities.mime.message import ParsedMessage
from activities.mime.parse import parse
from mailboxes.connect import incoming_server
from mailboxes.protocols.base import INBOX, ActionKind, IncomingServer, Listing, RemoteItem
from mailboxes.protocols.errors import MessageGone, MessageTooLarge, ServerError
from serversync import alarms
from serversync.act import act
from serversync.choices import ActionState, ItemState
from serversync.context import Context
from serversync.cycle import Clock, CycleResult
from serversync.leases import LeaseLost, renew
from serversync.models import FolderCursor, ServerAction, SyncItem
from serversync.probe import is_own_probe, is_probe_of
from tracking import trace
from tracking.candidates import MAX_SIZE
from tracking.choices import SkipReason
from tracking.promote import (
    Incoming,
    Outcome,
    PageStale,
    Plan,
    Reading,
    plan_page,
    reading_of,
    write_page,
)

log = logging.getLogger(__name__)

PAGE_BYTES = 32 * 1024 * 1024  # a page's messages are in memory together
WRITE_TRIES = 3  # for deadlocks and serialization failures, which a repeat cures
STALE_TRIES = 10  # each time another worker has stored some of the page, so there is an end
INTERNAL = "IncomingMailboxInternalCrmError"  # R8.20: a passing fault on our side
LISTING = 500  # keys per listing round trip

Connect = Callable[..., IncomingServer]


@dataclass(slots=True)
class Page:
    """Items to handle together, how many too old ones lie among them, the cursor behind them all."""

    items: list[RemoteItem] = field(default_factory=list)
    too_old: int = 0
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page leaves the folder: the cursor to store and what else its row learns."""

    folder: str
    cursor: str
    total: int | None = None
    too_old: int = 0
    onboarded: bool = False


@dataclass(slots=True)
class Seen:
    """One item on its way through a page."""

    item: RemoteItem
    row: SyncItem
    raw: bytes | None = None
    message: ParsedMessage | None = None
    is_new: bool = True
    error: str = ""
    error_code: str = ""
    gone: bool = False
    too_large: bool = False
    plans: list[Plan] = field(default_factory=list)
    children: list[SyncItem] = field(default_factory=list)


def identity_of(message_id: str, date: str, size: int) -> UUID | None:
    """Recognises a message under another key: same id, same Date text, same size.

    None without an id: then another message could pass for an old one and never be looked at.
    """
    bare = bare_message_id(message_id)
    if not bare:
        return None
    text = "\0".join((bare, " ".join(date.split()), str(size)))
    return UUID(bytes=hashlib.sha256(text.encode("utf-8", "replace")).digest()[:16])


def receive(
    context: Context,
    token: UUID,
    *,
    clock: Clock = timezone.now,
    connect: Connect = incoming_server,
) -> CycleResult:
    """Run one cycle. Raises ServerError (the server), LeaseLost (somebody else has the mailbox)."""
    return IncomingCycle(context, token, clock, connect).run()


class IncomingCycle:
    """The state of one cycle; `run` is the story."""

    def __init__(self, context: Context, token: UUID, clock: Clock, connect: Connect) -> None:
        self.context = context
        self.mailbox = context.mailbox
        self.organization = context.organization
        self.token = token
        self.clock = clock
        self.connect = connect
        self.result = CycleResult()
        self.per_page: int = context.organization.messages_per_page
        self.left: int = context.organization.messages_per_cycle
        self.actions_written = context.actions_due

    def run(self) -> CycleResult:
        server = self.connect(self.mailbox, self.organization)
        try:
            with self._timed("open"):
                server.open()
            if self.context.retries_due:
                self._retry(server)
            self._read_folder(server, INBOX)
            if self.actions_written:
                with self._timed("act"):
                    self.result.more |= act(server, self.mailbox, self.clock())
        finally:
            server.close()
        return self.result

    # -- read

    def _read_folder(self, server: IncomingServer, folder: str) -> None:
        cursor = self.context.inbox.cursor
        while True:
            with self._timed("list"):
                listing = server.list_new(folder, cursor, LISTING)
            if listing.unchanged:
                return
            if listing.reset:
                self._start_over(folder)
            items = self._unknown(server, folder, listing)
            self._note_gone(folder, listing)
            cut = len(items) > self.left
            pages = list(self._pages(items[: self.left]))
            self.left -= min(self.left, len(items))
            end = listing.cursor if not listing.more else listing.items[-1].cursor
            for number, page in enumerate(pages, start=1):
                last = number == len(pages) and not cut
                after = end if last else page.cursor
                onboarded = last and not listing.more
                place = Place(folder, after, listing.total, page.too_old, onboarded)
                if page.items:
                    self._page(server, page.items, place)
                else:
                    self._move_cursor(place)
            if not pages:
                place = Place(folder, end, listing.total, 0, not listing.more)
                self._move_cursor(place)
            if cut or (listing.more and self.left <= 0):
                self.result.more = True
                return
            if not listing.more:
                return
            cursor = end

    def _unknown(self, server: IncomingServer, folder: str, listing: Listing) -> list[RemoteItem]:
        """What of a listing the ledger has no row for, after old friends got their new keys."""
        items = list(listing.items)
        if not items or not self.context.has_history:
            return items
        known = self._known_keys(folder, [item.remote_id for item in items])
        fresh = [item for item in items if item.remote_id not in known]
        first_contact = not self.context.inbox.onboarded
        suspicious = listing.reset or first_contact or (listing.complete and not known)
        if not fresh or not suspicious:
            return fresh
        forgotten = self._forgotten(listing, known)
        recognised = self._recognise(server, folder, fresh, forgotten)
        return [item for item in fresh if item.remote_id not in recognised]

    def _known_keys(self, folder: str, keys: Sequence[str]) -> set[str]:
        known: set[str] = set()
        for start in range(0, len(keys), 900):  # SQLite takes 999 parameters
            known.update(
                SyncItem.objects.filter(
                    mailbox=self.mailbox,
                    generation=self.mailbox.account_generation,
                    folder=folder,
                    source_key__in=keys[start : start + 900],
                ).values_list("source_key", flat=True)
            )
        return known

    def _forgotten(self, listing: Listing, known: set[str]) -> Callable[[str], bool]:
        """Tells keys of this very folder that the server no longer uses. A message that is there
        twice is two items: the first one's row must not be taken for the second's."""
        listed = {item.remote_id for item in listing.items}
        if listing.epoch:
            return lambda key: not key.startswith(listing.epoch)
        if listing.reset or (listing.complete and not known):
            return lambda key: key not in listed
        return lambda key: False

    def _recognise(
        self,
        server: IncomingServer,
        folder: str,
        fresh: list[RemoteItem],
        is_forgotten: Callable[[str], bool],
    ) -> set[str]:
        """Give rows of old friends their new keys, one to one, before anything is decided again."""
        found: set[str] = set()
        place = (self.mailbox.account_generation, folder)
        for start in range(0, len(fresh), LISTING):
            identities: dict[UUID, list[str]] = {}
            part = [item.remote_id for item in fresh[start : start + LISTING]]
            for friend in server.identify(folder, part):
                key = identity_of(friend.message_id, friend.date, friend.size)
                if key is not None:
                    identities.setdefault(key, []).append(friend.remote_id)
            with transaction.atomic():
                renew(self.token, self.clock())
                rows = SyncItem.objects.filter(
                    mailbox=self.mailbox, identity__in=identities, parent__isnull=True
                ).order_by("first_seen_at", "pk")
                friends = [
                    row
                    for row in rows
                    if (row.generation, row.folder) != place or is_forgotten(row.source_key)
                ]
                found |= self._rename(friends, identities, folder)
        return found

    def _rename(
        self, rows: Iterable[SyncItem], identities: dict[UUID, list[str]], folder: str
    ) -> set[str]:
        """The ledger and what is still to be done on the server speak of the new keys."""
        renamed: dict[UUID, SyncItem] = {}
        for row in rows:
            waiting = identities.get(row.identity) if row.identity else None
            if waiting:
                row.generation, row.folder = self.mailbox.account_generation, folder
                row.source_key = waiting.pop(0)
                renamed[row.pk] = row
        key = ["generation", "folder", "source_key"]
        SyncItem.objects.bulk_update(renamed.values(), key)
        actions = list(
            ServerAction.objects.filter(item__in=list(renamed), state=ActionState.PENDING)
        )
        for action in actions:
            row = renamed[action.item_id]  # type: ignore[index]  # the filter says it has one
            action.generation, action.folder = row.generation, row.folder
            action.source_key = row.source_key
        ServerAction.objects.bulk_update(actions, key)
        return {row.source_key for row in renamed.values()}

    def _note_gone(self, folder: str, listing: Listing) -> None:
        """A complete listing tells which retrying items will never come (POP3)."""
        if not listing.complete or not self.context.has_history:
            return
        listed = {item.remote_id for item in listing.items}
        waiting = SyncItem.objects.filter(
            mailbox=self.mailbox,
            generation=self.mailbox.account_generation,
            folder=folder,
            state=ItemState.RETRYING,
            parent__isnull=True,
        ).values_list("pk", "source_key")
        gone = [pk for pk, key in waiting if key not in listed]
        if gone:
            SyncItem.objects.filter(pk__in=gone).update(
                state=ItemState.GONE,
                reason="MessageGone",
                next_attempt_at=None,
                decided_at=self.clock(),
            )
            for _pk in gone:
                self.result.count(ItemState.GONE, "MessageGone")

    def _start(self) -> datetime:
        """The later of the profile's and the mailbox's date (R3.6)."""
        profile = self.mailbox.email_server_profile
        assert profile is not None  # eligibility checked it
        own = self.mailbox.process_email_received_after
        return (
            max(profile.process_emails_received_after, own)
            if own
            else (profile.process_emails_received_after)
        )

    def _pages(self, items: Iterable[RemoteItem]) -> Iterator[Page]:
        """Bounded by number and bytes. At first contact what is older than the start date is one
        count of the page that passes it, not a row."""
        start = None if self.context.inbox.onboarded else self._start()
        page, size = Page(), 0
        for item in items:
            if start and item.received_at is not None and item.received_at < start:
                page.too_old += 1
                page.cursor = item.cursor
                continue
            if page.items and (len(page.items) >= self.per_page or size + item.size > PAGE_BYTES):
                yield page
                page, size = Page(), 0
            page.items.append(item)
            page.cursor = item.cursor
            size += item.size
        if page.items or page.too_old:
            yield page

    # -- one page

    def _page(self, server: IncomingServer, items: Sequence[RemoteItem], place: Place) -> None:
        seen = [Seen(item, self._new_row(place.folder, item)) for item in items]
        self._fetch(server, place.folder, seen)
        self._decide_and_write(seen, place)

    def _new_row(self, folder: str, item: RemoteItem) -> SyncItem:
        now = self.clock()
        return SyncItem(
            mailbox=self.mailbox,
            folder=folder,
            generation=self.mailbox.account_generation,
            source_key=item.remote_id,
            size=item.size,
            received_at=item.received_at,
            first_seen_at=now,
            decided_at=now,
        )

    def _fetch(self, server: IncomingServer, folder: str, seen: Sequence[Seen]) -> None:
        by_key = {}
        for one in seen:
            if one.item.size > MAX_SIZE:
                one.too_large = True  # not worth the line; its size is all we need (R3.10)
            else:
                by_key[one.item.remote_id] = one
        with self._timed("fetch"):
            for fetched in server.fetch(folder, list(by_key)):
                one = by_key[fetched.remote_id]
                one.raw = fetched.mime
                if fetched.error is not None:
                    one.error, one.error_code = str(fetched.error), fetched.error.code
                    one.gone = isinstance(fetched.error, MessageGone)
                    one.too_large = isinstance(fetched.error, MessageTooLarge)
        with self._timed("parse"):
            for one in seen:
                if one.raw is not None:
                    one.message = parse(one.raw)
                elif not one.error and not one.too_large:
                    one.error, one.gone = "The server did not hand it out.", False
                    one.error_code = "MessageUnreadable"

    def _decide_and_write(self, seen: Sequence[Seen], place: Place | None) -> None:
        """`place` is None for retries, which move no cursor."""
        try:
            self._try_page(seen, place)
            return
        except (LeaseLost, ServerError):
            raise
        except Exception as error:  # noqa: BLE001 - a poison message must cost itself only (R3.67)
            log.warning("mailbox %s: page done again item by item: %r", self.mailbox.pk, error)
        for one in seen:
            here = place
            if place is not None and one is not seen[-1]:
                here = Place(place.folder, one.item.cursor, place.total)
            try:
                self._try_page([one], here)
            except (LeaseLost, ServerError):
                raise
            except Exception as error:
                log.exception("mailbox %s: item %s failed", self.mailbox.pk, one.row.pk)
                one.error, one.error_code = f"{type(error).__name__}: {error}", INTERNAL
                self._try_page([one], here)

    def _try_page(self, seen: Sequence[Seen], place: Place | None) -> None:
        """Plan, then write in one transaction; a deadlock repeats the page."""
        for attempt in range(1, STALE_TRIES + 1):
            for one in seen:
                one.plans, one.children = [], []
            staged = blobs.Staged()
            with self._timed("decide"):
                self._plan(seen, staged)
                blobs.stage(staged)
            try:
                with self._timed("write"):
                    self._write(seen, place, staged)
            except (OperationalError, PageStale) as error:
                if attempt >= (STALE_TRIES if isinstance(error, PageStale) else WRITE_TRIES):
                    raise
                continue
            break
        rows = rows_of(seen)
        for row in rows:
            self.result.count(row.state, row.reason)
        alarms.after_page(self.mailbox, self.organization, rows, self.clock())

    def _plan(self, seen: Sequence[Seen], staged: blobs.Staged) -> None:
        reading = Reading(
            mailbox=self.mailbox,
            organization=self.organization,
            party=reading_of(self.mailbox),
            start=self._start(),
            watermark=self.context.inbox.watermark,
            now=self.clock(),
            is_probe_of=is_probe_of,
        )
        incoming = [
            Incoming(
                key=one.item.remote_id,
                message=one.message,
                raw=one.raw,
                received_at=one.item.received_at,
                is_own_probe=is_own_probe(one.message.own_header, self.mailbox),
            )
            for one in seen
            if one.message is not None and one.raw is not None and not one.error
        ]
        by_key = {one.item.remote_id: one for one in seen}
        for plan in plan_page(reading, incoming, staged):
            by_key[plan.key].plans.append(plan)
        for one in seen:
            if (one.error or any(plan.error for plan in one.plans)) and one.raw is not None:
                staged.add(one.raw)

    # -- write

    def _write(self, seen: Sequence[Seen], place: Place | None, staged: blobs.Staged) -> None:
        now = self.clock()
        with transaction.atomic():
            renew(self.token, now)
            outcomes = write_page([plan for one in seen for plan in one.plans], staged, now)
            poisoned = self._settle(seen, outcomes, now)
            if poisoned:
                kept = blobs.save(staged, only=[blobs.digest(one.raw or b"") for one in poisoned])
                for one in poisoned:
                    one.row.raw_id = kept[blobs.digest(one.raw or b"")]
            children = [child for one in seen for child in one.children]
            SyncItem.objects.bulk_create([one.row for one in seen if one.is_new] + children)
            old = [one.row for one in seen if not one.is_new]
            if old:
                SyncItem.objects.bulk_update(old, LEARNED)
            actions = [action for one in seen for action in self._actions_for(one, now)]
            ServerAction.objects.bulk_create(actions)
            if place is not None:
                self._save_cursor(place, now, self._last_received(seen))
        self.actions_written = self.actions_written or bool(actions)

    def _settle(
        self, seen: Sequence[Seen], outcomes: dict[tuple[str, int], Outcome], now: datetime
    ) -> list[Seen]:
        """Fill the ledger rows; returns those whose raw bytes must be kept."""
        poisoned = []
        for one in seen:
            row = one.row
            row.decided_at = now
            self._describe(row, one)
            failed = next((plan.error for plan in one.plans if plan.error), "") or one.error
            if one.gone:
                row.state, row.reason, row.next_attempt_at = ItemState.GONE, "MessageGone", None
                row.trace = self._why(row, one)
            elif one.too_large:
                row.state, row.reason = ItemState.SKIPPED, SkipReason.TOO_LARGE.value
                row.trace = self._why(row, one)
            elif failed:
                if self._fail(row, failed, one.error_code or INTERNAL, one, now):
                    poisoned.append(one)
            else:
                for plan in one.plans:
                    outcome = outcomes[(plan.key, plan.part)]
                    target = row if plan.part == 0 else self._child(one, plan)
                    _apply(target, outcome)
        return poisoned

    def _describe(self, row: SyncItem, one: Seen) -> None:
        message = one.message
        if message is None:
            return
        sender = message.sender
        row.message_id = message.message_id[:320]
        row.sender = (sender.address if sender else "")[:320]
        row.subject = message.subject[:800]
        row.identity = identity_of(message.message_id, message.date_text, one.item.size)

    def _child(self, one: Seen, plan: Plan) -> SyncItem:
        child = SyncItem(
            mailbox=self.mailbox,
            folder=one.row.folder,
            generation=one.row.generation,
            source_key=f"{one.row.source_key[:500]}/{plan.part}",
            parent=one.row,
            size=plan.message.size,
            received_at=one.row.received_at,
            first_seen_at=one.row.first_seen_at,
            decided_at=one.row.decided_at,
            message_id=plan.message.message_id[:320],
            sender=(plan.message.sender.address if plan.message.sender else "")[:320],
            subject=plan.message.subject[:800],
        )
        one.children.append(child)
        return child

    def _fail(self, row: SyncItem, error: str, code: str, one: Seen, now: datetime) -> bool:
        """Try again later, up to the limit; then quarantine. True if the bytes must be kept."""
        row.attempts += 1
        row.last_error = _printable(error)[:2048]
        row.reason = code
        limit: int = self.organization.promotion_attempts
        if row.attempts < limit:
            row.state = ItemState.RETRYING
            minutes = self.organization.promotion_retry_minutes
            row.next_attempt_at = now + timedelta(minutes=minutes)
        else:
            row.state, row.next_attempt_at = ItemState.QUARANTINED, None
        row.trace = self._why(row, one)
        return row.state == ItemState.QUARANTINED and one.raw is not None

    def _why(self, row: SyncItem, one: Seen) -> dict[str, Any]:
        """The decision record of an item that tracking never saw, or could not finish."""
        decision = trace.Decision(
            outcome=ItemState(row.state),
            reason=row.reason,
            decided_at=row.decided_at,
            mailbox=trace.Named("mailboxes.mailbox", str(self.mailbox.pk), self.mailbox.name),
            size=row.size,
            received_at=row.received_at,
            message=one.message,
            skip_detail=str(row.size) if one.too_large else "",
            skip_limit=str(MAX_SIZE) if one.too_large else "",
            failure=None
            if one.too_large
            else trace.Failure(
                code=row.reason,
                text=row.last_error[:500],
                attempt=row.attempts,
                attempts=self.organization.promotion_attempts,
                next_attempt_at=row.next_attempt_at,
            ),
        )
        return trace.to_data(decision)

    def _actions_for(self, one: Seen, now: datetime) -> list[ServerAction]:
        """R3.66: delete only what was stored or was there already; rejected mail on request only."""
        mailbox = self.mailbox
        if not mailbox.process_and_delete_emails or mailbox.serves_user:
            return []
        rows = [one.row, *one.children]
        deletable = {ItemState.TRACKED, ItemState.DUPLICATE}
        if mailbox.delete_rejected_emails:
            deletable.add(ItemState.REJECTED)
        states = {ItemState(row.state) for row in rows}
        if one.children:
            states.discard(ItemState.SKIPPED)  # the wrapper itself
        if not states or not states <= deletable:
            return []
        return [
            ServerAction(
                mailbox=mailbox,
                item=one.row,
                folder=one.row.folder,
                generation=one.row.generation,
                source_key=one.row.source_key,
                kind=ActionKind.DELETE,
                created_on=now,
                next_attempt_at=now,
            )
        ]

    def _last_received(self, seen: Sequence[Seen]) -> datetime | None:
        times = [one.row.received_at for one in seen if one.row.received_at]
        return max(times, default=None)

    def _save_cursor(self, place: Place, now: datetime, received: datetime | None = None) -> None:
        """One statement. A cursor "" (a POP3 page that is not the last) keeps the stored one, which
        then no longer equals the listing and so forces a fresh look."""
        facts = self.context.inbox
        if received and (facts.watermark is None or received > facts.watermark):
            facts.watermark = received
        values: dict[str, Any] = {"checked_at": now, "watermark": facts.watermark}
        if place.cursor:
            values["cursor"] = facts.cursor = place.cursor
        if place.total is not None:
            values["server_total"] = place.total
        if place.onboarded:
            values["onboarded"] = facts.onboarded = True
        key = {
            "mailbox": self.mailbox,
            "folder": place.folder,
            "generation": self.mailbox.account_generation,
        }
        if facts.known:
            if place.too_old:
                values["before_start"] = F("before_start") + place.too_old
            FolderCursor.objects.filter(**key).update(**values)
        else:
            FolderCursor.objects.create(**key, before_start=place.too_old, **values)
            facts.known = True

    def _move_cursor(self, place: Place) -> None:
        with transaction.atomic():
            renew(self.token, self.clock())
            self._save_cursor(place, self.clock())

    def _start_over(self, folder: str) -> None:
        """The server renumbered its messages: read from the beginning, recognising old friends."""
        facts = self.context.inbox
        facts.onboarded = False
        if facts.known:
            FolderCursor.objects.filter(
                mailbox=self.mailbox, folder=folder, generation=self.mailbox.account_generation
            ).update(resets=F("resets") + 1, onboarded=False)

    # -- retries

    def _retry(self, server: IncomingServer) -> None:
        """Give failed items another try, by their source keys (R3.72)."""
        now = self.clock()
        rows = list(
            SyncItem.objects.filter(
                mailbox=self.mailbox,
                generation=self.mailbox.account_generation,
                state=ItemState.RETRYING,
                next_attempt_at__lte=now,
                parent__isnull=True,
            ).order_by("next_attempt_at")[: self.per_page]
        )
        by_folder: dict[str, list[SyncItem]] = {}
        for row in rows:
            by_folder.setdefault(row.folder, []).append(row)
        for folder, part in by_folder.items():
            items = {row.source_key: row for row in part}
            for page in self._pages(RemoteItem(row.source_key, row.size) for row in part):
                seen = [Seen(item, items[item.remote_id], is_new=False) for item in page.items]
                self._fetch(server, folder, seen)
                self._decide_and_write(seen, None)

    def _timed(self, step: str) -> "Stopwatch":
        return Stopwatch(self.result.steps_ms, step)


class Stopwatch:
    """Adds the milliseconds of a block to a step."""

    def __init__(self, steps: dict[str, int], step: str) -> None:
        self.steps, self.step = steps, step

    def __enter__(self) -> None:
        self.began = monotonic()

    def __exit__(self, *_: object) -> None:
        spent = round((monotonic() - self.began) * 1000)
        self.steps[self.step] = self.steps.get(self.step, 0) + spent


#: Columns of a ledger row that another try may change.
LEARNED = [
    "state",
    "reason",
    "sub_reason",
    "trace",
    "message_id",
    "sender",
    "subject",
    "identity",
    "email",
    "raw",
    "attempts",
    "next_attempt_at",
    "last_error",
    "decided_at",
]


def rows_of(seen: Sequence[Seen]) -> list[SyncItem]:
    return [row for one in seen for row in (one.row, *one.children)]


def _apply(row: SyncItem, outcome: Outcome) -> None:
    row.state = outcome.state
    row.reason = outcome.reason
    row.sub_reason = outcome.sub_reason
    row.email_id = outcome.email_id
    row.raw_id = None  # of an earlier failure; a tracked one is kept with its e-mail
    row.trace = {} if outcome.state == ItemState.TRACKED else outcome.decision
    row.next_attempt_at = None
    row.last_error = ""


def _printable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
