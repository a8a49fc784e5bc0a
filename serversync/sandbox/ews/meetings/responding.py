"""AcceptItem, TentativelyAcceptItem, DeclineItem and CancelCalendarItem, which come inside CreateItem."""

from collections.abc import Callable
from datetime import UTC, datetime

from lxml import etree

from serversync.sandbox.ews import occurrences, soap
from serversync.sandbox.ews.appointments import is_organizers
from serversync.sandbox.ews.call import Call
from serversync.sandbox.ews.meetings import attending
from serversync.sandbox.ews.meetings.messages import response, save_copy, set_text
from serversync.sandbox.ews.meetings.organizing import Said, called_off
from serversync.sandbox.ews.mimes import mailboxes
from serversync.sandbox.ews.properties import only_id
from serversync.sandbox.ews.rights import Right
from serversync.sandbox.ews.site import Site
from serversync.sandbox.ews.soap import Element, M, Refusal, T, make, moment, stamp, truth
from serversync.sandbox.ews.store import Item

#: Element -> what is answered, and how Exchange calls it in its refusals.
ANSWERS = {
    "AcceptItem": ("Accept", "Accept"),
    "TentativelyAcceptItem": ("Tentative", "Tentative"),
    "DeclineItem": ("Decline", "Decline"),
}
CANCEL = "CancelCalendarItem"
WRONG_ITEM = {
    "Accept": "ErrorInvalidItemForOperationAcceptItem",
    "Tentative": "ErrorInvalidItemForOperationTentative",
    "Decline": "ErrorInvalidItemForOperationDeclineItem",
}
SHOWN_AS = {"Accept": "Busy", "Tentative": "Tentative"}


def is_reply(element: Element) -> bool:
    return soap.local(element) in (*ANSWERS, CANCEL)


def reply(call: Call, element: Element, disposition: str) -> list[Element]:
    """The containers of its answer. Raises Refusal."""
    wanted = soap.required(element, f"{T}ReferenceItemId")
    item = call.item(make(f"{T}ItemId", Id=wanted.get("Id", "")), Right.WRITE)
    if soap.local(element) == CANCEL:
        return [make(f"{M}Items", only_id(_cancel(call, item, element, disposition)))]
    answer, name = ANSWERS[soap.local(element)]
    meeting = _meeting(call, item, name)
    kept = respond(
        call.site,
        meeting,
        answer,
        body=_body(element),
        sends=disposition != "SaveOnly",
        keeps_copy=disposition == "SendAndSaveCopy",
        delete=_into_bin(call),
    )
    if item.tag == "MeetingRequest":
        _into_bin(call)(item)
    return [make(f"{M}Items", only_id(kept))]


def _body(element: Element) -> Element | None:
    found = element.find(f"{T}NewBodyContent")
    return element.find(f"{T}Body") if found is None else found


def _into_bin(call: Call) -> Callable[[Item], Item]:
    """How an item is deleted here."""

    def delete(item: Item) -> Item:
        if isinstance(item, occurrences.Occurrence):
            occurrences.delete(call.store, item)
            return item
        target = call.store.distinguished(item.account, "deleteditems")
        assert target is not None
        return call.store.move_item(item, target, keep_id=call.quirks.immutable_ids)

    return delete


def _meeting(call: Call, item: Item, name: str) -> Item:
    """The item in the calendar that an answer is about. Raises Refusal."""
    if item.tag not in ("MeetingRequest", "CalendarItem"):
        raise Refusal(WRONG_ITEM[name])
    if item.tag == "MeetingRequest":
        item = _of_request(call, item)
    if is_organizers(item):
        raise Refusal(f"ErrorCalendarIsOrganizerFor{name}")
    if truth(item.text("IsCancelled")):
        raise Refusal(f"ErrorCalendarIsCancelledFor{name}")
    return item


def _of_request(call: Call, request: Item) -> Item:
    """Where it was deleted from the calendar it comes back."""
    account = call.store.account_of(request.account)
    assert account is not None
    began = moment(request.text("RecurrenceId"))
    original = int(began.timestamp()) if began else 0
    found = attending.find(call.store, account, request.text("UID"), original)
    if found is None:
        found = attending.enter(call.store, account, request.element, original)
    if found is None:
        raise Refusal("ErrorItemNotFound")
    if int(found.text("AppointmentSequenceNumber") or 0) > int(
        request.text("AppointmentSequenceNumber") or 0
    ):
        raise Refusal("ErrorCalendarMeetingRequestIsOutOfDate")
    return found


def respond(
    site: Site,
    meeting: Item,
    answer: str,
    *,
    body: Element | None = None,
    sends: bool = True,
    keeps_copy: bool = False,
    delete: Callable[[Item], Item],
) -> Item:
    """Note the answer on the attendee's item and tell the organizer. What is declined is deleted.
    Returns the item anew."""
    before = etree.fromstring(etree.tostring(meeting.element))
    set_text(meeting.element, "MyResponseType", answer)
    set_text(meeting.element, "AppointmentReplyTime", stamp(datetime.now(UTC)))
    if answer in SHOWN_AS:
        set_text(meeting.element, "LegacyFreeBusyStatus", SHOWN_AS[answer])
    kept = attending.write(site.store, meeting, before)
    if sends:
        tell_organizer(site, kept, answer, body, keeps_copy=keeps_copy)
    return delete(kept) if answer == "Decline" else kept


def tell_organizer(
    site: Site, meeting: Item, answer: str, body: Element | None = None, *, keeps_copy: bool = False
) -> None:
    """Unless that was asked not to be told."""
    attendee = site.store.account_of(meeting.account)
    wants_answer = truth(meeting.text("IsResponseRequested") or "true")
    organizer = next((address for _, address in mailboxes(meeting.element, "Organizer")), "")
    if attendee is None or not organizer or not wants_answer:
        return
    notice = response(attendee, organizer, meeting, answer, body)
    attending.send(site, notice)
    if keeps_copy:
        save_copy(site, notice)


def declined_by_deleting(site: Site, item: Item, whom: str) -> None:
    """An attendee who deletes a meeting and has others told of it declines."""
    if whom != "SendToNone" and not is_organizers(item) and not truth(item.text("IsCancelled")):
        tell_organizer(site, item, "Decline", keeps_copy=whom == "SendToAllAndSaveCopy")


def _cancel(call: Call, item: Item, element: Element, disposition: str) -> Item:
    if item.tag != "CalendarItem":
        raise Refusal("ErrorInvalidItemForOperationCancelItem")
    if not is_organizers(item):
        raise Refusal("ErrorCalendarIsNotOrganizer")
    whom = "SendToAllAndSaveCopy" if disposition == "SendAndSaveCopy" else "SendOnlyToAll"
    if disposition != "SaveOnly":
        called_off(call.site, item, Said(whom, _body(element)))
    return _into_bin(call)(item)
