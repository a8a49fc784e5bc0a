"""A message between its two forms: MIME, and the properties and attachments that clients see."""

import base64
import hashlib
import re
import secrets
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from email.errors import MessageError
from email.header import Header, decode_header, make_header
from email.message import EmailMessage, Message
from email.parser import BytesParser
from email.policy import SMTP, compat32
from email.utils import format_datetime, formataddr, getaddresses, parsedate_to_datetime

from lxml import etree

from serversync.sandbox.ews.paths import tag_of_class
from serversync.sandbox.ews.soap import Element, Refusal, T, boolean, make, moment, stamp
from serversync.sandbox.ews.store import Attachment, NewItem

HEADER_LINE = re.compile(rb"[!-9;-~]+[ \t]*:")
#: Headers that properties stand for. Others live in the stored MIME alone.
OWN_HEADERS = frozenset(
    """
    from sender to cc bcc reply-to subject date message-id in-reply-to references importance sensitivity
    thread-topic thread-index mime-version content-type content-transfer-encoding content-disposition
    content-id disposition-notification-to return-receipt-to
    """.split()  # noqa: SIM905
)
IMPORTANCE = {"high": "High", "low": "Low"}
SENSITIVITY = {
    "personal": "Personal",
    "private": "Private",
    "company-confidential": "Confidential",
}
MEETING_CLASSES = {
    "request": "IPM.Schedule.Meeting.Request",
    "cancel": "IPM.Schedule.Meeting.Canceled",
}
RESPONSE_CLASSES = {
    "accepted": "IPM.Schedule.Meeting.Resp.Pos",
    "declined": "IPM.Schedule.Meeting.Resp.Neg",
    "tentative": "IPM.Schedule.Meeting.Resp.Tent",
}


# -- reading ---------------------------------------------------------------------------------------


def parse(mime: bytes) -> Message:
    return BytesParser(policy=compat32).parsebytes(mime)


def read(mime: bytes, *, received_at: datetime | None = None, strict: bool = True) -> NewItem:
    """The item that a message is. Raises Refusal if these bytes are no message and `strict`: what
    comes in by mail is taken as it is."""
    if strict and not HEADER_LINE.match(mime.lstrip(b"\r\n")):
        raise Refusal("ErrorMimeContentInvalid")
    message = parse(mime)
    item_class = _item_class(message)
    tag = tag_of_class(item_class)
    element = etree.Element(T + tag)
    element.extend(_properties(message))
    body, attachments = _parts(message)
    element.append(body)
    return NewItem(
        tag=tag,
        item_class=item_class,
        element=element,
        categories=_categories(message),
        received_at=received_at,
        size=len(mime),
        mime=mime,
        attachments=attachments,
    )


def _item_class(message: Message) -> str:
    kind = message.get_content_type()
    if kind == "multipart/report":
        report = str(message.get_param("report-type", ""))
        return "REPORT.IPM.Note.NDR" if report == "delivery-status" else "REPORT.IPM.Note.IPNRN"
    if kind == "multipart/signed":
        return "IPM.Note.SMIME.MultipartSigned"
    for part in message.walk():
        if part.get_content_type() == "text/calendar" and not part.get_filename():
            return _meeting_class(part)
    return "IPM.Note"


def _meeting_class(part: Message) -> str:
    content = _text(part)
    method = str(part.get_param("method", "") or "").lower()
    if not method and (found := re.search(r"^METHOD:(\w+)", content, re.M | re.I)):
        method = found[1].lower()
    if method == "reply":
        unfolded = re.sub(r"\r?\n[ \t]", "", content)
        status = re.search(r"PARTSTAT=(\w+)", unfolded, re.I)
        return RESPONSE_CLASSES.get(
            status[1].lower() if status else "", "IPM.Schedule.Meeting.Resp.Pos"
        )
    return MEETING_CLASSES.get(method, "IPM.Note")


def header(message: Message, name: str) -> str:
    """Decoded, unfolded; "" if it isn't there."""
    value = message.get(name)
    if value is None:
        return ""
    try:
        text = str(make_header(decode_header(str(value))))
    except (LookupError, ValueError, MessageError):
        text = str(value)
    return re.sub(r"\r?\n[ \t]*", " ", text).encode("utf-8", "replace").decode().strip()


def addresses(message: Message, name: str) -> list[tuple[str, str]]:
    """(name, address)"""
    values = [str(value) for value in message.get_all(name, [])]
    pairs = getaddresses(values)
    return [(_decoded(shown), address) for shown, address in pairs if address]


