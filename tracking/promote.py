"""Read candidates, decide, write a page of e-mail activities. Called by the incoming cycle.

`plan_page` reads and decides outside any transaction and touches nothing; `write_page` writes inside
the caller's. Between the two another worker may have stored the same message: that is no failure,
the loser becomes a duplicate (activities.store).

A page's decisions are made in order, and each sees the outcomes of those before it: a reply finds
the message right in front of it, and the second copy of a message is a duplicate of the first.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.apps import apps
from django.contrib.contenttypes.models import ContentType

from activities import blobs
from activities.choices import Direction, EmailStatus, Notifications, ParticipationType
from activities.html import truncate_html
from activities.identity import distinct_key, message_key, same_message
from activities.mime.message import Address, Attachment, ParsedMessage
from activities.mime.parse import forwarded_originals, parse
from activities.models import QueueItem
from activities.store import (
    NewAttachment,
    NewEmail,
    NewParty,
    Standing,
    add_queue_items,
    write_emails,
)
from mailboxes.choices import IncomingDeliveryMethod
from mailboxes.models import Mailbox, Organization, uuid7
from tracking import earlier, trace
from tracking.acceptance import (
    Acceptance,
    Owner,
    Party,
    PartyKey,
    accept,
    accept_sent,
    candidates_of,
    is_usable,
    rules_of,
)
from tracking.acceptance import facts_of as acceptance_facts
from tracking.addresses import load_parties, look_up
from tracking.candidates import arrival_of, bounds_of, skip_message
from tracking.choices import (
    AcceptReason,
    OwnerBecause,
    PartyKind,
    QueueItemBecause,
    SkipReason,
    SubReason,
    Way,
)
from tracking.choices import Outcome as State
from tracking.conversation_index import base_hash, octets_of
from tracking.correlate import (
    Correlation,
    CorrelationCandidates,
    CorrelationSwitches,
    StoredEmail,
    correlate,
    participants_of,
    switches_of,
    wanted,
)
from tracking.matching import hash_rows, look_back
from tracking.ownership import OwnerChoice, choose_owner
from tracking.resolution import (
    AddressBook,
    Match,
    RecipientResolution,
    Resolution,
    addresses_of,
    resolve_recipients,
    resolve_sender,
    stored_recipients,
)

log = logging.getLogger(__name__)

BODY_LIMIT = 1024 * 1024  # R3.47
INVALID_FORWARD = "InvalidForwardMailItem"  # R3.75
REUSED = "message_id_reused"  # R3.20


def _no_probe(value: str, party: PartyKey) -> bool:
    return False


#: Why mail that came on these ways is accepted without asking a filter (R7.6, R7.21).
CHOSEN = {Way.FOLDER: SubReason.FOLDER_RULE, Way.CATEGORY: SubReason.CATEGORY}


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderRule:
    """A tracked folder as a page needs it. `record`: what its mail is filed under, None for nothing."""

    id: UUID
    name: str
    record: trace.Named | None = None
    record_type_id: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Whose mailbox is read, under which settings. `party` None: a forward mailbox.

    `way`: how its messages come before the decision; `rule`: the folder rule, where that is the way.
    `is_probe_of`: did we make the probe with this header for the mailbox of this party? Asked of
    originals inside a forward (R2.14, R3.75); the caller knows how probes are signed.
    """

    mailbox: Mailbox
    organization: Organization
    party: PartyKey | None
    start: datetime | None
    watermark: datetime | None
    now: datetime
    way: Way = Way.INBOX
    rule: FolderRule | None = None
    is_probe_of: Callable[[str, PartyKey], bool] = _no_probe


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One fetched message. `key`: the caller's name for it, unique within the page."""

    key: str
    message: ParsedMessage
    raw: bytes = field(repr=False)
    received_at: datetime | None = None
    is_own_probe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Where a message ended. `decision`: see tracking.trace."""

    state: State
    reason: str
    sub_reason: str = ""
    email_id: UUID | None = None
    decision: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Plan:
    """What is to become of one message. `part` 0: the message itself; from 1: originals inside a
    forward (R3.75). `error`: deciding failed; nothing is written for it."""

    key: str
    part: int = 0
    message: ParsedMessage
    decision: trace.Decision | None = None
    new_email: NewEmail | None = None
    duplicate_of: UUID | None = None
    extra_queue_id: UUID | None = None
    error: str = ""


@dataclass(slots=True, kw_only=True)
class _Unit:
    """One message to decide: a fetched one, or an original found inside it."""

    incoming: Incoming
    part: int
    message: ParsedMessage
    raw: bytes
    reading: PartyKey | None
    forwarded_by: trace.Named | None = None


@dataclass(slots=True)
class _Page:
    """What was looked up for all messages of a page together."""

    book: AddressBook
    parties: dict[PartyKey, Party]
    candidates: CorrelationCandidates
    switches: CorrelationSwitches
    stored: dict[tuple[UUID, int], Standing]
    with_queue_item: set[tuple[str, UUID]]


def reading_of(mailbox: Mailbox) -> PartyKey | None:
    """The party whose mailbox it is; None for a forward mailbox."""
    if mailbox.regarding_user_id:
        return (PartyKind.USER.value, str(mailbox.regarding_user_id))
    if mailbox.regarding_queue_id:
        return (PartyKind.QUEUE.value, str(mailbox.regarding_queue_id))
    return None


class PageStale(Exception):
    """A message of this page lost a collision to what another worker stored, and others of the page
    rest on it: answers, copies, or those that left its id to it. Plan the page again: then they rest
    on what stands."""


# -- plan ----------------------------------------------------------------------------------------


def plan_page(reading: Reading, incoming: Sequence[Incoming], staged: blobs.Staged) -> list[Plan]:
    """Decide a page. Bytes that accepted messages need are added to `staged`.

    A message whose deciding fails gets a plan with `error`, and the others go on (R3.67).
    """
    plans: list[Plan] = []
    units: list[_Unit] = []
    for one in incoming:
        skipped = _skip(reading, one)
        if skipped is not None:
            plans.append(skipped)
        elif reading.mailbox.is_forward_mailbox:
            units.append(_Unit(incoming=one, part=0, message=one.message, raw=b"", reading=None))
        else:
            units.append(
                _Unit(incoming=one, part=0, message=one.message, raw=one.raw, reading=reading.party)
            )
    if not units:
        return plans
    originals = _originals(units) if reading.mailbox.is_forward_mailbox else {}
    every = [unit.message for unit in units] + [m for part in originals.values() for _, m in part]
    page = _look_up(reading, every)
    if reading.mailbox.is_forward_mailbox:
        wrappers, units = units, []
        for wrapper in wrappers:
            plan, inner = _unwrap(reading, wrapper, originals[wrapper.incoming.key], page)
            plans.append(plan)
            units += inner
    for unit in units:
        try:
            plan = _decide(reading, unit, page)
            if plan.new_email is not None:
                _stage(plan, unit, reading, staged)
        except Exception as error:
            log.exception("deciding %s failed", unit.incoming.key)
            plan = Plan(
                key=unit.incoming.key,
                part=unit.part,
                message=unit.message,
                error=f"{type(error).__name__}: {error}",
            )
        plans.append(plan)
    return plans


def _named(kind: str, record: Any) -> trace.Named:
    return trace.Named(kind, str(record.pk), str(record))


def _base(reading: Reading, one: Incoming, message: ParsedMessage) -> dict[str, Any]:
    """What every decision says."""
    return {
        "decided_at": reading.now,
        "mailbox": _named("mailboxes.mailbox", reading.mailbox),
        "size": message.size,
        "received_at": one.received_at,
        "message": message,
        "way": reading.way,
        "folder": trace.Named("", str(reading.rule.id), reading.rule.name)
        if reading.rule
        else None,
    }


def _skip(reading: Reading, one: Incoming) -> Plan | None:
    if one.is_own_probe:
        decision = trace.Decision(
            outcome=State.SKIPPED,
            reason=SkipReason.OWN_PROBE.value,
            **_base(reading, one, one.message),
        )
        return Plan(key=one.key, message=one.message, decision=decision)
    watermark = reading.watermark if reading.way == Way.INBOX else None
    bounds = bounds_of(reading.organization, reading.start, None, watermark)
    arrived = one.received_at or arrival_of(one.raw)
    # What somebody marked by hand is bound by no date (R3.9).
    skip = skip_message(one.message, arrived, bounds, manually_tracked=reading.way == Way.CATEGORY)
    if skip is None:
        return None
    decision = trace.Decision(
        outcome=State.SKIPPED,
        reason=skip.reason.value,
        skip_detail=skip.detail,
        skip_limit=skip.limit,
        **_base(reading, one, one.message),
    )
    return Plan(key=one.key, message=one.message, decision=decision)


def _key(message: ParsedMessage) -> UUID:
    return message_key(
        message.message_id,
        message.sender.address if message.sender else "",
        message.date_text,
        message.subject,
        message.body_size,
    )


def _distinct(message: ParsedMessage) -> UUID:
    sender = message.sender.address if message.sender else ""
    return distinct_key(message.message_id, sender, message.date_text)


def _look_up(reading: Reading, messages: Sequence[ParsedMessage]) -> _Page:
    """Everything the page's decisions read: addresses, parties, stored e-mails."""
    addresses: set[str] = set()
    keys: set[UUID] = set()
    for message in messages:
        addresses |= addresses_of(message)
        keys.add(_key(message))
        if message.message_id:
            keys.add(_distinct(message))
    book = look_up(addresses)
    parties = load_parties(book, also=[reading.party] if reading.party else [])
    switches, own = switches_of(reading.organization), _own(addresses, book)
    since = reading.now - look_back(switches.days)
    want = wanted(messages, switches, own)
    emails = earlier.load(keys, want, since)
    people = earlier.participants(emails, want)
    stored = {
        (key, email.direction_code): Standing(email.pk, email.sender, email.sent_on)
        for email in emails
        for key in earlier.keys_of(email)
    }
    candidates = CorrelationCandidates(
        (earlier.stored(email, people) for email in emails),
        own,
        switches.matching if switches.smart_matching else None,
        since,
    )
    items = _with_queue_items(reading, stored)
    return _Page(book, parties, candidates, switches, stored, items)


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


