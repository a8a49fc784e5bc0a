"""What the decisions about records made from mail read: at most five statements for a page, none where
nobody wants any (R3.57-R3.59)."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Any
from uuid import UUID

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import CharField, Count, Exists, OuterRef, Q, QuerySet, Value
from django.db.models.functions import Cast, Lower, StrIndex, Substr

from activities.choices import ParticipationType
from activities.mime.message import Address, ParsedMessage
from activities.models import ActivityParty, Contact, Email, Incident, Lead
from mailboxes.access import codename_of
from mailboxes.choices import AutoCreate, OutgoingDeliveryMethod, StateCode
from mailboxes.models import Mailbox, SystemUser
from tracking.acceptance import Owner, Party, PartyKey
from tracking.choices import PartyKind
from tracking.correlate import StoredEmail
from tracking.creation import KEYS_TRIED, Case, Item, NewAnswer, NewPerson, Rule, key_of
from tracking.models import ConvertRule, ConvertRuleItem
from tracking.models.rules import RuleState
from tracking.resolution import CONTACT, LEAD, AddressBook, Match

PER_ADDRESS = timedelta(hours=24)
PER_QUEUE = timedelta(hours=1)
#: Each costs a comparison with every mailbox. Beyond them nobody is made a record of, this time.
MOST_DOMAINS = 100
PEOPLE: dict[str, Any] = {CONTACT: Contact, LEAD: Lead}


@dataclass(slots=True)
class Prospects:
    """What was found for a page, and what its messages have made so far.

    `keys`: (kind, address) -> key of the record to make; `makers`: record -> the email that makes it;
    `answered`: address, and mailbox, -> automatic answers of the times that count.
    """

    rules: Mapping[str, Rule] = field(default_factory=dict)
    own_domains: frozenset[str] = frozenset()
    keys: dict[tuple[str, str], UUID] = field(default_factory=dict)
    cases: dict[str, Case] = field(default_factory=dict)
    answered: Counter[str | UUID] = field(default_factory=Counter)
    makers: dict[str, UUID] = field(default_factory=dict)

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
) -> Prospects:
    """`known`: the stored emails that the messages may answer. `allowed`: the organization's switch."""
    watched = [p.id for p in parties.values() if p.kind == PartyKind.QUEUE and p.has_rule]
    rules = _rules([UUID(key) for key in watched]) if watched else {}
    found = Prospects(rules=rules)
    wanted = {p.creates for p in parties.values()} if allowed else set()
    if any(rule.allow_unknown for rule in rules.values()):
        wanted.add(AutoCreate.CONTACT)
    if allowed:
        wanted |= {rule.owner_creates for rule in rules.values()}
    wanted.discard(AutoCreate.NONE)
    strangers = _strangers(messages, book) if wanted else set()
    if strangers:
        found.own_domains = _own_domains({one.rpartition("@")[2] for one in strangers})
        kinds = [CONTACT, *([LEAD] if AutoCreate.LEAD in wanted else [])]
        found.keys = _keys(kinds, strangers)
    if rules:
        found.cases = _cases(known)
    answering = [rule for rule in rules.values() if rule.answers]
    if answering:
        senders = {m.sender.key for m in messages if m.sender and not m.kind.is_automatic}
        found.answered = _answered(senders, answering, now)
    return found


