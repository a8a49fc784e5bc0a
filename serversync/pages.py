"""One page of items: fetch and parse, decide, write in one transaction, leave deeds for the server.

The cursor moves only in the transaction that puts every item before it into a final or `retrying`
state. If a page fails, it is done again item by item, so that one poison message costs itself alone.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db import OperationalError, transaction
from django.db.models import F
from django_q.tasks import async_task

from activities import blobs
from activities.mime.message import ParsedMessage
from activities.mime.parse import parse
from mailboxes.choices import Operation
from mailboxes.protocols.base import INBOX, IncomingServer, RemoteItem
from mailboxes.protocols.errors import (
    AccessDenied,
    FolderMissing,
    MessageGone,
    MessageTooLarge,
    ServerError,
)
from serversync import alarms, deeds, linking, wishes
from serversync.choices import IMPORTED, ItemState
from serversync.context import FolderFacts
from serversync.cycle import Run
from serversync.leases import LeaseLost, renew, request
from serversync.listing import Identities, come_back, identity_of, recognise_fetched
from serversync.models import FolderCursor, ServerAction, SyncItem
from serversync.probe import is_own_probe, is_probe_of
from tracking import hooks, trace
from tracking.byhand import BY_HAND, settled
from tracking.byhand import of as asked_of
from tracking.candidates import MAX_SIZE, arrival_of
from tracking.choices import SkipReason, Way
from tracking.folders import LinkDecision
from tracking.hooks import Heard
from tracking.kept import FACTS, facts_of
from tracking.models import MailboxTrackingFolder
from tracking.promote import (
    Incoming,
    Outcome,
    PageStale,
    Plan,
    Reading,
    answering_mailboxes,
    plan_page,
    reading_of,
    rests_on,
    write_page,
)

log = logging.getLogger(__name__)

PAGE_BYTES = 32 * 1024 * 1024  # a page's messages are in memory together
WRITE_TRIES = 3  # for deadlocks and serialization failures, which a repeat cures
STALE_TRIES = 10  # each time another worker has stored some of the page, so there is an end
STORED = frozenset({ItemState.TRACKED, ItemState.DUPLICATE})
HANDED_IN = "handed_in"  # in the trace of an item whose bytes a person brought
INTERNAL = "IncomingMailboxInternalCrmError"  # R8.20: a passing fault on our side


@dataclass(slots=True)
class Page:
    """Items to handle together, how many too old ones lie among them, the cursor behind them all."""

    items: list[RemoteItem] = field(default_factory=list)
    too_old: int = 0
    cursor: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a page leaves its folder: the cursor to store and what else its row learns."""

    cursor: str
    total: int | None = None
    too_old: int = 0
    onboarded: bool = False
    count: int = 0  # messages of this page that were there at the first contact
    complete: bool = False  # of a listing that tells everything each time

    @property
    def is_behind(self) -> bool:
        """The page is stored, and the cursor stays before it."""
        return not self.cursor and not self.complete


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
    failures: int = 0  # of earlier cycles
    handed_in: bool = False  # its bytes came by hand, so nothing is done on the server
    asked: dict[str, Any] = field(default_factory=dict)  # who wants it tracked all the same (R3.18)
    heard: dict[int, Heard] = field(default_factory=dict)  # by part: what the site's own code said
    plans: list[Plan] = field(default_factory=list)
    children: list[SyncItem] = field(default_factory=list)


def is_too_old(item: RemoteItem, start: datetime | None) -> bool:
    return start is not None and item.received_at is not None and item.received_at < start


def within(items: Sequence[RemoteItem], limit: int, start: datetime | None) -> Sequence[RemoteItem]:
    """The first of them, at most `limit` to be taken up. What is too old costs nothing: where only the
    end of an answer has a cursor (Exchange), a cycle would else never come past a page of it."""
    for number, item in enumerate(items):
        if is_too_old(item, start):
            continue
        if limit <= 0:
            return items[:number]
        limit -= 1
    return items


