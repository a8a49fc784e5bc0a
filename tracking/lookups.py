"""Everything that the decisions of one page read, looked up for all its messages together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from django.db.models import Q

from activities.identity import distinct_key, message_key
from activities.mime.message import ParsedMessage
from activities.models import Email, QueueItem
from activities.store import Standing
from tracking import earlier, reports
from tracking.acceptance import DefaultQueue, Owner, Party, PartyKey
from tracking.addresses import default_queue_of, look_up_people
from tracking.brakes import hour_of
from tracking.choices import PartyKind
from tracking.correlate import (
    Correlation,
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
from tracking.reading import Former, Reading
from tracking.resolution import AddressBook, addresses_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Past:
    """The world as messages met it that are decided again (tracking.again).

    `there`: of emails that may be found at all; `made`: records that only come of those messages;
    `stored`: emails that have come of such messages by now. What else was stored is met in its time.
    """

    there: Q
    made: frozenset[tuple[str, str]] = frozenset()
    stored: tuple[StoredEmail, ...] = ()


@dataclass(slots=True)
class Page:
    """What was looked up for all messages of a page together. Of decisions taken again: `waiting` are
    emails that were stored later, `filed` the records that folders gave, `differs` which emails are filed
    otherwise than before."""

    book: AddressBook
    parties: dict[PartyKey, Party]
    candidates: CorrelationCandidates
    switches: CorrelationSwitches
    stored: dict[tuple[UUID, int], Standing]
    with_queue_item: set[tuple[str, UUID]]
    owners_queue: DefaultQueue | None = None  # of the mailbox's owner, where that is no party
    prospects: Prospects = field(default_factory=Prospects)
    sent: tuple[StoredEmail, ...] = ()  # to whom reports tell of that name no message of ours
    waiting: list[tuple[datetime, StoredEmail, Standing]] = field(default_factory=list)
    filed: dict[UUID, tuple[int | None, str]] = field(default_factory=dict)
    differs: set[UUID] = field(default_factory=set)

    def advance(self, now: datetime) -> None:
        """What had been stored before this moment is there."""
        while self.waiting and self.waiting[-1][0] < now:
            _since, email, standing = self.waiting.pop()
            self.remember(email, standing)

    def as_filed(self, correlation: Correlation, former: Former) -> Correlation:
        """With the record under which the answered email is filed in this world. Where it is the email
        that was answered before, and nothing has changed about that, what the message inherited tells
        how it was filed at that time, whoever has filed it otherwise since."""
        email = correlation.email
        if email is None:
            return correlation
        filed: tuple[int | None, str] | None = self.filed.get(email.id)
        if former.inherited and former.answered == email.id and email.id not in self.differs:
            filed = former.filed or (None, "")
        if filed is None:
            return correlation
        type_id, key = filed
        return replace(
            correlation, email=replace(email, regarding_type_id=type_id, regarding_id=key)
        )

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

    def meet(self, creation: Creation, email_id: UUID, now: datetime) -> None:
        """... and find what it has made."""
        case = creation.case.case if creation.case is not None else None
        self.prospects.remember(creation.person, case, email_id)
        if creation.person is not None:
            self.prospects.made[creation.maker, hour_of(now)] += 1
            self.book = self.book.with_match(creation.person.address, creation.person.match)
        if creation.answer is not None:
            self.prospects.count(creation.answer)


def page_of(reading: Reading, messages: Sequence[ParsedMessage], past: Past | None = None) -> Page:
    """Everything the page's decisions read: addresses, parties, stored e-mails. `past`: the messages
    were decided before; the first of them is that of `reading.now`, and `advance` goes on from there."""
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
    book = people.book.without(past.made) if past else people.book
    switches, own = switches_of(reading.organization), _own(addresses, book)
    since = reading.now - look_back(switches.days)
    want = wanted(messages, switches, own)
    emails = earlier.load(keys, want, since, past.there if past else earlier.EVERY)
    sent = _sent(messages, emails, reading) if switches.reports else []
    participants = earlier.participants([*emails, *sent], want, {email.pk for email in sent})
    stored = {
        (key, email.direction_code): Standing(email.pk, email.sender, email.sent_on)
        for email in emails
        for key in earlier.keys_of(email)
    }
    known = [earlier.stored(email, participants) for email in emails]
    waiting = _in_their_time(emails, known) if past else []
    candidates = CorrelationCandidates(
        known if past is None else (),
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
        [*known, *past.stored] if past else known,
        reading.now,
        allowed=reading.organization.auto_create_contact_on_promote,
        counted=past is None,
    )
    page = Page(
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
    if past is not None:
        page.stored, page.waiting = {}, waiting
        page.advance(reading.now)
    return page


def _in_their_time(
    emails: Sequence[Email], known: Sequence[StoredEmail]
) -> list[tuple[datetime, StoredEmail, Standing]]:
    """The latest first."""
    found = [
        (earlier.known_since(row), email, Standing(row.pk, row.sender, row.sent_on))
        for row, email in zip(emails, known, strict=True)
    ]
    return sorted(found, key=lambda one: (one[0], one[1].id), reverse=True)


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
