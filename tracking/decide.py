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

from activities.choices import Direction
from activities.mime.message import Attachment, ParsedMessage
from activities.store import Standing
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
from tracking.attachments import Judged, blocked_extensions, judge_attachments
from tracking.candidates import arrival_of, bounds_of, skip_message
from tracking.choices import AcceptReason, OwnerBecause, PartyKind, SkipReason, SubReason, Way
from tracking.choices import Outcome as State
from tracking.conversation_index import octets_of
from tracking.copies import standing_of
from tracking.correlate import Correlation, StoredEmail, correlate, participants_of
from tracking.creating import creation_of
from tracking.creation import NOTHING, Creation
from tracking.filing import Filing, file_under
from tracking.lookups import Page
from tracking.ownership import OwnerChoice, choose_owner
from tracking.queueing import extra_queue, queue_items
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

UNRELATED = Correlation()

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


# -- the story


def judge(reading: Reading, unit: Unit, page: Page) -> Judgement:
    """One message, in the order of R3.19. What is accepted is remembered for the page's later ones."""
    found = _look_at(reading, unit, page)
    if _is_forwarded_probe(found):
        return Judgement(
            decision=_decision(found, State.SKIPPED, reason=SkipReason.OWN_PROBE.value)
        )
    # An unusable sender is looked at first (R3.19): without one nothing else is worth asking.
    if found.standing is not None and is_usable(found.sender.address):
        return _duplicate(found, found.standing)
    found = _relate(found)
    acceptance = _accept(found)
    if acceptance.denied is not None:
        return _denied(found, acceptance, acceptance.denied)
    if not acceptance.accepted:
        return _rejected(found, acceptance)
    return _track(found, acceptance)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A message, and what is known of it before anybody accepts it. `standing`, `key`, `reused`: see
    `copies.standing_of`; `about`: which sent email it reports on."""

    reading: Reading
    unit: Unit
    page: Page
    party: Party | None  # whose mailbox is read
    sender: Resolution
    recipients: tuple[RecipientResolution, ...]
    direction: Direction
    standing: Standing | None
    key: UUID
    reused: bool
    correlation: Correlation = UNRELATED
    about: About | None = None

    @property
    def message(self) -> ParsedMessage:
        return self.unit.message

    @property
    def arrived(self) -> datetime:
        one = self.unit.incoming
        return one.received_at or arrival_of(one.raw) or self.reading.now

    @property
    def answered(self) -> StoredEmail | None:
        return self.correlation.email


def _look_at(reading: Reading, unit: Unit, page: Page) -> Found:
    """Who wrote it to whom, and whether it is here already."""
    party = page.parties.get(unit.reading) if unit.reading else None
    rules = resolution_of(reading, party)
    sender = resolve_sender(unit.message.sender, page.book, rules)
    direction = _direction(reading, unit, sender)
    standing, key, reused = standing_of(unit.message, direction, page)
    if standing is None and _is_once_only(reading, party, direction):
        standing, *_ = standing_of(unit.message, Direction.OUTGOING, page)
    return Found(
        reading=reading,
        unit=unit,
        page=page,
        party=party,
        sender=sender,
        recipients=resolve_recipients(unit.message, page.book, rules),
        direction=direction,
        standing=standing,
        key=key,
        reused=reused,
    )


def _relate(found: Found) -> Found:
    """What it answers, and what it reports on."""
    page = found.page
    correlation = correlate(found.message, page.candidates, page.switches)
    return replace(
        found,
        correlation=page.as_filed(correlation, found.unit.former),
        about=_about(found),
    )


def _track(found: Found, acceptance: Acceptance) -> Judgement:
    """Whose it becomes, in which queues it waits, what it makes, and under which record it is filed."""
    page, owner = found.page, _owner(found)
    items = queue_items(found.reading, found.unit, found.recipients, page, owner, found.direction)
    creation = _creation(found, acceptance, owner, items)
    waits = tuple(item for item in items if UUID(item.queue.id) != creation.leaves)
    filing = _file(found, creation)
    accepted = _accepted(found, acceptance, owner, creation, waits, filing)
    page.remember(*as_stored(accepted, found.message))
    page.meet(creation, accepted.id, found.reading.now)
    effect = _effect(found, tracked=True)
    decision = _decision(
        found,
        State.TRACKED,
        acceptance=acceptance,
        correlation=found.correlation,
        owner=owner,
        regarding=filing.named,
        hook=filing.hook,
        queue_items=waits,
        creation=creation,
        dropped_attachments=accepted.dropped,
        message_id_reused=found.reused,
        report=_report(found, effect),
    )
    return Judgement(decision=decision, accepted=accepted, effect=effect)


def _accepted(
    found: Found,
    acceptance: Acceptance,
    owner: OwnerChoice,
    creation: Creation,
    waits: Sequence[trace.PlannedQueueItem],
    filing: Filing,
) -> Accepted:
    files = _files(found)
    return Accepted(
        id=found.unit.former.email_id or uuid7(),
        direction=found.direction,
        key=found.key,
        reused=found.reused,
        arrived=found.arrived,
        sender=_author(found, creation),
        recipients=found.recipients,
        correlation=found.correlation,
        acceptance=acceptance,
        owner=owner,
        queue_ids=tuple(UUID(item.queue.id) for item in waits),
        closed_queue_ids=(creation.leaves,) if creation.leaves is not None else (),
        files=files.kept,
        dropped=files.dropped,
        regarding_type_id=filing.type_id,
        regarding_id=filing.key,
        creation=creation,
        rests_on=found.page.prospects.made_by(_records(found)),
        about=found.about,
    )


# -- where no email comes of it


def _decision(found: Found, outcome: State, **said: Any) -> trace.Decision:
    return trace.Decision(
        outcome=outcome,
        sender=found.sender,
        recipients=found.recipients,
        forwarded_by=found.unit.forwarded_by,
        **said,
        **base_of(found.reading, found.unit.incoming, found.message),
    )


def _duplicate(found: Found, standing: Standing) -> Judgement:
    item = extra_queue(found.reading, found.unit, standing, found.page)
    decision = _decision(
        found,
        State.DUPLICATE,
        acceptance=Acceptance(reason=AcceptReason.DUPLICATE),
        duplicate_of=standing.id,
        queue_items=(item,) if item else (),
    )
    extra = UUID(item.queue.id) if item else None
    return Judgement(decision=decision, duplicate_of=standing.id, extra_queue_id=extra)


def _denied(found: Found, acceptance: Acceptance, denied: Party) -> Judgement:
    """Neither tracked nor rejected: it is tried again, for the cause may be cured (R3.29, R3.72)."""
    failure = trace.Failure(
        code=trace.PRIVILEGE_DENIED,
        text=f"{denied.name} may not own email: {denied.lacks.label}",
        attempt=1,
        attempts=found.reading.organization.promotion_attempts,
    )
    decision = _decision(
        found,
        State.RETRYING,
        acceptance=acceptance,
        correlation=found.correlation,
        failure=failure,
    )
    return Judgement(decision=decision, denied=denied)


def _rejected(found: Found, acceptance: Acceptance) -> Judgement:
    effect = _effect(found, tracked=False)
    decision = _decision(
        found,
        State.REJECTED,
        acceptance=acceptance,
        correlation=found.correlation,
        report=_report(found, effect),
    )
    return Judgement(decision=decision, effect=effect)


# -- what it is


def _is_forwarded_probe(found: Found) -> bool:
    """A test message to a user or queue whose server forwards it here."""
    unit, header = found.unit, found.message.own_header
    if unit.forwarded_by is None or unit.reading is None or not header:
        return False
    return found.reading.is_probe_of(header, unit.reading)


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


def _is_once_only(reading: Reading, party: Party | None, direction: Direction) -> bool:
    """Where mail between users is tracked once only, the category on a user's copy links it to what the
    sender's sent copy became (R3.40, R7.24)."""
    return (
        reading.way == Way.CATEGORY
        and direction == Direction.INCOMING
        and party is not None
        and party.kind == PartyKind.USER
        and bool(reading.organization.effective("ignore_internal_email"))
    )


