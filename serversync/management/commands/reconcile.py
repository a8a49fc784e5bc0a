import json
from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from mailboxes.choices import Operation
from serversync.console.recountwords import KINDS
from serversync.management.choosing import add_choice, chosen
from serversync.management.running import enabled
from serversync.models import Recount
from serversync.recount import recount


class Command(BaseCommand):
    help = (
        "Recount one or all mailboxes from their servers and show, item by item, what differs from the "
        "ledger. Ends with 1 if something does, or if a mailbox can't be counted."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        add_choice(parser)
        parser.add_argument(
            "--fix", action="store_true", help="have the next cycle fetch what was missed"
        )
        parser.add_argument("--json", action="store_true", help="print JSON for programs")

    def handle(self, *args: Any, **options: Any) -> None:
        mailboxes = chosen(options)
        if options["all"]:
            mailboxes = enabled(mailboxes, Operation.INCOMING)
        rows = [recount(mailbox, fix=options["fix"]) for mailbox in mailboxes]
        if options["json"]:
            self.stdout.write(json.dumps([_data(row) for row in rows], indent=2))
        else:
            for row in rows:
                self._show(row)
        if any(row.differing or row.error for row in rows):
            raise SystemExit(1)

    def _show(self, row: Recount) -> None:
        self.stdout.write(str(row.mailbox))
        if row.error:
            self.stdout.write(self.style.ERROR(f"  {row.error}"))
        for folder in row.folders:
            if "error" in folder:
                self.stdout.write(self.style.ERROR(f"  {folder['folder']}: {folder['error']}"))
                continue
            style = self.style.ERROR if folder["differing"] else self.style.SUCCESS
            self.stdout.write(
                style(
                    f"  {folder['folder']}: {folder['listed']} on the server, {folder['known']} known,"
                    f" {folder['before_start']} before the start date, {folder['to_come']} to come,"
                    f" {folder['folded']} folded, {folder['differing']} differ"
                )
            )
        for each in row.differences:
            when = f", received {each['received']}" if each["received"] else ""
            self.stdout.write(f"    {each['folder']} {each['key']}: {KINDS[each['kind']][1]}{when}")
        if row.differing > len(row.differences):
            self.stdout.write(f"    and {row.differing - len(row.differences)} more")


def _data(row: Recount) -> dict[str, Any]:
    return {
        "mailbox": row.mailbox.email_address,
        "error": row.error,
        "fix": row.fix,
        "differing": row.differing,
        "folders": row.folders,
        "differences": row.differences,
    }