def _originals(units: Sequence[_Unit]) -> dict[str, list[tuple[bytes, ParsedMessage]]]:
    return {
        unit.incoming.key: [(raw, parse(raw)) for raw in forwarded_originals(unit.incoming.raw)]
        for unit in units
    }


def _unwrap(
    reading: Reading,
    wrapper: _Unit,
    originals: list[tuple[bytes, ParsedMessage]],
    page: _Page,
) -> tuple[Plan, list[_Unit]]:
    """R3.75: the originals of a forward, for the party who forwarded it."""
    one = wrapper.incoming
    sender = resolve_sender(one.message.sender, page.book)
    known = page.book.at(one.message.sender.address) if one.message.sender else ()
    senders = [page.parties.get((match.kind, match.id)) for match in known]
    forwarder = next(
        (
            party
            for party in senders
            if party and party.incoming == IncomingDeliveryMethod.FORWARD_MAILBOX
        ),
        None,
    )
    common = {**_base(reading, one, one.message), "sender": sender}
    if forwarder is None or not originals:
        sub_reason = "not_attached"
        if forwarder is None:
            sub_reason = "method_not_forward" if any(senders) else "forwarder_unknown"
        decision = trace.Decision(
            outcome=State.REJECTED, reason=INVALID_FORWARD, sub_reason=sub_reason, **common
        )
        return Plan(key=one.key, message=one.message, decision=decision), []
    by = trace.Named(forwarder.kind.value, forwarder.id, forwarder.name)
    decision = trace.Decision(
        outcome=State.SKIPPED,
        reason=SkipReason.FORWARD_WRAPPER.value,
        skip_detail=str(len(originals)),
        forwarded_by=by,
        **common,
    )
    inner = [
        _Unit(
            incoming=one,
            part=number,
            message=message,
            raw=raw,
            reading=forwarder.key,
            forwarded_by=by,
        )
        for number, (raw, message) in enumerate(originals, start=1)
    ]
    return Plan(key=one.key, message=one.message, decision=decision), inner


