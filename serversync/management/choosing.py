"""How commands are told which mailboxes: by address or all of them, never by accident."""

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db.models.functions import Lower

from mailboxes.choices import StateCode
from mailboxes.models import Mailbox


def add_choice(parser: CommandParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument(
        "--mailbox",
        metavar="ADDRESS",
        action="append",
        help="the mailbox with this address; may be given several times",
    )
    which.add_argument("--all", action="store_true", help="every active mailbox")


def chosen(options: dict[str, Any]) -> list[Mailbox]:
    """In the order of their names. Raises CommandError for an address that no mailbox has."""
    rows = Mailbox.objects.select_related("email_server_profile").order_by("name")
    if options["all"]:
        return list(rows.filter(state_code=StateCode.ACTIVE))
    wanted = {address.strip().lower() for address in options["mailbox"]}
    found: list[Mailbox] = list(rows.alias(lower=Lower("email_address")).filter(lower__in=wanted))
    if missing := wanted - {mailbox.email_address.lower() for mailbox in found}:
        raise CommandError(f"No mailbox has the address {', '.join(sorted(missing))}.")
    return found
