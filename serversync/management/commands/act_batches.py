"""Shows what the synchronization parked for a person, and approves or drops it (R6.46, R6.51)."""

from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from mailboxes import access
from mailboxes.models import SystemUser
from serversync.act import batches
from serversync.act.byhand import Refused
from serversync.act.choices import BatchState
from serversync.console.actseen import reader_of
from serversync.console.actwords import reasons_words, verb_words
from serversync.models import ParkedBatch, ParkedChange

DEEDS = {
    "approve": batches.approve,
    "drop": batches.drop,
    "again": batches.decide_again,
}


class Command(BaseCommand):
    help = (
        "Lists what of appointments, contacts and tasks waits for approval: what would be done to each pair, "
        "and whom it would mail. Then approve or drop a batch, as a whole."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--as", dest="user", required=True, metavar="USER", help="who does it")
        deeds = parser.add_mutually_exclusive_group()
        deeds.add_argument("--approve", metavar="ID", help="the next cycle does it")
        deeds.add_argument("--drop", metavar="ID", help="never; what would be deleted is unlinked")
        deeds.add_argument(
            "--again", metavar="ID", help="decide it anew, under the settings of now"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        actor = SystemUser.objects.filter(domain_name=options["user"]).first()
        if actor is None:
            raise CommandError(_("There is no user %(name)s.") % {"name": options["user"]})
        asked = next((name for name in DEEDS if options[name]), None)
        if asked is not None:
            self._do(asked, options[asked], actor)
            return
        found = _visible(actor).filter(state=BatchState.WAITING).order_by("created_on")
        self._list(found, actor)

    def _do(self, deed: str, key: str, actor: SystemUser) -> None:
        try:
            batch = _visible(actor).filter(pk=UUID(key)).first()
        except ValueError:
            batch = None
        if batch is None:
            raise CommandError(_("There is no batch %(id)s.") % {"id": key})
        try:
            done = DEEDS[deed](batch, actor=actor, now=timezone.now())
        except (Refused, PermissionDenied) as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{done.mailbox}: {done.get_state_display()}.")

    def _list(self, found: Iterable[ParkedBatch], actor: SystemUser) -> None:
        shown = list(found)
        for batch in shown:
            self._show(batch, actor)
        if not shown:
            self.stdout.write(_("Nothing waits for approval."))

    def _show(self, batch: ParkedBatch, actor: SystemUser) -> None:
        heading = f"{batch.mailbox}: {batch.get_kind_display()} {batch.pk}"
        self.stdout.write(self.style.MIGRATE_HEADING(heading))
        for words in reasons_words(batch.reasons):
            self.stdout.write(f"  {words}")
        changes = list(batch.changes.filter(approved=False).select_related("link", "link__mailbox"))
        reader = reader_of(actor, [change.link for change in changes])
        for change in changes:
            subject = reader.subject(change.link, change.to_store, change.to_server)
            kind = change.link.get_object_type_code_display() or _("Item")
            self.stdout.write(f"  {kind} {subject}: {_doings(change)}")
            if change.told:
                known = reader.may_know(change.link, change.to_store, change.to_server)
                people = ", ".join(change.told) if known else str(len(change.told))
                self.stdout.write(f"    {_('would mail')} {people}")


def _visible(actor: SystemUser) -> Any:
    return access.visible_to(actor, ParkedBatch.objects.all()).select_related("mailbox")


def _doings(change: ParkedChange) -> str:
    sides = ((change.to_store, _("here")), (change.to_server, _("on the server")))
    return ", ".join(f"{verb_words(write['verb'])} {side}" for write, side in sides if write)
