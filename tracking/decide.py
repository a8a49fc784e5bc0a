"""Decide one message: what it is a copy of, what it answers, who accepts it, whose it becomes.

`judge` takes what `lookups.page_of` found and asks nothing more; what it says of an accepted message is
all that `rows` needs to write it. So the same decision serves the cycle, an explanation, and a
question "what if": those write nothing, and may have no more of a message than its kept facts.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.contenttypes.models import ContentType

from activities.choices import Direction
from activities.identity import same_message
from activities.mime.message import Attachment, ParsedMessage
from activities.store import Standing
from mailboxes.choices import IncomingDeliveryMethod
from mailboxes.models import Mailbox, uuid7
from tracking import trace
from tracking.acceptance import (
    Acceptance,
    Candidate,
    Owner,
    Party,
    accept,
    accept_sent,
    candidates_of,
    delivered_to,
    is_usable,
    rules_of,
)
from tracking.acceptance import facts_of as acceptance_facts
from tracking.attachments import blocked_extensions, judge_attachments
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
from tracking.conversation_index import octets_of
from tracking.correlate import Correlation, StoredEmail, correlate, participants_of
from tracking.creating import creation_of
from tracking.creation import CASE, NOTHING, Creation
from tracking.lookups import Page, distinct_of, key_of
from tracking.ownership import OwnerChoice, choose_owner
from tracking.prospects import case_type_id
from tracking.reading import Incoming, Reading, Unit
from tracking.report_words import Report
from tracking.reports import About, Effect, about, effect_of
from tracking.resolution import (
    Match,
    RecipientResolution,
    Resolution,
    ResolutionRules,
    resolve_recipients,
    resolve_sender,
)
from tracking.resolution import rules_of as resolution_rules

INVALID_FORWARD = "InvalidForwardMailItem"  # R3.75

#: Why mail that came on these ways is accepted without asking a filter (R3.18, R7.6, R7.21).
CHOSEN = {
    Way.FOLDER: SubReason.FOLDER_RULE,
    Way.CATEGORY: SubReason.CATEGORY,
    Way.MANUAL: SubReason.MANUAL,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """What an accepted message is stored with. `key`: what it is known by (R3.20), `reused`: its id
    belongs to another message; `arrived`: when its server took it, else when it was decided."""

    id: UUID
    direction: Direction
    key: UUID
    reused: bool
    arrived: datetime
    sender: Resolution
    recipients: tuple[RecipientResolution, ...]
    correlation: Correlation
    acceptance: Acceptance
    owner: OwnerChoice
    queue_ids: tuple[UUID, ...] = ()
    closed_queue_ids: tuple[UUID, ...] = ()
    files: tuple[Attachment, ...] = ()
    dropped: tuple[trace.DroppedAttachment, ...] = ()
    regarding_type_id: int | None = None
    regarding_id: str = ""
    creation: Creation = NOTHING
    rests_on: frozenset[UUID] = frozenset()
    about: About | None = None

    @property
    def conversation(self) -> UUID:
        """That of the email it answers, else one of its own."""
        answered = self.correlation.email
        return answered.conversation if answered else self.id

    @property
    def tracking_token(self) -> str:
        return self.correlation.email.tracking_token if self.correlation.email else ""


@dataclass(slots=True, kw_only=True)
class Judgement:
    """One message, decided. `accepted` None: no email comes of it; `denied`: nor is it settled, for who
    accepts it may not own email (R3.29). `extra_queue_id`: R3.55. `effect`: what a report tells of
    an email that was sent (R5.21)."""

    decision: trace.Decision
    accepted: Accepted | None = None
    denied: Party | None = None
    duplicate_of: UUID | None = None
    extra_queue_id: UUID | None = None
    effect: Effect | None = None


def _named(kind: str, record: Any) -> trace.Named:
    return trace.Named(kind, str(record.pk), str(record))


def base_of(reading: Reading, one: Incoming, message: ParsedMessage) -> dict[str, Any]:
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


def skip(reading: Reading, one: Incoming) -> trace.Decision | None:
    """Why it is no candidate at all (R3.6-R3.14), None if it is one."""
    if one.is_own_probe:
        return trace.Decision(
            outcome=State.SKIPPED,
            reason=SkipReason.OWN_PROBE.value,
            **base_of(reading, one, one.message),
        )
    watermark = reading.watermark if reading.way == Way.INBOX else None
    bounds = bounds_of(reading.organization, reading.start, None, watermark)
    arrived = one.received_at or arrival_of(one.raw)
    # What somebody marked by hand is bound by no date (R3.9).
    by_hand = reading.way in (Way.CATEGORY, Way.MANUAL)
    found = skip_message(one.message, arrived, bounds, manually_tracked=by_hand)
    if found is None:
        return None
    return trace.Decision(
        outcome=State.SKIPPED,
        reason=found.reason.value,
        skip_detail=found.detail,
        skip_limit=found.limit,
        **base_of(reading, one, one.message),
    )


def unwrap(
    reading: Reading,
    wrapper: Unit,
    originals: list[tuple[bytes, ParsedMessage]],
    page: Page,
) -> tuple[trace.Decision, list[Unit]]:
    """R3.75: the originals of a forward, for the party who forwarded it."""
    one = wrapper.incoming
    rules = _resolution(reading, None)
    sender = resolve_sender(one.message.sender, page.book, rules)
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
    common = {**base_of(reading, one, one.message), "sender": sender}
    if forwarder is None or not originals:
        sub_reason = "not_attached"
        if forwarder is None:
            sub_reason = "method_not_forward" if any(senders) else "forwarder_unknown"
        decision = trace.Decision(
            outcome=State.REJECTED, reason=INVALID_FORWARD, sub_reason=sub_reason, **common
        )
        return decision, []
    by = trace.Named(forwarder.kind.value, forwarder.id, forwarder.name)
    decision = trace.Decision(
        outcome=State.SKIPPED,
        reason=SkipReason.FORWARD_WRAPPER.value,
        skip_detail=str(len(originals)),
        forwarded_by=by,
        **common,
    )
    inner = [
        Unit(
            incoming=one,
            part=number,
            message=message,
            raw=raw,
            reading=forwarder.key,
            forwarded_by=by,
        )
        for number, (raw, message) in enumerate(originals, start=1)
    ]
    return decision, inner


def judge(reading: Reading, unit: Unit, page: Page) -> Judgement:
    """One message, in the order of R3.19. What is accepted is remembered for the page's later ones."""
    message = unit.message
    rules = _resolution(reading, _reading_party(unit, page))
    sender = resolve_sender(message.sender, page.book, rules)
    recipients = resolve_recipients(message, page.book, rules)
    common = {
        **base_of(reading, unit.incoming, message),
        "sender": sender,
        "recipients": recipients,
        "forwarded_by": unit.forwarded_by,
    }
    if _is_forwarded_probe(reading, unit):
        return Judgement(
            decision=trace.Decision(
                outcome=State.SKIPPED, reason=SkipReason.OWN_PROBE.value, **common
            )
        )
    direction = _direction(reading, unit, sender)
    standing, key, reused = _standing(message, direction, page)
    # An unusable sender is looked at first (R3.19): without one nothing else is worth asking.
    if standing is not None and is_usable(sender.address):
        return _duplicate(reading, unit, page, standing, common)
    correlation = page.as_filed(correlate(message, page.candidates, page.switches), unit.former)
    report = _about(reading, message, direction, page)
    acceptance = _accept(reading, unit, page, sender, recipients, correlation)
    if acceptance.denied is not None:
        return _denied(reading, acceptance, acceptance.denied, correlation, common)
    if not acceptance.accepted:
        effect = _effect(reading, unit, report, tracked=False) if report else None
        return Judgement(
            decision=trace.Decision(
                outcome=State.REJECTED,
                acceptance=acceptance,
                correlation=correlation,
                report=Report(message, report, effect) if report else None,
                **common,
            ),
            effect=effect,
        )
    owner = _owner(reading, unit, page, sender, recipients, correlation, direction)
    items = _queue_items(reading, unit, recipients, page, owner, direction)
    files = judge_attachments(
        message.attachments,
        reading.organization.max_upload_file_size_kb * 1024,
        blocked_extensions(reading.organization.blocked_attachments),
    )
    creation = creation_of(
        message,
        page.prospects,
        reading.organization,
        reading.now,
        sender=sender,
        owner=owner,
        direction=direction,
        taker=acceptance.entity or _reading_party(unit, page),
        queues=[item.queue.id for item in items],
        answered=correlation.email,
        filed_by_folder=_rule_record(reading) is not None,
        case_id=unit.former.case_id,
    )
    answered = correlation.email or (report.email if report else None)
    regarding_type_id, regarding_id = _regarding_of(reading, answered)
    if creation.case is not None:
        regarding_type_id, regarding_id = case_type_id(), str(creation.case.id)
    hook = "" if regarding_id else unit.former.hook
    if hook and unit.former.filed is not None:
        regarding_type_id, regarding_id = unit.former.filed
    leaves = creation.leaves
    accepted = Accepted(
        id=unit.former.email_id or uuid7(),
        direction=direction,
        key=key,
        reused=reused,
        arrived=_arrived(reading, unit.incoming),
        sender=replace(sender, match=creation.person.match) if creation.person else sender,
        recipients=recipients,
        correlation=correlation,
        acceptance=acceptance,
        owner=owner,
        queue_ids=tuple(key for item in items if (key := UUID(item.queue.id)) != leaves),
        closed_queue_ids=(leaves,) if leaves is not None else (),
        files=files.kept,
        dropped=files.dropped,
        regarding_type_id=regarding_type_id,
        regarding_id=regarding_id,
        creation=creation,
        rests_on=page.prospects.made_by(_records(sender, recipients)),
        about=report,
    )
    effect = _effect(reading, unit, report, tracked=True) if report else None
    page.remember(*as_stored(accepted, message))
    page.meet(creation, accepted.id)
    decision = trace.Decision(
        outcome=State.TRACKED,
        acceptance=acceptance,
        correlation=correlation,
        owner=owner,
        regarding=_named_record(regarding_type_id, regarding_id)
        if hook
        else _regarding_words(reading, creation, answered),
        hook=hook,
        queue_items=tuple(item for item in items if UUID(item.queue.id) != leaves),
        creation=creation,
        dropped_attachments=files.dropped,
        message_id_reused=reused,
        report=Report(message, report, effect) if report else None,
        **common,
    )
    return Judgement(decision=decision, accepted=accepted, effect=effect)


