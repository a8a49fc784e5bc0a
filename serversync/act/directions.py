"""Which way fields go, as administrators chose it (R6.14): read for a cycle, changed by a person.

After a change both sides of what is linked are read and decided anew, so that it holds for what is there as well.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import datetime
from uuid import UUID

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from activities.models import Contact
from mailboxes import access
from mailboxes.models import Organization, SystemUser
from serversync.act.choices import ChangeType, LinkState
from serversync.act.fields import ADDRESSES, AttributeMapping
from serversync.act.fitting import KnownAddresses, RemapCounts, remap_counts
from serversync.act.types import Direction, Table
from serversync.models import ExchangeSyncIdMapping, SyncAttributeMapping


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
    for table in {mapping.table for mapping in differing}:
        _decide_again(table, now)
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


def _decide_again(table: Table, now: datetime) -> None:
    _linked(table).filter(to_crm_change_type=ChangeType.NONE).update(
        to_crm_change_type=ChangeType.AGAIN, retries=0, next_attempt_at=None, modified_on=now
    )


def _linked(table: Table) -> "QuerySet[ExchangeSyncIdMapping]":
    return ExchangeSyncIdMapping.objects.filter(object_type_code=table, state=LinkState.LINKED)


# -- addresses of contacts (R6.16) -------------------------------------------------------------------


def all_addresses() -> bool:
    return not Organization.objects.current().is_contact_mailing_address_sync_enabled


def counts_of_switching(to_all: bool) -> RemapCounts:
    """What it would do to linked contacts. Two statements."""
    return remap_counts(_known(), to_all)


@transaction.atomic
def switch_addresses(to_all: bool, *, actor: SystemUser, now: datetime) -> None:
    """One address of each contact, or all three. Raises PermissionDenied."""
    organization = Organization.objects.current()
    if not access.may(actor, "change", organization):
        raise access.refusal(Organization, "change")
    Organization.objects.filter(pk=organization.pk).update(
        is_contact_mailing_address_sync_enabled=not to_all, modified_on=now, modified_by=actor
    )
    _decide_again(Table.CONTACT, now)


def _known() -> Iterator[KnownAddresses]:
    """Each linked contact once, whoever's mailboxes it is linked in."""
    mailing: dict[UUID, str] = defaultdict(str)
    links = _linked(Table.CONTACT).exclude(object_id=None)
    for key, facts in links.values_list("object_id", "item_facts").iterator():
        assert key is not None
        mailing[key] = mailing[key] or _elsewhere(facts)
    columns = [f"address{number}_{part}" for number in ADDRESSES.values() for part in _PARTS]
    rows = Contact.objects.filter(pk__in=links.values("object_id")).values("pk", *columns)
    for row in rows.iterator():
        filled = {
            name
            for name, number in ADDRESSES.items()
            if any(row[f"address{number}_{part}"] for part in _PARTS)
        }
        yield KnownAddresses(frozenset(filled), mailing[row["pk"]])


_PARTS = ("line1", "line2", "line3", "city", "state_or_province", "postal_code", "country")


def _elsewhere(facts: Mapping[str, str]) -> str:
    mailing = facts.get("mailing", "")
    return "" if mailing == "business" else mailing
