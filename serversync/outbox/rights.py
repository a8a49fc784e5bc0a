"""Who may send as whom."""

from typing import Any

from django.utils.translation import gettext as _

from activities.choices import ParticipationType
from activities.models import ActivityParty, Email
from mailboxes.access import visible_to
from mailboxes.models import Queue, SystemUser
from serversync.outbox.drafts import Sender


def may_send_as(actor: SystemUser, sender: Sender) -> str | None:
    """Why `actor` may not send as `sender`, or None (R5.24, R5.25)."""
    if isinstance(sender, Queue):
        if visible_to(actor, Queue.objects.filter(pk=sender.pk)).exists():
            return None
        return _("You may not read the queue %(queue)s, so you can't send as it. (R5.25)") % {
            "queue": sender
        }
    if sender.pk == actor.pk:
        return None
    if not actor.has_perm("mailboxes.send_as_another_user"):
        return _(
            "You lack the permission “send email as another user”, which sending as %(user)s needs. "
            "Ask an administrator for it, or change From. (R5.24)"
        ) % {"user": sender}
    if not sender.settings.is_send_as_allowed:
        return _(
            "%(user)s has not ticked “allow others to send on my behalf”. Ask for it, or change "
            "From. (R5.24)"
        ) % {"user": sender}
    return None


def sender_of(email: Email) -> Any:
    party = ActivityParty.objects.filter(
        activity_id=email.pk, participation_type_mask=ParticipationType.SENDER
    ).first()
    if party is None or party.party_type is None:
        return None
    model = party.party_type.model_class()
    return model._default_manager.filter(pk=party.party_id).first() if model else None
