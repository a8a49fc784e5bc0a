"""The clusters of workers: started, killed, measured. Only what they started is ever killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from serversync.models import Workload
from tests.soak.plan import Kill, Victim
from tests.soak.processes import below, megabytes, start, stop
from tests.soak.records import Sample, Worker

HERE = Path(__file__).resolve().parent.parent.parent


@dataclass
class Clusters:
    """`now`: seconds since the traffic began, negative before."""

    number: int
    environment: Mapping[str, str]
    log: Path
    samples: list[Sample] = field(default_factory=list)
    workers: dict[int, Worker] = field(default_factory=dict)
    _supervisors: "list[subprocess.Popen[bytes]]" = field(default_factory=list)

    def start(self) -> None:
        self._supervisors = [self._start_one() for _each in range(self.number)]

    def _start_one(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, str(HERE / "manage.py"), "cluster"]
        return start(command, self.log, self.environment)

    def stop(self) -> None:
        stop(self._supervisors)
        self._supervisors = []

    # -- who works

    def look(self, now: float) -> None:
        """Whoever holds or held a lease, and lives below one of our supervisors, is a worker."""
        holders = Workload.objects.values_list("lease_holder", flat=True).distinct()
        pids = {int(each.rpartition(":")[2]) for each in holders if each}
        alive = {
            process.pid: cluster
            for cluster, supervisor in enumerate(self._supervisors)
            for process in below(supervisor.pid)
        }
        for pid in pids & alive.keys() - self.workers.keys():
            self.workers[pid] = Worker(pid, alive[pid], now, None)

    def measure(self, now: float) -> None:
        """Of those known; who is gone is noted once."""
        for pid, worker in self.workers.items():
            if worker.until is not None:
                continue
            size = megabytes(pid)
            if size is None:
                self.workers[pid] = Worker(pid, worker.cluster, worker.since, now)
            else:
                self.samples.append(Sample(now, pid, size))

    # -- kills

    def kill(self, kill: Kill, dice: Random) -> int:
        """SIGKILL; returns whom it hit, 0 for nobody. A supervisor is started again by us, as a service manager
        does; all others by those above them."""
        supervisor = self._supervisors[kill.cluster]
        if kill.victim is Victim.SUPERVISOR:
            supervisor.kill()
            supervisor.wait()
            self._supervisors[kill.cluster] = self._start_one()
            return supervisor.pid
        family = below(supervisor.pid)
        if kill.victim is Victim.SENTINEL:
            victims = [process.pid for process in family[1:2]]
        else:
            victims = [each.pid for each in family if each.pid in self.workers]
        if not victims:
            return 0
        victim = dice.choice(victims)
        os.kill(victim, signal.SIGKILL)
        return victim
