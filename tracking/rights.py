"""May whoever has this mailbox own email (R3.29)? Asked before a test, so that it isn't found out by the
mail that fails."""

from django.db.models import Q
from django.utils.translation import gettext as _

from mailboxes.choices import IncomingDeliveryMethod, StateCode
from mailboxes.eligibility import Verdict
from mailboxes.models import Mailbox, Organization, SystemUser
from tracking.acceptance import Party
from tracking.addresses import holds_permission, look_up_people
from tracking.choices import Lacks
from tracking.reading import reading_of


def refusal_of(mailbox: Mailbox, organization: Organization) -> Verdict | None:
    """One statement. None: nothing is in the way, or it is nobody's mailbox (R1.35)."""
    key = reading_of(mailbox)
    if key is None:
        return None
    ask = organization.effective("own_email_needs_permission")
    party = look_up_people((), [key], ask_permission=ask).parties.get(key)
    return _refusal(party) if party is not None and party.lacks else None


def without_permission() -> int:
    """How many users could own no email if that needed the permission to add it: those whose mail, or
    that of their queues, comes in. What else may keep them from it isn't asked."""
    comes_in = Mailbox.objects.filter(state_code=StateCode.ACTIVE).exclude(
        incoming_email_delivery_method=IncomingDeliveryMethod.NONE
    )
    owners = Q(pk__in=comes_in.values("regarding_user")) | Q(
        pk__in=comes_in.values("regarding_queue__owning_user")
    )
    users = SystemUser.objects.filter(owners, is_disabled=False, is_superuser=False)
    return users.exclude(holds_permission("pk")).count()


def _refusal(party: Party) -> Verdict:
    code = "OwnerTeamHasNoRole" if party.lacks == Lacks.MEMBER else "8005E259"
    because = _(
        "%(owner)s may not own email: %(lacks)s (R3.29). Mail that comes in here would fail. Cure that, "
        "then run Test & Enable."
    ) % {"owner": party.owner.name, "lacks": party.lacks.label}
    return Verdict(False, code, because, permanent=True)
