"""The chooser of the record that an activity is filed under."""

from typing import Any

from django.apps import apps
from django.core.exceptions import ValidationError

from activities.models import Account, Contact, Incident, Lead
from mailboxes import access

REGARDING = (Account, Contact, Lead, Incident)
OFFERED = 50  # records of each kind in the chooser


def key_of(record: Any) -> str:
    return f"{record._meta.app_label}.{record._meta.model_name}:{record.pk}"


def key_of_ref(kind: Any, pk: str) -> str:
    return f"{kind.app_label}.{kind.model}:{pk}" if kind else ""


def record_at(key: str, reader: Any) -> Any:
    """The record of a choice, if `reader` may see it."""
    label, _colon, pk = key.partition(":")
    try:
        model = apps.get_model(label)
        return access.visible_to(reader, model._default_manager.filter(pk=pk), "view").first()
    except (LookupError, ValueError, ValidationError):
        return None


def regarding_choices(reader: Any, wanted: str) -> list[Any]:
    """What was changed last, and what is chosen now; all of it within the reader's sight."""
    groups: list[Any] = [("", "–")]
    chosen = record_at(wanted, reader)
    for model in REGARDING:
        rows = access.visible_to(reader, model._default_manager.all(), "view")
        recent: list[Any] = list(rows.order_by("-modified_on")[:OFFERED])
        if isinstance(chosen, model) and chosen not in recent:
            recent.insert(0, chosen)
        if recent:
            name = str(model._meta.verbose_name_plural).capitalize()
            groups.append((name, [(key_of(row), str(row)) for row in recent]))
    if chosen is not None and not isinstance(chosen, REGARDING):
        groups.append((key_of(chosen), str(chosen)))
    return groups
