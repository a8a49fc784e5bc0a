"""Where an email stands - what it answers, who is who, under what it is filed, whose it is, in which
queues - as data that can be compared, written, and written back.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet

from activities import recyclebin
from activities.choices import DeliveryResult, Direction
from activities.models import ActivityParty, ActivityPointer, Email, QueueItem
from activities.store import NewParty, add_queue_items, party_row
from mailboxes.choices import StateCode
from mailboxes.models import Queue
from serversync.choices import Stay
from serversync.comparing import people_of
from serversync.facets import Facet
from tracking import rows
from tracking.again import Decided

Shape = dict[str, Any]
Data = Mapping[str, Any]

ANSWERS = (
    *("tracking_token", "correlation_method", "correlated_activity_id"),
    *("correlated_subject_changed", "parent_activity_id", "conversation_tracking_id", "about_id"),
)
ENTITY = ("accepting_entity_type_id", "accepting_entity_id")
SENDER = (
    *("email_sender_type_id", "email_sender_id", "senders_account_id"),
    "is_duplicate_sender_unresolved",
)
EMAIL = (*ANSWERS, *ENTITY, *SENDER)
REGARDING = ("regarding_type_id", "regarding_id")
OWNER = ("owning_user_id", "owning_team_id")
#: Parts of a shape that are decided together.
PARTS: Mapping[Facet, tuple[str, ...]] = {
    Facet.ANSWERS: ANSWERS,
    Facet.ENTITY: ENTITY,
    Facet.REGARDING: REGARDING,
    Facet.OWNER: OWNER,
    Facet.QUEUES: ("queues",),
    Facet.PEOPLE: (*SENDER, "parties"),
}


# -- as it is, and as it would be ----------------------------------------------------------------


def shapes_of(emails: Sequence[Email]) -> dict[UUID, Shape]:
    """As they are. Two statements beside those that read them with their pointers."""
    keys = [email.pk for email in emails]
    parties: dict[UUID, list[Any]] = defaultdict(list)
    for row in ActivityParty.objects.filter(activity__in=keys).order_by("pk"):
        parties[row.activity_id].append(_party(row))
    queues: dict[UUID, dict[str, int]] = defaultdict(dict)
    for item in QueueItem.objects.filter(object__in=keys).order_by("entered_on", "pk"):
        queues[item.object_id][str(item.queue_id)] = item.state_code
    return {
        email.pk: _plain(
            {name: getattr(email, name) for name in EMAIL}
            | {name: getattr(email.activity, name) for name in (*REGARDING, *OWNER)}
            | {"queues": queues[email.pk], "parties": sorted(parties[email.pk], key=str)}
        )
        for email in emails
    }


def becomes(was: Shape, decided: Decided, facets: Collection[Facet]) -> Shape:
    """`was`, with the parts of these facets as they were decided now."""
    now = _wanted(decided)
    now["queues"] = {key: was["queues"].get(key, state) for key, state in now["queues"].items()}
    names = [name for facet in facets for name in PARTS.get(facet, ())]
    return {**was, **{name: now[name] for name in names}}


def _wanted(decided: Decided) -> Shape:
    accepted, message = decided.accepted, decided.message
    assert accepted is not None and message is not None
    incoming = accepted.direction == Direction.INCOMING
    parties = rows.parties_of(message, accepted.sender, accepted.recipients, incoming)
    columns = {**rows.found(accepted), **rows.known(accepted)}
    return _plain(
        {name: columns[name] for name in EMAIL}
        | {
            "regarding_type_id": accepted.regarding_type_id,
            "regarding_id": accepted.regarding_id,
            "owning_user_id": accepted.owner.owner.user_id,
            "owning_team_id": accepted.owner.owner.team_id,
            "queues": {str(key): int(StateCode.ACTIVE) for key in accepted.queue_ids}
            | {str(key): int(StateCode.INACTIVE) for key in accepted.closed_queue_ids},
            "parties": sorted((_party(party_row(accepted.id, one)) for one in parties), key=str),
        }
    )


def _party(row: ActivityParty) -> dict[str, Any]:
    return {
        "role": row.participation_type_mask,
        "position": row.position,
        "address": row.address_used,
        "name": row.unresolved_party_name,
        "type_id": row.party_type_id,
        "record_id": row.party_id,
        "column": row.address_used_email_column_number,
        "do_not_email": row.do_not_email,
    }


def _plain(shape: Shape) -> Shape:
    return {name: _value(value) for name, value in shape.items()}


def _value(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return int(value) if isinstance(value, int) and not isinstance(value, bool) else value


# -- what people changed since -------------------------------------------------------------------


def kept(was: Shape, before: Data, facets: Iterable[Facet], worked_on: bool) -> dict[Facet, Stay]:
    """What isn't as the decision left it: a person's word goes before it (R7.10)."""
    found: dict[Facet, Stay] = {}
    for facet in facets:
        if facet == Facet.QUEUES and worked_on:
            found[facet] = Stay.WORKED_ON
        elif facet in _CHANGED and _CHANGED[facet](was, before):
            found[facet] = Stay.BY_HAND
    return found


def is_changed_by_hand(was: Shape, before: Data) -> bool:
    """Filed, resolved or given to somebody else."""
    facets = (Facet.REGARDING, Facet.PEOPLE, Facet.OWNER)
    return any(_CHANGED[facet](was, before) for facet in facets)


def _is_filed_by_hand(was: Shape, before: Data) -> bool:
    regarding: Any = before.get("regarding") or {}
    return bool(was["regarding_id"] != str(regarding.get("id") or ""))


def _is_given_away(was: Shape, before: Data) -> bool:
    owner: Any = before.get("owner") or {}
    return str(was["owning_team_id"] or was["owning_user_id"] or "") != str(owner.get("id") or "")


def _is_moved(was: Shape, before: Data) -> bool:
    listed: Any = (before.get("queue_items") or {}).get("list", ())
    return set(was["queues"]) != {str(one.get("id")) for one in listed}


def _is_resolved_by_hand(was: Shape, before: Data) -> bool:
    """As far as the decision lists them: its lists have an end."""
    told = {
        (role, address.lower()): {key for _kind, key in records}
        for role, address, records in people_of(before)
        if role != "sender"
    }
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for party in was["parties"]:
        known = found[str(party["role"]), party["address"].lower()]
        known |= {party["record_id"]} - {""}
    return any(found[key] != records for key, records in told.items() if key in found)


_CHANGED = {
    Facet.REGARDING: _is_filed_by_hand,
    Facet.OWNER: _is_given_away,
    Facet.QUEUES: _is_moved,
    Facet.PEOPLE: _is_resolved_by_hand,
}


# -- written, and written back -------------------------------------------------------------------


def write(key: UUID, was: Shape, wanted: Shape, now: datetime) -> Shape:
    """Make an email so, inside the caller's transaction. Returns what `write_back` needs beside `was`."""
    changed = {name for name, value in wanted.items() if was[name] != value}
    pointer = ActivityPointer.objects.filter(pk=key)
    left: Shape = {"modified_on": pointer.get().modified_on.isoformat()}
    _write_columns(key, wanted, changed)
    pointer.update(modified_on=now)
    if "queues" in changed:
        left["queues"] = _write_queues(key, was["queues"], wanted["queues"], now)
    if "parties" in changed:
        left["parties"] = _write_parties(key, wanted["parties"])
    return left


