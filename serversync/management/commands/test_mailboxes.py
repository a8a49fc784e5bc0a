from argparse import BooleanOptionalAction
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from mailboxes import services
from mailboxes.choices import TestStatus
from mailboxes.models import Mailbox
from serversync.management.choosing import add_choice, chosen
from serversync.testing import Result, test_mailbox


class Command(BaseCommand):
    help = (
        "Test & enable one or all mailboxes now, in the foreground. A passing fault is tried again "
        "later by the cluster; until then it counts as failed here."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_choice(parser)
        parser.add_argument(
            "--reset-watermark",
            action=BooleanOptionalAction,
            default=None,
            help="also look again at older mail (R2.21); by default only at the first test",
        )

        parser.add_argument(
            "--take-over",
            action="store_true",
            help="synchronize appointments, contacts and tasks with this organization even if the "
            "account was set to another one, which then stops (R2.20, R6.61)",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        mailboxes = chosen(options)
        services.schedule_test(
            mailboxes=Mailbox.objects.filter(pk__in=[mailbox.pk for mailbox in mailboxes]),
            now=timezone.now(),
        )
        failed = 0
        for mailbox in mailboxes:
            report = test_mailbox(
                mailbox,
                reset_watermark=options["reset_watermark"],
                take_over=options["take_over"],
            )
            self.stdout.write(report.mailbox)
            for result in report.results:
                self.show(result)
            failed += not report.ok
        self.stdout.write(f"{len(mailboxes)} mailboxes, {failed} failed")
        if failed:
            raise SystemExit(1)

    def show(self, result: Result) -> None:
        good = result.status == TestStatus.SUCCESS
        style = self.style.SUCCESS if good else self.style.ERROR
        self.stdout.write(style(f"  {result}"))
        for step in result.steps:
            mark = "ok" if step["ok"] else f"{step['code']}: {step['text']}"
            self.stdout.write(f"    {step['step']:12} {step['ms']:6} ms  {mark}")
        if result.again_at:
            self.stdout.write(f"    tried again at {result.again_at:%H:%M:%S} UTC")
