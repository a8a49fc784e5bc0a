"""Explains why a record is in somebody's Exchange, or why not: filters, rights, its pair, what was done last."""

from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from serversync.act.explaining import Explanation, explain
from serversync.act.tables import MODELS
from serversync.act.types import Table
from serversync.console.actwords import reasons_words, verb_words
from serversync.errortexts import shown_error
from serversync.management.choosing import chosen
from serversync.models import ExchangeSyncIdMapping

MARKS = {True: _("matches"), False: _("doesn't match"), None: _("isn’t asked")}


class Command(BaseCommand):
    help = (
        "Explains why a contact, appointment, task, … is synchronized with a user's Exchange mailbox, or why "
        "not. It writes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("record", metavar="ID", help="the key of the record")
        parser.add_argument(
            "--mailbox", metavar="ADDRESS", required=True, help="in whose Exchange mailbox"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        record = _record(options["record"])
        if record is None:
            raise CommandError(str(_("There is no such record that could be synchronized.")))
        (mailbox,) = chosen({"all": False, "mailbox": [options["mailbox"]]})
        self._tell(explain(record, mailbox, timezone.now()))

    def _tell(self, found: Explanation) -> None:
        because = found.because
        self.stdout.write(self.style.MIGRATE_HEADING(f"{because.words} ({because.rule})"))
        if found.verdict is not None:
            self.stdout.write(f"  {found.verdict.because}")
        readable = _("The mailbox's user may read it.")
        if not found.is_readable:
            readable = _("The mailbox's user may not read it.")
        self.stdout.write(f"  {readable} (R6.7)")
        for said in found.filters:
            mark = MARKS[said.matches]
            self.stdout.write(f"  {said.query}: {mark} ({said.query.words})")
        if found.link is not None:
            self.stdout.write(f"  {_('Link')}: {found.link.get_state_display()}")
            if found.link.last_sync_error:
                self.stdout.write(f"    {_error(found.link)}")
        if found.last is not None:
            when = f"{found.last.made_on:%Y-%m-%d %H:%M} UTC"
            side = found.last.get_side_display()
            self.stdout.write(f"  {when}: {verb_words(found.last.verb)} ({side})")
            for words in reasons_words(found.last.reasons):
                self.stdout.write(f"    {words}")


def _error(link: ExchangeSyncIdMapping) -> str:
    """As whoever may not read the mailbox is told it: a console of the server is anybody's."""
    return shown_error(link.last_sync_error_code, link.last_sync_error, may_read=False)


def _record(text: str) -> Model | None:
    try:
        key = UUID(text)
    except ValueError:
        return None
    for table in Table:
        if (found := MODELS[table]._default_manager.filter(pk=key).first()) is not None:
            return found
    return None
