"""A period decided again: what differs, and what applying it would do, as rows for a person to review."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any
from uuid import UUID

from django.contrib.contenttypes.models import ContentType
from django.db.models import QuerySet
from django.utils.translation import gettext as _

from activities.models import Email
from mailboxes import access
from mailboxes.models import Organization, Queue, UserSettings
from serversync.choices import IMPORTED, ItemState, ReplayState, ReplayStep, Stay
from serversync.comparing import Difference
from serversync.facets import Facet
from serversync.history import CHOSEN_LATER, History
from serversync.models import Replay, ReplayChange, SyncItem
from serversync.othersettings import SETTABLE
from serversync.replay import shapes
from serversync.replay.steps import STORED, Facts, step_of
from serversync.replay.touched import touched, worked_upon
from serversync.whatif import differences, roots_of
from tracking.again import AS_THEY_ARE
from tracking.models import ConvertRule, ConvertRuleItem, MailboxTrackingFolder

MOST_ITEMS = 10_000  # some 5 ms each; a job may take four minutes
AT_ONCE = 100
#: What else people set, and mail is decided by.
ALSO_SET: Mapping[type[Any], tuple[str, ...]] = {
    UserSettings: ("incoming_email_filtering_method",),
    Queue: ("incoming_email_filtering_method",),
    MailboxTrackingFolder: ("exchange_folder_id", "regarding_type", "regarding_id"),
    ConvertRule: ("modified_on",),
    ConvertRuleItem: ("convert_rule", "sequence_number", "conditions"),
}
NAMES_EMAILS = ("correlated_activity_id", "parent_activity_id", "about_id")


def items_of(replay: Replay) -> "QuerySet[SyncItem]":
    """Those of the period that its creator may see."""
    items = access.visible_to(replay.created_by, SyncItem.objects.all())
    if replay.mailbox_id is not None:
        items = items.filter(mailbox=replay.mailbox_id)
    return items.filter(decided_at__gte=replay.since, decided_at__lte=replay.until)


def settings_digest() -> str:
    """Of what people set: the organization, filters, rules of folders and of records."""
    organization = Organization.objects.current()
    told: list[Any] = [(name, getattr(organization, name)) for name in SETTABLE]
    for model, columns in ALSO_SET.items():
        told += model._default_manager.order_by("pk").values_list("pk", *columns)
    return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()


def decide(replay: Replay, now: datetime) -> Replay:
    """Fill its changes, from nothing: what a worker that died has left goes first. A batch is a
    transaction, for deciding takes long; until the end it is no replay that anybody can apply."""
    if not _undecided(replay).exists():  # dropped, or decided by another delivery of the job
        replay.refresh_from_db()
        return replay
    replay.changes.all().delete()
    roots = roots_of(items_of(replay), replay.until)
    replay.items, replay.unchanged, replay.settings_digest = 0, 0, settings_digest()
    if (count := roots.count()) > MOST_ITEMS:
        words = _("There are %(count)d items; at most %(most)d are decided again at once.")
        error = words % {"count": count, "most": MOST_ITEMS}
        return _ended(replay, ReplayState.FAILED, now, error)
    seen: set[UUID] = set()
    for batch in _batches(differences(History(roots, AS_THEY_ARE)), replay):
        ReplayChange.objects.bulk_create(_numbered(_rows(replay, batch), seen))
    replay.items = replay.unchanged + len(seen)  # what came inside forwards, too
    _without_copies(replay)
    _without_imagined(replay)
    return _ended(replay, ReplayState.READY, now)


def _numbered(rows: Iterable[ReplayChange], seen: set[UUID]) -> Iterator[ReplayChange]:
    """One for each item: what would come out of a forward that failed is told of the forward once."""
    for row in rows:
        if row.item_id not in seen:
            seen.add(row.item_id)
            row.number = len(seen)
            yield row


def _ended(replay: Replay, state: ReplayState, now: datetime, error: str = "") -> Replay:
    """Unless somebody has dropped it meanwhile."""
    values = {name: getattr(replay, name) for name in ("items", "unchanged", "settings_digest")}
    _undecided(replay).update(**values, state=state, decided_on=now, error=error)
    replay.refresh_from_db()
    return replay


def _undecided(replay: Replay) -> "QuerySet[Replay]":
    return Replay.objects.filter(pk=replay.pk, state__in=[ReplayState.DECIDING, ReplayState.FAILED])


def _batches(found: Iterator[Difference], replay: Replay) -> Iterator[list[Difference]]:
    """Of what differs or isn't known; the rest is only counted, and what is large let go."""

    def telling() -> Iterator[Difference]:
        for one in found:
            if _tells(one):
                yield one
            else:
                replay.unchanged += 1

    every = telling()
    while batch := list(islice(every, AT_ONCE)):
        yield batch


def _tells(one: Difference) -> bool:
    """Whether it is worth a line. Who else would have been who in mail that is stored neither way is not."""
    if one.item is None or one.unknown is not None or one.after is None:
        return one.item is not None
    stored = {one.before.get("outcome"), one.after["outcome"]} & STORED
    return one.is_changed and (bool(stored) or Facet.OUTCOME in one.facets)


# -- one batch -----------------------------------------------------------------------------------


@dataclass(slots=True)
class _Around:
    """What is known of the emails of a batch."""

    shapes: dict[UUID, shapes.Shape]
    touched: dict[UUID, Stay]
    worked_on: set[UUID]


