"""One occurrence of a series: which item stands for it now.

A changed occurrence is named by the series itself. Any other is looked for in a view of the calendar at the time
at which it would have begun, so that the server's own arithmetic counts and not ours: of what overlaps that moment
it is the one with the series' uid and that start. Either way its id and version are fresh.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from exchangelib import errors as codes

from mailboxes.protocols.ews import messages
from mailboxes.protocols.ews.conversation import Conversation
from mailboxes.protocols.ews.items import outcomes, shapes, times, zones
from mailboxes.protocols.ews.items.fetching import deleted, item_of, modified
from mailboxes.protocols.ews.items.paths import Path
from mailboxes.protocols.ews.operations import (
    Answer,
    Element,
    FindItem,
    GetItem,
    M,
    T,
    item_ids,
    message_space,
    shape,
    timestamp,
    type_space,
)
from mailboxes.protocols.items import Outcome, WrittenItem
from mailboxes.protocols.phases import Phase

SERIES = (
    shapes.UID,
    shapes.PARENT,
    *times.ASKED,
    Path("calendar:ModifiedOccurrences"),
    Path("calendar:DeletedOccurrences"),
)
OCCURRENCE = (shapes.UID, times.START, Path("calendar:OriginalStart"))
A_MOMENT = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Wanted:
    """`version`: of the series; "": whichever it has now."""

    series: str
    version: str
    original: datetime


@dataclass(frozen=True, slots=True)
class Occurrence:
    id: str
    version: str


def resolve(talk: Conversation, wanted: Sequence[Wanted]) -> list[Occurrence | WrittenItem | None]:
    """In that order. An outcome where nothing can be written to the series; None where it has no such
    occurrence, or no longer."""
    answers = _masters(talk, list(dict.fromkeys(each.series for each in wanted)))
    return [_resolve(talk, each, answers[each.series]) for each in wanted]


def _masters(talk: Conversation, ids: Sequence[str]) -> dict[str, Answer]:
    build = talk.access.open().version.build
    known = [path for path in SERIES if path.known_to(build)]

    def ask(part: Sequence[str]) -> list[Answer]:
        paths = (path.element() for path in known)
        return talk.ask(Phase.APPLY, GetItem, shape("ItemShape", *paths), item_ids(part))

    answers = talk.ask_each(Phase.APPLY, ids, ask)
    for identifier, answer in answers.items():
        talk.check_item(Phase.APPLY, identifier, answer)
    return answers


def _resolve(talk: Conversation, wanted: Wanted, answer: Answer) -> Occurrence | WrittenItem | None:
    if isinstance(answer, codes.EWSError):
        return outcomes.of_refusal(talk, answer)
    master = item_of(answer)
    if master is None:
        return WrittenItem(Outcome.GONE)
    if wanted.version and shapes.version_of(master) != wanted.version:
        return WrittenItem(Outcome.STALE)
    for each in modified(master):
        if times.original(each, "OriginalStart", master) == wanted.original:
            return _by_id(talk, messages.id_of(each))
    if any(times.original(each, "Start", master) == wanted.original for each in deleted(master)):
        return None
    return _in_view(talk, wanted, master)


def _by_id(talk: Conversation, identifier: str) -> Occurrence | WrittenItem:
    """With the version that it has now, which the series doesn't tell."""
    answer = talk.ask_one(Phase.APPLY, GetItem, shape("ItemShape"), item_ids([identifier]))
    if isinstance(answer, codes.EWSError):
        refused = outcomes.of_refusal(talk, answer)
        meanwhile = refused.outcome is Outcome.GONE
        return WrittenItem(Outcome.STALE) if meanwhile else refused
    item = item_of(answer)
    if item is None:
        return WrittenItem(Outcome.STALE)
    return Occurrence(identifier, shapes.version_of(item))


def _in_view(
    talk: Conversation, wanted: Wanted, master: Element
) -> Occurrence | WrittenItem | None:
    begins = _begins(wanted.original, master)
    answer = talk.ask_one(
        Phase.APPLY,
        FindItem,
        shape("ItemShape", *(path.element() for path in OCCURRENCE)),
        M.CalendarView(StartDate=timestamp(begins), EndDate=timestamp(begins + A_MOMENT)),
        M.ParentFolderIds(T.FolderId(Id=messages.id_of(master, "ParentFolderId"))),
        Traversal="Shallow",
    )
    if isinstance(answer, codes.EWSError):
        return outcomes.of_refusal(talk, answer)
    uid = shapes.uid_of(master)
    for item in answer.iterfind(f"{message_space}RootFolder/{type_space}Items/*"):
        if shapes.uid_of(item) == uid and _original(item, master) == wanted.original:
            return Occurrence(messages.id_of(item), shapes.version_of(item))
    return None


def _begins(original: datetime, master: Element) -> datetime:
    """All day: midnight in the series' zone."""
    if not shapes.is_all_day(master):
        return original
    return original.replace(tzinfo=zones.clock(times.zone_of(master)))


def _original(item: Element, master: Element) -> datetime | None:
    name = "OriginalStart" if messages.text(item, "OriginalStart") else "Start"
    return times.original(item, name, master)
