"""PURE  Which records a message makes, and which not (R3.57-R3.59). Asked once per accepted message.

    1  nothing at all      no person wrote it (automatic, a list), it is our own, it was sent from here
    2  a case              the rule of the first queue it waits in that has one
    3  a person            of an unknown sender: as that rule wants, else as somebody's personal options
    4  an answer           by the rule that made the case, unless a brake holds

Whatever was asked for and doesn't happen is told as well: a `Note` says what, and why.

The matrix of unknown senders in a queue with a rule (R3.59):

    rule takes them          contact and case, whatever anybody's options say
    it doesn't               a contact if the rule's owner wants contacts; with "lead" or "none" nothing
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from django.db.models import TextChoices

from activities.choices import CaseState
from activities.mime.message import Address, MessageKind, ParsedMessage
from mailboxes.choices import AutoCreate
from tracking.acceptance import Owner
from tracking.choices import ResolvedBecause
from tracking.conditions import Asked, Condition, all_hold
from tracking.names import Name, name_of
from tracking.resolution import ACCOUNT, CONTACT, LEAD, Match, Resolution

CASE = "activities.incident"
KEYS_TRIED = 4  # of records that were made of one address, and then got another one
_NAMESPACE = uuid5(NAMESPACE_URL, "urn:serversync:made-of-mail")

#: Nobody reads what is sent there (RFC 3834, 2; RFC 2142 for lists).
_UNATTENDED = re.compile(
    r"(?:mailer-?daemon|postmaster|(?:do[._-]?)?not?[._-]?reply\b.*|noreply.*|donotreply.*"
    r"|bounces?(?:[+=._-].*)?|.*[-_.]bounces?|owner-.*|.*-owner|.*-request|listserv|majordomo"
    r"|nobody|auto(?:matic)?[._-]?(?:reply|response|mailer).*|prvs=.*)",
    re.IGNORECASE,
)


class Said(TextChoices):
    """What a note is about. Sentences are `tracking.trace`'s."""

    PERSON = "person"
    NO_PERSON = "no_person"
    CASE = "case"
    NO_CASE = "no_case"
    ANSWER = "answer"
    NO_ANSWER = "no_answer"


class Why(TextChoices):
    """Why a record was made, or not."""

    OPTION = "option"  # somebody's personal options
    RULE = "rule"
    AUTOMATIC = "automatic"
    LIST = "list"
    OWN_MARK = "own_mark"
    UNATTENDED = "unattended"
    NULL_PATH = "null_path"
    OWN_DOMAIN = "own_domain"
    SWITCHED_OFF = "switched_off"
    HOUR_LIMIT = "hour_limit"
    DAY_LIMIT = "day_limit"
    UNKNOWN_SENDER = "unknown_sender"
    SENDER_KIND = "sender_kind"
    IGNORED_RECORD = "ignored_record"
    LEAD_BESIDE_RULE = "lead_beside_rule"
    NO_ITEM = "no_item"
    RIGHTS = "rights"
    OWNER_DISABLED = "owner_disabled"
    RELATED_OPEN = "related_open"
    RELATED_SETTLED = "related_settled"
    FOLDER = "folder"
    ADDRESS_LIMIT = "address_limit"
    QUEUE_LIMIT = "queue_limit"
    UNWANTED = "unwanted"
    SUPPRESSED = "suppressed"
    NO_OUTGOING = "no_outgoing"
    TOO_LATE = "too_late"
    REPLAYED = "replayed"


@dataclass(frozen=True, slots=True)
class Note:
    """`about`: a record, a rule, an item, a number: whatever the sentence names. `maker`: by what it was
    wanted (`Creation.maker`); this is not stored."""

    said: Said
    why: Why
    about: Mapping[str, Any] = field(default_factory=dict)
    maker: str = ""


