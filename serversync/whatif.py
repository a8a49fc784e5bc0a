"""What would have become of mail under other settings: items of the ledger, or messages from files.

    items ──> messages (kept bytes, else kept facts) ──> decided again in their order ──> differences
                 │                                        (tracking.again)
                 └─ else a reason why nothing can be said

Nothing is written. The people, filters, folder rules and start dates are those of now, and so are the
settings that are not said to be otherwise; what mail answers is looked for in what was stored before it.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from django.apps import apps
from django.contrib.contenttypes.models import ContentType
from django.db.models import Max, Q, QuerySet
from django.db.models.enums import TextChoices
from django.utils.translation import gettext_lazy as _

from activities import blobs
from activities.mime.message import ParsedMessage
from activities.mime.parse import forwarded_originals, parse
from activities.models import Email, StoredBytes
from mailboxes.models import Mailbox, Organization
from mailboxes.protocols.base import INBOX, SENT
from serversync.choices import ItemState
from serversync.explain import reading_for
from serversync.linking import rule_of
from serversync.models import SyncItem
from serversync.probe import is_own_probe, is_probe_of
from serversync.quarantine import DISMISSED
from tracking import trace
from tracking.acceptance import PartyKey
from tracking.again import AS_THEY_ARE, Again, Decided, Original, Settings, World
from tracking.choices import SkipReason, Way
from tracking.creation import CASE, Said
from tracking.kept import FACTS, message_from
from tracking.models import MailboxTrackingFolder
from tracking.promote import REUSED
from tracking.reading import FRESH, FolderRule, Former, Reading

MOST_ITEMS = 2000
CHUNK = 100
CHUNK_BYTES = 32 * 1024 * 1024  # messages of a chunk are in memory together

FAILED = frozenset({ItemState.QUARANTINED.value, ItemState.RETRYING.value})
#: What a person does to a message that was judged, and turned down, before.
CHOSEN_LATER = frozenset({Way.CATEGORY.value, Way.MANUAL.value})
_PROBE = uuid4().hex  # marks tests of mailboxes that only facts are kept of


class TooMany(Exception):
    """More items than are decided again at once. `count`: how many there are."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} items; at most {MOST_ITEMS} are decided again at once")
        self.count = count


class Unknown(TextChoices):
    """Why nothing can be said of an item."""

    BLANKED = "blanked", _("what was personal has been removed (R3.73)")
    NO_FACTS = "no_facts", _("too little of the message was kept")
    NO_ORIGINAL = "no_original", _("the original is no longer kept here")
    EMAIL_DELETED = "email_deleted", _("its email was deleted here")
    GONE = "gone", _("it left the server before it could be read")
    BY_HAND = "by_hand", _("a person has settled it")
    FAILED = "failed", _("deciding it failed")
    NOT_REACHED = "not_reached", _("the forward that it came in would fail")


