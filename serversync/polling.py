"""What one job does: a page of due workloads, idle mailboxes many at once, the others one by one.

    claim ─┬─ no mail expected ─> rows of all at once ─> a glance each, in threads ─┬─ unchanged ─> finished together
           │                              └─ more to do than look ──┐              ├─ failed ────> as a cycle that failed
           └─ the others ───────────────────────────────────────────┴─> cycles <───┴─ something new, over the same line
                                                                        small first

A server that doesn't answer holds its own mailboxes and nobody else's: while its threads wait, what the
others found is stored, and more is claimed. Everything that is looked at is claimed, so that the caps of
accounts and profiles hold for threads as for cycles.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from time import monotonic

from django.conf import settings
from django.db.models import DateTimeField, F, PositiveIntegerField
from django.utils import timezone

from mailboxes.connect import incoming_server
from mailboxes.glancing import Detached, NeedsMore
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import IncomingServer
from mailboxes.protocols.errors import AccessDenied, FolderMissing, ServerError, SocketTimedOut
from serversync.context import Context, load_all
from serversync.cycle import Clock, CycleResult
from serversync.glances import Look, Looking
from serversync.leases import (
    Claim,
    by_workload,
    claim,
    finish_all,
    give_back,
    this_worker,
)
from serversync.receive import cursors_to_glance_at
from serversync.runs import Report, Run, run_claim, went_well
from serversync.supervisor import is_stopping
from serversync.verbose import is_on
from serversync.waking import PAGE, enqueue_work

WORK_SECONDS = 45  # then the job ends and another one goes on, so that others have their turn
FRESH_SECONDS = 30  # what was claimed longer ago and not begun is given back to other workers
PATIENCE = 1.0  # how long the found waits for more to be stored with
#: A glance that takes longer has failed. With what a job works it is less than the job's own limit, and
#: than a lease lasts.
GLANCE_SECONDS = 150

KEPT = 2 * PAGE  # cycles that wait for each other in one worker


@dataclass(slots=True)
class Tally:
    """What one job did."""

    runs: int = 0
    failed: int = 0
    items: int = 0
    more: bool = False
    reports: list[Report] = field(default_factory=list)

    def count(self, report: Report) -> None:
        self.runs += 1
        self.failed += not report.ok
        self.items += sum(report.result.by_state.values()) if report.result else 0
        self.reports.append(report)

    def summary(self) -> str:
        return f"{self.runs} runs, {self.failed} failed, {self.items} items"


@dataclass(slots=True, eq=False)
class _Glanced:
    """What a look is about."""

    run: Run
    detached: Detached

    def connect(self, mailbox: Mailbox, organization: Organization) -> IncomingServer:
        """The line of the look, unless the mailbox means another account or server by now."""
        if _account_of(mailbox) == _account_of(self.run.mailbox):
            return self.detached.attach()
        return incoming_server(mailbox, organization)


def _account_of(mailbox: Mailbox) -> tuple[object, ...]:
    profile = mailbox.email_server_profile
    return (mailbox.account_generation, profile and (profile.pk, profile.modified_on))


@dataclass(slots=True, eq=False)
class _Waiting:
    """A claim whose cycle is to be run. `size`: about how much it will have to do; `found`: the glance that
    saw something new, and has the line open."""

    claim: Claim
    size: int
    found: _Glanced | None = None
    since: float = field(default_factory=monotonic)

    @property
    def turn(self) -> tuple[bool, int]:
        """What a person asked for goes first, then fresh mail, then backlogs (R9.8)."""
        return (not self.claim.requested, self.size)

    @property
    def is_fresh(self) -> bool:
        return monotonic() - self.since <= FRESH_SECONDS

    def close(self) -> None:
        if self.found is not None:
            self.found.detached.server.close()


def work(
    clock: Clock = timezone.now,
    *,
    holder: str | None = None,
    seconds: float = WORK_SECONDS,
    stopping: Callable[[], bool] = is_stopping,
    threads: int | None = None,
    detach: Callable[[Mailbox, Organization], Detached] = Detached,
) -> Tally:
    """Claim and run until nothing is due, the time is over or the cluster stops."""
    looking = Looking(settings.POLL_THREADS if threads is None else threads)
    return _Job(
        clock, holder or this_worker(), monotonic() + seconds, stopping, looking, detach
    ).run()


@dataclass(slots=True, eq=False)
class _Job:
    """`run` is the story. The database is this thread's alone."""

    clock: Clock
    holder: str
    end: float
    stopping: Callable[[], bool]
    looking: Looking
    detach: Callable[[Mailbox, Organization], Detached]
    tally: Tally = field(default_factory=Tally)
    waiting: list[_Waiting] = field(default_factory=list)
    unchanged: list[Run] = field(default_factory=list)
    organization: Organization = field(default_factory=Organization.objects.current)

    def run(self) -> Tally:
        try:
            while self._has_time() and self._claim():
                self._harvest()
                self._run_cycles()
            while self.looking.pending and not self.stopping():
                self._harvest()
                self._fail_overdue()
                if self._has_time():
                    self._run_cycles()
        finally:
            self._leave()
        return self.tally

    def _has_time(self) -> bool:
        self.tally.more = monotonic() >= self.end
        return not self.tally.more and not self.stopping()

    # -- claim

    def _claim(self) -> bool:
        """A page more, and what can be glanced at is; False: nothing is due."""
        self.organization = Organization.objects.current()  # it may be changed while we work
        room = self.looking.room
        claims = claim(
            self.clock(),
            PAGE,
            self.holder,
            organization=self.organization,
            workers=int(settings.Q_CLUSTER["workers"]),
            idle=room,
        )
        self.waiting += [_Waiting(each, each.processed) for each in claims]
        if room:
            self._begin_looks()
        return bool(claims)

    def _begin_looks(self) -> None:
        """For those of whom no mail is expected, and whose cycle would do nothing else."""
        idle = [each for each in self.waiting if each.claim.idle and each.found is None]
        keys = [each.claim.workload_id for each in idle]
        contexts = load_all(keys, self.clock(), self.organization)
        for each in idle:
            look = self._look(each.claim, contexts.get(each.claim.workload_id))
            if look is not None:
                self.looking.begin(look)
                self.waiting.remove(each)

    def _look(self, claim: Claim, context: Context | None) -> Look | None:
        """None: only a cycle will do, and says why if something is wrong."""
        if context is None or is_on(context.mailbox, self.clock()):  # a glance isn't recorded
            return None
        run = Run(claim, context, monotonic(), self.clock)
        cursors = cursors_to_glance_at(context, self.clock()) if run.verdict().ok else None
        if cursors is None:
            return None
        try:
            detached = self.detach(context.mailbox, self.organization)
        except ServerError:
            return None
        return Look(_Glanced(run, detached), detached.server, cursors)

    # -- what was seen

    def _harvest(self, patience: float | None = None) -> None:
        """Take what is done, until all are or nothing more comes for a while, and store it."""
        patience = PATIENCE if patience is None else patience
        while (look := self.looking.next(patience)) is not None:
            self._take(look)
        self._store_unchanged()

    def _take(self, look: Look) -> None:
        glanced: _Glanced = look.about
        run = glanced.run
        run.took_ms = look.milliseconds
        if isinstance(look.error, (NeedsMore, AccessDenied, FolderMissing)):
            self.waiting.append(_Waiting(run.claim, run.claim.processed))
        elif look.error is not None:
            self.tally.count(run.stumble(look.error))
        elif look.glance is None or not look.glance.unchanged:
            new = look.glance.new if look.glance else None
            size = run.claim.processed if new is None else new
            self.waiting.append(_Waiting(run.claim, size, glanced))
        elif run.had_errors:
            self.tally.count(run.succeed(CycleResult()))
        else:
            self.unchanged.append(run)

    def _store_unchanged(self) -> None:
        """One statement, however many they are."""
        runs, self.unchanged = self.unchanged, []
        if not runs:
            return
        now = self.clock()
        gaps = {run.claim.workload_id: run.gap_after(CycleResult()) for run in runs}
        next_runs = {key: now + timedelta(seconds=gap) for key, gap in gaps.items()}
        took = {run.claim.workload_id: run.took_ms or 0 for run in runs}
        stored = finish_all(
            [run.claim for run in runs],
            by_workload(next_runs, DateTimeField()),
            now,
            **went_well(now),
            gap_seconds=by_workload(gaps, PositiveIntegerField()),
            last_duration_ms=by_workload(took, PositiveIntegerField()),
            idle_cycles=F("idle_cycles") + 1,
            last_items_processed=0,
            last_items_failed=0,
        )
        for run in runs:
            result = CycleResult()
            self.tally.count(run.report(True, result.summary(), result=result))
        self.tally.failed += len(runs) - stored  # their leases were lost

    def _fail_overdue(self) -> None:
        for look in self.looking.overdue(GLANCE_SECONDS):
            run = look.about.run
            run.took_ms = look.milliseconds
            error = SocketTimedOut(f"the server took more than {GLANCE_SECONDS} seconds in all")
            self.tally.count(run.stumble(error))

    # -- cycles

    def _run_cycles(self) -> None:
        """One after another; meanwhile what else was seen is stored."""
        self._share()
        done = False
        while self.waiting:
            each = self.waiting[0]
            if done and (self.stopping() or not each.is_fresh):
                self._give_back(self.waiting)
                self.waiting = []
                break
            del self.waiting[0]
            done = True
            self._run_cycle(each)
            self._harvest(0)
            self.waiting.sort(key=lambda one: one.turn)

    def _run_cycle(self, each: _Waiting) -> None:
        found = each.found
        try:
            report = run_claim(
                each.claim,
                clock=self.clock,
                organization=self.organization,
                connect=found.connect if found else None,
            )
            self.tally.count(report)
        finally:
            each.close()

    def _share(self) -> None:
        """If a page found much that is new, other workers may have some of it."""
        self.waiting.sort(key=lambda each: each.turn)
        self.waiting, others = self.waiting[:KEPT], self.waiting[KEPT:]
        if others:
            self._give_back(others)
            enqueue_work(1)

    # -- leave

    def _give_back(self, waiting: Sequence[_Waiting]) -> None:
        """Who is known to have mail is not glanced at again."""
        for each in waiting:
            each.close()
        found = [each.claim for each in waiting if each.found]
        give_back(found, self.clock(), idle_cycles=0)
        give_back([each.claim for each in waiting if not each.found], self.clock())

    def _leave(self) -> None:
        self._give_back(self.waiting)
        looks = list(self.looking.pending)
        for look in looks:
            self.looking.give_up(look)
        left = [look.about.run for look in looks] + self.unchanged
        give_back([run.claim for run in left], self.clock())