def _is_forwarded_probe(reading: Reading, unit: _Unit) -> bool:
    """A test message to a user or queue whose server forwards it here."""
    header = unit.message.own_header
    if unit.forwarded_by is None or unit.reading is None or not header:
        return False
    return reading.is_probe_of(header, unit.reading)


def _decide(reading: Reading, unit: _Unit, page: _Page) -> Plan:
    """One message, in the order of R3.19."""
    message, organization = unit.message, reading.organization
    party = page.parties.get(unit.reading) if unit.reading else None
    sender = resolve_sender(message.sender, page.book)
    recipients = resolve_recipients(message, page.book)
    candidates = candidates_of(recipients, page.parties, party)
    common = {
        **_base(reading, unit.incoming, message),
        "sender": sender,
        "recipients": recipients,
        "forwarded_by": unit.forwarded_by,
    }
    plan = Plan(key=unit.incoming.key, part=unit.part, message=message)
    if _is_forwarded_probe(reading, unit):
        plan.decision = trace.Decision(
            outcome=State.SKIPPED, reason=SkipReason.OWN_PROBE.value, **common
        )
        return plan
    direction = _direction(reading, unit, sender)
    standing, key, reused = _standing(message, direction, page)
    chosen = CHOSEN.get(reading.way, SubReason.NONE)
    # An unusable sender is looked at first (R3.19): without one nothing else is worth asking.
    if standing is not None and is_usable(sender.address):
        acceptance = accept(
            acceptance_facts(message, already_stored=True),
            candidates,
            None,
            sender,
            rules_of(organization),
        )
        plan.duplicate_of = standing.id
        plan.extra_queue_id = _extra_queue(reading, unit, standing, page)
        plan.decision = trace.Decision(
            outcome=State.DUPLICATE,
            acceptance=acceptance,
            duplicate_of=standing.id,
            queue_items=_planned(plan.extra_queue_id, page, QueueItemBecause.DUPLICATE),
            **common,
        )
        return plan
    correlation = correlate(message, page.candidates, page.switches)
    facts, rules = acceptance_facts(message, chosen=chosen), rules_of(organization)
    if reading.way == Way.SENT:
        acceptance = accept_sent(facts, party, correlation, recipients, rules)
    else:
        acceptance = accept(facts, candidates, correlation, sender, rules)
    if not acceptance.accepted:
        plan.decision = trace.Decision(
            outcome=State.REJECTED, acceptance=acceptance, correlation=correlation, **common
        )
        return plan
    owner = OwnerChoice(_mailbox_owner(reading.mailbox), OwnerBecause.MAILBOX_OWNER)
    items: tuple[trace.PlannedQueueItem, ...] = ()
    if direction == Direction.INCOMING:
        owner = choose_owner(candidates, owner.owner)
        items = _queue_items(reading, unit, recipients, page)
    files, dropped = _attachments(message, organization)
    plan.new_email = _new_email(
        reading, unit, direction, key, reused, sender, recipients, correlation, acceptance, owner
    )
    plan.new_email.hashes = hash_rows(
        message.subject, participants_of(message), page.switches.matching
    )
    plan.new_email.queue_ids = tuple(UUID(item.queue.id) for item in items)
    plan.new_email.attachments = files
    plan.new_email.fields["dropped_attachments"] = [
        {"name": file.name, "size": file.size, "reason": file.reason} for file in dropped
    ]
    if dropped and plan.new_email.fields["notifications"] == Notifications.NONE:
        plan.new_email.fields["notifications"] = Notifications.ATTACHMENTS_DROPPED
    plan.decision = trace.Decision(
        outcome=State.TRACKED,
        acceptance=acceptance,
        correlation=correlation,
        owner=owner,
        regarding=_rule_record(reading) or _regarding_named(correlation),
        queue_items=items,
        dropped_attachments=dropped,
        message_id_reused=reused,
        **common,
    )
    _remember(plan.new_email, message, key, page)
    return plan


