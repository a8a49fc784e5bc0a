"""Who is behind an address: reads the matches and the parties of a whole page.

Cost: one query on the index and one per kind of record found. Users and queues are matches and
parties at once, so their rows bring filter, owner and mailbox along. Nothing is asked per address,
and no record is loaded whole. Any model of EMAIL_ENABLED_MODELS will do: what it lacks (owner, state,
"do not email") counts as absent, active, allowed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import connection, models
from django.db.models import Exists, F, OuterRef, Q, Window
from django.db.models.functions import RowNumber

from activities.choices import LEAD_STATE, LeadState
from activities.models import Contact
from mailboxes.choices import (
    AccessMode,
    AutoCreate,
    FilteringMethod,
    IncomingDeliveryMethod,
    StateCode,
)
from mailboxes.models import EmailSearch, Mailbox, Queue, SystemUser
from mailboxes.search import enabled_models
from tracking.acceptance import DefaultQueue, Owner, Party, PartyKey
from tracking.choices import Lacks, PartyKind
from tracking.models import ConvertRule
from tracking.models.rules import RuleState
from tracking.resolution import MOST_MATCHES, AddressBook, Match

#: With these a user looks after the site or looks on, and owns no business data (R3.29).
WITHOUT_RECORDS = frozenset({AccessMode.ADMINISTRATIVE, AccessMode.READ, AccessMode.SUPPORT_USER})
OPEN_LEADS = frozenset(status for status, state in LEAD_STATE.items() if state == LeadState.OPEN)


@dataclass(frozen=True, slots=True)
class Hit:
    """One row of the index."""

    address: str
    parent_id: str
    column: int


@dataclass(frozen=True, slots=True)
class People:
    """Who is behind the addresses of a page, and the users and queues among them with their filters."""

    book: AddressBook = field(default_factory=AddressBook)
    parties: dict[PartyKey, Party] = field(default_factory=dict)


def look_up(addresses: Iterable[str]) -> AddressBook:
    """Every record with one of these addresses (`Address.key`). An address with more matches than
    R3.34 allows is in `too_many` and has none."""
    return look_up_people(addresses).book


def look_up_people(
    addresses: Iterable[str], also: Iterable[PartyKey] = (), *, ask_permission: bool = False
) -> People:
    """`also`: the party whose mailbox is read, whoever is disabled included. `ask_permission`: owners
    of email need a permission of their own (R3.29)."""
    hits, too_many = _index_rows({address for address in addresses if address})
    wanted = {model: {row.parent_id for row in rows} for model, rows in hits.items()}
    asked = set(also)
    for kind, party_id in asked:
        wanted.setdefault(PARTY_MODELS[kind], set()).add(party_id)
    found: dict[str, list[Match]] = defaultdict(list)
    parties: dict[PartyKey, Party] = {}
    for model, ids in wanted.items():
        records = _records(model, ids, ask_permission)
        for row in hits.get(model, ()):
            if record := records.get(row.parent_id):
                found[row.address].append(_match(model, row, record))
        if model in _PARTY_OF:
            every = (_PARTY_OF[model](record, ask_permission) for record in records.values())
            parties |= {p.key: p for p in every if p.key in asked or not _is_ignored(p)}
    book = {address: tuple(sorted(m, key=lambda match: match.rank)) for address, m in found.items()}
    return People(AddressBook(book, frozenset(too_many)), parties)


def _is_ignored(party: Party) -> bool:
    """Disabled users never count (R3.39)."""
    return party.kind == PartyKind.USER and not party.active


def _index_rows(addresses: set[str]) -> tuple[dict[type[models.Model], list[Hit]], set[str]]:
    """Rows by model, and the addresses with too many. A thousand matches cost as much as 101."""
    kinds = {
        kind.pk: model
        for model, kind in ContentType.objects.get_for_models(*enabled_models()).items()
    }
    numbered = Window(RowNumber(), partition_by=F("email_address"), order_by=F("id").asc())
    hits: list[tuple[type[models.Model], Hit]] = []
    matches: dict[str, int] = defaultdict(int)
    for some in _batches(sorted(addresses)):
        rows = (
            EmailSearch.objects.filter(email_address__in=some, parent_type__in=kinds)
            .annotate(number=numbered)
            .filter(number__lte=MOST_MATCHES + 1)
            .values_list("email_address", "parent_type_id", "parent_id", "email_column_number")
        )
        for address, kind, parent_id, column in rows:
            matches[address] += 1
            hits.append((kinds[kind], Hit(address, parent_id, column)))
    too_many = {address for address, count in matches.items() if count > MOST_MATCHES}
    by_model: dict[type[models.Model], list[Hit]] = defaultdict(list)
    for model, hit in hits:
        if hit.address not in too_many:
            by_model[model].append(hit)
    return by_model, too_many


def _batches(values: list[Any]) -> Iterator[list[Any]]:
    """SQLite takes 999 parameters a statement; some are the statement's own."""
    size = (connection.features.max_query_params or 20_000) - 49
    for start in range(0, len(values), size):
        yield values[start : start + size]


