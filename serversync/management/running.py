"""The command behind receive_mail and send_mail: the engine's own run, in the foreground."""

from typing import Any, ClassVar

from django.core.management.base import BaseCommand, CommandParser

from mailboxes.choices import Operation
from mailboxes.models import Mailbox
from serversync.engine import Report, run_one
from serversync.management.choosing import add_choice, chosen
from serversync.models import Workload


class RunCommand(BaseCommand):
    operation: ClassVar[Operation]

    def add_arguments(self, parser: CommandParser) -> None:
        add_choice(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        mailboxes = chosen(options)
        if options["all"]:
            mailboxes = enabled(mailboxes, self.operation)
        failed = 0
        for mailbox in mailboxes:
            report = self.run(mailbox)
            failed += not report.ok
        self.stdout.write(f"{len(mailboxes)} mailboxes, {failed} failed")
        if failed:
            raise SystemExit(1)

    def run(self, mailbox: Mailbox) -> Report:
        """Until nothing is left: one cycle ends after so many messages."""
        while True:
            report = run_one(mailbox, self.operation, force=True)
            style = self.style.SUCCESS if report.ok else self.style.ERROR
            self.stdout.write(style(str(report)))
            if not (report.ok and report.result and report.result.more):
                return report


def enabled(mailboxes: list[Mailbox], operation: Operation) -> list[Mailbox]:
    on = set(
        Workload.objects.filter(operation=operation, enabled=True).values_list(
            "mailbox_id", flat=True
        )
    )
    return [mailbox for mailbox in mailboxes if mailbox.pk in on]