# -- what is known -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    number: int
    name: str
    conditions: Sequence[Condition] = ()
    priority: int = 2
    kind: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """An active rule with what its owner may do (R3.58). `sends`: the queue's mailbox, None if nothing
    can leave through it; `subject` and `body`: the template of its answer, None without one."""

    id: UUID
    name: str
    queue_id: UUID
    queue_name: str
    queue_address: str = ""
    owner: Owner
    disabled: bool = False  # the owner
    lacks: str = ""  # the permission that the owner lacks, "" if none
    lacks_contacts: str = ""
    owner_creates: AutoCreate = AutoCreate.NONE
    allow_unknown: bool = False
    also_settled: bool = False
    settled_for: timedelta = timedelta()
    items: tuple[Item, ...] = ()
    answers: bool = False
    subject: str = ""
    body: str = ""
    sends: UUID | None = None

    @property
    def maker(self) -> str:
        return f"rule:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A case that stands, or is about to."""

    id: UUID
    number: str
    title: str = ""
    state: CaseState = CaseState.ACTIVE
    settled_on: datetime | None = None


@dataclass(frozen=True, slots=True)
class Company:
    """The account of a contact."""

    id: UUID
    name: str


@dataclass(frozen=True, slots=True)
class Pace:
    """How many unknown senders became records in an hour, and in a day; or may."""

    hour: int = 0
    day: int = 0

    def is_within(self, most: "Pace") -> bool:
        return self.hour <= most.hour and self.day <= most.day


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the decision reads beside the message.

    `wants`: what the accepting user, or the owner of the accepting queue, creates of unknown senders;
    `wanter`: his name, `taker`: his key as a maker. `by_queue`: a queue accepted it. `allowed`: the organization's switch.
    `rules`: of the queues that it is to wait in, in their order. `related`: cases that it is about.
    `free_key`: (kind of record, address) -> a key for a new one. `answered`: how many automatic answers
    the sender's address got, and each mailbox sent, within the times of the limits; `answers_within`:
    how long after its arrival mail is answered. `pace`: maker -> what it has made of unknown senders.
    """

    message: ParsedMessage
    now: datetime
    arrived: datetime | None = None  # None: just now
    sender: Resolution
    owner: Owner
    incoming: bool = True
    allowed: bool = True
    wants: AutoCreate = AutoCreate.NONE
    wanter: str = ""
    taker: str = ""
    by_queue: bool = False
    quiet: bool = False  # nobody is to be answered
    rules: tuple[Rule, ...] = ()
    related: tuple[Case, ...] = ()
    filed_by_folder: bool = False
    own_domains: frozenset[str] = frozenset()
    company: Company | None = None
    free_key: Callable[[str, str], UUID] = lambda kind, address: key_of(kind, address)
    new_case: Callable[[], tuple[UUID, str]]
    answered_address: int = 0
    answered_queue: Mapping[UUID, int] = field(default_factory=dict)
    most_per_address: int = 5
    most_per_queue: int = 100
    answers_within: timedelta = timedelta(days=3)
    pace: Callable[[str], Pace] = lambda maker: Pace()
    most: Pace = Pace(100, 500)


# -- what comes of it ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class NewPerson:
    """A contact or lead to be. `kind`: label of its model; `topic`: of a lead."""

    kind: str
    id: UUID
    address: str
    name: Name
    owner: Owner
    topic: str = ""

    @property
    def match(self) -> Match:
        return Match(
            kind=self.kind,
            id=str(self.id),
            name=self.name.full or self.address,
            owner_user_id=self.owner.user_id,
            owner_team_id=self.owner.team_id,
            seniority=str(self.id),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCase:
    id: UUID
    number: str
    title: str
    account_id: UUID | None = None
    contact_id: UUID | None = None
    primary_contact_id: UUID | None = None
    customer_name: str = ""
    address: str = ""
    priority: int = 2
    kind: int | None = None
    rule: Rule
    item: Item

    @property
    def case(self) -> Case:
        return Case(id=self.id, number=self.number, title=self.title)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAnswer:
    """`to`: the record that it goes to; `name` and `address` as the message had them."""

    rule: Rule
    case: NewCase
    to: Match
    name: Name
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """`leaves`: the queue that the message leaves, for it is a case now. `maker`: what makes the person:
    a rule, or the options of a user or queue."""

    person: NewPerson | None = None
    maker: str = ""
    case: NewCase | None = None
    answer: NewAnswer | None = None
    leaves: UUID | None = None
    notes: tuple[Note, ...] = ()

    @property
    def makes_something(self) -> bool:
        return self.person is not None or self.case is not None

    @property
    def is_at_work(self) -> bool:
        """Whether everything that `maker` makes can be made. A case of somebody known doesn't tell that,
        where the rule would also make contacts."""
        return self.person is not None or (
            self.case is not None and not self.case.rule.allow_unknown
        )


NOTHING = Creation()


def key_of(kind: str, address: str, attempt: int = 0) -> UUID:
    """The key of the record that mail from this address makes: whoever comes first makes it, and
    everybody after him the same one."""
    tail = f" {attempt}" if attempt else ""
    return uuid5(_NAMESPACE, f"{kind} {address}{tail}")


def is_unattended(address: str) -> bool:
    return bool(_UNATTENDED.fullmatch(address.rpartition("@")[0]))


def domain_of(address: str) -> str:
    return address.rpartition("@")[2]


def may_make_person(sender: Resolution) -> bool:
    """Whether nobody is known behind the sender's address."""
    return sender.because == ResolvedBecause.NO_MATCH


