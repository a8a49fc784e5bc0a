"""The organizer's side: what is noted on the item before it is stored, and who hears of it afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass

from serversync.sandbox.ews.appointments import ATTENDEES, attendees, is_moved, is_organizers
from serversync.sandbox.ews.meetings import NOBODY
from serversync.sandbox.ews.meetings.attending import send
from serversync.sandbox.ews.meetings.messages import (
    CANCELLATION,
    REQUEST,
    UPDATE,
    about,
    original_of,
    save_copy,
    set_text,
)
from serversync.sandbox.ews.site import Site
from serversync.sandbox.ews.soap import Element, T, truth
from serversync.sandbox.ews.store import Account, Item, NewItem

TO_CHANGED = ("SendOnlyToChanged", "SendToChangedAndSaveCopy")
WITH_COPY = ("SendToAllAndSaveCopy", "SendToChangedAndSaveCopy")


@dataclass(frozen=True)
class Said:
    """`whom`: the request's word for who is told; `body`: words of the organizer instead of the meeting's."""

    whom: str
    body: Element | None = None

    @property
    def keeps_copy(self) -> bool:
        return self.whom in WITH_COPY


# -- created -----------------------------------------------------------------------------------------


def prepare_new(item: NewItem, whom: str) -> None:
    """Before it is stored."""
    if whom != NOBODY and attendees(item):
        _note_sent(item)


def _note_sent(item: NewItem | Item) -> None:
    set_text(item.element, "MeetingRequestWasSent", "true")
    item.is_draft = False


def created(site: Site, item: Item, whom: str) -> None:
    if whom != NOBODY and attendees(item):
        _tell(site, item, REQUEST, attendees(item), Said(whom))


# -- changed -----------------------------------------------------------------------------------------


def prepare_changed(item: Item, before: Element, whom: str) -> None:
    """Before it is stored. Another time makes it another version of the meeting, which nobody has
    answered yet."""
    if whom == NOBODY or not is_organizers(item) or not attendees(item):
        return
    was_sent = truth(before.findtext(f"{T}MeetingRequestWasSent"))
    if was_sent and is_moved(before, item.element):
        _next_version(item)
        if whom not in TO_CHANGED:
            _forget_answers(item)
    _note_sent(item)


def _next_version(item: Item) -> None:
    number = int(item.text("AppointmentSequenceNumber") or 0) + 1
    set_text(item.element, "AppointmentSequenceNumber", str(number))


def _forget_answers(item: Item) -> None:
    for tag in ATTENDEES:
        for person in item.element.iterfind(f"{T}{tag}/{T}Attendee"):
            set_text(person, "ResponseType", "Unknown")
            for old in person.findall(f"{T}LastResponseTime"):
                person.remove(old)


def changed(site: Site, item: Item, before: Element, whom: str) -> None:
    """`before`: the item's element before the change."""
    if whom == NOBODY or not is_organizers(item):
        return
    old = _attendees_of(before)
    now = [address.lower() for address in attendees(item)]
    gone = [address for address in old if address not in now]
    added = [address for address in now if address not in old]
    told = Said(whom)
    if gone:
        _tell(site, item, CANCELLATION, gone, told)
    if whom not in TO_CHANGED:
        known = [address for address in now if _was_invited(site, item, address)]
        significant = is_moved(before, item.element)
        if known:
            _tell(site, item, UPDATE, known, told, significant=significant)
        added = [address for address in now if address not in known]
    if added:
        _tell(site, item, REQUEST, added, told)


def _attendees_of(element: Element) -> list[str]:
    shown = NewItem(tag="CalendarItem", item_class="", element=element)
    return [address.lower() for address in attendees(shown)]


def _was_invited(site: Site, item: Item, address: str) -> bool:
    account = site.store.account(address)
    names = {
        address.lower(),
        *(account.members if account else ()),
        account.address if account else "",
    }
    invited = False
    for mail in site.store.meeting_mail_of(item.text("UID")):
        if mail.recipient in names and mail.original in (0, original_of(item)):
            invited = mail.kind in (REQUEST, UPDATE) or (invited and mail.kind != CANCELLATION)
    return invited


# -- called off --------------------------------------------------------------------------------------


def called_off(site: Site, item: Item, told: Said) -> None:
    """Before it is deleted."""
    was_sent = truth(item.text("MeetingRequestWasSent"))
    if told.whom == NOBODY or not is_organizers(item) or not was_sent:
        return
    if people := attendees(item):
        sequence = int(item.text("AppointmentSequenceNumber") or 0) + 1
        _tell(site, item, CANCELLATION, people, told, sequence=sequence)


def _tell(
    site: Site,
    item: Item,
    kind: str,
    people: Sequence[str],
    told: Said,
    *,
    significant: bool = True,
    sequence: int | None = None,
) -> None:
    """One mail to all of them but the organizer."""
    organizer = site.store.account_of(item.account)
    assert organizer is not None
    recipients = _others(organizer, people)
    if not recipients:
        return
    notice = about(
        site,
        kind,
        organizer,
        item,
        recipients,
        significant=significant,
        sequence=sequence,
        body=told.body,
    )
    send(site, notice)
    if told.keeps_copy:
        save_copy(site, notice)


def _others(organizer: Account, people: Sequence[str]) -> list[str]:
    own = (organizer.address, *organizer.aliases)
    return list(dict.fromkeys(one.lower() for one in people if one.lower() not in own))
