"""Decides a period again, shows the difference, and applies, drops or undoes it."""

from collections import Counter
from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from uuid import UUID

from django.core.exceptions import PermissionDenied
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _

from mailboxes.models import SystemUser
from serversync import replay
from serversync.choices import ReplayStep, Stay
from serversync.facets import Unknown
from serversync.management.choosing import chosen
from serversync.models import Replay, ReplayChange
from tracking.byhand import headline_of

DEEDS = {"apply": replay.apply, "drop": replay.drop, "undo": replay.undo}


class Command(BaseCommand):
    help = (
        "Decides mail of the last days again under the settings, filters and records of now, and shows "
        "what differs. Then apply it, or drop it, as a whole; what was applied can be undone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "mailbox",
            nargs="?",
            metavar="ADDRESS",
            help="whose mail (default: all that USER may see)",
        )
        parser.add_argument("--as", dest="user", required=True, metavar="USER", help="who does it")
        parser.add_argument("--days", type=int, default=3, help="how far back (default: 3)")
        deeds = parser.add_mutually_exclusive_group()
        deeds.add_argument("--apply", metavar="ID", help="do what the replay showed")
        deeds.add_argument("--drop", metavar="ID", help="let it go")
        deeds.add_argument("--undo", metavar="ID", help="put back what it changed")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = SystemUser.objects.filter(domain_name=options["user"]).first()
        if actor is None:
            raise CommandError(_("There is no user %(name)s.") % {"name": options["user"]})
        asked = next((name for name in DEEDS if options[name]), None)
        try:
            if asked is None:
                self._show(self._decided(actor, options))
            else:
                self._do(asked, options[asked], actor)
        except (replay.Refused, PermissionDenied) as error:
            raise CommandError(str(error)) from error

    def _decided(self, actor: SystemUser, options: Mapping[str, Any]) -> Replay:
        if options["days"] < 1:
            raise CommandError(_("Look back one day at least."))
        mailbox = None
        if options["mailbox"]:
            (mailbox,) = chosen({"all": False, "mailbox": [options["mailbox"]]})
        now = timezone.now()
        since = now - timedelta(days=options["days"])
        made = replay.begin(actor=actor, since=since, until=now, mailbox=mailbox, later=False)
        return replay.decide(made, now)

    def _do(self, deed: str, key: str, actor: SystemUser) -> None:
        try:
            found = Replay.objects.filter(pk=UUID(key)).first()
        except ValueError:
            found = None
        if found is None:
            raise CommandError(_("There is no replay %(id)s.") % {"id": key})
        done = DEEDS[deed](found, actor=actor, now=timezone.now())
        self.stdout.write(f"{done.get_state_display()}.")
        for change in done.changes.exclude(not_undone=""):
            self.stdout.write(
                _("  not undone: %(item)s, %(why)s")
                % {"item": change.item_id, "why": change.not_undone}
            )

    def _show(self, found: Replay) -> None:
        if found.error:
            raise CommandError(found.error)
        changes = list(found.changes.select_related("item"))
        for words, count in Counter(_words(change) for change in changes).items():
            self.stdout.write(f"{count}: {words}")
        self.stdout.write(_("%(count)d unchanged") % {"count": found.unchanged})
        for change in changes:
            if change.step != ReplayStep.NOTHING:
                self._tell(change)
        self.stdout.write("")
        self.stdout.write(_("To do it: replay --apply %(id)s") % {"id": found.pk})

    def _tell(self, change: ReplayChange) -> None:
        item = change.item
        self.stdout.write("")
        heading = f"{item.decided_at:%Y-%m-%d %H:%M} {item.sender or '–'}"
        self.stdout.write(self.style.MIGRATE_HEADING(heading))
        self.stdout.write(_("  was:   %(text)s") % {"text": _line(change.before)})
        self.stdout.write(_("  now:   %(text)s") % {"text": _line(change.after)})


def _words(change: ReplayChange) -> str:
    if change.stays == Stay.UNKNOWN:
        return str(Unknown(change.after["unknown"]).label)
    step = str(ReplayStep(change.step).label)
    return f"{step}: {Stay(change.stays).label}" if change.stays else step


def _line(decision: Mapping[str, Any]) -> str:
    return " ".join(str(sentence) for sentence in headline_of(decision))
