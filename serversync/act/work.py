"""One pair on its way through a cycle."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import UUID

from mailboxes.protocols.errors import MessageError
from mailboxes.protocols.items import CALENDAR, CONTACTS, TASKS, ItemKind, ServerItem
from serversync.act.types import Decision, ItemFacts, Pair, Question, RecordFacts, Side, Table
from serversync.models import ExchangeSyncIdMapping

Link = ExchangeSyncIdMapping

FOLDER_OF = {
    ItemKind.APPOINTMENT: CALENDAR,
    ItemKind.SERIES: CALENDAR,
    ItemKind.CONTACT: CONTACTS,
    ItemKind.TASK: TASKS,
}
#: After a creation without an answer: a server may take its time until it finds it.
LOOK_FOR_IT = timedelta(minutes=5)
TABLE_OF = {
    ItemKind.APPOINTMENT: Table.APPOINTMENT,
    ItemKind.SERIES: Table.RECURRING_APPOINTMENT,
    ItemKind.CONTACT: Table.CONTACT,
    ItemKind.TASK: Table.TASK,
}


@dataclass(slots=True)
class Work:
    """One pair on its way. `item`: as fetched now, None if it wasn't fetched; `unreadable`: why it could not
    be. `question`, `about`: what must be asked before the two are linked, and keys of what it is about. `waits`:
    until another question is answered, or another mailbox has heard of its meeting. `alike`: records of the same meeting that were there when it was looked for
    them. `has_files`: its files are to be compared, now that it is equal (R6.34)."""

    link: Link
    table: Table
    store: Side | None = None
    server: Side | None = None
    record: RecordFacts = field(default_factory=RecordFacts)
    facts: ItemFacts = field(default_factory=ItemFacts)
    item: ServerItem | None = None
    unreadable: MessageError | None = None
    question: Question | None = None
    about: dict[str, Any] = field(default_factory=dict)
    waits: bool = False
    alike: frozenset[UUID] | None = None
    has_files: bool = False
    pair: Pair | None = None
    decision: Decision = field(default_factory=Decision)


def key_of(text: str) -> UUID | None:
    """The key that is written on an item, if it may be one of ours."""
    try:
        return UUID(text)
    except ValueError:
        return None
