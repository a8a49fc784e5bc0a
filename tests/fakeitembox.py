"""The account behind fake items servers: a calendar, contacts and tasks, what changed when, and whom the
server mailed. A test plays the person, or another client, who works in it.

Folders are CALENDAR, CONTACTS, TASKS, or ids that `add_folder` gives. Accounts of one `site` invite each other.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from mailboxes.protocols.errors import FolderMissing
from mailboxes.protocols.items import (
    CALENDAR,
    CONTACTS,
    FIELDS,
    MAIN_FOLDERS,
    TASKS,
    Answer,
    Fields,
    Importance,
    ItemFile,
    ItemKind,
    Marker,
    Person,
    Response,
    Sensitivity,
    Shape,
    ShowAs,
    TaskProgress,
    Tell,
    Value,
    When,
)

FIRST_WRITTEN_AT = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
TRASH = "\\Trash"

EMPTY: dict[Shape, Value] = {
    Shape.TEXT: "",
    Shape.LINES: "",
    Shape.FLAG: False,
    Shape.PEOPLE: (),
    Shape.ANSWERS: (),
    Shape.WORDS: frozenset(),
}
#: What a server puts where nothing was said.
DEFAULTS: dict[str, Value] = {
    "importance": Importance.NORMAL,
    "sensitivity": Sensitivity.NORMAL,
    "show_as": ShowAs.BUSY,
    "status": TaskProgress.NOT_STARTED,
    "percent_complete": 0,
    "mailing_address": "",
}
#: What only the server knows; writing it is ignored.
SERVERS_OWN = frozenset({"organizer", "answers", "is_cancelled", "is_recurring", "is_assigned"})
MEETINGS = frozenset({ItemKind.APPOINTMENT, ItemKind.SERIES})
HOLDER = {ItemKind.CONTACT: CONTACTS, ItemKind.TASK: TASKS}


@dataclass(frozen=True, slots=True)
class Mail:
    """What the server sent by itself: "invitation", "update" or "cancellation"."""

    what: str
    uid: str
    recipients: tuple[str, ...]
    original: datetime | None = None


@dataclass
class StoredItem:
    """One item. `kind` None: a distribution list or the like. `exceptions`: of a series, by their original
    start; None: deleted. `placed`, `changed`: ticks of the account."""

    id: str
    kind: ItemKind | None
    folder: str
    fields: dict[str, Value]
    link: str = ""
    uid: str = ""
    exceptions: dict[datetime, dict[str, Value] | None] = field(default_factory=dict)
    files: dict[str, ItemFile] = field(default_factory=dict)
    placed: int = 0
    changed: int = 0
    modified_at: datetime = FIRST_WRITTEN_AT

    @property
    def version(self) -> str:
        return f"v{self.changed}"

    @property
    def attendees(self) -> tuple[str, ...]:
        return addresses(self.fields)


class FakeItemsAccount:
    """`now`: the time of what happens next; None: each event is a minute later. `clock_behind`: by how much the
    server's clock is slow. `epoch`: of the cursors. `mails`: what was sent, in order. `replaced`: what an attendee's
    copy held before its organizer's mail was written over it. `writes`: how often
    something was written over the wire, item by item."""

    def __init__(
        self, address: str = "ada@example.com", site: "dict[str, FakeItemsAccount] | None" = None
    ) -> None:
        self.address = address
        self.site = {} if site is None else site
        self.site[address] = self
        self.now: datetime | None = None
        self.clock_behind = timedelta()
        self.epoch = 1
        self.forgotten: set[int] = set()
        self.tick = 0
        self.mails: list[Mail] = []
        self.replaced: list[Value] = []
        self.marker: Marker | None = None
        self.may_mark = True
        self.folders: dict[str, str] = dict(zip(MAIN_FOLDERS, MAIN_FOLDERS, strict=True))
        self.names: dict[str, str] = {}
        self.items: dict[str, StoredItem] = {}
        self.deleted: dict[str, StoredItem] = {}
        self.left: dict[str, list[tuple[int, str, int]]] = {}

    # -- what people do

    def add(
        self,
        kind: ItemKind | None,
        folder: str = "",
        *,
        link: str = "",
        uid: str = "",
        **fields: Value,
    ) -> str:
        """A new item, made by hand; returns its id. It invites nobody."""
        item = StoredItem("", kind, folder or HOLDER.get(kind, CALENDAR) if kind else CONTACTS, {})
        item.folder = folder or item.folder
        item.fields = self.whole(kind, fields) if kind else dict(fields)
        item.link = link
        item.uid = uid or (f"uid-{self.tick + 1}@{self.address}" if kind in MEETINGS else "")
        self._place(item)
        return item.id

    def receive(
        self, organizer: str, kind: ItemKind = ItemKind.APPOINTMENT, *, uid: str, **fields: Value
    ) -> str:
        """An invitation by somebody else, put into the calendar."""
        invited = {"required": (Person(self.address),), "show_as": ShowAs.TENTATIVE} | fields
        identifier = self.add(kind, uid=uid, **invited)
        self.items[identifier].fields["organizer"] = Person(organizer)
        return identifier

    def edit(self, identifier: str, **fields: Value) -> None:
        item = self.items[identifier]
        self.write(item, fields)
        self._changed(item)

    def edit_occurrence(self, identifier: str, original: datetime, **fields: Value) -> None:
        item = self.items[identifier]
        self.write_occurrence(item, original, fields)
        self._changed(item)

    def delete_occurrence(self, identifier: str, original: datetime) -> None:
        item = self.items[identifier]
        item.exceptions[original] = None
        self._changed(item)

    def remove(self, identifier: str) -> None:
        """Into the deleted items, where it has another id."""
        item = self._take(identifier)
        item.folder = TRASH
        item.id = f"{identifier}-deleted"
        self.deleted[item.id] = item

    def move(self, identifier: str, folder: str) -> str:
        """Returns the new id: none survives a move."""
        item = self._take(identifier)
        item.folder = folder
        self._place(item)
        return item.id

    def copy(self, identifier: str, folder: str = "") -> str:
        """Copies carry link and uid."""
        item = self.items[identifier]
        made = replace(
            item,
            folder=folder or item.folder,
            fields=dict(item.fields),
            exceptions=dict(item.exceptions),
            files=dict(item.files),
        )
        self._place(made)
        return made.id

    def touch(self, identifier: str) -> None:
        """A change that no field shows: the version alone."""
        self._changed(self.items[identifier])

    def categorize(self, identifier: str, *names: str) -> None:
        self.edit(identifier, categories=frozenset(names))

    def answer(self, identifier: str, address: str, response: Response) -> None:
        """An attendee's answer arrives."""
        item = self.items[identifier]
        others = [each for each in _answers(item.fields) if each.address != address]
        item.fields["answers"] = (*others, Answer(address, response, self.time()))
        self._changed(item)

    def attach(self, identifier: str, file: ItemFile) -> str:
        item = self.items[identifier]
        self._changed(item)
        made = f"file-{self.tick}"
        item.files[made] = replace(file, id=made, size=len(file.content or b""))
        return made

    def add_folder(self, name: str, below: str = CALENDAR) -> str:
        identifier = f"folder-{len(self.folders)}"
        self.folders[identifier] = self.folders[below]
        self.names[identifier] = name
        return identifier

    # -- cursors

    def forget_cursors(self, *, silently: bool = False) -> None:
        """As after a restored backup: everything comes again. `silently`: and nothing says so."""
        if silently:
            self.forgotten.add(self.epoch)
        self.epoch += 1

    # -- looking

    def held(self, folder: str) -> list[StoredItem]:
        if folder not in self.folders:
            raise FolderMissing(f"no folder {folder}")
        return [item for item in self.items.values() if item.folder == folder]

    def named(self, subject: str) -> StoredItem:
        """The one item of this subject, or contact of this display name."""
        names = ("subject", "display_name")
        (found,) = (
            item
            for item in self.items.values()
            if subject in [item.fields.get(name) for name in names]
        )
        return found

    def occurrence(self, item: StoredItem, original: datetime) -> dict[str, Value] | None:
        """Whole, as it would be shown; None: deleted."""
        if original in item.exceptions:
            return item.exceptions[original]
        when = item.fields["when"]
        assert isinstance(when, When)
        moved = replace(when, start=original, end=original + (when.end - when.start))
        plain = {name: item.fields[name] for name in FIELDS[ItemKind.APPOINTMENT]}
        return plain | {"when": moved, "categories": item.fields["categories"]}

    def is_organizer(self, item: StoredItem) -> bool:
        organizer = item.fields.get("organizer")
        return not isinstance(organizer, Person) or organizer.address == self.address

    def time(self) -> datetime:
        """By the server's clock."""
        return (self.now or FIRST_WRITTEN_AT + timedelta(minutes=self.tick)) - self.clock_behind

    # -- what the server does

    def whole(self, kind: ItemKind, fields: Fields) -> dict[str, Value]:
        """All fields of the kind, with what the server adds."""
        known = {name: DEFAULTS.get(name, EMPTY.get(shape)) for name, shape in FIELDS[kind].items()}
        made = known | {name: value for name, value in fields.items() if name in known}
        if kind in MEETINGS:
            made["organizer"] = Person(self.address)
        settle(made, fields)
        return made

    def write(self, item: StoredItem, fields: Mapping[str, Value]) -> None:
        self._set(item, item.fields, fields)
        if item.kind is ItemKind.SERIES and {"when", "recurrence"} & set(fields):
            item.exceptions.clear()  # as Exchange does when the pattern changes

    def write_occurrence(
        self, item: StoredItem, original: datetime, fields: Mapping[str, Value]
    ) -> bool:
        """False: it was deleted."""
        occurrence = self.occurrence(item, original)
        if occurrence is None:
            return False
        item.exceptions[original] = changed = dict(occurrence)
        self._set(item, changed, fields)
        return True

    def _set(self, item: StoredItem, target: dict[str, Value], fields: Mapping[str, Value]) -> None:
        if item.kind is None:
            target.update(fields)
            return
        known = FIELDS[item.kind]
        target.update({name: value for name, value in fields.items() if name in known})
        settle(target, fields)

    def note(self, item: StoredItem) -> None:
        """A write over the wire."""
        self._changed(item)

    def enter(self, item: StoredItem) -> None:
        self._place(item)

    def tell(
        self,
        item: StoredItem,
        whom: Tell,
        before: Iterable[str],
        after: Iterable[str],
        original: datetime | None = None,
    ) -> None:
        """Mails about a change of attendees from `before` to `after`: an empty `before` is a new
        meeting, an empty `after` one that is called off. Nothing goes out for an attendee."""
        was, now = list(before), list(after)
        if whom is Tell.NOBODY or not self.is_organizer(item):
            return
        self._mail("invitation", item, [each for each in now if each not in was], original)
        self._mail("cancellation", item, [each for each in was if each not in now], original)
        if whom is Tell.ALL:
            self._mail("update", item, [each for each in now if each in was], original)

    def _mail(self, what: str, item: StoredItem, to: list[str], original: datetime | None) -> None:
        if not to:
            return
        self.mails.append(Mail(what, item.uid, tuple(to), original))
        for address in to:
            if address in self.site and address != self.address:
                self.site[address]._take_mail(what, item, self.address, original)

    def _take_mail(
        self, what: str, sent: StoredItem, organizer: str, original: datetime | None
    ) -> None:
        """What Exchange does with an invitation by itself: it puts the meeting into the calendar."""
        assert sent.kind is not None
        found = [item for item in self.items.values() if sent.uid and item.uid == sent.uid]
        personal = {"categories", "reminder", "show_as", "answers", "organizer"}
        content = {name: each for name, each in sent.fields.items() if name not in personal}
        if not found:
            identifier = self.receive(organizer, sent.kind, uid=sent.uid, **content)
            self.items[identifier].exceptions = dict(sent.exceptions)
            return
        for item in found:
            self.replaced += item.fields.values()
            self.replaced += [
                each for own in item.exceptions.values() if own for each in own.values()
            ]
            item.fields |= content if what != "cancellation" or original else {"is_cancelled": True}
            item.exceptions = dict(sent.exceptions)
            self._changed(item)

    # -- inside

    def _place(self, item: StoredItem) -> None:
        if item.folder not in self.folders:
            raise FolderMissing(f"no folder {item.folder}")
        self._changed(item)
        item.placed = item.changed
        item.id = f"item-{item.placed}"
        self.items[item.id] = item

    def _take(self, identifier: str) -> StoredItem:
        item = self.items.pop(identifier)
        self.tick += 1
        self.left.setdefault(item.folder, []).append((self.tick, identifier, item.placed))
        return item

    def _changed(self, item: StoredItem) -> None:
        self.tick += 1
        item.changed = self.tick
        item.modified_at = self.time()


