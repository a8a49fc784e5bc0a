"""What the decisions about records made from mail read (R3.57-R3.59): two statements for a page, none where
nobody wants any. The second one asks for facts of several kinds at once, so its columns are texts."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.db.models import Count, Exists, OuterRef, Q, QuerySet, TextField, Value
from django.db.models.functions import Cast, Lower, StrIndex, Substr
from django.utils.dateparse import parse_datetime

from activities.cases import state_of
from activities.choices import CaseStatus, ParticipationType
from activities.mime.message import Address, ParsedMessage
from activities.models import ActivityParty, Contact, Email, Incident, Lead
from mailboxes.access import codename_of
from mailboxes.choices import AutoCreate, OutgoingDeliveryMethod, StateCode
from mailboxes.models import Mailbox, SystemUser, uuid7
from tracking.acceptance import Owner, Party, PartyKey
from tracking.brakes import DAY, hour_of
from tracking.choices import PartyKind
from tracking.correlate import StoredEmail
from tracking.creation import KEYS_TRIED, Case, Item, NewAnswer, NewPerson, Rule, key_of
from tracking.models import ConvertRule, ConvertRuleItem, CreationCount
from tracking.models.rules import RuleState
from tracking.resolution import CONTACT, LEAD, AddressBook, Match

PER_ADDRESS = timedelta(hours=24)
PER_QUEUE = timedelta(hours=1)
BATCH = 50  # addresses or keys of one part of a statement
EACH = 20  # parameters of such a part beside them
PEOPLE: dict[str, Any] = {CONTACT: Contact, LEAD: Lead}


@dataclass(slots=True)
class Prospects:
    """What was found for a page, and what its messages have made so far.

    `keys`: (kind, address) -> key of the record to make; `makers`: record -> the email that makes it;
    `answered`: address, and mailbox, -> automatic answers of the times that count; `made`: see
    `brakes.Counts`.
    """

    rules: Mapping[str, Rule] = field(default_factory=dict)
    own_domains: frozenset[str] = frozenset()
    keys: dict[tuple[str, str], UUID] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    answered: Counter[str | UUID] = field(default_factory=Counter)
    makers: dict[str, UUID] = field(default_factory=dict)
    made: Counter[tuple[str, datetime]] = field(default_factory=Counter)

    def free_key(self, kind: str, address: str) -> UUID:
        return self.keys.get((kind, address)) or key_of(kind, address)

    def remember(self, person: NewPerson | None, case: Case | None, email_id: UUID) -> None:
        if person is not None:
            self.makers[str(person.id)] = email_id
        if case is not None:
            self.cases[str(case.id)] = case

    def count(self, answer: NewAnswer) -> None:
        """It counts for those that later messages of the page would get."""
        self.answered[Address(answer.address).key] += 1
        if answer.rule.sends is not None:
            self.answered[answer.rule.sends] += 1

    def made_by(self, records: Iterable[Match]) -> frozenset[UUID]:
        """The emails of this page that make some of these records."""
        return frozenset(self.makers[one.id] for one in records if one.id in self.makers)


def has_active_rule(queue: str) -> Exists:
    """For rows of queues, or of what has one: does mail to it make cases?"""
    rules = ConvertRule.objects.filter(queue=OuterRef(queue), state_code=RuleState.ACTIVE)
    return Exists(rules)


def load(
    messages: Sequence[ParsedMessage],
    book: AddressBook,
    parties: Mapping[PartyKey, Party],
    known: Iterable[StoredEmail],
    now: datetime,
    *,
    allowed: bool,
    counted: bool = True,
) -> Prospects:
    """`known`: the stored emails that the messages may answer. `allowed`: the organization's switch.
    `counted`: what was made so far is to count; where mail is decided again it made that itself."""
    watched = [p.id for p in parties.values() if p.kind == PartyKind.QUEUE and p.has_rule]
    rules = _rules([UUID(key) for key in watched]) if watched else {}
    found = Prospects(rules=rules)
    wanted = {p.creates for p in parties.values()} if allowed else set()
    if any(rule.allow_unknown for rule in rules.values()):
        wanted.add(AutoCreate.CONTACT)
    if allowed:
        wanted |= {rule.owner_creates for rule in rules.values()}
    wanted.discard(AutoCreate.NONE)
    senders = {m.sender.key for m in messages if m.sender and not m.kind.is_automatic}
    strangers = {key for key in senders if key and not book.at(key) and not book.exceeds(key)}
    looked_for = LookedFor(
        now=now,
        senders=senders,
        strangers=strangers if wanted else set(),
        kinds=(CONTACT, LEAD) if AutoCreate.LEAD in wanted else (CONTACT,),
        cases=_cases_of(known) if rules else set(),
        makers=_makers(parties, rules) if wanted and counted else [],
    )
    _learn(found, looked_for, _read(_arms(found, looked_for)))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class LookedFor:
    """`senders`: of mail that people may have written, `strangers`: those without a record; `kinds`: of
    records that may be made of them, `makers`: by what; `cases`: keys."""

    now: datetime
    senders: set[str]
    strangers: set[str]
    kinds: tuple[str, ...]
    cases: set[UUID]
    makers: list[str]


def _makers(parties: Mapping[PartyKey, Party], rules: Mapping[str, Rule]) -> list[str]:
    """What might make records of strangers, as its counts know it."""
    wanting = {":".join(p.key) for p in parties.values() if p.creates != AutoCreate.NONE}
    return sorted(wanting | {rule.maker for rule in rules.values()})


def _cases_of(known: Iterable[StoredEmail]) -> set[UUID]:
    """What earlier mail of these conversations was filed under, as far as it is a case."""
    return {UUID(email.regarding_id) for email in known if is_case(email.regarding_type_id)}


# -- rules ---------------------------------------------------------------------------------------


def _rules(queues: Collection[UUID]) -> dict[str, Rule]:
    """Queue -> its active rule, with all its items. One statement."""
    rows = (
        ConvertRuleItem.objects.filter(
            convert_rule__queue__in=queues, convert_rule__state_code=RuleState.ACTIVE
        )
        .select_related(
            "convert_rule__queue__default_mailbox",
            "convert_rule__owning_user__settings",
            "convert_rule__response_template",
        )
        .annotate(
            may_add_cases=_may_add("convert_rule__owning_user", Incident),
            may_add_contacts=_may_add("convert_rule__owning_user", Contact),
        )
        .order_by("convert_rule_id", "sequence_number")
    )
    items: dict[UUID, list[ConvertRuleItem]] = defaultdict(list)
    for row in rows:
        items[row.convert_rule_id].append(row)
    return {str(found[0].convert_rule.queue_id): _rule(found) for found in items.values()}


def _may_add(user: str, model: Any) -> Q:
    """Does this user hold the permission to add such records, of a group or directly?"""
    right = Permission.objects.filter(
        codename=codename_of(model, "add"), content_type__app_label=model._meta.app_label
    )
    return (
        Q(**{f"{user}__is_superuser": True})
        | Q(Exists(right.filter(group__user=OuterRef(user))))
        | Q(Exists(right.filter(user=OuterRef(user))))
    )


def _rule(rows: Sequence[Any]) -> Rule:
    rule: ConvertRule = rows[0].convert_rule
    owner, template = rule.owning_user, rule.response_template
    assert owner is not None  # a constraint of the table
    mailbox = getattr(rule.queue, "default_mailbox", None)
    return Rule(
        id=rule.pk,
        name=rule.name,
        queue_id=rule.queue_id,
        queue_name=rule.queue.name,
        queue_address=rule.queue.email_address,
        owner=Owner(user_id=owner.pk, name=str(owner)),
        disabled=owner.is_disabled,
        lacks="" if rows[0].may_add_cases else _right(Incident),
        lacks_contacts="" if rows[0].may_add_contacts else _right(Contact),
        owner_creates=_wish_of(owner),
        allow_unknown=rule.allow_unknown_sender,
        also_settled=rule.check_if_resolved,
        settled_for=rule.resolved_for,
        items=tuple(_item(row) for row in rows),
        answers=rule.send_automatic_response and template is not None,
        subject=template.subject if template else "",
        body=template.body if template else "",
        sends=mailbox.pk if mailbox is not None and _sends(mailbox) else None,
    )


def _right(model: Any) -> str:
    return f"{model._meta.app_label}.{codename_of(model, 'add')}"


def _wish_of(owner: SystemUser) -> AutoCreate:
    settings = getattr(owner, "settings", None)
    return AutoCreate(settings.auto_create_contact_on_promote) if settings else AutoCreate.NONE


def _sends(mailbox: Mailbox) -> bool:
    return bool(
        mailbox.outgoing_email_delivery_method == OutgoingDeliveryMethod.SERVER_SIDE_SYNC
        and mailbox.state_code == StateCode.ACTIVE
    )


def _item(row: ConvertRuleItem) -> Item:
    return Item(
        number=row.sequence_number,
        name=row.name,
        conditions=tuple(row.conditions),
        priority=row.priority_code,
        kind=row.case_type_code,
    )


# -- everything else, in one statement -----------------------------------------------------------

Row = tuple[str, str, str, str, str]
COLUMNS = ("pk", "email_address1", "email_address2", "email_address3")


class What(StrEnum):
    """What a row tells beside labels of models: key and addresses of a record under a wanted key."""

    DOMAIN = "domain"  # of a mailbox here
    CASE = "case"  # key, number, status, when settled
    TO = "to"  # address and how many answers it got
    FROM = "from"  # mailbox and how many answers it sent
    MADE = "made"  # maker, hour and how many records of strangers it made then


def _arms(found: "Prospects", looked_for: "LookedFor") -> Iterator[tuple[int, QuerySet[Any, Any]]]:
    """(parameters, statement) for each kind of fact."""
    for some in _batches(sorted(looked_for.strangers)):
        yield len(some), _domains(some)
        for kind in looked_for.kinds:
            keys = [key for one in some for key in _keys_of(kind, one)]
            yield len(keys), _shown(PEOPLE[kind].objects.filter(pk__in=keys), kind, *COLUMNS)
    for some in _batches(looked_for.makers if looked_for.strangers else []):
        rows = CreationCount.objects.filter(maker__in=some, hour__gt=hour_of(looked_for.now) - DAY)
        yield len(some), _shown(rows, What.MADE, "maker", "hour", "made", "made")
    for some in _batches(sorted(looked_for.cases)):
        cases = Incident.objects.filter(pk__in=some)
        yield (
            len(some),
            _shown(cases, What.CASE, "pk", "ticket_number", "status_code", "resolved_on"),
        )
    sending = [rule.sends for rule in found.rules.values() if rule.answers and rule.sends]
    if sending:
        yield from _answered(looked_for.senders, sending, looked_for.now)


def _answered(
    addresses: Iterable[str], sending: Sequence[UUID], now: datetime
) -> Iterator[tuple[int, QuerySet[Any, Any]]]:
    for some in _batches(sorted(addresses)):
        yield len(some), _counted(_answers_to(some, now), What.TO, "address_used")
    sent = Email.objects.filter(
        is_workflow_created=True, sender_mailbox__in=sending, submitted_at__gt=now - PER_QUEUE
    )
    yield len(sending), _counted(sent, What.FROM, "sender_mailbox_id")


def answered(
    addresses: Iterable[str], mailboxes: Iterable[UUID], now: datetime
) -> Counter[str | UUID]:
    """How many automatic answers these addresses got and these mailboxes sent, as `Prospects.answered`.
    One statement."""
    found = Prospects()
    for what, key, one, _two, _three in _read(_answered(addresses, list(mailboxes), now)):
        _count_answers(found, what, key, int(one))
    return found.answered


def _read(arms: Iterable[tuple[int, QuerySet[Any, Any]]]) -> Iterator[Row]:
    """One statement, or as few as the database's parameters allow."""
    most = connection.features.max_query_params or 20_000
    together: list[QuerySet[Any, Any]] = []
    weight = 0
    for parameters, arm in arms:
        if together and weight + parameters + EACH > most:
            yield from _union(together)
            together, weight = [], 0
        together.append(arm)
        weight += parameters + EACH
    if together:
        yield from _union(together)


