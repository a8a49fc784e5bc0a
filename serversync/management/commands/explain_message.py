"""Explains what would become of a message file, writing nothing."""

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from serversync.explain import Explanation, explain
from serversync.management.choosing import chosen
from tracking.trace import Kind


class Command(BaseCommand):
    help = (
        "Explains what would become of a message that arrived in a mailbox now: the whole decision with "
        "its rules, writing nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file", metavar="FILE", help="a message as it came; - reads it from stdin"
        )
        parser.add_argument(
            "--mailbox", required=True, metavar="ADDRESS", help="the mailbox that would read it"
        )
        parser.add_argument(
            "--received",
            metavar="TIME",
            help="when the server took it, e.g. 2026-03-01T08:00Z (default: its Received header)",
        )
        parser.add_argument("--json", action="store_true", help="print the decision as data")

    def handle(self, *args: Any, **options: Any) -> None:
        (mailbox,) = chosen({"all": False, "mailbox": [options["mailbox"]]})
        explained = explain(
            _read(options["file"]),
            mailbox,
            timezone.now(),
            _time(options["received"]),
        )
        if options["json"]:
            self.stdout.write(json.dumps([one.data for one in explained], indent=2))
            return
        for one in explained:
            self._tell(one)

    def _tell(self, explanation: Explanation) -> None:
        if explanation.part:
            self.stdout.write("")
            heading = _("Original %(number)d inside the forward") % {"number": explanation.part}
            self.stdout.write(self.style.MIGRATE_HEADING(heading))
        for sentence in explanation.sentences():
            if sentence.kind is Kind.SUMMARY:
                self.stdout.write(self.style.SUCCESS(str(sentence)))
            else:
                self.stdout.write(f"  {sentence}")


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise CommandError(
            _("%(file)s can't be read: %(why)s.") % {"file": name, "why": error.strerror}
        ) from error


def _time(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = parse_datetime(text)
    except ValueError:
        moment = None
    if moment is None:
        raise CommandError(
            _("“%(text)s” is no time. Write it like 2026-03-01T08:00Z.") % {"text": text}
        )
    return moment if moment.tzinfo else timezone.make_aware(moment)
