"""PURE  Which record an address stands for, and why that one (R3.31-R3.39).

`addresses.look_up` reads the matches of a whole page; the functions here choose among them for one
message. Ambiguity has its place in `_choose`: ownership (R3.33) and the switches that leave several
matches unresolved (R3.35, R3.36, R3.39) go before its last line. Until then several matches mean:
active before inactive, then the type order of R3.32, then the oldest key.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from uuid import UUID

from activities.choices import ParticipationType
from activities.mime.message import Address, ParsedMessage
from tracking.choices import ResolvedBecause

#: More matches than these leave an address unresolved (R3.34).
MOST_MATCHES = 100

USER, QUEUE = "mailboxes.systemuser", "mailboxes.queue"
CONTACT, ACCOUNT, LEAD = "activities.contact", "activities.account", "activities.lead"
#: R3.32. Equipment and business units don't exist here; queues and a site's own models come last.
TYPE_ORDER = (USER, CONTACT, ACCOUNT, LEAD, "mailboxes.team")


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """One record with an address. `kind`: the model's label in lower case; `id`: its key as text.

    `column`: which of its address columns holds the address, from 1. `seniority`: the key as a text
    that sorts as the keys do, oldest first.
    """

    kind: str
    id: str
    name: str
    active: bool = True
    owner_user_id: UUID | None = None
    owner_team_id: UUID | None = None
    column: int = 1
    do_not_email: bool = False
    seniority: str = ""

    @property
    def rank(self) -> tuple[bool, int, str, str, str]:
        order = TYPE_ORDER.index(self.kind) if self.kind in TYPE_ORDER else len(TYPE_ORDER)
        return (not self.active, order, self.kind, self.seniority, self.id)

    @property
    def is_ignored(self) -> bool:
        """Disabled users never count (R3.39)."""
        return self.kind == USER and not self.active


@dataclass(frozen=True, slots=True)
class AddressBook:
    """Every match of every address of a page. `too_many`: keys of addresses over the limit."""

    matches: Mapping[str, tuple[Match, ...]] = field(default_factory=dict)
    too_many: frozenset[str] = frozenset()

    def at(self, address: str) -> tuple[Match, ...]:
        return self.matches.get(Address(address).key, ())

    def exceeds(self, address: str) -> bool:
        return Address(address).key in self.too_many


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolution:
    """The sender. `others`: matches that were not chosen; `ignored`: matches that never count."""

    address: str
    name: str = ""
    match: Match | None = None
    others: tuple[Match, ...] = ()
    ignored: tuple[Match, ...] = ()
    because: ResolvedBecause = ResolvedBecause.NO_MATCH


@dataclass(frozen=True, slots=True, kw_only=True)
class RecipientResolution:
    """One recipient address of one role; no match: an unresolved party (R3.37).

    `position` counts from 0 within the role.
    """

    role: ParticipationType
    position: int
    address: str
    name: str = ""
    matches: tuple[Match, ...] = ()
    ignored: tuple[Match, ...] = ()
    because: ResolvedBecause = ResolvedBecause.NO_MATCH


def addresses_of(message: ParsedMessage) -> set[str]:
    """Keys of every address that must be looked up for a message."""
    found = [*message.to, *message.cc, *message.bcc]
    if message.sender:
        found.append(message.sender)
    return {address.key for address in found if address.key}


def resolve_sender(sender: Address | None, book: AddressBook) -> Resolution:
    """The one record behind the sender, or none (R3.32, R3.34)."""
    if sender is None or not sender.key:
        return Resolution(address="", because=ResolvedBecause.NO_ADDRESS)
    chosen, others, ignored, because = _choose(sender, book)
    return Resolution(
        address=sender.address,
        name=sender.name,
        match=chosen,
        others=others,
        ignored=ignored,
        because=because,
    )


def _choose(
    sender: Address, book: AddressBook
) -> tuple[Match | None, tuple[Match, ...], tuple[Match, ...], ResolvedBecause]:
    if book.exceeds(sender.address):
        return None, (), (), ResolvedBecause.TOO_MANY
    usable, ignored = _matches(sender, book)
    if not usable:
        return None, (), ignored, ResolvedBecause.NO_MATCH
    if len(usable) == 1:
        return usable[0], (), ignored, ResolvedBecause.ONLY_MATCH
    return usable[0], usable[1:], ignored, ResolvedBecause.FIRST_IN_ORDER


def _matches(address: Address, book: AddressBook) -> tuple[tuple[Match, ...], tuple[Match, ...]]:
    """Those that count, best first, and those that never do."""
    found = sorted(book.at(address.address), key=lambda match: match.rank)
    usable = tuple(match for match in found if not match.is_ignored)
    return usable, tuple(match for match in found if match.is_ignored)


def resolve_recipients(
    message: ParsedMessage, book: AddressBook
) -> tuple[RecipientResolution, ...]:
    """To, Cc and Bcc in the order of the message, with every record behind each address.

    An address that one header repeats counts once. Over R3.34's limit it stays unresolved, too.
    """
    roles = (
        (ParticipationType.TO, message.to),
        (ParticipationType.CC, message.cc),
        (ParticipationType.BCC, message.bcc),
    )
    resolved = []
    for role, addresses in roles:
        for position, address in enumerate(_once_each(addresses)):
            matches, ignored, because = _all_matches(address, book)
            resolved.append(
                RecipientResolution(
                    role=role,
                    position=position,
                    address=address.address,
                    name=address.name,
                    matches=matches,
                    ignored=ignored,
                    because=because,
                )
            )
    return tuple(resolved)


def _once_each(addresses: Iterable[Address]) -> list[Address]:
    seen: set[str] = set()
    kept = []
    for address in addresses:
        identity = address.key or f"\0{address.name}"
        if identity not in seen:
            seen.add(identity)
            kept.append(address)
    return kept


def _all_matches(
    address: Address, book: AddressBook
) -> tuple[tuple[Match, ...], tuple[Match, ...], ResolvedBecause]:
    if not address.key:
        return (), (), ResolvedBecause.NO_ADDRESS
    if book.exceeds(address.address):
        return (), (), ResolvedBecause.TOO_MANY
    usable, ignored = _matches(address, book)
    because = {0: ResolvedBecause.NO_MATCH, 1: ResolvedBecause.ONLY_MATCH}
    return usable, ignored, because.get(len(usable), ResolvedBecause.ALL_MATCHES)


def stored_recipients(
    recipients: Iterable[RecipientResolution], *, incoming: bool
) -> Sequence[RecipientResolution]:
    """Those that become parties: received mail has no Bcc (R3.38)."""
    return [r for r in recipients if not (incoming and r.role == ParticipationType.BCC)]