def _union(arms: Sequence[QuerySet[Any, Any]]) -> Iterator[Row]:
    first, *more = arms
    yield from (first.union(*more, all=True) if more else first)


def _batches(values: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(values), BATCH):
        yield values[start : start + BATCH]


def _shown(rows: "QuerySet[Any]", what: str, *columns: str) -> "QuerySet[Any, Any]":
    names = ("key", "one", "two", "three")
    texts = {name: Cast(column, TextField()) for name, column in zip(names, columns, strict=True)}
    shown: QuerySet[Any, Any] = (
        rows.order_by().annotate(what=_text(what), **texts).values_list("what", *names)
    )
    return shown


def _counted(rows: "QuerySet[Any]", what: str, column: str) -> "QuerySet[Any, Any]":
    counted: QuerySet[Any, Any] = (
        rows.order_by()
        .annotate(what=_text(what), key=Cast(column, TextField()))
        .values("what", "key")
        .annotate(one=Cast(Count("pk"), TextField()), two=_text(""), three=_text(""))
        .values_list("what", "key", "one", "two", "three")
    )
    return counted


def _text(value: str) -> Value:
    return Value(value, output_field=TextField())


def _domains(addresses: Sequence[str]) -> "QuerySet[Any, Any]":
    """Those of their domains that mailboxes here have addresses in."""
    domains = {address.rpartition("@")[2] for address in addresses}
    ends = reduce(or_, (Q(email_address__iendswith=f"@{domain}") for domain in sorted(domains)))
    domain = Lower(Substr("email_address", StrIndex("email_address", Value("@")) + 1))
    rows: QuerySet[Any, Any] = (
        Mailbox.objects.filter(ends)
        .order_by()
        .annotate(what=_text(What.DOMAIN), key=Cast(domain, TextField()))
        .annotate(one=_text(""), two=_text(""), three=_text(""))
        .values_list("what", "key", "one", "two", "three")
        .distinct()
    )
    return rows


