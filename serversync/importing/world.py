"""What the site has that a file speaks of, and what its importer may do: in few statements, whatever the rows."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model, Q, QuerySet
from django.db.models.functions import Lower

from mailboxes import access
from mailboxes.addresses import address_key
from mailboxes.choices import Reach
from mailboxes.models import EmailServerProfile, Mailbox, Organization, Queue, SystemUser, Team
from serversync.choices import ImportKind
from serversync.importing.columns import COLUMNS, Cells, parts_of

MODELS: dict[ImportKind, type[Model]] = {
    ImportKind.USERS: SystemUser,
    ImportKind.QUEUES: Queue,
    ImportKind.PROFILES: EmailServerProfile,
    ImportKind.MAILBOXES: Mailbox,
}
#: How a cell names a record of each sort: by these columns, case aside.
NAMED_BY: dict[str, tuple[type[Model], tuple[str, ...]]] = {
    "user": (SystemUser, ("domain_name", "internal_email_address")),
    "queue": (Queue, ("name", "email_address")),
    "profile": (EmailServerProfile, ("name",)),
    "team": (Team, ("name",)),
}


@dataclass(frozen=True, slots=True)
class Within:
    """The rows on which something may be done. `keys` None: all of them."""

    keys: frozenset[Any] | None = None

    def __contains__(self, row: Model) -> bool:
        return self.keys is None or row.pk in self.keys


EVERYWHERE, NOWHERE = Within(), Within(frozenset())


class Index:
    """Records by the words that name them; the first of the columns by which any is found wins."""

    def __init__(
        self, model: type[Model], columns: Sequence[str], rows: Iterable[Any] = ()
    ) -> None:
        self.model, self.columns = model, columns
        self.found: dict[tuple[str, str], list[Any]] = defaultdict(list)
        for row in rows:
            self.add(row)

    def add(self, row: Any) -> None:
        for column in self.columns:
            if word := key_of(getattr(row, column)):
                self.found[column, word].append(row)

    def by(self, column: str, words: str) -> list[Any]:
        return self.found.get((column, key_of(words)), [])

    def named(self, words: str) -> list[Any]:
        return next((rows for column in self.columns if (rows := self.by(column, words))), [])


@dataclass(slots=True)
class World:
    """`records`: of the file's own kind. `named`: those that cells may name, as far as the importer sees them.
    `holders`: address -> the mailbox it is mapped to (R1.5). `actor` None: the site itself, which may all."""

    kind: ImportKind
    organization: Organization
    records: Index
    named: Mapping[str, Index]
    holders: Mapping[str, Mailbox] = field(default_factory=dict)
    members: Mapping[Any, frozenset[Any]] = field(default_factory=dict)
    of_parties: Mapping[Any, Mailbox] = field(default_factory=dict)
    actor: SystemUser | None = None
    may_add: bool = True
    seen: Within = EVERYWHERE
    changeable: Within = EVERYWHERE
    approvable: Within = EVERYWHERE
    may_approve_new: bool = True
    moves_secrets: Within = EVERYWHERE
    may_enter_secrets: bool = True

    @property
    def may_compare_secrets(self) -> bool:
        """Only who could have them sent anywhere learns by an import whether a stored one is the file's."""
        return self.moves_secrets.keys is None


def key_of(words: Any) -> str:
    return str(words or "").strip().lower()


def read(
    kind: ImportKind,
    rows: Sequence[tuple[int, Cells]],
    *,
    actor: SystemUser | None,
    may_enter_secrets: bool = True,
) -> World:
    """The number of statements doesn't grow with the rows."""
    wanted = _words(kind, rows)
    named = {
        sort: Index(*NAMED_BY[sort], _reached(actor, _with_words(*NAMED_BY[sort], words), "view"))
        for sort, words in wanted.items()
    }
    records = _records(kind, rows, named)
    model = MODELS[kind]
    candidates = model._default_manager.filter(pk__in=[row.pk for row in records])
    world = World(
        kind=kind,
        organization=Organization.objects.current(),
        records=Index(model, _by(kind), records),
        named=named,
        actor=actor,
        may_add=actor is None or access.reach_of(actor, model, "add") is not None,
        seen=_within(actor, candidates, "view"),
        changeable=_within(actor, candidates, "change"),
        moves_secrets=_within(actor, EmailServerProfile.objects.all(), "move_secrets"),
        may_enter_secrets=may_enter_secrets,
    )
    _complete(world, rows, records, candidates)
    return world


def _by(kind: ImportKind) -> tuple[str, ...]:
    return {
        ImportKind.USERS: ("domain_name", "internal_email_address"),
        ImportKind.QUEUES: ("name", "email_address"),
        ImportKind.PROFILES: ("name",),
        ImportKind.MAILBOXES: ("email_address",),
    }[kind]


