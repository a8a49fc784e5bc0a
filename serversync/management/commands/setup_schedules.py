from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from serversync.schedules import write_schedules


class Command(BaseCommand):
    help = "Write the periodic jobs. Safe to run at each deploy."

    def handle(self, *args: Any, **options: Any) -> None:
        standing, removed = write_schedules(timezone.localtime())
        self.stdout.write(f"{standing} schedules, {removed} obsolete ones removed")
