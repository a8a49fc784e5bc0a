"""Fields of a contact as its columns."""

from typing import Any

from activities.models import Contact
from mailboxes.protocols.items import Address, Fields
from serversync.act.fields import ADDRESSES
from serversync.act.fitting import street_lines
from serversync.act.store.batch import Batch
from serversync.act.store.reading import CONTACT_COLUMNS


def make(batch: Batch, fields: Fields) -> Contact:
    contact = Contact(owning_user=batch.user)
    batch.change(contact, **columns_of(fields))
    batch.make(contact)
    return contact


def change(batch: Batch, contact: Contact, fields: Fields) -> None:
    columns = columns_of(fields)
    if columns:
        batch.change(contact, **columns)
        batch.stamp(contact)


def columns_of(fields: Fields) -> dict[str, Any]:
    """What only goes to the server has none: the company is the account's name."""
    columns: dict[str, Any] = {
        CONTACT_COLUMNS[name]: value for name, value in fields.items() if name in CONTACT_COLUMNS
    }
    for name, number in ADDRESSES.items():
        if name in fields:
            columns |= _address(number, fields[name])
    return columns


def _address(number: int, address: Any) -> dict[str, str]:
    address = address or Address()
    street = [*street_lines(address.street), "", "", ""]
    return {
        f"address{number}_line1": street[0],
        f"address{number}_line2": street[1],
        f"address{number}_line3": street[2],
        f"address{number}_city": address.city,
        f"address{number}_state_or_province": address.state,
        f"address{number}_postal_code": address.postal_code,
        f"address{number}_country": address.country,
    }
