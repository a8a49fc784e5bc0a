"""Runs the sandbox mail servers in the foreground."""

import signal
import threading
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.translation import gettext as _

from serversync.sandbox.beside import refuse_foreign_profiles, sandbox_folder
from serversync.sandbox.control import Switchboard
from serversync.sandbox.faults import Fault
from serversync.sandbox.seeds import ACCOUNTS, PEOPLE
from serversync.sandbox.servers import Sandbox

PASSWORD = "sandbox-password"  # of every account; they are reachable on this machine only


class Command(BaseCommand):
    help = (
        "Runs small SMTP, POP3, IMAP and Exchange servers on 127.0.0.1 until Ctrl-C. They misbehave on request: "
        "see --fault and the control port (one JSON object per line, serversync/sandbox/control.py)."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--folder", type=Path, help="where mail and keys are kept (default: with the database)"
        )
        parser.add_argument("--control-port", type=int, default=0)
        parser.add_argument(
            "--fault",
            action="append",
            default=[],
            metavar="KIND[:FIELD=VALUE...]",
            help="e.g. hang:protocol=imap:command=SELECT:times=1",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        folder = options["folder"] or sandbox_folder()
        refuse_foreign_profiles(folder)
        faults = [_fault(text) for text in options["fault"]]
        stopping = threading.Event()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, lambda *_: stopping.set())
        sandbox = Sandbox(folder, people=PEOPLE)
        try:
            for address in ACCOUNTS:
                if not sandbox.store.has_account(address):
                    sandbox.store.add_account(address, PASSWORD)
            sandbox.faults.add(*faults)
            sandbox.start()
            with Switchboard(sandbox, options["control_port"]) as switchboard:
                self._tell(sandbox, switchboard)
                stopping.wait()
        finally:
            sandbox.stop()

    def _tell(self, sandbox: Sandbox, switchboard: Switchboard) -> None:
        for name, port in sandbox.ports.items():
            self.stdout.write(f"{name:9} {sandbox.host}:{port}")
        self.stdout.write(f"{'control':9} {sandbox.host}:{switchboard.port}")
        ca = sandbox.folder / "ca.pem"
        ca.write_text(sandbox.ca_pem)
        self.stdout.write(_("Certificate authority: %(path)s") % {"path": ca})
        for address in sandbox.store.accounts():
            self.stdout.write(f"{address}  {sandbox.store.password_of(address)}")
        self.stdout.write(_("Exchange: %(url)s") % {"url": sandbox.exchange.url})
        for account in sandbox.exchange.store.accounts():
            password = sandbox.exchange.store.password_of(account.address)
            self.stdout.write(f"{account.address}  {password}")
        self.stdout.write(_("Ctrl-C ends them."))
        self.stdout.flush()


def _fault(text: str) -> Fault:
    """kind:field=value:field=value"""
    kind, *rest = text.split(":")
    values: dict[str, object] = {"kind": kind}
    for pair in rest:
        name, found, value = pair.partition("=")
        if not found:
            raise CommandError(_("“%(pair)s” is not field=value.") % {"pair": pair})
        values[name] = int(value) if name in ("at", "times") else value
    try:
        return Fault.from_dict(values)
    except ValueError as error:
        raise CommandError(str(error)) from error