def _direction(reading: Reading, unit: _Unit, sender: Resolution) -> Direction:
    """Sent items are outgoing (R3.60), and so is what a person wrote and then put into a tracked folder
    or marked: its sent copy would be the same e-mail."""
    if reading.way == Way.SENT:
        return Direction.OUTGOING
    if reading.way == Way.INBOX or unit.reading is None:
        return Direction.INCOMING
    known = [match for match in (sender.match, *sender.others) if match]
    own = any((match.kind, match.id) == unit.reading for match in known)
    return Direction.OUTGOING if own else Direction.INCOMING


def _rule_record(reading: Reading) -> trace.Named | None:
    return reading.rule.record if reading.rule else None


def _standing(
    message: ParsedMessage, direction: Direction, page: _Page
) -> tuple[Standing | None, UUID, bool]:
    """Who stands under this message's id (R3.20): the e-mail it is a copy of, the key to store it
    under, and whether its id belongs to another message."""
    key = _key(message)
    first = page.stored.get((key, direction))
    if first is None:
        return None, key, False
    if not message.message_id or _is_copy(message, first, direction):
        return first, key, False
    key = _distinct(message)
    return page.stored.get((key, direction)), key, True


def _is_copy(message: ParsedMessage, standing: Standing, direction: int) -> bool:
    """Sent mail is told apart by its sender alone: what was sent from here has the time of sending,
    which its copy's Date need not have (R3.61), and nobody else can put mail into sent items."""
    sender = message.sender.address if message.sender else ""
    date = standing.sent_on if direction == Direction.OUTGOING else message.date
    return same_message(sender[:250], date, standing.sender, standing.sent_on)


