"""Messages decided again, in the order in which they came, as if nothing had come of them yet.

For "what if", and for whoever makes true what it tells. The world is the one that each message met:
emails that were stored before it, less those that came of the very messages that are decided again. What
these become now takes their place: an answer finds it, a copy is a duplicate of it. People, filters, rules
and records are those of today. Nothing is written.

    World(there, made, settings)
      └─ decide(some messages of one mailbox) ──> Decided, one for each message and original inside it
"""

import copy
import logging
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Q

from activities.cases import state_of
from activities.choices import CaseState, CaseStatus
from activities.mime.message import ParsedMessage
from activities.models import Email, Incident
from activities.store import Standing
from mailboxes.choices import FilteringMethod
from mailboxes.models import Organization
from tracking import earlier, trace
from tracking.acceptance import PartyKey
from tracking.correlate import StoredEmail
from tracking.creation import Case, Creation, NewPerson
from tracking.decide import Accepted, Judgement, as_stored, judge, skip
from tracking.folders import Filed, RuleLine, link_decision
from tracking.forwards import unwrap
from tracking.lookups import Page, Past, page_of
from tracking.matching import look_back
from tracking.reading import FRESH, Former, Incoming, Reading, Unit

log = logging.getLogger(__name__)

Record = tuple[int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What is otherwise: columns of the organization, and filters of users and queues."""

    organization: Mapping[str, Any] = field(default_factory=dict)
    filters: Mapping[PartyKey, FilteringMethod] = field(default_factory=dict)

    def applied_to(self, organization: Organization) -> Organization:
        """A copy in memory, never to be saved."""
        changed = copy.copy(organization)
        for name, value in self.organization.items():
            setattr(changed, name, value)
        return changed


AS_THEY_ARE = Settings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Original:
    """A message inside a forward (R3.75)."""

    message: ParsedMessage
    raw: bytes = b""
    former: Former = FRESH


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """One message. `reading.now` is when it was decided; `arrived`: when its server took it. `raw` is
    empty where only facts of it were kept. `item`: the same for each time that one was decided."""

    key: str
    item: Hashable
    reading: Reading
    message: ParsedMessage
    raw: bytes = field(default=b"", repr=False)
    arrived: datetime | None = None
    former: Former = FRESH
    originals: tuple[Original, ...] = ()
    is_own_probe: bool = False

    @property
    def incoming(self) -> Incoming:
        return Incoming(
            key=self.key,
            message=self.message,
            raw=self.raw,
            received_at=self.arrived,
            is_own_probe=self.is_own_probe,
        )

    @property
    def formers(self) -> Iterator[Former]:
        yield self.former
        for original in self.originals:
            yield original.former


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """`part` 0: the message itself; from 1: originals inside it. `decision` None: deciding failed.
    `accepted`: what it would be stored with."""

    key: str
    part: int
    decision: trace.Decision | None
    error: str = ""
    email_id: UUID | None = None
    message: ParsedMessage | None = field(default=None, repr=False)
    accepted: Accepted | None = field(default=None, repr=False)


@dataclass(slots=True)
class World:
    """What has come of the messages so far. `there`: of emails that may be found at all; `made`: records
    that came only of the messages, as they were decided before."""

    there: Q = earlier.EVERY
    made: frozenset[tuple[str, str]] = frozenset()
    settings: Settings = AS_THEY_ARE
    _stored: dict[UUID, tuple[StoredEmail, Standing]] = field(default_factory=dict)
    _people: dict[str, NewPerson] = field(default_factory=dict)
    _cases: dict[str, Case] = field(default_factory=dict)
    _items: set[tuple[str, UUID]] = field(default_factory=set)
    _fresh_items: set[tuple[str, UUID]] = field(default_factory=set)
    _filed: dict[UUID, tuple[int | None, str]] = field(default_factory=dict)
    _links: dict[UUID, tuple[UUID, UUID]] = field(default_factory=dict)
    _differs: set[UUID] = field(default_factory=set)
    _page_of: tuple[UUID, datetime] | None = None

    def decide(
        self, asked: Sequence[Again], settled: set[Hashable] | None = None
    ) -> Iterator[Decided]:
        """Messages of one mailbox, in their order, all under the same organization. What they read is
        looked up for all of them together. `settled`: items that are emails by now, and so aren't
        decided once more when somebody marks them."""
        settled = set() if settled is None else settled
        if not asked:
            return
        page, cases, answers = self._page(asked), _Cases.of(asked), _answers(asked)
        cases.add(page.prospects.cases)
        for one in asked:
            if one.item in settled:
                continue
            self._begin(one, page, cases)
            for unit, decided, judgement in _decide(one, page):
                if judgement is not None:
                    self._settle(one.reading, unit, judgement, page, answers)
                    if decided.email_id is not None:
                        settled.add(one.item)
                yield decided

    # -- what a message meets

    def _page(self, asked: Sequence[Again]) -> Page:
        messages = [one.message for one in asked]
        messages += [original.message for one in asked for original in one.originals]
        past = Past(
            there=self.there,
            made=self.made,
            stored=tuple(email for email, _standing in self._stored.values()),
        )
        page = page_of(asked[0].reading, messages, past)
        for key, method in self.settings.filters.items():
            if party := page.parties.get(key):
                page.parties[key] = replace(party, filtering=method)
        for email, standing in self._stored.values():
            page.remember(email, standing)
        for person in self._people.values():
            page.book = page.book.with_match(person.address, person.match)
        page.filed, page.differs = self._filed, self._differs
        return page

    def _begin(self, one: Again, page: Page, cases: "_Cases") -> None:
        now = one.reading.now
        page.advance(now)
        page.candidates.since = now - look_back(page.switches.days)
        page.prospects.cases = {**self._cases, **cases.at(now)}
        page.prospects.answered.clear()  # how many answers leave is no matter of settings
        if self._page_of != (place := (one.reading.mailbox.pk, now)):
            # A page of the cycle sees the queue items of those before it.
            self._items |= self._fresh_items
            self._fresh_items.clear()
            self._page_of = place
        page.with_queue_item |= self._items

    # -- what comes of it

    def _settle(
        self,
        reading: Reading,
        unit: Unit,
        judgement: Judgement,
        page: Page,
        answers: Mapping[UUID, list[tuple[StoredEmail, Standing]]],
    ) -> None:
        accepted, email_id = judgement.accepted, judgement.duplicate_of
        if accepted is not None:
            email_id = accepted.id
            self._stored[email_id] = as_stored(accepted, unit.message)
            self._meet(accepted, unit.former)
            if accepted.creation.answer is not None:
                for email, standing in answers.get(email_id, ()):
                    self._stored[email.id] = (email, standing)
                    page.remember(email, standing)
        elif judgement.extra_queue_id is not None and email_id is not None:
            self._fresh_items.add((str(judgement.extra_queue_id), email_id))
        if email_id is not None:
            self._file(reading, email_id)

    def _meet(self, accepted: Accepted, former: Former) -> None:
        creation: Creation = accepted.creation
        if creation.person is not None:
            self._people[str(creation.person.id)] = creation.person
        if creation.case is not None:
            self._cases[str(creation.case.id)] = creation.case.case
        for queue in (*accepted.queue_ids, *accepted.closed_queue_ids):
            self._fresh_items.add((str(queue), accepted.id))
        record = (accepted.regarding_type_id, accepted.regarding_id)
        if former.email_id and record != (former.filed or (None, "")):
            self._differs.add(accepted.id)

    def _file(self, reading: Reading, email_id: UUID) -> None:
        """What lies in a tracked folder takes the folder's record (R7.10)."""
        rule = reading.rule
        if rule is None or rule.record is None or rule.record_type_id is None:
            return
        if email_id not in self._stored:
            return
        stored, _standing = self._stored[email_id]
        now_under = self._filed.get(email_id, (stored.regarding_type_id, stored.regarding_id))
        under: Record | None = (now_under[0], now_under[1]) if now_under[0] else None
        mailbox, linked = self._links.get(email_id, (None, None))
        filed = Filed(regarding=under, given=under, mailbox=mailbox, rule=linked)
        line = RuleLine(rule.id, reading.mailbox.pk, (rule.record_type_id, rule.record.id))
        decision = link_decision(filed, line)
        if decision.regarding is not None:
            self._filed[email_id] = decision.regarding
        if decision.links:
            self._links[email_id] = (reading.mailbox.pk, rule.id)


def _decide(one: Again, page: Page) -> Iterator[tuple[Unit, Decided, Judgement | None]]:
    incoming, reading = one.incoming, one.reading
    unit = Unit(
        incoming=incoming,
        part=0,
        message=one.message,
        raw=one.raw,
        reading=reading.party,
        former=one.former,
    )
    if (skipped := skip(reading, incoming)) is not None:
        yield unit, Decided(key=one.key, part=0, decision=skipped), None
        return
    if not reading.mailbox.is_forward_mailbox:
        yield (unit, *_judge(one, unit, page))
        return
    originals = [(original.raw, original.message) for original in one.originals]
    decision, inner = unwrap(reading, unit, originals, page)
    yield unit, Decided(key=one.key, part=0, decision=decision), None
    for inside in inner:
        inside.former = one.originals[inside.part - 1].former
        yield (inside, *_judge(one, inside, page))


def _judge(one: Again, unit: Unit, page: Page) -> tuple[Decided, Judgement | None]:
    try:
        judgement = judge(one.reading, unit, page)
    except Exception as error:
        log.exception("deciding %s again failed", one.key)
        told = f"{type(error).__name__}: {error}"
        return Decided(key=one.key, part=unit.part, decision=None, error=told), None
    email_id = judgement.accepted.id if judgement.accepted else judgement.duplicate_of
    decided = Decided(
        key=one.key,
        part=unit.part,
        decision=judgement.decision,
        email_id=email_id,
        message=unit.message,
        accepted=judgement.accepted,
    )
    return decided, judgement


class _Cases:
    """Cases as they stood at a time: whatever was settled later was open then."""

    def __init__(self) -> None:
        self._known: dict[str, Case] = {}

    @classmethod
    def of(cls, asked: Sequence[Again]) -> "_Cases":
        """Those that came of the messages before."""
        found = cls()
        ids = {former.case_id for one in asked for former in one.formers if former.case_id}
        if ids:
            rows = Incident.objects.filter(pk__in=ids)
            for row in rows.only("ticket_number", "status_code", "resolved_on"):
                state = state_of(CaseStatus(row.status_code))
                found._known[str(row.pk)] = Case(
                    id=row.pk, number=row.ticket_number, state=state, settled_on=row.resolved_on
                )
        return found

    def add(self, cases: Mapping[str, Case]) -> None:
        self._known = {**cases, **self._known}

    def at(self, now: datetime) -> dict[str, Case]:
        return {key: _at(case, now) for key, case in self._known.items()}


def _at(case: Case, now: datetime) -> Case:
    if case.settled_on is None or case.settled_on <= now:
        return case
    return replace(case, state=CaseState.ACTIVE, settled_on=None)


def _answers(
    asked: Sequence[Again],
) -> dict[UUID, list[tuple[StoredEmail, Standing]]]:
    """Automatic answers that had left (R3.59), by the email that they answer: they are there if that
    still gets one."""
    ids = [former.email_id for one in asked for former in one.formers if former.case_id]
    if not ids:
        return {}
    rows = list(
        Email.objects.filter(is_workflow_created=True, parent_activity__in=ids)
        .select_related("activity")
        .only(*earlier.COLUMNS, "parent_activity_id")
    )
    people = earlier.people_of([row.pk for row in rows])
    found: dict[UUID, list[tuple[StoredEmail, Standing]]] = {}
    for row in rows:
        told = (earlier.stored(row, people), Standing(row.pk, row.sender, row.sent_on))
        assert row.parent_activity_id is not None
        found.setdefault(row.parent_activity_id, []).append(told)
    return found
