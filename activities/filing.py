"""Under which record an activity is filed, as a person says it."""

from datetime import datetime

from django.contrib.contenttypes.models import ContentType
from django.db.models import Model

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
