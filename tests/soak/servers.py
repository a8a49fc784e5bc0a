"""The mail servers, each in a process of its own, so that one can be down: python -m tests.soak.servers FOLDER

A server keeps its mail and its ports in a folder. What its process is told and tells goes over the sandbox's
control port.
"""

import json
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import randrange
from typing import Any

from serversync.sandbox.control import Switchboard, ask
from serversync.sandbox.faults import Fault
from serversync.sandbox.servers import (
    AUTHORITY,
    HOST,
    PORTS_NOTE,
    SERVICES,
    WEB_SERVICES,
    Sandbox,
)
from tests.soak.processes import start, stop

DOMAIN = "soak.example"
PASSWORD = "quite a secret"
LOWEST_PORT = 12_000


def serve(folder: Path) -> None:
    """Until SIGTERM. The first line that is written says where it listens."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    sandbox = Sandbox(folder, local_domains=(DOMAIN,))
    # Passwords in NTLM would be tried against a list of all users in each leg; no server has to do that.
    sandbox.exchange.gate.methods = replace(sandbox.exchange.gate.methods, ntlm=False)
    try:
        sandbox.start()
        with Switchboard(sandbox) as switchboard:
            told = {"ports": sandbox.ports, "control": switchboard.port, "ca": sandbox.ca_pem}
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()
            while not stopping.wait(10):
                sandbox.exchange.requests.clear()  # which are for tests that count them
    finally:
        sandbox.stop()


def make_accounts(folder: Path, protocol: str, addresses: Iterable[str]) -> None:
    """Before the server starts."""
    sandbox = Sandbox(folder, local_domains=(DOMAIN,))
    try:
        names = (*SERVICES, AUTHORITY, *WEB_SERVICES)
        sandbox.store.set_note(
            PORTS_NOTE, json.dumps(dict(zip(names, lasting_ports(), strict=False)))
        )
        if protocol == "ews":
            for address in addresses:
                sandbox.exchange.add_account(address, PASSWORD)
        else:
            with sandbox.store.batch():
                for address in addresses:
                    sandbox.store.add_account(address, PASSWORD)
    finally:
        sandbox.stop()


def lasting_ports() -> Iterator[int]:
    """Free ones that the kernel gives to nobody by itself: while a server is down, no client's end of a line may
    take its place."""
    first = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = randrange(LOWEST_PORT, first)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            yield port


@dataclass
class Server:
    protocol: str
    folder: Path
    log: Path
    ports: dict[str, int] = field(default_factory=dict)
    ca_pem: str = ""
    struck: int = 0
    _process: "subprocess.Popen[bytes] | None" = None
    _control: int = 0

    @property
    def is_up(self) -> bool:
        return self._process is not None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.soak.servers", str(self.folder)]
        self._process = start(command, self.log, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        told = json.loads(self._process.stdout.readline() or "{}")
        if not told:
            raise RuntimeError(f"The {self.protocol} server did not start: see {self.log}")
        if self.ports and told["ports"] != self.ports:
            raise RuntimeError(f"The {self.protocol} server lost its ports")
        self.ports, self.ca_pem, self._control = told["ports"], told["ca"], told["control"]

    def stop(self) -> None:
        """Its lines are cut, and nobody answers any more."""
        if self._process is None:
            return
        with suppress(OSError):  # it may have ended by itself
            self.struck += self._struck()
        process, self._process = self._process, None
        stop([process])

    def ask(self, **order: Any) -> dict[str, Any]:
        return ask(self._control, **order)

    def deliver(self, address: str, mime: bytes) -> None:
        self.ask(do="deliver", address=address, mime=mime.decode("ascii"))

    def fail(self, faults: Iterable[Fault]) -> None:
        """In this manner from now on, and in no other; none: be well."""
        self.ask(do="clear")
        for fault in faults:
            self.ask(do="fault", **fault.as_dict())

    def set_password(self, address: str, password: str) -> None:
        self.ask(do="password", address=address, password=password)

    def held(self) -> dict[str, int]:
        """address -> how much mail."""
        accounts: dict[str, int] = self.ask(do="accounts")["accounts"]
        return accounts

    def _struck(self) -> int:
        return int(self.ask(do="struck")["struck"])

    def struck_in_all(self) -> int:
        return self.struck + (self._struck() if self.is_up else 0)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