def write_back(key: UUID, was: Shape, wanted: Shape, left: Data) -> None:
    """`left`: as `write` returned it."""
    _write_columns(key, was, {name for name, value in wanted.items() if was[name] != value})
    items, parties = (
        QueueItem.objects.filter(object=key),
        ActivityParty.objects.filter(activity=key),
    )
    if "queues" in left:
        items.exclude(
            queue__in=[queue for queue in wanted["queues"] if queue in was["queues"]]
        ).delete()
        recyclebin.put_back(left["queues"])
    if "parties" in left:
        known = _delivered(parties)
        parties.delete()
        recyclebin.put_back(left["parties"])
        for (role, address), delivery in known.items():
            parties.filter(participation_type_mask=role, address_used=address).update(**delivery)
    ActivityPointer.objects.filter(pk=key).update(
        modified_on=datetime.fromisoformat(left["modified_on"])
    )


def away(shapes: Iterable[Shape], names: Collection[str]) -> dict[str, set[str]]:
    """Of these columns (or "queues"), the keys that the shapes name and that are gone. One statement
    for each that names a row."""
    shapes, found = list(shapes), {}
    for name in names:
        target = Queue if name == "queues" else _TARGETS.get(name)
        if target is not None:
            found[name] = _away(target, {key for shape in shapes for key in _keys(shape, name)})
    return found