def _extra_queue(reading: Reading, unit: _Unit, standing: Standing, page: _Page) -> UUID | None:
    """R3.21, R3.55: a queue that meets stored mail may want an item of its own."""
    switch = "sss_create_additional_queue_items_for_already_tracked_email"
    if unit.reading is None or unit.reading[0] != PartyKind.QUEUE.value:
        return None
    if not getattr(reading.organization, switch):
        return None
    if (unit.reading[1], standing.id) in page.with_queue_item:
        return None
    return UUID(unit.reading[1])


def _planned(
    queue_id: UUID | None, page: _Page, because: QueueItemBecause
) -> tuple[trace.PlannedQueueItem, ...]:
    if queue_id is None:
        return ()
    party = page.parties.get((PartyKind.QUEUE.value, str(queue_id)))
    named = trace.Named(PartyKind.QUEUE.value, str(queue_id), party.name if party else "")
    return (trace.PlannedQueueItem(named, because),)


def _queue_items(
    reading: Reading, unit: _Unit, recipients: Sequence[RecipientResolution], page: _Page
) -> tuple[trace.PlannedQueueItem, ...]:
    """R3.53, R3.54; each queue once (R3.56)."""
    planned: dict[str, trace.PlannedQueueItem] = {}
    if reading.organization.create_queue_items_for_accepting_queue_recipients:
        for recipient in recipients:
            for match in recipient.matches:
                party = page.parties.get((match.kind, match.id))
                if party and party.kind == PartyKind.QUEUE and party.active:
                    named = trace.Named(match.kind, match.id, match.name)
                    item = trace.PlannedQueueItem(named, QueueItemBecause.RECIPIENT)
                    planned.setdefault(match.id, item)
    if (
        unit.reading is not None
        and unit.reading[0] == PartyKind.QUEUE.value
        and reading.organization.create_queue_item_for_synchronizing_mailbox
    ):
        (item,) = _planned(UUID(unit.reading[1]), page, QueueItemBecause.READING)
        planned.setdefault(unit.reading[1], item)
    return tuple(planned.values())