def _about(found: Found) -> About | None:
    """R5.21. The receipt that somebody's own program sent is about mail from elsewhere."""
    page = found.page
    if not page.switches.reports or found.direction == Direction.OUTGOING:
        return None
    return about(found.message, page.candidates, page.sent, found.reading.now)


def _effect(found: Found, *, tracked: bool) -> Effect | None:
    if found.about is None:
        return None
    return effect_of(found.message, found.about, tracked=tracked, at=found.arrived)


def _report(found: Found, effect: Effect | None) -> Report | None:
    return Report(found.message, found.about, effect) if found.about else None


# -- who accepts it, and whose it becomes


def resolution_of(reading: Reading, party: Party | None) -> ResolutionRules:
    """The owner of a forward mailbox is whoever looks after it, unless a party is read in it (R3.75)."""
    owner = party.owner if party else _mailbox_owner(reading.mailbox)
    return resolution_rules(reading.organization, owner.user_id, owner.team_id)


def _accept(found: Found) -> Acceptance:
    reading, correlation = found.reading, found.correlation
    sent_copy, _key, _reused = standing_of(found.message, Direction.OUTGOING, found.page)
    facts = acceptance_facts(
        found.message,
        chosen=CHOSEN.get(reading.way, SubReason.NONE),
        sent_copy_stored=sent_copy is not None,
    )
    rules = rules_of(reading.organization)
    if reading.way == Way.SENT:
        return accept_sent(facts, found.party, correlation, found.recipients, rules)
    return accept(facts, _candidates(found), correlation, found.sender, rules)