def _about(
    reading: Reading, message: ParsedMessage, direction: Direction, page: Page
) -> About | None:
    """R5.21. The receipt that somebody's own program sent is about mail from elsewhere."""
    if not page.switches.reports or direction == Direction.OUTGOING:
        return None
    return about(message, page.candidates, page.sent, reading.now)


def _effect(reading: Reading, unit: Unit, report: About, *, tracked: bool) -> Effect | None:
    arrived = _arrived(reading, unit.incoming)
    return effect_of(unit.message, report, tracked=tracked, at=arrived)


def _resolution(reading: Reading, party: Party | None) -> ResolutionRules:
    """The owner of a forward mailbox is whoever looks after it, unless a party is read in it (R3.75)."""
    owner = party.owner if party else _mailbox_owner(reading.mailbox)
    return resolution_rules(reading.organization, owner.user_id, owner.team_id)


def _denied(
    reading: Reading,
    acceptance: Acceptance,
    denied: Party,
    correlation: Correlation,
    common: dict[str, Any],
) -> Judgement:
    """Neither tracked nor rejected: it is tried again, for the cause may be cured (R3.29, R3.72)."""
    failure = trace.Failure(
        code=trace.PRIVILEGE_DENIED,
        text=f"{denied.name} may not own email: {denied.lacks.label}",
        attempt=1,
        attempts=reading.organization.promotion_attempts,
    )
    decision = trace.Decision(
        outcome=State.RETRYING,
        acceptance=acceptance,
        correlation=correlation,
        failure=failure,
        **common,
    )
    return Judgement(decision=decision, denied=denied)


