"""PURE  Which record an address stands for, and why that one (R3.31-R3.39).

`addresses.look_up` reads the matches of a whole page; the functions here choose among them for one
message:

    1  disabled users never count, and no inactive record where the organization says so (R3.39)
    2  more than a hundred: nobody (R3.34)
    3  one: that one, whatever its state (R3.32)
    4  several, and the organization leaves them open: nobody (R3.35, R3.36)
    5  of a recipient: all of them (R3.36)
    6  of the sender: active before inactive, then what the owner of the mailbox being read owns
       (R3.33), then the order of kinds, then the oldest key (R3.32)
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol
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
    that sorts as the keys do, oldest first. The company is the account of a contact.
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
    company_id: UUID | None = None
    company_name: str = ""

    @property
    def rank(self) -> tuple[bool, int, str, str, str]:
        order = TYPE_ORDER.index(self.kind) if self.kind in TYPE_ORDER else len(TYPE_ORDER)
        return (not self.active, order, self.kind, self.seniority, self.id)

    @property
    def is_ignored(self) -> bool:
        """Disabled users never count (R3.39)."""
        return self.kind == USER and not self.active

    def is_owned_by(self, user_id: UUID | None, team_id: UUID | None) -> bool:
        if user_id is not None:
            return self.owner_user_id == user_id
        return team_id is not None and self.owner_team_id == team_id


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolutionRules:
    """The organization's switches, as they act, and who owns the mailbox being read (R3.33)."""

    leave_senders_open: bool = False
    leave_recipients_open: bool = False
    ignore_inactive: bool = False
    owner_user_id: UUID | None = None
    owner_team_id: UUID | None = None

    def owns(self, match: Match) -> bool:
        return match.is_owned_by(self.owner_user_id, self.owner_team_id)


class Settings(Protocol):
    def effective(self, name: str) -> Any: ...


def rules_of(
    organization: Settings, owner_user_id: UUID | None = None, owner_team_id: UUID | None = None
) -> ResolutionRules:
    return ResolutionRules(
        leave_senders_open=organization.effective("unresolve_sender_in_case_of_multiple_match"),
        leave_recipients_open=organization.effective("unresolve_email_address_if_multiple_match"),
        ignore_inactive=organization.effective("ignore_inactive_records_in_resolution"),
        owner_user_id=owner_user_id,
        owner_team_id=owner_team_id,
    )


AS_EVER = ResolutionRules()