def _decoded(text: str) -> str:
    try:
        return str(make_header(decode_header(text)))
    except (LookupError, ValueError, MessageError):
        return text


def mailbox(name: str, address: str) -> Element:
    return make(
        f"{T}Mailbox",
        make(f"{T}Name", name or address),
        make(f"{T}EmailAddress", address),
        make(f"{T}RoutingType", "SMTP"),
        make(f"{T}MailboxType", "Mailbox"),
    )


def _properties(message: Message) -> list[Element]:
    subject = header(message, "Subject")
    found = [make(f"{T}Subject", subject)]
    for tag, name in (("From", "From"), ("Sender", "Sender")):
        people = addresses(message, name) or (addresses(message, "From") if tag == "Sender" else [])
        if people:
            found.append(make(T + tag, mailbox(*people[0])))
    for tag, name in (
        ("ToRecipients", "To"),
        ("CcRecipients", "Cc"),
        ("BccRecipients", "Bcc"),
        ("ReplyTo", "Reply-To"),
    ):
        if people := addresses(message, name):
            found.append(make(T + tag, *(mailbox(*person) for person in people)))
    for tag, name in (
        ("InternetMessageId", "Message-ID"),
        ("InReplyTo", "In-Reply-To"),
        ("References", "References"),
    ):
        if value := header(message, name):
            found.append(make(T + tag, value))
    found.append(
        make(f"{T}Importance", IMPORTANCE.get(header(message, "Importance").lower(), "Normal"))
    )
    found.append(
        make(f"{T}Sensitivity", SENSITIVITY.get(header(message, "Sensitivity").lower(), "Normal"))
    )
    found.append(make(f"{T}ConversationTopic", header(message, "Thread-Topic") or topic(subject)))
    if index := header(message, "Thread-Index"):
        found.append(make(f"{T}ConversationIndex", index))
    for tag, name in (
        ("IsReadReceiptRequested", "Disposition-Notification-To"),
        ("IsDeliveryReceiptRequested", "Return-Receipt-To"),
    ):
        found.append(make(T + tag, boolean(message.get(name) is not None)))
    if (sent := _date(message)) is not None:
        found.append(make(f"{T}DateTimeSent", stamp(sent)))
    return found


def _date(message: Message) -> datetime | None:
    try:
        value = parsedate_to_datetime(str(message.get("Date", "")))
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError):
        return None


def topic(subject: str) -> str:
    """The subject without "Re:" and the like."""
    return re.sub(r"^(?:[^\s:]{1,3}:\s*)+", "", subject)


def _categories(message: Message) -> list[str]:
    return [name.strip() for name in header(message, "Keywords").split(",") if name.strip()]


def _text(part: Message) -> str:
    payload = part.get_payload(decode=True)
    data = payload if isinstance(payload, bytes) else b""
    try:
        return data.decode(part.get_content_charset() or "utf-8", "replace")
    except LookupError:
        return data.decode("latin-1")


def _parts(message: Message) -> tuple[Element, list[Attachment]]:
    """The body, HTML before text, and what else hangs on the message."""
    bodies: dict[str, str] = {}
    attachments: list[Attachment] = []
    waiting = [message]
    while waiting:
        part = waiting.pop(0)
        kind = part.get_content_type()
        if kind == "message/rfc822" or (part is not message and kind == "message/global"):
            attachments.append(_inner_message(part))
        elif part.is_multipart():
            waiting[:0] = [inner for inner in part.get_payload() if isinstance(inner, Message)]
        elif kind in ("text/plain", "text/html") and kind not in bodies and not _is_file(part):
            bodies[kind] = _text(part)
        elif kind != "text/calendar" or _is_file(part):
            attachments.append(_file(part))
    if "text/html" in bodies:
        return make(f"{T}Body", bodies["text/html"], BodyType="HTML"), attachments
    return make(f"{T}Body", bodies.get("text/plain", ""), BodyType="Text"), attachments


def _is_file(part: Message) -> bool:
    return part.get_content_disposition() == "attachment" or bool(part.get_filename())


def _inner_message(part: Message) -> Attachment:
    inner = part.get_payload()
    first = inner[0] if isinstance(inner, list) and inner else Message()
    content = first.as_bytes() if isinstance(first, Message) else b""
    name = _decoded(part.get_filename() or "") or header(first, "Subject") or "message"  # type: ignore[arg-type]
    return Attachment("ItemAttachment", name, content, content_type="message/rfc822")