def _duplicate(
    reading: Reading, unit: Unit, page: Page, standing: Standing, common: dict[str, Any]
) -> Judgement:
    extra = _extra_queue(reading, unit, standing, page)
    decision = trace.Decision(
        outcome=State.DUPLICATE,
        acceptance=Acceptance(reason=AcceptReason.DUPLICATE),
        duplicate_of=standing.id,
        queue_items=_planned(extra, page, QueueItemBecause.DUPLICATE),
        **common,
    )
    return Judgement(decision=decision, duplicate_of=standing.id, extra_queue_id=extra)


def _accept(
    reading: Reading,
    unit: Unit,
    page: Page,
    sender: Resolution,
    recipients: Sequence[RecipientResolution],
    correlation: Correlation,
) -> Acceptance:
    sent_copy, _key, _reused = _standing(unit.message, Direction.OUTGOING, page)
    facts = acceptance_facts(
        unit.message,
        chosen=CHOSEN.get(reading.way, SubReason.NONE),
        sent_copy_stored=sent_copy is not None,
    )
    rules, party = rules_of(reading.organization), _reading_party(unit, page)
    if reading.way == Way.SENT:
        return accept_sent(facts, party, correlation, recipients, rules)
    candidates = _candidates(reading, unit, page, recipients)
    return accept(facts, candidates, correlation, sender, rules)


