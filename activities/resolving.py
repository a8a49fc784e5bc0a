"""Who stands behind an address that nothing resolved, as a person says it (R3.39a)."""

from dataclasses import dataclass
from datetime import datetime

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import Model, Q
from django.utils.translation import gettext as _

from activities.choices import ParticipationType
from activities.models import Account, ActivityParty, ActivityPointer, Email
from mailboxes import access
from mailboxes.addresses import address_key
from mailboxes.models import Organization, SystemUser
from mailboxes.search import enabled_models, rows_of

AT_ONCE = 500  # rows of one statement
UNRESOLVED = Q(party_type=None) | Q(party_id="")


@dataclass(frozen=True, slots=True)
class Resolved:
    """How many parties now stand for the record, and of how many emails."""

    parties: int
    emails: int


@transaction.atomic
def resolve_party(
    *, party: ActivityParty, record: Model, now: datetime, actor: SystemUser | None = None
) -> Resolved:
    """Let an unresolved party stand for a record, and with it every equal one that the actor may change,
    if the organization says so. The record doesn't get the address: that would resolve mail to come.

    Raises PermissionDenied; ValidationError if the party stands for a record already, or the record is
    of a kind that addresses can't stand for.
    """
    email = Email.objects.get(pk=party.activity_id)
    if actor is not None and not access.may(actor, "change", email):
        raise access.refusal(Email, "change")
    if actor is not None and not access.may(actor, "view", record):
        raise access.refusal(type(record), "view")
    if type(record) not in enabled_models():
        raise ValidationError(_("Addresses stand for records with email columns only. (R3.30)"))
    rows = ActivityParty.objects.filter(_equal(party, actor) if _all_at_once() else Q(pk=party.pk))
    found = list(rows.filter(UNRESOLVED).select_for_update(of=("self",)))
    if party.pk not in {row.pk for row in found}:
        raise ValidationError(_("Somebody has resolved this address meanwhile. (R3.39a)"))
    for start in range(0, len(found), AT_ONCE):
        _point_at(found[start : start + AT_ONCE], record, now, actor)
    return Resolved(len(found), len({row.activity_id for row in found}))


def _all_at_once() -> bool:
    organization = Organization.objects.current()
    return bool(organization.effective("resolve_similar_unresolved_email_address"))


def _equal(party: ActivityParty, actor: SystemUser | None) -> Q:
    """Those with the same address, in emails that the actor may change; this one among them."""
    this, key = Q(pk=party.pk), address_key(party.address_used)
    if not key:
        return this  # a mere name: others with none have nothing in common with it
    equal = Q(address_used__iexact=key)
    if actor is not None:
        within_reach = access.visible_to(actor, Email.objects.all(), "change")
        equal &= Q(activity__in=within_reach.values("pk"))
    return this | equal


def _point_at(
    parties: list[ActivityParty], record: Model, now: datetime, actor: SystemUser | None
) -> None:
    kind = ContentType.objects.get_for_model(type(record))
    column = rows_of(record).get(address_key(parties[0].address_used))
    ActivityParty.objects.filter(pk__in=[party.pk for party in parties]).update(
        party_type=kind,
        party_id=str(record.pk),
        address_used_email_column_number=column,
        do_not_email=bool(getattr(record, "do_not_email", False)),
    )
    sent = [
        party.activity_id
        for party in parties
        if party.participation_type_mask == ParticipationType.SENDER
    ]
    Email.objects.filter(pk__in=sent).update(
        email_sender_type=kind,
        email_sender_id=str(record.pk),
        senders_account=record.pk if isinstance(record, Account) else None,
        is_duplicate_sender_unresolved=False,
    )
    activities = {party.activity_id for party in parties}
    ActivityPointer.objects.filter(pk__in=activities).update(modified_on=now, modified_by=actor)
