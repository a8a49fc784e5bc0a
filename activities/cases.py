"""Cases: how they are numbered, settled and taken up again."""

from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from activities.choices import CASE_STATE, CaseState, CaseStatus
from activities.models import Incident
from mailboxes import access
from mailboxes.models import SystemUser

#: Without letters that are taken for figures, or for one another.
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_SUFFIX = 6


def state_of(status: CaseStatus) -> CaseState:
    return CASE_STATE[status]


ACTIVE_STATUSES = tuple(s for s in CaseStatus if state_of(s) == CaseState.ACTIVE)


def ticket_number(case_id: UUID, now: datetime) -> str:
    """CAS-260309-K7Q2M9: the day, and thirty bits of the key's random end. Made of the key alone, so
    that it can be told before the row is written, and nobody waits for a counter."""
    bits, suffix = case_id.int, ""
    for _place in range(_SUFFIX):
        bits, letter = divmod(bits, len(_ALPHABET))
        suffix += _ALPHABET[letter]
    return f"CAS-{now:%y%m%d}-{suffix}"


def settle(
    *, case: Incident, status: CaseStatus, now: datetime, actor: SystemUser | None = None
) -> None:
    """Resolve or cancel an active case. Raises ValidationError, PermissionDenied."""
    _check_right(case, actor)
    if state_of(status) == CaseState.ACTIVE:
        raise ValidationError(_("Choose how the case ends: resolved or canceled."))
    changed = Incident.objects.filter(pk=case.pk, status_code__in=ACTIVE_STATUSES).update(
        status_code=status, resolved_on=now, modified_on=now, modified_by=actor
    )
    if not changed:
        raise ValidationError(_("The case %(case)s is settled already.") % {"case": case})


def reactivate(*, case: Incident, now: datetime, actor: SystemUser | None = None) -> None:
    """Take a settled case up again. Raises ValidationError, PermissionDenied."""
    _check_right(case, actor)
    changed = (
        Incident.objects.filter(pk=case.pk)
        .exclude(status_code__in=ACTIVE_STATUSES)
        .update(
            status_code=CaseStatus.IN_PROGRESS,
            resolved_on=None,
            modified_on=now,
            modified_by=actor,
        )
    )
    if not changed:
        raise ValidationError(_("The case %(case)s is active already.") % {"case": case})


def _check_right(case: Incident, actor: SystemUser | None) -> None:
    if actor is not None and not access.may(actor, "change", case):
        raise access.refusal(Incident, "change")
