"""One incoming cycle of one mailbox: read, decide, write, tell.

    failed items again ──> sent items ──> inbox ──> tracked folders ──> what people marked
                             │
                             └─ per folder:
    list ──> unknown items ──> page ──> fetch + parse ──> plan ──> one transaction ──> server actions
      │            │                                        │            │
      cursor     ledger keys,                            tracking:    lease, e-mails, ledger rows,
                 old friends (listing)                   promote      actions, cursor: all or nothing (pages)

Fresh mail goes first; what lay in a folder before its rule was made is gone through in what is left of
the cycle (R7.7). Called by the engine with a claimed lease; it alone catches what escapes here.
"""

import logging
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from mailboxes.choices import ServerType
from mailboxes.connect import incoming_server
from mailboxes.protocols.base import IncomingServer
from mailboxes.protocols.errors import AccessDenied, FolderMissing
from serversync import layout, linking, listing, marks
from serversync.actions import act
from serversync.choices import IMPORTED, ItemState
from serversync.context import Context, FolderFacts, start_of
from serversync.cycle import Clock, CycleResult, Run
from serversync.models import FolderCursor, SyncItem
from serversync.pages import PageWriter
from serversync.paging import Place, pages_of, within
from tracking.choices import FolderState, Way
from tracking.folders import kind_fault
from tracking.models import MailboxTrackingFolder

log = logging.getLogger(__name__)

ONBOARDED_PER_CYCLE = 100  # messages of folders whose rules are new; fresh mail has no such limit
TREE_EVERY = timedelta(hours=1)  # how soon a folder that was moved or renamed is noticed

Connect = Callable[..., IncomingServer]


def receive(
    context: Context,
    token: UUID,
    *,
    clock: Clock = timezone.now,
    connect: Connect = incoming_server,
) -> CycleResult:
    """Run one cycle. Raises ServerError (the server), LeaseLost (somebody else has the mailbox)."""
    return IncomingCycle(context, token, clock, connect).run()


def cursors_to_glance_at(context: Context, now: datetime) -> dict[str, str] | None:
    """The folders that a cycle would read, and their cursors, if it would do nothing else: then it may be
    left out as long as nothing is new in them. None: only a cycle will do."""
    folders = list(folders_of(context))
    waits = (
        context.retries_due
        or context.actions_due
        or marks.is_due(context, now)
        or tree_is_due(context, now)
        or any(linking.relink_due(facts, now) for facts in folders)
    )
    if waits or not all(facts.onboarded and facts.cursor for facts in folders):
        return None
    return {facts.folder: facts.cursor for facts in folders}


def folders_of(context: Context) -> Iterator[FolderFacts]:
    """Sent items where they are tracked (R3.60), for the inbox may hold the answers; the inbox; then
    the folders with a rule: those that have been gone through before those that are new."""
    organization = context.organization
    profile = context.mailbox.email_server_profile
    assert profile is not None  # eligibility checked it
    if (
        organization.effective("auto_track_sent_folder_items")
        and profile.kind != ServerType.POP3_SMTP
    ):
        yield context.sent
    yield context.inbox
    if kind_fault(context.mailbox, profile.server_type, organization) is None:
        yield from sorted(context.tracked, key=lambda facts: not facts.onboarded)


def tree_is_due(context: Context, now: datetime) -> bool:
    if not context.has_rules:
        return False
    seen = context.layout and context.layout.hierarchy_read_at
    return not seen or seen + TREE_EVERY <= now