def decide(facts: Facts) -> Creation:
    """Everything that comes of one accepted message."""
    asked_for = bool(facts.rules) or (may_make_person(facts.sender) and _wanted(facts))
    if not facts.incoming or not asked_for:
        return NOTHING
    if (machine := _no_person_wrote_it(facts.message)) is not None:
        said = Said.NO_CASE if facts.rules else Said.NO_PERSON
        return Creation(notes=(Note(said, machine, _rule(facts.rules[0]) if facts.rules else {}),))
    made = _case_of(facts) if facts.rules else NOTHING
    if made.case is None and may_make_person(facts.sender):
        made = _with_person_by_option(facts, made)
    return _with_answer(facts, made) if made.case is not None else made


def _wanted(facts: Facts) -> bool:
    return facts.wants != AutoCreate.NONE


def _no_person_wrote_it(message: ParsedMessage) -> Why | None:
    """The first brake of a loop: what comes from a machine makes nothing and gets no answer."""
    if message.own_header:
        return Why.OWN_MARK
    if message.kind.is_automatic:
        return Why.AUTOMATIC
    return Why.LIST if message.kind in (MessageKind.LIST, MessageKind.CALENDAR) else None


def _rule(rule: Rule, **more: Any) -> dict[str, Any]:
    return {"rule": rule.name, "queue": rule.queue_name, **more}


# -- a case --------------------------------------------------------------------------------------


def _case_of(facts: Facts) -> Creation:
    """By the first rule that makes one; the others' words are told, too."""
    notes: list[Note] = []
    for rule in facts.rules:
        made = _by_rule(facts, rule)
        notes += made.notes
        if made.case is not None:
            return replace(made, notes=tuple(notes))
    return Creation(notes=tuple(notes))


def _by_rule(facts: Facts, rule: Rule) -> Creation:
    item = _item_for(facts, rule)
    why, about = _hindrance(facts, rule, item)
    if why is not None or item is None:
        note = Note(Said.NO_CASE, why or Why.NO_ITEM, _rule(rule, **about), rule.maker)
        return Creation(notes=(note,))
    person: NewPerson | None = None
    notes: tuple[Note, ...] = ()
    if facts.sender.match is None:
        person = _person(facts, CONTACT)
        notes = (_made_person(person, Why.RULE, rule.name),)
    case = _new_case(facts, rule, item, person)
    told = _rule(rule, item=item.number, name=item.name, case=case.number, case_id=str(case.id))
    notes = (*notes, Note(Said.CASE, Why.RULE, told, rule.maker))
    return Creation(person=person, maker=rule.maker, case=case, leaves=rule.queue_id, notes=notes)


