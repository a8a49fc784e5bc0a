"""What an e-mail lacks before it can be sent."""

from typing import Any

from django.utils.translation import gettext as _

from activities.choices import RECIPIENTS
from activities.models import ActivityParty, Email
from mailboxes.models import Organization, Queue, SystemUser
from serversync.outbox.drafts import address_of
from serversync.outbox.rights import may_send_as


def missing(email: Email, sender: Any, actor: SystemUser, organization: Organization) -> list[str]:
    reasons: list[str] = []
    if not isinstance(sender, SystemUser | Queue):
        reasons.append(_("The sender must be a user or a queue. Choose one as From. (R5.3)"))
    elif refusal := may_send_as(actor, sender):
        reasons.append(refusal)
    elif getattr(sender, "default_mailbox", None) is None or not address_of(sender):
        reasons.append(
            _("%(sender)s has no address to send from. Enter one first. (R5.3)")
            % {"sender": sender}
        )
    recipients = list(
        ActivityParty.objects.filter(
            activity_id=email.pk, participation_type_mask__in=RECIPIENTS
        ).exclude(address_used="")
    )
    if not recipients:
        reasons.append(_("No recipient has an address. Add at least one. (R5.3)"))
    if not organization.allow_unresolved_parties_on_email_send:
        unresolved = [row.address_used for row in recipients if not row.is_resolved]
        if unresolved:
            reasons.append(
                _(
                    "No record has these addresses: %(addresses)s. Create contacts for them, or let "
                    "an administrator allow unresolved recipients. (R5.4)"
                )
                % {"addresses": ", ".join(unresolved)}
            )
    unwanted = [row.address_used for row in recipients if row.do_not_email]
    if unwanted:
        reasons.append(
            _("These recipients do not want email: %(addresses)s. Remove them. (R5.5)")
            % {"addresses": ", ".join(unwanted)}
        )
    return reasons
