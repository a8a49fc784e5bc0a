import os
from argparse import SUPPRESS
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from serversync.watch.loop import Terms
from serversync.watch.supervision import WatchSupervisor, run_inner

OPTIONS = {
    "most": (int, "listen to so many mailboxes at most; run another process for more"),
    "openers": (int, "threads that open connections, and as many that keep them alive"),
    "look": (float, "seconds between two looks for mailboxes to listen to"),
    "lease": (float, "seconds without a sign of life after which another process takes over"),
}


class Command(BaseCommand):
    help = (
        "Let IMAP and Exchange servers tell of new mail by themselves, and look at the mailbox at once. "
        "Optional: without it, or wherever a server can't, mailboxes are polled as ever."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        usual = Terms()
        for name, (kind, words) in OPTIONS.items():
            parser.add_argument(
                f"--{name}",
                type=kind,
                default=getattr(usual, name),
                help=f"{words} (%(default)s)",
            )
        parser.add_argument("--inner", action="store_true", help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["inner"]:
            run_inner(Terms(**{name: options[name] for name in OPTIONS}))
            # Threads may still wait for servers; nothing that they hold is needed any more.
            os._exit(0)
        arguments = [f"--{name}={options[name]}" for name in OPTIONS]
        raise SystemExit(WatchSupervisor(arguments).run())