def _item_for(facts: Facts, rule: Rule) -> Item | None:
    asked = Asked(facts.message, facts.sender.match)
    return next((item for item in rule.items if all_hold(item.conditions, asked)), None)


Hindrance = tuple[Why | None, dict[str, Any]]  # why not, and what its sentence names
NOTHING_HINDERS: Hindrance = (None, {})


def _hindrance(facts: Facts, rule: Rule, item: Item | None) -> Hindrance:
    """Why the rule makes no case of it."""
    if facts.filed_by_folder:
        return Why.FOLDER, {}
    for known in facts.related:
        if known.state == CaseState.ACTIVE:
            return Why.RELATED_OPEN, {"case": known.number, "case_id": str(known.id)}
    if (settled := _still_theirs(facts, rule)) is not None:
        return Why.RELATED_SETTLED, {"case": settled.number, "case_id": str(settled.id)}
    if rule.disabled:
        return Why.OWNER_DISABLED, {"owner": rule.owner.name}
    if rule.lacks:
        return Why.RIGHTS, {"owner": rule.owner.name, "permission": rule.lacks}
    if item is None:
        return Why.NO_ITEM, {}
    if facts.sender.match is None:
        return _against_stranger(facts, rule)
    if facts.sender.match.kind not in (CONTACT, ACCOUNT):
        return Why.SENDER_KIND, {"kind": facts.sender.match.kind}
    return NOTHING_HINDERS


def _against_stranger(facts: Facts, rule: Rule) -> Hindrance:
    """A case needs a customer, so a contact has to be made first."""
    if not rule.allow_unknown:
        return Why.UNKNOWN_SENDER, {}
    if rule.lacks_contacts:
        return Why.RIGHTS, {"owner": rule.owner.name, "permission": rule.lacks_contacts}
    if (why := _no_person(facts)) is not None:
        return why, {}
    return _held(facts, rule.maker)


def _held(facts: Facts, maker: str) -> Hindrance:
    """The brake on what spam can make (R3.58)."""
    pace = facts.pace(maker)
    if pace.hour >= facts.most.hour:
        return Why.HOUR_LIMIT, {"count": pace.hour}
    if pace.day >= facts.most.day:
        return Why.DAY_LIMIT, {"count": pace.day}
    return NOTHING_HINDERS


def _still_theirs(facts: Facts, rule: Rule) -> Case | None:
    """The settled case that this mail goes to in place of a new one."""
    for case in facts.related:
        if not rule.also_settled:
            return case
        if case.settled_on is not None and facts.now - case.settled_on < rule.settled_for:
            return case
    return None


def _new_case(facts: Facts, rule: Rule, item: Item, person: NewPerson | None) -> NewCase:
    sender = person.match if person else facts.sender.match
    assert sender is not None  # the caller asked
    record, company = UUID(sender.id), facts.company if person is None else None
    is_account = sender.kind == ACCOUNT
    key, number = facts.new_case()
    address = facts.sender.address
    return NewCase(
        id=key,
        number=number,
        title=(facts.message.subject.strip() or address)[:200],
        account_id=record if is_account else company.id if company else None,
        contact_id=None if is_account or company else record,
        primary_contact_id=None if is_account or not company else record,
        customer_name=company.name if company else sender.name,
        address=address if len(address) <= 100 else "",
        priority=item.priority,
        kind=item.kind,
        rule=rule,
        item=item,
    )


# -- a person ------------------------------------------------------------------------------------


