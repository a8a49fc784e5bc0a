"""A message as data: what `parse` makes of bytes and `compose` makes bytes of."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from mailboxes.addresses import address_key


class MessageKind(StrEnum):
    """What sort of mail it is. Where several fit, the first of this order."""

    CALENDAR = "calendar"
    BOUNCE = "bounce"
    DELAY = "delay"
    COMPLAINT = "complaint"
    RECEIPT = "receipt"  # delivered, relayed, read or deleted unread: nothing went wrong
    AUTO_REPLY = "auto-reply"
    LIST = "list"
    REPLY = "reply"
    ORDINARY = "ordinary"

    @property
    def is_automatic(self) -> bool:
        """No person wrote it: no record and no answer may come of it."""
        return self in _AUTOMATIC


_AUTOMATIC = frozenset(
    {
        MessageKind.BOUNCE,
        MessageKind.DELAY,
        MessageKind.COMPLAINT,
        MessageKind.RECEIPT,
        MessageKind.AUTO_REPLY,
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRecipient:
    """What a server, or a recipient's program, tells of one address. All but `hard` may be empty.

    `address`: bare, as we wrote to it where the report says so, else the final one. `action`: RFC 3464
    ("failed", "delayed", "delivered", ...), RFC 3798's disposition ("displayed", ...) or "complaint".
    `status`: RFC 3463's code, "5.1.1". `hard`: failed, and will fail again.
    """

    address: str = ""
    action: str = ""
    status: str = ""
    diagnostic: str = ""
    hard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryReport:
    """What a bounce, delay notice, receipt or complaint says of the message it is about.

    `message_id`: bare, of the returned message. The `returned_` ones are read from its header where
    that came back: subject, addresses of To, Date. `standard`: it follows a standard of its kind.
    """

    recipients: tuple[ReportedRecipient, ...] = ()
    message_id: str = ""
    returned_subject: str = ""
    returned_to: tuple[str, ...] = ()
    returned_date: datetime | None = None
    standard: bool = True


@dataclass(frozen=True, slots=True)
class Address:
    """One mailbox of a header. `address` is bare, trimmed, original case; "" if there was none."""

    address: str
    name: str = ""

    @property
    def key(self) -> str:
        """What addresses are compared by (R3.31)."""
        return address_key(self.address)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file in a message. `content_id` without angle brackets; `inline`: shown inside the body.

    `content_type` is what the sender claims. For message/rfc822 the content is the whole original.
    """

    filename: str
    content_type: str
    content: bytes = field(repr=False)
    content_id: str = ""
    inline: bool = False


@dataclass(frozen=True, slots=True)
class Defect:
    """Something wrong with the bytes, and what was done about it. `code` is stable snake case."""

    code: str
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedMessage:
    """All that the product reads from a message. Absent headers are "", (), None or False.

    Texts are NUL-free `str`; nothing is cut to column lengths here. `message_id`, `in_reply_to` and
    `references` hold bare ids: trimmed, without the outer angle brackets, case kept (R4.4).
    `date` is aware UTC or None when missing or unreadable; `date_text` is the raw header.
    `body_size` counts the octets after the header (for R3.20 without a usable id).
    `headers_json` is R3.13's text: Auto-Submitted and Reply-To where present, at most 500 characters.
    `calendar_method`: METHOD of a text/calendar part in upper case, "" if none (R3.14);
    `calendar_uid`: which meeting it is about, the same in every mailbox, "" if it isn't told.
    `report_type`: multipart/report's report-type in lower case ("delivery-status", ...), else "".
    `own_header`: value of our X-Serversync header, e.g. "probe", "" if absent (R2.14).
    `null_path`: its envelope has no sender, so nobody wants an answer (RFC 5321, 4.5.5).
    `answer_unwanted`: it asks not to be answered automatically, whoever wrote it.
    `encrypted`: S/MIME, PGP/MIME or rights-protected wrapper that can't be read (R3.11).
    `path`: "fast" or "careful", which parser read it.
    `report`: of bounces, delay notices, receipts and complaints, what they tell; else None.
    """

    size: int
    body_size: int
    message_id: str = ""
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    subject: str = ""
    senders: tuple[Address, ...] = ()
    sender_header: Address | None = None
    reply_to: tuple[Address, ...] = ()
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    date: datetime | None = None
    date_text: str = ""
    importance: int = 1
    auto_submitted: str = ""
    list_id: str = ""
    thread_index: str = ""
    headers_json: str = ""
    html: str = ""
    text: str = ""
    attachments: tuple[Attachment, ...] = ()
    calendar_method: str = ""
    calendar_uid: str = ""
    report_type: str = ""
    own_header: str = ""
    null_path: bool = False
    answer_unwanted: bool = False
    encrypted: str = ""
    delivered_to: tuple[str, ...] = ()
    defects: tuple[Defect, ...] = ()
    path: str = "careful"
    kind: MessageKind = MessageKind.ORDINARY
    report: DeliveryReport | None = None

    @property
    def sender(self) -> Address | None:
        """The first usable From address, or None (R3.12)."""
        return next((a for a in self.senders if "@" in a.address), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingMessage:
    """All that goes into the bytes of an e-mail to send. Ids are bare, times aware.

    `bcc` is not here on purpose: it belongs to the envelope only (R5.22). `alternatives`: further forms
    of the body beside HTML, as (type, text). `submitter`: whose account it
    leaves through, where that is not the sender's (R5.26).
    """

    message_id: str
    sender: Address
    submitter: Address | None = None
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    reply_to: tuple[Address, ...] = ()
    subject: str = ""
    html: str = ""
    text: str = ""
    date: datetime
    in_reply_to: str = ""
    references: tuple[str, ...] = ()
    importance: int = 1
    read_receipt_to: str = ""
    delivery_receipt_to: str = ""
    charset: str = "utf-8"
    attachments: tuple[Attachment, ...] = ()
    alternatives: tuple[tuple[str, str], ...] = ()
    extra_headers: tuple[tuple[str, str], ...] = ()
