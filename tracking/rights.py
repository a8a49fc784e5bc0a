"""May whoever has this mailbox own email (R3.29)? Asked before a test, so that it isn't found out by the
mail that fails."""

from django.utils.translation import gettext as _

from mailboxes.eligibility import Verdict
from mailboxes.models import Mailbox, Organization
from tracking.acceptance import Party
from tracking.addresses import look_up_people
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


def _refusal(party: Party) -> Verdict:
    code = "OwnerTeamHasNoRole" if party.lacks == Lacks.MEMBER else "8005E259"
    because = _(
        "%(owner)s may not own email: %(lacks)s (R3.29). Mail that comes in here would fail. Cure that, "
        "then run Test & Enable."
    ) % {"owner": party.owner.name, "lacks": party.lacks.label}
    return Verdict(False, code, because, permanent=True)
