"""The mail that a meeting causes: made for all recipients at once, and taken to each of them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from lxml import etree

from serversync.sandbox.ews import mimes
from serversync.sandbox.ews.meetings import icalendar
from serversync.sandbox.ews.occurrences import Occurrence
from serversync.sandbox.ews.site import Site
from serversync.sandbox.ews.soap import Element, T, children, local, make, stamp
from serversync.sandbox.ews.store import Account, Attachment, Item, NewItem
from serversync.sandbox.ews.tables import MeetingMail

REQUEST, UPDATE, CANCELLATION, RESPONSE = "request", "update", "cancellation", "response"
#: What travels with a meeting.
CARRIED = frozenset(
    """
    Subject Sensitivity Body Importance UID RecurrenceId Start End IsAllDayEvent Location Organizer
    RequiredAttendees OptionalAttendees Resources AppointmentSequenceNumber Recurrence StartTimeZone
    EndTimeZone ConferenceType AllowNewTimeProposal IsResponseRequested MeetingWorkspaceUrl NetShowUrl
    IsOnlineMeeting JoinOnlineMeetingUrl
    """.split()  # noqa: SIM905
)
TAGS = {
    REQUEST: ("MeetingRequest", "IPM.Schedule.Meeting.Request", "REQUEST"),
    UPDATE: ("MeetingRequest", "IPM.Schedule.Meeting.Request", "REQUEST"),
    CANCELLATION: ("MeetingCancellation", "IPM.Schedule.Meeting.Canceled", "CANCEL"),
}
RESPONSES = {
    "Accept": ("Accepted", "IPM.Schedule.Meeting.Resp.Pos", "ACCEPTED"),
    "Tentative": ("Tentative", "IPM.Schedule.Meeting.Resp.Tent", "TENTATIVE"),
    "Decline": ("Declined", "IPM.Schedule.Meeting.Resp.Neg", "DECLINED"),
}
CANCELLED_PREFIX = "Canceled: "


@dataclass(frozen=True)
class Notice:
    """One mail about one meeting. `item`: the meeting as its organizer or attendee has it; `message`: what
    arrives; `original`: of the occurrence that it is about, else 0."""

    kind: str
    sender: Account
    organizer: str
    item: Item
    message: NewItem
    recipients: tuple[str, ...]
    original: int = 0

    @property
    def uid(self) -> str:
        return self.item.text("UID")

    @property
    def sequence(self) -> int:
        return int(self.message.element.findtext(f"{T}AppointmentSequenceNumber") or 0)


def original_of(item: Item) -> int:
    return item.slot.original if isinstance(item, Occurrence) else 0


def carried(item: Item) -> list[Element]:
    """Without what was answered: that is the organizer's."""
    found = []
    for child in children(item.element):
        name = local(child)
        if name not in CARRIED or (name == "RecurrenceId" and not isinstance(item, Occurrence)):
            continue
        copy = etree.fromstring(etree.tostring(child, with_tail=False))
        for answered in copy.iterfind(f"{T}Attendee"):
            for known in answered.findall(f"{T}LastResponseTime"):
                answered.remove(known)
            for known in answered.findall(f"{T}ResponseType"):
                known.text = "Unknown"
        found.append(copy)
    return found


def about(
    site: Site,
    kind: str,
    sender: Account,
    item: Item,
    recipients: Sequence[str],
    *,
    significant: bool = True,
    sequence: int | None = None,
    body: Element | None = None,
) -> Notice:
    """An invitation, an update or a cancellation. `body`: instead of the meeting's own."""
    tag, item_class, method = TAGS[kind]
    element = etree.Element(T + tag)
    element.extend(carried(item))
    if body is not None:
        set_body(element, body)
    if kind == CANCELLATION:
        set_text(element, "Subject", cancelled_subject(item.text("Subject")))
        set_text(element, "IsCancelled", "true")
    else:
        types = {REQUEST: "NewMeetingRequest", UPDATE: "FullUpdate"}
        set_text(
            element, "MeetingRequestType", types[kind] if significant else "InformationalUpdate"
        )
        shown = item.text("LegacyFreeBusyStatus") or "Busy"
        set_text(element, "IntendedFreeBusyStatus", shown)
    if sequence is not None:
        set_text(element, "AppointmentSequenceNumber", str(sequence))
    set_text(element, "IsMeeting", "true")
    attachments = [] if kind == CANCELLATION else site.store.attachments(item.id)
    _address(element, sender, recipients)
    exceptions = () if isinstance(item, Occurrence) else icalendar.exceptions_of(site.store, item)
    calendar = icalendar.written(method, element, exceptions)
    message = _message(tag, item_class, element, method, calendar, attachments)
    return Notice(kind, sender, sender.address, item, message, tuple(recipients), original_of(item))