def _file(part: Message) -> Attachment:
    payload = part.get_payload(decode=True)
    content_id = str(part.get("Content-ID", "")).strip().strip("<>")
    return Attachment(
        "FileAttachment",
        _decoded(part.get_filename() or "") or "attachment",
        payload if isinstance(payload, bytes) else b"",
        content_type=part.get_content_type(),
        content_id=content_id,
        is_inline=part.get_content_disposition() == "inline" and bool(content_id),
    )


# -- writing ---------------------------------------------------------------------------------------


def compose(
    element: Element,
    attachments: Sequence[Attachment],
    *,
    categories: Sequence[str] = (),
    headers: Sequence[tuple[str, str]] = (),
    calendar: tuple[str, str] | None = None,
) -> bytes:
    """MIME of an item's properties. `headers`: besides those that the properties give; `calendar`: the
    method and the text of an iCalendar part."""
    content = EmailMessage(policy=SMTP)
    body = element.find(f"{T}Body")
    text = (body is not None and body.text) or ""
    subtype = "html" if body is not None and body.get("BodyType") == "HTML" else "plain"
    content.set_content(text.encode("utf-8", "replace").decode(), subtype=subtype)
    if calendar is not None:
        method, written = calendar
        content.add_alternative(written, subtype="calendar", params={"method": method})
    for attachment in attachments:
        _attach(content, attachment)
    lines = [_header_line(*pair) for pair in [*_headers(element, categories), *headers] if pair[1]]
    return b"".join(lines) + content.as_bytes()


def _header_line(name: str, value: str) -> bytes:
    """Folded and encoded; what the library takes for broken is encoded as a whole."""
    value = re.sub(r"[\r\n]+", " ", value).encode("utf-8", "replace").decode()
    made = EmailMessage(policy=SMTP)
    try:
        made[name] = value
        return made.as_bytes().partition(b"\r\n\r\n")[0] + b"\r\n"
    except (ValueError, IndexError, AttributeError, LookupError, TypeError):
        return (
            f"{name}: ".encode() + Header(value, "utf-8").encode(linesep="\r\n").encode() + b"\r\n"
        )


def _headers(element: Element, categories: Sequence[str]) -> list[tuple[str, str]]:
    text = {name: element.findtext(T + name) or "" for name in PLAIN_HEADERS}
    found = [(name, people(element, tag)) for name, tag in PEOPLE_HEADERS]
    found += [(PLAIN_HEADERS[name], value) for name, value in text.items()]
    sent = moment(element.findtext(f"{T}DateTimeSent")) or datetime.now(UTC)
    found.append(("Date", format_datetime(sent)))
    if (importance := element.findtext(f"{T}Importance") or "Normal") != "Normal":
        found.append(("Importance", importance.lower()))
    if categories:
        found.append(("Keywords", ", ".join(categories)))
    if element.findtext(f"{T}IsReadReceiptRequested") in ("true", "1"):
        found.append(("Disposition-Notification-To", people(element, "From")))
    return found


PEOPLE_HEADERS = (
    ("From", "From"),
    ("Sender", "Sender"),
    ("To", "ToRecipients"),
    ("Cc", "CcRecipients"),
    ("Bcc", "BccRecipients"),
    ("Reply-To", "ReplyTo"),
)
PLAIN_HEADERS = {
    "Subject": "Subject",
    "InternetMessageId": "Message-ID",
    "InReplyTo": "In-Reply-To",
    "References": "References",
    "ConversationTopic": "Thread-Topic",
    "ConversationIndex": "Thread-Index",
}


def people(element: Element, tag: str) -> str:
    return ", ".join(_formatted(*person) for person in mailboxes(element, tag))


def _formatted(name: str, address: str) -> str:
    """Addresses beyond ASCII are written as they are."""
    if address.isascii():
        return formataddr((name, address))
    return f"{formataddr((name, 'x')).removesuffix('x>')}{address}>" if name else address


def mailboxes(element: Element, tag: str) -> list[tuple[str, str]]:
    """(name, address) of the t:Mailbox elements in a property."""
    found = []
    for inner in element.iterfind(f"{T}{tag}/{T}Mailbox"):
        address = (inner.findtext(f"{T}EmailAddress") or "").strip()
        found.append(((inner.findtext(f"{T}Name") or "").strip(), address))
    return [("" if name == address else name, address) for name, address in found if address]


