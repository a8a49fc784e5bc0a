"""A message as MAPI keeps it, made into MIME (MS-OXPROPS, MS-OXCMSG, MS-OXCMAIL)."""

import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from hashlib import sha256

from activities.mime.charsets import codec_for, decode_text
from activities.mime.compose import encode_header, write_address, write_body
from activities.mime.message import Address, Attachment, OutgoingMessage
from activities.mime.outlook.rtf import Allowance, read_compressed
from activities.mime.words import one_line

# Property ids.
MESSAGE_CLASS, IMPORTANCE, SUBJECT, SUBMITTED = 0x001A, 0x0017, 0x0037, 0x0039
AUTHOR_NAME, AUTHOR_TYPE, AUTHOR, AUTHOR_SMTP = 0x0042, 0x0064, 0x0065, 0x5D02
SENDER_NAME, SENDER_TYPE, SENDER, SENDER_SMTP = 0x0C1A, 0x0C1E, 0x0C1F, 0x5D01
CONVERSATION_INDEX, TRANSPORT_HEADERS = 0x0071, 0x007D
RECIPIENT_TYPE, DELIVERED = 0x0C15, 0x0E06
BODY, RTF, HTML = 0x1000, 0x1009, 0x1013
MESSAGE_ID, REFERENCES, IN_REPLY_TO = 0x1035, 0x1039, 0x1042
DISPLAY_NAME, ADDRESS_TYPE, ADDRESS, SMTP_ADDRESS = 0x3001, 0x3002, 0x3003, 0x39FE
FILE_DATA, FILE_SHORT_NAME, FILE_NAME, FILE_TYPE, CONTENT_ID = (
    0x3701,
    0x3704,
    0x3707,
    0x370E,
    0x3712,
)
INTERNET_CODE_PAGE, CODE_PAGE = 0x3FDE, 0x3FFD
# Property types; what has the flag for several values is left out.
INTEGER16, INTEGER32, OBJECT, STRING8, UNICODE, TIME, BINARY = 2, 3, 0xD, 0x1E, 0x1F, 0x40, 0x102
SEVERAL = 0x1000

MAX_DEPTH = 8  # messages inside messages inside messages

_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_CHARSETS = {
    20127: "us-ascii",
    20866: "koi8-r",
    20932: "euc-jp",
    21866: "koi8-u",
    50220: "iso-2022-jp",
    50221: "iso-2022-jp",
    50222: "iso-2022-jp",
    51932: "euc-jp",
    51936: "gb18030",
    51949: "euc-kr",
    52936: "hz",
    54936: "gb18030",
    65000: "utf-7",
    65001: "utf-8",
    **{28590 + part: f"iso-8859-{part}" for part in range(1, 17)},
}
_FIELD = re.compile(r"^([!-9;-~]{1,200}+)[ \t]*:[^\n]*+(?:\n[ \t][^\n]*+)*", re.MULTILINE)
_NOT_IN_NAMES = re.compile(r'[\\/:*?"<>|]+')
_TYPE = re.compile(r"[a-z0-9-]{1,40}/[a-z0-9!#$&^_.+-]{1,100}", re.ASCII)
_REMARK = "Comments: made again from the properties of an Outlook item"
_REBUILT = ("content-", "mime-version")
_ROLES = {1: "To", 2: "Cc", 3: "Bcc"}


