"""Pairs for the deciding modules: what a test doesn't speak about is neutral, and both sides are equal."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from mailboxes.protocols.items import (
    FIELDS,
    Address,
    Answer,
    Importance,
    ItemKind,
    Person,
    Response,
    Sensitivity,
    Shape,
    ShowAs,
    TaskProgress,
    When,
)
from mailboxes.recurrence import Pattern, Recurrence, Weekday
from serversync.act import fields, times
from serversync.act.reconcile import reconcile
from serversync.act.series import PATTERN
from serversync.act.types import (
    ActSettings,
    Decision,
    Direction,
    ItemFacts,
    Lifecycle,
    LinkFacts,
    LinkTo,
    Pair,
    RecordFacts,
    Side,
    Table,
    Verb,
    Write,
)

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)  # a Monday
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
ADA, BEN, CLEO = (Person(f"{name}@example.com") for name in ("ada", "ben", "cleo"))
AT_TEN = NOW + DAY + HOUR
WHEN = When(AT_TEN, AT_TEN + HOUR, zone="Europe/Berlin")
WEEKLY = Recurrence(
    pattern=Pattern.WEEKLY, start=date(2026, 3, 3), days=frozenset({Weekday.TUESDAY}), count=8
)
#: Original starts of the series: tomorrow, in a week, and so on.
FIRST, SECOND, THIRD = (AT_TEN + number * timedelta(days=7) for number in range(3))
#: The original, where it differs from what is better (appendix C).
PARITY = ActSettings(
    block_on_conflict=True,
    transfer_organizer=True,
    recreate_past_instances=True,
    distinct_logical_deletes=False,
    ask_before_cancelling=False,
)
EMPTY = {
    Shape.TEXT: "",
    Shape.LINES: "",
    Shape.FLAG: False,
    Shape.PEOPLE: (),
    Shape.ANSWERS: (),
    Shape.WORDS: frozenset(),
    Shape.ADDRESS: Address(),
}
USUAL: dict[str, Any] = {
    "subject": "Plan",
    "importance": Importance.NORMAL,
    "sensitivity": Sensitivity.NORMAL,
    "show_as": ShowAs.BUSY,
    "when": WHEN,
    "organizer": ADA,
    "status": TaskProgress.NOT_STARTED,
    "percent_complete": 0,
    "recurrence": WEEKLY,
    "given_name": "Ben",
    "surname": "Bright",
    "display_name": "Ben Bright",
    "email1": "ben@example.com",
    "mailing_address": "",
}
OUT_OF_THE_WAY = frozenset({"is_recurring", "is_assigned"})


def told(table: Table, **changed: Any) -> dict[str, Any]:
    """All fields of a side of this table."""
    shapes = FIELDS[table.kind]
    assert set(changed) <= set(shapes), set(changed) - set(shapes)
    return {
        name: changed.get(name, USUAL.get(name, EMPTY.get(shape))) for name, shape in shapes.items()
    }


def meeting(**changed: Any) -> dict[str, Any]:
    """Ada's, with Ben, tomorrow."""
    return told(Table.APPOINTMENT, **{"required": (BEN,), **changed})


def series(**changed: Any) -> dict[str, Any]:
    return told(Table.RECURRING_APPOINTMENT, **{"required": (BEN,), **changed})


def task(**changed: Any) -> dict[str, Any]:
    return told(Table.TASK, **changed)


def contact(**changed: Any) -> dict[str, Any]:
    return told(Table.CONTACT, **changed)


def moved(by: timedelta, when: When = WHEN) -> When:
    return replace(when, start=when.start + by, end=when.end + by)


PAST = moved(-timedelta(days=2))
LINKED = LinkFacts(linked=True)
KIND = {
    ItemKind.APPOINTMENT: meeting,
    ItemKind.SERIES: series,
    ItemKind.TASK: task,
    ItemKind.CONTACT: contact,
}


def side(fields: Mapping[str, Any] | None, **more: Any) -> Side | None:
    return None if fields is None else Side(fields, **more)