def pages_of(items: Iterable[RemoteItem], per_page: int, start: datetime | None) -> Iterator[Page]:
    """Bounded by number and bytes. What is older than `start` is one count of the page that passes
    it, not a row; None: nothing is too old."""
    page, size = Page(), 0
    for item in items:
        if is_too_old(item, start):
            page.too_old += 1
            page.cursor = item.cursor
            continue
        if page.items and (len(page.items) >= per_page or size + item.size > PAGE_BYTES):
            yield page
            page, size = Page(), 0
        page.items.append(item)
        page.cursor = item.cursor
        size += item.size
    if page.items or page.too_old:
        yield page


def start_of(run: Run, facts: FolderFacts) -> datetime | None:
    """From when on mail of this folder counts: the later of the profile's and the mailbox's date (R3.6);
    for a folder rule its own date (R7.7); nothing for what was marked by hand (R3.9)."""
    if facts.way in (Way.CATEGORY, Way.MANUAL):
        return None
    if facts.rule is not None:
        return facts.rule.track_from
    profile = run.mailbox.email_server_profile
    assert profile is not None  # eligibility checked it
    own = run.mailbox.process_email_received_after
    return max(filter(None, (profile.process_emails_received_after, own)))


class PageWriter:
    """Handles pages of one folder: `handle` for new items, `again` for those that failed before."""

    def __init__(self, run: Run, server: IncomingServer, facts: FolderFacts) -> None:
        self.run = run
        self.server = server
        self.facts = facts
        self.mailbox = run.mailbox
        self.organization = run.organization

    def handle(self, items: Sequence[RemoteItem], place: Place | None) -> None:
        """Every item of the page reaches the ledger. `place` None: no cursor moves."""
        seen = [Seen(item, self._new_row(item)) for item in items]
        self._fetch(seen)
        if not self.server.sizes_stay and self.run.context.has_history:
            seen = self._without_friends(seen)
        self._decide_and_write(seen, place)

    def again(self, rows: Sequence[SyncItem]) -> None:
        """Another try for items that the ledger has: by the bytes that were kept, else by their keys."""
        by_key = {row.source_key: row for row in rows}
        items = (RemoteItem(row.source_key, row.size, row.received_at) for row in rows)
        for page in pages_of(items, self.organization.messages_per_page, None):
            seen = [_seen_before(item, by_key[item.remote_id]) for item in page.items]
            try:
                self._fetch(seen)
            except (AccessDenied, FolderMissing) as error:
                if self.facts.folder == INBOX:
                    raise
                _out_of_reach(seen, error)
                self._parse(seen)
            self._decide_and_write(seen, None)

    def move_cursor(self, place: Place) -> None:
        with transaction.atomic():
            renew(self.run.token, self.run.clock())
            self._save_cursor(place, self.run.clock())
        self._passed(place, ())

    def _passed(self, place: Place | None, seen: Sequence[Seen]) -> None:
        """After the commit: what the cursor has passed, and what it has not."""
        if place is None:
            return
        if place.is_behind:
            self.facts.beyond += [one.row.pk for one in seen if one.row.state != ItemState.GONE]
        elif place.cursor:
            self.facts.beyond.clear()

    # -- read

    def _new_row(self, item: RemoteItem) -> SyncItem:
        now = self.run.clock()
        return SyncItem(
            mailbox=self.mailbox,
            folder=self.facts.folder,
            generation=self.mailbox.account_generation,
            source_key=item.remote_id,
            size=item.size,
            received_at=item.received_at,
            first_seen_at=now,
            decided_at=now,
        )

    def _fetch(self, seen: Sequence[Seen]) -> None:
        by_key = {}
        for one in seen:
            if one.item.size > MAX_SIZE:
                one.too_large = True  # not worth the line; its size is all we need (R3.10)
            elif one.raw is None and self.facts.folder != IMPORTED:
                by_key[one.item.remote_id] = one
        with self.run.timed("fetch"):
            for fetched in self.server.fetch(self.facts.folder, list(by_key)) if by_key else ():
                one = by_key[fetched.remote_id]
                one.raw = fetched.mime
                if fetched.error is not None:
                    one.error, one.error_code = str(fetched.error), fetched.error.code
                    one.gone = isinstance(fetched.error, MessageGone)
                    one.too_large = isinstance(fetched.error, MessageTooLarge)
        self._parse(seen)

    def _parse(self, seen: Sequence[Seen]) -> None:
        with self.run.timed("parse"):
            for one in seen:
                if one.raw is not None:
                    one.message = parse(one.raw)
                elif not one.error and not one.too_large:
                    one.error, one.gone = _missing(self.facts.folder), False
                    one.error_code = "MessageUnreadable"

    def _without_friends(self, seen: list[Seen]) -> list[Seen]:
        """Less those that the ledger knows under a former key."""
        identities: Identities = {}
        for one in seen:
            if (key := self._identity(one)) is not None:
                identities.setdefault(key, []).append(one.item.remote_id)
        if not identities:
            return seen
        known = recognise_fetched(self.run, self.server, self.facts, identities)
        return [one for one in seen if one.item.remote_id not in known]

    def _identity(self, one: Seen) -> UUID | None:
        if one.message is None:
            return None
        size = one.item.size if self.server.sizes_stay else 0
        return identity_of(one.message.message_id, one.message.date_text, size)

    # -- decide

    def _decide_and_write(self, seen: Sequence[Seen], place: Place | None) -> None:
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
                here = Place(one.item.cursor, place.total, complete=place.complete)
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
            with self.run.timed("decide"):
                self._plan(seen, staged)
                blobs.stage(staged)
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
        alarms.after_page(self.mailbox, self.organization, rows, self.run.clock())

    def _plan(self, seen: Sequence[Seen], staged: blobs.Staged) -> None:
        """What is accepted, the site's own code hears of; what that fails, nothing may rest on, so the
        others are decided again without it."""
        self._judge(seen, staged)
        while self.run.hooks and self._listen(seen, staged):
            staged.contents.clear()
            for one in seen:
                one.plans = []
            self._judge(seen, staged)
        for one in seen:
            if one.asked:
                wishes.apply(one.plans, one.asked)
        for one in seen:
            if (one.error or any(plan.error for plan in one.plans)) and one.raw is not None:
                staged.add(one.raw)

    def _listen(self, seen: Sequence[Seen], staged: blobs.Staged) -> bool:
        """Each message is told once a cycle, however often its page is done. True: some failed."""
        failed = False
        with self.run.timed("hooks"):
            for one in seen:
                for plan in one.plans:
                    if plan.error or plan.new_email is None or one.error:
                        continue
                    if plan.part not in one.heard:
                        raw = staged.contents[plan.new_email.mime_sha256]
                        receipt = hooks.receipt_of_plan(plan, self.mailbox, raw)
                        one.heard[plan.part] = self.run.hooks.hear(receipt)
                    heard = one.heard[plan.part]
                    if heard.error:
                        one.error, one.error_code, failed = heard.error, hooks.CODE, True
                    else:
                        hooks.apply(plan, heard)
        return failed

    def _judge(self, seen: Sequence[Seen], staged: blobs.Staged) -> None:
        rule = self.facts.rule
        reading = Reading(
            mailbox=self.mailbox,
            organization=self.organization,
            party=reading_of(self.mailbox),
            start=start_of(self.run, self.facts),
            watermark=self.facts.watermark,
            now=self.run.clock(),
            way=self.facts.way,
            rule=linking.rule_of(rule) if rule is not None and seen else None,
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

    # -- write

    def _write(self, seen: Sequence[Seen], place: Place | None, staged: blobs.Staged) -> None:
        now = self.run.clock()
        with transaction.atomic():
            renew(self.run.token, now)
            plans = _writable(seen)
            outcomes = write_page(plans, staged, now, self.organization)
            undelivered = {email for outcome in outcomes.values() for email in outcome.undelivered}
            if answering := answering_mailboxes(plans):
                request(answering, Operation.OUTGOING, now)
            failed = self._settle(seen, outcomes, now)
            if failed:
                kept = blobs.save(staged, only=[blobs.digest(one.raw or b"") for one in failed])
                for one in failed:
                    one.row.raw_id = kept[blobs.digest(one.raw or b"")]
            self._file(seen, now)
            if place is not None:
                for row in (one.row for one in seen if one.row.state != ItemState.GONE):
                    row.left_at = now if place.is_behind else None  # see FolderFacts.beyond
            children = [child for one in seen for child in one.children]
            SyncItem.objects.bulk_create([one.row for one in seen if one.is_new] + children)
            old = [one.row for one in seen if not one.is_new]
            if old:
                SyncItem.objects.bulk_update(old, LEARNED)
            if late := _late(seen, outcomes):
                hooks.later(late, now)
                async_task("serversync.jobs.run_hooks", group="hooks")
            actions = self._actions(seen, now)
            ServerAction.objects.bulk_create(actions)
            if place is not None:
                self._save_cursor(place, now, self._last_received(seen))
        self.run.actions_written = self.run.actions_written or bool(actions)
        if undelivered:
            alarms.undelivered(undelivered, self.organization, now)

    def _settle(
        self, seen: Sequence[Seen], outcomes: dict[tuple[str, int], Outcome], now: datetime
    ) -> list[Seen]:
        """Fill the ledger rows; returns those whose raw bytes must be kept."""
        failing = []
        for one in seen:
            row = one.row
            row.decided_at = now
            self._describe(row, one)
            failed, code = _error_of(one)
            if one.gone:
                row.state, row.reason, row.next_attempt_at = ItemState.GONE, "MessageGone", None
                row.left_at = now  # if it is listed again all the same, it has come back
                row.trace = self._why(row, one)
            elif one.too_large:
                row.state, row.reason = ItemState.SKIPPED, SkipReason.TOO_LARGE.value
                row.trace = self._why(row, one)
            elif failed:
                self._fail(row, failed, code, one, now)
                if one.raw is not None:
                    failing.append(one)
            else:
                for plan in one.plans:
                    outcome = outcomes[(plan.key, plan.part)]
                    target = row if plan.part == 0 else self._child(one, plan)
                    _apply(target, outcome)
                    if target.state != ItemState.TRACKED:
                        target.trace = target.trace | {FACTS: _facts(one, plan)}
                if one.asked:
                    _note_asked(row, one.asked, now)
        return failing

    def _describe(self, row: SyncItem, one: Seen) -> None:
        message = one.message
        if message is None:
            return
        sender = message.sender
        row.message_id = message.message_id[:320]
        row.sender = (sender.address if sender else "")[:320]
        row.subject = message.subject[:800]
        row.identity = self._identity(one)

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

    def _fail(self, row: SyncItem, error: str, code: str, one: Seen, now: datetime) -> None:
        """Try again later, up to the limit; then quarantine (R3.72)."""
        # A transaction that was rolled back may have filled the row already.
        row.attempts, row.email_id = one.failures + 1, None
        row.last_error = _printable(error)[:2048]
        row.reason, row.sub_reason = code, ""
        if row.attempts < self.organization.promotion_attempts:
            row.state = ItemState.RETRYING
            minutes = self.organization.promotion_retry_minutes
            row.next_attempt_at = now + timedelta(minutes=minutes)
        else:
            row.state, row.next_attempt_at = ItemState.QUARANTINED, None
        row.trace = self._why(row, one)

    def _why(self, row: SyncItem, one: Seen) -> dict[str, Any]:
        """The decision record of an item that tracking never saw, or could not finish."""
        data = trace.to_data(self._decision(row, one))
        data |= {HANDED_IN: True} if one.handed_in else {}
        return data | {BY_HAND: one.asked} if one.asked else data

    def _decision(self, row: SyncItem, one: Seen) -> trace.Decision:
        failure = None if one.too_large else self._failure(row)
        for plan in one.plans:
            if plan.error and plan.decision is not None:  # decided, but nobody may own it (R3.29)
                return replace(plan.decision, outcome=ItemState(row.state), failure=failure)
        return trace.Decision(
            outcome=ItemState(row.state),
            reason=row.reason,
            decided_at=row.decided_at,
            mailbox=trace.Named("mailboxes.mailbox", str(self.mailbox.pk), self.mailbox.name),
            size=row.size,
            received_at=row.received_at,
            message=one.message,
            way=self.facts.way,
            skip_detail=str(row.size) if one.too_large else "",
            skip_limit=str(MAX_SIZE) if one.too_large else "",
            failure=failure,
        )

    def _failure(self, row: SyncItem) -> trace.Failure:
        return trace.Failure(
            code=row.reason,
            text=row.last_error[:500],
            attempt=row.attempts,
            attempts=self.organization.promotion_attempts,
            next_attempt_at=row.next_attempt_at,
        )

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
                one.row.trace = _with_filing(one.row.trace, rule, decision)

    def _actions(self, seen: Sequence[Seen], now: datetime) -> list[ServerAction]:
        made: list[ServerAction] = []
        theirs = [one for one in seen if not one.handed_in]
        for one in theirs:
            wanted = deeds.after(self.run, one.row, one.children, one.plans, failures=one.failures)
            made += deeds.rows(self.mailbox, one.row, wanted, now)
        tracked = {
            one.row.message_id: one.plans for one in theirs if one.row.state == ItemState.TRACKED
        }
        return made + deeds.elsewhere(self.run, tracked, now)

    def _last_received(self, seen: Sequence[Seen]) -> datetime | None:
        times = [one.row.received_at for one in seen if one.row.received_at]
        return max(times, default=None)

    def _save_cursor(self, place: Place, now: datetime, received: datetime | None = None) -> None:
        """One statement, two for a folder rule. A cursor "" (a page that is not the last of an answer)
        keeps the stored one, which then no longer equals the listing and so forces a fresh look."""
        facts, rule = self.facts, self.facts.rule
        if received and (facts.watermark is None or received > facts.watermark):
            facts.watermark = received
        values: dict[str, Any] = {"checked_at": now, "watermark": facts.watermark}
        if place.cursor:
            values["cursor"] = facts.cursor = place.cursor
            come_back(facts)
        if place.total is not None:
            values["server_total"] = place.total
        if place.onboarded:
            values["onboarded"] = facts.onboarded = True
        if rule is not None:
            values["rule_id"] = rule.pk
            self._onboarding(rule, place, now)
        key = {
            "mailbox": self.mailbox,
            "folder": facts.folder,
            "generation": self.mailbox.account_generation,
        }
        if not facts.known:
            FolderCursor.objects.create(**key, before_start=place.too_old, **values)
            facts.known = True
            return
        if facts.renewed:
            values |= {"before_start": place.too_old, "onboarded": place.onboarded}
            values |= {"cursor": place.cursor, "relinked_at": None}
            facts.renewed = False
        elif place.too_old:
            values["before_start"] = F("before_start") + place.too_old
        FolderCursor.objects.filter(**key).update(**values)

    def _onboarding(self, rule: MailboxTrackingFolder, place: Place, now: datetime) -> None:
        """How far the rule's first pass has come (R7.7)."""
        values: dict[str, Any] = {}
        if place.count:
            values["folder_onboarding_status"] = F("folder_onboarding_status") + place.count
        if rule.messages_at_start is None and place.total is not None:
            values["messages_at_start"] = rule.messages_at_start = place.total
        if place.onboarded and rule.onboarded_on is None:
            values["onboarded_on"] = rule.onboarded_on = now
        if values:
            MailboxTrackingFolder.objects.filter(pk=rule.pk).update(**values)


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
    "left_at",
]


