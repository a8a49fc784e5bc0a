from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from mailboxes.models import SystemUser
from serversync.choices import ImportKind, Verdict
from serversync.importing import applying, held
from serversync.importing.columns import heading_of, rows_of
from serversync.importing.files import change_words, reason_words
from serversync.importing.planning import Decision
from serversync.importing.reading import ENCODINGS, Unreadable, read


class Command(BaseCommand):
    help = "Say what a CSV or XLSX file of accounts would do; with --apply, do it."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("kind", choices=ImportKind.values)
        parser.add_argument("file", type=Path, metavar="FILE")
        parser.add_argument("--apply", action="store_true", help="write it, in batches")
        parser.add_argument("--encoding", choices=list(ENCODINGS), default="", help="of a CSV file")
        parser.add_argument(
            "--user",
            metavar="NAME",
            help="whose permissions count, and who owns what is new; without: the site itself",
        )
        parser.add_argument(
            "--unchanged", action="store_true", help="name rows that change nothing, too"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        kind, actor = ImportKind(options["kind"]), _actor(options["user"])
        path: Path = options["file"]
        try:
            table = read(path.read_bytes(), path.name, options["encoding"])
            heading = heading_of(kind, table.header)
        except (Unreadable, OSError) as error:
            raise CommandError(str(error)) from None
        self._tell_reading(held.read_as(table, heading))
        rows = rows_of(table, heading)
        decisions = held.decide(kind, rows, actor=actor, now=timezone.now())
        if options["apply"]:
            decisions = self._applied(kind, rows, decisions, actor)
        for decision in decisions:
            if options["unchanged"] or decision.verdict != Verdict.UNCHANGED:
                self._tell(decision)
        counts = held.counted(map(held.stored, decisions))
        self.stdout.write(", ".join(f"{count} {word}" for word, count in counts.items()) or "0")
        if not options["apply"]:
            self.stdout.write("Nothing was written. Give --apply to do it.")

    def _applied(
        self, kind: ImportKind, rows: held.Rows, planned: list[Decision], actor: Any
    ) -> list[Decision]:
        """Batch by batch, as it was printed: each is committed for itself."""
        found = {decision.number: decision for decision in planned}
        shown = {decision.number: applying.told(decision) for decision in planned}
        written = [(number, cells) for number, cells in rows if found[number].is_written]
        for start in range(0, len(written), applying.BATCH):
            batch = written[start : start + applying.BATCH]
            with transaction.atomic():
                now = timezone.now()
                again = held.decide(kind, batch, actor=actor, now=now)
                done = applying.apply(kind, again, shown, actor=actor, now=now)
            found |= {decision.number: decision for decision in done}
        return list(found.values())

    def _tell_reading(self, read_as: dict[str, Any]) -> None:
        how = read_as["sheet"] or f"{read_as['encoding']}, {read_as['separator']}"
        self.stdout.write(f"Read as {how}: {', '.join(read_as['columns'])}")
        for words, near in read_as["unknown"]:
            meant = f" Did you mean {' or '.join(near)}?" if near else ""
            self.stderr.write(f"Unknown column “{words}” passed over.{meant}")

    def _tell(self, decision: Decision) -> None:
        line = held.stored(decision)
        told = [change_words(change) for change in line["changes"]]
        told += [reason_words(*reason) for reason in line["reasons"]]
        self.stdout.write(
            f"{decision.number}: {decision.verdict.label} {decision.name}"
            + (f" — {'; '.join(told)}" if told else "")
        )


def _actor(name: str | None) -> SystemUser | None:
    if name is None:
        return None
    user = SystemUser.objects.filter(domain_name=name).first()
    if user is None:
        raise CommandError(f"Nobody signs in as {name}.")
    return user
