"""Which way fields go, as administrators chose it (R6.14): read for a cycle, changed by a person."""

from collections.abc import Mapping
from datetime import datetime

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from mailboxes import access
from mailboxes.models import SystemUser
from serversync.act.fields import AttributeMapping
from serversync.act.types import Direction
from serversync.models import SyncAttributeMapping


def overrides() -> dict[str, Direction]:
    """Key of a mapping -> its direction, where it isn't the default. One statement."""
    rows = SyncAttributeMapping.objects.all()
    return {row.key: Direction(row.sync_direction) for row in rows}


@transaction.atomic
def choose(
    chosen: Mapping[AttributeMapping, Direction], *, actor: SystemUser, now: datetime
) -> int:
    """Set the directions of these fields; returns how many changed. What equals the default needs no row.

    Raises PermissionDenied, and ValidationError for a way that a field can't go."""
    access.require(actor, "change", SyncAttributeMapping)
    for mapping, way in chosen.items():
        if way not in mapping.allowed:
            raise ValidationError(
                _("“%(field)s” can't go that way (R6.14).") % {"field": mapping.label}
            )
    known = overrides()
    differing = {
        mapping: way
        for mapping, way in chosen.items()
        if known.get(mapping.key, mapping.default) != way
    }
    for mapping, way in differing.items():
        _set(mapping, way, actor, now)
    return len(differing)


def _set(mapping: AttributeMapping, way: Direction, actor: SystemUser, now: datetime) -> None:
    named = {"entity_type_code": mapping.table.value, "mapping_name": mapping.name}
    if way == mapping.default:
        SyncAttributeMapping.objects.filter(**named).delete()
        return
    columns = {"sync_direction": way.value, "modified_by": actor, "modified_on": now}
    SyncAttributeMapping.objects.update_or_create(
        **named, defaults=columns, create_defaults=columns | {"created_by": actor}
    )