def rows_of(seen: Sequence[Seen]) -> list[SyncItem]:
    return [row for one in seen for row in (one.row, *one.children)]


def _seen_before(item: RemoteItem, row: SyncItem) -> Seen:
    handed_in = row.folder == IMPORTED or bool(row.trace.get(HANDED_IN))
    asked = settled(asked_of(row.trace))
    seen = Seen(item, row, is_new=False, failures=row.attempts, handed_in=handed_in, asked=asked)
    if row.raw is not None:
        try:
            seen.raw = blobs.read(row.raw)
        except blobs.BytesMissing as error:
            log.error("item %s: %s", row.pk, error)  # perhaps the server has it still
    return seen


def _out_of_reach(seen: Sequence[Seen], error: ServerError) -> None:
    """Their folder can't be opened any more. Those of which the bytes are kept don't need it."""
    for one in seen:
        if one.raw is None:
            one.error, one.error_code = str(error), error.code
            one.gone = isinstance(error, FolderMissing)


def _apply(row: SyncItem, outcome: Outcome) -> None:
    row.state = outcome.state
    row.reason = outcome.reason
    row.sub_reason = outcome.sub_reason
    row.email_id = outcome.email_id
    row.raw_id = None  # of an earlier failure; a tracked one is kept with its e-mail
    row.trace = {} if outcome.state == ItemState.TRACKED else outcome.decision
    row.next_attempt_at = None
    row.last_error = ""


