"""Under which record an activity is filed, as a person says it."""

from datetime import datetime
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Model, Q, QuerySet

from activities.choices import ActivityState
from activities.models import ActivityPointer, Email
from mailboxes import access
from mailboxes.models import SystemUser


def file_under(
    *, email: Email, record: Model | None, now: datetime, actor: SystemUser | None = None
) -> None:
    """File an email under another record, or under none. Raises PermissionDenied."""
    if actor is not None and not access.may(actor, "change", email):
        raise access.refusal(Email, "change")
    kind = ContentType.objects.get_for_model(type(record)) if record is not None else None
    ActivityPointer.objects.filter(pk=email.pk).update(
        regarding_type=kind,
        regarding_id=str(record.pk) if record is not None else "",
        modified_on=now,
        modified_by=actor,
    )


def rest_of_conversation(email: Email, actor: SystemUser) -> "QuerySet[Email]":
    """The other emails of its conversation that are filed as it is, or nowhere, and that the actor may
    change. Those filed elsewhere were put there by somebody; drafts have a page of their own."""
    if email.conversation_tracking_id is None:
        return Email.objects.none()
    pointer = email.activity
    nowhere = Q(activity__regarding_type=None) | Q(activity__regarding_id="")
    alike = Q(
        activity__regarding_type=pointer.regarding_type_id,
        activity__regarding_id=pointer.regarding_id,
    )
    others = Email.objects.filter(
        nowhere | alike, conversation_tracking_id=email.conversation_tracking_id
    )
    others = others.exclude(pk=email.pk).exclude(activity__state_code=ActivityState.OPEN)
    return access.visible_to(actor, others, "change")


@transaction.atomic
def file_conversation_under(
    *, email: Email, record: Model | None, now: datetime, actor: SystemUser
) -> list[UUID]:
    """File an email, and with it the rest of its conversation as it was filed before. Returns the others.
    Raises PermissionDenied."""
    chosen = rest_of_conversation(email, actor).order_by().values_list("pk", flat=True)
    pointers = ActivityPointer.objects.filter(pk__in=list(chosen)).select_for_update()
    found = list(pointers.order_by("pk").values_list("pk", flat=True))
    # Looked at once more under the lock: somebody may have filed one elsewhere meanwhile.
    others = list(
        rest_of_conversation(email, actor).filter(pk__in=found).values_list("pk", flat=True)
    )
    file_under(email=email, record=record, now=now, actor=actor)
    kind = ContentType.objects.get_for_model(type(record)) if record is not None else None
    ActivityPointer.objects.filter(pk__in=others).update(
        regarding_type=kind,
        regarding_id=str(record.pk) if record is not None else "",
        modified_on=now,
        modified_by=actor,
    )
    return others