def _around(batch: Sequence[Difference]) -> _Around:
    decisions = {
        one.item.email_id: one.before
        for one in batch
        if one.item is not None and one.item.state == ItemState.TRACKED and one.item.email_id
    }
    emails = Email.objects.select_related("activity").filter(pk__in=decisions)
    known = shapes.shapes_of(list(emails))
    return _Around(
        shapes=known,
        touched=touched({key: (shape, decisions[key]) for key, shape in known.items()}),
        worked_on=worked_upon(known),
    )


def _rows(replay: Replay, batch: Sequence[Difference]) -> Iterator[ReplayChange]:
    around = _around(batch)
    for one in batch:
        yield _row(replay, one, around)


def _row(replay: Replay, one: Difference, around: _Around) -> ReplayChange:
    assert one.item is not None
    facts = _facts(one, around)
    step, stay = step_of(facts)
    change = ReplayChange(
        replay=replay,
        item=one.item,
        step=step,
        stays=stay or "",
        facets=[facet.value for facet in one.facets],
        before=one.before,
        after=one.after or {},
    )
    if stay == Stay.UNKNOWN:
        change.after = {"unknown": str(one.unknown), "error": one.error[:500]}
    if step in (ReplayStep.CHANGE, ReplayStep.REMOVE):
        change.email_id = one.item.email_id
    if step == ReplayStep.CHANGE:
        _reshape(change, one, around)
    return change


def _facts(one: Difference, around: _Around) -> Facts:
    item = one.item
    assert item is not None
    there = item.generation == item.mailbox.account_generation and item.folder != IMPORTED
    return Facts(
        before=ItemState(item.state),
        now=ItemState(str(one.after["outcome"])) if one.after is not None else None,
        facets=frozenset(one.facets),
        has_email=item.email_id is not None,
        fetchable=there or item.raw_id is not None,
        inside=item.parent_id is not None,
        chosen=one.before.get("way") in CHOSEN_LATER and _way(one.after) != _way(one.before),
        touched=around.touched.get(item.email_id) if item.email_id else None,
    )


def _way(decision: Mapping[str, Any] | None) -> str:
    return str((decision or {}).get("way") or "")


def _reshape(change: ReplayChange, one: Difference, around: _Around) -> None:
    """What of its email is changed; if it is nothing, the whole stays."""
    assert one.decided is not None and change.email_id is not None
    was = around.shapes[change.email_id]
    worked_on = change.email_id in around.worked_on
    left = shapes.kept(was, one.before, one.facets, worked_on)
    change.kept = {facet.value: stay.value for facet, stay in left.items()}
    change.email_was = was
    change.email_becomes = shapes.becomes(was, one.decided, set(one.facets) - set(left))
    if left and change.email_becomes == was:
        change.step, change.stays = ReplayStep.NOTHING, next(iter(left.values()))


# -- what only all of them together tell ---------------------------------------------------------


def _without_copies(replay: Replay) -> None:
    """An email of which another mailbox has a copy that stays linked doesn't go."""
    replay.changes.filter(step=ReplayStep.REMOVE, email__in=copied(replay)).update(
        step=ReplayStep.NOTHING, stays=Stay.COPIES, email=None
    )


def copied(replay: Replay) -> "QuerySet[Any, Any]":
    """Keys of emails that it removes although another mailbox has a copy."""
    removed = replay.changes.filter(step=ReplayStep.REMOVE).values("email")
    leaving = replay.changes.filter(step__in=[ReplayStep.REMOVE, ReplayStep.NOTE]).values("item")
    linked = SyncItem.objects.filter(state__in=STORED, email__in=removed)
    found: QuerySet[Any, Any] = linked.exclude(pk__in=leaving).values("email")
    return found


def _without_imagined(replay: Replay) -> None:
    """What would name an email that is still to be fetched, or a record that nobody made, waits."""
    changes = replay.changes.filter(step=ReplayStep.CHANGE)
    for start in range(0, changes.count(), AT_ONCE):
        part = list(changes.order_by("number")[start : start + AT_ONCE])
        emails = {key for change in part for key in _names_emails(change)}
        missing = emails - set(Email.objects.filter(pk__in=emails).values_list("pk", flat=True))
        unmade = _unmade({named for change in part for named in _names_records(change)})
        for change in part:
            if not missing.isdisjoint(_names_emails(change)):
                change.stays = Stay.LATER
            elif not unmade.isdisjoint(_names_records(change)):
                change.stays = Stay.MADE
        ReplayChange.objects.bulk_update([change for change in part if change.stays], ["stays"])
    changes.exclude(stays="").update(step=ReplayStep.NOTHING, email=None)


def _names_emails(change: ReplayChange) -> set[UUID]:
    return {UUID(key) for name in NAMES_EMAILS if (key := change.email_becomes[name])}


def _names_records(change: ReplayChange) -> set[tuple[int, str]]:
    shape: dict[str, Any] = change.email_becomes
    found = {(one["type_id"], one["record_id"]) for one in shape["parties"]}
    found.add((shape["regarding_type_id"], shape["regarding_id"]))
    found.add((shape["email_sender_type_id"], shape["email_sender_id"]))
    return {named for named in found if named[0] and named[1]}


def _unmade(named: Iterable[tuple[int, str]]) -> set[tuple[int, str]]:
    by_kind: dict[int, set[str]] = defaultdict(set)
    for kind, key in named:
        by_kind[kind].add(key)
    missing = set()
    for kind, keys in by_kind.items():
        model = ContentType.objects.get_for_id(kind).model_class()
        there = set()
        if model is not None:
            there = {
                str(key)
                for key in model._default_manager.filter(pk__in=keys).values_list("pk", flat=True)
            }
        missing |= {(kind, key) for key in keys - there}
    return missing