class Facet(TextChoices):
    """What may differ."""

    OUTCOME = "outcome", _("outcome")
    ANSWERS = "answers", _("which email it answers")
    REGARDING = "regarding", _("regarding")
    ENTITY = "entity", _("who accepts it")
    OWNER = "owner", _("owner")
    QUEUES = "queues", _("queue items")
    MADE = "made", _("records made of it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One message before and after, as decision data (tracking.trace). `item` None: it came from a file,
    called `name`; `unknown`: why there is no `after`; `email_id`: of the email that it would be, or a
    copy of."""

    item: SyncItem | None = None
    name: str = ""
    before: Mapping[str, Any]
    after: Mapping[str, Any] | None = None
    unknown: Unknown | None = None
    error: str = ""
    email_id: UUID | None = None
    facets: tuple[Facet, ...] = ()

    @property
    def is_changed(self) -> bool:
        return bool(self.facets)


@dataclass(slots=True)
class Comparison:
    """All of them, in the order in which they were decided."""

    differences: list[Difference] = field(default_factory=list)

    @property
    def changed(self) -> list[Difference]:
        return [one for one in self.differences if one.is_changed]

    @property
    def unchanged(self) -> int:
        return sum(one.after is not None and not one.is_changed for one in self.differences)

    def outcomes(self) -> dict[str, int]:
        """How many of those with another outcome come to which; "": another detail only."""
        counts: Counter[str] = Counter()
        for one in self.changed:
            assert one.after is not None
            moved = one.before.get("outcome") != one.after.get("outcome")
            counts[str(one.after["outcome"]) if moved else ""] += 1
        return dict(counts)

    def unknown(self) -> dict[Unknown, int]:
        return dict(Counter(one.unknown for one in self.differences if one.unknown is not None))


# -- items ---------------------------------------------------------------------------------------


def what_if(items: "QuerySet[SyncItem]", settings: Settings, now: datetime) -> Comparison:
    """Items decided until `now`, and what came inside them; raises TooMany."""
    chosen = items.order_by().filter(decided_at__lte=now)
    parents = chosen.filter(parent__isnull=False).values("parent")
    roots = SyncItem.objects.filter(
        Q(pk__in=chosen.filter(parent__isnull=True).values("pk")) | Q(pk__in=parents)
    )
    count = roots.count()
    if count > MOST_ITEMS:
        raise TooMany(count)
    return _Ledger(roots, settings).compare()


class _Ledger:
    def __init__(self, roots: "QuerySet[SyncItem]", settings: Settings) -> None:
        self.roots, self.settings = roots, settings
        self.organization = settings.applied_to(Organization.objects.current())
        tracked = SyncItem.objects.filter(
            Q(pk__in=roots.values("pk")) | Q(parent__in=roots.values("pk")),
            state=ItemState.TRACKED,
            email__isnull=False,
        ).values("email_id")
        self.made = _made_of(tracked)
        answers = Q(is_workflow_created=True, parent_activity__in=tracked)
        there = ~Q(pk__in=tracked) & ~Q(pk__in=Email.objects.filter(answers).values("pk"))
        self.world = World(there, frozenset(self.made.values()), settings)
        self.readings = _Readings(self.organization, roots)

    def compare(self) -> Comparison:
        found = Comparison()
        settled: set[Hashable] = set()
        for chunk in self._chunks():
            children = _children([row for row, _first in chunk])
            asked: dict[str, Again] = {}
            turns: dict[str, tuple[SyncItem, bool]] = {}
            for row, first in chunk:
                again = self._again(row, children[row.pk], first=first)
                if isinstance(again, Again):
                    asked[again.key], turns[again.key] = again, (row, first)
                elif not first:
                    found.differences.append(again)
            decided: dict[str, list[Decided]] = defaultdict(list)
            for one in self.world.decide(list(asked.values()), settled=settled):
                decided[one.key].append(one)
            for key, told in decided.items():
                row, first = turns[key]
                if not first or any(one.email_id is not None for one in told):
                    found.differences += _compared([row, *children[row.pk]], told)
        return found

    def _chunks(self) -> Iterator[list[tuple[SyncItem, bool]]]:
        """Of one mailbox each, bounded by number and bytes. True: as it was judged at first, where a
        person has marked it or tracked it by hand since."""
        turns = self._turns()
        for start in range(0, len(turns), CHUNK):
            part = turns[start : start + CHUNK]
            rows = SyncItem.objects.select_related(
                "email__mime", "raw", "mailbox__email_server_profile", "mailbox__regarding_user"
            ).in_bulk({key for _at, key, _first in part})
            chunk: list[tuple[SyncItem, bool]] = []
            size = 0
            for _at, key, first in part:
                if (row := rows.get(key)) is None:
                    continue
                other = chunk and row.mailbox_id != chunk[0][0].mailbox_id
                if other or (chunk and size + row.size > CHUNK_BYTES):
                    yield chunk
                    chunk, size = [], 0
                chunk.append((row, first))
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

    def _again(
        self, row: SyncItem, children: Sequence[SyncItem], *, first: bool
    ) -> Again | Difference:
        """The message to decide, or what is to be said without."""
        before = row.decision
        if row.reason == SkipReason.OWN_PROBE or _is_unread(row):
            return Difference(item=row, before=before, after=before)
        source = _source(row)
        if isinstance(source, Unknown):
            return Difference(item=row, before=before, unknown=source)
        message, raw = source
        originals = self._originals(row, message, raw, children)
        if isinstance(originals, Unknown):
            return Difference(item=row, before=before, unknown=originals)
        return Again(
            key=f"{row.pk} {first}",
            item=row.pk,
            reading=self.readings.of(row, first=first),
            message=message,
            raw=raw,
            arrived=row.received_at or _arrived(row),
            former=self._former(row),
            originals=originals,
        )

    def _originals(
        self, row: SyncItem, message: ParsedMessage, raw: bytes, children: Sequence[SyncItem]
    ) -> tuple[Original, ...] | Unknown:
        if not row.mailbox.is_forward_mailbox:
            return ()
        if raw:
            return tuple(
                Original(message=parse(inside), raw=inside)
                for inside in forwarded_originals(message)
            )
        found = []
        for child in children:
            source = _source(child)
            if isinstance(source, Unknown):
                return source
            inner, content = source
            if child.reason == SkipReason.OWN_PROBE:
                inner = replace(inner, own_header=_PROBE)
            found.append(Original(message=inner, raw=content, former=self._former(child)))
        return tuple(found)

    def _former(self, row: SyncItem) -> Former:
        if row.state != ItemState.TRACKED or row.email_id is None:
            return FRESH
        data: Mapping[str, Any] = row.decision
        correlation, regarding = data.get("correlation") or {}, data.get("regarding") or {}
        answered = correlation.get("email")
        made_case = _made(data, Said.CASE)
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
        if row.email_sender_type_id and _made(row.decision, Said.PERSON):
            model = ContentType.objects.get_for_id(row.email_sender_type_id).model_class()
            if model is not None:
                found[row.pk] = (model._meta.label_lower, row.email_sender_id)
    return found


def _made(data: Mapping[str, Any], what: Said) -> bool:
    return any(note.get("said") == what for note in data.get("made") or ())


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


# -- messages from files -------------------------------------------------------------------------


def what_if_messages(
    files: Iterable[tuple[str, bytes]],
    mailbox: Mailbox,
    settings: Settings,
    now: datetime,
    received_at: datetime | None = None,
) -> Comparison:
    """(name, message) each, as if they came into this mailbox now, one after the other: once under the
    settings as they are, once under these."""
    files = list(files)
    before = _imagined(files, mailbox, AS_THEY_ARE, now, received_at)
    after = _imagined(files, mailbox, settings, now, received_at)
    found = Comparison()
    for place, was in before.decided.items():
        then = after.decided.get(place)
        name = files[place[0]][0]
        data = data_of(was.decision) if was.decision else {}
        if then is None or then.decision is None or not data:
            error = (then or was).error
            found.differences.append(
                Difference(name=name, before=data, unknown=Unknown.FAILED, error=error)
            )
            continue
        told = data_of(then.decision)
        facets = _facets(data, told, before.names, after.names)
        found.differences.append(Difference(name=name, before=data, after=told, facets=facets))
    return found


@dataclass(slots=True)
class _Imagined:
    """By number of the file and part. `names`: of emails and cases that exist in this world only, so
    that two worlds can be compared."""

    decided: dict[tuple[int, int], Decided] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)


def _imagined(
    files: Sequence[tuple[str, bytes]],
    mailbox: Mailbox,
    settings: Settings,
    now: datetime,
    received_at: datetime | None,
) -> _Imagined:
    organization = settings.applied_to(Organization.objects.current())
    reading = reading_for(mailbox, now, organization)
    asked = []
    for number, (_name, raw) in enumerate(files):
        message = parse(raw)
        inside = forwarded_originals(message) if mailbox.is_forward_mailbox else []
        asked.append(
            Again(
                key=str(number),
                item=number,
                reading=reading,
                message=message,
                raw=raw,
                arrived=received_at,
                originals=tuple(Original(message=parse(one), raw=one) for one in inside),
                is_own_probe=is_own_probe(message.own_header, mailbox),
            )
        )
    found = _Imagined()
    for one in World(settings=settings).decide(asked):
        found.decided[int(one.key), one.part] = one
        place = f"{one.key}/{one.part}"
        if one.decision is not None and one.decision.outcome == ItemState.TRACKED:
            found.names[str(one.email_id)] = place
            made = one.decision.creation
            if made is not None and made.case is not None:
                found.names[str(made.case.id)] = f"case {place}"
    return found


# -- comparing -----------------------------------------------------------------------------------

NO_NAMES: Mapping[str, str] = {}


def data_of(decision: trace.Decision) -> dict[str, Any]:
    """As the ledger tells it."""
    data = trace.to_data(decision)
    return data | {"sub_reason": REUSED} if decision.message_id_reused else data


def _compared(rows: Sequence[SyncItem], decided: Sequence[Decided]) -> Iterator[Difference]:
    """`rows`: the item and what was inside it before."""
    if (denied := _denied(decided)) is not None:
        yield from _failing(rows, denied)
        return
    now = {one.part: one for one in decided}
    for part, row in enumerate(rows):
        one, before = now.pop(part, None), row.decision
        if one is None or one.decision is None:
            error = one.error if one else ""
            yield Difference(item=row, before=before, unknown=Unknown.FAILED, error=error)
            continue
        after = data_of(one.decision)
        yield Difference(
            item=row,
            before=before,
            after=after,
            email_id=one.email_id,
            facets=_facets(_as_columns(row), after),
        )
    for one in now.values():  # originals that a failed wrapper had not come to
        if one.decision is not None:
            after = data_of(one.decision)
            yield Difference(item=rows[0], before={}, after=after, facets=(Facet.OUTCOME,))


def _denied(decided: Sequence[Decided]) -> trace.Decision | None:
    """Of an original inside that nobody may own (R3.29): the whole forward is tried again then."""
    found = (one.decision for one in decided if one.part and one.decision is not None)
    return next((one for one in found if one.outcome == ItemState.RETRYING), None)


def _failing(rows: Sequence[SyncItem], decision: trace.Decision) -> Iterator[Difference]:
    wrapper, *inside = rows
    after = data_of(decision)
    facets = _facets(_as_columns(wrapper), after)
    yield Difference(item=wrapper, before=wrapper.decision, after=after, facets=facets)
    for row in inside:
        yield Difference(item=row, before=row.decision, unknown=Unknown.NOT_REACHED)


def _as_columns(row: SyncItem) -> dict[str, Any]:
    """The ledger's columns count, for they are what a person filters by."""
    told = {"outcome": row.state, "reason": row.reason, "sub_reason": row.sub_reason}
    if row.state == ItemState.DUPLICATE and row.email_id:
        told["duplicate_of"] = str(row.email_id)
    return {**row.decision, **told}


def _facets(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    names_before: Mapping[str, str] = NO_NAMES,
    names_after: Mapping[str, str] = NO_NAMES,
) -> tuple[Facet, ...]:
    return tuple(
        facet
        for facet, seen in _SEEN.items()
        if _named(seen(before), names_before) != _named(seen(after), names_after)
    )


def _named(seen: Any, names: Mapping[str, str]) -> Any:
    if isinstance(seen, tuple):
        return tuple(_named(one, names) for one in seen)
    return names.get(seen, seen) if isinstance(seen, str) else seen


def _outcome(data: Mapping[str, Any]) -> tuple[str, str, str]:
    """Whether a failure is tried again or not is no matter of settings."""
    state = str(data.get("outcome", ""))
    state = ItemState.QUARANTINED.value if state in FAILED else state
    return state, str(data.get("reason", "")), str(data.get("sub_reason", ""))


def _key(data: Mapping[str, Any], name: str) -> tuple[str, str]:
    named: Any = data.get(name) or {}
    return str(named.get("kind", "")), str(named.get("id", ""))


def _answers(data: Mapping[str, Any]) -> str:
    if data.get("outcome") == ItemState.DUPLICATE:
        return str(data.get("duplicate_of", ""))
    return str((data.get("correlation") or {}).get("email") or "")


def _queues(data: Mapping[str, Any]) -> Collection[str]:
    return {str(item.get("id")) for item in (data.get("queue_items") or {}).get("list", ())}


def _things(data: Mapping[str, Any]) -> tuple[bool, bool]:
    return _made(data, Said.PERSON), _made(data, Said.CASE)


_SEEN = {
    Facet.OUTCOME: _outcome,
    Facet.ANSWERS: _answers,
    Facet.REGARDING: lambda data: _key(data, "regarding"),
    Facet.ENTITY: lambda data: _key(data, "entity"),
    Facet.OWNER: lambda data: _key(data, "owner"),
    Facet.QUEUES: _queues,
    Facet.MADE: _things,
}