class IncomingCycle:
    """The state of one cycle; `run` is the story."""

    def __init__(self, context: Context, token: UUID, clock: Clock, connect: Connect) -> None:
        self.context = context
        self.connect = connect
        self.state = Run(
            context,
            token,
            clock,
            left=context.organization.messages_per_cycle,
            actions_written=context.actions_due,
        )

    def run(self) -> CycleResult:
        state, context = self.state, self.context
        server = self.connect(context.mailbox, context.organization)
        try:
            with state.timed("open"):
                server.open()
            if context.retries_due:
                self._retry(server)
            for facts in folders_of(context):
                self._read(server, facts)
            if state.marks_changed or marks.is_due(context, state.clock()):
                marks.check(state, server)
            if tree_is_due(context, state.clock()):
                self._read_tree(server)
            if state.actions_written:
                with state.timed("act"):
                    state.result.more |= act(server, context, state.clock())
        finally:
            server.close()
        return state.result

    # -- what to read

    def _read_tree(self, server: IncomingServer) -> None:
        """Only rules need it; a server that refuses it has given the mail (R7.5)."""
        try:
            layout.read_folders(server, self.context.mailbox, self.state.clock())
        except marks.OFF as error:
            log.warning("mailbox %s: folders not read: %s", self.context.mailbox.pk, error)

    def _read(self, server: IncomingServer, facts: FolderFacts) -> None:
        if facts.way == Way.INBOX:
            self._read_folder(server, facts, self.state.left)
            return
        try:
            if facts.way == Way.SENT:
                # Years of sent mail must not keep what comes in waiting.
                self._read_folder(server, facts, -(-self.state.left // 2))
            elif facts.onboarded:
                self._read_folder(server, facts, self.state.left)
            else:
                self._onboard(server, facts)
            if linking.relink_due(facts, self.state.clock()):
                linking.relink(self.state, facts)
        except (AccessDenied, FolderMissing) as error:
            # One folder that is gone or closed stops its rule, not the mailbox (R7.5, R7.11). An
            # account without sent items has none to track.
            if facts.rule is not None:
                log.warning("mailbox %s: %s is off: %s", self.context.mailbox.pk, facts.rule, error)
                self._switch_off(facts.rule, is_gone=isinstance(error, FolderMissing))

    def _switch_off(self, rule: MailboxTrackingFolder, *, is_gone: bool) -> None:
        state = FolderState.MISSING if is_gone else FolderState.DENIED
        with transaction.atomic():
            MailboxTrackingFolder.objects.filter(pk=rule.pk).update(state=state)
            if is_gone:
                listing.forget_folder(
                    self.context.mailbox, rule.exchange_folder_id, self.state.clock()
                )

    def _onboard(self, server: IncomingServer, facts: FolderFacts) -> None:
        """What was there before the rule, in pages, after everything that is fresh (R7.7)."""
        limit = min(ONBOARDED_PER_CYCLE, self.state.left)
        more, self.state.result.more = self.state.result.more, False
        self._read_folder(server, facts, limit)
        self.state.result.soon |= self.state.result.more
        self.state.result.more = more

    # -- one folder

    def _read_folder(self, server: IncomingServer, facts: FolderFacts, limit: int) -> None:
        """All that is new in a folder, at most `limit` messages of it."""
        state, writer = self.state, PageWriter(self.state, server, facts)
        cursor = facts.cursor
        while True:
            with state.timed("list"):
                listed = server.list_new(facts.folder, cursor, listing.LISTING)
            if listed.unchanged:
                return
            if listed.reset:
                self._start_over(facts)
            if (listed.reset or not cursor) and not listed.complete:
                listing.forget_presence(state, facts.folder)
            items = listing.unknown(state, server, facts, listed)
            listing.note_departures(state, facts.folder, listed)
            state.marks_changed |= marks.noticed(state, facts.folder, listed)
            start = None if facts.onboarded else start_of(state.mailbox, facts)
            per_page = self.context.organization.messages_per_page
            taken = within(items, limit, start)
            cut = len(taken) < len(items)
            pages = list(pages_of(taken, per_page, start))
            spent = sum(len(page.items) for page in pages)
            limit -= spent
            state.left -= spent
            too_old = 0
            for number, page in enumerate(pages, start=1):
                last = number == len(pages) and not cut
                after = listed.cursor if last else page.cursor
                too_old += page.too_old
                place = Place(
                    cursor=after,
                    total=listed.total,
                    # Counted where the cursor passes them: else they are listed once more.
                    too_old=too_old if after else 0,
                    onboarded=last and not listed.more,
                    count=0 if facts.onboarded else len(page.items),
                    complete=listed.complete,
                )
                too_old = 0 if after else too_old
                if page.items:
                    writer.handle(page.items, place)
                else:
                    writer.move_cursor(place)
            if not pages and not cut:
                writer.move_cursor(Place(listed.cursor, listed.total, 0, not listed.more))
            if cut or (listed.more and limit <= 0):
                state.result.more = True
                return
            if not listed.more:
                return
            cursor = listed.cursor

    def _start_over(self, facts: FolderFacts) -> None:
        """The server renumbered its messages: read from the beginning, recognising old friends."""
        facts.onboarded = False
        if facts.known:
            FolderCursor.objects.filter(
                mailbox=self.context.mailbox,
                folder=facts.folder,
                generation=self.context.mailbox.account_generation,
            ).update(resets=F("resets") + 1, onboarded=False, before_start=0)

    # -- retries

    def _retry(self, server: IncomingServer) -> None:
        """Give failed items another try (R3.72), and judge what was imported by hand, in the order in
        which it came, so that an answer finds what it answers. What is kept needs no server, so it is
        judged even if it lies in another account than the mailbox means now."""
        now: datetime = self.state.clock()
        limit: int = self.context.organization.messages_per_page
        listing.leave_former_account(self.state)
        here = Q(generation=self.context.mailbox.account_generation)
        rows = list(
            SyncItem.objects.filter(
                here | Q(folder=IMPORTED) | Q(raw__isnull=False),
                mailbox=self.context.mailbox,
                state=ItemState.RETRYING,
                next_attempt_at__lte=now,
                parent__isnull=True,
            )
            .select_related("raw")
            .order_by("next_attempt_at", F("received_at").asc(nulls_last=True), "pk")[:limit]
        )
        self.state.result.more |= len(rows) == limit
        by_place: dict[tuple[str, Way, bool, int], list[SyncItem]] = {}
        for row in rows:
            # Accounts may use the same keys, so they don't share a page.
            way, account = Way(row.trace.get("way", Way.INBOX)), row.generation
            by_place.setdefault((row.folder, way, bool(row.marked), account), []).append(row)
        for (folder, way, is_marked, _account), part in by_place.items():
            facts = self._facts_of(folder, way, is_marked)
            PageWriter(self.state, server, facts).again(part)

    def _facts_of(self, folder: str, way: Way, is_marked: bool) -> FolderFacts:
        """As what a failed item is judged again: as it was at first, for as long as its rule works, or
        by the category, if somebody has given it meanwhile."""
        if way == Way.FOLDER:
            for facts in self.context.tracked:
                if facts.folder == folder:
                    return facts
            way = Way.INBOX
        if is_marked and way != Way.MANUAL:
            way = Way.CATEGORY
        for facts in (self.context.inbox, self.context.sent):
            if (facts.folder, facts.way) == (folder, way):
                return facts
        return FolderFacts(folder, way, known=True)