def _answers_to(addresses: Sequence[str], now: datetime) -> "QuerySet[Any]":
    return ActivityParty.objects.filter(
        address_used__in=addresses,
        participation_type_mask=ParticipationType.TO,
        activity__email__is_workflow_created=True,
        activity__email__submitted_at__gt=now - PER_ADDRESS,
    )


# -- reading the answers


def _learn(found: Prospects, looked_for: "LookedFor", rows: Iterable[Row]) -> None:
    taken: dict[UUID, set[str]] = {}
    domains: set[str] = set()
    for what, key, one, two, three in rows:
        if what == What.DOMAIN:
            domains.add(key)
        elif what in PEOPLE:
            taken[UUID(key)] = {Address(text).key for text in (one, two, three) if text}
        elif what == What.CASE:
            found.cases[str(UUID(key))] = _case(key, one, two, three)
        elif what in (What.TO, What.FROM):
            _count_answers(found, what, key, int(one))
        elif what == What.MADE:
            found.made[key, _moment(one)] = int(two)
    found.own_domains = frozenset(domains)
    found.keys = {
        (kind, address): _first_free(kind, address, taken)
        for kind in looked_for.kinds
        for address in looked_for.strangers
    }


def _case(key: str, number: str, status: str, settled_on: str | None) -> Case:
    moment = _moment(settled_on) if settled_on else None
    state = state_of(CaseStatus(int(status)))
    return Case(id=UUID(key), number=number, state=state, settled_on=moment)


def _count_answers(found: Prospects, what: str, key: str, number: int) -> None:
    found.answered[UUID(key) if what == What.FROM else key] += number


def _moment(text: str) -> datetime:
    moment = parse_datetime(text)
    assert moment is not None  # the database wrote it
    # SQLite's texts have no zone; PostgreSQL's have that of the connection, which is UTC.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _keys_of(kind: str, address: str) -> list[UUID]:
    return [key_of(kind, address, number) for number in range(KEYS_TRIED)]


def _first_free(kind: str, address: str, taken: Mapping[UUID, set[str]]) -> UUID:
    """Which key a new record of this address gets. The first one may belong to a record that was made of
    the address once and has another one now; where a record still has the address, and the index was
    read a moment too early to tell, it is that record. If all of them moved, a key like any other's."""
    keys = _keys_of(kind, address)
    for key in keys:
        if key not in taken or address in taken[key]:
            return key
    return uuid7()


# -- cases ---------------------------------------------------------------------------------------


def case_type_id() -> int:
    return ContentType.objects.get_for_model(Incident).pk


def is_case(type_id: int | None) -> bool:
    return type_id is not None and type_id == case_type_id()
