from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from tracking.hooks import run_late


class Command(BaseCommand):
    help = "Run what the site's own code had no time for on receipt, as the periodic job does."

    def handle(self, *args: Any, **options: Any) -> None:
        tally = run_late(timezone.now)
        self.stdout.write(str(tally))
        if tally.failed:
            raise CommandError("Some failed; see the hook runs in the console.")