@cache
def _columns(model: type[models.Model]) -> tuple[str, ...]:
    """The columns that a match is made of, as far as the model has them."""
    wanted = (
        *("first_name", "middle_name", "last_name", "domain_name", "name", "title", "subject"),
        *("owning_user", "owning_team", "do_not_email"),
        *("is_disabled", "state_code", "status_code", "is_active"),
    )
    return ("pk", *(name for name in (_column(model, name) for name in wanted) if name))


def _column(model: type[models.Model], name: str) -> str:
    try:
        field = model._meta.get_field(name)
    except FieldDoesNotExist:
        return ""
    return field.attname if isinstance(field, models.Field) and field.concrete else ""


def _records(
    model: type[models.Model], ids: set[str], ask_permission: bool
) -> dict[str, dict[str, Any]]:
    """Key as text -> columns. A record that the index still names but is gone has none."""
    key = model._meta.pk
    keys = []
    for text in ids:
        try:
            keys.append(key.to_python(text))
        except ValidationError:
            continue
    more, computed = _more_of_parties(model, ask_permission)
    columns = (*_columns(model), *more, *computed)
    rows = model._default_manager.annotate(**computed)
    return {
        str(row["pk"]): row
        for some in _batches(sorted(keys))
        for row in rows.filter(pk__in=some).values(*columns)
    }


def _match(model: type[models.Model], row: Hit, record: dict[str, Any]) -> Match:
    key = record["pk"]
    return Match(
        kind=model._meta.label_lower,
        id=row.parent_id,
        name=_name(record) or row.address,
        active=_is_active(model, record),
        owner_user_id=record.get("owning_user_id"),
        owner_team_id=record.get("owning_team_id"),
        column=row.column,
        do_not_email=bool(record.get("do_not_email")),
        seniority=f"{key:020d}" if isinstance(key, int) else str(key),
        company_id=record.get("parent_account_id"),
        company_name=record.get("parent_account__name") or "",
    )


def _name(record: dict[str, Any]) -> str:
    parts = (record.get(name) for name in ("first_name", "middle_name", "last_name"))
    if full := " ".join(part for part in parts if part):
        return full
    others = (record.get(name) for name in ("domain_name", "name", "title", "subject"))
    return next((str(name) for name in others if name), "")


def _is_active(model: type[models.Model], record: dict[str, Any]) -> bool:
    if model._meta.label_lower == "activities.lead":
        return record["status_code"] in OPEN_LEADS
    if "is_disabled" in record:
        return not record["is_disabled"]
    if "state_code" in record:
        return bool(record["state_code"] == StateCode.ACTIVE)
    return bool(record.get("is_active", True))


# -- users and queues as parties

MAILBOX = ("default_mailbox__id", "default_mailbox__incoming_email_delivery_method")
PERSON = ("is_disabled", "is_licensed", "access_mode", "is_superuser")
NAMES = ("first_name", "middle_name", "last_name", "domain_name")
DEFAULT_QUEUE = ("queue_id", "queue__name", "queue__state_code")


def _of(prefix: str, *columns: str) -> tuple[str, ...]:
    return tuple(f"{prefix}__{column}" for column in columns)


CREATES = "settings__auto_create_contact_on_promote"

USER_COLUMNS = (
    *("is_licensed", "access_mode", "is_superuser", "settings__incoming_email_filtering_method"),
    CREATES,
    *DEFAULT_QUEUE,
    *MAILBOX,
)
QUEUE_COLUMNS = (
    "incoming_email_filtering_method",
    *_of("owning_user", *PERSON, *NAMES, *DEFAULT_QUEUE, CREATES),
    *_of("owning_team", "name", *DEFAULT_QUEUE),
    *MAILBOX,
)


def _more_of_parties(
    model: type[models.Model], ask_permission: bool
) -> tuple[tuple[str, ...], dict[str, Any]]:
    """Columns beside those of any match, and what is computed for each row."""
    if model is Contact:
        return ("parent_account_id", "parent_account__name"), {}
    if model is SystemUser:
        return USER_COLUMNS, {"permitted": holds_permission("pk")} if ask_permission else {}
    if model is Queue:
        able = {"able_member": _able_member(ask_permission), "has_rule": _has_rule()}
        return QUEUE_COLUMNS, able | (
            {"permitted": holds_permission("owning_user")} if ask_permission else {}
        )
    return (), {}


