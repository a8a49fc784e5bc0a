"""Who may send as whom, and to whom."""

from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from activities.choices import ParticipationType
from activities.models import ActivityParty, Email
from mailboxes import access
from mailboxes.choices import StateCode
from mailboxes.models import Queue, SystemUser
from serversync.outbox.drafts import Sender

SEND_AS = "send_as_another_user"
DESPITE_DO_NOT_EMAIL = "send_despite_do_not_email"


def may_send_as(actor: SystemUser, sender: Sender) -> str | None:
    """Why `actor` may not send as `sender`, or None (R5.24, R5.25). Whatever is missing is named at
    once."""
    if isinstance(sender, Queue):
        if access.may(actor, "view", sender):
            return None
        return _("You may not read the queue %(queue)s, so you can't send as it. (R5.25)") % {
            "queue": sender
        }
    if sender.pk == actor.pk:
        return None
    missing = [_without_permission(actor, sender), _without_consent(sender)]
    return " ".join(reason for reason in missing if reason) or None


def _without_permission(actor: SystemUser, sender: SystemUser) -> str:
    if access.may(actor, SEND_AS, sender):
        return ""
    if access.reach_of(actor, SystemUser, SEND_AS) is None:
        return _(
            "You lack the permission “send email as another user”, which sending as %(user)s needs. "
            "Ask an administrator for it, or change From. (R5.24)"
        ) % {"user": sender}
    return _(
        "Your permission “send email as another user” doesn't reach %(user)s. Ask an administrator "
        "for a wider reach, or change From. (R5.24)"
    ) % {"user": sender}


def _without_consent(sender: SystemUser) -> str:
    if sender.settings.is_send_as_allowed:
        return ""
    return _(
        "%(user)s has not ticked “allow others to send on my behalf”. Ask for it, or change "
        "From. (R5.24)"
    ) % {"user": sender}


def senders_for(actor: Any) -> list[Sender]:
    """Whom this user may write as: self, queues in sight, and users who allow it (R5.24, R5.25)."""
    queues = access.visible_to(
        actor, Queue.objects.filter(state_code=StateCode.ACTIVE).exclude(email_address="")
    )
    return [actor, *queues.order_by("name"), *_who_lets(actor).order_by("domain_name")]


def _who_lets(actor: Any) -> "QuerySet[SystemUser]":
    others = SystemUser.objects.filter(settings__is_send_as_allowed=True, is_disabled=False)
    return access.visible_to(actor, others.exclude(pk=actor.pk), SEND_AS)


def may_override_do_not_email(actor: SystemUser, email: Email) -> bool:
    """May he send it to people who do not want email (R5.5)?"""
    return access.may(actor, DESPITE_DO_NOT_EMAIL, email)


def holds_override(actor: SystemUser) -> bool:
    """Is he asked at all?"""
    return access.reach_of(actor, Email, DESPITE_DO_NOT_EMAIL) is not None


def sender_of(email: Email) -> Any:
    """The user or queue in From, or None."""
    party = ActivityParty.objects.filter(
        activity_id=email.pk, participation_type_mask=ParticipationType.SENDER
    ).first()
    if party is None or party.party_type is None:
        return None
    model = party.party_type.model_class()
    return model._default_manager.filter(pk=party.party_id).first() if model else None