def _mailbox_owner(mailbox: Mailbox) -> Owner:
    served = mailbox.regarding_user
    name = str(served) if served is not None and served.pk == mailbox.owning_user_id else ""
    return Owner(user_id=mailbox.owning_user_id, team_id=mailbox.owning_team_id, name=name)


def _attachments(
    message: ParsedMessage, organization: Organization
) -> tuple[tuple[NewAttachment, ...], tuple[trace.DroppedAttachment, ...]]:
    """R3.51: what is over the limit or of a blocked kind is left out, by name, size and reason."""
    limit: int = organization.max_upload_file_size_kb * 1024
    blocked = {
        extension.strip().lower().lstrip(".")
        for extension in organization.blocked_attachments.split(";")
        if extension.strip()
    }
    kept, dropped = [], []
    for file in message.attachments:
        if len(file.content) > limit:
            dropped.append(trace.DroppedAttachment(file.filename, len(file.content), "too_large"))
        elif _extension(file) in blocked:
            dropped.append(trace.DroppedAttachment(file.filename, len(file.content), "blocked"))
        else:
            kept.append(
                NewAttachment(
                    sha256=blobs.digest(file.content),
                    file_name=file.filename,
                    mime_type=file.content_type,
                    content_id=file.content_id,
                    inline=file.inline,
                    size=len(file.content),
                )
            )
    return tuple(kept), tuple(dropped)


def _extension(file: Attachment) -> str:
    name, dot, extension = file.filename.rpartition(".")
    return extension.strip().lower() if dot and name else ""


def _stage(plan: Plan, unit: _Unit, reading: Reading, staged: blobs.Staged) -> None:
    """Bytes of an accepted message; and its decision, which is stored with the e-mail."""
    assert plan.new_email is not None and plan.decision is not None
    plan.new_email.mime_sha256 = staged.add(unit.raw)
    wanted = {file.sha256 for file in plan.new_email.attachments}
    for file in unit.message.attachments:
        if wanted and blobs.digest(file.content) in wanted:
            staged.add(file.content)
    plan.new_email.fields["decision"] = trace.to_data(plan.decision)


def _content_type_id(kind: str) -> int:
    return ContentType.objects.get_for_model(apps.get_model(kind)).pk


