"""Data to bytes: the MIME of an e-mail to send, 7-bit clean, with CRLF line ends.

The bytes depend on the message alone (no clock, no chance), so that a second attempt sends what the
first one did. Whatever would let a value break out of its header field is refused.
"""

import re
from binascii import b2a_base64, b2a_qp
from collections.abc import Iterable, Sequence
from email.utils import format_datetime
from hashlib import sha256
from urllib.parse import quote

from activities.html import text_of
from activities.mime.charsets import encode_text
from activities.mime.message import Address, Attachment, OutgoingMessage

# A thread's first id and its latest ones find the thread (RFC 5322 sets no limit, servers do).
MAX_REFERENCES = 50
MAX_LINE = 76
_LONGEST_7BIT_LINE = 990  # RFC 5322, 2.1.1: 998 at most
_LONGEST_ID = 900
_BLOCK = MAX_LINE // 4 * 3 * 1024  # whole lines of base64
_WORD_PAYLOAD = 45  # octets that fit an encoded word in base64

_BREAKS = re.compile(r"[\r\n\0]")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?: [A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*")
_NOT_IN_LOCAL = re.compile(r'[<>@\s\x00-\x1f\x7f"(),:;\\]')
_NOT_IN_DOMAIN = re.compile(r'[<>\s\x00-\x1f\x7f"(),;\\]')
_QUOTED_LOCAL = re.compile(r'"(?:[^"\\\x00-\x1f\x7f-\x9f\u2028\u2029]|\\[ -~])*"')
_DOT_ATOM = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~.-]+@[A-Za-z0-9.-]+")
_ID = re.compile(r"[!-;=?-~]+")
_FIELD_NAME = re.compile(r"[!-9;-~]{1,76}")
_TYPE = re.compile(r"[!#$&^_.+0-9A-Za-z-]+/[!#$&^_.+0-9A-Za-z-]+")
_SAFE_FILENAME = re.compile(r"[A-Za-z0-9 !#$&'()+,.;=@\[\]^_`{}~-]{1,60}")
_LONG_LINE = re.compile(rb"[^\n]{%d}" % _LONGEST_7BIT_LINE)
_BARE_LINE_END = re.compile(rb"\r\n|\r|\n")
# What the message itself decides; `extra_headers` adds, it doesn't override.
_OWN_FIELDS = frozenset(
    {
        "bcc", "resent-bcc", "from", "sender", "to", "cc", "reply-to", "subject", "date", "message-id",
        "in-reply-to", "references", "importance", "x-priority", "mime-version",
        "disposition-notification-to", "return-receipt-to",
    }
)  # fmt: skip


def compose(message: OutgoingMessage) -> bytes:
    """The message as it goes over the wire. Raises ValueError that names the field it refuses."""
    body = write_body(message)
    lines = [*_header(message), "MIME-Version: 1.0"]
    return "\r\n".join(lines).encode("utf-8") + b"\r\n" + body


def write_body(message: OutgoingMessage) -> bytes:
    """The body alone: Content-* fields, blank line, content. Boundaries are made of the message id."""
    root = _body(message)
    return b"".join(root.pieces(_Boundaries(message.message_id, root)))


def write_address(address: Address) -> str:
    """As it stands in an address header. Raises ValueError for what is none."""
    return _address("address", address)


def needs_smtputf8(mime: bytes) -> bool:
    """Whether an address in the header can't be written in ASCII (RFC 6531)."""
    return not mime[: mime.find(b"\r\n\r\n")].isascii()


# -- header --------------------------------------------------------------------------------------


