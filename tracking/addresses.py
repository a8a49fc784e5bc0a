"""Who is behind an address: reads the matches and the parties of a whole page.

Cost: one query on the index, one per kind of record found, at most two for the parties.
"""

from collections.abc import Iterable

from tracking.acceptance import Party, PartyKey
from tracking.resolution import AddressBook


def look_up(addresses: Iterable[str]) -> AddressBook:
    """Every record with one of these addresses (any case). Over R3.34's limit an address has none."""
    raise NotImplementedError


def load_parties(book: AddressBook, also: Iterable[PartyKey] = ()) -> dict[PartyKey, Party]:
    """Users and queues of the book with their filters; `also`: the party whose mailbox is read."""
    raise NotImplementedError