def _note_asked(row: SyncItem, asked: Mapping[str, Any], now: datetime) -> None:
    """Who asked for it; an email that was there already takes the record that was given."""
    if row.state != ItemState.TRACKED:
        row.trace = row.trace | {BY_HAND: dict(asked)}
    if row.state == ItemState.DUPLICATE and row.email_id is not None:
        wishes.file_stored(row.email_id, asked, now)


def _facts(one: Seen, plan: Plan) -> dict[str, Any]:
    """What is kept of a message whose bytes are not. `arrived`: what only its header tells."""
    facts = facts_of(plan.message)
    if one.item.received_at is None and (arrived := arrival_of(one.raw or b"")):
        facts["arrived"] = arrived.isoformat()
    return facts


def _with_filing(
    data: dict[str, Any], rule: MailboxTrackingFolder, decision: LinkDecision
) -> dict[str, Any]:
    """A duplicate in a tracked folder also says what became of its record."""
    return data | {"filed": {"folder": str(rule)[:200], "why": decision.because.value}}


def _missing(folder: str) -> str:
    if folder == IMPORTED:
        return "The file is no longer kept here. Import it again."
    return "The server did not hand it out."


class PageDivided(Exception):
    """Something of this page rests on an email that isn't written now. Item by item it doesn't."""


