"""Everything that the decisions of one page read, looked up for all its messages together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from activities.identity import distinct_key, message_key
from activities.mime.message import ParsedMessage
from activities.models import Email, QueueItem
from activities.store import Standing
from tracking import earlier, reports
from tracking.acceptance import DefaultQueue, Owner, Party, PartyKey
from tracking.addresses import default_queue_of, look_up_people
from tracking.choices import PartyKind
from tracking.correlate import (
    CorrelationCandidates,
    CorrelationSwitches,
    StoredEmail,
    switches_of,
    wanted,
)
from tracking.creation import Creation
from tracking.matching import look_back
from tracking.prospects import Prospects
from tracking.prospects import load as load_prospects
from tracking.reading import Reading
from tracking.resolution import AddressBook, addresses_of


@dataclass(slots=True)
class Page:
    """What was looked up for all messages of a page together."""

    book: AddressBook
    parties: dict[PartyKey, Party]
    candidates: CorrelationCandidates
    switches: CorrelationSwitches
    stored: dict[tuple[UUID, int], Standing]
    with_queue_item: set[tuple[str, UUID]]
    owners_queue: DefaultQueue | None = None  # of the mailbox's owner, where that is no party
    prospects: Prospects = field(default_factory=Prospects)
    sent: tuple[StoredEmail, ...] = ()  # to whom reports tell of that name no message of ours

    def default_queue(self, owner: Owner) -> DefaultQueue | None:
        """Where the work of this owner waits (R3.53): of a party's, else of the mailbox's owner."""
        for party in self.parties.values():
            if party.owner.is_same(owner.user_id, owner.team_id):
                return party.default_queue
        return self.owners_queue

    def remember(self, email: StoredEmail, standing: Standing) -> None:
        """Later messages of the page see this one as stored."""
        for key in email.keys:
            self.stored[(key, email.direction)] = standing
        self.candidates.add(email)

    def meet(self, creation: Creation, email_id: UUID) -> None:
        """... and find what it has made."""
        case = creation.case.case if creation.case is not None else None
        self.prospects.remember(creation.person, case, email_id)
        if creation.person is not None:
            self.book = self.book.with_match(creation.person.address, creation.person.match)
        if creation.answer is not None:
            self.prospects.count(creation.answer)


def page_of(reading: Reading, messages: Sequence[ParsedMessage]) -> Page:
    """Everything the page's decisions read: addresses, parties, stored e-mails."""
    addresses: set[str] = set()
    keys: set[UUID] = set()
    envelope = reading.organization.effective("use_envelope_evidence")
    for message in messages:
        addresses |= addresses_of(message, envelope=envelope)
        keys.add(key_of(message))
        if message.message_id:
            keys.add(distinct_of(message))
    people = look_up_people(
        addresses,
        also=[reading.party] if reading.party else [],
        ask_permission=reading.organization.effective("own_email_needs_permission"),
    )
    book = people.book
    switches, own = switches_of(reading.organization), _own(addresses, book)
    since = reading.now - look_back(switches.days)
    want = wanted(messages, switches, own)
    emails = earlier.load(keys, want, since)
    sent = _sent(messages, emails, reading) if switches.reports else []
    participants = earlier.participants([*emails, *sent], want, {email.pk for email in sent})
    stored = {
        (key, email.direction_code): Standing(email.pk, email.sender, email.sent_on)
        for email in emails
        for key in earlier.keys_of(email)
    }
    known = [earlier.stored(email, participants) for email in emails]
    candidates = CorrelationCandidates(
        known,
        own,
        switches.matching if switches.smart_matching else None,
        since,
    )
    items = _with_queue_items(reading, stored)
    queue = _owners_queue(reading)
    prospects = load_prospects(
        messages,
        book,
        people.parties,
        known,
        reading.now,
        allowed=reading.organization.auto_create_contact_on_promote,
    )
    return Page(
        book,
        people.parties,
        candidates,
        switches,
        stored,
        items,
        queue,
        prospects,
        tuple(earlier.stored(email, participants) for email in sent),
    )


def _sent(
    messages: Sequence[ParsedMessage], emails: Sequence[Email], reading: Reading
) -> list[Email]:
    """R5.21. No statement unless a report of the page leaves open which message it is about."""
    known = CorrelationCandidates(earlier.stored(email, {}) for email in emails)
    addresses = {a for m in messages for a in reports.addresses_to_look_for(m, known)}
    return earlier.sent_to(addresses, reading.now - timedelta(days=reports.DAYS))


def _owners_queue(reading: Reading) -> DefaultQueue | None:
    """Whoever owns a forward mailbox need not be a party; of other mailboxes the party brings it."""
    routed = reading.organization.effective("route_email_to_default_queue")
    return default_queue_of(reading.mailbox) if routed and reading.party is None else None


def _own(addresses: Iterable[str], book: AddressBook) -> set[str]:
    """Those of users and queues."""
    kinds = set(PartyKind.values)
    return {address for address in addresses if any(m.kind in kinds for m in book.at(address))}


def _with_queue_items(
    reading: Reading, stored: dict[tuple[UUID, int], Standing]
) -> set[tuple[str, UUID]]:
    """(queue, e-mail) pairs that have an item, open or done; asked only where R3.55 is on."""
    switch = "sss_create_additional_queue_items_for_already_tracked_email"
    if not stored or not getattr(reading.organization, switch):
        return set()
    ids = {standing.id for standing in stored.values()}
    pairs = QueueItem.objects.filter(object_id__in=ids).values_list("queue_id", "object_id")
    return {(str(queue), email) for queue, email in pairs}


def key_of(message: ParsedMessage) -> UUID:
    return message_key(
        message.message_id,
        message.sender.address if message.sender else "",
        message.date_text,
        message.subject,
        message.body_size,
    )


def distinct_of(message: ParsedMessage) -> UUID:
    sender = message.sender.address if message.sender else ""
    return distinct_key(message.message_id, sender, message.date_text)
