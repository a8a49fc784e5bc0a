from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from mailboxes import services
from mailboxes.models import Mailbox
from serversync.management.choosing import add_choice, chosen


class Command(BaseCommand):
    help = "Approve the addresses of one or all mailboxes, or reject them."

    def add_arguments(self, parser: CommandParser) -> None:
        add_choice(parser)
        parser.add_argument("--reject", action="store_true", help="reject instead")

    def handle(self, *args: Any, **options: Any) -> None:
        keys = [mailbox.pk for mailbox in chosen(options)]
        action = services.reject if options["reject"] else services.approve
        outcome = action(mailboxes=Mailbox.objects.filter(pk__in=keys), now=timezone.now())
        verb = "rejected" if options["reject"] else "approved"
        self.stdout.write(f"{outcome.done} {verb}, {outcome.skipped} skipped")
        if outcome.skipped:
            self.stdout.write(str(outcome.why))