def _attach(message: EmailMessage, attachment: Attachment) -> None:
    if attachment.tag == "ItemAttachment":
        content = attachment.content or inner_mime(attachment)
        inner = BytesParser(policy=SMTP).parsebytes(content)
        message.add_attachment(inner, filename=_one_line(attachment.name))
        return
    maintype, _, subtype = attachment.content_type.partition("/")
    if maintype in ("multipart", "message") or not re.fullmatch(
        r"[\w.+-]+/[\w.+-]+", f"{maintype}/{subtype}"
    ):
        maintype, subtype = "application", "octet-stream"
    content_id = _one_line(attachment.content_id)
    message.add_attachment(
        attachment.content,
        maintype=maintype,
        subtype=subtype,
        filename=_one_line(attachment.name),
        cid=f"<{content_id}>" if content_id.isascii() and content_id else None,
        disposition="inline" if attachment.is_inline else "attachment",
    )


def _one_line(text: str) -> str:
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text).encode("utf-8", "replace").decode()


def inner_mime(attachment: Attachment) -> bytes:
    element = (
        etree.fromstring(attachment.properties) if attachment.properties else make(f"{T}Message")
    )
    return compose(element, ())


def other_headers(mime: bytes) -> list[tuple[str, str]]:
    """Of a stored message: those that no property stands for."""
    return [
        (name, str(value)) for name, value in parse(mime).items() if name.lower() not in OWN_HEADERS
    ]


def without_bcc(mime: bytes) -> bytes:
    """As it leaves: nobody sees the blind copies."""
    head, separator, body = _cut(mime)
    return _without(head, ["bcc"]) + separator + body


def with_header(mime: bytes, name: str, value: str) -> bytes:
    """One header in front; the bytes behind stay."""
    return f"{name}: {value}\r\n".encode() + mime


#: Property -> the header that says the same. A change of one leaves the rest of the MIME as it is.
HEADER_OF = {
    "From": "From",
    "Sender": "Sender",
    "ToRecipients": "To",
    "CcRecipients": "Cc",
    "BccRecipients": "Bcc",
    "ReplyTo": "Reply-To",
    "Subject": "Subject",
    "InternetMessageId": "Message-ID",
    "InReplyTo": "In-Reply-To",
    "References": "References",
    "ConversationTopic": "Thread-Topic",
    "ConversationIndex": "Thread-Index",
    "Importance": "Importance",
    "DateTimeSent": "Date",
    "IsReadReceiptRequested": "Disposition-Notification-To",
}


def rewritten(mime: bytes, element: Element, properties: Iterable[str]) -> bytes:
    """With the headers of these properties as the element has them now."""
    names = {HEADER_OF[name].lower() for name in properties}
    made = [pair for pair in _headers(element, ()) if pair[0].lower() in names and pair[1]]
    new = b"".join(_header_line(*pair) for pair in made)
    head, separator, body = _cut(mime)
    return new + _without(head, names) + separator + body


def completed(mime: bytes, element: Element) -> bytes:
    """With what no message may lack: sender, date and id."""
    message = parse(mime)
    needed = ("From", "DateTimeSent", "InternetMessageId")
    missing = [name for name in needed if not header(message, HEADER_OF[name])]
    return rewritten(mime, element, missing) if missing else mime


def _without(head: bytes, names: Collection[str]) -> bytes:
    """`names`: in lower case."""
    kept, dropping = [], False
    for line in head.splitlines(keepends=True):
        if line[:1] not in (b" ", b"\t"):
            dropping = line.partition(b":")[0].strip().lower().decode("latin-1") in names
        if not dropping:
            kept.append(line)
    return b"".join(kept)


def _cut(mime: bytes) -> tuple[bytes, bytes, bytes]:
    """Head with its last line end, the empty line, the body."""
    found = re.search(rb"\r?\n(\r?\n)", mime)
    if found is None:
        return mime, b"", b""
    return mime[: found.start(1)], found[1], mime[found.end(1) :]


def new_message_id(address: str) -> str:
    domain = address.rpartition("@")[2] or "localhost"
    return f"<{secrets.token_hex(16)}@{domain}>"


def new_conversation_index(now: datetime) -> str:
    """22 octets: a mark, the time, a GUID."""
    ticks = int((now.timestamp() + 11_644_473_600) * 10_000_000)
    return base64.b64encode(ticks.to_bytes(8)[:6] + secrets.token_bytes(16)).decode()


def conversation_id(element: Element) -> str:
    """The same for all messages of a thread: by the head of the index, else by the topic."""
    index = element.findtext(f"{T}ConversationIndex") or ""
    try:
        head = base64.b64decode(index)[6:22]
    except ValueError:
        head = b""
    about = (element.findtext(f"{T}ConversationTopic") or "").lower().encode()
    digest = hashlib.sha256(head or about).digest()
    return base64.b64encode(b"\x00\x03\x24\x0a" + digest).decode()
