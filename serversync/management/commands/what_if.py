"""Tells what would have become of a mailbox's mail under other settings, writing nothing."""

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from serversync.choices import ItemState
from serversync.management.choosing import chosen
from serversync.models import SyncItem
from serversync.othersettings import SETTABLE, settings_of
from serversync.whatif import MOST_ITEMS, Comparison, Difference, TooMany, Unknown, what_if
from tracking.byhand import headline_of


class Command(BaseCommand):
    help = (
        "Tells what would have become of the mail that a mailbox got lately if settings were otherwise: "
        "it is decided again, in its order, and what differs is shown. Nothing is written."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("mailbox", metavar="ADDRESS", help="whose mail")
        parser.add_argument("--days", type=int, default=7, help="how far back (default: 7)")
        add_settings(parser)
        parser.add_argument(
            "--json",
            action="store_true",
            help="print one JSON record a difference, each in one line",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        (mailbox,) = chosen({"all": False, "mailbox": [options["mailbox"]]})
        if options["days"] < 1:
            raise CommandError(_("Look back one day at least."))
        now = timezone.now()
        items = SyncItem.objects.filter(
            mailbox=mailbox, decided_at__gte=now - timedelta(days=options["days"])
        )
        try:
            told = what_if(items, settings_in(options), now)
        except TooMany as error:
            raise CommandError(
                _("There are %(count)d items; at most %(most)d are decided again. Take fewer days.")
                % {"count": error.count, "most": MOST_ITEMS}
            ) from error
        if options["json"]:
            for one in told.changed:
                self.stdout.write(json.dumps(record_of(one), sort_keys=True))
            return
        for line in counts(told):
            self.stdout.write(line)
        for one in told.changed:
            self._tell(one)

    def _tell(self, one: Difference) -> None:
        assert one.item is not None and one.after is not None
        self.stdout.write("")
        heading = f"{one.item.decided_at:%Y-%m-%d %H:%M} {one.item.sender or '–'}"
        self.stdout.write(self.style.MIGRATE_HEADING(heading))
        self.stdout.write(_("  was:   %(text)s") % {"text": _line(one.before)})
        self.stdout.write(_("  would: %(text)s") % {"text": _line(one.after)})
        other = ", ".join(str(facet.label) for facet in one.facets)
        self.stdout.write(_("  differs in: %(facets)s") % {"facets": other})


def _line(decision: Mapping[str, Any]) -> str:
    """As the pages tell it, deeds by hand included, in one line."""
    return " ".join(str(sentence) for sentence in headline_of(decision))


def add_settings(parser: CommandParser) -> None:
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help=f"a setting of the organization; may be repeated. There are: {', '.join(SETTABLE)}",
    )
    parser.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="ADDRESS=FILTER",
        help="the filter of a user or queue: all, responses, leads_contacts_accounts, email_enabled or "
        "none; may be repeated",
    )


def settings_in(options: Mapping[str, Any]) -> Any:
    try:
        return settings_of(options["set"], options["filter"])
    except ValidationError as error:
        raise CommandError(" ".join(error.messages)) from error


def record_of(one: Difference) -> dict[str, Any]:
    assert one.item is not None
    return {
        "item": str(one.item.pk),
        "message_id": one.item.message_id,
        "differs": [facet.value for facet in one.facets],
        "before": dict(one.before),
        "after": dict(one.after or {}),
    }


def counts(told: Comparison) -> list[str]:
    """The summary: what changes, what doesn't, what can't be told."""
    lines = []
    for outcome, count in told.outcomes().items():
        state = ItemState(outcome).label if outcome else _("the same outcome, but otherwise")
        lines.append(
            ngettext(
                "%(count)d would now be: %(state)s", "%(count)d would now be: %(state)s", count
            )
            % {"count": count, "state": state}
        )
    lines.append(_("%(count)d unchanged") % {"count": told.unchanged})
    for unknown, count in told.unknown().items():
        lines.append(
            _("%(count)d can't be decided again: %(why)s")
            % {"count": count, "why": Unknown(unknown).label}
        )
    return lines