def holds_permission(user: str) -> Q:
    """Does this user hold the permission to add email, of a group or directly?"""
    right = Permission.objects.filter(
        codename="add_email", content_type__app_label="activities", content_type__model="email"
    )
    return Q(Exists(right.filter(group__user=OuterRef(user)))) | Q(
        Exists(right.filter(user=OuterRef(user)))
    )


def _has_rule() -> Exists:
    """Whether mail to the queue makes records (R3.58)."""
    return Exists(ConvertRule.objects.filter(queue=OuterRef("pk"), state_code=RuleState.ACTIVE))


def _creates(row: dict[str, Any]) -> AutoCreate:
    return AutoCreate(row.get(CREATES) or AutoCreate.NONE)


def _able_member(ask_permission: bool) -> Exists:
    """A team may own email if one of its members may."""
    members = SystemUser.objects.filter(
        teams=OuterRef("owning_team"), is_disabled=False, is_licensed=True
    ).exclude(access_mode__in=WITHOUT_RECORDS)
    if ask_permission:
        members = members.filter(Q(is_superuser=True) | holds_permission("pk"))
    return Exists(members)


def _user(row: dict[str, Any], ask_permission: bool) -> Party:
    filtering = row["settings__incoming_email_filtering_method"]
    return Party(
        kind=PartyKind.USER,
        id=str(row["pk"]),
        name=_name(row),
        # Without a settings row the default of R3.16.
        filtering=FilteringMethod.RESPONSES if filtering is None else FilteringMethod(filtering),
        active=not row["is_disabled"],
        owner=Owner(user_id=row["pk"], name=_name(row)),
        lacks=_lacks(row, ask_permission),
        default_queue=_default_queue(row),
        creates=_creates(row),
        **_mailbox(row),
    )


def _queue(row: dict[str, Any], ask_permission: bool) -> Party:
    prefix = "owning_user__" if row["owning_user_id"] is not None else "owning_team__"
    owner = {key.removeprefix(prefix): row[key] for key in row if key.startswith(prefix)}
    lacks = Lacks.NOTHING if row["able_member"] else Lacks.MEMBER
    if row["owning_user_id"] is not None:
        lacks = _lacks(owner | {"permitted": row.get("permitted")}, ask_permission)
    return Party(
        kind=PartyKind.QUEUE,
        id=str(row["pk"]),
        name=row["name"],
        filtering=FilteringMethod(row["incoming_email_filtering_method"]),
        active=row["state_code"] == StateCode.ACTIVE,
        owner=Owner(row["owning_user_id"], row["owning_team_id"], _name(owner)),
        lacks=lacks,
        default_queue=_default_queue(owner),
        creates=_creates(owner),
        has_rule=row["has_rule"],
        **_mailbox(row),
    )


PARTY_MODELS: dict[str, type[models.Model]] = {
    PartyKind.USER.value: SystemUser,
    PartyKind.QUEUE.value: Queue,
}
_PARTY_OF = {SystemUser: _user, Queue: _queue}


def _lacks(user: dict[str, Any], ask_permission: bool) -> Lacks:
    """What keeps a user from owning email (R3.29)."""
    if user["is_disabled"]:
        return Lacks.ENABLED
    if not user["is_licensed"]:
        return Lacks.LICENCE
    if user["access_mode"] in WITHOUT_RECORDS:
        return Lacks.ACCESS
    if ask_permission and not (user["is_superuser"] or user["permitted"]):
        return Lacks.PERMISSION
    return Lacks.NOTHING


def _default_queue(owner: dict[str, Any]) -> DefaultQueue | None:
    if owner["queue_id"] is None:
        return None
    active = owner["queue__state_code"] == StateCode.ACTIVE
    return DefaultQueue(owner["queue_id"], owner["queue__name"], active)


def default_queue_of(mailbox: Mailbox) -> DefaultQueue | None:
    """That of the user or team who owns this mailbox."""
    owner = mailbox.owning_user or mailbox.owning_team
    queue = owner.queue if owner is not None else None
    return (
        DefaultQueue(queue.pk, queue.name, queue.state_code == StateCode.ACTIVE)
        if queue is not None
        else None
    )


def _mailbox(row: dict[str, Any]) -> dict[str, Any]:
    incoming = row["default_mailbox__incoming_email_delivery_method"]
    return {
        "mailbox_id": row["default_mailbox__id"],
        "incoming": None if incoming is None else IncomingDeliveryMethod(incoming),
    }