def _header(message: OutgoingMessage) -> Iterable[str]:
    yield "From: " + _addresses("from", (message.sender,))
    if message.submitter is not None:
        yield "Sender: " + _addresses("submitter", (message.submitter,))
    for name, addresses in (("To", message.to), ("Cc", message.cc), ("Reply-To", message.reply_to)):
        if addresses:
            yield f"{name}: " + _addresses(name.lower(), addresses)
    yield "Subject: " + encode_header(message.subject, "subject", len("Subject: "))
    if message.date.tzinfo is None:
        raise ValueError("date: has no time zone")
    yield "Date: " + format_datetime(message.date)
    yield f"Message-ID: <{_own_id(message.message_id)}>"
    in_reply_to = _written_ids((message.in_reply_to,), "in_reply_to")
    if in_reply_to:
        yield f"In-Reply-To: {in_reply_to[0]}"
    references = _written_ids(bounded_references(message.references), "references")
    if references:
        yield "References: " + "\r\n ".join(references)
    if message.importance != 1:
        high = message.importance > 1
        yield f"Importance: {'high' if high else 'low'}\r\nX-Priority: {1 if high else 5}"
    if message.read_receipt_to:
        receipt = Address(message.read_receipt_to)
        yield "Disposition-Notification-To: " + _addresses("read_receipt_to", (receipt,))
    if message.delivery_receipt_to:
        receipt = Address(message.delivery_receipt_to)
        yield "Return-Receipt-To: " + _addresses("delivery_receipt_to", (receipt,))
    for name, value in message.extra_headers:
        yield _extra(name, value)


def check_message_id(message_id: str) -> None:
    """Raises ValueError for what can't be the bare id of a message of ours."""
    _own_id(message_id)


def check_field(name: str, value: str) -> None:
    """Raises ValueError for what `extra_headers` may not hold."""
    _extra(name, value)


def _extra(name: str, value: str) -> str:
    if not _FIELD_NAME.fullmatch(name):
        raise ValueError(f"extra_headers: {name!r} is no field name")
    if name.lower() in _OWN_FIELDS or name.lower().startswith("content-"):
        raise ValueError(f"extra_headers: {name} can't be set here")
    return f"{name}: " + encode_header(value, name, len(name) + 2)


def bounded_references(ids: Sequence[str]) -> tuple[str, ...]:
    """The first id and the latest ones, each once."""
    unique = tuple(dict.fromkeys(i for i in ids if i))
    if len(unique) <= MAX_REFERENCES:
        return unique
    return unique[:1] + unique[1 - MAX_REFERENCES :]


def _own_id(message_id: str) -> str:
    if not _ID.fullmatch(message_id) or len(message_id) > _LONGEST_ID:
        raise ValueError("message_id: is empty or holds what an id can't hold")
    return message_id


def _written_ids(ids: Iterable[str], field: str) -> list[str]:
    """Ids of other people's messages. What can't be written as an id is left out: a reply to a
    broken message has to leave all the same."""
    written = []
    for bare in ids:
        _refuse_breaks(bare, field)
        if len(bare) <= _LONGEST_ID and _ID.fullmatch(bare):
            written.append(f"<{bare}>")
    return written


def _refuse_breaks(value: str, field: str) -> None:
    if _BREAKS.search(value):
        raise ValueError(f"{field}: holds a line break")


def encode_header(value: str, field: str, indent: int) -> str:
    """`value` for a field whose name takes `indent` characters, folded, in encoded words if it needs
    them. The blanks a reader could lose are kept by encoding the whole value."""
    _refuse_breaks(value, field)
    value = _CONTROLS.sub(" ", value).strip()
    words = value.split(" ")
    if value.isascii() and "=?" not in value and all(0 < len(w) <= 200 for w in words):
        return _fold(words, indent)
    return _encoded_words(value, field, indent)


def _fold(words: Sequence[str], indent: int) -> str:
    lines, line, room = [], words[0], MAX_LINE - indent
    for word in words[1:]:
        if len(line) + 1 + len(word) > room:
            lines.append(line)
            line, room = word, MAX_LINE - 1
        else:
            line += f" {word}"
    lines.append(line)
    return "\r\n ".join(lines)


