"""A soak in its order: servers, site, clusters, first contact, traffic with all that goes wrong, rest, books."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from random import Random

from django.db import close_old_connections
from django.db.models import Sum

from mailboxes.choices import Operation
from serversync.choices import WorkloadState
from serversync.models import SyncItem, Workload
from tests.soak import books, faults, plan, world
from tests.soak.clusters import Clusters
from tests.soak.plan import PROTOCOLS, Window
from tests.soak.records import Record
from tests.soak.servers import Server, make_accounts
from tests.soak.traffic import Sight, Traffic

FIRST_CONTACT_SECONDS = 600
SETTLE_SECONDS = 240
LOOK_SECONDS = 2.0  # between two looks for new workers; memory is measured each second
AGAIN = 5.0  # where there was nobody to kill
TICK = 0.1

Boxes = Mapping[str, tuple[str, ...]]
Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Terms:
    mailboxes: int = 2_000
    minutes: float = 5.0
    rate: float = 5.0  # messages a second
    seed: int = 1
    clusters: int = 2
    calm: bool = False  # no faults, no kills


def run(
    terms: Terms, folder: Path, environment: Mapping[str, str], tell: Callable[[str], None]
) -> Record:
    boxes = plan.mailboxes(terms.mailboxes)
    seconds = terms.minutes * 60
    record = Record(terms.seed, seconds, {each: len(boxes[each]) for each in PROTOCOLS}, terms.rate)
    with ExitStack() as end:
        servers = {}
        for protocol in PROTOCOLS:
            servers[protocol] = _server(protocol, boxes[protocol], folder)
            end.callback(servers[protocol].stop)
        tell(f"{terms.mailboxes} accounts on {len(servers)} servers")
        world.fill(boxes, servers)
        tell("users, queues and their mailboxes")
        clusters = Clusters(terms.clusters, environment, folder / "clusters.log")
        end.callback(clusters.stop)
        clusters.start()
        record.first_contact_seconds = _first_contact(terms.mailboxes)
        tell(f"first contact with all: {record.first_contact_seconds:.0f} s")
        clock = Clock()
        sight = _traffic(terms, boxes, record, servers, clusters, clock, tell)
        record.settled_seconds = _settle(sight, clock, record)
        record.samples, record.workers = clusters.samples, list(clusters.workers.values())
        clusters.stop()
        tell("the workers have stopped; closing the books")
        record.books = books.close(record, servers)
        record.struck = {each: servers[each].struck_in_all() for each in PROTOCOLS}
    return record


class Clock:
    """Seconds since the traffic began."""

    def __init__(self) -> None:
        self._zero = time.monotonic()

    def __call__(self) -> float:
        return time.monotonic() - self._zero


def _server(protocol: str, addresses: tuple[str, ...], folder: Path) -> Server:
    home = folder / protocol
    make_accounts(home, protocol, addresses)
    server = Server(protocol, home, folder / f"{protocol}.log")
    server.start()
    return server


def _first_contact(mailboxes: int) -> float:
    """Until each was polled once, and is known to have no mail."""
    began = time.monotonic()
    idle = Workload.objects.filter(operation=Operation.INCOMING, idle_cycles__gt=0)
    while idle.count() < mailboxes:
        if time.monotonic() - began > FIRST_CONTACT_SECONDS:
            raise TimeoutError(f"first contact with {idle.count()} of {mailboxes} only")
        time.sleep(1)
    return time.monotonic() - began


def _cycles() -> int:
    counted = Workload.objects.filter(operation=Operation.INCOMING).aggregate(n=Sum("cycles"))
    return int(counted["n"] or 0)


# -- the traffic, and what goes wrong meanwhile


def _traffic(
    terms: Terms,
    boxes: Boxes,
    record: Record,
    servers: Mapping[str, Server],
    clusters: Clusters,
    clock: Clock,
    tell: Tell,
) -> Sight:
    traffic = Traffic(
        servers, boxes, terms.rate, record.seconds, Random(f"{terms.seed} traffic"), clock
    )
    record.deliveries = traffic.deliveries
    sight = Sight(traffic, clock)
    cycles = _cycles()
    traffic.start()
    sight.start()
    events = _Events(terms, boxes, record, servers, clusters, clock, tell)
    events.run()
    traffic.join(30)
    record.cycles_in_traffic = _cycles() - cycles
    if traffic.error:
        raise traffic.error
    return sight


class _Events:
    """All of it in the main thread, which alone may start processes."""

    def __init__(
        self,
        terms: Terms,
        boxes: Boxes,
        record: Record,
        servers: Mapping[str, Server],
        clusters: Clusters,
        clock: Clock,
        tell: Tell,
    ) -> None:
        self.record, self.servers, self.clusters = record, servers, clusters
        self.clock, self.tell = clock, tell
        self.dice = Random(f"{terms.seed} victims")
        self.agenda: list[tuple[float, Callable[[], None]]] = []
        if not terms.calm:
            for window in plan.windows(terms.seed, record.seconds, boxes):
                self.agenda.append((window.start, partial(self.begin, window)))
            for kill in plan.kills(terms.seed, record.seconds, terms.clusters):
                self.agenda.append((kill.at, partial(self.kill, kill)))

    def run(self) -> None:
        looked = measured = -LOOK_SECONDS
        while (now := self.clock()) < self.record.seconds:
            self.agenda.sort(key=lambda event: event[0])
            while self.agenda and self.agenda[0][0] <= now:
                self.agenda.pop(0)[1]()
            if now - looked >= LOOK_SECONDS:
                looked = now
                close_old_connections()
                self.clusters.look(now)
            if now - measured >= 1:
                measured = now
                self.clusters.measure(now)
            time.sleep(TICK)
        for window in [each for each in self.record.windows if each.end == float("inf")]:
            self.end(window)

    def begin(self, window: Window) -> None:
        """The window is written down as it really was: mail is judged by it."""
        began = self.clock()
        self.tell(f"{began:5.0f} s  {window.protocol}: {window.trouble}")
        faults.begin(window, self.servers[window.protocol])
        running = replace(window, start=began, end=float("inf"))
        self.record.windows.append(running)
        self.agenda.append((window.end, lambda: self.end(running)))

    def end(self, window: Window) -> None:
        faults.end(window, self.servers[window.protocol])
        place = self.record.windows.index(window)
        self.record.windows[place] = replace(window, end=self.clock())

    def kill(self, kill: plan.Kill) -> None:
        hit = self.clusters.kill(kill, self.dice)
        if not hit:  # it is just being started
            self.agenda.append((self.clock() + AGAIN, lambda: self.kill(kill)))
            return
        self.tell(f"{self.clock():5.0f} s  kill -9 {kill.victim} of cluster {kill.cluster}: {hit}")
        self.record.kills.append((replace(kill, at=self.clock()), hit))


def _settle(sight: Sight, clock: Clock, record: Record) -> float:
    """Until all that was delivered is to be seen and nobody is out of service, or too long."""
    began = clock()
    while clock() - began < SETTLE_SECONDS and not (sight.is_clear and _at_rest(record)):
        if sight.error:
            raise sight.error
        time.sleep(0.5)
    sight.stopping.set()
    sight.join(10)
    return clock() - began


def _at_rest(record: Record) -> bool:
    """Every copy of every message was seen, and no mailbox failed the last time."""
    if SyncItem.objects.count() < sum(len(each.boxes) for each in record.deliveries):
        return False
    incoming = Workload.objects.filter(
        operation=Operation.INCOMING, mailbox__email_server_profile__isnull=False
    )
    troubled = incoming.exclude(enabled=True, state=WorkloadState.READY, last_error_code="")
    return not troubled.exists()