def pair(
    table: Table = Table.APPOINTMENT,
    *,
    store: Mapping[str, Any] | Side | None = None,
    server: Mapping[str, Any] | Side | None = None,
    base: Mapping[str, Any] | Side | None = None,
    link: LinkFacts = LINKED,
    record: Mapping[str, Any] | None = None,
    item: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    settings: ActSettings | None = None,
    **switches: Any,
) -> Pair:
    """Linked, with what is told of each side on top of what is usual. `record`, `item`: facts that differ;
    `switches`: settings that do."""
    usual = KIND[table.kind]()

    def made(given: Any) -> Side:
        return given if isinstance(given, Side) else Side({**usual, **(given or {})})

    settings = settings or ActSettings(**switches)
    people = {"is_meeting": bool(usual.get("required"))}
    return Pair(
        table=table,
        link=link,
        base=made(base) if link.linked else None,
        store=made(store),
        server=made(server),
        record=RecordFacts(**(record or {})),
        item=ItemFacts(**{**people, **(item or {})}),
        directions=fields.directions(table, overrides or {}, settings),
        settings=settings,
    )


def without_store(found: Pair, **facts: Any) -> Pair:
    return replace(found, store=None, record=replace(found.record, **facts))


def without_server(found: Pair, **facts: Any) -> Pair:
    return replace(found, server=None, record=replace(found.record, **facts))


def decide(found: Pair, now: datetime = NOW) -> Decision:
    """The decision, which must be the last one: carried out, there is nothing left to decide."""
    decision = reconcile(found, now)
    check_quiet(found, decision, now)
    return decision


def codes(decision: Decision) -> list[str]:
    return [reason.code for reason in decision.reasons]


# -- what a decision does, were it carried out -------------------------------------------------------


def check_quiet(found: Pair, decision: Decision, now: datetime = NOW) -> None:
    if decision.question or not decision.writes:
        return
    if decision.to_store and "organizer" in decision.to_store.fields:
        return  # the record is somebody else's meeting now, and is decided as such
    again = reconcile(carried_out(found, decision), now)
    assert not again.writes, f"{decision}\n\nand then once more\n\n{again}"
    both = {name for name, way in found.directions.items() if way is Direction.BOTH}
    called_off = decision.to_server and decision.to_server.verb is Verb.CANCEL
    if decision.base is not None and not called_off:
        assert again.base is not None
        check_base(decision.base, again.base, both)


def check_base(known: Side, again: Side, both: set[str]) -> None:
    """Looking again may tell more than was known, but nothing else."""
    for name in both & known.fields.keys() & again.fields.keys():
        assert again.fields[name] == known.fields[name], name
    for original in known.occurrences.keys() & again.occurrences.keys():
        was, now_is = known.occurrences[original], again.occurrences[original]
        assert (was is None) is (now_is is None), original
        for name in both & (was or {}).keys() & (now_is or {}).keys():
            assert was[name] == now_is[name], (original, name)


def carried_out(found: Pair, decision: Decision) -> Pair:
    link = replace(
        found.link,
        linked=decision.base is not None and decision.link is not LinkTo.UNLINK,
        unlinked=decision.link is LinkTo.UNLINK,
        was_tracked=found.item.tracked,
    )
    write = decision.to_store
    state = found.record.lifecycle if found.store else Lifecycle.OPEN
    state = write.lifecycle if write and write.lifecycle else state
    made = write is not None and write.verb is Verb.CREATE
    record = replace(found.record, lifecycle=state, readable=found.record.readable or made)
    if write and "organizer" in write.fields:
        organizer = write.fields["organizer"]
        record = replace(record, organizes=organizer == ADA, has_organizer=organizer is not None)
    return replace(
        found,
        link=link,
        base=decision.base,
        store=written(found.store, write),
        server=written(found.server, decision.to_server),
        record=record,
    )


def written(side: Side | None, write: Write | None) -> Side | None:
    """As the side stands afterwards. Exceptions go with the pattern that they were exceptions of."""
    if write is None or (side is None and write.verb is Verb.DELETE):
        return side
    if write.verb is Verb.DELETE:
        return None
    side = side or Side({})
    if write.verb is Verb.CANCEL:
        return replace(side, fields={**side.fields, "is_cancelled": True})
    kept = {} if PATTERN & write.fields.keys() else dict(side.occurrences)
    after = {**side.fields, **write.fields}
    for original, own in write.occurrences.items():
        before = kept.get(original) or times.regular(after, original)
        kept[original] = None if own is None else {**before, **own}
    return replace(side, fields=after, occurrences=kept)


def accepted(*people: Person) -> tuple[Answer, ...]:
    return tuple(Answer(person.address, Response.ACCEPTED) for person in people)