def _strangers(messages: Sequence[ParsedMessage], book: AddressBook) -> set[str]:
    senders = {m.sender.key for m in messages if m.sender and not m.kind.is_automatic}
    return {key for key in senders if key and not book.at(key) and not book.exceeds(key)}


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
    can_act = not owner.is_disabled
    return Rule(
        id=rule.pk,
        name=rule.name,
        queue_id=rule.queue_id,
        queue_name=rule.queue.name,
        queue_address=rule.queue.email_address,
        owner=Owner(user_id=owner.pk, name=str(owner)),
        lacks="" if can_act and rows[0].may_add_cases else _right(Incident),
        lacks_contacts="" if can_act and rows[0].may_add_contacts else _right(Contact),
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


# -- senders -------------------------------------------------------------------------------------


def _own_domains(domains: Collection[str]) -> frozenset[str]:
    """Those of them that mailboxes here have addresses in."""
    some = sorted(domains)[:MOST_DOMAINS]
    ends = reduce(or_, (Q(email_address__iendswith=f"@{domain}") for domain in some))
    domain = Lower(Substr("email_address", StrIndex("email_address", Value("@")) + 1))
    rows = Mailbox.objects.filter(ends).order_by().annotate(domain=domain)
    found = set(rows.values_list("domain", flat=True).distinct())
    return frozenset(found.union(sorted(domains)[MOST_DOMAINS:]))


def _keys(kinds: Sequence[str], addresses: Collection[str]) -> dict[tuple[str, str], UUID]:
    """Which key a new record of each address gets. The first one may belong to a record that was made
    of the address once and has another one now; where a record still has the address, and the index
    was read a moment too early to tell, it is that record."""
    tried = {
        (kind, address): [key_of(kind, address, number) for number in range(KEYS_TRIED)]
        for kind in kinds
        for address in addresses
    }
    taken = {key: have for kind in kinds for key, have in _taken(kind, tried).items()}
    return {
        (kind, address): _first_free(keys, address, taken)
        for (kind, address), keys in tried.items()
    }


def _taken(kind: str, tried: Mapping[tuple[str, str], Sequence[UUID]]) -> dict[UUID, set[str]]:
    keys = [key for (of, _address), some in tried.items() if of == kind for key in some]
    rows = PEOPLE[kind].objects.filter(pk__in=keys).values_list(*COLUMNS)
    return {key: {Address(one).key for one in addresses if one} for key, *addresses in rows}


COLUMNS = ("pk", "email_address1", "email_address2", "email_address3")


def _first_free(keys: Sequence[UUID], address: str, taken: Mapping[UUID, set[str]]) -> UUID:
    for key in keys:
        if key not in taken or address in taken[key]:
            return key
    return keys[-1]


# -- cases and answers ---------------------------------------------------------------------------


def case_type_id() -> int:
    return ContentType.objects.get_for_model(Incident).pk


def is_case(type_id: int | None) -> bool:
    return type_id is not None and type_id == case_type_id()


def _cases(known: Iterable[StoredEmail]) -> dict[str, Case]:
    """The cases that earlier mail of these conversations was filed under."""
    ids = {email.regarding_id for email in known if is_case(email.regarding_type_id)}
    if not ids:
        return {}
    rows = Incident.objects.filter(pk__in=ids).only(
        "ticket_number", "title", "status_code", "resolved_on"
    )
    return {
        str(row.pk): Case(
            id=row.pk,
            number=row.ticket_number,
            title=row.title,
            state=row.state_code,
            settled_on=row.resolved_on,
        )
        for row in rows
    }


def _answered(
    senders: Collection[str], rules: Iterable[Rule], now: datetime
) -> "Counter[str | UUID]":
    """How many automatic answers each address got, and each mailbox sent. One statement."""
    mailboxes = [rule.sends for rule in rules if rule.sends is not None]
    to = ActivityParty.objects.filter(
        address_used__in=sorted(senders),
        participation_type_mask=ParticipationType.TO,
        activity__email__is_workflow_created=True,
        activity__email__submitted_at__gt=now - PER_ADDRESS,
    )
    sent = Email.objects.filter(
        is_workflow_created=True,
        sender_mailbox__in=mailboxes,
        submitted_at__gt=now - PER_QUEUE,
    )
    rows = _counted(to, "address_used").union(
        _counted(sent, "sender_mailbox_id", Cast("sender_mailbox_id", CharField())), all=True
    )
    by_text: dict[str, str | UUID] = {str(key): key for key in mailboxes}
    counts: Counter[str | UUID] = Counter()
    for what, count in rows:
        counts[by_text.get(_hyphened(what), what)] += count
    return counts


def _counted(rows: "QuerySet[Any]", column: str, shown: Any = None) -> "QuerySet[Any, Any]":
    named = rows.order_by().annotate(what=shown or Cast(column, CharField()))
    counted: QuerySet[Any, Any] = named.values_list("what").annotate(count=Count("pk"))
    return counted


def _hyphened(text: str) -> str:
    """SQLite keeps keys without hyphens."""
    try:
        return str(UUID(text))
    except ValueError:
        return text