def _keys(shape: Shape, name: str) -> set[str]:
    return set(shape[name]) if name == "queues" else {shape[name]} - {None}


def _away(model: Any, keys: set[str]) -> set[str]:
    there = model._default_manager.filter(pk__in=keys).values_list("pk", flat=True) if keys else ()
    return keys - {str(key) for key in there}


def names_any(shape: Shape, gone: Mapping[str, set[str]]) -> bool:
    """`gone`: as `away` returned it."""
    return any(not keys.isdisjoint(_keys(shape, name)) for name, keys in gone.items())


_TARGETS: dict[str, Any] = {
    column.attname: column.related_model
    for model in (Email, ActivityPointer)
    for column in model._meta.concrete_fields
    if column.related_model not in (None, ContentType)
}


def _write_columns(key: UUID, shape: Shape, changed: Collection[str]) -> None:
    if email := {name: shape[name] for name in EMAIL if name in changed}:
        Email.objects.filter(pk=key).update(**email)
    if pointer := {name: shape[name] for name in (*REGARDING, *OWNER) if name in changed}:
        ActivityPointer.objects.filter(pk=key).update(**pointer)


def _write_queues(key: UUID, was: Data, wanted: Data, now: datetime) -> list[recyclebin.Row]:
    """Returns what was taken away."""
    over = QueueItem.objects.filter(object=key, queue__in=[q for q in was if q not in wanted])
    taken = [recyclebin.row_of(item) for item in over]
    over.delete()
    email = Email.objects.only("sender", "to_recipients").get(pk=key)
    lines = {
        state: [
            (UUID(queue), key, email.sender, email.to_recipients)
            for queue, is_in in wanted.items()
            if queue not in was and is_in == state
        ]
        for state in (StateCode.ACTIVE, StateCode.INACTIVE)
    }
    add_queue_items(lines[StateCode.ACTIVE], now, closed=lines[StateCode.INACTIVE])
    return taken


def _write_parties(key: UUID, wanted: Sequence[Data]) -> list[recyclebin.Row]:
    """Returns what was there. What is known of a delivery stays with its address."""
    rows = ActivityParty.objects.filter(activity=key)
    there, delivered = list(rows), _delivered(rows)
    rows.delete()
    made = [party_row(key, NewParty(**party)) for party in wanted]
    for row in made:
        known = delivered.get((row.participation_type_mask, row.address_used), {})
        for name, value in known.items():
            setattr(row, name, value)
    ActivityParty.objects.bulk_create(made)
    return [recyclebin.row_of(row) for row in there]


def _delivered(parties: "QuerySet[ActivityParty]") -> dict[tuple[int, str], dict[str, Any]]:
    """(role, address) -> what is known of the delivery."""
    columns = ("delivery_result", "delivery_detail")
    rows = parties.exclude(delivery_result=DeliveryResult.NONE)
    return {
        (role, address): dict(zip(columns, told, strict=True))
        for role, address, *told in rows.values_list(
            "participation_type_mask", "address_used", *columns
        )
    }