def _with_person_by_option(facts: Facts, made: Creation) -> Creation:
    """What personal options make of an unknown sender where no rule did (R3.57, R3.59)."""
    wants, wanter, maker = facts.wants, facts.wanter, facts.taker
    if facts.by_queue and facts.rules:
        rule = facts.rules[0]
        wants, wanter, maker = rule.owner_creates, rule.owner.name, rule.maker
        if wants == AutoCreate.LEAD:
            note = Note(Said.NO_PERSON, Why.LEAD_BESIDE_RULE, _rule(rule, owner=wanter))
            return replace(made, notes=(*made.notes, note))
    if wants == AutoCreate.NONE:
        return made
    why, about = _against_person(facts, maker)
    if why is not None:
        told = {"address": facts.sender.address, "who": wanter, **about}
        return replace(made, notes=(*made.notes, Note(Said.NO_PERSON, why, told, maker)))
    person = _person(facts, CONTACT if wants == AutoCreate.CONTACT else LEAD)
    note = _made_person(person, Why.OPTION, wanter)
    return replace(made, person=person, maker=maker, notes=(*made.notes, note))


def _against_person(facts: Facts, maker: str) -> Hindrance:
    why = _no_person(facts) if facts.allowed else Why.SWITCHED_OFF
    return (why, {}) if why is not None else _held(facts, maker)


def _no_person(facts: Facts) -> Why | None:
    """Why nobody may be made of this sender, whoever wants it."""
    address = facts.sender.address
    if not may_make_person(facts.sender):
        return Why.UNKNOWN_SENDER
    if facts.sender.ignored:
        return Why.IGNORED_RECORD
    if domain_of(address).casefold() in facts.own_domains:
        return Why.OWN_DOMAIN
    if facts.message.null_path:
        return Why.NULL_PATH
    # A column of contacts takes no more.
    if is_unattended(address) or len(address) > 100:
        return Why.UNATTENDED
    return None


def _person(facts: Facts, kind: str) -> NewPerson:
    address = facts.sender.address
    name = name_of(facts.sender.name, address)
    return NewPerson(
        kind=kind,
        id=facts.free_key(kind, Address(address).key),
        address=address,
        name=name,
        owner=facts.owner,
        topic=(facts.message.subject.strip() or name.full)[:300],
    )


def _made_person(person: NewPerson, why: Why, who: str) -> Note:
    about = {"kind": person.kind, "id": str(person.id), "name": person.match.name, "who": who}
    return Note(Said.PERSON, why, about)


# -- an answer -----------------------------------------------------------------------------------


def _with_answer(facts: Facts, made: Creation) -> Creation:
    case = made.case
    assert case is not None
    rule = case.rule
    if not rule.answers:
        return made
    sender = made.person.match if made.person else facts.sender.match
    assert sender is not None
    why, about = _brake(facts, rule, sender)
    if why is not None:
        note = Note(Said.NO_ANSWER, why, {"address": facts.sender.address, **about})
        return replace(made, notes=(*made.notes, note))
    answer = NewAnswer(
        rule=rule,
        case=case,
        to=sender,
        name=made.person.name if made.person else name_of(sender.name, facts.sender.address),
        address=facts.sender.address,
    )
    note = Note(Said.ANSWER, Why.RULE, {"address": answer.address, "rule": rule.name})
    return replace(made, answer=answer, notes=(*made.notes, note))


def _brake(facts: Facts, rule: Rule, sender: Match) -> Hindrance:
    """What holds an answer back; the last brake counts, for no header can be relied on."""
    if facts.quiet:
        return Why.REPLAYED, {}
    if is_unattended(facts.sender.address):
        return Why.UNATTENDED, {}
    if facts.message.null_path:
        return Why.NULL_PATH, {}
    if facts.message.answer_unwanted:
        return Why.SUPPRESSED, {}
    if sender.do_not_email:
        return Why.UNWANTED, {}
    if rule.sends is None:
        return Why.NO_OUTGOING, {"queue": rule.queue_name}
    if facts.arrived is not None and facts.now - facts.arrived > facts.answers_within:
        return Why.TOO_LATE, {"count": facts.answers_within.days}
    if facts.answered_address >= facts.most_per_address:
        return Why.ADDRESS_LIMIT, {"count": facts.answered_address}
    sent = facts.answered_queue.get(rule.sends, 0)
    if sent >= facts.most_per_queue:
        return Why.QUEUE_LIMIT, {"count": sent, "queue": rule.queue_name}
    return NOTHING_HINDERS
