"""What would have become of mail under other settings: items of the ledger, or messages from files.

    items ──> messages, as they were met then ──> decided again in their order ──> differences
                (history)                          (tracking.again)                (comparing)

Nothing is written. The people, filters, folder rules and start dates are those of now, and so are the
settings that are not said to be otherwise; what mail answers is looked for in what was stored before it.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from django.db.models import Q, QuerySet

from activities.mime.parse import forwarded_originals, parse
from mailboxes.models import Mailbox, Organization
from serversync.choices import ItemState
from serversync.comparing import (
    Comparison,
    Difference,
    compared,
    data_of,
    facets_of,
)
from serversync.explain import reading_for
from serversync.facets import Facet, Unknown
from serversync.history import History, Turn
from serversync.models import SyncItem
from serversync.probe import is_own_probe
from tracking.again import AS_THEY_ARE, Again, Decided, Original, Settings, World

MOST_ITEMS = 2000

__all__ = [
    "Comparison",
    "Difference",
    "Facet",
    "TooMany",
    "Unknown",
    "what_if",
    "what_if_messages",
]


class TooMany(Exception):
    """More items than are decided again at once. `count`: how many there are."""

    def __init__(self, count: int, most: int) -> None:
        super().__init__(f"{count} items; at most {most} are decided again at once")
        self.count = count


# -- items ---------------------------------------------------------------------------------------


def what_if(
    items: "QuerySet[SyncItem]", settings: Settings, now: datetime, most: int | None = None
) -> Comparison:
    """Items decided until `now`, and what came inside them; raises TooMany."""
    roots = roots_of(items, now)
    count = roots.count()
    if count > (MOST_ITEMS if most is None else most):
        raise TooMany(count, MOST_ITEMS if most is None else most)
    return Comparison([replace(one, decided=None) for one in differences(History(roots, settings))])


def roots_of(items: "QuerySet[SyncItem]", now: datetime) -> "QuerySet[SyncItem]":
    """Those decided until `now`; for what came inside a forward the forward."""
    chosen = items.order_by().filter(decided_at__lte=now)
    parents = chosen.filter(parent__isnull=False).values("parent")
    return SyncItem.objects.filter(
        Q(pk__in=chosen.filter(parent__isnull=True).values("pk")) | Q(pk__in=parents)
    )


def differences(history: History) -> Iterator[Difference]:
    """Of every item, changed or not, as they are decided."""
    world = history.world()
    settled: set[Hashable] = set()
    for chunk in history.chunks():
        for turn in chunk:
            if isinstance(turn.asked, Difference) and not turn.first:
                yield turn.asked
        turns = {turn.asked.key: turn for turn in chunk if isinstance(turn.asked, Again)}
        asked = [turn.asked for turn in turns.values() if isinstance(turn.asked, Again)]
        decided: dict[str, list[Decided]] = defaultdict(list)
        for one in world.decide(asked, settled=settled):
            decided[one.key].append(one)
        for key, told in decided.items():
            yield from _told(turns[key], told)


def _told(turn: Turn, decided: Sequence[Decided]) -> Iterable[Difference]:
    """Whether it was wanted before it was marked matters only if it was."""
    if turn.first and all(one.email_id is None for one in decided):
        return ()
    return compared([turn.row, *turn.children], decided)


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
        facets = facets_of(data, told, before.names, after.names)
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