def _candidates(found: Found) -> tuple[Candidate, ...]:
    """Who may accept it, the envelope of the mailbox being read included if it is believed (R10.9)."""
    page, delivered = found.page, ""
    if found.reading.organization.effective("use_envelope_evidence"):
        delivered = delivered_to(found.message, found.party, page.book)
    return candidates_of(found.recipients, page.parties, found.party, delivered)


def _owner(found: Found) -> OwnerChoice:
    """R3.48; what a person sent is that person's."""
    mine = _mailbox_owner(found.reading.mailbox)
    if found.direction == Direction.OUTGOING:
        return OwnerChoice(mine, OwnerBecause.MAILBOX_OWNER)
    return choose_owner(_candidates(found), mine, found.answered, found.sender.match)


def _mailbox_owner(mailbox: Mailbox) -> Owner:
    served = mailbox.regarding_user
    name = str(served) if served is not None and served.pk == mailbox.owning_user_id else ""
    return Owner(user_id=mailbox.owning_user_id, team_id=mailbox.owning_team_id, name=name)


# -- what comes with it


def _creation(
    found: Found,
    acceptance: Acceptance,
    owner: OwnerChoice,
    items: tuple[trace.PlannedQueueItem, ...],
) -> Creation:
    reading = found.reading
    return creation_of(
        found.message,
        found.page.prospects,
        reading.organization,
        reading.now,
        sender=found.sender,
        owner=owner,
        direction=found.direction,
        taker=acceptance.entity or found.party,
        queues=[item.queue.id for item in items],
        answered=found.answered,
        filed_by_folder=reading.rule is not None and reading.rule.record is not None,
        arrived=found.arrived,
        quiet=found.unit.incoming.quiet,
        case_id=found.unit.former.case_id,
    )


def _files(found: Found) -> Judged:
    organization = found.reading.organization
    return judge_attachments(
        found.message.attachments,
        organization.max_upload_file_size_kb * 1024,
        blocked_extensions(organization.blocked_attachments),
    )


def _file(found: Found, creation: Creation) -> Filing:
    answered = found.answered or (found.about.email if found.about else None)
    return file_under(found.reading, creation, answered, found.unit.former)


def _author(found: Found, creation: Creation) -> Resolution:
    if creation.person is None:
        return found.sender
    return replace(found.sender, match=creation.person.match)


def _records(found: Found) -> Iterator[Match]:
    """Every record that becomes a party."""
    if found.sender.match is not None:
        yield found.sender.match
    for recipient in found.recipients:
        yield from recipient.matches


# -- how later messages meet it


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
