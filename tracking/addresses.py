"""Who is behind an address: reads the matches and the parties of a whole page.

Cost: one query on the index, one per kind of record found, at most two for the parties. Nothing is
asked per address, and no record is loaded whole. Any model of EMAIL_ENABLED_MODELS will do: what it
lacks (owner, state, "do not email") counts as absent, active, allowed.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db import connection, models
from django.db.models import F, Window
from django.db.models.functions import RowNumber

from activities.choices import LEAD_STATE, LeadState
from mailboxes.choices import FilteringMethod, IncomingDeliveryMethod, StateCode
from mailboxes.models import EmailSearch, Queue, SystemUser
from mailboxes.search import enabled_models
from tracking.acceptance import Owner, Party, PartyKey
from tracking.choices import PartyKind
from tracking.resolution import MOST_MATCHES, AddressBook, Match

OPEN_LEADS = frozenset(status for status, state in LEAD_STATE.items() if state == LeadState.OPEN)


@dataclass(frozen=True, slots=True)
class Hit:
    """One row of the index."""

    address: str
    parent_id: str
    column: int


def look_up(addresses: Iterable[str]) -> AddressBook:
    """Every record with one of these addresses (`Address.key`). An address with more matches than
    R3.34 allows is in `too_many` and has none."""
    hits, too_many = _index_rows({address for address in addresses if address})
    found: dict[str, list[Match]] = defaultdict(list)
    for model, rows in hits.items():
        records = _records(model, {row.parent_id for row in rows})
        for row in rows:
            if record := records.get(row.parent_id):
                found[row.address].append(_match(model, row, record))
    book = {address: tuple(sorted(m, key=lambda match: match.rank)) for address, m in found.items()}
    return AddressBook(book, frozenset(too_many))


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


def _records(model: type[models.Model], ids: set[str]) -> dict[str, dict[str, Any]]:
    """Key as text -> columns. A record that the index still names but is gone has none."""
    key = model._meta.pk
    keys = []
    for text in ids:
        try:
            keys.append(key.to_python(text))
        except ValidationError:
            continue
    return {
        str(row["pk"]): row
        for some in _batches(sorted(keys))
        for row in model._default_manager.filter(pk__in=some).values(*_columns(model))
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


def load_parties(book: AddressBook, also: Iterable[PartyKey] = ()) -> dict[PartyKey, Party]:
    """Users and queues of the book with their filters; `also`: the party whose mailbox is read."""
    wanted: dict[str, set[str]] = defaultdict(set)
    for kind, party_id in also:
        wanted[kind].add(party_id)
    for matches in book.matches.values():
        for match in matches:
            if match.kind in PartyKind and not match.is_ignored:
                wanted[match.kind].add(match.id)
    parties = [*_users(wanted[PartyKind.USER]), *_queues(wanted[PartyKind.QUEUE])]
    return {party.key: party for party in parties}


MAILBOX = ("default_mailbox__id", "default_mailbox__incoming_email_delivery_method")


def _users(ids: set[str]) -> Iterator[Party]:
    for some in _batches(sorted(ids)):
        for row in SystemUser.objects.filter(pk__in=some).values(
            *("id", "first_name", "middle_name", "last_name", "domain_name"),
            *("is_disabled", "is_licensed", "settings__incoming_email_filtering_method"),
            *MAILBOX,
        ):
            filtering = row["settings__incoming_email_filtering_method"]
            yield Party(
                kind=PartyKind.USER,
                id=str(row["id"]),
                name=_name(row),
                filtering=FilteringMethod.RESPONSES
                if filtering is None
                else FilteringMethod(filtering),
                active=not row["is_disabled"],
                owner=Owner(user_id=row["id"], name=_name(row)),
                can_own=row["is_licensed"] and not row["is_disabled"],
                **_mailbox(row),
            )


def _queues(ids: set[str]) -> Iterator[Party]:
    for some in _batches(sorted(ids)):
        for row in Queue.objects.filter(pk__in=some).values(
            *("id", "name", "state_code", "incoming_email_filtering_method"),
            *("owning_user_id", "owning_user__is_disabled", "owning_user__is_licensed"),
            *("owning_user__first_name", "owning_user__middle_name", "owning_user__last_name"),
            *("owning_user__domain_name", "owning_team_id", "owning_team__name"),
            *MAILBOX,
        ):
            yield Party(
                kind=PartyKind.QUEUE,
                id=str(row["id"]),
                name=row["name"],
                filtering=FilteringMethod(row["incoming_email_filtering_method"]),
                active=row["state_code"] == StateCode.ACTIVE,
                owner=_queue_owner(row),
                can_own=row["owning_user_id"] is None
                or (row["owning_user__is_licensed"] and not row["owning_user__is_disabled"]),
                **_mailbox(row),
            )


def _queue_owner(row: dict[str, Any]) -> Owner:
    if row["owning_user_id"] is None:
        return Owner(team_id=row["owning_team_id"], name=row["owning_team__name"] or "")
    prefix = "owning_user__"
    own = {key.removeprefix(prefix): value for key, value in row.items() if key.startswith(prefix)}
    return Owner(user_id=row["owning_user_id"], name=_name(own))


def _mailbox(row: dict[str, Any]) -> dict[str, Any]:
    incoming = row["default_mailbox__incoming_email_delivery_method"]
    return {
        "mailbox_id": row["default_mailbox__id"],
        "incoming": None if incoming is None else IncomingDeliveryMethod(incoming),
    }