def addresses(fields: Mapping[str, Value]) -> tuple[str, ...]:
    """Of the attendees."""
    people: list[Person] = []
    for name in ("required", "optional"):
        some = fields.get(name)
        if isinstance(some, tuple):
            people += [each for each in some if isinstance(each, Person)]
    return tuple(dict.fromkeys(each.address for each in people))


def _answers(fields: Mapping[str, Value]) -> list[Answer]:
    known = fields.get("answers") or ()
    assert isinstance(known, tuple)
    return [each for each in known if isinstance(each, Answer)]


def settle(item: dict[str, Value], said: Mapping[str, Value]) -> None:
    """What servers keep in step: answers with attendees, status with percentage and completion, and a
    due date with a start (R6.38)."""
    if "answers" in item:
        given = {each.address: each for each in _answers(item)}
        item["answers"] = tuple(
            given.get(each, Answer(each, Response.NONE)) for each in addresses(item)
        )
    if "status" in item:
        settle_progress(item, said)
        if item["start"] is not None and item["due"] is None:
            item["due"] = item["start"]


def settle_progress(task: dict[str, Value], said: Mapping[str, Value]) -> None:
    """In the order in which it was said: the last word counts."""
    for name in said:
        if name == "status":
            done = task[name] == TaskProgress.COMPLETED
            task["percent_complete"] = 100 if done else _below_hundred(task["percent_complete"])
        elif name == "percent_complete":
            task["status"] = _status_at(task[name], task["status"])
        elif name == "completed" and task[name] is not None:
            task["status"], task["percent_complete"] = TaskProgress.COMPLETED, 100
    if task["status"] != TaskProgress.COMPLETED:
        task["completed"] = None
    elif task["completed"] is None:
        task["completed"] = FIRST_WRITTEN_AT.date()


def _below_hundred(percent: Value) -> Value:
    return 0 if percent == 100 else percent


def _status_at(percent: Value, before: Value) -> Value:
    if percent == 100:
        return TaskProgress.COMPLETED
    if not percent:
        return TaskProgress.NOT_STARTED
    started = before not in (TaskProgress.COMPLETED, TaskProgress.NOT_STARTED)
    return before if started else TaskProgress.IN_PROGRESS
