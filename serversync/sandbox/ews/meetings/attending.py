"""What arrives in a mailbox about a meeting, and what becomes of it there.

request, update ──> tentative item in the calendar, or the one that is there brought up to date
cancellation ─────> the item is marked as cancelled and stays
response ─────────> the organizer's item knows what the attendee answered
and each is a mail in the inbox
"""

from collections.abc import Iterable
from datetime import UTC, datetime

from lxml import etree

from serversync.sandbox.ews import appointments, mimes, occurrences
from serversync.sandbox.ews.differences import changed_paths
from serversync.sandbox.ews.meetings.messages import (
    CANCELLATION,
    CARRIED,
    RESPONSE,
    Notice,
    cancelled_subject,
    note,
    set_text,
)
from serversync.sandbox.ews.occurrences import Occurrence
from serversync.sandbox.ews.site import Site
from serversync.sandbox.ews.soap import Element, T, children, local, make, moment, stamp
from serversync.sandbox.ews.store import Account, Folder, Item, NewItem, Store
from serversync.sandbox.ews.tables import Exceptional


def send(site: Site, notice: Notice) -> None:
    """To every recipient, wherever they are; members of a list here each get their own."""
    for recipient in _everybody(site, notice.recipients):
        note(site, notice, recipient)
        account = site.store.account(recipient)
        if account is None or not account.has_mailbox:
            assert notice.message.mime is not None
            site.accept_mail(notice.sender.address, [recipient], notice.message.mime)
        else:
            arrive(site, account, notice)


def _everybody(site: Site, recipients: Iterable[str]) -> list[str]:
    found: dict[str, None] = {}
    for recipient in recipients:
        account = site.store.account(recipient)
        if account is not None and account.is_group:
            found |= dict.fromkeys(_everybody(site, account.members))
        else:
            found[account.address if account else recipient.lower()] = None
    return list(found)


def arrive(site: Site, account: Account, notice: Notice) -> None:
    """Into the calendar, then into the inbox."""
    message = copied(notice.message)
    entered = enter(site.store, account, message.element, notice.original)
    if entered is not None:
        if notice.kind not in (CANCELLATION, RESPONSE):
            _take_along(site.store, notice, entered)
        associate(message.element, entered)
    inbox = site.store.distinguished(account.guid, "inbox")
    assert inbox is not None
    site.store.add_item(inbox, message, event="NewMail")


def copied(message: NewItem) -> NewItem:
    return NewItem(
        tag=message.tag,
        item_class=message.item_class,
        element=_copy(message.element),
        received_at=datetime.now(UTC),
        size=message.size,
        mime=message.mime,
        attachments=message.attachments,
    )


def _copy(element: Element) -> Element:
    return etree.fromstring(etree.tostring(element, with_tail=False))


def associate(element: Element, item: Item) -> None:
    identity = make(f"{T}AssociatedCalendarItemId", Id=item.remote_id, ChangeKey=item.change_key)
    appointments.replace(element, identity)
    set_text(element, "HasBeenProcessed", "true")


def enter(store: Store, account: Account, element: Element, original: int) -> Item | None:
    """What a message about a meeting does in the calendar of `account`. None: nothing."""
    tag = local(element)
    uid = element.findtext(f"{T}UID") or ""
    if tag == "MeetingResponse":
        return _note_answer(store, account, element, original)
    known = find(store, account, uid, original)
    if known is not None and appointments.is_organizers(known):
        return None
    if tag == "MeetingCancellation":
        return None if known is None else _call_off(store, known, element)
    if known is None:
        return _add(store, account, element)
    return _bring_up_to_date(store, account, known, element)


def calendar_of(store: Store, account: Account) -> Folder:
    folder = store.distinguished(account.guid, "calendar")
    assert folder is not None
    return folder


def find(store: Store, account: Account, uid: str, original: int = 0) -> Item | None:
    """The meeting in the account's calendar; with `original` that occurrence of it."""
    folder = calendar_of(store, account)
    alike = [item for item in store.items_with(folder.id, uid) if uid and item.text("UID") == uid]
    for item in alike:
        is_series = item.element.find(f"{T}Recurrence") is not None
        if original and is_series:
            return occurrences.by_original(store, item, original)
        began = moment(item.text("RecurrenceId"))
        if original == (int(began.timestamp()) if began else 0):
            return item
    return None


# -- requests --------------------------------------------------------------------------------------


