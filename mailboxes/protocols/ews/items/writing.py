"""New items, changes and deletions.

silent     100 a request, those of one folder together
telling    one a request, never a second time
one occurrence of a series    found first; several of one series one after the other, since each write
                              changes the version of all
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from exchangelib.version import Build

from mailboxes.protocols.errors import ActionRefused
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.items import series, shapes
from mailboxes.protocols.ews.items.batches import Batches, Job
from mailboxes.protocols.ews.items.fetching import item_of
from mailboxes.protocols.ews.items.jobs import (
    calling_off,
    changes_nothing,
    changing,
    creating,
    deleting,
)
from mailboxes.protocols.ews.operations import Answer, GetItem, item_ids, shape
from mailboxes.protocols.items import (
    Change,
    Deletion,
    Draft,
    ItemKind,
    Outcome,
    Tell,
    WrittenItem,
)
from mailboxes.protocols.phases import Phase

ZONE_NAMES = 3  # most that `zones` gives
#: Words for a time zone that the server doesn't know; then UTC is better than nothing (R6.35).
ZONE_REFUSED = ("ErrorTimeZone", "ErrorCalendarInvalidTimeZone")
NO_OCCURRENCE = "the series on the server has no occurrence that begins then"
NOT_SILENTLY = "a meeting can't be called off without telling its attendees"

Order = TypeVar("Order", Change, Deletion)


def create(talk: Conversation, drafts: Sequence[Draft]) -> list[WrittenItem]:
    batches, build = Batches(talk), build_of(talk)

    def job(number: int, refused: int) -> Job:
        return creating(number, drafts[number], build, refused)

    _run(batches, job, range(len(drafts)))
    return batches.in_order(len(drafts))


def update(talk: Conversation, changes: Sequence[Change]) -> list[WrittenItem]:
    batches = Batches(talk)

    def write(some: Mapping[int, Change]) -> None:
        _update(talk, batches, some)

    whole, of_series = apart(changes)
    write(whole)
    refused = ActionRefused(NO_OCCURRENCE, phase=Phase.APPLY)
    absent = WrittenItem(Outcome.REFUSED, error=refused)
    _occurrences(talk, batches, of_series, lambda some: write(_as_items(some)), absent)
    return batches.in_order(len(changes))


def delete(talk: Conversation, deletions: Sequence[Deletion]) -> list[WrittenItem]:
    """What is gone already counts as done."""
    batches = Batches(talk)

    def write(some: Mapping[int, Deletion]) -> None:
        _delete(talk, batches, some)

    whole, of_series = apart(deletions)
    write(_fresh(talk, batches, whole))
    _occurrences(talk, batches, of_series, write, WrittenItem(Outcome.DONE))
    return [gone_is_done(each) for each in batches.in_order(len(deletions))]


def build_of(talk: Conversation) -> Build:
    return talk.access.open().version.build


def apart(orders: Sequence[Order]) -> tuple[dict[int, Order], dict[int, Order]]:
    """By number: those about items, and those about occurrences."""
    numbered = dict(enumerate(orders))
    whole = {number: each for number, each in numbered.items() if each.original is None}
    return whole, {number: each for number, each in numbered.items() if number not in whole}


def gone_is_done(written: WrittenItem) -> WrittenItem:
    return WrittenItem(Outcome.DONE) if written.outcome is Outcome.GONE else written


# -- items -----------------------------------------------------------------------------------------


def _run(batches: Batches, job: Callable[[int, int], Job], numbers: Iterable[int]) -> None:
    """Those whose zone was refused once more by another name of it, and in the end in UTC."""
    left = list(numbers)
    for refused in range(ZONE_NAMES):
        batches.run([job(number, refused) for number in left])
        left = [number for number in left if _zone_refused(batches.found[number])]


def _zone_refused(written: WrittenItem) -> bool:
    return written.error is not None and written.error.server_code in ZONE_REFUSED


def _update(talk: Conversation, batches: Batches, changes: Mapping[int, Change]) -> None:
    build, quietly = build_of(talk), talk.quietly
    for number, each in changes.items():
        if changes_nothing(each, build):
            batches.note([number], WrittenItem(Outcome.DONE, each.id, each.version))

    def job(number: int, refused: int) -> Job:
        return changing(number, changes[number], build, quietly, refused)

    _run(batches, job, [number for number in changes if number not in batches.found])


def _delete(talk: Conversation, batches: Batches, deletions: Mapping[int, Deletion]) -> None:
    jobs = []
    for number, each in deletions.items():
        if not each.cancel_only:
            jobs.append(deleting(number, each, talk.quietly))
        elif each.tell is Tell.NOBODY:
            refused = ActionRefused(NOT_SILENTLY, phase=Phase.APPLY)
            batches.note([number], WrittenItem(Outcome.REFUSED, error=refused))
        else:
            jobs.append(calling_off(number, each))
    batches.run(jobs)


def _fresh(
    talk: Conversation, batches: Batches, deletions: Mapping[int, Deletion]
) -> dict[int, Deletion]:
    """Those of the version that was decided upon, for deleting itself looks at none."""
    ids = list(dict.fromkeys(each.id for each in deletions.values() if each.version))

    def ask(part: Sequence[str]) -> list[Answer]:
        return talk.ask(Phase.APPLY, GetItem, shape("ItemShape"), item_ids(part))

    answers = talk.ask_each(Phase.APPLY, ids, ask)
    versions = {
        identifier: shapes.version_of(item)
        for identifier, answer in answers.items()
        if (item := item_of(answer)) is not None
    }
    stale = [
        number
        for number, each in deletions.items()
        if each.version and versions.get(each.id, each.version) != each.version
    ]
    batches.note(stale, WrittenItem(Outcome.STALE))
    return {number: each for number, each in deletions.items() if number not in stale}


# -- occurrences -----------------------------------------------------------------------------------


def _occurrences(
    talk: Conversation,
    batches: Batches,
    orders: Mapping[int, Order],
    write: Callable[[Mapping[int, Order]], None],
    absent: WrittenItem,
) -> None:
    """`write`: those whose id and version are the occurrence's own; `absent`: the outcome where the series has no
    such occurrence."""
    written: set[str] = set()
    for turn in turns(orders):
        with batches.asking(turn):
            there = _resolved(talk, batches, turn, written, absent)
            write(there)
            for number in there:
                batches.note([number], _of_series(batches.found[number], turn[number].id))
        written |= {each.id for each in turn.values()}


def _of_series(written: WrittenItem, series_id: str) -> WrittenItem:
    """The server tells the occurrence's new version and not the series', so that one comes with the next changes.
    If the occurrence went meanwhile, the series is another than was decided upon, and not gone."""
    if written.outcome is Outcome.DONE:
        return replace(written, id=series_id, version="")
    return WrittenItem(Outcome.STALE) if written.outcome is Outcome.GONE else written


def turns(orders: Mapping[int, Order]) -> Iterator[dict[int, Order]]:
    """At most one occurrence of each series at a time."""
    left = dict(orders)
    while left:
        turn: dict[str, int] = {}
        for number, each in left.items():
            turn.setdefault(each.id, number)
        yield {number: left.pop(number) for number in turn.values()}


def _resolved(
    talk: Conversation,
    batches: Batches,
    turn: Mapping[int, Order],
    written: set[str],
    absent: WrittenItem,
) -> dict[int, Order]:
    """After the first occurrence of a series was written, its version is by ourselves."""
    wanted = [
        series.Wanted(each.id, "" if each.id in written else each.version, each.original)
        for each in turn.values()
        if each.original is not None
    ]
    found: dict[int, Order] = {}
    for number, each in zip(turn, series.resolve(talk, wanted), strict=True):
        if not isinstance(each, series.Occurrence):
            batches.note([number], each or replace(absent, id=turn[number].id))
        else:
            found[number] = replace(turn[number], id=each.id, version=each.version)
    return found


def _as_items(changes: Mapping[int, Change]) -> dict[int, Change]:
    """An occurrence is an appointment, and carries its series' link."""
    return {
        number: replace(each, kind=ItemKind.APPOINTMENT, link=None)
        for number, each in changes.items()
    }