def _candidates(
    reading: Reading, unit: Unit, page: Page, recipients: Sequence[RecipientResolution]
) -> tuple[Candidate, ...]:
    """Who may accept it, the envelope of the mailbox being read included if it is believed (R10.9)."""
    party, delivered = _reading_party(unit, page), ""
    if reading.organization.effective("use_envelope_evidence"):
        delivered = delivered_to(unit.message, party, page.book)
    return candidates_of(recipients, page.parties, party, delivered)


def _reading_party(unit: Unit, page: Page) -> Party | None:
    return page.parties.get(unit.reading) if unit.reading else None


def _owner(
    reading: Reading,
    unit: Unit,
    page: Page,
    sender: Resolution,
    recipients: Sequence[RecipientResolution],
    correlation: Correlation,
    direction: Direction,
) -> OwnerChoice:
    """R3.48; what a person sent is that person's."""
    mine = _mailbox_owner(reading.mailbox)
    if direction == Direction.OUTGOING:
        return OwnerChoice(mine, OwnerBecause.MAILBOX_OWNER)
    candidates = _candidates(reading, unit, page, recipients)
    return choose_owner(candidates, mine, correlation.email, sender.match)


def _arrived(reading: Reading, one: Incoming) -> datetime:
    return one.received_at or arrival_of(one.raw) or reading.now


def as_stored(accepted: Accepted, message: ParsedMessage) -> tuple[StoredEmail, Standing]:
    email = StoredEmail(
        id=accepted.id,
        keys=(accepted.key,),
        direction=accepted.direction,
        subject=message.subject,
        tracking_token=accepted.tracking_token,
        regarding_type_id=accepted.regarding_type_id,
        regarding_id=accepted.regarding_id,
        owner_user_id=accepted.owner.owner.user_id,
        owner_team_id=accepted.owner.owner.team_id,
        conversation_tracking_id=accepted.conversation,
        index=octets_of(message.thread_index[:2048]),
        participants=participants_of(message),
        at=accepted.arrived,
        sender=message.sender.key if message.sender else "",
        sent_on=message.date,
    )
    return email, Standing(accepted.id, accepted.sender.address[:250], message.date)


def _is_forwarded_probe(reading: Reading, unit: Unit) -> bool:
    """A test message to a user or queue whose server forwards it here."""
    header = unit.message.own_header
    if unit.forwarded_by is None or unit.reading is None or not header:
        return False
    return reading.is_probe_of(header, unit.reading)


def _direction(reading: Reading, unit: Unit, sender: Resolution) -> Direction:
    """Sent items are outgoing (R3.60), and so is what a person wrote and then put into a tracked folder
    or marked: its sent copy would be the same e-mail."""
    if reading.way == Way.SENT:
        return Direction.OUTGOING
    if reading.way == Way.INBOX or unit.reading is None:
        return Direction.INCOMING
    known = [match for match in (sender.match, *sender.others) if match]
    own = any((match.kind, match.id) == unit.reading for match in known)
    return Direction.OUTGOING if own else Direction.INCOMING


