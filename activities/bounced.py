"""Addresses that mail came back from for good (R5.21): noted, looked up, and forgotten on proof."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from activities.models import BouncedAddress
from mailboxes.addresses import address_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounce:
    """An email that came back from this address. `address`: its key."""

    address: str
    email_id: UUID
    at: datetime
    status: str = ""
    diagnostic: str = ""


def note(bounces: Iterable[Bounce]) -> None:
    """Each counts as one more email; the caller tells of each once. No statement for none."""
    found = sorted(bounces, key=lambda one: (one.address, one.at))
    if not found:
        return
    addresses = {one.address for one in found}
    BouncedAddress.objects.bulk_create(
        [
            BouncedAddress(address=address, bounced_on=found[0].at, count=0)
            for address in sorted(addresses)
        ],
        ignore_conflicts=True,
    )
    # Locked in one order: other mailboxes read reports on the same address.
    rows = BouncedAddress.objects.select_for_update().filter(address__in=addresses)
    known = {row.address: row for row in rows.order_by("address")}
    for one in found:
        row = known[one.address]
        row.count += 1
        if row.count == 1 or one.at >= row.bounced_on:
            row.status, row.diagnostic = one.status[:16], one.diagnostic[:500]
            row.bounced_on, row.email_id = one.at, one.email_id
    BouncedAddress.objects.bulk_update(
        known.values(), ["status", "diagnostic", "bounced_on", "count", "email"]
    )


def forget(proofs: Mapping[str, datetime]) -> int:
    """Mail got through to these addresses, or came from them: if that was later, they work. Key of an
    address -> when. No statement for none."""
    if not proofs:
        return 0
    rows = BouncedAddress.objects.filter(address__in=list(proofs))
    over = [row.pk for row in rows if proofs[row.address] > row.bounced_on]
    return BouncedAddress.objects.filter(pk__in=over).delete()[0] if over else 0


def bounced(addresses: Iterable[str]) -> list[BouncedAddress]:
    """Those of these addresses that mail came back from."""
    keys = {key for address in addresses if (key := address_key(address))}
    if not keys:
        return []
    return list(BouncedAddress.objects.filter(address__in=keys).order_by("address"))
