"""What a person asked of an item, carried out while its page is written (R3.18, R7.10)."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import ValidationError
from django.db.models import Model

from activities.filing import file_under
from activities.models import Email
from mailboxes import access
from mailboxes.models import SystemUser
from tracking.byhand import BY_HAND
from tracking.promote import Plan


def apply(plans: Iterable[Plan], request: Mapping[str, Any]) -> None:
    """File what is about to be stored as the person said, and note who that was. The record counts as
    set by hand: the decision keeps the one that it would have had (R7.10)."""
    found = _record(request)
    for plan in plans:
        if (new := plan.new_email) is None:
            continue
        new.fields["decision"] = {**new.fields["decision"], BY_HAND: dict(request)}
        if found is not None:
            new.regarding_type_id = ContentType.objects.get_for_model(type(found)).pk
            new.regarding_id = str(found.pk)


def file_stored(email_id: UUID, request: Mapping[str, Any], now: datetime) -> None:
    """The message was stored already: its email is filed there, if the person may change it."""
    record = _record(request)
    by: str = (request.get("by") or {}).get("id") or ""
    actor = SystemUser.objects.filter(pk=by).first() if by else None
    email = Email.objects.filter(pk=email_id).first()
    if record is None or actor is None or email is None:
        return
    if access.may(actor, "change", email):
        file_under(email=email, record=record, now=now, actor=actor)


def _record(request: Mapping[str, Any]) -> Model | None:
    """The record that was named, if it is still there."""
    label, _colon, key = (request.get("record") or {}).get("value", "").partition(":")
    app, _dot, name = label.partition(".")
    if not name:
        return None
    kind = ContentType.objects.filter(app_label=app, model=name).first()
    model = kind.model_class() if kind else None
    try:
        return model._default_manager.filter(pk=key).first() if model else None
    except (ValidationError, ValueError):
        return None
