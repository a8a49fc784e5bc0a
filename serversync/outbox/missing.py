"""What an e-mail lacks before it can be sent: all of it at once, so that it is mended at once."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.utils.translation import gettext as _

from activities.models import ActivityParty, Email
from mailboxes.models import Organization, Queue, SystemUser
from serversync.outbox.drafts import address_of
from serversync.outbox.recipients import unwilling
from serversync.outbox.rights import may_override_do_not_email, may_send_as


def missing(
    email: Email,
    sender: Any,
    recipients: Sequence[ActivityParty],
    actor: SystemUser | None,
    organization: Organization,
    *,
    despite_do_not_email: bool = False,
    to_anybody: bool = False,
) -> list[str]:
    """`recipients`: those with an address, as they are now. `actor`: None is the site itself."""
    return [
        *_of_sender(sender, actor),
        *_of_recipients(
            recipients, to_anybody or organization.allow_unresolved_parties_on_email_send
        ),
        *_of_unwilling(email, unwilling(recipients), actor, despite_do_not_email),
    ]


def _of_sender(sender: Any, actor: SystemUser | None) -> Iterable[str]:
    if not isinstance(sender, SystemUser | Queue):
        yield _("The sender must be a user or a queue. Choose one as From. (R5.3)")
    elif actor is not None and (refusal := may_send_as(actor, sender)):
        yield refusal
    elif getattr(sender, "default_mailbox", None) is None or not address_of(sender):
        yield (
            _("%(sender)s has no address to send from. Enter one first. (R5.3)")
            % {"sender": sender}
        )


def _of_recipients(recipients: Sequence[ActivityParty], to_anybody: bool) -> Iterable[str]:
    if not recipients:
        yield _("No recipient has an address. Add at least one. (R5.3)")
    if to_anybody:
        return
    if unresolved := [row.address_used for row in recipients if not row.is_resolved]:
        yield (
            _(
                "No record has these addresses: %(addresses)s. Create contacts for them, or let "
                "an administrator allow unresolved recipients. (R5.4)"
            )
            % {"addresses": ", ".join(unresolved)}
        )


def _of_unwilling(
    email: Email, addresses: Sequence[str], actor: SystemUser | None, despite: bool
) -> Iterable[str]:
    """Whoever holds the permission is asked; everybody else is told to remove them (R5.5)."""
    if not addresses:
        return
    if actor is None or not may_override_do_not_email(actor, email):
        words = _("These recipients do not want email: %(addresses)s. Remove them. (R5.5)")
    elif not despite:
        words = _(
            "These recipients do not want email: %(addresses)s. Remove them, or confirm that it is "
            "to be sent all the same. (R5.5)"
        )
    else:
        return
    yield words % {"addresses": ", ".join(addresses)}
