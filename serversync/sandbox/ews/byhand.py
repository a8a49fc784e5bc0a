"""What people do in their calendars, contacts and tasks by other means: a program of their own, a phone.

    exchange.add(ADA, "CalendarItem", subject="Review", start=nine, end=ten, required_attendees=[BEN], tell=True)
    exchange.add(ADA, "Contact", given_name="Rita", phone_numbers={"MobilePhone": "1"})
    exchange.change(exchange.occurrence(series, 2), subject="Moved", start=noon, end=one)

Properties are named as the schema has them, in snake case; None takes one away. Values are plain: text,
numbers, dates, times, lists, a dictionary for indexed entries, a `Recurrence`.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal

from exchangelib.winzone import IANA_TO_MS_TIMEZONE_MAP
from lxml import etree

from mailboxes.recurrence import Recurrence
from serversync.sandbox.ews import appointments, occurrences, paths, tasks, timezones
from serversync.sandbox.ews.differences import changed_paths
from serversync.sandbox.ews.meetings import NOBODY, organizing, responding
from serversync.sandbox.ews.occurrences import Occurrence
from serversync.sandbox.ews.series import written_recurrence
from serversync.sandbox.ews.settling import settle, settle_change
from serversync.sandbox.ews.site import Site
from serversync.sandbox.ews.soap import Element, T, boolean, make, stamp
from serversync.sandbox.ews.store import Account, Attachment, Folder, Item, NewItem, Store
from serversync.sandbox.ews.tables import MeetingMail

HOME = {
    "CalendarItem": "calendar",
    "Contact": "contacts",
    "DistributionList": "contacts",
    "Task": "tasks",
}
ALL = "SendToAllAndSaveCopy"


class ByHand:
    """Part of `Exchange`."""

    store: Store
    site: Site

    def account(self, address: str) -> Account:
        raise NotImplementedError

    def folder(self, address: str, folder: str = "inbox") -> Folder:
        raise NotImplementedError

    def add(
        self,
        address: str,
        tag: str,
        *,
        folder: str = "",
        categories: Sequence[str] = (),
        extended: Mapping[str, list[str]] | None = None,
        files: Mapping[str, bytes] | None = None,
        tell: bool = False,
        **properties: object,
    ) -> Item:
        """`tag`: CalendarItem, Contact or Task; `extended`: values by their keys (see `extended.py`);
        `files`: attachments by name; `tell`: attendees are invited."""
        account = self.account(address)
        item = NewItem(
            tag=tag, item_class=paths.CLASS_OF_TAG[tag][0], element=etree.Element(T + tag)
        )
        item.categories, item.extended = list(categories), dict(extended or {})
        item.attachments = [
            Attachment("FileAttachment", name, content) for name, content in (files or {}).items()
        ]
        names = _apply(item, properties)
        whom = ALL if tell else NOBODY
        if tag == "CalendarItem":
            organizing.prepare_new(item, whom)
        settle(item, account, _paths(tag, names))
        item.size = len(etree.tostring(item.element))
        with self.store.writing():
            added = self.store.add_item(self.folder(address, folder or HOME[tag]), item)
            if tag == "CalendarItem":
                organizing.created(self.site, added, whom)
        return added

    def change(
        self,
        item: Item,
        *,
        categories: Sequence[str] | None = None,
        tell: bool = False,
        **properties: object,
    ) -> Item:
        """Also of an occurrence. `tell`: attendees hear of it. Returns it anew."""
        owner = self.store.account_of(item.account)
        assert owner is not None
        before = etree.fromstring(etree.tostring(item.element))
        written = _paths(item.tag, _apply(item, properties))
        changed = [*dict.fromkeys([*written, *changed_paths(item.tag, before, item.element)])]
        if categories is not None:
            item.categories = list(categories)
            changed.append("item:Categories")
        whom = ALL if tell else NOBODY
        with self.store.writing():
            stored = settle_change(self.store, item, owner, before, changed, whom)
            if item.tag == "CalendarItem":
                organizing.changed(self.site, stored, before, whom)
        return stored

    def occurrence(self, series: Item, index: int) -> Occurrence:
        """By its place in the pattern, from 1. Raises Refusal."""
        return occurrences.by_index(self.store, series, index)

    def named(self, address: str, name: str) -> Item:
        """The item in calendar, contacts or tasks with this subject or name. Raises LookupError."""
        for folder in dict.fromkeys(HOME.values()):
            for item in self.store.items(self.folder(address, folder).id):
                if name in (item.text("Subject"), item.text("DisplayName")):
                    return item
        raise LookupError(f"{address} has no {name!r}")

    def again(self, item: Item) -> Item | None:
        """The item as it is now; None if it is gone."""
        return self.store.item(item.id)

    def delete(self, item: Item, *, tell: bool = False) -> None:
        """Into Deleted Items, as programs of people do. `tell`: attendees get a cancellation."""
        whom = ALL if tell else NOBODY
        with self.store.writing():
            if item.tag == "CalendarItem":
                organizing.called_off(self.site, item, organizing.Said(whom))
                responding.declined_by_deleting(self.site, item, whom)
            self._delete(item)

    def _delete(self, item: Item) -> Item:
        if isinstance(item, Occurrence):
            occurrences.delete(self.store, item)
            return item
        target = self.store.distinguished(item.account, "deleteditems")
        assert target is not None
        return self.store.move_item(item, target, keep_id=self.site.quirks.immutable_ids)

    def copy(self, item: Item, folder: str = "") -> Item:
        """Beside it, or into another folder of the same account."""
        owner = self.store.account_of(item.account)
        assert owner is not None
        target = self.folder(owner.address, folder) if folder else self.store.folder(item.folder)
        assert target is not None
        return self.store.copy_item(item, target)

    def answer(self, item: Item, answer: str, *, tell: bool = True) -> Item:
        """`answer`: Accept, Tentative or Decline, by an attendee. Returns the item anew."""
        with self.store.writing():
            return responding.respond(self.site, item, answer, sends=tell, delete=self._delete)

    def assign(self, task: Item, to: str) -> Item:
        """Have somebody with an account here do a task. Returns what the assignee has."""
        assignee, owner = self.account(to), self.store.account_of(task.account)
        assert owner is not None
        tasks.assign(task, assignee.name, "OwnNew")
        with self.store.writing():
            kept = self.store.change_item(task, paths=["task:Owner", "task:DelegationState"])
            copy = NewItem(
                tag="Task",
                item_class=kept.item_class,
                element=tasks.delegated(kept.element, owner.name),
                size=kept.size,
            )
            return self.store.add_item(self.folder(assignee.address, "tasks"), copy)

    def meeting_mail(self, **fitting: object) -> list[MeetingMail]:
        """What meetings have sent, oldest first; only rows with these values (kind="request")."""
        return [
            mail
            for mail in self.store.meeting_mail()
            if all(getattr(mail, name) == value for name, value in fitting.items())
        ]


# -- plain values as properties ------------------------------------------------------------------------


def _apply(item: Item | NewItem, properties: Mapping[str, object]) -> list[str]:
    """Returns the names of the elements."""
    names = [_name(item.tag, given) for given in properties]
    for name, value in zip(names, properties.values(), strict=True):
        for old in item.element.findall(T + name):
            item.element.remove(old)
        if value is None:
            continue
        if name in appointments.ATTENDEES:
            appointments.set_attendees(item, property_element(name, value))
        else:
            item.element.append(property_element(name, value))
    return names


def _name(tag: str, given: str) -> str:
    """Raises ValueError."""
    wanted = given.replace("_", "").lower()
    for path in paths.BY_TAG[tag]:
        if paths.element_name(path).lower() == wanted:
            return paths.element_name(path)
    raise ValueError(f"a {tag} has no {given}")


def _paths(tag: str, names: Sequence[str]) -> list[str]:
    known = {paths.element_name(path): path for path in paths.BY_TAG[tag]}
    return [known[name] for name in names]


def property_element(name: str, value: object) -> Element:
    """Raises TypeError for a value of no use."""
    if isinstance(value, Recurrence):
        return written_recurrence(value)
    if name in ("StartTimeZone", "EndTimeZone"):
        return make(T + name, Id=windows_zone(str(value)))
    if name == "Body":
        kind = "HTML" if str(value).lstrip().lower().startswith("<html") else "Text"
        return make(f"{T}Body", str(value), BodyType=kind)
    if isinstance(value, Mapping):
        return make(T + name, *(_entry(str(key), inner) for key, inner in value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return make(T + name, *(_one_of(name, str(inner)) for inner in value))
    return make(T + name, _text(value))


def windows_zone(name: str) -> str:
    """Also of an IANA name."""
    if timezones.rules(name) is not None or name not in IANA_TO_MS_TIMEZONE_MAP:
        return name
    return str(IANA_TO_MS_TIMEZONE_MAP[name][0])


def _entry(key: str, value: object) -> Element:
    if isinstance(value, Mapping):
        parts = (make(T + str(name), str(text)) for name, text in value.items())
        return make(f"{T}Entry", *parts, Key=key)
    return make(f"{T}Entry", str(value), Key=key)


def _one_of(name: str, value: str) -> Element:
    if name in appointments.ATTENDEES:
        return appointments.attendee("", value)
    return make(f"{T}String", value)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return boolean(value)
    if isinstance(value, datetime):
        return stamp(value)
    if isinstance(value, date):
        return f"{value.isoformat()}T00:00:00Z"
    if isinstance(value, str | int | float | Decimal):
        return str(value)
    raise TypeError(f"{value!r} is no value of a property")