def _encoded_words(value: str, field: str, indent: int) -> str:
    if not value:
        return ""
    try:
        octets = value.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError(f"{field}: holds half a character") from None
    room = max(12, _WORD_PAYLOAD - (indent * 3 + 3) // 4)
    words, start = [], 0
    while start < len(octets):
        end = min(start + room, len(octets))
        while end < len(octets) and octets[end] & 0xC0 == 0x80:  # never inside a character
            end -= 1
        payload = b2a_base64(octets[start:end], newline=False).decode("ascii")
        words.append(f"=?utf-8?b?{payload}?=")
        start, room = end, _WORD_PAYLOAD
    return "\r\n ".join(words)


def _addresses(field: str, addresses: Sequence[Address]) -> str:
    return ",\r\n ".join(_address(field, a) for a in addresses)


def _address(field: str, address: Address) -> str:
    _refuse_breaks(address.address, field)
    _refuse_breaks(address.name, field)
    bare = _ascii_domain(address.address.strip())
    if not _DOT_ATOM.fullmatch(bare):
        local, at, domain = bare.rpartition("@")
        # What only begins and ends with a quote may hold further addresses between two quotes.
        quoted = _QUOTED_LOCAL.fullmatch(local)
        if not (at and local and domain) or _NOT_IN_DOMAIN.search(domain):
            raise ValueError(f"{field}: {address.address!r} is no address")
        if not quoted and _NOT_IN_LOCAL.search(local):
            raise ValueError(f"{field}: {address.address!r} is no address")
    name = _CONTROLS.sub(" ", address.name).strip()
    if not name:
        return bare if _DOT_ATOM.fullmatch(bare) else f"<{bare}>"
    return (
        f"{_phrase(name, field)}\r\n <{bare}>"
        if len(name) > 40
        else f"{_phrase(name, field)} <{bare}>"
    )


def _phrase(name: str, field: str) -> str:
    if name.isascii() and "=?" not in name and len(name) <= 200:
        if _ATOMS.fullmatch(name):
            return name
        escaped = name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return _encoded_words(name, field, 15)


def _ascii_domain(address: str) -> str:
    """An international domain in its ASCII form, unless the local part needs SMTPUTF8 anyway."""
    local, _, domain = address.rpartition("@")
    if domain.isascii() or not local.isascii():
        return address
    try:
        return f"{local}@{domain.encode('idna').decode('ascii')}"
    except UnicodeError:
        return address


# -- body ----------------------------------------------------------------------------------------


class _Node:
    """A part to write: a leaf with its encoded `content`, or a multipart with `children`."""

    def __init__(
        self,
        head: str,
        content: bytes = b"",
        children: Sequence["_Node"] = (),
        *,
        raw: bool = False,
    ) -> None:
        self.head = head  # the Content-* fields, without the boundary
        self.content = content
        self.children = children
        self.raw = raw  # content may hold anything, also lines like a boundary's
        self.eight_bit: bool = any(c.eight_bit for c in children) or (raw and not content.isascii())

    def pieces(self, boundaries: "_Boundaries") -> Iterable[bytes]:
        if not self.children:
            yield f"{self.head}\r\n\r\n".encode("ascii")
            yield self.content
            return
        boundary = boundaries.next()
        encoding = "\r\nContent-Transfer-Encoding: 8bit" if self.eight_bit else ""
        yield f'{self.head};\r\n boundary="{boundary}"{encoding}\r\n\r\n'.encode("ascii")
        delimiter = f"--{boundary}".encode("ascii")
        for child in self.children:
            yield delimiter + b"\r\n"
            yield from child.pieces(boundaries)
            yield b"\r\n"
        yield delimiter + b"--\r\n"


class _Boundaries:
    """Boundaries made of the message id. "=_" occurs in neither base64 nor quoted-printable, so only
    contents that are written raw have to be searched."""

    def __init__(self, seed: str, root: _Node) -> None:
        raw = [leaf.content for leaf in _leaves(root) if leaf.raw]
        salt = 0
        while True:
            self._stem = (
                "=_" + sha256(f"{seed}\n{salt}".encode("utf-8", "replace")).hexdigest()[:24]
            )
            if not any(self._stem.encode() in content for content in raw):
                break
            salt += 1
        self._count = 0

    def next(self) -> str:
        self._count += 1
        return f"{self._stem}.{self._count}"


def _leaves(node: _Node) -> Iterable[_Node]:
    if not node.children:
        yield node
    for child in node.children:
        yield from _leaves(child)


def _body(message: OutgoingMessage) -> _Node:
    inline = [a for a in message.attachments if a.inline and a.content_id and message.html]
    files = [a for a in message.attachments if a not in inline]
    if message.html:
        shown = _text_node(message.html, "html", message.charset)
        if inline:
            related = 'Content-Type: multipart/related; type="text/html"'
            shown = _Node(related, children=[shown, *map(_file_node, inline)])
        text = _text_node(message.text or text_of(message.html), "plain", message.charset)
        forms = [text, shown, *_alternatives(message)]
        body = _Node("Content-Type: multipart/alternative", children=forms)
    else:
        body = _text_node(message.text, "plain", message.charset)
    if files:
        body = _Node("Content-Type: multipart/mixed", children=[body, *map(_file_node, files)])
    return body


def _alternatives(message: OutgoingMessage) -> Iterable[_Node]:
    """Further forms of the body, behind HTML: whoever knows them takes the last one."""
    for kind, text in message.alternatives:
        if not is_alternative(kind):
            raise ValueError(f"alternatives: {kind!r} is no form of a text")
        yield _text_node(text, kind.partition("/")[2].lower(), message.charset)


def is_alternative(kind: str) -> bool:
    """May the body have a form of this type besides plain text and HTML?"""
    known = kind.lower() in ("text/plain", "text/html")
    return kind.lower().startswith("text/") and bool(_TYPE.fullmatch(kind)) and not known


def _text_node(text: str, subtype: str, charset: str) -> _Node:
    text = text.replace("\0", "").replace("\r\n", "\n").replace("\r", "\n").replace("\n", "\r\n")
    if not text.endswith("\r\n"):
        text += "\r\n"
    octets, label = encode_text(text, charset)
    encoding = "7bit"
    if not octets.isascii() or _LONG_LINE.search(octets):
        beyond_ascii = len(octets) - len(octets.translate(None, _HIGH))
        if beyond_ascii * 6 > len(octets):
            octets, encoding = _base64(octets), "base64"
        else:
            octets, encoding = b2a_qp(octets, istext=True), "quoted-printable"
    head = (
        f'Content-Type: text/{subtype}; charset="{label}"\r\nContent-Transfer-Encoding: {encoding}'
    )
    return _Node(head, octets, raw=encoding == "7bit")


_HIGH = bytes(range(128, 256))


def _file_node(attachment: Attachment) -> _Node:
    _refuse_breaks(attachment.filename, "attachment filename")
    _refuse_breaks(attachment.content_id, "attachment content_id")
    _refuse_breaks(attachment.content_type, "attachment content_type")
    kind = attachment.content_type.lower()
    if not _TYPE.fullmatch(kind) or kind.startswith("multipart/"):
        kind = "application/octet-stream"
    message = kind in ("message/rfc822", "message/global")
    content = _crlf(attachment.content) if message else _base64(attachment.content)
    encoding = "base64"
    if message:  # RFC 2046, 5.2.1: never encoded
        encoding = "7bit" if content.isascii() else "8bit"
    lines = [f"Content-Type: {kind}", f"Content-Transfer-Encoding: {encoding}"]
    if _ID.fullmatch(attachment.content_id):  # a stranger's may be none: the file is sent without
        lines.append(f"Content-ID: <{attachment.content_id}>")
    shown = "inline" if attachment.inline else "attachment"
    lines.append(f"Content-Disposition: {shown}{_filename(attachment.filename)}")
    return _Node("\r\n".join(lines), content, raw=message)


def _filename(filename: str) -> str:
    name = _CONTROLS.sub(" ", filename).strip()
    if not name:
        return ""
    if _SAFE_FILENAME.fullmatch(name):
        return f';\r\n filename="{name}"'
    # RFC 2231 with continuations, cut between percent triplets.
    octets = re.findall("%..|.", quote(name.encode("utf-8", "replace"), safe=""))
    chunks = ["".join(octets[i : i + 20]) for i in range(0, len(octets), 20)]
    if len(chunks) == 1:
        return f";\r\n filename*=utf-8''{chunks[0]}"
    return "".join(
        f";\r\n filename*{number}*={chunk if number else f'utf-8{chr(39) * 2}{chunk}'}"
        for number, chunk in enumerate(chunks)
    )


def _base64(content: bytes) -> bytes:
    """A block at a time: as single lines a large file takes three times its size."""
    view, blocks = memoryview(content), []
    for start in range(0, len(content), _BLOCK):
        encoded = b2a_base64(view[start : start + _BLOCK], newline=False)
        lines = [encoded[i : i + MAX_LINE] for i in range(0, len(encoded), MAX_LINE)]
        blocks.append(b"\r\n".join(lines))
    return b"\r\n".join(blocks)


def _crlf(content: bytes) -> bytes:
    if content.count(b"\r\n") == content.count(b"\n") == content.count(b"\r"):
        return content
    return _BARE_LINE_END.sub(b"\r\n", content)