class Properties:
    """Values by property id, decoded when they are asked for."""

    def __init__(self, values: Mapping[int, tuple[int, bytes]], code_page: int = 0) -> None:
        self._values = values
        self.code_page = self.number(CODE_PAGE) or self.number(INTERNET_CODE_PAGE) or code_page

    def __contains__(self, property_id: int) -> bool:
        return property_id in self._values

    def octets(self, property_id: int) -> bytes:
        return self._values.get(property_id, (0, b""))[1]

    def number(self, property_id: int) -> int:
        kind, octets = self._values.get(property_id, (0, b""))
        size = {INTEGER16: 2, INTEGER32: 4}.get(kind, 0)
        return int.from_bytes(octets[:size], "little")

    def text(self, *property_ids: int) -> str:
        """The first that isn't empty."""
        return next(filter(None, map(self._text, property_ids)), "")

    def _text(self, property_id: int) -> str:
        kind, octets = self._values.get(property_id, (0, b""))
        if kind == UNICODE:
            return octets.decode("utf-16-le", "replace").replace("\0", "")
        if kind == STRING8:
            return decode_text(octets.rstrip(b"\0"), charset_of(self.code_page))[0]
        if kind == BINARY and property_id == HTML:
            code_page = self.number(INTERNET_CODE_PAGE) or self.code_page
            return decode_text(octets.rstrip(b"\0"), charset_of(code_page))[0]
        return ""

    def time(self, *property_ids: int) -> datetime | None:
        for property_id in property_ids:
            kind, octets = self._values.get(property_id, (0, b""))
            ticks = int.from_bytes(octets[:8], "little")
            if kind == TIME and 0 < ticks < 2**62:
                try:
                    return _EPOCH + timedelta(microseconds=ticks // 10)
                except OverflowError:
                    continue
        return None


def charset_of(code_page: int) -> str:
    """The name of a Windows code page, "" for one that nobody knows."""
    return codec_for(_CHARSETS.get(code_page, f"cp{code_page}"))


@dataclass(frozen=True, slots=True)
class File:
    """Something attached: bytes, or a message."""

    properties: Properties
    item: "Item | None" = None

    def attachment(self, allowance: Allowance | None = None) -> Attachment:
        if self.item is not None:
            name = self.properties.text(DISPLAY_NAME, FILE_NAME) or self.item.subject
            content = message_of(self.item, allowance)
            return Attachment(_message_name(_clean(name)), "message/rfc822", content)
        name = _clean(self.properties.text(FILE_NAME, FILE_SHORT_NAME, DISPLAY_NAME))
        kind = self.properties.text(FILE_TYPE).lower()
        if not _TYPE.fullmatch(kind):
            kind = "application/octet-stream"
        content_id = _clean(self.properties.text(CONTENT_ID)).strip("<>")
        return Attachment(name, kind, self.properties.octets(FILE_DATA), content_id)


@dataclass(frozen=True, slots=True)
class Item:
    """A message, or whatever else Outlook keeps: `message_class` tells."""

    properties: Properties
    recipients: Sequence[Properties] = ()
    files: Sequence[File] = ()

    @property
    def message_class(self) -> str:
        return self.properties.text(MESSAGE_CLASS).lower()

    @property
    def subject(self) -> str:
        return _clean(self.properties.text(SUBJECT))

    def body(self, allowance: Allowance | None = None) -> tuple[str, str]:
        """(HTML, text) as far as there are any; what is RTF alone becomes one of them."""
        html, text = self.properties.text(HTML), self.properties.text(BODY)
        if not html and self.properties.octets(RTF):
            html, plain = read_compressed(self.properties.octets(RTF), allowance)
            text = text or plain
        return html, text.replace("\r\n", "\n").replace("\r", "\n")


def message_of(item: Item, allowance: Allowance | None = None) -> bytes:
    """The message again as MIME: with the header it travelled with, where that was kept.

    The same item always gives the same bytes, for a message without an id is recognised by them.
    """
    head = list(_transport_fields(item.properties.text(TRANSPORT_HEADERS)))
    present = {line.partition(":")[0].strip().lower() for line in head}
    head += [f"{name}: {value}" for name, value in _fields(item) if name.lower() not in present]
    written = "\r\n".join([*head, _REMARK, "MIME-Version: 1.0"]).encode("utf-8", "replace")
    return (
        written
        + b"\r\n"
        + (_signed_body(item) or _body(item, sha256(written).hexdigest(), allowance or Allowance()))
    )


def _transport_fields(header: str) -> Iterator[str]:
    """Those of the first header that don't speak of the body, which is written anew."""
    header = header.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").lstrip("\n")
    for field in _FIELD.finditer(header.partition("\n\n")[0]):
        if not field.group(1).lower().startswith(_REBUILT):
            yield field.group().replace("\n", "\r\n")


def _fields(item: Item) -> Iterator[tuple[str, str]]:
    properties = item.properties
    if author := _author(properties):
        yield "From", author
    yield from _recipient_fields(item)
    if item.subject:
        yield "Subject", encode_header(item.subject, "subject", len("Subject: "))
    if date := properties.time(SUBMITTED, DELIVERED):
        yield "Date", format_datetime(date)
    for name, value in (
        ("Message-ID", properties.text(MESSAGE_ID)),
        ("In-Reply-To", properties.text(IN_REPLY_TO)),
        ("References", properties.text(REFERENCES)),
        ("Thread-Index", b64encode(properties.octets(CONVERSATION_INDEX)).decode()),
    ):
        if value:
            yield name, _clean(value)
    if IMPORTANCE in properties and properties.number(IMPORTANCE) != 1:
        yield "Importance", "high" if properties.number(IMPORTANCE) > 1 else "low"


def _author(properties: Properties) -> str:
    for name, kind, address, smtp in (
        (AUTHOR_NAME, AUTHOR_TYPE, AUTHOR, AUTHOR_SMTP),
        (SENDER_NAME, SENDER_TYPE, SENDER, SENDER_SMTP),
    ):
        if written := _address(properties, name, kind, address, smtp):
            return written
    return ""


def _address(properties: Properties, name: int, kind: int, address: int, smtp: int) -> str:
    """Names of a directory (type EX) are no addresses; without one there is nobody to write."""
    bare = properties.text(smtp)
    if "@" not in bare and properties.text(kind).upper() in ("SMTP", ""):
        bare = properties.text(address)
    try:
        return write_address(Address(_clean(bare), _clean(properties.text(name))))
    except ValueError:
        return ""


def _recipient_fields(item: Item) -> Iterator[tuple[str, str]]:
    written: dict[str, list[str]] = {}
    for recipient in item.recipients:
        role = _ROLES.get(recipient.number(RECIPIENT_TYPE) & 0xF, "To")
        if one := _address(recipient, DISPLAY_NAME, ADDRESS_TYPE, ADDRESS, SMTP_ADDRESS):
            written.setdefault(role, []).append(one)
    for role, addresses in written.items():
        yield role, ",\r\n ".join(addresses)


def _signed_body(item: Item) -> bytes:
    """S/MIME in Outlook: the one file is the whole signed part, header and all (MS-OXOSMIME)."""
    if not item.message_class.startswith("ipm.note.smime") or len(item.files) != 1:
        return b""
    content = item.files[0].properties.octets(FILE_DATA)
    if content[:13].lower() == b"content-type:":
        return content
    kind = b"Content-Type: application/pkcs7-mime; name=smime.p7m\r\n"
    return kind + b"Content-Transfer-Encoding: binary\r\n\r\n" + content


def _body(item: Item, seed: str, allowance: Allowance) -> bytes:
    html, text = item.body(allowance)
    files = tuple(file.attachment(allowance) for file in item.files)
    # What write_body doesn't need is only there because the dataclass asks for it.
    return write_body(
        OutgoingMessage(
            message_id=seed,
            sender=Address(""),
            date=_EPOCH,
            html=html,
            text=text,
            attachments=tuple(_writable(files)),
        )
    )


def _writable(files: Iterable[Attachment]) -> Iterator[Attachment]:
    """Content ids make pictures of a body; which of them it shows is found out when it is read."""
    for file in files:
        yield Attachment(
            file.filename, file.content_type, file.content, file.content_id, bool(file.content_id)
        )


def _message_name(name: str) -> str:
    """Outlook calls an attached message by its subject; "" has the reader make up a name."""
    name = " ".join(_NOT_IN_NAMES.sub(" ", name).split()).strip(" .")[:100]
    return f"{name}.eml" if name and not name.lower().endswith(".eml") else name


def _clean(text: str) -> str:
    return one_line(text.encode("utf-8", "replace").decode())