def _new_email(
    reading: Reading,
    unit: _Unit,
    direction: Direction,
    key: UUID,
    reused: bool,
    sender: Resolution,
    recipients: Sequence[RecipientResolution],
    correlation: Correlation,
    acceptance: Acceptance,
    owner: OwnerChoice,
) -> NewEmail:
    """R3.46, R3.47, R3.49, R3.50, R3.60, R7.10."""
    message = unit.message
    arrived = unit.incoming.received_at or arrival_of(unit.incoming.raw) or reading.now
    body, mime_type = (message.html, "text/html") if message.html else (message.text, "text/plain")
    body, truncated = truncate_html(body, BODY_LIMIT)
    answered = correlation.email
    email_id = uuid7()
    incoming = direction == Direction.INCOMING
    fields: dict[str, Any] = {
        "direction_code": direction,
        "status_code": EmailStatus.RECEIVED if incoming else EmailStatus.SENT,
        "description": body,
        "mime_type": mime_type,
        "sender": sender.address[:250],
        "to_recipients": "; ".join(address.address for address in message.to)[:500],
        "message_id": message.message_id[:320],
        "message_id_dup_check": key,
        "is_message_id_reused": reused,
        "in_reply_to": message.in_reply_to[:320],
        "references": [reference[:320] for reference in message.references[-50:]],
        "internet_message_headers": message.headers_json[:500],
        "conversation_index": message.thread_index[:2048],
        "base_conversation_index_hash": base_hash(message.thread_index),
        "receiving_mailbox_id": reading.mailbox.pk if incoming else None,
        "sender_mailbox_id": None if incoming else reading.mailbox.pk,
        "accepting_entity_type_id": None,
        "accepting_entity_id": "",
        "email_sender_type_id": None,
        "email_sender_id": "",
        "tracking_token": answered.tracking_token if answered else "",
        "correlation_method": correlation.method,
        "correlated_activity_id": correlation.email_id,
        "correlated_subject_changed": correlation.subject_changed,
        "parent_activity_id": correlation.parent_id,
        "conversation_tracking_id": (
            (answered.conversation_tracking_id or answered.id) if answered else email_id
        ),
        "priority_code": message.importance,
        "sent_on": message.date,
        "received_on": arrived if incoming else None,
        "actual_end": arrived,
        "notifications": Notifications.TRUNCATED_BODY if truncated else Notifications.NONE,
        "defects": [{"code": d.code, "detail": d.detail[:300]} for d in message.defects[:50]],
    }
    if acceptance.entity is not None:
        fields["accepting_entity_type_id"] = _content_type_id(acceptance.entity.kind.value)
        fields["accepting_entity_id"] = acceptance.entity.id
    if sender.match is not None:
        fields["email_sender_type_id"] = _content_type_id(sender.match.kind)
        fields["email_sender_id"] = sender.match.id
        if sender.match.kind == "activities.account":
            fields["senders_account_id"] = sender.match.id
    fields.setdefault("senders_account_id", None)
    regarding_type_id, regarding_id = _regarding_of(reading, answered)
    return NewEmail(
        id=email_id,
        subject=message.subject,
        owning_user_id=owner.owner.user_id,
        owning_team_id=owner.owner.team_id,
        sort_date=arrived,
        fields=fields,
        regarding_type_id=regarding_type_id,
        regarding_id=regarding_id,
        parties=tuple(_parties(message, sender, recipients, incoming)),
    )


def _regarding_of(reading: Reading, answered: StoredEmail | None) -> tuple[int | None, str]:
    """The folder's record goes before that of the e-mail answered (R3.49, R7.10)."""
    rule = reading.rule
    if rule is not None and rule.record is not None:
        return rule.record_type_id, rule.record.id
    return (answered.regarding_type_id, answered.regarding_id) if answered else (None, "")


def _parties(
    message: ParsedMessage,
    sender: Resolution,
    recipients: Sequence[RecipientResolution],
    incoming: bool,
) -> Iterable[NewParty]:
    """One row per record behind an address, or one unresolved row (R3.36-R3.38)."""
    author = message.sender or Address("")
    yield _party(ParticipationType.SENDER, 0, author.address, author.name, sender.match)
    for recipient in stored_recipients(recipients, incoming=incoming):
        for match in recipient.matches or (None,):
            yield _party(
                recipient.role, recipient.position, recipient.address, recipient.name, match
            )


def _party(
    role: ParticipationType, position: int, address: str, name: str, match: Match | None
) -> NewParty:
    if match is None:
        return NewParty(role=role, position=position, address=address, name=name)
    return NewParty(
        role=role,
        position=position,
        address=address,
        name=name or match.name,
        type_id=_content_type_id(match.kind),
        record_id=match.id,
        column=match.column,
        do_not_email=match.do_not_email,
    )