def _writable(seen: Sequence[Seen]) -> list[Plan]:
    """A forward is stored with all its originals or not yet: its ledger rows are written with them."""
    good = [one for one in seen if not _error_of(one)[0]]
    plans = [plan for one in good for plan in one.plans]
    held = {
        plan.new_email.id
        for one in seen
        if _error_of(one)[0]
        for plan in one.plans
        if plan.new_email is not None
    }
    if held and any(rests_on(plan, held) for plan in plans):
        raise PageDivided
    return plans


def _error_of(one: Seen) -> tuple[str, str]:
    """What failed and its condition; "" if nothing did."""
    plan = next((plan for plan in one.plans if plan.error), None)
    if plan is not None:
        return plan.error, plan.error_code or one.error_code or INTERNAL
    return one.error, one.error_code or INTERNAL


def _late(
    seen: Sequence[Seen], outcomes: Mapping[tuple[str, int], Outcome]
) -> list[tuple[UUID, str]]:
    """Emails that were stored, with the hooks that have to hear of them later."""
    return [
        (plan.new_email.id, name)
        for one in seen
        for plan in one.plans
        if plan.new_email is not None
        and plan.part in one.heard
        and (outcome := outcomes.get((plan.key, plan.part))) is not None
        and outcome.email_id == plan.new_email.id
        for name in one.heard[plan.part].late
    ]


def _printable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode("utf-8")
