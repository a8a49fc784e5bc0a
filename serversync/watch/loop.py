"""The process that listens: one thread for all connections, a few more for what has to wait for a server.

    main thread                                     threads
    take mailboxes ────────────────────────────────> open
    wait for any of the connections <─────────────── opened, or failed
      └── hear ──> bursts ──> workloads are due
    some minutes before a server hangs up ─────────> renew

Nothing here waits for a server in the main thread, and no transaction is open while a thread does. A database that
is away stops nobody from listening: what was heard is passed on when it is back.
"""

import logging
import os
import queue
import selectors
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import FrameType
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError, close_old_connections, connections
from django.utils import timezone

from mailboxes.protocols.errors import ServerError
from mailboxes.protocols.watching import PushServer, PushUnavailable
from serversync.watch import rows
from serversync.watch.choice import Bursts, Setback
from serversync.watch.opening import opened
from serversync.watch.rows import News, operation_of

log = logging.getLogger(__name__)

SPACING_SECONDS = 1.5  # news of one workload within it are one run
AT_ONCE = 4  # mailboxes on their way for each thread that opens them


@dataclass(frozen=True, slots=True)
class Terms:
    """`most`: mailboxes of this process; `openers`: threads that open connections, and as many that renew
    them; in seconds: `look`, between two looks at the
    rows; `lease`, after which a process that shows no sign of life is gone."""

    most: int = 2_000
    openers: int = 8
    look: float = 5.0
    lease: float = 30.0


@dataclass(slots=True)
class Held:
    """A mailbox that this process has taken. `server` None: not open so far; `busy`: a thread has it."""

    mailbox_id: UUID
    server: PushServer | None = None
    busy: bool = True
    fd: int = -1
    since: float = 0.0


@dataclass(slots=True)
class Done:
    """What a thread has done with a mailbox. `began`: when it began to open it."""

    held: Held
    began: datetime | None = None
    server: PushServer | None = None
    folders: frozenset[str] = frozenset()
    setback: Setback | None = None


@dataclass(slots=True)
class Tidings:
    """What is still to be written."""

    connected: dict[UUID, datetime] = field(default_factory=dict)
    failed: dict[UUID, Setback] = field(default_factory=dict)