def _words(kind: ImportKind, rows: Sequence[tuple[int, Cells]]) -> dict[str, set[str]]:
    """What the cells name, by sort."""
    found: dict[str, set[str]] = {}
    for column in COLUMNS[kind]:
        if not column.refers:
            continue
        words = found.setdefault(column.refers, set())
        for _number, cells in rows:
            text = cells.get(column.name, "")
            words.update(parts_of(text) if column.many else filter(None, [text.strip()]))
    return found


def _with_words(
    model: type[Model], columns: Sequence[str], words: Collection[str]
) -> "QuerySet[Any]":
    return _matching(model, dict.fromkeys(columns, words))


def _matching(model: type[Model], wanted: Mapping[str, Collection[str]]) -> "QuerySet[Any]":
    """Rows of which any column is one of its words, case aside."""
    rows: QuerySet[Any] = model._default_manager.all()
    condition = Q()
    for column, words in wanted.items():
        if not words:
            continue
        rows = rows.annotate(**{f"bare_{column}": Lower(column)})
        spellings = {spelling for word in words for spelling in _spellings(word)}
        condition |= Q(**{f"bare_{column}__in": spellings})
    return rows.filter(condition) if condition else rows.none()


def _spellings(word: str) -> set[str]:
    """What a database may make of a word made small: SQLite knows only the case of ASCII."""
    if word.isascii():
        return {key_of(word)}
    partly = (each.encode().lower().decode() for each in (word.strip(), word.strip().upper()))
    return {key_of(word), *partly}


def _records(
    kind: ImportKind, rows: Sequence[tuple[int, Cells]], named: Mapping[str, Index]
) -> list[Any]:
    wanted = {
        column: {cells[column] for _number, cells in rows if column in cells}
        for column in _by(kind)
    }
    if kind != ImportKind.MAILBOXES:
        shown = [each.name for each in COLUMNS[kind] if each.refers and not each.many]
        return list(_matching(MODELS[kind], wanted).select_related(*shown))
    users = {row.pk for found in named["user"].found.values() for row in found}
    queues = {row.pk for found in named["queue"].found.values() for row in found}
    served = Q(regarding_user__in=users) | Q(regarding_queue__in=queues)
    addresses = [address_key(word) for word in wanted["email_address"]]
    mailboxes: Any = Mailbox.objects.annotate(bare_address=Lower("email_address"))
    # One whose user or queue is gone keeps its address as history, and holds nothing.
    found = mailboxes.filter(served | Q(Q(bare_address__in=addresses) & _HOLDING))
    return list(
        found.select_related(
            *("email_server_profile", "regarding_user", "regarding_queue"),
            *("owning_user", "owning_team"),
        )
    )


_HOLDING = (
    Q(is_forward_mailbox=True) | Q(regarding_user__isnull=False) | Q(regarding_queue__isnull=False)
)


def _complete(
    world: World, rows: Sequence[tuple[int, Cells]], records: Sequence[Any], candidates: Any
) -> None:
    """What only some kinds need."""
    if world.kind == ImportKind.PROFILES:
        return
    column = "internal_email_address" if world.kind == ImportKind.USERS else "email_address"
    addresses = {address_key(cells.get(column, "")) for _number, cells in rows} - {""}
    mailboxes: Any = Mailbox.objects.annotate(bare_address=Lower("email_address"))
    holding = mailboxes.filter(_HOLDING, bare_address__in=list(addresses))
    world.holders = {address_key(row.email_address): row for row in holding}
    if world.kind == ImportKind.QUEUES:
        world.members = _members(candidates)
    if world.kind == ImportKind.MAILBOXES:
        world.of_parties = {row.regarding_user_id or row.regarding_queue_id: row for row in records}
        world.approvable = _within(world.actor, candidates, "approve_mailbox")
        world.may_approve_new = (
            world.actor is None
            or access.reach_of(world.actor, Mailbox, "approve_mailbox") is not None
        )


def _members(queues: "QuerySet[Any]") -> dict[Any, frozenset[Any]]:
    found: dict[Any, set[Any]] = defaultdict(set)
    through = Queue.members.through.objects.filter(queue__in=queues.order_by().values("pk"))
    for queue, user in through.values_list("queue", "systemuser"):
        found[queue].add(user)
    return {queue: frozenset(users) for queue, users in found.items()}


def _within(actor: SystemUser | None, rows: "QuerySet[Any]", action: str) -> Within:
    """One statement, none for who reaches all."""
    if actor is None or access.reach_of(actor, rows.model, action) == Reach.ALL:
        return EVERYWHERE
    reached = access.visible_to(actor, rows, action)
    return Within(frozenset(reached.values_list("pk", flat=True)))


def _reached(actor: SystemUser | None, rows: "QuerySet[Any]", action: str) -> "QuerySet[Any]":
    return rows if actor is None else access.visible_to(actor, rows, action)
