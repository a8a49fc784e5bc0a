"""PURE  What becomes of the other side when one side is deleted, or takes part no longer: the table of R6.45.

One row for each case. All its conditions hold: the other side is deleted as well. The first that doesn't says why
the two are only unlinked. Deleted records lie in the bin (R6.47), deleted items in the server's own.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from mailboxes.protocols.items import Tell
from serversync.act import meetings, merging, tasks, times
from serversync.act.types import (
    DONE,
    Decision,
    LinkTo,
    Lost,
    Pair,
    Reason,
    Started,
    Table,
    Verb,
    Write,
)


class Case(StrEnum):
    DELETED_HERE = "deleted_here"
    DELETED_THERE = "deleted_there"
    LEFT = "left"  # the record fits no filter any more, or can't be read


APPOINTMENTS = frozenset({Table.APPOINTMENT})
SERIES = frozenset({Table.RECURRING_APPOINTMENT})
SERVICES = frozenset({Table.SERVICE_APPOINTMENT})
CONTACTS = frozenset({Table.CONTACT})
TASKS = frozenset({Table.TASK, Table.PHONE_CALL, Table.LETTER, Table.FAX})
MEETINGS = APPOINTMENTS | SERIES


# -- conditions --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unless:
    """A condition, and the code of the reason why nothing is deleted if it doesn't hold."""

    holds: Callable[[Pair, datetime], bool]
    otherwise: str


ORGANIZES_THERE = Unless(lambda pair, now: meetings.sends(pair), "not_organizer")
ORGANIZES_HERE = Unless(lambda pair, now: pair.record.organizes, "not_organizer")
AHEAD = Unless(
    lambda pair, now: pair.server is not None and times.is_ahead(pair.server.fields, now),
    "not_ahead",
)
NOT_OVER = Unless(
    lambda pair, now: pair.store is not None and not times.is_over(pair.store.fields, now), "over"
)
STILL_OPEN = Unless(lambda pair, now: pair.record.lifecycle not in DONE, "closed_here")
OWNED = Unless(lambda pair, now: pair.record.owned, "owned_by_others")
NOT_OWNED = Unless(lambda pair, now: not pair.record.owned, "own_contact")
UNFINISHED_THERE = Unless(
    lambda pair, now: pair.server is not None and not tasks.is_completed(pair.server.fields),
    "completed_there",
)
TASKS_FOLLOW = Unless(lambda pair, now: pair.settings.delete_tasks_from_server, "tasks_stay")
MAY_WRITE = Unless(lambda pair, now: pair.record.writable, "not_writable")
NEVER = Unless(lambda pair, now: False, "one_way")


# -- the table ---------------------------------------------------------------------------------------

Row = tuple[Case, frozenset[Table], tuple[Unless, ...]]

TABLE: tuple[Row, ...] = (
    (Case.DELETED_HERE, MEETINGS, (ORGANIZES_THERE, AHEAD)),
    (Case.DELETED_HERE, SERVICES, (AHEAD,)),
    (Case.DELETED_HERE, CONTACTS, (NOT_OWNED,)),
    (Case.DELETED_HERE, TASKS, (UNFINISHED_THERE,)),
    (Case.DELETED_THERE, APPOINTMENTS, (STILL_OPEN, ORGANIZES_HERE, NOT_OVER, MAY_WRITE)),
    (Case.DELETED_THERE, SERIES, (STILL_OPEN, ORGANIZES_HERE, MAY_WRITE)),
    (Case.DELETED_THERE, SERVICES, (NEVER,)),
    (Case.DELETED_THERE, CONTACTS, (OWNED, MAY_WRITE)),
    (Case.DELETED_THERE, TASKS, (TASKS_FOLLOW, MAY_WRITE)),
)


def conditions(case: Case, table: Table) -> tuple[Unless, ...]:
    return next(unless for of, tables, unless in TABLE if of is case and table in tables)


# -- what follows ------------------------------------------------------------------------------------


def case_of(pair: Pair) -> Case | None:
    """Of a linked pair; None: both sides take part."""
    if pair.server is None:
        return Case.DELETED_THERE
    if pair.store is None:
        return Case.DELETED_HERE
    return Case.LEFT if why_left(pair) else None


def why_left(pair: Pair) -> str:
    """What a person linked or tracks stays, whatever the filters find (R6.4)."""
    if not pair.record.readable:
        return "not_readable"
    by_filter = pair.link.started is Started.FILTER and not pair.item.tracked
    return "no_filter" if by_filter and not pair.record.matches else ""


def follow(case: Case, pair: Pair, now: datetime) -> Decision:
    """The other side is deleted, or the two are unlinked."""
    if case is Case.LEFT:
        return _left(pair, now)
    if why := obstacle(case, pair, now):
        return unlink(case.value, why)
    return _delete_item(pair, now) if case is Case.DELETED_HERE else _delete_record(pair)


def obstacle(case: Case, pair: Pair, now: datetime) -> str:
    """Why the other side isn't deleted, a code of `reasons.REASONS`; "" if it is."""
    unless = conditions(case, pair.table)
    return next((each.otherwise for each in unless if not each.holds(pair, now)), "")


def unlink(*codes: str) -> Decision:
    return Decision(link=LinkTo.UNLINK, reasons=tuple(Reason(code) for code in codes))


def _left(pair: Pair, now: datetime) -> Decision:
    """R6.46: losing sight of a record deletes nothing, unless the original's way is chosen."""
    why = why_left(pair)
    if pair.settings.distinct_logical_deletes:
        return unlink(why)
    if obstacle_there := obstacle(Case.DELETED_HERE, pair, now):
        return unlink(why, obstacle_there)
    return _delete_item(pair, now, LinkTo.UNLINK, why)


def _delete_record(pair: Pair) -> Decision:
    return Decision(
        link=LinkTo.FORGET,
        to_store=Write(verb=Verb.DELETE),
        lost=unseen(pair),
        reasons=(Reason(Case.DELETED_THERE.value),),
    )


def _delete_item(
    pair: Pair,
    now: datetime,
    link: LinkTo = LinkTo.FORGET,
    why: str = Case.DELETED_HERE.value,
) -> Decision:
    return ending(pair, now, Verb.DELETE, link=link, why=why)


def ending(pair: Pair, now: datetime, verb: Verb, *, link: LinkTo, why: str) -> Decision:
    """The item is deleted or called off. What mails attendees waits for a person (R6.46)."""
    assert pair.server is not None
    organizes = pair.table in MEETINGS and meetings.invites(pair)
    tell, people = (
        meetings.tell_ending(pair.server.fields, now) if organizes else (Tell.NOBODY, frozenset())
    )
    return Decision(
        link=link,
        to_server=Write(verb=verb, tell=tell, told=meetings.addresses(people)),
        must_wait=tell is not Tell.NOBODY and pair.settings.ask_before_cancelling,
        reasons=(Reason(why), *_telling(tell, people)),
        lost=unseen(pair),
    )


def _telling(tell: Tell, people: Iterable[object]) -> tuple[Reason, ...]:
    count = len(tuple(people))
    return (Reason("attendees_told", {"count": count}),) if tell is not Tell.NOBODY else ()


def unseen(pair: Pair) -> tuple[Lost, ...]:
    """What the deleted side had changed since both were equal, and the other one never saw (R6.53)."""
    base = pair.base.fields if pair.base else {}
    name = "server" if pair.store is None else "store"
    side = pair.server if pair.store is None else pair.store
    if side is None or (pair.store and pair.server):
        return ()
    return tuple(
        Lost(field, value, None, name)
        for field, value in side.fields.items()
        if field in base and not merging.same(value, base[field])
    )
