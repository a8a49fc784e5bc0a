"""Items of the ledger as messages to decide again, in their order, each as it was met then.

items ──> messages (kept bytes, else kept facts), with who read them, which way and from when on
             └─ else a reason why nothing can be said
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db.models import Max, Q, QuerySet

from activities import blobs
from activities.mime.message import ParsedMessage
from activities.mime.parse import forwarded_originals, parse
from activities.models import Email, StoredBytes
from mailboxes.models import Organization
from mailboxes.protocols.base import INBOX, SENT
from serversync.choices import ItemState
from serversync.comparing import FAILED, Difference, made
from serversync.explain import reading_for
from serversync.facets import Unknown
from serversync.linking import rule_of
from serversync.models import SyncItem
from serversync.probe import is_probe_of
from serversync.quarantine import DISMISSED
from tracking import trace
from tracking.acceptance import PartyKey
from tracking.again import Again, Original, Settings, World
from tracking.choices import SkipReason, Way
from tracking.creation import CASE, Said
from tracking.kept import FACTS, message_from
from tracking.models import MailboxTrackingFolder
from tracking.reading import FRESH, FolderRule, Former, Reading

CHUNK = 100
CHUNK_BYTES = 32 * 1024 * 1024  # messages of a chunk are in memory together
#: What a person does to a message that was judged, and turned down, before.
CHOSEN_LATER = frozenset({Way.CATEGORY.value, Way.MANUAL.value})
_PROBE = uuid4().hex  # marks tests of mailboxes that only facts are kept of


@dataclass(slots=True)
class Turn:
    """An item, and what came inside it. `first`: as it was judged at first, where a person has marked it
    or tracked it by hand since. `asked`: the message to decide, or a difference that needs none."""

    row: SyncItem
    first: bool
    children: Sequence[SyncItem] = ()
    asked: Again | Difference = field(init=False)


class History:
    """`roots`: the items; what came inside them goes with them."""

    def __init__(self, roots: "QuerySet[SyncItem]", settings: Settings) -> None:
        self.roots, self.settings = roots, settings
        self.readings = _Readings(settings.applied_to(Organization.objects.current()), roots)

    def world(self) -> World:
        """As it was before them."""
        tracked = SyncItem.objects.filter(
            Q(pk__in=self.roots.values("pk")) | Q(parent__in=self.roots.values("pk")),
            state=ItemState.TRACKED,
            email__isnull=False,
        ).values("email_id")
        answers = Q(is_workflow_created=True, parent_activity__in=tracked)
        there = ~Q(pk__in=tracked) & ~Q(pk__in=Email.objects.filter(answers).values("pk"))
        return World(there, frozenset(_made_of(tracked).values()), self.settings)

    def chunks(self) -> Iterator[list[Turn]]:
        """In the order in which they were decided, of one mailbox each, bounded by number and bytes."""
        for part in self._parts():
            children = _children([turn.row for turn in part])
            for turn in part:
                turn.children = children[turn.row.pk]
                turn.asked = self._asked(turn)
            yield part

    def _parts(self) -> Iterator[list[Turn]]:
        turns = self._turns()
        for start in range(0, len(turns), CHUNK):
            part = turns[start : start + CHUNK]
            rows = SyncItem.objects.select_related(
                "email__mime", "raw", "mailbox__email_server_profile", "mailbox__regarding_user"
            ).in_bulk({key for _at, key, _first in part})
            chunk: list[Turn] = []
            size = 0
            for _at, key, first in part:
                if (row := rows.get(key)) is None:
                    continue
                other = chunk and row.mailbox_id != chunk[0].row.mailbox_id
                if other or (chunk and size + row.size > CHUNK_BYTES):
                    yield chunk
                    chunk, size = [], 0
                chunk.append(Turn(row, first))
                size += row.size
            if chunk:
                yield chunk

    def _turns(self) -> list[tuple[datetime, UUID, bool]]:
        turns = []
        rows = self.roots.values_list(
            *("pk", "decided_at", "first_seen_at", "folder", "trace__way", "email__decision__way")
        )
        for key, decided_at, seen_at, folder, *ways in rows:
            turns.append((decided_at, key, False))
            if folder in (INBOX, SENT) and not CHOSEN_LATER.isdisjoint(ways):
                turns.append((min(seen_at, decided_at), key, True))
        return sorted(turns, key=lambda turn: (turn[0], not turn[2], turn[1]))

    def _asked(self, turn: Turn) -> Again | Difference:
        row, before = turn.row, turn.row.decision
        if row.reason == SkipReason.OWN_PROBE or _is_unread(row):
            return Difference(item=row, before=before, after=before)
        source = _source(row)
        if isinstance(source, Unknown):
            return Difference(item=row, before=before, unknown=source)
        message, raw = source
        originals = _originals(row, message, raw, turn.children)
        if isinstance(originals, Unknown):
            return Difference(item=row, before=before, unknown=originals)
        return Again(
            key=f"{row.pk} {turn.first}",
            item=row.pk,
            reading=self.readings.of(row, first=turn.first),
            message=message,
            raw=raw,
            arrived=row.received_at or _arrived(row),
            former=_former(row),
            originals=originals,
        )


def _originals(
    row: SyncItem, message: ParsedMessage, raw: bytes, children: Sequence[SyncItem]
) -> tuple[Original, ...] | Unknown:
    if not row.mailbox.is_forward_mailbox:
        return ()
    if raw:
        return tuple(
            Original(message=parse(inside), raw=inside) for inside in forwarded_originals(message)
        )
    found = []
    for child in children:
        source = _source(child)
        if isinstance(source, Unknown):
            return source
        inner, content = source
        if child.reason == SkipReason.OWN_PROBE:
            inner = replace(inner, own_header=_PROBE)
        found.append(Original(message=inner, raw=content, former=_former(child)))
    return tuple(found)


def _former(row: SyncItem) -> Former:
    if row.state != ItemState.TRACKED or row.email_id is None:
        return FRESH
    data: Mapping[str, Any] = row.decision
    correlation, regarding = data.get("correlation") or {}, data.get("regarding") or {}
    answered = correlation.get("email")
    made_case = made(data, Said.CASE)
    filed = _record(regarding)
    by_folder = data.get("way") == Way.FOLDER and filed is not None
    hook = str(data.get("hook") or "")
    return Former(
        email_id=row.email_id,
        case_id=UUID(regarding["id"]) if made_case and regarding.get("kind") == CASE else None,
        answered=UUID(answered) if answered else None,
        filed=filed,
        inherited=bool(answered) and not made_case and not by_folder and not hook,
        hook=hook,
    )


def _is_probe(header: str, party: PartyKey) -> bool:
    return header == _PROBE or is_probe_of(header, party)


def _is_unread(row: SyncItem) -> bool:
    """Skipped for its size alone: no setting changes that (R3.10)."""
    return row.reason == SkipReason.TOO_LARGE and FACTS not in row.trace


def _source(row: SyncItem) -> tuple[ParsedMessage, bytes] | Unknown:
    """The message with its bytes, or without them where only facts are kept."""
    if row.state == ItemState.GONE:
        return Unknown.GONE
    if row.state == ItemState.TRACKED:
        if row.email is None:
            return Unknown.EMAIL_DELETED
        raw = _bytes(row.email.mime)
        return (parse(raw), raw) if raw is not None else Unknown.NO_ORIGINAL
    if row.reason in (trace.UNTRACKED, DISMISSED):
        return Unknown.BY_HAND
    if row.state in FAILED:
        raw = _bytes(row.raw)
        return (parse(raw), raw) if raw is not None else Unknown.NO_ORIGINAL
    if row.blanked:
        return Unknown.BLANKED
    message = message_from(row.trace.get(FACTS) or {}, row.subject)
    return (message, b"") if message is not None else Unknown.NO_FACTS


def _bytes(stored: StoredBytes | None) -> bytes | None:
    if stored is None:
        return None
    try:
        return blobs.read(stored)
    except blobs.BytesMissing:
        return None


def _arrived(row: SyncItem) -> datetime | None:
    kept = (row.trace.get(FACTS) or {}).get("arrived")
    return datetime.fromisoformat(kept) if kept else None


def _children(rows: Sequence[SyncItem]) -> dict[UUID, list[SyncItem]]:
    found: dict[UUID, list[SyncItem]] = defaultdict(list)
    wrappers = [row.pk for row in rows if row.mailbox.is_forward_mailbox]
    if wrappers:
        inside = SyncItem.objects.filter(parent__in=wrappers).select_related("email__mime", "raw")
        for child in inside.order_by("pk"):
            assert child.parent_id is not None
            found[child.parent_id].append(child)
    return found


def _made_of(tracked: "QuerySet[Any, Any]") -> dict[UUID, tuple[str, str]]:
    """Email -> the contact or lead that was made of its sender."""
    rows = Email.objects.filter(pk__in=tracked, decision__has_key="made").only(
        "decision", "email_sender_type_id", "email_sender_id"
    )
    found = {}
    for row in rows:
        if row.email_sender_type_id and made(row.decision, Said.PERSON):
            model = ContentType.objects.get_for_id(row.email_sender_type_id).model_class()
            if model is not None:
                found[row.pk] = (model._meta.label_lower, row.email_sender_id)
    return found


def _record(named: Mapping[str, Any]) -> tuple[int, str] | None:
    if not named.get("id") or not named.get("kind"):
        return None
    try:
        model = apps.get_model(named["kind"])
    except (LookupError, ValueError):
        return None
    return (ContentType.objects.get_for_model(model).pk, named["id"])


class _Readings:
    """As what an item was decided: whose mailbox, which way, from when on, up to which watermark."""

    def __init__(self, organization: Organization, roots: "QuerySet[SyncItem]") -> None:
        self.organization = organization
        self._readings: dict[UUID, Reading] = {}
        self._rules: dict[UUID, dict[str, MailboxTrackingFolder]] = {}
        self._watermarks: dict[tuple[UUID, str], datetime | None] = {}
        self._coming: dict[tuple[UUID, str], tuple[datetime, datetime | None]] = {}
        self._roots = roots

    def of(self, row: SyncItem, *, first: bool = False) -> Reading:
        way = Way(str(row.decision.get("way") or Way.INBOX))
        if first:
            way = Way.SENT if row.folder == SENT else Way.INBOX
        reading = self._readings.get(row.mailbox_id)
        if reading is None:
            reading = reading_for(row.mailbox, row.decided_at, self.organization)
            reading = replace(reading, is_probe_of=_is_probe)
            self._readings[row.mailbox_id] = reading
        now = min(row.first_seen_at, row.decided_at) if first else row.decided_at
        changes: dict[str, Any] = {"now": now, "way": way, "rule": None}
        changes["watermark"] = self._watermark(row)
        if way in CHOSEN_LATER:
            changes["start"] = None
        elif way == Way.FOLDER:
            changes |= self._rule(row)
        return replace(reading, **changes)

    def _rule(self, row: SyncItem) -> dict[str, Any]:
        if row.mailbox_id not in self._rules:
            rules = MailboxTrackingFolder.objects.filter(mailbox=row.mailbox_id)
            self._rules[row.mailbox_id] = {rule.exchange_folder_id: rule for rule in rules}
        rule = self._rules[row.mailbox_id].get(row.folder)
        if rule is not None:
            return {"rule": rule_of(rule), "start": rule.track_from}
        data = row.decision  # the rule is gone: as it was then
        folder: Any = data.get("folder") or {}
        regarding: Any = data.get("regarding") or {}
        record = _record(regarding)
        named = trace.Named(regarding["kind"], regarding["id"]) if record else None
        key = UUID(folder["id"]) if folder.get("id") else row.pk
        rule_then = FolderRule(
            id=key,
            name=str(folder.get("name", "")),
            record=named,
            record_type_id=record[0] if record else None,
        )
        return {"rule": rule_then, "start": None}

    def _watermark(self, row: SyncItem) -> datetime | None:
        """The latest time of what had been handled before this page (R3.9)."""
        if not self.organization.effective("use_date_watermark"):
            return None
        place = (row.mailbox_id, row.folder)
        if place not in self._watermarks:
            earlier = SyncItem.objects.filter(
                mailbox=row.mailbox_id, folder=row.folder, decided_at__lt=row.decided_at
            )
            before = earlier.exclude(pk__in=self._roots.values("pk"))
            self._watermarks[place] = before.aggregate(last=Max("received_at"))["last"]
        at, last = self._coming.get(place, (row.decided_at, None))
        if at != row.decided_at:
            known = self._watermarks[place]
            self._watermarks[place] = max(filter(None, (known, last)), default=None)
            last = None
        last = max(filter(None, (last, row.received_at)), default=None)
        self._coming[place] = (row.decided_at, last)
        return self._watermarks[place]