class Loop:
    """`run` returns when it is told to stop. `alive` is called again and again while all is well."""

    def __init__(
        self, terms: Terms | None = None, alive: Callable[[], None] = lambda: None
    ) -> None:
        self.terms = terms or Terms()
        self.held: dict[UUID, Held] = {}
        self.bursts: Bursts[News] = Bursts(SPACING_SECONDS)
        self.stopping = False
        self._alive = alive
        self._process: UUID | None = None
        self._look_at = 0.0
        self._tidings = Tidings()
        self._to_open: queue.SimpleQueue[Held] = queue.SimpleQueue()
        self._to_renew: queue.SimpleQueue[Held] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Done] = queue.SimpleQueue()
        self._woken, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._woken, False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._woken, selectors.EVENT_READ)

    def run(self) -> None:
        # Apart, so that a server that is away, for which many wait, costs others no connection.
        for work in [self._to_open, self._to_renew] * self.terms.openers:
            threading.Thread(target=self._serve, args=[work], name="opener", daemon=True).start()
        try:
            while not self.stopping:
                self.turn()
        finally:
            self._leave()

    def stop(self, *_: int | FrameType | None) -> None:
        """From a signal, or from another thread."""
        self.stopping = True
        self._rouse()

    # -- one turn ----------------------------------------------------------------------------------

    def turn(self) -> None:
        """Wait until something happens, or is to be done, and do it."""
        for key, _ in self._selector.select(self._patience()):
            if key.fd == self._woken:
                with suppress(BlockingIOError):
                    os.read(self._woken, 4096)
            elif (held := self.held.get(key.data)) is not None:
                self._hear(held)
        self._settle()
        self._renew()
        self._write()
        if time.monotonic() >= self._look_at:
            self._look()
        self._alive()

    def _patience(self) -> float:
        now = time.monotonic()
        soonest = self.bursts.next_at()
        until = min(self._look_at, now + 1.0, self._look_at if soonest is None else soonest)
        return max(0.0, until - now)

    def _hear(self, held: Held) -> None:
        assert held.server is not None
        with self._bearing(held):
            self._note(held, held.server.hear())

    def _note(self, held: Held, folders: frozenset[str]) -> None:
        news = {News(held.mailbox_id, operation_of(folder)) for folder in folders}
        self.bursts.note(news, time.monotonic())

    @contextmanager
    def _bearing(self, held: Held) -> Iterator[None]:
        """Whatever goes wrong with one connection concerns its mailbox only."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self._drop(held)
            self._tidings.failed[held.mailbox_id] = setback_of(error, held)

    # -- what threads have done ----------------------------------------------------------------------

    def _settle(self) -> None:
        while True:
            try:
                done = self._done.get_nowait()
            except queue.Empty:
                return
            self._settle_one(done)

    def _settle_one(self, done: Done) -> None:
        held = done.held
        held.busy = False
        if self.held.get(held.mailbox_id) is not held:  # left meanwhile
            if (server := done.server or held.server) is not None:
                server.close()
        elif done.setback is not None:
            self._drop(held)
            self._tidings.failed[held.mailbox_id] = done.setback
        else:
            self._listen(held, done)

    def _listen(self, held: Held, done: Done) -> None:
        if done.server is not None:  # opened, and not only renewed
            held.server, held.since = done.server, time.monotonic()
            # Its settings were read after that: what was changed since isn't among them.
            self._tidings.connected[held.mailbox_id] = done.began or timezone.now()
        with self._bearing(held):
            assert held.server is not None
            self._note(held, done.folders | held.server.hear())
            held.fd = held.server.fileno()
            self._selector.register(held.fd, selectors.EVENT_READ, held.mailbox_id)

    def _renew(self) -> None:
        now = time.monotonic()
        for held in self.held.values():
            if not held.busy and held.server is not None and held.server.renew_at <= now:
                self._silence(held)
                held.busy = True
                self._to_renew.put(held)

    # -- the rows ------------------------------------------------------------------------------------

    def _write(self) -> None:
        """What was heard first, for somebody waits for it."""
        now = time.monotonic()
        due = self.bursts.due(now)
        tidings = self._tidings
        if not (due or tidings.connected or tidings.failed):
            return
        with self._database():
            if due:
                rows.pass_on(due)
                self.bursts.told(due, now)
            if self._process is not None and (tidings.connected or tidings.failed):
                rows.connected(self._process, tidings.connected)
                rows.failed(self._process, tidings.failed, timezone.now())
                self._tidings = Tidings()

    def _look(self) -> None:
        """Show up, leave what is not to be listened to any more, take more."""
        self._look_at = time.monotonic() + self.terms.look
        with self._database():
            now = timezone.now()
            if self._process is None:
                self._process = rows.register(now)
            if rows.show_up(self._process, now, timedelta(seconds=self.terms.lease)):
                log.warning("Processes that listened are gone; others take their mailboxes")
            if left := rows.to_leave(self._process):
                rows.give_back(self._process, left)
                for held in [self.held[each] for each in left if each in self.held]:
                    self._drop(held)
            self._take()

    def _take(self) -> None:
        assert self._process is not None
        on_their_way = sum(held.server is None for held in self.held.values())
        room = min(self.terms.most - len(self.held), AT_ONCE * self.terms.openers - on_their_way)
        if room <= 0:
            return
        taken = rows.take(self._process, room, timezone.now())
        for mailbox_id in taken:
            held = self.held[mailbox_id] = Held(mailbox_id)
            self._to_open.put(held)
        if len(taken) == room:  # there may be more
            self._look_at = min(self._look_at, time.monotonic() + 0.2)

    @contextmanager
    def _database(self) -> Iterator[None]:
        """A connection for so long and no longer: it may have been closed since, and the database restarted."""
        close_old_connections()
        try:
            yield
        except rows.Superseded:
            log.warning("This process was taken for dead; it begins anew")
            self._forget()
        except (DatabaseError, InterfaceError):
            log.warning("The database can't be used now", exc_info=True)
            connections.close_all()
            time.sleep(0.5)
        else:
            connections.close_all()

    def _forget(self) -> None:
        self._process = None
        self._tidings = Tidings()
        for held in list(self.held.values()):
            self._drop(held)

    # -- leaving -------------------------------------------------------------------------------------

    def _silence(self, held: Held) -> None:
        if held.fd >= 0:
            with suppress(KeyError):
                self._selector.unregister(held.fd)
            held.fd = -1

    def _drop(self, held: Held) -> None:
        self._silence(held)
        self.held.pop(held.mailbox_id, None)
        if held.server is not None and not held.busy:
            held.server.close()

    def _leave(self) -> None:
        process, self._process = self._process, None
        self._forget()
        if process is not None:
            with self._database():
                rows.leave(process)
        self._selector.close()

    def _rouse(self) -> None:
        with suppress(BlockingIOError):
            os.write(self._wake, b"!")

    # -- in the threads --------------------------------------------------------------------------------

    def _serve(self, work: "queue.SimpleQueue[Held]") -> None:
        while True:
            self._done.put(self._open_or_renew(work.get()))
            self._rouse()

    def _open_or_renew(self, held: Held) -> Done:
        """Never raises."""
        try:
            if held.server is not None:
                return Done(held, folders=held.server.renew())
            close_old_connections()
            began = timezone.now()
            server = opened(held.mailbox_id)
            return Done(held, began, server, frozenset(server.folders))
        except Exception as error:  # noqa: BLE001
            return Done(held, setback=setback_of(error, held))
        finally:
            connections.close_all()


def setback_of(error: Exception, held: Held) -> Setback:
    lasted = time.monotonic() - held.since if held.server is not None else 0.0
    if isinstance(error, (DatabaseError, InterfaceError, ObjectDoesNotExist)):
        return Setback("Internal", type(error).__name__, lasted=lasted)
    if not isinstance(error, ServerError):
        log.error("Listening to mailbox %s failed", held.mailbox_id, exc_info=error)
        return Setback("Internal", type(error).__name__, lasted=lasted)
    return Setback(
        error.code,
        error.detail,
        permanent=error.permanent,
        unavailable=isinstance(error, PushUnavailable),
        hint=error.hint_seconds,
        lasted=lasted,
    )


def stop_on_signals(loop: Loop) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, loop.stop)
