"""Fields of a contact as its columns, many contacts at once."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from activities.models import Contact
from mailboxes.models import SystemUser
from mailboxes.protocols.items import Address, Fields
from mailboxes.search import email_columns, reindex
from serversync.act.fields import ADDRESSES
from serversync.act.fitting import street_lines
from serversync.act.store.reading import CONTACT_COLUMNS

AT_ONCE = 200


@dataclass(slots=True)
class Contacts:
    """Notes what is to be written; `flush` writes it, in statements that don't grow with the number."""

    user: SystemUser
    now: datetime
    made: list[Contact] = field(default_factory=list)
    changed: dict[Any, Contact] = field(default_factory=dict)
    columns: set[str] = field(default_factory=set)

    def make(self, fields: Fields) -> Contact:
        whose = {"owning_user": self.user, "created_by": self.user, "modified_by": self.user}
        contact = Contact(**whose, **columns_of(fields))
        self.made.append(contact)
        return contact

    def change(self, contact: Contact, fields: Fields) -> None:
        differing = {
            name: value
            for name, value in columns_of(fields).items()
            if getattr(contact, name) != value
        }
        if differing:
            stamps = {"modified_on": self.now, "modified_by": self.user}
            for name, value in (differing | stamps).items():
                setattr(contact, name, value)
            self.changed[contact.pk] = contact
            self.columns |= {*differing, *stamps}

    def flush(self) -> None:
        """Bulk writing bypasses what keeps the index of addresses."""
        Contact.objects.bulk_create(self.made, batch_size=AT_ONCE)
        if self.changed:
            Contact.objects.bulk_update(
                self.changed.values(), sorted(self.columns), batch_size=AT_ONCE
            )
        readdressed = self.changed if self.columns & set(email_columns(Contact)) else ()
        if keys := _keys(self.made) | set(readdressed):
            reindex(Contact, keys)


def _keys(contacts: Iterable[Contact]) -> set[Any]:
    return {contact.pk for contact in contacts}


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
