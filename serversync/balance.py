"""The ledger's balance: of what was seen, how much ended in which state. Seen is the sum of all states.

An item belongs to the day on which it was first seen, so what a day has seen never changes, whatever
becomes of it later. Each row of the ledger counts, the originals inside a forward too: they are items of
their own (R3.75). What was folded is added from its totals, which are days of the site's time zone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any
from uuid import UUID

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.utils import timezone

from mailboxes.models import Mailbox
from serversync.choices import ItemState
from serversync.models import FolderCursor, ItemDay, SyncItem

DAY = timedelta(days=1)
FIRST_YEAR, LAST_YEAR = 1990, 2200


@dataclass(frozen=True, slots=True)
class Period:
    """From the first to the last day, both included, in the reader's time zone."""

    first: date
    last: date

    @property
    def start(self) -> datetime:
        return midnight(self.first)

    @property
    def end(self) -> datetime:
        return midnight(self.last + DAY)

    def of_items(self) -> Q:
        return Q(first_seen_at__gte=self.start, first_seen_at__lt=self.end)

    def of_totals(self) -> Q:
        return Q(day__gte=self.first, day__lte=self.last)


def day_of(text: Any) -> date | None:
    """From an address, which may hold anything; nothing near the ends of time, where zones overflow."""
    try:
        found = date.fromisoformat(str(text or ""))
    except ValueError:
        return None
    return found if FIRST_YEAR <= found.year <= LAST_YEAR else None


def period_of(text: str) -> Period | None:
    """From "2026-03-01..2026-03-07"."""
    first, _dots, last = text.partition("..")
    days = [day_of(first), day_of(last or first)]
    found = [day for day in days if day is not None]
    return Period(min(found), max(found)) if len(found) == len(days) else None


def midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


@dataclass(slots=True)
class Sums:
    """Items by state; `folded`: how many of them have no row any more."""

    by_state: dict[str, int] = field(default_factory=dict)
    folded: dict[str, int] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        return sum(self.by_state.values())

    @property
    def seen_folded(self) -> int:
        return sum(self.folded.values())

    def add(self, state: str, number: int, *, folded: bool = False) -> None:
        self.by_state[state] = self.by_state.get(state, 0) + number
        if folded:
            self.folded[state] = self.folded.get(state, 0) + number


@dataclass(frozen=True, slots=True)
class Place:
    """One folder of one mailbox on one day."""

    day: date
    folder: str
    mailbox: UUID


@dataclass(frozen=True, slots=True)
class Books:
    """What may be counted: rows and totals of the mailboxes in sight, within a period."""

    items: "QuerySet[SyncItem]"
    totals: "QuerySet[ItemDay]"

    def of(self, mailboxes: Iterable[UUID]) -> "Books":
        within = Q(mailbox__in=list(mailboxes))
        return Books(self.items.filter(within), self.totals.filter(within))


def books(items: "QuerySet[SyncItem]", totals: "QuerySet[ItemDay]", period: Period | None) -> Books:
    if period is None:
        return Books(items.order_by(), totals.order_by())
    return Books(
        items.order_by().filter(period.of_items()), totals.order_by().filter(period.of_totals())
    )


# -- sums, two statements each -------------------------------------------------------------------


def total(counted: Books) -> Sums:
    found = Sums()
    for state, number in counted.items.values_list("state").annotate(n=Count("pk")):
        found.add(state, number)
    for state, number in counted.totals.values_list("state").annotate(n=Sum("count")):
        found.add(state, number, folded=True)
    return found


def by_mailbox(counted: Books) -> dict[UUID, Sums]:
    found: dict[UUID, Sums] = {}
    for mailbox, state, number in counted.items.values_list("mailbox", "state").annotate(
        n=Count("pk")
    ):
        found.setdefault(mailbox, Sums()).add(state, number)
    for mailbox, state, number in counted.totals.values_list("mailbox", "state").annotate(
        n=Sum("count")
    ):
        found.setdefault(mailbox, Sums()).add(state, number, folded=True)
    return found


def by_place(counted: Books) -> dict[Place, Sums]:
    found: dict[Place, Sums] = {}
    rows = _days(counted.items).values_list("seen_on", "folder", "mailbox", "state")
    for day, folder, mailbox, state, number in rows.annotate(n=Count("pk")).iterator():
        found.setdefault(Place(day, folder, mailbox), Sums()).add(state, number)
    totals = counted.totals.values_list("day", "folder", "mailbox", "state")
    for day, folder, mailbox, state, number in totals.annotate(n=Sum("count")).iterator():
        found.setdefault(Place(day, folder, mailbox), Sums()).add(state, number, folded=True)
    return found


def _days(items: "QuerySet[SyncItem]") -> "QuerySet[Any]":
    return items.annotate(seen_on=TruncDate("first_seen_at"))


# -- which lines there are -----------------------------------------------------------------------


def mailboxes_in(counted: Books, mailboxes: "QuerySet[Mailbox]") -> "QuerySet[Mailbox]":
    """Those that have something to count, by name."""
    live = counted.items.values("mailbox")
    folded = counted.totals.values("mailbox")
    return mailboxes.filter(Q(pk__in=live) | Q(pk__in=folded)).order_by("name", "pk")


def places_in(counted: Books) -> "QuerySet[Any]":
    """(day, folder, mailbox) of every line, the latest first. Where days come from two sources, each
    place is there once."""
    live = _days(counted.items).values_list("seen_on", "folder", "mailbox")
    folded = counted.totals.values_list("day", "folder", "mailbox")
    return live.union(folded).order_by("-seen_on", "folder", "mailbox")


def of_places(counted: Books, places: Sequence[tuple[date, str, UUID]]) -> list[tuple[Place, Sums]]:
    """The sums of some lines, in their order."""
    wanted = [Place(*each) for each in places]
    if not wanted:
        return []
    days = [place.day for place in wanted]
    within = Period(min(days), max(days))
    some = Books(counted.items.filter(within.of_items()), counted.totals.filter(within.of_totals()))
    sums = by_place(some.of({place.mailbox for place in wanted}))
    return [(place, sums.get(place, Sums())) for place in wanted]


def before_start(mailboxes: "QuerySet[Mailbox] | Sequence[Any]") -> dict[UUID, dict[str, int]]:
    """Items older than the start date at first contact: one count for each folder, which is in no sum."""
    rows = FolderCursor.objects.filter(mailbox__in=mailboxes, before_start__gt=0).order_by()
    found: dict[UUID, dict[str, int]] = {}
    for mailbox, folder, number in rows.values_list("mailbox", "folder").annotate(
        n=Sum("before_start")
    ):
        found.setdefault(mailbox, {})[folder] = number
    return found


def lines(counted: Books, names: Mapping[UUID, Any]) -> Iterator[tuple[Place, Sums]]:
    """All lines, by mailbox, then the latest day first."""
    found = by_place(counted)
    return iter(
        sorted(
            found.items(),
            key=lambda line: (
                str(names.get(line[0].mailbox, "")),
                -line[0].day.toordinal(),
                line[0].folder,
            ),
        )
    )


STATES: tuple[ItemState, ...] = (
    *(ItemState.TRACKED, ItemState.REJECTED, ItemState.DUPLICATE, ItemState.SKIPPED),
    *(ItemState.QUARANTINED, ItemState.RETRYING, ItemState.GONE),
)