def _records(sender: Resolution, recipients: Sequence[RecipientResolution]) -> Iterator[Match]:
    """Every record that becomes a party."""
    if sender.match is not None:
        yield sender.match
    for recipient in recipients:
        yield from recipient.matches


def _regarding_words(
    reading: Reading, creation: Creation, answered: StoredEmail | None
) -> trace.Named | None:
    if creation.case is not None:
        case = creation.case
        return trace.Named(CASE, str(case.id), f"{case.title} ({case.number})")
    return _rule_record(reading) or _regarding_named(answered)


def _rule_record(reading: Reading) -> trace.Named | None:
    return reading.rule.record if reading.rule else None


def _standing(
    message: ParsedMessage, direction: Direction, page: Page
) -> tuple[Standing | None, UUID, bool]:
    """Who stands under this message's id (R3.20): the e-mail it is a copy of, the key to store it
    under, and whether its id belongs to another message."""
    key = key_of(message)
    first = page.stored.get((key, direction))
    if first is None:
        return None, key, False
    if not message.message_id or is_copy(message, first, direction):
        return first, key, False
    key = distinct_of(message)
    return page.stored.get((key, direction)), key, True


def is_copy(message: ParsedMessage, standing: Standing, direction: int) -> bool:
    """Sent mail is told apart by its sender alone: what was sent from here has the time of sending,
    which its copy's Date need not have (R3.61), and nobody else can put mail into sent items."""
    sender = message.sender.address if message.sender else ""
    date = standing.sent_on if direction == Direction.OUTGOING else message.date
    return same_message(sender[:250], date, standing.sender, standing.sent_on)


def _extra_queue(reading: Reading, unit: Unit, standing: Standing, page: Page) -> UUID | None:
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
    queue_id: UUID | None, page: Page, because: QueueItemBecause
) -> tuple[trace.PlannedQueueItem, ...]:
    if queue_id is None:
        return ()
    party = page.parties.get((PartyKind.QUEUE.value, str(queue_id)))
    named = trace.Named(PartyKind.QUEUE.value, str(queue_id), party.name if party else "")
    return (trace.PlannedQueueItem(named, because),)


def _queue_items(
    reading: Reading,
    unit: Unit,
    recipients: Sequence[RecipientResolution],
    page: Page,
    owner: OwnerChoice,
    direction: Direction,
) -> tuple[trace.PlannedQueueItem, ...]:
    """R3.53, R3.54; each queue once (R3.56). None of what a person sent."""
    if direction == Direction.OUTGOING:
        return ()
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
    for item in _routed(reading, page, owner):
        planned.setdefault(item.queue.id, item)
    return tuple(planned.values())


def _routed(reading: Reading, page: Page, owner: OwnerChoice) -> tuple[trace.PlannedQueueItem, ...]:
    """R3.53: the default queue of the email's owner, where email is routed there."""
    if not reading.organization.effective("route_email_to_default_queue"):
        return ()
    queue = page.default_queue(owner.owner)
    if queue is None or not queue.active:
        return ()
    named = trace.Named(PartyKind.QUEUE.value, str(queue.id), queue.name)
    return (trace.PlannedQueueItem(named, QueueItemBecause.OWNER),)


def _mailbox_owner(mailbox: Mailbox) -> Owner:
    served = mailbox.regarding_user
    name = str(served) if served is not None and served.pk == mailbox.owning_user_id else ""
    return Owner(user_id=mailbox.owning_user_id, team_id=mailbox.owning_team_id, name=name)


def _regarding_of(reading: Reading, answered: StoredEmail | None) -> tuple[int | None, str]:
    """The folder's record goes before that of the e-mail answered (R3.49, R7.10)."""
    rule = reading.rule
    if rule is not None and rule.record is not None:
        return rule.record_type_id, rule.record.id
    return (answered.regarding_type_id, answered.regarding_id) if answered else (None, "")


def _regarding_named(answered: StoredEmail | None) -> trace.Named | None:
    return _named_record(answered.regarding_type_id, answered.regarding_id) if answered else None


def _named_record(type_id: int | None, key: str) -> trace.Named | None:
    if not key or type_id is None:
        return None
    model = ContentType.objects.get_for_id(type_id).model_class()
    return trace.Named(model._meta.label_lower if model else "", key)
