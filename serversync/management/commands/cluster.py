from argparse import SUPPRESS
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser

from serversync.supervisor import Limits, Supervisor, run_cluster


class Command(BaseCommand):
    help = "Run the worker: a django-q cluster that is restarted when it dies or gets stuck."

    def add_arguments(self, parser: CommandParser) -> None:
        # Longer than any job may take: then silence can't be diligence.
        usual = Limits(stall=settings.Q_CLUSTER["timeout"] + 30)
        parser.add_argument(
            "--stall-seconds",
            type=float,
            default=usual.stall,
            help="restart if no job begins for so long; more than a job may take (%(default)s)",
        )
        parser.add_argument(
            "--respawn-seconds",
            type=float,
            default=usual.respawn,
            help="the same after a worker was replaced (%(default)s)",
        )
        parser.add_argument(
            "--beat-seconds",
            type=float,
            default=usual.beat,
            help="how long after the last job a heartbeat is sent (%(default)s)",
        )
        parser.add_argument(
            "--stop-seconds",
            type=float,
            default=usual.stop,
            help="how long running jobs may take to end when stopped (%(default)s)",
        )
        parser.add_argument("--inner", action="store_true", help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["inner"]:
            run_cluster()
            return
        limits = Limits(
            stall=options["stall_seconds"],
            respawn=options["respawn_seconds"],
            beat=options["beat_seconds"],
            stop=options["stop_seconds"],
        )
        raise SystemExit(Supervisor(limits).run())
