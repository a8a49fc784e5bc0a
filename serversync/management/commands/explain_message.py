"""Explains what would become of a message file, or of many, writing nothing."""

import codecs
import errno
import os
import sys
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from activities.mime.message import ParsedMessage
from mailboxes.models import Mailbox
from serversync.explain import Explanation, explain
from serversync.mailfiles import Found, messages_in
from serversync.management.choosing import chosen
from serversync.management.commands.what_if import add_settings, settings_in
from serversync.message_json import addressed_mailbox, as_line, has_mailboxes, record_of
from serversync.whatif import what_if_messages
from tracking.again import Settings
from tracking.telling import Kind


class Command(BaseCommand):
    help = (
        "Explains what would become of a message that arrived in a mailbox now: the whole decision with "
        "its rules, writing nothing. With --json, what is read of each message, too."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "file",
            metavar="FILE",
            help="a message as it came; - reads it from stdin; with --json also a folder, an mbox or a "
            "maildir",
        )
        parser.add_argument(
            "--mailbox",
            metavar="ADDRESS",
            help="the mailbox that would read it; with --json it may be left out, and the decision is that "
            "of the mailbox the message is addressed to, or null",
        )
        parser.add_argument(
            "--received",
            metavar="TIME",
            help="when the server took it, e.g. 2026-03-01T08:00Z (default: its Received header)",
        )
        parser.add_argument(
            "--json", action="store_true", help="print one JSON record a message, each in one line"
        )
        parser.add_argument(
            "--trace", action="store_true", help="with --json: add the whole decision as data"
        )
        add_settings(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        mailbox = _mailbox(options["mailbox"])
        received_at = _time(options["received"])
        settings = settings_in(options)
        if options["json"]:
            if options["set"] or options["filter"]:
                raise CommandError(_("Other settings are told of in text, without --json."))
            self._print_records(options["file"], mailbox, received_at, trace=options["trace"])
            return
        if mailbox is None:
            raise CommandError(_("Name the mailbox that would read it: --mailbox ADDRESS."))
        raw = _read(options["file"])
        if options["set"] or options["filter"]:
            self._tell_what_if(raw, mailbox, settings, received_at)
            return
        for one in explain(raw, mailbox, timezone.now(), received_at):
            self._tell(one)

    def _tell_what_if(
        self, raw: bytes, mailbox: Mailbox, settings: Settings, received_at: datetime | None
    ) -> None:
        """The decision under other settings, and whether it differs."""
        told = what_if_messages([("", raw)], mailbox, settings, timezone.now(), received_at)
        for number, one in enumerate(told.differences):
            if one.after is None:
                raise CommandError(one.error)
            self._tell(Explanation(number, dict(one.after)))
            other = ", ".join(str(facet.label) for facet in one.facets)
            self.stdout.write(
                _("Otherwise than with the present settings: %(facets)s.") % {"facets": other}
                if one.is_changed
                else _("The same as with the present settings.")
            )

    def _print_records(
        self, name: str, mailbox: Mailbox | None, received_at: datetime | None, *, trace: bool
    ) -> None:
        def explained(raw: bytes, mailbox: Mailbox) -> list[Explanation]:
            return explain(raw, mailbox, timezone.now(), received_at)

        look = mailbox is None and has_mailboxes()

        def chosen_for(message: ParsedMessage) -> Mailbox | None:
            return addressed_mailbox(message) if look else mailbox

        ascii_only = not _takes_utf8(self.stdout)
        try:
            for found in _found(name):
                record = record_of(found, chosen_for, explained, trace=trace)
                self.stdout.write(as_line(record, ascii_only=ascii_only))
        except BrokenPipeError:  # the reader has enough, like head
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

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


def _mailbox(address: str | None) -> Mailbox | None:
    if address is None:
        return None
    (mailbox,) = chosen({"all": False, "mailbox": [address]})
    return mailbox


def _takes_utf8(stream: Any) -> bool:
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return codecs.lookup(encoding).name == "utf-8"


def _found(name: str) -> Iterable[Found]:
    if name == "-":
        return [Found("-", sys.stdin.buffer.read())]
    if not Path(name).exists():
        raise _unreadable(name, os.strerror(errno.ENOENT))
    return messages_in(Path(name))


def _read(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(name).read_bytes()
    except OSError as error:
        raise _unreadable(name, error.strerror) from error


def _unreadable(name: str, why: str | None) -> CommandError:
    return CommandError(_("%(file)s can't be read: %(why)s.") % {"file": name, "why": why})


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