def _regarding_named(correlation: Correlation) -> trace.Named | None:
    answered = correlation.email
    if answered is None or not answered.regarding_id or answered.regarding_type_id is None:
        return None
    model = ContentType.objects.get_for_id(answered.regarding_type_id).model_class()
    return trace.Named(model._meta.label_lower if model else "", answered.regarding_id)


def _remember(new: NewEmail, message: ParsedMessage, key: UUID, page: _Page) -> None:
    """Later messages of the page see this one as stored."""
    direction = new.fields["direction_code"]
    page.stored[(key, direction)] = Standing(new.id, new.fields["sender"], new.fields["sent_on"])
    page.candidates.add(
        StoredEmail(
            id=new.id,
            keys=(key,),
            direction=direction,
            subject=new.subject,
            tracking_token=new.fields["tracking_token"],
            regarding_type_id=new.regarding_type_id,
            regarding_id=new.regarding_id,
            owner_user_id=new.owning_user_id,
            owner_team_id=new.owning_team_id,
            conversation_tracking_id=new.fields["conversation_tracking_id"],
            index=octets_of(new.fields["conversation_index"]),
            participants=participants_of(message),
            at=new.sort_date,
        )
    )


# -- write ---------------------------------------------------------------------------------------


def write_page(
    plans: Sequence[Plan], staged: blobs.Staged, now: datetime
) -> dict[tuple[str, int], Outcome]:
    """Write what was planned, inside the caller's transaction; (key, part) -> where it ended."""
    good = [plan for plan in plans if not plan.error]
    rows = [plan.new_email for plan in good if plan.new_email is not None]
    lost = write_emails(rows, staged, now).standing
    if any(_is_stale(plan, lost) for plan in good):
        raise PageStale
    for plan in good:
        if plan.new_email is not None and plan.new_email.id in lost:
            plan.duplicate_of = lost[plan.new_email.id].id
    add_queue_items(
        (
            (plan.extra_queue_id, plan.duplicate_of, *_addresses_line(plan.message))
            for plan in good
            if plan.extra_queue_id and plan.duplicate_of
        ),
        now,
    )
    return {(plan.key, plan.part): _outcome(plan) for plan in good}


def _addresses_line(message: ParsedMessage) -> tuple[str, str]:
    sender = message.sender.address if message.sender else ""
    return sender, "; ".join(address.address for address in message.to)


def _is_stale(plan: Plan, lost: Mapping[UUID, Standing]) -> bool:
    """Whether this plan rests on one that lost. `lost`: e-mail not written -> who stands there."""
    new = plan.new_email
    if new is None:
        return plan.duplicate_of in lost
    if new.fields["correlated_activity_id"] in lost:
        return True
    standing = lost.get(new.id)
    # Its id belongs to another message, so it needs a key of its own, and so may those of the page
    # that left the id to it (R3.20).
    direction = new.fields["direction_code"]
    return bool(
        standing and plan.message.message_id and not _is_copy(plan.message, standing, direction)
    )


def _outcome(plan: Plan) -> Outcome:
    assert plan.decision is not None
    decision = plan.decision
    if plan.new_email is not None and plan.duplicate_of is not None:
        # Decided as new, but another worker stored the same message first.
        decision = replace(
            decision,
            outcome=State.DUPLICATE,
            acceptance=replace(
                decision.acceptance or Acceptance(reason=AcceptReason.DUPLICATE),
                reason=AcceptReason.DUPLICATE,
                entity=None,
            ),
            owner=None,
            queue_items=(),
            duplicate_of=plan.duplicate_of,
        )
    data = trace.to_data(decision)
    return Outcome(
        state=decision.outcome,
        reason=str(data.get("reason", "")),
        sub_reason=REUSED if decision.message_id_reused else str(data.get("sub_reason", "")),
        email_id=plan.duplicate_of or (plan.new_email.id if plan.new_email else None),
        decision=data,
    )