def _add(store: Store, account: Account, element: Element) -> Item | None:
    if not element.findtext(f"{T}Start"):
        return None
    item = NewItem(
        tag="CalendarItem", item_class="IPM.Appointment", element=etree.Element(f"{T}CalendarItem")
    )
    _take_over(item.element, element)
    for name, value in (
        ("MyResponseType", "NoResponseReceived"),
        ("MeetingRequestWasSent", "true"),
        ("LegacyFreeBusyStatus", "Tentative"),
        ("ReminderIsSet", "true"),
    ):
        set_text(item.element, name, value)
    appointments.settle(item, account)
    item.size = len(etree.tostring(item.element))
    return store.add_item(calendar_of(store, account), item)


def _take_over(target: Element, element: Element) -> None:
    """Everything that travels, and nothing that did before."""
    for child in children(target):
        if local(child) in CARRIED:
            target.remove(child)
    for child in children(element):
        if local(child) in CARRIED:
            target.append(_copy(child))


def _bring_up_to_date(store: Store, account: Account, known: Item, element: Element) -> Item | None:
    """A request that is older than what is known changes nothing."""
    if _sequence(known.element) > _sequence(element):
        return None
    before = _copy(known.element)
    _take_over(known.element, element)
    if element.findtext(f"{T}MeetingRequestType") != "InformationalUpdate":
        set_text(known.element, "MyResponseType", "NoResponseReceived")
        set_text(known.element, "LegacyFreeBusyStatus", "Tentative")
    set_text(known.element, "IsCancelled", "false")
    appointments.settle(known, account)
    return write(store, known, before)


def write(store: Store, item: Item, before: Element) -> Item:
    """An item of a meeting, or an occurrence of it, as it is now."""
    changed = changed_paths("CalendarItem", before, item.element)
    if isinstance(item, Occurrence):
        return occurrences.keep(store, item, changed)
    if appointments.is_moved(before, item.element):
        store.drop_exceptions(item.id)
    item.size = len(etree.tostring(item.element))
    return store.change_item(item, paths=changed)


def _sequence(element: Element) -> int:
    return int(element.findtext(f"{T}AppointmentSequenceNumber") or 0)


def _take_along(store: Store, notice: Notice, entered: Item) -> None:
    """Attachments of the meeting; and what is special in a series that is new here."""
    if isinstance(entered, Occurrence):
        return
    for old in store.attachments(entered.id):
        store.remove_attachment(old.id)
    for attachment in notice.message.attachments:
        store.add_attachment(entered, attachment)
    if entered.created == entered.changed:
        special = store.exceptions(notice.item.id)
        store.write_exceptions(entered.id, [_travelling(one) for one in special])


def _travelling(special: Exceptional) -> Exceptional:
    """Without what the organizer keeps to oneself."""
    inside = etree.fromstring(special.properties)
    kept = [etree.tostring(child) for child in inside if local(child) in CARRIED]
    return Exceptional(
        original=special.original,
        is_deleted=special.is_deleted,
        properties=b"<item>" + b"".join(kept) + b"</item>",
        removed=tuple(name for name in special.removed if name in CARRIED),
    )


# -- cancellations -----------------------------------------------------------------------------------


def _call_off(store: Store, known: Item, element: Element) -> Item:
    before = _copy(known.element)
    set_text(known.element, "Subject", cancelled_subject(known.text("Subject")))
    set_text(known.element, "IsCancelled", "true")
    set_text(known.element, "LegacyFreeBusyStatus", "Free")
    set_text(known.element, "AppointmentSequenceNumber", str(_sequence(element)))
    state = appointments.MEETING | appointments.RECEIVED | appointments.CANCELLED
    set_text(known.element, "AppointmentState", str(state))
    return write(store, known, before)


# -- responses ---------------------------------------------------------------------------------------


def _note_answer(store: Store, account: Account, element: Element, original: int) -> Item | None:
    """In the organizer's item, where the attendee is known."""
    uid = element.findtext(f"{T}UID") or ""
    known = find(store, account, uid, original)
    ((_, sender), *_) = mimes.mailboxes(element, "From")
    if known is None or not appointments.is_organizers(known):
        return None
    before = _copy(known.element)
    answer = element.findtext(f"{T}ResponseType") or "Unknown"
    for tag in appointments.ATTENDEES:
        for person in known.element.iterfind(f"{T}{tag}/{T}Attendee"):
            if (person.findtext(f"{T}Mailbox/{T}EmailAddress") or "").lower() == sender.lower():
                set_text(person, "ResponseType", answer)
                set_text(person, "LastResponseTime", stamp(datetime.now(UTC)))
    return write(store, known, before)