def response(
    sender: Account, organizer: str, item: Item, answer: str, body: Element | None
) -> Notice:
    prefix, item_class, status = RESPONSES[answer]
    element = etree.Element(f"{T}MeetingResponse")
    element.extend(carried(item))
    for name in ("RequiredAttendees", "OptionalAttendees", "Resources", "Body", "Recurrence"):
        for old in element.findall(T + name):
            element.remove(old)
    set_text(element, "Subject", f"{prefix}: {item.text('Subject')}")
    set_text(element, "ResponseType", answer)
    if body is not None:
        set_body(element, body)
    _address(element, sender, [organizer])
    calendar = icalendar.reply(element, sender, status)
    message = _message("MeetingResponse", item_class, element, "REPLY", calendar, [])
    original = original_of(item)
    return Notice(RESPONSE, sender, organizer, item, message, (organizer,), original)


def _address(element: Element, sender: Account, recipients: Iterable[str]) -> None:
    for tag in ("From", "Sender"):
        element.append(make(T + tag, mimes.mailbox(sender.name, sender.address)))
    people = (mimes.mailbox(address, address) for address in recipients)
    element.append(make(f"{T}ToRecipients", *people))
    now = datetime.now(UTC)
    set_text(element, "InternetMessageId", mimes.new_message_id(sender.address))
    set_text(element, "ConversationTopic", mimes.topic(element.findtext(f"{T}Subject") or ""))
    set_text(element, "ConversationIndex", mimes.new_conversation_index(now))
    set_text(element, "DateTimeSent", stamp(now))


def _message(
    tag: str,
    item_class: str,
    element: Element,
    method: str,
    calendar: str,
    attachments: list[Attachment],
) -> NewItem:
    mime = mimes.compose(element, attachments, calendar=(method, calendar))
    return NewItem(
        tag=tag,
        item_class=item_class,
        element=element,
        received_at=datetime.now(UTC),
        size=len(mime),
        mime=mime,
        attachments=attachments,
    )


def set_text(element: Element, name: str, text: str) -> None:
    for old in element.findall(T + name):
        element.remove(old)
    element.append(make(T + name, text))


def set_body(element: Element, body: Element) -> None:
    for old in element.findall(f"{T}Body"):
        element.remove(old)
    element.append(make(f"{T}Body", body.text or "", BodyType=body.get("BodyType", "Text")))


def cancelled_subject(subject: str) -> str:
    return subject if subject.startswith(CANCELLED_PREFIX) else CANCELLED_PREFIX + subject


def note(site: Site, notice: Notice, recipient: str) -> None:
    site.store.note_meeting_mail(
        MeetingMail(
            organizer=notice.organizer,
            sender=notice.sender.address,
            recipient=recipient,
            kind=notice.kind,
            uid=notice.uid,
            sequence=notice.sequence,
            original=notice.original,
        )
    )


def save_copy(site: Site, notice: Notice) -> None:
    """In the sender's Sent Items."""
    folder = site.store.distinguished(notice.sender.guid, "sentitems")
    assert folder is not None
    sent = notice.message
    copy = NewItem(
        tag=sent.tag,
        item_class=sent.item_class,
        element=sent.element,
        is_read=True,
        received_at=sent.received_at,
        size=sent.size,
        mime=sent.mime,
        attachments=sent.attachments,
    )
    site.store.add_item(folder, copy)