@dataclass(frozen=True, slots=True)
class AddressBook:
    """Every match of every address of a page. `too_many`: keys of addresses over the limit."""

    matches: Mapping[str, tuple[Match, ...]] = field(default_factory=dict)
    too_many: frozenset[str] = frozenset()

    def at(self, address: str) -> tuple[Match, ...]:
        return self.matches.get(Address(address).key, ())

    def stands_for(self, address: str, kind: str, id: str) -> bool:
        return any((match.kind, match.id) == (kind, id) for match in self.at(address))

    def with_match(self, address: str, match: "Match") -> "AddressBook":
        """The same book with one more record at an address."""
        key = Address(address).key
        return AddressBook({**self.matches, key: (*self.at(address), match)}, self.too_many)

    def without(self, records: Collection[tuple[str, str]]) -> "AddressBook":
        """The same book as if these records did not exist yet."""
        if not records:
            return self
        left = {
            key: tuple(match for match in matches if (match.kind, match.id) not in records)
            for key, matches in self.matches.items()
        }
        return AddressBook(left, self.too_many)

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

    `position` counts from 0 within the role. `others`: matches of an address that is left open (R3.36).
    """

    role: ParticipationType
    position: int
    address: str
    name: str = ""
    matches: tuple[Match, ...] = ()
    others: tuple[Match, ...] = ()
    ignored: tuple[Match, ...] = ()
    because: ResolvedBecause = ResolvedBecause.NO_MATCH


#: A message that was forwarded from server to server has one such header for each; a forger has more.
MOST_DELIVERIES = 10


def addresses_of(message: ParsedMessage, *, envelope: bool = False) -> set[str]:
    """Keys of every address that must be looked up for a message. `envelope`: also what it says of its
    delivery (R10.9)."""
    found = [*message.to, *message.cc, *message.bcc]
    if message.sender:
        found.append(message.sender)
    if envelope:
        found += map(Address, message.delivered_to[:MOST_DELIVERIES])
    return {address.key for address in found if address.key}


def resolve_sender(
    sender: Address | None, book: AddressBook, rules: ResolutionRules = AS_EVER
) -> Resolution:
    """The one record behind the sender, or none (R3.32-R3.35)."""
    if sender is None or not sender.key:
        return Resolution(address="", because=ResolvedBecause.NO_ADDRESS)
    usable, ignored = _matches(sender, book, rules)
    ranked = sorted(usable, key=lambda match: (not match.active, not rules.owns(match)))
    because = _because_of_sender(sender, usable, ranked, book, rules)
    chosen = ranked[0] if because in CHOOSES else None
    return Resolution(
        address=sender.address,
        name=sender.name,
        match=chosen,
        others=tuple(ranked[1:] if chosen else ranked),
        ignored=ignored,
        because=because,
    )


CHOOSES = frozenset(
    {ResolvedBecause.ONLY_MATCH, ResolvedBecause.FIRST_IN_ORDER, ResolvedBecause.OWNED}
)


def _because_of_sender(
    sender: Address,
    usable: Sequence[Match],
    ranked: Sequence[Match],
    book: AddressBook,
    rules: ResolutionRules,
) -> ResolvedBecause:
    if book.exceeds(sender.address):
        return ResolvedBecause.TOO_MANY
    if len(usable) < 2:
        return ResolvedBecause.ONLY_MATCH if usable else ResolvedBecause.NO_MATCH
    if rules.leave_senders_open:
        return ResolvedBecause.LEFT_OPEN
    # Said only where it turned the choice: an owned contact before a strange one is just the first.
    return ResolvedBecause.FIRST_IN_ORDER if ranked[0] == usable[0] else ResolvedBecause.OWNED


def _matches(
    address: Address, book: AddressBook, rules: ResolutionRules
) -> tuple[tuple[Match, ...], tuple[Match, ...]]:
    """Those that count, best first, and those that don't."""
    found = sorted(book.at(address.address), key=lambda match: match.rank)

    def counts(match: Match) -> bool:
        return match.active or not (match.is_ignored or rules.ignore_inactive)

    usable = tuple(match for match in found if counts(match))
    return usable, tuple(match for match in found if not counts(match))


def resolve_recipients(
    message: ParsedMessage, book: AddressBook, rules: ResolutionRules = AS_EVER
) -> tuple[RecipientResolution, ...]:
    """To, Cc and Bcc in the order of the message, with every record behind each address.

    An address that one header repeats counts once. Over R3.34's limit it stays unresolved, too.
    """
    roles = (
        (ParticipationType.TO, message.to),
        (ParticipationType.CC, message.cc),
        (ParticipationType.BCC, message.bcc),
    )
    return tuple(
        _recipient(role, position, address, book, rules)
        for role, addresses in roles
        for position, address in enumerate(_once_each(addresses))
    )


def _recipient(
    role: ParticipationType,
    position: int,
    address: Address,
    book: AddressBook,
    rules: ResolutionRules,
) -> RecipientResolution:
    usable, ignored = _matches(address, book, rules) if address.key else ((), ())
    because = _because_of_recipient(address, usable, book, rules)
    left_open = because == ResolvedBecause.LEFT_OPEN
    return RecipientResolution(
        role=role,
        position=position,
        address=address.address,
        name=address.name,
        matches=() if left_open else usable,
        others=usable if left_open else (),
        ignored=ignored,
        because=because,
    )


def _because_of_recipient(
    address: Address, usable: Sequence[Match], book: AddressBook, rules: ResolutionRules
) -> ResolvedBecause:
    if not address.key:
        return ResolvedBecause.NO_ADDRESS
    if book.exceeds(address.address):
        return ResolvedBecause.TOO_MANY
    if len(usable) < 2:
        return ResolvedBecause.ONLY_MATCH if usable else ResolvedBecause.NO_MATCH
    return ResolvedBecause.LEFT_OPEN if rules.leave_recipients_open else ResolvedBecause.ALL_MATCHES


def _once_each(addresses: Iterable[Address]) -> list[Address]:
    seen: set[str] = set()
    kept = []
    for address in addresses:
        identity = address.key or f"\0{address.name}"
        if identity not in seen:
            seen.add(identity)
            kept.append(address)
    return kept


def stored_recipients(
    recipients: Iterable[RecipientResolution], *, incoming: bool
) -> Sequence[RecipientResolution]:
    """Those that become parties: received mail has no Bcc (R3.38)."""
    return [r for r in recipients if not (incoming and r.role == ParticipationType.BCC)]
